package tipbox

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
)

// A Proof says that a tip was there on a day. Its source can show it later, to
// be believed that it came before anything was found out. It is a signed note
// (C2SP signed-note) by the server's own key, which stands in the signed roster:
//
//	tipbox proof v1
//	{"organisation":"root+…","channel":"self-report","day":"2026-11-22",…}
//
//	— desk …
//
// What it proves: by the word of the server, that the tip of that id was there
// on Day; and from the day of the acknowledgement on by the word of a member as
// well, which the server cannot make up. The id is a hash of Key and Source, so
// the member's word binds the source's key too; and the first entry, if the
// acknowledgement follows directly on it. What it does not prove: what the tip
// says. Event and Sealed are hashes, with which those who can read the tip
// compare what they have. A server whose clock was wrong says what it believed.
//
// The server's key signs TLS handshakes and, of notes, these alone. A TLS
// signature begins with 64 spaces, so neither can be taken for the other.
type Proof struct {
	Organisation string `json:"organisation"` // the root's verifier key
	Channel      string `json:"channel"`
	Day          string `json:"day"`    // of receipt, 2006-01-02
	Made         string `json:"made"`   // the day of this proof
	Tip          string `json:"tip"`    // its id: seal.TipID of
	Key          string `json:"key"`    // the tip key's recipient, age1pq1…, and
	Source       string `json:"source"` // the source's verifier key
	Event        string `json:"event"`  // SHA-256 of the first entry's note, hex
	Sealed       string `json:"sealed"` // SHA-256 of its sealed message, hex

	// Acknowledgement is the note by which a member first acknowledged the tip,
	// took it on or declined it; "" if nobody has.
	Acknowledgement string `json:"acknowledgement,omitempty"`

	Server string `json:"-"` // the verifier key it is signed by
	Ack    *Event `json:"-"` // Acknowledgement, read
}

// Errors of reading a proof.
var (
	// ErrNotProof means that a file holds no proof, a part of one, or one of a
	// newer version.
	ErrNotProof = errors.New("not a proof")
	// ErrProofOrganisation means that a proof is of another organisation.
	ErrProofOrganisation = errors.New("of another organisation")
	// ErrProofServer means that the roster names no server of that key: the
	// proof is forged, or the roster of another time.
	ErrProofServer = errors.New("signed by no server of this roster")
	// ErrProofEdited means that a proof is not as that server signed it.
	ErrProofEdited = errors.New("not as it was signed")
	// ErrProofWitness means that the acknowledgement is by nobody who might, as
	// far as the roster tells.
	ErrProofWitness = errors.New("the acknowledgement does not verify")
)

const (
	proofName   = "tipbox proof v"
	proofHeader = proofName + "1\n"
	maxProof    = 16 << 10 // bytes of the note
)

// acknowledges reports whether the action is a member's word that the tip is there.
func acknowledges(a Action) bool {
	return a == ActionAck || a == ActionAccept || a == ActionDecline
}

// OffersProof reports whether the source of a tip to that channel can have a
// proof.
func (s *Service) OffersProof(channel string) bool {
	return s.cfg.SignProof != nil && slices.ContainsFunc(s.cfg.Channels, func(c Channel) bool { return c.ID == channel && c.Proof })
}

// Proof makes the proof of the tip that the code opens, and its note. ErrNoThread
// if it opens none, ErrNotFound if its channel offers none.
func (s *Service) Proof(ctx context.Context, code *receipt.Code) (p *Proof, note []byte, err error) {
	defer s.brief()()
	t, c, part, err := s.openBox(ctx, code.Locator())
	if err == nil && part != 0 {
		err = ErrNoThread // the tip is not theirs
	}
	if err != nil {
		return nil, nil, err
	}
	if part != 0 {
		return nil, nil, ErrNoThread // whoever has it sent no tip
	}
	if !s.OffersProof(t.Channel) {
		return nil, nil, fmt.Errorf("a proof in channel %s: %w", t.Channel, ErrNotFound)
	}
	first := c.events[0] // if it is lost, what is made of it is not valid
	p = &Proof{
		Organisation: s.cfg.Root, Channel: t.Channel, Day: first.Day, Made: s.Today(), Tip: c.tip,
		Key: t.Key, Source: t.Source, Event: c.hashes[0], Sealed: first.Sealed,
	}
	if err := s.addAck(ctx, p, c); err != nil {
		return nil, nil, err
	}
	if err := p.validate(); err != nil {
		return nil, nil, fmt.Errorf("tip %s: %w: %w", c.tip, store.ErrCorrupt, err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, nil, fmt.Errorf("proof: %w", err)
	}
	note, err = s.cfg.SignProof(proofHeader + string(text) + "\n")
	return p, note, err
}

// addAck adds the first note by which a member who might acknowledged the tip, if
// there is one.
func (s *Service) addAck(ctx context.Context, p *Proof, c *chain) error {
	kase := foldCase(c.events, p.Channel, s.Roster())
	for _, e := range c.events {
		if e.lost || !acknowledges(e.Action) || kase.void[e.Number] != "" {
			continue
		}
		rec, err := s.cfg.Store.Get(ctx, keyEvent(c.tip, e.Number))
		if errors.Is(err, store.ErrNotFound) {
			return ErrNoThread // erased meanwhile
		}
		if err != nil {
			return err
		}
		p.Ack, p.Acknowledgement = e, string(rec.Value)
		return nil
	}
	return nil
}

// OpenProof reads a file with a proof, whatever text stands above it, and checks
// it by the roster, which the root signed: the server's signature, the member's,
// and that the ids and hashes fit together.
func OpenProof(file []byte, r *roster.Roster, root string) (*Proof, error) {
	signed, p, err := parseProof(file)
	if err != nil {
		return nil, err
	}
	if p.Organisation != root {
		return nil, fmt.Errorf("it says that it is of %.80s: %w", p.Organisation, ErrProofOrganisation)
	}
	if err := p.checkServer(signed, r); err != nil {
		return nil, err
	}
	if err := p.validate(); err != nil {
		return nil, err
	}
	if p.Ack == nil {
		return p, nil
	}
	return p, p.checkAck(r)
}

// IsOf reports whether the code is the receipt of the tip: the key that it signs
// with is the source's.
func (p *Proof) IsOf(code *receipt.Code) bool {
	key, err := sourceKey(code)
	return err == nil && key.Verifier() == p.Source
}

// Follows reports whether the acknowledgement follows directly on the first
// entry, whose hash it then bears.
func (p *Proof) Follows() bool { return p.Ack != nil && p.Ack.Number == 2 }

// parseProof finds the note in a file and reads it, and the acknowledgement in it.
// Signatures are not checked.
func parseProof(file []byte) (signed string, p *Proof, err error) {
	text := "\n" + strings.TrimSpace(strings.ReplaceAll(strings.TrimPrefix(string(file), "\uFEFF"), "\r\n", "\n")) + "\n"
	at := strings.Index(text, "\n"+proofName)
	if at < 0 {
		return "", nil, fmt.Errorf("no line begins with %q: %w", strings.TrimSpace(proofHeader), ErrNotProof)
	}
	signed = text[at+1:]
	if len(signed) > maxProof {
		return "", nil, fmt.Errorf("%d bytes: %w", len(signed), ErrNotProof)
	}
	body, ok := strings.CutPrefix(signed, proofHeader)
	if !ok {
		return "", nil, fmt.Errorf("of a newer version: %w", ErrNotProof)
	}
	i := strings.LastIndex(body, noteSplit) // the last, as note.Open does
	if i < 0 {
		return "", nil, fmt.Errorf("its signature is missing: %w", ErrNotProof)
	}
	p = new(Proof)
	if err := decodeStrict([]byte(body[:i]), p); err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrNotProof, err)
	}
	if p.Acknowledgement != "" {
		if p.Ack, err = parseEvent([]byte(p.Acknowledgement)); err != nil {
			return "", nil, fmt.Errorf("its acknowledgement: %w: %w", ErrNotProof, err)
		}
	}
	return signed, p, nil
}

// checkServer checks that a server of the roster signed the note.
func (p *Proof) checkServer(signed string, r *roster.Roster) error {
	name, rest, _ := strings.Cut(signed[strings.LastIndex(signed, noteSplit)+len(noteSplit):], " ")
	sig, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	named := name + "+" + hex.EncodeToString(sig[:min(4, len(sig))]) + "+"
	err := fmt.Errorf("%w, which is number %d of %s", ErrProofServer, r.Serial, r.Day)
	for _, server := range r.Servers {
		if _, wrong := roster.Verify([]byte(signed), server); wrong == nil {
			p.Server = server
			return nil
		}
		if strings.HasPrefix(server, named) {
			err = ErrProofEdited
		}
	}
	return err
}

// checkAck checks that the acknowledgement was signed by a member who might give
// it on its day.
func (p *Proof) checkAck(r *roster.Roster) error {
	keys := keyring{channel: p.Channel, roster: r}
	if err := keys.verify(p.Ack, []byte(p.Acknowledgement)); err != nil {
		return fmt.Errorf("%w by the roster number %d of %s: %v", ErrProofWitness, r.Serial, r.Day, err)
	}
	if p.Ack.void != "" {
		return fmt.Errorf("%w by the roster number %d of %s: %s", ErrProofWitness, r.Serial, r.Day, p.Ack.void)
	}
	return nil
}

// validate checks that all that a proof says fits together. Of one that a server
// signed it fails only if the server lies.
func (p *Proof) validate() error {
	fail := func(what string) error { return fmt.Errorf("proof: %s: %w", what, ErrInvalid) }
	for _, day := range []string{p.Day, p.Made} {
		if _, err := time.Parse(time.DateOnly, day); err != nil || day >= lastDay {
			return fail("day")
		}
	}
	name, _, err := roster.VerifierPublic(p.Source)
	switch {
	case roster.CheckName(p.Channel) != nil:
		return fail("channel")
	case err != nil || name != SourceName:
		return fail("the source's key")
	case p.Tip != seal.TipID(p.Key, p.Source):
		return fail("the tip's id is not of its keys")
	case !hexHash.MatchString(p.Event) || !hexHash.MatchString(p.Sealed):
		return fail("hash")
	case p.Ack == nil:
		return nil
	case p.Ack.Tip != p.Tip:
		return fail("the acknowledgement is of another tip")
	case !acknowledges(p.Ack.Action):
		return fail("what is said to be the acknowledgement is another entry")
	case p.Follows() && p.Ack.Before != p.Event:
		return fail("the acknowledgement follows on another first entry")
	}
	return nil
}
