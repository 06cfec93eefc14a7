//go:build linux

package cmd_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// ownMounts gives the test's thread mounts of its own, which end with it, and
// makes dir a small disk. Programs that the test's goroutine starts see it.
// Without root it runs the test again in a process of its own, as root of a
// user namespace, and returns false.
func ownMounts(t *testing.T, dir string, mib int) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		asRoot(t)
		return false
	}
	runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		t.Fatalf("mounts of our own: %v", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatalf("mounts of our own: %v", err)
	}
	mount(t, "tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", mib))
	return true
}

// mount mounts until the test ends.
func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, flags, data); err != nil {
		t.Fatalf("mounting %s: %v", target, err)
	}
	t.Cleanup(func() { syscall.Unmount(target, syscall.MNT_DETACH) })
}

// asRoot runs the test in a user namespace.
func asRoot(t *testing.T) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) || bytes.Contains(out, []byte("mounts of our own: ")) {
		t.Skipf("a small disk takes root, or user namespaces, which this system refuses: run the test as root\n%v\n%s", err, out)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// fill fills the disk that path is on with a file there, all but so many MiB.
func fill(t testing.TB, path string, but int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	info, err := f.Stat()
	if err == nil && but > 0 {
		err = f.Truncate(info.Size() - but<<20)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk fills the disk under a running server: first up to the reserve
// for texts, then to the last byte.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if !ownMounts(t, disk, 64) {
		return
	}
	o := newOffice(t, filepath.Join(disk, "server"), 2)
	o.set(t, "reserve_mib", 8)
	server := o.serve(t)
	known := o.sendKnown(t, 8, 1, 100_000)
	s := newSource(o.sources)
	waiting, err := s.get("/tip")
	if err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(disk, "ballast")

	// A file that would reach into the reserve finds no room. The form can be
	// sent again as it is.
	big := file{"big.bin", crashFile{1, 3 << 20}.content()}
	fields := url.Values{"channel": {officeChannel}, "text": {"with a big file"}}
	fill(t, ballast, 10)
	status, page, err := s.post(waiting, "/tip", fields, big)
	mustRefuse(t, status, page, err, "with a big file")
	if status != http.StatusInsufficientStorage || !strings.Contains(notice(page), "no room for files") {
		t.Errorf("status %d: %s", status, notice(page))
	}
	fill(t, ballast, 7)
	status, page, err = o.trySend(s, "with a small file", file{"small.bin", []byte("small")})
	mustRefuse(t, status, page, err, "with a small file")
	known = append(known, o.sendKnown(t, 30, 0, 0)...) // texts go on

	// Without the reserve the database has a little room left in itself.
	fill(t, ballast, 0)
	status, page, err = s.post(waiting, "/tip", fields, big)
	mustRefuse(t, status, page, err, "with a big file")
	text, more := strings.Repeat("full ", 2000), 0
	for status = http.StatusOK; status == http.StatusOK; more++ {
		fill(t, ballast, 0)
		text := fmt.Sprintf("%s%d", text, more)
		status, page, err = o.trySend(s, text)
		if err != nil {
			t.Fatal(err)
		}
		if status == http.StatusOK {
			known = append(known, &knownTip{words: element(page, "receipt-code"), text: text})
		} else {
			mustRefuse(t, status, page, err, text)
		}
		if more > 3000 {
			t.Fatal("the full disk takes tip after tip")
		}
	}
	t.Logf("%d text tips went into the full disk", more-1)
	thread, err := (&crashTip{words: known[0].words}).thread(s)
	if err != nil {
		t.Fatal(err)
	}
	status, page, err = s.post(thread, "/thread/message", url.Values{"text": {"more"}}, big)
	mustRefuse(t, status, page, err, "more")
	o.mustStay(t, "on the full disk", known[:8]...)

	// A start on the full disk serves what there is.
	server.stop(t)
	o.mustBeWhole(t, true)
	fill(t, ballast, 0)
	server = o.serve(t)
	o.mustStay(t, "after a start on the full disk", known[:8]...)

	// With room again it goes on as if nothing had been.
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	status, page, err = s.post(waiting, "/tip", fields, big)
	if err != nil || status != http.StatusOK {
		t.Fatalf("with room again: status %d, %v: %s", status, err, notice(page))
	}
	known = append(known, &knownTip{words: element(page, "receipt-code"), text: "with a big file", files: []file{big}})
	known = append(known, o.sendKnown(t, 2, 1, 1000)...)
	if err := o.identify(t, known...); err != nil {
		t.Fatal(err)
	}
	o.mustStay(t, "with room again", known...)
	server.stop(t)
	server.mustNotHavePanicked(t)
	if report := o.mustBeWhole(t, true); report.Tips != len(known) {
		t.Errorf("%d tips, %d have a receipt", report.Tips, len(known))
	}
}

// TestFullDiskWithoutRestart is the same without a restart between.
func TestFullDiskWithoutRestart(t *testing.T) {
	disk := t.TempDir()
	if !ownMounts(t, disk, 16) {
		return
	}
	o := newOffice(t, filepath.Join(disk, "server"), 2)
	o.set(t, "reserve_mib", 0)
	server := o.serve(t)
	known := o.sendKnown(t, 2, 1, 1000)
	s, ballast := newSource(o.sources), filepath.Join(disk, "ballast")
	for range 3 {
		refused := 0
		for i := 0; refused < 3 && i < 3000; i++ {
			fill(t, ballast, 0)
			text := fmt.Sprintf("%s%d", strings.Repeat("full ", 2000), i)
			status, page, err := o.trySend(s, text)
			if err == nil && status == http.StatusOK {
				known = append(known, &knownTip{words: element(page, "receipt-code"), text: text})
				continue
			}
			mustRefuse(t, status, page, err, text)
			refused++
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		known = append(known, o.sendKnown(t, 2, 1, 1000)...)
	}
	if err := o.identify(t, known...); err != nil {
		t.Fatal(err)
	}
	o.mustStay(t, "at the end", known...)
	server.stop(t)
	o.mustBeWhole(t, true)
}

// TestReadOnlyFolder makes the disk, and then only the attachments' folder,
// read-only.
func TestReadOnlyFolder(t *testing.T) {
	disk := t.TempDir()
	if !ownMounts(t, disk, 32) {
		return
	}
	o := newOffice(t, filepath.Join(disk, "server"), 2)
	o.set(t, "reserve_mib", 0)
	blobs := filepath.Join(o.dir, "blobs")
	mount(t, blobs, blobs, "", syscall.MS_BIND, "")
	readOnly := func(path string, flags uintptr) {
		t.Helper()
		if err := syscall.Mount("", path, "", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatalf("mounting %s again: %v", path, err)
		}
	}
	server := o.serve(t)
	known := o.sendKnown(t, 2, 1, 10_000)
	readOnly(blobs, syscall.MS_BIND|syscall.MS_RDONLY)
	s := newSource(o.sources)
	status, page, err := o.trySend(s, "a file on a read-only disk", file{"a.bin", []byte("a")})
	mustRefuse(t, status, page, err, "a file on a read-only disk")
	known = append(known, o.sendKnown(t, 2, 0, 0)...) // texts go on
	o.mustStay(t, "with read-only attachments", known...)
	readOnly(blobs, syscall.MS_BIND)
	known = append(known, o.sendKnown(t, 1, 1, 10_000)...)
	server.stop(t)
	server.mustNotHavePanicked(t)

	readOnly(disk, syscall.MS_RDONLY)
	refused := o.launch(t)
	<-refused.ended
	if log := string(refused.output.Bytes()); refused.err == nil || !strings.Contains(log, "read-only file system") || !strings.Contains(log, o.dir) {
		t.Errorf("started on a read-only disk: %v\n%s", refused.err, log)
	}
	readOnly(disk, 0)
	o.mustBeWhole(t, true)
	o.serve(t)
	o.mustStay(t, "after all", known...)
}
