package main

import (
	"fmt"
	"io"
	"slices"
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
	a     *app
	rows  [][]string
	spare []int // columns to leave out on a terminal that is too narrow, first ones first
}

func (a *app) table() *table { return &table{a: a} }

// second stands for the second column of a wide character until it is written.
// Cells are clean, so they have none of their own.
const second = "\uE001"

// head writes a line of headings. Those named after it can be spared.
func (t *table) head(headings string, spare ...string) {
	cells := strings.Split(headings, "\t")
	for _, heading := range spare {
		t.spare = append(t.spare, slices.Index(cells, heading))
	}
	for i, cell := range cells {
		cells[i] = t.a.lang.text(cell)
	}
	fmt.Fprintln(t, strings.Join(cells, "\t"))
}

// Write takes whole lines.
func (t *table) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		t.rows = append(t.rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return len(p), nil
}

func (t *table) Flush() error {
	text, err := t.lineUp(t.a.columns())
	if err != nil {
		return err
	}
	t.rows = nil
	_, err = io.WriteString(t.a.stdout, text)
	return err
}

// lineUp is the table on a terminal that is so wide, or 0 if that is not known.
func (t *table) lineUp(columns int) (string, error) {
	out := make(map[int]bool)
	for {
		text, err := t.without(out)
		if err != nil || columns == 0 || len(out) == len(t.spare) || widest(text) <= columns {
			return text, err
		}
		out[t.spare[len(out)]] = true
	}
}

func (t *table) without(out map[int]bool) (string, error) {
	var text strings.Builder
	tabs := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range t.rows {
		var cells []string
		for i, cell := range row {
			if !out[i] {
				cells = append(cells, cell)
			}
		}
		for _, r := range strings.Join(cells, "\t") + "\n" {
			io.WriteString(tabs, string(r)) // Flush tells of errors
			if runeWidth(r) == 2 {
				io.WriteString(tabs, second)
			}
		}
	}
	err := tabs.Flush()
	return strings.ReplaceAll(text.String(), second, ""), err
}

func widest(text string) (columns int) {
	for line := range strings.Lines(text) {
		columns = max(columns, columnsOf(strings.TrimRight(line, " \n")))
	}
	return columns
}
