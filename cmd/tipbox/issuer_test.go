package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
	"tipbox/tipbox/tipboxtest"
)

func TestIssuingKeyIsMadeOnceAndListed(t *testing.T) {
	b := newPayers(t)
	home, pass := b.home("peter"), filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(pass, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var d voucher.Denomination
	made := b.ok("peter", "--passphrase-file", pass, "issuer", "keygen", "jpy-500", "500", "JPY", "--since", "2027-01-01", "--until", "2031-12-31", "--protect")
	if err := json.Unmarshal([]byte(made), &d); err != nil || d.Validate() != nil {
		t.Fatalf("%s: %v", made, err)
	}
	if want := (voucher.Denomination{ID: "jpy-500", Currency: "JPY", Amount: 500, Key: d.Key, Since: "2027-01-01", Until: "2031-12-31"}); d != want {
		t.Errorf("%+v", d)
	}
	path := filepath.Join(home, "issuing", "jpy-500.key")
	info, err := os.Stat(path)
	text, readErr := os.ReadFile(path)
	if err != nil || readErr != nil || info.Mode().Perm() != 0o600 || strings.Contains(string(text), "PRIVATE KEY") {
		t.Errorf("the key file: %v, %v, %v", info, err, readErr)
	}
	b.fails("peter", exitFailed, "never overwritten: choose another id", "issuer", "keygen", "jpy-500", "500", "JPY", "--until", "2031-12-31")
	if again, err := os.ReadFile(path); err != nil || string(again) != string(text) {
		t.Error("the key file has changed")
	}
	for word, args := range map[string][]string{
		"not a valid name":  {"../x", "500", "JPY", "--until", "2031-12-31"},
		"no currency":       {"x", "500", "yen", "--until", "2031-12-31"},
		"no sum of JPY":     {"x", "0.50", "JPY", "--until", "2031-12-31"},
		"no sum above 0":    {"x", "0", "JPY", "--until", "2031-12-31"},
		"no day":            {"x", "500", "JPY", "--until", "2031"},
		"before it begins":  {"x", "500", "JPY", "--until", "2020-12-31"},
		"missing flags":     {"x", "500", "JPY"},
		"no sum above 0: w": {"x", "1e3", "JPY", "--until", "2031-12-31"},
	} {
		b.fails("peter", exitUsage, word, append([]string{"issuer", "keygen"}, args...)...)
	}
	if _, err := os.Stat(filepath.Join(home, "issuing", "x.key")); err == nil {
		t.Error("a key was made")
	}

	// Keys of the roster: one here, one of another denomination in its place.
	for name, key := range map[string]string{"cny-100": "cny-100", "cny-1000": "cny-100"} {
		if err := os.WriteFile(filepath.Join(home, "issuing", name+".key"), []byte(tipboxtest.IssuingKey(t, key).Reveal()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := make(map[string]string)
	for line := range strings.Lines(b.ok("peter", "--json", "issuer", "list")) {
		var l issuerLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		got[l.ID] = l.Key
	}
	for id, want := range map[string]string{"cny-100": keyHere, "cny-1000": keyAnother, "cny-10000": keyNone, "jpy-500": keyUnknown} {
		if got[id] != want {
			t.Errorf("%s is %q, want %q", id, got[id], want)
		}
	}
	roster := *b.Service.Roster()
	b.SetDenominations(append(roster.Denominations, d)...)
	delete(b.homes, "peter")
	before := b.home("peter") // joins anew
	if err := os.Rename(filepath.Join(home, "issuing"), filepath.Join(before, "issuing")); err != nil {
		t.Fatal(err)
	}
	if out := b.ok("peter", "issuer", "list"); !strings.Contains(out, "jpy-500       500 JPY       2027-01-01  2031-12-31  here, locked\n") {
		t.Error(out)
	}
	if err := os.Chmod(filepath.Join(before, "issuing", "cny-100.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.fails("peter", exitFailed, "chmod 600", "issuer", "list")
	if _, _, stderr := b.tipbox("alice", "issuer", "list"); stderr != "" {
		t.Error(stderr)
	}
}

// denomination writes one of the tests' keys as issuer keygen prints it.
func (h *holder) denomination(id, key string, change func(*voucher.Denomination)) string {
	h.t.Helper()
	d := voucher.Denomination{ID: id, Currency: "CNY", Amount: 1_000_00, Key: tipboxtest.IssuingKey(h.t, key).Public(), Since: "2026-01-01", Until: inDays(800)}
	if change != nil {
		change(&d)
	}
	text, err := json.Marshal(d)
	if err != nil {
		h.t.Fatal(err)
	}
	name := filepath.Join(h.t.TempDir(), "denomination.json")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		h.t.Fatal(err)
	}
	return name
}

func TestDenominationIsEnteredAndNeverChanged(t *testing.T) {
	h := newHolder(t)
	out, said := h.run(exitDone, "roster", "denomination", h.denomination("cny-1000", "cny-1000", nil))
	if want := "cny-1000: 1000.00 CNY, since 2026-01-01, until " + inDays(800) + "\n"; out != want || strings.Contains(said, "Note") {
		t.Errorf("%s%s", out, said)
	}
	shown, _ := h.run(exitDone, "roster", "show")
	if !strings.Contains(shown, "denomination  cny-1000: 1000.00 CNY, since 2026-01-01 until "+inDays(800)) {
		t.Error(shown)
	}
	_, said = h.run(exitDone, "roster", "denomination", h.denomination("cny-1000", "cny-1000", nil))
	if !strings.Contains(said, "there already") {
		t.Error(said)
	}
	for what, change := range map[string]func(*voucher.Denomination){
		"amount":   func(d *voucher.Denomination) { d.Amount++ },
		"key":      func(d *voucher.Denomination) { d.Key = tipboxtest.IssuingKey(t, "cny-100").Public() },
		"currency": func(d *voucher.Denomination) { d.Currency = "USD" },
		"since":    func(d *voucher.Denomination) { d.Since = "2025-01-01" },
		"earlier":  func(d *voucher.Denomination) { d.Until = inDays(700) },
	} {
		for _, extend := range []bool{false, true} {
			args := []string{"roster", "denomination", h.denomination("cny-1000", "cny-1000", change)}
			if extend {
				args = append(args, "--extend")
			}
			if _, said := h.run(exitFailed, args...); !strings.Contains(said, "an id of its own") || !strings.Contains(said, "issuer keygen") {
				t.Errorf("%s: %s", what, said)
			}
		}
	}
	later := h.denomination("cny-1000", "cny-1000", func(d *voucher.Denomination) { d.Until = inDays(900) })
	h.refused("--extend", "roster", "denomination", later)
	h.run(exitDone, "roster", "denomination", later, "--extend")
	h.refused("there twice", "roster", "denomination", h.denomination("cny-1000-b", "cny-1000", nil))                             // the key
	h.refused("there twice", "roster", "denomination", h.denomination("cny-1000-b", "cny-100", func(d *voucher.Denomination) {})) // the amount and day
	_, said = h.run(exitDone, "roster", "denomination", h.denomination("usd-1", "cny-100", func(d *voucher.Denomination) { d.Currency, d.Until = "USD", inDays(300) }))
	if !strings.Contains(said, "less than a year ahead") {
		t.Error(said)
	}
	for word, text := range map[string]string{"no denomination": "{", "unknown field": `{"id":"x","private":"y"}`, "its id": `{}`} {
		name := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h.refused(word, "roster", "denomination", name)
	}
	h.run(exitDone, "roster", "sign")

	// A draft that takes one back, or changes it, is not signed.
	draft := filepath.Join(h.home, draftName)
	text, err := os.ReadFile(draft)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(r *roster.Roster){
		"gone":    func(r *roster.Roster) { r.Denominations = r.Denominations[1:] },
		"cheaper": func(r *roster.Roster) { r.Denominations[0].Amount-- },
		"earlier": func(r *roster.Roster) { r.Denominations[0].Until = inDays(100) },
	} {
		r, err := roster.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		if err := os.WriteFile(draft, r.Draft(), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, said := h.run(exitFailed, "roster", "sign"); !strings.Contains(said, "gone or not as it was signed") {
			t.Errorf("%s: %s", what, said)
		}
	}
	if err := os.WriteFile(draft, text, 0o600); err != nil {
		t.Fatal(err)
	}
	h.run(exitDone, "roster", "sign")
}

func TestDenominationThatAwardsDoNotComeToIsNoted(t *testing.T) {
	h := newHolder(t)
	h.run(exitDone, "roster", "schedule", h.file()) // in multiples of 100 yuan
	_, said := h.run(exitDone, "roster", "denomination", h.denomination("cny-1000", "cny-1000", nil))
	if !strings.Contains(said, "are multiples of 100.00 CNY, which vouchers of 1000.00 CNY do not come to") {
		t.Error(said)
	}
	_, said = h.run(exitDone, "roster", "denomination", h.denomination("cny-100", "cny-100", func(d *voucher.Denomination) { d.Amount = 100_00 }))
	if strings.Contains(said, "multiples") {
		t.Error(said)
	}
}
