package cmd_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"tipbox/static"
	"tipbox/tipbox/tipboxtest"
)

// A w3mStory is what the source writes, in a language, and reads.
type w3mStory struct{ lang, text, reply, more, money string }

var w3mStories = []w3mStory{
	{"en", "They keep a second book.\nIt is red.", "Which year was it?", "It was 2024.", "CN¥3,000"},
	{"zh-Hans", "他们另有一本账。\n红色的。", "是哪一年？", "是2024年。", "￥3,000"},
}

// TestTextBrowserStory goes from the first page to the receipt, to the thread and back,
// and asks what a sum would bring: with w3m in a terminal, by its keys.
func TestTextBrowserStory(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"w3m", "tmux"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("the program %s is not installed", name)
		}
	}
	o, site := startSite(t)
	for _, story := range w3mStories {
		t.Run(story.lang, func(t *testing.T) { story.play(t, o, site) })
	}
}

func (s w3mStory) play(t *testing.T, o *tipboxtest.Org, site *browserDemo) {
	line := site.line(t)
	say := catalogue(t, s.lang)
	w := startW3M(t, line.url+"/")
	w.follow(say("name"))
	w.wait(say("home.lead"))

	w.follow(say("home.send"))
	w.wait(say("tip.before"))
	w.choose("Off-book funds", "小金库")
	w.write(say("tip.text"), s.text)
	w.follow(say("tip.send"))
	page := w.wait(say("receipt.lead"))
	code := w3mDigits.FindString(page)
	if code == "" {
		t.Fatalf("there is no code on the page:\n%s", page)
	}
	tip := site.newestOf(t, o)
	if got := o.Open("bob", tip).Messages[0]; got.Text != s.text || got.Lang != s.lang {
		t.Errorf("the tip is %q, in %s", got.Text, got.Lang)
	}
	o.Reply("bob", tip, s.reply)

	w.follow(say("nav.thread"))
	w.wait(say("thread.code.help"))
	w.write(say("thread.code"), "zoo zoo")
	w.follow(say("thread.open"))
	w.wait(say("error.code.length", 2))
	w.write(say("thread.code"), code)
	w.follow(say("thread.open"))
	if page := w.wait(say("thread.leave.help")); !strings.Contains(page, s.reply) {
		t.Errorf("the answer %q is not on the page:\n%s", s.reply, page)
	}
	w.write(say("message.text"), s.more)
	w.follow(say("message.send"))
	w.wait(say("notice.message"))
	if messages := o.Open("bob", tip).Messages; len(messages) != 3 || messages[2].Text != s.more {
		t.Errorf("the messages are %+v", messages)
	}

	w.follow("Example City")
	w.wait(say("home.lead"))
	w.follow(say("reward.link"))
	w.wait(say("reward.try"))
	w.fill(say("reward.amount", map[string]string{"en": "CN¥", "zh-Hans": "￥"}[s.lang]), "100000")
	w.follow(say("reward.calculate"))
	w.wait(s.money)

	line.mu.Lock()
	defer line.mu.Unlock()
	for _, asked := range line.asked {
		if strings.Contains(asked, strings.Fields(code)[0]) {
			t.Errorf("the code is in the address of %s", asked)
		}
	}
	if len(line.cookies) > 0 {
		t.Errorf("these set a cookie: %q", line.cookies)
	}
}

var w3mDigits = regexp.MustCompile(`[0-9]{4}( [0-9]{4}){11}`)

// catalogue says the texts of a language by their keys, "name" being the language's own
// name.
func catalogue(t *testing.T, lang string) func(key string, args ...any) string {
	t.Helper()
	data, err := fs.ReadFile(static.Languages(), lang+".toml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Name string
		Text map[string]any
	}
	if err := toml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return func(key string, args ...any) string {
		t.Helper()
		if key == "name" {
			return file.Name
		}
		text := file.Text[key]
		if forms, ok := text.(map[string]any); ok {
			text = forms["other"]
		}
		if text == nil {
			t.Fatalf("%s has no %s", lang, key)
		}
		if len(args) == 0 {
			return text.(string)
		}
		return fmt.Sprintf(text.(string), args...)
	}
}

// A textBrowser is w3m in a terminal that tmux plays.
type textBrowser struct {
	t      *testing.T
	socket string
	typed  string // the file whose content the editor writes
}

// startW3M opens a page. Texts of several lines are written in an editor, as w3m has it:
// here it is a script that writes what the story says.
func startW3M(t *testing.T, address string) *textBrowser {
	t.Helper()
	home := t.TempDir()
	w := &textBrowser{t, filepath.Join(home, "tmux"), filepath.Join(home, "typed")}
	editor := filepath.Join(home, "editor")
	if err := os.WriteFile(editor, []byte("#!/bin/sh\ncat "+w.typed+" > \"$1\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	// The page is shown whole: then what is to be read is on the screen.
	w.tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "300",
		"env", "HOME="+home, "LC_ALL=C.UTF-8", "w3m", "-o", "editor="+editor, "-o", "wrap_search=1", "-o", "ignorecase_search=0", "-o", "confirm_qq=0",
		"-o", "display_charset=UTF-8", "-o", "accept_language=en", address)
	t.Cleanup(func() { exec.Command("tmux", "-S", w.socket, "kill-server").Run() })
	w.wait("Viewing")
	return w
}

func (w *textBrowser) tmux(args ...string) string {
	w.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-S", w.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// screen is what the terminal shows.
func (w *textBrowser) screen() string {
	w.t.Helper()
	return w.tmux("capture-pane", "-p")
}

// squeezed is a text without spaces and line breaks, which a terminal puts anywhere.
func squeezed(text string) string { return strings.Join(strings.Fields(text), "") }

// wait waits until the screen says something and stands still, and returns the screen:
// a page is drawn over the one before from the top down.
func (w *textBrowser) wait(text string) (screen string) {
	w.t.Helper()
	before, still := "", 0
	for end := time.Now().Add(browserPatience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if screen = w.screen(); screen == before {
			still++
		} else {
			still = 0
		}
		if before = screen; still >= 10 && strings.Contains(squeezed(screen), squeezed(text)) {
			return screen
		}
	}
	w.t.Fatalf("the screen does not say %q:\n%s", text, screen)
	return ""
}

// settle waits until what stands at the cursor, given where that is, is as wanted.
func (w *textBrowser) settle(what string, wanted func(cursor [2]int, at string) bool) (at string) {
	w.t.Helper()
	for end := time.Now().Add(browserPatience / 4); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		cursor := w.cursor()
		if at = w.at(cursor); wanted(cursor, at) {
			return at
		}
	}
	w.t.Fatalf("%s: the cursor stands at %q:\n%s", what, at, w.screen())
	return ""
}

// top goes to the first character of the page.
func (w *textBrowser) top() {
	w.t.Helper()
	w.tmux("send-keys", "g")
	w.tmux("send-keys", "C-a")
	w.settle("going to the top", func(cursor [2]int, _ string) bool { return cursor == [2]int{} })
}

// tab goes to the next link, field or button, and returns what stands there.
func (w *textBrowser) tab() string {
	w.t.Helper()
	before := w.cursor()
	w.tmux("send-keys", "Tab")
	return w.settle("going to the next link", func(cursor [2]int, _ string) bool { return cursor != before })
}

// cursor is the cursor's column and row.
func (w *textBrowser) cursor() (at [2]int) {
	w.t.Helper()
	fmt.Sscan(w.tmux("display-message", "-p", "#{cursor_x} #{cursor_y}"), &at[0], &at[1])
	return at
}

// at is the rest of a row of the screen from a column on.
func (w *textBrowser) at(cursor [2]int) string {
	w.t.Helper()
	rows := strings.Split(w.screen(), "\n")
	if cursor[1] >= len(rows) {
		return ""
	}
	column := 0
	for i, c := range rows[cursor[1]] {
		if column >= cursor[0] {
			return rows[cursor[1]][i:]
		}
		column++
		if c >= 0x1100 { // Chinese takes two columns
			column++
		}
	}
	return ""
}

// begins reports whether a row that may end early begins with a text, from what a
// cursor stands on within brackets on.
func begins(row, text string) bool {
	row, text = strings.TrimLeft(squeezed(row), "])"), squeezed(text)
	return row != "" && (strings.HasPrefix(row, text) || strings.HasPrefix(text, row))
}

// to goes with Tab, from the top, to the first link, field or button that one of the
// texts is at.
func (w *textBrowser) to(texts ...string) {
	w.t.Helper()
	w.top()
	for {
		at := w.tab()
		if slices.ContainsFunc(texts, func(text string) bool { return begins(at, text) }) {
			return
		}
	}
}

// follow takes a link, or presses a button.
func (w *textBrowser) follow(text string) {
	w.t.Helper()
	w.to(text)
	w.tmux("send-keys", "Enter")
}

// choose chooses what has one of the labels.
func (w *textBrowser) choose(labels ...string) {
	w.t.Helper()
	w.to(labels...)
	w.tmux("send-keys", "Enter")
}

// field goes to the field behind a label.
func (w *textBrowser) field(label string) {
	w.t.Helper()
	w.top()
	w.tmux("send-keys", "/")
	w.tmux("send-keys", "-l", label)
	w.tmux("send-keys", "Enter")
	w.settle("looking for "+label, func(_ [2]int, at string) bool { return begins(at, label) })
	if at := w.tab(); !strings.Contains(at, "]") {
		w.t.Fatalf("behind %q there is no field, but %q:\n%s", label, at, w.screen())
	}
}

// write writes a text of several lines: w3m has an editor do it.
func (w *textBrowser) write(label, text string) {
	w.t.Helper()
	if err := os.WriteFile(w.typed, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.field(label)
	w.tmux("send-keys", "Enter")
	w.wait("[" + string([]rune(text)[:7])) // of a field w3m shows as much as fits
}

// fill types a text of one line.
func (w *textBrowser) fill(label, text string) {
	w.t.Helper()
	w.field(label)
	w.tmux("send-keys", "Enter")
	w.tmux("send-keys", "-l", text)
	w.tmux("send-keys", "Enter")
	w.wait(text)
}
