package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
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
	names   map[string]*atomic.Pointer[tls.Certificate] // what is shown for each; fixed, but for what is pointed to
}

func (f *folder) newACME() (*acmeCertificates, error) {
	c := f.config.TLS
	config, err := clientTLS("", f.besides(c.ACMECAFile)) // of whatever host the directory names
	if err != nil {
		return nil, err
	}
	a := &acmeCertificates{
		manager: &autocert.Manager{
			Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(f.file(acmeName)), HostPolicy: autocert.HostWhitelist(c.ACME...), Email: c.ACMEEmail,
			Client: &acme.Client{
				DirectoryURL: c.directory(),
				HTTPClient:   &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: newDialer().DialContext, TLSClientConfig: config, IdleConnTimeout: time.Minute}},
			},
		},
		names: make(map[string]*atomic.Pointer[tls.Certificate]),
	}
	for _, name := range c.ACME {
		a.names[name] = new(atomic.Pointer[tls.Certificate])
	}
	return a, nil
}

func (a *acmeCertificates) show(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, ok := a.names[strings.ToLower(hello.ServerName)]
	if !ok {
		return nil, nil
	}
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto {
		return a.manager.GetCertificate(hello) // the authority, who looks whether this is us
	}
	return cert.Load(), nil
}

func (a *acmeCertificates) keep(ctx context.Context, log *slog.Logger) {
	var all sync.WaitGroup
	for name, cert := range a.names {
		all.Go(func() { a.keepOne(ctx, log, name, cert) })
	}
	all.Wait()
}

// keepOne gets a certificate, and has what is shown follow when it is renewed.
func (a *acmeCertificates) keepOne(ctx context.Context, log *slog.Logger, name string, shown *atomic.Pointer[tls.Certificate]) {
	// Autocert would take somebody who speaks nothing older than TLS 1.3 for one
	// who knows RSA only, and get that certificate too.
	hello := &tls.ClientHelloInfo{ServerName: name, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
	warned := ""
	for wait := acmeRetry; ; {
		next := certificateEvery
		cert, err := a.manager.GetCertificate(hello)
		if err != nil && ctx.Err() == nil {
			log.Error("no certificate was got: see that the name leads to this machine, and its port 443 here", "name", name, "again in", wait.String(), "error", err)
			next, wait = wait, min(2*wait, acmeRetryMost)
		}
		if err == nil {
			wait = acmeRetry
			if before := shown.Swap(cert); before == nil || !before.Leaf.Equal(cert.Leaf) {
				log.Info("certificate", "name", name, "until", cert.Leaf.NotAfter.UTC().Format(time.DateOnly))
			}
			now := time.Now()
			if today := now.UTC().Format(time.DateOnly); soonExpired(cert.Leaf, now) && today != warned {
				log.Error("a certificate ends soon, and the authority gives no new one", "name", name, "until", cert.Leaf.NotAfter.UTC().Format(time.DateOnly))
				warned = today
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
	}
}
