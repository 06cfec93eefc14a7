package tipbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// damagedStore has one damaged record.
type damagedStore struct {
	store.Store
	key  store.Key
	gone bool // its key is damaged too: it is not found
}

func (d *damagedStore) err() error { return fmt.Errorf("record %q: %w", d.key, store.ErrCorrupt) }

func (d *damagedStore) Get(ctx context.Context, k store.Key) (store.Record, error) {
	switch {
	case k == d.key && d.gone:
		return store.Record{}, fmt.Errorf("%q: %w", k, store.ErrNotFound)
	case k == d.key:
		return store.Record{}, d.err()
	}
	return d.Store.Get(ctx, k)
}

func (d *damagedStore) Scan(ctx context.Context, prefix, after store.Key, limit int) ([]store.Record, error) {
	recs, err := d.Store.Scan(ctx, prefix, after, limit)
	for i := range recs {
		if recs[i].Key == d.key {
			recs[i] = store.Record{Key: d.key, Err: d.err()}
			if d.gone && limit == store.MaxScan { // whose caller asks no more
				return append(recs[:i], recs[i+1:]...), err
			}
		}
	}
	return recs, err
}

func (d *damagedStore) Apply(ctx context.Context, changes ...store.Change) error {
	for _, c := range changes {
		if c.Key == d.key && c.If != nil {
			return d.err()
		}
	}
	return d.Store.Apply(ctx, changes...)
}

// TestDamageStaysLocal damages one record after the other. Whatever it is, check
// names it, every other tip can be read and sent, every other message of the
// same thread can be read, and no file is taken for an orphan.
func TestDamageStaysLocal(t *testing.T) {
	damaged := &damagedStore{Store: mem.New()}
	o := tipboxtest.New(t, tipboxtest.Config{Store: damaged})
	victim := o.Submit("first", files()...)
	id := o.Inbox("alice")[0].Tip
	followUp := func(text string) error {
		d, err := o.Service.Reopen(ctx, victim)
		if err != nil {
			return err
		}
		o.Attach(d, files()...)
		return o.Service.FollowUp(ctx, d, tipbox.NewNonce(), "en", text)
	}
	sent := []string{"first"}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	o.Reply("alice", id, "second")
	check(followUp("third"))
	sent = append(sent, "second", "third")
	other := o.Submit("the other", files()...)
	otherID := o.Inbox("alice")[0].Tip
	if otherID == id {
		otherID = o.Inbox("alice")[1].Tip
	}

	recs, err := o.Store.Scan(ctx, "", "", store.MaxScan)
	check(err)
	for _, rec := range recs {
		kind, _, _ := strings.Cut(string(rec.Key), "/")
		ofVictim := strings.Contains(string(rec.Key), id) || string(rec.Value) == id
		for _, damaged.gone = range []bool{false, true} {
			if kind == "meta" && damaged.gone {
				continue // nothing was ever installed
			}
			t.Run(fmt.Sprintf("%s gone=%v", rec.Key, damaged.gone), func(t *testing.T) {
				damaged.key = rec.Key
				defer func() { damaged.key, damaged.gone = "", false }()
				report, err := o.Service.Check(ctx)
				if err != nil || kind != "form" && len(report.Problems) == 0 || len(report.Orphans) > 0 {
					t.Fatalf("check: %+v, %v", report, err)
				}
				if !damaged.gone && !strings.Contains(strings.Join(report.Problems, "\n"), string(rec.Key)) {
					t.Errorf("check does not name the record: %q", report.Problems)
				}
				if n, err := o.Service.Sweep(ctx); n > 0 {
					t.Errorf("the sweep takes %d files: %v", n, err)
				}
				if kind != "meta" {
					check(o.Service.InstallRoster(ctx, o.Service.SignedRoster()))
				}
				if kind == "inbox" && !slices.ContainsFunc(o.Inbox("alice"), func(i tipbox.InboxItem) bool { return i.Tip == id && i.Messages == len(sent) }) {
					t.Error("the tip is not in the inbox")
				}
				if ofVictim || kind == "form" || kind == "meta" {
					_, err := o.Service.Thread(ctx, other)
					check(err)
					if !slices.ContainsFunc(o.Inbox("alice"), func(i tipbox.InboxItem) bool { return i.Tip == otherID }) {
						t.Error("the other tip is not in the inbox")
					}
					if got := o.Open("alice", otherID).Messages[0]; got.Err != nil || got.Text != "the other" {
						t.Errorf("the other tip: %+v", got)
					}
				}
				if ofVictim && (kind == "event" || kind == "sealed") {
					check(followUp(fmt.Sprint("more ", len(sent))))
					sent = append(sent, fmt.Sprint("more ", len(sent)))
					var number int
					fmt.Sscan(strings.TrimLeft(string(rec.Key[strings.LastIndexByte(string(rec.Key), '/')+1:]), "0"), &number)
					thread, err := o.Service.Thread(ctx, victim)
					check(err)
					opened := o.Open("alice", id)
					for i, text := range sent {
						bad := i+1 == number
						if got := opened.Messages[i]; bad != (got.Err != nil) || !bad && got.Text != text {
							t.Errorf("message %d at the desk: %q, %v", i+1, got.Text, got.Err)
						}
						if got := thread.Messages[i]; got.Damaged != (bad && (kind == "event" || i == 1)) {
							t.Errorf("message %d in the thread: %+v", i+1, got)
						}
					}
					if number > 1 {
						o.Reply("alice", id, fmt.Sprint("more ", len(sent)))
						sent = append(sent, fmt.Sprint("more ", len(sent)))
					}
				}
				o.Submit("a new one", files()...)
			})
		}
	}
	// The thread goes on behind a last message that is lost.
	for _, goOn := range []func(text string){
		func(text string) { check(followUp(text)) },
		func(text string) { o.Reply("alice", id, text) },
	} {
		damaged.key = store.Key(fmt.Sprintf("event/%s/%06d", id, len(sent)))
		sent = append(sent, fmt.Sprint("more ", len(sent)))
		goOn(sent[len(sent)-1])
	}
	damaged.key = ""
	// Undamaged again, everything fits: nothing was written that does not
	// follow what could not be read.
	if opened := o.Open("alice", id); len(opened.Messages) != len(sent) || slices.ContainsFunc(opened.Messages, func(m tipbox.Message) bool { return m.Err != nil }) {
		t.Errorf("%+v", opened.Messages)
	}
}

// TestDamagedRosterMark opens a store whose mark of the last roster is damaged:
// the service starts, says so, and knows older rosters again from there on.
func TestDamagedRosterMark(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	old := o.Service.SignedRoster()
	o.Strike("carol")
	o.Install()
	open := func(s store.Store) *tipbox.Service {
		service, err := tipbox.New(tipbox.Config{Store: s, Blobs: o.Blobs, Root: o.Root.Verifier(), Now: o.Clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		return service
	}
	service := open(&damagedStore{Store: o.Store, key: "meta/roster"})
	if err := service.InstallRoster(ctx, o.Service.SignedRoster()); err != nil {
		t.Fatal(err)
	}
	if report, err := service.Check(ctx); err != nil || !strings.Contains(strings.Join(report.Problems, "\n"), "meta/roster") {
		t.Errorf("check: %+v, %v", report, err)
	}
	if err := service.InstallRoster(ctx, old); !errors.Is(err, roster.ErrOlder) {
		t.Errorf("an older roster while it runs: %v", err)
	}
	if err := open(o.Store).InstallRoster(ctx, old); !errors.Is(err, roster.ErrOlder) {
		t.Errorf("an older roster after a start: %v", err)
	}
}
