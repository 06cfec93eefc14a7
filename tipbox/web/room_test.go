package web_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"tipbox/tipbox/tipboxtest"
)

func TestWithoutRoomForFilesTextsAreTaken(t *testing.T) {
	const mib = 1 << 20
	for lang, says := range map[string]struct{ refused, before string }{
		"en":      {"no room for files", "Files cannot be taken at present"},
		"zh-Hans": {"没有存放文件的空间", "目前不能接收文件"},
	} {
		t.Run(lang, func(t *testing.T) {
			var free atomic.Int64
			free.Store(2 * mib)
			s := newSite(t, tipboxtest.Config{Reserve: mib, Free: func() (int64, error) { return free.Load(), nil }})
			s.lang = lang
			hasFiles := func(a *answer, want bool) {
				t.Helper()
				body := a.Body.String()
				if strings.Contains(body, `type="file"`) != want || strings.Contains(body, says.before) == want {
					t.Errorf("the form takes files: %v, want %v", !want, want)
				}
			}
			hasFiles(s.get(t, "/tip"), true)
			f := s.tipForm(t, secret)
			free.Store(mib)

			// The form was opened before, and says so after.
			a := s.send(t, f, small, small).want(t, http.StatusInsufficientStorage)
			if notice := a.page.id(t, "notice").inner(); !strings.Contains(notice, says.refused) {
				t.Errorf("the page says %q", notice)
			}
			if kept := s.kept(); len(kept) > 0 {
				t.Errorf("there is still %q", kept)
			}
			hasFiles(a, false)
			f = a.page.form(t, "/tip")
			if got := f.values.Get("text"); got != secret {
				t.Errorf("of the text there is %q", got)
			}
			words := s.send(t, f).want(t, http.StatusOK).words(t)
			hasFiles(s.get(t, "/tip"), false)

			// So does the thread.
			free.Store(2 * mib)
			a = s.send(t, s.codeForm(t, words)).want(t, http.StatusOK)
			hasFiles(a, true)
			f = a.page.form(t, "/thread/message").set(t, "text", "more "+secret)
			free.Store(mib)
			a = s.send(t, f, small).want(t, http.StatusInsufficientStorage)
			hasFiles(a, false)
			f = a.page.form(t, "/thread/message")
			if got := f.values.Get("text"); got != "more "+secret {
				t.Errorf("of the text there is %q", got)
			}
			hasFiles(s.send(t, f).want(t, http.StatusOK), false)

			free.Store(2 * mib)
			s.tip(t, secret, small)
			s.wantQuiet(t)
		})
	}
}
