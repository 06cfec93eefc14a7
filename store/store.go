// Package store defines what Tipbox asks of whatever keeps its data: a small
// durable map with conditional atomic writes ([Store]) and a place for large
// sealed files ([Blobs]).
//
// Both are content-blind. They know keys, values and revisions, never tips or
// cases, so a feature never touches a backend and a backend never learns a
// rule. Neither may keep anything that tells when, or in which order, records
// arrived beyond what the caller wrote into them.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Errors that every backend returns, wrapped with detail. Test with errors.Is.
var (
	// ErrNotFound means that nothing is kept under that key or blob name.
	ErrNotFound = errors.New("not found")
	// ErrConflict means that a change's condition did not hold; nothing of
	// its Apply was written. Read again, decide again.
	ErrConflict = errors.New("changed by somebody else")
	// ErrExists means that a blob of that name is already committed.
	ErrExists = errors.New("already exists")
	// ErrTooLarge means that an Apply is over MaxChanges or MaxBytes.
	ErrTooLarge = errors.New("too large for one write")
	// ErrInvalid means that a key, blob name or change is malformed: a fault
	// of the program, not of its user.
	ErrInvalid = errors.New("invalid")
	// ErrLocked means that another process has the store open.
	ErrLocked = errors.New("in use by another process")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("closed")
	// ErrCorrupt means that what was read is not what was written.
	ErrCorrupt = errors.New("damaged")
)

// Limits of one Apply, and of a key. They are those of the smallest backend
// we mean to support (etcd).
const (
	MaxChanges = 128
	MaxBytes   = 1 << 20 // keys and values of all changes together
	MaxKey     = 512     // bytes
	MaxScan    = 1000    // records one Scan returns at most
)

// A Key names a record. It is a slash-separated path of printable ASCII
// without spaces, such as "tip/k3f7qwzm2abcdefg", at most MaxKey bytes long. Keys
// are ordered bytewise.
type Key string

// Valid reports, as an error wrapping ErrInvalid, what is wrong with k.
func (k Key) Valid() error {
	if k == "" || len(k) > MaxKey {
		return fmt.Errorf("key of %d bytes: %w", len(k), ErrInvalid)
	}
	if i := strings.IndexFunc(string(k), func(r rune) bool { return r <= ' ' || r > '~' }); i >= 0 {
		return fmt.Errorf("key %q: byte %d: %w", k, i, ErrInvalid)
	}
	return nil
}

// A Revision identifies one written value of one key: it is different after
// every write, also after a delete and a new create. Zero is the revision of
// a record that is not there. It tells nothing else, least of all an order.
type Revision uint64

// A Record is a key with the value it has at a revision.
type Record struct {
	Key      Key
	Value    []byte
	Revision Revision

	// Err wraps ErrCorrupt if Scan met the record damaged; then there is no
	// Value and no Revision, and its Key may not be the one that was written.
	// It is nil in all other records.
	Err error
}

// An Op says what a Change does.
type Op uint8

// The operations of a Change.
const (
	OpPut    Op = iota + 1 // write Value
	OpDelete               // remove the record; no error if there is none
	OpCheck                // write nothing, only hold the condition
)

// A Change is one part of an Apply. Make it with Create, Put, Update, Delete,
// DeleteAt or Check.
type Change struct {
	Op    Op
	Key   Key
	Value []byte    // OpPut only; may be empty
	If    *Revision // the revision the record must have; nil: any
}

// Create writes a record that must not exist yet.
func Create(k Key, value []byte) Change { return Update(k, value, 0) }

// Put writes a record, whatever was there.
func Put(k Key, value []byte) Change { return Change{Op: OpPut, Key: k, Value: value} }

// Update writes a record that must still be at revision r.
func Update(k Key, value []byte, r Revision) Change {
	return Change{Op: OpPut, Key: k, Value: value, If: &r}
}

// Delete removes a record, whatever was there.
func Delete(k Key) Change { return Change{Op: OpDelete, Key: k} }

// DeleteAt removes a record that must still be at revision r.
func DeleteAt(k Key, r Revision) Change { return Change{Op: OpDelete, Key: k, If: &r} }

// Check makes the Apply fail unless the record is at revision r (0: absent).
func Check(k Key, r Revision) Change { return Change{Op: OpCheck, Key: k, If: &r} }

// Store is a durable, ordered map with conditional atomic writes. Its methods
// may be called from several goroutines at once.
//
// Values that come back belong to the caller; values handed in are copied
// before the call returns.
type Store interface {
	// Get returns the record under key, or ErrNotFound. A malformed key is
	// ErrInvalid. A damaged record is ErrCorrupt.
	Get(ctx context.Context, key Key) (Record, error)

	// Scan returns, in key order, at most limit records (at most MaxScan)
	// whose keys begin with prefix and are greater than after. An empty
	// prefix is every key; an empty after is from the first. It sees one
	// consistent state. To go on, pass the last key as after. A limit below 1
	// and a malformed prefix or after are ErrInvalid.
	//
	// A damaged record hides no other: it comes with an Err in place of a
	// value, and perhaps out of order. ErrCorrupt means that more is damaged
	// than records.
	Scan(ctx context.Context, prefix Key, after Key, limit int) ([]Record, error)

	// Apply makes all the changes or none. When it returns nil they are
	// durable: a crash of the process or the machine does not lose them. A
	// condition that does not hold is ErrConflict and nothing was written; a
	// key named by two changes is ErrInvalid. After any other error the
	// caller must not assume either outcome: reading tells. A cancelled ctx
	// may be noticed only before the write begins: then nothing is written
	// and the error is the context's. No changes at all is no error.
	//
	// A damaged record meets no condition: ErrCorrupt. Put and Delete
	// replace and remove it like any other.
	Apply(ctx context.Context, changes ...Change) error

	// Close waits for what is under way and releases the store. Later calls
	// return ErrClosed. Closing twice is harmless.
	Close() error
}

// ValidateScan checks what every backend must refuse before it scans. It is
// for backends.
func ValidateScan(prefix, after Key, limit int) error {
	for _, k := range []Key{prefix, after} {
		if k == "" {
			continue
		}
		if err := k.Valid(); err != nil {
			return err
		}
	}
	if limit < 1 {
		return fmt.Errorf("limit of %d: %w", limit, ErrInvalid)
	}
	return nil
}

// ValidateChanges checks what every backend must refuse before it writes:
// malformed keys, a key named twice, and the limits. It is for backends.
func ValidateChanges(changes []Change) error {
	if len(changes) > MaxChanges {
		return fmt.Errorf("%d changes, at most %d: %w", len(changes), MaxChanges, ErrTooLarge)
	}
	seen := make(map[Key]bool, len(changes))
	size := 0
	for _, c := range changes {
		if err := c.Key.Valid(); err != nil {
			return err
		}
		if c.Op < OpPut || c.Op > OpCheck || c.Op == OpCheck && c.If == nil {
			return fmt.Errorf("change of %q: %w", c.Key, ErrInvalid)
		}
		if seen[c.Key] {
			return fmt.Errorf("key %q named twice: %w", c.Key, ErrInvalid)
		}
		seen[c.Key] = true
		size += len(c.Key) + len(c.Value)
	}
	if size > MaxBytes {
		return fmt.Errorf("%d bytes, at most %d: %w", size, MaxBytes, ErrTooLarge)
	}
	return nil
}

// Blobs keeps large sealed files, each written once as a stream and never
// changed. A blob's name is chosen by the caller and must be random, 16 to 64
// lower-case letters and digits: see ValidateBlobName.
//
// A blob is committed before the record that names it, so a blob that no
// record names is an orphan: left by a crash, and to be removed by a sweep.
type Blobs interface {
	// Create begins a blob. ErrExists if one of that name is committed.
	Create(ctx context.Context, name string) (BlobWriter, error)

	// Open opens a committed blob, or returns ErrNotFound.
	Open(ctx context.Context, name string) (Blob, error)

	// Remove deletes a committed blob, durably; one that is not there is no
	// error.
	Remove(ctx context.Context, name string) error

	// List calls f with the name and size in bytes of every committed blob,
	// in no particular order, until f returns an error, which it returns. f
	// may call Remove.
	List(ctx context.Context, f func(name string, size int64) error) error
}

// A BlobWriter receives a blob. Exactly one of Commit and Abort ends it; Abort
// after Commit does nothing, so it may be deferred. Write and Commit after the
// end are errors. A BlobWriter is for one goroutine.
type BlobWriter interface {
	io.Writer

	// Commit makes the blob durable under its name: when it returns nil,
	// content and name survive a crash of the machine. After an error what
	// was written is gone, as after Abort; ErrExists means that another
	// writer committed that name first, and its blob stays.
	Commit() error

	// Abort removes what was written.
	Abort()
}

// A Blob is an open, committed blob. ReadAt may be called concurrently.
type Blob interface {
	io.ReaderAt
	io.Closer

	// Size is the length in bytes.
	Size() int64
}

// ValidateBlobName checks a blob's name. It is for backends: a name that
// passes is safe as a file name.
func ValidateBlobName(name string) error {
	if len(name) < 16 || len(name) > 64 {
		return fmt.Errorf("blob name of %d bytes: %w", len(name), ErrInvalid)
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return fmt.Errorf("blob name %q: %w", name, ErrInvalid)
		}
	}
	return nil
}
