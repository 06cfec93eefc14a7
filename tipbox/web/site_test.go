package web_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
	"tipbox/tipbox/web"
)

// A site is a whole organisation behind the pages' handler.
type site struct {
	*tipboxtest.Org
	http.Handler
	weblog *tipboxtest.Log // what web.New's logger got
	lang   string          // Accept-Language of every request
}

func newSite(t testing.TB, cfg tipboxtest.Config) *site {
	t.Helper()
	s := &site{Org: tipboxtest.New(t, cfg), weblog: new(tipboxtest.Log)}
	s.Handler = s.pages(t, s.Service)
	return s
}

func (s *site) pages(t testing.TB, service *tipbox.Service) http.Handler {
	t.Helper()
	h, err := web.New(web.Config{Service: service, Log: slog.New(slog.NewTextHandler(s.weblog, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// restart is another process on the same store: nothing of memory is left.
func (s *site) restart(t testing.TB) {
	t.Helper()
	service, err := tipbox.New(tipbox.Config{
		Store: s.Store, Blobs: s.Blobs, Root: s.Root.Verifier(), Channels: s.Service.Channels(), Now: s.Clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.InstallRoster(context.Background(), s.Service.SignedRoster()); err != nil {
		t.Fatal(err)
	}
	s.Handler = s.pages(t, service)
}

// An answer is what came back.
type answer struct {
	*httptest.ResponseRecorder
	page *node // nil unless it is HTML
}

func (s *site) do(t testing.TB, r *http.Request) *answer {
	t.Helper()
	if s.lang != "" {
		r.Header.Set("Accept-Language", s.lang)
	}
	a := &answer{ResponseRecorder: httptest.NewRecorder()}
	s.ServeHTTP(a, r)
	if strings.HasPrefix(a.Header().Get("Content-Type"), "text/html") && r.Method != "HEAD" {
		a.page = parse(t, a.Body.Bytes())
	}
	return a
}

func (s *site) get(t testing.TB, target string) *answer {
	t.Helper()
	return s.do(t, httptest.NewRequest("GET", target, nil))
}

// send posts a form as its enctype says.
func (s *site) send(t testing.TB, f *form, files ...tipboxtest.File) *answer {
	t.Helper()
	return s.do(t, f.request(files...))
}

func (f *form) request(files ...tipboxtest.File) *http.Request {
	if f.enctype != "multipart/form-data" {
		return f.urlencoded()
	}
	body, kind := f.multipart(files...)
	r := httptest.NewRequest("POST", f.action, body)
	r.Header.Set("Content-Type", kind)
	return r
}

func (f *form) urlencoded() *http.Request {
	body := strings.ReplaceAll(f.values.Encode(), "%0A", "%0D%0A") // as browsers do
	r := httptest.NewRequest("POST", f.action, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// multipart writes the form as browsers do: in the page's order, line breaks
// as CR LF, and an empty part if no file was chosen.
func (f *form) multipart(files ...tipboxtest.File) (body *bytes.Buffer, contentType string) {
	body = new(bytes.Buffer)
	w := multipart.NewWriter(body)
	for _, name := range f.names {
		if name == f.file {
			if len(files) == 0 {
				files = []tipboxtest.File{{Type: "application/octet-stream"}}
			}
			for _, file := range files {
				part, _ := w.CreatePart(textproto.MIMEHeader{
					"Content-Disposition": {fmt.Sprintf(`form-data; name="%s"; filename="%s"`, name, strings.ReplaceAll(file.Name, `"`, "%22"))},
					"Content-Type":        {file.Type},
				})
				io.WriteString(part, file.Content)
			}
			continue
		}
		for _, value := range f.values[name] {
			w.WriteField(name, strings.ReplaceAll(value, "\n", "\r\n"))
		}
	}
	w.Close()
	return body, w.FormDataContentType()
}

// tipForm is a fresh tip form with a channel and a text.
func (s *site) tipForm(t testing.TB, text string) *form {
	t.Helper()
	return s.get(t, "/tip").want(t, http.StatusOK).page.form(t, "/tip").set(t, "channel", "off-book-funds").set(t, "text", text)
}

// codeForm is the form of /thread with a receipt code.
func (s *site) codeForm(t testing.TB, code string) *form {
	t.Helper()
	return s.get(t, "/thread").want(t, http.StatusOK).page.form(t, "/thread").set(t, "code", code)
}

// tip sends a tip and returns the page with the receipt.
func (s *site) tip(t testing.TB, text string, files ...tipboxtest.File) *answer {
	t.Helper()
	return s.send(t, s.tipForm(t, text), files...).want(t, http.StatusOK)
}

func (a *answer) want(t testing.TB, status int) *answer {
	t.Helper()
	if a.Code != status {
		said := a.Body.String()
		if a.page != nil {
			said = a.page.id(t, "main").inner()
		}
		t.Fatalf("status %d, want %d: %.2000s", a.Code, status, said)
	}
	return a
}

// words and digits are the receipt code of a receipt page.
func (a *answer) words(t testing.TB) string  { return a.page.id(t, "receipt-code").inner() }
func (a *answer) digits(t testing.TB) string { return a.page.id(t, "receipt-digits").inner() }

// notice is the text of the page's notice, "" if there is none.
func (a *answer) notice() string {
	for _, n := range a.page.all(func(n *node) bool { return n.attr["id"] == "notice" }) {
		return strings.TrimSpace(n.inner())
	}
	return ""
}

// articles are the messages of a thread from that side.
func (a *answer) articles(from string) []*node {
	return a.page.all(func(n *node) bool { return n.tag == "article" && n.attr["data-from"] == from })
}

func (a *answer) contains(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.page.inner(), text) {
			t.Errorf("the page does not say %q:\n%s", text, a.page.inner())
		}
	}
}

// kept is what is stored besides keys of forms and numbers, as names.
func (s *site) kept() []string {
	var names []string
	for name := range s.Stored() {
		if !strings.HasPrefix(name, "record form/") && name != "record meta/roster" && name != "record meta/sequence" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// failing is a store that fails on demand.
type failing struct {
	store.Store
	fail func(op string, key store.Key) error // may be nil
}

func (f *failing) check(op string, key store.Key) error {
	if f.fail == nil {
		return nil
	}
	return f.fail(op, key)
}

func (f *failing) Get(ctx context.Context, key store.Key) (store.Record, error) {
	if err := f.check("get", key); err != nil {
		return store.Record{}, err
	}
	return f.Store.Get(ctx, key)
}

func (f *failing) Scan(ctx context.Context, prefix, after store.Key, limit int) ([]store.Record, error) {
	if err := f.check("scan", prefix); err != nil {
		return nil, err
	}
	return f.Store.Scan(ctx, prefix, after, limit)
}

func (f *failing) Apply(ctx context.Context, changes ...store.Change) error {
	if err := f.check("apply", changes[0].Key); err != nil {
		return err
	}
	return f.Store.Apply(ctx, changes...)
}

func bodyOf(r *http.Request) []byte {
	b, _ := io.ReadAll(r.Body)
	return b
}

func setBody(r *http.Request, b []byte) {
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
}
