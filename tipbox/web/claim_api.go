package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/gorilla/mux"

	"tipbox/tipbox"
)

func (s *site) claimRoutes(r *mux.Router) {
	r.Handle("/claim.json", s.handle(s.postClaimJSON)).Methods("POST")
}

const maxClaim = 512 << 10 // bytes of a request

// postClaimJSON is for a source's own tool, which keeps the receipt code, and with it
// what vouchers are made of, to itself: it posts the locator of the mailbox and, to
// claim an award, what it has signed. The answer is a tipbox.ClaimFile.
func (s *site) postClaimJSON(w http.ResponseWriter, r *http.Request) error {
	asked, err := s.readClaim(w, r)
	var file *tipbox.ClaimFile
	if err == nil && asked.Note != "" {
		err = s.service.ClaimSigned(r.Context(), [32]byte(asked.Locator), []byte(asked.Note), asked.Details)
	}
	if err == nil {
		file, err = s.service.Claims(r.Context(), [32]byte(asked.Locator))
	}
	if err != nil {
		status, word := s.refuseClaim(r, err)
		return s.sendJSON(w, status, map[string]string{"error": word})
	}
	return s.sendJSON(w, http.StatusOK, file)
}

func (s *site) readClaim(w http.ResponseWriter, r *http.Request) (*tipbox.ClaimRequest, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, errForm
	}
	in := s.newBody(w, r)
	data, err := io.ReadAll(io.LimitReader(keeping{in, in}, maxClaim+1))
	if err != nil {
		return nil, errForm
	}
	if len(data) > maxClaim {
		return nil, tipbox.ErrTooLong
	}
	asked := new(tipbox.ClaimRequest)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if dec.Decode(asked) != nil || dec.More() || len(asked.Locator) != 32 {
		return nil, errForm
	}
	return asked, nil
}

// refuseClaim is the table of what a source's tool is told: a status, and a word that
// it knows. What is not in the table is our fault or the store's, and is logged.
func (s *site) refuseClaim(r *http.Request, err error) (status int, word string) {
	switch {
	case errors.Is(err, errForm):
		return http.StatusBadRequest, "form"
	case errors.Is(err, tipbox.ErrNoThread):
		return http.StatusNotFound, "nothread"
	case errors.Is(err, tipbox.ErrConflict):
		return http.StatusConflict, "conflict"
	case errors.Is(err, tipbox.ErrClaim):
		return http.StatusUnprocessableEntity, "claim"
	case errors.Is(err, tipbox.ErrInvalid):
		return http.StatusUnprocessableEntity, "invalid"
	case errors.Is(err, tipbox.ErrTooLong):
		return http.StatusRequestEntityTooLarge, "toolong"
	case errors.Is(err, tipbox.ErrFull):
		return http.StatusInsufficientStorage, "full"
	}
	if r.Context().Err() == nil { // else the client went away, which is no fault
		s.log.Error("nothing was kept", "route", route(r), "error", err)
	}
	return http.StatusServiceUnavailable, "store"
}

// sendJSON sends a document.
func (s *site) sendJSON(w http.ResponseWriter, status int, v any) error {
	doc, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.send(w, status, "application/json", doc)
}
