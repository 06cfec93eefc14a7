package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"tipbox/store"
)

// TestBlobs runs the suite against a backend. open returns a new, empty Blobs.
func TestBlobs(t *testing.T, open func(t *testing.T) store.Blobs) {
	for name, test := range map[string]func(*testing.T, store.Blobs){
		"RoundTrip":        testRoundTrip,
		"LargeStream":      testLargeStream,
		"Commit":           testCommit,
		"Abort":            testAbort,
		"Exists":           testExists,
		"TwoWriters":       testTwoWriters,
		"ConcurrentReads":  testConcurrentReads,
		"Remove":           testRemove,
		"List":             testList,
		"InvalidNames":     testInvalidNames,
		"CancelledContext": testCancelledBlobs,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// BlobName returns a valid blob name that is different for every n.
func BlobName(n int) string {
	sum := sha256.Sum256(fmt.Append(nil, n))
	return fmt.Sprintf("%x", sum[:13])
}

func testRoundTrip(t *testing.T, blobs store.Blobs) {
	for i, size := range []int{0, 1, 4095, 4096, 300_000} {
		want := noise(size)
		create(t, blobs, BlobName(i), want)
		b := open(t, blobs, BlobName(i))
		if b.Size() != int64(size) {
			t.Errorf("Size = %d, want %d", b.Size(), size)
		}
		if size <= 4096 { // the reader test takes its time on longer ones
			if err := iotest.TestReader(io.NewSectionReader(b, 0, b.Size()), want); err != nil {
				t.Errorf("a blob of %d bytes: %v", size, err)
			}
		}
		if got := content(t, b); !bytes.Equal(got, want) {
			t.Errorf("a blob of %d bytes came back changed", size)
		}
		if n, err := b.ReadAt(make([]byte, 1), int64(size)); n != 0 || err != io.EOF {
			t.Errorf("ReadAt at the end: %d, %v", n, err)
		}
	}
}

// testLargeStream writes pieces of all sizes from one buffer that is used again.
func testLargeStream(t *testing.T, blobs store.Blobs) {
	w := begin(t, blobs, BlobName(0))
	random := rand.New(rand.NewPCG(1, 2))
	wrote, buf := sha256.New(), make([]byte, 600_000)
	var size int64
	for size < 4<<20 {
		piece := buf[:random.IntN(len(buf))]
		for i := range piece {
			piece[i] = byte(random.Uint32())
		}
		if n, err := w.Write(piece); n != len(piece) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		wrote.Write(piece)
		size += int64(len(piece))
		clear(piece)
	}
	commit(t, w)
	b := open(t, blobs, BlobName(0))
	read := sha256.New()
	if n, err := io.Copy(read, io.NewSectionReader(b, 0, b.Size())); n != size || err != nil {
		t.Fatalf("read %d bytes of %d: %v", n, size, err)
	}
	if !bytes.Equal(read.Sum(nil), wrote.Sum(nil)) {
		t.Error("a long blob came back changed")
	}
}

func testCommit(t *testing.T, blobs store.Blobs) {
	w := begin(t, blobs, BlobName(0))
	write(t, w, "hello")
	missing(t, blobs, BlobName(0)) // before the commit
	commit(t, w)
	w.Abort()
	w.Abort()
	if got := content(t, open(t, blobs, BlobName(0))); string(got) != "hello" {
		t.Errorf("after Commit and Abort: %q", got)
	}
	if _, err := w.Write([]byte("more")); err == nil {
		t.Error("Write after Commit is no error")
	}
	if err := w.Commit(); err == nil {
		t.Error("Commit after Commit is no error")
	}
	if got := content(t, open(t, blobs, BlobName(0))); string(got) != "hello" {
		t.Errorf("after a second Commit: %q", got)
	}
}

func testAbort(t *testing.T, blobs store.Blobs) {
	w := begin(t, blobs, BlobName(0))
	write(t, w, strings.Repeat("gone", 200_000))
	w.Abort()
	w.Abort()
	missing(t, blobs, BlobName(0))
	if _, err := w.Write([]byte("more")); err == nil {
		t.Error("Write after Abort is no error")
	}
	if err := w.Commit(); err == nil {
		t.Error("Commit after Abort is no error")
	}
	missing(t, blobs, BlobName(0))
	create(t, blobs, BlobName(0), []byte("again"))
	if got := content(t, open(t, blobs, BlobName(0))); string(got) != "again" {
		t.Errorf("under a name that was aborted: %q", got)
	}
}

func testExists(t *testing.T, blobs store.Blobs) {
	create(t, blobs, BlobName(0), []byte("first"))
	if _, err := blobs.Create(t.Context(), BlobName(0)); !errors.Is(err, store.ErrExists) {
		t.Errorf("Create of a blob that is there: %v", err)
	}
	if got := content(t, open(t, blobs, BlobName(0))); string(got) != "first" {
		t.Errorf("after a refused Create: %q", got)
	}
}

// testTwoWriters begins a blob twice: only the one committed first is kept.
func testTwoWriters(t *testing.T, blobs store.Blobs) {
	late, first := begin(t, blobs, BlobName(0)), begin(t, blobs, BlobName(0))
	write(t, late, "late")
	write(t, first, "first")
	commit(t, first)
	if err := late.Commit(); !errors.Is(err, store.ErrExists) {
		t.Errorf("Commit of a blob that is there: %v", err)
	}
	late.Abort()
	if got := content(t, open(t, blobs, BlobName(0))); string(got) != "first" {
		t.Errorf("after two writers: %q", got)
	}

	const workers = 6
	errs := make([]error, workers)
	var writers [workers]store.BlobWriter
	for i := range writers {
		writers[i] = begin(t, blobs, BlobName(1))
		write(t, writers[i], fmt.Sprint(i))
	}
	var wg sync.WaitGroup
	for i, w := range writers {
		wg.Go(func() { errs[i] = w.Commit() })
	}
	wg.Wait()
	kept := string(content(t, open(t, blobs, BlobName(1))))
	for i, err := range errs {
		if (err == nil) != (kept == fmt.Sprint(i)) || err != nil && !errors.Is(err, store.ErrExists) {
			t.Errorf("writer %d: %v, and kept is that of %s", i, err, kept)
		}
	}
}

func testConcurrentReads(t *testing.T, blobs store.Blobs) {
	want := noise(200_000)
	create(t, blobs, BlobName(0), want)
	b := open(t, blobs, BlobName(0))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(3, uint64(i)))
			for range 50 {
				from := random.IntN(len(want))
				buf := make([]byte, random.IntN(len(want)-from)+1)
				n, err := b.ReadAt(buf, int64(from))
				if n != len(buf) || err != nil && err != io.EOF || !bytes.Equal(buf, want[from:from+n]) {
					t.Errorf("ReadAt(%d bytes, %d) = %d, %v", len(buf), from, n, err)
				}
			}
		})
	}
	wg.Wait()
}

func testRemove(t *testing.T, blobs store.Blobs) {
	create(t, blobs, BlobName(0), []byte("gone"))
	create(t, blobs, BlobName(1), []byte("stays"))
	for range 2 {
		if err := blobs.Remove(t.Context(), BlobName(0)); err != nil {
			t.Errorf("Remove: %v", err)
		}
		missing(t, blobs, BlobName(0))
	}
	if got := list(t, blobs); !maps.Equal(got, map[string]int64{BlobName(1): 5}) {
		t.Errorf("left after Remove: %v", got)
	}
	create(t, blobs, BlobName(0), []byte("back"))
	if got := content(t, open(t, blobs, BlobName(0))); string(got) != "back" {
		t.Errorf("under a name that was removed: %q", got)
	}
}

func testList(t *testing.T, blobs store.Blobs) {
	if got := list(t, blobs); len(got) != 0 {
		t.Errorf("List of nothing: %v", got)
	}
	want := make(map[string]int64)
	for i := range 40 {
		create(t, blobs, BlobName(i), make([]byte, i))
		want[BlobName(i)] = int64(i)
	}
	w := begin(t, blobs, BlobName(1000))
	defer w.Abort()
	write(t, w, "not committed")
	if diff := cmp.Diff(want, list(t, blobs)); diff != "" {
		t.Errorf("List:\n%s", diff)
	}

	stop, calls := errors.New("stop"), 0
	err := blobs.List(t.Context(), func(string, int64) error {
		if calls++; calls == 3 {
			return stop
		}
		return nil
	})
	if err != stop || calls != 3 {
		t.Errorf("List = %v after %d calls, want the error of the third", err, calls)
	}

	got := make(map[string]int64) // while removing every other one
	err = blobs.List(t.Context(), func(name string, size int64) error {
		got[name] = size
		if size%2 == 0 {
			return blobs.Remove(t.Context(), name)
		}
		return nil
	})
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("List with Remove: %v\n%s", err, diff)
	}
	maps.DeleteFunc(want, func(_ string, size int64) bool { return size%2 == 0 })
	if diff := cmp.Diff(want, list(t, blobs)); diff != "" {
		t.Errorf("List after Remove:\n%s", diff)
	}
}

func testInvalidNames(t *testing.T, blobs store.Blobs) {
	for _, name := range []string{
		"", "short", strings.Repeat("a", 15), strings.Repeat("a", 65), "UPPERCASEUPPERCASE", "with-a-dash-inside",
		"dots..dots..dots..", "../../../../etc/passwd", "aa/aaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaa\x00", "äaaaaaaaaaaaaaaaaa",
		"aaaaaaaaaaaaaaaa\n", " aaaaaaaaaaaaaaaa", `aa\aaaaaaaaaaaaaaaa`,
	} {
		if _, err := blobs.Create(t.Context(), name); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Create(%q): %v", name, err)
		}
		if _, err := blobs.Open(t.Context(), name); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Open(%q): %v", name, err)
		}
		if err := blobs.Remove(t.Context(), name); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Remove(%q): %v", name, err)
		}
	}
	for _, name := range []string{strings.Repeat("a", 16), strings.Repeat("9z", 32)} {
		create(t, blobs, name, []byte(name))
		if got := content(t, open(t, blobs, name)); string(got) != name {
			t.Errorf("under %q: %q", name, got)
		}
	}
}

func testCancelledBlobs(t *testing.T, blobs store.Blobs) {
	create(t, blobs, BlobName(0), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := blobs.Create(ctx, BlobName(1))
	_, openErr := blobs.Open(ctx, BlobName(0))
	listErr := blobs.List(ctx, func(string, int64) error { return nil })
	for i, err := range []error{err, openErr, listErr, blobs.Remove(ctx, BlobName(0))} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("call %d with a cancelled context: %v", i, err)
		}
	}
	if got := slices.Collect(maps.Keys(list(t, blobs))); len(got) != 1 {
		t.Errorf("after cancelled calls there are %d blobs, want one", len(got))
	}
}

// noise returns n bytes that repeat nowhere near.
func noise(n int) []byte {
	b := make([]byte, n)
	random := rand.NewChaCha8([32]byte{byte(n)})
	random.Read(b)
	return b
}

func begin(t *testing.T, blobs store.Blobs, name string) store.BlobWriter {
	t.Helper()
	w, err := blobs.Create(t.Context(), name)
	if err != nil {
		t.Fatalf("Create(%q): %v", name, err)
	}
	return w
}

func write(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if n, err := io.WriteString(w, s); n != len(s) || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
}

func commit(t *testing.T, w store.BlobWriter) {
	t.Helper()
	if err := w.Commit(); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func create(t *testing.T, blobs store.Blobs, name string, value []byte) {
	t.Helper()
	w := begin(t, blobs, name)
	defer w.Abort()
	write(t, w, string(value))
	commit(t, w)
}

func open(t *testing.T, blobs store.Blobs, name string) store.Blob {
	t.Helper()
	b, err := blobs.Open(t.Context(), name)
	if err != nil {
		t.Fatalf("Open(%q): %v", name, err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("closing a blob: %v", err)
		}
	})
	return b
}

func content(t *testing.T, b store.Blob) []byte {
	t.Helper()
	got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		t.Fatalf("reading a blob: %v", err)
	}
	return got
}

func missing(t *testing.T, blobs store.Blobs, name string) {
	t.Helper()
	if _, err := blobs.Open(t.Context(), name); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Open of a blob that is not there: %v", err)
	}
	if _, ok := list(t, blobs)[name]; ok {
		t.Error("List names a blob that is not there")
	}
}

func list(t *testing.T, blobs store.Blobs) map[string]int64 {
	t.Helper()
	got := make(map[string]int64)
	err := blobs.List(t.Context(), func(name string, size int64) error {
		if _, ok := got[name]; ok {
			t.Errorf("List names %q twice", name)
		}
		got[name] = size
		return nil
	})
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	return got
}
