package cmd_test

import (
	"bytes"
	"compress/zlib"
	"encoding/hex"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/chromedp/chromedp"
	"rsc.io/qr"

	"tipbox/crypto/receipt"
	"tipbox/crypto/voucher"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
	"tipbox/tipbox/web"
)

// A rewardStory is a reward in one language: a source sees it on the thread's page,
// claims it as vouchers, and comes back for them, twice.
type rewardStory struct {
	lang, accept string

	granted string // what the pages say
	signing string
	ready   string
	worth   string
	bearer  string
}

var rewardStories = []rewardStory{
	{"en", "en-GB,en", "Your reward: CN¥2,300", "They are being signed", "Your vouchers are ready", "Voucher for CN¥1,000", "Treat it as money"},
	{"zh-Hans", "zh-CN,zh,en", "您的奖励：￥2,300", "凭证正在签发", "您的凭证已备好", "￥1,000 兑付凭证", "请把它当作现金"},
}

// TestBrowserRewardStory plays it with the real programs and a real browser that runs
// no scripts.
func TestBrowserRewardStory(t *testing.T) {
	t.Parallel()
	chrome := startChromium(t)
	demo := startBrowserDemo(t)
	for _, story := range rewardStories {
		t.Run(story.lang, func(t *testing.T) { story.play(t, chrome, demo) })
	}
}

func (s rewardStory) play(t *testing.T, chrome *chromium, demo *browserDemo) {
	line := demo.line(t)
	code := s.tip(t, chrome, line)
	demo.award(t, demo.newestTip(t).Tip)

	b := s.comeBack(t, chrome, line, code)
	if got := b.text(`section[data-state="granted"] h2`); got != s.granted {
		t.Errorf("the page says %q, not %q", got, s.granted)
	}
	b.click("POST /thread/claim", 422, claimChoice(b, "details"))
	b.mustHave(".notice.bad", `section[data-state="granted"]`)
	b.click("POST /thread/claim", 200, claimChoice(b, "voucher"))
	if got := b.text(`section[data-state="claimed"]`); !strings.Contains(got, s.signing) {
		t.Errorf("after the claim the page says %q", got)
	}
	b.close()

	demo.as(t, "approver", "issue")
	var shown []string
	for visit := range 2 {
		b := s.comeBack(t, chrome, line, code)
		if got := b.text(`section[data-state="issued"]`); !strings.Contains(got, s.ready) {
			t.Errorf("when they are signed the page says %q", got)
		}
		b.click("POST /thread/voucher", 200, `form[action="/thread/voucher"] button`)
		text := b.textContent("#voucher-text")
		shown = append(shown, text)
		if visit == 0 {
			s.look(t, b, demo, text)
		}
		b.close()
	}
	if shown[0] != shown[1] {
		t.Errorf("the second visit shows another voucher:\n%s\n%s", shown[0], shown[1])
	}
	line.check(t)
}

// tip sends a tip and returns its receipt code.
func (s rewardStory) tip(t *testing.T, chrome *chromium, line *browserLine) string {
	b := chrome.newTab(t, line, s.accept)
	defer b.close()
	b.lang = s.lang
	b.open("GET /tip", "/tip")
	b.do(chromedp.Click(chromedp.CSS(`.choice:has(input[value="off-book-funds"])`)), typeInto("#text", "A second book."))
	b.click("POST /tip", 200, `form[action="/tip"] button`)
	return b.text("#receipt-digits")
}

// comeBack opens the thread in another browser.
func (s rewardStory) comeBack(t *testing.T, chrome *chromium, line *browserLine, code string) *browserTab {
	b := chrome.newTab(t, line, s.accept)
	b.lang = s.lang
	b.open("GET /thread", "/thread")
	b.do(typeInto("#code", code))
	b.click("POST /thread", 200, `form[action="/thread"] button`)
	return b
}

// claimChoice chooses how to take the award, and names the button to press.
func claimChoice(b *browserTab, choice string) (button string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(`.choice:has(input[value="` + choice + `"])`)))
	return `form[action="/thread/claim"] button`
}

// look looks at the voucher: on the screen, as a code to be scanned, on paper and in
// the file.
func (s rewardStory) look(t *testing.T, b *browserTab, demo *browserDemo, text string) {
	v, err := voucher.Parse(text)
	if err != nil {
		t.Fatalf("the page shows no voucher: %v\n%s", err, text)
	}
	if got := b.text("section h2"); got != s.worth {
		t.Errorf("the page says %q, not %q", got, s.worth)
	}
	if page := b.html(); !strings.Contains(page, s.bearer) {
		t.Errorf("the page does not say %q", s.bearer)
	}
	b.inspect("voucher")
	for _, scheme := range []string{"light", "dark"} { // readers want dark on light
		b.emulateMedia("", scheme)
		sameModules(t, b.picture("svg.qr"), v.Compact())
	}
	b.emulateMedia("", "light")
	s.print(t, b, text)

	file := b.download("POST /thread/voucher", `button[value="all"]`)
	papers, err := os.ReadFile(file)
	if err != nil || filepath.Base(file) != "papers.txt" || strings.Count(string(papers), "TIPBOX VOUCHER") != 5 || !strings.Contains(string(papers), text) {
		t.Errorf("the file %s has:\n%s", filepath.Base(file), papers)
	}
	if out := demo.as(t, "payer", "pay", "--check", "-f", file); strings.Count(out, "GENUINE\n") != 5 {
		t.Errorf("of the file the payer is told:\n%s", out)
	}
	b.click("POST /thread/voucher", 200, `button[value="2"]`)
	second := b.textContent("#voucher-text")
	if _, err := voucher.Parse(second); err != nil || second == text {
		t.Errorf("the next voucher is %v:\n%s", err, second)
	}
	b.click("POST /thread/voucher", 200, `button[value="1"]`)
	if again := b.textContent("#voucher-text"); again != text {
		t.Errorf("back again it is:\n%s", again)
	}
}

// print prints the voucher: its text and code are on the paper, and what it is worth;
// what is for the screen is not.
func (s rewardStory) print(t *testing.T, b *browserTab, text string) {
	for name, paper := range map[string]chromedp.PaperSize{"A4": chromedp.PaperA4, "Letter": chromedp.PaperLetter} {
		pdf := browserRun(b, chromedp.PrintToPDF(chromedp.PDFPaper(paper)))
		b.keep("voucher-"+name+".pdf", pdf)
		if n := len(pdfSheet.FindAll(pdf, -1)); n != 1 {
			t.Errorf("on %s a voucher takes %d sheets", name, n)
		}
		if !pdfHas(pdf, strings.Fields(text)) {
			t.Errorf("on %s there is not the voucher's text", name)
		}
		if pdfHas(pdf, strings.Fields(strings.Replace(text, "TIPBOX", "TIPBOY", 1))) {
			t.Errorf("on %s there is any text", name)
		}
	}
	b.emulateMedia("print", "light")
	defer b.emulateMedia("", "light")
	for _, selector := range []string{"#voucher-text", "svg.qr", "section h2", ".print-only"} {
		if !b.isShown(selector) {
			t.Errorf("on paper %s is missing", selector)
		}
	}
	for _, selector := range []string{"header", "footer", "button", ".no-print"} {
		if b.isShown(selector) {
			t.Errorf("on paper there is %s", selector)
		}
	}
	b.screenshot("voucher-print")
}

// picture is an element as it is drawn, three times as large.
func (b *browserTab) picture(selector string) image.Image {
	b.t.Helper()
	data := browserRun(b, chromedp.ScreenshotScale(chromedp.CSS(selector), 3))
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		b.t.Fatal(err)
	}
	return img
}

// sameModules compares the middle of every module of a picture with the QR code of a
// text, margin and all.
func sameModules(t *testing.T, img image.Image, text string) {
	t.Helper()
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	const margin = 4
	side := code.Size + 2*margin
	if w, h := img.Bounds().Dx(), img.Bounds().Dy(); w != h || w < 3*side {
		t.Fatalf("the code of %d modules is drawn %d by %d", side, w, h)
	}
	for y := range side {
		for x := range side {
			at := func(n int) int { return (2*n + 1) * img.Bounds().Dx() / (2 * side) }
			r, g, b, _ := img.At(img.Bounds().Min.X+at(x), img.Bounds().Min.Y+at(y)).RGBA()
			light, want := r+g+b > 3*0x8000, !code.Black(x-margin, y-margin)
			if light != want {
				t.Fatalf("module %d, %d is light: %v, and must be: %v", x, y, light, want)
			}
		}
	}
}

var (
	pdfSheet  = regexp.MustCompile(`/Type\s*/Page\b`)
	pdfStream = regexp.MustCompile(`(?s)stream\r?\n(.*?)\r?\nendstream`)
	pdfString = regexp.MustCompile(`<([0-9A-Fa-f]*)>\s*(?:-?[0-9.]+|\]|Tj)`)
	pdfChar   = regexp.MustCompile(`<([0-9A-Fa-f]{4})>\s*<([0-9A-Fa-f]+)>`)
	pdfRange  = regexp.MustCompile(`<([0-9A-Fa-f]{4})>\s*<([0-9A-Fa-f]{4})>\s*<([0-9A-Fa-f]{4})>`)
)

// pdfHas reports whether a document shows these words one behind the other, in one of
// its fonts. It knows as much of the format as Chromium writes.
func pdfHas(pdf []byte, words []string) bool {
	var drawn []byte
	var fonts []map[string]string // from a glyph to its text
	for _, m := range pdfStream.FindAllSubmatch(pdf, -1) {
		content := m[1]
		if r, err := zlib.NewReader(bytes.NewReader(content)); err == nil {
			content, _ = io.ReadAll(r)
		}
		if !bytes.Contains(content, []byte("beginbf")) {
			drawn = append(drawn, content...)
			continue
		}
		font := make(map[string]string)
		for _, part := range bytes.Split(content, []byte("begin"))[1:] {
			part, _, _ = bytes.Cut(part, []byte("end"))
			switch {
			case bytes.HasPrefix(part, []byte("bfchar")):
				for _, c := range pdfChar.FindAllSubmatch(part, -1) {
					font[strings.ToUpper(string(c[1]))] = fromUTF16(string(c[2]))
				}
			case bytes.HasPrefix(part, []byte("bfrange")):
				for _, c := range pdfRange.FindAllSubmatch(part, -1) {
					var from, to, text int
					fmt.Sscanf(string(c[1])+" "+string(c[2])+" "+string(c[3]), "%x %x %x", &from, &to, &text)
					for i := from; i <= to; i++ {
						font[fmt.Sprintf("%04X", i)] = string(rune(text + i - from))
					}
				}
			}
		}
		fonts = append(fonts, font)
	}
	return slices.ContainsFunc(fonts, func(font map[string]string) bool {
		var text strings.Builder
		for _, m := range pdfString.FindAllSubmatch(drawn, -1) {
			for glyph := range slices.Chunk([]byte(strings.ToUpper(string(m[1]))), 4) {
				text.WriteString(font[string(glyph)])
			}
		}
		return strings.Contains(strings.ReplaceAll(text.String(), " ", ""), strings.Join(words, ""))
	})
}

func fromUTF16(text string) string {
	b, err := hex.DecodeString(text)
	if err != nil {
		return ""
	}
	var units []uint16
	for pair := range slices.Chunk(b, 2) {
		units = append(units, uint16(pair[0])<<8|uint16(pair[len(pair)-1]))
	}
	return string(utf16.Decode(units))
}

// as runs the members' tool as the member who has that role.
func (d *browserDemo) as(t *testing.T, role string, args ...string) string {
	t.Helper()
	other := *d
	other.dir = filepath.Join(t.TempDir(), "demo")
	if err := os.MkdirAll(filepath.Join(other.dir, "members"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(d.dir, "members", role), filepath.Join(other.dir, "members", "investigator")); err != nil {
		t.Fatal(err)
	}
	return other.tipbox(t, args...)
}

// award takes a case to a granted award of 4 % of 57,500 CNY.
func (d *browserDemo) award(t *testing.T, tip string) {
	t.Helper()
	d.tipbox(t, "accept", tip)
	d.tipbox(t, "grant", tip, "reviewer")
	d.tipbox(t, "assign", tip, "investigator", "--due", "2099-12-31")
	d.tipbox(t, "finding", tip, "substantiated", "-m", "It is so.")
	d.as(t, "reviewer", "finding", tip, "substantiated", "-m", "So I see it.")
	d.tipbox(t, "recover", tip, "57500", "CNY", "--collected")
	d.tipbox(t, "award", tip, "--rate", "4", "-m", "They were right.")
	d.as(t, "approver", "approve", tip)
}

// TestBrowserShowsEveryStateOfAnAward looks at thread pages on which awards are in
// every state that a source can see.
func TestBrowserShowsEveryStateOfAnAward(t *testing.T) {
	t.Parallel()
	chrome := startChromium(t)
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
	code, tip := awardsOfEveryState(t, o)
	line := (&browserDemo{sources: site}).line(t)
	states := []string{"granted", "granted", "refused", "refused", "claimed", "issued", "payable", "payable", "waived", "appealed"}
	for _, name := range []string{"awards", "awards-held"} {
		if name == "awards-held" {
			o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionHold, Text: "a court"})
		}
		for _, story := range rewardStories {
			b := story.comeBack(t, chrome, line, code.Digits())
			var seen []string
			for _, n := range b.nodes("section[data-state]") {
				state, _ := n.Attribute("data-state")
				seen = append(seen, state)
			}
			if !slices.Equal(seen, states) {
				t.Errorf("the page shows awards that are %q", seen)
			}
			if n := len(b.nodes(`form[action="/thread/claim"]:has([type="radio"])`)); n != 1 { // what is expired stays so on hold
				t.Errorf("%s: %d awards can be claimed", name, n)
			}
			b.inspect(name)
			b.close()
		}
	}
	line.check(t)
}

// awardsOfEveryState is a case with an award expired, near its end, refused for good
// and not, claimed, issued, paid to details and to a charity, waived and appealed.
func awardsOfEveryState(t *testing.T, o *tipboxtest.Org) (code *receipt.Code, tip string) {
	t.Helper()
	code = o.Submit("They keep a second book.")
	tip = o.Inbox("alice")[0].Tip
	finding := tipbox.Act{Action: tipbox.ActionFinding, Text: "so", Detail: &tipbox.Detail{Finding: tipbox.Substantiated}}
	for _, a := range []tipbox.Act{{Action: tipbox.ActionAccept}, {Action: tipbox.ActionAssign, Owner: "alice", Due: "2099-12-20"}, finding} {
		o.Act("alice", tip, a)
	}
	o.Act("bob", tip, finding)
	var base int64
	award := func(refused bool) (number int) {
		t.Helper()
		base += 100_000_00
		o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionRecover, Detail: &tipbox.Detail{Amount: 100_000_00, Currency: "CNY", Basis: tipbox.SumCollected}})
		var before int64
		for _, a := range o.Open("alice", tip).Case.Awards {
			if a.State != tipbox.AwardRefused {
				before += a.Terms.Total
			}
		}
		total, err := tipbox.Instalment(o.Service.Roster().Schedule("test"), base, "", 400, before)
		if err != nil {
			t.Fatal(err)
		}
		o.Act("alice", tip, tipbox.Act{
			Action: tipbox.ActionAward, Text: "so", Detail: &tipbox.Detail{Base: base, Rate: 400},
			Terms: &tipbox.AwardTerms{Schedule: "test", Currency: "CNY", Amount: total, Total: total, Before: before},
		})
		awards := o.Open("alice", tip).Case.Awards
		last := awards[len(awards)-1]
		if refused {
			o.Decide("peter", tip, tipbox.Act{Action: tipbox.ActionRefuse, Award: last.Number, Text: "The office knew of it, since it had found the second book itself a month before."})
			return last.Number
		}
		for _, name := range []string{"peter", "paula", "pia"}[:last.Votes] {
			o.Decide(name, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: last.Number})
		}
		return last.Number
	}
	claim := func(c tipbox.Claim) {
		t.Helper()
		c.Award = award(false)
		if err := o.Service.Claim(t.Context(), code, c); err != nil {
			t.Fatal(err)
		}
		if c.Details == "issue" {
			o.Issue("pia", tip, c.Award)
		}
	}
	appeal := func(number int) {
		t.Helper()
		if err := o.Service.Appeal(t.Context(), code, number, "en", "It did not."); err != nil {
			t.Fatal(err)
		}
	}
	award(false) // it expires
	o.Clock.Advance(91 * 24 * time.Hour)
	award(false) // it is near its end
	o.Clock.Advance(70 * 24 * time.Hour)
	final := award(true)
	appeal(final)
	o.Decide("paula", tip, tipbox.Act{Action: tipbox.ActionRefuse, Award: final, Text: "It knew."})
	award(true)
	claim(tipbox.Claim{Choice: tipbox.ClaimVoucher})
	claim(tipbox.Claim{Choice: tipbox.ClaimVoucher, Details: "issue"})
	claim(tipbox.Claim{Choice: tipbox.ClaimDetails, Details: "account 7"})
	claim(tipbox.Claim{Choice: tipbox.ClaimCharity, Charity: "library"})
	claim(tipbox.Claim{Choice: tipbox.ClaimWaive})
	appeal(award(true))
	return code, tip
}
