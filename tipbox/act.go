package tipbox

import (
	"fmt"
	"slices"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
)

// A Finding is what a vote says was found.
type Finding string

// The findings: of a case, and of its re-verification.
const (
	Substantiated   Finding = "substantiated"
	Partly          Finding = "partly"
	Unsubstantiated Finding = "unsubstantiated"
	Systemic        Finding = "systemic" // the cause is a defective rule: the rule is changed, nobody punished
	Confirmed       Finding = "confirmed"
	Overturned      Finding = "overturned"
)

// Findings are those that a round of votes chooses from: round 0 is the case's,
// each later one is a re-verification's.
func Findings(round int) []Finding {
	if round == 0 {
		return []Finding{Substantiated, Partly, Unsubstantiated, Systemic}
	}
	return []Finding{Confirmed, Overturned}
}

// Reasons why a case is declined.
const (
	OutOfScope = "scope"
	Duplicate  = "duplicate"
	Referred   = "referred"
)

// How a sum came to be one.
const (
	SumFound     = "found"
	SumCollected = "collected"
)

// A Detail is what an event of a case says to those who can read the case, and
// not to the server.
type Detail struct {
	Finding  Finding `json:"finding,omitempty"`  // ActionFinding
	Reason   string  `json:"reason,omitempty"`   // ActionDecline: OutOfScope, Duplicate or Referred
	Of       string  `json:"of,omitempty"`       // Duplicate: the tip that came first; in a note in that one, the later tip
	Added    string  `json:"added,omitempty"`    // Duplicate: what the later tip added to the first, for a reward
	To       string  `json:"to,omitempty"`       // Referred: the other body
	Copy     string  `json:"copy,omitempty"`     // Referred: SHA-256 of the copy it got, hex
	Amount   int64   `json:"amount,omitempty"`   // ActionRecover: minor units
	Currency string  `json:"currency,omitempty"` // ISO 4217
	Basis    string  `json:"basis,omitempty"`    // SumFound or SumCollected
	Base     int64   `json:"base,omitempty"`     // ActionAward: minor units of the sums that it is of
	Evidence string  `json:"evidence,omitempty"` // ActionAward: of the schedule's
	Rate     int     `json:"rate,omitempty"`     // ActionAward: hundredths of a percent
}

// An Act is what a member does to a case: an Action with what it needs.
type Act struct {
	Action Action
	Text   string // to the source or to the desk: see Step
	Detail *Detail

	Owner  string         // ActionAssign: a member's name
	Due    string         // ActionAssign: 2006-01-02
	Recuse bool           // ActionFinding
	Grant  *roster.Member // ActionGrant

	Award      int         // of what is done to an award: its number
	Terms      *AwardTerms // ActionAward
	Signatures [][]byte    // ActionIssue
}

// Act makes the event and the sealed message of what the member does, dated today
// (2006-01-02), or as the desk's last event if that is later. It refuses what is
// against a rule as the server does: see RuleError.
//
// A vote that completes the channel's quorum makes the finding.
func (o *OpenedTip) Act(key *roster.MemberKey, today string, a Act) (note, sealed []byte, err error) {
	u, err := o.Prepare(key.Name(), today, a)
	if err != nil {
		return nil, nil, err
	}
	note, err = u.sign(key.SigningKey, today, o.chain)
	return note, u.Sealed, err
}

// Prepare is Act without the signature, for a machine that has not the key for
// it.
func (o *OpenedTip) Prepare(name, today string, a Act) (*Unsigned, error) {
	e, err := o.chain.next(a.Action, today)
	if err != nil {
		return nil, err
	}
	e.By, e.Owner, e.Due, e.Recuse = name, a.Owner, a.Due, a.Recuse
	e.Award, e.Terms, e.Signatures = a.Award, a.Terms, a.Signatures
	if m := o.roster.Member(e.By); m == nil || !mayTake(m, o.Channel, a.Action) {
		step, _ := StepOf(a.Action)
		return nil, against(RuleRole, "to %s takes the role %v in channel %s", a.Action, step.Roles, o.Channel)
	}
	if err := a.validate(o.Case.Round); err != nil {
		return nil, err
	}
	switch a.Action {
	case ActionAward:
		if a.Terms.first(o.Tip) {
			terms := *a.Terms
			terms.Before = o.Case.awarded()
			e.Terms, a.Terms = &terms, &terms
		}
		if err = o.checkTerms(e.Number, e.Day, a.Terms, a.Detail); err == nil {
			err = o.decidable(a.Terms)
		}
	case ActionInform:
		a.Text, a.Detail, err = o.reasons(a.Award, len(o.Messages))
	case ActionApprove:
		if err = o.Case.checkAward(e); err == nil {
			err = o.CheckAward(a.Award)
		}
	case ActionIssue:
		err = o.CheckIssue(a.Award, today, true)
	}
	if err != nil {
		return nil, err
	}
	var sealed []byte
	if a.Action == ActionFinding && !a.Recuse {
		e.Decides = o.votes(a.Detail.Finding, e.By)+1 >= o.Case.Rule.Quorum
	}
	if a.Action == ActionGrant {
		if sealed, err = o.grant(e, a.Grant); err != nil {
			return nil, err
		}
	} else if !bare(a.Action) {
		if sealed, err = o.compose(e, a); err != nil {
			return nil, err
		}
	}
	if err := e.validate(); err != nil {
		return nil, err
	}
	if step, _ := StepOf(a.Action); o.Case.torn && step.From != nil {
		return nil, against(RulePath, "an entry of the case is lost on the server, so nobody can tell how far it is: have it restored from a backup")
	}
	if err := o.Case.sure(e); err != nil {
		return nil, err
	}
	if err := foldCase(o.chain.events, o.Channel, o.roster).apply(e); err != nil {
		return nil, err
	}
	return &Unsigned{Event: e, By: e.By, Sealed: sealed, Latest: o.signedDay(), Lost: o.chain.lost()}, nil
}

// validate checks what the server cannot see.
func (a *Act) validate(round int) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrInvalid)
	}
	d := a.Detail
	switch a.Action {
	case ActionFinding:
		if !a.Recuse && (d == nil || !slices.Contains(Findings(round), d.Finding)) {
			return bad("a finding is one of %v now", Findings(round))
		}
	case ActionDecline:
		if d == nil || !slices.Contains([]string{OutOfScope, Duplicate, Referred}, d.Reason) {
			return bad("a case is declined as %s, %s or %s", OutOfScope, Duplicate, Referred)
		}
		if (d.Reason == Duplicate) != ValidTipID(d.Of) {
			return bad("a duplicate is one of another tip")
		}
	case ActionRecover:
		if d == nil || d.Amount <= 0 || len(d.Currency) != 3 || d.Basis != SumFound && d.Basis != SumCollected {
			return bad("a sum has an amount above 0, a currency such as CNY, and was %s or %s", SumFound, SumCollected)
		}
	case ActionAward:
		if d == nil || d.Base <= 0 || a.Terms == nil {
			return bad("an award has terms and says on what base")
		}
	case ActionGrant:
		if a.Grant == nil {
			return bad("no member to let in")
		}
	}
	return nil
}

// compose seals the message of an event: to the tip's readers and, if it is for
// the source, to the source.
func (o *OpenedTip) compose(e *Event, a Act) ([]byte, error) {
	to := []*seal.Recipient{o.tipKey}
	if e.Action == ActionAward || e.Action == ActionInform {
		for _, m := range o.Case.deciders(o.Case.award(e.Award), o.LeftOut) {
			to = append(to, m.Card.Recipient)
		}
		if len(to) == 1 {
			return nil, against(RuleAward, "the roster has no approver who could decide about it")
		}
	}
	if e.ToSource() {
		if o.reply == nil {
			return nil, fmt.Errorf("tip %s: its first message, which says whom to answer, is lost: %w", o.Tip, ErrInvalid)
		}
		to = append(to, o.reply)
	}
	doc := document{Version: recordVersion, Tip: e.Tip, Number: e.Number, Text: a.Text, Detail: a.Detail}
	if e.ToSource() && a.Detail != nil {
		var err error
		if doc.Desk, err = seal.Message(encode(a.Detail), to[0]); err != nil {
			return nil, fmt.Errorf("%s: %w", a.Action, err)
		}
		doc.Detail = nil
	}
	sealed, err := seal.Message(encode(doc), to...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.Action, err)
	}
	e.Sealed = hash(sealed)
	return sealed, nil
}

// grant seals the tip's key to one more member.
func (o *OpenedTip) grant(e *Event, m *roster.Member) ([]byte, error) {
	if o.Messages[0].Err != nil {
		return nil, against(RuleGrant, "it cannot be read whom the source left out: %v", o.Messages[0].Err)
	}
	if o.leftOut(m) {
		return nil, against(RuleGrant, "the source left %s out: whoever the tip is about never gets its key", m.Name())
	}
	slots, err := seal.SealKeyslots(o.Slot, m.Card.Recipient)
	if err != nil {
		return nil, err
	}
	e.Member, e.Slot = m.Name(), hash(slots.Files[0])
	return slots.Files[0], nil
}

// leftOut reports whether the source left the member or the member's unit out.
func (o *OpenedTip) leftOut(m *roster.Member) bool { return leftOut(o.LeftOut, m) }

// leftOut reports whether a list of LeaveOut names the member or the member's unit.
func leftOut(list []string, m *roster.Member) bool {
	return slices.Contains(list, m.Name()) || m.Unit != "" && slices.Contains(list, LeaveOutUnit(m.Unit))
}

// votes counts who voted for the finding in this round, besides one.
func (o *OpenedTip) votes(f Finding, besides string) int {
	return countVotes(o.roundVotes(len(o.Messages)), f, besides)
}

// roundVotes are the last votes of each member in the round that the message of
// that index is in, before it.
func (o *OpenedTip) roundVotes(before int) map[string]Finding {
	last := make(map[string]Finding)
	for _, m := range o.Messages[:before] {
		switch {
		case m.Void != "":
		case m.Action == ActionReverify:
			clear(last)
		case m.Action == ActionFinding && m.Event.Recuse:
			delete(last, m.By)
		case m.Action == ActionFinding && m.Detail != nil:
			last[m.By] = m.Detail.Finding
		case m.Action == ActionFinding: // withheld or damaged: the one before it counts no more
			delete(last, m.By)
		}
	}
	return last
}

func countVotes(votes map[string]Finding, f Finding, besides string) (n int) {
	for name, vote := range votes {
		if vote == f && name != besides {
			n++
		}
	}
	return n
}

// checkDetails looks for what members did against the rules where the server
// cannot see it.
func (o *OpenedTip) checkDetails() {
	round := 0
	letIn := make(map[string]bool)
	lost := false // an entry, which may have let in anybody
	for i, m := range o.Messages {
		lost = lost || m.Event.lost
		if m.Void != "" {
			continue
		}
		if m.From == FromDesk && !m.Event.lost && m.Action != ActionApprove { // for which see checkAwards
			if why := o.stranger(m.Event, lost || letIn[m.By]); why != "" {
				o.Faults = append(o.Faults, fmt.Sprintf("entry %d: %s, whom %s, took %s", m.Number, m.By, why, m.Action))
			}
		}
		if m.Action == ActionGrant {
			letIn[m.Event.Member] = true
		}
		if m.Action == ActionReverify {
			round++
		}
		if m.Action == ActionGrant && m.Event != nil && slices.ContainsFunc(o.roster.On(m.Day, m.Event.Member), o.leftOut) {
			o.Faults = append(o.Faults, fmt.Sprintf("entry %d: %s let in %s, whom the source left out", m.Number, m.By, m.Event.Member))
		}
		if m.Action != ActionFinding || m.Event == nil || m.Event.Recuse || m.Err != nil && !m.Event.Decides {
			continue
		}
		if m.Detail == nil || !slices.Contains(Findings(round), m.Detail.Finding) {
			o.Faults = append(o.Faults, fmt.Sprintf("entry %d: the vote of %s says nothing", m.Number, m.By))
			continue
		}
		votes := countVotes(o.roundVotes(i), m.Detail.Finding, m.By) + 1
		if m.Event.Decides && votes < o.Case.Rule.Quorum {
			o.Faults = append(o.Faults, fmt.Sprintf("entry %d: %s made a finding of %d votes where %d agree must", m.Number, m.By, votes, o.Case.Rule.Quorum))
		}
		if m.Event.Decides {
			o.Finding = m.Detail.Finding
		}
	}
}

// stranger tells why a member who signed an entry of the desk should not have
// known of the tip, or "". The server keeps keys and tips from such a member; if
// it does not, all that it takes to seal an entry is in the clear there.
func (o *OpenedTip) stranger(e *Event, letIn bool) string {
	might := entitled(o.roster, e, o.Channel)
	if !slices.ContainsFunc(might, func(m *roster.Member) bool { return !o.leftOut(m) }) {
		return "the source left out"
	}
	if step, _ := StepOf(e.Action); letIn || !slices.Contains(step.Roles, roster.Reviewer) { // approvers need no key
		return ""
	}
	had := func(m *roster.Member) bool { return m.Investigates(o.Channel) && (m.Until == "" || m.Until >= o.Day) }
	if slices.ContainsFunc(o.roster.Ever(e.By), had) { // the key, from the source
		return ""
	}
	return "nobody let in"
}

// A Head is the end of a tip's list of events, as a member's tool remembers it.
type Head struct {
	Number int    `json:"number"`
	SHA256 string `json:"sha256"` // of the event's note, hex
}

// Head is the end of the list as it is now.
func (o *OpenedTip) Head() Head { return Head{len(o.chain.events), o.chain.head} }

// After is the end of the list once the server has appended the note.
func (o *OpenedTip) After(note []byte) Head { return Head{len(o.chain.events) + 1, hash(note)} }

// Extends checks that the list goes on from where it once ended. It does not if
// the server shows another history than before, or an older one.
//
// Tied is whether the end of the list is bound to where it once ended: each entry
// behind that names the hash of the one before it. Where one of them is lost it
// does not, and what follows may be the end of another history, so that it must not
// be remembered in the place of the end that was seen.
func (o *OpenedTip) Extends(seen Head) (tied bool, err error) {
	switch {
	case seen.Number == 0:
		return true, nil
	case seen.Number > len(o.chain.events):
		return false, fmt.Errorf("tip %s: the server shows %d entries, and has shown %d: it has taken some back: %w", o.Tip, len(o.chain.events), seen.Number, ErrInvalid)
	case o.chain.hashes[seen.Number-1] == "": // it says that it has lost that one
		after := o.chain.head
		if seen.Number < len(o.chain.events) {
			after = o.chain.events[seen.Number].Before
		}
		if after != "" && after != seen.SHA256 {
			return false, fmt.Errorf("tip %s: what follows entry %d does not follow the one that the server has shown before: it shows two histories: %w", o.Tip, seen.Number, ErrInvalid)
		}
	case o.chain.hashes[seen.Number-1] != seen.SHA256:
		return false, fmt.Errorf("tip %s: entry %d is another than the one that the server has shown before: it shows two histories: %w", o.Tip, seen.Number, ErrInvalid)
	}
	return !slices.ContainsFunc(o.chain.events[seen.Number:], func(e *Event) bool { return e.lost }), nil
}
