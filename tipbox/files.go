package tipbox

import (
	"context"
	"fmt"
	"strings"

	"tipbox/store"
)

// EachFile calls f with every attachment of the tips in s, and with the record
// of the event that names it, until f returns an error. Those of one tip come
// together, in the order of the tips' ids. What is left of a tip whose erasure
// has begun is passed over: it may be gone already.
//
// It is for whoever copies a store: no signature is checked here (see Check).
func EachFile(ctx context.Context, s store.Store, f func(event store.Record, file EventFile) error) error {
	return each(ctx, s, prefixTip, func(rec store.Record) error {
		t, err := decodeTip(rec)
		if err != nil || t.Files == 0 {
			return err
		}
		id := strings.TrimPrefix(string(rec.Key), string(prefixTip))
		return each(ctx, s, keyEvents(id), func(event store.Record) error {
			e, err := parseEvent(event.Value)
			if err != nil {
				return fmt.Errorf("record %s: %w: %w", event.Key, store.ErrCorrupt, err)
			}
			for _, file := range e.Files {
				if err := f(event, file); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
