package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"tipbox/tipbox"
	"tipbox/tipbox/desk"
	"tipbox/tipbox/tipboxtest"
)

func TestCalendarSaysNothingOfTheContent(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("secret words", tipboxtest.File{Name: "secret.txt", Content: "x"})
	tip := b.tip()
	first := b.ok("alice", "due", "--ics")
	b.Act("alice", tip, tipbox.Act{Action: tipbox.ActionAccept})
	b.Act("alice", tip, tipbox.Act{Action: tipbox.ActionAssign, Owner: "bob", Due: "2098-12-31"})
	second := b.ok("alice", "due", "--ics")
	for _, doc := range []string{first, second} {
		for line := range strings.SplitSeq(strings.TrimSuffix(doc, "\r\n"), "\r\n") {
			if strings.ContainsAny(line, "\r\n") || len(line) > 75 || !strings.Contains(line, ":") {
				t.Errorf("the line %q", line)
			}
		}
		for _, word := range []string{"off-book", "bob", "alice", "assigned", "received", "secret", "VALARM"} {
			if strings.Contains(doc, word) {
				t.Errorf("it says %s:\n%s", word, doc)
			}
		}
		for _, line := range []string{
			"BEGIN:VCALENDAR", "VERSION:2.0", "UID:" + tip + "@tipbox", "DTSTAMP:" + strings.ReplaceAll(today(), "-", "") + "T000000Z",
			"CLASS:PRIVATE", "TRANSP:TRANSPARENT", "END:VCALENDAR",
		} {
			if strings.Count(doc, line+"\r\n") != 1 {
				t.Errorf("no line %s, or two:\n%s", line, doc)
			}
		}
	}
	due := b.Inbox("alice")[0]
	for _, want := range []string{"SUMMARY:Tipbox " + tip + ": " + string(due.DueFor), "DTSTART;VALUE=DATE:" + strings.ReplaceAll(due.Due, "-", "")} {
		if !strings.Contains(second, want+"\r\n") {
			t.Errorf("not %s:\n%s", want, second)
		}
	}
	if !strings.Contains(first, "SUMMARY:Tipbox "+tip+": ack\r\n") {
		t.Errorf("not the acknowledgement:\n%s", first)
	}
	b.fails("alice", exitUsage, "--ics", "--json", "due", "--ics")
}

func TestDueOfOneChannel(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	if _, err := b.Service.Submit(context.Background(), b.Draft(), tipbox.Submission{Channel: "bribery", Text: "two", Lang: "en"}); err != nil {
		t.Fatal(err)
	}
	for channel, want := range map[string]int{"off-book-funds": 1, "bribery": 1, "unread": 0} {
		if got := strings.Count(b.ok("bob", "--json", "due", "--channel", channel), "\n"); got != want {
			t.Errorf("%s: %d deadlines, want %d", channel, got, want)
		}
	}
}

// A desk that lies writes nothing of its own into a calendar.
func TestCalendarOfALyingDesk(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	good := b.Inbox("alice")[0]
	for name, spoil := range map[string]func(*tipbox.InboxItem){
		"tip":    func(i *tipbox.InboxItem) { i.Tip = "x\r\nATTENDEE:mailto:a@b" },
		"action": func(i *tipbox.InboxItem) { i.DueFor = "ack\r\nATTACH:x" },
		"day":    func(i *tipbox.InboxItem) { i.Due = "2026-11-31" },
	} {
		b.intercept = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/inbox") {
				return false
			}
			bad := good
			spoil(&bad)
			body, _ := json.Marshal(desk.InboxPage{Items: []tipbox.InboxItem{bad}})
			w.Write(body)
			return true
		}
		if status, stdout, stderr := b.tipbox("alice", "due", "--ics"); status != exitFailed || stdout != "" || !strings.Contains(stderr, "makes no sense") {
			t.Errorf("%s: status %d: %s%s", name, status, stdout, stderr)
		}
	}
}
