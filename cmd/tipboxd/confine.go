package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A confinement is what a serving process still has to reach. It says so once,
// before the first request, and nothing in the process can take it back.
type confinement struct {
	write string   // the folder to read and to write in
	read  []string // files, and folders with their files, to read; they need not be there
	clear []string // folders to remove files from
	calls bool     // connections are begun, to the ports
	ports []uint16 // at whatever address
}

// A measure is something that confines the process, or why this machine lacks it.
type measure struct {
	what    string
	missing error
}

// confineFlags are those of the commands that serve.
type confineFlags struct {
	RequireConfinement bool `help:"Do not start unless this machine can shut the server in whole."`
}

// keepMemory keeps the memory of a process that will serve to itself, before
// there is a key in it and before the database is open.
func (a *app) keepMemory() {
	if a.confined {
		a.measures = keepMemory()
	}
}

// shutIn shuts the process in for serving the folder, and says what this machine
// cannot do of that. Tests that serve in their own process, which goes on
// afterwards, are not confined.
func (a *app) shutIn(f *folder, required bool) error {
	if !a.confined {
		return nil
	}
	c := f.confinement()
	c.readAhead()
	var by []string
	var missing []error
	for _, m := range append(a.measures, confine(c)...) {
		if m.missing != nil {
			missing = append(missing, m.missing)
			continue
		}
		by = append(by, m.what)
	}
	f.observer.confine(by...)
	if required && len(missing) > 0 {
		return fmt.Errorf("not started, as --require-confinement says: %w", errors.Join(missing...))
	}
	for _, m := range missing {
		a.log.Warn("the server is not shut in whole", "missing", m)
	}
	return nil
}

// readAhead has Go read what it reads once, while it can.
func (c confinement) readAhead() {
	_, _ = time.Now().Zone()
	if c.calls {
		x509.SystemCertPool() // whose error comes again where it is used
	}
}

// confinement is what serving the folder takes.
func (f *folder) confinement() confinement {
	// These may be links out of the folder.
	c := confinement{write: f.path, read: []string{f.file(rosterName), f.file(siteName)}}
	for _, address := range []string{f.listens.Sources, f.listens.Desk} {
		if path, ok := strings.CutPrefix(address, unixPrefix); ok && onlySockets(filepath.Dir(path)) {
			c.clear = append(c.clear, filepath.Dir(path))
		}
	}
	n := f.config.Notify
	if len(n.Hours) == 0 {
		return c
	}
	c.calls = true
	c.read = append(c.read, resolverFiles()...)
	for _, name := range []string{n.SMTP.PasswordFile, n.SMTP.CAFile} {
		c.addFile(f.besides(name))
	}
	if len(n.Mail) > 0 {
		_, port, _ := net.SplitHostPort(n.SMTP.Server)
		c.addPort(port)
	}
	for _, w := range n.Webhook {
		c.addFile(f.besides(w.TokenFile))
		c.addFile(f.besides(w.CAFile))
		c.addPort(urlPort(w.URL))
	}
	c.addPort("53") // of name servers
	return c
}

// onlySockets reports whether nothing would be lost with a folder's files. Where
// there is more, our sockets stay when we end, and make way at the next start.
func onlySockets(folder string) bool {
	entries, err := os.ReadDir(folder)
	return err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Type() != fs.ModeSocket })
}

func (c *confinement) addFile(path string) {
	if path != "" {
		c.read = append(c.read, path)
	}
}

// addPort adds what the configuration was checked to have.
func (c *confinement) addPort(port string) {
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		c.ports = append(c.ports, uint16(n))
	}
}

func urlPort(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	if port := u.Port(); port != "" {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// newDialer begins connections from where only resolverFiles can be read: the C
// library's resolver would load parts of itself.
func newDialer() *net.Dialer { return &net.Dialer{Resolver: &net.Resolver{PreferGo: true}} }

// resolverFiles are what Go's own resolver reads, again and again. Where the
// first is a link to what another program keeps and replaces, as
// /run/systemd/resolve/stub-resolv.conf is, the folder of that is needed.
func resolverFiles() []string {
	files := []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"}
	if kept, err := filepath.EvalSymlinks(files[0]); err == nil && filepath.Dir(kept) != "/etc" {
		files = append(files, filepath.Dir(kept))
	}
	return files
}
