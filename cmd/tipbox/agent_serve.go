package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"tipbox/crypto/roster"
)

// The agent speaks the protocol of ssh-agent (draft-ietf-sshm-ssh-agent) on the
// Unix socket agent.sock of the member's folder: listing, signing and "remove all
// identities", which ends it, are as there. An Ed25519 signature of SSH is the
// plain one, so it signs notes and TLS handshakes as they are. Unwrapping a file
// key of age is an extension, and so is telling what it holds. What puts a key
// in or takes one out is refused.
const (
	agentSocket = "agent.sock"
	agentLock   = "agent.lock" // locked as long as the agent runs, whose process it names

	aboutRequest  = "about@tipbox"  // nothing; agentAbout
	unwrapRequest = "unwrap@tipbox" // []*age.Stanza; agentUnwrapped
)

// An agentAbout says whose key an agent serves.
type agentAbout struct {
	Name      string    `json:"name"`
	Verifier  string    `json:"verifier,omitempty"`  // of the half that signs
	Recipient string    `json:"recipient,omitempty"` // of the half that reads
	File      string    `json:"file"`                // see keySum
	Until     time.Time `json:"until"`
}

// An agentUnwrapped is a file key of age, or why there is none.
type agentUnwrapped struct {
	FileKey   []byte `json:"file_key,omitempty"`
	NotForYou bool   `json:"not_for_you,omitempty"`
	Error     string `json:"error,omitempty"`
}

var (
	errAgentRuns = errors.New("an agent serves this folder already")
	errRefused   = errors.New("this agent takes no key and gives none away")
)

// lockAgent takes the place of the folder's agent, until the file is closed or
// the process ends in whatever way.
func (a *app) lockAgent() (*os.File, error) {
	info, err := os.Stat(string(a.home))
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("others can write into %s (mode %04o): chmod 700 it first", a.home, info.Mode().Perm())
	}
	f, err := os.OpenFile(filepath.Join(string(a.home), agentLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errAgentRuns
		}
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return f, nil
}

// serveKey is the agent. It returns when the time is over, when it is told to
// end, or when the program is.
func (a *app) serveKey(key *roster.MemberKey, file string, lasts time.Duration, report func(agentReport) error) error {
	debug.SetGCPercent(agentGC)
	var warnings []string
	if err := lockMemory(); err != nil {
		warnings = append(warnings, err.Error())
	}
	lock, err := a.lockAgent()
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := lock.Truncate(0); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(lock, os.Getpid()); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(a.ctx)
	defer stop()
	s, err := newKeyAgent(key, file, time.Now().Add(lasts), stop)
	if err != nil {
		return err
	}
	at, err := openAgent(a.home)
	if err != nil {
		return err
	}
	defer at.Close()
	// We hold the lock: what is there was left by an agent that was killed.
	if err := os.Remove(at.address().Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l, err := net.ListenUnix("unix", at.address())
	if err != nil {
		return fmt.Errorf("the agent's socket: %w", err)
	}
	defer l.Close() // and removes it
	if err := os.Chmod(at.address().Name, 0o600); err != nil {
		return err
	}
	if w := peerUnchecked; w != "" {
		warnings = append(warnings, w)
	}
	if err := report(agentReport{Name: key.Name(), Until: s.about.Until, Warnings: warnings}); err != nil {
		return err
	}
	return s.serve(ctx, l)
}

// A keyAgent serves a member key.
type keyAgent struct {
	agent.ExtendedAgent // lists and signs
	about               agentAbout
	key                 *roster.MemberKey
	uid                 int // whom it serves
	stop                func()
}

func newKeyAgent(key *roster.MemberKey, file string, until time.Time, stop func()) (*keyAgent, error) {
	s := &keyAgent{agent.NewKeyring().(agent.ExtendedAgent), agentAbout{Name: key.Name(), File: file, Until: until}, key, os.Getuid(), stop}
	if signer, err := key.Signer(); err == nil {
		private, ok := signer.(ed25519.PrivateKey)
		if !ok {
			return nil, errors.New("the signing key is not here")
		}
		if err := s.ExtendedAgent.Add(agent.AddedKey{PrivateKey: &private, Comment: key.Name()}); err != nil {
			return nil, fmt.Errorf("signing key: %w", err)
		}
		s.about.Verifier = key.Verifier()
	}
	if reader, err := key.Reader(); err == nil {
		s.about.Recipient = reader.Recipient().String()
	}
	return s, nil
}

const (
	agentTime     = 10 * time.Second // for a request, or between two
	agentLooks    = 10 * time.Second // how often the agent looks at the clock
	agentRequests = 64               // at once
)

// serve answers until ctx is done or the time is over.
func (s *keyAgent) serve(ctx context.Context, l *net.UnixListener) error {
	ctx, cancel := context.WithDeadline(ctx, s.about.Until)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.watch(ctx, cancel) })
	slots := make(chan struct{}, agentRequests)
	for {
		conn, err := l.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the agent's socket: %w", err)
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			s.answer(ctx, conn)
		})
	}
}

// watch ends the agent by the clock on the wall: the one that timers go by may
// stand still while the machine sleeps.
func (s *keyAgent) watch(ctx context.Context, end func()) {
	defer end()
	tick := time.NewTicker(agentLooks)
	defer tick.Stop()
	for !s.over() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *keyAgent) over() bool { return !time.Now().Round(0).Before(s.about.Until.Round(0)) }

func (s *keyAgent) answer(ctx context.Context, conn *net.UnixConn) {
	defer conn.Close()
	if uid, err := peerUID(conn); err != nil || uid != s.uid || s.over() {
		return
	}
	// What is being answered is still written.
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })()
	agent.ServeAgent(s, &timedConn{conn, ctx}) // its error is a connection that ended
}

// A timedConn gives each request its time, and takes none when ctx is done.
type timedConn struct {
	*net.UnixConn
	ctx context.Context
}

func (c *timedConn) Read(p []byte) (int, error) {
	c.SetDeadline(time.Now().Add(agentTime))
	if c.ctx.Err() != nil { // else the deadline of answer still comes
		return 0, c.ctx.Err()
	}
	return c.UnixConn.Read(p)
}

// RemoveAll ends the agent.
func (s *keyAgent) RemoveAll() error { s.stop(); return nil }

func (*keyAgent) Add(agent.AddedKey) error   { return errRefused }
func (*keyAgent) Remove(ssh.PublicKey) error { return errRefused }
func (*keyAgent) Lock([]byte) error          { return errRefused }
func (*keyAgent) Unlock([]byte) error        { return errRefused }

// Extension answers what ssh-agent does not know.
func (s *keyAgent) Extension(request string, content []byte) ([]byte, error) {
	switch request {
	case aboutRequest:
		return json.Marshal(s.about)
	case unwrapRequest:
		var stanzas []*age.Stanza
		if err := json.Unmarshal(content, &stanzas); err != nil {
			return nil, err
		}
		return json.Marshal(s.unwrap(stanzas))
	}
	return nil, agent.ErrExtensionUnsupported
}

func (s *keyAgent) unwrap(stanzas []*age.Stanza) agentUnwrapped {
	for _, stanza := range stanzas {
		if stanza == nil {
			return agentUnwrapped{Error: "no stanza"}
		}
	}
	fileKey, err := s.key.Identity().Unwrap(stanzas)
	switch {
	case errors.Is(err, age.ErrIncorrectIdentity):
		return agentUnwrapped{NotForYou: true}
	case err != nil:
		return agentUnwrapped{Error: err.Error()}
	}
	return agentUnwrapped{FileKey: fileKey}
}
