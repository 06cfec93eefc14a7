package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age/armor"
	"golang.org/x/text/currency"

	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
)

type issuerCmd struct {
	Keygen issuerKeygenCmd `cmd:"" help:"Make the issuing key of a denomination."`
	List   issuerListCmd   `cmd:"" help:"List the denominations, and which issuing keys you have."`
}

func (*issuerCmd) Help() string {
	return "Example: tipbox issuer keygen cny-1000 1000 CNY --until 2031-12-31 --protect > cny-1000.json\n\n" +
		"A voucher is signed with the issuing key of its denomination. Whoever has that key can make money of it: so it is in the folders of few approvers, as issuing/ID.key, and never on the server. " +
		"One approver makes it, and the root key's holder enters what is printed into the roster: tipbox roster denomination FILE.\n\n" +
		"The other approvers who issue need a copy of the file, at the same place in their folders and with mode 0600. Hand it over on a stick, or seal it to their cards: " +
		"age -r RECIPIENT -o ID.key.age ID.key, where the recipient is in the card. A key that is protected asks for its passphrase once in each tipbox issue.\n\n" +
		"Few denominations hide best: with one of 100, one of 1,000 and one of 10,000 most awards are some of the same vouchers. The smallest must divide the unit of the schedule. " +
		"Before the last day of one comes near, make another of the same amount with an id of its own and a later first day: from then on that is issued, and the old one is only paid."
}

// issuingFolder has the issuing keys of a home, as ID.key.
const issuingFolder = "issuing"

func (a *app) issuingFile(id string) string {
	return filepath.Join(string(a.home), issuingFolder, id+".key")
}

// issuingKey reads the issuing key of a denomination, once.
func (a *app) issuingKey(id string) (*voucher.IssuingKey, error) {
	if key := a.issuing[id]; key != nil {
		return key, nil
	}
	path := a.issuingFile(id)
	text, err := a.readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not here: get the issuing key of %s from another approver, and put it there", path, id)
	}
	if err != nil {
		return nil, err
	}
	key, err := voucher.ParseIssuingKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if a.issuing == nil {
		a.issuing = make(map[string]*voucher.IssuingKey)
	}
	a.issuing[id] = key
	return key, nil
}

type issuerKeygenCmd struct {
	ID       string `arg:"" help:"The denomination's name: a-z, 0-9 and hyphens, such as cny-1000."`
	Amount   string `arg:"" help:"What a voucher is worth, such as 1000 or 0.50."`
	Currency string `arg:"" help:"Its currency, such as CNY."`
	Since    string `help:"The first day on which vouchers are issued and paid; today if left out." placeholder:"DAY"`
	Until    string `help:"The last day on which vouchers are paid, 2006-01-02." required:"" placeholder:"DAY"`
	Protect  bool   `help:"Protect the key with a passphrase, which is asked for twice."`
}

func (*issuerKeygenCmd) Help() string {
	return "Example: tipbox issuer keygen cny-1000 1000 CNY --until 2031-12-31 --protect > cny-1000.json\n\n" +
		"Writes the key to issuing/ID.key in your folder and prints the denomination for the roster. A source may claim an award months after it was granted, and keep the voucher for long: let the last day be years ahead."
}

func (c *issuerKeygenCmd) Run(a *app) error {
	d, err := c.denomination()
	if err != nil {
		return usageError{err}
	}
	path := a.issuingFile(d.ID)
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already, and a key is never overwritten: choose another id, such as %s-b", path, d.ID)
	}
	key, err := voucher.GenerateIssuingKey()
	if err != nil {
		return err
	}
	d.Key = key.Public()
	if err := d.Validate(); err != nil {
		return usageError{err}
	}
	if err := a.writeKey(path, key.Reveal(), c.Protect); err != nil {
		return err
	}
	if err := a.printJSON(d); err != nil {
		return err
	}
	a.say("The issuing key is in %s. Whoever has it can make vouchers: how to share it with other approvers: tipbox issuer --help\n"+
		"Next, the root key's holder enters what was printed: tipbox --home root roster denomination FILE\n", cleanLine(path))
	return nil
}

// denomination is that of the flags, without a key.
func (c *issuerKeygenCmd) denomination() (d voucher.Denomination, err error) {
	if err := roster.CheckName(c.ID); err != nil {
		return d, err
	}
	unit, err := currency.ParseISO(c.Currency)
	if err != nil {
		return d, fmt.Errorf("%q is no currency: write it as CNY, EUR or USD", c.Currency)
	}
	d = voucher.Denomination{ID: c.ID, Currency: unit.String(), Since: cmp.Or(c.Since, today()), Until: c.Until}
	if d.Amount, err = minorUnits(c.Amount, unit); err != nil {
		return d, err
	}
	for _, day := range []string{d.Since, d.Until} {
		if _, err := time.Parse(time.DateOnly, day); err != nil {
			return d, fmt.Errorf("%q is no day: write it as 2006-01-02", day)
		}
	}
	if d.Until < d.Since {
		return d, fmt.Errorf("it ends on %s, before it begins on %s", d.Until, d.Since)
	}
	return d, nil
}

type issuerListCmd struct{}

func (*issuerListCmd) Help() string {
	return "Example: tipbox issuer list\n\nThe denominations of your folder's roster, and the keys in its folder issuing. Nobody is asked, and no key unlocked."
}

// An issuerLine is a line as --json prints it.
type issuerLine struct {
	ID       string `json:"id"`
	Currency string `json:"currency,omitempty"` // those are not there if the roster does not have it
	Amount   int64  `json:"amount,omitempty"`
	Since    string `json:"since,omitempty"`
	Until    string `json:"until,omitempty"`
	Key      string `json:"key"` // keyHere, …
}

// What is known of an issuing key.
const (
	keyHere    = "here"
	keyLocked  = "here, locked"
	keyNone    = "not here"
	keyAnother = "another key than the roster's"
	keyUnknown = "not in the roster yet"
)

func (*issuerListCmd) Run(a *app) error {
	r := new(roster.Roster)
	cfg, err := a.home.Config()
	if err == nil {
		r, err = a.home.Roster(cfg)
	}
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(string(a.home), issuingFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var keys []string
	for _, entry := range entries {
		if id, is := strings.CutSuffix(entry.Name(), ".key"); is {
			keys = append(keys, id)
		}
	}
	var lines []issuerLine
	for _, d := range r.Denominations {
		line := issuerLine{ID: d.ID, Currency: d.Currency, Amount: d.Amount, Since: d.Since, Until: d.Until, Key: keyNone}
		if slices.Contains(keys, d.ID) {
			if line.Key, err = a.keyOf(d); err != nil {
				return err
			}
		}
		lines = append(lines, line)
	}
	for _, id := range keys {
		if r.Denomination(id) == nil {
			lines = append(lines, issuerLine{ID: id, Key: keyUnknown})
		}
	}
	if a.json {
		for _, line := range lines {
			if err := a.printJSON(line); err != nil {
				return err
			}
		}
		return nil
	}
	if len(lines) == 0 {
		a.say("There is no denomination in the roster (number %d of %s), and no key here. To make one: tipbox issuer keygen --help\n", r.Serial, r.Day)
		return nil
	}
	w := a.table()
	w.head("DENOMINATION\tAMOUNT\tSINCE\tUNTIL\tKEY")
	for _, line := range lines {
		amount := ""
		if line.Amount > 0 {
			amount = money(line.Amount, line.Currency)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", cleanLine(line.ID), amount, line.Since, line.Until, a.lang.text(line.Key))
	}
	return w.Flush()
}

// keyOf looks whether the key that is here is that of the denomination.
func (a *app) keyOf(d voucher.Denomination) (string, error) {
	path := a.issuingFile(d.ID)
	if err := checkPrivate(path); err != nil {
		return "", err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(strings.TrimSpace(string(text)), armor.Header) {
		return keyLocked, nil
	}
	key, err := voucher.ParseIssuingKey(string(text))
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if key.Public() != d.Key {
		return keyAnother, nil
	}
	return keyHere, nil
}

type rosterDenominationCmd struct {
	File   string `arg:"" help:"The denomination, as tipbox issuer keygen prints it." type:"existingfile"`
	Extend bool   `help:"Put off the last day of one that is there."`
}

func (*rosterDenominationCmd) Help() string {
	return "Example: tipbox --home root roster denomination cny-1000.json\n\n" +
		"Enters a kind of voucher. Compare its key with the approver who made it: tipbox issuer list. One that is there is never changed, since vouchers of it may be out; only its last day can be put off, with --extend.\n\n" +
		"Two of one amount that begin on the same day are refused: who gets the one would stand out from who gets the other."
}

// errVouchersOut means that a denomination would be changed or gone of which vouchers
// may be out.
var errVouchersOut = errors.New("vouchers of it may be out")

func (c *rosterDenominationCmd) Run(a *app) error {
	data, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	var d voucher.Denomination
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return fmt.Errorf("%s is no denomination, as tipbox issuer keygen prints it: %w", cleanLine(c.File), err)
	}
	if err := d.Validate(); err != nil {
		return fmt.Errorf("%s: %w", cleanLine(c.File), err)
	}
	draft, err := a.readDraft()
	if err != nil {
		return err
	}
	switch there := draft.Denomination(d.ID); {
	case there == nil:
		draft.Denominations = append(draft.Denominations, d)
	case *there == d:
		a.say("It is there already.\n")
		return nil
	case c.Extend && extends(d, *there):
		there.Until = d.Until
	case extends(d, *there):
		return fmt.Errorf("denomination %s is there, until %s: to put its last day off, --extend", d.ID, there.Until)
	default:
		return fmt.Errorf("denomination %s is there, with another amount, key or day: give this one an id of its own: %w", d.ID, errVouchersOut)
	}
	changed, err := roster.Parse(draft.Draft())
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	if err := a.writeDraft(changed); err != nil {
		return err
	}
	a.warnOfDenominations(changed, d)
	if a.json {
		if err := a.printJSON(d); err != nil {
			return err
		}
	} else {
		a.print("%s: %s, since %s, until %s\n", d.ID, money(d.Amount, d.Currency), d.Since, d.Until)
	}
	a.say("Entered. Next: tipbox roster sign\n")
	return nil
}

// extends reports whether a denomination is another with a later last day.
func extends(d, old voucher.Denomination) bool {
	later := d.Until > old.Until
	old.Until = d.Until
	return later && d == old
}

// warnOfDenominations says what is not wrong and may not be meant.
func (a *app) warnOfDenominations(r *roster.Roster, entered voucher.Denomination) {
	if entered.Until < time.Now().AddDate(1, 0, 0).Format(time.DateOnly) {
		a.say("Note: vouchers of it are paid until %s, which is less than a year ahead. Sources may come late.\n", entered.Until)
	}
	for _, s := range r.SchedulesOn(today()) {
		if s.Currency != entered.Currency {
			continue
		}
		issued := voucher.Issued(r.Denominations, s.Currency, max(today(), entered.Since))
		if n := len(issued); n > 0 && s.Unit%issued[n-1].Amount != 0 {
			a.say("Note: awards by schedule %s are multiples of %s, which vouchers of %s do not come to.\n", s.ID, money(s.Unit, s.Currency), money(issued[n-1].Amount, s.Currency))
		}
	}
}

// keepsVouchers makes sure that every denomination that was signed stays as it was,
// should the draft have been restored from an old copy or edited by hand.
func (a *app) keepsVouchers(draft *roster.Roster) error {
	last, err := a.lastSigned()
	if err != nil {
		return err
	}
	for _, old := range last.Denominations {
		if now := draft.Denomination(old.ID); now == nil || *now != old && !extends(*now, old) {
			return fmt.Errorf("denomination %s is gone or not as it was signed: %w", old.ID, errVouchersOut)
		}
	}
	return nil
}

// money is an amount in the currency's main unit, with its code.
func money(amount int64, code string) string {
	digits := 2
	if unit, err := currency.ParseISO(code); err == nil {
		digits, _ = currency.Standard.Rounding(unit)
	}
	return mainUnits(amount, digits) + " " + cleanLine(code)
}
