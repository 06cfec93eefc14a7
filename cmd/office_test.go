package cmd_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

// An office is an organisation with a server's folder, whose investigators'
// keys the test holds. All of them read the one channel that tests send to.
type office struct {
	dir       string // the server's folder
	sources   string // address
	desk      string // address
	root      *roster.SigningKey
	signed    []byte
	roster    *roster.Roster
	readers   []*roster.MemberKey
	memberDir string // their homes
}

const officeChannel = "bribery"

// newOffice makes the folder dir, whose parent must be there, with "tipboxd
// init" and a roster of so many investigators.
func newOffice(t testing.TB, dir string, readers int) *office {
	t.Helper()
	return newOfficeAt(t, dir, readers, testAddress(t), testAddress(t))
}

// newOfficeAt is one whose server listens there: host:port, or unix: and a path.
func newOfficeAt(t testing.TB, dir string, readers int, sources, members string) *office {
	t.Helper()
	o := &office{dir: dir, sources: sources, desk: members, memberDir: t.TempDir()}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	o.root, err = roster.NewSigningKey("root")
	must(err)
	server, err := exec.Command(program("tipboxd"), "init", dir, "--root", o.root.Verifier(), "--listen", o.sources, "--desk", o.desk).Output()
	must(err)
	draft := &roster.Roster{
		Organisation: "Example City", Serial: 1, Day: time.Now().UTC().Format(time.DateOnly),
		Servers: []string{strings.TrimSpace(string(server))},
	}
	for i := range readers {
		key, err := roster.NewMemberKey(fmt.Sprintf("reader%d", i+1))
		must(err)
		card, err := key.Card()
		must(err)
		must(draft.Add(&roster.Member{
			Roles: []roster.Role{roster.Investigator}, Channels: []string{officeChannel}, CardText: card.Text,
		}, draft.Day))
		o.readers = append(o.readers, key)
	}
	o.signed, err = draft.Sign(o.root)
	must(err)
	o.roster, err = roster.Open(o.signed, o.root.Verifier(), roster.Mark{})
	must(err)
	must(os.WriteFile(filepath.Join(dir, "roster.note"), o.signed, 0o600))
	return o
}

// set changes a number in the server's tipbox.toml.
func (o *office) set(t testing.TB, name string, value int) {
	t.Helper()
	path := filepath.Join(o.dir, "tipbox.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^` + name + ` = \d+$`)
	if !line.Match(text) {
		t.Fatalf("tipbox.toml has no %s:\n%s", name, text)
	}
	text = line.ReplaceAll(text, fmt.Appendf(nil, "%s = %d", name, value))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// client is the first investigator at the desk.
func (o *office) client(t testing.TB) *desk.Client {
	t.Helper()
	c, err := desk.NewClient(desk.ClientConfig{Address: o.desk, Key: o.readers[0].SigningKey, Roster: o.roster})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// tool runs the first investigator's tool.
func (o *office) tool(t testing.TB, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	home := desk.Home(o.memberDir)
	if _, err := os.Stat(home.KeyFile()); err != nil {
		if err := home.Join(desk.HomeConfig{Desk: o.desk, Root: o.root.Verifier()}, o.signed); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(home.KeyFile(), []byte(o.readers[0].Reveal()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program("tipbox"), append([]string{"--home", o.memberDir}, args...)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// inbox is every tip that the first investigator sees.
func (o *office) inbox(c *desk.Client) (all []tipbox.InboxItem, err error) {
	for cursor := ""; ; {
		page, err := c.Inbox(context.Background(), tipbox.InboxFilter{}, cursor, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}

// open opens a tip as the first investigator.
func (o *office) open(c *desk.Client, tip string) (*tipbox.OpenedTip, error) {
	f, err := c.Tip(context.Background(), tip)
	if err != nil {
		return nil, err
	}
	return tipbox.OpenTip(f, tip, o.readers[0], o.roster)
}

// copyFile writes an opened tip's file to w. Without an error it is whole.
func (o *office) copyFile(w io.Writer, c *desk.Client, tip *tipbox.OpenedTip, f tipbox.Attachment) error {
	sealed, err := c.Attachment(context.Background(), tip.Tip, f.Blob)
	if err != nil {
		return err
	}
	defer sealed.Close()
	plain, err := f.Open(sealed, tip.Slot.Key.Identity())
	if err != nil {
		return err
	}
	_, err = io.Copy(w, plain)
	return err
}

// check runs "tipboxd check --json". The error is the program's.
func (o *office) check(t testing.TB) (tipbox.Report, string, error) {
	t.Helper()
	cmd := exec.Command(program("tipboxd"), "check", "--json", o.dir)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var report tipbox.Report
	if out.Len() > 0 {
		if jsonErr := json.Unmarshal([]byte(out.String()), &report); jsonErr != nil {
			t.Fatalf("check --json: %v\n%s", jsonErr, out.String())
		}
	}
	return report, errs.String(), err
}

// mustBeWhole checks that the folder of a server that is not running is whole,
// and has no orphan if it was swept since the last crash.
func (o *office) mustBeWhole(t testing.TB, swept bool) tipbox.Report {
	t.Helper()
	report, errs, err := o.check(t)
	if err != nil || len(report.Problems) > 0 {
		t.Fatalf("check: %v: %q\n%s", err, report.Problems, errs)
	}
	if swept && len(report.Orphans) > 0 {
		t.Fatalf("orphans: %q", report.Orphans)
	}
	return report
}

// A serving is a running "tipboxd serve".
type serving struct {
	cmd    *exec.Cmd
	output *output
	ended  chan struct{} // closed when the process is gone
	err    error         // how it ended; read after ended is closed
}

// launch starts the server and waits for nothing. It is ended with the test.
func (o *office) launch(t testing.TB, env ...string) *serving {
	t.Helper()
	cmd := exec.Command(program("tipboxd"), "serve", o.dir)
	cmd.Env = append(os.Environ(), env...)
	return begin(t, cmd)
}

// begin starts a command that becomes a server.
func begin(t testing.TB, cmd *exec.Cmd) *serving {
	t.Helper()
	s := &serving{cmd: cmd, output: new(output), ended: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() { s.end(syscall.SIGKILL) })
	return s
}

// serve starts the server and waits until it answers.
func (o *office) serve(t testing.TB, env ...string) *serving {
	t.Helper()
	s := o.launch(t, env...)
	visitor := newSource(o.sources)
	for range 3000 {
		select {
		case <-s.ended:
			t.Fatalf("tipboxd ended: %v\n%s", s.err, s.output.Bytes())
		case <-time.After(10 * time.Millisecond):
		}
		if _, err := visitor.get("/healthz"); err == nil {
			return s
		}
	}
	t.Fatalf("tipboxd does not answer\n%s", s.output.Bytes())
	return nil
}

// end ends the server and returns how it ended.
func (s *serving) end(sig syscall.Signal) error {
	s.cmd.Process.Signal(sig)
	select {
	case <-s.ended:
	case <-time.After(time.Minute):
		s.cmd.Process.Kill()
		<-s.ended
		return fmt.Errorf("tipboxd did not end on %v", sig)
	}
	return s.err
}

// stop ends the server as an operator would.
func (s *serving) stop(t testing.TB) {
	t.Helper()
	if err := s.end(syscall.SIGTERM); err != nil {
		t.Fatalf("tipboxd ended: %v\n%s", err, s.output.Bytes())
	}
}

// mustNotHavePanicked looks for what the server logs of a panic.
func (s *serving) mustNotHavePanicked(t testing.TB) {
	t.Helper()
	log := string(s.output.Bytes())
	if strings.Contains(log, "please report") || strings.Contains(log, "panic") || strings.Contains(log, "goroutine ") {
		t.Errorf("the server panicked:\n%.4000s", log)
	}
}

// status is a number of /proc/PID/status, such as "VmRSS" in KiB.
func (s *serving) status(t testing.TB, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("/proc/PID/status has no %s", name)
	return 0
}

// files is how many files and connections the server has open.
func (s *serving) files(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// cpu is the processor time that the server has used.
func (s *serving) cpu(t testing.TB) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	var ticks int
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100) // USER_HZ, 100 on every Linux
}
