package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
	"tipbox/tipbox/tipboxtest"
)

// A bench is an organisation whose desk is served, with the homes of members.
type bench struct {
	*tipboxtest.Org
	t       *testing.T
	address string
	homes   map[string]string

	connections atomic.Int32                                      // made to the desk
	intercept   func(w http.ResponseWriter, r *http.Request) bool // answers in place of the desk, if true
}

func newBench(t *testing.T, cfg tipboxtest.Config) *bench {
	t.Helper()
	b := &bench{Org: tipboxtest.New(t, cfg), t: t, homes: make(map[string]string)}
	b.Clock.Advance(time.Since(b.Clock.Now())) // the tool goes by the machine's
	config, err := desk.ServerTLS(b.Server, b.Service.Roster)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handler := desk.New(desk.Config{Service: b.Service})
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if b.intercept == nil || !b.intercept(w, r) {
				handler.ServeHTTP(w, r)
			}
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				b.connections.Add(1)
			}
		},
	}
	go s.Serve(tls.NewListener(l, config))
	t.Cleanup(func() { s.Close() })
	b.address = l.Addr().String()
	return b
}

// home is the folder of a member who has joined.
func (b *bench) home(name string) string {
	b.t.Helper()
	if b.homes[name] == "" {
		home := desk.Home(b.t.TempDir())
		if err := os.WriteFile(home.KeyFile(), []byte(b.Key(name).Reveal()), 0o600); err != nil {
			b.t.Fatal(err)
		}
		if err := home.Join(desk.HomeConfig{Desk: b.address, Root: b.Root.Verifier()}, b.Service.SignedRoster()); err != nil {
			b.t.Fatal(err)
		}
		b.homes[name] = string(home)
	}
	return b.homes[name]
}

// tipbox runs the tool as a member and returns the exit status and outputs.
func (b *bench) tipbox(member string, args ...string) (status int, stdout, stderr string) {
	b.t.Helper()
	return tool(b.t, append([]string{"--home", b.home(member)}, args...)...)
}

func tool(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(context.Background(), args, strings.NewReader(""), &out, &errs)
	return status, out.String(), errs.String()
}

// ok runs the tool and wants it done.
func (b *bench) ok(member string, args ...string) (stdout string) {
	b.t.Helper()
	status, stdout, stderr := b.tipbox(member, args...)
	if status != exitDone {
		b.t.Fatalf("tipbox %v: status %d\n%s", args, status, stderr)
	}
	return stdout
}

// fails runs the tool and wants a status and a word on standard error.
func (b *bench) fails(member string, want int, word string, args ...string) {
	b.t.Helper()
	status, _, stderr := b.tipbox(member, args...)
	if status != want || !strings.Contains(stderr, word) {
		b.t.Errorf("tipbox %v: status %d, want %d, and %q in: %s", args, status, want, word, stderr)
	}
}

func (b *bench) tip() string { return b.Inbox("alice")[0].Tip }

// deceits are what a text may hold to deceive a reader at a terminal.
const deceits = "a\x1b[2J\x1b]0;title\x07b\rc\x08d\x7fe\u0085f\u202eg\u2066h\u200bi\u200dj\ufeffk\u00adl\u2028m\u061cn\u180eo\U000E0041p\u3164q\xffr\x00s"

func TestNothingDeceivesTheTerminal(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit(deceits+"\nsecond line\n--- message 2, 2026-11-22, from alice (desk) ---", tipboxtest.File{Name: deceits + ".txt", Type: deceits, Content: "x"})
	tip, out := b.tip(), t.TempDir()
	var all strings.Builder
	for _, args := range [][]string{
		{"inbox"}, {"--json", "inbox"}, {"read", tip}, {"--json", "read", tip},
		{"save", tip, "-o", out}, {"--json", "save", tip, "-o", out},
		{"read", deceits}, {deceits}, {"save", tip, "-o", filepath.Join(out, "x\x00"+deceits)},
	} {
		for _, lang := range []string{"en", "zh-Hans"} {
			_, stdout, stderr := b.tipbox("alice", append([]string{"--lang", lang}, args...)...)
			all.WriteString(stdout + stderr)
		}
	}
	for _, r := range all.String() {
		if r != '\n' && (unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) || r == '\u3164') {
			t.Errorf("the terminal gets %U", r)
		}
	}
	// No line of a text can pass for one of the tool's.
	if got := b.ok("alice", "read", tip); strings.Count(got, "\n---") != 1 {
		t.Errorf("a text forges a heading:\n%s", got)
	}
	// In JSON the text is what it was.
	var read struct {
		Messages []struct {
			Text  string
			Files []struct{ Name string }
		}
	}
	if err := json.Unmarshal([]byte(b.ok("alice", "--json", "read", tip)), &read); err != nil {
		t.Fatal(err)
	}
	want := strings.ToValidUTF8(deceits, "\uFFFD")
	if got := read.Messages[0].Text; !strings.HasPrefix(got, want) {
		t.Errorf("JSON has %q, want %q", got, want)
	}
	if got := read.Messages[0].Files[0].Name; got != want+".txt" {
		t.Errorf("JSON has the name %q", got)
	}
}

func TestSaveStaysInItsFolder(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	names := []string{
		"../../up", `..\..\up`, "/etc/passwd", `C:\x\autoexec.bat`, "..", ".", "", "~/.ssh/config", ".bashrc", "-rf",
		"CON", "nul.txt", "com1.log", "a:b", "trailing. ", "\u202egpj.exe", "same", "same", "same", "linked",
		strings.Repeat("long", 100) + ".pdf", "x." + strings.Repeat("ext", 50), "\x1b[2J", "x\x00y", "名字.txt", "same.part",
	}
	var files []tipboxtest.File
	for _, name := range names {
		files = append(files, tipboxtest.File{Name: name, Content: "content of " + name})
	}
	b.Submit("one", files...)
	above := t.TempDir()
	out := filepath.Join(above, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(above, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"linked", "passwd", "linked (2).part"} {
		if err := os.Symlink(victim, filepath.Join(out, name)); err != nil {
			t.Fatal(err)
		}
	}
	saved := make(map[string]bool)
	for line := range strings.Lines(b.ok("alice", "--json", "save", b.tip(), "-o", out)) {
		var f savedFile
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(got), "content of ") || filepath.Dir(f.Path) != out || saved[f.Path] {
			t.Errorf("%s holds %q", f.Path, got)
		}
		saved[f.Path] = true
	}
	if len(saved) != len(names) {
		t.Errorf("%d files saved, want %d", len(saved), len(names))
	}
	if got, err := os.ReadFile(victim); err != nil || string(got) != "precious" {
		t.Errorf("the file that a link led to is now %q, %v", got, err)
	}
	err := filepath.WalkDir(above, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type().IsRegular() {
			if !saved[path] && path != victim {
				t.Errorf("%s was written", path)
			}
			if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v, %v", path, info.Mode(), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDamagedAttachmentIsNotLeftBehind(t *testing.T) {
	blobs := mem.NewBlobs()
	b := newBench(t, tipboxtest.Config{Blobs: blobs})
	content := strings.Repeat("x", 300_000)
	b.Submit("one", tipboxtest.File{Name: "whole", Content: "y"}, tipboxtest.File{Name: "damaged", Content: content})
	tip := b.tip()
	blob := b.Open("alice", tip).Messages[0].Files[1].Blob
	sealed := b.Stored()["blob "+blob]
	put := func(data []byte) {
		t.Helper()
		ctx := context.Background()
		if err := blobs.Remove(ctx, blob); err != nil {
			t.Fatal(err)
		}
		w, err := blobs.Create(ctx, blob)
		if err == nil {
			_, err = w.Write(data)
		}
		if err == nil {
			err = w.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-40] ^= 1
	for name, data := range map[string][]byte{"flipped": flipped, "cut": sealed[:len(sealed)-1], "half": sealed[:len(sealed)/2], "longer": append(bytes.Clone(sealed), 0), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			put(data)
			out := t.TempDir()
			b.fails("alice", exitFailed, "not what was signed", "save", tip, "-o", out)
			entries, err := os.ReadDir(out)
			if err != nil || len(entries) != 1 || entries[0].Name() != "whole" {
				t.Errorf("the folder holds %v, %v", entries, err)
			}
			export := filepath.Join(out, "export")
			b.fails("alice", exitFailed, "not what was signed", "export", tip, "-o", export)
			if _, err := os.Stat(export); err == nil {
				t.Error("a part of an export stays")
			}
		})
	}
	put(sealed)
}

// A fullDisk takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestAResultThatCannotBeWrittenIsNoSuccess(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	for _, args := range [][]string{{"inbox"}, {"read"}, {"case", b.tip()}, {"--json", "inbox"}, {"card"}} {
		var errs bytes.Buffer
		status := run(t.Context(), append([]string{"--home", b.home("alice")}, args...), strings.NewReader(""), fullDisk{}, &errs)
		if said := errs.String(); status != exitFailed || !strings.Contains(said, "no space left on device\nMake room") {
			t.Errorf("tipbox %v: status %d, and it says: %s", args, status, said)
		}
	}
}

func TestErrorsNameTheNextThingToDo(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	tip := b.tip()
	b.fails("alice", exitUsage, "tipbox --help", "nonsense")
	b.fails("alice", exitUsage, "tipbox export --help", "export")
	b.fails("alice", exitUsage, "tipbox roster add --help", "roster", "add")
	b.fails("alice", exitUsage, "are: alice, bob", "grant", tip, "alcie")
	b.fails("alice", exitUsage, "nothing was done. Give it with -m TEXT", "reply", tip, "-m", " ")
	b.fails("alice", exitUsage, "nothing was done", "reply", tip)
	b.fails("alice", exitUsage, "", "inbox", "--limit", "0")
	b.fails("alice", exitFailed, "tipbox inbox", "read", "aaaaaaaaaaaaaaaa")
	b.fails("peter", exitFailed, "investigator", "inbox")
	b.fails("peter", exitFailed, "investigator", "read", tip)
	if status, _, stderr := tool(t, "--home", t.TempDir(), "inbox"); status != exitFailed || !strings.Contains(stderr, "tipbox join") {
		t.Errorf("no home: status %d: %s", status, stderr)
	}
	if status, stdout, _ := tool(t, "--help"); status != exitDone || !strings.Contains(stdout, "inbox") {
		t.Errorf("help: status %d: %s", status, stdout)
	}
	if err := os.Chmod(desk.Home(b.home("alice")).KeyFile(), 0o640); err != nil {
		t.Fatal(err)
	}
	b.fails("alice", exitFailed, "chmod 600", "inbox")

	stranger, err := roster.NewMemberKey("bob")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(desk.Home(b.home("bob")).KeyFile(), []byte(stranger.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	b.fails("bob", exitFailed, "tipbox join", "inbox")
}

func TestOldRosterFromTheServerIsRefused(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	home := desk.Home(b.home("alice"))
	// The member has seen a newer roster than the server now gives.
	newer := *b.Service.Roster()
	newer.Serial++
	signed, err := newer.Sign(b.Root)
	if err != nil {
		t.Fatal(err)
	}
	if err := home.Join(desk.HomeConfig{Desk: b.address, Root: b.Root.Verifier()}, signed); err != nil {
		t.Fatal(err)
	}
	b.fails("alice", exitFailed, "old roster", "inbox")
	// Nor does joining again with an old one help.
	old := filepath.Join(t.TempDir(), "roster.note")
	if err := os.WriteFile(old, b.Service.SignedRoster(), 0o600); err != nil {
		t.Fatal(err)
	}
	b.fails("alice", exitFailed, "old roster", "join", old, "--desk", b.address, "--root", b.Root.Verifier())
}

func TestNewRosterIsTakenUp(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	b.home("alice")
	b.Strike("bob")
	b.Install()
	b.ok("alice", "inbox")
	text, err := os.ReadFile(filepath.Join(b.home("alice"), "roster.note"))
	if err != nil || string(text) != string(b.Service.SignedRoster()) {
		t.Errorf("the new roster was not kept: %v", err)
	}
}

// TestOpeningATipIsOneRequest: the roster is asked for only when there is another.
func TestOpeningATipIsOneRequest(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	tip := b.Inbox("alice")[0].Tip
	var asked atomic.Int32
	b.intercept = func(http.ResponseWriter, *http.Request) bool {
		asked.Add(1)
		return false
	}
	ask := func(want int32) {
		t.Helper()
		asked.Store(0)
		if status, _, stderr := b.tipbox("alice", "read", tip); status != 0 {
			t.Fatal(stderr)
		}
		if got := asked.Load(); got != want {
			t.Errorf("%d requests, want %d", got, want)
		}
	}
	ask(1)
	b.Strike("bob")
	b.Install()
	ask(2)
	ask(1)
}

func TestKeyIsNeverOverwrittenAndCanBeLocked(t *testing.T) {
	home, pass := t.TempDir(), filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(pass, []byte("correct horse\nsecond line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := func(more ...string) []string {
		return append([]string{"--home", home, "--passphrase-file", pass}, more...)
	}
	if status, _, stderr := tool(t, args("keygen", "alice", "--protect")...); status != exitDone {
		t.Fatal(stderr)
	}
	file := desk.Home(home).KeyFile()
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || strings.Contains(string(before), "SECRET") {
		t.Errorf("the key file: %v, %v", info.Mode(), err)
	}
	status, card, stderr := tool(t, args("card")...)
	if status != exitDone || !strings.Contains(stderr, "Fingerprint") {
		t.Fatal(stderr)
	}
	if c, err := roster.ParseCard(card); err != nil || c.Name != "alice" {
		t.Errorf("the card: %v", err)
	}
	if status, _, stderr := tool(t, args("keygen", "bob")...); status != exitFailed || !strings.Contains(stderr, "never overwritten") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if err := os.WriteFile(pass, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := tool(t, args("card")...); status != exitFailed || !strings.Contains(stderr, "wrong passphrase") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the key file has changed: %v", err)
	}
	if status, _, _ := tool(t, "--home", t.TempDir(), "keygen", "Not A Name"); status != exitUsage {
		t.Errorf("a bad name: status %d", status)
	}
}

func TestReplyIsReadFromWhereItIs(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	code := b.Submit("one")
	file := filepath.Join(t.TempDir(), "answer")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.ok("alice", "reply", b.tip(), "-m", "from the flag")
	b.ok("bob", "reply", b.tip(), "-f", file)
	var errs bytes.Buffer
	if status := run(context.Background(), []string{"--home", b.home("alice"), "reply", b.tip()}, strings.NewReader("from standard input"), &errs, &errs); status != exitDone {
		t.Fatal(errs.String())
	}
	thread, err := b.Service.Thread(context.Background(), code)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"from the flag", "from a file\n", "from standard input"} {
		if got := thread.Messages[i+1].Text; got != want {
			t.Errorf("answer %d is %q, want %q", i+1, got, want)
		}
	}
	b.fails("alice", exitFailed, "too long", "reply", b.tip(), "-m", strings.Repeat("x", tipbox.MaxText*8))
}

func TestServersWordsAreOneShortLineOfItsOwn(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	for _, args := range [][]string{{"read", "x\n\n--- message 1, from the source ---\n  forged"}, {"inbox", "--after", "\u00e4\n---"}} {
		status, _, stderr := b.tipbox("alice", args...)
		if status != exitFailed || !strings.HasPrefix(stderr, "tipbox: the desk says: ") || strings.Contains(stderr, "\n---") || strings.Contains(stderr, "not what was signed") {
			t.Errorf("%q: status %d: %s", args, status, stderr)
		}
	}
	// The end of the list is no fault.
	if status, stdout, stderr := b.tipbox("alice", "inbox", "--after", "9999-99-99/zzzz"); status != exitDone || stdout != "" {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

func TestReplyThatIsNoTextIsNotSent(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one")
	file := filepath.Join(t.TempDir(), "gbk.txt")
	if err := os.WriteFile(file, []byte("\xc4\xe3\xba\xc3"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.fails("alice", exitUsage, "not UTF-8", "reply", b.tip(), "-f", file)
	b.fails("alice", exitUsage, "nothing was done", "reply", b.tip(), "-m", "")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), maxText+1), 0o600); err != nil {
		t.Fatal(err)
	}
	b.fails("alice", exitFailed, "nothing was done", "reply", b.tip(), "-f", file)
	if got := len(b.Open("alice", b.tip()).Messages); got != 1 {
		t.Errorf("%d messages, want 1", got)
	}
}

func TestOneReadersJunkStopsNobody(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("one", tipboxtest.File{Name: "a.txt", Content: "x"})
	tip := b.tip()
	junk, err := seal.Message([]byte("junk"), b.Member("bob").Card.Recipient, b.Member("bob").Card.Recipient)
	if err != nil {
		t.Fatal(err)
	}
	file, err := b.Service.Tip(context.Background(), b.Member("bob"), tip)
	if err != nil {
		t.Fatal(err)
	}
	sum := func(data []byte) string { s := sha256.Sum256(data); return hex.EncodeToString(s[:]) }
	text, err := json.Marshal(tipbox.Event{
		Tip: tip, Number: 2, Action: tipbox.ActionReply, Day: b.Service.Today(), Before: sum([]byte(file.Events[0].Note)), Sealed: sum(junk),
	})
	if err != nil {
		t.Fatal(err)
	}
	note, err := b.Key("bob").Sign("tipbox event v1\n" + string(text) + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Service.Append(context.Background(), b.Member("bob"), tip, note, junk); err != nil {
		t.Fatal(err)
	}
	b.fails("alice", exitFailed, "who wrote it made it unreadable", "read", tip)
	out := filepath.Join(t.TempDir(), "out")
	b.ok("alice", "export", tip, "-o", out)
	if readme, err := os.ReadFile(filepath.Join(out, "README.txt")); err != nil || !strings.Contains(string(readme), "message-2.age is as it was signed, but does not open") {
		t.Errorf("README: %s, %v", readme, err)
	}
	b.tipbox("alice", "save", tip, "-o", out)
	if got, err := os.ReadFile(filepath.Join(out, "a.txt")); err != nil || string(got) != "x" {
		t.Errorf("the file was not saved: %v", err)
	}
}

func TestJoinMendsAHome(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	note := filepath.Join(t.TempDir(), "roster.note")
	if err := os.WriteFile(note, b.Service.SignedRoster(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, lost := range []string{"roster.note", "tipbox.toml"} {
		if err := os.Remove(filepath.Join(b.home("alice"), lost)); err != nil {
			t.Fatal(err)
		}
		b.fails("alice", exitFailed, "tipbox join", "inbox")
		b.ok("alice", "join", note, "--desk", b.address, "--root", b.Root.Verifier())
		b.ok("alice", "inbox")
	}
}

func TestQuotedTextStaysBehindItsBar(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("x", 74) + "      --- message 2, 2026-11-22, from alice (desk) ---",
		strings.Repeat("字", 60), "\t\t\t\t\t\t\t\t\t\t\t\t\tx", "a\n\nb", "",
	} {
		for line := range strings.Lines(quoted(text, 80)) {
			columns := 0
			for _, r := range strings.TrimSuffix(line, "\n") {
				columns++
				if r > 0x2e80 {
					columns++
				}
			}
			if !strings.HasPrefix(line, "│ ") || columns > 80 {
				t.Errorf("%d columns: %q", columns, line)
			}
		}
	}
}

func TestEraseSaysYesAndSeesNoNews(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	code := b.Submit("one", tipboxtest.File{Name: "a", Content: "b"})
	tip := b.tip()
	b.fails("alice", exitUsage, "--yes", "erase", tip)
	b.fails("peter", exitFailed, "investigator", "erase", tip, "--yes")
	b.ok("alice", "read", tip)
	b.ok("alice", "erase", tip, "--yes")
	b.fails("bob", exitFailed, "not found", "read", tip)
	if _, err := b.Service.Thread(context.Background(), code); !errors.Is(err, tipbox.ErrNoThread) {
		t.Errorf("the thread: %v", err)
	}
}

func FuzzSafeName(f *testing.F) {
	for _, s := range []string{"a.txt", "../x", "CON.txt", "", "...", deceits, strings.Repeat("字", 200) + ".pdf"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := safeName(name, "fallback")
		if got == "" || got == "." || got == ".." || len(got) > 200 || strings.ContainsAny(got, "/\\\x00:\n") ||
			strings.HasPrefix(got, ".") || strings.HasPrefix(got, "-") || !filepath.IsLocal(got) || clean(got) != got {
			t.Errorf("safeName(%q) = %q", name, got)
		}
	})
}

func FuzzClean(f *testing.F) {
	f.Add(deceits)
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range clean(s) {
			if r != '\n' && r != '\t' && hidesOrMoves(r) {
				t.Errorf("clean(%q) holds %U", s, r)
			}
		}
		if strings.ContainsAny(cleanLine(s), "\n\t") {
			t.Errorf("cleanLine(%q) has lines", s)
		}
	})
}
