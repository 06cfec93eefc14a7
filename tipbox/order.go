package tipbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tipbox/crypto/roster"
	"tipbox/store"
)

// ErrNoOrder means that no approver has ordered a payout: there is the server's word
// for it, and no other.
var ErrNoOrder = errors.New("no approver has ordered it yet")

// A PayoutOrder is an approver's word that a payout is due, to those details: it says
// what the source's claim does, which the approver's tool has verified, and nothing of
// the tip. So no server pays itself. It is a signed note, whose text is "tipbox payout
// order v1" and the order as JSON, kept with the payout; in the tip's list it is what an
// event of ActionIssue signs.
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

// unordered reports whether an approver has to order the payout.
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
	text, err := json.Marshal(a.order(today))
	if err != nil {
		return nil, fmt.Errorf("order: %w", err)
	}
	return key.Sign(orderHeader + string(text) + "\n")
}

// openOrder reads a note and checks that an approver of its day has signed it, who
// has that name, or any if it is "".
func openOrder(note []byte, r *roster.Roster, by string) (*PayoutOrder, error) {
	if len(note) > maxPaymentNote {
		return nil, fmt.Errorf("order of %d bytes: %w", len(note), ErrTooLong)
	}
	text, signature := string(note), ""
	if i := strings.LastIndex(text, noteSplit); i >= 0 {
		text, signature = text[:i], text[i+len(noteSplit):]
	}
	body, ok := strings.CutPrefix(text, orderHeader)
	if !ok {
		return nil, fmt.Errorf("not the order of a payout, or of a newer version: %w", ErrInvalid)
	}
	order := new(PayoutOrder)
	if err := decodeStrict([]byte(body), order); err != nil {
		return nil, fmt.Errorf("order: %w: %w", ErrInvalid, err)
	}
	name, _, _ := strings.Cut(signature, " ")
	signed := slices.ContainsFunc(r.On(order.Day, name), func(m *roster.Member) bool {
		_, err := roster.Verify(note, m.Card.Verifier)
		return err == nil && m.Has(roster.Approver)
	})
	if !signed || by != "" && name != by {
		return nil, fmt.Errorf("order of %.10s by %.40q, who was no approver or did not sign it: %w", order.Day, name, ErrInvalid)
	}
	return order, nil
}

// OpenOrder checks that an approver has ordered the payout as it is: ErrNoOrder if
// nobody has.
func OpenOrder(item *PayoutItem, r *roster.Roster) (*PayoutOrder, error) {
	if item.Order == "" {
		return nil, fmt.Errorf("payout %.40s: %w", item.ID, ErrNoOrder)
	}
	order, err := openOrder([]byte(item.Order), r, "")
	if err != nil {
		return nil, fmt.Errorf("payout %.40s: %w", item.ID, err)
	}
	want := PayoutOrder{Payout: item.ID, Schedule: item.Schedule, Currency: item.Currency, Amount: item.Amount, Charity: item.Charity, Day: order.Day}
	if len(item.Sealed) > 0 {
		want.Details = hash(item.Sealed)
	}
	if *order != want {
		return nil, fmt.Errorf("payout %.40s is not as it was ordered: %w", item.ID, ErrInvalid)
	}
	return order, nil
}

// checkOrder checks the event by which an approver orders a payout.
func (c *Case) checkOrder(e *Event, a *Award) error {
	if len(e.Signatures) != 1 {
		return against(RuleAward, "%d orders of one payout", len(e.Signatures))
	}
	order, err := openOrder(e.Signatures[0], c.roster, e.By)
	if err != nil || *order != a.order(e.Day) {
		return against(RuleAward, "what is signed is not the order of award %d's payout", a.Number)
	}
	return nil
}

// orderPayout keeps the order with the payout.
func (s *Service) orderPayout(ctx context.Context, a *Award, e *Event) (store.Change, error) {
	rec, err := s.cfg.Store.Get(ctx, keyPayout(a.Claim.Payout))
	if err != nil {
		return store.Change{}, fmt.Errorf("payout %s: %w", a.Claim.Payout, err)
	}
	var payout Payout
	if err := decode(rec, &payout); err != nil {
		return store.Change{}, err
	}
	payout.Order = string(e.Signatures[0])
	if _, err := OpenOrder(&PayoutItem{a.Claim.Payout, payout}, s.Roster()); err != nil {
		return store.Change{}, fmt.Errorf("the payout as it is kept: %w: %w", store.ErrCorrupt, err)
	}
	return store.Update(rec.Key, encode(payout), rec.Revision), nil
}
