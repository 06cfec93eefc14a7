package roster_test

import (
	"errors"
	"testing"

	"tipbox/crypto/roster"
)

// TestARuleOfTodayGovernsNoTipOfToday signs rules when tips may have come under others.
func TestARuleOfTodayGovernsNoTipOfToday(t *testing.T) {
	const day = "2026-11-26"
	rule := func(channel, since string, quorum int) roster.Rule {
		return roster.Rule{Channel: channel, Since: since, Quorum: quorum, Acknowledge: 7}
	}
	old := rule("bribery", "2026-01-01", 2)
	coming := rule("bribery", "2027-01-01", 3)
	earlier := &roster.Roster{Serial: 1, Rules: []roster.Rule{old, coming}}
	for name, test := range map[string]struct {
		rules []roster.Rule
		want  error
	}{
		"as it was":               {[]roster.Rule{old, coming}, nil},
		"one more from tomorrow":  {[]roster.Rule{old, coming, rule("bribery", "2026-11-27", 1)}, nil},
		"one that had not begun":  {[]roster.Rule{old}, nil},
		"one of today":            {[]roster.Rule{old, coming, rule("bribery", day, 1)}, roster.ErrPromise},
		"the past":                {[]roster.Rule{old, coming, rule("bribery", "2026-05-01", 1)}, roster.ErrPromise},
		"the first of a channel":  {[]roster.Rule{old, coming, rule("waste", day, 1)}, roster.ErrPromise},
		"changed":                 {[]roster.Rule{rule("bribery", "2026-01-01", 1), coming}, roster.ErrPromise},
		"gone":                    {[]roster.Rule{coming}, roster.ErrPromise},
		"a channel from tomorrow": {[]roster.Rule{old, coming, rule("waste", "2026-11-27", 1)}, nil},
	} {
		if err := (&roster.Roster{Rules: test.rules}).Keeps(earlier, day); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (&roster.Roster{Rules: []roster.Rule{rule("waste", day, 1)}}).Keeps(new(roster.Roster), day); err != nil {
		t.Errorf("nothing was signed before: %v", err)
	}
}
