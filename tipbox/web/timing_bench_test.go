package web_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tipbox/crypto/receipt"
	"tipbox/store"
	"tipbox/store/bolt"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// The answer times of codes are asked for one after the other in random order, and
// told apart as well as Welch's t-test can: for |t| below 3 it finds nothing.
//
//	go test ./tipbox/web -run '^$' -bench 'AnswerTimes|LookUpTimes' -benchtime 20000x -count 5
//
// "cropped" leaves out the slowest tenth of all, whosever they are, as dudect does:
// the garbage collector and other processes are in there. The share was chosen
// before anything was measured.

// BenchmarkAnswerTimes asks the pages, on a database on the disk, for codes that were
// never given out, whose tips the rule of retention erased, and whose tips their
// sources did.
func BenchmarkAnswerTimes(b *testing.B) {
	s := newDiskSite(b)
	codes := s.lostCodes(b, min(200, 2+b.N/50))
	form := s.codeForm(b, "")
	m := newMeasured(b.N, "unknown", "expired", "erased")
	b.ResetTimer()
	for i, kind := range m.kinds {
		code := codes[kind][rand.IntN(len(codes[kind]))]
		r, w := form.set(b, "code", code.Digits()).request(), httptest.NewRecorder()
		began := time.Now()
		s.ServeHTTP(w, r)
		m.took[i] = time.Since(began)
		if w.Code != 404 {
			b.Fatalf("status %d", w.Code)
		}
	}
	m.report(b)
}

// BenchmarkLookUpTimes looks for mailboxes that are there and for ones that are not:
// the only work that a right code and a wrong one have in common. What comes after it
// when a thread opens takes longer by far.
func BenchmarkLookUpTimes(b *testing.B) {
	s := newDiskSite(b)
	n := min(200, 2+b.N/50)
	for range n {
		s.Submit(secret)
	}
	found, err := s.Store.Scan(b.Context(), "box/", "", n)
	if err != nil || len(found) != n {
		b.Fatal(len(found), err)
	}
	m := newMeasured(b.N, "right", "unknown")
	keys := make(map[string][]store.Key)
	for _, rec := range found {
		keys["right"] = append(keys["right"], rec.Key)
		keys["unknown"] = append(keys["unknown"], store.Key(fmt.Sprintf("box/%x", receipt.New().Locator())))
	}
	b.ResetTimer()
	for i, kind := range m.kinds {
		key := keys[kind][rand.IntN(n)]
		began := time.Now()
		_, err := s.Store.Get(b.Context(), key)
		m.took[i] = time.Since(began)
		if errors.Is(err, store.ErrNotFound) != (kind == "unknown") {
			b.Fatal(err)
		}
	}
	m.report(b)
}

func newDiskSite(b *testing.B) *site {
	b.Helper()
	db, err := bolt.Open(filepath.Join(b.TempDir(), "tipbox.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return newSite(b, tipboxtest.Config{Store: db, KeepDays: 10})
}

// lostCodes makes n codes of each kind, beside as many that are good.
func (s *site) lostCodes(b *testing.B, n int) map[string][]*receipt.Code {
	b.Helper()
	codes := make(map[string][]*receipt.Code)
	for range n {
		codes["expired"] = append(codes["expired"], s.Submit(secret))
	}
	for _, item := range s.Inbox("alice") {
		s.Act("alice", item.Tip, tipbox.Act{Action: tipbox.ActionDecline, Text: "no", Detail: &tipbox.Detail{Reason: tipbox.OutOfScope}})
	}
	s.Clock.Advance(12 * 24 * time.Hour)
	if erased, err := s.Service.Retain(b.Context()); erased != n || err != nil {
		b.Fatal(erased, err)
	}
	for range n {
		s.Submit(secret)
		codes["unknown"] = append(codes["unknown"], receipt.New())
		own := s.Submit(secret)
		if err := s.Service.EraseOwn(b.Context(), own); err != nil {
			b.Fatal(err)
		}
		codes["erased"] = append(codes["erased"], own)
	}
	return codes
}

// measured are times, each of one of some kinds.
type measured struct {
	names []string
	kinds []string        // in the order in which they are asked for
	took  []time.Duration // of the same
}

func newMeasured(n int, names ...string) *measured {
	m := &measured{names, make([]string, n), make([]time.Duration, n)}
	for i := range m.kinds {
		m.kinds[i] = names[i%len(names)]
	}
	rand.Shuffle(n, func(i, j int) { m.kinds[i], m.kinds[j] = m.kinds[j], m.kinds[i] })
	return m
}

// cropped is the share of the slowest that the second figures leave out.
const cropped = 0.1

// report tells how far every two kinds are apart.
func (m *measured) report(b *testing.B) {
	if len(m.took) < 100 {
		return // too few to say anything
	}
	limit := slices.Sorted(slices.Values(m.took))[int(float64(len(m.took))*(1-cropped))]
	for _, most := range []time.Duration{math.MaxInt64, limit} {
		means := make(map[string]sample)
		for i, kind := range m.kinds {
			if m.took[i] < most {
				means[kind] = means[kind].with(float64(m.took[i]))
			}
		}
		unit := ""
		if most == limit {
			unit = "-cropped"
		}
		for i, x := range m.names {
			b.ReportMetric(means[x].mean, x+"-ns"+unit)
			for _, y := range m.names[i+1:] {
				b.ReportMetric(welch(means[x], means[y]), "t-"+x+"/"+y+unit)
			}
		}
	}
}

// A sample is the mean and the squared deviations of n figures, by Welford's method.
type sample struct{ n, mean, squares float64 }

func (s sample) with(x float64) sample {
	s.n++
	d := x - s.mean
	s.mean += d / s.n
	s.squares += d * (x - s.mean)
	return s
}

// welch is the t of Welch's test.
func welch(a, b sample) float64 {
	return (a.mean - b.mean) / math.Sqrt(a.squares/(a.n-1)/a.n+b.squares/(b.n-1)/b.n)
}
