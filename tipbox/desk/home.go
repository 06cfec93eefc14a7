package desk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
)

// A Home is a member's folder; its files are 0600:
//
//	member.key    the member key, perhaps locked with a passphrase
//	tipbox.toml   HomeConfig
//	roster.note   the newest roster seen: it names the server's key, and no
//	              older one is accepted after it
type Home string

// HomeConfig is what tipbox.toml says.
type HomeConfig struct {
	Desk string `toml:"desk" comment:"The desk's address: host:port, or unix: and the path of a socket on this machine."`
	Root string `toml:"root" comment:"The verifier key of the organisation's root key. Compare it with one you got another way."`
}

// Files of a home.
const (
	keyFile    = "member.key"
	configFile = "tipbox.toml"
	rosterFile = "roster.note"
)

// ErrNoHome means that a home lacks a file; the message says how it is made.
var ErrNoHome = errors.New("not set up")

// KeyFile is the path of the member's key.
func (h Home) KeyFile() string { return filepath.Join(string(h), keyFile) }

// Join writes the configuration and the first roster, which must be signed by
// the root key that the configuration names.
func (h Home) Join(cfg HomeConfig, signed []byte) error {
	if _, err := roster.Open(signed, cfg.Root, roster.Mark{}); err != nil {
		return err
	}
	text, err := toml.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("writing %s: %w", configFile, err)
	}
	if err := os.MkdirAll(string(h), 0o700); err != nil {
		return fmt.Errorf("making the home: %w", err)
	}
	// The configuration comes last: it says that the home is set up.
	if err := renameio.WriteFile(filepath.Join(string(h), rosterFile), signed, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", rosterFile, err)
	}
	if err := renameio.WriteFile(filepath.Join(string(h), configFile), text, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", configFile, err)
	}
	return nil
}

// Config reads the configuration. An unknown key is an error.
func (h Home) Config() (HomeConfig, error) {
	var cfg HomeConfig
	text, err := h.read(configFile)
	if err != nil {
		return cfg, err
	}
	if err := toml.NewDecoder(strings.NewReader(string(text))).DisallowUnknownFields().Decode(&cfg); err != nil {
		return cfg, fmt.Errorf("%s: %w", filepath.Join(string(h), configFile), err)
	}
	return cfg, nil
}

// Roster reads the roster seen last and verifies it.
func (h Home) Roster(cfg HomeConfig) (*roster.Roster, error) {
	signed, err := h.read(rosterFile)
	if err != nil {
		return nil, err
	}
	return roster.Open(signed, cfg.Root, roster.Mark{})
}

// Renew replaces the roster by another if that is newer, and returns the one
// in force. An older or forged one is an error, and the old one stays.
func (h Home) Renew(cfg HomeConfig, last *roster.Roster, signed []byte) (*roster.Roster, error) {
	r, err := roster.Open(signed, cfg.Root, last.Mark())
	if err != nil {
		return nil, fmt.Errorf("the server's roster: %w", err)
	}
	if r.Mark() == last.Mark() {
		return last, nil
	}
	if err := renameio.WriteFile(filepath.Join(string(h), rosterFile), signed, 0o600); err != nil {
		return nil, fmt.Errorf("keeping the new roster: %w", err)
	}
	return r, nil
}

// headsFolder has a file for each tip that the member has opened.
const headsFolder = "heads"

// headsLock is locked there as long as one is written.
const headsLock = ".lock"

// Head is the end of the tip's list of entries as it was seen last, or the zero
// Head.
func (h Home) Head(tip string) (tipbox.Head, error) {
	var head tipbox.Head
	if !tipbox.ValidTipID(tip) {
		return head, fmt.Errorf("tip %.40q: %w", tip, tipbox.ErrNotFound)
	}
	name := filepath.Join(string(h), headsFolder, tip)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return head, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &head)
	}
	if err != nil {
		return head, fmt.Errorf("what was seen of tip %s last (%s): %w", tip, name, err)
	}
	return head, nil
}

// Remember keeps the end of a tip's list of entries, unless a later one is kept:
// of several programs that work with one home, a slow one takes nothing back.
// ErrInvalid if another entry of that number is kept.
func (h Home) Remember(tip string, head tipbox.Head) error {
	if err := h.remember(tip, head); err != nil {
		return fmt.Errorf("remembering what was seen of tip %.40q: %w", tip, err)
	}
	return nil
}

func (h Home) remember(tip string, head tipbox.Head) error {
	folder := filepath.Join(string(h), headsFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	lock, err := lockFile(filepath.Join(folder, headsLock))
	if err != nil {
		return err
	}
	defer lock.Close()
	kept, err := h.Head(tip)
	switch {
	case err != nil:
		return err
	case kept.Number == head.Number && kept != head:
		return fmt.Errorf("entry %d is another than the one that the server has shown before: it shows two histories: %w", head.Number, tipbox.ErrInvalid)
	case kept.Number >= head.Number:
		return nil
	}
	data, err := json.Marshal(head)
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(folder, tip), data, 0o600)
}

// issuedFolder has a file for each award of which the member has signed vouchers or
// ordered the payout.
const issuedFolder = "issued"

// ErrSigned means that the member has signed for another claim of an award before.
var ErrSigned = errors.New("signed for another claim of this award before")

// Pledge keeps which claim of an award the member signs for, before that is sent. Claim
// is a hash of it. ErrSigned if it was another one before: then a server that kept that
// signature back would have it paid twice. Anew says that it is well known what became
// of that.
func (h Home) Pledge(tip string, award int, claim string, anew bool) error {
	if !tipbox.ValidTipID(tip) {
		return fmt.Errorf("tip %.40q: %w", tip, tipbox.ErrNotFound)
	}
	folder := filepath.Join(string(h), issuedFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	lock, err := lockFile(filepath.Join(folder, headsLock))
	if err != nil {
		return err
	}
	defer lock.Close()
	name := filepath.Join(folder, fmt.Sprintf("%s-%d", tip, award))
	kept, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case string(kept) == claim:
		return nil
	case !anew:
		return fmt.Errorf("award %d of tip %s: %w", award, tip, ErrSigned)
	}
	return renameio.WriteFile(name, []byte(claim), 0o600)
}

// lockFile waits for the lock of that name and holds it until the file is closed
// or the process ends in whatever way.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err {
		case nil:
			return f, nil
		case unix.EINTR:
		default:
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", name, err)
		}
	}
}

func (h Home) read(name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(string(h), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no %s: %w", string(h), name, ErrNoHome)
	}
	return data, err
}
