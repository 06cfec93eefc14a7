package tipbox_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// newDesk is an organisation whose desk has enough people for every rule. All
// read off-book-funds, the reviewers once they are let in.
func newDesk(t *testing.T) (o *tipboxtest.Org, tip string) {
	o = tipboxtest.New(t, tipboxtest.Config{})
	for name, role := range map[string]roster.Role{"dora": roster.Investigator, "emil": roster.Investigator, "rita": roster.Reviewer} {
		m := &roster.Member{Roles: []roster.Role{role}}
		if role == roster.Investigator {
			m.Channels = []string{"off-book-funds"}
		}
		o.Enter(name, m)
	}
	o.Install()
	o.Submit("They keep a second book.")
	return o, o.Inbox("alice")[0].Tip
}

// wantRule checks that the rule of that name refuses.
func wantRule(t *testing.T, err error, rule string) {
	t.Helper()
	var refused *tipbox.RuleError
	if !errors.As(err, &refused) || refused.Rule != rule || !errors.Is(err, tipbox.ErrRule) {
		t.Errorf("error %v, want one of rule %s", err, rule)
	}
}

func act(a tipbox.Action, text string) tipbox.Act { return tipbox.Act{Action: a, Text: text} }

func finding(f tipbox.Finding) tipbox.Act {
	return tipbox.Act{Action: tipbox.ActionFinding, Text: "because", Detail: &tipbox.Detail{Finding: f}}
}

func assign(name, due string) tipbox.Act {
	return tipbox.Act{Action: tipbox.ActionAssign, Owner: name, Due: due}
}

// closeCase takes a fresh case to its end.
func closeCase(o *tipboxtest.Org, tip string) {
	grant := func(name string) tipbox.Act { return tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member(name)} }
	o.Act("alice", tip, grant("carol"))
	o.Act("alice", tip, act(tipbox.ActionAck, "We read it."))
	o.Act("alice", tip, act(tipbox.ActionAccept, ""))
	o.Act("alice", tip, assign("alice", "2026-12-20"))
	o.Act("alice", tip, finding(tipbox.Substantiated))
	o.Act("carol", tip, finding(tipbox.Substantiated))
	o.Act("alice", tip, act(tipbox.ActionAnswer, "It was so."))
	o.Act("carol", tip, act(tipbox.ActionClose, "all is there"))
}

func state(t *testing.T, o *tipboxtest.Org, tip string, want tipbox.State) *tipbox.OpenedTip {
	t.Helper()
	opened := o.Open("alice", tip)
	if opened.Case.State != want {
		t.Errorf("the case is %s, want %s", opened.Case.State, want)
	}
	return opened
}

func TestCaseFromReceiptToClosure(t *testing.T) {
	o, tip := newDesk(t)
	day := func(n int) { o.Clock.Advance(time.Duration(n) * 24 * time.Hour) }
	if c := state(t, o, tip, tipbox.StateReceived).Case; c.AcknowledgeBy != "2026-11-29" {
		t.Errorf("acknowledge by %s", c.AcknowledgeBy)
	}
	wantRule(t, o.TryAct("alice", tip, assign("alice", "2026-12-20")), tipbox.RulePath)
	day(2)
	o.Act("alice", tip, act(tipbox.ActionAck, "We read it."))
	o.Act("alice", tip, act(tipbox.ActionAccept, "ours"))
	wantRule(t, o.TryAct("alice", tip, act(tipbox.ActionAck, "again")), tipbox.RulePath)
	wantRule(t, o.TryAct("alice", tip, assign("carol", "2026-12-20")), tipbox.RuleOwner)
	o.Act("alice", tip, assign("bob", "2026-12-20"))
	if item := o.Inbox("alice")[0]; item.Owner != "bob" || item.Due != "2026-12-20" || item.State != tipbox.StateAssigned {
		t.Errorf("inbox: %+v", item)
	}
	o.Act("bob", tip, act(tipbox.ActionNote, "I begin with the ledgers."))
	c := state(t, o, tip, tipbox.StateInvestigating).Case
	if c.AnswerBy != "2027-02-24" {
		t.Errorf("answer by %s", c.AnswerBy)
	}
	o.Act("bob", tip, act(tipbox.ActionAsk, "Which account?"))
	if day, _ := state(t, o, tip, tipbox.StateAwaiting).Case.Deadline(); day != "" {
		t.Errorf("a deadline runs while the source is asked: %s", day)
	}

	// Reviewers are let in by an investigator; nobody else is.
	grant := func(name string) tipbox.Act { return tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member(name)} }
	wantRule(t, o.TryAct("alice", tip, grant("peter")), tipbox.RuleGrant)
	wantRule(t, o.TryAct("alice", tip, grant("bob")), tipbox.RuleGrant)
	for _, name := range []string{"carol", "rita"} {
		o.Act("alice", tip, grant(name))
		if items := o.Inbox(name); len(items) != 1 || items[0].Tip != tip {
			t.Errorf("%s's inbox: %+v", name, items)
		}
	}
	wantRule(t, o.TryAct("carol", tip, act(tipbox.ActionAnswer, "no")), tipbox.RuleRole)

	// The finding: a dissent, a recusal, and the quorum of two.
	o.Act("dora", tip, tipbox.Act{Action: tipbox.ActionFinding, Text: "my brother works there", Recuse: true})
	wantRule(t, o.TryAct("dora", tip, finding(tipbox.Partly)), tipbox.RuleRecused)
	o.Act("carol", tip, finding(tipbox.Partly))
	o.Act("bob", tip, finding(tipbox.Substantiated))
	state(t, o, tip, tipbox.StateInvestigating)
	o.Act("alice", tip, finding(tipbox.Substantiated))
	opened := state(t, o, tip, tipbox.StateFound)
	if opened.Finding != tipbox.Substantiated || len(opened.Faults) > 0 || !slices.Equal(opened.Case.Votes, []string{"carol", "bob", "alice"}) || !slices.Equal(opened.Case.Recused, []string{"dora"}) {
		t.Errorf("finding %s by %v without %v, faults %q", opened.Finding, opened.Case.Votes, opened.Case.Recused, opened.Faults)
	}
	wantRule(t, o.TryAct("emil", tip, finding(tipbox.Partly)), tipbox.RulePath)

	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionRecover, Text: "first part", Detail: &tipbox.Detail{Amount: 1_000_000, Currency: "CNY", Basis: tipbox.SumCollected}})
	o.Act("bob", tip, act(tipbox.ActionAnswer, "It was so, and it is paid back."))
	wantRule(t, o.TryAct("bob", tip, act(tipbox.ActionClose, "done")), tipbox.RuleRole)
	o.Act("carol", tip, act(tipbox.ActionClose, "all is there"))
	state(t, o, tip, tipbox.StateClosed)
	if items := o.Inbox("alice"); len(items) != 0 {
		t.Errorf("a closed case is in the inbox: %+v", items)
	}

	// Others look at it again.
	o.Act("carol", tip, act(tipbox.ActionReverify, "The public doubts it."))
	for _, name := range []string{"alice", "bob", "carol"} {
		wantRule(t, o.TryAct(name, tip, finding(tipbox.Confirmed)), tipbox.RuleOtherEyes)
	}
	wantRule(t, o.TryAct("alice", tip, assign("bob", "2027-01-20")), tipbox.RuleOtherEyes)
	o.Act("alice", tip, assign("emil", "2027-01-20"))
	o.Act("emil", tip, finding(tipbox.Confirmed))
	o.Act("rita", tip, finding(tipbox.Confirmed))
	if opened := state(t, o, tip, tipbox.StateReverified); opened.Finding != tipbox.Confirmed {
		t.Errorf("finding %s", opened.Finding)
	}
	o.Act("rita", tip, act(tipbox.ActionClose, "again"))
	state(t, o, tip, tipbox.StateClosed)
}

func TestSourceSeesOnlyWhatIsForIt(t *testing.T) {
	o, _ := newDesk(t)
	code := o.Submit("another")
	var tip string
	for _, item := range o.Inbox("alice") {
		if thread := o.Open("alice", item.Tip); thread.Messages[0].Text == "another" {
			tip = item.Tip
		}
	}
	closeCase(o, tip)
	thread, err := o.Service.Thread(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, m := range thread.Messages {
		texts = append(texts, m.Text)
	}
	if got := strings.Join(texts, "|"); got != "|We read it.|It was so." {
		t.Errorf("the source reads %q", got)
	}
	if thread.State != tipbox.StateClosed || thread.Acknowledged != "2026-11-22" || thread.AnswerBy != "2027-02-22" || thread.Answered == "" {
		t.Errorf("%+v", thread.Promised)
	}
}

func TestWhoIsLeftOutIsNeverLetIn(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	_, err := o.Service.Submit(ctx, o.Draft(), tipbox.Submission{Channel: "off-book-funds", LeaveOut: []string{"bob"}, Text: "it is bob"})
	if err != nil {
		t.Fatal(err)
	}
	tip := o.Inbox("alice")[0].Tip
	wantRule(t, o.TryAct("alice", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member("bob")}), tipbox.RuleGrant)
}

func TestWaitingForTheSourceStopsTheClock(t *testing.T) {
	o, tip := newDesk(t)
	code := o.Submit("slow")
	for _, item := range o.Inbox("alice") {
		if o.Open("alice", item.Tip).Messages[0].Text == "slow" {
			tip = item.Tip
		}
	}
	o.Act("alice", tip, act(tipbox.ActionAccept, ""))
	o.Act("alice", tip, assign("alice", "2026-12-01"))
	o.Act("alice", tip, act(tipbox.ActionAsk, "Which?"))
	o.Clock.Advance(10 * 24 * time.Hour)
	d, err := o.Service.Reopen(ctx, code)
	if err == nil {
		err = o.Service.FollowUp(ctx, d, "n", "en", "This one.")
	}
	if err != nil {
		t.Fatal(err)
	}
	c := state(t, o, tip, tipbox.StateInvestigating).Case
	if c.Due != "2026-12-11" || c.AnswerBy != "2027-03-04" || c.Paused != 10 {
		t.Errorf("due %s, answer by %s, paused %d", c.Due, c.AnswerBy, c.Paused)
	}
	byDue, _, err := o.Service.Inbox(ctx, o.Member("alice"), tipbox.InboxFilter{ByDue: true}, "", 10)
	if err != nil || len(byDue) != 2 || byDue[0].Due > byDue[1].Due {
		t.Errorf("%+v, %v", byDue, err)
	}
	mine, _, err := o.Service.Inbox(ctx, o.Member("bob"), tipbox.InboxFilter{Owner: "alice"}, "", 10)
	if err != nil || len(mine) != 1 || mine[0].Tip != tip {
		t.Errorf("%+v, %v", mine, err)
	}
}

// TestMembersToolNoticesWhatTheServerTakesBack serves what a server that lies
// could.
func TestMembersToolNoticesWhatTheServerTakesBack(t *testing.T) {
	o, tip := newDesk(t)
	before := o.Open("alice", tip)
	early, err := o.Service.Tip(ctx, o.Member("alice"), tip)
	if err != nil {
		t.Fatal(err)
	}
	o.Act("alice", tip, act(tipbox.ActionAck, "We read it."))
	seen := o.Open("alice", tip)
	if tied, err := seen.Extends(before.Head()); err != nil || !tied {
		t.Error(tied, err)
	}
	old, err := tipbox.OpenTip(early, tip, o.Key("alice"), o.Service.Roster())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Extends(seen.Head()); !errors.Is(err, tipbox.ErrInvalid) || !strings.Contains(err.Error(), "taken some back") {
		t.Errorf("a list that was cut: %v", err)
	}
	// Bob signs another second entry, and the server shows his list.
	note, sealed, err := old.Act(o.Key("alice"), "2026-11-22", act(tipbox.ActionAck, "Another history."))
	if err != nil {
		t.Fatal(err)
	}
	early.Events = append(early.Events, tipbox.SealedEvent{Note: string(note), Sealed: sealed})
	forked, err := tipbox.OpenTip(early, tip, o.Key("bob"), o.Service.Roster())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := forked.Extends(seen.Head()); !errors.Is(err, tipbox.ErrInvalid) || !strings.Contains(err.Error(), "two histories") {
		t.Errorf("another history: %v", err)
	}
}

func TestHeldCaseIsNotErased(t *testing.T) {
	o, tip := newDesk(t)
	o.Act("alice", tip, act(tipbox.ActionHold, "a court wants it"))
	wantRule(t, o.TryAct("alice", tip, act(tipbox.ActionErase, "")), tipbox.RuleHold)
	o.Act("alice", tip, act(tipbox.ActionRelease, ""))
	o.Act("alice", tip, act(tipbox.ActionErase, ""))
}

// openPretending opens a tip as a tool would for which the member of that name
// has another role than in the roster.
func openPretending(t *testing.T, o *tipboxtest.Org, reader, tip, name string, role roster.Role) *tipbox.OpenedTip {
	t.Helper()
	file, err := o.Service.Tip(ctx, o.Member(reader), tip)
	if err != nil {
		t.Fatal(err)
	}
	pretended := *o.Service.Roster()
	pretended.Members = slices.Clone(pretended.Members)
	for i, m := range pretended.Members {
		if m.Name() == name {
			other := *m
			other.Roles, other.Channels = []roster.Role{role}, []string{"off-book-funds"}
			pretended.Members[i] = &other
		}
	}
	opened, err := tipbox.OpenTip(file, tip, o.Key(reader), &pretended)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// TestOtherRulesShutNobodyOut raises the quorum of a case that was found under a
// lower one: the finding is void and said to be, and the source can still write.
func TestOtherRulesShutNobodyOut(t *testing.T) {
	o, tip := newDesk(t)
	code := o.Submit("found by two")
	for _, item := range o.Inbox("alice") {
		if o.Open("alice", item.Tip).Messages[0].Text == "found by two" {
			tip = item.Tip
		}
	}
	closeCase(o, tip)
	o.SetRules(roster.Rule{Channel: "off-book-funds", Since: "2026-01-01", Quorum: 3, Acknowledge: 7})
	d, err := o.Service.Reopen(ctx, code)
	if err == nil {
		err = o.Service.FollowUp(ctx, d, "n", "en", "more")
	}
	if err != nil {
		t.Fatal(err)
	}
	opened := o.Open("alice", tip)
	if opened.Case.State != tipbox.StateInvestigating || len(opened.Faults) == 0 || !strings.Contains(opened.Faults[0], "rule quorum") {
		t.Errorf("%s, %q", opened.Case.State, opened.Faults)
	}
	if _, err := o.Service.Thread(ctx, code); err != nil {
		t.Error(err)
	}
	o.SetRules()                                              // as it was
	o.Act("alice", tip, act(tipbox.ActionReply, "thank you")) // and the record is as it must be
	state(t, o, tip, tipbox.StateClosed)
}

// TestTipsOfAnEarlierVersionAreTakenUp makes a tip's records what they were before
// there were cases.
func TestTipsOfAnEarlierVersionAreTakenUp(t *testing.T) {
	o, tip := newDesk(t)
	strip := func(key store.Key) {
		t.Helper()
		rec, err := o.Store.Get(ctx, key)
		var fields map[string]any
		if err == nil {
			err = json.Unmarshal(rec.Value, &fields)
		}
		for _, name := range []string{"state", "due", "due_for"} {
			delete(fields, name)
		}
		text, jsonErr := json.Marshal(fields)
		if err = errors.Join(err, jsonErr); err == nil {
			err = o.Store.Apply(ctx, store.Put(key, text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	strip(store.Key("tip/" + tip))
	for name := range o.Stored() {
		if key, ok := strings.CutPrefix(name, "record inbox/"); ok {
			strip(store.Key("inbox/" + key))
		}
		if key, ok := strings.CutPrefix(name, "record due/"); ok {
			if err := o.Store.Apply(ctx, store.Delete(store.Key("due/"+key))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if item := o.Inbox("alice")[0]; item.State != "" {
		t.Fatalf("not stripped: %+v", item)
	}
	for range 2 {
		if _, err := o.Service.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if item := o.Inbox("alice")[0]; item.State != tipbox.StateReceived || item.Due != "2026-11-29" {
		t.Errorf("%+v", item)
	}
	o.Act("alice", tip, act(tipbox.ActionAck, "We read it."))
}
