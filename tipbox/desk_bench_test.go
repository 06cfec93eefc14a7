package tipbox

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
	"tipbox/store/bolt"
	"tipbox/store/mem"
)

// benchDesk is a service on bbolt whose roster has one reader.
func benchDesk(b *testing.B, tips int) (*Service, *roster.MemberKey) {
	b.Helper()
	db, err := bolt.Open(filepath.Join(b.TempDir(), "tipbox.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	root, err := roster.NewSigningKey("root")
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(Config{Store: db, Blobs: mem.NewBlobs(), Root: root.Verifier(), Channels: []Channel{{ID: "bribery"}}})
	if err != nil {
		b.Fatal(err)
	}
	key, err := roster.NewMemberKey("alice")
	if err != nil {
		b.Fatal(err)
	}
	card, err := key.Card()
	if err != nil {
		b.Fatal(err)
	}
	r := &roster.Roster{Organisation: "Example", Serial: 1, Day: "2026-11-22"}
	if err := r.Add(&roster.Member{CardText: card.Text, Roles: []roster.Role{roster.Investigator}, Channels: []string{"bribery"}}, ""); err != nil {
		b.Fatal(err)
	}
	signed, err := r.Sign(root)
	if err == nil {
		err = s.InstallRoster(b.Context(), signed)
	}
	if err != nil {
		b.Fatal(err)
	}
	states := States()
	for i := 0; i < tips; {
		var changes []store.Change
		for ; len(changes)+10 < store.MaxChanges && i < tips; i++ {
			id, day := randomID(tipIDLength), addDays("2020-01-01", i%2000)
			t := &tipRecord{
				Version: recordVersion, Channel: "bribery", Day: day, News: day, Readers: []string{"alice"}, Events: 3,
				From: FromDesk, Files: 1, State: states[i%len(states)], Owner: "alice", Due: addDays(day, 90), DueFor: ActionAnswer,
			}
			changes = append(changes, append(reindex(id, nil, t), store.Create(keyTip(id), encode(t)))...)
		}
		if err := db.Apply(b.Context(), changes...); err != nil {
			b.Fatal(err)
		}
	}
	return s, key
}

// BenchmarkInbox is a page of 50 lines at 1,000 tips and at 100,000: of all, of a
// state, of an owner, of what is due, and the page in the middle.
func BenchmarkInbox(b *testing.B) {
	for _, tips := range []int{1_000, benchMany()} {
		s, key := benchDesk(b, tips)
		m := s.Roster().Member(key.Name())
		for _, c := range []struct {
			name   string
			filter InboxFilter
			cursor string
		}{
			{"all", InboxFilter{}, ""},
			{"middle", InboxFilter{}, newestFirst("2022-09-01")},
			{"state", InboxFilter{State: StateFound}, ""},
			{"owner", InboxFilter{Owner: "alice"}, ""},
			{"due", InboxFilter{ByDue: true}, ""},
			{"over", InboxFilter{Over: true}, ""},
		} {
			b.Run(fmt.Sprintf("%d/%s", tips, c.name), func(b *testing.B) {
				for b.Loop() {
					items, _, err := s.Inbox(b.Context(), m, c.filter, c.cursor, 50)
					if err != nil || len(items) != 50 {
						b.Fatal(len(items), err)
					}
				}
			})
		}
	}
}

// BenchmarkAppend adds entries to cases on bbolt, by one writer and by 64, each
// at a case of its own of up to 50 entries. BenchmarkApply of store/bolt with as
// many writers is the limit of the same machine.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			s, key := benchDesk(b, 0)
			sealed, err := seal.Message([]byte("{}"), benchKey(b).Recipient())
			if err != nil {
				b.Fatal(err)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ResetTimer()
			for range writers {
				wg.Go(func() {
					for n, id := 0, ""; left.Add(-1) >= 0; n++ {
						if n%50 == 0 {
							id = benchTip(b, s)
						}
						if err := benchAppend(b.Context(), s, key, id, sealed); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func benchKey(b *testing.B) *seal.TipKey {
	key, err := seal.NewTipKey()
	if err != nil {
		b.Fatal(err)
	}
	return key
}

// benchTip submits a tip and returns its id.
func benchTip(b *testing.B, s *Service) string {
	token, err := s.FormToken(b.Context())
	if err != nil {
		b.Error(err)
	}
	d, err := s.NewTip(b.Context(), token)
	if err == nil {
		_, err = s.Submit(b.Context(), d, Submission{Channel: "bribery", Text: "one", Lang: "en"})
	}
	if err != nil {
		b.Error(err)
	}
	return d.tip
}

// benchAppend adds a note of the member, as the member's tool would.
func benchAppend(ctx context.Context, s *Service, key *roster.MemberKey, id string, sealed []byte) error {
	_, c, err := s.loadChain(ctx, id)
	if err != nil {
		return err
	}
	e, err := c.next(ActionHold, s.Today())
	if err != nil {
		return err
	}
	if foldCase(c.events, "bribery", s.Roster()).Hold {
		e.Action = ActionRelease
	}
	e.By = key.Name()
	e.Sealed = hash(sealed)
	note, err := e.sign(key.SigningKey)
	if err != nil {
		return err
	}
	return s.Append(ctx, s.Roster().Member(e.By), id, note, sealed)
}
