package cmd_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"html"
	"io/fs"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestStories plays the scripts of testdata/script with the real programs. To
// what testscript knows they add the commands of the table below.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"SOURCES", "DESK"} {
				address, err := freeAddress()
				if err != nil {
					return err
				}
				env.Setenv(name, address)
			}
			env.Setenv("PATH", programs+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("CANARY", canary)
			env.Values[serverKey{}] = &server{output: new(output)}
			env.Defer(func() { env.Values[serverKey{}].(*server).end(syscall.SIGKILL) })
			return os.Mkdir(filepath.Join(env.WorkDir, "tmp"), 0o700)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve":    serveCommand,
			"halt":     haltCommand, // "stop" is testscript's own, and would end the story there
			"tip":      tipCommand,
			"thread":   threadCommand,
			"follow":   followCommand,
			"proof":    proofCommand,
			"compare":  compareCommand,
			"edit":     editCommand,
			"tell":     tellCommand,
			"enter":    enterCommand,
			"join":     joinCommand,
			"claim":    claimCommand,
			"appeal":   appealCommand,
			"part":     partCommand,
			"vouchers": vouchersCommand,
			"later":    laterCommand,
			"nocanary": noCanaryCommand,
			"random":   randomCommand,
			"mode":     modeCommand,

			"until-fails":  untilFailsCommand,
			"until-logged": untilLoggedCommand,
		},
		UpdateScripts: *updateScripts,
	})
}

// TestStoriesAreToldToTheEnd looks for what would end a story before its end, and
// pass it.
func TestStoriesAreToldToTheEnd(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal(len(scripts), err)
	}
	for _, name := range scripts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			for _, word := range strings.Fields(line) {
				if word == "stop" || word == "skip" {
					t.Errorf("%s:%d: %s is testscript's own: the rest would not be played", name, i+1, word)
				}
				if !strings.HasPrefix(word, "[") && word != "!" {
					break
				}
			}
		}
	}
}

var updateScripts = flag.Bool("update-scripts", false, "rewrite the expected outputs in testdata/script")

// canary is planted in what must stay secret.
const canary = "canary-kanarienvogel-金丝雀-0123456789abcdefghij"

// port is where the next look for a free one begins, so that no two tests get the same.
var port atomic.Int32

func init() { port.Store(mathrand.Int32N(22_000)) }

// freeAddress is one on which nobody listens. It is below those that the system
// gives to connections, so that none of these takes it meanwhile.
func freeAddress() (string, error) {
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+port.Add(1)%22_000)); err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", err
}

// A server is a running tipboxd of a script.
type server struct {
	cmd    *exec.Cmd
	output *output
	exited chan error
}

type serverKey struct{}

// An output is what a program writes, to be read while it runs.
type output struct {
	mu   sync.Mutex
	data []byte // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.data = append(o.data, p...)
	return len(p), nil
}

// Bytes is a copy of what was written.
func (o *output) Bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.data)
}

func (s *server) end(sig syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	s.cmd.Process.Signal(sig)
	defer func() { s.cmd = nil }()
	select {
	case err := <-s.exited:
		return err
	case <-time.After(time.Minute):
		s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("tipboxd did not stop on %v", sig)
	}
}

// serve ARGS starts "tipboxd ARGS" and waits until it answers.
func serveCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(serverKey{}).(*server)
	s.output = new(output)
	s.cmd = exec.Command(program("tipboxd"), args...)
	s.cmd.Dir = ts.Getenv("WORK")
	s.cmd.Env = []string{"TMPDIR=" + filepath.Join(ts.Getenv("WORK"), "tmp")}
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	ts.Check(s.cmd.Start())
	s.exited = make(chan error, 1)
	go func(cmd *exec.Cmd) { s.exited <- cmd.Wait() }(s.cmd)
	visitor := newSource(ts.Getenv("SOURCES"))
	for range 400 {
		select {
		case err := <-s.exited:
			s.cmd = nil
			ts.Fatalf("tipboxd ended: %v\n%s", err, s.output.Bytes())
		default:
		}
		if _, err := visitor.get("/healthz"); err == nil {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	ts.Fatalf("tipboxd does not answer\n%s", s.output.Bytes())
}

// halt [kill] ends the server, gracefully or with SIGKILL, and keeps what it
// wrote in the file server.log.
func haltCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(serverKey{}).(*server)
	sig := syscall.SIGTERM
	if len(args) == 1 && args[0] == "kill" {
		sig = syscall.SIGKILL
	}
	if err := s.end(sig); err != nil && sig == syscall.SIGTERM {
		ts.Fatalf("%v\n%s", err, s.output.Bytes())
	}
	f, err := os.OpenFile(ts.MkAbs("server.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer f.Close()
	_, err = f.Write(s.output.Bytes())
	ts.Check(err)
}

func visitor(ts *testscript.TestScript) *source { return newSource(ts.Getenv("SOURCES")) }

func attachments(ts *testscript.TestScript, names []string) []file {
	var files []file
	for _, name := range names {
		content, err := os.ReadFile(ts.MkAbs(name))
		ts.Check(err)
		files = append(files, file{name, content})
	}
	return files
}

// tip [-lang TAG] [-leave-out NAME]… CHANNEL TEXT [FILE…] sends a tip, and
// writes the receipt into the files words and digits.
func tipCommand(ts *testscript.TestScript, neg bool, args []string) {
	flags := flag.NewFlagSet("tip", flag.ContinueOnError)
	lang := flags.String("lang", "en", "")
	var leaveOut []string
	flags.Func("leave-out", "", func(s string) error { leaveOut = append(leaveOut, s); return nil })
	ts.Check(flags.Parse(args))
	args = flags.Args()
	page, err := visitor(ts).get("/tip?lang=" + *lang)
	ts.Check(err)
	status, receipt, err := visitor(ts).post(page, "/tip",
		url.Values{"channel": {args[0]}, "text": {args[1]}, "leave-out": leaveOut}, attachments(ts, args[2:])...)
	ts.Check(err)
	if status != 200 != neg {
		ts.Fatalf("status %d: %s", status, notice(receipt))
	}
	fmt.Fprintln(ts.Stdout(), notice(receipt))
	ts.Check(os.WriteFile(ts.MkAbs("words"), []byte(element(receipt, "receipt-code")), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("digits"), []byte(element(receipt, "receipt-digits")), 0o600))
}

// openThread posts the code in a file.
func openThread(ts *testscript.TestScript, code string) (status int, page string) {
	form, err := visitor(ts).get("/thread")
	ts.Check(err)
	status, page, err = visitor(ts).post(form, "/thread", url.Values{"code": {ts.ReadFile(code)}})
	ts.Check(err)
	return status, page
}

// thread FILE opens the thread of the code in the file and prints it.
func threadCommand(ts *testscript.TestScript, neg bool, args []string) {
	status, page := openThread(ts, args[0])
	fmt.Fprintf(ts.Stdout(), "%s%s\n%s\n%s", threadText(page), notice(page), progress(page), awardText(page))
	if status != 200 != neg {
		ts.Fatalf("status %d: %s", status, notice(page))
	}
}

// proof FILE OUT opens the thread of the code in the file, and saves its proof of the
// day.
func proofCommand(ts *testscript.TestScript, neg bool, args []string) {
	_, page := openThread(ts, args[0])
	status, proof, err := visitor(ts).post(page, "/thread/proof", nil)
	if neg {
		if err == nil {
			ts.Fatalf("the thread offers a proof")
		}
		return
	}
	ts.Check(err)
	if status != 200 {
		ts.Fatalf("status %d: %s", status, notice(proof))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(proof), 0o600))
}

// compare CHECKED MANIFEST compares the hashes that verify-proof has printed with those
// of an export.
func compareCommand(ts *testscript.TestScript, neg bool, args []string) {
	manifest := ts.ReadFile(args[1])
	found := 0
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if words := strings.Fields(line); len(words) == 2 && (words[0] == "event-1.note" || words[0] == "message-1.age") {
			if !strings.Contains(manifest, words[1]+"  "+words[0]+"\n") {
				ts.Fatalf("%s is another one in the export", words[0])
			}
			found++
		}
	}
	if found != 2 {
		ts.Fatalf("%d hashes are compared", found)
	}
}

// edit FILE OUT OLD NEW writes the file with one text in the place of another.
func editCommand(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	if strings.Count(text, args[2]) != 1 {
		ts.Fatalf("%s has %q %d times", args[0], args[2], strings.Count(text, args[2]))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Replace(text, args[2], args[3], 1)), 0o600))
}

// progress is what a thread's page says of the case.
func progress(page string) string {
	_, section, _ := strings.Cut(page, `<section id="case">`)
	section, _, _ = strings.Cut(section, "</section>")
	return html.UnescapeString(section)
}

// enter NAME ARGS makes a member's key and enters its card into the roster.
func enterCommand(ts *testscript.TestScript, neg bool, args []string) {
	name := args[0]
	ts.Check(ts.Exec(program("tipbox"), "--home", name, "keygen", name))
	ts.Check(ts.Exec(program("tipbox"), "--home", name, "card"))
	card := ts.MkAbs(name + ".card")
	ts.Check(os.WriteFile(card, []byte(ts.ReadFile("stdout")), 0o600))
	ts.Check(ts.Exec(program("tipbox"), append([]string{"--home", "root", "roster", "add", card}, args[1:]...)...))
}

// join NAME… sets the members' homes up.
func joinCommand(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		ts.Check(ts.Exec(program("tipbox"), "--home", name, "join", ts.MkAbs("root/roster.note"), "--desk", ts.Getenv("DESK"), "--root", ts.Getenv("ROOT")))
	}
}

// follow FILE TEXT [FILE…] sends a follow-up with the code in the first file.
func followCommand(ts *testscript.TestScript, neg bool, args []string) {
	_, page := openThread(ts, args[0])
	status, page, err := visitor(ts).post(page, "/thread/message", url.Values{"text": {args[1]}}, attachments(ts, args[2:])...)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s%s\n", threadText(page), notice(page))
	if status != 200 != neg {
		ts.Fatalf("status %d: %s", status, notice(page))
	}
}

// tell NAME ARGS runs "tipbox ARGS" and keeps the first line of its output in
// the environment variable NAME.
func tellCommand(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Exec(program("tipbox"), args[1:]...))
	line, _, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
	fields := strings.Fields(line)
	if args[0] == "TIP" || args[0] == "TWIN" || args[0] == "AWARD" { // the list's line under the heading
		_, rest, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
		fields = strings.Fields(rest)
	}
	if len(fields) == 0 {
		ts.Fatalf("no output")
	}
	ts.Setenv(args[0], fields[0])
}

// random FILE BYTES writes a file that no compression or guess shortens.
func randomCommand(ts *testscript.TestScript, neg bool, args []string) {
	var n int
	fmt.Sscan(args[1], &n)
	noise := make([]byte, n)
	rand.Read(noise)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), noise, 0o600))
}

// mode FILE OCTAL checks a file's permissions.
func modeCommand(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// until-fails PROGRAM ARGS runs a program until it fails, for some seconds.
func untilFailsCommand(ts *testscript.TestScript, neg bool, args []string) {
	for range 100 {
		if err := ts.Exec(program(args[0]), args[1:]...); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	ts.Fatalf("it does not fail")
}

// until-logged TEXT waits until the server has logged the text.
func untilLoggedCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(serverKey{}).(*server)
	for range 100 {
		if bytes.Contains(s.output.Bytes(), []byte(args[0])) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	ts.Fatalf("not logged: %s", s.output.Bytes())
}

// nocanary PATH… searches all that is under the paths, names too, and what the
// kernel shows of the running server, for the canary, the receipt, the source's
// address and agent, and the vouchers in papers.txt.
func noCanaryCommand(ts *testscript.TestScript, neg bool, args []string) {
	secrets := sourceSecrets(ts.ReadFile("words"), ts.ReadFile("digits"))
	secrets["the file's content"] = []byte(ts.ReadFile("secret.bin"))[:64]
	maps.Copy(secrets, voucherSecrets(ts))
	forms := secretForms(secrets)
	searched := 0
	search := func(where string, content []byte) {
		searched++
		if name := heldSecret(content, forms); name != "" {
			ts.Fatalf("%s holds %s", where, name)
		}
	}
	for _, root := range args {
		ts.Check(searchFolder(ts.MkAbs(root), search))
	}
	s := ts.Value(serverKey{}).(*server)
	search("the server's output", s.output.Bytes())
	if s.cmd != nil {
		proc := filepath.Join("/proc", fmt.Sprint(s.cmd.Process.Pid))
		for _, name := range []string{"cmdline", "environ", "comm", "maps"} {
			content, err := os.ReadFile(filepath.Join(proc, name))
			ts.Check(err)
			search(name, content)
		}
		open, err := os.ReadDir(filepath.Join(proc, "fd"))
		ts.Check(err)
		for _, fd := range open {
			target, err := os.Readlink(filepath.Join(proc, "fd", fd.Name()))
			if err == nil && strings.HasSuffix(target, "(deleted)") {
				ts.Fatalf("the server holds a deleted file open: %s", target)
			}
		}
	}
	if searched < 10 {
		ts.Fatalf("only %d things were searched", searched)
	}
}

// sourceSecrets are what nobody may keep of a source with that receipt.
func sourceSecrets(words, digits string) map[string][]byte {
	var groups []byte
	for _, group := range strings.Fields(digits) {
		var n int
		fmt.Sscanf(group, "%d", &n)
		groups = append(groups, byte(n>>8), byte(n))
	}
	return map[string][]byte{
		"the canary": []byte(canary), "a part of it": []byte(canary[:20]), "its end": []byte(canary[len(canary)-20:]),
		"the address": []byte(sourceAddress), "the agent": []byte(sourceAgent),
		"the words": []byte(words), "the digits": []byte(digits),
		"the digits run together": []byte(strings.ReplaceAll(digits, " ", "")), "the digits as numbers": groups,
	}
}

// secretForms are secrets as they are, and as programs like to write them.
func secretForms(secrets map[string][]byte) map[string][]byte {
	forms := make(map[string][]byte)
	for name, secret := range secrets {
		forms[name] = secret
		forms[name+" in hex"] = []byte(hex.EncodeToString(secret))
		for skip := range min(3, len(secret)-9) {
			part := secret[skip:]
			part = part[:len(part)/3*3]
			forms[fmt.Sprint(name, " in base64, from byte ", skip)] = []byte(base64.StdEncoding.EncodeToString(part))
			forms[fmt.Sprint(name, " in URL base64, from byte ", skip)] = []byte(base64.URLEncoding.EncodeToString(part))
		}
	}
	return forms
}

// heldSecret is the name of a form that is in the content, or "".
func heldSecret(content []byte, forms map[string][]byte) string {
	for name, form := range forms {
		if bytes.Contains(content, form) {
			return name
		}
	}
	return ""
}

// searchFolder hands on all that is under a folder, names too.
func searchFolder(root string, search func(where string, content []byte)) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		search("the name "+path, []byte(d.Name()))
		if !d.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		search(path, content)
		return err
	})
}
