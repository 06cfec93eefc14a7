package web

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// errForm means that a form arrived incomplete or malformed.
var errForm = errors.New("the form is incomplete")

const (
	maxField  = 1 << 20         // bytes of one field that are kept
	maxFields = 2 << 20         // bytes of all fields together
	stalled   = 2 * time.Minute // without a byte: the line is dead
)

// body is a request's body. It gives a slow line time as long as it moves, and
// hides what the network says of a failure, which would name the source.
type body struct {
	r        io.Reader
	control  *http.ResponseController
	extended time.Time // when the deadline was last moved
}

func newBody(w http.ResponseWriter, r *http.Request) *body {
	return &body{r: r.Body, control: http.NewResponseController(w)}
}

func (b *body) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(b.extended) > stalled/8 {
		b.control.SetReadDeadline(now.Add(stalled)) // not supported: then unbounded
		b.extended = now
	}
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		err = errForm
	}
	return n, err
}

// readForm reads a form of either kind. It calls file for each file with the
// fields that came before it; what file leaves unread is read and thrown away.
// The error is errForm, or the first of file's.
func readForm(w http.ResponseWriter, r *http.Request, file func(fields url.Values, name, mediaType string, content io.Reader) error) (url.Values, error) {
	in := newBody(w, r)
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "application/x-www-form-urlencoded":
		data, err := io.ReadAll(io.LimitReader(in, 3*maxFields))
		fields, err2 := url.ParseQuery(string(data))
		if err != nil || err2 != nil {
			return fields, errForm
		}
		return fields, drain(in)
	case err != nil || kind != "multipart/form-data" || params["boundary"] == "":
		return nil, errForm
	}
	r.Body = io.NopCloser(in)
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, errForm
	}
	fields := make(url.Values)
	var refused error
	kept := 0
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return fields, errors.Join(refused, drain(in))
		}
		if err != nil {
			return fields, errForm // the parser's own words quote the form
		}
		name := part.FormName()
		if _, params, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition")); hasFilename(params) {
			// A browser sends an empty nameless part where no file was chosen.
			if part.FileName() != "" && refused == nil && file != nil {
				refused = file(fields, part.FileName(), part.Header.Get("Content-Type"), part)
			}
			if drain(part) != nil {
				return fields, errForm
			}
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, maxField))
		if err != nil || drain(part) != nil {
			return fields, errForm
		}
		if kept += len(name) + len(value); kept > maxFields {
			refused = errors.Join(refused, fmt.Errorf("fields of over %d bytes: %w", maxFields, errForm))
			continue
		}
		fields.Add(name, strings.ReplaceAll(string(value), "\r\n", "\n"))
	}
}

func hasFilename(params map[string]string) bool {
	_, ok := params["filename"]
	return ok
}

// drain reads the rest, so that the sender gets to see the answer.
func drain(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return errForm
	}
	return nil
}
