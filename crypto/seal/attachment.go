package seal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/bits"

	"filippo.io/age"
)

// An Attachment describes a sealed attachment: what its manifest must keep to
// open it, and to notice another in its place.
type Attachment struct {
	Size   int64    // the plaintext's true length, bytes
	Sealed int64    // the age file's length, bytes
	SHA256 [32]byte // of the age file
}

// PaddedSize is the Padmé size for a plaintext of n bytes: at most 12 % more,
// and it tells O(log log n) bits of n. It is n for n below 2.
//
// Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and
// Communication with PURBs", PETS 2019, section 4.
func PaddedSize(n int64) int64 {
	if n < 2 {
		return n
	}
	e := bits.Len64(uint64(n)) - 1 // floor(log2 n)
	s := bits.Len64(uint64(e))     // floor(log2 e) + 1, at most e
	mask := int64(1)<<(e-s) - 1    // the low bits that are rounded up
	return (n + mask) &^ mask
}

// An AttachmentWriter seals an attachment as it is written. Close it to have
// the last chunk and the padding written; it does not close what it writes to.
type AttachmentWriter struct {
	age    io.WriteCloser
	out    *behind
	size   int64
	result *Attachment
}

// NewAttachment begins to seal an attachment to dst. What is in dst before
// Close returned nil is not a whole file. End it with Close or Abort: until
// then dst may be written to at any time.
//
// With blocks, what is sealed is hashed and written while the next is sealed;
// dst is then written to from another goroutine. Blocks may be nil.
func NewAttachment(dst io.Writer, blocks Blocks, to ...*Recipient) (*AttachmentWriter, error) {
	out := &behind{out: hashingWriter{w: dst, hash: sha256.New()}, blocks: blocks}
	w, err := newWriter(out, to)
	if err != nil {
		return nil, fmt.Errorf("attachment: %w", err)
	}
	return &AttachmentWriter{age: w, out: out}, nil
}

// Write implements io.Writer. An error may be that of an earlier Write.
func (w *AttachmentWriter) Write(p []byte) (int, error) {
	n, err := w.age.Write(p)
	w.size += int64(n)
	return n, err
}

// Close pads, seals the last chunk and fixes the result. It works once.
func (w *AttachmentWriter) Close() error {
	defer w.Abort()
	if _, err := io.CopyN(w.age, zeros{}, PaddedSize(w.size)-w.size); err != nil {
		return fmt.Errorf("padding an attachment: %w", err)
	}
	if err := w.age.Close(); err != nil {
		return fmt.Errorf("sealing an attachment: %w", err)
	}
	if err := w.out.end(); err != nil {
		return fmt.Errorf("sealing an attachment: %w", err)
	}
	w.result = &Attachment{Size: w.size, Sealed: w.out.out.n}
	w.out.out.hash.Sum(w.result.SHA256[:0])
	return nil
}

// Abort gives the attachment up; nothing is written after it returns. It does
// nothing after Close.
func (w *AttachmentWriter) Abort() { w.out.end() }

// Attachment describes what was written. It is nil before Close returned nil.
func (w *AttachmentWriter) Attachment() *Attachment { return w.result }

// OpenAttachment opens a sealed attachment as a stream of exactly want.Size
// bytes. Its last Read returns io.EOF only after the rest of the file proved
// whole: every chunk authentic, the padding zero and of its size, the hash
// want.SHA256. Until then what was read must not be taken for the attachment.
//
// An error of src is returned as it is, not as ErrDamaged: a file that cannot
// be read just now is not an altered one.
func OpenAttachment(src io.Reader, want *Attachment, id age.Identity) (io.Reader, error) {
	if want.Size < 0 {
		return nil, fmt.Errorf("opening an attachment: of a negative size: %w", ErrDamaged)
	}
	in := &hashingReader{r: io.LimitReader(src, want.Sealed+1), hash: sha256.New()}
	plain, err := newReader(in, id)
	if in.err != nil {
		err = in.err
	}
	if err != nil {
		return nil, fmt.Errorf("opening an attachment: %w", err)
	}
	return &attachmentReader{plain: plain, in: in, want: want, left: want.Size}, nil
}

type attachmentReader struct {
	plain io.Reader
	in    *hashingReader
	want  *Attachment
	left  int64
	done  error
}

func (r *attachmentReader) Read(p []byte) (int, error) {
	if r.done != nil {
		return 0, r.done
	}
	if r.left == 0 {
		r.done = r.finish()
		return 0, r.done
	}
	n, err := r.plain.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if err == io.EOF && r.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		r.done = r.failed(err)
		return n, r.done
	}
	return n, nil
}

// finish checks all that stands behind the attachment's last byte, and returns
// io.EOF if it is as it should be.
func (r *attachmentReader) finish() error {
	n, err := io.Copy(mustBeZero{}, r.plain)
	if err != nil {
		return r.failed(err)
	}
	if n != PaddedSize(r.want.Size)-r.want.Size {
		return r.failed(errors.New("its padding is not of its size"))
	}
	// age read to the end of its input to know the last chunk, so the hash
	// has seen everything; a longer file was cut by the limit and differs.
	if r.in.n != r.want.Sealed || [32]byte(r.in.hash.Sum(nil)) != r.want.SHA256 {
		return r.failed(errors.New("another file is in its place"))
	}
	return io.EOF
}

// failed tells a file that is not what it was from one that cannot be read.
func (r *attachmentReader) failed(why error) error {
	if r.in.err != nil {
		return fmt.Errorf("opening an attachment: %w", r.in.err)
	}
	return fmt.Errorf("opening an attachment: %w", damaged(why))
}

// sealedChunk is the length of age's chunks, but for the last.
const sealedChunk = 64<<10 + 16

// Blocks are the memory in which attachments that are being sealed wait to be
// written, shared by all of them. One that stands still holds none of it.
type Blocks chan []byte

// NewBlocks makes n blocks of 64 KiB.
func NewBlocks(n int) Blocks {
	blocks := make(Blocks, n)
	for range n {
		blocks <- nil // made when first needed
	}
	return blocks
}

// behind hashes what it is given and writes it: from the first whole chunk on
// in a goroutine of its own, so that a long attachment is sealed on one core
// and written on another.
type behind struct {
	out    hashingWriter
	blocks Blocks

	work   chan []byte   // to be written, in order; nil while there is no goroutine
	failed chan struct{} // closed when err is set
	done   chan struct{} // closed when the goroutine has ended
	err    error
}

func (b *behind) Write(p []byte) (int, error) {
	if b.work == nil {
		if b.blocks == nil || len(p) < sealedChunk {
			return b.out.Write(p)
		}
		// As deep as hides that the two sides take turns in being slow.
		b.work = make(chan []byte, 4)
		b.failed, b.done = make(chan struct{}), make(chan struct{})
		go b.run()
	}
	select {
	case <-b.failed:
		return 0, b.err
	default:
	}
	b.work <- append((<-b.blocks)[:0], p...)
	return len(p), nil
}

func (b *behind) run() {
	defer close(b.done)
	for block := range b.work {
		if b.err == nil {
			if _, b.err = b.out.Write(block); b.err != nil {
				close(b.failed)
			}
		}
		b.blocks <- block
	}
}

// end waits for what is under way. Whatever comes later is refused.
func (b *behind) end() error {
	if b.work != nil {
		close(b.work)
		<-b.done
		b.work = nil
	}
	b.blocks, b.out.w = nil, ended{}
	return b.err
}

// ended is where an attachment goes that was closed or given up.
type ended struct{}

func (ended) Write([]byte) (int, error) { return 0, errEnded }

var errEnded = errors.New("the attachment was closed")

type hashingWriter struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

func (h *hashingWriter) Write(p []byte) (int, error) {
	n, err := h.w.Write(p)
	h.hash.Write(p[:n])
	h.n += int64(n)
	return n, err
}

type hashingReader struct {
	r    io.Reader
	hash hash.Hash
	n    int64
	err  error // of r, other than io.EOF
}

func (h *hashingReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.hash.Write(p[:n])
	h.n += int64(n)
	if err != nil && err != io.EOF {
		h.err = err
	}
	return n, err
}

// zeros reads as zero bytes without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

var errNotZero = errors.New("padding is not zero")

// mustBeZero takes zero bytes only.
type mustBeZero struct{}

func (mustBeZero) Write(p []byte) (int, error) {
	for _, b := range p {
		if b != 0 {
			return 0, errNotZero
		}
	}
	return len(p), nil
}
