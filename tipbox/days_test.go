package tipbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

const aDay = 24 * time.Hour

func followUp(t *testing.T, o *tipboxtest.Org, code *receipt.Code, nonce string) {
	t.Helper()
	d, err := o.Service.Reopen(ctx, code)
	if err == nil {
		err = o.Service.FollowUp(ctx, d, nonce, "en", "an answer")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestServersClockMovesNoDeadline lets the server's clock jump a year ahead for
// the moment in which a source answers: neither the deadlines nor the days of
// what members do after it go by that.
func TestServersClockMovesNoDeadline(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("one")
	tip := o.Inbox("alice")[0].Tip
	for _, a := range []tipbox.Act{act(tipbox.ActionAck, "read"), act(tipbox.ActionAccept, ""), assign("alice", "2026-12-20"), act(tipbox.ActionAsk, "which?")} {
		o.Act("alice", tip, a)
	}
	o.Clock.Advance(400 * aDay)
	followUp(t, o, code, "n1")
	if first := o.Open("alice", tip).Ahead("2026-11-22"); first == nil || first.Number != 6 {
		t.Errorf("not noticed: %+v", first)
	}
	o.Clock.Advance(-397 * aDay)
	if first := o.Open("alice", tip).Ahead("2027-12-26"); first != nil {
		t.Errorf("noticed for nothing: %+v", first)
	}
	o.Act("alice", tip, act(tipbox.ActionNote, "three days later"))
	opened := o.Open("alice", tip)
	c := opened.Case
	if c.Due != "2026-12-23" || c.AnswerBy != "2027-02-25" || c.Paused != 3 {
		t.Errorf("due %s, answer by %s, paused %d", c.Due, c.AnswerBy, c.Paused)
	}
	if day := opened.Messages[6].Day; day != "2026-11-25" {
		t.Errorf("the member's entry is dated %s", day)
	}
	if item := o.Inbox("alice")[0]; item.Due != "2026-12-23" {
		t.Errorf("the server has %s", item.Due)
	}
	// Members' own days do not go back.
	o.Clock.Advance(-2 * aDay)
	o.Act("alice", tip, act(tipbox.ActionNote, "back"))
	if day := o.Open("alice", tip).Messages[7].Day; day != "2026-11-25" {
		t.Errorf("the next one is dated %s", day)
	}
}

// TestPauseEndsNotBeforeItBegan: a server's clock that went back takes no day
// from the source's deadline either.
func TestPauseEndsNotBeforeItBegan(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("one")
	tip := o.Inbox("alice")[0].Tip
	o.Clock.Advance(5 * aDay)
	for _, a := range []tipbox.Act{act(tipbox.ActionAck, "read"), act(tipbox.ActionAccept, ""), assign("alice", "2026-12-20"), act(tipbox.ActionAsk, "which?")} {
		o.Act("alice", tip, a)
	}
	o.Clock.Advance(-5 * aDay)
	followUp(t, o, code, "n1")
	if c := o.Open("alice", tip).Case; c.Due != "2026-12-20" || c.Paused != 0 || c.AnswerBy != "2027-02-27" {
		t.Errorf("due %s, paused %d, answer by %s", c.Due, c.Paused, c.AnswerBy)
	}
}

// TestHolidayMovesDeadlines changes rules and calendar under cases that are open.
func TestHolidayMovesDeadlines(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.SetRules(roster.Rule{Channel: "off-book-funds", Since: "2020-01-01", Quorum: 2, Acknowledge: 3, Working: true})
	o.Submit("one") // on a Sunday
	if due := o.Inbox("alice")[0].Due; due != "2026-11-25" {
		t.Fatalf("due %s", due)
	}
	o.SetHolidays("2026-11-24")
	for range 2 {
		if err := o.Service.Derive(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if item := o.Inbox("alice")[0]; item.Due != "2026-11-26" || item.Due != o.Open("alice", item.Tip).Case.AcknowledgeBy {
		t.Errorf("due %s", item.Due)
	}
	var due []string
	for name := range o.Stored() {
		if _, key, ok := strings.Cut(name, "record due/"); ok {
			due = append(due, key)
		}
	}
	if len(due) != 1 || !strings.HasPrefix(due[0], "off-book-funds/2026-11-26/") {
		t.Errorf("index %q", due)
	}
}

// TestStruckMembersWorkStands: what a member signed before the server heard that
// the member is gone neither hides the tip nor is lost, if it is dated up to the
// day after the roster's signature; what is dated later is void for all alike.
func TestStruckMembersWorkStands(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Submit("one")
	tip := o.Inbox("alice")[0].Tip
	o.Clock.Advance(aDay)
	o.Act("alice", tip, act(tipbox.ActionAck, "read"))
	o.Clock.Advance(aDay)
	o.Act("alice", tip, act(tipbox.ActionAccept, "too late"))
	o.StrikeAtSigning("alice") // drafted and signed on the first day, and late at the server
	o.Install()
	if until := o.Service.Roster().Former[0].Until; until != "2026-11-23" {
		t.Fatalf("until %s", until)
	}
	if err := o.Service.Derive(ctx); err != nil {
		t.Fatal(err)
	}
	opened := o.Open("bob", tip)
	if opened.Case.State != tipbox.StateAcknowledged || opened.Messages[1].Void != "" || opened.Messages[2].Void == "" || len(opened.Faults) != 1 {
		t.Errorf("%s, %q, %q, %q", opened.Case.State, opened.Messages[1].Void, opened.Messages[2].Void, opened.Faults)
	}
	if item := o.Inbox("bob")[0]; item.State != tipbox.StateAcknowledged {
		t.Errorf("the server has %s", item.State)
	}
	o.Act("bob", tip, act(tipbox.ActionAccept, "I take it on."))
	report, err := o.Service.Check(ctx)
	if err != nil || len(report.Problems) != 1 || !strings.Contains(report.Problems[0], "alice, is void") {
		t.Errorf("check: %+v, %v", report, err)
	}
	o.Tolerate("is void")
}

// TestUnsignedIsSignedElsewhere prepares several entries where the tip is opened,
// carries them as JSON, and signs them where only the signing key is.
func TestUnsignedIsSignedElsewhere(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("one")
	tip := o.Inbox("alice")[0].Tip
	opened := o.Open("alice", tip)
	var carried [][]byte
	for _, a := range []tipbox.Act{act(tipbox.ActionAck, "Thank you."), act(tipbox.ActionAccept, ""), assign("bob", "2026-12-20"), finding(tipbox.Partly)} {
		u, err := opened.Prepare("alice", o.Service.Today(), a)
		if err == nil {
			err = opened.Take(u)
		}
		if err != nil {
			t.Fatal(err)
		}
		doc, err := json.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		carried = append(carried, doc)
	}
	if _, err := opened.Prepare("alice", o.Service.Today(), act(tipbox.ActionAck, "again")); !errors.Is(err, tipbox.ErrRule) {
		t.Errorf("what was prepared does not count: %v", err)
	}
	o.Clock.Advance(3 * aDay)
	send := func(doc []byte, name string) error {
		u := new(tipbox.Unsigned)
		if err := json.Unmarshal(doc, u); err != nil {
			t.Fatal(err)
		}
		file, err := o.Service.Tip(ctx, o.Member(name), tip)
		if err != nil {
			t.Fatal(err)
		}
		note, err := u.Sign(o.Key(name).SigningKey, o.Service.Today(), file)
		if err != nil {
			return err
		}
		return o.Service.Append(ctx, o.Member(name), tip, note, u.Sealed)
	}
	wantErr(t, send(carried[0], "bob"), tipbox.ErrForbidden)
	wantErr(t, send(carried[1], "alice"), tipbox.ErrConflict) // before the first
	for _, doc := range carried {
		if err := send(doc, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	wantErr(t, send(carried[3], "alice"), tipbox.ErrConflict)
	got := o.Open("bob", tip)
	if got.Case.State != tipbox.StateInvestigating || got.Messages[1].Day != "2026-11-25" || got.Messages[4].Detail.Finding != tipbox.Partly || len(got.Faults) > 0 {
		t.Errorf("%s, %+v, %q", got.Case.State, got.Messages, got.Faults)
	}
	if thread, err := o.Service.Thread(ctx, code); err != nil || thread.Messages[1].Text != "Thank you." {
		t.Errorf("the source reads %+v, %v", thread, err)
	}

	// What was altered on the way is not signed.
	for name, alter := range map[string]func(*tipbox.Unsigned){
		"another message": func(u *tipbox.Unsigned) { u.Sealed[len(u.Sealed)-1] ^= 1 },
		"no event":        func(u *tipbox.Unsigned) { u.Event = nil },
		"the source's":    func(u *tipbox.Unsigned) { u.Event.Action = tipbox.ActionMessage },
		"another's":       func(u *tipbox.Unsigned) { u.By = "../etc" },
		"no tip":          func(u *tipbox.Unsigned) { u.Event.Tip = "x" },
	} {
		u := new(tipbox.Unsigned)
		if err := json.Unmarshal(carried[0], u); err != nil {
			t.Fatal(err)
		}
		alter(u)
		if err := u.Check(); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

// TestNowIsWhatComesNext walks a case and asks at each step whom it needs.
func TestNowIsWhatComesNext(t *testing.T) {
	o, tip := newDesk(t)
	type needs map[string]tipbox.Action
	check := func(when string, want needs) {
		t.Helper()
		for _, name := range []string{"alice", "bob", "carol", "rita"} {
			var got tipbox.Action
			for _, over := range []bool{false, true} {
				items, _, err := o.Service.Inbox(ctx, o.Member(name), tipbox.InboxFilter{Over: over}, "", 10)
				if err != nil {
					t.Fatal(err)
				}
				if i := slices.IndexFunc(items, func(i tipbox.InboxItem) bool { return i.Tip == tip }); i >= 0 {
					got = items[i].Now(o.Member(name))
				}
			}
			if got != want[name] {
				t.Errorf("%s, %s: %q, want %q", when, name, got, want[name])
			}
			has, err := o.Service.HasWork(ctx, o.Member(name))
			if err != nil || has != (want[name] != "") {
				t.Errorf("%s, %s: work %v, %v", when, name, has, err)
			}
		}
	}
	grant := func(name string) tipbox.Act { return tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member(name)} }
	check("received", needs{"alice": "ack", "bob": "ack"})
	o.Act("alice", tip, act(tipbox.ActionAck, "read"))
	check("acknowledged", needs{"alice": "accept", "bob": "accept"})
	o.Act("alice", tip, act(tipbox.ActionAccept, ""))
	o.Act("alice", tip, grant("carol"))
	check("accepted", needs{"alice": "assign", "bob": "assign"})
	o.Act("alice", tip, assign("bob", "2026-12-20"))
	check("assigned", needs{"bob": "finding"})
	o.Act("bob", tip, act(tipbox.ActionAsk, "which?"))
	check("awaiting", needs{})
	o.Act("bob", tip, finding(tipbox.Partly))
	check("one vote", needs{"alice": "finding", "carol": "finding"})
	o.Act("alice", tip, finding(tipbox.Partly))
	check("found", needs{"bob": "answer"})
	o.Act("bob", tip, act(tipbox.ActionAnswer, "so it was"))
	check("answered", needs{"carol": "close"})
	o.Act("carol", tip, act(tipbox.ActionClose, "done"))
	check("closed", needs{})
	o.Act("alice", tip, grant("rita"))
	o.Act("carol", tip, act(tipbox.ActionReverify, "again"))
	check("reverifying", needs{"alice": "assign", "bob": "assign", "rita": "finding"})
}

// TestUnsignedIsDatedByWhatWasVerified has a server show something else where an
// answer is signed than where it was prepared.
func TestUnsignedIsDatedByWhatWasVerified(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("one")
	tip := o.Inbox("alice")[0].Tip
	o.Act("bob", tip, act(tipbox.ActionAck, "read"))
	for _, nonce := range []string{"n1", "n2"} {
		followUp(t, o, code, nonce)
	}
	opened := o.Open("alice", tip)
	prepare := func(day string) *tipbox.Unsigned {
		t.Helper()
		u, err := opened.Prepare("alice", day, act(tipbox.ActionNote, "a note"))
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	u, head := prepare("2026-12-31"), opened.Head() // by a clock that is wrong
	file, err := o.Service.Tip(ctx, o.Member("alice"), tip)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(u *tipbox.Unsigned, today string, file *tipbox.TipFile, day string) {
		t.Helper()
		note, err := u.Sign(o.Key("alice").SigningKey, today, file)
		if err != nil || !strings.Contains(string(note), `"day":"`+day+`"`) || u.On(today) != day {
			t.Errorf("on %s: error %v, day %s:\n%s", today, err, u.On(today), note)
		}
	}
	refused := func(what string, u *tipbox.Unsigned, today string, file *tipbox.TipFile, says string) {
		t.Helper()
		if note, err := u.Sign(o.Key("alice").SigningKey, today, file); !errors.Is(err, tipbox.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s, on %s: error %v:\n%s", what, today, err, note)
		}
	}
	signed(u, "2026-11-22", file, "2026-11-22")
	signed(u, "2026-11-25", file, "2026-11-25")
	signed(u, "2026-11-21", file, "2026-11-22") // bob's day
	refused("a clock that is slow", u, "2026-11-20", file, "a clock is wrong")

	// An entry of the server's own drags the day nowhere, and one that was there is
	// not lost.
	forged := clone(t, file)
	mallory, err := roster.NewSigningKey("bob")
	if err != nil {
		t.Fatal(err)
	}
	forged.Events[2].Note = event(t, mallory, tipbox.Event{Tip: tip, Number: 3, Action: tipbox.ActionReply, Day: "8999-12-31", Before: sha([]byte(file.Events[1].Note)), Sealed: sha(nil)})
	forged.Events[3].Note = event(t, mallory, tipbox.Event{Tip: tip, Number: 4, Action: tipbox.ActionReply, Day: "8999-12-31", Before: sha([]byte(forged.Events[2].Note)), Sealed: sha(nil)})
	signed(u, "2026-11-22", forged, "2026-11-22")
	forged.Head, forged.Events[3].Note = head.SHA256, ""
	if forged.Last() != head { // what tipbox send compares
		t.Fatal("noticed")
	}
	refused("the last said to be lost", u, "2026-11-22", forged, "entry 4 of tip "+tip+" was there when it was answered")
	lost := clone(t, file)
	lost.Events[1].Note = ""
	refused("one said to be lost", u, "2026-11-22", lost, "entry 2 of tip "+tip+" was there when it was answered")

	// What was lost when it was answered may be.
	if opened, err = tipbox.OpenTip(lost, tip, o.Key("alice"), o.Service.Roster()); err != nil {
		t.Fatal(err)
	}
	signed(prepare("2026-11-22"), "2026-11-22", lost, "2026-11-22")

	// What was prepared before does not count among what is signed.
	opened = o.Open("alice", tip)
	if err := opened.Take(prepare("2026-12-31")); err != nil {
		t.Fatal(err)
	}
	if u := prepare("2026-11-22"); u.Latest != "2026-11-22" {
		t.Errorf("the next is dated not before %s", u.Latest)
	}
	for _, day := range []string{"x", "2026-13-01", "9999-12-31"} {
		u.Latest = day
		if err := u.Check(); !errors.Is(err, tipbox.ErrInvalid) {
			t.Errorf("not before %q: %v", day, err)
		}
	}
}

// A readCounter counts the records that are read.
type readCounter struct {
	store.Store
	n int
}

func (c *readCounter) Get(ctx context.Context, key store.Key) (store.Record, error) {
	c.n++
	return c.Store.Get(ctx, key)
}

func (c *readCounter) Scan(ctx context.Context, prefix, after store.Key, limit int) ([]store.Record, error) {
	recs, err := c.Store.Scan(ctx, prefix, after, limit)
	c.n += 1 + len(recs)
	return recs, err
}

// TestSearchForWorkReadsAsMuchWhateverItFinds goes through an inbox of more than a
// page.
func TestSearchForWorkReadsAsMuchWhateverItFinds(t *testing.T) {
	reads := &readCounter{Store: mem.New()}
	o := tipboxtest.New(t, tipboxtest.Config{Store: reads})
	for range tipbox.MaxPage + 1 {
		o.Submit("one")
	}
	search := func(want bool) (n int) {
		t.Helper()
		reads.n = 0
		if has, err := o.Service.HasWork(ctx, o.Member("alice")); err != nil || has != want {
			t.Fatal(has, err)
		}
		return reads.n
	}
	with := search(true)
	for _, item := range o.Inbox("bob") {
		o.Act("bob", item.Tip, act(tipbox.ActionAccept, ""))
		o.Act("bob", item.Tip, assign("bob", "2026-12-20"))
	}
	if without := search(false); with != without || with <= tipbox.MaxPage {
		t.Errorf("%d reads with work, %d without", with, without)
	}
}
