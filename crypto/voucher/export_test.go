package voucher

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// What the tests have to get at: to run the vectors of RFC 9474 through the very
// functions that make vouchers, and to make texts that Parse must refuse.
var (
	BlindWith      = blind
	IssuingKeyFrom = issuingKeyFrom
	IsName         = isName
)

func (v *Voucher) Bytes() []byte { return v.bytes() }

// Spell spells any bytes as Text and as Digits do, after a change to the symbols that
// do not check.
func Spell(b []byte, change func(symbols []uint16) []uint16) (text, digits string) {
	return spellText(letters.checked(change(letters.symbols(b)))), spellDigits(numbers.checked(change(numbers.symbols(b))))
}

func SpellText(b []byte) string   { return spellText(letters.spell(b)) }
func SpellDigits(b []byte) string { return spellDigits(numbers.spell(b)) }

func spellText(symbols []uint16) string {
	text := []byte(marker)
	for _, s := range symbols {
		text = append(text, (alphabet + "U")[min(int(s), 32)])
	}
	return string(text)
}

func spellDigits(symbols []uint16) string {
	var text []byte
	for _, s := range symbols {
		text = fmt.Appendf(text, "%04d ", min(s, 9999))
	}
	return string(text)
}

// Bad is a symbol that is none.
const Bad = bad

// EmptyLines spells a line that holds nothing and checks out, as the line of that
// number.
func EmptyLines(textLine, digitsLine int) (text, digits string) {
	return strings.TrimPrefix(spellText(letters.check(textLine, nil)), marker), spellDigits(numbers.check(digitsLine, nil))
}

// Framed puts length and checksum around the version and what follows it.
func Framed(version byte, body []byte) []byte {
	b := append([]byte{version, 0, 0}, body...)
	binary.BigEndian.PutUint16(b[1:], uint16(len(b)+checksumSize))
	return append(b, checksum(b)...)
}
