package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// confine shuts the process in, all its threads and those to come. What this
// machine cannot do of that does not keep the rest from being done.
func confine(c confinement) []measure {
	return []measure{{"Landlock", c.restrict()}, {"seccomp", refuseCalls(c.calls)}}
}

// keepMemory is what confine is, for the memory.
func keepMemory() []measure {
	return []measure{{"no core dumps", closeMemory()}, {"locked memory", lockMemory()}}
}

// closeMemory keeps the process's memory from core dumps and from other programs
// of the same user.
func closeMemory() error {
	err := errors.Join(unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0), unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}))
	if err != nil {
		return fmt.Errorf("the memory may get into a core dump: %w", err)
	}
	return nil
}

// lockMemory keeps the process's memory from the swap disk.
//
// There must be no limit to what may be locked. With one, however high, Go would
// some day be refused more memory, and end. What is opened afterwards must not
// be kept in memory for nothing: package bolt sees to that.
func lockMemory() error {
	limit, err := lockLimit()
	if err == nil && limit != unix.RLIM_INFINITY {
		err = fmt.Errorf("the limit of what may be locked is %d KiB", limit>>10)
	}
	if err == nil {
		// What is reserved and not used need not be there.
		err = unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	}
	if err != nil {
		return fmt.Errorf("the memory may get to the swap disk: %w: set LimitMEMLOCK=infinity in the unit, or have no swap", err)
	}
	return nil
}

// lockLimit is how many bytes the process may lock.
func lockLimit() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err == nil && data[0].Effective&(1<<unix.CAP_IPC_LOCK) != 0 {
		return unix.RLIM_INFINITY, nil
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return 0, err
	}
	if limit.Max == unix.RLIM_INFINITY {
		limit.Cur = limit.Max
		return limit.Cur, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit)
	}
	return limit.Cur, nil
}

const (
	// abiRefer is the Landlock that allows files to be given names in other
	// folders of ours, as blobs are. It is of Linux 5.19.
	abiRefer = 2
	// abiNet is the Landlock that knows of ports, of Linux 6.7.
	abiNet = 4
)

// What the server does in its folder, and no more: it makes no device, link or
// socket there, and starts no program.
const (
	readAccess  = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSReadDir)
	writeAccess = readAccess | ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSMakeReg | ll.AccessFSMakeDir |
		ll.AccessFSRemoveFile | ll.AccessFSRemoveDir | ll.AccessFSRefer
)

// restrict limits by Landlock which files can be opened, made and removed, and
// to which ports connections can be begun.
//
// Multipath TCP it does not see, and some kernels take a signal from one of our
// threads to another for one to a stranger: these two are left to refuseCalls.
func (c confinement) restrict() error {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < abiRefer {
		return errors.New("every file can be read that the user may read, and written: " +
			"this kernel has no Landlock, or it is not switched on (it takes Linux 5.19, and landlock in the list lsm= of its command line)")
	}
	rules := []landlock.Rule{landlock.PathAccess(writeAccess, c.write)}
	for _, path := range c.read {
		if access := readAccessTo(path); access != 0 {
			rules = append(rules, landlock.PathAccess(access, path).IgnoreIfMissing())
		}
	}
	for _, folder := range c.clear {
		rules = append(rules, landlock.PathAccess(ll.AccessFSRemoveFile, folder).IgnoreIfMissing())
	}
	if c.calls {
		rules = append(rules, landlock.BindUDP(0), landlock.ConnectSendUDP(53)) // to ask name servers
		for _, port := range c.ports {
			rules = append(rules, landlock.ConnectTCP(port))
		}
	}
	config := landlock.V11
	config.Scoped = 0
	if err := config.BestEffort().Restrict(rules...); err != nil {
		return fmt.Errorf("every file can be read that the user may read, and written: %w", err)
	}
	if c.calls && abi < abiNet {
		return errors.New("connections can be begun to every port, not only to those of [notify]: that takes Linux 6.7")
	}
	return nil
}

// readAccessTo is what can be asked for a folder, or a file; 0 for what cannot be
// reached anyhow.
func readAccessTo(path string) landlock.AccessFSSet {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return 0
	case info.IsDir():
		return readAccess
	}
	return ll.AccessFSReadFile
}
