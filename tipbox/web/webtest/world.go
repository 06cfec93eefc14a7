package webtest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// A world is the organisation that the states are of, and what has come in so far.
type world struct {
	*tipboxtest.Org
	t       testing.TB
	store   *breakable
	full    bool // there is no room for files
	own     bool // it is the site that an operator has changed
	onion   bool // there is an onion service
	cases   map[string]*sent
	token   string // of a form that has grown old
	session string // likewise, of a page
}

// sent is a tip that was sent.
type sent struct {
	code  *receipt.Code
	tip   string
	award int
}

const (
	room    = 1 << 20 // what is kept free of files
	maxFile = 1000    // bytes of a file
)

func newWorld(t testing.TB, cfg tipboxtest.Config) *world {
	t.Helper()
	w := &world{t: t, store: &breakable{Store: mem.New()}, cases: make(map[string]*sent)}
	cfg.Store, cfg.MaxFile, cfg.Reserve = w.store, maxFile, room
	cfg.Free = func() (int64, error) {
		if w.full {
			return room, nil
		}
		return 2 * room, nil
	}
	w.Org = tipboxtest.New(t, cfg)
	return w
}

// breakable is a store that fails on demand.
type breakable struct {
	store.Store
	broken string // the operation that fails, "conflict" or "full"; or ""
}

var (
	errBroken = errors.New("input/output error")
	sizes     = regexp.MustCompile(`"bytes":\d+`)
)

func (b *breakable) Get(ctx context.Context, key store.Key) (store.Record, error) {
	if b.broken == "get" {
		return store.Record{}, errBroken
	}
	rec, err := b.Store.Get(ctx, key)
	if b.broken == "full" {
		rec.Value = sizes.ReplaceAll(rec.Value, []byte(`"bytes":1000000000000`))
	}
	return rec, err
}

func (b *breakable) Scan(ctx context.Context, prefix, after store.Key, limit int) ([]store.Record, error) {
	if b.broken == "scan" {
		return nil, errBroken
	}
	return b.Store.Scan(ctx, prefix, after, limit)
}

func (b *breakable) Apply(ctx context.Context, changes ...store.Change) error {
	switch b.broken {
	case "apply":
		return errBroken
	case "conflict":
		return store.ErrConflict
	}
	return b.Store.Apply(ctx, changes...)
}

// send sends a tip to off-book-funds and keeps it under a name.
func (w *world) send(name string) *sent {
	w.t.Helper()
	before := make(map[string]bool)
	for _, item := range w.Inbox("alice") {
		before[item.Tip] = true
	}
	c := &sent{code: w.Submit("They keep a second book.")}
	for _, item := range w.Inbox("alice") {
		if !before[item.Tip] {
			c.tip = item.Tip
		}
	}
	w.cases[name] = c
	return c
}

var finding = tipbox.Act{Action: tipbox.ActionFinding, Text: "so", Detail: &tipbox.Detail{Finding: tipbox.Substantiated}}

// find takes a new case to a finding, and notes a sum.
func (w *world) find(name string) *sent {
	w.t.Helper()
	c := w.send(name)
	w.Act("alice", c.tip, tipbox.Act{Action: tipbox.ActionAccept})
	w.Act("alice", c.tip, tipbox.Act{Action: tipbox.ActionAssign, Owner: "alice", Due: "2099-12-20"})
	w.Act("alice", c.tip, finding)
	w.Act("bob", c.tip, finding)
	w.Act("alice", c.tip, tipbox.Act{Action: tipbox.ActionRecover, Detail: &tipbox.Detail{Amount: 157_500_00, Currency: "CNY", Basis: tipbox.SumCollected}})
	return c
}

// propose takes a new case to an award of 6,300 CNY that nobody has decided about.
func (w *world) propose(name string) *sent {
	w.t.Helper()
	c := w.find(name)
	w.Act("alice", c.tip, tipbox.Act{
		Action: tipbox.ActionAward, Text: "all of it was so", Detail: &tipbox.Detail{Base: 157_500_00, Rate: 400},
		Terms: &tipbox.AwardTerms{Schedule: "test", Currency: "CNY", Amount: 6_300_00, Total: 6_300_00},
	})
	awards := w.Open("alice", c.tip).Case.Awards
	c.award = awards[len(awards)-1].Number
	return c
}

// grant takes a new case to a granted award.
func (w *world) grant(name string) *sent {
	w.t.Helper()
	c := w.propose(name)
	for _, approver := range []string{"peter", "paula"} {
		w.Decide(approver, c.tip, tipbox.Act{Action: tipbox.ActionApprove, Award: c.award})
	}
	return c
}

// refuse takes a new case to an award that was refused.
func (w *world) refuse(name string) *sent {
	w.t.Helper()
	c := w.propose(name)
	w.Decide("peter", c.tip, tipbox.Act{Action: tipbox.ActionRefuse, Award: c.award, Text: "It was known before."})
	return c
}

// claim takes a new case to an award that is claimed.
func (w *world) claim(name string, claim tipbox.Claim) *sent {
	w.t.Helper()
	c := w.grant(name)
	claim.Award = c.award
	if err := w.Service.Claim(w.t.Context(), c.code, claim); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// damage spoils an entry of a tip, and returns what repairs it.
func (w *world) damage(tip string, entry int) {
	w.t.Helper()
	if err := w.Store.Apply(w.t.Context(), store.Put(store.Key(fmt.Sprintf("sealed/%s/%06d", tip, entry)), []byte("damaged"))); err != nil {
		w.t.Fatal(err)
	}
	w.Tolerate(tip)
}

// reward puts into force, besides the schedule of [tipboxtest.Org.Rewards], one that
// has all that a schedule can have.
func (w *world) reward() {
	w.Rewards()
	texts := func(en, zh string) map[string]string { return map[string]string{"en": en, "zh-Hans": zh} }
	w.SetSchedules(*w.Service.Roster().Schedule("test"), roster.Schedule{
		ID: "tiers", Since: "2020-01-01", Channels: []string{"bribery"}, Title: texts("Bribery", "贿赂"), Example: true, Currency: "CNY", Base: roster.BaseFound,
		Evidence: []roster.Evidence{{ID: "good", Title: texts("Details and direct evidence", "详情和直接证据")}, {ID: "poor", Title: texts("A hint", "线索")}},
		Tiers: []roster.Tier{
			{Evidence: "good", Low: 300, High: 550, Floor: 500_00}, {Evidence: "good", From: 1_000_000_00, Low: 600, High: 600}, {Evidence: "poor", Low: 0, High: 100},
		},
		Cap: 100_000_00, Unit: 100_00, Minimum: 1_000_00, ClaimDays: 60,
		Approvers: []roster.Approval{{From: 0, Votes: 1}, {From: 50_000_00, Votes: 3}},
		Charities: []roster.Charity{{ID: "hospital", Name: texts("The hospital", "医院")}},
	})
}
