package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
)

type inboxCmd struct {
	Limit   int    `help:"How many to list." default:"50"`
	Now     bool   `help:"Only what needs you now."`
	State   string `help:"Only cases in that state, such as received or assigned." placeholder:"STATE"`
	Channel string `help:"Only tips of that channel." placeholder:"CHANNEL"`
	Owner   string `help:"Only cases of that member." placeholder:"NAME"`
	Due     string `help:"Only cases whose next deadline is on that day or before, 2006-01-02; or overdue." placeholder:"DAY"`
	Over    bool   `help:"List what is declined or closed instead."`
	After   string `help:"List what comes after: the cursor that the page before ended with." placeholder:"CURSOR"`
}

func (*inboxCmd) Help() string {
	return "Example: tipbox inbox --now\n\n" +
		"Each line is a case, that with the latest news first:\n\n" +
		"  TIP        what the other commands call it\n" +
		"  CHANNEL    what it was sent to\n" +
		"  RECEIVED   the day it came\n" +
		"  LAST NEWS  the day its source wrote last\n" +
		"  STATE      how far the case is: tipbox case --help\n" +
		"  OWNER      who answers for it\n" +
		"  DUE        its next deadline; what for: tipbox due\n" +
		"  MESSAGES   how many entries it has\n" +
		"  FILES      how many files came with them\n" +
		"  WAITS      for an answer, if its source wrote last\n" +
		"  NOW        what it needs of you next, as the command for it\n\n" +
		"On a narrow terminal some columns are left out; --json has all.\n\n" +
		"What is declined or closed is left out, unless its source has written since. To do the same to many: tipbox inbox --state received | tipbox accept -"
}

// inboxHeading is the first word of the list's heading.
const inboxHeading = "TIP"

// overdue as a day stands for all that are past.
const overdue = "overdue"

// An inboxLine is a line as --json prints it.
type inboxLine struct {
	tipbox.InboxItem
	Now tipbox.Action `json:"now,omitempty"` // what the case needs of this member next
}

func (c *inboxCmd) Run(a *app) error {
	if c.Limit < 1 {
		return usageError{errors.New("--limit must be above 0")}
	}
	if c.State != "" && !slices.Contains(tipbox.States(), tipbox.State(c.State)) {
		return usageError{fmt.Errorf("--state %s is not one of %v", cleanLine(c.State), tipbox.States())}
	}
	if _, err := time.Parse(time.DateOnly, c.Due); c.Due != "" && c.Due != overdue && err != nil {
		return usageError{fmt.Errorf("--due %s is no day: write it as 2006-01-02, or %s", cleanLine(c.Due), overdue)}
	}
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	member := s.roster.Member(s.key.Name())
	if member == nil {
		return fmt.Errorf("%s is no longer in the roster", s.key.Name())
	}
	lines, cursor, err := c.lines(a, s, member)
	if err != nil {
		return err
	}
	if a.json {
		for _, line := range lines {
			if err := a.printJSON(line); err != nil {
				return err
			}
		}
	} else if len(lines) > 0 {
		if err := a.printInbox(lines); err != nil {
			return err
		}
	}
	switch {
	case len(lines) == 0 && c.After == "" && !c.filters():
		a.say("No tips for you yet.\n")
	case len(lines) == 0 && c.After == "":
		a.say("No tip for you is like that.\n")
	case cursor != "" && c.filters():
		a.say("There may be more: the same with --after %s\n", cleanLine(cursor))
	case cursor != "":
		a.say("There are more: tipbox inbox --after %s\n", cleanLine(cursor))
	case !a.json && len(lines) > 0:
		a.say("Read one: tipbox read %s\n", cleanLine(lines[0].Tip))
	}
	return nil
}

func (a *app) printInbox(lines []inboxLine) error {
	w := a.table()
	w.head(inboxHeading+"\tCHANNEL\tRECEIVED\tLAST NEWS\tSTATE\tOWNER\tDUE\tMESSAGES\tFILES\tWAITS\tNOW",
		"RECEIVED", "MESSAGES", "FILES", "LAST NEWS", "WAITS")
	for _, i := range lines {
		waits := ""
		if i.From == tipbox.FromSource {
			waits = a.lang.text("for an answer")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", cleanLine(i.Tip), cleanLine(i.Channel), cleanLine(i.Day), cleanLine(i.News),
			cleanLine(a.lang.word(string(i.State))), cleanLine(i.Owner), cleanLine(i.Due), i.Messages, i.Files, waits, i.Now)
	}
	return w.Flush()
}

// filters reports whether the list leaves out more than it always does.
func (c *inboxCmd) filters() bool {
	return c.Now || c.Over || c.State+c.Channel+c.Owner+c.Due != ""
}

// lines reads on until there are as many as the limit, or none any more. The
// cursor is that of what comes after the last, or "".
func (c *inboxCmd) lines(a *app, s *session, member *roster.Member) (lines []inboxLine, cursor string, err error) {
	filter := tipbox.InboxFilter{Channel: c.Channel, State: tipbox.State(c.State), Owner: c.Owner, Over: c.Over}
	cursor = c.After
	for size := 0; ; {
		room := c.Limit - len(lines)
		if size == 0 {
			size = min(room, tipbox.MaxPage)
			if c.Now || c.Due != "" { // what the server cannot leave out
				size = tipbox.MaxPage
			}
		}
		page, err := s.Inbox(a.ctx, filter, cursor, size)
		if err != nil {
			return nil, "", err
		}
		if len(page.Items) > size || page.Next != "" && (page.Next <= cursor || len(page.Items) == 0) {
			return nil, "", fmt.Errorf("the desk's pages make no sense: %w", tipbox.ErrInvalid)
		}
		found, read := c.pick(page.Items, member, room)
		if read < len(page.Items) {
			size = read // the cursor must be that of the last one: ask for a page that ends there
			continue
		}
		lines, cursor, size = append(lines, found...), page.Next, 0
		if cursor == "" || len(lines) == c.Limit {
			return lines, cursor, nil
		}
	}
}

// pick takes what the filters let through, of so many at most, and says how many
// items it read for that.
func (c *inboxCmd) pick(items []tipbox.InboxItem, member *roster.Member, room int) (found []inboxLine, read int) {
	for i, item := range items {
		line := inboxLine{item, item.Now(member)}
		if c.Now && line.Now == "" || !dueBy(item, c.Due) {
			continue
		}
		if found = append(found, line); len(found) == room {
			return found, i + 1
		}
	}
	return found, len(items)
}

// dueBy reports whether the next deadline is on a day or before, or past if the
// day is overdue; all are on "".
func dueBy(item tipbox.InboxItem, day string) bool {
	switch day {
	case "":
		return true
	case overdue:
		return item.Due != "" && item.Due < today()
	}
	return item.Due != "" && item.Due <= day
}
