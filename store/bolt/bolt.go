// Package bolt keeps records in one file, with go.etcd.io/bbolt. It is the
// default store of a Tipbox server.
//
// An Apply that returned nil is on disk: the pages were synced before the meta
// page that names them, and that one too. Concurrent Applies share a commit,
// and so share the price of its two syncs; a lone one waits for nobody.
//
// One process has the file open for writing, by a lock on the file. Whoever
// keeps other things beside it (store/dir does) may rely on that lock.
//
// Each record carries a checksum over its key, revision and value, so a value
// that changed on the disk is store.ErrCorrupt and never a wrong value. A
// record that vanished with a damaged key looks like one that never was: Check
// finds that, Get cannot.
//
// Revisions and page contents tell no order of arrival. The file as a whole
// does tell something of its recent past: pages not yet used again still hold
// what was deleted or replaced, and pages lie in the order in which they were
// written. A Snapshot and a file after Compact hold nothing of that. Compact
// after deleting much, too: the list of free pages is written with every commit,
// and a long one makes each slow. The file's times of modification and access
// are those that the Config says. The time of its last change of status is the
// system's alone to set, to that of the last write or ResetTimes.
//
// Where a process locks its memory (mlockall), the file is left out of it: its
// pages are never swapped, and would take more and more of the memory for good.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"tipbox/store"
)

// format is the layout of the file that this package writes and reads.
const format = "1"

// Names of the buckets, and the one key in the meta bucket.
const (
	recordsBucket = "records"
	metaBucket    = "meta"
	formatKey     = "format"
)

var _ store.Store = (*DB)(nil)

// Config says how to open a DB. The zero value and nil are good defaults.
type Config struct {
	// Timeout is how long Open waits for another process to let go of the
	// file. Zero means one second.
	Timeout time.Duration

	// ReadOnly opens an existing file for reading only; several processes
	// may do so at once. Apply is then store.ErrInvalid.
	ReadOnly bool

	// MustExist makes a missing file an error that wraps fs.ErrNotExist. Set
	// it wherever a missing database is a loss and not a beginning.
	MustExist bool

	// Day is what the file's times of modification and access are set to by Open
	// and after every write: the beginning of the day, say. Nil leaves them alone.
	Day func() time.Time
}

// DB is a store.Store in one file. Make it with Open.
type DB struct {
	path     string
	readOnly bool
	day      func() time.Time       // nil if times are left alone
	at       atomic.Pointer[handle] // Compact puts another in its place
	queue    queue
	changed  map[string]bool       // the keys written while Compact copies, or nil; for who leads
	fault    atomic.Pointer[error] // set by fail, once
	stuck    atomic.Bool           // a lock of bbolt's may be held for ever

	compacting sync.Mutex // held by the one Compact at a time

	life   sync.RWMutex // held for reading by every call under way; guards closed
	closed bool
}

// Open opens the file at path, and makes it, with mode 0600, if there is none;
// its folder must be there. A new file appears whole or not at all, and is
// durable, with its folder, when Open returns.
//
// A file that another process has open is store.ErrLocked, one that is damaged
// or no database of Tipbox is store.ErrCorrupt. A file of another format is
// refused.
func Open(path string, cfg *Config) (*DB, error) {
	if cfg == nil {
		cfg = new(Config)
	}
	d, err := open(path, *cfg)
	if err != nil {
		return nil, fmt.Errorf("opening database %s: %w", path, err)
	}
	return d, nil
}

func open(path string, cfg Config) (*DB, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Second
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !cfg.ReadOnly {
		if cfg.MustExist {
			return nil, err
		}
		if err := create(path); err != nil {
			return nil, err
		}
	}
	d := &DB{path: path, readOnly: cfg.ReadOnly, day: cfg.Day}
	for {
		h, err := openHandle(path, cfg)
		if err != nil {
			return nil, err
		}
		same, err := h.is(path)
		if err == nil && same {
			d.at.Store(h)
			break
		}
		// While we waited for the lock, Compact put another file in the place
		// of the one we waited for.
		if err := errors.Join(err, h.bolt.Close()); err != nil {
			return nil, err
		}
	}
	if err := d.ready(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// ready refuses a file that is not fit for use, and removes what a Compact that
// was cut off has left.
func (d *DB) ready() error {
	if err := d.view(context.Background(), (*handle).inspect); err != nil {
		return err
	}
	if d.readOnly {
		return nil
	}
	d.ResetTimes()
	if err := os.Remove(d.path + compactSuffix); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ResetTimes gives the file the times of Config.Day again. Whoever calls it every
// minute hides from the time of status change when the last write was, but for one
// in that minute. That it fails is no fault of the data's: the next call does it.
func (d *DB) ResetTimes() {
	if d.day != nil {
		day := d.day()
		os.Chtimes(d.path, day, day)
	}
}

// Close implements store.Store.
func (d *DB) Close() error {
	d.life.Lock()
	defer d.life.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	if d.stuck.Load() {
		return nil // the file stays open, and locked, until the process ends
	}
	if err := d.at.Load().bolt.Close(); err != nil {
		return fmt.Errorf("closing database %s: %w", d.path, err)
	}
	return nil
}

// A handle is an open file.
type handle struct {
	bolt *bbolt.DB
	file *os.File // bbolt's own, for reading past its mapping
}

func openHandle(path string, cfg Config) (*handle, error) {
	h := new(handle)
	opts := options(cfg)
	opts.OpenFile = h.openFile
	err := caught(func() (err error) {
		h.bolt, err = bbolt.Open(path, 0o600, opts)
		return err
	})
	if err != nil {
		return nil, explain(err)
	}
	info, err := h.file.Stat()
	if err != nil {
		return nil, errors.Join(err, h.bolt.Close())
	}
	unlock(h.bolt, max(int64(mapSize), info.Size()))
	return h, nil
}

// unlockAll unlocks what is in use of the mapping, which may be another than the
// transaction before had.
func unlockAll(tx *bbolt.Tx) { unlock(tx.DB(), max(int64(mapSize), tx.Size())) }

// mapSize is how much address space bbolt takes for its file at once, where
// there is plenty. When a file outgrows it, every call waits for the
// transactions under way to end, and a Snapshot may take a while.
const mapSize = int(uint64(64<<30) * uint64(^uint(0)>>63))

func options(cfg Config) *bbolt.Options {
	return &bbolt.Options{
		Timeout:         cfg.Timeout,
		ReadOnly:        cfg.ReadOnly,
		FreelistType:    bbolt.FreelistMapType,
		PreLoadFreelist: true, // while Open can still refuse a damaged one
		InitialMmapSize: mapSize,
	}
}

// create makes a new database under another name and links it to path, so
// that nobody, not even after a crash, finds half a database there.
func create(path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	db, err := layOut(f.Name())
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	// Where another process came first, its database is as good.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// layOut makes an empty database of our format in the empty file at path.
// Nothing of it is durable before the file is synced.
func layOut(path string) (*bbolt.DB, error) {
	opts := options(Config{})
	opts.NoSync, opts.NoGrowSync = true, true
	db, err := bbolt.Open(path, 0o600, opts)
	if err != nil {
		return nil, err
	}
	unlock(db, int64(mapSize))
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucket([]byte(recordsBucket)); err != nil {
			return err
		}
		meta, err := tx.CreateBucket([]byte(metaBucket))
		if err != nil {
			return err
		}
		return meta.Put([]byte(formatKey), []byte(format))
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// openFile opens the file for bbolt, which would make a new one, and take an
// empty one for a new one: here that is a database that lost its content.
func (h *handle) openFile(path string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag&^os.O_CREATE|syscall.O_NONBLOCK, mode) // or a pipe would have it wait
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: it is no file", store.ErrCorrupt)
	} else if err == nil && info.Size() == 0 {
		err = fmt.Errorf("%w: the file is empty", store.ErrCorrupt)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	h.file = f
	return f, nil
}

// is reports whether path is the name of the file.
func (h *handle) is(path string) (bool, error) {
	ours, err := h.file.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(ours, there), err
}

// inspect refuses a file that is cut short, that would lead bbolt in circles,
// or that is not of our format.
func (h *handle) inspect(tx *bbolt.Tx) error {
	if err := h.checkPages(tx, false); err != nil {
		return err
	}
	meta := tx.Bucket([]byte(metaBucket))
	if meta == nil || tx.Bucket([]byte(recordsBucket)) == nil {
		return fmt.Errorf("%w: not a database of Tipbox", store.ErrCorrupt)
	}
	if v := meta.Get([]byte(formatKey)); string(v) != format {
		return fmt.Errorf("format %.20q, but this program knows only %q: use the version of Tipbox that wrote it", v, format)
	}
	return nil
}

// explain gives an error of bbolt.Open one of the store's meanings.
func explain(err error) error {
	var pathErr *fs.PathError
	var errno syscall.Errno
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("%w: stop the other program that has it open, then try again", store.ErrLocked)
	case errors.Is(err, store.ErrCorrupt), errors.As(err, &pathErr), errors.As(err, &errno):
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
}
