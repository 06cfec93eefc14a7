// Package dir keeps blobs as files in a folder. It is the default Blobs of a
// Tipbox server.
//
// A committed blob is on disk, under its name and with its whole content: the
// file is synced before it gets that name, and the folders after. A name is
// given once and never overwritten.
//
// One DB of store/bolt, held open by the same process, must guard the folder:
// Open removes what earlier processes left unfinished, so no other process may
// be writing at the time.
//
// The folder is laid out as
//
//	tmp/        blobs that are being written, under random names
//	ab/abc...   committed blobs, by the first two characters of their names
//
// Files have mode 0600, folders 0700. Nothing outside the folder is touched,
// whatever links may lie in it.
//
// The times of last modification and access of files and folders, which
// backups carry along, are set to a constant; of new blobs, to the day that the
// Config says. What the system lets nobody set still tells, to who has the disk
// itself, when and in which order blobs arrived: the times of birth and of status
// change, the numbers of inodes, the place on the disk. Settle, called when a
// day is over, takes that from the day's blobs, but not what the file system itself
// keeps of files that are gone.
package dir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"
	"time"

	"tipbox/store"
)

// tmp is the folder of blobs that are not committed. A shard is never called
// so: their names have two characters.
const tmp = "tmp"

var _ store.Blobs = (*Blobs)(nil)

// Config says how to open Blobs. The zero value and nil are good defaults.
type Config struct {
	// Day is the beginning of the day on which blobs come now, by which Settle
	// knows those of earlier ones. Nil if there is nothing to settle.
	Day func() time.Time
}

// Blobs is a store.Blobs in a folder. Make it with Open.
type Blobs struct {
	root *os.Root
	day  func() time.Time // what new blobs bear

	names sync.Mutex // held while a name is taken from a file

	mu     sync.Mutex      // guards shards
	shards map[string]bool // known to be there, durably
}

// Open opens the folder at path, and makes it if it is missing; its parent
// must be there. What was not committed before is removed.
func Open(path string, cfg *Config) (*Blobs, error) {
	if cfg == nil {
		cfg = new(Config)
	}
	b, err := open(path, *cfg)
	if err != nil {
		return nil, fmt.Errorf("opening blobs: %w", err)
	}
	return b, nil
}

func open(name string, cfg Config) (*Blobs, error) {
	err := os.Mkdir(name, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	made := err == nil
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	b := &Blobs{root: root, day: cfg.Day, shards: make(map[string]bool)}
	if b.day == nil {
		b.day = func() time.Time { return always }
	}
	if err := b.sweep(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if made {
		if err := syncParent(name); err != nil {
			return nil, errors.Join(err, root.Close())
		}
	}
	return b, nil
}

// sweep empties tmp, and makes it if it is missing. Nothing rests on that being
// durable: the next start does it again.
func (b *Blobs) sweep() error {
	if err := b.root.RemoveAll(tmp); err != nil {
		return err
	}
	if err := b.root.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	return errors.Join(b.forgetTimes(tmp), b.forgetTimes("."))
}

// Close releases the folder. Blobs that are open stay so.
func (b *Blobs) Close() error { return b.root.Close() }

// Create implements store.Blobs. The writer holds a buffer of constant size,
// however long the blob.
func (b *Blobs) Create(ctx context.Context, name string) (store.BlobWriter, error) {
	if err := usable(ctx, name); err != nil {
		return nil, err
	}
	w, err := b.create(name)
	if err != nil {
		return nil, fmt.Errorf("creating blob %s: %w", name, err)
	}
	return w, nil
}

func (b *Blobs) create(name string) (*writer, error) {
	switch _, err := b.root.Lstat(place(name)); {
	case err == nil:
		return nil, store.ErrExists
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	temp := path.Join(tmp, rand.Text())
	f, err := b.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return newWriter(b, f, temp, name), nil
}

// Open implements store.Blobs.
func (b *Blobs) Open(ctx context.Context, name string) (store.Blob, error) {
	if err := usable(ctx, name); err != nil {
		return nil, err
	}
	f, err := b.openFile(place(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", name, store.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("opening blob %s: %w", name, err)
	}
	return f, nil
}

func (b *Blobs) openFile(name string) (*blob, error) {
	// That a blob was read, and when, is nothing to keep either. Only the
	// owner of a file may ask so; a reader of a backup need not be.
	f, err := b.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|noAccessTime, 0)
	if errors.Is(err, fs.ErrPermission) {
		f, err = b.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("not a file: %w", store.ErrCorrupt)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &blob{File: f, size: info.Size()}, nil
}

// Remove implements store.Blobs. A blob that is open can be read to its end.
func (b *Blobs) Remove(ctx context.Context, name string) error {
	if err := usable(ctx, name); err != nil {
		return err
	}
	b.names.Lock()
	err := b.root.Remove(place(name))
	b.names.Unlock()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = b.settle(shard(name))
	}
	if err != nil {
		return fmt.Errorf("removing blob %s: %w", name, err)
	}
	return nil
}

// List implements store.Blobs. It passes over whatever is not a blob.
func (b *Blobs) List(ctx context.Context, f func(name string, size int64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.entries(".", func(dir fs.DirEntry) error {
		if !dir.IsDir() || len(dir.Name()) != shardLen {
			return nil
		}
		return b.entries(dir.Name(), func(e fs.DirEntry) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if store.ValidateBlobName(e.Name()) != nil || shard(e.Name()) != dir.Name() || !e.Type().IsRegular() {
				return nil
			}
			info, err := b.root.Lstat(place(e.Name()))
			if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
				return nil
			}
			if err != nil {
				return fmt.Errorf("listing blobs: %w", err)
			}
			return f(e.Name(), info.Size())
		})
	})
}

// entries calls f with each entry of the folder, a few at a time.
func (b *Blobs) entries(folder string, f func(fs.DirEntry) error) error {
	d, err := b.root.OpenFile(folder, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("listing blobs: %w", err)
	}
	defer d.Close()
	for {
		entries, err := d.ReadDir(256)
		for _, e := range entries {
			if err := f(e); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listing blobs: %w", err)
		}
	}
}

// makeShard makes the folder of a blob and makes it durable, unless that is
// done. Who finds it made by another must not go on before it is durable.
func (b *Blobs) makeShard(folder string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shards[folder] {
		return nil
	}
	if err := b.root.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := b.settle("."); err != nil {
		return err
	}
	b.shards[folder] = true
	return nil
}

// settle resets the times of folders, and makes durable what happened in them.
func (b *Blobs) settle(folders ...string) error {
	for _, folder := range folders {
		d, err := b.root.OpenFile(folder, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		err = errors.Join(b.forgetTimes(folder), d.Sync(), d.Close())
		if err != nil {
			return err
		}
	}
	return nil
}

// always is the time that everything here has, but for blobs that are not settled.
var always = time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)

// forgetTimes gives name that time.
func (b *Blobs) forgetTimes(name string) error { return b.root.Chtimes(name, always, always) }

const shardLen = 2

func shard(name string) string { return name[:shardLen] }

// place is where a committed blob is.
func place(name string) string { return path.Join(shard(name), name) }

func usable(ctx context.Context, name string) error {
	if err := store.ValidateBlobName(name); err != nil {
		return err
	}
	return ctx.Err()
}

// blob is an open blob. File.ReadAt may be called concurrently.
type blob struct {
	*os.File
	size int64
}

func (b *blob) Size() int64 { return b.size }
