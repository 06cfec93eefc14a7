package tipbox

import (
	"slices"

	"tipbox/crypto/roster"
)

// The actions by which a source that was right is paid. The award is proposed by
// an investigator who knows the case, granted by approvers who had no part in it,
// and claimed with the receipt code; who pays learns neither.
const (
	ActionAward   Action = "award"   // by an investigator: proposes an award
	ActionApprove Action = "approve" // by an approver: for it
	ActionRefuse  Action = "refuse"  // by an approver: against it, and tells the source why
	ActionAppeal  Action = "appeal"  // by the source: has other approvers look at a refusal, once
	ActionClaim   Action = "claim"   // by the source: takes the award, waives it or gives it away
	ActionPart    Action = "part"    // by the source: makes a part of it an award with a code of its own
	ActionInform  Action = "inform"  // by an investigator: shows the reasons to approvers who came later
	ActionIssue   Action = "issue"   // by an approver: signs the vouchers that were claimed, blindly, or orders the payout
)

// RuleAward is the name of the rule that what is done to an award fits how far it
// is, the schedule and the window.
const RuleAward = "award"

// AwardTerms are what an event of ActionAward says in the clear, for the accounts.
// Why, and on what base, is sealed: see Detail.
type AwardTerms struct {
	Schedule string `json:"schedule"` // the ID of the one it goes by
	Currency string `json:"currency"`
	Amount   int64  `json:"amount"`           // minor units, of this tip's source
	Total    int64  `json:"total"`            // minor units, of all sources of the case
	Before   int64  `json:"before,omitempty"` // minor units, what was awarded in the case before

	// Split says who shares a Total, the tip that came first before the others: see
	// Split. It is empty if there is one source.
	Split []AwardShare `json:"split,omitempty"`
}

// How a source takes an award.
const (
	ClaimVoucher = "voucher" // bearer vouchers, which nobody can link to the tip
	ClaimDetails = "details" // payment to details that are sealed to the payers
	ClaimCharity = "charity" // to a charity that the schedule names
	ClaimWaive   = "waive"   // not at all
)

// ClaimTerms are what an event of ActionClaim says.
type ClaimTerms struct {
	Choice   string         `json:"choice"`
	Requests []BlindRequest `json:"requests,omitempty"` // ClaimVoucher
	Payout   string         `json:"payout,omitempty"`   // ClaimDetails, ClaimCharity: the payers' id of it
	Details  string         `json:"details,omitempty"`  // ClaimDetails: SHA-256 of what is sealed to the payers, hex
	Charity  string         `json:"charity,omitempty"`  // ClaimCharity
	Payers   []string       `json:"payers,omitempty"`   // ClaimDetails: whom they are sealed to: SHA-256 of the recipients, hex
}

// Hash tells one claim from another: SHA-256 of it as it is signed, hex.
func (t *ClaimTerms) Hash() string { return hash(encode(t)) }

// A BlindRequest asks for a voucher.
type BlindRequest struct {
	Denomination string `json:"denomination"`
	Blinded      []byte `json:"blinded"`
}

// MaxVouchers is the most vouchers of one claim.
const MaxVouchers = 40

// maxInforms is how often a member shows the reasons of an award: nobody alone fills the
// room that there is for entries about awards, nor keeps colleagues from it.
const maxInforms = 5

// An AwardState is how far an award is.
type AwardState string

// The states of an award.
const (
	AwardProposed AwardState = "proposed"
	AwardGranted  AwardState = "granted"
	AwardRefused  AwardState = "refused"
	AwardAppealed AwardState = "appealed"
	AwardClaimed  AwardState = "claimed" // vouchers are to be signed
	AwardIssued   AwardState = "issued"  // they are
	AwardPayable  AwardState = "payable" // to details or a charity
	AwardWaived   AwardState = "waived"
)

// An Award is what the events come to of one.
type Award struct {
	Number int        `json:"number"` // of the event that proposed it, which names it
	Terms  AwardTerms `json:"terms"`
	State  AwardState `json:"state"`

	By       string      `json:"by"` // who proposed it
	Proposed string      `json:"proposed"`
	Granted  string      `json:"granted,omitempty"` // the days
	Claimed  string      `json:"claimed,omitempty"`
	Issued   string      `json:"issued,omitempty"`
	Votes    int         `json:"votes"`              // approvers that it takes
	Approved []string    `json:"approved,omitempty"` // by whom, in this round
	Refused  []string    `json:"refused,omitempty"`  // by whom, ever
	Final    bool        `json:"final,omitempty"`    // refused for good
	Claim    *ClaimTerms `json:"claim,omitempty"`
	Orders   int         `json:"orders,omitempty"`  // approvers that it takes to order its payout
	Ordered  []string    `json:"ordered,omitempty"` // by whom: it is Issued when it was by as many

	// Of is the number of the award that this is a part of, or 0, and Part what the
	// event said that made it. Its Terms have no Total: that is counted there.
	Of   int        `json:"of,omitempty"`
	Part *PartTerms `json:"part,omitempty"`

	held       int // days on hold since it was granted
	signatures [][]byte
	payout     string        // see payoutOf
	earlier    []*ClaimTerms // what was claimed before
	refusedOn  string
	once       string   // of the event that claimed it
	claims     int      // how often it was claimed
	claimedOn  string   // last
	informed   []string // by whom its reasons were shown, each time
}

// ClaimBy is the last day for the claim, "" if it is not granted or while the case
// is on hold: then it waits. A hold that came after that day changes nothing.
func (c *Case) ClaimBy(a *Award) string {
	s := c.roster.Schedule(a.Terms.Schedule)
	if a.State != AwardGranted || s == nil {
		return ""
	}
	by := ClaimBy(s, a.Granted, a.held)
	if c.Hold && c.holdSince <= by {
		return ""
	}
	return by
}

// Expired reports whether nobody has claimed a granted award in time.
func (c *Case) Expired(a *Award, today string) bool {
	by := c.ClaimBy(a)
	return by != "" && today > by
}

// Open reports whether the award still asks something of somebody, so that the
// case must not be erased: vouchers that were signed are kept for as long as the
// source had to claim them.
func (c *Case) Open(a *Award, today string) bool {
	switch a.State {
	case AwardProposed, AwardAppealed, AwardClaimed:
		return true
	case AwardGranted:
		return !c.Expired(a, today)
	case AwardPayable:
		s := c.roster.Schedule(a.Terms.Schedule)
		return a.unordered() || c.unpayable(a, today) && s != nil && today <= ClaimBy(s, a.Issued, 0)
	case AwardIssued:
		s := c.roster.Schedule(a.Terms.Schedule)
		return s != nil && today <= ClaimBy(s, a.Issued, 0)
	case AwardRefused:
		s := c.roster.Schedule(a.Terms.Schedule)
		return !a.Final && s != nil && today <= ClaimBy(s, a.refusedOn, 0)
	}
	return false
}

// awaitsAward reports whether any award is Open.
func (c *Case) awaitsAward(today string) bool {
	return slices.ContainsFunc(c.Awards, func(a *Award) bool { return c.Open(a, today) })
}

// award returns the one of that number, or nil.
func (c *Case) award(number int) *Award {
	for _, a := range c.Awards {
		if a.Number == number {
			return a
		}
	}
	return nil
}

// awarded is the sum of all shares of the case's awards that stand.
func (c *Case) awarded() (total int64) {
	for _, a := range c.Awards {
		if a.State != AwardRefused {
			total += a.Terms.Total
		}
	}
	return total
}

// checkAward refuses an event of the actions above that is against a rule.
func (c *Case) checkAward(e *Event) error {
	if err := e.validateAward(); err != nil {
		return against(RuleAward, "%v", err)
	}
	if e.Action == ActionAward {
		return c.checkTerms(e)
	}
	a := c.award(e.Award)
	if a == nil {
		return against(RuleAward, "the case has no award %d", e.Award)
	}
	is := func(states ...AwardState) error {
		if !slices.Contains(states, a.State) {
			return against(RuleAward, "award %d is %s: to %s is not for it", a.Number, a.State, e.Action)
		}
		return nil
	}
	switch e.Action {
	case ActionApprove, ActionRefuse:
		if err := is(AwardProposed, AwardAppealed); err != nil {
			return err
		}
		if e.Action == ActionApprove && c.State == StateReverifying {
			return against(RuleAward, "others look at the case again: its awards wait for what they find")
		}
		switch {
		case c.acted[e.By] || slices.Contains(c.Recused, e.By):
			return against(RuleOtherEyes, "%s had a part in the case, so others must decide about its award", e.By)
		case slices.Contains(a.Approved, e.By):
			return against(RuleOtherEyes, "%s has approved of it: the next approval is another's", e.By)
		case a.State == AwardAppealed && slices.Contains(a.Refused, e.By):
			return against(RuleOtherEyes, "%s decided what the source appeals against, so others must", e.By)
		}
	case ActionInform:
		if len(slices.DeleteFunc(slices.Clone(a.informed), func(by string) bool { return by != e.By })) >= maxInforms {
			return against(RuleAward, "%s has shown its reasons %d times: the next is a colleague's", e.By, maxInforms)
		}
		return is(AwardProposed, AwardAppealed)
	case ActionIssue:
		if a.unordered() {
			return c.checkOrder(e, a)
		}
		if err := is(AwardClaimed); err != nil {
			return err
		}
		return c.checkSignatures(e, a)
	case ActionAppeal:
		if err := is(AwardRefused); err != nil {
			return err
		}
		if a.Final {
			return against(RuleAward, "the appeal was decided, and there is one")
		}
		if slices.ContainsFunc(c.Awards, func(b *Award) bool { return b.Number > a.Number && b.Of == 0 && b.State != AwardRefused }) {
			return against(RuleAward, "it was proposed anew since")
		}
	case ActionClaim:
		if a.Claim != nil && e.Claim.Choice != ClaimWaive && c.replaceable(a, e.Day) {
			return c.checkClaim(e, a)
		}
		if err := is(AwardGranted); err != nil {
			return err
		}
		if e.Day > c.sourceDay && c.Expired(a, e.Day) { // else it is dated ahead: see sourceEvent
			return against(RuleAward, "the award was to be claimed by %s", c.ClaimBy(a))
		}
		return c.checkClaim(e, a)
	case ActionPart:
		if err := is(AwardGranted); err != nil {
			return err
		}
		if e.Day > c.sourceDay && c.Expired(a, e.Day) { // as of a claim
			return against(RuleAward, "the award was to be claimed by %s", c.ClaimBy(a))
		}
		return c.checkPart(e, a)
	}
	return nil
}

// checkTerms checks a proposal as far as it is in the clear.
func (c *Case) checkTerms(e *Event) error {
	t := e.Terms
	s := c.roster.Schedule(t.Schedule)
	fail := func(format string, args ...any) error { return against(RuleAward, format, args...) }
	switch {
	case s == nil || !s.Covers(c.channel):
		return fail("the roster has no schedule %s for channel %s", t.Schedule, c.channel)
	case t.Currency != s.Currency:
		return fail("schedule %s pays %s", s.ID, s.Currency)
	case t.first(e.Tip) && c.State == StateDeclined:
		return fail("the case was declined: an award is proposed in the one that came first, and shared with this")
	case t.first(e.Tip) && c.Recovered == 0 && !c.torn:
		return fail("no sum is noted that was found or collected: tipbox recover %s", e.Tip)
	case t.Total%s.Unit != 0 || t.Amount%s.Unit != 0:
		return fail("awards are multiples of %d minor units", s.Unit)
	case t.first(e.Tip) && t.Before != c.awarded():
		return fail("%d was awarded in the case before, and not %d", c.awarded(), t.Before)
	case s.Cap > 0 && t.Before > s.Cap-t.Total:
		return fail("with it the case's awards were above %d, the cap of schedule %s", s.Cap, s.ID)
	}
	for _, a := range c.Awards {
		if a.State == AwardProposed || a.State == AwardAppealed {
			return fail("award %d is not decided yet", a.Number)
		}
		if a.Terms.Schedule != t.Schedule && a.State != AwardRefused {
			return fail("the case was awarded by schedule %s before", a.Terms.Schedule)
		}
	}
	if len(t.Split) == 0 {
		if t.Amount != t.Total {
			return fail("one source gets all of it")
		}
		return nil
	}
	var mine int
	parts := make([]int64, len(t.Split))
	for i, share := range t.Split {
		parts[i] = share.Parts
		if share.Tip == e.Tip {
			mine = i + 1
		}
	}
	if shares, err := Split(t.Total, s.Unit, parts); err != nil || mine == 0 || shares[mine-1] != t.Amount {
		return fail("%d is not this tip's share of %d", t.Amount, t.Total)
	}
	return nil
}

// checkClaim checks what a source asks for.
func (c *Case) checkClaim(e *Event, a *Award) error {
	switch e.Claim.Choice {
	case ClaimVoucher:
		var sum int64
		for _, r := range e.Claim.Requests {
			d := c.roster.Denomination(r.Denomination)
			if d == nil || d.Currency != a.Terms.Currency || d.Amount > a.Terms.Amount-sum {
				return against(RuleAward, "a voucher of %s is not one for it", r.Denomination)
			}
			sum += d.Amount
		}
		if sum != a.Terms.Amount {
			return against(RuleAward, "the vouchers come to %d, and the award to %d", sum, a.Terms.Amount)
		}
	case ClaimCharity:
		s := c.roster.Schedule(a.Terms.Schedule)
		if s == nil || !slices.ContainsFunc(s.Charities, func(ch roster.Charity) bool { return ch.ID == e.Claim.Charity }) {
			return against(RuleAward, "the schedule names no charity %s", e.Claim.Charity)
		}
	}
	return nil
}

// replaceable reports whether another claim may take the place of the one that was
// made: until vouchers are signed or the payout is ordered, and after that if nobody
// who pays can read the details. That the source asks for it without need is for
// Service.again to refuse.
func (c *Case) replaceable(a *Award, day string) bool {
	return a.State == AwardClaimed || a.unordered() || c.unpayable(a, day)
}

// unpayable reports whether a payout's details are sealed to nobody who has paid since
// they were given, up to that day. Who paid on a day stays in the roster, and who comes
// back later does not count, so that everybody finds the same ever after.
func (c *Case) unpayable(a *Award, day string) bool {
	if a.State != AwardPayable || len(a.Claim.Payers) == 0 {
		return false
	}
	return !slices.ContainsFunc(c.roster.WithSince(roster.Payer, a.claimedOn, day), func(m *roster.Member) bool {
		return slices.Contains(a.Claim.Payers, hash([]byte(m.Card.Recipient.String())))
	})
}

// checkSignatures checks that the vouchers are signed, which anybody can, as nobody
// can tell what was signed.
func (c *Case) checkSignatures(e *Event, a *Award) error {
	if len(e.Signatures) != len(a.Claim.Requests) {
		return against(RuleAward, "%d signatures for %d vouchers", len(e.Signatures), len(a.Claim.Requests))
	}
	for i, r := range a.Claim.Requests {
		d := c.roster.Denomination(r.Denomination)
		if d == nil {
			return against(RuleAward, "denomination %s is not in the roster", r.Denomination)
		}
		if err := d.CheckBlind(r.Blinded, e.Signatures[i]); err != nil {
			return against(RuleAward, "voucher %d is not signed with the key of %s", i+1, r.Denomination)
		}
	}
	return nil
}

// takeAward moves the awards by an event that may be.
func (c *Case) takeAward(e *Event) {
	if e.Action == ActionAward {
		a := &Award{Number: e.Number, Terms: *e.Terms, State: AwardProposed, By: e.By, Proposed: e.Day, Votes: 1, payout: payoutOf(e)}
		if s := c.roster.Schedule(a.Terms.Schedule); s != nil {
			a.Votes = VotesNeeded(s, a.Terms.Before+a.Terms.Total)
		}
		c.Awards = append(c.Awards, a)
		return
	}
	a := c.award(e.Award)
	if a == nil {
		return // an event of it is lost
	}
	switch pending := a.State == AwardProposed || a.State == AwardAppealed; { // where one is lost, nothing was checked
	case (e.Action == ActionApprove || e.Action == ActionRefuse) && !pending,
		e.Action == ActionAppeal && a.State != AwardRefused,
		e.Action == ActionClaim && a.Claim != nil && !c.replaceable(a, e.Day),
		e.Action == ActionIssue && a.unordered() && c.checkOrder(e, a) != nil,
		e.Action == ActionIssue && !a.unordered() && (a.State != AwardClaimed || c.checkSignatures(e, a) != nil):
		return
	}
	switch e.Action {
	case ActionApprove:
		if a.Approved = append(a.Approved, e.By); len(a.Approved) >= a.Votes {
			a.State, a.Granted = AwardGranted, e.Day
		}
	case ActionRefuse:
		a.Final = a.State == AwardAppealed
		a.Refused = append(append(a.Refused, a.Approved...), e.By)
		a.State, a.Approved, a.refusedOn = AwardRefused, nil, e.Day
	case ActionInform:
		a.informed = append(a.informed, e.By)
	case ActionAppeal:
		a.State = AwardAppealed
	case ActionClaim:
		if a.Claim == nil {
			a.Claimed = e.Day // the first time: the accounts of a month stay as they are
		} else {
			a.earlier = append(a.earlier, a.Claim)
		}
		a.Claim, a.Issued, a.Ordered, a.once = e.Claim, "", nil, e.Once
		a.claimedOn = e.Day
		a.claims++
		switch e.Claim.Choice {
		case ClaimVoucher:
			a.State = AwardClaimed
		case ClaimWaive:
			a.State = AwardWaived
		default:
			a.State, a.Orders = AwardPayable, 1
			if s := c.roster.Schedule(a.Terms.Schedule); s != nil {
				a.Orders = VotesNeeded(s, a.Terms.Amount)
			}
		}
	case ActionPart:
		c.takePart(e, a)
	case ActionIssue:
		if a.State == AwardPayable {
			if a.Ordered = append(a.Ordered, e.By); len(a.Ordered) >= a.Orders {
				a.Issued = e.Day
			}
			return
		}
		a.State, a.Issued, a.signatures = AwardIssued, e.Day, e.Signatures
	}
}

// released gives the awards back the days that the case was on hold.
func (c *Case) released(day string) {
	for _, a := range c.Awards {
		if by := c.ClaimBy(a); by != "" && c.holdSince <= by {
			a.held += daysBetween(max(c.holdSince, a.Granted), day)
		}
	}
}

// aboutAward reports whether the action is about awards.
func aboutAward(a Action) bool {
	return slices.Contains([]Action{ActionAward, ActionApprove, ActionRefuse, ActionAppeal, ActionClaim, ActionPart, ActionInform, ActionIssue}, a)
}

// unsure reports whether an event is lost that may have been about that award, or about
// the one that it is a part of: what was shared may have been claimed before.
func (c *Case) unsure(award int) bool {
	if a := c.award(award); a != nil && a.Of != 0 {
		award = a.Of
	}
	return award > 0 && c.lostAt > award
}

// sure refuses what is new about an award of which an event may be lost.
func (c *Case) sure(e *Event) error {
	if aboutAward(e.Action) && (c.unsure(e.Award) || (e.Action == ActionAward || e.Action == ActionPart) && c.torn) {
		return against(RuleAward, "an entry of the case is lost on the server, so nobody can tell how far award %d is: have it restored from a backup", e.Award)
	}
	return nil
}
