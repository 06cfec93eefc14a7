package main

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/tipbox/desk"
)

func TestListenAddresses(t *testing.T) {
	long := "unix:/" + strings.Repeat("x", maxSocketPath)
	for _, c := range []struct{ sources, desk, want string }{
		{"127.0.0.1:8080", "127.0.0.1:8081", ""},
		{":8080", "[::1]:8081", ""},
		{"unix:/run/tipbox/sources.sock", "unix:/run/tipbox/desk.sock", ""},
		{"127.0.0.1:8080", "unix:/run/tipbox/desk.sock", ""},
		{long[:len(long)-1], "127.0.0.1:8081", ""},

		{"127.0.0.1", "127.0.0.1:8081", `listen: "127.0.0.1" is neither HOST:PORT nor unix:/PATH`},
		{"", "127.0.0.1:8081", "listen: \"\" is neither"},
		{"127.0.0.1:8080", "/run/tipbox/desk.sock", "desk: "},
		{"unix:run/sources.sock", ":8081", "a path that begins with /"},
		{"unix:@sources", ":8081", "a path that begins with /"},
		{"unix:/run/tipbox/", ":8081", "names a file"},
		{"unix:", ":8081", "a path that begins with /"},
		{long, ":8081", "108 bytes, and a socket's may be of 107"},
		{"unix:/run/s", "unix:/run/s", "listen and desk are both"},
	} {
		err := listenAddresses{c.sources, c.desk}.check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, %q: %v, want %q", c.sources, c.desk, err, c.want)
		}
	}
}

// TestWrongAddressesAreNamed has each command name what is wrong before it makes or
// opens anything.
func TestWrongAddressesAreNamed(t *testing.T) {
	root, err := roster.NewSigningKey("root")
	if err != nil {
		t.Fatal(err)
	}
	there := filepath.Join(t.TempDir(), "there")
	for _, args := range [][]string{
		{"init", there, "--root", root.Verifier(), "--listen", "unix:x.sock"},
		{"demo", "--dir", there, "--desk", "unix:x.sock"},
	} {
		if status, says := runProgram(t, args...); status != exitFailed || !strings.Contains(says, "a path that begins with /") {
			t.Errorf("%s: status %d, %s", args[0], status, says)
		}
		if _, err := os.Lstat(there); err == nil {
			t.Errorf("%s made a folder", args[0])
		}
	}
	dir := newDemo(t, "")
	text, err := os.ReadFile(filepath.Join(dir, configName))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, configName, strings.Replace(string(text), "'127.0.0.1:0'", "'unix:x.sock'", 1))
	if status, says := runProgram(t, "serve", dir); status != exitFailed || !strings.Contains(says, "tipbox.toml: listen: ") {
		t.Errorf("serve: status %d, %s", status, says)
	}
}

func mustListen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := listenAt(unixPrefix + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// leaveSocket leaves what a server that was killed leaves.
func leaveSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		t.Fatal(info, err)
	}
}

func TestSocketIsForTheGroup(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077} {
		before := syscall.Umask(mask)
		path := filepath.Join(t.TempDir(), "s")
		l := mustListen(t, path)
		syscall.Umask(before)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
			t.Errorf("with the umask %04o: %v, %v", mask, info.Mode(), err)
		}
		if got := addressOf(l); got != unixPrefix+path {
			t.Errorf("it is at %q", got)
		}
	}
}

// TestSocketHasTheFoldersGroup is of a folder that is set-gid. Only root can make it so
// for a group that it is not in.
func TestSocketHasTheFoldersGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, -1, 4242); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o750|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	mustListen(t, filepath.Join(dir, "s"))
	info, err := os.Stat(filepath.Join(dir, "s"))
	if err != nil || info.Sys().(*syscall.Stat_t).Gid != 4242 {
		t.Errorf("%+v, %v", info.Sys(), err)
	}
}

func TestSocketOfADeadServerMakesWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	leaveSocket(t, path)
	l := mustListen(t, path)
	go func() {
		if conn, err := l.Accept(); err == nil {
			conn.Close()
		}
	}()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestSocketOfALiveServerStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	mustListen(t, path)
	before, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenAt(unixPrefix + path); err == nil || !strings.Contains(err.Error(), "another server answers at "+path) {
		t.Errorf("%v", err)
	}
	if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("it is another one now: %v", err)
	}
}

func TestWhatIsNoSocketStays(t *testing.T) {
	dir := t.TempDir()
	leaveSocket(t, filepath.Join(dir, "stale"))
	write(t, dir, "file", "precious")
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "folder"), 0o700),
		os.Symlink(filepath.Join(dir, "stale"), filepath.Join(dir, "link")),
		os.Symlink(filepath.Join(dir, "none"), filepath.Join(dir, "dangling")),
		syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"file", "folder", "link", "dangling", "fifo"} {
		before, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := listenAt(unixPrefix + filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), "is there and no socket") {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.Lstat(filepath.Join(dir, name)); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s: it is another one now: %v", name, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "stale")); err != nil {
		t.Errorf("what a link led to: %v", err)
	}
}

func TestFolderOfASocketMustBeThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "s")
	if _, err := listenAt(unixPrefix + path); err == nil || !strings.Contains(err.Error(), "mkdir -m 2750 "+filepath.Dir(path)+",") {
		t.Errorf("%v", err)
	}
}

// TestSocketGoesWithItsServer also has another file in its place by then.
func TestSocketGoesWithItsServer(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	l := mustListen(t, path)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("it is left: %v", err)
	}
	for what, put := range map[string]func(){
		"a file":                  func() { write(t, dir, "s", "precious") },
		"another server's socket": func() { mustListen(t, path) },
	} {
		first := mustListen(t, path)
		if err := os.Rename(path, path+".away"); err != nil { // its inode is not free
			t.Fatal(err)
		}
		put()
		first.Close()
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s is gone: %v", what, err)
		}
		os.Remove(path)
		os.Remove(path + ".away")
	}
}

// TestOnlySocketsMayBeRemovedFromInside has the confinement leave out a folder in which there is
// more to lose than sockets.
func TestOnlySocketsMayBeRemovedFromInside(t *testing.T) {
	run, srv := t.TempDir(), t.TempDir()
	mustListen(t, filepath.Join(run, "sources.sock"))
	mustListen(t, filepath.Join(srv, "desk.sock"))
	write(t, srv, "backup.age", "precious")
	f := &folder{path: t.TempDir(), listens: listenAddresses{"unix:" + run + "/sources.sock", "unix:" + srv + "/desk.sock"}}
	if c := f.confinement(); len(c.clear) != 1 || c.clear[0] != run {
		t.Errorf("files can be removed from %q", c.clear)
	}
}

// TestServingOnSockets reaches a server on both, and has status and doctor name them.
func TestServingOnSockets(t *testing.T) {
	dir, _ := soundFolder(t)
	run := t.TempDir()
	at := listenAddresses{"unix:" + run + "/sources.sock", "unix:" + run + "/desk.sock"}
	reset(t, dir, func(c *config) { c.Listen, c.Desk = at.Sources, at.Desk })
	s := serveFolder(t, dir)
	s.wait(t, func() bool { return bytes.Contains(s.log.Bytes(), []byte("msg=serving")) })
	if !bytes.Contains(s.log.Bytes(), []byte("sources="+at.Sources+" desk="+at.Desk)) {
		t.Errorf("the log: %s", s.log.Bytes())
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", run+"/sources.sock")
	}}}
	resp, err := client.Get("http://tips.example/tip")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	client.CloseIdleConnections()
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(page, []byte(`action="/tip"`)) {
		t.Errorf("status %d, %v: %s", resp.StatusCode, err, page)
	}

	f := &folder{path: dir}
	if err := f.readConfig(); err != nil {
		t.Fatal(err)
	}
	home := desk.Home(filepath.Join(dir, "members", "investigator"))
	text, err := os.ReadFile(home.KeyFile())
	if err != nil {
		t.Fatal(err)
	}
	key, err := roster.ParseMemberKey(string(text))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := os.ReadFile(filepath.Join(dir, rosterName))
	if err != nil {
		t.Fatal(err)
	}
	r, err := roster.Open(signed, f.config.Root, roster.Mark{})
	if err != nil {
		t.Fatal(err)
	}
	member, err := desk.NewClient(desk.ClientConfig{Address: at.Desk, Key: key.SigningKey, Roster: r})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := member.Roster(t.Context()); err != nil || !bytes.Equal(got, signed) {
		t.Errorf("the desk: %v", err)
	}
	member.Close()

	if status, says := runProgram(t, "status", dir); status != exitDone || !strings.Contains(says, "for sources at "+at.Sources+", for members at "+at.Desk) {
		t.Errorf("status %d: %s", status, says)
	}
	if found := examine(t.Context(), dir, soundMachine()); !has(found, "addresses", levelOK, "sources at "+at.Sources+", members at "+at.Desk) {
		t.Errorf("the doctor: %+v", found)
	}
	s.end(t)
	if left, err := os.ReadDir(run); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
