package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

type awardCmd struct {
	Tip      string   `arg:"" help:"The tip, as the inbox names it; of several on one case the one that came first."`
	Rate     string   `help:"The rate in percent, such as 4 or 3.5, if the schedule leaves a choice." placeholder:"PERCENT"`
	Evidence string   `help:"The quality of the evidence, as the schedule names it, if it makes a difference." placeholder:"ID"`
	Currency string   `help:"Of the sums, if they are in several." placeholder:"CNY"`
	Share    []string `help:"What the source of a tip gets of it, in parts: give it for each tip, first for the one that came first." placeholder:"TIP=PARTS"`
	textFlags
}

func (*awardCmd) Help() string {
	return "Example: tipbox award k3f7qwzm2abcdefg --rate 4 -m 'They named the account; all of it was as they wrote.'\n\n" +
		"Proposes an award by the schedule that governs the case, of the sums noted with tipbox recover. The text, the base and the rate are for the desk and for approvers, " +
		"who decide and read nothing else of the tip.\n\n" +
		"After a further recovery the same proposes what that adds. Several sources share with --share; a command that broke off between two tips is given again."
}

func (c *awardCmd) Run(a *app) error {
	shares, err := c.shares()
	if err != nil {
		return err
	}
	text, err := c.given(a, c.Tip, true)
	if err != nil {
		return err
	}
	s, err := a.connectDesk()
	if err != nil {
		return err
	}
	defer s.Close()
	_, first, err := s.open(a, c.Tip)
	if err != nil {
		return err
	}
	proposal, err := c.propose(s, first, shares)
	if err != nil {
		return err
	}
	amounts := []int64{proposal.terms.Total}
	if len(shares) > 0 {
		parts := make([]int64, len(shares))
		for i, share := range shares {
			parts[i] = share.Parts
		}
		if amounts, err = tipbox.Split(proposal.terms.Total, proposal.schedule.Unit, parts); err != nil {
			return err
		}
	} else {
		shares = []tipbox.AwardShare{{Tip: c.Tip}}
	}
	for i, share := range shares {
		if amounts[i] == 0 {
			return usageError{fmt.Errorf("the share of %s comes to nothing: nothing was proposed", share.Tip)}
		}
	}
	for i, share := range shares {
		terms := proposal.terms
		terms.Amount = amounts[i]
		_, opened, err := s.open(a, share.Tip)
		if err == nil && tipbox.CameFirst(first, opened) != nil {
			a.say("Note: tip %s came before tip %s, which you name first. By what each brought they share; who came first is part of that.\n", share.Tip, c.Tip)
		}
		if err == nil && pending(opened, &terms) == nil {
			err = s.send(a, opened, tipbox.Act{Action: tipbox.ActionAward, Text: text, Terms: &terms, Detail: &proposal.detail})
		}
		if err != nil {
			return fmt.Errorf("tip %s: %w", share.Tip, err)
		}
		money := mainUnits(terms.Amount, proposal.schedule.Digits()) + " " + terms.Currency
		if a.json {
			err = a.printJSON(map[string]any{"tip": share.Tip, "schedule": terms.Schedule, "amount": terms.Amount, "total": terms.Total, "currency": terms.Currency})
			if err != nil {
				return err
			}
			continue
		}
		a.print("%s  %s\n", share.Tip, money)
	}
	a.say("Proposed, by schedule %s. Approvers decide: tipbox awards\n", cleanLine(proposal.terms.Schedule))
	return nil
}

// shares reads --share.
func (c *awardCmd) shares() (shares []tipbox.AwardShare, err error) {
	for _, text := range c.Share {
		tip, parts, _ := strings.Cut(text, "=")
		n, err := strconv.ParseInt(parts, 10, 64)
		if err != nil || n < 1 || !tipbox.ValidTipID(tip) {
			return nil, usageError{fmt.Errorf("--share %q is not TIP=PARTS, such as k3f7qwzm2abcdefg=70", text)}
		}
		shares = append(shares, tipbox.AwardShare{Tip: tip, Parts: n})
	}
	switch {
	case len(shares) == 1:
		return nil, usageError{errors.New("--share is for two tips or more: give it for each, also for the first")}
	case len(shares) > 1 && shares[0].Tip != c.Tip:
		return nil, usageError{fmt.Errorf("the first --share is that of the tip that came first: --share %s=PARTS", c.Tip)}
	case len(shares) > tipbox.MaxSplit:
		return nil, usageError{fmt.Errorf("at most %d tips share an award", tipbox.MaxSplit)}
	}
	return shares, nil
}

// A proposal is an award of a whole case.
type proposal struct {
	schedule *roster.Schedule
	terms    tipbox.AwardTerms // but for the Amount
	detail   tipbox.Detail
}

// propose works the award of a case out, or takes up one that is proposed and not
// decided.
func (c *awardCmd) propose(s *session, first *tipbox.OpenedTip, shares []tipbox.AwardShare) (*proposal, error) {
	p := &proposal{terms: tipbox.AwardTerms{Split: shares}}
	if open := pending(first, nil); open != nil && len(shares) > 0 && slices.Equal(open.Terms.Split, shares) {
		p.terms, p.schedule = open.Terms, s.roster.Schedule(open.Terms.Schedule)
		if d := first.Messages[open.Number-1].Detail; d != nil && p.schedule != nil {
			p.detail = *d
			return p, nil
		}
	}
	money := c.Currency
	for _, m := range first.Messages {
		if m.Void != "" || m.Action != tipbox.ActionRecover || m.Detail == nil || c.Currency != "" {
			continue
		}
		if money != "" && money != m.Detail.Currency {
			return nil, usageError{errors.New("sums were noted in several currencies: say which with --currency")}
		}
		money = m.Detail.Currency
	}
	if money == "" {
		return nil, fmt.Errorf("no sum is noted that was found or collected: tipbox recover %s AMOUNT CURRENCY --collected", first.Tip)
	}
	merit, err := first.Merit(len(first.Messages), money, c.Evidence)
	if err != nil {
		return nil, err
	}
	if p.schedule, err = tipbox.Governing(s.roster, merit, today()); err != nil {
		return nil, err
	}
	if p.schedule == nil {
		return nil, fmt.Errorf("no schedule of the roster promised anything for a tip of %s to %s in %s: tipbox schedule --all", first.Case.Received, cleanLine(first.Channel), cleanLine(money))
	}
	p.detail = tipbox.Detail{Base: merit.Base(p.schedule), Evidence: c.Evidence}
	low, high, err := tipbox.Rates(p.schedule, p.detail.Base, c.Evidence)
	if err != nil {
		return nil, err
	}
	if p.detail.Rate, err = c.rate(low, high); err != nil {
		return nil, err
	}
	var before int64
	for _, award := range first.Case.Awards {
		if award.State != tipbox.AwardRefused {
			before += award.Terms.Total
		}
	}
	p.terms.Schedule, p.terms.Currency, p.terms.Before = p.schedule.ID, p.schedule.Currency, before
	if p.terms.Total, err = tipbox.Instalment(p.schedule, p.detail.Base, c.Evidence, p.detail.Rate, before); err != nil {
		return nil, err
	}
	if p.terms.Total == 0 {
		return nil, fmt.Errorf("by schedule %s there is nothing to award for a base of %s %s, with %s awarded before", p.schedule.ID,
			mainUnits(p.detail.Base, p.schedule.Digits()), p.schedule.Currency, mainUnits(before, p.schedule.Digits()))
	}
	return p, nil
}

// rate reads --rate, in basis points.
func (c *awardCmd) rate(low, high int) (int, error) {
	if c.Rate == "" && low == high {
		return low, nil
	}
	whole, part, _ := strings.Cut(strings.TrimSuffix(c.Rate, "%"), ".")
	n, err := strconv.ParseUint(whole+(part + "00")[:max(2, len(part))], 10, 31)
	if err != nil || len(part) > 2 {
		return 0, usageError{fmt.Errorf("--rate must be given, from %s to %s percent, such as --rate 4 or --rate 3.5", percent(low), percent(high))}
	}
	return int(n), nil
}

// pending is the tip's award that is proposed and not decided, with those terms if
// any are given, or nil.
func pending(o *tipbox.OpenedTip, terms *tipbox.AwardTerms) *tipbox.Award {
	for _, award := range o.Case.Awards {
		same := terms == nil || award.Terms.Schedule == terms.Schedule && award.Terms.Amount == terms.Amount &&
			award.Terms.Total == terms.Total && award.Terms.Before == terms.Before && slices.Equal(award.Terms.Split, terms.Split)
		if same && (award.State == tipbox.AwardProposed || award.State == tipbox.AwardAppealed) {
			return award
		}
	}
	return nil
}

type awardsCmd struct {
	Tip string `arg:"" optional:"" help:"Show the awards of that tip, and what is said of them."`
}

func (*awardsCmd) Help() string {
	return "Example: tipbox awards\n\nFor approvers: the awards that are to be decided, and the vouchers that are to be signed. With a tip: its awards, why they are proposed, and what the source says against a refusal. " +
		"The head is the same for every colleague who was shown the same: compare it before a large award is decided or issued, for a server that shows two of you two histories could have both sign."
}

func (c *awardsCmd) Run(a *app) error {
	s, err := a.connectDesk()
	if err != nil {
		return err
	}
	defer s.Close()
	if c.Tip != "" {
		opened, err := s.openAward(a, c.Tip)
		if err != nil {
			return err
		}
		return a.showAwards(s.roster, opened)
	}
	items, err := s.desk.Awards(a.ctx)
	if err != nil {
		return err
	}
	if a.json {
		for _, item := range items {
			if err := a.printJSON(item); err != nil {
				return err
			}
		}
		return nil
	}
	if len(items) == 0 {
		a.say("Nothing is to be decided.\n")
		return nil
	}
	w := a.table()
	w.head("TIP\tAWARD\tAMOUNT\tSTATE\tAPPROVED\tNOW")
	lacking := false
	for _, item := range items {
		for _, l := range item.Awards {
			now := map[tipbox.AwardState]string{tipbox.AwardProposed: "approve or refuse", tipbox.AwardAppealed: "approve or refuse"}[l.State]
			switch {
			case l.ToIssue():
				now = "issue"
			case l.Lacking > 0:
				now, lacking = a.lang.sprintf("wait for %d more approvers", l.Lacking), true
			}
			if now == "" {
				continue
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", cleanLine(item.Tip), l.Number, cleanLine(s.money(l.Schedule, l.Amount, l.Currency)),
				cleanLine(a.lang.word(string(l.State))), a.lang.sprintf("%d of %d", len(l.Approved), l.Votes), a.lang.text(now))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if lacking {
		a.say("Too few approvers are left who had no part and have not decided: have the root key's holder enter more, then an investigator give tipbox inform TIP\n")
	}
	a.say("Look at one: tipbox awards %s\n", cleanLine(items[0].Tip))
	return nil
}

// money is an amount of a schedule in the currency's main unit.
func (s *session) money(schedule string, amount int64, currency string) string {
	digits := 2
	if found := s.roster.Schedule(schedule); found != nil {
		digits = found.Digits()
	}
	return mainUnits(amount, digits) + " " + currency
}

// openAward fetches a tip with awards and opens what an approver can of it.
func (s *session) openAward(a *app, tip string) (*tipbox.OpenedTip, error) {
	file, err := s.desk.AwardTip(a.ctx, tip)
	if err != nil {
		return nil, err
	}
	opened, err := tipbox.OpenAward(file, tip, s.key, s.roster)
	if err != nil {
		return nil, err
	}
	return opened, a.goesOn(opened)
}

// showAwards prints what an approver can know of a tip's awards.
func (a *app) showAwards(r *roster.Roster, o *tipbox.OpenedTip) error {
	if a.json {
		return a.printJSON(struct {
			Tip    string          `json:"tip"`
			State  tipbox.State    `json:"state"`
			Awards []*tipbox.Award `json:"awards"`
			Faults []string        `json:"faults,omitempty"`
			Head   tipbox.Head     `json:"head"`
		}{o.Tip, o.Case.State, o.Case.Awards, o.Faults, o.Head()})
	}
	a.print("Tip %s, %s: %s\n", o.Tip, cleanLine(o.Channel), a.lang.word(string(o.Case.State)))
	a.print("%s %d %s\n", a.lang.sprintf("%s:", a.lang.text("head")), o.Head().Number, o.Head().SHA256)
	for _, f := range o.Faults {
		a.print("AGAINST THE RULES: %s\n", cleanLine(a.lang.known(f)))
	}
	for _, award := range o.Case.Awards {
		digits := 2
		if s := r.Schedule(award.Terms.Schedule); s != nil {
			digits = s.Digits()
		}
		a.print("\nAward %d, %s: %s %s, by schedule %s%s\n", award.Number, a.lang.word(string(award.State)), mainUnits(award.Terms.Amount, digits), award.Terms.Currency, cleanLine(award.Terms.Schedule), partOf(a.lang, award))
		if len(award.Terms.Split) > 0 {
			a.print("  share of     %s %s, in parts:", mainUnits(award.Terms.Total, digits), award.Terms.Currency)
			for _, share := range award.Terms.Split {
				a.print(" %s=%d", share.Tip, share.Parts)
			}
			a.print("\n")
		}
		if d := o.Reasons(award.Number); d != nil {
			a.print("  base         %s %s\n  rate         %s %%\n", mainUnits(d.Base, digits), award.Terms.Currency, percent(d.Rate))
			if d.Evidence != "" {
				a.print("  evidence     %s\n", cleanLine(d.Evidence))
			}
		}
		a.print("  proposed by  %s on %s\n  approved     %s, %d of %d\n", cleanLine(award.By), award.Proposed, cleanLine(strings.Join(award.Approved, ", ")), len(award.Approved), award.Votes)
		for _, m := range o.Messages {
			if m.Text != "" && m.Event != nil && (m.Number == award.Number || m.Event.Award == award.Number) {
				a.print("  %s, %s:\n%s\n", m.Day, cleanLine(a.lang.word(string(m.Action))), quoted(m.Text, a.columns()))
			}
		}
	}
	return nil
}

type approveCmd struct {
	Tip string `arg:"" help:"The tip, as tipbox awards names it."`
}

func (*approveCmd) Help() string {
	return "Example: tipbox approve k3f7qwzm2abcdefg\n\nFor approvers who had no part in the case. Look first: tipbox awards TIP. If several tips share the award, this approves of each share."
}

func (c *approveCmd) Run(a *app) error {
	return a.decide(c.Tip, tipbox.Act{Action: tipbox.ActionApprove})
}

type refuseCmd struct {
	Tip string `arg:"" help:"The tip, as tipbox awards names it."`
	textFlags
}

func (*refuseCmd) Help() string {
	return "Example: tipbox refuse k3f7qwzm2abcdefg -m 'The office had reported the fund itself a month before.'\n\n" +
		"The source reads the text with the receipt code, and may appeal once: then other approvers decide. If several tips share the award, this refuses each share."
}

func (c *refuseCmd) Run(a *app) error {
	text, err := c.given(a, c.Tip, true)
	if err != nil {
		return err
	}
	return a.decide(c.Tip, tipbox.Act{Action: tipbox.ActionRefuse, Text: text})
}

// decide does the same about the award of a tip and of all that share it.
func (a *app) decide(tip string, act tipbox.Act) error {
	s, err := a.connectDesk()
	if err != nil {
		return err
	}
	defer s.Close()
	opened, err := s.openAward(a, tip)
	if err != nil {
		return err
	}
	award := pending(opened, nil)
	if award == nil {
		return fmt.Errorf("no award of %s is to be decided: tipbox awards", tip)
	}
	tips := []string{tip}
	if len(award.Terms.Split) > 0 {
		tips = nil
		for _, share := range award.Terms.Split {
			tips = append(tips, share.Tip)
		}
	}
	shared := make(map[string]*tipbox.OpenedTip)
	for _, tip := range tips {
		if shared[tip], err = s.openAward(a, tip); err != nil {
			return fmt.Errorf("tip %s, which shares the award: %w", tip, err)
		}
	}
	if err := tipbox.CheckShares(award, shared); err != nil { // before anything is signed
		return err
	}
	for _, tip := range tips {
		opened, err := s.openAward(a, tip)
		if err != nil {
			return fmt.Errorf("tip %s: %w", tip, err)
		}
		mine := pending(opened, nil)
		if mine == nil || !sameAward(mine, award) {
			a.say("%s: decided already.\n", tip)
			continue
		}
		if slices.Contains(mine.Approved, s.key.Name()) && act.Action == tipbox.ActionApprove {
			a.say("%s: you have approved of it.\n", tip)
			continue
		}
		if err := a.actOnAward(s, opened, mine, act); err != nil {
			return fmt.Errorf("tip %s: %w", tip, err)
		}
	}
	return nil
}

// sameAward reports whether the awards of two tips are shares of one.
func sameAward(a, b *tipbox.Award) bool {
	return a.Terms.Schedule == b.Terms.Schedule && a.Terms.Currency == b.Terms.Currency && a.Terms.Total == b.Terms.Total &&
		a.Terms.Before == b.Terms.Before && slices.Equal(a.Terms.Split, b.Terms.Split)
}

// actOnAward signs what an approver does about an award, appends it, and says what
// the award is then.
func (a *app) actOnAward(s *session, opened *tipbox.OpenedTip, award *tipbox.Award, act tipbox.Act) error {
	act.Award = award.Number
	note, sealed, err := opened.Act(s.key, today(), act)
	if err != nil {
		return err
	}
	if err := s.desk.Append(a.ctx, opened.Tip, note, sealed); errors.Is(err, desk.ErrUnreachable) {
		return fmt.Errorf("%w: %w", errUncertain, err)
	} else if err != nil {
		return err
	}
	after, err := s.openAward(a, opened.Tip)
	if err != nil {
		return fmt.Errorf("it is done, but the award could not be read again: %w", err)
	}
	for _, now := range after.Case.Awards {
		if now.Number != award.Number {
			continue
		}
		if a.json {
			return a.printJSON(map[string]any{"tip": opened.Tip, "award": now.Number, "state": now.State, "approved": now.Approved, "votes": now.Votes})
		}
		a.say("Done. Award %d of %s is %s", now.Number, opened.Tip, a.lang.word(string(now.State)))
		if now.State == tipbox.AwardProposed || now.State == tipbox.AwardAppealed {
			a.say(", approved by %d of %d", len(now.Approved), now.Votes)
		}
		if now.State == tipbox.AwardPayable {
			a.say(", ordered by %d of %d", len(now.Ordered), now.Orders)
		}
		a.say(".\n")
	}
	return nil
}
