package web

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Whoever watches the line sees how long an answer is, through TLS and Tor too. So
// all that a source can be answered is of a few lengths, with its head: shortest, or
// that doubled until it fits. The first takes every page in every language, and what
// is saved from one; only threads with much in them, long texts that are given back
// and many vouchers take more.
//
// Pages are padded by a comment after their end, data by spaces, files within the
// compression of the answer, so that what is saved is as it was. Nothing is
// compressed to be shorter: it would be padded again, and how much shorter it
// becomes tells how alike its parts are.
//
// Answers of one length are also written in the same pieces, so that segments and TLS
// records tell nothing either. It takes HTTP/1.1 from end to end: HTTP/2 writes the
// same head at another length the second time, and a proxy must not compress. When
// net/http ends a connection that it cannot use again, it says so in a line that is not
// counted; whoever watches sees the end by itself.
const shortest = 32 << 10

// class is the length of an answer that needs n bytes.
func class(n int) int {
	length := shortest
	for length < n {
		length *= 2
	}
	return length
}

// padded is how long the body of an answer must be that needs n bytes, for all of
// it to be as long as its class.
func padded(status int, head http.Header, n int) int {
	fixed := len("HTTP/1.1 200 "+http.StatusText(status)+"\r\n") + len("Date: "+http.TimeFormat+"\r\n") + len("Content-Length: \r\n") + len("\r\n")
	for name, values := range head {
		for _, value := range values {
			fixed += len(name + ": " + value + "\r\n")
		}
	}
	length := class(fixed + len(strconv.Itoa(n)) + n)
	return length - fixed - len(strconv.Itoa(length)) // no class is near above a power of ten
}

// spaces are what answers are filled up with.
var spaces = strings.Repeat(" ", shortest)

// fill appends n spaces, shortest at most.
func fill(b []byte, n int) []byte { return append(b, spaces[:n]...) }

// send sends an answer, padded.
func (s *site) send(w http.ResponseWriter, status int, contentType string, body []byte) error {
	w.Header().Set("Content-Type", contentType)
	var begin, end string
	if contentType == htmlType {
		begin, end = "<!--", "-->\n"
	}
	length := padded(status, w.Header(), len(body)+len(begin)+len(end))
	return s.write(w, status, append(body, begin...), length, end)
}

// sendFile sends what a browser is to save. One that takes no compression finds
// spaces at the end.
func (s *site) sendFile(w http.ResponseWriter, r *http.Request, name, text string) error {
	w.Header().Set("Content-Type", plainType)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	if takesGzip(r.Header.Get("Accept-Encoding")) {
		w.Header().Set("Content-Encoding", "gzip")
		bare := len(stored(text, 0))
		extra := padded(http.StatusOK, w.Header(), bare) - bare
		if extra <= maxExtra {
			body := stored(text, extra)
			return s.write(w, http.StatusOK, body, len(body), "")
		}
		w.Header().Del("Content-Encoding")
	}
	return s.send(w, http.StatusOK, plainType, []byte(text))
}

// maxExtra is as much as stored can add.
const maxExtra = 1<<16 - 1 - 4

// stored is a gzip member (RFC 1952) that holds the text as it is, and besides n
// bytes in a subfield of its head, which nobody reads.
func stored(text string, n int) []byte {
	var out bytes.Buffer
	out.Grow(shortest)
	z, _ := gzip.NewWriterLevel(&out, gzip.NoCompression) // the level is one
	z.Extra = append(binary.LittleEndian.AppendUint16([]byte("TP"), uint16(n)), make([]byte, n)...)
	z.Write([]byte(text)) // into memory: no error
	z.Close()
	return out.Bytes()
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

// sendBare sends an answer as it is: one that no source has to do with.
func (s *site) sendBare(w http.ResponseWriter, status int, contentType string, body []byte) error {
	w.Header().Set("Content-Type", contentType)
	return s.write(w, status, body, len(body), "")
}

// write sends a body, filled up to a length with spaces that the end follows. Its first
// piece makes whole ones of those that follow, with the head.
func (s *site) write(w http.ResponseWriter, status int, body []byte, length int, end string) error {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime))
	w.Header().Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(status)
	for at, n := 0, length%shortest; at < length; at, n = at+n, shortest {
		var piece []byte
		switch to := at + n; {
		case to <= len(body):
			piece = body[at:to]
		case to < length:
			piece = fill(body[min(at, len(body)):], to-max(at, len(body)))
		default:
			piece = append(fill(body[min(at, len(body)):], to-max(at, len(body))-len(end)), end...)
		}
		if _, err := w.Write(piece); err != nil {
			return nil // a client that went away
		}
	}
	return nil
}
