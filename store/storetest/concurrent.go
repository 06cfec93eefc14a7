package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tipbox/store"
)

// testCounters counts from several goroutines by compare-and-swap; each count
// moves two records, so a lost or a half-done Apply shows.
func (s *suite) testCounters(t *testing.T) {
	st := s.start(t)
	const workers, rounds, counters = 8, 15, 3
	increment := func(n int) error {
		key, total := store.Key(fmt.Sprintf("count/%d", n)), store.Key("total")
		for {
			changes := make([]store.Change, 0, 2)
			for _, k := range []store.Key{key, total} {
				r, err := st.Get(t.Context(), k)
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				was, _ := strconv.Atoi(string(r.Value))
				changes = append(changes, store.Update(k, []byte(strconv.Itoa(was+1)), r.Revision))
			}
			if err := st.Apply(t.Context(), changes...); !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				if err := increment((w + i) % counters); err != nil {
					t.Errorf("counting: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, r := range dump(t, st, "count/") {
		n, _ := strconv.Atoi(string(r.Value))
		sum += n
	}
	if total := string(get(t, st, "total").Value); total != strconv.Itoa(workers*rounds) || sum != workers*rounds {
		t.Errorf("counted %d and %s, want %d", sum, total, workers*rounds)
	}
}

// testOneWinner lets several create the same record at once, each beside one
// of its own. All but one fail, and write nothing; those who create only their
// own are not disturbed.
func (s *suite) testOneWinner(t *testing.T) {
	st := s.start(t)
	const rounds, workers = 5, 8
	for round := range rounds {
		prize := store.Key(fmt.Sprintf("prize/%d", round))
		mine := func(w int) store.Key { return store.Key(fmt.Sprintf("own/%d/%d", round, w)) }
		errs := make([]error, workers)
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				changes := []store.Change{store.Create(mine(w), nil)}
				if w%2 == 0 {
					changes = append(changes, store.Create(prize, []byte(strconv.Itoa(w))))
				}
				errs[w] = st.Apply(t.Context(), changes...)
			})
		}
		wg.Wait()
		winner, err := strconv.Atoi(string(get(t, st, prize).Value))
		if err != nil {
			t.Fatal(err)
		}
		for w, err := range errs {
			if w%2 == 1 || w == winner {
				if err != nil {
					t.Errorf("Apply without a conflict: %v", err)
				}
				get(t, st, mine(w))
				continue
			}
			if !errors.Is(err, store.ErrConflict) {
				t.Errorf("Apply of a loser: %v", err)
			}
			absent(t, st, mine(w))
		}
	}
}

func (s *suite) testClose(t *testing.T) {
	st := s.start(t)
	apply(t, st, store.Put("a", nil))
	for range 2 {
		if err := st.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	if _, err := st.Get(t.Context(), "a"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Get: %v", err)
	}
	if _, err := st.Scan(t.Context(), "", "", 1); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Scan: %v", err)
	}
	if err := st.Apply(t.Context(), store.Put("a", nil)); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Apply: %v", err)
	}
	if err := st.Apply(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Apply of nothing: %v", err)
	}
}

// testCloseUnderLoad closes a store that is being written to: each Apply is
// either done or refused, and what was done is there.
func (s *suite) testCloseUnderLoad(t *testing.T) {
	st := s.open(t)
	const workers = 6
	var done [workers]atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := 0; ; i++ {
				err := st.Apply(t.Context(), store.Put(store.Key(fmt.Sprintf("w/%d", w)), []byte(strconv.Itoa(i))))
				if errors.Is(err, store.ErrClosed) {
					return
				}
				if err != nil {
					t.Errorf("Apply: %v", err)
					return
				}
				done[w].Store(int64(i))
			}
		})
	}
	for done[0].Load() < 5 && !t.Failed() {
		if _, err := st.Scan(t.Context(), "w/", "", workers); err != nil {
			t.Errorf("Scan: %v", err)
		}
	}
	if err := st.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()
	if s.reopen == nil {
		return
	}
	st = s.reopen(t, st)
	defer st.Close()
	for w := range workers {
		r, err := st.Get(t.Context(), store.Key(fmt.Sprintf("w/%d", w)))
		if want := strconv.FormatInt(done[w].Load(), 10); err == nil && string(r.Value) != want {
			t.Errorf("the last value is %s, want %s", r.Value, want)
		}
		if err != nil && done[w].Load() > 0 {
			t.Errorf("Get: %v", err)
		}
	}
}

func (s *suite) testReopen(t *testing.T) {
	if s.reopen == nil {
		return // this backend forgets, and says so
	}
	st := s.open(t)
	defer func() { st.Close() }()
	apply(t, st, store.Put("a", []byte("1")), store.Put("b", make([]byte, 6000)), store.Put("c", nil))
	for round := range 3 {
		apply(t, st, store.Put("a", []byte(strconv.Itoa(round))), store.Delete("c"))
		before := dump(t, st, "")
		st = s.reopen(t, st)
		if diff := cmp.Diff(before, dump(t, st, "")); diff != "" {
			t.Fatalf("after reopening:\n%s", diff)
		}
		apply(t, st, store.Update("a", nil, before[0].Revision))
	}
}
