//go:build amd64 || arm64

package cmd_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A terminator is Debian's nginx with our configuration, as a process of ours.
type terminator struct {
	address string
	prefix  string // the folder of all that it writes
	roots   *x509.CertPool
	cmd     *exec.Cmd
}

// around is a nginx.conf as an operator has it, that logs all it can.
const around = `daemon off;
worker_processes 1;
pid PREFIX/pid;
error_log PREFIX/error.log info;
events {}
http {
	ssl_protocols TLSv1.2 TLSv1.3;
	access_log PREFIX/access.log;
	gzip on;
	client_body_temp_path PREFIX/body;
	proxy_temp_path PREFIX/proxy;
	fastcgi_temp_path PREFIX/fastcgi;
	uwsgi_temp_path PREFIX/uwsgi;
	scgi_temp_path PREFIX/scgi;
	include PREFIX/conf.d/*.conf;
}
`

// newTerminator starts nginx before a socket. Only addresses and paths of the
// configuration are changed.
func newTerminator(t *testing.T, socket string) *terminator {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx, err = exec.LookPath("/usr/sbin/nginx") // where users do not look
	}
	if err != nil {
		t.Skip("there is no nginx")
	}
	n := &terminator{address: testAddress(t), prefix: t.TempDir(), roots: x509.NewCertPool()}
	cert, key := selfSigned(t, tlsHost)
	n.roots.AppendCertsFromPEM(cert)
	conf, err := os.ReadFile("tipboxd/deploy/nginx/tipbox.conf")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(n.address)
	for _, change := range []struct {
		from, to string
		times    int
	}{
		{"listen 443 ssl", "listen " + n.address + " ssl", 2},
		{"listen [::]:443 ssl", "listen [::1]:" + port + " ssl", 2},
		{"/etc/letsencrypt/live/tips.example.org/", n.prefix + "/", 2},
		{"unix:/run/tipbox/sources.sock", "unix:" + socket, 1},
	} {
		if got := bytes.Count(conf, []byte(change.from)); got != change.times {
			t.Fatalf("%q is there %d times", change.from, got)
		}
		conf = bytes.ReplaceAll(conf, []byte(change.from), []byte(change.to))
	}
	text := strings.ReplaceAll(around, "PREFIX", n.prefix)
	if os.Geteuid() == 0 {
		text = "user root;\n" + text
	}
	for name, content := range map[string]string{"nginx.conf": text, "conf.d/tipbox.conf": string(conf), "fullchain.pem": string(cert), "privkey.pem": string(key)} {
		file := filepath.Join(n.prefix, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start := func(args ...string) *exec.Cmd {
		cmd := exec.Command(nginx, append([]string{"-p", n.prefix, "-e", n.prefix + "/start.log", "-c", n.prefix + "/nginx.conf"}, args...)...)
		out, err := os.OpenFile(n.prefix+"/output.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = out, out
		t.Cleanup(func() { out.Close() })
		return cmd
	}
	if err := start("-t").Run(); err != nil {
		t.Fatalf("nginx -t: %v\n%s", err, n.written(t))
	}
	n.cmd = start()
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.stop)
	for range 500 {
		if shown(n.address, tlsHost) != nil {
			return n
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nginx does not answer\n%s", n.written(t))
	return nil
}

// stop ends it, and waits until all is written.
func (n *terminator) stop() {
	n.cmd.Process.Signal(os.Interrupt)
	n.cmd.Wait()
}

// written is all that it wrote, by the name of the file: not what the test did.
func (n *terminator) written(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(n.prefix, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name := strings.TrimPrefix(path, n.prefix+"/")
		if name == "nginx.conf" || name == "conf.d/tipbox.conf" || strings.HasSuffix(name, ".pem") {
			return nil
		}
		content, err := os.ReadFile(path)
		all[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// open are the files that its processes have open, also those without a name.
func (n *terminator) open(t *testing.T) (all []string) {
	t.Helper()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", n.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	workers := strings.Fields(string(children))
	if len(workers) == 0 {
		t.Fatal("nginx has no worker")
	}
	for _, worker := range workers {
		links, err := filepath.Glob("/proc/" + worker + "/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links {
			if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "/dev/") {
				all = append(all, to)
			}
		}
	}
	return all
}

// raw sends what is no request of a browser's, and waits for the end.
func (n *terminator) raw(t *testing.T, text string) (answer string) {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(sourceAddress)}, Timeout: 10 * time.Second},
		"tcp", n.address, &tls.Config{ServerName: tlsHost, RootCAs: n.roots})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, text)
	all, _ := io.ReadAll(conn)
	return string(all)
}

const nginxCanary = "canary-through-nginx-7f3a"

// TestNginxKeepsNothingOfWhoComes sends a tip with a file through Debian's nginx with
// the configuration that operators copy, comes back, breaks off, and sends what no
// browser would; and then reads all that nginx wrote.
func TestNginxKeepsNothingOfWhoComes(t *testing.T) {
	t.Parallel()
	run := t.TempDir()
	o := newOfficeAt(t, filepath.Join(t.TempDir(), "server"), 1, "unix:"+run+"/sources.sock", testAddress(t))
	server := o.serve(t)
	n := newTerminator(t, run+"/sources.sock")
	s := newSecureSource(n.address, n.roots)

	form, err := s.get("/tip?lang=en&canary=" + nginxCanary)
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte(nginxCanary+"\n"), 40000) // a MB, for which nginx would want a file
	status, receipt, err := n.slowly(t, s, form, content)
	if err != nil || status != http.StatusOK {
		t.Fatalf("status %d, %v: %s", status, err, notice(receipt))
	}
	words := element(receipt, "receipt-code")
	if words == "" {
		t.Fatal("there is no receipt")
	}
	thread := func() string {
		t.Helper()
		page, err := s.get("/thread?lang=en")
		if err != nil {
			t.Fatal(err)
		}
		status, page, err := s.post(page, "/thread", url.Values{"code": {words}})
		if err != nil || status != http.StatusOK {
			t.Fatalf("status %d, %v: %s", status, err, notice(page))
		}
		return page
	}
	page := thread()
	if status, answer, err := s.post(page, "/thread/message", url.Values{"text": {nginxCanary}}); err != nil || status != http.StatusOK {
		t.Fatalf("status %d, %v: %s", status, err, notice(answer))
	}

	// A source who goes away, another with too much, and those who are none.
	ctx, goAway := context.WithCancel(t.Context())
	body, w := io.Pipe()
	r, err := http.NewRequestWithContext(ctx, "POST", s.base+"/tip", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	r.Header.Set("User-Agent", sourceAgent)
	go func() {
		w.Write(append([]byte("--b\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n"), content...))
		goAway()
	}()
	if _, err := s.client.Do(r); err == nil {
		t.Error("an upload that was broken off is answered")
	}
	host := "Host: " + tlsHost + "\r\nUser-Agent: " + sourceAgent + "\r\n"
	for name, text := range map[string]string{
		"no HTTP":         nginxCanary + "\r\n\r\n",
		"a bad version":   "GET /" + nginxCanary + " HTTP/9.9\r\n\r\n",
		"no host":         "GET /" + nginxCanary + " HTTP/1.1\r\n\r\n",
		"another host":    "GET /" + nginxCanary + " HTTP/1.1\r\nHost: " + nginxCanary + ".example.org\r\nConnection: close\r\n\r\n",
		"a bad path":      "GET /%zz" + nginxCanary + " HTTP/1.1\r\n" + host + "\r\n",
		"out of the tree": "GET /../../" + nginxCanary + " HTTP/1.1\r\n" + host + "\r\n",
		"a long line":     "GET /" + strings.Repeat(nginxCanary, 1000) + " HTTP/1.1\r\n" + host + "\r\n",
		"a long field":    "GET / HTTP/1.1\r\n" + host + "X: " + strings.Repeat(nginxCanary, 2000) + "\r\n\r\n",
		"a bad field":     "GET / HTTP/1.1\r\n" + host + "Connection: close\r\n" + nginxCanary + "\r\n\r\n",
		"two lengths":     "POST /tip HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n" + nginxCanary,
		"a bad chunk":     "POST /tip HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n" + nginxCanary,
		"no form":         "POST /tip HTTP/1.1\r\n" + host + "Connection: close\r\nContent-Length: 25\r\n\r\n" + nginxCanary,
	} {
		if answer := n.raw(t, text); !strings.HasPrefix(answer, "HTTP/1.1 ") && !strings.HasPrefix(answer, "<html>") && (answer != "" || name != "another host") {
			t.Errorf("%s is answered by %.80q", name, answer)
		}
	}
	for _, hello := range []*tls.Config{{ServerName: nginxCanary + ".example.org"}, {ServerName: tlsHost, MaxVersion: tls.VersionTLS12}, {}} {
		hello.InsecureSkipVerify = true
		if conn, err := tls.Dial("tcp", n.address, hello); err == nil {
			t.Errorf("%q is answered, in version %x", hello.ServerName, conn.ConnectionState().Version)
			conn.Close()
		}
	}
	conn, err := net.Dial("tcp", n.address)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\n%s\r\n", nginxCanary, host) // without TLS
	io.Copy(io.Discard, conn)
	conn.Close()

	// While the server is away.
	server.stop(t)
	if _, err := s.get("/" + nginxCanary); err == nil {
		t.Error("a server that is not there answers")
	}
	n.stop()
	written := n.written(t)
	if _, ok := written["error.log"]; !ok {
		t.Fatalf("nginx wrote no log at all: %q", slices.Sorted(maps.Keys(written)))
	}
	for name, text := range written {
		for _, secret := range []string{nginxCanary, "canary", sourceAddress, "127.0.0.1", "::1", "/tip", "/thread", strings.Fields(words)[0] + " "} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %q:\n%.2000s", name, secret, text)
			}
		}
	}
	if log := written["access.log"]; log != "" {
		t.Errorf("requests are logged: %.500s", log)
	}
	if log := string(server.output.Bytes()); strings.Contains(log, "canary") || strings.Contains(log, sourceAddress) {
		t.Errorf("the server's log:\n%s", log)
	}
	o.mustBeWhole(t, true)
}

// slowly sends a tip with a file, and looks meanwhile whether nginx has it on the disk.
func (n *terminator) slowly(t *testing.T, s *source, page string, content []byte) (status int, answer string, err error) {
	t.Helper()
	hidden, err := hiddenFields(page, "/tip")
	if err != nil {
		return 0, "", err
	}
	body, w := io.Pipe()
	form := multipart.NewWriter(w)
	go func() {
		hidden.Set("channel", officeChannel)
		hidden.Set("text", nginxCanary)
		for name, values := range hidden {
			form.WriteField(name, values[0])
		}
		part, _ := form.CreateFormFile("file", nginxCanary+".txt")
		part.Write(content)
		time.Sleep(500 * time.Millisecond) // it has come to nginx by then
		for name := range n.written(t) {
			if !strings.HasSuffix(name, ".log") && name != "pid" {
				t.Errorf("while a file is sent, nginx has %s", name)
			}
		}
		for _, file := range n.open(t) {
			if !strings.HasSuffix(file, ".log") {
				t.Errorf("while a file is sent, nginx has %s open", file)
			}
		}
		w.CloseWithError(form.Close())
	}()
	return s.do("POST", "/tip", form.FormDataContentType(), body)
}

// TestNginxPassesOnWhatTheServerNeedsAndNoMore has something else in the server's
// place, which sees what comes.
func TestNginxPassesOnWhatTheServerNeedsAndNoMore(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan *http.Request, 2)
	upstream := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		came <- r
		w.Header().Set("Onion-Location", "http://x.onion/")
		io.WriteString(w, strings.Repeat("<p>text</p>", 1000))
	})}
	go upstream.Serve(l)
	defer upstream.Close()
	n := newTerminator(t, socket)
	s := newSecureSource(n.address, n.roots)
	tickets := new(ticketCount)
	s.client.Transport.(*http.Transport).TLSClientConfig.ClientSessionCache = tickets

	r, err := http.NewRequest("POST", s.base+"/thread?lang=en", strings.NewReader("code=x"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "Accept-Language": "zh", "Accept-Encoding": "gzip",
		"User-Agent": sourceAgent, "Referer": "https://canary.example.org/", "Cookie": "canary=1", "X-Forwarded-For": sourceAddress, "Forwarded": "for=" + sourceAddress,
		"X-Real-Ip": sourceAddress, "Accept": "text/html", "Sec-Ch-Ua": "canary", "Dnt": "1",
	} {
		r.Header.Set(name, value)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.ProtoMajor != 1 || resp.TLS.Version != tls.VersionTLS13 || len(page) != 11000 {
		t.Errorf("%v: %s, TLS %x, %d bytes", err, resp.Proto, resp.TLS.Version, len(page))
	}
	for name, want := range map[string]string{
		"Strict-Transport-Security": "max-age=63072000", "Onion-Location": "http://x.onion/", "Server": "nginx", "Content-Encoding": "", "Via": "",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("the answer has %s: %q, want %q", name, got, want)
		}
	}
	got := <-came
	if got.Host != tlsHost || got.RequestURI != "/thread?lang=en" || got.ContentLength != 6 || got.RemoteAddr != "@" && got.RemoteAddr != "" {
		t.Errorf("%s of %s, %d bytes, from %q", got.RequestURI, got.Host, got.ContentLength, got.RemoteAddr)
	}
	allowed := []string{"Accept-Encoding", "Accept-Language", "Connection", "Content-Length", "Content-Type"}
	if names := slices.Sorted(maps.Keys(got.Header)); !slices.Equal(names, allowed) {
		t.Errorf("passed on are %q, want %q", names, allowed)
	}
	if resp, err = s.client.Get(s.base + "/"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.Uncompressed {
		t.Errorf("%v, compressed: %v", err, resp.Uncompressed)
	}
	resp.Body.Close()
	if tickets.given > 0 {
		t.Errorf("%d tickets are given, by which visits can be told to be of one person", tickets.given)
	}
}

// ticketCount counts the tickets that a server gives.
type ticketCount struct{ given int }

func (c *ticketCount) Get(string) (*tls.ClientSessionState, bool)    { return nil, false }
func (c *ticketCount) Put(_ string, session *tls.ClientSessionState) { c.given++ }
