package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"tipbox/store"
	"tipbox/store/bolt"
	"tipbox/store/dir"
	"tipbox/tipbox"
)

// A backup's archive is a tar stream of a folder's files under their own names,
// with mode 0600 and nothing of their times and owners:
//
//	blobs/ab/abc...   every attachment of the tips in the database
//	tipbox.db         a snapshot of the database
//	tipbox.toml, roster.note, desk.key, desk.pub
//	site/...          what there is of it
//
// The attachments come first, so that the database can be the newest: when one
// was erased between a snapshot and its turn, another snapshot is made, and
// what is new in that is added, until all is there. What was written by then of
// a tip that the last snapshot does not have is left over in the archive as
// after a crash in a folder: no record names it, and restore removes it.
var archiveFiles = []string{configName, rosterName, deskKeyName, deskPubName}

// writeArchive writes the archive of the folder at root, whose server may run.
func writeArchive(ctx context.Context, out io.Writer, root string) error {
	blobs, err := dir.OpenView(filepath.Join(root, blobsName))
	if err != nil {
		return err
	}
	defer blobs.Close()
	a := &archiver{ctx: ctx, tar: tar.NewWriter(out), root: root, blobs: blobs}
	defer a.close()
	if err := a.writeBlobs(); err != nil {
		return err
	}
	if err := a.writeDatabase(); err != nil {
		return err
	}
	// The roster after the snapshot: a newer one does no harm, an older one is
	// refused.
	for _, name := range archiveFiles {
		if err := a.writeFile(name); err != nil {
			return err
		}
	}
	if err := a.writeSite(); err != nil {
		return err
	}
	return a.tar.Close()
}

type archiver struct {
	ctx   context.Context
	tar   *tar.Writer
	root  string
	blobs *dir.View

	file     *os.File // the newest snapshot
	snapshot *bolt.DB // in it
	before   *bolt.DB // the one before, or nil
}

func (a *archiver) close() {
	if a.before != nil {
		a.before.Close()
	}
	if a.snapshot != nil {
		a.snapshot.Close()
		a.file.Close()
	}
}

// renew takes a snapshot.
func (a *archiver) renew() error {
	file, err := askDatabase(a.ctx, a.root, snapshotRequest)
	if err != nil {
		return err
	}
	snapshot, err := bolt.OpenSnapshot(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	// Of a newer format it could not tell which attachments there are.
	if err := tipbox.CheckFormat(a.ctx, snapshot); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", filepath.Join(a.root, databaseName), err), snapshot.Close(), file.Close())
	}
	if a.before != nil {
		a.before.Close()
	}
	if a.file != nil {
		a.file.Close()
	}
	a.file, a.before, a.snapshot = file, a.snapshot, snapshot
	return nil
}

// writeBlobs writes all that the newest snapshot names when it returns.
func (a *archiver) writeBlobs() error {
	var gone map[store.Revision]bool // events that name a blob which is not there
	for {
		if err := a.renew(); err != nil {
			return err
		}
		missing := gone
		gone = make(map[store.Revision]bool)
		err := tipbox.EachFile(a.ctx, a.snapshot, func(event store.Record, file tipbox.EventFile) error {
			if missing[event.Revision] { // and its tip was not erased
				return a.damaged(file.Blob, "missing")
			}
			if written, err := a.had(event); written || err != nil {
				return err
			}
			err := a.writeBlob(file)
			if errors.Is(err, store.ErrNotFound) {
				gone[event.Revision] = true
				return nil
			}
			return err
		})
		if err != nil || len(gone) == 0 {
			return err
		}
	}
}

// had reports whether the very record is in the snapshot before.
func (a *archiver) had(rec store.Record) (bool, error) {
	if a.before == nil {
		return false, nil
	}
	there, err := a.before.Get(a.ctx, rec.Key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return there.Revision == rec.Revision, err
}

// writeBlob writes a blob, if it is the one that was named.
func (a *archiver) writeBlob(file tipbox.EventFile) error {
	b, err := a.blobs.Open(a.ctx, file.Blob)
	if err != nil {
		return err
	}
	defer b.Close()
	if b.Size() != file.Sealed {
		return a.damaged(file.Blob, "of another size")
	}
	sum := sha256.New()
	if err := a.write(blobEntry(file.Blob), io.TeeReader(io.NewSectionReader(b, 0, b.Size()), sum), b.Size()); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != file.SHA256 {
		return a.damaged(file.Blob, "not what was received")
	}
	return nil
}

func (a *archiver) damaged(blob, how string) error {
	return fmt.Errorf("%s is %s: %w: keep a copy of the folder as it is, then run tipboxd check", filepath.Join(a.root, blobEntry(blob)), how, store.ErrCorrupt)
}

// blobEntry is the name of a blob in the archive: as in the folder.
func blobEntry(name string) string { return path.Join(blobsName, name[:2], name) }

func (a *archiver) writeDatabase() error {
	info, err := a.file.Stat()
	if err != nil {
		return err
	}
	return a.write(databaseName, io.NewSectionReader(a.file, 0, info.Size()), info.Size())
}

func (a *archiver) writeSite() error {
	site := os.DirFS(filepath.Join(a.root, siteName))
	return fs.WalkDir(site, ".", func(name string, e fs.DirEntry, err error) error {
		if name == "." && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		return a.writeFile(path.Join(siteName, name))
	})
}

// writeFile writes a file of the folder, or what a link leads to.
func (a *archiver) writeFile(name string) error {
	f, info, err := openFile(filepath.Join(a.root, name))
	if err != nil {
		return err
	}
	defer f.Close()
	return a.write(name, f, info.Size())
}

func (a *archiver) write(name string, r io.Reader, size int64) error {
	if err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	if n, err := io.Copy(a.tar, io.LimitReader(stopping{a.ctx, r}, size)); err != nil || n != size {
		return errors.Join(err, fmt.Errorf("%s: %d bytes of %d could be read", filepath.Join(a.root, name), n, size))
	}
	return nil
}

// stopping is a reader until the context ends.
type stopping struct {
	ctx context.Context
	io.Reader
}

func (s stopping) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.Reader.Read(p)
}
