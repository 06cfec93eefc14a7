package tipbox

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tipbox/crypto/roster"
	"tipbox/store"
)

// ErrNoOrder means that too few approvers have ordered a payout: the rest is the server's
// word.
var ErrNoOrder = errors.New("too few approvers have ordered it yet")

// ErrContested means that a source has claimed otherwise before: whoever signs for what
// it claims now must know that nobody has signed for that.
var ErrContested = errors.New("claimed otherwise before, which another approver may have signed for")

// A PayoutOrder is an approver's word that a payout is due, to those details: it says
// what the source's claim does, which the approver's tool has verified, and nothing of
// the tip. It takes as many approvers as the schedule asks for by the amount, so that neither
// a server nor one of them with its help pays anybody. It is a signed note, whose text is "tipbox payout
// order v1" and the order as JSON, kept with the payout, one behind the other; in the
// tip's list it is what an event of ActionIssue signs.
type PayoutOrder struct {
	Payout   string `json:"payout"`
	Schedule string `json:"schedule"`
	Currency string `json:"currency"`
	Amount   int64  `json:"amount"`            // minor units
	Charity  string `json:"charity,omitempty"` // to that one, or
	Details  string `json:"details,omitempty"` // to those: SHA-256 of what is sealed, hex
	Day      string `json:"day"`
}

const orderHeader = "tipbox payout order v1\n"

// payoutOf is the id of the payout of an award, of which that is the event that made it:
// base32 of the SHA-256 of what it signs. So an award has one, and is paid once, however
// often it is claimed and whatever is kept back of that. Nothing leads from it to the tip
// for those who have not the event, as nobody has once the tip is erased.
func payoutOf(e *Event) string {
	text, err := e.text()
	if err != nil {
		return "" // none that validates
	}
	sum := sha256.Sum256([]byte("tipbox payout v1\n" + text))
	return lowerBase32.EncodeToString(sum[:])[:payoutIDLength]
}

// contested reports whether what is claimed now might be paid besides what was claimed
// before, had an approver signed for that and a server kept the signature back. Two
// payouts of an award are one.
func (a *Award) contested() bool {
	return slices.ContainsFunc(a.earlier, func(t *ClaimTerms) bool {
		return t.Choice == ClaimVoucher && t.Hash() != a.Claim.Hash() || t.Payout != "" && t.Payout != a.Claim.Payout
	})
}

// CheckIssue is to be asked before anything is signed for the claim of an award. It
// refuses vouchers that end too soon, a payout that nobody could pay or that is not the
// award's, and, unless it is told otherwise, what is ErrContested.
func (o *OpenedTip) CheckIssue(award int, today string, uncontested bool) error {
	a := o.Case.award(award)
	if a == nil || a.Claim == nil {
		return nil // as the fold says
	}
	if id := a.Claim.ending(o.roster, today); id != "" {
		return against(RuleAward, "denomination %s ends too soon for its source to be paid: have the root key's holder put its last day off (tipbox roster denomination FILE --extend), or enter a new one, and the source is asked to choose anew", id)
	}
	switch {
	case a.Claim.Payout != "" && a.Claim.Payout != a.payout:
		return against(RuleAward, "payout %s is not that of award %d, which has one: if it was claimed by an earlier version, its source can give the details again", a.Claim.Payout, a.Number)
	case o.Case.unpayable(a, today):
		return against(RuleAward, "nobody who pays can read where to: the source is asked for it anew")
	case !uncontested && a.contested():
		return fmt.Errorf("award %d of tip %s: %w", award, o.Tip, ErrContested)
	}
	return nil
}

// unordered reports whether approvers have to order the payout.
func (a *Award) unordered() bool { return a.State == AwardPayable && a.Issued == "" }

// order is that of an award that is payable.
func (a *Award) order(day string) PayoutOrder {
	return PayoutOrder{
		Payout: a.Claim.Payout, Schedule: a.Terms.Schedule, Currency: a.Terms.Currency, Amount: a.Terms.Amount,
		Charity: a.Claim.Charity, Details: a.Claim.Details, Day: day,
	}
}

// Order signs the order of an award's payout, for an event of ActionIssue.
func (o *OpenedTip) Order(key *roster.SigningKey, today string, award int) ([]byte, error) {
	a := o.Case.award(award)
	if a == nil || !a.unordered() {
		return nil, against(RuleAward, "no payout of award %d is to be ordered", award)
	}
	if err := o.CheckIssue(award, today, true); err != nil {
		return nil, err
	}
	text, err := json.Marshal(a.order(max(today, o.signedDay()))) // as the event is
	if err != nil {
		return nil, fmt.Errorf("order: %w", err)
	}
	return key.Sign(orderHeader + string(text) + "\n")
}

// openOrder reads a note and checks that an approver of its day has signed it.
func openOrder(note []byte, r *roster.Roster) (order *PayoutOrder, by string, err error) {
	if len(note) > maxPaymentNote {
		return nil, "", fmt.Errorf("order of %d bytes: %w", len(note), ErrTooLong)
	}
	text, signature := string(note), ""
	if i := strings.LastIndex(text, noteSplit); i >= 0 {
		text, signature = text[:i], text[i+len(noteSplit):]
	}
	body, ok := strings.CutPrefix(text, orderHeader)
	if !ok {
		return nil, "", fmt.Errorf("not the order of a payout, or of a newer version: %w", ErrInvalid)
	}
	order = new(PayoutOrder)
	if err := decodeStrict([]byte(body), order); err != nil {
		return nil, "", fmt.Errorf("order: %w: %w", ErrInvalid, err)
	}
	by, _, _ = strings.Cut(signature, " ")
	signed := slices.ContainsFunc(r.On(order.Day, by), func(m *roster.Member) bool {
		_, err := roster.Verify(note, m.Card.Verifier)
		return err == nil && m.Has(roster.Approver)
	})
	if !signed {
		return nil, "", fmt.Errorf("order of %.10s by %.40q, who was no approver or did not sign it: %w", order.Day, by, ErrInvalid)
	}
	return order, by, nil
}

// OpenOrder checks that approvers have ordered the payout as it is, each once, and as
// many as its schedule asks for by the amount: else ErrNoOrder. It returns who has.
func OpenOrder(item *PayoutItem, r *roster.Roster) (by []string, err error) {
	fail := func(why error) ([]string, error) { return nil, fmt.Errorf("payout %.40s: %w", item.ID, why) }
	s := r.Schedule(item.Schedule)
	if s == nil || item.Currency != s.Currency || item.Amount <= 0 || item.Amount%s.Unit != 0 || s.Cap > 0 && item.Amount > s.Cap {
		return fail(fmt.Errorf("its schedule pays no such sum: %w", ErrInvalid))
	}
	for _, note := range strings.SplitAfter(item.Order, orderHeader)[1:] {
		order, name, err := openOrder([]byte(orderHeader+strings.TrimSuffix(note, orderHeader)), r)
		if err != nil {
			return fail(err)
		}
		want := PayoutOrder{Payout: item.ID, Schedule: item.Schedule, Currency: item.Currency, Amount: item.Amount, Charity: item.Charity, Day: order.Day}
		if len(item.Sealed) > 0 {
			want.Details = hash(item.Sealed)
		}
		if *order != want || slices.Contains(by, name) {
			return fail(fmt.Errorf("it is not as it was ordered: %w", ErrInvalid))
		}
		by = append(by, name)
	}
	switch need := VotesNeeded(s, item.Amount); {
	case len(by) == 0 && item.Order != "":
		return fail(fmt.Errorf("what stands for its order is none: %w", ErrInvalid))
	case len(by) < need:
		return by, fmt.Errorf("payout %.40s: ordered by %d of %d: %w", item.ID, len(by), need, ErrNoOrder)
	}
	return by, nil
}

// checkOrder checks the event by which an approver orders a payout.
func (c *Case) checkOrder(e *Event, a *Award) error {
	if len(e.Signatures) != 1 {
		return against(RuleAward, "%d orders of one payout", len(e.Signatures))
	}
	if slices.Contains(a.Ordered, e.By) {
		return against(RuleOtherEyes, "%s has ordered it: the next order is another's", e.By)
	}
	order, by, err := openOrder(e.Signatures[0], c.roster)
	if err != nil || by != e.By || *order != a.order(e.Day) {
		return against(RuleAward, "what is signed is not the order of award %d's payout", a.Number)
	}
	return nil
}

// orderPayout keeps the order with the payout, behind those that are there.
func (s *Service) orderPayout(ctx context.Context, a *Award, e *Event) (store.Change, error) {
	rec, err := s.cfg.Store.Get(ctx, keyPayout(a.Claim.Payout))
	if err != nil {
		return store.Change{}, fmt.Errorf("payout %s: %w", a.Claim.Payout, err)
	}
	var payout Payout
	if err := decode(rec, &payout); err != nil {
		return store.Change{}, err
	}
	payout.Order += string(e.Signatures[0])
	if _, err := OpenOrder(&PayoutItem{a.Claim.Payout, payout}, s.Roster()); err != nil && !errors.Is(err, ErrNoOrder) {
		return store.Change{}, fmt.Errorf("the payout as it is kept: %w: %w", store.ErrCorrupt, err)
	}
	return store.Update(rec.Key, encode(payout), rec.Revision), nil
}
