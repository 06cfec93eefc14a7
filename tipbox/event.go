package tipbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
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
	ActionErase   Action = "erase"   // by an investigator: takes the tip away, and is kept in its place
)

// Who a message is from.
const (
	FromSource = "source"
	FromDesk   = "desk"
)

// An Event is one entry of a tip's append-only list. It is stored as a signed
// note whose text is "tipbox event v1" and the event as JSON; the signature is
// by the source's key or that of a part (named "source") or by a member's.
type Event struct {
	Tip    string      `json:"tip"`
	Number int         `json:"number"` // from 1
	Action Action      `json:"action"`
	Day    string      `json:"day"`              // 2006-01-02: see chain.latest
	Before string      `json:"before,omitempty"` // SHA-256 of the note before, hex
	Sealed string      `json:"sealed,omitempty"` // SHA-256 of the sealed message, hex; "" if it has none: see bare
	Files  []EventFile `json:"files,omitempty"`  // the message's attachments, in its order
	Reply  string      `json:"reply,omitempty"`  // ActionTip: the source's reply recipient, SHA-256 of its text, hex
	To     string      `json:"to,omitempty"`     // ActionTip: the channel; a tip of an earlier version has none
	Once   string      `json:"once,omitempty"`   // by the source: the same for the same form sent twice, hex

	Owner      string      `json:"owner,omitempty"`      // ActionAssign: a member's name
	Due        string      `json:"due,omitempty"`        // ActionAssign: the deadline, 2006-01-02
	Decides    bool        `json:"decides,omitempty"`    // ActionFinding: with this vote it is made
	Recuse     bool        `json:"recuse,omitempty"`     // ActionFinding: takes no part
	Award      int         `json:"award,omitempty"`      // of what is done to an award: its number
	Terms      *AwardTerms `json:"terms,omitempty"`      // ActionAward
	Claim      *ClaimTerms `json:"claim,omitempty"`      // ActionClaim
	Part       *PartTerms  `json:"part,omitempty"`       // ActionPart
	Signatures [][]byte    `json:"signatures,omitempty"` // ActionIssue: of its vouchers, blind

	Member string `json:"member,omitempty"` // ActionGrant: a member's name
	Slot   string `json:"slot,omitempty"`   // ActionGrant: SHA-256 of the keyslot file, hex

	// By is who signed, from the note: SourceName or a member's name.
	By string `json:"-"`

	// lost marks the place of an event that is damaged or missing: it has
	// nothing but Tip, Number and the Day of the event before.
	lost bool

	// void is why a signed event counts for nothing, as far as its key tells.
	void string
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
	switch e.Action {
	case ActionTip, ActionMessage, ActionAppeal, ActionClaim, ActionPart:
		return FromSource
	}
	return FromDesk
}

// bare reports whether events of the action have no sealed message.
func bare(a Action) bool {
	switch a {
	case ActionErase, ActionGrant, ActionClaim, ActionPart, ActionApprove, ActionIssue:
		return true
	}
	return false
}

// ToSource reports whether the source reads the message.
func (e *Event) ToSource() bool {
	step, ok := StepOf(e.Action)
	return ok && step.ToSource
}

// noteSplit stands between the text of a note and its signature.
const noteSplit = "\n\n— "

const eventHeader = "tipbox event v1\n"

// sign makes the event's note.
func (e *Event) sign(key *roster.SigningKey) ([]byte, error) {
	text, err := e.text()
	if err != nil {
		return nil, err
	}
	return key.Sign(text)
}

// text is what is signed of the event, in the one spelling that there is.
func (e *Event) text() (string, error) {
	var text bytes.Buffer
	text.WriteString(eventHeader)
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return "", fmt.Errorf("event: %w", err)
	}
	return text.String(), nil
}

// A keyring finds the verifier key that must have signed an event.
type keyring struct {
	source  string         // the source's verifier key
	channel string         // the tip's
	roster  *roster.Roster // the members'

	parts map[int]string // the keys of awards' parts that the chain has named, by their numbers
	lost  []int          // the numbers of its entries that are lost

	// checked says that signatures were checked before, as the server does before
	// it appends: what was signed is only looked at for whether it is void.
	checked bool
}

// verify checks the signature of an event's note: by the source's key, or by
// one that the member of that name has or had. If it is a key with which the
// member might not take the action on that day, as of one who had left, the
// event is not forged, but void.
func (k keyring) verify(e *Event, signed []byte) error {
	if e.From() == FromSource {
		return k.verifySource(e, signed)
	}
	err := fmt.Errorf("event %d: %.20q of %s by %.40q, who is no member: %w", e.Number, e.Action, e.Day, e.By, ErrInvalid)
	for _, m := range entitled(k.roster, e, k.channel) {
		if err = k.verifyBy(e, signed, m.Card.Verifier); err == nil {
			return nil
		}
	}
	for _, m := range k.roster.Ever(e.By) {
		if err = k.verifyBy(e, signed, m.Card.Verifier); err == nil {
			e.void = fmt.Sprintf("the key that signed it might not %s in channel %s on %s", e.Action, k.channel, e.Day)
			return nil
		}
	}
	return err
}

// mark notes whether an event is void by its key. It refuses nothing: a card lost
// from the roster shuts no source out. Where all keys of the name are one, and that
// might, there is nothing to tell.
func (k keyring) mark(e *Event, signed []byte) {
	if e.From() == FromSource {
		return
	}
	ever := k.roster.Ever(e.By)
	another := func(m *roster.Member) bool { return m.Card.Verifier != ever[0].Card.Verifier }
	if len(entitled(k.roster, e, k.channel)) == 0 || slices.ContainsFunc(ever, another) {
		k.verify(e, signed)
	}
}

func (k keyring) verifyBy(e *Event, signed []byte, verifier string) error {
	if _, err := roster.Verify(signed, verifier); err != nil {
		return fmt.Errorf("event %d: %w: %w", e.Number, ErrInvalid, err)
	}
	return nil
}

// entitled are those who went by the event's name on its day and might take its
// action.
func entitled(r *roster.Roster, e *Event, channel string) []*roster.Member {
	return slices.DeleteFunc(r.On(e.Day, e.By), func(m *roster.Member) bool { return !mayTake(m, channel, e.Action) })
}

// parseEvent reads an event and checks its form. The signature is not checked:
// see keyring.verify.
func parseEvent(signed []byte) (*Event, error) {
	text, signature := string(signed), ""
	if i := strings.LastIndex(text, noteSplit); i >= 0 { // the last, as note.Open does
		text, signature = text[:i+1], text[i+len(noteSplit):]
	}
	body, ok := strings.CutPrefix(text, eventHeader)
	if !ok {
		return nil, fmt.Errorf("not an event, or of a newer version: %w", ErrInvalid)
	}
	e := new(Event)
	if err := decodeStrict([]byte(body), e); err != nil {
		return nil, fmt.Errorf("event: %w: %w", ErrInvalid, err)
	}
	if spelled, err := e.text(); err != nil || spelled != text {
		return nil, fmt.Errorf("event %d: it is not spelled as events are: %w", e.Number, ErrInvalid) // nothing is hidden in it, nor made long
	}
	e.By, _, _ = strings.Cut(signature, " ")
	if err := e.validate(); err != nil {
		return nil, fmt.Errorf("event %d: %w", e.Number, err)
	}
	return e, nil
}

// lastDay is a day that no event has yet: a deadline may be years later, and must
// be a day too.
const lastDay = "9000-01-01"

var hexHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (e *Event) validate() error {
	fail := func(what string) error { return fmt.Errorf("%s: %w", what, ErrInvalid) }
	if _, ok := StepOf(e.Action); !ok && e.From() != FromSource {
		return fail("action")
	}
	if !ValidTipID(e.Tip) {
		return fail("tip id")
	}
	if _, err := time.Parse(time.DateOnly, e.Day); err != nil || e.Day >= lastDay {
		return fail("day")
	}
	if bare(e.Action) != (e.Sealed == "") {
		return fail("message")
	}
	if e.Sealed != "" && !hexHash.MatchString(e.Sealed) || e.Number > 1 && !hexHash.MatchString(e.Before) {
		return fail("hash")
	}
	if (e.Number == 1) != (e.Action == ActionTip) || (e.Number == 1) != (e.Before == "") || e.Number < 1 {
		return fail("number")
	}
	if (e.Action == ActionTip) != (e.Reply != "") || e.Reply != "" && !hexHash.MatchString(e.Reply) {
		return fail("reply recipient")
	}
	if e.To != "" && (e.Action != ActionTip || roster.CheckName(e.To) != nil) {
		return fail("channel")
	}
	if e.Once != "" && (e.From() != FromSource || len(e.Once) > sha256.Size*2) {
		return fail("once")
	}
	if err := errors.Join(e.validateCase(), e.validateAward()); err != nil {
		return err
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

// A chain is the list of a tip's events, each linked to the one before.
type chain struct {
	tip    string
	events []*Event
	hashes []string // SHA-256 of each note, hex; "" of a lost one
	head   string   // that of the last; "" if there is none, or it is lost and unknown

	days map[string]string // see latest
}

// readChain reads a tip's whole list: every number, every link, the order of
// days. With keys it checks every signature too; the server, which checked
// each before it appended it, does without, so that a card lost from the roster
// shuts no source out.
//
// A nil note is one that is lost. It hides no other: what follows is not tied
// to it any more, but is still signed with its tip and number. Head is what
// the hash of the last note is said to be, for the case that it is lost.
func readChain(tip string, notes [][]byte, head string, keys *keyring) (*chain, error) {
	c := &chain{tip: tip}
	for i, signed := range notes {
		if signed == nil {
			c.lose()
			if keys != nil {
				keys.lost = append(keys.lost, i+1)
			}
			continue
		}
		e, err := parseEvent(signed)
		switch {
		case err != nil || keys == nil:
		case keys.checked:
			keys.mark(e, signed)
		default:
			err = keys.verify(e, signed)
		}
		if err == nil {
			err = c.extend(e, signed)
		}
		if err != nil {
			return nil, fmt.Errorf("tip %s: entry %d: %w", tip, i+1, err)
		}
		if keys != nil {
			keys.learn(e)
		}
	}
	if len(c.events) == 0 {
		return nil, fmt.Errorf("tip %s has no events: %w", tip, ErrInvalid)
	}
	if c.last().lost && hexHash.MatchString(head) {
		c.head = head
	}
	return c, nil
}

// lose puts a mark in the place of a lost event.
func (c *chain) lose() {
	e := &Event{Tip: c.tip, Number: len(c.events) + 1, lost: true}
	if len(c.events) > 0 {
		e.Day = c.last().Day
	}
	c.events = append(c.events, e)
	c.hashes = append(c.hashes, "")
	c.head = ""
}

// extend checks that the event is the chain's next, and takes it in.
func (c *chain) extend(e *Event, signed []byte) error {
	switch {
	case e.Tip != c.tip:
		return fmt.Errorf("it belongs to tip %s: %w", e.Tip, ErrInvalid)
	case e.Number != len(c.events)+1:
		return fmt.Errorf("number %d where %d must be: %w", e.Number, len(c.events)+1, ErrInvalid)
	case e.Before != c.head && (c.head != "" || len(c.events) == 0):
		return fmt.Errorf("it does not follow the event before it: %w", ErrInvalid)
	case e.Day < c.latest(e.From()):
		return fmt.Errorf("its day %s is before the last, %s: %w", e.Day, c.latest(e.From()), ErrInvalid)
	}
	c.take(e, hash(signed))
	return nil
}

func (c *chain) take(e *Event, head string) {
	c.events = append(c.events, e)
	c.hashes = append(c.hashes, head)
	c.head = head
	if c.days == nil {
		c.days = make(map[string]string)
	}
	if e.void == "" {
		c.days[e.From()] = e.Day
	}
}

// has reports whether the source has sent a message with that once.
func (c *chain) has(once string) bool {
	return slices.ContainsFunc(c.events, func(e *Event) bool { return e.Once == once })
}

func (c *chain) last() *Event { return c.events[len(c.events)-1] }

// latest is the latest day of the events of FromSource or FromDesk, before which
// no further one can be. The source's are dated by the server's clock and the
// desk's by the members': neither may drag the other ahead.
func (c *chain) latest(from string) string { return c.days[from] }

// latestDay is the latest day of all events.
func (c *chain) latestDay() string { return max(c.latest(FromSource), c.latest(FromDesk)) }

// next is the event that would follow, on that day or that of the last event
// from there. If the last one is lost without a trace, none can.
func (c *chain) next(action Action, day string) (*Event, error) {
	e := &Event{Tip: c.tip, Number: 1, Action: action, Day: day}
	if len(c.events) > 0 {
		if c.head == "" {
			return nil, fmt.Errorf("tip %s: its last message is lost, so none can follow: %w", c.tip, store.ErrCorrupt)
		}
		e.Number, e.Before, e.Day = len(c.events)+1, c.head, max(day, c.latest(e.From()))
	}
	return e, nil
}

// hash is the SHA-256 of b, hex.
func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
