package cmd_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var hostileField = flag.Int64("hostile.field", 256<<20, "bytes of the largest field in TestHostileRequests; 5 GiB takes half a minute")

const (
	hostileMemory = 24 << 10  // KiB that one hostile request may cost
	hostileEight  = 160 << 10 // KiB that eight at once may cost
)

const multipartHead = "POST /tip HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n"

// A hostileRequest is what no browser sends.
type hostileRequest struct {
	name string
	send func(w io.Writer) // errors of writing are the server's right

	// Want are the statuses that may come, one after the other; 0 stands for
	// a connection that was closed without any.
	want []int
	more int // answers expected besides the first

	heavy bool // on the server's memory
}

// TestHostileRequests sends what no browser sends. The server answers with a
// page or closes, its memory stays bounded, and it never panics.
func TestHostileRequests(t *testing.T) {
	o := newOffice(t, filepath.Join(t.TempDir(), "server"), 2)
	server := o.serve(t)
	o.sendKnown(t, 30, 1, 1000)
	for _, h := range hostileRequests() {
		t.Run(h.name, func(t *testing.T) {
			server.cost(t, hostileMemory, func() { o.sendHostile(t, h) })
		})
	}
	t.Run("eight at once of those that fill memory", func(t *testing.T) {
		server.cost(t, hostileEight, func() {
			for _, h := range hostileRequests() {
				if !h.heavy {
					continue
				}
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() { o.sendHostile(t, h) })
				}
				wg.Wait()
			}
		})
	})
	o.sendKnown(t, 3, 1, 1000)
	server.stop(t)
	server.mustNotHavePanicked(t)
	if log := string(server.output.Bytes()); strings.Contains(log, "ERROR") {
		t.Errorf("the operator is told of what is none of the server's faults:\n%.2000s", log)
	}
	o.mustBeWhole(t, true)
}

// cost checks that the server's memory does not grow by more at any moment of f.
func (s *serving) cost(t *testing.T, most int, f func()) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Logf("the peak is that of the whole life: %v", err)
	}
	before, began := s.status(t, "VmRSS"), time.Now()
	f()
	if cost := s.status(t, "VmHWM") - before; cost > most {
		t.Errorf("it costs %d KiB, at most %d are allowed", cost, most)
	} else {
		t.Logf("%d KiB, %v", cost, time.Since(began).Round(time.Millisecond))
	}
}

// sendHostile sends a request and reads the answers.
func (o *office) sendHostile(t *testing.T, h hostileRequest) {
	conn, err := net.Dial("tcp", o.sources)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	go func() {
		w := bufio.NewWriterSize(conn, 256<<10)
		h.send(w)
		w.Flush()
		conn.(*net.TCPConn).CloseWrite()
	}()
	r := bufio.NewReader(conn)
	for range 1 + h.more {
		status := 0
		resp, err := http.ReadResponse(r, nil)
		if err == nil {
			status = resp.StatusCode
			page, readErr := io.ReadAll(resp.Body)
			if status == http.StatusRequestHeaderFieldsTooLarge {
				readErr = nil // package http answers, and does not read on
			}
			if readErr != nil || len(page) == 0 && status/100 != 3 || len(page) > 2<<20 { // the text comes back
				t.Errorf("%s: a page of %d bytes, %v", h.name, len(page), readErr)
			}
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s: no answer, and the connection stays open", h.name)
		}
		ok := false
		for _, want := range h.want {
			ok = ok || status == want
		}
		if !ok {
			t.Errorf("%s: status %d, want one of %v", h.name, status, h.want)
		}
	}
}

// chunked writes chunks to w, and their end when it is closed.
type chunked struct{ w io.Writer }

func (c chunked) Write(p []byte) (int, error) {
	if _, err := fmt.Fprintf(c.w, "%x\r\n%s\r\n", len(p), p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// body sends a multipart body in chunks.
func body(f func(w *bufio.Writer)) func(io.Writer) {
	return func(w io.Writer) {
		io.WriteString(w, multipartHead)
		out := bufio.NewWriterSize(chunked{w}, 64<<10)
		f(out)
		out.Flush()
		io.WriteString(w, "0\r\n\r\n")
	}
}

func raw(text string) func(io.Writer) {
	return func(w io.Writer) { io.WriteString(w, text) }
}

func repeated(w *bufio.Writer, n int, f func(i int)) {
	for i := range n {
		f(i)
		if i%1000 == 0 && w.Flush() != nil {
			return // the server has had enough
		}
	}
}

func hostileRequests() []hostileRequest {
	field := func(name string) string {
		return "\r\n--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n"
	}
	const urlencoded = "POST /thread HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	refused, closedOr := []int{400, 413, 422, 409}, []int{0, 400, 408, 413, 422, 409, 431, 501}
	return []hostileRequest{
		{name: "100,000 bytes of header", want: []int{431, 0},
			send: raw("GET / HTTP/1.1\r\nHost: h\r\nX-Long: " + strings.Repeat("x", 100_000) + "\r\n\r\n")},
		{name: "10,000 headers", want: []int{431, 0},
			send: raw("GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X-Some: y\r\n", 10_000) + "\r\n")},
		{name: "a long request line", want: []int{431, 0, 400, 414}, send: raw("GET /" + strings.Repeat("x", 100_000) + " HTTP/1.1\r\nHost: h\r\n\r\n")},
		{name: "no HTTP", want: closedOr, send: raw("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")},
		{name: "1,000,000 fields", want: refused, send: body(func(w *bufio.Writer) {
			repeated(w, 1_000_000, func(i int) { w.WriteString(field("a") + "b") })
			w.WriteString("\r\n--b--\r\n")
		})},
		{name: "1,000,000 fields with names of their own", heavy: true, want: refused, send: body(func(w *bufio.Writer) {
			repeated(w, 1_000_000, func(i int) { fmt.Fprint(w, field(fmt.Sprint(i)), "b") })
			w.WriteString("\r\n--b--\r\n")
		})},
		{name: "200,000 files without names", want: refused, send: body(func(w *bufio.Writer) { // 9 µs each
			repeated(w, 200_000, func(i int) { w.WriteString(field("file\"; filename=\"")) })
			w.WriteString("\r\n--b--\r\n")
		})},
		{name: "1,000,000 parts of no kind", want: refused, send: body(func(w *bufio.Writer) {
			repeated(w, 1_000_000, func(i int) { w.WriteString("\r\n--b\r\n\r\nx") })
			w.WriteString("\r\n--b--\r\n")
		})},
		{name: "a part header of 8 MiB", heavy: true, want: refused, send: body(func(w *bufio.Writer) {
			w.WriteString("--b\r\nContent-Disposition: form-data; name=\"")
			repeated(w, 8<<10, func(int) { w.WriteString(strings.Repeat("x", 1<<10)) })
			w.WriteString("\"\r\n\r\nx\r\n--b--\r\n")
		})},
		{name: "a part header of 64 MiB", want: refused, send: body(func(w *bufio.Writer) {
			w.WriteString("--b\r\nX: ")
			repeated(w, 64<<10, func(int) { w.WriteString(strings.Repeat("x", 1<<10)) })
			w.WriteString("\r\n\r\nx\r\n--b--\r\n")
		})},
		{name: "1,000,000 headers of a part", want: refused, send: body(func(w *bufio.Writer) {
			w.WriteString("--b\r\n")
			repeated(w, 1_000_000, func(i int) { fmt.Fprintf(w, "X-%d: y\r\n", i) })
			w.WriteString("\r\n\r\nx\r\n--b--\r\n")
		})},
		{name: "multipart in multipart", heavy: true, want: refused, send: body(func(w *bufio.Writer) {
			repeated(w, 10_000, func(i int) {
				fmt.Fprintf(w, "\r\n--b\r\nContent-Disposition: form-data; name=\"n\"\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d", i, i)
			})
			w.WriteString("\r\n--b--\r\n")
		})},
		{name: "a part that never ends", want: refused, send: body(func(w *bufio.Writer) {
			w.WriteString(field("text"))
			repeated(w, 20_000, func(int) { w.WriteString("\r\n--bb\r\n--\r-\r\n") })
		})},
		{name: "a file name of 2 MiB", heavy: true, want: refused, send: body(func(w *bufio.Writer) {
			w.WriteString(field("file\"; filename=\"" + strings.Repeat("x", 2<<20)))
			w.WriteString("content\r\n--b--\r\n")
		})},
		{name: "a huge field", want: refused, send: body(func(w *bufio.Writer) {
			w.WriteString(field("text"))
			piece := strings.Repeat("x", 64<<10)
			for sent := int64(0); sent < *hostileField; sent += int64(len(piece)) {
				if _, err := w.WriteString(piece); err != nil {
					return
				}
			}
			w.WriteString("\r\n--b--\r\n")
		})},
		{name: "chunked garbage", want: closedOr, send: raw(multipartHead + "ZZZZ\r\nrubbish\r\n")},
		{name: "a chunk longer than anything", want: closedOr, send: raw(multipartHead + "ffffffffffffffff\r\nx")},
		{name: "chunk extensions", want: closedOr, send: raw(multipartHead + "1;" + strings.Repeat("x", 100_000) + "\r\nx\r\n0\r\n\r\n")},
		{name: "1,000,000 trailers", want: closedOr, send: func(w io.Writer) {
			io.WriteString(w, multipartHead+"0\r\n")
			for range 1_000_000 {
				if _, err := io.WriteString(w, "X: y\r\n"); err != nil {
					return
				}
			}
		}},
		{name: "less than Content-Length", want: closedOr, send: raw(urlencoded + "Content-Length: 1000000\r\n\r\ncode=x")},
		{name: "more than Content-Length", want: closedOr, more: 1, send: raw(urlencoded + "Content-Length: 5\r\n\r\ncode=more and more\r\n\r\n")},
		{name: "a negative Content-Length", want: closedOr, send: raw(urlencoded + "Content-Length: -5\r\n\r\ncode=")},
		{name: "two Content-Lengths", want: closedOr, send: raw(urlencoded + "Content-Length: 5\r\nContent-Length: 6\r\n\r\ncode=")},
		{name: "both lengths", want: closedOr, more: 1, send: raw(urlencoded + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n")},
		{name: "1,000,000 urlencoded fields", want: refused,
			send: raw(urlencoded + "Content-Length: 3000000\r\n\r\n" + strings.Repeat("a=&", 1_000_000))},
		{name: "urlencoded fields with names of their own", heavy: true, want: refused, send: func(w io.Writer) {
			var all strings.Builder
			for i := range 600_000 {
				fmt.Fprintf(&all, "%x&", i)
			}
			fmt.Fprintf(w, "%sContent-Length: %d\r\n\r\n%s", urlencoded, all.Len(), all.String())
		}},
		{name: "a boundary of 10,000 bytes", want: refused,
			send: raw("POST /tip HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=" + strings.Repeat("b", 10_000) + "\r\nContent-Length: 2\r\n\r\n--")},
		{name: "no boundary", want: refused, send: raw("POST /tip HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data\r\nContent-Length: 2\r\n\r\n--")},
		{name: "HTTP/1.0", want: []int{200}, send: raw("GET / HTTP/1.0\r\n\r\n")},
		{name: "pipelining", want: []int{200}, more: 99, send: raw(strings.Repeat("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", 100))},
		{name: "an unknown method", want: []int{405}, send: raw("BREW / HTTP/1.1\r\nHost: h\r\n\r\n")},
		{name: "a path of dots", want: []int{301, 400, 404}, send: raw("GET /../../etc/%2e%2e/passwd%00 HTTP/1.1\r\nHost: h\r\n\r\n")},
	}
}
