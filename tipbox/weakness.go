package tipbox

import (
	"fmt"
	"slices"
	"strings"

	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
)

// A Weakness is what a roster that is valid lacks for the work that is to be done by
// it.
type Weakness struct {
	Grave bool   // something cannot be done at all
	Says  string // what it means
	Do    string // what to type, or whom to ask
}

// rosterYear is after how many days a roster is to be looked over.
const rosterYear = 366

// endsSoon is how many days before something ends it is told.
const endsSoon = 90

// Weaknesses looks a roster over for a site with these channels, on a day
// (2006-01-02).
func Weaknesses(r *roster.Roster, channels []Channel, today string) []Weakness {
	w := &weaknesses{r: r, channels: channels, today: today}
	for _, c := range channels {
		w.channel(c.ID)
	}
	w.members()
	for _, s := range r.SchedulesOn(today) {
		w.schedule(s)
	}
	if addDays(r.Day, rosterYear) < today {
		w.add(false, "tipbox roster sign", "the roster was signed on %s: whoever left since then still reads, unless they were struck. Look over who is in it, and sign it anew", r.Day)
	}
	return w.found
}

type weaknesses struct {
	r        *roster.Roster
	channels []Channel
	today    string
	found    []Weakness
}

func (w *weaknesses) add(grave bool, do, format string, args ...any) {
	w.found = append(w.found, Weakness{grave, fmt.Sprintf(format, args...), do})
}

func (w *weaknesses) channel(id string) {
	enter := "tipbox roster add CARD --role investigator --channel " + id
	readers := w.r.Investigators(id)
	switch len(readers) {
	case 0:
		w.add(false, enter, "channel %s has no investigator: sources are not offered it", id)
		return
	case 1:
		w.add(false, enter, "channel %s is opened by one key only, that of %s: if it is lost, so is every tip", id, readers[0].Name())
	}
	voters, reviewers := 0, 0
	for _, m := range w.r.Members {
		if m.Investigates(id) || m.Reviews(id) {
			voters++
		}
		if m.Reviews(id) {
			reviewers++
		}
	}
	if quorum := w.r.RuleOn(id, w.today).Quorum; voters < quorum {
		w.add(true, enter, "channel %s: a finding takes %d votes, and %d members can vote: no case comes to its end", id, quorum, voters)
	}
	if reviewers == 0 {
		w.add(true, "tipbox roster add CARD --role reviewer", "channel %s has no reviewer: nobody can close a case", id)
	}
}

func (w *weaknesses) members() {
	for _, m := range w.r.Members {
		if m.KnowsTooMuch() {
			w.add(true, fmt.Sprintf("tipbox roster add %s.card without --role payer, and another member with it", m.Name()),
				"%s pays, and reads tips or decides about awards: who does both learns whose reward it is", m.Name())
		}
		if m.Has(roster.Investigator) && len(m.Channels) == 0 {
			w.add(false, fmt.Sprintf("tipbox roster add %s.card --role investigator --channel CHANNEL", m.Name()),
				"%s is an investigator without a channel, and reads nothing", m.Name())
		}
		for _, id := range m.Channels {
			if !slices.ContainsFunc(w.channels, func(c Channel) bool { return c.ID == id }) {
				w.add(false, "add the channel to site/channels.toml, or enter the member anew without it",
					"%s is entered for channel %s, which the site does not have: nobody can send to it", m.Name(), id)
			}
		}
	}
}

func (w *weaknesses) schedule(s *roster.Schedule) {
	if s.Example {
		w.add(false, "tipbox roster schedule FILE, with another id and a later day", "schedule %s is still called an example, as sources read: have a lawyer look at it", s.ID)
	}
	most := 0
	for _, a := range s.Approvers {
		most = max(most, a.Votes)
	}
	const enter = "tipbox roster add CARD --role approver"
	switch approvers := len(w.r.With(roster.Approver)); {
	case approvers < most:
		w.add(true, enter, "schedule %s: its largest awards take %d approvers, and there are %d: they can never be granted", s.ID, most, approvers)
	case approvers < 2*most:
		w.add(false, enter, "schedule %s: an appeal takes %d approvers who have not decided before, and there are %d in all", s.ID, most, approvers)
	}
	if len(w.r.With(roster.Payer)) == 0 {
		w.add(true, "tipbox roster add CARD --role payer", "schedule %s promises rewards, and there is no payer: no voucher is paid, and where to pay cannot be told", s.ID)
	}
	w.denominations(s)
}

// denominations looks whether the schedule's awards can be claimed in vouchers, now
// and in some time: see goodFor.
func (w *weaknesses) denominations(s *roster.Schedule) {
	const enter = "tipbox issuer keygen, then tipbox roster denomination FILE"
	good := goodFor(w.r, &AwardTerms{Schedule: s.ID, Currency: s.Currency}, w.today)
	if len(good) == 0 {
		w.add(true, enter, "schedule %s: there is no denomination in %s that is paid for %d days more: sources cannot take vouchers", s.ID, s.Currency, s.ClaimDays)
		return
	}
	if voucher.Choose(good, s.Unit, MaxVouchers) == nil {
		w.add(false, enter, "schedule %s: no vouchers come to its smallest award: such a source cannot take vouchers", s.ID)
	}
	later := goodFor(w.r, &AwardTerms{Schedule: s.ID, Currency: s.Currency}, addDays(w.today, endsSoon))
	var ending []string
	for _, d := range good {
		if !slices.ContainsFunc(later, func(l voucher.Denomination) bool { return l.Amount == d.Amount }) {
			ending = append(ending, d.ID)
		}
	}
	if len(ending) > 0 {
		w.add(false, enter, "schedule %s: within %d days sources can no longer claim in %s, which end too soon after", s.ID, endsSoon, strings.Join(ending, ", "))
	}
}
