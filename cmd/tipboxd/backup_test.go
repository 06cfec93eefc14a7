package main

import (
	"os"
	"slices"
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
	c := &backupCmd{Keep: 31}
	if err := c.removeOld(dir, time.Date(2026, time.November, 26, 1, 0, 0, 0, time.UTC)); err != nil {
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
	slices.Sort(kept)
	if !slices.Equal(there, kept) {
		t.Errorf("there are %q, want %q", there, kept)
	}
}
