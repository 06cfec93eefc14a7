package tipbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/store"
)

// Erasing takes a tip away in steps, none of which can be undone:
//
//  1. one Apply removes the mailboxes, the keyslots, the inbox line and the tip's
//     record, and leaves an erasure in their place. From here on nobody opens
//     the tip: its key is gone, and the code looks like one never given out.
//     Unless its source erased it unread, a figure of it stays, under a random key,
//     and what its awards came to, under others: see awardFigure.
//  2. its blobs, then its messages, are removed.
//  3. the erasure is noted as done.
//
// A crash leaves an erasure that is not done; Sweep finishes it. What is left for
// good is who erased which tip, on which day; and, of some tip, the channel, the
// month in which it came, the state of its case and how many days it waited for the
// acknowledgement and the answer, so that a year's figures outlive what they are
// of. The one is not kept with the other: counted back from the day of the erasure,
// those days would come near the day of receipt. The bytes are gone from the folder
// only after the store was compacted: see Compact.
type erasure struct {
	Day  string `json:"day"`
	By   string `json:"by"`             // ErasedByRule, SourceName or a member's name
	Note string `json:"note,omitempty"` // a member's signed event
	Done bool   `json:"done"`
}

// ErasedByRule is who erases when a channel's retention rule does.
const ErasedByRule = "rule"

// EraseOwn erases the tip of a receipt code, if no member has fetched it yet:
// else ErrForbidden, for then it is not the source's alone any more.
func (s *Service) EraseOwn(ctx context.Context, code *receipt.Code) error {
	for range tries {
		id, t, rev, err := s.find(ctx, code)
		if err != nil {
			return err
		}
		if t.Read {
			return fmt.Errorf("it has been read: %w", ErrForbidden)
		}
		err = s.erase(ctx, id, &loadedTip{t, rev}, erasure{Day: s.Today(), By: SourceName})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return ErrConflict
}

// eraseSigned erases a tip for a member who signed the event that says so.
func (s *Service) eraseSigned(ctx context.Context, m *roster.Member, t *loadedTip, e *Event, note []byte) error {
	err := s.erase(ctx, e.Tip, t, erasure{Day: e.Day, By: m.Name(), Note: string(note)})
	if errors.Is(err, store.ErrConflict) {
		return ErrConflict
	}
	return err
}

// Retain erases the tips whose channel's rule says so: cases that are closed or
// declined, KeepDays days after the last that happened in them, unless they are
// on hold or wait for an answer. It returns how many. It also forgets where payouts
// went that were paid months ago.
func (s *Service) Retain(ctx context.Context) (erased int, err error) {
	if err := s.forgetPayouts(ctx); err != nil {
		return 0, fmt.Errorf("forgetting payouts: %w", err)
	}
	for _, c := range s.cfg.Channels {
		if c.KeepDays <= 0 {
			continue
		}
		limit := s.cfg.Now().In(s.cfg.Location).AddDate(0, 0, -c.KeepDays).Format(time.DateOnly)
		n, err := s.retain(ctx, c.ID, limit)
		if erased += n; err != nil {
			return erased, fmt.Errorf("erasing by the rule of channel %s: %w", c.ID, err)
		}
	}
	return erased, nil
}

// retain erases what had its last message before the day.
func (s *Service) retain(ctx context.Context, channel, day string) (erased int, err error) {
	prefix := keyOver(channel)
	after := prefix + store.Key(newestFirst(day)+"/~") // behind all of that day
	var damaged []error                                // what cannot be read stays, and keeps no other
	for {
		recs, err := s.cfg.Store.Scan(ctx, prefix, after, store.MaxScan)
		if err != nil {
			return erased, err
		}
		for _, rec := range recs {
			done, err := s.retainTip(ctx, inboxTip(rec.Key), day)
			if errors.Is(err, store.ErrCorrupt) {
				damaged = append(damaged, err)
			} else if err != nil {
				return erased, err
			}
			if done {
				erased++
			}
			after = rec.Key
		}
		if len(recs) < store.MaxScan {
			return erased, errors.Join(damaged...)
		}
	}
}

func (s *Service) retainTip(ctx context.Context, id, day string) (bool, error) {
	t, c, err := s.loadChain(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !over(t.State, t.From) || t.Hold || c.latestDay() >= day || foldCase(c.events, t.Channel, s.Roster()).awaitsAward(s.Today()) {
		return false, nil
	}
	if kase := foldCase(c.events, t.Channel, s.Roster()); kase.torn && len(t.Awards) > 0 {
		return false, fmt.Errorf("tip %s: an entry is lost, and with it whether its award was claimed: %w", id, store.ErrCorrupt)
	}
	if c.last().lost {
		return false, fmt.Errorf("tip %s: the day of its last message is lost: %w", id, store.ErrCorrupt)
	}
	err = s.erase(ctx, id, t, erasure{Day: s.Today(), By: ErasedByRule})
	if errors.Is(err, store.ErrConflict) { // news in this very moment
		return false, nil
	}
	return err == nil, err
}

// erase begins an erasure and finishes it. It wraps store.ErrConflict, and has
// erased nothing, if the tip has changed since it was read.
func (s *Service) erase(ctx context.Context, id string, t *loadedTip, e erasure) error {
	changes := append(reindex(id, t.tipRecord, nil),
		store.DeleteAt(keyTip(id), t.revision),
		store.Delete(t.Box),
		store.Delete(keySlots(id)),
		store.Create(keyErased(id), encode(e)),
	)
	for _, box := range t.Parts {
		changes = append(changes, store.Delete(box))
	}
	if e.By != SourceName {
		changes = append(changes, store.Create(prefixFigure+store.Key(randomID(figureIDLength)), encode(t.figure(s.Today()))))
	}
	changes = append(changes, t.keepAwards(s.Today())...)
	if err := s.cfg.Store.Apply(ctx, changes...); err != nil {
		return fmt.Errorf("erasing tip %s: %w", id, err)
	}
	// It is erased; what is left over is no longer the caller's to wait for.
	if err := s.finishErasure(context.WithoutCancel(ctx), id); err != nil {
		s.cfg.Log.Error("an erasure is unfinished: the next start goes on", "tip", id, "error", err)
	}
	return nil
}

// finishErasure removes what a begun erasure has left. It may be done again.
func (s *Service) finishErasure(ctx context.Context, id string) error {
	named, err := s.eventBlobs(ctx, id, 0)
	if errors.Is(err, store.ErrCorrupt) {
		named, err = s.blobsOf(ctx, id)
	}
	if err != nil {
		return err
	}
	for blob := range named {
		if err := s.cfg.Blobs.Remove(ctx, blob); err != nil {
			return err
		}
	}
	for _, prefix := range []store.Key{keySealeds(id), keyEvents(id)} {
		if err := s.deleteAll(ctx, prefix); err != nil {
			return err
		}
	}
	rec, err := s.cfg.Store.Get(ctx, keyErased(id))
	if err != nil {
		return err
	}
	var e erasure
	if err := decode(rec, &e); err != nil {
		return err
	}
	e.Done = true
	return s.cfg.Store.Apply(ctx,
		store.Update(rec.Key, encode(e), rec.Revision),
		store.Put(prefixCompact+store.Key(s.Today()), nil),
	)
}

// Compact calls compact, which is to take what was deleted off the disk, if a
// tip was erased on a day before today and that was not done since. It reports
// whether it did. So whoever calls it now and then compacts once for all that a
// day erased, early on the next.
func (s *Service) Compact(ctx context.Context, compact func(context.Context) error) (done bool, err error) {
	var days []store.Change
	err = s.each(ctx, prefixCompact, func(rec store.Record) error {
		if rec.Key < prefixCompact+store.Key(s.Today()) {
			days = append(days, store.DeleteAt(rec.Key, rec.Revision))
		}
		return nil
	})
	if err != nil || len(days) == 0 {
		return false, err
	}
	if err := compact(ctx); err != nil {
		return false, err
	}
	return true, s.cfg.Store.Apply(ctx, days[:min(len(days), store.MaxChanges)]...)
}

// blobsOf returns all blobs of a tip, whose id leads their names. It looks at
// every blob there is.
func (s *Service) blobsOf(ctx context.Context, id string) (map[string]bool, error) {
	found := make(map[string]bool)
	err := s.cfg.Blobs.List(ctx, func(name string, _ int64) error {
		if strings.HasPrefix(name, id) {
			found[name] = true
		}
		return nil
	})
	return found, err
}

// deleteAll removes the records under a prefix, a part at a time.
func (s *Service) deleteAll(ctx context.Context, prefix store.Key) error {
	for {
		recs, err := s.cfg.Store.Scan(ctx, prefix, "", store.MaxChanges)
		if err != nil || len(recs) == 0 {
			return err
		}
		changes := make([]store.Change, len(recs))
		for i, rec := range recs {
			changes[i] = store.Delete(rec.Key)
		}
		if err := s.cfg.Store.Apply(ctx, changes...); err != nil {
			return err
		}
	}
}

// finishErasures finishes what a crash has left.
func (s *Service) finishErasures(ctx context.Context) error {
	var damaged []error
	err := s.each(ctx, prefixErased, func(rec store.Record) error {
		var e erasure
		err := decode(rec, &e)
		if err == nil && !e.Done {
			err = s.finishErasure(ctx, strings.TrimPrefix(string(rec.Key), string(prefixErased)))
		}
		if errors.Is(err, store.ErrCorrupt) {
			damaged = append(damaged, err)
			return nil
		}
		return err
	})
	return errors.Join(append(damaged, err)...)
}
