package bolt

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"tipbox/store"
)

// maxFindings is how many faults Check names before it only counts them.
const maxFindings = 10

// Check reads the whole file: its pages, bbolt's own consistency check, and
// every record with its checksum. What it finds is one error wrapping
// store.ErrCorrupt. Applies wait until it is done; a cancelled ctx ends it.
func (d *DB) Check(ctx context.Context) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.leave()
	err := d.guarded(func() error {
		// bbolt's check looks at the list of free pages, which writers
		// change: so none may be at work.
		h, tx, err := d.begin(!d.readOnly)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		return caught(func() error { return h.check(ctx, tx) })
	})
	if err != nil {
		return fmt.Errorf("checking database %s: %w", d.path, err)
	}
	return nil
}

func (h *handle) check(ctx context.Context, tx *bbolt.Tx) error {
	// First, because bbolt's check works in a goroutine of its own, where
	// nothing of ours recovers from a number that leads out of the file.
	if err := h.checkPages(tx, true); err != nil {
		return err
	}
	var found findings
	if err := h.checkMetas(); err != nil {
		found.add(err)
	}
	for err := range tx.Check() {
		found.add(err) // to the end: its goroutine waits for us
	}
	c := tx.Bucket([]byte(recordsBucket)).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := store.Key(k).Valid(); err != nil {
			found.add(err)
		}
		if _, err := revision(k, v); err != nil {
			found.add(err)
		}
	}
	return found.err()
}

// findings are the faults that a check found.
type findings struct {
	first []error
	count int
}

func (f *findings) add(err error) {
	f.count++
	if len(f.first) < maxFindings {
		f.first = append(f.first, err)
	}
}

func (f *findings) err() error {
	if f.count == 0 {
		return nil
	}
	return fmt.Errorf("%w: faults found: %d, the first being: %v", store.ErrCorrupt, f.count, errors.Join(f.first...))
}
