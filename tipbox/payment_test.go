package tipbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// grant proposes an award of so many yuan, 4 % of what was collected, and has it
// granted. It returns its number.
func grant(t *testing.T, o *tipboxtest.Org, tip string, yuan int64) int {
	t.Helper()
	o.Act("alice", tip, award(yuan*25, yuan, yuan, 400))
	a := lastAward(t, o, tip)
	for _, name := range []string{"peter", "paula", "pia"}[:a.Votes] {
		o.Decide(name, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: a.Number})
	}
	return a.Number
}

func claim(t *testing.T, o *tipboxtest.Org, code *receipt.Code, c tipbox.Claim) {
	t.Helper()
	if err := o.Service.Claim(ctx, code, c); err != nil {
		t.Fatal(err)
	}
}

// newVouchers is an organisation with six vouchers of 1,000 yuan that were issued.
func newVouchers(t *testing.T) (*tipboxtest.Org, []*voucher.Voucher) {
	t.Helper()
	o, code, tip := newRewarded(t, 150_000)
	n := grant(t, o, tip, 6_000)
	claim(t, o, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher})
	o.Issue("peter", tip, n)
	vouchers, err := o.Service.Vouchers(ctx, code, n)
	if err != nil || len(vouchers) != 6 {
		t.Fatal(len(vouchers), err)
	}
	return o, vouchers
}

// payment is that of a voucher, signed.
func payment(t testing.TB, o *tipboxtest.Org, name string, v *voucher.Voucher) []byte {
	t.Helper()
	return sign(t, o, name, tipbox.VoucherPayment(v, o.Service.Roster().Denomination(v.Denomination()), o.Service.Today()))
}

func sign(t testing.TB, o *tipboxtest.Org, name string, p *tipbox.Payment) []byte {
	t.Helper()
	note, err := p.Sign(o.Key(name).SigningKey)
	if err != nil {
		t.Fatal(err)
	}
	return note
}

func TestVoucherIsPaidOnce(t *testing.T) {
	o, vouchers := newVouchers(t)
	o.Enter("perry", &roster.Member{Roles: []roster.Role{roster.Payer}})
	o.Install()
	v := vouchers[0]
	before := o.Stored()
	note := payment(t, o, "penny", v)
	for range 2 { // the line broke
		if err := o.Service.Pay(ctx, o.Member("penny"), note, v.Compact()); err != nil {
			t.Fatal(err)
		}
	}
	// Presented again, also on the same day to the same payer, it is not paid.
	for _, name := range []string{"penny", "perry"} {
		err := o.Service.Pay(ctx, o.Member(name), payment(t, o, name, v), v.Text())
		var paid *tipbox.PaidError
		if !errors.Is(err, tipbox.ErrPaid) || !errors.As(err, &paid) || *paid != (tipbox.PaidError{Day: "2026-11-22", By: "penny"}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Nor long after, when its denomination is over; and that it was sent is told then too.
	o.Clock.Advance(20 * 365 * aDay)
	wantErr(t, o.Service.Pay(ctx, o.Member("penny"), payment(t, o, "penny", v), v.Compact()), tipbox.ErrPaid)
	if err := o.Service.Pay(ctx, o.Member("penny"), note, ""); err != nil {
		t.Error(err)
	}
	wantErr(t, o.Service.Pay(ctx, o.Member("penny"), payment(t, o, "penny", vouchers[1]), vouchers[1].Compact()), voucher.ErrExpired)

	stored, err := o.Service.Payment(ctx, o.Member("perry"), v.SpentKey())
	if err != nil || string(stored) != string(note) {
		t.Errorf("%q, %v", stored, err)
	}
	p, err := tipbox.OpenPayment(stored, o.Service.Roster())
	if err != nil || p.By != "penny" || p.Amount != 1_000_00 || p.Denomination != "cny-1000" || p.Payout() != "" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := o.Service.Payment(ctx, o.Member("perry"), vouchers[1].SpentKey()); !errors.Is(err, tipbox.ErrNotFound) {
		t.Error(err)
	}
	// One record more, which has nothing of the voucher.
	after := o.Stored()
	if len(after) != len(before)+1 {
		t.Errorf("%d records, before %d", len(after), len(before))
	}
	for _, content := range after {
		if strings.Contains(string(content), v.Compact()[20:40]) {
			t.Error("a part of the voucher is kept")
		}
	}
}

// A racing store lets another be first.
type racing struct {
	store.Store
	first func()
}

func (r *racing) Apply(ctx context.Context, changes ...store.Change) error {
	if first := r.first; first != nil {
		r.first = nil
		first()
	}
	return r.Store.Apply(ctx, changes...)
}

func TestPayersRaceForAVoucher(t *testing.T) {
	r := &racing{Store: mem.New()}
	o := tipboxtest.New(t, tipboxtest.Config{Store: r})
	o.Rewards()
	c := newClaimants(t, o, 6_000)[0]
	c.take(t, o)
	for i, second := range [][]byte{payment(t, o, "penny", c.vouchers[0]), payment(t, o, "penny", c.vouchers[1])} {
		v := c.vouchers[i]
		first := payment(t, o, "penny", v)
		if i == 1 { // the same one, sent twice at once
			first = second
		}
		r.first = func() {
			if err := o.Service.Pay(ctx, o.Member("penny"), first, v.Compact()); err != nil {
				t.Error(err)
			}
		}
		err := o.Service.Pay(ctx, o.Member("penny"), second, v.Compact())
		if i == 0 && !errors.Is(err, tipbox.ErrPaid) || i == 1 && err != nil {
			t.Errorf("the second of two: %v", err)
		}
		if there, err := o.Service.Payment(ctx, o.Member("penny"), v.SpentKey()); err != nil || string(there) != string(first) {
			t.Errorf("%s, %v", there, err)
		}
	}
}

func TestBadVouchersAreToldApart(t *testing.T) {
	o, vouchers := newVouchers(t)
	v, d := vouchers[0], o.Service.Roster().Denomination("cny-1000")
	made := func(d voucher.Denomination, key *voucher.IssuingKey, organisation string) *voucher.Voucher {
		t.Helper()
		r, err := voucher.Blind(d, [32]byte{1}, organisation)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := key.Sign(r.Blinded)
		if err != nil {
			t.Fatal(err)
		}
		forged, err := r.Finish(signature)
		if err != nil {
			t.Fatal(err)
		}
		return forged
	}
	another := tipboxtest.IssuingKey(t, "cny-100") // whoever has this one cannot make vouchers of 1,000
	forger := *d
	forger.Key = another.Public()
	unknown := *d
	unknown.ID = "cny-2000"
	for what, c := range map[string]struct {
		text string
		want error
	}{
		"forged":                  {made(forger, another, o.Root.Verifier()).Compact(), voucher.ErrForged},
		"of another organisation": {made(*d, tipboxtest.IssuingKey(t, "cny-1000"), o.Server.Verifier()).Compact(), voucher.ErrOrganisation},
		"of no denomination":      {made(unknown, tipboxtest.IssuingKey(t, "cny-1000"), o.Root.Verifier()).Compact(), voucher.ErrDenomination},
		"mistyped":                {v.Text()[:60] + "7" + v.Text()[60:], voucher.ErrTyping},
		"no voucher":              {"a banknote", voucher.ErrNotVoucher},
		"nothing":                 {"", voucher.ErrNotVoucher},
		"another one":             {vouchers[1].Compact(), tipbox.ErrInvalid},
	} {
		if err := o.Service.Pay(ctx, o.Member("penny"), payment(t, o, "penny", v), c.text); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A payment that says more, or something else, than the voucher.
	for what, spoil := range map[string]func(p *tipbox.Payment){
		"amount":       func(p *tipbox.Payment) { p.Amount++ },
		"currency":     func(p *tipbox.Payment) { p.Currency = "USD" },
		"denomination": func(p *tipbox.Payment) { p.Denomination = "cny-10000" },
		"key":          func(p *tipbox.Payment) { p.Key = strings.Repeat("0", 64) },
		"yesterday":    func(p *tipbox.Payment) { p.Day = "2026-11-20" },
	} {
		p := tipbox.VoucherPayment(v, d, o.Service.Today())
		spoil(p)
		if err := o.Service.Pay(ctx, o.Member("penny"), sign(t, o, "penny", p), v.Compact()); !errors.Is(err, tipbox.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, spoil := range map[string]func(p *tipbox.Payment){
		"no key":       func(p *tipbox.Payment) { p.Key = "../tip/x" },
		"both":         func(p *tipbox.Payment) { p.Schedule = "test" },
		"neither":      func(p *tipbox.Payment) { p.Denomination = "" },
		"no amount":    func(p *tipbox.Payment) { p.Amount = 0 },
		"no day":       func(p *tipbox.Payment) { p.Day = "today" },
		"no number":    func(p *tipbox.Payment) { p.Once = "" },
		"no currency":  func(p *tipbox.Payment) { p.Currency = "=1+1" },
		"payout bad":   func(p *tipbox.Payment) { p.Key, p.Denomination, p.Schedule = "payout-..", "", "test" },
		"payout blank": func(p *tipbox.Payment) { p.Key, p.Denomination, p.Schedule = "payout-", "", "test" },
	} {
		p := tipbox.VoucherPayment(v, d, o.Service.Today())
		spoil(p)
		if _, err := p.Sign(o.Key("penny").SigningKey); !errors.Is(err, tipbox.ErrInvalid) {
			t.Errorf("%s is signed: %v", what, err)
		}
	}
	// It is good all the same, in the form of digits too.
	if err := o.Service.Pay(ctx, o.Member("penny"), payment(t, o, "penny", v), v.Digits()); err != nil {
		t.Error(err)
	}
}

func TestNobodyPaysButPayersInTheirOwnName(t *testing.T) {
	o, vouchers := newVouchers(t)
	o.Enter("perry", &roster.Member{Roles: []roster.Role{roster.Payer}})
	o.Install()
	v := vouchers[0]
	for _, name := range []string{"alice", "carol", "peter"} {
		wantErr(t, o.Service.Pay(ctx, o.Member(name), payment(t, o, name, v), v.Compact()), tipbox.ErrForbidden)
		_, err := o.Service.Payments(ctx, o.Member(name), "", 10)
		wantErr(t, err, tipbox.ErrForbidden)
		_, err = o.Service.Payouts(ctx, o.Member(name), true, "", 10)
		wantErr(t, err, tipbox.ErrForbidden)
		_, err = o.Service.Payment(ctx, o.Member(name), v.SpentKey())
		wantErr(t, err, tipbox.ErrForbidden)
	}
	wantErr(t, o.Service.Pay(ctx, o.Member("penny"), payment(t, o, "perry", v), v.Compact()), tipbox.ErrForbidden)
	stranger, err := roster.NewSigningKey("penny")
	if err != nil {
		t.Fatal(err)
	}
	forged, err := tipbox.VoucherPayment(v, o.Service.Roster().Denomination("cny-1000"), o.Service.Today()).Sign(stranger)
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, o.Service.Pay(ctx, o.Member("penny"), forged, v.Compact()), tipbox.ErrForbidden)
	if _, err := tipbox.OpenPayment(forged, o.Service.Roster()); !errors.Is(err, tipbox.ErrInvalid) {
		t.Error(err)
	}
	if _, err := tipbox.OpenPayment(payment(t, o, "peter", v), o.Service.Roster()); !errors.Is(err, tipbox.ErrInvalid) {
		t.Errorf("signed by an approver: %v", err)
	}
	gone := o.Member("penny")
	note := payment(t, o, "penny", v)
	o.Strike("penny")
	o.Install()
	wantErr(t, o.Service.Pay(ctx, gone, note, v.Compact()), tipbox.ErrForbidden)
	if _, err := tipbox.OpenPayment(note, o.Service.Roster()); err != nil {
		t.Errorf("what was signed while she was a payer: %v", err)
	}
	// Nobody who reads tips or decides about awards pays.
	for _, role := range []roster.Role{roster.Investigator, roster.Reviewer, roster.Approver} {
		r := *o.Service.Roster()
		m := &roster.Member{Roles: []roster.Role{role, roster.Payer}, CardText: r.Member("perry").CardText}
		if role == roster.Investigator {
			m.Channels = []string{"bribery"}
		}
		if err := r.Add(m, r.Day); err == nil {
			t.Errorf("a %s who pays", role)
		}
	}
}

// newPayout is an organisation with a payout to details and one for a charity.
func newPayout(t *testing.T) (o *tipboxtest.Org, details, charity tipbox.PayoutItem) {
	t.Helper()
	o, code, tip := newRewarded(t, 150_000)
	n := grant(t, o, tip, 6_000)
	claim(t, o, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimDetails, Details: "Account 1\n" + tipboxtest.Canary})
	o.Issue("peter", tip, n)
	collect(o, tip, 50_000)
	o.Act("alice", tip, award(200_000, 2_000, 2_000, 400))
	a := lastAward(t, o, tip)
	for _, name := range []string{"peter", "paula"} {
		o.Decide(name, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: a.Number})
	}
	claim(t, o, code, tipbox.Claim{Award: a.Number, Choice: tipbox.ClaimCharity, Charity: "library"})
	o.Issue("pia", tip, a.Number)
	page, err := o.Service.Payouts(ctx, o.Member("penny"), false, "", 10)
	if err != nil || len(page.Items) != 2 || page.Next != "" || page.Partial {
		t.Fatalf("%+v, %v", page, err)
	}
	if text, err := json.Marshal(page); err != nil || strings.Contains(string(text), tip) {
		t.Errorf("payers get the tip's id: %s, %v", text, err)
	}
	details, charity = page.Items[0], page.Items[1]
	if charity.Charity == "" {
		details, charity = charity, details
	}
	return o, details, charity
}

func TestPayoutsArePaidOnceAndForgotten(t *testing.T) {
	o, details, charity := newPayout(t)
	penny := o.Member("penny")
	if text, err := details.Open(o.Key("penny")); err != nil || text != "Account 1\n"+tipboxtest.Canary {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := charity.Open(o.Key("penny")); err != nil || text != "" || charity.Charity != "library" {
		t.Errorf("%q, %v", text, err)
	}
	for _, name := range []string{"alice", "peter"} {
		if _, err := details.Open(o.Key(name)); err == nil {
			t.Errorf("%s opens the details", name)
		}
	}
	// Details in another's place are noticed.
	swapped := charity
	swapped.Sealed = details.Sealed
	if _, err := swapped.Open(o.Key("penny")); !errors.Is(err, tipbox.ErrInvalid) {
		t.Error(err)
	}
	pages := 0
	for cursor := ""; ; pages++ {
		page, err := o.Service.Payouts(ctx, penny, false, cursor, 1)
		if err != nil || len(page.Items) != 1 {
			t.Fatal(page, err)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if pages != 1 {
		t.Errorf("%d pages more", pages)
	}

	today := o.Service.Today()
	wrong := details.Payout
	wrong.Amount++
	wantErr(t, o.Service.Pay(ctx, penny, sign(t, o, "penny", tipbox.PayoutPayment(details.ID, &wrong, today)), ""), tipbox.ErrInvalid)
	wantErr(t, o.Service.Pay(ctx, penny, sign(t, o, "penny", tipbox.PayoutPayment("aaaaaaaaaaaaaaaa", &wrong, today)), ""), tipbox.ErrNoPayout)
	for _, item := range []tipbox.PayoutItem{details, charity} {
		note := sign(t, o, "penny", tipbox.PayoutPayment(item.ID, &item.Payout, today))
		for range 2 {
			if err := o.Service.Pay(ctx, penny, note, ""); err != nil {
				t.Fatal(err)
			}
		}
		again := sign(t, o, "penny", tipbox.PayoutPayment(item.ID, &item.Payout, today))
		wantErr(t, o.Service.Pay(ctx, penny, again, ""), tipbox.ErrPaid)
	}
	if page, err := o.Service.Payouts(ctx, penny, false, "", 10); err != nil || len(page.Items) != 0 {
		t.Errorf("to be paid: %+v, %v", page, err)
	}
	if page, err := o.Service.Payouts(ctx, penny, true, "", 10); err != nil || len(page.Items) != 2 || page.Items[0].Paid != "2026-11" {
		t.Errorf("all: %+v, %v", page, err)
	}
	// For two months more a transfer may come back; then where it went is forgotten.
	for _, c := range []struct{ days, kept int }{{0, 2}, {70, 2}, {1, 0}} { // 2027-01-31, 2027-02-01
		o.Clock.Advance(time.Duration(c.days) * aDay)
		if _, err := o.Service.Retain(ctx); err != nil {
			t.Fatal(err)
		}
		page, err := o.Service.Payouts(ctx, penny, true, "", 10)
		if err != nil || len(page.Items) != c.kept {
			t.Errorf("on %s: %+v, %v", o.Service.Today(), page, err)
		}
	}
	again := sign(t, o, "penny", tipbox.PayoutPayment(details.ID, &details.Payout, o.Service.Today()))
	wantErr(t, o.Service.Pay(ctx, penny, again, ""), tipbox.ErrPaid)
	page, err := o.Service.Payments(ctx, penny, "", 1)
	if err != nil || len(page.Notes) != 1 || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	if page, err = o.Service.Payments(ctx, penny, page.Next, 1); err != nil || len(page.Notes) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	if page, err = o.Service.Payments(ctx, penny, page.Next, 1); err != nil || len(page.Notes) != 0 || page.Next != "" {
		t.Fatalf("%+v, %v", page, err)
	}
}

// TestServerInventsNoPayment and the check of a store finds one that was.
func TestServerInventsNoPayment(t *testing.T) {
	o, vouchers := newVouchers(t)
	note := payment(t, o, "penny", vouchers[0])
	if err := o.Service.Pay(ctx, o.Member("penny"), note, vouchers[0].Compact()); err != nil {
		t.Fatal(err)
	}
	key := func(v *voucher.Voucher) store.Key { return store.Key("paid/" + v.SpentKey()) }
	put := func(k store.Key, value []byte) (undo func()) {
		t.Helper()
		before, err := o.Store.Get(ctx, k)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		if err := o.Store.Apply(ctx, store.Put(k, value)); err != nil {
			t.Fatal(err)
		}
		return func() {
			change := store.Delete(k)
			if before.Revision != 0 {
				change = store.Put(k, before.Value)
			}
			if err := o.Store.Apply(ctx, change); err != nil {
				t.Fatal(err)
			}
		}
	}
	server, err := roster.NewSigningKey("penny")
	if err != nil {
		t.Fatal(err)
	}
	p := tipbox.VoucherPayment(vouchers[1], o.Service.Roster().Denomination("cny-1000"), o.Service.Today())
	forged, err := p.Sign(server)
	if err != nil {
		t.Fatal(err)
	}
	p.Amount = 1
	cheap := sign(t, o, "penny", p)
	for what, c := range map[string]struct {
		key   store.Key
		value []byte
	}{
		"not signed by the right key": {key(vouchers[1]), forged},
		"the payment of another":      {key(vouchers[2]), note},
		"not in the roster":           {key(vouchers[1]), cheap},
		"not a payment":               {key(vouchers[0]), []byte("{}")},
		"what is kept of an award":    {"meta/award/x", []byte(`[{"schedule":"test","currency":"CNY","amount":-1,"granted":"2026-11"}]`)},
		"invalid character":           {"meta/award/x", []byte(`x`)},
	} {
		undo := put(c.key, c.value)
		report, err := o.Service.Check(ctx)
		if err != nil || len(report.Problems) != 1 || !strings.Contains(report.Problems[0], what) {
			t.Errorf("%s: %+v, %v", what, report, err)
		}
		undo()
	}
}
