package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

type sendCmd struct {
	Answers string `arg:"" help:"The answers, FILE.answers of the bundle FILE." type:"existingfile"`
	Show    bool   `help:"Only show what would be signed."`
}

func (*sendCmd) Help() string {
	return "Example: tipbox send tips.bundle.answers\n\n" +
		"It takes the half of the key that signs. Each answer is signed as of today, if nobody has written since it was made, and sent; the file notes it,\n" +
		"so that nothing is sent twice. What the desk refuses stays there with the reason: fetch the tip again, and answer anew.\n" +
		"Texts are sealed and are not shown; all that is in the clear is, with --show before anything is signed."
}

// A sendLine is what became of an answer, as --json prints it.
type sendLine struct {
	Tip    string        `json:"tip"`
	Number int           `json:"number"`
	Action tipbox.Action `json:"action"`
	Owner  string        `json:"owner,omitempty"`
	Due    string        `json:"due,omitempty"`
	Member string        `json:"member,omitempty"`
	Recuse bool          `json:"recuse,omitempty"`
	Result string        `json:"result"` // "waits", "sent" or "refused"
	Reason string        `json:"reason,omitempty"`

	// Signed is all that is signed in the clear. Of one that waits the day and what
	// it follows are those that it would have if it were signed now; what it follows
	// is not there if that waits too.
	Signed *tipbox.Event `json:"signed"`
}

func (c *sendCmd) Run(a *app) error {
	w, err := readAnswers(c.Answers)
	if err != nil {
		return err
	}
	if c.Show {
		for _, one := range w.list {
			if err := a.showAnswer(one, true); err != nil {
				return err
			}
		}
		return nil
	}
	if w.waiting() == 0 {
		a.say("Nothing to send: %s\n", a.lang.known(w.tell()))
		return nil
	}
	s, err := a.connectDesk()
	if err != nil {
		return err
	}
	defer s.Close()
	if w.Member != s.key.Name() {
		return fmt.Errorf("%s is by %.40q, and this is the key of %s", c.Answers, w.Member, s.key.Name())
	}
	refused := 0
	for i, one := range w.list {
		if !one.waits() {
			continue
		}
		if err := w.send(a, s, i); err != nil {
			return fmt.Errorf("%s, entry %d of tip %s: %w", one.Event.Action, one.Event.Number, one.Event.Tip, err)
		}
		if one.Refused != "" {
			refused++
		}
		if err := a.showAnswer(one, false); err != nil {
			return err
		}
	}
	if refused > 0 {
		return fmt.Errorf("%d refused: fetch those tips again, and answer anew", refused)
	}
	return nil
}

// tell says how many were sent and refused.
func (w *answers) tell() string {
	sent, refused := 0, 0
	for _, one := range w.list {
		if one.Sent != "" {
			sent++
		}
		if one.Refused != "" {
			refused++
		}
	}
	return fmt.Sprintf("%d sent before, %d refused", sent, refused)
}

// showAnswer prints what became of an answer, and all that is in the clear of it or
// what tells it from others.
func (a *app) showAnswer(one *answer, all bool) error {
	e := one.signed()
	line := sendLine{e.Tip, e.Number, e.Action, e.Owner, e.Due, e.Member, e.Recuse, "waits", one.Refused, e}
	switch {
	case one.Sent != "":
		line.Result = "sent"
	case one.Refused != "":
		line.Result = "refused"
	}
	if a.json {
		return a.printJSON(line)
	}
	entry := newCaseEntry(tipbox.Message{Action: e.Action, Event: e})
	more := entry.more(a.lang)
	if e.Decides {
		more += a.lang.text(": with it the finding is made")
	}
	a.print("%-7s  %s  %d  %s%s\n", a.lang.word(line.Result), cleanLine(e.Tip), e.Number, cleanLine(a.lang.word(string(e.Action))), cleanLine(more))
	if all {
		fields, err := inTheClear(e)
		if err != nil {
			return err
		}
		for _, field := range fields {
			a.print("         %s\n", cleanLine(field))
		}
	}
	if line.Reason != "" {
		a.print("         %s\n", cleanLine(a.lang.known(line.Reason)))
	}
	return nil
}

// signed is what is signed of an answer, or would be now: see sendLine.
func (one *answer) signed() *tipbox.Event {
	e := *one.Event
	if one.waits() {
		e.Day, e.Before = one.On(today()), ""
		if one.After.Number == e.Number-1 {
			e.Before = one.After.SHA256
		}
	}
	return &e
}

// inTheClear are the fields of an event as they are signed, one a line. It reads
// them from what is signed, so that none can be left out.
func inTheClear(e *tipbox.Event) (lines []string, err error) {
	signed, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(signed))
	dec.UseNumber()
	fields := make(map[string]any)
	if err := dec.Decode(&fields); err != nil {
		return nil, err
	}
	var add func(name string, value any)
	add = func(name string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(value)) {
				add(name+" "+key, value[key])
			}
		case []any:
			for i, v := range value {
				add(fmt.Sprintf("%s %d", name, i+1), v)
			}
		default:
			lines = append(lines, fmt.Sprintf("%s: %v", name, value))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		add(key, fields[key])
	}
	return lines, nil
}

// errNotNext means that a tip has gone on since a member answered it.
var errNotNext = errors.New("somebody wrote meanwhile: fetch the tip again, and answer anew")

// send signs and sends the answer of that index, and notes what became of it. Its
// own error leaves the answer waiting.
func (w *answers) send(a *app, s *session, i int) error {
	one := w.list[i]
	if before := w.before(i); before != nil && before.Sent == "" {
		return w.refuse(one, fmt.Sprintf("what it follows, %s, was not taken: fetch the tip again, and answer anew", before.Event.Action))
	}
	note, err := w.sign(a, s, i)
	switch {
	case errors.Is(err, errArrived):
		one.Sent = today()
		return w.write()
	case final(err):
		return w.refuse(one, err.Error())
	case err != nil:
		return err
	}
	// The note is kept before it is sent: if the line breaks, it is known again.
	one.Note = string(note)
	if err := w.write(); err != nil {
		return err
	}
	err = s.desk.Append(a.ctx, one.Event.Tip, note, one.Sealed)
	switch {
	case errors.Is(err, desk.ErrUnreachable):
		return fmt.Errorf("%w: %w", errUncertainSend, err)
	case errors.Is(err, tipbox.ErrConflict):
		return w.refuse(one, errNotNext.Error())
	case final(err):
		return w.refuse(one, err.Error())
	case err != nil:
		return err
	}
	one.Sent = today()
	return w.write()
}

var (
	// errArrived means that an answer is at the desk already.
	errArrived = errors.New("it is there already")

	errUncertainSend = errors.New("whether it was sent is not known: send the file again, and nothing is sent twice")
)

// final reports whether the desk will never take what it refused with the error.
func final(err error) bool {
	for _, e := range []error{errNotNext, tipbox.ErrConflict, tipbox.ErrRule, tipbox.ErrNotFound, tipbox.ErrForbidden, tipbox.ErrTooLong, desk.ErrRefused} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (w *answers) refuse(one *answer, why string) error {
	one.Refused = why
	return w.write()
}

// before is the answer that the one of that index follows, or nil if it follows
// what was in the bundle.
func (w *answers) before(i int) *answer {
	e := w.list[i].Event
	if w.list[i].After.Number == e.Number-1 {
		return nil
	}
	for _, one := range slices.Backward(w.list[:i]) {
		if one.Event.Tip == e.Tip && one.Event.Number == e.Number-1 {
			return one
		}
	}
	return &answer{Unsigned: &tipbox.Unsigned{Event: &tipbox.Event{Action: "an answer that is not in this file"}}}
}

// sign signs the answer of that index, if the tip's list at the desk ends where
// the one ended that the member has read and answered.
func (w *answers) sign(a *app, s *session, i int) ([]byte, error) {
	one := w.list[i]
	e, after := one.Event, one.After
	if before := w.before(i); before != nil {
		after = tipbox.Head{Number: before.Event.Number, SHA256: keySum([]byte(before.Note))}
	}
	file, err := s.Tip(a.ctx, e.Tip)
	if errors.Is(err, tipbox.ErrNotFound) && e.Action == tipbox.ActionErase && one.Note != "" {
		return nil, errArrived
	}
	if err != nil {
		return nil, err
	}
	switch last := file.Last(); {
	case last.Number >= e.Number && one.isAt(file):
		return nil, errArrived
	case last.Number >= e.Number:
		return nil, errNotNext
	case last.Number < after.Number:
		return nil, fmt.Errorf("the desk shows %d entries, and has shown %d: it has taken some back: %w", last.Number, after.Number, tipbox.ErrInvalid)
	case last != after && after.SHA256 != "":
		return nil, fmt.Errorf("the desk shows another list of entries than when the tip was fetched: it shows two histories: %w", tipbox.ErrInvalid)
	}
	day := today()
	note, err := one.Sign(s.key.SigningKey, day, file)
	if err == nil {
		e.Day, e.Before = one.On(day), file.Last().SHA256
	}
	return note, err
}

// isAt reports whether a tip has the answer in its place.
func (one *answer) isAt(file *tipbox.TipFile) bool {
	at := file.Events[one.Event.Number-1]
	return one.Note != "" && at.Note == one.Note || len(one.Sealed) > 0 && bytes.Equal(at.Sealed, one.Sealed)
}
