package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"tipbox/tipbox"
)

type accountsCmd struct {
	From   string `help:"The first month, 2006-01; January if left out." placeholder:"MONTH"`
	To     string `help:"The last month; this one if left out." placeholder:"MONTH"`
	CSV    bool   `name:"csv" help:"Print comma-separated values (RFC 4180)."`
	Sign   bool   `help:"Print them signed with your key."`
	Verify string `help:"Check signed accounts by your folder's roster, and print them. Nobody is asked." type:"existingfile" placeholder:"FILE"`
}

func (*accountsCmd) Help() string {
	return "Example: tipbox accounts --from 2026-01 --to 2026-12 --sign > accounts.note\n\n" +
		"Totals of awards by month, schedule and currency, each with how many in brackets, and of vouchers by month and denomination:\n\n" +
		"  AWARDED   granted by the approvers\n" +
		"  CLAIMED   by their sources: in vouchers, to details or for a charity\n" +
		"  WAIVED    by their sources\n" +
		"  EXPIRED   because nobody claimed them in time\n" +
		"  ISSUED    of what was claimed: vouchers signed\n" +
		"  PAID OUT  of what was claimed: to details and charities\n" +
		"  OPEN      to be claimed still; awarded is claimed, waived, expired and open\n" +
		"  UNSIGNED  claimed in vouchers, to be signed\n" +
		"  OWED      claimed to details or for a charity, to be paid\n\n" +
		"For approvers, payers and publishers; the latter two get the months that are over. Amounts are exact: an award that is alone in its month is there to the cent, and whoever knows which case it was for knows what its source got. " +
		"Publish no more of them than a year's totals.\n\n" +
		"Signed accounts say what the server told you on that day. For an auditor: tipbox accounts --verify accounts.note, and the same with --csv or --json to have them in that form. " +
		"It takes a folder that was joined with the roster, and no key: tipbox join roster.note --root KEY. Every payment is checked by tipbox pay --list."
}

func (c *accountsCmd) Run(a *app) error {
	switch {
	case c.CSV && a.json:
		return usageError{errors.New("--csv is no JSON: choose one of the two")}
	case c.Sign && (c.CSV || a.json):
		return usageError{errors.New("what is signed has a form of its own: print it first with --sign, then that in any form with --verify FILE")}
	case c.Verify != "" && (c.Sign || c.From+c.To != ""):
		return usageError{errors.New("--verify prints what was signed: leave --sign, --from and --to out")}
	case c.Verify != "":
		return c.verify(a)
	}
	if c.To == "" {
		c.To = today()[:len("2006-01")]
	}
	if c.From == "" && len(c.To) >= len("2006") {
		c.From = c.To[:len("2006")] + "-01"
	}
	if err := tipbox.CheckMonths(c.From, c.To); err != nil {
		return usageError{err}
	}
	s, err := a.connectDesk()
	if err != nil {
		return err
	}
	defer s.Close()
	cfg, err := a.home.Config()
	if err != nil {
		return err
	}
	accounts, err := s.desk.Accounts(a.ctx, c.From, c.To)
	if err == nil {
		err = accounts.Validate()
	}
	if err == nil && (accounts.Organisation != cfg.Root || !near(accounts.Day) || accounts.From > c.From || accounts.To > c.To) {
		err = fmt.Errorf("the accounts are another organisation's, or of other days: %w", tipbox.ErrInvalid)
	}
	if err != nil {
		return err
	}
	if !c.Sign {
		return c.print(a, accounts)
	}
	note, err := accounts.Sign(s.key.SigningKey)
	if err != nil {
		return err
	}
	a.print("%s", note)
	return a.sayOf(accounts)
}

// near reports whether a day is today, give or take one for clocks and time zones.
func near(day string) bool {
	now := time.Now()
	return day >= now.AddDate(0, 0, -1).Format(time.DateOnly) && day <= now.AddDate(0, 0, 1).Format(time.DateOnly)
}

func (c *accountsCmd) verify(a *app) error {
	cfg, err := a.home.Config()
	if err != nil {
		return err
	}
	r, err := a.home.Roster(cfg)
	if err != nil {
		return err
	}
	note, err := os.ReadFile(c.Verify)
	if err != nil {
		return err
	}
	accounts, by, err := tipbox.OpenAccounts(note, r, cfg.Root)
	if err != nil {
		return fmt.Errorf("%s: %w", cleanLine(c.Verify), err)
	}
	a.say("Signed by %s on %s.\n", cleanLine(by), accounts.Day)
	return c.print(a, accounts)
}

func (c *accountsCmd) print(a *app, accounts *tipbox.Accounts) error {
	var err error
	switch {
	case a.json:
		err = a.printJSON(accounts)
	case c.CSV:
		err = writeAccounts(a.stdout, accounts)
	case len(accounts.Awards)+len(accounts.Vouchers) > 0:
		err = a.printAccounts(accounts)
	}
	return errors.Join(err, a.sayOf(accounts))
}

// sayOf says what is to be known of accounts, and fails if something is wrong in
// them.
func (a *app) sayOf(accounts *tipbox.Accounts) error {
	a.say("Accounts from %s to %s, as of %s. They add up.\n", accounts.From, accounts.To, accounts.Day)
	if accounts.Partial {
		a.say("Records are damaged on the server, so numbers are too low. Its operator finds which: tipboxd check\n")
	}
	alarms := accounts.Alarms()
	for _, alarm := range alarms {
		a.say("WRONG: %s\n", cleanLine(a.lang.known(alarm)))
	}
	if len(alarms) > 0 {
		return errors.New("more was paid than was issued or claimed: tell the approvers")
	}
	return nil
}

// sumCell is a sum, or nothing.
func sumCell(s tipbox.Sum, currency string) string {
	if s == (tipbox.Sum{}) {
		return ""
	}
	amount, _, _ := strings.Cut(money(s.Amount, currency), " ")
	return fmt.Sprintf("%s (%d)", amount, s.Count)
}

// monthOrBefore names the month of a row.
func monthOrBefore(month string, accounts *tipbox.Accounts) string {
	if month == "" {
		return fmt.Sprintf("before %s", accounts.From)
	}
	return month
}

func (a *app) printAccounts(accounts *tipbox.Accounts) error {
	w := a.table()
	if len(accounts.Awards) > 0 {
		w.head("MONTH\tSCHEDULE\tCURRENCY\tAWARDED\tCLAIMED\tWAIVED\tEXPIRED\tISSUED\tPAID OUT\tOPEN\tUNSIGNED\tOWED")
	}
	line := func(month string, r *tipbox.AwardRow, left ...tipbox.Sum) {
		cells := []string{month, cleanLine(r.Schedule), cleanLine(r.Currency)}
		for _, sum := range append([]tipbox.Sum{r.Awarded, r.Claimed, r.Waived, r.Expired, r.Issued, r.Paid}, left...) {
			cells = append(cells, sumCell(sum, r.Currency))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	for _, r := range accounts.Awards {
		line(a.lang.known(monthOrBefore(r.Month, accounts)), &r)
	}
	for _, t := range accounts.Totals() {
		line(a.lang.text("total"), &t.AwardRow, t.Open, t.Unsigned, t.Owed)
	}
	if err := w.Flush(); err != nil || len(accounts.Vouchers) == 0 {
		return err
	}
	if len(accounts.Awards) > 0 {
		a.print("\n")
	}
	w.head("MONTH\tVOUCHER\tOF\tISSUED\tPAID\tNOT PAID")
	for _, r := range accounts.Vouchers {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t\n", a.lang.known(monthOrBefore(r.Month, accounts)), cleanLine(r.Denomination), money(r.Amount, r.Currency), r.Issued, r.Paid)
	}
	for _, r := range accounts.VoucherTotals() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\n", a.lang.text("total"), cleanLine(r.Denomination), money(r.Amount, r.Currency), r.Issued, r.Paid, r.Issued-r.Paid)
	}
	return w.Flush()
}

// writeAccounts writes accounts as RFC 4180 has it, in UTF-8, with a header. A line
// is of awards or of vouchers, in a month or of what is left at the end; sums of one
// column count nothing twice.
func writeAccounts(to io.Writer, accounts *tipbox.Accounts) error {
	w := csv.NewWriter(to)
	w.UseCRLF = true
	columns := []string{"awarded", "claimed", "waived", "expired", "issued", "paid_out", "open", "unsigned"}
	header := []string{"kind", "month", "schedule", "denomination", "currency"}
	for _, name := range columns {
		header = append(header, name, name+"_count")
	}
	w.Write(append(header, "vouchers_issued", "vouchers_issued_count", "vouchers_paid", "vouchers_paid_count"))
	write := func(first []string, sums ...*tipbox.Sum) {
		fields := first
		for _, sum := range sums {
			if sum == nil {
				fields = append(fields, "", "")
				continue
			}
			amount, _, _ := strings.Cut(money(sum.Amount, first[4]), " ")
			fields = append(fields, amount, strconv.Itoa(sum.Count))
		}
		for i, field := range fields {
			fields[i] = noFormula(field)
		}
		w.Write(fields)
	}
	for _, r := range accounts.Awards {
		write([]string{"awards", monthOrBefore(r.Month, accounts), r.Schedule, "", r.Currency},
			&r.Awarded, &r.Claimed, &r.Waived, &r.Expired, &r.Issued, &r.Paid, nil, nil, nil, nil)
	}
	for _, l := range accounts.Left {
		write([]string{"left", accounts.To, l.Schedule, "", l.Currency}, nil, nil, nil, nil, nil, nil, &l.Open, &l.Unsigned, nil, nil)
	}
	for _, r := range accounts.Vouchers {
		issued, paid := tipbox.Sum{Count: r.Issued, Amount: int64(r.Issued) * r.Amount}, tipbox.Sum{Count: r.Paid, Amount: int64(r.Paid) * r.Amount}
		write([]string{"vouchers", monthOrBefore(r.Month, accounts), "", r.Denomination, r.Currency}, nil, nil, nil, nil, nil, nil, nil, nil, &issued, &paid)
	}
	w.Flush()
	return w.Error()
}
