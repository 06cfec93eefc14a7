package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tipbox/tipbox/tipboxtest"
)

// The story "completion" plays it in bash. Here it is what the program answers,
// for any shell.
func TestWhatMayFollow(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	tip := b.tip()
	b.ok("alice", "read", tip)
	if err := os.WriteFile(filepath.Join(b.home("alice"), "heads", "x\x1b[2J"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		line []string
		want []string
	}{
		{[]string{"grant", "--ho"}, []string{"--home"}},
		{[]string{"case", ""}, []string{tip}},
		{[]string{"case", tip[:3]}, []string{tip}},
		{[]string{"case", tip, ""}, nil},
		{[]string{"--home", t.TempDir(), "case", ""}, nil},
		{[]string{"inbox", "--state=fo"}, []string{"--state=found"}},
		{[]string{"inbox", "--state", "=", "fo"}, []string{"found"}},
		{[]string{"reply", "-m", "case", ""}, []string{tip}},
		{[]string{"reply", "-m", ""}, nil},
		{[]string{"reply", "--", "-"}, nil},
		{[]string{"reply", "-f", "x"}, []string{":files"}},
		{[]string{"refer", tip, "-o", "x"}, []string{":folders"}},
		{[]string{"decline", tip, "--duplicate-of", ""}, []string{tip}},
		{[]string{"assign", tip, "b"}, []string{"bob"}},
		{[]string{"inbox", "--owner", "al"}, []string{"alice"}},
		{[]string{"due", "--channel", "off"}, []string{"off-book-funds"}},
		{[]string{"completion", ""}, []string{"bash", "zsh", "fish"}},
		{[]string{"nonsense", ""}, nil},
		{[]string{"--nonsense", "comp"}, []string{"completion"}},
	} {
		var got []string
		for line := range strings.Lines(b.ok("alice", append([]string{"__complete"}, append([]string{"--home", b.home("alice")}, test.line...)...)...)) {
			word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			got = append(got, word)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.line, got, test.want)
		}
	}
}

func TestCompletionsAreScriptsOfTheirShells(t *testing.T) {
	for _, shell := range [][]string{{"bash", "-n"}, {"zsh", "-n"}, {"fish", "--no-execute"}} {
		status, script, stderr := tool(t, "completion", shell[0])
		if status != exitDone || !strings.Contains(script, "__complete") {
			t.Fatalf("%s: status %d: %s", shell[0], status, stderr)
		}
		file := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := exec.LookPath(shell[0]); err != nil {
			continue // few machines have all three
		}
		if out, err := exec.Command(shell[0], shell[1], file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", shell[0], err, out)
		}
	}
}
