package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// A localTor is the tor on this machine, as the operator's commands meet it. The
// server itself knows of none: tor comes to it.
type localTor struct {
	Socks   string `help:"Tor's SOCKS port." default:"${socks}" placeholder:"HOST:PORT"`
	Control string `help:"Tor's control socket, which tells how far tor is; it need not be there." default:"${control}" placeholder:"PATH"`
}

// defaultTor is as tor makes itself, and Debian.
var defaultTor = localTor{Socks: "127.0.0.1:9050", Control: "/run/tor/control"}

// A torError says what is wrong between here and an onion service.
type torError struct {
	says  string
	do    string // the next thing to type
	again bool   // it may be other in a moment
}

func (e *torError) Error() string {
	if e.do == "" {
		return e.says
	}
	return e.says + ": " + e.do
}

const torLog = "tor's log says more: journalctl -u tor@default"

// greet finds out whether a SOCKS proxy answers at the port (RFC 1928). It asks for
// no connection.
func (t localTor) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.Socks)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return &torError{says: "no tor answers at " + t.Socks, do: "systemctl start tor, or name its SOCKS port with --socks (SocksPort in torrc; 0 is none)"}
	}
	if err != nil {
		return &torError{says: fmt.Sprintf("no tor answers at %s (%v)", t.Socks, err), do: "name its SOCKS port with --socks"}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	answer := make([]byte, 2)
	_, err = conn.Write([]byte{5, 1, 0})
	if err == nil {
		_, err = io.ReadFull(conn, answer)
	}
	if err != nil || answer[0] != 5 || answer[1] != 0 {
		return &torError{says: "what answers at " + t.Socks + " is no SOCKS proxy", do: "name tor's SOCKS port with --socks"}
	}
	return nil
}

// get gets a page of an onion service, whose name goes to tor and to nobody else. Each
// time takes a new circuit: tor keeps those of other users of the proxy apart.
func (t localTor) get(ctx context.Context, page string) (*http.Response, []byte, error) {
	transport := &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: "socks5h", User: url.UserPassword(rand.Text(), "x"), Host: t.Socks}),
		DisableKeepAlives: true,
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, explainSocks(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return nil, nil, explainSocks(err)
	}
	return resp, body, nil
}

// socksReplies are what tor says of an onion service that it does not reach, in the
// words of the package net/http. Those with a number are tor's own, which it
// gives if the port has the flag ExtendedErrors (socks-extensions.txt).
var socksReplies = map[string]torError{
	"general SOCKS server failure": {
		"tor did not get through, and does not say why; so it is also if tor may not connect to the server's socket, or there is none", "tipboxd doctor; " + torLog, true},
	"connection not allowed by ruleset": {
		"tor refuses", "allow it in SocksPolicy, and OnionTrafficOnly or NoOnionTraffic of SocksPort, in torrc", false},
	"network unreachable": {"tor has no way into its network", torLog, true},
	"host unreachable": {
		"tor does not find the onion service: its descriptor is not up yet, or tor does not run it", "look whether its HiddenServiceDir is in torrc, and systemctl reload tor", true},
	"connection refused": {
		"the onion service is up, and nothing answers behind it",
		"look whether HiddenServicePort 80 in torrc names the server's listen, and whether tor's user may connect: tipboxd doctor", false},
	"TTL expired": {"tor ran out of time: it is not connected yet, or the onion service is not up", torLog, true},

	"unknown code: 240": {"the onion service's descriptor is not up yet", torLog, true},
	"unknown code: 241": {"the onion service's descriptor is not valid: tor's clock may be wrong, here or there", "timedatectl", false},
	"unknown code: 242": {"none of the onion service's introduction points answers", torLog, true},
	"unknown code: 243": {"no rendezvous with the onion service was had", torLog, true},
	"unknown code: 244": {
		"the onion service asks for client authorization, which sources have not", "take the files out of authorized_clients in its HiddenServiceDir, and systemctl reload tor; or was the desk's address given?", false},
	"unknown code: 245": {"tor has a key for the onion service's client authorization, which is a wrong one", "take it out of tor's ClientOnionAuthDir", false},
	"unknown code: 246": {"tor takes the address for none", "compare it with tor's hostname file", false},
	"unknown code: 247": {"the onion service's introduction points did not answer in time", torLog, true},
}

// explainSocks says what an error of a request through tor means.
func explainSocks(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &torError{"nothing came through tor in time", torLog, true}
	}
	for words, e := range socksReplies {
		if strings.HasSuffix(err.Error(), words) && strings.Contains(err.Error(), "socks connect") {
			return &e
		}
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return &torError{"tor is gone", "systemctl start tor", true}
	}
	return &torError{fmt.Sprintf("nothing came through tor (%v)", err), torLog, true}
}

// reaches finds out whether an onion service leads to the server that knows the probe's
// answer. The error is a *torError, or the context's.
func (t localTor) reaches(ctx context.Context, address string, p probe) error {
	resp, body, err := t.get(ctx, "http://"+address+"/healthz?probe="+url.QueryEscape(p.Question))
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(body)) == p.Answer {
		return nil
	}
	return &torError{says: fmt.Sprintf("somebody else answers at %s, and not this server (status %d)", address, resp.StatusCode),
		do: "look where HiddenServicePort 80 leads in torrc; if a proxy stands between, let it hand on /healthz with its query"}
}
