package web

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"time"
)

// errForm means that a form arrived incomplete or malformed.
var errForm = errors.New("the form is incomplete")

const (
	maxField  = 1 << 20         // bytes of one field that are kept
	maxFields = 2 << 20         // bytes of all fields together
	fieldCost = 64              // bytes that a field counts besides its name and value
	maxUnkept = 16 << 30        // bytes that are read and thrown away
	stalled   = 2 * time.Minute // without a byte: the line is dead
)

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
}

func newBody(w http.ResponseWriter, r *http.Request) *body {
	return &body{r: quiet{r.Body}, left: maxUnkept, control: http.NewResponseController(w)}
}

func (b *body) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errForm
	}
	if now := time.Now(); now.Sub(b.extended) > stalled/8 {
		b.control.SetReadDeadline(now.Add(stalled)) // not supported: then unbounded
		b.extended = now
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// A form is what was sent: its fields, and whether there were files besides.
type form struct {
	url.Values
	hadFiles bool
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
func readForm(w http.ResponseWriter, r *http.Request, file takeFile) (form, error) {
	in := newBody(w, r)
	f := form{Values: make(url.Values)}
	err := f.parse(in, r.Header.Get("Content-Type"), file)
	if _, rest := io.Copy(io.Discard, in); err == nil {
		err = rest
	}
	return f, err
}

func (f *form) parse(in *body, contentType string, file takeFile) error {
	kind, params, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return errForm
	case kind == "application/x-www-form-urlencoded":
		return f.parseURLEncoded(in)
	case kind == "multipart/form-data":
		return f.parseMultipart(in, multipart.NewReader(bufio.NewReaderSize(in, 256<<10), params["boundary"]), file)
	}
	return errForm
}

func (f *form) parseURLEncoded(in *body) error {
	const most = 3 * maxFields // every byte as %XX
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil || len(data) > most {
		return errForm
	}
	if f.Values, err = url.ParseQuery(string(data)); err != nil {
		return errForm
	}
	return nil
}

func (f *form) parseMultipart(in *body, parts *multipart.Reader, file takeFile) error {
	kept := 0
	var refused error
	for {
		part, err := parts.NextRawPart()
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
		content := bufio.NewReader(quiet{part})
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
		value, err := io.ReadAll(io.LimitReader(content, maxField))
		if kept += len(params["name"]) + len(value) + fieldCost; err != nil || kept > maxFields {
			return cmp.Or(refused, errForm)
		}
		f.Add(params["name"], string(value))
	}
}
