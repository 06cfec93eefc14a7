package web_test

import (
	"slices"
	"strings"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// footer are the links at the foot of a page, and what they say.
func (a *answer) footer() (links []string) {
	for _, n := range a.page.tags("footer")[0].tags("a") {
		links = append(links, n.attr["href"]+" "+n.inner())
	}
	return links
}

func TestTheOperatorsTextsStandInForTheDefaultOnes(t *testing.T) {
	s := siteWith(t, map[string]string{
		"pages/about.en.md":      "# Our *own* &amp; \\<text>\n\nHello **there**, see [the form](/tip#main), [the law](https://example.org/law?a=b) and [us](mailto:a@example.org).\n\n| a | b |\n|--:|---|\n| 1 | 2 |\n",
		"pages/questions.en.md":  " \n",
		"pages/who.zh-Hans.md":   "",
		"pages/zebra.zh-Hans.md": "# 斑马\n\n只有中文。",
		"pages/apes.en.md":       "# Apes",
	})
	s.SetSchedules(shipped(t, "schedule.toml"))
	want := []string{"/about Our own & <text>", "/reward Rewards", "/who Who runs this", "/threats Who learns what", "/apes Apes", "/zebra 斑马"}
	if got := s.get(t, "/").footer(); !slices.Equal(got, want) {
		t.Errorf("the footer has %q, want %q", got, want)
	}
	a := s.get(t, "/about").want(t, 200)
	checkHTML(t, a)
	if got := a.page.tags("h1")[0].inner(); got != "Our own & <text>" {
		t.Errorf("the title is %q", got)
	}
	for _, part := range []string{"<strong>there</strong>", `<a href="/tip#main">`, `<a href="https://example.org/law?a=b">`, `<a href="mailto:a@example.org">`, "<th>a</th>", "<td>2</td>"} {
		if !strings.Contains(a.Body.String(), part) {
			t.Errorf("the page has no %s", part)
		}
	}
	if linked := s.get(t, "/about?lang=en"); !strings.Contains(linked.Body.String(), `<a href="/tip?lang=en#main">`) || !strings.Contains(linked.Body.String(), "law?a=b\"") {
		t.Error("links do not keep the language that was chosen")
	}
	s.get(t, "/questions").want(t, 404)
	s.get(t, "/questions?lang=zh-Hans").want(t, 404)
	s.get(t, "/apes").want(t, 200)
}

func TestATextThatALanguageLacksIsMarkedAsWhatItIs(t *testing.T) {
	s := siteWith(t, map[string]string{
		"pages/who.zh-Hans.md": "", "pages/zebra.zh-Hans.md": "# 斑马\n\n只有中文。",
		"site.toml": "[contact]\nen = ['Example Street 1']",
	})
	a := s.get(t, "/who?lang=zh-Hans").want(t, 200)
	a.contains(t, "以下为English版本", "Example Street 1", "主办单位")
	english := a.page.all(func(n *node) bool { return n.attr["lang"] == "en" && n.attr["hreflang"] == "" })
	var said []string
	for _, n := range english {
		if n.attr["dir"] != "ltr" {
			t.Errorf("<%s> has the direction %q", n.tag, n.attr["dir"])
		}
		said = append(said, strings.TrimSpace(n.inner()))
	}
	if len(said) != 4 || said[0] != "Who runs this" || !strings.Contains(said[1], "Investigators read") || said[2] != "Example Street 1" || said[3] != "Who runs this" {
		t.Errorf("marked as English are %q", said)
	}
	a = s.get(t, "/zebra").want(t, 200)
	a.contains(t, "Here it is in 简体中文")
	if n := a.page.all(func(n *node) bool { return n.attr["lang"] == "zh-Hans" && strings.Contains(n.inner(), "只有中文") }); len(n) != 1 {
		t.Errorf("%d parts are marked as Chinese", len(n))
	}
}

func TestTheSitesOwnTextsAreMarkedWhereALanguageLacksThem(t *testing.T) {
	only := map[string]string{"en": "Only <English>"}
	o := tipboxtest.Config{}
	s := newSite(t, o)
	service, err := tipbox.New(tipbox.Config{
		Store: s.Store, Blobs: s.Blobs, Root: s.Root.Verifier(), Now: s.Clock.Now,
		Channels: []tipbox.Channel{{ID: "bribery", Title: only, Guidance: only}},
	})
	if err != nil {
		t.Fatal(err)
	}
	schedule := shipped(t, "schedule.toml")
	schedule.Channels, schedule.Title = []string{"bribery"}, only
	schedule.Charities = []roster.Charity{{ID: "c", Name: only}}
	s.SetSchedules(schedule)
	if err := service.InstallRoster(t.Context(), s.Service.SignedRoster()); err != nil {
		t.Fatal(err)
	}
	s.Handler, s.lang = s.pages(t, service), "zh-CN"
	marked := func(a *answer, want int) {
		t.Helper()
		n := len(a.page.all(func(n *node) bool { return n.tag == "span" && n.attr["lang"] == "en" && n.inner() == "Only <English>" }))
		if said := strings.Count(a.page.inner(), "Only <English>"); n != want || said != want {
			t.Errorf("%d texts are marked as English of %d, want %d", n, said, want)
		}
	}
	marked(s.get(t, "/"), 2)
	form := s.get(t, "/tip")
	marked(form, 2)
	marked(s.get(t, "/reward"), 3)
	receipt := s.send(t, form.page.form(t, "/tip").set(t, "channel", "bribery").set(t, "text", "x")).want(t, 200)
	marked(s.send(t, s.codeForm(t, receipt.words(t))), 1)
}

func TestASubjectOfTheFirstPageIsChosenOnTheForm(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	home := s.get(t, "/?lang=zh-Hans")
	const link = "/tip?channel=bribery&lang=zh-Hans"
	if !slices.ContainsFunc(home.page.tags("a"), func(n *node) bool { return n.attr["href"] == link }) {
		t.Fatalf("no link leads to %s", link)
	}
	form := s.get(t, link).want(t, 200)
	if got := form.page.form(t, "/tip").values.Get("channel"); got != "bribery" {
		t.Errorf("the form has the subject %q", got)
	}
	var to []string
	for _, n := range form.page.all(func(n *node) bool { return n.attr["hreflang"] != "" }) {
		to = append(to, n.attr["href"])
	}
	if len(to) != 12 || to[0] != "/tip?channel=bribery&lang=en" || !slices.Contains(to, link) {
		t.Errorf("the languages lead to %q", to)
	}
	for _, other := range []string{"none", "%22%3E%3Cscript%3E", ""} {
		a := s.get(t, "/tip?channel="+other).want(t, 200)
		if got := a.page.form(t, "/tip").values.Get("channel"); got != "" || strings.Contains(a.Body.String(), "?channel=") {
			t.Errorf("?channel=%s chooses %q", other, got)
		}
	}
}

func TestThePageOfWhoRunsThisHasTheRootKeysFingerprint(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	a := s.get(t, "/who").want(t, 200)
	if got, want := a.page.id(t, "root-fingerprint").inner(), roster.Fingerprint(s.Root.Verifier()); got != want {
		t.Errorf("the fingerprint is %s, want %s", got, want)
	}
	a.contains(t, s.Root.Verifier(), "Example City")
	if strings.Contains(s.get(t, "/about").Body.String(), "fingerprint") {
		t.Error("another page has it too")
	}
}

func TestDaysAreWrittenInTheLanguageAndForPrograms(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	words := s.tip(t, secret).words(t)
	for lang, want := range map[string]string{"en": "22 November 2026", "zh-Hans": "2026年11月22日"} {
		s.lang = lang
		a := s.send(t, s.codeForm(t, words))
		days := a.page.tags("time")
		if len(days) != 4 {
			t.Errorf("in %s there are %d days", lang, len(days))
		}
		for _, n := range days[:2] {
			if n.attr["datetime"] != "2026-11-22" || n.inner() != want {
				t.Errorf("a day is %q for programs and %q for people", n.attr["datetime"], n.inner())
			}
		}
		if strings.Contains(a.page.inner(), "2026-1") {
			t.Errorf("in %s the page has a day as programs write it", lang)
		}
	}
}

// No page is over 20 KB, in any language.
func TestEveryTextIsSmall(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	for _, lang := range pageLanguages {
		for _, name := range []string{"about", "questions", "who", "threats"} {
			a := s.get(t, "/"+name+"?lang="+lang).want(t, 200)
			if n := len(unpadded(a.Body.Bytes())); n > 20_000 {
				t.Errorf("/%s in %s has %d bytes", name, lang, n)
			}
		}
	}
}
