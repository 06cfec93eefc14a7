package main

import (
	"testing"
	"time"
)

func TestClockJumpIsToldInDays(t *testing.T) {
	for wall, days := range map[time.Duration]int{
		time.Hour: 0, 2 * time.Hour: 0, 25 * time.Hour: 1, -23 * time.Hour: -1, 365*24*time.Hour + time.Hour: 365,
	} {
		if got := clockJump(time.Hour, wall); got != days {
			t.Errorf("an hour that the clock says was %v: %d days, want %d", wall, got, days)
		}
	}
}

func TestTheNextDayIsLookedAtOnceItHasBegun(t *testing.T) {
	summer, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for now, want := range map[time.Time]time.Duration{
		time.Date(2026, 11, 26, 23, 59, 0, 0, time.UTC): time.Minute + time.Second,
		time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC):   24*time.Hour + time.Second,
		time.Date(2026, 10, 25, 0, 0, 0, 0, summer):     25*time.Hour + time.Second,
		time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC):  12*time.Hour + time.Second,
	} {
		if got := untilTomorrow(now); got != want {
			t.Errorf("at %v it waits %v, want %v", now, got, want)
		}
	}
}
