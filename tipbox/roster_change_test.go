package tipbox_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

func investigator() *roster.Member {
	return &roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{"off-book-funds"}}
}

// TestStolenKeySignsNothingForTheServerEither lets a thief decline a case, and the root key's holder do
// as the help says: strike the key as of the day before, and enter another. Server and
// tools agree that nothing was declined, and nothing is erased.
func TestStolenKeySignsNothingForTheServerEither(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{KeepDays: 30})
	o.Tolerate("void")
	o.Submit("one")
	tip := o.Inbox("alice")[0].Tip
	o.Clock.Advance(aDay)
	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionDecline, Text: "thief", Detail: &tipbox.Detail{Reason: tipbox.OutOfScope}}) // 11-23
	o.StrikeUntil("alice", "2026-11-22")
	o.Rekey("alice", investigator())
	o.Install()
	if err := o.Service.Derive(ctx); err != nil {
		t.Fatal(err)
	}
	opened := o.Open("bob", tip)
	items, _, err := o.Service.Inbox(ctx, o.Member("bob"), tipbox.InboxFilter{Over: true}, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(items) > 0 && items[0].State != opened.Case.State {
		t.Errorf("server: %s; tool: %s", items[0].State, opened.Case.State)
	}
	if err := o.TryAct("bob", tip, act(tipbox.ActionAck, "read")); err != nil {
		t.Errorf("ack: %v", err)
	}
	if err := o.TryAct("bob", tip, act(tipbox.ActionReverify, "again")); err != nil {
	}
	o.Clock.Advance(40 * aDay)
	if n, err := o.Service.Retain(ctx); n != 0 || err != nil {
		t.Errorf("retention erased %d (%v) tips that no tool takes to be declined", n, err)
	}
}

// TestWhoComesBackRewritesNothing has a member come back with the same key: what was void stays
// void, and what colleagues did meanwhile stands.
func TestWhoComesBackRewritesNothing(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Tolerate("is void")
	code := o.Submit("one")
	tip := o.Inbox("alice")[0].Tip
	o.Clock.Advance(2 * aDay)
	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionDecline, Text: "too late", Detail: &tipbox.Detail{Reason: tipbox.OutOfScope}}) // 11-24
	o.StrikeAtSigning("alice")
	o.Install()
	if err := o.Service.Derive(ctx); err != nil {
		t.Fatal(err)
	}
	o.Act("bob", tip, act(tipbox.ActionAck, "read"))
	o.Act("bob", tip, act(tipbox.ActionAccept, ""))
	o.Act("bob", tip, assign("bob", "2026-12-20"))
	before := o.Open("bob", tip)
	o.Clock.Advance(30 * aDay)
	o.SetDay("2026-12-24")
	o.Enter("alice", investigator()) // back after a month, the same key
	o.Install()
	if err := o.Service.Derive(ctx); err != nil {
		t.Fatal(err)
	}
	after := o.Open("bob", tip)
	if after.Case.State != before.Case.State {
		t.Errorf("the tool: was %s, is %s; faults %q", before.Case.State, after.Case.State, after.Faults)
	}
	var state tipbox.State
	for _, over := range []bool{false, true} {
		items, _, _ := o.Service.Inbox(ctx, o.Member("bob"), tipbox.InboxFilter{Over: over}, "", 10)
		for _, i := range items {
			state = i.State
		}
	}
	th, _ := o.Service.Thread(ctx, code)
	if state != after.Case.State {
		t.Errorf("and the server's index has %s, its thread %s", state, th.State)
	}
}

// TestSecondStrikeCoversNoGap strikes a member twice: the time in between stays out.
func TestSecondStrikeCoversNoGap(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.StrikeUntil("alice", "2026-11-23")
	o.Install()
	if n := len(o.Service.Roster().On("2026-12-01", "alice")); n != 0 {
		t.Fatal(n)
	}
	o.SetDay("2026-12-20")
	o.Enter("alice", investigator())
	o.StrikeUntil("alice", "2026-12-30")
	o.Install()
	if n := len(o.Service.Roster().On("2026-12-01", "alice")); n != 0 {
		t.Error("while she was away, on 2026-12-01, she might sign after all")
	}
}

// TestVoidEntryDragsNoDays adds a void entry of a far day to a tip: what the desk signs after it
// has its own day.
func TestVoidEntryDragsNoDays(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Submit("one")
	tip := o.Inbox("bob")[0].Tip
	alice := o.Key("alice")
	o.Strike("alice")
	o.Install()
	file, err := o.Service.Tip(ctx, o.Member("bob"), tip)
	if err != nil {
		t.Fatal(err)
	}
	sealed, _ := seal.Message([]byte("{}"), o.Member("bob").Card.Recipient)
	void := event(t, alice.SigningKey, tipbox.Event{Tip: tip, Number: 2, Action: tipbox.ActionNote, Day: "8999-12-31", Before: sha([]byte(file.Events[0].Note)), Sealed: sha(sealed)})
	file.Events = append(file.Events, tipbox.SealedEvent{Note: void, Sealed: sealed})
	file.Head = sha([]byte(void))
	opened, err := tipbox.OpenTip(file, tip, o.Key("bob"), o.Service.Roster())
	if err != nil {
		t.Fatal(err)
	}
	note, _, err := opened.Act(o.Key("bob"), "2026-11-22", act(tipbox.ActionAck, "read"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(note), `"day":"2026-11-22"`) {
		t.Errorf("bob signed, on 2026-11-22:\n%s", note)
	}
}

// TestDeskHasNoNumberOfTheSources gives a colleague's note a number of the sources'.
func TestDeskHasNoNumberOfTheSources(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Submit("one")
	tip := o.Inbox("bob")[0].Tip
	file, _ := o.Service.Tip(ctx, o.Member("bob"), tip)
	doc, _ := json.Marshal(map[string]any{"v": 1, "tip": tip, "number": 2, "text": "no", "sequence": 1})
	sealed, _ := seal.Message(doc, o.Open("bob", tip).Slot.Key.Recipient())
	n := event(t, o.Key("alice").SigningKey, tipbox.Event{Tip: tip, Number: 2, Action: tipbox.ActionNote, Day: "2026-11-22", Before: sha([]byte(file.Events[0].Note)), Sealed: sha(sealed)})
	if err := o.Service.Append(ctx, o.Member("alice"), tip, []byte(n), sealed); err != nil {
		t.Fatal(err)
	}
	if s := o.Open("bob", tip).Messages[1].Sequence; s != 0 {
		t.Errorf("the desk's note has number %d of what sources sent", s)
	}
}

// hooked runs something once in the middle of an Apply that creates a tip.
type hooked struct {
	store.Store
	match string
	hook  func()
}

func (h *hooked) Apply(ctx context.Context, changes ...store.Change) error {
	if f := h.hook; f != nil {
		for _, c := range changes {
			if strings.HasPrefix(string(c.Key), h.match) {
				h.hook = nil
				f()
				break
			}
		}
	}
	return h.Store.Apply(ctx, changes...)
}

// TestTipThatMeetsANewRosterHasItsDeadlines changes the calendar between the fold and the write of
// a tip.
func TestTipThatMeetsANewRosterHasItsDeadlines(t *testing.T) {
	h := &hooked{Store: mem.New(), match: "tip/"}
	o := tipboxtest.New(t, tipboxtest.Config{Store: h})
	o.SetRules(roster.Rule{Channel: "off-book-funds", Since: "2020-01-01", Quorum: 2, Acknowledge: 3, Working: true})
	if err := o.Service.Derive(ctx); err != nil {
		t.Fatal(err)
	}
	h.hook = func() {
		o.SetHolidays("2026-11-23", "2026-11-24")
		if err := o.Service.Derive(ctx); err != nil {
			t.Error(err)
		}
	}
	o.Submit("one")
	for range 2 { // also a start does not mend it
		if _, err := o.Service.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
	}
	item := o.Inbox("alice")[0]
	if want := o.Open("alice", item.Tip).Case.AcknowledgeBy; item.Due != want {
		t.Errorf("due %s, and by the roster in force %s", item.Due, want)
	}
}

// TestEntryThatMeetsANewRosterHasItsDeadlines does so with an entry of the desk's.
func TestEntryThatMeetsANewRosterHasItsDeadlines(t *testing.T) {
	h := &hooked{Store: mem.New(), match: "event/"}
	o := tipboxtest.New(t, tipboxtest.Config{Store: h})
	o.SetRules(roster.Rule{Channel: "off-book-funds", Since: "2020-01-01", Quorum: 2, Acknowledge: 3, Answer: 5, Working: true})
	if err := o.Service.Derive(ctx); err != nil {
		t.Fatal(err)
	}
	o.Submit("one")
	tip := o.Inbox("alice")[0].Tip
	h.hook = func() {
		o.SetHolidays("2026-11-26", "2026-11-27") // moves nothing yet: the tip's record is the same
		if err := o.Service.Derive(ctx); err != nil {
			t.Error(err)
		}
	}
	note, sealed, err := o.Open("alice", tip).Act(o.Key("alice"), o.Service.Today(), act(tipbox.ActionAccept, ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Service.Append(ctx, o.Member("alice"), tip, note, sealed); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Service.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if got, want := o.Inbox("alice")[0].Due, o.Open("alice", tip).Case.AnswerBy; got != want {
		t.Errorf("due %s, and by the roster in force %s", got, want)
	}
}

// TestNumbersDoNotTellOfOthers: nobody can count by the numbers of two tips what came
// between them.
func TestNumbersDoNotTellOfOthers(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	for range 60 {
		o.Submit("x")
	}
	var numbers []uint64
	for _, i := range o.Inbox("alice") {
		numbers = append(numbers, o.Open("alice", i.Tip).Messages[0].Sequence)
	}
	slices.Sort(numbers)
	steps := make(map[uint64]bool)
	for i := range numbers[1:] {
		steps[numbers[i+1]-numbers[i]] = true
	}
	if largest := slices.Max(slices.Collect(maps.Keys(steps))); len(steps) < 40 || largest < 1000 {
		t.Errorf("60 numbers have %d different steps of up to %d", len(steps), largest)
	}
}
