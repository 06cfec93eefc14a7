package receipt

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/tyler-smith/go-bip39/wordlists"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// A list is one of the word lists of BIP-39: 2048 words in NFKD, in order.
type list struct {
	lang  string // BCP 47
	words func() []string
	space string // between the words of a code
}

var (
	english     = list{"en", func() []string { return wordlists.English }, " "}
	simplified  = list{"zh-Hans", func() []string { return wordlists.ChineseSimplified }, " "}
	traditional = list{"zh-Hant", func() []string { return wordlists.ChineseTraditional }, " "}
	czech       = list{"cs", func() []string { return wordlists.Czech }, " "}
	french      = list{"fr", func() []string { return wordlists.French }, " "}
	italian     = list{"it", func() []string { return wordlists.Italian }, " "}
	japanese    = list{"ja", func() []string { return wordlists.Japanese }, "\u3000"}
	korean      = list{"ko", func() []string { return wordlists.Korean }, " "}
	spanish     = list{"es", func() []string { return wordlists.Spanish }, " "}

	portuguese = list{"pt", sync.OnceValue(func() []string { return strings.Fields(portugueseText) }), " "}
)

// portugueseText is bip-0039/portuguese.txt of the bitcoin/bips repository, as
// found in the npm package bip39 3.1.0 (src/wordlists/portuguese.json), a word
// a line. It is all ASCII.
//
//go:embed wordlists/portuguese.txt
var portugueseText string

// listFor returns the list for the language of a BCP 47 tag. The list of a
// related language, such as the Spanish one for Catalan, is not taken: its words
// look like misspelled ones of one's own.
func listFor(lang string) list {
	tag := language.All.Make(lang)
	base, _ := tag.Base()
	switch base.String() {
	case "cs":
		return czech
	case "es":
		return spanish
	case "fr":
		return french
	case "it":
		return italian
	case "ja":
		return japanese
	case "ko":
		return korean
	case "pt":
		return portuguese
	case "zh":
		if script, _ := tag.Script(); script.String() == "Hant" {
			return traditional
		}
		return simplified
	}
	return english
}

// A lexicon finds the numbers of the words of one language as people type them.
type lexicon struct {
	script  *unicode.RangeTable // of every first letter
	entries func() []entry      // sorted by key, one for each key
}

type entry struct {
	key    string // the word, folded
	word   string // the word, as it is shown
	number uint16
}

// lexicons are in the order in which Parse asks them. Chinese is one: the two
// lists give every character that they share the same number, and people mix
// the scripts.
var lexicons = []lexicon{
	newLexicon(unicode.Latin, english),
	newLexicon(unicode.Latin, spanish),
	newLexicon(unicode.Latin, french),
	newLexicon(unicode.Latin, portuguese),
	newLexicon(unicode.Latin, italian),
	newLexicon(unicode.Latin, czech),
	newLexicon(unicode.Han, simplified, traditional),
	newLexicon(unicode.Hiragana, japanese),
	newLexicon(unicode.Hangul, korean),
}

func newLexicon(script *unicode.RangeTable, lists ...list) lexicon {
	return lexicon{script, sync.OnceValue(func() []entry {
		entries := make([]entry, 0, listLen*len(lists))
		for _, l := range lists {
			for n, word := range l.words() {
				entries = append(entries, entry{fold(word), norm.NFC.String(word), uint16(n)})
			}
		}
		slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
		return slices.CompactFunc(entries, func(a, b entry) bool { return a.key == b.key })
	})}
}

// speaks reports whether one of the tokens begins in the script of l.
func (l lexicon) speaks(tokens []token) bool {
	return slices.ContainsFunc(tokens, func(t token) bool {
		r, _ := utf8.DecodeRuneInString(t.key)
		return unicode.Is(l.script, r)
	})
}

// number returns the number of the word with that key, or of the only word
// that begins with it if it is at least four letters.
func (l lexicon) number(key string) (n uint16, ok bool) {
	entries := l.entries()
	i, ok := slices.BinarySearchFunc(entries, key, func(e entry, key string) int {
		return strings.Compare(e.key, key)
	})
	if ok {
		return entries[i].number, true
	}
	begins := func(i int) bool { return i < len(entries) && strings.HasPrefix(entries[i].key, key) }
	if utf8.RuneCountInString(key) < 4 || !begins(i) || begins(i+1) {
		return 0, false
	}
	return entries[i].number, true
}

// nearest returns the few words of the list that are most like the key, best
// first, and none if there is no likeness. A word of one character is like no
// other.
func (l lexicon) nearest(key string) []string {
	const most = 4
	typed := []rune(key)
	limit := 2
	switch n := len(typed); {
	case n < 2 || n > 16:
		return nil
	case n < 5:
		limit = 1
	}
	found := make([][]string, limit+1)
	for _, e := range l.entries() {
		if d := distance(typed, []rune(e.key), limit); d <= limit {
			found[d] = append(found[d], e.word)
		}
	}
	words := slices.Concat(found...)
	return words[:min(len(words), most)]
}

// distance returns how many letters have to be put in, left out, exchanged or
// swapped with their neighbour to get b from a (the optimal string alignment
// distance), or any number over limit if it is over limit. Neither has more
// than 16.
func distance(a, b []rune, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) > limit {
		return limit + 1
	}
	var rows [3][17]int // of the table: the last but one, the last, this
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := range a {
		before, last, row = last, row, before
		row[0] = i + 1
		least := row[0]
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			d := min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[j-1]+1)
			}
			row[j+1] = d
			least = min(least, d)
		}
		if least > limit {
			return limit + 1
		}
	}
	return row[len(b)]
}
