package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/google/renameio/v2"

	"tipbox/crypto/roster"
)

type rosterCmd struct {
	Dir  string `arg:"" help:"The server's folder." type:"existingdir"`
	File string `arg:"" help:"The roster as the root key's holder signed it, roster.note." type:"existingfile"`
}

func (*rosterCmd) Help() string {
	return "Example: tipboxd roster /srv/tipbox roster.note\n\n" +
		"Checks that the root key signed it, that it is no older than the one that is there, that somebody could read a tip and that this server is in it. " +
		"A running server takes it up within seconds."
}

func (c *rosterCmd) Run(a *app) error {
	signed, err := os.ReadFile(c.File) // which the folder's owner may not be able to read
	if err != nil {
		return err
	}
	if err := actAsOwner(c.Dir); err != nil {
		return err
	}
	if err := checkModes(c.Dir); err != nil {
		return err
	}
	f := &folder{path: c.Dir}
	if err := f.readConfig(); err != nil {
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
	if err := renameio.WriteFile(f.file(rosterName), signed, 0o600); err != nil {
		return err
	}
	a.print("roster %d of %s, members: %d\n", r.Serial, r.Day, len(r.Members))
	if _, err := askDocument(a.ctx, c.Dir, statusRequest); errors.Is(err, errNoServer) {
		fmt.Fprintf(a.stderr, "No server is running: tipboxd serve %s (the package's starts by itself now)\n", c.Dir)
	}
	return nil
}

// rosterThere marks the roster that the folder has; a mark of none if it has none
// that the root key signed.
func (f *folder) rosterThere() roster.Mark {
	signed, err := os.ReadFile(f.file(rosterName))
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
	text, err := os.ReadFile(f.file(deskKeyName))
	if err != nil {
		return err
	}
	if f.key, err = roster.ParseSigningKey(strings.TrimSpace(string(text))); err != nil {
		return fmt.Errorf("%s: %w", f.file(deskKeyName), err)
	}
	return nil
}
