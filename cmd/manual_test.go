package cmd_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestManualIsWhatTheProgramSaysOfItself makes the server's manual page as the package
// does.
func TestManualIsWhatTheProgramSaysOfItself(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("../.ci/man", program("tipboxd"), "8", "en")
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=86400", "VERSION=1.0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.Command(program("tipboxd"), "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(help), "\nCommands:\n")
	commands := regexp.MustCompile(`(?m)^  ([a-z]+) `).FindAllStringSubmatch(list, -1)
	if len(commands) < 10 {
		t.Fatalf("there are %d commands:\n%s", len(commands), help)
	}
	page := string(out)
	for _, want := range []string{
		".TH TIPBOXD 8 1970\\-01\\-02 \"Tipbox 1.0\"\n", "\n.SH NAME\ntipboxd \\- ", // by which apropos finds it
		"\n.TP\n.B \\-\\-keep=DAYS\nRemove backups", "\n.PP\nExample: tipboxd backup /srv/tipbox",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	for _, c := range commands {
		if strings.Count(page, "\n.SS \"tipboxd "+c[1]+" ") != 1 {
			t.Errorf("%s is not there", c[1])
		}
	}
	if n := strings.Count(page, ".nf\n") - strings.Count(page, ".fi\n"); n != 0 {
		t.Errorf("%d texts are open", n)
	}
}
