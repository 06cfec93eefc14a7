package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Compression makes the length of an answer tell how alike its parts are. So only
// pages go through here that hold neither a secret nor anything that came with the
// request: whoever asks gets the same. No form with a token, no answer to a POST.

// renderPublic sends a page that is the same for everybody, compressed if the
// browser takes that.
func (s *site) renderPublic(w http.ResponseWriter, r *http.Request, name string, p *page) error {
	html, err := s.execute(name, p)
	if err != nil {
		return err
	}
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

// A zipper compresses pages. It keeps what it made: there are few pages that are
// the same for everybody, and each is asked for often.
type zipper struct {
	mu   sync.Mutex
	made map[[sha256.Size]byte][]byte // guarded by mu
}

// maxZipped is how many pages are kept: some for each language, and anew whenever
// a roster changes them.
const maxZipped = 512

func (z *zipper) compress(page []byte) []byte {
	sum := sha256.Sum256(page)
	z.mu.Lock()
	zipped := z.made[sum]
	z.mu.Unlock()
	if zipped != nil {
		return zipped
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is one
	}
	w.Write(page) // into memory: no error
	w.Close()
	zipped = bytes.Clone(out.Bytes())
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.made == nil || len(z.made) >= maxZipped {
		z.made = make(map[[sha256.Size]byte][]byte)
	}
	z.made[sum] = zipped
	return zipped
}
