package main

import (
	"errors"
	"fmt"
	"time"

	ics "github.com/arran4/golang-ical"

	"tipbox/tipbox"
)

type dueCmd struct {
	Channel string `help:"Only cases of that channel." placeholder:"CHANNEL"`
	Owner   string `help:"Only cases of that member." placeholder:"NAME"`
	Limit   int    `help:"How many to list." default:"50"`
	ICS     bool   `name:"ics" help:"Write all of them as an iCalendar document."`
}

func (*dueCmd) Help() string {
	return "Example: tipbox due --owner bob\n\nEach line: the deadline, what must be done by then, the tip, its channel, its state and its owner. What is overdue comes first.\n\n" +
		"tipbox due --ics > due.ics makes a file for a calendar: an entry for each case on the day of its next deadline, with the tip's name and what is due, and " +
		"nothing else of it. Imported again, an entry takes the place of the case's last one. A case that has no deadline any more is not in the file: delete its entry by hand."
}

func (c *dueCmd) Run(a *app) error {
	if c.Limit < 1 {
		return usageError{errors.New("--limit must be above 0")}
	}
	if c.ICS && a.json {
		return usageError{errors.New("--ics is no JSON: choose one of the two")}
	}
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	items, err := c.items(a, s)
	if err != nil {
		return err
	}
	if c.ICS {
		return a.printCalendar(items)
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
	w := a.table()
	w.head("DUE\tFOR\tTIP\tCHANNEL\tSTATE\tOWNER")
	for _, i := range items {
		late := ""
		if dueBy(i, overdue) {
			late = a.lang.text(" OVERDUE")
		}
		fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\t%s\n", cleanLine(i.Due), late, cleanLine(a.lang.word(string(i.DueFor))), cleanLine(i.Tip), cleanLine(i.Channel), cleanLine(a.lang.word(string(i.State))), cleanLine(i.Owner))
	}
	return w.Flush()
}

// items reads as many deadlines as the limit says, or all for a calendar.
func (c *dueCmd) items(a *app, s *session) (items []tipbox.InboxItem, err error) {
	for cursor := ""; c.ICS || len(items) < c.Limit; {
		size := tipbox.MaxPage
		if !c.ICS {
			size = min(c.Limit-len(items), size)
		}
		page, err := s.Inbox(a.ctx, tipbox.InboxFilter{ByDue: true, Owner: c.Owner, Channel: c.Channel}, cursor, size)
		if err != nil {
			return nil, err
		}
		if page.Next != "" && (page.Next <= cursor || len(page.Items) == 0) {
			return nil, fmt.Errorf("the desk's pages make no sense: %w", tipbox.ErrInvalid)
		}
		items = append(items, page.Items...)
		if page.Next == "" {
			break
		}
		cursor = page.Next
	}
	return items, nil
}

// printCalendar writes an iCalendar document (RFC 5545) with an entry for each
// case. A calendar is often kept by others, so an entry says which tip and what,
// and nothing of channel, owner, state or text; it takes up no time, and
// is marked private. The same case has the same UID, so that its next deadline
// replaces this one.
func (a *app) printCalendar(items []tipbox.InboxItem) error {
	stamp, err := time.Parse(time.DateOnly, today())
	if err != nil {
		return err
	}
	cal := ics.NewCalendar()
	cal.SetProductId("-//Tipbox//Tipbox//EN")
	cal.SetMethod(ics.MethodPublish)
	seen := make(map[string]bool) // one that moved while the pages were read is on two
	for _, i := range items {
		due, err := time.Parse(time.DateOnly, i.Due)
		if _, known := tipbox.StepOf(i.DueFor); err != nil || !known || !tipbox.ValidTipID(i.Tip) {
			return fmt.Errorf("the desk's list of deadlines makes no sense: %w", tipbox.ErrInvalid)
		}
		if seen[i.Tip] {
			continue
		}
		seen[i.Tip] = true
		e := cal.AddEvent(i.Tip + "@tipbox")
		e.SetSummary(fmt.Sprintf("Tipbox %s: %s", i.Tip, i.DueFor))
		e.SetDtStampTime(stamp) // the day: the time of day would say when somebody was at work
		e.SetAllDayStartAt(due)
		e.SetClass(ics.ClassificationPrivate)
		e.SetTimeTransparency(ics.TransparencyTransparent)
	}
	return cal.SerializeTo(a.stdout, ics.WithNewLineWindows)
}
