package web_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

var pageLanguages = []string{"en", "zh-Hans"}

// hostile is text that breaks out of whatever does not escape it.
const hostile = `</textarea></script></style><script>alert(1)</script><img src=x onerror=alert(1)>"'` + "`" + `&amp;{{.}}%s%[1]d` + "\u202e"

// everyPage makes each page there is, in a language, with hostile text where a
// page shows what came from outside.
func everyPage(t *testing.T, lang string) map[string]*answer {
	t.Helper()
	s := newBrokenSiteOf(t, tipboxtest.Config{Proof: true})
	s.lang = lang
	s.Enter("mallory", &roster.Member{
		Roles: []roster.Role{roster.Investigator}, Channels: []string{"bribery"},
		Title: `"><script>alert(1)</script>`, Unit: `R&D "<b>`,
	})
	s.SetSchedules(everySchedule()...)
	all := make(map[string]*answer)
	add := func(name string, status int, a *answer) *answer {
		t.Helper()
		if a.Code != status {
			t.Fatalf("%s: status %d, want %d", name, a.Code, status)
		}
		all[name] = a
		return a
	}
	for name, target := range map[string]string{"home": "/", "home by link": "/?lang=" + lang, "tip": "/tip", "thread": "/thread?lang=" + lang} {
		add(name, 200, s.get(t, target))
	}
	for name, target := range rewardPages {
		status := 200
		if strings.Contains(name, "refused") {
			status = 422
		}
		add("reward"+name, status, s.get(t, target))
	}
	for _, name := range []string{"about", "questions", "who", "threats"} {
		add("text: "+name, 200, s.get(t, "/"+name))
		add("text: "+name+" by link", 200, s.get(t, "/"+name+"?lang="+lang))
	}
	add("tip on a subject", 200, s.get(t, "/tip?channel=bribery"))
	add("no such page", 404, s.get(t, "/none/%22%3E%3Cscript%3E?lang="+lang))
	add("method not allowed", 405, s.get(t, "/thread/message"))
	add("method not allowed on the form", 405, s.do(t, httptest.NewRequest("PUT", "/tip", nil)))

	for _, c := range refusals {
		if c.prepare != nil || c.request != nil || c.name == "file names too long" {
			continue
		}
		f := s.tipForm(t, hostile).set(t, "leave-out", "alice", hostile)
		for name, values := range c.set {
			f.set(t, name, values...)
		}
		add("refused tip: "+c.name, c.status, s.send(t, f, c.files...))
	}
	blank := s.tipForm(t, hostile)
	receiptPage := add("receipt", 200, s.send(t, blank, tipboxtest.File{Name: hostile, Content: "x"}, tipboxtest.File{Name: "f"}))
	add("other readers", 409, s.send(t, blank.set(t, "leave-out", "bob")))
	words := receiptPage.words(t)
	code := func(typed string) *answer { return s.send(t, s.codeForm(t, typed)) }
	message := add("unanswered thread", 200, code(words)).page.form(t, "/thread/message").set(t, "text", hostile)
	tip := s.read(t).Tip
	s.Reply("bob", tip, hostile)
	add("message kept", 200, s.send(t, message))
	add("message refused", 422, s.send(t, message.set(t, "text", tooLong)))
	sealed, err := s.Store.Get(t.Context(), store.Key("sealed/"+tip+"/000002"))
	if err != nil {
		t.Fatal(err)
	}
	damage := func(value []byte) {
		if err := s.Store.Apply(t.Context(), store.Put(sealed.Key, value)); err != nil {
			t.Fatal(err)
		}
	}
	damage([]byte("damaged"))
	add("damaged thread", 200, code(words))
	damage(sealed.Value)
	for name, typed := range map[string]string{
		"code: empty": "", "code: hostile": hostile, "code: short": "zoo zoo", "code: wrong word": strings.Repeat("abandon ", 11) + "xqxqxq",
		"code: near word": strings.Repeat("abandon ", 11) + "abuot", "code: checksum": strings.Repeat("zoo ", 12),
	} {
		add(name, 422, code(typed))
	}
	add("code: unknown", 404, code(receipt.New().Words(lang)))
	download, proof := receiptPage.page.form(t, "/thread/receipt"), receiptPage.page.form(t, "/thread/proof")
	add("receipt.txt", 200, s.send(t, download))
	add("note.txt", 200, s.send(t, proof))
	practise := func(typed string) *form { return receiptPage.page.form(t, "/thread").set(t, "code", typed) }
	add("code tried", 200, s.send(t, practise(words)))
	add("code tried in vain", 422, s.send(t, practise(hostile)))
	add("malformed code form", 400, s.do(t, httptest.NewRequest("POST", "/thread", strings.NewReader("x"))))
	s.Clock.Advance(time.Hour)
	add("late download", 409, s.send(t, download))
	add("late proof", 409, s.send(t, proof))
	add("late message", 409, s.send(t, message.set(t, "text", hostile), small))
	s.Clock.Advance(72 * time.Hour)
	s.Act("bob", tip, tipbox.Act{Action: tipbox.ActionAck, Text: "We have read it."})
	add("thread of a code that was used before", 200, code(words))
	s.breakOn("scan")
	add("internal error", 500, s.get(t, "/tip"))
	add("thread that cannot be read", 503, code(words))
	add("expired form and no other", 409, s.send(t, blank))
	s.repair()
	fresh := s.tipForm(t, hostile)
	s.breakOn("get")
	add("store", 503, s.send(t, fresh, small))
	s.repair()
	return all
}

func TestEveryPage(t *testing.T) {
	t.Parallel()
	for _, lang := range pageLanguages {
		pages := everyPage(t, lang)
		for _, name := range slices.Sorted(maps.Keys(pages)) {
			a := pages[name]
			t.Run(lang+"/"+name+"/has every header", func(t *testing.T) { checkHeaders(t, name, a) })
			t.Run(lang+"/"+name+"/is in its language and prints no key", func(t *testing.T) { checkLanguage(t, lang, a) })
			if a.page == nil {
				continue
			}
			t.Run(lang+"/"+name+"/is one request without script or third party", func(t *testing.T) { checkLinks(t, a) })
			t.Run(lang+"/"+name+"/allows its own style", func(t *testing.T) { checkStyle(t, a) })
			t.Run(lang+"/"+name+"/refers to ids that there are", func(t *testing.T) { checkIDs(t, a) })
			t.Run(lang+"/"+name+"/is valid", func(t *testing.T) { checkHTML(t, a) })
		}
	}
}

var ownLink = regexp.MustCompile(`^(/|/tip|/thread|/reward|/reward.json|/about|/questions|/who|/threats|#main)(\?lang=[A-Za-z-]+)?$|^/tip\?channel=[a-z-]+(&lang=[A-Za-z-]+)?$`)

// absolute finds an address of another place, whether with a scheme or without. A
// key in base64 may hold two slashes and a letter, and its plus is written &#43; there.
var absolute = regexp.MustCompile(`(?i)https?://.{0,40}|[^a-z0-9+/;]//[a-z].{0,40}`)

func checkLinks(t *testing.T, a *answer) {
	if strings.Contains(a.Body.String(), "<script") || strings.Contains(a.Body.String(), "<img") {
		t.Error("something is not escaped")
	}
	if found := absolute.FindString(a.Body.String()); found != "" {
		t.Errorf("there is an absolute address: %q", found)
	}
	for _, n := range a.page.all(func(*node) bool { return true }) {
		switch n.tag {
		case "script", "img", "iframe", "object", "embed", "audio", "video", "picture", "source", "base", "template":
			t.Errorf("there is a <%s>", n.tag)
		case "svg": // drawn here
			if len(n.tags("path")) != len(n.kids) || len(n.kids) == 0 || n.attr["role"] != "img" || n.attr["aria-label"] == "" {
				t.Errorf("there is an <svg> %v", n.attr)
			}
		case "link":
			if n.attr["rel"] != "icon" || n.attr["href"] != "data:," {
				t.Errorf("there is a <link> %v", n.attr)
			}
		case "a":
			if !ownLink.MatchString(n.attr["href"]) {
				t.Errorf("a link leads to %q", n.attr["href"])
			}
		case "form":
			if n.attr["method"] == "get" && n.attr["action"] == "/reward" {
				break
			}
			if !slices.Contains([]string{"/tip", "/thread", "/thread/message", "/thread/receipt", "/thread/proof", "/thread/erase"}, n.attr["action"]) || n.attr["method"] != "post" {
				t.Errorf("a form: %v", n.attr)
			}
		}
		for name, value := range n.attr {
			if slices.Contains([]string{"style", "src", "srcset", "target", "http-equiv"}, name) || strings.HasPrefix(name, "on") {
				t.Errorf("<%s> has %s=%q", n.tag, name, value)
			}
		}
	}
}

func checkStyle(t *testing.T, a *answer) {
	style := a.page.tags("style")
	if len(style) != 1 {
		t.Fatalf("%d styles", len(style))
	}
	sum := sha256.Sum256([]byte(style[0].inner()))
	hash := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	if csp := a.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "; style-src "+hash+"; ") {
		t.Errorf("the policy %q does not allow the style, %s", csp, hash)
	}
}

func checkLanguage(t *testing.T, lang string, a *answer) {
	said := a.Body.String()
	if a.page != nil {
		html := a.page.tags("html")[0]
		if html.attr["lang"] != lang || html.attr["dir"] != "ltr" {
			t.Errorf("the page is marked %v", html.attr)
		}
		said = strings.ReplaceAll(a.page.inner(), a.page.tags("style")[0].inner(), "")
	}
	said = strings.NewReplacer(hostile, "", tooLong, "", "简体中文", "", "繁體中文", "", "reward.json", "").Replace(said)
	if found := regexp.MustCompile(`\b(nav|home|tip|receipt|thread|message|notice|error|footer|size|reward|proof|suggestion|case)\.[a-z][a-z.]*|%!.{0,20}|<no value>|\{\{`).FindAllString(said, -1); found != nil {
		t.Errorf("it prints %q", found)
	}
	if chinese := regexp.MustCompile(`\p{Han}{4}`).MatchString(said); chinese != (lang == "zh-Hans") {
		t.Errorf("it is written in Chinese: %v", chinese)
	}
}

// Tidy 5.6 does not know these attributes of HTML and of ARIA 1.1.
var newerHTML = regexp.MustCompile(`(<textarea> proprietary attribute "auto(complete|capitalize)"|<a> proprietary attribute "aria-current"|<input> proprietary attribute "inputmode")$`)

func checkHTML(t *testing.T, a *answer) {
	tidy, err := exec.LookPath("tidy")
	if err != nil {
		t.Skip("the program tidy is not installed")
	}
	cmd := exec.CommandContext(t.Context(), tidy, "-q", "-e", "-utf8")
	cmd.Stdin = bytes.NewReader(a.Body.Bytes())
	out, _ := cmd.CombinedOutput() // the status repeats what the output says
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); !newerHTML.MatchString(line) {
			t.Error(line)
		}
	}
}

func checkIDs(t *testing.T, a *answer) {
	ids := make(map[string]int)
	everything := a.page.all(func(*node) bool { return true })
	for _, n := range everything {
		if id := n.attr["id"]; id != "" {
			ids[id]++
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%d elements have the id %s", n, id)
		}
	}
	for _, n := range everything {
		refs := strings.Fields(n.attr["for"] + " " + n.attr["aria-describedby"] + " " + n.attr["aria-labelledby"])
		if n.tag == "a" && strings.HasPrefix(n.attr["href"], "#") {
			refs = append(refs, n.attr["href"][1:])
		}
		for _, ref := range refs {
			if ids[ref] == 0 {
				t.Errorf("<%s> refers to %s, which is not there", n.tag, ref)
			}
		}
	}
	if len(a.page.tags("h1")) != 1 || a.page.tags("title")[0].inner() == "" {
		t.Error("the page has not one heading and a title")
	}
}

func TestHomeAndFormAreSmallEvenForALargeOrganisation(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	for i := range 20 {
		s.Enter(fmt.Sprintf("investigator%02d", i), &roster.Member{
			Roles: []roster.Role{roster.Investigator}, Channels: []string{"bribery"},
			Title: fmt.Sprintf("Chief Inspector Number %d of the City", i), Unit: fmt.Sprintf("Inspectorate %d", i/4),
		})
	}
	s.SetSchedules(shipped(t, "schedule.toml"))
	for _, lang := range pageLanguages {
		for _, path := range []string{"/", "/tip", "/reward"} {
			a := s.get(t, path+"?lang="+lang).want(t, http.StatusOK)
			length := len(unpadded(a.Body.Bytes()))
			if length >= 17<<10 { // with room for the links to a dozen languages, and a warning
				t.Errorf("%s in %s is %d bytes", path, lang, length)
			}
			t.Logf("%s in %s: %d bytes", path, lang, length)
		}
	}
}

func TestWhatTheSourceTypedAndTheDeskWroteIsShownAsItIs(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	refused := s.send(t, s.tipForm(t, "\n"+hostile).set(t, "channel")).want(t, http.StatusUnprocessableEntity)
	if got := refused.page.form(t, "/tip").values.Get("text"); got != "\n"+hostile {
		t.Errorf("the text became %q", got)
	}
	receiptPage := s.tip(t, secret)
	s.Reply("bob", s.read(t).Tip, hostile)
	thread := s.send(t, s.codeForm(t, receiptPage.words(t)))
	if got := thread.articles("desk")[0].tags("p")[0].inner(); got != hostile {
		t.Errorf("the answer became %q", got)
	}
	a := s.send(t, s.codeForm(t, hostile))
	if got := a.page.form(t, "/thread").values.Get("code"); got != hostile {
		t.Errorf("the code became %q", got)
	}
}

func TestNobodyIsListedTwiceAndUnitsLeadTheirPeople(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	for _, name := range []string{"zoe", "dave"} {
		s.Enter(name, &roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{"bribery"}, Unit: "Audit office"})
	}
	s.Install()
	page := s.get(t, "/tip").page
	var values []string
	for _, n := range page.all(func(n *node) bool { return n.attr["name"] == "leave-out" }) {
		values = append(values, n.attr["value"])
	}
	want := []string{"carol", tipbox.LeaveOutUnit("Audit office"), "alice", "dave", "zoe", tipbox.LeaveOutUnit("Inspectorate"), "bob"}
	if !slices.Equal(values, want) {
		t.Errorf("%q can be left out", values)
	}
}
