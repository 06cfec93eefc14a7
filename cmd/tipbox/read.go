package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/text/width"

	"tipbox/tipbox"
)

type readCmd struct {
	Tip string `arg:"" optional:"" help:"The tip, as the inbox names it; the first of the inbox if left out; - reads tips from standard input, one a line."`
}

func (*readCmd) Help() string {
	return "Example: tipbox read k3f7qwzm2abcdefg\n\nEvery signature and link is checked first. Characters that could deceive are shown as \\u{…}."
}

// readMessage is a message as --json prints it.
type readMessage struct {
	Number int           `json:"number"`
	From   string        `json:"from"`
	By     string        `json:"by,omitempty"`
	Day    string        `json:"day"`
	Lang   string        `json:"lang,omitempty"`
	Text   string        `json:"text"`
	Files  []tipbox.File `json:"files,omitempty"`
	Error  string        `json:"error,omitempty"`
	Void   string        `json:"void,omitempty"`
}

// A readTip is a tip as --json prints it.
type readTip struct {
	Tip      string        `json:"tip"`
	Channel  string        `json:"channel"`
	Day      string        `json:"day"`
	Messages []readMessage `json:"messages"`
}

func (c *readCmd) Run(a *app) error {
	return a.forTips(c.Tip, func(s *session, tip string) (*result, error) {
		if tip == "" {
			var err error
			if tip, err = s.first(a.ctx); err != nil {
				return nil, err
			}
		}
		_, opened, err := s.open(a, tip)
		if err != nil {
			return nil, err
		}
		doc := &readTip{Tip: opened.Tip, Channel: opened.Channel, Day: opened.Day}
		var failed error
		for _, m := range opened.Messages {
			r := readMessage{Number: m.Number, From: m.From, By: m.By, Day: m.Day, Lang: m.Lang, Text: m.Text, Void: m.Void}
			for _, f := range m.Files {
				r.Files = append(r.Files, f.File)
			}
			if m.Err != nil {
				r.Error, failed = m.Err.Error(), m.Err
			}
			doc.Messages = append(doc.Messages, r)
		}
		return &result{doc: doc, print: func() { a.printTip(doc) }}, failed
	})
}

// first is the tip with which the inbox begins.
func (s *session) first(ctx context.Context) (string, error) {
	page, err := s.Inbox(ctx, tipbox.InboxFilter{}, "", 1)
	switch {
	case err != nil:
		return "", err
	case len(page.Items) == 0:
		return "", errors.New("there are no tips for you yet")
	case !tipbox.ValidTipID(page.Items[0].Tip):
		return "", fmt.Errorf("the desk's pages make no sense: %w", tipbox.ErrInvalid)
	}
	return page.Items[0].Tip, nil
}

func (a *app) printTip(tip *readTip) {
	files := 0
	a.print("Tip %s, %s, received on %s\n", tip.Tip, cleanLine(tip.Channel), tip.Day)
	for _, m := range tip.Messages {
		who := a.lang.text("the source")
		if m.From == tipbox.FromDesk {
			who = a.lang.sprintf("%s (desk)", m.By)
		}
		a.print("\n--- message %d, %s, from %s ---\n", m.Number, m.Day, cleanLine(who))
		if m.Void != "" {
			a.print("[counts for nothing: %s]\n", cleanLine(a.lang.known(m.Void)))
		}
		if m.Error != "" {
			a.print("[cannot be opened: %s]\n", cleanLine(a.lang.known(m.Error)))
		}
		if m.Text != "" {
			a.print("%s\n", quoted(m.Text, a.columns()))
		}
		for i, f := range m.Files {
			a.print("[file %d: %s, %s, %d bytes]\n", i+1, cleanLine(f.Name), cleanLine(f.Type), f.Size)
			files++
		}
	}
	if files > 0 {
		a.say("\nTo save the files: tipbox save %s -o DIR\n", tip.Tip)
	}
}

// quoted puts a bar before each line of a text, so that none can pass for one of
// ours. It breaks lines that a terminal of so many columns would (0: none).
func quoted(text string, columns int) string {
	const bar = "│ "
	var out strings.Builder
	for line := range strings.Lines(strings.TrimRight(clean(text), "\n")) {
		out.WriteString(bar)
		at := 0
		for _, r := range strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\t", "    ") {
			wide := 1
			if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth || k == width.EastAsianAmbiguous {
				wide = 2
			}
			if at += wide; columns > 0 && at > max(columns-4, 10) {
				out.WriteString("\n" + bar)
				at = wide
			}
			out.WriteRune(r)
		}
		out.WriteString("\n")
	}
	return strings.TrimSuffix(out.String(), "\n")
}
