package main

import (
	"math"
	"strings"
	"syscall"
	"time"
)

// A machine is what the doctor asks of the system.
type machine struct {
	now    func() time.Time
	free   func(folder string) (int64, error)
	clock  func() clockState
	limits func() limits
	swaps  func() []string // files and partitions
	kernel func() kernel
	tor    torPlace
}

// A clockState is whether the system's clock is kept right by others.
type clockState int

const (
	clockUnknown clockState = iota
	clockKept
	clockFree // nobody keeps it
)

// limits are those of a process; math.MaxUint64 is none. No files: it cannot be told.
type limits struct {
	Files    uint64 `json:"files"`
	LockedMB uint64 `json:"locked_mib"`
}

// A kernel says what a server could be confined with.
type kernel struct {
	landlock int  // the version of its interface; 0: none
	seccomp  bool // filters
}

// processLimits are those of this process.
func processLimits(locked int) limits {
	var l limits
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		l.Files = limit.Cur
	}
	if syscall.Getrlimit(locked, &limit) == nil {
		if l.LockedMB = limit.Cur >> 20; limit.Cur == math.MaxUint64 {
			l.LockedMB = math.MaxUint64
		}
	}
	return l
}

// parseSwaps returns the names in /proc/swaps.
func parseSwaps(table string) (names []string) {
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		if fields := strings.Fields(line); i > 0 && len(fields) > 0 {
			names = append(names, fields[0])
		}
	}
	return names
}
