package desk_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
	"tipbox/tipbox/tipboxtest"
)

// newVoucher makes a voucher of the organisation, as if it had been issued.
func newVoucher(t *testing.T, o *tipboxtest.Org, d voucher.Denomination, key, organisation string) *voucher.Voucher {
	t.Helper()
	issuing := tipboxtest.IssuingKey(t, key)
	d.Key = issuing.Public()
	request, err := voucher.Blind(d, [32]byte{byte(len(key))}, organisation)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := issuing.Sign(request.Blinded)
	if err != nil {
		t.Fatal(err)
	}
	v, err := request.Finish(signature)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPaymentsOverTheWire(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Rewards()
	o.Enter("perry", &roster.Member{Roles: []roster.Role{roster.Payer}})
	o.Install()
	address := serve(t, o)
	penny, perry := client(t, o, address, o.Key("penny").SigningKey), client(t, o, address, o.Key("perry").SigningKey)
	d := *o.Service.Roster().Denomination("cny-1000")
	pay := func(c *desk.Client, name string, v *voucher.Voucher, text string) error {
		t.Helper()
		note, err := tipbox.VoucherPayment(v, &d, o.Service.Today()).Sign(o.Key(name).SigningKey)
		if err != nil {
			t.Fatal(err)
		}
		return c.Pay(ctx, note, text)
	}
	good := newVoucher(t, o, d, "cny-1000", o.Root.Verifier())
	note, err := tipbox.VoucherPayment(good, &d, o.Service.Today()).Sign(o.Key("penny").SigningKey)
	if err != nil {
		t.Fatal(err)
	}
	_, err = penny.Payment(ctx, good.SpentKey())
	wantErr(t, err, tipbox.ErrNotFound)
	for range 2 {
		if err := penny.Pay(ctx, note, good.Compact()); err != nil {
			t.Fatal(err)
		}
	}
	err = pay(perry, "perry", good, good.Compact())
	wantErr(t, err, tipbox.ErrPaid)
	if !strings.Contains(err.Error(), "already paid, on 2026-11-22 by penny") {
		t.Error(err)
	}
	if got, err := perry.Payment(ctx, good.SpentKey()); err != nil || string(got) != string(note) {
		t.Errorf("%q, %v", got, err)
	}
	if notes, partial, err := perry.Payments(ctx); err != nil || partial || len(notes) != 1 || string(notes[0]) != string(note) {
		t.Errorf("%q, %v", notes, err)
	}

	unknown := d
	unknown.ID = "cny-2000"
	for what, c := range map[string]struct {
		v    *voucher.Voucher
		text string
		want error
	}{
		"forged":       {newVoucher(t, o, d, "cny-100", o.Root.Verifier()), "", voucher.ErrForged},
		"organisation": {newVoucher(t, o, d, "cny-1000", o.Server.Verifier()), "", voucher.ErrOrganisation},
		"denomination": {newVoucher(t, o, unknown, "cny-1000", o.Root.Verifier()), "", voucher.ErrDenomination},
		"typing":       {newVoucher(t, o, d, "cny-100", o.Root.Verifier()), good.Text()[:100], voucher.ErrTyping},
		"none":         {newVoucher(t, o, d, "cny-100", o.Root.Verifier()), "x", voucher.ErrNotVoucher},
	} {
		text := c.text
		if text == "" {
			text = c.v.Compact()
		}
		if err := pay(penny, "penny", c.v, text); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantErr(t, pay(penny, "perry", good, good.Compact()), tipbox.ErrForbidden)
	wantErr(t, penny.Pay(ctx, []byte("x"), ""), desk.ErrRefused)
	wantErr(t, penny.Pay(ctx, []byte(strings.Repeat("x", 10_000)), ""), tipbox.ErrTooLong)
	payout, err := tipbox.PayoutPayment("aaaaaaaaaaaaaaaa", &tipbox.Payout{Currency: "CNY", Amount: 1, Schedule: "test"}, o.Service.Today()).Sign(o.Key("penny").SigningKey)
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, penny.Pay(ctx, payout, ""), tipbox.ErrNoPayout)
	if items, partial, err := penny.Payouts(ctx, true); err != nil || partial || len(items) != 0 {
		t.Errorf("%v, %v", items, err)
	}
	_, err = penny.Payment(ctx, "../tips/x")
	wantErr(t, err, desk.ErrRefused)

	peter := client(t, o, address, o.Key("peter").SigningKey)
	wantErr(t, peter.Pay(ctx, note, good.Compact()), tipbox.ErrForbidden)
	_, _, err = peter.Payments(ctx)
	wantErr(t, err, tipbox.ErrForbidden)
	_, _, err = peter.Payouts(ctx, false)
	wantErr(t, err, tipbox.ErrForbidden)
	accounts, err := peter.Accounts(ctx, "2026-11", "2026-11")
	if err != nil {
		t.Fatal(err)
	}
	want, err := o.Service.Accounts(ctx, o.Member("peter"), "2026-11", "2026-11")
	if diff := cmp.Diff(want, accounts); err != nil || diff != "" || len(accounts.Vouchers) != 1 {
		t.Error(err, diff)
	}
	_, err = peter.Accounts(ctx, "2026-11", "x")
	wantErr(t, err, desk.ErrRefused)
	_, err = client(t, o, address, o.Key("alice").SigningKey).Accounts(ctx, "2026-11", "2026-11")
	wantErr(t, err, tipbox.ErrForbidden)
}

func TestPagesOfPaymentsAreReadToTheEnd(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Rewards()
	d := o.Service.Roster().Denomination("cny-100")
	key := tipboxtest.IssuingKey(t, "cny-100")
	for i := range tipbox.MaxPage + 1 {
		request, err := voucher.Blind(*d, [32]byte{byte(i), byte(i >> 8)}, o.Root.Verifier())
		if err != nil {
			t.Fatal(err)
		}
		signature, err := key.Sign(request.Blinded)
		if err != nil {
			t.Fatal(err)
		}
		v, err := request.Finish(signature)
		if err != nil {
			t.Fatal(err)
		}
		note, err := tipbox.VoucherPayment(v, d, o.Service.Today()).Sign(o.Key("penny").SigningKey)
		if err == nil {
			err = o.Service.Pay(ctx, o.Member("penny"), note, v.Compact())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	notes, _, err := client(t, o, serve(t, o), o.Key("penny").SigningKey).Payments(ctx)
	if err != nil || len(notes) != tipbox.MaxPage+1 {
		t.Errorf("%d notes, %v", len(notes), err)
	}
}
