package tipbox_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

func accounts(t *testing.T, o *tipboxtest.Org, name, from, to string) *tipbox.Accounts {
	t.Helper()
	a, err := o.Service.Accounts(ctx, o.Member(name), from, to)
	if err == nil {
		err = a.Validate()
	}
	if err != nil || a.Partial {
		t.Fatal(a, err)
	}
	return a
}

// newAccounted is an organisation with an award of each end, one a month from
// 2026-11 on: vouchers (of which one is paid), details (paid), waived, expired. It
// returns the tip's id.
func newAccounted(t *testing.T) (o *tipboxtest.Org, tip string) {
	t.Helper()
	o, code, tip := newRewarded(t, 150_000)
	next := func(yuan int64) int {
		t.Helper()
		o.Clock.Advance(32 * aDay) // 2026-12-24, 2027-01-25, 2027-02-26
		collect(o, tip, yuan*25)
		awarded := int64(6_000)
		for _, a := range o.Open("alice", tip).Case.Awards[1:] {
			awarded += a.Terms.Amount / 100
		}
		o.Act("alice", tip, award(awarded*25+yuan*25, yuan, yuan, 400))
		a := lastAward(t, o, tip)
		for _, name := range []string{"peter", "paula", "pia"}[:a.Votes] {
			o.Decide(name, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: a.Number})
		}
		return a.Number
	}
	n := grant(t, o, tip, 6_000)
	claim(t, o, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher})
	o.Issue("peter", tip, n)
	vouchers, err := o.Service.Vouchers(ctx, code, n)
	if err != nil {
		t.Fatal(err)
	}
	n = next(500)
	claim(t, o, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimDetails, Details: "here"})
	o.Issue("pia", tip, n)
	if err := o.Service.Pay(ctx, o.Member("penny"), payment(t, o, "penny", vouchers[0]), vouchers[0].Compact()); err != nil {
		t.Fatal(err)
	}
	n = next(700)
	claim(t, o, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive})
	page, err := o.Service.Payouts(ctx, o.Member("penny"), false, "", 1)
	if err != nil || len(page.Items) != 1 {
		t.Fatal(page, err)
	}
	note := sign(t, o, "penny", tipbox.PayoutPayment(page.Items[0].ID, &page.Items[0].Payout, o.Service.Today()))
	if err := o.Service.Pay(ctx, o.Member("penny"), note, ""); err != nil {
		t.Fatal(err)
	}
	next(800)
	o.Clock.Advance(91 * aDay) // 2027-05-28: the day after the window
	return o, tip
}

func TestAccountsOfEveryEnd(t *testing.T) {
	o, tip := newAccounted(t)
	yuan := func(n int64) tipbox.Sum { return tipbox.Sum{Count: 1, Amount: n * 100} }
	row := tipbox.AwardRow{Schedule: "test", Currency: "CNY"}
	nov, dec, jan, feb, may := row, row, row, row, row
	nov.Month, nov.Awarded, nov.Claimed, nov.Issued = "2026-11", yuan(6_000), yuan(6_000), yuan(6_000)
	dec.Month, dec.Awarded, dec.Claimed = "2026-12", yuan(500), yuan(500)
	jan.Month, jan.Awarded, jan.Waived, jan.Paid = "2027-01", yuan(700), yuan(700), yuan(500)
	feb.Month, feb.Awarded = "2027-02", yuan(800)
	may.Month, may.Expired = "2027-05", yuan(800)
	want := &tipbox.Accounts{
		Organisation: o.Root.Verifier(), Day: "2027-05-28", From: "2026-01", To: "2027-05",
		Awards: []tipbox.AwardRow{nov, dec, jan, feb, may},
		Vouchers: []tipbox.VoucherRow{
			{Month: "2026-11", Denomination: "cny-1000", Currency: "CNY", Amount: 100_000, Issued: 6},
			{Month: "2026-12", Denomination: "cny-1000", Currency: "CNY", Amount: 100_000, Paid: 1},
		},
		Left: []tipbox.AwardsLeft{{Schedule: "test", Currency: "CNY"}},
	}
	if got := accounts(t, o, "peter", "2026-01", "2027-12"); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	// Of fewer months what was before stands in one row; and what was open then is open.
	before := row
	before.Awarded = tipbox.Sum{Count: 2, Amount: 6_500_00}
	before.Claimed, before.Issued = before.Awarded, yuan(6_000)
	got := accounts(t, o, "peter", "2027-01", "2027-02")
	if !reflect.DeepEqual(got.Awards, []tipbox.AwardRow{before, jan, feb}) || got.Left[0].Open != yuan(800) || len(got.Vouchers) != 1 || got.Vouchers[0].Issued != 6 || got.Vouchers[0].Paid != 1 {
		t.Errorf("%+v", got)
	}
	if totals := got.Totals(); len(totals) != 1 || totals[0].Owed != (tipbox.Sum{}) || totals[0].Awarded.Amount != 8_000_00 {
		t.Errorf("%+v", totals)
	}
	if at := accounts(t, o, "peter", "2026-12", "2026-12").Totals()[0]; at.Owed != yuan(500) {
		t.Errorf("owed at the year's end: %+v", at)
	}

	// They outlive the tip, from which nothing leads to what is kept.
	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionErase})
	if got := accounts(t, o, "peter", "2026-01", "2027-12"); !reflect.DeepEqual(got, want) {
		t.Errorf("after the erasure: %+v", got)
	}
	var kept []string
	for name, value := range o.Stored() {
		_, text, _ := strings.Cut(string(value), "\n")
		if strings.HasPrefix(name, "record meta/award/") {
			kept = append(kept, text)
		}
		if strings.Contains(name, "award") && strings.Contains(name+text, tip) {
			t.Errorf("%s: %s", name, text)
		}
	}
	slices.Sort(kept)
	if !reflect.DeepEqual(kept, []string{
		`[{"schedule":"test","currency":"CNY","amount":50000,"granted":"2026-12","claimed":"2026-12","choice":"details"}]`,
		`[{"schedule":"test","currency":"CNY","amount":600000,"granted":"2026-11","claimed":"2026-11","issued":"2026-11","choice":"voucher","vouchers":{"cny-1000":6}}]`,
		`[{"schedule":"test","currency":"CNY","amount":70000,"granted":"2027-01","claimed":"2027-01","choice":"waive"}]`,
		`[{"schedule":"test","currency":"CNY","amount":80000,"granted":"2027-02","expired":"2027-05"}]`,
	}) {
		t.Errorf("kept: %q", kept)
	}
}

func TestAccountsAreForThoseWhoPayAndAnswerForIt(t *testing.T) {
	o, _, tip := newRewarded(t, 150_000)
	grant(t, o, tip, 6_000)
	o.Enter("pam", &roster.Member{Roles: []roster.Role{roster.Publisher}})
	o.Enter("cuno", &roster.Member{Roles: []roster.Role{roster.Custodian}})
	o.Install()
	for _, name := range []string{"alice", "carol", "cuno"} {
		_, err := o.Service.Accounts(ctx, o.Member(name), "2026-11", "2026-11")
		wantErr(t, err, tipbox.ErrForbidden)
		if !strings.Contains(err.Error(), "role approver, payer or publisher") {
			t.Error(err)
		}
	}
	for name, rows := range map[string]int{"peter": 1, "penny": 0, "pam": 0} { // for whom the month is not over
		for _, months := range [][2]string{{"2026-11", "2026-11"}, {"2026-01", "2027-12"}} {
			if a := accounts(t, o, name, months[0], months[1]); len(a.Awards) != rows || len(a.Left) != rows || rows == 0 && a.To != "2026-10" {
				t.Errorf("%s gets %+v", name, a)
			}
		}
	}
	o.Clock.Advance(9 * aDay) // 2026-12-01
	for _, name := range []string{"peter", "penny", "pam"} {
		if a := accounts(t, o, name, "2026-11", "2026-12"); len(a.Awards) != 1 || a.Left[0].Open.Amount != 6_000_00 {
			t.Errorf("%s gets %+v", name, a)
		}
	}
	for _, months := range [][2]string{{"2026-12", "2026-11"}, {"", "2026-11"}, {"2026-13", "2026-14"}, {"2026-11", "2026-11-22"}} {
		_, err := o.Service.Accounts(ctx, o.Member("peter"), months[0], months[1])
		wantErr(t, err, tipbox.ErrInvalid)
	}
	gone := o.Member("peter")
	o.Strike("peter")
	o.Install()
	_, err := o.Service.Accounts(ctx, gone, "2026-11", "2026-11")
	wantErr(t, err, tipbox.ErrForbidden)
}

func TestSignedAccountsAreWhatWasSigned(t *testing.T) {
	o, _ := newAccounted(t)
	o.Enter("cuno", &roster.Member{Roles: []roster.Role{roster.Custodian}})
	o.Enter("pam", &roster.Member{Roles: []roster.Role{roster.Publisher}})
	o.Install()
	a := accounts(t, o, "peter", "2026-01", "2027-05")
	note, err := a.Sign(o.Key("peter").SigningKey)
	if err != nil {
		t.Fatal(err)
	}
	r, organisation := o.Service.Roster(), o.Root.Verifier()
	got, by, err := tipbox.OpenAccounts(note, r, organisation)
	if err != nil || by != "peter" || !reflect.DeepEqual(got, a) {
		t.Errorf("%+v by %s, %v", got, by, err)
	}
	for what, text := range map[string]string{
		"a cent more": strings.Replace(string(note), `"amount":50000`, `"amount":50001`, 1),
		"no note":     "{}",
		"nothing":     "",
		"cut":         string(note[:len(note)/2]),
		"more":        string(note) + "x",
	} {
		if _, _, err := tipbox.OpenAccounts([]byte(text), r, organisation); !errors.Is(err, tipbox.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, name := range []string{"alice", "cuno"} {
		note, err := a.Sign(o.Key(name).SigningKey)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := tipbox.OpenAccounts(note, r, organisation); !errors.Is(err, tipbox.ErrInvalid) {
			t.Errorf("signed by %s: %v", name, err)
		}
	}
	if _, _, err := tipbox.OpenAccounts(note, r, o.Server.Verifier()); !errors.Is(err, tipbox.ErrInvalid) {
		t.Errorf("of another organisation: %v", err)
	}
	wrong := *a
	wrong.Awards = slices.Clone(a.Awards)
	wrong.Awards[0].Claimed.Amount -= 100
	if note, err = wrong.Sign(o.Key("peter").SigningKey); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tipbox.OpenAccounts(note, r, organisation); !errors.Is(err, tipbox.ErrInvalid) {
		t.Errorf("sums that are wrong: %v", err)
	}
	o.Strike("pam")
	o.Install()
	if note, err = a.Sign(o.Key("pam").SigningKey); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tipbox.OpenAccounts(note, o.Service.Roster(), organisation); !errors.Is(err, tipbox.ErrInvalid) {
		t.Errorf("struck on 2026-11-22, signed on %s: %v", a.Day, err)
	}
}

func TestAccountsOfALyingServerAreRefused(t *testing.T) {
	o, _ := newAccounted(t)
	good := func() *tipbox.Accounts { return accounts(t, o, "peter", "2026-01", "2027-05") }
	for what, spoil := range map[string]func(a *tipbox.Accounts){
		"a schedule that is none":      func(a *tipbox.Accounts) { a.Awards[0].Schedule = `=HYPERLINK("x")` },
		"a currency that is none":      func(a *tipbox.Accounts) { a.Awards[0].Currency = "+1" },
		"a denomination that is none":  func(a *tipbox.Accounts) { a.Vouchers[0].Denomination = "@x" },
		"its currency":                 func(a *tipbox.Accounts) { a.Vouchers[0].Currency = "yuan" },
		"its amount":                   func(a *tipbox.Accounts) { a.Vouchers[1].Amount = 7 },
		"no amount":                    func(a *tipbox.Accounts) { a.Vouchers[0].Amount = 0 },
		"a month that was not asked":   func(a *tipbox.Accounts) { a.Awards[4].Month = "2028-01" },
		"a day for a month":            func(a *tipbox.Accounts) { a.Awards[4].Month = "2027-05-01" },
		"more awarded than there is":   func(a *tipbox.Accounts) { a.Awards[0].Awarded.Amount++ },
		"one more awarded":             func(a *tipbox.Accounts) { a.Awards[0].Awarded.Count++ },
		"less open than there is":      func(a *tipbox.Accounts) { a.Left[0].Open = tipbox.Sum{Count: 1, Amount: 1} },
		"something below nothing":      func(a *tipbox.Accounts) { a.Awards[2].Paid.Amount = -1 },
		"vouchers below nothing":       func(a *tipbox.Accounts) { a.Vouchers[1].Paid = -1 },
		"vouchers that nobody claimed": func(a *tipbox.Accounts) { a.Vouchers[0].Issued++ },
		"more than there is money":     func(a *tipbox.Accounts) { a.Vouchers[0].Paid = 1e9; a.Vouchers[0].Amount = 1 << 40 },
		"the same twice":               func(a *tipbox.Accounts) { a.Awards = append(a.Awards, a.Awards[4]) },
		"vouchers twice":               func(a *tipbox.Accounts) { a.Vouchers = append(a.Vouchers, a.Vouchers[1]) },
		"a rest twice":                 func(a *tipbox.Accounts) { a.Left = append(a.Left, a.Left[0]) },
		"a rest of no schedule":        func(a *tipbox.Accounts) { a.Left[0].Schedule = "" },
		"no day":                       func(a *tipbox.Accounts) { a.Day = "\x1b[2J" },
		"no months":                    func(a *tipbox.Accounts) { a.To = "=1" },
	} {
		a := good()
		spoil(a)
		if err := a.Validate(); !errors.Is(err, tipbox.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// More paid than issued is no wrong sum: somebody makes money.
	a := good()
	if a.Vouchers[1].Paid = 7; len(a.Alarms()) != 1 || !strings.Contains(a.Alarms()[0], "issuing key") || a.Validate() != nil {
		t.Errorf("%q, %v", a.Alarms(), a.Validate())
	}
	a = good()
	if a.Awards[2].Paid.Amount += 1; len(a.Alarms()) != 1 || a.Validate() != nil {
		t.Errorf("%q, %v", a.Alarms(), a.Validate())
	}
}

func TestDamagedRecordsHideNoOtherFromTheAccounts(t *testing.T) {
	o, _ := newAccounted(t)
	whole := accounts(t, o, "peter", "2026-01", "2027-05")
	for key, broken := range map[store.Key]string{
		"meta/award/x":         `[{"schedule":"test"}]`,
		"meta/award/y":         `{`,
		"tip/aaaaaaaaaaaaaaaa": `{`,
		store.Key("paid/" + strings.Repeat("0", 64)): `x`,
	} {
		if err := o.Store.Apply(ctx, store.Put(key, []byte(broken))); err != nil {
			t.Fatal(err)
		}
		a, err := o.Service.Accounts(ctx, o.Member("peter"), "2026-01", "2027-05")
		if err != nil || !a.Partial {
			t.Fatal(a, err)
		}
		if a.Partial = false; !reflect.DeepEqual(a, whole) {
			t.Errorf("%s: %+v", key, a)
		}
		if err := o.Store.Apply(ctx, store.Delete(key)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHoldStopsTheExpiryInTheAccounts too, and a clock that was wrong changes nothing
// for good.
func TestHoldStopsTheExpiryInTheAccounts(t *testing.T) {
	o, code, tip := newRewarded(t, 150_000)
	n := grant(t, o, tip, 6_000)
	open := func() bool {
		t.Helper()
		left := accounts(t, o, "peter", "2026-11", "2030-01").Left[0]
		return left.Open == tipbox.Sum{Count: 1, Amount: 6_000_00}
	}
	o.Act("alice", tip, act(tipbox.ActionHold, "the court asks"))
	o.Clock.Advance(200 * aDay)
	if !open() {
		t.Error("expired on hold")
	}
	o.Act("alice", tip, act(tipbox.ActionRelease, ""))
	o.Clock.Advance(89 * aDay)
	if !open() {
		t.Error("the days on hold do not count")
	}
	o.Clock.Advance(2 * aDay)
	if open() {
		t.Error("not expired")
	}
	o.Clock.Advance(-2 * aDay)
	if !open() {
		t.Error("a clock that was wrong took it away")
	}
	claim(t, o, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive})
}

func TestAccountsAsJSON(t *testing.T) {
	o, _ := newAccounted(t)
	a := accounts(t, o, "peter", "2027-05", "2027-05")
	text, err := json.Marshal(a)
	if err != nil || !strings.Contains(string(text), `{"month":"2027-05","schedule":"test","currency":"CNY","awarded":{"count":0,"amount":0}`) {
		t.Errorf("%s, %v", text, err)
	}
	var back tipbox.Accounts
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(&back, a) {
		t.Errorf("%+v, %v", back, err)
	}
}
