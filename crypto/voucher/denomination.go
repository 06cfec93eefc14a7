package voucher

import (
	"cmp"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/currency"
)

// A Denomination is a kind of voucher, all worth the same amount and signed with
// the same key: it is the public half of an issuing key, as it stands in the signed
// roster.
type Denomination struct {
	ID       string `json:"id"`       // such as "cny-1000-a": 1 to 32 of a-z, 0-9 and single inner hyphens
	Currency string `json:"currency"` // ISO 4217
	Amount   int64  `json:"amount"`   // in minor units of the currency
	Key      string `json:"key"`      // IssuingKey.Public: the SubjectPublicKeyInfo in base64
	Since    string `json:"since"`    // the first day on which a voucher is issued and paid, 2006-01-02
	Until    string `json:"until"`    // the last day on which one is paid
}

const (
	// keyBits is the size of a new key; see the package comment.
	keyBits    = 3072
	maxKeyBits = 4096
	exponent   = 65537

	// MaxAmount is the highest amount of a denomination: the sum of millions of
	// vouchers still is an int64.
	MaxAmount = 1_000_000_000_000
	// MaxDenominations is the most denominations of an organisation.
	MaxDenominations = 256
)

// Validate checks the denomination by itself. Errors wrap ErrFormat.
func (d Denomination) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("denomination %.40q: %s: %w", d.ID, fmt.Sprintf(format, args...), ErrFormat)
	}
	if !isName(d.ID) {
		return fail("its id is not 1 to 32 of a-z, 0-9 and inner hyphens")
	}
	if unit, err := currency.ParseISO(d.Currency); err != nil || unit.String() != d.Currency {
		return fail("currency %.10q is not of ISO 4217", d.Currency)
	}
	if d.Amount < 1 || d.Amount > MaxAmount {
		return fail("amount %d is not from 1 to %d", d.Amount, int64(MaxAmount))
	}
	for _, day := range []string{d.Since, d.Until} {
		if _, err := time.Parse(time.DateOnly, day); err != nil {
			return fail("day %.20q", day)
		}
	}
	if d.Until < d.Since {
		return fail("it ends on %s, before it begins on %s", d.Until, d.Since)
	}
	_, err := d.Public()
	return err
}

// Validate checks the denominations of an organisation, each and together: ids and
// keys are there once, and no two of the same amount begin on the same day, as those
// who get the one would stand out from those who get the other.
func Validate(list []Denomination) error {
	if len(list) > MaxDenominations {
		return fmt.Errorf("over %d denominations: %w", MaxDenominations, ErrFormat)
	}
	type issue struct {
		currency, since string
		amount          int64
	}
	ids, keys, issues := make(map[string]bool), make(map[string]bool), make(map[issue]bool)
	var problems []error
	for _, d := range list {
		problems = append(problems, d.Validate())
		i := issue{d.Currency, d.Since, d.Amount}
		switch {
		case ids[d.ID]:
			problems = append(problems, fmt.Errorf("denomination %.40q: %w", d.ID, ErrDuplicate))
		case keys[d.Key]:
			problems = append(problems, fmt.Errorf("key of denomination %.40q: %w", d.ID, ErrDuplicate))
		case issues[i]:
			problems = append(problems, fmt.Errorf("denomination %.40q: %d %s since %s: %w", d.ID, d.Amount, d.Currency, d.Since, ErrDuplicate))
		}
		ids[d.ID], keys[d.Key], issues[i] = true, true, true
	}
	return errors.Join(problems...)
}

// Issued returns the denominations of which vouchers are issued on that day, one for
// each amount, the largest first. Of several, that is the one which began last: the
// others are only paid.
func Issued(list []Denomination, currency, day string) []Denomination {
	var found []Denomination
	for _, d := range list {
		if d.Currency == currency && d.Since <= day && day <= d.Until {
			found = append(found, d)
		}
	}
	slices.SortFunc(found, func(a, b Denomination) int {
		return cmp.Or(cmp.Compare(b.Amount, a.Amount), cmp.Compare(b.Since, a.Since), cmp.Compare(a.ID, b.ID))
	})
	return slices.CompactFunc(found, func(a, b Denomination) bool { return a.Amount == b.Amount })
}

// Choose picks vouchers of the denominations, which are of one currency, that come to
// the amount exactly: as few as may be and at most so many, the largest first, the
// same ones for the same amount always. It returns nil if there are none. Denominations
// that share no regular steps can make that long to find out; then it gives up, with
// the best that it has.
func Choose(list []Denomination, amount int64, most int) []Denomination {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b Denomination) int { return cmp.Compare(b.Amount, a.Amount) })
	var best, taken []int
	steps := 200_000
	var search func(from int, rest int64)
	search = func(from int, rest int64) {
		if steps--; steps < 0 {
			return
		}
		if rest == 0 {
			if best == nil || len(taken) < len(best) {
				best = slices.Clone(taken)
			}
			return
		}
		for i := from; i < len(sorted); i++ {
			room := int64(most - len(taken))
			if best != nil {
				room = int64(len(best) - 1 - len(taken))
			}
			each := sorted[i].Amount
			if room < 1 || rest/each > room || rest/each == room && rest%each > 0 {
				return // the smaller ones make it more
			}
			if each > rest {
				continue
			}
			taken = append(taken, i)
			search(i, rest-each)
			taken = taken[:len(taken)-1]
		}
	}
	if amount > 0 {
		search(0, amount)
	}
	if best == nil {
		return nil
	}
	chosen := make([]Denomination, len(best))
	for i, at := range best {
		chosen[i] = sorted[at]
	}
	return chosen
}

// Public is the public key: RSA of 3072 to 4096 bits with the exponent 65537. A key
// has one spelling only; others are refused with ErrFormat.
func (d Denomination) Public() (*rsa.PublicKey, error) {
	fail := func(why string) (*rsa.PublicKey, error) {
		return nil, fmt.Errorf("denomination %.40q: key: %s: %w", d.ID, why, ErrFormat)
	}
	if len(d.Key) > 1024 { // of 4096 bits: 736
		return fail("too long")
	}
	der, err := base64.StdEncoding.DecodeString(d.Key)
	if err != nil {
		return fail("not base64")
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return fail("not a SubjectPublicKeyInfo")
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return fail("not an RSA key")
	}
	if err := checkPublic(public); err != nil {
		return fail(err.Error())
	}
	if spellPublic(public) != d.Key {
		return fail("not in its usual spelling")
	}
	return public, nil
}

// checkPublic bounds the work that a key can make, and its weakness.
func checkPublic(public *rsa.PublicKey) error {
	bits := public.N.BitLen()
	if bits < keyBits || bits > maxKeyBits || bits%8 != 0 {
		return fmt.Errorf("%d bits are not from %d to %d in whole bytes", bits, keyBits, maxKeyBits)
	}
	if public.E != exponent {
		return fmt.Errorf("its exponent is not %d", exponent)
	}
	if public.N.Bit(0) == 0 {
		return errors.New("an even modulus")
	}
	return nil
}

func spellPublic(public *rsa.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic(err) // only for a key of another kind
	}
	return base64.StdEncoding.EncodeToString(der)
}

// CheckBlind checks that a blind signature is the one of the request, as anybody can
// who knows the denomination. Errors are ErrRequest and ErrBlindSignature.
func (d Denomination) CheckBlind(blinded, blindSignature []byte) error {
	public, err := d.Public()
	if err != nil {
		return err
	}
	request, ok := number(blinded, public.N)
	if !ok {
		return fmt.Errorf("denomination %s: %w", d.ID, ErrRequest)
	}
	signature, ok := number(blindSignature, public.N)
	if !ok || signature.Exp(signature, big.NewInt(exponent), public.N).Cmp(request) != 0 {
		return fmt.Errorf("denomination %s: %w", d.ID, ErrBlindSignature)
	}
	return nil
}

// number reads a number of the length of the modulus n, and reports whether it is
// inside.
func number(b []byte, n *big.Int) (*big.Int, bool) {
	if len(b) != (n.BitLen()+7)/8 {
		return nil, false
	}
	x := new(big.Int).SetBytes(b)
	return x, inside(x, n)
}

// inside reports whether 1 < x < n-1. The powers of 0, 1 and n-1 are known to
// everybody: as requests they are nobody's, and as factors they hide nothing.
func inside(x, n *big.Int) bool {
	one := big.NewInt(1)
	return x.Cmp(one) > 0 && x.Cmp(new(big.Int).Sub(n, one)) < 0
}

// isName is the rule of roster.CheckName.
func isName(name string) bool {
	ok := len(name) >= 1 && len(name) <= 32 && !strings.Contains("-"+name+"-", "--")
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	return ok
}
