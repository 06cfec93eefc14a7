package roster

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/currency"
	"golang.org/x/text/language"
)

// A Schedule is a scale of rewards as it was published. It stands in the signed
// roster, so that no server can promise less, and it never changes: another
// version is another Schedule, with an ID of its own and a later Since. It is for
// sums in its currency, of tips that its channels got from Since on until the day
// of the next one's; tipbox.Governing says when a later one counts for them.
//
// Money is never a float: amounts are minor units of the currency (cents, fen),
// rates are basis points (hundredths of a percent).
//
// A Schedule without tiers promises nothing: it ends the one before it, and of it
// only ID, Since, Channels, Title and Currency are set.
type Schedule struct {
	ID       string            `json:"id" toml:"id"`
	Since    string            `json:"since" toml:"since"`                           // 2006-01-02
	Channels []string          `json:"channels,omitempty" toml:"channels,omitempty"` // empty: all
	Title    map[string]string `json:"title" toml:"title"`                           // by language (BCP 47), English at least
	Example  bool              `json:"example,omitempty" toml:"example,omitempty"`   // nobody has checked it yet, and the page says so
	Currency string            `json:"currency" toml:"currency"`                     // ISO 4217
	Base     string            `json:"base,omitempty" toml:"base,omitempty"`         // BaseFound or BaseCollected
	Evidence []Evidence        `json:"evidence,omitempty" toml:"evidence,omitempty"` // the best first; empty: it makes no difference
	Tiers    []Tier            `json:"tiers,omitempty" toml:"tier,omitempty"`
	Cap      int64             `json:"cap,omitempty" toml:"cap,omitempty"`         // of all awards of a case together; 0: none
	Unit     int64             `json:"unit,omitempty" toml:"unit,omitempty"`       // awards are multiples of it
	Minimum  int64             `json:"minimum,omitempty" toml:"minimum,omitempty"` // base below which nothing is paid

	ClaimDays int `json:"claim_days,omitempty" toml:"claim_days,omitempty"` // how long an award can be claimed
	WarnDays  int `json:"warn_days,omitempty" toml:"warn_days,omitempty"`   // how long before the end the source is warned; 0: see Warn

	Approvers []Approval `json:"approvers,omitempty" toml:"approvers,omitempty"` // by rising amounts, the first from 0
	Charities []Charity  `json:"charities,omitempty" toml:"charity,omitempty"`   // to whom a source may give an award
}

// What a rate is of.
const (
	BaseFound     = "found"     // sums found
	BaseCollected = "collected" // sums found and collected
)

// An Evidence is a quality of evidence that rates depend on.
type Evidence struct {
	ID    string            `json:"id" toml:"id"`
	Title map[string]string `json:"title" toml:"title"` // by language; short
}

// A Tier is a rate, for bases of at least From until that of the next tier for the
// same evidence. It is of the whole base, not of what is above From. If Low and
// High differ, approvers choose.
type Tier struct {
	Evidence string `json:"evidence,omitempty" toml:"evidence,omitempty"` // ID of one; empty if the schedule has none
	From     int64  `json:"from,omitempty" toml:"from,omitempty"`
	Low      int    `json:"low" toml:"low"`
	High     int    `json:"high" toml:"high"`
	Floor    int64  `json:"floor,omitempty" toml:"floor,omitempty"` // the least that is paid if anything is
}

// An Approval says how many approvers must sign if the awards of a case come to
// at least From.
type Approval struct {
	From  int64 `json:"from" toml:"from"`
	Votes int   `json:"votes" toml:"votes"`
}

// A Charity is one to whom a source may give an award.
type Charity struct {
	ID   string            `json:"id" toml:"id"`
	Name map[string]string `json:"name" toml:"name"` // by language
}

// Limits of schedules.
const (
	// MaxAmount is the most that an amount of money may be, in minor units. Dozens
	// of it can be added up in an int64.
	MaxAmount = 100_000_000_000_000_000
	// FullRate is the rate of all, in basis points.
	FullRate = 10_000

	maxSchedules = 200
	maxParts     = 50 // of a schedule: tiers, approvals, charities, languages of a text
	maxClaimDays = 3650
	minWarnDays  = 30
)

// ErrPromise means that a roster would take back what a signed one promised.
var ErrPromise = errors.New("a promise is not taken back")

// Warn is how many days before the end of the window the source is warned: a
// third of it, but 30 at least, or all if there are fewer, unless WarnDays says.
func (s *Schedule) Warn() int {
	if s.WarnDays > 0 {
		return s.WarnDays
	}
	return min(max(s.ClaimDays/3, minWarnDays), s.ClaimDays)
}

// Digits is how many digits of an amount stand behind the point when it is
// written in the currency's main unit: 2 for CNY, 0 for JPY.
func (s *Schedule) Digits() int {
	unit, err := currency.ParseISO(s.Currency)
	if err != nil {
		return 0 // it was not validated
	}
	digits, _ := currency.Standard.Rounding(unit)
	return digits
}

// Covers reports whether the schedule is for a channel.
func (s *Schedule) Covers(channel string) bool {
	return len(s.Channels) == 0 || slices.Contains(s.Channels, channel)
}

// overlaps reports whether there may be a sum that both are for.
func (s *Schedule) overlaps(other *Schedule) bool {
	return s.Currency == other.Currency &&
		(len(s.Channels) == 0 || slices.ContainsFunc(s.Channels, other.Covers) || len(other.Channels) == 0)
}

// Equal reports whether both say the same.
func (s *Schedule) Equal(other *Schedule) bool {
	a, err := json.Marshal(s)
	b, err2 := json.Marshal(other)
	return err == nil && err2 == nil && bytes.Equal(a, b)
}

// Schedule is the schedule of that ID, or nil.
func (r *Roster) Schedule(id string) *Schedule {
	for i := range r.Schedules {
		if r.Schedules[i].ID == id {
			return &r.Schedules[i]
		}
	}
	return nil
}

// ScheduleOn is the schedule in force on a day for a channel's tips and sums in a
// currency, or nil. It may be one that promises nothing.
func (r *Roster) ScheduleOn(channel, currency, day string) *Schedule {
	var found *Schedule
	for i := range r.Schedules { // in the order of their days
		if s := &r.Schedules[i]; s.Covers(channel) && s.Currency == currency && s.Since <= day {
			found = s
		}
	}
	return found
}

// SchedulesOn are the schedules that promise something for a tip of that day, for
// one of their channels at least.
func (r *Roster) SchedulesOn(day string) []*Schedule {
	var found []*Schedule
	for i := range r.Schedules {
		s := &r.Schedules[i]
		channels := s.Channels
		if len(channels) == 0 {
			channels = []string{""} // one that no schedule names
		}
		if len(s.Tiers) > 0 && slices.ContainsFunc(channels, func(c string) bool { return r.ScheduleOn(c, s.Currency, day) == s }) {
			found = append(found, s)
		}
	}
	return found
}

// Keeps checks that the roster, to be signed on that day (2006-01-02), promises
// what an earlier one of the organisation did (ErrPromise): no schedule and no rule
// is changed or gone, and a new one that overlaps an old one begins after that day,
// since tips may have come that day while the old one was published.
func (r *Roster) Keeps(earlier *Roster, day string) error {
	if err := r.keepsRules(earlier, day); err != nil {
		return err
	}
	for i := range earlier.Schedules {
		old := &earlier.Schedules[i]
		switch now := r.Schedule(old.ID); {
		case now == nil:
			return fmt.Errorf("schedule %s is gone: %w", old.ID, ErrPromise)
		case !now.Equal(old):
			return fmt.Errorf("schedule %s is another than was signed, so give it an ID of its own and a later day: %w", old.ID, ErrPromise)
		}
	}
	for i := range r.Schedules {
		s := &r.Schedules[i]
		if earlier.Schedule(s.ID) != nil || s.Since > day {
			continue
		}
		for j := range earlier.Schedules {
			if old := &earlier.Schedules[j]; s.overlaps(old) {
				return fmt.Errorf("schedule %s is to govern from %s on, where tips came or may come today under %s: let it begin after %s: %w",
					s.ID, s.Since, old.ID, day, ErrPromise)
			}
		}
	}
	return nil
}

func (r *Roster) validateSchedules() error {
	if len(r.Schedules) > maxSchedules {
		return fmt.Errorf("over %d schedules: %w", maxSchedules, ErrFormat)
	}
	for i := range r.Schedules {
		if err := r.Schedules[i].Validate(); err != nil {
			return err
		}
	}
	slices.SortFunc(r.Schedules, func(a, b Schedule) int {
		return cmp.Or(strings.Compare(a.Since, b.Since), strings.Compare(a.ID, b.ID))
	})
	seen := make(map[string]bool)
	for i := range r.Schedules {
		s := &r.Schedules[i]
		if seen[s.ID] {
			return fmt.Errorf("schedule %s: %w", s.ID, ErrDuplicate)
		}
		seen[s.ID] = true
		for j := range i {
			if other := &r.Schedules[j]; other.Since == s.Since && other.overlaps(s) {
				return fmt.Errorf("schedules %s and %s are both for the same channel since %s: %w", other.ID, s.ID, s.Since, ErrFormat)
			}
		}
	}
	return nil
}

// Validate checks every rule about one schedule and puts its tiers in order: by
// evidence, the best first, then by From.
func (s *Schedule) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("schedule %.40s: %s: %w", s.ID, fmt.Sprintf(format, args...), ErrFormat)
	}
	if err := CheckName(s.ID); err != nil {
		return fmt.Errorf("id of a schedule %w", err)
	}
	if _, err := time.Parse(time.DateOnly, s.Since); err != nil {
		return fail("since %.20q is no day: write it as 2006-01-02", s.Since)
	}
	if err := checkTexts(s.Title); err != nil {
		return fail("title: %v", err)
	}
	if unit, err := currency.ParseISO(s.Currency); err != nil || unit.String() != s.Currency || unit == currency.XXX || unit == currency.XTS {
		return fail("currency %.10q is not one of ISO 4217, such as CNY", s.Currency)
	}
	seen := make(map[string]bool)
	named := func(kind, name string) error {
		if err := CheckName(name); err != nil {
			return fail("%s %v", kind, err)
		}
		if seen[kind+name] {
			return fail("%s %s is there twice", kind, name)
		}
		seen[kind+name] = true
		return nil
	}
	for _, c := range s.Channels {
		if err := named("channel", c); err != nil {
			return err
		}
	}
	if len(s.Tiers) == 0 {
		if s.Base != "" || len(s.Evidence)+len(s.Approvers)+len(s.Charities) > 0 || s.Cap|s.Unit|s.Minimum != 0 || s.ClaimDays|s.WarnDays != 0 {
			return fail("it has no tier, so it promises nothing, and nothing but id, since, channels, title and currency may stand in it")
		}
		return nil
	}
	for _, n := range []int{len(s.Evidence), len(s.Tiers), len(s.Approvers), len(s.Charities)} {
		if n > maxParts {
			return fail("it has over %d parts of a kind", maxParts)
		}
	}
	if s.Base != BaseFound && s.Base != BaseCollected {
		return fail("base %.20q is neither %s nor %s", s.Base, BaseFound, BaseCollected)
	}
	for _, e := range s.Evidence {
		if err := named("evidence", e.ID); err != nil {
			return err
		}
		if err := checkTexts(e.Title); err != nil {
			return fail("title of evidence %s: %v", e.ID, err)
		}
	}
	for _, c := range s.Charities {
		if err := named("charity", c.ID); err != nil {
			return err
		}
		if err := checkTexts(c.Name); err != nil {
			return fail("name of charity %s: %v", c.ID, err)
		}
	}
	if s.ClaimDays < 1 || s.ClaimDays > maxClaimDays || s.WarnDays < 0 || s.WarnDays > s.ClaimDays {
		return fail("an award can be claimed for %d days and the source is warned %d before: the window is from 1 to %d days, and the warning within it",
			s.ClaimDays, s.WarnDays, maxClaimDays)
	}
	if err := s.validateAmounts(); err != nil {
		return err
	}
	return s.validateApprovers()
}

func (s *Schedule) validateAmounts() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("schedule %s: %s: %w", s.ID, fmt.Sprintf(format, args...), ErrFormat)
	}
	if s.Unit < 1 || s.Unit > MaxAmount {
		return fail("unit %d: awards must be multiples of something from 1 to %d", s.Unit, int64(MaxAmount))
	}
	if s.Minimum < 0 || s.Minimum > MaxAmount {
		return fail("minimum %d is not from 0 to %d", s.Minimum, int64(MaxAmount))
	}
	if s.Cap < 0 || s.Cap > MaxAmount || s.Cap%s.Unit != 0 {
		return fail("cap %d is no multiple of the unit, %d, from 0 to %d", s.Cap, s.Unit, int64(MaxAmount))
	}
	order := func(id string) int { return slices.IndexFunc(s.Evidence, func(e Evidence) bool { return e.ID == id }) }
	for _, t := range s.Tiers {
		switch {
		case (len(s.Evidence) == 0) != (t.Evidence == "") || t.Evidence != "" && order(t.Evidence) < 0:
			return fail("evidence %.40q of a tier is not in the list of evidence", t.Evidence)
		case t.From < 0 || t.From > MaxAmount:
			return fail("a tier is from %d on, which is not from 0 to %d", t.From, int64(MaxAmount))
		case t.Low < 0 || t.Low > t.High || t.High < 1 || t.High > FullRate:
			return fail("a tier's rate is from %d to %d: write basis points (300 is 3 %%), the lower one first, up to %d", t.Low, t.High, FullRate)
		case t.Floor < 0 || t.Floor > MaxAmount || t.Floor%s.Unit != 0 || s.Cap > 0 && t.Floor > s.Cap:
			return fail("floor %d of a tier is no multiple of the unit, %d, from 0 to the cap, %d", t.Floor, s.Unit, s.Cap)
		}
	}
	slices.SortStableFunc(s.Tiers, func(a, b Tier) int {
		return cmp.Or(cmp.Compare(order(a.Evidence), order(b.Evidence)), cmp.Compare(a.From, b.From))
	})
	for i := 1; i < len(s.Tiers); i++ {
		if a, b := s.Tiers[i-1], s.Tiers[i]; a.Evidence == b.Evidence && a.From == b.From {
			return fail("two tiers are for the same evidence from %d on", b.From)
		}
	}
	for _, e := range s.Evidence {
		if !slices.ContainsFunc(s.Tiers, func(t Tier) bool { return t.Evidence == e.ID }) {
			return fail("no tier is for evidence %s", e.ID)
		}
	}
	return nil
}

func (s *Schedule) validateApprovers() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("schedule %s: %s: %w", s.ID, fmt.Sprintf(format, args...), ErrFormat)
	}
	if len(s.Approvers) == 0 || s.Approvers[0].From != 0 {
		return fail("it must say how many approvers sign for amounts from 0 on")
	}
	for i, a := range s.Approvers {
		if a.Votes < 1 || a.Votes > MaxReaders || a.From > MaxAmount {
			return fail("%d approvers from %d on: it takes from 1 to %d, from at most %d on", a.Votes, a.From, MaxReaders, int64(MaxAmount))
		}
		if i > 0 && (a.From <= s.Approvers[i-1].From || a.Votes < s.Approvers[i-1].Votes) {
			return fail("%d approvers from %d on stand behind %d from %d on: amounts must rise, and no larger one take fewer",
				a.Votes, a.From, s.Approvers[i-1].Votes, s.Approvers[i-1].From)
		}
	}
	return nil
}

// checkTexts checks a text by language.
func checkTexts(texts map[string]string) error {
	if texts["en"] == "" {
		return errors.New("there is none in \"en\", which stands in for languages without one")
	}
	if len(texts) > maxParts {
		return fmt.Errorf("there are over %d languages", maxParts)
	}
	for _, tag := range slices.Sorted(maps.Keys(texts)) {
		if _, err := language.Parse(tag); err != nil || len(tag) > 35 {
			return fmt.Errorf("%.40q is no language's tag", tag)
		}
		if text := texts[tag]; strings.TrimSpace(text) != text || text == "" || !printable(text) {
			return fmt.Errorf("the text in %s is empty, too long, has spaces around it or holds control characters", tag)
		}
	}
	return nil
}
