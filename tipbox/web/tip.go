package web

import (
	"io"
	"net/http"
	"net/url"

	"github.com/gorilla/mux"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
)

func (s *site) tipRoutes(r *mux.Router) {
	r.Handle("/tip", s.handle(s.getTip)).Methods("GET", "HEAD")
	r.Handle("/tip", s.handle(s.postTip)).Methods("POST")
}

// tipForm is what the form shows, at first and after a refusal.
type tipForm struct {
	Token      string
	Channels   []tipbox.Channel
	Channel    string
	Text       string
	Readers    []reader
	LeaveOut   map[string]bool
	MaxText    int
	MaxFiles   int
	MaxFile    string
	FilesAgain bool
}

// A reader is a person or a unit that can be left out.
type reader struct {
	Value  string
	Label  string
	IsUnit bool
}

func (s *site) getTip(w http.ResponseWriter, r *http.Request) error {
	token, err := s.service.FormToken(r.Context())
	if err != nil {
		return err
	}
	p := s.newPage(r, "tip.title")
	return s.renderTip(w, http.StatusOK, p, token, nil, false)
}

// renderTip shows the form, filled with the fields. HadFiles says that files
// were chosen, which a browser cannot be given back.
func (s *site) renderTip(w http.ResponseWriter, status int, p *page, token string, fields url.Values, hadFiles bool) error {
	form := tipForm{
		Token:      token,
		Channels:   s.service.Channels(),
		Channel:    fields.Get("channel"),
		Text:       fields.Get("text"),
		LeaveOut:   make(map[string]bool),
		MaxText:    tipbox.MaxText,
		MaxFiles:   tipbox.MaxFiles,
		MaxFile:    p.size(s.service.MaxFile()),
		FilesAgain: hadFiles,
	}
	if len(form.Channels) == 1 {
		form.Channel = form.Channels[0].ID
	}
	for _, value := range fields["leave-out"] {
		form.LeaveOut[value] = true
	}
	var unit string
	for _, m := range s.service.Readers() {
		if m.Unit != "" && m.Unit != unit {
			unit = m.Unit
			form.Readers = append(form.Readers, reader{tipbox.LeaveOutUnit(unit), unit, true})
		}
		label := m.Title
		if label == "" {
			label = m.Name
		}
		form.Readers = append(form.Readers, reader{Value: m.Name, Label: label})
	}
	p.Data = form
	return s.render(w, status, "tip", p)
}

func (s *site) postTip(w http.ResponseWriter, r *http.Request) error {
	var draft *tipbox.Draft
	begin := func(fields url.Values) (err error) {
		if draft == nil {
			draft, err = s.service.NewTip(r.Context(), fields.Get("token"))
		}
		return err
	}
	defer func() {
		if draft != nil {
			draft.Abort()
		}
	}()
	hadFiles := false
	fields, err := readForm(w, r, func(fields url.Values, name, mediaType string, content io.Reader) error {
		hadFiles = true
		if err := begin(fields); err != nil {
			return err
		}
		return draft.Attach(r.Context(), name, mediaType, content)
	})
	if err == nil {
		err = begin(fields)
	}
	var code *receipt.Code
	if err == nil {
		code, err = s.service.Submit(r.Context(), draft, tipbox.Submission{
			Channel:  fields.Get("channel"),
			LeaveOut: fields["leave-out"],
			Text:     fields.Get("text"),
			Lang:     fields.Get("lang"),
		})
	}
	if err == nil {
		return s.renderReceipt(w, s.newPageIn(r, fields.Get("lang"), "receipt.title"), code)
	}
	p := s.newPageIn(r, fields.Get("lang"), "tip.title")
	status, again := s.refuse(r, p, err)
	token := fields.Get("token")
	if again {
		if token, err = s.service.FormToken(r.Context()); err != nil {
			return err
		}
	}
	return s.renderTip(w, status, p, token, fields, hadFiles)
}

func (s *site) renderReceipt(w http.ResponseWriter, p *page, code *receipt.Code) error {
	p.Data = struct {
		Words, WordsLang, Digits, Session, Address string
	}{code.Words(p.Tag), p.Tag, code.Digits(), s.service.Session(code), p.T("nav.thread")}
	return s.render(w, http.StatusOK, "receipt", p)
}
