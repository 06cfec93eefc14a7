package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tipbox/tipbox"
)

type saveCmd struct {
	Tip string `arg:"" help:"The tip, as the inbox names it."`
	Out string `short:"o" help:"The folder to write into; it is made if it is not there." placeholder:"DIR" default:"."`
}

func (*saveCmd) Help() string {
	return "Example: tipbox save k3f7qwzm2abcdefg -o tip-files\n\n" +
		"Files are written with mode 0600 and never over one that is there: a second one of the same name gets a number.\n" +
		"Names are made safe. Open what a stranger sent only on a machine you can afford to lose."
}

// savedFile is a saved attachment as --json prints it.
type savedFile struct {
	Message int    `json:"message"`
	Name    string `json:"name"` // as its source called it
	Path    string `json:"path"`
	Size    int64  `json:"size"`
}

func (c *saveCmd) Run(a *app) error {
	s, err := a.dial()
	if err != nil {
		return err
	}
	defer s.Close()
	_, tip, err := s.open(a, c.Tip)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o700); err != nil {
		return err
	}
	dir, err := os.OpenRoot(c.Out)
	if err != nil {
		return err
	}
	defer dir.Close()
	found := 0
	var failed []error
	for _, m := range tip.Messages {
		if m.Err != nil {
			failed = append(failed, m.Err)
		}
		for i, f := range m.Files {
			found++
			name, err := c.save(a, s, tip, dir, f, fmt.Sprintf("message-%d-file-%d", m.Number, i+1))
			if err != nil {
				failed = append(failed, fmt.Errorf("message %d, file %d (%s): %w", m.Number, i+1, cleanLine(f.Name), err))
				continue
			}
			path := filepath.Join(c.Out, name)
			if !a.json {
				a.print("%s\n", cleanLine(path))
				continue
			}
			if err := a.printJSON(savedFile{m.Number, f.Name, path, f.Size}); err != nil {
				return err
			}
		}
	}
	if found == 0 && len(failed) == 0 {
		a.say("Tip %s has no files.\n", c.Tip)
	}
	return errors.Join(failed...)
}

// save decrypts one attachment into the folder and returns its name there.
// Until it is whole it stands under a name that ends in ".part".
func (c *saveCmd) save(a *app, s *session, tip *tipbox.OpenedTip, dir *os.Root, f tipbox.Attachment, fallback string) (name string, err error) {
	sealed, err := s.Attachment(a.ctx, tip.Tip, f.Blob)
	if err != nil {
		return "", err
	}
	defer sealed.Close()
	plain, err := f.Open(sealed, tip.Slot.Key.Identity())
	if err != nil {
		return "", err
	}
	name = safeName(f.Name, fallback)
	part, out, err := create(dir, name+".part")
	if err != nil {
		return "", err
	}
	bar := a.progress(cleanLine(name), f.Size)
	_, err = io.Copy(io.MultiWriter(out, bar), plain)
	bar.done()
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		name, err = publish(dir, part, name)
	}
	if err != nil {
		return "", errors.Join(err, dir.Remove(part))
	}
	return name, nil
}

// publish gives a file that is whole its name, or the name with a number, and
// overwrites nothing.
func publish(dir *os.Root, part, name string) (string, error) {
	for n := 1; n < maxSame; n++ {
		try := numbered(name, n)
		err := dir.Link(part, try)
		if err == nil {
			return try, dir.Remove(part)
		}
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		// A file system without links: take the name, then replace it.
		name, taken, err := create(dir, name)
		if err != nil {
			return "", err
		}
		return name, errors.Join(taken.Close(), dir.Rename(part, name))
	}
	return "", errTooManySame(name)
}

const maxSame = 10_000 // files of one name

func errTooManySame(name string) error {
	return fmt.Errorf("there are too many files named %s", cleanLine(name))
}

// numbered is name for 1, else name with the number before its extension.
func numbered(name string, n int) string {
	if n == 1 {
		return name
	}
	ext := filepath.Ext(name)
	return fmt.Sprintf("%s (%d)%s", strings.TrimSuffix(name, ext), n, ext)
}

// create makes a new file of that name, or of the name with a number, 0600.
func create(dir *os.Root, name string) (string, *os.File, error) {
	for n := 1; n < maxSame; n++ {
		try := numbered(name, n)
		f, err := dir.OpenFile(try, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		return try, f, err
	}
	return "", nil, errTooManySame(name)
}

const maxSafeName = 120 // bytes, so that a number and ".part" still fit

// safeName makes a file's name harmless on every system: no folder, no control
// or invisible character, no leading dot or hyphen, no name with a meaning to
// Windows, not too long. It is the fallback if nothing is left.
func safeName(name, fallback string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || hidesOrMoves(r) || unicode.IsSpace(r) && r != ' ' || strings.ContainsRune(`<>:"|?*$`+"`", r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	name = strings.Trim(strings.TrimLeft(name, ".-~ "), ". ")
	ext := filepath.Ext(name)
	if len(ext) > 16 {
		ext = ""
	}
	stem := strings.TrimSuffix(name, ext)
	for len(stem)+len(ext) > maxSafeName {
		_, size := utf8.DecodeLastRuneInString(stem)
		stem = stem[:len(stem)-size]
	}
	if strings.Trim(stem, "_ .") == "" {
		return fallback + ext
	}
	switch base, _, _ := strings.Cut(strings.ToUpper(stem), "."); strings.TrimRight(base, " 0123456789") {
	case "CON", "PRN", "AUX", "NUL", "COM", "LPT", "CONIN$", "CONOUT$":
		stem = "_" + stem
	}
	return stem + ext
}

// A progress is a bar on the terminal, shown when something takes long.
type progress struct {
	a       *app
	label   string
	total   int64
	written int64
	began   time.Time
	shown   time.Time
}

func (a *app) progress(label string, total int64) *progress {
	return &progress{a: a, label: label, total: total, began: time.Now()}
}

const (
	progressAfter = time.Second
	progressEvery = 200 * time.Millisecond
	progressWidth = 30
)

func (p *progress) Write(b []byte) (int, error) {
	p.written += int64(len(b))
	if now := time.Now(); p.a.onTerminal() && now.Sub(p.began) > progressAfter && now.Sub(p.shown) > progressEvery {
		p.shown = now
		share := float64(p.written) / float64(max(p.total, 1))
		bar := strings.Repeat("#", int(share*progressWidth))
		p.a.say("\r[%-*s] %3.0f%% %s", progressWidth, bar, share*100, p.label)
	}
	return len(b), nil
}

// done wipes the bar's line.
func (p *progress) done() {
	if !p.shown.IsZero() {
		p.a.say("\r\x1b[K")
	}
}
