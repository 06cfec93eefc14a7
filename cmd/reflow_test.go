package cmd_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"tipbox/tipbox/web/webtest"
)

// tooWide lists what sticks out of the page or is cut off in it.
const tooWide = `const tooWide = () => {
	const wide = document.documentElement.clientWidth, found = [];
	const name = e => "<" + e.localName + (e.id ? " id=" + e.id : "") + (e.className.length ? " class=" + e.className : "") + ">";
	const scrolls = document.documentElement.scrollWidth > wide;
	for (const e of document.body.querySelectorAll("*")) {
		if (["input", "textarea"].includes(e.localName)) continue; // what is typed may be long
		const box = e.getBoundingClientRect(), style = getComputedStyle(e);
		if (scrolls && box.width > 0 && (box.right > wide + 1 || box.left < -1)) found.push(name(e) + " sticks out");
		if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1 && ["hidden", "clip"].includes(style.overflowX)) found.push(name(e) + " is cut off");
		if (e.scrollWidth > e.clientWidth + 1 && ["auto", "scroll"].includes(style.overflowX) && !e.querySelector("table") && e.localName !== "table") found.push(name(e) + " has to be scrolled");
	}
	if (scrolls && !found.length) found.push("the page is " + document.documentElement.scrollWidth + " wide");
	return found;
}`

// wideSpaced measures a page as it is, and with its texts spaced as far as a reader may
// (WCAG 2.2, 1.4.12).
const wideSpaced = `(() => {
	const found = tooWide(), style = document.createElement("style");
	style.textContent = "* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important } p { margin-bottom: 2em !important }";
	document.head.append(style);
	return found.concat(tooWide().map(fault => fault + ", where the text is spaced"));
})()`

// TestBrowserReflow looks at every state in every language on a screen of 320 pixels,
// which is what a zoom of 400 % leaves: nothing has to be scrolled sideways (WCAG 2.2,
// 1.4.10), also where the reader spaces the text. It leaves out pages that have nothing
// that could be wider than in those before; -axe.all does not.
func TestBrowserReflow(t *testing.T) {
	t.Parallel()
	chrome := startChromium(t)
	s := chrome.newStage(t, tooWide)
	defer s.cancel()
	s.do(chromedp.EmulateViewport(320, 800))

	found := make(toldOnce)
	if s.each(probe(`<!DOCTYPE html><title>probe</title><p style="width: 400px">wide</p>`), wideSpaced, "", found); len(found) != 2 {
		t.Fatalf("of what is too wide it finds %q", found)
	}

	var pages []*webtest.State
	known := make(map[string]bool)
	for _, page := range largestFirst(walkPages(t)) {
		if mayStickOut(known, page) || *axeAll {
			pages = append(pages, page)
		}
	}
	faults := make(toldOnce)
	s.each(pages, wideSpaced, "", faults)
	faults.report(t)
	if t.Logf("%d pages were measured", len(pages)); len(pages) < 20 {
		t.Error("these are too few")
	}
}

var (
	pageWord  = regexp.MustCompile(`[^\s<>\p{Han}]{16,}`)
	pageTable = regexp.MustCompile(`(?s)<(table|pre|svg)\b.*?</(table|pre|svg)>`)
)

// mayStickOut reports whether a page has what can be too wide and what no page before
// had: an element; or, of its language, a word of 16 letters or more, or a table.
func mayStickOut(known map[string]bool, page *webtest.State) bool {
	_, body, _ := strings.Cut(string(page.Body), "</head>")
	body = pageValue.ReplaceAllString(body, "")
	found := news(known, "", page)
	for _, wide := range append(pageWord.FindAllString(pageTag.ReplaceAllString(body, " "), -1), pageTable.FindAllString(body, -1)...) {
		if key := page.Lang + ":" + wide; !known[key] {
			known[key], found = true, true
		}
	}
	return found
}
