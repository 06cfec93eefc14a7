package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

type fetchCmd struct {
	Tips    []string `arg:"" optional:"" name:"tip" help:"The tips; all open ones of the inbox if none is named."`
	Out     string   `short:"o" required:"" help:"The file to write." placeholder:"FILE"`
	NoFiles bool     `help:"Leave the attachments out."`
}

func (*fetchCmd) Help() string {
	return "Example: tipbox fetch -o tips.bundle\n\n" +
		"It takes the half of the key that signs, and opens nothing: what the bundle has is sealed as it was at the desk. Carry it to the machine\n" +
		"with the other half, and there: tipbox --bundle tips.bundle inbox, read, save, ack, reply and so on.\n" +
		"What is answered there is in tips.bundle.answers. Carry that back, and here: tipbox send tips.bundle.answers"
}

func (c *fetchCmd) Run(a *app) error {
	for _, tip := range c.Tips {
		if !tipbox.ValidTipID(tip) {
			return usageError{fmt.Errorf("%q is no tip's name: see tipbox inbox", tip)}
		}
	}
	if _, err := os.Lstat(c.Out); err == nil {
		return fmt.Errorf("%s is there already, and a bundle is never written over another file: choose another name", c.Out)
	}
	s, err := a.connectDesk()
	if err != nil {
		return err
	}
	defer s.Close()
	dir, err := os.OpenRoot(filepath.Dir(c.Out))
	if err != nil {
		return err
	}
	defer dir.Close()
	name := filepath.Base(c.Out)
	part, file, err := create(dir, name+".part")
	if err != nil {
		return err
	}
	w := newBundleWriter(a, file)
	err = c.fetch(a, s, w)
	if err == nil {
		err = w.end()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = publishNew(dir, part, name)
	}
	if err != nil {
		return errors.Join(err, dir.Remove(part))
	}
	if a.json {
		err = a.printJSON(map[string]any{"file": c.Out, "tips": w.tips, "files": w.blobs})
	} else {
		a.print("%s\n", cleanLine(c.Out))
		a.say("Fetched. Tips: %d, files: %d\n", w.tips, w.blobs)
	}
	return errors.Join(append(w.missing, err)...)
}

// fetch writes all of the bundle but its end. What the desk has lost of a tip is
// left out and said at the end.
func (c *fetchCmd) fetch(a *app, s *session, w *bundleWriter) error {
	signed, err := s.desk.Roster(a.ctx)
	if err != nil {
		return err
	}
	items, err := c.items(a.ctx, s)
	if err != nil {
		return err
	}
	w.json(bundleHeadName, bundleHead{bundleVersion, s.key.Name(), today(), !c.NoFiles})
	w.text(bundleRosterName, signed)
	var inbox bytes.Buffer
	enc := json.NewEncoder(&inbox)
	for _, item := range items {
		if err := enc.Encode(item); err != nil {
			return err
		}
	}
	w.text(bundleInboxName, inbox.Bytes())
	names := c.Tips
	if len(names) == 0 {
		for _, item := range items {
			names = append(names, item.Tip)
		}
	}
	bar := a.progress("tips", int64(len(names)))
	defer bar.done()
	for _, name := range names {
		if err := c.fetchTip(a, s, w, name); err != nil {
			return err
		}
		bar.Write([]byte{0}) // one more
	}
	return w.failed()
}

// items are the lines of the inbox for the bundle.
func (c *fetchCmd) items(ctx context.Context, s *session) (items []tipbox.InboxItem, err error) {
	wanted := make(map[string]bool)
	for _, tip := range c.Tips {
		wanted[tip] = true
	}
	listed := make(map[string]bool) // a tip with news moves to another page
	for _, over := range []bool{false, true} {
		if over && len(wanted) == 0 {
			break // all that is open, or all that was named is found
		}
		for cursor := ""; ; {
			page, err := s.Inbox(ctx, tipbox.InboxFilter{Over: over}, cursor, tipbox.MaxPage)
			if err != nil {
				return nil, err
			}
			for _, item := range page.Items {
				if listed[item.Tip] || len(c.Tips) > 0 && !wanted[item.Tip] {
					continue
				}
				items = append(items, item)
				listed[item.Tip] = true
				delete(wanted, item.Tip)
			}
			if page.Next == "" || len(c.Tips) > 0 && len(wanted) == 0 {
				break
			}
			if page.Next <= cursor || len(page.Items) == 0 {
				return nil, fmt.Errorf("the desk's pages make no sense: %w", tipbox.ErrInvalid)
			}
			cursor = page.Next
		}
	}
	return items, nil
}

func (c *fetchCmd) fetchTip(a *app, s *session, w *bundleWriter, tip string) error {
	if w.has[tipPart(tip)] {
		return nil // named twice
	}
	file, err := s.Tip(a.ctx, tip)
	if errors.Is(err, tipbox.ErrNotFound) && !slices.Contains(c.Tips, tip) {
		return nil // erased since it was listed
	}
	if err != nil {
		return err
	}
	if file.Tip != tip {
		return fmt.Errorf("the desk shows tip %.40q in the place of %s: %w", file.Tip, tip, tipbox.ErrInvalid)
	}
	w.json(tipPart(tip), file)
	w.tips++
	if c.NoFiles {
		return w.failed()
	}
	blobs, err := file.Blobs()
	if err != nil {
		w.missing = append(w.missing, err)
	}
	for i, f := range blobs {
		if w.has[blobPart(f.Blob)] {
			continue
		}
		sealed, err := s.Attachment(a.ctx, tip, f.Blob)
		if err == nil {
			err = w.blob(fmt.Sprintf("%s, file %d", tip, i+1), f, sealed)
			sealed.Close()
		}
		if errors.Is(err, desk.ErrUnreachable) || a.ctx.Err() != nil {
			return err
		}
		if err != nil {
			w.missing = append(w.missing, fmt.Errorf("left out: tip %s, file %d: %w", tip, i+1, err))
		}
	}
	return w.failed()
}

// A bundleWriter writes a bundle until the first error of the file.
type bundleWriter struct {
	a       *app
	file    *os.File
	tar     *tar.Writer
	has     map[string]bool // entries
	err     error
	tips    int
	blobs   int
	missing []error // what could not be had
}

func newBundleWriter(a *app, file *os.File) *bundleWriter {
	w := &bundleWriter{a: a, file: file, has: make(map[string]bool)}
	w.tar = tar.NewWriter(w)
	return w
}

// Write is the archive's. It keeps the file's error apart from those of what is
// fetched.
func (w *bundleWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	if w.err == nil {
		w.err = err
	}
	return n, err
}

func (w *bundleWriter) failed() error {
	if w.err != nil {
		return fmt.Errorf("writing the bundle: %w", w.err)
	}
	return nil
}

func (w *bundleWriter) begin(name string, size int64) {
	err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600})
	w.err = cmp.Or(w.err, err)
	w.has[name] = true
}

func (w *bundleWriter) text(name string, text []byte) {
	w.begin(name, int64(len(text)))
	_, err := w.tar.Write(text)
	w.err = cmp.Or(w.err, err)
}

func (w *bundleWriter) json(name string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		w.err = cmp.Or(w.err, err)
		return
	}
	w.text(name, text)
}

// blob writes an attachment. If it is not what its event names, nothing of it
// stays.
func (w *bundleWriter) blob(label string, f tipbox.EventFile, sealed io.Reader) error {
	flushed := w.tar.Flush()
	if err := cmp.Or(w.failed(), flushed); err != nil {
		return err
	}
	at, err := w.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	bar := w.a.progress(label, f.Sealed)
	defer bar.done()
	w.begin(blobPart(f.Blob), f.Sealed)
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w.tar, sum, bar), io.LimitReader(sealed, f.Sealed))
	if more, _ := io.CopyN(io.Discard, sealed, 1); err == nil && (n+more != f.Sealed || hex.EncodeToString(sum.Sum(nil)) != f.SHA256) {
		err = fmt.Errorf("the desk's file is damaged: %w", tipbox.ErrInvalid)
	}
	if err == nil {
		w.blobs++
		return w.failed()
	}
	if w.failed() == nil {
		_, failed := w.file.Seek(at, io.SeekStart)
		w.err = errors.Join(w.file.Truncate(at), failed)
		w.tar = tar.NewWriter(w)
		delete(w.has, blobPart(f.Blob))
	}
	return err
}

// end writes what says that the bundle is whole, and has it on the disk.
func (w *bundleWriter) end() error {
	w.text(bundleEndName, nil)
	if err := cmp.Or(w.err, w.tar.Close(), w.file.Sync()); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	return nil
}

// publishNew gives a file that is whole its name, unless there is one of that
// name.
func publishNew(dir *os.Root, part, name string) error {
	err := dir.Link(part, name)
	if err == nil {
		return errors.Join(dir.Remove(part), syncFolder(dir.Name()))
	}
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	// A file system without links: take the name, then replace it.
	taken, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(taken.Close(), dir.Rename(part, name), syncFolder(dir.Name()))
}

// syncFolder has the names in a folder on the disk.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
