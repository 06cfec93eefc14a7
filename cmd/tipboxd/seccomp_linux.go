//go:build amd64 || arm64

package main

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refusedAlways are the system calls that a server has no use for, and an
// intruder would.
var refusedAlways = []uint32{
	// Start programs.
	unix.SYS_EXECVE, unix.SYS_EXECVEAT,
	// Look into other processes, or send them signals.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_KCMP,
	unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_SEND_SIGNAL,
	unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO,
	// Take new addresses: all listeners are there.
	unix.SYS_BIND, unix.SYS_LISTEN,
	// Do other calls unseen.
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	// Change what Landlock does not see: modes, owners and attributes by path.
	unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_FCHOWNAT, unix.SYS_TRUNCATE,
	unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_SETXATTRAT,
	unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_REMOVEXATTRAT, unix.SYS_FILE_SETATTR,
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_FANOTIFY_INIT,
	// Change the view of the file system.
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, unix.SYS_UNSHARE, unix.SYS_SETNS,
	// Reach parts of the kernel in which many faults were found.
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_SHMAT,
	// Have data taken for code, as any memory that can be read.
	unix.SYS_PERSONALITY,
	// Manage the machine.
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_REBOOT,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_SYSLOG,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
}

// refusedCalling are refused besides where no connection is begun.
var refusedCalling = []uint32{unix.SYS_SOCKET, unix.SYS_CONNECT}

// A condition is on an argument of a call, of which the kernel too takes 32
// bits: the call is refused if the argument, as far as mask goes, is one of
// the values, or if it is none of them.
type condition struct {
	call   uint32
	arg    int
	mask   uint32
	noneOf bool
	values []uint32
}

const whole = ^uint32(0)

// conditions are those of every server. Of processes, it knows its own.
func conditions(self uint32) []condition {
	return []condition{
		// A process of its own would outlive the server.
		{unix.SYS_CLONE, 0, unix.CLONE_THREAD, false, []uint32{0}},
		{unix.SYS_KILL, 0, whole, true, []uint32{self}},
		{unix.SYS_TGKILL, 0, whole, true, []uint32{self}},
		// What was shut stays shut.
		{unix.SYS_PRCTL, 0, whole, false, []uint32{unix.PR_SET_DUMPABLE, unix.PR_SET_PTRACER, unix.PR_SET_MM}},
		{unix.SYS_PRLIMIT64, 1, whole, false, []uint32{unix.RLIMIT_CORE}},
		{unix.SYS_SETRLIMIT, 0, whole, false, []uint32{unix.RLIMIT_CORE}},
		// What was data never becomes code.
		{unix.SYS_MMAP, 2, unix.PROT_EXEC, false, []uint32{unix.PROT_EXEC}},
		{unix.SYS_MPROTECT, 2, unix.PROT_EXEC, false, []uint32{unix.PROT_EXEC}},
		{unix.SYS_PKEY_MPROTECT, 2, unix.PROT_EXEC, false, []uint32{unix.PROT_EXEC}},
		// Typing into the operator's terminal.
		{unix.SYS_IOCTL, 1, whole, false, []uint32{unix.TIOCSTI, unix.TIOCLINUX}},
		// Connecting by sending, on a socket that was left over from a listener.
		{unix.SYS_SENDTO, 3, unix.MSG_FASTOPEN, false, []uint32{unix.MSG_FASTOPEN}},
		{unix.SYS_SENDMSG, 2, unix.MSG_FASTOPEN, false, []uint32{unix.MSG_FASTOPEN}},
		{unix.SYS_SENDMMSG, 3, unix.MSG_FASTOPEN, false, []uint32{unix.MSG_FASTOPEN}},
	}
}

// socketConditions leave, of all sockets, those of which Landlock sees where they
// connect, and those to name servers. Multipath TCP it does not see.
var socketConditions = []condition{
	{unix.SYS_SOCKET, 0, whole, true, []uint32{unix.AF_INET, unix.AF_INET6}},
	{unix.SYS_SOCKET, 1, 0xf, true, []uint32{unix.SOCK_STREAM, unix.SOCK_DGRAM}},
	{unix.SYS_SOCKET, 2, whole, true, []uint32{0, unix.IPPROTO_TCP, unix.IPPROTO_UDP}},
}

// lastCall is the last that there was when this was written. Of later ones
// nobody knows what they can do, so here they are not there.
const lastCall = unix.SYS_RSEQ_SLICE_YIELD

// refuseCalls has the kernel refuse system calls from now on, to all threads:
// most with EPERM. Calls tells whether connections will be begun.
func refuseCalls(calls bool) error {
	runtime.LockOSThread() // the filter is handed on by the thread that may not gain privileges
	defer runtime.UnlockOSThread()
	f := callFilter(calls, uint32(os.Getpid()))
	program := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
		switch {
		case errno != 0:
			err = errno
		case thread != 0:
			err = fmt.Errorf("thread %d has a filter of its own", thread)
		}
	}
	if err != nil {
		return fmt.Errorf("programs can be started, processes traced and connections begun: this kernel takes no filter of system calls (seccomp, Linux 3.17): %w", err)
	}
	return nil
}

// A filter is a program of classic BPF over struct seccomp_data: the number of
// the call, the architecture, and six arguments of 64 bits.
type filter []unix.SockFilter

const (
	atCall = 0
	atArch = 4
	atArgs = 16
)

func callFilter(calls bool, self uint32) filter {
	var f filter
	f.load(atArch)
	f.jump(unix.BPF_JEQ, seccompArch, 1, 0)
	f.end(unix.SECCOMP_RET_KILL_PROCESS) // the numbers are another architecture's
	f.load(atCall)
	f.jump(unix.BPF_JGT, lastCall, 0, 1) // also those of x32, which have a high bit
	f.fail(unix.ENOSYS)
	f.refuse(refusedAlways, unix.EPERM)
	f.refuse(refusedHere, unix.EPERM)
	// Its flags cannot be looked at. Threads are then made by clone.
	f.refuse([]uint32{unix.SYS_CLONE3}, unix.ENOSYS)
	all := conditions(self)
	if calls {
		all = append(all, socketConditions...)
	} else {
		f.refuse(refusedCalling, unix.EPERM)
	}
	for _, c := range all {
		f.condition(c)
	}
	f.end(unix.SECCOMP_RET_ALLOW)
	return f
}

func (f *filter) refuse(calls []uint32, errno unix.Errno) {
	for _, call := range calls {
		f.jump(unix.BPF_JEQ, call, 0, 1)
		f.fail(errno)
	}
}

func (f *filter) condition(c condition) {
	var test filter
	test.load(uint32(atArgs + 8*c.arg)) // the lower half: both architectures are little-endian
	test.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, c.mask, 0, 0)
	for i, v := range c.values {
		if c.noneOf {
			test.jump(unix.BPF_JEQ, v, uint8(len(c.values)-i), 0) // over the refusal
			continue
		}
		test.jump(unix.BPF_JEQ, v, 0, 1)
		test.fail(unix.EPERM)
	}
	if c.noneOf {
		test.fail(unix.EPERM)
	}
	test.load(atCall)
	f.jump(unix.BPF_JEQ, c.call, 0, uint8(len(test)))
	*f = append(*f, test...)
}

func (f *filter) load(at uint32) { f.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, at, 0, 0) }

// jump skips so many instructions if the comparison with k holds, or does not.
func (f *filter) jump(comparison uint16, k uint32, holds, not uint8) {
	f.add(unix.BPF_JMP|comparison|unix.BPF_K, k, holds, not)
}

func (f *filter) fail(errno unix.Errno) { f.end(unix.SECCOMP_RET_ERRNO | uint32(errno)) }

func (f *filter) end(action uint32) { f.add(unix.BPF_RET|unix.BPF_K, action, 0, 0) }

func (f *filter) add(code uint16, k uint32, jt, jf uint8) {
	*f = append(*f, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}
