package tipbox

import (
	"fmt"
	"slices"
	"time"

	"tipbox/crypto/roster"
)

// The actions by which members work a case. Each is an Event; Steps is the table
// of who may take which when. (ActionReply and ActionErase are with the others.)
const (
	ActionAck      Action = "ack"      // tells the source that the tip is read
	ActionAccept   Action = "accept"   // takes the case on
	ActionDecline  Action = "decline"  // does not, and tells the source why
	ActionAssign   Action = "assign"   // gives it an owner and a deadline
	ActionNote     Action = "note"     // notes something for the desk
	ActionAsk      Action = "ask"      // asks the source; the clock stands still until an answer
	ActionFinding  Action = "finding"  // a vote on what was found, or a recusal
	ActionRecover  Action = "recover"  // notes a sum that was found or collected
	ActionAnswer   Action = "answer"   // tells the source what came of it
	ActionClose    Action = "close"    // confirms that the case is done
	ActionReverify Action = "reverify" // has others look at it again, and tells the source why
	ActionHold     Action = "hold"     // keeps it from being erased
	ActionRelease  Action = "release"  // ends that
	ActionGrant    Action = "grant"    // lets a colleague read it
)

// A State is where a case is on its path.
type State string

// The states.
const (
	StateReceived      State = "received"
	StateAcknowledged  State = "acknowledged"
	StateDeclined      State = "declined"
	StateAccepted      State = "accepted"
	StateAssigned      State = "assigned"
	StateInvestigating State = "investigating"
	StateAwaiting      State = "awaiting" // the source's answer
	StateFound         State = "found"
	StateAnswered      State = "answered"
	StateClosed        State = "closed"
	StateReverifying   State = "reverifying"
	StateReverified    State = "reverified"
)

// States are all states, in the order of the path.
func States() []State {
	return []State{
		StateReceived, StateAcknowledged, StateDeclined, StateAccepted, StateAssigned, StateInvestigating,
		StateAwaiting, StateFound, StateAnswered, StateClosed, StateReverifying, StateReverified,
	}
}

// Over reports whether nothing is to be done any more.
func (s State) Over() bool { return s == StateDeclined || s == StateClosed }

// A Step is a line of the table of who may do what: the server, the member's
// tool and its help all go by it.
type Step struct {
	Action   Action
	Roles    []roster.Role // any of them
	From     []State       // nil: any
	To       State         // "": stays, but see Case.apply
	ToSource bool          // its text is for the source too
	Help     string
}

var (
	investigators = []roster.Role{roster.Investigator}
	readers       = []roster.Role{roster.Investigator, roster.Reviewer}
	reviewers     = []roster.Role{roster.Reviewer}
	approvers     = []roster.Role{roster.Approver}

	atWork = []State{StateAssigned, StateInvestigating, StateAwaiting}
)

// Steps is the table.
func Steps() []Step {
	fresh := []State{StateReceived, StateAcknowledged}
	return []Step{
		{ActionReply, investigators, nil, "", true, "answer the source, at any time"},
		{ActionAck, investigators, []State{StateReceived}, StateAcknowledged, true, "tell the source that the tip is read"},
		{ActionAccept, investigators, fresh, StateAccepted, false, "take the case on"},
		{ActionDecline, investigators, append(fresh, StateAccepted), StateDeclined, true, "decline the case, and tell the source why"},
		{ActionAssign, investigators, append([]State{StateAccepted, StateReverifying}, atWork...), "", false, "give the case an owner and a deadline"},
		{ActionNote, readers, nil, "", false, "note something for the desk"},
		{ActionAsk, investigators, []State{StateAssigned, StateInvestigating}, StateAwaiting, true, "ask the source; the clock stands still meanwhile"},
		{ActionFinding, readers, append([]State{StateReverifying}, atWork...), "", false, "vote on what was found, or recuse yourself"},
		{ActionRecover, investigators, []State{StateFound, StateAnswered, StateClosed, StateReverifying, StateReverified}, "", false, "note a sum that was found or collected"},
		{ActionAnswer, investigators, []State{StateFound}, StateAnswered, true, "tell the source what came of it"},
		{ActionClose, reviewers, []State{StateAnswered, StateReverified}, StateClosed, false, "confirm that the case is done"},
		{ActionReverify, readers, []State{StateClosed, StateDeclined}, StateReverifying, true, "have others look at the case again, and tell the source why"},
		{ActionAward, investigators, []State{StateDeclined, StateFound, StateAnswered, StateClosed, StateReverified}, "", false, "propose an award for the source"},
		{ActionInform, investigators, nil, "", false, "show an award's reasons to approvers who came later"},
		{ActionApprove, approvers, nil, "", false, "grant an award"},
		{ActionRefuse, approvers, nil, "", true, "refuse an award, and tell the source why"},
		{ActionIssue, approvers, nil, "", false, "sign the vouchers that a source claims"},
		{ActionHold, readers, nil, "", false, "keep the case from being erased"},
		{ActionRelease, readers, nil, "", false, "let the case be erased again"},
		{ActionGrant, investigators, nil, "", false, "let a colleague read the case"},
		{ActionErase, investigators, nil, "", false, "take the tip away for good"},
	}
}

// StepOf returns the line of a member's action.
func StepOf(a Action) (Step, bool) {
	for _, s := range steps {
		if s.Action == a {
			return s, true
		}
	}
	return Step{}, false
}

var steps = Steps()

// Names of the rules besides the table, as refusals give them.
const (
	RuleKey       = "key"       // it is not signed with the key of who might on that day
	RulePath      = "path"      // the state does not allow the action
	RuleRole      = "role"      // the member's roles do not
	RuleRecused   = "recused"   // who recused themselves has no part in the case
	RuleOwner     = "owner"     // an owner is an investigator who reads the case
	RuleQuorum    = "quorum"    // a finding takes the channel's quorum of votes
	RuleOtherEyes = "otherEyes" // who investigated does not close; who had a part does not re-verify
	RuleHold      = "hold"      // a case on hold is not erased
	RuleGrant     = "grant"     // readers are investigators or reviewers of the channel
)

// A RuleError is a refusal by a rule. It is ErrRule.
type RuleError struct {
	Rule string // its name
	Why  string // and what to do
}

func (e *RuleError) Error() string { return "rule " + e.Rule + ": " + e.Why }

// Is makes it ErrRule and, if it is about the member's roles, ErrForbidden.
func (e *RuleError) Is(target error) bool {
	return target == ErrRule || target == ErrForbidden && e.Rule == RuleRole
}

func against(rule, format string, args ...any) error {
	return &RuleError{rule, fmt.Sprintf(format, args...)}
}

// mayTake reports whether a member's roles allow an action in a channel.
func mayTake(m *roster.Member, channel string, action Action) bool {
	step, ok := StepOf(action)
	return ok && slices.ContainsFunc(step.Roles, func(role roster.Role) bool {
		switch role {
		case roster.Investigator:
			return m.Investigates(channel)
		case roster.Reviewer:
			return m.Reviews(channel)
		}
		return m.Has(role)
	})
}

// validateCase checks the fields of the actions by which a case is worked.
func (e *Event) validateCase() error {
	fail := func(what string) error { return fmt.Errorf("%s: %w", what, ErrInvalid) }
	_, err := time.Parse(time.DateOnly, e.Due)
	switch {
	case (e.Action == ActionAssign) != (e.Owner != "" && e.Due != "" && err == nil && e.Due < lastDay) || e.Action != ActionAssign && e.Owner+e.Due != "":
		return fail("owner and deadline")
	case e.Owner != "" && roster.CheckName(e.Owner) != nil:
		return fail("owner")
	case e.Action != ActionFinding && (e.Decides || e.Recuse) || e.Decides && e.Recuse:
		return fail("vote")
	case (e.Action == ActionGrant) != (e.Member != "" && hexHash.MatchString(e.Slot)) || e.Action != ActionGrant && e.Member+e.Slot != "":
		return fail("grant")
	case e.Member != "" && roster.CheckName(e.Member) != nil:
		return fail("member")
	}
	return nil
}
