//go:build !linux

package main

import (
	"syscall"
	"time"
)

// thisMachine is one of which little can be told.
func thisMachine() machine {
	return machine{
		now: time.Now, free: freeSpace, tor: systemTor(),
		clock:  func() clockState { return clockUnknown },
		kernel: func() kernel { return kernel{} },
		limits: func() limits { return processLimits(syscall.RLIMIT_AS) },
		swaps:  func() []string { return nil },
	}
}
