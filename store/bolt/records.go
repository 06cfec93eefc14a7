package bolt

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"

	"tipbox/store"
)

// A stored record is, big-endian, 8 bytes of revision, 4 bytes of CRC-32C over
// key, revision and value, then the value.
const headerLen = 12

// Get implements store.Store.
func (d *DB) Get(ctx context.Context, key store.Key) (r store.Record, err error) {
	if err := key.Valid(); err != nil {
		return store.Record{}, err
	}
	err = d.view(ctx, func(_ *handle, tx *bbolt.Tx) error {
		stored := tx.Bucket([]byte(recordsBucket)).Get([]byte(key))
		if stored == nil {
			return fmt.Errorf("%q: %w", key, store.ErrNotFound)
		}
		r, err = decode([]byte(key), stored)
		return err
	})
	if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// Scan implements store.Store.
func (d *DB) Scan(ctx context.Context, prefix, after store.Key, limit int) (found []store.Record, err error) {
	if err := store.ValidateScan(prefix, after, limit); err != nil {
		return nil, err
	}
	limit = min(limit, store.MaxScan)
	err = d.view(ctx, func(_ *handle, tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(recordsBucket)).Cursor()
		from := max(prefix, after)
		k, v := c.Seek([]byte(from))
		if k != nil && string(k) == string(after) {
			k, v = c.Next()
		}
		last := []byte(from) // of the keys that a checksum vouches for
		for first := true; k != nil && len(found) < limit; k, v = c.Next() {
			rev, err := revision(k, v)
			order := bytes.Compare(last, k)
			back := order > 0 || order == 0 && !first
			within := bytes.HasPrefix(k, []byte(prefix))
			if err != nil {
				// Its key may be damaged too, and say nothing of where it
				// belongs or whether the prefix ends here.
				if within && !back && store.Key(k).Valid() == nil {
					found = append(found, store.Record{Key: store.Key(k), Err: err})
				}
				continue
			}
			if back {
				// On a damaged page; a caller that goes on from the last
				// key would go in circles.
				return fmt.Errorf("%w: records out of order", store.ErrCorrupt)
			}
			if !within {
				break
			}
			found = append(found, record(k, v, rev))
			last, first = k, false
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// encode returns what is stored for value under key, at a new revision. The
// revision is 64 random bits, so it neither repeats nor tells an order.
func encode(key store.Key, value []byte) []byte {
	b := make([]byte, headerLen+len(value))
	for binary.BigEndian.Uint64(b) == 0 {
		rand.Read(b[:8])
	}
	copy(b[headerLen:], value)
	binary.BigEndian.PutUint32(b[8:], checksum([]byte(key), b))
	return b
}

// decode returns a record that shares nothing with key and stored.
func decode(key, stored []byte) (store.Record, error) {
	rev, err := revision(key, stored)
	if err != nil {
		return store.Record{}, err
	}
	return record(key, stored, rev), nil
}

func record(key, stored []byte, rev store.Revision) store.Record {
	return store.Record{Key: store.Key(key), Value: bytes.Clone(stored[headerLen:]), Revision: rev}
}

// revision returns the revision of an intact stored record.
func revision(key, stored []byte) (store.Revision, error) {
	if len(stored) < headerLen || binary.BigEndian.Uint32(stored[8:]) != checksum(key, stored) {
		return 0, fmt.Errorf("record %.80q: %w", key, store.ErrCorrupt)
	}
	return store.Revision(binary.BigEndian.Uint64(stored)), nil
}

func checksum(key, stored []byte) uint32 {
	castagnoli := crc32.MakeTable(crc32.Castagnoli) // made once, by package crc32
	sum := crc32.Update(0, castagnoli, key)
	sum = crc32.Update(sum, castagnoli, stored[:8])
	return crc32.Update(sum, castagnoli, stored[headerLen:])
}
