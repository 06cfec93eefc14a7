package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"tipbox/tipbox"
)

type inboxCmd struct {
	Limit int    `help:"How many to list." default:"50"`
	After string `help:"List what comes after: the cursor that the page before ended with." placeholder:"CURSOR"`
}

func (*inboxCmd) Help() string {
	return "Example: tipbox inbox --limit 20\n\n" +
		"Each line: the tip, its channel, the day it came, the day of its last news, messages, files, and whether it waits for an answer."
}

func (c *inboxCmd) Run(a *app) error {
	if c.Limit < 1 {
		return usageError{errors.New("--limit must be above 0")}
	}
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	var items []tipbox.InboxItem
	cursor := c.After
	for {
		page, err := s.Inbox(a.ctx, cursor, min(c.Limit-len(items), tipbox.MaxPage))
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
		fmt.Fprintln(w, "TIP\tCHANNEL\tRECEIVED\tLAST NEWS\tMESSAGES\tFILES\tWAITS")
		for _, i := range items {
			waits := ""
			if i.From == tipbox.FromSource {
				waits = "for an answer"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", cleanLine(i.Tip), cleanLine(i.Channel), cleanLine(i.Day), cleanLine(i.News), i.Messages, i.Files, waits)
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
