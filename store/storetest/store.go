package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tipbox/store"
)

// TestStore runs the suite against a backend.
//
// open returns a new, empty store; the suite closes it. reopen gets a store
// that the suite is done with, closes it or kills what it runs on, and returns
// another on the same data. It is nil for a backend that forgets.
func TestStore(t *testing.T, open func(t *testing.T) store.Store, reopen func(t *testing.T, s store.Store) store.Store) {
	s := &suite{open: open, reopen: reopen}
	t.Run("Get", s.testGet)
	t.Run("Revisions", s.testRevisions)
	t.Run("Conditions", s.testConditions)
	t.Run("AllOrNone", s.testAllOrNone)
	t.Run("Refusals", s.testRefusals)
	t.Run("Limits", s.testLimits)
	t.Run("Scan", s.testScan)
	t.Run("ScanGoesOn", s.testScanGoesOn)
	t.Run("ScanIsOneState", s.testScanIsOneState)
	t.Run("Copies", s.testCopies)
	t.Run("CancelledContext", s.testCancelledContext)
	t.Run("Close", s.testClose)
	t.Run("CloseUnderLoad", s.testCloseUnderLoad)
	t.Run("Counters", s.testCounters)
	t.Run("OneWinner", s.testOneWinner)
	t.Run("Reopen", s.testReopen)
	t.Run("Model", s.testModel)
}

type suite struct {
	open   func(*testing.T) store.Store
	reopen func(*testing.T, store.Store) store.Store
}

// start opens a store that is closed when t ends.
func (s *suite) start(t *testing.T) store.Store {
	t.Helper()
	st := s.open(t)
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return st
}

func (s *suite) testGet(t *testing.T) {
	st := s.start(t)
	if _, err := st.Get(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get from an empty store: %v", err)
	}
	apply(t, st, store.Put("a/b", []byte("one")), store.Put("empty", nil), store.Put("zero", []byte{0}))
	for key, want := range map[store.Key]string{"a/b": "one", "empty": "", "zero": "\x00"} {
		if r := get(t, st, key); r.Key != key || string(r.Value) != want || r.Revision == 0 {
			t.Errorf("Get(%q) = %+v, want the value %q", key, r, want)
		}
	}
	for _, key := range []store.Key{"a", "a/", "a/b/", "a/bb", "A/B"} {
		absent(t, st, key)
	}
	apply(t, st, store.Delete("a/b"), store.Delete("never"))
	absent(t, st, "a/b")
}

func (s *suite) testRevisions(t *testing.T) {
	st := s.start(t)
	seen := make(map[store.Revision]bool)
	fresh := func(what string) store.Revision {
		t.Helper()
		rev := get(t, st, "a").Revision
		if rev == 0 || seen[rev] {
			t.Errorf("after %s the revision is %d again", what, rev)
		}
		seen[rev] = true
		return rev
	}
	apply(t, st, store.Create("a", []byte("x")))
	fresh("a create")
	apply(t, st, store.Put("a", []byte("x")))
	fresh("a put of the same value")
	apply(t, st, store.Delete("a"))
	apply(t, st, store.Create("a", []byte("x")))
	rev := fresh("a delete and a create")

	apply(t, st, store.Check("a", rev), store.Put("b", nil))
	if err := st.Apply(t.Context(), store.Create("a", nil)); !errors.Is(err, store.ErrConflict) {
		t.Errorf("Create of a record that is there: %v", err)
	}
	if got := get(t, st, "a").Revision; got != rev {
		t.Errorf("revision %d became %d without a write", rev, got)
	}
	found, err := st.Scan(t.Context(), "a", "", 1)
	if err != nil || len(found) != 1 || found[0].Revision != rev {
		t.Errorf("Scan = %v, %v, want the revision %d that Get tells", found, err, rev)
	}

	const n = 64
	rises := 0
	var last store.Revision
	for range n {
		apply(t, st, store.Put("a", nil))
		if rev := fresh("a put"); rev > last {
			rises++
			last = rev
		} else {
			last = rev
		}
	}
	if rises < n/6 || rises > n-n/6 { // nine standard deviations
		t.Errorf("revisions tell an order: %d of %d are greater than the one before", rises, n)
	}
}

func (s *suite) testConditions(t *testing.T) {
	// Each of these must fail, or not, on a record that is there and on one
	// that is not; stale is a revision that the record had.
	tests := []struct {
		name   string
		change func(key store.Key, now, stale store.Revision) store.Change
		there  bool // succeeds on a record that is there
		absent bool // succeeds on one that is not
	}{
		{"Create", func(k store.Key, _, _ store.Revision) store.Change { return store.Create(k, []byte("new")) }, false, true},
		{"Put", func(k store.Key, _, _ store.Revision) store.Change { return store.Put(k, []byte("new")) }, true, true},
		{"Update", func(k store.Key, now, _ store.Revision) store.Change { return store.Update(k, []byte("new"), now) }, true, true},
		{"UpdateStale", func(k store.Key, _, stale store.Revision) store.Change { return store.Update(k, []byte("new"), stale) }, false, false},
		{"Delete", func(k store.Key, _, _ store.Revision) store.Change { return store.Delete(k) }, true, true},
		{"DeleteAt", func(k store.Key, now, _ store.Revision) store.Change { return store.DeleteAt(k, now) }, true, true},
		{"DeleteAtStale", func(k store.Key, _, stale store.Revision) store.Change { return store.DeleteAt(k, stale) }, false, false},
		{"Check", func(k store.Key, now, _ store.Revision) store.Change { return store.Check(k, now) }, true, true},
		{"CheckStale", func(k store.Key, _, stale store.Revision) store.Change { return store.Check(k, stale) }, false, false},
		{"CheckAbsent", func(k store.Key, _, _ store.Revision) store.Change { return store.Check(k, 0) }, false, true},
	}
	st := s.start(t)
	for _, test := range tests {
		for _, there := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/there=%t", test.name, there), func(t *testing.T) {
				key := store.Key(fmt.Sprintf("%s/%t", test.name, there))
				apply(t, st, store.Put(key, []byte("old")))
				stale := get(t, st, key).Revision
				var now store.Revision
				if there {
					apply(t, st, store.Put(key, []byte("old")))
					now = get(t, st, key).Revision
				} else {
					apply(t, st, store.Delete(key))
				}
				before := dump(t, st, key)
				c := test.change(key, now, stale)
				err := st.Apply(t.Context(), c)
				if want := there && test.there || !there && test.absent; want {
					if err != nil {
						t.Fatalf("Apply: %v", err)
					}
				} else {
					if !errors.Is(err, store.ErrConflict) {
						t.Fatalf("Apply: %v, want a conflict", err)
					}
					c.Op = store.OpCheck
				}
				switch after := dump(t, st, key); {
				case c.Op == store.OpPut && (len(after) != 1 || string(after[0].Value) != "new"):
					t.Errorf("after a put: %v", after)
				case c.Op == store.OpDelete && len(after) != 0:
					t.Errorf("after a delete: %v", after)
				case c.Op == store.OpCheck && !cmp.Equal(before, after):
					t.Errorf("nothing was to be written:\n%s", cmp.Diff(before, after))
				}
			})
		}
	}
}

func (s *suite) testAllOrNone(t *testing.T) {
	st := s.start(t)
	apply(t, st, store.Put("a", []byte("1")), store.Put("b", []byte("1")), store.Put("c", []byte("1")))
	before := dump(t, st, "")
	a, b := before[0].Revision, before[1].Revision
	for name, changes := range map[string][]store.Change{
		"the last condition fails":  {store.Put("a", nil), store.Delete("b"), store.Put("n", nil), store.Create("c", nil)},
		"the first condition fails": {store.Create("c", nil), store.Put("a", nil), store.Delete("b"), store.Put("n", nil)},
		"a check fails":             {store.Update("a", nil, a), store.Check("b", a), store.DeleteAt("c", before[2].Revision)},
		"a check of absence fails":  {store.Put("n", nil), store.Check("a", 0)},
	} {
		if err := st.Apply(t.Context(), changes...); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v, want a conflict", name, err)
		}
		if diff := cmp.Diff(before, dump(t, st, "")); diff != "" {
			t.Errorf("%s: something was written:\n%s", name, diff)
		}
	}

	apply(t, st, store.Update("a", []byte("2"), a), store.DeleteAt("b", b), store.Check("c", before[2].Revision),
		store.Create("d", []byte("2")), store.Check("e", 0), store.Delete("f"))
	got := make(map[store.Key]string)
	for _, r := range dump(t, st, "") {
		got[r.Key] = string(r.Value)
	}
	if diff := cmp.Diff(map[store.Key]string{"a": "2", "c": "1", "d": "2"}, got); diff != "" {
		t.Errorf("after all changes at once:\n%s", diff)
	}
}

func (s *suite) testRefusals(t *testing.T) {
	st := s.start(t)
	apply(t, st, store.Put("a", nil))
	before := dump(t, st, "")
	longest := store.Key(strings.Repeat("k", store.MaxKey))
	for _, key := range []store.Key{"", " ", "a b", "a\n", "a\x00", "a\x7f", "ä", "\xff", longest + "k"} {
		if _, err := st.Get(t.Context(), key); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Get(%q): %v", key, err)
		}
		for _, c := range []store.Change{store.Put(key, nil), store.Delete(key), store.Check(key, 0)} {
			if err := st.Apply(t.Context(), store.Put("b", nil), c); !errors.Is(err, store.ErrInvalid) {
				t.Errorf("Apply of a change of %q: %v", key, err)
			}
		}
		if key == "" {
			continue
		}
		if _, err := st.Scan(t.Context(), key, "", 1); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Scan with the prefix %q: %v", key, err)
		}
		if _, err := st.Scan(t.Context(), "", key, 1); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Scan after %q: %v", key, err)
		}
	}
	for _, limit := range []int{0, -1} {
		if _, err := st.Scan(t.Context(), "", "", limit); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Scan with the limit %d: %v", limit, err)
		}
	}
	for name, changes := range map[string][]store.Change{
		"a key named twice":         {store.Put("b", nil), store.Delete("b")},
		"no operation":              {store.Put("b", nil), {Key: "c"}},
		"an unknown operation":      {store.Put("b", nil), {Op: store.OpCheck + 1, Key: "c"}},
		"a check without condition": {store.Put("b", nil), {Op: store.OpCheck, Key: "c"}},
	} {
		if err := st.Apply(t.Context(), changes...); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Apply with %s: %v", name, err)
		}
	}
	if diff := cmp.Diff(before, dump(t, st, "")); diff != "" {
		t.Errorf("something was written:\n%s", diff)
	}
	apply(t, st, store.Put(longest, []byte("x")))
	if r := get(t, st, longest); string(r.Value) != "x" {
		t.Errorf("under the longest key: %q", r.Value)
	}
	apply(t, st) // no changes
}

func (s *suite) testLimits(t *testing.T) {
	st := s.start(t)
	var changes []store.Change
	for i := range store.MaxChanges + 1 {
		changes = append(changes, store.Put(store.Key(fmt.Sprintf("n/%03d", i)), []byte("x")))
	}
	tooLarge := func(what string, changes ...store.Change) {
		t.Helper()
		if err := st.Apply(t.Context(), changes...); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("Apply of %s: %v", what, err)
		}
		if found := dump(t, st, ""); len(found) != 0 {
			t.Errorf("Apply of %s wrote %d records", what, len(found))
		}
	}
	key, other := store.Key("large"), store.Key("other")
	value := make([]byte, store.MaxBytes-len(key))
	tooLarge("too many changes", changes...)
	tooLarge("one byte too many", store.Put(key, append(value, 0)))
	tooLarge("too many bytes in two changes", store.Put(key, value), store.Delete(other))

	apply(t, st, changes[:store.MaxChanges]...)
	value[0], value[len(value)-1] = 1, 2
	apply(t, st, store.Put(key, value))
	if r := get(t, st, key); !bytes.Equal(r.Value, value) {
		t.Error("the largest value came back changed")
	}
	if found := dump(t, st, "n/"); len(found) != store.MaxChanges {
		t.Errorf("of %d records written at once, %d are there", store.MaxChanges, len(found))
	}
}

func (s *suite) testCancelledContext(t *testing.T) {
	st := s.start(t)
	apply(t, st, store.Put("a", []byte("1")))
	before := dump(t, st, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := st.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v", err)
	}
	if _, err := st.Scan(ctx, "", "", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Scan: %v", err)
	}
	if err := st.Apply(ctx, store.Put("a", []byte("2"))); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply: %v", err)
	}
	if diff := cmp.Diff(before, dump(t, st, "")); diff != "" {
		t.Errorf("something was written:\n%s", diff)
	}
}

func (s *suite) testCopies(t *testing.T) {
	st := s.start(t)
	value := []byte("one")
	apply(t, st, store.Put("a", value))
	value[0] = 'X'
	r := get(t, st, "a")
	if string(r.Value) != "one" {
		t.Fatalf("the value changed with the caller's slice: %q", r.Value)
	}
	r.Value[0] = 'X'
	_ = append(r.Value[:1], "YY"...)
	found := dump(t, st, "")
	if string(found[0].Value) != "one" {
		t.Fatalf("the value changed with what Get returned: %q", found[0].Value)
	}
	found[0].Value[0] = 'X'
	kept := get(t, st, "a")
	if string(kept.Value) != "one" {
		t.Fatalf("the value changed with what Scan returned: %q", kept.Value)
	}
	apply(t, st, store.Put("a", []byte("two")))
	if string(kept.Value) != "one" {
		t.Fatalf("a value handed out changed with a later write: %q", kept.Value)
	}
}

func apply(t *testing.T, st store.Store, changes ...store.Change) {
	t.Helper()
	if err := st.Apply(t.Context(), changes...); err != nil {
		t.Fatalf("Apply: %v", err)
	}
}

func get(t *testing.T, st store.Store, key store.Key) store.Record {
	t.Helper()
	r, err := st.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	return r
}

func absent(t *testing.T, st store.Store, key store.Key) {
	t.Helper()
	if r, err := st.Get(t.Context(), key); !errors.Is(err, store.ErrNotFound) || r.Revision != 0 || r.Value != nil {
		t.Errorf("Get(%q) = %+v, %v, want nothing and ErrNotFound", key, r, err)
	}
}

// dump returns all records under prefix, read in one Scan.
func dump(t *testing.T, st store.Store, prefix store.Key) []store.Record {
	t.Helper()
	found, err := st.Scan(t.Context(), prefix, "", store.MaxScan)
	if err != nil {
		t.Fatalf("Scan(%q): %v", prefix, err)
	}
	return found
}
