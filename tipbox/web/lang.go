package web

import (
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/message/catalog"

	"tipbox/static"
)

// A pageLanguage is one of the languages that pages are written in.
type pageLanguage struct {
	Tag  string // BCP 47
	Name string // in itself
	Dir  string // ltr or rtl

	date   string // a day: %[1]d of the month, %[2]s, %[3]d the year
	months []string

	texts   map[string]any           // by key: a string, or plural forms by category
	fixed   map[string]template.HTML // those in which nothing is filled in
	printer *message.Printer
}

type languages struct {
	all     []*pageLanguage // English first, then by tag
	matcher language.Matcher
}

// loadLanguages reads every lang/TAG.toml.
func loadLanguages() (*languages, error) {
	names, err := fs.Glob(static.Languages(), "*.toml")
	if err != nil {
		return nil, err
	}
	slices.SortFunc(names, func(a, b string) int {
		if (a == "en.toml") != (b == "en.toml") {
			return map[bool]int{true: -1, false: 1}[a == "en.toml"]
		}
		return strings.Compare(a, b)
	})
	ls := new(languages)
	var tags []language.Tag
	texts := catalog.NewBuilder(catalog.Fallback(language.English))
	for _, name := range names {
		l, tag, err := loadLanguage(name, texts)
		if err != nil {
			return nil, fmt.Errorf("language file %s: %w", name, err)
		}
		ls.all = append(ls.all, l)
		tags = append(tags, tag)
	}
	for i, l := range ls.all {
		l.printer = message.NewPrinter(tags[i], message.Catalog(texts))
	}
	ls.matcher = language.NewMatcher(tags)
	return ls, nil
}

func loadLanguage(name string, texts *catalog.Builder) (*pageLanguage, language.Tag, error) {
	data, err := fs.ReadFile(static.Languages(), name)
	if err != nil {
		return nil, language.Und, err
	}
	var file struct {
		Name   string         `toml:"name"`
		Dir    string         `toml:"dir"`
		Date   string         `toml:"date"`
		Months []string       `toml:"months"`
		Text   map[string]any `toml:"text"`
	}
	if err := toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields().Decode(&file); err != nil {
		return nil, language.Und, err
	}
	if len(file.Months) != 12 {
		return nil, language.Und, fmt.Errorf("it has %d months", len(file.Months))
	}
	l := &pageLanguage{
		Tag: strings.TrimSuffix(name, ".toml"), Name: file.Name, Dir: file.Dir, date: file.Date, months: file.Months, texts: file.Text,
		fixed: make(map[string]template.HTML),
	}
	tag, err := language.Parse(l.Tag)
	if err != nil {
		return nil, language.Und, err
	}
	for key, value := range file.Text {
		switch value := value.(type) {
		case string:
			err = texts.SetString(tag, key, value)
			if !strings.Contains(value, "%") {
				l.fixed[key] = template.HTML(template.HTMLEscapeString(value))
			}
		case map[string]any:
			var cases []any
			for _, category := range slices.Sorted(maps.Keys(value)) {
				if category != "other" {
					cases = append(cases, category, value[category])
				}
			}
			cases = append(cases, "other", value["other"]) // must stand last
			err = texts.Set(tag, key, plural.Selectf(1, "%d", cases...))
		default:
			err = fmt.Errorf("it is neither a text nor a table of plural forms")
		}
		if err != nil {
			return nil, language.Und, fmt.Errorf("key %q: %w", key, err)
		}
	}
	return l, tag, nil
}

// tagged is the language of a tag, nil if there is none.
func (ls *languages) tagged(tag string) *pageLanguage {
	for _, l := range ls.all {
		if l.Tag == tag {
			return l
		}
	}
	return nil
}

func (ls *languages) tags() (tags []string) {
	for _, l := range ls.all {
		tags = append(tags, l.Tag)
	}
	return tags
}

// choose returns the language of a request: the one it names in the form or
// the query, else the best of Accept-Language. Named tells which.
func (ls *languages) choose(r *http.Request, named string) (l *pageLanguage, explicit bool) {
	if named == "" {
		named = r.URL.Query().Get("lang")
	}
	if l := ls.tagged(named); l != nil {
		return l, true
	}
	accept := r.Header.Get("Accept-Language")
	if len(accept) > 200 {
		accept = ""
	}
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err != nil {
		return ls.all[0], false
	}
	// The index is into our own list: the matcher's tag may be another.
	_, i, _ := ls.matcher.Match(tags...)
	return ls.all[i], false
}
