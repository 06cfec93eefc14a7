package roster_test

import (
	"testing"

	"tipbox/crypto/roster"
)

func TestDeadlines(t *testing.T) {
	r := &roster.Roster{
		Rules: []roster.Rule{
			{Channel: "bribery", Since: "2026-01-01", Quorum: 1, Acknowledge: 5, Answer: 15, Working: true},
			{Channel: "bribery", Since: "2026-10-01", Quorum: 3, Acknowledge: 2},
		},
		Holidays: []string{"2026-02-17", "2026-02-18"},
		Workdays: []string{"2026-02-14"}, // a Saturday, in exchange
	}
	for _, c := range []struct {
		channel, received         string
		quorum                    int
		acknowledge, acknowledged string
		paused                    int
		answer                    string
	}{
		{"other", "2026-11-22", 2, "2026-11-29", "2026-11-30", 0, "2027-02-28"}, // February ends earlier
		{"other", "2026-11-22", 2, "2026-11-29", "2026-11-24", 4, "2027-02-28"},
		{"other", "2023-11-22", 2, "2023-11-29", "2023-11-29", 0, "2024-02-29"}, // a leap year
		{"bribery", "2025-12-31", 2, "2026-01-07", "2026-01-01", 0, "2026-04-01"},
		// Friday the 13th, Saturday worked, Sunday off, Monday, two holidays.
		{"bribery", "2026-02-12", 1, "2026-02-20", "2026-02-20", 0, "2026-03-13"},
		{"bribery", "2026-10-01", 3, "2026-10-03", "2026-10-01", 0, "2027-01-01"},
	} {
		rule := r.RuleOn(c.channel, c.received)
		if rule.Quorum != c.quorum {
			t.Errorf("%s on %s: quorum %d, want %d", c.channel, c.received, rule.Quorum, c.quorum)
		}
		if got := r.AcknowledgeBy(rule, c.received); got != c.acknowledge {
			t.Errorf("%s on %s: acknowledge by %s, want %s", c.channel, c.received, got, c.acknowledge)
		}
		if got := r.AnswerBy(rule, c.acknowledged, c.paused); got != c.answer {
			t.Errorf("%s, acknowledged on %s: answer by %s, want %s", c.channel, c.acknowledged, got, c.answer)
		}
	}
}
