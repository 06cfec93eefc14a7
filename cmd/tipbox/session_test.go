package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"tipbox/crypto/seal"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
	"tipbox/tipbox/tipboxtest"
)

// A fork is a tip of which bob has seen the first two entries, and another history
// that alice and the server made up from the second on.
type fork struct {
	*tipboxtest.Org
	tip    string
	app    *app
	stderr bytes.Buffer
	true   []tipbox.SealedEvent // what there is, of four entries
	other  []tipbox.SealedEvent // likewise
}

func newFork(t *testing.T) *fork {
	f := &fork{Org: tipboxtest.New(t, tipboxtest.Config{})}
	f.Submit("one")
	f.tip = f.Inbox("bob")[0].Tip
	f.app = &app{ctx: t.Context(), stderr: &f.stderr, home: desk.Home(t.TempDir())}
	first := must(f.Service.Tip(t.Context(), f.Member("bob"), f.tip))
	to := []*seal.Recipient{f.Open("bob", f.tip).Slot.Key.Recipient(), must(seal.ParseRecipient(first.Reply))}
	f.other = slices.Clone(first.Events)
	for _, action := range []tipbox.Action{tipbox.ActionDecline, tipbox.ActionNote, tipbox.ActionNote} {
		n := len(f.other) + 1
		sealed := must(seal.Message(must(json.Marshal(map[string]any{"v": 1, "tip": f.tip, "number": n, "text": "x"})), to...))
		e := tipbox.Event{Tip: f.tip, Number: n, Action: action, Day: f.Service.Today(), Before: keySum([]byte(f.other[n-2].Note)), Sealed: keySum(sealed)}
		note := must(f.Key("alice").Sign("tipbox event v1\n" + string(must(json.Marshal(e))) + "\n"))
		f.other = append(f.other, tipbox.SealedEvent{Note: string(note), Sealed: sealed})
	}
	f.Act("bob", f.tip, tipbox.Act{Action: tipbox.ActionAck, Text: "read"})
	if err := f.look(must(f.Service.Tip(t.Context(), f.Member("bob"), f.tip)).Events); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f.Act("alice", f.tip, tipbox.Act{Action: tipbox.ActionNote, Text: "a note"})
	}
	f.true = must(f.Service.Tip(t.Context(), f.Member("bob"), f.tip)).Events
	return f
}

// look has bob's tool look at a list of entries.
func (f *fork) look(events []tipbox.SealedEvent) error {
	file := must(f.Service.Tip(f.app.ctx, f.Member("bob"), f.tip))
	file.Events, file.Head = events, keySum([]byte(events[len(events)-1].Note))
	opened, err := tipbox.OpenTip(file, f.tip, f.Key("bob"), f.Service.Roster())
	if err != nil {
		return err
	}
	f.stderr.Reset()
	return f.app.goesOn(opened)
}

func (f *fork) seen() int { return must(f.app.home.Head(f.tip)).Number }

// without says of entries that they are lost.
func without(events []tipbox.SealedEvent, numbers ...int) []tipbox.SealedEvent {
	events = slices.Clone(events)
	for _, n := range numbers {
		events[n-1] = tipbox.SealedEvent{}
	}
	return events
}

// TestLostEntriesTieNoOtherHistory has a server say first that it has lost what
// stands between two histories, and then show the other.
func TestLostEntriesTieNoOtherHistory(t *testing.T) {
	mixed := func(f *fork) []tipbox.SealedEvent { return append(slices.Clone(f.true[:2]), f.other[2:]...) }
	for name, between := range map[string]func(f *fork) []tipbox.SealedEvent{
		"the last seen and the one behind it": func(f *fork) []tipbox.SealedEvent { return without(f.other, 2, 3) },
		"the one behind the last seen":        func(f *fork) []tipbox.SealedEvent { return without(mixed(f), 3) },
		"all but that":                        func(f *fork) []tipbox.SealedEvent { return without(mixed(f), 3, 4) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFork(t)
			if err := f.look(f.other); err == nil {
				t.Fatal("not even so it is noticed")
			}
			if err := f.look(between(f)); err != nil {
				t.Fatalf("what cannot be told is refused: %v", err)
			}
			if got := f.stderr.String(); !strings.Contains(got, "lost behind entry 2") {
				t.Errorf("the member is told: %q", got)
			}
			if err := f.look(f.other); err == nil {
				t.Error("what bob signed is replaced, and his tool says nothing")
			}
			if f.seen() != 2 {
				t.Errorf("entry %d is remembered", f.seen())
			}
			// Once what was lost is restored the tool goes on from there.
			if err := f.look(f.true); err != nil || f.seen() != 4 || f.stderr.Len() > 0 {
				t.Errorf("error %v, entry %d is remembered, and the member told %q", err, f.seen(), f.stderr.String())
			}
		})
	}
}

func TestLostEntryThatTheNextOneNamesIsNoGap(t *testing.T) {
	f := newFork(t)
	if err := f.look(without(f.true, 2)); err != nil || f.seen() != 4 || f.stderr.Len() > 0 {
		t.Errorf("error %v, entry %d is remembered, and the member told %q", err, f.seen(), f.stderr.String())
	}
}

// TestWhatIsDoneBehindAGapIsNotRemembered has a member write behind a lost entry.
func TestWhatIsDoneBehindAGapIsNotRemembered(t *testing.T) {
	l := newOffice(t).serve(t)
	l.ok("alice", "case", l.two)
	home := desk.Home(l.home("alice"))
	seen := must(home.Head(l.two)).Number
	l.Reply("bob", l.two, "a")
	l.Reply("bob", l.two, "b")
	of := func(f *tipbox.TipFile) { f.Events[seen] = tipbox.SealedEvent{} }
	l.alterTip(l.two, of)
	if _, _, stderr := l.tipbox("alice", "reply", l.two, "-m", "c"); !strings.Contains(stderr, "is lost behind entry") {
		t.Errorf("the member is told: %s", stderr)
	}
	if len(l.posted) != 1 {
		t.Errorf("%d were sent", len(l.posted))
	}
	if got := must(home.Head(l.two)).Number; got != seen {
		t.Errorf("entry %d is remembered, and %d was", got, seen)
	}
	l.tell(nil)
	l.ok("alice", "read", l.two)
	if got := must(home.Head(l.two)).Number; got != seen+3 {
		t.Errorf("when nothing is lost any more, entry %d is remembered", got)
	}
}
