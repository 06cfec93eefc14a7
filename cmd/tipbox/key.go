package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"tipbox/crypto/roster"
	"tipbox/tipbox/desk"
)

type keygenCmd struct {
	Name    string `arg:"" help:"Your name in the roster: a-z, 0-9 and hyphens."`
	Protect bool   `help:"Protect the key with a passphrase, which is asked for twice."`
}

func (*keygenCmd) Help() string {
	return "Example: tipbox keygen alice --protect\n\nThe key stays in your folder. Keep a copy where only you get at it: without the key nobody can read what was sealed to it."
}

func (c *keygenCmd) Run(a *app) error {
	key, err := roster.NewMemberKey(c.Name)
	if err != nil {
		return usageError{err}
	}
	if err := a.writeKey(a.home.KeyFile(), key.Reveal(), c.Protect); err != nil {
		return err
	}
	if a.json {
		return (*cardCmd)(nil).print(a, key)
	}
	a.say("Your key is in %s. Keep a copy where only you get at it.\nNext, give your card to the root key's holder: tipbox card > %s.card\n", a.home.KeyFile(), key.Name())
	return nil
}

type cardCmd struct{}

func (*cardCmd) Help() string {
	return "Example: tipbox card > alice.card\n\nA card is public. Compare its fingerprint over the telephone with whoever enters it into the roster."
}

func (c *cardCmd) Run(a *app) error {
	key, err := a.memberKey()
	if err != nil {
		return err
	}
	return c.print(a, key)
}

func (*cardCmd) print(a *app, key *roster.MemberKey) error {
	card, err := key.Card()
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]string{"name": card.Name, "fingerprint": card.Fingerprint(), "card": card.Text})
	}
	a.print("%s", card.Text)
	a.say("Fingerprint: %s\n", card.Fingerprint())
	return nil
}

type joinCmd struct {
	Roster string `arg:"" help:"The signed roster, roster.note." type:"existingfile"`
	Desk   string `required:"" help:"The desk's address." placeholder:"HOST:PORT"`
	Root   string `required:"" help:"The verifier key of the organisation's root key." placeholder:"KEY"`
}

func (*joinCmd) Help() string {
	return "Example: tipbox join roster.note --desk tips.example.org:8081 --root 'root+1a2b3c4d+…'\n\nGet the root verifier key another way than the roster, on paper or by telephone: everything rests on it."
}

func (c *joinCmd) Run(a *app) error {
	signed, err := os.ReadFile(c.Roster)
	if err != nil {
		return err
	}
	cfg := desk.HomeConfig{Desk: c.Desk, Root: c.Root}
	if old, err := a.home.Config(); err == nil && old.Root == cfg.Root {
		last, err := a.home.Roster(old)
		if err == nil {
			_, err = a.home.Renew(old, last, signed)
		}
		if err != nil && !errors.Is(err, desk.ErrNoHome) {
			return err
		}
	}
	if err := a.home.Join(cfg, signed); err != nil {
		return err
	}
	a.say("Joined. Next: tipbox inbox\n")
	return nil
}

// memberKey reads the member's key and asks for its passphrase if it has one.
func (a *app) memberKey() (*roster.MemberKey, error) {
	text, err := a.readKey(a.home.KeyFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no member key: %w", a.home, desk.ErrNoHome)
	}
	if err != nil {
		return nil, err
	}
	key, err := roster.ParseMemberKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.home.KeyFile(), err)
	}
	return key, nil
}

// checkPrivate checks that nobody else can read a file.
func checkPrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s can be read by others (mode %04o): chmod 600 it, and think about who may have read it", path, info.Mode().Perm())
	}
	return nil
}

// readKey reads a key file, which nobody else may be able to read.
func (a *app) readKey(path string) (string, error) {
	if err := checkPrivate(path); err != nil {
		return "", err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text, err := roster.Unlock(data, func() (string, error) { return a.passphrase("Passphrase: ") })
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

// writeKey writes a new key file, mode 0600, and never over one that is there.
func (a *app) writeKey(path, text string, protect bool) error {
	data := []byte(text)
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already, and a key is never overwritten: choose another --home", path)
	}
	if protect {
		passphrase, err := a.newPassphrase()
		if err != nil {
			return err
		}
		if data, err = roster.Lock(text, passphrase); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func (a *app) newPassphrase() (string, error) {
	first, err := a.passphrase("New passphrase: ")
	if err != nil {
		return "", err
	}
	if first == "" {
		return "", errors.New("an empty passphrase protects nothing: choose one, or leave --protect out")
	}
	if a.passphraseFile != "" {
		return first, nil
	}
	second, err := a.passphrase("The same again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passphrases differ: nothing was written")
	}
	return first, nil
}

// passphrase reads a passphrase from --passphrase-file or the terminal.
func (a *app) passphrase(prompt string) (string, error) {
	if a.passphraseFile != "" {
		if err := checkPrivate(a.passphraseFile); err != nil {
			return "", err
		}
		return oneLine(a.passphraseFile)
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", errors.New("there is no terminal to ask on: use --passphrase-file FILE")
	}
	defer tty.Close()
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return "", err
	}
	fmt.Fprint(tty, prompt)
	text, err := a.wait(func() ([]byte, error) { return term.ReadPassword(int(tty.Fd())) })
	// After an interrupt the terminal would stay without an echo.
	err = errors.Join(err, term.Restore(int(tty.Fd()), before))
	fmt.Fprintln(tty)
	return string(text), err
}

// wait reads something that a person types, and gives up on an interrupt.
func (a *app) wait(read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := read()
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-a.ctx.Done():
		return nil, errors.New("interrupted: nothing was done")
	}
}
