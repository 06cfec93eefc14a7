package tipbox

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tipbox/crypto/roster"
)

// A Case is what the events of a tip come to. Make it with foldCase, which server
// and tool both call: it is in no other place.
type Case struct {
	State State
	Rule  roster.Rule

	Received     string // the days of the path; "" if not yet
	Acknowledged string // or accepted or declined, if earlier
	Answered     string
	Closed       string

	AcknowledgeBy string // deadlines; AnswerBy moves by the days waited for the source
	AnswerBy      string // "" before the acknowledgement
	Due           string // the owner's, "" without
	Paused        int    // days waited for the source
	Asked         string // the day since when that is so again, or ""

	Owner     string   // a member's name
	Hold      bool     //
	Votes     []string // who voted in this round, in the order of their last vote
	Recused   []string //
	Granted   []string // who was let in later
	Round     int      // 0, and one more for each re-verification
	Recovered int      // sums noted
	Awards    []*Award // in the order of their proposals
	Faults    []string // what was signed against the rules

	channel string
	roster  *roster.Roster
	part    map[string]bool // who owned or closed it in this round
	took    map[string]bool // who had a part in the rounds before, and investigated in this one
	worked  map[string]bool // who investigated
	void    map[int]string  // why an event counts for nothing, by its number
	resumed string          // the day of the source's answer that ended the last pause
	waited  int             // days of that pause
	torn    bool            // an event is lost: what follows is taken as it comes

	holdSince string
	sourceDay string          // of the source's last event
	lostAt    int             // the last event that is lost, or 0
	acted     map[string]bool // who did anything in it but decide about awards, or was let in, in any round
	decided   map[string]bool // who decided about an award
}

func newCase(channel string, r *roster.Roster) *Case {
	return &Case{
		channel: channel, roster: r,
		part: make(map[string]bool), took: make(map[string]bool), worked: make(map[string]bool), void: make(map[int]string),
		acted: make(map[string]bool), decided: make(map[string]bool),
	}
}

// foldCase takes a chain's events in, one by one. One that is against a rule is
// void: it moves nothing and is among the Faults, for what was signed must
// neither hide the rest nor, when a later roster has other rules, shut a source
// out.
func foldCase(events []*Event, channel string, r *roster.Roster) *Case {
	c := newCase(channel, r)
	for _, e := range events {
		if err := c.apply(e); err != nil {
			c.void[e.Number] = err.Error()
			c.Faults = append(c.Faults, fmt.Sprintf("entry %d, by %s, is void: %v", e.Number, e.By, err))
		}
	}
	return c
}

// apply takes the next event in, or refuses it and changes nothing.
func (c *Case) apply(e *Event) error {
	if e.lost {
		c.torn, c.lostAt = true, e.Number
		if c.State == "" {
			c.State = StateReceived // nobody knows when
			c.Rule = c.roster.RuleOn(c.channel, lastDay)
		}
		return nil
	}
	if e.From() == FromSource {
		defer func() { c.sourceDay = max(c.sourceDay, e.Day) }()
	}
	switch e.Action {
	case ActionTip:
		c.receive(e.Day)
		return nil
	case ActionMessage:
		c.resume(e.Day)
		return nil
	case ActionAppeal, ActionClaim, ActionPart:
		if e.void != "" {
			return against(RuleKey, "%s", e.void)
		}
		if !c.unsure(e.Award) {
			if err := c.checkAward(e); err != nil {
				return err
			}
		}
		c.takeAward(e)
		return nil
	}
	step, ok := StepOf(e.Action)
	if !ok {
		return fmt.Errorf("action %.20q: %w", e.Action, ErrInvalid)
	}
	switch {
	case e.void != "":
		return against(RuleKey, "%s", e.void)
	case len(entitled(c.roster, e, c.channel)) == 0:
		return against(RuleRole, "to %s takes the role %v in channel %s, and nobody named %s had it on %s", e.Action, step.Roles, c.channel, e.By, e.Day)
	}
	var err error
	if !c.torn {
		err = c.check(step, e)
	} else if aboutAward(e.Action) && !c.unsure(e.Award) {
		err = c.checkAward(e)
	}
	if err != nil {
		return err
	}
	c.take(step, e)
	return nil
}

func (c *Case) receive(day string) {
	c.State, c.Received = StateReceived, day
	c.Rule = c.roster.RuleOn(c.channel, day)
	c.AcknowledgeBy = c.roster.AcknowledgeBy(c.Rule, day)
}

// resume ends the waiting for the source.
func (c *Case) resume(day string) {
	if c.Asked != "" {
		c.waited, c.resumed = daysBetween(c.Asked, day), day
		c.pause(c.waited)
		c.Asked = ""
	}
	if c.State == StateAwaiting {
		c.State = StateInvestigating
	}
	c.reckon()
}

// pause moves the deadlines by days, or back by -days.
func (c *Case) pause(days int) {
	c.Paused += days
	c.Due = addDays(c.Due, days)
}

// correct takes back what a pause was too long, if a member's entry after it is
// dated before its end: the day of the source's answer is the word of a server
// whose clock may have been wrong.
func (c *Case) correct(day string) {
	if day < c.resumed {
		c.pause(-min(c.waited, daysBetween(day, c.resumed)))
		c.reckon()
	}
	c.resumed, c.waited = "", 0
}

// reckon sets what follows from the days.
func (c *Case) reckon() {
	if c.Acknowledged != "" {
		c.AnswerBy = c.roster.AnswerBy(c.Rule, c.Acknowledged, c.Paused)
	}
}

// check refuses an event that is against a rule.
func (c *Case) check(step Step, e *Event) error {
	if step.From != nil && !slices.Contains(step.From, c.State) {
		return against(RulePath, "%s is not for a case that is %s; now possible: %s", e.Action, c.State, strings.Join(c.possible(), ", "))
	}
	if slices.Contains(c.Recused, e.By) && e.Action != ActionErase {
		return against(RuleRecused, "%s took no part in this case, so a colleague must do it", e.By)
	}
	switch e.Action {
	case ActionAssign:
		if slices.Contains(c.Recused, e.Owner) {
			return against(RuleRecused, "%s took no part in this case: assign it to another", e.Owner)
		}
		if c.State == StateReverifying && c.took[e.Owner] {
			return against(RuleOtherEyes, "%s had a part in the case, so another must re-verify it", e.Owner)
		}
	case ActionFinding:
		if !e.Recuse && c.decided[e.By] {
			return against(RuleOtherEyes, "%s decided about an award of the case, so others must look at it", e.By)
		}
		if c.Round > 0 && c.took[e.By] {
			return against(RuleOtherEyes, "%s had a part in the case, so others must re-verify it", e.By)
		}
		votes := len(c.Votes)
		if !slices.Contains(c.Votes, e.By) {
			votes++
		}
		if e.Decides && (e.Recuse || votes < c.Rule.Quorum) {
			return against(RuleQuorum, "%d members have voted, and a finding takes %d", votes, c.Rule.Quorum)
		}
	case ActionClose:
		if c.worked[e.By] {
			return against(RuleOtherEyes, "%s investigated the case, so another reviewer must close it", e.By)
		}
	case ActionErase:
		if c.Hold {
			return against(RuleHold, "the case is on hold: tipbox release %s", e.Tip)
		}
		if c.awaitsAward(e.Day) {
			return against(RuleAward, "an award of the case is not decided, claimed or fetched yet: tipbox case %s", e.Tip)
		}
	case ActionAward, ActionInform, ActionApprove, ActionRefuse, ActionIssue:
		return c.checkAward(e)
	case ActionHold, ActionRelease:
		if c.Hold == (e.Action == ActionHold) {
			return against(RuleHold, "on hold or not, it is so already")
		}
	}
	return nil
}

// possible lists what may be done to the case now, whoever does it.
func (c *Case) possible() (actions []string) {
	for _, s := range steps {
		if s.From != nil && slices.Contains(s.From, c.State) {
			actions = append(actions, string(s.Action))
		}
	}
	return actions
}

// take moves the case by an event that may be.
func (c *Case) take(step Step, e *Event) {
	c.correct(e.Day)
	if c.State == StateAwaiting && (e.Action == ActionAssign || e.Action == ActionFinding && !e.Recuse) {
		c.resume(e.Day) // the desk does not wait any longer
		c.resumed = ""
	}
	if c.Acknowledged == "" && (e.Action == ActionAck || e.Action == ActionAccept || e.Action == ActionDecline) {
		c.Acknowledged = e.Day
	}
	if e.Action == ActionApprove || e.Action == ActionRefuse {
		c.decided[e.By] = true
	} else if e.Action != ActionIssue {
		c.acted[e.By], c.acted[e.Owner], c.acted[e.Member] = true, true, true
	}
	switch e.Action {
	case ActionAssign:
		c.Owner, c.Due = e.Owner, e.Due
		c.part[e.Owner], c.worked[e.Owner] = true, true
		if c.Round > 0 {
			return // who re-verifies has no part in what was before
		}
		c.took[e.Owner] = true
		if c.State == StateAccepted {
			c.State = StateAssigned
		}
	case ActionNote:
		if c.State == StateAssigned {
			c.State = StateInvestigating
		}
	case ActionAsk:
		c.Asked = e.Day
	case ActionFinding:
		c.vote(e)
		return
	case ActionRecover:
		c.Recovered++
	case ActionAnswer:
		c.Answered = e.Day
	case ActionClose:
		c.Closed, c.part[e.By] = e.Day, true
	case ActionReverify:
		for _, name := range slices.Concat(c.Votes, slices.Collect(maps.Keys(c.part))) {
			c.took[name] = true
		}
		clear(c.part)
		c.Round++
		c.Votes, c.Owner, c.Due, c.Closed = nil, "", "", ""
		c.State = StateReverifying
		return // to ask for it is no part in it
	case ActionHold:
		c.Hold, c.holdSince = true, e.Day
		return
	case ActionRelease:
		c.Hold = false
		c.released(e.Day)
		return
	case ActionApprove, ActionRefuse, ActionIssue:
		c.takeAward(e)
		return
	case ActionAward, ActionInform:
		c.takeAward(e)
	case ActionGrant:
		c.Granted = append(c.Granted, e.Member)
		return
	}
	if c.Round == 0 && e.Action != ActionClose {
		c.took[e.By], c.worked[e.By] = true, true
	}
	if step.To != "" {
		c.State = step.To
	}
	c.reckon()
}

// vote counts a vote or a recusal.
func (c *Case) vote(e *Event) {
	same := func(name string) bool { return name == e.By }
	c.Votes = slices.DeleteFunc(c.Votes, same)
	c.Recused = slices.DeleteFunc(c.Recused, same)
	if e.Recuse {
		c.Recused = append(c.Recused, e.By)
		if c.Owner == e.By {
			c.Owner, c.Due = "", ""
		}
		return
	}
	c.Votes = append(c.Votes, e.By)
	switch {
	case e.Decides && c.Round > 0:
		c.State = StateReverified
	case e.Decides:
		c.State = StateFound
	case c.State == StateAssigned:
		c.State = StateInvestigating
	}
}

// Took lists who had a part in the case, by name.
func (c *Case) Took() []string { return slices.Sorted(maps.Keys(c.took)) }

// Deadline is the next one and what it is for, or "": while the source is asked
// none runs.
func (c *Case) Deadline() (day string, what Action) {
	switch {
	case c.State.Over() || c.State == StateAwaiting:
		return "", ""
	case c.State == StateReceived:
		return c.AcknowledgeBy, ActionAck
	case c.State == StateAnswered || c.State == StateReverified:
		return "", ""
	case c.State == StateReverifying:
		return c.Due, ActionFinding
	case c.State == StateFound:
		return c.AnswerBy, ActionAnswer
	case c.Due != "" && c.Due < c.AnswerBy:
		return c.Due, ActionFinding
	}
	return c.AnswerBy, ActionAnswer
}

func daysBetween(from, to string) int {
	a, errA := time.Parse(time.DateOnly, from)
	b, errB := time.Parse(time.DateOnly, to)
	if errors.Join(errA, errB) != nil || b.Before(a) {
		return 0
	}
	return int(b.Sub(a).Hours() / 24)
}

func addDays(day string, n int) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return t.AddDate(0, 0, n).Format(time.DateOnly)
}
