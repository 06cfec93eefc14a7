package tipbox

import (
	"fmt"
	"slices"
	"time"

	"tipbox/crypto/roster"
)

// An Unsigned is what a member does to a case, sealed where the tip was opened
// and to be signed where the signing key is: see OpenedTip.Prepare. Its place in
// the tip's list is fixed, for the sealed message says its number; the day and
// the event before are those of the signature.
//
// Where it is signed nobody can tell whether the tip's list is genuine, for the
// source's key is in what only the other half of the member's key opens. So it
// carries what the signature goes by of the list as it was verified.
type Unsigned struct {
	Event  *Event `json:"event"`
	By     string `json:"by"` // who is to sign
	Sealed []byte `json:"sealed,omitempty"`
	Latest string `json:"latest,omitempty"` // the last day of the desk's signed entries, 2006-01-02; "" without
	Lost   []int  `json:"lost,omitempty"`   // the numbers of the entries that were lost
}

// On is the day by which it is dated if it is signed today (2006-01-02).
func (u *Unsigned) On(today string) string { return max(today, u.Latest) }

// Check checks the form of what came from elsewhere.
func (u *Unsigned) Check() error {
	if u.Event == nil || u.Event.From() != FromDesk {
		return fmt.Errorf("an answer without an event of the desk: %w", ErrInvalid)
	}
	if _, err := time.Parse(time.DateOnly, u.Latest); u.Latest != "" && (err != nil || u.Latest >= lastDay) {
		return fmt.Errorf("an answer after a day that is none: %w", ErrInvalid)
	}
	u.Event.By = u.By
	if err := roster.CheckName(u.By); err != nil {
		return err
	}
	if err := u.Event.validate(); err != nil {
		return err
	}
	if u.Event.Action == ActionGrant && hash(u.Sealed) != u.Event.Slot || u.Event.Sealed != "" && hash(u.Sealed) != u.Event.Sealed {
		return fmt.Errorf("entry %d for tip %s: its message is another: %w", u.Event.Number, u.Event.Tip, ErrInvalid)
	}
	return nil
}

// Sign signs it as the next entry of the tip as the server shows it, dated On
// today (2006-01-02): what the server shows has no say in the day. ErrConflict if
// its place is taken: then it must be made anew. ErrInvalid if that day is after
// tomorrow, or if the server says that it has lost what was there.
func (u *Unsigned) Sign(key *roster.SigningKey, today string, file *TipFile) (note []byte, err error) {
	if err := u.Check(); err != nil {
		return nil, err
	}
	if key.Name() != u.By {
		return nil, fmt.Errorf("it is for %s to sign, and this is the key of %s: %w", u.By, key.Name(), ErrForbidden)
	}
	c, err := readChain(u.Event.Tip, file.notes(), file.Head, nil)
	if err != nil {
		return nil, err
	}
	for _, n := range c.lost() {
		if n < u.Event.Number && !slices.Contains(u.Lost, n) {
			return nil, fmt.Errorf("entry %d of tip %s was there when it was answered, and is lost on the server: have it restored from a backup: %w", n, u.Event.Tip, ErrInvalid)
		}
	}
	if on := u.On(today); on > addDays(today, 1) {
		return nil, fmt.Errorf("entry %d of tip %s would be dated %s, as the one before it, and here it is %s: a clock is wrong: %w",
			u.Event.Number, u.Event.Tip, on, today, ErrInvalid)
	}
	return u.sign(key, today, c)
}

func (u *Unsigned) sign(key *roster.SigningKey, today string, c *chain) ([]byte, error) {
	next, err := c.next(u.Event.Action, today)
	if err != nil {
		return nil, err
	}
	if next.Number != u.Event.Number {
		return nil, fmt.Errorf("entry %d of tip %s is there already: %w", u.Event.Number, u.Event.Tip, ErrConflict)
	}
	e := *u.Event
	e.Day, e.Before = u.On(today), next.Before
	return e.sign(key)
}

// Take adds what is not signed yet to the opened tip, so that more can be
// prepared after it. The tip's Head is not one to be remembered from then on.
func (o *OpenedTip) Take(u *Unsigned) error {
	if err := u.Check(); err != nil {
		return err
	}
	e := *u.Event
	switch {
	case e.Tip != o.Tip:
		return fmt.Errorf("it belongs to tip %s: %w", e.Tip, ErrInvalid)
	case e.Number != len(o.chain.events)+1:
		return fmt.Errorf("entry %d of tip %s is there already: %w", e.Number, e.Tip, ErrConflict)
	}
	e.Day = max(e.Day, o.chain.latest(FromDesk))
	if err := o.Case.apply(&e); err != nil {
		return err
	}
	o.chain.take(&e, hashToCome)
	o.Messages = append(o.Messages, o.message(&e, u.Sealed))
	return nil
}

// hashToCome stands for the hash of a note that is not signed yet.
const hashToCome = "0000000000000000000000000000000000000000000000000000000000000000"

// signedDay is the latest day of what the desk has signed. The day of what Take
// added is one of this machine's clock only.
func (o *OpenedTip) signedDay() (day string) {
	for i, e := range o.chain.events {
		if !e.lost && e.void == "" && e.From() == FromDesk && o.chain.hashes[i] != hashToCome {
			day = max(day, e.Day)
		}
	}
	return day
}

// lost are the numbers of the entries that are lost.
func (c *chain) lost() (numbers []int) {
	for _, e := range c.events {
		if e.lost {
			numbers = append(numbers, e.Number)
		}
	}
	return numbers
}
