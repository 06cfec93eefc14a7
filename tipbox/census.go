package tipbox

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"tipbox/store"
)

// A Census is what a program that watches the server is told of tips: how many cases
// are open, and how much room there is. Whoever watches may ask every few seconds and
// keep every answer, so:
//
//   - It is taken once a day, when the organisation's day begins, and stays as it is
//     until the next begins, also over a restart. If the server was down then, it is
//     taken at the start, before anything comes in. So in the course of a day it says
//     nothing of that day.
//   - A count is the lower bound of a band: 0, 10, 20, 50, 100, 200, 500 and so on. So
//     from one day to the next a single tip can be told only where it crosses a bound.
//   - The room is rounded down to a power of two, since the size of what came in is
//     as telling as that it came.
//
// Cases that are over are not counted: there would be a bound that only ever rises.
type Census struct {
	Day  string        `json:"day"`
	Open map[State]int `json:"open"`     // cases by state, those that are not over
	Room int64         `json:"room_mib"` // for files, beyond what is reserved for texts; -1: no end of it
}

// Census returns the census of the day, and takes it if it was not.
func (s *Service) Census(ctx context.Context) (*Census, error) {
	today := s.Today()
	rec, err := s.cfg.Store.Get(ctx, keyCensus)
	if err == nil {
		var c Census
		if err = decode(rec, &c); err == nil && c.Day == today {
			return &c, nil
		}
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) {
		return nil, fmt.Errorf("reading the census: %w", err)
	}
	c, err := s.takeCensus(ctx, today)
	if err != nil {
		return nil, fmt.Errorf("taking the census: %w", err)
	}
	// Whatever was there: of two servers that take it in the same moment, one is
	// as right as the other.
	return c, s.cfg.Store.Apply(ctx, store.Put(keyCensus, encode(c)))
}

func (s *Service) takeCensus(ctx context.Context, today string) (*Census, error) {
	open := make(map[State]int)
	for _, state := range States() {
		if !state.Over() {
			open[state] = 0
		}
	}
	err := s.each(ctx, prefixState, func(rec store.Record) error {
		parts := strings.Split(string(rec.Key), "/") // state, channel, state, day, id
		if rec.Err != nil || len(parts) != 5 {
			return nil // see Check
		}
		if _, counts := open[State(parts[2])]; counts {
			open[State(parts[2])]++
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	for state, n := range open {
		open[state] = countBand(n)
	}
	c := &Census{Day: today, Open: open, Room: -1}
	if s.cfg.Free != nil {
		free, err := s.cfg.Free()
		if err != nil {
			return nil, fmt.Errorf("asking for the room on the disk: %w", err)
		}
		c.Room = SizeBand((free - s.cfg.Reserve) >> 20)
	}
	return c, nil
}

// countBand is the lower bound of a count's band.
func countBand(n int) int {
	band := 0
	for bound := 10; bound <= n; bound *= 10 {
		for _, times := range []int{1, 2, 5} {
			if bound*times <= n {
				band = bound * times
			}
		}
	}
	return band
}

// SizeBand rounds a size down to a power of two; below one it is 0.
func SizeBand(n int64) int64 {
	if n < 1 {
		return 0
	}
	return 1 << (bits.Len64(uint64(n)) - 1)
}
