package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A torPlace is where tor is on a machine.
type torPlace struct {
	localTor
	hostnames []string // where the sources' address may be: see hostnameFiles
	desks     []string // what HiddenServiceDir of the desk may be
	torrcs    []string
	users     []string // as whom tor may run, by name
	lookUp    func(name string) *account
	profiles  []string // what AppArmor lets tor do; none where it does not keep programs in
}

// packageTorUser is as whom the tor runs that the package brings for this alone.
const packageTorUser = "_tor-tipbox"

// systemTor is that of this machine.
func systemTor() torPlace {
	t := torPlace{
		localTor: defaultTor, hostnames: hostnameFiles,
		desks:  []string{"/var/lib/tor/tipbox-desk", "/var/lib/tor-instances/tipbox/desk"},
		torrcs: []string{packageTor, "/etc/tor/tipbox.torrc", "/etc/tor/torrc"},
		users:  []string{packageTorUser, "debian-tor", "tor", "toranon"}, lookUp: lookUpAccount,
	}
	if on, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err == nil && strings.HasPrefix(string(on), "Y") {
		t.profiles = []string{"/etc/apparmor.d/system_tor", "/etc/apparmor.d/local/system_tor"}
	}
	return t
}

// An account is a user with its groups, to whom a file is open or is not.
type account struct {
	name string
	uid  int
	gids []int
}

func lookUpAccount(name string) *account {
	u, err := user.Lookup(name)
	if err != nil {
		return nil
	}
	groups, err := u.GroupIds()
	if err != nil {
		return nil
	}
	a := &account{name: name}
	a.uid, _ = strconv.Atoi(u.Uid)
	for _, g := range groups {
		if gid, err := strconv.Atoi(g); err == nil {
			a.gids = append(a.gids, gid)
		}
	}
	return a
}

// may reports whether an account has a permission (of 4, 2 and 1) on a file.
func (a *account) may(permission fs.FileMode, info fs.FileInfo) bool {
	of, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	mode := info.Mode().Perm()
	switch {
	case a.uid == 0:
		return true
	case int(of.Uid) == a.uid:
		mode >>= 6
	case slices.Contains(a.gids, int(of.Gid)):
		mode >>= 3
	}
	return mode&permission == permission
}

// barred is the first thing on the way to a socket that an account may not pass, ""
// if it may connect, and what to do.
func (a *account) barred(path string) (why, do string) {
	var folders []string
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		folders = append([]string{dir}, folders...)
		if dir == filepath.Dir(dir) {
			break
		}
	}
	for _, dir := range folders {
		if info, err := os.Stat(dir); err == nil && !a.may(1, info) {
			return fmt.Sprintf("%s may not enter %s (mode %04o)", a.name, dir, info.Mode().Perm()),
				fmt.Sprintf("chgrp %s %[2]s; chmod g+x %[2]s", a.name, dir)
		}
	}
	if info, err := os.Stat(path); err == nil && !a.may(2, info) {
		return fmt.Sprintf("%s may not connect to %s (mode %04o, group %s)", a.name, path, info.Mode().Perm(), groupOf(info)),
			letIn(a.name, path, info)
	}
	return "", ""
}

// letIn is how an account gets to a socket.
func letIn(name, path string, info fs.FileInfo) string {
	if of, ok := info.Sys().(*syscall.Stat_t); ok && of.Gid == 0 { // a group to be kept out of
		return fmt.Sprintf("chgrp %s %[2]s; chmod g+xs %[2]s; and start the server anew: its socket gets the folder's group", name, filepath.Dir(path))
	}
	return fmt.Sprintf("adduser %s %s; systemctl restart tor", name, groupOf(info))
}

// groupOf is the name of a file's group, or its number.
func groupOf(info fs.FileInfo) string {
	of, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "GROUP"
	}
	gid := strconv.Itoa(int(of.Gid))
	if g, err := user.LookupGroupId(gid); err == nil {
		return g.Name
	}
	return gid
}

func (e *exam) whereOnion() string {
	return e.f.config.Onion + " leads here"
}

// probeWait is how long the doctor waits for an onion service.
const probeWait = 20 * time.Second

func (e *exam) lookTor() {
	address, settings := e.f.config.Onion, e.f.file(configName)
	show := "tipboxd onion " + e.f.path
	e.lookNoClients()
	found, err := findHostname(e.m.tor.hostnames)
	switch {
	case address == "" && err == nil:
		e.warn(show+" --save", "tor has the onion service %s, and %s does not name it", found, settings)
		return
	case address == "":
		e.add(levelOK, "set up an onion service in torrc, as in deploy/tor/torrc, then "+show+" --save",
			"no onion service is set: sources come without Tor, or by a service that this server knows nothing of")
		return
	case err == nil && found != address:
		e.fail(show+" --save, if tor is right", "%s says %s, and tor says %s: the pages lead sources to the former", settings, address, found)
	case err != nil && !missing(err) && !errors.Is(err, fs.ErrPermission):
		e.fail("put the folder back from a copy: with it goes the address", "tor's file cannot be read: %v", err)
	}
	before := len(e.found)
	for _, at := range []string{e.addresses().Sources, e.addresses().Desk} {
		if path, ok := strings.CutPrefix(at, unixPrefix); ok {
			e.lookTorsWay(path)
		}
	}
	barred := len(e.found) > before
	ctx, cancel := context.WithTimeout(e.ctx, probeWait)
	defer cancel()
	var why *torError
	if err := e.m.tor.greet(ctx); errors.As(err, &why) {
		e.warn(why.do, "nobody could ask whether %s leads here: %s", address, why.says)
		return
	}
	if e.server == nil {
		e.warn("tipboxd serve "+e.f.path, "nobody could ask whether %s leads here, since no server is running", address)
		return
	}
	p, err := askProbe(ctx, e.f.path)
	if err != nil {
		e.warn("stop and start the server", "nobody could ask whether %s leads here: %v", address, err)
		return
	}
	if err := e.m.tor.reaches(ctx, address, p); errors.As(err, &why) {
		do := why.do
		if barred {
			do = "begin with what bars tor's way"
		}
		if progress := e.m.tor.progress(e.ctx); progress != "" {
			e.warn("wait, and then "+show, "%s cannot be reached yet: %s", address, progress)
		} else if why.again {
			e.warn(show+", which waits for it; "+do, "%s cannot be reached: %s", address, why.says)
		} else {
			e.fail(do, "%s does not lead here: %s", address, why.says)
		}
	}
}

// lookTorsWay looks whether tor may connect to a socket.
func (e *exam) lookTorsWay(path string) {
	if _, err := os.Lstat(path); err != nil {
		return // no server is running
	}
	why, do := "", ""
	for _, name := range e.m.tor.users { // of whom one runs it
		a := e.m.tor.lookUp(name)
		if a == nil {
			continue
		}
		now, then := a.barred(path)
		if now == "" && name == packageTorUser {
			return // nor does AppArmor keep that one in
		}
		if now == "" {
			why = ""
			break
		}
		if why == "" {
			why, do = now, then
		}
	}
	if why != "" {
		e.fail(do, "tor's user %s", why)
	}
	known, profile := false, ""
	for _, file := range e.m.tor.profiles {
		if text, err := readFile(file); err == nil {
			profile = file
			known = known || strings.Contains(string(text), strings.TrimPrefix(filepath.Dir(path), "/var"))
		}
	}
	if profile != "" && !known {
		e.fail("add deploy/tor/apparmor to /etc/apparmor.d/local/system_tor, then apparmor_parser -r /etc/apparmor.d/system_tor",
			"AppArmor keeps tor from %s: its profile does not name the folder", path)
	}
}
