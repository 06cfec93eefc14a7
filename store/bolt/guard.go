package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"tipbox/store"
)

// bbolt trusts its pages: on a damaged one it panics, or follows a number out
// of the mapped file. The two functions below turn both into ErrCorrupt.
//
// caught is for what only reads: a read transaction shares nothing that a
// panic could leave half done, so the next call is as good as the first, and
// one damaged page does not take the others with it. guarded is for bbolt's
// own steps, which hold its locks: after a panic there nothing may call bbolt
// any more, not even its Close, so the DB stops until the process is started
// again.

// caught runs f, which reads with a transaction and takes no lock of bbolt.
func caught(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = damage(p)
		}
	}()
	return f()
}

// guarded runs f, which begins or ends a transaction.
func (d *DB) guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = damage(p)
			d.stuck.Store(true)
			d.fail(err)
		}
	}()
	return f()
}

func damage(p any) error { return fmt.Errorf("%w: %v", store.ErrCorrupt, p) }

// fail stops the DB: every later call but Close returns an error wrapping err.
func (d *DB) fail(err error) {
	err = fmt.Errorf("database %s stopped, start again: %w", d.path, err)
	d.fault.CompareAndSwap(nil, &err)
}

// enter begins a call. Unless it returns an error, leave must follow.
func (d *DB) enter(ctx context.Context) error {
	d.life.RLock()
	err := ctx.Err()
	if fault := d.fault.Load(); fault != nil {
		err = *fault
	}
	if d.closed {
		err = fmt.Errorf("database %s: %w", d.path, store.ErrClosed)
	}
	if err != nil {
		d.life.RUnlock()
	}
	return err
}

func (d *DB) leave() { d.life.RUnlock() }

// begin begins a transaction in the file as it is now. Compact may close it
// between our look and our step: then there is another.
func (d *DB) begin(writable bool) (*handle, *bbolt.Tx, error) {
	for {
		h := d.at.Load()
		tx, err := h.bolt.Begin(writable)
		if !errors.Is(err, berrors.ErrDatabaseNotOpen) || h == d.at.Load() {
			return h, tx, err
		}
	}
}

// view runs f with a read transaction.
func (d *DB) view(ctx context.Context, f func(*handle, *bbolt.Tx) error) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.leave()
	return d.read(f)
}

// read is view within a call that has entered.
func (d *DB) read(f func(*handle, *bbolt.Tx) error) error {
	return d.guarded(func() error {
		h, tx, err := d.begin(false)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		return caught(func() error { return f(h, tx) })
	})
}
