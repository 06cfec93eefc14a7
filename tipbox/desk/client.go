package desk

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
)

// ErrUnreachable means that no connection to the desk could be made.
var ErrUnreachable = errors.New("the desk cannot be reached")

// ErrAnswer means that what came is no answer of a desk, or one of a newer desk.
var ErrAnswer = errors.New("not an answer of a desk")

// ClientConfig is what a Client needs. Address, Key and Roster are required.
type ClientConfig struct {
	Address string             // host:port, or unix: and the path of a socket
	Key     *roster.SigningKey // the member's
	Roster  *roster.Roster     // names the server's key

	// Dial connects to Address; a net.Dialer's if nil, or if Address is a socket's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Client calls the desk in a member's name. Errors of the service come back
// as themselves: test with errors.Is.
type Client struct {
	base   string
	http   *http.Client
	latest atomic.Value // string: rosterHeader of the last answer
}

// HasRoster reports whether the roster is the one that the server had in force at
// its last answer, by its own word.
func (c *Client) HasRoster(r *roster.Roster) bool { return c.latest.Load() == rosterMark(r) }

// NewClient makes a client. It does not connect yet.
func NewClient(cfg ClientConfig) (*Client, error) {
	config, err := tlsConfig(cfg.Key, func(peer ed25519.PublicKey) bool { return cfg.Roster.HasServer(peer) })
	if err != nil {
		return nil, err
	}
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 30 * time.Second}).DialContext
	}
	host := cfg.Address
	if path, ok := strings.CutPrefix(cfg.Address, "unix:"); ok {
		host = "desk" // which is not looked up
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 30 * time.Second}).DialContext(ctx, "unix", path)
		}
	}
	return &Client{
		base: "https://" + host + "/v1",
		http: &http.Client{
			Transport: &http.Transport{
				DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					raw, err := dial(ctx, network, address)
					if err != nil {
						return nil, err
					}
					conn := tls.Client(patient{raw}, config)
					if err := conn.HandshakeContext(ctx); err != nil {
						raw.Close()
						return nil, err
					}
					return conn, nil
				},
				ResponseHeaderTimeout: requestTime,
				DisableCompression:    true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// A patient connection gives the server time as long as it says something.
type patient struct{ net.Conn }

func (c patient) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(requestTime)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// What the client reads of an answer at most, in bytes.
const (
	maxRoster = 2 << 20
	maxInbox  = 4 << 20
	maxTip    = 256 << 20
	maxList   = 16 << 20
	maxError  = 64 << 10
)

// Roster returns the signed roster that the server has in force, unverified.
func (c *Client) Roster(ctx context.Context) ([]byte, error) {
	body, err := c.call(ctx, http.MethodGet, "/roster", nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return readAll(body, maxRoster)
}

// Inbox returns a page of the inbox: of at most limit items (0: as many as the
// server gives), after the cursor.
func (c *Client) Inbox(ctx context.Context, filter tipbox.InboxFilter, cursor string, limit int) (*InboxPage, error) {
	query := url.Values{"after": {cursor}}
	for name, value := range map[string]string{"channel": filter.Channel, "state": string(filter.State), "owner": filter.Owner} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, set := range map[string]bool{"over": filter.Over, "due": filter.ByDue} {
		if set {
			query.Set(name, "")
		}
	}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	page := new(InboxPage)
	if err := c.get(ctx, "/inbox?"+query.Encode(), maxInbox, page); err != nil {
		return nil, err
	}
	return page, page.check()
}

// check checks what a tool makes a part of lines that people are to type.
func (p *InboxPage) check() error {
	bad := strings.Trim(p.Next, "0123456789-/abcdefghijklmnopqrstuvwxyz") != ""
	for _, i := range p.Items {
		bad = bad || !tipbox.ValidTipID(i.Tip)
	}
	if bad {
		return fmt.Errorf("the desk's list of tips makes no sense: %w", tipbox.ErrInvalid)
	}
	return nil
}

// Tip returns a tip, unverified: see tipbox.OpenTip.
func (c *Client) Tip(ctx context.Context, tip string) (*tipbox.TipFile, error) {
	file := new(tipbox.TipFile)
	return file, c.get(ctx, "/tips/"+url.PathEscape(tip), maxTip, file)
}

// Attachment returns the sealed bytes of an attachment. Close it.
func (c *Client) Attachment(ctx context.Context, tip, blob string) (io.ReadCloser, error) {
	return c.call(ctx, http.MethodGet, "/tips/"+url.PathEscape(tip)+"/blobs/"+url.PathEscape(blob), nil)
}

// Append adds a signed event and its sealed message to a tip.
func (c *Client) Append(ctx context.Context, tip string, note, sealed []byte) error {
	event, err := json.Marshal(tipbox.SealedEvent{Note: string(note), Sealed: sealed})
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	body, err := c.call(ctx, http.MethodPost, "/tips/"+url.PathEscape(tip)+"/events", event)
	if err != nil {
		return err
	}
	io.Copy(io.Discard, io.LimitReader(body, maxError)) // so that the connection serves again
	return body.Close()
}

// Figures returns the figures of the months from one to another, 2006-01. Validate
// them.
func (c *Client) Figures(ctx context.Context, from, to string) (*tipbox.Figures, error) {
	figures := new(tipbox.Figures)
	return figures, c.get(ctx, "/figures?"+url.Values{"from": {from}, "to": {to}}.Encode(), maxList, figures)
}

// Sample returns what a month's spot check is drawn from. Validate it.
func (c *Client) Sample(ctx context.Context, month string) (*tipbox.Population, error) {
	list := new(tipbox.Population)
	return list, c.get(ctx, "/sample?"+url.Values{"month": {month}}.Encode(), maxList, list)
}

func (c *Client) get(ctx context.Context, path string, max int64, v any) error {
	body, err := c.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	data, err := readAll(body, max)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("the desk's answer is none that this program knows: %w", ErrAnswer)
	}
	return nil
}

func readAll(r io.Reader, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, fmt.Errorf("the desk's answer broke off: %w", err)
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("the desk's answer is over %d bytes", max)
	}
	return data, nil
}

// call makes a request and returns the body of a good answer.
func (c *Client) call(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("the desk's address: %w", err)
	}
	req.Header.Set("User-Agent", "") // says nothing
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, connectionError(err)
	}
	c.latest.Store(resp.Header.Get(rosterHeader))
	if resp.StatusCode/100 == 2 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var e Error // in the words of a server that may lie
	data, err := readAll(resp.Body, maxError)
	if err != nil || json.Unmarshal(data, &e) != nil {
		return nil, fmt.Errorf("the desk answered %d", resp.StatusCode)
	}
	for _, k := range kinds() {
		if e.Code == k.code {
			return nil, &remoteError{e.Message, k.err}
		}
	}
	return nil, &remoteError{"it failed: its operator finds the reason in its log", errInternal}
}

// connectionError tells apart what a person would do something else about.
func connectionError(err error) error {
	var alert tls.AlertError
	var op *net.OpError
	switch {
	case errors.Is(err, ErrPeer):
		return fmt.Errorf("the server is not one that the roster names: %w", ErrPeer)
	case errors.As(err, &alert), errors.As(err, &op) && op.Op == "remote error":
		return fmt.Errorf("the server does not know this key: %w", ErrPeer)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// A remoteError is the server's own sentence with the error that it stands for.
// The sentence is one short line, whatever the server sent.
type remoteError struct {
	message string
	is      error
}

func (e *remoteError) Error() string {
	const most = 200
	line := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, e.message)
	if runes := []rune(line); len(runes) > most {
		line = string(runes[:most]) + "…"
	}
	return "the desk says: " + line
}
func (e *remoteError) Unwrap() error { return e.is }
