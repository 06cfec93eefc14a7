package bolt

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"tipbox/store"
)

// litter fills a database and returns what must stay in it, and values that
// were deleted or replaced.
func litter(t *testing.T, db *DB) (kept []store.Record, gone [][]byte) {
	t.Helper()
	noise := func() []byte {
		b := make([]byte, 3000)
		rand.Read(b)
		return b
	}
	apply := func(changes ...store.Change) {
		t.Helper()
		if err := db.Apply(t.Context(), changes...); err != nil {
			t.Fatal(err)
		}
	}
	var values [][]byte
	for i := range 400 {
		values = append(values, noise())
		apply(store.Create(key(i), values[i]))
	}
	for i, value := range values {
		switch i % 4 {
		case 0:
			apply(store.Delete(key(i)))
			gone = append(gone, value)
		case 1:
			apply(store.Put(key(i), noise()))
			gone = append(gone, value)
		}
	}
	return all(t, db), gone
}

func sameRecords(a, b []store.Record) bool {
	return slices.EqualFunc(a, b, func(a, b store.Record) bool {
		return a.Key == b.Key && a.Revision == b.Revision && bytes.Equal(a.Value, b.Value)
	})
}

// found is how many of the values, or of their middles, are in the content.
func found(content []byte, values [][]byte) (n int) {
	for _, v := range values {
		if bytes.Contains(content, v[1400:1432]) {
			n++
		}
	}
	return n
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// alone checks that there is nothing beside the file.
func alone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("in its folder: %v, %v", entries, err)
	}
}

func TestCompactTakesWhatWasDeletedOffTheDisk(t *testing.T) {
	path := newPath(t)
	db := start(t, path)
	kept, gone := litter(t, db)
	before := read(t, path)
	if n := found(before, gone); n < 10 {
		t.Fatalf("only %d of %d deleted values were in the file before: this test shows nothing", n, len(gone))
	}
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := read(t, path)
	if n := found(after, gone); n > 0 {
		t.Errorf("%d deleted values are still in the file", n)
	}
	if len(after) >= len(before) {
		t.Errorf("%d bytes, before %d", len(after), len(before))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	alone(t, path)
	for range 2 {
		if !sameRecords(all(t, db), kept) {
			t.Error("other records than before")
		}
		if err := db.Check(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := Open(path, &Config{Timeout: time.Millisecond}); !errors.Is(err, store.ErrLocked) {
			t.Errorf("Open of the compacted file: %v", err)
		}
		db.Close()
		db = start(t, path)
	}
	put(t, db, "more", "than before")
}

func TestCompactAndSnapshotsUnderLoad(t *testing.T) {
	db := start(t, newPath(t))
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	var counts [4]int
	for w := range counts {
		writers.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				// All or none, in the file and in every snapshot.
				err := db.Apply(t.Context(),
					store.Delete(store.Key(fmt.Sprintf("note/%d/%06d", w, n-1))),
					store.Create(store.Key(fmt.Sprintf("note/%d/%06d", w, n)), nil),
					store.Put(store.Key(fmt.Sprintf("last/%d", w)), fmt.Appendf(nil, "%06d", n)),
					store.Create(store.Key(fmt.Sprintf("log/%d/%06d", w, n)), bytes.Repeat([]byte{'x'}, 500)))
				if err != nil {
					t.Error(err)
					return
				}
				counts[w] = n
				if _, err := db.Get(t.Context(), store.Key(fmt.Sprintf("log/%d/%06d", w, n))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var copies sync.WaitGroup
	for range 2 {
		copies.Go(func() {
			for range 10 {
				if err := db.Compact(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	copies.Go(func() {
		for range 10 {
			whole(t, snapshot(t, db))
		}
	})
	copies.Wait()
	stop()
	writers.Wait()
	whole(t, db)
	for w, n := range counts {
		if last, err := db.Get(t.Context(), store.Key(fmt.Sprintf("last/%d", w))); n > 0 && (err != nil || string(last.Value) != fmt.Sprintf("%06d", n)) {
			t.Errorf("writer %d applied %d: %s, %v", w, n, last.Value, err)
		}
	}
}

// whole checks that each writer's log ends where the writer says, and that of its
// notes the last is left.
func whole(t *testing.T, db *DB) {
	t.Helper()
	if err := db.Check(t.Context()); err != nil {
		t.Error(err)
	}
	lengths := make(map[byte]int)
	lasts, notes := make(map[byte]string), make(map[byte]string)
	for _, r := range all(t, db) {
		switch r.Key[:4] {
		case "log/":
			lengths[r.Key[4]]++
		case "note":
			notes[r.Key[5]] += string(r.Key[7:])
		default:
			lasts[r.Key[5]] = string(r.Value)
		}
	}
	for w, last := range lasts {
		if last != fmt.Sprintf("%06d", lengths[w]) {
			t.Errorf("writer %c: %d entries, the last being %s", w, lengths[w], last)
		}
		if notes[w] != last {
			t.Errorf("writer %c: notes %s, not %s", w, notes[w], last)
		}
	}
}

// snapshot opens a new snapshot.
func snapshot(t *testing.T, db *DB) *DB {
	t.Helper()
	f, err := db.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := OpenSnapshot(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSnapshotIsADatabaseWithoutWhatWasDeleted(t *testing.T) {
	db := start(t, newPath(t))
	kept, gone := litter(t, db)
	f, err := db.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	alone(t, db.path)
	put(t, db, "later", "not in it")
	s, err := OpenSnapshot(f)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !sameRecords(all(t, s), kept) {
		t.Error("other records than there were")
	}
	if err := s.Apply(t.Context(), store.Put("a", nil)); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("Apply to a snapshot: %v", err)
	}
	content, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if n := found(content, gone); n > 0 {
		t.Errorf("%d deleted values are in it", n)
	}
	path := newPath(t)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if !sameRecords(all(t, start(t, path)), kept) {
		t.Error("its bytes are those of another database")
	}
}

func TestCompactThatIsGivenUpChangesNothing(t *testing.T) {
	path := newPath(t)
	db := start(t, path)
	litter(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Compact(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v", err)
	}
	damaged := func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(recordsBucket)).Put([]byte("x"), []byte("no record"))
	}
	if err := db.at.Load().bolt.Update(damaged); err != nil {
		t.Fatal(err)
	}
	if err := db.Compact(t.Context()); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("with a damaged record: %v", err)
	}
	if _, err := db.Snapshot(t.Context()); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a snapshot of a damaged record: %v", err)
	}
	alone(t, path)
	put(t, db, "more", "after that")
	db.Close()
	if err := db.Compact(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := db.Snapshot(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a snapshot after Close: %v", err)
	}
	old, err := Open(path, &Config{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := old.Compact(t.Context()); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("opened read-only: %v", err)
	}
}

func TestCloseWaitsForACompact(t *testing.T) {
	path := newPath(t)
	db := start(t, path)
	litter(t, db)
	for i := range 10 {
		done := make(chan error, 2)
		go func() {
			f, err := db.Snapshot(t.Context())
			if err == nil {
				err = f.Close()
			}
			done <- err
		}()
		go func() { done <- db.Compact(t.Context()) }()
		time.Sleep(time.Duration(i) * time.Millisecond)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			select {
			case err := <-done:
				if err != nil && !errors.Is(err, store.ErrClosed) {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("it hangs")
			}
		}
		db = start(t, path)
		alone(t, path)
	}
}

func TestOpenRemovesWhatACompactHasLeft(t *testing.T) {
	path := newPath(t)
	start(t, path).Close()
	if err := os.WriteFile(path+compactSuffix, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, path)
	alone(t, path)
}
