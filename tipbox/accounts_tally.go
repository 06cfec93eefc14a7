package tipbox

import (
	"fmt"
	"maps"
	"slices"

	"tipbox/crypto/roster"
	"tipbox/store"
)

// An awardFigure is what counts of an award that was granted, in months. It is also
// all that is kept of it when its tip is erased, under a name that leads from no tip
// to it.
type awardFigure struct {
	Schedule string         `json:"schedule"`
	Currency string         `json:"currency"`
	Amount   int64          `json:"amount"`
	Granted  string         `json:"granted"`
	Claimed  string         `json:"claimed,omitempty"` // or waived
	Expired  string         `json:"expired,omitempty"`
	Issued   string         `json:"issued,omitempty"`
	Choice   string         `json:"choice,omitempty"`
	Vouchers map[string]int `json:"vouchers,omitempty"` // how many of each denomination
}

// figure is what counts of an award on a day; ok is false if it was not granted.
func (l *AwardLine) figure(today string) (f awardFigure, ok bool) {
	if l.Granted == "" {
		return f, false
	}
	f = awardFigure{
		Schedule: l.Schedule, Currency: l.Currency, Amount: l.Amount,
		Granted: monthOf(l.Granted), Claimed: monthOf(l.Claimed), Issued: monthOf(l.Issued), Choice: l.Choice, Vouchers: l.Vouchers,
	}
	if l.Claimed == "" && l.ClaimBy != "" && today > l.ClaimBy {
		f.Expired = max(f.Granted, monthOf(addDays(l.ClaimBy, 1)))
	}
	if f.Choice != ClaimVoucher {
		f.Issued = ""
	}
	// Several clocks have dated them.
	if f.Claimed != "" {
		f.Claimed = max(f.Claimed, f.Granted)
	}
	if f.Issued != "" {
		f.Issued = max(f.Issued, f.Claimed)
	}
	return f, true
}

func (f *awardFigure) validate() error {
	for _, month := range []string{f.Claimed, f.Expired, f.Issued} {
		if month != "" && CheckMonths(f.Granted, month) != nil {
			return fmt.Errorf("what is kept of an award: months: %w", store.ErrCorrupt)
		}
	}
	if CheckMonths(f.Granted, f.Granted) != nil || f.Amount <= 0 || f.Amount > maxMoney || !currencyForm.MatchString(f.Currency) || roster.CheckName(f.Schedule) != nil {
		return fmt.Errorf("what is kept of an award: %w", store.ErrCorrupt)
	}
	return nil
}

// maxKept is the most records that what is kept of one tip's awards is spread over:
// an erasure is one Apply.
const maxKept = 32

// keepAwards is what keeps the awards of a tip that is erased. Nobody can claim any
// more what is open still.
func (t *tipRecord) keepAwards(today string) (changes []store.Change) {
	var all []awardFigure
	for _, l := range t.Awards {
		if f, ok := l.figure(today); ok {
			if f.Claimed == "" && f.Expired == "" {
				f.Expired = max(f.Granted, monthOf(today))
			}
			all = append(all, f)
		}
	}
	for some := range slices.Chunk(all, 1+len(all)/maxKept) {
		changes = append(changes, store.Create(prefixAwardFigure+store.Key(randomID(figureIDLength)), encode(some)))
	}
	return changes
}

func decodeAwardFigures(rec store.Record) (kept []awardFigure, err error) {
	if err := decode(rec, &kept); err != nil {
		return nil, err
	}
	for i := range kept {
		if err := kept[i].validate(); err != nil {
			return nil, fmt.Errorf("record %s: %w", rec.Key, err)
		}
	}
	return kept, nil
}

// A tally adds up.
type tally struct {
	roster   *roster.Roster
	from, to string
	awards   map[AwardRow]*AwardRow     // by one without sums
	vouchers map[VoucherRow]*VoucherRow // by one with month and denomination only
	left     map[AwardsLeft]*AwardsLeft // by one without sums
	partial  bool
}

func newTally(r *roster.Roster, from, to string) *tally {
	return &tally{
		roster: r, from: from, to: to,
		awards: make(map[AwardRow]*AwardRow), vouchers: make(map[VoucherRow]*VoucherRow), left: make(map[AwardsLeft]*AwardsLeft),
	}
}

// by reports whether something was by the end of the last month.
func (t *tally) by(month string) bool { return month != "" && month <= t.to }

// bucket is the month of a row.
func (t *tally) bucket(month string) string {
	if month < t.from {
		return ""
	}
	return month
}

func (t *tally) row(month, schedule, currency string) *AwardRow {
	k := AwardRow{Month: t.bucket(month), Schedule: schedule, Currency: currency}
	if t.awards[k] == nil {
		row := k
		t.awards[k] = &row
	}
	return t.awards[k]
}

func (t *tally) voucherRow(month, denomination, currency string, amount int64) *VoucherRow {
	k := VoucherRow{Month: t.bucket(month), Denomination: denomination}
	if t.vouchers[k] == nil {
		row := VoucherRow{Month: k.Month, Denomination: denomination, Currency: currency, Amount: amount}
		t.vouchers[k] = &row
	}
	return t.vouchers[k]
}

// add adds one of an amount.
func (t *tally) add(s *Sum, amount int64) {
	if amount > maxMoney-s.Amount {
		t.partial = true
		return
	}
	s.plus(Sum{1, amount}, 1)
}

func (t *tally) award(f *awardFigure) {
	if !t.by(f.Granted) {
		return
	}
	k := AwardsLeft{Schedule: f.Schedule, Currency: f.Currency}
	if t.left[k] == nil {
		left := k
		t.left[k] = &left
	}
	row := func(month string) *AwardRow { return t.row(month, f.Schedule, f.Currency) }
	t.add(&row(f.Granted).Awarded, f.Amount)
	switch {
	case t.by(f.Claimed) && f.Choice == ClaimWaive:
		t.add(&row(f.Claimed).Waived, f.Amount)
	case t.by(f.Claimed):
		t.add(&row(f.Claimed).Claimed, f.Amount)
		if f.Choice != ClaimVoucher {
			return
		}
		if !t.by(f.Issued) {
			t.add(&t.left[k].Unsigned, f.Amount)
			return
		}
		t.add(&row(f.Issued).Issued, f.Amount)
		for id, n := range f.Vouchers {
			d := t.roster.Denomination(id)
			if d == nil {
				t.partial = true
				continue
			}
			t.voucherRow(f.Issued, id, d.Currency, d.Amount).Issued += n
		}
	case t.by(f.Expired):
		t.add(&row(f.Expired).Expired, f.Amount)
	default:
		t.add(&t.left[k].Open, f.Amount)
	}
}

func (t *tally) payment(p *Payment) {
	month := monthOf(p.Day)
	switch {
	case !t.by(month):
	case p.Payout() != "":
		t.add(&t.row(month, p.Schedule, p.Currency).Paid, p.Amount)
	default:
		t.voucherRow(month, p.Denomination, p.Currency, p.Amount).Paid++
	}
}

func (t *tally) accounts(organisation, today string) *Accounts {
	a := &Accounts{
		Organisation: organisation, Day: today, From: t.from, To: t.to, Partial: t.partial,
		Awards: []AwardRow{}, Vouchers: []VoucherRow{}, Left: []AwardsLeft{},
	}
	for row := range maps.Values(t.awards) {
		a.Awards = append(a.Awards, *row)
	}
	for row := range maps.Values(t.vouchers) {
		a.Vouchers = append(a.Vouchers, *row)
	}
	for left := range maps.Values(t.left) {
		a.Left = append(a.Left, *left)
	}
	slices.SortFunc(a.Awards, compareAwards)
	slices.SortFunc(a.Vouchers, compareVouchers)
	slices.SortFunc(a.Left, compareLeft)
	return a
}
