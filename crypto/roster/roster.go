package roster

import (
	"bytes"
	"cmp"
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

	"golang.org/x/text/unicode/norm"

	"tipbox/crypto/voucher"
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
	Channels []string `json:"channels,omitempty"` // of an investigator or reviewer
	CardText string   `json:"card"`               // the signed card
	Since    string   `json:"since,omitempty"`    // the first day of the key, roles and channels, 2006-01-02; "": always
	Until    string   `json:"until,omitempty"`    // of a former member: the day it ended, 2006-01-02

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

// Reviews reports whether the member reviews the channel's cases. A reviewer
// without channels reviews all.
func (m *Member) Reviews(channel string) bool {
	return m.Has(Reviewer) && (len(m.Channels) == 0 || slices.Contains(m.Channels, channel))
}

// KnowsTooMuch reports whether a member who pays, and sees who is paid, learns of cases
// besides. Add enters nobody so.
func (m *Member) KnowsTooMuch() bool {
	return m.Has(Payer) && (m.Has(Investigator) || m.Has(Reviewer) || m.Has(Approver) || m.Has(Custodian))
}

// A Roster is the organisation's list of members. Its members are in the order
// of their names.
type Roster struct {
	Organisation string    `json:"organisation"`
	Serial       int       `json:"serial"`  // rises with every signature
	Day          string    `json:"day"`     // of the signature, 2006-01-02
	Servers      []string  `json:"servers"` // verifier keys of the desk's servers
	Members      []*Member `json:"members"`

	// Former members, and what members were before their roles changed. They
	// have no rights any more; their cards, roles and channels stay, so that
	// what they signed can be verified.
	Former []*Member `json:"former,omitempty"`

	Rules    []Rule   `json:"rules,omitempty"`    // of channels, by channel and day
	Holidays []string `json:"holidays,omitempty"` // days off besides weekends, 2006-01-02
	Workdays []string `json:"workdays,omitempty"` // Saturdays and Sundays that are worked

	Schedules []Schedule `json:"schedules,omitempty"` // of rewards, by day

	// Denominations are of the vouchers by which rewards are paid.
	Denominations []voucher.Denomination `json:"denominations,omitempty"`

	root string            // the verifier key of its signature
	sum  [sha256.Size]byte // of the signed text
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

// AtSigning is the day that a former member ends who is struck from a draft: the
// day after it is signed. So what the member signs until the servers have the new
// roster still counts.
const AtSigning = "9999-12-31"

// Sign signs the roster as it is with the root key. Members who were entered since
// the last signature begin on the day before the roster's, for time zones, and those
// whose end is AtSigning end on the day after it.
func (r *Roster) Sign(root *SigningKey) ([]byte, error) {
	for _, m := range slices.Concat(r.Members, r.Former) {
		if m.Since == AtSigning {
			m.Since = r.addDays(r.Day, -1, false)
		}
		if m.Until == AtSigning {
			m.Until = r.addDays(r.Day, 1, false)
		}
	}
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("signing the roster: %w", err)
	}
	if r.Serial < 1 {
		return nil, fmt.Errorf("signing the roster: serial %d: %w", r.Serial, ErrFormat)
	}
	return root.Sign(rosterHeader + string(r.Draft()))
}

// MaxReaders is the most members of a channel: every tip is sealed to each.
const MaxReaders = 256

// A Mark remembers which roster was seen last, so that an older one is
// noticed. The zero Mark has seen none.
type Mark struct {
	Root   string `json:"root"` // the verifier key it was signed with
	Serial int    `json:"serial"`
	SHA256 string `json:"sha256"` // hex, of the signed text
}

// Mark is the mark of a roster that Open returned.
func (r *Roster) Mark() Mark { return Mark{r.root, r.Serial, hex.EncodeToString(r.sum[:])} }

// Open reads a signed roster. It must be signed by the root key whose verifier
// key is given and must not be older than the mark of that key (ErrOlder).
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
	r.root, r.sum = rootVerifier, sha256.Sum256([]byte(text))
	if r.Serial < 1 {
		return nil, fmt.Errorf("roster: serial %d was never signed: %w", r.Serial, ErrOlder)
	}
	if last.Root != r.root {
		return r, nil // another root key counts anew; who names it answers for it
	}
	if r.Serial < last.Serial {
		return nil, fmt.Errorf("roster: serial %d after %d: %w", r.Serial, last.Serial, ErrOlder)
	}
	if r.Serial == last.Serial && r.Mark() != last {
		return nil, fmt.Errorf("roster: two different rosters of serial %d: %w", r.Serial, ErrOlder)
	}
	return r, nil
}

// Add enters a member, or enters them anew in place of the one of that name,
// who becomes a former member that ends on that day (2006-01-02), or AtSigning.
func (r *Roster) Add(m *Member, day string) error {
	card, err := ParseCard(m.CardText)
	if err != nil {
		return err
	}
	if m.KnowsTooMuch() {
		return fmt.Errorf("member %s is to pay, and to read tips or decide about awards: give that to another, who has a key of their own: %w", card.Name, ErrFormat)
	}
	changed := *r
	changed.Members, changed.Former = slices.Clone(r.Members), slices.Clone(r.Former)
	changed.Remove(card.Name, day)
	m.CardText, m.Card, m.Since, m.Until = card.Text, card, AtSigning, ""
	changed.Members = append(changed.Members, m)
	if err := changed.validate(); err != nil {
		return err
	}
	*r = changed
	return nil
}

// Remove makes the member of that name a former one as of that day
// (2006-01-02), or AtSigning, and reports whether there was one.
func (r *Roster) Remove(name, day string) bool {
	m := r.Member(name)
	if m == nil {
		return false
	}
	former := *m
	former.Until = day
	same := func(o *Member) bool {
		return o.CardText == m.CardText && slices.Equal(o.Roles, m.Roles) && slices.Equal(o.Channels, m.Channels) && o.Since == m.Since
	}
	r.Former = append(slices.DeleteFunc(slices.Clone(r.Former), same), &former)
	r.Members = slices.DeleteFunc(slices.Clone(r.Members), func(o *Member) bool { return o == m })
	return true
}

// On returns who may have gone by that name on that day (2006-01-02), as far as
// the roster tells: the member, and former ones, if they had begun and not ended.
func (r *Roster) On(day, name string) []*Member {
	return slices.DeleteFunc(slices.Concat(r.Members, r.Former), func(m *Member) bool {
		return m.Name() != name || !m.on(day)
	})
}

func (m *Member) on(day string) bool {
	return (m.Until == "" || m.Until >= day) && (m.Since == AtSigning || m.Since <= day)
}

// Ever returns who goes or went by that name, on whatever day.
func (r *Roster) Ever(name string) []*Member {
	return slices.DeleteFunc(slices.Concat(r.Members, r.Former), func(m *Member) bool { return m.Name() != name })
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

// With returns the members who have a role.
func (r *Roster) With(role Role) []*Member {
	return slices.DeleteFunc(slices.Clone(r.Members), func(m *Member) bool { return !m.Has(role) })
}

// WithSince returns who may have had a role, with that card, on all days from one to
// another (2006-01-02): see On. Who left meanwhile and came back is not among them, so
// that a roster that is signed later adds nobody.
func (r *Roster) WithSince(role Role, from, to string) []*Member {
	had := slices.DeleteFunc(slices.Concat(r.Members, r.Former), func(m *Member) bool { return !m.Has(role) })
	var since func(m *Member) bool
	since = func(m *Member) bool {
		return m.Since <= from || m.Since == AtSigning || slices.ContainsFunc(had, func(before *Member) bool {
			return before.CardText == m.CardText && before.Since < m.Since && m.Since < before.Until && since(before)
		})
	}
	return slices.DeleteFunc(slices.Clone(had), func(m *Member) bool { return !m.on(to) || !since(m) })
}

// Denomination returns the one of that ID, or nil.
func (r *Roster) Denomination(id string) *voucher.Denomination {
	for i := range r.Denominations {
		if r.Denominations[i].ID == id {
			return &r.Denominations[i]
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
	if err := errors.Join(r.validateRules(), r.validateSchedules(), voucher.Validate(r.Denominations)); err != nil {
		return err
	}
	var problems []error
	for _, s := range r.Servers {
		_, key, err := VerifierPublic(s)
		problems = append(problems, err)
		if err == nil {
			problems = append(problems, once("server", hex.EncodeToString(key)))
		}
	}
	cards, readers := make(map[string]bool), make(map[string]int)
	for i, m := range slices.Concat(r.Members, r.Former) {
		if m == nil {
			return fmt.Errorf("member %d is null: %w", i+1, ErrFormat)
		}
		card, err := ParseCard(m.CardText)
		if err != nil {
			return fmt.Errorf("member %d: %w", i+1, err)
		}
		m.Card = card
		problems = append(problems, m.validate())
		if !cards[card.Text] { // a former member may have come back, or changed roles
			cards[card.Text] = true
			problems = append(problems,
				once("recipient of "+card.Name, card.Recipient.String()),
				once("signing key of "+card.Name, hex.EncodeToString(card.Public())))
		}
		if former := i >= len(r.Members); former != (m.Until != "") {
			problems = append(problems, fmt.Errorf("member %s: a former member has a day it ended, and no other: %w", card.Name, ErrFormat))
		} else if !former {
			problems = append(problems, once("member", card.Name))
			for _, channel := range m.Channels {
				if readers[channel]++; readers[channel] == MaxReaders+1 {
					problems = append(problems, fmt.Errorf("channel %s has over %d members: %w", channel, MaxReaders, ErrFormat))
				}
			}
		}
	}
	slices.SortFunc(r.Members, func(a, b *Member) int { return strings.Compare(a.Name(), b.Name()) })
	slices.SortFunc(r.Former, func(a, b *Member) int {
		return cmp.Or(strings.Compare(a.Name(), b.Name()), strings.Compare(a.Until, b.Until), strings.Compare(a.CardText, b.CardText))
	})
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
	if (m.Has(Investigator) || m.Has(Reviewer) || m.Has(Approver)) && m.Has(Payer) {
		return fail("who reads tips or decides about awards never pays: no member is both investigator, reviewer or approver, and payer")
	}
	for i, c := range m.Channels {
		if err := CheckName(c); err != nil {
			return fail("channel %v", err)
		}
		if slices.Contains(m.Channels[:i], c) {
			return fail("channel %s twice", c)
		}
	}
	for _, day := range []string{m.Since, m.Until} {
		if _, err := time.Parse(time.DateOnly, day); day != "" && err != nil {
			return fail("day %.20q", day)
		}
	}
	if !printable(m.Title) || !printable(m.Unit) {
		return fail("title or unit is too long or holds control characters")
	}
	// A unit is left out by its text, so it must have one spelling.
	if strings.TrimSpace(m.Unit) != m.Unit || !norm.NFC.IsNormalString(m.Unit) {
		return fail("unit %q has spaces around it or is not in Unicode's normal form C", m.Unit)
	}
	return nil
}

// printable reports whether s is fit to be shown on one line.
func printable(s string) bool {
	return len(s) <= 200 && strings.IndexFunc(s, func(c rune) bool {
		return unicode.IsControl(c) || unicode.In(c, unicode.Zl, unicode.Zp) || c == unicode.ReplacementChar
	}) < 0
}
