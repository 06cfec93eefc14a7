package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A fakeControl is a control socket, which notes what it is sent.
type fakeControl struct {
	methods string
	file    string // that it says is its cookie
	cookie  []byte // by which it goes
	phase   string
	said    chan string // all that it was sent, once
}

// serve is asked once.
func (f *fakeControl) serve(t *testing.T) (at string) {
	t.Helper()
	f.said = make(chan string, 1)
	at = filepath.Join(t.TempDir(), "control")
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		var said bytes.Buffer
		defer func() { f.said <- said.String() }()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		var message []byte
		for in := bufio.NewScanner(conn); in.Scan(); {
			fmt.Fprintln(&said, in.Text())
			command, argument, _ := strings.Cut(in.Text(), " ")
			switch {
			case command == "PROTOCOLINFO":
				fmt.Fprintf(conn, "250-PROTOCOLINFO 1\r\n250-AUTH METHODS=%s COOKIEFILE=%q\r\n250-VERSION Tor=\"0.4.9.11\"\r\n250 OK\r\n", f.methods, f.file)
			case command == "AUTHCHALLENGE":
				nonce, err := hex.DecodeString(strings.TrimPrefix(argument, "SAFECOOKIE "))
				if err != nil {
					t.Errorf("a challenge with %q", argument)
				}
				message = append(append(append(message, f.cookie...), nonce...), "nonce"...)
				fmt.Fprintf(conn, "250 AUTHCHALLENGE SERVERHASH=%X SERVERNONCE=%X\r\n", cookieSum("Tor safe cookie authentication server-to-controller hash", message), "nonce")
			case command == "AUTHENTICATE" && (f.methods == "NULL" ||
				argument == hex.EncodeToString(cookieSum("Tor safe cookie authentication controller-to-server hash", message))):
				fmt.Fprint(conn, "250 OK\r\n")
			case in.Text() == "GETINFO status/bootstrap-phase":
				fmt.Fprintf(conn, "%s\r\n250 OK\r\n", f.phase)
			default:
				fmt.Fprint(conn, "515 Bad authentication\r\n")
			}
		}
	}()
	return at
}

// cookieSum is as control-spec.txt has it in section 3.24.
func cookieSum(key string, message []byte) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(message)
	return mac.Sum(nil)
}

// TestProgressOfTor asks a control socket that wants a cookie, and one that does not.
func TestProgressOfTor(t *testing.T) {
	dir := t.TempDir()
	secret := strings.Repeat("s", cookieSize)
	write(t, dir, "cookie", secret)
	for phase, want := range map[string]string{
		`250-status/bootstrap-phase=NOTICE BOOTSTRAP PROGRESS=45 TAG=requesting_descriptors SUMMARY="Asking for relay descriptors"`: "tor is connected by 45 % (Asking for relay descriptors)",
		`250-status/bootstrap-phase=NOTICE BOOTSTRAP PROGRESS=45 SUMMARY="` + "\x1b]0;" + `done"`:                                   "tor is connected by 45 % (]0;done)",
		`250-status/bootstrap-phase=NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY="Done"`:                                          "",
		`552 Unrecognized key "status/bootstrap-phase"`:                                                                             "",
	} {
		for _, methods := range []string{"COOKIE,SAFECOOKIE,HASHEDPASSWORD", "NULL"} {
			f := &fakeControl{methods: methods, file: filepath.Join(dir, "cookie"), cookie: []byte(secret), phase: phase}
			if got := (localTor{Control: f.serve(t)}).progress(t.Context()); got != want {
				t.Errorf("%s, %s: %q, want %q", methods, phase, got, want)
			}
			<-f.said
		}
	}
	if got := (localTor{Control: filepath.Join(dir, "none")}).progress(t.Context()); got != "" {
		t.Errorf("without: %q", got)
	}
}

// TestNoControlSocketLearnsWhatIsInAFile has whoever made the socket name a file that
// only we can read: as long as a cookie, which it does not know, or longer; and ask for
// the cookie as it is.
func TestNoControlSocketLearnsWhatIsInAFile(t *testing.T) {
	dir := t.TempDir()
	secret := strings.Repeat("s", cookieSize)
	write(t, dir, "key", secret)
	write(t, dir, "shadow", "root:$y$j9T$something:20000:0:99999:7:::\n")
	for _, f := range []*fakeControl{
		{methods: "COOKIE,SAFECOOKIE", file: filepath.Join(dir, "key"), cookie: []byte(strings.Repeat("?", cookieSize))},
		{methods: "COOKIE", file: filepath.Join(dir, "key"), cookie: []byte(secret)},
		{methods: "COOKIE,SAFECOOKIE", file: filepath.Join(dir, "shadow")},
		{methods: "COOKIE,SAFECOOKIE", file: filepath.Join(dir, "none")},
	} {
		localTor{Control: f.serve(t)}.progress(t.Context())
		said := <-f.said
		if !strings.HasPrefix(said, "PROTOCOLINFO 1\n") || strings.Contains(said, "AUTHENTICATE") {
			t.Errorf("%s, %s: it is sent %q", f.methods, f.file, said)
		}
	}
}

// TestRealTorTellsItsProgress has a tor that connects to nobody.
func TestRealTorTellsItsProgress(t *testing.T) {
	t.Parallel()
	tor, err := exec.LookPath("tor")
	if err != nil {
		t.Skip("there is no tor: apt-get install tor")
	}
	dir, err := os.MkdirTemp("", "tipbox-tor-") // short, for the socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	write(t, dir, "torrc", "")
	at := filepath.Join(dir, "control")
	cmd := exec.Command(tor, "--defaults-torrc", "/dev/null", "-f", filepath.Join(dir, "torrc"), "DisableNetwork", "1", "SocksPort", "0",
		"DataDirectory", filepath.Join(dir, "data"), "ControlSocket", at, "CookieAuthentication", "1", "CookieAuthFile", filepath.Join(dir, "cookie"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	patience := time.After(time.Minute)
	for got := ""; !strings.HasPrefix(got, "tor is connected by 0 %"); got = (localTor{Control: at}).progress(t.Context()) {
		select {
		case <-ended:
			t.Fatalf("tor has ended:\n%s", &out)
		case <-patience:
			t.Fatalf("it tells %q:\n%s", got, &out)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
