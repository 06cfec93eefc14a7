package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// acmeName is the folder of what the authority gave: certificates, their keys, and
// the key of our account. It is in no backup, since all of it is got anew.
const acmeName = "acme"

// Between tries of what failed: Let's Encrypt allows five in an hour.
const (
	acmeRetry     = 15 * time.Minute
	acmeRetryMost = 6 * time.Hour
)

// acmeCertificates are got and renewed by ACME, with the challenge that comes over
// TLS itself (RFC 8737): there need be no other port. They are got when the server
// starts, and not when somebody comes, as autocert would: no visitor waits, and none
// can have the authority asked.
type acmeCertificates struct {
	manager *autocert.Manager
	names   map[string]*acmeCertificate // fixed
	words   *acmeWords
}

// An acmeCertificate is that for one name.
type acmeCertificate struct {
	shown atomic.Pointer[tls.Certificate]

	mu     sync.Mutex
	status certificateStatus // guarded by mu
	due    time.Time         // when it was first seen that it was not renewed; zero if it was
	warned string            // the day on which the log was last told
}

func (f *folder) newACME() (*acmeCertificates, error) {
	c := f.config.TLS
	config, err := clientTLS("", f.besides(c.ACMECAFile)) // of whatever host the directory names
	if err != nil {
		return nil, err
	}
	words := &acmeWords{RoundTripper: &http.Transport{DialContext: newDialer().DialContext, TLSClientConfig: config, IdleConnTimeout: time.Minute}}
	a := &acmeCertificates{
		words: words,
		manager: &autocert.Manager{
			Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(f.file(acmeName)), HostPolicy: autocert.HostWhitelist(c.ACME...), Email: c.ACMEEmail,
			Client: &acme.Client{
				DirectoryURL: c.directory(),
				HTTPClient:   &http.Client{Timeout: time.Minute, Transport: words},
			},
		},
		names: make(map[string]*acmeCertificate),
	}
	for _, name := range c.ACME {
		a.names[name] = &acmeCertificate{status: certificateStatus{Name: name}}
	}
	return a, nil
}

func (a *acmeCertificates) show(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c, ok := a.names[strings.ToLower(hello.ServerName)]
	if !ok {
		return nil, nil
	}
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto {
		return a.manager.GetCertificate(hello) // the authority, who looks whether this is us
	}
	return c.shown.Load(), nil
}

func (a *acmeCertificates) keep(ctx context.Context, log *slog.Logger) {
	var all sync.WaitGroup
	for name, c := range a.names {
		all.Go(func() { a.keepOne(ctx, log, name, c) })
	}
	all.Wait()
}

// keepOne gets a certificate, and has what is shown follow when it is renewed.
func (a *acmeCertificates) keepOne(ctx context.Context, log *slog.Logger, name string, c *acmeCertificate) {
	// Autocert would take somebody who speaks nothing older than TLS 1.3 for one
	// who knows RSA only, and get that certificate too.
	hello := &tls.ClientHelloInfo{ServerName: name, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
	for wait := acmeRetry; ; {
		next := certificateEvery
		cert, err := a.manager.GetCertificate(hello)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.failed(err, time.Now())
			log.Error("no certificate was got: see that the name leads to this machine, and its port 443 here", "name", name, "again in", wait.String(), "error", err)
			next, wait = wait, min(2*wait, acmeRetryMost)
		} else {
			wait = acmeRetry
			c.got(cert, log, a.words.last(), time.Now())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
	}
}

func (c *acmeCertificate) failed(err error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status.Failing == "" {
		c.status.Failing = now.UTC().Format(time.DateOnly)
	}
	c.status.Why = err.Error()
}

// got takes up a certificate, and says once a day if it should have been renewed:
// autocert tells nobody that it failed, and tries again.
func (c *acmeCertificate) got(cert *tls.Certificate, log *slog.Logger, why string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := cert.Leaf.NotAfter.UTC().Format(time.DateOnly)
	if before := c.shown.Swap(cert); before == nil || !before.Leaf.Equal(cert.Leaf) {
		log.Info("certificate", "name", c.status.Name, "until", until)
		c.due = time.Time{}
	}
	c.status.Until = until
	if renewalMissed(cert.Leaf, now) && c.due.IsZero() {
		c.due = now
	}
	if tried := !c.due.IsZero() && now.Sub(c.due) >= acmeRetry; !tried && !soonExpired(cert.Leaf, now) {
		c.status.Failing, c.status.Why = "", ""
		return
	}
	today := now.UTC().Format(time.DateOnly)
	if c.status.Failing == "" {
		c.status.Failing = today
	}
	if c.status.Why = why; today != c.warned {
		log.Error("a certificate is due to be renewed, and the authority gives no new one", "name", c.status.Name, "until", until, "why", why)
		c.warned = today
	}
}

func (a *acmeCertificates) told() (all []certificateStatus) {
	for _, name := range slices.Sorted(maps.Keys(a.names)) {
		c := a.names[name]
		c.mu.Lock()
		all = append(all, c.status)
		c.mu.Unlock()
	}
	return all
}

// renewalMissed reports whether autocert should have renewed a certificate: when a
// third of its life is left, 30 days at most, or up to an hour later.
func renewalMissed(leaf *x509.Certificate, now time.Time) bool {
	left := min(leaf.NotAfter.Sub(leaf.NotBefore)/3, 30*24*time.Hour)
	return leaf.NotAfter.Sub(now) < left-min(left/10, time.Hour)
}

// acmeWords is what the authority says, of which autocert keeps to itself why it
// renewed nothing.
type acmeWords struct {
	http.RoundTripper
	why atomic.Pointer[string] // the last refusal or failure
}

// maxWords is how much of an answer is read for it, in bytes.
const maxWords = 64 << 10

// RoundTrip implements http.RoundTripper.
func (w *acmeWords) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		w.note(err.Error())
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxWords))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), resp.Body), resp.Body}
	if err != nil {
		return resp, nil // whoever reads on meets it again
	}
	type problem struct {
		Type   string `json:"type"`
		Detail string `json:"detail"`
	}
	var said struct { // RFC 8555, 6.7 and 7.1
		problem
		Error      problem `json:"error"`
		Challenges []struct {
			Error problem `json:"error"`
		} `json:"challenges"`
	}
	if json.Unmarshal(body, &said) != nil {
		return resp, nil
	}
	all := []problem{said.problem, said.Error}
	for _, c := range said.Challenges {
		all = append(all, c.Error)
	}
	for _, p := range all {
		if p.Detail != "" && !strings.HasSuffix(p.Type, ":badNonce") { // after which the same is asked again
			w.note(p.Detail)
		}
	}
	return resp, nil
}

func (w *acmeWords) note(why string) {
	const most = 300
	if why = printable(why); len(why) > most {
		why = why[:most] + "…"
	}
	w.why.Store(&why)
}

func (w *acmeWords) last() string {
	if why := w.why.Load(); why != nil {
		return *why
	}
	return "it has said nothing since the server was started"
}
