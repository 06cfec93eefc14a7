package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/renameio/v2"
	"github.com/tyler-smith/go-bip39/wordlists"

	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

type payCmd struct {
	Voucher []string `arg:"" optional:"" help:"The voucher, in letters, digits or words; - reads it from standard input." placeholder:"VOUCHER"`
	File    string   `short:"f" help:"Read it from FILE." type:"existingfile" placeholder:"FILE"`
	Payout  []string `help:"Pay a payout, as tipbox payouts names it. Repeat for more." placeholder:"PAYOUT"`
	Check   bool     `help:"Only check that a voucher is genuine, without the desk, and pay nothing."`
	List    bool     `help:"Add up what was paid, by month and denomination, and check it."`
}

func (*payCmd) Help() string {
	return "Example: tipbox pay -f voucher.txt\n\n" +
		"For payers. A voucher that somebody presents is money for whoever holds it; nobody can tell whose tip it was for. It is first checked on this machine: the signature, your organisation, the days. " +
		"Then it is paid at the desk, which lets nobody pay it twice, and a receipt is printed. Hand the money out when you see the receipt, and not before. " +
		"If the line breaks, give the same command again.\n\n" +
		"A voucher on the command line can be seen by others on this machine while it runs, and stays in the shell's history: read it from a file, or with tipbox pay - from a scanner or a paste. " +
		"A file can have several, with a blank line between them, or with the line TIPBOX VOUCHER before each.\n\n" +
		"Keep the vouchers that you have paid with your books: each shows an auditor, with --check, that a payment of its number was due. " +
		"The tool keeps what it has begun in your folder's payments, until the desk has answered, and what you have paid in its folder paid: that it never pays again, whatever the desk says. " +
		"--list prints a hash of the desk's list: compare it with the other payers', for a desk that shows each of you another could have a voucher paid twice.\n\n" +
		"A payout is for a source who gave details or a charity instead. Look first: tipbox payouts. Then: tipbox pay --payout PAYOUT, and transfer what the receipt says."
}

var (
	// errUnsettled means that nobody knows whether a payment was recorded.
	errUnsettled = errors.New("not known whether it was recorded")
	// errPayers means that a payout's details were sealed to other payers.
	errPayers = errors.New("its details were sealed before you were a payer: a colleague who was must pay it, and if there is none any more, the source is asked for them anew on its page")
)

// A slip is what a payment comes to, as --json prints it: a receipt.
type slip struct {
	State        string `json:"state"` // slipPaid, …
	Number       string `json:"number"`
	Denomination string `json:"denomination,omitempty"`
	Payout       string `json:"payout,omitempty"`
	Charity      string `json:"charity,omitempty"`
	Details      string `json:"details,omitempty"`
	Currency     string `json:"currency"`
	Amount       int64  `json:"amount"` // minor units
	Day          string `json:"day,omitempty"`
	Payer        string `json:"payer,omitempty"`
}

// The states of a slip.
const (
	slipPaid    = "paid"
	slipSettled = "paid, as begun before"
	slipGood    = "genuine"
)

// number names a payment on paper: it leads to no serial.
func number(p *tipbox.Payment) string {
	key := strings.TrimPrefix(p.Key, "payout-")
	return key[:min(8, len(key))]
}

func (c *payCmd) Run(a *app) error {
	text := len(c.Voucher) > 0 || c.File != ""
	switch {
	case len(c.Voucher) > 0 && c.File != "":
		return usageError{errors.New("give the voucher, or the file that it is in")}
	case c.List && (text || c.Check || len(c.Payout) > 0), len(c.Payout) > 0 && (text || c.Check):
		return usageError{errors.New("a voucher, --payout and --list are three things: choose one")}
	case c.List:
		return c.list(a)
	case len(c.Payout) > 0:
		return c.payPayouts(a)
	case !text:
		return usageError{errors.New("give a voucher, - for standard input, -f FILE, --payout PAYOUT or --list")}
	}
	vouchers, err := c.read(a)
	if err != nil {
		return err
	}
	cfg, err := a.home.Config()
	if err != nil {
		return err
	}
	if c.Check {
		r, err := a.home.Roster(cfg)
		if err != nil {
			return err
		}
		return c.each(a, vouchers, func(text string) (*slip, error) {
			v, d, err := checkVoucher(r, cfg.Root, text)
			if err != nil {
				return nil, err
			}
			p := tipbox.VoucherPayment(v, d, today())
			return &slip{State: slipGood, Number: number(p), Denomination: d.ID, Currency: d.Currency, Amount: d.Amount}, nil
		})
	}
	s, err := a.connectDesk()
	if err != nil {
		return err
	}
	defer s.Close()
	return c.each(a, vouchers, func(text string) (*slip, error) {
		v, d, err := checkVoucher(s.roster, cfg.Root, text)
		if err != nil {
			return nil, err
		}
		return a.pay(s, tipbox.VoucherPayment(v, d, today()), v.Compact())
	})
}

// checkVoucher reads a voucher and checks it by the roster.
func checkVoucher(r *roster.Roster, organisation, text string) (*voucher.Voucher, *voucher.Denomination, error) {
	v, err := voucher.Parse(text, wordLists()...)
	if err != nil {
		return nil, nil, err
	}
	d, err := v.Find(r.Denominations, organisation)
	if err != nil {
		return nil, nil, err
	}
	return v, &d, v.Verify(d, organisation, today())
}

func wordLists() [][]string {
	return [][]string{
		wordlists.English, wordlists.ChineseSimplified, wordlists.ChineseTraditional, wordlists.Czech, wordlists.French,
		wordlists.Italian, wordlists.Japanese, wordlists.Korean, wordlists.Spanish,
	}
}

// maxVouchers bounds what is read of vouchers, in bytes.
const maxVouchers = 1 << 20

// read returns the texts of the vouchers that are given.
func (c *payCmd) read(a *app) ([]string, error) {
	var in io.Reader
	switch {
	case c.File != "":
		file, err := os.Open(c.File)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	case len(c.Voucher) == 1 && c.Voucher[0] == fromInput:
		in = a.stdin
	default:
		return []string{strings.Join(c.Voucher, " ")}, nil
	}
	data, err := a.wait(func() ([]byte, error) { return io.ReadAll(io.LimitReader(in, maxVouchers+1)) })
	if err != nil {
		return nil, err
	}
	if len(data) > maxVouchers || !utf8.Valid(data) {
		return nil, fmt.Errorf("over %d bytes, or no text: nothing was paid", maxVouchers)
	}
	text := strings.TrimPrefix(strings.ReplaceAll(string(data), "\r\n", "\n"), "\uFEFF")
	vouchers := splitVouchers(text)
	if len(vouchers) == 0 {
		return nil, usageError{errors.New("there is no voucher in it: nothing was paid")}
	}
	return vouchers, nil
}

var (
	voucherMark = regexp.MustCompile(`(?i)tipbox[ -]voucher`)
	blankLines  = regexp.MustCompile(`\n[ \t]*\n\s*`)
)

// splitVouchers takes a text with several vouchers apart: where the mark is that
// begins one, or else at blank lines. What stands between marked ones is left out, if
// it is none.
func splitVouchers(text string) (vouchers []string) {
	marks := voucherMark.FindAllStringIndex(text, -1)
	if len(marks) == 0 {
		if _, err := voucher.Parse(text, wordLists()...); err == nil {
			return []string{text}
		}
		return slices.DeleteFunc(blankLines.Split(text, -1), func(part string) bool { return strings.TrimSpace(part) == "" })
	}
	if before := text[:marks[0][0]]; !isNoVoucher(before) {
		vouchers = append(vouchers, before)
	}
	for i, mark := range marks {
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		vouchers = append(vouchers, markedVoucher(text[mark[0]:end]))
	}
	return vouchers
}

func isNoVoucher(text string) bool {
	_, err := voucher.Parse(text, wordLists()...)
	return errors.Is(err, voucher.ErrNotVoucher)
}

// markedVoucher leaves out what stands behind a voucher's lines, after a blank one.
func markedVoucher(text string) string {
	if _, err := voucher.Parse(text); err == nil {
		return text
	}
	end, lines := 0, 0
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" && (lines > 1 || end > len("TIPBOX VOUCHER")+20) {
			break
		}
		if end += len(line); strings.TrimSpace(line) != "" {
			lines++
		}
	}
	return text[:end]
}

// each does something with every voucher, and goes on after one that is not good.
func (c *payCmd) each(a *app, vouchers []string, do func(text string) (*slip, error)) error {
	done, sums := 0, make(map[string]int64)
	for i, text := range vouchers {
		r, err := do(text)
		switch {
		case err != nil && len(vouchers) == 1:
			return err
		case err != nil:
			if err := a.notPaid(i+1, err); err != nil {
				return err
			}
			if errors.Is(err, errUnsettled) || errors.Is(err, desk.ErrUnreachable) {
				return fmt.Errorf("after %d of %d the desk could not be reached: %w", done, len(vouchers), err)
			}
			continue
		}
		done++
		sums[r.Currency] += r.Amount
		if err := a.printSlip(r); err != nil {
			return err
		}
	}
	if len(vouchers) > 1 {
		for _, code := range slices.Sorted(maps.Keys(sums)) {
			if c.Check {
				a.say("Genuine together: %s\n", money(sums[code], code))
				continue
			}
			a.say("Paid together: %s\n", money(sums[code], code))
		}
	}
	if c.Check {
		a.say("Nothing was paid. Whether it was before, only the desk can tell.\n")
	}
	switch {
	case done < len(vouchers) && c.Check:
		return fmt.Errorf("genuine: %d of %d. Each that is not says why", done, len(vouchers))
	case done < len(vouchers):
		return fmt.Errorf("paid: %d of %d. Each that is not says why", done, len(vouchers))
	}
	return nil
}

// notPaid says why one of several is not paid.
func (a *app) notPaid(item int, err error) error {
	if a.json {
		return a.printJSON(struct {
			Item  int    `json:"item"` // of those that were given, from 1
			Error string `json:"error"`
		}{item, inEnglish.reason(err)})
	}
	a.print("NO. %d IS NOT GOOD: %s\n\n", item, cleanLine(a.lang.reason(err)))
	return nil
}

func (a *app) printSlip(r *slip) error {
	if a.json {
		return a.printJSON(r)
	}
	a.print("%s\n", a.lang.text(strings.ToUpper(r.State)))
	row := func(name, value string) {
		if value != "" {
			a.print("  %-8s %s\n", a.lang.text(name), cleanLine(value))
		}
	}
	what := a.lang.sprintf("voucher %s", r.Denomination)
	switch {
	case r.Charity != "":
		what = a.lang.sprintf("payout %s, to the charity %s", r.Payout, r.Charity)
	case r.Payout != "":
		what = a.lang.sprintf("payout %s", r.Payout)
	}
	row("what", what)
	row("amount", money(r.Amount, r.Currency))
	row("day", r.Day)
	row("payer", r.Payer)
	row("number", r.Number)
	if r.Details != "" {
		a.print("%s\n", quoted(r.Details, a.columns()))
	}
	if r.State == slipSettled {
		a.print("  It was begun before, and the line broke. Hand it out only if you did not then.\n")
	}
	a.print("\n")
	return nil
}

// paymentsFolder has the payments that were begun and not answered, by their keys.
const paymentsFolder = "payments"

// pay signs a payment and has it kept. A payment that was begun before, when the
// line broke, is sent again as it was: only so is it told from a voucher that is
// presented again.
func (a *app) pay(s *session, p *tipbox.Payment, text string) (*slip, error) {
	if made, err := a.made(p.Key); err != nil {
		return nil, err
	} else if made != nil {
		return nil, s.madeBefore(a, p, text, made)
	}
	path := filepath.Join(string(a.home), paymentsFolder, p.Key)
	note, err := os.ReadFile(path)
	begun := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if begun {
		before, err := tipbox.OpenPayment(note, s.roster)
		if err != nil || before.Key != p.Key || before.By != s.key.Name() {
			return nil, fmt.Errorf("what was begun before is not yours, or damaged: look at %s, and remove it: %w", path, cmp.Or(err, tipbox.ErrInvalid))
		}
		if before.Day != p.Day {
			there, err := s.desk.Payment(a.ctx, p.Key)
			switch {
			case errors.Is(err, tipbox.ErrNotFound): // it never came
				begun = false
			case err != nil:
				return nil, err
			case bytes.Equal(there, note):
				return a.paid(path, before, note, slipSettled)
			}
		}
		if begun {
			p = before
		}
	}
	if !begun {
		if note, err = p.Sign(s.key.SigningKey); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		if err := renameio.WriteFile(path, note, 0o600); err != nil {
			return nil, fmt.Errorf("keeping what is begun: nothing was paid: %w", err)
		}
	}
	p.By = s.key.Name()
	err = s.desk.Pay(a.ctx, note, text)
	switch {
	case err == nil && begun:
		return a.paid(path, p, note, slipSettled)
	case err == nil:
		return a.paid(path, p, note, slipPaid)
	case errors.Is(err, tipbox.ErrPaid):
		err = s.paidBefore(a, p.Key)
	case doubted(err):
		return nil, fmt.Errorf("%w: this machine finds it genuine, and the desk does not: %w", errUnsettled, err)
	case !refused(err):
		return nil, fmt.Errorf("%w: %w", errUnsettled, err)
	}
	return nil, errors.Join(err, os.Remove(path))
}

// paid is the receipt of a payment that the desk has, and that is kept here too.
func (a *app) paid(path string, p *tipbox.Payment, note []byte, state string) (*slip, error) {
	if err := errors.Join(a.keepMade(p.Key, note), os.Remove(path)); err != nil {
		return nil, fmt.Errorf("it is paid, on %s by you, but %s must be removed before it is presented again: %w", p.Day, path, err)
	}
	return &slip{State: state, Number: number(p), Denomination: p.Denomination, Payout: p.Payout(), Currency: p.Currency, Amount: p.Amount, Day: p.Day, Payer: p.By}, nil
}

// refused reports whether the desk's answer says that nothing was recorded.
func refused(err error) bool {
	return isAny(err, desk.ErrRefused, tipbox.ErrForbidden, tipbox.ErrNoPayout, tipbox.ErrTooLong, tipbox.ErrConflict, tipbox.ErrNotFound, desk.ErrPeer)
}

// doubted reports whether the desk says that a voucher is not good. It was checked here
// before, by the same roster: a desk that has read it then may have it paid elsewhere.
func doubted(err error) bool {
	return isAny(err, voucher.ErrForged, voucher.ErrOrganisation, voucher.ErrDenomination, voucher.ErrExpired, voucher.ErrEarly,
		voucher.ErrTyping, voucher.ErrNewer, voucher.ErrNotVoucher)
}

func isAny(err error, kinds ...error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}

// paidBefore finds out by whom something was paid: the desk's word is not enough.
func (s *session) paidBefore(a *app, key string) error {
	note, err := s.desk.Payment(a.ctx, key)
	if err != nil {
		return fmt.Errorf("the desk says that it was paid already, and shows no payment: %w", err)
	}
	p, err := tipbox.OpenPayment(note, s.roster)
	if err == nil && p.Key != key {
		err = fmt.Errorf("a payment of something else: %w", tipbox.ErrInvalid)
	}
	if err != nil {
		return fmt.Errorf("the desk says that it was paid already, and shows what no payer signed: %w", err)
	}
	return &tipbox.PaidError{Day: p.Day, By: p.By}
}
