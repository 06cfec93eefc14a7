package roster

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
)

// A Card is the public half of a member key, as its owner signed it.
type Card struct {
	Name      string               // the member's name
	Recipient *age.HybridRecipient // seals to the member
	Verifier  string               // note verifier key of the member's signatures
	Text      string               // the signed note that says so
}

// Card makes the key's card, which takes both halves:
//
//	tipbox card v1
//	name: alice
//	age: age1pq1…
//	sign: alice+1a2b3c4d+…
//
//	— alice …
func (k *MemberKey) Card() (*Card, error) {
	read, err := k.Reader()
	if err != nil {
		return nil, fmt.Errorf("card: %w", err)
	}
	signed, err := k.Sign(cardText(k.name, read.Recipient().String(), k.Verifier()))
	if err != nil {
		return nil, fmt.Errorf("card: %w", err)
	}
	return ParseCard(string(signed))
}

const cardHeader = "tipbox card v1\n"

func cardText(name, recipient, verifier string) string {
	return cardHeader + "name: " + name + "\nage: " + recipient + "\nsign: " + verifier + "\n"
}

// ParseCard reads a card and checks it: well formed, a post-quantum recipient,
// signed by the very key it names, under the name it gives. Errors wrap
// ErrCard.
func ParseCard(text string) (*Card, error) {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n")) + "\n"
	card, err := parseCard(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCard, err)
	}
	return card, nil
}

func parseCard(text string) (*Card, error) {
	rest, ok := strings.CutPrefix(text, cardHeader)
	if !ok {
		return nil, errors.New("it does not begin with \"tipbox card v1\"")
	}
	var name, recipient, verifier string
	for _, field := range []struct {
		prefix string
		value  *string
	}{{"name: ", &name}, {"age: ", &recipient}, {"sign: ", &verifier}} {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		if *field.value, ok = strings.CutPrefix(line, field.prefix); !ok {
			return nil, fmt.Errorf("no line %q where it belongs", field.prefix)
		}
	}
	if err := CheckName(name); err != nil {
		return nil, err
	}
	to, err := age.ParseHybridRecipient(recipient)
	if err != nil {
		return nil, fmt.Errorf("%.12q is not a post-quantum age recipient (age1pq1…)", recipient)
	}
	signed, err := Verify([]byte(text), verifier)
	if err != nil {
		return nil, err
	}
	if signer, _, err := VerifierPublic(verifier); err != nil || signer != name {
		return nil, fmt.Errorf("the card says %q, its key says %q", name, signer)
	}
	if signed != cardText(name, recipient, verifier) {
		return nil, errors.New("it says more than a card says")
	}
	return &Card{Name: name, Recipient: to, Verifier: verifier, Text: text}, nil
}

// Public is the Ed25519 key that the member signs and connects with.
func (c *Card) Public() ed25519.PublicKey {
	_, key, err := VerifierPublic(c.Verifier)
	if err != nil {
		panic(err) // ParseCard has checked it
	}
	return key
}

// Fingerprint is for two people to compare over the telephone: 128 bits of
// SHA-256 of the card's signed lines, as eight groups of four hex digits.
func (c *Card) Fingerprint() string {
	return Fingerprint(cardText(c.Name, c.Recipient.String(), c.Verifier))
}

// Fingerprint is 128 bits of SHA-256 of a public text, as eight groups of four
// hex digits.
func Fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	h := hex.EncodeToString(sum[:16])
	groups := make([]string, 0, 8)
	for ; h != ""; h = h[4:] {
		groups = append(groups, h[:4])
	}
	return strings.Join(groups, " ")
}
