package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	smtpserver "github.com/emersion/go-smtp"
	"github.com/wneessen/go-mail/smtp"

	"tipbox/tipbox/tipboxtest"
)

// An authority signs certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string // for ca_file
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem")}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes a certificate for an address or a name.
func (a *authority) issue(t *testing.T, host string) *tls.Config {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// A watchedListener keeps what came in on each of its connections.
type watchedListener struct {
	net.Listener

	mu    sync.Mutex
	lines []*watchedConn // guarded by mu
}

type watchedConn struct {
	net.Conn

	mu   sync.Mutex
	came []byte // guarded by mu
}

func watchLoopback(t *testing.T) *watchedListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &watchedListener{Listener: l}
}

func (l *watchedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := &watchedConn{Conn: c}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, w)
	return w, nil
}

// came is what came in on each connection.
func (l *watchedListener) came() (all [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.lines {
		w.mu.Lock()
		all = append(all, bytes.Clone(w.came))
		w.mu.Unlock()
	}
	return all
}

func (w *watchedConn) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.came = append(w.came, p[:n]...)
	return n, err
}

// A watchedLine is what who watches a line sees: what is in the clear, and the
// lengths of the TLS records.
func watchedLine(t *testing.T, came []byte) string {
	t.Helper()
	clear, records, ok := bytes.Cut(came, []byte("STARTTLS\r\n"))
	if !ok {
		clear, records = nil, came
	}
	seen := string(clear)
	for len(records) > 0 {
		if len(records) < 5 {
			t.Fatalf("no TLS record: %x", records)
		}
		length := int(records[3])<<8 | int(records[4])
		seen += fmt.Sprintf("%d:%d ", records[0], length)
		records = records[5+length:]
	}
	return seen
}

// A postOffice is a mail server.
type postOffice struct {
	authority *authority
	line      *watchedListener
	server    *smtpserver.Server
	mechanism string // PLAIN if ""
	refuse    error  // to whom a mail is for
	sayBack   bool   // what it was told to sign in

	mu    sync.Mutex
	mails []letter // guarded by mu
	tries int      // to sign in; guarded by mu
}

// A letter is a mail that was taken.
type letter struct {
	hello, from, to string
	data            []byte
}

const (
	smtpUser     = "desk"
	smtpPassword = "a password that is long enough"
)

// newPostOffice starts a mail server, after change.
func newPostOffice(t *testing.T, change func(*postOffice)) *postOffice {
	t.Helper()
	o := &postOffice{authority: newAuthority(t), line: watchLoopback(t)}
	o.server = smtpserver.NewServer(smtpserver.BackendFunc(func(c *smtpserver.Conn) (smtpserver.Session, error) {
		return &counter{office: o, hello: c.Hostname()}, nil
	}))
	o.server.Domain = "mail.test"
	o.server.ErrorLog = nobody{}
	o.server.TLSConfig = o.authority.issue(t, "127.0.0.1")
	if change != nil {
		change(o)
	}
	served := make(chan error, 1)
	go func() { served <- o.server.Serve(o.line) }()
	t.Cleanup(func() { o.server.Close(); <-served })
	return o
}

// nobody reads its log.
type nobody struct{}

func (nobody) Printf(string, ...any) {}
func (nobody) Println(...any)        {}

func (o *postOffice) taken() []letter {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.mails)
}

// mailer is one that uses the server.
func (o *postOffice) mailer(t *testing.T) *mailer {
	t.Helper()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(smtpPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &mailer{
		server: o.line.Addr().String(), from: "desk@city.example", user: smtpUser, passwordFile: password,
		caFile: o.authority.file, log: slog.New(slog.DiscardHandler),
	}
}

// section is [notify.smtp] for the server.
func (o *postOffice) section(t *testing.T) string {
	t.Helper()
	m := o.mailer(t)
	return fmt.Sprintf("[notify.smtp]\nserver = %q\nfrom = %q\nuser = %q\npassword_file = %q\nca_file = %q\n", m.server, m.from, m.user, m.passwordFile, m.caFile)
}

// A counter takes one connection's mails.
type counter struct {
	office *postOffice
	hello  string
	signed bool
	letter letter
}

func (c *counter) AuthMechanisms() []string {
	if c.office.mechanism != "" {
		return []string{c.office.mechanism}
	}
	return []string{"LOGIN", "PLAIN"}
}

func (c *counter) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		c.office.mu.Lock()
		defer c.office.mu.Unlock()
		c.office.tries++
		if user != smtpUser || password != smtpPassword {
			said := ""
			if c.office.sayBack {
				said = password + " " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password))
			}
			return &smtpserver.SMTPError{Code: 535, Message: "no " + said}
		}
		c.signed = true
		return nil
	}
	if mechanism == "LOGIN" {
		return &loginServer{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
}

// loginServer is the server's side of LOGIN.
type loginServer struct {
	check func(user, password string) error
	asked bool
	user  *string
}

func (s *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case !s.asked:
		s.asked = true
		return []byte("Username:"), false, nil
	case s.user == nil:
		user := string(response)
		s.user = &user
		return []byte("Password:"), false, nil
	}
	return nil, true, s.check(*s.user, string(response))
}

func (c *counter) Mail(from string, _ *smtpserver.MailOptions) error {
	if !c.signed && c.office.mechanism != "none" {
		return smtpserver.ErrAuthRequired
	}
	c.letter = letter{hello: c.hello, from: from}
	return nil
}

func (c *counter) Rcpt(to string, _ *smtpserver.RcptOptions) error {
	c.letter.to = to
	return c.office.refuse
}

func (c *counter) Data(r io.Reader) error {
	var err error
	if c.letter.data, err = io.ReadAll(r); err != nil {
		return err
	}
	c.office.mu.Lock()
	defer c.office.mu.Unlock()
	c.office.mails = append(c.office.mails, c.letter)
	return nil
}

func (*counter) Reset()        {}
func (*counter) Logout() error { return nil }

// patient is a recipient of a mail who waits for ever.
func patient(m *mailer, address string) recipient {
	return recipient{"alice", "mail", address, time.Hour, func(ctx context.Context, n notice) error { return m.send(ctx, address, n) }}
}

var anHour = time.Date(2026, 11, 23, 9, 0, 0, 0, time.FixedZone("", 8*3600))

// TestMailsAreOfOneLength sends every text to addresses of every length. Neither
// the mails nor what is seen on the line differ in length, and nothing is in
// them but what must.
func TestMailsAreOfOneLength(t *testing.T) {
	office := newPostOffice(t, nil)
	m := office.mailer(t)
	long := strings.Repeat("a", 64) + "@" + strings.Repeat("b", 60) + "." + strings.Repeat("c", 60) + "." + strings.Repeat("d", 59) + ".org"
	addresses := []string{"a@b.org", "alice@city.example", long + "x"}
	for n := 30; n < 110; n += 7 { // where lines are folded
		addresses = append(addresses, strings.Repeat("e", n-12)+"@example.org")
	}
	for _, address := range addresses {
		for says := range mailText {
			if why, _ := patient(m, address).deliver(t.Context(), newNotice(says, anHour)); why != "" {
				t.Fatalf("%s: %s", address, why)
			}
		}
	}
	mails := office.taken()
	if want := len(addresses) * len(mailText); len(mails) != want {
		t.Fatalf("%d mails, want %d", len(mails), want)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for _, mail := range mails {
		if len(mail.data) != mailSize {
			t.Errorf("%s: %d bytes", mail.to, len(mail.data))
		}
		if mail.from != m.from || !slices.Contains(addresses, mail.to) || mail.hello != "city.example" {
			t.Errorf("from %s to %s, greeting as %s", mail.from, mail.to, mail.hello)
		}
		ids[checkHeader(t, mail, host)] = true
	}
	if len(ids) != len(mails) {
		t.Errorf("%d mails, %d ids", len(mails), len(ids))
	}
	lines := office.line.came()
	for _, came := range lines {
		if got, want := watchedLine(t, came), watchedLine(t, lines[0]); got != want {
			t.Errorf("the line shows\n%s\nand\n%s", got, want)
		}
		if where := tipboxtest.Find(came, smtpPassword); where != "" {
			t.Errorf("the line shows the password %s", where)
		}
	}
}

func TestMailsFromAnyAddressAreOfOneLength(t *testing.T) {
	long := strings.Repeat("a", 64) + "@" + strings.Repeat("b", 60) + "." + strings.Repeat("c", 60) + "." + strings.Repeat("d", 60) + ".org"
	longDomain := "a@" + strings.Repeat("b", 62) + "." + strings.Repeat("c", 62) + "." + strings.Repeat("d", 62) + "." + strings.Repeat("e", 58) + ".org"
	for _, from := range []string{"a@b.c", "desk@city.example", long, longDomain} {
		if err := checkAddress(from); err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{"a@b.c", "alice@city.example", long, longDomain} {
			for says := range mailText {
				msg, err := (&mailer{from: from}).message(to, newNotice(says, anHour))
				if err != nil {
					t.Fatal(err)
				}
				if n, err := msg.WriteTo(io.Discard); n != mailSize || err != nil {
					t.Errorf("%d bytes, %v", n, err)
				}
			}
		}
	}
}

// checkHeader checks that a mail has no header but the known ones, and returns
// its id.
func checkHeader(t *testing.T, l letter, host string) (id string) {
	t.Helper()
	msg, err := mail.ReadMessage(bytes.NewReader(l.data))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"From": "<desk@city.example>", "To": "<" + l.to + ">", "Subject": "Tipbox",
		"Date": "Mon, 23 Nov 2026 09:00:00 +0800", "Auto-Submitted": "auto-generated",
		"Mime-Version": "1.0", "Content-Type": "text/plain; charset=UTF-8", "Content-Transfer-Encoding": "quoted-printable",
		"Message-Id": "", "X-Padding": "",
	}
	for name, values := range msg.Header {
		value, known := want[name]
		if !known || len(values) != 1 || value != "" && values[0] != value {
			t.Errorf("%s: %q", name, values)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("no header %v", want)
	}
	if strings.Trim(msg.Header.Get("X-Padding"), "x") != "" {
		t.Errorf("padding %q", msg.Header.Get("X-Padding"))
	}
	id = msg.Header.Get("Message-Id")
	random, ok := strings.CutSuffix(id, "@city.example>")
	if !ok || len(random) != 33 || strings.Trim(random, "<0123456789abcdef") != "" {
		t.Errorf("Message-ID %s", id)
	}
	if bytes.Contains(l.data, []byte(host)) {
		t.Errorf("a mail names the machine: %s", l.data)
	}
	for line := range bytes.Lines(l.data) {
		if len(line) > 1000 || line[0] == '.' || !bytes.HasSuffix(line, []byte("\r\n")) {
			t.Errorf("a line of %d bytes: %q", len(line), line)
		}
	}
	text, err := io.ReadAll(quotedprintable.NewReader(msg.Body))
	if err != nil {
		t.Fatal(err)
	}
	said := strings.ReplaceAll(string(text), "\r\n", "\n")
	if !slices.ContainsFunc([]tidings{tidingsNothing, tidingsWork, tidingsTest}, func(says tidings) bool { return said == mailText[says]+mailFooter }) {
		t.Errorf("it says %q", said)
	}
	return id
}

func TestWorkIsSaidInBothLanguages(t *testing.T) {
	for _, text := range []string{mailText[tidingsWork] + mailFooter, hookText[tidingsWork]} {
		for _, want := range []string{"There is work", "Type: tipbox inbox", "有工作", "请运行：tipbox inbox"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in %q", want, text)
			}
		}
	}
	if !strings.Contains(mailFooter, "Do not answer this mail") || !strings.Contains(mailFooter, "请勿回复") {
		t.Errorf("%q", mailFooter)
	}
}

// TestMailGoesOnlyOverVerifiedTLS meets servers that are not who they should be:
// they get neither a mail nor the password.
func TestMailGoesOnlyOverVerifiedTLS(t *testing.T) {
	tests := []struct {
		name   string
		change func(*postOffice)
		says   string
	}{
		{"no STARTTLS", func(o *postOffice) { o.server.TLSConfig, o.server.AllowInsecureAuth = nil, true }, "does not support STARTTLS"},
		{"another authority", func(o *postOffice) { o.server.TLSConfig = newAuthority(t).issue(t, "127.0.0.1") }, "failed to verify certificate"},
		{"another host", func(o *postOffice) { o.server.TLSConfig = o.authority.issue(t, "127.0.0.2") }, "failed to verify certificate"},
		{"an old protocol", func(o *postOffice) {
			o.server.TLSConfig.MinVersion, o.server.TLSConfig.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}, "protocol version"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			office := newPostOffice(t, test.change)
			why, again := patient(office.mailer(t), "alice@city.example").deliver(t.Context(), newNotice(tidingsWork, anHour))
			if !strings.Contains(why, test.says) || !again {
				t.Errorf("%q, again %v", why, again)
			}
			office.server.Close()
			for _, came := range office.line.came() {
				if where := tipboxtest.Find(came, smtpPassword); where != "" || bytes.Contains(came, []byte("AUTH")) || bytes.Contains(came, []byte("MAIL")) {
					t.Errorf("it was told %q", came)
				}
			}
			office.mu.Lock()
			defer office.mu.Unlock()
			if office.tries > 0 || len(office.mails) > 0 {
				t.Errorf("%d tries to sign in, %d mails", office.tries, len(office.mails))
			}
		})
	}
}

func TestSignIn(t *testing.T) {
	wrong := func(t *testing.T, m *mailer) {
		if err := os.WriteFile(m.passwordFile, []byte("another password that is long enough\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		change func(*postOffice)
		spoil  func(*testing.T, *mailer)
		says   string
		again  bool
	}{
		{"plain", nil, nil, "", false},
		{"login", func(o *postOffice) { o.mechanism = "LOGIN" }, nil, "", false},
		{"none", func(o *postOffice) { o.mechanism = "none" }, func(_ *testing.T, m *mailer) { m.user, m.passwordFile = "", "" }, "", false},
		{"another mechanism", func(o *postOffice) { o.mechanism = "CRAM-MD5" }, nil, "takes no user and password", false},
		{"a wrong password", func(o *postOffice) { o.sayBack = true }, wrong, "the mail server refuses user and password of smtp (code 535)", false},
		{"a wrong password by LOGIN", func(o *postOffice) { o.sayBack, o.mechanism = true, "LOGIN" }, wrong, "refuses user and password of smtp (code 535)", false},
		{"a password that others read", nil, func(t *testing.T, m *mailer) {
			if err := os.Chmod(m.passwordFile, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "others can read", true},
		{"no file with the password", nil, func(_ *testing.T, m *mailer) { m.passwordFile += "x" }, "no such file", true},
		{"no file with the authority", nil, func(_ *testing.T, m *mailer) { m.caFile += "x" }, "no such file", true},
		{"no authority in the file", nil, func(_ *testing.T, m *mailer) { m.caFile = m.passwordFile }, "holds no certificate", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			office := newPostOffice(t, test.change)
			m := office.mailer(t)
			if test.spoil != nil {
				test.spoil(t, m)
			}
			why, again := patient(m, "alice@city.example").deliver(t.Context(), newNotice(tidingsWork, anHour))
			if (why == "") != (test.says == "") || !strings.Contains(why, test.says) || again != test.again {
				t.Errorf("%q, again %v", why, again)
			}
			if tipboxtest.Find([]byte(why), "another password that is long enough") != "" || tipboxtest.Find([]byte(why), smtpPassword) != "" {
				t.Errorf("it names the password: %q", why)
			}
			if n := len(office.taken()); (n == 1) != (test.says == "") {
				t.Errorf("%d mails", n)
			}
		})
	}
}

// TestRefusedMail is refused: the reason names the member, not the address, and
// what a terminal would obey is not in it.
func TestRefusedMail(t *testing.T) {
	tests := []struct {
		refuse error
		says   string
		again  bool
	}{
		{&smtpserver.SMTPError{Code: 550, Message: "<Alice@City.example>: nobody\x1b[2J here"}, "the mail server refuses the recipient: 550 5.0.0 <the address of alice>: nobody [2J here", false},
		{&smtpserver.SMTPError{Code: 451, Message: "later"}, "the mail server refuses the recipient: 451 4.0.0 later", true},
		{&smtpserver.SMTPError{Code: 550, Message: strings.Repeat("no ", 500)}, "no no…", false},
	}
	for _, test := range tests {
		office := newPostOffice(t, func(o *postOffice) { o.refuse = test.refuse })
		why, again := patient(office.mailer(t), "alice@city.example").deliver(t.Context(), newNotice(tidingsWork, anHour))
		if !strings.Contains(why, test.says) || again != test.again || len([]rune(why)) > 301 {
			t.Errorf("%q, again %v", why, again)
		}
	}
}

// TestServerThatTakesNoWhiteSpace talks to one that is stricter than it should.
func TestServerThatTakesNoWhiteSpace(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	var told []string
	done := make(chan bool)
	go func() {
		defer close(done)
		defer theirs.Close()
		io.WriteString(theirs, "220 strict\r\n")
		buf := make([]byte, 1000)
		for {
			n, err := theirs.Read(buf)
			if err != nil {
				return
			}
			line := strings.TrimSuffix(string(buf[:n]), "\r\n")
			told = append(told, line)
			if strings.HasSuffix(line, " ") {
				io.WriteString(theirs, "501 syntax\r\n")
				continue
			}
			io.WriteString(theirs, "250 ok\r\n")
		}
	}()
	session, err := smtp.NewClient(ours, "strict")
	if err != nil {
		t.Fatal(err)
	}
	log := new(tipboxtest.Log)
	m := &mailer{log: slog.New(slog.NewTextHandler(log, nil))}
	for range 2 {
		if err := m.recipient(session, "alice@city.example"); err != nil {
			t.Error(err)
		}
	}
	ours.Close()
	<-done
	padded := "RCPT TO:<alice@city.example>" + strings.Repeat(" ", maxAddress-len("alice@city.example"))
	if want := []string{padded, strings.TrimRight(padded, " "), padded, strings.TrimRight(padded, " ")}; !slices.Equal(told, want) {
		t.Errorf("it was told %q", told)
	}
	if n := bytes.Count(log.Bytes(), []byte("tell long addresses from short ones")); n != 1 {
		t.Errorf("the log says so %d times: %s", n, log.Bytes())
	}
}

// TestStuckServers never answer, or never end to: the one is left when we stop
// or its time is up, the other when it has said enough.
func TestStuckServers(t *testing.T) {
	silent := watchLoopback(t)
	greeted := make(chan bool, 2)
	go func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			io.WriteString(c, "220 one moment\r\n")
			if n, _ := c.Read(make([]byte, 100)); n > 0 {
				greeted <- true
			}
		}
	}()
	m := &mailer{server: silent.Addr().String(), from: "desk@city.example", log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan bool)
	go func() {
		defer close(returned)
		patient(m, "alice@city.example").deliver(ctx, newNotice(tidingsWork, anHour))
	}()
	<-greeted
	cancel()
	<-returned

	hurried := patient(m, "alice@city.example")
	hurried.timeout = time.Millisecond
	if why, again := hurried.deliver(t.Context(), newNotice(tidingsWork, anHour)); why != "it was not done after 1ms" || !again {
		t.Errorf("%q, again %v", why, again)
	}

	chatty, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer chatty.Close()
	go func() {
		c, err := chatty.Accept()
		for err == nil {
			_, err = io.WriteString(c, "220-and another line\r\n")
		}
	}()
	m.server = chatty.Addr().String()
	if why, again := patient(m, "alice@city.example").deliver(t.Context(), newNotice(tidingsWork, anHour)); !strings.Contains(why, "says too much") || !again {
		t.Errorf("%q, again %v", why, again)
	}
}

// TestTakenMailIsDelivered has the server hang up as soon as it has taken the
// mail.
func TestTakenMailIsDelivered(t *testing.T) {
	office := newPostOffice(t, nil)
	m := office.mailer(t)
	office.server.Backend = smtpserver.BackendFunc(func(c *smtpserver.Conn) (smtpserver.Session, error) {
		return &hangingUp{counter{office: office, hello: c.Hostname()}, c}, nil
	})
	if why, _ := patient(m, "alice@city.example").deliver(t.Context(), newNotice(tidingsWork, anHour)); why != "" {
		t.Error(why)
	}
	if n := len(office.taken()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

type hangingUp struct {
	counter
	conn *smtpserver.Conn
}

// Reset is called when the mail was taken.
func (h *hangingUp) Reset() {
	if h.letter.data != nil {
		h.conn.Conn().Close()
	}
}
