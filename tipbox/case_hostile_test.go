package tipbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// raw signs any event as a modified tool could.
func raw(t *testing.T, o *tipboxtest.Org, name, tip string, e tipbox.Event, doc string, mangle func(string) string) error {
	t.Helper()
	opened := o.Open(name, tip)
	head := opened.Head()
	e.Tip, e.Number, e.Before = tip, head.Number+1, head.SHA256
	if e.Day == "" {
		e.Day = o.Service.Today()
	}
	var sealed []byte
	if e.Action != tipbox.ActionGrant && e.Action != tipbox.ActionErase {
		to := []*seal.Recipient{opened.Slot.Key.Recipient()}
		if e.ToSource() {
			file, err := o.Service.Tip(ctx, o.Member(name), tip)
			if err != nil {
				t.Fatal(err)
			}
			r, err := seal.ParseRecipient(file.Reply)
			if err != nil {
				t.Fatal(err)
			}
			to = append(to, r)
		}
		if e.Action == tipbox.ActionInform {
			for _, m := range o.Service.Roster().With(roster.Approver) {
				to = append(to, m.Card.Recipient)
			}
		}
		if doc == "" {
			doc = fmt.Sprintf(`{"v":1,"tip":%q,"number":%d,"text":"x"}`, tip, e.Number)
		}
		var err error
		if sealed, err = seal.Message([]byte(doc), to...); err != nil {
			t.Fatal(err)
		}
		e.Sealed = sha(sealed)
	} else if e.Action == tipbox.ActionGrant {
		sealed = []byte(doc)
		e.Slot = sha(sealed)
	}
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	text := "tipbox event v1\n" + string(data) + "\n"
	if mangle != nil {
		text = mangle(text)
	}
	note, err := o.Key(name).SigningKey.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	return o.Service.Append(ctx, o.Member(name), tip, note, sealed)
}

func toWork(o *tipboxtest.Org, tip string) {
	o.Act("alice", tip, act(tipbox.ActionAccept, ""))
	o.Act("alice", tip, assign("alice", "2026-12-20"))
}

func tryOpen(o *tipboxtest.Org, name, tip string) (err error) {
	file, err := o.Service.Tip(ctx, o.Member(name), tip)
	if err != nil {
		return err
	}
	_, err = tipbox.OpenTip(file, tip, o.Key(name), o.Service.Roster())
	return err
}

func TestNobodySignsAsAnother(t *testing.T) {
	o, tip := newDesk(t)
	toWork(o, tip)
	forge := func(text string) string { return text + "\n— bob AAAA\n" }
	o.Act("dora", tip, finding(tipbox.Unsubstantiated))
	err := raw(t, o, "dora", tip, tipbox.Event{Action: tipbox.ActionFinding, Decides: true}, "", forge)
	if err == nil {
		t.Error("dora voted as bob; state ", o.Inbox("alice")[0].State, "; open: ", tryOpen(o, "alice", tip))
	}
}

func TestNobodyDatesBack(t *testing.T) {
	o, tip := newDesk(t)
	o.Clock.Advance(60 * 24 * time.Hour)
	err := raw(t, o, "alice", tip, tipbox.Event{Action: tipbox.ActionAck, Day: "2026-11-22"}, "", nil)
	if err == nil {
		t.Errorf("ack 60 days late accepted as of %s", o.Open("bob", tip).Case.Acknowledged)
	}
}

func TestNobodyOfAUnitLeftOutIsLetIn(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Enter("rita", &roster.Member{Roles: []roster.Role{roster.Reviewer}, Unit: "Inspectorate"})
	o.Enter("frank", &roster.Member{Roles: []roster.Role{roster.Investigator, roster.Reviewer}, Channels: []string{"bribery"}})
	o.Install()
	if _, err := o.Service.Submit(ctx, o.Draft(), tipbox.Submission{Channel: "off-book-funds", LeaveOut: []string{tipbox.LeaveOutUnit("Inspectorate"), "frank"}, Text: "they are in it"}); err != nil {
		t.Fatal(err)
	}
	tip := o.Inbox("alice")[0].Tip
	if err := o.TryAct("alice", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member("rita")}); err == nil {
		t.Error("rita of the unit left out was let in")
	}
	// frank is put onto the channel later
	o.Enter("frank", &roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{"bribery", "off-book-funds"}})
	o.Install()
	if err := o.TryAct("alice", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member("frank")}); err == nil {
		t.Error("frank, left out by name, was let in")
	}
}

func TestNobodyIsLetInWhereTheFirstMessageIsWithheld(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	if _, err := o.Service.Submit(ctx, o.Draft(), tipbox.Submission{Channel: "off-book-funds", LeaveOut: []string{"bob"}, Text: "it is bob"}); err != nil {
		t.Fatal(err)
	}
	tip := o.Inbox("alice")[0].Tip
	file, err := o.Service.Tip(ctx, o.Member("alice"), tip)
	if err != nil {
		t.Fatal(err)
	}
	file.Events[0].Sealed = nil // the server says it is lost
	opened, err := tipbox.OpenTip(file, tip, o.Key("alice"), o.Service.Roster())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := opened.Act(o.Key("alice"), o.Service.Today(), tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member("bob")}); err == nil {
		t.Error("alice's honest tool sealed the key to bob, whom the source left out")
	}
}

func TestGrantToWhoWasLeftOutIsAFault(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	if _, err := o.Service.Submit(ctx, o.Draft(), tipbox.Submission{Channel: "off-book-funds", LeaveOut: []string{"bob"}, Text: "it is bob"}); err != nil {
		t.Fatal(err)
	}
	tip := o.Inbox("alice")[0].Tip
	grant := tipbox.Event{Action: tipbox.ActionGrant, Member: "bob"}
	wantRule(t, raw(t, o, "alice", tip, grant, "garbage", nil), tipbox.RuleGrant)
	rec, err := o.Store.Get(ctx, store.Key("tip/"+tip))
	if err == nil { // a server that lets it happen
		err = o.Store.Apply(ctx, store.Put(rec.Key, bytes.Replace(rec.Value, []byte(`"left_out":["bob"],`), nil, 1)))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := raw(t, o, "alice", tip, grant, "garbage", nil); err != nil {
		t.Fatal(err)
	}
	if len(o.Open("alice", tip).Faults) == 0 {
		t.Error("a grant to whom the source left out is no fault")
	}
}

func TestWhatIsForTheDeskIsNotSealedToTheSource(t *testing.T) {
	o, other := newDesk(t)
	code := o.Submit("second")
	var tip string
	for _, i := range o.Inbox("alice") {
		if i.Tip != other {
			tip = i.Tip
		}
	}
	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionDecline, Text: "no", Detail: &tipbox.Detail{Reason: tipbox.Duplicate, Of: other}})
	rec, err := o.Store.Get(ctx, store.Key("sealed/"+tip+"/000002"))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := code.ReplyIdentity()
	plain, err := seal.OpenMessage(rec.Value, id)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(plain), other) {
		t.Errorf("with the receipt code: %s", plain)
	}
}

func TestWhoClosedDoesNotReverify(t *testing.T) {
	o, tip := newDesk(t)
	grant := func(name string) tipbox.Act { return tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member(name)} }
	o.Act("alice", tip, grant("carol"))
	toWork(o, tip)
	o.Act("alice", tip, finding(tipbox.Substantiated))
	o.Act("bob", tip, finding(tipbox.Substantiated))
	o.Act("alice", tip, act(tipbox.ActionAnswer, "It was so."))
	o.Act("carol", tip, act(tipbox.ActionClose, "all is there"))
	o.Act("carol", tip, act(tipbox.ActionReverify, "again"))
	if err := o.TryAct("carol", tip, finding(tipbox.Confirmed)); err == nil {
		t.Error("carol, who confirmed the closure, re-verifies it")
	}
	// an owner in round 1 who also reviews closes his own re-verification
	o.Enter("emil", &roster.Member{Roles: []roster.Role{roster.Investigator, roster.Reviewer}, Channels: []string{"off-book-funds"}})
	o.Install()
	o.Act("alice", tip, assign("emil", "2027-01-20"))
	o.Act("emil", tip, act(tipbox.ActionNote, "I look at it"))
	o.Act("emil", tip, finding(tipbox.Confirmed))
	if o.Open("alice", tip).Case.State != tipbox.StateReverified {
		o.Act("dora", tip, finding(tipbox.Confirmed))
	}
	if err := o.TryAct("emil", tip, act(tipbox.ActionClose, "done")); err == nil {
		t.Error("emil, who owned the re-verification, closes it")
	}
	// Owner replaced in round 2 may re-verify in round 3
}

func TestFormerOwnerDoesNotReverify(t *testing.T) {
	o, tip := newDesk(t)
	o.Enter("gina", &roster.Member{Roles: []roster.Role{roster.Reviewer}})
	o.Enter("hans", &roster.Member{Roles: []roster.Role{roster.Reviewer}})
	o.Install()
	grant := func(name string) tipbox.Act { return tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member(name)} }
	closeCase(o, tip)
	for _, n := range []string{"rita", "gina", "hans"} {
		o.Act("alice", tip, grant(n))
	}
	o.Act("carol", tip, act(tipbox.ActionReverify, "again"))
	o.Act("alice", tip, assign("emil", "2027-01-20"))
	o.Act("emil", tip, act(tipbox.ActionNote, "half of the work"))
	o.Act("alice", tip, assign("dora", "2027-01-20"))
	o.Act("rita", tip, finding(tipbox.Confirmed))
	o.Act("gina", tip, finding(tipbox.Confirmed))
	o.Act("carol", tip, act(tipbox.ActionClose, "ok"))
	o.Act("carol", tip, act(tipbox.ActionReverify, "once more"))
	if err := o.TryAct("emil", tip, finding(tipbox.Confirmed)); err == nil {
		t.Error("emil, an owner in round 1, re-verifies it in round 2")
	}
}

func TestVoteThatNobodyCanReadIsAFault(t *testing.T) {
	o, tip := newDesk(t)
	toWork(o, tip)
	o.Act("bob", tip, finding(tipbox.Substantiated))
	if err := raw(t, o, "dora", tip, tipbox.Event{Action: tipbox.ActionFinding, Decides: true}, "not a document", nil); err != nil {
		t.Fatal(err)
	}
	opened := o.Open("alice", tip)
	if len(opened.Faults) == 0 {
		t.Errorf("state %s finding %q, no fault", opened.Case.State, opened.Finding)
	}
}

func TestSayingItIsLostHidesNoOtherHistory(t *testing.T) {
	o, tip := newDesk(t)
	early, err := o.Service.Tip(ctx, o.Member("alice"), tip)
	if err != nil {
		t.Fatal(err)
	}
	old, err := tipbox.OpenTip(clone(t, early), tip, o.Key("bob"), o.Service.Roster())
	if err != nil {
		t.Fatal(err)
	}
	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionDecline, Text: "no", Detail: &tipbox.Detail{Reason: tipbox.OutOfScope}})
	seen := o.Open("alice", tip).Head() // entry 2 is alice's decline
	n2, s2, err := old.Act(o.Key("bob"), o.Service.Today(), act(tipbox.ActionAccept, ""))
	if err != nil {
		t.Fatal(err)
	}
	f := clone(t, early)
	f.Events = append(f.Events, tipbox.SealedEvent{Note: string(n2), Sealed: s2})
	forked, err := tipbox.OpenTip(f, tip, o.Key("bob"), o.Service.Roster())
	if err != nil {
		t.Fatal(err)
	}
	n3, s3, err := forked.Act(o.Key("bob"), o.Service.Today(), assign("bob", "2026-12-20"))
	if err != nil {
		t.Fatal(err)
	}
	f.Events[1] = tipbox.SealedEvent{} // "lost"
	f.Events = append(f.Events, tipbox.SealedEvent{Note: string(n3), Sealed: s3})
	lie, err := tipbox.OpenTip(f, tip, o.Key("alice"), o.Service.Roster())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lie.Extends(seen); err == nil {
		t.Errorf("alice's tool takes the other history: state %s", lie.Case.State)
	}
	// tail said to be lost, with a head of the server's own
	g := clone(t, early)
	g.Events = append(g.Events, tipbox.SealedEvent{})
	g.Head = sha([]byte("made up"))
	lie, err = tipbox.OpenTip(g, tip, o.Key("alice"), o.Service.Roster())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lie.Extends(seen); err == nil {
		t.Errorf("rolled back behind a lost entry with another head: state %s, head %v, seen %v", lie.Case.State, lie.Head(), seen)
	}
}

func TestOneVoteDecidesNothingWhereTheFirstIsLost(t *testing.T) {
	o, tip := newDesk(t)
	toWork(o, tip)
	file, err := o.Service.Tip(ctx, o.Member("alice"), tip)
	if err != nil {
		t.Fatal(err)
	}
	file.Events[0].Note = ""
	opened, err := tipbox.OpenTip(file, tip, o.Key("alice"), o.Service.Roster())
	if err != nil {
		t.Fatal(err)
	}
	note, _, err := opened.Act(o.Key("alice"), o.Service.Today(), finding(tipbox.Unsubstantiated))
	if err == nil && strings.Contains(string(note), `"decides":true`) {
		t.Error("one vote, quorum 2, and alice's honest tool signs that it decides")
	}
}

func TestGrantThatOpensNothingIsDoneAgain(t *testing.T) {
	o, tip := newDesk(t)
	if err := raw(t, o, "dora", tip, tipbox.Event{Action: tipbox.ActionGrant, Member: "carol"}, "garbage", nil); err != nil {
		t.Fatal(err)
	}
	if err := o.TryAct("alice", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member("carol")}); err != nil {
		t.Error("carol is shut out for good: ", err)
	}
}

func TestRecusalStartsNoClock(t *testing.T) {
	o, tip := newDesk(t)
	toWork(o, tip)
	o.Act("alice", tip, act(tipbox.ActionAsk, "?"))
	o.Act("dora", tip, tipbox.Act{Action: tipbox.ActionFinding, Text: "my brother", Recuse: true})
	if c := o.Open("alice", tip).Case; c.State != tipbox.StateAwaiting {
		t.Errorf("a recusal ends the waiting: %s, deadline runs", c.State)
	}
}

// forge has the server append what a member signs, who may have no key of the tip:
// the recipients are in the clear there.
func forge(t *testing.T, o *tipboxtest.Org, file *tipbox.TipFile, name string, action tipbox.Action) {
	t.Helper()
	number := len(file.Events) + 1
	doc := fmt.Sprintf(`{"v":1,"tip":%q,"number":%d,"text":"no"}`, file.Tip, number)
	reply, err := seal.ParseRecipient(file.Reply)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal.Message([]byte(doc), o.Open("dora", file.Tip).Slot.Key.Recipient(), reply)
	if err != nil {
		t.Fatal(err)
	}
	e := tipbox.Event{Tip: file.Tip, Number: number, Action: action, Day: o.Service.Today(), Before: file.Head, Sealed: sha(sealed)}
	note := event(t, o.Key(name).SigningKey, e)
	file.Events, file.Head = append(file.Events, tipbox.SealedEvent{Note: note, Sealed: sealed}), sha([]byte(note))
}

// TestActsOfStrangersAreAFault has whom the source left out, and a reviewer whom
// nobody let in, act with the server's help.
func TestActsOfStrangersAreAFault(t *testing.T) {
	rita := &roster.Member{Roles: []roster.Role{roster.Reviewer}, Unit: "Audit office"} // as alice is
	grant := func(o *tipboxtest.Org, tip string) {
		o.Act("bob", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member("carol")})
	}
	bobNowReviews := func(o *tipboxtest.Org, _ string) {
		o.Clock.Advance(aDay)
		o.Enter("bob", &roster.Member{Roles: []roster.Role{roster.Reviewer}})
		o.Install()
		o.Clock.Advance(aDay)
	}
	for _, test := range []struct {
		what   string
		before func(*tipboxtest.Org, string)
		name   string
		action tipbox.Action
		lose   int // this entry
		want   string
	}{
		{"left out by name", nil, "alice", tipbox.ActionDecline, 0, "entry 2: alice, whom the source left out, took decline"},
		{"left out by unit", nil, "rita", tipbox.ActionNote, 0, "entry 2: rita, whom the source left out, took note"},
		{"not let in", nil, "carol", tipbox.ActionNote, 0, "entry 2: carol, whom nobody let in, took note"},
		{"let in", grant, "carol", tipbox.ActionNote, 0, ""},
		{"let in by an entry that is lost", grant, "carol", tipbox.ActionNote, 2, ""},
		{"an investigator", nil, "dora", tipbox.ActionNote, 0, ""},
		{"an investigator when the tip came", bobNowReviews, "bob", tipbox.ActionNote, 0, ""},
	} {
		o := tipboxtest.New(t, tipboxtest.Config{})
		o.Enter("rita", rita)
		o.Enter("dora", &roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{"off-book-funds"}})
		o.Install()
		left := []string{"alice", tipbox.LeaveOutUnit(rita.Unit)}
		if _, err := o.Service.Submit(ctx, o.Draft(), tipbox.Submission{Channel: "off-book-funds", LeaveOut: left, Text: "about alice", Lang: "en"}); err != nil {
			t.Fatal(err)
		}
		tip := o.Inbox("bob")[0].Tip
		if test.before != nil {
			test.before(o, tip)
		}
		file, err := o.Service.Tip(ctx, o.Member("dora"), tip)
		if err != nil {
			t.Fatal(err)
		}
		forge(t, o, file, test.name, test.action)
		if test.lose > 0 {
			file.Events[test.lose-1] = tipbox.SealedEvent{}
		}
		opened, err := tipbox.OpenTip(file, tip, o.Key("dora"), o.Service.Roster())
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(opened.Faults, "; "); test.want == "" && got != "" || !strings.HasPrefix(got, test.want) || strings.Contains(got, "; ") {
			t.Errorf("%s: faults %q", test.what, opened.Faults)
		}
	}
}
