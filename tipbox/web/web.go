// Package web serves the pages for sources and the public.
//
// What it guarantees:
//
//   - A page is one response: no script, no cookie, no second request, nothing
//     from a third party. Everything works as plain HTML forms.
//   - Whatever is refused, the page says what to do next and keeps what was
//     typed. A refused upload is read to its end, within a bound, so that the
//     person sees the page.
//   - Nothing about a source reaches the log: no address, no header, no text, no
//     name of a file. What is logged is the route and the service's own error.
//   - Attachments stream from the socket into the service; no part of a request
//     touches the disk in the clear.
//   - Unknown, expired and erased receipt codes get the same page.
//   - All that a source is answered is of a few lengths: see pad.go.
package web

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"tipbox/static"
	"tipbox/tipbox"
)

// Config is what the pages need. Service is required.
type Config struct {
	Service *tipbox.Service
	Log     *slog.Logger // discarded if nil
	Look    *Look        // that of the default site if nil
	Onion   string       // the onion service that leads here, such as "….onion"; none if empty
}

// site serves the pages.
type site struct {
	service *tipbox.Service
	log     *slog.Logger
	blocks  chan []byte
	heavies heavies
	look    *Look
	onion   string
	*embedded
}

// embedded is what the program carries, parsed.
type embedded struct {
	pages *pages
	langs *languages
}

// loadEmbedded parses it once for the process.
var loadEmbedded = sync.OnceValues(func() (*embedded, error) {
	langs, err := loadLanguages()
	if err != nil {
		return nil, err
	}
	pages, err := loadPages()
	return &embedded{pages, langs}, err
})

// Preload does what New would otherwise wait for. A program that has other
// things to do before New calls it in a goroutine.
func Preload() { loadEmbedded() }

// New returns the handler of the source listener.
func New(cfg Config) (http.Handler, error) {
	e, err := loadEmbedded()
	if err != nil {
		return nil, err
	}
	s, err := newSite(cfg, e)
	if err != nil {
		return nil, err
	}
	return s.guard(s.routes()), nil
}

func newSite(cfg Config, e *embedded) (*site, error) {
	s := &site{service: cfg.Service, log: cfg.Log, look: cfg.Look, onion: cfg.Onion, blocks: newBlocks(8), embedded: e}
	if s.look == nil {
		look, err := LoadLook(static.Site(""))
		if err != nil {
			return nil, fmt.Errorf("default site: %w", err)
		}
		s.look = look
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

func (s *site) routes() *mux.Router {
	r := s.fixedRoutes()
	s.textRoutes(r)
	r.NotFoundHandler = s.handle(func(w http.ResponseWriter, r *http.Request) error { return errNoPage })
	r.MethodNotAllowedHandler = s.handle(func(w http.ResponseWriter, req *http.Request) error {
		w.Header().Set("Allow", allowed(r, req.URL))
		return errMethod
	})
	return r
}

// fixedRoutes are those of the program, whatever the site has besides.
func (s *site) fixedRoutes() *mux.Router {
	r := mux.NewRouter().SkipClean(true) // no redirects
	s.homeRoutes(r)
	s.rewardRoutes(r)
	s.tipRoutes(r)
	s.threadRoutes(r)
	s.proofRoutes(r)
	s.eraseRoutes(r)
	s.awardRoutes(r)
	s.claimRoutes(r)
	s.robotRoutes(r)
	r.Handle("/healthz", s.handle(func(w http.ResponseWriter, r *http.Request) error {
		return s.sendBare(w, http.StatusOK, plainType, []byte("ok\n"))
	})).Methods("GET", "HEAD")
	return r
}

// allowed lists the methods that there are for a path.
func allowed(r *mux.Router, u *url.URL) string {
	var methods []string
	for _, method := range []string{"GET", "HEAD", "POST"} {
		var match mux.RouteMatch
		if r.Match(&http.Request{Method: method, URL: u}, &match) && match.MatchErr == nil {
			methods = append(methods, method)
		}
	}
	return strings.Join(methods, ", ")
}

var (
	errNoPage = errors.New("no such page")
	errMethod = errors.New("method not allowed")
)

// guard sets the headers of every answer.
func (s *site) guard(next http.Handler) http.Handler {
	headers := map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src '" + s.look.styleHash + "'; img-src data:; " +
			"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Embedder-Policy": "require-corp",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Cache-Control":                "no-store",
		"Referrer-Policy":              "no-referrer",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"X-DNS-Prefetch-Control":       "off",
		"X-Robots-Tag":                 "noindex, nofollow",
		"Permissions-Policy": "accelerometer=(), camera=(), clipboard-read=(), display-capture=(), geolocation=(), gyroscope=(), " +
			"magnetometer=(), microphone=(), midi=(), payment=(), usb=()",
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		next.ServeHTTP(w, r)
	})
}

// aborted is deferred: it turns a panic into one that only ends the connection.
// The value of a panic could hold anything, so it is not logged.
func (s *site) aborted(r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p != http.ErrAbortHandler {
		s.log.Error("a page failed: please report this", "route", route(r))
	}
	panic(http.ErrAbortHandler)
}

// route is the path as it stands in the table of routes, never as it was asked.
func route(r *http.Request) string {
	if current := mux.CurrentRoute(r); current != nil {
		if path, err := current.GetPathTemplate(); err == nil {
			return path
		}
	}
	return "(none)"
}

// handle makes a handler of a function that may fail. Errors that a form's own
// page can explain are the form's; what comes here is shown as a page of its
// own.
func (s *site) handle(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.aborted(r)
		err := f(w, r)
		if err == nil {
			return
		}
		p := s.newPage(r, "error.internal")
		status := http.StatusInternalServerError
		switch {
		case errors.Is(err, errNoPage):
			p.Title, status, p.Data = "error.notfound", http.StatusNotFound, p.T("error.notfound.text")
			p.Path, p.Languages = "", nil
		case errors.Is(err, errMethod):
			p.Title, status, p.Data = "error.method", http.StatusMethodNotAllowed, p.T("error.method.text")
			p.Path, p.Languages = "", nil
		default:
			s.log.Error("a page failed", "route", route(r), "error", err)
			p.Data = p.T("error.internal.text")
		}
		s.render(w, status, "error", p)
	})
}

// writeTime bounds how long an answer may take to be sent.
const writeTime = 2 * time.Minute
