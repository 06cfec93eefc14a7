package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"

	"tipbox/crypto/secret"
)

// A Keyslot is what a keyslot file says once it is open: the tip's key, and to
// what it belongs. Make it with NewKeyslot.
//
// Because it holds the secret key, only somebody who knew that key can have
// made it; and the tip's id is a hash of its public keys (see TipID). So a
// server that was taken over since can neither alter the other lines nor put a
// key, or a whole tip, of its own in the place of one.
type Keyslot struct {
	Tip     string  // the tip's id, TipID of Key and Source
	Channel string  // the channel's id
	Source  string  // the source's verifier key, for its later messages
	Key     *TipKey // the tip's key
}

// NewKeyslot makes the slot of a tip. Channel and source are a line each.
func NewKeyslot(channel, source string, key *TipKey) *Keyslot {
	return &Keyslot{Tip: TipID(key.Public(), source), Channel: channel, Source: source, Key: key}
}

// TipIDLength is the length of a tip's id in characters.
const TipIDLength = 16

// TipID is the id of the tip with that key (its Public text) and that source's
// verifier key: the first 80 bits of
//
//	SHA-256("tipbox tip v1\n" recipient "\n" source "\n")
//
// as 16 characters of lower-case base32 (RFC 4648), a-z and 2-7.
func TipID(key, source string) string {
	sum := sha256.Sum256([]byte("tipbox tip v1\n" + key + "\n" + source + "\n"))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:TipIDLength*5/8]))
}

// Keyslots are all the keyslot files of a tip, as they are stored. With a
// Threshold of 1 each file opens the tip by itself and may have several
// recipients; a file is added for each reader let in later. Higher thresholds
// are reserved: their files will hold shares of the key.
type Keyslots struct {
	Threshold int      `json:"threshold"`
	Files     [][]byte `json:"files"` // age files
}

const (
	keyslotHeader = "# tipbox keyslot v1\n"
	keyslotLines  = 5
	maxKeyslot    = 4 << 10 // plaintext bytes
)

// SealKeyslots seals the slot to its readers in one file, threshold 1. It is
// an error to have no reader, or a slot that would not open again.
func SealKeyslots(slot *Keyslot, readers ...*Recipient) (ks *Keyslots, err error) {
	secret.Do(func() { ks, err = sealKeyslots(slot, readers) })
	return ks, err
}

func sealKeyslots(slot *Keyslot, readers []*Recipient) (*Keyslots, error) {
	text := slot.text()
	if slot.Tip != TipID(slot.Key.Public(), slot.Source) {
		return nil, fmt.Errorf("sealing a keyslot: it %w", ErrWrongTip)
	}
	if bytes.Count(text, []byte("\n")) != keyslotLines || len(text) > maxKeyslot {
		return nil, errors.New("sealing a keyslot: a line of it is too long or more than one line")
	}
	file, err := encrypt(text, readers)
	if err != nil {
		return nil, fmt.Errorf("keyslot: %w", err)
	}
	return &Keyslots{Threshold: 1, Files: [][]byte{file}}, nil
}

// Open opens the first of the files that is for this identity and checks that
// it belongs to the tip. It returns ErrNotForYou when none is, ErrWrongTip
// when the slot is another tip's, and ErrDamaged otherwise.
func (ks *Keyslots) Open(tip string, id age.Identity) (*Keyslot, error) {
	if ks.Threshold != 1 {
		return nil, fmt.Errorf("keyslots of tip %s have threshold %d, which this version cannot open: get a newer one", tip, ks.Threshold)
	}
	// A damaged file must not keep a reader from another that is whole.
	failed := ErrNotForYou
	for _, file := range ks.Files {
		text, err := decrypt(file, id, maxKeyslot)
		if errors.Is(err, ErrNotForYou) {
			continue
		}
		if err != nil {
			failed = err
			continue
		}
		slot, err := parseKeyslot(text)
		if err != nil {
			failed = err
			continue
		}
		if slot.Tip != tip {
			failed = fmt.Errorf("keyslot of tip %q in the place of %q: %w", slot.Tip, tip, ErrWrongTip)
			continue
		}
		return slot, nil
	}
	return nil, fmt.Errorf("opening a keyslot: %w", failed)
}

func (s *Keyslot) text() []byte {
	return fmt.Appendf(nil, "%s# tip: %s\n# channel: %s\n# source: %s\n%s\n",
		keyslotHeader, s.Tip, s.Channel, s.Source, s.Key.Reveal())
}

// parseKeyslot reads what text writes, and nothing else.
func parseKeyslot(text []byte) (*Keyslot, error) {
	rest, ok := strings.CutPrefix(string(text), keyslotHeader)
	if !ok {
		return nil, fmt.Errorf("not a keyslot: %w", ErrDamaged)
	}
	slot := new(Keyslot)
	for _, field := range []struct {
		name  string
		value *string
	}{{"# tip: ", &slot.Tip}, {"# channel: ", &slot.Channel}, {"# source: ", &slot.Source}} {
		var line string
		line, rest, ok = strings.Cut(rest, "\n")
		if *field.value, _ = strings.CutPrefix(line, field.name); !ok || !strings.HasPrefix(line, field.name) {
			return nil, fmt.Errorf("keyslot without %q: %w", strings.Trim(field.name, "# :"), ErrDamaged)
		}
	}
	var err error
	if slot.Key, err = ParseTipKey(strings.TrimSuffix(rest, "\n")); err != nil {
		return nil, fmt.Errorf("keyslot: %w", err)
	}
	if !bytes.Equal(slot.text(), text) {
		return nil, fmt.Errorf("keyslot: %w", ErrDamaged)
	}
	if slot.Tip != TipID(slot.Key.Public(), slot.Source) {
		return nil, fmt.Errorf("keyslot with a key of another tip: %w", ErrWrongTip)
	}
	return slot, nil
}
