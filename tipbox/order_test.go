package tipbox_test

import (
	"errors"
	"strings"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// newClaimedPayout is an organisation with an award that was claimed to details, which
// nobody has ordered.
func newClaimedPayout(t *testing.T) (o *tipboxtest.Org, tip string, award int, item tipbox.PayoutItem) {
	t.Helper()
	o, code, tip := newRewarded(t, 150_000)
	award = grant(t, o, tip, 6_000)
	claim(t, o, code, tipbox.Claim{Award: award, Choice: tipbox.ClaimDetails, Details: "here"})
	return o, tip, award, onlyPayout(t, o)
}

func onlyPayout(t *testing.T, o *tipboxtest.Org) tipbox.PayoutItem {
	t.Helper()
	page, err := o.Service.Payouts(ctx, o.Member("penny"), true, "", 10)
	if err != nil || len(page.Items) != 1 {
		t.Fatal(page, err)
	}
	return page.Items[0]
}

func TestPayoutWaitsForAnApproversOrder(t *testing.T) {
	o, tip, n, item := newClaimedPayout(t)
	penny := o.Member("penny")
	_, err := tipbox.OpenOrder(&item, o.Service.Roster())
	wantErr(t, err, tipbox.ErrNoOrder)
	note := sign(t, o, "penny", tipbox.PayoutPayment(item.ID, &item.Payout, o.Service.Today()))
	wantErr(t, o.Service.Pay(ctx, penny, note, ""), tipbox.ErrNoOrder)
	if items, _, err := o.Service.Awards(ctx, o.Member("peter"), "", 10); err != nil || len(items) != 1 || !items[0].Awards[0].ToIssue() {
		t.Errorf("peter is shown %+v, %v", items, err)
	}
	wantRule(t, o.TryAct("alice", tip, tipbox.Act{Action: tipbox.ActionErase}), tipbox.RuleAward)

	// Nothing but what the source has claimed can be ordered, and by approvers only.
	good, err := o.OpenAward("peter", tip).Order(o.Key("peter").SigningKey, o.Service.Today(), n)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(good), "\n\n")
	for what, spoil := range map[string][2]string{
		"more":     {`"amount":600000`, `"amount":700000`},
		"another":  {item.ID, "aaaaaaaaaaaaaaaa"},
		"schedule": {`"test"`, `"best"`},
		"charity":  {`"day"`, `"charity":"library","day"`},
		"currency": {`"CNY"`, `"USD"`},
		"day":      {o.Service.Today(), "2026-11-21"},
		"details":  {`"details":"`, `"details":"00`},
	} {
		order, err := o.Key("peter").Sign(strings.Replace(text, spoil[0], spoil[1], 1) + "\n")
		if err != nil {
			t.Fatal(err)
		}
		if err := o.TryDecide("peter", tip, tipbox.Act{Action: tipbox.ActionIssue, Award: n, Signatures: [][]byte{order}}); !errors.Is(err, tipbox.ErrRule) {
			t.Errorf("%s: %v", what, err)
		}
	}
	byAlice, err := o.Key("alice").Sign(text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	for what, signatures := range map[string][][]byte{"signed by alice": {byAlice}, "two": {good, good}, "none": {{1}}} {
		if err := o.TryDecide("peter", tip, tipbox.Act{Action: tipbox.ActionIssue, Award: n, Signatures: signatures}); !errors.Is(err, tipbox.ErrRule) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantErr(t, o.TryAct("alice", tip, tipbox.Act{Action: tipbox.ActionIssue, Award: n, Signatures: [][]byte{byAlice}}), tipbox.ErrForbidden)
	if err := o.TryDecide("paula", tip, tipbox.Act{Action: tipbox.ActionIssue, Award: n, Signatures: [][]byte{good}}); !errors.Is(err, tipbox.ErrRule) {
		t.Errorf("peter's order in paula's name: %v", err)
	}
	o.Decide("peter", tip, tipbox.Act{Action: tipbox.ActionIssue, Award: n, Signatures: [][]byte{good}})
	if a := lastAward(t, o, tip); a.State != tipbox.AwardPayable || a.Issued != o.Service.Today() {
		t.Errorf("%+v", a)
	}
	wantRule(t, o.TryDecide("pia", tip, tipbox.Act{Action: tipbox.ActionIssue, Award: n, Signatures: [][]byte{good}}), tipbox.RuleAward) // once
	if items, _, err := o.Service.Awards(ctx, o.Member("peter"), "", 10); err != nil || len(items) != 0 {
		t.Errorf("peter is shown %+v, %v", items, err)
	}
	item = onlyPayout(t, o)
	if order, err := tipbox.OpenOrder(&item, o.Service.Roster()); err != nil || order.Amount != 6_000_00 || strings.Contains(item.Order, tip) {
		t.Errorf("%+v, %v", order, err)
	}
	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionErase}) // what is ordered is paid all the same
	if err := o.Service.Pay(ctx, penny, note, ""); err != nil {
		t.Error(err)
	}
}

// TestServerPaysItselfNothing has a server that was taken over change a payout that was
// ordered, and make one.
func TestServerPaysItselfNothing(t *testing.T) {
	o, tip, n, _ := newClaimedPayout(t)
	o.Issue("peter", tip, n)
	item := onlyPayout(t, o)
	own, err := seal.Message([]byte(`{"payout":"`+item.ID+`","text":"my account"}`), o.Member("penny").Card.Recipient)
	if err != nil {
		t.Fatal(err)
	}
	server, err := roster.NewSigningKey("peter")
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(item.Order, "\n\n")
	forged, err := server.Sign(text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(i *tipbox.PayoutItem){
		"more money":      func(i *tipbox.PayoutItem) { i.Amount *= 10 },
		"dearer money":    func(i *tipbox.PayoutItem) { i.Currency = "USD" },
		"its own account": func(i *tipbox.PayoutItem) { i.Sealed = own },
		"another id":      func(i *tipbox.PayoutItem) { i.ID = "aaaaaaaaaaaaaaaa" },
		"a charity":       func(i *tipbox.PayoutItem) { i.Charity, i.Sealed = "library", nil },
		"its own order":   func(i *tipbox.PayoutItem) { i.Order = string(forged) },
		"no note":         func(i *tipbox.PayoutItem) { i.Order = "x" },
	} {
		changed := item
		spoil(&changed)
		if _, err := tipbox.OpenOrder(&changed, o.Service.Roster()); !errors.Is(err, tipbox.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// The check of a store finds it too.
	key := store.Key("payout/" + item.ID)
	rec, err := o.Store.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Store.Apply(ctx, store.Put(key, []byte(strings.Replace(string(rec.Value), "600000", "900000", 1)))); err != nil {
		t.Fatal(err)
	}
	report, err := o.Service.Check(ctx)
	if err != nil || len(report.Problems) != 1 || !strings.Contains(report.Problems[0], "not as it was ordered") {
		t.Errorf("%+v, %v", report, err)
	}
	if err := o.Store.Apply(ctx, store.Put(key, rec.Value)); err != nil {
		t.Fatal(err)
	}
}
