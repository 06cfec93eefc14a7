package tipbox_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// approvers enters approvers of an office each.
func approvers(o *tipboxtest.Org, names ...string) {
	for _, name := range names {
		o.Enter(name, &roster.Member{Roles: []roster.Role{roster.Approver}, Unit: "Office of " + name})
	}
	o.Install()
}

// submitWithout sends a tip that leaves somebody out, and closes its case.
func submitWithout(t *testing.T, o *tipboxtest.Org, leaveOut ...string) (tip string) {
	t.Helper()
	_, err := send(o, token(t, o.Service), tipbox.Submission{Channel: "off-book-funds", Text: "it is about peter", LeaveOut: leaveOut})
	if err != nil {
		t.Fatal(err)
	}
	tip = o.Inbox("alice")[0].Tip
	closeCase(o, tip)
	collect(o, tip, 150_000)
	return tip
}

// TestApproverWhomTheSourceLeftOutLearnsNothing leaves an approver out by name and by unit.
func TestApproverWhomTheSourceLeftOutLearnsNothing(t *testing.T) {
	for _, leaveOut := range []string{"peter", tipbox.LeaveOutUnit("Office of peter")} {
		t.Run(leaveOut, func(t *testing.T) {
			o := tipboxtest.New(t, tipboxtest.Config{})
			o.Rewards()
			approvers(o, "peter", "ada", "ben")
			tip := submitWithout(t, o, leaveOut)
			o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
			n := lastAward(t, o, tip).Number
			items, _, err := o.Service.Awards(ctx, o.Member("peter"), "", 10)
			if err != nil || len(items) > 0 {
				t.Errorf("peter is shown %+v, %v", items, err)
			}
			_, err = o.Service.AwardTip(ctx, o.Member("peter"), tip)
			wantErr(t, err, tipbox.ErrNotFound)
			note := signedBy(t, o, "peter", tip, n)
			wantErr(t, o.Service.Append(ctx, o.Member("peter"), tip, note, nil), tipbox.ErrNotFound)
			if items, _, err = o.Service.Awards(ctx, o.Member("ada"), "", 10); err != nil || len(items) != 1 {
				t.Errorf("ada is shown %+v, %v", items, err)
			}
			file, err := o.Service.AwardTip(ctx, o.Member("ada"), tip)
			if err != nil {
				t.Fatal(err)
			}
			seen, err := tipbox.OpenAward(file, tip, o.Key("peter"), o.Service.Roster()) // with the server's help
			if err != nil {
				t.Fatal(err)
			}
			if m := seen.Messages[n-1]; m.Text != "" || m.Detail != nil {
				t.Errorf("peter reads %q of %+v", m.Text, m.Detail)
			}
			for _, name := range []string{"ada", "ben"} {
				o.Decide(name, tip, rApprove(n))
			}
			if state := lastAward(t, o, tip).State; state != tipbox.AwardGranted {
				t.Errorf("the award is %s", state)
			}
		})
	}
}

// TestPagesOfAwardsHideWhomTheSourceLeftOut pages through three tips one by one, of which
// one is kept from peter.
func TestPagesOfAwardsHideWhomTheSourceLeftOut(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Rewards()
	approvers(o, "peter", "ada", "ben")
	hidden := submitWithout(t, o, "peter")
	tips := []string{hidden, submitWithout(t, o), submitWithout(t, o)}
	for _, tip := range tips {
		o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	}
	for name, want := range map[string]int{"peter": 2, "ada": 3} {
		var seen []string
		for cursor := ""; ; {
			items, next, err := o.Service.Awards(ctx, o.Member(name), cursor, 1)
			if err != nil || len(items) != 1 || name == "peter" && next == hidden {
				t.Fatalf("%s is shown %+v, and after %q: %v", name, items, next, err)
			}
			seen = append(seen, items[0].Tip)
			if cursor = next; cursor == "" {
				break
			}
		}
		if len(seen) != want || len(slices.Compact(slices.Sorted(slices.Values(seen)))) != want {
			t.Errorf("%s is shown %v", name, seen)
		}
	}
}

// signedBy is what the approver's own tool would sign, with the file of a colleague.
func signedBy(t *testing.T, o *tipboxtest.Org, name, tip string, n int) []byte {
	t.Helper()
	opened := o.Open("alice", tip)
	head := opened.Head()
	return []byte(event(t, o.Key(name).SigningKey, tipbox.Event{Tip: tip, Number: head.Number + 1, Before: head.SHA256, Action: tipbox.ActionApprove, Day: o.Service.Today(), Award: n}))
}

// TestNothingIsProposedThatNobodyCanGrant proposes an award for which too few are left.
func TestNothingIsProposedThatNobodyCanGrant(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Rewards()
	tip := submitWithout(t, o, "peter", "paula", "pia")
	err := o.TryAct("alice", tip, award(150_000, 6_000, 6_000, 400))
	wantRule(t, err, tipbox.RuleAward)
	if !strings.Contains(err.Error(), "takes 2 approvers") {
		t.Error(err)
	}
	approvers(o, "ada", "ben", "cleo")
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
}

// TestAppealWaitsForApproversWhoHaveNotDecided refuses an award where the roster has
// just enough approvers, and enters others.
func TestAppealWaitsForApproversWhoHaveNotDecided(t *testing.T) {
	o, code, tip := newRewarded(t, 150_000)
	o.Strike("pia")
	o.Strike("paul")
	o.Install()
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	n := lastAward(t, o, tip).Number
	o.Decide("peter", tip, rApprove(n))
	o.Decide("paula", tip, tipbox.Act{Action: tipbox.ActionRefuse, Award: n, Text: "no"})
	if err := o.Service.Appeal(ctx, code, n, "en", "they read it wrongly "+tipboxtest.Canary); err != nil {
		t.Fatal(err)
	}
	line := func(name string) tipbox.AwardLine {
		t.Helper()
		items, _, err := o.Service.Awards(ctx, o.Member(name), "", 10)
		if err != nil || len(items) != 1 {
			t.Fatalf("%+v, %v", items, err)
		}
		return items[0].Awards[0]
	}
	if got := line("peter").Lacking; got != 2 {
		t.Errorf("lacking %d, where both have decided", got)
	}
	if text := o.OpenAward("peter", tip).Messages; text[len(text)-1].Text != "" {
		t.Errorf("who decided reads the appeal: %q", text[len(text)-1].Text)
	}

	approvers(o, "ada", "ben")
	if err := o.Service.Derive(ctx); err != nil {
		t.Fatal(err)
	}
	if got := line("ada").Lacking; got != 0 {
		t.Errorf("lacking %d with ada and ben", got)
	}
	err := o.TryDecide("ada", tip, rApprove(n))
	wantRule(t, err, tipbox.RuleAward)
	if !strings.Contains(err.Error(), "tipbox inform "+tip) {
		t.Error(err)
	}
	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionInform, Award: n})
	opened := o.OpenAward("ada", tip)
	if text := opened.Messages[len(opened.Messages)-1].Text; !strings.Contains(text, "they told all of it") || !strings.Contains(text, "they read it wrongly") {
		t.Errorf("ada reads %q", text)
	}
	for _, name := range []string{"peter", "paula"} {
		wantRule(t, o.TryDecide(name, tip, rApprove(n)), tipbox.RuleOtherEyes)
	}
	for _, name := range []string{"ada", "ben"} {
		o.Decide(name, tip, rApprove(n))
	}
	if a := lastAward(t, o, tip); a.State != tipbox.AwardGranted {
		t.Errorf("the award is %s", a.State)
	}
	if faults := o.Open("bob", tip).Faults; len(faults) > 0 {
		t.Errorf("faults %q", faults)
	}
}

// TestInformThatSaysSomethingElseIsAFault has an investigator tell approvers of another
// base, of other reasons, and that the source said something else.
func TestInformThatSaysSomethingElseIsAFault(t *testing.T) {
	o, code, tip := newRewarded(t, 150_000)
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	n := lastAward(t, o, tip).Number
	o.Decide("peter", tip, tipbox.Act{Action: tipbox.ActionRefuse, Award: n, Text: "no"})
	if err := o.Service.Appeal(ctx, code, n, "en", "they read it wrongly"); err != nil {
		t.Fatal(err)
	}
	var said string
	for _, m := range o.Open("alice", tip).Messages {
		if m.Number == n {
			said = m.Text
		}
	}
	const whole = "\n\nthey read it wrongly"
	for i, told := range []struct {
		text string
		base int
	}{{said + whole, 1}, {"other reasons" + whole, 150_000_00}, {said + "\n\nthey are right", 150_000_00}, {said, 150_000_00}} {
		next := o.Open("alice", tip).Head().Number + 1
		other := fmt.Sprintf(`{"v":1,"tip":%q,"number":%d,"text":%s,"detail":{"base":%d,"rate":400}}`, tip, next, encoded(t, told.text), told.base)
		if err := raw(t, o, "alice", tip, tipbox.Event{Action: tipbox.ActionInform, Award: n}, other, nil); err != nil {
			t.Fatal(err)
		}
		if faults := o.Open("bob", tip).Faults; len(faults) != i+1 {
			t.Errorf("after %+v: faults %q", told, faults)
		}
	}
	o.Act("bob", tip, tipbox.Act{Action: tipbox.ActionInform, Award: n})
	if faults := o.Open("bob", tip).Faults; len(faults) != 4 {
		t.Errorf("faults %q", faults)
	}
}

// TestSharedAwardIsHiddenFromWhomOneSourceLeftOut shares an award with a tip whose source
// left an approver out.
func TestSharedAwardIsHiddenFromWhomOneSourceLeftOut(t *testing.T) {
	o, _, tip := newRewarded(t, 150_000)
	_, err := send(o, token(t, o.Service), tipbox.Submission{Channel: "off-book-funds", Text: "it is about peter", LeaveOut: []string{"peter"}})
	if err != nil {
		t.Fatal(err)
	}
	twin := rOther(t, o, tip)
	o.Act("alice", twin, tipbox.Act{Action: tipbox.ActionDecline, Text: "known", Detail: &tipbox.Detail{Reason: tipbox.Duplicate, Of: tip}})
	split := []tipbox.AwardShare{{Tip: tip, Parts: 50}, {Tip: twin, Parts: 50}}
	o.Act("alice", tip, award(150_000, 6_000, 3_000, 400, split...))
	o.Act("alice", twin, award(150_000, 6_000, 3_000, 400, split...))
	items, _, err := o.Service.Awards(ctx, o.Member("peter"), "", 10)
	if err != nil || len(items) > 0 {
		t.Errorf("peter is shown %+v, %v", items, err)
	}
	_, err = o.Service.AwardTip(ctx, o.Member("peter"), tip)
	wantErr(t, err, tipbox.ErrNotFound)
	if items, _, err = o.Service.Awards(ctx, o.Member("paula"), "", 10); err != nil || len(items) != 2 {
		t.Errorf("paula is shown %+v, %v", items, err)
	}
}
