package tipbox

import (
	"path/filepath"
	"strings"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/store/bolt"
	"tipbox/store/mem"
)

// BenchmarkFigures counts 100,000 tips of five years on bbolt, and BenchmarkSample
// lists those of them that were closed in a month. Records are as long as those of
// real tips.
func BenchmarkFigures(b *testing.B) {
	s, m := benchCases(b, benchMany())
	for b.Loop() {
		if f, err := s.Figures(b.Context(), m, "2020-01", "2026-12"); err != nil || len(f.Rows) == 0 {
			b.Fatal(err)
		}
	}
}

func BenchmarkSample(b *testing.B) {
	s, m := benchCases(b, benchMany())
	for b.Loop() {
		if p, err := s.Sample(b.Context(), m, "2023-10"); err != nil || len(p.Lines) < benchMany()/200 {
			b.Fatal(len(p.Lines), err)
		}
	}
}

// benchMany is how many tips there are in a benchmark of a large desk.
func benchMany() int {
	if testing.Short() {
		return 10_000 // to see that it runs
	}
	return 100_000
}

func benchCases(b *testing.B, tips int) (*Service, *roster.Member) {
	db, err := bolt.Open(filepath.Join(b.TempDir(), "tipbox.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	s, err := New(Config{Store: db, Blobs: mem.NewBlobs(), Root: "root", Channels: []Channel{{ID: "bribery"}, {ID: "funds"}}})
	if err != nil {
		b.Fatal(err)
	}
	m := &roster.Member{Roles: []roster.Role{roster.Reviewer}, Card: &roster.Card{Name: "carol"}}
	s.roster.Store(&installed{roster: &roster.Roster{Members: []*roster.Member{m}}})
	recipient := "age1pq1" + strings.Repeat("q", 1950)
	for i := 0; i < tips; {
		var changes []store.Change
		for ; len(changes)+2 <= store.MaxChanges && i < tips; i++ {
			id, day := randomID(tipIDLength), addDays("2020-01-01", i%2000)
			t := &tipRecord{
				Version: recordVersion, Channel: []string{"bribery", "funds"}[i%2], Day: day, News: day, Readers: []string{"alice", "bob"}, Events: 1,
				Key: recipient, Reply: recipient, Source: "source+01234567+" + strings.Repeat("A", 44), From: FromDesk, State: States()[i%12],
				Course: course{Acknowledged: addDays(day, i%9), AcknowledgeBy: addDays(day, 7), AnswerBy: addDays(day, 92), Quorum: 2},
			}
			if i%2 == 0 {
				t.State, t.Course.Answered, t.Course.Closed = StateClosed, addDays(day, 50), addDays(day, 60)
			}
			note := append([]byte(eventHeader), encode(&Event{Tip: id, Number: 1, Action: ActionTip, Day: day, Sealed: hash(nil), Reply: hash(nil)})...)
			changes = append(changes, store.Create(keyTip(id), encode(t)), store.Create(keyEvent(id, 1), append(note, "\n"+noteSplit[1:]+"source x\n"...)))
		}
		if err := db.Apply(b.Context(), changes...); err != nil {
			b.Fatal(err)
		}
	}
	return s, m
}
