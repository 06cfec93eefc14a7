package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// The language of whoever runs the tests is none of their business.
func TestMain(m *testing.M) {
	os.Setenv("LC_ALL", "C")
	os.Exit(m.Run())
}

func chinese(t testing.TB) *catalogue {
	t.Helper()
	c, err := openCatalogue("zh-Hans")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A source is the parsed Go files of packages.
type source struct {
	files  []*ast.File
	consts map[string]string // of strings
}

func parse(t *testing.T, folders ...string) *source {
	t.Helper()
	s := &source{consts: make(map[string]string)}
	set := token.NewFileSet()
	for _, folder := range folders {
		names, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("no Go files in %s: %v", folder, err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(set, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			s.files = append(s.files, file)
		}
	}
	for _, file := range s.files {
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, is := n.(*ast.ValueSpec); is {
				for i, value := range spec.Values {
					if text, is := s.text(value); is && i < len(spec.Names) {
						s.consts[spec.Names[i].Name] = text
					}
				}
			}
			return true
		})
	}
	return s
}

// text is the value of a constant string.
func (s *source) text(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		text, is := s.consts[e.Name]
		return text, is
	case *ast.BinaryExpr:
		x, isX := s.text(e.X)
		y, isY := s.text(e.Y)
		return x + y, isX && isY
	}
	return "", false
}

// each calls do with every node and the function or method that it is in.
func (s *source) each(do func(in string, n ast.Node)) {
	for _, file := range s.files {
		for _, d := range file.Decls {
			in := ""
			if f, is := d.(*ast.FuncDecl); is {
				in = f.Name.Name
			}
			ast.Inspect(d, func(n ast.Node) bool {
				do(in, n)
				return true
			})
		}
	}
}

// callee is the name of what is called, with that of a package or of a catalogue.
func callee(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		on := ""
		switch x := f.X.(type) {
		case *ast.Ident:
			on = x.Name
		case *ast.SelectorExpr:
			on = x.Sel.Name
		}
		if slices.Contains([]string{"lang", "errors", "fmt"}, on) {
			return on + "." + f.Sel.Name
		}
		return f.Sel.Name
	}
	return ""
}

var letters = regexp.MustCompile(`\p{L}`)

// hasWords reports whether a format has words of its own.
func hasWords(format string) bool { return letters.MatchString(verbPattern.ReplaceAllString(format, "")) }

// core is a text as a catalogue has it.
func core(text string) string { return strings.Trim(text, " \n") }

// texts are what the program says by formats, and what it looks up otherwise.
func texts(s *source) map[string]bool {
	found := make(map[string]bool)
	add := func(text string) {
		if hasWords(text) {
			found[core(text)] = true
		}
	}
	s.each(func(in string, n ast.Node) {
		switch n := n.(type) {
		case *ast.CallExpr:
			switch name := callee(n); name {
			case "say", "print", "lang.text", "lang.sprintf", "row", "add", "secret", "passphrase":
				for i, arg := range n.Args {
					text, is := s.text(arg)
					if is && (i == 0 || name == "row") && !strings.HasPrefix(text, "\r") {
						add(text)
					}
				}
			case "head":
				if text, is := s.text(n.Args[0]); is {
					for cell := range strings.SplitSeq(text, "\t") {
						add(cell)
					}
				}
			}
		case *ast.BasicLit:
			if text, is := s.text(n); is && slices.Contains([]string{"hint", "baseText"}, in) {
				add(text)
			}
		}
	})
	return found
}

// errorsOf are the formats of the errors that packages make.
func errorsOf(s *source) map[string]bool {
	found := make(map[string]bool)
	s.each(func(in string, n ast.Node) {
		call, is := n.(*ast.CallExpr)
		if !is {
			return
		}
		for i, arg := range call.Args {
			text, is := s.text(arg)
			if !is || !hasWords(text) {
				continue
			}
			switch name := callee(call); {
			case i == 0 && slices.Contains([]string{"errors.New", "fmt.Errorf", "done", "fault"}, name), i == 1 && name == "against",
				i == 0 && name == "fmt.Sprintf" && slices.Contains([]string{"done", "tell", "standing", "monthOrBefore", "batch", "after", "reconcile", "send"}, in):
				found[core(text)] = true
			}
		}
	})
	return found
}

// literals are all strings that are written out.
func literals(s *source) map[string]bool {
	found := make(map[string]bool)
	s.each(func(_ string, n ast.Node) {
		if e, is := n.(ast.Expr); is {
			if text, is := s.text(e); is {
				found[core(text)] = true
				for cell := range strings.SplitSeq(text, "\t") {
					found[core(cell)] = true
				}
			}
		}
	})
	return found
}

// foreign are the packages whose errors reach members.
var foreign = []string{"../../tipbox", "../../tipbox/desk", "../../crypto/roster", "../../crypto/voucher", "../../crypto/seal", "../../crypto/receipt"}

func TestChineseHasEveryText(t *testing.T) {
	c := chinese(t)
	own := parse(t, ".")
	lacks(t, "text", c.Text, texts(own))
	lacks(t, "known", c.Known, errorsOf(own))
}

func lacks(t *testing.T, table string, has map[string]string, wants map[string]bool) {
	t.Helper()
	for _, want := range slices.Sorted(maps.Keys(wants)) {
		if has[want] == "" {
			t.Errorf("[%s] lacks %q", table, want)
		}
	}
}

func TestChineseHasEveryParagraphOfTheHelp(t *testing.T) {
	c := chinese(t)
	seen := make(map[string]bool)
	for _, text := range helpTexts(t, nil) {
		for p := range strings.SplitSeq(text, "\n\n") {
			if seen[p] || !hasWords(p) {
				continue
			}
			seen[p] = true
			if _, whole := c.paragraph(p); !whole {
				t.Errorf("[help] lacks %q", p)
			}
		}
	}
}

// helpTexts are all texts of kong's model of the program.
func helpTexts(t *testing.T, c *catalogue) (found []string) {
	t.Helper()
	parser, err := kong.New(new(commands), kong.Name("tipbox"), kong.Description(description), kong.Vars{"home": "HOME"})
	if err == nil {
		err = c.translate(parser.Model)
	}
	if err != nil {
		t.Fatal(err)
	}
	err = kong.Visit(parser.Model, func(v kong.Visitable, next kong.Next) error {
		switch v := v.(type) {
		case *kong.Application:
			found = append(found, v.Help, v.Detail)
		case *kong.Node:
			if v.Hidden {
				return nil
			}
			found = append(found, v.Help, v.Detail)
			for _, arg := range v.Positional {
				found = append(found, arg.Help)
			}
		case *kong.Flag:
			found = append(found, v.Help)
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
