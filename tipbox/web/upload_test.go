package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tipbox/tipbox/tipboxtest"
)

// serve puts a handler on a real connection and returns its address.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// dial begins a POST of a body of n bytes by hand, as a browser does that
// looks for no answer before it has sent all.
func dial(t *testing.T, addr, path, contentType string, n int64) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: tip\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, contentType, n)
	return c
}

func TestARefusedUploadIsReadToItsEndSoThatThePageIsSeen(t *testing.T) {
	const large = 24 << 20
	cases := []struct {
		name   string
		path   string
		kind   string // replaces the content type
		set    func(*form)
		spoil  func(string) string
		status int
	}{
		{name: "file too large", path: "/tip", status: 413},
		{name: "expired form", path: "/tip", set: func(f *form) { f.values.Set("token", "x") }, status: 409},
		{name: "malformed part", path: "/tip", status: 400, spoil: func(body string) string {
			return strings.Replace(body, "form-data; name=\"text\"", "form-data; name=\"te\"xt\"", 1)
		}},
		{name: "malformed form", path: "/tip", status: 400, spoil: func(body string) string {
			return "\r\n" + strings.Replace(body, "Content-Disposition", "\x00", 1)
		}},
		{name: "fields too large", path: "/tip", status: 400, set: func(f *form) {
			f.values["leave-out"] = []string{strings.Repeat("x", 1<<20), strings.Repeat("y", 1<<20), "z"}
		}},
		{name: "another kind of body", path: "/tip", kind: "text/plain", status: 400},
		{name: "no boundary", path: "/tip", kind: "multipart/form-data", status: 400},
		{name: "too much without files", path: "/tip", kind: "application/x-www-form-urlencoded", status: 400},
		{name: "unknown session", path: "/thread/message", status: 409},
		{name: "code form", path: "/thread", status: 422},
		{name: "download form", path: "/thread/receipt", status: 409},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, tipboxtest.Config{MaxFile: maxFile})
			addr := serve(t, s)
			f := s.tipForm(t, secret)
			if c.set != nil {
				c.set(f)
			}
			head, kind := f.multipart(tipboxtest.File{Name: "f", Content: "#"})
			body := head.String()
			if c.spoil != nil {
				body = c.spoil(body)
			}
			if c.kind != "" {
				kind = c.kind
			}
			before, after, _ := strings.Cut(body, "\r\n\r\n#\r\n--")
			before, after = before+"\r\n\r\n", "\r\n--"+after
			conn := dial(t, addr, c.path, kind, int64(len(before)+large+len(after)))
			chunk := strings.Repeat("x", 1<<20)
			io.WriteString(conn, before)
			for range large >> 20 {
				if _, err := io.WriteString(conn, chunk); err != nil {
					t.Fatalf("the server does not read on: %v", err)
				}
			}
			if _, err := io.WriteString(conn, after); err != nil {
				t.Fatalf("the server does not read on: %v", err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("there is no answer: %v", err)
			}
			page, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != c.status {
				t.Fatalf("status %d, want %d; %v", resp.StatusCode, c.status, err)
			}
			parse(t, page).id(t, "notice")
			if kept := s.kept(); len(kept) > 0 {
				t.Errorf("there is still %q", kept)
			}
		})
	}
}

func TestAClientThatDiesLeavesNothing(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	s := newSite(t, tipboxtest.Config{})
	var running sync.WaitGroup
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Done()
		s.ServeHTTP(w, r)
	}))
	files := []tipboxtest.File{{Name: "whole", Content: strings.Repeat("w", 1<<17)}, {Name: "half", Content: strings.Repeat("h", 1<<20)}}
	body, kind := s.tipForm(t, secret).multipart(files...)
	all := body.String()
	for _, sent := range []int{100, len(all) / 2, len(all) - 100, len(all) - 4} {
		c := dial(t, srv.Listener.Addr().String(), "/tip", kind, int64(len(all)))
		if _, err := io.WriteString(c, all[:sent]); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	srv.Close() // waits for what is under way
	running.Wait()
	http.DefaultClient.CloseIdleConnections()
	if kept := s.kept(); len(kept) > 0 {
		t.Errorf("there is still %q", kept)
	}
	if log := append(s.Log.Bytes(), s.weblog.Bytes()...); len(log) > 0 {
		t.Errorf("somebody who went away is in the log: %s", log)
	}
	goleak.VerifyNone(t, ignore)
}

func TestAClientThatDiesWhileItsTipIsStoredIsNotLogged(t *testing.T) {
	s := newBrokenSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := s.tipForm(t, secret).request(small).WithContext(ctx)
	cancel()
	s.do(t, r)
	if log := append(s.Log.Bytes(), s.weblog.Bytes()...); len(log) > 0 {
		t.Errorf("somebody who went away is in the log: %s", log)
	}
	if kept := s.kept(); len(kept) > 0 {
		t.Errorf("there is still %q", kept)
	}
}

// A page and then the health check on one connection, as a proxy asks: the
// deadline of the first answer is not that of the second.
func TestEveryAnswerHasADeadlineOfItsOwn(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	for _, path := range []string{"/", "/healthz", "/none"} {
		d := &deadlines{ResponseWriter: httptest.NewRecorder()}
		s.ServeHTTP(d, httptest.NewRequest("GET", path, nil))
		if d.write.Before(time.Now().Add(time.Minute)) {
			t.Errorf("%s: deadline %v", path, d.write)
		}
	}
}

type deadlines struct {
	http.ResponseWriter
	write time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.write = at
	return nil
}
