//go:build amd64 || arm64

package cmd_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

const tlsHost = "tips.example.org"

// addTLS adds the section [tls] to the server's settings, and has it refuse to serve
// if it cannot be confined; without root it may not lock its memory, and says so.
func (o *office) addTLS(t *testing.T, settings string) (address string) {
	t.Helper()
	address = testAddress(t)
	f, err := os.OpenFile(filepath.Join(o.dir, "tipbox.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "\n[tls]\nlisten = %q\n%s", address, settings); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		o.flags = []string{"--require-confinement"}
	}
	return address
}

// newSecureSource is a source who comes over TLS, and trusts the authority.
func newSecureSource(address string, trusted *x509.CertPool) *source {
	s := newSource(address)
	s.base = "https://" + tlsHost
	dial := s.client.Transport.(*http.Transport).DialContext
	s.client.Transport = &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: trusted},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dial(ctx, network, address)
		},
	}
	return s
}

// shown is the certificate that a server shows; nil if it shows none.
func shown(address, name string) *x509.Certificate {
	conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return nil
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// says waits until the server has said a text so many times.
func (s *serving) says(t *testing.T, text string, times int) {
	t.Helper()
	for range 600 {
		if bytes.Count(s.output.Bytes(), []byte(text)) >= times {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("the server does not say %q %d times:\n%s", text, times, s.output.Bytes())
}

// An authority gives certificates by ACME on loopback. It believes that every name
// is of this machine, and tries the port of the server under test.
type authority struct {
	directory string
	own       []byte // PEM of its own certificate
	roots     *x509.CertPool
	orders    *countingHandler
}

// newAuthority starts Pebble, whose certificates live for so long.
func newAuthority(t *testing.T, port int, life time.Duration) *authority {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	resolver := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, ask *dns.Msg) {
		answer := new(dns.Msg).SetReply(ask)
		if q := ask.Question[0]; q.Qtype == dns.TypeA {
			answer.Answer = append(answer.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1),
			})
		}
		w.WriteMsg(answer)
	})}
	go resolver.ActivateAndServe()
	t.Cleanup(func() { resolver.Shutdown() })

	quiet, store := log.New(io.Discard, "", 0), db.NewMemoryStore()
	authorities := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(life.Seconds())}})
	front := wfe.New(quiet, store, va.New(quiet, 0, port, true, l.Addr().String(), store), authorities, nil, true, false, 0, 1)
	a := &authority{orders: &countingHandler{Handler: front.Handler(), path: "/order-plz"}, roots: x509.NewCertPool()}
	a.roots.AddCert(authorities.GetRootCert(0).Cert)
	server := httptest.NewUnstartedServer(a.orders)
	var key []byte
	a.own, key = selfSigned(t, "localhost") // by name, so that it is looked up
	pair, err := tls.X509KeyPair(a.own, key)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(func() { server.Config.Close() }) // which waits for nobody
	_, ownPort, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a.directory = "https://localhost:" + ownPort + wfe.DirectoryPath
	return a
}

// selfSigned makes a certificate and its key.
func selfSigned(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 3, 0),
		DNSNames: []string{name}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// TestConfinedServerGetsAndRenewsItsCertificate has a real authority's software look
// whether the name is the server's, and the server get the certificate, keep it in
// its folder, and get the next, from where it can reach nothing else. Nobody who
// comes can have it ask for more.
func TestConfinedServerGetsAndRenewsItsCertificate(t *testing.T) {
	t.Parallel()
	o := newOffice(t, filepath.Join(t.TempDir(), "server"), 1)
	address := o.addTLS(t, "")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	const life = 24 * time.Second
	a := newAuthority(t, number, life)
	toml := filepath.Join(o.dir, "tipbox.toml")
	settings, err := os.ReadFile(toml)
	if err != nil {
		t.Fatal(err)
	}
	settings = fmt.Appendf(settings, "acme = [%q]\nacme_email = \"desk@example.org\"\nacme_directory = %q\nacme_ca_file = \"ca.pem\"\n", tlsHost, a.directory)
	for file, text := range map[string][]byte{toml: settings, filepath.Join(o.dir, "ca.pem"): a.own} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := o.serve(t)
	server.says(t, "msg=certificate name="+tlsHost, 1)

	visitor := newSecureSource(address, a.roots)
	if _, err := visitor.get("/"); err != nil {
		t.Fatal(err)
	}
	first := shown(address, tlsHost)
	if first == nil || first.PublicKeyAlgorithm != x509.ECDSA {
		t.Fatalf("%+v", first)
	}
	for _, name := range []string{"", "other.example.org", "localhost"} {
		if cert := shown(address, name); cert != nil {
			t.Errorf("who asks for %q is shown the certificate of %q", name, cert.DNSNames)
		}
	}
	// On a busy machine the next of its own may be under way.
	if n, said := a.orders.count.Load(), bytes.Count(server.output.Bytes(), []byte("msg=certificate name="+tlsHost)); int(n) > said+1 {
		t.Errorf("%d certificates were ordered, and %d are there", n, said)
	}
	err = filepath.WalkDir(filepath.Join(o.dir, "acme"), func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others can read %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	server.says(t, "msg=certificate name="+tlsHost, 2)
	if second := shown(address, tlsHost); second == nil || second.SerialNumber.Cmp(first.SerialNumber) == 0 {
		t.Error("the certificate was not renewed")
	}
	if _, err := visitor.get("/"); err != nil {
		t.Errorf("after it was renewed: %v", err)
	}
	last := shown(address, tlsHost)
	server.stop(t)
	// On a busy machine the next may come late, which is said.
	log := string(server.output.Bytes())
	if strings.Count(log, "level=ERROR") > strings.Count(log, "gives no new one") || strings.Contains(log, sourceAddress) || strings.Contains(log, "other.example.org") {
		t.Errorf("the log:\n%s", log)
	}
	// What it got is there at the next start, also if the authority is not.
	server = o.serve(t)
	server.says(t, "msg=certificate name="+tlsHost, 1)
	if again := shown(address, tlsHost); again == nil || last == nil || again.SerialNumber.Cmp(last.SerialNumber) != 0 && time.Until(last.NotAfter) > life/2 {
		t.Errorf("a start orders a certificate that is there")
	}
	server.stop(t)
}

// TestConfinedServerTakesUpTheCertificateThatCertbotReplaced has files outside of the
// folder as certbot keeps them: links to files with numbers.
func TestConfinedServerTakesUpTheCertificateThatCertbotReplaced(t *testing.T) {
	t.Parallel()
	kept := t.TempDir()
	live, archive := filepath.Join(kept, "live", tlsHost), filepath.Join(kept, "archive", tlsHost)
	roots := x509.NewCertPool()
	for _, dir := range []string{live, archive} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	renew := func(number int) {
		t.Helper()
		cert, key := selfSigned(t, tlsHost)
		roots.AppendCertsFromPEM(cert)
		for name, text := range map[string][]byte{"fullchain": cert, "privkey": key} {
			file := fmt.Sprintf("%s%d.pem", name, number)
			if err := os.WriteFile(filepath.Join(archive, file), text, 0o600); err != nil {
				t.Fatal(err)
			}
			link := filepath.Join(live, name+".pem")
			if err := os.Symlink(filepath.Join("..", "..", "archive", tlsHost, file), link+".new"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(link+".new", link); err != nil {
				t.Fatal(err)
			}
		}
	}
	renew(1)
	o := newOffice(t, filepath.Join(t.TempDir(), "server"), 1)
	address := o.addTLS(t, fmt.Sprintf("cert_file = %q\nkey_file = %q\n", live+"/fullchain.pem", live+"/privkey.pem"))
	server := o.serve(t)
	visitor := newSecureSource(address, roots)
	if _, err := visitor.get("/tip"); err != nil {
		t.Fatal(err)
	}
	first := shown(address, tlsHost)
	renew(2)
	server.says(t, "msg=\"new certificate\"", 1)
	if second := shown(address, tlsHost); first == nil || second == nil || second.SerialNumber.Cmp(first.SerialNumber) == 0 {
		t.Error("another certificate is shown")
	}
	if _, err := visitor.get("/tip"); err != nil {
		t.Error(err)
	}
	server.stop(t)
	if log := string(server.output.Bytes()); strings.Contains(log, "level=ERROR") || strings.Contains(log, sourceAddress) {
		t.Errorf("the log:\n%s", log)
	}
}

// TestPassedSocketTakesThePlaceOfThatOfTLS has a server that may not listen at port 443
// itself.
func TestPassedSocketTakesThePlaceOfThatOfTLS(t *testing.T) {
	t.Parallel()
	o := newOffice(t, filepath.Join(t.TempDir(), "server"), 1)
	cert, key := selfSigned(t, tlsHost)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	for name, text := range map[string][]byte{"fullchain.pem": cert, "privkey.pem": key} {
		if err := os.WriteFile(filepath.Join(o.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	manager := newSystemd(t, filepath.Join(t.TempDir(), "notify"))
	passed := testAddress(t)
	server := manager.start(t, o, listenFor(t, "tls", "tcp", passed))
	<-server.ended
	if server.err == nil || !bytes.Contains(server.output.Bytes(), []byte("has no [tls]")) {
		t.Errorf("without [tls]: %v: %s", server.err, server.output.Bytes())
	}
	address := o.addTLS(t, "cert_file = \"fullchain.pem\"\nkey_file = \"privkey.pem\"\n")
	server = manager.start(t, o, listenFor(t, "tls", "tcp", testAddress(t)))
	server.says(t, "serving over TLS", 1)
	_, rest, _ := strings.Cut(string(server.output.Bytes()), `"serving over TLS" sources=`)
	if got := strings.Fields(rest)[0]; got == address {
		t.Errorf("it listens at %s all the same", got)
	} else if _, err := newSecureSource(got, roots).get("/"); err != nil {
		t.Error(err)
	}
	server.stop(t)
}

// countingHandler counts the requests for a path.
type countingHandler struct {
	http.Handler
	path  string
	count atomic.Int64
}

func (h *countingHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == h.path {
		h.count.Add(1)
	}
	h.Handler.ServeHTTP(w, r)
}
