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
