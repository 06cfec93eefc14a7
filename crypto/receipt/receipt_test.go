package receipt_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/btcsuite/btcd/btcutil/bech32"
	"golang.org/x/text/unicode/norm"

	"tipbox/crypto/receipt"
)

var languages = []string{"cs", "en", "es", "fr", "it", "ja", "ko", "pt", "zh-Hans", "zh-Hant"}

func code(t testing.TB, entropy string) *receipt.Code {
	t.Helper()
	b, err := hex.DecodeString(entropy)
	if err != nil {
		t.Fatal(err)
	}
	c, err := receipt.FromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// From the test vectors that BIP-39 names: of the reference implementation,
// and its Japanese ones.
var official = []struct{ entropy, lang, words string }{
	{"00000000000000000000000000000000", "en", "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"},
	{"7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f", "en", "legal winner thank year wave sausage worth useful legal winner thank yellow"},
	{"80808080808080808080808080808080", "en", "letter advice cage absurd amount doctor acoustic avoid letter advice cage above"},
	{"ffffffffffffffffffffffffffffffff", "en", "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong"},
	{"9e885d952ad362caeb4efe34a8e91bd2", "en", "ozone drill grab fiber curtain grace pudding thank cruise elder eight picnic"},
	{"c0ba5a8e914111210f2bd131f3d5e08d", "en", "scheme spot photo card baby mountain device kick cradle pact join borrow"},
	{"23db8160a31d3e0dca3688ed941adbf3", "en", "cat swing flag economy stadium alone churn speed unique patch report train"},
	{"f30f8c1da665478f49b001d94c5fc452", "en", "vessel ladder alter error federal sibling chat ability sun glass valve picture"},
	{"00000000000000000000000000000000", "ja", "あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あいこくしん　あおぞら"},
	{"7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f", "ja", "そつう　れきだい　ほんやく　わかす　りくつ　ばいか　ろせん　やちん　そつう　れきだい　ほんやく　わかめ"},
}

func TestWordsAreThoseOfBIP39(t *testing.T) {
	for _, v := range official {
		if got := code(t, v.entropy).Words(v.lang); got != v.words {
			t.Errorf("%s in %s:\n got %s\nwant %s", v.entropy, v.lang, got, v.words)
		}
		c, err := receipt.Parse(v.words)
		if err != nil {
			t.Errorf("%s in %s: %v", v.entropy, v.lang, err)
			continue
		}
		if got := hex.EncodeToString(c.Bytes()); got != v.entropy {
			t.Errorf("parsing %q: got %s, want %s", v.words, got, v.entropy)
		}
	}
}

func TestDigitsAreTheNumbersOfTheWords(t *testing.T) {
	for entropy, want := range map[string]string{
		"00000000000000000000000000000000": "0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0003",
		"ffffffffffffffffffffffffffffffff": "2047 2047 2047 2047 2047 2047 2047 2047 2047 2047 2047 2037",
	} {
		if got := code(t, entropy).Digits(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestWordsFollowTheLanguageTag(t *testing.T) {
	c := code(t, "9e885d952ad362caeb4efe34a8e91bd2")
	for tag, list := range map[string]string{
		"": "en", "en-GB": "en", "und": "en", "no such tag": "en", "\xff": "en",
		"ar": "en", "ca": "en", "de": "en", "gl": "en", "ru": "en", "sk": "en", "uk": "en",
		"cs-CZ": "cs", "es-419": "es", "fr-CA": "fr", "it-CH": "it", "ja-JP": "ja", "ko-KR": "ko",
		"pt-BR": "pt", "pt-PT": "pt", "pt_BR": "pt", "PT": "pt",
		"zh": "zh-Hans", "zh-CN": "zh-Hans", "zh-SG": "zh-Hans", "zh-Hans-HK": "zh-Hans", "cmn": "zh-Hans",
		"zh-TW": "zh-Hant", "zh-HK": "zh-Hant", "zh-MO": "zh-Hant", "zh-Hant-TW": "zh-Hant", "zh-Hant-CN": "zh-Hant",
	} {
		if got, want := c.Words(tag), c.Words(list); got != want {
			t.Errorf("Words(%q) = %s, want those of %s", tag, got, list)
		}
	}
	distinct := make(map[string]bool)
	for _, lang := range languages {
		distinct[c.Words(lang)] = true
	}
	if len(distinct) != len(languages) {
		t.Errorf("%d lists for %d languages", len(distinct), len(languages))
	}
}

func TestWordsAreTwelveComposedAndSeparated(t *testing.T) {
	c := code(t, "000102030405060708090a0b0c0d0e0f")
	for _, lang := range languages {
		words, space := c.Words(lang), " "
		if lang == "ja" {
			space = "\u3000"
		}
		if got := len(strings.Split(words, space)); got != 12 {
			t.Errorf("%s: %d words in %q", lang, got, words)
		}
		if !norm.NFC.IsNormalString(words) {
			t.Errorf("%s: %q is not in NFC", lang, words)
		}
	}
}

func TestNewCodesAreDifferent(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		seen[string(receipt.New().Bytes())] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d of 100 codes are different", len(seen))
	}
}

func TestBytesIsACopy(t *testing.T) {
	in := bytes.Repeat([]byte{7}, 16)
	c, err := receipt.FromBytes(in)
	if err != nil {
		t.Fatal(err)
	}
	in[0] = 0
	c.Bytes()[1] = 0
	if got := c.Bytes(); !bytes.Equal(got, bytes.Repeat([]byte{7}, 16)) {
		t.Errorf("the code has changed to %x", got)
	}
}

func TestFromBytesRefusesOtherLengths(t *testing.T) {
	for _, n := range []int{0, 15, 17, 32} {
		if c, err := receipt.FromBytes(make([]byte, n)); err == nil || c != nil {
			t.Errorf("%d bytes are taken", n)
		}
	}
}

// hkdf32 is RFC 5869 by hand, for 32 bytes without a salt.
func hkdf32(secret []byte, info string) []byte {
	mac := func(key []byte, parts ...string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(strings.Join(parts, "")))
		return h.Sum(nil)
	}
	return mac(mac(make([]byte, 32), string(secret)), info, "\x01")
}

func TestDerivationsAreTheDocumentedOnes(t *testing.T) {
	c := receipt.New()
	if got := c.Locator(); !bytes.Equal(got[:], hkdf32(c.Bytes(), "locator")) {
		t.Error("the locator is not HKDF(code, \"locator\")")
	}
	if got := c.SigningKey().Seed(); !bytes.Equal(got, hkdf32(c.Bytes(), "sign")) {
		t.Error("the signing key's seed is not HKDF(code, \"sign\")")
	}
	if got := c.Derive("content tag", 32); !bytes.Equal(got, hkdf32(c.Bytes(), "content tag")) {
		t.Error("Derive is not HKDF(code, info)")
	}
	if got := c.Part(12, 3); !bytes.Equal(got.Bytes(), hkdf32(c.Bytes(), "part 12 3")[:16]) {
		t.Error("the code of a part is not HKDF(code, \"part 12 3\")")
	}
	id, err := c.ReplyIdentity()
	if err != nil {
		t.Fatal(err)
	}
	prefix, seed, err := bech32.DecodeToBase256(id.String())
	if err != nil {
		t.Fatal(err)
	}
	if prefix != "age-secret-key-pq-" || !bytes.Equal(seed, hkdf32(c.Bytes(), "reply")) {
		t.Error("the reply identity is not HKDF(code, \"reply\")")
	}
}

func TestReplyIdentityOpensWhatItsRecipientSealed(t *testing.T) {
	id, err := code(t, "80808080808080808080808080808080").ReplyIdentity()
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "we have read it")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := code(t, "80808080808080808080808080808080").ReplyIdentity()
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(&sealed, again)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(r); string(got) != "we have read it" {
		t.Errorf("got %q", got)
	}
}

func TestDeriveRefusesReservedInfosAndWrongLengths(t *testing.T) {
	panics := func(info string, n int) (did bool) {
		defer func() { did = recover() != nil }()
		receipt.New().Derive(info, n)
		return false
	}
	for _, info := range []string{"", "locator", "reply", "sign", "part 1 1", "part "} {
		if !panics(info, 32) {
			t.Errorf("info %q is taken", info)
		}
	}
	for _, n := range []int{-1, 0, 8161} {
		if !panics("x", n) {
			t.Errorf("%d bytes are taken", n)
		}
	}
	for _, n := range []int{1, 32, 8160} {
		if panics("x", n) {
			t.Errorf("%d bytes are refused", n)
		}
	}
}

func TestNumbersOfPartsAreFromOne(t *testing.T) {
	panics := func(award, part int) (did bool) {
		defer func() { did = recover() != nil }()
		receipt.New().Part(award, part)
		return false
	}
	if !panics(0, 1) || !panics(1, 0) || !panics(-1, 1) || panics(1, 1) {
		t.Error("a part of no number has a code, or the first has none")
	}
}

func TestCodeHidesItself(t *testing.T) {
	c := code(t, "9e885d952ad362caeb4efe34a8e91bd2")
	type public struct {
		Pointer *receipt.Code
		Value   receipt.Code
		List    []receipt.Code
		Map     map[string]*receipt.Code
	}
	type private struct {
		pointer *receipt.Code
		value   receipt.Code
		list    []*receipt.Code
		any     any
	}
	holders := []any{
		c, *c, &c, []*receipt.Code{c}, []receipt.Code{*c},
		public{c, *c, []receipt.Code{*c}, map[string]*receipt.Code{"k": c}},
		&private{c, *c, []*receipt.Code{c}, *c},
	}

	var out bytes.Buffer
	text := slog.New(slog.NewTextHandler(&out, nil))
	lines := slog.New(slog.NewJSONHandler(&out, nil))
	for _, h := range holders {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "% X", "%d", "%b", "%o", "%c", "%U", "%t", "%p", "%T"} {
			fmt.Fprintf(&out, verb+"\n", h)
		}
		fmt.Fprintln(&out, h)
		fmt.Fprintln(&out, fmt.Errorf("failed with %v", h))
		text.Info("text", "code", h)
		lines.Info("json", "code", h)
		if err := json.NewEncoder(&out).Encode(h); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Fprintln(&out, c.String(), c.GoString(), c.LogValue())

	// Nothing of what is secret may be there, in any notation of its bytes.
	b := c.Bytes()
	secrets := append(strings.Fields(c.Words("en")), c.Digits(), string(b[:4]))
	for _, verb := range []string{"%x", "%X", "% x", "% X", "%d", "%b", "%o", "%#v", "%v", "%c", "%U"} {
		whole := strings.Trim(fmt.Sprintf(verb, b[:4]), "[]")
		secrets = append(secrets, strings.TrimPrefix(whole, "[]byte{"))
	}
	for _, s := range secrets {
		if i := strings.Index(out.String(), strings.TrimSuffix(s, "}")); i >= 0 {
			t.Errorf("%q is shown: …%s…", s, out.String()[max(i-40, 0):i+40])
		}
	}

	const hidden = "[receipt code]"
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, h := range []any{c, *c} {
			if got := fmt.Sprintf(verb, h); got != hidden {
				t.Errorf("%s prints %q", verb, got)
			}
		}
	}
	if got, _ := json.Marshal(public{Pointer: c, Value: *c}); !bytes.Contains(got, []byte(`{"Pointer":"`+hidden+`","Value":"`+hidden+`"`)) {
		t.Errorf("JSON is %s", got)
	}
	if got, _ := json.Marshal(map[receipt.Code]int{*c: 1}); string(got) != `{"`+hidden+`":1}` {
		t.Errorf("JSON of a map is %s", got)
	}
	if got := c.LogValue(); got.String() != hidden {
		t.Errorf("the log value is %v", got)
	}
}

func TestWordsLanguageIsThatOfTheWords(t *testing.T) {
	for lang, want := range map[string]string{
		"en": "en", "en-GB": "en", "de": "en", "ar": "en", "hi": "en", "ru": "en", "": "en",
		"zh-Hans": "zh-Hans", "zh-Hant": "zh-Hant", "fr": "fr", "es": "es", "pt": "pt", "ja": "ja", "ko": "ko",
	} {
		if got := receipt.WordsLanguage(lang); got != want {
			t.Errorf("the words for %q are in %q, not %q", lang, got, want)
		}
	}
}
