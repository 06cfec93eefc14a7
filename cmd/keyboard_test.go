package cmd_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tipbox/tipbox/tipboxtest"
	"tipbox/tipbox/web"
	"tipbox/tipbox/web/webtest"
)

// startSite serves an organisation with rewards in this process, until the test ends.
func startSite(t *testing.T) (*tipboxtest.Org, *browserDemo) {
	t.Helper()
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Rewards()
	pages, err := web.New(web.Config{Service: o.Service})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(pages)
	t.Cleanup(server.Close)
	sources, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return o, &browserDemo{sources: sources, seen: make(map[string]bool)}
}

// newestOf is the only tip that was not in the inbox before.
func (d *browserDemo) newestOf(t *testing.T, o *tipboxtest.Org) (tip string) {
	t.Helper()
	for _, item := range o.Inbox("bob") {
		if d.seen[item.Tip] {
			continue
		}
		if d.seen[item.Tip] = true; tip != "" {
			t.Fatal("there are two new tips")
		}
		tip = item.Tip
	}
	if tip == "" {
		t.Fatal("there is no new tip")
	}
	return tip
}

// TestBrowserKeyboardStory goes from the first page to the receipt, the thread and back
// with Tab, Enter, Space and letters only, without scripts. At every stop it can be
// seen where the focus is.
func TestBrowserKeyboardStory(t *testing.T) {
	t.Parallel()
	chrome := startChromium(t)
	o, site := startSite(t)
	for _, lang := range []string{"en", "zh-Hans", "ar"} {
		if !slices.Contains(webtest.Languages(t), lang) {
			continue
		}
		t.Run(lang, func(t *testing.T) {
			line := site.line(t)
			b := chrome.newTab(t, line, lang)
			b.lang = lang
			b.open("GET /", "/")
			b.skip()
			b.tabTo(`main a[href^="/tip"]`)
			b.enter("GET /tip", 200, kb.Enter)

			b.tabTo(`input[name="channel"]`)
			b.press(" ")
			b.mustHave(`input[name="channel"]:checked`)
			b.tabTo("#text")
			b.press("They keep a second book. 第二本账。")
			b.tabTo("summary")
			b.press(kb.Enter)
			b.mustHave("details[open]")
			b.tabTo(`input[name="leave-out"]`)
			b.press(" ")
			b.mustHave(`input[name="leave-out"]:checked`)
			b.tabTo("#file")
			b.tabTo(`form[action="/tip"] button`)
			b.enter("POST /tip", 200, kb.Enter)
			code := b.text("#receipt-digits")

			b.tabTo("#code")
			b.press(code)
			b.tabTo(`form[action="/thread"] button`)
			b.enter("POST /thread", 200, " ")

			tip := site.newestOf(t, o)
			o.Reply("bob", tip, "Which year?")
			b.tabTo(`nav a[href^="/thread"]`)
			b.enter("GET /thread", 200, kb.Enter)
			b.skip()
			b.tabTo("#code")
			b.press(code)
			b.tabTo(`form[action="/thread"] button`)
			b.enter("POST /thread", 200, kb.Enter)
			if got := b.textContent(`article[data-from="desk"] .text`); got != "Which year?" {
				t.Errorf("the source reads %q", got)
			}
			b.tabTo("#text")
			b.press("2024.")
			b.tabTo(`form[action="/thread/message"] button`)
			b.enter("POST /thread/message", 200, kb.Enter)
			b.mustHave(".notice:not(.bad)")

			b.tabTo("a.brand")
			b.enter("GET /", 200, kb.Enter)
			b.tabTo(`main a[href^="/reward"]`)
			b.enter("GET /reward", 200, kb.Enter)
			b.tabTo(`input[name="amount"]`)
			b.press("100000")
			b.tabTo(`form[action^="/reward"] button`)
			b.enter("GET /reward?scale=test&lang="+lang+"&amount=100000", 200, kb.Enter)
			b.mustHave(`form [role="status"]`)
			b.close()
			line.check(t)

			opened := o.Open("bob", tip)
			if got := opened.Messages[0].Text; got != "They keep a second book. 第二本账。" {
				t.Errorf("the tip is %q", got)
			}
			if got := opened.Messages[2].Text; got != "2024." {
				t.Errorf("the message is %q", got)
			}
		})
	}
}

// press presses keys, one after the other.
func (b *browserTab) press(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// enter presses a key that loads a page. Links keep the language that was chosen by one.
func (b *browserTab) enter(asked string, status int64, key string) {
	b.t.Helper()
	if href := b.focused().Href; href != "" && strings.HasPrefix(asked, "GET ") {
		asked = "GET " + href
	}
	b.follow(asked, status, chromedp.KeyEvent(key))
}

// tabTo presses Tab until the focus is on what the selector names, if it is not yet.
func (b *browserTab) tabTo(selector string) {
	b.t.Helper()
	const most = 80 // stops of a page
	for range most {
		if b.has(":is(" + selector + "):focus") {
			return
		}
		b.press(kb.Tab)
		b.checkFocus()
	}
	b.t.Fatalf("Tab leads to no %s", selector)
}

// skip takes the link that skips to the main part: it is the first stop of a page.
func (b *browserTab) skip() {
	b.t.Helper()
	b.press(kb.Tab)
	b.checkFocus()
	b.mustHave(`a[href="#main"]:focus`)
	b.press(kb.Enter)
	b.press(kb.Tab)
	b.checkFocus()
	b.mustHave("main :focus")
}

// A focus is where the focus is, as it is drawn.
type focus struct {
	Element string // what has it, "" if nothing
	Href    string // of a link
	Outline string // the colour of its outline, or of its label's; "" if there is none
	Behind  string // the colour behind the outline
	Seen    bool   // some of it is on the screen
}

const findFocus = `(() => {
	const e = document.activeElement;
	if (!e || e === document.body) return {};
	const box = e.getBoundingClientRect();
	const found = {
		Element: e.outerHTML.replace(/\s+/g, " ").slice(0, 120), Href: e.getAttribute("href") || "",
		Seen: box.width > 1 && box.height > 1 && box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth,
	};
	for (let n = e; n && n !== document.body && (n === e || n === e.closest("label")); n = n === e ? e.closest("label") : null) {
		const style = getComputedStyle(n);
		if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1) continue;
		found.Outline = style.outlineColor;
		for (let p = n.parentElement; p; p = p.parentElement) {
			const colour = getComputedStyle(p).backgroundColor;
			if (colour !== "rgba(0, 0, 0, 0)") { found.Behind = colour; break }
		}
		found.Behind ||= "rgb(255, 255, 255)";
		break;
	}
	return found;
})()`

func (b *browserTab) focused() focus {
	b.t.Helper()
	yes := true
	return browserRun(b, func(ctx context.Context, t *chromedp.Target) (f focus, err error) {
		tree, err := cdp.Call(ctx, t, page.GetFrameTree, cdp.Empty{})
		if err != nil {
			return f, err
		}
		world, err := cdp.Call(ctx, t, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: tree.FrameTree.Frame.ID})
		if err != nil {
			return f, err
		}
		r, err := cdp.Call(ctx, t, runtime.Evaluate, runtime.EvaluateParams{Expression: findFocus, ContextID: world.ExecutionContextID, ReturnByValue: &yes})
		if err != nil {
			return f, err
		}
		return f, json.Unmarshal([]byte(r.Result.Value), &f)
	})
}

// checkFocus checks that it can be seen where the focus is: WCAG 2.2, 2.4.7, 2.4.11
// and 1.4.11.
func (b *browserTab) checkFocus() {
	b.t.Helper()
	f := b.focused()
	switch {
	case f.Element == "":
		b.t.Fatal("the focus is nowhere")
	case !f.Seen:
		b.t.Errorf("the focus is on %s, which is not on the screen", f.Element)
	case f.Outline == "":
		b.t.Errorf("the focus is on %s, and nothing shows it", f.Element)
	case contrastOf(f.Outline, f.Behind) < 3:
		b.t.Errorf("the focus is on %s, and its outline %s is hardly seen on %s", f.Element, f.Outline, f.Behind)
	}
}
