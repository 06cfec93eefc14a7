package cmd_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
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

// axeRun has axe look at the page, and lists what is wrong: the rule, what it wants, and
// the elements.
const axeRun = `axe.run(document, {%s, resultTypes: ["violations"], preload: false}).then(found => found.violations.map(
	v => v.id + ": " + v.help + v.nodes.map(n => "\n\t\t" + n.html.replace(/\s+/g, " ").slice(0, 200)).join("")))`

// TestBrowserAxe has axe-core look at every state of every page: no rule of WCAG 2.2
// AA is broken. It looks at one of the pages in English that differ in their texts only;
// in Arabic and Chinese at those with an element that no page before had; at colours,
// light and dark, at such ones of any language. -axe.all looks at all.
func TestBrowserAxe(t *testing.T) {
	t.Parallel()
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

	found := make(toldOnce)
	s.each(probe(axeProbe), fmt.Sprintf(axeRun, axeRules), "", found)
	for _, rule := range []string{"color-contrast", "image-alt", "label", "html-has-lang", "page-has-heading-one", "target-size"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(found)), func(fault string) bool { return strings.HasPrefix(fault, rule+":") }) {
			t.Fatalf("axe does not find what breaks %s, but:\n%q", rule, found)
		}
	}

	var texts, painted []*webtest.State
	builds, elements := make(map[string]bool), make(map[string]bool)
	for _, page := range largestFirst(walkPages(t)) {
		build := structure(page)
		fresh := news(elements, page.Lang, page) // of the language
		switch {
		case *axeAll || news(elements, "", page):
			painted = append(painted, page)
		case page.Lang == "en" && !builds[build], fresh && slices.Contains([]string{"ar", "zh-Hans"}, page.Lang):
			texts = append(texts, page)
		}
		builds[build] = true
	}
	faults := make(toldOnce)
	s.each(painted, fmt.Sprintf(axeRun, axeRules), "", faults)
	s.each(texts, fmt.Sprintf(axeRun, axeTexts), "", faults)
	s.scheme("dark")
	s.each(painted, fmt.Sprintf(axeRun, axeColours), ", dark", faults)
	s.do(chromedp.EmulateViewport(360, 800))
	s.each(painted, fmt.Sprintf(axeRun, axeColours), ", dark, 360 wide", faults)
	faults.report(t)
	if t.Logf("axe looked at %d pages, at the colours of %d", len(painted)+len(texts), len(painted)); len(painted) < 20 || len(texts) < 20 && !*axeAll {
		t.Error("these are too few")
	}
}

// axeProbe breaks a rule of each kind.
const axeProbe = `<!DOCTYPE html><html><title>probe</title><main><img src="data:,"><p style="color: #999; background: #fff">grey</p><input name="x">
<a href="/a" style="font-size: 8px; line-height: 8px">a</a><a href="/b" style="font-size: 8px; line-height: 8px">b</a></main></html>`

// largestFirst sorts pages so that the first few of a language have most of what there
// is.
func largestFirst(pages []*webtest.State) []*webtest.State {
	slices.SortStableFunc(pages, func(a, b *webtest.State) int { return len(b.Body) - len(a.Body) })
	return pages
}

var pageTag = regexp.MustCompile(`<(/?)([a-z0-9]+)([^>]*)>`)

// news reports whether a page has an element that, with its class and with what it is
// within, is not among those known of some pages, and adds it.
func news(known map[string]bool, of string, page *webtest.State) (found bool) {
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
		if path := of + ":" + strings.Join(open, ">"); !known[path] {
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
