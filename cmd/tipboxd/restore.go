package main

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"filippo.io/age"

	"tipbox/store"
	"tipbox/store/dir"
)

type restoreCmd struct {
	File     string   `arg:"" help:"The backup." type:"existingfile"`
	Dir      string   `arg:"" help:"The folder to make."`
	Identity []string `required:"" short:"i" help:"The key that opens the backup, as age-keygen made it." type:"existingfile" placeholder:"FILE"`
}

func (*restoreCmd) Help() string {
	return "Example: tipboxd restore /mnt/backup/tipbox.age /srv/tipbox -i backup.key\n\n" +
		"Run it as the user that the server runs as, or as root: an empty folder that is there stays its owner's. Nothing is ever overwritten: the folder must not be there, or be empty. " +
		"It appears once all was unpacked, checked as tipboxd check does, and is on the disk; until then nothing is there.\n\n" +
		"Before you start a server in it: stop the old one for good, since members know both by the same desk.key and sources reach but one. " +
		"Put the newest roster.note there. What came after the backup is not in it, and what was erased since is: have it erased again. " +
		"Remove backup.key from the machine."
}

func (c *restoreCmd) Run(a *app) error {
	keys, err := c.identities()
	if err != nil {
		return err
	}
	if there, err := os.ReadDir(c.Dir); len(there) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, c.taken())
	}
	if err := c.replaceable(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.Dir), 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(c.Dir), filepath.Base(c.Dir)+".part-*") // mode 0700
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := c.unpack(a, temp, keys); err != nil {
		return err
	}
	if err := verify(a, temp); err != nil {
		return fmt.Errorf("%s was unpacked and is not whole; nothing was restored: %w", c.File, err)
	}
	if err := syncFolder(temp); err != nil {
		return err
	}
	if err := giveTo(c.Dir, temp); err != nil {
		return err
	}
	// os.Rename replaces no folder, and os.Remove takes away none that is not empty.
	if err := os.Remove(c.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c.taken()
	}
	if err := os.Rename(temp, c.Dir); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return c.taken()
		}
		return err
	}
	if err := syncFolder(filepath.Dir(c.Dir)); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "Made %s. Stop the old server for good, put the newest roster.note there, and start: tipboxd serve %s\n", c.Dir, c.Dir)
	return nil
}

// replaceable refuses the place of a disk of its own, which no folder can take.
func (c *restoreCmd) replaceable() error {
	info, err := os.Stat(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	above, err := os.Stat(filepath.Join(c.Dir, ".."))
	if err != nil {
		return err
	}
	of, ok := info.Sys().(*syscall.Stat_t)
	aboveOf, also := above.Sys().(*syscall.Stat_t)
	if ok && also && of.Dev != aboveOf.Dev {
		return fmt.Errorf("a disk is mounted at %[1]s, and no folder can take its place: restore to %[1]s/restored, then move all that is in there one up, and chown -R it to the server's user", c.Dir)
	}
	return nil
}

// giveTo gives all that is in a folder, which only root can enter, to whom the other
// belongs to, if we are root and that is another.
func giveTo(dir, all string) error {
	owner, err := anotherOwner(dir)
	if owner == nil || err != nil {
		return err
	}
	return filepath.WalkDir(all, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, owner.uid, owner.gids[0])
	})
}

func (c *restoreCmd) taken() error {
	return fmt.Errorf("%s is there and not empty: nothing was changed; choose another folder", c.Dir)
}

// identities reads the key files. What is in them is no part of an error.
func (c *restoreCmd) identities() (all []age.Identity, err error) {
	for _, name := range c.Identity {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		found, err := age.ParseIdentities(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s holds no age identity in the clear (AGE-SECRET-KEY-PQ-1…): if it has a passphrase, decrypt it first with age -d", name)
		}
		all = append(all, found...)
	}
	return all, nil
}

// unpack writes what the backup holds into the empty folder at temp, and makes
// it durable.
func (c *restoreCmd) unpack(a *app, temp string, keys []age.Identity) error {
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	shown := a.progress("restoring", info.Size())
	defer shown.done()
	u := &unpacker{app: a, root: temp, left: info.Size()}
	err = u.unpack(io.TeeReader(bufio.NewReaderSize(stopping{a.ctx, f}, 1<<20), shown), keys)
	if stopped := a.ctx.Err(); stopped != nil {
		return stopped
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	return nil
}

// errNoBackup means that a file opens, and was not made by backup.
var errNoBackup = errors.New("not a backup of Tipbox")

// maxPlain is the length in bytes of a file that is read as a whole later.
const maxPlain = 16 << 20

// An unpacker writes an archive's files into a folder. It takes an archive from
// anybody, who may know the recipient as well as we do: it makes only files
// that backup writes, each once, and none that is longer than the archive.
type unpacker struct {
	app   *app
	root  string
	left  int64 // bytes that files may still have
	blobs *dir.Blobs
}

func (u *unpacker) unpack(in io.Reader, keys []age.Identity) error {
	plain, err := age.Decrypt(in, keys...)
	if err != nil {
		var other *age.NoIdentityMatchError
		if errors.As(err, &other) {
			return errors.New("it is not for this key: try another with -i")
		}
		// Not with what age met there: it may be a key, given in the wrong place.
		return errors.New("not an age file, or one that was cut short or altered")
	}
	if err := os.Mkdir(filepath.Join(u.root, siteName), 0o700); err != nil {
		return err
	}
	if u.blobs, err = dir.Open(filepath.Join(u.root, blobsName), nil); err != nil {
		return err
	}
	defer u.blobs.Close()
	archive := sealedReader{plain}
	for t := tar.NewReader(archive); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return noTar(err)
		}
		if err := u.entry(h, t); err != nil {
			return err
		}
	}
	// Only at its end does age know that a file was not cut short.
	switch n, err := io.Copy(io.Discard, archive); {
	case err != nil:
		return err
	case n > 0:
		return fmt.Errorf("%w: something stands behind its end", errNoBackup)
	}
	for _, name := range append([]string{databaseName}, archiveFiles...) {
		if _, err := os.Stat(filepath.Join(u.root, name)); err != nil {
			return fmt.Errorf("%w: there is no %s in it", errNoBackup, name)
		}
	}
	return u.syncSite()
}

// errAltered means that a file's seal is broken.
var errAltered = errors.New("cut short or altered: take another copy of it")

// sealedReader marks the errors of a decrypting reader.
type sealedReader struct{ io.Reader }

func (r sealedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w (%w)", errAltered, err)
	}
	return n, err
}

// noTar is an error of the archive's form, or of what it is read from.
func noTar(err error) error {
	if errors.Is(err, errAltered) {
		return err
	}
	return fmt.Errorf("%w: %w", errNoBackup, err)
}

// entry writes one file of the archive.
func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	if h.Size > u.left {
		return errAltered // or made to fill the disk
	}
	u.left -= h.Size
	write := u.writer(h)
	if write == nil {
		return fmt.Errorf("%w: %.100q is no file of one", errNoBackup, h.Name)
	}
	err := write(h.Name, content)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, store.ErrExists) {
		return fmt.Errorf("%w: %.100q is there twice", errNoBackup, h.Name)
	}
	return err
}

// writer returns what writes such a file, or nil if backup makes none.
func (u *unpacker) writer(h *tar.Header) func(string, io.Reader) error {
	blob := path.Base(h.Name)
	switch {
	case h.Typeflag != tar.TypeReg:
		return nil
	case h.Name == databaseName,
		slices.Contains(archiveFiles, h.Name) && h.Size <= maxPlain,
		strings.HasPrefix(h.Name, siteName+"/") && fs.ValidPath(h.Name):
		return u.file
	case store.ValidateBlobName(blob) == nil && h.Name == blobEntry(blob):
		return u.blob
	}
	return nil
}

func (u *unpacker) blob(name string, content io.Reader) error {
	w, err := u.blobs.Create(u.app.ctx, path.Base(name))
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := io.Copy(w, content); err != nil {
		return err
	}
	return w.Commit()
}

func (u *unpacker) file(name string, content io.Reader) error {
	to := filepath.Join(u.root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	return f.Sync()
}

// syncSite makes the site's folders durable.
func (u *unpacker) syncSite() error {
	return filepath.WalkDir(filepath.Join(u.root, siteName), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return syncFolder(path)
	})
}

// verify checks an unpacked folder as tipboxd check does, and removes from it
// what no message names.
func verify(a *app, path string) error {
	f, err := openFolder(a.ctx, path, a.log)
	if err != nil {
		return err
	}
	defer f.Close()
	report, err := f.check(a.ctx)
	if err != nil {
		return err
	}
	if n := len(report.Problems); n > 0 {
		return fmt.Errorf("%d problems, the first being: %s", n, report.Problems[0])
	}
	if _, err := f.service.Sweep(a.ctx); err != nil {
		return err
	}
	a.print("%d tips, %d messages, %d files\n", report.Tips, report.Messages, report.Files)
	return f.Close()
}
