package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tipbox/tipbox"
	"tipbox/tipbox/desk"
	"tipbox/tipbox/tipboxtest"
)

// answered has alice answer a bundle of a tip and returns the file of answers.
func (b *bench) answered(tip string, commands ...[]string) string {
	b.t.Helper()
	bundle := b.fetch("alice", tip)
	for _, command := range commands {
		b.ok("alice", append([]string{"--bundle", bundle}, command...)...)
	}
	return bundle + ".answers"
}

// messages is how many entries a tip has.
func (b *bench) messages(tip string) int { return len(b.Open("alice", tip).Messages) }

func TestAnswersOfEveryKindAreSignedAndSent(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	code := b.Submit("one")
	tip := b.tip()
	file := b.answered(tip,
		[]string{"ack", tip, "-m", "we have it"}, []string{"accept", tip}, []string{"assign", tip, "bob", "--due", "2099-01-01"},
		[]string{"grant", tip, "carol"}, []string{"note", tip, "-m", "a note"}, []string{"ask", tip, "-m", "when?"},
		[]string{"finding", tip, "partly", "-m", "so it was"}, []string{"hold", tip, "-m", "wait"}, []string{"release", tip})
	if text := must(os.ReadFile(file)); bytes.Contains(text, []byte("we have it")) || bytes.Contains(text, []byte("partly")) {
		t.Error("the answers can be read")
	}
	if got := b.messages(tip); got != 1 {
		t.Fatalf("%d entries before it is sent", got)
	}
	shown := b.ok("alice", "send", "--show", file)
	if strings.Count(shown, "waits") != 9 || !strings.Contains(shown, "assign: to bob, due 2099-01-01") || !strings.Contains(shown, "grant: to carol") {
		t.Errorf("shown:\n%s", shown)
	}
	if got := b.messages(tip); got != 1 {
		t.Fatalf("%d entries after it was shown", got)
	}
	if sent := b.ok("alice", "send", file); strings.Count(sent, "sent  ") != 9 {
		t.Errorf("sent:\n%s", sent)
	}
	opened := b.Open("carol", tip)
	if len(opened.Messages) != 10 || len(opened.Faults) > 0 || opened.Case.Owner != "bob" {
		t.Errorf("%d entries, faults %q", len(opened.Messages), opened.Faults)
	}
	thread := must(b.Service.Thread(context.Background(), code))
	if got := thread.Messages[2].Text; got != "when?" {
		t.Errorf("the source reads %q", got)
	}
	if again := b.ok("alice", "send", file); again != "" || b.messages(tip) != 10 {
		t.Errorf("a second time:\n%s", again)
	}
}

func TestEraseTravelsToo(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	code := b.Submit("one")
	tip := b.tip()
	file := b.answered(tip, []string{"erase", tip, "--yes"})
	b.ok("alice", "send", file)
	if _, err := b.Service.Thread(context.Background(), code); !errors.Is(err, tipbox.ErrNoThread) {
		t.Errorf("the thread: %v", err)
	}
}

// TestBrokenLineSendsNothingTwice has the line break before and after the desk
// has taken an answer.
func TestBrokenLineSendsNothingTwice(t *testing.T) {
	for _, taken := range []bool{false, true} {
		for _, action := range []string{"reply", "grant", "erase"} {
			b := newBench(t, tipboxtest.Config{})
			b.Submit("one")
			tip := b.tip()
			command := map[string][]string{"reply": {"reply", tip, "-m", "x"}, "grant": {"grant", tip, "carol"}, "erase": {"erase", tip, "--yes"}}[action]
			file := b.answered(tip, command)
			b.intercept = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost {
					return false
				}
				if taken {
					event := new(tipbox.SealedEvent)
					if err := json.Unmarshal(must(io.ReadAll(r.Body)), event); err != nil {
						t.Error(err)
					}
					if err := b.Service.Append(context.Background(), b.Member("alice"), tip, []byte(event.Note), event.Sealed); err != nil {
						t.Error(err)
					}
				}
				panic(http.ErrAbortHandler)
			}
			b.fails("alice", exitFailed, "nothing is sent twice", "send", file)
			b.intercept = nil
			if got := b.ok("alice", "send", file); !strings.HasPrefix(got, "sent ") {
				t.Errorf("%s, taken %v: %s", action, taken, got)
			}
			if action == "erase" {
				b.fails("bob", exitFailed, "not found", "read", tip)
			} else if got := b.messages(tip); got != 2 {
				t.Errorf("%s, taken %v: %d entries", action, taken, got)
			}
		}
	}
}

func TestDeskThatFailsLeavesAnswersWaiting(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	tip := b.tip()
	file := b.answered(tip, []string{"ack", tip, "-m", "x"}, []string{"accept", tip})
	b.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			http.Error(w, `{"code":"internal"}`, http.StatusInternalServerError)
		}
		return r.Method == http.MethodPost
	}
	b.fails("alice", exitFailed, "it failed", "send", file)
	b.intercept = nil
	if got := b.ok("alice", "send", file); strings.Count(got, "sent ") != 2 {
		t.Errorf("sent: %s", got)
	}
}

func TestWhatTheRulesForbidMeanwhileIsRefused(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	tip := b.tip()
	file := b.answered(tip, []string{"grant", tip, "carol"}, []string{"note", tip, "-m", "for carol"})
	b.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusConflict)
			io.WriteString(w, `{"code":"rule","message":"rule grant: a reason"}`)
		}
		return r.Method == http.MethodPost
	}
	status, stdout, _ := b.tipbox("alice", "send", file)
	b.intercept = nil
	if status != exitFailed || !strings.Contains(stdout, "rule grant") || !strings.Contains(stdout, "what it follows, grant, was not taken") {
		t.Errorf("status %d: %s", status, stdout)
	}
	if got := b.messages(tip); got != 1 {
		t.Errorf("%d entries", got)
	}
	// With the same bundle it can be answered anew.
	bundle := strings.TrimSuffix(file, ".answers")
	b.ok("alice", "--bundle", bundle, "note", tip, "-m", "without carol")
	if got := b.ok("alice", "send", file); !strings.HasPrefix(got, "sent ") || b.messages(tip) != 2 {
		t.Errorf("sent: %s", got)
	}
}

func TestDeskThatShowsAnotherListGetsNoSignature(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	tip := b.tip()
	b.ok("alice", "ack", tip, "-m", "x")
	file := b.answered(tip, []string{"accept", tip})
	for name, c := range map[string]struct {
		change func(file *tipbox.TipFile)
		says   string
	}{
		"one taken back": {func(file *tipbox.TipFile) { file.Events = file.Events[:1] }, "it has taken some back"},
		"another last": {func(file *tipbox.TipFile) {
			note := must(b.Key("bob").Sign(strings.SplitAfter(file.Events[1].Note, "\n\n")[0][:len(strings.SplitAfter(file.Events[1].Note, "\n\n")[0])-1]))
			file.Events[1].Note = string(note)
		}, "it shows two histories"},
		"another tip": {func(file *tipbox.TipFile) { file.Events[0].Note = "x" }, "not an event"},
	} {
		b.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				t.Errorf("%s: it was signed and sent", name)
				return true
			}
			if !strings.HasSuffix(r.URL.Path, "/tips/"+tip) {
				return false
			}
			shown := must(b.Service.Tip(context.Background(), b.Member("alice"), tip))
			c.change(shown)
			json.NewEncoder(w).Encode(shown)
			return true
		}
		b.fails("alice", exitFailed, c.says, "send", file)
	}
	b.intercept = nil
	if got := b.ok("alice", "send", file); !strings.HasPrefix(got, "sent ") {
		t.Errorf("afterwards: %s", got)
	}
}

func TestAnswersOfAnotherOrDamagedAreRefused(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	tip := b.tip()
	file := b.answered(tip, []string{"ack", tip, "-m", "x"})
	text := string(must(os.ReadFile(file)))
	head, line, _ := strings.Cut(text, "\n")
	for name, bad := range map[string]string{
		"empty":             "",
		"no head":           line,
		"another format":    strings.Replace(text, "answers v1", "answers v2", 1),
		"a field more":      strings.Replace(text, `{"event"`, `{"more":1,"event"`, 1),
		"no answer":         head + "\n{}\n",
		"by another":        strings.Replace(text, `"by":"alice"`, `"by":"bob"`, 1),
		"of another":        strings.Replace(strings.Replace(text, `"by":"alice"`, `"by":"bob"`, 1), `"member":"alice"`, `"member":"bob"`, 1),
		"the source's":      strings.Replace(text, `"action":"ack"`, `"action":"message"`, 1),
		"no action":         strings.Replace(text, `"action":"ack"`, `"action":"x"`, 1),
		"a message altered": strings.Replace(text, `"sealed":"YWdl`, `"sealed":"YWdm`, 1),
		"two on a line":     strings.TrimSuffix(text, "\n") + line,
		"cut":               text[:len(text)/2],
		"a huge line":       head + "\n" + strings.Repeat(" ", maxAnswerLine+1) + line,
		"zeros":             head + "\n\x00\x00\n",
	} {
		path := filepath.Join(t.TempDir(), "x.answers")
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := b.tipbox("alice", "send", path)
		if status != exitFailed || stdout != "" || !strings.Contains(stderr, "x.answers") {
			t.Errorf("%s: status %d: %s%s", name, status, stdout, stderr)
		}
	}
	if got := b.messages(tip); got != 1 {
		t.Errorf("%d entries", got)
	}
	// Beside a bundle they stop whoever would add to them.
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.fails("alice", exitFailed, "not a file of answers", "--bundle", strings.TrimSuffix(file, ".answers"), "read", tip)
}

func TestWhatCannotBeNotedIsNotDone(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	tip := b.tip()
	file := b.answered(tip, []string{"ack", tip, "-m", "x"})
	a := &app{ctx: context.Background(), home: desk.Home(b.home("alice")), stdout: io.Discard, stderr: io.Discard}
	s := must(a.connect())
	defer s.Close()
	w := must(readAnswers(file))
	w.path = filepath.Join(t.TempDir(), "none", "x.answers")
	if err := w.send(a, s, 0); !errors.Is(err, os.ErrNotExist) || b.messages(tip) != 1 {
		t.Errorf("sent without a note of it: %v", err)
	}
	opened := b.Open("alice", tip)
	if err := w.take(opened); err != nil {
		t.Fatal(err)
	}
	if err := w.add(opened, "alice", tipbox.Act{Action: tipbox.ActionAccept}); !errors.Is(err, os.ErrNotExist) || len(w.list) != 1 {
		t.Errorf("%d answers: %v", len(w.list), err)
	}
}

// TestShowHidesNothingThatIsSigned alters what is in the clear of an answer on its
// way.
func TestShowHidesNothingThatIsSigned(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	tip := b.tip()
	b.ok("alice", "ack", tip, "-m", "x")
	b.ok("alice", "accept", tip)
	b.ok("alice", "assign", tip, "bob", "--due", "2099-01-01")
	b.ok("bob", "finding", tip, "unsubstantiated", "-m", "no")
	file := b.answered(tip, []string{"finding", tip, "partly", "-m", "so it was"})
	honest := string(must(os.ReadFile(file)))
	last := must(b.Service.Tip(t.Context(), b.Member("alice"), tip)).Last()
	was := b.ok("alice", "send", "--show", file)
	for _, field := range []string{"day: " + today(), "before: " + last.SHA256, "sealed: "} {
		if !strings.Contains(was, "\n         "+field) {
			t.Errorf("no %q in:\n%s", field, was)
		}
	}
	for to, says := range map[string][]string{
		`"action":"finding","decides":true`: {"finding: with it the finding is made", "decides: true"},
		`"action":"finding","recuse":true`:  {"finding: takes no part", "recuse: true"},
		`"action":"award","terms":{"schedule":"test","currency":"CNY","amount":99999900,"total":99999901}`: {
			"award: 99999900 minor units of CNY", "terms amount: 99999900", "terms total: 99999901", "terms schedule: test"},
	} {
		text := strings.Replace(honest, `"action":"finding"`, to, 1)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil || text == honest {
			t.Fatal(err, honest)
		}
		shown, doc := b.ok("alice", "send", "--show", file), b.ok("alice", "--json", "send", "--show", file)
		for _, word := range says {
			if !strings.Contains(shown, word) || strings.Contains(was, word) {
				t.Errorf("no %q in:\n%s", word, shown)
			}
		}
		if !strings.Contains(doc, `"signed":{"tip":"`+tip+`"`) || !strings.Contains(doc, to[strings.Index(to, ","):]) {
			t.Errorf("no %s in:\n%s", to, doc)
		}
	}
	// Afterwards it is what was signed.
	if err := os.WriteFile(file, []byte(honest), 0o600); err != nil {
		t.Fatal(err)
	}
	sent := b.ok("alice", "--json", "send", file)
	note := must(b.Service.Tip(t.Context(), b.Member("alice"), tip)).Events[last.Number].Note
	if signed := strings.Split(note, "\n")[1]; !strings.Contains(sent, `"signed":`+signed) {
		t.Errorf("signed was\n%s\nand shown\n%s", signed, sent)
	}
}

// TestShowLeavesOutNoField fills every field of an event in turn, also one that is
// new.
func TestShowLeavesOutNoField(t *testing.T) {
	show := func(e *tipbox.Event, json bool) string {
		var out bytes.Buffer
		a := &app{stdout: &out, json: json}
		if err := a.showAnswer(&answer{Unsigned: &tipbox.Unsigned{Event: e}, Sent: "2026-11-22"}, true); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	n := 0
	// fill sets what v holds, and returns what must be shown of it.
	var fill func(v reflect.Value) []string
	fill = func(v reflect.Value) (words []string) {
		n++
		switch v.Kind() {
		case reflect.String:
			v.SetString(fmt.Sprintf("word%d", n))
			return []string{v.String()}
		case reflect.Int, reflect.Int64:
			v.SetInt(int64(76543000 + n))
			return []string{fmt.Sprint(v.Int())}
		case reflect.Bool:
			v.SetBool(true)
			return []string{"true"}
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			return fill(v.Elem())
		case reflect.Struct:
			for i := range v.NumField() {
				words = append(words, fill(v.Field(i))...)
			}
			return words
		case reflect.Slice:
			if v.Type().Elem().Kind() == reflect.Uint8 {
				v.SetBytes(fmt.Appendf(nil, "bytes%d", n))
				return []string{base64.StdEncoding.EncodeToString(v.Bytes())}
			}
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			return append(fill(v.Index(0)), fill(v.Index(1))...)
		}
		t.Fatalf("a field of the kind %s: teach this test to fill it", v.Kind())
		return nil
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[tipbox.Event]()) {
		if !field.IsExported() || field.Tag.Get("json") == "-" {
			continue // it is not in what is signed
		}
		e := new(tipbox.Event)
		for _, json := range []bool{false, true} {
			*e = tipbox.Event{}
			empty := show(e, json)
			words := fill(reflect.ValueOf(e).Elem().FieldByIndex(field.Index))
			shown := show(e, json)
			for _, word := range words {
				if !strings.Contains(shown, word) || strings.Contains(empty, word) {
					t.Errorf("%s, JSON %v: no %q in:\n%s", field.Name, json, word, shown)
				}
			}
		}
	}
}

func FuzzReadAnswers(f *testing.F) {
	f.Add([]byte(`{"format":"tipbox answers v1","member":"alice"}` + "\n" +
		`{"event":{"tip":"aaaaaaaaaaaaaaaa","number":2,"action":"erase","day":"2026-11-22","before":"` + strings.Repeat("0", 64) + `"},"by":"alice","after":{"number":1,"sha256":""}}` + "\n"))
	f.Add([]byte(`{"format":"tipbox answers v1","member":"alice"}` + "\n{\"event\":null}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := &answers{path: filepath.Join(t.TempDir(), "x")}
		if w.parse(bytes.NewReader(data)) != nil {
			return
		}
		a := &app{ctx: context.Background(), stdout: io.Discard, stderr: io.Discard}
		for i, one := range w.list {
			w.before(i)
			one.isAt(&tipbox.TipFile{Events: make([]tipbox.SealedEvent, one.Event.Number&0xff)})
			if err := a.showAnswer(one, true); err != nil {
				t.Error(err)
			}
		}
		if err := w.write(); err != nil {
			t.Fatal(err)
		}
		again, err := readAnswers(w.path)
		if err != nil || len(again.list) != len(w.list) || again.waiting() != w.waiting() {
			t.Errorf("it does not read back: %v", err)
		}
	})
}
