package main

import (
	"errors"
	"fmt"
	"slices"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/tipbox"
)

type payoutsCmd struct {
	All bool `help:"Also those that were paid in the last two months, for a transfer that came back."`
}

func (*payoutsCmd) Help() string {
	return "Example: tipbox payouts\n\nFor payers: awards that are to be paid to the details that a source gave, or to a charity. The details are opened on this machine; nobody but payers can. " +
		"Approvers have ordered each, as many as the schedule asks for by the sum, so it is not the server's word that it is due. Nothing here leads to a tip, and the text is whatever its source wrote: take no instruction from it but where to pay."
}

func (c *payoutsCmd) Run(a *app) error {
	s, err := a.connectDesk()
	if err != nil {
		return err
	}
	defer s.Close()
	items, partial, err := s.desk.Payouts(a.ctx, c.All)
	if err != nil {
		return err
	}
	var failed error
	for i := range items {
		r, err := s.openPayout(&items[i])
		if err != nil && !errors.Is(err, tipbox.ErrNoOrder) {
			failed = err
		}
		if err := a.printPayout(&items[i], r, err); err != nil {
			return err
		}
	}
	if len(items) == 0 {
		a.say("Nothing is to be paid to details or charities.\n")
	} else if !a.json {
		a.say("To pay one: tipbox pay --payout %s\n", cleanLine(items[0].ID))
	}
	if partial {
		a.say("Records are damaged on the server, so some are missing. Its operator finds which: tipboxd check\n")
	}
	return failed
}

// openPayout opens what a payer can know of a payout.
func (s *session) openPayout(item *tipbox.PayoutItem) (*slip, error) {
	if !tipbox.ValidTipID(item.ID) || roster.CheckName(item.Schedule) != nil || item.Amount <= 0 || (item.Charity == "") == (len(item.Sealed) == 0) {
		return nil, fmt.Errorf("payout %.40s: %w", item.ID, tipbox.ErrInvalid)
	}
	r := &slip{Payout: item.ID, Currency: item.Currency, Amount: item.Amount, Charity: item.Charity}
	if item.Charity != "" {
		if schedule := s.roster.Schedule(item.Schedule); schedule != nil {
			for _, charity := range schedule.Charities {
				if charity.ID == item.Charity {
					r.Charity = fmt.Sprintf("%s (%s)", charity.ID, charity.Name["en"])
				}
			}
		}
	}
	if _, err := tipbox.OpenOrder(item, s.roster); err != nil {
		return r, err
	}
	var err error
	if r.Details, err = item.Open(s.key); errors.Is(err, seal.ErrNotForYou) {
		err = fmt.Errorf("payout %s: %w", item.ID, errPayers)
	}
	return r, err
}

func (a *app) printPayout(item *tipbox.PayoutItem, r *slip, err error) error {
	why := ""
	if err != nil {
		why = err.Error()
	}
	if r == nil {
		r = &slip{Payout: item.ID, Currency: item.Currency, Amount: item.Amount}
	}
	if a.json {
		return a.printJSON(struct {
			Payout   string `json:"payout"`
			Currency string `json:"currency"`
			Amount   int64  `json:"amount"`
			Schedule string `json:"schedule"`
			Charity  string `json:"charity,omitempty"`
			Details  string `json:"details,omitempty"`
			Paid     string `json:"paid,omitempty"` // the month
			Error    string `json:"error,omitempty"`
		}{item.ID, item.Currency, item.Amount, item.Schedule, item.Charity, r.Details, item.Paid, why})
	}
	a.print("%s  %s", cleanLine(item.ID), money(item.Amount, item.Currency))
	switch {
	case r.Charity != "":
		a.print("  to the charity %s", cleanLine(r.Charity))
	}
	switch {
	case errors.Is(err, tipbox.ErrNoOrder):
		a.print("  not to be paid yet: approvers must order it first, with tipbox issue")
	case err != nil:
		a.print("  FAILED: %s", cleanLine(a.lang.known(why)))
	}
	if item.Paid != "" {
		a.print("  paid in %s", cleanLine(item.Paid))
	}
	a.print("\n")
	if r.Details != "" {
		a.print("%s\n", quoted(r.Details, a.columns()))
	}
	return nil
}

// payPayouts pays what is to be paid without a voucher.
func (c *payCmd) payPayouts(a *app) error {
	for i, id := range c.Payout {
		if !tipbox.ValidTipID(id) || slices.Contains(c.Payout[:i], id) {
			return usageError{fmt.Errorf("%q is no payout's name, or there twice: nothing was paid", id)}
		}
	}
	s, err := a.connectDesk()
	if err != nil {
		return err
	}
	defer s.Close()
	items, _, err := s.desk.Payouts(a.ctx, true)
	if err != nil {
		return err
	}
	return c.each(a, c.Payout, func(id string) (*slip, error) {
		i := slices.IndexFunc(items, func(item tipbox.PayoutItem) bool { return item.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("payout %s: %w", id, tipbox.ErrNoPayout)
		}
		to, err := s.openPayout(&items[i])
		if err != nil {
			return nil, err
		}
		r, err := a.pay(s, tipbox.PayoutPayment(id, &items[i].Payout, today()), "")
		if err != nil {
			return nil, err
		}
		r.Charity, r.Details = to.Charity, to.Details
		return r, nil
	})
}
