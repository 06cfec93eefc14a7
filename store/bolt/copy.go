package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	if err := d.enter(ctx); err != nil {
		return nil, err
	}
	defer d.leave()
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
	if err := finish(to, f, d.copyAll(ctx, to)); err != nil {
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
// nothing in it was deleted or replaced before the call, and it is about as
// small as it can be. Reading and writing go on meanwhile, but for a moment at
// its end. A crash at any time leaves the one file or the other, both whole. It
// needs room for the copy beside the file, and for what is written meanwhile.
func (d *DB) Compact(ctx context.Context) error {
	if d.readOnly {
		return fmt.Errorf("compacting database %s, opened read-only: %w", d.path, store.ErrInvalid)
	}
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.leave()
	d.compacting.Lock()
	defer d.compacting.Unlock()
	old := d.at.Load()
	err := d.compact(ctx)
	if err == nil {
		err = d.guarded(old.bolt.Close) // waits for who still reads it
	}
	if err != nil {
		return fmt.Errorf("compacting database %s: %w", d.path, err)
	}
	return nil
}

// compact copies while others write, then what they wrote meanwhile, until that
// is little; the rest, while nobody writes.
func (d *DB) compact(ctx context.Context) error {
	path := d.path + compactSuffix
	defer os.Remove(path) // unless it was given the name of the file
	f, err := d.createCopy(path)
	if err != nil {
		return err
	}
	defer f.Close()
	to, err := layOut(path)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := d.takeChanged(ctx, true); err != nil {
		return err
	}
	defer d.takeChanged(context.WithoutCancel(ctx), false)
	if err := d.copyAll(ctx, to); err != nil {
		return err
	}
	for range maxRounds {
		if err := f.Sync(); err != nil {
			return err
		}
		changed, err := d.takeChanged(ctx, true)
		if err != nil {
			return err
		}
		if err := d.copyChanged(ctx, to, changed); err != nil {
			return err
		}
		if len(changed) < fewChanges {
			break
		}
	}
	return d.lead(ctx, func() error {
		if err := finish(to, f, d.copyChanged(ctx, to, d.changed)); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		return d.change(path)
	})
}

const (
	// fewChanges are copied while nobody writes: some milliseconds.
	fewChanges = 500
	// maxRounds bounds how often what changed meanwhile is copied first.
	maxRounds = 20
)

// lead calls f while nobody writes.
func (d *DB) lead(ctx context.Context, f func() error) error {
	r := &request{alone: true, turn: make(chan bool, 1)}
	if leads, err := d.queue.join(ctx, r); !leads {
		return err
	}
	defer d.queue.handOver([]*request{r})
	return f()
}

// takeChanged returns the keys that were written since it was last called, and
// has those of later writes kept, or not.
func (d *DB) takeChanged(ctx context.Context, keep bool) (changed map[string]bool, err error) {
	err = d.lead(ctx, func() error {
		changed, d.changed = d.changed, nil
		if keep {
			d.changed = make(map[string]bool)
		}
		return nil
	})
	return changed, err
}

// change lets the next transaction begin in the file at path, whose records
// are ours, and gives it our name. Nobody may be writing.
func (d *DB) change(path string) error {
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
	d.ResetTimes()
	if err := syncDir(filepath.Dir(d.path)); err != nil {
		d.fail(err) // a crash might bring the old file back, without what follows
		return err
	}
	return nil
}

// createCopy makes an empty file that belongs to whoever ours belongs to.
func (d *DB) createCopy(path string) (*os.File, error) {
	info, err := d.at.Load().file.Stat()
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if was, ok := info.Sys().(*syscall.Stat_t); ok && int(was.Uid) != os.Geteuid() {
		if err := f.Chown(int(was.Uid), int(was.Gid)); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// finish closes the copy that is in f, after err, and cuts f to what it uses.
func finish(to *bbolt.DB, f *os.File, err error) error {
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

// copyAll copies all records into the database to, which has none.
func (d *DB) copyAll(ctx context.Context, to *bbolt.DB) error {
	return d.read(func(_ *handle, tx *bbolt.Tx) error {
		return copyRecords(ctx, to, tx.Bucket([]byte(recordsBucket)).Cursor())
	})
}

// copyChanged makes the records under the keys in the database to what they are.
func (d *DB) copyChanged(ctx context.Context, to *bbolt.DB, changed map[string]bool) error {
	keys := slices.Sorted(maps.Keys(changed))
	return d.read(func(_ *handle, tx *bbolt.Tx) error {
		from := tx.Bucket([]byte(recordsBucket))
		for piece := range slices.Chunk(keys, 1000) {
			err := to.Update(func(tx *bbolt.Tx) error {
				records := tx.Bucket([]byte(recordsBucket))
				for _, key := range piece {
					k := []byte(key)
					v := from.Get(k)
					if v == nil {
						if err := records.Delete(k); err != nil {
							return err
						}
						continue
					}
					if _, err := revision(k, v); err != nil {
						return err
					}
					if err := records.Put(k, v); err != nil {
						return err
					}
				}
				return ctx.Err()
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// copyRecords copies what c finds. It trusts neither the records nor their
// order, as Check does not.
func copyRecords(ctx context.Context, to *bbolt.DB, c *bbolt.Cursor) error {
	var last []byte
	k, v := c.First()
	piece := func(tx *bbolt.Tx) error {
		unlockAll(tx)
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
