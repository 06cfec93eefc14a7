package cmd_test

import (
	"testing"

	"github.com/chromedp/chromedp"
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

// unfolded measures a page with everything unfolded: as it is, and with its texts
// spaced as far as a reader may (WCAG 2.2, 1.4.12).
const unfolded = `(() => {
	for (const d of document.querySelectorAll("details")) d.open = true;
	const found = tooWide(), style = document.createElement("style");
	style.textContent = "* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important } p { margin-bottom: 2em !important }";
	document.head.append(style);
	return found.concat(tooWide().map(fault => fault + ", where the text is spaced"));
})()`

// TestBrowserReflow looks at every state in every language on a screen of 320 pixels,
// which is what a zoom of 400 % leaves: nothing has to be scrolled sideways (WCAG 2.2,
// 1.4.10), also where the reader spaces the text.
func TestBrowserReflow(t *testing.T) {
	chrome := startChromium(t)
	s := chrome.newStage(t, tooWide)
	defer s.cancel()
	s.do(chromedp.EmulateViewport(320, 800))

	s.show([]byte(`<!DOCTYPE html><title>probe</title><p style="width: 400px">wide</p>`))
	if found := look[[]string](s, unfolded); len(found) != 2 {
		t.Fatalf("of what is too wide it finds %q", found)
	}

	faults := make(toldOnce)
	for _, page := range walkPages(t) {
		s.show(page.Body)
		for _, fault := range look[[]string](s, unfolded) {
			faults.add(fault, page.String())
		}
	}
	faults.report(t)
}
