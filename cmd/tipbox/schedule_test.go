package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tipbox/crypto/roster"
	"tipbox/static"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// A holder is whoever holds the root key, with a folder.
type holder struct {
	t    *testing.T
	home string
}

func newHolder(t *testing.T) *holder {
	h := &holder{t, filepath.Join(t.TempDir(), "root")}
	h.run(exitDone, "roster", "init", "Example City")
	return h
}

func (h *holder) run(want int, args ...string) (stdout, stderr string) {
	h.t.Helper()
	status, stdout, stderr := tool(h.t, append([]string{"--home", h.home}, args...)...)
	if status != want {
		h.t.Fatalf("tipbox %v: status %d, want %d\n%s%s", args, status, want, stdout, stderr)
	}
	return stdout, stderr
}

// refused runs the tool, and wants a word of why it failed.
func (h *holder) refused(word string, args ...string) {
	h.t.Helper()
	if _, stderr := h.run(exitFailed, args...); !strings.Contains(stderr, word) {
		h.t.Errorf("tipbox %v: no %q in:\n%s", args, word, stderr)
	}
}

// file writes a schedule: the default one, changed.
func (h *holder) file(changes ...string) string {
	h.t.Helper()
	text, err := fs.ReadFile(static.Site("no such folder"), "schedule.toml")
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(string(text), changes[i]) {
			h.t.Fatalf("the schedule has no %q", changes[i])
		}
	}
	name := filepath.Join(h.t.TempDir(), "schedule.toml")
	if err := os.WriteFile(name, []byte(strings.NewReplacer(changes...).Replace(string(text))), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return name
}

func inDays(n int) string { return time.Now().AddDate(0, 0, n).Format(time.DateOnly) }

// TestShippedSchedulesPromiseWhatTheirRulesDo enters each and compares with the
// figures of the rule that it is an example of.
func TestShippedSchedulesPromiseWhatTheirRulesDo(t *testing.T) {
	const yuan, million = 100, 100_000_000
	for name, c := range map[string]struct {
		id, currency, base string
		says               []string
		awards             []struct {
			base      int64
			evidence  string
			low, high int64
		}
		votes map[int64]int
	}{
		"schedule": {
			id: "off-book-funds-2009", currency: "CNY", base: roster.BaseCollected,
			says: []string{"3 to 5 %", "100000.00 a case", "what was found and collected", "off-book-funds"},
			awards: []struct {
				base      int64
				evidence  string
				low, high int64
			}{{million, "", 30_000 * yuan, 50_000 * yuan}, {2 * million, "", 60_000 * yuan, 100_000 * yuan}, {50 * million, "", 100_000 * yuan, 100_000 * yuan}},
			votes: map[int64]int{10_000*yuan - 1: 1, 10_000 * yuan: 2, 50_000 * yuan: 3},
		},
		"market-2021": {
			id: "market-2021", currency: "CNY", base: roster.BaseFound,
			says: []string{"5 % for evidence first", "3 % for evidence second", "1 % for evidence third", "at least 5000.00", "at least 3000.00", "at least 1000.00", "1000000.00 a case"},
			awards: []struct {
				base      int64
				evidence  string
				low, high int64
			}{
				{million, "first", 50_000 * yuan, 50_000 * yuan}, {million, "second", 30_000 * yuan, 30_000 * yuan}, {million, "third", 10_000 * yuan, 10_000 * yuan},
				{yuan, "first", 5_000 * yuan, 5_000 * yuan}, {yuan, "second", 3_000 * yuan, 3_000 * yuan}, {yuan, "third", 1_000 * yuan, 1_000 * yuan},
				{200 * million, "first", 1_000_000 * yuan, 1_000_000 * yuan},
			},
			votes: map[int64]int{500_000*yuan - 1: 2, 500_000 * yuan: 3},
		},
		"united-states": {
			id: "united-states", currency: "USD", base: roster.BaseCollected,
			says: []string{"10 to 30 %", "1000000.01"},
			awards: []struct {
				base      int64
				evidence  string
				low, high int64
			}{{million, "", 0, 0}, {million + 1, "", 100_000 * yuan, 300_000 * yuan}, {1000 * million, "", 100 * million, 300 * million}},
			votes: map[int64]int{0: 2},
		},
	} {
		h := newHolder(t)
		example, _ := h.run(exitDone, "roster", "schedule", "--example", name)
		file := filepath.Join(h.home, name+".toml")
		if err := os.WriteFile(file, []byte(example), 0o600); err != nil {
			t.Fatal(err)
		}
		said, noted := h.run(exitDone, "roster", "schedule", file)
		for _, word := range c.says {
			if !strings.Contains(said, word) {
				t.Errorf("%s: no %q in:\n%s", name, word, said)
			}
		}
		if !strings.Contains(noted, "lawyer") || !strings.Contains(noted, "approvers, and the roster has 0") || !strings.Contains(strings.ToLower(example), "check it with your lawyer") {
			t.Errorf("%s: the holder is told\n%s", name, noted)
		}
		h.run(exitDone, "roster", "sign")
		document, _ := h.run(exitDone, "--json", "roster", "show")
		r, err := roster.Parse([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		s := r.Schedule(c.id)
		if s == nil || s.Currency != c.currency || s.Base != c.base || !s.Example {
			t.Fatalf("%s: in the roster is %+v", name, s)
		}
		for _, a := range c.awards {
			if low, high, err := tipbox.Range(s, a.base, a.evidence); err != nil || low != a.low || high != a.high {
				t.Errorf("%s: %d with evidence %q brings %d to %d, want %d to %d (%v)", name, a.base, a.evidence, low, high, a.low, a.high, err)
			}
		}
		for amount, votes := range c.votes {
			if got := tipbox.VotesNeeded(s, amount); got != votes {
				t.Errorf("%s: %d takes %d approvers, want %d", name, amount, got, votes)
			}
		}
		texts := []map[string]string{s.Title}
		for _, e := range s.Evidence {
			texts = append(texts, e.Title)
		}
		for _, e := range s.Charities {
			texts = append(texts, e.Name)
		}
		languages, err := fs.Glob(static.Languages(), "*.toml")
		if err != nil || len(languages) < 2 {
			t.Fatal(languages, err)
		}
		for _, file := range languages {
			for _, text := range texts {
				if tag := strings.TrimSuffix(file, ".toml"); text[tag] == "" {
					t.Errorf("%s: there is no %s beside %q", name, tag, text["en"])
				}
			}
		}
	}
}

func TestSignedScheduleIsNeverChanged(t *testing.T) {
	h := newHolder(t)
	h.run(exitDone, "roster", "schedule", h.file())
	h.run(exitDone, "roster", "schedule", h.file()) // the same again
	h.refused("--replace", "roster", "schedule", h.file("high = 500", "high = 400"))
	h.run(exitDone, "roster", "schedule", "--replace", h.file("high = 500", "high = 600"))
	h.run(exitDone, "roster", "sign")
	h.run(exitDone, "roster", "schedule", h.file("high = 500", "high = 600"))
	for _, replace := range []string{"", "--replace"} {
		args := []string{"roster", "schedule", h.file()}
		if replace != "" {
			args = append(args, replace)
		}
		h.refused("was signed with other terms", args...)
	}
	next := []string{"off-book-funds-2009", "next", "high = 500", "high = 400", "2026-01-01"}
	for day, word := range map[string]string{"2026-01-02": "let it begin after", today(): "let it begin after"} {
		h.refused(word, "roster", "schedule", h.file(append(next, day)...))
	}
	h.refused("both for the same channel", "roster", "schedule", h.file("off-book-funds-2009", "next"))
	_, said := h.run(exitDone, "roster", "schedule", h.file(append(next, inDays(1))...))
	if !strings.Contains(said, "before "+inDays(1)) {
		t.Errorf("the holder is not told by when the server must have it: %s", said)
	}
	h.run(exitDone, "roster", "schedule", h.file("off-book-funds-2009", "bribery", `"off-book-funds"]`, `"bribery"]`)) // its first
	shown, _ := h.run(exitDone, "roster", "show")
	for _, line := range []string{"schedule  off-book-funds-2009 since 2026-01-01", "schedule  next since " + inDays(1), "schedule  bribery since"} {
		if !strings.Contains(shown, line) {
			t.Errorf("no %q in:\n%s", line, shown)
		}
	}
	h.run(exitDone, "roster", "sign")
}

func TestDraftThatTakesAPromiseBackIsNotSigned(t *testing.T) {
	h := newHolder(t)
	h.run(exitDone, "roster", "schedule", h.file())
	h.run(exitDone, "roster", "sign")
	draft := filepath.Join(h.home, draftName)
	text, err := os.ReadFile(draft)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(change func(r *roster.Roster)) {
		t.Helper()
		r, err := roster.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		if err := os.WriteFile(draft, r.Draft(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	edit(func(r *roster.Roster) { r.Schedules = nil })
	h.refused("is gone", "roster", "sign")
	edit(func(r *roster.Roster) { r.Schedules[0].Cap /= 2 })
	h.refused("another than was signed", "roster", "sign")
	edit(func(r *roster.Roster) { // it lay for days
		late := r.Schedules[0]
		late.ID, late.Since = "late", today()
		r.Schedules = append(r.Schedules, late)
	})
	h.refused("let it begin after", "roster", "sign")
	edit(func(*roster.Roster) {})
	h.run(exitDone, "roster", "sign")
}

func TestBadScheduleIsNotEntered(t *testing.T) {
	h := newHolder(t)
	for word, change := range map[string][]string{
		"there is no such setting": {"cap =", "ceiling ="},
		"basis points":             {"low = 300", "low = 900"},
		"no multiple of the unit":  {"cap = 100_000_00", "cap = 100_000_01"},
		"currency":                 {`"CNY"`, `"RMB"`},
		"base":                     {`base = "collected"`, `base = "net"`},
		"toml":                     {"[title]", "[title"},
		"no day":                   {"2026-01-01", "2026-13-01"},
		"float":                    {"high = 500", "high = 5.5"},
	} {
		h.refused(word, "roster", "schedule", h.file(change...))
	}
	if shown, _ := h.run(exitDone, "roster", "show"); strings.Contains(shown, "schedule") {
		t.Errorf("something was entered:\n%s", shown)
	}
	h.run(exitUsage, "roster", "schedule")
	h.run(exitUsage, "roster", "schedule", "--example", "nothing")
	h.run(exitUsage, "roster", "schedule", "--example", "schedule", h.file())
	if status, _, stderr := tool(t, "--home", t.TempDir(), "schedule"); status != exitFailed || !strings.Contains(stderr, "tipbox join") {
		t.Errorf("without a folder: %s", stderr)
	}
}

func TestMembersSeeTheScale(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	if out := b.ok("peter", "schedule"); out != "" {
		t.Errorf("without schedules there is:\n%s", out)
	}
	text, err := fs.ReadFile(static.Site("no such folder"), "schedule.toml")
	if err != nil {
		t.Fatal(err)
	}
	now, err := parseSchedule(text)
	if err != nil {
		t.Fatal(err)
	}
	later, over := *now, *now
	now.Title["en"] = "Funds \u202e2009"
	later.ID, later.Since = "later", inDays(30)
	over.ID, over.Since = "over", "2020-01-01"
	b.SetSchedules(*now, later, over)
	delete(b.homes, "peter") // joins anew
	out := b.ok("peter", "schedule")
	for _, word := range []string{`off-book-funds-2009: Funds \u{202e}2009`, "3 to 5 %", "1000000.00", "30000.00 to 50000.00", "2 to 3", "30 days before the end", "nobody has checked it yet"} {
		if !strings.Contains(out, word) {
			t.Errorf("no %q in:\n%s", word, out)
		}
	}
	if strings.Contains(out, "later") || strings.Contains(out, "over:") {
		t.Errorf("there is one that is not in force:\n%s", out)
	}
	if all := b.ok("peter", "schedule", "--all"); !strings.Contains(all, "later: ") || !strings.Contains(all, "over: ") {
		t.Errorf("not all are there:\n%s", all)
	}
	var s roster.Schedule
	if err := json.Unmarshal([]byte(b.ok("peter", "--json", "schedule")), &s); err != nil || s.ID != now.ID || s.Cap != now.Cap {
		t.Errorf("as JSON: %+v, %v", s, err)
	}
}

func TestMainUnits(t *testing.T) {
	for _, c := range []struct {
		amount int64
		digits int
		want   string
	}{{0, 2, "0.00"}, {5, 2, "0.05"}, {123456, 2, "1234.56"}, {123456, 0, "123456"}, {1, 3, "0.001"}} {
		if got := mainUnits(c.amount, c.digits); got != c.want {
			t.Errorf("%d with %d digits is %q, want %q", c.amount, c.digits, got, c.want)
		}
	}
	for rate, want := range map[int]string{300: "3", 350: "3.5", 5: "0.05", 10_000: "100", 0: "0"} {
		if got := percent(rate); got != want {
			t.Errorf("%d basis points are %q, want %q", rate, got, want)
		}
	}
}
