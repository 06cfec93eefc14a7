package web

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/gorilla/mux"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"
	mdtext "github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// A text is a page that the site writes itself, in Markdown, at /NAME. It is the
// same for everybody.
type text struct {
	name     string
	versions []*textVersion // in the order of the languages: English first
}

// A textVersion is a text in one language.
type textVersion struct {
	lang  *pageLanguage
	title string
	plain template.HTML // without the heading
	named template.HTML // the same; links within the site name the language
}

const (
	textFolder  = "pages"
	maxTextFile = 12 << 10 // bytes of a file: with style and frame a page stays below 20 KB
)

// textsFirst are the names that lead in the footer; others follow by name.
var textsFirst = []string{"about", "questions", "who", "threats"}

// loadTexts reads pages/NAME.TAG.md. An empty file takes its text away: that in
// English, which stands in for languages without a text, the whole page.
func loadTexts(site fs.FS, langs *languages) ([]*text, error) {
	files, err := fs.ReadDir(site, textFolder)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]*text)
	gone := make(map[string]bool)
	for _, l := range langs.all { // files in the order of the languages
		for _, f := range files {
			name, ok := strings.CutSuffix(f.Name(), "."+l.Tag+".md")
			if !ok || strings.Contains(name, ".") {
				continue
			}
			v, err := loadText(site, path.Join(textFolder, f.Name()), l)
			if err != nil {
				return nil, err
			}
			if v == nil {
				gone[name] = gone[name] || l == langs.all[0]
				continue
			}
			if byName[name] == nil {
				byName[name] = &text{name: name}
			}
			byName[name].versions = append(byName[name].versions, v)
		}
	}
	for _, f := range files {
		if err := checkTextName(f.Name(), langs); err != nil {
			return nil, fmt.Errorf("%s: %w", path.Join(textFolder, f.Name()), err)
		}
	}
	var texts []*text
	for _, t := range byName {
		if !gone[t.name] {
			texts = append(texts, t)
		}
	}
	slices.SortFunc(texts, func(a, b *text) int {
		place := func(t *text) int {
			if i := slices.Index(textsFirst, t.name); i >= 0 {
				return i
			}
			return len(textsFirst)
		}
		if d := place(a) - place(b); d != 0 {
			return d
		}
		return strings.Compare(a.name, b.name)
	})
	return texts, nil
}

var (
	textName      = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	programRoutes = sync.OnceValue(func() *mux.Router { return new(site).fixedRoutes() })
)

// checkTextName checks the name of a file of site/pages: it must be none that the
// program's own routes have.
func checkTextName(file string, langs *languages) error {
	name, tag, ok := strings.Cut(strings.TrimSuffix(file, ".md"), ".")
	switch {
	case !ok || !strings.HasSuffix(file, ".md") || !textName.MatchString(name):
		return errors.New("name it NAME.LANGUAGE.md, with a name of small letters, digits and hyphens")
	case langs.tagged(tag) == nil:
		return fmt.Errorf("no page is in the language %q: take one of %s", tag, strings.Join(langs.tags(), ", "))
	case programRoutes().Match(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/" + name}}, new(mux.RouteMatch)):
		return fmt.Errorf("/%s is a page of the program: take another name", name)
	}
	return nil
}

// markdown knows CommonMark and tables. Raw HTML and addresses that run
// something are left out by it, and refused before.
var markdown = goldmark.New(
	goldmark.WithExtensions(extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignNone))),
	goldmark.WithRendererOptions(html.WithXHTML()),
)

// loadText reads one file, nil if it is empty.
func loadText(site fs.FS, file string, l *pageLanguage) (*textVersion, error) {
	source, err := fs.ReadFile(site, file)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(source)) == 0 {
		return nil, nil
	}
	fail := func(at int, format string, args ...any) error {
		return fmt.Errorf("%s, line %d: %s", file, 1+bytes.Count(source[:at], []byte("\n")), fmt.Sprintf(format, args...))
	}
	if len(source) > maxTextFile {
		return nil, fail(maxTextFile, "it is longer than %d KiB, and pages are to be small: make two of it", maxTextFile>>10)
	}
	doc := markdown.Parser().Parse(mdtext.NewReader(source))
	title, ok := doc.FirstChild().(*ast.Heading)
	if !ok || title.Level != 1 {
		return nil, fail(0, "begin with a line # and the title")
	}
	v := &textVersion{lang: l, title: plainText(title, source)}
	var links []*ast.Link
	err = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.HTMLBlock, *ast.RawHTML:
			return ast.WalkStop, fail(place(n), "HTML is not shown: write it in Markdown")
		case *ast.Image:
			return ast.WalkStop, fail(place(n), "pictures are not shown, since a page is one request: take it out")
		case *ast.Heading:
			if n.Level == 1 && n != title {
				return ast.WalkStop, fail(place(n), "a page has one title: begin other headings with ##")
			}
		case *ast.AutoLink:
			return ast.WalkStop, fail(place(n), "write the link as [its text](address)")
		case *ast.Link:
			if !textLink.Match(n.Destination) {
				return ast.WalkStop, fail(place(n), "a link begins with / or https:// or mailto:, not with %.40q", n.Destination)
			}
			links = append(links, n)
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return nil, err
	}
	doc.RemoveChild(doc, title)
	if v.plain, err = renderText(doc, source); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, n := range links {
		if to, fragment, _ := bytes.Cut(n.Destination, []byte("#")); bytes.HasPrefix(to, []byte("/")) && !bytes.Contains(to, []byte("?")) {
			n.Destination = append(slices.Clone(to), "?lang="+l.Tag...)
			if len(fragment) > 0 {
				n.Destination = append(append(n.Destination, '#'), fragment...)
			}
		}
	}
	if v.named, err = renderText(doc, source); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return v, nil
}

var textLink = regexp.MustCompile(`^(/([^/\\]|$)|https?://|mailto:)`)

func renderText(doc ast.Node, source []byte) (template.HTML, error) {
	var out bytes.Buffer
	if err := markdown.Renderer().Render(&out, source, doc); err != nil {
		return "", err
	}
	return template.HTML(out.String()), nil
}

// place is where a node begins in its source, or the block that it is in.
func place(n ast.Node) int {
	for ; n != nil; n = n.Parent() {
		if raw, ok := n.(*ast.RawHTML); ok && raw.Segments.Len() > 0 {
			return raw.Segments.At(0).Start
		}
		if t, ok := n.FirstChild().(*ast.Text); ok {
			return t.Segment.Start
		}
		if n.Type() == ast.TypeBlock && n.Lines() != nil && n.Lines().Len() > 0 {
			return n.Lines().At(0).Start
		}
	}
	return 0
}

// plainText is what a node says, without its markup.
func plainText(n ast.Node, source []byte) string {
	var out strings.Builder
	ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			out.Write(util.UnescapePunctuations(util.ResolveEntityNames(util.ResolveNumericReferences(t.Segment.Value(source)))))
		}
		return ast.WalkContinue, nil
	})
	return out.String()
}

// in picks the version for a language: its own, else English, else the first.
func (t *text) in(l *pageLanguage) *textVersion {
	for _, v := range t.versions {
		if v.lang == l {
			return v
		}
	}
	return t.versions[0]
}

// A pageLink leads to a page.
type pageLink struct {
	Path  string
	Title template.HTML
}

// Text is the link to a text, nil if the site has none of the name.
func (p *page) Text(name string) *pageLink {
	for _, t := range p.Look.texts {
		if t.name == name {
			v := t.in(p.pageLanguage)
			return &pageLink{"/" + t.name, p.mark(v.title, v.lang)}
		}
	}
	return nil
}

// about are the links of the footer.
func (s *site) about(p *page) (links []*pageLink) {
	rewardAt := 0 // behind what this is about
	for i, t := range s.look.texts {
		links = append(links, p.Text(t.name))
		if t.name == textsFirst[0] {
			rewardAt = i + 1
		}
	}
	if len(s.service.Scales()) > 0 {
		links = slices.Insert(links, rewardAt, &pageLink{"/reward", p.html("reward.title")})
	}
	return links
}

func (s *site) textRoutes(r *mux.Router) {
	for _, t := range s.look.texts {
		r.Handle("/"+t.name, s.handle(func(w http.ResponseWriter, r *http.Request) error { return s.getText(w, r, t) })).Methods("GET", "HEAD")
	}
}

// textPage is what a text's page shows.
type textPage struct {
	HTML     template.HTML
	Lang     *pageLanguage // nil if it is the page's
	Fallback string        // the name of Lang
	Who      *whoPage      // nil but for who runs this
}

func (s *site) getText(w http.ResponseWriter, r *http.Request, t *text) error {
	p := s.newPage(r, "")
	v := t.in(p.pageLanguage)
	p.Heading = v.title
	shown := textPage{HTML: v.plain}
	if p.LangQuery != "" {
		shown.HTML = v.named
	}
	if v.lang != p.pageLanguage {
		shown.Lang, shown.Fallback = v.lang, v.lang.Name
	}
	if t.name == "who" {
		shown.Who = s.who(p)
	}
	p.Data = shown
	mayBeIndexed(w)
	return s.render(w, http.StatusOK, "text", p)
}

// whoPage is what the page of who runs this shows beneath its text.
type whoPage struct {
	Contact     *contact
	Fingerprint string
	Key         string
}

type contact struct {
	Lines []string
	Lang  *pageLanguage // nil if it is the page's
}

func (s *site) who(p *page) *whoPage {
	who := &whoPage{Fingerprint: s.service.RootFingerprint(), Key: s.service.Root()}
	if lines := s.look.contact[p.Tag]; len(lines) > 0 {
		who.Contact = &contact{Lines: lines}
		return who
	}
	for _, l := range s.langs.all {
		if lines := s.look.contact[l.Tag]; len(lines) > 0 {
			who.Contact = &contact{lines, l}
			break
		}
	}
	return who
}
