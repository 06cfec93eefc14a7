package tipbox

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tipbox/crypto/roster"
	"tipbox/store"
)

// A Glance is what can be seen of a store in a moment, however large it is. Check
// sees all. Who takes one every few seconds learns nothing of what comes in.
type Glance struct {
	Format   int         `json:"format"`
	Roster   roster.Mark `json:"roster"`          // of the newest roster that was in force
	Ahead    string      `json:"ahead,omitempty"` // the newest day of a tip, if that is after today
	Orphans  int         `json:"orphans"`         // blobs of no tip, if it was looked for them
	Problems []string    `json:"problems"`        // what is amiss with the newest tips
}

// glanceTips is how many of a channel's newest tips are looked at.
const glanceTips = 100

// BlobView is what a Glance takes of store.Blobs.
type BlobView interface {
	Open(ctx context.Context, name string) (store.Blob, error)
	List(ctx context.Context, f func(name string, size int64) error) error
}

// TakeGlance looks at a store and its blobs on a day (2006-01-02). Orphans are looked
// for if nothing is being received: else what comes in looks like one. It takes the
// names of all blobs, and is long if there are many.
func TakeGlance(ctx context.Context, s store.Store, blobs BlobView, today string, orphans bool) (*Glance, error) {
	g := &glancer{Glance: Glance{Problems: []string{}}, s: s, blobs: blobs}
	var err error
	if g.Format, err = StoreFormat(ctx, s); errors.Is(err, store.ErrCorrupt) {
		g.problem("%v", err)
	} else if err != nil {
		return nil, err
	}
	if g.Format > Format {
		return &g.Glance, nil // what is there cannot be judged
	}
	rec, err := s.Get(ctx, keyRosterMark)
	if err == nil {
		err = decode(rec, &g.Roster)
	}
	if errors.Is(err, store.ErrCorrupt) {
		g.problem("%v", err)
	} else if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	for _, inbox := range []store.Key{"inbox/", "over/"} {
		if err := g.inbox(ctx, inbox, today); err != nil {
			return nil, fmt.Errorf("looking at the newest tips: %w", err)
		}
	}
	if orphans {
		err = g.countOrphans(ctx)
	}
	return &g.Glance, err
}

type glancer struct {
	Glance
	s     store.Store
	blobs BlobView
}

func (g *glancer) problem(format string, args ...any) {
	g.Problems = append(g.Problems, fmt.Sprintf(format, args...))
}

// inbox looks at the newest lines of each channel.
func (g *glancer) inbox(ctx context.Context, inbox store.Key, today string) error {
	for after := inbox; ; {
		recs, err := g.s.Scan(ctx, inbox, after, 1)
		if err != nil || len(recs) == 0 {
			return err
		}
		channel, _, _ := strings.Cut(strings.TrimPrefix(string(recs[0].Key), string(inbox)), "/")
		prefix := inbox + store.Key(channel+"/")
		if recs, err = g.s.Scan(ctx, prefix, "", glanceTips); err != nil {
			return err
		}
		for _, rec := range recs {
			if rec.Err != nil {
				g.problem("%v", rec.Err)
				continue
			}
			day, _, _ := strings.Cut(strings.TrimPrefix(string(rec.Key), string(prefix)), "/")
			if day = newestFirst(day); day > today && day > g.Ahead { // it is its own inverse
				g.Ahead = day
			}
			if err := g.tip(ctx, inboxTip(rec.Key)); err != nil {
				return err
			}
		}
		after = prefix + "~" // behind all of the channel
	}
}

// tip looks at one tip. What it finds counts if the tip is still as it was: it may
// be erased or grow meanwhile.
func (g *glancer) tip(ctx context.Context, id string) error {
	before, err := g.s.Get(ctx, keyTip(id))
	if errors.Is(err, store.ErrNotFound) {
		return nil // erased meanwhile; else Check says so
	}
	if err == nil {
		err = g.lookAt(ctx, id, before)
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if now, again := g.s.Get(ctx, keyTip(id)); again == nil && now.Revision == before.Revision || errors.Is(again, store.ErrCorrupt) {
		g.problem("tip %s: %v", id, err)
	}
	return nil
}

func (g *glancer) lookAt(ctx context.Context, id string, rec store.Record) error {
	t, err := decodeTip(rec)
	if err != nil {
		return err
	}
	slots, err := g.s.Get(ctx, keySlots(id))
	if err == nil {
		_, err = decodeSlots(slots)
	}
	if err != nil {
		return fmt.Errorf("keyslots, without which no member can open it: %w", err)
	}
	if box, err := g.s.Get(ctx, t.Box); err != nil || string(box.Value) != id {
		return errors.New("its mailbox is damaged, missing or leads elsewhere: its source cannot come back")
	}
	events := 0
	err = each(ctx, g.s, keyEvents(id), func(rec store.Record) error {
		if rec.Err != nil {
			return rec.Err
		}
		e, err := parseEvent(rec.Value)
		if err != nil {
			return fmt.Errorf("record %s: %w", rec.Key, err)
		}
		events++
		return g.event(ctx, id, e)
	})
	if err == nil && events != t.Events {
		err = fmt.Errorf("there are %d messages, and its record is of %d", events, t.Events)
	}
	return err
}

func (g *glancer) event(ctx context.Context, id string, e *Event) error {
	if e.Sealed != "" {
		if _, err := g.s.Get(ctx, keySealed(id, e.Number)); err != nil {
			return fmt.Errorf("message %d: %w", e.Number, err)
		}
	}
	for i, f := range e.Files {
		b, err := g.blobs.Open(ctx, f.Blob)
		if err == nil {
			if b.Size() != f.Sealed {
				err = fmt.Errorf("%d bytes, not %d: %w", b.Size(), f.Sealed, store.ErrCorrupt)
			}
			b.Close()
		}
		if err != nil {
			return fmt.Errorf("message %d: file %d (blob %s): %w", e.Number, i+1, f.Blob, err)
		}
	}
	return nil
}

// countOrphans counts the blobs whose tip is not there. What a tip that is there does
// not name, Check finds.
func (g *glancer) countOrphans(ctx context.Context) error {
	there := make(map[string]bool)
	return g.blobs.List(ctx, func(name string, _ int64) error {
		id := name[:min(tipIDLength, len(name))]
		known, asked := there[id]
		if !asked {
			_, err := g.s.Get(ctx, keyTip(id))
			if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) {
				return err
			}
			known = !errors.Is(err, store.ErrNotFound)
			there[id] = known
		}
		if !known {
			g.Orphans++
		}
		return nil
	})
}
