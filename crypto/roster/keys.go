// Package roster says who is who: members' keys, their public cards, and the
// organisation's signed list of them.
//
// What it guarantees:
//
//   - A [Roster] that Open returned was signed by the organisation's root key,
//     is not older than the last one seen, and names each member, each age
//     recipient and each signing key once.
//   - Every card in it was signed by the member's own signing key, so nobody
//     can be entered with somebody else's key, and every recipient is a hybrid
//     post-quantum one.
//   - Secrets print as a fixed word.
//
// Signatures are signed notes (C2SP signed-note, golang.org/x/mod/sumdb/note)
// by Ed25519 keys. A member's key file is an age identity file with the
// signing key in a comment line, so the stock age program takes it as it is.
// For an air gap it can be split in two files, of which one signs and the other
// reads; and either half can be where only its use is to be had, as in an agent.
package roster

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"unicode/utf8"

	"filippo.io/age"
	"filippo.io/age/armor"
	"golang.org/x/mod/sumdb/note"
)

// Errors of reading keys, cards and rosters, wrapped with detail.
var (
	// ErrSignature means that a signature is missing or not by the key it
	// must be by.
	ErrSignature = errors.New("not signed by the right key")
	// ErrOlder means that a roster is older than one seen before, or another
	// of the same serial number.
	ErrOlder = errors.New("older than the roster seen before")
	// ErrDuplicate means that a member, recipient or signing key is there
	// twice.
	ErrDuplicate = errors.New("there twice")
	// ErrCard means that a card is not what it says.
	ErrCard = errors.New("not a valid card")
	// ErrFormat means that a file is not of the kind expected, or made by a
	// newer version.
	ErrFormat = errors.New("not in the expected format")
	// ErrName means that a name is not a valid one: see CheckName.
	ErrName = errors.New("not a valid name")
	// ErrPassphrase means that the passphrase does not open the file.
	ErrPassphrase = errors.New("wrong passphrase")
	// ErrCannotRead means that a member key lacks the half that reads.
	ErrCannotRead = errors.New("this key has not the half that reads")
	// ErrCannotSign means that a key lacks the half that signs.
	ErrCannotSign = errors.New("this key has not the half that signs")
)

// CheckName reports whether name can name a member, channel or key: 1 to 32
// lower-case letters, digits and single inner hyphens.
func CheckName(name string) error {
	ok := len(name) >= 1 && len(name) <= 32 && !strings.Contains("-"+name+"-", "--")
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if !ok {
		return fmt.Errorf("%.40q: %w: use 1 to 32 of a-z, 0-9 and inner hyphens", name, ErrName)
	}
	return nil
}

// A SigningKey is a named Ed25519 key that signs notes, or of which only the
// name is here: see MemberKey. It prints as a fixed word.
type SigningKey struct {
	name string
	// In a function, which fmt cannot look into. It does look behind a pointer
	// in an unexported field, where String is not asked: for one, with %s. It
	// is nil if the key cannot sign.
	signer func() crypto.Signer
}

// NewSigningKey makes a random key.
func NewSigningKey(name string) (*SigningKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	return SigningKeyFrom(name, ed25519.NewKeyFromSeed(seed))
}

// SigningKeyFrom names a key that is there already: an ed25519.PrivateKey, or
// another signer of that kind, such as one in an agent.
func SigningKeyFrom(name string, signer crypto.Signer) (*SigningKey, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if private, here := signer.(ed25519.PrivateKey); here && len(private) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("signing key: %w", ErrFormat)
	}
	if public, ok := signer.Public().(ed25519.PublicKey); !ok || len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("signing key: %w", ErrFormat)
	}
	return &SigningKey{name, func() crypto.Signer { return signer }}, nil
}

// ParseSigningKey reads what Reveal writes.
func ParseSigningKey(text string) (*SigningKey, error) {
	// note.NewSigner checks everything, but keeps the key to itself.
	signer, err := note.NewSigner(text)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", ErrFormat)
	}
	// PRIVATE+KEY+name+hash+base64, and the base64 may hold a '+' of its own.
	key, err := base64.StdEncoding.DecodeString(strings.SplitN(text, "+", 5)[4])
	if err != nil || len(key) != 1+ed25519.SeedSize {
		return nil, fmt.Errorf("signing key: %w", ErrFormat)
	}
	return SigningKeyFrom(signer.Name(), ed25519.NewKeyFromSeed(key[1:]))
}

// Name is the name that the key signs under.
func (k *SigningKey) Name() string { return k.name }

// Signer is the key itself, for TLS and for notes, or ErrCannotSign.
func (k *SigningKey) Signer() (crypto.Signer, error) {
	if k.signer == nil {
		return nil, ErrCannotSign
	}
	return k.signer(), nil
}

// Public is the public half, or nil if the key cannot sign.
func (k *SigningKey) Public() ed25519.PublicKey {
	if k.signer == nil {
		return nil
	}
	return k.signer().Public().(ed25519.PublicKey)
}

// Verifier is the public half as a note verifier key, "name+hash+base64", or ""
// if the key cannot sign.
func (k *SigningKey) Verifier() string {
	if k.signer == nil {
		return ""
	}
	v, err := note.NewEd25519VerifierKey(k.name, k.Public())
	if err != nil {
		panic(err) // only for a key of another length
	}
	return v
}

// Reveal is the secret as a note signer key, "PRIVATE+KEY+name+hash+base64". It
// is "" if the secret is not here, but in an agent or nowhere.
func (k *SigningKey) Reveal() string {
	if k.signer == nil {
		return ""
	}
	private, here := k.signer().(ed25519.PrivateKey)
	if !here {
		return ""
	}
	hash := strings.SplitN(k.Verifier(), "+", 3)[1]
	const algEd25519 = 1
	key := append([]byte{algEd25519}, private.Seed()...)
	return "PRIVATE+KEY+" + k.name + "+" + hash + "+" + base64.StdEncoding.EncodeToString(key)
}

// Sign signs the text and returns the note. The text must end in a newline,
// and be UTF-8 without other control characters. ErrCannotSign if the key lacks
// that half; else it fails only where the key is held elsewhere.
func (k *SigningKey) Sign(text string) ([]byte, error) {
	signer, err := k.Signer()
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	// note.Sign signs texts that note.Open refuses.
	control := func(r rune) bool { return r < ' ' && r != '\n' }
	if !utf8.ValidString(text) || strings.ContainsFunc(text, control) {
		return nil, fmt.Errorf("signing: what cannot stand in a note: %w", ErrFormat)
	}
	v, err := note.NewVerifier(k.Verifier())
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	signed, err := note.Sign(&note.Note{Text: text}, noteSigner{v, signer})
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return signed, nil
}

// A noteSigner is a note.Signer. The one of note.NewSigner makes the key anew
// from its text, which takes as long as signing.
type noteSigner struct {
	note.Verifier
	signer crypto.Signer
}

func (s noteSigner) Sign(msg []byte) ([]byte, error) {
	return s.signer.Sign(rand.Reader, msg, crypto.Hash(0)) // RFC 8032: the message itself is signed
}

const hidden = "[signing key]"

func (*SigningKey) String() string               { return hidden }
func (*SigningKey) GoString() string             { return hidden }
func (*SigningKey) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (*SigningKey) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Verify checks that the note is signed by the verifier, once, and by nobody
// else, and returns its text. A text and a signature make one note only: what
// was verified cannot be written in other bytes.
func Verify(signed []byte, verifier string) (string, error) {
	v, err := note.NewVerifier(verifier)
	if err != nil {
		return "", badVerifier(verifier)
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return "", fmt.Errorf("by %s: %w", v.Name(), ErrSignature)
	}
	// note.Open passes over a second signature by the same key, and over the
	// spare bits of base64.
	sig := n.Sigs[0]
	if string(signed) != n.Text+"\n— "+sig.Name+" "+sig.Base64+"\n" {
		return "", fmt.Errorf("more than one signature: %w", ErrFormat)
	}
	if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
		return "", fmt.Errorf("by %s: %w", v.Name(), ErrSignature)
	}
	return n.Text, nil
}

// badVerifier shows no more than the beginning: it may be a signing key in the
// wrong place.
func badVerifier(verifier string) error {
	return fmt.Errorf("verifier key %.12q: %w", verifier, ErrFormat)
}

// VerifierPublic returns the Ed25519 public key and the name in a verifier key.
// A key and a name make one verifier key only: other spellings are refused.
func VerifierPublic(verifier string) (name string, key ed25519.PublicKey, err error) {
	v, err := note.NewVerifier(verifier)
	if err != nil {
		return "", nil, badVerifier(verifier)
	}
	// name+hash+base64, and the base64 may hold a '+' of its own.
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(verifier, "+", 3)[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return "", nil, badVerifier(verifier)
	}
	key = ed25519.PublicKey(raw[1:])
	if same, err := note.NewEd25519VerifierKey(v.Name(), key); err != nil || same != verifier {
		return "", nil, badVerifier(verifier)
	}
	return v.Name(), key, nil
}

// A MemberKey is a member's two secrets: one opens what is sealed to the
// member, the other signs what the member decides. For an air gap they are apart
// and a MemberKey lacks one half; what takes that half then fails with
// ErrCannotRead or ErrCannotSign. It prints as a fixed word.
type MemberKey struct {
	*SigningKey
	reader func() Reader // nil if the key cannot read
}

// A Reader opens what is sealed to its Recipient: an *age.HybridIdentity, or
// whatever asks the one who holds it.
type Reader interface {
	age.Identity
	Recipient() *age.HybridRecipient
}

// NewMemberKey makes a random member key.
func NewMemberKey(name string) (*MemberKey, error) {
	sign, err := NewSigningKey(name)
	if err != nil {
		return nil, err
	}
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, fmt.Errorf("making a member key: %w", err)
	}
	return &MemberKey{sign, func() Reader { return id }}, nil
}

// MemberKeyFrom makes a member key of what holds its halves, of which one may be
// nil.
func MemberKeyFrom(name string, sign crypto.Signer, read Reader) (*MemberKey, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	k := &MemberKey{SigningKey: &SigningKey{name: name}}
	if sign == nil && read == nil {
		return nil, fmt.Errorf("member key: both halves are missing: %w", ErrFormat)
	}
	if sign != nil {
		var err error
		if k.SigningKey, err = SigningKeyFrom(name, sign); err != nil {
			return nil, err
		}
	}
	if read != nil {
		k.reader = func() Reader { return read }
	}
	return k, nil
}

// Reader opens what is sealed to the member, or is ErrCannotRead.
func (k *MemberKey) Reader() (Reader, error) {
	if k.reader == nil {
		return nil, ErrCannotRead
	}
	return k.reader(), nil
}

// Identity is the Reader for the age library. That of a key which lacks the half
// opens nothing, and fails with ErrCannotRead.
func (k *MemberKey) Identity() age.Identity {
	if k.reader == nil {
		return noIdentity{}
	}
	return k.reader()
}

type noIdentity struct{}

func (noIdentity) Unwrap([]*age.Stanza) ([]byte, error) { return nil, ErrCannotRead }

// Split returns the two halves of a key, as keys of their own.
func (k *MemberKey) Split() (sign, read *MemberKey) {
	return &MemberKey{SigningKey: k.SigningKey}, &MemberKey{&SigningKey{name: k.name}, k.reader}
}

const memberHeader = "# tipbox member key v1"

// Reveal is the text of the member's key file: an age identity file. Of a half
// that is missing or held elsewhere the line is left out.
func (k *MemberKey) Reveal() string {
	sign := k.SigningKey.Reveal()
	var read string
	if k.reader != nil {
		if id, here := k.reader().(*age.HybridIdentity); here {
			read = id.String()
		}
	}
	text := memberHeader + "\n"
	switch {
	case read == "":
		text += "# It signs in the name below, and opens nothing. Show it to nobody.\n"
	case sign == "":
		text += "# It opens tips, and signs nothing. Show it to nobody.\n"
	default:
		text += "# It opens tips and signs in the name below. Show it to nobody.\n"
	}
	text += "# name: " + k.name + "\n"
	if sign != "" {
		text += "# sign: " + sign + "\n"
	}
	if read != "" {
		text += read + "\n"
	}
	return text
}

// ParseMemberKey reads the text of a key file that is not locked. Comments may
// have been added to it; a second name or key may not. One of its halves may be
// missing.
func ParseMemberKey(text string) (*MemberKey, error) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if !strings.HasPrefix(text, memberHeader+"\n") {
		return nil, fmt.Errorf("member key: %w", ErrFormat)
	}
	var names, signs, ids []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if v, ok := strings.CutPrefix(line, "# name: "); ok {
			names = append(names, v)
		}
		if v, ok := strings.CutPrefix(line, "# sign: "); ok {
			signs = append(signs, v)
		}
		if strings.HasPrefix(line, "AGE-SECRET-KEY-") {
			ids = append(ids, line)
		}
	}
	if len(names) != 1 || len(signs) > 1 || len(ids) > 1 || len(signs)+len(ids) == 0 {
		return nil, fmt.Errorf("member key: a part is missing or there twice: %w", ErrFormat)
	}
	if err := CheckName(names[0]); err != nil {
		return nil, fmt.Errorf("member key: its name: %w", ErrFormat)
	}
	key := &MemberKey{SigningKey: &SigningKey{name: names[0]}}
	if len(signs) == 1 {
		sign, err := ParseSigningKey(signs[0])
		if err != nil {
			return nil, fmt.Errorf("member key: %w", err)
		}
		if sign.name != names[0] {
			return nil, fmt.Errorf("member key: its signing key is of another name: %w", ErrFormat)
		}
		key.SigningKey = sign
	}
	if len(ids) == 1 {
		id, err := age.ParseHybridIdentity(ids[0])
		if err != nil {
			return nil, fmt.Errorf("member key: age identity: %w", ErrFormat)
		}
		key.reader = func() Reader { return id }
	}
	return key, nil
}

// Lock protects a key file with a passphrase: an armored age file (scrypt),
// which the stock age program takes as an identity file too.
func Lock(text, passphrase string) ([]byte, error) {
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("locking a key file: %w", err)
	}
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, r)
	if err != nil {
		return nil, fmt.Errorf("locking a key file: %w", err)
	}
	io.WriteString(w, text)
	if err := errors.Join(w.Close(), a.Close()); err != nil {
		return nil, fmt.Errorf("locking a key file: %w", err)
	}
	return out.Bytes(), nil
}

// maxKeyFile bounds what is read of a key file, bytes.
const maxKeyFile = 64 << 10

// Unlock returns the text of a key file. It calls ask for the passphrase only
// if the file is locked; ErrPassphrase if that does not open it.
func Unlock(file []byte, ask func() (string, error)) (string, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(file), []byte(armor.Header)) {
		return string(file), nil
	}
	passphrase, err := ask()
	if err != nil {
		return "", fmt.Errorf("asking for the passphrase: %w", err)
	}
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return "", fmt.Errorf("unlocking: %w", ErrPassphrase)
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(file)), id)
	var noMatch *age.NoIdentityMatchError
	if errors.As(err, &noMatch) && slices.Contains(noMatch.StanzaTypes, "scrypt") {
		return "", ErrPassphrase
	}
	if err != nil {
		return "", fmt.Errorf("unlocking: %w", ErrFormat)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxKeyFile+1))
	if err != nil || len(text) > maxKeyFile {
		return "", fmt.Errorf("unlocking: %w", ErrFormat)
	}
	return string(text), nil
}
