package main

import (
	"errors"
	"fmt"
	"strings"

	"tipbox/tipbox"
)

type caseCmd struct {
	tipArg
}

func (*caseCmd) Help() string {
	var table strings.Builder
	for _, s := range tipbox.Steps() {
		from := "any state"
		if s.From != nil {
			from = strings.Trim(strings.ReplaceAll(fmt.Sprint(s.From), " ", ", "), "[]")
		}
		fmt.Fprintf(&table, "\n  %s: %s (%s; %s)", s.Action, s.Help, strings.Trim(strings.ReplaceAll(fmt.Sprint(s.Roles), " ", ", "), "[]"), from)
	}
	return "Example: tipbox case k3f7qwzm2abcdefg\n\n" +
		"Prints the state, the deadlines and every entry, all of it verified on this machine. What may be done, by whom and when:\n" + table.String() +
		"\n\nIn a channel of suggestions the source reads of the same steps in other words: received, screened (ack), adopted (accept), or not adopted, with your reasons (decline), and carried out (close)."
}

// A caseLine is a case as --json prints it.
type caseLine struct {
	Tip          string          `json:"tip"`
	Channel      string          `json:"channel"`
	State        tipbox.State    `json:"state"`
	Owner        string          `json:"owner,omitempty"`
	Due          string          `json:"due,omitempty"`
	DueFor       tipbox.Action   `json:"due_for,omitempty"`
	Hold         bool            `json:"hold,omitempty"`
	Finding      tipbox.Finding  `json:"finding,omitempty"`
	Received     string          `json:"received"`
	Acknowledged string          `json:"acknowledged,omitempty"`
	AnswerBy     string          `json:"answer_by,omitempty"`
	Answered     string          `json:"answered,omitempty"`
	Closed       string          `json:"closed,omitempty"`
	Votes        []string        `json:"votes,omitempty"`
	Recused      []string        `json:"recused,omitempty"`
	Faults       []string        `json:"faults,omitempty"`
	Awards       []*tipbox.Award `json:"awards,omitempty"`
	Head         tipbox.Head     `json:"head"`
	Entries      []caseEntry     `json:"entries,omitempty"`
}

type caseEntry struct {
	Number int            `json:"number"`
	Day    string         `json:"day"`
	Action tipbox.Action  `json:"action"`
	By     string         `json:"by,omitempty"`
	Owner  string         `json:"owner,omitempty"`
	Due    string         `json:"due,omitempty"`
	Member string         `json:"member,omitempty"`
	Recuse bool           `json:"recuse,omitempty"`
	Detail *tipbox.Detail `json:"detail,omitempty"`
	Text   string         `json:"text,omitempty"`
	Error  string         `json:"error,omitempty"`
	Void   string         `json:"void,omitempty"`

	Sequence uint64 `json:"sequence,omitempty"` // of what sources sent, over all tips

	Award int                `json:"award,omitempty"`
	Terms *tipbox.AwardTerms `json:"terms,omitempty"`
	Claim *tipbox.ClaimTerms `json:"claim,omitempty"`
	Part  *tipbox.PartTerms  `json:"part,omitempty"`
}

func newCaseLine(o *tipbox.OpenedTip) *caseLine {
	c := o.Case
	line := &caseLine{
		Tip: o.Tip, Channel: o.Channel, State: c.State, Owner: c.Owner, Hold: c.Hold, Finding: o.Finding,
		Received: c.Received, Acknowledged: c.Acknowledged, AnswerBy: c.AnswerBy, Answered: c.Answered, Closed: c.Closed,
		Votes: c.Votes, Recused: c.Recused, Faults: o.Faults, Head: o.Head(), Awards: c.Awards,
	}
	line.Due, line.DueFor = c.Deadline()
	return line
}

func (c *caseCmd) Run(a *app) error {
	return a.forTips(c.Tip, func(s *session, tip string) (*result, error) {
		_, opened, err := s.open(a, tip)
		if err != nil {
			return nil, err
		}
		line := newCaseLine(opened)
		line.Head = s.head(opened)
		for _, m := range opened.Messages {
			line.Entries = append(line.Entries, newCaseEntry(m))
			if m.Err != nil {
				err = m.Err
			}
		}
		if len(line.Faults) > 0 {
			err = errors.New("members did what the rules forbid: see above, and tell the root key's holder")
		}
		return &result{doc: line, print: func() { a.printCase(line) }}, err
	})
}

func newCaseEntry(m tipbox.Message) caseEntry {
	e := caseEntry{Number: m.Number, Day: m.Day, Action: m.Action, By: m.By, Detail: m.Detail, Text: m.Text, Void: m.Void, Sequence: m.Sequence}
	if m.Event != nil {
		e.Owner, e.Due, e.Member, e.Recuse = m.Event.Owner, m.Event.Due, m.Event.Member, m.Event.Recuse
		e.Award, e.Terms, e.Claim, e.Part = m.Event.Award, m.Event.Terms, m.Event.Claim, m.Event.Part
	}
	if m.Err != nil {
		e.Error = m.Err.Error()
	}
	return e
}

func (a *app) printCase(c *caseLine) {
	a.print("Tip %s, %s: %s", c.Tip, cleanLine(c.Channel), a.lang.word(string(c.State)))
	if c.Finding != "" {
		a.print(", %s", cleanLine(a.lang.word(string(c.Finding))))
	}
	if c.Hold {
		a.print(", on hold")
	}
	a.print("\n")
	for _, l := range []struct{ name, value string }{
		{"owner", c.Owner}, {"next deadline", strings.TrimSpace(c.Due + " " + a.lang.word(string(c.DueFor)))},
		{"received", c.Received}, {"acknowledged", c.Acknowledged}, {"answer by", c.AnswerBy}, {"answered", c.Answered}, {"closed", c.Closed},
		{"votes", strings.Join(c.Votes, ", ")}, {"recused", strings.Join(c.Recused, ", ")},
		{"head", fmt.Sprintf("%d %s", c.Head.Number, c.Head.SHA256)},
	} {
		if l.value != "" {
			a.print("%-14s %s\n", a.lang.sprintf("%s:", a.lang.text(l.name)), cleanLine(l.value))
		}
	}
	for _, award := range c.Awards {
		a.print("%-14s %d, %s, %d minor units of %s%s\n", a.lang.sprintf("%s:", a.lang.text("award")), award.Number, a.lang.word(string(award.State)), award.Terms.Amount, cleanLine(award.Terms.Currency), partOf(a.lang, award))
	}
	for _, f := range c.Faults {
		a.print("AGAINST THE RULES: %s\n", cleanLine(a.lang.known(f)))
	}
	a.print("\n")
	for _, e := range c.Entries {
		who := e.By
		if who == "" {
			who = a.lang.text("the source")
		}
		a.print("%3d  %s  %-9s %s%s\n", e.Number, e.Day, cleanLine(a.lang.word(string(e.Action))), cleanLine(who), cleanLine(e.more(a.lang)))
		if e.Void != "" {
			a.print("     [counts for nothing: %s]\n", cleanLine(a.lang.known(e.Void)))
		}
		if e.Error != "" {
			a.print("     [cannot be opened: %s]\n", cleanLine(a.lang.known(e.Error)))
		}
		if e.Text != "" {
			a.print("%s\n", quoted(e.Text, a.columns()))
		}
		if e.Detail != nil && e.Detail.Added != "" {
			a.print("     [what the later one added to the first:]\n%s\n", quoted(e.Detail.Added, a.columns()))
		}
	}
}

// partOf tells of an award that it is a part of another.
func partOf(lang *catalogue, award *tipbox.Award) string {
	if award.Of == 0 {
		return ""
	}
	return lang.sprintf(", a part of award %d", award.Of)
}

// more is what an entry says besides its text.
func (e *caseEntry) more(lang *catalogue) string {
	var more []string
	add := func(format string, args ...any) { more = append(more, lang.sprintf(format, args...)) }
	switch {
	case e.Owner != "":
		add("to %s, due %s", e.Owner, e.Due)
	case e.Member != "":
		add("to %s", e.Member)
	case e.Sequence != 0:
		add("%d in the order of arrival", e.Sequence)
	case e.Recuse:
		add("takes no part")
	case e.Terms != nil:
		add("%d minor units of %s", e.Terms.Amount, e.Terms.Currency)
	case e.Part != nil:
		add("shares award %d: %d minor units of it are award %d now, which is claimed with a code of its own", e.Award, e.Part.Amount, e.Number)
	case e.Claim != nil:
		add("award %d, %s", e.Award, lang.word(e.Claim.Choice))
	case e.Award != 0:
		add("award %d", e.Award)
	}
	if d := e.Detail; d != nil {
		switch {
		case d.Finding != "":
			add("%s", lang.word(string(d.Finding)))
		case d.Of != "":
			add("%s", e.link(lang))
		case d.To != "":
			add("referred to %s", d.To)
			if d.Copy != "" {
				add("copy %s", d.Copy)
			}
		case d.Reason != "":
			add("%s", lang.word(d.Reason))
		case d.Amount != 0:
			add("%d minor units of %s, %s", d.Amount, d.Currency, lang.word(d.Basis))
		}
	}
	if len(more) == 0 {
		return ""
	}
	return lang.sprintf(": %s", strings.TrimSpace(strings.Join(more, ", ")))
}

// link is what an entry says of another tip: in the later of two, which came
// first, and in that which came later.
func (e *caseEntry) link(lang *catalogue) string {
	if e.Action == tipbox.ActionNote {
		return lang.sprintf("the first of %s", e.Detail.Of)
	}
	return lang.sprintf("duplicate of %s", e.Detail.Of)
}
