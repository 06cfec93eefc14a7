package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"tipbox/tipbox"
)

// Answers are what a member does to the tips of a bundle, in a file beside it:
// lines of JSON, the first an answersHead. What is secret in it is sealed; what
// is not is for tipbox send to show and to sign, which notes there what became
// of each.
type answers struct {
	path string
	answersHead
	list []*answer
	ends map[string]tipbox.Head // of the tips in the bundle that were opened
}

type answersHead struct {
	Format string `json:"format"` // answersFormat
	Member string `json:"member"`
}

const answersFormat = "tipbox answers v1"

// An answer is what was done to a tip, in the order in which it must be sent.
type answer struct {
	*tipbox.Unsigned
	After   tipbox.Head `json:"after"`             // the end of the tip's list in the bundle
	Note    string      `json:"note,omitempty"`    // signed, from before it was sent
	Sent    string      `json:"sent,omitempty"`    // the day
	Refused string      `json:"refused,omitempty"` // why it was not taken, for good
}

func (w *answer) waits() bool { return w.Sent == "" && w.Refused == "" }

var errAnswers = errors.New("not a file of answers of tipbox --bundle")

// What is read of a file of answers at most, in bytes.
const (
	maxAnswers    = 256 << 20
	maxAnswerLine = 1 << 20
)

func answersFile(bundle string) string { return bundle + ".answers" }

// readAnswers reads a file of answers; one that is not there has none.
func readAnswers(path string) (*answers, error) {
	f, err := os.Open(path)
	w := &answers{path: path, ends: make(map[string]tipbox.Head)}
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := w.parse(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return w, nil
}

func (w *answers) parse(r io.Reader) error {
	all := &io.LimitedReader{R: r, N: maxAnswers}
	lines := bufio.NewScanner(all)
	lines.Buffer(nil, maxAnswerLine)
	n := 0
	for ; lines.Scan(); n++ {
		var err error
		if n == 0 {
			err = strictJSON(lines.Bytes(), &w.answersHead)
			if err == nil && w.Format != answersFormat {
				err = fmt.Errorf("format %.40q, and this program knows %q", w.Format, answersFormat)
			}
		} else {
			err = w.parseAnswer(lines.Bytes())
		}
		if err != nil {
			return fmt.Errorf("line %d: %w: %w", n+1, errAnswers, err)
		}
	}
	switch {
	case lines.Err() != nil:
		return fmt.Errorf("line %d: %w: %w", n+1, errAnswers, lines.Err())
	case n == 0:
		return fmt.Errorf("it is empty: %w", errAnswers)
	case all.N <= 0:
		return fmt.Errorf("it is over %d bytes: %w", maxAnswers, errAnswers)
	}
	return nil
}

func (w *answers) parseAnswer(line []byte) error {
	one := &answer{}
	if err := strictJSON(line, one); err != nil {
		return err
	}
	if one.Unsigned == nil {
		return errors.New("no answer")
	}
	if err := one.Check(); err != nil {
		return err
	}
	if one.By != w.Member {
		return fmt.Errorf("it is by %s, and the file by %.40q", one.By, w.Member)
	}
	w.list = append(w.list, one)
	return nil
}

func strictJSON(text []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something stands behind its end")
	}
	return nil
}

// write writes the file anew, durably.
func (w *answers) write() error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(w.answersHead)
	for _, one := range w.list {
		err = errors.Join(err, enc.Encode(one))
	}
	if err == nil && out.Len() > maxAnswers {
		err = errors.New("there are too many: send them first")
	}
	if err == nil {
		err = renameio.WriteFile(w.path, out.Bytes(), 0o600)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(w.path))
	}
	if err != nil {
		return fmt.Errorf("writing the answers: %w", err)
	}
	return nil
}

// waiting is how many are not sent.
func (w *answers) waiting() (n int) {
	for _, one := range w.list {
		if one.waits() {
			n++
		}
	}
	return n
}

// take adds to a tip what was answered to it and is not there yet.
func (w *answers) take(o *tipbox.OpenedTip) error {
	there := o.Head().Number
	w.ends[o.Tip] = o.Head()
	for _, one := range w.list {
		switch {
		case one.Event.Tip != o.Tip || one.Refused != "":
			continue
		case one.Event.Number <= there && !one.waits():
			continue // the bundle is of after it was sent
		}
		if err := o.Take(one.Unsigned); err != nil {
			return fmt.Errorf("%s does not fit this bundle, so move it away or send it first: %w", w.path, err)
		}
	}
	return nil
}

// add prepares what the member does to a tip that take was called with, and keeps
// it.
func (w *answers) add(o *tipbox.OpenedTip, by string, act tipbox.Act) error {
	u, err := o.Prepare(by, today(), act)
	if err != nil {
		return err
	}
	if w.Format == "" {
		w.answersHead = answersHead{answersFormat, by}
	}
	if w.Member != by {
		return fmt.Errorf("%s is by %.40q, and this is the key of %s: move it away", w.path, w.Member, by)
	}
	w.list = append(w.list, &answer{Unsigned: u, After: w.ends[o.Tip]})
	if err := w.write(); err != nil {
		w.list = w.list[:len(w.list)-1]
		return err
	}
	return nil
}
