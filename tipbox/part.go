package tipbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/store"
)

// Who sent a tip together shares its award by parts. A part has a receipt code of
// its own, which is derived from the tip's and kept nowhere: whoever has it claims
// the part, signs with its key and makes vouchers of it, and sees nothing else of the
// tip. Whoever has the tip's code can derive it again, and claims with their own key
// what is left of the award.

// PartTerms are what an event of ActionPart says. The number of that event is the
// number of the part.
type PartTerms struct {
	Index    int    `json:"index"`    // among the award's parts, from 1: by it the code is derived
	Amount   int64  `json:"amount"`   // minor units
	Verifier string `json:"verifier"` // of the key that signs its claim, named SourceName
	Box      string `json:"box"`      // SHA-256 of its code's locator, hex
}

// MaxParts is the most parts of a case's awards: an erasure, which takes their
// mailboxes away, is one Apply.
const MaxParts = 20

func (p *PartTerms) validate() error {
	fail := func(what string) error { return fmt.Errorf("part: %s: %w", what, ErrInvalid) }
	if p.Index < 1 || p.Index > MaxParts {
		return fail("index")
	}
	if p.Amount <= 0 || p.Amount > maxAwardAmount {
		return fail("amount")
	}
	if name, _, err := roster.VerifierPublic(p.Verifier); err != nil || name != SourceName {
		return fail("key")
	}
	if !hexHash.MatchString(p.Box) {
		return fail("mailbox")
	}
	return nil
}

// MostPart is the largest part that can be made: something is left.
func (a *ThreadAward) MostPart() int64 { return max(a.Amount-a.Schedule.Unit, 0) }

// parts are those of an award, in their order.
func (c *Case) parts(of *Award) (parts []*Award) {
	for _, a := range c.Awards {
		if a.Of == of.Number {
			parts = append(parts, a)
		}
	}
	return parts
}

// own is the award of that number, if it is for a code to claim: for the tip's own,
// if part is 0, all but parts are, and for that of a part only that.
func (c *Case) own(number, part int) *Award {
	a := c.award(number)
	if a == nil || part == 0 && a.Of != 0 || part != 0 && a.Number != part {
		return nil
	}
	return a
}

// checkPart checks a part of an award that is granted.
func (c *Case) checkPart(e *Event, a *Award) error {
	s, all, next := c.roster.Schedule(a.Terms.Schedule), 0, 1
	for _, b := range c.Awards {
		if b.Of == 0 {
			continue
		}
		if b.Part.Verifier == e.Part.Verifier || b.Part.Box == e.Part.Box {
			return against(RuleAward, "award %d has that code already", b.Number)
		}
		if all++; b.Of == a.Number {
			next = b.Part.Index + 1
		}
	}
	switch {
	case a.Of != 0:
		return against(RuleAward, "award %d is itself a part", a.Number)
	case s == nil || e.Part.Amount%s.Unit != 0:
		return against(RuleAward, "%d is no multiple of the schedule's unit", e.Part.Amount)
	case e.Part.Amount >= a.Terms.Amount:
		return against(RuleAward, "%d is left of award %d, and a part is less than that", a.Terms.Amount, a.Number)
	case e.Part.Index != next:
		return against(RuleAward, "part %d of award %d, and the next is %d", e.Part.Index, a.Number, next)
	case all >= MaxParts:
		return against(RuleAward, "the case's awards have %d parts, and more cannot be", all)
	}
	return nil
}

// takePart makes an award of a part: what was decided about the one goes for the
// other, and its window is the same. The total stays where it was awarded.
func (c *Case) takePart(e *Event, a *Award) {
	if a.State != AwardGranted || a.Of != 0 || e.Part.Amount >= a.Terms.Amount {
		return // an event of it is lost, so nothing was checked
	}
	part := *a
	part.Number, part.Of, part.Part, part.payout = e.Number, a.Number, e.Part, payoutOf(e)
	part.Terms = AwardTerms{Schedule: a.Terms.Schedule, Currency: a.Terms.Currency, Amount: e.Part.Amount}
	part.Approved, part.Refused = slices.Clone(a.Approved), slices.Clone(a.Refused)
	a.Terms.Amount -= e.Part.Amount
	c.Awards = append(c.Awards, &part)
}

// Part makes a part of an award of the thread that the code opens, and returns the
// part's code. Index is that of the part, one more than there are: the same part made
// twice is one. When it returns nil the part is durable. Errors: ErrClaim,
// ErrNoThread, ErrConflict, or the store's.
func (s *Service) Part(ctx context.Context, code *receipt.Code, award, index int, amount int64) (*receipt.Code, error) {
	defer s.brief()()
	if award < 1 || index < 1 {
		return nil, fmt.Errorf("part %d of award %d: %w", index, award, ErrClaim)
	}
	part := code.Part(award, index)
	key, err := sourceKey(part)
	if err != nil {
		return nil, err
	}
	terms := &PartTerms{Index: index, Amount: amount, Verifier: key.Verifier(), Box: boxHash(part.Locator())}
	err = s.sourceEvent(ctx, code, ActionPart, award, terms.asked(), func(_ *Case, _ *Award, e *Event, _ *loadedTip) ([]store.Change, []byte, error) {
		e.Part = terms
		return []store.Change{store.Create(terms.box(), partValue(e.Tip, e.Number))}, nil, nil
	})
	if err != nil {
		return nil, err
	}
	return part, nil
}

// asked tells a part that is made twice from another.
func (p *PartTerms) asked() string { return fmt.Sprint(p.Index, " of ", p.Amount) }

// PartCode returns the code of a part that was made, by the part's number, to the
// thread that has made it.
func (s *Service) PartCode(ctx context.Context, code *receipt.Code, number int) (*receipt.Code, error) {
	defer s.brief()()
	id, _, _, err := s.find(ctx, code)
	if err != nil {
		return nil, err
	}
	t, c, err := s.loadChain(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNoThread // erased meanwhile
	}
	if err != nil {
		return nil, err
	}
	a := foldCase(c.events, t.Channel, s.Roster()).award(number)
	if a == nil || a.Of == 0 {
		return nil, fmt.Errorf("there is no part %d: %w", number, ErrClaim)
	}
	part := code.Part(a.Of, a.Part.Index)
	if boxHash(part.Locator()) != a.Part.Box {
		return nil, fmt.Errorf("tip %s: part %d is of another code: %w", id, number, store.ErrCorrupt)
	}
	return part, nil
}

// box is the key of the mailbox of a part's code, and partValue what is kept there.
func (p *PartTerms) box() store.Key { return prefixBox + store.Key(p.Box) }

func partValue(tip string, part int) []byte { return []byte(tip + "/" + string(number(part))) }

// boxLeads is where a mailbox leads: to a tip, and in it to a part or, if that is 0,
// to all of it.
func boxLeads(box store.Record) (tip string, part int, err error) {
	tip, after, of := strings.Cut(string(box.Value), "/")
	if of {
		part, err = strconv.Atoi(after)
	}
	if err != nil || of && part < 1 {
		return "", 0, fmt.Errorf("record %s: %w", box.Key, store.ErrCorrupt)
	}
	return tip, part, nil
}

// partOf is the award of a part, to which a code has led.
func (c *Case) partOf(tip string, part int) (*Award, error) {
	if a := c.award(part); a != nil && a.Of != 0 {
		return a, nil
	}
	return nil, fmt.Errorf("tip %s: the entry %d, which made a part of an award, is lost or void: %w", tip, part, store.ErrCorrupt)
}

// learn takes up the keys of parts as the chain names them.
func (k *keyring) learn(e *Event) {
	if e.Action != ActionPart {
		return
	}
	if k.parts == nil {
		k.parts = make(map[int]string)
	}
	k.parts[e.Number] = e.Part.Verifier
}

// verifySource checks the signature of a source's event: by the tip's own key or, if
// it claims a part, by that of the part and no other. A claim of which it cannot be
// told any more whose it was is void: it hides nothing else.
func (k keyring) verifySource(e *Event, signed []byte) error {
	verifier, ok := k.parts[e.Award]
	if !ok || e.Action != ActionClaim {
		verifier = k.source
	}
	err := k.verifyBy(e, signed, verifier)
	if err == nil && e.Action == ActionPart && e.Part.Verifier == k.source {
		e.void = "a part is for another key than the tip's own"
	}
	if err != nil && e.Action == ActionClaim && slices.Contains(k.lost, e.Award) {
		e.void = fmt.Sprintf("entry %d, which says whose award it was, is lost", e.Award)
		return nil
	}
	return err
}
