package tipbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"tipbox/crypto/roster"
	"tipbox/store"
)

// An Action is what an event does.
type Action string

// The actions.
const (
	ActionTip     Action = "tip"     // by the source: the first message
	ActionMessage Action = "message" // by the source: a follow-up
	ActionReply   Action = "reply"   // by an investigator: an answer to the source
)

// Who a message is from.
const (
	FromSource = "source"
	FromDesk   = "desk"
)

// An Event is one entry of a tip's append-only list. It is stored as a signed
// note whose text is "tipbox event v1" and the event as JSON; the signature is
// by the source's key (named "source") or by a member's.
type Event struct {
	Tip    string      `json:"tip"`
	Number int         `json:"number"` // from 1
	Action Action      `json:"action"`
	Day    string      `json:"day"`              // 2006-01-02, never before the event before
	Before string      `json:"before,omitempty"` // SHA-256 of the note before, hex
	Sealed string      `json:"sealed"`           // SHA-256 of the sealed message, hex
	Files  []EventFile `json:"files,omitempty"`  // the message's attachments, in its order
	Reply  string      `json:"reply,omitempty"`  // ActionTip: the source's reply recipient, SHA-256 of its text, hex
	Once   string      `json:"once,omitempty"`   // by the source: the same for the same form sent twice, hex

	// By is who signed, from the note: SourceName or a member's name.
	By string `json:"-"`
}

// An EventFile names a sealed attachment.
type EventFile struct {
	Blob   string `json:"blob"`
	Sealed int64  `json:"sealed"` // bytes of the age file
	SHA256 string `json:"sha256"` // of the age file, hex
}

// SourceName is the name that sources' keys sign under.
const SourceName = "source"

// From is FromSource or FromDesk.
func (e *Event) From() string {
	if e.Action == ActionReply {
		return FromDesk
	}
	return FromSource
}

const eventHeader = "tipbox event v1\n"

// sign makes the event's note.
func (e *Event) sign(key *roster.SigningKey) ([]byte, error) {
	var text bytes.Buffer
	text.WriteString(eventHeader)
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	return key.Sign(text.String())
}

// A keyring finds the verifier key that must have signed an event.
type keyring struct {
	source string         // the source's verifier key
	roster *roster.Roster // the members'
}

// verifiers returns the keys that may have signed a note by that name for that
// action: the source's, or those that a member has or had.
func (k keyring) verifiers(by string, action Action) []string {
	switch action {
	case ActionTip, ActionMessage:
		if by == SourceName {
			return []string{k.source}
		}
	case ActionReply:
		return k.roster.Verifiers(by)
	}
	return nil
}

// verify checks the signature of a note by that name for that action.
func (k keyring) verify(signed []byte, by string, action Action) (text string, err error) {
	err = fmt.Errorf("%.20q by %.40q, who is not in the roster or may not: %w", action, by, ErrInvalid)
	for _, verifier := range k.verifiers(by, action) {
		if text, err = roster.Verify(signed, verifier); err == nil {
			return text, nil
		}
		err = fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return "", err
}

// signedBy reads the name on a note's only signature line, unverified.
func signedBy(signed []byte) string {
	_, sig, _ := strings.Cut(string(signed), "\n\n— ")
	by, _, _ := strings.Cut(sig, " ")
	return by
}

// parseEvent reads and verifies one event on its own.
func parseEvent(signed []byte, keys keyring) (*Event, error) {
	by := signedBy(signed)
	text, _, _ := strings.Cut(string(signed), "\n\n— ")
	body, ok := strings.CutPrefix(text+"\n", eventHeader)
	if !ok {
		return nil, fmt.Errorf("not an event, or of a newer version: %w", ErrInvalid)
	}
	e := &Event{By: by}
	if err := decodeStrict([]byte(body), e); err != nil {
		return nil, fmt.Errorf("event: %w: %w", ErrInvalid, err)
	}
	verified, err := keys.verify(signed, by, e.Action)
	if err != nil {
		return nil, fmt.Errorf("event %d: %w", e.Number, err)
	}
	if verified != text+"\n" {
		return nil, fmt.Errorf("event %d: %w", e.Number, ErrInvalid)
	}
	if err := e.validate(); err != nil {
		return nil, fmt.Errorf("event %d: %w", e.Number, err)
	}
	return e, nil
}

var hexHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (e *Event) validate() error {
	fail := func(what string) error { return fmt.Errorf("%s: %w", what, ErrInvalid) }
	if !ValidTipID(e.Tip) {
		return fail("tip id")
	}
	if _, err := time.Parse(time.DateOnly, e.Day); err != nil {
		return fail("day")
	}
	if !hexHash.MatchString(e.Sealed) || e.Number > 1 && !hexHash.MatchString(e.Before) {
		return fail("hash")
	}
	if (e.Number == 1) != (e.Action == ActionTip) || (e.Number == 1) != (e.Before == "") || e.Number < 1 {
		return fail("number")
	}
	if (e.Action == ActionTip) != (e.Reply != "") || e.Reply != "" && !hexHash.MatchString(e.Reply) {
		return fail("reply recipient")
	}
	if len(e.Files) > MaxFiles {
		return fail("number of files")
	}
	for _, f := range e.Files {
		if store.ValidateBlobName(f.Blob) != nil || !strings.HasPrefix(f.Blob, e.Tip) || f.Sealed <= 0 || !hexHash.MatchString(f.SHA256) {
			return fail("file")
		}
	}
	return nil
}

// A chain is the verified list of a tip's events.
type chain struct {
	tip    string
	keys   keyring
	events []*Event
	head   string // SHA-256 of the last note, hex
}

// verifyChain checks a tip's whole list: every signature, every number, every
// link, days that never go back, and the reply recipient.
func verifyChain(tip string, notes [][]byte, keys keyring) (*chain, error) {
	c := &chain{tip: tip, keys: keys}
	for i, signed := range notes {
		if err := c.extend(signed); err != nil {
			return nil, fmt.Errorf("tip %s: entry %d: %w", tip, i+1, err)
		}
	}
	if len(c.events) == 0 {
		return nil, fmt.Errorf("tip %s has no events: %w", tip, ErrInvalid)
	}
	return c, nil
}

// extend verifies that the note is the chain's next, and takes it in.
func (c *chain) extend(signed []byte) error {
	e, err := parseEvent(signed, c.keys)
	if err != nil {
		return err
	}
	switch {
	case e.Tip != c.tip:
		return fmt.Errorf("it belongs to tip %s: %w", e.Tip, ErrInvalid)
	case e.Number != len(c.events)+1:
		return fmt.Errorf("number %d where %d must be: %w", e.Number, len(c.events)+1, ErrInvalid)
	case e.Before != c.head:
		return fmt.Errorf("it does not follow the event before it: %w", ErrInvalid)
	case len(c.events) > 0 && e.Day < c.last().Day:
		return fmt.Errorf("its day %s is before the last, %s: %w", e.Day, c.last().Day, ErrInvalid)
	}
	c.events = append(c.events, e)
	c.head = hash(signed)
	return nil
}

func (c *chain) last() *Event { return c.events[len(c.events)-1] }

// next is the event that would follow, on that day or the last event's.
func (c *chain) next(action Action, day string) *Event {
	e := &Event{Tip: c.tip, Number: 1, Action: action, Day: day}
	if len(c.events) > 0 {
		e.Number, e.Before, e.Day = len(c.events)+1, c.head, max(day, c.last().Day)
	}
	return e
}

// hash is the SHA-256 of b, hex.
func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
