package cmd_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServerOnSockets has the real server, confined as this machine can, take a tip and
// show it at the desk, each on a Unix socket. Killed, it leaves its sockets, which
// make way at the next start; told to stop, it takes them along.
func TestServerOnSockets(t *testing.T) {
	t.Parallel()
	run := t.TempDir()
	sources, members := filepath.Join(run, "sources.sock"), filepath.Join(run, "desk.sock")
	o := newOfficeAt(t, filepath.Join(t.TempDir(), "server"), 1, "unix:"+sources, "unix:"+members)
	server := o.serve(t)
	tips := o.sendKnown(t, 1, 1, 100<<10)
	if err := o.identify(t, tips...); err != nil {
		t.Fatal(err)
	}
	if out, errs, err := o.tool(t, "inbox"); err != nil || !strings.Contains(out, tips[0].id) {
		t.Errorf("the inbox: %v: %s%s", err, out, errs)
	}
	for _, path := range []string{sources, members} {
		if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeSocket|0o660 {
			t.Errorf("%v, %v", info, err)
		}
	}

	server.end(syscall.SIGKILL)
	for _, path := range []string{sources, members} {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("killed, it took its socket along: %v", err)
		}
	}
	server = o.serve(t)
	o.mustStay(t, "after a kill", tips...)
	server.stop(t)
	if left, err := os.ReadDir(run); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}

	// Where there is more than sockets, nothing can be removed from inside.
	precious := filepath.Join(run, "backup.age")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.serve(t).stop(t)
	server = o.serve(t)
	o.mustStay(t, "after a stop that left sockets", tips...)
	server.stop(t)
	if log := server.output.Bytes(); bytes.Contains(log, []byte("level=ERROR")) {
		t.Errorf("something failed:\n%s", log)
	}
	if _, err := os.Lstat(precious); err != nil {
		t.Error(err)
	}
	o.mustBeWhole(t, true)
}

// TestServersDoNotTakeEachOthersSockets has two folders be set to one socket.
func TestServersDoNotTakeEachOthersSockets(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sources.sock")
	one := newOfficeAt(t, filepath.Join(t.TempDir(), "one"), 1, "unix:"+path, testAddress(t))
	other := newOfficeAt(t, filepath.Join(t.TempDir(), "other"), 1, "unix:"+path, testAddress(t))
	server := one.serve(t)
	second := other.launch(t)
	<-second.ended
	if second.err == nil || !bytes.Contains(second.output.Bytes(), []byte("another server answers at "+path)) {
		t.Errorf("%v: %s", second.err, second.output.Bytes())
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the first is reached no more: %v", err)
	}
	conn.Close()
	server.stop(t)
}

// TestDemoOnSockets has the demo say how to get there, and its members get there: as soon
// as it answers anybody.
func TestDemoOnSockets(t *testing.T) {
	t.Parallel()
	run, dir := t.TempDir(), filepath.Join(t.TempDir(), "demo")
	at := "unix:" + filepath.Join(run, "sources.sock")
	server := begin(t, exec.Command(program("tipboxd"), "demo", "--dir", dir, "--listen", at, "--desk", "unix:"+filepath.Join(run, "desk.sock")))
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := newSource(at).get("/healthz"); err == nil {
			break
		}
	}
	members, err := filepath.Glob(filepath.Join(dir, "members", "*"))
	if err != nil || len(members) == 0 {
		t.Error(members, err)
	}
	for _, home := range members {
		if _, err := os.Stat(filepath.Join(home, "tipbox.toml")); err != nil {
			t.Error("it answers before its members are set up: ", err)
		}
	}
	for range 3000 {
		if bytes.Contains(server.output.Bytes(), []byte("Stop with Ctrl-C")) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if want := "Sources:  " + at + " (curl --unix-socket " + run + "/sources.sock http://localhost/)\n"; !bytes.Contains(server.output.Bytes(), []byte(want)) {
		t.Errorf("%s\ndoes not say %q", server.output.Bytes(), want)
	}
	if _, err := newSource(at).get("/"); err != nil {
		t.Error(err)
	}
	out, err := exec.Command(program("tipbox"), "--home", filepath.Join(dir, "members", "investigator"), "inbox").CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	server.stop(t)
}
