package tipbox_test

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

func census(t *testing.T, s *tipbox.Service) string {
	t.Helper()
	c, err := s.Census(ctx)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCensusDoesNotTellTheHourOfATip has two organisations that differ by the hour of
// the one tip that crosses a bound, by its size, and by the hour of a restart, and asks
// both in every hour.
func TestCensusDoesNotTellTheHourOfATip(t *testing.T) {
	type course struct{ tip, restart int }
	watch := func(c course) (seen []string) {
		var received int64
		free := func() (int64, error) { return 4<<30 + 1<<20 - received, nil }
		o := tipboxtest.New(t, tipboxtest.Config{Free: free})
		for range 9 {
			o.Submit("one of nine")
		}
		o.Clock.Advance(12 * time.Hour) // the day begins
		service := o.Service
		for hour := range 48 {
			if hour == c.tip {
				o.Submit("the tenth")
				received += 64 << 20
			}
			if hour == c.restart {
				service = afterRestart(t, o, free)
			}
			seen = append(seen, census(t, service))
			o.Clock.Advance(time.Hour)
		}
		return seen
	}
	first := watch(course{tip: 9, restart: 12})
	for _, other := range []course{{tip: 1, restart: 12}, {tip: 23, restart: 12}, {tip: 9, restart: 8}, {tip: 9, restart: 30}} {
		for hour, got := range watch(other) {
			if got != first[hour] {
				t.Errorf("%+v, hour %d: %s, want %s", other, hour, got, first[hour])
			}
		}
	}
	if first[0] != first[23] || first[24] == first[23] || first[24] != first[47] {
		t.Errorf("in the first day %s and %s, in the second %s and %s", first[0], first[23], first[24], first[47])
	}
}

// afterRestart is another process on the same stores, with the same disk.
func afterRestart(t *testing.T, o *tipboxtest.Org, free func() (int64, error)) *tipbox.Service {
	t.Helper()
	service, err := tipbox.New(tipbox.Config{
		Store: o.Store, Blobs: o.Blobs, Root: o.Root.Verifier(), Now: o.Clock.Now, Free: free,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.InstallRoster(ctx, o.Service.SignedRoster()); err != nil {
		t.Fatal(err)
	}
	return service
}

func TestCensusCountsOpenCasesInBands(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{Free: func() (int64, error) { return 100<<20 + 3, nil }, Reserve: 30 << 20})
	for range 21 {
		o.Submit("another")
	}
	for _, item := range o.Inbox("alice")[:11] {
		o.Act("alice", item.Tip, tipbox.Act{Action: tipbox.ActionDecline, Text: "It is not for us.", Detail: &tipbox.Detail{Reason: tipbox.OutOfScope}})
	}
	c, err := o.Service.Census(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[tipbox.State]int)
	for _, state := range tipbox.States() {
		if !state.Over() {
			want[state] = 0
		}
	}
	want[tipbox.StateReceived] = 10
	if !maps.Equal(c.Open, want) || c.Room != 64 || c.Day != o.Service.Today() {
		t.Errorf("the census is %+v", c)
	}
	if err := o.Store.Apply(ctx, store.Put("meta/census", []byte("damaged"))); err != nil {
		t.Fatal(err)
	}
	if again, err := o.Service.Census(ctx); err != nil || again.Room != 64 {
		t.Errorf("after damage: %+v, %v", again, err)
	}
}
