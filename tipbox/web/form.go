package web

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// errForm means that a form arrived incomplete or malformed.
var errForm = errors.New("the form is incomplete")

const (
	maxField  = 512 << 10       // bytes of one field that are kept
	maxFields = 1 << 20         // bytes of all fields together
	fieldCost = 64              // bytes that a field counts besides its name and value
	maxHead   = 64 << 10        // bytes before a part's content: package multipart would keep 10 MiB
	maxUnkept = 16 << 30        // bytes that are read and thrown away
	stalled   = 2 * time.Minute // without a byte: the line is dead
)

// blockSize is how much is read at once of a line that brings as much.
const blockSize = 64 << 10

// newBlocks makes n blocks for requests to share.
func newBlocks(n int) chan []byte {
	blocks := make(chan []byte, n)
	for range n {
		blocks <- nil // made when first needed
	}
	return blocks
}

// ahead reads a fast line in large pieces. It holds no memory while a line
// brings little or nothing: it asks for little first, borrows a block only if
// that much was there, and gives it back once it is read. Without a block to
// borrow it goes on in little pieces.
type ahead struct {
	r      io.Reader
	blocks chan []byte
	more   bool   // the last little piece was as long as could be
	block  []byte // borrowed, or nil
	rest   []byte // of block, not read yet
	err    error  // behind rest

	inHead bool // between two parts
	head   int  // bytes that may be read there
}

// next goes on to the part behind part, which is nil at first.
func (a *ahead) next(parts *multipart.Reader, part *multipart.Part) (*multipart.Part, error) {
	if part != nil {
		if _, err := io.Copy(io.Discard, part); err != nil {
			return nil, err
		}
	}
	a.inHead, a.head = true, maxHead
	defer func() { a.inHead = false }()
	return parts.NextRawPart()
}

func (a *ahead) Read(p []byte) (int, error) {
	if !a.inHead {
		return a.read(p)
	}
	if a.head <= 0 {
		return 0, errForm
	}
	n, err := a.read(p[:min(len(p), a.head)])
	a.head -= n
	return n, err
}

func (a *ahead) read(p []byte) (int, error) {
	if len(a.rest) == 0 && a.err == nil {
		if !a.borrow() {
			n, err := a.r.Read(p)
			a.more = n == len(p)
			return n, err
		}
		var n int
		n, a.err = a.r.Read(a.block)
		a.rest = a.block[:n]
	}
	n := copy(p, a.rest)
	if a.rest = a.rest[n:]; len(a.rest) > 0 {
		return n, nil
	}
	a.giveBack()
	err := a.err
	a.err = nil
	return n, err
}

func (a *ahead) borrow() bool {
	if !a.more {
		return false
	}
	a.more = false
	select {
	case a.block = <-a.blocks:
	default:
		return false
	}
	if a.block == nil {
		a.block = make([]byte, blockSize)
	}
	return true
}

func (a *ahead) giveBack() {
	if a.block != nil {
		a.blocks <- a.block
		a.block, a.rest = nil, nil
	}
}

// quiet hides what a reader says of a failure, which could quote the form or
// name its sender.
type quiet struct{ r io.Reader }

func (q quiet) Read(p []byte) (int, error) {
	n, err := q.r.Read(p)
	if err != nil && err != io.EOF {
		err = errForm
	}
	return n, err
}

// body is a request's body. It gives a slow line time as long as it moves.
type body struct {
	r        quiet
	left     int64 // bytes that may still be read
	control  *http.ResponseController
	extended time.Time // when the deadline was last moved

	heavies *heavies
	kept    int          // bytes of fields
	heavy   bool         // among the heavies
	moved   atomic.Int64 // Unix nanoseconds of the last byte
	isCut   atomic.Bool  // see cutOff
}

// newBody begins to read a request. What it keeps is counted until the request
// ends.
func (s *site) newBody(w http.ResponseWriter, r *http.Request) *body {
	b := &body{r: quiet{r.Body}, left: maxUnkept, control: http.NewResponseController(w), heavies: &s.heavies}
	context.AfterFunc(r.Context(), func() { b.heavies.leave(b) })
	return b
}

func (b *body) Read(p []byte) (int, error) {
	if b.left <= 0 || b.isCut.Load() {
		return 0, errForm
	}
	now := time.Now()
	if now.Sub(b.extended) > stalled/8 {
		b.control.SetReadDeadline(now.Add(stalled)) // not supported: then unbounded
		b.extended = now
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if n > 0 {
		b.moved.Store(now.UnixNano())
	}
	return n, err
}

// A form is what was sent: its fields, and whether there were files besides.
type form struct {
	url.Values
	hadFiles bool
	wrong    string // what is wrong with a field of it, as the page says beside that
}

// A takeFile keeps a file of a form, as it arrives. The fields are those that
// came before it.
type takeFile func(fields url.Values, name, mediaType string, content io.Reader) error

// readForm reads a form of either kind. It calls file, if not nil, for each
// file until one is refused. The error is errForm or file's.
//
// Whatever the error, the body is read to its end if that comes within
// maxUnkept: only then does a browser look for the answer. What could be read
// comes with the error.
func (s *site) readForm(w http.ResponseWriter, r *http.Request, file takeFile) (form, error) {
	in := s.newBody(w, r)
	f := form{Values: make(url.Values)}
	err := f.parse(in, s.blocks, r.Header.Get("Content-Type"), file)
	if _, rest := io.Copy(io.Discard, in); err == nil {
		err = rest
	}
	if in.isCut.Load() {
		f.Values = url.Values{} // to free the memory, for a page that nobody reads
	}
	return f, err
}

func (f *form) parse(in *body, blocks chan []byte, contentType string, file takeFile) error {
	kind, params, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return errForm
	case kind == "application/x-www-form-urlencoded":
		return f.parseURLEncoded(in)
	case kind == "multipart/form-data":
		ahead := &ahead{r: in, blocks: blocks}
		defer ahead.giveBack()
		return f.parseMultipart(in, ahead, multipart.NewReader(ahead, params["boundary"]), file)
	}
	return errForm
}

func (f *form) parseURLEncoded(in *body) error {
	const most = 3 * maxFields // every byte as %XX
	data, err := io.ReadAll(io.LimitReader(keeping{in, in}, most+1))
	if err != nil || len(data) > most {
		return errForm
	}
	if f.Values, err = url.ParseQuery(string(data)); err != nil {
		return errForm
	}
	return nil
}

func (f *form) parseMultipart(in *body, ahead *ahead, parts *multipart.Reader, file takeFile) error {
	kept := 0
	var refused error
	var part *multipart.Part
	for {
		var err error
		part, err = ahead.next(parts, part)
		if err == io.EOF {
			return refused
		}
		if err != nil {
			return cmp.Or(refused, errForm)
		}
		kind, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if err != nil || kind != "form-data" { // a file, perhaps: not to be lost
			f.hadFiles = true
			refused = cmp.Or(refused, errForm)
			continue
		}
		content := bufio.NewReaderSize(quiet{part}, 16) // to peek
		if name, ok := params["filename"]; ok {
			if _, err := content.Peek(1); name == "" && err != nil {
				continue // what a browser sends where no file was chosen
			}
			f.hadFiles = true
			if refused == nil && file != nil {
				in.left = math.MaxInt64 // file has a limit of its own
				refused = file(f.Values, name, part.Header.Get("Content-Type"), content)
				in.left = maxUnkept
			}
			continue
		}
		value, err := io.ReadAll(io.LimitReader(keeping{content, in}, maxField))
		if kept += len(params["name"]) + len(value) + fieldCost; err != nil || kept > maxFields {
			return cmp.Or(refused, errForm)
		}
		f.Add(params["name"], string(value))
	}
}
