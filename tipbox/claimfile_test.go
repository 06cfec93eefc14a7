package tipbox_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/crypto/voucher"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// newGranted is an organisation with a granted award of 6,000 yuan.
func newGranted(t *testing.T) (o *tipboxtest.Org, code *receipt.Code, tip string, number int) {
	o, code, tip = newRewarded(t, 150_000)
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	number = lastAward(t, o, tip).Number
	for _, name := range []string{"peter", "paula"} {
		o.Decide(name, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: number})
	}
	return o, code, tip, number
}

// openClaims is what the source's own tool makes of what the server sends.
func openClaims(t *testing.T, o *tipboxtest.Org, code *receipt.Code) *tipbox.Claims {
	t.Helper()
	file, err := o.Service.Claims(ctx, code.Locator())
	if err != nil {
		t.Fatal(err)
	}
	claims, err := tipbox.OpenClaims(file, code, o.Root.Verifier(), o.Service.Today())
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestOwnToolClaimsWhatThePageWouldAndGetsTheSameVouchers(t *testing.T) {
	texts := func(vouchers []*voucher.Voucher, err error) (all []string) {
		t.Helper()
		if err != nil || len(vouchers) != 6 {
			t.Fatal(len(vouchers), err)
		}
		for _, v := range vouchers {
			all = append(all, v.Text())
		}
		return all
	}
	for _, by := range []string{"tool", "page"} {
		o, code, tip, n := newGranted(t)
		claims := openClaims(t, o, code)
		if len(claims.Awards) != 1 || claims.Awards[0].Number != n || claims.Awards[0].Amount != 6_000_00 || claims.Awards[0].ClaimBy != "2027-02-20" {
			t.Errorf("the tool sees %+v", claims.Awards)
		}
		if by == "page" {
			if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err != nil {
				t.Fatal(err)
			}
		} else {
			note, details, err := claims.Claim(tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // sent twice
				if err := o.Service.ClaimSigned(ctx, code.Locator(), note, details); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := openClaims(t, o, code).Vouchers(n); !errors.Is(err, tipbox.ErrClaim) {
			t.Errorf("vouchers before they are signed: %v", err)
		}
		o.Issue("pia", tip, n)
		claims = openClaims(t, o, code)
		mine, page := texts(claims.Vouchers(n)), texts(o.Service.Vouchers(ctx, code, n))
		if !slices.Equal(mine, page) {
			t.Errorf("claimed by the %s: the tool makes other vouchers than the page", by)
		}
		if again := texts(openClaims(t, o, code).Vouchers(n)); !slices.Equal(mine, again) {
			t.Error("the second visit makes other vouchers")
		}
	}
}

func TestOwnToolClaimsInEveryWay(t *testing.T) {
	for _, c := range []struct {
		tipbox.Claim
		state tipbox.AwardState
	}{
		{tipbox.Claim{Choice: tipbox.ClaimDetails, Details: "account " + tipboxtest.Canary}, tipbox.AwardPayable},
		{tipbox.Claim{Choice: tipbox.ClaimCharity, Charity: "library"}, tipbox.AwardPayable},
		{tipbox.Claim{Choice: tipbox.ClaimWaive}, tipbox.AwardWaived},
	} {
		o, code, tip, n := newGranted(t)
		c.Award = n
		note, details, err := openClaims(t, o, code).Claim(c.Claim)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := o.Service.ClaimSigned(ctx, code.Locator(), note, details); err != nil {
				t.Fatal(err)
			}
		}
		if a := lastAward(t, o, tip); a.State != c.state {
			t.Errorf("%s: the award is %s", c.Choice, a.State)
		}
		page, err := o.Service.Payouts(ctx, o.Member("penny"), false, "", 10)
		if err != nil || len(page.Items) != map[bool]int{true: 1}[c.state == tipbox.AwardPayable] {
			t.Fatalf("%s: payouts %+v, %v", c.Choice, page, err)
		}
		if len(page.Items) > 0 {
			if text, err := page.Items[0].Open(o.Key("penny")); err != nil || text != c.Details || page.Items[0].Charity != c.Charity || page.Items[0].Amount != 6_000_00 {
				t.Errorf("%s: penny reads %q of %+v, %v", c.Choice, text, page.Items[0], err)
			}
		}
		if claims := openClaims(t, o, code); claims.Awards[0].Choice != c.Choice || claims.Awards[0].State != c.state {
			t.Errorf("%s: the tool sees %+v", c.Choice, claims.Awards[0])
		}
	}
}

// resigned is a note with something changed, signed by the code.
func resigned(t *testing.T, code *receipt.Code, note []byte, change func(event map[string]any)) []byte {
	t.Helper()
	text, _, _ := strings.Cut(string(note), "\n\n— ")
	header, body, _ := strings.Cut(text, "\n")
	event := make(map[string]any)
	if err := json.Unmarshal([]byte(body), &event); err != nil {
		t.Fatal(err)
	}
	change(event)
	spelled := new(tipbox.Event) // in the order of its fields
	changed, err := json.Marshal(event)
	if err == nil {
		err = json.Unmarshal(changed, spelled)
	}
	if err == nil {
		changed, err = json.Marshal(spelled)
	}
	if err != nil {
		t.Fatal(err)
	}
	key, err := roster.SigningKeyFrom(tipbox.SourceName, code.SigningKey())
	if err != nil {
		t.Fatal(err)
	}
	signed, err := key.Sign(header + "\n" + string(changed) + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestServerTakesNoClaimThatItWouldNotMake(t *testing.T) {
	o, code, tip, n := newGranted(t)
	voucherNote, _, err := openClaims(t, o, code).Claim(tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher})
	if err != nil {
		t.Fatal(err)
	}
	detailsNote, sealed, err := openClaims(t, o, code).Claim(tipbox.Claim{Award: n, Choice: tipbox.ClaimDetails, Details: "account 7"})
	if err != nil {
		t.Fatal(err)
	}
	waive, _, err := openClaims(t, o, code).Claim(tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive})
	if err != nil {
		t.Fatal(err)
	}
	change := func(note []byte, change func(event map[string]any)) []byte { return resigned(t, code, note, change) }
	claim := func(e map[string]any) map[string]any { return e["claim"].(map[string]any) }
	request := func(e map[string]any, i int) map[string]any {
		return claim(e)["requests"].([]any)[i].(map[string]any)
	}
	toPeter, err := seal.Message([]byte(`{}`), o.Member("peter").Card.Recipient, o.Member("paula").Card.Recipient)
	if err != nil {
		t.Fatal(err)
	}
	blob := map[string]any{"blob": strings.Repeat("a", 32), "sealed": 1, "sha256": strings.Repeat("0", 64)}
	sum := func(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
	hashOf := func(e map[string]any, b []byte) { claim(e)["details"] = sum(b) }
	for name, c := range map[string]struct {
		note, details []byte
		want          error
	}{
		"by another source": {resigned(t, receipt.New(), waive, func(map[string]any) {}), nil, tipbox.ErrInvalid},
		"by nobody":         {waive[:len(waive)-20], nil, tipbox.ErrInvalid},
		"nothing":           {[]byte{}, nil, tipbox.ErrInvalid},
		"too long":          {append(slices.Clone(waive), make([]byte, 100<<10)...), nil, tipbox.ErrTooLong},
		"not the next":      {change(waive, func(e map[string]any) { e["number"] = n + 20 }), nil, tipbox.ErrConflict},
		"behind another":    {change(waive, func(e map[string]any) { e["before"] = strings.Repeat("0", 64) }), nil, tipbox.ErrConflict},
		"on another day":    {change(waive, func(e map[string]any) { e["day"] = "2026-11-21" }), nil, tipbox.ErrConflict},
		"of another tip":    {change(waive, func(e map[string]any) { e["tip"] = strings.Repeat("a", 16) }), nil, tipbox.ErrInvalid},
		"of another award":  {change(waive, func(e map[string]any) { e["award"] = n - 1 }), nil, tipbox.ErrClaim},
		"with files": {change(waive, func(e map[string]any) {
			blob["blob"] = e["tip"].(string) + "aaaaaaaaaaaaaaaa"
			e["files"] = []any{blob}
		}), nil, tipbox.ErrInvalid},
		"with a once": {change(waive, func(e map[string]any) { e["once"] = "00" }), nil, tipbox.ErrInvalid},
		"a message": {change(waive, func(e map[string]any) {
			e["action"] = "message"
			delete(e, "claim")
			delete(e, "award")
			e["sealed"] = sum(nil)
		}), nil, tipbox.ErrInvalid},
		"an approval":           {change(waive, func(e map[string]any) { e["action"] = "approve"; delete(e, "claim") }), nil, tipbox.ErrInvalid},
		"gold":                  {change(waive, func(e map[string]any) { claim(e)["choice"] = "gold" }), nil, tipbox.ErrInvalid},
		"less":                  {change(voucherNote, func(e map[string]any) { claim(e)["requests"] = claim(e)["requests"].([]any)[:5] }), nil, tipbox.ErrClaim},
		"more":                  {change(voucherNote, func(e map[string]any) { request(e, 0)["denomination"] = "cny-10000" }), nil, tipbox.ErrClaim},
		"unknown vouchers":      {change(voucherNote, func(e map[string]any) { request(e, 0)["denomination"] = "none" }), nil, tipbox.ErrClaim},
		"what cannot be signed": {change(voucherNote, func(e map[string]any) { request(e, 0)["blinded"] = make([]byte, 384) }), nil, tipbox.ErrClaim},
		"a short request":       {change(voucherNote, func(e map[string]any) { request(e, 0)["blinded"] = make([]byte, 200) }), nil, tipbox.ErrClaim},
		"no details":            {detailsNote, nil, tipbox.ErrInvalid},
		"other details":         {detailsNote, append(slices.Clone(sealed), 0), tipbox.ErrInvalid},
		"details too many":      {waive, sealed, tipbox.ErrInvalid},
		"details for others":    {change(detailsNote, func(e map[string]any) { hashOf(e, toPeter) }), toPeter, tipbox.ErrConflict},
		"details in the clear":  {change(detailsNote, func(e map[string]any) { hashOf(e, []byte("account 7")) }), []byte("account 7"), tipbox.ErrConflict},
		"charity of nobody": {change(detailsNote, func(e map[string]any) {
			claim(e)["choice"], claim(e)["charity"] = "charity", "nobody"
			delete(claim(e), "details")
			delete(claim(e), "payers")
		}), nil, tipbox.ErrClaim},
	} {
		if err := o.Service.ClaimSigned(ctx, code.Locator(), c.note, c.details); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	wantErr(t, o.Service.ClaimSigned(ctx, receipt.New().Locator(), waive, nil), tipbox.ErrNoThread)
	if claims := openClaims(t, o, code); claims.Awards[0].State != tipbox.AwardGranted {
		t.Errorf("the award is %+v", claims.Awards[0])
	}
	if page, err := o.Service.Payouts(ctx, o.Member("penny"), true, "", 10); err != nil || len(page.Items) > 0 {
		t.Errorf("payouts %+v, %v", page, err)
	}

	// A claim that comes late is signed anew; it is claimed once.
	o.Reply("alice", tip, "one more line")
	wantErr(t, o.Service.ClaimSigned(ctx, code.Locator(), waive, nil), tipbox.ErrConflict)
	for i, want := range []error{nil, tipbox.ErrClaim} {
		claims := openClaims(t, o, code)
		claims.Awards[0].State = tipbox.AwardGranted
		again, _, err := claims.Claim(tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Service.ClaimSigned(ctx, code.Locator(), again, nil); !errors.Is(err, want) {
			t.Errorf("claim %d: %v", i+1, err)
		}
	}
}

func TestOwnToolClaimsNothingLate(t *testing.T) {
	o, code, _, n := newGranted(t)
	claims := openClaims(t, o, code)
	note, _, err := claims.Claim(tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive})
	if err != nil {
		t.Fatal(err)
	}
	o.Clock.Advance(91 * aDay)
	wantErr(t, o.Service.ClaimSigned(ctx, code.Locator(), note, nil), tipbox.ErrConflict)
	late := openClaims(t, o, code)
	if !late.Awards[0].Expired {
		t.Errorf("after the window: %+v", late.Awards[0])
	}
	if _, _, err := late.Claim(tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive}); !errors.Is(err, tipbox.ErrClaim) {
		t.Errorf("claimed after the window: %v", err)
	}
	late.Awards[0].Expired = false
	note, _, err = late.Claim(tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive})
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, o.Service.ClaimSigned(ctx, code.Locator(), note, nil), tipbox.ErrClaim)
}

func TestOwnToolBelievesNoServer(t *testing.T) {
	o, code, tip, n := newGranted(t)
	if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err != nil {
		t.Fatal(err)
	}
	o.Issue("pia", tip, n)
	other := tipboxtest.New(t, tipboxtest.Config{})
	key, err := seal.NewTipKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, lie := range map[string]func(*tipbox.ClaimFile){
		"another tip":          func(f *tipbox.ClaimFile) { f.Tip = strings.Repeat("a", 16) },
		"another tip's key":    func(f *tipbox.ClaimFile) { f.Key = key.Public() },
		"another root":         func(f *tipbox.ClaimFile) { f.Roster = string(other.Service.SignedRoster()) },
		"a changed roster":     func(f *tipbox.ClaimFile) { f.Roster = strings.Replace(f.Roster, "2040-12-31", "2041-12-31", 1) },
		"no roster":            func(f *tipbox.ClaimFile) { f.Roster = "" },
		"two days ahead":       func(f *tipbox.ClaimFile) { f.Today = "2026-11-24" },
		"two days behind":      func(f *tipbox.ClaimFile) { f.Today = "2026-11-20" },
		"another schedule":     func(f *tipbox.ClaimFile) { f.Awards[0].Schedule = "none" },
		"another currency":     func(f *tipbox.ClaimFile) { f.Awards[0].Currency = "USD" },
		"less than nothing":    func(f *tipbox.ClaimFile) { f.Awards[0].Amount = -1 },
		"an award to come":     func(f *tipbox.ClaimFile) { f.Awards[0].Number = f.Number },
		"no number":            func(f *tipbox.ClaimFile) { f.Awards[0].Number = 0 },
		"the same twice":       func(f *tipbox.ClaimFile) { f.Awards = append(f.Awards, f.Awards[0]) },
		"a signature missing":  func(f *tipbox.ClaimFile) { f.Awards[0].Signatures = f.Awards[0].Signatures[1:] },
		"a signature too many": func(f *tipbox.ClaimFile) { f.Awards[0].Signatures = append(f.Awards[0].Signatures, nil) },
	} {
		file, err := o.Service.Claims(ctx, code.Locator())
		if err != nil {
			t.Fatal(err)
		}
		lie(file)
		if _, err := tipbox.OpenClaims(file, code, o.Root.Verifier(), "2026-11-22"); err == nil {
			t.Errorf("%s: believed", name)
		}
	}
	for name, lie := range map[string]func(*tipbox.ClaimLine){
		"another's signature":  func(a *tipbox.ClaimLine) { a.Signatures[0] = a.Signatures[1] },
		"no signature":         func(a *tipbox.ClaimLine) { a.Signatures[0] = nil },
		"another denomination": func(a *tipbox.ClaimLine) { a.Requests[0].Denomination = "cny-100" },
		"no denomination":      func(a *tipbox.ClaimLine) { a.Requests[0].Denomination = "none" },
	} {
		claims := openClaims(t, o, code)
		lie(&claims.Awards[0])
		if _, err := claims.Vouchers(n); err == nil {
			t.Errorf("%s: a voucher is made", name)
		}
	}
	// What the server says was blinded does not matter: the tool makes that itself.
	claims := openClaims(t, o, code)
	claims.Awards[0].Requests[0].Blinded = make([]byte, 384)
	if vouchers, err := claims.Vouchers(n); err != nil || len(vouchers) != 6 {
		t.Error(len(vouchers), err)
	}
	if _, err := tipbox.OpenClaims(new(tipbox.ClaimFile), receipt.New(), o.Root.Verifier(), "2026-11-22"); !errors.Is(err, tipbox.ErrInvalid) {
		t.Errorf("an empty file: %v", err)
	}
}

// TestAStolenLocatorShowsNoMoreThanThePage is about what is sent of a case: nothing
// that the page does not show, but who is in the roster and the id of the award's payout,
// for which the tool seals the details.
func TestAStolenLocatorShowsNoMoreThanThePage(t *testing.T) {
	o, code, tip, n := newGranted(t)
	o.Act("alice", tip, act(tipbox.ActionNote, "nobody's business"))
	file, err := o.Service.Claims(ctx, code.Locator())
	if err != nil {
		t.Fatal(err)
	}
	file.Roster = ""
	doc, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "bob", "peter", "paula", "substantiated", "off-book-funds"} {
		if strings.Contains(string(doc), name) {
			t.Errorf("the source's tool is told of %s:\n%s", name, doc)
		}
	}
	want := []tipbox.ClaimLine{{Number: n, State: tipbox.AwardGranted, Schedule: "test", Currency: "CNY", Amount: 6_000_00, ClaimBy: "2027-02-20"}}
	want[0].Payout = file.Awards[0].Payout
	if !reflect.DeepEqual(file.Awards, want) || want[0].Payout == "" {
		t.Errorf("%+v, want %+v", file.Awards, want)
	}
	if _, err := o.Service.Claims(ctx, receipt.New().Locator()); !errors.Is(err, tipbox.ErrNoThread) {
		t.Errorf("an unknown locator: %v", err)
	}
}
