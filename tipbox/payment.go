package tipbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/crypto/voucher"
	"tipbox/store"
)

// Payments have nothing in common with tips. One is kept under the hash of a
// voucher's serial, which is in no record of a tip, or under the id of a payout;
// so keys tell no order, and days no times. A voucher is whatever its bearer shows:
// who it was issued for is not known to those who pay, nor to the server.

var (
	// ErrPaid means that a voucher or payout was paid already: see PaidError.
	ErrPaid = errors.New("already paid")
	// ErrNoPayout means that there is no such payout.
	ErrNoPayout = errors.New("no such payout")
)

// A PaidError is a payment that is there already. It is ErrPaid.
type PaidError struct {
	Day string
	By  string // a payer's name
}

func (e *PaidError) Error() string { return fmt.Sprintf("already paid, on %s by %s", e.Day, e.By) }

// Is makes it ErrPaid.
func (e *PaidError) Is(target error) bool { return target == ErrPaid }

// A Payment is a payer's word that a voucher or payout was paid. It is kept as a
// signed note, whose text is "tipbox payment v1" and the payment as JSON, so that
// no server invents one.
type Payment struct {
	Key          string `json:"key"`                    // voucher.Voucher.SpentKey, or "payout-" and the payout's id
	Denomination string `json:"denomination,omitempty"` // of the voucher
	Schedule     string `json:"schedule,omitempty"`     // of the payout, for the accounts
	Currency     string `json:"currency"`
	Amount       int64  `json:"amount"` // minor units
	Day          string `json:"day"`    // 2006-01-02

	// Once is random: by it a payment that is sent again, after the line broke,
	// is told from a voucher that is presented again.
	Once string `json:"once"`

	// By is the payer's name, from the note.
	By string `json:"-"`
}

const (
	paymentHeader  = "tipbox payment v1\n"
	payoutKey      = "payout-" // begins the key of a payout's payment
	onceLength     = 26
	maxPaymentNote = 4 << 10 // bytes
)

// VoucherPayment is the payment of a voucher, to be signed.
func VoucherPayment(v *voucher.Voucher, d *voucher.Denomination, today string) *Payment {
	return &Payment{Key: v.SpentKey(), Denomination: d.ID, Currency: d.Currency, Amount: d.Amount, Day: today, Once: randomID(onceLength)}
}

// PayoutPayment is the payment of a payout, to be signed.
func PayoutPayment(id string, p *Payout, today string) *Payment {
	return &Payment{Key: payoutKey + id, Schedule: p.Schedule, Currency: p.Currency, Amount: p.Amount, Day: today, Once: randomID(onceLength)}
}

// Payout is the id of the payout that was paid, or "" if it was a voucher.
func (p *Payment) Payout() string {
	id, is := strings.CutPrefix(p.Key, payoutKey)
	if !is {
		return ""
	}
	return id
}

// Sign makes the payment's note.
func (p *Payment) Sign(key *roster.SigningKey) ([]byte, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("payment: %w", err)
	}
	return key.Sign(paymentHeader + string(text) + "\n")
}

// OpenPayment reads the note of a payment and checks that it was signed by
// somebody who was a payer on its day.
func OpenPayment(note []byte, r *roster.Roster) (*Payment, error) {
	p, err := parsePayment(note)
	if err != nil {
		return nil, err
	}
	err = fmt.Errorf("payment of %s by %.40q, who was no payer: %w", p.Day, p.By, ErrInvalid)
	for _, m := range r.On(p.Day, p.By) {
		if !m.Has(roster.Payer) {
			continue
		}
		if _, err = roster.Verify(note, m.Card.Verifier); err == nil {
			return p, nil
		}
		err = fmt.Errorf("payment of %s: %w: %w", p.Day, ErrInvalid, err)
	}
	return nil, err
}

// parsePayment reads a note and checks its form, not its signature.
func parsePayment(note []byte) (*Payment, error) {
	if len(note) > maxPaymentNote {
		return nil, fmt.Errorf("payment of %d bytes: %w", len(note), ErrTooLong)
	}
	text, signature := string(note), ""
	if i := strings.LastIndex(text, noteSplit); i >= 0 { // the last, as note.Open does
		text, signature = text[:i], text[i+len(noteSplit):]
	}
	body, ok := strings.CutPrefix(text, paymentHeader)
	if !ok {
		return nil, fmt.Errorf("not a payment, or of a newer version: %w", ErrInvalid)
	}
	p := new(Payment)
	if err := decodeStrict([]byte(body), p); err != nil {
		return nil, fmt.Errorf("payment: %w: %w", ErrInvalid, err)
	}
	p.By, _, _ = strings.Cut(signature, " ")
	return p, p.validate()
}

func (p *Payment) validate() error {
	fail := func(what string) error { return fmt.Errorf("payment: %s: %w", what, ErrInvalid) }
	_, err := time.Parse(time.DateOnly, p.Day)
	isPayout := p.Payout() != ""
	switch {
	case !validPaymentKey(p.Key):
		return fail("key")
	case isPayout != (p.Denomination == "") || !isPayout && roster.CheckName(p.Denomination) != nil:
		return fail("denomination")
	case isPayout != (p.Schedule != "") || isPayout && roster.CheckName(p.Schedule) != nil:
		return fail("schedule")
	case !currencyForm.MatchString(p.Currency) || p.Amount <= 0 || p.Amount > maxMoney:
		return fail("amount")
	case err != nil || p.Day >= lastDay:
		return fail("day")
	case len(p.Once) != onceLength || strings.Trim(p.Once, "abcdefghijklmnopqrstuvwxyz234567") != "":
		return fail("once")
	}
	return nil
}

var currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)

// maxMoney is the most that an amount or a sum of them may be: exact in every
// reader of JSON.
const maxMoney = 1 << 53

func validPaymentKey(key string) bool {
	id, isPayout := strings.CutPrefix(key, payoutKey)
	return isPayout && validPayout(id) || hexHash.MatchString(key)
}

func keyPaid(key string) store.Key { return prefixPaid + store.Key(key) }

// Pay keeps the payment that the payer signed, durably: from then on the voucher or
// payout is paid, and nobody else can. Text is the voucher, in any form but words;
// it is not kept. The very same note may be sent again. For another one of the same
// voucher the error is ErrPaid. Else it is ErrNoPayout, ErrNoOrder, an error of package voucher
// (ErrForged, ErrOrganisation, ErrDenomination, ErrExpired, ErrEarly, ErrNotVoucher,
// ErrTyping), ErrForbidden or ErrInvalid.
func (s *Service) Pay(ctx context.Context, m *roster.Member, note []byte, text string) error {
	defer s.brief()()
	if err := s.mayPay(m); err != nil {
		return err
	}
	p, err := parsePayment(note)
	if err != nil {
		return err
	}
	if p.By != m.Name() {
		return fmt.Errorf("it is signed as %.40q: %w", p.By, ErrForbidden)
	}
	if _, err := roster.Verify(note, m.Card.Verifier); err != nil {
		return fmt.Errorf("it is not signed with the key of %s in the roster: %w", m.Name(), ErrForbidden)
	}
	for range tries {
		// First of all, so that what was paid is told to be so on any later day.
		if there, err := s.paid(ctx, p.Key, note); there || err != nil {
			return err
		}
		if err := s.checkDay(p.Day); err != nil {
			return err
		}
		changes := []store.Change{store.Create(keyPaid(p.Key), note)}
		if id := p.Payout(); id != "" {
			update, err := s.payPayout(ctx, id, p)
			if err != nil {
				return err
			}
			changes = append(changes, update)
		} else if err := s.checkVoucher(p, text); err != nil {
			return err
		}
		err := s.cfg.Store.Apply(ctx, changes...)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return ErrConflict
}

// paid reports whether that very payment is there; another one is a PaidError.
func (s *Service) paid(ctx context.Context, key string, note []byte) (bool, error) {
	rec, err := s.cfg.Store.Get(ctx, keyPaid(key))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for a payment: %w", err)
	}
	if bytes.Equal(rec.Value, note) {
		return true, nil
	}
	before, err := parsePayment(rec.Value)
	if err != nil { // in whatever words, it is there
		return false, fmt.Errorf("record %s: %w: %w", rec.Key, store.ErrCorrupt, err)
	}
	return false, &PaidError{before.Day, before.By}
}

// checkVoucher checks that the payment is of that voucher, and the voucher good.
func (s *Service) checkVoucher(p *Payment, text string) error {
	v, err := voucher.Parse(text)
	if err != nil {
		return err
	}
	d, err := v.Find(s.Roster().Denominations, s.cfg.Root)
	if err != nil {
		return err
	}
	if err := v.Verify(d, s.cfg.Root, p.Day); err != nil {
		return err
	}
	if p.Key != v.SpentKey() || p.Denomination != d.ID || p.Currency != d.Currency || p.Amount != d.Amount {
		return fmt.Errorf("the payment is not of that voucher: %w", ErrInvalid)
	}
	return nil
}

// payPayout checks that the payment is of that payout, and marks it.
func (s *Service) payPayout(ctx context.Context, id string, p *Payment) (store.Change, error) {
	rec, err := s.cfg.Store.Get(ctx, keyPayout(id))
	if errors.Is(err, store.ErrNotFound) {
		return store.Change{}, fmt.Errorf("payout %s: %w", id, ErrNoPayout)
	}
	if err != nil {
		return store.Change{}, err
	}
	var payout Payout
	if err := decode(rec, &payout); err != nil {
		return store.Change{}, err
	}
	if payout.Paid != "" {
		return store.Change{}, fmt.Errorf("payout %s was paid in %s, and the payment is missing: %w", id, payout.Paid, store.ErrCorrupt)
	}
	if _, err := OpenOrder(&PayoutItem{id, payout}, s.Roster()); err != nil {
		return store.Change{}, err
	}
	if p.Currency != payout.Currency || p.Amount != payout.Amount || p.Schedule != payout.Schedule {
		return store.Change{}, fmt.Errorf("payout %s is of %d %s: %w", id, payout.Amount, payout.Currency, ErrInvalid)
	}
	payout.Paid = monthOf(p.Day)
	return store.Update(rec.Key, encode(payout), rec.Revision), nil
}

// monthOf is the month of a day, 2006-01, or "".
func monthOf(day string) string { return day[:min(len(monthForm), len(day))] }

// mayPay checks that the member is a payer now.
func (s *Service) mayPay(m *roster.Member) error {
	if now := s.Roster().Member(m.Name()); now == nil || now.CardText != m.CardText {
		return fmt.Errorf("%s with this key is no longer in the roster: %w", m.Name(), ErrForbidden)
	}
	if !m.Has(roster.Payer) {
		return fmt.Errorf("paying takes the role %s: %w", roster.Payer, ErrForbidden)
	}
	return nil
}

// Payment returns the note of a payment, for payers: see OpenPayment. It is
// ErrNotFound if that is not paid.
func (s *Service) Payment(ctx context.Context, m *roster.Member, key string) ([]byte, error) {
	defer s.brief()()
	if err := s.mayPay(m); err != nil {
		return nil, err
	}
	if !validPaymentKey(key) {
		return nil, fmt.Errorf("key of a payment: %w", ErrInvalid)
	}
	rec, err := s.cfg.Store.Get(ctx, keyPaid(key))
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("a payment: %w", ErrNotFound)
	}
	return rec.Value, err
}

// A PaymentPage is a page of payments.
type PaymentPage struct {
	Notes   []string `json:"notes"`             // see OpenPayment
	Next    string   `json:"next,omitempty"`    // the cursor of the next page; empty at the end
	Partial bool     `json:"partial,omitempty"` // one is missing, because its record is damaged
}

// Payments returns a page of all payments, for payers, in an order that tells
// nothing. Begin with cursor "".
func (s *Service) Payments(ctx context.Context, m *roster.Member, cursor string, limit int) (*PaymentPage, error) {
	defer s.brief()()
	if err := s.mayPay(m); err != nil {
		return nil, err
	}
	if cursor != "" && !validPaymentKey(cursor) {
		return nil, fmt.Errorf("cursor: %w", ErrInvalid)
	}
	limit = min(max(limit, 1), MaxPage)
	recs, err := s.cfg.Store.Scan(ctx, prefixPaid, prefixPaid+store.Key(cursor), limit)
	if err != nil {
		return nil, fmt.Errorf("reading the payments: %w", err)
	}
	page := &PaymentPage{Notes: []string{}}
	for _, rec := range recs {
		if key := strings.TrimPrefix(string(rec.Key), string(prefixPaid)); validPaymentKey(key) { // else it is damaged
			page.Next = key
		}
		if rec.Err != nil {
			s.cfg.Log.Error("a payment is damaged: run tipboxd check", "error", rec.Err)
			page.Partial = true
			continue
		}
		page.Notes = append(page.Notes, string(rec.Value))
	}
	if len(recs) < limit {
		page.Next = ""
	}
	return page, nil
}

// A PayoutItem is a payout with its id.
type PayoutItem struct {
	ID string `json:"payout"`
	Payout
}

// Open opens the details of a payout with a payer's key. There are none if it is to
// a charity.
func (i *PayoutItem) Open(key *roster.MemberKey) (text string, err error) {
	if i.Charity != "" && len(i.Sealed) == 0 {
		return "", nil
	}
	doc, err := seal.OpenMessage(i.Sealed, key.Identity())
	if err != nil {
		return "", fmt.Errorf("payout %.40s: %w", i.ID, err)
	}
	var details PayoutDetails
	if err := decodeStrict(doc, &details); err != nil || details.Payout != i.ID {
		return "", fmt.Errorf("payout %.40s: the details are another's, or none: %w", i.ID, ErrInvalid)
	}
	return details.Text, nil
}

// A PayoutPage is a page of payouts.
type PayoutPage struct {
	Items   []PayoutItem `json:"items"`
	Next    string       `json:"next,omitempty"`
	Partial bool         `json:"partial,omitempty"`
}

// Payouts returns a page of the payouts that are to be made, or of all that are
// kept, for payers: in the order of their ids, which are random.
func (s *Service) Payouts(ctx context.Context, m *roster.Member, all bool, cursor string, limit int) (*PayoutPage, error) {
	defer s.brief()()
	if err := s.mayPay(m); err != nil {
		return nil, err
	}
	if cursor != "" && !validPayout(cursor) {
		return nil, fmt.Errorf("cursor: %w", ErrInvalid)
	}
	limit = min(max(limit, 1), MaxPayouts)
	page := &PayoutPage{Items: []PayoutItem{}}
	for {
		recs, err := s.cfg.Store.Scan(ctx, prefixPayout, prefixPayout+store.Key(cursor), MaxPage)
		if err != nil {
			return nil, fmt.Errorf("reading the payouts: %w", err)
		}
		for _, rec := range recs {
			var p Payout
			if err := decode(rec, &p); err != nil {
				s.cfg.Log.Error("a payout is damaged: run tipboxd check", "error", err)
				page.Partial = true
				continue
			}
			if p.Paid != "" && !all {
				continue
			}
			if len(page.Items) == limit {
				page.Next = page.Items[limit-1].ID
				return page, nil
			}
			cursor = strings.TrimPrefix(string(rec.Key), string(prefixPayout))
			page.Items = append(page.Items, PayoutItem{cursor, p})
		}
		if len(recs) < MaxPage {
			return page, nil
		}
		cursor = strings.TrimPrefix(string(recs[len(recs)-1].Key), string(prefixPayout))
	}
}

// MaxPayouts is the most payouts of a page: each has details, sealed to every payer.
const MaxPayouts = 25

// keepPayouts is how many months a payout is kept after that in which it was paid,
// for a transfer that came back. The payment stays.
const keepPayouts = 2

// forgetPayouts deletes the payouts that were paid long enough ago.
func (s *Service) forgetPayouts(ctx context.Context) error {
	month, err := time.Parse(monthForm, monthOf(s.Today()))
	if err != nil {
		return err
	}
	limit := month.AddDate(0, -keepPayouts, 0).Format(monthForm)
	return s.each(ctx, prefixPayout, func(rec store.Record) error {
		var p Payout
		if decode(rec, &p) != nil || p.Paid == "" || p.Paid >= limit {
			return ctx.Err() // if it is damaged, Check says so
		}
		return s.cfg.Store.Apply(ctx, store.DeleteAt(rec.Key, rec.Revision), store.Put(prefixCompact+store.Key(s.Today()), nil))
	})
}

// checkPayment checks a payment that is kept: its signature, and that it is of what
// it is kept under. What was paid is gone, or in its bearer's hands.
func (s *Service) checkPayment(ctx context.Context, rec store.Record) error {
	p, err := OpenPayment(rec.Value, s.Roster())
	if err != nil {
		return fmt.Errorf("record %s: %w", rec.Key, err)
	}
	if rec.Key != keyPaid(p.Key) {
		return fmt.Errorf("record %s is the payment of another: %w", rec.Key, store.ErrCorrupt)
	}
	if id := p.Payout(); id != "" {
		payout, err := s.cfg.Store.Get(ctx, keyPayout(id))
		if errors.Is(err, store.ErrNotFound) {
			return nil // forgotten
		}
		var paid Payout
		if err == nil {
			err = decode(payout, &paid)
		}
		if err != nil {
			return nil // its own check says so
		}
		if paid.Paid != monthOf(p.Day) || paid.Currency != p.Currency || paid.Amount != p.Amount || paid.Schedule != p.Schedule {
			return fmt.Errorf("record %s is not of the payout as it is kept: %w", rec.Key, store.ErrCorrupt)
		}
		return nil
	}
	if d := s.Roster().Denomination(p.Denomination); d == nil || d.Currency != p.Currency || d.Amount != p.Amount {
		return fmt.Errorf("record %s is of a denomination that is not in the roster: %w", rec.Key, store.ErrCorrupt)
	}
	return nil
}

// checkPaid checks that the payment of a payout that is marked as paid is there.
func (s *Service) checkPaid(ctx context.Context, payout store.Key) error {
	id := strings.TrimPrefix(string(payout), string(prefixPayout))
	if _, err := s.cfg.Store.Get(ctx, keyPaid(payoutKey+id)); err != nil {
		return fmt.Errorf("payout %s is marked as paid, and its payment: %w", id, err)
	}
	return nil
}
