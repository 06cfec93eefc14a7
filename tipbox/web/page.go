package web

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/number"

	"tipbox/static"
)

// A page is what a template gets.
type page struct {
	*pageLanguage
	Organisation string
	Title        string // key
	Heading      string // in the place of Title, if the site wrote it itself
	Path         string // of the page that GET shows; "" if there is none
	LangQuery    string // "?lang=TAG" if the language was chosen by a link
	Languages    []*pageLanguage
	About        []*pageLink // in the footer
	Notice       *notice
	Look         *Look
	Clear        bool   // whoever asked for it may have come without Tor
	Onion        string // where to come by it; "" if there is no such address
	Data         any

	kept url.Values // what a link to another language must not lose
}

// words are a language as templates see it: texts come as HTML, so that days and
// names in other languages can be marked within them.
type words struct{ *pageLanguage }

// T is the text under a key.
func (w words) T(key string, args ...any) template.HTML { return w.html(key, args...) }

// A view is a page as templates see it.
type view struct{ *page }

// T is the text under a key in the page's language.
func (v view) T(key string, args ...any) template.HTML { return v.html(key, args...) }

// InLanguage is the address of the same page in another language.
func (p *page) InLanguage(tag string) string {
	if p.kept == nil {
		return p.Path + "?lang=" + tag
	}
	query := url.Values{"lang": {tag}}
	maps.Copy(query, p.kept)
	return p.Path + "?" + query.Encode()
}

// Link is the address of a page with one field of its query, in the page's language.
func (p *page) Link(path, field, value string) string {
	query := url.Values{field: {value}}
	if p.LangQuery != "" {
		query.Set("lang", p.Tag)
	}
	return path + "?" + query.Encode()
}

// A notice stands above a page's text.
type notice struct {
	Text string
	Bad  bool
}

// T is the text under a key in the page's language.
func (l *pageLanguage) T(key string, args ...any) string { return l.printer.Sprintf(key, args...) }

func (l *pageLanguage) bad(key string, args ...any) *notice { return &notice{l.T(key, args...), true} }

// html is the text under a key, in which HTML among the arguments stays what it
// is, and all else is escaped.
func (l *pageLanguage) html(key string, args ...any) template.HTML {
	if fixed, ok := l.fixed[key]; ok && len(args) == 0 {
		return fixed
	}
	const first, last = '\ue000', '\uf8ff' // for private use: they stand in for HTML
	var pairs []string
	filled := make([]any, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case template.HTML:
			filled[i] = string(first + rune(i))
			pairs = append(pairs, string(first+rune(i)), string(arg))
		case string:
			filled[i] = strings.Map(func(c rune) rune {
				if c >= first && c <= last {
					return utf8.RuneError
				}
				return c
			}, arg)
		default:
			filled[i] = arg
		}
	}
	text := template.HTMLEscapeString(l.T(key, filled...))
	return template.HTML(strings.NewReplacer(pairs...).Replace(text))
}

// In picks the page's language among texts by language tag, else English, which is
// marked as such, so that whoever is read to hears it in its own voice.
func (l *pageLanguage) In(texts map[string]string) template.HTML {
	text, ok := l.pick(texts)
	if ok {
		return template.HTML(template.HTMLEscapeString(text))
	}
	return l.mark(text, &pageLanguage{Tag: "en", Dir: "ltr"})
}

// pick is the same as plain text, and whether it is in the page's language.
func (l *pageLanguage) pick(texts map[string]string) (text string, ok bool) {
	if text, ok = texts[l.Tag]; ok {
		return text, true
	}
	return texts["en"], false
}

// mark is a text that is in a language, marked if that is not the page's.
func (l *pageLanguage) mark(text string, in *pageLanguage) template.HTML {
	text = template.HTMLEscapeString(text)
	if in.Tag == l.Tag || text == "" {
		return template.HTML(text)
	}
	return template.HTML(`<span lang="` + in.Tag + `" dir="` + in.Dir + `">` + text + `</span>`)
}

// Date is a day, 2006-01-02, as the language writes it.
func (l *pageLanguage) Date(day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	digits := func(n int) any { return number.Decimal(n, number.NoSeparator()) }
	return l.printer.Sprintf(l.date, digits(t.Day()), l.months[t.Month()-1], digits(t.Year()))
}

// Day is the same for programs too; "" if there is none.
func (l *pageLanguage) Day(day string) template.HTML {
	if day == "" {
		return ""
	}
	return template.HTML(`<time datetime="` + template.HTMLEscapeString(day) + `">` + template.HTMLEscapeString(l.Date(day)) + `</time>`)
}

// size writes a number of bytes in the largest unit that divides it, or nearly.
func (l *pageLanguage) size(n int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.size {
			return l.printer.Sprint(number.Decimal(float64(n)/float64(unit.size), number.MaxFractionDigits(1))) + "\u00a0" + unit.name
		}
	}
	return l.T("size.bytes", l.printer.Sprint(number.Decimal(n)))
}

// newPage makes a page for a request without a form.
func (s *site) newPage(r *http.Request, title string) *page { return s.newPageIn(r, "", title) }

// newPageIn makes a page in the language that a form named.
func (s *site) newPageIn(r *http.Request, lang, title string) *page {
	l, explicit := s.langs.choose(r, lang)
	p := &page{
		pageLanguage: l,
		Organisation: s.service.Roster().Organisation,
		Title:        title,
		Look:         s.look,
	}
	if explicit {
		p.LangQuery = "?lang=" + l.Tag
	}
	if r.Method != http.MethodPost {
		p.Path, p.Languages, p.About = r.URL.Path, s.langs.all, s.about(p)
		if !overOnion(r) {
			p.Clear, p.Onion = true, s.onion
		}
	}
	return p
}

type pages struct {
	byName map[string]*template.Template
}

// loadPages parses each page with the layout and the parts that pages share.
func loadPages() (*pages, error) {
	ps := &pages{byName: make(map[string]*template.Template)}
	names, err := fs.Glob(static.Pages(), "*.html")
	if err != nil {
		return nil, err
	}
	for _, file := range names {
		name := strings.TrimSuffix(file, ".html")
		if name == "layout" || name == "message" || name == "award" {
			continue
		}
		t, err := template.New(name).Option("missingkey=error").ParseFS(static.Pages(), "layout.html", "message.html", "award.html", file)
		if err != nil {
			return nil, fmt.Errorf("page %s: %w", name, err)
		}
		ps.byName[name] = t
	}
	return ps, nil
}

const htmlType = "text/html; charset=utf-8"

// render sends a page.
func (s *site) render(w http.ResponseWriter, status int, name string, p *page) error {
	html, err := s.execute(name, p)
	if err != nil {
		return err
	}
	p.leadToOnion(w)
	return s.send(w, status, htmlType, html)
}

func (s *site) execute(name string, p *page) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(shortest)
	if err := s.pages.byName[name].ExecuteTemplate(&out, "layout", view{p}); err != nil {
		return nil, fmt.Errorf("page %s: %w", name, err)
	}
	return out.Bytes(), nil
}
