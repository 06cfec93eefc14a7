package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// Marks in the folder that say on which day something was done last: a day, and no
// time. No backup has them, so a restored server was never backed up.
const (
	backupMark  = "backup.day"
	compactMark = "compact.day"
	settleMark  = "settle.day"
)

// keepDay writes a mark. It belongs to whom the folder belongs to, also if root made
// the backup.
func keepDay(dir, mark string, day time.Time) error {
	file := filepath.Join(dir, mark)
	if err := renameio.WriteFile(file, []byte(day.Format(time.DateOnly)+"\n"), 0o600); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		// Not by its name, as a server that is shut in may not.
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		return errors.Join(f.Chown(int(owner.Uid), int(owner.Gid)), f.Close())
	}
	return nil
}

// keptDay reads a mark: fs.ErrNotExist if it was never done.
func keptDay(dir, mark string) (string, error) {
	file := filepath.Join(dir, mark)
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	day := strings.TrimSpace(string(text))
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return "", fmt.Errorf("%s holds no day: remove it", file)
	}
	return day, nil
}
