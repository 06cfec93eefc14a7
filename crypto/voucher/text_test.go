package voucher_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tyler-smith/go-bip39/wordlists"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"tipbox/crypto/voucher"
)

var lists = [][]string{
	wordlists.English, wordlists.Spanish, wordlists.French, wordlists.Italian, wordlists.Czech,
	wordlists.ChineseSimplified, wordlists.ChineseTraditional, wordlists.Japanese, wordlists.Korean,
}

// forms are all forms of a voucher.
func forms(v *voucher.Voucher) map[string]string {
	all := map[string]string{"text": v.Text(), "compact": v.Compact(), "digits": v.Digits()}
	for i, list := range lists {
		all["words "+list[0]+fmt.Sprint(i)] = v.Words(list)
	}
	return all
}

func same(a, b *voucher.Voucher) bool { return bytes.Equal(a.Bytes(), b.Bytes()) }

func TestEveryFormIsReadBack(t *testing.T) {
	key := readKey(t, "issuing")
	d := denomination(key)
	_, _, v := issue(t, key, d, seed(1))
	for name, text := range forms(v) {
		again, err := voucher.Parse(text, lists...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !same(again, v) || again.Denomination() != d.ID || again.SpentKey() != v.SpentKey() {
			t.Errorf("%s: another voucher", name)
		}
		if err := again.Verify(d, organisation, day); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// body is the body of a voucher with bytes of no meaning.
func body(idLen, signatureLen int, fill byte) []byte {
	b := bytes.Repeat([]byte{fill}, 4+16+32)
	b = append(b, byte(idLen))
	b = append(b, strings.Repeat("a", idLen)...)
	return append(b, bytes.Repeat([]byte{fill}, signatureLen)...)
}

// The last symbol and the last line are filled more or less.
func TestEveryLengthIsReadBack(t *testing.T) {
	for _, size := range []int{384, 385, 448, 512} {
		for id := 1; id <= 32; id++ {
			for _, fill := range []byte{0, 0xff, 0x5a} {
				b := voucher.Framed(1, body(id, size, fill))
				v, err := voucher.Parse(voucher.SpellText(b))
				if err != nil {
					t.Fatalf("%d, %d, %x: %v", size, id, fill, err)
				}
				for _, text := range []string{v.Text(), v.Compact(), v.Digits(), v.Words(wordlists.English)} {
					again, err := voucher.Parse(text, wordlists.English)
					if err != nil || !bytes.Equal(again.Bytes(), b) {
						t.Errorf("%d, %d, %x: %v: %.40s", size, id, fill, err, text)
					}
					if len(text) > 8<<10 {
						t.Errorf("%d bytes", len(text))
					}
				}
			}
		}
	}
}

func TestFormsArePrintedAsTheyAreDescribed(t *testing.T) {
	key := readKey(t, "issuing")
	_, _, v := issue(t, key, denomination(key), seed(1))
	lines := strings.Split(strings.TrimSuffix(v.Text(), "\n"), "\n")
	if lines[0] != "TIPBOX VOUCHER" || len(lines[1]) != 8*6-1 || strings.ContainsAny(strings.Join(lines[1:], ""), "OILUoilu-") {
		t.Errorf("text:\n%s", v.Text())
	}
	const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:" // ISO/IEC 18004, 7.4.5
	compact := v.Compact()
	if strings.Trim(compact, alphanumeric) != "" || !strings.HasPrefix(compact, "TIPBOX-VOUCHER:") {
		t.Errorf("compact: %s", compact)
	}
	if len(compact) > 854 { // what version 16-L holds, of 81 by 81; 18-M holds 816
		t.Errorf("compact: %d characters", len(compact))
	}
	for name, text := range map[string]string{"digits": v.Digits(), "words": v.Words(wordlists.English)} {
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if len(lines) > 32 {
			t.Errorf("%s: %d lines do not fit on a page", name, len(lines))
		}
		for i, line := range lines[:len(lines)-1] {
			if len(strings.Fields(line)) != 12 {
				t.Errorf("%s: line %d: %s", name, i+1, line)
			}
		}
	}
	// The numbers of the words are the digits.
	digits, words := strings.Fields(v.Digits()), strings.Fields(v.Words(wordlists.English))
	for i, word := range words {
		var n int
		fmt.Sscan(strings.TrimLeft(digits[i], "0")+"", &n)
		if wordlists.English[n] != word {
			t.Errorf("word %d is %s, digits %s", i+1, word, digits[i])
		}
	}
	if text := v.Words(wordlists.Korean); !norm.NFC.IsNormalString(text) {
		t.Error("Korean words are not in NFC")
	}
}

func TestParseTakesItAsPeopleTypeIt(t *testing.T) {
	key := readKey(t, "issuing")
	_, _, v := issue(t, key, denomination(key), seed(1))
	wide := func(s string) string { // as Chinese and Japanese keyboards type it
		return strings.Map(func(r rune) rune {
			if r > ' ' && r < 0x7f {
				return r + 0xfee0
			}
			return r
		}, s)
	}
	_, inside, _ := strings.Cut(v.Text(), "\n")
	chinese := v.Words(wordlists.ChineseSimplified)
	for name, text := range map[string]string{
		"lower case":      strings.ToLower(v.Text()),
		"one line":        strings.Join(strings.Fields(v.Text()), " "),
		"no spaces":       strings.Join(strings.Fields(v.Text()), ""),
		"CRLF":            strings.ReplaceAll(v.Text(), "\n", "\r\n"),
		"quoted":          "> " + strings.ReplaceAll(v.Text(), "\n", "\n> "),
		"hyphens":         strings.ReplaceAll(v.Text(), " ", "-"),
		"letters":         strings.NewReplacer("0", "o", "1", "l").Replace(v.Text()),
		"other letters":   strings.NewReplacer("0", "O", "1", "i").Replace(v.Text()),
		"no first line":   inside,
		"text in front":   "My voucher, for the bank:\n\n" + v.Text(),
		"full width":      wide(v.Text()),
		"no-break spaces": strings.ReplaceAll(v.Text(), " ", "\u00a0"),
		"soft hyphens":    strings.ReplaceAll(v.Text(), " ", "\u00ad"),
		"byte order mark": "\ufeff" + v.Text(),
		"compact, lower":  strings.ToLower(v.Compact()),
		"compact, cut":    v.Compact()[:100] + "\n" + v.Compact()[100:],
		"digits together": strings.Join(strings.Fields(v.Digits()), ""),
		"digits in threes": func() string {
			all := strings.Join(strings.Fields(v.Digits()), "")
			out := ""
			for i, r := range all {
				if out += string(r); i%3 == 2 {
					out += " "
				}
			}
			return out
		}(),
		"digits, hyphens":    strings.ReplaceAll(v.Digits(), " ", "-"),
		"digits, full width": wide(v.Digits()),
		"words in capitals":  strings.ToUpper(v.Words(wordlists.English)),
		"words in one line":  strings.Join(strings.Fields(v.Words(wordlists.English)), ", "),
		"words, decomposed":  norm.NFD.String(v.Words(wordlists.French)),
		"words, no accents": strings.NewReplacer("é", "e", "è", "e").Replace(v.Words(
			wordlists.French)),
		"words, soft hyphens": strings.ReplaceAll(v.Words(wordlists.English), "a", "a\u00ad"),
		"Chinese together":    strings.Join(strings.Fields(chinese), ""),
		"Chinese, commas":     strings.ReplaceAll(chinese, " ", "，"),
	} {
		again, err := voucher.Parse(text, lists...)
		if err != nil || !same(again, v) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsNoVoucherIsSaidToBeNone(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "spaces": " \n ", "marks": "…!?", "zero": "0", "prose": strings.Repeat("She met them behind the old mill. ", 40),
		"Chinese prose":       "他们在老磨坊后面见面，钱在那里。", // a long one cannot be told from a voucher in words
		"Arabic prose":        strings.Repeat("التقوا خلف الطاحونة القديمة ", 40),
		"receipt code":        "abandon ability able about above absent absorb abstract absurd abuse access accident",
		"receipt code digits": "0000 0001 0002 0003 0004 0005 0006 0007 0008 0009 0010 0011", "telephone": "+86 10 6202 1234", "three words": "zoo zoo zoo",
		"age key": "AGE-SECRET-KEY-PQ-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ",
		"PEM":     strings.ReplaceAll(read(t, "issuing.key"), "#", ""), "long": strings.Repeat("TIPBOX VOUCHER 0", 2000),
		"not UTF-8": "\xff\xfe\x00", "version 0": voucher.SpellText(voucher.Framed(0, body(5, 384, 1))),
		"no signature":    voucher.SpellText(voucher.Framed(1, body(5, 0, 1))),
		"2048 bits":       voucher.SpellText(voucher.Framed(1, body(5, 256, 1))),
		"4104 bits":       voucher.SpellText(voucher.Framed(1, body(5, 513, 1))),
		"no id":           voucher.SpellText(voucher.Framed(1, body(0, 384, 1))),
		"long id":         voucher.SpellText(voucher.Framed(1, body(33, 384, 1))),
		"id of lines":     voucher.SpellText(voucher.Framed(1, bytes.Replace(body(5, 384, 1), []byte("aaaaa"), []byte("aa\naa"), 1))),
		"id in capitals":  voucher.SpellText(voucher.Framed(1, bytes.Replace(body(5, 384, 1), []byte("aaaaa"), []byte("aaAaa"), 1))),
		"id over the end": voucher.SpellText(voucher.Framed(1, append(bytes.Repeat([]byte{1}, 52), 255, 'a'))),
		"nothing inside":  voucher.SpellText(voucher.Framed(1, nil)),
		"in digits":       voucher.SpellDigits(voucher.Framed(0, body(5, 384, 1))),
	} {
		_, err := voucher.Parse(text, lists...)
		if !errors.Is(err, voucher.ErrNotVoucher) || errors.Is(err, voucher.ErrTyping) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewerVoucherIsSaidToBeNewer(t *testing.T) {
	for _, b := range [][]byte{nil, []byte("something else"), body(5, 384, 1), make([]byte, 2000)} {
		for _, version := range []byte{2, 3, 255} {
			for _, text := range []string{voucher.SpellText(voucher.Framed(version, b)), voucher.SpellDigits(voucher.Framed(version, b))} {
				if len(strings.Fields(text)) < 24 && !strings.HasPrefix(text, "TIPBOX") {
					continue // too short to be told from other digits
				}
				if _, err := voucher.Parse(text, lists...); !errors.Is(err, voucher.ErrNewer) {
					t.Errorf("version %d, %d bytes: %v", version, len(b), err)
				}
			}
		}
	}
	key := readKey(t, "issuing")
	_, _, v := issue(t, key, denomination(key), seed(1))
	b := v.Bytes()
	newer := voucher.SpellText(voucher.Framed(2, b[3:len(b)-4]))
	if _, err := voucher.Parse(newer[:60]+"Z"+newer[61:], lists...); !errors.Is(err, voucher.ErrTyping) {
		t.Errorf("a typing error in a newer one: %v", err)
	}
}

// typing checks that the text is refused for a typing error in that line.
func typing(t *testing.T, name, text string, line int) {
	t.Helper()
	_, err := voucher.Parse(text, lists...)
	var wrong *voucher.TypingError
	if !errors.Is(err, voucher.ErrTyping) || !errors.As(err, &wrong) {
		t.Errorf("%s: %v", name, err)
		return
	}
	if wrong.Line != line {
		t.Errorf("%s: line %d, want %d", name, wrong.Line, line)
	}
}

// Every character, replaced by the next: the line is found, or at worst the error.
func TestTypingErrorIsFoundInItsLine(t *testing.T) {
	key := readKey(t, "issuing")
	_, _, v := issue(t, key, denomination(key), seed(1))
	const letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ0"
	missed := 0
	check := func(name, text string, line int) {
		_, err := voucher.Parse(text, wordlists.English)
		var wrong *voucher.TypingError
		if !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		} else if wrong.Line != line {
			missed++
		}
	}
	tries := 0
	for number, line := range strings.Split(strings.TrimSuffix(v.Text(), "\n"), "\n")[1:] {
		before, after, _ := strings.Cut(v.Text(), line)
		for i, c := range line {
			if c != ' ' {
				next := letters[strings.IndexRune(letters, c)+1]
				check("text", before+line[:i]+string(next)+line[i+1:]+after, number+1)
				tries++
			}
		}
	}
	digits, words := strings.Fields(v.Digits()), strings.Fields(v.Words(wordlists.English))
	for i := range digits {
		altered := append([]string(nil), digits...)
		altered[i] = fmt.Sprintf("%04d", (rand.N(2047)+1+number(altered[i]))%2048)
		check("digits", strings.Join(altered, " "), i/12+1)
		altered = append([]string(nil), words...)
		altered[i] = wordlists.English[(number(digits[i])+1)%2048]
		check("words", strings.Join(altered, " "), i/12+1)
		tries += 2
	}
	if missed > tries/100 {
		t.Errorf("the line was missed in %d of %d", missed, tries)
	}
}

func number(digits string) (n int) {
	for _, d := range digits {
		n = 10*n + int(d-'0')
	}
	return n
}

func TestTypingErrorsOfAllKinds(t *testing.T) {
	key := readKey(t, "issuing")
	_, _, v := issue(t, key, denomination(key), seed(1))
	text, digits, words := v.Text(), strings.Fields(v.Digits()), strings.Fields(v.Words(wordlists.English))
	rows := strings.Split(strings.TrimSuffix(text, "\n"), "\n") // the first is no line
	last := (len(digits) + 11) / 12
	without := func(all []string, i int) string {
		return strings.Join(append(append([]string(nil), all[:i]...), all[i+1:]...), " ")
	}
	with := func(all []string, i int, s string) string {
		return strings.Join(append(append(append([]string(nil), all[:i]...), s), all[i+1:]...), " ")
	}
	swapped := append([]string(nil), rows...)
	swapped[4], swapped[5] = swapped[5], swapped[4]
	typing(t, "lines swapped", strings.Join(swapped, "\n"), 4)
	typing(t, "line twice", strings.Replace(text, rows[3], rows[3]+"\n"+rows[3], 1), 4)
	typing(t, "line missing", strings.Replace(text, rows[7]+"\n", "", 1), 7)
	typing(t, "last line missing", strings.Join(rows[:len(rows)-1], "\n"), len(rows)-1)
	typing(t, "nothing but the first line", "Tipbox Voucher", 1)
	typing(t, "letter missing", text[:202]+text[203:], strings.Count(text[:202], "\n"))
	typing(t, "sentence behind", text+" Keep it!", len(rows)-1)
	typing(t, "twice", text+v.Compact(), len(rows)-1)
	typing(t, "no letter", strings.Replace(text, rows[2][:1], "é", 1), 1)
	typing(t, "U", text[:120]+"U"+text[121:], strings.Count(text[:120], "\n"))
	typing(t, "group missing", without(digits, 30), 3)
	typing(t, "word missing", without(words, 30), 3)
	typing(t, "word of no list", with(words, 30, "tipbox"), 3)
	typing(t, "first word of no list", with(words, 0, "tipbox"), 1)
	typing(t, "group over 2047", with(digits, 30, "2048"), 3)
	typing(t, "digit missing", with(digits, 30, digits[30][1:]), 3)
	typing(t, "last digit missing", strings.Join(digits, " ")[:5*len(digits)-2], last)
	typing(t, "last group missing", without(digits, len(digits)-1), last)
	typing(t, "group behind", strings.Join(digits, " ")+" 0000", last)
	typing(t, "words of two languages", with(words, 20, norm.NFC.String(wordlists.Spanish[1500])), 2)
	if len(digits)%12 == 0 {
		t.Error("the last line is full: the tests above do not test it")
	}
	if strings.Contains(fmt.Sprint(voucher.Parse(without(digits, 30))), digits[29]) {
		t.Error("the error has a part of the voucher in it")
	}
}

// No bit can be altered: neither in the text, nor, with the checksums made anew, in
// what was signed.
func TestNoAlteredBitIsPaid(t *testing.T) {
	key := readKey(t, "issuing")
	d := denomination(key)
	_, _, v := issue(t, key, d, seed(1))
	b := v.Bytes()
	for i := range 8 * len(b) {
		altered := bytes.Clone(b)
		altered[i/8] ^= 1 << (i % 8)
		if _, err := voucher.Parse(voucher.SpellText(altered), lists...); err == nil {
			t.Errorf("bit %d: read", i)
		}
		if i < 24 || i >= 8*(len(b)-4) {
			continue // length and checksum are made anew
		}
		w, err := voucher.Parse(voucher.SpellText(voucher.Framed(1, altered[3:len(b)-4])))
		if err != nil {
			continue // the length of the id, or a letter of it
		}
		if err := w.Verify(d, organisation, day); err == nil {
			t.Errorf("bit %d: paid", i)
		}
	}
}

// What stands behind the end of a voucher must not be read over: one voucher has one
// text in each form.
func TestNothingHidesInAVoucher(t *testing.T) {
	b := voucher.Framed(1, body(5, 384, 7))
	for name, more := range map[string][]byte{
		"zero byte behind": append(bytes.Clone(b), 0), "zeros behind": append(bytes.Clone(b), make([]byte, 50)...),
		"byte behind": append(bytes.Clone(b), 1), "byte and zeros behind": append(bytes.Clone(b), 1, 0, 0, 0),
		"length 0": {1, 0, 0}, "length 3": {1, 0, 3}, "length 6": {1, 0, 6, 0, 0, 0}, "length 7 of 6": {1, 0, 7, 0, 0, 0},
		"length in front of the end": append([]byte{1, 0, 7}, b[3:]...), "length behind the end": append([]byte{1, 9, 9}, b[3:]...),
	} {
		for _, text := range []string{voucher.SpellText(more), voucher.SpellDigits(more)} {
			if _, err := voucher.Parse(text); !errors.Is(err, voucher.ErrTyping) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	// With checks that are right for what was altered.
	for size := 384; size < 384+44; size++ { // all that is left over, of lines too
		b := voucher.Framed(1, body(5, size, 7))
		refused := func(name, text string) {
			t.Helper()
			if v, err := voucher.Parse(text); !errors.Is(err, voucher.ErrTyping) {
				t.Errorf("%d bytes: %s: %v, %v", size, name, v, err)
			}
		}
		for bit := range 10 {
			text, digits := voucher.Spell(b, func(symbols []uint16) []uint16 {
				symbols[len(symbols)-1] ^= 1 << bit
				return symbols
			})
			if bit < 5 {
				refused("last letter", text)
			}
			refused("last group", digits)
		}
		text, digits := voucher.Spell(b, func(symbols []uint16) []uint16 { return append(symbols, 0) })
		refused("letter behind", text)
		refused("group behind", digits)
		// Among ones, one too large could pass for the largest.
		text, digits = voucher.Spell(voucher.Framed(1, body(5, size, 0xff)), func(symbols []uint16) []uint16 {
			symbols[50] = voucher.Bad
			return symbols
		})
		refused("U", text)
		refused("9999", digits)
		text, digits = voucher.SpellText(b), voucher.SpellDigits(b)
		moreText, moreDigits := voucher.EmptyLines((len(text)-14+39)/40+1, (len(digits)/5+11)/12+1)
		refused("empty line of text", text+moreText)
		refused("empty line of digits", digits+moreDigits)
	}
}

func TestListOfAnotherLengthIsAMistake(t *testing.T) {
	key := readKey(t, "issuing")
	_, _, v := issue(t, key, denomination(key), seed(1))
	for name, f := range map[string]func(){
		"Words": func() { v.Words(wordlists.English[:2047]) },
		"Parse": func() { voucher.Parse("zoo zoo", wordlists.English[:2047]) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes it", name)
				}
			}()
			f()
		}()
	}
}

func TestAnyVoucherIsReadBackHoweverItIsSpaced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 52, 52).Draw(t, "head")
		id := rapid.StringMatching(`[a-z0-9]{1,10}(-[a-z0-9]{1,10}){0,2}`).Draw(t, "id")
		b = append(append(b, byte(len(id))), id...)
		n := rapid.IntRange(384, 512).Draw(t, "signature")
		b = append(b, rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "bytes")...)
		b = voucher.Framed(1, b)
		v, err := voucher.Parse(voucher.SpellText(b))
		if err != nil || !bytes.Equal(v.Bytes(), b) {
			t.Fatalf("%v", err)
		}
		list := rapid.SampledFrom(lists).Draw(t, "list")
		spaces := rapid.SampledFrom([]string{" ", "\n", " - ", "\t\r\n", "\u3000"}).Draw(t, "spaces")
		for _, text := range []string{v.Text(), v.Digits(), v.Words(list), v.Compact()} {
			again, err := voucher.Parse(strings.Join(strings.Fields(text), spaces), lists...)
			if err != nil || !same(again, v) {
				t.Fatalf("%v: %.60s", err, text)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	key := readKey(f, "issuing")
	_, _, v := issue(f, key, denomination(key), seed(1))
	for _, text := range forms(v) {
		f.Add(text)
		f.Add(text[:len(text)/2])
	}
	for _, b := range [][]byte{nil, {1}, body(5, 384, 1), body(32, 512, 0), body(0, 0, 0)} {
		for _, version := range []byte{0, 1, 2} {
			f.Add(voucher.SpellText(voucher.Framed(version, b)))
			f.Add(voucher.SpellDigits(voucher.Framed(version, b)))
		}
	}
	f.Add("TIPBOX VOUCHER")
	f.Add("abandon ability able about")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := voucher.Parse(text, wordlists.English, wordlists.ChineseSimplified)
		if err != nil {
			if !errors.Is(err, voucher.ErrNotVoucher) && !errors.Is(err, voucher.ErrTyping) && !errors.Is(err, voucher.ErrNewer) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		for _, text := range []string{v.Text(), v.Compact(), v.Digits(), v.Words(wordlists.English), v.Words(wordlists.ChineseSimplified)} {
			again, err := voucher.Parse(text, wordlists.English, wordlists.ChineseSimplified)
			if err != nil || !same(again, v) || again.Text() != v.Text() {
				t.Errorf("not read back: %v", err)
			}
		}
	})
}

// FuzzBytes fuzzes what stands behind all checksums.
func FuzzBytes(f *testing.F) {
	f.Add(byte(1), body(5, 384, 1))
	f.Add(byte(1), body(32, 512, 0))
	f.Add(byte(1), []byte{})
	f.Add(byte(2), []byte("newer"))
	d := denomination(readKey(f, "issuing"))
	f.Fuzz(func(t *testing.T, version byte, b []byte) {
		if len(b) > 2000 {
			return
		}
		framed := voucher.Framed(version, b)
		v, err := voucher.Parse(voucher.SpellText(framed))
		if err != nil {
			if !errors.Is(err, voucher.ErrNotVoucher) && !errors.Is(err, voucher.ErrNewer) {
				t.Error(err)
			}
			return
		}
		if !bytes.Equal(v.Bytes(), framed) {
			t.Error("read as other bytes")
		}
		if v.Verify(d, organisation, day) == nil {
			t.Error("paid")
		}
	})
}
