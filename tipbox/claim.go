package tipbox

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/crypto/voucher"
	"tipbox/store"
)

// ErrClaim means that an award cannot be claimed, or appealed for, so: it wraps
// the rule's reason.
var ErrClaim = errors.New("the award cannot be claimed so")

// A Claim is how a source takes an award.
type Claim struct {
	Award   int    // its number
	Choice  string // ClaimVoucher, …
	Details string // ClaimDetails: where to pay, in the source's words
	Charity string // ClaimCharity: its ID
}

// MaxDetails is the most characters of payment details.
const MaxDetails = 2000

// Claim claims an award of the thread that the code opens, or the part that it is
// for. When it returns nil the claim is durable. The same claim made twice is one. One
// that was made can be corrected or replaced as far as ThreadAward.Again says. Errors: ErrClaim,
// ErrEmpty, ErrTooLong, ErrNoThread, ErrConflict, or the store's.
func (s *Service) Claim(ctx context.Context, code *receipt.Code, claim Claim) error {
	defer s.brief()()
	once := claim.once(code)
	return s.sourceEvent(ctx, code, ActionClaim, claim.Award, once, func(_ *Case, a *Award, e *Event, t *loadedTip) (changes []store.Change, sealed []byte, err error) {
		var details []byte
		e.Claim, details, err = claim.terms(code, &a.Terms, a.payout, s.Roster(), s.Today(), s.cfg.Root)
		if err != nil {
			return nil, nil, err
		}
		e.Once = once
		changes, err = s.claimed(ctx, a, e.Claim, details)
		return changes, nil, err
	})
}

// once is the same for the same claim, and tells nothing to whoever has not the code.
func (c Claim) once(code *receipt.Code) string {
	return hex.EncodeToString(mac(code.Derive("once", 32), "claim", encode(c))[:16])
}

// claimed is what else is written when an award is claimed: what payers get, in the
// place of what they got of the claim before. ErrClaim if that was paid.
func (s *Service) claimed(ctx context.Context, a *Award, t *ClaimTerms, details []byte) ([]store.Change, error) {
	changes := t.payout(&a.Terms, details)
	if a.Claim == nil || a.Claim.Payout == "" {
		return changes, nil
	}
	rec, err := s.cfg.Store.Get(ctx, keyPayout(a.Claim.Payout))
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("it was paid: %w", ErrClaim) // and the payout forgotten since
	}
	var before Payout
	if err == nil {
		err = decode(rec, &before)
	}
	if err != nil {
		return nil, fmt.Errorf("payout %s: %w", a.Claim.Payout, err)
	}
	if before.Paid != "" {
		return nil, fmt.Errorf("it was paid: %w", ErrClaim)
	}
	if a.Claim.Payout == t.Payout {
		changes[0] = store.Update(rec.Key, changes[0].Value, rec.Revision)
		return append(changes, store.Put(prefixCompact+store.Key(s.Today()), nil)), nil
	}
	return append(changes, store.DeleteAt(rec.Key, rec.Revision), store.Put(prefixCompact+store.Key(s.Today()), nil)), nil
}

// maxClaims is how often details are given for an award, unless others must be: the
// entries about a case's awards are so many, and whoever holds a part leaves the rest
// of them to the others.
const maxClaims = 8

// again reports whether the claim of an award can be replaced, as the source is told:
// details as long as that is possible, vouchers if one could not be paid any more.
func (s *Service) again(c *Case, a *Award) bool {
	if a.Claim == nil || !c.replaceable(a, s.Today()) {
		return false
	}
	return a.Claim.Choice == ClaimDetails && (a.claims < maxClaims || c.unpayable(a, s.Today())) || a.Claim.ending(s.Roster(), s.Today()) != ""
}

// lost reports whether the claim of an award must be replaced, for what was claimed
// cannot be issued or paid any more.
func (s *Service) lost(c *Case, a *Award) bool {
	return s.again(c, a) && (a.State == AwardClaimed || c.unpayable(a, s.Today()))
}

// ending is a denomination of the requests that is gone, or ends so soon that no
// voucher of it is signed any more, for its source could hardly fetch and present it;
// or "".
func (t *ClaimTerms) ending(r *roster.Roster, today string) string {
	const soon = 30 // days
	for _, request := range t.Requests {
		if d := r.Denomination(request.Denomination); d == nil || d.Until < addDays(today, soon) {
			return request.Denomination
		}
	}
	return ""
}

// terms are what the claim says in the clear, and its details as they are sealed
// to the payers. The server makes them, or the source's own tool: see Claims. Payout is
// the id of the award's: see payoutOf.
func (c Claim) terms(code *receipt.Code, award *AwardTerms, payout string, r *roster.Roster, today, root string) (t *ClaimTerms, details []byte, err error) {
	t = &ClaimTerms{Choice: c.Choice}
	switch c.Choice {
	case ClaimVoucher:
		t.Requests, err = blindRequests(code, c.Award, award, r, today, root)
	case ClaimDetails:
		t.Payout = payout
		t.Payers = payers(r)
		if details, err = sealDetails(r, t.Payout, c.Details); err == nil {
			t.Details = hash(details)
		}
	case ClaimCharity:
		t.Payout, t.Charity = payout, c.Charity
	}
	return t, details, err
}

// payout is what payers get of the claim of an award, if it is not by vouchers.
func (t *ClaimTerms) payout(award *AwardTerms, details []byte) []store.Change {
	if t.Payout == "" {
		return nil
	}
	p := Payout{Currency: award.Currency, Amount: award.Amount, Schedule: award.Schedule, Charity: t.Charity, Sealed: details}
	return []store.Change{store.Create(keyPayout(t.Payout), encode(p))}
}

// Appeal has other approvers look at the refusal of an award. What the source
// writes is for the desk and the approvers.
func (s *Service) Appeal(ctx context.Context, code *receipt.Code, award int, lang, text string) error {
	defer s.brief()()
	text, err := (&Draft{}).checkText(text)
	if err != nil {
		return err
	}
	return s.sourceEvent(ctx, code, ActionAppeal, award, "", func(c *Case, a *Award, e *Event, t *loadedTip) ([]store.Change, []byte, error) {
		to, err := seal.ParseRecipient(t.Key)
		if err != nil {
			return nil, nil, err
		}
		recipients := []*seal.Recipient{to}
		for _, m := range c.deciders(a, t.LeftOut) { // others decide now, and they alone read it
			recipients = append(recipients, m.Card.Recipient)
		}
		sealed, err := seal.Message(encode(document{Version: recordVersion, Tip: e.Tip, Number: e.Number, Lang: cut(lang, 35), Text: text}), recipients...)
		return nil, sealed, err
	})
}

// sourceEvent appends an event about an award, signed by the code. Compose fills
// the event in, and returns what is written with it and what it seals. Once tells
// claims and parts apart.
func (s *Service) sourceEvent(ctx context.Context, code *receipt.Code, action Action, award int, once string,
	compose func(*Case, *Award, *Event, *loadedTip) ([]store.Change, []byte, error)) error {
	key, err := roster.SigningKeyFrom(SourceName, code.SigningKey())
	if err != nil {
		return err
	}
	for range tries {
		id, part, _, _, err := s.findBox(ctx, code.Locator())
		if err != nil {
			return err
		}
		t, c, err := s.loadChain(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return ErrNoThread // erased meanwhile
		}
		if err != nil {
			return err
		}
		current := s.Roster()
		kase := foldCase(c.events, t.Channel, current)
		a := kase.own(award, part)
		if a == nil {
			return fmt.Errorf("there is no award %d for this code: %w", award, ErrClaim)
		}
		if done(kase, a, action, once) && !s.lost(kase, a) {
			return nil // sent twice
		}
		if a.Claim != nil && action == ActionClaim && !s.again(kase, a) {
			return fmt.Errorf("award %d was claimed: %w", award, ErrClaim)
		}
		e, err := c.next(action, s.Today())
		if err != nil {
			return err
		}
		e.By, e.Award = SourceName, award
		changes, sealed, err := compose(kase, a, e, t)
		if err != nil {
			return err
		}
		if sealed != nil {
			e.Sealed = hash(sealed)
		}
		if err := e.validate(); err != nil {
			return fmt.Errorf("%w: %w", ErrClaim, err)
		}
		if err := kase.sure(e); err != nil {
			return fmt.Errorf("%w: %w", ErrClaim, err)
		}
		if action != ActionAppeal && kase.Expired(a, s.Today()) {
			return fmt.Errorf("the award was to be claimed by %s: %w", kase.ClaimBy(a), ErrClaim)
		}
		if err := kase.apply(e); err != nil {
			return fmt.Errorf("%w: %w", ErrClaim, err)
		}
		note, err := e.sign(key)
		if err != nil {
			return err
		}
		more, err := s.appending(t, e, note, sealed, kase)
		if err != nil {
			return err
		}
		err = s.cfg.Store.Apply(ctx, append(more, changes...)...)
		if err == nil {
			s.settle(ctx, id, current)
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return ErrConflict
}

// done reports whether the source has done just that to the award already.
func done(kase *Case, a *Award, action Action, once string) bool {
	if action == ActionPart {
		return slices.ContainsFunc(kase.parts(a), func(part *Award) bool { return part.Part.asked() == once })
	}
	return action == ActionClaim && a.Claim != nil && a.once == once || action == ActionAppeal && a.State == AwardAppealed
}

// payers names the recipients of payment details: SHA-256, hex.
func payers(r *roster.Roster) (hashes []string) {
	for _, m := range r.With(roster.Payer) {
		hashes = append(hashes, hash([]byte(m.Card.Recipient.String())))
	}
	return hashes
}

// sealDetails seals the details of a payment to the payers, and to nobody else.
func sealDetails(r *roster.Roster, payout, text string) ([]byte, error) {
	text, err := (&Draft{}).checkText(text)
	if err != nil {
		return nil, err
	}
	if n := len([]rune(text)); n > MaxDetails {
		return nil, fmt.Errorf("%d characters, at most %d: %w", n, MaxDetails, ErrTooLong)
	}
	var payers []*seal.Recipient
	for _, m := range r.With(roster.Payer) {
		payers = append(payers, m.Card.Recipient)
	}
	if len(payers) == 0 {
		return nil, fmt.Errorf("nobody pays: %w", ErrClaim)
	}
	return seal.Message(encode(PayoutDetails{Payout: payout, Text: text}), payers...)
}

// voucherSeed is what the voucher of that index of an award is made of: the same
// code makes the same voucher again, and nothing of it is kept.
func voucherSeed(code *receipt.Code, award, index int) [32]byte {
	return [32]byte(code.Derive(fmt.Sprintf("voucher %d %d", award, index), 32))
}

// blindRequests asks for vouchers that come to the award, as few as may be.
func blindRequests(code *receipt.Code, number int, award *AwardTerms, r *roster.Roster, today, root string) ([]BlindRequest, error) {
	chosen := voucher.Choose(goodFor(r, award, today), award.Amount, MaxVouchers)
	if chosen == nil {
		return nil, fmt.Errorf("there are no vouchers that come to its amount: %w", ErrClaim)
	}
	requests := make([]BlindRequest, len(chosen))
	for i, d := range chosen {
		request, err := voucher.Blind(d, voucherSeed(code, number, i), root)
		if err != nil {
			return nil, err
		}
		requests[i] = BlindRequest{d.ID, request.Blinded}
	}
	return requests, nil
}

// goodFor are the denominations that an award can be claimed in on a day: those that
// are paid for as long again as the source had for the claim, which counts from the
// day on which an approver signs.
func goodFor(r *roster.Roster, award *AwardTerms, day string) []voucher.Denomination {
	good := lasting(r, award, day)
	return slices.DeleteFunc(voucher.Issued(r.Denominations, award.Currency, day), func(d voucher.Denomination) bool { return d.Until < good })
}

// lasting is the day up to which a voucher that is claimed for the award must be paid.
func lasting(r *roster.Roster, award *AwardTerms, day string) string {
	s := r.Schedule(award.Schedule)
	if s == nil {
		return day
	}
	return ClaimBy(s, day, 0)
}

// Vouchers makes the vouchers of an award that was claimed so and issued: the same
// ones at every call.
func (s *Service) Vouchers(ctx context.Context, code *receipt.Code, award int) ([]*voucher.Voucher, error) {
	defer s.brief()()
	id, part, _, _, err := s.findBox(ctx, code.Locator())
	if err != nil {
		return nil, err
	}
	t, c, err := s.loadChain(ctx, id)
	if err != nil {
		return nil, err
	}
	a := foldCase(c.events, t.Channel, s.Roster()).own(award, part)
	if a == nil || a.State != AwardIssued {
		return nil, fmt.Errorf("award %d is not issued: %w", award, ErrClaim)
	}
	return finishVouchers(code, award, a.Claim.Requests, a.signatures, s.Roster(), s.cfg.Root)
}

// finishVouchers takes the blinding off what was signed. Of each request it takes the
// denomination only: the rest is made again.
func finishVouchers(code *receipt.Code, award int, requests []BlindRequest, signatures [][]byte, r *roster.Roster, root string) ([]*voucher.Voucher, error) {
	vouchers := make([]*voucher.Voucher, len(requests))
	for i, asked := range requests {
		d := r.Denomination(asked.Denomination)
		if d == nil {
			return nil, fmt.Errorf("denomination %s is no longer in the roster: %w", asked.Denomination, ErrClaim)
		}
		request, err := voucher.Blind(*d, voucherSeed(code, award, i), root)
		if err == nil {
			vouchers[i], err = request.Finish(signatures[i])
		}
		if err != nil {
			return nil, fmt.Errorf("voucher %d of award %d: %w", i+1, award, err)
		}
	}
	return vouchers, nil
}

// A Payout is a payment to be made without a voucher, as payers see it: nothing in
// it leads to a tip. It is kept under an id of its own.
type Payout struct {
	Currency string `json:"currency"`
	Amount   int64  `json:"amount"`            // minor units
	Schedule string `json:"schedule"`          // for the accounts
	Charity  string `json:"charity,omitempty"` // to that one of the schedule, or
	Sealed   []byte `json:"sealed,omitempty"`  // PayoutDetails, sealed to the payers
	Order    string `json:"order,omitempty"`   // a signed note: see PayoutOrder
	Paid     string `json:"paid,omitempty"`    // the month: see Payment
}

// PayoutDetails are where to pay.
type PayoutDetails struct {
	Payout string `json:"payout"` // its id
	Text   string `json:"text"`
}

func keyPayout(id string) store.Key { return store.Key("payout/" + id) }
