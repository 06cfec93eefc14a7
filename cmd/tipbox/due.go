package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"tipbox/tipbox"
)

type dueCmd struct {
	Owner string `help:"Only cases of that member." placeholder:"NAME"`
	Limit int    `help:"How many to list." default:"50"`
}

func (*dueCmd) Help() string {
	return "Example: tipbox due --owner bob\n\nEach line: the deadline, what must be done by then, the tip, its channel, its state and its owner. What is overdue comes first."
}

func (c *dueCmd) Run(a *app) error {
	if c.Limit < 1 {
		return usageError{errors.New("--limit must be above 0")}
	}
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	var items []tipbox.InboxItem
	for cursor := ""; len(items) < c.Limit; {
		page, err := s.Inbox(a.ctx, tipbox.InboxFilter{ByDue: true, Owner: c.Owner}, cursor, min(c.Limit-len(items), tipbox.MaxPage))
		if err != nil {
			return err
		}
		items = append(items, page.Items...)
		if page.Next == "" {
			break
		}
		if page.Next <= cursor || len(page.Items) == 0 {
			return fmt.Errorf("the desk's pages make no sense: %w", tipbox.ErrInvalid)
		}
		cursor = page.Next
	}
	if a.json {
		for _, item := range items {
			if err := a.printJSON(item); err != nil {
				return err
			}
		}
		return nil
	}
	if len(items) == 0 {
		a.say("No deadline runs for you.\n")
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DUE\tFOR\tTIP\tCHANNEL\tSTATE\tOWNER")
	for _, i := range items {
		late := ""
		if i.Due < today() {
			late = " OVERDUE"
		}
		fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\t%s\n", cleanLine(i.Due), late, cleanLine(string(i.DueFor)), cleanLine(i.Tip), cleanLine(i.Channel), cleanLine(string(i.State)), cleanLine(i.Owner))
	}
	return w.Flush()
}
