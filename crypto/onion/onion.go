// Package onion knows the names of Tor's onion services, of version 3, and the keys
// by which such a service knows its clients.
//
// What it guarantees:
//
//   - An address that passes is one that Tor could look up. A letter that was
//     mistyped is found, but for one time in 65,536.
//   - What it writes for tor, tor reads; a line that passes is one that tor takes.
//   - Secrets print as a fixed word, and stand in no error.
package onion

import (
	"crypto/sha3"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
)

// ErrAddress means that a text is no address of an onion service.
var ErrAddress = errors.New("not an onion address: 56 letters and digits, and .onion")

// suffix ends the address of every onion service (RFC 7686).
const suffix = ".onion"

var letters = base32.StdEncoding.WithPadding(base32.NoPadding)

// CheckAddress reports whether the text is the address of an onion service, in
// lower case and without a port: base32 of its Ed25519 key, a checksum of two
// bytes and the version, and ".onion" (Tor's rend-spec-v3, section 6). The error
// is ErrAddress.
func CheckAddress(address string) error {
	name, ok := strings.CutSuffix(address, suffix)
	if !ok || name != strings.ToLower(name) {
		return fmt.Errorf("%w (%q)", ErrAddress, address)
	}
	raw, err := letters.DecodeString(strings.ToUpper(name))
	if err != nil || len(raw) != 35 || raw[34] != 3 {
		return fmt.Errorf("%w (%q)", ErrAddress, address)
	}
	sum := sha3.Sum256(append(append([]byte(".onion checksum"), raw[:32]...), raw[34]))
	if sum[0] != raw[32] || sum[1] != raw[33] {
		return fmt.Errorf("%w: one letter or more is not as it should be (%q)", ErrAddress, address)
	}
	return nil
}
