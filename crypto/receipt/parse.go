package receipt

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"tipbox/crypto/secret"
)

// ErrChecksum is the error of Parse for a code of which every word is in the
// list, but which is not the one that was shown.
var ErrChecksum = errors.New("all words are in the list but the checksum is wrong: a word is mistaken or in the wrong order")

// A LengthError is the error of Parse for a text that is not 12 words or 12
// groups of digits.
type LengthError struct {
	// Got is how many words or groups were found, never 12. Of a text over
	// 4 KiB, only the beginning is counted, and Got is at least 13.
	Got int
}

// Error names no word, so it may be logged.
func (e *LengthError) Error() string {
	return fmt.Sprintf("a receipt code is %d words or groups of digits, not %d", count, e.Got)
}

// A WordError is the error of Parse for a word that is in no list, or a group
// of digits that is not 0000 to 2047.
//
// Its fields are a part of somebody's code: they are for the page that the
// person who typed it gets, and must not be logged or kept.
type WordError struct {
	Position int      // of the word in the code, from 1
	Word     string   // as typed, without invisible characters
	Nearest  []string // the words most like it, best first; often none
}

// Error names the position only, so it may be logged.
func (e *WordError) Error() string {
	return fmt.Sprintf("word or group %d of the receipt code is in no list", e.Position)
}

// maxText is the longest text that Parse reads, in bytes, before and after it is
// decomposed (which can make it eleven times as long). A code is at most some
// 400 bytes.
const maxText = 4 << 10

// Parse reads a code in any form and any language, as people copy, print and
// type it. It is indifferent to case, accents and Unicode forms (full-width,
// composed, katakana), to the kind and number of spaces and punctuation marks
// between words, to invisible characters, to decimal digits of other scripts,
// and to the numbers of a numbered list. Spaces may be missing between Chinese
// characters and between digits. A word may be cut, to four letters or more,
// if only one word of its list begins so. The first zeros of a group of digits
// may be missing.
//
// The words have to be of one language, the two Chinese lists being one. Where
// all twelve are in the lists of several, the code is that of the first whose
// checksum holds, in the order English, Spanish, French, Portuguese, Italian,
// Czech. That hardly ever decides: at most 7 % of the words of a list are also
// read in one before it, so fewer than one code in 2^50 is read as another one;
// with every word cut to four letters 39 %, and fewer than one in 2^19.
//
// The error is a [*LengthError], a [*WordError] for the first wrong word of the
// language that most of the words belong to, or [ErrChecksum].
//
// Parse takes a time that depends on the text, its language and form above all,
// and need not do otherwise: what was typed is compared here with the public
// lists, never with a code that exists, so there is nothing to guess closer to.
// Codes are looked up later, by a hash of the locator.
func Parse(s string) (c *Code, err error) {
	secret.Do(func() { c, err = parse(s) })
	return c, err
}

func parse(s string) (*Code, error) {
	if len(s) > maxText {
		return nil, tooLong(s)
	}
	if s = norm.NFKD.String(visible(s)); len(s) > maxText {
		return nil, tooLong(s)
	}
	tokens := split(s)
	var words, groups int
	for _, t := range tokens {
		switch {
		case !isNumber(t.key):
			words++
		case len(t.key) > 2:
			groups++
		}
	}
	if words == 0 || words < groups {
		return parseGroups(tokens)
	}
	return parseWords(tokens, lexicons)
}

func tooLong(s string) error {
	return &LengthError{max(len(strings.Fields(s[:maxText])), count+1)}
}

// visible leaves out what cannot be seen, such as zero-width spaces, byte order
// marks and soft hyphens.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf && unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
}

// A token is a word or a group of digits.
type token struct {
	typed string // in NFKD
	key   string // folded
}

func (t token) wrongAt(i int) *WordError {
	return &WordError{Position: i + 1, Word: norm.NFC.String(t.typed)}
}

// split takes s, in NFKD, apart into words and groups. A Chinese character is
// always a word.
func split(s string) []token {
	tokens := make([]token, 0, 2*count)
	start := -1
	end := func(i int) {
		if start < 0 {
			return
		}
		if key := fold(s[start:i]); key != "" {
			tokens = append(tokens, token{s[start:i], key})
		}
		start = -1
	}
	for i, r := range s {
		switch {
		case r >= utf8.RuneSelf && unicode.Is(unicode.Han, r):
			end(i)
			start = i
			end(i + utf8.RuneLen(r))
		case !unicode.In(r, unicode.L, unicode.M, unicode.Nd) && r != utf8.RuneError:
			end(i)
		case start < 0:
			start = i
		}
	}
	end(len(s))
	return tokens
}

// fold returns what is the same in all spellings of a word, given in NFKD. It
// keeps the words of each list apart.
func fold(word string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < utf8.RuneSelf:
			if 'A' <= r && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		case unicode.In(r, unicode.Mn, unicode.Me):
			return -1
		case unicode.Is(unicode.Nd, r):
			return '0' + digit(r)
		case 'ァ' <= r && r <= 'ヶ':
			return r - 'ァ' + 'ぁ'
		case r == 'ı': // how a Turkish keyboard makes the small letter of I
			return 'i'
		}
		return unicode.ToLower(r)
	}, word)
}

// digit returns the value of a decimal digit of any script. Unicode has them
// in runs of ten, in order.
func digit(r rune) rune {
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10
		}
	}
	return -1
}

func isNumber(key string) bool {
	return strings.Trim(key, "0123456789") == ""
}

// parseWords reads a code in words that are all in one of the lexicons.
func parseWords(tokens []token, lexicons []lexicon) (*Code, error) {
	tokens = withoutNumbering(tokens)
	if len(tokens) != count {
		return nil, &LengthError{len(tokens)}
	}
	var best lexicon
	first, fewest := 0, count+1 // wrong words for best
	for _, l := range lexicons {
		if !l.speaks(tokens) {
			continue
		}
		var ns [count]uint16
		at, wrong := 0, 0
		for i, t := range tokens {
			n, ok := l.number(t.key)
			if ns[i] = n; ok {
				continue
			}
			if wrong++; wrong == 1 {
				at = i
			}
		}
		if wrong == 0 {
			if c, err := fromNumbers(ns); err == nil {
				return c, nil
			}
		}
		if wrong < fewest {
			best, first, fewest = l, at, wrong
		}
	}
	if fewest == 0 {
		return nil, ErrChecksum
	}
	e := tokens[first].wrongAt(first)
	if fewest < count {
		e.Nearest = best.nearest(tokens[first].key)
	}
	return nil, e
}

// withoutNumbering leaves out the numbers that a list of words may have. No
// word is a number, so nothing of the code is lost.
func withoutNumbering(tokens []token) []token {
	words := make([]token, 0, len(tokens))
	for _, t := range tokens {
		if isNumber(t.key) && len(t.key) <= 2 {
			continue
		}
		if rest, ok := strings.CutPrefix(t.key, strconv.Itoa(len(words)+1)); ok && rest != "" {
			if r, _ := utf8.DecodeRuneInString(rest); unicode.IsLetter(r) {
				t.key = rest
			}
		}
		words = append(words, t)
	}
	return words
}

// parseGroups reads a code in digits.
func parseGroups(groups []token) (*Code, error) {
	if isNumbered(groups) {
		for i := range len(groups) / 2 {
			groups[i] = groups[2*i+1]
		}
		groups = groups[:len(groups)/2]
	}
	groups = regrouped(groups)
	if len(groups) != count {
		return nil, &LengthError{lengthOf(groups)}
	}
	var ns [count]uint16
	short := -1 // the first group that lacks digits
	for i, g := range groups {
		n, err := strconv.ParseUint(g.key, 10, 16)
		if err != nil || len(g.key) > 4 || n >= listLen {
			return nil, g.wrongAt(i)
		}
		if len(g.key) < 4 && short < 0 {
			short = i
		}
		ns[i] = uint16(n)
	}
	c, err := fromNumbers(ns)
	if err != nil && short >= 0 {
		// Likelier than a wrong order is that a digit is missing, other than a
		// zero in front.
		return nil, groups[short].wrongAt(short)
	}
	return c, err
}

// isNumbered reports whether the groups are "1", a group, "2", a group and so
// on. Twelve or fewer are not: they can be the code itself without the zeros in
// front.
func isNumbered(groups []token) bool {
	if len(groups) <= count || len(groups)%2 != 0 {
		return false
	}
	for i := 0; i < len(groups); i += 2 {
		n, err := strconv.Atoi(groups[i].key)
		if err != nil || n != i/2+1 || len(groups[i].key) > 2 {
			return false
		}
	}
	return true
}

// regrouped returns 12 groups of four for 48 digits that are grouped otherwise,
// and other groups as they are.
func regrouped(groups []token) []token {
	if !slices.ContainsFunc(groups, func(g token) bool { return len(g.key) != 4 }) {
		return groups
	}
	var b strings.Builder
	for _, g := range groups {
		b.WriteString(g.key)
	}
	all := b.String()
	if len(all) != 4*count || !isNumber(all) {
		return groups
	}
	groups = make([]token, count)
	for i := range groups {
		four := all[4*i : 4*i+4]
		groups[i] = token{four, four}
	}
	return groups
}

// lengthOf counts groups that are not 12. Where digits were run together, four
// are a group, and some left over are too few of them below 12 groups and too
// many above.
func lengthOf(groups []token) int {
	digits, together := 0, false
	for _, g := range groups {
		if !isNumber(g.key) {
			return len(groups)
		}
		digits += len(g.key)
		together = together || len(g.key) > 4
	}
	switch {
	case together && digits < 4*count:
		return digits / 4
	case together:
		return (digits + 3) / 4 // over 12, as regrouped took 48 digits
	}
	return len(groups)
}
