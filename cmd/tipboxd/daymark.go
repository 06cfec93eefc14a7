package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Marks in the folder that say on which day something was done last: a day, and no
// time. No backup has them, so a restored server was never backed up.
const (
	backupMark  = "backup.day"
	compactMark = "compact.day"
	settleMark  = "settle.day"
)

// keepDay writes a mark.
func keepDay(dir, mark string, day time.Time) error {
	return putFile(dir, mark, []byte(day.Format(time.DateOnly)+"\n"))
}

// keptDay reads a mark: fs.ErrNotExist if it was never done.
func keptDay(dir, mark string) (string, error) {
	file := filepath.Join(dir, mark)
	text, err := readFile(file)
	if err != nil {
		return "", err
	}
	day := strings.TrimSpace(string(text))
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return "", fmt.Errorf("%s holds no day: remove it", file)
	}
	return day, nil
}
