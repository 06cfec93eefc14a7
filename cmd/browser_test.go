package cmd_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// A browserStory is the main job in one language: a tip with two files, an
// answer, the way back with the receipt code, a follow-up.
type browserStory struct {
	lang   string // as pages name it
	accept string // as the browser asks for it
	other  string // another language of the site

	channel string
	text    string
	files   []string
	reply   string
	more    string
	digits  bool // comes back with the digits instead of the words

	nonsense string // no word of any list
	nobodys  string // a good code of no thread
}

// The answers hold what pages get wrong: markup, empty lines, a line without a
// break.
var browserStories = []browserStory{
	{
		lang: "en", accept: "en-GB,en", other: "zh-Hans",
		channel: "off-book-funds",
		text:    "The depot sells its scrap for cash.\n\nThe cash never reaches the books; ask for <the red folder>.",
		files:   []string{"cash book.csv", "page 1.bin"},
		reply: "Thank you.\n\nWhich account was it? <b>Not</b> &amp; bold, and a long line: https://example.org/" +
			strings.Repeat("0123456789", 30) + "\n\n" + strings.Repeat("We would like to know more about the folder. ", 12),
		more:     "The account is the canteen's.",
		nonsense: strings.Repeat("unbreakable", 20),
		nobodys:  strings.Repeat("abandon ", 11) + "about",
	},
	{
		lang: "zh-Hans", accept: "zh-CN,zh,en", other: "en",
		channel:  "bribery",
		text:     "仓库把废料卖了现金。\n\n现金没有入账，请查<红色文件夹>。",
		files:    []string{"现金 账本.csv", "第一页.bin"},
		reply:    "谢谢您。\n\n是哪个账户？<b>不</b>加粗 &amp;，还有一长行：" + strings.Repeat("〇一二三四五六七八九", 30),
		more:     "是食堂的账户。",
		digits:   true,
		nonsense: strings.Repeat("囧", 40),
		nobodys:  strings.Repeat("0000 ", 11) + "0003",
	},
}

// swapWords puts two words of a code in the other order.
func swapWords(words string) string {
	w := strings.Fields(words)
	for i := 1; i < len(w); i++ {
		if w[i] != w[0] {
			w[0], w[i] = w[i], w[0]
			break
		}
	}
	return strings.Join(w, " ")
}

// TestBrowserStory plays the main job with the real programs and a real
// browser that runs no scripts.
func TestBrowserStory(t *testing.T) {
	t.Parallel()
	chrome := startChromium(t)
	demo := startBrowserDemo(t)
	t.Run("scripting is off", func(t *testing.T) { chrome.proveScriptingOff(t) })
	for _, story := range browserStories {
		t.Run(story.lang, func(t *testing.T) { story.play(t, chrome, demo) })
	}
}

func (s browserStory) play(t *testing.T, chrome *chromium, demo *browserDemo) {
	line := demo.line(t)
	s.tryLanguages(t, chrome, line)
	s.tryRefusals(t, chrome, line)
	s.askRewards(t, chrome, line)

	files := map[string][]byte{}
	var paths []string
	for i, name := range s.files {
		content := make([]byte, 70_000*i+600)
		rand.Read(content)
		files[name] = content
		paths = append(paths, writeBrowserFile(t, name, content))
	}
	words, digits := s.send(t, chrome, line, paths)

	tip := demo.newestTip(t)
	if tip.Channel != s.channel || tip.Files != 2 || tip.Messages != 1 {
		t.Errorf("the inbox shows %+v", tip)
	}
	read := demo.read(t, tip.Tip)
	if got := read.Messages[0].Text; got != s.text {
		t.Errorf("the investigator reads %q, the source wrote %q", got, s.text)
	}
	demo.sameFiles(t, tip.Tip, files)
	demo.tipbox(t, "reply", tip.Tip, "-m", s.reply)

	code := words
	if s.digits {
		code = digits
	}
	name, content := "more "+s.files[0], []byte("one more line\n")
	s.comeBack(t, chrome, line, words, code, writeBrowserFile(t, name, content))

	read = demo.read(t, tip.Tip)
	if n := len(read.Messages); n != 3 || read.Messages[2].From != "source" || read.Messages[2].Text != s.more {
		t.Errorf("after the follow-up the investigator reads %+v", read.Messages)
	}
	files[name] = content
	demo.sameFiles(t, tip.Tip, files)
	line.check(t)
}

// tryLanguages follows the language links there and back.
func (s browserStory) tryLanguages(t *testing.T, chrome *chromium, line *browserLine) {
	b := chrome.newTab(t, line, s.accept)
	defer b.close()
	b.lang = s.lang
	b.open("GET /", "/")
	b.lang = s.other
	b.do(chromedp.Click(chromedp.CSS(".languages summary")))
	b.click("GET /?lang="+s.other, 200, `.languages a[lang="`+s.other+`"]`)
	b.click("GET /thread?lang="+s.other, 200, `header nav a[href^="/thread"]`)
	b.lang = s.lang
	b.do(chromedp.Click(chromedp.CSS(".languages summary")))
	b.click("GET /thread?lang="+s.lang, 200, `.languages a[lang="`+s.lang+`"]`)
}

// tryRefusals sends forms that are refused: nothing that was typed may be lost.
func (s browserStory) tryRefusals(t *testing.T, chrome *chromium, line *browserLine) {
	b := chrome.newTab(t, line, s.accept)
	defer b.close()
	b.lang = s.lang
	b.open("GET /tip", "/tip")
	b.do(chromedp.Click(chromedp.CSS(s.channelChoice())))
	b.click("POST /tip", 422, `form[action="/tip"] button`)
	b.mustHave(".notice.bad", s.channelInput()+"[checked]")

	// The only investigator is left out, so nobody could read it.
	b.do(
		typeInto("#text", s.text),
		chromedp.Click(chromedp.CSS("main summary")),
		chromedp.Click(chromedp.CSS(`.choice:has(input[value="investigator"])`)),
		chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{writeBrowserFile(t, "lost.txt", []byte("lost"))}),
	)
	b.click("POST /tip", 422, `form[action="/tip"] button`)
	b.mustHave(".notice.bad", s.channelInput()+"[checked]", "details[open]", `input[value="investigator"][checked]`, "#file-help strong")
	if got := b.value("#text"); got != s.text {
		t.Errorf("a refused form holds the text %q, it was %q", got, s.text)
	}
	b.inspect("tip-refused")
}

// askRewards follows the link to the scale of rewards and asks what a sum would
// bring, first in words that nobody can read.
func (s browserStory) askRewards(t *testing.T, chrome *chromium, line *browserLine) {
	b := chrome.newTab(t, line, s.accept)
	defer b.close()
	b.lang = s.lang
	b.open("GET /", "/")
	b.click("GET /reward", 200, `main a[href^="/reward"]`)
	b.inspect("reward")
	const ask, field = "GET /reward?scale=off-book-funds-2009&lang=", `input[name="amount"]`
	b.do(typeInto(field, "much"))
	b.click(ask+s.lang+"&amount=much", 422, "form button")
	b.mustHave(field+`[aria-invalid="true"]`, ".error")
	b.inspect("reward-refused")
	if got := b.value(field); got != "much" {
		t.Errorf("the field holds %q", got)
	}
	b.do(typeInto(field, "１，０００，０００"))
	b.click(ask+s.lang+"&amount="+url.QueryEscape("１，０００，０００"), 200, "form button")
	if got := b.text(`form [role="status"]`); !strings.Contains(got, "50,000") {
		t.Errorf("a million would bring: %s", got)
	}
	b.inspect("reward-result")
}

func (s browserStory) channelInput() string {
	return `input[name="channel"][value="` + s.channel + `"]`
}
func (s browserStory) channelChoice() string { return `.choice:has(` + s.channelInput() + `)` }

var browserDigits = regexp.MustCompile(`^([0-9]{4} ){11}[0-9]{4}$`)

// send sends the tip, from the first page to the receipt and the practised
// code, and returns the code.
func (s browserStory) send(t *testing.T, chrome *chromium, line *browserLine, files []string) (words, digits string) {
	b := chrome.newTab(t, line, s.accept)
	defer b.close()
	b.lang = s.lang
	home := b.open("GET /", "/")
	b.inspect("home")
	before := line.count()
	form := b.click("GET /tip", 200, `main a[href^="/tip"]`)
	b.inspect("tip")
	for _, page := range []browserAnswer{home, form} {
		if page.bytes != 32<<10 { // as every other
			t.Errorf("%s takes %d bytes with its headers", page.asked, page.bytes)
		}
	}
	b.do(
		chromedp.Click(chromedp.CSS(s.channelChoice())),
		typeInto("#text", s.text),
		chromedp.SetUploadFiles(chromedp.CSS("#file"), files),
	)
	b.click("POST /tip", 200, `form[action="/tip"] button`)
	if got := line.since(before); !slices.Equal(got, []string{"GET /tip", "POST /tip"}) {
		t.Errorf("from the first page to the receipt the browser asked for %q", got)
	}
	words, digits = b.text("#receipt-code"), b.text("#receipt-digits")
	if n := len(strings.Fields(words)); n != 12 {
		t.Errorf("the receipt %q has %d words", words, n)
	}
	if !browserDigits.MatchString(digits) {
		t.Errorf("the receipt's digits are %q", digits)
	}
	page := b.html()
	for _, code := range []string{words, digits} {
		if n := strings.Count(page, code); n != 1 {
			t.Errorf("the receipt page holds %q %d times", code, n)
		}
	}
	b.inspect("receipt")
	s.print(t, b)
	s.download(t, b, words, digits)

	// Whoever reloads sends the form again, and has not sent a second tip.
	b.reload("POST /tip")
	if again := b.text("#receipt-code"); again != words {
		t.Errorf("after a reload the receipt is %q, it was %q", again, words)
	}

	b.do(typeInto("#code", words))
	b.click("POST /thread", 200, `form[action="/thread"] button`)
	b.mustHave(`article[data-from="source"]`)
	if b.has(`article[data-from="desk"]`) {
		t.Error("there is an answer before anybody answered")
	}
	b.inspect("thread-new")
	firstLine, _, _ := strings.Cut(s.text, "\n")
	if page := b.html(); strings.Contains(page, words) || strings.Contains(page, digits) || strings.Contains(page, firstLine) {
		t.Error("the thread's page gives the code or the tip away")
	}
	return words, digits
}

// print prints the receipt: the code is on the paper, what is for the screen is
// not.
func (s browserStory) print(t *testing.T, b *browserTab) {
	pdf, err := chromedp.Run(b.ctx, chromedp.PrintToPDF(chromedp.PDFPaper(chromedp.PaperA4)))
	if err != nil {
		t.Fatal("printing the receipt:", err)
	}
	if len(pdf) < 1<<10 || !bytes.HasPrefix(pdf, []byte("%PDF-")) {
		t.Errorf("the printed receipt is no document: %d bytes", len(pdf))
	}
	b.keep("receipt-print.pdf", pdf)
	b.emulateMedia("print", "light")
	defer b.emulateMedia("", "light")
	for _, selector := range []string{"#receipt-code", "#receipt-digits", "h1"} {
		if !b.isShown(selector) {
			t.Errorf("on paper %s is missing", selector)
		}
	}
	for _, selector := range []string{"header", "footer", "button", "#code", "summary", "svg.qr"} {
		if b.isShown(selector) {
			t.Errorf("on paper there is %s", selector)
		}
	}
	b.screenshot("receipt-print")
}

// download presses the button for the receipt as a file.
func (s browserStory) download(t *testing.T, b *browserTab, words, digits string) {
	file := b.download("POST /thread/receipt", `form[action="/thread/receipt"] button`)
	if name := filepath.Base(file); name != "receipt.txt" {
		t.Errorf("the download is named %s", name)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{words, digits} {
		if !strings.Contains(string(data), code) {
			t.Errorf("the download lacks %q:\n%s", code, data)
		}
	}
	if len(data) > 2000 { // it was padded on the line
		t.Errorf("the download has %d bytes", len(data))
	}
}

// comeBack is the source in another browser, on another day: it mistypes the
// code, opens the thread, reads the answer and adds to the tip.
func (s browserStory) comeBack(t *testing.T, chrome *chromium, line *browserLine, words, code, file string) {
	b := chrome.newTab(t, line, s.accept)
	defer b.close()
	b.lang = s.lang
	b.open("GET /", "/")
	b.click("GET /thread", 200, `main a[href^="/thread"]`)
	b.inspect("code")
	for _, wrong := range []struct {
		name   string
		code   string
		status int64
	}{
		{"word", strings.Join(append(strings.Fields(words)[:11:11], s.nonsense), " "), 422},
		{"order", swapWords(words), anyRefusal}, // one in 16 fits the checksum, and is nobody's
		{"short", strings.Join(strings.Fields(words)[:5], " "), 422},
		{"nobody's", s.nobodys, 404},
	} {
		b.do(typeInto("#code", wrong.code))
		b.click("POST /thread", wrong.status, `form[action="/thread"] button`)
		b.mustHave(".notice.bad")
		if got := b.value("#code"); got != wrong.code {
			t.Errorf("after a wrong code (%s) the field holds %q, it was %q", wrong.name, got, wrong.code)
		}
		if wrong.name == "word" {
			b.inspect("code-wrong")
		}
	}
	b.do(typeInto("#code", code))
	b.click("POST /thread", 200, `form[action="/thread"] button`)
	if got := b.textContent(`article[data-from="desk"] .text`); got != s.reply {
		t.Errorf("the source reads %q, the answer was %q", got, s.reply)
	}
	b.inspect("thread-answered")

	b.click("POST /thread/message", 422, `form[action="/thread/message"] button`)
	b.mustHave(".notice.bad", `article[data-from="desk"]`)
	b.do(
		typeInto("#text", s.more),
		chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{file}),
	)
	b.click("POST /thread/message", 200, `form[action="/thread/message"] button`)
	b.mustHave(".notice:not(.bad)", `article[data-from="source"]:nth-of-type(3)`)
	b.inspect("thread-added")
}

// An inboxTip is a line of tipbox --json inbox, as far as it matters here.
type inboxTip struct {
	Tip      string `json:"tip"`
	Channel  string `json:"channel"`
	Messages int    `json:"messages"`
	Files    int    `json:"files"`
}

// newestTip is the only tip that was not in the inbox before.
func (d *browserDemo) newestTip(t *testing.T) inboxTip {
	t.Helper()
	var fresh []inboxTip
	for line := range strings.Lines(d.tipbox(t, "--json", "inbox")) {
		var tip inboxTip
		if err := json.Unmarshal([]byte(line), &tip); err != nil {
			t.Fatalf("inbox: %v in %s", err, line)
		}
		if !d.seen[tip.Tip] {
			d.seen[tip.Tip] = true
			fresh = append(fresh, tip)
		}
	}
	if len(fresh) != 1 {
		t.Fatalf("one tip was sent, the inbox has %+v", fresh)
	}
	return fresh[0]
}

// A shownTip is what tipbox --json read prints, as far as it matters here.
type shownTip struct {
	Messages []struct {
		From string `json:"from"`
		Text string `json:"text"`
	} `json:"messages"`
}

func (d *browserDemo) read(t *testing.T, tip string) (shown shownTip) {
	t.Helper()
	if err := json.Unmarshal([]byte(d.tipbox(t, "--json", "read", tip)), &shown); err != nil {
		t.Fatal("read:", err)
	}
	return shown
}

// sameFiles saves the tip's files: they are these, byte for byte.
func (d *browserDemo) sameFiles(t *testing.T, tip string, want map[string][]byte) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "saved")
	d.tipbox(t, "save", tip, "-o", dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	for _, e := range entries {
		if got[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range want {
		if !bytes.Equal(got[name], content) {
			t.Errorf("file %q was %d bytes, saved are %d others", name, len(content), len(got[name]))
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("nobody sent the file %q", name)
	}
}

func writeBrowserFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
