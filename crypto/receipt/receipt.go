// Package receipt makes, reads and hides receipt codes, and derives from a
// code everything that a source needs to come back to a thread.
//
// A receipt code is 128 random bits, the entropy of a 12-word BIP-39 mnemonic.
// Nothing else is needed to open a thread, and nothing else opens it.
//
// # Guarantees
//
// A code never prints itself: whatever formats, logs or marshals a [Code] gets
// a fixed text, and only [Code.Bytes], [Code.Words] and [Code.Digits], called
// by name, give it away. Every form that they give, in every language, is read
// back by [Parse] as the same code. Parse never panics, and its work is bounded
// whatever the input. Loading the package costs nothing: a word list is
// indexed when first looked into.
//
// # Forms
//
// The checksum of a code is the first 4 bits of the SHA-256 of its 16 bytes.
// Code and checksum, 132 bits with the most significant first, are cut into 12
// numbers of 11 bits, 0 to 2047. In words, each number is the word at that place
// (counted from 0) of one of the ten lists of BIP-39; in digits it is written
// as four decimal digits. Words are given in Unicode form NFC, which is what
// fonts draw well; BIP-39 keeps its lists in NFKD. A code is not a wallet: the
// 512-bit seed of BIP-39 is not used.
//
// # Derivations
//
// Every key is HKDF-SHA256 (RFC 5869) with the 16 bytes of the code as input
// keying material, no salt (which RFC 5869 defines as 32 zero bytes), and an
// ASCII info:
//
//	locator  = HKDF(code, info "locator", 32 bytes)
//	reply    = HKDF(code, info "reply", 32 bytes)
//	sign     = HKDF(code, info "sign", 32 bytes)
//
// The locator names the mailbox. The reply bytes are the secret key of an age
// MLKEM768-X25519 identity: in Bech32 (BIP-173) with the prefix
// "AGE-SECRET-KEY-PQ-", upper case, they are the identity as age spells it. The
// sign bytes are the seed (the private key of RFC 8032) of an Ed25519 key.
//
// A code has further codes, each for a part of an award, named by the award's
// number and the part's, both from 1 and in decimal. Each is a code like any
// other, and from it nobody gets back to the first:
//
//	part     = HKDF(code, info "part AWARD PART", 16 bytes)
//
// testdata/vectors.json holds vectors for other implementations.
package receipt

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/btcsuite/btcd/btcutil/bech32"
	"golang.org/x/text/unicode/norm"
)

const (
	size    = 16 // bytes of a code
	count   = 12 // words or groups of digits that spell it
	bits    = 11 // bits of a word
	listLen = 1 << bits

	infoLocator = "locator"
	infoReply   = "reply"
	infoSign    = "sign"
	infoPart    = "part " // begins those of parts

	hidden = "[receipt code]"
)

// A Code is a receipt code. It is used as *Code; the zero Code is not one, and
// its methods panic. A Code does not change, so it may be used by several
// goroutines at once.
type Code struct {
	// fmt and slog skip the methods of a value that they find in an unexported
	// field, and show what it holds. Of a pointer to a string that is always
	// the address; of one to an array it can be the bytes (under %s).
	secret *string // of 16 bytes
}

var (
	_ fmt.Formatter          = Code{}
	_ fmt.Stringer           = Code{}
	_ fmt.GoStringer         = Code{}
	_ slog.LogValuer         = Code{}
	_ json.Marshaler         = Code{}
	_ encoding.TextMarshaler = Code{}
)

// New returns a new random code.
func New() *Code {
	var b [size]byte
	rand.Read(b[:]) // never fails
	return fromArray(b)
}

// FromBytes returns the code whose 16 bytes are b.
func FromBytes(b []byte) (*Code, error) {
	if len(b) != size {
		return nil, fmt.Errorf("a receipt code is %d bytes, not %d", size, len(b))
	}
	return fromArray([size]byte(b)), nil
}

func fromArray(b [size]byte) *Code {
	s := string(b[:])
	return &Code{&s}
}

// Bytes returns a copy of the 16 bytes of the code.
func (c *Code) Bytes() []byte {
	return []byte(*c.secret)
}

// Words returns the code as 12 words of the language that lang, a BCP 47 tag,
// names: Chinese (in the script that the tag or its region implies), Czech,
// English, French, Italian, Japanese, Korean, Portuguese or Spanish, and
// English for any other. The words are separated by a space, the Japanese ones
// by an ideographic space as BIP-39 has it.
func (c *Code) Words(lang string) string {
	l := listFor(lang)
	words := l.words()
	spelled := make([]string, count)
	for i, n := range c.numbers() {
		spelled[i] = norm.NFC.String(words[n])
	}
	return strings.Join(spelled, l.space)
}

// WordsLanguage is the language, a BCP 47 tag, in which Words writes for lang: English for
// one without a list of its own.
func WordsLanguage(lang string) string { return listFor(lang).lang }

// Digits returns the code as 12 groups of four digits, separated by spaces:
// the numbers of its words, 0000 to 2047.
func (c *Code) Digits() string {
	groups := make([]string, count)
	for i, n := range c.numbers() {
		groups[i] = fmt.Sprintf("%04d", n)
	}
	return strings.Join(groups, " ")
}

// Locator returns the name of the code's mailbox, which is as secret as what
// the mailbox shows: a server stores only its hash.
func (c *Code) Locator() [32]byte {
	return [32]byte(c.derive(infoLocator, 32))
}

// ReplyIdentity returns the age identity that opens replies to the source.
func (c *Code) ReplyIdentity() (*age.HybridIdentity, error) {
	s, err := bech32.EncodeFromBase256("AGE-SECRET-KEY-PQ-", c.derive(infoReply, 32))
	if err != nil {
		return nil, fmt.Errorf("encoding the reply identity: %w", err)
	}
	id, err := age.ParseHybridIdentity(strings.ToUpper(s))
	if err != nil {
		return nil, fmt.Errorf("making the reply identity: %w", err)
	}
	return id, nil
}

// SigningKey returns the key that signs the source's follow-ups and claims.
func (c *Code) SigningKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(c.derive(infoSign, ed25519.SeedSize))
}

// Part returns the code of a part of an award. Both numbers are from 1; others
// are a mistake in the caller's code, and panic.
func (c *Code) Part(award, part int) *Code {
	if award < 1 || part < 1 {
		panic(fmt.Sprintf("receipt: part %d of award %d", part, award))
	}
	return fromArray([size]byte(c.derive(fmt.Sprintf("%s%d %d", infoPart, award, part), size)))
}

// Derive returns n bytes for a purpose that info names: HKDF-SHA256 as in the
// package comment. Bytes of different infos are independent; a shorter result
// is the beginning of a longer one with the same info.
//
// It panics on what only a mistake in the caller's code can ask for: an empty
// info, one of the infos of this package, or an n that is not from 1 to 8160.
func (c *Code) Derive(info string, n int) []byte {
	reserved := slices.Contains([]string{"", infoLocator, infoReply, infoSign}, info)
	if reserved || strings.HasPrefix(info, infoPart) {
		panic(fmt.Sprintf("receipt: Derive with the reserved info %q", info))
	}
	return c.derive(info, n)
}

func (c *Code) derive(info string, n int) []byte {
	if n < 1 || n > 255*sha256.Size {
		panic(fmt.Sprintf("receipt: Derive of %d bytes", n))
	}
	key, err := hkdf.Key(sha256.New, c.Bytes(), nil, info, n)
	if err != nil {
		panic("receipt: " + err.Error()) // only for an n out of bounds
	}
	return key
}

// numbers returns the numbers of the code's words.
func (c *Code) numbers() (ns [count]uint16) {
	b := c.Bytes()
	sum := sha256.Sum256(b)
	var acc uint32
	have, i := 0, 0
	for _, b := range append(b, sum[0]) {
		acc = acc<<8 | uint32(b)
		if have += 8; have >= bits {
			have -= bits
			ns[i] = uint16(acc >> have & (listLen - 1))
			i++
		}
	}
	return ns
}

// fromNumbers returns the code whose words have the numbers ns, or
// ErrChecksum.
func fromNumbers(ns [count]uint16) (*Code, error) {
	var b [size]byte
	var acc uint32
	have, i := 0, 0
	for _, n := range ns {
		acc = acc<<bits | uint32(n)
		for have += bits; have >= 8; i++ {
			have -= 8
			b[i] = byte(acc >> have)
		}
	}
	if sum := sha256.Sum256(b[:]); sum[0]>>4 != byte(acc&0xf) {
		return nil, ErrChecksum
	}
	return fromArray(b), nil
}

// Format writes a fixed text, whatever the verb.
func (Code) Format(s fmt.State, _ rune) { io.WriteString(s, hidden) }

// String returns a fixed text.
func (Code) String() string { return hidden }

// GoString returns a fixed text.
func (Code) GoString() string { return hidden }

// LogValue returns a fixed text.
func (Code) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON returns a fixed text: a code is not kept by marshaling it.
func (Code) MarshalJSON() ([]byte, error) { return json.Marshal(hidden) }

// MarshalText returns a fixed text: a code is not kept by marshaling it.
func (Code) MarshalText() ([]byte, error) { return []byte(hidden), nil }
