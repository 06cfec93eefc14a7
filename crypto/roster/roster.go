package roster

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
)

// A Role is what a member may do. DESIGN: people, roles and the roster.
type Role string

// The roles of members. (Sources and the operator are not members.)
const (
	Investigator Role = "investigator" // reads tips of its channels, replies, moves the case
	Reviewer     Role = "reviewer"     // confirms closures, re-verifies, votes on findings
	Approver     Role = "approver"     // signs awards
	Payer        Role = "payer"        // reads payout details, pays vouchers; never tips
	Publisher    Role = "publisher"    // publishes outcomes
	Custodian    Role = "custodian"    // opens a sealed identity on a reasoned request
)

// Roles are all roles, in the order in which they are shown.
func Roles() []Role {
	return []Role{Investigator, Reviewer, Approver, Payer, Publisher, Custodian}
}

// A Member is a card with what the organisation says of its owner.
type Member struct {
	Title    string   `json:"title,omitempty"`    // shown to sources who may leave the member out
	Unit     string   `json:"unit,omitempty"`     // likewise: the member's office
	Roles    []Role   `json:"roles"`              //
	Channels []string `json:"channels,omitempty"` // whose tips an investigator reads
	CardText string   `json:"card"`               // the signed card

	// Card is the parsed CardText. It is set in every roster that was
	// validated.
	Card *Card `json:"-"`
}

// Name is the member's name, from the card.
func (m *Member) Name() string { return m.Card.Name }

// Has reports whether the member has the role.
func (m *Member) Has(role Role) bool { return slices.Contains(m.Roles, role) }

// Investigates reports whether the member reads the channel's tips.
func (m *Member) Investigates(channel string) bool {
	return m.Has(Investigator) && slices.Contains(m.Channels, channel)
}

// A Roster is the organisation's list of members. Its members are in the order
// of their names.
type Roster struct {
	Organisation string    `json:"organisation"`
	Serial       int       `json:"serial"`  // rises with every signature
	Day          string    `json:"day"`     // of the signature, 2006-01-02
	Servers      []string  `json:"servers"` // verifier keys of the desk's servers
	Members      []*Member `json:"members"`

	sum [sha256.Size]byte // of the signed text
}

const rosterHeader = "tipbox roster v1\n"

// Parse reads an unsigned roster, a draft, and validates it.
func Parse(draft []byte) (*Roster, error) {
	r := new(Roster)
	dec := json.NewDecoder(bytes.NewReader(draft))
	dec.DisallowUnknownFields()
	if err := dec.Decode(r); err != nil {
		return nil, fmt.Errorf("roster: %w (or made by a newer version): %w", ErrFormat, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("roster: something stands behind its end: %w", ErrFormat)
	}
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("roster: %w", err)
	}
	return r, nil
}

// Draft is the unsigned text of the roster.
func (r *Roster) Draft() []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		panic(err) // strings and numbers only
	}
	return out.Bytes()
}

// Sign signs the roster as it is with the root key.
func (r *Roster) Sign(root *SigningKey) ([]byte, error) {
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("signing the roster: %w", err)
	}
	if r.Serial < 1 {
		return nil, fmt.Errorf("signing the roster: serial %d: %w", r.Serial, ErrFormat)
	}
	return root.Sign(rosterHeader + string(r.Draft()))
}

// A Mark remembers which roster was seen last, so that an older one is
// noticed. The zero Mark has seen none.
type Mark struct {
	Serial int    `json:"serial"`
	SHA256 string `json:"sha256"` // hex, of the signed text
}

// Mark is the mark of a roster that Open returned.
func (r *Roster) Mark() Mark { return Mark{r.Serial, hex.EncodeToString(r.sum[:])} }

// Open reads a signed roster. It must be signed by the root key whose verifier
// key is given and must not be older than the mark (ErrOlder).
func Open(signed []byte, rootVerifier string, last Mark) (*Roster, error) {
	text, err := Verify(signed, rootVerifier)
	if err != nil {
		return nil, fmt.Errorf("roster: %w", err)
	}
	draft, ok := strings.CutPrefix(text, rosterHeader)
	if !ok {
		return nil, fmt.Errorf("roster: it does not begin with %q: %w", strings.TrimSpace(rosterHeader), ErrFormat)
	}
	r, err := Parse([]byte(draft))
	if err != nil {
		return nil, err
	}
	r.sum = sha256.Sum256([]byte(text))
	if r.Serial < last.Serial {
		return nil, fmt.Errorf("roster: serial %d after %d: %w", r.Serial, last.Serial, ErrOlder)
	}
	if r.Serial == last.Serial && r.Mark() != last {
		return nil, fmt.Errorf("roster: two different rosters of serial %d: %w", r.Serial, ErrOlder)
	}
	return r, nil
}

// Add enters a member, or enters them anew in place of the one of that name.
func (r *Roster) Add(m *Member) error {
	card, err := ParseCard(m.CardText)
	if err != nil {
		return err
	}
	members := slices.DeleteFunc(slices.Clone(r.Members), func(o *Member) bool { return o.Name() == card.Name })
	changed := *r
	changed.Members = append(members, m)
	if err := changed.validate(); err != nil {
		return err
	}
	r.Members = changed.Members
	return nil
}

// Remove strikes the member of that name, and reports whether there was one.
func (r *Roster) Remove(name string) bool {
	n := len(r.Members)
	r.Members = slices.DeleteFunc(r.Members, func(m *Member) bool { return m.Name() == name })
	return len(r.Members) < n
}

// Member returns the member of that name, or nil.
func (r *Roster) Member(name string) *Member {
	for _, m := range r.Members {
		if m.Name() == name {
			return m
		}
	}
	return nil
}

// MemberByKey returns the member with that signing key, or nil.
func (r *Roster) MemberByKey(key ed25519.PublicKey) *Member {
	for _, m := range r.Members {
		if m.Card.Public().Equal(key) {
			return m
		}
	}
	return nil
}

// HasServer reports whether a desk server with that key is named.
func (r *Roster) HasServer(key ed25519.PublicKey) bool {
	for _, s := range r.Servers {
		if _, k, err := VerifierPublic(s); err == nil && k.Equal(key) {
			return true
		}
	}
	return false
}

// Investigators returns the members who read the channel's tips.
func (r *Roster) Investigators(channel string) []*Member {
	var found []*Member
	for _, m := range r.Members {
		if m.Investigates(channel) {
			found = append(found, m)
		}
	}
	return found
}

// validate parses the cards, sorts the members and checks every rule.
func (r *Roster) validate() error {
	if strings.TrimSpace(r.Organisation) == "" || !printable(r.Organisation) {
		return fmt.Errorf("organisation %.40q: %w", r.Organisation, ErrFormat)
	}
	if r.Serial < 0 {
		return fmt.Errorf("serial %d: %w", r.Serial, ErrFormat)
	}
	if _, err := time.Parse(time.DateOnly, r.Day); err != nil {
		return fmt.Errorf("day %.20q: %w", r.Day, ErrFormat)
	}
	seen := make(map[string]bool)
	once := func(what, value string) error {
		if seen[value] {
			return fmt.Errorf("%s %.40s: %w", what, value, ErrDuplicate)
		}
		seen[value] = true
		return nil
	}
	var problems []error
	for _, s := range r.Servers {
		_, key, err := VerifierPublic(s)
		problems = append(problems, err)
		if err == nil {
			problems = append(problems, once("server", hex.EncodeToString(key)))
		}
	}
	for i, m := range r.Members {
		if m == nil {
			return fmt.Errorf("member %d is null: %w", i+1, ErrFormat)
		}
		card, err := ParseCard(m.CardText)
		if err != nil {
			return fmt.Errorf("member %d: %w", i+1, err)
		}
		m.Card = card
		problems = append(problems, m.validate(),
			once("member", card.Name),
			once("recipient of "+card.Name, card.Recipient.String()),
			once("signing key of "+card.Name, hex.EncodeToString(card.Public())))
	}
	slices.SortFunc(r.Members, func(a, b *Member) int { return strings.Compare(a.Name(), b.Name()) })
	return errors.Join(problems...)
}

func (m *Member) validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("member %s: %s: %w", m.Name(), fmt.Sprintf(format, args...), ErrFormat)
	}
	if len(m.Roles) == 0 {
		return fail("no role")
	}
	for i, role := range m.Roles {
		if !slices.Contains(Roles(), role) {
			return fail("role %.40q is not one of %v", role, Roles())
		}
		if slices.Contains(m.Roles[:i], role) {
			return fail("role %s twice", role)
		}
	}
	if m.Has(Investigator) && m.Has(Payer) {
		return fail("who reads tips never pays: no member is both investigator and payer")
	}
	for i, c := range m.Channels {
		if err := CheckName(c); err != nil {
			return fail("channel %v", err)
		}
		if slices.Contains(m.Channels[:i], c) {
			return fail("channel %s twice", c)
		}
	}
	if !printable(m.Title) || !printable(m.Unit) {
		return fail("title or unit is too long or holds control characters")
	}
	return nil
}

// printable reports whether s is fit to be shown on one line.
func printable(s string) bool {
	return len(s) <= 200 && strings.IndexFunc(s, func(c rune) bool {
		return unicode.IsControl(c) || unicode.In(c, unicode.Zl, unicode.Zp) || c == unicode.ReplacementChar
	}) < 0
}
