package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"tipbox/store"
	"tipbox/store/storetest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		child(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func TestStore(t *testing.T) {
	open := func(t *testing.T) store.Store { return start(t, newPath(t)) }
	reopen := func(t *testing.T, s store.Store) store.Store {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return start(t, s.(*DB).path)
	}
	storetest.TestStore(t, open, reopen)
}

func TestSecondOpenIsLocked(t *testing.T) {
	path := newPath(t)
	db := start(t, path)
	for _, cfg := range []*Config{nil, {Timeout: 20 * time.Millisecond}, {Timeout: time.Millisecond, ReadOnly: true}} {
		began := time.Now()
		_, err := Open(path, cfg)
		if !errors.Is(err, store.ErrLocked) {
			t.Fatalf("Open: %v, want ErrLocked", err)
		}
		for _, want := range []string{path, "in use by another process", "stop the other program"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error %q does not say %q", err, want)
			}
		}
		if waited := time.Since(began); waited > 10*time.Second {
			t.Errorf("waited %v", waited)
		}
	}
	db.Close()
	start(t, path)
}

func TestReadOnly(t *testing.T) {
	path := newPath(t)
	if _, err := Open(path, &Config{ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of no file: %v", err)
	}
	db := start(t, path)
	put(t, db, "a", "one")
	db.Close()
	for range 2 { // side by side
		db, err := Open(path, &Config{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if r, err := db.Get(t.Context(), "a"); err != nil || string(r.Value) != "one" {
			t.Errorf("Get = %v, %v", r, err)
		}
		if err := db.Apply(t.Context(), store.Put("a", nil)); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Apply: %v", err)
		}
		if err := db.Check(t.Context()); err != nil {
			t.Errorf("Check: %v", err)
		}
	}
}

func TestNewFileIsWholeAndForTheOwnerOnly(t *testing.T) {
	path := newPath(t)
	start(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	alone(t, path)
}

func TestOpenTogetherIsOneDatabase(t *testing.T) {
	path := newPath(t)
	errs := make(chan error)
	const n = 6
	for i := range n {
		go func() {
			db, err := Open(path, &Config{Timeout: time.Minute})
			if err == nil {
				err = db.Apply(t.Context(), store.Create(store.Key(fmt.Sprint(i)), nil))
				db.Close()
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if found := all(t, start(t, path)); len(found) != n {
		t.Errorf("of %d records, there are %d", n, len(found))
	}
}

func TestOpenErrors(t *testing.T) {
	folder := t.TempDir()
	if _, err := Open(filepath.Join(folder, "not", "there"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open without a folder: %v", err)
	}
	if _, err := Open(folder, nil); err == nil || errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Open of a folder: %v", err)
	}
}

func TestOtherFormatsAreRefused(t *testing.T) {
	tests := []struct {
		name    string
		content func(*bbolt.Tx) error
		says    string
		corrupt bool
	}{
		{"newer", setFormat("2"), `format "2", but this program knows only "1"`, false},
		{"none", setFormat(""), `format ""`, false},
		{"hostile", setFormat("\x1b[2J" + strings.Repeat("x", 1000)), `format "\x1b[2Jxxx`, false},
		{"foreign", func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(metaBucket)) }, "not a database of Tipbox", true},
		{"half", func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(recordsBucket)) }, "not a database of Tipbox", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := newPath(t)
			start(t, path).Close()
			raw, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(raw.Update(test.content), raw.Close()); err != nil {
				t.Fatal(err)
			}
			_, err = Open(path, nil)
			if err == nil || !strings.Contains(err.Error(), test.says) || len(err.Error()) > 400 {
				t.Errorf("Open: %v, want %q", err, test.says)
			}
			if got := errors.Is(err, store.ErrCorrupt); got != test.corrupt {
				t.Errorf("ErrCorrupt is %t, want %t", got, test.corrupt)
			}
			if _, again := Open(path, &Config{Timeout: time.Millisecond}); errors.Is(again, store.ErrLocked) {
				t.Error("a refused file stays locked")
			}
		})
	}
}

func setFormat(v string) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error { return tx.Bucket([]byte(metaBucket)).Put([]byte(formatKey), []byte(v)) }
}

func TestStoredRecordsTellNoOrder(t *testing.T) {
	path := newPath(t)
	db := start(t, path)
	const n = 200
	var revisions []uint64
	for i := range n {
		put(t, db, fmt.Sprintf("%03d", i), "same")
		err := db.at.Load().bolt.View(func(tx *bbolt.Tx) error {
			stored := tx.Bucket([]byte(recordsBucket)).Get(fmt.Appendf(nil, "%03d", i))
			revisions = append(revisions, binary.BigEndian.Uint64(stored))
			if !bytes.Equal(stored[headerLen:], []byte("same")) {
				t.Errorf("stored as %x", stored)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// In each bit the first half of the writes is like the second.
	for bit := range 64 {
		var early, late int
		for i, rev := range revisions {
			if rev>>bit&1 == 0 {
				continue
			}
			if i < n/2 {
				early++
			} else {
				late++
			}
		}
		if diff := early - late; diff < -60 || diff > 60 { // eight standard deviations
			t.Errorf("bit %d tells early from late: %d, %d", bit, early, late)
		}
	}
	slices.Sort(revisions)
	if unique := slices.Compact(revisions); len(unique) != n || unique[0] == 0 {
		t.Errorf("%d revisions of %d writes, the least being %d", len(unique), n, unique[0])
	}
}

func TestCheckFindsNothingInAHealthyFile(t *testing.T) {
	path := newPath(t)
	db := start(t, path)
	check := func() {
		t.Helper()
		if err := db.Check(t.Context()); err != nil {
			t.Fatalf("Check: %v", err)
		}
	}
	check()
	fill(t, db)
	check()
	for i := range 700 {
		if err := db.Apply(t.Context(), store.Delete(key(i))); err != nil {
			t.Fatal(err)
		}
	}
	check()
	db.Close()
	db = start(t, path)
	check()
	put(t, db, "z", "") // the writer is free again
	db.Close()
	if err := db.Check(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Check: %v", err)
	}
}

// start opens the database at path, and closes it when t ends.
func start(t testing.TB, path string) *DB {
	t.Helper()
	db, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "tipbox.db") }

func put(t testing.TB, db *DB, key, value string) {
	t.Helper()
	if err := db.Apply(t.Context(), store.Put(store.Key(key), []byte(value))); err != nil {
		t.Fatal(err)
	}
}

// fill writes records enough for a tree of three levels, one of them large.
func fill(t testing.TB, db *DB) {
	t.Helper()
	var changes []store.Change
	for i := range 1500 {
		changes = append(changes, store.Put(key(i), value(i)))
		if len(changes) == 50 {
			if err := db.Apply(t.Context(), changes...); err != nil {
				t.Fatal(err)
			}
			changes = nil
		}
	}
	put(t, db, "large", strings.Repeat("large", 5000))
}

// key is long, so that a branch page holds few of them.
func key(i int) store.Key {
	return store.Key(fmt.Sprintf("record/%04d/%s", i*7919%10000, strings.Repeat("k", 180)))
}

func value(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 20+i%50) }

// all returns every record.
func all(t testing.TB, db *DB) (found []store.Record) {
	t.Helper()
	for after := store.Key(""); ; after = found[len(found)-1].Key {
		page, err := db.Scan(t.Context(), "", after, store.MaxScan)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return found
		}
		found = append(found, page...)
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
