package main

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode"

	"golang.org/x/text/width"
)

// runeWidth is how many columns of a terminal a character takes: one, two if it
// is wide (UAX #11), none if it joins the one before.
func runeWidth(r rune) int {
	switch k := width.LookupRune(r).Kind(); {
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case k == width.EastAsianWide || k == width.EastAsianFullwidth:
		return 2
	}
	return 1
}

func columnsOf(s string) (columns int) {
	for _, r := range s {
		columns += runeWidth(r)
	}
	return columns
}

// A padded is a string that %-14s and the like pad by its columns.
type padded string

func (s padded) Format(f fmt.State, verb rune) {
	columns, has := f.Width()
	_, cut := f.Precision()
	if verb != 's' || !has || cut {
		fmt.Fprintf(f, fmt.FormatString(f, verb), string(s))
		return
	}
	pad := strings.Repeat(" ", max(0, columns-columnsOf(string(s))))
	if f.Flag('-') {
		fmt.Fprint(f, string(s)+pad)
		return
	}
	fmt.Fprint(f, pad+string(s))
}

// A table lines cells up that end in tabs, as a tabwriter does, which takes every
// character for one column wide. Flush it.
type table struct {
	a    *app
	tabs *tabwriter.Writer
	text bytes.Buffer
}

func (a *app) table() *table {
	t := &table{a: a}
	t.tabs = tabwriter.NewWriter(&t.text, 0, 0, 2, ' ', 0)
	return t
}

// second stands for the second column of a wide character until it is written.
// Cells are clean, so they have none of their own.
const second = "\uE001"

// head writes a line of headings.
func (t *table) head(headings string) {
	cells := strings.Split(headings, "\t")
	for i, cell := range cells {
		cells[i] = t.a.lang.text(cell)
	}
	fmt.Fprintln(t, strings.Join(cells, "\t"))
}

func (t *table) Write(p []byte) (int, error) {
	var line strings.Builder
	for _, r := range string(p) {
		line.WriteRune(r)
		if runeWidth(r) == 2 {
			line.WriteString(second)
		}
	}
	_, err := t.tabs.Write([]byte(line.String()))
	return len(p), err
}

func (t *table) Flush() error {
	if err := t.tabs.Flush(); err != nil {
		return err
	}
	_, err := t.a.stdout.Write(bytes.ReplaceAll(t.text.Bytes(), []byte(second), nil))
	t.text.Reset()
	return err
}
