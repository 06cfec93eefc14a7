package tipbox

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"tipbox/store"
)

// A sequence hands out numbers that rise with what sources send, whatever the
// clock says: who came first of two is who has the lower one. A number is sealed
// into the message and stands nowhere else, so that a disk does not tell in which
// order tips came.
//
// The steps are random, from 1 to a million and of any size alike, so that who may
// not read a tip does not learn from the numbers before and after it that it is
// there.
//
// Several servers on one store take their numbers from different blocks, so between
// them the order is that of blocks.
type sequence struct {
	mu        sync.Mutex
	next, end uint64 // guarded by mu: those from next on, before end, are taken from the store
}

const (
	sequenceBlock = 1 << 32 // numbers that are taken from the store at once
	sequenceDay   = 1 << 36 // where a sequence that was lost begins anew: at so many for each day
	sequenceBits  = 20      // of the largest step
)

// step is how far the next number is from the last: the count of its bits is as
// likely to be one as another.
func step() uint64 {
	var b [9]byte
	rand.Read(b[:])
	bits := uint(b[8]) % (sequenceBits + 1)
	return 1 + binary.BigEndian.Uint64(b[:8])&(1<<bits-1)
}

// takenNumbers is up to which number all are taken, and what takes the next block.
// If that is not there, or is damaged, it begins where no number was yet.
func (s *Service) takenNumbers(ctx context.Context) (taken uint64, write store.Change, err error) {
	rec, err := s.cfg.Store.Get(ctx, keySequence)
	next := func() []byte { return binary.BigEndian.AppendUint64(nil, taken+sequenceBlock) }
	switch {
	case err == nil && len(rec.Value) == 8:
		taken = binary.BigEndian.Uint64(rec.Value)
		return taken, store.Update(keySequence, next(), rec.Revision), nil
	case err == nil || errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNotFound):
		const day = 24 * 60 * 60
		taken = uint64(s.cfg.Now().Unix()/day) * sequenceDay
		if errors.Is(err, store.ErrNotFound) {
			return taken, store.Create(keySequence, next()), nil
		}
		return taken, store.Put(keySequence, next()), nil
	}
	return 0, store.Change{}, err
}

// nextNumber is the next number of the sequence.
func (s *Service) nextNumber(ctx context.Context) (uint64, error) {
	q := &s.sequence
	q.mu.Lock()
	defer q.mu.Unlock()
	for range tries {
		if next := q.next + step(); next < q.end {
			q.next = next
			return next, nil
		}
		taken, write, err := s.takenNumbers(ctx)
		if err != nil {
			return 0, fmt.Errorf("reading the sequence: %w", err)
		}
		if err = s.cfg.Store.Apply(ctx, write); err == nil {
			q.next, q.end = taken, taken+sequenceBlock
		} else if !errors.Is(err, store.ErrConflict) {
			return 0, fmt.Errorf("keeping the sequence: %w", err)
		}
	}
	return 0, ErrConflict
}
