// Package mem keeps records and blobs in memory, for tests. It honours the
// contracts of package store except for the one thing memory cannot do: what
// it holds is gone when the process ends.
package mem

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"

	"tipbox/store"
)

var _ store.Store = (*Store)(nil)

// Store is a store.Store in memory. Make it with New.
type Store struct {
	mu      sync.RWMutex   // guards what follows
	records []store.Record // in key order
	closed  bool
}

// New returns an empty Store.
func New() *Store { return new(Store) }

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key store.Key) (store.Record, error) {
	if err := key.Valid(); err != nil {
		return store.Record{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return store.Record{}, err
	}
	i, ok := s.find(key)
	if !ok {
		return store.Record{}, fmt.Errorf("%q: %w", key, store.ErrNotFound)
	}
	return clone(s.records[i]), nil
}

// Scan implements store.Store.
func (s *Store) Scan(ctx context.Context, prefix, after store.Key, limit int) ([]store.Record, error) {
	if err := store.ValidateScan(prefix, after, limit); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	i, ok := s.find(max(prefix, after))
	if ok && s.records[i].Key == after {
		i++
	}
	limit = min(limit, store.MaxScan)
	var found []store.Record
	for _, r := range s.records[i:] {
		if len(found) == limit || !strings.HasPrefix(string(r.Key), string(prefix)) {
			break
		}
		found = append(found, clone(r))
	}
	return found, nil
}

// Apply implements store.Store.
func (s *Store) Apply(ctx context.Context, changes ...store.Change) error {
	if err := store.ValidateChanges(changes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	for _, c := range changes {
		if c.If != nil && *c.If != s.revision(c.Key) {
			return fmt.Errorf("%q: %w", c.Key, store.ErrConflict)
		}
	}
	for _, c := range changes {
		s.write(c)
	}
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// usable says why a call may not go on. The caller holds mu.
func (s *Store) usable(ctx context.Context) error {
	if s.closed {
		return fmt.Errorf("memory store: %w", store.ErrClosed)
	}
	return ctx.Err()
}

func (s *Store) find(key store.Key) (int, bool) {
	return slices.BinarySearchFunc(s.records, key, func(r store.Record, k store.Key) int {
		return cmp.Compare(r.Key, k)
	})
}

func (s *Store) revision(key store.Key) store.Revision {
	i, ok := s.find(key)
	if !ok {
		return 0
	}
	return s.records[i].Revision
}

func (s *Store) write(c store.Change) {
	i, there := s.find(c.Key)
	switch {
	case c.Op == store.OpPut && there:
		s.records[i] = newRecord(c)
	case c.Op == store.OpPut:
		s.records = slices.Insert(s.records, i, newRecord(c))
	case c.Op == store.OpDelete && there:
		s.records = slices.Delete(s.records, i, i+1)
	}
}

func newRecord(c store.Change) store.Record {
	return store.Record{Key: c.Key, Value: append([]byte{}, c.Value...), Revision: newRevision()}
}

func clone(r store.Record) store.Record {
	r.Value = append([]byte{}, r.Value...)
	return r
}

// newRevision draws a revision; 64 random bits neither repeat nor tell an order.
func newRevision() store.Revision {
	var b [8]byte
	for {
		rand.Read(b[:])
		if r := binary.BigEndian.Uint64(b[:]); r != 0 {
			return store.Revision(r)
		}
	}
}
