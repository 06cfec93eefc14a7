package main

import (
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"

	"tipbox/tipbox"
)

type inboxCmd struct {
	Limit   int    `help:"How many to list." default:"50"`
	State   string `help:"Only cases in that state, such as received or assigned." placeholder:"STATE"`
	Channel string `help:"Only tips of that channel." placeholder:"CHANNEL"`
	Owner   string `help:"Only cases of that member." placeholder:"NAME"`
	Over    bool   `help:"List what is declined or closed instead."`
	After   string `help:"List what comes after: the cursor that the page before ended with." placeholder:"CURSOR"`
}

func (*inboxCmd) Help() string {
	return "Example: tipbox inbox --limit 20\n\n" +
		"Each line: the tip, its channel, the day it came, the day of its last news, the state of the case, its owner, its next deadline, messages, files, and whether it waits for an answer. What is declined or closed is left out, unless its source has written since."
}

func (c *inboxCmd) Run(a *app) error {
	if c.Limit < 1 {
		return usageError{errors.New("--limit must be above 0")}
	}
	if c.State != "" && !slices.Contains(tipbox.States(), tipbox.State(c.State)) {
		return usageError{fmt.Errorf("--state %s is not one of %v", cleanLine(c.State), tipbox.States())}
	}
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	var items []tipbox.InboxItem
	filter := tipbox.InboxFilter{Channel: c.Channel, State: tipbox.State(c.State), Owner: c.Owner, Over: c.Over}
	cursor := c.After
	for {
		page, err := s.Inbox(a.ctx, filter, cursor, min(c.Limit-len(items), tipbox.MaxPage))
		if err != nil {
			return err
		}
		if len(page.Items) > c.Limit-len(items) || page.Next != "" && (page.Next <= cursor || len(page.Items) == 0) {
			return fmt.Errorf("the desk's pages make no sense: %w", tipbox.ErrInvalid)
		}
		items, cursor = append(items, page.Items...), page.Next
		if cursor == "" || len(items) == c.Limit {
			break
		}
	}
	if a.json {
		for _, item := range items {
			if err := a.printJSON(item); err != nil {
				return err
			}
		}
	}
	if !a.json && len(items) > 0 {
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "TIP\tCHANNEL\tRECEIVED\tLAST NEWS\tSTATE\tOWNER\tDUE\tMESSAGES\tFILES\tWAITS")
		for _, i := range items {
			waits := ""
			if i.From == tipbox.FromSource {
				waits = "for an answer"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", cleanLine(i.Tip), cleanLine(i.Channel), cleanLine(i.Day), cleanLine(i.News),
				cleanLine(string(i.State)), cleanLine(i.Owner), cleanLine(i.Due), i.Messages, i.Files, waits)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	switch {
	case len(items) == 0 && c.After == "":
		a.say("No tips for you yet.\n")
	case cursor != "":
		a.say("There are more: tipbox inbox --after %s\n", cleanLine(cursor))
	case !a.json && len(items) > 0:
		a.say("Read one: tipbox read %s\n", cleanLine(items[0].Tip))
	}
	return nil
}
