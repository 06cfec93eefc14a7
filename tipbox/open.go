package tipbox

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
)

// An OpenedTip is a tip that a member's tool has opened and verified: what it
// holds is what the source and the members signed, whatever the server did.
type OpenedTip struct {
	Tip      string
	Channel  string
	Day      string // of the first message
	Messages []Message
	Slot     *seal.Keyslot
	Case     *Case
	LeftOut  []string // whom the source left out, by name

	// Finding is what was found last, and Faults what members have done
	// against the rules: those of Case, and in what only they can read.
	Finding Finding
	Faults  []string

	reply    *seal.Recipient
	tipKey   *seal.Recipient
	identity age.Identity // opens the messages: of the tip key, or an approver's own
	approver bool         // it was opened without the tip key: see OpenAward
	chain    *chain
	roster   *roster.Roster
}

// A Message is one message of an opened tip.
type Message struct {
	Number int
	Action Action
	From   string // FromSource or FromDesk
	By     string // the member's name, if FromDesk
	Day    string
	Lang   string
	Text   string
	Files  []Attachment
	Event  *Event  // what is in the clear of it
	Void   string  // why it counts for nothing, if it does not
	Detail *Detail // of a case's event, or nil

	// Sequence rises with what sources send, over all tips: who came first of two
	// has the lower one. 0 if there is none.
	Sequence uint64

	// Err tells why the message could not be opened, if it could not; then
	// Lang, Text and Files are empty.
	Err error
}

// An Attachment is a file of a message: what its source called it, and where
// it is.
type Attachment struct {
	File
	EventFile
}

// OpenTip opens the file of tip id with a member's key and checks all of it:
// that the keyslot is this tip's, that every event is signed by the source or by
// a member and follows the one before, and that every message is the one that was
// signed. What a member signed who might not is void.
//
// The source's key is taken from the keyslot, which only somebody who knew the
// tip's key can have made: a server that was taken over after the tip came in
// cannot put another source in its place.
//
// A message that cannot be opened, or that the server says it has lost, is
// reported in its Err, and the rest is still there to be read. ErrUnreadable
// there means that its writer made it so.
func OpenTip(file *TipFile, id string, key *roster.MemberKey, r *roster.Roster) (*OpenedTip, error) {
	if file.Slots == nil {
		return nil, fmt.Errorf("tip %s has no keyslots: %w", id, ErrInvalid)
	}
	slot, err := file.Slots.Open(id, key.Identity())
	if err != nil {
		return nil, fmt.Errorf("tip %s: %w", id, err)
	}
	o := &OpenedTip{
		Tip: id, Channel: slot.Channel, Slot: slot, tipKey: slot.Key.Recipient(), identity: slot.Key.Identity(), roster: r,
	}
	if err := o.read(file, slot.Source); err != nil {
		return nil, err
	}
	return o, nil
}

// read checks and opens the tip's events, which that source began.
func (o *OpenedTip) read(file *TipFile, source string) error {
	c, err := readChain(o.Tip, file.notes(), file.Head, &keyring{source: source, channel: o.Channel, roster: o.roster})
	if err != nil {
		return err
	}
	o.chain, o.Day, o.Case = c, c.events[0].Day, foldCase(c.events, o.Channel, o.roster)
	if first := c.events[0]; !first.lost { // else nobody vouches for the recipient
		if first.To != "" && first.To != o.Channel {
			return fmt.Errorf("tip %s: it is shown as one of channel %.40q, and the source sent it to %s: %w", o.Tip, o.Channel, first.To, ErrInvalid)
		}
		if hash([]byte(file.Reply)) != first.Reply {
			return fmt.Errorf("tip %s: the recipient for replies is not the source's: %w", o.Tip, ErrInvalid)
		}
		if o.reply, err = seal.ParseRecipient(file.Reply); err != nil {
			return fmt.Errorf("tip %s: recipient for replies: %w", o.Tip, err)
		}
	}
	for i, e := range c.events {
		o.Messages = append(o.Messages, o.message(e, file.Events[i].Sealed))
	}
	o.Faults = append(o.Faults, o.Case.Faults...)
	if !o.approver {
		o.checkDetails()
	}
	o.checkAwards()
	return nil
}

// notes are the events' notes, nil for one that is lost.
func (file *TipFile) notes() [][]byte {
	notes := make([][]byte, len(file.Events))
	for i, e := range file.Events {
		if e.Note != "" {
			notes[i] = []byte(e.Note)
		}
	}
	return notes
}

// message opens the sealed message of an event.
func (o *OpenedTip) message(e *Event, sealed []byte) Message {
	m := Message{Number: e.Number, Action: e.Action, From: e.From(), Day: e.Day, Event: e, Void: o.Case.void[e.Number]}
	if m.From == FromDesk {
		m.By = e.By
	}
	if o.approver && !toApprovers(e.Action) {
		return m // sealed to others
	}
	if e.lost || e.Sealed != "" && len(sealed) == 0 {
		m.Err = fmt.Errorf("message %d of tip %s is damaged or missing on the server: %w", e.Number, o.Tip, ErrInvalid)
		return m
	}
	if e.Sealed == "" {
		return m
	}
	doc, err := openDocument(e, sealed, o.identity)
	if o.approver && errors.Is(err, seal.ErrNotForYou) {
		return m // to other approvers
	}
	if err != nil {
		m.Err = err
		return m
	}
	m.Lang, m.Text, m.Detail = doc.Lang, doc.Text, doc.Detail
	if m.From == FromSource {
		m.Sequence = doc.Sequence
	}
	if len(doc.Desk) > 0 {
		detail, err := seal.OpenMessage(doc.Desk, o.identity)
		if err == nil {
			m.Detail = new(Detail)
			err = decodeStrict(detail, m.Detail)
		}
		if err != nil {
			m.Err = fmt.Errorf("message %d of tip %s, by %s: %w: %w", e.Number, o.Tip, e.By, ErrUnreadable, err)
		}
	}
	if e.Number == 1 {
		o.LeftOut = doc.LeftOut
	}
	for j, f := range doc.Files {
		m.Files = append(m.Files, Attachment{f, e.Files[j]})
	}
	return m
}

// Ahead returns the first entry that is dated over a day after today
// (2006-01-02), or nil: a clock was wrong, here, at the server or at a member's.
func (o *OpenedTip) Ahead(today string) *Event {
	limit := addDays(today, 1)
	for _, e := range o.chain.events {
		if !e.lost && e.Day > limit {
			return e
		}
	}
	return nil
}

// Open decrypts an attachment from its sealed bytes. See seal.OpenAttachment:
// only io.EOF from the reader says that the file was whole and the right one.
func (a *Attachment) Open(sealed io.Reader, key age.Identity) (io.Reader, error) {
	want := &seal.Attachment{Size: a.Size, Sealed: a.Sealed}
	if n, err := hex.Decode(want.SHA256[:], []byte(a.SHA256)); err != nil || n != len(want.SHA256) {
		return nil, fmt.Errorf("attachment %s: %w", a.Blob, ErrInvalid)
	}
	plain, err := seal.OpenAttachment(sealed, want, key)
	if errors.Is(err, seal.ErrNotForYou) { // the one that was signed is
		return nil, fmt.Errorf("opening an attachment: it is not the one that was signed: %w", ErrInvalid)
	}
	return plain, err
}

// Erase makes the event that erases the tip, as it was when it was opened: the
// server refuses it if there is news.
func (o *OpenedTip) Erase(key *roster.MemberKey, today string) (note []byte, err error) {
	note, _, err = o.Act(key, today, Act{Action: ActionErase})
	return note, err
}

// Reply makes the event and the sealed message of an answer to the source.
func (o *OpenedTip) Reply(key *roster.MemberKey, today, text string) (note, sealed []byte, err error) {
	return o.Act(key, today, Act{Action: ActionReply, Text: text})
}
