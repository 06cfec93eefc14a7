package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// clean makes text from elsewhere fit for a terminal: what could move the
// cursor, colour, reorder or hide text is shown as \u{…}. Line breaks and tabs
// stay.
func clean(s string) string {
	var out strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if r != '\n' && r != '\t' && hidesOrMoves(r) {
			fmt.Fprintf(&out, `\u{%x}`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

// cleanLine is clean on one line.
func cleanLine(s string) string {
	return strings.NewReplacer("\n", `\u{a}`, "\t", `\u{9}`).Replace(clean(s))
}

// hidesOrMoves reports control characters (Cc), format characters (Cf: all
// bidirectional and zero-width ones), line and paragraph separators, private
// use, variation selectors and fillers that show as nothing.
func hidesOrMoves(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs, unicode.Variation_Selector,
		unicode.Other_Default_Ignorable_Code_Point)
}

// printJSON writes v as one line of JSON in which the same characters are
// escaped, so that it means the same and is as harmless.
func (a *app) printJSON(v any) error {
	var doc bytes.Buffer
	enc := json.NewEncoder(&doc)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	var out strings.Builder
	for _, r := range strings.TrimSuffix(doc.String(), "\n") {
		// Such characters stand in strings only, where \u is allowed.
		switch {
		case !hidesOrMoves(r):
			out.WriteRune(r)
		case r > 0xFFFF:
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	a.print("%s\n", out.String())
	return nil
}

// onTerminal reports whether standard error is a terminal.
func (a *app) onTerminal() bool {
	f, ok := a.stderr.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// columns is the width of the terminal that results go to, or 0.
func (a *app) columns() int {
	f, ok := a.stdout.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}
