package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
	"tipbox/static"
	"tipbox/tipbox"
)

type scheduleCmd struct {
	All bool `help:"Also those that are over, and those that are to come."`
}

func (*scheduleCmd) Help() string {
	return "Example: tipbox schedule\n\nThe scale of rewards, as the root key's holder signed it: what is paid for which sum, how many approvers it takes, and how long it can be claimed. " +
		"It is read from your folder's roster; nobody is asked. Amounts are in the currency's main unit."
}

func (c *scheduleCmd) Run(a *app) error {
	cfg, err := a.home.Config()
	if err != nil {
		return err
	}
	r, err := a.home.Roster(cfg)
	if err != nil {
		return err
	}
	shown := r.SchedulesOn(today())
	if c.All {
		shown = nil
		for i := range r.Schedules {
			shown = append(shown, &r.Schedules[i])
		}
	}
	if a.json {
		for _, s := range shown {
			if err := a.printJSON(s); err != nil {
				return err
			}
		}
		return nil
	}
	if len(shown) == 0 {
		a.say("No rewards are promised at present (roster number %d of %s). All that ever were: tipbox schedule --all\n", r.Serial, r.Day)
		return nil
	}
	for i, s := range shown {
		if i > 0 {
			a.print("\n")
		}
		if err := a.printSchedule(s); err != nil {
			return err
		}
	}
	return nil
}

type rosterScheduleCmd struct {
	File    string `arg:"" optional:"" help:"The schedule, in TOML." type:"existingfile"`
	Replace bool   `help:"Put it in the place of one of the same id that was never signed."`
	Example string `help:"Print one to begin with, and enter nothing: schedule, market-2021 or united-states." enum:",schedule,market-2021,united-states" default:"" placeholder:"NAME"`
}

func (*rosterScheduleCmd) Help() string {
	return "Example: tipbox --home root roster schedule schedule.toml\n\n" +
		"Enters a scale of rewards, and prints what it promises. One to begin with: tipbox roster schedule --example schedule > schedule.toml\n\n" +
		"What was signed is never changed. Other terms get another id and a day after that of the signature; tips from before stay under the old ones, unless the new ones pay more. " +
		"Only the first schedule of a channel may begin in the past. To end rewards, enter one that has no tier."
}

func (c *rosterScheduleCmd) Run(a *app) error {
	if (c.File == "") == (c.Example == "") {
		return usageError{errors.New("give a file, or --example NAME for one to begin with")}
	}
	if c.Example != "" {
		return c.printExample(a)
	}
	data, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	s, err := parseSchedule(data)
	if err != nil {
		return fmt.Errorf("%s: %w", cleanLine(c.File), err)
	}
	draft, err := a.readDraft()
	if err != nil {
		return err
	}
	signed, err := a.lastSigned()
	if err != nil {
		return err
	}
	if there := draft.Schedule(s.ID); there != nil && !there.Equal(s) {
		if signed.Schedule(s.ID) != nil {
			return fmt.Errorf("schedule %s was signed with other terms: give these an id of their own: %w", s.ID, roster.ErrPromise)
		}
		if !c.Replace {
			return fmt.Errorf("schedule %s is in the draft with other terms, which were never signed: --replace puts these in their place", s.ID)
		}
	}
	draft.Schedules = append(slices.DeleteFunc(draft.Schedules, func(o roster.Schedule) bool { return o.ID == s.ID }), *s)
	changed, err := roster.Parse(draft.Draft())
	if err == nil {
		err = changed.Keeps(signed, today())
	}
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	if err := a.writeDraft(changed); err != nil {
		return err
	}
	if a.json {
		if err := a.printJSON(s); err != nil {
			return err
		}
	} else if err := a.printSchedule(s); err != nil {
		return err
	}
	c.warn(a, changed, s)
	a.say("Entered. Next: tipbox roster sign\n")
	if s.Since > today() {
		a.say("Then the server must have roster.note before %s: from that day on this is what it shows to sources.\n", s.Since)
	}
	return nil
}

// warn says what is not wrong and may not be meant.
func (c *rosterScheduleCmd) warn(a *app, r *roster.Roster, s *roster.Schedule) {
	if s.Example {
		a.say("Note: it says that it is an example, and so does the page. Strike out that line when your lawyer has looked at it.\n")
	}
	approvers, needed := 0, tipbox.VotesNeeded(s, roster.MaxAmount)
	if s.Cap > 0 {
		needed = tipbox.VotesNeeded(s, s.Cap)
	}
	for _, m := range r.Members {
		if m.Has(roster.Approver) {
			approvers++
		}
	}
	switch {
	case approvers < needed:
		a.say("Note: it takes up to %d approvers, and the roster has %d.\n", needed, approvers)
	case approvers < 2*needed:
		a.say("Note: it takes up to %d approvers, and as many others if the source appeals; the roster has %d.\n", needed, approvers)
	}
	coins := voucher.Issued(r.Denominations, s.Currency, max(s.Since, today()))
	if len(coins) == 0 {
		return // said where denominations are entered
	}
	for _, amount := range []int64{s.Unit, s.Cap} {
		if amount > 0 && voucher.Choose(coins, amount, tipbox.MaxVouchers) == nil {
			a.say("Note: no %d vouchers of the roster's denominations, or fewer, come to %s: some awards cannot be claimed in vouchers.\n", tipbox.MaxVouchers, money(amount, s.Currency))
		}
	}
}

func (c *rosterScheduleCmd) printExample(a *app) error {
	name := c.Example + ".toml"
	if c.Example != "schedule" {
		name = "examples/" + name
	}
	text, err := fs.ReadFile(static.Site(filepath.Join(string(a.home), "site")), name)
	if err != nil {
		return err
	}
	a.print("%s", text)
	return nil
}

// parseSchedule reads a schedule in TOML and checks it.
func parseSchedule(data []byte) (*roster.Schedule, error) {
	s := new(roster.Schedule)
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(s); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return nil, fmt.Errorf("there is no such setting:\n%s", strict.String())
		}
		var syntax *toml.DecodeError
		if errors.As(err, &syntax) {
			return nil, errors.New(syntax.String())
		}
		return nil, err
	}
	return s, s.Validate()
}

// lastSigned is the roster that was signed last, or one without anything.
func (a *app) lastSigned() (*roster.Roster, error) {
	signed, err := os.ReadFile(a.rootFile(signedName))
	if errors.Is(err, fs.ErrNotExist) {
		return new(roster.Roster), nil
	}
	if err != nil {
		return nil, err
	}
	last, err := unverified(signed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.rootFile(signedName), err)
	}
	return last, nil
}

// keepsPromises makes sure that what was signed of rewards stays, should the draft
// have been restored from an old copy, edited by hand, or lain for days.
func (a *app) keepsPromises(draft *roster.Roster) error {
	last, err := a.lastSigned()
	if err != nil {
		return err
	}
	return draft.Keeps(last, today())
}

// printSchedule prints a schedule and what it pays for some sums.
func (a *app) printSchedule(s *roster.Schedule) error {
	money := func(amount int64) string { return mainUnits(amount, s.Digits()) }
	a.print("%s: %s\n", s.ID, cleanLine(a.lang.choose(s.Title)))
	w := a.table()
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", a.lang.text(name), a.lang.sprintf(format, args...))
	}
	row("since", "%s", s.Since)
	row("channels", "%s", cmp.Or(strings.Join(s.Channels, ", "), a.lang.text("all")))
	if len(s.Tiers) == 0 {
		row("currency", "%s", s.Currency)
		row("pays", "nothing, to tips from that day on")
		return w.Flush()
	}
	if s.Example {
		row("example", "yes: nobody has checked it yet")
	}
	row("base", "%s, in %s", a.lang.text(baseText(s)), s.Currency)
	for _, t := range s.Tiers {
		row("rate", "%s", tierText(a.lang, s, t, money))
	}
	if s.Minimum > 0 {
		row("minimum", "nothing for less than %s", money(s.Minimum))
	}
	if s.Cap > 0 {
		row("cap", "%s a case", money(s.Cap))
	}
	row("rounding", "down to a multiple of %s", money(s.Unit))
	row("claim", "within %d days; the source is warned %d days before the end", s.ClaimDays, s.Warn())
	var approvers []string
	for _, step := range s.Approvers {
		text := strconv.Itoa(step.Votes)
		if step.From > 0 {
			text = a.lang.sprintf("%d from %s", step.Votes, money(step.From))
		}
		approvers = append(approvers, text)
	}
	row("approvers", "%s", strings.Join(approvers, ", "))
	for _, c := range s.Charities {
		row("charity", "%s: %s", c.ID, cleanLine(a.lang.choose(c.Name)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return a.printSamples(s, money)
}

// printSamples prints what a schedule pays for round sums, and where its tiers
// begin.
func (a *app) printSamples(s *roster.Schedule, money func(int64) string) error {
	sums := make(map[int64]bool)
	one := int64(1)
	for range s.Digits() {
		one *= 10
	}
	for n := one * 1000; n <= one*100_000_000; n *= 10 {
		sums[n] = true
	}
	sums[s.Minimum] = true
	for _, t := range s.Tiers {
		sums[t.From] = true
	}
	delete(sums, 0)
	w := a.table()
	w.head("  SUM\tEVIDENCE\tAWARD\tAPPROVERS")
	evidence := s.Evidence
	if len(evidence) == 0 {
		evidence = []roster.Evidence{{ID: "any"}}
	}
	for _, sum := range slices.Sorted(maps.Keys(sums)) {
		for _, e := range evidence {
			low, high, err := tipbox.Range(s, sum, e.ID)
			if err != nil {
				return err
			}
			award, approvers := money(high), strconv.Itoa(tipbox.VotesNeeded(s, high))
			if low != high {
				award = a.lang.sprintf("%s to %s", money(low), award)
			}
			if least := strconv.Itoa(tipbox.VotesNeeded(s, low)); least != approvers {
				approvers = a.lang.sprintf("%s to %s", least, approvers)
			}
			if high == 0 {
				award, approvers = a.lang.text("nothing"), ""
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", money(sum), e.ID, award, approvers)
		}
	}
	return w.Flush()
}

func baseText(s *roster.Schedule) string {
	if s.Base == roster.BaseFound {
		return "what was found"
	}
	return "what was found and collected"
}

func tierText(lang *catalogue, s *roster.Schedule, t roster.Tier, money func(int64) string) string {
	text := percent(t.High)
	if t.Low != t.High {
		text = lang.sprintf("%s to %s", percent(t.Low), text)
	}
	text += " %"
	if t.Evidence != "" {
		text += lang.sprintf(" for evidence %s", t.Evidence)
		for _, e := range s.Evidence {
			if e.ID == t.Evidence {
				text += " (" + cleanLine(lang.choose(e.Title)) + ")"
			}
		}
	}
	if t.From > 0 {
		text += lang.sprintf(", from %s on", money(t.From))
	}
	if t.Floor > 0 {
		text += lang.sprintf(", at least %s", money(t.Floor))
	}
	return text
}

// percent writes basis points as a percentage.
func percent(rate int) string {
	return strings.TrimSuffix(strings.TrimRight(mainUnits(int64(rate), 2), "0"), ".")
}

// mainUnits writes an amount of minor units, of which so many digits stand behind
// the point.
func mainUnits(amount int64, digits int) string {
	text := fmt.Sprintf("%0*d", digits+1, amount)
	if digits == 0 {
		return text
	}
	return text[:len(text)-digits] + "." + text[len(text)-digits:]
}
