package cmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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
	err = filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
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
	if out, err := exec.Command(program("tipboxd"), "doctor", folder).CombinedOutput(); !strings.Contains(string(out), "ok       permissions") {
		t.Errorf("%v\n%s", err, out)
	}
}
