//go:build amd64 || arm64

package cmd_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"

	"tipbox/crypto/roster"
)

// TestConfinedServerDoesAllItsWork has the real server take a tip with a file, show it
// at the desk, back itself up, erase, compact, take up a new roster, and end. Its
// folder is so deep that its control socket cannot be named.
func TestConfinedServerDoesAllItsWork(t *testing.T) {
	if abi, err := ll.LandlockGetABIVersion(); err != nil || abi < 2 {
		t.Skipf("this kernel has Landlock %d (%v), the test needs 2", abi, err)
	}
	o := newOffice(t, filepath.Join(t.TempDir(), strings.Repeat("deep", 30)), 1)
	server := o.serve(t, "TMPDIR="+t.TempDir()) // which is shut, but is looked for
	for name, want := range map[string]int{"NoNewPrivs": 1, "Seccomp": 2, "Seccomp_filters": 1} {
		if got := server.status(t, name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	if locked := server.status(t, "VmLck"); locked < 1024 && !bytes.Contains(server.output.Bytes(), []byte("LimitMEMLOCK")) {
		t.Errorf("%d KiB are locked, and the log does not say why:\n%s", locked, server.output.Bytes())
	} else if locked > 16<<20 {
		t.Errorf("%d KiB are locked, with the database's file", locked)
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", server.cmd.Process.Pid))
	if err != nil || !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0 bytes") {
		t.Errorf("core dumps: %v\n%s", err, limits)
	}

	if status := tipboxd(t, "status", o.dir); !strings.Contains(status, "no core dumps") || !strings.Contains(status, "Landlock, seccomp") {
		t.Errorf("the status does not say what confines it:\n%s", status)
	}

	tips := o.sendKnown(t, 3, 2, 100<<10)
	if err := o.identify(t, tips...); err != nil {
		t.Fatal(err)
	}
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "backup.age")
	tipboxd(t, "backup", o.dir, backup, "--recipient", key.Recipient().String())
	if err := o.erase(t, tips[2].id); err != nil {
		t.Fatal(err)
	}
	tipboxd(t, "compact", o.dir)
	o.mustStay(t, "after compact", tips[:2]...)
	tips = append(tips[:2], o.sendKnown(t, 1, 1, 5<<20)...)

	o.enter(t, "reader9")
	for range 100 {
		if bytes.Contains(server.output.Bytes(), []byte("new roster")) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if !bytes.Contains(server.output.Bytes(), []byte("new roster")) {
		t.Errorf("the new roster is not taken up:\n%s", server.output.Bytes())
	}
	tips = append(tips, o.sendKnown(t, 1, 1, 1000)...)
	o.mustStay(t, "after a new roster", tips...)

	server.stop(t)
	if log := server.output.Bytes(); bytes.Contains(log, []byte("level=ERROR")) || bytes.Contains(log, []byte("permi")) && !bytes.Contains(log, []byte("LimitMEMLOCK")) {
		t.Errorf("something failed:\n%s", log)
	}
	if _, err := os.Lstat(filepath.Join(o.dir, "control.sock")); !os.IsNotExist(err) {
		t.Errorf("the control socket is left: %v", err)
	}
	o.mustBeWhole(t, true)
}

// enter adds a reader to the roster and puts the signed one into the folder, as
// another file of that name.
func (o *office) enter(t *testing.T, name string) {
	t.Helper()
	key, err := roster.NewMemberKey(name)
	if err != nil {
		t.Fatal(err)
	}
	card, err := key.Card()
	if err != nil {
		t.Fatal(err)
	}
	next, err := roster.Open(o.signed, o.root.Verifier(), roster.Mark{})
	if err != nil {
		t.Fatal(err)
	}
	next.Serial++
	today := time.Now().UTC().Format(time.DateOnly)
	if err := next.Add(&roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{officeChannel}, CardText: card.Text}, today); err != nil {
		t.Fatal(err)
	}
	if o.signed, err = next.Sign(o.root); err != nil {
		t.Fatal(err)
	}
	if o.roster, err = roster.Open(o.signed, o.root.Verifier(), roster.Mark{}); err != nil {
		t.Fatal(err)
	}
	note := filepath.Join(o.dir, "roster.note")
	if err := os.WriteFile(note+".new", o.signed, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(note+".new", note); err != nil {
		t.Fatal(err)
	}
}
