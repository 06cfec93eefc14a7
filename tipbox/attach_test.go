package tipbox_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// A smallDisk is blobs that do not fit all. It asserts that a blob is not
// written to once it has ended, whoever writes it.
type smallDisk struct {
	store.Blobs
	t    *testing.T
	free atomic.Int64
	err  error // of a full disk
}

func newSmallDisk(t *testing.T, size int64) *smallDisk {
	d := &smallDisk{Blobs: mem.NewBlobs(), t: t, err: &wrapped{syscall.ENOSPC}}
	d.free.Store(size)
	return d
}

// wrapped is an error as the os package returns one.
type wrapped struct{ error }

func (w *wrapped) Unwrap() error { return w.error }

func (d *smallDisk) left() (int64, error) { return d.free.Load(), nil }

func (d *smallDisk) Create(ctx context.Context, name string) (store.BlobWriter, error) {
	w, err := d.Blobs.Create(ctx, name)
	return &smallDiskWriter{BlobWriter: w, disk: d}, err
}

type smallDiskWriter struct {
	store.BlobWriter
	disk *smallDisk

	mu    sync.Mutex
	wrote int64
	ended bool
}

func (w *smallDiskWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		w.disk.t.Error("a blob is written to after its end")
	}
	if n := int64(len(p)); w.disk.free.Add(-n) < 0 {
		w.disk.free.Add(n)
		return 0, w.disk.err
	}
	w.wrote += int64(len(p))
	return w.BlobWriter.Write(p)
}

func (w *smallDiskWriter) Commit() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	return w.BlobWriter.Commit()
}

func (w *smallDiskWriter) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.disk.free.Add(w.wrote)
	}
	w.ended = true
	w.BlobWriter.Abort()
}

// attach attaches a file to a draft of its own, which it ends.
func attach(o *tipboxtest.Org, r io.Reader) error {
	d := o.Draft()
	defer d.Abort()
	return d.Attach(ctx, "name", "", r)
}

func blobs(t *testing.T, o *tipboxtest.Org) (names []string) {
	t.Helper()
	err := o.Blobs.List(ctx, func(name string, _ int64) error {
		names = append(names, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestAnAttachmentThatFailsLeavesNothing(t *testing.T) {
	const mib = 1 << 20
	errGone := errors.New("the source is gone")
	for name, c := range map[string]struct {
		content io.Reader
		disk    int64
		err     error // of the disk
		want    error
	}{
		"gone at once":                       {content: iotest.ErrReader(errGone), disk: mib, want: errGone},
		"gone in the first part":             {content: io.MultiReader(strings.NewReader("some"), iotest.ErrReader(errGone)), disk: mib, want: errGone},
		"gone much later":                    {content: io.MultiReader(bytes.NewReader(make([]byte, 5*mib)), iotest.ErrReader(errGone)), disk: 9 * mib, want: errGone},
		"too large":                          {content: bytes.NewReader(make([]byte, 8*mib+1)), disk: 20 * mib, want: tipbox.ErrFileTooLarge},
		"endless":                            {content: endless{}, disk: 20 * mib, want: tipbox.ErrFileTooLarge},
		"disk full at once":                  {content: strings.NewReader("some"), disk: 10, want: tipbox.ErrNoRoom},
		"disk full in the header and broken": {content: strings.NewReader("some"), disk: 10, err: errFull, want: errFull},
		"disk full at the end":               {content: bytes.NewReader(make([]byte, mib)), disk: mib, want: tipbox.ErrNoRoom},
		"disk full midway":                   {content: bytes.NewReader(make([]byte, 8*mib)), disk: 3 * mib, want: tipbox.ErrNoRoom},
		"quota full midway":                  {content: bytes.NewReader(make([]byte, 8*mib)), disk: 3 * mib, err: syscall.EDQUOT, want: tipbox.ErrNoRoom},
		"disk broken midway":                 {content: bytes.NewReader(make([]byte, 8*mib)), disk: 3 * mib, err: errFull, want: errFull},
	} {
		t.Run(name, func(t *testing.T) {
			ignore := goleak.IgnoreCurrent()
			disk := newSmallDisk(t, c.disk)
			if c.err != nil {
				disk.err = c.err
			}
			o := tipboxtest.New(t, tipboxtest.Config{Blobs: disk, MaxFile: 8 * mib})
			wantErr(t, attach(o, c.content), c.want)
			goleak.VerifyNone(t, ignore)
			if left := blobs(t, o); len(left) > 0 || disk.free.Load() != c.disk {
				t.Errorf("there is still %q", left)
			}
		})
	}
}

// endless has zeros for ever.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Many more at once than there are blocks to seal in, all of which fail.
func TestAttachmentsThatFailTogetherDoNotWaitForEachOther(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	disk := newSmallDisk(t, 8<<20)
	o := tipboxtest.New(t, tipboxtest.Config{Blobs: disk})
	var wg sync.WaitGroup
	for range 40 {
		d := o.Draft()
		wg.Go(func() {
			defer d.Abort()
			if err := d.Attach(ctx, "name", "", bytes.NewReader(make([]byte, 1<<20))); err != nil && !errors.Is(err, tipbox.ErrNoRoom) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	goleak.VerifyNone(t, ignore)
	if left := blobs(t, o); len(left) > 0 {
		t.Errorf("there is still %q", left)
	}
}

func TestFilesLeaveTheReserveToTexts(t *testing.T) {
	const reserve = 100 << 20
	disk := newSmallDisk(t, reserve+1<<20)
	o := tipboxtest.New(t, tipboxtest.Config{Blobs: disk, Free: disk.left, Reserve: reserve})
	takes := func(want bool) {
		t.Helper()
		if got := o.Service.TakesFiles(); got != want {
			t.Errorf("takes files: %v", got)
		}
	}
	takes(true)
	wantErr(t, attach(o, endless{}), tipbox.ErrNoRoom)
	if left := blobs(t, o); len(left) > 0 {
		t.Errorf("there is still %q", left)
	}
	takes(true)
	o.Submit("with a file", tipboxtest.File{Name: "f", Content: strings.Repeat("x", 700<<10)})

	// Each file asks the disk anew.
	disk.free.Store(reserve)
	wantErr(t, attach(o, strings.NewReader("a few bytes")), tipbox.ErrNoRoom)
	takes(false)
	o.Submit("a text")
	d := o.Draft()
	wantErr(t, d.Attach(ctx, "f", "", strings.NewReader("x")), tipbox.ErrNoRoom)
	d.Abort()

	disk.free.Store(reserve + 2<<20)
	takes(true)
	o.Submit("with a file again", tipboxtest.File{Name: "f", Content: strings.Repeat("x", 1<<20)})
	if log := string(o.Log.Bytes()); strings.Count(log, "files are refused") != 2 || strings.Count(log, "files are taken again") != 2 {
		t.Errorf("the log:\n%s", log)
	}
}

func TestSendersTogetherLeaveTheReserve(t *testing.T) {
	const reserve, room = 100 << 20, 50 << 20
	disk := newSmallDisk(t, reserve+room)
	least := atomic.Int64{}
	least.Store(reserve)
	o := tipboxtest.New(t, tipboxtest.Config{Blobs: disk, Reserve: reserve, Free: disk.left})
	var wg sync.WaitGroup
	var refused atomic.Int64
	for range 12 { // of 8 MiB each
		d := o.Draft()
		wg.Go(func() {
			r := io.MultiReader(io.LimitReader(endless{}, 8<<20), readerFunc(func([]byte) (int, error) {
				least.Store(min(least.Load(), disk.free.Load()))
				return 0, io.EOF
			}))
			if err := d.Attach(ctx, "name", "", r); errors.Is(err, tipbox.ErrNoRoom) {
				refused.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(d.Abort)
	}
	wg.Wait()
	if refused.Load() == 0 { // all of them may be, if they come on alike
		t.Error("none was refused")
	}
	// What was announced to the disk and not written yet is not in its count.
	if got := least.Load(); got < reserve-2<<20 {
		t.Errorf("%d MiB of the reserve are used", (reserve-got)>>20)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestADiskThatCannotBeAskedIsNoFullOne(t *testing.T) {
	errAsked := errors.New("no answer")
	o := tipboxtest.New(t, tipboxtest.Config{Free: func() (int64, error) { return 0, errAsked }})
	if !o.Service.TakesFiles() {
		t.Error("takes no files")
	}
	wantErr(t, attach(o, strings.NewReader("x")), errAsked)
	o.Submit("a text")
}
