package roster

import (
	"fmt"
	"slices"
	"time"
)

// A Rule says how the cases of a channel are worked. It stands in the signed
// roster, so that no server can lower a quorum or move a deadline, and governs
// the tips that came on or after its day, until the channel's next rule.
type Rule struct {
	Channel string `json:"channel"`
	Since   string `json:"since"` // 2006-01-02

	Quorum      int  `json:"quorum"`            // votes that decide a finding
	Acknowledge int  `json:"acknowledge"`       // days from the receipt to the acknowledgement
	Answer      int  `json:"answer,omitempty"`  // days from there to the answer; 0: three months
	Working     bool `json:"working,omitempty"` // both are working days
}

// DefaultRule is for channels without one. Its deadlines are those of Directive
// (EU) 2019/1937, articles 9 and 11.
func DefaultRule() Rule { return Rule{Quorum: 2, Acknowledge: 7} }

// keepsRules is Keeps for rules. A channel without one has the default rule, so its
// first begins after the day of the signature too, unless nothing was signed before.
func (r *Roster) keepsRules(earlier *Roster, day string) error {
	for _, old := range earlier.Rules {
		if old.Since <= day && !slices.Contains(r.Rules, old) {
			return fmt.Errorf("the rule of channel %s since %s is gone or not as it was signed: %w", old.Channel, old.Since, ErrPromise)
		}
	}
	for _, rule := range r.Rules {
		if earlier.Serial > 0 && rule.Since <= day && !slices.Contains(earlier.Rules, rule) {
			return fmt.Errorf("the rule of channel %s is to govern from %s on, where tips came or may come today under another: let it begin after %s: %w",
				rule.Channel, rule.Since, day, ErrPromise)
		}
	}
	return nil
}

// RuleOn is the rule for a tip that the channel got on that day.
func (r *Roster) RuleOn(channel, day string) Rule {
	found := DefaultRule()
	for _, rule := range r.Rules { // in the order of their days
		if rule.Channel == channel && rule.Since <= day {
			found = rule
		}
	}
	return found
}

// AcknowledgeBy is the last day for the acknowledgement of a tip of that day.
func (r *Roster) AcknowledgeBy(rule Rule, received string) string {
	return r.addDays(received, rule.Acknowledge, rule.Working)
}

// AnswerBy is the last day for the answer, if the tip was acknowledged on that
// day and the clock stood still for so many days since.
func (r *Roster) AnswerBy(rule Rule, acknowledged string, paused int) string {
	if rule.Answer == 0 {
		return r.addDays(addMonths(acknowledged, 3), paused, false)
	}
	return r.addDays(r.addDays(acknowledged, rule.Answer, rule.Working), paused, false)
}

// addMonths is the same day of a later month, or its last day. What is no day, as
// one behind the year 9999, stays what it is.
func addMonths(day string, n int) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	later := t.AddDate(0, n, 0)
	if later.Day() != t.Day() { // AddDate went on into the month behind
		later = later.AddDate(0, 0, -later.Day())
	}
	return later.Format(time.DateOnly)
}

// addDays is the day n days, or working days, after another. What is no day stays.
func (r *Roster) addDays(day string, n int, working bool) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	if !working {
		return t.AddDate(0, 0, n).Format(time.DateOnly)
	}
	for n > 0 {
		t = t.AddDate(0, 0, 1)
		if r.works(t) {
			n--
		}
	}
	return t.Format(time.DateOnly)
}

// works reports whether the organisation works on a day.
func (r *Roster) works(t time.Time) bool {
	day := t.Format(time.DateOnly)
	if t.Weekday() == time.Saturday || t.Weekday() == time.Sunday {
		return slices.Contains(r.Workdays, day)
	}
	return !slices.Contains(r.Holidays, day)
}

const (
	maxRules     = 1000
	maxDays      = 5000 // holidays, and workdays
	maxRuleDays  = 3650
	minRuleVotes = 1
)

func (r *Roster) validateRules() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrFormat)
	}
	if len(r.Rules) > maxRules || len(r.Holidays) > maxDays || len(r.Workdays) > maxDays {
		return fail("too many rules, holidays or workdays")
	}
	for _, day := range slices.Concat(r.Holidays, r.Workdays) {
		if _, err := time.Parse(time.DateOnly, day); err != nil {
			return fail("holiday or workday %.20q", day)
		}
	}
	slices.Sort(r.Holidays)
	slices.Sort(r.Workdays)
	slices.SortStableFunc(r.Rules, func(a, b Rule) int { return slices.Compare([]string{a.Channel, a.Since}, []string{b.Channel, b.Since}) })
	for i, rule := range r.Rules {
		if err := CheckName(rule.Channel); err != nil {
			return fail("rule of channel %v", err)
		}
		if _, err := time.Parse(time.DateOnly, rule.Since); err != nil {
			return fail("rule of channel %s: since %.20q", rule.Channel, rule.Since)
		}
		if i > 0 && r.Rules[i-1].Channel == rule.Channel && r.Rules[i-1].Since == rule.Since {
			return fail("channel %s has two rules since %s", rule.Channel, rule.Since)
		}
		if rule.Quorum < minRuleVotes || rule.Quorum > MaxReaders {
			return fail("rule of channel %s: quorum %d is not from %d to %d", rule.Channel, rule.Quorum, minRuleVotes, MaxReaders)
		}
		if rule.Acknowledge < 1 || rule.Acknowledge > maxRuleDays || rule.Answer < 0 || rule.Answer > maxRuleDays {
			return fail("rule of channel %s: %d days to acknowledge and %d to answer", rule.Channel, rule.Acknowledge, rule.Answer)
		}
	}
	return nil
}
