package tipbox_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	peters := tipbox.Act{Action: tipbox.ActionIssue, Award: n, Signatures: [][]byte{good}}
	o.Decide("peter", tip, peters)
	wantRule(t, o.TryDecide("peter", tip, peters), tipbox.RuleOtherEyes)
	if a := lastAward(t, o, tip); a.State != tipbox.AwardPayable || a.Issued != "" { // it takes two, as the award did
		t.Errorf("%+v", a)
	}
	item = onlyPayout(t, o)
	_, err = tipbox.OpenOrder(&item, o.Service.Roster())
	wantErr(t, err, tipbox.ErrNoOrder)
	wantErr(t, o.Service.Pay(ctx, penny, note, ""), tipbox.ErrNoOrder)
	if report, err := o.Service.Check(ctx); err != nil || len(report.Problems) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
	o.Issue("pia", tip, n)
	if a := lastAward(t, o, tip); a.State != tipbox.AwardPayable || a.Issued != o.Service.Today() {
		t.Errorf("%+v", a)
	}
	paulas, err := o.Key("paula").Sign(text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	wantRule(t, o.TryDecide("paula", tip, tipbox.Act{Action: tipbox.ActionIssue, Award: n, Signatures: [][]byte{paulas}}), tipbox.RuleAward) // once
	if items, _, err := o.Service.Awards(ctx, o.Member("peter"), "", 10); err != nil || len(items) != 0 {
		t.Errorf("peter is shown %+v, %v", items, err)
	}
	item = onlyPayout(t, o)
	if by, err := tipbox.OpenOrder(&item, o.Service.Roster()); err != nil || !slices.Equal(by, []string{"peter", "pia"}) || strings.Contains(item.Order, tip) {
		t.Errorf("%q, %v", by, err)
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
	header, _, _ := strings.Cut(text, "\n")
	peters, _, _ := strings.Cut(item.Order[1:], header)
	for what, spoil := range map[string]func(i *tipbox.PayoutItem){
		"more money":      func(i *tipbox.PayoutItem) { i.Amount *= 10 },
		"dearer money":    func(i *tipbox.PayoutItem) { i.Currency = "USD" },
		"its own account": func(i *tipbox.PayoutItem) { i.Sealed = own },
		"another id":      func(i *tipbox.PayoutItem) { i.ID = "aaaaaaaaaaaaaaaa" },
		"a charity":       func(i *tipbox.PayoutItem) { i.Charity, i.Sealed = "library", nil },
		"its own order":   func(i *tipbox.PayoutItem) { i.Order = string(forged) },
		"no note":         func(i *tipbox.PayoutItem) { i.Order = "x" },
		"one's order twice": func(i *tipbox.PayoutItem) {
			i.Order = i.Order[:1] + peters + i.Order[:1] + peters
		},
		"and its own": func(i *tipbox.PayoutItem) { i.Order += string(forged) },
	} {
		changed := item
		spoil(&changed)
		if _, err := tipbox.OpenOrder(&changed, o.Service.Roster()); !errors.Is(err, tipbox.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// With the help of an approver neither: no larger award than the schedule knows, and no
	// award by one where it takes two.
	help := func(spoil func(*tipbox.PayoutItem, *tipbox.PayoutOrder)) error {
		own, order := item, tipbox.PayoutOrder{Payout: item.ID, Schedule: "test", Currency: "CNY", Amount: 6_000_00, Details: "", Day: o.Service.Today()}
		own.Sealed, own.Charity, order.Charity = nil, "library", "library"
		spoil(&own, &order)
		own.Order = ""
		for _, name := range []string{"peter", "paula"} {
			text, err := json.Marshal(order)
			if err != nil {
				t.Fatal(err)
			}
			note, err := o.Key(name).Sign(header + "\n" + string(text) + "\n")
			if err != nil {
				t.Fatal(err)
			}
			if own.Order += string(note); order.Details != "" {
				break
			}
		}
		_, err := tipbox.OpenOrder(&own, o.Service.Roster())
		return err
	}
	if err := help(func(*tipbox.PayoutItem, *tipbox.PayoutOrder) {}); err != nil {
		t.Error(err)
	}
	wantErr(t, help(func(i *tipbox.PayoutItem, order *tipbox.PayoutOrder) {
		i.Sealed, i.Charity, order.Charity = own, "", ""
		sum := sha256.Sum256(own)
		order.Details = hex.EncodeToString(sum[:])
	}), tipbox.ErrNoOrder)
	for what, spoil := range map[string]func(*tipbox.PayoutItem, *tipbox.PayoutOrder){
		"over the cap":     func(i *tipbox.PayoutItem, order *tipbox.PayoutOrder) { i.Amount, order.Amount = 100_100_00, 100_100_00 },
		"of no schedule":   func(i *tipbox.PayoutItem, order *tipbox.PayoutOrder) { i.Schedule, order.Schedule = "best", "best" },
		"another currency": func(i *tipbox.PayoutItem, order *tipbox.PayoutOrder) { i.Currency, order.Currency = "USD", "USD" },
		"no multiple":      func(i *tipbox.PayoutItem, order *tipbox.PayoutOrder) { i.Amount, order.Amount = 1, 1 },
	} {
		if err := help(spoil); !errors.Is(err, tipbox.ErrInvalid) {
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

// TestAnAwardIsPaidOutOnceHoweverOftenItIsClaimed has a server keep back what approvers
// sign, and its source claim anew.
func TestAnAwardIsPaidOutOnceHoweverOftenItIsClaimed(t *testing.T) {
	o, code, tip := newRewarded(t, 150_000)
	n := grant(t, o, tip, 6_000)
	award := o.Open("alice", tip).Messages[n-1]
	note, err := o.Store.Get(ctx, store.Key("event/"+tip+"/"+fmt.Sprintf("%06d", award.Number)))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"account 7", "account 8"} {
		claim(t, o, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimDetails, Details: text})
		item := onlyPayout(t, o)
		if item.ID != payoutOf(note.Value) {
			t.Errorf("payout %s, want %s", item.ID, payoutOf(note.Value))
		}
		if _, err := o.OpenAward("peter", tip).Order(o.Key("peter").SigningKey, o.Service.Today(), n); err != nil { // and the server has it
			t.Error(err)
		}
	}

	// Nor is one ordered under another id, nor to whom nobody pays, to have others given.
	signed, _, err := openClaims(t, o, code).Claim(tipbox.Claim{Award: n, Choice: tipbox.ClaimDetails, Details: "account 9"})
	if err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(claim map[string]any){
		"another payout": func(claim map[string]any) { claim["payout"] = "aaaaaaaaaaaaaaaa" },
		"no payer":       func(claim map[string]any) { claim["payers"] = []string{strings.Repeat("0", 64)} },
	} {
		file, err := o.Service.AwardTip(ctx, o.Member("peter"), tip)
		if err != nil {
			t.Fatal(err)
		}
		file.Events = append(file.Events, tipbox.SealedEvent{Note: string(resigned(t, code, signed, func(e map[string]any) {
			spoil(e["claim"].(map[string]any))
		}))})
		opened, err := tipbox.OpenAward(file, tip, o.Key("peter"), o.Service.Roster())
		if err != nil {
			t.Fatal(what, err)
		}
		_, err = opened.Order(o.Key("peter").SigningKey, o.Service.Today(), n)
		wantRule(t, err, tipbox.RuleAward)
	}

	// Vouchers besides a payout are signed by nobody who was not told that it is well.
	vouchers, _, err := openClaims(t, o, code).Claim(tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher})
	if err != nil {
		t.Fatal(err)
	}
	file, err := o.Service.AwardTip(ctx, o.Member("peter"), tip)
	if err != nil {
		t.Fatal(err)
	}
	file.Events = append(file.Events, tipbox.SealedEvent{Note: string(vouchers)})
	opened, err := tipbox.OpenAward(file, tip, o.Key("peter"), o.Service.Roster())
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, opened.CheckIssue(n, o.Service.Today(), false), tipbox.ErrContested)
	if err := opened.CheckIssue(n, o.Service.Today(), true); err != nil {
		t.Error(err)
	}
}

// TestOrderFollowsAColleagueWhoseClockIsAhead by a day, as clocks may be.
func TestOrderFollowsAColleagueWhoseClockIsAhead(t *testing.T) {
	o, tip, n, _ := newClaimedPayout(t)
	tomorrow := o.Clock.Now().Add(aDay).Format("2006-01-02")
	note, sealed, err := o.Open("alice", tip).Act(o.Key("alice"), tomorrow, act(tipbox.ActionNote, "still here"))
	if err == nil {
		err = o.Service.Append(ctx, o.Member("alice"), tip, note, sealed)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := o.TryIssue("peter", tip, n); err != nil {
		t.Error(err)
	}
}
