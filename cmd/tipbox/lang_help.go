package main

import (
	"bytes"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/term"
)

// translate has kong's model of the program speak the language.
func (c *catalogue) translate(model *kong.Application) error {
	if c == nil {
		return nil
	}
	return kong.Visit(model, func(v kong.Visitable, next kong.Next) error {
		node, is := v.(*kong.Application)
		switch v := v.(type) {
		case *kong.Node:
			c.translateNode(v)
		case *kong.Flag:
			v.Help = c.help(v.Help)
		default:
			if is {
				c.translateNode(node.Node)
			}
		}
		return next(nil)
	})
}

func (c *catalogue) translateNode(n *kong.Node) {
	n.Help, n.Detail = c.help(n.Help), c.help(n.Detail)
	for _, arg := range n.Positional {
		arg.Help = c.help(arg.Help)
	}
}

// solid stands for a space, so that kong, which counts characters and not their
// width, breaks no line. The help is made of the program's own texts, which have
// none.
const solid = "\uE000"

// help is a text of the help, paragraph by paragraph.
func (c *catalogue) help(english string) string {
	paragraphs := strings.Split(english, "\n\n")
	for i, p := range paragraphs {
		var lines []string
		p, _ = c.paragraph(p)
		for _, line := range strings.Split(p, "\n") {
			core := strings.TrimLeft(line, " ")
			lines = append(lines, line[:len(line)-len(core)]+strings.ReplaceAll(core, " ", solid))
		}
		paragraphs[i] = strings.Join(lines, "\n")
	}
	return strings.Join(paragraphs, "\n\n")
}

// paragraph is a paragraph of the help, or line by line a list that the program
// makes, if it is in the catalogue.
func (c *catalogue) paragraph(english string) (text string, whole bool) {
	key := english
	if !strings.Contains(key, "\n ") {
		key = strings.ReplaceAll(key, "\n", " ") // kong breaks lines as it likes
	}
	if t, is := c.Help[key]; is {
		return t, true
	}
	c.prepare()
	lines, whole := strings.Split(english, "\n"), true
	for i, line := range lines {
		lines[i] = around(line, func(core string) string {
			t, is := c.recognise(c.lists, core)
			if !is {
				t, whole = core, false
			}
			return t
		})
	}
	return strings.Join(lines, "\n"), whole
}

// printHelp is kong's printer of the help, with its own headings in the language
// too.
func (c *catalogue) printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if c == nil {
		return kong.DefaultHelpPrinter(options, ctx)
	}
	out := ctx.Stdout
	var text bytes.Buffer
	ctx.Stdout = &text
	err := kong.DefaultHelpPrinter(options, ctx)
	ctx.Stdout = out
	if err != nil {
		return err
	}
	c.prepare()
	for line := range strings.Lines(text.String()) {
		line = strings.ReplaceAll(strings.TrimSuffix(line, "\n"), solid, " ")
		if t, is := c.whole(line); is { // a heading
			line = t
		}
		if _, err := io.WriteString(out, wrap(line, helpColumns(out))+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// helpColumns is how wide the help may be, as kong reckons.
func helpColumns(out io.Writer) int {
	if f, is := out.(*os.File); is {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}

// secondColumn is what stands before the second column of a list.
var secondColumn = regexp.MustCompile(`^ {2,}\S+(?: \S+)* {2,}`)

// wrap breaks a line before it is wider than so many columns: at a space, or
// beside a wide character. What follows is indented as far as the text of the
// line, or the second column of a list.
func wrap(line string, columns int) string {
	hang := columnsOf(line[:len(line)-len(strings.TrimLeft(line, " "))])
	if lead := secondColumn.FindString(line); lead != "" {
		hang = columnsOf(lead)
	}
	if hang > columns-20 {
		hang = 4
	}
	indent := strings.Repeat(" ", hang)
	var out strings.Builder
	for columnsOf(line) > columns {
		at := breakAt(line, columns, len(indent))
		if at == 0 {
			break
		}
		out.WriteString(strings.TrimRight(line[:at], " ") + "\n")
		line = indent + strings.TrimLeft(line[at:], " ")
	}
	out.WriteString(line)
	return out.String()
}

// breakAt is the last place behind an indent at which a line may be broken to fit
// into so many columns, or 0.
func breakAt(line string, columns, indent int) (at int) {
	wide, before := 0, ' '
	for i, r := range line {
		if i > indent && mayBreak(before, r) {
			at = i
		}
		if wide += runeWidth(r); wide > columns {
			return at
		}
		before = r
	}
	return at
}

// mayBreak reports whether a line may be broken between two characters (after
// GB/T 15834 and common use: no line begins with a closing mark or ends with an
// opening one).
func mayBreak(before, after rune) bool {
	if strings.ContainsRune("，。；：、！？）》”’…", after) || strings.ContainsRune("（《“‘", before) || after == ' ' {
		return false
	}
	return before == ' ' || runeWidth(before) == 2 || runeWidth(after) == 2
}
