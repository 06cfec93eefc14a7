package web

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Compression makes the length of an answer tell how alike its parts are. So only
// pages go through here that hold neither a secret nor anything that came with the
// request: whoever asks gets the same, but that who comes by the onion service gets
// one without a warning. No form with a token, no answer to a POST.

// renderPublic sends a page that is the same for everybody, compressed if the
// browser takes that.
func (s *site) renderPublic(w http.ResponseWriter, r *http.Request, name string, p *page) error {
	html, err := s.execute(name, p)
	if err != nil {
		return err
	}
	p.leadToOnion(w)
	w.Header().Set("Vary", "Accept-Encoding")
	if takesGzip(r.Header.Get("Accept-Encoding")) {
		w.Header().Set("Content-Encoding", "gzip")
		html = s.zip.compress(html)
	}
	return s.send(w, http.StatusOK, htmlType, html)
}

// takesGzip reads Accept-Encoding (RFC 9110, 12.5.3). The * of "any coding" is
// not taken at its word: no browser needs it.
func takesGzip(accept string) bool {
	for coding := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		weight, found := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(params), " ", ""), "q=")
		if !found {
			return true
		}
		q, err := strconv.ParseFloat(weight, 32)
		return err == nil && q > 0
	}
	return false
}

// A zipper compresses pages. It keeps none: the time that an answer takes is not to
// tell whether somebody asked for the same page before.
type zipper struct{ writers sync.Pool }

func (z *zipper) compress(page []byte) []byte {
	var out bytes.Buffer
	w, ok := z.writers.Get().(*gzip.Writer)
	if !ok {
		w, _ = gzip.NewWriterLevel(nil, zipLevel) // the level is one
	}
	w.Reset(&out)
	w.Write(page) // into memory: no error
	w.Close()
	z.writers.Put(w)
	return out.Bytes()
}

// zipLevel makes pages as small as the best level does, in less time.
const zipLevel = 5
