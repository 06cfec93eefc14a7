package web

import (
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

const multipartType = "multipart/form-data; boundary=b"

// pool is what readForm needs of a site.
var pool = &site{blocks: newBlocks(1)}

// read reads a form and, of its files, all there is.
func read(contentType string, body io.Reader) (f form, files []string, err error) {
	r := httptest.NewRequest("POST", "/", body)
	r.Header.Set("Content-Type", contentType)
	f, err = pool.readForm(httptest.NewRecorder(), r, func(_ url.Values, name, _ string, content io.Reader) error {
		b, err := io.ReadAll(content)
		files = append(files, name+"="+string(b))
		return err
	})
	return f, files, err
}

func part(header, content string) string {
	return "--b\r\nContent-Disposition: " + header + "\r\n\r\n" + content + "\r\n"
}

func TestReadForm(t *testing.T) {
	text := part(`form-data; name="text"`, "hello\r\nworld")
	for _, c := range []struct {
		name, kind, body string
		fields           url.Values
		files            string
		hadFiles         bool
		err              error
	}{
		{name: "fields", kind: multipartType, body: text + part(`form-data; name=x`, "") + "--b--", fields: url.Values{"text": {"hello\r\nworld"}, "x": {""}}},
		{name: "preamble and epilogue", kind: multipartType, body: "pre\r\n" + text + "--b--\r\npost", fields: url.Values{"text": {"hello\r\nworld"}}},
		{name: "files", kind: multipartType, body: text + part(`form-data; name="file"; filename="a.txt"`, "A") + part(`form-data; name="file"; filename*=UTF-8''%C3%A9`, "B") + "--b--", fields: url.Values{"text": {"hello\r\nworld"}}, files: "a.txt=A é=B", hadFiles: true},
		{name: "field after file", kind: multipartType, body: part(`form-data; name="file"; filename="a"`, "A") + text + "--b--", fields: url.Values{"text": {"hello\r\nworld"}}, files: "a=A", hadFiles: true},
		{name: "no file chosen", kind: multipartType, body: part(`form-data; name="file"; filename=""`, "") + "--b--", fields: url.Values{}},
		{name: "file without a name", kind: multipartType, body: part(`form-data; name="file"; filename=""`, "A") + "--b--", fields: url.Values{}, files: "=A", hadFiles: true},
		{name: "empty file", kind: multipartType, body: part(`form-data; name="file"; filename="a"`, "") + "--b--", fields: url.Values{}, files: "a=", hadFiles: true},
		{name: "raw file", kind: multipartType, body: part("form-data; name=f; filename=a\r\nContent-Transfer-Encoding: quoted-printable", "=41=zz") + "--b--", fields: url.Values{}, files: "a==41=zz", hadFiles: true},
		{name: "unreadable file name", kind: multipartType, body: text + part(`form-data; name="file"; filename="a"b"`, "A") + "--b--", fields: url.Values{"text": {"hello\r\nworld"}}, hadFiles: true, err: errForm},
		{name: "no disposition", kind: multipartType, body: text + "--b\r\n\r\nA\r\n--b--", fields: url.Values{"text": {"hello\r\nworld"}}, hadFiles: true, err: errForm},
		{name: "attachment", kind: multipartType, body: part(`attachment; filename="a"`, "A") + text + "--b--", fields: url.Values{"text": {"hello\r\nworld"}}, hadFiles: true, err: errForm},
		{name: "cut off", kind: multipartType, body: text + part(`form-data; name="x"`, "y"), fields: url.Values{"text": {"hello\r\nworld"}}, err: errForm},
		{name: "empty body", kind: multipartType, err: errForm, fields: url.Values{}},
		{name: "urlencoded", kind: "application/x-www-form-urlencoded; charset=utf-8", body: "a=1&b=%E4%B8%AD+x&a=2", fields: url.Values{"a": {"1", "2"}, "b": {"中 x"}}},
		{name: "urlencoded and damaged", kind: "application/x-www-form-urlencoded", body: "a=1&b=%", fields: url.Values{"a": {"1"}}, err: errForm},
		{name: "urlencoded and too long", kind: "application/x-www-form-urlencoded", body: "a=" + strings.Repeat("x", 3*maxFields), fields: url.Values{}, err: errForm},
		{name: "another kind", kind: "text/plain", body: "a=1", fields: url.Values{}, err: errForm},
		{name: "no kind", body: "a=1", fields: url.Values{}, err: errForm},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, files, err := read(c.kind, strings.NewReader(c.body))
			if fmt.Sprint(f.Values) != fmt.Sprint(c.fields) || strings.Join(files, " ") != c.files || f.hadFiles != c.hadFiles || !errors.Is(err, c.err) {
				t.Errorf("got %.100q, %q, %v, %v", f.Values, files, f.hadFiles, err)
			}
		})
	}
}

func TestAfterARefusedFileNoOtherIsTakenButFieldsAre(t *testing.T) {
	refused := errors.New("refused")
	r := httptest.NewRequest("POST", "/", strings.NewReader(
		part(`form-data; name="f"; filename="a"`, "A")+part(`form-data; name="f"; filename="b"`, "B")+part(`form-data; name="text"`, "T")+"--b--"))
	r.Header.Set("Content-Type", multipartType)
	calls := 0
	f, err := pool.readForm(httptest.NewRecorder(), r, func(url.Values, string, string, io.Reader) error {
		calls++
		return refused
	})
	if calls != 1 || err != refused || f.Get("text") != "T" {
		t.Errorf("%d calls, %v, %q", calls, err, f.Values)
	}
}

// endless repeats a text for ever.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c := copy(p[n:], e.text[e.at:])
		n, e.at = n+c, (e.at+c)%len(e.text)
	}
	return n, nil
}

func TestAFormTakesLittleMemoryWhateverItsLength(t *testing.T) {
	const length = 12 << 20
	for name, c := range map[string]struct{ kind, text string }{
		"empty fields":     {multipartType, part("form-data", "")},
		"named fields":     {multipartType, part(`form-data; name="x"`, "y")},
		"damaged parts":    {multipartType, part(`form-data; name="x"y`, "y")},
		"one field":        {multipartType, part(`form-data; name="x"`, strings.Repeat("y", 5<<20))},
		"an endless field": {"application/x-www-form-urlencoded", "x=1&"},
		"a preamble":       {multipartType, "\r\n"},
		"another kind":     {"text/plain", "x"},
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		f, _, err := read(c.kind, io.LimitReader(&endless{text: c.text}, length))
		runtime.GC()
		runtime.ReadMemStats(&after)
		if err != errForm {
			t.Errorf("%s: %v", name, err)
		}
		if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > maxFields+1<<20 {
			t.Errorf("%s: %d bytes are kept", name, kept)
		}
		runtime.KeepAlive(f)
	}
}

func TestOfALongFieldTheBeginningIsKept(t *testing.T) {
	f, _, err := read(multipartType, strings.NewReader(part("form-data; name=x", strings.Repeat("y", maxField+1000))+part("form-data; name=z", "z")+"--b--"))
	if err != nil || len(f.Get("x")) != maxField || f.Get("z") != "z" {
		t.Errorf("%d bytes, %q, %v", len(f.Get("x")), f.Get("z"), err)
	}
}

func TestAFileDoesNotLiftTheBoundOnWhatFollows(t *testing.T) {
	in := new(site).newBody(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(part("form-data; name=f; filename=f", "x")+"--b--")))
	f := form{Values: make(url.Values)}
	err := f.parse(in, pool.blocks, multipartType, func(url.Values, string, string, io.Reader) error {
		if in.left <= maxUnkept {
			t.Error("a file is bounded like what is thrown away")
		}
		return nil
	})
	if err != nil || in.left > maxUnkept {
		t.Errorf("%d bytes more may come, %v", in.left, err)
	}
}

func TestABodyIsReadToItsEndWithinABound(t *testing.T) {
	r := httptest.NewRequest("POST", "/", &endless{text: "x"})
	in := new(site).newBody(httptest.NewRecorder(), r)
	in.left = 1 << 20
	if n, err := io.Copy(io.Discard, in); n != 1<<20 || err != errForm {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// The header of a part is bounded, and the bytes of the parts before it do not
// count.
func TestALongPartHeaderIsRefused(t *testing.T) {
	long := part(`form-data; name="file"; filename="a"`, strings.Repeat("A", 2*maxHead)) + part(`form-data; name="text"`, "T")
	f, files, err := read(multipartType, strings.NewReader(long+"--b--\r\n"))
	if err != nil || len(files) != 1 || f.Get("text") != "T" {
		t.Errorf("behind a long file: %v, %d files, text %q", err, len(files), f.Get("text"))
	}
	header := "--b\r\nX: " + strings.Repeat("x", 2*maxHead) + "\r\nContent-Disposition: form-data; name=more\r\n\r\nM\r\n"
	f, files, err = read(multipartType, strings.NewReader(long+header+"--b--\r\n"))
	if !errors.Is(err, errForm) || len(files) != 1 || f.Get("text") != "T" || f.Has("more") {
		t.Errorf("a long header: %v, %v", err, f.Values)
	}
}

// pieces brings what is sent to it.
type pieces chan string

func (p pieces) Read(b []byte) (int, error) {
	piece, ok := <-p
	if !ok {
		return 0, io.EOF
	}
	return copy(b, piece), nil
}

func TestAFastLineIsReadInLargePieces(t *testing.T) {
	const length = 10 << 20
	reads := 0
	src := readerFunc(func(p []byte) (int, error) {
		reads++
		return len(p), nil
	})
	a := &ahead{r: io.LimitReader(src, length), blocks: newBlocks(1)}
	if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, a, make([]byte, 4096)); n != length || err != nil {
		t.Fatal(n, err)
	}
	if most := 2*length/blockSize + 2; reads > most {
		t.Errorf("%d reads", reads)
	}
	if len(a.blocks) != 1 {
		t.Error("the block is lost")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestALineThatStandsStillHoldsNoBlock(t *testing.T) {
	for _, lengths := range [][]int{{}, {1}, {100, 2000}, {4096, 10_000}, {4096, blockSize, 20}, {4096, 1, 4096, 300, 1, 2}} {
		src, blocks := make(pieces), newBlocks(1)
		read := make(chan int)
		go func() {
			defer close(read)
			a := &ahead{r: src, blocks: blocks}
			for p := make([]byte, 4096); ; {
				n, err := a.Read(p)
				if err != nil {
					return
				}
				read <- n
			}
		}()
		for _, n := range lengths {
			src <- strings.Repeat("x", n)
			for n > 0 {
				n -= <-read
			}
		}
		if len(blocks) != 1 {
			t.Errorf("after %v the block is held", lengths)
		}
		close(src)
		<-read
	}
}

func TestWhatIsReadAheadComesWhole(t *testing.T) {
	text := strings.Repeat("what came 收到的 ", 50_000)
	for name, line := range map[string]func(io.Reader) io.Reader{
		"as it is":  func(r io.Reader) io.Reader { return r },
		"in halves": iotest.HalfReader,
		"EOF with data": func(r io.Reader) io.Reader {
			r = iotest.DataErrReader(r)
			return readerFunc(func(p []byte) (int, error) {
				if len(p) == 0 { // which DataErrReader does not bear
					return 0, nil
				}
				return r.Read(p)
			})
		},
		"single bytes": iotest.OneByteReader,
	} {
		for n := range 2 {
			a := &ahead{r: line(strings.NewReader(text)), blocks: newBlocks(n)}
			if err := iotest.TestReader(a, []byte(text)); err != nil {
				t.Errorf("%s, %d blocks: %v", name, n, err)
			}
			if len(a.blocks) != n {
				t.Errorf("%s: a block is lost", name)
			}
		}
	}
}

func TestAFormThatIsGivenUpGivesItsBlockBack(t *testing.T) {
	s := &site{blocks: newBlocks(1)}
	for _, body := range []string{
		part(`form-data; name="f"; filename="f"`, strings.Repeat("x", 1<<20)) + "--b--" + strings.Repeat("x", 1<<20),
		"--b\r\n" + strings.Repeat("x", 1<<20),
		strings.Repeat(part("form-data; name=x", strings.Repeat("x", 1<<20)), 3),
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", multipartType)
		s.readForm(httptest.NewRecorder(), r, nil)
		if len(s.blocks) != 1 {
			t.Fatal("the block is lost")
		}
	}
}

func FuzzReadForm(f *testing.F) {
	f.Add(multipartType, []byte(part(`form-data; name="text"`, "hello")+part(`form-data; name="file"; filename="a"`, "A")+"--b--\r\n"))
	f.Add(multipartType, []byte(part(`form-data; name="f"; filename*=UTF-8''%41`, "A")+"--b--"))
	f.Add(multipartType, []byte("--b\r\n\r\n\r\n--b\r\nContent-Disposition: x\r\n\r\n--b--"))
	f.Add(`multipart/form-data; boundary="`+strings.Repeat("-", 70)+`"`, []byte("--"))
	f.Add("application/x-www-form-urlencoded", []byte("a=1&a=%41;&%zz"))
	f.Add("multipart/form-data", []byte("----\r\n"))
	f.Add(";", []byte{})
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		form, files, err := read(contentType, strings.NewReader(string(body)))
		if err != nil && !errors.Is(err, errForm) {
			t.Errorf("another error: %v", err)
		}
		kept := 0
		for name, values := range form.Values {
			kept += len(name) + len(strings.Join(values, ""))
		}
		for _, content := range files {
			kept += len(content)
		}
		// A name's bytes may stand for more: one that is no UTF-8 is replaced.
		if kept > 3*len(body)+len(files) {
			t.Errorf("%d bytes out of %d", kept, len(body))
		}
		if len(files) > 0 && !form.hadFiles {
			t.Error("files came and it does not say so")
		}
	})
}
