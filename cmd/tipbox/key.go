package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
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
	Name    string `arg:"" optional:"" help:"Your name in the roster: a-z, 0-9 and hyphens."`
	Protect bool   `help:"Protect the key with a passphrase, which is asked for twice."`
	Onion   bool   `help:"Print the line by which the desk's onion service lets your tor in, and make the key behind it if there is none."`
}

func (*keygenCmd) Help() string {
	return "Example: tipbox keygen alice --protect > alice.card\n\nIt prints your card, which goes to the root key's holder.\n\nThe key stays in your folder. Keep a copy where only you get at it: without the key nobody can read what was sealed to it.\n\n" +
		"A desk that is an onion service may let in only those whose tor has a key for it, besides the member key:\n\n" +
		"  tipbox keygen --onion > NAME.auth\n\n" +
		"The operator puts NAME.auth into the folder authorized_clients of the desk's onion service, and has tor reload. Your half is in onion.key in your folder, and after the join in onion-auth/desk.auth_private, for your tor; " +
		"if tor runs as you, this line in its torrc is all: ClientOnionAuthDir FOLDER/onion-auth\n\n" +
		"A tor that runs as another user, such as Debian's, needs a copy that is its own, and in /etc/tor/torrc the line ClientOnionAuthDir /var/lib/tor/onion-auth:\n\n" +
		"  sudo install -d -o debian-tor -g debian-tor -m 700 /var/lib/tor/onion-auth\n" +
		"  sudo install -o debian-tor -g debian-tor -m 600 FOLDER/onion-auth/desk.auth_private /var/lib/tor/onion-auth/\n" +
		"  sudo systemctl reload tor"
}

func (c *keygenCmd) Run(a *app) error {
	switch {
	case c.Onion && (c.Name != "" || c.Protect):
		return usageError{errors.New("the key for the onion service has no name, and no passphrase since tor reads it: tipbox keygen --onion")}
	case c.Onion:
		return a.onionKeygen()
	case c.Name == "":
		return usageError{errors.New("say by which name you are to be in the roster: tipbox keygen NAME")}
	}
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
	a.say("Your key is in %s. Keep a copy where only you get at it.\nThis is your card, for the root key's holder; to see it again: tipbox card > %s.card\n", a.home.KeyFile(), key.Name())
	return (*cardCmd)(nil).print(a, key)
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
	Desk   string `help:"The desk's address. Without it the folder is for bundles only." placeholder:"HOST:PORT"`
	Root   string `required:"" help:"The verifier key of the organisation's root key." placeholder:"KEY"`
}

func (*joinCmd) Help() string {
	return "Example: tipbox join roster.note --desk tips.example.org:8081 --root 'root+1a2b3c4d+…'\n\nGet the root verifier key another way than the roster, on paper or by telephone: everything rests on it.\n\n" +
		"A desk that is an onion service is reached through Tor, and by every later command too without --socks being typed again:\n\n" +
		"  tipbox join roster.note --desk ADDRESS.onion:443 --socks 127.0.0.1:9050 --root …\n\n" +
		"A desk of any name can be reached so: the name is looked up by Tor, and never here. A later join keeps the proxy, but for --socks none.\n\n" +
		"A machine that reaches no desk joins with the same two, and without --desk; then: tipbox --bundle FILE inbox"
}

func (c *joinCmd) Run(a *app) error {
	signed, err := os.ReadFile(c.Roster)
	if err != nil {
		return err
	}
	old, oldErr := a.home.Config()
	cfg := desk.HomeConfig{Desk: c.Desk, Root: c.Root, Socks: cmp.Or(a.socks, old.Socks)}
	if cfg.Socks == noProxy || c.Desk == "" {
		cfg.Socks = ""
	}
	if c.Desk != "" {
		if err := checkDesk(c.Desk); err != nil {
			return err
		}
	}
	if _, err := a.deskProxy(cfg); err != nil {
		return err
	}
	if oldErr == nil && old.Root == cfg.Root {
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
	if c.Desk == "" {
		a.say("Joined. Next: tipbox --bundle FILE inbox\n")
		return nil
	}
	key, err := a.onionKey()
	if err != nil {
		return err
	}
	if key != nil {
		if err := a.giveTor(key, cfg); err != nil {
			return err
		}
	}
	a.say("Joined. Next: tipbox inbox\n")
	return nil
}

type keyCmd struct {
	Split keySplitCmd `cmd:"" help:"Write the two halves of your key, for an air gap."`
}

type keySplitCmd struct {
	Out     string `short:"o" required:"" help:"The folder to write sign.key and read.key into; it is made if it is not there." placeholder:"DIR"`
	Protect bool   `help:"Protect both with a new passphrase, which is asked for twice. Else they have the key's own, if it has one."`
}

func (*keySplitCmd) Help() string {
	return "Example: tipbox key split -o halves\n\n" +
		"sign.key is for the machine that reaches the desk: with it tipbox fetch gets tips and tipbox send sends answers, and nothing can be read.\n" +
		"read.key is for the machine that reaches nothing: with it tipbox --bundle FILE opens what was fetched, and nothing can be signed.\n" +
		"Each becomes member.key in the member's folder of its machine. Then take the whole key off both, and keep it where only you get at it."
}

// Names of the halves' files.
const (
	signHalfName = "sign.key"
	readHalfName = "read.key"
)

func (c *keySplitCmd) Run(a *app) error {
	for _, name := range []string{signHalfName, readHalfName} {
		if _, err := os.Lstat(filepath.Join(c.Out, name)); err == nil {
			return fmt.Errorf("%s is there already, and a key is never overwritten: choose another folder", filepath.Join(c.Out, name))
		}
	}
	file, err := a.readMemberKey()
	if err != nil {
		return err
	}
	if _, err := file.key.Card(); err != nil { // which takes both halves
		return fmt.Errorf("%s is no whole key: %w", a.home.KeyFile(), err)
	}
	passphrase := file.passphrase
	if c.Protect {
		if passphrase, err = a.newPassphrase(); err != nil {
			return err
		}
	}
	sign, read := file.key.Split()
	files := map[string]string{"sign": filepath.Join(c.Out, signHalfName), "read": filepath.Join(c.Out, readHalfName)}
	if err := writeKeyFile(files["sign"], sign.Reveal(), passphrase); err != nil {
		return err
	}
	if err := writeKeyFile(files["read"], read.Reveal(), passphrase); err != nil {
		return errors.Join(err, os.Remove(files["sign"]))
	}
	if a.json {
		return a.printJSON(files)
	}
	a.say("%s signs: as member.key it goes into your folder on the machine that reaches the desk.\n"+
		"%s reads: as member.key it goes into your folder on the machine that reaches nothing.\n"+
		"Then keep %s off both.\n", cleanLine(files["sign"]), cleanLine(files["read"]), cleanLine(a.home.KeyFile()))
	return nil
}

// memberKey is the member's key as the agent holds it or, if none runs, of its
// file: then it asks for the passphrase if there is one.
func (a *app) memberKey() (*roster.MemberKey, error) {
	key, err := a.agentKey()
	if err == nil {
		return key, nil
	}
	if !errors.Is(err, errNoAgent) {
		a.say("The agent is not used: %s. To end it: tipbox agent --stop\n", clean(a.lang.known(err.Error())))
	}
	file, err := a.readMemberKey()
	if err != nil {
		return nil, err
	}
	return file.key, nil
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

// A memberKeyFile is a member's key with what is to be known of its file.
type memberKeyFile struct {
	key        *roster.MemberKey
	sum        string // see keySum
	passphrase string // "" if it is not locked
}

// readMemberKey reads the member's key file.
func (a *app) readMemberKey() (*memberKeyFile, error) {
	path := a.home.KeyFile()
	text, file, err := a.unlock(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no member key: %w", a.home, desk.ErrNoHome)
	}
	if err != nil {
		return nil, err
	}
	if file.key, err = roster.ParseMemberKey(text); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// readKey reads a key file, which nobody else may be able to read.
func (a *app) readKey(path string) (string, error) {
	text, _, err := a.unlock(path)
	return text, err
}

func (a *app) unlock(path string) (text string, file *memberKeyFile, err error) {
	if err := checkPrivate(path); err != nil {
		return "", nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	file = &memberKeyFile{sum: keySum(data)}
	text, err = roster.Unlock(data, func() (string, error) {
		var err error
		file.passphrase, err = a.passphrase("Passphrase: ")
		return file.passphrase, err
	})
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, file, nil
}

// keySum is the SHA-256 of a key file, hex.
func keySum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// writeKey writes a new key file, mode 0600, and never over one that is there.
func (a *app) writeKey(path, text string, protect bool) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already, and a key is never overwritten: choose another --home", path)
	}
	var passphrase string
	if protect {
		var err error
		if passphrase, err = a.newPassphrase(); err != nil {
			return err
		}
	}
	return writeKeyFile(path, text, passphrase)
}

// writeKeyFile writes a new key file, locked if there is a passphrase.
func writeKeyFile(path, text, passphrase string) error {
	data := []byte(text)
	if passphrase != "" {
		var err error
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
	return a.secret(prompt, "--passphrase-file FILE")
}

// secret asks on the terminal, without an echo. Instead is the flag to give where
// there is none.
func (a *app) secret(prompt, instead string) (string, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("there is no terminal to ask on: use %s", instead)
	}
	defer tty.Close()
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return "", err
	}
	fmt.Fprint(tty, a.lang.text(prompt))
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
