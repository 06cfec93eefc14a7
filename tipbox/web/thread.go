package web

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"github.com/gorilla/mux"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
)

func (s *site) threadRoutes(r *mux.Router) {
	r.Handle("/thread", s.handle(s.getThread)).Methods("GET", "HEAD")
	r.Handle("/thread", s.handle(s.postThread)).Methods("POST")
	r.Handle("/thread/message", s.handle(s.postMessage)).Methods("POST")
	r.Handle("/thread/receipt", s.handle(s.postReceipt)).Methods("POST")
}

// codeForm asks for the receipt code. With Keep it also keeps a message that
// could not be sent.
type codeForm struct {
	Code     string
	Keep     bool
	Practise bool // it was asked for to try a note of it
	messageForm
}

// messageForm is what the fields of a message show.
type messageForm struct {
	Once       string
	Text       string
	MaxText    int
	MaxFiles   int
	MaxFile    string
	NoFiles    bool
	FilesAgain bool
}

func (s *site) messageForm(p *page, sent form) messageForm {
	once := sent.Get("once")
	if once == "" {
		once = tipbox.NewNonce()
	}
	return messageForm{
		Once: once, Text: sent.Get("text"), FilesAgain: sent.hadFiles,
		MaxText: tipbox.MaxText, MaxFiles: tipbox.MaxFiles, MaxFile: p.size(s.service.MaxFile()), NoFiles: !s.service.TakesFiles(),
	}
}

func (s *site) getThread(w http.ResponseWriter, r *http.Request) error {
	p := s.newPage(r, "thread.title")
	p.Data = codeForm{}
	return s.render(w, http.StatusOK, "code", p)
}

func (s *site) postThread(w http.ResponseWriter, r *http.Request) error {
	sent, err := s.readForm(w, r, nil)
	p := s.newPageIn(r, sent.Get("lang"), "thread.yours")
	var code *receipt.Code
	if err == nil {
		code, err = receipt.Parse(sent.Get("code"))
	}
	practise := sent.Get("practise") != ""
	if practise {
		p.Notice = &notice{Text: p.T("receipt.practise.done")}
	}
	if err == nil {
		err = s.renderThread(w, r, http.StatusOK, p, code, form{})
	}
	if err == nil {
		return nil
	}
	status, _ := s.refuse(r, p, err)
	if status == http.StatusServiceUnavailable {
		p.Notice = p.bad("error.thread")
	}
	p.Title, p.Data = "thread.title", codeForm{Code: sent.Get("code"), Practise: practise}
	return s.render(w, status, "code", p)
}

// renderThread shows the thread of a code, or the part of an award that it is for. An error means that nothing was
// shown yet. Sent is what was refused, if anything was.
func (s *site) renderThread(w http.ResponseWriter, r *http.Request, status int, p *page, code *receipt.Code, sent form) error {
	thread, err := s.service.Thread(r.Context(), code)
	if err != nil {
		return err
	}
	awards := s.awards(p, thread, code, sent)
	if thread.Part != 0 {
		p.Title, p.Data = "part.title", struct{ Awards []awardView }{awards}
		return s.render(w, status, "part", p)
	}
	channel := s.channel(thread.Channel)
	p.Title = "thread.yours"
	p.Data = struct {
		*tipbox.Thread
		promised
		Day          template.HTML
		LastUsed     template.HTML
		Messages     []messageView
		ChannelTitle template.HTML
		Session      string
		HasReply     bool
		CaseKey      string // of the state, as a source is told
		Awards       []awardView
		Proof        *proofView // nil if none is offered
		messageForm
	}{
		thread, p.promised(thread.Promised), p.Day(thread.Day), p.Day(thread.LastUsed), p.messages(thread.Messages), p.In(channel.Title), s.service.Session(code),
		slices.ContainsFunc(thread.Messages, func(m tipbox.ThreadMessage) bool { return m.From == tipbox.FromDesk }),
		stateKey(channel.Kind, thread.State),
		awards,
		s.threadProof(p, code, thread),
		s.messageForm(p, sent),
	}
	return s.render(w, status, "thread", p)
}

// promised are the days of a case as the page shows them.
type promised struct {
	AcknowledgeBy, Acknowledged, AnswerBy, Answered, Closed template.HTML
}

func (p *page) promised(days tipbox.Promised) promised {
	return promised{p.Day(days.AcknowledgeBy), p.Day(days.Acknowledged), p.Day(days.AnswerBy), p.Day(days.Answered), p.Day(days.Closed)}
}

// A messageView is a message as the page shows it.
type messageView struct {
	tipbox.ThreadMessage
	Day template.HTML
}

func (p *page) messages(messages []tipbox.ThreadMessage) (views []messageView) {
	for _, m := range messages {
		views = append(views, messageView{m, p.Day(m.Day)})
	}
	return views
}

// channel is the channel of an id. One that nobody reads any more has its id for a
// title.
func (s *site) channel(id string) tipbox.Channel {
	for _, c := range s.service.Channels() {
		if c.ID == id {
			return c
		}
	}
	return tipbox.Channel{ID: id, Title: map[string]string{"en": id}}
}

// stateKey is the key of what a source is told of a state, in a channel of that
// kind: who votes when is not for them.
func stateKey(kind string, s tipbox.State) string {
	if kind == tipbox.KindSuggestion {
		return suggestionKey(s)
	}
	switch s {
	case tipbox.StateReceived:
		return "case.received"
	case tipbox.StateAcknowledged:
		return "case.acknowledged"
	case tipbox.StateAccepted, tipbox.StateAssigned, tipbox.StateInvestigating:
		return "case.working"
	case tipbox.StateAwaiting:
		return "case.awaiting"
	case tipbox.StateFound:
		return "case.found"
	case tipbox.StateAnswered:
		return "case.answered"
	case tipbox.StateClosed:
		return "case.closed"
	case tipbox.StateDeclined:
		return "case.declined"
	case tipbox.StateReverifying, tipbox.StateReverified:
		return "case.reverifying"
	}
	return ""
}

// suggestionKey is stateKey for suggestions.
func suggestionKey(s tipbox.State) string {
	switch s {
	case tipbox.StateReceived:
		return "suggestion.received"
	case tipbox.StateAcknowledged:
		return "suggestion.screened"
	case tipbox.StateAccepted, tipbox.StateAssigned, tipbox.StateInvestigating, tipbox.StateFound:
		return "suggestion.adopted"
	case tipbox.StateAwaiting:
		return "suggestion.awaiting"
	case tipbox.StateAnswered:
		return "suggestion.answered"
	case tipbox.StateClosed:
		return "suggestion.done"
	case tipbox.StateDeclined:
		return "suggestion.declined"
	case tipbox.StateReverifying, tipbox.StateReverified:
		return "suggestion.again"
	}
	return ""
}

func (s *site) postMessage(w http.ResponseWriter, r *http.Request) error {
	draft, sent, err := s.receive(w, r, func(fields url.Values) (*tipbox.Draft, error) {
		code, err := s.codeOf(fields)
		if err != nil {
			return nil, err
		}
		return s.service.Reopen(r.Context(), code)
	})
	defer draft.Abort()
	p := s.newPageIn(r, sent.Get("lang"), "thread.yours")
	if err == nil {
		err = s.service.FollowUp(r.Context(), draft, sent.Get("once"), p.Tag, sent.Get("text"))
	}
	if err == nil {
		p.Notice = &notice{Text: p.T("notice.message")}
		if code, err := s.codeOf(sent.Values); err == nil && s.renderThread(w, r, http.StatusOK, p, code, form{}) == nil {
			return nil
		}
		// The message is kept, which is what has to be said, thread or none.
		p.Title, p.Data = "thread.title", codeForm{}
		return s.render(w, http.StatusOK, "code", p)
	}
	status, _ := s.refuse(r, p, err)
	if errors.Is(err, tipbox.ErrExpired) {
		p.Notice = p.bad("error.session")
	}
	// Perhaps the message is bad, and not the code.
	if code, err := s.codeOf(sent.Values); err == nil && s.renderThread(w, r, status, p, code, sent) == nil {
		return nil
	}
	p.Title = "thread.title"
	p.Data = codeForm{Code: sent.Get("code"), Keep: true, messageForm: s.messageForm(p, sent)}
	return s.render(w, status, "code", p)
}

// codeOf returns the receipt code of a message: from the session of the page
// it was written on, or typed anew.
func (s *site) codeOf(fields url.Values) (*receipt.Code, error) {
	if typed := fields.Get("code"); typed != "" {
		return receipt.Parse(typed)
	}
	return s.service.OpenSession(fields.Get("session"))
}

// postReceipt sends the receipt as a text file. Its name says nothing.
func (s *site) postReceipt(w http.ResponseWriter, r *http.Request) error {
	sent, err := s.readForm(w, r, nil)
	p := s.newPageIn(r, sent.Get("lang"), "thread.title")
	var code *receipt.Code
	if err == nil {
		code, err = s.service.OpenSession(sent.Get("session"))
	}
	if err != nil {
		status, _ := s.refuse(r, p, err)
		if errors.Is(err, tipbox.ErrExpired) {
			p.Notice = p.bad("error.download")
		}
		p.Data = codeForm{}
		return s.render(w, status, "code", p)
	}
	text := p.T("receipt.file.title") + "\n\n" +
		p.T("receipt.file.words") + "\n" + code.Words(p.Tag) + "\n\n" +
		p.T("receipt.file.digits") + "\n" + code.Digits() + "\n\n" +
		p.T("receipt.file.keep") + "\n"
	return s.sendFile(w, r, "receipt.txt", text)
}
