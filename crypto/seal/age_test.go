package seal_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tipbox/crypto/seal"
)

// What is sealed opens with the stock age program, as the package comment says.
func TestStockAgeOpensWhatWasSealed(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the age program")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "age.exe")
	if out, err := exec.Command("go", "build", "-o", bin, "filippo.io/age/cmd/age").CombinedOutput(); err != nil {
		t.Fatalf("building age: %v\n%s\n(go.mod needs it: go get -tool filippo.io/age/cmd/age)", err, out)
	}
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	decrypt := func(identity, file string) []byte {
		t.Helper()
		cmd := exec.Command(bin, "-d", "-i", identity, file)
		cmd.Dir = dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("age -d -i %s %s: %v\n%s", identity, file, err, stderr.Bytes())
		}
		return out
	}

	tip, reader, second := newKey(t), newKey(t), newKey(t)
	doc := []byte(`{"text":"The canteen's accounts are kept twice."}`)
	content := noise(100_001)
	a := attach(t, content, tip.Recipient())
	empty := attach(t, nil, tip.Recipient())
	write("member.key", []byte("# a member key\n"+reader.Reveal()+"\n"))
	write("slot.age", must(seal.SealKeyslots(slot(tip), second.Recipient(), reader.Recipient())).Files[0])
	write("message.age", must(seal.Message(doc, tip.Recipient())))
	write("attachment.age", a.file)
	write("empty.age", empty.file)

	// age -d -i member.key slot.age > tip.key
	write("tip.key", decrypt("member.key", "slot.age"))
	if got := decrypt("tip.key", "message.age"); len(got) != seal.Buckets[0] || !bytes.Equal(bytes.TrimRight(got, " "), doc) {
		t.Errorf("message: %d bytes", len(got))
	}
	// age -d -i tip.key attachment.age | head -c SIZE
	got := decrypt("tip.key", "attachment.age")
	if !bytes.Equal(got[:a.Size], content) || int64(len(got)) != seal.PaddedSize(a.Size) ||
		len(bytes.Trim(got[a.Size:], "\x00")) != 0 {
		t.Errorf("attachment: %d bytes", len(got))
	}
	if got := decrypt("tip.key", "empty.age"); len(got) != 0 {
		t.Errorf("empty attachment: %d bytes", len(got))
	}
}
