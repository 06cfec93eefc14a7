package tipbox

import (
	"encoding/hex"
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

	reply *seal.Recipient
	chain *chain
}

// A Message is one message of an opened tip.
type Message struct {
	Number int
	From   string // FromSource or FromDesk
	By     string // the member's name, if FromDesk
	Day    string
	Lang   string
	Text   string
	Files  []Attachment

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
// that the keyslot is this tip's, that every event is signed by the source or
// by who investigated the channel on its day and follows the one before, and
// that every message is the one that was signed.
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
	notes := make([][]byte, len(file.Events))
	for i, e := range file.Events {
		if e.Note != "" {
			notes[i] = []byte(e.Note)
		}
	}
	c, err := readChain(id, notes, file.Head, &keyring{source: slot.Source, channel: slot.Channel, roster: r})
	if err != nil {
		return nil, err
	}
	o := &OpenedTip{Tip: id, Channel: slot.Channel, Day: c.events[0].Day, Slot: slot, chain: c}
	if first := c.events[0]; !first.lost { // else nobody vouches for the recipient
		if hash([]byte(file.Reply)) != first.Reply {
			return nil, fmt.Errorf("tip %s: the recipient for replies is not the source's: %w", id, ErrInvalid)
		}
		if o.reply, err = seal.ParseRecipient(file.Reply); err != nil {
			return nil, fmt.Errorf("tip %s: recipient for replies: %w", id, err)
		}
	}
	for i, e := range c.events {
		m := Message{Number: e.Number, From: e.From(), Day: e.Day}
		if m.From == FromDesk {
			m.By = e.By
		}
		if e.lost || e.Sealed != "" && len(file.Events[i].Sealed) == 0 {
			m.Err = fmt.Errorf("message %d of tip %s is damaged or missing on the server: %w", e.Number, id, ErrInvalid)
			o.Messages = append(o.Messages, m)
			continue
		}
		doc, err := openDocument(e, file.Events[i].Sealed, slot.Key.Identity())
		if err != nil {
			m.Err = err
			o.Messages = append(o.Messages, m)
			continue
		}
		m.Lang, m.Text = doc.Lang, doc.Text
		for j, f := range doc.Files {
			m.Files = append(m.Files, Attachment{f, e.Files[j]})
		}
		o.Messages = append(o.Messages, m)
	}
	return o, nil
}

// Open decrypts an attachment from its sealed bytes. See seal.OpenAttachment:
// only io.EOF from the reader says that the file was whole and the right one.
func (a *Attachment) Open(sealed io.Reader, key age.Identity) (io.Reader, error) {
	want := &seal.Attachment{Size: a.Size, Sealed: a.Sealed}
	if n, err := hex.Decode(want.SHA256[:], []byte(a.SHA256)); err != nil || n != len(want.SHA256) {
		return nil, fmt.Errorf("attachment %s: %w", a.Blob, ErrInvalid)
	}
	return seal.OpenAttachment(sealed, want, key)
}

// Erase makes the event that erases the tip, as it was when it was opened: the
// server refuses it if there is news.
func (o *OpenedTip) Erase(key *roster.MemberKey, today string) (note []byte, err error) {
	e, err := o.chain.next(ActionErase, today)
	if err != nil {
		return nil, err
	}
	return e.sign(key.SigningKey)
}

// Reply makes the event and the sealed message of an answer to the source:
// readable by the tip's readers and by the source with the receipt code. It
// is signed by the member and dated today (2006-01-02), or as the last message
// if that is later.
func (o *OpenedTip) Reply(key *roster.MemberKey, today, text string) (note, sealed []byte, err error) {
	if o.reply == nil {
		return nil, nil, fmt.Errorf("tip %s: its first message, which says whom to answer, is lost: %w", o.Tip, ErrInvalid)
	}
	e, err := o.chain.next(ActionReply, today)
	if err != nil {
		return nil, nil, err
	}
	doc := document{Version: recordVersion, Tip: e.Tip, Number: e.Number, Text: text}
	sealed, err = seal.Message(encode(doc), o.Slot.Key.Recipient(), o.reply)
	if err != nil {
		return nil, nil, fmt.Errorf("reply: %w", err)
	}
	e.Sealed = hash(sealed)
	note, err = e.sign(key.SigningKey)
	return note, sealed, err
}
