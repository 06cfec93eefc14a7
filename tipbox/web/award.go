package web

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/gorilla/mux"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
)

func (s *site) awardRoutes(r *mux.Router) {
	r.Handle("/thread/claim", s.handle(s.postClaim)).Methods("POST")
	r.Handle("/thread/appeal", s.handle(s.postAppeal)).Methods("POST")
	r.Handle("/thread/part", s.handle(s.postPart)).Methods("POST")
	r.Handle("/thread/voucher", s.handle(s.postVoucher)).Methods("POST")
}

// An awardView is an award as a thread's page shows it.
type awardView struct {
	words
	tipbox.ThreadAward
	Session     string
	Money       string
	Key         string // of what is said of its state
	Claimable   bool
	Correctable bool // other details can take the place of those that were given
	Appealable  bool
	Issued      bool
	ClaimBy     template.HTML
	Charities   []charityView
	sharing
}

type charityView struct {
	ID   string
	Name template.HTML
}

// awards are those of a thread. Sent is what was refused, if anything was.
func (s *site) awards(p *page, thread *tipbox.Thread, code *receipt.Code, sent form) (views []awardView) {
	session := s.service.Session(code)
	for _, a := range thread.Awards {
		v := awardView{words: words{p.pageLanguage}, ThreadAward: a, Session: session, Money: p.money(a.Amount, a.Schedule), Key: awardKey(a), ClaimBy: p.Day(a.ClaimBy)}
		v.sharing = p.sharing(a, sent)
		if thread.Part != 0 && v.Key == "award.granted" {
			v.Key = "part.granted"
		}
		v.Correctable = a.Again && a.Choice == tipbox.ClaimDetails
		v.Claimable = a.State == tipbox.AwardGranted && !a.Expired || a.Again && !v.Correctable
		v.Appealable = a.State == tipbox.AwardRefused && !a.Final
		v.Issued = a.State == tipbox.AwardIssued
		for _, c := range a.Schedule.Charities {
			v.Charities = append(v.Charities, charityView{c.ID, p.In(c.Name)})
		}
		views = append(views, v)
	}
	return views
}

// awardKey is the key of what a source is told of an award.
func awardKey(a tipbox.ThreadAward) string {
	switch a.State {
	case tipbox.AwardGranted:
		if a.Expired {
			return "award.expired"
		}
		if a.ClaimBy == "" {
			return "award.held"
		}
		return "award.granted"
	case tipbox.AwardRefused:
		if a.Final {
			return "award.final"
		}
		return "award.refused"
	case tipbox.AwardAppealed:
		return "award.appealed"
	case tipbox.AwardClaimed:
		if a.Lost {
			return "award.claimed.lost"
		}
		return "award.claimed"
	case tipbox.AwardIssued:
		return "award.issued"
	case tipbox.AwardPayable:
		if a.Choice == tipbox.ClaimCharity {
			return "award.given"
		}
		if a.Lost {
			return "award.payable.lost"
		}
		return "award.payable"
	}
	return "award.waived"
}

// postClaim claims an award.
func (s *site) postClaim(w http.ResponseWriter, r *http.Request) error {
	return s.aboutAward(w, r, "notice.claim", func(p *page, code *receipt.Code, award int, sent form) error {
		choice, charity, _ := strings.Cut(sent.Get("choice"), ":")
		claim := tipbox.Claim{Award: award, Choice: choice, Charity: charity}
		if choice == tipbox.ClaimDetails {
			claim.Details = sent.Get("details")
		}
		return s.service.Claim(r.Context(), code, claim)
	})
}

// postAppeal appeals against a refusal.
func (s *site) postAppeal(w http.ResponseWriter, r *http.Request) error {
	return s.aboutAward(w, r, "notice.appeal", func(p *page, code *receipt.Code, award int, sent form) error {
		return s.service.Appeal(r.Context(), code, award, p.Tag, sent.Get("text"))
	})
}

// aboutAward does something about an award of a thread, and shows the thread.
func (s *site) aboutAward(w http.ResponseWriter, r *http.Request, done string, do func(*page, *receipt.Code, int, form) error) error {
	sent, err := s.readForm(w, r, nil)
	p := s.newPageIn(r, sent.Get("lang"), "thread.yours")
	var code *receipt.Code
	if err == nil {
		code, err = s.codeOf(sent.Values)
	}
	if err != nil {
		return s.askAgain(w, r, p, err)
	}
	award, _ := strconv.Atoi(sent.Get("award")) // 0 is none
	err = do(p, code, award, sent)
	status := http.StatusOK
	switch {
	case err == nil:
		p.Notice = &notice{Text: p.T(done)}
	case errors.Is(err, tipbox.ErrClaim):
		status, p.Notice = http.StatusConflict, p.bad("award.bad")
	case errors.Is(err, tipbox.ErrEmpty):
		status, p.Notice = http.StatusUnprocessableEntity, p.bad("award.empty")
	case errors.Is(err, tipbox.ErrTooLong):
		status, p.Notice = http.StatusUnprocessableEntity, p.bad("award.toolong", tipbox.MaxDetails)
	default:
		status, _ = s.refuse(r, p, err)
	}
	if err := s.renderThread(w, r, status, p, code, form{}); err == nil {
		return nil
	}
	p.Title, p.Data = "thread.title", codeForm{}
	return s.render(w, status, "code", p)
}

// askAgain asks for the code where a page was open for too long.
func (s *site) askAgain(w http.ResponseWriter, r *http.Request, p *page, err error) error {
	status, _ := s.refuse(r, p, err)
	if errors.Is(err, tipbox.ErrExpired) {
		p.Notice = p.bad("award.session")
	}
	p.Title, p.Data = "thread.title", codeForm{}
	return s.render(w, status, "code", p)
}

// postVoucher shows a voucher of an award, or sends all as a text file.
func (s *site) postVoucher(w http.ResponseWriter, r *http.Request) error {
	sent, err := s.readForm(w, r, nil)
	p := s.newPageIn(r, sent.Get("lang"), "thread.yours")
	var code *receipt.Code
	if err == nil {
		code, err = s.codeOf(sent.Values)
	}
	if err != nil {
		return s.askAgain(w, r, p, err)
	}
	award, _ := strconv.Atoi(sent.Get("award"))
	vouchers, err := s.service.Vouchers(r.Context(), code, award)
	if err != nil {
		p.Notice = p.bad("award.bad")
		if !errors.Is(err, tipbox.ErrClaim) {
			s.refuse(r, p, err)
		}
		if err := s.renderThread(w, r, http.StatusConflict, p, code, form{}); err == nil {
			return nil
		}
		return s.askAgain(w, r, p, err)
	}
	views := make([]voucherView, len(vouchers))
	for i, v := range vouchers {
		d := s.service.Roster().Denomination(v.Denomination())
		schedule := &tipbox.Schedule{Currency: d.Currency}
		views[i] = voucherView{
			Index: i + 1, Count: len(vouchers), Previous: i, Award: award, Session: s.service.Session(code),
			Money: p.money(d.Amount, schedule), Until: p.Day(d.Until), UntilText: p.Date(d.Until), Text: v.Text(), Digits: v.Digits(), compact: v.Compact(),
		}
		if i+1 < len(vouchers) {
			views[i].Next = i + 2
		}
	}
	if sent.Get("voucher") == "all" {
		return s.sendVouchers(w, r, p, views)
	}
	n, _ := strconv.Atoi(sent.Get("voucher"))
	view := views[min(max(n, 1), len(views))-1]
	if view.QR, err = drawQR(view.compact); err != nil {
		return err
	}
	p.Title, p.Data = "voucher.head", view
	return s.render(w, http.StatusOK, "voucher", p)
}

// A voucherView is a voucher as its page shows it.
type voucherView struct {
	Index, Count   int
	Next, Previous int // 0 if there is none
	Award          int
	Session        string
	Money          string
	Until          template.HTML
	UntilText      string
	Text, Digits   string
	QR             *qrCode

	compact string
}

// sendVouchers sends all vouchers as a text file. Its name says nothing.
func (s *site) sendVouchers(w http.ResponseWriter, r *http.Request, p *page, views []voucherView) error {
	var text strings.Builder
	for _, v := range views {
		fmt.Fprintf(&text, "%s\n%s\n\n%s\n\n%s\n%s\n\n\n", p.T("voucher.worth", v.Money), p.T("voucher.until", v.UntilText), v.Text, p.T("voucher.digits"), v.Digits)
	}
	text.WriteString(p.T("voucher.paper") + "\n")
	return s.sendFile(w, r, "papers.txt", text.String())
}
