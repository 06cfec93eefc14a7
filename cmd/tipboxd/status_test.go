package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// toldBy is all that a folder's server tells.
func toldBy(t *testing.T, f *folder) string {
	t.Helper()
	s, err := f.status()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(doc) + "\n" + string(s.metrics())
}

// TestCountersDoNotTellTheHourOfATip has two servers that differ by the hour of a tip,
// and by what the tip does to the process meanwhile: its connections, an upload's
// memory, the disk. Whoever asks all the time cannot tell them apart.
func TestCountersDoNotTellTheHourOfATip(t *testing.T) {
	const step = 10 * time.Minute
	watch := func(at time.Duration) (seen []string) {
		var received int64
		o := tipboxtest.New(t, tipboxtest.Config{Free: func() (int64, error) { return 8<<30 + 1<<20 - received, nil }})
		for range 9 {
			o.Submit("one of nine")
		}
		o.Clock.Advance(12*time.Hour - step) // a moment before the day begins
		now := process{memory: 30 << 20, goroutines: 20, files: 12}
		f := &folder{
			path: t.TempDir(), service: o.Service, sources: newCrowd(nil, 100), members: newCrowd(nil, 100),
			observer: &observer{service: o.Service, since: o.Service.Today(), process: func() process { return now }},
		}
		look := func() {
			t.Helper()
			if err := f.observer.look(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		look()
		for passed := time.Duration(0); passed < 72*time.Hour; passed += step {
			o.Clock.Advance(step)
			usual := now
			if passed == at {
				now.memory, now.goroutines, now.files = 95<<20, 33, 20
				for range 6 {
					f.sources.guests[new(guest)] = true
				}
			}
			look()
			seen = append(seen, toldBy(t, f))
			if passed == at {
				o.Submit("the tenth")
				received += 2 << 30
				seen[len(seen)-1] += toldBy(t, f)
				clear(f.sources.guests)
			} else {
				seen[len(seen)-1] += toldBy(t, f)
			}
			now = usual
		}
		return seen
	}
	first := watch(9 * time.Hour)
	for _, at := range []time.Duration{step, 15*time.Hour + 30*time.Minute, 24*time.Hour - step} {
		for i, got := range watch(at) {
			if got != first[i] {
				t.Fatalf("a tip at %v can be told from one at 9h, when it is %v:\n%s\nand\n%s", at, time.Duration(i)*step, got, first[i])
			}
		}
	}
	day := int(24 * time.Hour / step)
	if first[0] != first[day-1] || first[day] == first[0] || !strings.Contains(first[day], `tipbox_open_cases{state="received"} 10`) {
		t.Errorf("the days are\n%s\nand\n%s", first[0], first[day])
	}
	if !strings.Contains(first[day], `tipbox_day_before_memory_bytes{of="highest"} `) || !strings.Contains(first[day], `"memory_mib":{"lowest":16,"highest":64}`) {
		t.Errorf("the second day does not tell of the first: %s", first[day])
	}
}

func TestConnectionsAreToldWhenNobodyStandsOut(t *testing.T) {
	for n, want := range map[int]int64{0: 0, 1: 0, 63: 0, 64: 64, 127: 64, 128: 128, 4096: 4096} {
		if got := connectionsTold(n); got != want {
			t.Errorf("%d connections are told as %d, want %d", n, got, want)
		}
	}
}

func TestConfinementIsTold(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	f := &folder{
		path: t.TempDir(), service: o.Service, sources: newCrowd(nil, 1), members: newCrowd(nil, 1),
		observer: &observer{service: o.Service},
	}
	if says := toldBy(t, f); !strings.Contains(says, `"confinement":[]`) {
		t.Errorf("without: %s", says)
	}
	f.observer.confine("Landlock 7", `a "filter"`)
	if says := toldBy(t, f); !strings.Contains(says, `"confinement":["Landlock 7",`) || !strings.Contains(says, `tipbox_confinement_info{what="a \"filter\""} 1`) {
		t.Errorf("with: %s", says)
	}
}

// promLine is a line of the text format.
var promLine = regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="([^"\\\n]|\\.)*"(,[a-z]+="([^"\\\n]|\\.)*")*\})? -?[0-9]+)$`)

// TestStatusOfARunningServer asks the real thing, before and after a tip with a file.
func TestStatusOfARunningServer(t *testing.T) {
	dir, _ := soundFolder(t)
	if status, says := runProgram(t, "status", dir); status != exitFailed || !strings.Contains(says, "no server is running: start it with tipboxd serve") {
		t.Errorf("stopped: status %d, %s", status, says)
	}
	s := serveFolder(t, dir)
	defer s.end(t)
	s.wait(t, func() bool { return bytes.Contains(s.log.Bytes(), []byte("msg=serving")) })
	ask := func(args ...string) string {
		t.Helper()
		status, says := runProgram(t, append([]string{"status", dir}, args...)...)
		if status != exitDone {
			t.Fatalf("%q: status %d, %s", args, status, says)
		}
		return says
	}
	var doc status
	if err := json.Unmarshal([]byte(ask("--json")), &doc); err != nil {
		t.Fatal(err)
	}
	today := time.Now().UTC().Format(time.DateOnly)
	if doc.Since != today || doc.Backup != today || doc.Compaction != "" || doc.Roster.Serial != 2 || doc.Format != tipbox.Format || doc.Census == nil {
		t.Errorf("%+v", doc)
	}
	for _, line := range []string{"since " + today, "serial 2", "fewer than ten in each state", "fewer than 64 from sources"} {
		if says := ask(); !strings.Contains(says, line) {
			t.Errorf("%q is not in\n%s", line, says)
		}
	}
	counters := ask("--metrics")
	for line := range strings.Lines(counters) {
		if !promLine.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("no line of the text format: %q", line)
		}
	}
	if got := getMetrics(t, dir, "/metrics"); got != counters {
		t.Errorf("on the socket:\n%s", got)
	}
	if got := getMetrics(t, dir, "/other"); strings.Contains(got, "tipbox_") {
		t.Errorf("at another path: %s", got)
	}
	sendTip(t, string(regexp.MustCompile(`sources=(\S+)`).FindSubmatch(s.log.Bytes())[1]))
	if now := ask("--metrics"); now != counters {
		t.Errorf("after a tip:\n%s\nbefore it:\n%s", now, counters)
	}
	if got, err := os.Stat(filepath.Join(dir, controlName)); err != nil || got.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", got, err)
	}
	if bytes.Contains(s.log.Bytes(), []byte("request")) {
		t.Errorf("what is asked all the time is logged: %s", s.log.Bytes())
	}
}

func getMetrics(t *testing.T, dir, path string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, controlName))
		},
	}}
	answer, err := client.Get("http://localhost" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)

// sendTip sends a tip with a file by the form.
func sendTip(t *testing.T, address string) {
	t.Helper()
	answer, err := http.Get("http://" + address + "/tip")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, field := range hiddenField.FindAllStringSubmatch(string(page), -1) {
		form.WriteField(field[1], field[2])
	}
	form.WriteField("channel", "off-book-funds")
	form.WriteField("text", "They keep a second book.")
	part, err := form.CreateFormFile("files", "book.bin")
	if err != nil {
		t.Fatal(err)
	}
	part.Write(make([]byte, 8<<20))
	form.Close()
	answer, err = http.Post("http://"+address+"/tip", form.FormDataContentType(), &body)
	if err != nil {
		t.Fatal(err)
	}
	page, err = io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || !bytes.Contains(page, []byte("receipt-code")) {
		t.Fatalf("status %d, %v: %s", answer.StatusCode, err, page)
	}
}

// TestBackupAndCompactionLeaveTheirDay leaves a day, and no backup takes it along.
func TestBackupAndCompactionLeaveTheirDay(t *testing.T) {
	dir := newDemo(t, "")
	key := newBackupKey(t)
	parent := t.TempDir()
	backup := filepath.Join(parent, "backup.age")
	for _, args := range [][]string{{"backup", dir, backup, "--recipient", key.Recipient().String()}, {"compact", dir}} {
		if status, says := runProgram(t, args...); status != exitDone {
			t.Fatalf("%q: %s", args, says)
		}
	}
	today := time.Now().UTC().Format(time.DateOnly)
	for _, mark := range []string{backupMark, compactMark} {
		text, err := os.ReadFile(filepath.Join(dir, mark))
		if err != nil || string(text) != today+"\n" {
			t.Errorf("%s: %q, %v", mark, text, err)
		}
	}
	restored := filepath.Join(parent, "restored")
	if status, says := runProgram(t, "restore", backup, restored, "-i", key.file); status != exitDone {
		t.Fatal(says)
	}
	if _, err := os.Stat(filepath.Join(restored, backupMark)); !os.IsNotExist(err) {
		t.Errorf("a restored server has a mark: %v", err)
	}
	failed := filepath.Join(parent, "none", "backup.age")
	remove(t, dir, backupMark)
	if status, _ := runProgram(t, "backup", dir, failed, "--recipient", key.Recipient().String()); status != exitFailed {
		t.Error("a backup to nowhere is done")
	}
	if _, err := os.Stat(filepath.Join(dir, backupMark)); !os.IsNotExist(err) {
		t.Error("a backup that failed has left its day")
	}
}

// TestNoServerDeceivesTheTerminal has one that was broken into tell of itself.
func TestNoServerDeceivesTheTerminal(t *testing.T) {
	var out bytes.Buffer
	s := &status{Version: "1\x1b]0;x\x07\u009b2J", Certificates: []certificateStatus{{Name: "a\nroster  serial 9"}}}
	s.print(&app{stdout: &out})
	if strings.ContainsAny(out.String(), "\x1b\x07\u009b") || strings.Contains(out.String(), "\nroster  serial 9") {
		t.Errorf("%q", out.String())
	}
}
