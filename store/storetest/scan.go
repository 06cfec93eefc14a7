package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tipbox/store"
)

func (s *suite) testScan(t *testing.T) {
	st := s.start(t)
	if found := dump(t, st, ""); len(found) != 0 {
		t.Errorf("in an empty store: %v", found)
	}
	// Bytewise, '!' < '-' < '/' < '0' < 'A' < 'a' < '~'.
	all := []store.Key{"!", "A", "a", "a!b", "a-b", "a/", "a/0", "a/A", "a/a", "a/a/b", "a/~", "a0", "b", "b/a", "~"}
	for _, i := range []int{3, 0, 14, 7, 1, 12, 5, 9, 11, 2, 13, 8, 4, 10, 6} {
		apply(t, st, store.Put(all[i], []byte("value of "+all[i])))
	}
	for _, prefix := range slices.Concat([]store.Key{"", "a/a", "b/", "c", "a/x"}, all) {
		for _, after := range slices.Concat([]store.Key{"", "0", "a/5", "a/a!", "a/zzz", "zz", "~~"}, all) {
			for _, limit := range []int{1, 2, len(all), store.MaxScan, store.MaxScan + 1} {
				var want []store.Key
				for _, k := range all {
					if k > after && strings.HasPrefix(string(k), string(prefix)) && len(want) < limit {
						want = append(want, k)
					}
				}
				found, err := st.Scan(t.Context(), prefix, after, limit)
				if err != nil {
					t.Fatalf("Scan(%q, %q, %d): %v", prefix, after, limit, err)
				}
				if got := keys(found); !slices.Equal(got, want) {
					t.Errorf("Scan(%q, %q, %d) = %q, want %q", prefix, after, limit, got, want)
				}
				for _, r := range found {
					if string(r.Value) != "value of "+string(r.Key) {
						t.Errorf("Scan returned %q under %q", r.Value, r.Key)
					}
				}
			}
		}
	}
}

// testScanGoesOn reads more records than one Scan returns.
func (s *suite) testScanGoesOn(t *testing.T) {
	st := s.start(t)
	const n = 2*store.MaxScan + 7
	var want []store.Key
	var batch []store.Change
	for i := range n {
		key := store.Key(fmt.Sprintf("go/%06d", i))
		want = append(want, key)
		batch = append(batch, store.Create(key, nil))
		if len(batch) == store.MaxChanges || i == n-1 {
			apply(t, st, batch...)
			batch = nil
		}
	}
	apply(t, st, store.Put("fo", nil), store.Put("go0", nil))
	for _, limit := range []int{300, store.MaxScan, n} {
		var got []store.Key
		for after := store.Key(""); ; {
			found, err := st.Scan(t.Context(), "go/", after, limit)
			if err != nil {
				t.Fatalf("Scan: %v", err)
			}
			if len(found) > min(limit, store.MaxScan) {
				t.Fatalf("Scan with the limit %d returned %d records", limit, len(found))
			}
			if len(found) == 0 {
				break
			}
			got = append(got, keys(found)...)
			after = found[len(found)-1].Key
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("with the limit %d:\n%s", limit, diff)
		}
	}
}

// testScanIsOneState scans while records that belong together change together.
func (s *suite) testScanIsOneState(t *testing.T) {
	st := s.start(t)
	const width, rounds = 20, 30
	write := func(i int) error {
		var changes []store.Change
		for j := range width {
			key := store.Key(fmt.Sprintf("s/%02d", j))
			if j%2 == i%2 { // half of the records are there, and which half is told by the value
				changes = append(changes, store.Put(key, []byte(strconv.Itoa(i))))
			} else {
				changes = append(changes, store.Delete(key))
			}
		}
		return st.Apply(t.Context(), changes...)
	}
	if err := write(0); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				found, err := st.Scan(t.Context(), "s/", "", width)
				if err != nil {
					t.Errorf("Scan: %v", err)
					return
				}
				for _, r := range found {
					if string(r.Value) != string(found[0].Value) {
						t.Errorf("one Scan saw %s and %s", found[0].Value, r.Value)
						return
					}
				}
				if len(found) != width/2 {
					t.Errorf("one Scan saw %d records, there are always %d", len(found), width/2)
					return
				}
			}
		})
	}
	for i := range rounds {
		if err := write(i); err != nil {
			t.Errorf("Apply: %v", err)
		}
	}
	close(done)
	wg.Wait()
}

func keys(records []store.Record) []store.Key {
	var ks []store.Key
	for _, r := range records {
		ks = append(ks, r.Key)
	}
	return ks
}
