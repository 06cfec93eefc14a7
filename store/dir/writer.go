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

const (
	// bufferSize is what a writer holds in memory: it gathers small pieces,
	// and large ones pass it by.
	bufferSize = 4 << 10
	// pushOutEvery is how much the kernel may hold back: then the disk writes
	// while the rest still comes in, and the Sync of a long blob finds little
	// left to do.
	pushOutEvery = 8 << 20
)

// writer is a blob that is being written.
type writer struct {
	blobs *Blobs
	file  *os.File // nil when ended
	buf   *bufio.Writer
	temp  string // where it is
	name  string // what it will be

	wrote  int64 // bytes in file
	pushed int64 // of them, those that the kernel was told to write
}

func newWriter(b *Blobs, f *os.File, temp, name string) *writer {
	w := &writer{blobs: b, file: f, temp: temp, name: name}
	w.buf = bufio.NewWriterSize(pushing{w}, bufferSize)
	return w
}

// pushing is the file behind a writer's buffer.
type pushing struct{ *writer }

func (w pushing) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.wrote += int64(n)
	if w.wrote-w.pushed >= pushOutEvery {
		pushOut(w.file, w.pushed, w.wrote-w.pushed)
		w.pushed = w.wrote
	}
	return n, err
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
	day := w.blobs.day()
	if err := w.blobs.root.Chtimes(w.temp, day, day); err != nil {
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
