package tipbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"tipbox/store"
)

// A Report is what Check found.
type Report struct {
	Tips     int      `json:"tips"`
	Messages int      `json:"messages"`
	Files    int      `json:"files"`
	Erased   int      `json:"erased"`   // tips that are no longer there
	Orphans  []string `json:"orphans"`  // blobs that no message names: harmless, removed by Sweep
	Problems []string `json:"problems"` // what is damaged or missing
}

// Check proves the store whole: every record decodes, every chain of events
// verifies, every sealed message and every attachment is the one that was
// signed, every mailbox and inbox line leads to its tip, and nothing is there
// that no record names. What it finds amiss, all of it, is in the report; the
// error is for not being able to look.
func (s *Service) Check(ctx context.Context) (*Report, error) {
	c := &checker{
		s: s, named: make(map[string]bool), tips: make(map[string]bool), lines: make(map[store.Key]bool),
		erased: make(map[string]bool), unclear: make(map[string]bool),
		boxes: make(map[store.Key]bool), unread: make(map[string]bool),
	}
	c.report.Orphans, c.report.Problems = []string{}, []string{} // lists also in JSON
	s.mendedMu.Lock()
	for _, damage := range s.mended {
		c.problem("%v", damage)
	}
	s.mendedMu.Unlock()
	for _, step := range []func(context.Context) error{c.checkTips, c.checkErasures, c.checkIndexes, c.checkAll, c.checkBlobs} {
		err := step(ctx)
		if errors.Is(err, store.ErrCorrupt) { // more than a record
			c.problem("%v", err)
			c.torn = true
		} else if err != nil {
			return nil, fmt.Errorf("checking: %w", err)
		}
	}
	return &c.report, nil
}

type checker struct {
	s       *Service
	report  Report
	named   map[string]bool    // blobs that an event names
	tips    map[string]bool    // ids
	boxes   map[store.Key]bool // mailboxes that a tip's record names
	unread  map[string]bool    // ids of tips whose record is damaged
	lines   map[store.Key]bool // that lead to a tip
	erased  map[string]bool    // ids whose erasure is not done
	unclear map[string]bool    // ids of tips of which it cannot be told which blobs they name
	torn    bool               // so much is damaged that this goes for all
}

func (c *checker) problem(format string, args ...any) {
	c.report.Problems = append(c.report.Problems, fmt.Sprintf(format, args...))
}

func (c *checker) checkTips(ctx context.Context) error {
	return c.s.each(ctx, prefixTip, func(rec store.Record) error {
		id := strings.TrimPrefix(string(rec.Key), string(prefixTip))
		c.report.Tips++
		c.tips[id] = true
		t, err := decodeTip(rec)
		if err != nil {
			c.problem("tip %s: nobody can open it: %v", id, err)
			c.unclear[id], c.unread[id] = true, true
			return nil
		}
		c.boxes[t.Box] = true
		for _, key := range t.Parts {
			c.boxes[key] = true
			if box, err := c.s.cfg.Store.Get(ctx, key); err != nil || !strings.HasPrefix(string(box.Value), id+"/") {
				c.problem("tip %s: the mailbox %s of a part of an award is damaged, missing or leads elsewhere: who has its code cannot come back", id, key)
			}
		}
		if box, err := c.s.cfg.Store.Get(ctx, t.Box); err != nil || string(box.Value) != id {
			c.problem("tip %s: its mailbox is damaged, missing or leads elsewhere: its source cannot come back", id)
		}
		slots, err := c.s.cfg.Store.Get(ctx, keySlots(id))
		if err == nil {
			_, err = decodeSlots(slots)
		}
		if err != nil {
			c.problem("tip %s: keyslots, without which no member can open it: %v", id, err)
		}
		for _, want := range t.indexes(id) {
			c.lines[want.Key] = true
			if rec, err := c.s.cfg.Store.Get(ctx, want.Key); err != nil {
				c.problem("tip %s: its line in the inbox: %v", id, err)
			} else if !bytes.Equal(rec.Value, want.Value) {
				c.problem("tip %s: its line in the inbox is not as its record", id)
			}
		}
		if err := c.checkThread(ctx, id, t); err != nil {
			c.problem("%v", err)
			c.unclear[id] = true
		}
		return ctx.Err()
	})
}

func (c *checker) checkThread(ctx context.Context, id string, t *tipRecord) error {
	notes, err := c.s.notes(ctx, id, t.Events)
	if err != nil {
		return err
	}
	chain, err := readChain(id, notes, "", &keyring{source: t.Source, channel: t.Channel, roster: c.s.Roster()})
	if err != nil {
		return err
	}
	kase := foldCase(chain.events, t.Channel, c.s.Roster())
	for _, fault := range kase.Faults {
		c.problem("tip %s: %s", id, fault)
	}
	if now := *t; !kase.torn && len(kase.Faults) == 0 {
		if now.derive(kase); !reflect.DeepEqual(&now, t) {
			c.problem("tip %s: its record does not have what its events come to, by the roster in force: a start of the server mends it", id)
		}
	}
	if len(chain.events) != t.Events || t.Head != "" && chain.head != "" && chain.head != t.Head {
		c.problem("tip %s: there are %d messages, and its record is of %d, or of others", id, len(chain.events), t.Events)
	}
	for _, e := range chain.events {
		if e.lost {
			c.problem("tip %s: message %d: %s is damaged or missing, and with it what its files are", id, e.Number, keyEvent(id, e.Number))
			c.unclear[id] = true
			continue
		}
		c.checkEvent(ctx, e)
		if e.Action == ActionPart {
			c.checkPart(ctx, t, e)
		}
	}
	return nil
}

// checkPart checks that the mailbox of a part leads to it.
func (c *checker) checkPart(ctx context.Context, t *tipRecord, e *Event) {
	if !slices.Contains(t.Parts, e.Part.box()) {
		c.problem("tip %s: part %d is not in its record", e.Tip, e.Number)
	} else if box, err := c.s.cfg.Store.Get(ctx, e.Part.box()); err == nil && !bytes.Equal(box.Value, partValue(e.Tip, e.Number)) {
		c.problem("tip %s: the mailbox of part %d leads elsewhere", e.Tip, e.Number)
	}
}

func (c *checker) checkEvent(ctx context.Context, e *Event) {
	c.report.Messages++
	if e.Sealed == "" {
		return
	}
	sealed, err := c.s.cfg.Store.Get(ctx, keySealed(e.Tip, e.Number))
	switch {
	case err != nil:
		c.problem("tip %s: message %d: %v", e.Tip, e.Number, err)
	case hash(sealed.Value) != e.Sealed:
		c.problem("tip %s: message %d is not the one that was signed", e.Tip, e.Number)
	}
	for i, f := range e.Files {
		c.report.Files++
		c.named[f.Blob] = true
		if err := c.checkFile(ctx, f); err != nil {
			c.problem("tip %s: message %d: file %d (blob %s): %v", e.Tip, e.Number, i+1, f.Blob, err)
		}
	}
}

func (c *checker) checkFile(ctx context.Context, f EventFile) error {
	b, err := c.s.cfg.Blobs.Open(ctx, f.Blob)
	if err != nil {
		return err
	}
	defer b.Close()
	if b.Size() != f.Sealed {
		return fmt.Errorf("%d bytes, not %d: %w", b.Size(), f.Sealed, store.ErrCorrupt)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(b, 0, b.Size())); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("another hash: %w", store.ErrCorrupt)
	}
	return nil
}

// checkErasures checks that nothing is left of what was erased, or says that the
// next start goes on.
func (c *checker) checkErasures(ctx context.Context) error {
	return c.s.each(ctx, prefixErased, func(rec store.Record) error {
		id := strings.TrimPrefix(string(rec.Key), string(prefixErased))
		var e erasure
		if err := decode(rec, &e); err != nil {
			c.problem("the erasure of tip %s: %v", id, err)
			c.erased[id], c.unclear[id] = true, true // perhaps it is not done
			return nil
		}
		if c.tips[id] {
			c.problem("tip %s is there and erased", id)
		}
		c.report.Erased++
		if !e.Done {
			c.erased[id] = true
			c.unclear[id] = true // its blobs are the erasure's to remove
		}
		return nil
	})
}

// checkIndexes checks that mailboxes and inbox lines are those that tips have.
func (c *checker) checkIndexes(ctx context.Context) error {
	err := c.s.each(ctx, prefixBox, func(rec store.Record) error {
		if rec.Err != nil {
			return nil // see checkAll
		}
		if id, _, err := boxLeads(rec); err != nil || !c.tips[id] || !c.boxes[rec.Key] && !c.unread[id] {
			c.problem("record %s leads to tip %.40q, which is missing or has another mailbox", rec.Key, string(rec.Value))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, prefix := range indexPrefixes {
		err := c.s.each(ctx, prefix, func(rec store.Record) error {
			if !c.lines[rec.Key] && !c.unclear[inboxTip(rec.Key)] {
				c.problem("record %s is for a tip that is missing or has another line", rec.Key)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkAll looks for records that are damaged, of no tip, or of no kind we know.
func (c *checker) checkAll(ctx context.Context) error {
	return c.s.each(ctx, "", func(rec store.Record) error {
		if rec.Err != nil {
			c.problem("%v", rec.Err)
			return nil
		}
		parts := strings.Split(string(rec.Key), "/")
		switch parts[0] {
		case "tip", "box", "erased", "inbox", "over", "state", "due", "owner", "granted", "award":
		case "slots", "event", "sealed":
			if len(parts) < 2 {
				c.problem("record %s belongs to no tip", rec.Key)
			} else if id := parts[1]; !c.tips[id] && !c.erased[id] && !c.unclear[id] {
				c.problem("record %s belongs to no tip: if there was one, its record is lost, and perhaps more of it", rec.Key)
				c.unclear[id] = true
			}
		case "form":
			var key formKey
			if err := decode(rec, &key); err != nil {
				c.problem("%v", err)
			}
		case "visit":
			if err := checkVisit(rec); err != nil {
				c.problem("%v", err)
			}
		case "payout":
			var p Payout
			err := decode(rec, &p)
			if err == nil && p.Order != "" {
				_, err = OpenOrder(&PayoutItem{strings.TrimPrefix(string(rec.Key), string(prefixPayout)), p}, c.s.Roster())
			}
			if err != nil && !errors.Is(err, ErrNoOrder) { // others order it still
				c.problem("%v", err)
			} else if p.Paid != "" {
				if err := c.s.checkPaid(ctx, rec.Key); err != nil {
					c.problem("%v", err)
				}
			}
		case "paid":
			if err := c.s.checkPayment(ctx, rec); err != nil {
				c.problem("%v", err)
			}
		case "meta":
			switch rec.Key {
			case keyFormat:
				if format, err := parseFormat(rec); err != nil {
					c.problem("%v", err)
				} else if format != Format {
					c.problem("record %s: the store is of format %d, and this program's is %d", rec.Key, format, Format)
				}
			case keyCensus:
				if err := decode(rec, new(Census)); err != nil {
					c.problem("%v", err)
				}
			}
			if strings.HasPrefix(string(rec.Key), string(prefixAwardFigure)) {
				if _, err := decodeAwardFigures(rec); err != nil {
					c.problem("%v", err)
				}
			}
		default:
			c.problem("record %s is of no known kind", rec.Key)
		}
		return nil
	})
}

func (c *checker) checkBlobs(ctx context.Context) error {
	err := c.s.cfg.Blobs.List(ctx, func(name string, _ int64) error {
		if !c.named[name] && !c.torn && !c.unclear[name[:min(tipIDLength, len(name))]] {
			c.report.Orphans = append(c.report.Orphans, name)
		}
		return nil
	})
	slices.Sort(c.report.Orphans)
	return err
}

// Sweep finishes erasures and removes the blobs that no message names, as a
// crash leaves both, and returns how many blobs. Those of a tip that is damaged
// stay, and the error says so. Call it only while nothing is being received.
func (s *Service) Sweep(ctx context.Context) (removed int, err error) {
	var unclear []error
	if err := s.finishErasures(ctx); err != nil {
		unclear = append(unclear, fmt.Errorf("finishing erasures: %w", err))
	}
	if err := s.Derive(ctx); err != nil {
		unclear = append(unclear, err)
	}
	var blobs []string
	err = s.cfg.Blobs.List(ctx, func(name string, _ int64) error {
		blobs = append(blobs, name)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("sweeping: %w", err)
	}
	slices.Sort(blobs) // those of one tip stand together: its id leads the name
	var tip string
	var named map[string]bool
	for _, name := range blobs {
		if id := name[:min(tipIDLength, len(name))]; id != tip {
			tip = id
			if named, err = s.namedBlobs(ctx, tip); err != nil {
				unclear = append(unclear, err)
			}
		}
		if named == nil || named[name] { // nil: it cannot be told, so all stay
			continue
		}
		if err := s.cfg.Blobs.Remove(ctx, name); err != nil {
			return removed, fmt.Errorf("sweeping: %w", err)
		}
		removed++
	}
	return removed, errors.Join(unclear...)
}

// namedBlobs returns the blobs that are a tip's, or nil and an error rather
// than miss one: a record that is damaged in its key is not there to be found.
func (s *Service) namedBlobs(ctx context.Context, id string) (map[string]bool, error) {
	if !ValidTipID(id) {
		return map[string]bool{}, nil
	}
	t, _, err := s.loadTip(ctx, id)
	if err == nil {
		return s.eventBlobs(ctx, id, t.Events)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	for _, left := range []store.Key{keySlots(id), keySealed(id, 1)} {
		if _, err := s.cfg.Store.Get(ctx, left); !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("tip %s: its record is missing, and %s is there: %w", id, left, store.ErrCorrupt)
		}
	}
	return s.eventBlobs(ctx, id, 0)
}

// eventBlobs returns the blobs that a tip's events name, of which there are so
// many at least, or nil and an error rather than miss one.
func (s *Service) eventBlobs(ctx context.Context, id string, events int) (map[string]bool, error) {
	named := make(map[string]bool)
	err := s.each(ctx, keyEvents(id), func(rec store.Record) error {
		if rec.Err != nil {
			return rec.Err
		}
		e, err := parseEvent(rec.Value)
		if err != nil {
			return fmt.Errorf("record %s: %w: %w", rec.Key, store.ErrCorrupt, err)
		}
		for _, f := range e.Files {
			named[f.Blob] = true
		}
		events--
		return nil
	})
	if err == nil && events > 0 {
		err = fmt.Errorf("messages that are missing: %d: %w", events, store.ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("tip %s: %w", id, err)
	}
	return named, nil
}
