// Package voucher makes money that cannot be traced to the tip it was paid for.
//
// A voucher is an RSA blind signature: the source makes a request, the holder of
// an issuing key signs it without seeing what it is, and the source takes the
// blinding off. RFC 9474, variant RSABSSA-SHA384-PSS-Randomized, by
// github.com/cloudflare/circl.
//
// # Guarantees
//
//   - Who knows every request, every blind signature and every voucher, and all
//     issuing keys, learns nothing of which belongs to which: for each request
//     and each voucher of its denomination there is one blinding factor that
//     joins the two. That rests on the seed being secret and on SHA-256, not on
//     RSA: whoever breaks the key still learns nothing. What does join them is
//     outside of the voucher: the amount, the day, how many were issued. So few
//     denominations, used by many, hide best.
//   - It does not take an honest issuer. A voucher that Finish returned was
//     verified with the public key of the denomination, which is the same for
//     everybody, as it stands in the signed roster: no signature can be marked.
//   - Nothing is kept. The same seed, denomination and organisation make the same
//     request and the same voucher, byte by byte, on any machine.
//   - Nobody without the issuing key can make a voucher, nor more than one out of
//     each signature. Who holds the key can make any number, and nobody sees it in
//     them: count those that are paid against those that were issued.
//   - A voucher verifies offline, by any implementation of RSASSA-PSS: the
//     standard library's does it here.
//   - Keys, requests and vouchers print as a fixed word. Who sees a voucher can be
//     paid for it.
//
// # What is signed
//
// The organisation is the verifier key of its root ([golang.org/x/mod/sumdb/note]),
// the serial 32 lower-case hexadecimal digits; the prefix of 32 bytes is the one of
// RFC 9474, 4.1. The signature is RSASSA-PSS with SHA-384, MGF1 with SHA-384 and 48
// bytes of salt, of
//
//	prefix
//	"tipbox voucher v1\n" organisation "\n" denomination id "\n" serial "\n"
//
// # Derivations
//
// Everything that is random in RFC 9474 is HKDF-SHA256 (RFC 5869) of the seed of 32
// bytes, no salt, and the info
//
//	"tipbox voucher v1\n" label "\n" organisation "\n" denomination id "\n" key "\n"
//
// in which the key is that of the denomination, in base64 as in the roster:
//
//	label "serial"    16 bytes
//	label "prefix"    32 bytes
//	label "salt"      48 bytes, for the PSS encoding
//	label "factor 0"  the blinding factor, as long as the modulus, most significant
//	                  byte first; if it is not over 1 and below the modulus, "factor 1"
//	                  is it, and so on
//
// Seeds of different vouchers must differ: two of one seed are one.
//
// # The size of the keys
//
// Issuing keys have 3072 bits, which are about as strong as the 128 bits of a
// receipt code, and are what has to be used beyond 2030 (NIST SP 800-57; the BSI
// asks for them now). A voucher is some 450 bytes: 780 characters in a QR code, or a
// page of words. With 2048 bits it would be a quarter shorter, and still nothing to
// know by heart. A quantum computer could make false vouchers, of which there would
// be more than were issued; it could not trace true ones.
//
// testdata holds vectors for other implementations, and those of RFC 9474.
package voucher

import (
	"bytes"
	"crypto"
	"crypto/hkdf"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"strings"
	"time"
	"unicode"

	"github.com/cloudflare/circl/blindsign/blindrsa"
)

// Errors of this package, wrapped with detail.
var (
	// ErrForged means that a voucher was not signed with the key of its
	// denomination, or was altered.
	ErrForged = errors.New("not signed by the issuing key: forged or altered")
	// ErrOrganisation means that a voucher says itself to be of another
	// organisation.
	ErrOrganisation = errors.New("of another organisation")
	// ErrDenomination means that a voucher is of another denomination, or of one
	// that is in no list.
	ErrDenomination = errors.New("of another denomination")
	// ErrExpired means that a voucher is genuine, but its denomination's last day
	// is past.
	ErrExpired = errors.New("its denomination has expired")
	// ErrEarly means that a voucher is genuine, but its denomination's first day is
	// yet to come.
	ErrEarly = errors.New("its denomination is not valid yet")

	// ErrRequest means that a blinded request is none that Blind makes for the
	// key.
	ErrRequest = errors.New("not a blinded request for this key")
	// ErrBlindSignature means that a blind signature is not that of the request.
	ErrBlindSignature = errors.New("not the blind signature of this request")

	// ErrNotVoucher means that a text is something else than a voucher.
	ErrNotVoucher = errors.New("not a voucher")
	// ErrTyping means that a text is a voucher with a typing error, or a part of
	// one: see TypingError.
	ErrTyping = errors.New("a typing error in the voucher")
	// ErrNewer means that a voucher was made by a newer version.
	ErrNewer = errors.New("made by a newer version")

	// ErrFormat means that a key, a denomination, an organisation or a day is not
	// in the expected format.
	ErrFormat = errors.New("not in the expected format")
	// ErrDuplicate means that a denomination is there twice.
	ErrDuplicate = errors.New("there twice")
)

const (
	header = "tipbox voucher v1\n"

	serialSize = 16
	prefixSize = 32
	saltSize   = sha512.Size384
)

// A Voucher is worth its denomination's amount to whoever holds it. It prints as
// a fixed word.
type Voucher struct {
	// In a function, which fmt cannot look into: see roster.SigningKey.
	parts func() parts
}

type parts struct {
	organisation [organisationSize]byte // the beginning of the hash of its verifier key
	denomination string
	serial       [serialSize]byte
	prefix       [prefixSize]byte
	signature    []byte
}

// A Request is a voucher that waits for its signature. It prints as a fixed word.
type Request struct {
	// Blinded is what the issuing key signs. It says nothing of the voucher.
	Blinded []byte

	finish func(blindSignature []byte) (*Voucher, error)
}

// Blind makes the request for a voucher of the denomination of an organisation,
// which is the verifier key of its root.
func Blind(d Denomination, seed [32]byte, organisation string) (*Request, error) {
	public, err := check(d, organisation)
	if err != nil {
		return nil, err
	}
	expand := func(label string, n int) []byte {
		info := header + label + "\n" + organisation + "\n" + d.ID + "\n" + d.Key + "\n"
		key, err := hkdf.Key(sha256.New, seed[:], nil, info, n)
		if err != nil {
			panic("voucher: " + err.Error()) // only for an n out of bounds
		}
		return key
	}
	p := parts{
		organisation: organisationHash(organisation),
		denomination: d.ID,
		serial:       [serialSize]byte(expand("serial", serialSize)),
		prefix:       [prefixSize]byte(expand("prefix", prefixSize)),
	}
	blinded, finalize, err := blind(public, p.prepared(organisation), expand("salt", saltSize), factor(public.N, expand))
	if err != nil {
		return nil, fmt.Errorf("blinding a voucher of %s: %w", d.ID, err)
	}
	finish := func(blindSignature []byte) (*Voucher, error) {
		if err := d.CheckBlind(blinded, blindSignature); err != nil {
			return nil, err
		}
		signature, err := finalize(blindSignature)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBlindSignature, err)
		}
		signed := p
		signed.signature = signature
		v := &Voucher{func() parts { return signed }}
		if err := v.verify(public, organisation); err != nil {
			return nil, err
		}
		return v, nil
	}
	return &Request{bytes.Clone(blinded), finish}, nil
}

// factor returns the blinding factor. About one modulus in two takes more than the
// first try.
func factor(n *big.Int, expand func(label string, n int) []byte) []byte {
	for i := 0; ; i++ {
		r := expand(fmt.Sprintf("factor %d", i), (n.BitLen()+7)/8)
		if inside(new(big.Int).SetBytes(r), n) {
			return r
		}
	}
}

// blind is Blind and Finalize of RFC 9474 with the salt and blinding factor given.
func blind(public *rsa.PublicKey, prepared, salt, factor []byte) (blinded []byte, finalize func([]byte) ([]byte, error), err error) {
	client, err := blindrsa.NewClient(blindrsa.SHA384PSSRandomized, public)
	if err != nil {
		return nil, nil, err
	}
	// circl reads the salt, then as many bytes as the modulus has for each try at a
	// factor. If it ever does otherwise, a voucher must not come out that cannot be
	// made again.
	random := bytes.NewReader(append(bytes.Clone(salt), factor...))
	blinded, state, err := client.Blind(random, prepared)
	if err != nil {
		return nil, nil, err
	}
	if random.Len() > 0 {
		return nil, nil, errors.New("the blinding factor was not used")
	}
	return blinded, func(blindSignature []byte) ([]byte, error) { return client.Finalize(state, blindSignature) }, nil
}

// Finish takes the blinding off and returns the voucher, verified. Otherwise it is
// ErrBlindSignature.
func (r *Request) Finish(blindSignature []byte) (*Voucher, error) { return r.finish(blindSignature) }

// Denomination is the id of the denomination that the voucher says to be of.
func (v *Voucher) Denomination() string { return v.parts().denomination }

// Find returns the denomination that the voucher says to be of, or ErrOrganisation
// or ErrDenomination. It does not verify the voucher.
func (v *Voucher) Find(list []Denomination, organisation string) (Denomination, error) {
	if v.parts().organisation != organisationHash(organisation) {
		return Denomination{}, fmt.Errorf("voucher: %w", ErrOrganisation)
	}
	for _, d := range list {
		if d.ID == v.Denomination() {
			return d, nil
		}
	}
	return Denomination{}, fmt.Errorf("voucher: denomination %s: %w", v.Denomination(), ErrDenomination)
}

// Verify checks that the voucher is one of that denomination and organisation, to be
// paid on that day (2006-01-02). The voucher carries four bytes of the hash of its
// organisation, by which one of another is told from a forged one (ErrOrganisation);
// they prove nothing, and a forger can write there what they like. ErrExpired and
// ErrEarly are of genuine vouchers only. Whether it was paid before is not in it: see
// SpentKey.
func (v *Voucher) Verify(d Denomination, organisation, day string) error {
	if _, err := v.Find([]Denomination{d}, organisation); err != nil {
		return err
	}
	public, err := check(d, organisation)
	if err != nil {
		return err
	}
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return fmt.Errorf("day %.20q: %w", day, ErrFormat)
	}
	if err := v.verify(public, organisation); err != nil {
		return err
	}
	if day > d.Until {
		return fmt.Errorf("voucher: the last day of %s was %s: %w", d.ID, d.Until, ErrExpired)
	}
	if day < d.Since {
		return fmt.Errorf("voucher: the first day of %s is %s: %w", d.ID, d.Since, ErrEarly)
	}
	return nil
}

func (v *Voucher) verify(public *rsa.PublicKey, organisation string) error {
	prepared, signature := v.Signed(organisation)
	digest := sha512.Sum384(prepared)
	err := rsa.VerifyPSS(public, crypto.SHA384, digest[:], signature, &rsa.PSSOptions{SaltLength: saltSize})
	if err != nil {
		return fmt.Errorf("voucher: %w", ErrForged)
	}
	return nil
}

// Signed is what was signed and the signature, for other implementations of
// RSASSA-PSS.
func (v *Voucher) Signed(organisation string) (prepared, signature []byte) {
	p := v.parts()
	return p.prepared(organisation), bytes.Clone(p.signature)
}

// prepared is the message with its prefix: RFC 9474, 4.1.
func (p parts) prepared(organisation string) []byte {
	return fmt.Appendf(p.prefix[:len(p.prefix):len(p.prefix)], "%s%s\n%s\n%x\n", header, organisation, p.denomination, p.serial)
}

// SpentKey names the payment of the voucher: 64 hexadecimal digits, the SHA-256 of
//
//	"tipbox voucher spent v1\n" denomination id "\n" serial "\n"
//
// Two vouchers of one serial are paid once. From it nothing leads to the voucher,
// and from the voucher nothing to the request.
func (v *Voucher) SpentKey() string {
	p := v.parts()
	sum := sha256.Sum256(fmt.Appendf(nil, "tipbox voucher spent v1\n%s\n%x\n", p.denomination, p.serial))
	return hex.EncodeToString(sum[:])
}

// check returns the public key of a valid denomination, and refuses an organisation
// that could make two messages one.
func check(d Denomination, organisation string) (*rsa.PublicKey, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	if organisation == "" || len(organisation) > 200 || strings.ContainsFunc(organisation, unicode.IsControl) {
		return nil, fmt.Errorf("organisation %.12q: %w", organisation, ErrFormat)
	}
	return d.Public()
}

const organisationSize = 4

func organisationHash(organisation string) [organisationSize]byte {
	sum := sha256.Sum256([]byte(organisation))
	return [organisationSize]byte(sum[:])
}

const (
	hiddenVoucher = "[voucher]"
	hiddenRequest = "[voucher request]"
)

func (*Voucher) Format(s fmt.State, _ rune)   { io.WriteString(s, hiddenVoucher) }
func (*Voucher) String() string               { return hiddenVoucher }
func (*Voucher) GoString() string             { return hiddenVoucher }
func (*Voucher) LogValue() slog.Value         { return slog.StringValue(hiddenVoucher) }
func (*Voucher) MarshalText() ([]byte, error) { return []byte(hiddenVoucher), nil }

func (*Request) Format(s fmt.State, _ rune)   { io.WriteString(s, hiddenRequest) }
func (*Request) String() string               { return hiddenRequest }
func (*Request) GoString() string             { return hiddenRequest }
func (*Request) LogValue() slog.Value         { return slog.StringValue(hiddenRequest) }
func (*Request) MarshalText() ([]byte, error) { return []byte(hiddenRequest), nil }
