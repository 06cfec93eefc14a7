package web

import (
	"errors"
	"net/http"

	"github.com/gorilla/mux"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
)

func (s *site) eraseRoutes(r *mux.Router) {
	r.Handle("/thread/erase", s.handle(s.postErase)).Methods("POST")
}

// postErase erases a tip for its source, as long as nobody has read it.
func (s *site) postErase(w http.ResponseWriter, r *http.Request) error {
	sent, err := s.readForm(w, r, nil)
	p := s.newPageIn(r, sent.Get("lang"), "thread.title")
	var code *receipt.Code
	if err == nil {
		code, err = s.codeOf(sent.Values)
	}
	if err == nil && sent.Get("sure") == "" {
		p.Notice = p.bad("erase.unsure")
		return s.renderThread(w, r, http.StatusUnprocessableEntity, p, code, form{})
	}
	if err == nil {
		err = s.service.EraseOwn(r.Context(), code)
	}
	status := http.StatusOK
	switch {
	case err == nil:
		p.Notice = &notice{Text: p.T("erase.done")}
	case errors.Is(err, tipbox.ErrForbidden):
		p.Notice = p.bad("erase.read")
		return s.renderThread(w, r, http.StatusConflict, p, code, form{})
	default:
		status, _ = s.refuse(r, p, err)
		if errors.Is(err, tipbox.ErrExpired) {
			p.Notice = p.bad("erase.expired")
		}
	}
	p.Data = codeForm{}
	return s.render(w, status, "code", p)
}
