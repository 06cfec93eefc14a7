package desk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
)

// Config is what the API needs. Service is required.
type Config struct {
	Service *tipbox.Service
	Log     *slog.Logger // discarded if nil
}

type server struct {
	service *tipbox.Service
	log     *slog.Logger
}

// New returns the handler of the desk listener. It serves only over
// connections of ServerTLS.
func New(cfg Config) http.Handler {
	s := &server{cfg.Service, cfg.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	r := mux.NewRouter().UseEncodedPath().SkipClean(true)
	v1 := r.PathPrefix("/v1").Subrouter()
	v1.Handle("/roster", s.handle(s.getRoster)).Methods("GET")
	v1.Handle("/inbox", s.handle(s.getInbox)).Methods("GET")
	v1.Handle("/tips/{tip}", s.handle(s.getTip)).Methods("GET")
	v1.Handle("/tips/{tip}/blobs/{blob}", s.handle(s.getBlob)).Methods("GET")
	s.awardRoutes(v1)
	s.paymentRoutes(v1)
	v1.Handle("/tips/{tip}/events", s.handle(s.postEvent)).Methods("POST")
	v1.Handle("/figures", s.handle(s.getFigures)).Methods("GET")
	v1.Handle("/sample", s.handle(s.getSample)).Methods("GET")
	noRoute := s.handle(func(http.ResponseWriter, *http.Request, *roster.Member) error {
		return fmt.Errorf("no such call: %w", tipbox.ErrNotFound)
	})
	r.NotFoundHandler, r.MethodNotAllowedHandler = noRoute, noRoute
	return r
}

const (
	maxRequest  = 1 << 20 // bytes of a request's body
	requestTime = 2 * time.Minute
)

// handle finds out which member is asking, as the roster stands now, and
// renders errors.
func (s *server) handle(f func(http.ResponseWriter, *http.Request, *roster.Member) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set(rosterHeader, rosterMark(s.service.Roster()))
		control := http.NewResponseController(w)
		control.SetReadDeadline(time.Now().Add(requestTime))
		control.SetWriteDeadline(time.Now().Add(requestTime))
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		defer s.aborted(r)
		member, err := s.member(r)
		if err == nil {
			err = f(w, r, member)
		}
		if err != nil {
			s.fail(w, r, err)
		}
	})
}

// aborted is deferred: it turns a panic into one that only ends the connection,
// and tells the operator where it was.
func (s *server) aborted(r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p != http.ErrAbortHandler {
		s.log.Error("a call of the desk failed: please report this", "route", route(r))
	}
	panic(http.ErrAbortHandler)
}

func (s *server) member(r *http.Request) (*roster.Member, error) {
	key, err := peerKey(r.TLS)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", tipbox.ErrForbidden, err)
	}
	if m := s.service.Roster().MemberByKey(key); m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("this key is no longer in the roster: %w", tipbox.ErrForbidden)
}

func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, tipbox.ErrInvalid) {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	for _, k := range kinds() {
		if errors.Is(err, k.err) {
			s.send(w, k.status, Error{k.code, err.Error()})
			return
		}
	}
	if !errors.Is(err, context.Canceled) {
		s.log.Error("a call of the desk failed", "route", route(r), "error", err)
	}
	s.send(w, http.StatusInternalServerError, Error{codeInternal, errInternal.Error()})
}

func route(r *http.Request) string {
	if current := mux.CurrentRoute(r); current != nil {
		if path, err := current.GetPathTemplate(); err == nil {
			return path
		}
	}
	return "(none)"
}

func (s *server) send(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// An error here is a client that went away.
	io.Copy(newMoving(w), bytes.NewReader(body))
	return nil
}

func (s *server) getRoster(w http.ResponseWriter, _ *http.Request, _ *roster.Member) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write(s.service.SignedRoster())
	return nil
}

func (s *server) getInbox(w http.ResponseWriter, r *http.Request, m *roster.Member) error {
	limit := tipbox.MaxPage
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("limit %.20q is not a number above 0: %w", text, tipbox.ErrInvalid)
		}
		limit = n
	}
	query := r.URL.Query()
	filter := tipbox.InboxFilter{
		Channel: query.Get("channel"), State: tipbox.State(query.Get("state")), Owner: query.Get("owner"),
		Over: query.Has("over"), ByDue: query.Has("due"),
	}
	items, next, err := s.service.Inbox(r.Context(), m, filter, query.Get("after"), limit)
	if err != nil {
		return err
	}
	return s.send(w, http.StatusOK, InboxPage{items, next})
}

func (s *server) getTip(w http.ResponseWriter, r *http.Request, m *roster.Member) error {
	file, err := s.service.Tip(r.Context(), m, mux.Vars(r)["tip"])
	if err != nil {
		return err
	}
	return s.send(w, http.StatusOK, file)
}

func (s *server) getBlob(w http.ResponseWriter, r *http.Request, m *roster.Member) error {
	vars := mux.Vars(r)
	blob, err := s.service.Attachment(r.Context(), m, vars["tip"], vars["blob"])
	if err != nil {
		return err
	}
	defer blob.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(newMoving(w), r, "", time.Time{}, io.NewSectionReader(blob, 0, blob.Size()))
	return nil
}

func (s *server) getFigures(w http.ResponseWriter, r *http.Request, m *roster.Member) error {
	query := r.URL.Query()
	figures, err := s.service.Figures(r.Context(), m, query.Get("from"), query.Get("to"))
	if err != nil {
		return err
	}
	return s.send(w, http.StatusOK, figures)
}

func (s *server) getSample(w http.ResponseWriter, r *http.Request, m *roster.Member) error {
	list, err := s.service.Sample(r.Context(), m, r.URL.Query().Get("month"))
	if err != nil {
		return err
	}
	return s.send(w, http.StatusOK, list)
}

// moving gives a slow line time as long as it moves.
type moving struct {
	http.ResponseWriter
	control *http.ResponseController
}

func newMoving(w http.ResponseWriter) *moving { return &moving{w, http.NewResponseController(w)} }

// Write writes in pieces, each with time of its own.
func (m *moving) Write(p []byte) (n int, err error) {
	const piece = 32 << 10
	for len(p) > 0 && err == nil {
		m.control.SetWriteDeadline(time.Now().Add(requestTime))
		var wrote int
		wrote, err = m.ResponseWriter.Write(p[:min(piece, len(p))])
		n, p = n+wrote, p[wrote:]
	}
	return n, err
}

func (s *server) postEvent(w http.ResponseWriter, r *http.Request, m *roster.Member) error {
	var event tipbox.SealedEvent
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&event); err != nil {
		return fmt.Errorf("the event is not as it must be: %w: %w", tipbox.ErrInvalid, err)
	}
	if err := s.service.Append(r.Context(), m, mux.Vars(r)["tip"], []byte(event.Note), event.Sealed); err != nil {
		return err
	}
	return s.send(w, http.StatusCreated, struct{}{})
}
