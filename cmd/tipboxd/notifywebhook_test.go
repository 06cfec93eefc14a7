package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tipbox/tipbox/tipboxtest"
)

const hookToken = "a bearer token that is long enough"

func tokenFile(t *testing.T, token string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// newChat starts a server for requests, over TLS if there is an authority.
func newChat(t *testing.T, a *authority, h http.HandlerFunc) (server *httptest.Server, line *watchedListener) {
	t.Helper()
	line = watchLoopback(t)
	server = httptest.NewUnstartedServer(h)
	server.Listener.Close()
	server.Listener = line
	server.EnableHTTP2 = true
	if a == nil {
		server.Start()
	} else {
		server.TLS = a.issue(t, "127.0.0.1")
		server.StartTLS()
	}
	t.Cleanup(server.Close)
	return server, line
}

// asked is a recipient of a request who waits for ever.
func asked(h *hook) recipient { return recipient{"bob", "webhook", "", time.Hour, h.send} }

// TestRequestsAreOfOneLength sends every text to addresses of every length, with
// tokens and without, in the clear and not.
func TestRequestsAreOfOneLength(t *testing.T) {
	a := newAuthority(t)
	for _, over := range []*authority{nil, a} {
		type request struct {
			header http.Header
			method string
			body   []byte
		}
		var got []request
		server, line := newChat(t, over, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			got = append(got, request{r.Header, r.Method, body})
			w.WriteHeader(http.StatusNoContent)
		})
		sent := 0
		for _, path := range []string{"", "/", "/hooks/1", "/hooks/%E4%B8%AD?a=b&c=" + strings.Repeat("d", 900)} {
			for _, token := range []string{"", "x", strings.Repeat("y", maxSecret)} {
				h := &hook{url: server.URL + path, caFile: a.file}
				if token != "" {
					h.tokenFile = tokenFile(t, token)
				}
				for says, text := range hookText {
					if why, _ := asked(h).deliver(t.Context(), newNotice(says, anHour)); why != "" {
						t.Fatal(why)
					}
					r := got[len(got)-1]
					var document struct {
						Work *bool
						Text string
					}
					if err := json.Unmarshal(r.body, &document); err != nil || document.Work == nil || *document.Work != (says == tidingsWork) || document.Text == "" {
						t.Errorf("%s: %v", r.body, err)
					}
					if r.method != http.MethodPost || strings.TrimRight(string(r.body), " ") != text {
						t.Errorf("%s %s", r.method, r.body)
					}
					want := http.Header{"Content-Type": {"application/json"}, "Content-Length": r.header["Content-Length"], "Connection": {"close"}}
					if token != "" {
						want.Set("Authorization", "Bearer "+token)
					}
					for name := range r.header {
						if r.header.Get(name) != want.Get(name) {
							t.Errorf("%s: %q", name, r.header.Get(name))
						}
					}
					if r.header.Get("Authorization") != want.Get("Authorization") {
						t.Errorf("token %q", r.header.Get("Authorization"))
					}
					sent++
				}
			}
		}
		lines := line.came()
		if len(lines) != sent {
			t.Fatalf("%d connections for %d requests", len(lines), sent)
		}
		for _, came := range lines {
			if over == nil {
				if len(came) != len(lines[0]) {
					t.Errorf("%d bytes and %d", len(came), len(lines[0]))
				}
				continue
			}
			const goodbye = "23:19 " // which the server may no longer hear
			if got, want := strings.TrimSuffix(watchedLine(t, came), goodbye), strings.TrimSuffix(watchedLine(t, lines[0]), goodbye); got != want {
				t.Errorf("the line shows\n%s\nand\n%s", got, want)
			}
		}
	}
}

func TestRequestGoesOnlyToWhomItIsFor(t *testing.T) {
	a := newAuthority(t)
	server, line := newChat(t, newAuthority(t), func(http.ResponseWriter, *http.Request) { t.Error("it was asked") })
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	h := &hook{url: server.URL + "/hooks/secret-in-the-path", tokenFile: tokenFile(t, hookToken), caFile: a.file}
	why, again := asked(h).deliver(t.Context(), newNotice(tidingsWork, anHour))
	if !strings.Contains(why, "failed to verify certificate") || !again || strings.Contains(why, "secret") {
		t.Errorf("%q, again %v", why, again)
	}
	for _, came := range line.came() {
		if tipboxtest.Find(came, hookToken) != "" {
			t.Errorf("it was told %q", came)
		}
	}
	h.caFile = "" // the system's, none of which signs for loopback
	if why, _ := asked(h).deliver(t.Context(), newNotice(tidingsWork, anHour)); !strings.Contains(why, "failed to verify certificate") {
		t.Errorf("%q", why)
	}
	if err := os.Chmod(h.tokenFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if why, _ := asked(h).deliver(t.Context(), newNotice(tidingsWork, anHour)); !strings.Contains(why, "others can read") {
		t.Errorf("%q", why)
	}
}

func TestAnswersToRequests(t *testing.T) {
	elsewhere := 0
	other, _ := newChat(t, nil, func(http.ResponseWriter, *http.Request) { elsewhere++ })
	tests := []struct {
		name   string
		answer http.HandlerFunc
		says   string
		again  bool
	}{
		{"taken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, "", false},
		{"redirected", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, "it redirects (status 307), which is not followed", false},
		{"refused", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "it refuses the request (status 403)", false},
		{"too many", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, "status 429", true},
		{"broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "status 502", true},
		{"a head without end", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		}, "exceeded", true},
		{"a body without end", func(w http.ResponseWriter, _ *http.Request) {
			for err := error(nil); err == nil; {
				_, err = w.Write(make([]byte, 1<<16)) // until we hang up
			}
		}, "", false},
		{"no answer", func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
			}
			c.Close()
		}, "EOF", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server, _ := newChat(t, nil, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				test.answer(w, r)
			})
			why, again := asked(&hook{url: server.URL}).deliver(t.Context(), newNotice(tidingsWork, anHour))
			if (why == "") != (test.says == "") || !strings.Contains(why, test.says) || again != test.again || strings.Contains(why, "http://") {
				t.Errorf("%q, again %v", why, again)
			}
		})
	}
	if elsewhere > 0 {
		t.Error("a redirect was followed")
	}
}

func TestStuckChatDoesNotHoldUpTheStop(t *testing.T) {
	reached := make(chan bool)
	server, _ := newChat(t, nil, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		reached <- true
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan bool)
	go func() {
		defer close(returned)
		asked(&hook{url: server.URL}).deliver(ctx, newNotice(tidingsWork, anHour))
	}()
	<-reached
	cancel()
	<-returned
}
