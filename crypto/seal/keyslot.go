package seal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
)

// A Keyslot is what a keyslot file says once it is open: the tip's key, and to
// what it belongs. Because it holds the secret key, only somebody who knew that
// key can have made it; so its other lines are as true as the key is the tip's.
// A server that was taken over since cannot alter them. It can put a key of its
// own in the slot's place, which opens nothing that was sealed to the tip; and
// a whole tip of its own making in a tip's place, which only a reader notices
// who remembers the first one's key.
type Keyslot struct {
	Tip     string  // the tip's id
	Channel string  // the channel's id
	Source  string  // the source's verifier key, for its later messages
	Key     *TipKey // the tip's key
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
func SealKeyslots(slot *Keyslot, readers ...*Recipient) (*Keyslots, error) {
	text := slot.text()
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
	return slot, nil
}
