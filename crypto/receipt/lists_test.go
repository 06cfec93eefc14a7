package receipt

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

var lists = map[string]list{
	"cs": czech, "en": english, "es": spanish, "fr": french, "it": italian, "ja": japanese,
	"ko": korean, "pt": portuguese, "zh-Hans": simplified, "zh-Hant": traditional,
}

func TestListsHave2048WordsThatFoldApart(t *testing.T) {
	for lang, l := range lists {
		words := l.words()
		if len(words) != listLen {
			t.Errorf("%s has %d words", lang, len(words))
		}
		keys := make(map[string]bool)
		for _, w := range words {
			if !norm.NFKD.IsNormalString(w) {
				t.Errorf("%s: %q is not in NFKD", lang, w)
			}
			keys[fold(w)] = true
			for _, form := range []norm.Form{norm.NFC, norm.NFKC, norm.NFD} {
				if got := fold(norm.NFKD.String(form.String(w))); got != fold(w) {
					t.Errorf("%s: %q folds to %q and to %q", lang, w, fold(w), got)
				}
			}
		}
		if len(keys) != listLen {
			t.Errorf("%s: only %d words are told apart", lang, len(keys))
		}
	}
}

func TestPortugueseListIsTheOneOfBIP39(t *testing.T) {
	words := portuguese.words()
	for n, want := range map[int]string{0: "abacate", 1: "abaixo", 2: "abalar", 2047: "zumbido"} {
		if words[n] != want {
			t.Errorf("word %d is %q, not %q", n, words[n], want)
		}
	}
	if !slices.IsSorted(words) {
		t.Error("the words are not in order")
	}
}

func TestBothChineseListsGiveACharacterOneNumber(t *testing.T) {
	numbers := make(map[string]int)
	for n, w := range simplified.words() {
		numbers[w] = n
	}
	for n, w := range traditional.words() {
		if m, ok := numbers[w]; ok && m != n {
			t.Errorf("%s is %d and %d", w, m, n)
		}
	}
}

func TestLexiconsFindEveryWordAndEveryCutThatBeginsOnlyOne(t *testing.T) {
	for lang, l := range lists {
		i := slices.IndexFunc(lexicons, func(x lexicon) bool {
			_, ok := x.number(fold(l.words()[1000]))
			return ok && x.speaks([]token{{key: l.words()[1000]}}) && slices.ContainsFunc(x.entries(), func(e entry) bool {
				return e.key == fold(l.words()[2047])
			})
		})
		if i < 0 {
			t.Errorf("%s is in no lexicon", lang)
			continue
		}
		begin := make(map[string]int) // how many words begin with four letters
		for _, e := range lexicons[i].entries() {
			key := []rune(e.key)
			begin[string(key[:min(4, len(key))])]++
		}
		for n, w := range l.words() {
			key := []rune(fold(w))
			if got, ok := lexicons[i].number(string(key)); !ok || int(got) != n {
				t.Errorf("%s: %s is %d, %v", lang, w, got, ok)
			}
			if len(key) < 4 {
				continue
			}
			cut := string(key[:4])
			if begin[cut] > 1 && lang != "ko" { // where a letter is a part of a syllable
				t.Errorf("%s: %d words begin with %s", lang, begin[cut], cut)
			}
			if got, ok := lexicons[i].number(cut); ok != (begin[cut] == 1) || ok && int(got) != n {
				t.Errorf("%s: %s is %d, %v, and begins %d words", lang, cut, got, ok, begin[cut])
			}
		}
	}
}

// Parse's comment gives these shares.
func TestFewWordsAreReadInAnEarlierList(t *testing.T) {
	latin := []list{english, spanish, french, portuguese, italian, czech}
	for i, l := range latin {
		for j := range i {
			var whole, cut int
			for _, w := range l.words() {
				key := fold(w)
				if _, ok := lexicons[j].number(key); ok {
					whole++
				}
				if _, ok := lexicons[j].number(key[:min(4, len(key))]); ok {
					cut++
				}
			}
			if whole > listLen*7/100 || cut > listLen*39/100 {
				t.Errorf("of list %d, list %d reads %d words, and %d cut ones", i, j, whole, cut)
			}
		}
	}
}

func TestWordsOfTwoListsAreReadInTheOneWhoseChecksumHolds(t *testing.T) {
	place := make(map[string]int)
	for n, w := range english.words() {
		place[w] = n
	}
	type both struct {
		word   string
		en, fr uint16
	}
	var shared []both
	for n, w := range french.words() {
		if m, ok := place[w]; ok {
			shared = append(shared, both{w, uint16(m), uint16(n)})
		}
	}
	seen := make(map[string]int)
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var en, fr [count]uint16
		words := make([]string, count)
		for j := range count {
			b := shared[random.IntN(len(shared))]
			words[j], en[j], fr[j] = b.word, b.en, b.fr
		}
		want, language := (*Code)(nil), "neither"
		asEnglish, _ := fromNumbers(en)
		asFrench, _ := fromNumbers(fr)
		switch {
		case asEnglish != nil && asFrench != nil:
			want, language = asEnglish, "English before French"
		case asEnglish != nil:
			want, language = asEnglish, "English"
		case asFrench != nil:
			want, language = asFrench, "French"
		}
		seen[language]++
		got, err := Parse(strings.Join(words, " "))
		switch {
		case want == nil && err != ErrChecksum:
			t.Errorf("%v: got %v, want ErrChecksum", words, err)
		case want != nil && (err != nil || *got.secret != *want.secret):
			t.Errorf("%v is not read in %s: %v", words, language, err)
		}
	}
	if len(seen) != 4 {
		t.Errorf("not every case was met: %v", seen)
	}
}

func TestTwelveShortGroupsAreNotNumbered(t *testing.T) {
	for last := range uint16(listLen) {
		c, err := fromNumbers([count]uint16{1, 70, 2, 70, 3, 70, 4, 70, 5, 70, 6, last})
		if err != nil {
			continue
		}
		got, err := Parse(fmt.Sprintf("1 70 2 70 3 70 4 70 5 70 6 %d", last))
		if err != nil || *got.secret != *c.secret {
			t.Fatal(err)
		}
	}
}

func TestDigitKnowsEveryDecimalDigit(t *testing.T) {
	for _, r := range unicode.Nd.R16 {
		if r.Stride != 1 || (r.Hi-r.Lo+1)%10 != 0 {
			t.Errorf("%U to %U are not runs of ten", r.Lo, r.Hi)
		}
	}
	for _, r := range unicode.Nd.R32 {
		if r.Stride != 1 || (r.Hi-r.Lo+1)%10 != 0 {
			t.Errorf("%U to %U are not runs of ten", r.Lo, r.Hi)
		}
	}
	for _, ten := range []string{"0123456789", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९", "০১২৩৪৫৬৭৮৯", "၀၁၂၃၄၅၆၇၈၉", "𞥐𞥑𞥒𞥓𞥔𞥕𞥖𞥗𞥘𞥙"} {
		if got := fold(ten); got != "0123456789" {
			t.Errorf("%s is read as %s", ten, got)
		}
	}
}

func TestDistanceCountsSlipsOfTheHand(t *testing.T) {
	for _, v := range []struct {
		a, b string
		want int
	}{
		{"same", "same", 0}, {"", "ab", 2}, {"ab", "", 2}, {"abandn", "abandon", 1}, {"abbandon", "abandon", 1},
		{"abandom", "abandon", 1}, {"abadnon", "abandon", 1}, {"baadnon", "abandon", 2}, {"zoo", "abandon", 3},
		{strings.Repeat("a", 16), strings.Repeat("b", 16), 3},
	} {
		if got := distance([]rune(v.a), []rune(v.b), 2); min(got, 3) != v.want {
			t.Errorf("%q to %q is %d, not %d", v.a, v.b, got, v.want)
		}
	}
}

func TestOnlyListsOfTheScriptAreIndexed(t *testing.T) {
	c := New()
	for _, lang := range []string{"en", "zh-Hans", "zh-Hant", "ja", "ko"} {
		var asked []int
		spied := make([]lexicon, len(lexicons))
		for i, l := range lexicons {
			spied[i] = lexicon{l.script, func() []entry {
				asked = append(asked, i)
				return l.entries()
			}}
		}
		if _, err := parseWords(split(norm.NFKD.String(c.Words(lang))), spied); err != nil {
			t.Fatal(err)
		}
		if asked = slices.Compact(asked); len(asked) != 1 {
			t.Errorf("for %s the lexicons %v were asked", lang, asked)
		}
	}
}
