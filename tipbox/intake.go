package tipbox

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
)

// A Draft is what a source is sending: a tip or a follow-up. Attachments are
// sealed as they arrive. End it with Submit or FollowUp, and always call
// Abort, which removes what was not sent and does nothing after.
type Draft struct {
	s    *Service
	code *receipt.Code
	from *roster.SigningKey // the source's
	tip  string
	to   *seal.Recipient
	left []string     // whom the source left out of a new tip: names and units
	key  *seal.TipKey // of a new tip; nil if the tip is there already

	files []attached
	sent  bool
}

type attached struct {
	File
	EventFile
	sum uint32 // CRC-32C of the content, for once
}

// A File describes an attachment as its source did. Nothing in it is to be
// trusted: not the name, not the type.
type File struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"`
	Size int64  `json:"size"` // bytes
}

// NewTip begins a tip from a form's token. ErrExpired if the token is too old
// or not one of ours; ErrRosterChanged if it is from before the roster in force
// and was not sent yet.
func (s *Service) NewTip(ctx context.Context, token string) (*Draft, error) {
	defer s.brief()()
	code, serial, err := s.openForm(ctx, token)
	if err != nil {
		return nil, err
	}
	d, err := s.newMessage(ctx, code)
	if !errors.Is(err, ErrNoThread) {
		return d, err // sent before: perhaps the same, perhaps a follow-up
	}
	if serial != s.Roster().Serial {
		return nil, ErrRosterChanged
	}
	key, err := seal.NewTipKey()
	if err != nil {
		return nil, err
	}
	source, err := sourceKey(code)
	if err != nil {
		return nil, err
	}
	return &Draft{s: s, code: code, from: source, tip: seal.TipID(key.Public(), source.Verifier()), key: key, to: key.Recipient()}, nil
}

func (s *Service) newMessage(ctx context.Context, code *receipt.Code) (*Draft, error) {
	id, rec, _, err := s.find(ctx, code)
	if err != nil {
		return nil, err
	}
	to, err := seal.ParseRecipient(rec.Key)
	if err != nil {
		return nil, fmt.Errorf("tip %s: %w", id, err)
	}
	source, err := sourceKey(code)
	if err != nil {
		return nil, err
	}
	return &Draft{s: s, code: code, from: source, tip: id, to: to}, nil
}

// sourceKey is the key that a receipt code signs with.
func sourceKey(code *receipt.Code) (*roster.SigningKey, error) {
	return roster.SigningKeyFrom(SourceName, code.SigningKey())
}

// Abort removes the attachments of a draft that was not sent. A nil draft has
// none.
func (d *Draft) Abort() {
	if d == nil || d.sent {
		return
	}
	for _, f := range d.files {
		// The request's context may be over; the files must go all the same.
		if err := d.s.cfg.Blobs.Remove(context.Background(), f.Blob); err != nil {
			d.s.cfg.Log.Error("an unsent file stays until the next sweep", "error", err)
		}
	}
	d.files = nil
}

// A Submission is what a tip's form says besides its files.
type Submission struct {
	Channel  string
	LeaveOut []string // names of members, and units as LeaveOutUnit writes them
	Text     string
	Lang     string // BCP 47 tag of the page it was written on
}

// Submit sends the draft as a tip and returns its receipt. When it returns nil
// the tip is durable.
//
// A form that was sent before gives the receipt it gave; if it says something
// else than it did then, that becomes a follow-up of the same tip, unless the
// channel or the people left out differ: ErrReadersChanged.
//
// Other errors: ErrEmpty, ErrTooLong, ErrTooManyFiles, ErrChannel,
// ErrNoReaders, or the store's.
func (s *Service) Submit(ctx context.Context, d *Draft, sub Submission) (*receipt.Code, error) {
	defer s.brief()()
	text, err := d.checkText(sub.Text)
	if err != nil {
		return nil, err
	}
	readers, err := s.readersOf(sub.Channel, sub.LeaveOut)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(readers))
	for i, m := range readers {
		names[i] = m.Name()
	}
	d.left = slices.Clone(sub.LeaveOut) // also who is no reader of the channel yet
	for _, m := range s.Roster().Investigators(sub.Channel) {
		if !slices.Contains(names, m.Name()) && !slices.Contains(d.left, m.Name()) {
			d.left = append(d.left, m.Name())
		}
	}
	slices.Sort(d.left)
	once := d.once(text, append([]string{"tip", sub.Channel}, slices.Sorted(slices.Values(sub.LeaveOut))...)...)
	if d.key == nil {
		return d.code, s.submitAgain(ctx, d, sub, names, text, once)
	}
	err = s.submitNew(ctx, d, sub, readers, names, text, once)
	if !errors.Is(err, store.ErrConflict) {
		return d.code, err
	}
	// The same form was sent twice at once, and the other came first. Its
	// tip has another key, so our attachments cannot serve a follow-up.
	first, _, _, err := s.find(ctx, d.code)
	if err != nil {
		return nil, err
	}
	_, c, err := s.loadChain(ctx, first)
	if err != nil {
		return nil, err
	}
	if !c.has(once) {
		return nil, ErrConflict
	}
	return d.code, nil
}

func (s *Service) submitNew(ctx context.Context, d *Draft, sub Submission, readers []*roster.Member, names []string, text, once string) error {
	current := s.Roster()
	defer s.settle(ctx, d.tip, current)
	reply, err := d.code.ReplyIdentity()
	if err != nil {
		return err
	}
	recipients := make([]*seal.Recipient, len(readers))
	for i, m := range readers {
		recipients[i] = m.Card.Recipient
	}
	slots, err := seal.SealKeyslots(seal.NewKeyslot(sub.Channel, d.from.Verifier(), d.key), recipients...)
	if err != nil {
		return err
	}
	replyTo := reply.Recipient().String()
	e, err := (&chain{tip: d.tip}).next(ActionTip, s.Today())
	if err != nil {
		return err
	}
	e.Reply, e.Once, e.To = hash([]byte(replyTo)), once, sub.Channel
	note, sealed, err := d.compose(ctx, e, d.from, sub.Lang, text)
	if err != nil {
		return err
	}
	rec := &tipRecord{
		Version: recordVersion, Box: keyBox(d.code.Locator()), Channel: sub.Channel, Day: e.Day, Readers: names, LeftOut: d.left,
		Key: d.key.Public(), Reply: replyTo, Source: d.from.Verifier(),
		Events: 1, News: e.Day, From: FromSource, Files: len(d.files), Head: hash(note), Bytes: len(sealed),
	}
	rec.derive(foldCase([]*Event{e}, sub.Channel, current))
	return d.apply(ctx, keySealed(d.tip, 1), sealed, append(reindex(d.tip, nil, rec),
		store.Create(rec.Box, []byte(d.tip)),
		store.Create(keyTip(d.tip), encode(rec)),
		store.Create(keySlots(d.tip), encode(slots)),
		store.Create(keyEvent(d.tip, 1), note),
		store.Create(keySealed(d.tip, 1), sealed),
	)...)
}

// apply writes what sends the draft, and notes whether it is sent: the changes
// write the value under the key. An Apply that failed may have written all the
// same; then its attachments must stay.
func (d *Draft) apply(ctx context.Context, key store.Key, value []byte, changes ...store.Change) error {
	err := d.s.cfg.Store.Apply(ctx, changes...)
	if err == nil || errors.Is(err, store.ErrConflict) {
		d.sent = err == nil
		return err
	}
	rec, readErr := d.s.cfg.Store.Get(context.WithoutCancel(ctx), key)
	d.sent = !errors.Is(readErr, store.ErrNotFound) && (readErr != nil || bytes.Equal(rec.Value, value))
	return fmt.Errorf("keeping a message: %w", err)
}

// submitAgain handles a form whose tip is there already.
func (s *Service) submitAgain(ctx context.Context, d *Draft, sub Submission, names []string, text, once string) error {
	rec, c, err := s.loadChain(ctx, d.tip)
	if err != nil || c.has(once) {
		return err
	}
	if rec.Channel != sub.Channel || !slices.Equal(rec.Readers, names) || !slices.Equal(rec.LeftOut, d.left) {
		return ErrReadersChanged
	}
	return s.appendFromSource(ctx, d, sub.Lang, text, once)
}

// checkText normalises a text and checks that the draft says something.
func (d *Draft) checkText(text string) (string, error) {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\r\n", "\n")
	if strings.TrimSpace(text) == "" && len(d.files) == 0 {
		return "", ErrEmpty
	}
	if n := utf8.RuneCountInString(text); n > MaxText {
		return "", fmt.Errorf("%d characters, at most %d: %w", n, MaxText, ErrTooLong)
	}
	return text, nil
}

// once is the same for the same content sent by the same form, and tells
// nothing to whoever has not the receipt. Of a file it takes name, size and
// checksum: enough to notice that a source sends another one.
func (d *Draft) once(text string, form ...string) string {
	type file struct {
		Name string
		Size int64
		Sum  uint32
	}
	files := make([]file, len(d.files))
	for i, f := range d.files {
		files[i] = file{f.Name, f.Size, f.sum}
	}
	content := encode(struct {
		Form  []string
		Text  string
		Files []file
	}{form, text, files})
	return hex.EncodeToString(mac(d.code.Derive("once", 32), "once", content)[:16])
}

// A document is the sealed part of a message.
type document struct {
	Version int    `json:"v"`
	Tip     string `json:"tip"`
	Number  int    `json:"number"`
	Lang    string `json:"lang,omitempty"`
	Text    string `json:"text"`
	Files   []File `json:"files,omitempty"` // as the event's Files, one by one

	Sequence uint64 `json:"sequence,omitempty"` // of what sources send: see sequence

	LeftOut []string `json:"left_out,omitempty"` // members and units that the source left out: never let in
	Detail  *Detail  `json:"detail,omitempty"`   // of a case's event
	Desk    []byte   `json:"desk,omitempty"`     // the Detail of what the source reads too, sealed to the tip key alone
}

// compose seals the document for the event and signs the event.
func (d *Draft) compose(ctx context.Context, e *Event, key *roster.SigningKey, lang, text string) (note, sealed []byte, err error) {
	sequence, err := d.s.nextNumber(ctx)
	if err != nil {
		return nil, nil, err
	}
	doc := document{Sequence: sequence, Version: recordVersion, Tip: e.Tip, Number: e.Number, Lang: cut(lang, 35), Text: text, LeftOut: d.left}
	for _, f := range d.files {
		doc.Files = append(doc.Files, f.File)
		e.Files = append(e.Files, f.EventFile)
	}
	sealed, err = seal.Message(encode(doc), d.to)
	if errors.Is(err, seal.ErrTooLong) && len(d.files) > 0 {
		// A text of MaxText fits; the names of the files did the rest.
		return nil, nil, ErrTooManyFiles
	}
	if err != nil {
		return nil, nil, err
	}
	e.Sealed = hash(sealed)
	note, err = e.sign(key)
	return note, sealed, err
}
