package tipbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"filippo.io/age"

	"tipbox/crypto/receipt"
	"tipbox/crypto/seal"
	"tipbox/store"
)

// A Thread is what a source sees with the receipt code. Of the source's own
// messages it holds only the day and the number of files, so that a stolen
// code does not give the tip away.
type Thread struct {
	Channel  string
	Day      string // of receipt
	Read     bool   // a member has fetched it
	Messages []ThreadMessage
	Awards   []ThreadAward
	Proof    bool   // a Proof of it can be had
	LastUsed string // the last day before today on which the code opened it, "" if none is known
	Promised

	// Part is the number of the award that the code is for and, if it is not 0, the
	// only one in Awards; then there is nothing else in the thread.
	Part int
}

// Promised is what a source is told of a case: how far it is, which days were
// promised, and which were kept. Days are "" where there is none yet.
type Promised struct {
	State         State
	AcknowledgeBy string
	Acknowledged  string
	AnswerBy      string
	Answered      string
	Closed        string
}

// A ThreadAward is what a source is told of an award.
type ThreadAward struct {
	Number   int
	State    AwardState
	Amount   int64     // minor units of the currency of
	Schedule *Schedule //
	ClaimBy  string    // the last day, of one that is granted and not on hold
	Warn     bool      // it is near
	Expired  bool      // it is past
	Final    bool      // refused for good
	Choice   string    // of one that was claimed
	Again    bool      // it was claimed, and can be claimed anew: details to be corrected, or what cannot be issued or paid any more
	Lost     bool      // it must be: nobody can pay what was claimed

	Parts    []ThreadAward // those that it was shared in: the Amount is what is left
	NextPart int           // the index of the next part, or 0 if there cannot be one
}

// awards are what whoever has a code is told of the case's awards: not of those that
// nobody has decided about, and with the code of a part of nothing but that.
func (s *Service) awards(c *Case, part int) (awards []ThreadAward) {
	all := 0
	for _, a := range c.Awards {
		if a.Of != 0 {
			all++
		}
	}
	for _, a := range c.Awards {
		if c.own(a.Number, part) == nil {
			continue
		}
		t, ok := s.threadAward(c, a)
		if !ok {
			continue
		}
		if part == 0 {
			parts := c.parts(a)
			for _, b := range parts {
				if shown, ok := s.threadAward(c, b); ok {
					t.Parts = append(t.Parts, shown)
				}
			}
			if a.State == AwardGranted && !t.Expired && t.Amount > t.Schedule.Unit && all < MaxParts {
				t.NextPart = 1
				if len(parts) > 0 {
					t.NextPart = parts[len(parts)-1].Part.Index + 1
				}
			}
		}
		awards = append(awards, t)
	}
	return awards
}

func (s *Service) threadAward(c *Case, a *Award) (t ThreadAward, ok bool) {
	schedule := s.Roster().Schedule(a.Terms.Schedule)
	if a.State == AwardProposed || schedule == nil {
		return t, false
	}
	t = ThreadAward{
		Number: a.Number, State: a.State, Amount: a.Terms.Amount, Schedule: schedule,
		ClaimBy: c.ClaimBy(a), Expired: c.Expired(a, s.Today()), Final: a.Final,
	}
	t.Warn = t.ClaimBy != "" && !t.Expired && s.Today() >= WarnFrom(schedule, t.ClaimBy)
	if a.Claim != nil {
		t.Choice = a.Claim.Choice
		t.Again, t.Lost = s.again(c, a), s.lost(c, a)
	}
	return t, true
}

// A ThreadMessage is one entry of a thread.
type ThreadMessage struct {
	From    string // FromSource or FromDesk
	Day     string
	Text    string // FromDesk only
	Files   int    // FromSource only
	Damaged bool   // the text could not be opened
}

// find returns the tip that the code opens, with its record's revision, or
// ErrNoThread. The code of a part opens none.
func (s *Service) find(ctx context.Context, code *receipt.Code) (id string, t *tipRecord, rev store.Revision, err error) {
	id, part, t, rev, err := s.findBox(ctx, code.Locator())
	if err == nil && part != 0 {
		return "", nil, 0, ErrNoThread
	}
	return id, t, rev, err
}

// findBox returns the tip that the mailbox of a code leads to, and the number of the
// part of an award if the code is for that alone, else 0.
func (s *Service) findBox(ctx context.Context, locator [32]byte) (id string, part int, t *tipRecord, rev store.Revision, err error) {
	box, err := s.cfg.Store.Get(ctx, keyBox(locator))
	if errors.Is(err, store.ErrNotFound) {
		return "", 0, nil, 0, ErrNoThread
	}
	if err == nil {
		id, part, err = boxLeads(box)
	}
	if err != nil {
		return "", 0, nil, 0, fmt.Errorf("finding a thread: %w", err)
	}
	t, rev, err = s.loadTip(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return "", 0, nil, 0, ErrNoThread
	}
	return id, part, t, rev, err
}

func (s *Service) loadTip(ctx context.Context, id string) (*tipRecord, store.Revision, error) {
	rec, err := s.cfg.Store.Get(ctx, keyTip(id))
	if err != nil {
		return nil, 0, fmt.Errorf("tip %s: %w", id, err)
	}
	t, err := decodeTip(rec)
	return t, rec.Revision, err
}

// each calls f with every record under a prefix, until f returns an error.
func (s *Service) each(ctx context.Context, prefix store.Key, f func(store.Record) error) error {
	return each(ctx, s.cfg.Store, prefix, f)
}

func each(ctx context.Context, s store.Store, prefix store.Key, f func(store.Record) error) error {
	var after store.Key
	for {
		recs, err := s.Scan(ctx, prefix, after, store.MaxScan)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			if err := f(rec); err != nil {
				return err
			}
			after = rec.Key
		}
		if len(recs) < store.MaxScan {
			return nil
		}
	}
}

// notes returns the events of a tip as they are stored, by their numbers. Its
// record says how many there are; in the place of one that is damaged or
// missing stands nil.
func (s *Service) notes(ctx context.Context, id string, events int) ([][]byte, error) {
	notes := make([][]byte, events)
	prefix := keyEvents(id)
	err := s.each(ctx, prefix, func(rec store.Record) error {
		if rec.Err != nil {
			return nil
		}
		n, err := strconv.Atoi(strings.TrimPrefix(string(rec.Key), string(prefix)))
		if err != nil || n < 1 || n > maxEntries {
			return fmt.Errorf("record %s: %w", rec.Key, store.ErrCorrupt)
		}
		for len(notes) < n {
			notes = append(notes, nil)
		}
		notes[n-1] = rec.Value
		return nil
	})
	if err == nil && slices.ContainsFunc(notes, func(note []byte) bool { return note == nil }) {
		_, _, err = s.loadTip(ctx, id) // or was it erased meanwhile?
	}
	if err != nil {
		return nil, fmt.Errorf("tip %s: %w", id, err)
	}
	return notes, nil
}

// A loadedTip is a tip's record with the revision it was read at.
type loadedTip struct {
	*tipRecord
	revision store.Revision
}

// loadChain reads a tip and its events.
func (s *Service) loadChain(ctx context.Context, id string) (*loadedTip, *chain, error) {
	t, rev, err := s.loadTip(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	notes, err := s.notes(ctx, id, t.Events)
	if err != nil {
		return nil, nil, err
	}
	c, err := readChain(id, notes, t.Head, &keyring{channel: t.Channel, roster: s.Roster(), checked: true})
	if err != nil {
		return nil, nil, err
	}
	return &loadedTip{t, rev}, c, nil
}

// Thread opens the thread of a receipt code, or the part of an award that it is for.
// ErrNoThread if it opens none.
func (s *Service) Thread(ctx context.Context, code *receipt.Code) (*Thread, error) {
	defer s.brief()()
	id, part, _, _, err := s.findBox(ctx, code.Locator())
	if err != nil {
		return nil, err
	}
	t, c, err := s.loadChain(ctx, id)
	if err != nil {
		return nil, err
	}
	if part != 0 {
		kase := foldCase(c.events, t.Channel, s.Roster())
		if _, err := kase.partOf(id, part); err != nil {
			return nil, err
		}
		return &Thread{Part: part, Awards: s.awards(kase, part)}, nil
	}
	reply, err := code.ReplyIdentity()
	if err != nil {
		return nil, err
	}
	thread := &Thread{Channel: t.Channel, Day: t.Day, Read: t.Read, Proof: s.OffersProof(t.Channel)}
	kase := foldCase(c.events, t.Channel, s.Roster())
	thread.Promised = Promised{
		kase.State, kase.AcknowledgeBy, kase.Acknowledged, kase.AnswerBy, kase.Answered, kase.Closed,
	}
	thread.Awards = s.awards(kase, 0)
	for _, e := range c.events {
		if !e.lost && (e.From() == FromDesk && !e.ToSource() || e.Action == ActionClaim || e.Action == ActionPart) {
			continue
		}
		m := ThreadMessage{From: e.From(), Day: e.Day, Files: len(e.Files)}
		if e.lost {
			s.cfg.Log.Error("a message is damaged: run tipboxd check", "tip", id, "number", e.Number)
			m.From, m.Damaged = FromDesk, true // it may have been theirs
		} else if m.From == FromDesk {
			m.Text, err = s.openReply(ctx, e, reply)
			if err != nil {
				s.cfg.Log.Error("a reply cannot be opened", "tip", id, "number", e.Number, "error", err)
				m.Damaged = true
			}
		}
		thread.Messages = append(thread.Messages, m)
	}
	thread.LastUsed, err = s.visit(ctx, code)
	return thread, err
}

func (s *Service) openReply(ctx context.Context, e *Event, id age.Identity) (string, error) {
	rec, err := s.cfg.Store.Get(ctx, keySealed(e.Tip, e.Number))
	if err != nil {
		return "", err
	}
	doc, err := openDocument(e, rec.Value, id)
	if err != nil {
		return "", err
	}
	return doc.Text, nil
}

// openDocument opens the sealed message of a verified event and checks that it
// is the one that the event names.
func openDocument(e *Event, sealed []byte, id age.Identity) (*document, error) {
	if hash(sealed) != e.Sealed {
		return nil, fmt.Errorf("message %d of tip %s is not the one that was signed: %w", e.Number, e.Tip, ErrInvalid)
	}
	// Whatever is wrong from here on was so when it was signed.
	unreadable := func(why error) error {
		return fmt.Errorf("message %d of tip %s, by %s: %w: %w", e.Number, e.Tip, e.By, ErrUnreadable, why)
	}
	text, err := seal.OpenMessage(sealed, id)
	if err != nil {
		return nil, unreadable(err)
	}
	doc := new(document)
	if err := decodeStrict(text, doc); err != nil {
		return nil, unreadable(err)
	}
	if doc.Version != recordVersion || doc.Tip != e.Tip || doc.Number != e.Number || len(doc.Files) != len(e.Files) {
		return nil, unreadable(errors.New("it says it is another"))
	}
	return doc, nil
}

// Reopen begins a follow-up in the thread of a receipt code.
func (s *Service) Reopen(ctx context.Context, code *receipt.Code) (*Draft, error) {
	return s.newMessage(ctx, code)
}

// FollowUp sends the draft as a follow-up. The nonce is the form's, from
// NewNonce: the same content sent twice with it is one message. When it
// returns nil the message is durable. Errors: ErrEmpty, ErrTooLong,
// ErrTooManyFiles, ErrConflict, or the store's.
func (s *Service) FollowUp(ctx context.Context, d *Draft, nonce, lang, text string) error {
	defer s.brief()()
	text, err := d.checkText(text)
	if err != nil {
		return err
	}
	return s.appendFromSource(ctx, d, lang, text, d.once(text, "message", nonce))
}

// NewNonce makes the nonce of a follow-up form.
func NewNonce() string { return randomID(20) }

// tries is how often an append that met another is done again.
const tries = 16

// appendFromSource adds the draft to its tip, unless a message with the same
// once is there.
func (s *Service) appendFromSource(ctx context.Context, d *Draft, lang, text, once string) error {
	current := s.Roster()
	defer s.settle(ctx, d.tip, current)
	for range tries {
		t, c, err := s.loadChain(ctx, d.tip)
		if errors.Is(err, store.ErrNotFound) {
			return ErrNoThread // erased meanwhile
		}
		if err != nil {
			return err
		}
		if c.has(once) {
			return nil
		}
		e, err := c.next(ActionMessage, s.Today())
		if err != nil {
			return err
		}
		e.Once = once
		note, sealed, err := d.compose(ctx, e, d.from, lang, text)
		if err != nil {
			return err
		}
		kase := foldCase(append(slices.Clone(c.events), e), t.Channel, current)
		changes, err := s.appending(t, e, note, sealed, kase)
		if err != nil {
			return err
		}
		err = d.apply(ctx, keySealed(e.Tip, e.Number), sealed, changes...)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return ErrConflict
}

// What a thread holds at most. The desk has half of it at most, so that no
// member can shut the source out; and all of it can still be sent and read. What
// is about awards has room of its own: neither notes nor messages keep a source
// from what it was promised.
const (
	maxThread      = 2000     // messages
	maxThreadBytes = 64 << 20 // of sealed messages
	maxForAwards   = 300      // entries about awards, besides
	maxAwardBytes  = 16 << 20 // of their sealed messages
	maxEntries     = maxThread + maxForAwards
)

// take counts an entry with its sealed message, and reports whether there is room.
func (t *tipRecord) take(e *Event, sealed int) bool {
	if aboutAward(e.Action) {
		t.AwardEntries++
		t.AwardBytes += sealed
		return t.AwardEntries <= maxForAwards && t.AwardBytes <= maxAwardBytes
	}
	t.Bytes += sealed
	if e.From() == FromDesk {
		t.Replies++
		t.ReplyBytes += sealed
	}
	return t.Events-t.AwardEntries <= maxThread && t.Bytes <= maxThreadBytes &&
		(e.From() == FromSource || t.Replies <= maxThread/2 && t.ReplyBytes <= maxThreadBytes/2)
}

// appending is what writes a verified event and moves what is derived from it,
// unless the tip has changed since it was read. ErrFull if there is no room.
//
// The case is what the events come to with this one.
func (s *Service) appending(t *loadedTip, e *Event, note, sealed []byte, kase *Case) ([]store.Change, error) {
	changed := *t.tipRecord
	changed.Events = e.Number
	changed.Head = hash(note)
	changed.Files += len(e.Files)
	switch {
	case e.Action == ActionPart: // for nobody yet
		changed.Parts = append(slices.Clone(changed.Parts), e.Part.box())
	case e.From() == FromSource && !aboutAward(e.Action): // else it is for approvers
		changed.From, changed.News = FromSource, e.Day
	case e.ToSource():
		changed.From = FromDesk
	}
	if !changed.take(e, len(sealed)) {
		return nil, ErrFull
	}
	if e.Action == ActionGrant {
		changed.Readers = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(changed.Readers), e.Member))))
		if !slices.Contains(changed.Granted, e.Member) {
			changed.Granted = append(slices.Clone(changed.Granted), e.Member)
		}
	}
	changed.derive(kase)
	if kase.torn { // nothing else may be told, but what keeps it from being erased
		switch e.Action {
		case ActionHold, ActionRelease:
			changed.Hold = e.Action == ActionHold
		case ActionReverify:
			changed.State = StateReverifying
		}
	}
	changes := append(reindex(e.Tip, t.tipRecord, &changed),
		store.Update(keyTip(e.Tip), encode(changed), t.revision),
		store.Create(keyEvent(e.Tip, e.Number), note),
	)
	if e.Sealed != "" {
		changes = append(changes, store.Create(keySealed(e.Tip, e.Number), sealed))
	}
	return changes, nil
}
