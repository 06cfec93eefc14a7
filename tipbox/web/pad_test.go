package web_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
	"tipbox/tipbox/web"
	"tipbox/tipbox/web/webtest"
)

// usual is how long answers are, in bytes on the line, with their heads.
const usual = 32 << 10

// lengths are those of the states of webtest that are of another.
var lengths = map[string]int{
	"tip: too long":                      2 * usual,
	"tip: a file to be chosen again":     2 * usual,
	"message: a file to be chosen again": 2 * usual,
	"claims for a tool":                  2 * usual,
	"healthz":                            bare,
	"robots":                             bare,
	"whom to tell of a fault":            bare,
}

// bare is the length of what no source has to do with: it is not padded.
const bare = 0

// A line is a real connection to a handler for each request that is made of it. It
// keeps how each answer came: the bytes of every write.
type line struct {
	t    testing.TB
	addr string

	mu     sync.Mutex // guards the rest
	writes []int      // of the answer under way
	came   map[*http.Request][]int
}

// newLine serves the handler on loopback.
func newLine(t testing.TB, h http.Handler) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{t: t, addr: listener.Addr().String(), came: make(map[*http.Request][]int)}
	server := &http.Server{Handler: h}
	go server.Serve(watched{listener, l})
	t.Cleanup(func() { server.Close() })
	return l
}

type watched struct {
	net.Listener
	line *line
}

func (w watched) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	return watchedConn{conn, w.line}, err
}

type watchedConn struct {
	net.Conn
	line *line
}

func (c watchedConn) Write(p []byte) (int, error) {
	c.line.mu.Lock()
	c.line.writes = append(c.line.writes, len(p))
	c.line.mu.Unlock()
	return c.Conn.Write(p)
}

// ServeHTTP sends the request as a browser does, and passes the answer on.
func (l *line) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		l.t.Error(err)
		return
	}
	defer conn.Close()
	l.mu.Lock()
	l.writes = nil
	l.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nContent-Length: %d\r\n", r.Method, r.RequestURI, r.Host, max(r.ContentLength, 0))
	r.Header.Write(&head)
	conn.Write(append(append(head.Bytes(), "\r\n"...), body...))
	if int64(len(body)) < r.ContentLength {
		conn.(*net.TCPConn).CloseWrite()
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		l.t.Errorf("%s %s: %v", r.Method, r.URL, err)
		return
	}
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		l.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	l.mu.Lock()
	l.came[r] = l.writes
	l.mu.Unlock()
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	if answer.Close {
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(answer.StatusCode)
	w.Write(page)
}

// checkLength finds answers of another length than they must have, or that come in
// other pieces than all of that length do.
func (l *line) checkLength(f faults, s *webtest.State, want int) {
	writes, sum := l.came[s.Asked], 0
	for _, n := range writes {
		sum += n
	}
	if want == bare {
		if sum > usual/4 {
			f.add(s, "%s has %d bytes", s.Name, sum)
		}
		return
	}
	if s.Header.Get("Connection") == "close" {
		want += len("Connection: close\r\n")
	}
	if sum != want {
		f.add(s, "%s is %d bytes on the line, not %d", s.Name, sum, want)
		return
	}
	first := 4 << 10 // as much as net/http holds back
	pieces := []int{first, want%usual + usual - first}
	for range want/usual - 1 {
		pieces = append(pieces, usual)
	}
	if !slices.Equal(writes, pieces) {
		f.add(s, "%s is sent in pieces of %d bytes", s.Name, writes)
	}
}

// unpadded is a page without what it was filled up with.
func unpadded(page []byte) []byte { return page[:max(bytes.LastIndex(page, []byte("<!--")), 0)] }

func TestAThreadIsAsLongAsItsClassHoweverLongTheAnswers(t *testing.T) {
	t.Parallel()
	s := newSite(t, tipboxtest.Config{})
	words := s.tip(t, secret).words(t)
	l := newLine(t, s)
	f := make(faults)
	look := func(name string, want int) {
		t.Helper()
		r := s.codeForm(t, words).request()
		answer := httptest.NewRecorder()
		l.ServeHTTP(answer, r)
		l.checkLength(f, &webtest.State{Name: name, Asked: r, Status: answer.Code, Header: answer.Header(), Body: answer.Body.Bytes()}, want)
	}
	tip := s.Inbox("bob")[0].Tip
	look("empty", usual)
	for range 5 {
		s.Reply("bob", tip, strings.Repeat("We would like to know more. ", 100))
		look("of several answers", usual)
	}
	s.Reply("bob", tip, strings.Repeat("x", 20_000))
	look("of a long answer", 2*usual)
	s.Reply("bob", tip, strings.Repeat("<", tipbox.MaxText))
	look("of the longest answer", 8*usual)
	f.report(t)
}

func TestWhatIsSavedIsAsItWasWhateverTheBrowserTakes(t *testing.T) {
	s := newSite(t, tipboxtest.Config{Proof: true})
	page := s.tip(t, secret).page
	for _, action := range []string{"/thread/receipt", "/thread/proof"} {
		files := make(map[string]string)
		for _, accept := range []string{"gzip", "identity"} {
			r := page.form(t, action).request()
			r.Header.Set("Accept-Encoding", accept)
			a := s.do(t, r).want(t, 200)
			coding := a.Header().Get("Content-Encoding")
			if (coding == "gzip") != (accept == "gzip") {
				t.Errorf("%s: who takes %s gets %q", action, accept, coding)
			}
			data := a.Body.Bytes()
			if length := len(data); length < usual-2<<10 {
				t.Errorf("%s: who takes %s gets %d bytes", action, accept, length)
			}
			if coding == "gzip" {
				z, err := gzip.NewReader(bytes.NewReader(data))
				if err != nil {
					t.Fatal(err)
				}
				if data, err = io.ReadAll(z); err != nil {
					t.Fatal(err)
				}
			}
			files[accept] = string(data)
		}
		file := files["gzip"]
		if strings.TrimSpace(file)+"\n" != file || strings.TrimRight(files["identity"], " ") != file {
			t.Errorf("%s: the file is %q, or %q", action, file, files["identity"])
		}
	}
}

func TestWhatIsPaddedFitsWhateverItNeeds(t *testing.T) {
	head := http.Header{"Content-Type": {"text/html; charset=utf-8"}, "Allow": {"GET", "HEAD"}}
	for needs := 0; needs < 20<<20; needs += 1 + needs/1000 {
		if got := web.Padded(http.StatusOK, head, needs); got < needs || needs > usual && got > 2*needs+usual/8 {
			t.Fatalf("what needs %d bytes gets %d", needs, got)
		}
	}
}

func TestOnlyWhoTakesGzipGetsIt(t *testing.T) {
	for accept, want := range map[string]bool{
		"gzip": true, "GZIP": true, "br, gzip": true, "gzip;q=0.5": true, "gzip; q=1.0": true, " deflate , gzip ": true,
		"": false, "br": false, "gzip;q=0": false, "gzip;q=0.000": false, "x-gzip": false, "*": false, "gzip;q=x": false, "gzipped": false,
		strings.Repeat("gzip;q=0,", 500): false,
	} {
		if got := web.TakesGzip(accept); got != want {
			t.Errorf("with Accept-Encoding %.30q: %v", accept, got)
		}
	}
}
