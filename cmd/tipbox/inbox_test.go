package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// listed are the tips of an inbox's lines.
func listed(stdout string) (tips []string) {
	for line := range strings.Lines(stdout) {
		if fields := strings.Fields(line); fields[0] != inboxHeading {
			tips = append(tips, fields[0])
		}
	}
	return tips
}

func TestInboxSaysWhatNeedsThisMember(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	tips := b.submit(3)
	for _, tip := range tips[1:] {
		b.Act("alice", tip, tipbox.Act{Action: tipbox.ActionAck, Text: "thank you"})
		b.Act("alice", tip, tipbox.Act{Action: tipbox.ActionAccept})
	}
	b.Act("alice", tips[2], tipbox.Act{Action: tipbox.ActionAssign, Owner: "bob", Due: "2099-01-01"})
	for _, want := range []struct {
		member string
		now    map[string]string // by tip
	}{
		{"alice", map[string]string{tips[0]: "ack", tips[1]: "assign", tips[2]: ""}},
		{"bob", map[string]string{tips[0]: "ack", tips[1]: "assign", tips[2]: "finding"}},
	} {
		for line := range strings.Lines(b.ok(want.member, "--json", "inbox")) {
			var item struct{ Tip, State, Now string }
			if err := json.Unmarshal([]byte(line), &item); err != nil {
				t.Fatal(err)
			}
			if now, ok := want.now[item.Tip]; !ok || item.Now != now || item.State == "" {
				t.Errorf("%s: %+v, want %q", want.member, item, now)
			}
		}
		list := b.ok(want.member, "inbox", "--now")
		for tip, now := range want.now {
			if strings.Contains(list, tip) != (now != "") {
				t.Errorf("%s: %s is listed or not:\n%s", want.member, tip, list)
			}
			if now != "" && !regexp.MustCompile(tip+`.* `+now+`\n`).MatchString(list) {
				t.Errorf("%s: want %s for %s:\n%s", want.member, now, tip, list)
			}
		}
	}
	if status, stdout, stderr := b.tipbox("carol", "inbox", "--now"); status != exitDone || stdout != "" || !strings.Contains(stderr, "No tip for you is like that") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

// What the tool itself leaves out does not end a page early, and no page leaves
// out what comes after its last line.
func TestInboxFiltersGoThroughPages(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Clock.Advance(-20 * 24 * time.Hour)
	late := b.submit(1)[0]
	b.Clock.Advance(20 * 24 * time.Hour)
	tips := b.submit(tipbox.MaxPage + 5)
	for i, tip := range tips {
		if i%3 == 0 {
			b.Act("alice", tip, tipbox.Act{Action: tipbox.ActionAccept})
			b.Act("alice", tip, tipbox.Act{Action: tipbox.ActionAssign, Owner: "bob", Due: "2099-01-01"})
		}
	}
	want := b.ok("alice", "inbox", "--now", "--limit", "1000")
	if got, all := len(listed(want)), len(tips)-(len(tips)+2)/3+1; got != all {
		t.Errorf("%d tips need alice, want %d", got, all)
	}
	// Line by line, with the cursors in between, it is the same list.
	var got []string
	cursor := regexp.MustCompile(`--after (\S+)`)
	for after := ""; ; {
		status, stdout, stderr := b.tipbox("alice", "inbox", "--now", "--limit", "30", "--after", after)
		if status != exitDone {
			t.Fatal(stderr)
		}
		got = append(got, listed(stdout)...)
		next := cursor.FindStringSubmatch(stderr)
		if next == nil {
			break
		}
		if len(listed(stdout)) != 30 {
			t.Errorf("a page of %d, and more follow", len(listed(stdout)))
		}
		after = next[1]
	}
	if !slices.Equal(got, listed(want)) {
		t.Errorf("by pages there are %d, at once %d", len(got), len(listed(want)))
	}

	// The oldest one is on the last page.
	if got := listed(b.ok("alice", "inbox", "--due", "overdue", "--limit", "1")); !slices.Equal(got, []string{late}) {
		t.Errorf("overdue are %v, want %s", got, late)
	}
	due := b.Inbox("alice")
	day := due[slices.IndexFunc(due, func(i tipbox.InboxItem) bool { return i.Tip == late })].Due
	dayBefore, _ := time.Parse(time.DateOnly, day)
	if got := listed(b.ok("alice", "inbox", "--due", day)); !slices.Equal(got, []string{late}) {
		t.Errorf("due by %s are %v, want %s", day, got, late)
	}
	if got := listed(b.ok("alice", "inbox", "--due", dayBefore.AddDate(0, 0, -1).Format(time.DateOnly))); len(got) != 0 {
		t.Errorf("due the day before are %v", got)
	}
	b.fails("alice", exitUsage, "2006-01-02, or overdue", "inbox", "--due", "tomorrow")

	// A calendar has all of them, whatever the limit.
	if got := strings.Count(b.ok("alice", "due", "--ics", "--limit", "3"), "BEGIN:VEVENT"); got != len(tips)+1 {
		t.Errorf("%d entries in the calendar, want %d", got, len(tips)+1)
	}
}
