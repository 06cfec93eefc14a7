package tipbox_test

import (
	"context"
	"errors"

	"tipbox/store"
	"tipbox/store/mem"
)

// failingStore fails its writes while fail is set.
type failingStore struct {
	store.Store
	fail bool
}

var errFull = errors.New("no space left on device")

func (f *failingStore) wrap() *failingStore {
	f.Store = mem.New()
	return f
}

func (f *failingStore) Apply(ctx context.Context, changes ...store.Change) error {
	if f.fail {
		return errFull
	}
	return f.Store.Apply(ctx, changes...)
}
