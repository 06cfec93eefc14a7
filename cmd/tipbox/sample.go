package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/tipbox"
)

type sampleCmd struct {
	Month  string `help:"The month in which the cases were closed, 2006-01." required:"" placeholder:"MONTH"`
	Share  string `help:"How many of them to draw, such as 5% or 0.5%." default:"5%" placeholder:"SHARE"`
	List   bool   `help:"Print the list that is drawn from instead."`
	Verify bool   `help:"Open every case that you can read, and check that the list is right about it."`
}

func (*sampleCmd) Help() string {
	return "Example: tipbox sample --share 5% --month 2026-10\n\n" +
		"Draws closed cases for re-verification. Nobody chooses them: the seed is the hash of what the cases of all channels were at the month's end, your tool draws by it, and every reviewer draws the same. " +
		"A case is drawn up to four times as likely as another: for a missed deadline, for a finding by the bare quorum, and for a member who took no part, once more each.\n\n" +
		"Have another reviewer compare the hash of the list with theirs; and --verify sees to it that the server has told you the truth of what you can read. " +
		"To draw again without this program: tipbox sample --month 2026-10 --list > list.txt. The list's hash is that of list.txt, and the seed is: cut -d ' ' -f 1-3 list.txt | sha256sum\n\n" +
		"The list names cases from which a source left an investigator out, so it is for reviewers who investigate no channel. To have others look at all that was drawn: tipbox sample --month 2026-10 | tipbox reverify - -m '…'"
}

// A drawnLine is a drawn case as --json prints it.
type drawnLine struct {
	Tip     string       `json:"tip"`
	Channel string       `json:"channel"`
	Weight  int          `json:"weight"`
	State   tipbox.State `json:"state,omitempty"` // now; not there if the member cannot read it
	Error   string       `json:"error,omitempty"`
}

// errList means that the server's list is not what it must be.
var errList = fmt.Errorf("the server's list is wrong: %w", tipbox.ErrInvalid)

func (c *sampleCmd) Run(a *app) error {
	share, err := tipbox.ParseShare(c.Share)
	if err == nil {
		err = tipbox.CheckSampleMonth(c.Month, today())
	}
	if err != nil {
		return usageError{err}
	}
	s, err := a.connectDesk()
	if err != nil {
		return err
	}
	defer s.Close()
	list, err := s.desk.Sample(a.ctx, c.Month)
	if err == nil {
		err = list.Validate(c.Month)
	}
	if err != nil {
		return err
	}
	for _, line := range list.Lines {
		seen, err := a.home.Head(line.Tip)
		if err == nil {
			err = line.Fits(seen)
		}
		if err != nil {
			return err
		}
	}
	if c.Verify {
		if _, err := s.key.Reader(); err != nil {
			return err
		}
		if err := c.verify(a, s, list); err != nil {
			return err
		}
	}
	var drawn []drawnLine
	var failed error
	for _, line := range tipbox.Draw(list.Lines, share) {
		d := drawnLine{Tip: line.Tip, Channel: line.Channel, Weight: line.Weight()}
		opened, err := c.check(a, s, line.Tip, list)
		switch {
		case errors.Is(err, errList):
			return err
		case err != nil:
			d.Error, failed = err.Error(), err
		case opened != nil:
			d.State = opened.Case.State
		}
		drawn = append(drawn, d)
	}
	seed := tipbox.Seed(list.Lines)
	if a.json {
		err := a.printJSON(struct {
			Month string              `json:"month"`
			Share string              `json:"share"`
			Cases int                 `json:"cases"`
			Seed  string              `json:"seed"`
			List  string              `json:"list"`
			Drawn []drawnLine         `json:"drawn"`
			Lines []tipbox.SampleLine `json:"lines"`
		}{c.Month, c.Share, len(list.Lines), hex.EncodeToString(seed[:]), list.ListHash(), drawn, list.Lines})
		return errors.Join(err, failed)
	}
	if c.List {
		a.print("%s", list.Text())
	} else if len(drawn) > 0 {
		if err := a.printDrawn(drawn); err != nil {
			return err
		}
	}
	a.say("Cases closed in %s: %d. Drawn: %d (%s).\nseed %x\nlist %s\n", c.Month, len(list.Lines), len(drawn), c.Share, seed, list.ListHash())
	if list.Partial {
		a.say("Records are damaged on the server, so cases may be missing. Its operator finds which: tipboxd check\n")
	}
	if len(drawn) > 0 {
		a.say("Compare the last line with another reviewer's. Then, for each case that you can read: tipbox reverify TIP -m TEXT\n")
	}
	if slices.ContainsFunc(drawn, func(d drawnLine) bool { return d.State == "" && d.Error == "" }) {
		a.say("What you cannot read another reviewer can, who closed it. Ask no investigator: the source may have left them out.\n")
	}
	return failed
}

func (a *app) printDrawn(drawn []drawnLine) error {
	w := a.table()
	w.head(inboxHeading + "\tCHANNEL\tWEIGHT\tNOW")
	for _, d := range drawn {
		now := a.lang.word(string(d.State))
		switch {
		case d.Error != "":
			now = a.lang.sprintf("FAILED: %s", a.lang.known(d.Error))
		case now == "":
			now = a.lang.text("not in your reach")
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", d.Tip, cleanLine(d.Channel), d.Weight, cleanLine(now))
	}
	return w.Flush()
}

// check opens a tip and compares the list with what was signed. It returns nil for
// one that the member cannot read.
func (c *sampleCmd) check(a *app, s *session, tip string, list *tipbox.Population) (*tipbox.OpenedTip, error) {
	_, opened, err := s.open(a, tip)
	if errors.Is(err, tipbox.ErrNotFound) || errors.Is(err, seal.ErrNotForYou) || errors.Is(err, roster.ErrCannotRead) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	want, err := opened.SampleLine(c.Month)
	if err != nil {
		return nil, err
	}
	at, listed := slices.BinarySearchFunc(list.Lines, tip, func(l tipbox.SampleLine, tip string) int { return strings.Compare(l.Tip, tip) })
	switch {
	case !listed && want != nil:
		return nil, fmt.Errorf("tip %s was closed in %s and is missing: %w", tip, c.Month, errList)
	case listed && want == nil:
		return nil, fmt.Errorf("tip %s was not closed in %s: %w", tip, c.Month, errList)
	case listed && *want != list.Lines[at]:
		return nil, fmt.Errorf("tip %s is not as its entries say: %w", tip, errList)
	}
	return opened, nil
}

// verify checks every case that may have been closed in the month and that the
// member can read.
func (c *sampleCmd) verify(a *app, s *session, list *tipbox.Population) error {
	checked := 0
	for _, state := range []tipbox.State{tipbox.StateClosed, tipbox.StateReverifying, tipbox.StateReverified} {
		for cursor := ""; ; {
			page, err := s.Inbox(a.ctx, tipbox.InboxFilter{State: state}, cursor, tipbox.MaxPage)
			if err != nil {
				return err
			}
			for _, item := range page.Items {
				opened, err := c.check(a, s, item.Tip, list)
				if err != nil {
					return err
				}
				if opened != nil {
					checked++
				}
			}
			if page.Next == "" {
				break
			}
			if page.Next <= cursor || len(page.Items) == 0 {
				return fmt.Errorf("the desk's pages make no sense: %w", tipbox.ErrInvalid)
			}
			cursor = page.Next
		}
	}
	a.say("Checked: %d cases that you can read.\n", checked)
	return nil
}
