package cmd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// TestBrowserSitePages looks at the pages that nobody sends anything on, in every
// language of the stories: the site's own texts, the choice of languages, and what
// is shown where there is no page.
func TestBrowserSitePages(t *testing.T) {
	t.Parallel()
	chrome := startChromium(t)
	demo := startBrowserDemo(t)
	for _, story := range browserStories {
		t.Run(story.lang, func(t *testing.T) {
			line := demo.line(t)
			b := chrome.newTab(t, line, story.accept)
			defer b.close()
			b.lang = story.lang
			for _, name := range []string{"about", "questions", "who", "threats"} {
				b.open("GET /"+name, "/"+name)
				b.mustHave(`footer a[aria-current="page"]`, "h1")
				b.inspect(name)
			}
			b.follow("GET /none", 404, browserCall(page.Navigate, page.NavigateParams{URL: line.url + "/none"}))
			b.inspect("no-page")
			b.open("GET /", "/")
			b.click("GET /tip?channel="+story.channel, 200, `.subjects a[href*="channel=`+story.channel+`"]`)
			b.mustHave(story.channelInput() + "[checked]")
			b.do(chromedp.Click(chromedp.CSS(".languages summary")))
			b.inspect("languages")
			line.check(t)
		})
	}
}

// TestBrowserOwningUp owns up, saves the proof from the receipt's page and, once somebody
// has acknowledged it, from the thread's, and has both checked.
func TestBrowserOwningUp(t *testing.T) {
	t.Parallel()
	chrome := startChromium(t)
	demo := startBrowserDemo(t)
	for _, story := range browserStories {
		t.Run(story.lang, func(t *testing.T) {
			line := demo.line(t)
			b := chrome.newTab(t, line, story.accept)
			defer b.close()
			b.lang = story.lang
			story.channel = "self-report"
			b.open("GET /", "/")
			b.click("GET /tip?channel=self-report", 200, `.subjects a[href*="channel=self-report"]`)
			b.do(typeInto("#text", story.text))
			b.click("POST /tip", 200, `form[action="/tip"] button`)
			digits := b.text("#receipt-digits")
			first := demo.verifyProof(t, b.download("POST /thread/proof", `form[action="/thread/proof"] button`), digits)
			tip := demo.newestTip(t)
			if first.Channel != "self-report" || first.Tip != tip.Tip || !first.Bearer || first.Acknowledged != nil {
				t.Errorf("the proof of the receipt says %+v", first)
			}

			demo.tipbox(t, "ack", tip.Tip, "-m", story.reply)
			b.open("GET /thread", "/thread")
			b.do(typeInto("#code", digits))
			b.click("POST /thread", 200, `form[action="/thread"] button`)
			b.inspect("owning-up")
			later := demo.verifyProof(t, b.download("POST /thread/proof", `form[action="/thread/proof"] button`), digits)
			if later.Tip != tip.Tip || later.Acknowledged == nil || later.Acknowledged.By != "investigator" {
				t.Errorf("the proof of the thread says %+v", later)
			}
			line.check(t)
		})
	}
}

// A checkedProof is what tipbox --json verify-proof prints, as far as it matters here.
type checkedProof struct {
	Channel      string `json:"channel"`
	Tip          string `json:"tip"`
	Bearer       bool   `json:"bearer"`
	Acknowledged *struct {
		By string `json:"by"`
	} `json:"acknowledged"`
}

// verifyProof checks a proof that a browser saved, with the receipt code of its bearer.
func (d *browserDemo) verifyProof(t *testing.T, file, code string) (checked checkedProof) {
	t.Helper()
	codeFile := filepath.Join(t.TempDir(), "code")
	if err := os.WriteFile(codeFile, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(d.tipbox(t, "--json", "verify-proof", file, "--code", codeFile)), &checked); err != nil {
		t.Fatal(err)
	}
	return checked
}
