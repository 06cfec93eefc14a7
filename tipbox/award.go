package tipbox

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"tipbox/crypto/roster"
)

// The arithmetic of rewards. What is here is exact: amounts are int64 minor units
// of a currency, products are taken in 128 bits, and there is no float. Each
// function says which way it rounds.

// RuleScale is the rule, as refusals name it, that awards go by the published
// scale.
const RuleScale = "scale"

// A Schedule is a published scale of rewards.
type Schedule = roster.Schedule

// A Merit is what the award of a case is worked out from.
type Merit struct {
	Channel  string
	Received string // the day of the tip, 2006-01-02
	Currency string // of the sums, ISO 4217
	Evidence string // ID of its quality; any if the schedule makes no difference

	// Sums so far, in minor units from 0 to roster.MaxAmount: see Recovered.
	Found, Collected int64
}

// Recovered adds up the sums in a currency that were noted in a case. What was
// collected was found as well, so found is never less than collected, whichever
// of them was noted.
func Recovered(sums []Detail, currency string) (found, collected int64, err error) {
	for _, d := range sums {
		if d.Currency != currency {
			continue
		}
		sum := &found
		if d.Basis == SumCollected {
			sum = &collected
		}
		if d.Amount < 0 || d.Amount > roster.MaxAmount-*sum {
			return 0, 0, against(RuleScale, "the sums in %s come to more than can be, so one of them was noted wrongly", currency)
		}
		*sum += d.Amount
	}
	return max(found, collected), collected, nil
}

// Base is the sum of which the schedule's rate is.
func (m Merit) Base(s *Schedule) int64 {
	if s.Base == roster.BaseFound {
		return m.Found
	}
	return m.Collected
}

// Governing is the schedule that governs an award made today: the one in force on
// the day of the tip, unless one that began since then pays more. It does if
// neither its lowest nor its highest award is lower than the other's, and one of
// them is higher: then it pays more whichever rates approvers choose from. Of
// several such the one with the highest lowest award governs, then with the highest
// award, then the earliest. One that has ended meanwhile counts as well, so that it
// costs a source nothing to wait.
//
// It is nil if nothing was promised on the day of the tip: a later schedule
// raises a promise and does not make one. Evidence that the schedule of that day
// does not know is against RuleScale.
func Governing(r *roster.Roster, m Merit, today string) (*Schedule, error) {
	promised := r.ScheduleOn(m.Channel, m.Currency, m.Received)
	if promised == nil || len(promised.Tiers) == 0 {
		return nil, nil
	}
	low, high, err := Range(promised, m.Base(promised), m.Evidence)
	if err != nil {
		return nil, err
	}
	governing, bestLow, bestHigh := promised, low, high
	for i := range r.Schedules { // in the order of their days
		s := &r.Schedules[i]
		if s.Since <= m.Received || s.Since > today || s.Currency != m.Currency || !s.Covers(m.Channel) {
			continue
		}
		l, h, err := Range(s, m.Base(s), m.Evidence)
		if err != nil || h < high { // l < low is no more than the best either
			continue // other names of evidence cannot be compared
		}
		if cmp.Or(cmp.Compare(l, bestLow), cmp.Compare(h, bestHigh)) > 0 {
			governing, bestLow, bestHigh = s, l, h
		}
	}
	return governing, nil
}

// tierOf is the tier for a base and evidence, or nil if nothing is paid.
func tierOf(s *Schedule, base int64, evidence string) (*roster.Tier, error) {
	if base < 0 || base > roster.MaxAmount {
		return nil, against(RuleScale, "the sum %d is not from 0 to %d", base, int64(roster.MaxAmount))
	}
	if len(s.Evidence) == 0 {
		evidence = ""
	} else if !slices.ContainsFunc(s.Evidence, func(e roster.Evidence) bool { return e.ID == evidence }) {
		return nil, against(RuleScale, "evidence %.40q is not one of schedule %s: %s", evidence, s.ID, evidenceOf(s))
	}
	if base < s.Minimum {
		return nil, nil
	}
	var found *roster.Tier
	for i := range s.Tiers { // by rising From
		if t := &s.Tiers[i]; t.Evidence == evidence && t.From <= base {
			found = t
		}
	}
	return found, nil
}

func evidenceOf(s *Schedule) (ids []string) {
	for _, e := range s.Evidence {
		ids = append(ids, e.ID)
	}
	return ids
}

// Rates are the lowest and the highest rate for a base, in basis points. They are
// 0 if nothing is paid.
func Rates(s *Schedule, base int64, evidence string) (low, high int, err error) {
	t, err := tierOf(s, base, evidence)
	if err != nil || t == nil {
		return 0, 0, err
	}
	return t.Low, t.High, nil
}

// Range are the lowest and the highest award for a base: Amount at the lowest and
// the highest rate.
func Range(s *Schedule, base int64, evidence string) (low, high int64, err error) {
	t, err := tierOf(s, base, evidence)
	if err != nil || t == nil {
		return 0, 0, err
	}
	return award(s, t, base, t.Low), award(s, t, base, t.High), nil
}

// Amount is the award for a base at a rate in basis points, which must be among
// the Rates (RuleScale). It is for the whole case, whoever shares it.
//
// The product of base and rate is rounded down to a multiple of the schedule's
// Unit. If the product is above 0, even by less than a minor unit, the award is at
// least the tier's Floor. It is never above the Cap.
func Amount(s *Schedule, base int64, evidence string, rate int) (int64, error) {
	t, err := tierOf(s, base, evidence)
	if err != nil {
		return 0, err
	}
	if t == nil {
		if rate != 0 {
			return 0, against(RuleScale, "schedule %s pays nothing for so little: the rate is 0", s.ID)
		}
		return 0, nil
	}
	if rate < t.Low || rate > t.High {
		return 0, against(RuleScale, "schedule %s pays from %d to %d basis points for this, and not %d", s.ID, t.Low, t.High, rate)
	}
	return award(s, t, base, rate), nil
}

// award is the rate of the base within the tier's and the schedule's bounds.
func award(s *Schedule, t *roster.Tier, base int64, rate int) int64 {
	if base == 0 || rate == 0 {
		return 0
	}
	amount := mulDiv(base, int64(rate), roster.FullRate)
	amount -= amount % s.Unit
	amount = max(amount, t.Floor)
	if s.Cap > 0 {
		amount = min(amount, s.Cap)
	}
	return amount
}

// mulDiv is a×b/c, rounded down. It must fit, and none may be negative.
func mulDiv(a, b, c int64) int64 {
	high, low := bits.Mul64(uint64(a), uint64(b))
	quotient, _ := bits.Div64(high, low, uint64(c))
	return int64(quotient)
}

// Instalment is what a further recovery adds: the award for all that was
// recovered, less what was awarded already in the case, rounded down to a multiple
// of the schedule's Unit. It is never negative, so what was awarded stays, and
// awards together are never above the Cap unless they were before.
func Instalment(s *Schedule, base int64, evidence string, rate int, awarded int64) (int64, error) {
	if awarded < 0 {
		return 0, fmt.Errorf("%d was awarded already: %w", awarded, ErrInvalid)
	}
	total, err := Amount(s, base, evidence, rate)
	if err != nil {
		return 0, err
	}
	more := max(total-awarded, 0)
	return more - more%s.Unit, nil
}

// VotesNeeded is how many approvers must sign when the awards of a case come to
// an amount, the new one included.
func VotesNeeded(s *Schedule, amount int64) int {
	votes := 0
	for _, a := range s.Approvers {
		if a.From <= amount {
			votes = a.Votes
		}
	}
	return votes
}

// Split shares an amount out by parts: each gets amount×part/sum of parts, rounded
// down to a multiple of the unit, and the units left over go one each to the
// largest remainders, of equal ones to the earlier. Shares add up to the amount
// exactly, so that must be a multiple of the unit.
//
// Each instalment is to be split by itself: what a source got is never less for a
// later one.
func Split(amount, unit int64, parts []int64) ([]int64, error) {
	if unit < 1 || amount < 0 || amount%unit != 0 {
		return nil, fmt.Errorf("%d is no multiple of %d to be shared: %w", amount, unit, ErrInvalid)
	}
	var sum int64
	for _, p := range parts {
		if p < 0 || p > roster.MaxAmount-sum {
			return nil, against(RuleScale, "shares are numbers from 0 on, and together at most %d", int64(roster.MaxAmount))
		}
		sum += p
	}
	if sum == 0 {
		return nil, against(RuleScale, "nobody has a share: give one at least a part above 0")
	}
	units := amount / unit
	shares, order, remainders := make([]int64, len(parts)), make([]int, len(parts)), make([]uint64, len(parts))
	left := units
	for i, p := range parts {
		high, low := bits.Mul64(uint64(units), uint64(p))
		quotient, remainder := bits.Div64(high, low, uint64(sum))
		shares[i], remainders[i], order[i] = int64(quotient)*unit, remainder, i
		left -= int64(quotient)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(remainders[b], remainders[a]) })
	for _, i := range order[:left] { // there are fewer than parts
		shares[i] += unit
	}
	return shares, nil
}

// ClaimBy is the last day on which an award can be claimed that was granted on a
// day, if the case was held for so many days since: those do not count.
func ClaimBy(s *Schedule, granted string, held int) string {
	t, err := time.Parse(time.DateOnly, granted)
	if err != nil {
		return granted
	}
	const ever = 9999
	if t = t.AddDate(0, 0, s.ClaimDays+min(max(held, 0), ever*365)); t.Year() > ever {
		return "9999-12-31" // days are compared as texts
	}
	return t.Format(time.DateOnly)
}

// WarnFrom is the day from which on the source is warned of the end of a window.
func WarnFrom(s *Schedule, claimBy string) string { return addDays(claimBy, -s.Warn()) }

// A Scale is a schedule in force with what it is for, as it is shown to everybody.
type Scale struct {
	*Schedule
	For []Channel // of those on offer
}

// Scales are the schedules that promise something for a tip sent today to a
// channel on offer, in the order of the channels.
func (s *Service) Scales() []Scale {
	r := s.Roster()
	if len(r.Schedules) == 0 {
		return nil
	}
	var scales []Scale
	today := s.Today()
	promising := r.SchedulesOn(today)
	for _, c := range s.Channels() {
		for _, schedule := range promising {
			if r.ScheduleOn(c.ID, schedule.Currency, today) != schedule {
				continue
			}
			i := slices.IndexFunc(scales, func(s Scale) bool { return s.Schedule == schedule })
			if i < 0 {
				i, scales = len(scales), append(scales, Scale{Schedule: schedule})
			}
			scales[i].For = append(scales[i].For, c)
		}
	}
	return scales
}

// Schedules are all that were ever published, in the order of their days, not to
// be changed.
func (s *Service) Schedules() []Schedule { return s.Roster().Schedules }
