package web_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tipbox/static"
	"tipbox/tipbox/tipboxtest"
	"tipbox/tipbox/web"
)

const goodSVG = `<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 40 10">
<defs><linearGradient id="g"><stop offset="0"/></linearGradient></defs>
<style>.a{fill:url(#g)}</style>
<use xlink:href="#g"/><path class="a" fill="url(#g)" d="M0 0h40v10z"/><text x="1" y="8">City</text>
</svg>`

func pngOf(t testing.TB, width, height int) string {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// loadSite loads the default site with files in the place of its own.
func loadSite(t testing.TB, files map[string]string) (*web.Look, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return web.LoadLook(static.Site(dir))
}

// siteWith is a service whose site has files of its own.
func siteWith(t testing.TB, files map[string]string) *site {
	t.Helper()
	s := newSite(t, tipboxtest.Config{})
	look, err := loadSite(t, files)
	if err != nil {
		t.Fatal(err)
	}
	s.Handler, err = web.New(web.Config{Service: s.Service, Look: look})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAWrongSiteIsRefusedWithItsFileAndLine(t *testing.T) {
	svg := func(inside string) map[string]string {
		return map[string]string{"site.toml": "logo = 'l.svg'", "l.svg": "<svg xmlns=\"http://www.w3.org/2000/svg\"\n>" + inside + "</svg>"}
	}
	toml := func(text string) map[string]string { return map[string]string{"site.toml": text} }
	for _, c := range []struct {
		name  string
		files map[string]string
		says  []string
	}{
		{"unknown field", toml("# x\n\ncolour = 'red'"), []string{"site.toml, line 3", "no such setting", "colour"}},
		{"no TOML", toml("# x\nlogo = "), []string{"site.toml, line 2"}},
		{"wrong type", toml("\nlogo = 3"), []string{"site.toml, line 2"}},
		{"no colour", toml("\naccent_light = 'teal'"), []string{"site.toml, line 2: accent_light", "#0b595c"}},
		{"too light", toml("\n\naccent_light = '#888888'"), []string{"line 3: accent_light", "contrast of 3.", "darker"}},
		{"too dark for dark", toml("accent_dark = '#0b595c'"), []string{"line 1: accent_dark", "lighter"}},
		{"good on paper, not in boxes", toml("accent_light = '#747474'"), []string{"boxes"}},
		{"http contact", toml("security_contact = 'http://example.org'"), []string{"line 1: security_contact", "mailto:"}},
		{"contact with a line break", toml(`security_contact = "mailto:a@example.org\nExpires: never"`), []string{"security_contact"}},
		{"canonical without a host", toml("security_canonical = 'https:'"), []string{"security_canonical"}},
		{"no language", toml("security_languages = ['English language']"), []string{"security_languages"}},
		{"contact in no language of the site", toml("# x\n[contact]\nxx = ['a']"), []string{"line 2: contact", `"xx"`, "zh-Hans"}},
		{"contact with too many lines", toml("[contact]\nen = [" + strings.Repeat("'a',", 11) + "]"), []string{"line 1: contact", "10 lines"}},
		{"logo that is not there", toml("\nlogo = 'none.svg'"), []string{"line 2: logo", "none.svg"}},
		{"logo elsewhere", toml("logo = '../site.toml'"), []string{"line 1: logo"}},
		{"logo of another kind", map[string]string{"site.toml": "logo = 'l.gif'", "l.gif": "GIF89a"}, []string{"line 1: logo: l.gif", ".png"}},
		{"large logo", map[string]string{"site.toml": "logo = 'l.svg'", "l.svg": goodSVG + strings.Repeat(" ", 16<<10)}, []string{"l.svg", "16 KiB"}},
		{"no PNG", map[string]string{"site.toml": "logo = 'l.png'", "l.png": goodSVG}, []string{"l.png"}},
		{"cut PNG", map[string]string{"site.toml": "logo = 'l.png'", "l.png": pngOf(t, 90, 90)[:60]}, []string{"l.png", "damaged"}},
		{"wide PNG", map[string]string{"site.toml": "logo = 'l.png'", "l.png": pngOf(t, 1001, 1)}, []string{"l.png", "1001 by 1"}},
		{"cut SVG", map[string]string{"site.toml": "logo = 'l.svg'", "l.svg": goodSVG[:200]}, []string{"l.svg", "well-formed"}},
		{"SVG that is something else", map[string]string{"site.toml": "logo = 'l.svg'", "l.svg": "<html/>"}, []string{"l.svg", "line 1"}},
		{"empty SVG", map[string]string{"site.toml": "logo = 'l.svg'", "l.svg": ""}, []string{"l.svg", "no picture"}},
		{"script", svg("<script>alert(1)</script>"), []string{"l.svg", "line 2", "script"}},
		{"prefixed script", svg(`<s:SCRIPT xmlns:s="http://www.w3.org/2000/svg"/>`), []string{"SCRIPT"}},
		{"foreignObject", svg("<foreignObject/>"), []string{"foreignObject"}},
		{"event handler", svg("<g onload='alert(1)'/>"), []string{"onload"}},
		{"image from elsewhere", svg("<image href='https://example.org/x.png'/>"), []string{"example.org"}},
		{"data image", svg("<image href='data:image/png;base64,AAAA'/>"), []string{"data:"}},
		{"use from elsewhere", svg("<use xlink:href='//example.org/#x' xmlns:xlink='http://www.w3.org/1999/xlink'/>"), []string{"example.org"}},
		{"style that loads", svg("<style>@import 'x.css'</style>"), []string{"style"}},
		{"style attribute that loads", svg(`<g style="fill:url( 'https://example.org/#x')"/>`), []string{"style"}},
		{"entities", map[string]string{"site.toml": "logo = 'l.svg'", "l.svg": "<!DOCTYPE svg [<!ENTITY a 'b'>]>" + goodSVG[22:]}, []string{"DOCTYPE"}},
		{"style sheet", map[string]string{"site.toml": "logo = 'l.svg'", "l.svg": "<?xml-stylesheet href='x.css'?>" + goodSVG[22:]}, []string{"xml-stylesheet"}},

		{"text without a title", map[string]string{"pages/about.en.md": "\nHello.\n\n# Late"}, []string{"pages/about.en.md, line 1", "# and the title"}},
		{"text with two titles", map[string]string{"pages/about.en.md": "# One\n\ntext\n\n# Two"}, []string{"pages/about.en.md, line 5", "##"}},
		{"HTML block", map[string]string{"pages/about.en.md": "# One\n\n<div onclick=x>\n</div>"}, []string{"pages/about.en.md, line 3", "HTML"}},
		{"inline HTML", map[string]string{"pages/about.en.md": "# One\n\na\nb <b>c</b>"}, []string{"pages/about.en.md, line 4", "HTML"}},
		{"HTML in the title", map[string]string{"pages/about.en.md": "# One <b>two</b>"}, []string{"pages/about.en.md, line 1", "HTML"}},
		{"picture", map[string]string{"pages/about.en.md": "# One\n\na ![b](/c.png)"}, []string{"pages/about.en.md, line 3", "pictures"}},
		{"script link", map[string]string{"pages/about.en.md": "# One\n\n- [b](javascript:alert(1))"}, []string{"pages/about.en.md, line 3", "javascript"}},
		{"relative link", map[string]string{"pages/about.en.md": "# One\n\n[b](tip)"}, []string{"pages/about.en.md, line 3"}},
		{"link without a scheme", map[string]string{"pages/about.en.md": "# One\n\n[b](//example.org)"}, []string{"pages/about.en.md, line 3"}},
		{"bare address", map[string]string{"pages/about.en.md": "# One\n\n<https://example.org>"}, []string{"pages/about.en.md, line 3"}},
		{"long text", map[string]string{"pages/about.en.md": "# One\n" + strings.Repeat("word ", 3<<10)}, []string{"pages/about.en.md", "12 KiB"}},
		{"text in no language", map[string]string{"pages/about.xx.md": "# One"}, []string{"pages/about.xx.md", `"xx"`}},
		{"text without a language", map[string]string{"pages/about.md": "# One"}, []string{"pages/about.md", "NAME.LANGUAGE.md"}},
		{"text of a bad name", map[string]string{"pages/My Page.en.md": "# One"}, []string{"My Page.en.md"}},
		{"text in the place of the form", map[string]string{"pages/tip.en.md": "# One"}, []string{"pages/tip.en.md", "another name"}},
		{"text in the place of a probe", map[string]string{"pages/healthz.en.md": ""}, []string{"pages/healthz.en.md", "another name"}},
	} {
		_, err := loadSite(t, c.files)
		if err == nil {
			t.Errorf("%s: it is taken", c.name)
			continue
		}
		for _, says := range c.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: the error is %q, without %q", c.name, err, says)
			}
		}
	}
}

func TestTheLogoStandsForTheNameAndIsNoRequest(t *testing.T) {
	for name, content := range map[string]string{"logo.svg": goodSVG, "logo.png": pngOf(t, 200, 50)} {
		s := siteWith(t, map[string]string{"site.toml": "logo = '" + name + "'", name: content})
		img := s.get(t, "/").want(t, 200).page.tags("img")
		if len(img) != 1 || img[0].attr["alt"] != "Example City" || !regexp.MustCompile(`^data:image/(png|svg\+xml);base64,[A-Za-z0-9+/=]+$`).MatchString(img[0].attr["src"]) {
			t.Errorf("%s is shown as %v", name, img)
		}
	}
}

func TestAccentsAreInTheStyleThatThePolicyAllows(t *testing.T) {
	for text, want := range map[string][]string{
		"accent_light = '#7a1f5c'":                          {":root{--accent:#7a1f5c}", "dark){:root{--accent:#83cbc8}}"},
		"accent_dark = '#f0c0dd'":                           {"dark){:root{--accent:#f0c0dd}}"},
		"accent_light = '#7A1F5C'\naccent_dark = '#f0c0dd'": {":root{--accent:#7A1F5C}\n@media(prefers-color-scheme:dark){:root{--accent:#f0c0dd}}"},
	} {
		a := siteWith(t, map[string]string{"site.toml": text}).get(t, "/").want(t, 200)
		checkStyle(t, a)
		style := a.page.tags("style")[0].inner()
		for _, rule := range want {
			if !strings.HasSuffix(strings.TrimSpace(style), rule) && !strings.Contains(style, "\n"+rule) {
				t.Errorf("%s: the style has no %s", text, rule)
			}
		}
	}
}

// The default site is what the README promises of every site.
func TestTheStyleItselfHasTheContrastThatAccentsNeed(t *testing.T) {
	for scheme, accent := range map[string]string{"light": "#0b595c", "dark": "#83cbc8"} {
		if !strings.Contains(static.Style(), "--accent:"+accent) {
			t.Errorf("the %s accent of the style is not %s", scheme, accent)
		}
		if _, err := loadSite(t, map[string]string{"site.toml": fmt.Sprintf("accent_%s = '%s'", scheme, accent)}); err != nil {
			t.Error(err)
		}
	}
}

func TestTheExamplesOfTheDefaultSiteAreGood(t *testing.T) {
	text, err := os.ReadFile("../../static/site/site.toml")
	if err != nil {
		t.Fatal(err)
	}
	uncommented := regexp.MustCompile(`(?m)^# ([a-z_]+ = |\[[a-z]+\]$|zh-Hans = |en = )`).ReplaceAllString(string(text), "$1")
	if strings.Count(uncommented, "\n# ") >= strings.Count(string(text), "\n# ")-7 {
		t.Fatal("there are no examples")
	}
	s := siteWith(t, map[string]string{"site.toml": uncommented, "logo.svg": goodSVG})
	s.get(t, "/.well-known/security.txt").want(t, 200)
	s.get(t, "/who").want(t, 200).contains(t, "Audit Office, Example City")
	s.lang = "zh-CN"
	s.get(t, "/who").want(t, 200).contains(t, "示例市审计局")
}
