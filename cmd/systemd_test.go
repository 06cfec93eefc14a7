//go:build amd64 || arm64

package cmd_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// A systemd is what a server is told to have been started by.
type systemd struct {
	address string

	mu   sync.Mutex
	told []string // guarded by mu
}

func newSystemd(t *testing.T, address string) *systemd {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &systemd{address: address}
	go func() {
		for message := make([]byte, 4096); ; {
			n, err := conn.Read(message)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.told = append(s.told, string(message[:n]))
			s.mu.Unlock()
		}
	}()
	return s
}

func (s *systemd) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told)
}

// wait waits until it was told a text so many times.
func (s *systemd) wait(t *testing.T, server *serving, text string, times int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		n := 0
		for _, told := range s.heard() {
			if slices.Contains(strings.Split(told, "\n"), text) {
				n++
			}
		}
		if n >= times {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q came %d times, want %d: %q\n%s", text, n, times, s.heard(), server.output.Bytes())
		}
	}
}

// A passedSocket is one of which systemd keeps the file.
type passedSocket struct {
	name string
	file *os.File
}

func listenFor(t *testing.T, name, network, address string) passedSocket {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return passedSocket{name, fileOf(t, l.(filer))}
}

type filer interface{ File() (*os.File, error) }

func fileOf(t *testing.T, f filer) *os.File {
	t.Helper()
	file, err := f.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// start starts the office's server as systemd does: with the sockets, and with the
// process's own number in its environment.
func (s *systemd) start(t *testing.T, o *office, sockets ...passedSocket) *serving {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$0" "$@"`, program("tipboxd"), "serve", o.dir)
	var names []string
	for _, p := range sockets {
		names = append(names, p.name)
		cmd.ExtraFiles = append(cmd.ExtraFiles, p.file)
	}
	cmd.Env = append(os.Environ(),
		fmt.Sprintf("LISTEN_FDS=%d", len(sockets)), "LISTEN_FDNAMES="+strings.Join(names, ":"),
		"NOTIFY_SOCKET="+s.address, "WATCHDOG_USEC=400000")
	return begin(t, cmd)
}

// TestServerUnderSystemd has the real server, shut in, serve on sockets that were passed,
// tell that it is ready, alive and stopping on sockets that it could not open any more,
// and tell nothing else, whatever comes in. A second one serves on the same sockets.
func TestServerUnderSystemd(t *testing.T) {
	if abi, err := ll.LandlockGetABIVersion(); err != nil || abi < 2 {
		t.Skipf("this kernel has Landlock %d (%v), the test needs 2", abi, err)
	}
	for name, notify := range map[string]string{
		"a path":   filepath.Join(t.TempDir(), "notify"),
		"abstract": fmt.Sprintf("@tipbox-test-%d", os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := t.TempDir()
			unused := filepath.Join(run, "unused.sock")
			o := newOfficeAt(t, filepath.Join(t.TempDir(), "server"), 1, "unix:"+unused, "unix:"+unused+"2")
			at, members := filepath.Join(run, "sources.sock"), testAddress(t)
			sockets := []passedSocket{listenFor(t, "desk", "tcp", members), listenFor(t, "sources", "unix", at)}
			o.sources, o.desk = "unix:"+at, members

			s := newSystemd(t, notify)
			server := s.start(t, o, sockets...)
			s.wait(t, server, "READY=1", 1)
			if _, err := newSource(o.sources).get("/healthz"); err != nil {
				t.Errorf("ready, and no answer: %v", err)
			}
			s.wait(t, server, "WATCHDOG=1", 2)
			tips := o.sendKnown(t, 1, 1, 100<<10)
			if err := o.identify(t, tips...); err != nil {
				t.Fatal(err)
			}
			status := tipboxd(t, "status", o.dir)
			if !strings.Contains(status, "Landlock, seccomp") || !strings.Contains(status, "for sources at unix:"+at+", for members at "+members) {
				t.Errorf("the status:\n%s", status)
			}
			if _, err := os.Lstat(unused); err == nil {
				t.Error("it listens also where tipbox.toml says")
			}
			server.stop(t)
			s.wait(t, server, "STOPPING=1", 1)
			for _, told := range s.heard() {
				if known := []string{
					"READY=1\nSTATUS=Serving.", "WATCHDOG=1", "STOPPING=1\nSTATUS=Stopping, after what is being received has come in.",
				}; !slices.Contains(known, told) {
					t.Errorf("it is told %q", told)
				}
			}
			if log := server.output.Bytes(); bytes.Contains(log, []byte("systemd")) || bytes.Contains(log, []byte("level=ERROR")) {
				t.Errorf("the log:\n%s", log)
			}
			server = s.start(t, o, sockets...)
			s.wait(t, server, "READY=1", 2)
			o.mustStay(t, "after a restart", tips...)
			server.stop(t)
		})
	}
}

// TestOneSocketIsPassed has the other listener be as tipbox.toml says.
func TestOneSocketIsPassed(t *testing.T) {
	t.Parallel()
	o := newOffice(t, filepath.Join(t.TempDir(), "server"), 1)
	members := o.desk
	o.sources, o.desk = testAddress(t), testAddress(t)
	s := newSystemd(t, filepath.Join(t.TempDir(), "notify"))
	server := s.start(t, o, listenFor(t, "sources", "tcp", o.sources))
	s.wait(t, server, "READY=1", 1)
	if status := tipboxd(t, "status", o.dir); !strings.Contains(status, "for sources at "+o.sources+", for members at "+members) {
		t.Errorf("the status:\n%s", status)
	}
	server.stop(t)
}

func TestWrongSocketsAreNamed(t *testing.T) {
	t.Parallel()
	o := newOffice(t, filepath.Join(t.TempDir(), "server"), 1)
	s := newSystemd(t, filepath.Join(t.TempDir(), "notify"))
	good := listenFor(t, "sources", "tcp", "127.0.0.1:0")
	unnamed := good
	unnamed.name = "tipboxd-sources.socket"
	datagram, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "d"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer datagram.Close()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	connected := os.NewFile(uintptr(pair[0]), "")
	defer connected.Close()
	defer syscall.Close(pair[1])
	plain, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	for name, c := range map[string]struct {
		sockets []passedSocket
		says    string
	}{
		"the unit's own name":     {[]passedSocket{good, unnamed}, `there is no use for one named "tipboxd-sources.socket": set FileDescriptorName=sources or desk`},
		"the same name twice":     {[]passedSocket{good, good}, "two sockets are named sources"},
		"no name":                 {[]passedSocket{{"", good.file}}, "there is no use for one named \"LISTEN_FD_3\": set FileDescriptorName=sources or desk"},
		"of datagrams":            {[]passedSocket{{"desk", fileOf(t, datagram)}}, "desk is none to accept connections on"},
		"a connection":            {[]passedSocket{{"desk", connected}}, "desk is none to accept connections on"},
		"no socket":               {[]passedSocket{{"desk", plain}}, "desk is none to accept connections on"},
		"one bad beside one good": {[]passedSocket{good, {"desk", plain}}, "desk is none to accept connections on"},
	} {
		server := s.start(t, o, c.sockets...)
		<-server.ended
		if server.err == nil || !bytes.Contains(server.output.Bytes(), []byte("the sockets that systemd passed: "+c.says)) {
			t.Errorf("%s: %v: %s", name, server.err, server.output.Bytes())
		}
	}
	if heard := s.heard(); len(heard) > 0 {
		t.Errorf("a server that did not start says %q", heard)
	}
}
