package receipt_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"tipbox/crypto/receipt"
)

func genCode(t *rapid.T) *receipt.Code {
	c, err := receipt.FromBytes(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "entropy"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var plain = func(s string) string { return s }

// mapped returns a function that replaces the runes from lo to hi by those
// from to on.
func mapped(lo, hi, to rune) func(string) string {
	return func(s string) string {
		return strings.Map(func(r rune) rune {
			if lo <= r && r <= hi {
				return r - lo + to
			}
			return r
		}, s)
	}
}

func without(marks *unicode.RangeTable) func(string) string {
	return func(s string) string {
		return strings.Map(func(r rune) rune {
			if unicode.Is(marks, r) {
				return -1
			}
			return r
		}, norm.NFD.String(s))
	}
}

func peppered(with string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for _, r := range s {
			b.WriteString(string(r) + with)
		}
		return b.String()
	}
}

func cut(n int) func(string) string {
	return func(s string) string {
		r := []rune(norm.NFC.String(s))
		return string(r[:min(n, len(r))])
	}
}

var (
	spellings = []func(string) string{
		plain, strings.ToUpper, strings.ToTitle, norm.NFD.String, norm.NFKD.String,
		mapped('!', '~', '！'), peppered("\u200b"), peppered("\u00ad"), peppered("\u2060\ufeff"), peppered("\ufe0f"),
	}
	latinSpellings = append([]func(string) string{
		without(unicode.Mn), cut(4), cut(5), cut(6), peppered("\u0301"), mapped('a', 'z', '𝐚'), mapped('a', 'z', 'ⓐ'),
	}, spellings...)
	japaneseSpellings = append([]func(string) string{mapped('ぁ', 'ゖ', 'ァ'), without(unicode.Mn)}, spellings...)
	digitSpellings    = []func(string) string{
		plain, mapped('0', '9', '０'), mapped('0', '9', '٠'), mapped('0', '9', '۰'), mapped('0', '9', '०'),
		mapped('0', '9', '๐'), mapped('0', '9', '𝟎'), peppered("\u200d"),
	}

	// Separators hold no digit and no letter.
	separators = []string{
		" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u202f", "\u3000", "\u2028", ", ", ",", ". ", ".", "-", " - ", "‐", "–", "—", "−",
		"_", "/", " | ", "; ", "、", "，", "。", "・", "·", "…", "\x00", "\v\f", "\" \"", "”, “",
	}
	numberings = []string{"", "%d. ", "%d) ", "(%d) ", "%02d ", "%d: ", "#%d ", "%d\n"}
	wrappers   = []string{"", " ", "\"", "'", "\ufeff", "\n\n", "\u200e", "«", "`"}
)

// mangle spells the words as somebody might.
func mangle(t *rapid.T, words []string, spellings []func(string) string, separators, numberings []string) string {
	sep := rapid.SampledFrom(separators).Draw(t, "separator")
	numbering := rapid.SampledFrom(numberings).Draw(t, "numbering")
	every := rapid.SampledFrom(spellings).Draw(t, "spelling")
	mixed := rapid.Bool().Draw(t, "mixed")
	var b strings.Builder
	wrap := rapid.SampledFrom(wrappers).Draw(t, "wrapper")
	b.WriteString(wrap)
	for i, w := range words {
		if mixed {
			every = rapid.SampledFrom(spellings).Draw(t, "spelling of a word")
		}
		if i > 0 {
			b.WriteString(sep)
		}
		if numbering != "" {
			fmt.Fprintf(&b, numbering, i+1)
		}
		b.WriteString(every(w))
	}
	b.WriteString(wrap)
	return b.String()
}

func spellingsOf(lang string) []func(string) string {
	switch lang {
	case "ja":
		return japaneseSpellings
	case "ko", "zh-Hans", "zh-Hant":
		return spellings
	}
	return latinSpellings
}

func checkParses(t *rapid.T, text string, want *receipt.Code) {
	got, err := receipt.Parse(text)
	if err != nil {
		t.Fatalf("%+q: %v", text, err)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Fatalf("%+q: is %x, want %x", text, got.Bytes(), want.Bytes())
	}
}

func TestParseReadsWordsHoweverTyped(t *testing.T) {
	for _, lang := range languages {
		t.Run(lang, rapid.MakeCheck(func(t *rapid.T) {
			c, seps := genCode(t), separators
			if strings.HasPrefix(lang, "zh") {
				seps = append([]string{"", "", ""}, seps...)
			}
			text := mangle(t, strings.Fields(c.Words(lang)), spellingsOf(lang), seps, numberings)
			checkParses(t, text, c)
		}))
	}
}

func TestParseReadsDigitsHoweverTyped(t *testing.T) {
	t.Run("in groups", rapid.MakeCheck(func(t *rapid.T) {
		c := genCode(t)
		checkParses(t, mangle(t, strings.Fields(c.Digits()), digitSpellings, separators, numberings), c)
	}))
	t.Run("run together", rapid.MakeCheck(func(t *rapid.T) {
		c := genCode(t)
		all, n := strings.ReplaceAll(c.Digits(), " ", ""), rapid.IntRange(1, 48).Draw(t, "digits in a group")
		var groups []string
		for ; len(all) > n; all = all[n:] {
			groups = append(groups, all[:n])
		}
		checkParses(t, mangle(t, append(groups, all), digitSpellings, separators, []string{""}), c)
	}))
	t.Run("without the zeros in front", rapid.MakeCheck(func(t *rapid.T) {
		c := genCode(t)
		var groups []string
		for _, g := range strings.Fields(c.Digits()) {
			groups = append(groups, strings.TrimLeft(g[:3], "0")+g[3:])
		}
		checkParses(t, mangle(t, groups, digitSpellings, separators, numberings), c)
	}))
}

func TestParseReadsChineseOfMixedScripts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCode(t)
		words, others := strings.Fields(c.Words("zh-Hans")), strings.Fields(c.Words("zh-Hant"))
		for i := range words {
			if rapid.Bool().Draw(t, "traditional") {
				words[i] = others[i]
			}
		}
		checkParses(t, strings.Join(words, ""), c)
	})
}

func TestParseNamesThePlaceOfAWrongWord(t *testing.T) {
	wrong := map[string]string{
		"ja": "んんんん", "ko": "뷁뷁", "zh-Hans": "龘", "zh-Hant": "龘",
		"cs": "zzqx", "en": "zzqx", "es": "zzqx", "fr": "zzqx", "it": "zzqx", "pt": "zzqx",
	}
	for _, lang := range languages {
		t.Run(lang, rapid.MakeCheck(func(t *rapid.T) {
			words, i := strings.Fields(genCode(t).Words(lang)), rapid.IntRange(0, 11).Draw(t, "place")
			words[i] = wrong[lang]
			_, err := receipt.Parse(mangle(t, words, []func(string) string{plain}, separators, numberings))
			var e *receipt.WordError
			if !errors.As(err, &e) || e.Position != i+1 || e.Word != wrong[lang] {
				t.Fatalf("got %#v, want word %d", err, i+1)
			}
		}))
	}
	t.Run("digits", rapid.MakeCheck(func(t *rapid.T) {
		groups, i := strings.Fields(genCode(t).Digits()), rapid.IntRange(0, 11).Draw(t, "place")
		groups[i] = rapid.StringMatching(`2048|99999|204[89]|[3-9]\d{3}|\d{5,30}|o123|12e4|zero`).Draw(t, "group")
		_, err := receipt.Parse(mangle(t, groups, []func(string) string{plain}, separators, numberings))
		var e *receipt.WordError
		if !errors.As(err, &e) || e.Position != i+1 || e.Word != groups[i] {
			t.Fatalf("got %#v, want group %d", err, i+1)
		}
	}))
}

func TestParseNoticesMostSwaps(t *testing.T) {
	const rounds = 2000
	read := 0
	for range rounds {
		words := strings.Fields(receipt.New().Words("en"))
		words[3], words[7] = words[7], words[3]
		_, err := receipt.Parse(strings.Join(words, " "))
		if err == nil {
			read++
		} else if err != receipt.ErrChecksum {
			t.Fatal(err)
		}
	}
	if read > rounds/8 { // a sixteenth is expected
		t.Errorf("%d of %d swaps went unnoticed", read, rounds)
	}
}

func TestErrorsShowNothingThatWasTyped(t *testing.T) {
	words := strings.Fields(code(t, "9e885d952ad362caeb4efe34a8e91bd2").Words("en"))
	words[4] = "curtian"
	_, err := receipt.Parse(strings.Join(words, " "))
	var e *receipt.WordError
	if !errors.As(err, &e) || e.Word != "curtian" || len(e.Nearest) == 0 || e.Nearest[0] != "curtain" {
		t.Fatalf("got %#v", err)
	}
	for _, w := range append(words, "curtain") {
		if strings.Contains(err.Error(), w) {
			t.Errorf("the error %q has the word %q", err, w)
		}
	}
}

func TestParseRefusesLongTextUnread(t *testing.T) {
	c := receipt.New()
	if _, err := receipt.Parse(c.Words("en") + strings.Repeat(" ", 3500)); err != nil {
		t.Errorf("a text within the bound: %v", err)
	}
	for _, s := range []string{
		strings.Repeat(" ", 4097), strings.Repeat("a", 1<<20), strings.Repeat("zoo ", 2000), strings.Repeat("㌖", 1000), c.Words("en") + strings.Repeat(" ", 4096),
	} {
		var e *receipt.LengthError
		if _, err := receipt.Parse(s); !errors.As(err, &e) || e.Got <= 12 {
			t.Errorf("%d bytes: got %#v", len(s), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	c := code(f, "9e885d952ad362caeb4efe34a8e91bd2")
	for _, lang := range languages {
		f.Add(c.Words(lang))
	}
	f.Add(c.Digits())
	f.Add(strings.ReplaceAll(c.Digits(), " ", ""))
	v := readVectors(f)
	for _, a := range v.Accepted {
		f.Add(a.Text)
	}
	for _, r := range v.Rejected {
		f.Add(r.Text)
	}
	f.Add("\xff\xfe \xed\xa0\x80")
	f.Add("ﷺﷺﷺ ㍿ 1⁄2 ½ ¹²³ ⅷ 𝟘 ´ ¨ i̇ ẞ ŉ")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := receipt.Parse(s)
		var word *receipt.WordError
		var length *receipt.LengthError
		switch {
		case err == nil:
		case c != nil:
			t.Fatalf("%q: a code and the error %v", s, err)
		case err == receipt.ErrChecksum:
			return
		case errors.As(err, &length):
			if length.Got < 0 || length.Got == 12 {
				t.Fatalf("%q: got %d", s, length.Got)
			}
			return
		case errors.As(err, &word):
			if word.Position < 1 || word.Position > 12 || word.Word == "" || len(word.Nearest) > 4 {
				t.Fatalf("%q: got %#v", s, word)
			}
			return
		default:
			t.Fatalf("%q: %v", s, err)
		}
		forms := []string{c.Digits()}
		for _, lang := range languages {
			forms = append(forms, c.Words(lang))
		}
		for _, form := range forms {
			again, err := receipt.Parse(form)
			if err != nil || !bytes.Equal(again.Bytes(), c.Bytes()) {
				t.Fatalf("%q: its form %q is not read back: %v", s, form, err)
			}
		}
	})
}
