package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"tipbox/tipbox"
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
func hasWords(format string) bool {
	return letters.MatchString(verbPattern.ReplaceAllString(format, "")) && !fileName.MatchString(format)
}

var fileName = regexp.MustCompile(`^[a-z0-9-]+\.[a-z]+$`)

// core is a text as a catalogue has it. Of a chain's causes it has the first, which
// leads to the others.
func core(text string) string {
	text = strings.Trim(text, " \n")
	for strings.HasSuffix(text, ": %w: %w") {
		text = strings.TrimSuffix(text, ": %w")
	}
	return text
}

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
			text, is := s.text(n)
			if is && (in == "hint" || in == "baseText" || in == "carries" && strings.Contains(text, ": ")) {
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
		if n, is := n.(*ast.BasicLit); is && in == "standing" {
			if text, is := s.text(n); is && hasWords(text) {
				found[core(text)] = true
			}
		}
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
var foreign = []string{"../../tipbox", "../../tipbox/desk", "../../crypto/roster", "../../crypto/voucher", "../../crypto/seal", "../../crypto/receipt", "../../crypto/onion"}

func TestChineseHasEveryText(t *testing.T) {
	c := chinese(t)
	own := parse(t, ".")
	lacks(t, "text", c.Text, texts(own))
	wants := errorsOf(own)
	for _, step := range tipbox.Steps() {
		wants[step.Help] = true // in the help of tipbox case
	}
	lacks(t, "known", c.Known, wants)
}

// What a member does wrong at the desk, and why something does not verify, is said
// by the errors that packages name and by their rules. What else they say may stay
// in English, in its place: see known.
func TestChineseHasEveryReasonOfThePackages(t *testing.T) {
	c := chinese(t)
	wants := make(map[string]bool)
	s := parse(t, foreign...)
	add := func(e ast.Expr) {
		if text, is := s.text(e); is && hasWords(text) {
			wants[core(text)] = true
		}
	}
	s.each(func(in string, n ast.Node) {
		switch n := n.(type) {
		case *ast.ValueSpec: // var ErrX = errors.New("…")
			for _, value := range n.Values {
				if call, is := value.(*ast.CallExpr); is && in == "" && callee(call) == "errors.New" {
					add(call.Args[0])
				}
			}
		case *ast.CallExpr:
			switch name := callee(n); {
			case name == "against" && len(n.Args) > 1:
				add(n.Args[1])
			case name == "fmt.Sprintf" && in == "Alarms":
				add(n.Args[0])
			}
		}
	})
	if len(wants) < 100 {
		t.Fatalf("only %d reasons were found", len(wants))
	}
	lacks(t, "known", c.Known, wants)
}

func TestChineseHasEveryIdentifier(t *testing.T) {
	wants := map[string]bool{"sent": true, "refused": true, "waits": true, "erased": true, "written": true}
	for _, s := range tipbox.States() {
		wants[string(s)] = true
	}
	for _, s := range tipbox.Steps() {
		wants[string(s.Action)] = true
		for _, role := range s.Roles {
			wants[string(role)] = true
		}
	}
	s := parse(t, foreign...)
	s.each(func(_ string, n ast.Node) {
		spec, is := n.(*ast.ValueSpec)
		if !is || spec.Type == nil {
			return
		}
		if kind, is := spec.Type.(*ast.Ident); is && slices.Contains([]string{"Action", "State", "Finding", "AwardState", "Role"}, kind.Name) {
			for _, value := range spec.Values {
				text, _ := s.text(value)
				wants[text] = true
			}
		}
	})
	lacks(t, "word", chinese(t).Word, wants)
}

// What is looked up must be written where it is found, but for these.
func TestTextsAreLookedUpByTheirWords(t *testing.T) {
	known := []string{
		"text in reason", "text in run", "text in sprintf", "text in headings", // all texts of one kind
		"text in head", "text in row", // headings, which the callers write
		"text in secret", // prompts, likewise
		"text in printCase", "text in printSlip", "text in printSchedule", "text in printFigures", "text in printPaid", "text in print", "text in warn", "text in Run",
	}
	parse(t, ".").each(func(in string, n ast.Node) {
		call, is := n.(*ast.CallExpr)
		if !is {
			return
		}
		name := callee(call)
		if format, is := call.Args, name == "say" && len(call.Args) == 2; is {
			if lit, is := format[0].(*ast.BasicLit); is && lit.Value == `"%s"` {
				if made, is := format[1].(*ast.CallExpr); !is || callee(made) != "lang.known" {
					t.Errorf("%s says what was made before, and not by lang.known", in)
				}
			}
		}
		if name != "lang.text" {
			return
		}
		if _, is := call.Args[0].(*ast.BasicLit); !is && !slices.Contains(known, "text in "+in) {
			t.Errorf("%s looks a text up that no test sees: write it there, or name the function here", in)
		}
	})
}

func TestChineseHasNothingThatIsNotUsed(t *testing.T) {
	c := chinese(t)
	own, all := literals(parse(t, ".")), literals(parse(t, append(foreign, ".")...))
	for _, state := range []string{slipPaid, slipSettled, slipGood} {
		own[strings.ToUpper(state)] = true
	}
	for _, prefix := range []string{"the desk says"} {
		all[prefix] = all[prefix+":"]
	}
	help := map[string]bool{"Example: %s": true, "%s: %s (%s; %s)": true}
	for _, text := range helpTexts(t, nil) {
		for p := range strings.SplitSeq(text, "\n\n") {
			help[p], help[strings.ReplaceAll(p, "\n", " ")] = true, true
		}
	}
	for table, has := range map[string]struct {
		entries map[string]string
		used    map[string]bool
	}{
		"text": {c.Text, own}, "known": {c.Known, all}, "help": {c.Help, help}, "word": {c.Word, all},
	} {
		for from := range has.entries {
			if !has.used[from] {
				t.Errorf("[%s] %q is used nowhere", table, from)
			}
		}
	}
}

func TestChineseHasTheVerbsOfTheEnglish(t *testing.T) {
	c := chinese(t)
	for _, table := range []map[string]string{c.Text, c.Known, c.Help, c.System} {
		for from, to := range table {
			if got, want := argumentsOf(to), argumentsOf(from); !maps.Equal(got, want) {
				t.Errorf("%q has %v\n%q has %v", from, want, to, got)
			}
			if strings.TrimSpace(to) == "" || strings.Contains(to, "!") && strings.Contains(to, "%!") {
				t.Errorf("%q is %q", from, to)
			}
		}
	}
}

// argumentsOf are the arguments that a format prints, each with its verb, flags and
// precision, but not how wide.
func argumentsOf(format string) map[string]bool {
	width := regexp.MustCompile(`^%-?\d*`)
	index := regexp.MustCompile(`\[\d+\]`)
	found := make(map[string]bool)
	for _, v := range verbsOf(format) {
		how := index.ReplaceAllString(width.ReplaceAllString(format[v.start:v.end], ""), "")
		found[strconv.Itoa(v.arg)+how] = true
	}
	return found
}

// The errors of others, as they come.
func TestErrorsOfTheSystemAreKnown(t *testing.T) {
	c := chinese(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, missing := os.Open(filepath.Join(dir, "missing"))
	_, beneath := os.Open(filepath.Join(file, "x"))
	_, stat := os.Stat(filepath.Join(dir, "missing"))
	_, lstat := os.Lstat(filepath.Join(dir, "missing"))
	_, read := os.ReadFile(dir)
	_, refused := net.Dial("tcp", l.Addr().String())
	for _, err := range []error{missing, beneath, stat, lstat, read, refused, os.Mkdir(dir, 0o700), os.Remove(filepath.Join(dir, "missing")), io.ErrUnexpectedEOF, fs.ErrNotExist, syscall.ENOSPC, syscall.EACCES} {
		inChinese(t, c, err.Error(), dir)
	}
}

func TestErrorsOfTheCommandLineAreKnown(t *testing.T) {
	for _, args := range [][]string{
		{}, {"inbocks"}, {"inbox", "--nwo"}, {"inbox", "--limit"}, {"inbox", "--limit", "many"}, {"read"}, {"join", "x"},
		{"completion", "tcsh"}, {"decline", "t"}, {"reply", "t", "-m", "a", "-f", "lang.go"}, {"read", "t", "more"}, {"reply", "t", "-f", "missing-file"}, {"zzzzzzzzzz"},
	} {
		_, english := toolSays(t, args...)
		_, said := toolSays(t, append([]string{"--lang=zh"}, args...)...)
		first, _, _ := strings.Cut(said, "\n")
		if !regexp.MustCompile(`^tipbox: .*\p{Han}`).MatchString(first) {
			t.Errorf("%v: %q, in English %q", args, first, english)
		}
	}
}

func toolSays(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	_, stdout, stderr = tool(t, args...)
	return stdout, stderr
}

// inChinese wants nothing left of a text but names and numbers.
func inChinese(t *testing.T, c *catalogue, english string, names ...string) {
	t.Helper()
	got := c.known(english)
	rest := got
	for _, name := range names {
		rest = strings.ReplaceAll(rest, name, "")
	}
	if regexp.MustCompile(`[a-z]{3,} [a-z]{2,}`).MatchString(rest) || !regexp.MustCompile(`\p{Han}`).MatchString(got) {
		t.Errorf("%q is %q", english, got)
	}
}

func TestKnownSaysAChainPartByPart(t *testing.T) {
	c := chinese(t)
	const tip = "k3f7qwzm2abcdefg"
	for english, want := range map[string]string{
		"tip " + tip + ": not found": "举报 " + tip + "：没有找到",
		"the desk cannot be reached: dial tcp 127.0.0.1:9: connect: connection refused": "无法连接受理服务器：连接 127.0.0.1:9：连接被拒绝",
		"something nobody translated: of a kind: wrong passphrase":                      "something nobody translated: of a kind: 口令不对",
		"nobody translated this": "nobody translated this",
		"the desk says: rule path: answer is not for a case that is received; now possible: ack, note":         "受理服务器答复：规则 path：received 状态的案件不能 answer；现在可以：ack, note",
		"alice.key can be read by others (mode 0644): chmod 600 it, and think about who may have read it":      "他人可以读取 alice.key（权限 0644）：请执行 chmod 600，并想一想谁可能已经读过",
		"empty is there already: choose another file":                                                          "empty 已经存在：请另选文件",
		"100%% is there already: choose another file":                                                          "100%% 已经存在：请另选文件",
		"wrong passphrase\nnot found":                                                                          "口令不对\n没有找到",
		"Erased.\n":                                                                                            "已删除。\n",
		"message 2 of tip " + tip + ", by alice: it was written so that it cannot be read: damaged or altered": "举报 " + tip + " 的第 2 条消息（alice）：写入的方式使它无法阅读：损坏或经过改动",
	} {
		if got := c.known(english); got != want {
			t.Errorf("known(%q)\n is %q\nnot %q", english, got, want)
		}
		if got := inEnglish.known(english); got != english {
			t.Errorf("in English %q is %q", english, got)
		}
	}
}

// A server can say what it likes, and as much as the desk's client lets it.
func TestKnownIsQuickWithWhateverIsSaid(t *testing.T) {
	c := chinese(t)
	for _, text := range []string{strings.Repeat("a: ", 1<<20), strings.Repeat("tip x: ", maxChain), strings.Repeat("%s: ", maxChain) + "of to in", strings.Repeat("is there already, ", 200)} {
		began := time.Now()
		c.known(text)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%.20q… took %v", text, took)
		}
	}
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
