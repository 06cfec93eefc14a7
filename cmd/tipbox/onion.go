package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"tipbox/crypto/onion"
	"tipbox/tipbox/desk"
)

// onionKeygen prints the public half of the key by which tor reaches the desk's onion
// service. The key is made the first time.
func (a *app) onionKeygen() error {
	key, err := a.onionKey()
	if err != nil {
		return err
	}
	if key == nil {
		if key, err = onion.NewClientKey(); err != nil {
			return err
		}
		text, err := key.Reveal()
		if err != nil {
			return err
		}
		if err := writeKeyFile(a.home.OnionKeyFile(), string(text), ""); err != nil {
			return err
		}
	}
	if a.json {
		if err := a.printJSON(map[string]string{"authorization": key.Authorization()}); err != nil {
			return err
		}
	} else {
		a.print("%s\n", key.Authorization())
		a.say("This line is no secret. Send it to the operator, who writes it into authorized_clients/NAME.auth of the desk's onion service.\n")
	}
	cfg, err := a.home.Config()
	if errors.Is(err, desk.ErrNoHome) {
		a.say("Next: tipbox join ROSTER --desk ADDRESS.onion:443 --socks 127.0.0.1:9050 --root KEY\n")
		return nil
	}
	if err != nil {
		return err
	}
	return a.giveTor(key, cfg)
}

// onionKey is the key of an earlier keygen --onion or, if there was none, the one that
// somebody else made and put where tor reads it. It is nil if there is neither.
func (a *app) onionKey() (*onion.ClientKey, error) {
	path := a.home.OnionKeyFile()
	text, err := readPrivate(path)
	if err == nil {
		key, err := onion.ParseClientKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	path = a.home.OnionAuthFile()
	text, err = readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	key, _, err := onion.ParseForService(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// readPrivate reads a file that nobody else may be able to read.
func readPrivate(path string) ([]byte, error) {
	if err := checkPrivate(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// giveTor writes the key for the desk's onion service where tor can read it, and says
// how it does. A desk elsewhere takes none.
func (a *app) giveTor(key *onion.ClientKey, cfg desk.HomeConfig) error {
	host, _, err := net.SplitHostPort(cfg.Desk)
	if err != nil || !isOnion(host) {
		return nil
	}
	line, err := key.ForService(host)
	if err != nil {
		return err
	}
	path := a.home.OnionAuthFile()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil { // tor wants the folder for itself
		return err
	}
	if err := renameio.WriteFile(path, []byte(line+"\n"), 0o600); err != nil {
		return err
	}
	a.say("Tor reads your key in %s. It needs one line in its torrc, and is to reload then:\n  ClientOnionAuthDir %s\nA tor that runs as another user, as Debian's does: tipbox keygen --help\n",
		cleanLine(path), cleanLine(filepath.Dir(path)))
	return nil
}

// deskProxy is the proxy to the desk, or nil.
func (a *app) deskProxy(cfg desk.HomeConfig) (*proxy, error) {
	host, _, err := net.SplitHostPort(cfg.Desk)
	if err != nil {
		host = cfg.Desk
	}
	return way(a.socks, cfg.Socks, host)
}

// checkDesk checks the desk's address of a join.
func checkDesk(address string) error {
	if path, socket := strings.CutPrefix(address, "unix:"); socket && filepath.IsAbs(path) {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" {
		return usageError{fmt.Errorf("--desk %q is not HOST:PORT, such as tips.example.org:8081", address)}
	}
	if isOnion(host) {
		if err := onion.CheckAddress(host); err != nil {
			return usageError{fmt.Errorf("--desk: %w", err)}
		}
	}
	return nil
}
