package voucher_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
)

func TestDenominationStandsInJSONAsItIs(t *testing.T) {
	d := denomination(readKey(t, "issuing"))
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	text := string(must(json.Marshal(d)))
	want := `{"id":"cny-1000-a","currency":"CNY","amount":100000,"key":"` + d.Key + `","since":"2026-11-01","until":"2027-12-31"}`
	if text != want {
		t.Errorf("%s", text)
	}
	var again voucher.Denomination
	if err := json.Unmarshal([]byte(text), &again); err != nil || again != d {
		t.Errorf("%v, %v", again, err)
	}
}

func TestDenominationIsValidated(t *testing.T) {
	for name, change := range map[string]func(*voucher.Denomination){
		"no id":           func(d *voucher.Denomination) { d.ID = "" },
		"id in capitals":  func(d *voucher.Denomination) { d.ID = "CNY" },
		"id of two lines": func(d *voucher.Denomination) { d.ID = "a\nb" },
		"no currency":     func(d *voucher.Denomination) { d.Currency = "" },
		"small currency":  func(d *voucher.Denomination) { d.Currency = "cny" },
		"unknown":         func(d *voucher.Denomination) { d.Currency = "QQQ" },
		"long currency":   func(d *voucher.Denomination) { d.Currency = "CNYY" },
		"nothing":         func(d *voucher.Denomination) { d.Amount = 0 },
		"less":            func(d *voucher.Denomination) { d.Amount = -1 },
		"too much":        func(d *voucher.Denomination) { d.Amount = voucher.MaxAmount + 1 },
		"since":           func(d *voucher.Denomination) { d.Since = "" },
		"since no day":    func(d *voucher.Denomination) { d.Since = "2026-02-29" },
		"until":           func(d *voucher.Denomination) { d.Until = "2027-1-1" },
		"until a time":    func(d *voucher.Denomination) { d.Until = "2027-01-01T00:00:00Z" },
		"backwards":       func(d *voucher.Denomination) { d.Until = "2026-10-31" },
		"no key":          func(d *voucher.Denomination) { d.Key = "" },
	} {
		d := denomination(readKey(t, "issuing"))
		change(&d)
		if err := d.Validate(); !errors.Is(err, voucher.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := denomination(readKey(t, "issuing"))
	d.Until, d.Amount, d.Currency = d.Since, voucher.MaxAmount, "JPY"
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
}

func TestKeyHasOneSpellingAndSize(t *testing.T) {
	d := denomination(readKey(t, "issuing"))
	good := must(d.Public())
	der := must(base64.StdEncoding.DecodeString(d.Key))
	spell := func(der []byte) string { return base64.StdEncoding.EncodeToString(der) }
	public := func(n *big.Int, e int) string {
		return spell(must(x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: e})))
	}
	power := func(bits uint) *big.Int {
		return new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), bits-1), big.NewInt(1))
	}
	curve := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	padded := append([]byte{0}, good.N.Bytes()...) // one zero byte more than DER has, which is there for the sign
	loose := must(asn1.Marshal(struct{ N, E asn1.RawValue }{
		asn1.RawValue{Tag: asn1.TagInteger, Bytes: append([]byte{0}, padded...)}, asn1.RawValue{Tag: asn1.TagInteger, Bytes: []byte{1, 0, 1}},
	}))
	spare := strings.TrimRight(d.Key, "=")
	pad := d.Key[len(spare):]
	twin := spare[:len(spare)-1] + string(spare[len(spare)-1]+1) + pad
	for name, key := range map[string]string{
		"newline": d.Key + "\n", "newline inside": d.Key[:64] + "\n" + d.Key[64:], "CR": "\r" + d.Key, "space": " " + d.Key,
		"without padding": spare + "x", "PKCS #1": spell(x509.MarshalPKCS1PublicKey(good)), "trailing byte": spell(append(der, 0)),
		"private key": spell(x509.MarshalPKCS1PrivateKey(privateOf(t, readKey(t, "issuing")))),
		"no RSA":      spell(must(x509.MarshalPKIXPublicKey(&curve.PublicKey))),
		"2048 bits":   public(power(2048), 65537), "3064 bits": public(power(3064), 65537), "3071 bits": public(power(3071), 65537),
		"3073 bits": public(power(3073), 65537), "4104 bits": public(power(4104), 65537), "16384 bits": public(power(16384), 65537),
		"exponent 3": public(good.N, 3), "exponent 1": public(good.N, 1), "exponent 65539": public(good.N, 65539), "even": public(new(big.Int).Sub(good.N, big.NewInt(1)), 65537),
		"not base64": strings.Repeat("!", 100), "loose DER": spell(loose), "a megabyte": strings.Repeat("A", 1<<20),
	} {
		d.Key = key
		if _, err := d.Public(); !errors.Is(err, voucher.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if pad != "" { // else the last letter has no spare bits
		d.Key = twin
		if _, err := d.Public(); !errors.Is(err, voucher.ErrFormat) {
			t.Errorf("spare bits: %v", err)
		}
	}
	for name, n := range map[string]*big.Int{"3080 bits": power(3080), "4096 bits": power(4096)} {
		d.Key = public(n, 65537)
		if _, err := d.Public(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListIsValidated(t *testing.T) {
	a, b := denomination(readKey(t, "issuing")), denomination(readKey(t, "other"))
	b.ID, b.Since = "cny-1000-b", "2027-01-01"
	if err := voucher.Validate([]voucher.Denomination{a, b}); err != nil {
		t.Error(err)
	}
	if err := voucher.Validate(nil); err != nil {
		t.Error(err)
	}
	with := func(change func(*voucher.Denomination)) voucher.Denomination {
		c := b
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		list []voucher.Denomination
		want error
	}{
		"id twice":  {[]voucher.Denomination{a, with(func(d *voucher.Denomination) { d.ID = a.ID })}, voucher.ErrDuplicate},
		"key twice": {[]voucher.Denomination{a, with(func(d *voucher.Denomination) { d.Key = a.Key })}, voucher.ErrDuplicate},
		// One for those one wants to know again, and one for all others.
		"two crowds": {[]voucher.Denomination{a, with(func(d *voucher.Denomination) { d.Since = a.Since })}, voucher.ErrDuplicate},
		"one bad":    {[]voucher.Denomination{a, with(func(d *voucher.Denomination) { d.Amount = 0 })}, voucher.ErrFormat},
		"too many":   {make([]voucher.Denomination, voucher.MaxDenominations+1), voucher.ErrFormat},
	} {
		if err := voucher.Validate(c.list); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, other := range map[string]voucher.Denomination{
		"other amount":   with(func(d *voucher.Denomination) { d.Since, d.Amount = a.Since, 1 }),
		"other currency": with(func(d *voucher.Denomination) { d.Since, d.Currency = a.Since, "EUR" }),
	} {
		if err := voucher.Validate([]voucher.Denomination{a, other}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOneDenominationOfAnAmountIsIssued(t *testing.T) {
	of := func(id string, amount int64, since, until string) voucher.Denomination {
		return voucher.Denomination{ID: id, Currency: "CNY", Amount: amount, Since: since, Until: until}
	}
	eur := of("eur", 7, "2026-01-01", "2029-01-01")
	eur.Currency = "EUR"
	list := []voucher.Denomination{
		of("small-old", 100, "2026-01-01", "2028-01-01"), of("large", 1000, "2026-01-01", "2027-01-01"),
		of("small-new", 100, "2026-06-01", "2029-01-01"), eur,
	}
	for day, want := range map[string]string{
		"2025-12-31": "", "2026-01-01": "large small-old", "2026-05-31": "large small-old", "2026-06-01": "large small-new",
		"2027-01-01": "large small-new", "2027-01-02": "small-new", "2029-01-02": "",
	} {
		var ids []string
		for _, d := range voucher.Issued(list, "CNY", day) {
			ids = append(ids, d.ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: %q, want %q", day, got, want)
		}
	}
	if list[0].ID != "small-old" {
		t.Error("the list was sorted")
	}
}

func TestIDsAreNamesOfTheRoster(t *testing.T) {
	for _, name := range []string{
		"", "a", "cny-1000-a", "-a", "a-", "a--b", "A", "a b", "ä", "a\n", "0", "a_b", "a.b",
		strings.Repeat("a", 32), strings.Repeat("a", 33), "-", "--", "a-b-c-d",
	} {
		if got, want := voucher.IsName(name), roster.CheckName(name) == nil; got != want {
			t.Errorf("%q: %v, in the roster %v", name, got, want)
		}
	}
}

// TestChooseComesToTheAmount compares with the fewest coins as a table finds them.
func TestChooseComesToTheAmount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []voucher.Denomination
		for _, amount := range rapid.SliceOfNDistinct(rapid.Int64Range(1, 60), 1, 5, rapid.ID[int64]).Draw(t, "denominations") {
			list = append(list, voucher.Denomination{Amount: amount})
		}
		amount, most := rapid.Int64Range(1, 700).Draw(t, "amount"), rapid.IntRange(1, 40).Draw(t, "most")
		fewest := make([]int, amount+1)
		for i := int64(1); i <= amount; i++ {
			fewest[i] = 1 << 20
			for _, d := range list {
				if d.Amount <= i {
					fewest[i] = min(fewest[i], fewest[i-d.Amount]+1)
				}
			}
		}
		chosen := voucher.Choose(list, amount, most)
		var sum int64
		for i, d := range chosen {
			sum += d.Amount
			if i > 0 && d.Amount > chosen[i-1].Amount {
				t.Fatalf("a smaller one stands first: %v", chosen)
			}
		}
		switch possible := fewest[amount] <= most; {
		case possible && (sum != amount || len(chosen) != fewest[amount]):
			t.Fatalf("%d vouchers that come to %d, where %d come to %d", len(chosen), sum, fewest[amount], amount)
		case !possible && chosen != nil:
			t.Fatalf("%v, where at most %d come to %d", chosen, most, amount)
		}
	})
}

// TestChooseEnds asks for what takes more steps than anybody waits for.
func TestChooseEnds(t *testing.T) {
	var list []voucher.Denomination
	for _, amount := range []int64{999_983, 999_979, 999_961, 999_959, 999_953, 999_931, 999_917, 999_907} {
		list = append(list, voucher.Denomination{Amount: amount})
	}
	if chosen := voucher.Choose(list, 20_000_003, 40); chosen != nil {
		t.Errorf("%v", chosen)
	}
	if chosen := voucher.Choose(list, 0, 40); chosen != nil {
		t.Errorf("nothing is made of %v", chosen)
	}
}
