package web

import (
	"errors"
	"html/template"
	"net/http"

	"github.com/gorilla/mux"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
)

func (s *site) proofRoutes(r *mux.Router) {
	r.Handle("/thread/proof", s.handle(s.postProof)).Methods("POST")
}

// A proofView is a proof that a page offers.
type proofView struct {
	Session string
	Day     template.HTML // of receipt
	Witness bool          // a member has acknowledged the tip
}

// threadProof is the proof that a thread's page offers, nil if none.
func (s *site) threadProof(p *page, code *receipt.Code, t *tipbox.Thread) *proofView {
	if !t.Proof {
		return nil
	}
	return &proofView{s.service.Session(code), p.Day(t.Day), t.Acknowledged != ""}
}

// postProof sends a proof of the day as a text file. Its name says nothing.
func (s *site) postProof(w http.ResponseWriter, r *http.Request) error {
	sent, err := s.readForm(w, r, nil)
	p := s.newPageIn(r, sent.Get("lang"), "thread.title")
	var code *receipt.Code
	if err == nil {
		code, err = s.service.OpenSession(sent.Get("session"))
	}
	var proof *tipbox.Proof
	var note []byte
	if err == nil {
		proof, note, err = s.service.Proof(r.Context(), code)
	}
	if err != nil {
		return s.refuseProof(w, r, p, err)
	}
	title, _ := p.pick(s.channel(proof.Channel).Title)
	text := p.T("proof.file.title") + "\n\n" +
		p.T("proof.file.what", title, p.Organisation, p.Date(proof.Day)) + "\n" +
		p.T("proof.file.check") + "\n\n" + string(note)
	return s.sendFile(w, r, "note.txt", text)
}

func (s *site) refuseProof(w http.ResponseWriter, r *http.Request, p *page, err error) error {
	var status int
	switch {
	case errors.Is(err, tipbox.ErrExpired):
		status, p.Notice = http.StatusConflict, p.bad("error.download")
	case errors.Is(err, tipbox.ErrNotFound): // the site offers it no more
		status, p.Notice = http.StatusNotFound, p.bad("error.download")
	default:
		if status, _ = s.refuse(r, p, err); status == http.StatusServiceUnavailable {
			p.Notice = p.bad("error.thread")
		}
	}
	p.Data = codeForm{}
	return s.render(w, status, "code", p)
}
