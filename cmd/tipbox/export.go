package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"tipbox/tipbox"
)

type exportCmd struct {
	Tip string `arg:"" help:"The tip, as the inbox names it."`
	Out string `short:"o" required:"" help:"A new folder to write into." placeholder:"DIR"`
}

func (*exportCmd) Help() string {
	return "Example: tipbox export k3f7qwzm2abcdefg -o k3f7qwzm2abcdefg\n\n" +
		"The folder gets the keyslots, the messages and the attachments as plain age files, the signed events, a MANIFEST with the\n" +
		"SHA-256 of each (sha256sum -c MANIFEST), and a README that says how to open them with the stock age program."
}

func (c *exportCmd) Run(a *app) (err error) {
	s, err := a.dial()
	if err != nil {
		return err
	}
	defer s.Close()
	// What does not verify is not exported. (Other readers' keyslots are
	// theirs to verify.)
	file, tip, err := s.open(a, c.Tip)
	if err != nil {
		return err
	}
	for _, m := range tip.Messages {
		if m.Err != nil && !errors.Is(m.Err, tipbox.ErrUnreadable) {
			return m.Err
		}
	}
	if err := os.Mkdir(c.Out, 0o700); err != nil {
		return fmt.Errorf("%w: choose a folder that is not there yet", err)
	}
	dir, err := os.OpenRoot(c.Out)
	if err != nil {
		return err
	}
	defer dir.Close()
	e := &export{dir: dir}
	for i, slot := range file.Slots.Files {
		e.write(fmt.Sprintf("keyslot-%d.age", i+1), strings.NewReader(string(slot)))
	}
	for i, event := range file.Events {
		e.write(fmt.Sprintf("message-%d.age", i+1), strings.NewReader(string(event.Sealed)))
		e.write(fmt.Sprintf("event-%d.note", i+1), strings.NewReader(event.Note))
	}
	for _, m := range tip.Messages {
		for i, f := range m.Files {
			e.attachment(a, s, tip, fmt.Sprintf("message-%d-file-%d.age", m.Number, i+1), f)
		}
	}
	e.write("README.txt", strings.NewReader(exportReadme(tip)))
	e.write("MANIFEST", strings.NewReader(e.manifest.String()))
	if err := errors.Join(e.failed, dir.Close()); err != nil {
		return errors.Join(err, os.RemoveAll(c.Out))
	}
	a.say("Exported to %s. README.txt there says how to open it.\n", cleanLine(c.Out))
	if a.json {
		return a.printJSON(map[string]string{"tip": tip.Tip, "folder": c.Out})
	}
	a.print("%s\n", cleanLine(c.Out))
	return nil
}

// An export writes files until the first error.
type export struct {
	dir      *os.Root
	manifest strings.Builder
	failed   error
}

// write copies content into a new file and enters its hash in the manifest.
func (e *export) write(name string, content io.Reader) {
	if e.failed != nil {
		return
	}
	f, err := e.dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		e.failed = err
		return
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		e.failed = fmt.Errorf("%s: %w", name, err)
		return
	}
	fmt.Fprintf(&e.manifest, "%s  %s\n", hex.EncodeToString(h.Sum(nil)), path.Base(name))
}

// attachment writes the sealed bytes while it checks that they open.
func (e *export) attachment(a *app, s *session, tip *tipbox.OpenedTip, name string, f tipbox.Attachment) {
	if e.failed != nil {
		return
	}
	sealed, err := s.Attachment(a.ctx, tip.Tip, f.Blob)
	if err != nil {
		e.failed = err
		return
	}
	defer sealed.Close()
	bar := a.progress(name, f.Size)
	defer bar.done()
	r, w := io.Pipe()
	opened := make(chan error, 1)
	go func() {
		plain, err := f.Open(r, tip.Slot.Key.Identity())
		if err == nil {
			_, err = io.Copy(bar, plain)
		}
		r.CloseWithError(err)
		opened <- err
	}()
	e.write(name, io.TeeReader(io.LimitReader(sealed, f.Sealed+1), w))
	w.Close()
	if err := <-opened; err != nil && e.failed == nil {
		e.failed = fmt.Errorf("%s: %w", name, err)
	}
}

func exportReadme(tip *tipbox.OpenedTip) string {
	var b strings.Builder
	fmt.Fprintf(&b, `Tip %s, received on %s: an export from Tipbox.

Everything here is a plain age file (age-encryption.org), or public text. The
age program, version 1.3 or later, opens it with a reader's member key:

  age -d -i member.key keyslot-1.age > tip.key
  age -d -i tip.key message-1.age

tip.key now opens everything of this tip: keep it as you would the tip itself,
and delete it when you are done. If a keyslot is not for you, try the next one.

A message is a JSON document with spaces behind it. Its "files" are, in their
order, message-N-file-1.age, message-N-file-2.age and so on. An attachment is
its bytes with zeros behind them: cut it to its "size".
`, tip.Tip, tip.Day)
	for _, m := range tip.Messages {
		for i, f := range m.Files {
			fmt.Fprintf(&b, "\n  age -d -i tip.key message-%d-file-%d.age | head -c %d > FILE", m.Number, i+1, f.Size)
		}
	}
	for _, m := range tip.Messages {
		if m.Err != nil {
			fmt.Fprintf(&b, "\n\nmessage-%d.age is as it was signed, but does not open: its writer made it so.", m.Number)
		}
	}
	b.WriteString(`

event-N.note is the signed note (C2SP signed-note) of message N: it names the
SHA-256 of message-N.age, of its attachments, and of the note before it.

  sha256sum -c MANIFEST

tells whether a file was changed since the export.
`)
	return b.String()
}
