package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/tipbox/desk"
)

// An agentBench is a home with a key and an app that works in it.
type agentBench struct {
	*app
	t      *testing.T
	key    *roster.MemberKey
	stderr *bytes.Buffer
}

func newAgentBench(t *testing.T) *agentBench {
	t.Helper()
	key, err := roster.NewMemberKey("alice")
	if err != nil {
		t.Fatal(err)
	}
	errs := new(bytes.Buffer)
	b := &agentBench{&app{ctx: context.Background(), home: desk.Home(t.TempDir()), stdin: strings.NewReader(""), stdout: io.Discard, stderr: errs}, t, key, errs}
	b.write(key)
	return b
}

func (b *agentBench) write(key *roster.MemberKey) {
	b.t.Helper()
	if err := os.WriteFile(b.home.KeyFile(), []byte(key.Reveal()), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *agentBench) listen() *net.UnixListener {
	b.t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(string(b.home), agentSocket), Net: "unix"})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { l.Close() })
	return l
}

// serve runs an agent in the home until the test ends.
func (b *agentBench) serve(until time.Time, change func(*keyAgent)) *keyAgent {
	b.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s, err := newKeyAgent(b.key, keySum([]byte(b.key.Reveal())), until, stop)
	if err != nil {
		b.t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	l, done := b.listen(), make(chan error, 1)
	go func() { done <- s.serve(ctx, l) }()
	b.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	return s
}

// usesAgent reports whether the key that commands get is the agent's.
func (b *agentBench) usesAgent() bool {
	b.t.Helper()
	key, err := b.memberKey()
	if err != nil {
		b.t.Fatal(err)
	}
	if key.Name() != "alice" {
		b.t.Errorf("the key of %s", key.Name())
	}
	reader, err := key.Reader()
	if err != nil {
		b.t.Fatal(err)
	}
	_, is := reader.(*agentReader)
	return is
}

func TestAgentsKeyDoesWhatTheKeyDoes(t *testing.T) {
	b := newAgentBench(t)
	b.serve(time.Now().Add(time.Hour), nil)
	key, err := b.memberKey()
	if err != nil || !b.usesAgent() {
		t.Fatal(err, b.stderr)
	}
	want, err := b.key.Card()
	if err != nil {
		t.Fatal(err)
	}
	if card, err := key.Card(); err != nil || card.Text != want.Text {
		t.Errorf("the card: %v", err)
	}
	if text := key.Reveal(); strings.Contains(text, "AGE-SECRET") || strings.Contains(text, "PRIVATE") {
		t.Error("the key can be had")
	}
	sealed, err := seal.Message([]byte("{}"), want.Recipient)
	if err != nil {
		t.Fatal(err)
	}
	if doc, err := seal.OpenMessage(sealed, key.Identity()); err != nil || string(doc) != "{}" {
		t.Errorf("%q, %v", doc, err)
	}
	other, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if sealed, err = seal.Message([]byte("{}"), other.Recipient()); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.OpenMessage(sealed, key.Identity()); !errors.Is(err, seal.ErrNotForYou) {
		t.Errorf("another's message: %v", err)
	}
}

func TestAgentServesNoOtherUser(t *testing.T) {
	if peerUnchecked != "" {
		t.Skip(peerUnchecked)
	}
	b := newAgentBench(t)
	b.serve(time.Now().Add(time.Hour), func(s *keyAgent) { s.uid++ })
	if b.usesAgent() {
		t.Error("another user's agent serves us")
	}
	if !strings.Contains(b.stderr.String(), "The agent is not used") {
		t.Errorf("stderr: %s", b.stderr)
	}
}

func TestAgentServesNothingWhenItsTimeIsOver(t *testing.T) {
	b := newAgentBench(t)
	// By the clock on the wall: timers may stand still while the machine sleeps.
	s := must(newKeyAgent(b.key, "", time.Now().Round(0).Add(-time.Second), nil))
	ended := false
	s.watch(context.Background(), func() { ended = true })
	if !s.over() || !ended {
		t.Error("it does not end by itself")
	}
	b.serve(time.Now().Add(-time.Second), nil)
	if b.usesAgent() {
		t.Error("it serves")
	}
}

func TestAgentTakesNoKeyAndGivesNone(t *testing.T) {
	b := newAgentBench(t)
	s := b.serve(time.Now().Add(time.Hour), nil)
	other, err := roster.NewSigningKey("mallory")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := other.Signer()
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(b.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, request := range map[string]func(agent.ExtendedAgent) error{
		"add":    func(c agent.ExtendedAgent) error { return c.Add(agent.AddedKey{PrivateKey: signer}) },
		"remove": func(c agent.ExtendedAgent) error { return c.Remove(public) },
		"lock":   func(c agent.ExtendedAgent) error { return c.Lock([]byte("x")) },
		"unlock": func(c agent.ExtendedAgent) error { return c.Unlock([]byte("x")) },
		"sign with another": func(c agent.ExtendedAgent) error {
			_, err := c.Sign(must(ssh.NewPublicKey(signer.Public())), nil)
			return err
		},
		"unknown extension":  func(c agent.ExtendedAgent) error { _, err := c.Extension("x@example.org", nil); return err },
		"unwrap what is not": func(c agent.ExtendedAgent) error { _, err := c.Extension(unwrapRequest, []byte("{")); return err },
	} {
		if err := (&agentClient{b.home, agentTime}).ask(request); !errors.Is(err, errAgent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, content := range []string{"null", "[]", "[null]", `[{}]`, `[{"Type":"mlkem768x25519"}]`, `[{"Type":"mlkem768x25519","Args":["!"],"Body":"AAAA"}]`} {
		var answer agentUnwrapped
		if err := (&agentClient{b.home, agentTime}).extension(unwrapRequest, []byte(content), &answer); err != nil || len(answer.FileKey) > 0 {
			t.Errorf("%s: %+v, %v", content, answer, err)
		}
	}
	if !b.usesAgent() || s.over() {
		t.Error("it does not serve any more")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestWhateverListensInTheAgentsPlaceStopsNobody lets something else answer.
func TestWhateverListensInTheAgentsPlaceStopsNobody(t *testing.T) {
	about := func(change func(*agentAbout)) func(net.Conn) {
		return func(conn net.Conn) {
			a := agentAbout{Name: "alice", Until: time.Now().Add(time.Hour)}
			change(&a)
			text, _ := json.Marshal(a)
			io.ReadFull(conn, make([]byte, 5))
			conn.Write(append([]byte{0, 0, byte(len(text) >> 8), byte(len(text))}, text...))
		}
	}
	say := func(text string) func(net.Conn) {
		return func(conn net.Conn) { io.WriteString(conn, text); io.Copy(io.Discard, conn) }
	}
	for name, answer := range map[string]func(net.Conn){
		"ends at once":       func(net.Conn) {},
		"says nothing":       func(conn net.Conn) { io.Copy(io.Discard, conn) },
		"says something":     say("HTTP/1.1 400 Bad Request\r\n\r\n"),
		"an endless answer":  say("\xff\xff\xff\xff" + strings.Repeat("x", 100)),
		"a cut answer":       func(conn net.Conn) { io.WriteString(conn, "\x00\x00\x10\x00{") },
		"an empty answer":    say("\x00\x00\x00\x00"),
		"failure":            say("\x00\x00\x00\x01\x05"),
		"success":            say("\x00\x00\x00\x01\x06"),
		"no JSON":            say("\x00\x00\x00\x04true"),
		"an empty document":  say("\x00\x00\x00\x02{}"),
		"no half":            about(func(*agentAbout) {}),
		"a bad name":         about(func(a *agentAbout) { a.Name = "Alice\x1b[2J" }),
		"a bad verifier":     about(func(a *agentAbout) { a.Verifier = "alice+00000000+AAAA" }),
		"another's verifier": about(func(a *agentAbout) { a.Verifier = must(roster.NewSigningKey("bob")).Verifier() }),
		"a bad recipient":    about(func(a *agentAbout) { a.Recipient = "age1x" }),
		"another file":       about(func(a *agentAbout) { a.File = "x"; a.Verifier = must(roster.NewSigningKey("alice")).Verifier() }),
	} {
		t.Run(name, func(t *testing.T) {
			b := newAgentBench(t)
			l := b.listen()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						conn.SetDeadline(time.Now().Add(time.Minute))
						answer(conn)
					}()
				}
			}()
			if name == "says nothing" {
				err := (&agentClient{b.home, time.Millisecond}).ask(func(c agent.ExtendedAgent) error { _, err := c.List(); return err })
				if !errors.Is(err, errAgent) || !strings.Contains(err.Error(), "timeout") {
					t.Errorf("error %v", err)
				}
				return
			}
			if b.usesAgent() {
				t.Error("it is taken for an agent")
			}
			if got := b.stderr.String(); !strings.HasPrefix(got, "The agent is not used: ") || strings.Count(got, "\n") != 1 || strings.Contains(got, "\x1b") {
				t.Errorf("stderr: %q", got)
			}
		})
	}
}

// TestLyingAgentIsNoFaultOfTheServers lets an agent give wrong signatures and
// file keys.
func TestLyingAgentIsNoFaultOfTheServers(t *testing.T) {
	b := newAgentBench(t)
	b.serve(time.Now().Add(time.Hour), func(s *keyAgent) {
		other, err := newKeyAgent(must(roster.NewMemberKey("alice")), "", s.about.Until, func() {})
		if err != nil {
			t.Fatal(err)
		}
		s.ExtendedAgent, s.key = forger{s.ExtendedAgent, other.ExtendedAgent, must(ssh.NewPublicKey(other.key.Public()))}, other.key
	})
	key, err := b.agentKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.Sign("text\n"); !errors.Is(err, errAgent) {
		t.Errorf("signing: %v", err)
	}
	sealed := must(seal.Message([]byte("{}"), must(b.key.Card()).Recipient))
	if _, err := seal.OpenMessage(sealed, key.Identity()); !errors.Is(err, seal.ErrNotForYou) {
		t.Errorf("opening: %v", err)
	}
}

// A forger signs with another key than the one that it is asked for.
type forger struct {
	agent.ExtendedAgent
	other agent.ExtendedAgent
	key   ssh.PublicKey
}

func (f forger) SignWithFlags(_ ssh.PublicKey, data []byte, flags agent.SignatureFlags) (*ssh.Signature, error) {
	return f.other.SignWithFlags(f.key, data, flags)
}

func TestAgentThatEndedIsSaidSo(t *testing.T) {
	b := newAgentBench(t)
	ctx, stop := context.WithCancel(context.Background())
	s := must(newKeyAgent(b.key, keySum([]byte(b.key.Reveal())), time.Now().Add(time.Hour), stop))
	l, done := b.listen(), make(chan error, 1)
	go func() { done <- s.serve(ctx, l) }()
	key, err := b.agentKey()
	if err != nil {
		t.Fatal(err)
	}
	sealed := must(seal.Message([]byte("{}"), must(b.key.Card()).Recipient))
	if err := b.stopAgent(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"signing": func() error { _, err := key.Sign("text\n"); return err }(),
		"opening": func() error { _, err := seal.OpenMessage(sealed, key.Identity()); return err }(),
	} {
		if !errors.Is(err, errNoAgent) || errors.Is(err, seal.ErrDamaged) || !strings.Contains(hint(err), "tipbox agent") {
			t.Errorf("%s: %v; %s", what, err, hint(err))
		}
	}
	if b.usesAgent() {
		t.Error("it still serves")
	}
}

func TestOneAgentServesAFolder(t *testing.T) {
	b := newAgentBench(t)
	lock, err := b.lockAgent()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.lockAgent(); !errors.Is(err, errAgentRuns) {
		t.Errorf("a second: %v", err)
	}
	lock.Close()
	if err := os.Chmod(string(b.home), 0o770); err != nil {
		t.Fatal(err)
	}
	if _, err := b.lockAgent(); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("a folder that others write into: %v", err)
	}
}

func TestHalvesAreServedToo(t *testing.T) {
	for i, half := range []string{"signs", "reads"} {
		t.Run(half, func(t *testing.T) {
			b := newAgentBench(t)
			sign, read := b.key.Split()
			b.key = []*roster.MemberKey{sign, read}[i]
			b.write(b.key)
			b.serve(time.Now().Add(time.Hour), nil)
			key, err := b.agentKey()
			if err != nil {
				t.Fatal(err)
			}
			_, errSign := key.Sign("text\n")
			_, errRead := key.Reader()
			if errors.Is(errSign, roster.ErrCannotSign) != (i == 1) || errors.Is(errRead, roster.ErrCannotRead) != (i == 0) {
				t.Errorf("signing %v, reading %v", errSign, errRead)
			}
		})
	}
}
