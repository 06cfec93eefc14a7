package web_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"tipbox/tipbox/tipboxtest"
	"tipbox/tipbox/web"
	"tipbox/tipbox/web/webtest"
)

// siteAt is one with an onion service.
func siteAt(t *testing.T, onion string) *site {
	t.Helper()
	s := newSite(t, tipboxtest.Config{})
	h, err := web.New(web.Config{Service: s.Service, Onion: onion})
	if err != nil {
		t.Fatal(err)
	}
	s.Handler = h
	return s
}

// warning is the element that a page has for those who come without Tor, nil if it
// has none.
func warning(t *testing.T, a *answer) *node {
	t.Helper()
	found := parse(t, a.Body.Bytes()).all(func(n *node) bool { return n.attr["role"] == "note" })
	if len(found) > 1 {
		t.Fatalf("there are %d notes", len(found))
	}
	if len(found) == 0 {
		return nil
	}
	return found[0]
}

// as asks for a page under a name.
func (s *site) as(t *testing.T, host, method, target string) *answer {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Host = host
	return s.do(t, r)
}

func TestWhoComesWithoutTorIsTold(t *testing.T) {
	bare := newSite(t, tipboxtest.Config{})
	with := siteAt(t, webtest.Onion)
	for host, want := range map[string]bool{
		"tips.example.org": true, "tips.example.org:443": true, "192.0.2.1": true, "[2001:db8::1]:443": true, "": true,
		"127.0.0.1:8080": true, "localhost": true, // also where a terminator asks by another name than it was asked
		"notonion": true, webtest.Onion + ".example.org": true, "onion": true,
		webtest.Onion: false, webtest.Onion + ":80": false, strings.ToUpper(webtest.Onion): false, "www." + webtest.Onion: false,
		strings.Repeat("a", 56) + ".onion": false, // another onion service leads here
	} {
		for _, path := range []string{"/", "/tip", "/thread", "/?lang=zh-Hans"} {
			for _, s := range []*site{bare, with} {
				a := s.as(t, host, "GET", path).want(t, http.StatusOK)
				note := warning(t, a)
				if (note != nil) != want {
					t.Errorf("%s at %q warns: %v", path, host, note != nil)
				}
				if shown := strings.Contains(a.Body.String(), webtest.Onion); shown != (want && s == with) {
					t.Errorf("%s at %q names the onion service: %v", path, host, shown)
				}
				location := ""
				if want && s == with {
					location = "http://" + webtest.Onion + path[:len(path)-len("?lang=zh-Hans")*strings.Count(path, "?")]
				}
				if got := a.Header().Get("Onion-Location"); got != location {
					t.Errorf("%s at %q has Onion-Location: %q, want %q", path, host, got, location)
				}
			}
		}
	}
	note := warning(t, with.get(t, "/"))
	if address := note.tags("code"); len(address) != 1 || address[0].inner() != webtest.Onion || address[0].attr["dir"] != "ltr" {
		t.Error("the address is not by itself")
	}
}

// TestTheWarningStandsOnThreePagesAndOnNoPaper is of all states, in which nobody comes
// by the onion service but where it is said.
func TestTheWarningStandsOnThreePagesAndOnNoPaper(t *testing.T) {
	t.Parallel()
	warned := make(map[string]bool)
	for _, s := range webtest.Walk(t, nil, "en", "zh-Hans") {
		if !s.IsPage() {
			continue
		}
		path, asked := s.Asked.URL.Path, s.Asked.Method == http.MethodGet && s.Status == http.StatusOK && s.Asked.Host != webtest.Onion
		want := asked && slices.Contains([]string{"/", "/tip", "/thread"}, path)
		notes := parse(t, s.Body).all(func(n *node) bool { return n.attr["role"] == "note" })
		if (len(notes) == 1) != want {
			t.Errorf("%v: it has %d warnings", s, len(notes))
		}
		for _, n := range notes {
			warned[path] = true
			if !slices.Contains(strings.Fields(n.attr["class"]), "no-print") {
				t.Errorf("%v: the warning is printed", s)
			}
		}
	}
	if len(warned) != 3 {
		t.Errorf("warned on %v", warned)
	}
}

// TestOnionLocationNamesOurOwnPathsOnly leaves out whatever somebody may have typed or
// sent.
func TestOnionLocationNamesOurOwnPathsOnly(t *testing.T) {
	s := siteAt(t, webtest.Onion)
	s.SetSchedules(shipped(t, "schedule.toml"))
	for target, want := range map[string]string{
		"/about": "/about", "/reward": "/reward", "/reward?scale=off-book-funds-2009&amount=100000": "/reward", "/tip?channel=bribery": "/tip",
		"/abandon%20abandon%20about": "", "/none": "", "/thread/message": "", "/healthz": "", "/robots.txt": "", "/reward.json": "",
	} {
		if want != "" {
			want = "http://" + webtest.Onion + want
		}
		for _, method := range []string{"GET", "HEAD"} {
			if got := s.as(t, "tips.example.org", method, target).Header().Get("Onion-Location"); got != want {
				t.Errorf("%s %s has Onion-Location: %q, want %q", method, target, got, want)
			}
		}
	}
	for name, a := range map[string]*answer{
		"receipt": s.do(t, s.tipForm(t, secret).request()), "refused tip": s.do(t, s.tipForm(t, "").request()), "unknown code": s.do(t, s.codeForm(t, strings.Repeat("abandon ", 11)+"about").request()),
	} {
		if v := a.Header().Values("Onion-Location"); v != nil || warning(t, a) != nil {
			t.Errorf("%s: Onion-Location is %q", name, v)
		}
	}
}
