package tipbox

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"tipbox/crypto/seal"
)

// Attach seals a file as it is read from r. Its error is ErrFileTooLarge,
// ErrTooManyFiles, ErrNoRoom, r's own, or the store's; the draft is then fit for
// Abort only, and r may have more to read.
func (d *Draft) Attach(ctx context.Context, name, mediaType string, r io.Reader) error {
	if len(d.files) == MaxFiles {
		return ErrTooManyFiles
	}
	if err := d.s.room.look(1); err != nil {
		return err
	}
	blob := d.tip + randomID(blobIDLength-tipIDLength)
	w, err := d.s.cfg.Blobs.Create(ctx, blob)
	if err != nil {
		return fmt.Errorf("keeping a file: %w", noRoom(err))
	}
	defer w.Abort()
	a, sum, err := d.seal(w, r)
	if err != nil {
		return err
	}
	if err := w.Commit(); err != nil {
		return fmt.Errorf("keeping a file: %w", noRoom(err))
	}
	d.files = append(d.files, attached{
		File{Name: baseName(name), Type: cut(mediaType, maxName), Size: a.Size},
		EventFile{Blob: blob, Sealed: a.Sealed, SHA256: hex.EncodeToString(a.SHA256[:])},
		sum,
	})
	return nil
}

// seal seals what r has to w, and returns the CRC-32C of it besides.
func (d *Draft) seal(w io.Writer, r io.Reader) (*seal.Attachment, uint32, error) {
	sealed, err := seal.NewAttachment(roomWriter{w, &d.s.room}, d.s.blocks, d.to)
	if err != nil {
		return nil, 0, err
	}
	defer sealed.Abort()
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	// A small buffer, for all those that stand still.
	n, err := io.CopyBuffer(io.MultiWriter(sum, sealed), io.LimitReader(&polite{r: r, short: &d.s.short}, d.s.cfg.MaxFile+1), make([]byte, 4<<10))
	if err != nil {
		return nil, 0, fmt.Errorf("receiving a file: %w", err)
	}
	if n > d.s.cfg.MaxFile {
		return nil, 0, ErrFileTooLarge
	}
	if err := sealed.Close(); err != nil {
		return nil, 0, err
	}
	return sealed.Attachment(), sum.Sum32(), nil
}

// A turn is how many bytes of a file are sealed before others have theirs.
const turn = 64 << 10

// polite reads from r and lets what is short go before: a file that comes in as
// fast as it is sealed and written would have the processors and the disk to
// itself. While there always is something short, it still gets a turn every few
// milliseconds.
type polite struct {
	r     io.Reader
	short *atomic.Int64 // calls under way that are short
	n     int           // bytes of this turn
}

func (p *polite) Read(b []byte) (int, error) {
	if p.n >= turn {
		p.n = 0
		runtime.Gosched()
		for range 4 {
			if p.short.Load() == 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	n, err := p.r.Read(b)
	p.n += n
	return n, err
}

// brief is deferred by what is short and goes before files: defer s.brief()().
func (s *Service) brief() (done func()) {
	s.short.Add(1)
	return func() { s.short.Add(-1) }
}

// baseName is the last part of a path of any system, cut to maxName bytes.
func baseName(name string) string {
	return cut(name[strings.LastIndexAny(name, `/\`)+1:], maxName)
}

// cut is s as valid UTF-8 of at most n bytes.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	for len(s) > n {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
