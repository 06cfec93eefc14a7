package tipbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
)

// An InboxItem is one line of a member's inbox: what is clear about a tip.
type InboxItem struct {
	Tip      string   `json:"tip"`
	Channel  string   `json:"channel"`
	Day      string   `json:"day"`      // of receipt
	News     string   `json:"news"`     // day of the source's last message
	From     string   `json:"from"`     // who wrote last: "source" waits for an answer
	Messages int      `json:"messages"` //
	Files    int      `json:"files"`    //
	Readers  []string `json:"readers"`  // members who can open it

	State  State  `json:"state"`
	Owner  string `json:"owner,omitempty"`
	Due    string `json:"due,omitempty"`     // the next deadline
	DueFor Action `json:"due_for,omitempty"` // what must be done by then
	Hold   bool   `json:"hold,omitempty"`

	Votes   []string `json:"votes,omitempty"`   // who voted in this round
	Recused []string `json:"recused,omitempty"` // who takes no part
	Took    []string `json:"took,omitempty"`    // who had a part that keeps them from a re-verification
	Worked  []string `json:"worked,omitempty"`  // who investigated, and so does not close
}

// An InboxFilter says which tips to list: those whose case is not over, unless it
// says otherwise. Empty fields leave nothing out.
type InboxFilter struct {
	Channel string
	State   State
	Owner   string // a member's name
	Over    bool   // list what is declined or closed instead
	ByDue   bool   // list what has a deadline, the earliest first
}

// Has reports whether the filter lets an item through.
func (f InboxFilter) Has(i InboxItem) bool {
	return (f.Channel == "" || i.Channel == f.Channel) && (f.State == "" || i.State == f.State) &&
		(f.Owner == "" || i.Owner == f.Owner) && (f.State != "" || over(i.State, i.From) == f.Over) && (!f.ByDue || i.Due != "")
}

// prefixes are the lists that have what the filter asks for, of which the member
// may see some.
func (f InboxFilter) prefixes(m *roster.Member) (prefixes []store.Key) {
	list := keyInbox
	switch {
	case f.ByDue:
		list = keyDue
	case f.State != "":
		list = func(channel string) store.Key { return keyState(channel, f.State) }
	case f.Over:
		list = keyOver
	case f.Owner != "":
		return []store.Key{keyOwner(f.Owner)}
	}
	if m.Has(roster.Investigator) {
		for _, channel := range m.Channels {
			prefixes = append(prefixes, list(channel))
		}
	}
	if m.Has(roster.Reviewer) && !f.ByDue {
		prefixes = append(prefixes, keyGranted(m.Name()))
	}
	return prefixes
}

// MaxPage is the most items on a page of the inbox.
const MaxPage = 200

// Inbox returns a page of the tips that the member may read and the filter asks
// for, those with the latest news first, and the cursor of the next page: "" at
// the end. Begin with cursor "".
func (s *Service) Inbox(ctx context.Context, m *roster.Member, filter InboxFilter, cursor string, limit int) (items []InboxItem, next string, err error) {
	defer s.brief()()
	if err := s.mayRead(m); err != nil {
		return nil, "", err
	}
	if filter.Owner != "" && roster.CheckName(filter.Owner) != nil {
		return nil, "", fmt.Errorf("owner %.40q: %w", filter.Owner, ErrInvalid)
	}
	if strings.ContainsFunc(cursor, func(c rune) bool { return c <= ' ' || c > '~' }) || len(cursor) > 100 {
		return nil, "", fmt.Errorf("cursor: %w", ErrInvalid)
	}
	limit = min(max(limit, 1), MaxPage)
	type entry struct {
		at string // day and tip, the order of the inbox and the cursor
		InboxItem
	}
	var page []entry
	for _, prefix := range filter.prefixes(m) {
		after := prefix + store.Key(cursor)
		for n := 0; n <= limit; {
			recs, err := s.cfg.Store.Scan(ctx, prefix, after, limit+1)
			if err != nil {
				return nil, "", fmt.Errorf("reading the inbox: %w", err)
			}
			for _, rec := range recs {
				e := entry{at: strings.TrimPrefix(string(rec.Key), string(prefix))}
				if e.InboxItem, err = s.inboxItem(ctx, rec); err != nil {
					return nil, "", err
				}
				if slices.Contains(e.Readers, m.Name()) && (m.Investigates(e.Channel) || m.Reviews(e.Channel)) && filter.Has(e.InboxItem) {
					page = append(page, e)
					n++
				}
				after = rec.Key
			}
			if len(recs) <= limit {
				break
			}
		}
	}
	slices.SortFunc(page, func(a, b entry) int { return strings.Compare(a.at, b.at) })
	page = slices.CompactFunc(page, func(a, b entry) bool { return a.Tip == b.Tip }) // in two lists
	if len(page) > limit {
		page = page[:limit]
		next = page[limit-1].at
	}
	for _, e := range page {
		items = append(items, e.InboxItem)
	}
	return items, next, nil
}

// inboxItem reads a line of an inbox. One that is damaged is made anew of the
// tip's record; if that is damaged too, nobody can read the tip, and it is a
// line without readers.
func (s *Service) inboxItem(ctx context.Context, rec store.Record) (item InboxItem, err error) {
	if rec.Err != nil || len(rec.Value) > 0 { // else a line that only leads to the tip
		if err = decode(rec, &item); err == nil {
			return item, nil
		}
		s.cfg.Log.Error("a line of the inbox is damaged: run tipboxd check", "error", err)
	}
	id := inboxTip(rec.Key)
	if !ValidTipID(id) {
		return InboxItem{}, nil
	}
	t, _, err := s.loadTip(ctx, id)
	if errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNotFound) {
		return InboxItem{}, nil
	}
	if err != nil {
		return InboxItem{}, err
	}
	return t.item(id), nil
}

// A TipFile is a tip as it is stored and as a member's tool gets it: nothing
// in it is to be believed before OpenTip has checked it.
type TipFile struct {
	Tip     string         `json:"tip"`
	Channel string         `json:"channel"`
	Day     string         `json:"day"`
	Reply   string         `json:"reply"` // the source's reply recipient
	Slots   *seal.Keyslots `json:"slots,omitempty"`
	Key     string         `json:"key,omitempty"`    // for approvers, who have no slot: the tip key's recipient
	Source  string         `json:"source,omitempty"` // likewise: the source's verifier key
	Head    string         `json:"head"`             // SHA-256 of the last event's note, hex
	Events  []SealedEvent  `json:"events"`
}

// A SealedEvent is an event's signed note with the sealed message it names. One
// or both are empty if the server has lost them.
type SealedEvent struct {
	Note   string `json:"note"`
	Sealed []byte `json:"sealed,omitempty"` // age file
}

// Tip returns the tip, if the member may read it: else ErrNotFound, as if it
// were not there.
func (s *Service) Tip(ctx context.Context, m *roster.Member, id string) (*TipFile, error) {
	defer s.brief()()
	t, err := s.tipFor(ctx, m, id)
	if err != nil {
		return nil, err
	}
	s.markRead(ctx, id, t)
	slots, err := s.cfg.Store.Get(ctx, keySlots(id))
	if err != nil {
		return nil, fmt.Errorf("tip %s: keyslots: %w", id, err)
	}
	file := &TipFile{Tip: id, Channel: t.Channel, Day: t.Day, Reply: t.Reply, Head: t.Head}
	if file.Slots, err = decodeSlots(slots); err != nil {
		return nil, err
	}
	notes, err := s.notes(ctx, id, t.Events)
	if err != nil {
		return nil, err
	}
	for i, note := range notes {
		if e, err := parseEvent(note); note != nil && err == nil && e.Sealed == "" {
			file.Events = append(file.Events, SealedEvent{Note: string(note)})
			continue
		}
		sealed, err := s.cfg.Store.Get(ctx, keySealed(id, i+1))
		if note == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
			s.cfg.Log.Error("a message is damaged: run tipboxd check", "tip", id, "number", i+1)
		} else if err != nil {
			return nil, fmt.Errorf("tip %s: message %d: %w", id, i+1, err)
		}
		file.Events = append(file.Events, SealedEvent{Note: string(note), Sealed: sealed.Value})
	}
	return file, nil
}

// markRead notes that a member has fetched the tip, before it is handed out: from
// then on it is not the source's alone to erase.
func (s *Service) markRead(ctx context.Context, id string, t *loadedTip) {
	var err error
	for range tries {
		if t.Read {
			return
		}
		read := *t.tipRecord
		read.Read = true
		err = s.cfg.Store.Apply(ctx, store.Update(keyTip(id), encode(read), t.revision))
		if !errors.Is(err, store.ErrConflict) {
			break
		}
		if t.tipRecord, t.revision, err = s.loadTip(ctx, id); err != nil {
			break
		}
	}
	if err != nil {
		s.cfg.Log.Error("not noted that a tip was read", "tip", id, "error", err)
	}
}

// mayRead checks that the member is one now and reads tips at all.
func (s *Service) mayRead(m *roster.Member) error {
	if now := s.Roster().Member(m.Name()); now == nil || now.CardText != m.CardText {
		return fmt.Errorf("%s with this key is no longer in the roster: %w", m.Name(), ErrForbidden)
	}
	if !m.Has(roster.Investigator) && !m.Has(roster.Reviewer) {
		return fmt.Errorf("reading tips takes the role %s or %s: %w", roster.Investigator, roster.Reviewer, ErrForbidden)
	}
	return nil
}

// tipFor is the one place that decides whether a member may see a tip.
func (s *Service) tipFor(ctx context.Context, m *roster.Member, id string) (*loadedTip, error) {
	if err := s.mayRead(m); err != nil {
		return nil, err
	}
	if !ValidTipID(id) {
		return nil, fmt.Errorf("tip %.40q: %w", id, ErrNotFound)
	}
	t, rev, err := s.loadTip(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("tip %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if !m.Investigates(t.Channel) && !m.Reviews(t.Channel) || !slices.Contains(t.Readers, m.Name()) {
		return nil, fmt.Errorf("tip %s: %w", id, ErrNotFound)
	}
	return &loadedTip{t, rev}, nil
}

// Attachment opens a sealed attachment of a tip that the member may read.
func (s *Service) Attachment(ctx context.Context, m *roster.Member, id, blob string) (store.Blob, error) {
	if _, err := s.tipFor(ctx, m, id); err != nil {
		return nil, err
	}
	if store.ValidateBlobName(blob) != nil || !strings.HasPrefix(blob, id) {
		return nil, fmt.Errorf("attachment of tip %s: %w", id, ErrNotFound)
	}
	b, err := s.cfg.Blobs.Open(ctx, blob)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("attachment of tip %s: %w", id, ErrNotFound)
	}
	return b, err
}

// maxSealed bounds a sealed message, in bytes: the largest bucket and a header
// of two recipients.
const maxSealed = seal.MaxMessage + 16<<10

// Append adds an event that the member signed, with its sealed message. It
// checks that the member may, and that the event follows the tip's last one:
// ErrConflict if another came first. Its day must be today, give or take one
// for clocks and time zones. A RuleError says which rule of the cases forbids it.
// ActionErase takes the tip away, and has no message; that of ActionGrant is the
// keyslot's file.
func (s *Service) Append(ctx context.Context, m *roster.Member, id string, note, sealed []byte) error {
	defer s.brief()()
	if len(sealed) > maxSealed || len(note) > maxNote {
		return fmt.Errorf("message of %d bytes: %w", len(sealed), ErrTooLong)
	}
	e, err := parseEvent(note)
	may := s.tipFor
	if err == nil && slices.Contains([]Action{ActionApprove, ActionRefuse, ActionIssue}, e.Action) {
		may = s.awardTip
	}
	if _, err := may(ctx, m, id); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	t, c, err := s.loadChain(ctx, id)
	if err != nil {
		return err
	}
	switch {
	case e.By != m.Name():
		return fmt.Errorf("it is signed as %.40q: %w", e.By, ErrForbidden)
	case e.From() != FromDesk:
		return fmt.Errorf("%s is the source's: %w", e.Action, ErrForbidden)
	case e.Number <= len(c.events):
		return ErrConflict
	case len(e.Files) > 0:
		return fmt.Errorf("a reply has no files: %w", ErrInvalid)
	case e.Sealed != "" && (e.Sealed != hash(sealed) || !s.isMessage(e, sealed)):
		return fmt.Errorf("the message is not the one that was signed, or none: %w", ErrInvalid)
	case !mayTake(m, t.Channel, e.Action):
		step, _ := StepOf(e.Action)
		return against(RuleRole, "to %s takes the role %v in channel %s", e.Action, step.Roles, t.Channel)
	}
	// What the past was signed with, a former key too, signs nothing new.
	if _, err := roster.Verify(note, m.Card.Verifier); err != nil {
		return fmt.Errorf("it is not signed with the key of %s in the roster: %w", m.Name(), ErrForbidden)
	}
	if err := s.checkDay(e.Day); err != nil && (e.Day != c.latest(FromDesk) || e.Day < s.Today()) {
		return err
	}
	current := s.Roster()
	defer s.settle(ctx, id, current)
	kase := foldCase(c.events, t.Channel, current)
	if err := kase.sure(e); err != nil {
		return err
	}
	if err := s.checkShares(ctx, t, kase, e); err != nil {
		return err
	}
	if err := c.extend(e, note); err != nil {
		return err
	}
	if err := kase.apply(e); err != nil {
		return err
	}
	if e.Action == ActionErase && kase.torn && len(t.Awards) > 0 {
		return against(RuleAward, "an entry of the case is lost, and with it whether its award was claimed: have it restored from a backup")
	}
	if e.Action == ActionErase && t.Hold { // also where an event is lost
		return against(RuleHold, "the case is on hold: tipbox release %s", e.Tip)
	}
	if err := s.checkMembers(t, e); err != nil {
		return err
	}
	if e.Action == ActionErase {
		return s.eraseSigned(ctx, m, t, e, note)
	}
	changes, err := s.appending(t, e, note, sealed, kase)
	if err != nil {
		return err
	}
	if a := kase.award(e.Award); e.Action == ActionIssue && a != nil && a.State == AwardPayable {
		order, err := s.orderPayout(ctx, a, e)
		if err != nil {
			return err
		}
		changes = append(changes, order)
	}
	if e.Action == ActionGrant {
		slots, err := s.addSlot(ctx, e, sealed)
		if err != nil {
			return err
		}
		changes = append(changes, slots)
	}
	err = s.cfg.Store.Apply(ctx, changes...)
	if errors.Is(err, store.ErrConflict) {
		return ErrConflict
	}
	return err
}

// isMessage reports whether a member's message is sealed to as many keys as it must
// be: the tip's and, if it is for the source, the source's; an award's to some of
// the approvers, for the source may have left others out.
func (s *Service) isMessage(e *Event, sealed []byte) bool {
	switch {
	case e.ToSource():
		return seal.IsMessage(sealed, 2)
	case e.Action != ActionAward && e.Action != ActionInform:
		return seal.IsMessage(sealed, 1)
	}
	for n := range s.Roster().With(roster.Approver) {
		if seal.IsMessage(sealed, 2+n) {
			return true
		}
	}
	return false
}

const (
	maxNote    = 64 << 10 // bytes of a member's event: one with signatures of vouchers
	maxGranted = 50       // members let in later: each moves an index with every event
)

// checkMembers checks that the members whom an event names are fit for it as the
// roster stands.
func (s *Service) checkMembers(t *loadedTip, e *Event) error {
	switch e.Action {
	case ActionAssign:
		if m := s.Roster().Member(e.Owner); m == nil || !m.Investigates(t.Channel) || !slices.Contains(t.Readers, e.Owner) {
			return against(RuleOwner, "%s is no investigator of channel %s who can read this case", e.Owner, t.Channel)
		}
	case ActionGrant:
		m := s.Roster().Member(e.Member)
		switch {
		case m == nil || !m.Investigates(t.Channel) && !m.Reviews(t.Channel):
			return against(RuleGrant, "%s is neither investigator nor reviewer of channel %s", e.Member, t.Channel)
		case t.leftOut(m):
			return against(RuleGrant, "the source left %s out: whoever the tip is about never gets its key", e.Member)
		case slices.Contains(t.Readers, e.Member) && !slices.Contains(t.Granted, e.Member): // once more, if the first was none
			return against(RuleGrant, "%s can read it already", e.Member)
		case len(t.Readers) >= roster.MaxReaders || len(t.Granted) >= maxGranted:
			return against(RuleGrant, "%d members can read it, and more cannot", len(t.Readers))
		}
	}
	return nil
}

// maxSlot bounds a keyslot's file of one recipient, in bytes.
const maxSlot = 16 << 10

// addSlot adds the keyslot's file that the event names.
func (s *Service) addSlot(ctx context.Context, e *Event, file []byte) (store.Change, error) {
	if len(file) > maxSlot || hash(file) != e.Slot {
		return store.Change{}, fmt.Errorf("the keyslot is not the one that was signed: %w", ErrInvalid)
	}
	rec, err := s.cfg.Store.Get(ctx, keySlots(e.Tip))
	if err != nil {
		return store.Change{}, err
	}
	slots, err := decodeSlots(rec)
	if err != nil {
		return store.Change{}, err
	}
	if len(slots.Files) > 2*maxGranted {
		return store.Change{}, against(RuleGrant, "it was granted so often that no more can be kept")
	}
	slots.Files = append(slots.Files, file)
	return store.Update(rec.Key, encode(slots), rec.Revision), nil
}

func (s *Service) checkDay(day string) error {
	now := s.cfg.Now().In(s.cfg.Location)
	if day < now.AddDate(0, 0, -1).Format(time.DateOnly) || day > now.AddDate(0, 0, 1).Format(time.DateOnly) {
		return fmt.Errorf("it is dated %.10s, and today is %s here: is a clock wrong?: %w", day, s.Today(), ErrInvalid)
	}
	return nil
}
