package tipbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tipbox/crypto/roster"
	"tipbox/store"
)

// derivedVersion is that of what is derived. An earlier one has other indexes. It is
// not the store's Format: see there.
const derivedVersion = "4 "

// derivedBy is what tips' records are derived by besides their events: the parts
// of a roster that tell what a case comes to.
func derivedBy(r *roster.Roster) string {
	type entry struct {
		Verifier, Since string
		Roles           []roster.Role
		Channels        []string
	}
	var members []entry
	for _, m := range r.Members {
		members = append(members, entry{m.Card.Verifier, m.Since, m.Roles, m.Channels})
	}
	return derivedVersion + hash(encode(struct {
		Rules              []roster.Rule
		Holidays, Workdays []string
		Former             []*roster.Member
		Members            []entry
	}{r.Rules, r.Holidays, r.Workdays, r.Former, members}))
}

// Derive brings what the records of tips have of their cases in line with the
// roster in force, if another one or an earlier version of this program has
// derived it: a new holiday moves deadlines. Call it after InstallRoster; it runs
// beside everything else.
func (s *Service) Derive(ctx context.Context) error {
	r := s.Roster()
	mark, err := s.cfg.Store.Get(ctx, keyDerived)
	if err == nil && mark.Err == nil && string(mark.Value) == derivedBy(r) {
		return nil
	}
	all := !strings.HasPrefix(string(mark.Value), derivedVersion)
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	busy := false
	err = s.each(ctx, prefixTip, func(rec store.Record) error {
		err := s.deriveTip(ctx, strings.TrimPrefix(string(rec.Key), string(prefixTip)), r, all)
		if errors.Is(err, store.ErrCorrupt) || errors.Is(err, ErrInvalid) || errors.Is(err, store.ErrNotFound) {
			return nil // as Check says, or erased meanwhile
		}
		if errors.Is(err, ErrConflict) {
			busy = true
			return nil
		}
		return err
	})
	if err == nil && busy {
		err = ErrConflict // the next start goes on
	}
	if err != nil {
		return fmt.Errorf("deriving the state of cases: %w", err)
	}
	return s.cfg.Store.Apply(ctx, store.Put(keyDerived, []byte(derivedBy(r))))
}

// deriveTip derives a tip's record, and what is derived of that: all of it, or
// what is not as it was.
func (s *Service) deriveTip(ctx context.Context, id string, r *roster.Roster, all bool) error {
	for range tries {
		t, c, err := s.loadChain(ctx, id)
		if err != nil {
			return err
		}
		changed := *t.tipRecord
		changed.derive(foldCase(c.events, t.Channel, r))
		if !all && bytes.Equal(encode(changed), encode(t.tipRecord)) {
			return nil
		}
		changes := reindex(id, t.tipRecord, &changed)
		if all {
			changes = slices.DeleteFunc(changes, func(c store.Change) bool { return c.Op != store.OpDelete })
			changes = append(changes, reindex(id, nil, &changed)...)
		}
		err = s.cfg.Store.Apply(ctx, append(changes, store.Update(keyTip(id), encode(changed), t.revision))...)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return ErrConflict
}

// settle derives a tip anew that was written by another roster than the one in
// force by now: Derive may have passed it before.
func (s *Service) settle(ctx context.Context, id string, by *roster.Roster) {
	for r := s.Roster(); r != by; by, r = r, s.Roster() {
		if err := s.deriveTip(ctx, id, r, false); err != nil && !errors.Is(err, store.ErrNotFound) {
			s.cfg.Log.Error("a tip's deadlines are as the roster before had them: run tipboxd check", "tip", id, "error", err)
		}
	}
}
