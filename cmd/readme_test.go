package cmd_test

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"tipbox/static"
)

// readmeCommands are the lines of the README's sh blocks.
func readmeCommands(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		lines = append(lines, strings.Split(strings.TrimSpace(block[1]), "\n")...)
	}
	return lines
}

// TestReadmeCommandsWork runs every command of the README in its order in one
// shell, in a copy of the tree. Addresses are others, so that it can run beside
// what is running; servers run in the background until the next one starts;
// "go test" only lists what it would run.
func TestReadmeCommandsWork(t *testing.T) {
	t.Parallel()
	r := &readmeRun{t: t, dir: t.TempDir(), bin: t.TempDir(), sources: testAddress(t), desk: testAddress(t)}
	copyTree(t, r.dir)
	r.startShell()
	served := 0
	for _, line := range readmeCommands(t) {
		command := strings.NewReplacer("127.0.0.1:8080", r.sources, "127.0.0.1:8081", r.desk).Replace(line)
		command = regexp.MustCompile(`\bTIP\b`).ReplaceAllString(command, r.tip)
		switch {
		case strings.HasPrefix(command, "go test "):
			// One package stands for all: what is to be tried are the flags.
			r.shell(strings.ReplaceAll(command, "./...", "./crypto/receipt") + " -list '^Test'")
		case strings.HasSuffix(command, "tipboxd demo"):
			served++
			r.serve(command + " --listen " + r.sources + " --desk " + r.desk)
			r.sendTip("off-book-funds")
			inbox := r.shell("go run ./cmd/tipbox --home tipbox-demo/members/investigator inbox")
			r.tip = strings.Fields(strings.Split(inbox, "\n")[1])[0]
		case strings.HasPrefix(command, "tipboxd serve "):
			served++
			r.stop()
			r.serve(command)
			r.sendTip("off-book-funds")
		case strings.HasPrefix(command, "tipboxd init "):
			r.shell(command + " --listen " + r.sources + " --desk " + r.desk)
		case strings.HasPrefix(command, "tipboxd check "):
			r.stop()
			r.shell(command)
		default:
			r.shell(command)
		}
	}
	if served != 2 {
		t.Errorf("the README starts %d servers, want 2", served)
	}
	if got, err := os.ReadFile(filepath.Join(r.dir, "tip-files", "evidence.txt")); err != nil || string(got) != "evidence" {
		t.Errorf("the saved file holds %q, %v", got, err)
	}
}

// A readmeRun is one shell in which commands run one after the other.
type readmeRun struct {
	t             *testing.T
	dir, bin      string
	sources, desk string
	tip           string

	in     io.Writer
	out    *bufio.Reader
	server *exec.Cmd
}

func (r *readmeRun) env() []string {
	env := []string{"GOBIN=" + r.bin, "PATH=" + r.bin + string(os.PathListSeparator) + os.Getenv("PATH")}
	return append(os.Environ(), env...)
}

func (r *readmeRun) startShell() {
	r.t.Helper()
	sh := exec.Command("sh")
	sh.Dir, sh.Env = r.dir, r.env()
	out, in := io.Pipe()
	sh.Stdout, sh.Stderr = in, in
	stdin, err := sh.StdinPipe()
	if err == nil {
		err = sh.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.in, r.out = stdin, bufio.NewReader(out)
	r.t.Cleanup(func() {
		r.stop()
		stdin.Close()
		go io.Copy(io.Discard, r.out)
		sh.Wait()
	})
}

// shell runs a line and wants it to succeed.
func (r *readmeRun) shell(line string) (output string) {
	r.t.Helper()
	const mark = "--- end of command, status "
	fmt.Fprintf(r.in, "%s\necho '%s'$?\n", line, mark)
	var out strings.Builder
	for {
		text, err := r.out.ReadString('\n')
		if err != nil {
			r.t.Fatalf("%s: the shell ended: %v\n%s", line, err, out.String())
		}
		if before, status, ok := strings.Cut(text, mark); ok {
			out.WriteString(before)
			if status != "0\n" {
				r.t.Fatalf("%s: status %s%s", line, status, out.String())
			}
			return out.String()
		}
		out.WriteString(text)
	}
}

// serve starts a server in the background, in a process group of its own:
// "go run" starts the program as its child.
func (r *readmeRun) serve(line string) {
	r.t.Helper()
	r.server = exec.Command("sh", "-c", "exec "+line)
	r.server.Dir, r.server.Env = r.dir, r.env()
	r.server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.server.Start(); err != nil {
		r.t.Fatal(err)
	}
	for range 6000 { // it is compiled first, beside all else that is
		if _, err := newSource(r.sources).get("/healthz"); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.t.Fatalf("%s does not answer", line)
}

func (r *readmeRun) stop() {
	if r.server == nil {
		return
	}
	syscall.Kill(-r.server.Process.Pid, syscall.SIGTERM)
	r.server.Wait()
	r.server = nil
	for range 200 { // until its child has let go of the folder
		if _, err := newSource(r.sources).get("/healthz"); err != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (r *readmeRun) sendTip(channel string) {
	r.t.Helper()
	s := newSource(r.sources)
	page, err := s.get("/tip")
	if err != nil {
		r.t.Fatal(err)
	}
	status, answer, err := s.post(page, "/tip", url.Values{"channel": {channel}, "text": {"a text"}}, file{"evidence.txt", []byte("evidence")})
	if err != nil || status != 200 {
		r.t.Fatalf("status %d, %v: %s", status, err, notice(answer))
	}
}

// copyTree copies what git knows of the tree, or would.
func copyTree(t *testing.T, to string) {
	t.Helper()
	list := exec.Command("git", "-C", "..", "ls-files", "--cached", "--others", "--exclude-standard")
	out, err := list.Output()
	if err != nil {
		t.Skip("not a git checkout: ", err)
	}
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		content, err := os.ReadFile(filepath.Join("..", name))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		if err == nil {
			err = os.MkdirAll(filepath.Join(to, filepath.Dir(name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), content, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A setupCommand is a line of the README's chapter on setting a server up.
type setupCommand struct {
	machine string // and there the user, unless root
	root    bool
	line    string
}

// setupCommands are the lines of the README's console block.
func setupCommands(t *testing.T) []setupCommand {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 1 {
		t.Fatalf("the README has %d console blocks, want 1", len(blocks))
	}
	var commands []setupCommand
	for line := range strings.Lines(blocks[0][1]) {
		m := regexp.MustCompile(`^(\w+)([#$]) (.+)\n$`).FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("%q is no command of a machine", line)
		}
		commands = append(commands, setupCommand{m[1], m[2] == "#", m[3]})
	}
	return commands
}

func TestAnOfficeIsSetUpWithAtMostTenCommands(t *testing.T) {
	commands := setupCommands(t)
	if n := len(commands); n == 0 || n > 10 {
		t.Errorf("the README takes %d commands from nothing to a tip that is read, want at most 10", n)
	}
	for _, c := range commands {
		if strings.ContainsAny(c.line, ";|&`(") {
			t.Errorf("%q is more than one command", c.line)
		}
	}
}

// TestReadmeSaysWhoLearnsWhatInTheWordsOfThePage compares the threat model that operators
// read with the one that sources do.
func TestReadmeSaysWhoLearnsWhatInTheWordsOfThePage(t *testing.T) {
	page, err := fs.ReadFile(static.Site(""), "pages/threats.en.md")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(page), "\n\n")
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), strings.TrimSpace(body)) || len(body) < 500 {
		t.Error("static/site/pages/threats.en.md stands in README.md in other words")
	}
}

// TestSecurityNamesTestsThatAreThere reads the table of what each compromise yields: each
// line names tests, and each of them is there.
func TestSecurityNamesTestsThatAreThere(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Security\n")
	section, _, _ = strings.Cut(section, "\n## ")
	there := make(map[string]bool)
	err = filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			there[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (.+?) \| .+ \| (.+) \|$`).FindAllStringSubmatch(section, -1)
	if len(rows) < 10 {
		t.Fatalf("the table has %d rows", len(rows))
	}
	for _, row := range rows[1:] {
		names := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(row[2], -1)
		if len(names) == 0 {
			t.Errorf("what %s yields is tried by nothing", row[1])
		}
		for _, name := range names {
			if !there[name[1]] {
				t.Errorf("what %s yields: there is no %s", row[1], name[1])
			}
		}
	}
}
