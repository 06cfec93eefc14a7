package tipbox

import (
	"path/filepath"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/store/bolt"
	"tipbox/store/mem"
)

// BenchmarkAccounts adds up 100,000 awards of as many tips on bbolt, of the same
// whose tips were erased, and of as many payments.
func BenchmarkAccounts(b *testing.B) {
	many := benchMany()
	line := func(i int) AwardLine {
		day := addDays("2020-01-01", i%2000)
		l := AwardLine{Number: 9, State: AwardIssued, Schedule: "test", Currency: "CNY", Amount: 6_000_00, Granted: day, Votes: 2, Approved: []string{"peter", "paula"}}
		switch i % 4 {
		case 0:
			l.State, l.ClaimBy = AwardGranted, addDays(day, 90)
		case 1:
			l.State, l.Claimed, l.Choice = AwardWaived, day, ClaimWaive
		default:
			l.Claimed, l.Issued, l.Choice, l.Vouchers = day, addDays(day, 3), ClaimVoucher, map[string]int{"cny-1000": 6}
		}
		return l
	}
	key, err := roster.NewSigningKey("penny")
	if err != nil {
		b.Fatal(err)
	}
	payment, err := (&Payment{
		Key: hash(nil), Denomination: "cny-1000", Currency: "CNY", Amount: 1_000_00, Day: "2022-02-02", Once: randomID(onceLength),
	}).Sign(key)
	if err != nil {
		b.Fatal(err)
	}
	for name, write := range map[string]func(i int) store.Change{
		"tips": func(i int) store.Change {
			t := &tipRecord{
				Version: recordVersion, Box: "box/" + store.Key(hash(nil)), Channel: "bribery", Day: "2020-01-01", News: "2020-01-01",
				Readers: []string{"alice", "bob"}, Key: "age1pq1", Events: 12, From: FromDesk, State: StateClosed, Owner: "alice", Awards: []AwardLine{line(i)},
			}
			return store.Put(keyTip(randomID(tipIDLength)), encode(t))
		},
		"erased": func(i int) store.Change {
			l := line(i)
			f, _ := l.figure("2030-01-01")
			return store.Put(prefixAwardFigure+store.Key(randomID(figureIDLength)), encode([]awardFigure{f}))
		},
		"payments": func(i int) store.Change { return store.Put(keyPaid(hash(encode(i))), payment) },
	} {
		b.Run(name, func(b *testing.B) {
			db, err := bolt.Open(filepath.Join(b.TempDir(), "tipbox.db"), nil)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { db.Close() })
			s, peter := benchApprover(b, db)
			for i := 0; i < many; {
				var changes []store.Change
				for ; len(changes) < store.MaxChanges && i < many; i++ {
					changes = append(changes, write(i))
				}
				if err := db.Apply(b.Context(), changes...); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				a, err := s.Accounts(b.Context(), peter, "2020-01", "2030-12")
				if err != nil || len(a.Awards)+len(a.Vouchers) == 0 {
					b.Fatal(a, err)
				}
			}
		})
	}
}

// benchApprover is a service whose roster has one approver.
func benchApprover(b *testing.B, s store.Store) (*Service, *roster.Member) {
	b.Helper()
	root, err := roster.NewSigningKey("root")
	if err != nil {
		b.Fatal(err)
	}
	service, err := New(Config{Store: s, Blobs: mem.NewBlobs(), Root: root.Verifier()})
	if err != nil {
		b.Fatal(err)
	}
	key, err := roster.NewMemberKey("peter")
	if err != nil {
		b.Fatal(err)
	}
	card, err := key.Card()
	if err != nil {
		b.Fatal(err)
	}
	r := &roster.Roster{Organisation: "Example", Serial: 1, Day: "2026-11-22"}
	if err := r.Add(&roster.Member{CardText: card.Text, Roles: []roster.Role{roster.Approver}}, ""); err != nil {
		b.Fatal(err)
	}
	signed, err := r.Sign(root)
	if err == nil {
		err = service.InstallRoster(b.Context(), signed)
	}
	if err != nil {
		b.Fatal(err)
	}
	return service, r.Member("peter")
}

// TestManyAwardsOfATipAreKeptInOneApply: an erasure must not fail for them.
func TestManyAwardsOfATipAreKeptInOneApply(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 33, 64, 1000} {
		tip := new(tipRecord)
		for range n {
			tip.Awards = append(tip.Awards, AwardLine{Schedule: "test", Currency: "CNY", Amount: 1, Granted: "2026-11-22", ClaimBy: "2027-02-20"})
		}
		tip.Awards = append(tip.Awards, AwardLine{Schedule: "test", Currency: "CNY", Amount: 1, State: AwardRefused}) // never granted
		changes, kept := tip.keepAwards("2026-12-01"), 0
		for _, c := range changes {
			figures, err := decodeAwardFigures(store.Record{Key: c.Key, Value: c.Value})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range figures {
				if kept++; f.Expired != "2026-12" { // nobody can claim it now
					t.Errorf("%+v", f)
				}
			}
		}
		if kept != n || len(changes) > maxKept {
			t.Errorf("%d of %d awards in %d records", kept, n, len(changes))
		}
	}
}

// TestMonthsOfAnAwardAreInOrder also where the clock of one who signed was behind.
func TestMonthsOfAnAwardAreInOrder(t *testing.T) {
	l := AwardLine{Granted: "2027-01-01", Claimed: "2026-12-31", Issued: "2026-12-31", Choice: ClaimVoucher}
	if f, ok := l.figure("2027-01-01"); !ok || f.Granted != "2027-01" || f.Claimed != "2027-01" || f.Issued != "2027-01" {
		t.Errorf("%+v", f)
	}
	l = AwardLine{Granted: "2026-11-02", ClaimBy: "2026-11-30"}
	for today, want := range map[string]string{"2026-11-30": "", "2026-12-01": "2026-12"} {
		if f, _ := l.figure(today); f.Expired != want {
			t.Errorf("on %s: %+v", today, f)
		}
	}
}
