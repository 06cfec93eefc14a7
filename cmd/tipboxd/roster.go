package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"tipbox/crypto/roster"
)

type rosterCmd struct {
	Dir  string `arg:"" help:"The server's folder." type:"existingdir"`
	File string `arg:"" help:"The roster as the root key's holder signed it, roster.note." type:"existingfile"`
}

func (*rosterCmd) Help() string {
	return "Example: tipboxd roster /srv/tipbox roster.note\n\n" +
		"Checks that the root key signed it, that it is no older than the one that is there, that somebody could read a tip and that this server is in it. " +
		"A running server takes it up within seconds. With the package, the server and its onion service start by themselves when the first one is there; the address is printed then."
}

func (c *rosterCmd) Run(a *app) error {
	signed, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	if err := asOwner(c.Dir, func() error { return c.put(a, signed) }); err != nil {
		return err
	}
	return c.follow(a)
}

// put puts the roster into the folder.
func (c *rosterCmd) put(a *app, signed []byte) (err error) {
	f := &folder{path: c.Dir}
	if err := f.readChecked(); err != nil {
		return err
	}
	if f.channels, err = loadChannels(f.file(siteName)); err != nil {
		return err
	}
	if err := f.readKey(); err != nil {
		return err
	}
	r, err := roster.Open(signed, f.config.Root, f.rosterThere())
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if err := f.fit(r); err != nil {
		return err
	}
	if err := putFile(f.path, rosterName, signed); err != nil {
		return err
	}
	a.print("roster %d of %s, members: %d\n", r.Serial, r.Day, len(r.Members))
	return nil
}

// What the package runs: see deploy.
const (
	packageFolder = "/var/lib/tipbox"
	packageTor    = "/etc/tor/instances/tipbox/torrc"
	systemdRuns   = "/run/systemd/system" // see sd_booted(3)
	startTime     = 30 * time.Second      // for the server and tor
)

// follow says how it goes on. What the package starts is waited for.
func (c *rosterCmd) follow(a *app) error {
	packaged := c.Dir == packageFolder && exists(systemdRuns)
	for end := time.Now().Add(startTime); ; time.Sleep(200 * time.Millisecond) {
		_, err := askDocument(a.ctx, c.Dir, statusRequest)
		if err == nil {
			break
		}
		if !errors.Is(err, errNoServer) || a.ctx.Err() != nil {
			return err
		}
		if !packaged {
			fmt.Fprintf(a.stderr, "No server is running: tipboxd serve %s\n", c.Dir)
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("the roster is there, and no server is running after %v: journalctl -u tipboxd", startTime)
		}
	}
	if !packaged || !exists(packageTor) || !exists("/usr/bin/tor") {
		return nil
	}
	for end := time.Now().Add(startTime); ; time.Sleep(200 * time.Millisecond) {
		address, err := findHostname(hostnameFiles)
		if err == nil {
			a.print("http://%s/\n", address)
			fmt.Fprintf(a.stderr, "That is where sources find it, in some minutes. To see whether they do: tipboxd onion %s --save\n", c.Dir)
			return nil
		}
		if a.ctx.Err() != nil || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("the server is running, and tor has made no onion service after %v: journalctl -u tor@tipbox", startTime)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// rosterThere marks the roster that the folder has; a mark of none if it has none
// that the root key signed.
func (f *folder) rosterThere() roster.Mark {
	signed, err := readFile(f.file(rosterName))
	if err != nil {
		return roster.Mark{}
	}
	r, err := roster.Open(signed, f.config.Root, roster.Mark{})
	if err != nil {
		return roster.Mark{}
	}
	return r.Mark()
}

// readKey reads the key that names the server to members.
func (f *folder) readKey() error {
	text, err := readFile(f.file(deskKeyName))
	if err != nil {
		return err
	}
	if f.key, err = roster.ParseSigningKey(strings.TrimSpace(string(text))); err != nil {
		return fmt.Errorf("%s: %w", f.file(deskKeyName), err)
	}
	return nil
}
