package web

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

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
	NoFiles    bool // there is no room for any
	FilesAgain bool
}

// A reader is a person or a unit that can be left out.
type reader struct {
	Value  string
	Label  string
	IsUnit bool
	Does   string // key of what somebody does who does not read the tip at once; "" for who does
}

func (s *site) getTip(w http.ResponseWriter, r *http.Request) error {
	token, err := s.service.FormToken(r.Context())
	if err != nil {
		return err
	}
	p := s.newPage(r, "tip.title")
	chosen := r.URL.Query().Get("channel")
	if slices.ContainsFunc(s.service.Channels(), func(c tipbox.Channel) bool { return c.ID == chosen }) {
		p.kept = url.Values{"channel": {chosen}}
	}
	return s.renderTip(w, http.StatusOK, p, token, form{Values: p.kept})
}

// renderTip shows the form, filled with what was sent, if anything was. Files
// cannot be given back to a browser.
func (s *site) renderTip(w http.ResponseWriter, status int, p *page, token string, sent form) error {
	shown := tipForm{
		Token:      token,
		Channels:   s.service.Channels(),
		Channel:    sent.Get("channel"),
		Text:       sent.Get("text"),
		LeaveOut:   make(map[string]bool),
		MaxText:    tipbox.MaxText,
		MaxFiles:   tipbox.MaxFiles,
		MaxFile:    p.size(s.service.MaxFile()),
		NoFiles:    !s.service.TakesFiles(),
		FilesAgain: sent.hadFiles,
	}
	if len(shown.Channels) == 1 {
		shown.Channel = shown.Channels[0].ID
	}
	for _, value := range sent.Values["leave-out"] {
		shown.LeaveOut[value] = true
	}
	var unit string
	for _, m := range s.service.Readers() {
		if m.Unit != "" && m.Unit != unit {
			unit = m.Unit
			shown.Readers = append(shown.Readers, reader{Value: tipbox.LeaveOutUnit(unit), Label: unit, IsUnit: true})
		}
		label := m.Title
		if label == "" {
			label = m.Name
		}
		does := ""
		switch {
		case len(m.Channels) > 0:
		case m.Decides:
			does = "tip.leaveout.decides"
		default:
			does = "tip.leaveout.reviews"
		}
		shown.Readers = append(shown.Readers, reader{Value: m.Name, Label: label, Does: does})
	}
	p.Data = shown
	return s.render(w, status, "tip", p)
}

func (s *site) postTip(w http.ResponseWriter, r *http.Request) error {
	draft, sent, err := s.receive(w, r, func(fields url.Values) (*tipbox.Draft, error) {
		return s.service.NewTip(r.Context(), fields.Get("token"))
	})
	defer draft.Abort()
	p := s.newPageIn(r, sent.Get("lang"), "tip.title")
	var code *receipt.Code
	if err == nil {
		code, err = s.service.Submit(r.Context(), draft, tipbox.Submission{
			Channel:  sent.Get("channel"),
			LeaveOut: sent.Values["leave-out"],
			Text:     sent.Get("text"),
			Lang:     p.Tag,
		})
	}
	if err == nil {
		return s.renderReceipt(w, p, code, sent.Get("channel"))
	}
	status, again := s.refuse(r, p, err)
	token := sent.Get("token")
	if again {
		// Without a new token the old one stays: the text is worth more.
		if fresh, err := s.service.FormToken(r.Context()); err == nil {
			token = fresh
		}
	}
	return s.renderTip(w, status, p, token, sent)
}

// receive reads a form into a draft, which begin makes from the fields before the
// first file. Abort the draft, also after an error.
func (s *site) receive(w http.ResponseWriter, r *http.Request, begin func(url.Values) (*tipbox.Draft, error)) (draft *tipbox.Draft, sent form, err error) {
	begun := func(fields url.Values) (err error) {
		if draft == nil {
			draft, err = begin(fields)
		}
		return err
	}
	sent, err = s.readForm(w, r, func(fields url.Values, name, mediaType string, content io.Reader) error {
		if err := begun(fields); err != nil {
			return err
		}
		return draft.Attach(r.Context(), name, mediaType, content)
	})
	if err == nil {
		err = begun(sent.Values)
	}
	return draft, sent, err
}

func (s *site) renderReceipt(w http.ResponseWriter, p *page, code *receipt.Code, channel string) error {
	code2d, err := drawQR(strings.ReplaceAll(code.Digits(), " ", ""))
	if err != nil {
		return err
	}
	session := s.service.Session(code)
	var proof *proofView
	if s.service.OffersProof(channel) {
		proof = &proofView{Session: session, Day: p.Day(s.service.Today())}
	}
	p.Title = "receipt.title"
	p.Data = struct {
		Words, WordsLang, Digits, Session, Address string
		QR                                         *qrCode // digits, run together
		Proof                                      *proofView
	}{code.Words(p.Tag), receipt.WordsLanguage(p.Tag), code.Digits(), session, p.T("nav.thread"), code2d, proof}
	return s.render(w, http.StatusOK, "receipt", p)
}
