package voucher_test

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/tyler-smith/go-bip39/wordlists"

	"tipbox/crypto/voucher"
)

// testdata holds vectors for another implementation: an issuing key (of nobody, used
// nowhere else), and what has to come of it and of seeds, byte by byte. What has to
// come of them is written anew by
//
//	go test ./crypto/voucher -run TestVectors -update
var update = flag.Bool("update", false, "write the vectors in testdata anew")

type vector struct {
	Comment        string               `json:"comment"`
	Organisation   string               `json:"organisation"`
	Denomination   voucher.Denomination `json:"denomination"`
	Seed           string               `json:"seed"`
	Serial         string               `json:"serial"`
	Prefix         string               `json:"prefix"`
	Salt           string               `json:"salt"`
	Factor         string               `json:"factor"`
	Prepared       string               `json:"prepared"`
	Blinded        string               `json:"blinded"`
	BlindSignature string               `json:"blind_signature"`
	Signature      string               `json:"signature"`
	Bytes          string               `json:"bytes"`
	Spent          string               `json:"spent"`
	Text           string               `json:"text"`
	Compact        string               `json:"compact"`
	Digits         string               `json:"digits"`
	English        string               `json:"english"`
	Chinese        string               `json:"chinese"`
}

func TestVectors(t *testing.T) {
	key := readKey(t, "issuing")
	longer := denomination(key)
	longer.ID, longer.Amount = "twelve-hundred-and-a-half-yuan-a", 120050 // of 32 letters
	var vectors []vector
	for _, c := range []struct {
		comment string
		d       voucher.Denomination
		seed    [32]byte
		try     int
	}{
		{"the seed is 32 zeros", denomination(key), [32]byte{}, 0},
		{"the factor is the second that was tried", denomination(key), seed(3), 1},
		{"the longest id, and the factor is the third", longer, seed(1), 2},
	} {
		r, blindSignature, v := issue(t, key, c.d, c.seed)
		expand := func(label string, n int) []byte {
			return must(hkdf.Key(sha256.New, c.seed[:], nil, "tipbox voucher v1\n"+label+"\n"+organisation+"\n"+c.d.ID+"\n"+c.d.Key+"\n", n))
		}
		try := 0
		for n := must(c.d.Public()).N; new(big.Int).SetBytes(expand(fmt.Sprintf("factor %d", try), 384)).Cmp(n) >= 0; try++ {
		}
		if try != c.try {
			t.Errorf("%s: factor %d", c.comment, try)
		}
		prepared, signature := v.Signed(organisation)
		vectors = append(vectors, vector{
			Comment: c.comment, Organisation: organisation, Denomination: c.d, Seed: hex.EncodeToString(c.seed[:]),
			Serial: hex.EncodeToString(expand("serial", 16)), Prefix: hex.EncodeToString(expand("prefix", 32)),
			Salt: hex.EncodeToString(expand("salt", 48)), Factor: hex.EncodeToString(expand(fmt.Sprintf("factor %d", try), 384)),
			Prepared: hex.EncodeToString(prepared), Blinded: hex.EncodeToString(r.Blinded), BlindSignature: hex.EncodeToString(blindSignature),
			Signature: hex.EncodeToString(signature), Bytes: hex.EncodeToString(v.Bytes()), Spent: v.SpentKey(),
			Text: v.Text(), Compact: v.Compact(), Digits: v.Digits(), English: v.Words(wordlists.English), Chinese: v.Words(wordlists.ChineseSimplified),
		})
	}
	got := string(must(json.MarshalIndent(vectors, "", "  "))) + "\n"
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", "vectors.json"), []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, "vectors.json"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
