package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tipbox/crypto/onion"
)

const (
	exampleOnion = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion" // of rend-spec-v3
	anotherOnion = "sp3k262uwy4r2k3ycr5awluarykdpag6a7y33jxop4cs2lu5uz5sseqd.onion"
)

// A fakeTor is a SOCKS proxy (RFC 1928, 1929) that answers with its replies in turn,
// and goes on with the last. At 0 it connects to what lies behind.
type fakeTor struct {
	address string
	behind  func() (net.Conn, error)

	mu      sync.Mutex
	replies []byte
	asked   []string // names with their ports
	users   []string
}

func newFakeTor(t *testing.T, behind string, replies ...byte) *fakeTor {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &fakeTor{address: l.Addr().String(), replies: replies, behind: func() (net.Conn, error) {
		if path, ok := strings.CutPrefix(behind, unixPrefix); ok {
			return net.Dial("unix", path)
		}
		return net.Dial("tcp", behind)
	}}
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			go func() {
				defer conn.Close()
				if err := f.serve(conn); err != nil && err != io.EOF && !errors.Is(err, net.ErrClosed) {
					t.Logf("the SOCKS proxy: %v", err)
				}
			}()
		}
	}()
	return f
}

func (f *fakeTor) serve(conn net.Conn) error {
	in := bufio.NewReader(conn)
	next := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil
		}
		return b
	}
	counted := func() []byte {
		n := next(1)
		if n == nil {
			return nil
		}
		return next(int(n[0]))
	}
	next(1) // the version
	methods := counted()
	if !bytes.ContainsRune(methods, 2) {
		conn.Write([]byte{5, 0})
		return nil // somebody who greets
	}
	conn.Write([]byte{5, 2})
	next(1)
	user, _ := counted(), counted()
	conn.Write([]byte{1, 0})
	head := next(4)
	if head == nil || head[3] != 3 {
		return fmt.Errorf("not asked for a name: %v", head)
	}
	name, port := counted(), next(2)
	f.mu.Lock()
	f.asked = append(f.asked, fmt.Sprintf("%s:%d", name, int(port[0])<<8|int(port[1])))
	f.users = append(f.users, string(user))
	reply := f.replies[0]
	if len(f.replies) > 1 {
		f.replies = f.replies[1:]
	}
	f.mu.Unlock()
	conn.Write([]byte{5, reply, 0, 1, 0, 0, 0, 0, 0, 0})
	if reply != 0 {
		return nil
	}
	behind, err := f.behind()
	if err != nil {
		return err
	}
	defer behind.Close()
	go func() { io.Copy(behind, in) }()
	_, err = io.Copy(conn, behind)
	return err
}

func (f *fakeTor) seen() (asked, users []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked), slices.Clone(f.users)
}

// servedOnion is a folder that is served on a Unix socket, with its onion service set.
func servedOnion(t *testing.T) (dir, sources string) {
	t.Helper()
	dir = newDemo(t, "")
	sources = unixPrefix + filepath.Join(t.TempDir(), "sources.sock")
	reset(t, dir, func(c *config) { c.Listen, c.Onion = sources, exampleOnion })
	s := serveFolder(t, dir)
	s.wait(t, func() bool { return bytes.Contains(s.log.Bytes(), []byte("msg=serving")) })
	t.Cleanup(func() { s.end(t) })
	return dir, sources
}

func runOnion(t *testing.T, dir string, tor *fakeTor, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(t.Context(), append([]string{"onion", dir, "--socks", tor.address, "--control", "/nonexistent"}, args...), &out, &errs)
	return status, out.String(), errs.String()
}

// TestOnionLeadsToThisServer has tor find the service at the third time.
func TestOnionLeadsToThisServer(t *testing.T) {
	t.Parallel()
	dir, sources := servedOnion(t)
	tor := newFakeTor(t, sources, 4, 0xf0, 0)
	status, out, errs := runOnion(t, dir, tor, "--wait", "1m")
	if want := "http://" + exampleOnion + "/\nOnion-Location: http://" + exampleOnion + "/\n"; status != exitDone || out != want {
		t.Errorf("status %d, %q, want %q", status, out, want)
	}
	for _, want := range []string{"Waiting, for 1m0s at most: tor does not find the onion service", "the onion service's descriptor is not up yet.\n", "It leads to this server"} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q does not say %q", errs, want)
		}
	}
	asked, users := tor.seen()
	if !slices.Equal(asked, []string{exampleOnion + ":80", exampleOnion + ":80", exampleOnion + ":80"}) {
		t.Errorf("tor was asked for %q", asked)
	}
	if slices.Sort(users); len(slices.Compact(users)) != 3 {
		t.Errorf("circuits are used again: %q", users)
	}

	status, out, errs = runOnion(t, dir, tor, "--json")
	var r onionReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || status != exitDone || r.Answers == nil || !*r.Answers || !r.Settings ||
		r.URL != "http://"+exampleOnion+"/" || r.Header != "Onion-Location: "+r.URL {
		t.Errorf("status %d, %v: %s%s", status, err, out, errs)
	}
}

// TestOnionThatLeadsElsewhereIsNamed has each way in which it can.
func TestOnionThatLeadsElsewhereIsNamed(t *testing.T) {
	t.Parallel()
	dir, sources := servedOnion(t)
	other := newDemo(t, "")
	socket := unixPrefix + filepath.Join(t.TempDir(), "other.sock")
	reset(t, other, func(c *config) { c.Listen = socket })
	s := serveFolder(t, other)
	s.wait(t, func() bool { return bytes.Contains(s.log.Bytes(), []byte("msg=serving")) })
	t.Cleanup(func() { s.end(t) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	moves := &http.Server{Handler: http.RedirectHandler("http://other.example/", http.StatusFound)}
	go moves.Serve(l)
	t.Cleanup(func() { moves.Close() })

	var all sync.WaitGroup
	for _, c := range []struct {
		name   string
		behind string
		reply  byte
		wait   string
		says   string
	}{
		{"another server", socket, 0, "1m", "somebody else answers at " + exampleOnion + ", and not this server (status 200): look where HiddenServicePort 80 leads"},
		{"a redirect", l.Addr().String(), 0, "1m", "and not this server (status 302)"},
		{"nothing behind", sources, 5, "1m", "the onion service is up, and nothing answers behind it: look whether HiddenServicePort 80"},
		{"tor's policy", sources, 2, "1m", "tor refuses: allow it in SocksPolicy"},
		{"an invalid descriptor", sources, 0xf1, "1m", "descriptor is not valid"},
		{"authorization", sources, 0xf4, "1m", "asks for client authorization, which sources have not"},
		{"wrong authorization", sources, 0xf5, "1m", "which is a wrong one"},
		{"no address", sources, 0xf6, "1m", "tor takes the address for none"},
		{"never found", sources, 4, "3s", "after 3s: tor does not find the onion service"},
		{"no descriptor", sources, 0xf0, "3s", "after 3s: the onion service's descriptor is not up yet"},
		{"no introduction", sources, 0xf2, "3s", "introduction points answers"},
		{"no rendezvous", sources, 0xf3, "3s", "no rendezvous"},
		{"a late introduction", sources, 0xf7, "3s", "did not answer in time"},
		{"no reason", sources, 1, "3s", "or there is none: tipboxd doctor"},
		{"no network", sources, 3, "3s", "no way into its network"},
		{"no time", sources, 6, "3s", "tor ran out of time"},
		{"a reply that nobody knows", sources, 99, "3s", "nothing came through tor"},
	} {
		tor := newFakeTor(t, c.behind, c.reply)
		all.Go(func() { // they mostly wait
			status, out, errs := runOnion(t, dir, tor, "--wait", c.wait)
			if status != exitFailed || !strings.Contains(errs, c.says) {
				t.Errorf("%s: status %d: %s", c.name, status, errs)
			}
			if out != "http://"+exampleOnion+"/\n" {
				t.Errorf("%s: the header is printed: %q", c.name, out)
			}
		})
	}
	all.Wait()

	status, out, _ := runOnion(t, dir, newFakeTor(t, sources, 5), "--json")
	var r onionReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || status != exitFailed || r.Answers == nil || *r.Answers || !strings.Contains(r.Why, "nothing answers behind it") {
		t.Errorf("status %d, %v: %s", status, err, out)
	}
}

func TestOnionWithoutTor(t *testing.T) {
	t.Parallel()
	dir, sources := servedOnion(t)
	tor := newFakeTor(t, sources, 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tor.address = l.Addr().String()
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			conn.Close()
		}
	}()
	if status, _, errs := runOnion(t, dir, tor); status != exitFailed || !strings.Contains(errs, "what answers at "+tor.address+" is no SOCKS proxy") {
		t.Errorf("another program: status %d, %s", status, errs)
	}
	l.Close()
	if status, _, errs := runOnion(t, dir, tor); status != exitFailed || !strings.Contains(errs, "no tor answers at "+tor.address+": systemctl start tor") {
		t.Errorf("nothing: status %d, %s", status, errs)
	}
	tor.address = "nonsense"
	if status, _, errs := runOnion(t, dir, tor); status != exitFailed || !strings.Contains(errs, "name its SOCKS port with --socks") {
		t.Errorf("no address: status %d, %s", status, errs)
	}
}

// TestOnionWithoutAServer prints what it can, and asks nobody if it is told to.
func TestOnionWithoutAServer(t *testing.T) {
	dir := newDemo(t, "")
	reset(t, dir, func(c *config) { c.Onion = exampleOnion })
	tor := newFakeTor(t, "127.0.0.1:1", 0)
	if status, out, errs := runOnion(t, dir, tor); status != exitFailed || !strings.Contains(errs, "start it with tipboxd serve") || out != "http://"+exampleOnion+"/\n" {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
	status, out, errs := runOnion(t, dir, tor, "--no-check", "--json")
	if status != exitDone || !strings.Contains(out, `"answers":null`) {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
	if asked, _ := tor.seen(); len(asked) > 0 {
		t.Errorf("tor was asked for %q", asked)
	}
}

// TestOnionOfTorsFile has tor know an address that the settings lack, or say otherwise.
func TestOnionOfTorsFile(t *testing.T) {
	dir, run := newDemo(t, ""), t.TempDir()
	tor := newFakeTor(t, "127.0.0.1:1", 0)
	file := filepath.Join(run, "hostname")
	try := func(wantStatus int, want string, args ...string) {
		t.Helper()
		status, out, errs := runOnion(t, dir, tor, append(args, "--no-check")...)
		if status != wantStatus || !strings.Contains(out+errs, want) {
			t.Errorf("%q: status %d, want %d and %q:\n%s%s", args, status, wantStatus, want, out, errs)
		}
	}
	onionOf := func() string {
		t.Helper()
		f := &folder{path: dir}
		if err := f.readConfig(); err != nil {
			t.Fatal(err)
		}
		return f.config.Onion
	}
	try(exitFailed, "no such file", "--hostname", file)
	write(t, run, "hostname", exampleOnion[1:]+"\n")
	try(exitFailed, "not an onion address", "--hostname", file)
	write(t, run, "hostname", exampleOnion+"\n")
	try(exitDone, "run this again with --save, or add above the first section\n  onion = '"+exampleOnion+"'\n", "--hostname", file)
	if got := onionOf(); got != "" {
		t.Errorf("it was set to %s, and nobody asked for it", got)
	}
	try(exitDone, "names it now: start the server anew", "--hostname", file, "--save")
	if got := onionOf(); got != exampleOnion {
		t.Errorf("it is %q", got)
	}
	try(exitDone, "Onion-Location", "--hostname", file)
	write(t, run, "hostname", anotherOnion+"\n")
	try(exitFailed, "says "+exampleOnion+", and tor says "+anotherOnion, "--hostname", file)
	try(exitDone, anotherOnion, "--hostname", file, "--save")
	if got := onionOf(); got != anotherOnion {
		t.Errorf("it is %q", got)
	}
	if status, says := runProgram(t, "onion", filepath.Join(dir, "none")); status != exitUsage {
		t.Errorf("status %d: %s", status, says)
	}
	if os.Geteuid() == 0 { // else others' files cannot be made
		config := filepath.Join(dir, configName)
		if err := os.Chown(config, 4242, 4243); err != nil {
			t.Fatal(err)
		}
		write(t, run, "hostname", exampleOnion+"\n")
		try(exitDone, "names it now", "--hostname", file, "--save")
		info, err := os.Stat(config)
		if err != nil || ownerOf(info) != [2]uint32{4242, 4243} || info.Mode().Perm() != 0o600 {
			t.Errorf("the settings belong to %v, with mode %v", ownerOf(info), info.Mode())
		}
	}
}

func TestSavingAnOnionKeepsTheRest(t *testing.T) {
	const line = "onion = '" + exampleOnion + "'"
	root := "root = '" + demoVerifier + "'\n"
	for name, c := range map[string]struct{ before, after string }{
		"empty":             {root + "# c\nonion = ''\n\n[notify]\nhours = []\n", root + "# c\n" + line + "\n\n[notify]\nhours = []\n"},
		"a comment behind":  {"onion = \"\"   # ours\n" + root, line + " # ours\n" + root},
		"no space":          {"onion=''\n" + root, line + "\n" + root},
		"another one":       {"  onion = '" + anotherOnion + "'\n" + root, line + "\n" + root},
		"none":              {root + "\n# more\n[notify]\n# c\n", root + "\n# more\n" + line + "\n\n[notify]\n# c\n"},
		"none, no section":  {root, root + line + "\n"},
		"no line at all":    {strings.TrimSuffix(root, "\n"), root + line + "\n"},
		"only in a comment": {"# onion = ''\n" + root, "# onion = ''\n" + root + line + "\n"},
		"carriage returns":  {root + "desk = ':1'\r\n", root + "desk = ':1'\r\n" + line + "\n"},
	} {
		dir := t.TempDir()
		write(t, dir, configName, c.before)
		if err := saveOnion(filepath.Join(dir, configName), exampleOnion); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, configName)); err != nil || string(got) != c.after {
			t.Errorf("%s: %v:\n%s\nwant\n%s", name, err, got, c.after)
		}
	}
	for name, text := range map[string]string{
		"a key in quotes":  "\"onion\" = ''\n" + root,
		"within a text":    "timezone = '''\nonion = 1\n'''\n" + root,
		"a setting beside": "spare = 1\n" + root,
	} {
		dir := t.TempDir()
		write(t, dir, configName, text)
		if err := saveOnion(filepath.Join(dir, configName), exampleOnion); err == nil {
			t.Errorf("%s: it is changed", name)
		}
		if got, err := os.ReadFile(filepath.Join(dir, configName)); err != nil || string(got) != text {
			t.Errorf("%s: %v: %s", name, err, got)
		}
	}
}

// demoVerifier is some root key's.
const demoVerifier = "root+6b5a4d2f+AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="

// TestProbesEnd has a question be answered for its time, and not be known to others.
func TestProbesEnd(t *testing.T) {
	p := newProber()
	now := time.Now()
	p.now = func() time.Time { return now }
	first := p.prepare()
	if first.Question == first.Answer || p.answerTo(first.Question) != first.Answer {
		t.Errorf("%+v is answered with %q", first, p.answerTo(first.Question))
	}
	for _, question := range []string{"", first.Answer, first.Question + "x"} {
		if got := p.answerTo(question); got != "" {
			t.Errorf("%q is answered with %q", question, got)
		}
	}
	now = now.Add(probeTime + time.Second)
	if got := p.answerTo(first.Question); got != "" {
		t.Errorf("it is still answered with %q", got)
	}
	p.prepare()
	if len(p.asked) != 1 {
		t.Errorf("%d are kept", len(p.asked))
	}
}

// TestAFileOfTorsKeyIsNotRepeated names the file beside the one with the address.
func TestAFileOfTorsKeyIsNotRepeated(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "hs_ed25519_secret_key", "== ed25519v1-secret: type0 ==canary")
	_, err := readHostname(filepath.Join(dir, "hs_ed25519_secret_key"))
	if !errors.Is(err, onion.ErrAddress) || strings.Contains(err.Error(), "canary") {
		t.Errorf("it says %v", err)
	}
}

// ownerOf is a file's user and group.
func ownerOf(info os.FileInfo) [2]uint32 {
	of := info.Sys().(*syscall.Stat_t)
	return [2]uint32{of.Uid, of.Gid}
}
