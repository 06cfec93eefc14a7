// Package webtest brings every page into every state that a source can see it
// in, without a line or a browser: the checks of pages go through them.
//
// A new page, or a new state of one, is a line of the table in states.go. Tests of
// package web fail if a route, a template or a branch of one is reached by no state.
package webtest

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tipbox/static"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
	"tipbox/tipbox/web"
)

// Onion is the address of the onion service of the states that have one.
const Onion = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"

// A State is a page as it was answered.
type State struct {
	Name   string // the same in every language
	Lang   string // that was asked for
	Asked  *http.Request
	Status int
	Header http.Header
	Body   []byte
}

func (s *State) String() string { return s.Lang + ": " + s.Name }

// IsPage reports whether it is a page, and not a file or data.
func (s *State) IsPage() bool { return strings.HasPrefix(s.Header.Get("Content-Type"), "text/html") }

// Languages are the tags of all languages that there are, English first.
func Languages(t testing.TB) []string {
	t.Helper()
	names, err := fs.Glob(static.Languages(), "*.toml")
	if err != nil {
		t.Fatal(err)
	}
	tags := []string{"en"}
	for _, name := range names {
		if tag := strings.TrimSuffix(name, ".toml"); tag != "en" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// Walk makes every state in each of the languages, on organisations whose handlers
// pages makes; nil is web.New. A state with another status than it must
// have fails the test.
func Walk(t testing.TB, pages func(web.Config) (http.Handler, error), languages ...string) []*State {
	t.Helper()
	if pages == nil {
		pages = web.New
	}
	w := newWorld(t, tipboxtest.Config{Proof: true})
	site, walked := w.walk(pages, states, languages)
	for _, lang := range languages {
		walked = append(walked, w.linked(site, lang, walked)...)
	}
	_, more := newWorld(t, tipboxtest.Config{Kind: tipbox.KindSuggestion}).walk(pages, suggestions, languages)
	return append(walked, more...)
}

func (w *world) walk(pages func(web.Config) (http.Handler, error), states []state, languages []string) (site http.Handler, walked []*State) {
	w.t.Helper()
	look, err := web.LoadLook(ownSite)
	if err != nil {
		w.t.Fatal(err)
	}
	site, err = pages(web.Config{Service: w.Service})
	if err != nil {
		w.t.Fatal(err)
	}
	ownSite, err := pages(web.Config{Service: w.Service, Look: look})
	if err != nil {
		w.t.Fatal(err)
	}
	onionSite, err := pages(web.Config{Service: w.Service, Onion: Onion})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range states {
		if s.before != nil {
			s.before(w)
		}
		handler := site
		if w.own {
			handler = ownSite
		}
		if w.onion {
			handler = onionSite
		}
		for _, lang := range languages {
			r := s.ask(w, lang)
			state := answer(handler, s.name, lang, r)
			if state.Status != s.status {
				w.t.Fatalf("%v: %s %s has the status %d, not %d:\n%.9000s", state, r.Method, r.URL, state.Status, s.status, state.Body)
			}
			walked = append(walked, state)
		}
		w.store.broken, w.full, w.own, w.onion = "", false, false, false
	}
	return site, walked
}

func answer(handler http.Handler, name, lang string, r *http.Request) *State {
	out := httptest.NewRecorder()
	handler.ServeHTTP(out, r)
	return &State{name, lang, r, out.Code, out.Result().Header, out.Body.Bytes()}
}

var link = regexp.MustCompile(`<a [^>]*href="(/[^"?#]*)`)

// linked are the pages that others lead to, and that are in no line of the table:
// those of the site's own texts.
func (w *world) linked(handler http.Handler, lang string, walked []*State) (found []*State) {
	w.t.Helper()
	seen := make(map[string]bool)
	for _, s := range walked {
		if s.Asked.Method == http.MethodGet {
			seen[s.Asked.URL.Path] = true
		}
	}
	for queue := slices.Clone(walked); len(queue) > 0; queue = queue[1:] {
		if queue[0].Lang != lang || !queue[0].IsPage() {
			continue
		}
		for _, match := range link.FindAllStringSubmatch(string(queue[0].Body), -1) {
			path := match[1]
			if seen[path] {
				continue
			}
			seen[path] = true
			s := answer(handler, "page "+path, lang, get(path)(w, lang))
			if s.Status != http.StatusOK {
				w.t.Errorf("%v: %v leads to it, and it has the status %d", s, queue[0], s.Status)
				continue
			}
			found, queue = append(found, s), append(queue, s)
		}
	}
	return found
}
