package tipboxtest

import (
	"embed"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
	"tipbox/tipbox"
)

// keys are issuing keys of nobody, made once because that takes long.
//
//go:embed keys
var keys embed.FS

// IssuingKey is the key of a denomination of Rewards.
func IssuingKey(t testing.TB, denomination string) *voucher.IssuingKey {
	t.Helper()
	text, err := keys.ReadFile("keys/" + denomination + ".key")
	if err != nil {
		t.Fatal(err)
	}
	key, err := voucher.ParseIssuingKey(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Rewards puts into the roster what it takes to be paid: a schedule "test" for
// off-book-funds of 3 to 5 % of what was collected, at most 100,000 CNY, in multiples
// of 100 CNY, two approvers up to 10,000 CNY and three above; denominations of 100,
// 1,000 and 10,000 CNY; the approvers peter, paula, pia and paul, and the payer penny.
func (o *Org) Rewards() {
	o.t.Helper()
	for _, name := range []string{"peter", "paula", "pia", "paul"} {
		o.Enter(name, &roster.Member{Roles: []roster.Role{roster.Approver}})
	}
	o.Enter("penny", &roster.Member{Roles: []roster.Role{roster.Payer}})
	o.draft.Schedules = []roster.Schedule{{
		ID: "test", Since: "2020-01-01", Title: map[string]string{"en": "Test", "zh-Hans": "测试"}, Currency: "CNY", Base: roster.BaseCollected,
		Channels: []string{"off-book-funds"}, Tiers: []roster.Tier{{Low: 300, High: 500}}, Cap: 100_000_00, Unit: 100_00, ClaimDays: 90,
		Approvers: []roster.Approval{{From: 0, Votes: 2}, {From: 10_000_00, Votes: 3}},
		Charities: []roster.Charity{{ID: "library", Name: map[string]string{"en": "The library", "zh-Hans": "图书馆"}}},
	}}
	o.draft.Denominations = nil
	for id, amount := range map[string]int64{"cny-100": 100_00, "cny-1000": 1_000_00, "cny-10000": 10_000_00} {
		o.draft.Denominations = append(o.draft.Denominations, voucher.Denomination{
			ID: id, Currency: "CNY", Amount: amount, Key: IssuingKey(o.t, id).Public(), Since: "2020-01-01", Until: "2040-12-31",
		})
	}
	o.Install()
}

// SetDenominations puts other kinds of vouchers into the roster, and installs it.
func (o *Org) SetDenominations(denominations ...voucher.Denomination) {
	o.t.Helper()
	o.draft.Denominations = denominations
	o.Install()
}

// OpenAward opens a tip with awards as an approver.
func (o *Org) OpenAward(name, tip string) *tipbox.OpenedTip {
	o.t.Helper()
	file, err := o.Service.AwardTip(o.t.Context(), o.Member(name), tip)
	if err != nil {
		o.t.Fatal(err)
	}
	opened, err := tipbox.OpenAward(file, tip, o.Key(name), o.Service.Roster())
	if err != nil {
		o.t.Fatal(err)
	}
	return opened
}

// TryDecide does something to an award as an approver.
func (o *Org) TryDecide(name, tip string, a tipbox.Act) error {
	o.t.Helper()
	note, sealed, err := o.OpenAward(name, tip).Act(o.Key(name), o.Service.Today(), a)
	if err != nil {
		return err
	}
	return o.Service.Append(o.t.Context(), o.Member(name), tip, note, sealed)
}

// Decide does something to an award as an approver.
func (o *Org) Decide(name, tip string, a tipbox.Act) {
	o.t.Helper()
	if err := o.TryDecide(name, tip, a); err != nil {
		o.t.Fatal(err)
	}
}

// Issue signs the vouchers that a source claims, or orders the payout, others after the
// one who is named.
func (o *Org) Issue(name, tip string, award int) {
	o.t.Helper()
	if err := o.TryIssue(name, tip, award); err != nil {
		o.t.Fatal(err)
	}
}

// TryIssue is Issue, if it may be.
func (o *Org) TryIssue(name, tip string, award int) error {
	o.t.Helper()
	return o.tryIssue(name, tip, award, false)
}

// IssueUncontested is Issue for a claim that took the place of another.
func (o *Org) IssueUncontested(name, tip string, award int) {
	o.t.Helper()
	if err := o.tryIssue(name, tip, award, true); err != nil {
		o.t.Fatal(err)
	}
}

func (o *Org) tryIssue(name, tip string, award int, uncontested bool) error {
	o.t.Helper()
	more := 0
	if a := o.award(name, tip, award); a.State == tipbox.AwardPayable {
		more = a.Orders - len(a.Ordered) - 1
	}
	err := o.issue(name, tip, award, uncontested)
	for _, other := range []string{"peter", "paula", "pia", "paul"} {
		if err == nil && other != name && more > 0 {
			err = o.issue(other, tip, award, uncontested)
			more--
		}
	}
	return err
}

func (o *Org) award(name, tip string, award int) *tipbox.Award {
	o.t.Helper()
	for _, a := range o.OpenAward(name, tip).Case.Awards {
		if a.Number == award {
			return a
		}
	}
	return new(tipbox.Award)
}

func (o *Org) issue(name, tip string, award int, uncontested bool) error {
	o.t.Helper()
	var signatures [][]byte
	opened := o.OpenAward(name, tip)
	if err := opened.CheckIssue(award, o.Service.Today(), uncontested); err != nil {
		return err
	}
	a := o.award(name, tip, award)
	if a.State == tipbox.AwardPayable {
		order, err := opened.Order(o.Key(name).SigningKey, o.Service.Today(), award)
		if err != nil {
			return err
		}
		signatures = append(signatures, order)
	}
	if a.Claim != nil {
		for _, r := range a.Claim.Requests {
			signature, err := IssuingKey(o.t, r.Denomination).Sign(r.Blinded)
			if err != nil {
				o.t.Fatal(err)
			}
			signatures = append(signatures, signature)
		}
	}
	return o.TryDecide(name, tip, tipbox.Act{Action: tipbox.ActionIssue, Award: award, Signatures: signatures})
}
