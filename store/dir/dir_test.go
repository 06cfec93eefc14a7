package dir

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tipbox/store"
	"tipbox/store/storetest"
)

func TestBlobs(t *testing.T) {
	storetest.TestBlobs(t, func(t *testing.T) store.Blobs { return start(t, filepath.Join(t.TempDir(), "blobs")) })
}

func TestCommittedBlobSurvivesReopening(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "blobs")
	b := start(t, folder)
	put(t, b, name(1), "kept")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = start(t, folder)
	if got := read(t, b, name(1)); got != "kept" {
		t.Errorf("after reopening: %q", got)
	}
	neighbour := shard(name(1)) + name(2)
	put(t, b, neighbour, "new")
	if got := read(t, b, neighbour); got != "new" {
		t.Errorf("in a shard that was there: %q", got)
	}
}

func TestFilesAndFoldersAreForTheOwnerOnly(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "blobs")
	b := start(t, folder)
	put(t, b, name(1), "x")
	unfinished(t, b, name(2))
	each(t, folder, func(path string, info fs.FileInfo) {
		want := fs.FileMode(0o600)
		if info.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
	})
}

func TestTimesAreConstant(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "blobs")
	constant := func(when string) {
		t.Helper()
		each(t, folder, func(path string, info fs.FileInfo) {
			if always := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC); !info.ModTime().Equal(always) {
				t.Errorf("%s, %s was modified %v", when, path, info.ModTime())
			}
			if accessed, ok := accessTime(info); ok && !info.IsDir() && accessed.Year() != 1980 {
				t.Errorf("%s, %s was accessed %v", when, path, accessed)
			}
		})
	}
	b := start(t, folder)
	constant("at first")
	for i := range 3 {
		put(t, b, name(i), strings.Repeat("x", 1000*i))
	}
	constant("after commits")
	read(t, b, name(2))
	constant("after reading")
	if err := b.Remove(t.Context(), name(2)); err != nil {
		t.Fatal(err)
	}
	constant("after removing")
	unfinished(t, b, name(2)).Abort()
	constant("after aborting")
	start(t, folder)
	constant("after reopening")
}

func TestAbortLeavesNothing(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "blobs")
	b := start(t, folder)
	before := files(t, folder)
	unfinished(t, b, name(1)).Abort()
	if after := files(t, folder); !slices.Equal(before, after) {
		t.Errorf("left after Abort: %q", after)
	}
}

func TestRefusedCommitLeavesNothing(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "blobs")
	b := start(t, folder)
	late := unfinished(t, b, name(1))
	put(t, b, name(1), "first")
	before := len(files(t, folder))
	if err := late.Commit(); !errors.Is(err, store.ErrExists) {
		t.Fatalf("Commit: %v", err)
	}
	if after := files(t, folder); len(after) != before-1 {
		t.Errorf("left after a refused Commit: %q", after)
	}
}

func TestOpenSweepsWhatWasNotCommitted(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "blobs")
	b := start(t, folder)
	put(t, b, name(1), "kept")
	unfinished(t, b, name(2))
	want := files(t, folder)
	want = slices.DeleteFunc(want, func(f string) bool { return strings.HasPrefix(f, tmp+"/") })
	// A crash right after a blob got its name leaves the other name too.
	if err := os.Link(filepath.Join(folder, place(name(1))), filepath.Join(folder, tmp, "LINK")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(folder, tmp, "sub", "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	b = start(t, folder)
	if got := files(t, folder); !slices.Equal(got, want) {
		t.Errorf("after Open there are %q, want %q", got, want)
	}
	if got := read(t, b, name(1)); got != "kept" {
		t.Errorf("the committed blob: %q", got)
	}
}

func TestNothingOutsideTheFolderIsTouched(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, name(1))
	if err := os.WriteFile(secret, []byte("outside"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "blobs")
	b := start(t, folder)
	// A shard that leads out of the folder.
	if err := os.Symlink(outside, filepath.Join(folder, shard(name(1)))); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open(t.Context(), name(1)); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("Open through a link: %v", err)
	}
	if err := b.Remove(t.Context(), name(1)); err == nil {
		t.Error("Remove through a link is no error")
	}
	if _, err := b.Create(t.Context(), name(1)); err == nil {
		t.Error("Create through a link is no error")
	}
	if err := b.List(t.Context(), func(name string, _ int64) error { return errors.New(name) }); err != nil {
		t.Errorf("List through a link: %v", err)
	}
	if got, err := os.ReadFile(secret); string(got) != "outside" {
		t.Errorf("outside the folder: %q, %v", got, err)
	}
	// A tmp that leads out of it is replaced, and not followed.
	if err := os.RemoveAll(filepath.Join(folder, tmp)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(folder, tmp)); err != nil {
		t.Fatal(err)
	}
	start(t, folder)
	if got, err := os.ReadFile(secret); string(got) != "outside" {
		t.Errorf("after Open, outside the folder: %q, %v", got, err)
	}
}

func TestListPassesOverStrangers(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "blobs")
	b := start(t, folder)
	put(t, b, name(1), "x")
	for _, path := range []string{"README", name(2), "lost+found/x", shard(name(1)) + "/README", "zz/" + name(1), "zzz/zzzzzzzzzzzzzzzzzzzz"} {
		path = filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(folder, shard(name(1)), shard(name(1))+"aaaaaaaaaaaaaaaaaa"), 0o700); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := b.List(t.Context(), func(name string, _ int64) error {
		got = append(got, name)
		return nil
	})
	if err != nil || !slices.Equal(got, []string{name(1)}) {
		t.Errorf("List: %q, %v", got, err)
	}
}

func TestErrorsOfTheFolder(t *testing.T) {
	parent := t.TempDir()
	if _, err := Open(filepath.Join(parent, "not", "there"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open without a parent: %v", err)
	}
	file := filepath.Join(parent, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, nil); err == nil {
		t.Error("Open of a file is no error")
	}

	folder := filepath.Join(parent, "blobs")
	b := start(t, folder)
	put(t, b, name(1), "x")
	w := unfinished(t, b, name(2))
	if err := os.RemoveAll(filepath.Join(folder, tmp)); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err == nil {
		t.Error("Commit of a file that was taken away is no error")
	}
	if _, err := b.Create(t.Context(), name(3)); err == nil {
		t.Error("Create without tmp is no error")
	}
	if _, err := b.Open(t.Context(), name(2)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Open after a failed Commit: %v", err)
	}
	if got := read(t, b, name(1)); got != "x" {
		t.Errorf("the other blob: %q", got)
	}
}

func TestReadOnlyFolderIsAnError(t *testing.T) {
	if os.Geteuid() == 0 {
		asNobody(t)
		return
	}
	folder := filepath.Join(t.TempDir(), "blobs")
	b := start(t, folder)
	put(t, b, name(1), "x")
	mode := func(mode fs.FileMode) {
		t.Helper()
		for _, dir := range []string{shard(name(1)), tmp, "."} {
			if err := os.Chmod(filepath.Join(folder, dir), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode(0o500)
	defer mode(0o700)
	if _, err := b.Create(t.Context(), name(2)); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Create: %v", err)
	}
	if err := b.Remove(t.Context(), name(1)); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Remove: %v", err)
	}
	if _, err := Open(folder, nil); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Open: %v", err)
	}
	if got := read(t, b, name(1)); got != "x" {
		t.Errorf("reading: %q", got)
	}
}

// asNobody runs the calling test again in a process that is not root, since
// root may write everywhere.
func asNobody(t *testing.T) {
	t.Helper()
	const nobody = 65534
	work, err := os.MkdirTemp("", "nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(work) })
	program, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(filepath.Join(work, "test"), program, 0o755)
	}
	if err = errors.Join(err, os.Chmod(work, 0o755), os.Chown(work, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(filepath.Join(work, "test"), "-test.v", "-test.run", "^"+t.Name()+"$")
	child.Dir, child.Env = work, []string{"TMPDIR=" + work}
	child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("as nobody: %v\n%s", err, out)
	}
}

func TestFullDiskIsAnError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	folder := filepath.Join(t.TempDir(), "blobs")
	b := start(t, folder)
	w := unfinished(t, b, name(1)).(*writer)
	w.file.Close()
	w.file = full
	w.buf.Reset(full)
	_, err = w.Write(make([]byte, 2*bufferSize))
	if err == nil {
		t.Error("Write to a full disk is no error")
	}
	if err := w.Commit(); err == nil {
		t.Error("Commit after a failed Write is no error")
	}
	if got := files(t, folder); len(got) != 2 {
		t.Errorf("left after a failed Commit: %q", got)
	}
}

func TestLongBlobNeedsConstantMemory(t *testing.T) {
	b := start(t, filepath.Join(t.TempDir(), "blobs"))
	w, err := b.Create(t.Context(), name(1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	var before, after runtime.MemStats
	piece := make([]byte, 32<<10)
	runtime.ReadMemStats(&before)
	for range 64 << 20 / len(piece) {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("writing 64 MiB allocated %d bytes", grown)
	}
}

func BenchmarkCommit(b *testing.B) {
	blobs := start(b, filepath.Join(b.TempDir(), "blobs"))
	value := strings.Repeat("x", 4096)
	for i := 0; b.Loop(); i++ {
		put(b, blobs, name(i), value)
	}
}

func BenchmarkWrite(b *testing.B) {
	blobs := start(b, filepath.Join(b.TempDir(), "blobs"))
	w, err := blobs.Create(b.Context(), name(1))
	if err != nil {
		b.Fatal(err)
	}
	defer w.Abort()
	piece := make([]byte, 64<<10)
	b.SetBytes(int64(len(piece)))
	for i := 0; b.Loop(); i++ {
		if i%1024 == 1023 { // a blob of 64 MiB is enough for the disk
			w.Abort()
			if w, err = blobs.Create(b.Context(), name(1)); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Write(piece); err != nil {
			b.Fatal(err)
		}
	}
}

func name(n int) string { return storetest.BlobName(n) }

func start(t testing.TB, folder string) *Blobs {
	t.Helper()
	b, err := Open(folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func unfinished(t testing.TB, b *Blobs, name string) store.BlobWriter {
	t.Helper()
	w, err := b.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Abort)
	if _, err := w.Write(make([]byte, 3*bufferSize/2)); err != nil {
		t.Fatal(err)
	}
	return w
}

func put(t testing.TB, b *Blobs, name, value string) {
	t.Helper()
	w, err := b.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write([]byte(value)); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, b *Blobs, name string) string {
	t.Helper()
	f, err := b.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, f.Size())
	if n, _ := f.ReadAt(buf, 0); n != len(buf) {
		t.Fatalf("read %d bytes of %d", n, len(buf))
	}
	return string(buf)
}

// each calls f with everything in the folder.
func each(t *testing.T, folder string, f func(path string, info fs.FileInfo)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			f(path, info)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, folder string) (names []string) {
	t.Helper()
	each(t, folder, func(path string, _ fs.FileInfo) { names = append(names, path) })
	return names
}

func TestLongBlobIsWholeInWhateverPiecesItCame(t *testing.T) {
	b := start(t, filepath.Join(t.TempDir(), "blobs"))
	content := make([]byte, 2*pushOutEvery+pushOutEvery/2)
	for i := range content {
		content[i] = byte(i ^ i>>8 ^ i>>16)
	}
	w, err := b.Create(t.Context(), name(1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for rest, i := content, 0; len(rest) > 0; i++ {
		n, err := w.Write(rest[:min(len(rest), []int{1, 100, bufferSize, 64<<10 + 16}[i%4])])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, b, name(1)); got != string(content) {
		t.Errorf("%d bytes came back, and others", len(got))
	}
}
