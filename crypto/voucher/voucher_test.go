package voucher_test

import (
	"bytes"
	"crypto"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tipbox/crypto/voucher"
)

const (
	organisation = "tipbox-root+1a2b3c4d+AaIW0k6H4dvcWyVnoZD4Wvxz6YDi5dLSKGg4nHsNGG1y"
	day          = "2026-11-22"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func read(t testing.TB, name string) string {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(file)
}

// readKey is a key of nobody, used nowhere else.
func readKey(t testing.TB, name string) *voucher.IssuingKey {
	t.Helper()
	key, err := voucher.ParseIssuingKey(read(t, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func denomination(key *voucher.IssuingKey) voucher.Denomination {
	return voucher.Denomination{ID: "cny-1000-a", Currency: "CNY", Amount: 100000, Key: key.Public(), Since: "2026-11-01", Until: "2027-12-31"}
}

func seed(i byte) [32]byte { return sha256.Sum256([]byte{i}) }

// issue goes the whole way.
func issue(t testing.TB, key *voucher.IssuingKey, d voucher.Denomination, seed [32]byte) (r *voucher.Request, blindSignature []byte, v *voucher.Voucher) {
	t.Helper()
	r, err := voucher.Blind(d, seed, organisation)
	if err != nil {
		t.Fatal(err)
	}
	blindSignature, err = key.Sign(r.Blinded)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.CheckBlind(r.Blinded, blindSignature); err != nil {
		t.Fatal(err)
	}
	if v, err = r.Finish(blindSignature); err != nil {
		t.Fatal(err)
	}
	return r, blindSignature, v
}

func TestVoucherVerifiesWithTheStandardLibraryAlone(t *testing.T) {
	key := readKey(t, "issuing")
	d := denomination(key)
	_, _, v := issue(t, key, d, seed(1))
	if err := v.Verify(d, organisation, day); err != nil {
		t.Fatal(err)
	}
	prepared, signature := v.Signed(organisation)
	digest := sha512.Sum384(prepared)
	options := &rsa.PSSOptions{Hash: crypto.SHA384, SaltLength: 48}
	if err := rsa.VerifyPSS(must(d.Public()), crypto.SHA384, digest[:], signature, options); err != nil {
		t.Error(err)
	}
	want := "tipbox voucher v1\n" + organisation + "\ncny-1000-a\n"
	if message := string(prepared[32:]); !strings.HasPrefix(message, want) || len(message) != len(want)+33 || !strings.HasSuffix(message, "\n") {
		t.Errorf("signed is %q", message)
	}
	signature[5]++ // a copy
	if err := v.Verify(d, organisation, day); err != nil {
		t.Error(err)
	}
}

func TestVoucherVerifiesWithOpenssl(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip(err)
	}
	key := readKey(t, "issuing")
	d := denomination(key)
	_, _, v := issue(t, key, d, seed(1))
	prepared, signature := v.Signed(organisation)
	verify := func(signed []byte) (string, error) {
		dir := t.TempDir()
		public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(base64.StdEncoding.DecodeString(d.Key))})
		for name, content := range map[string][]byte{"public": public, "signature": signature, "signed": signed} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(openssl, "dgst", "-sha384", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:48",
			"-verify", "public", "-signature", "signature", "signed")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := verify(prepared); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	prepared[40] ^= 1
	if out, err := verify(prepared); err == nil {
		t.Errorf("openssl takes what was altered: %s", out)
	}
}

func TestSameSeedIsSameVoucher(t *testing.T) {
	key := readKey(t, "issuing")
	d := denomination(key)
	first, _, v := issue(t, key, d, seed(1))
	for range 100 {
		again := must(voucher.Blind(d, seed(1), organisation))
		if !bytes.Equal(again.Blinded, first.Blinded) {
			t.Fatal("another request of the same seed")
		}
	}
	for range 3 { // the issuing key blinds too, at random
		if _, _, again := issue(t, key, d, seed(1)); again.Text() != v.Text() {
			t.Fatal("another voucher of the same seed")
		}
	}
	d.Amount, d.Until = d.Amount+1, "2031-01-01" // not in the message
	if again := must(voucher.Blind(d, seed(1), organisation)); !bytes.Equal(again.Blinded, first.Blinded) {
		t.Error("another request after the last day was put off")
	}
}

// Were a blinding factor used for two messages, the quotient of the two requests
// would be that of the two vouchers.
func TestEverythingChangesWithSeedDenominationKeyAndOrganisation(t *testing.T) {
	key, other := readKey(t, "issuing"), readKey(t, "other")
	d := denomination(key)
	renamed, rekeyed := d, d
	renamed.ID, rekeyed.Key = "cny-1000-b", other.Public()
	e := big.NewInt(65537)
	seen := make(map[string]string)
	for name, c := range map[string]struct {
		key  *voucher.IssuingKey
		d    voucher.Denomination
		seed [32]byte
		org  string
	}{
		"plain":        {key, d, seed(1), organisation},
		"seed":         {key, d, seed(2), organisation},
		"denomination": {key, renamed, seed(1), organisation},
		"key":          {other, rekeyed, seed(1), organisation},
		"organisation": {key, d, seed(1), "another" + organisation},
	} {
		r := must(voucher.Blind(c.d, c.seed, c.org))
		v := must(r.Finish(must(c.key.Sign(r.Blinded))))
		prepared, signature := v.Signed(c.org)
		n := must(c.d.Public()).N
		blinded, encoded := new(big.Int).SetBytes(r.Blinded), new(big.Int).SetBytes(signature)
		encoded.Exp(encoded, e, n)
		factor := blinded.Mul(blinded, encoded.ModInverse(encoded, n)) // to the power of e
		factor.Mod(factor, n)
		serial := prepared[len(prepared)-33:]
		for what, value := range map[string]string{"factor": factor.String(), "prefix": string(prepared[:32]), "serial": string(serial)} {
			if before, twice := seen[value]; twice {
				t.Errorf("%s: the %s is the same as with another %s", name, what, before)
			}
			seen[value] = name
		}
	}
}

func TestDerivationsAreAsDocumented(t *testing.T) {
	key := readKey(t, "issuing")
	d := denomination(key)
	public := must(d.Public())
	tries := make(map[int]int)
	for i := range byte(12) {
		s := seed(i)
		expand := func(label string, n int) []byte {
			return must(hkdf.Key(sha256.New, s[:], nil, "tipbox voucher v1\n"+label+"\n"+organisation+"\n"+d.ID+"\n"+d.Key+"\n", n))
		}
		prepared := fmt.Appendf(expand("prefix", 32), "tipbox voucher v1\n%s\n%s\n%x\n", organisation, d.ID, expand("serial", 16))
		try, factor := 0, expand("factor 0", 384)
		for new(big.Int).SetBytes(factor).Cmp(public.N) >= 0 {
			try++
			factor = expand(fmt.Sprintf("factor %d", try), 384)
		}
		tries[try]++
		blinded, _, err := voucher.BlindWith(public, prepared, expand("salt", 48), factor)
		if err != nil {
			t.Fatal(err)
		}
		r, _, v := issue(t, key, d, s)
		if !bytes.Equal(r.Blinded, blinded) {
			t.Errorf("seed %d: another request", i)
		}
		signed, signature := v.Signed(organisation)
		if !bytes.Equal(signed, prepared) {
			t.Errorf("seed %d: another message", i)
		}
		// blinded = encoded · factor^e: the factor is the one that was used.
		e, x := big.NewInt(65537), new(big.Int).SetBytes(signature)
		x.Mul(x, new(big.Int).SetBytes(factor))
		if x.Exp(x, e, public.N).Cmp(new(big.Int).SetBytes(blinded)) != 0 {
			t.Errorf("seed %d: blinded with another factor", i)
		}
	}
	if len(tries) < 2 {
		t.Errorf("no seed takes more than one try: %v", tries)
	}
}

func TestNoVoucherComesOutThatCannotBeMadeAgain(t *testing.T) {
	public := must(denomination(readKey(t, "issuing")).Public())
	salt, one := make([]byte, 48), make([]byte, 384)
	one[383] = 1
	for name, factor := range map[string][]byte{
		"too large": bytes.Repeat([]byte{0xff}, 384), "short": one[1:], "long": append([]byte{0}, one...), "none": nil,
	} {
		if _, _, err := voucher.BlindWith(public, []byte("prepared"), salt, factor); err == nil {
			t.Errorf("%s: blinded", name)
		}
	}
	if _, _, err := voucher.BlindWith(public, []byte("prepared"), salt, one); err != nil {
		t.Error(err)
	}
}

// Whoever holds all requests, all blind signatures and all vouchers finds a blinding
// factor for each pair of them, so each request may be that of each voucher; and as
// factors are drawn evenly, none is likelier than another.
func TestEveryRequestMayBeThatOfEveryVoucher(t *testing.T) {
	key := readKey(t, "issuing")
	d := denomination(key)
	public, e := must(d.Public()), big.NewInt(65537)
	const people = 8
	var blinded, blindSignatures, signatures [people]*big.Int
	var server, payer [people][]byte
	for i := range people {
		r, blindSignature, v := issue(t, key, d, seed(byte(i)))
		_, signature := v.Signed(organisation)
		blinded[i], blindSignatures[i] = new(big.Int).SetBytes(r.Blinded), new(big.Int).SetBytes(blindSignature)
		signatures[i] = new(big.Int).SetBytes(signature)
		spent := must(hex.DecodeString(v.SpentKey()))
		server[i] = append(bytes.Clone(r.Blinded), blindSignature...)
		payer[i] = append(v.Bytes(), spent...)
	}
	for i := range people {
		for j := range people {
			// The factor that would make request i that of voucher j.
			r := new(big.Int).ModInverse(signatures[j], public.N)
			r.Mod(r.Mul(r, blindSignatures[i]), public.N)
			if r.Cmp(big.NewInt(1)) <= 0 || new(big.Int).GCD(nil, nil, r, public.N).Cmp(big.NewInt(1)) != 0 {
				t.Fatalf("request %d, voucher %d: no factor", i, j)
			}
			// RFC 9474, 4.2 and 4.4 with it: z = m · r^e, s = z' · r^-1.
			z := new(big.Int).Exp(r, e, public.N)
			z.Mod(z.Mul(z, new(big.Int).Exp(signatures[j], e, public.N)), public.N)
			if z.Cmp(blinded[i]) != 0 {
				t.Errorf("request %d cannot be that of voucher %d", i, j)
			}
			s := new(big.Int).ModInverse(r, public.N)
			s.Mod(s.Mul(s, blindSignatures[i]), public.N)
			if s.Cmp(signatures[j]) != 0 {
				t.Errorf("blind signature %d cannot be that of voucher %d", i, j)
			}
		}
	}
	// And no bytes are on both sides.
	const window = 8
	seen := make(map[string]bool)
	for _, b := range server {
		for i := range len(b) - window {
			seen[string(b[i:i+window])] = true
		}
	}
	for j, b := range payer {
		for i := range len(b) - window {
			if seen[string(b[i:i+window])] {
				t.Errorf("voucher %d has bytes of a request in it", j)
			}
		}
	}
}

// A dishonest issuer's modulus, of primes 65537·k+1: to the power of e they leave one
// number in 65537, so blinding leaves a trace of the message in the request. But one
// with a trace has no signature, and those that have one look alike.
func TestDishonestModulusMarksNoVoucher(t *testing.T) {
	e := big.NewInt(65537)
	prime := func(more int64) *big.Int {
		k := new(big.Int).Lsh(big.NewInt(3), 1518)
		k.Add(k, big.NewInt(more))
		return k.Add(k.Mul(k, e), big.NewInt(1))
	}
	p, q := prime(2286), prime(2334)
	if !p.ProbablyPrime(5) || !q.ProbablyPrime(5) {
		t.Fatal("not prime")
	}
	der := must(x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}))
	d := denomination(readKey(t, "issuing"))
	d.Key = base64.StdEncoding.EncodeToString(der)
	if err := d.Validate(); err != nil {
		t.Fatal(err) // if it is told from an honest one, so much the better
	}
	trace := func(blinded []byte) string {
		x := new(big.Int).SetBytes(blinded)
		return x.Exp(x, new(big.Int).Div(new(big.Int).Sub(p, big.NewInt(1)), e), p).String()
	}
	traces := make(map[string]bool)
	for i := range byte(6) {
		r := must(voucher.Blind(d, seed(i), organisation))
		traces[trace(r.Blinded)] = true
	}
	if len(traces) != 6 || traces["1"] {
		t.Errorf("%d traces", len(traces))
	}
	for i := range 6 {
		signature := sha512.Sum512([]byte{byte(i)})
		power := new(big.Int).Exp(new(big.Int).SetBytes(signature[:]), e, new(big.Int).Mul(p, q))
		if got := trace(power.FillBytes(make([]byte, 384))); got != "1" {
			t.Errorf("what has a signature has the trace %s", got)
		}
	}
}

func TestFinishTakesOneSignatureOnly(t *testing.T) {
	key, other := readKey(t, "issuing"), readKey(t, "other")
	d := denomination(key)
	r, good, _ := issue(t, key, d, seed(1))
	_, ofOther, _ := issue(t, key, d, seed(2))
	n := must(d.Public()).N
	negative := new(big.Int).Sub(n, new(big.Int).SetBytes(good)).FillBytes(make([]byte, 384))
	more := new(big.Int).Add(n, new(big.Int).SetBytes(good)).Bytes() // the same number, mod n
	for name, bad := range map[string][]byte{
		"of another request": ofOther, "of another key": must(other.Sign(make384(3))), "negative": negative, "not below n": more,
		"empty": nil, "short": good[1:], "long": append([]byte{0}, good...), "the request": r.Blinded,
		"zero": make384(0), "one": make384(1), "n": n.Bytes(), "ff": bytes.Repeat([]byte{0xff}, 384),
	} {
		if _, err := r.Finish(bad); !errors.Is(err, voucher.ErrBlindSignature) {
			t.Errorf("%s: %v", name, err)
		}
		if err := d.CheckBlind(r.Blinded, bad); !errors.Is(err, voucher.ErrBlindSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range len(good) {
		altered := bytes.Clone(good)
		altered[i] ^= 1 << (i % 8)
		if _, err := r.Finish(altered); !errors.Is(err, voucher.ErrBlindSignature) {
			t.Errorf("byte %d altered: %v", i, err)
		}
	}
	first, second := must(r.Finish(good)), must(r.Finish(good))
	if first.Text() != second.Text() {
		t.Error("another voucher the second time")
	}
	// Finish does not go by what the caller makes of the request.
	r.Blinded[0] ^= 1
	if _, err := r.Finish(good); err != nil {
		t.Error(err)
	}
}

func make384(last byte) []byte {
	b := make([]byte, 384)
	b[383] = last
	return b
}

func TestRefusalsAreToldApart(t *testing.T) {
	key, other := readKey(t, "issuing"), readKey(t, "other")
	d := denomination(key)
	_, _, v := issue(t, key, d, seed(1))
	with := func(change func(*voucher.Denomination)) voucher.Denomination {
		c := d
		change(&c)
		return c
	}
	// A signature by another key in the place of the true one.
	_, _, theirs := issue(t, other, with(func(d *voucher.Denomination) { d.Key = other.Public() }), seed(1))
	_, signature := theirs.Signed(organisation)
	b := v.Bytes()
	copy(b[len(b)-4-len(signature):], signature)
	forged := must(voucher.Parse(voucher.SpellText(voucher.Framed(1, b[3:len(b)-4]))))
	// A hundred of the mint's, made into a thousand.
	_, _, hundred := issue(t, key, with(func(d *voucher.Denomination) { d.ID = "cny-100-a" }), seed(1))
	b = bytes.Replace(hundred.Bytes(), []byte("\x09cny-100-a"), []byte("\x0acny-1000-a"), 1)
	raised := must(voucher.Parse(voucher.SpellText(voucher.Framed(1, b[3:len(b)-4]))))

	// Signed by the true key, but not as RFC 9474 has it.
	prepared, _ := v.Signed(organisation)
	digest := sha512.Sum384(prepared)
	short := must(rsa.SignPSS(rand.Reader, privateOf(t, key), crypto.SHA384, digest[:], &rsa.PSSOptions{SaltLength: 32}))
	b = v.Bytes()
	copy(b[len(b)-4-len(short):], short)
	salted := must(voucher.Parse(voucher.SpellText(voucher.Framed(1, b[3:len(b)-4]))))

	for name, c := range map[string]struct {
		v    *voucher.Voucher
		d    voucher.Denomination
		org  string
		day  string
		want error
	}{
		"good":                      {v, d, organisation, day, nil},
		"first day":                 {v, d, organisation, d.Since, nil},
		"last day":                  {v, d, organisation, d.Until, nil},
		"day after":                 {v, d, organisation, "2028-01-01", voucher.ErrExpired},
		"day before":                {v, d, organisation, "2026-10-31", voucher.ErrEarly},
		"other organisation":        {v, d, "b" + organisation, day, voucher.ErrOrganisation},
		"and key":                   {theirs, d, "b" + organisation, day, voucher.ErrOrganisation},
		"and denomination":          {v, with(func(d *voucher.Denomination) { d.ID = "x" }), "b", day, voucher.ErrOrganisation},
		"other denomination":        {hundred, d, organisation, day, voucher.ErrDenomination},
		"other key":                 {theirs, d, organisation, day, voucher.ErrForged},
		"forged":                    {forged, d, organisation, day, voucher.ErrForged},
		"forged and expired":        {forged, d, organisation, "2030-01-01", voucher.ErrForged},
		"other salt":                {salted, d, organisation, day, voucher.ErrForged},
		"raised":                    {raised, d, organisation, day, voucher.ErrForged},
		"no day":                    {v, d, organisation, "today", voucher.ErrFormat},
		"key that is none":          {v, with(func(d *voucher.Denomination) { d.Key = "" }), organisation, day, voucher.ErrFormat},
		"denomination that is none": {v, with(func(d *voucher.Denomination) { d.Amount = 0 }), organisation, day, voucher.ErrFormat},
	} {
		err := c.v.Verify(c.d, c.org, c.day)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		for _, other := range []error{voucher.ErrForged, voucher.ErrOrganisation, voucher.ErrDenomination, voucher.ErrExpired, voucher.ErrEarly, voucher.ErrFormat} {
			if other != c.want && errors.Is(err, other) {
				t.Errorf("%s: %v is %v too", name, err, other)
			}
		}
	}

	list := []voucher.Denomination{with(func(d *voucher.Denomination) { d.ID = "cny-100-a" }), d}
	if found, err := v.Find(list, organisation); err != nil || found != d {
		t.Errorf("found %v, %v", found.ID, err)
	}
	if _, err := v.Find(list[:1], organisation); !errors.Is(err, voucher.ErrDenomination) {
		t.Errorf("in no list: %v", err)
	}
	if _, err := v.Find(list, "b"+organisation); !errors.Is(err, voucher.ErrOrganisation) {
		t.Errorf("of another organisation: %v", err)
	}
	if found, err := theirs.Find(list, organisation); err != nil || found != d {
		t.Errorf("Find verifies: %v", err)
	}
}

func TestBlindRefusesWhatIsNoDenominationOrOrganisation(t *testing.T) {
	d := denomination(readKey(t, "issuing"))
	for _, org := range []string{"", "two\nlines", "a\x00b", "a\u0085b", strings.Repeat("x", 201)} {
		if _, err := voucher.Blind(d, seed(1), org); !errors.Is(err, voucher.ErrFormat) {
			t.Errorf("organisation %q: %v", org, err)
		}
	}
	d.ID = "cny\n1000"
	if _, err := voucher.Blind(d, seed(1), organisation); !errors.Is(err, voucher.ErrFormat) {
		t.Error(err)
	}
	d = denomination(readKey(t, "issuing"))
	d.Key = d.Key[:100]
	if _, err := voucher.Blind(d, seed(1), organisation); !errors.Is(err, voucher.ErrFormat) {
		t.Error(err)
	}
}

func TestSpentKeyIsOfTheSerialAlone(t *testing.T) {
	key := readKey(t, "issuing")
	d := denomination(key)
	_, _, v := issue(t, key, d, seed(1))
	_, _, w := issue(t, key, d, seed(2))
	if len(v.SpentKey()) != 64 || v.SpentKey() == w.SpentKey() {
		t.Errorf("%s, %s", v.SpentKey(), w.SpentKey())
	}
	// The serial of v under another prefix, as one who asks for two signatures of it
	// could have.
	b := v.Bytes()
	copy(b[23:], w.Bytes()[23:23+32])
	copy(b[len(b)-4-384:], w.Bytes()[len(b)-4-384:])
	again := must(voucher.Parse(voucher.SpellText(voucher.Framed(1, b[3:len(b)-4]))))
	if again.SpentKey() != v.SpentKey() {
		t.Error("one serial can be paid twice")
	}
	e := d
	e.ID = "cny-1000-b"
	b = bytes.Replace(v.Bytes(), []byte(d.ID), []byte(e.ID), 1)
	if other := must(voucher.Parse(voucher.SpellText(voucher.Framed(1, b[3:len(b)-4])))); other.SpentKey() == v.SpentKey() {
		t.Error("the denomination is not in it")
	}
}

func TestSecretsPrintAsAFixedWord(t *testing.T) {
	key := readKey(t, "issuing")
	r, _, v := issue(t, key, denomination(key), seed(1))
	prepared, signature := v.Signed(organisation)
	secrets := []string{v.Text()[15:30], string(prepared[:16]), string(signature[:16]), key.Reveal()[200:230]}
	for name, c := range map[string]struct {
		value any
		word  string
	}{"voucher": {v, "[voucher]"}, "request": {r, "[voucher request]"}, "key": {key, "[issuing key]"}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%b"} {
			if got := fmt.Sprintf(verb, c.value); got != c.word {
				if verb != "%p" {
					t.Errorf("%s in %s: %s", name, verb, got)
				}
			}
			hidden := struct{ inside any }{c.value}
			got := fmt.Sprintf(verb, hidden) + fmt.Sprintf(verb, &hidden) + fmt.Sprintf(verb, []any{c.value})
			for _, secret := range secrets {
				for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprint([]byte(secret))[1:20]} {
					if strings.Contains(got, form) {
						t.Errorf("%s in a struct in %s: %s", name, verb, got)
					}
				}
			}
		}
		if got := string(must(json.Marshal(c.value))); got != `"`+c.word+`"` {
			t.Errorf("%s in JSON: %s", name, got)
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "y", c.value)
		if !strings.Contains(log.String(), c.word) {
			t.Errorf("%s in the log: %s", name, &log)
		}
	}
	if r.String() != "[voucher request]" || v.String() != "[voucher]" || key.String() != "[issuing key]" || v.GoString() != v.String() {
		t.Error("String")
	}
}
