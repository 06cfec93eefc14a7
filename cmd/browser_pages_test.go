package cmd_test

import (
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// TestBrowserSitePages looks at the pages that nobody sends anything on, in every
// language of the stories: the site's own texts, the choice of languages, and what
// is shown where there is no page.
func TestBrowserSitePages(t *testing.T) {
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
