package voucher_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/cloudflare/circl/blindsign/blindrsa"

	"tipbox/crypto/voucher"
)

// privateOf is the key in a key file, read without the package.
func privateOf(t testing.TB, key *voucher.IssuingKey) *rsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode([]byte(key.Reveal()))
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return private.(*rsa.PrivateKey)
}

func TestNewKeyIssues(t *testing.T) {
	key, err := voucher.GenerateIssuingKey()
	if err != nil {
		t.Fatal(err)
	}
	if bits := privateOf(t, key).N.BitLen(); bits != 3072 {
		t.Errorf("%d bits", bits)
	}
	d := denomination(key)
	_, _, v := issue(t, key, d, seed(1))
	if err := v.Verify(d, organisation, day); err != nil {
		t.Error(err)
	}
}

func TestKeyFile(t *testing.T) {
	key := readKey(t, "issuing")
	if got := key.Reveal(); got != read(t, "issuing.key") {
		t.Errorf("revealed is\n%s", got)
	}
	text := key.Reveal()
	for name, good := range map[string]string{
		"comment": strings.Replace(text, "v1\n", "v1\n# denomination: cny-1000-a\n#\n", 1),
		"CRLF":    strings.ReplaceAll(text, "\n", "\r\n"),
		"newline": text + "\n\n",
	} {
		if again, err := voucher.ParseIssuingKey(good); err != nil || again.Public() != key.Public() {
			t.Errorf("%s: %v", name, err)
		}
	}
	header, body, _ := strings.Cut(text, "\n")
	spell := func(der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return header + "\n" + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	short := must(rsa.GenerateKey(rand.Reader, 2048))
	curve := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(short)}))
	for name, bad := range map[string]string{
		"empty": "", "no header": body, "newer": strings.Replace(text, "v1", "v2", 1), "header only": header + "\n",
		"member key": "# tipbox member key v1\n" + body, "twice": text + body, "something behind": text + "x",
		"something in front": header + "\nx\n" + body, "cut": text[:len(text)-100], "altered": strings.Replace(text, "MII", "MIJ", 1),
		"2048 bits": spell(x509.MarshalPKCS8PrivateKey(short)), "no RSA": spell(x509.MarshalPKCS8PrivateKey(curve)),
		"PKCS #1": header + "\n" + pkcs1, "PEM header": strings.Replace(text, "KEY-----\n", "KEY-----\nA: b\n\n", 1),
		"long": header + "\n" + strings.Repeat("#\n", 9<<10) + body,
	} {
		_, err := voucher.ParseIssuingKey(bad)
		if !errors.Is(err, voucher.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWeakKeysAreRefused(t *testing.T) {
	good := privateOf(t, readKey(t, "issuing"))
	with := func(change func(*rsa.PrivateKey)) *rsa.PrivateKey {
		k := &rsa.PrivateKey{PublicKey: good.PublicKey, D: good.D, Primes: good.Primes}
		change(k)
		return k
	}
	for name, k := range map[string]*rsa.PrivateKey{
		"exponent 3":       with(func(k *rsa.PrivateKey) { k.E = 3 }),
		"exponent 1":       with(func(k *rsa.PrivateKey) { k.E = 1 }),
		"other D":          with(func(k *rsa.PrivateKey) { k.D = new(big.Int).Add(k.D, big.NewInt(2)) }),
		"other modulus":    with(func(k *rsa.PrivateKey) { k.N = new(big.Int).Add(k.N, big.NewInt(2)) }),
		"even modulus":     with(func(k *rsa.PrivateKey) { k.N = new(big.Int).Add(k.N, big.NewInt(1)) }),
		"no primes":        with(func(k *rsa.PrivateKey) { k.Primes = nil }),
		"one prime":        with(func(k *rsa.PrivateKey) { k.Primes = k.Primes[:1] }),
		"the same prime":   with(func(k *rsa.PrivateKey) { k.Primes = []*big.Int{k.Primes[0], k.Primes[0]} }),
		"modulus of a bit": with(func(k *rsa.PrivateKey) { k.N = big.NewInt(1) }),
	} {
		if _, err := voucher.IssuingKeyFrom(k); !errors.Is(err, voucher.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := voucher.IssuingKeyFrom(with(func(*rsa.PrivateKey) {})); err != nil {
		t.Error(err)
	}
	one, phi, n := big.NewInt(1), big.NewInt(1), big.NewInt(1)
	var primes []*big.Int
	for range 3 { // valid, but Sign is made for two
		p := must(rand.Prime(rand.Reader, 1024))
		primes = append(primes, p)
		n.Mul(n, p)
		phi.Mul(phi, new(big.Int).Sub(p, one))
	}
	three := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537}, D: new(big.Int).ModInverse(big.NewInt(65537), phi), Primes: primes}
	if n.BitLen() != 3072 || three.Validate() != nil {
		t.Log("no valid key of three primes this time")
	} else if _, err := voucher.IssuingKeyFrom(three); !errors.Is(err, voucher.ErrFormat) {
		t.Errorf("three primes: %v", err)
	}
}

func TestSignRefusesWhatIsNoRequest(t *testing.T) {
	key := readKey(t, "issuing")
	d := denomination(key)
	n := must(d.Public()).N
	plus := func(i int64) []byte { return new(big.Int).Add(n, big.NewInt(i)).FillBytes(make([]byte, 384)) }
	good := must(voucher.Blind(d, seed(1), organisation)).Blinded
	for name, bad := range map[string][]byte{
		"empty": nil, "zero": make384(0), "one": make384(1), "n-1": plus(-1), "n": plus(0), "n+1": plus(1), "n+2": plus(2),
		"ff": bytes.Repeat([]byte{0xff}, 384), "short": good[1:], "long": append([]byte{0}, good...), "zeros behind": append(bytes.Clone(good), 0),
		"4096 bits": make([]byte, 512), "megabyte": make([]byte, 1<<20),
	} {
		if _, err := key.Sign(bad); !errors.Is(err, voucher.ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
		if err := d.CheckBlind(bad, bad); !errors.Is(err, voucher.ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, edge := range map[string][]byte{"two": make384(2), "n-2": plus(-2)} {
		signature, err := key.Sign(edge)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := d.CheckBlind(edge, signature); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignIsWhatCirclSigns(t *testing.T) {
	key := readKey(t, "issuing")
	signer := blindrsa.NewSigner(privateOf(t, key))
	for i := range byte(4) {
		blinded := must(voucher.Blind(denomination(key), seed(i), organisation)).Blinded
		if !bytes.Equal(must(key.Sign(blinded)), must(signer.BlindSign(blinded))) {
			t.Errorf("seed %d: another signature", i)
		}
	}
}

func TestAFaultGivesNoSignatureAway(t *testing.T) {
	private := privateOf(t, readKey(t, "issuing"))
	key := must(voucher.IssuingKeyFrom(private))
	request := make384(3)
	must(key.Sign(request))
	private.Precomputed.Dp = new(big.Int).Xor(private.Precomputed.Dp, big.NewInt(1<<20)) // a flipped bit
	if signature, err := key.Sign(request); err == nil || errors.Is(err, voucher.ErrRequest) || signature != nil {
		t.Errorf("signed with half of a key: %v", err)
	}
}

func TestKeySignsForSeveralAtOnce(t *testing.T) {
	key := readKey(t, "issuing")
	d := denomination(key)
	var wg sync.WaitGroup
	for i := range byte(4) {
		wg.Go(func() {
			r := must(voucher.Blind(d, seed(i), organisation))
			for range 3 {
				if _, err := r.Finish(must(key.Sign(r.Blinded))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
