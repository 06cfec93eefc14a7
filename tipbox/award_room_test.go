package tipbox_test

import (
	"testing"

	"tipbox/tipbox"
)

// TestWhoCorrectsForEverLeavesRoomForOthers has whoever holds a part give one account
// after the other, also by the own tool.
func TestWhoCorrectsForEverLeavesRoomForOthers(t *testing.T) {
	o, code, tip, n := newGranted(t)
	other := part(t, o, code, n, 1, 2_000)
	number := lastAward(t, o, tip).Number
	var err error
	times := 0
	for ; err == nil && times < 100; times++ {
		err = o.Service.Claim(ctx, other, details(number, "account "+itoa(times)))
	}
	wantErr(t, err, tipbox.ErrClaim)
	if times < 5 || times > 10 {
		t.Errorf("corrected %d times", times)
	}
	if thread(t, o, other).Awards[0].Again {
		t.Error("the page offers what is refused")
	}
	claims := openClaims(t, o, other)
	claims.Awards[0].Again = true // as a tool that does not look
	note, sealed, err := claims.Claim(details(number, "account 9"))
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, o.Service.ClaimSigned(ctx, other.Locator(), note, sealed), tipbox.ErrClaim)
	if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err != nil {
		t.Error(err)
	}
	for _, award := range []int{n, number} {
		if err := o.TryIssue("pia", tip, award); err != nil {
			t.Error(err)
		}
	}
}

// TestWhoInformsForEverLeavesRoomForOthers has an investigator show the reasons of an
// award again and again.
func TestWhoInformsForEverLeavesRoomForOthers(t *testing.T) {
	o, _, tip := newRewarded(t, 150_000)
	o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
	n := lastAward(t, o, tip).Number
	inform := tipbox.Act{Action: tipbox.ActionInform, Award: n}
	times := 0
	for ; times < 10; times++ {
		if err := o.TryAct("alice", tip, inform); err != nil {
			wantRule(t, err, tipbox.RuleAward)
			break
		}
	}
	if times != 5 {
		t.Errorf("informed %d times", times)
	}
	o.Act("bob", tip, inform)
	for _, name := range []string{"peter", "paula"} {
		o.Decide(name, tip, rApprove(n))
	}
}
