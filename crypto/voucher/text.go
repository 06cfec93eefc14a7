package voucher

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// A form spells the bytes of a voucher, which are
//
//	version       1 byte: 1
//	length        2 bytes, most significant first: of all that is here
//	organisation  4 bytes: the first of the SHA-256 of its verifier key
//	serial        16 bytes
//	prefix        32 bytes
//	denomination  1 byte: the length of the id; then the id
//	signature     as long as the modulus
//	checksum      4 bytes: the first of the SHA-256 of all before
//
// It does so in symbols of so many bits, most significant first, zeros at the end,
// and the symbols in lines, of which the last may be shorter. A line ends in
// check symbols: the first bits of the SHA-256 of "tipbox voucher line\n", the number
// of the line (from 1) and its other symbols, each number in two bytes, most
// significant first. So a typing error is found line by line.
//
//	          bits  symbols in a line  of which check  a symbol is
//	text        5          40                2         one of Crockford's base 32
//	digits     11          12                1         four digits, 0000 to 2047
//	words      11          12                1         the word of that place in a list of BIP-39
//
// Version, length and checksum are there in every version to come.
type form struct {
	bits, line, checks int
}

var (
	letters = form{5, 40, 2}
	numbers = form{11, 12, 1}
)

const (
	version      = 1
	headSize     = 1 + 2
	checksumSize = 4
	listLen      = 1 << 11

	// bad is a symbol that is none. No line with it checks out.
	bad = 0xffff

	alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	marker   = "TIPBOX VOUCHER"
	scheme   = "TIPBOX-VOUCHER:"
	group    = 5 // letters

	// maxText is the longest text that Parse reads, in bytes. The longest voucher is
	// half of it, in words.
	maxText = 16 << 10
)

// A TypingError is the error of Parse for a voucher that was not copied or typed as
// it is. It wraps ErrTyping.
type TypingError struct {
	// Line is the first line that is wrong, from 1, as Text, Digits and Words have
	// them (the line "TIPBOX VOUCHER" is not counted). It is one more than there are
	// if some are missing, and 0 if it cannot be told.
	Line int
}

func (e *TypingError) Error() string {
	if e.Line == 0 {
		return ErrTyping.Error()
	}
	return fmt.Sprintf("%v: line %d", ErrTyping, e.Line)
}

func (e *TypingError) Unwrap() error { return ErrTyping }

// Text is the voucher in capital letters and digits, as it is printed: the line
// "TIPBOX VOUCHER", then lines of 8 groups of 5. There is no O, I, L or U in it.
func (v *Voucher) Text() string {
	var b strings.Builder
	b.WriteString(marker + "\n")
	for line := range slices.Chunk(letters.spell(v.bytes()), letters.line) {
		for i, s := range line {
			if i > 0 && i%group == 0 {
				b.WriteByte(' ')
			}
			b.WriteByte(alphabet[s])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Compact is Text in one piece, "TIPBOX-VOUCHER:" in front. Its characters are those
// of the alphanumeric mode of QR codes.
func (v *Voucher) Compact() string {
	b := []byte(scheme)
	for _, s := range letters.spell(v.bytes()) {
		b = append(b, alphabet[s])
	}
	return string(b)
}

// Digits is the voucher in lines of 12 groups of four digits.
func (v *Voucher) Digits() string {
	return v.groups(func(s uint16) string { return fmt.Sprintf("%04d", s) })
}

// Words is the voucher in lines of 12 words of a list of BIP-39, the same numbers as
// those of Digits. They are in Unicode form NFC.
func (v *Voucher) Words(list []string) string {
	mustBeList(list)
	return v.groups(func(s uint16) string { return norm.NFC.String(list[s]) })
}

func mustBeList(list []string) {
	if len(list) != listLen {
		panic(fmt.Sprintf("voucher: a list of %d words", len(list)))
	}
}

func (v *Voucher) groups(spell func(uint16) string) string {
	var b strings.Builder
	for line := range slices.Chunk(numbers.spell(v.bytes()), numbers.line) {
		for i, s := range line {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(spell(s))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Parse reads a voucher in any form, in words if they are of one of the lists. It is
// indifferent to case, accents and Unicode forms, to spaces, line breaks and
// punctuation, and takes O for 0, and I and L for 1, in the form of Text. Words
// are apart, unless they are Chinese characters; everything else may be run together.
//
// The error is ErrNotVoucher, a [*TypingError] or ErrNewer. That the text is one of
// a voucher does not say that the voucher is good: see Verify.
func Parse(text string, lists ...[]string) (*Voucher, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%w: too long", ErrNotVoucher)
	}
	tokens := split(text)
	joined := strings.ToUpper(strings.Join(tokens, ""))
	if _, after, marked := strings.Cut(joined, strings.ReplaceAll(marker, " ", "")); marked {
		return letters.parse(fromLetters(after), 0)
	}
	if joined == "" {
		return nil, ErrNotVoucher
	}
	if strings.Trim(joined, "0123456789") == "" {
		return numbers.parse(fromDigits(joined), 2*numbers.line)
	}
	most, symbols := 0, []uint16(nil)
	for _, list := range lists {
		mustBeList(list)
		s, known := fromWords(tokens, list)
		if v, err := numbers.parse(s, 2*numbers.line); err == nil {
			return v, nil // a word may be in two lists
		}
		if known > most {
			most, symbols = known, s
		}
	}
	if 2*most > len(tokens) {
		return numbers.parse(symbols, 2*numbers.line)
	}
	return letters.parse(fromLetters(joined), math.MaxInt) // the first line is missing, or it is some other text
}

// split takes a text apart into words and groups, in Unicode form NFKD without
// accents and in lower case. A Chinese character is a word.
func split(text string) []string {
	var tokens []string
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			tokens = append(tokens, word.String())
			word.Reset()
		}
	}
	for _, r := range norm.NFKD.String(text) {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf): // accents, and what cannot be seen
		case unicode.Is(unicode.Han, r):
			end()
			word.WriteRune(r)
			end()
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			word.WriteRune(unicode.ToLower(r))
		default:
			end()
		}
	}
	end()
	return tokens
}

func fromLetters(upper string) []uint16 {
	upper = strings.NewReplacer("O", "0", "I", "1", "L", "1").Replace(upper)
	symbols := make([]uint16, 0, len(upper))
	for _, r := range upper {
		s := strings.IndexRune(alphabet, r)
		if s < 0 {
			s = bad
		}
		symbols = append(symbols, uint16(s))
	}
	return symbols
}

func fromDigits(digits string) []uint16 {
	var symbols []uint16
	for four := range slices.Chunk([]byte(digits), 4) {
		n := 0
		for _, d := range four {
			n = 10*n + int(d-'0')
		}
		if len(four) < 4 || n >= listLen {
			n = bad
		}
		symbols = append(symbols, uint16(n))
	}
	return symbols
}

func fromWords(tokens, list []string) (symbols []uint16, known int) {
	numbers := make(map[string]uint16, listLen)
	for n, word := range list {
		numbers[strings.Join(split(word), "")] = uint16(n)
	}
	for _, t := range tokens {
		n, ok := numbers[t]
		if !ok {
			n = bad
		} else {
			known++
		}
		symbols = append(symbols, n)
	}
	return symbols, known
}

// spell returns the symbols of the bytes, with those that check.
func (f form) spell(b []byte) []uint16 { return f.checked(f.symbols(b)) }

func (f form) symbols(b []byte) []uint16 {
	var data []uint16
	acc, have := 0, 0
	for _, c := range append(bytes.Clone(b), 0, 0) { // the zeros fill the last symbol up
		acc = acc<<8 | int(c)
		for have += 8; have >= f.bits; {
			have -= f.bits
			data = append(data, uint16(acc>>have))
			acc &= 1<<have - 1
		}
	}
	return data[:f.length(len(b))]
}

func (f form) checked(data []uint16) []uint16 {
	var symbols []uint16
	for line := range slices.Chunk(data, f.line-f.checks) {
		symbols = append(symbols, line...)
		symbols = append(symbols, f.check(len(symbols)/f.line+1, line)...)
	}
	return symbols
}

// length is the number of symbols that spell n bytes, without those that check.
func (f form) length(n int) int { return (8*n + f.bits - 1) / f.bits }

// check returns the symbols that check a line.
func (f form) check(number int, line []uint16) []uint16 {
	text := []byte("tipbox voucher line\n")
	for _, n := range append([]uint16{uint16(number)}, line...) {
		text = binary.BigEndian.AppendUint16(text, n)
	}
	sum := sha256.Sum256(text)
	first := binary.BigEndian.Uint32(sum[:])
	symbols := make([]uint16, f.checks)
	for i := range symbols {
		symbols[i] = uint16(first >> (32 - f.bits*(i+1)) & (1<<f.bits - 1))
	}
	return symbols
}

// parse reads what spell spelled. Where no line checks out and there are fewer than
// so many symbols, it takes them for something else.
func (f form) parse(symbols []uint16, enough int) (*Voucher, error) {
	var data []uint16
	lines, right, wrong := 0, 0, 0 // wrong is the first that is
	for line := range slices.Chunk(symbols, f.line) {
		lines++
		n := max(len(line)-f.checks, 0)
		data = append(data, line[:n]...)
		switch {
		case !slices.Contains(line, bad) && n > 0 && slices.Equal(f.check(lines, line[:n]), line[n:]):
			right++
		case wrong == 0:
			wrong = lines
		}
	}
	if right == 0 && len(symbols) < enough {
		return nil, ErrNotVoucher
	}
	if wrong > 0 {
		return nil, &TypingError{wrong}
	}
	var b []byte
	acc, have := 0, 0
	for _, s := range data {
		acc = acc<<f.bits | int(s)
		for have += f.bits; have >= 8; {
			have -= 8
			b = append(b, byte(acc>>have))
			acc &= 1<<have - 1
		}
	}
	if len(b) < headSize {
		return nil, &TypingError{lines + 1}
	}
	length := int(binary.BigEndian.Uint16(b[1:]))
	if f.length(length) > len(data) {
		return nil, &TypingError{lines + 1}
	}
	// Something behind the end, or bits that are nothing's.
	if length < headSize+checksumSize || f.length(length) < len(data) || acc != 0 || len(bytes.Trim(b[length:], "\x00")) > 0 {
		return nil, &TypingError{lines}
	}
	return fromBytes(b[:length])
}

func (v *Voucher) bytes() []byte {
	p := v.parts()
	b := slices.Concat([]byte{version, 0, 0}, p.organisation[:], p.serial[:], p.prefix[:],
		[]byte{byte(len(p.denomination))}, []byte(p.denomination), p.signature)
	binary.BigEndian.PutUint16(b[1:], uint16(len(b)+checksumSize))
	return append(b, checksum(b)...)
}

func checksum(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:checksumSize]
}

// fromBytes reads the bytes of a voucher, of which the length is right.
func fromBytes(b []byte) (*Voucher, error) {
	b, sum := b[:len(b)-checksumSize], b[len(b)-checksumSize:]
	if !bytes.Equal(checksum(b), sum) {
		return nil, &TypingError{}
	}
	if b[0] > version {
		return nil, fmt.Errorf("voucher of version %d: %w", b[0], ErrNewer)
	}
	var p parts
	r := bytes.NewReader(b[headSize:])
	r.Read(p.organisation[:])
	r.Read(p.serial[:])
	r.Read(p.prefix[:])
	n, err := r.ReadByte()
	id := make([]byte, min(int(n), r.Len()))
	r.Read(id)
	p.denomination = string(id)
	p.signature = make([]byte, r.Len())
	r.Read(p.signature)
	if size := 8 * len(p.signature); b[0] != version || err != nil || !isName(p.denomination) || size < keyBits || size > maxKeyBits {
		return nil, ErrNotVoucher
	}
	return &Voucher{func() parts { return p }}, nil
}
