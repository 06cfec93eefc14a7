package tipbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"tipbox/store"
)

// Format is the version of what a store holds: of the records that records.go
// lists, and of their fields. A store says under meta/format of which it is; one
// that says nothing is of the first. Any change of what is stored is another
// format, also a new field: an earlier program takes a field that it does not know
// for damage, and must refuse the store instead. So an upgrade has one way back,
// which is the backup made before.
//
// Two other versions stand beside it. What is derived of the events (states,
// deadlines, the lines of the inbox) has one of its own, in meta/tips: every
// program derives it anew if another version or another roster has, so it needs no
// migration, and is no reason to refuse anything. And store/bolt has one for the
// layout of its file, which knows nothing of records.
//
// Events are signed, and so are never rewritten: a program reads those of every
// format.
const Format = 1

// A migration brings a store from one format to the next. It may be cut off at any
// point and is then begun anew, so what it does twice must come to what it does
// once. The mark follows it, in a write of its own.
type migration func(ctx context.Context, s store.Store) error

// migrations are all of them, in their order: the first is from 1 to 2.
var migrations []migration

// StoreFormat is the format that a store says it is of. A damaged mark is
// store.ErrCorrupt.
func StoreFormat(ctx context.Context, s store.Store) (int, error) {
	format, _, err := readFormat(ctx, s)
	return format, err
}

// readFormat returns the revision of the mark besides; 0 if there is none.
func readFormat(ctx context.Context, s store.Store) (int, store.Revision, error) {
	rec, err := s.Get(ctx, keyFormat)
	if errors.Is(err, store.ErrNotFound) {
		return 1, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("reading the format: %w", err)
	}
	format, err := parseFormat(rec)
	return format, rec.Revision, err
}

func parseFormat(rec store.Record) (int, error) {
	format, err := strconv.Atoi(string(rec.Value))
	if err != nil || format < 1 || strconv.Itoa(format) != string(rec.Value) {
		return 0, fmt.Errorf("record %s: %.20q is no format: %w", rec.Key, rec.Value, store.ErrCorrupt)
	}
	return format, nil
}

// CheckFormat refuses, with ErrNewer, a store of a format that this program does
// not know.
func CheckFormat(ctx context.Context, s store.Store) error {
	format, err := StoreFormat(ctx, s)
	if err == nil && format > Format {
		err = newer(format, Format)
	}
	return err
}

func newer(format, known int) error {
	return fmt.Errorf("it is of format %d, and this program knows formats up to %d: start the program that it was last used with, or restore the backup made before the upgrade: %w",
		format, known, ErrNewer)
}

// Migrate brings the store to this program's Format, and marks it so. It refuses one
// of a newer format (ErrNewer) and has changed nothing then. Call it before anything
// else, while no other process uses the store; what was cut off goes on at the next
// call.
func (s *Service) Migrate(ctx context.Context) error {
	from, err := migrate(ctx, s.cfg.Store, migrations)
	if errors.Is(err, store.ErrCorrupt) {
		// Records of another shape are refused one by one, so what is lost with the
		// mark is a plain word, and no reason to serve nobody.
		err = fmt.Errorf("of which format the store is cannot be told, it is taken to be %d: %w", Format, err)
		s.mend(err)
		return s.cfg.Store.Apply(ctx, store.Put(keyFormat, formatMark(Format)))
	}
	if err == nil && from < Format {
		s.cfg.Log.Info("the store is of this program's format now, and earlier programs refuse it", "format", Format, "before", from)
	}
	return err
}

// migrate takes the steps that are to be taken and returns the format before them.
func migrate(ctx context.Context, s store.Store, steps []migration) (from int, err error) {
	format, rev, err := readFormat(ctx, s)
	if err != nil {
		return 0, err
	}
	last := len(steps) + 1
	if format > last {
		return 0, newer(format, last)
	}
	if rev == 0 {
		if err := s.Apply(ctx, store.Create(keyFormat, formatMark(format))); err != nil {
			return 0, fmt.Errorf("marking the format: %w", err)
		}
	}
	for now := format; now < last; now++ {
		if err := steps[now-1](ctx, s); err != nil {
			return 0, fmt.Errorf("migrating from format %d to %d, which the next start goes on with: %w", now, now+1, err)
		}
		if err := s.Apply(ctx, store.Put(keyFormat, formatMark(now+1))); err != nil {
			return 0, fmt.Errorf("marking the format: %w", err)
		}
	}
	return format, nil
}

func formatMark(format int) []byte { return []byte(strconv.Itoa(format)) }
