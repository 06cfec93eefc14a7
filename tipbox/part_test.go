package tipbox_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// part makes a part of an award, of so many yuan.
func part(t testing.TB, o *tipboxtest.Org, code *receipt.Code, n, index int, yuan int64) *receipt.Code {
	t.Helper()
	made, err := o.Service.Part(ctx, code, n, index, yuan*100)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func thread(t testing.TB, o *tipboxtest.Org, code *receipt.Code) *tipbox.Thread {
	t.Helper()
	got, err := o.Service.Thread(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func worth(o *tipboxtest.Org, vouchers []*voucher.Voucher) (sum int64) {
	for _, v := range vouchers {
		sum += o.Service.Roster().Denomination(v.Denomination()).Amount
	}
	return sum
}

// TestJointTipIsClaimedInTwo has two who sent a tip together claim a share each.
func TestJointTipIsClaimedInTwo(t *testing.T) {
	o, code, tip, n := newGranted(t)
	o.Reply("alice", tip, "Thank you. "+tipboxtest.Canary)
	other := part(t, o, code, n, 1, 2_000)
	if again := part(t, o, code, n, 1, 2_000); again.Digits() != other.Digits() {
		t.Error("made twice, it has another code")
	}

	// The first sees what is left, and of the part how far it is.
	mine := thread(t, o, code)
	if len(mine.Awards) != 1 || mine.Awards[0].Amount != 4_000_00 || len(mine.Awards[0].Parts) != 1 || mine.Awards[0].NextPart != 2 {
		t.Fatalf("the first sees %+v", mine.Awards)
	}
	shown := mine.Awards[0].Parts[0]
	if shown.Amount != 2_000_00 || shown.State != tipbox.AwardGranted || shown.ClaimBy != "2027-02-20" {
		t.Errorf("the first sees of the part %+v", shown)
	}
	if again, err := o.Service.PartCode(ctx, code, shown.Number); err != nil || again.Digits() != other.Digits() {
		t.Errorf("the code again: %v", err)
	}

	// The other sees the part, and nothing else of the tip.
	theirs := thread(t, o, other)
	awards := theirs.Awards
	theirs.Awards = nil
	if len(awards) != 1 || awards[0].Amount != 2_000_00 || awards[0].Number != shown.Number || awards[0].Parts != nil || awards[0].NextPart != 0 {
		t.Errorf("the other sees %+v", awards)
	}
	if doc, _ := json.Marshal(theirs); theirs.Part != shown.Number || theirs.Channel+theirs.Day+string(theirs.State)+theirs.AcknowledgeBy != "" || theirs.Messages != nil {
		t.Errorf("the other sees %s", doc)
	}

	// Each claims their own, and not the other's.
	for who, err := range map[string]error{
		"the first, of the part":        o.Service.Claim(ctx, code, tipbox.Claim{Award: shown.Number, Choice: tipbox.ClaimWaive}),
		"the other, of what is left":    o.Service.Claim(ctx, other, tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive}),
		"a part of a part":              fails(o.Service.Part(ctx, other, shown.Number, 1, 100_00)),
		"a part of the rest, by a part": fails(o.Service.Part(ctx, other, n, 2, 100_00)),
		"the code of a part, by a part": fails(o.Service.PartCode(ctx, other, shown.Number)),
		"an appeal":                     o.Service.Appeal(ctx, other, shown.Number, "en", "but"),
	} {
		if !errors.Is(err, tipbox.ErrClaim) && !errors.Is(err, tipbox.ErrNoThread) {
			t.Errorf("%s: %v", who, err)
		}
	}
	if _, err := o.Service.Reopen(ctx, other); !errors.Is(err, tipbox.ErrNoThread) {
		t.Errorf("the other writes into the thread: %v", err)
	}
	wantErr(t, o.Service.EraseOwn(ctx, other), tipbox.ErrNoThread)
	for _, c := range []struct {
		code   *receipt.Code
		number int
		claim  tipbox.Claim
	}{
		{other, shown.Number, tipbox.Claim{Choice: tipbox.ClaimVoucher}},
		{code, n, tipbox.Claim{Choice: tipbox.ClaimDetails, Details: "account 7 of " + tipboxtest.Canary}},
	} {
		c.claim.Award = c.number
		for range 2 {
			if err := o.Service.Claim(ctx, c.code, c.claim); err != nil {
				t.Fatal(err)
			}
		}
		o.Issue("pia", tip, c.number)
	}
	vouchers, err := o.Service.Vouchers(ctx, other, shown.Number)
	if err != nil || worth(o, vouchers) != 2_000_00 {
		t.Errorf("vouchers of %d, %v", worth(o, vouchers), err)
	}
	if _, err := o.Service.Vouchers(ctx, code, shown.Number); !errors.Is(err, tipbox.ErrClaim) {
		t.Errorf("the first gets the vouchers of the part: %v", err)
	}
	page, err := o.Service.Payouts(ctx, o.Member("penny"), false, "", 10)
	if err != nil || len(page.Items) != 1 || page.Items[0].Amount != 4_000_00 {
		t.Errorf("payouts %+v, %v", page, err)
	}
	wantErr(t, fails(o.Service.Part(ctx, code, n, 2, 100_00)), tipbox.ErrClaim)

	// All who check the case agree.
	for name, opened := range map[string]*tipbox.OpenedTip{"alice": o.Open("alice", tip), "peter": o.OpenAward("peter", tip)} {
		if len(opened.Faults) > 0 || len(opened.Case.Awards) != 2 || opened.Case.Awards[1].Of != n || opened.Case.Awards[1].State != tipbox.AwardIssued {
			t.Errorf("%s sees %+v, faults %q", name, opened.Case.Awards, opened.Faults)
		}
	}
	a, err := o.Service.Accounts(ctx, o.Member("peter"), "2026-11", "2026-11")
	if err != nil || a.Validate() != nil || a.Awards[0].Awarded != (tipbox.Sum{Count: 2, Amount: 6_000_00}) || a.Awards[0].Claimed.Amount != 6_000_00 {
		t.Errorf("the accounts: %+v, %v", a, err)
	}

	// What is awarded later counts each award once.
	collect(o, tip, 50_000)
	o.Act("alice", tip, award(200_000, 2_000, 2_000, 400))
	if err := o.Open("alice", tip).CheckAward(n); err != nil {
		t.Errorf("the first award: %v", err)
	}
}

func fails(_ *receipt.Code, err error) error { return err }

func TestAppealIsNotClosedByAPartOfAnEarlierAward(t *testing.T) {
	o, code, tip, n := newGranted(t)
	collect(o, tip, 50_000)
	o.Act("alice", tip, award(200_000, 2_000, 2_000, 400))
	more := lastAward(t, o, tip).Number
	o.Decide("peter", tip, tipbox.Act{Action: tipbox.ActionRefuse, Award: more, Text: "no"})
	part(t, o, code, n, 1, 2_000)
	if err := o.Service.Appeal(ctx, code, more, "en", "but"); err != nil {
		t.Error(err)
	}
}

func TestPartsThatCannotBe(t *testing.T) {
	o, code, tip, n := newGranted(t)
	part(t, o, code, n, 1, 1_000)
	for name, p := range map[string]struct {
		award, index int
		amount       int64
	}{
		"all that is left":    {n, 2, 5_000_00},
		"more than is left":   {n, 2, 5_100_00},
		"more than ever was":  {n, 2, 1 << 60},
		"nothing":             {n, 2, 0},
		"less than nothing":   {n, 2, -100_00},
		"no multiple":         {n, 2, 150_00},
		"another first one":   {n, 1, 1_100_00},
		"the one after next":  {n, 3, 100_00},
		"no index":            {n, 0, 100_00},
		"of no award":         {n + 1, 2, 100_00},
		"of an award to come": {n + 40, 1, 100_00},
		"of award 0":          {0, 1, 100_00},
	} {
		if err := fails(o.Service.Part(ctx, code, p.award, p.index, p.amount)); !errors.Is(err, tipbox.ErrClaim) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantErr(t, fails(o.Service.Part(ctx, receipt.New(), n, 2, 100_00)), tipbox.ErrNoThread)
	for i := 2; i <= tipbox.MaxParts; i++ {
		part(t, o, code, n, i, 100)
	}
	wantErr(t, fails(o.Service.Part(ctx, code, n, tipbox.MaxParts+1, 100_00)), tipbox.ErrClaim)
	collect(o, tip, 50_000)
	o.Act("alice", tip, award(200_000, 2_000, 2_000, 400))
	more := lastAward(t, o, tip).Number
	for _, name := range []string{"peter", "paula"} {
		o.Decide(name, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: more})
	}
	wantErr(t, fails(o.Service.Part(ctx, code, more, 1, 100_00)), tipbox.ErrClaim)
	mine := thread(t, o, code).Awards[0]
	if mine.NextPart != 0 || mine.Amount != 3_100_00 {
		t.Errorf("with all parts that can be: %+v", mine)
	}

	// Not after the window, for whoever has which code; nor after the claim.
	first := mine.Parts[0]
	o.Clock.Advance(91 * aDay)
	wantErr(t, o.Service.Claim(ctx, fetch(t, o, code, first.Number), tipbox.Claim{Award: first.Number, Choice: tipbox.ClaimWaive}), tipbox.ErrClaim)
	o.Clock.Advance(-91 * aDay)
	if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive}); err != nil {
		t.Fatal(err)
	}
	if got := thread(t, o, code).Awards[0]; got.NextPart != 0 || len(got.Parts) != tipbox.MaxParts {
		t.Errorf("after the claim: %+v", got)
	}
	o.Clock.Advance(91 * aDay)
	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionErase})
}

func fetch(t *testing.T, o *tipboxtest.Org, code *receipt.Code, number int) *receipt.Code {
	t.Helper()
	made, err := o.Service.PartCode(ctx, code, number)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestNoPartAfterTheWindow(t *testing.T) {
	o, code, _, n := newGranted(t)
	o.Clock.Advance(91 * aDay)
	wantErr(t, fails(o.Service.Part(ctx, code, n, 1, 100_00)), tipbox.ErrClaim)
}

// TestPartsAndClaimsAtOnceGiveAwayNothingTwice has several do it in the same moment.
func TestPartsAndClaimsAtOnceGiveAwayNothingTwice(t *testing.T) {
	o, code, tip, n := newGranted(t)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			err := fails(o.Service.Part(ctx, code, n, 1, int64(i%2+1)*1_000_00))
			if err != nil && !errors.Is(err, tipbox.ErrClaim) && !errors.Is(err, tipbox.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Go(func() {
		if err := o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err != nil && !errors.Is(err, tipbox.ErrConflict) {
			t.Error(err)
		}
	})
	wg.Wait()
	var sum int64
	awards := o.Open("alice", tip).Case.Awards
	for _, a := range awards {
		sum += a.Terms.Amount
		if a.Claim == nil {
			continue
		}
		var asked int64
		for _, r := range a.Claim.Requests {
			asked += o.Service.Roster().Denomination(r.Denomination).Amount
		}
		if asked != a.Terms.Amount {
			t.Errorf("vouchers of %d of award %+v", asked, a)
		}
	}
	if sum != 6_000_00 || len(awards) > 2 {
		t.Errorf("awards of %d: %+v", sum, awards)
	}
}

// TestNobodyClaimsWithAnothersKey has a server that was taken over show entries that
// the wrong key has signed: the members' tools refuse them.
func TestNobodyClaimsWithAnothersKey(t *testing.T) {
	o, code, tip, n := newGranted(t)
	other := part(t, o, code, n, 1, 2_000)
	number := lastAward(t, o, tip).Number
	third := code.Part(n, 2)
	claims := openClaims(t, o, other)
	waive, _, err := claims.Claim(tipbox.Claim{Award: number, Choice: tipbox.ClaimWaive})
	if err != nil {
		t.Fatal(err)
	}
	rest, _, err := openClaims(t, o, code).Claim(tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive})
	if err != nil {
		t.Fatal(err)
	}
	same := func(map[string]any) {}
	key, err := roster.SigningKeyFrom(tipbox.SourceName, third.SigningKey())
	if err != nil {
		t.Fatal(err)
	}
	makePart := func(amount int64) func(map[string]any) {
		return func(e map[string]any) {
			delete(e, "claim")
			e["action"], e["award"] = "part", n
			e["part"] = map[string]any{"index": 2, "amount": amount, "verifier": key.Verifier(), "box": strings.Repeat("a", 64)}
		}
	}
	message := func(e map[string]any) {
		delete(e, "claim")
		delete(e, "award")
		e["action"], e["sealed"] = "message", strings.Repeat("a", 64)
	}
	show := func(note []byte) (*tipbox.OpenedTip, error) {
		file, err := o.Service.Tip(ctx, o.Member("alice"), tip)
		if err != nil {
			t.Fatal(err)
		}
		file.Events = append(file.Events, tipbox.SealedEvent{Note: string(note)})
		return tipbox.OpenTip(file, tip, o.Key("alice"), o.Service.Roster())
	}
	for name, note := range map[string][]byte{
		"the part, by the tip's key":     resigned(t, code, waive, same),
		"the part, by a stranger":        resigned(t, receipt.New(), waive, same),
		"the part, by the next part":     resigned(t, third, waive, same),
		"what is left, by the part":      resigned(t, other, rest, same),
		"a part, made by a part":         resigned(t, other, waive, makePart(100_00)),
		"a part, made by a stranger":     resigned(t, third, waive, makePart(100_00)),
		"a message, written by the part": resigned(t, other, waive, message),
	} {
		if _, err := show(note); !errors.Is(err, tipbox.ErrInvalid) {
			t.Errorf("%s: the investigator's tool says %v", name, err)
		}
		for _, locator := range [][32]byte{code.Locator(), other.Locator()} {
			if err := o.Service.ClaimSigned(ctx, locator, note, nil); err == nil {
				t.Errorf("%s: the server takes it", name)
			}
		}
	}
	// What is signed rightly and is against a rule is void.
	for name, note := range map[string][]byte{
		"a part above what is left": resigned(t, code, waive, makePart(4_000_00)),
		"a part of a part": resigned(t, code, waive, func(e map[string]any) {
			makePart(100_00)(e)
			e["award"], e["part"].(map[string]any)["index"] = number, 1
		}),
		"with a key that is another's": resigned(t, code, waive, func(e map[string]any) {
			makePart(100_00)(e)
			e["part"].(map[string]any)["verifier"] = o.Open("alice", tip).Case.Awards[1].Part.Verifier
		}),
		"with the tip's own key": resigned(t, code, waive, func(e map[string]any) {
			makePart(100_00)(e)
			own, err := roster.SigningKeyFrom(tipbox.SourceName, code.SigningKey())
			if err != nil {
				t.Fatal(err)
			}
			e["part"].(map[string]any)["verifier"] = own.Verifier()
		}),
	} {
		opened, err := show(note)
		if err != nil || len(opened.Faults) == 0 || len(opened.Case.Awards) != 2 || opened.Case.Awards[0].Terms.Amount != 4_000_00 {
			t.Errorf("%s: %+v, %v", name, opened, err)
		}
	}
	// The right ones, once.
	for range 2 {
		if err := o.Service.ClaimSigned(ctx, other.Locator(), waive, nil); err != nil {
			t.Fatal(err)
		}
	}
	if opened, err := show(waive); err == nil {
		t.Errorf("the same claim twice in the list: %+v", opened.Faults)
	}
	wantErr(t, o.Service.ClaimSigned(ctx, code.Locator(), rest, nil), tipbox.ErrConflict)
}

// TestOwnToolClaimsAPart is `tipbox claim` with the code of a part.
func TestOwnToolClaimsAPart(t *testing.T) {
	o, code, tip, n := newGranted(t)
	other := part(t, o, code, n, 1, 2_000)
	number := lastAward(t, o, tip).Number
	if mine := openClaims(t, o, code); len(mine.Awards) != 1 || mine.Awards[0].Amount != 4_000_00 {
		t.Errorf("the first's tool sees %+v", mine.Awards)
	}
	file := func() *tipbox.ClaimFile {
		t.Helper()
		file, err := o.Service.Claims(ctx, other.Locator())
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	claims := openClaims(t, o, other)
	if len(claims.Awards) != 1 || claims.Awards[0].Number != number || claims.Awards[0].Amount != 2_000_00 {
		t.Fatalf("the other's tool sees %+v", claims.Awards)
	}
	note, details, err := claims.Claim(tipbox.Claim{Award: number, Choice: tipbox.ClaimVoucher})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Service.ClaimSigned(ctx, other.Locator(), note, details); err != nil {
		t.Fatal(err)
	}
	o.Issue("pia", tip, number)
	vouchers, err := openClaims(t, o, other).Vouchers(number)
	if err != nil || worth(o, vouchers) != 2_000_00 {
		t.Fatal(worth(o, vouchers), err)
	}
	again, err := o.Service.Vouchers(ctx, other, number)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range vouchers {
		if v.Text() != again[i].Text() {
			t.Error("the page makes another voucher")
		}
	}
	// The tool believes no part that the tip's source has not made for its code.
	second := part(t, o, code, n, 2, 1_000)
	theirs, err := o.Service.Claims(ctx, second.Locator())
	if err != nil {
		t.Fatal(err)
	}
	for name, lie := range map[string]func(*tipbox.ClaimFile){
		"another's":      func(f *tipbox.ClaimFile) { f.Part = theirs.Part },
		"no part":        func(f *tipbox.ClaimFile) { f.Part = "" },
		"another source": func(f *tipbox.ClaimFile) { f.Source = "source+00000000+AAAA" },
		"a changed part": func(f *tipbox.ClaimFile) { f.Part = strings.Replace(f.Part, "200000", "300000", 1) },
		"another amount": func(f *tipbox.ClaimFile) { f.Awards[0].Amount = 3_000_00 },
		"another award":  func(f *tipbox.ClaimFile) { f.Awards[0].Number = n },
		"an award more": func(f *tipbox.ClaimFile) {
			f.Awards = append([]tipbox.ClaimLine{{Number: 1, Schedule: "test", Currency: "CNY", Amount: 1}}, f.Awards...)
		},
		"another tip":         func(f *tipbox.ClaimFile) { f.Tip = strings.Repeat("a", 16) },
		"a note of an entry":  func(f *tipbox.ClaimFile) { f.Part = string(note) },
		"a part of the other": func(f *tipbox.ClaimFile) { *f = *theirs },
	} {
		f := file()
		lie(f)
		if _, err := tipbox.OpenClaims(f, other, o.Root.Verifier(), "2026-11-22"); err == nil {
			t.Errorf("%s: believed", name)
		}
	}
}

// TestErasureTakesTheCodesOfPartsAway has them look like codes never given out.
func TestErasureTakesTheCodesOfPartsAway(t *testing.T) {
	o, code, tip, n := newGranted(t)
	codes := []*receipt.Code{code}
	for i := range 3 {
		codes = append(codes, part(t, o, code, n, i+1, 1_000))
	}
	for _, c := range codes[:2] {
		if err := o.Service.Claim(ctx, c, tipbox.Claim{Award: thread(t, o, c).Awards[0].Number, Choice: tipbox.ClaimWaive}); err != nil {
			t.Fatal(err)
		}
	}
	wantRule(t, o.TryAct("alice", tip, tipbox.Act{Action: tipbox.ActionErase}), tipbox.RuleAward) // two parts are open
	o.Clock.Advance(91 * aDay)
	before, err := o.Service.Accounts(ctx, o.Member("peter"), "2026-11", "2027-02")
	if err != nil {
		t.Fatal(err)
	}
	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionErase})
	after, err := o.Service.Accounts(ctx, o.Member("peter"), "2026-11", "2027-02")
	if err != nil || string(encoded(t, before)) != string(encoded(t, after)) {
		t.Errorf("the accounts were\n%+v and are\n%+v, %v", before, after, err)
	}
	for i, c := range codes {
		if _, err := o.Service.Thread(ctx, c); !errors.Is(err, tipbox.ErrNoThread) {
			t.Errorf("code %d: %v", i, err)
		}
		if _, err := o.Service.Claims(ctx, c.Locator()); !errors.Is(err, tipbox.ErrNoThread) {
			t.Errorf("code %d, by the tool: %v", i, err)
		}
	}
	for name := range o.Stored() {
		if strings.HasPrefix(name, "record box/") {
			t.Errorf("there is still %s", name)
		}
	}
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	doc, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestCheckNamesADamagedMailboxOfAPart(t *testing.T) {
	for _, gone := range []bool{false, true} {
		damaged := &damagedStore{Store: mem.New()}
		o := tipboxtest.New(t, tipboxtest.Config{Store: damaged})
		o.Rewards()
		code := o.Submit("They keep a second book.")
		tip := o.Inbox("alice")[0].Tip
		closeCase(o, tip)
		collect(o, tip, 150_000)
		o.Act("alice", tip, award(150_000, 6_000, 6_000, 400))
		n := lastAward(t, o, tip).Number
		for _, name := range []string{"peter", "paula"} {
			o.Decide(name, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: n})
		}
		other := part(t, o, code, n, 1, 2_000)
		box := store.Key("box/" + lastAward(t, o, tip).Part.Box)
		check := func(want string) {
			t.Helper()
			report, err := o.Service.Check(ctx)
			if err != nil || !strings.Contains(strings.Join(report.Problems, "\n"), want) || want == "" && len(report.Problems) > 0 {
				t.Errorf("%q, %v, want %q", report.Problems, err, want)
			}
		}
		check("")
		damaged.key, damaged.gone = box, gone
		check(string(box))
		if _, err := o.Service.Thread(ctx, code); err != nil {
			t.Errorf("the thread: %v", err)
		}
		if _, err := o.Service.Thread(ctx, other); err == nil {
			t.Error("the part is shown without its mailbox")
		}
		damaged.key, damaged.gone = "", false
		was, err := o.Store.Get(ctx, box)
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{tip, tip + "/000001", tip + "/x", "aaaaaaaaaaaaaaaa/000001"} {
			if err := o.Store.Apply(ctx, store.Put(box, []byte(value))); err != nil {
				t.Fatal(err)
			}
			check("mailbox")
		}
		if err := o.Store.Apply(ctx, store.Put(box, was.Value), store.Put("box/"+store.Key(strings.Repeat("a", 64)), was.Value)); err != nil {
			t.Fatal(err)
		}
		check("another mailbox")
		if err := o.Store.Apply(ctx, store.Delete("box/"+store.Key(strings.Repeat("a", 64)))); err != nil {
			t.Fatal(err)
		}
		check("")
	}
}

// TestLostEntriesOfPartsHideNothingElse loses the entry that made a part: the claim of
// it counts no more, nobody claims or shares what was left, and all else is there.
func TestLostEntriesOfPartsHideNothingElse(t *testing.T) {
	o, code, tip, n := newGranted(t)
	first, second := part(t, o, code, n, 1, 1_000), part(t, o, code, n, 2, 2_000)
	for _, c := range []*receipt.Code{first, second} {
		if err := o.Service.Claim(ctx, c, tipbox.Claim{Award: thread(t, o, c).Awards[0].Number, Choice: tipbox.ClaimVoucher}); err != nil {
			t.Fatal(err)
		}
	}
	lost := thread(t, o, first).Part
	o.Issue("pia", tip, lost+1)
	o.Tolerate("tip ")
	rLose(t, o, tip, lost)
	opened := o.Open("alice", tip)
	if claim := opened.Messages[lost+1]; claim.Void == "" || claim.Action != tipbox.ActionClaim {
		t.Errorf("the claim of what is lost: %+v", claim)
	}
	if vouchers, err := o.Service.Vouchers(ctx, second, lost+1); err != nil || worth(o, vouchers) != 2_000_00 {
		t.Errorf("the other part's vouchers: %v", err)
	}
	if _, err := o.Service.Thread(ctx, first); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("the part of which the entry is lost: %v", err)
	}
	wantErr(t, fails(o.Service.Part(ctx, code, n, 3, 100_00)), tipbox.ErrClaim)
	wantErr(t, o.Service.Claim(ctx, code, tipbox.Claim{Award: n, Choice: tipbox.ClaimWaive}), tipbox.ErrClaim)
	wantErr(t, o.Service.Claim(ctx, first, tipbox.Claim{Award: lost, Choice: tipbox.ClaimWaive}), tipbox.ErrClaim)
	wantRule(t, o.TryAct("alice", tip, tipbox.Act{Action: tipbox.ActionErase}), tipbox.RuleAward)
}

// TestNoPartWhereAnEntryIsLost is of one that is lost before the award: the record of
// the tip could not be told of the part.
func TestNoPartWhereAnEntryIsLost(t *testing.T) {
	o, code, tip, n := newGranted(t)
	rLose(t, o, tip, 2)
	wantErr(t, fails(o.Service.Part(ctx, code, n, 1, 100_00)), tipbox.ErrClaim)
}

// TestHoldGivesPartsTheirDaysBack has one made before a hold, and one during it.
func TestHoldGivesPartsTheirDaysBack(t *testing.T) {
	o, code, tip, n := newGranted(t)
	o.Clock.Advance(10 * aDay)
	codes := []*receipt.Code{code, part(t, o, code, n, 1, 1_000)}
	o.Act("alice", tip, act(tipbox.ActionHold, "a court"))
	o.Clock.Advance(10 * aDay)
	codes = append(codes, part(t, o, code, n, 2, 1_000))
	o.Act("alice", tip, act(tipbox.ActionRelease, ""))
	for i, c := range append(codes, part(t, o, code, n, 3, 1_000)) {
		if got := thread(t, o, c).Awards[0].ClaimBy; got != "2027-03-02" {
			t.Errorf("code %d can be claimed until %s", i, got)
		}
	}
}

// TestPartsOfAnAwardComeToIt splits and claims at random.
func TestPartsOfAnAwardComeToIt(t *testing.T) {
	type holder struct {
		code    *receipt.Code
		number  int
		amount  int64
		claimed string
	}
	shortRapid(t, "3", "40")
	rapid.Check(t, func(rt *rapid.T) {
		o, code, tip, n := newGranted(t)
		holders := []*holder{{code: code, number: n, amount: 6_000_00}}
		rt.Repeat(map[string]func(*rapid.T){
			"part": func(rt *rapid.T) {
				of := rapid.SampledFrom(holders).Draw(rt, "of")
				amount := rapid.Int64Range(-1, 70).Draw(rt, "hundreds") * 100_00
				amount += rapid.SampledFrom([]int64{0, 0, 0, 1}).Draw(rt, "more")
				made, err := o.Service.Part(ctx, of.code, of.number, len(holders), amount)
				may := of == holders[0] && of.claimed == "" && amount > 0 && amount%100_00 == 0 && amount < of.amount && len(holders) <= tipbox.MaxParts
				if may != (err == nil) || !may && !errors.Is(err, tipbox.ErrClaim) {
					rt.Fatalf("a part of %d of %+v: %v", amount, of, err)
				}
				if may {
					of.amount -= amount
					holders = append(holders, &holder{code: made, number: lastAward(t, o, tip).Number, amount: amount})
				}
			},
			"claim": func(rt *rapid.T) {
				by, of := rapid.SampledFrom(holders).Draw(rt, "by"), rapid.SampledFrom(holders).Draw(rt, "of")
				choice := rapid.SampledFrom([]string{tipbox.ClaimVoucher, tipbox.ClaimDetails, tipbox.ClaimCharity, tipbox.ClaimWaive}).Draw(rt, "choice")
				err := o.Service.Claim(ctx, by.code, tipbox.Claim{Award: of.number, Choice: choice, Details: "here", Charity: "library"})
				replaced := of.claimed == tipbox.ClaimDetails && choice != tipbox.ClaimWaive
				may := by == of && (of.claimed == "" || of.claimed == choice || replaced)
				if may != (err == nil) || !may && !errors.Is(err, tipbox.ErrClaim) {
					rt.Fatalf("%+v claims %+v: %v", by, of, err)
				}
				if may && of.claimed != choice {
					of.claimed = choice
					if choice == tipbox.ClaimVoucher {
						o.IssueUncontested("pia", tip, of.number)
					}
				}
			},
			"": func(rt *rapid.T) {
				awards := o.Open("alice", tip).Case.Awards
				var sum, paid int64
				for i, h := range holders {
					if awards[i].Number != h.number || awards[i].Terms.Amount != h.amount {
						rt.Fatalf("award %+v, want %+v", awards[i], h)
					}
					sum += h.amount
					if h.claimed == tipbox.ClaimVoucher {
						vouchers, err := o.Service.Vouchers(ctx, h.code, h.number)
						if err != nil || worth(o, vouchers) != h.amount {
							rt.Fatalf("vouchers of %d for %+v, %v", worth(o, vouchers), h, err)
						}
						paid += h.amount
					}
				}
				page, err := o.Service.Payouts(ctx, o.Member("penny"), true, "", 100)
				if err != nil {
					rt.Fatal(err)
				}
				for _, item := range page.Items {
					paid += item.Amount
				}
				if sum != 6_000_00 || paid > sum || len(awards) != len(holders) {
					rt.Fatalf("awards of %d, paid %d: %+v", sum, paid, awards)
				}
			},
		})
		if codes := len(slices.CompactFunc(slices.Clone(holders), func(a, b *holder) bool { return a.code.Digits() == b.code.Digits() })); codes != len(holders) {
			rt.Fatal("two parts have one code")
		}
	})
}
