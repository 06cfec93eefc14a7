package main

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func thisMachine() machine {
	return machine{
		now: time.Now, free: freeSpace, clock: systemClock, kernel: systemKernel, tor: systemTor(),
		limits: func() limits { return processLimits(unix.RLIMIT_MEMLOCK) },
		swaps: func() []string {
			table, _ := os.ReadFile("/proc/swaps")
			return parseSwaps(string(table))
		},
	}
}

// systemClock asks the kernel whether its clock is kept by NTP.
func systemClock() clockState {
	var t unix.Timex // Modes 0: nothing is set
	switch state, err := unix.Adjtimex(&t); {
	case err != nil:
		return clockUnknown
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		return clockFree
	}
	return clockKept
}

func systemKernel() kernel {
	var k kernel
	if abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); errno == 0 {
		k.landlock = int(abi)
	}
	actions, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail")
	k.seccomp = err == nil && strings.Contains(string(actions), "errno")
	if err != nil { // not to be seen from here
		_, _, errno := unix.Syscall(unix.SYS_PRCTL, unix.PR_GET_SECCOMP, 0, 0)
		k.seccomp = errno == 0
	}
	return k
}
