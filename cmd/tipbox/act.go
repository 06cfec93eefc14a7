package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/currency"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

// tipArg and textFlags are what the commands that work a case share.
type tipArg struct {
	Tip string `arg:"" help:"The tip, as the inbox names it; - reads tips from standard input, one a line."`
}

type textFlags struct {
	Message *string `short:"m" help:"The text." placeholder:"TEXT" xor:"text"`
	File    string  `short:"f" help:"Read the text from FILE." type:"existingfile" placeholder:"FILE" xor:"text"`
}

// given is the text of the flags, or of standard input if it must be there and
// the tips are not read from there.
func (f *textFlags) given(a *app, tip string, must bool) (string, error) {
	switch flags := f.Message != nil || f.File != ""; {
	case !flags && !must:
		return "", nil
	case !flags && tip == fromInput:
		return "", usageError{errors.New("tips and text cannot both be read from standard input: give the text with -m or -f")}
	}
	text, err := f.text(a)
	switch text = strings.TrimPrefix(text, "\uFEFF"); {
	case err != nil:
		return "", err
	case must && strings.TrimSpace(text) == "":
		return "", usageError{errors.New("the text is empty: nothing was done. Give it with -m TEXT, with -f FILE or on standard input")}
	case !utf8.ValidString(text):
		return "", usageError{errors.New("the text is not UTF-8: nothing was done. Convert it first: iconv -f GB18030 -t UTF-8 FILE")}
	}
	return text, nil
}

// maxText bounds what is read of a text, in bytes. What is under it and still
// too long for a message is refused later.
const maxText = seal.MaxMessage

func (f *textFlags) text(a *app) (string, error) {
	var in io.Reader = a.stdin
	switch {
	case f.Message != nil:
		return *f.Message, nil
	case f.File != "":
		file, err := os.Open(f.File)
		if err != nil {
			return "", err
		}
		defer file.Close()
		in = file
	}
	data, err := a.wait(func() ([]byte, error) { return io.ReadAll(io.LimitReader(in, maxText+1)) })
	if len(data) > maxText {
		return "", fmt.Errorf("the text is over %d bytes: nothing was done", maxText)
	}
	return string(data), err
}

// act does something to cases and says what they are now.
func (a *app) act(tip string, f *textFlags, mustSay bool, what tipbox.Act) error {
	text, err := f.given(a, tip, mustSay)
	if err != nil {
		return err
	}
	what.Text = text
	return a.actWith(tip, func(*session, *tipbox.OpenedTip) (tipbox.Act, error) { return what, nil })
}

func (a *app) actWith(tip string, what func(*session, *tipbox.OpenedTip) (tipbox.Act, error)) error {
	return a.forTips(tip, func(s *session, tip string) (*result, error) {
		_, opened, err := s.open(a, tip)
		if err != nil {
			return nil, err
		}
		act, err := what(s, opened)
		if err != nil {
			return nil, err
		}
		if err := s.send(a, opened, act); err != nil {
			return nil, err
		}
		return s.after(a, tip)
	})
}

// send signs what the member does to a tip that was opened, and appends it. All
// that the tool does to a tip goes this way.
func (s *session) send(a *app, opened *tipbox.OpenedTip, act tipbox.Act) error {
	if k := act.Action; len(opened.Faults) > 0 && !a.despite && (k == tipbox.ActionAnswer || k == tipbox.ActionClose) {
		return fmt.Errorf("members did what the rules forbid, so look first: tipbox case %s. If all is well without that: --despite-faults", opened.Tip)
	}
	if s.answers != nil {
		return s.answers.add(opened, s.key.Name(), act)
	}
	note, sealed, err := opened.Act(s.key, today(), act)
	if err != nil {
		return err
	}
	if err := s.desk.Append(a.ctx, opened.Tip, note, sealed); errors.Is(err, desk.ErrUnreachable) {
		return fmt.Errorf("%w: %w", errUncertain, err)
	} else if err != nil {
		return err
	}
	if act.Action == tipbox.ActionErase {
		return nil
	}
	if seen, err := a.home.Head(opened.Tip); err != nil || seen.Number < opened.Head().Number {
		return err // what it follows is not tied to what was seen: see goesOn
	}
	return a.home.Remember(opened.Tip, opened.After(note))
}

// errUncertain means that it is not known whether something was done.
var errUncertain = errors.New("whether it was sent is not known")

// after is what a case is now that something was done to it.
func (s *session) after(a *app, tip string) (*result, error) {
	_, opened, err := s.open(a, tip)
	if err != nil {
		return nil, fmt.Errorf("it is done, but the case could not be read again: %w", err)
	}
	state := string(opened.Case.State)
	return &result{doc: newCaseLine(opened), line: state, say: s.done(a.lang.sprintf("Done. The case is %s.\n", a.lang.word(state)))}, nil
}

// today is this machine's day.
func today() string    { return time.Now().Format(time.DateOnly) }
func tomorrow() string { return time.Now().AddDate(0, 0, 1).Format(time.DateOnly) }

type ackCmd struct {
	tipArg
	textFlags
}

func (*ackCmd) Help() string {
	return "Example: tipbox ack k3f7qwzm2abcdefg -m 'Thank you. We have read your tip and look into it.'\n\n" +
		"The source reads the text with the receipt code."
}

func (c *ackCmd) Run(a *app) error {
	return a.act(c.Tip, &c.textFlags, true, tipbox.Act{Action: tipbox.ActionAck})
}

type acceptCmd struct {
	tipArg
	textFlags
}

func (*acceptCmd) Help() string {
	return "Example: tipbox accept k3f7qwzm2abcdefg\n\nThe text, if any, is for the desk."
}

func (c *acceptCmd) Run(a *app) error {
	return a.act(c.Tip, &c.textFlags, false, tipbox.Act{Action: tipbox.ActionAccept})
}

type declineCmd struct {
	tipArg
	Scope       bool   `help:"It is out of scope." xor:"why" required:""`
	DuplicateOf string `help:"It says what TIP said first." placeholder:"TIP" xor:"why" required:""`
	Referred    string `help:"It was referred to that body. To make the copy that the body gets: tipbox refer." placeholder:"BODY" xor:"why" required:""`
	linkFlags
	textFlags
}

// linkFlags are what more is said of a duplicate or a referral.
type linkFlags struct {
	Added string `help:"Of a duplicate: what it added to the first, for a later reward." placeholder:"TEXT"`
	Copy  string `help:"Of a referral: the SHA-256 of the MANIFEST of the copy." placeholder:"SHA256"`
}

// detail is what is said of a duplicate or a referral, or nil if it is neither.
func (f *linkFlags) detail(duplicate, referred string) (*tipbox.Detail, error) {
	switch {
	case f.Added != "" && duplicate == "":
		return nil, usageError{errors.New("--added is for a duplicate")}
	case f.Copy != "" && referred == "":
		return nil, usageError{errors.New("--copy is for a referral")}
	case f.Copy != "" && !sha256Hex.MatchString(f.Copy):
		return nil, usageError{errors.New("--copy is no SHA-256: sha256sum MANIFEST prints it")}
	case duplicate != "" && !tipbox.ValidTipID(duplicate):
		return nil, usageError{fmt.Errorf("%q is no tip's name", duplicate)}
	case duplicate != "":
		return &tipbox.Detail{Reason: tipbox.Duplicate, Of: duplicate, Added: f.Added}, nil
	case referred != "":
		return &tipbox.Detail{Reason: tipbox.Referred, To: referred, Copy: f.Copy}, nil
	}
	return nil, nil
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (*declineCmd) Help() string {
	return "Example: tipbox decline k3f7qwzm2abcdefg --scope -m 'We are not competent for this. The labour office is.'\n\n" +
		"The source reads the text with the receipt code; the reason in short is for the desk only.\n\n" +
		"A duplicate is linked both ways: the case that came first gets a note of it, with what it --added."
}

func (c *declineCmd) Run(a *app) error {
	d, err := c.detail(c.DuplicateOf, c.Referred)
	if err != nil {
		return err
	}
	if c.DuplicateOf != "" {
		return c.duplicate(a, d)
	}
	if d == nil {
		d = &tipbox.Detail{Reason: tipbox.OutOfScope}
	}
	return a.act(c.Tip, &c.textFlags, true, tipbox.Act{Action: tipbox.ActionDecline, Detail: d})
}

// duplicate declines a tip as the duplicate of another that this member can read
// too, and then notes it there. Both are tried before one is done.
func (c *declineCmd) duplicate(a *app, d *tipbox.Detail) error {
	text, err := c.given(a, c.Tip, true)
	if err != nil {
		return err
	}
	return a.forTips(c.Tip, func(s *session, tip string) (*result, error) {
		if tip == c.DuplicateOf {
			return nil, usageError{errors.New("a tip is no duplicate of itself: name the one that came first")}
		}
		_, first, err := s.open(a, c.DuplicateOf)
		if err != nil {
			return nil, fmt.Errorf("the tip that came first, %s: %w", c.DuplicateOf, err)
		}
		if isDuplicateOf(first, tip) {
			return nil, fmt.Errorf("%s was declined as the duplicate of %s: one of the two must be worked", c.DuplicateOf, tip)
		}
		link := tipbox.Act{Action: tipbox.ActionNote, Detail: &tipbox.Detail{Reason: tipbox.Duplicate, Of: tip, Added: d.Added}}
		if _, err := first.Prepare(s.key.Name(), today(), link); err != nil {
			return nil, fmt.Errorf("the tip that came first, %s: %w", c.DuplicateOf, err)
		}
		_, opened, err := s.open(a, tip)
		if err != nil {
			return nil, err
		}
		if err := s.send(a, opened, tipbox.Act{Action: tipbox.ActionDecline, Detail: d, Text: text}); err != nil {
			return nil, err
		}
		if err := s.send(a, first, link); err != nil {
			next := "tipbox note " + c.DuplicateOf + " --duplicate " + tip
			if d.Added != "" {
				next += " --added " + shellWord(d.Added)
			}
			return nil, fmt.Errorf("%s is declined, but %s has no note of it: %w. Make it: %s", tip, c.DuplicateOf, err, next)
		}
		return s.after(a, tip)
	})
}

// isDuplicateOf reports whether a case was declined, and is so still, as the
// duplicate of a tip.
func isDuplicateOf(o *tipbox.OpenedTip, tip string) bool {
	return o.Case.State == tipbox.StateDeclined && slices.ContainsFunc(o.Messages, func(m tipbox.Message) bool {
		return m.Void == "" && m.Action == tipbox.ActionDecline && m.Detail != nil && m.Detail.Of == tip
	})
}

// shellWord quotes a word for a shell, in a line to be typed.
func shellWord(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

type assignCmd struct {
	tipArg
	Owner string `arg:"" help:"The investigator who answers for the case."`
	Due   string `help:"By when it must be found out, 2006-01-02." required:"" placeholder:"DAY"`
	textFlags
}

func (*assignCmd) Help() string {
	return "Example: tipbox assign k3f7qwzm2abcdefg bob --due 2026-12-20\n\nThe text, if any, is for the desk."
}

func (c *assignCmd) Run(a *app) error {
	if _, err := time.Parse(time.DateOnly, c.Due); err != nil {
		return usageError{fmt.Errorf("--due %q is no day: write it as 2006-01-02", c.Due)}
	}
	return a.act(c.Tip, &c.textFlags, false, tipbox.Act{Action: tipbox.ActionAssign, Owner: c.Owner, Due: c.Due})
}

type noteCmd struct {
	tipArg
	Duplicate string `help:"Link it with its duplicate TIP, which was declined." placeholder:"TIP" xor:"link"`
	Referred  string `help:"It was referred to that body." placeholder:"BODY" xor:"link"`
	linkFlags
	textFlags
}

func (*noteCmd) Help() string {
	return "Example: tipbox note k3f7qwzm2abcdefg -m 'The ledger of 2025 is missing.'\n\nWho can read the tip reads the note; its source does not.\n\n" +
		"tipbox decline --duplicate-of and tipbox refer make notes of duplicates and referrals by themselves; the flags here are for when that failed."
}

func (c *noteCmd) Run(a *app) error {
	d, err := c.detail(c.Duplicate, c.Referred)
	if err != nil {
		return err
	}
	return a.act(c.Tip, &c.textFlags, d == nil, tipbox.Act{Action: tipbox.ActionNote, Detail: d})
}

type askCmd struct {
	tipArg
	textFlags
}

func (*askCmd) Help() string {
	return "Example: tipbox ask k3f7qwzm2abcdefg -m 'Which account was it?'\n\n" +
		"The source reads it with the receipt code. The deadlines stand still until there is an answer, or until the desk goes on."
}

func (c *askCmd) Run(a *app) error {
	return a.act(c.Tip, &c.textFlags, true, tipbox.Act{Action: tipbox.ActionAsk})
}

type findingCmd struct {
	tipArg
	Finding string `arg:"" help:"substantiated, partly, unsubstantiated or systemic; of a re-verification confirmed or overturned; or recuse." enum:"substantiated,partly,unsubstantiated,systemic,confirmed,overturned,recuse"`
	textFlags
}

func (*findingCmd) Help() string {
	return "Example: tipbox finding k3f7qwzm2abcdefg substantiated -m 'The account and the signatures agree.'\n\n" +
		"This is your vote, with your reasons, for those who can read the case. When as many as the channel's quorum agree, the finding is made. " +
		"Until then a later vote of yours takes the place of this one. \"recuse\" says that you take no part in the case, and why; it cannot be taken back."
}

func (c *findingCmd) Run(a *app) error {
	act := tipbox.Act{Action: tipbox.ActionFinding, Recuse: c.Finding == "recuse"}
	if !act.Recuse {
		act.Detail = &tipbox.Detail{Finding: tipbox.Finding(c.Finding)}
	}
	return a.act(c.Tip, &c.textFlags, true, act)
}

type recoverCmd struct {
	tipArg
	Amount    string `arg:"" help:"The sum, such as 120000.50."`
	Currency  string `arg:"" help:"Its currency, such as CNY."`
	Found     bool   `help:"It was found." xor:"basis" required:""`
	Collected bool   `help:"It was collected." xor:"basis" required:""`
	textFlags
}

func (*recoverCmd) Help() string {
	return "Example: tipbox recover k3f7qwzm2abcdefg 120000.50 CNY --collected\n\nNotes a sum for the reward. Give one again for each instalment."
}

func (c *recoverCmd) Run(a *app) error {
	unit, err := currency.ParseISO(c.Currency)
	if err != nil {
		return usageError{fmt.Errorf("%q is no currency: write it as CNY, EUR or USD", c.Currency)}
	}
	amount, err := minorUnits(c.Amount, unit)
	if err != nil {
		return usageError{err}
	}
	d := &tipbox.Detail{Amount: amount, Currency: unit.String(), Basis: tipbox.SumFound}
	if c.Collected {
		d.Basis = tipbox.SumCollected
	}
	return a.act(c.Tip, &c.textFlags, false, tipbox.Act{Action: tipbox.ActionRecover, Detail: d})
}

// minorUnits reads an amount of money without a float.
func minorUnits(text string, unit currency.Unit) (int64, error) {
	scale, _ := currency.Standard.Rounding(unit)
	whole, part, dot := strings.Cut(text, ".")
	if len(part) > scale || dot && part == "" {
		return 0, fmt.Errorf("%q is no sum of %s, which has %d digits behind the point", text, unit, scale)
	}
	n, err := strconv.ParseUint(whole+part+strings.Repeat("0", scale-len(part)), 10, 63)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no sum above 0: write it as 120000.50, without spaces or commas", text)
	}
	return int64(n), nil
}

// despiteFlag is for what is not done where members did what the rules forbid.
type despiteFlag struct {
	DespiteFaults bool `help:"Go on although members did what the rules forbid: tipbox case says what."`
}

type answerCmd struct {
	tipArg
	textFlags
	despiteFlag
}

func (*answerCmd) Help() string {
	return "Example: tipbox answer k3f7qwzm2abcdefg -m 'It was as you wrote. The sum was paid back.'\n\n" +
		"Tells the source what came of the case once there is a finding. To write before that: tipbox reply."
}

func (c *answerCmd) Run(a *app) error {
	a.despite = c.DespiteFaults
	return a.act(c.Tip, &c.textFlags, true, tipbox.Act{Action: tipbox.ActionAnswer})
}

type closeCmd struct {
	tipArg
	textFlags
	despiteFlag
}

func (*closeCmd) Help() string {
	return "Example: tipbox close k3f7qwzm2abcdefg -m 'Finding, answer and sums agree with the file.'\n\n" +
		"For a reviewer who did not investigate the case."
}

func (c *closeCmd) Run(a *app) error {
	a.despite = c.DespiteFaults
	return a.act(c.Tip, &c.textFlags, true, tipbox.Act{Action: tipbox.ActionClose})
}

type reverifyCmd struct {
	tipArg
	textFlags
}

func (*reverifyCmd) Help() string {
	return "Example: tipbox reverify k3f7qwzm2abcdefg -m 'New papers came up. Others look at your case again.'\n\n" +
		"The source reads the text. Who had a part in the case has none in this."
}

func (c *reverifyCmd) Run(a *app) error {
	return a.act(c.Tip, &c.textFlags, true, tipbox.Act{Action: tipbox.ActionReverify})
}

type holdCmd struct {
	tipArg
	textFlags
}

func (*holdCmd) Help() string {
	return "Example: tipbox hold k3f7qwzm2abcdefg -m 'The court has asked for it.'\n\nNeither a rule nor a member erases a case on hold. End it: tipbox release TIP."
}

func (c *holdCmd) Run(a *app) error {
	return a.act(c.Tip, &c.textFlags, true, tipbox.Act{Action: tipbox.ActionHold})
}

type releaseCmd struct {
	tipArg
	textFlags
}

func (*releaseCmd) Help() string {
	return "Example: tipbox release k3f7qwzm2abcdefg\n\nEnds a hold."
}

func (c *releaseCmd) Run(a *app) error {
	return a.act(c.Tip, &c.textFlags, false, tipbox.Act{Action: tipbox.ActionRelease})
}

type grantCmd struct {
	tipArg
	Member string `arg:"" help:"The colleague's name in the roster."`
}

func (*grantCmd) Help() string {
	return "Example: tipbox grant k3f7qwzm2abcdefg carol\n\n" +
		"Seals the tip's key to a colleague: an investigator or reviewer of the channel whom the source did not leave out. It cannot be taken back."
}

func (c *grantCmd) Run(a *app) error {
	return a.actWith(c.Tip, func(s *session, _ *tipbox.OpenedTip) (tipbox.Act, error) {
		m := s.roster.Member(c.Member)
		if m == nil {
			var names []string
			for _, m := range s.roster.Members {
				if m.Has(roster.Investigator) || m.Has(roster.Reviewer) {
					names = append(names, m.Name())
				}
			}
			return tipbox.Act{}, usageError{fmt.Errorf("%s is not in the roster. Investigators and reviewers are: %s", c.Member, strings.Join(names, ", "))}
		}
		return tipbox.Act{Action: tipbox.ActionGrant, Grant: m}, nil
	})
}
