package mem

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync"

	"tipbox/store"
)

var _ store.Blobs = (*Blobs)(nil)

// Blobs is a store.Blobs in memory. Make it with NewBlobs.
type Blobs struct {
	mu    sync.RWMutex      // guards blobs
	blobs map[string][]byte // committed; the bytes never change
}

// NewBlobs returns an empty Blobs.
func NewBlobs() *Blobs { return &Blobs{blobs: make(map[string][]byte)} }

// Create implements store.Blobs.
func (b *Blobs) Create(ctx context.Context, name string) (store.BlobWriter, error) {
	if err := usable(ctx, name); err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if _, ok := b.blobs[name]; ok {
		return nil, fmt.Errorf("blob %s: %w", name, store.ErrExists)
	}
	return &writer{blobs: b, name: name}, nil
}

// Open implements store.Blobs.
func (b *Blobs) Open(ctx context.Context, name string) (store.Blob, error) {
	if err := usable(ctx, name); err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	data, ok := b.blobs[name]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", name, store.ErrNotFound)
	}
	return blob{bytes.NewReader(data)}, nil
}

// Remove implements store.Blobs.
func (b *Blobs) Remove(ctx context.Context, name string) error {
	if err := usable(ctx, name); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.blobs, name)
	return nil
}

// List implements store.Blobs.
func (b *Blobs) List(ctx context.Context, f func(name string, size int64) error) error {
	b.mu.RLock()
	sizes := make(map[string]int64, len(b.blobs))
	for name, data := range b.blobs {
		sizes[name] = int64(len(data))
	}
	b.mu.RUnlock()
	for name, size := range sizes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(name, size); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func usable(ctx context.Context, name string) error {
	if err := store.ValidateBlobName(name); err != nil {
		return err
	}
	return ctx.Err()
}

type writer struct {
	blobs *Blobs
	name  string
	buf   bytes.Buffer
	ended bool
}

func (w *writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, fmt.Errorf("writing blob %s: %w", w.name, os.ErrClosed)
	}
	return w.buf.Write(p)
}

func (w *writer) Commit() error {
	if w.ended {
		return fmt.Errorf("committing blob %s: %w", w.name, os.ErrClosed)
	}
	w.ended = true
	w.blobs.mu.Lock()
	defer w.blobs.mu.Unlock()
	if _, ok := w.blobs.blobs[w.name]; ok {
		return fmt.Errorf("blob %s: %w", w.name, store.ErrExists)
	}
	w.blobs.blobs[w.name] = w.buf.Bytes()
	return nil
}

func (w *writer) Abort() {
	w.ended = true
}

// blob is an open blob. bytes.Reader.ReadAt may be called concurrently.
type blob struct{ *bytes.Reader }

func (blob) Close() error { return nil }
