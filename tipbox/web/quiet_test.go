package web_test

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tipbox/store"
	"tipbox/tipbox/tipboxtest"
)

// spy puts the canary wherever a request can carry something.
func spy(r *http.Request) *http.Request {
	for _, header := range []string{"User-Agent", "X-Forwarded-For", "Forwarded", "Referer", "Cookie", "Origin", "X-Real-Ip", "Host"} {
		r.Header.Set(header, secret)
	}
	r.RemoteAddr = secret + ":1234"
	return r
}

// logged is all that was logged on either side.
func (s *site) logged() []byte { return append(s.Log.Bytes(), s.weblog.Bytes()...) }

func (s *site) wantQuiet(t *testing.T, more ...[]byte) {
	t.Helper()
	if said := bytes.Join(append(more, s.logged()), nil); tipboxtest.FindCanary(said) != "" || bytes.Contains(said, []byte("192.0.2.1")) {
		t.Errorf("the log tells of a source:\n%s", said)
	}
}

func TestNothingOfASourceReachesTheLogWhateverFails(t *testing.T) {
	t.Parallel()
	named := tipboxtest.File{Name: secret, Type: secret, Content: secret}
	requests := map[string]func(s *brokenSite) *http.Request{
		"tip":       func(s *brokenSite) *http.Request { return s.tipForm(t, secret).request(named) },
		"long file": func(s *brokenSite) *http.Request { return s.tipForm(t, secret).request(named, tooLarge) },
		"channel": func(s *brokenSite) *http.Request {
			return s.tipForm(t, secret).set(t, "channel", secret).set(t, "leave-out", secret).request(named)
		},
		"token":   func(s *brokenSite) *http.Request { return s.tipForm(t, secret).set(t, "token", secret).request(named) },
		"code":    func(s *brokenSite) *http.Request { return s.codeForm(t, secret).request() },
		"session": func(s *brokenSite) *http.Request { return s.spoiled(t, `name="text"`, `name="session"`) },
		"part's headers": func(s *brokenSite) *http.Request {
			return s.spoiled(t, "Content-Disposition: form-data; name=\"text\"", secret+"\r\n"+secret)
		},
		"part's disposition": func(s *brokenSite) *http.Request {
			return s.spoiled(t, "form-data; name=\"text\"", secret+"; \""+secret)
		},
		"part's boundary": func(s *brokenSite) *http.Request { return s.spoiled(t, "\r\n--", "\r\n"+secret+"\r\n--x"+secret) },
		"part's encoding": func(s *brokenSite) *http.Request {
			return s.spoiled(t, "Content-Type: "+secret, "Content-Transfer-Encoding: quoted-printable\r\nContent-Type: x")
		},
		"urlencoding": func(s *brokenSite) *http.Request {
			r := s.tipForm(t, secret).urlencoded()
			setBody(r, append(bodyOf(r), "&%zz"+secret+";"...))
			return r
		},
		"content type": func(s *brokenSite) *http.Request {
			r := s.tipForm(t, secret).request(named)
			r.Header.Set("Content-Type", "multipart/form-data; boundary="+strings.Repeat(secret, 10)+"; "+secret)
			return r
		},
		"connection": func(s *brokenSite) *http.Request {
			r := s.tipForm(t, secret).request(named)
			r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, r.ContentLength-120), brokenLine{}))
			return r
		},
		"path": func(s *brokenSite) *http.Request { return httptest.NewRequest("GET", "/none/"+secret+"?"+secret, nil) },
		"method": func(s *brokenSite) *http.Request {
			return httptest.NewRequest(strings.ToUpper("canary"), "/tip?lang="+secret, nil)
		},
		"form": func(s *brokenSite) *http.Request { return httptest.NewRequest("GET", "/tip?"+secret, nil) },
	}
	faults := map[string]func(*brokenSite){
		"nothing": func(*brokenSite) {}, "get": func(s *brokenSite) { s.breakOn("get") }, "scan": func(s *brokenSite) { s.breakOn("scan") },
		"apply": func(s *brokenSite) { s.breakOn("apply") }, "blobs": func(s *brokenSite) { s.blobs.on = true },
		"panic": func(s *brokenSite) { s.store.fail = func(string, store.Key) error { panic(secret) } },
	}
	for fault, fail := range faults {
		for name, request := range requests {
			s := newBrokenSite(t)
			r := spy(request(s))
			fail(s)
			func() {
				defer func() {
					if p := recover(); p != nil && p != http.ErrAbortHandler {
						t.Errorf("%s, %s: the panic %v comes through", fault, name, p)
					}
				}()
				s.ServeHTTP(httptest.NewRecorder(), r)
			}()
			s.wantQuiet(t)
			s.repair()
		}
	}
}

// spoiled is a tip's request with some of its bytes replaced.
func (s *brokenSite) spoiled(t *testing.T, from, to string) *http.Request {
	r := s.tipForm(t, secret).request(tipboxtest.File{Name: secret, Type: secret, Content: secret + " =\xff=zz"})
	body := bodyOf(r)
	if !bytes.Contains(body, []byte(from)) {
		t.Fatalf("there is no %q in the form", from)
	}
	setBody(r, bytes.Replace(body, []byte(from), []byte(to), 1))
	return r
}

type brokenLine struct{}

func (brokenLine) Read([]byte) (int, error) {
	return 0, errors.New("read tcp 192.0.2.1:443: " + secret)
}

func TestAFaultIsLoggedWithItsRouteAndNoPath(t *testing.T) {
	s := newBrokenSite(t)
	f := s.tipForm(t, secret)
	s.breakOn("get")
	s.send(t, f)
	s.send(t, &form{action: "/thread", names: []string{"code"}, values: map[string][]string{"code": {strings.Repeat("zoo ", 11) + "wrong"}}})
	for _, want := range []string{"route=/tip", "route=/thread", errDisk.Error()} {
		if !strings.Contains(string(s.weblog.Bytes()), want) {
			t.Errorf("the operator does not read %q in:\n%s", want, s.weblog.Bytes())
		}
	}
}

func TestAPanicEndsTheConnectionAndSaysOnlyWhere(t *testing.T) {
	for _, value := range []any{secret, errors.New(secret), http.ErrAbortHandler} {
		s := newBrokenSite(t)
		words := s.tip(t, secret).words(t)
		var serverLog bytes.Buffer
		srv := httptest.NewUnstartedServer(s)
		srv.Config.ErrorLog = log.New(&serverLog, "", 0)
		srv.Start()
		s.store.fail = func(string, store.Key) error { panic(value) }
		client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.PostForm(srv.URL+"/thread", map[string][]string{"code": {words}})
		if err == nil {
			page, _ := io.ReadAll(resp.Body)
			t.Errorf("there is an answer: %d, %.200s", resp.StatusCode, page)
		}
		srv.Close()
		s.wantQuiet(t, serverLog.Bytes())
		logged := string(s.weblog.Bytes())
		if value != http.ErrAbortHandler && (!strings.Contains(logged, "route=/thread") || strings.Count(logged, "\n") != 1) || value == http.ErrAbortHandler && logged != "" {
			t.Errorf("after %v the log says %q", value, logged)
		}
		if serverLog.Len() > 0 {
			t.Errorf("the server logs %q", serverLog.String())
		}
		s.repair()
	}
}
