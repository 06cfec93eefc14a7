package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tipbox/static"
)

// A page is what a template gets.
type page struct {
	*pageLanguage
	Organisation string
	Title        string // key
	Path         string // of the page that GET shows; "" if there is none
	LangQuery    string // "?lang=TAG" if the language was chosen by a link
	Languages    []*pageLanguage
	Notice       *notice
	Style        template.CSS
	Data         any
}

// A notice stands above a page's text.
type notice struct {
	Text string
	Bad  bool
}

// T is the text under a key in the page's language.
func (l *pageLanguage) T(key string, args ...any) string { return l.printer.Sprintf(key, args...) }

func (l *pageLanguage) bad(key string, args ...any) *notice { return &notice{l.T(key, args...), true} }

// In picks the page's language among texts by language tag, else English.
func (l *pageLanguage) In(texts map[string]string) string {
	if text, ok := texts[l.Tag]; ok {
		return text
	}
	return texts["en"]
}

// size writes a number of bytes in the largest unit that divides it, or nearly.
func (l *pageLanguage) size(n int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.size {
			return strings.TrimSuffix(strconv.FormatFloat(float64(n)/float64(unit.size), 'f', 1, 64), ".0") + " " + unit.name
		}
	}
	return l.T("size.bytes", strconv.FormatInt(n, 10))
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
		Style:        s.pages.style,
	}
	if explicit {
		p.LangQuery = "?lang=" + l.Tag
	}
	if r.Method != http.MethodPost {
		p.Path, p.Languages = r.URL.Path, s.langs.all
	}
	return p
}

type pages struct {
	byName    map[string]*template.Template
	style     template.CSS
	styleHash string // for the Content-Security-Policy
}

// loadPages parses each page with the layout and the parts that pages share.
func loadPages() (*pages, error) {
	css := static.Style()
	sum := sha256.Sum256([]byte(css))
	ps := &pages{
		byName:    make(map[string]*template.Template),
		style:     template.CSS(css),
		styleHash: "sha256-" + base64.StdEncoding.EncodeToString(sum[:]),
	}
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

// render sends a page.
func (s *site) render(w http.ResponseWriter, status int, name string, p *page) error {
	var out bytes.Buffer
	if err := s.pages.byName[name].ExecuteTemplate(&out, "layout", p); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	return s.send(w, status, "text/html; charset=utf-8", out.Bytes())
}

func (s *site) send(w http.ResponseWriter, status int, contentType string, body []byte) error {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime))
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // an error here is a client that went away
	return nil
}
