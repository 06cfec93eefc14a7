package tipbox_test

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
)

// national is the scale of 2009 for off-book funds.
func national() *tipbox.Schedule {
	return &tipbox.Schedule{
		ID: "national", Since: "2026-01-01", Title: map[string]string{"en": "National"}, Currency: "CNY", Base: roster.BaseCollected,
		Tiers: []roster.Tier{{Low: 300, High: 500}}, Cap: 100_000_00, Unit: 100_00, ClaimDays: 90,
		Approvers: []roster.Approval{{From: 0, Votes: 1}, {From: 10_000_00, Votes: 2}, {From: 50_000_00, Votes: 3}},
	}
}

// market is the scale of 2021 for market regulation.
func market() *tipbox.Schedule {
	evidence := func(id string) roster.Evidence {
		return roster.Evidence{ID: id, Title: map[string]string{"en": id}}
	}
	return &tipbox.Schedule{
		ID: "market", Since: "2026-01-01", Title: map[string]string{"en": "Market"}, Currency: "CNY", Base: roster.BaseCollected,
		Evidence: []roster.Evidence{evidence("first"), evidence("second"), evidence("third")},
		Tiers: []roster.Tier{
			{Evidence: "first", Low: 500, High: 500, Floor: 5_000_00},
			{Evidence: "second", Low: 300, High: 300, Floor: 3_000_00},
			{Evidence: "third", Low: 100, High: 100, Floor: 1_000_00},
		},
		Cap: 1_000_000_00, Unit: 100_00, ClaimDays: 60,
		Approvers: []roster.Approval{{From: 0, Votes: 2}, {From: 500_000_00, Votes: 5}},
	}
}

// american is a scale for large sums.
func american() *tipbox.Schedule {
	return &tipbox.Schedule{
		ID: "american", Since: "2026-01-01", Title: map[string]string{"en": "American"}, Currency: "USD", Base: roster.BaseCollected,
		Tiers: []roster.Tier{{Low: 1000, High: 3000}}, Unit: 100_00, Minimum: 1_000_000_01, ClaimDays: 90,
		Approvers: []roster.Approval{{From: 0, Votes: 3}},
	}
}

// stepped has a rate for each size of the base.
func stepped() *tipbox.Schedule {
	s := national()
	s.Tiers = []roster.Tier{{Low: 0, High: 100}, {From: 1_000_00, Low: 300, High: 500, Floor: 200_00}, {From: 1_000_000_00, Low: 600, High: 900}}
	return s
}

func TestAward(t *testing.T) {
	for _, c := range []struct {
		name      string
		s         *tipbox.Schedule
		base      int64
		evidence  string
		low, high int64
	}{
		{"nothing recovered", national(), 0, "", 0, 0},
		{"rounded down to nothing", national(), 1_999_99, "", 0, 0},
		{"the least that pays", national(), 2_000_00, "", 0, 100_00},
		{"a million", national(), 1_000_000_00, "", 30_000_00, 50_000_00},
		{"rounded down, not to the nearest", national(), 1_003_333_00, "", 30_000_00, 50_100_00},
		{"just below the cap", national(), 1_999_999_99, "", 59_900_00, 99_900_00},
		{"at the cap", national(), 2_000_000_00, "", 60_000_00, 100_000_00},
		{"over the cap", national(), 900_000_000_00, "", 100_000_00, 100_000_00},
		{"all that can be", national(), roster.MaxAmount, "", 100_000_00, 100_000_00},
		{"evidence makes no difference", national(), 1_000_000_00, "whatever", 30_000_00, 50_000_00},
		{"floor of the first", market(), 1, "first", 5_000_00, 5_000_00},
		{"floor of the second", market(), 99_999_99, "second", 3_000_00, 3_000_00},
		{"floor of the third", market(), 100_000_00, "third", 1_000_00, 1_000_00},
		{"no floor of nothing", market(), 0, "first", 0, 0},
		{"above the floor", market(), 102_000_00, "first", 5_100_00, 5_100_00},
		{"cap", market(), 20_000_100_00, "first", 1_000_000_00, 1_000_000_00},
		{"not above a million", american(), 1_000_000_00, "", 0, 0},
		{"above a million", american(), 1_000_000_01, "", 100_000_00, 300_000_00},
		{"no cap", american(), roster.MaxAmount, "", roster.MaxAmount / 10, roster.MaxAmount / 10 * 3},
		{"first step", stepped(), 999_99, "", 0, 0},
		{"second step", stepped(), 1_000_00, "", 200_00, 200_00},
		{"third step", stepped(), 1_000_000_00, "", 60_000_00, 90_000_00},
	} {
		low, high, err := tipbox.Range(c.s, c.base, c.evidence)
		if err != nil || low != c.low || high != c.high {
			t.Errorf("%s: from %d to %d, want from %d to %d (%v)", c.name, low, high, c.low, c.high, err)
		}
	}
}

func TestAwardBesideTheScaleIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		s        *tipbox.Schedule
		base     int64
		evidence string
		rate     int
	}{
		"rate too low":            {national(), 1_000_00, "", 299},
		"rate too high":           {national(), 1_000_00, "", 501},
		"negative rate":           {stepped(), 1, "", -1},
		"a rate below the least":  {american(), 1_000_000_00, "", 1000},
		"no evidence":             {market(), 1, "", 500},
		"unknown evidence":        {market(), 1, "rumour", 500},
		"rate of better evidence": {market(), 1, "third", 500},
		"negative base":           {national(), -1, "", 300},
		"base beyond all":         {national(), roster.MaxAmount + 1, "", 300},
	} {
		amount, err := tipbox.Amount(c.s, c.base, c.evidence, c.rate)
		var rule *tipbox.RuleError
		if !errors.As(err, &rule) || rule.Rule != tipbox.RuleScale || amount != 0 {
			t.Errorf("%s: %d, %v", name, amount, err)
		}
	}
	if amount, err := tipbox.Amount(american(), 1_000_000_00, "", 0); amount != 0 || err != nil {
		t.Errorf("nothing of too little: %d, %v", amount, err)
	}
}

// withSchedules is a roster that has those, in the order of their days.
func withSchedules(schedules ...*tipbox.Schedule) *roster.Roster {
	r := new(roster.Roster)
	for _, s := range schedules {
		r.Schedules = append(r.Schedules, *s)
	}
	slices.SortStableFunc(r.Schedules, func(a, b tipbox.Schedule) int {
		return slices.Compare([]string{a.Since}, []string{b.Since})
	})
	return r
}

func rated(id, since string, low, high int) *tipbox.Schedule {
	s := national()
	s.ID, s.Since, s.Tiers = id, since, []roster.Tier{{Low: low, High: high}}
	return s
}

func TestScheduleOfTheDayGovernsUnlessALaterOnePaysMore(t *testing.T) {
	end := &tipbox.Schedule{ID: "end", Since: "2026-06-01", Currency: "CNY"}
	usd := rated("usd", "2026-04-01", 900, 900)
	usd.Currency = "USD"
	elsewhere := rated("elsewhere", "2026-04-01", 900, 900)
	elsewhere.Channels = []string{"bribery"}
	found := rated("found", "2026-05-01", 300, 500)
	found.Base = roster.BaseFound
	renamed := market()
	renamed.ID, renamed.Since = "renamed", "2026-04-01"
	a := rated("a", "2026-01-01", 300, 500)
	for _, c := range []struct {
		name            string
		schedules       []*tipbox.Schedule
		received, today string
		want            string
	}{
		{"none", nil, "2026-02-01", "2026-12-01", ""},
		{"that of the day", []*tipbox.Schedule{a}, "2026-01-01", "2026-12-01", "a"},
		{"a tip from before all", []*tipbox.Schedule{a}, "2025-12-31", "2026-12-01", ""},
		{"a later one that pays less", []*tipbox.Schedule{a, rated("b", "2026-04-01", 100, 200)}, "2026-02-01", "2026-12-01", "a"},
		{"and a tip after it", []*tipbox.Schedule{a, rated("b", "2026-04-01", 100, 200)}, "2026-04-01", "2026-12-01", "b"},
		{"a later one that pays more", []*tipbox.Schedule{a, rated("b", "2026-04-01", 400, 500)}, "2026-02-01", "2026-12-01", "b"},
		{"but not before it begins", []*tipbox.Schedule{a, rated("b", "2026-04-01", 400, 500)}, "2026-02-01", "2026-03-31", "a"},
		{"and from its first day", []*tipbox.Schedule{a, rated("b", "2026-04-01", 400, 500)}, "2026-02-01", "2026-04-01", "b"},
		{"more at the top, less at the bottom", []*tipbox.Schedule{a, rated("b", "2026-04-01", 200, 900)}, "2026-02-01", "2026-12-01", "a"},
		{"more at the bottom, less at the top", []*tipbox.Schedule{a, rated("b", "2026-04-01", 400, 400)}, "2026-02-01", "2026-12-01", "a"},
		{"the same", []*tipbox.Schedule{a, rated("b", "2026-04-01", 300, 500)}, "2026-02-01", "2026-12-01", "a"},
		{"one that paid more and is over", []*tipbox.Schedule{a, rated("b", "2026-04-01", 400, 600), rated("c", "2026-05-01", 100, 100)}, "2026-02-01", "2026-12-01", "b"},
		{"the best of two", []*tipbox.Schedule{a, rated("b", "2026-04-01", 300, 900), rated("c", "2026-05-01", 400, 500)}, "2026-02-01", "2026-12-01", "c"},
		{"the earlier of equal ones", []*tipbox.Schedule{a, rated("b", "2026-04-01", 400, 600), rated("c", "2026-05-01", 400, 600)}, "2026-02-01", "2026-12-01", "b"},
		{"the end of promises", []*tipbox.Schedule{a, end}, "2026-02-01", "2026-12-01", "a"},
		{"a tip after the end", []*tipbox.Schedule{a, end, rated("b", "2026-09-01", 900, 900)}, "2026-07-01", "2026-12-01", ""},
		{"another currency", []*tipbox.Schedule{a, usd}, "2026-02-01", "2026-12-01", "a"},
		{"another channel", []*tipbox.Schedule{a, elsewhere}, "2026-02-01", "2026-12-01", "a"},
		{"a larger base", []*tipbox.Schedule{a, found}, "2026-02-01", "2026-12-01", "found"},
		{"other names of evidence", []*tipbox.Schedule{a, renamed}, "2026-02-01", "2026-12-01", "a"},
	} {
		m := tipbox.Merit{Channel: "off-book-funds", Received: c.received, Currency: "CNY", Found: 1_500_000_00, Collected: 1_000_000_00}
		got, err := tipbox.Governing(withSchedules(c.schedules...), m, c.today)
		id := ""
		if got != nil {
			id = got.ID
		}
		if err != nil || id != c.want {
			t.Errorf("%s: %q governs, want %q (%v)", c.name, id, c.want, err)
		}
	}
	m := tipbox.Merit{Received: "2026-02-01", Currency: "CNY", Evidence: "rumour"}
	if s, err := tipbox.Governing(withSchedules(market()), m, "2026-12-01"); !errors.Is(err, tipbox.ErrRule) {
		t.Errorf("with unknown evidence %v governs, %v", s, err)
	}
}

func TestRecoveredIsWhatWasNotedInTheCurrency(t *testing.T) {
	sum := func(amount int64, currency, basis string) tipbox.Detail {
		return tipbox.Detail{Amount: amount, Currency: currency, Basis: basis}
	}
	for name, c := range map[string]struct {
		sums             []tipbox.Detail
		found, collected int64
	}{
		"nothing":         {nil, 0, 0},
		"other currency":  {[]tipbox.Detail{sum(5, "USD", "found")}, 0, 0},
		"both":            {[]tipbox.Detail{sum(70, "CNY", "found"), sum(20, "CNY", "collected"), sum(30, "CNY", "found"), sum(15, "CNY", "collected")}, 100, 35},
		"only collected":  {[]tipbox.Detail{sum(20, "CNY", "collected")}, 20, 20},
		"as much as goes": {[]tipbox.Detail{sum(roster.MaxAmount, "CNY", "collected"), sum(roster.MaxAmount, "CNY", "found")}, roster.MaxAmount, roster.MaxAmount},
	} {
		found, collected, err := tipbox.Recovered(c.sums, "CNY")
		if err != nil || found != c.found || collected != c.collected {
			t.Errorf("%s: %d found, %d collected, %v", name, found, collected, err)
		}
	}
	for _, bad := range [][]tipbox.Detail{
		{sum(-1, "CNY", "found")}, {sum(roster.MaxAmount, "CNY", "found"), sum(1, "CNY", "found")}, {sum(math.MaxInt64, "CNY", "collected")},
	} {
		if _, _, err := tipbox.Recovered(bad, "CNY"); !errors.Is(err, tipbox.ErrRule) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestInstalments(t *testing.T) {
	for _, c := range []struct {
		name                string
		base, awarded, want int64
	}{
		{"the first", 1_000_000_00, 0, 30_000_00},
		{"the second", 1_500_000_00, 30_000_00, 15_000_00},
		{"nothing new", 1_500_000_00, 45_000_00, 0},
		{"less than was thought", 1_000_000_00, 45_000_00, 0},
		{"up to the cap", 90_000_000_00, 45_000_00, 55_000_00},
		{"and not further", 900_000_000_00, 100_000_00, 0},
		{"after awards of another unit", 1_000_000_00, 29_950_00, 0},
	} {
		if got, err := tipbox.Instalment(national(), c.base, "", 300, c.awarded); err != nil || got != c.want {
			t.Errorf("%s: %d, want %d (%v)", c.name, got, c.want, err)
		}
	}
	if _, err := tipbox.Instalment(national(), 1, "", 300, -1); !errors.Is(err, tipbox.ErrInvalid) {
		t.Errorf("a negative award: %v", err)
	}
	if _, err := tipbox.Instalment(national(), 1, "", 1, 0); !errors.Is(err, tipbox.ErrRule) {
		t.Errorf("a rate beside the scale: %v", err)
	}
}

func TestVotesNeeded(t *testing.T) {
	for amount, want := range map[int64]int{0: 1, 9_999_99: 1, 10_000_00: 2, 49_999_99: 2, 50_000_00: 3, roster.MaxAmount: 3} {
		if got := tipbox.VotesNeeded(national(), amount); got != want {
			t.Errorf("%d takes %d approvers, want %d", amount, got, want)
		}
	}
	if got := tipbox.VotesNeeded(market(), 500_000_00); got != 5 {
		t.Errorf("half a million takes %d approvers", got)
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		amount, unit int64
		parts, want  []int64
	}{
		{30_000_00, 100_00, []int64{70, 30}, []int64{21_000_00, 9_000_00}},
		{100_00, 100_00, []int64{50, 50}, []int64{100_00, 0}},                                     // the earlier tip
		{100_00, 1, []int64{1, 1, 1}, []int64{33_34, 33_33, 33_33}},                               // what is over
		{500, 100, []int64{1, 2, 1}, []int64{100, 300, 100}},                                      // the largest remainder
		{700, 100, []int64{3, 3, 1}, []int64{300, 300, 100}},                                      // exact
		{1000, 100, []int64{0, 5, 0}, []int64{0, 1000, 0}},                                        // who brought nothing
		{0, 100, []int64{1, 1}, []int64{0, 0}},                                                    // nothing to share
		{roster.MaxAmount, 1, []int64{roster.MaxAmount - 1, 1}, []int64{roster.MaxAmount - 1, 1}}, // 128 bits
		{roster.MaxAmount, 10, []int64{roster.MaxAmount / 2, 1}, []int64{roster.MaxAmount, 0}},    // less than half a unit
	} {
		got, err := tipbox.Split(c.amount, c.unit, c.parts)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%d by %v: %v, want %v (%v)", c.amount, c.parts, got, c.want, err)
		}
	}
	for name, c := range map[string]struct {
		amount, unit int64
		parts        []int64
	}{
		"not in units":   {150, 100, []int64{1}},
		"negative":       {-100, 100, []int64{1}},
		"no unit":        {100, 0, []int64{1}},
		"nobody":         {100, 100, nil},
		"nobody's part":  {100, 100, []int64{0, 0}},
		"negative part":  {100, 100, []int64{2, -1}},
		"parts too many": {100, 100, []int64{math.MaxInt64, math.MaxInt64}},
	} {
		if got, err := tipbox.Split(c.amount, c.unit, c.parts); err == nil || got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestClaimWindow(t *testing.T) {
	for _, c := range []struct {
		granted  string
		held     int
		by, warn string
	}{
		{"2026-11-22", 0, "2027-02-20", "2027-01-21"},
		{"2027-12-01", 0, "2028-02-29", "2028-01-30"}, // a leap year
		{"2026-11-22", 10, "2027-03-02", "2027-01-31"},
		{"2026-11-22", -10, "2027-02-20", "2027-01-21"},
		{"9999-11-01", 0, "9999-12-31", "9999-12-01"},
		{"8999-12-31", math.MaxInt, "9999-12-31", "9999-12-01"},
	} {
		by := tipbox.ClaimBy(national(), c.granted, c.held)
		if warn := tipbox.WarnFrom(national(), by); by != c.by || warn != c.warn {
			t.Errorf("granted on %s and held %d days: until %s, warned from %s; want %s, %s", c.granted, c.held, by, warn, c.by, c.warn)
		}
	}
}

// anySchedule is a random schedule that passes every check.
func anySchedule(t *rapid.T) *tipbox.Schedule {
	s := national()
	s.Unit = rapid.SampledFrom([]int64{1, 5, 100, 100_00, 7}).Draw(t, "unit")
	s.Cap = s.Unit * rapid.Int64Range(0, 1_000_000).Draw(t, "cap")
	s.Minimum = rapid.SampledFrom([]int64{0, 1, 500_000_00}).Draw(t, "minimum")
	s.Tiers = nil
	for _, from := range rapid.SliceOfNDistinct(rapid.Int64Range(0, 1<<40), 1, 4, rapid.ID[int64]).Draw(t, "from") {
		low := rapid.IntRange(0, roster.FullRate-1).Draw(t, "low")
		tier := roster.Tier{From: from, Low: low, High: rapid.IntRange(low, roster.FullRate).Draw(t, "high")}
		tier.High = max(tier.High, 1)
		if most := s.Cap / s.Unit; most > 0 {
			tier.Floor = s.Unit * rapid.Int64Range(0, most).Draw(t, "floor")
		}
		s.Tiers = append(s.Tiers, tier)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	return s
}

func anyBase(t *rapid.T) int64 {
	return rapid.OneOf(rapid.Int64Range(0, 1<<41), rapid.Int64Range(0, roster.MaxAmount)).Draw(t, "base")
}

// exact is the award by the words of the rule, in numbers without end.
func exact(s *tipbox.Schedule, base int64, rate int) int64 {
	var tier roster.Tier
	for _, t := range s.Tiers {
		if t.From <= base {
			tier = t
		}
	}
	product := new(big.Int).Mul(big.NewInt(base), big.NewInt(int64(rate)))
	if product.Sign() == 0 || base < s.Minimum {
		return 0
	}
	units := new(big.Int).Div(product, new(big.Int).Mul(big.NewInt(10_000), big.NewInt(s.Unit)))
	amount := max(units.Int64()*s.Unit, tier.Floor)
	if s.Cap > 0 {
		amount = min(amount, s.Cap)
	}
	return amount
}

func TestAwardIsExactAndWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, base := anySchedule(t), anyBase(t)
		low, high, err := tipbox.Rates(s, base, "")
		if err != nil {
			t.Fatal(err)
		}
		rate := rapid.IntRange(low, high).Draw(t, "rate")
		got, err := tipbox.Amount(s, base, "", rate)
		if want := exact(s, base, rate); err != nil || got != want {
			t.Fatalf("got %d, want %d (%v)", got, want, err)
		}
		least, most, _ := tipbox.Range(s, base, "")
		if got < least || got > most || got%s.Unit != 0 || s.Cap > 0 && got > s.Cap || got < 0 {
			t.Fatalf("%d is not from %d to %d, or above the cap, or no multiple of the unit", got, least, most)
		}
		for _, beside := range []int{low - 1, high + 1} {
			if _, err := tipbox.Amount(s, base, "", beside); !errors.Is(err, tipbox.ErrRule) {
				t.Fatalf("a rate of %d is taken: %v", beside, err)
			}
		}
	})
}

func TestInstalmentsComeToTheAwardOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySchedule(t)
		s.Tiers = s.Tiers[:1] // so that more recovered never means a lower rate
		var base, awarded int64
		rate := rapid.IntRange(s.Tiers[0].Low, s.Tiers[0].High).Draw(t, "rate")
		for range rapid.IntRange(1, 8).Draw(t, "instalments") {
			base += rapid.Int64Range(0, roster.MaxAmount/8).Draw(t, "recovered")
			if low, _, _ := tipbox.Rates(s, base, ""); low == 0 && base < max(s.Minimum, s.Tiers[0].From) {
				continue // nothing is paid yet
			}
			more, err := tipbox.Instalment(s, base, "", rate, awarded)
			if err != nil || more < 0 || more%s.Unit != 0 {
				t.Fatalf("%d, %v", more, err)
			}
			awarded += more
			if whole, err := tipbox.Amount(s, base, "", rate); err != nil || awarded != whole {
				t.Fatalf("instalments come to %d, the award of the whole is %d (%v)", awarded, whole, err)
			}
		}
	})
}

func TestSharesAddUpAndAreFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SampledFrom([]int64{1, 5, 100_00}).Draw(t, "unit")
		amount := unit * rapid.Int64Range(0, roster.MaxAmount/unit).Draw(t, "units")
		parts := rapid.SliceOfN(rapid.Int64Range(0, roster.MaxAmount/20), 1, 20).Draw(t, "parts")
		parts[0]++
		shares, err := tipbox.Split(amount, unit, parts)
		if err != nil || len(shares) != len(parts) {
			t.Fatal(shares, err)
		}
		var whole, sum int64
		for i := range parts {
			whole += parts[i]
			sum += shares[i]
		}
		if sum != amount {
			t.Fatalf("the shares %v come to %d, not %d", shares, sum, amount)
		}
		for i, share := range shares {
			quota := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(amount), big.NewInt(parts[i])), big.NewInt(whole))
			apart := new(big.Rat).Sub(quota, new(big.Rat).SetInt64(share))
			if apart.Abs(apart).Cmp(new(big.Rat).SetInt64(unit)) >= 0 || share < 0 || share%unit != 0 {
				t.Fatalf("part %d of %d gets %d of %d", parts[i], whole, share, amount)
			}
			for j := range i {
				if parts[j] > parts[i] && shares[j] < share || parts[j] == parts[i] && shares[j] < share {
					t.Fatalf("parts %d and %d get %d and %d", parts[j], parts[i], shares[j], share)
				}
			}
		}
	})
}

func TestTimeLowersNoPromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		days := []string{"2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01", "2026-05-01"}
		var schedules []*tipbox.Schedule
		for i, day := range days {
			s := anySchedule(t)
			s.ID, s.Since = string(rune('a'+i)), day
			schedules = append(schedules, s)
		}
		r := withSchedules(schedules...)
		m := tipbox.Merit{Received: rapid.SampledFrom(days).Draw(t, "received"), Currency: "CNY", Collected: anyBase(t)}
		m.Found = m.Collected
		var last [2]int64
		for _, today := range days {
			if today < m.Received {
				continue
			}
			s, err := tipbox.Governing(r, m, today)
			if err != nil || s == nil {
				t.Fatal(s, err)
			}
			low, high, err := tipbox.Range(s, m.Base(s), "")
			if err != nil || low < last[0] {
				t.Fatalf("on %s it pays from %d, it was %d (%v)", today, low, last[0], err)
			}
			if today == m.Received {
				if s.Since != today {
					t.Fatalf("on its day a tip is governed by %s", s.Since)
				}
				last[1] = high // never below what was promised on the day of the tip
			}
			if high < last[1] {
				t.Fatalf("on %s it pays up to %d, promised were %d", today, high, last[1])
			}
			last[0] = low
		}
	})
}

// BenchmarkAwards works out the awards of 100,000 cases: which schedule governs,
// the range, the amount, the approvers and the shares of two.
func BenchmarkAwards(b *testing.B) {
	later := market()
	later.ID, later.Since = "later", "2026-06-01"
	r := withSchedules(market(), later, rated("other", "2026-03-01", 100, 200))
	random := rand.New(rand.NewPCG(1, 2))
	cases := make([]tipbox.Merit, 100_000)
	for i := range cases {
		sum := random.Int64N(100_000_000_00)
		cases[i] = tipbox.Merit{
			Channel: "off-book-funds", Received: []string{"2026-01-05", "2026-07-01"}[i%2], Currency: "CNY",
			Evidence: []string{"first", "second", "third"}[i%3], Found: sum, Collected: sum,
		}
	}
	b.ResetTimer()
	for b.Loop() {
		for _, m := range cases {
			s, err := tipbox.Governing(r, m, "2026-11-22")
			if err != nil {
				b.Fatal(err)
			}
			_, rate, _ := tipbox.Rates(s, m.Base(s), m.Evidence)
			amount, err := tipbox.Amount(s, m.Base(s), m.Evidence, rate)
			if err != nil || tipbox.VotesNeeded(s, amount) == 0 {
				b.Fatal(err)
			}
			if _, err := tipbox.Split(amount, s.Unit, []int64{70, 30}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(cases)), "ns/case")
}
