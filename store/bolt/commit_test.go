package bolt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"tipbox/store"
)

func TestLoneApplyIsOneCommit(t *testing.T) {
	db := start(t, newPath(t))
	before := commits(t, db)
	for i := range 5 {
		put(t, db, "a", fmt.Sprint(i))
	}
	if n := commits(t, db) - before; n != 5 {
		t.Errorf("5 Applies, one after the other, made %d commits", n)
	}
}

func TestNothingToWriteIsNoCommit(t *testing.T) {
	db := start(t, newPath(t))
	put(t, db, "a", "")
	before := commits(t, db)
	if err := db.Apply(t.Context(), store.Check("b", 0), store.Delete("c")); err != nil {
		t.Error(err)
	}
	if err := db.Apply(t.Context(), store.Create("a", nil)); !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
	if n := commits(t, db) - before; n != 0 {
		t.Errorf("made %d commits", n)
	}
}

func TestConcurrentAppliesShareACommit(t *testing.T) {
	db := start(t, newPath(t))
	before := commits(t, db)
	const n = 50
	w := hold(t, db)
	done := w.apply(n, func(i int) []store.Change { return []store.Change{store.Create(key(i), value(i))} })
	w.release()
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if made := commits(t, db) - before; made != 2 { // the first one's, and that of all others
		t.Errorf("%d Applies at once made %d commits", n, made)
	}
	if found := all(t, db); len(found) != n {
		t.Errorf("%d records of %d", len(found), n)
	}
}

func TestConflictsInASharedCommitDisturbNobody(t *testing.T) {
	db := start(t, newPath(t))
	before := commits(t, db)
	const n = 30
	w := hold(t, db)
	// Of every three one creates a record that all want, beside its own.
	done := w.apply(n, func(i int) []store.Change {
		c := []store.Change{store.Create(key(i), nil)}
		if i%3 == 0 {
			c = append(c, store.Create("wanted", []byte(fmt.Sprint(i))))
		}
		return c
	})
	w.release()
	conflicts := 0
	for range n {
		if err := <-done; errors.Is(err, store.ErrConflict) {
			conflicts++
		} else if err != nil {
			t.Error(err)
		}
	}
	if want := n/3 - 1; conflicts != want {
		t.Errorf("%d conflicts, want %d", conflicts, want)
	}
	if found := all(t, db); len(found) != n-conflicts+1 {
		t.Errorf("%d records, want %d", len(found), n-conflicts+1)
	}
	if made := commits(t, db) - before; made != 2 {
		t.Errorf("made %d commits", made)
	}
}

// TestSharedCommitIsInQueueOrder queues updates that are each right only after
// the one before: a put, a check of what it made, its removal.
func TestSharedCommitIsInQueueOrder(t *testing.T) {
	db := start(t, newPath(t))
	w := hold(t, db)
	steps := []store.Change{
		store.Create("a", []byte("1")), store.Put("a", []byte("2")), store.Delete("a"),
		store.Check("a", 0), store.Create("a", []byte("3")), store.Create("b", nil),
	}
	var results []<-chan error
	for _, c := range steps {
		results = append(results, w.apply(1, func(int) []store.Change { return []store.Change{c} }))
	}
	w.release()
	for i, done := range results {
		if err := <-done; err != nil {
			t.Errorf("step %d: %v", i, err)
		}
	}
	if r, err := db.Get(t.Context(), "a"); err != nil || string(r.Value) != "3" {
		t.Errorf("at the end: %q, %v", r.Value, err)
	}
}

func TestSharedCommitIsBounded(t *testing.T) {
	db := start(t, newPath(t))
	before := commits(t, db)
	const n = 12
	w := hold(t, db)
	large := make([]byte, store.MaxBytes-100)
	done := w.apply(n, func(i int) []store.Change { return []store.Change{store.Put(store.Key(fmt.Sprint(i)), large)} })
	w.release()
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if made := commits(t, db) - before; made != 3 { // one, nine that reach 8 MiB, two
		t.Errorf("%d large Applies made %d commits", n, made)
	}
}

func TestLeadershipIsHandedOver(t *testing.T) {
	var q queue
	var requests []*request
	leads := make(chan int, 3)
	for i := range 3 {
		r := &request{turn: make(chan bool, 1)}
		requests = append(requests, r)
		go func() {
			if ok, _ := q.join(t.Context(), r); ok {
				leads <- i
			}
		}()
		eventually(t, "a request in the queue", func() bool {
			q.mu.Lock()
			defer q.mu.Unlock()
			return q.busy && len(q.waiting) == i
		})
	}
	for i, r := range requests {
		if got := <-leads; got != i {
			t.Fatalf("request %d leads, want %d", got, i)
		}
		// A commit of its own: the others came too late for it. Then it
		// returns, whoever waits.
		q.handOver([]*request{r})
	}
	if q.busy || len(q.waiting) != 0 {
		t.Error("the queue does not rest")
	}
}

func TestCancelledApplyLeavesTheQueue(t *testing.T) {
	db := start(t, newPath(t))
	before := commits(t, db)
	w := hold(t, db)
	leads, cancelLeads := context.WithCancel(t.Context())
	waits, cancelWaits := context.WithCancel(t.Context())
	leader := w.applyWith(leads, 1, func(int) []store.Change { return []store.Change{store.Put("leads", nil)} })
	first := w.applyWith(waits, 1, func(int) []store.Change { return []store.Change{store.Put("waits", nil)} })
	other := w.apply(1, func(int) []store.Change { return []store.Change{store.Put("other", nil)} })
	cancelWaits()
	if err := <-first; !errors.Is(err, context.Canceled) { // while the commit is still held up
		t.Errorf("the waiting Apply: %v", err)
	}
	cancelLeads() // too late
	w.release()
	for name, done := range map[string]<-chan error{"leading": leader, "other": other} {
		if err := <-done; err != nil {
			t.Errorf("the %s Apply: %v", name, err)
		}
	}
	var keys []string
	for _, r := range all(t, db) {
		keys = append(keys, string(r.Key))
	}
	if got := strings.Join(keys, " "); got != "leads other" {
		t.Errorf("written: %s", got)
	}
	if made := commits(t, db) - before; made != 2 {
		t.Errorf("made %d commits", made)
	}
}

func TestCloseWaitsForTheQueue(t *testing.T) {
	path := newPath(t)
	db := start(t, path)
	const n = 10
	w := hold(t, db)
	done := w.apply(n, func(i int) []store.Change { return []store.Change{store.Put(key(i), nil)} })
	closed := make(chan error)
	go func() { closed <- db.Close() }()
	select {
	case <-closed:
		t.Error("Close did not wait")
	case <-time.After(20 * time.Millisecond):
	}
	w.release()
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if found := all(t, start(t, path)); len(found) != n {
		t.Errorf("%d records of %d", len(found), n)
	}
}

func TestFailedCommitFailsAllAndTheNextIsGood(t *testing.T) {
	db := start(t, newPath(t))
	put(t, db, "a", "before")
	db.at.Load().bolt.MaxSize = 64 << 10 // like a full disk
	const n = 4
	w := hold(t, db)
	done := w.apply(1, func(int) []store.Change { return []store.Change{store.Check("a", 1)} }) // leads alone
	shared := w.apply(n, func(i int) []store.Change {
		if i == n-1 {
			return []store.Change{store.Create("0", nil)} // conflicts with the first, if that counted
		}
		return []store.Change{store.Put(store.Key(fmt.Sprint(i)), make([]byte, 100<<10))}
	})
	w.release()
	if err := <-done; !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
	for range n {
		if err := <-shared; err == nil || errors.Is(err, store.ErrConflict) {
			t.Errorf("in a commit that failed: %v", err)
		}
	}
	if found := all(t, db); len(found) != 1 || string(found[0].Value) != "before" {
		t.Errorf("after a failed commit: %v", found)
	}
	db.at.Load().bolt.MaxSize = 0
	put(t, db, "a", strings.Repeat("after", 50<<10))
	if err := db.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCommitThatMayNotLastStopsTheDB(t *testing.T) {
	path := newPath(t)
	db := start(t, path)
	put(t, db, "a", "")
	// The state a failed last sync leaves: the transaction is there to be read.
	db.distrust(commits(t, db), fmt.Errorf("syncing: %w", syscall.EIO))
	_, getErr := db.Get(t.Context(), "a")
	_, scanErr := db.Scan(t.Context(), "", "", 1)
	for _, err := range []error{getErr, scanErr, db.Apply(t.Context(), store.Put("b", nil)), db.Check(t.Context())} {
		if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "start again") {
			t.Errorf("after a failed sync: %v", err)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	put(t, start(t, path), "b", "")
}

// commits returns how many transactions the file has seen.
func commits(t testing.TB, db *DB) (n int) {
	t.Helper()
	err := db.at.Load().bolt.View(func(tx *bbolt.Tx) error {
		n = tx.ID()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A holder has bbolt's write lock, so that a commit begins but gets no further.
type holder struct {
	t    *testing.T
	db   *DB
	tx   *bbolt.Tx
	wait int // Applies begun
	once sync.Once
}

func hold(t *testing.T, db *DB) *holder {
	tx, err := db.at.Load().bolt.Begin(true)
	if err != nil {
		t.Error(err)
	}
	w := &holder{t: t, db: db, tx: tx}
	t.Cleanup(w.release)
	return w
}

func (w *holder) release() { w.once.Do(func() { w.tx.Rollback() }) }

func (w *holder) apply(n int, changes func(i int) []store.Change) <-chan error {
	return w.applyWith(w.t.Context(), n, changes)
}

// applyWith begins n Applies, one after the other, and returns when all are in
// the queue, but for the first since hold, which leads.
func (w *holder) applyWith(ctx context.Context, n int, changes func(i int) []store.Change) <-chan error {
	done := make(chan error, n)
	for i := range n {
		go func() { done <- w.db.Apply(ctx, changes(i)...) }()
		w.wait++
		eventually(w.t, "an Apply in the queue", func() bool {
			w.db.queue.mu.Lock()
			defer w.db.queue.mu.Unlock()
			return w.db.queue.busy && len(w.db.queue.waiting) >= w.wait-1
		})
	}
	return done
}
