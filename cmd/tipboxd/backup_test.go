package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOldBackupsGo has a folder with what is and is not the command's to remove.
func TestOldBackupsGo(t *testing.T) {
	dir := t.TempDir()
	kept := []string{
		"tipbox-2026-10-26.age", // 31 days before
		"tipbox-2026-11-26.age",
		"tipbox-2026-11-26.age.part-1", // of one that is being made
		"tipbox-2026-01-01.age.txt", "before-tipbox-2026-01-01.age", "tipbox.age", "tipbox-2026-01-01-.age",
	}
	gone := []string{
		"tipbox-2026-10-25.age", "tipbox-2025-12-31-2.age",
		"tipbox-2026-10-25.age.part-37", // of one that was cut off
		"tipbox-2026-10-25-3.age.part-1",
	}
	for _, name := range append(slices.Clone(kept), gone...) {
		write(t, dir, name, "")
	}
	if err := os.Mkdir(dir+"/tipbox-2024-01-01.age", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("tipbox.age", dir+"/tipbox-2024-01-02.age"); err != nil {
		t.Fatal(err)
	}
	kept = append(kept, "tipbox-2024-01-01.age", "tipbox-2024-01-02.age")
	for day := 20; day < 26; day++ { // so that the old ones are none of the newest
		name := fmt.Sprintf("tipbox-2026-11-%d.age", day)
		write(t, dir, name, "")
		kept = append(kept, name)
	}
	mustKeep(t, dir, 31, time.Date(2026, time.November, 26, 1, 0, 0, 0, time.UTC), kept)
}

// TestNoClockTakesAllBackups has the clock be years ahead, for as long as backups are
// kept, and be right again.
func TestNoClockTakesAllBackups(t *testing.T) {
	dir := t.TempDir()
	for day := 1; day <= 10; day++ {
		write(t, dir, fmt.Sprintf("tipbox-2026-11-%02d.age", day), "")
	}
	write(t, dir, "tipbox-2026-11-10-2.age", "")
	write(t, dir, "tipbox-2026-11-10-3.age.part-1", "")
	write(t, dir, "tipbox-2036-11-11.age", "") // which was made just now
	newest := []string{
		"tipbox-2026-11-05.age", "tipbox-2026-11-06.age", "tipbox-2026-11-07.age", "tipbox-2026-11-08.age", "tipbox-2026-11-09.age",
		"tipbox-2026-11-10.age", "tipbox-2026-11-10-2.age", "tipbox-2036-11-11.age",
	}
	mustKeep(t, dir, 31, time.Date(2036, time.November, 11, 1, 0, 0, 0, time.UTC), newest)
	write(t, dir, "tipbox-2026-11-12.age", "")
	mustKeep(t, dir, 31, time.Date(2026, time.November, 12, 1, 0, 0, 0, time.UTC), append(newest, "tipbox-2026-11-12.age"))
	// Who keeps fewer days has fewer.
	mustKeep(t, dir, 2, time.Date(2036, time.November, 11, 1, 0, 0, 0, time.UTC), []string{"tipbox-2026-11-12.age", "tipbox-2036-11-11.age"})
}

// mustKeep removes what is older than so many days.
func mustKeep(t *testing.T, dir string, days int, today time.Time, kept []string) {
	t.Helper()
	c := &backupCmd{Keep: days}
	if err := c.removeOld(dir, today); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, file := range files {
		there = append(there, file.Name())
	}
	kept = slices.Sorted(slices.Values(kept))
	if !slices.Equal(there, kept) {
		t.Errorf("there are %q, want %q", there, kept)
	}
}

// TestBackupLeavesTheRoomForTips has the backups be on the folder's disk, of which all
// is reserved.
func TestBackupLeavesTheRoomForTips(t *testing.T) {
	dir, backups := newDemo(t, ""), t.TempDir()
	reset(t, dir, func(c *config) {
		c.BackupRecipients = []string{newBackupKey(t).Recipient().String()}
		c.Reserve = 1 << 30
	})
	if status, says := runProgram(t, "backup", dir, backups); status != exitFailed || !strings.Contains(says, "reserve_mib") {
		t.Errorf("status %d: %s", status, says)
	}
	if files, err := os.ReadDir(backups); err != nil || len(files) > 0 {
		t.Errorf("%v is left, %v", files, err)
	}
	reset(t, dir, func(c *config) { c.Reserve = 0 })
	if status, says := runProgram(t, "backup", dir, backups); status != exitDone {
		t.Errorf("status %d: %s", status, says)
	}
}

// TestNoBackupIsRestoredOntoAMount takes a place where something is mounted on every Linux.
func TestNoBackupIsRestoredOntoAMount(t *testing.T) {
	if err := (&restoreCmd{Dir: "/proc"}).replaceable(); err == nil || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("it says %v", err)
	}
	dir := t.TempDir()
	for _, free := range []string{dir, filepath.Join(dir, "none")} {
		if err := (&restoreCmd{Dir: free}).replaceable(); err != nil {
			t.Error(err)
		}
	}
}
