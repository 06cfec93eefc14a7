package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"
)

func (e *exam) whichCertificate() string {
	t := e.f.config.TLS
	if !t.on() {
		return "none is used: sources' pages are for tor, or for what terminates TLS before them"
	}
	var all []string
	for _, c := range e.certificates() {
		if c.err == nil {
			all = append(all, fmt.Sprintf("%s until %s", strings.Join(namesOf(c.cert.Leaf), ", "), c.cert.Leaf.NotAfter.UTC().Format(time.DateOnly)))
		}
	}
	return "good for " + strings.Join(all, "; ")
}

// A foundCertificate is one of those that [tls] shows.
type foundCertificate struct {
	name string // for which it is got; "" of one in files
	file string
	cert *tls.Certificate
	err  error
}

// certificates are those of [tls], as they lie on the disk.
func (e *exam) certificates() (all []foundCertificate) {
	t := e.f.config.TLS
	if !t.byACME() {
		p := &filePair{certFile: e.f.besides(t.CertFile), keyFile: e.f.besides(t.KeyFile), now: e.m.now}
		err := p.load()
		return []foundCertificate{{file: p.certFile, cert: p.current.Load(), err: err}}
	}
	for _, name := range t.ACME {
		c := foundCertificate{name: name, file: filepath.Join(e.f.file(acmeName), name)}
		c.cert, c.err = readCached(c.file)
		if c.err == nil {
			c.err = fitToShow(c.cert, e.m.now())
		}
		all = append(all, c)
	}
	return all
}

// readCached reads what autocert keeps in one file: key and certificates.
func readCached(file string) (*tls.Certificate, error) {
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	at := bytes.Index(text, []byte("-----BEGIN CERTIFICATE-----"))
	if at < 0 {
		return nil, errors.New("it holds no certificate")
	}
	cert, err := tls.X509KeyPair(text[at:], text[:at])
	return &cert, err
}

func (e *exam) lookCertificate() {
	t := e.f.config.TLS
	if !t.on() {
		return
	}
	why := make(map[string]string) // the authority's words
	if e.server != nil {
		for _, c := range e.server.Certificates {
			if c.Failing != "" {
				why[c.Name] = "; since " + c.Failing + ": " + c.Why
			}
		}
	}
	renew := "renew it (certbot renew), and look for why nobody did"
	if t.byACME() {
		renew = "see that the name leads to this machine, and its port 443 here; the server's log and tipboxd status say what the authority says"
		if _, port, _ := net.SplitHostPort(t.Listen); port != "443" {
			e.warn("let systemd pass a socket named "+tlsSocket+", or lead port 443 to "+t.Listen, "the authority looks for the server at port 443, and it listens at %s", t.Listen)
		}
	}
	for _, c := range e.certificates() {
		switch {
		case c.name != "" && missing(c.err):
			e.warn("start the server, and look into its log", "there is no certificate for %s yet: sources cannot come by that name%s", c.name, why[c.name])
		case c.err != nil && c.cert != nil && e.m.now().After(c.cert.Leaf.NotAfter):
			e.fail(renew, "%s: %v", c.file, c.err)
		case c.err != nil:
			e.fail("", "%v", c.err)
		case soonExpired(c.cert.Leaf, e.m.now()), c.name != "" && renewalMissed(c.cert.Leaf, e.m.now()):
			days := int(c.cert.Leaf.NotAfter.Sub(e.m.now()).Hours() / 24)
			e.warn(renew, "the certificate for %s should have been renewed, and expires on %s, in %d days: browsers turn sources away then%s",
				strings.Join(namesOf(c.cert.Leaf), ", "), c.cert.Leaf.NotAfter.UTC().Format(time.DateOnly), days, why[c.name])
		case len(c.cert.Certificate) == 1 && !bytes.Equal(c.cert.Leaf.RawIssuer, c.cert.Leaf.RawSubject):
			e.warn("name fullchain.pem in cert_file, not cert.pem", "%s lacks the certificates between it and the authority: many browsers turn sources away", c.file)
		}
	}
}
