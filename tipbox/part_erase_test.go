package tipbox

import (
	"errors"
	"fmt"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/store/mem"
)

// TestErasureOfATipWithAllThatCanBeIsOneApply has as many members let in, awards and
// parts as there can be: an erasure must not fail for them.
func TestErasureOfATipWithAllThatCanBeIsOneApply(t *testing.T) {
	root, err := roster.NewSigningKey("root")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Store: mem.New(), Blobs: mem.NewBlobs(), Root: root.Verifier()})
	if err != nil {
		t.Fatal(err)
	}
	id := "aaaaaaaaaaaaaaaa"
	tip := &tipRecord{
		Version: recordVersion, Box: prefixBox + store.Key(hash(nil)), Channel: "off-book-funds", Day: "2026-11-22", News: "2026-11-22",
		From: FromSource, State: StateInvestigating, Owner: "alice", Due: "2026-12-20",
	}
	for i := range maxGranted {
		tip.Granted = append(tip.Granted, fmt.Sprint("member-", i))
	}
	for range maxForAwards {
		tip.Awards = append(tip.Awards, AwardLine{State: AwardProposed, Schedule: "test", Currency: "CNY", Amount: 1, Granted: "2026-11-22", ClaimBy: "2027-02-20"})
	}
	for i := range MaxParts {
		tip.Parts = append(tip.Parts, prefixBox+store.Key(hash([]byte{byte(i)})))
	}
	for _, box := range append(tip.Parts, tip.Box) {
		if err := s.cfg.Store.Apply(t.Context(), store.Create(box, []byte(id))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.cfg.Store.Apply(t.Context(), append(reindex(id, nil, tip), store.Create(keyTip(id), encode(tip)))...); err != nil {
		t.Fatal(err)
	}
	loaded, rev, err := s.loadTip(t.Context(), id)
	if err == nil {
		err = s.erase(t.Context(), id, &loadedTip{loaded, rev}, erasure{Day: "2026-11-22", By: ErasedByRule})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, box := range append(tip.Parts, tip.Box) {
		if _, err := s.cfg.Store.Get(t.Context(), box); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s is still there: %v", box, err)
		}
	}
}
