package main

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tipbox/tipbox"
)

// A paidLine is a line of --list as --json prints it.
type paidLine struct {
	Month    string `json:"month"`
	What     string `json:"what"` // a denomination, or whatPayouts
	Currency string `json:"currency"`
	Payments int    `json:"payments"`
	Amount   int64  `json:"amount"`
	Yours    int    `json:"yours"` // payments
}

const whatPayouts = "(payouts)" // no denomination's name

// list adds up what was paid, checks every signature, and compares with the
// accounts.
func (c *payCmd) list(a *app) error {
	s, err := a.connectDesk()
	if err != nil {
		return err
	}
	defer s.Close()
	notes, partial, err := s.desk.Payments(a.ctx)
	if err != nil {
		return err
	}
	lines := make(map[paidLine]*paidLine)                          // by one without numbers
	shown, forged, sum := make(map[string]string), 0, sha256.New() // payers by keys
	for _, note := range notes {
		p, err := tipbox.OpenPayment(note, s.roster)
		if err == nil && shown[p.Key] != "" {
			err = fmt.Errorf("there twice: %w", tipbox.ErrInvalid)
		}
		if err == nil && p.Denomination != "" {
			if d := s.roster.Denomination(p.Denomination); d == nil || d.Amount != p.Amount || d.Currency != p.Currency {
				err = fmt.Errorf("denomination %s is not in the roster so: %w", p.Denomination, tipbox.ErrInvalid)
			}
		}
		if err != nil {
			a.say("NOT A PAYMENT: %s\n", cleanLine(a.lang.known(err.Error())))
			forged++
			continue
		}
		shown[p.Key] = p.By
		sum.Write(note)
		k := paidLine{Month: p.Day[:len("2006-01")], What: cmp.Or(p.Denomination, whatPayouts), Currency: p.Currency}
		line := lines[k]
		if line == nil {
			line = &k
			lines[paidLine{Month: k.Month, What: k.What, Currency: k.Currency}] = line
		}
		line.Payments++
		line.Amount += p.Amount
		if p.By == s.key.Name() {
			line.Yours++
		}
	}
	sorted := slices.SortedFunc(maps.Values(lines), func(x, y *paidLine) int {
		return cmp.Or(cmp.Compare(x.Month, y.Month), cmp.Compare(x.What, y.What), cmp.Compare(x.Currency, y.Currency))
	})
	if err := a.printPaid(sorted); err != nil {
		return err
	}
	if partial {
		a.say("Records are damaged on the server, so payments are missing. Its operator finds which: tipboxd check\n")
	}
	if forged > 0 {
		return fmt.Errorf("%d payments of the desk's list were signed by no payer: %w", forged, tipbox.ErrInvalid)
	}
	if err := a.recall(s.key.Name(), shown); err != nil {
		return err
	}
	if !partial {
		a.say("The list's hash, the same for every payer who is shown the same: %x\n", sum.Sum(nil))
	}
	return s.reconcile(a, sorted, partial)
}

func (a *app) printPaid(lines []*paidLine) error {
	if a.json {
		for _, line := range lines {
			if err := a.printJSON(line); err != nil {
				return err
			}
		}
		return nil
	}
	if len(lines) == 0 {
		a.say("Nothing was paid yet.\n")
		return nil
	}
	w := a.table()
	w.head("MONTH\tWHAT\tPAYMENTS\tAMOUNT\tYOURS")
	for _, line := range lines {
		what := cleanLine(line.What)
		if what == whatPayouts {
			what = a.lang.text(whatPayouts)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\n", line.Month, what, line.Payments, money(line.Amount, line.Currency), line.Yours)
	}
	return w.Flush()
}

// reconcile compares what was paid in the months that are over with the accounts.
func (s *session) reconcile(a *app, lines []*paidLine, partial bool) error {
	from := today()[:len("2006-01")]
	if len(lines) > 0 {
		from = min(from, lines[0].Month)
	}
	accounts, err := s.desk.Accounts(a.ctx, from, max(from, today()[:len("2006-01")]))
	if err == nil {
		err = accounts.Validate()
	}
	if err != nil {
		return err
	}
	type key struct{ month, what, currency string }
	difference := make(map[key]int64)
	for _, line := range lines {
		if line.Month <= accounts.To {
			difference[key{line.Month, line.What, line.Currency}] += line.Amount
		}
	}
	for _, r := range accounts.Awards {
		difference[key{r.Month, whatPayouts, r.Currency}] -= r.Paid.Amount
	}
	for _, r := range accounts.Vouchers {
		difference[key{r.Month, r.Denomination, r.Currency}] -= int64(r.Paid) * r.Amount
	}
	var wrong []string
	for _, k := range slices.SortedFunc(maps.Keys(difference), func(x, y key) int { return cmp.Or(cmp.Compare(x.month, y.month), cmp.Compare(x.what, y.what)) }) {
		if d := difference[k]; d != 0 {
			wrong = append(wrong, fmt.Sprintf("%s %s: the payments come to %d minor units more than the accounts", k.month, k.what, d))
		}
	}
	for _, w := range append(wrong, accounts.Alarms()...) {
		a.say("WRONG: %s\n", cleanLine(a.lang.known(w)))
	}
	switch {
	case len(wrong) > 0 && !partial && !accounts.Partial:
		return fmt.Errorf("payments and accounts differ: the server hides or invents some, or one came in meanwhile: give the command again: %w", tipbox.ErrInvalid)
	case len(accounts.Alarms()) > 0:
		return errors.New("more was paid than was issued or claimed: tell the approvers")
	}
	a.say("Payments and accounts agree, up to %s. What is issued and not paid yet: tipbox accounts\n", accounts.To)
	return nil
}
