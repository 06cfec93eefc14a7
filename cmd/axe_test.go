package cmd_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"tipbox/tipbox/web/webtest"
)

var axeAll = flag.Bool("axe.all", false, "have axe look at every state in every language, light and dark: some minutes")

// axeFile names the environment variable of axe's file. Without it the file is where
// npm ci --prefix .ci puts it.
const axeFile = "TIPBOX_TEST_AXE"

// What axe looks for.
const (
	// axeRules are the rules of WCAG 2.2 AA, and what is good practice.
	axeRules = `runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}`
	// axeTexts are those without the one that takes as long as all others.
	axeTexts = axeRules + `, rules: {"color-contrast": {enabled: false}}`
	// axeColours are those that colours and the width of the screen decide.
	axeColours = `runOnly: {type: "rule", values: ["color-contrast", "link-in-text-block", "target-size"]}`
)

// axeRun has axe look at the page with everything unfolded, and lists what is wrong:
// the rule, what it wants, and the elements.
const axeRun = `(async () => {
	for (const d of document.querySelectorAll("details")) d.open = true;
	const found = await axe.run(document, {%s, resultTypes: ["violations"], preload: false});
	return found.violations.map(v => v.id + ": " + v.help + v.nodes.map(n => "\n\t\t" + n.html.replace(/\s+/g, " ").slice(0, 200)).join(""));
})()`

// TestBrowserAxe has axe-core look at every state of every page: no rule of WCAG 2.2
// AA is broken. Of pages that differ in their texts only it looks at one, and at half
// of them in languages that are like another; at colours, light and dark, where there is
// an element that no page before had. -axe.all looks at all.
func TestBrowserAxe(t *testing.T) {
	file := cmp.Or(os.Getenv(axeFile), filepath.Join("..", ".ci", "node_modules", "axe-core", "axe.min.js"))
	axe, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("axe-core is not there: npm ci --prefix .ci, or set %s", axeFile)
	}
	if err != nil {
		t.Fatal(err)
	}
	chrome := startChromium(t)
	s := chrome.newStage(t, string(axe))
	defer s.cancel()
	s.do(chromedp.EmulateViewport(1280, 900))

	s.show([]byte(axeProbe))
	found := strings.Join(look[[]string](s, fmt.Sprintf(axeRun, axeRules)), "\n")
	for _, rule := range []string{"color-contrast", "image-alt", "label", "html-has-lang", "page-has-heading-one", "target-size"} {
		if !strings.Contains(found, rule+":") {
			t.Fatalf("axe does not find what breaks %s, but:\n%s", rule, found)
		}
	}

	faults := make(toldOnce)
	looked, painted := make(map[string]bool), make(map[string]bool)
	run := func(page *webtest.State, rules, how string) {
		for _, fault := range look[[]string](s, fmt.Sprintf(axeRun, rules)) {
			faults.add(fault, page.String()+how)
		}
	}
	for _, page := range walkPages(t) {
		build := structure(page)
		if !*axeAll && (looked[build] || !leads(page.Lang) && !drawn(page)) {
			continue
		}
		looked[build] = true
		s.show(page.Body)
		if !news(painted, page) && !*axeAll {
			run(page, axeTexts, "")
			continue
		}
		run(page, axeRules, "")
		s.scheme("dark")
		run(page, axeColours, ", dark")
		s.do(chromedp.EmulateViewport(360, 800))
		run(page, axeColours, ", dark, 360 wide")
		s.scheme("light")
		s.do(chromedp.EmulateViewport(1280, 900))
	}
	faults.report(t)
	t.Logf("axe looked at %d pages", len(looked))
	if len(looked) < 30 {
		t.Errorf("axe looked at %d pages", len(looked))
	}
}

// axeProbe breaks a rule of each kind.
const axeProbe = `<!DOCTYPE html><html><title>probe</title><main><img src="data:,"><p style="color: #999; background: #fff">grey</p><input name="x">
<a href="/a" style="font-size: 8px; line-height: 8px">a</a><a href="/b" style="font-size: 8px; line-height: 8px">b</a></main></html>`

// leads reports whether a language is looked at in full: the two first ones, and
// those from right to left.
func leads(lang string) bool { return slices.Contains([]string{"en", "zh-Hans", "ar"}, lang) }

// drawn picks half of a language's states, always the same ones.
func drawn(page *webtest.State) bool {
	h := fnv.New32a()
	h.Write([]byte(page.String()))
	return h.Sum32()%2 == 0
}

var pageTag = regexp.MustCompile(`<(/?)([a-z0-9]+)([^>]*)>`)

// news reports whether a page has an element that, with its class and with what it is
// within, is not among the known, and adds those that are new.
func news(known map[string]bool, page *webtest.State) (found bool) {
	_, body, _ := strings.Cut(string(page.Body), "</head>")
	var open []string
	for _, tag := range pageTag.FindAllStringSubmatch(body, -1) {
		if tag[1] != "" {
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
			continue
		}
		open = append(open, tag[2]+pageClass.FindString(tag[3]))
		if path := strings.Join(open, ">"); !known[path] {
			known[path], found = true, true
		}
		if slices.Contains([]string{"br", "hr", "img", "input", "link", "meta", "wbr"}, tag[2]) || strings.HasSuffix(tag[3], "/") {
			open = open[:len(open)-1]
		}
	}
	return found
}

var (
	pageClass = regexp.MustCompile(` (class|type|role|data-from|data-state|aria-current)="[^"]*"`)
	pageText  = regexp.MustCompile(`>[^<>]*[^<>\s][^<>]*<`)
	pageValue = regexp.MustCompile(` (value|href|action|d|content|viewBox|width|height|title|aria-label)="[^"]+"`)
	pageIndex = regexp.MustCompile(`(-[0-9]+)"`)
)

// structure is a page without its texts. A difference in whether there is any counts.
func structure(page *webtest.State) string {
	html := string(page.Body)
	if _, body, ok := strings.Cut(html, "</style>"); ok {
		html = page.Lang + body
	}
	html = pageText.ReplaceAllString(html, ">text<")
	html = pageValue.ReplaceAllString(html, ` $1="value"`)
	return pageIndex.ReplaceAllString(html, `-1"`)
}
