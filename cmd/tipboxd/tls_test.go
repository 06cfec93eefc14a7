package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
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

	"tipbox/tipbox/tipboxtest"
)

// A made is a certificate that a test makes, for itself to sign.
type made struct {
	names         []string
	ips           []net.IP
	since, until  time.Time
	cert, key     []byte // PEM
	intermediated bool   // it is signed by another, who is not with it
}

// make makes one that is good for 90 days if nothing else is said.
func (m made) make(t *testing.T) made {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if m.until.IsZero() {
		m.until = time.Now().AddDate(0, 0, 80)
	}
	if m.since.IsZero() {
		m.since = m.until.AddDate(0, 0, -90)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "sources"}, NotBefore: m.since, NotAfter: m.until,
		DNSNames: m.names, IPAddresses: m.ips, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: true,
	}
	parent := leaf
	if m.intermediated {
		parent = &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "intermediate"}}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, parent, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	m.cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	m.key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return m
}

const sourcesHost = "tips.example.org"

func goodPair(t *testing.T) made {
	t.Helper()
	return made{names: []string{sourcesHost}}.make(t)
}

// put puts a pair into a folder.
func (m made) put(t *testing.T, dir string) {
	t.Helper()
	write(t, dir, "fullchain.pem", string(m.cert))
	write(t, dir, "privkey.pem", string(m.key))
}

// pairIn is the pair of a folder.
func pairIn(dir string) *filePair {
	return &filePair{certFile: filepath.Join(dir, "fullchain.pem"), keyFile: filepath.Join(dir, "privkey.pem"), now: time.Now}
}

// TestInitSaysHowTLSIsSetUp reads the example that init writes as if it were meant, in
// both ways.
func TestInitSaysHowTLSIsSetUp(t *testing.T) {
	f := newFolder(t, "")
	if err := f.readConfig(); err != nil || f.config.TLS.on() {
		t.Fatalf("%v: %+v", err, f.config.TLS)
	}
	text, err := os.ReadFile(f.file(configName))
	if err != nil {
		t.Fatal(err)
	}
	before, example, ok := strings.Cut(string(text), "# [tls]\n")
	if !ok {
		t.Fatalf("no example in %s", text)
	}
	for way, leaveOut := range map[string][]string{"files": {"acme"}, "acme": {"cert_file", "key_file"}} {
		meant := "[tls]\n"
		for line := range strings.Lines(example) {
			line = strings.TrimPrefix(line, "# ")
			if strings.HasPrefix(line, leaveOut[0]) || strings.HasPrefix(line, leaveOut[len(leaveOut)-1]) {
				continue
			}
			meant += line
		}
		write(t, f.path, configName, before+"\n"+meant)
		if err := f.readConfig(); err != nil {
			t.Errorf("%s: %v", way, err)
		}
		if c := f.config.TLS; c.Listen != "0.0.0.0:443" || c.byACME() != (way == "acme") || (c.CertFile == "fullchain.pem") != (way == "files") {
			t.Errorf("%s: %+v", way, c)
		}
	}
}

func TestTLSSettingsAreChecked(t *testing.T) {
	const (
		listen = "listen = \"0.0.0.0:443\"\n"
		files  = "cert_file = \"fullchain.pem\"\nkey_file = \"privkey.pem\"\n"
		acme   = "acme = [\"tips.example.org\"]\n"
	)
	f := newFolder(t, "")
	text, err := os.ReadFile(f.file(configName))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ section, says string }{
		{listen + files, ""},
		{listen + acme, ""},
		{listen + acme + "acme_email = \"a@example.org\"\nacme_directory = \"https://localhost:14000/dir\"\nacme_ca_file = \"ca.pem\"\n", ""},
		{"listen = \"[::]:443\"\ncert_file = \"/run/credentials/tipboxd.service/cert\"\nkey_file = \"/run/credentials/tipboxd.service/key\"\n", ""},
		{"", ""},
		{files, "listen: it is missing"},
		{acme, "listen: it is missing"},
		{"listen = \"443\"\n" + files, "is no host:port"},
		{"listen = \"0.0.0.0:https\"\n" + files, "is no host:port"},
		{listen, "there must be both, or acme"},
		{listen + "cert_file = \"fullchain.pem\"\n", "there must be both, or acme"},
		{listen + files + acme, "leave one of both ways out"},
		{listen + files + "acme_email = \"a@example.org\"\n", "there is no name"},
		{listen + "cert_file = \"/etc/tips.pem\"\nkey_file = \"privkey.pem\"\n", "into a folder of its own"},
		{listen + "cert_file = \"fullchain.pem\"\nkey_file = \"/privkey.pem\"\n", "into a folder of its own"},
		{listen + "acme = [\"*.example.org\"]\n", "is no name such as"},
		{listen + "acme = [\"tips\"]\n", "is no name such as"},
		{listen + "acme = [\"Tips.example.org\"]\n", "is no name such as"},
		{listen + "acme = [\"tips.example.org:443\"]\n", "is no name such as"},
		{listen + "acme = [\"192.0.2.1\"]\n", "is no name such as"},
		{listen + "acme = [\"a..b\"]\n", "is no name such as"},
		{listen + "acme = [\"x.onion\"]\n", "needs no certificate"},
		{listen + "acme = [\"a.example.org\", \"a.example.org\"]\n", "is there twice"},
		{listen + "acme = [\"" + strings.Repeat("a.example.org\", \"", 11) + "b.example.org\"]\n", "more than 10 names"},
		{listen + acme + "acme_email = \"nobody\"\n", "acme_email"},
		{listen + acme + "acme_directory = \"http://ca.example.org/\"\n", "acme_directory"},
		{listen + acme + "acme_key = \"x\"\n", "no such setting"},
	} {
		write(t, f.path, configName, string(text)+"\n[tls]\n"+test.section)
		err := f.readConfig()
		if (err == nil) != (test.says == "") || err != nil && (!strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), configName)) {
			t.Errorf("%q: %v, want %q", test.section, err, test.says)
		}
	}
}

// handshake speaks TLS with a server of the pair.
func handshake(t *testing.T, pair *filePair, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	near.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		defer far.Close()
		conn := tls.Server(far, new(folder).sourcesTLS(pair))
		io.Copy(io.Discard, conn)
	}()
	client.InsecureSkipVerify = true // the certificate is looked at by itself
	conn := tls.Client(near, client)
	if err := conn.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	return conn.ConnectionState(), nil
}

func TestTLSOfSourcesIsOfTheNewestKindOnly(t *testing.T) {
	dir := t.TempDir()
	goodPair(t).put(t, dir)
	pair := pairIn(dir)
	if err := pair.load(); err != nil {
		t.Fatal(err)
	}
	state, err := handshake(t, pair, &tls.Config{ServerName: sourcesHost, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil || state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("%v: version %x, key exchange %v, protocol %q", err, state.Version, state.CurveID, state.NegotiatedProtocol)
	}
	if _, err := handshake(t, pair, &tls.Config{ServerName: sourcesHost, MaxVersion: tls.VersionTLS12}); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.2: %v", err)
	}
	if _, err := handshake(t, pair, &tls.Config{ServerName: sourcesHost, NextProtos: []string{"h2"}}); err == nil {
		t.Error("HTTP/2 is spoken")
	}
	if _, err := handshake(t, pair, &tls.Config{ServerName: sourcesHost, NextProtos: []string{"acme-tls/1"}}); err == nil {
		t.Error("a challenge is answered without [tls] acme")
	}
}

func TestACertificateIsShownToWhoAsksForItsNameOnly(t *testing.T) {
	dir := t.TempDir()
	made{names: []string{sourcesHost, "*.tips.example.org"}}.make(t).put(t, dir)
	named := pairIn(dir)
	other := t.TempDir()
	made{ips: []net.IP{net.IPv4(192, 0, 2, 1)}}.make(t).put(t, other)
	addressed := pairIn(other)
	for _, p := range []*filePair{named, addressed} {
		if err := p.load(); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		pair  *filePair
		name  string
		shown bool
	}{
		{named, sourcesHost, true}, {named, "TIPS.example.org", true}, {named, "a.tips.example.org", true},
		{named, "", false}, {named, "example.org", false}, {named, "other.example.org", false}, {named, "localhost", false},
		{addressed, "", true}, {addressed, sourcesHost, false},
	} {
		_, err := handshake(t, test.pair, &tls.Config{ServerName: test.name})
		if (err == nil) != test.shown || err != nil && !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("asked for %q: %v", test.name, err)
		}
	}
}

func TestBadCertificatesAreRefusedAtTheStart(t *testing.T) {
	good, now := goodPair(t), time.Now()
	for _, test := range []struct {
		name, says string
		put        func(t *testing.T, dir string)
	}{
		{"good", "", func(t *testing.T, dir string) { good.put(t, dir) }},
		{"a key that the group reads", "", func(t *testing.T, dir string) { good.put(t, dir); chmod(t, dir, "privkey.pem", 0o640) }},
		{"expired", "it has expired, on ", func(t *testing.T, dir string) {
			made{names: good.names, until: now.AddDate(0, 0, -1)}.make(t).put(t, dir)
		}},
		{"not valid yet", "it is not valid before", func(t *testing.T, dir string) {
			made{names: good.names, since: now.AddDate(0, 0, 2)}.make(t).put(t, dir)
		}},
		{"another's key", "do not go together", func(t *testing.T, dir string) {
			good.put(t, dir)
			write(t, dir, "privkey.pem", string(goodPair(t).key))
		}},
		{"no name", "it names no host", func(t *testing.T, dir string) { made{}.make(t).put(t, dir) }},
		{"no PEM", "do not go together, or are no PEM", func(t *testing.T, dir string) { good.put(t, dir); write(t, dir, "fullchain.pem", "x") }},
		{"no certificate", "fullchain.pem", func(t *testing.T, dir string) { good.put(t, dir); remove(t, dir, "fullchain.pem") }},
		{"no key", "privkey.pem", func(t *testing.T, dir string) { good.put(t, dir); remove(t, dir, "privkey.pem") }},
		{"a key that others read", "run chmod g-wx,o=", func(t *testing.T, dir string) { good.put(t, dir); chmod(t, dir, "privkey.pem", 0o644) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			test.put(t, dir)
			f := &folder{path: dir, config: config{TLS: tlsConfig{Listen: "127.0.0.1:0", CertFile: "fullchain.pem", KeyFile: "privkey.pem"}}}
			_, err := f.loadCertificates(time.Now)
			if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want %q", err, test.says)
			}
		})
	}
}

// TestServerDoesNotStartWithABadCertificate has the command itself refuse it, before
// there is a listener.
func TestServerDoesNotStartWithABadCertificate(t *testing.T) {
	dir := newDemo(t, "")
	made{names: []string{sourcesHost}, until: time.Now().AddDate(0, 0, -1)}.make(t).put(t, dir)
	appendTo(t, dir, configName, "[tls]\nlisten = \"127.0.0.1:0\"\ncert_file = \"fullchain.pem\"\nkey_file = \"privkey.pem\"\n")
	if status, says := runProgram(t, "serve", dir); status != exitFailed || !strings.Contains(says, "it has expired") || strings.Contains(says, "serving") {
		t.Errorf("status %d: %s", status, says)
	}
}

func TestReplacedCertificateIsTakenUp(t *testing.T) {
	dir := t.TempDir()
	first, second := goodPair(t), goodPair(t)
	first.put(t, dir)
	pair := pairIn(dir)
	if err := pair.load(); err != nil {
		t.Fatal(err)
	}
	look := func(looks int, want made, says string) {
		t.Helper()
		log := new(tipboxtest.Log)
		for range looks {
			pair.look(newLog(log))
		}
		if got := string(log.Bytes()); (says == "") != (got == "") || !strings.Contains(got, says) || strings.Count(got, "\n") > 1 {
			t.Errorf("the log says %q, want %q once", got, says)
		}
		if shown := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.current.Load().Leaf.Raw}); !bytes.Equal(shown, want.cert) {
			t.Error("another certificate is shown")
		}
	}
	look(3, first, "")
	write(t, dir, "fullchain.pem", string(second.cert))
	look(1, first, "") // the other half is about to come
	write(t, dir, "privkey.pem", string(second.key))
	look(1, first, "")
	look(3, second, "new certificate")

	write(t, dir, "privkey.pem", string(first.key))
	look(5, second, "do not go together")
	made{names: first.names, until: time.Now().AddDate(0, 0, -1)}.make(t).put(t, dir)
	look(5, second, "it has expired")
	remove(t, dir, "privkey.pem")
	look(5, second, "no such file")
	first.put(t, dir)
	look(5, first, "new certificate")
}

// visit asks for a page as a browser would that trusts the certificate, and keeps
// what tickets it gets.
func visit(t *testing.T, address string, trusted []byte, tickets tls.ClientSessionCache) (*http.Response, error) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(trusted)
	transport := &http.Transport{TLSClientConfig: &tls.Config{ServerName: sourcesHost, RootCAs: roots, ClientSessionCache: tickets}, DisableKeepAlives: true}
	r, err := http.NewRequest("GET", "https://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = sourcesHost
	resp, err := transport.RoundTrip(r)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	return resp, err
}

// ticketCount counts the tickets that a server gives.
type ticketCount struct{ given int }

func (c *ticketCount) Get(string) (*tls.ClientSessionState, bool)    { return nil, false }
func (c *ticketCount) Put(_ string, session *tls.ClientSessionState) { c.given++ }

// TestPagesAreServedOverTLSBesideTheOthers has the whole server say over TLS, and only
// there, that browsers are to come by it; and nothing of who came.
func TestPagesAreServedOverTLSBesideTheOthers(t *testing.T) {
	dir := newDemo(t, "")
	pair := goodPair(t)
	pair.put(t, dir)
	appendTo(t, dir, configName, "[tls]\nlisten = \"127.0.0.1:0\"\ncert_file = \"fullchain.pem\"\nkey_file = \"privkey.pem\"\n")
	s := serveFolder(t, dir)
	s.wait(t, func() bool { return bytes.Contains(s.log.Bytes(), []byte("msg=serving ")) })
	addressAfter := func(text string) string {
		_, rest, _ := strings.Cut(string(s.log.Bytes()), text)
		address, _, _ := strings.Cut(rest, "\n")
		address, _, _ = strings.Cut(address, " ")
		return address
	}
	secure, plain := addressAfter(`msg="serving over TLS" sources=`), addressAfter("msg=serving sources=")

	tickets, length := new(ticketCount), int64(0)
	for range 2 {
		resp, err := visit(t, secure, pair.cert, tickets)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Strict-Transport-Security") != strictTransport || resp.TLS.DidResume || resp.ProtoMajor != 1 {
			t.Errorf("%+v", resp)
		}
		length = resp.ContentLength + int64(len("Strict-Transport-Security: "+strictTransport+"\r\n"))
	}
	if tickets.given > 0 {
		t.Errorf("%d tickets are given, by which visits can be told to be of one person", tickets.given)
	}
	resp, err := http.Get("http://" + plain + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ContentLength != length {
		t.Errorf("with its head, a page is %d bytes longer over TLS", length-resp.ContentLength)
	}
	if v := resp.Header.Values("Strict-Transport-Security"); v != nil {
		t.Errorf("without TLS there is Strict-Transport-Security: %q", v)
	}
	// Those who try addresses, and leave or talk nonsense.
	for _, hello := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01"} {
		conn, err := net.Dial("tcp", secure)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, hello)
		conn.Close()
	}
	if _, err := tls.Dial("tcp", secure, &tls.Config{ServerName: "another.example.org", InsecureSkipVerify: true}); err == nil {
		t.Error("another name is served")
	}
	http.DefaultClient.CloseIdleConnections()
	s.end(t)
	if log := string(s.log.Bytes()); strings.Count(log, "127.0.0.1") > 3 || strings.Contains(log, "another.example.org") || strings.Contains(log, "level=ERROR") {
		t.Errorf("the log tells who came:\n%s", log)
	}
}

// TestNobodyWhoComesHasACertificateOrdered has an authority that is out of order: the
// server starts all the same and says for which name it got nothing and why, once;
// whoever comes meanwhile is shown nothing, and changes nothing.
func TestNobodyWhoComesHasACertificateOrdered(t *testing.T) {
	var asked atomic.Int64
	authority := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Error(w, "closed for lunch", http.StatusTeapot)
	}))
	defer authority.Close()
	dir := newDemo(t, "")
	write(t, dir, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate().Raw})))
	appendTo(t, dir, configName, fmt.Sprintf("[tls]\nlisten = \"127.0.0.1:0\"\nacme = [%q]\nacme_directory = %q\nacme_ca_file = \"ca.pem\"\n", sourcesHost, authority.URL))
	s := serveFolder(t, dir)
	s.wait(t, func() bool { return bytes.Contains(s.log.Bytes(), []byte("no certificate was got")) })
	_, rest, _ := strings.Cut(string(s.log.Bytes()), `msg="serving over TLS" sources=`)
	address := strings.Fields(rest)[0]
	before := asked.Load()
	for _, hello := range []*tls.Config{
		{ServerName: sourcesHost}, {ServerName: "other.example.org"}, {}, {ServerName: sourcesHost, NextProtos: []string{"acme-tls/1"}},
		{ServerName: "other.example.org", NextProtos: []string{"acme-tls/1"}},
	} {
		hello.InsecureSkipVerify = true
		if conn, err := tls.Dial("tcp", address, hello); err == nil {
			conn.Close()
			t.Errorf("%q %q is shown a certificate", hello.ServerName, hello.NextProtos)
		}
	}
	if n := asked.Load(); before == 0 || n != before {
		t.Errorf("the authority was asked %d times, and %d times after somebody came", before, n)
	}
	s.end(t)
	log := string(s.log.Bytes())
	if strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "name="+sourcesHost) || !strings.Contains(log, "418") || strings.Contains(log, "other.example.org") {
		t.Errorf("the log says:\n%s", log)
	}
}

// TestACertificateThatNobodyReplacesIsToldOnceADay looks now and then, as a server does
// every five seconds.
func TestACertificateThatNobodyReplacesIsToldOnceADay(t *testing.T) {
	dir := t.TempDir()
	until := time.Date(2027, time.March, 1, 12, 0, 0, 0, time.UTC)
	made{names: []string{sourcesHost}, until: until}.make(t).put(t, dir)
	p := pairIn(dir)
	now := until.AddDate(0, 0, -30)
	p.now = func() time.Time { return now }
	if err := p.load(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, look := range []struct {
		left  time.Duration // of its life
		lines int           // by then
	}{{22 * 24 * time.Hour, 0}, {20 * 24 * time.Hour, 1}, {20*24*time.Hour - 5*time.Second, 1}, {19 * 24 * time.Hour, 2}} {
		now = until.Add(-look.left)
		p.warn(newLog(&out))
		if got := strings.Count(out.String(), "ends soon"); got != look.lines {
			t.Errorf("%v before its end: %d lines, want %d", look.left, got, look.lines)
		}
	}
}
