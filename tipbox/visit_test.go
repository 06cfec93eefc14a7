package tipbox_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"tipbox/crypto/receipt"
	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// lastUsed opens the thread and returns what it says.
func lastUsed(t *testing.T, s *tipbox.Service, code *receipt.Code) string {
	t.Helper()
	thread, err := s.Thread(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	return thread.LastUsed
}

func flush(t *testing.T, s *tipbox.Service, now bool) {
	t.Helper()
	if err := s.FlushVisits(ctx, now); err != nil {
		t.Fatal(err)
	}
}

// again is another process on the same store.
func again(t *testing.T, o *tipboxtest.Org) *tipbox.Service {
	t.Helper()
	s, err := tipbox.New(tipbox.Config{Store: o.Store, Blobs: o.Blobs, Root: o.Root.Verifier(), Channels: o.Service.Channels(), Now: o.Clock.Now})
	if err == nil {
		err = s.InstallRoster(ctx, o.Service.SignedRoster())
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAThreadTellsOnWhichDayItsCodeWasLastUsed(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code, other := o.Submit("one"), o.Submit("two")
	s := o.Service
	want := func(day string) {
		t.Helper()
		for range 2 { // a use of today warns of nothing
			if got := lastUsed(t, s, code); got != day {
				t.Errorf("on %s it was last used on %q, want %q", o.Service.Today(), got, day)
			}
		}
	}
	want("") // 11-22, the first time
	o.Clock.Advance(aDay)
	want("2026-11-22") // not written yet
	flush(t, s, false)
	want("2026-11-22")
	o.Clock.Advance(aDay)
	flush(t, s, false)
	want("2026-11-23")
	flush(t, s, true) // as a server that stops
	s = again(t, o)
	want("2026-11-23")
	o.Clock.Advance(2 * aDay)
	want("2026-11-24")
	flush(t, s, false)
	want("2026-11-24") // what was written on the same day is no other use
	o.Clock.Advance(aDay)
	s = again(t, o) // it was killed, and nothing was to be written
	want("2026-11-26")
	o.Clock.Advance(aDay)
	s = again(t, o) // it was killed, and 11-27 is lost
	want("2026-11-26")
	if got := lastUsed(t, s, other); got != "" {
		t.Errorf("another code was last used on %s", got)
	}
	flush(t, s, true)
}

func TestAClockThatWasWrongWarnsOfNoDayToCome(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("one")
	lastUsed(t, o.Service, code)
	o.Clock.Advance(400 * aDay)
	flush(t, o.Service, false)
	lastUsed(t, o.Service, code)
	flush(t, o.Service, true)
	o.Clock.Advance(-399 * aDay)
	for range 2 {
		if got := lastUsed(t, o.Service, code); got != "2026-11-22" {
			t.Errorf("last used on %q", got)
		}
	}
	flush(t, o.Service, true)
	if got := lastUsed(t, again(t, o), code); got != "2026-11-22" {
		t.Errorf("last used on %q", got)
	}
}

// recorder notes what is written.
type recorder struct {
	store.Store
	mu      sync.Mutex
	applied [][]store.Change // guarded by mu
}

func (r *recorder) Apply(ctx context.Context, changes ...store.Change) error {
	r.mu.Lock()
	r.applied = append(r.applied, slices.Clone(changes))
	r.mu.Unlock()
	return r.Store.Apply(ctx, changes...)
}

// TestVisitsAreWrittenOnceADay opens threads, in an order and at times that nothing
// written shows: all in one Apply, by key, when the day is over.
func TestVisitsAreWrittenOnceADay(t *testing.T) {
	rec := &recorder{Store: mem.New()}
	o := tipboxtest.New(t, tipboxtest.Config{Store: rec})
	var codes []*receipt.Code
	for i := range 12 {
		codes = append(codes, o.Submit(fmt.Sprint("tip ", i)))
	}
	flush(t, o.Service, false)
	before, blobs, writes := stored(t, o, true, ""), o.Stored(), len(rec.applied)
	for _, code := range append(codes, codes[:5]...) {
		lastUsed(t, o.Service, code)
		if _, err := o.Service.Thread(ctx, receipt.New()); err == nil {
			t.Error("a code of nobody opens a thread")
		}
		flush(t, o.Service, false)
	}
	if !same(stored(t, o, true, ""), before) || len(o.Stored()) != len(blobs) || len(rec.applied) != writes {
		t.Fatal("that a source came is written at once")
	}
	o.Clock.Advance(aDay)
	flush(t, o.Service, false)
	flush(t, o.Service, false)
	if n := len(rec.applied) - writes; n != 1 {
		t.Fatalf("it was written in %d parts", n)
	}
	var keys []string
	for _, c := range rec.applied[writes] {
		keys = append(keys, string(c.Key))
	}
	if len(keys) != len(codes) || !slices.IsSorted(keys) {
		t.Errorf("written were %v", keys)
	}
	if !same(stored(t, o, false, "visit/"), before) {
		t.Error("something else has changed")
	}
}

// TestVisitsJoinNothing looks at what is stored of visits as whoever has the disk can.
func TestVisitsJoinNothing(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	var codes []*receipt.Code
	for i := range 5 {
		codes = append(codes, o.Submit(fmt.Sprint("tip ", i)))
		lastUsed(t, o.Service, codes[i])
	}
	lastUsed(t, o.Service, codes[0])
	o.Clock.Advance(aDay)
	flush(t, o.Service, false)
	lastUsed(t, o.Service, codes[1])
	flush(t, o.Service, true)
	checkVisits(t, o, len(codes), codes)
}

// checkVisits checks that so many visits are stored, all of one form, that share
// nothing with what else is stored nor with each other, nor hold a part of a code.
func checkVisits(t *testing.T, o *tipboxtest.Org, n int, codes []*receipt.Code) {
	t.Helper()
	visits, rest := stored(t, o, true, "visit/"), look(stored(t, o, false, "visit/")).raw
	if len(visits) != n {
		t.Fatalf("%d visits are stored, want %d", len(visits), n)
	}
	const year = 4
	var secrets []byte
	for _, code := range codes {
		locator := code.Locator()
		secrets = slices.Concat(secrets, code.Bytes(), locator[:], code.SigningKey(), []byte(code.Digits()), []byte(code.Words("en")))
	}
	seen := make(map[string]bool)
	for key, rec := range visits {
		name, err := hex.DecodeString(strings.TrimPrefix(string(key), "visit/"))
		if err != nil || len(name) != 32 || len(rec.Value) != 64 || string(rec.Value[:year]) != "2026" {
			t.Errorf("%s holds %d bytes, %q", key, len(rec.Value), rec.Value[:year])
		}
		for _, part := range [][]byte{name, []byte(hex.EncodeToString(name)), rec.Value[year:]} {
			window := 7 // bytes; of hex digits as many as are no coincidence either
			if len(part) == 2*len(name) {
				window *= 2
			}
			for i := range len(part) - window + 1 {
				piece := part[i : i+window]
				if bytes.Contains(rest, piece) || bytes.Contains(secrets, piece) || seen[string(piece)] {
					t.Errorf("%s has %x in common with something else", key, piece)
				}
				seen[string(piece)] = true
			}
		}
	}
}

func TestAManyDaysVisitsAreWrittenInPartsAndFadeInParts(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	const n = store.MaxChanges + 20
	var codes []*receipt.Code
	for i := range n {
		codes = append(codes, o.Submit(fmt.Sprint("tip ", i)))
		lastUsed(t, o.Service, codes[i])
	}
	flush(t, o.Service, true)
	if got := len(stored(t, o, true, "visit/")); got != n {
		t.Errorf("%d visits are stored", got)
	}
	o.Clock.Advance(3 * 366 * aDay)
	flush(t, o.Service, false)
	if got := len(stored(t, o, true, "visit/")); got != 0 {
		t.Errorf("%d visits are still stored", got)
	}
}

func TestAVisitFadesAfterTwoWholeYearsWithoutAnother(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code, other := o.Submit("one"), o.Submit("two")
	left := func(want int) {
		t.Helper()
		flush(t, o.Service, false)
		if got := len(stored(t, o, true, "visit/")); got != want {
			t.Errorf("on %s %d visits are stored, want %d", o.Service.Today(), got, want)
		}
	}
	to := func(day string) {
		t.Helper()
		for o.Service.Today() < day {
			o.Clock.Advance(aDay)
		}
	}
	lastUsed(t, o.Service, code) // 2026
	lastUsed(t, o.Service, other)
	to("2027-01-05")
	lastUsed(t, o.Service, other)
	left(2)
	to("2028-12-31")
	left(2)
	if err := o.Service.EraseOwn(ctx, other); err != nil { // its visit fades as all do
		t.Fatal(err)
	}
	left(2)
	to("2029-01-01")
	left(1)
	if got := lastUsed(t, o.Service, code); got != "" {
		t.Errorf("last used on %s, which faded", got)
	}
	to("2030-01-01")
	left(1)
}

func TestWhatCannotBeWrittenOfVisitsIsWrittenLater(t *testing.T) {
	f := new(failingStore).wrap()
	o := tipboxtest.New(t, tipboxtest.Config{Store: f})
	code := o.Submit("one")
	lastUsed(t, o.Service, code)
	o.Clock.Advance(aDay)
	f.fail = true
	if err := o.Service.FlushVisits(ctx, false); err == nil {
		t.Error("nothing is written and nothing said")
	}
	f.fail = false
	flush(t, o.Service, false)
	if got := lastUsed(t, again(t, o), code); got != "2026-11-22" {
		t.Errorf("last used on %q", got)
	}
}

func TestADamagedVisitIsAsGoodAsNoneAndIsNotLogged(t *testing.T) {
	damaged := &damagedStore{Store: mem.New()}
	o := tipboxtest.New(t, tipboxtest.Config{Store: damaged})
	code := o.Submit("one")
	lastUsed(t, o.Service, code)
	flush(t, o.Service, true)
	o.Clock.Advance(aDay)
	for key, rec := range stored(t, o, true, "visit/") {
		damaged.key = key
		if got := lastUsed(t, again(t, o), code); got != "" {
			t.Errorf("last used on %q", got)
		}
		report, err := o.Service.Check(ctx)
		if err != nil || len(report.Problems) != 1 || !strings.Contains(report.Problems[0], string(key)) {
			t.Errorf("check finds %v %v", report, err)
		}
		damaged.key = ""
		for name, value := range map[string][]byte{"cut": rec.Value[:20], "of another year": append([]byte("2027"), rec.Value[4:]...), "altered": append(rec.Value[:63:63], rec.Value[63]^1), "empty": {}} {
			if err := o.Store.Apply(ctx, store.Put(key, value)); err != nil {
				t.Fatal(err)
			}
			if got := lastUsed(t, again(t, o), code); got != "" {
				t.Errorf("%s: last used on %q", name, got)
			}
			report, err := o.Service.Check(ctx)
			if form := name == "cut" || name == "empty"; err != nil || len(report.Problems) > 0 != form {
				t.Errorf("%s: check finds %v %v", name, report, err)
			}
		}
		if err := o.Store.Apply(ctx, store.Put(key, rec.Value)); err != nil {
			t.Fatal(err)
		}
		if got := lastUsed(t, again(t, o), code); got != "2026-11-22" {
			t.Errorf("last used on %q", got)
		}
	}
	if said := o.Log.Bytes(); len(said) > 0 {
		t.Errorf("the log says: %s", said)
	}
}

// meanwhile does something while a write is under way, once.
type meanwhile struct {
	store.Store
	do func()
}

func (m *meanwhile) Apply(ctx context.Context, changes ...store.Change) error {
	if do := m.do; do != nil {
		m.do = nil
		do()
	}
	return m.Store.Apply(ctx, changes...)
}

func TestAVisitWhileTheDayBeforeIsWrittenIsKept(t *testing.T) {
	m := &meanwhile{Store: mem.New()}
	o := tipboxtest.New(t, tipboxtest.Config{Store: m})
	code := o.Submit("one")
	lastUsed(t, o.Service, code)
	m.do = func() {
		o.Clock.Advance(aDay)
		lastUsed(t, o.Service, code)
	}
	flush(t, o.Service, true)
	o.Clock.Advance(aDay)
	flush(t, o.Service, false)
	if got := lastUsed(t, again(t, o), code); got != "2026-11-23" {
		t.Errorf("last used on %q", got)
	}
}

func TestVisitsWhileOthersAreWrittenAreNotLost(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	var codes []*receipt.Code
	for i := range 20 {
		codes = append(codes, o.Submit(fmt.Sprint("tip ", i)))
	}
	var wg sync.WaitGroup
	for _, code := range codes {
		wg.Go(func() {
			if _, err := o.Service.Thread(ctx, code); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := o.Service.FlushVisits(ctx, true); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	flush(t, o.Service, true)
	o.Clock.Advance(aDay)
	for _, code := range codes {
		if got := lastUsed(t, again(t, o), code); got != "2026-11-22" {
			t.Errorf("last used on %q", got)
		}
	}
}
