package tipbox

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tipbox/crypto/roster"
	"tipbox/store"
)

// derivedBy is what tips' records are derived by besides their events: the
// version of their form, and the parts of a roster that tell what a case comes to.
func derivedBy(r *roster.Roster) string {
	return hash(encode(struct {
		Version            int
		Rules              []roster.Rule
		Holidays, Workdays []string
		Former             []*roster.Member
	}{2, r.Rules, r.Holidays, r.Workdays, r.Former}))
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
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	err = s.each(ctx, prefixTip, func(rec store.Record) error {
		err := s.deriveTip(ctx, strings.TrimPrefix(string(rec.Key), string(prefixTip)), r)
		if errors.Is(err, store.ErrCorrupt) || errors.Is(err, ErrInvalid) || errors.Is(err, store.ErrNotFound) {
			return nil // as Check says, or erased meanwhile
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("deriving the state of cases: %w", err)
	}
	return s.cfg.Store.Apply(ctx, store.Put(keyDerived, []byte(derivedBy(r))))
}

func (s *Service) deriveTip(ctx context.Context, id string, r *roster.Roster) error {
	for range tries {
		t, c, err := s.loadChain(ctx, id)
		if err != nil {
			return err
		}
		changed := *t.tipRecord
		changed.derive(foldCase(c.events, t.Channel, r))
		if string(encode(changed)) == string(encode(t.tipRecord)) {
			return nil
		}
		err = s.cfg.Store.Apply(ctx, append(reindex(id, t.tipRecord, &changed), store.Update(keyTip(id), encode(changed), t.revision))...)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return ErrConflict
}
