package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"tipbox/tipbox"
)

type referCmd struct {
	Tip      string   `arg:"" help:"The tip, as the inbox names it."`
	To       string   `help:"The body that gets the copy." placeholder:"BODY"`
	Out      string   `short:"o" help:"A new folder to write the copy into." placeholder:"DIR"`
	Tick     []string `help:"What the copy holds: N is the text of message N, N.M its file M. Give it again for each." placeholder:"N[.M]"`
	Name     []string `help:"What file N.M is called in the copy, if not file-1, file-2 and so on." placeholder:"N.M=NAME" sep:"none"`
	Internal bool     `help:"Let texts be ticked that were for the desk: notes, votes, findings."`
	DryRun   bool     `help:"Print what the copy would hold. Nothing is written and nothing recorded."`
	textFlags
}

func (*referCmd) Help() string {
	return "Example: tipbox refer k3f7qwzm2abcdefg --to 'City Prosecutor' -o referral --tick 1 --tick 1.2 -m 'We have passed your tip on.'\n\n" +
		"Makes a copy for another body that holds what you tick and nothing else: no name of the tip, no day, no channel, no member, no number of a message, no word of " +
		"what you left out. Without --tick it lists what there is to tick. referral.txt has the texts, files are called file-1, file-2, and MANIFEST has the SHA-256 of each.\n\n" +
		"The bytes of files stay as they are, with whatever is inside of them: retype or flatten what you can, and give the body that instead.\n\n" +
		"Then the case says to whom it was referred, with the SHA-256 of the MANIFEST. A case that is not taken on yet is declined if there is a text, which its source reads; " +
		"else it is a note, with the text for the desk."
}

// A tick names a part of a tip: the text of a message or, with file above 0, one
// of its files.
type tick struct{ message, file int }

func (t tick) String() string {
	if t.file == 0 {
		return strconv.Itoa(t.message)
	}
	return fmt.Sprintf("%d.%d", t.message, t.file)
}

func parseTick(text string) (t tick, err error) {
	message, file, dot := strings.Cut(text, ".")
	if t.message, err = strconv.Atoi(message); err == nil && dot {
		t.file, err = strconv.Atoi(file)
	}
	if err != nil || t.message < 1 || t.file < 0 || t.String() != text {
		return tick{}, usageError{fmt.Errorf("%q names no part of a tip: 3 is the text of message 3, and 3.2 its second file", text)}
	}
	return t, nil
}

// A part of a tip can be ticked.
type part struct {
	tick
	from     string
	internal bool // for the desk only
	text     string
	file     *tipbox.Attachment // nil: the text
}

// partsOf lists what can be ticked, in the order of the messages.
func partsOf(o *tipbox.OpenedTip) (parts []part) {
	for _, m := range o.Messages {
		p := part{tick: tick{message: m.Number}, from: tipbox.FromSource, text: m.Text}
		if m.From == tipbox.FromDesk {
			p.from = fmt.Sprintf("%s (%s)", m.By, m.Action)
			p.internal = !m.Event.ToSource() || m.Void != ""
		}
		if m.Text != "" {
			parts = append(parts, p)
		}
		for i := range m.Files {
			p.tick.file, p.text, p.file = i+1, "", &m.Files[i]
			parts = append(parts, p)
		}
	}
	return parts
}

// A referral is what a copy holds.
type referral struct {
	text  string // of referral.txt
	files []referred
}

// A referred is a file of the copy, as --json prints it.
type referred struct {
	Tick    string `json:"tick"`
	Name    string `json:"name"` // in the copy
	Size    int64  `json:"size"`
	Carries string `json:"carries,omitempty"` // what may be inside besides what it shows

	file *tipbox.Attachment
}

// A referLine is what was done, or would be, as --json prints it.
type referLine struct {
	Tip      string        `json:"tip"`
	To       string        `json:"to"`
	Text     string        `json:"text,omitempty"` // with --dry-run
	Files    []referred    `json:"files"`
	Folder   string        `json:"folder,omitempty"`
	Manifest string        `json:"manifest,omitempty"` // SHA-256, hex
	Recorded tipbox.Action `json:"recorded,omitempty"`
	Case     any           `json:"case,omitempty"`
}

// Files of the copy besides those of the source.
const (
	referralFile = "referral.txt"
	manifestFile = "MANIFEST"
)

// referralDay is the time of every file of a copy: that of the writing would say
// when the desk was at work.
var referralDay = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (c *referCmd) Run(a *app) error {
	ticks, names, err := c.parse()
	if err != nil {
		return err
	}
	text, err := c.given(a, c.Tip, false)
	if err != nil {
		return err
	}
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	_, opened, err := s.open(a, c.Tip)
	if err != nil {
		return err
	}
	parts := partsOf(opened)
	if len(ticks) == 0 {
		if err := a.printParts(opened, parts); err != nil {
			return err
		}
		return usageError{errors.New("nothing is ticked, so nothing was written: say what the body may have, such as --tick 1")}
	}
	copied, err := c.copyOf(s.roster.Organisation, parts, ticks, names)
	if err != nil {
		return err
	}
	if c.DryRun {
		return c.dry(a, s, opened, copied)
	}
	act := c.record(opened, text)
	act.Detail.Copy = hex.EncodeToString(make([]byte, sha256.Size)) // not made yet
	if _, err := opened.Prepare(s.key.Name(), today(), act); err != nil {
		return fmt.Errorf("nothing was written, for the referral could not be recorded: %w", err)
	}
	if act.Detail.Copy, err = c.write(a, s, opened, copied); err != nil {
		return err
	}
	a.warn(copied.files)
	if err := s.send(a, opened, act); err != nil {
		return fmt.Errorf("the copy is in %s, but the case says nothing of it: %w. Record it: %s", c.Out, err, recordLine(opened.Tip, act))
	}
	after, err := s.after(a, c.Tip)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(referLine{c.Tip, c.To, "", copied.files, c.Out, act.Detail.Copy, act.Action, after.doc})
	}
	a.print("%s\n", cleanLine(c.Out))
	a.say("%s", a.lang.known(after.say))
	decline := tipbox.Act{Action: tipbox.ActionDecline, Detail: act.Detail}
	switch {
	case act.Action == tipbox.ActionDecline:
		a.say("Its source reads your text.\n")
	case text != "":
		a.say("It is past declining, so your text is a note for the desk. To tell the source: tipbox reply %s\n", c.Tip)
	case mayDecline(opened):
		a.say("It is noted, and the case goes on. To decline it: %s\n", recordLine(c.Tip, decline))
	}
	return nil
}

// parse checks the flags.
func (c *referCmd) parse() (ticks []tick, names map[tick]string, err error) {
	for _, text := range c.Tick {
		t, err := parseTick(text)
		if err != nil {
			return nil, nil, err
		}
		ticks = append(ticks, t)
	}
	slices.SortFunc(ticks, func(a, b tick) int {
		return cmp.Or(cmp.Compare(a.message, b.message), cmp.Compare(a.file, b.file))
	})
	ticks = slices.Compact(ticks)
	names = make(map[tick]string)
	for _, text := range c.Name {
		which, name, _ := strings.Cut(text, "=")
		t, err := parseTick(which)
		switch {
		case err != nil:
			return nil, nil, err
		case t.file == 0 || !slices.Contains(ticks, t):
			return nil, nil, usageError{fmt.Errorf("--name %s is for no file that is ticked", cleanLine(text))}
		case name == "" || safeName(name, "") != name:
			return nil, nil, usageError{fmt.Errorf("%q is no safe name of a file: use letters, digits, hyphens and one dot", name)}
		}
		names[t] = name
	}
	if len(ticks) == 0 {
		return nil, nil, nil
	}
	if strings.TrimSpace(c.To) == "" || strings.ContainsFunc(c.To, hidesOrMoves) || len(c.To) > 200 {
		return nil, nil, usageError{errors.New("--to says in a line which body gets the copy")}
	}
	if c.Out == "" && !c.DryRun {
		return nil, nil, usageError{errors.New("-o says into which new folder the copy is written; --dry-run only prints it")}
	}
	return ticks, names, nil
}

// copyOf makes the copy of what is ticked.
func (c *referCmd) copyOf(organisation string, parts []part, ticks []tick, names map[tick]string) (*referral, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "To:   %s\nFrom: %s\n", cleanLine(c.To), cleanLine(organisation))
	r, texts := new(referral), 0
	taken := map[string]bool{strings.ToLower(referralFile): true, strings.ToLower(manifestFile): true}
	for _, t := range ticks {
		i := slices.IndexFunc(parts, func(p part) bool { return p.tick == t })
		if i < 0 {
			return nil, usageError{fmt.Errorf("there is no %s to tick, or it cannot be opened. To see what there is: tipbox refer %s", t, c.Tip)}
		}
		p := parts[i]
		if p.internal && !c.Internal {
			return nil, usageError{fmt.Errorf("%s, by %s, was written for the desk only: leave it out, or say --internal", t, p.from)}
		}
		if p.file == nil {
			texts++
			// The bars keep a text from passing for two.
			fmt.Fprintf(&text, "\nText %d\n\n%s\n", texts, quoted(p.text, 0))
			continue
		}
		name := cmp.Or(names[t], fmt.Sprintf("file-%d%s", len(r.files)+1, neutralExt(p.file.Name)))
		if taken[strings.ToLower(name)] {
			return nil, usageError{fmt.Errorf("two files of the copy would be called %s: choose another --name", cleanLine(name))}
		}
		taken[strings.ToLower(name)] = true
		r.files = append(r.files, referred{Tick: t.String(), Name: name, Size: p.file.Size, file: p.file})
	}
	if len(r.files) > 0 {
		text.WriteString("\nFiles\n\n")
	}
	for _, f := range r.files {
		fmt.Fprintf(&text, "%s\n", f.Name)
	}
	r.text = text.String()
	return r, nil
}

// neutralExt is the extension of a file's name if it says no more than what kind
// of file it is.
func neutralExt(name string) string {
	ext := strings.ToLower(filepath.Ext(safeName(name, "")))
	if len(ext) > 5 || strings.ContainsFunc(strings.TrimPrefix(ext, "."), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		return ""
	}
	return strings.TrimSuffix(ext, ".")
}

// mayDecline reports whether the case can still be declined.
func mayDecline(o *tipbox.OpenedTip) bool {
	step, _ := tipbox.StepOf(tipbox.ActionDecline)
	return slices.Contains(step.From, o.Case.State)
}

// record is how the case will say that it was referred.
func (c *referCmd) record(o *tipbox.OpenedTip, text string) tipbox.Act {
	act := tipbox.Act{Action: tipbox.ActionNote, Text: text, Detail: &tipbox.Detail{Reason: tipbox.Referred, To: c.To}}
	if mayDecline(o) && strings.TrimSpace(text) != "" {
		act.Action = tipbox.ActionDecline
	}
	return act
}

// recordLine is a command that records a referral.
func recordLine(tip string, act tipbox.Act) string {
	line := fmt.Sprintf("tipbox %s %s --referred %s --copy %s", act.Action, tip, shellWord(act.Detail.To), act.Detail.Copy)
	if act.Action == tipbox.ActionDecline || act.Text != "" {
		line += " -m TEXT"
	}
	return line
}

// write makes the folder of the copy and returns the SHA-256 of its MANIFEST.
func (c *referCmd) write(a *app, s *session, tip *tipbox.OpenedTip, r *referral) (manifest string, err error) {
	if err := os.Mkdir(c.Out, 0o700); err != nil {
		return "", fmt.Errorf("%w: choose a folder that is not there yet", err)
	}
	dir, err := os.OpenRoot(c.Out)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	e := &export{dir: dir}
	e.write(referralFile, strings.NewReader(r.text))
	for i := range r.files {
		f := &r.files[i]
		err := f.read(a, s, tip, func(content io.Reader) error {
			e.write(f.Name, content)
			return e.failed
		})
		if e.failed == nil {
			e.failed = err
		}
	}
	list := e.manifest.String()
	e.write(manifestFile, strings.NewReader(list))
	for _, name := range append([]string{referralFile, manifestFile}, r.names()...) {
		if e.failed == nil {
			e.failed = dir.Chtimes(name, referralDay, referralDay)
		}
	}
	if e.failed == nil {
		e.failed = os.Chtimes(c.Out, referralDay, referralDay)
	}
	if e.failed != nil {
		return "", errors.Join(e.failed, os.RemoveAll(c.Out))
	}
	sum := sha256.Sum256([]byte(list))
	return hex.EncodeToString(sum[:]), nil
}

func (r *referral) names() (names []string) {
	for _, f := range r.files {
		names = append(names, f.Name)
	}
	return names
}

// read opens the file for to, which must read all of it, and notes what it
// carries inside.
func (f *referred) read(a *app, s *session, tip *tipbox.OpenedTip, to func(io.Reader) error) error {
	sealed, err := s.Attachment(a.ctx, tip.Tip, f.file.Blob)
	if err != nil {
		return err
	}
	defer sealed.Close()
	plain, err := f.file.Open(sealed, tip.Slot.Key.Identity())
	if err != nil {
		return err
	}
	bar := a.progress(f.Name, f.Size)
	defer bar.done()
	var begin head
	err = to(io.TeeReader(plain, io.MultiWriter(bar, &begin)))
	f.Carries = carries(f.file.Name, begin.data)
	return err
}

// dry prints what the copy would hold.
func (c *referCmd) dry(a *app, s *session, tip *tipbox.OpenedTip, r *referral) error {
	for i := range r.files {
		err := r.files[i].read(a, s, tip, func(content io.Reader) error {
			_, err := io.Copy(io.Discard, content)
			return err
		})
		if err != nil {
			return err
		}
	}
	a.warn(r.files)
	if a.json {
		return a.printJSON(referLine{Tip: c.Tip, To: c.To, Text: r.text, Files: r.files})
	}
	a.print("--- %s ---\n%s--- end ---\n", referralFile, r.text)
	for _, f := range r.files {
		a.print("%s: file %s, %d bytes\n", cleanLine(f.Name), f.Tick, f.Size)
	}
	return nil
}

// warn says what a copy may give away that no tool can strip.
func (a *app) warn(files []referred) {
	a.say("Read the texts once more as somebody who looks for the source would: who could know this, on which day, in which words?\n")
	if len(files) == 0 {
		return
	}
	a.say("Files are as their source sent them, with what is inside of them. Retype or flatten what you can:\n")
	for _, f := range files {
		a.say("  %s: %s\n", cleanLine(f.Name), a.lang.text(cmp.Or(f.Carries, "plain text")))
	}
}

// printParts lists what can be ticked.
func (a *app) printParts(o *tipbox.OpenedTip, parts []part) error {
	type line struct {
		Tick     string `json:"tick"`
		From     string `json:"from"`
		Internal bool   `json:"internal,omitempty"`
		Begins   string `json:"begins,omitempty"` // a text
		Name     string `json:"name,omitempty"`   // a file
		Size     int64  `json:"size,omitempty"`
	}
	lines := []line{}
	for _, p := range parts {
		l := line{Tick: p.tick.String(), From: p.from, Internal: p.internal, Begins: firstWords(p.text)}
		if p.file != nil {
			l.Name, l.Size = p.file.Name, p.file.Size
		}
		lines = append(lines, l)
	}
	if a.json {
		return a.printJSON(struct {
			Tip   string `json:"tip"`
			Parts []line `json:"parts"`
		}{o.Tip, lines})
	}
	for i, l := range lines {
		if l.From == tipbox.FromSource {
			l.From = a.lang.word(l.From)
		}
		switch {
		case parts[i].file != nil:
			a.print("%-6s %s: file %s, %d bytes\n", l.Tick, cleanLine(l.From), cleanLine(l.Name), l.Size)
		case l.Internal:
			a.print("%-6s %s, for the desk only: %s\n", l.Tick, cleanLine(l.From), cleanLine(l.Begins))
		default:
			a.print("%-6s %s: %s\n", l.Tick, cleanLine(l.From), cleanLine(l.Begins))
		}
	}
	return nil
}

// firstWords is the beginning of a text on one line.
func firstWords(text string) string {
	const most = 60
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) <= most {
		return string(line)
	}
	return string(line[:most]) + "…"
}

// A head keeps the beginning of what is written to it.
type head struct{ data []byte }

func (h *head) Write(p []byte) (int, error) {
	const most = 64 << 10 // in which a picture has its data
	h.data = append(h.data, p[:min(len(p), most-len(h.data))]...)
	return len(p), nil
}

// carries says what is known to be inside of files of such a kind besides what
// they show, going by name and first bytes, or "" for plain text. What is not
// known to be harmless is not taken to be.
func carries(name string, begin []byte) string {
	kind, _, _ := strings.Cut(http.DetectContentType(begin), ";")
	has := func(text string) bool { return bytes.Contains(begin, []byte(text)) }
	ext := strings.ToLower(filepath.Ext(name))
	switch {
	case strings.HasPrefix(kind, "image/") || has("Exif") || has("<x:xmpmeta") || has("ftypheic"):
		return "a picture: it may say where, when and with which device, and hold what was cut off"
	case strings.HasPrefix(kind, "audio/") || strings.HasPrefix(kind, "video/"):
		return "a recording: it may say where, when and with which device; a voice is known by itself"
	case kind == "application/pdf" || kind == "application/zip" || bytes.HasPrefix(begin, []byte("\xd0\xcf\x11\xe0")) || has(`{\rtf`):
		return "a document or archive: it may name who wrote it, when, with what, and hold comments and what was deleted"
	case kind == "text/plain" && slices.Contains([]string{"", ".txt", ".csv", ".md", ".log"}, ext):
		return ""
	}
	return "of a kind of which it is not known what it holds: perhaps names and times"
}
