package tipbox

import (
	"fmt"
	"strings"

	"tipbox/crypto/roster"
)

// An Unsigned is what a member does to a case, sealed where the tip was opened
// and to be signed where the signing key is: see OpenedTip.Prepare. Its place in
// the tip's list is fixed, for the sealed message says its number; the day and
// the event before are those of the signature.
type Unsigned struct {
	Event  *Event `json:"event"`
	By     string `json:"by"` // who is to sign
	Sealed []byte `json:"sealed,omitempty"`
}

// Check checks the form of what came from elsewhere.
func (u *Unsigned) Check() error {
	if u.Event == nil || u.Event.From() != FromDesk {
		return fmt.Errorf("an answer without an event of the desk: %w", ErrInvalid)
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

// Sign signs it as the next entry of the tip as the server shows it, dated today
// (2006-01-02). ErrConflict if its place is taken: then it must be made anew.
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
	e.Day, e.Before = next.Day, next.Before
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
	o.chain.take(&e, strings.Repeat("0", len(hash(nil)))) // stands for the hash of a note to come
	o.Messages = append(o.Messages, o.message(&e, u.Sealed))
	return nil
}
