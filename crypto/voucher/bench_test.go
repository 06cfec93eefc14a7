package voucher_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"testing"

	"github.com/cloudflare/circl/blindsign/blindrsa"
	"github.com/tyler-smith/go-bip39/wordlists"

	"tipbox/crypto/voucher"
)

// Beside each stands what it costs without us: a PSS signature and its verification
// by the standard library, with a key of the same size.
func BenchmarkVoucher(b *testing.B) {
	key := readKey(b, "issuing")
	d := denomination(key)
	private := privateOf(b, key)
	r, blindSignature, v := issue(b, key, d, seed(1))
	prepared, signature := v.Signed(organisation)
	digest := sha512.Sum384(prepared)
	options := &rsa.PSSOptions{SaltLength: 48}
	circl := blindrsa.NewSigner(private)
	text, words := v.Text(), v.Words(wordlists.English)
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"Blind", func() error { _, err := voucher.Blind(d, seed(1), organisation); return err }},
		{"Sign", func() error { _, err := key.Sign(r.Blinded); return err }},
		{"Sign-circl", func() error { _, err := circl.BlindSign(r.Blinded); return err }},
		{"Sign-rsa", func() error {
			_, err := rsa.SignPSS(rand.Reader, private, crypto.SHA384, digest[:], options)
			return err
		}},
		{"CheckBlind", func() error { return d.CheckBlind(r.Blinded, blindSignature) }},
		{"Finish", func() error { _, err := r.Finish(blindSignature); return err }},
		{"Verify", func() error { return v.Verify(d, organisation, day) }},
		{"Verify-rsa", func() error { return rsa.VerifyPSS(&private.PublicKey, crypto.SHA384, digest[:], signature, options) }},
		{"ParseText", func() error { _, err := voucher.Parse(text, wordlists.English); return err }},
		{"ParseWords", func() error { _, err := voucher.Parse(words, wordlists.English); return err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if err := c.do(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "/s")
		})
	}
}
