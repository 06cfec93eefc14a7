package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/tipbox/desk"
)

var (
	// errNoAgent means that nobody answers on the folder's socket.
	errNoAgent = errors.New("no agent runs")
	// errAgent means that what answers there does not as it must.
	errAgent = errors.New("the agent does not answer as it must")
)

// agentKey is the member's key in the folder's agent, or errNoAgent.
func (a *app) agentKey() (*roster.MemberKey, error) {
	asked := &agentClient{a.home, agentTime}
	about, err := asked.about()
	if err != nil {
		return nil, err
	}
	// The key may be gone from this machine, but not another.
	if file, err := os.ReadFile(a.home.KeyFile()); err == nil && keySum(file) != about.File {
		return nil, fmt.Errorf("it serves another key than that in %s", a.home.KeyFile())
	}
	var sign crypto.Signer
	if about.Verifier != "" {
		name, public, err := roster.VerifierPublic(about.Verifier)
		if err != nil || name != about.Name {
			return nil, fmt.Errorf("its signing key: %w", errAgent)
		}
		sign = &agentSigner{asked, public}
	}
	var read roster.Reader
	if about.Recipient != "" {
		to, err := seal.ParseRecipient(about.Recipient)
		if err != nil {
			return nil, fmt.Errorf("its recipient: %w", errAgent)
		}
		read = &agentReader{asked, to}
	}
	key, err := roster.MemberKeyFrom(about.Name, sign, read)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAgent, err)
	}
	return key, nil
}

// stopAgent ends the agent and waits until it has.
func (a *app) stopAgent() error {
	err := (&agentClient{a.home, agentTime}).ask(func(c agent.ExtendedAgent) error { return c.RemoveAll() })
	if errors.Is(err, errNoAgent) {
		a.say("No agent runs.\n")
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, agentTime)
	defer cancel()
	for {
		lock, err := a.lockAgent()
		if err == nil {
			a.say("The agent has ended: the key is no longer in memory.\n")
			return lock.Close()
		}
		if !errors.Is(err, errAgentRuns) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it was told to end, and still runs: %w", errAgent)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// An agentClient asks the agent of a folder. Each request is a connection of its
// own, so that nothing need be closed.
type agentClient struct {
	home   desk.Home
	within time.Duration // what an answer may take
}

// ask makes a request.
func (c *agentClient) ask(request func(agent.ExtendedAgent) error) error {
	at, err := openAgent(c.home)
	if err != nil {
		return errNoAgent // a folder that is not there has no agent
	}
	defer at.Close()
	conn, err := net.DialUnix("unix", nil, at.address())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return errNoAgent
	}
	if err != nil {
		return fmt.Errorf("asking the agent: %w", err)
	}
	defer conn.Close()
	if uid, err := peerUID(conn); err != nil || uid != os.Getuid() {
		return fmt.Errorf("another user's program answers in the agent's place: %w", errors.Join(errAgent, err))
	}
	conn.SetDeadline(time.Now().Add(c.within))
	// Not as an io.Closer, for which the client would read on its own.
	if err := request(agent.NewClient(struct{ io.ReadWriter }{conn})); err != nil {
		return fmt.Errorf("%w: %w", errAgent, err)
	}
	return nil
}

func (c *agentClient) about() (about agentAbout, err error) {
	return about, c.extension(aboutRequest, nil, &about)
}

func (c *agentClient) extension(request string, content []byte, answer any) error {
	return c.ask(func(a agent.ExtendedAgent) error {
		data, err := a.Extension(request, content)
		if err != nil {
			return err
		}
		return json.Unmarshal(data, answer)
	})
}

// An agentSigner is the half that signs.
type agentSigner struct {
	*agentClient
	public ed25519.PublicKey
}

var _ crypto.Signer = (*agentSigner)(nil)

func (s *agentSigner) Public() crypto.PublicKey { return s.public }

// Sign signs a message, which must not be hashed.
func (s *agentSigner) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) (signature []byte, err error) {
	if opts.HashFunc() != crypto.Hash(0) {
		return nil, errors.New("the agent signs messages, not hashes")
	}
	public, err := ssh.NewPublicKey(s.public)
	if err != nil {
		return nil, err
	}
	err = s.ask(func(a agent.ExtendedAgent) error {
		signed, err := a.Sign(public, message)
		if err != nil {
			return err
		}
		if !ed25519.Verify(s.public, message, signed.Blob) {
			return errors.New("its signature is none")
		}
		signature = signed.Blob
		return nil
	})
	return signature, s.ended(err)
}

// An agentReader is the half that reads.
type agentReader struct {
	*agentClient
	to *seal.Recipient
}

var _ roster.Reader = (*agentReader)(nil)

func (r *agentReader) Recipient() *seal.Recipient { return r.to }

// Unwrap has the agent open a file's key.
func (r *agentReader) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	request, err := json.Marshal(stanzas)
	if err != nil {
		return nil, err
	}
	var answer agentUnwrapped
	if err := r.extension(unwrapRequest, request, &answer); err != nil {
		return nil, r.ended(err)
	}
	const fileKey = 16 // bytes, age-encryption.org/v1
	switch {
	case answer.NotForYou:
		return nil, age.ErrIncorrectIdentity
	case answer.Error != "":
		return nil, fmt.Errorf("%w: %.200s", seal.ErrDamaged, answer.Error)
	case len(answer.FileKey) != fileKey:
		return nil, fmt.Errorf("it gave no file key: %w", errAgent)
	}
	return answer.FileKey, nil
}

// ended says what it means that the agent is gone in the middle of a command.
func (*agentClient) ended(err error) error {
	if errors.Is(err, errNoAgent) {
		return fmt.Errorf("the agent has ended meanwhile: %w", errNoAgent)
	}
	return err
}

// An agentPlace is a folder with an agent's socket.
type agentPlace struct{ *os.File }

func openAgent(home desk.Home) (agentPlace, error) {
	f, err := os.Open(string(home))
	return agentPlace{f}, err
}

// address is the socket's. A path that is longer than a socket's may be is
// given through the open folder.
func (p agentPlace) address() *net.UnixAddr {
	const maxPath = 100 // 108 on Linux, 104 elsewhere, with a zero
	name := filepath.Join(p.Name(), agentSocket)
	if len(name) > maxPath {
		name = fmt.Sprintf("/proc/self/fd/%d/%s", p.Fd(), agentSocket)
	}
	return &net.UnixAddr{Name: name, Net: "unix"}
}
