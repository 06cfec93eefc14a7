package static_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"tipbox/static"
)

type language struct {
	Name   string         `toml:"name"`
	Dir    string         `toml:"dir"`
	Date   string         `toml:"date"`
	Months []string       `toml:"months"`
	Text   map[string]any `toml:"text"`
}

// forms are the texts of a key: one, or one for each plural category.
func (l *language) forms(t *testing.T, key string) map[string]string {
	t.Helper()
	switch value := l.Text[key].(type) {
	case string:
		return map[string]string{"": value}
	case map[string]any:
		forms := make(map[string]string)
		for category, text := range value {
			if !slices.Contains([]string{"zero", "one", "two", "few", "many", "other"}, category) {
				t.Errorf("%s: there is no plural category %q", key, category)
			}
			forms[category], _ = text.(string)
		}
		if forms["other"] == "" {
			t.Errorf("%s lacks the category other", key)
		}
		return forms
	}
	t.Errorf("%s is neither a text nor a table", key)
	return nil
}

func languages(t *testing.T) map[string]*language {
	t.Helper()
	names, err := fs.Glob(static.Languages(), "*.toml")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*language)
	for _, name := range names {
		l := new(language)
		decode(t, static.Languages(), name, l)
		all[strings.TrimSuffix(name, ".toml")] = l
	}
	if len(all) < 2 || all["en"] == nil {
		t.Fatalf("the languages are %q", names)
	}
	return all
}

func decode(t *testing.T, fsys fs.FS, name string, v any) {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := toml.NewDecoder(f).DisallowUnknownFields().Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestEveryLanguageHasExactlyTheKeysOfEnglish(t *testing.T) {
	all := languages(t)
	for tag, l := range all {
		if l.Name == "" || l.Dir != "ltr" && l.Dir != "rtl" {
			t.Errorf("%s: name %q, dir %q", tag, l.Name, l.Dir)
		}
		for key := range all["en"].Text {
			if l.Text[key] == nil {
				t.Errorf("%s lacks %s", tag, key)
			}
		}
		for key := range l.Text {
			if all["en"].Text[key] == nil {
				t.Errorf("%s has %s, which English has not", tag, key)
			}
			for category, text := range l.forms(t, key) {
				if text == "" || text != strings.TrimSpace(text) {
					t.Errorf("%s: %s %s is %q", tag, key, category, text)
				}
			}
		}
	}
}

var (
	placeholder = regexp.MustCompile(`%(\[(\d)\])?(.)`)
	category    = regexp.MustCompile(`^(one|zero|two)$`) // may say its number in words
)

// placeholders lists what a text wants filled in, by position: "1d 2s".
func placeholders(t *testing.T, key, text string) string {
	t.Helper()
	var wanted []string
	found := placeholder.FindAllStringSubmatch(text, -1)
	for _, p := range found {
		position := p[2]
		if position == "" {
			position = "1"
			if len(found) > 1 {
				t.Errorf("%s: with several placeholders each has its number: %q", key, text)
			}
		}
		if p[3] != "s" && p[3] != "d" {
			t.Errorf("%s: placeholder %q", key, p[0])
		}
		wanted = append(wanted, position+p[3])
	}
	slices.Sort(wanted)
	return strings.Join(slices.Compact(wanted), " ")
}

func TestEveryLanguageWritesDays(t *testing.T) {
	for tag, l := range languages(t) {
		if got := placeholders(t, tag+": date", l.Date); got != "1d 2s 3d" {
			t.Errorf("%s: a date wants %q, not the day, the month and the year", tag, got)
		}
		seen := make(map[string]bool)
		for _, month := range l.Months {
			if month == "" || month != strings.TrimSpace(month) || seen[month] {
				t.Errorf("%s: a month is %q, or two are", tag, month)
			}
			seen[month] = true
		}
		if len(l.Months) != 12 {
			t.Errorf("%s has %d months", tag, len(l.Months))
		}
	}
}

func TestEveryDefaultTextIsWrittenInEveryLanguage(t *testing.T) {
	files, err := fs.Glob(static.Site("no such folder"), "pages/*")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, file := range files {
		name, _, _ := strings.Cut(filepath.Base(file), ".")
		names[name] = true
	}
	for _, name := range []string{"about", "questions", "who", "threats"} {
		if !names[name] {
			t.Errorf("there is no %s", name)
		}
	}
	for name := range names {
		english, err := fs.ReadFile(static.Site("no such folder"), "pages/"+name+".en.md")
		if err != nil {
			t.Fatal(err)
		}
		for tag := range languages(t) {
			text, err := fs.ReadFile(static.Site("no such folder"), "pages/"+name+"."+tag+".md")
			if err != nil {
				t.Error(err)
				continue
			}
			for _, mark := range []string{"\n## ", "\n- ", "](/", "\n**"} {
				if got, want := strings.Count(string(text), mark), strings.Count(string(english), mark); got != want {
					t.Errorf("%s in %s has %d times %q, in English %d", name, tag, got, mark, want)
				}
			}
		}
	}
}

func TestEveryTextWantsTheSameFilledInAsEnglish(t *testing.T) {
	all := languages(t)
	for key := range all["en"].Text {
		forms := all["en"].forms(t, key)
		want := placeholders(t, key, forms["other"]+forms[""])
		for tag, l := range all {
			for form, text := range l.forms(t, key) {
				if got := placeholders(t, key, text); got != want && !(category.MatchString(form) && got == "") {
					t.Errorf("%s: %s %s wants %q, in English %q", tag, key, form, got, want)
				}
			}
		}
	}
}

// sources are the templates and the code that show texts.
func sources(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	pages, err := fs.Glob(static.Pages(), "*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pages {
		text, err := fs.ReadFile(static.Pages(), name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(text)
	}
	code, err := filepath.Glob(filepath.Join("..", "tipbox", "web", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range code {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = string(text)
	}
	if len(pages) < 5 || len(all)-len(pages) < 5 {
		t.Fatalf("there is too little to search: %q", slices.Sorted(maps.Keys(all)))
	}
	return all
}

func TestEveryKeyIsUsedAndEveryKeyUsedIsThere(t *testing.T) {
	texts := languages(t)["en"].Text
	groups := make(map[string]bool)
	for key := range texts {
		group, _, _ := strings.Cut(key, ".")
		groups[group] = true
	}
	quoted := regexp.MustCompile(`"([a-z]+)((\.[a-z0-9]+)+)"`)
	used := make(map[string]bool)
	for name, source := range sources(t) {
		for _, match := range quoted.FindAllStringSubmatch(source, -1) {
			key := match[1] + match[2]
			if !groups[match[1]] || slices.Contains([]string{".html", ".toml", ".txt"}, filepath.Ext(key)) {
				continue
			}
			used[key] = true
			if texts[key] == nil {
				t.Errorf("%s uses %s, which no language has", name, key)
			}
		}
		for _, match := range regexp.MustCompile(`\.T "([^"]*)"`).FindAllStringSubmatch(source, -1) {
			if texts[match[1]] == nil {
				t.Errorf("%s uses %q, which no language has", name, match[1])
			}
		}
	}
	for key := range texts {
		if !used[key] {
			t.Errorf("nothing uses %s", key)
		}
	}
}

func TestStyleIsSmallAndLoadsNothing(t *testing.T) {
	css := static.Style()
	if len(css) >= 8<<10 {
		t.Errorf("the style is %d bytes", len(css))
	}
	if found := regexp.MustCompile(`(?i)url\s*\(|@import|@font-face|image-set|src\(|expression|</|[<\\]`).FindString(css); found != "" {
		t.Errorf("the style holds %q", found)
	}
	if strings.Count(css, "{") != strings.Count(css, "}") {
		t.Error("the style's braces do not pair")
	}
}

// A custom property that is not defined makes its declaration void, silently.
func TestEveryPropertyThatTheStyleUsesIsDefined(t *testing.T) {
	css := static.Style()
	for _, match := range regexp.MustCompile(`var\((--[a-z-]+)\)`).FindAllStringSubmatch(css, -1) {
		if !strings.Contains(css, match[1]+":") {
			t.Errorf("%s is not defined", match[1])
		}
	}
}

func TestEveryClassOfThePagesIsStyledAndEveryStyledOneIsUsed(t *testing.T) {
	css := static.Style()
	styled := make(map[string]bool)
	for _, match := range regexp.MustCompile(`\.([a-z][a-z-]*)`).FindAllStringSubmatch(css, -1) {
		styled[match[1]] = true
	}
	used := make(map[string]bool)
	for name, source := range sources(t) {
		if !strings.HasSuffix(name, ".html") {
			continue
		}
		for _, match := range regexp.MustCompile(`class="([^"]*)"`).FindAllStringSubmatch(source, -1) {
			classes := regexp.MustCompile(`\{\{[^}]*\}\}`).ReplaceAllString(match[1], " ")
			for class := range strings.FieldsSeq(classes) {
				used[class] = true
				if !styled[class] {
					t.Errorf("%s: nothing styles the class %s", name, class)
				}
			}
		}
	}
	for class := range styled {
		if !used[class] {
			t.Errorf("no page has the class %s", class)
		}
	}
}

func TestEveryDefaultChannelIsWrittenInEveryLanguage(t *testing.T) {
	var site struct {
		Channel []struct {
			ID       string            `toml:"id"`
			Title    map[string]string `toml:"title"`
			Guidance map[string]string `toml:"guidance"`
			Proof    bool              `toml:"proof"`
			Kind     string            `toml:"kind"`
		} `toml:"channel"`
	}
	decode(t, static.Site("no such folder"), "channels.toml", &site)
	if len(site.Channel) == 0 {
		t.Fatal("there are no channels")
	}
	seen := make(map[string]bool)
	for _, c := range site.Channel {
		if !regexp.MustCompile(`^[a-z][a-z0-9-]*$`).MatchString(c.ID) || seen[c.ID] {
			t.Errorf("a channel has the id %q, or two have", c.ID)
		}
		seen[c.ID] = true
		for tag := range languages(t) {
			if c.Title[tag] == "" || c.Guidance[tag] == "" {
				t.Errorf("channel %s has no title or guidance in %s", c.ID, tag)
			}
		}
		if len(c.Title) != len(c.Guidance) {
			t.Errorf("channel %s: titles and guidance are in different languages", c.ID)
		}
	}
}

func TestTheFoldersOfASiteAreReadTogether(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "pages"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"about.en.md", "zoo.en.md"} {
		if err := os.WriteFile(filepath.Join(dir, "pages", name), []byte("# Mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := fs.Glob(static.Site(dir), "pages/*.en.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"pages/about.en.md", "pages/questions.en.md", "pages/threats.en.md", "pages/who.en.md", "pages/zoo.en.md"}; !slices.Equal(files, want) {
		t.Errorf("the files are %q, want %q", files, want)
	}
	if _, err := fs.ReadDir(static.Site(dir), "none"); err == nil {
		t.Error("a folder that is nowhere can be read")
	}
}

func TestAnOperatorsFileTakesThePlaceOfTheDefaultOne(t *testing.T) {
	dir := t.TempDir()
	read := func(name string) string {
		t.Helper()
		text, err := fs.ReadFile(static.Site(dir), name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if !strings.Contains(read("channels.toml"), "off-book-funds") {
		t.Error("an empty folder overrides the default")
	}
	if err := os.WriteFile(filepath.Join(dir, "channels.toml"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read("channels.toml"); got != "mine" {
		t.Errorf("the operator's file reads %.40q", got)
	}
	for _, name := range []string{"none.toml", "../static.go", "/etc/passwd"} {
		if _, err := fs.ReadFile(static.Site(dir), name); err == nil {
			t.Errorf("%s can be read", name)
		}
	}
}
