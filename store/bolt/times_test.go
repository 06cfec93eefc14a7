package bolt

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"tipbox/store"
)

// startOn is start on a day.
func startOn(t *testing.T, path string, day *time.Time) *DB {
	t.Helper()
	db, err := Open(path, &Config{Day: func() time.Time { return *day }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestTimesOfTheFileTellOnlyTheDay(t *testing.T) {
	path := newPath(t)
	day := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	check := func(after string) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil || !info.ModTime().Equal(day) {
			t.Errorf("after %s it was modified %v, %v", after, info.ModTime(), err)
		}
	}
	db := startOn(t, path, &day)
	check("Open")
	put(t, db, "a", "1")
	check("a write")
	day = day.AddDate(0, 0, 1)
	put(t, db, "b", strings.Repeat("2", 1<<19))
	check("a write on the next day")
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("Compact")
	put(t, db, "c", "3")
	check("a write to the new file")
	if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	db.ResetTimes()
	check("ResetTimes")
	db.Close()
	check("Close")
}

// skeleton is a database's file, page by page, without the revisions.
func skeleton(content []byte) string {
	const pageSize = 4096
	var out strings.Builder
	for at := 0; at < len(content); {
		p := parse(content[at : at+pageSize])
		length := pageSize
		if p.flags == leafPage && p.id == uint64(at/pageSize) {
			length *= 1 + int(p.overflow)
			p.data = content[at:min(at+length, len(content))]
		}
		fmt.Fprintf(&out, "%d %d %d %d ", p.id, p.flags, p.count, p.overflow)
		if p.flags == leafPage && p.fits() && p.packed() {
			for i := range p.count {
				if v := p.value(i); len(v) >= headerLen {
					clear(v[:headerLen])
				}
			}
		}
		fmt.Fprintf(&out, "%x\n", content[at:min(at+length, len(content))])
		at += length
	}
	return out.String()
}

// TestACompactedFileTellsNoOrder writes the same records in two orders.
func TestACompactedFileTellsNoOrder(t *testing.T) {
	if os.Getpagesize() != 4096 {
		t.Skip("written for pages of 4096 bytes")
	}
	const n = 200
	var before, after [2]string
	for world := range after {
		path := newPath(t)
		db := start(t, path)
		for _, i := range rand.Perm(n) {
			if err := db.Apply(t.Context(), store.Create(key(i), []byte(strings.Repeat(fmt.Sprint(i), 100*(1+i%50))))); err != nil {
				t.Fatal(err)
			}
		}
		before[world] = skeleton(read(t, path))
		if err := db.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		after[world] = skeleton(read(t, path))
	}
	if before[0] == before[1] {
		t.Error("it tells none before either: this test shows nothing")
	}
	if after[0] != after[1] {
		t.Error("two files of the same records, written in another order, differ")
	}
}
