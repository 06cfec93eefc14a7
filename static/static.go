// Package static holds what is shown and not computed: page templates, the
// style sheet, the languages and the default site. An operator's folder site/
// overrides the default site, file by file: site.toml says how it looks and whom
// it names, channels.toml what can be reported, pages/NAME.TAG.md are its texts.
//
// A language is a file lang/TAG.toml, TAG being its BCP 47 tag; nothing else
// names it. Its keys are those of lang/en.toml, which a test compares. The default
// site is written in each: its channels, and its texts.
package static

import (
	"cmp"
	"embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

//go:embed pages lang site style.css
var files embed.FS

// Pages are the templates, *.html.
func Pages() fs.FS { return sub("pages") }

// Languages are the catalogues, TAG.toml.
func Languages() fs.FS { return sub("lang") }

// Style is the style sheet, which every page carries inline.
func Style() string {
	css, err := files.ReadFile("style.css")
	if err != nil {
		panic(err) // it is embedded
	}
	return string(css)
}

// Site is the default site with the files of dir in the place of its own. A
// dir that does not exist, or is "", overrides nothing.
func Site(dir string) fs.FS {
	if dir == "" {
		return sub("site")
	}
	return overlay{folder(dir), sub("site")}
}

// A folder is as os.DirFS has it, but that it opens only files and folders: at a pipe
// one would wait.
type folder string

func (d folder) Open(name string) (fs.File, error) {
	fail := func(err error) (fs.File, error) { return nil, &fs.PathError{Op: "open", Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	path := filepath.Join(string(d), filepath.FromSlash(name))
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		f.Close()
		return fail(cmp.Or(err, errNoFile))
	}
	return f, nil
}

var errNoFile = errors.New("it is no file: take it away, or put a file there")

func sub(dir string) fs.FS {
	f, err := fs.Sub(files, dir)
	if err != nil {
		panic(err) // it is embedded
	}
	return f
}

type overlay struct{ over, under fs.FS }

// ReadDir lists the files of both, one of a name once.
func (o overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(o.over, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	under, err := fs.ReadDir(o.under, name)
	if err != nil && (entries == nil || !errors.Is(err, fs.ErrNotExist)) {
		return nil, err
	}
	for _, e := range under {
		if !slices.ContainsFunc(entries, func(own fs.DirEntry) bool { return own.Name() == e.Name() }) {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

func (o overlay) Open(name string) (fs.File, error) {
	f, err := o.over.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return o.under.Open(name)
	}
	return f, err
}
