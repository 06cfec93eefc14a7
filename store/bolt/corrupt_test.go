package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"tipbox/store"
)

var damages = flag.Int("damages", 15, "how many places to damage a file in, of each kind of damage")

func TestNoDatabaseIsCorrupt(t *testing.T) {
	random := make([]byte, 100_000)
	rand.NewChaCha8([32]byte{}).Read(random)
	for name, content := range map[string][]byte{
		"empty":  nil,
		"byte":   {1},
		"text":   []byte("This is not a database.\n"),
		"longer": bytes.Repeat([]byte("This is not a database.\n"), 10_000),
		"zeros":  make([]byte, 1<<20),
		"random": random,
		"sqlite": append([]byte("SQLite format 3\x00\x10\x00\x01\x01"), make([]byte, 8192)...),
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, readOnly := range []bool{false, true} {
			db, err := Open(path, &Config{ReadOnly: readOnly})
			if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("%s: %v", name, err)
			}
			if err == nil {
				db.Close()
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: Open changed the file", name)
		}
	}
}

// TestDamage damages a healthy file in every way and place that comes to mind:
// none makes the program panic, and none makes it return a wrong value.
func TestDamage(t *testing.T) {
	o := original(t)
	random := rand.New(rand.NewPCG(1, 2))
	somewhere := func() int { return random.IntN(o.used) }

	flip := func(name string, at func() int) {
		t.Run(name, func(t *testing.T) {
			for range *damages {
				i, bit := at(), random.IntN(8)
				o.try(t, fmt.Sprintf("bit %d of byte %d", bit, i), func(b []byte) []byte {
					b[i] ^= 1 << bit
					return b
				})
			}
		})
	}
	flip("BitSomewhere", somewhere)
	flip("BitOfMetaPages", func() int { return random.IntN(2)*o.pageSize + random.IntN(80) })
	for kind, pages := range map[string][]int{"Branch": o.branches, "Freelist": o.freelists, "Leaf": o.leaves} {
		page := func() int { return pages[random.IntN(len(pages))] * o.pageSize }
		flip("BitOf"+kind+"Header", func() int { return page() + random.IntN(pageHeader) })
		flip("BitOf"+kind+"Elements", func() int { return page() + pageHeader + random.IntN(10*element) })
	}
	t.Run("Sectors", func(t *testing.T) {
		for range *damages {
			i, zero := somewhere()/512*512, random.IntN(2) == 0
			o.try(t, fmt.Sprintf("the sector at %d", i), func(b []byte) []byte {
				for j := range b[i : i+512] {
					b[i+j] = byte(random.Uint32())
				}
				if zero {
					clear(b[i : i+512])
				}
				return b
			})
		}
	})
	t.Run("PagesSwapped", func(t *testing.T) {
		for range *damages {
			i, j := somewhere()/o.pageSize*o.pageSize, somewhere()/o.pageSize*o.pageSize
			o.try(t, fmt.Sprintf("the pages at %d and %d swapped", i, j), func(b []byte) []byte {
				copy(b[i:i+o.pageSize], o.file[j:])
				copy(b[j:j+o.pageSize], o.file[i:])
				return b
			})
		}
	})
	// What recover cannot help with: a branch that leads back to a branch.
	t.Run("Circles", func(t *testing.T) {
		for range *damages {
			from, to := o.branches[random.IntN(len(o.branches))], o.branches[random.IntN(len(o.branches))]
			i := random.IntN(2)
			o.try(t, fmt.Sprintf("the branch %d leads to %d", from, to), func(b []byte) []byte {
				binary.NativeEndian.PutUint64(b[from*o.pageSize+pageHeader+i*element+8:], uint64(to))
				return b
			})
		}
	})
	t.Run("ChildrenSwapped", func(t *testing.T) {
		for _, branch := range o.branches {
			o.try(t, fmt.Sprintf("children of branch %d", branch), func(b []byte) []byte {
				elements := b[branch*o.pageSize+pageHeader:]
				first, second := elements[8:16], elements[element+8:element+16]
				one := slices.Clone(first)
				copy(first, second)
				copy(second, one)
				return b
			})
		}
	})
	t.Run("LeavesEmptied", func(t *testing.T) {
		for range *damages {
			leaf := o.leaves[random.IntN(len(o.leaves))]
			o.try(t, fmt.Sprintf("leaf %d", leaf), func(b []byte) []byte {
				clear(b[leaf*o.pageSize+10:][:2])
				return b
			})
		}
	})
	t.Run("CutShort", func(t *testing.T) {
		for range *damages {
			n := somewhere()
			o.try(t, fmt.Sprintf("only %d bytes", n), func(b []byte) []byte { return b[:n] })
		}
		for _, n := range []int{1, o.pageSize, 2 * o.pageSize, o.used - 1} {
			path := filepath.Join(t.TempDir(), "cut")
			if err := os.WriteFile(path, o.file[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(path, nil); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("Open of %d bytes of %d: %v", n, o.used, err)
			}
		}
	})
}

func TestChangedValueIsCorrupt(t *testing.T) {
	path := newPath(t)
	db := start(t, path)
	put(t, db, "a", "good")
	put(t, db, "b", "the value to change")
	put(t, db, "c", "good")
	db.Close()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content = bytes.ReplaceAll(content, []byte("the value to change"), []byte("the value, changed "))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	db = start(t, path)
	if r, err := db.Get(t.Context(), "b"); !errors.Is(err, store.ErrCorrupt) || r.Value != nil {
		t.Errorf("Get = %v, %v", r, err)
	}
	found, err := db.Scan(t.Context(), "", "", 3)
	if err != nil || len(found) != 3 || string(found[0].Value) != "good" || string(found[2].Value) != "good" {
		t.Fatalf("Scan = %v, %v", found, err)
	}
	if r := found[1]; r.Key != "b" || !errors.Is(r.Err, store.ErrCorrupt) || r.Value != nil || r.Revision != 0 {
		t.Errorf("Scan returns the damaged record as %v", r)
	}
	for _, from := range []struct{ prefix, after store.Key }{{"", "a"}, {"b", ""}} {
		found, err := db.Scan(t.Context(), from.prefix, from.after, 1)
		if err != nil || len(found) != 1 || !errors.Is(found[0].Err, store.ErrCorrupt) {
			t.Errorf("Scan(%q, %q) = %v, %v", from.prefix, from.after, found, err)
		}
	}
	if found, err := db.Scan(t.Context(), "", "b", 3); err != nil || len(found) != 1 || found[0].Key != "c" {
		t.Errorf("Scan from the damaged record on = %v, %v", found, err)
	}
	if err := db.Apply(t.Context(), store.Check("b", 1), store.Put("x", nil)); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Apply: %v", err)
	}
	if err := db.Check(t.Context()); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Check: %v", err)
	}
	// The others are as good as ever, and what is written anew is good again.
	if r, err := db.Get(t.Context(), "c"); err != nil || string(r.Value) != "good" {
		t.Errorf("Get = %v, %v", r, err)
	}
	put(t, db, "b", "new")
	if err := db.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
}

// TestDamagedMetaPageIsNoticed damages one meta page and the other: bbolt then
// opens the file as it was before the last commit, or as it is.
func TestDamagedMetaPageIsNoticed(t *testing.T) {
	path := newPath(t)
	db := start(t, path)
	put(t, db, "first", "")
	put(t, db, "last", "")
	if err := db.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	pageSize := db.at.Load().bolt.Info().PageSize
	db.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * metaLen {
		bad := slices.Clone(good)
		bad[i/metaLen*pageSize+pageHeader+i%metaLen] ^= 0x10
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := Open(path, nil)
		if err != nil {
			t.Fatalf("byte %d of the meta pages: %v", i, err)
		}
		if err := db.Check(t.Context()); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("byte %d of the meta pages: %v", i, err)
		}
		db.Close()
	}
}

// A sample is a healthy file to damage.
type sample struct {
	file                        []byte
	used, pageSize              int // used bytes of file
	branches, leaves, freelists []int
	values                      map[store.Key][]byte
}

func original(t *testing.T) *sample {
	path := newPath(t)
	db := start(t, path)
	fill(t, db)
	o := &sample{values: make(map[store.Key][]byte)}
	for _, r := range all(t, db) {
		o.values[r.Key] = r.Value
	}
	// Without its last meta page bbolt goes back by one commit; no harm.
	put(t, db, "last", "")
	err := db.at.Load().bolt.View(func(tx *bbolt.Tx) error {
		o.used, o.pageSize = int(tx.Size()), db.at.Load().bolt.Info().PageSize
		for id := 2; id < o.used/o.pageSize; id++ {
			p, err := tx.Page(id)
			if err != nil {
				return err
			}
			switch p.Type {
			case "branch":
				o.branches = append(o.branches, id)
			case "leaf":
				o.leaves = append(o.leaves, id)
			case "freelist":
				o.freelists = append(o.freelists, id)
			}
			id += p.OverflowCount
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(o.branches) < 3 || len(o.freelists) == 0 {
		t.Fatalf("the sample is too simple: %d branches, %d free lists", len(o.branches), len(o.freelists))
	}
	db.Close()
	if o.file, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return o
}

// try reads, checks and writes a damaged copy.
func (o *sample) try(t *testing.T, damage string, do func([]byte) []byte) {
	t.Helper()
	folder, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "tipbox.db")
	if err := os.WriteFile(path, do(slices.Clone(o.file)), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := Open(path, nil)
	if err != nil {
		o.corrupt(t, damage, err)
		return
	}
	defer db.Close()

	read := make(map[store.Key]bool)
	for after, more := store.Key(""), true; more; {
		found, err := db.Scan(t.Context(), "", after, 200)
		o.corrupt(t, damage, err)
		for _, r := range found {
			if r.Err != nil {
				o.corrupt(t, damage, r.Err)
				continue
			}
			o.right(t, damage, r)
			if r.Key <= after {
				t.Fatalf("%s: Scan goes back", damage)
			}
			read[r.Key] = true
			after = r.Key
		}
		if n := len(found); n > 0 {
			after = found[n-1].Key
		}
		more = err == nil && len(found) > 0
	}
	for i := range 30 {
		r, err := db.Get(t.Context(), key(i*50))
		if err == nil {
			o.right(t, damage, r)
		} else if !errors.Is(err, store.ErrNotFound) {
			o.corrupt(t, damage, err)
		}
	}
	if err := db.Check(t.Context()); err != nil {
		o.corrupt(t, damage, err)
	} else {
		delete(read, "last")
		if len(read) != len(o.values) {
			t.Errorf("%s: Check finds nothing, but of %d records %d are there", damage, len(o.values), len(read))
		}
	}
	for i := range 3 {
		err := db.Apply(t.Context(), store.Put(key(i*400), []byte("new")), store.Delete(key(i*400+1)))
		o.corrupt(t, damage, err)
	}
}

// corrupt accepts nil and ErrCorrupt.
func (o *sample) corrupt(t *testing.T, damage string, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("%s: %v", damage, err)
	}
}

func (o *sample) right(t *testing.T, damage string, r store.Record) {
	t.Helper()
	if want, ok := o.values[r.Key]; r.Key != "last" && (!ok || !bytes.Equal(r.Value, want)) {
		t.Errorf("%s: a wrong value under %.40q", damage, r.Key)
	}
}
