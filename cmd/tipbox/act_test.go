package main

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

func TestDuplicatesAreLinkedBothWays(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	tips := b.submit(3)
	first, later, third := tips[0], tips[1], tips[2]
	decline := func(tip, of string, args ...string) []string {
		return append([]string{"decline", tip, "--duplicate-of", of, "-m", "we look into this already"}, args...)
	}
	b.fails("alice", exitUsage, "of itself", decline(later, later)...)
	b.fails("alice", exitUsage, "no tip's name", decline(later, "nonsense")...)
	b.fails("alice", exitFailed, "came first, aaaaaaaaaaaaaaaa: ", decline(later, "aaaaaaaaaaaaaaaa")...)
	b.fails("alice", exitUsage, "--added is for a duplicate", "decline", later, "--scope", "--added", "x", "-m", "x")
	// One that this member cannot read.
	if _, err := b.Service.Submit(context.Background(), b.Draft(), tipbox.Submission{Channel: "bribery", Text: "two", Lang: "en"}); err != nil {
		t.Fatal(err)
	}
	for _, i := range b.Inbox("bob") {
		if i.Channel == "bribery" {
			b.fails("alice", exitFailed, "not found", decline(later, i.Tip)...)
		}
	}
	if got := len(b.Open("alice", later).Messages); got != 1 {
		t.Fatalf("%d entries in what was not declined", got)
	}

	b.ok("alice", decline(later, first, "--added", "the second\naccount")...)
	if m := b.Open("bob", later).Messages[1]; m.Detail == nil || m.Detail.Of != first || m.Detail.Added != "the second\naccount" {
		t.Errorf("the later one says %+v", m.Detail)
	}
	if m := b.Open("bob", first).Messages[1]; m.Action != tipbox.ActionNote || m.Detail == nil || *m.Detail != (tipbox.Detail{Reason: tipbox.Duplicate, Of: later, Added: "the second\naccount"}) {
		t.Errorf("the first says %+v", m)
	}
	for tip, want := range map[string]string{
		later: "decline   alice: duplicate of " + first + "\n│ we look into this already\n     [what the later one added to the first:]\n│ the second\n│ account\n",
		first: "note      alice: the first of " + later + "\n     [what the later one added to the first:]\n│ the second\n│ account\n",
	} {
		if got := b.ok("bob", "case", tip); !strings.Contains(got, want) {
			t.Errorf("the case does not say %q:\n%s", want, got)
		}
	}
	// Not each the duplicate of the other.
	b.fails("alice", exitFailed, "one of the two must be worked", decline(first, later)...)

	// The note fails: the line to be typed makes it.
	posts := 0
	b.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			posts++
		}
		if r.Method != http.MethodPost || posts == 1 {
			return false
		}
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, "{}")
		return true
	}
	status, _, stderr := b.tipbox("alice", decline(third, first, "--added", "it's more")...)
	b.intercept = nil
	typed := regexp.MustCompile(third + ` is declined, but ` + first + ` has no note of it: .* Make it: tipbox note (\S+) --duplicate (\S+) --added 'it'\\''s more'`).FindStringSubmatch(stderr)
	if status != exitFailed || typed == nil || b.Open("alice", third).Case.State != tipbox.StateDeclined {
		t.Fatalf("status %d: %s", status, stderr)
	}
	b.ok("alice", "note", typed[1], "--duplicate", typed[2], "--added", "it's more")
	messages := b.Open("bob", first).Messages
	if d := messages[len(messages)-1].Detail; d == nil || d.Of != third || d.Added != "it's more" {
		t.Errorf("the first says %+v", d)
	}
}

// Who may not note it in the first case declines nothing.
func TestDuplicateOfACaseWithoutAPart(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	tips := b.submit(2)
	for _, a := range []tipbox.Act{
		{Action: tipbox.ActionAccept}, {Action: tipbox.ActionAssign, Owner: "bob", Due: "2099-01-01"},
		{Action: tipbox.ActionFinding, Recuse: true, Text: "my brother"},
	} {
		b.Act("alice", tips[0], a)
	}
	b.fails("alice", exitFailed, "rule recused", "decline", tips[1], "--duplicate-of", tips[0], "-m", "x")
	if got := b.Open("alice", tips[1]).Case.State; got != tipbox.StateReceived {
		t.Errorf("it is %s", got)
	}
}
