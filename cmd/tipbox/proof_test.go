package main

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tipbox/crypto/receipt"
)

// TestProofsOfTheVectorsAreToldApart gives the tool every proof that package tipbox has
// as a vector, with no folder.
func TestProofsOfTheVectorsAreToldApart(t *testing.T) {
	data, err := os.ReadFile("../../tipbox/testdata/proof/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Root    string
		Roster  string
		Entropy string
		Proofs  []struct {
			Name, File, Error, Channel, Day, Tip, Witness string
			Follows                                       bool
		}
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	signed := write("roster.note", vectors.Roster)
	says := map[string]string{
		"not a proof": "Take the whole file", "organisation": "Is --root the key of", "server": "the roster is of another time",
		"edited": "Ask for the file itself", "witness": "If the roster is older than the acknowledgement", "invalid": "no server that does what it should",
	}
	for _, v := range vectors.Proofs {
		t.Run(v.Name, func(t *testing.T) {
			file := write("note.txt", v.File)
			verify := func(in string, args ...string) (int, string, string) {
				var stdout, stderr strings.Builder
				status := run(t.Context(), append([]string{"--home", filepath.Join(dir, "none"), "verify-proof", file, "--root", vectors.Root, "--roster", signed}, args...),
					strings.NewReader(in), &stdout, &stderr)
				return status, stdout.String(), stderr.String()
			}
			status, out, said := verify("")
			if v.Error != "" {
				if status != exitFailed || out != "" || !strings.Contains(said, says[v.Error]) {
					t.Errorf("status %d, %s%s", status, out, said)
				}
				return
			}
			if status != exitDone || !strings.Contains(out, v.Tip) || !strings.Contains(out, v.Day) || !strings.Contains(out, v.Channel) || said != "" {
				t.Errorf("status %d, %s%s", status, out, said)
			}
			if got := strings.Contains(out, "by the word of alice too"); got != (v.Witness == "alice") {
				t.Errorf("a second witness: %v", got)
			}
			if got := strings.Contains(out, "with this first entry"); got != v.Follows {
				t.Errorf("the first entry is the member's word: %v", got)
			}
			if strings.ContainsAny(out, "\x1b\r") {
				t.Error("what is printed is not clean")
			}
			for in, want := range map[string]string{"zoo zoo": "standard input", receipt.New().Digits(): "of another tip"} {
				if status, out, said := verify(in, "--code", "-"); status != exitFailed || out != "" || !strings.Contains(said, want) {
					t.Errorf("with another receipt: status %d, %s%s", status, out, said)
				}
			}
			mine := must(receipt.FromBytes(must(hex.DecodeString(vectors.Entropy))))
			for _, in := range []string{mine.Digits(), "Receipt\n\nWords:\n" + mine.Words("zh-Hans") + "\n"} {
				if status, out, _ := verify(in, "--code", "-"); status != exitDone || !strings.Contains(out, "has the source's key") {
					t.Errorf("with the receipt: status %d, %s", status, out)
				}
			}
		})
	}
}
