package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tipbox/crypto/onion"
	"tipbox/tipbox/desk"
	"tipbox/tipbox/tipboxtest"
)

// A fakeTor is a SOCKS proxy that leads every name to one address, or refuses with a
// reply of its own.
type fakeTor struct {
	address, target string

	mu    sync.Mutex // guards what follows
	reply byte
	asked []string // "TYPE host:port"
	users []string
}

func newFakeTor(t *testing.T, network, target string) *fakeTor {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "socks")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &fakeTor{address: l.Addr().String(), target: target}
	if network == "unix" {
		f.address = "unix:" + address
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(conn)
		}
	}()
	return f
}

func (f *fakeTor) serve(conn net.Conn) {
	defer conn.Close()
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(conn, b); err != nil {
			return make([]byte, n)
		}
		return b
	}
	if !bytes.Contains(read(int(read(2)[1])), []byte{socksPassword}) {
		return
	}
	conn.Write([]byte{5, socksPassword})
	user := read(int(read(2)[1]))
	user = append(user, read(int(read(1)[0]))...)
	conn.Write([]byte{1, 0})
	head, host := read(4), ""
	switch head[3] {
	case socksName:
		host = string(read(int(read(1)[0])))
	case socksIPv4:
		host = net.IP(read(4)).String()
	case socksIPv6:
		host = net.IP(read(16)).String()
	}
	port := binary.BigEndian.Uint16(read(2))
	f.mu.Lock()
	f.asked = append(f.asked, fmt.Sprintf("%d %s:%d", head[3], host, port))
	f.users = append(f.users, string(user))
	reply := f.reply
	f.mu.Unlock()
	if reply != 0 {
		conn.Write([]byte{5, reply, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	there, err := net.Dial("tcp", f.target)
	if err != nil {
		return
	}
	defer there.Close()
	conn.Write(append([]byte{5, 0, 0, socksName, 4}, "name\x00\x50"...))
	go io.Copy(there, conn)
	io.Copy(conn, there)
}

// refuse has the proxy refuse, and forget what it was asked.
func (f *fakeTor) refuse(reply byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reply, f.asked, f.users = reply, nil, nil
}

func (f *fakeTor) seen() (asked, users []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked, f.users
}

// failOnLookup fails the test if a name is looked up here.
func failOnLookup(t *testing.T) {
	t.Helper()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("a name was looked up here")
		return nil, errors.New("no names are looked up in this test")
	}}
	t.Cleanup(func() { net.DefaultResolver = before })
}

const deskOnion = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"

// newHome is a member's folder that has not joined, and its organisation's roster.
func (b *bench) newHome(name string) (home, roster string) {
	b.t.Helper()
	home = filepath.Join(b.t.TempDir(), "home")
	roster = filepath.Join(b.t.TempDir(), "roster.note")
	err := errors.Join(os.Mkdir(home, 0o700), os.WriteFile(filepath.Join(home, "member.key"), []byte(b.Key(name).Reveal()), 0o600), os.WriteFile(roster, b.Service.SignedRoster(), 0o600))
	if err != nil {
		b.t.Fatal(err)
	}
	return home, roster
}

func TestTheDeskIsReachedThroughTorWhichAloneLearnsItsName(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	b.Submit("They keep a second book.")
	failOnLookup(t)
	for _, network := range []string{"tcp", "unix"} {
		for _, address := range []string{deskOnion + ":443", "desk.example.org:8081"} {
			tor := newFakeTor(t, network, b.address)
			home, roster := b.newHome("alice")
			join := []string{"--home", home, "join", roster, "--desk", address, "--root", b.Root.Verifier(), "--socks", tor.address}
			if status, _, stderr := tool(t, join...); status != exitDone {
				t.Fatalf("status %d: %s", status, stderr)
			}
			for range 2 { // without --socks
				if status, out, stderr := tool(t, "--home", home, "inbox"); status != exitDone || !strings.Contains(out, b.tip()) {
					t.Errorf("status %d: %s%s", status, out, stderr)
				}
			}
			asked, users := tor.seen()
			for _, got := range asked {
				if want := "3 " + address; got != want {
					t.Errorf("the proxy was asked for %s, not %s", got, want)
				}
			}
			if len(users) != 2 || users[0] == users[1] || len(users[0]) < 32 {
				t.Errorf("the connections are of %q", users)
			}
		}
	}
}

func TestAnOnionDeskWithoutAProxyIsNeverLookedUp(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	failOnLookup(t)
	home, roster := b.newHome("alice")
	for _, address := range []string{deskOnion + ":443", strings.ToUpper(deskOnion) + ":443", "www.example.onion:443", deskOnion + ".:443", "x.onion.:1"} {
		status, _, stderr := tool(t, "--home", home, "join", roster, "--desk", address, "--root", b.Root.Verifier())
		if status != exitUsage || !strings.Contains(stderr, "onion") {
			t.Errorf("join %s: status %d: %s", address, status, stderr)
		}
		if _, err := desk.Home(home).Config(); !errors.Is(err, desk.ErrNoHome) {
			t.Errorf("join %s set the folder up: %v", address, err)
		}
		// A folder that was set up by hand.
		other := desk.Home(b.t.TempDir())
		if err := errors.Join(other.Join(desk.HomeConfig{Desk: address, Root: b.Root.Verifier()}, b.Service.SignedRoster()),
			os.WriteFile(other.KeyFile(), []byte(b.Key("alice").Reveal()), 0o600)); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"inbox"}, {"--socks", "none", "inbox"}, {"read", "k3f7qwzm2abcdefg"}, {"fetch", "-o", filepath.Join(t.TempDir(), "b")}} {
			status, _, stderr := tool(t, append([]string{"--home", string(other)}, args...)...)
			if status != exitUsage || !strings.Contains(stderr, "--socks 127.0.0.1:9050") {
				t.Errorf("%v at %s: status %d: %s", args, address, status, stderr)
			}
		}
	}
}

func TestALaterJoinKeepsTheProxy(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	home, roster := b.newHome("alice")
	for _, tt := range []struct{ socks, want string }{
		{"", ""}, {"127.0.0.1:9150", "127.0.0.1:9150"}, {"", "127.0.0.1:9150"}, {"unix:/run/tor/socks", "unix:/run/tor/socks"}, {"none", ""}, {"", ""},
	} {
		args := []string{"--home", home, "join", roster, "--desk", b.address, "--root", b.Root.Verifier()}
		if tt.socks != "" {
			args = append(args, "--socks", tt.socks)
		}
		if status, _, stderr := tool(t, args...); status != exitDone {
			t.Fatalf("status %d: %s", status, stderr)
		}
		cfg, err := desk.Home(home).Config()
		if err != nil || cfg.Socks != tt.want {
			t.Errorf("after --socks %q the proxy is %q, not %q, %v", tt.socks, cfg.Socks, tt.want, err)
		}
	}
	for _, socks := range []string{"9050", "127.0.0.1", ":9050", "127.0.0.1:", "unix:socks", "unix:"} {
		if status, _, stderr := tool(t, "--home", home, "--socks", socks, "inbox"); status != exitUsage || !strings.Contains(stderr, "HOST:PORT") {
			t.Errorf("--socks %s: status %d: %s", socks, status, stderr)
		}
	}
}

// What tor says is said with what to do next, in both languages.
func TestTorsRefusalsSayWhatToDoNext(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	tor := newFakeTor(t, "tcp", b.address)
	home, roster := b.newHome("alice")
	if status, _, stderr := tool(t, "--home", home, "join", roster, "--desk", deskOnion+":443", "--root", b.Root.Verifier(), "--socks", tor.address); status != exitDone {
		t.Fatalf("status %d: %s", status, stderr)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() { // as tor's own control port does
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "514 Authentication required.\r\n")
			io.Copy(io.Discard, conn)
		}
	}()
	for _, tt := range []struct {
		reply         byte
		socks         string
		english       string
		next, chinese string
		tries         int
	}{
		{0x01, "", "found no way", "Bootstrapped|SocksPort 9050 ExtendedErrors", "没有说明原因", 2},
		{0x04, "", "not to be found", "SocksPort 9050 ExtendedErrors", "找不到该主机", 2},
		{0x06, "", "too long", "is Tor connected", "超时", 2},
		{0xf0, "", "no onion service announces", "Is the address right", "没有洋葱服务公布", 2},
		{0xf2, "", "does not answer", "does the server run", "没有应答", 2},
		{0xf4, "", "tor has no key for it", "tipbox keygen --onion", "Tor 没有它的密钥", 1},
		{0xf5, "", "does not know the key", "tipbox keygen --onion", "不认得 Tor 持有的密钥", 1},
		{0xf6, "", "mistyped", "Is the address right", "输入有误", 2},
		{0x99, "", "(153)", "Is the address right", "（153）", 2},
		{0, closed.Addr().String(), "no SOCKS proxy is there", "9150", "没有 SOCKS 代理", 0},
		{0, other.Addr().String(), "what is there is no SOCKS proxy", "9150", "不是可用的 SOCKS 代理", 0},
	} {
		for _, lang := range []string{"en", "zh-Hans"} {
			tor.refuse(tt.reply)
			args := []string{"--home", home, "--lang", lang, "inbox"}
			if tt.socks != "" {
				args = append(args, "--socks", tt.socks)
			}
			status, _, stderr := tool(t, args...)
			asked, users := tor.seen()
			if status != exitFailed || len(asked) != tt.tries {
				t.Errorf("%#x: status %d after %d tries: %s", tt.reply, status, len(asked), stderr)
			}
			if len(users) == 2 && users[0] == users[1] {
				t.Errorf("%#x: the second try goes the same way", tt.reply)
			}
			first, second, _ := strings.Cut(stderr, "\n")
			switch {
			case lang == "en":
				next := false
				for want := range strings.SplitSeq(tt.next, "|") {
					next = next || strings.Contains(second, want)
				}
				if !strings.Contains(first, tt.english) || !next {
					t.Errorf("%#x: %s", tt.reply, stderr)
				}
			case !strings.Contains(first, tt.chinese):
				t.Errorf("%#x: %s", tt.reply, stderr)
			}
			if lang != "en" {
				inChinese(t, chinese(t), first, "tipbox", "https")
			}
		}
	}
}

// A proxy that says nothing is left when the member gives up.
func TestAnInterruptEndsTheWaitForTheProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	accepted := make(chan struct{})
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			close(accepted)
			<-ctx.Done()
			time.Sleep(time.Second)
		}
	}()
	done := make(chan error, 1)
	go func() {
		_, err := (&proxy{"tcp", l.Addr().String()}).Dial(ctx, "tcp", deskOnion+":443")
		done <- err
	}()
	<-accepted
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Error("it connected")
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits on")
	}
}

func TestKeygenOnionPrintsTheSameLineAndGivesTorTheKey(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	tor := newFakeTor(t, "tcp", b.address)
	home, roster := b.newHome("alice")
	member, err := os.ReadFile(filepath.Join(home, "member.key"))
	if err != nil {
		t.Fatal(err)
	}
	auth := filepath.Join(home, "onion-auth", "desk.auth_private")
	keygen := func() (line, stderr string) {
		t.Helper()
		status, out, stderr := tool(t, "--home", home, "keygen", "--onion")
		if status != exitDone || strings.Count(out, "\n") != 1 {
			t.Fatalf("status %d: %s%s", status, out, stderr)
		}
		line = strings.TrimSuffix(out, "\n")
		if err := onion.CheckAuthorization(line); err != nil {
			t.Error(err)
		}
		return line, stderr
	}
	line, next := keygen()
	if !strings.Contains(next, "tipbox join ROSTER --desk ADDRESS.onion:443 --socks") {
		t.Errorf("before the join it says %s", next)
	}
	if _, err := os.Stat(auth); err == nil {
		t.Error("tor has a key for no address")
	}
	status, _, stderr := tool(t, "--home", home, "join", roster, "--desk", deskOnion+":443", "--root", b.Root.Verifier(), "--socks", tor.address)
	if status != exitDone || !strings.Contains(stderr, "\n  ClientOnionAuthDir "+filepath.Dir(auth)+"\n") {
		t.Fatalf("status %d: %s", status, stderr)
	}
	forTor := func() string {
		t.Helper()
		text, err := os.ReadFile(auth)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]os.FileMode{auth: 0o600, filepath.Dir(auth): 0o700, filepath.Join(home, "onion.key"): 0o600} {
			if info, err := os.Stat(path); err == nil && info.Mode().Perm() != want {
				t.Errorf("%s has mode %04o", path, info.Mode().Perm())
			}
		}
		key, address, err := onion.ParseForService(strings.TrimSuffix(string(text), "\n"))
		if err != nil || address != deskOnion {
			t.Fatalf("for %s: %v", address, err)
		}
		if files, _ := os.ReadDir(filepath.Dir(auth)); len(files) != 1 {
			t.Errorf("tor finds %d files", len(files))
		}
		return key.Authorization()
	}
	if got := forTor(); got != line {
		t.Errorf("tor has the key of %s, not of %s", got, line)
	}
	again, next := keygen()
	if again != line || !strings.Contains(next, "ClientOnionAuthDir") {
		t.Errorf("a second time it prints %s, not %s: %s", again, line, next)
	}
	if now, err := os.ReadFile(filepath.Join(home, "member.key")); err != nil || !bytes.Equal(now, member) {
		t.Errorf("the member key is another: %v", err)
	}
	// A key that the operator made, and the member put there, is used and not replaced.
	if err := os.Remove(filepath.Join(home, "onion.key")); err != nil {
		t.Fatal(err)
	}
	if kept, _ := keygen(); kept != line || forTor() != line {
		t.Errorf("the key that was there is replaced: %s", kept)
	}
	// After the join comes to the same.
	if err := os.Remove(auth); err != nil {
		t.Fatal(err)
	}
	if fresh, _ := keygen(); fresh == line || forTor() != fresh {
		t.Errorf("after the join it prints %s", fresh)
	}
	if status, out, _ := tool(t, "--home", home, "--json", "keygen", "--onion"); status != exitDone || !strings.HasPrefix(out, `{"authorization":"descriptor:x25519:`) {
		t.Errorf("as JSON: status %d: %s", status, out)
	}
}

func TestKeygenOnionRefuses(t *testing.T) {
	home := t.TempDir()
	for _, args := range [][]string{{"keygen"}, {"keygen", "alice", "--onion"}, {"keygen", "--onion", "--protect"}} {
		if status, out, stderr := tool(t, append([]string{"--home", home}, args...)...); status != exitUsage || out != "" {
			t.Errorf("%v: status %d: %s%s", args, status, out, stderr)
		}
	}
	path := filepath.Join(home, "onion.key")
	for text, mode := range map[string]os.FileMode{"not a key": 0o600, "": 0o644} {
		os.Remove(path)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if status, out, stderr := tool(t, "--home", home, "keygen", "--onion"); status != exitFailed || out != "" || !strings.Contains(stderr, "onion.key") {
			t.Errorf("with %q: status %d: %s%s", text, status, out, stderr)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != text {
			t.Errorf("%q became %q, %v", text, now, err)
		}
	}
}
