package tipbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tipbox/crypto/roster"
	"tipbox/store"
)

// Accounts are the totals of awards by month, schedule and currency, and of
// vouchers by month and denomination. They name no tip and no day, and of what was
// paid by vouchers no schedule, since a voucher has none. Amounts are exact: who
// pays out money must account for it, so one award that is alone in its month is
// there to the cent, and whoever knows of a case that was rewarded in that month
// knows what its source was awarded. So payers, who see faces, and publishers get
// the months that are over only.
//
// What counts of an award outlives its tip: see awardFigure. It goes by the events
// that members and sources signed, as the server read them; payments are signed by
// payers. Whoever signs accounts says what the server told them: see Sign.
type Accounts struct {
	Organisation string       `json:"organisation"` // the verifier key of its root
	Day          string       `json:"day"`          // of the count
	From         string       `json:"from"`         // the months
	To           string       `json:"to"`
	Awards       []AwardRow   `json:"awards"`
	Vouchers     []VoucherRow `json:"vouchers"`
	Left         []AwardsLeft `json:"left"`

	// Partial says that records are damaged, so that numbers are too low.
	Partial bool `json:"partial,omitempty"`
}

// A Sum is of so many, of minor units of a currency.
type Sum struct {
	Count  int   `json:"count"`
	Amount int64 `json:"amount"`
}

// An AwardRow is what happened in a month to the awards by a schedule. An award is
// in one of Claimed, Waived and Expired at last.
type AwardRow struct {
	Month    string `json:"month,omitempty"` // 2006-01; "": before the first that was asked for
	Schedule string `json:"schedule"`
	Currency string `json:"currency"`
	Awarded  Sum    `json:"awarded"` // granted
	Claimed  Sum    `json:"claimed"` // in vouchers, to details or for a charity
	Waived   Sum    `json:"waived"`
	Expired  Sum    `json:"expired"`
	Issued   Sum    `json:"issued"` // of what was claimed: awards whose vouchers were signed
	Paid     Sum    `json:"paid"`   // of what was claimed: to details or to a charity
}

// sums are those of a row, in their order.
func (r *AwardRow) sums() []*Sum {
	return []*Sum{&r.Awarded, &r.Claimed, &r.Waived, &r.Expired, &r.Issued, &r.Paid}
}

// A VoucherRow is how many vouchers of a denomination were issued and paid in a
// month.
type VoucherRow struct {
	Month        string `json:"month,omitempty"` // as in AwardRow
	Denomination string `json:"denomination"`
	Currency     string `json:"currency"`
	Amount       int64  `json:"amount"` // of one
	Issued       int    `json:"issued"`
	Paid         int    `json:"paid"`
}

// AwardsLeft are the awards by a schedule that were not done with at the end of the
// last month.
type AwardsLeft struct {
	Schedule string `json:"schedule"`
	Currency string `json:"currency"`
	Open     Sum    `json:"open"`     // to be claimed
	Unsigned Sum    `json:"unsigned"` // claimed in vouchers that are to be signed
}

// An AwardTotal is the sum of all rows of a schedule with what is left.
type AwardTotal struct {
	AwardRow // without a month
	Open     Sum
	Unsigned Sum
	Owed     Sum // claimed to details or for a charity, and not paid
}

// Totals are the sums of AwardRows, by schedule and currency.
func (a *Accounts) Totals() []AwardTotal {
	type key struct{ schedule, currency string }
	totals := make(map[key]*AwardTotal)
	at := func(schedule, currency string) *AwardTotal {
		k := key{schedule, currency}
		if totals[k] == nil {
			totals[k] = &AwardTotal{AwardRow: AwardRow{Schedule: schedule, Currency: currency}}
		}
		return totals[k]
	}
	for _, r := range a.Awards {
		t := at(r.Schedule, r.Currency)
		for i, sum := range r.sums() {
			t.sums()[i].plus(*sum, 1)
		}
	}
	for _, l := range a.Left {
		t := at(l.Schedule, l.Currency)
		t.Open, t.Unsigned = l.Open, l.Unsigned
	}
	var all []AwardTotal
	for _, t := range totals {
		t.Owed = t.Claimed
		for _, done := range []Sum{t.Issued, t.Unsigned, t.Paid} {
			t.Owed.plus(done, -1)
		}
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b AwardTotal) int { return compareAwards(a.AwardRow, b.AwardRow) })
	return all
}

// VoucherTotals are the sums of VoucherRows, by denomination.
func (a *Accounts) VoucherTotals() []VoucherRow {
	var all []VoucherRow
	for _, r := range a.Vouchers {
		i := slices.IndexFunc(all, func(t VoucherRow) bool { return t.Denomination == r.Denomination })
		if i < 0 {
			i, all = len(all), append(all, VoucherRow{Denomination: r.Denomination, Currency: r.Currency, Amount: r.Amount})
		}
		all[i].Issued += r.Issued
		all[i].Paid += r.Paid
	}
	slices.SortFunc(all, compareVouchers)
	return all
}

func (s *Sum) plus(other Sum, times int) {
	s.Count += times * other.Count
	s.Amount += int64(times) * other.Amount
}

func compareAwards(a, b AwardRow) int {
	return cmp.Or(cmp.Compare(a.Month, b.Month), cmp.Compare(a.Schedule, b.Schedule), cmp.Compare(a.Currency, b.Currency))
}

func compareVouchers(a, b VoucherRow) int {
	return cmp.Or(cmp.Compare(a.Month, b.Month), cmp.Compare(a.Denomination, b.Denomination))
}

// Alarms are what must not be, and no wrong sum: money that went out without leave.
func (a *Accounts) Alarms() (alarms []string) {
	for _, v := range a.VoucherTotals() {
		if v.Paid > v.Issued {
			alarms = append(alarms, fmt.Sprintf("of %s %d vouchers were paid and %d issued: somebody else has its issuing key", v.Denomination, v.Paid, v.Issued))
		}
	}
	for _, t := range a.Totals() {
		if t.Owed.Count < 0 || t.Owed.Amount < 0 {
			alarms = append(alarms, fmt.Sprintf("by schedule %s more was paid to details and charities than was claimed so", t.Schedule))
		}
	}
	return alarms
}

// Validate checks the form of accounts that a server sent, and that they add up:
// awarded is claimed, waived, expired or open, and what was issued is the same in
// awards and in vouchers.
func (a *Accounts) Validate() error {
	bad := func(what string) error { return fmt.Errorf("the accounts' %s: %w", what, ErrInvalid) }
	if _, err := time.Parse(time.DateOnly, a.Day); err != nil {
		return bad("day")
	}
	if CheckMonths(a.From, a.To) != nil {
		return bad("months")
	}
	goodMonth := func(month string) bool {
		return month == "" || CheckMonths(month, month) == nil && a.From <= month && month <= a.To
	}
	goodSum := func(sums ...Sum) bool {
		return !slices.ContainsFunc(sums, func(s Sum) bool { return s.Count < 0 || s.Count > maxCount || s.Amount < 0 || s.Amount > maxMoney })
	}
	issued := make(map[string]int64) // by currency, in awards less in vouchers
	for i, r := range a.Awards {
		if i > 0 && compareAwards(a.Awards[i-1], r) >= 0 {
			return bad("order")
		}
		if !goodMonth(r.Month) || roster.CheckName(r.Schedule) != nil || !currencyForm.MatchString(r.Currency) {
			return bad("schedules")
		}
		for _, sum := range r.sums() {
			if !goodSum(*sum) {
				return bad("sums")
			}
		}
		issued[r.Currency] += r.Issued.Amount
	}
	amounts := make(map[string]int64)
	for i, r := range a.Vouchers {
		if i > 0 && compareVouchers(a.Vouchers[i-1], r) >= 0 {
			return bad("order")
		}
		if before, ok := amounts[r.Denomination]; ok && before != r.Amount || !goodMonth(r.Month) || roster.CheckName(r.Denomination) != nil || !currencyForm.MatchString(r.Currency) {
			return bad("denominations")
		}
		if !goodSum(Sum{r.Issued, r.Amount}, Sum{r.Paid, r.Amount}) || r.Amount == 0 || int64(max(r.Issued, r.Paid)) > maxMoney/r.Amount {
			return bad("vouchers")
		}
		amounts[r.Denomination] = r.Amount
		issued[r.Currency] -= int64(r.Issued) * r.Amount
	}
	for i, l := range a.Left {
		if i > 0 && compareLeft(a.Left[i-1], l) >= 0 {
			return bad("order")
		}
		if roster.CheckName(l.Schedule) != nil || !currencyForm.MatchString(l.Currency) || !goodSum(l.Open, l.Unsigned) {
			return bad("rest")
		}
	}
	for _, t := range a.Totals() {
		for _, done := range []Sum{t.Claimed, t.Waived, t.Expired, t.Open} {
			t.Awarded.plus(done, -1)
		}
		if t.Awarded != (Sum{}) {
			return bad("sum of schedule " + t.Schedule)
		}
	}
	for currency, difference := range issued {
		if difference != 0 {
			return bad("sum of vouchers in " + currency)
		}
	}
	return nil
}

func compareLeft(a, b AwardsLeft) int {
	return cmp.Or(cmp.Compare(a.Schedule, b.Schedule), cmp.Compare(a.Currency, b.Currency))
}

const (
	accountsHeader = "tipbox accounts v1\n"
	maxAccounts    = 16 << 20 // bytes of a note
)

// Sign makes a note of the accounts, "tipbox accounts v1" and the accounts as JSON.
func (a *Accounts) Sign(key *roster.SigningKey) ([]byte, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	return key.Sign(accountsHeader + string(text) + "\n")
}

// OpenAccounts reads a note of accounts of the organisation, and checks that
// they add up and were signed by somebody who could see them on their day.
func OpenAccounts(note []byte, r *roster.Roster, organisation string) (a *Accounts, by string, err error) {
	if len(note) > maxAccounts {
		return nil, "", fmt.Errorf("accounts of %d bytes: %w", len(note), ErrTooLong)
	}
	text, signature := string(note), ""
	if i := strings.LastIndex(text, noteSplit); i >= 0 {
		text, signature = text[:i], text[i+len(noteSplit):]
	}
	body, ok := strings.CutPrefix(text, accountsHeader)
	if !ok {
		return nil, "", fmt.Errorf("not signed accounts, or of a newer version: %w", ErrInvalid)
	}
	a = new(Accounts)
	if err := decodeStrict([]byte(body), a); err != nil {
		return nil, "", fmt.Errorf("accounts: %w: %w", ErrInvalid, err)
	}
	by, _, _ = strings.Cut(signature, " ")
	err = fmt.Errorf("accounts of %.10s, signed by %.40q, who could not see them: %w", a.Day, by, ErrInvalid)
	for _, m := range r.On(a.Day, by) {
		if !seesAccounts(m) {
			continue
		}
		if _, err = roster.Verify(note, m.Card.Verifier); err == nil {
			break
		}
		err = fmt.Errorf("accounts: %w: %w", ErrInvalid, err)
	}
	if err == nil {
		err = a.Validate()
	}
	if err == nil && a.Organisation != organisation {
		err = fmt.Errorf("accounts of another organisation: %w", ErrInvalid)
	}
	if err != nil {
		return nil, "", err
	}
	return a, by, nil
}

func seesAccounts(m *roster.Member) bool {
	return m.Has(roster.Approver) || m.Has(roster.Payer) || m.Has(roster.Publisher)
}

// Accounts are the accounts of the months from one to another, 2006-01, with all
// that was before: for approvers, payers and publishers.
func (s *Service) Accounts(ctx context.Context, m *roster.Member, from, to string) (*Accounts, error) {
	if now := s.Roster().Member(m.Name()); now == nil || now.CardText != m.CardText || !seesAccounts(m) {
		return nil, fmt.Errorf("accounts take the role %s, %s or %s: %w", roster.Approver, roster.Payer, roster.Publisher, ErrForbidden)
	}
	if err := CheckMonths(from, to); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	last := monthOf(s.Today())
	if !m.Has(roster.Approver) { // the day on which something happens is not for them
		last = monthBefore(last)
	}
	to = min(to, last)
	t := newTally(s.Roster(), min(from, to), to)
	damaged := func(err error) error {
		s.cfg.Log.Error("not in the accounts: run tipboxd check", "error", err)
		t.partial = true
		return ctx.Err()
	}
	today := s.Today()
	err := s.each(ctx, prefixTip, func(rec store.Record) error {
		tip, err := decodeTip(rec)
		if err != nil {
			return damaged(err)
		}
		for _, l := range tip.Awards {
			if f, ok := l.figure(today); ok {
				t.award(&f)
			}
		}
		return ctx.Err()
	})
	if err == nil {
		err = s.each(ctx, prefixAwardFigure, func(rec store.Record) error {
			kept, err := decodeAwardFigures(rec)
			if err != nil {
				return damaged(err)
			}
			for _, f := range kept {
				t.award(&f)
			}
			return ctx.Err()
		})
	}
	if err == nil {
		err = s.each(ctx, prefixPaid, func(rec store.Record) error {
			if rec.Err != nil {
				return damaged(rec.Err)
			}
			p, err := parsePayment(rec.Value)
			if err != nil {
				return damaged(fmt.Errorf("record %s: %w", rec.Key, err))
			}
			t.payment(p)
			return ctx.Err()
		})
	}
	if errors.Is(err, store.ErrCorrupt) { // more than a record
		damaged(err)
	} else if err != nil {
		return nil, fmt.Errorf("adding up: %w", err)
	}
	return t.accounts(s.cfg.Root, today), nil
}
