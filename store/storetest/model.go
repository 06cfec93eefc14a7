package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tipbox/store"
)

// testModel does what comes to rapid's mind, to the store and to a plain map,
// and compares.
func (s *suite) testModel(t *testing.T) {
	// One store for all of rapid's tries, each under a prefix of its own: it
	// saves opening a hundred, and the others' records are in the way.
	st := s.open(t)
	defer func() { st.Close() }()
	try := 0
	rapid.Check(t, func(rt *rapid.T) {
		try++
		m := &model{
			t:       rt,
			prefix:  store.Key(fmt.Sprintf("try-%d/", try)),
			records: make(map[store.Key]store.Record),
			past:    make(map[store.Key][]store.Revision),
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			default:
				m.apply(st)
			case 6, 7:
				m.get(st)
			case 8:
				m.scan(st)
			case 9:
				if s.reopen != nil {
					st = s.reopen(t, st)
				}
			}
		}
		m.compare(st)
	})
}

// A model is what the store should hold under prefix.
type model struct {
	t       *rapid.T
	prefix  store.Key
	records map[store.Key]store.Record
	past    map[store.Key][]store.Revision // every revision a key ever had
}

func (m *model) key() store.Key {
	return m.prefix + store.Key(rapid.StringMatching(`[a-c](/[a-b])?`).Draw(m.t, "key"))
}

func (m *model) apply(st store.Store) {
	keys := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) store.Key {
		return m.prefix + store.Key(rapid.StringMatching(`[a-c](/[a-b])?`).Draw(t, "key"))
	}), 1, 4, rapid.ID).Draw(m.t, "keys")
	var changes []store.Change
	conflict := false
	for _, key := range keys {
		c := store.Change{Key: key, Op: rapid.SampledFrom([]store.Op{store.OpPut, store.OpDelete, store.OpCheck}).Draw(m.t, "op")}
		if c.Op == store.OpPut {
			c.Value = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(m.t, "value")
		}
		if c.Op == store.OpCheck || rapid.Bool().Draw(m.t, "conditional") {
			rev := m.records[key].Revision
			if rapid.IntRange(0, 4).Draw(m.t, "guess") == 0 {
				rev = rapid.SampledFrom(append(m.past[key], 0, 1)).Draw(m.t, "revision")
			}
			c.If = &rev
			conflict = conflict || rev != m.records[key].Revision
		}
		changes = append(changes, c)
	}
	err := st.Apply(m.t.Context(), changes...)
	if conflict {
		if !errors.Is(err, store.ErrConflict) {
			m.t.Fatalf("Apply: %v, want a conflict", err)
		}
		return
	}
	if err != nil {
		m.t.Fatalf("Apply: %v", err)
	}
	for _, c := range changes {
		switch c.Op {
		case store.OpPut:
			r, err := st.Get(m.t.Context(), c.Key)
			if err != nil {
				m.t.Fatalf("Get(%q): %v", c.Key, err)
			}
			if r.Revision == 0 || slices.Contains(m.past[c.Key], r.Revision) {
				m.t.Fatalf("after a write of %q the revision is %d again", c.Key, r.Revision)
			}
			m.past[c.Key] = append(m.past[c.Key], r.Revision)
			m.records[c.Key] = store.Record{Key: c.Key, Value: bytes.Clone(c.Value), Revision: r.Revision}
		case store.OpDelete:
			delete(m.records, c.Key)
		}
	}
}

func (m *model) get(st store.Store) {
	key := m.key()
	want, there := m.records[key]
	got, err := st.Get(m.t.Context(), key)
	if !there {
		if !errors.Is(err, store.ErrNotFound) {
			m.t.Fatalf("Get(%q): %v, want ErrNotFound", key, err)
		}
		return
	}
	if err != nil || !same(got, want) {
		m.t.Fatalf("Get(%q) = %v, %v, want %v", key, got, err, want)
	}
}

func (m *model) scan(st store.Store) {
	prefix := m.prefix + store.Key(rapid.SampledFrom([]string{"", "a", "b/", "c/b"}).Draw(m.t, "prefix"))
	after := store.Key("")
	if rapid.Bool().Draw(m.t, "goes on") {
		after = m.key()
	}
	m.compareScan(st, prefix, after, rapid.IntRange(1, 6).Draw(m.t, "limit"))
}

func (m *model) compare(st store.Store) { m.compareScan(st, m.prefix, "", store.MaxScan) }

func (m *model) compareScan(st store.Store, prefix, after store.Key, limit int) {
	var want []store.Record
	for _, k := range slices.Sorted(maps.Keys(m.records)) {
		if k > after && strings.HasPrefix(string(k), string(prefix)) && len(want) < limit {
			want = append(want, m.records[k])
		}
	}
	got, err := st.Scan(m.t.Context(), prefix, after, limit)
	if err != nil || !slices.EqualFunc(got, want, same) {
		m.t.Fatalf("Scan(%q, %q, %d) = %v, %v, want %v", prefix, after, limit, got, err, want)
	}
}

func same(a, b store.Record) bool {
	return a.Key == b.Key && a.Revision == b.Revision && bytes.Equal(a.Value, b.Value)
}
