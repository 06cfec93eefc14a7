package dir

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tipbox/store"
)

// bufferSize is what a writer holds in memory.
const bufferSize = 256 << 10

// writer is a blob that is being written.
type writer struct {
	blobs *Blobs
	file  *os.File // nil when ended
	buf   *bufio.Writer
	temp  string // where it is
	name  string // what it will be
}

func newWriter(b *Blobs, f *os.File, temp, name string) *writer {
	return &writer{blobs: b, file: f, buf: bufio.NewWriterSize(f, bufferSize), temp: temp, name: name}
}

// Write implements store.BlobWriter.
func (w *writer) Write(p []byte) (int, error) {
	if w.file == nil {
		return 0, fmt.Errorf("writing blob %s: %w", w.name, os.ErrClosed)
	}
	n, err := w.buf.Write(p)
	if err != nil {
		return n, fmt.Errorf("writing blob %s: %w", w.name, err)
	}
	return n, nil
}

// Commit implements store.BlobWriter.
func (w *writer) Commit() error {
	if w.file == nil {
		return fmt.Errorf("committing blob %s: %w", w.name, os.ErrClosed)
	}
	defer w.Abort() // of what is left in tmp
	if err := w.commit(); err != nil {
		return fmt.Errorf("committing blob %s: %w", w.name, err)
	}
	return nil
}

func (w *writer) commit() error {
	if err := w.buf.Flush(); err != nil {
		return err
	}
	if err := w.blobs.forgetTimes(w.temp); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	if err := w.blobs.makeShard(shard(w.name)); err != nil {
		return err
	}
	err := w.blobs.root.Link(w.temp, place(w.name)) // which overwrites nothing
	if errors.Is(err, fs.ErrExist) {
		return store.ErrExists
	}
	if err != nil {
		return err
	}
	if err := w.blobs.settle(shard(w.name)); err != nil {
		return errors.Join(err, w.blobs.root.Remove(place(w.name)))
	}
	return nil
}

// Abort implements store.BlobWriter. What it fails to remove, the next Open
// does.
func (w *writer) Abort() {
	if w.file == nil {
		return
	}
	w.file.Close()
	w.blobs.root.Remove(w.temp)
	w.blobs.forgetTimes(tmp)
	w.file, w.buf = nil, nil
}

// syncParent makes the folder's own name durable.
func syncParent(folder string) error {
	d, err := os.Open(filepath.Dir(filepath.Clean(folder)))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
