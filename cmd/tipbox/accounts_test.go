package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

// newClaimed is a bench with an award of 6,000 yuan that was claimed in vouchers,
// which were issued and of which one was paid.
func newClaimed(t *testing.T) *bench {
	t.Helper()
	b, code, tip, n := newAward(t)
	if err := b.Service.Claim(t.Context(), code, tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher}); err != nil {
		t.Fatal(err)
	}
	b.Issue("peter", tip, n)
	vouchers, err := b.Service.Vouchers(t.Context(), code, n)
	if err != nil {
		t.Fatal(err)
	}
	b.ok("penny", "pay", vouchers[0].Compact())
	return b
}

func TestAccountsInThreeForms(t *testing.T) {
	b := newClaimed(t)
	month := today()[:7]
	args := []string{"accounts", "--from", month}
	table := b.ok("peter", args...)
	for _, line := range []string{
		"MONTH    SCHEDULE  CURRENCY  AWARDED      CLAIMED      WAIVED  EXPIRED  ISSUED       PAID OUT  OPEN  UNSIGNED  OWED",
		month + "  test      CNY       6000.00 (1)  6000.00 (1)                   6000.00 (1)",
		"total    test      CNY       6000.00 (1)  6000.00 (1)                   6000.00 (1)",
		"MONTH    VOUCHER   OF           ISSUED  PAID  NOT PAID",
		month + "  cny-1000  1000.00 CNY  6       1     ",
		"total    cny-1000  1000.00 CNY  6       1     5",
	} {
		if !strings.Contains(table, line) {
			t.Errorf("no %q in\n%s", line, table)
		}
	}
	text := b.ok("peter", append(args, "--csv")...)
	if strings.Count(text, "\r\n") != strings.Count(text, "\n") {
		t.Errorf("lines end otherwise than in RFC 4180: %q", text)
	}
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(lines) != 4 {
		t.Fatalf("%q, %v", text, err)
	}
	cells := func(i int) map[string]string {
		m := make(map[string]string)
		for j, name := range lines[0] {
			if lines[i][j] != "" {
				m[name] = lines[i][j]
			}
		}
		return m
	}
	for i, want := range []map[string]string{
		{
			"kind": "awards", "month": month, "schedule": "test", "currency": "CNY", "awarded": "6000.00", "awarded_count": "1",
			"claimed": "6000.00", "claimed_count": "1", "waived": "0.00", "waived_count": "0", "expired": "0.00", "expired_count": "0",
			"issued": "6000.00", "issued_count": "1", "paid_out": "0.00", "paid_out_count": "0",
		},
		{"kind": "left", "month": month, "schedule": "test", "currency": "CNY", "open": "0.00", "open_count": "0", "unsigned": "0.00", "unsigned_count": "0"},
		{
			"kind": "vouchers", "month": month, "denomination": "cny-1000", "currency": "CNY",
			"vouchers_issued": "6000.00", "vouchers_issued_count": "6", "vouchers_paid": "1000.00", "vouchers_paid_count": "1",
		},
	} {
		if got := cells(i + 1); !reflect.DeepEqual(got, want) {
			t.Errorf("line %d: %v", i+1, got)
		}
	}
	var a tipbox.Accounts
	if err := json.Unmarshal([]byte(b.ok("peter", append([]string{"--json"}, args...)...)), &a); err != nil || a.Validate() != nil || len(a.Awards) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	// The month is not over for a payer.
	if status, out, stderr := b.tipbox("penny", args...); status != exitDone || out != "" || !strings.Contains(stderr, "They add up") {
		t.Errorf("status %d: %s%s", status, out, stderr)
	}
	b.fails("alice", exitFailed, "role approver, payer or publisher", "accounts")
	for word, args := range map[string][]string{
		"choose one":    {"--json", "accounts", "--csv"},
		"with --verify": {"accounts", "--csv", "--sign"},
		"not a month":   {"accounts", "--from", "2026"},
		"is after":      {"accounts", "--from", "2026-12", "--to", "2026-11"},
	} {
		b.fails("peter", exitUsage, word, args...)
	}
}

func TestSignedAccountsAreVerifiedOffline(t *testing.T) {
	b := newClaimed(t)
	note := b.ok("peter", "accounts", "--sign")
	if !strings.HasPrefix(note, "tipbox accounts v1\n{") || !strings.Contains(note, "\n\n— peter ") {
		t.Errorf("signed is %s", note)
	}
	// An auditor's folder has no key.
	auditor := desk.Home(t.TempDir())
	if err := auditor.Join(desk.HomeConfig{Root: b.Root.Verifier()}, b.Service.SignedRoster()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "accounts.note")
	verify := func(text string, args ...string) (int, string, string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return tool(t, append([]string{"--home", string(auditor)}, append(args, "accounts", "--verify", file)...)...)
	}
	status, out, stderr := verify(note)
	if status != exitDone || !strings.Contains(out, "6000.00 (1)") || !strings.Contains(stderr, "Signed by peter on "+today()) {
		t.Errorf("status %d: %s%s", status, out, stderr)
	}
	status, out, _ = verify(note, "--json")
	var a tipbox.Accounts
	if err := json.Unmarshal([]byte(out), &a); status != exitDone || err != nil || a.Organisation != b.Root.Verifier() {
		t.Errorf("%s, %v", out, err)
	}
	if status, csv, _ := tool(t, "--home", string(auditor), "accounts", "--verify", file, "--csv"); status != exitDone || csv != b.ok("peter", "accounts", "--csv") {
		t.Errorf("status %d: %s", status, csv)
	}
	for what, text := range map[string]string{
		"more":    strings.Replace(note, `"amount":600000`, `"amount":600100`, 1),
		"unknown": strings.Replace(note, "— peter", "— paula", 1),
		"none":    "hello",
		"escape":  "\x1b[2J",
	} {
		status, out, stderr := verify(text)
		if status != exitFailed || out != "" || !strings.Contains(stderr, "not what was signed") || strings.ContainsFunc(strings.ReplaceAll(stderr, "\n", ""), unicode.IsControl) {
			t.Errorf("%s: status %d: %s%s", what, status, out, stderr)
		}
	}
	for _, args := range [][]string{{"--sign"}, {"--from", "2026-01"}} {
		b.fails("peter", exitUsage, "leave", append([]string{"accounts", "--verify", file}, args...)...)
	}
}

func TestAccountsThatDeceiveAreNotPrinted(t *testing.T) {
	b := newClaimed(t)
	how := b.lie("/v1/accounts")
	for what, spoil := range map[string]func([]byte) []byte{
		"formula":      func(answer []byte) []byte { return bytes.ReplaceAll(answer, []byte(`"test"`), []byte(`"=1+1"`)) },
		"escape":       func(answer []byte) []byte { return bytes.ReplaceAll(answer, []byte(`"CNY"`), []byte(`"\u001b[2J"`)) },
		"sums":         func(answer []byte) []byte { return bytes.Replace(answer, []byte("600000"), []byte("600001"), 1) },
		"organisation": func(answer []byte) []byte { return bytes.Replace(answer, []byte(`"root+`), []byte(`"boot+`), 1) },
		"day": func(answer []byte) []byte {
			return bytes.Replace(answer, []byte(`"day":"`+today()), []byte(`"day":"2020-01-01`), 1)
		},
	} {
		how(spoil)
		for _, form := range [][]string{{"accounts"}, {"accounts", "--csv"}, {"--json", "accounts"}, {"accounts", "--sign"}} {
			status, stdout, stderr := b.tipbox("peter", form...)
			if status != exitFailed || stdout != "" || strings.ContainsFunc(strings.ReplaceAll(stderr, "\n", ""), unicode.IsControl) {
				t.Errorf("%s: status %d, %q, %q", what, status, stdout, stderr)
			}
		}
	}
	// More paid than issued is printed, and said.
	how(func(answer []byte) []byte { return bytes.Replace(answer, []byte(`"paid":1`), []byte(`"paid":7`), 1) })
	status, stdout, stderr := b.tipbox("peter", "accounts")
	if status != exitFailed || stdout == "" || !strings.Contains(stderr, "WRONG: of cny-1000 7 vouchers were paid and 6 issued") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}
