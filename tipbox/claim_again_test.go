package tipbox_test

import (
	"errors"
	"regexp"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// payer opens what penny, or who is named, can know of the payouts that are to be made.
func payouts(t *testing.T, o *tipboxtest.Org, name string) (details []string) {
	t.Helper()
	page, err := o.Service.Payouts(ctx, o.Member(name), false, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range page.Items {
		text, err := item.Open(o.Key(name))
		if err != nil {
			text = "unreadable"
		}
		details = append(details, text)
	}
	return details
}

func details(n int, text string) tipbox.Claim {
	return tipbox.Claim{Award: n, Choice: tipbox.ClaimDetails, Details: text}
}

// TestDetailsAreCorrectedUntilTheyAreOrdered mistypes an account.
func TestDetailsAreCorrectedUntilTheyAreOrdered(t *testing.T) {
	o, code, tip, n := newGranted(t)
	for _, text := range []string{"account 7 " + tipboxtest.Canary, "account 7 " + tipboxtest.Canary, "account 8 " + tipboxtest.Canary} {
		if err := o.Service.Claim(ctx, code, details(n, text)); err != nil {
			t.Fatal(err)
		}
	}
	if got := payouts(t, o, "penny"); len(got) != 1 || got[0] != "account 8 "+tipboxtest.Canary {
		t.Errorf("to be paid: %q", got)
	}
	if claims := len(o.Open("alice", tip).Case.Awards); claims != 1 {
		t.Errorf("%d awards", claims)
	}
	wantErr(t, o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive}), tipbox.ErrClaim)
	if err := o.TryIssue("peter", tip, n); err != nil {
		t.Fatal(err)
	}
	wantErr(t, o.Service.Claim(ctx, code, details(n, "account 9")), tipbox.ErrClaim)
	if got := payouts(t, o, "penny"); len(got) != 1 || got[0] != "account 8 "+tipboxtest.Canary {
		t.Errorf("after the order: %q", got)
	}
	if faults := o.Open("alice", tip).Faults; len(faults) > 0 {
		t.Errorf("faults %q", faults)
	}
}

// TestDetailsThatNobodyCanReadAreAskedForAnew has the only payer leave, before and
// after the order, and after the payment.
func TestDetailsThatNobodyCanReadAreAskedForAnew(t *testing.T) {
	o, code, tip, n := newGranted(t)
	if err := o.Service.Claim(ctx, code, details(n, "account 7")); err != nil {
		t.Fatal(err)
	}
	if err := o.TryIssue("peter", tip, n); err != nil {
		t.Fatal(err)
	}
	old := o.Member("penny")
	page, err := o.Service.Payouts(ctx, old, false, "", 10)
	if err != nil || len(page.Items) != 1 {
		t.Fatal(page, err)
	}
	thread, err := o.Service.Thread(ctx, code)
	if err != nil || thread.Awards[0].Again {
		t.Fatalf("%+v, %v", thread.Awards[0], err)
	}
	rekey := func() {
		o.SetDay(o.Service.Today())
		o.Rekey("penny", &roster.Member{Roles: []roster.Role{roster.Payer}})
		o.Install()
		o.Clock.Advance(3 * aDay)
	}
	rekey()
	if got := payouts(t, o, "penny"); len(got) != 1 || got[0] != "unreadable" {
		t.Fatalf("the new key reads %q", got)
	}
	thread, err = o.Service.Thread(ctx, code)
	if err != nil || !thread.Awards[0].Again || !thread.Awards[0].Lost {
		t.Fatalf("%+v, %v", thread.Awards[0], err)
	}
	if err := o.Service.Claim(ctx, code, details(n, "account 7")); err != nil { // the same one
		t.Fatal(err)
	}
	if got := payouts(t, o, "penny"); len(got) != 1 || got[0] != "account 7" {
		t.Fatalf("the new key reads %q", got)
	}
	if err := o.TryIssue("peter", tip, n); err != nil {
		t.Fatal("a second order:", err)
	}
	page, err = o.Service.Payouts(ctx, o.Member("penny"), false, "", 10)
	if err != nil || len(page.Items) != 1 {
		t.Fatal(page, err)
	}
	payment, err := tipbox.PayoutPayment(page.Items[0].ID, &page.Items[0].Payout, o.Service.Today()).Sign(o.Key("penny").SigningKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Service.Pay(ctx, o.Member("penny"), payment, ""); err != nil {
		t.Fatal(err)
	}

	// What was paid is not paid again, whoever leaves.
	rekey()
	wantErr(t, o.Service.Claim(ctx, code, details(n, "account 9")), tipbox.ErrClaim)
	if faults := o.Open("alice", tip).Faults; len(faults) > 0 {
		t.Errorf("faults %q", faults)
	}
}

// TestPayerWhoComesBackVoidsNoClaim has the only payer who can read the details leave,
// their source give others, and the payer come back.
func TestPayerWhoComesBackVoidsNoClaim(t *testing.T) {
	o, code, tip, n := newGranted(t)
	if err := o.Service.Claim(ctx, code, details(n, "account 7")); err != nil {
		t.Fatal(err)
	}
	o.Issue("peter", tip, n)
	payer := func() *roster.Member { return &roster.Member{Roles: []roster.Role{roster.Payer}} }
	o.SetDay(o.Service.Today())
	o.StrikeAtSigning("penny")
	o.Enter("quinn", payer())
	o.Install()
	o.Clock.Advance(2 * aDay)
	if err := o.Service.Claim(ctx, code, details(n, "account 8")); err != nil {
		t.Fatal(err)
	}
	o.SetDay(o.Service.Today())
	o.Enter("penny", payer())
	o.Install()
	if faults := o.Open("alice", tip).Faults; len(faults) > 0 {
		t.Errorf("faults %q", faults)
	}
	o.Issue("peter", tip, n)
	if got := payouts(t, o, "quinn"); len(got) != 1 || got[0] != "account 8" {
		t.Errorf("to be paid: %q", got)
	}

	// Another title is no leave.
	o.Clock.Advance(5 * aDay)
	o.SetDay(o.Service.Today())
	o.StrikeAtSigning("quinn")
	titled := payer()
	titled.Title = "Ms Quinn"
	o.Enter("quinn", titled)
	o.Install()
	o.Clock.Advance(5 * aDay)
	if a := thread(t, o, code).Awards[0]; a.Again || a.Lost {
		t.Errorf("%+v", a)
	}
}

// ending puts off, or not, the last day of the denominations that there are.
func ending(o *tipboxtest.Org, until string) {
	list := append([]voucher.Denomination(nil), o.Service.Roster().Denominations...)
	for i := range list {
		list[i].Until = until
	}
	o.SetDenominations(list...)
}

// TestVouchersThatEndSoonAreNotIssued has denominations end while a claim waits.
func TestVouchersThatEndSoonAreNotIssued(t *testing.T) {
	o, code, tip, n := newGranted(t)
	vouchers := tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}
	ending(o, "2027-02-01") // 71 days ahead, of a window of 90
	wantErr(t, o.Service.Claim(ctx, code, vouchers), tipbox.ErrClaim)
	ending(o, "2027-03-01")
	if err := o.Service.Claim(ctx, code, vouchers); err != nil {
		t.Fatal(err)
	}
	o.Clock.Advance(80 * aDay)
	wantRule(t, o.TryIssue("peter", tip, n), tipbox.RuleAward)
	thread, err := o.Service.Thread(ctx, code)
	if err != nil || !thread.Awards[0].Again || !thread.Awards[0].Lost {
		t.Fatalf("%+v, %v", thread.Awards[0], err)
	}
	wantErr(t, o.Service.Claim(ctx, code, vouchers), tipbox.ErrClaim) // there are no others
	ending(o, "2040-12-31")                                           // put off: all is well again
	if thread, err = o.Service.Thread(ctx, code); err != nil || thread.Awards[0].Again {
		t.Fatalf("%+v, %v", thread.Awards[0], err)
	}
	ending(o, "2027-02-20")
	if err := o.Service.Claim(ctx, code, details(n, "account 7")); err != nil {
		t.Fatal("another choice:", err)
	}
	wantErr(t, o.TryIssue("peter", tip, n), tipbox.ErrContested) // somebody may have signed the vouchers
	o.IssueUncontested("peter", tip, n)
	if a := lastAward(t, o, tip); a.State != tipbox.AwardPayable || a.Claimed != "2026-11-22" {
		t.Errorf("%+v", a)
	}
}

// TestNotesLeaveRoomForAwards fills a thread to the brim.
func TestNotesLeaveRoomForAwards(t *testing.T) {
	o, code, tip := newRewarded(t, 150_000)
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	n := lastAward(t, o, tip).Number
	rec, err := o.Store.Get(ctx, store.Key("tip/"+tip))
	if err == nil {
		full := regexp.MustCompile(`"bytes":\d+,"replies":\d+,"reply_bytes":\d+`).ReplaceAll(rec.Value, []byte(`"bytes":67108864,"replies":1000,"reply_bytes":33554432`))
		err = o.Store.Apply(ctx, store.Put(rec.Key, full))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := o.TryAct("alice", tip, act(tipbox.ActionNote, "ballast")); !errors.Is(err, tipbox.ErrFull) {
		t.Fatalf("the thread is not full: %v", err)
	}
	for _, name := range []string{"peter", "paula"} {
		o.Decide(name, tip, rApprove(n))
	}
	if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err != nil {
		t.Fatal(err)
	}
	if err := o.TryIssue("peter", tip, n); err != nil {
		t.Fatal(err)
	}
	if vouchers, err := o.Service.Vouchers(ctx, code, n); err != nil || len(vouchers) == 0 {
		t.Errorf("%d vouchers, %v", len(vouchers), err)
	}
}
