package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/tyler-smith/go-bip39/wordlists"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
	"tipbox/tipbox/tipboxtest"
)

// newPayers is a bench with rewards.
func newPayers(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, tipboxtest.Config{})
	b.Rewards()
	return b
}

// voucher is one of a denomination, the same for the same number.
func (b *bench) voucher(denomination string, n byte) *voucher.Voucher {
	b.t.Helper()
	d := b.Service.Roster().Denomination(denomination)
	return b.made(*d, denomination, b.Root.Verifier(), n)
}

// made is a voucher that was signed with some issuing key.
func (b *bench) made(d voucher.Denomination, key, organisation string, n byte) *voucher.Voucher {
	b.t.Helper()
	issuing := tipboxtest.IssuingKey(b.t, key)
	d.Key = issuing.Public()
	request, err := voucher.Blind(d, [32]byte{n}, organisation)
	if err != nil {
		b.t.Fatal(err)
	}
	signature, err := issuing.Sign(request.Blinded)
	if err != nil {
		b.t.Fatal(err)
	}
	v, err := request.Finish(signature)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *bench) file(text string) string {
	b.t.Helper()
	name := filepath.Join(b.t.TempDir(), "vouchers.txt")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return name
}

// typed runs the tool with a standard input.
func (b *bench) typed(member, input string, args ...string) (status int, stdout, stderr string) {
	b.t.Helper()
	var out, errs bytes.Buffer
	status = run(context.Background(), append([]string{"--home", b.home(member)}, args...), strings.NewReader(input), &out, &errs)
	return status, out.String(), errs.String()
}

// begun are the payments that were begun and not answered.
func (b *bench) begun(member string) (names []string) {
	b.t.Helper()
	entries, err := os.ReadDir(filepath.Join(b.home(member), paymentsFolder))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestVoucherIsPaidInEveryForm(t *testing.T) {
	b := newPayers(t)
	for i, form := range []func(*voucher.Voucher) string{
		(*voucher.Voucher).Text, (*voucher.Voucher).Compact, (*voucher.Voucher).Digits,
		func(v *voucher.Voucher) string { return v.Words(wordlists.English) },
		func(v *voucher.Voucher) string { return v.Words(wordlists.ChineseSimplified) },
		func(v *voucher.Voucher) string {
			return "\uFEFF" + strings.ReplaceAll(strings.ToLower(v.Text()), "\n", "\r\n\r\n")
		},
	} {
		v := b.voucher("cny-1000", byte(i))
		text := form(v)
		if out := b.ok("penny", "pay", "--check", text); !strings.Contains(out, "GENUINE\n  what     voucher cny-1000\n  amount   1000.00 CNY\n  number   "+v.SpentKey()[:8]) {
			t.Errorf("form %d is checked as\n%s", i, out)
		}
		var out string
		switch i % 3 {
		case 0:
			out = b.ok("penny", "pay", "-f", b.file(text))
		case 1:
			out = b.ok("penny", append([]string{"pay"}, strings.Fields(text)...)...)
		case 2:
			status, stdout, stderr := b.typed("penny", text, "pay", "-")
			if out = stdout; status != exitDone {
				t.Fatal(stderr)
			}
		}
		want := fmt.Sprintf("PAID\n  what     voucher cny-1000\n  amount   1000.00 CNY\n  day      %s\n  payer    penny\n  number   %s\n\n", today(), v.SpentKey()[:8])
		if out != want {
			t.Errorf("form %d: the receipt is\n%s", i, out)
		}
		if again := v.SpentKey()[:12]; strings.Contains(out, again) {
			t.Error("a receipt leads to its voucher")
		}
		// Again, on the same day by the same payer.
		status, stdout, stderr := b.tipbox("penny", "pay", text)
		if status != exitFailed || stdout != "" || !strings.Contains(stderr, "already paid, on "+today()+" by penny\nHand nothing out") {
			t.Errorf("form %d again: status %d, %s%s", i, status, stdout, stderr)
		}
	}
	if begun := b.begun("penny"); len(begun) > 0 {
		t.Errorf("left behind: %v", begun)
	}
	var r struct {
		State, Number, Denomination, Currency, Day, Payer string
		Amount                                            int64
	}
	if err := json.Unmarshal([]byte(b.ok("penny", "--json", "pay", b.voucher("cny-100", 9).Compact())), &r); err != nil || r.State != "paid" || r.Amount != 10_000 || r.Payer != "penny" || r.Day != today() {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCheckAsksNobody(t *testing.T) {
	b := newPayers(t)
	v := b.voucher("cny-1000", 1)
	home := b.home("penny")
	if err := os.Remove(filepath.Join(home, "member.key")); err != nil { // nor does it take a key
		t.Fatal(err)
	}
	before := b.connections.Load()
	status, _, stderr := b.tipbox("penny", "pay", "--check", v.Compact())
	if status != exitDone || !strings.Contains(stderr, "only the desk can tell") || b.connections.Load() != before {
		t.Errorf("status %d: %s", status, stderr)
	}
	d := *b.Service.Roster().Denomination("cny-1000")
	unknown := d
	unknown.ID = "cny-2000"
	for what, c := range map[string]struct{ text, word, hint string }{
		"forged":       {b.made(d, "cny-100", b.Root.Verifier(), 1).Text(), "forged or altered", "who have the issuing keys"},
		"altered":      {strings.Replace(v.Compact(), "VOUCHER:", "VOUCHER:2", 1), "typing error", "Compare that line"},
		"organisation": {b.made(d, "cny-1000", b.Server.Verifier(), 1).Text(), "of another organisation", "must go there"},
		"denomination": {b.made(unknown, "cny-1000", b.Root.Verifier(), 1).Text(), "denomination cny-2000", "tipbox issuer list"},
		"something":    {"hello", "not a voucher", "tipbox pay -f FILE"},
	} {
		for _, args := range [][]string{{"pay", "--check", c.text}, {"pay", "--check", "-f", b.file(c.text)}} {
			status, stdout, stderr := b.tipbox("penny", args...)
			if status != exitFailed || stdout != "" || !strings.Contains(stderr, c.word) || !strings.Contains(stderr, c.hint) {
				t.Errorf("%s: status %d, %s%s", what, status, stdout, stderr)
			}
		}
	}
}

// TestBadVouchersAreToldApartAtTheCounter where the days of denominations differ too.
func TestBadVouchersAreToldApartAtTheCounter(t *testing.T) {
	b := newPayers(t)
	v := b.voucher("cny-1000", 1)
	over, early := *b.Service.Roster().Denomination("cny-1000"), *b.Service.Roster().Denomination("cny-100")
	over.Until, early.Since = inDays(-1), inDays(3)
	b.SetDenominations(over, early)
	b.fails("penny", exitFailed, "has expired\nHand nothing out. It is genuine", "pay", v.Compact())
	b.fails("penny", exitFailed, "not valid yet\nHand nothing out. Its bearer must come again", "pay", b.voucher("cny-100", 1).Compact())
	b.fails("penny", exitUsage, "give a voucher", "pay")
	b.fails("penny", exitUsage, "choose one", "pay", "--list", "x")
	b.fails("penny", exitUsage, "choose one", "pay", "--payout", "x", "--check")
	b.fails("penny", exitUsage, "the file that it is in", "pay", "x", "-f", b.file("x"))
	b.fails("penny", exitUsage, "there is no voucher in it", "pay", "-f", b.file(" \n"))
	b.fails("penny", exitFailed, "no text", "pay", "-f", b.file("\xff"))
	b.fails("penny", exitUsage, "no payout's name", "pay", "--payout", "../x")
	b.fails("penny", exitFailed, "tipbox payouts", "pay", "--payout", "aaaaaaaaaaaaaaaa")
	over.Until = inDays(0)
	b.SetDenominations(over)
	b.fails("peter", exitFailed, "role payer", "pay", v.Compact())
	b.fails("alice", exitFailed, "role payer", "payouts")
	b.fails("alice", exitFailed, "role payer", "pay", "--list")
	if begun := append(b.begun("peter"), b.begun("penny")...); len(begun) > 0 {
		t.Errorf("left behind: %v", begun)
	}
	b.ok("penny", "pay", v.Compact()) // on its last day
}

func TestSeveralVouchersArePaidOneByOne(t *testing.T) {
	b := newPayers(t)
	d := *b.Service.Roster().Denomination("cny-1000")
	forged := b.made(d, "cny-100", b.Root.Verifier(), 1)
	marked := "Your vouchers:\n\n" + b.voucher("cny-1000", 1).Text() + "\n" + forged.Text() + b.voucher("cny-100", 2).Text() + b.voucher("cny-1000", 1).Text() + b.voucher("cny-100", 3).Compact()
	status, stdout, stderr := b.tipbox("penny", "pay", "-f", b.file(marked))
	if status != exitFailed || strings.Count(stdout, "PAID\n") != 3 ||
		!strings.Contains(stdout, "NO. 2 IS NOT GOOD: voucher: not signed by the issuing key") || !strings.Contains(stdout, "NO. 4 IS NOT GOOD: already paid") {
		t.Errorf("status %d:\n%s", status, stdout)
	}
	for _, word := range []string{"Paid together: 1200.00 CNY", "paid: 3 of 5"} {
		if !strings.Contains(stderr, word) {
			t.Errorf("no %q in %s", word, stderr)
		}
	}
	blank := b.voucher("cny-1000", 4).Digits() + "\n \n" + b.voucher("cny-10000", 5).Digits() + "\n\n" + b.voucher("cny-100", 6).Words(wordlists.English)
	if out := b.ok("penny", "pay", "-f", b.file(blank)); strings.Count(out, "PAID\n") != 3 {
		t.Error(out)
	}
	// As tipbox claim writes them.
	var claimed strings.Builder
	for i := range byte(3) {
		fmt.Fprintf(&claimed, "100.00 CNY, paid until 2040-12-31\n\n%s\n\n", b.voucher("cny-100", 20+i).Text())
	}
	if out := b.ok("penny", "pay", "-f", b.file(claimed.String())); strings.Count(out, "PAID\n") != 3 {
		t.Error(out)
	}
	compact := "Scanned:\n" + b.voucher("cny-100", 30).Compact() + "\n\nand\n" + b.voucher("cny-100", 31).Compact() + "\n\nthat is all\n"
	if out := b.ok("penny", "pay", "-f", b.file(compact)); strings.Count(out, "PAID\n") != 2 {
		t.Error(out)
	}
	// One that lost its mark is not passed over.
	lost := strings.TrimPrefix(b.voucher("cny-100", 32).Text(), "TIPBOX VOUCHER\n") + "\n" + b.voucher("cny-100", 33).Text()
	if out := b.ok("penny", "pay", "-f", b.file(lost)); strings.Count(out, "PAID\n") != 2 {
		t.Error(out)
	}
	b.fails("penny", exitFailed, "Compare that line", "pay", "-f", b.file(b.voucher("cny-100", 34).Text()[:300]))
	var lines []string
	status, stdout, _ = b.tipbox("penny", "--json", "pay", "-f", b.file(marked))
	for line := range strings.Lines(stdout) {
		var doc struct {
			Item  int
			Error string
		}
		if err := json.Unmarshal([]byte(line), &doc); err != nil || doc.Item == 0 || doc.Error == "" {
			t.Errorf("%s: %v", line, err)
		}
		lines = append(lines, line)
	}
	if status != exitFailed || len(lines) != 5 {
		t.Errorf("status %d: %s", status, stdout)
	}
}

// TestLineThatBreaksPaysOnce breaks it before and after the desk has recorded.
func TestLineThatBreaksPaysOnce(t *testing.T) {
	b := newPayers(t)
	handler, broken, recorded := desk.New(desk.Config{Service: b.Service}), false, false
	b.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if !broken || r.Method != http.MethodPost {
			return false
		}
		if recorded {
			handler.ServeHTTP(httptest.NewRecorder(), r)
		}
		panic(http.ErrAbortHandler)
	}
	for i, c := range []struct {
		recorded bool
		days     int // since then
		want     string
	}{{false, 0, "PAID, AS BEGUN BEFORE"}, {true, 0, "PAID, AS BEGUN BEFORE"}, {false, -1, "PAID\n"}, {true, -1, "PAID, AS BEGUN BEFORE"}} {
		v := b.voucher("cny-1000", byte(i))
		broken, recorded = true, c.recorded
		b.fails("penny", exitFailed, "Hand nothing out yet. Give the same command again", "pay", v.Compact())
		broken = false
		if begun := b.begun("penny"); len(begun) != 1 || begun[0] != v.SpentKey() {
			t.Fatalf("begun: %v", begun)
		}
		day := today()
		if c.days < 0 { // as if it had been yesterday
			day = inDays(c.days)
			p := tipbox.VoucherPayment(v, b.Service.Roster().Denomination("cny-1000"), day)
			note, err := p.Sign(b.Key("penny").SigningKey)
			if err == nil {
				err = os.WriteFile(filepath.Join(b.home("penny"), paymentsFolder, p.Key), note, 0o600)
			}
			if err == nil && c.recorded {
				err = b.Store.Apply(t.Context(), store.Delete(store.Key("paid/"+p.Key)))
			}
			if err == nil && c.recorded {
				err = b.Service.Pay(t.Context(), b.Member("penny"), note, v.Compact())
			}
			if err != nil {
				t.Fatal(err)
			}
			if !c.recorded {
				day = today()
			}
		}
		out := b.ok("penny", "pay", v.Compact())
		if !strings.HasPrefix(out, c.want) || !strings.Contains(out, "day      "+day) || strings.Contains(out, "only if you did not then") != strings.Contains(c.want, "BEGUN") {
			t.Errorf("case %d: %s", i, out)
		}
		b.fails("penny", exitFailed, "already paid, on "+day+" by penny", "pay", v.Compact())
		if begun := b.begun("penny"); len(begun) > 0 {
			t.Errorf("left behind: %v", begun)
		}
	}
	// Somebody else pays it meanwhile.
	b.Enter("perry", &roster.Member{Roles: []roster.Role{roster.Payer}})
	b.Install()
	v := b.voucher("cny-100", 9)
	broken, recorded = true, false
	b.fails("penny", exitFailed, "Hand nothing out yet", "pay", v.Compact())
	broken = false
	b.ok("perry", "pay", v.Compact())
	b.fails("penny", exitFailed, "already paid, on "+today()+" by perry", "pay", v.Compact())
	b.fails("penny", exitFailed, "already paid, on "+today()+" by perry", "pay", v.Compact())
	// What is begun is a payer's own.
	other, err := tipbox.VoucherPayment(b.voucher("cny-100", 10), b.Service.Roster().Denomination("cny-100"), today()).Sign(b.Key("perry").SigningKey)
	if err != nil {
		t.Fatal(err)
	}
	v = b.voucher("cny-100", 11)
	for _, text := range [][]byte{other, []byte("x")} {
		if err := os.WriteFile(filepath.Join(b.home("penny"), paymentsFolder, v.SpentKey()), text, 0o600); err != nil {
			t.Fatal(err)
		}
		b.fails("penny", exitFailed, "and remove it", "pay", v.Compact())
	}
}

// TestServerCannotSayThatAVoucherWasPaid without a payer's signature.
func TestServerCannotSayThatAVoucherWasPaid(t *testing.T) {
	b := newPayers(t)
	v, other := b.voucher("cny-1000", 1), b.voucher("cny-1000", 2)
	b.ok("penny", "pay", other.Compact())
	honest, err := b.Service.Payment(t.Context(), b.Member("penny"), other.SpentKey())
	if err != nil {
		t.Fatal(err)
	}
	server, err := roster.NewSigningKey("penny")
	if err != nil {
		t.Fatal(err)
	}
	forged, err := tipbox.VoucherPayment(v, b.Service.Roster().Denomination("cny-1000"), today()).Sign(server)
	if err != nil {
		t.Fatal(err)
	}
	for what, note := range map[string][]byte{"another's": honest, "forged": forged, "none": nil, "\x1b[2J": []byte("\x1b[2J")} {
		b.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.Method == http.MethodPost:
				w.WriteHeader(http.StatusConflict)
				w.Write([]byte(`{"code":"paid","message":"already paid, on 2020-01-01 by penny \u001b[2J"}`))
			case strings.HasPrefix(r.URL.Path, "/v1/payments/") && note != nil:
				w.Write(note)
			case strings.HasPrefix(r.URL.Path, "/v1/payments/"):
				w.WriteHeader(http.StatusNotFound)
				w.Write([]byte(`{"code":"not_found","message":"x"}`))
			default:
				return false
			}
			return true
		}
		status, stdout, stderr := b.tipbox("penny", "pay", v.Compact())
		if status != exitFailed || stdout != "" || !strings.Contains(stderr, "the desk says that it was paid already, and shows") || strings.ContainsFunc(strings.ReplaceAll(stderr, "\n", ""), unicode.IsControl) {
			t.Errorf("%s: status %d, %s%s", what, status, stdout, stderr)
		}
	}
	// Nor that what the tool finds genuine is none, and be believed.
	b.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		w.WriteHeader(http.StatusUnprocessableEntity)
		w.Write([]byte(`{"code":"voucher_forged","message":"x"}`))
		return true
	}
	b.fails("penny", exitFailed, "this machine finds it genuine, and the desk does not", "pay", v.Compact())
	if begun := b.begun("penny"); len(begun) != 1 {
		t.Errorf("begun: %v", begun)
	}
	b.intercept = nil
	b.ok("penny", "pay", v.Compact())
}

// newAward is a bench with an award of 6,000 yuan that was granted.
func newAward(t *testing.T) (b *bench, code *receipt.Code, tip string, number int) {
	t.Helper()
	b = newPayers(t)
	code = b.Submit("one")
	tip = b.tip()
	act := func(name string, a tipbox.Act) { b.Act(name, tip, a) }
	finding := tipbox.Act{Action: tipbox.ActionFinding, Text: "so it is", Detail: &tipbox.Detail{Finding: tipbox.Substantiated}}
	act("alice", tipbox.Act{Action: tipbox.ActionAccept})
	act("alice", tipbox.Act{Action: tipbox.ActionAssign, Owner: "alice", Due: inDays(30)})
	act("alice", finding)
	act("bob", finding)
	act("alice", tipbox.Act{Action: tipbox.ActionRecover, Detail: &tipbox.Detail{Amount: 150_000_00, Currency: "CNY", Basis: tipbox.SumCollected}})
	act("alice", tipbox.Act{
		Action: tipbox.ActionAward, Text: "all of it", Detail: &tipbox.Detail{Base: 150_000_00, Rate: 400},
		Terms: &tipbox.AwardTerms{Schedule: "test", Currency: "CNY", Amount: 6_000_00, Total: 6_000_00},
	})
	number = b.Open("alice", tip).Case.Awards[0].Number
	for _, name := range []string{"peter", "paula"} {
		b.Decide(name, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: number})
	}
	return b, code, tip, number
}

func TestPayoutsAreListedAndPaid(t *testing.T) {
	b, code, tip, n := newAward(t)
	if _, _, stderr := b.tipbox("penny", "payouts"); !strings.Contains(stderr, "Nothing is to be paid") {
		t.Error(stderr)
	}
	details := "Account 1" + deceits + "\nPAID\n  what     voucher"
	if err := b.Service.Claim(t.Context(), code, tipbox.Claim{Award: n, Choice: tipbox.ClaimDetails, Details: details}); err != nil {
		t.Fatal(err)
	}
	if out := b.ok("penny", "payouts"); !strings.Contains(out, "not to be paid yet: approvers must order it first") || strings.Contains(out, "Account") {
		t.Error(out)
	}
	b.fails("penny", exitFailed, "the server alone says that it is due", "pay", "--payout", strings.Fields(b.ok("penny", "payouts"))[0])
	if out := b.ok("peter", "awards"); !strings.Contains(out, "  payable  ") || !strings.Contains(out, "  issue\n") {
		t.Error(out)
	}
	if _, _, stderr := b.tipbox("peter", "issue"); !strings.Contains(stderr, "is payable, ordered by 1 of 2.\n") {
		t.Error(stderr)
	}
	if _, _, stderr := b.tipbox("peter", "issue"); !strings.Contains(stderr, "you have ordered it, and 1 of 2 have") {
		t.Error(stderr)
	}
	if out := b.ok("penny", "payouts"); !strings.Contains(out, "not to be paid yet") || strings.Contains(out, "Account") {
		t.Error(out)
	}
	b.ok("paula", "issue")
	if _, _, stderr := b.tipbox("peter", "issue"); !strings.Contains(stderr, "no payouts ordered") {
		t.Error(stderr)
	}
	b.Enter("perry", &roster.Member{Roles: []roster.Role{roster.Payer}}) // too late for it
	b.Install()
	out := b.ok("penny", "payouts")
	id := strings.Fields(out)[0]
	for _, word := range []string{id + "  6000.00 CNY\n│ Account 1", `│ PAID`, `\u{1b}`} {
		if !strings.Contains(out, word) {
			t.Errorf("no %q in\n%s", word, out)
		}
	}
	if strings.Contains(out, tip) || strings.Contains(out, "\n  what") || !tipbox.ValidTipID(id) {
		t.Errorf("payers see\n%s", out)
	}
	var doc struct{ Payout, Details string }
	if err := json.Unmarshal([]byte(b.ok("penny", "--json", "payouts")), &doc); err != nil || doc.Payout != id || !strings.HasPrefix(doc.Details, "Account 1a\x1b[2J") {
		t.Errorf("%+v, %v", doc, err)
	}
	status, out, stderr := b.tipbox("perry", "payouts")
	if status != exitFailed || !strings.Contains(out, id+"  6000.00 CNY  FAILED: ") || !strings.Contains(stderr, "a colleague who was must pay it") {
		t.Errorf("status %d: %s%s", status, out, stderr)
	}
	b.fails("perry", exitFailed, "a colleague who was must pay it", "pay", "--payout", id)

	paid := b.ok("penny", "pay", "--payout", id)
	want := fmt.Sprintf("PAID\n  what     payout %s\n  amount   6000.00 CNY\n  day      %s\n  payer    penny\n  number   %s\n│ Account 1", id, today(), id[:8])
	if !strings.HasPrefix(paid, want) {
		t.Errorf("the receipt is\n%s", paid)
	}
	b.fails("penny", exitFailed, "already paid, on "+today()+" by penny", "pay", "--payout", id)
	if out := b.ok("penny", "payouts"); out != "" {
		t.Errorf("to be paid is\n%s", out)
	}
	if out := b.ok("penny", "payouts", "--all"); !strings.Contains(out, "paid in "+today()[:7]) || !strings.Contains(out, "│ Account 1") {
		t.Errorf("all are\n%s", out)
	}
	list := b.ok("penny", "pay", "--list")
	if !strings.Contains(list, today()[:7]+"  (payouts)  1         6000.00 CNY  1\n") {
		t.Error(list)
	}
}

func TestPayoutToACharityNamesIt(t *testing.T) {
	b, code, tip, n := newAward(t)
	if err := b.Service.Claim(t.Context(), code, tipbox.Claim{Award: n, Choice: tipbox.ClaimCharity, Charity: "library"}); err != nil {
		t.Fatal(err)
	}
	b.Issue("paula", tip, n)
	out := b.ok("penny", "payouts")
	if !strings.Contains(out, "to the charity library (The library)") {
		t.Error(out)
	}
	id := strings.Fields(out)[0]
	b.fails("penny", exitUsage, "there twice", "pay", "--payout", id, "--payout", id)
	if out := b.ok("penny", "pay", "--payout", id); !strings.Contains(out, "to the charity library (The library)") {
		t.Error(out)
	}
}

func TestPaymentsAreReconciled(t *testing.T) {
	b := newPayers(t)
	b.Enter("perry", &roster.Member{Roles: []roster.Role{roster.Payer}})
	b.Install()
	now := b.Clock.Now()
	b.Clock.Advance(-62 * 24 * time.Hour) // two months ago
	old := b.voucher("cny-1000", 1)
	note, err := tipbox.VoucherPayment(old, b.Service.Roster().Denomination("cny-1000"), b.Service.Today()).Sign(b.Key("perry").SigningKey)
	if err == nil {
		err = b.Service.Pay(t.Context(), b.Member("perry"), note, old.Compact())
	}
	if err != nil {
		t.Fatal(err)
	}
	month := b.Service.Today()[:7]
	b.Clock.Advance(now.Sub(b.Clock.Now()))
	b.ok("penny", "pay", b.voucher("cny-1000", 2).Compact())
	b.ok("penny", "pay", b.voucher("cny-1000", 3).Compact())

	// Nothing was issued: these vouchers were made by somebody who has the key.
	status, out, stderr := b.tipbox("penny", "pay", "--list")
	if status != exitFailed || !strings.Contains(stderr, "1 vouchers were paid and 0 issued") {
		t.Errorf("status %d: %s%s", status, out, stderr)
	}
	for _, line := range []string{month + "  cny-1000  1         1000.00 CNY  0\n", today()[:7] + "  cny-1000  2         2000.00 CNY  2\n"} {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
	_, out, _ = b.tipbox("penny", "--json", "pay", "--list")
	var line paidLine
	if err := json.Unmarshal([]byte(out[:strings.Index(out, "\n")]), &line); err != nil || line != (paidLine{month, "cny-1000", "CNY", 1, 100_000, 0}) {
		t.Errorf("%+v, %v", line, err)
	}

	// A server that was set back to before a payment.
	key := store.Key("paid/" + b.voucher("cny-1000", 3).SpentKey())
	rec, err := b.Store.Get(t.Context(), key)
	if err == nil {
		err = b.Store.Apply(t.Context(), store.Delete(key))
	}
	if err != nil {
		t.Fatal(err)
	}
	b.fails("penny", exitFailed, "that you have made or that it has shown: 1", "pay", "--list")
	b.fails("penny", exitFailed, "give it the vouchers that you have paid since", "pay", "--list")
	if err := b.Store.Apply(t.Context(), store.Put(key, rec.Value)); err != nil {
		t.Fatal(err)
	}

	// A server that hides one, or invents one.
	how := b.lie("/v1/payments")
	how(func([]byte) []byte { return []byte(`{"notes":[]}`) })
	b.fails("perry", exitFailed, "differ", "pay", "--list") // who has not looked before
	for what, c := range map[string]struct {
		spoil func([]byte) []byte
		word  string
	}{
		"hides":  {func(answer []byte) []byte { return []byte(`{"notes":[]}`) }, "that it has shown: 3"},
		"edits":  {func(answer []byte) []byte { return bytes.Replace(answer, []byte("100000"), []byte("900000"), 1) }, "signed by no payer"},
		"twice":  {func(answer []byte) []byte { return doubled(t, answer) }, "signed by no payer"},
		"loops":  {func(answer []byte) []byte { return []byte(`{"notes":[],"next":"` + strings.Repeat("0", 64) + `"}`) }, "make no sense"},
		"denies": {func(answer []byte) []byte { return []byte(`{"notes":["\u001b[2J"]}`) }, "signed by no payer"},
	} {
		how(c.spoil)
		status, stdout, stderr := b.tipbox("penny", "pay", "--list")
		if status != exitFailed || !strings.Contains(stderr, c.word) || strings.ContainsFunc(strings.ReplaceAll(stdout+stderr, "\n", ""), unicode.IsControl) {
			t.Errorf("%s: status %d: %s%s", what, status, stdout, stderr)
		}
	}
}

// TestDeskThatForgetsHasNothingPaidTwice by the same payer, whether it was set back or
// lies, and however many others were paid since.
func TestDeskThatForgetsHasNothingPaidTwice(t *testing.T) {
	b := newPayers(t)
	b.Enter("perry", &roster.Member{Roles: []roster.Role{roster.Payer}})
	b.Install()
	v, key := b.voucher("cny-1000", 1), store.Key("paid/"+b.voucher("cny-1000", 1).SpentKey())
	b.ok("penny", "pay", v.Compact())
	b.tipbox("perry", "pay", "--list")
	forget := func() {
		if err := b.Store.Apply(t.Context(), store.Delete(key)); err != nil {
			t.Fatal(err)
		}
	}
	forget()
	b.ok("perry", "pay", b.voucher("cny-1000", 2).Compact()) // as many as before
	for _, payer := range []string{"penny", "perry"} {       // one has made it, the other was shown it
		b.fails(payer, exitFailed, "payments that you have made or that it has shown: 1: payments are gone", "pay", "--list")
	}
	b.fails("penny", exitFailed, "already paid, on "+today()+" by penny: the desk had lost that, and has recorded it again", "pay", v.Compact())
	b.fails("penny", exitFailed, "already paid, on "+today()+" by penny", "pay", v.Compact())
	list := regexp.MustCompile(`hash.*: [0-9a-f]{64}\n`)
	_, _, one := b.tipbox("penny", "pay", "--list") // and all is well again
	_, _, other := b.tipbox("perry", "pay", "--list")
	if hash := list.FindString(one); hash == "" || hash != list.FindString(other) {
		t.Errorf("the lists are\n%s%s", one, other)
	}

	// Two payers are shown different lists. Nobody can tell but both.
	forget()
	b.ok("perry", "pay", v.Compact())
	b.fails("penny", exitFailed, "already paid, on "+today()+" by penny", "pay", v.Compact())
	b.fails("penny", exitFailed, "payments are gone", "pay", "--list")

	b.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if is := strings.HasPrefix(r.URL.Path, "/v1/payments"); !is {
			return false
		}
		w.WriteHeader(http.StatusInternalServerError)
		return true
	}
	b.fails("penny", exitFailed, "already paid, on "+today()+" by penny", "pay", v.Compact())
}

// doubled is a page with its first payment twice.
func doubled(t *testing.T, answer []byte) []byte {
	t.Helper()
	var page tipbox.PaymentPage
	err := json.Unmarshal(answer, &page)
	if err == nil {
		page.Notes = append(page.Notes, page.Notes[0])
		answer, err = json.Marshal(page)
	}
	if err != nil {
		t.Error(err)
	}
	return answer
}

// TestApproversToolGoesOnFromWhatItSaw has a server show an approver an award as it was
// before, or with another claim, so that it is decided or issued twice.
func TestApproversToolGoesOnFromWhatItSaw(t *testing.T) {
	b, code, tip, n := newAward(t)
	before, err := b.Service.AwardTip(t.Context(), b.Member("peter"), tip)
	if err != nil {
		t.Fatal(err)
	}
	file, err := b.Service.Claims(t.Context(), code.Locator())
	if err != nil {
		t.Fatal(err)
	}
	claims, err := tipbox.OpenClaims(file, code, b.Root.Verifier(), today())
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := claims.Claim(tipbox.Claim{Award: n, Choice: tipbox.ClaimCharity, Charity: "library"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Service.Claim(t.Context(), code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err != nil {
		t.Fatal(err)
	}
	b.ok("peter", "awards", tip)
	show := b.lie("/v1/awards/" + tip)
	for _, lie := range []struct {
		events []tipbox.SealedEvent
		says   string
	}{
		{before.Events, "it has taken some back"},
		{append(before.Events, tipbox.SealedEvent{Note: string(other)}), "it shows two histories"},
	} {
		shown := *before
		shown.Events = lie.events
		body, err := json.Marshal(shown)
		if err != nil {
			t.Fatal(err)
		}
		show(func([]byte) []byte { return body })
		for _, args := range [][]string{{"awards", tip}, {"approve", tip}, {"refuse", tip, "-m", "no"}, {"issue", tip}} {
			b.fails("peter", exitFailed, lie.says, args...)
		}
		b.ok("paula", "awards", tip) // who has seen nothing yet cannot tell, but by the head
	}
	if got := b.OpenAward("peter", tip).Head().Number; got != len(before.Events)+1 {
		t.Errorf("%d entries", got)
	}
}
