package web_test

import (
	"fmt"
	"html"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/mux"
	"github.com/pelletier/go-toml/v2"

	"tipbox/static"
	"tipbox/tipbox/tipboxtest"
	"tipbox/tipbox/web"
	"tipbox/tipbox/web/webtest"
)

// routes are the routes that there are, on a router that answers nothing.
func routes(t *testing.T) (all []string, router *mux.Router) {
	t.Helper()
	all, err := web.Routes(web.Config{Service: tipboxtest.New(t, tipboxtest.Config{}).Service})
	if err != nil {
		t.Fatal(err)
	}
	router = mux.NewRouter()
	for _, r := range all {
		method, path, _ := strings.Cut(r, " ")
		router.Handle(path, http.NotFoundHandler()).Methods(method).Name(r)
	}
	return all, router
}

func TestTheWalkTakesEveryRoute(t *testing.T) {
	t.Parallel()
	all, router := routes(t)
	taken := make(map[string]bool)
	for _, s := range webtest.Walk(t, nil, "en") {
		var match mux.RouteMatch
		if router.Match(s.Asked, &match) && match.Route != nil {
			taken[match.Route.GetName()] = true
		}
	}
	if len(taken) < 10 {
		t.Fatalf("it takes %d routes", len(taken))
	}
	for _, r := range all {
		if !strings.HasPrefix(r, "HEAD ") && !taken[r] {
			t.Errorf("%s is reached by no state of webtest", r)
		}
	}
}

func TestTheWalkTakesEveryBranchOfEveryTemplate(t *testing.T) {
	t.Parallel()
	marks := make(map[string]string)
	seen := make(map[string]bool)
	walk := webtest.Walk(t, func(cfg web.Config) (http.Handler, error) { return web.Marked(cfg, marks) }, "en", "zh-Hans")
	for _, s := range walk {
		for word := range strings.FieldsSeq(string(s.Body)) {
			seen[word] = true
		}
	}
	for _, place := range slices.Sorted(maps.Keys(marks)) {
		if !seen[marks[place]] {
			t.Errorf("%s is reached by no state of webtest", place)
		}
	}
	if len(marks) < 50 {
		t.Errorf("there are %d branches", len(marks))
	}
}

// TestTheWalkSaysEveryText finds texts of the catalogue that no state shows, and so
// refusals and states that the walk leaves out.
func TestTheWalkSaysEveryText(t *testing.T) {
	t.Parallel()
	said := make(map[string]string) // by language
	languages := []string{"en", "zh-Hans"}
	for _, s := range webtest.Walk(t, nil, languages...) {
		said[s.Lang] += html.UnescapeString(string(s.Body))
	}
	filled := regexp.MustCompile(`%(\[\d\])?[sd]`)
	left := make(map[string]int)
	for _, lang := range languages {
		data, err := fs.ReadFile(static.Languages(), lang+".toml")
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Text map[string]any `toml:"text"`
		}
		if err := toml.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		for key, value := range file.Text {
			text, ok := value.(string)
			if !ok {
				text, _ = value.(map[string]any)["other"].(string)
			}
			if slices.ContainsFunc(filled.Split(text, -1), func(part string) bool { return !strings.Contains(said[lang], part) }) {
				left[key]++
			}
		}
		if len(file.Text) < 100 {
			t.Errorf("there are %d texts", len(file.Text))
		}
	}
	for key, n := range left {
		if n == len(languages) { // one is said where a text is not in that language
			t.Errorf("%s is said in no state of webtest", key)
		}
	}
}

// faults are what is wrong with states, each told once.
type faults map[string][]*webtest.State

func (f faults) add(s *webtest.State, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	f[text] = append(f[text], s)
}

func (f faults) report(t *testing.T) {
	t.Helper()
	for _, text := range slices.Sorted(maps.Keys(f)) {
		t.Errorf("%s\n\tin %d states, first in %v", text, len(f[text]), f[text][0])
	}
}

// TestEveryStateOfEveryPage looks at every state in every language.
func TestEveryStateOfEveryPage(t *testing.T) {
	t.Parallel()
	languages := webtest.Languages(t)
	if testing.Short() { // as under the race detector, which has no eye for words
		languages = languages[:2]
	}
	lines := make(map[*http.Request]*line)
	walk := webtest.Walk(t, func(cfg web.Config) (http.Handler, error) {
		pages, err := web.New(cfg)
		if err != nil {
			return nil, err
		}
		l := newLine(t, pages)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			lines[r] = l
			l.ServeHTTP(w, r)
		}), nil
	}, languages...)
	t.Run("is as long as the others", func(t *testing.T) {
		f := make(faults)
		seen := make(map[string]bool)
		for _, s := range walk {
			want, listed := lengths[s.Name]
			if !listed {
				want = usual
			}
			lines[s.Asked].checkLength(f, s, want)
			seen[s.Name] = true
		}
		f.report(t)
		for name := range lengths {
			if !seen[name] {
				t.Errorf("there is no state %q", name)
			}
		}
	})
	walk = slices.DeleteFunc(walk, func(s *webtest.State) bool { return !s.IsPage() })
	pages := make(map[*webtest.State]*node)
	for _, s := range walk {
		pages[s] = parse(t, s.Body)
	}
	_, router := routes(t)
	for name, check := range map[string]func(faults, *webtest.State, *node){
		"is small":       checkSize,
		"is one request": checkAlone,
		"has nothing that the policy would refuse": checkPolicy,
		"refers to what is there":                  checkRefs,
		"names its fields":                         checkFields,
		"has a title and headings":                 checkHeadings,
		"is in its language, and says where not":   checkLang,
		"leads where somebody answers":             func(f faults, s *webtest.State, page *node) { checkTargets(f, s, page, router, walk, pages) },
	} {
		t.Run(name, func(t *testing.T) {
			f := make(faults)
			for _, s := range walk {
				check(f, s, pages[s])
			}
			f.report(t)
		})
	}
	t.Run("has a title of its own", func(t *testing.T) { checkTitles(t, walk, pages) })
	t.Run("is valid", func(t *testing.T) { checkValid(t, walk) })
}

// most is how large a page may be before it is padded, in bytes: issue 6. A text that
// is given back may be longer than that by itself.
const most = 20 << 10

func checkSize(f faults, s *webtest.State, page *node) {
	size := len(unpadded(s.Body))
	for _, n := range page.tags("textarea") {
		size -= len(n.inner())
	}
	if size > most {
		f.add(s, "%s has %d bytes", s.Name, size)
	}
}

var (
	fetching = []string{"src", "srcset", "poster", "background", "data", "xlink:href", "ping", "manifest", "action", "href", "cite", "longdesc"}
	loading  = regexp.MustCompile(`(?i)url\s*\(|@import|@font-face|image-set|src\s*\(`)
)

// checkAlone finds what a browser would fetch, or run, besides the page.
func checkAlone(f faults, s *webtest.State, page *node) {
	for _, n := range page.all(func(*node) bool { return true }) {
		switch n.tag {
		case "script", "iframe", "frame", "object", "embed", "audio", "video", "picture", "source", "track", "base", "template", "portal":
			f.add(s, "there is a <%s>", n.tag)
		case "link":
			if !strings.HasPrefix(n.attr["href"], "data:") {
				f.add(s, "a <link> leads to %.60q", n.attr["href"])
			}
		case "style":
			if found := loading.FindString(n.inner()); found != "" {
				f.add(s, "the style has %q", found)
			}
		}
		for _, name := range fetching {
			value, there := n.attr[name]
			if !there || n.tag == "a" || n.tag == "form" || n.tag == "link" || strings.HasPrefix(value, "data:") || strings.HasPrefix(value, "#") {
				continue
			}
			f.add(s, "<%s> has %s=%.60q", n.tag, name, value)
		}
	}
}

// checkPolicy finds what the Content-Security-Policy would refuse: what it does not
// allow would be missing, silently.
func checkPolicy(f faults, s *webtest.State, page *node) {
	for _, n := range page.all(func(*node) bool { return true }) {
		for name, value := range n.attr {
			if name == "style" || name == "http-equiv" || name == "target" || strings.HasPrefix(name, "on") {
				f.add(s, "<%s> has %s=%.60q", n.tag, name, value)
			}
			if strings.HasPrefix(strings.ToLower(strings.TrimSpace(value)), "javascript:") {
				f.add(s, "<%s> has %s=%.60q", n.tag, name, value)
			}
		}
	}
	if n := len(page.tags("style")); n != 1 {
		f.add(s, "there are %d styles", n)
	}
}

// idRefs are the attributes that name elements by their ids.
var idRefs = []string{"for", "headers", "aria-describedby", "aria-labelledby", "aria-controls", "aria-details", "aria-errormessage", "aria-owns", "aria-flowto", "form", "list"}

func ids(page *node) map[string]*node {
	all := make(map[string]*node)
	for _, n := range page.all(func(n *node) bool { return n.attr["id"] != "" }) {
		all[n.attr["id"]] = n
	}
	return all
}

func checkRefs(f faults, s *webtest.State, page *node) {
	all := ids(page)
	if n := len(page.all(func(n *node) bool { return n.attr["id"] != "" })); n != len(all) {
		f.add(s, "%d elements have %d ids", n, len(all))
	}
	for _, n := range page.all(func(*node) bool { return true }) {
		for _, name := range idRefs {
			for ref := range strings.FieldsSeq(n.attr[name]) {
				if all[ref] == nil {
					f.add(s, "<%s %s=%q>: there is no such id", n.tag, name, ref)
				} else if name != "for" && strings.TrimSpace(all[ref].inner()) == "" {
					f.add(s, "<%s %s=%q>: that is empty", n.tag, name, ref)
				}
			}
		}
		if n.tag == "label" && n.attr["for"] != "" {
			if to := all[n.attr["for"]]; to != nil && !slices.Contains([]string{"input", "textarea", "select", "output", "progress", "meter"}, to.tag) {
				f.add(s, "a label is for a <%s>", to.tag)
			}
		}
	}
}

// checkFields finds fields without a name, and errors that are tied to no field.
func checkFields(f faults, s *webtest.State, page *node) {
	named := make(map[string]bool) // by a label that is not around it
	var within []*node             // fields in a label
	for _, n := range page.tags("label") {
		if strings.TrimSpace(n.inner()) == "" {
			f.add(s, "a label is empty")
		}
		named[n.attr["for"]] = true
		within = append(within, n.tags("input", "textarea", "select")...)
	}
	for _, n := range page.tags("input", "textarea", "select") {
		if n.attr["type"] == "hidden" {
			continue
		}
		if !slices.Contains(within, n) && !named[n.attr["id"]] && n.attr["aria-labelledby"] == "" {
			f.add(s, "<%s name=%q> has no label", n.tag, n.attr["name"])
		}
		if n.attr["name"] == "" {
			f.add(s, "<%s id=%q> is never sent", n.tag, n.attr["id"])
		}
		if n.attr["aria-invalid"] == "true" && n.attr["aria-describedby"]+n.attr["aria-errormessage"] == "" {
			f.add(s, "<%s name=%q> is wrong, and nothing says why", n.tag, n.attr["name"])
		}
	}
	for _, n := range page.tags("fieldset") {
		if len(n.tags("legend")) == 0 && n.attr["aria-labelledby"]+n.attr["aria-label"] == "" {
			f.add(s, "a fieldset has no legend")
		}
	}
	for _, n := range page.tags("button") {
		if strings.TrimSpace(n.inner()) == "" {
			f.add(s, "a button is empty")
		}
	}
	for _, n := range page.tags("svg") {
		if n.attr["aria-hidden"] != "true" && (n.attr["role"] != "img" || n.attr["aria-label"]+n.attr["aria-labelledby"] == "" && len(n.tags("title")) == 0) {
			f.add(s, "a drawing has neither a name nor aria-hidden")
		}
	}
	for _, n := range page.tags("img") {
		if _, there := n.attr["alt"]; !there {
			f.add(s, "an image has no alt")
		}
	}
	for _, n := range page.tags("table") {
		if len(n.tags("th")) == 0 {
			f.add(s, "a table has no heads")
		}
	}
}

func checkHeadings(f faults, s *webtest.State, page *node) {
	if n := len(page.tags("h1")); n != 1 {
		f.add(s, "there are %d <h1>", n)
	}
	if n := len(page.tags("main")); n != 1 {
		f.add(s, "there are %d <main>", n)
	}
	// An <svg> may have a <title> too.
	if heads := page.tags("head"); len(heads) != 1 || len(heads[0].tags("title")) != 1 || strings.TrimSpace(heads[0].tags("title")[0].inner()) == "" {
		f.add(s, "there is not one title")
	}
	level := 0
	for _, n := range page.tags("h1", "h2", "h3", "h4", "h5", "h6") {
		l := int(n.tag[1] - '0')
		if l > level+1 {
			f.add(s, "%s: <%s> stands below <h%d>", s.Name, n.tag, level)
		}
		if level = l; strings.TrimSpace(n.inner()) == "" {
			f.add(s, "a <%s> is empty", n.tag)
		}
	}
}

// checkTitles finds different pages with the same title, by which a tab or a
// bookmark is known.
func checkTitles(t *testing.T, walk []*webtest.State, pages map[*webtest.State]*node) {
	f := make(faults)
	known := make(map[string]string)
	for _, s := range walk {
		title := s.Lang + " " + pages[s].tags("title")[0].inner()
		heading := strings.TrimSpace(pages[s].tags("h1")[0].inner())
		if other, ok := known[title]; ok && other != heading && s.Asked.URL.Path != "/thread/voucher" {
			f.add(s, "%q is the title of %q and of %q", title, other, heading)
		}
		known[title] = heading
	}
	f.report(t)
}

// rightToLeft are the languages of ours that might be, by their first subtag.
var rightToLeft = []string{"ar", "fa", "he", "ur"}

func checkLang(f faults, s *webtest.State, page *node) {
	root := page.tags("html")[0]
	dir := "ltr"
	if base, _, _ := strings.Cut(s.Lang, "-"); slices.Contains(rightToLeft, base) {
		dir = "rtl"
	}
	if root.attr["lang"] != s.Lang || root.attr["dir"] != dir {
		f.add(s, "%s: the page is marked %v", s.Lang, root.attr)
	}
	checkForeign(f, s, root, s.Lang)
	for _, n := range page.all(func(*node) bool { return true }) {
		if slices.Contains(strings.Fields(n.attr["class"]), "code") && n.attr["dir"] != "ltr" {
			f.add(s, "<%s id=%q> is a code, and may be read in another order from right to left", n.tag, n.attr["id"])
		}
		if (n.tag == "textarea" || n.attr["class"] == "text") && n.attr["dir"] != "auto" {
			f.add(s, "<%s id=%q> has not the direction of what is written there", n.tag, n.attr["id"])
		}
	}
}

// script is the script of a language, as far as it tells its texts from others.
func script(lang string) string {
	switch base, _, _ := strings.Cut(lang, "-"); base {
	case "zh", "ja":
		return "Han"
	case "ko":
		return "Hangul"
	case "ru":
		return "Cyrillic"
	case "ar":
		return "Arabic"
	case "hi":
		return "Devanagari"
	}
	return "Latin"
}

var (
	latin    = regexp.MustCompile(`\p{Latin}{2,}[\p{Latin}'’-]*([ ,;.]+\p{Latin}{2,}[\p{Latin}'’-]*){2,}`) // three words
	notLatin = regexp.MustCompile(`[\p{Han}\p{Hangul}\p{Cyrillic}\p{Arabic}\p{Devanagari}]{2,}`)
)

// checkForeign finds texts that are in another script than the language that they
// are marked with: whoever has the page read aloud hears nonsense. What people wrote,
// codes, and the words of codes that a notice proposes are not marked.
func checkForeign(f faults, s *webtest.State, n *node, lang string) {
	if n.attr["lang"] != "" {
		lang = n.attr["lang"]
	}
	switch {
	case n.tag == "textarea", n.tag == "style", n.tag == "title", n.attr["class"] == "text",
		slices.Contains([]string{"voucher-text", "root-fingerprint"}, n.attr["id"]),
		n.attr["id"] == "notice" && s.Name == "code: a word misspelt":
		return
	}
	if n.tag == "" {
		if found := latin.FindString(n.text); found != "" && script(lang) != "Latin" {
			f.add(s, "%q is marked %s", found, lang)
		}
		if found := notLatin.FindString(n.text); found != "" && script(lang) == "Latin" {
			f.add(s, "%q is marked %s", found, lang)
		}
		return
	}
	for _, kid := range n.kids {
		checkForeign(f, s, kid, lang)
	}
}

// checkTargets finds links and forms that lead nowhere.
func checkTargets(f faults, s *webtest.State, page *node, router *mux.Router, walk []*webtest.State, pages map[*webtest.State]*node) {
	lead := func(n *node, method, target string) {
		u, err := url.Parse(target)
		if err != nil || u.IsAbs() || u.Host != "" {
			f.add(s, "<%s> leads to %.100q", n.tag, target)
			return
		}
		there := page
		if u.Path != "" {
			there = nil
			for _, other := range walk {
				if other.Asked.Method == method && other.Asked.URL.Path == u.Path && other.Lang == s.Lang && other.Status == http.StatusOK {
					there = pages[other]
				}
			}
			var match mux.RouteMatch
			if there == nil && (!router.Match(&http.Request{Method: method, URL: u}, &match) || match.MatchErr != nil) {
				f.add(s, "<%s> leads to %s %s, which nobody answers", n.tag, method, target)
				return
			}
		}
		if u.Fragment != "" && (there == nil || ids(there)[u.Fragment] == nil) {
			f.add(s, "<%s> leads to %s, where that id is not", n.tag, target)
		}
	}
	for _, n := range page.tags("a") {
		says := n.inner() + n.attr["aria-label"]
		for _, img := range n.tags("img") {
			says += img.attr["alt"]
		}
		if n.attr["href"] == "" || strings.TrimSpace(says) == "" {
			f.add(s, "a link leads to %q and says %q", n.attr["href"], says)
			continue
		}
		lead(n, http.MethodGet, n.attr["href"])
	}
	for _, form := range page.tags("form") {
		method := strings.ToUpper(form.attr["method"])
		if lead(form, method, form.attr["action"]); strings.Contains(form.attr["action"], "#") {
			f.add(s, "a form leads to %s: text browsers then ask nobody; name the place on the button", form.attr["action"])
		}
		for _, n := range form.tags("button") {
			if to := n.attr["formaction"]; to != "" {
				lead(n, method, to)
			}
		}
	}
}

// checkValid has tidy look at all of them.
func checkValid(t *testing.T, walk []*webtest.State) {
	tidy, err := exec.LookPath("tidy")
	if err != nil {
		t.Skip("the program tidy is not installed")
	}
	args := []string{"-q", "-e", "-utf8", "--gnu-emacs", "yes"}
	dir := t.TempDir()
	for i, s := range walk {
		file := filepath.Join(dir, fmt.Sprintf("%d.html", i))
		if err := os.WriteFile(file, s.Body, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	out, _ := exec.CommandContext(t.Context(), tidy, args...).CombinedOutput() // the status repeats what the output says
	f := make(faults)
	place := regexp.MustCompile(`^.*?(\d+)\.html:\d+:\d+: (.*)$`)
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		i, said := 0, line
		if m := place.FindStringSubmatch(line); m != nil {
			fmt.Sscan(m[1], &i)
			said = m[2]
		}
		if line != "" && !newerHTML.MatchString(line) {
			f.add(walk[i], "%s", said)
		}
	}
	f.report(t)
}
