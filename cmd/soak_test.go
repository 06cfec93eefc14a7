package cmd_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

// The soak of issue 7 lasts an hour, that of every night five minutes:
//
//	go test ./cmd -run 'TestSoak$' -soak.for 1h -timeout 2h -v
var soakFor = flag.Duration("soak.for", 6*time.Second, "time under load in TestSoak, both halves together")

const (
	soakSenders  = 4
	soakPause    = 700 * time.Millisecond // on average, between what one does and does next
	soakGrowth   = 24 << 10               // KiB by which a half may end above where it was once warm
	soakRoutines = 40                     // goroutines of a server that has nothing to do, at most
	soakFiles    = 8                      // connections and files that may be left for a while
)

// TestSoak puts a mixed load on the server for a time, with a restart in the
// middle: tips, files, follow-ups, erasures, lookers, wrong codes, half-sent
// requests; at the desk an investigator who reads, answers and saves; and an
// operator who asks, backs up and compacts. The memory stays where it was, no
// file and no goroutine is left over, and all that was said to be kept is there,
// byte for byte.
func TestSoak(t *testing.T) {
	k := &soak{crash: crash{o: newOffice(t, filepath.Join(t.TempDir(), "server"), 2), pause: soakPause, read: true}}
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	k.recipient = key.Recipient().String()
	for half := range 2 {
		k.half(t, half)
	}
	s := k.o.serve(t)
	page, err := k.talk.thread(newSource(k.o.sources))
	if err != nil || strings.Count(page, `data-from="desk"`) != k.answers {
		t.Errorf("the source has not all of %d answers: %v", k.answers, err)
	}
	s.stop(t)
	report := k.o.mustBeWhole(t, true)
	t.Logf("%d answers; %+v", k.answers, report)
	k.tips = append(k.tips, k.talk)
	k.count()
	if report.Tips != k.Tips || report.Messages != k.Messages+k.answers || report.Files != k.Files || report.Erased != k.Erased {
		t.Errorf("%+v is there, %+v and %d answers were kept", report, k.crashCount, k.answers)
	}
}

// A soak is a crash without the crash.
type soak struct {
	crash
	recipient string // of backups
	talk      *crashTip
	talkID    string
	answers   int // to it
}

// half is: start, load, settle, verify, end. The second ends with a dump of all
// goroutines.
func (k *soak) half(t *testing.T, half int) {
	s := k.o.serve(t)
	files := s.files(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	k.begin(t)
	for i, work := range []func(context.Context, *rand.Rand) error{k.visit, k.visit, k.annoy, k.investigate, k.talkOn, k.operate} {
		rng := rand.New(rand.NewPCG(uint64(half), uint64(i)))
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := work(ctx, rng); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
				rest(ctx, rng, soakPause)
			}
		})
	}
	fresh := make([][]*crashTip, soakSenders)
	for i := range fresh {
		rng := rand.New(rand.NewPCG(uint64(half), uint64(100+i)))
		var old []*crashTip
		for j := i; j < len(k.tips); j += soakSenders {
			if !k.tips[j].erasing && len(old) < 100 {
				old = append(old, k.tips[j])
			}
		}
		wg.Go(func() {
			var err error
			if fresh[i], err = k.sender(ctx, rng, fmt.Sprintf("half %d sender %d %s", half, i, canary), old); err != nil || ctx.Err() == nil {
				t.Error("a sender ended early", err)
			}
		})
	}
	anon := k.watch(ctx, t, s, *soakFor/2)
	cancel()
	wg.Wait()
	for _, tips := range fresh {
		k.tips = append(k.tips, tips...)
	}
	k.mustBeFlat(t, half, anon)

	deadline := time.Now().Add(time.Minute)
	for s.files(t) > files+soakFiles {
		if time.Now().After(deadline) {
			t.Fatalf("the server had %d files open before, and has %d", files, s.files(t))
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("half %d: %d tips so far, %d files open before and %d after, %d threads", half, len(k.tips), files, s.files(t), s.status(t, "Threads"))
	k.verify(t, rand.New(rand.NewPCG(uint64(half), 0)), 50)
	if bytes.Contains(s.output.Bytes(), []byte(canary)) || bytes.Contains(s.output.Bytes(), []byte(sourceAddress)) || bytes.Contains(s.output.Bytes(), []byte(sourceAgent)) {
		t.Errorf("the server's output tells of sources:\n%.4000s", s.output.Bytes())
	}
	s.mustNotHavePanicked(t)
	if half == 0 {
		s.stop(t)
		k.o.mustBeWhole(t, true)
		return
	}
	s.end(syscall.SIGQUIT) // has Go print every goroutine
	n := bytes.Count(s.output.Bytes(), []byte("\ngoroutine "))
	if t.Logf("%d goroutines", n); n == 0 || n > soakRoutines {
		t.Errorf("%d goroutines are left:\n%.8000s", n, s.output.Bytes())
	}
	k.o.mustBeWhole(t, false)
}

// watch returns the server's own memory, in KiB, at sixty moments of the time.
func (k *soak) watch(ctx context.Context, t *testing.T, s *serving, d time.Duration) (anon []int) {
	for range 60 {
		select {
		case <-time.After(d / 60):
		case <-s.ended:
			t.Fatalf("tipboxd ended: %v\n%s", s.err, s.output.Bytes())
		}
		anon = append(anon, s.status(t, "RssAnon"))
	}
	return anon
}

// mustBeFlat compares the last quarter with the second, in which the server is
// warm. A half of seconds is not warm before it is over, so that less is said.
func (k *soak) mustBeFlat(t *testing.T, half int, anon []int) {
	warm, end := medianOf(slices.Clone(anon[15:30])), medianOf(slices.Clone(anon[45:]))
	t.Logf("half %d: memory of the server's own %d KiB in the second quarter, %d in the last; at most %d (medians): %v", half, warm, end, slices.Max(anon), anon)
	growth := soakGrowth
	if *soakFor < 5*time.Minute {
		growth *= 2
	}
	if end > warm+growth {
		t.Errorf("the server grew from %d to %d KiB", warm, end)
	}
}

func rest(ctx context.Context, rng *rand.Rand, d time.Duration) {
	select {
	case <-time.After(time.Duration(rng.Int64N(int64(2 * d)))):
	case <-ctx.Done():
	}
}

// visit is somebody who looks around, and tries a code that opens nothing.
func (k *soak) visit(ctx context.Context, rng *rand.Rand) error {
	s := newSource(k.o.sources)
	paths := []string{"/", "/tip", "/thread", "/questions", "/about", "/who", "/?lang=zh-Hans", "/tip?lang=ar", "/robots.txt", "/healthz"}
	if _, err := s.get(paths[rng.IntN(len(paths))]); err != nil || rng.IntN(3) > 0 {
		return err
	}
	page, err := s.get("/thread")
	if err != nil {
		return err
	}
	digits := make([]string, 12)
	for i := range digits {
		digits[i] = fmt.Sprintf("%04d", rng.IntN(2048))
	}
	status, page, err := s.post(page, "/thread", url.Values{"code": {strings.Join(digits, " ")}})
	if err == nil && status != http.StatusNotFound && status != http.StatusUnprocessableEntity && status != http.StatusBadRequest {
		err = fmt.Errorf("a wrong code: status %d: %s", status, notice(page))
	}
	return err
}

// annoy is somebody who hangs up: before a request, in the middle of its
// headers, of a file, and before the answer.
func (k *soak) annoy(ctx context.Context, rng *rand.Rand) error {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", k.o.sources)
	if err != nil {
		return err
	}
	defer conn.Close()
	part := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + canary + "\"\r\n\r\n" + strings.Repeat("x", 300_000)
	requests := []string{"", "GET / HT", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "\x16\x03\x01 no TLS here\r\n\r\n",
		fmt.Sprintf("POST /tip HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s", len(part)+1000, part)}
	io.WriteString(conn, requests[rng.IntN(len(requests))]) // an answer that comes before the end is as good
	rest(ctx, rng, soakPause)
	return nil
}

// investigate is the desk's work: the list, and a tip with its files.
func (k *soak) investigate(ctx context.Context, rng *rand.Rand) error {
	client, err := desk.NewClient(desk.ClientConfig{Address: k.o.desk, Key: k.o.readers[0].SigningKey, Roster: k.o.roster})
	if err != nil {
		return err
	}
	defer client.Close()
	items, err := k.o.inbox(client)
	if err != nil || len(items) == 0 {
		return err
	}
	id := items[rng.IntN(len(items))].Tip
	opened, err := k.o.open(client, id)
	if err != nil {
		return takenBack(err)
	}
	for _, m := range opened.Messages {
		for _, f := range m.Files {
			if err := k.o.copyFile(io.Discard, client, opened, f); err != nil {
				return takenBack(err)
			}
		}
	}
	return nil
}

// takenBack takes what a source took back meanwhile for no fault.
func takenBack(err error) error {
	if errors.Is(err, tipbox.ErrNotFound) {
		return nil
	}
	return err
}

// begin sends the tip that is talked about, and finds it at the desk.
func (k *soak) begin(t *testing.T) {
	t.Helper()
	if k.talk != nil {
		return
	}
	k.talk = &crashTip{messages: []*crashMessage{{action: "/tip", text: "let us talk " + canary}}}
	s, m := newSource(k.o.sources), k.talk.messages[0]
	var err error
	if m.page, err = s.get("/tip"); err == nil {
		m.page, err = m.send(s, "")
	}
	if k.talk.words = element(m.page, "receipt-code"); err != nil || k.talk.words == "" {
		t.Fatal("no receipt", err)
	}
	items, err := k.o.inbox(k.o.client(t))
	if err != nil || len(items) != 1 {
		t.Fatal(len(items), err)
	}
	k.talkID = items[0].Tip
	if _, errs, err := k.o.tool(t, "read", k.talkID); err != nil {
		t.Fatal(err, errs)
	}
}

// talkOn is an answer by the members' tool, and the source who reads it.
func (k *soak) talkOn(ctx context.Context, rng *rand.Rand) error {
	k.answers++
	said := fmt.Sprintf("answer %d to you", k.answers)
	cmd := exec.Command(program("tipbox"), "--home", k.o.memberDir, "reply", k.talkID, "-m", said)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("tipbox reply: %w: %s", err, out)
	}
	page, err := k.talk.thread(newSource(k.o.sources))
	if err == nil && !strings.Contains(threadText(page), said) {
		err = fmt.Errorf("the source does not see %q", said)
	}
	rest(ctx, rng, 10*soakPause)
	return err
}

// operate is what an operator's timers and fingers do.
func (k *soak) operate(ctx context.Context, rng *rand.Rand) error {
	backup := filepath.Join(k.o.memberDir, fmt.Sprintf("backup-%d.age", rng.Uint64()))
	commands := [][]string{
		{"status", k.o.dir, "--json"}, {"status", k.o.dir, "--metrics"}, {"doctor", k.o.dir, "--json"}, {"compact", k.o.dir},
		{"backup", k.o.dir, backup, "--recipient", k.recipient},
	}
	args := commands[rng.IntN(len(commands))]
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, program("tipboxd"), args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	os.Remove(backup)
	if err != nil && args[0] != "doctor" { // which has something to say about every test's machine
		return fmt.Errorf("tipboxd %s: %w: %s", args[0], err, out.Bytes())
	}
	if bytes.Contains(out.Bytes(), []byte(canary)) || bytes.Contains(out.Bytes(), []byte(sourceAddress)) {
		return fmt.Errorf("tipboxd %s tells of sources: %s", args[0], out.Bytes())
	}
	rest(ctx, rng, 5*soakPause)
	return nil
}
