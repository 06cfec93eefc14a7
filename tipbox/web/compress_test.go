package web_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"tipbox/tipbox/tipboxtest"
)

// zipped asks as browsers do, and reports whether the answer was compressed. It
// puts what was in it in the answer's place.
func (s *site) zipped(t testing.TB, method, target, accept string) (*httptest.ResponseRecorder, bool) {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Accept-Encoding", accept)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Header().Get("Content-Encoding") == "" {
		return w, false
	}
	if method == "HEAD" {
		return w, true
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	page, err := io.ReadAll(z)
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	w.Body = bytes.NewBuffer(page)
	return w, true
}

func TestOnlyPagesThatAreTheSameForEverybodyAreCompressed(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	s.SetSchedules(shipped(t, "schedule.toml"))
	const accept = "gzip, deflate, br, zstd"
	for target, want := range map[string]bool{
		"/": true, "/?lang=zh-Hans": true, "/about": true, "/questions": true, "/who": true, "/threats?lang=en": true, "/thread": true, "/reward": true,
		"/reward?lang=zh-Hans": true,
		"/reward?amount=1":     false, "/reward?scale=off-book-funds-2009&amount=100000": false, "/reward?scale=x": false, "/reward?lang=en&x=y": false,
		"/reward.json": false, "/tip": false, "/tip?channel=bribery": false, "/none": false, "/healthz": false, "/robots.txt": false, "/thread/message": false,
	} {
		w, zipped := s.zipped(t, "GET", target, accept)
		if zipped != want {
			t.Errorf("%s is compressed: %v", target, zipped)
		}
		if plain := s.get(t, target); plain.Body.String() != w.Body.String() && !strings.HasPrefix(target, "/tip") {
			t.Errorf("%s compressed is another page", target)
		} else if vary := plain.Header().Get("Vary"); (vary == "Accept-Encoding") != want {
			t.Errorf("%s uncompressed has Vary: %q", target, vary)
		}
		if !want {
			continue
		}
		if strings.Contains(w.Body.String(), `type="hidden" name="token"`) || strings.Contains(w.Body.String(), `name="session"`) {
			t.Errorf("%s holds a token", target)
		}
		again, _ := s.zipped(t, "GET", target, accept)
		head, _ := s.zipped(t, "HEAD", target, accept)
		if length := head.Header().Get("Content-Length"); length != w.Header().Get("Content-Length") || length == "" || again.Body.String() != w.Body.String() {
			t.Errorf("%s: a second answer or its head is another", target)
		}
	}
}

func TestACompressedPageFollowsTheRoster(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	before, _ := s.zipped(t, "GET", "/", "gzip")
	s.SetSchedules(shipped(t, "schedule.toml"))
	after, _ := s.zipped(t, "GET", "/", "gzip")
	if strings.Contains(before.Body.String(), "/reward") || !strings.Contains(after.Body.String(), "/reward") {
		t.Error("the first page is that of the roster before")
	}
}

// Whatever is posted is answered uncompressed, also by pages that are compressed
// when they are asked for.
func TestNoAnswerToAFormIsCompressed(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	post := func(name string, f *form) *answer {
		t.Helper()
		r := f.request()
		r.Header.Set("Accept-Encoding", "gzip")
		a := s.do(t, r)
		if v := a.Header().Values("Content-Encoding"); v != nil || a.Header().Get("Vary") != "" || !strings.Contains(a.Body.String(), "<") {
			t.Errorf("%s: Content-Encoding is %q", name, v)
		}
		return a
	}
	post("refused tip", s.tipForm(t, ""))
	receipt := post("receipt", s.tipForm(t, secret))
	post("wrong code", s.codeForm(t, "zoo"))
	post("unknown code", s.codeForm(t, strings.Repeat("abandon ", 11)+"about"))
	thread := post("thread", s.codeForm(t, receipt.words(t)))
	post("refused message", thread.page.form(t, "/thread/message"))
	post("message", thread.page.form(t, "/thread/message").set(t, "text", "more"))
	erase := thread.page.form(t, "/thread/erase")
	post("unsure", erase)
	post("erased", erase.set(t, "sure", "yes"))
	post("late", thread.page.form(t, "/thread/message").set(t, "text", "more"))
}

func TestCompressionIsAskedFor(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	for accept, want := range map[string]bool{
		"gzip": true, "GZIP": true, "br, gzip": true, "gzip;q=0.5": true, "gzip; q=1.0": true, " deflate , gzip ": true,
		"": false, "br": false, "gzip;q=0": false, "gzip;q=0.000": false, "x-gzip": false, "*": false, "gzip;q=x": false, "gzipped": false,
		strings.Repeat("gzip;q=0,", 500): false,
	} {
		if _, zipped := s.zipped(t, "GET", "/", accept); zipped != want {
			t.Errorf("with Accept-Encoding %.30q it is compressed: %v", accept, zipped)
		}
	}
}

func TestRobotsAreToldWhatTheyMayShow(t *testing.T) {
	s := siteWith(t, map[string]string{"pages/zebra.en.md": "# Zebra", "pages/questions.en.md": ""})
	text := s.get(t, "/robots.txt").want(t, 200).Body.String()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if lines[0] != "User-agent: *" || lines[len(lines)-1] != "Disallow: /" {
		t.Errorf("robots.txt is %q", lines)
	}
	for line, want := range map[string]bool{
		"Allow: /$": true, "Allow: /?lang=": true, "Allow: /about$": true, "Allow: /about?lang=": true, "Allow: /zebra$": true,
		"Allow: /reward$": false, "Allow: /questions$": false, "Allow: /tip$": false, "Allow: /thread$": false,
	} {
		if slices.Contains(lines, line) != want {
			t.Errorf("robots.txt has %q: %v", line, !want)
		}
	}
	s.SetSchedules(shipped(t, "schedule.toml"))
	if !strings.Contains(s.get(t, "/robots.txt").Body.String(), "Allow: /reward$\n") {
		t.Error("the rewards are not named")
	}
}

func TestSecurityContactIsNamedIfTheSiteHasOne(t *testing.T) {
	newSite(t, tipboxtest.Config{}).get(t, "/.well-known/security.txt").want(t, 404)
	s := siteWith(t, map[string]string{"site.toml": "security_contact = 'mailto:security@example.org'"})
	const want = "Contact: mailto:security@example.org\nExpires: 2027-05-21T00:00:00Z\nPreferred-Languages: en\n"
	if got := s.get(t, "/.well-known/security.txt").want(t, 200).Body.String(); got != want {
		t.Errorf("security.txt is %q, want %q", got, want)
	}
	s = siteWith(t, map[string]string{"site.toml": "security_contact = 'https://example.org/report'\nsecurity_languages = ['zh-Hans', 'en']\nsecurity_canonical = 'https://example.org/.well-known/security.txt'"})
	const all = "Contact: https://example.org/report\nExpires: 2027-05-21T00:00:00Z\nPreferred-Languages: zh-Hans, en\nCanonical: https://example.org/.well-known/security.txt\n"
	if got := s.get(t, "/.well-known/security.txt").want(t, 200).Body.String(); got != all {
		t.Errorf("security.txt is %q, want %q", got, all)
	}
}
