package cmd_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A browserDemo is a running tipboxd demo and its members' tool.
type browserDemo struct {
	dir     string
	sources *url.URL
	seen    map[string]bool // the tips that the inbox showed
}

// startBrowserDemo serves a new demo until the test ends.
func startBrowserDemo(t *testing.T) *browserDemo {
	t.Helper()
	d := &browserDemo{dir: filepath.Join(t.TempDir(), "demo"), seen: map[string]bool{}}
	var stderr bytes.Buffer
	server := exec.Command(program("tipboxd"), "demo", "--dir", d.dir, "--listen", "127.0.0.1:0", "--desk", "127.0.0.1:0")
	server.Stderr = &stderr
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), "Sources:"); ok {
				address <- strings.TrimSpace(rest)
			}
		}
		ended <- server.Wait()
	}()
	t.Cleanup(func() {
		server.Process.Signal(os.Interrupt)
		kill := time.AfterFunc(browserPatience, func() { server.Process.Kill() })
		defer kill.Stop()
		if err := <-ended; err != nil || strings.Contains(stderr.String(), "level=ERROR") {
			t.Errorf("the server ended with %v and wrote:\n%s", err, &stderr)
		}
	})
	select {
	case a := <-address:
		if d.sources, err = url.Parse(a); err != nil {
			t.Fatal(err)
		}
	case err := <-ended:
		ended <- err
		t.Fatal("the server did not start")
	case <-time.After(browserPatience):
		t.Fatal("the server printed no address")
	}
	return d
}

// tipbox runs the members' tool as the investigator.
func (d *browserDemo) tipbox(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), browserPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program("tipbox"), append([]string{"--home", filepath.Join(d.dir, "members", "investigator")}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tipbox %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return string(out)
}

// A browserLine is the line between browsers and the server. It notes every
// request, also those that a browser makes on its own and shows to no tool.
type browserLine struct {
	url string

	mu      sync.Mutex // guards what follows
	asked   []string   // method and path, in order
	bytes   map[string]int64
	cookies []string // requests whose answers set one
	steps   []string // what the story did to have it asked
}

func (d *browserDemo) line(t *testing.T) *browserLine {
	l := &browserLine{bytes: map[string]int64{}}
	transport := &http.Transport{}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(d.sources)
			r.Out.Host = r.In.Host
			l.mu.Lock()
			defer l.mu.Unlock()
			l.asked = append(l.asked, r.In.Method+" "+r.In.URL.RequestURI())
		},
		ModifyResponse: func(r *http.Response) error {
			head, err := httputil.DumpResponse(r, false)
			if err != nil {
				return err
			}
			if r.ContentLength < 0 {
				return fmt.Errorf("%s has no length", r.Request.URL.Path)
			}
			asked := r.Request.Method + " " + r.Request.URL.RequestURI()
			l.mu.Lock()
			defer l.mu.Unlock()
			l.bytes[asked] = int64(len(head)) + r.ContentLength
			if len(r.Header.Values("Set-Cookie")) > 0 {
				l.cookies = append(l.cookies, asked)
			}
			return nil
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A request is passed on whole: a proxy must not still be reading it
		// when the answer begins.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	l.url = server.URL
	return l
}

func (l *browserLine) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.asked)
}

func (l *browserLine) since(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.asked[n:])
}

// check compares what was asked with what the story did: a page is one request.
func (l *browserLine) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.asked, l.steps) {
		t.Errorf("the browser asked for\n%q\nwhere the story was\n%q", l.asked, l.steps)
	}
	if len(l.cookies) > 0 {
		t.Errorf("these set a cookie: %q", l.cookies)
	}
}
