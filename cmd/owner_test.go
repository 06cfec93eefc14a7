package cmd_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"
)

// TestWhatRootMakesInAFolderIsItsOwners sets a server up as an operator does who is
// root, in the folder of another user, as whom the server then runs.
func TestWhatRootMakesInAFolderIsItsOwners(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("it takes root to act as another user")
	}
	const owner = 65534
	dir, err := os.MkdirTemp("/tmp", "tipbox-owner-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	folder := filepath.Join(dir, "srv")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(folder, owner, owner); err != nil {
		t.Fatal(err)
	}
	o := newOfficeAt(t, folder, 1, testAddress(t), testAddress(t))
	note := filepath.Join(folder, "roster.note")
	if err := os.Remove(note); err != nil { // which the office put there as root
		t.Fatal(err)
	}
	roots := filepath.Join(t.TempDir(), "roster.note")
	if err := os.WriteFile(roots, o.signed, 0o600); err != nil {
		t.Fatal(err)
	}
	tipboxd(t, "roster", folder, roots)
	tipboxd(t, "check", folder)
	tipboxd(t, "compact", folder)
	tipboxd(t, "notify", folder)
	server := o.serve(t)
	tipboxd(t, "status", folder)
	if _, err := sendOne(o, rand.New(rand.NewPCG(1, 2)), "with files"); err != nil {
		t.Fatal(err)
	}
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "backup.key")
	if err := os.WriteFile(keyFile, []byte(key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "tipbox.age") // where only root gets to
	tipboxd(t, "backup", folder, backup, "--recipient", key.Recipient().String())
	server.stop(t)
	restored := filepath.Join(dir, "restored")
	if err := os.Mkdir(restored, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(restored, owner, owner); err != nil {
		t.Fatal(err)
	}
	tipboxd(t, "restore", backup, restored, "-i", keyFile)
	for _, folder := range []string{folder, restored} {
		mustBelongTo(t, folder, owner)
	}
	if out, err := exec.Command(program("tipboxd"), "doctor", folder).CombinedOutput(); !strings.Contains(string(out), "ok       permissions") {
		t.Errorf("%v\n%s", err, out)
	}
}

// mustBelongTo looks whose all is in a folder.
func mustBelongTo(t *testing.T, folder string, owner uint32) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != owner {
			t.Errorf("%s belongs to another", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
