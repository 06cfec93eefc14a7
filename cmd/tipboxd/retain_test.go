package main

import (
	"log/slog"
	"os"
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

func TestAFolderIsSettledOnceADay(t *testing.T) {
	dir := newDemo(t, "")
	f, err := openFolder(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	last, err := os.Stat(f.file(databaseName))
	if err != nil {
		t.Fatal(err)
	}
	settle := func(mark string, reserve int64, anew, marked bool) {
		t.Helper()
		f.config.Reserve = reserve
		if mark != "" {
			write(t, dir, settleMark, mark+"\n")
		}
		err := f.settle(t.Context(), false)
		info, statErr := os.Stat(f.file(databaseName))
		if statErr != nil {
			t.Fatal(statErr)
		}
		if os.SameFile(info, last) == anew {
			t.Errorf("after %q the database is written anew: %v", mark, !anew)
		}
		last = info
		if day, markErr := keptDay(dir, settleMark); (err == nil) != marked || (markErr == nil && day == f.service.Today()) != marked {
			t.Errorf("after %q the mark is %q, %v: %v", mark, day, markErr, err)
		}
	}
	settle("", 0, false, true) // its first day
	settle("2026-01-01", 0, true, true)
	settle("", 0, false, true) // the same day
	settle("2026-01-01", 1<<30, false, false)
	settle("2026-01-01", 0, true, true)
}
