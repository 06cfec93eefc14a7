package tipbox

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"tipbox/crypto/receipt"
	"tipbox/store"
)

// A source is told on which day the receipt code was used last, to notice that
// somebody else has it. What is kept for that must not say that a source came, let
// alone whose:
//
//   - Opening a thread writes nothing. The visits of a day are in memory only, and
//     FlushVisits writes them when the day is over, or the server stops, in the order
//     of their keys. A crash loses those that were not written yet.
//   - The key of a record is the SHA-256 of a part of HKDF(code, info "visit", 64
//     bytes), and what it holds is sealed with the rest of that: without the code
//     nothing joins it to a tip, a mailbox or another record. Who has the disk, and
//     copies of it, learns how many codes were used on a day, and which of the
//     unknown ones come again.
//     What was written over stays in the store's file until that is compacted.
//   - Records do not go with their tips, which they are not known to be of. One fades
//     when its code was not used for two whole years. For that the year of the last
//     use is in the clear; a month would be nearer to what tips have in the clear.
//
// What was not used with its code, such as by tipbox claim, is no visit; nor is a code
// that opened nothing, nor one of a part of an award, which its source has as well as
// whoever got it. Of a code that was used on several servers of one store, the
// one that writes last is believed.
//
//	visit/HASH = year "2006" | nonce (24) | XChaCha20-Poly1305(day | day before)
//
// with the record's key and the year as additional data; a day is 2006-01-02, or ten
// zero bytes.
type visits struct {
	mu   sync.Mutex // guards the rest
	days map[store.Key]pendingVisit
	day  string // on which they were last written, or the first of them was
}

// A pendingVisit is what is to be written of a code.
type pendingVisit struct {
	visited
	sealed []byte // the record's value
}

// visited are the last day on which a code was used, and the last one before that.
type visited struct{ last, before string }

// beforeDay is the last day of the two that is before another, or "".
func (v visited) beforeDay(day string) string {
	switch {
	case v.last < day:
		return v.last
	case v.before < day:
		return v.before
	}
	return ""
}

const (
	visitInfo    = "visit"
	visitYear    = len("2006")
	visitDay     = len(time.DateOnly)
	visitLength  = visitYear + chacha20poly1305.NonceSizeX + 2*visitDay + chacha20poly1305.Overhead
	visitYears   = 2 // whole years without a use, after which a record fades
	noVisitedDay = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

// visitKeys are the key of a code's record, and what seals it.
func visitKeys(code *receipt.Code) (store.Key, cipher.AEAD) {
	derived := code.Derive(visitInfo, 64)
	name := sha256.Sum256(derived[:32])
	aead, err := chacha20poly1305.NewX(derived[32:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	return prefixVisit + store.Key(hex.EncodeToString(name[:])), aead
}

// visit notes that a code has opened its thread today, in memory, and returns the
// last day before on which it did, or "". A record that is damaged is as good as none,
// and is not logged: the log would say when somebody came.
func (s *Service) visit(ctx context.Context, code *receipt.Code) (string, error) {
	key, aead := visitKeys(code)
	today := s.Today()
	rec, err := s.cfg.Store.Get(ctx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrCorrupt) {
		return "", fmt.Errorf("reading when a code was used: %w", err)
	}
	var known visited
	if err == nil {
		known = openVisit(rec, aead)
	}
	v := &s.visits
	v.mu.Lock()
	defer v.mu.Unlock()
	if pending, ok := v.days[key]; ok {
		known = pending.visited
	}
	if v.days == nil {
		v.days = make(map[store.Key]pendingVisit)
	}
	if v.day == "" {
		v.day = today
	}
	before := known.beforeDay(today)
	now := visited{today, before}
	v.days[key] = pendingVisit{now, sealVisit(key, now, aead)}
	return before, nil
}

// sealVisit makes the record's value.
func sealVisit(key store.Key, v visited, aead cipher.AEAD) []byte {
	year := v.last[:visitYear]
	before := v.before
	if before == "" {
		before = noVisitedDay
	}
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	rand.Read(nonce)
	return aead.Seal(append([]byte(year), nonce...), nonce, []byte(v.last+before), []byte(string(key)+"\n"+year))
}

// openVisit opens a record's value; the zero visited if it does not open.
func openVisit(rec store.Record, aead cipher.AEAD) visited {
	if checkVisit(rec) != nil {
		return visited{}
	}
	year, nonce, sealed := rec.Value[:visitYear], rec.Value[visitYear:visitYear+chacha20poly1305.NonceSizeX], rec.Value[visitYear+chacha20poly1305.NonceSizeX:]
	days, err := aead.Open(nil, nonce, sealed, []byte(string(rec.Key)+"\n"+string(year)))
	if err != nil {
		return visited{}
	}
	v := visited{string(days[:visitDay]), string(days[visitDay:])}
	if v.before == noVisitedDay {
		v.before = ""
	}
	return v
}

// checkVisit checks the form of a record, which is all that can be checked without
// its code.
func checkVisit(rec store.Record) error {
	if rec.Err != nil {
		return rec.Err
	}
	_, err := time.Parse("2006", string(rec.Value[:min(visitYear, len(rec.Value))]))
	if err != nil || len(rec.Value) != visitLength || !hexHash.MatchString(strings.TrimPrefix(string(rec.Key), string(prefixVisit))) {
		return fmt.Errorf("record %s: a day of use of a code: %w", rec.Key, store.ErrCorrupt)
	}
	return nil
}

// FlushVisits writes the visits that are in memory, in the order of their keys, and
// removes the records that have faded. It does so once a day, when the day is over,
// however often it is called; or at once, for a server that stops. What it cannot
// write stays in memory for the next call.
func (s *Service) FlushVisits(ctx context.Context, now bool) error {
	pending := s.dueVisits(now)
	if pending == nil {
		return nil
	}
	keys := slices.Sorted(maps.Keys(pending))
	for part := range slices.Chunk(keys, store.MaxChanges) {
		changes := make([]store.Change, len(part))
		for i, key := range part {
			changes[i] = store.Put(key, pending[key].sealed)
		}
		if err := s.cfg.Store.Apply(ctx, changes...); err != nil {
			return fmt.Errorf("keeping the days on which codes were used: %w", err)
		}
		s.visits.written(part, pending)
	}
	s.visits.mu.Lock()
	s.visits.day = s.Today()
	s.visits.mu.Unlock()
	return s.fadeVisits(ctx)
}

// dueVisits is a copy of what is to be written now, nil if nothing is to be done.
func (s *Service) dueVisits(now bool) map[store.Key]pendingVisit {
	s.visits.mu.Lock()
	defer s.visits.mu.Unlock()
	if !now && s.visits.day == s.Today() || now && len(s.visits.days) == 0 {
		return nil
	}
	pending := make(map[store.Key]pendingVisit, len(s.visits.days))
	maps.Copy(pending, s.visits.days)
	return pending
}

// written forgets what was written, unless it has changed meanwhile.
func (v *visits) written(keys []store.Key, as map[store.Key]pendingVisit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, key := range keys {
		if v.days[key].visited == as[key].visited {
			delete(v.days, key)
		}
	}
}

// fadeVisits removes the records of codes that were not used for visitYears whole
// years. What cannot be read stays, as Check says.
func (s *Service) fadeVisits(ctx context.Context) error {
	oldest := s.cfg.Now().In(s.cfg.Location).AddDate(-visitYears, 0, 0).Format("2006")
	var faded []store.Change
	err := s.each(ctx, prefixVisit, func(rec store.Record) error {
		if checkVisit(rec) == nil && string(rec.Value[:visitYear]) < oldest {
			faded = append(faded, store.DeleteAt(rec.Key, rec.Revision))
		}
		return nil
	})
	for part := range slices.Chunk(faded, store.MaxChanges) {
		if err == nil {
			err = s.cfg.Store.Apply(ctx, part...)
		}
	}
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("removing the days on which codes were used: %w", err)
	}
	return nil
}
