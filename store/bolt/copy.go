package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"tipbox/store"
)

const (
	// compactSuffix is what the file that Compact writes is called until it
	// is whole.
	compactSuffix = ".compact"
	// pieceSize is how many bytes of records a copy commits at once.
	pieceSize = 1 << 20
	// pieceFill leaves some room on each page, or the first writes to a copy
	// would split every page they meet.
	pieceFill = 0.9
)

// Snapshot copies all records, as they are at one moment, into a new file and
// returns it, open at its beginning. Read it with OpenSnapshot; its bytes are
// those of a database. It holds nothing that was deleted or replaced before.
//
// The file has no name, so that it is gone when it is closed, also after a
// crash; it takes room beside the database, as much as the records do. Reading
// and writing go on meanwhile. A damaged record or page is store.ErrCorrupt.
func (d *DB) Snapshot(ctx context.Context) (*os.File, error) {
	f, err := d.snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("making a snapshot of database %s: %w", d.path, err)
	}
	return f, nil
}

func (d *DB) snapshot(ctx context.Context) (_ *os.File, err error) {
	f, err := os.CreateTemp(filepath.Dir(d.path), filepath.Base(d.path)+".snapshot-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	to, err := layOut(f.Name())
	if err := errors.Join(err, os.Remove(f.Name())); err != nil {
		return nil, err
	}
	if err := d.copyInto(ctx, to, f); err != nil {
		return nil, err
	}
	return f, nil
}

// OpenSnapshot opens what Snapshot returned, for reading only. The file can be
// closed, or read, while the DB is open.
func OpenSnapshot(f *os.File) (*DB, error) {
	h := new(handle)
	opts := options(Config{ReadOnly: true})
	opts.OpenFile = func(string, int, os.FileMode) (*os.File, error) {
		fd, err := syscall.Dup(int(f.Fd()))
		if err != nil {
			return nil, err
		}
		h.file = os.NewFile(uintptr(fd), f.Name())
		return h.file, nil
	}
	d := &DB{path: "of a snapshot", readOnly: true}
	err := caught(func() (err error) {
		h.bolt, err = bbolt.Open(f.Name(), 0o600, opts)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening a snapshot: %w", explain(err))
	}
	d.at.Store(h)
	if err := d.ready(); err != nil {
		return nil, fmt.Errorf("opening a snapshot: %w", errors.Join(err, d.Close()))
	}
	return d, nil
}

// Compact puts a copy of all records in the place of the file: afterwards
// nothing in it was deleted or replaced before, and it is no larger than it
// must be. Reading goes on meanwhile; Applies wait, a second or three for each
// GB of records. A crash at any moment leaves the one file or the other, both
// whole. It needs room for the copy beside the file.
func (d *DB) Compact(ctx context.Context) error {
	if d.readOnly {
		return fmt.Errorf("compacting database %s, opened read-only: %w", d.path, store.ErrInvalid)
	}
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.leave()
	r := &request{alone: true, turn: make(chan bool, 1)}
	if leads, err := d.queue.join(ctx, r); !leads {
		return err
	}
	old := d.at.Load()
	err := d.compact(ctx)
	d.queue.handOver([]*request{r})
	if err == nil {
		err = d.guarded(old.bolt.Close) // waits for who still reads it
	}
	if err != nil {
		return fmt.Errorf("compacting database %s: %w", d.path, err)
	}
	return nil
}

// compact writes the copy, and lets the next transaction begin there. Nobody
// may be writing.
func (d *DB) compact(ctx context.Context) error {
	path := d.path + compactSuffix
	defer os.Remove(path) // unless it was given the name of the file
	if err := d.writeCopy(ctx, path); err != nil {
		return err
	}
	h, err := openHandle(path, Config{Timeout: time.Second})
	if err != nil {
		return err
	}
	err = d.guarded(func() error {
		return h.bolt.View(func(tx *bbolt.Tx) error {
			return caught(func() error { return h.inspect(tx) })
		})
	})
	if err == nil {
		err = os.Rename(path, d.path)
	}
	if err != nil {
		return errors.Join(err, h.bolt.Close())
	}
	d.at.Store(h)
	if err := syncDir(filepath.Dir(d.path)); err != nil {
		d.fail(err) // a crash might bring the old file back, without what follows
		return err
	}
	return nil
}

// writeCopy writes all records into a new, durable file that belongs to
// whoever the old one belongs to.
func (d *DB) writeCopy(ctx context.Context, path string) error {
	info, err := d.at.Load().file.Stat()
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if was, ok := info.Sys().(*syscall.Stat_t); ok && int(was.Uid) != os.Geteuid() {
		if err := f.Chown(int(was.Uid), int(was.Gid)); err != nil {
			return err
		}
	}
	to, err := layOut(path)
	if err != nil {
		return err
	}
	if err := d.copyInto(ctx, to, f); err != nil {
		return err
	}
	return f.Sync()
}

// copyInto copies all records into the database to, which has none, closes it,
// and cuts its file f to what it uses.
func (d *DB) copyInto(ctx context.Context, to *bbolt.DB, f *os.File) error {
	err := d.view(ctx, func(_ *handle, tx *bbolt.Tx) error {
		return copyRecords(ctx, to, tx.Bucket([]byte(recordsBucket)).Cursor())
	})
	var size int64
	if err == nil {
		err = to.View(func(tx *bbolt.Tx) error {
			size = tx.Size()
			return nil
		})
	}
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	return f.Truncate(size)
}

// copyRecords copies what c finds. It trusts neither the records nor their
// order, as Check does not.
func copyRecords(ctx context.Context, to *bbolt.DB, c *bbolt.Cursor) error {
	var last []byte
	k, v := c.First()
	piece := func(tx *bbolt.Tx) error {
		records := tx.Bucket([]byte(recordsBucket))
		records.FillPercent = pieceFill
		for size := 0; k != nil && size < pieceSize; k, v = c.Next() {
			if _, err := revision(k, v); err != nil {
				return err
			}
			if last != nil && bytes.Compare(last, k) >= 0 {
				return fmt.Errorf("%w: records out of order", store.ErrCorrupt)
			}
			if err := records.Put(k, v); err != nil {
				return err
			}
			last = append(last[:0], k...)
			size += len(k) + len(v)
		}
		return ctx.Err()
	}
	for k != nil {
		if err := to.Update(piece); err != nil {
			return err
		}
	}
	return nil
}
