package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"tipbox/tipbox"
	"tipbox/tipbox/desk"
	"tipbox/tipbox/tipboxtest"
)

// lie makes the desk change its answers to a call, and returns what sets how.
func (b *bench) lie(path string) (how func(func([]byte) []byte)) {
	b.t.Helper()
	honest := desk.New(desk.Config{Service: b.Service})
	var spoil atomic.Pointer[func([]byte) []byte]
	b.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path {
			return false
		}
		answer := httptest.NewRecorder()
		honest.ServeHTTP(answer, r)
		w.WriteHeader(answer.Code)
		w.Write((*spoil.Load())(answer.Body.Bytes()))
		return true
	}
	return func(f func([]byte) []byte) { spoil.Store(&f) }
}

// setDay moves the clock to noon of a day.
func (b *bench) setDay(day string) {
	b.t.Helper()
	noon, err := time.Parse(time.DateTime, day+" 12:00:00")
	if err != nil {
		b.t.Fatal(err)
	}
	b.Clock.Advance(noon.Sub(b.Clock.Now()))
}

func TestFiguresInThreeForms(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.setDay("2020-10-20")
	for range 11 {
		b.Submit("one")
	}
	for i, item := range b.Inbox("alice") {
		if i < 6 {
			b.Act("alice", item.Tip, tipbox.Act{Action: tipbox.ActionAck, Text: "read"})
		}
	}
	months := []string{"--from", "2020-01", "--to", "2020-12"}
	table := b.ok("carol", append([]string{"figures"}, months...)...)
	for _, want := range []string{
		"PERIOD   CHANNEL         STATE         TIPS  ACKNOWLEDGED  DAYS  ANSWERED  DAYS\n",
		"2020     (all)           (all)         10    5 of 5        0     <5 of <5  \n",
		"2020-10  off-book-funds  acknowledged  5     5 of 5        0     <5 of <5  \n",
		"2020-10  off-book-funds  received      5     <5 of <5            <5 of <5  \n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	text := b.ok("carol", append([]string{"figures", "--csv"}, months...)...)
	if strings.Count(text, "\r\n") != strings.Count(text, "\n") {
		t.Errorf("lines end otherwise than in RFC 4180: %q", text)
	}
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(lines) != strings.Count(table, "\n") {
		t.Fatalf("%q, %v", text, err)
	}
	if want := []string{"2020", "(all)", "(all)", "10", "5", "5", "5", "0", "<5", "<5", "<5", ""}; !reflect.DeepEqual(lines[1], want) || lines[0][3] != "tips" {
		t.Errorf("%q", lines)
	}
	var f tipbox.Figures
	if err := json.Unmarshal([]byte(b.ok("carol", append([]string{"--json", "figures"}, months...)...)), &f); err != nil {
		t.Fatal(err)
	}
	if err := f.Validate(); err != nil || len(f.Rows) != len(lines)-1 || f.Own {
		t.Errorf("%+v, %v", f, err)
	}

	// A higher minimum leaves out more.
	if high := b.ok("carol", append([]string{"figures", "--min", "10"}, months...)...); !strings.Contains(high, "10    <10 of <10") || strings.Contains(high, "received") {
		t.Errorf("from ten on:\n%s", high)
	}
	if status, _, stderr := b.tipbox("alice", append([]string{"figures"}, months...)...); status != exitDone || !strings.Contains(stderr, "A reviewer's figures are whole") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if status, stdout, stderr := b.tipbox("carol", "figures"); status != exitDone || stdout != "" || !strings.Contains(stderr, "less than that, or none") {
		t.Errorf("of this year: status %d, %q, %q", status, stdout, stderr)
	}
	for _, args := range [][]string{
		{"--min", "4"}, {"--min", "7"}, {"--min", "0"}, {"--min", "-5"}, {"--from", "2020"}, {"--to", "x"}, {"--from", "2020-12", "--to", "2020-11"},
	} {
		b.fails("carol", exitUsage, "", append([]string{"figures"}, args...)...)
	}
	b.fails("carol", exitUsage, "choose one", "--json", "figures", "--csv")
	b.fails("peter", exitFailed, "role investigator, reviewer or publisher", append([]string{"figures"}, months...)...)
}

func TestFiguresThatDeceiveAreNotPrinted(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.setDay("2020-10-20")
	for range 5 {
		b.Submit("one")
	}
	how := b.lie("/v1/figures")
	for _, evil := range []string{`=HYPERLINK(\"http://evil\")`, `\u001b[2J`, "-1+1", "@x", "Off", `a\tb`, `"`} {
		how(func(answer []byte) []byte { return bytes.ReplaceAll(answer, []byte("off-book-funds"), []byte(evil)) })
		for _, form := range [][]string{{"figures"}, {"figures", "--csv"}, {"--json", "figures"}} {
			status, stdout, stderr := b.tipbox("carol", append(form, "--from", "2020-01", "--to", "2020-12")...)
			if status != exitFailed || stdout != "" || strings.ContainsFunc(strings.ReplaceAll(stderr, "\n", ""), unicode.IsControl) {
				t.Errorf("%q: status %d, %q, %q", evil, status, stdout, stderr)
			}
		}
	}
	// Numbers that are told too exactly are none that a server of ours sends.
	how(func(answer []byte) []byte { return bytes.ReplaceAll(answer, []byte(`"tips":5`), []byte(`"tips":6`)) })
	b.fails("carol", exitFailed, "not what was signed", "figures", "--from", "2020-01", "--to", "2020-12")
}

func TestNoFieldIsAFormula(t *testing.T) {
	for field, want := range map[string]string{
		"": "", "12": "12", "<5": "<5", "(all)": "(all)", "2026-10": "2026-10", "金": "金",
		"=1": "'=1", "+1": "'+1", "-1": "'-1", "@a": "'@a", "\ta": "'\ta", "\ra": "'\ra", "\na": "'\na",
	} {
		if got := noFormula(field); got != want {
			t.Errorf("%q becomes %q", field, got)
		}
	}
}
