//go:build linux

package cmd_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var (
	floodConnections = flag.Int("flood.connections", 2000, "half-open and slow connections in TestFlood")
	floodWait        = flag.Bool("flood.wait", false, "TestFlood waits until the server itself has closed what stands still: 3 minutes")
)

// What a flood may cost, and what may be left of it.
const (
	floodPeak    = 768 << 10 // KiB that the server may grow by while it lasts
	floodLeft    = 96 << 10  // KiB that may be left some time after: garbage is collected late
	floodThreads = 64        // that may be left: Go ends none
	floodSome    = 8         // connections and files that may be left
)

// TestFlood holds the server full of connections that never finish, beside
// normal senders: all of their tips come through, and when the flood is over
// the server is as it was.
func TestFlood(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := *floodConnections
	if most := int(limit.Cur) - 500; n > most { // Go has raised it as far as it goes
		t.Logf("%d connections, not %d: ulimit -Hn is %d", most, n, limit.Max)
		n = most
	}
	o := newOffice(t, filepath.Join(t.TempDir(), "server"), 2)
	server := o.serve(t)
	normal := func(senders, tips int) (slowest time.Duration) {
		var wg sync.WaitGroup
		var worst atomic.Int64
		for i := range senders {
			wg.Go(func() {
				s := newSource(o.sources)
				for j := range tips {
					var files []file
					if j%3 == 2 {
						files = append(files, file{"some.bin", crashFile{uint64(i*tips + j), 100_000}.content()})
					}
					began := time.Now()
					status, page, err := o.trySend(s, fmt.Sprintf("normal %d %d", i, j), files...)
					if err != nil || status != http.StatusOK || element(page, "receipt-code") == "" {
						t.Errorf("a normal tip: status %d, %v: %s", status, err, notice(page))
					}
					worst.Store(max(worst.Load(), int64(time.Since(began))))
				}
			})
		}
		wg.Wait()
		return time.Duration(worst.Load())
	}
	calm := normal(8, 15)
	rss, threads, files := server.status(t, "VmRSS"), server.status(t, "Threads"), server.files(t)

	f := newFlood(t, o, n)
	slowest := normal(8, 15)
	client := o.client(t)
	if _, err := o.inbox(client); err != nil {
		t.Errorf("the desk: %v", err)
	}
	peak, most := server.status(t, "VmRSS"), server.files(t)
	t.Logf("slowest normal tip %v, in the flood %v; memory %d KiB, in the flood %d KiB, files %d, %d; the flood dialled %d times",
		calm, slowest, rss, peak, files, most, f.dialled.Load())
	if peak-rss > floodPeak {
		t.Errorf("the flood costs %d KiB", peak-rss)
	}
	if *floodWait {
		f.waitForServer(t, server, files)
	}
	f.end()

	// Memory goes back when garbage is collected, which takes some work.
	deadline := time.Now().Add(90 * time.Second)
	for {
		normal(2, 4)
		r, th, fd := server.status(t, "VmRSS"), server.status(t, "Threads"), server.files(t)
		if r <= rss+floodLeft && th <= threads+floodThreads && fd <= files+floodSome {
			t.Logf("after: %d KiB, %d threads, %d files (before: %d, %d, %d)", r, th, fd, rss, threads, files)
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the flood has left: %d KiB of memory, %d threads, %d files; before there were %d, %d, %d", r, th, fd, rss, threads, files)
		}
		time.Sleep(250 * time.Millisecond)
	}
	left, err := filepath.Glob(filepath.Join(o.dir, "blobs", "tmp", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("unfinished files are left: %q, %v", left, err)
	}
	server.mustNotHavePanicked(t)
	server.end(syscall.SIGQUIT) // has Go print every goroutine
	if n := bytes.Count(server.output.Bytes(), []byte("\ngoroutine ")); n == 0 || n > 40 {
		t.Errorf("%d goroutines are left:\n%.8000s", n, server.output.Bytes())
	}
	o.mustBeWhole(t, true)
}

// A flood is a crowd of connections that come again when they are closed.
type flood struct {
	t       *testing.T
	o       *office
	stop    chan struct{}
	wg      sync.WaitGroup
	again   atomic.Bool  // dial again what the server closed
	dialled atomic.Int64 // times
	moving  int          // connections that move, if slowly
	begun   atomic.Int64 // connections that got as far as they will
}

// newFlood returns when all have connected.
func newFlood(t *testing.T, o *office, connections int) *flood {
	f := &flood{t: t, o: o, stop: make(chan struct{})}
	f.again.Store(true)
	page, err := newSource(o.sources).get("/tip")
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := hiddenFields(page, "/tip")
	if err != nil {
		t.Fatal(err)
	}
	upload := "--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n" + hidden.Get("token") +
		"\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n" + strings.Repeat("x", 70_000)
	kinds := []struct {
		head string
		drip bool // a byte a second, for ever
	}{
		{"", false},
		{"POST /tip HTTP/1.1\r\nHost: h\r\nX-Half: ", false},
		{"POST /tip HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 900000\r\n\r\n" + upload, false},
		{"POST /thread HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 90000\r\n\r\ncode=", true},
		{"POST /tip HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n--b\r\n\r\n", true},
		{strings.Repeat("GET /tip HTTP/1.1\r\nHost: h\r\n\r\n", 40), false}, // and reads no answer
	}
	for i := range connections {
		kind := kinds[i%len(kinds)]
		if kind.drip {
			f.moving++
		}
		f.wg.Go(func() { f.guest(kind.head, kind.drip) })
	}
	for range 600 {
		if f.begun.Load() >= int64(connections) {
			return f
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("only %d of %d connections were made", f.begun.Load(), connections)
	return f
}

// guest is one connection after the other.
func (f *flood) guest(head string, drip bool) {
	first := true
	for first || f.again.Load() {
		f.dialled.Add(1)
		conn, err := net.DialTimeout("tcp", f.o.sources, 10*time.Second)
		if err == nil {
			conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
			io.WriteString(conn, head) // some are not taken to their end
			if first {
				f.begun.Add(1)
				first = false
			}
			f.stay(conn, drip)
			conn.Close()
		}
		select {
		case <-f.stop:
			return
		case <-time.After(time.Second):
		}
	}
}

// stay holds the connection until the server closes it or the flood ends.
func (f *flood) stay(conn net.Conn, drip bool) {
	for {
		select {
		case <-f.stop:
			return
		case <-time.After(time.Second):
		}
		var err error
		if drip {
			conn.SetWriteDeadline(time.Now().Add(time.Second))
			_, err = io.WriteString(conn, "x")
		} else {
			err = gone(conn)
		}
		if err != nil {
			return
		}
	}
}

// gone is nil while the other end has not closed the connection. What has come
// is not read.
func gone(conn net.Conn) (err error) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	controlErr := raw.Control(func(fd uintptr) {
		info, infoErr := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err = infoErr; err == nil && info.State != tcpEstablished {
			err = io.EOF
		}
	})
	return errors.Join(controlErr, err)
}

const tcpEstablished = 1 // Linux's TCP_ESTABLISHED

// waitForServer waits until the server has closed what stands still, so that it
// has few more files open than before. Lines that move, however slowly, may
// stay. The senders see less of it: what they did not read is still on its way.
func (f *flood) waitForServer(t *testing.T, server *serving, before int) {
	f.again.Store(false)
	began := time.Now()
	for time.Since(began) < 200*time.Second {
		if server.files(t) <= before+f.moving+floodSome {
			t.Logf("the server closed what stood still within %v", time.Since(began).Round(time.Second))
			return
		}
		time.Sleep(time.Second)
	}
	t.Errorf("%d files are open after %v, %d before, and %d connections move", server.files(t), time.Since(began).Round(time.Second), before, f.moving)
}

func (f *flood) end() {
	f.again.Store(false)
	close(f.stop)
	f.wg.Wait()
}
