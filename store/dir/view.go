package dir

import (
	"context"
	"fmt"
	"os"

	"tipbox/store"
)

// A View reads the committed blobs of a folder that another process has open,
// and changes nothing in it. Make it with OpenView.
type View struct{ blobs Blobs }

// OpenView opens the folder at path for reading.
func OpenView(path string) (*View, error) {
	root, err := os.OpenRoot(path + "/.") // so that nobody waits at a pipe
	if err != nil {
		return nil, fmt.Errorf("opening blobs: %w", err)
	}
	return &View{Blobs{root: root}}, nil
}

// Open opens a committed blob, or returns store.ErrNotFound.
func (v *View) Open(ctx context.Context, name string) (store.Blob, error) {
	return v.blobs.Open(ctx, name)
}

// Close releases the folder. Blobs that are open stay so.
func (v *View) Close() error { return v.blobs.Close() }

// List calls f with the name and size of every committed blob: see store.Blobs.
func (v *View) List(ctx context.Context, f func(name string, size int64) error) error {
	return v.blobs.List(ctx, f)
}
