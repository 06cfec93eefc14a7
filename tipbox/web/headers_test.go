package web_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"tipbox/tipbox/tipboxtest"
)

// headers are those of every answer. A value that ends in … is only the
// beginning.
var headers = map[string]string{
	"Content-Security-Policy":      "default-src 'none'; style-src 'sha256-…",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Embedder-Policy": "require-corp",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"X-Dns-Prefetch-Control":       "off",
	"X-Robots-Tag":                 "noindex, nofollow",
	"Permissions-Policy":           "accelerometer=(), camera=()…",
	"Content-Type":                 "text/html; charset=utf-8",
}

func TestEveryOtherAnswerHasEveryHeader(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	s.SetSchedules(shipped(t, "schedule.toml"))
	for _, target := range []string{"/", "/tip", "/thread", "/reward", "/reward.json", "/about", "/healthz", "/none", "/thread/message"} {
		for _, method := range []string{"HEAD", "OPTIONS", "DELETE"} {
			checkHeaders(t, method+" "+target, s.do(t, httptest.NewRequest(method, target, nil)))
		}
	}
	checkHeaders(t, "robots.txt", s.get(t, "/robots.txt").want(t, 200))
	checkHeaders(t, "healthz", s.get(t, "/healthz").want(t, 200))
	checkHeaders(t, "reward.json", s.get(t, "/reward.json").want(t, 200))
	checkHeaders(t, "unclean path", s.get(t, "//tip?lang=en").want(t, 404))
}

// indexed are the pages that a search engine may show.
var indexed = regexp.MustCompile(`^(home.*|reward|text: .*|HEAD /|HEAD /(reward|about))$`)

// checkHeaders checks that an answer has all its headers and no other.
func checkHeaders(t *testing.T, name string, a *answer) {
	t.Helper()
	want := maps.Clone(headers)
	switch {
	case indexed.MatchString(name):
		delete(want, "X-Robots-Tag")
	case name == "receipt.txt", name == "note.txt":
		want["Content-Disposition"] = `attachment; filename="` + name + `"`
		want["Content-Type"] = "text/plain; charset=utf-8"
	case name == "reward.json" || name == "HEAD /reward.json":
		want["Content-Type"] = "application/json"
		want["Cache-Control"] = "public, max-age=3600"
	case name == "healthz" || name == "HEAD /healthz" || name == "robots.txt":
		want["Content-Type"] = "text/plain; charset=utf-8"
	}
	if a.Code == http.StatusMethodNotAllowed {
		want["Allow"] = "GET, HEAD…"
		if strings.HasSuffix(name, "/thread/message") || name == "method not allowed" {
			want["Allow"] = "POST"
		}
	}
	got := a.Header()
	for header, value := range want {
		beginning, cut := strings.CutSuffix(value, "…")
		if v := got.Values(header); len(v) != 1 || v[0] != value && !(cut && strings.HasPrefix(v[0], beginning)) {
			t.Errorf("%s: %s: %q, want %q", name, header, v, value)
		}
	}
	for header := range got {
		if _, ok := want[header]; !ok && header != "Content-Length" {
			t.Errorf("%s: there is %s: %q", name, header, got[header])
		}
	}
}

func TestThePolicyAllowsNothingButTheStyleAndTheForms(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	policy := strings.Split(s.get(t, "/").Header().Get("Content-Security-Policy"), "; ")
	want := []string{"default-src 'none'", "", "img-src data:", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"}
	if len(policy) != len(want) {
		t.Fatalf("the policy is %q", policy)
	}
	for i, directive := range policy {
		if directive != want[i] && !(want[i] == "" && strings.HasPrefix(directive, "style-src 'sha256-") && !strings.Contains(directive, "unsafe")) {
			t.Errorf("directive %q, want %q", directive, want[i])
		}
	}
}

func TestARealServerSaysNothingOfItself(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	s.SetSchedules(shipped(t, "schedule.toml"))
	addr := serve(t, s)
	for _, path := range []string{"/", "/tip", "/reward", "/reward.json", "/none", "/healthz"} {
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		for _, header := range []string{"Server", "X-Powered-By", "Via", "Set-Cookie", "Etag", "Last-Modified", "Access-Control-Allow-Origin"} {
			if v := resp.Header.Values(header); v != nil {
				t.Errorf("%s: there is %s: %q", path, header, v)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestAHeadHasTheLengthOfThePageAndNoBody(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	s.SetSchedules(shipped(t, "schedule.toml"))
	addr := serve(t, s)
	for _, path := range []string{"/", "/tip", "/thread", "/reward", "/reward.json", "/healthz"} {
		resp, err := http.Head("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := s.get(t, path).Body.Len(); resp.StatusCode != 200 || int(resp.ContentLength) != want {
			t.Errorf("%s: status %d, length %d, want %d", path, resp.StatusCode, resp.ContentLength, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
