package tipbox_test

import (
	"encoding/json"
	"strings"
	"testing"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

func rApprove(n int) tipbox.Act { return tipbox.Act{Action: tipbox.ActionApprove, Award: n} }

// rOrg is an organisation whose dora is investigator or reviewer, and approver.
func rOrg(t *testing.T, role roster.Role) (o *tipboxtest.Org, code *receipt.Code, tip string) {
	o = tipboxtest.New(t, tipboxtest.Config{})
	m := &roster.Member{Roles: []roster.Role{role, roster.Approver}, Channels: []string{"off-book-funds"}}
	o.Enter("dora", m)
	o.Rewards()
	code = o.Submit("They keep a second book.")
	tip = o.Inbox("alice")[0].Tip
	return o, code, tip
}

func rLose(t *testing.T, o *tipboxtest.Org, tip string, n int) {
	t.Helper()
	o.Tolerate("tip ") // the check at the end sees what is lost
	if err := o.Store.Apply(ctx, store.Delete(store.Key("event/"+tip+"/"+strings.Repeat("0", 6-len(itoa(n)))+itoa(n)))); err != nil {
		t.Fatal(err)
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

func rOther(t *testing.T, o *tipboxtest.Org, tip string) string {
	t.Helper()
	for _, i := range o.Inbox("alice") {
		if i.Tip != tip {
			return i.Tip
		}
	}
	t.Fatal("no other")
	return ""
}

func collectBy(o *tipboxtest.Org, name, tip string, yuan int64) {
	o.Act(name, tip, tipbox.Act{Action: tipbox.ActionRecover, Detail: &tipbox.Detail{Amount: yuan * 100, Currency: "CNY", Basis: tipbox.SumCollected}})
}

// TestWhoWorkedInTheReverificationDoesNotApprove has a member who did anything in the case decide about its award.
func TestWhoWorkedInTheReverificationDoesNotApprove(t *testing.T) {
	for name, part := range map[string]func(o *tipboxtest.Org, tip string){
		"noted the sum": func(o *tipboxtest.Org, tip string) { collectBy(o, "dora", tip, 150_000) },
		"wrote a note":  func(o *tipboxtest.Org, tip string) { o.Act("dora", tip, act(tipbox.ActionNote, "I spoke with them")) },
		"answered":      func(o *tipboxtest.Org, tip string) { o.Reply("dora", tip, "trust me") },
		"assigned it":   func(o *tipboxtest.Org, tip string) { o.Act("dora", tip, assign("bob", "2026-12-20")) },
		"let carol in": func(o *tipboxtest.Org, tip string) {
			o.Act("dora", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member("carol")})
		},
		"held it": func(o *tipboxtest.Org, tip string) { o.Act("dora", tip, act(tipbox.ActionHold, "wait")) },
	} {
		t.Run(name, func(t *testing.T) {
			o, _, tip := rOrg(t, roster.Investigator)
			closeCase(o, tip)
			o.Act("carol", tip, act(tipbox.ActionReverify, "again"))
			part(o, tip)
			if name != "noted the sum" {
				collect(o, tip, 150_000)
			}
			o.Act("bob", tip, tipbox.Act{Action: tipbox.ActionFinding, Text: "y", Detail: &tipbox.Detail{Finding: tipbox.Confirmed}})
			o.Enter("rita", &roster.Member{Roles: []roster.Role{roster.Reviewer}})
			o.Install()
			o.Act("bob", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member("rita")})
			o.Act("rita", tip, tipbox.Act{Action: tipbox.ActionFinding, Text: "y", Detail: &tipbox.Detail{Finding: tipbox.Confirmed}})
			o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
			wantRule(t, o.TryDecide("dora", tip, rApprove(lastAward(t, o, tip).Number)), tipbox.RuleOtherEyes)
		})
	}
}

// TestWhoProposedAnInstalmentDoesNotApproveTheNext does so with an earlier award.
func TestWhoProposedAnInstalmentDoesNotApproveTheNext(t *testing.T) {
	o, _, tip := rOrg(t, roster.Investigator)
	closeCase(o, tip)
	collect(o, tip, 150_000)
	o.Act("carol", tip, act(tipbox.ActionReverify, "again"))
	o.Act("bob", tip, tipbox.Act{Action: tipbox.ActionFinding, Text: "y", Detail: &tipbox.Detail{Finding: tipbox.Confirmed}})
	o.Enter("rita", &roster.Member{Roles: []roster.Role{roster.Reviewer}})
	o.Install()
	o.Act("bob", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member("rita")})
	o.Act("rita", tip, tipbox.Act{Action: tipbox.ActionFinding, Text: "y", Detail: &tipbox.Detail{Finding: tipbox.Confirmed}})
	o.Act("dora", tip, award(150_000, 6_000, 6_000, 400))
	n := lastAward(t, o, tip).Number
	o.Decide("peter", tip, rApprove(n))
	o.Decide("paula", tip, rApprove(n))
	collect(o, tip, 50_000)
	o.Act("alice", tip, award(200_000, 2_000, 2_000, 400))
	wantRule(t, o.TryDecide("dora", tip, rApprove(lastAward(t, o, tip).Number)), tipbox.RuleOtherEyes)
}

// TestWhoInvestigatedDoesNotApproveADuplicatesShare does so with a tip that shares the award.
func TestWhoInvestigatedDoesNotApproveADuplicatesShare(t *testing.T) {
	o, _, tip := rOrg(t, roster.Investigator)
	closeCase(o, tip)
	collectBy(o, "dora", tip, 300_000) // dora worked on the case, and notes its base
	o.Submit("The same.")
	twin := rOther(t, o, tip)
	o.Act("alice", twin, tipbox.Act{Action: tipbox.ActionDecline, Text: "known", Detail: &tipbox.Detail{Reason: tipbox.Duplicate, Of: tip}})
	split := []tipbox.AwardShare{{Tip: tip, Parts: 30}, {Tip: twin, Parts: 70}}
	o.Act("alice", tip, award(300_000, 12_000, 3_600, 400, split...))
	o.Act("alice", twin, award(300_000, 12_000, 8_400, 400, split...))
	wantRule(t, o.TryDecide("dora", tip, rApprove(lastAward(t, o, tip).Number)), tipbox.RuleOtherEyes)
	if err := o.TryDecide("dora", twin, rApprove(lastAward(t, o, twin).Number)); err == nil {
		t.Error("dora approves the larger share of the case that she investigated")
	}
}

// TestTwinsAwardIsThatOfTheFirst proposes more in a duplicate than in the tip that came first.
func TestTwinsAwardIsThatOfTheFirst(t *testing.T) {
	o, _, tip := newRewarded(t, 2_000_000)
	grantAll := func(id string) {
		n := lastAward(t, o, id).Number
		for _, name := range []string{"peter", "paula", "pia"} {
			o.Decide(name, id, rApprove(n))
		}
	}
	o.Act("alice", tip, award(2_000_000, 100_000, 100_000, 500)) // the cap, for the one source
	grantAll(tip)
	o.Submit("The same.")
	twin := rOther(t, o, tip)
	o.Act("alice", twin, tipbox.Act{Action: tipbox.ActionDecline, Text: "known", Detail: &tipbox.Detail{Reason: tipbox.Duplicate, Of: tip}})
	split := []tipbox.AwardShare{{Tip: tip, Parts: 1}, {Tip: twin, Parts: 999_999}}
	if err := o.TryAct("alice", twin, award(2_000_000, 100_000, 100_000, 500, split...)); err != nil {
		return
	}
	grantAll(twin)
	a, b := lastAward(t, o, tip), lastAward(t, o, twin)
	if sum := a.Terms.Amount + b.Terms.Amount; a.State == tipbox.AwardGranted && b.State == tipbox.AwardGranted && sum > 100_000_00 {
		t.Errorf("the case was awarded %d, the cap is %d; faults %q, %q", sum, 100_000_00, o.Open("alice", tip).Faults, o.Open("alice", twin).Faults)
	}
}

// TestNoShareIsApprovedTwiceOfOneAward has an investigator and a server propose a share
// once more when the award was granted.
func TestNoShareIsApprovedTwiceOfOneAward(t *testing.T) {
	o, _, tip := newRewarded(t, 200_000)
	o.Submit("The same.")
	twin := rOther(t, o, tip)
	if err := tipbox.CameFirst(o.Open("alice", tip), o.Open("alice", twin)); err != nil {
		t.Error(err)
	}
	wantRule(t, tipbox.CameFirst(o.Open("alice", twin), o.Open("alice", tip)), tipbox.RuleAward)
	o.Act("alice", twin, tipbox.Act{Action: tipbox.ActionDecline, Text: "known", Detail: &tipbox.Detail{Reason: tipbox.Duplicate, Of: tip}})
	split := []tipbox.AwardShare{{Tip: tip, Parts: 30}, {Tip: twin, Parts: 70}}
	again := award(200_000, 8_000, 5_600, 400, split...)
	o.Act("alice", tip, award(200_000, 8_000, 2_400, 400, split...))
	check := func() error {
		tips := map[string]*tipbox.OpenedTip{tip: o.OpenAward("peter", tip), twin: o.OpenAward("peter", twin)}
		return tipbox.CheckShares(lastAward(t, o, tip), tips)
	}
	o.Act("alice", twin, again)
	if err := check(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"peter", "paula"} {
		o.Decide(name, tip, rApprove(lastAward(t, o, tip).Number))
		o.Decide(name, twin, rApprove(lastAward(t, o, twin).Number))
	}
	note, sealed, err := o.Open("alice", twin).Act(o.Key("alice"), o.Service.Today(), again)
	if err != nil {
		t.Fatal(err)
	}
	file, err := o.Service.AwardTip(ctx, o.Member("peter"), twin)
	if err != nil {
		t.Fatal(err)
	}
	file.Events = append(file.Events, tipbox.SealedEvent{Note: string(note), Sealed: sealed})
	opened, err := tipbox.OpenAward(file, twin, o.Key("peter"), o.Service.Roster())
	if err != nil {
		t.Fatal(err)
	}
	a := opened.Case.Awards[len(opened.Case.Awards)-1]
	if a.State != tipbox.AwardProposed {
		t.Fatalf("%+v, faults %q", a, opened.Faults)
	}
	wantRule(t, tipbox.CheckShares(a, map[string]*tipbox.OpenedTip{tip: o.OpenAward("peter", tip), twin: opened}), tipbox.RuleAward)
}

// TestSharesAreTheSameInAllTips proposes other shares in a duplicate.
func TestSharesAreTheSameInAllTips(t *testing.T) {
	o, _, tip := newRewarded(t, 200_000)
	o.Submit("The same.")
	twin := rOther(t, o, tip)
	o.Act("alice", twin, tipbox.Act{Action: tipbox.ActionDecline, Text: "known", Detail: &tipbox.Detail{Reason: tipbox.Duplicate, Of: tip}})
	o.Act("alice", tip, award(200_000, 8_000, 7_900, 400, tipbox.AwardShare{Tip: tip, Parts: 99}, tipbox.AwardShare{Tip: twin, Parts: 1}))
	if err := o.TryAct("alice", twin, award(200_000, 8_000, 7_900, 400, tipbox.AwardShare{Tip: tip, Parts: 1}, tipbox.AwardShare{Tip: twin, Parts: 99})); err != nil {
		return
	}
	for _, id := range []string{tip, twin} {
		for _, name := range []string{"peter", "paula"} {
			o.Decide(name, id, rApprove(lastAward(t, o, id).Number))
		}
	}
	if sum := lastAward(t, o, tip).Terms.Amount + lastAward(t, o, twin).Terms.Amount; sum != 8_000_00 {
		t.Errorf("shares of %d come to %d; faults %q %q", 8_000_00, sum, o.Open("alice", tip).Faults, o.Open("alice", twin).Faults)
	}
}

// TestWhatIsProposedAgainIsNotAppealed appeals against the refusal of what was proposed anew.
func TestWhatIsProposedAgainIsNotAppealed(t *testing.T) {
	o, code, tip := newRewarded(t, 2_000_000)
	o.Act("alice", tip, award(2_000_000, 100_000, 100_000, 500))
	first := lastAward(t, o, tip).Number
	o.Decide("peter", tip, tipbox.Act{Action: tipbox.ActionRefuse, Award: first, Text: "wrong reasons"})
	o.Act("alice", tip, award(2_000_000, 100_000, 100_000, 500))
	second := lastAward(t, o, tip).Number
	for _, name := range []string{"peter", "paula", "pia"} {
		o.Decide(name, tip, rApprove(second))
	}
	if err := o.Service.Appeal(ctx, code, first, "en", "but I was right"); err != nil {
		return
	}
	for _, name := range []string{"paul", "paula", "pia"} {
		if err := o.TryDecide(name, tip, rApprove(first)); err != nil {
			return
		}
	}
	var sum int64
	for _, a := range o.Open("alice", tip).Case.Awards {
		if a.State == tipbox.AwardGranted {
			sum += a.Terms.Amount
		}
	}
	if sum > 100_000_00 {
		t.Errorf("granted are %d, and the cap is %d", sum, 100_000_00)
	}
}

// TestNothingIsPaidUnapprovedWhereAnEntryIsLost loses an entry of the case.
func TestNothingIsPaidUnapprovedWhereAnEntryIsLost(t *testing.T) {
	o, code, tip := newRewarded(t, 2_000_000)
	o.Act("alice", tip, award(2_000_000, 100_000, 100_000, 500))
	n := lastAward(t, o, tip).Number
	rLose(t, o, tip, 3) // the acknowledgement
	if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err != nil {
		return
	}
	o.Issue("pia", tip, n)
	v, err := o.Service.Vouchers(ctx, code, n)
	if err == nil {
		t.Errorf("%d vouchers of an award that nobody approved of", len(v))
	}
}

// TestLostClaimIsAnError loses the claim.
func TestLostClaimIsAnError(t *testing.T) {
	o, code, tip, n := newGranted(t)
	if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err != nil {
		t.Fatal(err)
	}
	claimed := len(o.Open("alice", tip).Messages)
	o.Issue("pia", tip, n)
	rLose(t, o, tip, claimed)
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("panic: %v", p)
		}
	}()
	v, err := o.Service.Vouchers(ctx, code, n)
	t.Log(len(v), err)
}

// TestSignaturesAreCheckedWhereAnEntryIsLost signs too little where an entry is lost.
func TestSignaturesAreCheckedWhereAnEntryIsLost(t *testing.T) {
	o, code, tip, n := newGranted(t)
	if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err != nil {
		t.Fatal(err)
	}
	rLose(t, o, tip, 3)
	if err := o.TryDecide("pia", tip, tipbox.Act{Action: tipbox.ActionIssue, Award: n, Signatures: [][]byte{{1}}}); err != nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("a signature that is none was taken, and: panic: %v", p)
		}
	}()
	v, err := o.Service.Vouchers(ctx, code, n)
	t.Error("a signature that is none was taken", len(v), err)
}

// TestOneClaimWhereAnEntryIsLost claims twice where an entry is lost.
func TestOneClaimWhereAnEntryIsLost(t *testing.T) {
	o, code, tip, n := newGranted(t)
	if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err != nil {
		t.Fatal(err)
	}
	o.Issue("pia", tip, n)
	vouchers, err := o.Service.Vouchers(ctx, code, n)
	if err != nil {
		t.Fatal(err)
	}
	rLose(t, o, tip, 3)
	file, err := o.Service.Claims(ctx, code.Locator())
	if err != nil {
		t.Fatal(err)
	}
	file.Awards[0].State, file.Awards[0].Signatures, file.Awards[0].Requests = tipbox.AwardGranted, nil, nil // the source's own tool says so
	claims, err := tipbox.OpenClaims(file, code, o.Root.Verifier(), o.Service.Today())
	if err != nil {
		t.Fatal(err)
	}
	note, details, err := claims.Claim(tipbox.Claim{Award: n, Choice: tipbox.ClaimDetails, Details: "and to my account"})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Service.ClaimSigned(ctx, code.Locator(), note, details); err != nil {
		return
	}
	page, err := o.Service.Payouts(ctx, o.Member("penny"), false, "", 10)
	if err != nil || len(page.Items) > 0 {
		t.Errorf("beside %d vouchers there is a payout of %d", len(vouchers), page.Items[0].Amount)
	}
}

// TestClockThatWasAheadEndsNoWindow sets the clock ahead for a while.
func TestClockThatWasAheadEndsNoWindow(t *testing.T) {
	o, code, tip, n := newGranted(t)
	_ = tip
	o.Clock.Advance(200 * aDay) // wrong
	d, err := o.Service.Reopen(ctx, code)
	if err == nil {
		err = o.Service.FollowUp(ctx, d, "n", "en", "anything new?")
	}
	if err != nil {
		t.Fatal(err)
	}
	o.Clock.Advance(-199 * aDay) // set right
	thread, err := o.Service.Thread(ctx, code)
	if err != nil || thread.Awards[0].Expired || thread.Awards[0].ClaimBy != "2027-02-20" {
		t.Fatal(thread, err)
	}
	if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err != nil {
		t.Errorf("on %s, of a window until %s: %v", o.Service.Today(), thread.Awards[0].ClaimBy, err)
	}
}

// TestHoldRevivesNothing holds a case whose award has expired.
func TestHoldRevivesNothing(t *testing.T) {
	o, code, tip, n := newGranted(t)
	o.Clock.Advance(200 * aDay)
	wantErr(t, o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}), tipbox.ErrClaim)
	o.Act("alice", tip, act(tipbox.ActionHold, "as a favour"))
	if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err == nil {
		t.Error("an award that had expired 110 days ago is claimed")
	}
}

// TestWhoGrantedAnAwardDoesNotReverifyTheCase has an approver vote on the case.
func TestWhoGrantedAnAwardDoesNotReverifyTheCase(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Enter("rita", &roster.Member{Roles: []roster.Role{roster.Reviewer, roster.Approver}})
	o.Rewards()
	o.Submit("x")
	tip := o.Inbox("alice")[0].Tip
	closeCase(o, tip)
	collect(o, tip, 150_000)
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	n := lastAward(t, o, tip).Number
	o.Decide("rita", tip, rApprove(n))
	o.Decide("paula", tip, rApprove(n))
	o.Act("carol", tip, act(tipbox.ActionReverify, "again"))
	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member("rita")})
	wantRule(t, o.TryAct("rita", tip, tipbox.Act{Action: tipbox.ActionFinding, Text: "y", Detail: &tipbox.Detail{Finding: tipbox.Confirmed}}), tipbox.RuleOtherEyes)
}

// TestWhoWasLetInToReadDoesNotApprove has somebody decide who has read it all.
func TestWhoWasLetInToReadDoesNotApprove(t *testing.T) {
	o, _, tip := rOrg(t, roster.Reviewer)
	closeCase(o, tip)
	collect(o, tip, 150_000)
	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member("dora")})
	o.Open("dora", tip) // all of it
	o.Act("dora", tip, act(tipbox.ActionHold, "court"))
	o.Act("dora", tip, act(tipbox.ActionRelease, "done"))
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	wantRule(t, o.TryDecide("dora", tip, rApprove(lastAward(t, o, tip).Number)), tipbox.RuleOtherEyes)
}

// TestNothingIsAwardedWithoutAFinding proposes an award where nothing was found, or where that was overturned.
func TestNothingIsAwardedWithoutAFinding(t *testing.T) {
	for _, f := range []tipbox.Finding{tipbox.Unsubstantiated, tipbox.Systemic} {
		o := tipboxtest.New(t, tipboxtest.Config{})
		o.Rewards()
		o.Submit("x")
		tip := o.Inbox("alice")[0].Tip
		toWork(o, tip)
		o.Act("alice", tip, finding(f))
		o.Act("bob", tip, finding(f))
		collect(o, tip, 150_000)
		if err := o.TryAct("alice", tip, award(150_000, 6_000, 6_000, 400)); err == nil {
			t.Errorf("awarded after a finding of %s; faults %q", f, o.Open("bob", tip).Faults)
		}
	}
	o, _, tip := newRewarded(t, 150_000)
	o.Act("carol", tip, act(tipbox.ActionReverify, "again"))
	o.Enter("rita", &roster.Member{Roles: []roster.Role{roster.Reviewer}})
	o.Install()
	o.Act("bob", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member("rita")})
	for _, name := range []string{"bob", "rita"} {
		o.Act(name, tip, tipbox.Act{Action: tipbox.ActionFinding, Text: "y", Detail: &tipbox.Detail{Finding: tipbox.Overturned}})
	}
	if err := o.TryAct("alice", tip, award(150_000, 6_000, 6_000, 400)); err == nil {
		t.Errorf("awarded after the finding was overturned; faults %q", o.Open("bob", tip).Faults)
	}
}

// TestNothingIsApprovedWhileTheCaseIsReverified grants an award while others look at the case again.
func TestNothingIsApprovedWhileTheCaseIsReverified(t *testing.T) {
	o, _, tip := newRewarded(t, 150_000)
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	n := lastAward(t, o, tip).Number
	o.Act("carol", tip, act(tipbox.ActionReverify, "the public doubts it"))
	if err := o.TryDecide("peter", tip, rApprove(n)); err == nil {
		t.Error("approved while it is looked at again")
	}
}

// TestSecondChoiceIsNotToldToBeDone claims an award in two ways.
func TestSecondChoiceIsNotToldToBeDone(t *testing.T) {
	o, code, _, n := newGranted(t)
	if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err != nil {
		t.Fatal(err)
	}
	if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimDetails, Details: "account"}); err == nil {
		t.Error("the source is told that the award is paid to the account")
	}
}

// TestLateRefusalLeavesTimeForTheAppeal refuses an award long after it was proposed.
func TestLateRefusalLeavesTimeForTheAppeal(t *testing.T) {
	o, _, tip := newRewarded(t, 150_000)
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	n := lastAward(t, o, tip).Number
	o.Clock.Advance(100 * aDay)
	o.Decide("peter", tip, tipbox.Act{Action: tipbox.ActionRefuse, Award: n, Text: "no"})
	if err := o.TryAct("alice", tip, tipbox.Act{Action: tipbox.ActionErase}); err == nil {
		t.Error("erased on the day of the refusal, before the source could appeal")
	}
}

// TestRuleErasesNoAwardWhereAnEntryIsLost loses the award and lets the retention rule run.
func TestRuleErasesNoAwardWhereAnEntryIsLost(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{KeepDays: 30})
	o.Rewards()
	code := o.Submit("They keep a second book.")
	tip := o.Inbox("alice")[0].Tip
	closeCase(o, tip)
	collect(o, tip, 150_000)
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	n := lastAward(t, o, tip).Number
	for _, name := range []string{"peter", "paula"} {
		o.Decide(name, tip, rApprove(n))
	}
	rLose(t, o, tip, n)
	t.Run("rule", func(t *testing.T) {
		o.Clock.Advance(40 * aDay)
		erased, err := o.Service.Retain(ctx)
		if erased > 0 {
			t.Errorf("erased, 50 days before the window's end (%v)", err)
		}
	})
	_, err := o.Service.Thread(ctx, code)
	if err != nil {
		t.Error(err)
	}
}

// TestNobodyErasesAnAwardWhereAnEntryIsLost has a member erase it.
func TestNobodyErasesAnAwardWhereAnEntryIsLost(t *testing.T) {
	o, _, tip, _ := newGranted(t)
	rLose(t, o, tip, 3)
	if err := o.TryAct("alice", tip, tipbox.Act{Action: tipbox.ActionErase}); err == nil {
		t.Error("alice erased a tip with an award that is to be claimed")
	}
}
