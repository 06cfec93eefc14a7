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

// BenchmarkRaw is the least that a durable commit costs on this disk: pages
// written and synced, then a meta page written and synced. Page writes one page
// first; Commit writes as many pages, at as many places, as bbolt does for a
// lone Apply: a leaf, its branch, the roots above, the list of free pages.
// Compare with BenchmarkApply/1 of the same run.
func BenchmarkRaw(b *testing.B) {
	for _, test := range []struct {
		name  string
		pages int
	}{{"Page", 1}, {"Commit", 5}} {
		b.Run(test.name, func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			const places = 2000
			page := make([]byte, os.Getpagesize())
			write := func(place int) {
				if _, err := f.WriteAt(page, int64(place*len(page))); err != nil {
					b.Fatal(err)
				}
			}
			sync := func() {
				if err := syscall.Fdatasync(int(f.Fd())); err != nil {
					b.Fatal(err)
				}
			}
			for place := range places {
				write(place)
			}
			sync()
			for i := 0; b.Loop(); i++ {
				for j := range test.pages {
					write(2 + (i*test.pages+j)*977%(places-2))
				}
				sync()
				write(i % 2)
				sync()
			}
		})
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
