package bolt

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"go.etcd.io/bbolt"

	"tipbox/store"
)

// maxGroup is the size in bytes after which a commit takes no more requests,
// so that its memory and its time stay bounded.
const maxGroup = 8 << 20

// Apply implements store.Store.
func (d *DB) Apply(ctx context.Context, changes ...store.Change) error {
	if err := store.ValidateChanges(changes); err != nil {
		return err
	}
	if d.readOnly {
		return fmt.Errorf("writing to database %s, opened read-only: %w", d.path, store.ErrInvalid)
	}
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.leave()
	if len(changes) == 0 {
		return nil
	}
	r := &request{changes: changes, turn: make(chan bool, 1)}
	leads, err := d.queue.join(ctx, r)
	if !leads {
		return err
	}
	group := d.queue.take(r)
	d.commit(group)
	d.queue.handOver(group)
	return r.err
}

// A request is one Apply on its way through the queue.
type request struct {
	changes []store.Change
	alone   bool      // shares no commit with others
	turn    chan bool // receives once: true to lead a commit, false when done
	err     error     // the outcome, when done
}

// A queue forms groups of requests that share a commit. Whoever joins and
// finds no commit under way leads one; the others wait. Who has led wakes one
// of those who wait to lead the next, and returns: nobody serves for ever.
type queue struct {
	mu      sync.Mutex // guards what follows
	busy    bool       // somebody leads
	waiting []*request // in the order of their arrival; none unless busy
}

// join returns true if r must lead a commit. If not, r is done, and err is its
// outcome, or it was withdrawn because ctx ended before a commit took it.
func (q *queue) join(ctx context.Context, r *request) (leads bool, err error) {
	q.mu.Lock()
	if !q.busy {
		q.busy = true
		q.mu.Unlock()
		return true, nil
	}
	q.waiting = append(q.waiting, r)
	q.mu.Unlock()

	select {
	case leads = <-r.turn:
		return leads, r.err
	case <-ctx.Done():
	}
	if q.withdraw(r) {
		return false, ctx.Err()
	}
	leads = <-r.turn
	return leads, r.err
}

func (q *queue) withdraw(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, r)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}

// take returns r, which leads, and those who wait, as far as they fit.
func (q *queue) take(r *request) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	size, n := r.size(), 0
	for n < len(q.waiting) && size < maxGroup && !q.waiting[n].alone {
		size += q.waiting[n].size()
		n++
	}
	group := append([]*request{r}, q.waiting[:n]...)
	q.waiting = slices.Delete(q.waiting, 0, n)
	return group
}

// handOver lets the first who waits lead, and tells the group that it is done.
func (q *queue) handOver(group []*request) {
	q.mu.Lock()
	if len(q.waiting) > 0 {
		q.waiting[0].turn <- true
		q.waiting = slices.Delete(q.waiting, 0, 1)
	} else {
		q.busy = false
	}
	q.mu.Unlock()
	for _, r := range group[1:] {
		r.turn <- false
	}
}

func (r *request) size() int {
	n := 0
	for _, c := range r.changes {
		n += len(c.Key) + len(c.Value)
	}
	return n
}

// commit does the group's requests in one transaction and sets their outcomes.
func (d *DB) commit(group []*request) {
	txid := 0
	err := d.guarded(func() error {
		_, tx, err := d.begin(true)
		if err != nil {
			return err
		}
		txid = tx.ID()
		unlockAll(tx)
		wrote, err := write(tx, group)
		if err != nil || !wrote {
			tx.Rollback()
			return err
		}
		return tx.Commit()
	})
	if err == nil {
		d.ResetTimes()
		d.noteChanged(group)
		return
	}
	err = fmt.Errorf("writing to database %s: %w", d.path, err)
	for _, r := range group {
		r.err = err // also of those in conflict: with what, is gone
	}
	d.distrust(txid, err)
}

// noteChanged keeps the keys that a group has written, for Compact.
func (d *DB) noteChanged(group []*request) {
	if d.changed == nil {
		return
	}
	for _, r := range group {
		for _, c := range r.changes {
			if r.err == nil && c.Op != store.OpCheck {
				d.changed[string(c.Key)] = true
			}
		}
	}
}

// write checks and writes one request after the other, and reports whether
// there is anything to commit. An error is one of the whole group.
func write(tx *bbolt.Tx, group []*request) (wrote bool, err error) {
	records := tx.Bucket([]byte(recordsBucket))
	for _, r := range group {
		r.err = caught(func() error { return r.check(records) })
		if r.err != nil {
			continue
		}
		err := caught(func() error {
			w, err := r.write(records)
			wrote = wrote || w
			return err
		})
		if err != nil {
			return false, err
		}
	}
	return wrote, nil
}

// check returns ErrConflict if a condition of r does not hold.
func (r *request) check(records *bbolt.Bucket) error {
	for _, c := range r.changes {
		if c.If == nil {
			continue
		}
		var rev store.Revision
		if stored := records.Get([]byte(c.Key)); stored != nil {
			var err error
			if rev, err = revision([]byte(c.Key), stored); err != nil {
				return err
			}
		}
		if rev != *c.If {
			return fmt.Errorf("%q: %w", c.Key, store.ErrConflict)
		}
	}
	return nil
}

func (r *request) write(records *bbolt.Bucket) (wrote bool, err error) {
	for _, c := range r.changes {
		key := []byte(c.Key)
		switch {
		case c.Op == store.OpPut:
			err = records.Put(key, encode(c.Key, c.Value))
		case c.Op == store.OpDelete && records.Get(key) != nil:
			err = records.Delete(key)
		default:
			continue
		}
		if err != nil {
			return false, err
		}
		wrote = true
	}
	return wrote, nil
}

// distrust looks at the file after transaction txid failed with err. A
// transaction that failed before its meta page was written, on a full disk for
// example, has left no trace and the next may do better. One whose last sync
// failed is there to be read but may not survive a crash, and a second sync
// that succeeds would prove nothing: then the DB stops.
func (d *DB) distrust(txid int, err error) {
	if d.fault.Load() != nil {
		return
	}
	d.guarded(func() error {
		return d.at.Load().bolt.View(func(tx *bbolt.Tx) error {
			if txid != 0 && tx.ID() >= txid {
				d.fail(err)
			}
			return nil
		})
	})
}
