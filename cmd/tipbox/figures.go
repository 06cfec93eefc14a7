package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"tipbox/tipbox"
)

type figuresCmd struct {
	From string `help:"The first month, 2006-01; January if left out." placeholder:"MONTH"`
	To   string `help:"The last month; this one if left out." placeholder:"MONTH"`
	Min  int    `help:"The fewest tips to tell of, a multiple of 5." default:"5" placeholder:"N"`
	CSV  bool   `name:"csv" help:"Print comma-separated values (RFC 4180)."`
}

func (*figuresCmd) Help() string {
	return "Example: tipbox figures --from 2026-01 --to 2026-12 --csv > figures.csv\n\n" +
		"Counts tips by the month in which they came, by channel, and by the state that their case is in now, and how many days they waited. " +
		"A line is of all channels, all states or a whole year where it says so; a year stands there if all its months do. What was erased counts too, but for what its source took back unread.\n\n" +
		"  TIPS          how many\n" +
		"  ACKNOWLEDGED  how many of them in time, of how many that should have been by now\n" +
		"  DAYS          from the receipt to the acknowledgement: the median\n" +
		"  ANSWERED      as with ACKNOWLEDGED\n" +
		"  DAYS          from the acknowledgement to the answer, with those that the source was waited for: the median\n\n" +
		"So that no number leads to a source, each is rounded down to a multiple of the minimum, and what is below is left out, or shown as <" + strconv.Itoa(tipbox.MinCell) + ". " +
		"A total leaves out parts that are below it. Whoever compares the figures of many days can still tell when one came to a multiple: publish them by the month at most. " +
		"Investigators do not get the tips of their channels that they cannot read, nor those that were erased there, so whole figures are a reviewer's or a publisher's; the latter gets the months that are over."
}

func (c *figuresCmd) Run(a *app) error {
	if c.CSV && a.json {
		return usageError{errors.New("--csv is no JSON: choose one of the two")}
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
	if err := new(tipbox.Figures).Raise(c.Min); err != nil {
		return usageError{fmt.Errorf("--min: %w", err)}
	}
	s, err := a.connectDesk()
	if err != nil {
		return err
	}
	defer s.Close()
	f, err := s.desk.Figures(a.ctx, c.From, c.To)
	if err == nil {
		err = f.Validate()
	}
	if err == nil {
		err = f.Raise(c.Min)
	}
	if err != nil {
		return err
	}
	switch {
	case a.json:
		err = a.printJSON(f)
	case c.CSV:
		err = writeFigures(a.stdout, f)
	case len(f.Rows) > 0:
		err = a.printFigures(f)
	}
	a.say("Tips that came from %s to %s, as of %s. Numbers are rounded down to a multiple of %d; what is not here is less than that, or none.\n", f.From, f.To, f.Day, f.Min)
	if f.Own {
		a.say("What you cannot read in the channels that you investigate does not count here, nor does what was erased there. A reviewer's figures are whole.\n")
	}
	if f.Partial {
		a.say("Records are damaged on the server, so numbers are too low. Its operator finds which: tipboxd check\n")
	}
	return err
}

// figureCell is a count, or that it is below the minimum.
func figureCell(n tipbox.Count, min int) string {
	if n == 0 {
		return "<" + strconv.Itoa(min)
	}
	return strconv.Itoa(int(n))
}

func days(median *int) string {
	if median == nil {
		return ""
	}
	return strconv.Itoa(*median)
}

const (
	allChannels = "(all)" // no channel's name
	allStates   = "(all)"
)

func orAll(name, all string) string {
	if name == "" {
		return all
	}
	return cleanLine(name)
}

func (a *app) printFigures(f *tipbox.Figures) error {
	w := a.table()
	w.head("PERIOD\tCHANNEL\tSTATE\tTIPS\tACKNOWLEDGED\tDAYS\tANSWERED\tDAYS")
	for _, r := range f.Rows {
		kept := func(d tipbox.Deadlines) string {
			return a.lang.sprintf("%s of %s", figureCell(d.InTime, f.Min), figureCell(d.Due, f.Min))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", cleanLine(r.Period), orAll(r.Channel, a.lang.text(allChannels)), orAll(a.lang.word(string(r.State)), a.lang.text(allStates)), r.Tips,
			kept(r.Acknowledge), days(r.Acknowledge.MedianDays), kept(r.Answer), days(r.Answer.MedianDays))
	}
	return w.Flush()
}

// writeFigures writes figures as RFC 4180 has it, in UTF-8, with a header.
func writeFigures(to io.Writer, f *tipbox.Figures) error {
	w := csv.NewWriter(to)
	w.UseCRLF = true
	w.Write([]string{
		"period", "channel", "state", "tips",
		"acknowledge_due", "acknowledged", "acknowledged_in_time", "acknowledge_median_days",
		"answer_due", "answered", "answered_in_time", "answer_median_days",
	})
	for _, r := range f.Rows {
		fields := []string{r.Period, orAll(r.Channel, allChannels), orAll(string(r.State), allStates), figureCell(r.Tips, f.Min)}
		for _, d := range []tipbox.Deadlines{r.Acknowledge, r.Answer} {
			fields = append(fields, figureCell(d.Due, f.Min), figureCell(d.Done, f.Min), figureCell(d.InTime, f.Min), days(d.MedianDays))
		}
		for i, field := range fields {
			fields[i] = noFormula(field)
		}
		w.Write(fields)
	}
	w.Flush()
	return w.Error()
}

// noFormula makes sure that no spreadsheet takes a field for a formula.
func noFormula(field string) string {
	if field != "" && strings.ContainsRune("=+-@\t\r\n", rune(field[0])) {
		return "'" + field
	}
	return field
}
