package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"tipbox/crypto/onion"
)

// An onionFolder is what tor has of an onion service, as far as it could be looked at.
type onionFolder struct {
	path    string // its HiddenServiceDir
	address string
}

// findDesk is the desk's onion service; nil if there is none, or tor's files are not
// for us.
func (e *exam) findDesk() (*onionFolder, error) {
	var unseen error
	for _, dir := range e.m.tor.desks {
		address, err := readHostname(filepath.Join(dir, "hostname"))
		if err == nil {
			return &onionFolder{dir, address}, nil
		}
		if !missing(err) {
			unseen = err
		}
	}
	return nil, unseen
}

func (e *exam) whoFindsDesk() string {
	desk, err := e.findDesk()
	if desk != nil {
		return fmt.Sprintf("%s leads members to the desk; those whose tor has a key for it: %d", desk.address, len(desk.clients()))
	}
	if err != nil {
		return "whether the desk has one can be told as root only"
	}
	return "the desk has none that is known here: members come to " + e.addresses().Desk
}

// lookDeskOnion looks at the desk's onion service, and at whom it lets find the desk. Of
// a key can be told whether it is one, and not whose it is.
func (e *exam) lookDeskOnion() {
	desk, err := e.findDesk()
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		e.fail("put the folder back from a copy: with it goes the address", "tor's file cannot be read: %v", err)
	}
	if desk == nil {
		return
	}
	if at, to := e.addresses().Desk, e.m.tor.target(desk.path); strings.HasPrefix(to, unixPrefix) && to != at {
		e.fail("systemctl enable --now tipboxd-desk.socket, or set desk in "+e.f.file(configName)+"; then start the server anew",
			"tor leads members to %s, and the desk is at %s", to, at)
	}
	members := e.readRoster()
	keys := 0
	for _, file := range desk.clients() {
		name := strings.TrimSuffix(filepath.Base(file), clientSuffix)
		if e.lookClient(desk, file) {
			keys++
		}
		if members != nil && members.Member(name) == nil {
			e.warn("if whose key it is has left: rm "+file+"; "+desk.reload()+". Else call it NAME"+clientSuffix+", after the member",
				"%s is called after nobody in the roster: who has the key finds the desk, and gets no further", file)
		}
	}
	for _, file := range desk.passedOver() {
		e.warn("mv "+file+" "+file+clientSuffix+"; "+desk.reload(), "tor passes over %s, since its name does not end in %s", file, clientSuffix)
	}
	if keys == 0 {
		e.warn("let each member send the line of tipbox keygen --onion, put it into "+filepath.Join(desk.path, clientsName, "NAME"+clientSuffix)+", and "+desk.reload(),
			"tor has no member's key: anybody who has the address %s finds the desk, which lets in members only", desk.address)
	}
}

// lookClient reports whether tor takes the key in a file.
func (e *exam) lookClient(desk *onionFolder, file string) bool {
	text, err := readFile(file)
	if err != nil {
		e.fail("", "%v", err)
		return false
	}
	if onion.CheckAuthorization(strings.TrimSpace(string(text))) != nil { // the text may be a secret
		e.fail("put the one line there that the member's tipbox keygen --onion printed; "+desk.reload(), "tor passes over %s: no key of a client is in it", file)
		return false
	}
	folder, folderErr := os.Stat(desk.path)
	info, err := os.Stat(file)
	if err := errors.Join(folderErr, err); err != nil {
		e.fail("", "%v", err)
		return false
	}
	if of, ok := folder.Sys().(*syscall.Stat_t); ok {
		tor := &account{uid: int(of.Uid), gids: []int{int(of.Gid)}}
		if !tor.may(4, info) {
			e.fail(fmt.Sprintf("chown %d:%d %s; %s", of.Uid, of.Gid, file, desk.reload()), "tor may not read %s, and passes over it", file)
			return false
		}
	}
	return true
}

// lookNoClients looks whether tor lets everybody find the sources' onion service.
func (e *exam) lookNoClients() {
	for _, hostname := range e.m.tor.hostnames {
		sources := &onionFolder{path: filepath.Dir(hostname)}
		if n := len(sources.clients()); n > 0 {
			e.fail("rm "+filepath.Join(sources.path, clientsName, "*"+clientSuffix)+"; "+sources.reload()+". Members' keys are for the desk's service",
				"the sources' onion service is for those only who have a key (%d in %s): no source finds it", n, filepath.Join(sources.path, clientsName))
		}
	}
}

// Tor's names in the folder of an onion service.
const (
	clientsName  = "authorized_clients"
	clientSuffix = ".auth"
)

// clients are the files of which tor takes keys of clients.
func (o *onionFolder) clients() (files []string) {
	return o.inClients(func(name string) bool { return strings.HasSuffix(name, clientSuffix) })
}

// passedOver are those of which it does not, by their names.
func (o *onionFolder) passedOver() (files []string) {
	return o.inClients(func(name string) bool { return !strings.HasSuffix(name, clientSuffix) })
}

func (o *onionFolder) inClients(want func(name string) bool) (files []string) {
	folder := filepath.Join(o.path, clientsName)
	entries, _ := os.ReadDir(folder) // tor makes it
	for _, e := range entries {
		if want(e.Name()) {
			files = append(files, filepath.Join(folder, e.Name()))
		}
	}
	return files
}

// reload is how tor takes up what was changed.
func (o *onionFolder) reload() string {
	if strings.HasPrefix(o.path, "/var/lib/tor-instances/tipbox/") {
		return "systemctl reload tor@tipbox"
	}
	return "systemctl reload tor"
}

// target is where torrc has an onion service lead, as the first HiddenServicePort has
// it; "" if that cannot be told.
func (t torPlace) target(dir string) string {
	for _, file := range t.torrcs {
		text, err := readFile(file)
		if err != nil {
			continue
		}
		in := false
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 2 {
				continue
			}
			switch {
			case strings.EqualFold(fields[0], "HiddenServiceDir"):
				in = filepath.Clean(fields[1]) == dir
			case in && strings.EqualFold(fields[0], "HiddenServicePort") && len(fields) > 2:
				return strings.ReplaceAll(fields[2], `"`, "")
			}
		}
	}
	return ""
}
