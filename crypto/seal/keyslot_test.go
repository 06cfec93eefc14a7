package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"filippo.io/age"
	"pgregory.net/rapid"

	"tipbox/crypto/seal"
)

func slot(key *seal.TipKey) *seal.Keyslot {
	return seal.NewKeyslot("bribery", "source+1a2b3c4d+AAAA", key)
}

func slotText(s *seal.Keyslot) string {
	return "# tipbox keyslot v1\n# tip: " + s.Tip + "\n# channel: " + s.Channel +
		"\n# source: " + s.Source + "\n" + s.Key.Reveal() + "\n"
}

func TestKeyslotOpensForEachReader(t *testing.T) {
	tip := newKey(t)
	readers := []*seal.TipKey{newKey(t), newKey(t), newKey(t)}
	ks := must(seal.SealKeyslots(slot(tip), readers[0].Recipient(), readers[1].Recipient(), readers[2].Recipient()))
	if ks.Threshold != 1 || len(ks.Files) != 1 {
		t.Fatalf("threshold %d, %d files", ks.Threshold, len(ks.Files))
	}
	// As it is stored.
	stored := new(seal.Keyslots)
	if err := json.Unmarshal(must(json.Marshal(ks)), stored); err != nil {
		t.Fatal(err)
	}
	for _, reader := range readers {
		got, err := stored.Open(slot(tip).Tip, reader.Identity())
		if err != nil {
			t.Fatal(err)
		}
		if slotText(got) != slotText(slot(tip)) {
			t.Errorf("another slot came back: %+v", got)
		}
	}
	if _, err := stored.Open(slot(tip).Tip, newKey(t).Identity()); !errors.Is(err, seal.ErrNotForYou) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := stored.Open(slot(tip).Tip, tip.Identity()); !errors.Is(err, seal.ErrNotForYou) {
		t.Errorf("the tip key itself: %v", err)
	}
}

// heldElsewhere is an identity that may fail for reasons of its own.
type heldElsewhere struct {
	age.Identity
	err error
}

func (h heldElsewhere) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if h.err != nil {
		return nil, h.err
	}
	return h.Identity.Unwrap(stanzas)
}

func TestKeyHeldElsewhereThatFailsIsNoFaultOfTheFile(t *testing.T) {
	reader, gone, opens := newKey(t), errors.New("no answer"), slot(newKey(t))
	ks, tip := must(seal.SealKeyslots(opens, reader.Recipient())), opens.Tip
	if _, err := ks.Open(tip, heldElsewhere{reader.Identity(), nil}); err != nil {
		t.Error(err)
	}
	if _, err := ks.Open(tip, heldElsewhere{reader.Identity(), gone}); !errors.Is(err, gone) || errors.Is(err, seal.ErrDamaged) {
		t.Errorf("error %v", err)
	}
	if _, err := ks.Open(tip, heldElsewhere{newKey(t).Identity(), nil}); !errors.Is(err, seal.ErrNotForYou) {
		t.Errorf("error %v", err)
	}
	ks.Files[0][len(ks.Files[0])-1] ^= 1
	if _, err := ks.Open(tip, heldElsewhere{reader.Identity(), nil}); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("error %v", err)
	}
}

func TestKeyslotFileIsDocumentedText(t *testing.T) {
	tip, reader := newKey(t), newKey(t)
	ks := must(seal.SealKeyslots(slot(tip), reader.Recipient()))
	r := must(age.Decrypt(bytes.NewReader(ks.Files[0]), reader.Identity()))
	var text bytes.Buffer
	if _, err := text.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	if text.String() != slotText(slot(tip)) {
		t.Errorf("got\n%s", text.String())
	}
	ids, err := age.ParseIdentities(&text)
	if err != nil || len(ids) != 1 {
		t.Errorf("no age identity file: %v", err)
	}
}

func TestReaderLetInLaterOpensTheTip(t *testing.T) {
	tip, first, later := newKey(t), newKey(t), newKey(t)
	ks := must(seal.SealKeyslots(slot(tip), first.Recipient()))
	opened := must(ks.Open(slot(tip).Tip, first.Identity()))
	more := must(seal.SealKeyslots(opened, later.Recipient()))
	ks.Files = append(ks.Files, more.Files...)
	for _, reader := range []*seal.TipKey{first, later} {
		if got, err := ks.Open(slot(tip).Tip, reader.Identity()); err != nil || got.Key.Reveal() != tip.Reveal() {
			t.Fatal(err)
		}
	}
}

func TestSwappedKeyslotIsRefused(t *testing.T) {
	reader := newKey(t)
	other, tip := slot(newKey(t)), slot(newKey(t))
	ks := must(seal.SealKeyslots(other, reader.Recipient()))
	if got, err := ks.Open(tip.Tip, reader.Identity()); !errors.Is(err, seal.ErrWrongTip) || got != nil {
		t.Fatal(err)
	}
	// And it hides no slot that is right, before it or behind it.
	right := must(seal.SealKeyslots(tip, reader.Recipient()))
	for _, files := range [][][]byte{{ks.Files[0], right.Files[0]}, {right.Files[0], ks.Files[0]}} {
		got, err := (&seal.Keyslots{Threshold: 1, Files: files}).Open(tip.Tip, reader.Identity())
		if err != nil || got.Tip != tip.Tip {
			t.Fatal(err)
		}
	}
}

func TestDamagedKeyslotHidesNoOther(t *testing.T) {
	tip, reader := newKey(t), newKey(t)
	ks := must(seal.SealKeyslots(slot(tip), reader.Recipient()))
	good := ks.Files[0]
	for name, bad := range map[string][]byte{
		"nothing": nil, "cut": good[:len(good)-1], "flipped": flipped(good, 8*len(good)-1),
		"text": []byte("x"), "another's": must(seal.SealKeyslots(slot(tip), newKey(t).Recipient())).Files[0],
	} {
		ks := &seal.Keyslots{Threshold: 1, Files: [][]byte{bad, good, bad}}
		if _, err := ks.Open(slot(tip).Tip, reader.Identity()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		ks.Files = [][]byte{bad}
		if got, err := ks.Open(slot(tip).Tip, reader.Identity()); err == nil || got != nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestAlteredKeyslotIsRefused(t *testing.T) {
	reader := newKey(t)
	tip := slot(newKey(t))
	file := must(seal.SealKeyslots(tip, reader.Recipient())).Files[0]
	refused := func(t *rapid.T, altered []byte) {
		ks := &seal.Keyslots{Threshold: 1, Files: [][]byte{altered}}
		if got, err := ks.Open(tip.Tip, reader.Identity()); err == nil || got != nil {
			t.Fatal("opened")
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		refused(t, flipped(file, rapid.IntRange(0, 8*len(file)-1).Draw(t, "bit")))
		refused(t, file[:rapid.IntRange(0, len(file)-1).Draw(t, "length")])
		refused(t, append(bytes.Clone(file), rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "more")...))
	})
}

func TestRewrittenKeyslotIsRefused(t *testing.T) {
	tip, reader := newKey(t), newKey(t)
	text := slotText(slot(tip))
	lines := strings.SplitAfter(text, "\n") // header, tip, channel, source, key, ""
	for name, rewritten := range map[string]string{
		"empty":             "",
		"key only":          lines[4],
		"no header":         strings.Join(lines[1:], ""),
		"newer version":     strings.Replace(text, "v1", "v2", 1),
		"no tip":            lines[0] + strings.Join(lines[2:], ""),
		"no source":         strings.Join(append(append([]string{}, lines[:3]...), lines[4:]...), ""),
		"other order":       lines[0] + lines[2] + lines[1] + lines[3] + lines[4],
		"another line":      lines[0] + lines[1] + lines[2] + lines[3] + "# more: x\n" + lines[4],
		"line at the end":   text + "# more\n",
		"two keys":          text + newKey(t).Reveal() + "\n",
		"empty line":        text + "\n",
		"no end of line":    strings.TrimSuffix(text, "\n"),
		"CRLF":              strings.ReplaceAll(text, "\n", "\r\n"),
		"space":             strings.Replace(text, "# tip:", "#  tip:", 1),
		"other tip":         strings.Replace(text, slot(tip).Tip, "tip2", 1),
		"tip with space":    strings.Replace(text, slot(tip).Tip, slot(tip).Tip+" ", 1),
		"lower-case key":    strings.ToLower(text),
		"damaged key":       strings.Replace(text, "PQ-1", "PQ-1Q", 1),
		"no key":            strings.Join(lines[:4], ""),
		"classic key":       strings.Join(lines[:4], "") + must(age.GenerateX25519Identity()).String() + "\n",
		"too long":          strings.Replace(text, "bribery", strings.Repeat("x", 4096), 1),
		"padded with space": text + strings.Repeat(" ", 4096-len(text)),
	} {
		ks := &seal.Keyslots{Threshold: 1, Files: [][]byte{sealed(t, []byte(rewritten), reader.Recipient())}}
		got, err := ks.Open(slot(tip).Tip, reader.Identity())
		if got != nil || !errors.Is(err, seal.ErrDamaged) && !errors.Is(err, seal.ErrWrongTip) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), "PQ-1") {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
	ks := &seal.Keyslots{Threshold: 1, Files: [][]byte{sealed(t, []byte(text), reader.Recipient())}}
	if _, err := ks.Open(slot(tip).Tip, reader.Identity()); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

// A slot that does not open again is a tip that is lost.
func TestSlotThatWouldNotOpenIsNotSealed(t *testing.T) {
	reader := newKey(t)
	for name, change := range map[string]func(*seal.Keyslot){
		"another tip":          func(s *seal.Keyslot) { s.Tip = slot(newKey(t)).Tip },
		"two lines in channel": func(s *seal.Keyslot) { s.Channel = "x\n# source: y" },
		"two lines in source":  func(s *seal.Keyslot) { s.Source = "y\n" + newKey(t).Reveal() },
		"too long":             func(s *seal.Keyslot) { s.Source = strings.Repeat("y", 4096) },
	} {
		s := slot(newKey(t))
		change(s)
		if ks, err := seal.SealKeyslots(s, reader.Recipient()); err == nil || ks != nil {
			t.Errorf("%s: sealed", name)
		}
	}
	if ks, err := seal.SealKeyslots(slot(newKey(t))); err == nil || ks != nil {
		t.Error("no reader: sealed")
	}
}

func TestOtherThresholdsAreRefused(t *testing.T) {
	reader := newKey(t)
	tip := slot(newKey(t))
	ks := must(seal.SealKeyslots(tip, reader.Recipient()))
	for _, threshold := range []int{-1, 0, 2} {
		ks.Threshold = threshold
		if got, err := ks.Open(tip.Tip, reader.Identity()); err == nil || got != nil {
			t.Errorf("threshold %d: opened", threshold)
		}
	}
	if _, err := (&seal.Keyslots{Threshold: 1}).Open(tip.Tip, reader.Identity()); !errors.Is(err, seal.ErrNotForYou) {
		t.Errorf("no files: %v", err)
	}
}
