package cmd_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
	"tipbox/tipbox/web"
)

// TestBrowserSharesAnAward makes a part of an award in a real browser that runs no
// scripts, prints its code, and opens it as somebody else.
func TestBrowserSharesAnAward(t *testing.T) {
	t.Parallel()
	chrome := startChromium(t)
	for _, story := range rewardStories {
		t.Run(story.lang, func(t *testing.T) { story.share(t, chrome) })
	}
}

func (s rewardStory) share(t *testing.T, chrome *chromium) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Rewards()
	pages, err := web.New(web.Config{Service: o.Service})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(pages)
	defer server.Close()
	site, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	line := (&browserDemo{sources: site}).line(t)
	code, tip := granted4000(t, o)

	b := s.comeBack(t, chrome, line, code.Digits())
	const form = `form[action="/thread/part"]:has(input[name="amount"])`
	if b.has("section details[open]") {
		t.Error("the form is not folded")
	}
	b.do(chromedp.Click(chromedp.CSS(`.card summary`)), typeInto(form+` input[name="amount"]`, "150"))
	b.click("POST /thread/part", 422, form+" button")
	b.mustHave(".notice.bad", `input[aria-invalid="true"]`, "details[open] .error")
	b.inspect("part-refused")
	b.do(typeInto(form+` input[name="amount"]`, "1500"))
	b.click("POST /thread/part", 200, form+" button")
	words, digits := b.text("#part-code"), b.text("#part-digits")
	b.inspect("part-code")
	b.emulateMedia("print", "light")
	for _, selector := range []string{"#part-code", "#part-digits", "section h2", "section p"} {
		if !b.isShown(selector) {
			t.Errorf("on paper %s is missing", selector)
		}
	}
	for _, selector := range []string{"header", "footer", ".no-print"} {
		if b.isShown(selector) {
			t.Errorf("on paper there is %s", selector)
		}
	}
	b.emulateMedia("", "light")
	b.close()

	b = s.comeBack(t, chrome, line, code.Digits())
	b.inspect("shared")
	b.click("POST /thread/part", 200, `button[name="show"]`)
	if got := b.text("#part-code"); got != words {
		t.Errorf("shown again, the code is %q and not %q", got, words)
	}
	b.close()

	b = s.comeBack(t, chrome, line, digits)
	if page := b.html(); strings.Contains(page, tip) || b.has("article") || b.has(`form[action="/thread/message"]`) || !strings.Contains(page, "1,500") {
		t.Errorf("the page of the part:\n%s", page)
	}
	b.inspect("part")
	b.click("POST /thread/claim", 200, claimChoice(b, "voucher"))
	b.mustHave(`section[data-state="claimed"]`)
	b.close()
	line.check(t)
}

// granted4000 is a tip with a granted award of 4,000 CNY.
func granted4000(t *testing.T, o *tipboxtest.Org) (code *receipt.Code, tip string) {
	t.Helper()
	code = o.Submit("They keep a second book.")
	tip = o.Inbox("alice")[0].Tip
	finding := tipbox.Act{Action: tipbox.ActionFinding, Text: "so", Detail: &tipbox.Detail{Finding: tipbox.Substantiated}}
	for _, a := range []tipbox.Act{{Action: tipbox.ActionAccept}, {Action: tipbox.ActionAssign, Owner: "alice", Due: "2099-12-20"}, finding} {
		o.Act("alice", tip, a)
	}
	o.Act("bob", tip, finding)
	o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionRecover, Detail: &tipbox.Detail{Amount: 100_000_00, Currency: "CNY", Basis: tipbox.SumCollected}})
	o.Act("alice", tip, tipbox.Act{
		Action: tipbox.ActionAward, Text: "so", Detail: &tipbox.Detail{Base: 100_000_00, Rate: 400},
		Terms: &tipbox.AwardTerms{Schedule: "test", Currency: "CNY", Amount: 4_000_00, Total: 4_000_00},
	})
	awards := o.Open("alice", tip).Case.Awards
	for _, name := range []string{"peter", "paula"} {
		o.Decide(name, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: awards[0].Number})
	}
	return code, tip
}
