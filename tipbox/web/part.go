package web

import (
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strconv"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
)

// sharing is what the page of an award says of its parts.
type sharing struct {
	Currency string // the symbol
	Unit     string // an amount, as are
	Most     string //
	Typed    string // likewise, what was refused
	Wrong    string // and why
	Shared   []sharedView
}

// A sharedView is a part that was made.
type sharedView struct {
	Number, Index int
	Text          string
}

func (p *page) sharing(a tipbox.ThreadAward, sent form) sharing {
	s := sharing{Currency: p.symbol(a.Schedule), Unit: p.money(a.Schedule.Unit, a.Schedule), Most: p.money(a.MostPart(), a.Schedule)}
	if sent.wrong != "" && sent.Get("award") == strconv.Itoa(a.Number) {
		s.Typed, s.Wrong = shorten(graphic(sent.Get("amount"))), sent.wrong
	}
	for i, part := range a.Parts {
		s.Shared = append(s.Shared, sharedView{part.Number, i + 1, p.T(partKey(part), i+1, p.money(part.Amount, part.Schedule))})
	}
	return s
}

// partKey is the key of what is said of a part to who has made it: not how it was
// claimed.
func partKey(a tipbox.ThreadAward) string {
	switch {
	case a.State == tipbox.AwardWaived:
		return "part.waived"
	case a.State != tipbox.AwardGranted:
		return "part.claimed"
	case a.Expired:
		return "part.expired"
	}
	return "part.open"
}

// postPart makes a part of an award, or takes one that was made, and shows its code.
func (s *site) postPart(w http.ResponseWriter, r *http.Request) error {
	sent, err := s.readForm(w, r, nil)
	p := s.newPageIn(r, sent.Get("lang"), "thread.yours")
	var code *receipt.Code
	if err == nil {
		code, err = s.codeOf(sent.Values)
	}
	if err != nil {
		return s.askAgain(w, r, p, err)
	}
	var part *receipt.Code
	if sent.Has("show") {
		number, _ := strconv.Atoi(sent.Get("show")) // 0 is none
		part, err = s.service.PartCode(r.Context(), code, number)
	} else {
		part, err = s.makePart(r, p, code, &sent)
	}
	if err == nil {
		err = s.renderPartCode(w, r, p, part)
	}
	if err == nil {
		return nil
	}
	status := http.StatusConflict
	switch {
	case sent.wrong != "":
		status, p.Notice = http.StatusUnprocessableEntity, p.bad("part.bad")
	case errors.Is(err, tipbox.ErrClaim):
		p.Notice = p.bad("part.gone")
	default:
		status, _ = s.refuse(r, p, err)
	}
	if err := s.renderThread(w, r, status, p, code, sent); err == nil {
		return nil
	}
	p.Title, p.Data = "thread.title", codeForm{}
	return s.render(w, status, "code", p)
}

// makePart makes a part as the form says. If it is the amount that is wrong, it notes
// that in what was sent.
func (s *site) makePart(r *http.Request, p *page, code *receipt.Code, sent *form) (*receipt.Code, error) {
	number, _ := strconv.Atoi(sent.Get("award"))
	index, _ := strconv.Atoi(sent.Get("part"))
	thread, err := s.service.Thread(r.Context(), code)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(thread.Awards, func(a tipbox.ThreadAward) bool { return a.Number == number })
	if i < 0 {
		return nil, tipbox.ErrClaim
	}
	a := thread.Awards[i]
	amount, wrong := p.parseMoney(graphic(sent.Get("amount")), a.Schedule)
	if wrong == nil {
		part, err := s.service.Part(r.Context(), code, number, index, amount)
		if !errors.Is(err, tipbox.ErrClaim) || a.NextPart != index {
			return part, err
		}
		wrong = err // there can be such a part, but not of that amount
	}
	if a.NextPart != 0 {
		sent.wrong = p.T("part.amount.bad", p.money(a.Schedule.Unit, a.Schedule), p.money(a.MostPart(), a.Schedule))
	}
	return nil, errors.Join(tipbox.ErrClaim, wrong)
}

// renderPartCode shows the code of a part. An error means that nothing was shown yet.
func (s *site) renderPartCode(w http.ResponseWriter, r *http.Request, p *page, part *receipt.Code) error {
	thread, err := s.service.Thread(r.Context(), part)
	if err != nil {
		return err
	}
	a := thread.Awards[0]
	p.Title = "part.code.title"
	p.Data = struct {
		Money            string
		ClaimBy          template.HTML
		Words, WordsLang string
		Digits, Address  string
	}{
		p.money(a.Amount, a.Schedule), p.Day(a.ClaimBy), part.Words(p.Tag), receipt.WordsLanguage(p.Tag), part.Digits(), p.T("nav.thread"),
	}
	return s.render(w, http.StatusOK, "partcode", p)
}
