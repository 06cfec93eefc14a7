package tipbox_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// newRewarded is an organisation with a closed case in which so many yuan were
// collected.
func newRewarded(t *testing.T, yuan int64) (o *tipboxtest.Org, code *receipt.Code, tip string) {
	o = tipboxtest.New(t, tipboxtest.Config{})
	o.Rewards()
	code = o.Submit("They keep a second book.")
	tip = o.Inbox("alice")[0].Tip
	closeCase(o, tip)
	collect(o, tip, yuan)
	return o, code, tip
}

func collect(o *tipboxtest.Org, tip string, yuan int64) {
	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionRecover, Detail: &tipbox.Detail{Amount: yuan * 100, Currency: "CNY", Basis: tipbox.SumCollected}})
}

func award(base, total, amount int64, rate int, split ...tipbox.AwardShare) tipbox.Act {
	return tipbox.Act{
		Action: tipbox.ActionAward, Text: "they told all of it", Detail: &tipbox.Detail{Base: base * 100, Rate: rate},
		Terms: &tipbox.AwardTerms{Schedule: "test", Currency: "CNY", Amount: amount * 100, Total: total * 100, Split: split},
	}
}

func lastAward(t *testing.T, o *tipboxtest.Org, tip string) *tipbox.Award {
	t.Helper()
	awards := o.Open("alice", tip).Case.Awards
	if len(awards) == 0 {
		t.Fatal("no award")
	}
	return awards[len(awards)-1]
}

func TestAwardIsGrantedClaimedAndIssued(t *testing.T) {
	o, code, tip := newRewarded(t, 150_000)
	for name, a := range map[string]tipbox.Act{
		"above the rate's":  award(150_000, 7_600, 7_600, 500),
		"not of the base":   award(140_000, 5_600, 5_600, 400),
		"over the rate":     award(150_000, 9_000, 9_000, 600),
		"a part of it":      award(150_000, 6_000, 3_000, 400),
		"no multiple":       award(150_000, 6_050, 6_050, 400),
		"of no schedule":    {Action: tipbox.ActionAward, Text: "x", Detail: &tipbox.Detail{Base: 1}, Terms: &tipbox.AwardTerms{Schedule: "none", Currency: "CNY", Amount: 100, Total: 100}},
		"another currency":  {Action: tipbox.ActionAward, Text: "x", Detail: &tipbox.Detail{Base: 1}, Terms: &tipbox.AwardTerms{Schedule: "test", Currency: "USD", Amount: 100_00, Total: 100_00}},
		"nothing in amount": award(150_000, 0, 0, 400),
	} {
		if err := o.TryAct("alice", tip, a); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
	wantErr(t, o.TryAct("carol", tip, award(150_000, 6_000, 6_000, 400)), tipbox.ErrForbidden)
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	wantRule(t, o.TryAct("alice", tip, award(150_000, 6_000, 6_000, 400)), tipbox.RuleAward)
	n := lastAward(t, o, tip).Number

	// The source is told nothing before it is decided.
	if thread, err := o.Service.Thread(ctx, code); err != nil || len(thread.Awards) != 0 {
		t.Errorf("the source sees %+v, %v", thread.Awards, err)
	}
	wantErr(t, o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive}), tipbox.ErrClaim)

	// Approvers read why, and nothing else of the tip.
	opened := o.OpenAward("peter", tip)
	if m := opened.Messages[n-1]; m.Text != "they told all of it" || m.Detail.Rate != 400 || len(opened.Faults) > 0 {
		t.Errorf("peter reads %+v, faults %q", m, opened.Faults)
	}
	for _, m := range opened.Messages[:n-1] {
		if m.Text != "" || m.Detail != nil || m.Err != nil {
			t.Errorf("peter reads message %d: %+v", m.Number, m)
		}
	}
	if _, err := o.Service.Tip(ctx, o.Member("peter"), tip); !errors.Is(err, tipbox.ErrForbidden) {
		t.Errorf("peter gets the tip: %v", err)
	}
	if items, _, err := o.Service.Awards(ctx, o.Member("peter"), "", 10); err != nil || len(items) != 1 || items[0].Awards[0].State != tipbox.AwardProposed {
		t.Errorf("peter's list: %+v, %v", items, err)
	}
	if _, _, err := o.Service.Awards(ctx, o.Member("alice"), "", 10); !errors.Is(err, tipbox.ErrForbidden) {
		t.Errorf("alice lists awards: %v", err)
	}
	approve := tipbox.Act{Action: tipbox.ActionApprove, Award: n}
	wantErr(t, o.TryAct("alice", tip, approve), tipbox.ErrForbidden)
	o.Decide("peter", tip, approve)
	wantRule(t, o.TryDecide("peter", tip, approve), tipbox.RuleOtherEyes)
	if a := lastAward(t, o, tip); a.State != tipbox.AwardProposed || a.Votes != 2 {
		t.Errorf("one of two approvals: %+v", a)
	}
	wantRule(t, o.TryAct("alice", tip, tipbox.Act{Action: tipbox.ActionErase}), tipbox.RuleAward)
	o.Decide("paula", tip, approve)
	if thread, err := o.Service.Thread(ctx, code); err != nil || len(thread.Awards) != 1 || thread.Awards[0].State != tipbox.AwardGranted ||
		thread.Awards[0].Amount != 6_000_00 || thread.Awards[0].ClaimBy != "2027-02-20" || thread.Awards[0].Warn {
		t.Errorf("the source sees %+v, %v", thread.Awards, err)
	}

	// The claim, twice sent, and the vouchers, the same at every visit.
	for range 2 {
		if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := o.Service.Vouchers(ctx, code, n); !errors.Is(err, tipbox.ErrClaim) {
		t.Errorf("vouchers before they are signed: %v", err)
	}
	wantRule(t, o.TryDecide("peter", tip, tipbox.Act{Action: tipbox.ActionIssue, Award: n, Signatures: [][]byte{{1}}}), tipbox.RuleAward)
	o.Issue("pia", tip, n)
	var texts []string
	for range 2 {
		vouchers, err := o.Service.Vouchers(ctx, code, n)
		if err != nil || len(vouchers) != 6 {
			t.Fatal(len(vouchers), err)
		}
		for _, v := range vouchers {
			d := o.Service.Roster().Denomination(v.Denomination())
			if err := v.Verify(*d, o.Root.Verifier(), o.Service.Today()); err != nil {
				t.Error(err)
			}
			texts = append(texts, v.Text())
		}
	}
	if !slices.Equal(texts[:6], texts[6:]) || len(slices.Compact(slices.Sorted(slices.Values(texts[:6])))) != 6 {
		t.Error("the vouchers are not the same at the second visit, or not six")
	}
	// Nothing that is stored has a part of a voucher.
	for name, content := range o.Stored() {
		for _, text := range texts {
			if strings.Contains(string(content), strings.Fields(text)[4]) {
				t.Errorf("%s has a part of a voucher", name)
			}
		}
	}
	if items, _, err := o.Service.Awards(ctx, o.Member("peter"), "", 10); err != nil || len(items) != 0 {
		t.Errorf("the list of what is to be decided: %+v, %v", items, err)
	}
	wantRule(t, o.TryAct("alice", tip, tipbox.Act{Action: tipbox.ActionErase}), tipbox.RuleAward)
	o.Clock.Advance(91 * aDay)
	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionErase})
}

func TestSharesAddUp(t *testing.T) {
	o, first, tip := newRewarded(t, 300_000)
	second := o.Submit("The same, and the account's number.")
	twin := o.Inbox("alice")[0].Tip
	o.Act("alice", twin, tipbox.Act{Action: tipbox.ActionDecline, Text: "known", Detail: &tipbox.Detail{Reason: tipbox.Duplicate, Of: tip}})
	split := []tipbox.AwardShare{{Tip: tip, Parts: 70}, {Tip: twin, Parts: 30}}
	wantRule(t, o.TryAct("alice", twin, award(300_000, 12_000, 12_000, 400)), tipbox.RuleAward) // the case is elsewhere
	wantRule(t, o.TryAct("alice", tip, award(300_000, 12_000, 8_500, 400, split...)), tipbox.RuleAward)
	o.Act("alice", tip, award(300_000, 12_000, 8_400, 400, split...))
	o.Act("alice", twin, award(300_000, 12_000, 3_600, 400, split...))
	for _, id := range []string{tip, twin} {
		a := lastAward(t, o, id)
		if a.Votes != 3 {
			t.Errorf("%d approvers for %d", a.Votes, a.Terms.Total)
		}
		for i, name := range []string{"peter", "paula", "pia"} {
			if a := lastAward(t, o, id); a.State != tipbox.AwardProposed {
				t.Errorf("granted by %d", i)
			}
			o.Decide(name, id, tipbox.Act{Action: tipbox.ActionApprove, Award: a.Number})
		}
	}
	var sum int64
	for _, code := range []*receipt.Code{first, second} {
		thread, err := o.Service.Thread(ctx, code)
		if err != nil || len(thread.Awards) != 1 {
			t.Fatal(thread.Awards, err)
		}
		sum += thread.Awards[0].Amount
	}
	if sum != 12_000_00 {
		t.Errorf("shares come to %d", sum)
	}

	// A further recovery brings an instalment, and the cap bounds all of them.
	collect(o, tip, 10_000_000)
	o.Act("alice", tip, award(10_300_000, 88_000, 61_600, 500, split...))
	collect(o, tip, 10_000_000)
	wantRule(t, o.TryAct("alice", tip, award(20_300_000, 100, 100, 500)), tipbox.RuleAward)
}

func TestRefusedAwardIsAppealedOnceToOthers(t *testing.T) {
	o, code, tip := newRewarded(t, 150_000)
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	n := lastAward(t, o, tip).Number
	wantErr(t, o.Service.Appeal(ctx, code, n, "en", "why?"), tipbox.ErrClaim)
	o.Decide("paula", tip, tipbox.Act{Action: tipbox.ActionApprove, Award: n})
	o.Decide("peter", tip, tipbox.Act{Action: tipbox.ActionRefuse, Award: n, Text: "It was known before."})
	thread, err := o.Service.Thread(ctx, code)
	if err != nil || thread.Awards[0].State != tipbox.AwardRefused || thread.Messages[len(thread.Messages)-1].Text != "It was known before." {
		t.Fatalf("the source sees %+v, %v", thread, err)
	}
	for range 2 {
		if err := o.Service.Appeal(ctx, code, n, "en", "It was not: see the second page. "+tipboxtest.Canary); err != nil {
			t.Fatal(err)
		}
	}
	opened := o.OpenAward("pia", tip)
	if last := opened.Messages[len(opened.Messages)-1]; !strings.Contains(last.Text, "see the second page") || last.From != tipbox.FromSource {
		t.Errorf("pia reads %+v", last)
	}
	if last := o.Open("alice", tip).Messages; !strings.Contains(last[len(last)-1].Text, "see the second page") {
		t.Error("the desk cannot read the appeal")
	}
	for _, name := range []string{"peter", "paula"} { // who decided before
		wantRule(t, o.TryDecide(name, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: n}), tipbox.RuleOtherEyes)
	}
	o.Decide("pia", tip, tipbox.Act{Action: tipbox.ActionApprove, Award: n})
	o.Decide("paul", tip, tipbox.Act{Action: tipbox.ActionApprove, Award: n})
	if a := lastAward(t, o, tip); a.State != tipbox.AwardGranted {
		t.Errorf("after the appeal: %+v", a)
	}
	wantErr(t, o.Service.Appeal(ctx, code, n, "en", "again"), tipbox.ErrClaim)

	// A second refusal is final.
	collect(o, tip, 50_000)
	o.Act("alice", tip, award(200_000, 2_000, 2_000, 400))
	n = lastAward(t, o, tip).Number
	o.Decide("peter", tip, tipbox.Act{Action: tipbox.ActionRefuse, Award: n, Text: "no"})
	if err := o.Service.Appeal(ctx, code, n, "en", "but"); err != nil {
		t.Fatal(err)
	}
	o.Decide("pia", tip, tipbox.Act{Action: tipbox.ActionRefuse, Award: n, Text: "no"})
	wantErr(t, o.Service.Appeal(ctx, code, n, "en", "but"), tipbox.ErrClaim)
}

func TestWindowWarnsEndsAndWaitsOnHold(t *testing.T) {
	o, code, tip := newRewarded(t, 150_000)
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	n := lastAward(t, o, tip).Number
	for _, name := range []string{"peter", "paula"} {
		o.Decide(name, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: n})
	}
	see := func() tipbox.ThreadAward {
		t.Helper()
		thread, err := o.Service.Thread(ctx, code)
		if err != nil {
			t.Fatal(err)
		}
		return thread.Awards[0]
	}
	o.Clock.Advance(60 * aDay)
	if a := see(); !a.Warn || a.Expired || a.ClaimBy != "2027-02-20" {
		t.Errorf("after 60 of 90 days: %+v", a)
	}
	o.Act("alice", tip, act(tipbox.ActionHold, "the court asks"))
	o.Clock.Advance(100 * aDay)
	if a := see(); a.Expired || a.ClaimBy != "" {
		t.Errorf("on hold: %+v", a)
	}
	o.Act("alice", tip, act(tipbox.ActionRelease, "done"))
	if a := see(); a.Expired || a.ClaimBy != "2027-05-31" {
		t.Errorf("released: %+v", a)
	}
	o.Clock.Advance(31 * aDay)
	if a := see(); !a.Expired {
		t.Errorf("after the window: %+v", a)
	}
	wantErr(t, o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive}), tipbox.ErrClaim)
	o.Clock.Advance(-31 * aDay) // the clock was wrong: no right is lost
	if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive}); err != nil {
		t.Error(err)
	}
}

func TestHoldBringsNoExpiredAwardBack(t *testing.T) {
	o, code, tip := newRewarded(t, 150_000)
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	n := lastAward(t, o, tip).Number
	for _, name := range []string{"peter", "paula"} {
		o.Decide(name, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: n})
	}
	o.Clock.Advance(91 * aDay)
	for _, a := range []tipbox.Act{act(tipbox.ActionHold, "the court asks"), act(tipbox.ActionRelease, "done")} {
		o.Act("alice", tip, a)
		thread, err := o.Service.Thread(ctx, code)
		if err != nil || !thread.Awards[0].Expired || thread.Awards[0].Warn || thread.Awards[0].ClaimBy != "2027-02-20" {
			t.Errorf("after the %s: %+v, %v", a.Action, thread.Awards, err)
		}
		wantErr(t, o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive}), tipbox.ErrClaim)
		o.Clock.Advance(10 * aDay)
	}
}

func TestDetailsAreForPayersOnly(t *testing.T) {
	o, code, tip := newRewarded(t, 150_000)
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	n := lastAward(t, o, tip).Number
	for _, name := range []string{"peter", "paula"} {
		o.Decide(name, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: n})
	}
	wantErr(t, o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimDetails}), tipbox.ErrEmpty)
	wantErr(t, o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimDetails, Details: strings.Repeat("x", tipbox.MaxDetails+1)}), tipbox.ErrTooLong)
	wantErr(t, o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimCharity, Charity: "nobody"}), tipbox.ErrClaim)
	if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimDetails, Details: "account " + tipboxtest.Canary}); err != nil {
		t.Fatal(err)
	}
	if a := lastAward(t, o, tip); a.State != tipbox.AwardPayable || a.Claim.Payout == "" {
		t.Errorf("%+v", a)
	}
	var payouts int
	for name, content := range o.Stored() {
		if strings.HasPrefix(name, "record payout/") {
			payouts++
			if strings.Contains(string(content), tip) {
				t.Error("the payout leads to the tip")
			}
		}
	}
	if payouts != 1 {
		t.Errorf("%d payouts", payouts)
	}
}

// TestWhoCameFirstIsSealed turns the clock back between two tips: the sequence tells
// who came first all the same, to those who open them and to nobody else.
func TestWhoCameFirstIsSealed(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	number := func(text string) uint64 {
		t.Helper()
		o.Submit(text)
		for _, item := range o.Inbox("alice") {
			if m := o.Open("alice", item.Tip).Messages[0]; m.Text == text {
				return m.Sequence
			}
		}
		t.Fatal("no such tip")
		return 0
	}
	first := number("one")
	o.Clock.Advance(-10 * aDay)
	second := number("two")
	other, err := tipbox.New(tipbox.Config{Store: o.Store, Blobs: o.Blobs, Root: o.Root.Verifier(), Channels: []tipbox.Channel{{ID: "off-book-funds"}}, Now: o.Clock.Now})
	if err == nil {
		err = other.InstallRoster(ctx, o.Service.SignedRoster())
	}
	if err != nil {
		t.Fatal(err)
	}
	o.Service = other // after a start
	if third := number("three"); first == 0 || first >= second || second >= third {
		t.Errorf("numbers %d, %d, %d", first, second, third)
	}
}
