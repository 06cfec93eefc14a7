package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
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
			write(t, dir, compactMark, mark+"\n")
		}
		err := f.settle(t.Context())
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
	settle("2040-01-01", 0, true, true) // when the clock was wrong
}

// TestAFileThatCannotBeSettledHasTheDatabaseWrittenOnce has a file for a copy of which
// there is no room, which is tried again every hour.
func TestAFileThatCannotBeSettledHasTheDatabaseWrittenOnce(t *testing.T) {
	dir := newDemo(t, "")
	f, err := openFolder(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.config.Reserve = 0
	const blob = "abcdefghijklmnopqrstuvwxyz"
	write(t, dir, filepath.Join(blobsName, blob[:2], blob), "")
	file := filepath.Join(f.file(blobsName), blob[:2], blob)
	yesterday := f.day().AddDate(0, 0, -1)
	if err := os.Truncate(file, 1<<42); errors.Is(err, syscall.EFBIG) {
		t.Skip("this file system has no files of 4 TiB: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	write(t, dir, settleMark, yesterday.Format(time.DateOnly)+"\n")
	var before os.FileInfo
	for i := range 3 {
		if err := f.settle(t.Context()); err == nil {
			t.Fatal("it is settled")
		}
		info, err := os.Stat(f.file(databaseName))
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && !os.SameFile(info, before) {
			t.Errorf("at try %d the database is written anew again", i+1)
		}
		before = info
	}
}
