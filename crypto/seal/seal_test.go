package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"filippo.io/age"
	"pgregory.net/rapid"

	"tipbox/crypto/seal"
)

func newKey(t testing.TB) *seal.TipKey {
	t.Helper()
	key, err := seal.NewTipKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func recipients(t testing.TB, n int) []*seal.Recipient {
	t.Helper()
	to := make([]*seal.Recipient, n)
	for i := range to {
		to[i] = newKey(t).Recipient()
	}
	return to
}

// must takes the result of what cannot fail here.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// sealed is a plain age file, made without the package under test.
func sealed(t testing.TB, plain []byte, to ...age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// document is a JSON document of exactly n bytes, n at least 2.
func document(n int) []byte {
	return []byte(`"` + strings.Repeat("x", n-2) + `"`)
}

func flipped(file []byte, bit int) []byte {
	file = bytes.Clone(file)
	file[bit/8] ^= 1 << (bit % 8)
	return file
}

// allocated is how many bytes f allocates in all, freed or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestMessageOpensAsItWasSealed(t *testing.T) {
	key := newKey(t)
	check := func(t interface{ Fatalf(string, ...any) }, doc []byte) {
		file, err := seal.Message(doc, key.Recipient())
		if err != nil {
			t.Fatalf("sealing %d bytes: %v", len(doc), err)
		}
		got, err := seal.OpenMessage(file, key.Identity())
		if err != nil {
			t.Fatalf("opening %d bytes: %v", len(doc), err)
		}
		if !bytes.Equal(got, doc) {
			t.Fatalf("%d bytes came back as %d others", len(doc), len(got))
		}
	}
	check(t, nil)
	check(t, []byte(`{"text":"  two spaces, then more:  ","more":"   "}`))
	for _, size := range seal.Buckets {
		for _, n := range []int{size - 1, size, size + 1} {
			if n <= seal.MaxMessage {
				check(t, document(n))
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, document(rapid.IntRange(2, seal.MaxMessage).Draw(t, "n")))
	})
}

func TestMessageOverTheLargestBucketIsRefused(t *testing.T) {
	to := newKey(t).Recipient()
	for _, n := range []int{seal.MaxMessage + 1, 2 * seal.MaxMessage} {
		file, err := seal.Message(document(n), to)
		if !errors.Is(err, seal.ErrTooLong) || file != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if strings.Contains(err.Error(), fmt.Sprint(n)) {
			t.Fatalf("the error tells the message's length: %v", err)
		}
	}
}

func TestSealedLengthTellsOnlyBucketAndRecipients(t *testing.T) {
	to := recipients(t, 4)
	lengths := make(map[[2]int]int) // bucket, recipients: length
	bucket := func(n int) int {
		for _, size := range seal.Buckets {
			if n <= size {
				return size
			}
		}
		return 0
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom(seal.Buckets[:]).Draw(t, "upto") - rapid.IntRange(0, 3000).Draw(t, "less")
		count := rapid.IntRange(1, len(to)).Draw(t, "recipients")
		file := must(seal.Message(document(n), to[:count]...))
		at := [2]int{bucket(n), count}
		if was, ok := lengths[at]; ok && was != len(file) {
			t.Fatalf("bucket and recipients %v: %d and %d bytes", at, was, len(file))
		}
		lengths[at] = len(file)
	})
	seen := make(map[int][2]int)
	for at, n := range lengths {
		if other, ok := seen[n]; ok {
			t.Errorf("%v and %v are both %d bytes long: the test sees too little", at, other, n)
		}
		seen[n] = at
	}
}

func TestMessageToNobodyIsRefused(t *testing.T) {
	if file, err := seal.Message(document(10)); err == nil || file != nil {
		t.Fatal("sealed to nobody")
	}
}

// age writes more recipients than it reads.
func TestFileThatAgeWouldNotReadIsNotSealed(t *testing.T) {
	to := recipients(t, 1)
	last := newKey(t)
	for len(to) < 1023 {
		to = append(to, to[0])
	}
	to = append(to, last.Recipient())
	if _, err := seal.OpenMessage(must(seal.Message(document(10), to...)), last.Identity()); err != nil {
		t.Fatalf("%d recipients: %v", len(to), err)
	}
	to = append(to, to[0])
	if _, err := seal.Message(document(10), to...); err == nil {
		t.Fatalf("sealed to %d recipients", len(to))
	}
	if _, err := seal.NewAttachment(io.Discard, blocks, to...); err == nil {
		t.Fatalf("sealed to %d recipients", len(to))
	}
}

func TestMessageDoesNotOpenWithAnotherKey(t *testing.T) {
	file := must(seal.Message(document(10), recipients(t, 3)...))
	doc, err := seal.OpenMessage(file, newKey(t).Identity())
	if !errors.Is(err, seal.ErrNotForYou) || doc != nil {
		t.Fatal(err)
	}
}

func TestAlteredMessageIsRefused(t *testing.T) {
	key := newKey(t)
	file := must(seal.Message(document(100), append(recipients(t, 1), key.Recipient())...))
	refused := func(t interface{ Fatalf(string, ...any) }, what string, altered []byte) {
		doc, err := seal.OpenMessage(altered, key.Identity())
		if doc != nil {
			t.Fatalf("%s: opened", what)
		}
		if !errors.Is(err, seal.ErrDamaged) && !errors.Is(err, seal.ErrNotForYou) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		bit := rapid.IntRange(0, 8*len(file)-1).Draw(t, "bit")
		refused(t, "a bit flipped", flipped(file, bit))
	})
	rapid.Check(t, func(t *rapid.T) {
		refused(t, "cut", file[:rapid.IntRange(0, len(file)-1).Draw(t, "length")])
	})
	rapid.Check(t, func(t *rapid.T) {
		more := rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "more")
		refused(t, "extended", append(bytes.Clone(file), more...))
	})
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(file)-1).Draw(t, "at")
		refused(t, "a byte taken out", append(bytes.Clone(file[:at]), file[at+1:]...))
		refused(t, "a byte put in", append(append(bytes.Clone(file[:at]), 'x'), file[at:]...))
	})
	refused(t, "twice", append(bytes.Clone(file), file...))
	refused(t, "chunk of another", append(bytes.Clone(file[:len(file)-50]), must(seal.Message(document(100), key.Recipient()))[:50]...))
}

// Every single bit of a whole file, so that nothing depends on luck.
func TestEveryBitOfAMessageCounts(t *testing.T) {
	key := newKey(t)
	file := must(seal.Message(document(100), key.Recipient()))
	header := bytes.Index(file, []byte("\n---")) + 4 + 1 + 43 + 1
	bits := func(from, to, step int) {
		for bit := 8 * from; bit < 8*to; bit += step {
			if doc, err := seal.OpenMessage(flipped(file, bit), key.Identity()); err == nil || doc != nil {
				t.Fatalf("bit %d flipped: opened", bit)
			}
		}
	}
	if raceEnabled || testing.Short() {
		bits(0, header, 7)
		bits(header, len(file), 31)
		return
	}
	bits(0, header+16, 1) // the 16 bytes are the nonce
	bits(header+16, len(file), 7)
}

func TestFileThatIsNoMessageIsRefused(t *testing.T) {
	key := newKey(t)
	for name, file := range map[string][]byte{
		"nothing":       nil,
		"text":          []byte("hello\n"),
		"a bare header": []byte("age-encryption.org/v1\n"),
		"no recipients": []byte("age-encryption.org/v1\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"),
		"a bad stanza":  []byte("age-encryption.org/v1\n-> mlkem768x25519 AAAA\n" + strings.Repeat("A", 43) + "\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"),
		"no padding":    sealed(t, document(100), key.Recipient()),
		"empty":         sealed(t, nil, key.Recipient()),
		"over a bucket": sealed(t, document(seal.MaxMessage+1), key.Recipient()),
		"a keyslot":     must(seal.SealKeyslots(slot(key), key.Recipient())).Files[0],
		"an attachment": attach(t, make([]byte, 5000), key.Recipient()).file,
	} {
		if doc, err := seal.OpenMessage(file, key.Identity()); !errors.Is(err, seal.ErrDamaged) || doc != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nobody can have a tip read that was sealed with less than was promised.
func TestMessageToAClassicRecipientIsRefused(t *testing.T) {
	key := newKey(t)
	classic := must(age.GenerateX25519Identity())
	scrypt := must(age.NewScryptRecipient("passphrase"))
	scrypt.SetWorkFactor(2)
	padded := bytes.Repeat([]byte(" "), seal.Buckets[0])
	for name, to := range map[string]age.Recipient{"X25519": classic.Recipient(), "scrypt": scrypt} {
		if _, err := seal.OpenMessage(sealed(t, padded, to), key.Identity()); !errors.Is(err, seal.ErrNotForYou) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrorDoesNotRepeatTheFile(t *testing.T) {
	long := "age-encryption.org/v1\n-> " + strings.Repeat("evil\x1b ", 100_000) + "\n"
	_, err1 := seal.OpenMessage([]byte(long), newKey(t).Identity())
	_, err2 := seal.OpenAttachment(strings.NewReader(long), &seal.Attachment{Size: 1, Sealed: 1 << 20}, newKey(t).Identity())
	for _, err := range []error{err1, err2} {
		if !errors.Is(err, seal.ErrDamaged) || len(err.Error()) > 500 || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%.1000v", err)
		}
	}
}

func TestOpeningTakesBoundedMemory(t *testing.T) {
	key := newKey(t)
	big := sealed(t, make([]byte, 16<<20), key.Recipient())
	stanzas := []byte("age-encryption.org/v1\n" + strings.Repeat("-> x y\n\n", 2<<20))
	line := []byte("age-encryption.org/v1\n-> x " + strings.Repeat("y", 16<<20))
	for name, file := range map[string][]byte{"plaintext": big, "stanzas": stanzas, "one line": line} {
		var err error
		n := allocated(func() { _, err = seal.OpenMessage(file, key.Identity()) })
		if !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if n > 20<<20 {
			t.Errorf("%s of %d bytes: allocated %d", name, len(file), n)
		}
	}
}

func TestOnlyPostQuantumRecipientsAreParsed(t *testing.T) {
	key := newKey(t)
	good := key.Recipient().String()
	r, err := seal.ParseRecipient(good)
	if err != nil || r.String() != good {
		t.Fatal(err)
	}
	classic := must(age.GenerateX25519Identity())
	for _, bad := range []string{
		"", "age1", "age1pq1", classic.Recipient().String(), classic.String(), key.Reveal(),
		strings.ToUpper(good), good + "q", good[:len(good)-1], " " + good, good + "\n",
	} {
		_, err := seal.ParseRecipient(bad)
		if !errors.Is(err, seal.ErrRecipient) {
			t.Errorf("%.30q: %v", bad, err)
		}
		if strings.Contains(err.Error(), "KEY-1") || strings.Contains(err.Error(), "PQ-1") {
			t.Errorf("the error shows of a secret key: %v", err)
		}
	}
}

func TestTipKeyReadsBack(t *testing.T) {
	key := newKey(t)
	again := must(seal.ParseTipKey(key.Reveal()))
	if again.Reveal() != key.Reveal() || again.Recipient().String() != key.Recipient().String() {
		t.Fatal("another key came back")
	}
	secret := key.Reveal()
	classic := must(age.GenerateX25519Identity()).String()
	for _, bad := range []string{"", classic, strings.ToLower(secret), secret[:len(secret)-1], secret + "\n", key.String()} {
		_, err := seal.ParseTipKey(bad)
		if !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%.30q: %v", bad, err)
		}
		if strings.Contains(fmt.Sprint(err), "PQ-1") {
			t.Errorf("the error shows of a secret key: %v", err)
		}
	}
}

func TestTipKeyPrintsAsAFixedWord(t *testing.T) {
	key := newKey(t)
	type open struct{ Key *seal.TipKey }
	type closed struct{ key *seal.TipKey }
	type embedded struct{ *seal.TipKey }
	type byValue struct{ Key seal.TipKey }
	for name, v := range map[string]any{
		"key":         key,
		"a copy":      *key,
		"field":       open{key},
		"pointer":     &open{key},
		"unexported":  closed{key},
		"embedded":    embedded{key},
		"by value":    byValue{*key},
		"keyslot":     slot(key),
		"list":        []*seal.TipKey{key},
		"map":         map[string]any{"key": key},
		"in an error": fmt.Errorf("with %v", key),
	} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%U", "%c"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v, slog.Group("g", "v", v))
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v, slog.Group("g", "v", v))
		if doc, err := json.Marshal(v); err == nil {
			out.Write(doc)
		}
		secret := key.Reveal()
		body := secret[len("AGE-SECRET-KEY-PQ-1"):]
		if s := strings.ToUpper(out.String()); strings.Contains(s, body[:16]) || strings.Contains(s, "AGE-SECRET") ||
			strings.Contains(s, strings.ToUpper(fmt.Sprintf("%x", secret[:16]))) {
			t.Errorf("%s shows the secret:\n%s", name, out.String())
		}
	}
	if got := fmt.Sprintf("%v %+v %s %#v", key, key, key, key); strings.Count(got, "[tip key]") != 4 {
		t.Error(got)
	}
	if got := string(must(json.Marshal(open{key}))); got != `{"Key":"[tip key]"}` {
		t.Error(got)
	}
}
