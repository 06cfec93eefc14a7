package seal_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"strings"
	"testing"

	"tipbox/crypto/seal"
)

// fixedKey is a tip key of no tip, fixed so that what a fuzzer found is found again.
const fixedKey = "AGE-SECRET-KEY-PQ-1TL0XS3QH589S7MV9GDQ9NZ05J0XHJ9NSDUXXKGTEV52022KHWUPSF8HLH0"

func fixed(t testing.TB) *seal.TipKey {
	t.Helper()
	key, err := seal.ParseTipKey(fixedKey)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sum(file []byte) [32]byte { return sha256.Sum256(file) }

// Run these with -fuzzminimizetime 10x: sealing is random, and the fuzzer would
// try for minutes to minimise an input whose path is never quite the same.

// The input is tried as a file and, so that it gets past the encryption, as
// what stands in one.
func FuzzOpenMessage(f *testing.F) {
	key := fixed(f)
	f.Add([]byte(nil))
	f.Add([]byte("age-encryption.org/v1\n-> mlkem768x25519 AAAA\n\n--- AAAA\n"))
	f.Add([]byte(`{"text":"hello"}`))
	f.Add(bytes.Repeat([]byte(" "), 4096))
	f.Add(append(document(4000), bytes.Repeat([]byte(" "), 96)...))
	f.Add(must(seal.Message(document(100), key.Recipient())))
	f.Fuzz(func(t *testing.T, in []byte) {
		if doc, err := seal.OpenMessage(in, key.Identity()); err == nil {
			checkDocument(t, doc)
		} else if doc != nil {
			t.Fatal("a document and an error")
		}
		doc, err := seal.OpenMessage(sealed(t, in, key.Recipient()), key.Identity())
		if err != nil {
			if doc != nil {
				t.Fatal("a document and an error")
			}
			return
		}
		checkDocument(t, doc)
		if !bytes.Equal(in, append(bytes.Clone(doc), bytes.Repeat([]byte(" "), len(in)-len(doc))...)) {
			t.Fatal("another document came back")
		}
	})
}

func checkDocument(t *testing.T, doc []byte) {
	if len(doc) > seal.MaxMessage || bytes.HasSuffix(doc, []byte(" ")) {
		t.Fatalf("a document of %d bytes", len(doc))
	}
}

func FuzzOpenKeyslots(f *testing.F) {
	tip := fixed(f)
	reader := fixed(f)
	text := slotText(slot(tip))
	f.Add([]byte(text), slot(tip).Tip)
	f.Add([]byte(strings.ReplaceAll(text, "\n", "\r\n")), slot(tip).Tip)
	f.Add([]byte(text), "tip2")
	f.Add([]byte("# tipbox keyslot v1\n# tip: \n# channel: \n# source: \n"), "")
	f.Add([]byte("# tipbox keyslot v1\n# tip: a"), "a")
	f.Add(must(seal.SealKeyslots(slot(tip), reader.Recipient())).Files[0], slot(tip).Tip)
	f.Fuzz(func(t *testing.T, in []byte, tip string) {
		raw := &seal.Keyslots{Threshold: 1, Files: [][]byte{in}}
		if slot, err := raw.Open(tip, reader.Identity()); (err == nil) != (slot != nil) {
			t.Fatal("neither slot nor error, or both")
		}
		ks := &seal.Keyslots{Threshold: 1, Files: [][]byte{sealed(t, in, reader.Recipient())}}
		slot, err := ks.Open(tip, reader.Identity())
		if err != nil {
			return
		}
		if slot.Tip != tip || slotText(slot) != string(in) {
			t.Fatalf("%q was read as %q", in, slotText(slot))
		}
		if _, err := seal.SealKeyslots(slot, reader.Recipient()); err != nil {
			t.Fatalf("what was opened cannot be sealed: %v", err)
		}
	})
}

func FuzzOpenAttachment(f *testing.F) {
	key := fixed(f)
	a := attach(f, noise(100), key.Recipient())
	f.Add(a.file, a.Size, a.Sealed)
	f.Add([]byte("hello"), int64(5), int64(5))
	f.Add(make([]byte, 1024), int64(1000), int64(9999))
	f.Add([]byte(nil), int64(0), int64(0))
	f.Add([]byte("x"), int64(1)<<62, int64(1)<<62)
	f.Fuzz(func(t *testing.T, in []byte, size, length int64) {
		try := func(file []byte, want *seal.Attachment) []byte {
			got, err := attached{file, want}.open(key)
			if int64(len(got)) > max(want.Size, 0) {
				t.Fatalf("%d bytes of an attachment of %d", len(got), want.Size)
			}
			if err == nil && (int64(len(got)) != want.Size || int64(len(file)) != want.Sealed || sum(file) != want.SHA256) {
				t.Fatal("opened what it was not asked for")
			}
			if err != nil {
				return nil
			}
			return got
		}
		try(in, &seal.Attachment{Size: size, Sealed: length, SHA256: sum(in)})
		try(in, &seal.Attachment{Size: size, Sealed: int64(len(in)), SHA256: sum(in)})
		file := sealed(t, in, key.Recipient())
		got := try(file, &seal.Attachment{Size: size, Sealed: int64(len(file)), SHA256: sum(file)})
		if got != nil && (!bytes.HasPrefix(in, got) || seal.PaddedSize(size) != int64(len(in)) ||
			len(bytes.Trim(in[size:], "\x00")) > 0) {
			t.Fatal("opened what is not padded as it should be")
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	key := fixed(f)
	f.Add([]byte(nil), uint16(1))
	f.Add([]byte(`{}`), uint16(2))
	f.Add([]byte{0, 0, 0}, uint16(3))
	f.Add(noise(5000), uint16(4096))
	f.Fuzz(func(t *testing.T, content []byte, piece uint16) {
		if doc := bytes.TrimRight(content, " "); len(doc) <= seal.MaxMessage {
			got, err := seal.OpenMessage(must(seal.Message(doc, key.Recipient())), key.Identity())
			if err != nil || !bytes.Equal(got, doc) {
				t.Fatal("another message came back", err)
			}
		}
		var out bytes.Buffer
		w := must(seal.NewAttachment(&out, blocks, key.Recipient()))
		must(io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{bytes.NewReader(content)}, make([]byte, int(piece)+1)))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := attached{out.Bytes(), w.Attachment()}.open(key)
		if err != nil || !bytes.Equal(got, content) {
			t.Fatal("another attachment came back", err)
		}
	})
}
