package bolt

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"tipbox/store"
)

// childEnv names the database that the test binary, run again, writes to.
const childEnv = "TIPBOX_BOLT_TEST_CHILD"

// TestWhatWasAppliedSurvivesAKill kills a process that writes from many
// goroutines, and compacts meanwhile, again and again on the same file.
func TestWhatWasAppliedSurvivesAKill(t *testing.T) {
	path := newPath(t)
	applied := make(map[store.Key]string)
	for round := range 4 {
		last := make(map[string]string) // by goroutine
		for ack := range kill(t, path, 60+40*round) {
			worker, n, _ := strings.Cut(ack, " ")
			last[worker] = n
			applied[store.Key("log/"+worker+"/"+n)] = n
		}
		db := start(t, path)
		alone(t, path)
		if err := db.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		found := make(map[store.Key]string)
		for _, r := range all(t, db) {
			found[r.Key] = string(r.Value)
		}
		for k, v := range applied {
			if got, ok := found[k]; !ok || got != v {
				t.Errorf("round %d: %s was applied and is %q", round, k, got)
			}
		}
		// Each Apply moves the counter and writes the entry of that number:
		// one may have been done unheard, but not half done.
		for worker, n := range last {
			counter := found[store.Key("counter/"+worker)]
			if counter < n || found[store.Key("log/"+worker+"/"+counter)] != counter {
				t.Errorf("round %d: worker %s heard of %s, its counter is %s", round, worker, n, counter)
			}
			if next := found[store.Key("log/"+worker+"/"+after(counter))]; next != "" {
				t.Errorf("round %d: worker %s wrote an entry beyond its counter", round, worker)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// kill runs a child until it told of n Applies, kills it, and returns all that
// it told.
func kill(t *testing.T, path string, n int) <-chan string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	told := make(chan string, 100_000)
	defer close(told)
	lines := bufio.NewReader(out)
	for i := 0; ; i++ {
		line, err := lines.ReadString('\n')
		if err != nil { // a line cut short was not told
			if i < n {
				t.Errorf("the child told of %d Applies only", i)
			}
			cmd.Wait()
			return told
		}
		told <- strings.TrimSuffix(line, "\n")
		if i == n {
			cmd.Process.Kill()
		}
	}
}

// child writes to the database at path until it is killed, and tells of every
// Apply that returned.
func child(path string) {
	db, err := Open(path, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	work := func(worker string) error {
		ctx := context.Background()
		counter := store.Key("counter/" + worker)
		r, _ := db.Get(ctx, counter)
		for n := after(string(r.Value)); ; n = after(n) {
			err := db.Apply(ctx,
				store.Create(store.Key("log/"+worker+"/"+n), []byte(n)),
				store.Update(counter, []byte(n), r.Revision))
			if err != nil {
				return err
			}
			fmt.Printf("%s %s\n", worker, n) // one write: lines do not mix
			if r, err = db.Get(ctx, counter); err != nil {
				return err
			}
		}
	}
	failed := make(chan error)
	for i := range 8 {
		go func() { failed <- work(fmt.Sprint(i)) }()
	}
	go func() {
		for {
			if err := db.Compact(context.Background()); err != nil {
				failed <- err
			}
		}
	}()
	fmt.Fprintln(os.Stderr, <-failed)
	os.Exit(1)
}

// after counts in a width that sorts.
func after(n string) string {
	i, _ := strconv.Atoi(n)
	return fmt.Sprintf("%08d", i+1)
}
