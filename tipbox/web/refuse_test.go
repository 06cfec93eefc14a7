package web_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

const maxFile = 1 << 10

var (
	tooLong  = strings.Repeat("长", tipbox.MaxText+1)
	tooLarge = tipboxtest.File{Name: "big " + secret, Content: strings.Repeat("x", maxFile+1)}
	small    = tipboxtest.File{Name: "small " + secret, Content: secret}
)

// failingBlobs cannot commit.
type failingBlobs struct {
	store.Blobs
	on bool
}

type failingWriter struct{ store.BlobWriter }

var errDisk = errors.New("no space left")

func (b *failingBlobs) Create(ctx context.Context, name string) (store.BlobWriter, error) {
	w, err := b.Blobs.Create(ctx, name)
	if b.on {
		w = failingWriter{w}
	}
	return w, err
}

func (w failingWriter) Commit() error {
	w.Abort()
	return errDisk
}

// A brokenSite is a site whose store and blobs fail when told to.
type brokenSite struct {
	*site
	store *failing
	blobs *failingBlobs
}

func newBrokenSite(t testing.TB) *brokenSite { return newBrokenSiteOf(t, tipboxtest.Config{}) }

func newBrokenSiteOf(t testing.TB, cfg tipboxtest.Config) *brokenSite {
	st, blobs := &failing{Store: mem.New()}, &failingBlobs{Blobs: mem.NewBlobs()}
	cfg.Store, cfg.Blobs, cfg.MaxFile = st, blobs, maxFile
	s := &brokenSite{newSite(t, cfg), st, blobs}
	t.Cleanup(s.repair) // before the organisation's own checks
	return s
}

func (s *brokenSite) repair() { s.store.fail, s.blobs.on = nil, false }

func (s *brokenSite) breakOn(op string) {
	s.store.fail = func(got string, _ store.Key) error {
		if got == op {
			return errDisk
		}
		return nil
	}
}

type refusal struct {
	name     string
	set      map[string][]string // fields of the form
	files    []tipboxtest.File
	prepare  func(*brokenSite)
	request  func(*http.Request) // spoils it
	status   int
	says     string // in English
	newToken bool
	slow     bool // tested once
}

var refusals = []refusal{
	{name: "empty", set: map[string][]string{"text": {" \n "}}, status: 422, says: "neither a text nor a file"},
	{name: "text too long", set: map[string][]string{"text": {tooLong}}, status: 422, says: "longer than 40,000 characters"},
	{name: "text too long with a file", set: map[string][]string{"text": {tooLong}}, files: []tipboxtest.File{small}, status: 422, says: "longer than 40,000"},
	{name: "too many files", files: slices.Repeat([]tipboxtest.File{{Name: "f"}}, tipbox.MaxFiles+1), slow: true, status: 413, says: "more files"},
	{name: "file names too long", files: slices.Repeat([]tipboxtest.File{{Name: strings.Repeat("<", 255)}}, tipbox.MaxFiles), slow: true, status: 413, says: "longer file names"},
	{name: "file too large", files: []tipboxtest.File{small, tooLarge, small}, status: 413, says: "larger than 1\u00a0KiB"},
	{name: "no channel", set: map[string][]string{"channel": nil}, files: []tipboxtest.File{small}, status: 422, says: "choose what it is about"},
	{name: "channel that nobody reads", set: map[string][]string{"channel": {"unread"}}, status: 422, says: "choose what it is about"},
	{name: "everybody left out", set: map[string][]string{"leave-out": {"alice", "unit:Inspectorate"}}, files: []tipboxtest.File{small}, status: 422, says: "left out everybody"},
	{name: "expired form", prepare: func(s *brokenSite) { s.Clock.Advance(3 * 24 * time.Hour) }, files: []tipboxtest.File{small}, status: 409, says: "too old", newToken: true},
	{name: "forged form", set: map[string][]string{"token": {strings.Repeat("A", 54)}}, status: 409, says: "too old", newToken: true},
	{name: "no token", set: map[string][]string{"token": nil}, status: 409, says: "too old", newToken: true},
	{name: "cut off form", request: cutOff(20), status: 400, says: "incomplete"},
	{name: "cut off file", request: cutOff(100), files: []tipboxtest.File{small}, status: 400, says: "incomplete"},
	{name: "file with a damaged name", request: replace(`; filename="small`, `; filename="small"" `), files: []tipboxtest.File{small}, status: 400, says: "incomplete"},
	{name: "store cannot write", prepare: func(s *brokenSite) { s.breakOn("apply") }, files: []tipboxtest.File{small}, status: 503, says: "cannot store"},
	{name: "store cannot read", prepare: func(s *brokenSite) { s.breakOn("get") }, files: []tipboxtest.File{small}, status: 503, says: "cannot store"},
	{name: "blobs cannot write", prepare: func(s *brokenSite) { s.blobs.on = true }, files: []tipboxtest.File{small}, status: 503, says: "cannot store"},
	{
		name: "expired form while the store cannot read", status: 409, says: "too old",
		prepare: func(s *brokenSite) { s.Clock.Advance(3 * 24 * time.Hour); s.breakOn("scan") },
	},
}

// cutOff takes n bytes from the end of a request's body.
func cutOff(n int) func(*http.Request) {
	return func(r *http.Request) {
		all := bodyOf(r)
		setBody(r, all[:len(all)-n])
	}
}

func replace(from, to string) func(*http.Request) {
	return func(r *http.Request) { setBody(r, bytes.Replace(bodyOf(r), []byte(from), []byte(to), 1)) }
}

func TestEveryRefusedTipSaysWhyAndKeepsWhatWasTyped(t *testing.T) {
	for _, lang := range []string{"en", "zh-Hans"} {
		for _, c := range refusals {
			if c.slow && lang != "en" {
				continue
			}
			t.Run(lang+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				s := newBrokenSite(t)
				s.lang = lang
				f := s.tipForm(t, "what I typed, "+secret).set(t, "leave-out", "unit:Audit office")
				for name, values := range c.set {
					f.set(t, name, values...)
				}
				if c.prepare != nil {
					c.prepare(s)
				}
				r := f.request(c.files...)
				if c.request != nil {
					c.request(r)
				}
				a := s.do(t, r).want(t, c.status)
				s.checkRefused(t, a, c, f)
			})
		}
	}
}

func (s *brokenSite) checkRefused(t *testing.T, a *answer, c refusal, sent *form) {
	t.Helper()
	if a.notice() == "" || s.lang == "en" && !strings.Contains(a.notice(), c.says) {
		t.Errorf("the page says %q", a.notice())
	}
	shown := a.page.form(t, sent.action)
	for _, name := range sent.names {
		got, want := shown.values[name], sent.values[name]
		switch {
		case name == "file":
			continue
		case name == "token" && c.newToken:
			if got[0] == "" || slices.Equal(got, want) {
				t.Error("there is no new token")
			}
			continue
		case name == "token" && want == nil:
			continue
		case name == "channel" && c.set["channel"] != nil:
			want = nil // there is none such to be chosen
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s is now %.80q, was %.80q", name, got, want)
		}
	}
	hint := map[string]string{"en": "choose them again", "zh-Hans": "请重新选择"}[s.lang]
	if got := strings.Contains(a.page.inner(), hint); got != (c.files != nil) {
		t.Errorf("files are asked for again: %v", got)
	}
	s.repair()
	if kept := s.kept(); len(kept) > 0 {
		t.Errorf("there is still %q", kept)
	}
}

func TestARefusedTipCanBeSentAfterAll(t *testing.T) {
	for _, c := range refusals {
		if c.request != nil || c.slow {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newBrokenSite(t)
			f := s.tipForm(t, secret)
			for name, values := range c.set {
				f.set(t, name, values...)
			}
			if c.prepare != nil {
				c.prepare(s)
			}
			again := s.send(t, f, c.files...).page.form(t, "/tip")
			s.repair()
			again.set(t, "channel", "bribery").set(t, "text", "mended, "+secret).set(t, "leave-out")
			if strings.HasPrefix(c.name, "expired form while") { // it could not be given a new token
				again = s.send(t, again).want(t, http.StatusConflict).page.form(t, "/tip")
			}
			s.send(t, again, small).want(t, http.StatusOK)
			if got := s.read(t).Messages[0]; got.Text != "mended, "+secret || len(got.Files) != 1 {
				t.Errorf("the investigator reads %+v", got)
			}
		})
	}
}

func TestEveryRefusedMessageSaysWhyAndKeepsWhatWasTyped(t *testing.T) {
	for _, c := range refusals {
		if c.slow || c.set["channel"] != nil || c.newToken || strings.Contains(c.name, "channel") || strings.Contains(c.name, "left out") || strings.Contains(c.name, "expired") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newBrokenSite(t)
			receipt := s.tip(t, secret)
			before := s.kept()
			thread := s.send(t, s.codeForm(t, receipt.words(t))).want(t, http.StatusOK)
			f := thread.page.form(t, "/thread/message").set(t, "text", "what I typed, "+secret)
			for name, values := range c.set {
				f.set(t, name, values...)
			}
			if c.prepare != nil {
				c.prepare(s)
			}
			r := f.request(c.files...)
			if c.request != nil {
				c.request(r)
			}
			a := s.do(t, r).want(t, c.status)
			if !strings.Contains(a.notice(), c.says) {
				t.Errorf("the page says %q", a.notice())
			}
			shown := a.page.form(t, "/thread/message")
			if asked := slices.Contains(shown.names, "code"); asked != (c.says == "cannot store" && c.name != "store cannot write" && c.name != "blobs cannot write") {
				t.Errorf("the page asks for the code again: %v", asked)
			}
			if shown.values.Get("text") != f.values.Get("text") || shown.values.Get("once") != f.values.Get("once") {
				t.Errorf("the form holds %.80q", shown.values)
			}
			if got := strings.Contains(a.page.inner(), "choose them again"); got != (c.files != nil) {
				t.Errorf("files are asked for again: %v", got)
			}
			s.repair()
			if after := s.kept(); !slices.Equal(before, after) {
				t.Errorf("there is now %q", after)
			}
		})
	}
}

func TestThreadThatCannotBeReadIsNotSaidToBeLost(t *testing.T) {
	s := newBrokenSite(t)
	words := s.tip(t, secret).words(t)
	f := s.codeForm(t, words)
	s.breakOn("get")
	a := s.send(t, f).want(t, http.StatusServiceUnavailable)
	if !strings.Contains(a.notice(), "Nothing of it is lost") || a.page.form(t, "/thread").values.Get("code") != words {
		t.Errorf("the page says %q", a.notice())
	}
}

func TestAFileWithoutANameIsKept(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	s.tip(t, "", tipboxtest.File{Content: secret})
	tip := s.read(t)
	if files := tip.Messages[0].Files; len(files) != 1 || s.file(t, tip, files[0]) != secret {
		t.Errorf("files: %+v", files)
	}
}

func TestABodyOfAnotherKindIsRefused(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	for _, path := range []string{"/tip", "/thread", "/thread/message", "/thread/receipt"} {
		for _, kind := range []string{"", "text/plain", "multipart/form-data", "multipart/mixed; boundary=x", "application/json", ";;"} {
			r := httptest.NewRequest("POST", path, strings.NewReader(secret))
			r.Header.Set("Content-Type", kind)
			if a := s.do(t, r).want(t, http.StatusBadRequest); a.notice() == "" {
				t.Errorf("%s with %q says nothing", path, kind)
			}
		}
	}
}
