package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
	"tipbox/tipbox/tipboxtest"
)

// feed runs the tool as a member with standard input.
func (b *bench) feed(member, stdin string, args ...string) (status int, stdout, stderr string) {
	b.t.Helper()
	var out, errs bytes.Buffer
	status = run(context.Background(), append([]string{"--home", b.home(member)}, args...), strings.NewReader(stdin), &out, &errs)
	return status, out.String(), errs.String()
}

// submit sends so many tips and returns their names.
func (b *bench) submit(n int) (tips []string) {
	b.t.Helper()
	before := b.Inbox("alice")
	for range n {
		b.Submit("a text")
	}
	for _, i := range b.Inbox("alice") {
		if !slices.ContainsFunc(before, func(old tipbox.InboxItem) bool { return old.Tip == i.Tip }) {
			tips = append(tips, i.Tip)
		}
	}
	return tips
}

func TestBatchGoesOnAfterAFailure(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	tips := b.submit(4)
	b.Act("alice", tips[1], tipbox.Act{Action: tipbox.ActionAck, Text: "done before"})
	list := "\uFEFFTIP   CHANNEL\n" + tips[0] + "  off-book-funds\n\n" + tips[1] + "\r\nnonsense\x1b[2J here\n" + tips[0] + "\n" + `{"tip":"` + tips[2] + `","x":1}` + "\n" + tips[3]
	status, stdout, stderr := b.feed("alice", list, "ack", "-", "-m", "we have read it")
	want := tips[0] + " acknowledged\n" + tips[1] + " FAILED: rule path: "
	if status != exitFailed || !strings.HasPrefix(stdout, want) || !strings.Contains(stderr, "done: 3 of 5") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if len(lines) != 5 || lines[2] != `nonsense\u{1b}[2J FAILED: this is no tip's name` || lines[4] != tips[3]+" acknowledged" {
		t.Errorf("the lines: %q", lines)
	}
	for _, tip := range tips {
		if got := len(b.Open("alice", tip).Messages); got != 2 {
			t.Errorf("tip %s has %d entries, want 2", tip, got)
		}
	}

	status, stdout, stderr = b.feed("alice", strings.Join(tips, "\n"), "--json", "accept", "-")
	if status != exitDone || !strings.Contains(stderr, "Done: 4 of 4") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	status, stdout, _ = b.feed("alice", tips[0]+"\nx\n", "--json", "accept", "-")
	var docs []struct{ Tip, State, Error string }
	for line := range strings.Lines(stdout) {
		var doc struct{ Tip, State, Error string }
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	if status != exitFailed || len(docs) != 2 || docs[0].Tip != tips[0] || !strings.Contains(docs[0].Error, "rule path") || docs[1].Tip != "x" || docs[1].Error == "" {
		t.Errorf("status %d: %+v", status, docs)
	}

	if status, stdout, stderr := b.feed("alice", "\n \nTIP CHANNEL\n", "accept", "-"); status != exitDone || stdout != "" || !strings.Contains(stderr, "nothing was done") {
		t.Errorf("no tips: status %d: %s%s", status, stdout, stderr)
	}
	// The text and the tips cannot come the same way.
	if status, _, stderr := b.feed("alice", tips[0], "note", "-"); status != exitUsage || !strings.Contains(stderr, "with -m or -f") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

func TestBatchTakesOneConnectionAndOnePassphrase(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	tips := b.submit(5)
	locked, err := roster.Lock(b.Key("alice").Reveal(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	pass := filepath.Join(t.TempDir(), "pass")
	for file, text := range map[string][]byte{desk.Home(b.home("alice")).KeyFile(): locked, pass: []byte("correct horse\n")} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := b.connections.Load()
	if status, stdout, stderr := b.feed("alice", strings.Join(tips, "\n"), "--passphrase-file", pass, "accept", "-"); status != exitDone {
		t.Fatalf("status %d: %s%s", status, stdout, stderr)
	}
	if got := b.connections.Load() - before; got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

// Every command that works a case takes a batch.
func TestBatchOfEveryCommand(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	tips := b.submit(2)
	list := strings.Join(tips, "\n")
	for _, step := range [][]string{
		{"alice", "acknowledged", "ack", "-", "-m", "x"},
		{"alice", "accepted", "accept", "-"},
		{"alice", "accepted", "grant", "-", "carol"},
		{"alice", "assigned", "assign", "-", "bob", "--due", "2099-01-01"},
		{"bob", "investigating", "note", "-", "-m", "x"},
		{"bob", "awaiting", "ask", "-", "-m", "x"},
		{"bob", "sent", "reply", "-", "-m", "x"},
		{"bob", "investigating", "finding", "-", "partly", "-m", "x"},
		{"alice", "found", "finding", "-", "partly", "-m", "x"},
		{"alice", "found", "recover", "-", "100", "CNY", "--found"},
		{"alice", "answered", "answer", "-", "-m", "x"},
		{"carol", "closed", "close", "-", "-m", "x"},
		{"carol", "reverifying", "reverify", "-", "-m", "x"},
		{"alice", "reverifying", "hold", "-", "-m", "x"},
		{"alice", "reverifying", "release", "-"},
	} {
		status, stdout, stderr := b.feed(step[0], list, step[2:]...)
		if want := tips[0] + " " + step[1] + "\n" + tips[1] + " " + step[1] + "\n"; status != exitDone || stdout != want {
			t.Fatalf("%v: status %d: %s%s", step, status, stdout, stderr)
		}
	}
	for _, args := range [][]string{{"read", "-"}, {"case", "-"}} {
		status, stdout, stderr := b.feed("bob", list, args...)
		if status != exitDone || strings.Count(stdout, "Tip "+tips[0]) != 1 || strings.Count(stdout, "Tip "+tips[1]) != 1 {
			t.Errorf("%v: status %d: %s%s", args, status, stdout, stderr)
		}
		status, stdout, stderr = b.feed("bob", "x\n"+list, append([]string{"--json"}, args...)...)
		if status != exitFailed || strings.Count(stdout, "\n") != 3 || !strings.HasPrefix(stdout, `{"tip":"x","error":`) {
			t.Errorf("%v: status %d: %s%s", args, status, stdout, stderr)
		}
	}
	if status, stdout, _ := b.feed("alice", list, "erase", "-", "--yes"); status != exitDone || stdout != tips[0]+" erased\n"+tips[1]+" erased\n" {
		t.Errorf("status %d: %s", status, stdout)
	}
	more := b.submit(2)
	if status, stdout, stderr := b.feed("alice", strings.Join(more, "\n"), "decline", "-", "--scope", "-m", "x"); status != exitDone || strings.Count(stdout, " declined\n") != 2 {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

// A desk that goes away is not asked again for every tip.
func TestBatchEndsWithTheDesk(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	tips := b.submit(3)
	asked := 0
	b.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/tips/") {
			return false
		}
		asked++
		panic(http.ErrAbortHandler)
	}
	status, stdout, stderr := b.feed("alice", strings.Join(tips, "\n"), "accept", "-")
	if status != exitFailed || strings.Count(stdout, "FAILED: not tried") != 2 || !strings.Contains(stderr, "done: 0 of 3") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	if asked > 2 { // once more by the client itself
		t.Errorf("the desk was asked %d times", asked)
	}
}

func TestBatchInterruptedSaysWhatWasNotTried(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	tips := b.submit(3)
	ctx, stop := context.WithCancel(context.Background())
	posts := 0
	b.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			posts++
		}
		if posts == 2 {
			stop()
			<-r.Context().Done()
		}
		return posts == 2
	}
	var out, errs bytes.Buffer
	status := run(ctx, []string{"--home", b.home("alice"), "accept", "-"}, strings.NewReader(strings.Join(tips, "\n")), &out, &errs)
	lines := strings.Split(out.String(), "\n")
	if status != exitFailed || len(lines) != 4 || lines[0] != tips[0]+" accepted" || !strings.Contains(lines[1], "FAILED: ") || !strings.Contains(lines[2], "FAILED: ") ||
		!strings.Contains(errs.String(), "done: 1 of 3") {
		t.Errorf("status %d: %s%s", status, out.String(), errs.String())
	}
	if got := b.Open("alice", tips[2]).Case.State; got != tipbox.StateReceived {
		t.Errorf("the last is %s", got)
	}
}
