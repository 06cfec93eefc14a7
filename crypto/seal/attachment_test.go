package seal_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"tipbox/crypto/seal"
)

// blocks are fewer than the tests that run at once could use.
var blocks = seal.NewBlocks(2)

// attached is a sealed attachment and what its manifest would say of it.
type attached struct {
	file []byte
	*seal.Attachment
}

func attach(t testing.TB, content []byte, to ...*seal.Recipient) attached {
	t.Helper()
	var out bytes.Buffer
	b := blocks
	if len(content)%2 == 1 {
		b = nil
	}
	w, err := seal.NewAttachment(&out, b, to...)
	if err != nil {
		t.Fatal(err)
	}
	if w.Attachment() != nil {
		t.Fatal("a result before Close")
	}
	if n, err := w.Write(content); n != len(content) || err != nil {
		t.Fatal(n, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return attached{out.Bytes(), w.Attachment()}
}

func (a attached) open(key *seal.TipKey) ([]byte, error) {
	r, err := seal.OpenAttachment(bytes.NewReader(a.file), a.Attachment, key.Identity())
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func noise(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(p)
	return p
}

func TestAttachmentOpensAsItWasSealed(t *testing.T) {
	key := newKey(t)
	check := func(t interface{ Fatalf(string, ...any) }, content []byte, a attached) {
		got, err := a.open(key)
		if err != nil {
			t.Fatalf("%d bytes: %v", len(content), err)
		}
		if !bytes.Equal(got, content) || a.Size != int64(len(content)) || a.Sealed != int64(len(a.file)) {
			t.Fatalf("%d bytes came back as %d others", len(content), len(got))
		}
	}
	const chunk = 64 << 10
	for _, n := range []int{
		0, 1, 2, 3, 4, 8, 9, 10, 128, 129, 144, 145,
		chunk - 2048, chunk - 2047, chunk - 1, chunk, chunk + 1, chunk + 2048, chunk + 2049,
		2*chunk - 1, 2 * chunk, 2*chunk + 1, 3*chunk - 4096, 3 * chunk, 3*chunk + 1,
	} {
		check(t, noise(n), attach(t, noise(n), key.Recipient()))
		check(t, make([]byte, n), attach(t, make([]byte, n), key.Recipient())) // content like padding
	}
	rapid.Check(t, func(rt *rapid.T) {
		content := noise(rapid.IntRange(0, 4*chunk).Draw(rt, "n"))
		check(rt, content, attach(t, content, key.Recipient()))
	})
}

func TestAttachmentMayBeWrittenAndReadInAnyPieces(t *testing.T) {
	key := newKey(t)
	content := noise(150_000)
	var out bytes.Buffer
	w := must(seal.NewAttachment(&out, blocks, key.Recipient()))
	for rest, i := content, 1; len(rest) > 0; i++ {
		n := must(w.Write(rest[:min(i*7, len(rest))]))
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]io.Reader{
		"whole":           bytes.NewReader(out.Bytes()),
		"half":            iotest.HalfReader(bytes.NewReader(out.Bytes())),
		"byte by byte":    iotest.OneByteReader(bytes.NewReader(out.Bytes())),
		"EOF with data":   iotest.DataErrReader(bytes.NewReader(out.Bytes())),
		"through a pipe":  io.MultiReader(bytes.NewReader(out.Bytes()[:5000]), bytes.NewReader(out.Bytes()[5000:])),
		"buffered pieces": struct{ io.Reader }{bytes.NewReader(out.Bytes())},
	} {
		r, err := seal.OpenAttachment(src, w.Attachment(), key.Identity())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := iotest.TestReader(r, content); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSealedAttachmentTellsOnlyItsPaddedSize(t *testing.T) {
	key := newKey(t)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 200_000).Draw(rt, "n")
		m := int(seal.PaddedSize(int64(n)))
		if a, b := attach(t, noise(n), key.Recipient()), attach(t, noise(m), key.Recipient()); a.Sealed != b.Sealed {
			rt.Fatalf("%d bytes are sealed to %d, %d to %d", n, a.Sealed, m, b.Sealed)
		}
	})
}

func TestPaddedSizeIsPadme(t *testing.T) {
	// Worked out by hand from the paper's algorithm 1.
	for n, want := range map[int64]int64{
		0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 7: 7, 8: 8, 9: 10, 10: 10, 11: 12, 15: 16, 16: 16, 17: 18,
		33: 36, 63: 64, 100: 104, 129: 144, 257: 272, 1000: 1024, 1025: 1088, 10_000: 10_240,
		65_536: 65_536, 65_537: 67_584, 1_000_000: 1_015_808, 1<<30 + 1: 1<<30 + 1<<25,
	} {
		if got := seal.PaddedSize(n); got != want {
			t.Errorf("PaddedSize(%d) = %d, want %d", n, got, want)
		}
	}
	// The paper's own words, in floating point.
	paper := func(n int64) int64 {
		e := math.Floor(math.Log2(float64(n)))
		s := math.Floor(math.Log2(e)) + 1
		mask := int64(math.Exp2(e-s)) - 1
		return (n + mask) &^ mask
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<uint(rapid.IntRange(1, 40).Draw(t, "bits"))).Draw(t, "n")
		got := seal.PaddedSize(n)
		if n >= 2 && got != paper(n) {
			t.Fatalf("PaddedSize(%d) = %d, by the paper %d", n, got, paper(n))
		}
		if got < n || float64(got) > 1.12*float64(n) {
			t.Fatalf("PaddedSize(%d) = %d", n, got)
		}
		if again := seal.PaddedSize(got); again != got {
			t.Fatalf("PaddedSize(%d) = %d, but of that %d", n, got, again)
		}
		if next := seal.PaddedSize(n + 1); next < got {
			t.Fatalf("PaddedSize(%d) = %d, but of one more %d", n, got, next)
		}
	})
}

func TestAlteredAttachmentIsRefused(t *testing.T) {
	key := newKey(t)
	for _, n := range []int{0, 1, 3, 1000, 64 << 10, 64<<10 + 1, 150_000} {
		a := attach(t, noise(n), key.Recipient())
		refused := func(t interface{ Fatalf(string, ...any) }, what string, altered []byte) {
			_, err := attached{altered, a.Attachment}.open(key)
			if !errors.Is(err, seal.ErrDamaged) && !errors.Is(err, seal.ErrNotForYou) {
				t.Fatalf("%d bytes, %s: %v", n, what, err)
			}
		}
		rapid.Check(t, func(t *rapid.T) {
			refused(t, "a bit flipped", flipped(a.file, rapid.IntRange(0, 8*len(a.file)-1).Draw(t, "bit")))
			refused(t, "cut", a.file[:rapid.IntRange(0, len(a.file)-1).Draw(t, "length")])
		})
		for _, more := range []int{1, 2, 16, 64 << 10, 64<<10 + 16} {
			refused(t, "extended", append(bytes.Clone(a.file), make([]byte, more)...))
			refused(t, "extended by itself", append(bytes.Clone(a.file), a.file[:min(more, len(a.file))]...))
		}
		for cut := 1; cut <= 40; cut++ {
			refused(t, "cut at the end", a.file[:len(a.file)-cut])
		}
	}
}

func TestAttachmentDoesNotOpenWithAnotherKey(t *testing.T) {
	a := attach(t, noise(100), newKey(t).Recipient())
	if _, err := a.open(newKey(t)); !errors.Is(err, seal.ErrNotForYou) {
		t.Fatal(err)
	}
}

func TestAnotherFileInAnAttachmentsPlaceIsRefused(t *testing.T) {
	key := newKey(t)
	content := noise(4096)
	a := attach(t, content, key.Recipient())
	for name, other := range map[string][]byte{
		"another of the same size":    attach(t, noise(4095), key.Recipient()).file,
		"the same, sealed once more":  attach(t, content, key.Recipient()).file,
		"a message":                   must(seal.Message(document(10), key.Recipient())),
		"another of another size":     attach(t, noise(100_000), key.Recipient()).file,
		"a prefix of it":              attach(t, content[:4000], key.Recipient()).file,
		"the same to a second reader": attach(t, content, key.Recipient(), newKey(t).Recipient()).file,
		"a keyslot":                   must(seal.SealKeyslots(slot(key), key.Recipient())).Files[0],
		"nothing":                     nil,
	} {
		if _, err := (attached{other, a.Attachment}).open(key); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Where the bytes end and the padding begins is for the manifest alone to say,
// if the bytes are zeros; all else is seen.
func TestManifestThatDoesNotMatchItsAttachmentIsRefused(t *testing.T) {
	key := newKey(t)
	for _, n := range []int64{0, 1000, 64 << 10, 150_000} {
		a := attach(t, noise(int(n)), key.Recipient())
		for name, change := range map[string]func(*seal.Attachment){
			"size one less":        func(w *seal.Attachment) { w.Size-- },
			"size up to sealed":    func(w *seal.Attachment) { w.Size = w.Sealed },
			"padded size":          func(w *seal.Attachment) { w.Size = seal.PaddedSize(n) + 1 },
			"size negative":        func(w *seal.Attachment) { w.Size = -1 },
			"size least":           func(w *seal.Attachment) { w.Size = math.MinInt64 },
			"size past all bounds": func(w *seal.Attachment) { w.Size, w.Sealed = math.MaxInt64, math.MaxInt64 },
			"sealed past bounds":   func(w *seal.Attachment) { w.Sealed = math.MaxInt64 },
			"sealed one less":      func(w *seal.Attachment) { w.Sealed-- },
			"sealed one more":      func(w *seal.Attachment) { w.Sealed++ },
			"sealed nothing":       func(w *seal.Attachment) { w.Sealed = 0 },
			"other hash":           func(w *seal.Attachment) { w.SHA256[31] ^= 1 },
			"no hash":              func(w *seal.Attachment) { w.SHA256 = [32]byte{} },
		} {
			want := *a.Attachment
			change(&want)
			if _, err := (attached{a.file, &want}).open(key); !errors.Is(err, seal.ErrDamaged) {
				t.Errorf("%d bytes, %s: %v", n, name, err)
			}
		}
	}
}

// Padding is not a place to hide something in.
func TestAttachmentWithOtherPaddingIsRefused(t *testing.T) {
	key := newKey(t)
	content := noise(1000) // 1024 padded
	for name, plain := range map[string][]byte{
		"not zero":  append(bytes.Clone(content), bytes.Repeat([]byte{1}, 24)...),
		"last byte": append(append(bytes.Clone(content), make([]byte, 23)...), 1),
		"none":      content,
		"too short": append(bytes.Clone(content), make([]byte, 23)...),
		"too long":  append(bytes.Clone(content), make([]byte, 25)...),
		"way more":  append(bytes.Clone(content), make([]byte, 200_000)...),
	} {
		// A file made by somebody who knew how, with a manifest that is true of it.
		file := sealed(t, plain, key.Recipient())
		want := &seal.Attachment{Size: 1000, Sealed: int64(len(file)), SHA256: sum(file)}
		if _, err := (attached{file, want}).open(key); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	plain := append(bytes.Clone(content), make([]byte, 24)...)
	file := sealed(t, plain, key.Recipient())
	if _, err := (attached{file, &seal.Attachment{Size: 1000, Sealed: int64(len(file)), SHA256: sum(file)}}).open(key); err != nil {
		t.Errorf("as it should be: %v", err)
	}
}

func TestRefusalIsFinal(t *testing.T) {
	key := newKey(t)
	a := attach(t, noise(1000), key.Recipient())
	a.SHA256[0] ^= 1
	r := must(seal.OpenAttachment(bytes.NewReader(a.file), a.Attachment, key.Identity()))
	_, first := io.ReadAll(r)
	n, again := r.Read(make([]byte, 10))
	if !errors.Is(first, seal.ErrDamaged) || !errors.Is(again, seal.ErrDamaged) || n != 0 {
		t.Fatal(first, n, again)
	}
}

// A disk that fails must not be taken for somebody's hand in the file.
func TestUnreadableAttachmentIsNotCalledDamaged(t *testing.T) {
	key := newKey(t)
	a := attach(t, noise(150_000), key.Recipient())
	disk := errors.New("disk on fire")
	for _, at := range []int{0, 10, 1000, 2000, 4096, 70_000, len(a.file) - 1, len(a.file)} {
		src := io.MultiReader(bytes.NewReader(a.file[:at]), iotest.ErrReader(disk))
		r, err := seal.OpenAttachment(src, a.Attachment, key.Identity())
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if !errors.Is(err, disk) || errors.Is(err, seal.ErrDamaged) {
			t.Errorf("after %d bytes: %v", at, err)
		}
	}
}

// full takes n bytes, then fails.
type full struct{ n int }

var errFull = errors.New("disk full")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.n {
		return 0, errFull
	}
	f.n -= len(p)
	return len(p), nil
}

func TestAttachmentThatWasNotWrittenHasNoResult(t *testing.T) {
	key := newKey(t)
	content := noise(200_000)
	whole := int(attach(t, content, key.Recipient()).Sealed)
	for _, room := range []int{0, 100, 2000, 70_000, 140_000, whole - 1} {
		w, err := seal.NewAttachment(&full{room}, blocks, key.Recipient())
		if err == nil {
			_, err = w.Write(content)
			if cerr := w.Close(); cerr == nil || w.Attachment() != nil {
				t.Errorf("room for %d of %d: closed without an error", room, whole)
			} else if err == nil {
				err = cerr
			}
			if w.Close() == nil || w.Attachment() != nil {
				t.Errorf("room for %d of %d: closed at the second try", room, whole)
			}
		}
		if !errors.Is(err, errFull) {
			t.Errorf("room for %d of %d: %v", room, whole, err)
		}
	}
	w := must(seal.NewAttachment(&full{whole}, blocks, key.Recipient()))
	must(w.Write(content))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	was := *w.Attachment()
	if _, err := w.Write([]byte("more")); err == nil {
		t.Error("written after Close")
	}
	if w.Close() == nil || *w.Attachment() != was {
		t.Error("closed twice")
	}
	if w, err := seal.NewAttachment(io.Discard, blocks); err == nil || w != nil {
		t.Error("sealed to nobody")
	}
}

// A gate lets pieces through when it is told to, and counts what came.
type gate struct {
	open   chan bool
	came   atomic.Int64
	broken atomic.Bool
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	if g.broken.Load() {
		return 0, errFull
	}
	g.came.Add(int64(len(p)))
	return len(p), nil
}

func TestAttachmentIsSealedWhileItIsWritten(t *testing.T) {
	defer goleak.VerifyNone(t)
	blocks := seal.NewBlocks(3)
	g := &gate{open: make(chan bool, 100)}
	for range 50 { // the header comes in pieces
		g.open <- true
	}
	w := must(seal.NewAttachment(g, blocks, newKey(t).Recipient()))
	for len(g.open) > 0 {
		<-g.open
	}
	header := g.came.Load()
	must(w.Write(make([]byte, 3*64<<10))) // does not wait for the gate
	if got := g.came.Load(); got != header {
		t.Fatalf("%d bytes went through a closed gate", got-header)
	}
	close(g.open)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := g.came.Load(); got != w.Attachment().Sealed {
		t.Errorf("%d bytes of %d were written", got, w.Attachment().Sealed)
	}
	if len(blocks) != cap(blocks) {
		t.Errorf("%d of %d blocks came back", len(blocks), cap(blocks))
	}
}

func TestNothingIsWrittenOfAnAttachmentThatWasGivenUp(t *testing.T) {
	defer goleak.VerifyNone(t)
	g := &gate{open: make(chan bool)}
	close(g.open)
	blocks := seal.NewBlocks(2)
	w := must(seal.NewAttachment(g, blocks, newKey(t).Recipient()))
	must(w.Write(noise(500_000)))
	w.Abort()
	came := g.came.Load()
	w.Write(noise(500_000))
	if w.Close() == nil || w.Attachment() != nil {
		t.Error("closed after it was given up")
	}
	w.Abort()
	if got := g.came.Load(); got != came || len(blocks) != cap(blocks) {
		t.Errorf("%d bytes were written after Abort, %d of %d blocks are there", got-came, len(blocks), cap(blocks))
	}
}

func TestAttachmentThatCannotBeWrittenIsRefusedSoon(t *testing.T) {
	w := must(seal.NewAttachment(&full{300_000}, blocks, newKey(t).Recipient()))
	defer w.Abort()
	for range 100 {
		if _, err := w.Write(make([]byte, 100_000)); err != nil {
			if !errors.Is(err, errFull) {
				t.Error(err)
			}
			return
		}
	}
	t.Error("10 MB were taken for a disk that was full after 300 KB")
}

// An attachment that stands still, or fails, keeps no block from others.
func TestBlocksAreSharedByThoseThatMove(t *testing.T) {
	defer goleak.VerifyNone(t)
	key := newKey(t)
	blocks := seal.NewBlocks(1)
	var still []*seal.AttachmentWriter
	for i := range 20 {
		g := &gate{open: make(chan bool)}
		close(g.open)
		w := must(seal.NewAttachment(g, blocks, key.Recipient()))
		g.broken.Store(i%2 == 1)
		w.Write(noise(300_000)) // fails, now or later
		still = append(still, w)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			var out bytes.Buffer
			w := must(seal.NewAttachment(&out, blocks, key.Recipient()))
			must(w.Write(noise(1_000_000)))
			if err := w.Close(); err != nil {
				t.Error(err)
			} else if got := must((attached{out.Bytes(), w.Attachment()}).open(key)); !bytes.Equal(got, noise(1_000_000)) {
				t.Error("another attachment came back")
			}
		})
	}
	all.Wait()
	for i, w := range still {
		if err := w.Close(); (err == nil) != (i%2 == 0) || err != nil && !errors.Is(err, errFull) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if len(blocks) != 1 {
		t.Error("the block is lost")
	}
}

// peak calls f with a function to call now and then, and returns by how much
// the live heap had grown at most when it was.
func peak(f func(look func())) uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	start, most := m.HeapAlloc, uint64(0)
	f(func() {
		runtime.GC() // what is left now is held, not litter
		runtime.ReadMemStats(&m)
		if m.HeapAlloc > start {
			most = max(most, m.HeapAlloc-start)
		}
	})
	return most
}

func TestAttachmentsTakeConstantMemory(t *testing.T) {
	const size, step, bound = 64<<20 + 12345, 4 << 20, 4 << 20
	key := newKey(t)
	path := filepath.Join(t.TempDir(), "sealed")
	file := must(os.Create(path))
	defer file.Close()

	var a *seal.Attachment
	held := peak(func(look func()) {
		w := must(seal.NewAttachment(file, blocks, key.Recipient()))
		piece := make([]byte, 32<<10)
		for n := 0; n < size; n += len(piece) {
			must(w.Write(piece[:min(len(piece), size-n)]))
			if n%step == 0 {
				look()
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		look()
		a = w.Attachment()
	})
	if held > bound {
		t.Errorf("sealing %d bytes held %d", size, held)
	}

	must(file.Seek(0, io.SeekStart))
	held = peak(func(look func()) {
		r := must(seal.OpenAttachment(file, a, key.Identity()))
		for n := int64(0); ; {
			k, err := io.CopyN(io.Discard, r, step)
			look()
			if n += k; err == io.EOF {
				if n != size {
					t.Errorf("%d bytes of %d", n, size)
				}
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	if held > bound {
		t.Errorf("opening %d bytes held %d", size, held)
	}
}

// endless reads as the same bytes again and again.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

func TestEndlessFileIsGivenUp(t *testing.T) {
	key := newKey(t)
	want := &seal.Attachment{Size: 1 << 40, Sealed: 1 << 41}
	for name, body := range map[string]endless{"stanzas": "-> x\n\n", "one line": "x", "one body": "-> x\n" + "AAAA\n"} {
		src := io.MultiReader(bytes.NewReader([]byte("age-encryption.org/v1\n")), body)
		var err error
		n := allocated(func() { _, err = seal.OpenAttachment(src, want, key.Identity()) })
		if !errors.Is(err, seal.ErrDamaged) || n > 32<<20 {
			t.Errorf("%s: allocated %d: %v", name, n, err)
		}
	}
}
