//go:build amd64 || arm64

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"tipbox/tipbox/tipboxtest"
)

// insideVariable tells this program that it is not to run tests but to shut
// itself in, as the server does, and to try things from inside.
const insideVariable = "TIPBOXD_TEST_INSIDE"

func TestMain(m *testing.M) {
	if orders := os.Getenv(insideVariable); orders != "" {
		os.Exit(inside(orders))
	}
	os.Exit(m.Run())
}

// An insideOrder is what a process is to shut itself in to, and to try then.
type insideOrder struct {
	Write string
	Read  []string
	Calls bool
	Ports []uint16
	Try   []attempt
	Lacks []uint32 // system calls that the kernel is not to have

	Serve []string // instead: arguments of tipboxd, in a process that may not lock memory
}

// An attempt is one of tries, with its argument.
type attempt struct{ What, With string }

// An insideReport is what came of it.
type insideReport struct {
	Missing []string
	Came    []string // "" if an attempt went well
}

func inside(text string) int {
	var o insideOrder
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	if o.Serve != nil {
		return serveUnlocked(o.Serve)
	}
	room := enterRoom()
	if len(o.Lacks) > 0 {
		lack(o.Lacks)
	}
	var report insideReport
	// The attempts are made in a thread that was there before.
	begin, done := make(chan bool), make(chan bool)
	go func() {
		runtime.LockOSThread()
		defer close(done)
		<-begin
		for _, a := range o.Try {
			came := ""
			if err := tries[a.What](room, a.With); err != nil {
				came = err.Error()
			}
			report.Came = append(report.Came, came)
		}
	}()
	c := confinement{write: o.Write, read: o.Read, calls: o.Calls, ports: o.Ports}
	c.readAhead()
	for _, m := range append(keepMemory(), confine(c)...) {
		if m.missing != nil {
			report.Missing = append(report.Missing, m.missing.Error())
		}
	}
	close(begin)
	<-done
	json.NewEncoder(os.Stdout).Encode(report)
	return 0
}

// lack makes the kernel one that has not these calls.
func lack(calls []uint32) {
	runtime.LockOSThread() // and stays there
	var f filter
	f.load(atCall)
	f.refuse(calls, unix.ENOSYS)
	f.end(unix.SECCOMP_RET_ALLOW)
	program := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	if err := errors.Join(
		unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
		call(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))),
	); err != nil {
		panic(err)
	}
}

// serveUnlocked is tipboxd in a process that may lock no more memory than most may.
func serveUnlocked(args []string) int {
	runtime.LockOSThread() // capabilities are a thread's
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	data[0].Effective &^= 1 << unix.CAP_IPC_LOCK
	data[0].Permitted &^= 1 << unix.CAP_IPC_LOCK
	if err := errors.Join(err, unix.Capset(&header, &data[0]), unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20})); err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() { // until it is told to end
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return run(ctx, args, os.Stdout, os.Stderr)
}

// A room is what a server has open when it shuts itself in.
type room struct {
	status   *os.File // /proc/self/status
	listener int
	code     []byte // memory
}

func enterRoom() *room {
	var r room
	errs := make([]error, 4)
	r.status, errs[0] = os.Open("/proc/self/status")
	r.listener, errs[1] = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	errs[2] = unix.Listen(r.listener, 1)
	r.code, errs[3] = unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err := errors.Join(errs...); err != nil {
		panic(err)
	}
	return &r
}

// locked is how many KiB of memory are locked.
func (r *room) locked() int {
	text := make([]byte, 8<<10)
	n, _ := r.status.ReadAt(text, 0)
	for line := range strings.Lines(string(text[:n])) {
		if value, ok := strings.CutPrefix(line, "VmLck:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(value)[0])
			return kib
		}
	}
	return -1
}

// tries are what can be tried from inside. They return what the kernel says.
var tries = map[string]func(r *room, with string) error{
	"read":   func(_ *room, path string) error { return second(os.ReadFile(path)) },
	"list":   func(_ *room, path string) error { return second(os.ReadDir(path)) },
	"create": func(_ *room, path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
	"append": func(_ *room, path string) error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			f.Close()
		}
		return err
	},
	"remove":  func(_ *room, path string) error { return os.Remove(path) },
	"mkdir":   func(_ *room, path string) error { return os.Mkdir(path, 0o700) },
	"symlink": func(_ *room, path string) error { return os.Symlink("/etc", path) },
	"fifo":    func(_ *room, path string) error { return unix.Mkfifo(path, 0o600) },
	"rename": func(_ *room, paths string) error {
		from, to, _ := strings.Cut(paths, " ")
		return os.Rename(from, to)
	},
	"chmod": func(_ *room, path string) error { return os.Chmod(path, 0o644) },
	"exec":  func(_ *room, path string) error { return syscall.Exec(path, []string{path}, nil) },
	"start": func(_ *room, path string) error {
		return second(syscall.ForkExec(path, []string{path}, &syscall.ProcAttr{Files: []uintptr{1, 2}}))
	},
	"fork": func(*room, string) error {
		child, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno == 0 && child == 0 {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		return said(errno)
	},
	"thread": func(*room, string) error {
		var started atomic.Int32
		all := make(chan bool)
		for range 50 {
			go func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				if started.Add(1) == 50 {
					close(all)
				}
				<-all
			}()
		}
		<-all
		return nil
	},
	"dumpable": func(*room, string) error {
		n, _, errno := unix.Syscall6(unix.SYS_PRCTL, unix.PR_GET_DUMPABLE, 0, 0, 0, 0, 0)
		if n != 0 {
			return fmt.Errorf("%d", n)
		}
		return said(errno)
	},
	"dumpable again": func(*room, string) error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) },
	"privileges": func(*room, string) error {
		n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
		if n != 1 {
			return errors.New("can be gained")
		}
		return err
	},
	"core": func(*room, string) error {
		text, err := coreLimit()
		if err == nil && text != "0 0" {
			err = errors.New(text)
		}
		return err
	},
	"core again": func(*room, string) error { return unix.Prlimit(0, unix.RLIMIT_CORE, &unix.Rlimit{}, nil) },
	"locked": func(r *room, _ string) error {
		if n := r.locked(); n < 1024 {
			return fmt.Errorf("%d KiB", n)
		}
		return nil
	},
	"locked later": func(r *room, _ string) error {
		before := r.locked()
		more := make([]byte, 128<<20)
		for i := range more {
			more[i] = 1
		}
		after := r.locked()
		runtime.KeepAlive(more)
		if grown := after - before; grown < 64<<10 {
			return fmt.Errorf("%d KiB more", grown)
		}
		return nil
	},
	"signal": func(_ *room, pid string) error { return unix.Kill(number(pid), 0) },
	"signal thread": func(_ *room, pid string) error {
		if pid == "" { // one of ours
			return unix.Tgkill(os.Getpid(), os.Getpid(), 0)
		}
		return unix.Tgkill(number(pid), number(pid), 0)
	},
	"socket": func(_ *room, args string) error {
		var family, kind, protocol int
		if _, err := fmt.Sscan(args, &family, &kind, &protocol); err != nil {
			panic(err)
		}
		fd, err := unix.Socket(family, kind, protocol)
		if err == nil {
			unix.Close(fd)
		}
		return err
	},
	"connect": func(_ *room, address string) error {
		conn, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err == nil {
			conn.Close()
		}
		return err
	},
	"connect by MPTCP": func(_ *room, address string) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Connect(fd, sockaddr(address))
	},
	"connect what listened": func(r *room, address string) error {
		if err := unix.Shutdown(r.listener, unix.SHUT_RDWR); err != nil {
			return err
		}
		return unix.Connect(r.listener, sockaddr(address))
	},
	"send fast what listened": func(r *room, address string) error {
		unix.Shutdown(r.listener, unix.SHUT_RDWR)
		return unix.Sendto(r.listener, []byte("x"), unix.MSG_FASTOPEN, sockaddr(address))
	},
	"send message fast": func(r *room, _ string) error {
		return second(unix.SendmsgN(r.listener, nil, nil, nil, unix.MSG_FASTOPEN))
	},
	"send messages fast": func(r *room, _ string) error {
		return call(unix.SYS_SENDMMSG, uintptr(r.listener), 0, 0, unix.MSG_FASTOPEN)
	},
	"resolve": func(_ *room, name string) error {
		all, err := newDialer().Resolver.LookupHost(context.Background(), name)
		if err == nil && len(all) == 0 {
			err = errors.New("no address")
		}
		return err
	},
	"tell": func(_ *room, url string) error {
		return (&hook{url: url}).send(context.Background(), notice{says: tidingsTest})
	},
	"zone": func(*room, string) error {
		zone, _ := time.Now().Zone()
		return errors.New(zone)
	},
	"map code": func(*room, string) error {
		return second(unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE))
	},
	"make code":         func(r *room, _ string) error { return unix.Mprotect(r.code, unix.PROT_READ|unix.PROT_EXEC) },
	"make code by keys": func(*room, string) error { return call(unix.SYS_PKEY_MPROTECT, 0, 0, unix.PROT_EXEC, ^uintptr(0)) },
	"type":              func(*room, string) error { return call(unix.SYS_IOCTL, ^uintptr(0), unix.TIOCSTI) },
	"type by console":   func(*room, string) error { return call(unix.SYS_IOCTL, ^uintptr(0), unix.TIOCLINUX) },
	"ask a terminal":    func(*room, string) error { return call(unix.SYS_IOCTL, ^uintptr(0), unix.TCGETS) },
	// A call by its number, with arguments that make it fail.
	"call": func(_ *room, n string) error {
		all := ^uintptr(0)
		return call(uintptr(number(n)), all, all, all, all, all, all)
	},
}

func second[T any](_ T, err error) error { return err }

func said(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

func call(n uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	_, _, errno := unix.Syscall6(n, a[0], a[1], a[2], a[3], a[4], a[5])
	return said(errno)
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

func sockaddr(address string) *unix.SockaddrInet4 {
	_, port, _ := net.SplitHostPort(address)
	return &unix.SockaddrInet4{Port: number(port), Addr: [4]byte{127, 0, 0, 1}}
}

// coreLimit is the limit of core dumps. The call that can change it is refused,
// whatever it is to do.
func coreLimit() (string, error) {
	var limit unix.Rlimit
	err := call(unix.SYS_GETRLIMIT, unix.RLIMIT_CORE, uintptr(unsafe.Pointer(&limit)))
	return fmt.Sprint(limit.Cur, limit.Max), err
}

// needKernel skips a test where the kernel has not what it is about.
func needKernel(t *testing.T, landlock int) {
	t.Helper()
	if abi, err := ll.LandlockGetABIVersion(); err != nil || abi < landlock {
		t.Skipf("this kernel has Landlock %d (%v), the test needs %d", abi, err, landlock)
	}
	if err := call(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, 0); errors.Is(err, unix.ENOSYS) {
		t.Skip("this kernel has no seccomp filters")
	}
}

// goInside has a child of this test shut itself in and try. Nothing may be
// missing.
func goInside(t *testing.T, o insideOrder) []string {
	t.Helper()
	report := reportFromInside(t, o)
	for _, m := range report.Missing {
		if !strings.Contains(m, "LimitMEMLOCK") { // see TestMemoryIsLocked
			t.Errorf("missing: %s", m)
		}
	}
	return report.Came
}

func reportFromInside(t *testing.T, o insideOrder) (report insideReport) {
	t.Helper()
	child := childInside(t, o)
	var errs bytes.Buffer
	child.Stderr = &errs
	out, err := child.Output()
	if err == nil {
		err = json.Unmarshal(out, &report)
	}
	if err != nil {
		t.Fatalf("what is inside ended, or became another program: %v\n%s%s", err, out, &errs)
	}
	return report
}

func childInside(t *testing.T, o insideOrder) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), insideVariable+"="+string(text))
	return child
}

// A trial is an attempt and what is to come of it: "" if it is to go well, else a
// part of what the kernel is to say.
type trial struct{ what, with, want string }

const (
	byLandlock = "permission denied"       // EACCES
	byFilter   = "operation not permitted" // EPERM
)

func try(t *testing.T, o insideOrder, trials []trial) {
	t.Helper()
	for _, tr := range trials {
		o.Try = append(o.Try, attempt{tr.what, tr.with})
	}
	came := goInside(t, o)
	for i, tr := range trials {
		if got := came[i]; (tr.want == "") != (got == "") || !strings.Contains(got, tr.want) {
			t.Errorf("%s %s: %q, want %q", tr.what, tr.with, got, tr.want)
		}
	}
}

// newPlace makes a folder "in" and what lies beside it.
func newPlace(t *testing.T) (in, beside string) {
	t.Helper()
	top := t.TempDir()
	in, beside = filepath.Join(top, "in"), filepath.Join(top, "beside")
	for _, dir := range []string{in, filepath.Join(in, "blobs"), beside, filepath.Join(beside, "site")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{in + "/old", beside + "/secret", beside + "/named", beside + "/site/page"} {
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return in, beside
}

func TestOnlyTheFolderCanBeReachedFromInside(t *testing.T) {
	needKernel(t, abiRefer)
	in, beside := newPlace(t)
	link := filepath.Join(in, "roster.note")
	if err := os.Symlink(beside+"/named", link); err != nil {
		t.Fatal(err)
	}
	o := insideOrder{Write: in, Read: []string{link, beside + "/site", beside + "/none", beside + "/named/none"}}
	try(t, o, []trial{
		{"read", "/etc/passwd", byLandlock},
		{"read", beside + "/secret", byLandlock},
		{"append", beside + "/secret", byLandlock},
		{"create", beside + "/new", byLandlock},
		{"remove", beside + "/secret", byLandlock},
		{"mkdir", beside + "/dir", byLandlock},
		{"rename", in + "/old " + beside + "/old", byLandlock},
		{"rename", beside + "/secret " + in + "/secret", byLandlock},
		{"chmod", beside + "/secret", byFilter},
		{"list", filepath.Dir(in), byLandlock},
		{"list", beside, byLandlock},
		{"list", "/proc/self", byLandlock},
		{"create", filepath.Join(os.TempDir(), "tipboxd-inside"), byLandlock},
		{"append", beside + "/named", byLandlock},
		{"append", beside + "/site/page", byLandlock},
		{"symlink", in + "/link", byLandlock},
		{"fifo", in + "/fifo", byLandlock},

		{"read", in + "/old", ""},
		{"list", in, ""},
		{"create", in + "/new", ""},
		{"append", in + "/new", ""},
		{"mkdir", in + "/dir", ""},
		{"rename", in + "/new " + in + "/blobs/new", ""},
		{"remove", in + "/blobs/new", ""},
		{"remove", in + "/dir", ""},
		{"read", link, ""},
		{"read", beside + "/site/page", ""},
	})
}

func TestNoProgramCanBeStartedFromInside(t *testing.T) {
	needKernel(t, abiRefer)
	in, _ := newPlace(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	try(t, insideOrder{Write: in, Read: []string{self}}, []trial{
		{"start", "/bin/true", byFilter},
		{"start", self, byFilter},
		{"fork", "", byFilter},
		{"exec", self, byFilter},
		{"thread", "", ""},
	})
}

func TestMemoryStaysInside(t *testing.T) {
	needKernel(t, abiRefer)
	in, _ := newPlace(t)
	try(t, insideOrder{Write: in}, []trial{
		{"dumpable", "", ""},
		{"dumpable again", "", byFilter},
		{"core", "", ""},
		{"core again", "", byFilter},
		{"privileges", "", ""},
		{"signal", strconv.Itoa(os.Getpid()), byFilter},
		{"signal thread", strconv.Itoa(os.Getpid()), byFilter},
		{"signal thread", "", ""},
		{"map code", "", byFilter},
		{"make code", "", byFilter},
		{"make code by keys", "", byFilter},
		{"type", "", byFilter},
		{"type by console", "", byFilter},
		{"ask a terminal", "", "bad file descriptor"},
	})
}

func TestMemoryIsLocked(t *testing.T) {
	if limit, err := lockLimit(); err != nil || limit != unix.RLIM_INFINITY {
		t.Skipf("this process may lock %d bytes only (%v)", limit, err)
	}
	in, _ := newPlace(t)
	try(t, insideOrder{Write: in}, []trial{{"locked", "", ""}, {"locked later", "", ""}})
}

// TestCallsAreRefused makes each call with arguments that make it fail with
// another error if it is not refused.
func TestCallsAreRefused(t *testing.T) {
	needKernel(t, abiRefer)
	calls := map[string]int{
		"execve": unix.SYS_EXECVE, "execveat": unix.SYS_EXECVEAT, "ptrace": unix.SYS_PTRACE,
		"process_vm_readv": unix.SYS_PROCESS_VM_READV, "process_vm_writev": unix.SYS_PROCESS_VM_WRITEV,
		"process_madvise": unix.SYS_PROCESS_MADVISE, "kcmp": unix.SYS_KCMP,
		"pidfd_open": unix.SYS_PIDFD_OPEN, "pidfd_getfd": unix.SYS_PIDFD_GETFD, "pidfd_send_signal": unix.SYS_PIDFD_SEND_SIGNAL,
		"tkill": unix.SYS_TKILL, "rt_sigqueueinfo": unix.SYS_RT_SIGQUEUEINFO, "rt_tgsigqueueinfo": unix.SYS_RT_TGSIGQUEUEINFO,
		"bind": unix.SYS_BIND, "listen": unix.SYS_LISTEN, "socket": unix.SYS_SOCKET, "connect": unix.SYS_CONNECT,
		"io_uring_setup": unix.SYS_IO_URING_SETUP, "io_uring_enter": unix.SYS_IO_URING_ENTER, "io_uring_register": unix.SYS_IO_URING_REGISTER,
		"fchmodat": unix.SYS_FCHMODAT, "fchmodat2": unix.SYS_FCHMODAT2, "fchownat": unix.SYS_FCHOWNAT, "truncate": unix.SYS_TRUNCATE,
		"setxattr": unix.SYS_SETXATTR, "lsetxattr": unix.SYS_LSETXATTR, "setxattrat": unix.SYS_SETXATTRAT,
		"removexattr": unix.SYS_REMOVEXATTR, "lremovexattr": unix.SYS_LREMOVEXATTR, "removexattrat": unix.SYS_REMOVEXATTRAT,
		"file_setattr": unix.SYS_FILE_SETATTR, "open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT, "fanotify_init": unix.SYS_FANOTIFY_INIT,
		"mount": unix.SYS_MOUNT, "umount2": unix.SYS_UMOUNT2, "pivot_root": unix.SYS_PIVOT_ROOT, "chroot": unix.SYS_CHROOT,
		"move_mount": unix.SYS_MOVE_MOUNT, "open_tree": unix.SYS_OPEN_TREE, "open_tree_attr": unix.SYS_OPEN_TREE_ATTR,
		"fsopen": unix.SYS_FSOPEN, "fsconfig": unix.SYS_FSCONFIG, "fsmount": unix.SYS_FSMOUNT, "fspick": unix.SYS_FSPICK,
		"mount_setattr": unix.SYS_MOUNT_SETATTR, "unshare": unix.SYS_UNSHARE, "setns": unix.SYS_SETNS,
		"bpf": unix.SYS_BPF, "perf_event_open": unix.SYS_PERF_EVENT_OPEN, "userfaultfd": unix.SYS_USERFAULTFD,
		"keyctl": unix.SYS_KEYCTL, "add_key": unix.SYS_ADD_KEY, "request_key": unix.SYS_REQUEST_KEY, "shmat": unix.SYS_SHMAT,
		"personality": unix.SYS_PERSONALITY, "kexec_load": unix.SYS_KEXEC_LOAD, "kexec_file_load": unix.SYS_KEXEC_FILE_LOAD,
		"init_module": unix.SYS_INIT_MODULE, "finit_module": unix.SYS_FINIT_MODULE, "delete_module": unix.SYS_DELETE_MODULE,
		"reboot": unix.SYS_REBOOT, "swapon": unix.SYS_SWAPON, "swapoff": unix.SYS_SWAPOFF, "acct": unix.SYS_ACCT,
		"quotactl": unix.SYS_QUOTACTL, "quotactl_fd": unix.SYS_QUOTACTL_FD, "syslog": unix.SYS_SYSLOG,
		"settimeofday": unix.SYS_SETTIMEOFDAY, "clock_settime": unix.SYS_CLOCK_SETTIME, "adjtimex": unix.SYS_ADJTIMEX,
		"clock_adjtime": unix.SYS_CLOCK_ADJTIME, "sethostname": unix.SYS_SETHOSTNAME, "setdomainname": unix.SYS_SETDOMAINNAME,
	}
	in, _ := newPlace(t)
	var o insideOrder
	o.Write = in
	names := slices.Sorted(maps.Keys(calls))
	for _, name := range names {
		o.Try = append(o.Try, attempt{"call", strconv.Itoa(calls[name])})
	}
	for i, came := range goInside(t, o) {
		if came != byFilter {
			t.Errorf("%s: %q", names[i], came)
		}
	}
	if want := len(refusedAlways) + len(refusedCalling); len(calls) != want {
		t.Errorf("%d calls are tried, %d are refused", len(calls), want)
	}
}

// listen accepts and drops connections.
func listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func sockets(numbers ...int) string { return strings.Trim(fmt.Sprint(numbers), "[]") }

func TestNoConnectionIsBegunFromInside(t *testing.T) {
	needKernel(t, abiRefer)
	in, _ := newPlace(t)
	address := listen(t)
	try(t, insideOrder{Write: in}, []trial{
		{"connect", address, byFilter},
		{"connect by MPTCP", address, byFilter},
		{"connect what listened", address, byFilter},
		{"socket", sockets(unix.AF_INET, unix.SOCK_DGRAM, 0), byFilter},
		{"socket", sockets(unix.AF_UNIX, unix.SOCK_STREAM, 0), byFilter},
		{"send message fast", "", byFilter},
		{"send messages fast", "", byFilter},
	})
	try(t, insideOrder{Write: in}, []trial{{"send fast what listened", address, byFilter}})
}

func TestOnlyConnectionsOfNotificationsAreBegunFromInside(t *testing.T) {
	needKernel(t, abiNet)
	in, _ := newPlace(t)
	named, other := listen(t), listen(t)
	_, port, err := net.SplitHostPort(named)
	if err != nil {
		t.Fatal(err)
	}
	o := insideOrder{Write: in, Read: resolverFiles(), Calls: true, Ports: []uint16{uint16(number(port))}}
	try(t, o, []trial{
		{"connect", named, ""},
		{"resolve", "localhost", ""},
		{"socket", sockets(unix.AF_INET, unix.SOCK_DGRAM, 0), ""},
		{"connect", other, byLandlock},
		{"connect by MPTCP", other, byFilter},
		{"connect what listened", other, byLandlock},
		{"socket", sockets(unix.AF_UNIX, unix.SOCK_STREAM, 0), byFilter},
		{"socket", sockets(unix.AF_NETLINK, unix.SOCK_RAW, 0), byFilter},
		{"socket", sockets(unix.AF_INET, unix.SOCK_RAW, 1), byFilter},
		{"socket", sockets(unix.AF_INET, unix.SOCK_SEQPACKET, 0), byFilter},
		{"read", "/etc/passwd", byLandlock},
	})
	try(t, o, []trial{{"send fast what listened", other, byFilter}})
}

// TestMembersAreToldFromInside has the system's authorities and zone be of files that
// cannot be read from inside.
func TestMembersAreToldFromInside(t *testing.T) {
	needKernel(t, abiNet)
	in, beside := newPlace(t)
	chat := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // else the connection may be closed while it is being written
	}))
	defer chat.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chat.Certificate().Raw})
	zone := append([]byte("TZif"), make([]byte, 40)...) // RFC 8536: one type, four characters
	zone[39], zone[43] = 1, 4
	zone = append(zone, 0, 0, 0x70, 0x80, 0, 0, 'X', 'S', 'T', 0)
	for name, text := range map[string][]byte{"ca.pem": authority, "zone": zone} {
		if err := os.WriteFile(filepath.Join(beside, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SSL_CERT_FILE", beside+"/ca.pem")
	t.Setenv("TZ", ":"+beside+"/zone")
	port := chat.Listener.Addr().(*net.TCPAddr).Port
	o := insideOrder{Write: in, Read: resolverFiles(), Calls: true, Ports: []uint16{uint16(port)}}
	try(t, o, []trial{
		{"zone", "", "XST"},
		{"read", beside + "/ca.pem", byLandlock},
		{"tell", fmt.Sprintf("https://127.0.0.1:%d/", port), ""},
	})
}

// TestNumbersOfOtherSystemCallsAreRefused runs the filter itself: this kernel may
// know none of them.
func TestNumbersOfOtherSystemCallsAreRefused(t *testing.T) {
	const self = 4711
	for _, calls := range []bool{false, true} {
		f := callFilter(calls, self)
		for _, c := range []struct {
			what       string
			arch, call uint32
			args       [6]uint32
			want       uint32
		}{
			{"read", seccompArch, unix.SYS_READ, [6]uint32{}, unix.SECCOMP_RET_ALLOW},
			{"read of x32", seccompArch, 1<<30 | unix.SYS_READ, [6]uint32{}, unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
			{"a call to come", seccompArch, lastCall + 1, [6]uint32{}, unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
			{"the last", seccompArch, lastCall, [6]uint32{}, unix.SECCOMP_RET_ALLOW},
			{"clone3", seccompArch, unix.SYS_CLONE3, [6]uint32{}, unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
			{"read of i386", unix.AUDIT_ARCH_I386, 3, [6]uint32{}, unix.SECCOMP_RET_KILL_PROCESS},
			{"kill of ourselves", seccompArch, unix.SYS_KILL, [6]uint32{self}, unix.SECCOMP_RET_ALLOW},
			{"kill of all", seccompArch, unix.SYS_KILL, [6]uint32{^uint32(0)}, unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			{"a tracer", seccompArch, unix.SYS_PRCTL, [6]uint32{unix.PR_SET_PTRACER}, unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			{"another memory", seccompArch, unix.SYS_PRCTL, [6]uint32{unix.PR_SET_MM}, unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			{"a core", seccompArch, unix.SYS_SETRLIMIT, [6]uint32{unix.RLIMIT_CORE}, unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			{"another limit", seccompArch, unix.SYS_SETRLIMIT, [6]uint32{unix.RLIMIT_NOFILE}, unix.SECCOMP_RET_ALLOW},
		} {
			if got := f.judge(t, c.arch, c.call, c.args); got != c.want {
				t.Errorf("%s: %#x, want %#x", c.what, got, c.want)
			}
		}
		for _, call := range refusedHere {
			if got := f.judge(t, seccompArch, call, [6]uint32{}); got != unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM) {
				t.Errorf("call %d: %#x", call, got)
			}
		}
	}
}

// judge is what the filter makes of a call.
func (f filter) judge(t *testing.T, arch, call uint32, args [6]uint32) uint32 {
	t.Helper()
	var a uint32
	for at := 0; at < len(f); at++ {
		i := f[at]
		skip := func(holds bool) {
			if holds {
				at += int(i.Jt)
				return
			}
			at += int(i.Jf)
		}
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			switch i.K {
			case atCall:
				a = call
			case atArch:
				a = arch
			default:
				a = args[(i.K-atArgs)/8]
			}
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= i.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			skip(a == i.K)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			skip(a > i.K)
		case unix.BPF_RET | unix.BPF_K:
			return i.K
		default:
			t.Fatalf("instruction %d: %v", at, i)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}

// TestWhatTheKernelLacksIsNamed has it lack one thing, and expects the other.
func TestWhatTheKernelLacksIsNamed(t *testing.T) {
	needKernel(t, abiRefer)
	in, _ := newPlace(t)
	for _, c := range []struct {
		lacks uint32
		says  string
		came  []string
	}{
		{unix.SYS_LANDLOCK_CREATE_RULESET, "Linux 5.19, and landlock in the list lsm=", []string{"", byFilter}},
		{unix.SYS_SECCOMP, "seccomp, Linux 3.17", []string{byLandlock, "no such process"}},
	} {
		o := insideOrder{Write: in, Lacks: []uint32{c.lacks}}
		o.Try = []attempt{{"read", "/etc/passwd"}, {"call", strconv.Itoa(unix.SYS_PTRACE)}}
		report := reportFromInside(t, o)
		if !slices.ContainsFunc(report.Missing, func(m string) bool { return strings.Contains(m, c.says) }) {
			t.Errorf("without %d: %q does not say %q", c.lacks, report.Missing, c.says)
		}
		for i, want := range c.came {
			if got := report.Came[i]; (got == "") != (want == "") || !strings.Contains(got, want) {
				t.Errorf("without %d: %v: %q, want %q", c.lacks, o.Try[i], got, want)
			}
		}
	}
}

// TestServerThatCannotLockMemorySaysSo has a server that may lock little, with
// the flag and without.
func TestServerThatCannotLockMemorySaysSo(t *testing.T) {
	needKernel(t, abiRefer)
	dir := newDemo(t, "")
	start := func(args ...string) (child *exec.Cmd, stdin io.WriteCloser, log *tipboxtest.Log) {
		child, log = childInside(t, insideOrder{Serve: args}), new(tipboxtest.Log)
		child.Stderr = log
		stdin, err := child.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		return child, stdin, log
	}
	says := []byte("the limit of what may be locked is 1024 KiB: set LimitMEMLOCK=infinity in the unit")
	serving := []byte("msg=serving")

	child, stdin, log := start("serve", dir, "--require-confinement")
	defer time.AfterFunc(10*time.Second, func() { stdin.Close() }).Stop()
	if err := child.Wait(); err == nil || !bytes.Contains(log.Bytes(), says) || bytes.Contains(log.Bytes(), serving) {
		t.Errorf("with --require-confinement: %v\n%s", err, log.Bytes())
	}

	child, stdin, log = start("serve", dir)
	for range 1000 {
		if time.Sleep(10 * time.Millisecond); bytes.Contains(log.Bytes(), serving) {
			break
		}
	}
	stdin.Close()
	if err := child.Wait(); err != nil || bytes.Count(log.Bytes(), says) != 1 || !bytes.Contains(log.Bytes(), serving) {
		t.Errorf("without: %v\n%s", err, log.Bytes())
	}
}

func TestConfinementIsWhatTheFolderTakes(t *testing.T) {
	dir := newDemo(t, "")
	quiet := &folder{path: dir}
	if err := quiet.readConfig(); err != nil {
		t.Fatal(err)
	}
	if c := quiet.confinement(); c.calls || len(c.ports) > 0 || c.write != dir || len(c.read) != 2 {
		t.Errorf("without notifications: %+v", c)
	}
	setNotify(t, dir, "hours = [\"09:00\"]\n"+
		"[notify.smtp]\nserver = \"mail.example.org:587\"\nfrom = \"desk@example.org\"\nuser = \"desk\"\npassword_file = \"/run/password\"\n"+
		mailTo("investigator", "a@example.org")+
		"[[notify.webhook]]\nmember = \"investigator\"\nurl = \"https://chat.example.org/\"\ntoken_file = \"token\"\nca_file = \"/etc/ca.pem\"\n"+
		"[[notify.webhook]]\nmember = \"reviewer\"\nurl = \"http://localhost:9000/\"\n")
	telling := &folder{path: dir}
	if err := telling.readConfig(); err != nil {
		t.Fatal(err)
	}
	c := telling.confinement()
	if !c.calls || !slices.Equal(c.ports, []uint16{587, 443, 9000, 53}) {
		t.Errorf("ports: %+v", c)
	}
	for _, file := range []string{"/run/password", "/etc/ca.pem", filepath.Join(dir, "token"), "/etc/resolv.conf", "/etc/hosts"} {
		if !slices.Contains(c.read, file) {
			t.Errorf("%s cannot be read: %q", file, c.read)
		}
	}
}

// TestConfinementLeavesCertificatesAndTheirAuthority is of [tls], in both ways.
func TestConfinementLeavesCertificatesAndTheirAuthority(t *testing.T) {
	dir, kept := newDemo(t, ""), t.TempDir()
	for _, name := range []string{"live", "archive"} {
		if err := os.Mkdir(filepath.Join(kept, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, kept, "archive/fullchain1.pem", "")
	if err := os.Symlink("../archive/fullchain1.pem", filepath.Join(kept, "live/fullchain.pem")); err != nil {
		t.Fatal(err)
	}
	f := &folder{path: dir}
	f.config.TLS = tlsConfig{Listen: "0.0.0.0:443", CertFile: kept + "/live/fullchain.pem", KeyFile: "privkey.pem"}
	c := f.confinement()
	for _, folder := range []string{kept + "/live", kept + "/archive", dir} {
		if !slices.Contains(c.read, folder) {
			t.Errorf("%s cannot be read: %q", folder, c.read)
		}
	}
	if c.calls || len(c.ports) > 0 || slices.Contains(c.read, kept) {
		t.Errorf("with files: %+v", c)
	}
	for directory, port := range map[string]uint16{"": 443, "https://localhost:14000/dir": 14000} {
		f.config.TLS = tlsConfig{Listen: "0.0.0.0:443", ACME: []string{sourcesHost}, ACMEDirectory: directory}
		if c := f.confinement(); !c.calls || !slices.Equal(c.ports, []uint16{port, 53}) || !slices.Contains(c.read, "/etc/resolv.conf") {
			t.Errorf("with an authority at %q: %+v", directory, c)
		}
	}
}
