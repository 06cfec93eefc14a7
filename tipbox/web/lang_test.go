package web_test

import (
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tipbox/tipbox/tipboxtest"
)

func (a *answer) lang() string { return a.page.tags("html")[0].attr["lang"] }

func TestLanguageIsThatOfTheBrowser(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	for accept, want := range map[string]string{
		"": "en", "en": "en", "en-GB": "en", "en-US,en;q=0.5": "en",
		"zh": "zh-Hans", "zh;q=2": "zh-Hans", "zh-CN": "zh-Hans", "zh-Hans-CN": "zh-Hans", "zh-TW": "zh-Hant", "zh-Hant-HK": "zh-Hant", "zh-HK": "zh-Hant", "zh-SG": "zh-Hans",
		"zh-CN,zh;q=0.9,en;q=0.8": "zh-Hans", "en;q=0.3,zh;q=0.9": "zh-Hans", "en, zh-CN;q=0.9": "en",
		"fr": "fr", "fr-CA,fr;q=0.9": "fr", "fi": "en", "fi-FI,fi;q=0.9": "en", "fi, zh;q=0.5": "zh-Hans", "fi,de;q=0.8": "de", "*": "en",
		"es-MX": "es", "pt-BR": "pt", "pt-PT": "pt", "de-AT": "de", "ru": "ru", "ar-EG": "ar", "ja": "ja", "ko-KR": "ko", "hi": "hi",
		"\xff\xfe": "en", ";;;q=,": "en", "zh-" + strings.Repeat("x", 50): "en", "x-klingon": "en",
		strings.Repeat("zh,", 1000): "en", strings.Repeat("-", 5000): "en", "en-US-u-va-posix-" + strings.Repeat("a-", 50): "en",
	} {
		for _, path := range []string{"/", "/tip", "/thread", "/none"} {
			r := httptest.NewRequest("GET", path, nil)
			r.Header.Set("Accept-Language", accept)
			if got := s.do(t, r).lang(); got != want {
				t.Errorf("%s with %.40q is in %s, want %s", path, accept, got, want)
			}
		}
	}
}

func TestLanguageLinkWinsAndLastsWithoutACookie(t *testing.T) {
	for _, c := range []struct{ browser, link string }{{"en", "zh-Hans"}, {"zh-CN", "en"}, {"fi", "zh-Hans"}, {"ar", "hi"}} {
		s := newSite(t, tipboxtest.Config{})
		s.lang = c.browser
		follow := func(a *answer, path string) *answer {
			t.Helper()
			want := path + "?lang=" + c.link
			if !slices.ContainsFunc(a.page.tags("a"), func(n *node) bool { return n.attr["href"] == want }) {
				t.Fatalf("no link leads to %s", want)
			}
			a = s.get(t, want)
			if a.lang() != c.link {
				t.Fatalf("%s is in %s", want, a.lang())
			}
			return a
		}
		in := func(a *answer) *answer {
			t.Helper()
			if a.lang() != c.link {
				t.Fatalf("the page is in %s, want %s:\n%s", a.lang(), c.link, a.page.id(t, "main").inner())
			}
			return a
		}
		home := follow(s.get(t, "/"), "/")
		follow(follow(home, "/thread"), "/tip")
		form := follow(home, "/tip").page.form(t, "/tip")
		refused := in(s.send(t, form))
		form = refused.page.form(t, "/tip").set(t, "channel", "bribery").set(t, "text", secret)
		receipt := in(s.send(t, form))
		follow(receipt, "/thread")
		for _, asks := range []*answer{receipt, follow(home, "/thread")} {
			wrong := in(s.send(t, asks.page.form(t, "/thread").set(t, "code", "zoo")))
			opened := in(s.send(t, wrong.page.form(t, "/thread").set(t, "code", receipt.digits(t))))
			f := opened.page.form(t, "/thread/message")
			in(s.send(t, f))
			in(s.send(t, f.set(t, "text", "more")))
			late := in(s.send(t, f.set(t, "session", "x")))
			in(s.send(t, late.page.form(t, "/thread/message").set(t, "code", receipt.words(t))))
		}
		if got := s.read(t).Messages[0].Lang; got != c.link {
			t.Errorf("the tip says it is in %s", got)
		}
	}
}

func TestALanguageThatThereIsNotIsNobodysChoice(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	for _, lang := range []string{"fi", "EN", "", "../en", `"><script>`, "zh", strings.Repeat("x", 5000), "%00"} {
		a := s.get(t, "/?lang="+strings.NewReplacer(`"`, "%22", "<", "%3C", ">", "%3E").Replace(lang))
		if a.lang() != "en" || strings.Contains(a.Body.String(), `href="/tip?lang`) {
			t.Errorf("?lang=%.20s gives a page in %s", lang, a.lang())
		}
	}
	f := s.tipForm(t, secret).set(t, "lang", "\u202eevil")
	s.send(t, f).want(t, 200)
	if got := s.read(t).Messages[0].Lang; got != "en" {
		t.Errorf("the tip says it is in %q", got)
	}
}

func TestReceiptIsInTheWordsOfThePage(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	han := regexp.MustCompile(`^(\p{Han} ?){12}$`)
	for lang, chinese := range map[string]bool{"en": false, "zh-CN": true, "zh-TW": true, "fr": false, "ar": false} {
		s.lang = lang
		a := s.tip(t, secret)
		if got := han.MatchString(a.words(t)); got != chinese {
			t.Errorf("in %s the receipt is %q", lang, a.words(t))
		}
		want := a.lang()
		if want == "ar" {
			want = "en" // which has no words of its own
		}
		if got := a.page.id(t, "receipt-code").attr["lang"]; got != want {
			t.Errorf("its language is marked %s", got)
		}
	}
}

func TestThePagesThatAnsweredAFormLinkToNoOtherLanguage(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	for name, a := range map[string]*answer{
		"receipt": s.tip(t, secret), "refused": s.send(t, s.tipForm(t, "")),
		"no such page": s.get(t, "/none"), "method not allowed": s.get(t, "/thread/message"),
	} {
		if links := a.page.all(func(n *node) bool { return n.attr["hreflang"] != "" }); len(links) > 0 {
			t.Errorf("%s: a link would lose what the page holds, or lead nowhere: %v", name, links[0].attr)
		}
	}
}

// FuzzLanguage asks for a page in whatever words: it is one of ours, and says
// nothing of what was asked.
func FuzzLanguage(f *testing.F) {
	f.Add("zh-Hans", "en")
	f.Add("", "zh-CN,zh;q=0.9,en;q=0.8")
	f.Add("x-klingon", "en-US-u-va-posix-a-a-a")
	f.Add("\xff%00", ";;;q=,*;q=NaN")
	s := newSite(f, tipboxtest.Config{})
	every := []string{"en", "zh-Hans", "zh-Hant", "es", "fr", "de", "pt", "ru", "ar", "ja", "ko", "hi"}
	f.Fuzz(func(t *testing.T, named, accept string) {
		r := httptest.NewRequest("GET", "/thread?lang="+url.QueryEscape(named), nil)
		r.Header.Set("Accept-Language", accept)
		got := s.do(t, r).want(t, 200).lang()
		if !slices.Contains(every, got) || slices.Contains(every, named) && got != named {
			t.Errorf("lang=%q with %q is in %q", named, accept, got)
		}
	})
}

func TestALimitIsInTheDigitsOfThePageAndNotBroken(t *testing.T) {
	s := newSite(t, tipboxtest.Config{MaxFile: 3 << 29})
	for lang, want := range map[string]string{"en": "1.5\u00a0GiB", "zh-Hans": "1.5\u00a0GiB", "de": "1,5\u00a0GiB", "ar": "١٫٥\u00a0GiB"} {
		if said := s.get(t, "/tip?lang="+lang).want(t, 200).page.id(t, "file-help").inner(); !strings.Contains(said, want) {
			t.Errorf("%s: no %q in %q", lang, want, said)
		}
	}
}
