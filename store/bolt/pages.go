package bolt

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"

	"go.etcd.io/bbolt"

	"tipbox/store"
)

// Sizes and flags of bbolt's file format (its internal/common package). Numbers
// in it are in the byte order of the machine.
const (
	pageHeader = 16 // id 8, flags 2, count 2, overflow 4
	element    = 16 // branch: pos 4, key size 4, page 8; leaf: flags 4, pos 4, key size 4, value size 4
	bucketHead = 16 // root page 8, sequence 8

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	bucketElement = 0x01
	noFreelist    = ^uint64(0)
	longFreelist  = 0xffff // a count that says: the real one comes first
)

// checkPages follows the tree that tx sees through the file, page by page. It
// trusts no number in it, whereas bbolt would run out of the file, or in
// circles until the stack is full, which no recover survives, or would write
// over what a damaged list of free pages gives away.
//
// Without leaves it reads only the list of free pages and the branches (a page
// in two hundred, several at once), so that Open can afford it.
func (h *handle) checkPages(tx *bbolt.Tx, leaves bool) error {
	t := &tree{file: h.file, pageSize: int64(h.bolt.Info().PageSize), leaves: leaves}
	pages := tx.Size() / t.pageSize
	info, err := h.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < tx.Size() {
		return fmt.Errorf("%w: cut short, %d bytes of %d", store.ErrCorrupt, info.Size(), tx.Size())
	}
	t.seen = make([]bool, pages)

	txid := tx.ID()
	if tx.Writable() {
		txid-- // of the last commit
	}
	// The meta page: magic, version, page size and flags of 4 bytes each,
	// root bucket 16, freelist 8, and what tx has told already.
	meta := make([]byte, 40)
	if _, err := t.file.ReadAt(meta, int64(txid%2)*t.pageSize+pageHeader); err != nil {
		return err
	}
	root := binary.NativeEndian.Uint64(meta[16:])
	freelist := binary.NativeEndian.Uint64(meta[32:])
	if freelist != noFreelist {
		if err := t.free(freelist); err != nil {
			return err
		}
	}
	return t.walk(root, true)
}

// A tree is a walk through a bbolt file.
type tree struct {
	file     io.ReaderAt
	pageSize int64
	leaves   bool   // whether to read them
	seen     []bool // by page
}

// A page is a page with those that continue it.
type page struct {
	id       uint64
	flags    uint16
	count    int
	overflow uint32 // how many pages continue it
	data     []byte // header and elements included
}

// free checks the list of free pages that begins on the page id.
func (t *tree) free(id uint64) error {
	p, err := t.read(id)
	if err == nil {
		err = t.take(p, freelistPage)
	}
	if err != nil {
		return err
	}
	ids, n := p.data[pageHeader:], uint64(p.count)
	if p.count == longFreelist {
		ids, n = ids[8:], binary.NativeEndian.Uint64(ids)
	}
	if n > uint64(len(ids))/8 {
		return p.wrong("a list longer than its page")
	}
	for ; n > 0; n-- {
		if err := t.see(binary.NativeEndian.Uint64(ids), 0); err != nil {
			return err
		}
		ids = ids[8:]
	}
	return nil
}

// walk checks the tree below the page root, level by level: all its leaves are
// on the last. At the top the leaves' elements are buckets, below they are
// records. Only the root may be empty.
func (t *tree) walk(root uint64, top bool) error {
	for level := []uint64{root}; len(level) > 0; {
		first, err := t.read(level[0])
		if err != nil {
			return err
		}
		kind := first.flags
		if kind == leafPage && !t.leaves && !top {
			return t.skip(level)
		}
		if kind != leafPage && kind != branchPage {
			return first.wrong("not of the kind that belongs here")
		}
		var below []uint64
		err = t.readEach(level, func(p page) error {
			if err := t.take(p, kind); err != nil {
				return err
			}
			if p.count == 0 && (p.id != root || kind == branchPage) {
				return p.wrong("empty")
			}
			if kind == leafPage {
				return t.leaf(p, top)
			}
			if !p.packed() {
				return p.wrong("its elements are damaged")
			}
			for i := range p.count {
				below = append(below, binary.NativeEndian.Uint64(p.element(i)[8:]))
			}
			return nil
		})
		if err != nil {
			return err
		}
		level = below
	}
	return nil
}

// skip marks leaves that nobody asked for.
func (t *tree) skip(level []uint64) error {
	for _, id := range level {
		if err := t.see(id, 0); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) leaf(p page, top bool) error {
	if !p.packed() {
		return p.wrong("its elements are damaged")
	}
	for i := range p.count {
		isBucket := binary.NativeEndian.Uint32(p.element(i)) == bucketElement
		if isBucket != top {
			return p.wrong("a record among buckets, or a bucket among records")
		}
		if isBucket {
			if err := t.bucket(p, p.value(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// bucket checks the bucket that value, of p, describes: its root page, or, in a
// small one, the page itself.
func (t *tree) bucket(p page, value []byte) error {
	if len(value) < bucketHead {
		return p.wrong("a bucket is cut short")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return t.walk(root, false)
	}
	value = value[bucketHead:]
	if len(value) < pageHeader {
		return p.wrong("a bucket is damaged")
	}
	inline := parse(value)
	if inline.flags != leafPage || !inline.fits() {
		return p.wrong("a bucket is damaged")
	}
	return t.leaf(inline, false)
}

// take checks that the page is of the kind in flags, and marks it seen.
func (t *tree) take(p page, flags uint16) error {
	if p.flags != flags {
		return p.wrong("not of the kind that belongs here")
	}
	if flags != freelistPage && !p.fits() { // whose elements are shorter
		return p.wrong("too many elements")
	}
	return t.see(p.id, p.overflow)
}

// readEach reads pages, some ahead of f and several at once: a disk that is
// asked for one after the other is slow. It calls f for each in turn.
func (t *tree) readEach(ids []uint64, f func(page) error) error {
	const ahead, readers = 256, 32
	for batch := range slices.Chunk(ids, ahead) {
		pages, errs := make([]page, len(batch)), make([]error, len(batch))
		var wg sync.WaitGroup
		for r := range min(readers, len(batch)) {
			wg.Go(func() {
				for i := r; i < len(batch); i += readers {
					pages[i], errs[i] = t.read(batch[i])
				}
			})
		}
		wg.Wait()
		for i, p := range pages {
			if errs[i] != nil {
				return errs[i]
			}
			if err := f(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// read reads the page id and those that continue it. It may be called
// concurrently.
func (t *tree) read(id uint64) (page, error) {
	if id < 2 || id >= uint64(len(t.seen)) {
		return page{}, t.outside(id)
	}
	buf := make([]byte, t.pageSize)
	if _, err := t.file.ReadAt(buf, int64(id)*t.pageSize); err != nil {
		return page{}, err
	}
	p := parse(buf)
	if p.id != id {
		return page{}, fmt.Errorf("%w: page %d says it is page %d", store.ErrCorrupt, id, p.id)
	}
	if p.overflow == 0 {
		return p, nil
	}
	if last := id + uint64(p.overflow); last >= uint64(len(t.seen)) {
		return page{}, t.outside(last)
	}
	p.data = make([]byte, (int64(p.overflow)+1)*t.pageSize)
	_, err := t.file.ReadAt(p.data, int64(id)*t.pageSize)
	return p, err
}

func (t *tree) outside(id uint64) error {
	return fmt.Errorf("%w: page %d of %d", store.ErrCorrupt, id, len(t.seen))
}

// see marks the page id, and those that continue it, as seen.
func (t *tree) see(id uint64, overflow uint32) error {
	for i := id; i <= id+uint64(overflow); i++ {
		if i < 2 || i >= uint64(len(t.seen)) {
			return t.outside(i)
		}
		if t.seen[i] {
			return fmt.Errorf("%w: page %d belongs to two others", store.ErrCorrupt, i)
		}
		t.seen[i] = true
	}
	return nil
}

// parse reads the header of a page.
func parse(b []byte) page {
	return page{
		id:       binary.NativeEndian.Uint64(b),
		flags:    binary.NativeEndian.Uint16(b[8:]),
		count:    int(binary.NativeEndian.Uint16(b[10:])),
		overflow: binary.NativeEndian.Uint32(b[12:]),
		data:     b,
	}
}

// fits reports whether there is room for the elements.
func (p page) fits() bool { return pageHeader+p.count*element <= len(p.data) }

func (p page) element(i int) []byte {
	return p.data[pageHeader+i*element:][:element]
}

// packed reports whether the keys and values follow the elements, each right
// after the one before, as bbolt writes them: so it also tells when some are
// missing.
func (p page) packed() bool {
	next := pageHeader + uint64(p.count)*element
	for i := range p.count {
		e := p.element(i)
		if p.flags == leafPage {
			e = e[4:]
		}
		if uint64(pageHeader+i*element)+uint64(binary.NativeEndian.Uint32(e)) != next {
			return false
		}
		next += uint64(binary.NativeEndian.Uint32(e[4:]))
		if p.flags == leafPage {
			next += uint64(binary.NativeEndian.Uint32(e[8:]))
		}
	}
	return next <= uint64(len(p.data))
}

// value returns the value of element i of a leaf that is packed.
func (p page) value(i int) []byte {
	e := p.element(i)
	from := pageHeader + i*element + int(binary.NativeEndian.Uint32(e[4:])) + int(binary.NativeEndian.Uint32(e[8:]))
	return p.data[from:][:binary.NativeEndian.Uint32(e[12:])]
}

func (p page) wrong(what string) error {
	return fmt.Errorf("%w: page %d: %s", store.ErrCorrupt, p.id, what)
}
