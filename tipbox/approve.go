package tipbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
)

// An AwardItem is a tip with awards, as approvers see it.
type AwardItem struct {
	Tip     string      `json:"tip"`
	Channel string      `json:"channel"`
	Awards  []AwardLine `json:"awards"`
}

// An AwardLine is what a tip's record has of an award: what is in the clear.
type AwardLine struct {
	Number   int        `json:"number"`
	State    AwardState `json:"state"`
	Schedule string     `json:"schedule"`
	Currency string     `json:"currency"`
	Amount   int64      `json:"amount"`
	Granted  string     `json:"granted,omitempty"` // the days
	ClaimBy  string     `json:"claim_by,omitempty"`
	Claimed  string     `json:"claimed,omitempty"`
	Issued   string     `json:"issued,omitempty"`
	Choice   string     `json:"choice,omitempty"`
	Of       int        `json:"of,omitempty"` // the award that it is a part of
	Votes    int        `json:"votes"`        // approvers that it takes
	Approved []string   `json:"approved,omitempty"`
	Lacking  int        `json:"lacking,omitempty"` // approvers that the roster lacks for it to be granted
	With     []string   `json:"with,omitempty"`    // the tips that share it, this one too

	Vouchers map[string]int `json:"vouchers,omitempty"` // how many of each denomination were claimed
}

// awardLines are the awards of a case whose source left those out.
func (c *Case) awardLines(left []string) (lines []AwardLine) {
	for _, a := range c.Awards {
		line := AwardLine{
			Number: a.Number, State: a.State, Schedule: a.Terms.Schedule, Currency: a.Terms.Currency, Amount: a.Terms.Amount,
			Granted: a.Granted, ClaimBy: c.ClaimBy(a), Claimed: a.Claimed, Issued: a.Issued, Of: a.Of, Votes: a.Votes, Approved: append([]string(nil), a.Approved...),
		}
		if line.deciding() && !line.ToIssue() {
			line.Lacking = max(0, a.Votes-len(a.Approved)-len(c.deciders(a, left)))
		}
		for _, share := range a.Terms.Split {
			line.With = append(line.With, share.Tip)
		}
		if a.Claim != nil {
			line.Choice = a.Claim.Choice
			for _, r := range a.Claim.Requests {
				if line.Vouchers == nil {
					line.Vouchers = make(map[string]int)
				}
				line.Vouchers[r.Denomination]++
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// deciding reports whether approvers have something to do about the award.
func (l AwardLine) deciding() bool {
	return l.State == AwardProposed || l.State == AwardAppealed || l.ToIssue()
}

// ToIssue reports whether an approver has to sign vouchers or to order a payout.
func (l AwardLine) ToIssue() bool {
	return l.State == AwardClaimed || l.State == AwardPayable && l.Issued == ""
}

// Awards returns a page of the tips about whose awards approvers have to decide,
// and the cursor of the next page.
func (s *Service) Awards(ctx context.Context, m *roster.Member, cursor string, limit int) (items []AwardItem, next string, err error) {
	defer s.brief()()
	if err := s.mayApprove(m); err != nil {
		return nil, "", err
	}
	if cursor != "" && !ValidTipID(cursor) {
		return nil, "", fmt.Errorf("cursor: %w", ErrInvalid)
	}
	limit = min(max(limit, 1), MaxPage)
	for after := prefixAward + store.Key(cursor); ; {
		recs, err := s.cfg.Store.Scan(ctx, prefixAward, after, limit+1)
		if err != nil {
			return nil, "", fmt.Errorf("reading the awards: %w", err)
		}
		for _, rec := range recs {
			after = rec.Key
			id := strings.TrimPrefix(string(rec.Key), string(prefixAward))
			t, _, err := s.loadTip(ctx, id)
			if errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNotFound) {
				s.cfg.Log.Error("an award cannot be listed: run tipboxd check", "error", err)
				continue
			}
			if err != nil {
				return nil, "", err
			}
			hidden, err := s.hidden(ctx, t, m)
			if err != nil {
				return nil, "", err
			}
			if hidden {
				continue // nobody learns of it, neither from a short page nor from its cursor
			}
			if len(items) == limit {
				return items, items[limit-1].Tip, nil
			}
			items = append(items, AwardItem{id, t.Channel, t.Awards})
		}
		if len(recs) <= limit {
			return items, "", nil
		}
	}
}

func (s *Service) mayApprove(m *roster.Member) error {
	if now := s.Roster().Member(m.Name()); now == nil || now.CardText != m.CardText {
		return fmt.Errorf("%s with this key is no longer in the roster: %w", m.Name(), ErrForbidden)
	}
	if !m.Has(roster.Approver) {
		return against(RuleRole, "deciding about awards takes the role %s", roster.Approver)
	}
	return nil
}

// hidden reports whether an approver is shown nothing of a tip's awards: the source left
// the approver out, or that of another tip that shares one did, who would else be seen
// to be missing there.
func (s *Service) hidden(ctx context.Context, t *tipRecord, m *roster.Member) (bool, error) {
	if t.leftOut(m) {
		return true, nil
	}
	for _, line := range t.Awards {
		for _, id := range line.With {
			other, _, err := s.loadTip(ctx, id)
			switch {
			case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrCorrupt): // erased, or as Check says
			case err != nil:
				return false, err
			case other.leftOut(m):
				return true, nil
			}
		}
	}
	return false, nil
}

// awardTip loads a tip for an approver: ErrNotFound if it has no award, or is hidden.
func (s *Service) awardTip(ctx context.Context, m *roster.Member, id string) (*loadedTip, error) {
	if err := s.mayApprove(m); err != nil {
		return nil, err
	}
	if !ValidTipID(id) {
		return nil, fmt.Errorf("tip %.40q: %w", id, ErrNotFound)
	}
	t, rev, err := s.loadTip(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && len(t.Awards) == 0 {
		return nil, fmt.Errorf("tip %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	hidden, err := s.hidden(ctx, t, m)
	if err != nil {
		return nil, err
	}
	if hidden {
		return nil, fmt.Errorf("tip %s: %w", id, ErrNotFound)
	}
	return &loadedTip{t, rev}, nil
}

// AwardTip returns what approvers get of a tip with an award: what members and the
// source signed, and of what is sealed only what is about awards.
func (s *Service) AwardTip(ctx context.Context, m *roster.Member, id string) (*TipFile, error) {
	defer s.brief()()
	t, err := s.awardTip(ctx, m, id)
	if err != nil {
		return nil, err
	}
	notes, err := s.notes(ctx, id, t.Events)
	if err != nil {
		return nil, err
	}
	file := &TipFile{Tip: id, Channel: t.Channel, Day: t.Day, Reply: t.Reply, Head: t.Head, Key: t.Key, Source: t.Source}
	for i, note := range notes {
		event := SealedEvent{Note: string(note)}
		if e, err := parseEvent(note); note != nil && err == nil && toApprovers(e.Action) {
			rec, err := s.cfg.Store.Get(ctx, keySealed(id, i+1))
			if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) {
				return nil, err
			}
			event.Sealed = rec.Value
		}
		file.Events = append(file.Events, event)
	}
	return file, nil
}

// toApprovers reports whether messages of the action are sealed to approvers.
func toApprovers(a Action) bool { return a == ActionAward || a == ActionInform || a == ActionAppeal }

// OpenAward is OpenTip for an approver, who has no key of the tip: it checks all
// that is signed, and opens what is sealed to approvers. The tip's id is a hash of
// its key and its source's, so the server cannot put others in their place.
func OpenAward(file *TipFile, id string, key *roster.MemberKey, r *roster.Roster) (*OpenedTip, error) {
	if seal.TipID(file.Key, file.Source) != id {
		return nil, fmt.Errorf("tip %s: the keys are another tip's: %w", id, ErrInvalid)
	}
	to, err := seal.ParseRecipient(file.Key)
	if err != nil {
		return nil, fmt.Errorf("tip %s: its key: %w: %w", id, ErrInvalid, err)
	}
	o := &OpenedTip{Tip: id, Channel: file.Channel, roster: r, tipKey: to, identity: key.Identity(), approver: true}
	return o, o.read(file, file.Source)
}

// deciders are the approvers who can decide about an award now, or about a new one if
// it is nil: they had no part in the case, the source did not leave them out, and they
// neither approved of it nor, on appeal, decided before.
func (c *Case) deciders(a *Award, left []string) []*roster.Member {
	return slices.DeleteFunc(c.roster.With(roster.Approver), func(m *roster.Member) bool {
		name := m.Name()
		return leftOut(left, m) || c.acted[name] || slices.Contains(c.Recused, name) ||
			a != nil && (slices.Contains(a.Approved, name) || a.State != AwardProposed && slices.Contains(a.Refused, name))
	})
}

// decidable refuses an award that nobody could grant.
func (o *OpenedTip) decidable(t *AwardTerms) error {
	s := o.roster.Schedule(t.Schedule)
	if s == nil {
		return nil // as the fold says
	}
	need, have := VotesNeeded(s, t.Before+t.Total), len(o.Case.deciders(nil, o.LeftOut))
	if have < need {
		return against(RuleAward, "it takes %d approvers who had no part in the case and whom the source did not leave out, and there are %d: have the root key's holder enter more", need, have)
	}
	return nil
}

// reasons are what an award was proposed with, and what the source said against a
// refusal, in so many entries: for approvers who came later.
func (o *OpenedTip) reasons(award, entries int) (text string, d *Detail, err error) {
	for _, m := range o.Messages[:entries] {
		switch {
		case m.Void != "" || m.Event == nil || m.Number != award && (m.Action != ActionAppeal || m.Event.Award != award):
		case m.Action == ActionAward:
			text, d = m.Text, m.Detail
		case m.Action == ActionAppeal:
			text += "\n\n" + m.Text
		}
	}
	if d == nil {
		return "", nil, against(RuleAward, "award %d is none, or cannot be read", award)
	}
	return text, d, nil
}

// Reasons are what an award was proposed with, as far as it can be read here: for
// approvers who came later it stands in an entry of ActionInform.
func (o *OpenedTip) Reasons(award int) *Detail {
	found := o.Messages[award-1].Detail
	for _, m := range o.Messages {
		if found == nil && m.Void == "" && m.Action == ActionInform && m.Event.Award == award {
			found = m.Detail
		}
	}
	return found
}

// checkAwards looks for what is against the schedule where the server cannot see
// it: the base, the evidence and the rate, and who was left out.
func (o *OpenedTip) checkAwards() {
	for _, m := range o.Messages {
		if m.Void != "" || m.Event == nil {
			continue
		}
		fault := func(format string, args ...any) {
			o.Faults = append(o.Faults, fmt.Sprintf("entry %d, by %s: ", m.Number, m.By)+fmt.Sprintf(format, args...))
		}
		switch m.Action {
		case ActionApprove:
			if slices.ContainsFunc(o.roster.On(m.Day, m.By), o.leftOut) {
				fault("an approval by somebody whom the source left out")
			}
		case ActionAward:
			if o.approver && o.Reasons(m.Number) == nil {
				continue // as CheckAward says
			}
			if o.Reasons(m.Number) == nil {
				fault("an award that does not say why")
			} else if err := o.CheckAward(m.Number); err != nil {
				fault("%v", err)
			}
		case ActionInform:
			if o.approver {
				continue
			}
			text, d, err := o.reasons(m.Event.Award, m.Number-1)
			unread := slices.ContainsFunc(o.Messages[:m.Number-1], func(b Message) bool { return b.Action == ActionAppeal && b.Err != nil })
			if err == nil && (m.Detail == nil || *m.Detail != *d || m.Text != text && !unread) {
				fault("it tells approvers something else than award %d and its source say", m.Event.Award)
			}
		}
	}
}

// CheckAward checks the amount of an award against its schedule and what it says
// of base, evidence and rate.
func (o *OpenedTip) CheckAward(number int) error {
	a := o.Case.award(number)
	if a == nil {
		return fmt.Errorf("there is no award %d: %w", number, ErrNotFound)
	}
	d := o.Reasons(number)
	if d == nil && o.approver {
		return against(RuleAward, "the reasons of award %d were not sealed to you: have an investigator give tipbox inform %s %d", number, o.Tip, number)
	}
	return o.checkTerms(number, a.Proposed, &a.Terms, d)
}

// checkTerms checks an award that is proposed on that day as the entry of that
// number.
func (o *OpenedTip) checkTerms(number int, day string, terms *AwardTerms, d *Detail) error {
	s := o.roster.Schedule(terms.Schedule)
	if s == nil || d == nil {
		return against(RuleAward, "its schedule or its reasons are missing")
	}
	if !o.approver && terms.first(o.Tip) {
		if err := o.checkBase(s, number, day, d); err != nil {
			return err
		}
	}
	want, err := Instalment(s, d.Base, d.Evidence, d.Rate, terms.Before)
	if err != nil {
		return err
	}
	if want != terms.Total {
		return against(RuleAward, "the award is %d, and by schedule %s it is %d", terms.Total, s.ID, want)
	}
	return nil
}

// Merit is what an award of the case proposed after so many entries is worked out
// from, in a currency.
func (o *OpenedTip) Merit(entries int, currency, evidence string) (Merit, error) {
	var sums []Detail
	for _, m := range o.Messages[:entries] {
		if m.Void == "" && m.Action == ActionRecover && m.Detail != nil {
			sums = append(sums, *m.Detail)
		}
	}
	found, collected, err := Recovered(sums, currency)
	return Merit{Channel: o.Channel, Received: o.Case.Received, Currency: currency, Evidence: evidence, Found: found, Collected: collected}, err
}

// upheld checks that after so many entries the finding is one that is rewarded, and
// was not overturned.
func (o *OpenedTip) upheld(entries int) error {
	var found, again Finding
	round := 0
	for _, m := range o.Messages[:entries] {
		switch {
		case m.Void != "":
		case m.Action == ActionReverify:
			round++
		case m.Action == ActionFinding && m.Event.Decides && m.Detail != nil && round == 0:
			found = m.Detail.Finding
		case m.Action == ActionFinding && m.Event.Decides && m.Detail != nil:
			again = m.Detail.Finding
		}
	}
	if found != Substantiated && found != Partly {
		return against(RuleAward, "an award follows a finding of %s or %s", Substantiated, Partly)
	}
	if again == Overturned {
		return against(RuleAward, "the finding was overturned")
	}
	return nil
}

// checkBase checks that the base of an award was recovered, and that no other
// schedule pays more.
func (o *OpenedTip) checkBase(s *Schedule, number int, day string, d *Detail) error {
	if err := o.upheld(number - 1); err != nil {
		return err
	}
	merit, err := o.Merit(number-1, s.Currency, d.Evidence)
	if err != nil {
		return err
	}
	if base := merit.Base(s); d.Base != base {
		return against(RuleScale, "the award is of %d, and what was %s comes to %d", d.Base, s.Base, base)
	}
	governing, err := Governing(o.roster, merit, day)
	if err != nil {
		return err
	}
	if governing == nil || governing.ID != s.ID {
		return against(RuleScale, "the award goes by schedule %s, which does not govern this case", s.ID)
	}
	return nil
}
