package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

// fromInput as the tip of a command stands for those on standard input.
const fromInput = "-"

// A result is what a command says of one tip.
type result struct {
	doc   any    // --json
	line  string // in a batch, behind the tip
	say   string // for one tip, to standard error
	print func() // in place of line and say
}

// forTips connects once and does something to the tip that is named, or to each
// on standard input: then a failure is said on its line and the next one goes on.
func (a *app) forTips(tip string, do func(s *session, tip string) (*result, error)) error {
	tips := []string{tip}
	if tip == fromInput {
		var err error
		if tips, err = a.readTips(); err != nil {
			return err
		}
		if len(tips) == 0 {
			a.say("There was no tip on standard input: nothing was done.\n")
			return nil
		}
	}
	s, err := a.dial()
	if err != nil {
		return err
	}
	defer s.Close()
	if tip != fromInput {
		r, err := do(s, tip)
		return errors.Join(a.show(r), err)
	}
	return a.batch(s, tips, do)
}

// show prints the result for one tip, which may be nil.
func (a *app) show(r *result) error {
	switch {
	case r == nil:
	case a.json:
		return a.printJSON(r.doc)
	case r.print != nil:
		r.print()
	default:
		a.say("%s", a.lang.known(r.say))
	}
	return nil
}

func (a *app) batch(s *session, tips []string, do func(s *session, tip string) (*result, error)) error {
	failed := 0
	var over error // why no other tip is tried
	for _, tip := range tips {
		var r *result
		err := over
		if err == nil && a.ctx.Err() != nil {
			err = errors.New("interrupted: not tried")
		}
		if err == nil && !tipbox.ValidTipID(tip) {
			err = errors.New("this is no tip's name")
		}
		if err == nil {
			r, err = do(s, tip)
		}
		if r != nil && s.answers != nil {
			r.line = "written"
		}
		if errors.Is(err, desk.ErrUnreachable) || errors.Is(err, desk.ErrPeer) {
			over = fmt.Errorf("not tried: %w", desk.ErrUnreachable)
		}
		if err != nil {
			failed++
		}
		if err := a.showLine(tip, r, err); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("done: %d of %d. Each that failed says why on its line", len(tips)-failed, len(tips))
	}
	a.say("%s", a.lang.known(s.done(fmt.Sprintf("Done: %d of %d.\n", len(tips), len(tips)))))
	return nil
}

// showLine prints the result for one tip of a batch.
func (a *app) showLine(tip string, r *result, err error) error {
	why := ""
	if err != nil {
		why = inEnglish.reason(err)
	}
	switch {
	case a.json && r == nil:
		return a.printJSON(struct {
			Tip   string `json:"tip"`
			Error string `json:"error"`
		}{tip, why})
	case a.json:
		return a.printJSON(r.doc)
	case r != nil && r.print != nil:
		r.print()
		a.print("\n")
	case r != nil:
		a.print("%s %s\n", cleanLine(tip), cleanLine(a.lang.word(r.line)))
	}
	if err != nil {
		a.print("%s FAILED: %s\n", cleanLine(tip), cleanLine(a.lang.reason(err)))
	}
	return nil
}

// maxInput bounds a list of tips, in bytes.
const maxInput = 256 << 20

// readTips reads tips from standard input: each line's first word, or of a line
// of JSON its "tip". The inbox's heading is passed over, and what is there twice
// counts once.
func (a *app) readTips() (tips []string, err error) {
	text, err := a.wait(func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.stdin, maxInput+1)) })
	if err != nil {
		return nil, err
	}
	if len(text) > maxInput {
		return nil, fmt.Errorf("standard input is over %d bytes: nothing was done", maxInput)
	}
	seen, passed := make(map[string]bool), headings()
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\uFEFF")) {
		words := strings.Fields(line)
		if len(words) == 0 || slices.Contains(passed, words[0]) {
			continue
		}
		tip := words[0]
		if strings.HasPrefix(tip, "{") {
			var doc struct{ Tip string }
			if json.Unmarshal([]byte(line), &doc) == nil {
				tip = doc.Tip
			}
		}
		if !seen[tip] {
			seen[tip] = true
			tips = append(tips, tip)
		}
	}
	return tips, nil
}
