package main

import (
	"fmt"
	"slices"

	"tipbox/crypto/roster"
)

type rosterRuleCmd struct {
	Channel     string `arg:"" help:"The channel."`
	Since       string `help:"The day of the first tips that it is for, 2006-01-02." default:"" placeholder:"DAY"`
	Quorum      int    `help:"How many votes make a finding." default:"2"`
	Acknowledge int    `help:"Days from the receipt to the acknowledgement." default:"7"`
	Answer      int    `help:"Days from there to the answer; 0 for three months." default:"0"`
	Working     bool   `help:"Both are working days."`
}

func (*rosterRuleCmd) Help() string {
	return "Example: tipbox --home root roster rule off-book-funds --quorum 3 --acknowledge 15 --working\n\n" +
		"It governs the tips that come from its day on; those before stay under the rule of theirs. It begins tomorrow if --since is left out,\n" +
		"or today if no roster was signed yet. What was signed of rules that have begun stays."
}

func (c *rosterRuleCmd) Run(a *app) error {
	rule := roster.Rule{Channel: c.Channel, Since: c.Since, Quorum: c.Quorum, Acknowledge: c.Acknowledge, Answer: c.Answer, Working: c.Working}
	signed, err := a.lastSigned()
	if err != nil {
		return err
	}
	if rule.Since == "" && signed.Serial == 0 {
		rule.Since = today()
	}
	if rule.Since == "" {
		rule.Since = tomorrow()
	}
	return a.changeDraft(func(draft *roster.Roster) {
		draft.Rules = append(slices.DeleteFunc(draft.Rules, func(r roster.Rule) bool {
			return r.Channel == rule.Channel && r.Since == rule.Since
		}), rule)
	})
}

type rosterCalendarCmd struct {
	Holiday []string `help:"A day off besides weekends, 2006-01-02. Give it again for each." placeholder:"DAY"`
	Workday []string `help:"A Saturday or Sunday that is worked." placeholder:"DAY"`
}

func (*rosterCalendarCmd) Help() string {
	return "Example: tipbox --home root roster calendar --holiday 2027-01-01 --workday 2027-01-03\n\nFor deadlines in working days. What is entered stays."
}

func (c *rosterCalendarCmd) Run(a *app) error {
	return a.changeDraft(func(draft *roster.Roster) {
		draft.Holidays = slices.Compact(slices.Sorted(slices.Values(append(draft.Holidays, c.Holiday...))))
		draft.Workdays = slices.Compact(slices.Sorted(slices.Values(append(draft.Workdays, c.Workday...))))
	})
}

// changeDraft changes the draft of the roster, if it is good afterwards.
func (a *app) changeDraft(change func(*roster.Roster)) error {
	draft, err := a.readDraft()
	if err != nil {
		return err
	}
	change(draft)
	changed, err := roster.Parse(draft.Draft())
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	if err := a.writeDraft(changed); err != nil {
		return err
	}
	a.say("Entered. Next: tipbox roster sign\n")
	return nil
}
