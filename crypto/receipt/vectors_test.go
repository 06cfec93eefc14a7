package receipt_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode"

	"tipbox/crypto/receipt"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const vectorsFile = "testdata/vectors.json"

type vectors struct {
	Comment  []string         `json:"comment"`
	Codes    []codeVector     `json:"codes"`
	Accepted []acceptedVector `json:"accepted"`
	Rejected []rejectedVector `json:"rejected"`
}

type codeVector struct {
	Entropy          string            `json:"entropy"`
	Words            map[string]string `json:"words"`
	Digits           string            `json:"digits"`
	Locator          string            `json:"locator"`
	ReplyIdentity    string            `json:"reply_identity"`
	ReplyRecipient   string            `json:"reply_recipient"`
	SigningPublicKey string            `json:"signing_public_key"`
	Parts            []partVector      `json:"parts"`
}

type partVector struct {
	Award   int    `json:"award"`
	Part    int    `json:"part"`
	Entropy string `json:"entropy"` // of its code
}

type acceptedVector struct {
	Name    string `json:"name"`
	Text    string `json:"text"`
	Entropy string `json:"entropy"`
}

type rejectedVector struct {
	Name     string   `json:"name"`
	Text     string   `json:"text"`
	Error    string   `json:"error"`              // "length", "word" or "checksum"
	Got      int      `json:"got,omitempty"`      // of a length error
	Position int      `json:"position,omitempty"` // of a word error, and what follows
	Word     string   `json:"word,omitempty"`
	Nearest  []string `json:"nearest,omitempty"`
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	b, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVectorsAreWhatTheCodeMakes(t *testing.T) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(makeVectors(t)); err != nil {
		t.Fatal(err)
	}
	made := visible(b.String())
	if *update {
		if err := os.WriteFile(vectorsFile, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if made != string(kept) {
		t.Errorf("%s is not what the code makes; if that is right, see its comment", vectorsFile)
	}
}

func TestParseAcceptsTheVectors(t *testing.T) {
	v := readVectors(t)
	for _, c := range v.Codes {
		for lang, words := range c.Words {
			v.Accepted = append(v.Accepted, acceptedVector{"words in " + lang, words, c.Entropy})
		}
		v.Accepted = append(v.Accepted, acceptedVector{"digits", c.Digits, c.Entropy})
	}
	for _, a := range v.Accepted {
		c, err := receipt.Parse(a.Text)
		if err != nil {
			t.Errorf("%s: %v", a.Name, err)
			continue
		}
		if got := hex.EncodeToString(c.Bytes()); got != a.Entropy {
			t.Errorf("%s: is %s, want %s", a.Name, got, a.Entropy)
		}
	}
}

func TestParseRejectsTheVectors(t *testing.T) {
	for _, want := range readVectors(t).Rejected {
		got := rejectedVector{Name: want.Name, Text: want.Text}
		_, err := receipt.Parse(want.Text)
		var length *receipt.LengthError
		var word *receipt.WordError
		switch {
		case errors.As(err, &length):
			got.Error, got.Got = "length", length.Got
		case errors.As(err, &word):
			got.Error, got.Position, got.Word, got.Nearest = "word", word.Position, word.Word, word.Nearest
		case errors.Is(err, receipt.ErrChecksum):
			got.Error = "checksum"
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s:\n got %+v (%v)\nwant %+v", want.Name, got, err, want)
		}
	}
}

func makeVectors(t *testing.T) vectors {
	v := vectors{
		Comment: []string{
			"Vectors for receipt codes; the package comment of crypto/receipt is their specification.",
			"Written by: go test ./crypto/receipt -run TestVectors -update",
			"codes: what is derived from a code. accepted: what is read as a code, beside its own forms.",
			"rejected: what is not; position counts from 1, got is how many were found; nearest is advice and may differ.",
		},
		Accepted: accepted,
		Rejected: rejected,
	}
	for _, entropy := range []string{
		"00000000000000000000000000000000", "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f", "80808080808080808080808080808080",
		"ffffffffffffffffffffffffffffffff", "000102030405060708090a0b0c0d0e0f", "9e885d952ad362caeb4efe34a8e91bd2",
	} {
		c := code(t, entropy)
		id, err := c.ReplyIdentity()
		if err != nil {
			t.Fatal(err)
		}
		words := make(map[string]string)
		for _, lang := range languages {
			words[lang] = c.Words(lang)
		}
		locator := c.Locator()
		var parts []partVector
		for _, n := range [][2]int{{1, 1}, {1, 2}, {2, 1}, {11, 1}, {1, 11}, {2000, 20}} {
			parts = append(parts, partVector{n[0], n[1], hex.EncodeToString(c.Part(n[0], n[1]).Bytes())})
		}
		v.Codes = append(v.Codes, codeVector{
			Entropy:          entropy,
			Words:            words,
			Digits:           c.Digits(),
			Locator:          hex.EncodeToString(locator[:]),
			ReplyIdentity:    id.String(),
			ReplyRecipient:   id.Recipient().String(),
			SigningPublicKey: hex.EncodeToString(c.SigningKey().Public().(ed25519.PublicKey)),
			Parts:            parts,
		})
	}
	return v
}

// visible escapes what cannot be seen in a JSON text.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 0x80 && r < 0x10000 && unicode.In(r, unicode.Cf, unicode.Z, unicode.Mn) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
