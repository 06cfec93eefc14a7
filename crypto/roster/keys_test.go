package roster_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"pgregory.net/rapid"

	"tipbox/crypto/roster"
)

// must takes the result of what cannot fail here.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newMember(t testing.TB, name string) *roster.MemberKey {
	t.Helper()
	key, err := roster.NewMemberKey(name)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestNamesAreShortAndPlain(t *testing.T) {
	for _, good := range []string{"a", "7", "alice", "anna-maria-2", "off-book-funds", strings.Repeat("a", 32)} {
		if err := roster.CheckName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "-", "-a", "a-", "a--b", "Alice", "a b", "a\n", "a+b", "a.b", "a/b", "zoë", "аlice", "a\x00", strings.Repeat("a", 33),
	} {
		err := roster.CheckName(bad)
		if !errors.Is(err, roster.ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := roster.NewSigningKey(bad); !errors.Is(err, roster.ErrName) {
			t.Errorf("a signing key named %q", bad)
		}
		if _, err := roster.NewMemberKey(bad); !errors.Is(err, roster.ErrName) {
			t.Errorf("a member named %q", bad)
		}
	}
}

func TestSigningKeyReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), ed25519.SeedSize, ed25519.SeedSize).Draw(t, "seed")
		private := ed25519.NewKeyFromSeed(seed)
		key := must(roster.SigningKeyFrom("alice", private))
		again := must(roster.ParseSigningKey(key.Reveal()))
		if !private.Equal(must(again.Signer())) || again.Name() != "alice" || again.Verifier() != key.Verifier() {
			t.Fatal("another key came back")
		}
		name, public, err := roster.VerifierPublic(key.Verifier())
		if err != nil || name != "alice" || !public.Equal(private.Public()) || !public.Equal(key.Public()) {
			t.Fatal(name, err)
		}
	})
}

func TestThatIsNoSigningKeyIsRefused(t *testing.T) {
	key := must(roster.NewSigningKey("alice"))
	good := key.Reveal()
	parts := strings.SplitN(good, "+", 5)
	for _, bad := range []string{
		"", "+", "++++", "PRIVATE+KEY", "PRIVATE+KEY+alice", "PRIVATE+KEY+alice+12345678", "PRIVATE+KEY+alice+12345678+",
		key.Verifier(), strings.Replace(good, "alice", "bob", 1), good[:len(good)-4], good + "AAAA",
		strings.Join([]string{parts[0], parts[1], parts[2], "00000000", parts[4]}, "+"),
		strings.Join([]string{parts[0], parts[1], parts[2], parts[3], base64.StdEncoding.EncodeToString(make([]byte, 33))}, "+"),
		strings.ToLower(good),
	} {
		_, err := roster.ParseSigningKey(bad)
		if !errors.Is(err, roster.ErrFormat) {
			t.Errorf("%q: %v", bad, err)
		}
		if strings.Contains(fmt.Sprint(err), parts[4][4:12]) {
			t.Errorf("the error shows of the secret: %v", err)
		}
	}
	for _, n := range []int{0, 32, 63, 65} {
		if _, err := roster.SigningKeyFrom("alice", make(ed25519.PrivateKey, n)); !errors.Is(err, roster.ErrFormat) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	// x/mod lets others sign under any name.
	if _, err := roster.ParseSigningKey("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"); !errors.Is(err, roster.ErrName) {
		t.Error(err)
	}
}

func TestVerifierKeyHasOneSpelling(t *testing.T) {
	// One with a letter in its hash.
	key := must(roster.NewSigningKey("alice"))
	for strings.Trim(strings.SplitN(key.Verifier(), "+", 3)[1], "0123456789") == "" {
		key = must(roster.NewSigningKey("alice"))
	}
	good := key.Verifier()
	parts := strings.SplitN(good, "+", 3)
	for _, bad := range []string{
		"", "+", "++", "alice", "alice+12345678", "alice+12345678+", good + "\n", good[:30] + "\n" + good[30:],
		parts[0] + "+" + strings.ToUpper(parts[1]) + "+" + parts[2], "bob" + good[5:], good + "AAAA", good[:len(good)-4],
	} {
		if _, _, err := roster.VerifierPublic(bad); !errors.Is(err, roster.ErrFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Somebody will paste the one key where the other belongs.
func TestErrorsDoNotShowASigningKey(t *testing.T) {
	key := must(roster.NewSigningKey("a"))
	secret := key.Reveal()
	signed := must(key.Sign("x\n"))
	_, err1 := roster.Verify(signed, secret)
	_, _, err2 := roster.VerifierPublic(secret)
	_, err3 := roster.Open(signed, secret, roster.Mark{})
	_, err4 := roster.ParseCard("tipbox card v1\nname: a\nage: x\nsign: " + secret + "\n")
	_, err5 := roster.Parse([]byte(`{"organisation":"x","day":"2026-11-22","servers":["` + secret + `"]}`))
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err == nil {
			t.Error("a secret key was taken for a verifier key")
		} else if strings.Contains(err.Error(), secret[20:30]) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}

func TestSignedTextVerifies(t *testing.T) {
	key := must(roster.NewSigningKey("alice"))
	for _, text := range []string{"\n", "x\n", "two\nlines\n", "an empty line\n\nwithin\n", "at the end\n\n\n", "— alice x\n", "\n\n— alice AAAA\n"} {
		signed, err := key.Sign(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got, err := roster.Verify(signed, key.Verifier()); err != nil || got != text {
			t.Errorf("%q came back as %q: %v", text, got, err)
		}
	}
}

// What note.Sign signs and note.Open refuses.
func TestTextThatWouldNotVerifyIsNotSigned(t *testing.T) {
	key := must(roster.NewSigningKey("alice"))
	for _, text := range []string{"", "x", "tab\tx\n", "\r\n", "\x00\n", "\xff\n"} {
		if signed, err := key.Sign(text); err == nil || signed != nil {
			t.Errorf("%q was signed", text)
		}
	}
}

func TestNoteHasOneSpellingAndOneSigner(t *testing.T) {
	key := must(roster.NewSigningKey("alice"))
	signed := string(must(key.Sign("text\n")))
	verifier := key.Verifier()
	text, sig, _ := strings.Cut(signed, "\n\n")
	_, other, _ := strings.Cut(string(must(must(roster.NewSigningKey("bob")).Sign("text\n"))), "\n\n")
	_, namesake, _ := strings.Cut(string(must(must(roster.NewSigningKey("alice")).Sign("text\n"))), "\n\n")

	// The last character before the "=" has two bits that mean nothing.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	at := strings.Index(sig, "=") - 1
	spare := sig[:at] + string(alphabet[strings.IndexByte(alphabet, sig[at])^1]) + sig[at+1:]
	// The same key's name and hash, before bytes that are no signature.
	raw := must(base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(sig, "— alice "))))
	junk := "— alice " + base64.StdEncoding.EncodeToString(append(raw[:4:4], "whatever"...)) + "\n"

	for name, note := range map[string]string{
		"nothing":             "",
		"no signature":        text + "\n\n",
		"unsigned":            text + "\n",
		"text altered":        "test\n\n" + sig,
		"by another":          text + "\n\n" + other,
		"by a namesake":       text + "\n\n" + namesake,
		"and by another":      signed + other,
		"another's first":     text + "\n\n" + other + sig,
		"signed twice":        signed + sig,
		"and junk":            signed + junk,
		"junk first":          text + "\n\n" + junk + sig,
		"spare bits":          text + "\n\n" + spare,
		"no end of line":      strings.TrimSuffix(signed, "\n"),
		"a line behind":       signed + "\n",
		"a space":             strings.TrimSuffix(signed, "\n") + " \n",
		"CRLF":                strings.ReplaceAll(signed, "\n", "\r\n"),
		"a line before":       "\n" + signed,
		"another blank line":  text + "\n\n\n" + sig,
		"signature within":    text + "\n\n" + sig + "\n\n" + sig,
		"other name":          text + "\n\n" + strings.Replace(sig, "alice", "bob", 1),
		"other hash":          text + "\n\n" + strings.Replace(sig, "alice ", "alice A", 1),
		"dash":                text + "\n\n" + strings.Replace(sig, "—", "-", 1),
		"a hundred and one":   signed + strings.Repeat(other, 101),
		"no base64":           text + "\n\n— alice ====\n",
		"short":               text + "\n\n— alice AAAA\n",
		"a verifier as a sig": text + "\n\n— " + verifier + "\n",
	} {
		got, err := roster.Verify([]byte(note), verifier)
		if !errors.Is(err, roster.ErrSignature) && !errors.Is(err, roster.ErrFormat) || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		altered := []byte(signed)
		bit := rapid.IntRange(0, 8*len(signed)-1).Draw(t, "bit")
		altered[bit/8] ^= 1 << (bit % 8)
		if _, err := roster.Verify(altered, verifier); err == nil {
			t.Fatalf("verified %q", altered)
		}
	})
}

func FuzzVerify(f *testing.F) {
	key := readSigningKey(f, "root")
	f.Add("text\n", []byte("text\n\n— root AAAA\n"), "root+00000000+AAAA")
	f.Add("— root\n\n", must(key.Sign("x\n")), key.Verifier())
	f.Fuzz(func(t *testing.T, text string, note []byte, verifier string) {
		roster.Verify(note, verifier)
		roster.VerifierPublic(verifier)
		if got, err := roster.Verify(note, key.Verifier()); err == nil && !bytes.Equal(must(key.Sign(got)), note) {
			t.Fatalf("a second spelling of a note: %q", note)
		}
		signed, err := key.Sign(text)
		if err != nil {
			return
		}
		if got, err := roster.Verify(signed, key.Verifier()); err != nil || got != text {
			t.Fatalf("%q came back as %q: %v", text, got, err)
		}
	})
}

func TestMemberKeyFileReadsBack(t *testing.T) {
	key := newMember(t, "alice")
	text := key.Reveal()
	for name, file := range map[string]string{
		"as it is":     text,
		"CRLF":         strings.ReplaceAll(text, "\n", "\r\n"),
		"no last line": strings.TrimSuffix(text, "\n"),
		"blank lines":  text + "\n\n",
		"a comment":    text + "# kept in the safe\n",
	} {
		again, err := roster.ParseMemberKey(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if again.Reveal() != text || again.Name() != "alice" || again.Verifier() != key.Verifier() {
			t.Errorf("%s: another key came back", name)
		}
	}
}

func halves(key *roster.MemberKey) []*roster.MemberKey {
	sign, read := key.Split()
	return []*roster.MemberKey{sign, read}
}

func TestHalvesReadBackAndHoldNothingOfEachOther(t *testing.T) {
	whole := newMember(t, "alice")
	lines := strings.SplitAfter(whole.Reveal(), "\n") // header, warning, name, sign, identity
	sign, read := whole.Split()
	if text := sign.Reveal(); strings.Contains(text, "AGE-SECRET-KEY") || !strings.Contains(text, lines[3]) {
		t.Errorf("the half that signs:\n%s", text)
	}
	if text := read.Reveal(); strings.Contains(text, "# sign") || strings.Contains(text, "PRIVATE") || !strings.Contains(text, lines[4]) {
		t.Errorf("the half that reads:\n%s", text)
	}
	for _, half := range halves(whole) {
		again, err := roster.ParseMemberKey(half.Reveal())
		if err != nil || again.Reveal() != half.Reveal() || again.Name() != "alice" {
			t.Errorf("another half came back: %v", err)
		}
	}
	// A whole key without one of its lines is a half.
	for i, want := range map[int]*roster.MemberKey{3: read, 4: sign} {
		half, err := roster.ParseMemberKey(strings.Join(lines[:i], "") + strings.Join(lines[i+1:], ""))
		if err != nil || half.Reveal() != want.Reveal() {
			t.Errorf("without line %d: %v", i, err)
		}
	}
}

func TestWhatTakesAMissingHalfSaysWhichIsMissing(t *testing.T) {
	whole := newMember(t, "alice")
	sign, read := whole.Split()
	var sealed bytes.Buffer
	w := must(age.Encrypt(&sealed, must(whole.Card()).Recipient))
	must(io.WriteString(w, "hello"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := age.Decrypt(bytes.NewReader(sealed.Bytes()), sign.Identity()); !errors.Is(err, roster.ErrCannotRead) {
		t.Errorf("the half that signs reads: %v", err)
	}
	if _, err := sign.Reader(); !errors.Is(err, roster.ErrCannotRead) {
		t.Error(err)
	}
	if _, err := sign.Card(); !errors.Is(err, roster.ErrCannotRead) {
		t.Errorf("a card: %v", err)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed.Bytes()), read.Identity())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "hello" {
		t.Errorf("the half that reads: %q, %v", got, err)
	}
	if _, err := read.Sign("text\n"); !errors.Is(err, roster.ErrCannotSign) {
		t.Errorf("the half that reads signs: %v", err)
	}
	if _, err := read.Signer(); !errors.Is(err, roster.ErrCannotSign) {
		t.Error(err)
	}
	if _, err := read.Card(); !errors.Is(err, roster.ErrCannotSign) {
		t.Errorf("a card: %v", err)
	}
	if read.Public() != nil || read.Verifier() != "" {
		t.Error("the half that reads has a public key of the other")
	}
	if signed, err := sign.Sign("text\n"); err != nil {
		t.Error(err)
	} else if _, err := roster.Verify(signed, whole.Verifier()); err != nil {
		t.Error(err)
	}
}

// elsewhere is a signer or reader that does not show its secret.
type elsewhere struct {
	crypto.Signer
	roster.Reader
}

func TestKeyHeldElsewhereDoesAllButReveal(t *testing.T) {
	whole := newMember(t, "alice")
	held := elsewhere{must(whole.Signer()), must(whole.Reader())}
	key, err := roster.MemberKeyFrom("alice", struct{ crypto.Signer }{held}, struct{ roster.Reader }{held})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := must(key.Card()).Text, must(whole.Card()).Text; got != want {
		t.Errorf("another card:\n%s", got)
	}
	for form, secret := range secretForms(whole) {
		if strings.Contains(key.Reveal(), secret) {
			t.Errorf("it is revealed: %s", form)
		}
	}
	if _, err := roster.ParseMemberKey(key.Reveal()); !errors.Is(err, roster.ErrFormat) {
		t.Errorf("what is not here was written: %v", err)
	}
	if _, err := roster.MemberKeyFrom("Alice", held, held); !errors.Is(err, roster.ErrName) {
		t.Error(err)
	}
	if _, err := roster.MemberKeyFrom("alice", nil, nil); !errors.Is(err, roster.ErrFormat) {
		t.Error(err)
	}
	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	if _, err := roster.MemberKeyFrom("alice", p256, nil); !errors.Is(err, roster.ErrFormat) {
		t.Errorf("another kind of key: %v", err)
	}
	broken := errors.New("no answer")
	failing := must(roster.SigningKeyFrom("alice", failingSigner{held, broken}))
	if _, err := failing.Sign("text\n"); !errors.Is(err, broken) {
		t.Errorf("who holds it fails: %v", err)
	}
}

type failingSigner struct {
	crypto.Signer
	err error
}

func (s failingSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, s.err }

func TestThatIsNoMemberKeyFileIsRefused(t *testing.T) {
	key, other := newMember(t, "alice"), newMember(t, "bob")
	text := key.Reveal()
	lines := strings.SplitAfter(text, "\n") // header, warning, name, sign, identity, ""
	without := func(i int) string {
		return strings.Join(lines[:i], "") + strings.Join(lines[i+1:], "")
	}
	theirs := strings.SplitAfter(other.Reveal(), "\n")
	signs, reads := key.Split()
	for name, file := range map[string]string{
		"nothing":            "",
		"no header":          without(0),
		"newer version":      strings.Replace(text, "v1", "v2", 1),
		"no name":            without(2),
		"neither half":       without(3)[:len(without(3))-len(lines[4])],
		"a bad name":         strings.Replace(without(3), "# name: alice", "# name: Alice", 1),
		"another name":       strings.Replace(text, "# name: alice", "# name: bob", 1),
		"another's sign":     strings.Join(lines[:3], "") + theirs[3] + lines[4],
		"two names":          text + lines[2],
		"two signing keys":   text + lines[3],
		"two identities":     text + theirs[4],
		"classic identity":   strings.Join(lines[:4], "") + must(age.GenerateX25519Identity()).String() + "\n",
		"damaged identity":   strings.Replace(text, "PQ-1", "PQ-1Q", 1),
		"damaged sign":       strings.Replace(text, "PRIVATE+KEY+alice+", "PRIVATE+KEY+alice+0", 1),
		"lower case":         strings.ToLower(text),
		"a card":             must(key.Card()).Text,
		"an age key file":    lines[4],
		"a line before":      "\n" + text,
		"header in a middle": without(0) + lines[0],
	} {
		got, err := roster.ParseMemberKey(file)
		if !errors.Is(err, roster.ErrFormat) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
		if secret := strings.TrimSpace(lines[4]); strings.Contains(fmt.Sprint(err), secret[30:40]) {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		altered := []byte(text)
		at := rapid.IntRange(len(lines[0])+len(lines[1]), len(text)-2).Draw(t, "at")
		altered[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		// A line that is none any more leaves a half.
		again, err := roster.ParseMemberKey(string(altered))
		if err != nil {
			return
		}
		if got := again.Reveal(); got != text && got != signs.Reveal() && got != reads.Reveal() {
			t.Fatalf("another key came back")
		}
	})
}

func FuzzParseMemberKey(f *testing.F) {
	text := readMemberKey(f, "alice").Reveal()
	f.Add(text)
	f.Add(strings.ReplaceAll(text, "\n", "\r\n"))
	f.Add("# tipbox member key v1\n# name: a\n# sign: PRIVATE+KEY+a+00000000+AAAA\nAGE-SECRET-KEY-PQ-1\n")
	f.Add(text + "# sign: ")
	for _, half := range halves(readMemberKey(f, "alice")) {
		f.Add(half.Reveal())
	}
	f.Fuzz(func(t *testing.T, text string) {
		roster.ParseSigningKey(text)
		key, err := roster.ParseMemberKey(text)
		if err != nil {
			return
		}
		again, err := roster.ParseMemberKey(key.Reveal())
		if err != nil || again.Reveal() != key.Reveal() {
			t.Fatalf("another key came back: %v", err)
		}
		card, err := key.Card()
		if errors.Is(err, roster.ErrCannotRead) || errors.Is(err, roster.ErrCannotSign) {
			return
		}
		if err != nil || card.Name != key.Name() {
			t.Fatalf("no card: %v", err)
		}
	})
}

func TestLockedKeyFileReadsBack(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("scrypt is slow, and it is meant to be")
	}
	text := newMember(t, "alice").Reveal()
	file, err := roster.Lock(text, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(file, []byte(armor.Header)) || !bytes.HasSuffix(file, []byte(armor.Footer+"\n")) {
		t.Errorf("not an armored file:\n%s", file)
	}
	got, err := roster.Unlock(bytes.ReplaceAll(file, []byte("\n"), []byte("\r\n")), say("correct horse"))
	if err != nil || got != text {
		t.Errorf("with CRLF: %v", err)
	}
	if _, err := roster.Lock(text, ""); err == nil {
		t.Error("locked with no passphrase")
	}
}

func say(passphrase string) func() (string, error) {
	return func() (string, error) { return passphrase, nil }
}

// locked is as Lock does it, but in no time.
func locked(t *testing.T, text string, to age.Recipient) []byte {
	t.Helper()
	if s, ok := to.(*age.ScryptRecipient); ok {
		s.SetWorkFactor(2)
	}
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w := must(age.Encrypt(a, to))
	must(io.WriteString(w, text))
	if err := errors.Join(w.Close(), a.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestLockedKeyFileOpensWithItsPassphraseOnly(t *testing.T) {
	text := newMember(t, "alice").Reveal()
	to := must(age.NewScryptRecipient("correct horse"))
	file := locked(t, text, to)
	if got, err := roster.Unlock(file, say("correct horse")); err != nil || got != text {
		t.Errorf("right: %v", err)
	}
	for _, wrong := range []string{"", "Correct horse", "correct horse "} {
		if got, err := roster.Unlock(file, say(wrong)); !errors.Is(err, roster.ErrPassphrase) || got != "" {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	// An open file is not asked for a passphrase.
	never := func() (string, error) { t.Error("asked"); return "", nil }
	if got, err := roster.Unlock([]byte(text), never); err != nil || got != text {
		t.Errorf("not locked: %v", err)
	}
	gone := errors.New("no terminal")
	if _, err := roster.Unlock(file, func() (string, error) { return "", gone }); !errors.Is(err, gone) {
		t.Errorf("nobody there: %v", err)
	}
	for name, bad := range map[string][]byte{
		"cut":             file[:len(file)/2],
		"header only":     []byte(armor.Header),
		"something after": append(bytes.Clone(file), "more"...),
		"no passphrase":   locked(t, text, readMemberKey(t, "alice").Identity().(*age.HybridIdentity).Recipient()),
		"over all bounds": locked(t, strings.Repeat("#\n", 40_000), to),
		"body altered":    bytes.Replace(file, file[len(file)-80:len(file)-76], []byte("AAAA"), 1),
	} {
		if got, err := roster.Unlock(bad, say("correct horse")); !errors.Is(err, roster.ErrFormat) || got != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The stock age program reads a member's key file: what is sealed to the card
// opens with it.
func TestStockAgeReadsAMemberKeyFile(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the age program")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "age.exe")
	if out, err := exec.Command("go", "build", "-o", bin, "filippo.io/age/cmd/age").CombinedOutput(); err != nil {
		t.Fatalf("building age: %v\n%s\n(go.mod needs it: go get -tool filippo.io/age/cmd/age)", err, out)
	}
	key := newMember(t, "alice")
	var sealed bytes.Buffer
	w := must(age.Encrypt(&sealed, must(key.Card()).Recipient))
	must(io.WriteString(w, "hello"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, read := key.Split()
	for name, text := range map[string]string{"unix.key": key.Reveal(), "read.key": read.Reveal(), "dos.key": strings.ReplaceAll(key.Reveal(), "\n", "\r\n")} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(bin, "-d", "-i", path)
		cmd.Stdin = bytes.NewReader(sealed.Bytes())
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "hello" {
			t.Errorf("age -d -i %s: %v\n%s", name, err, out)
		}
	}
}

func TestSecretsPrintAsAFixedWord(t *testing.T) {
	member := newMember(t, "alice")
	sign := member.SigningKey
	type open struct {
		Sign   *roster.SigningKey
		Member *roster.MemberKey
	}
	type closed struct {
		sign   *roster.SigningKey
		member *roster.MemberKey
	}
	type embedsMember struct {
		*roster.MemberKey
		Note string
	}
	type embedsSign struct {
		*roster.SigningKey
		Note string
	}
	type byValue struct {
		Sign   roster.SigningKey
		Member roster.MemberKey
	}
	values := map[string]any{
		"signing key":           sign,
		"signing key, a copy":   *sign,
		"member key":            member,
		"member key, a copy":    *member,
		"the halves":            halves(member),
		"fields":                open{sign, member},
		"pointer":               &open{sign, member},
		"unexported":            closed{sign, member},
		"pointer to unexported": &closed{sign, member},
		"embedded member":       embedsMember{member, "n"},
		"pointer to embedded":   &embedsMember{member, "n"},
		"embedded sign":         embedsSign{sign, "n"},
		"by value":              byValue{*sign, *member},
		"pointer to by value":   &byValue{*sign, *member},
		"lists":                 []any{[]*roster.SigningKey{sign}, []roster.MemberKey{*member}},
		"map":                   map[string]any{"sign": sign, "member": member},
		"in an error":           fmt.Errorf("with %v and %v", sign, member),
		"empty, no panic":       new(roster.MemberKey),
		"empty sign, no panic":  new(roster.SigningKey),
		"nil, no panic":         (*roster.MemberKey)(nil),
	}
	for name, v := range values {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%b", "%o", "%U", "%c"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v, slog.Group("g", "v", v))
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v, slog.Group("g", "v", v))
		if doc, err := json.Marshal(v); err == nil {
			out.Write(doc)
		}
		for form, secret := range secretForms(member) {
			if strings.Contains(strings.ToUpper(out.String()), strings.ToUpper(secret)) {
				t.Errorf("%s shows the secret (%s):\n%.2000s", name, form, out.String())
			}
		}
	}
	for _, v := range []any{sign, member, *member, halves(member)[0], halves(member)[1]} {
		if got := fmt.Sprintf("%v %+v %#v %s", v, v, v, v); strings.Count(got, "[signing key]") != 4 {
			t.Error(got)
		}
		if got := string(must(json.Marshal(v))); got != `"[signing key]"` {
			t.Error(got)
		}
	}
}

// secretForms are the first bytes of the secrets in the forms in which they
// might get out.
func secretForms(key *roster.MemberKey) map[string]string {
	lines := strings.Split(strings.TrimSpace(key.Reveal()), "\n")
	forms := map[string]string{
		"age identity": strings.TrimPrefix(lines[len(lines)-1], "AGE-SECRET-KEY-PQ-1")[:16],
		"note key":     strings.SplitN(key.SigningKey.Reveal(), "+", 5)[4][4:20],
	}
	for name, secret := range map[string][]byte{
		"seed": must(key.Signer()).(ed25519.PrivateKey).Seed()[:8], "text": []byte(lines[len(lines)-1])[:30],
	} {
		forms[name+" hex"] = hex.EncodeToString(secret)
		forms[name+" spaced hex"] = fmt.Sprintf("% x", secret)
		forms[name+" base64"] = base64.StdEncoding.EncodeToString(secret)[:10]
		for _, verb := range []string{"%d", "%b", "%o", "%U", "%#v", "%v"} {
			forms[name+" "+verb] = strings.Trim(strings.TrimPrefix(fmt.Sprintf(verb, secret), "[]byte"), "[]{}")
		}
	}
	return forms
}
