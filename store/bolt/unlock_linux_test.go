package bolt

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tipbox/store"
)

// lockVariable tells this test that it is in a process of its own, which it may
// lock in memory.
const lockVariable = "TIPBOX_TEST_LOCK"

func TestFileIsNotLockedInMemory(t *testing.T) {
	if os.Getenv(lockVariable) == "" {
		child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
		child.Env = append(os.Environ(), lockVariable+"=1")
		out, err := child.CombinedOutput()
		if strings.Contains(string(out), "--- SKIP") {
			t.Skipf("%s", out)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	path := filepath.Join(t.TempDir(), "locked.db")
	db, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	mustBeLocked := func(when string, want bool) {
		t.Helper()
		maps := mappings(t, "locked.db")
		if len(maps) == 0 {
			t.Fatalf("%s: no mapping", when)
		}
		for _, flags := range maps {
			if got := strings.Contains(flags+" ", " lo "); got != want {
				t.Errorf("%s: locked is %v: %s", when, got, flags)
			}
		}
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		t.Skip("this process may not lock its memory: ", err)
	}
	mustBeLocked("before a write", true)
	ctx := context.Background()
	if err := db.Apply(ctx, store.Change{Op: store.OpPut, Key: "a", Value: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	mustBeLocked("after a write", false)
	if err := db.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	mustBeLocked("compacted", false)
	copied, err := layOut(newFile(t, "locked.db.copy"))
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	mustBeLocked("a copy begun", false)
}

func newFile(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// mappings are the kernel's flags of the mappings of files of which the name has
// that part.
func mappings(t *testing.T, part string) (flags []string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	header := regexp.MustCompile(`^[0-9a-f]+-[0-9a-f]+ `)
	ours := false
	for line := range strings.Lines(string(text)) {
		if header.MatchString(line) {
			ours = strings.Contains(line, part)
		}
		if ours && strings.HasPrefix(line, "VmFlags:") {
			flags = append(flags, strings.TrimSpace(line))
		}
	}
	return flags
}
