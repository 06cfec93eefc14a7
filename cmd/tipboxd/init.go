package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"github.com/pelletier/go-toml/v2"

	"tipbox/crypto/roster"
	"tipbox/store/bolt"
)

type initCmd struct {
	Dir      string `arg:"" help:"The folder to make."`
	Root     string `required:"" help:"The verifier key of the organisation's root key." placeholder:"KEY"`
	Listen   string `help:"Where sources' pages are served: HOST:PORT, or unix:/PATH of a socket." placeholder:"ADDR"`
	Desk     string `help:"Where members' tools connect, likewise." placeholder:"ADDR"`
	Timezone string `help:"Of the organisation's days." placeholder:"ZONE"`
}

func (*initCmd) Help() string {
	return "Example: tipboxd init /srv/tipbox --root 'root+1a2b3c4d+…' --timezone Asia/Shanghai > desk.pub\n\n" +
		"A folder that is there, and empty, stays its owner's, also if root does this: what is made in it is that user's."
}

func (c *initCmd) Run(a *app) error {
	cfg := defaultConfig()
	cfg.Root = c.Root
	for _, flag := range []struct {
		given string
		field *string
	}{{c.Listen, &cfg.Listen}, {c.Desk, &cfg.Desk}, {c.Timezone, &cfg.Timezone}} {
		if flag.given != "" {
			*flag.field = flag.given
		}
	}
	if _, _, err := roster.VerifierPublic(cfg.Root); err != nil {
		return fmt.Errorf("--root: %w", err)
	}
	if err := cfg.addresses().check(); err != nil {
		return err
	}
	if _, err := time.LoadLocation(cfg.Timezone); err != nil {
		return fmt.Errorf("--timezone: %w", err)
	}
	if err := actAsOwner(c.Dir); err != nil {
		return err
	}
	if err := makeFolder(c.Dir); err != nil {
		return err
	}
	verifier, err := initFolder(c.Dir, cfg)
	if err != nil {
		return err
	}
	a.print("%s\n", verifier)
	fmt.Fprintf(a.stderr, "Made %s. That is the server's key; it is also in %s.\n"+
		"Next, the root key's holder: tipbox roster add %s, then tipbox roster sign.\n"+
		"Then put it there and start: tipboxd roster %s roster.note, and tipboxd serve %s (the package's server starts by itself)\n",
		c.Dir, filepath.Join(c.Dir, deskPubName), deskPubName, c.Dir, c.Dir)
	return nil
}

// makeFolder makes a folder for us alone, or takes an empty one that is.
func makeFolder(path string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.Mkdir(path, 0o700)
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if there, err := os.ReadDir(path); err != nil || len(there) > 0 {
		return errors.Join(err, fmt.Errorf("%s is there and not empty: nothing was changed", path))
	}
	return checkModes(path)
}

// initFolder puts a server's files into an empty folder and returns the server's
// verifier key.
func initFolder(path string, cfg config) (verifier string, err error) {
	key, err := roster.NewSigningKey("desk")
	if err != nil {
		return "", err
	}
	text, err := toml.Marshal(cfg)
	if err != nil {
		return "", err
	}
	db, err := bolt.Open(filepath.Join(path, databaseName), nil)
	if err != nil {
		return "", err
	}
	if err := db.Close(); err != nil {
		return "", err
	}
	for _, dir := range []string{blobsName, siteName} {
		if err := os.MkdirAll(filepath.Join(path, dir), 0o700); err != nil {
			return "", err
		}
	}
	// The configuration comes last: it makes the folder a server's.
	for _, file := range []struct {
		name, text string
	}{
		{deskKeyName, key.Reveal() + "\n"},
		{deskPubName, key.Verifier() + "\n"},
		{configName, string(text) + notifyExample + tlsExample},
	} {
		if err := renameio.WriteFile(filepath.Join(path, file.name), []byte(file.text), 0o600); err != nil {
			return "", err
		}
	}
	return key.Verifier(), nil
}
