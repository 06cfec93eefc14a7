package voucher_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"tipbox/crypto/voucher"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(strings.TrimPrefix(string(text), "0x"))
	return err
}

func (h hexBytes) number() *big.Int { return new(big.Int).SetBytes(h) }

// testdata/rfc9474.json are the vectors of RFC 9474, appendix A.1 and A.3: those of
// our variant, and of the one that lacks the prefix only. They go through the functions
// that make vouchers.
func TestRFC9474(t *testing.T) {
	var vectors []struct {
		Name          string
		P, Q, N, E, D hexBytes
		Msg           hexBytes
		MsgPrefix     hexBytes `json:"msg_prefix"`
		InputMsg      hexBytes `json:"input_msg"`
		Salt, Inv     hexBytes
		BlindedMsg    hexBytes `json:"blinded_msg"`
		BlindSig      hexBytes `json:"blind_sig"`
		Sig           hexBytes
	}
	if err := json.Unmarshal([]byte(read(t, "rfc9474.json")), &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) != 2 || vectors[0].Name != "RSABSSA-SHA384-PSS-Randomized" || len(vectors[0].MsgPrefix) != 32 {
		t.Fatalf("%d vectors", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			public := rsa.PublicKey{N: v.N.number(), E: int(v.E.number().Int64())}
			key, err := voucher.IssuingKeyFrom(&rsa.PrivateKey{PublicKey: public, D: v.D.number(), Primes: []*big.Int{v.P.number(), v.Q.number()}})
			if err != nil {
				t.Fatal(err)
			}
			if prepared := append(bytes.Clone(v.MsgPrefix), v.Msg...); !bytes.Equal(prepared, v.InputMsg) {
				t.Errorf("prepared %x", prepared)
			}
			factor := new(big.Int).ModInverse(v.Inv.number(), public.N)
			blinded, finalize, err := voucher.BlindWith(&public, v.InputMsg, v.Salt, factor.FillBytes(make([]byte, len(v.N))))
			if err != nil || !bytes.Equal(blinded, v.BlindedMsg) {
				t.Errorf("blinded %x, %v", blinded, err)
			}
			blindSignature, err := key.Sign(v.BlindedMsg)
			if err != nil || !bytes.Equal(blindSignature, v.BlindSig) {
				t.Errorf("blind signature %x, %v", blindSignature, err)
			}
			d := voucher.Denomination{ID: "x", Key: base64.StdEncoding.EncodeToString(must(x509.MarshalPKIXPublicKey(&public)))}
			if err := d.CheckBlind(v.BlindedMsg, v.BlindSig); err != nil || d.Key != key.Public() {
				t.Errorf("the blind signature does not check out: %v", err)
			}
			signature, err := finalize(v.BlindSig)
			if err != nil || !bytes.Equal(signature, v.Sig) {
				t.Errorf("signature %x, %v", signature, err)
			}
			digest := sha512.Sum384(v.InputMsg)
			if err := rsa.VerifyPSS(&public, crypto.SHA384, digest[:], v.Sig, &rsa.PSSOptions{SaltLength: 48}); err != nil {
				t.Error(err)
			}
		})
	}
}
