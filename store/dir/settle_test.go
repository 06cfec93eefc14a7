package dir

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tipbox/store"
)

// A calendar is a day that tests turn over.
type calendar struct{ day time.Time }

func newCalendar() *calendar { return &calendar{time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)} }

func (c *calendar) next() { c.day = c.day.AddDate(0, 0, 1) }

func (c *calendar) open(t testing.TB, folder string) *Blobs {
	t.Helper()
	b, err := Open(folder, &Config{Day: func() time.Time { return c.day }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func settle(t testing.TB, b *Blobs, want int) {
	t.Helper()
	if n, err := b.Settle(t.Context(), nil); n != want || err != nil {
		t.Fatalf("%d blobs were settled, want %d: %v", n, want, err)
	}
}

func content(n int) string { return strings.Repeat(fmt.Sprintln("blob", n), 50*n) }

// byPath is what the system says of each blob.
func byPath(t *testing.T, folder string) map[string]fs.FileInfo {
	t.Helper()
	all := make(map[string]fs.FileInfo)
	each(t, folder, func(path string, info fs.FileInfo) {
		if info.Mode().IsRegular() {
			all[path] = info
		}
	})
	return all
}

func TestSettleGivesTheBlobsOfEarlierDaysNewFiles(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "blobs")
	days := newCalendar()
	b := days.open(t, folder)
	const n = 20
	for i := range n {
		put(t, b, name(i), content(i))
	}
	settle(t, b, 0) // the day is not over
	before := byPath(t, folder)
	for path, info := range before {
		if !info.ModTime().Equal(days.day) {
			t.Errorf("%s was modified %v", path, info.ModTime())
		}
	}
	days.next()
	put(t, b, name(n), content(n))
	settle(t, b, n)
	after := byPath(t, folder)
	for i := range n {
		if path := place(name(i)); after[path] == nil || os.SameFile(before[path], after[path]) || !after[path].ModTime().Equal(always) {
			t.Errorf("%s is as it was", path)
		}
		if got := read(t, b, name(i)); got != content(i) {
			t.Errorf("blob %d has %d bytes, of %d", i, len(got), len(content(i)))
		}
	}
	if today := after[place(name(n))]; len(after) != n+1 || !today.ModTime().Equal(days.day) {
		t.Errorf("there are %d files, and today's was modified %v", len(after), today.ModTime())
	}
	settle(t, b, 0)
	for path, info := range byPath(t, folder) {
		if !os.SameFile(info, after[path]) {
			t.Errorf("%s is another file again", path)
		}
	}
	if shards := len(files(t, folder)) - 1 - (n + 1); shards < 32*32+1 {
		t.Errorf("there are %d folders", shards)
	}
	// Who opens the folder anew, on whatever day, goes on.
	days.next()
	settle(t, days.open(t, folder), 1)
}

func TestSettleBringsNoBlobBackThatIsRemovedMeanwhile(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "blobs")
	days := newCalendar()
	b := days.open(t, folder)
	const n = 100
	for i := range n {
		put(t, b, name(i), content(i))
	}
	days.next()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n / 2 {
			if err := b.Remove(t.Context(), name(2*i)); err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := b.Settle(t.Context(), nil); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if left := len(byPath(t, folder)); left != n/2 {
		t.Errorf("%d blobs are left of %d, and of the others nothing may be", left, n/2)
	}
}

func TestSettleThatIsGivenUpGoesOnAtTheNextCall(t *testing.T) {
	days := newCalendar()
	b := days.open(t, filepath.Join(t.TempDir(), "blobs"))
	put(t, b, name(1), content(1))
	put(t, b, name(2), content(2))
	days.next()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := b.Settle(ctx, nil); n != 0 || err == nil {
		t.Errorf("%d blobs are settled: %v", n, err)
	}
	noRoom := errors.New("no room")
	n, err := b.Settle(t.Context(), func(size int64) error {
		if size == int64(len(content(2))) {
			return noRoom
		}
		return nil
	})
	if n != 1 || !errors.Is(err, noRoom) {
		t.Errorf("%d blobs are settled, though there is no room for one: %v", n, err)
	}
	settle(t, b, 1)
}

// settleEnv names the folder in which the test binary, run again, settles.
const settleEnv = "TIPBOX_DIR_TEST_SETTLE"

func TestBlobsSurviveAKillWhileTheyAreSettled(t *testing.T) {
	if folder := os.Getenv(settleEnv); folder != "" {
		settleForEver(t, folder)
	}
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "blobs")
	b := newCalendar().open(t, folder)
	const n = 20
	for i := range n {
		put(t, b, name(i), content(10*i))
	}
	b.Close()
	for round := range 8 {
		cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), settleEnv+"="+folder)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		said, _ := bufio.NewReader(out).ReadString('\n')
		time.Sleep(time.Duration(5+7*round) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		if said != "settling\n" {
			t.Fatalf("it said %q", said)
		}
		b := start(t, folder)
		var names []string
		if err := b.List(t.Context(), func(name string, _ int64) error { names = append(names, name); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(names) != n {
			t.Fatalf("round %d: there are %d blobs of %d", round, len(names), n)
		}
		for i := range n {
			if got := read(t, b, name(i)); got != content(10*i) {
				t.Errorf("round %d: blob %d has %d bytes, of %d", round, i, len(got), len(content(10*i)))
			}
		}
		if left := slices.DeleteFunc(files(t, filepath.Join(folder, tmp)), func(name string) bool { return name == "." }); len(left) > 0 {
			t.Errorf("round %d: %q is left", round, left)
		}
		b.Close()
	}
}

// settleForEver settles the same blobs day after day.
func settleForEver(t *testing.T, folder string) {
	days := newCalendar()
	b := days.open(t, folder)
	var once sync.Once
	for {
		for path := range byPath(t, folder) {
			if store.ValidateBlobName(filepath.Base(path)) == nil {
				b.root.Chtimes(path, days.day, days.day)
			}
		}
		days.next()
		once.Do(func() { fmt.Println("settling") })
		if n, err := b.Settle(t.Context(), nil); n == 0 || err != nil {
			fmt.Println(n, err)
			os.Exit(1)
		}
	}
}

// TestSettleFindsTheBlobsOfAClockThatWasWrong has a day that comes after ours.
func TestSettleFindsTheBlobsOfAClockThatWasWrong(t *testing.T) {
	days := newCalendar()
	b := days.open(t, filepath.Join(t.TempDir(), "blobs"))
	put(t, b, name(0), content(1))
	days.day = days.day.AddDate(-1, 0, 0)
	settle(t, b, 1)
	settle(t, b, 0)
}
