package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
)

// Sources' pages over TLS, without Tor. What it guarantees:
//
//   - TLS 1.3 only, with Go's choice of key exchange, which is post-quantum.
//   - No session tickets: by one, whoever watches the line could tell that
//     somebody came again.
//   - HTTP/1.1 only. A page is one request, so HTTP/2 would gain nothing, and its
//     compression of heads makes the length of an answer depend on what was
//     sent before on the connection.
//   - Who asks for another name than the certificate's, or for none, as those do
//     who try all addresses, is shown no certificate, and does not learn what is
//     served here.
//   - Nothing of a connection is logged, neither its address nor why it failed.

// certificates are what there is to show.
type certificates interface {
	// show is the certificate for a hello; nil if there is none.
	show(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// keep sees to it that they stay good, until the context ends.
	keep(context.Context, *slog.Logger)
	// told is what a status says of them.
	told() []certificateStatus
}

// A certificateStatus is how a certificate fares. Why it fails is in the authority's
// words.
type certificateStatus struct {
	Name    string `json:"name"`              // names, for one of files
	Until   string `json:"until"`             // the day of its end; "" if there is none yet
	Failing string `json:"failing,omitempty"` // the day since which none, or no newer one, is got
	Why     string `json:"why,omitempty"`
}

// loadCertificates are those of the settings; nil without [tls]. Those of files
// must be good.
func (f *folder) loadCertificates(now func() time.Time) (certificates, error) {
	c := f.config.TLS
	switch {
	case !c.on():
		return nil, nil
	case c.byACME():
		return f.newACME()
	}
	pair := &filePair{certFile: f.besides(c.CertFile), keyFile: f.besides(c.KeyFile), now: now}
	if err := pair.load(); err != nil {
		return nil, fmt.Errorf("the certificate of [tls]: %w", err)
	}
	return pair, nil
}

// sourcesTLS is how TLS is spoken with sources.
func (f *folder) sourcesTLS(c certificates) *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
		NextProtos: []string{"http/1.1"}, GetCertificate: c.show,
	}
	if f.config.TLS.byACME() {
		config.NextProtos = append(config.NextProtos, acme.ALPNProto) // the authority's challenge
	}
	return config
}

// strictTransport has browsers come by TLS only, for two years. It is said over TLS
// alone, and not of names below ours, about which we know nothing.
const strictTransport = "max-age=63072000"

// strictly adds the header of RFC 6797.
func strictly(pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", strictTransport)
		pages.ServeHTTP(w, r)
	})
}

// certificateEvery is the time between looks at the files of a certificate.
const certificateEvery = 5 * time.Second

// A filePair is a certificate and its key, in files that another program replaces.
type filePair struct {
	certFile, keyFile string
	now               func() time.Time

	used, seen pairSum // of what is in use, and of what was there at the last look
	said       string  // of what is there and not in use
	warned     string  // the day on which it was last said that the one in use ends soon
	current    atomic.Pointer[tls.Certificate]
}

type pairSum [sha256.Size]byte

// read reads the files as they are.
func (p *filePair) read() (cert, key []byte, sum pairSum, err error) {
	if cert, err = readFile(p.certFile); err != nil {
		return nil, nil, sum, err
	}
	info, err := os.Stat(p.keyFile)
	if err != nil {
		return nil, nil, sum, err
	}
	if err := keyClosed(p.keyFile, info); err != nil {
		return nil, nil, sum, err
	}
	if key, err = readFile(p.keyFile); err != nil {
		return nil, nil, sum, err
	}
	return cert, key, sha256.Sum256(append(append([]byte(nil), cert...), key...)), nil
}

// keyClosed refuses a key that others can read. Its group may: systemd gives
// credentials to a service by it, and Debian keys to programs.
func keyClosed(file string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o027 != 0 {
		return fmt.Errorf("others can read or change %s (mode %04o): run chmod g-wx,o= %s", file, mode, file)
	}
	return nil
}

// load takes up the files, if they are good.
func (p *filePair) load() error {
	cert, key, sum, err := p.read()
	if err != nil {
		return err
	}
	return p.take(cert, key, sum)
}

func (p *filePair) take(certPEM, keyPEM []byte, sum pairSum) error {
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("%s and %s do not go together, or are no PEM: %s: get both anew, from the same request",
			p.certFile, p.keyFile, strings.TrimPrefix(err.Error(), "tls: "))
	}
	if err := fitToShow(&cert, p.now()); err != nil {
		return fmt.Errorf("%s: %w", p.certFile, err)
	}
	p.used = sum
	p.current.Store(&cert)
	return nil
}

// fitToShow refuses a certificate that no browser would take.
func fitToShow(cert *tls.Certificate, now time.Time) error {
	leaf := cert.Leaf
	const day = time.DateOnly
	switch {
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		return errors.New("it names no host: get one for the name under which sources come")
	case now.After(leaf.NotAfter):
		return fmt.Errorf("it has expired, on %s: renew it (certbot renew), and put the new one there", leaf.NotAfter.UTC().Format(day))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("it is not valid before %s, and it is %s by the clock: set the clock, or wait", leaf.NotBefore.UTC().Format(day), now.UTC().Format(day))
	}
	return nil
}

func (p *filePair) show(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert := p.current.Load()
	if hello.ServerName == "" { // as of a browser that goes to a bare address
		if len(cert.Leaf.IPAddresses) == 0 {
			return nil, nil
		}
	} else if cert.Leaf.VerifyHostname(hello.ServerName) != nil {
		return nil, nil
	}
	return cert, nil
}

func (p *filePair) told() []certificateStatus {
	leaf := p.current.Load().Leaf
	return []certificateStatus{{Name: strings.Join(namesOf(leaf), ", "), Until: leaf.NotAfter.UTC().Format(time.DateOnly)}}
}

// namesOf are the names and addresses that a certificate is for.
func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func (p *filePair) keep(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(certificateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.look(log)
			p.warn(log)
		}
	}
}

// warn says once a day that a certificate ends soon and was not replaced.
func (p *filePair) warn(log *slog.Logger) {
	leaf := p.current.Load().Leaf
	if today := p.now().UTC().Format(time.DateOnly); soonExpired(leaf, p.now()) && today != p.warned {
		log.Error("the certificate ends soon, and nobody replaced its file: renew it (certbot renew), and look for why nobody did",
			"file", p.certFile, "until", leaf.NotAfter.UTC().Format(time.DateOnly))
		p.warned = today
	}
}

// look takes up files that were replaced, once they are the same at two looks: one
// is replaced before the other. What is wrong with them is said once.
func (p *filePair) look(log *slog.Logger) {
	cert, key, sum, err := p.read()
	settled := sum == p.seen
	p.seen = sum
	if err == nil {
		if sum == p.used {
			p.said = ""
			return
		}
		if !settled {
			return
		}
		if err = p.take(cert, key, sum); err == nil {
			log.Info("new certificate", "until", p.current.Load().Leaf.NotAfter.UTC().Format(time.DateOnly))
			return
		}
	}
	if err.Error() != p.said {
		log.Error("the new certificate is not taken up, the old one stays in use", "error", err)
		p.said = err.Error()
	}
}

// soonExpired reports whether a certificate should have been renewed: it has three
// weeks left or less, or a quarter of its life if that is shorter.
func soonExpired(leaf *x509.Certificate, now time.Time) bool {
	return leaf.NotAfter.Sub(now) < min(21*24*time.Hour, leaf.NotAfter.Sub(leaf.NotBefore)/4)
}
