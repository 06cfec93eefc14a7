package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"strings"

	"golang.org/x/sys/unix"
)

// peerUnchecked says that the system does not tell who is at the other end.
const peerUnchecked = ""

// peerUID is the user whose process is at the other end.
func peerUID(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { peer, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, failed); err != nil {
		return 0, fmt.Errorf("asking who is at the other end: %w", err)
	}
	return int(peer.Uid), nil
}

// closeMemory keeps the program's memory from core dumps and from other programs
// of the same user.
func closeMemory() {
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}

// lockMemory keeps the program's memory from the swap disk.
func lockMemory() error {
	// What is reserved and not used need not be there.
	if unix.Mlockall(unix.MCL_CURRENT|unix.MCL_FUTURE|unix.MCL_ONFAULT) == nil {
		return nil
	}
	// Go reserves over a gigabyte, which few may lock. The heap with its stacks,
	// where the key is, is a small part of that.
	if lockHeap() {
		return nil
	}
	var limit unix.Rlimit
	unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit)
	return fmt.Errorf("the memory with the key could not be locked, so it may get to the swap disk: the limit is %d KiB (ulimit -l)", limit.Cur>>10)
}

// lockHeap locks what is used of the arena that the heap is in, of 64 MiB, and
// reports whether that went well.
func lockHeap() bool {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return false
	}
	const arena = 26 // bits
	heap, locked := reflect.ValueOf(new(int)).Pointer()>>arena, 0
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") || from>>arena != heap {
			continue
		}
		if _, _, failed := unix.Syscall(unix.SYS_MLOCK, from, to-from, 0); failed != 0 {
			return false
		}
		locked++
	}
	return locked > 0
}
