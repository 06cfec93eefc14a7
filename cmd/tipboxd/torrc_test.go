package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTorTakesTheTorrc has tor itself read the file that operators copy, alone, within
// another, and with what it has as a comment.
func TestTorTakesTheTorrc(t *testing.T) {
	t.Parallel()
	tor, err := exec.LookPath("tor")
	if err != nil {
		t.Skip("there is no tor: apt-get install tor")
	}
	const file = "deploy/tor/torrc"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	torrc := string(text)
	for _, want := range []string{
		"\nHiddenServiceDir " + filepath.Dir(hostnameFiles[0]) + "\nHiddenServicePort 80 unix:/run/tipbox/sources.sock\nHiddenServicePoWDefensesEnabled 1\n",
		"\nHiddenServicePort 443 unix:/run/tipbox/desk.sock\n",
	} {
		if !strings.Contains(torrc, want) {
			t.Errorf("%s has not %q", file, want)
		}
	}
	for name, change := range map[string]func(dir string) string{
		"alone": func(string) string { return torrc },
		"within another": func(dir string) string {
			write(t, dir, "tipbox.torrc", strings.ReplaceAll(torrc, "/var/lib/tor/", dir+"/"))
			return "%include " + dir + "/tipbox.torrc\n"
		},
		"with its comment": func(string) string { return strings.Replace(torrc, "#SocksPort", "SocksPort", 1) },
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, dir, "torrc", strings.ReplaceAll(change(dir), "/var/lib/tor/", dir+"/"))
		verify := func(more ...string) (string, error) {
			out, err := exec.Command(tor, append([]string{"--defaults-torrc", "/dev/null", "-f", filepath.Join(dir, "torrc"), "--verify-config",
				"DisableNetwork", "1", "DataDirectory", filepath.Join(dir, "data")}, more...)...).CombinedOutput()
			return string(out), err
		}
		out, err := verify()
		if err != nil || !strings.Contains(out, "Configuration was valid") || strings.Contains(strings.ReplaceAll(out, "[warn] You are running Tor as root", ""), "[warn]") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		appendTo(t, dir, "torrc", "HiddenServiceNonsense 1\n")
		if out, err := verify(); err == nil {
			t.Errorf("%s: nonsense is valid too:\n%s", name, out)
		}
	}
}
