package tipbox_test

import (
	"context"
	"errors"

	"tipbox/store"
	"tipbox/store/mem"
)

// failingStore fails its writes while fail is set: before anything is written,
// or after everything is, which the contract allows too.
type failingStore struct {
	store.Store
	fail  bool
	after bool
}

var errFull = errors.New("no space left on device")

func (f *failingStore) wrap() *failingStore {
	f.Store = mem.New()
	return f
}

func (f *failingStore) Apply(ctx context.Context, changes ...store.Change) error {
	if f.fail && !f.after {
		return errFull
	}
	err := f.Store.Apply(ctx, changes...)
	if err == nil && f.fail {
		return errFull
	}
	return err
}
