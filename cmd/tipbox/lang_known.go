package main

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A knownFormat is a format that a text can be recognised by.
type knownFormat struct {
	literal int      // bytes that are no verb: what has more is tried first
	pieces  []string // all of them must be in the text
	match   *regexp.Regexp
	verbs   []verb
	to      string
}

// A verb of a format takes the argument of an index, from 0.
type verb struct {
	start, end int // in the format
	arg        int
	kind       byte
}

var verbPattern = regexp.MustCompile(`%[-+#0]*(?:\d+)?(?:\.\d+)?(?:\[(\d+)\])?([a-zA-Z%])`)

// verbsOf are a format's verbs but for %%.
func verbsOf(format string) (verbs []verb) {
	next := 0
	for _, m := range verbPattern.FindAllStringSubmatchIndex(format, -1) {
		v := verb{m[0], m[1], next, format[m[4]]}
		if v.kind == '%' {
			continue
		}
		if m[2] >= 0 {
			n, _ := strconv.Atoi(format[m[2]:m[3]])
			v.arg = n - 1
		}
		next = v.arg + 1
		verbs = append(verbs, v)
	}
	return verbs
}

const (
	maxKnown = 4096 // bytes of a text that is recognised
	maxChain = 24   // and its parts
)

// known is an English text that was made before it is shown: an error, or what
// stands in a file, came from the agent or the desk. It is recognised by the
// formats of the catalogue. An error is a chain, "doing this: that: why": each part
// that is known is said in the language, and each that is not stays as it is, in its
// place.
func (c *catalogue) known(english string) string {
	if c == nil || len(english) > maxKnown || strings.Count(english, ": ") > maxChain {
		return english
	}
	c.prepare()
	if t, is := c.whole(strings.Trim(english, " \n")); is {
		return around(english, func(string) string { return t })
	}
	lines := strings.Split(english, "\n") // joined errors
	for i, line := range lines {
		lines[i] = around(line, c.chain)
	}
	return strings.Join(lines, "\n")
}

// prepare makes the formats ready, once.
func (c *catalogue) prepare() {
	if c.formats == nil {
		c.formats, c.lists = knownFormats(c.Known, c.System), knownFormats(c.Help)
	}
}

func knownFormats(tables ...map[string]string) (formats []knownFormat) {
	for _, table := range tables {
		for from, to := range table {
			if verbs := verbsOf(from); len(verbs) > 0 {
				formats = append(formats, newKnownFormat(from, to, verbs))
			}
		}
	}
	slices.SortFunc(formats, func(a, b knownFormat) int {
		return cmp.Or(cmp.Compare(b.literal, a.literal), cmp.Compare(a.match.String(), b.match.String()))
	})
	return formats
}

func newKnownFormat(from, to string, verbs []verb) knownFormat {
	f := knownFormat{verbs: verbs, to: to}
	var pattern strings.Builder
	piece := func(text string) {
		text = unescaped(text)
		f.literal += len(text)
		f.pieces = append(f.pieces, text)
		pattern.WriteString(regexp.QuoteMeta(text))
	}
	at := 0
	for i, v := range verbs {
		piece(from[at:v.start])
		switch at = v.end; {
		case v.kind == 'd' || v.kind == 'o':
			pattern.WriteString(`(-?\d+)`)
		case v.kind == 'q':
			pattern.WriteString(`("(?:[^"\\]|\\.)*")`)
		case v.start == 0 && v.kind != 'w':
			pattern.WriteString(`((?:[^:]|:[^ ])+?)`) // not the parts of a chain before it
		case i == len(verbs)-1:
			pattern.WriteString(`(.+)`)
		default:
			pattern.WriteString(`(.+?)`)
		}
	}
	piece(from[at:])
	flags := `\A` // of joined errors each is known by itself
	if strings.Contains(from, "\n") {
		flags = `(?s)\A`
	}
	f.match = regexp.MustCompile(flags + pattern.String() + `\z`)
	return f
}

// unescaped is what a format says between its verbs.
func unescaped(format string) string { return strings.ReplaceAll(format, "%%", "%") }

// whole is a text that is known from its beginning to its end.
func (c *catalogue) whole(english string) (string, bool) {
	for _, texts := range []map[string]string{c.Known, c.System} {
		if t, is := texts[english]; is {
			return t, true
		}
	}
	return c.recognise(c.formats, english)
}

// recognise is a text that was made by one of the formats.
func (c *catalogue) recognise(formats []knownFormat, english string) (string, bool) {
	for _, f := range formats {
		if slices.ContainsFunc(f.pieces, func(piece string) bool { return !strings.Contains(english, piece) }) {
			continue
		}
		if m := f.match.FindStringSubmatch(english); m != nil {
			return f.fill(c, m[1:]), true
		}
	}
	return "", false
}

// fill puts what was found for the verbs into the text. A cause is a chain again.
// Other arguments are data; but one of several words may be a text of the program.
func (f *knownFormat) fill(c *catalogue, found []string) string {
	for i, v := range f.verbs {
		switch {
		case v.kind == 'w' || v.kind == 'v':
			found[i] = c.chain(found[i])
		case v.kind == 's' && strings.Contains(found[i], " "):
			found[i] = c.argument(found[i])
		}
	}
	var out strings.Builder
	at := 0
	for _, v := range verbsOf(f.to) {
		out.WriteString(unescaped(f.to[at:v.start]) + found[v.arg])
		at = v.end
	}
	return out.String() + unescaped(f.to[at:])
}

// argument is a sentence of the program that a format was given, or data as it is.
func (c *catalogue) argument(english string) string {
	const fewest = 8 // bytes of a format that tell a sentence from data
	if t, is := c.Known[english]; is {
		return t
	}
	few := slices.IndexFunc(c.formats, func(f knownFormat) bool { return f.literal < fewest })
	if few < 0 {
		few = len(c.formats)
	}
	if t, is := c.recognise(c.formats[:few], english); is {
		return t
	}
	return english
}

// chain says what is known of a chain.
func (c *catalogue) chain(english string) string {
	if t, is := c.whole(english); is {
		return t
	}
	parts := strings.Split(english, ": ")
	for n := len(parts) - 1; n > 0; n-- {
		if t, is := c.whole(strings.Join(parts[:n], ": ")); is {
			return t + "：" + c.chain(strings.Join(parts[n:], ": "))
		}
	}
	if first, rest, more := strings.Cut(english, ": "); more {
		return first + ": " + c.chain(rest)
	}
	return english
}
