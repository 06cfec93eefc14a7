package tipbox

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
)

// The keys of the store:
//
//	tip/ID              tipRecord: what is clear about a tip
//	slots/ID            seal.Keyslots
//	event/ID/NNNNNN     a signed note: see Event
//	sealed/ID/NNNNNN    the age file that the event of that number names
//	box/HASH            the ID of the tip whose mailbox locator has that hash; if it
//	                    is of a part of an award, with "/" and the part's number
//	inbox/CHANNEL/D/ID  InboxItem; D orders by the last news, newest first
//	over/CHANNEL/D/ID   the same, of a case that is declined or closed
//	state/CHANNEL/STATE/D/ID  empty: a tip whose case is in that state
//	due/CHANNEL/DAY/ID  empty: the next deadline of that tip
//	owner/NAME/D/ID     empty: whose case that tip is
//	granted/NAME/D/ID   empty: who was let in later
//	award/ID            empty: approvers have to decide about an award of that tip
//	payout/ID           Payout: a payment without a voucher
//	paid/KEY            a signed note: see Payment; KEY is of a voucher or payout
//	erased/ID           erasure: who erased that tip
//	form/ID             formKey
//	visit/HASH          the year, and sealed the last two days on which a code was used: see visit.go
//	meta/format         the Format, in digits
//	meta/census         Census: of the day that is in it
//	meta/roster         roster.Mark of the newest roster installed
//	meta/tips           what all tips' records are derived by: see Service.Derive
//	meta/sequence       up to which number all are taken: see sequence
//	meta/compact/DAY    a tip was erased on that day, and the store not compacted
//	meta/figure/RANDOM  figure: what counts of a tip that was erased, nobody knows which
//	meta/award/RANDOM   awardFigures: likewise of its awards
const (
	keyFormat         = store.Key("meta/format")
	keyCensus         = store.Key("meta/census")
	keyRosterMark     = store.Key("meta/roster")
	keyDerived        = store.Key("meta/tips")
	prefixForm        = store.Key("form/")
	prefixTip         = store.Key("tip/")
	prefixState       = store.Key("state/")
	prefixAward       = store.Key("award/")
	prefixBox         = store.Key("box/")
	prefixErased      = store.Key("erased/")
	keySequence       = store.Key("meta/sequence")
	prefixCompact     = store.Key("meta/compact/")
	prefixFigure      = store.Key("meta/figure/")
	prefixPayout      = store.Key("payout/")
	prefixPaid        = store.Key("paid/")
	prefixAwardFigure = store.Key("meta/award/")
	prefixVisit       = store.Key("visit/")
)

func keyTip(id string) store.Key           { return prefixTip + store.Key(id) }
func keySlots(id string) store.Key         { return store.Key("slots/" + id) }
func keyEvents(id string) store.Key        { return store.Key("event/" + id + "/") }
func keyEvent(id string, n int) store.Key  { return keyEvents(id) + number(n) }
func keySealed(id string, n int) store.Key { return keySealeds(id) + number(n) }
func keySealeds(id string) store.Key       { return store.Key("sealed/" + id + "/") }
func keyForm(id string) store.Key          { return prefixForm + store.Key(id) }
func keyInbox(channel string) store.Key    { return store.Key("inbox/" + channel + "/") }
func keyOver(channel string) store.Key     { return store.Key("over/" + channel + "/") }
func keyState(channel string, s State) store.Key {
	return store.Key("state/" + channel + "/" + string(s) + "/")
}
func keyDue(channel string) store.Key  { return store.Key("due/" + channel + "/") }
func keyOwner(name string) store.Key   { return store.Key("owner/" + name + "/") }
func keyGranted(name string) store.Key { return store.Key("granted/" + name + "/") }

// keyInboxItem is the key of the tip's one line in an inbox.
func keyInboxItem(t *tipRecord, id string) store.Key {
	at := store.Key(newestFirst(t.News) + "/" + id)
	if over(t.State, t.From) {
		return keyOver(t.Channel) + at
	}
	return keyInbox(t.Channel) + at
}

// indexPrefixes are those of all records that indexes makes.
var indexPrefixes = []store.Key{"inbox/", "over/", "state/", "due/", "owner/", "granted/", "award/"}

// over reports whether a case asks nothing more of the desk: it is declined or
// closed, and the source has not written since.
func over(state State, lastFrom string) bool { return state.Over() && lastFrom == FromDesk }

// indexes are the records that are derived of a tip's, in the order of their
// keys.
func (t *tipRecord) indexes(id string) []store.Record {
	at := store.Key(newestFirst(t.News) + "/" + id)
	all := []store.Record{{Key: keyInboxItem(t, id), Value: encode(t.item(id))}}
	if t.State != "" {
		all = append(all, store.Record{Key: keyState(t.Channel, t.State) + at})
	}
	if t.Due != "" {
		all = append(all, store.Record{Key: keyDue(t.Channel) + store.Key(t.Due+"/"+id)})
	}
	if t.Owner != "" && !over(t.State, t.From) {
		all = append(all, store.Record{Key: keyOwner(t.Owner) + at})
	}
	if slices.ContainsFunc(t.Awards, AwardLine.deciding) {
		all = append(all, store.Record{Key: prefixAward + store.Key(id)})
	}
	for _, name := range t.Granted {
		all = append(all, store.Record{Key: keyGranted(name) + at})
	}
	slices.SortFunc(all, func(a, b store.Record) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return slices.CompactFunc(all, func(a, b store.Record) bool { return a.Key == b.Key })
}

// reindex moves what is derived of a tip's record. Either record may be nil.
func reindex(id string, before, after *tipRecord) (changes []store.Change) {
	var old, now []store.Record
	if before != nil {
		old = before.indexes(id)
	}
	if after != nil {
		now = after.indexes(id)
	}
	for _, rec := range old {
		if !slices.ContainsFunc(now, func(r store.Record) bool { return r.Key == rec.Key }) {
			changes = append(changes, store.Delete(rec.Key))
		}
	}
	for _, rec := range now {
		if !slices.ContainsFunc(old, func(r store.Record) bool { return r.Key == rec.Key && bytes.Equal(r.Value, rec.Value) }) {
			changes = append(changes, store.Put(rec.Key, rec.Value))
		}
	}
	return changes
}

// inboxTip is the id in the key of a line of an inbox.
func inboxTip(k store.Key) string { return string(k[strings.LastIndexByte(string(k), '/')+1:]) }

func keyErased(id string) store.Key { return prefixErased + store.Key(id) }

// keyBox names a mailbox. The locator itself is never stored.
func keyBox(locator [32]byte) store.Key { return prefixBox + store.Key(boxHash(locator)) }

func boxHash(locator [32]byte) string { return hash(locator[:]) }

func number(n int) store.Key { return store.Key(fmt.Sprintf("%06d", n)) }

// newestFirst maps a day to digits whose order is the days' order reversed.
func newestFirst(day string) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return '0' + '9' - c
		}
		return c
	}, day)
}

// tipRecord is what the server knows of a tip in the clear.
type tipRecord struct {
	Version int       `json:"v"`
	Box     store.Key `json:"box"` // of the mailbox
	Channel string    `json:"channel"`
	Day     string    `json:"day"`     // of receipt
	Readers []string  `json:"readers"` // members who have a keyslot
	Key     string    `json:"key"`     // the tip key's recipient, age1pq1…
	Reply   string    `json:"reply"`   // the source's reply recipient, age1pq1…
	Source  string    `json:"source"`  // the source's verifier key
	Events  int       `json:"events"`  // how many there are
	News    string    `json:"news"`    // day of the last message from the source
	From    string    `json:"from"`    // who wrote last: FromSource or FromDesk
	Files   int       `json:"files"`
	Read    bool      `json:"read"`               // a member has fetched it
	LeftOut []string  `json:"left_out,omitempty"` // members and units that the source left out, for who decides about awards and who is let in later
	Head    string    `json:"head"`               // SHA-256 of the last event's note, hex: the chain goes on from here if that is damaged

	// What fills the thread: see take.
	Bytes        int `json:"bytes"`                   // of all sealed messages but those about awards
	Replies      int `json:"replies"`                 // entries of the desk's, likewise
	ReplyBytes   int `json:"reply_bytes"`             // of the desk's sealed messages, likewise
	AwardEntries int `json:"award_entries,omitempty"` // entries about awards
	AwardBytes   int `json:"award_bytes,omitempty"`   // of their sealed messages

	Parts []store.Key `json:"parts,omitempty"` // the mailboxes of awards' parts

	// Derived from the events: see Case.
	State   State       `json:"state"`
	Owner   string      `json:"owner,omitempty"`
	Due     string      `json:"due,omitempty"` // the next deadline
	DueFor  Action      `json:"due_for,omitempty"`
	Hold    bool        `json:"hold,omitempty"`
	Granted []string    `json:"granted,omitempty"` // of the Readers, those let in later
	Votes   []string    `json:"votes,omitempty"`   // see InboxItem
	Recused []string    `json:"recused,omitempty"`
	Took    []string    `json:"took,omitempty"`
	Awards  []AwardLine `json:"awards,omitempty"`
	Worked  []string    `json:"worked,omitempty"`
	Course  course      `json:"course,omitzero"`
}

// derive takes over what the events come to. Where one is lost they come to
// nothing that can be told, and all stays as it was.
func (t *tipRecord) derive(c *Case) {
	if c.torn {
		return
	}
	t.State, t.Owner, t.Hold = c.State, c.Owner, c.Hold
	t.Votes, t.Recused = append([]string(nil), c.Votes...), append([]string(nil), c.Recused...)
	t.Took, t.Worked = c.Took(), slices.Sorted(maps.Keys(c.worked))
	t.Due, t.DueFor = c.Deadline()
	t.Awards = c.awardLines(t.LeftOut)
	t.Course = c.course()
}

// leftOut reports whether the source left the member or the member's unit out.
func (t *tipRecord) leftOut(m *roster.Member) bool { return leftOut(t.LeftOut, m) }

// leftOutName is leftOut for the member of that name.
func (t *tipRecord) leftOutName(r *roster.Roster, name string) bool {
	m := r.Member(name)
	return m != nil && t.leftOut(m)
}

func (t *tipRecord) item(id string) InboxItem {
	return InboxItem{
		Tip: id, Channel: t.Channel, Day: t.Day, News: t.News,
		From: t.From, Messages: t.Events, Files: t.Files, Readers: t.Readers,
		State: t.State, Owner: t.Owner, Due: t.Due, DueFor: t.DueFor, Hold: t.Hold,
		Votes: t.Votes, Recused: t.Recused, Took: t.Took, Worked: t.Worked,
	}
}

const recordVersion = 1

// encode is for our own record types only, which always encode.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func decode(rec store.Record, v any) error {
	if rec.Err != nil {
		return rec.Err
	}
	if err := decodeStrict(rec.Value, v); err != nil {
		return fmt.Errorf("record %s: %w: %w", rec.Key, store.ErrCorrupt, err)
	}
	return nil
}

// decodeStrict reads one JSON document with known fields and nothing behind.
func decodeStrict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("something stands behind its end")
	}
	return nil
}

func decodeTip(rec store.Record) (*tipRecord, error) {
	t := new(tipRecord)
	if err := decode(rec, t); err != nil {
		return nil, err
	}
	if t.Version != recordVersion {
		return nil, fmt.Errorf("record %s has version %d, this program knows %d: %w", rec.Key, t.Version, recordVersion, store.ErrCorrupt)
	}
	return t, nil
}

func decodeSlots(rec store.Record) (*seal.Keyslots, error) {
	slots := new(seal.Keyslots)
	return slots, decode(rec, slots)
}

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// randomID returns n characters of a-z and 2-7, 5 random bits each.
func randomID(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return lowerBase32.EncodeToString(b)[:n]
}

const (
	tipIDLength  = seal.TipIDLength
	blobIDLength = 32 // the tip's id and 80 random bits
)

// ValidTipID reports whether id can be the id of a tip.
func ValidTipID(id string) bool {
	return len(id) == tipIDLength && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") == ""
}
