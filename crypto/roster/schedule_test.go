package roster_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"tipbox/crypto/roster"
)

func schedule(id, since string, channels ...string) roster.Schedule {
	return roster.Schedule{
		ID: id, Since: since, Channels: channels, Title: map[string]string{"en": "A scale", "zh-Hans": "标准"},
		Currency: "CNY", Base: roster.BaseCollected,
		Evidence: []roster.Evidence{{ID: "full", Title: map[string]string{"en": "Full"}}, {ID: "lead", Title: map[string]string{"en": "A lead"}}},
		Tiers: []roster.Tier{
			{Evidence: "full", Low: 300, High: 500, Floor: 50_00},
			{Evidence: "full", From: 1_000_000_00, Low: 100, High: 100},
			{Evidence: "lead", Low: 100, High: 200},
		},
		Cap: 100_000_00, Unit: 10_00, Minimum: 100_00, ClaimDays: 90,
		Approvers: []roster.Approval{{From: 0, Votes: 1}, {From: 50_000_00, Votes: 3}},
		Charities: []roster.Charity{{ID: "red-cross", Name: map[string]string{"en": "Red Cross"}}},
	}
}

// ending is a schedule that ends the one before it.
func ending(id, since string, channels ...string) roster.Schedule {
	return roster.Schedule{ID: id, Since: since, Channels: channels, Title: map[string]string{"en": "No rewards"}, Currency: "CNY"}
}

// promising is an office whose roster has those schedules.
func promising(t testing.TB, schedules ...roster.Schedule) *roster.Roster {
	t.Helper()
	r, _ := office(t)
	r.Schedules = schedules
	return must(roster.Parse(r.Draft()))
}

func TestScheduleIsSignedAndReadsBack(t *testing.T) {
	r, root := office(t)
	a, b := schedule("a", "2026-01-01"), schedule("b", "2026-02-01")
	b.Tiers[0], b.Tiers[2] = b.Tiers[2], b.Tiers[0]
	r.Schedules = []roster.Schedule{b, a}
	got := must(roster.Open(must(r.Sign(root)), root.Verifier(), roster.Mark{}))
	if len(got.Schedules) != 2 || got.Schedules[0].ID != "a" || got.Schedules[1].ID != "b" {
		t.Fatalf("the schedules are %+v", got.Schedules)
	}
	// However the file had it, the order is one.
	b = *got.Schedule("b")
	a = *got.Schedule("a")
	b.ID, b.Since = a.ID, a.Since
	if x, y := string(must(json.Marshal(a))), string(must(json.Marshal(b))); x != y {
		t.Errorf("got\n%s\nand\n%s", x, y)
	}
	if got.Schedule("c") != nil {
		t.Error("there is a schedule that nobody entered")
	}
}

func TestRosterWithoutSchedulesIsWrittenAsBefore(t *testing.T) {
	r, _ := office(t)
	if draft := string(r.Draft()); strings.Contains(draft, "schedule") {
		t.Errorf("the draft of an older version would be another:\n%s", draft)
	}
}

func TestScheduleThatBreaksARuleIsRefused(t *testing.T) {
	r, _ := office(t)
	for name, test := range map[string]struct {
		edit func(s *roster.Schedule)
		want error
	}{
		"no id":                        {func(s *roster.Schedule) { s.ID = "" }, roster.ErrName},
		"id in capitals":               {func(s *roster.Schedule) { s.ID = "A" }, roster.ErrName},
		"no such day":                  {func(s *roster.Schedule) { s.Since = "2026-02-30" }, roster.ErrFormat},
		"no title":                     {func(s *roster.Schedule) { s.Title = nil }, roster.ErrFormat},
		"no English title":             {func(s *roster.Schedule) { delete(s.Title, "en") }, roster.ErrFormat},
		"title in no language":         {func(s *roster.Schedule) { s.Title["not a tag"] = "x" }, roster.ErrFormat},
		"title on two lines":           {func(s *roster.Schedule) { s.Title["en"] = "a\nb" }, roster.ErrFormat},
		"title with an escape":         {func(s *roster.Schedule) { s.Title["de"] = "\x1b[2J" }, roster.ErrFormat},
		"title with spaces":            {func(s *roster.Schedule) { s.Title["de"] = " a" }, roster.ErrFormat},
		"empty title":                  {func(s *roster.Schedule) { s.Title["de"] = "" }, roster.ErrFormat},
		"long title":                   {func(s *roster.Schedule) { s.Title["de"] = strings.Repeat("x", 201) }, roster.ErrFormat},
		"no currency":                  {func(s *roster.Schedule) { s.Currency = "" }, roster.ErrFormat},
		"currency in small letters":    {func(s *roster.Schedule) { s.Currency = "cny" }, roster.ErrFormat},
		"no such currency":             {func(s *roster.Schedule) { s.Currency = "QQQ" }, roster.ErrFormat},
		"the currency that is none":    {func(s *roster.Schedule) { s.Currency = "XXX" }, roster.ErrFormat},
		"the currency for tests":       {func(s *roster.Schedule) { s.Currency = "XTS" }, roster.ErrFormat},
		"no base":                      {func(s *roster.Schedule) { s.Base = "" }, roster.ErrFormat},
		"another base":                 {func(s *roster.Schedule) { s.Base = "sanction" }, roster.ErrFormat},
		"bad channel":                  {func(s *roster.Schedule) { s.Channels = []string{"Bribery"} }, roster.ErrFormat},
		"channel twice":                {func(s *roster.Schedule) { s.Channels = []string{"bribery", "bribery"} }, roster.ErrFormat},
		"evidence twice":               {func(s *roster.Schedule) { s.Evidence[1].ID = "full" }, roster.ErrFormat},
		"bad evidence":                 {func(s *roster.Schedule) { s.Evidence[1].ID = "a lead" }, roster.ErrFormat},
		"evidence without a title":     {func(s *roster.Schedule) { s.Evidence[1].Title = nil }, roster.ErrFormat},
		"evidence without a tier":      {func(s *roster.Schedule) { s.Tiers = s.Tiers[:2] }, roster.ErrFormat},
		"tier of no evidence":          {func(s *roster.Schedule) { s.Tiers[0].Evidence = "" }, roster.ErrFormat},
		"tier of other evidence":       {func(s *roster.Schedule) { s.Tiers[0].Evidence = "rumour" }, roster.ErrFormat},
		"evidence where there is none": {func(s *roster.Schedule) { s.Evidence = nil }, roster.ErrFormat},
		"two tiers of one amount":      {func(s *roster.Schedule) { s.Tiers[1].From = 0 }, roster.ErrFormat},
		"tier from below nothing":      {func(s *roster.Schedule) { s.Tiers[0].From = -1 }, roster.ErrFormat},
		"tier from beyond all":         {func(s *roster.Schedule) { s.Tiers[1].From = roster.MaxAmount + 1 }, roster.ErrFormat},
		"rates the wrong way round":    {func(s *roster.Schedule) { s.Tiers[0].Low = 600 }, roster.ErrFormat},
		"negative rate":                {func(s *roster.Schedule) { s.Tiers[0].Low = -1 }, roster.ErrFormat},
		"rate of nothing":              {func(s *roster.Schedule) { s.Tiers[2].Low, s.Tiers[2].High = 0, 0 }, roster.ErrFormat},
		"rate of more than all":        {func(s *roster.Schedule) { s.Tiers[0].High = 10_001 }, roster.ErrFormat},
		"floor beside the unit":        {func(s *roster.Schedule) { s.Tiers[0].Floor = 55_00 }, roster.ErrFormat},
		"floor over the cap":           {func(s *roster.Schedule) { s.Tiers[0].Floor = 100_010_00 }, roster.ErrFormat},
		"negative floor":               {func(s *roster.Schedule) { s.Tiers[0].Floor = -10_00 }, roster.ErrFormat},
		"cap beside the unit":          {func(s *roster.Schedule) { s.Cap = 100_005_00 }, roster.ErrFormat},
		"negative cap":                 {func(s *roster.Schedule) { s.Cap = -10_00 }, roster.ErrFormat},
		"cap beyond all":               {func(s *roster.Schedule) { s.Cap = math.MaxInt64 - math.MaxInt64%10_00 }, roster.ErrFormat},
		"no unit":                      {func(s *roster.Schedule) { s.Unit = 0 }, roster.ErrFormat},
		"negative unit":                {func(s *roster.Schedule) { s.Unit = -10_00 }, roster.ErrFormat},
		"negative minimum":             {func(s *roster.Schedule) { s.Minimum = -1 }, roster.ErrFormat},
		"minimum beyond all":           {func(s *roster.Schedule) { s.Minimum = roster.MaxAmount + 1 }, roster.ErrFormat},
		"no window":                    {func(s *roster.Schedule) { s.ClaimDays = 0 }, roster.ErrFormat},
		"window of a lifetime":         {func(s *roster.Schedule) { s.ClaimDays = 40_000 }, roster.ErrFormat},
		"warning before the window":    {func(s *roster.Schedule) { s.WarnDays = 91 }, roster.ErrFormat},
		"negative warning":             {func(s *roster.Schedule) { s.WarnDays = -1 }, roster.ErrFormat},
		"nobody approves":              {func(s *roster.Schedule) { s.Approvers = nil }, roster.ErrFormat},
		"nobody approves the small":    {func(s *roster.Schedule) { s.Approvers = s.Approvers[1:] }, roster.ErrFormat},
		"no votes":                     {func(s *roster.Schedule) { s.Approvers[0].Votes = 0 }, roster.ErrFormat},
		"votes of a crowd":             {func(s *roster.Schedule) { s.Approvers[1].Votes = 257 }, roster.ErrFormat},
		"votes fall":                   {func(s *roster.Schedule) { s.Approvers[0].Votes = 4 }, roster.ErrFormat},
		"amounts fall":                 {func(s *roster.Schedule) { s.Approvers[1].From = -1 }, roster.ErrFormat},
		"amounts stay":                 {func(s *roster.Schedule) { s.Approvers[1].From = 0 }, roster.ErrFormat},
		"charity twice":                {func(s *roster.Schedule) { s.Charities = append(s.Charities, s.Charities[0]) }, roster.ErrFormat},
		"charity without a name":       {func(s *roster.Schedule) { s.Charities[0].Name = nil }, roster.ErrFormat},
		"very many tiers": {func(s *roster.Schedule) {
			for i := range int64(51) {
				s.Tiers = append(s.Tiers, roster.Tier{Evidence: "lead", From: i + 1, Low: 1, High: 1})
			}
		}, roster.ErrFormat},
		"no tiers, and a promise all the same": {func(s *roster.Schedule) { s.Tiers, s.Evidence = nil, nil }, roster.ErrFormat},
	} {
		s := schedule("a", "2026-01-01")
		test.edit(&s)
		r.Schedules = []roster.Schedule{s}
		if _, err := roster.Parse(r.Draft()); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, unknown := range map[string]string{"field": `"rate":1,"id":`, "field of a part": `"id":`} {
		r.Schedules = []roster.Schedule{schedule("a", "2026-01-01")}
		draft := strings.Replace(string(r.Draft()), `"id":`, unknown, 1)
		if name == "field of a part" {
			draft = strings.Replace(draft, `"low":`, `"rate": 1, "low":`, 1)
		}
		if _, err := roster.Parse([]byte(draft)); !errors.Is(err, roster.ErrFormat) {
			t.Errorf("unknown %s: %v", name, err)
		}
	}
	r.Schedules = []roster.Schedule{ending("a", "2026-01-01")}
	if _, err := roster.Parse(r.Draft()); err != nil {
		t.Errorf("a schedule that ends another: %v", err)
	}
}

func TestTwoSchedulesAreNeverBothInForce(t *testing.T) {
	r, _ := office(t)
	a := schedule("a", "2026-01-01", "bribery", "theft")
	for name, test := range map[string]struct {
		other roster.Schedule
		want  error
	}{
		"the same id":         {schedule("a", "2026-02-01", "waste"), roster.ErrDuplicate},
		"a channel of both":   {schedule("b", "2026-01-01", "theft"), roster.ErrFormat},
		"all channels":        {schedule("b", "2026-01-01"), roster.ErrFormat},
		"the end of the same": {ending("b", "2026-01-01", "bribery"), roster.ErrFormat},
		"another channel":     {schedule("b", "2026-01-01", "waste"), nil},
		"another day":         {schedule("b", "2026-01-02", "theft"), nil},
	} {
		r.Schedules = []roster.Schedule{a, test.other}
		if _, err := roster.Parse(r.Draft()); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := schedule("b", "2026-01-01")
	other.Currency = "USD"
	r.Schedules = []roster.Schedule{a, other}
	if _, err := roster.Parse(r.Draft()); err != nil {
		t.Errorf("another currency: %v", err)
	}
}

func TestScheduleInForce(t *testing.T) {
	usd := schedule("usd", "2026-01-01")
	usd.Currency = "USD"
	r := promising(t, schedule("all", "2026-01-01"), schedule("theft", "2026-03-01", "theft"), usd,
		schedule("all-2", "2026-06-01"), ending("theft-ends", "2026-09-01", "theft"), schedule("late", "2026-12-01", "bribery"))
	for _, c := range []struct{ channel, currency, day, want string }{
		{"theft", "CNY", "2025-12-31", ""},
		{"theft", "CNY", "2026-01-01", "all"},
		{"theft", "CNY", "2026-02-28", "all"},
		{"theft", "CNY", "2026-03-01", "theft"},
		{"bribery", "CNY", "2026-03-01", "all"},
		{"theft", "CNY", "2026-06-01", "all-2"},
		{"theft", "CNY", "2026-09-01", "theft-ends"},
		{"bribery", "CNY", "2026-09-01", "all-2"},
		{"bribery", "CNY", "2026-12-01", "late"},
		{"theft", "USD", "2026-09-01", "usd"},
		{"theft", "EUR", "2026-09-01", ""},
	} {
		got := ""
		if s := r.ScheduleOn(c.channel, c.currency, c.day); s != nil {
			got = s.ID
		}
		if got != c.want {
			t.Errorf("%s, %s, %s: %q, want %q", c.channel, c.currency, c.day, got, c.want)
		}
	}
	for day, want := range map[string]string{
		"2025-12-31": "", "2026-01-01": "all usd", "2026-03-01": "all usd theft", "2026-06-01": "usd all-2", "2026-09-01": "usd all-2", "2026-12-01": "usd all-2 late",
	} {
		var ids []string
		for _, s := range r.SchedulesOn(day) {
			ids = append(ids, s.ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("on %s there are %q, want %q", day, got, want)
		}
	}
}

func TestPromiseIsKept(t *testing.T) {
	earlier := promising(t, schedule("a", "2026-01-01", "bribery"))
	const day = "2026-11-22"
	changed := schedule("a", "2026-01-01", "bribery")
	changed.Tiers[0].High = 400
	usd := schedule("b", "2026-01-01")
	usd.Currency = "USD"
	for name, test := range map[string]struct {
		schedules []roster.Schedule
		want      error
	}{
		"the same":                    {[]roster.Schedule{schedule("a", "2026-01-01", "bribery")}, nil},
		"gone":                        {nil, roster.ErrPromise},
		"changed":                     {[]roster.Schedule{changed}, roster.ErrPromise},
		"another name":                {[]roster.Schedule{schedule("b", "2026-01-01", "bribery")}, roster.ErrPromise},
		"a later one":                 {[]roster.Schedule{schedule("a", "2026-01-01", "bribery"), schedule("b", "2026-11-23")}, nil},
		"one from that day on":        {[]roster.Schedule{schedule("a", "2026-01-01", "bribery"), schedule("b", day)}, roster.ErrPromise},
		"one for the past":            {[]roster.Schedule{schedule("a", "2026-01-01", "bribery"), schedule("b", "2026-05-01", "bribery", "theft")}, roster.ErrPromise},
		"an end from that day on":     {[]roster.Schedule{schedule("a", "2026-01-01", "bribery"), ending("b", day, "bribery")}, roster.ErrPromise},
		"the first of a channel":      {[]roster.Schedule{schedule("a", "2026-01-01", "bribery"), schedule("b", "2009-05-01", "theft")}, nil},
		"the first of a currency":     {[]roster.Schedule{schedule("a", "2026-01-01", "bribery"), usd}, nil},
		"a past end, where none were": {[]roster.Schedule{schedule("a", "2026-01-01", "bribery"), ending("b", "2026-01-01", "theft")}, nil},
	} {
		if err := promising(t, test.schedules...).Keeps(earlier, day); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := promising(t, schedule("a", "2009-01-01")).Keeps(promising(t), day); err != nil {
		t.Errorf("the first of all: %v", err)
	}
}

func TestWarningIsWellBeforeTheEnd(t *testing.T) {
	for _, c := range []struct{ claim, warn, want int }{{90, 0, 30}, {365, 0, 121}, {60, 0, 30}, {20, 0, 20}, {90, 7, 7}, {1, 0, 1}} {
		s := roster.Schedule{ClaimDays: c.claim, WarnDays: c.warn}
		if got := s.Warn(); got != c.want {
			t.Errorf("of %d days the source is warned %d before, want %d", c.claim, got, c.want)
		}
	}
}

func TestDigitsAreTheCurrencys(t *testing.T) {
	for currency, want := range map[string]int{"CNY": 2, "USD": 2, "JPY": 0, "KWD": 3} {
		if got := (&roster.Schedule{Currency: currency}).Digits(); got != want {
			t.Errorf("%s has %d digits, want %d", currency, got, want)
		}
	}
}
