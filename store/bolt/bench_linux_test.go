package bolt

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"tipbox/store"
)

// BenchmarkRaw is the least that a durable commit costs on this disk: two
// pages written and synced, one after the other, as a transaction and its
// meta page are. Compare with BenchmarkApply of the same run.
func BenchmarkRaw(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, os.Getpagesize())
	if _, err := f.WriteAt(make([]byte, 1<<20), 0); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		for _, at := range []int{i % 2, 2 + i%200} {
			if _, err := f.WriteAt(page, int64(at*len(page))); err != nil {
				b.Fatal(err)
			}
			if err := syscall.Fdatasync(int(f.Fd())); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkApply writes records of 1 KiB, each in an Apply of its own, from
// as many goroutines as its name says.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			db := start(b, newPath(b))
			before := commits(b, db)
			value := make([]byte, 1024)
			var next atomic.Int64
			failed := make(chan error, n)
			b.ResetTimer()
			for range n {
				go func() {
					for {
						i := next.Add(1)
						if i > int64(b.N) {
							failed <- nil
							return
						}
						// As tips do, the keys arrive in no order.
						key := store.Key(fmt.Sprintf("tip/%08x", uint32(i)*2654435761))
						if err := db.Apply(context.Background(), store.Create(key, value)); err != nil {
							failed <- err
							return
						}
					}
				}()
			}
			for range n {
				if err := <-failed; err != nil {
					b.Error(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/float64(commits(b, db)-before), "applies/commit")
		})
	}
}

func BenchmarkGet(b *testing.B) {
	db := start(b, newPath(b))
	fill(b, db)
	for i := 0; b.Loop(); i++ {
		if _, err := db.Get(b.Context(), key(i%1500)); err != nil {
			b.Fatal(err)
		}
	}
}
