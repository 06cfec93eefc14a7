package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"tipbox/tipbox/tipboxtest"
)

// benchmark reports pages a second, and bytes on the wire without headers.
func benchmark(b *testing.B, s *site, request func() *http.Request) {
	b.ReportAllocs()
	wire := 0
	for b.Loop() {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, request())
		if w.Code != http.StatusOK {
			b.Fatalf("status %d", w.Code)
		}
		wire = w.Body.Len()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pages/s")
	b.ReportMetric(float64(wire), "wire-B")
}

// BenchmarkPages are the pages that are the same for everybody, and the form.
func BenchmarkPages(b *testing.B) {
	s := newSite(b, tipboxtest.Config{})
	s.SetSchedules(shipped(b, "schedule.toml"))
	for _, path := range []string{"/", "/threats", "/reward", "/thread", "/tip"} {
		b.Run(path[1:], func(b *testing.B) {
			benchmark(b, s, func() *http.Request { return httptest.NewRequest("GET", path, nil) })
		})
	}
}

func BenchmarkHome(b *testing.B) {
	s := newSite(b, tipboxtest.Config{})
	benchmark(b, s, func() *http.Request { return httptest.NewRequest("GET", "/", nil) })
}

func BenchmarkTipForm(b *testing.B) {
	s := newSite(b, tipboxtest.Config{})
	benchmark(b, s, func() *http.Request { return httptest.NewRequest("GET", "/tip", nil) })
}

// BenchmarkTip is a tip of text only to two investigators, each with a form of
// its own, as the form costs little beside it.
func BenchmarkTip(b *testing.B) {
	s := newSite(b, tipboxtest.Config{})
	f := s.tipForm(b, "They keep a second book.")
	benchmark(b, s, func() *http.Request {
		token, err := s.Service.FormToken(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		return f.set(b, "token", token).request()
	})
}

func BenchmarkThread(b *testing.B) {
	s := newSite(b, tipboxtest.Config{})
	words := s.tip(b, "They keep a second book.").words(b)
	s.Reply("bob", s.Inbox("bob")[0].Tip, "Which year?")
	f := s.codeForm(b, words)
	benchmark(b, s, func() *http.Request { return f.request() })
}

func BenchmarkUnknownCode(b *testing.B) {
	s := newSite(b, tipboxtest.Config{})
	f := s.codeForm(b, "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong")
	b.ReportAllocs()
	for b.Loop() {
		s.ServeHTTP(httptest.NewRecorder(), f.request())
	}
}
