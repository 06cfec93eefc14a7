package onion

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// ErrClientKey means that a text is no key of a client's authorization. The error
// does not repeat the text, which may be a secret.
var ErrClientKey = errors.New("not a key for client authorization")

// A ClientKey is the secret by which tor reaches an onion service that lets in
// known clients only: an X25519 key (Tor's rend-spec-v3, appendix G). Without it
// nobody learns so much as whether the service runs. It prints as a fixed word.
type ClientKey struct {
	private func() *ecdh.PrivateKey // in a function, which fmt cannot look into
}

// NewClientKey makes a random key.
func NewClientKey() (*ClientKey, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key for client authorization: %w", err)
	}
	return newClientKey(key), nil
}

func newClientKey(key *ecdh.PrivateKey) *ClientKey {
	return &ClientKey{func() *ecdh.PrivateKey { return key }}
}

// What stands before the keys in tor's files.
const (
	clientScheme = "descriptor:x25519:"
	pemType      = "PRIVATE KEY"
	clientBytes  = 32
)

// ParseClientKey reads what Reveal writes.
func ParseClientKey(text []byte) (*ClientKey, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != pemType || len(block.Headers) > 0 || strings.TrimSpace(string(rest)) != "" {
		return nil, fmt.Errorf("%w: no PEM of a private key", ErrClientKey)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: no PKCS #8", ErrClientKey)
	}
	key, ok := parsed.(*ecdh.PrivateKey)
	if !ok || key.Curve() != ecdh.X25519() {
		return nil, fmt.Errorf("%w: another kind of key", ErrClientKey)
	}
	return newClientKey(key), nil
}

// Reveal is the key as a PEM block of PKCS #8 (RFC 8410), which openssl reads too.
// It names no service.
func (k *ClientKey) Reveal() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private())
	if err != nil {
		return nil, fmt.Errorf("writing a key for client authorization: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

// Authorization is the public half, as the operator writes it into a file of the
// service's folder authorized_clients: "descriptor:x25519:" and base32, without a
// line break.
func (k *ClientKey) Authorization() string {
	return clientScheme + letters.EncodeToString(k.private().PublicKey().Bytes())
}

// CheckAuthorization reports whether a line is what Authorization makes, in
// capitals or not. The error is ErrClientKey.
func CheckAuthorization(line string) error {
	raw, err := decodeClient(line)
	if err == nil {
		_, err = ecdh.X25519().NewPublicKey(raw)
	}
	return err
}

// ForService is the line of a file "….auth_private", by which tor uses the key for
// the service of that address: the address without ".onion", "descriptor:x25519:" and
// the secret in base32, without a line break.
func (k *ClientKey) ForService(address string) (string, error) {
	if err := CheckAddress(address); err != nil {
		return "", err
	}
	return strings.TrimSuffix(address, suffix) + ":" + clientScheme + letters.EncodeToString(k.private().Bytes()), nil
}

// ParseForService reads what ForService makes, in capitals or not, and gives the
// service's address with the key.
func ParseForService(line string) (key *ClientKey, address string, err error) {
	name, rest, _ := strings.Cut(line, ":")
	address = strings.ToLower(name) + suffix
	if err := CheckAddress(address); err != nil {
		return nil, "", fmt.Errorf("%w: the address before it is none", ErrClientKey)
	}
	raw, err := decodeClient(rest)
	if err != nil {
		return nil, "", err
	}
	private, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		return nil, "", fmt.Errorf("%w: no X25519 key", ErrClientKey)
	}
	return newClientKey(private), address, nil
}

// decodeClient reads "descriptor:x25519:" and 32 bytes in base32. A key is written
// in one way only, but for capitals.
func decodeClient(line string) ([]byte, error) {
	text, ok := strings.CutPrefix(line, clientScheme)
	if !ok {
		return nil, fmt.Errorf("%w: it does not begin with %s", ErrClientKey, clientScheme)
	}
	raw, err := letters.DecodeString(strings.ToUpper(text))
	if err != nil || len(raw) != clientBytes || !strings.EqualFold(letters.EncodeToString(raw), text) {
		return nil, fmt.Errorf("%w: not %d bytes in base32 behind %s", ErrClientKey, clientBytes, clientScheme)
	}
	return raw, nil
}

const hidden = "[client authorization key]"

func (*ClientKey) String() string               { return hidden }
func (*ClientKey) GoString() string             { return hidden }
func (*ClientKey) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (*ClientKey) MarshalText() ([]byte, error) { return []byte(hidden), nil }
