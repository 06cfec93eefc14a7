package bolt

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"tipbox/store"
)

var (
	largeTips = flag.Int("tips", 500, "how many tips the database of the benchmarks of large files holds")
	largeFile = flag.String("large", "", "keep that database in this file, or take the one that is there")
	largePart = flag.Float64("part", 1, "how much of each value it holds, where the disk has no room for all")
)

// BenchmarkOpenLarge opens a database of -tips tips: Warm with its file in the
// page cache, Cold without. For the figure:
//
//	go test ./store/bolt -run '^$' -bench OpenLarge -tips 300000 -large /var/tmp/large.db -benchtime 5x
func BenchmarkOpenLarge(b *testing.B) {
	path := large(b)
	for _, cold := range []bool{false, true} {
		b.Run(map[bool]string{false: "Warm", true: "Cold"}[cold], func(b *testing.B) {
			for b.Loop() {
				if cold {
					b.StopTimer()
					forget(b, path)
					b.StartTimer()
				}
				db, err := Open(path, nil)
				if err != nil {
					b.Fatal(err)
				}
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkApplyTip applies the records of tips to that database, each tip's in
// an Apply of its own, from as many goroutines as its name says. They stay in
// it. For the figure compare, as the disk has room,
//
//	go test ./store/bolt -run '^$' -bench ApplyTip/64 -tips 10000 -part 0.25 -large /var/tmp/10k.db -benchtime 20000x
//	go test ./store/bolt -run '^$' -bench ApplyTip/64 -tips 1000000 -part 0.25 -large /var/tmp/1m.db -benchtime 20000x
func BenchmarkApplyTip(b *testing.B) {
	path := large(b)
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			db := start(b, path)
			before, txid := db.at.Load().bolt.Stats().TxStats, commits(b, db)
			var next atomic.Int64
			failed := make(chan error, n)
			b.ResetTimer()
			for range n {
				go func() {
					for next.Add(1) <= int64(b.N) {
						if err := db.Apply(context.Background(), tipRecords(name())...); err != nil {
							failed <- err
							return
						}
					}
					failed <- nil
				}()
			}
			for range n {
				if err := <-failed; err != nil {
					b.Error(err)
				}
			}
			b.StopTimer()
			stats := db.at.Load().bolt.Stats()
			wrote := stats.TxStats.Sub(&before)
			b.ReportMetric(float64(b.N)/float64(commits(b, db)-txid), "applies/commit")
			b.ReportMetric(float64(wrote.GetPageAlloc())/1024/float64(b.N), "KiB/apply")
			b.ReportMetric(float64(wrote.GetWrite())/float64(b.N), "writes/apply")
			b.ReportMetric(float64(stats.FreelistInuse)/1024, "freelist-KiB")
		})
	}
}

// BenchmarkCompactLarge compacts that database, and BenchmarkSnapshotLarge
// makes a snapshot of it; MB/s are of the file.
func BenchmarkCompactLarge(b *testing.B) {
	db := start(b, large(b))
	b.SetBytes(size(b, db.path))
	for b.Loop() {
		if err := db.Compact(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSnapshotLarge(b *testing.B) {
	db := start(b, large(b))
	b.SetBytes(size(b, db.path))
	for b.Loop() {
		f, err := db.Snapshot(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

func size(b *testing.B, path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}

// large returns the path of a database with the records of -tips tips, as
// Compact leaves it.
func large(b *testing.B) string {
	path := *largeFile
	if path == "" {
		path = newPath(b)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path
	}
	db, err := layOut(path)
	if err != nil {
		b.Fatal(err)
	}
	ids := make([]string, *largeTips)
	for i := range ids {
		ids[i] = name()
	}
	slices.Sort(ids)
	for kind := range tipRecords("") { // all of a kind stand together
		for part := range slices.Chunk(ids, 1000) {
			err := db.Update(func(tx *bbolt.Tx) error {
				records := tx.Bucket([]byte(recordsBucket))
				records.FillPercent = pieceFill
				for _, id := range part {
					c := tipRecords(id)[kind]
					if err := records.Put([]byte(c.Key), encode(c.Key, c.Value)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := errors.Join(db.Sync(), db.Close()); err != nil {
		b.Fatal(err)
	}
	return path
}

// tipRecords are those of a tip that three members read, with values as long as
// theirs, or -part of that. Their keys are in the order of the kinds.
func tipRecords(id string) (changes []store.Change) {
	for _, r := range []struct {
		key  string
		size int
	}{
		{"box/" + id + id + id + id, 16},
		{"event/" + id + "/000001", 416},
		{"inbox/off-book-funds/7973-88-77/" + id, 206},
		{"sealed/" + id + "/000001", 5786},
		{"slots/" + id, 6300},
		{"tip/" + id, 4298},
	} {
		changes = append(changes, store.Create(store.Key(r.key), make([]byte, int(float64(r.size)**largePart))))
	}
	return changes
}

// name is as random as a tip's id.
func name() string { return strings.ToLower(rand.Text()[:16]) }

// forget takes the file at path out of the page cache.
func forget(b *testing.B, path string) {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const dontNeed = 4 // POSIX_FADV_DONTNEED
	if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0); errno != 0 {
		b.Fatal(errno)
	}
}
