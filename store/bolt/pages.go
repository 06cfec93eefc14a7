package bolt

import (
	"encoding/binary"
	"fmt"
	"io"

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
// Without leaves it reads only the list of free pages and the branches (about
// one page in a hundred), so that Open can afford it.
func (d *DB) checkPages(tx *bbolt.Tx, leaves bool) error {
	t := &tree{file: d.file, pageSize: int64(d.bolt.Info().PageSize), leaves: leaves}
	pages := tx.Size() / t.pageSize
	info, err := d.file.Stat()
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
	return t.walk(root, true, true)
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
	id    uint64
	flags uint16
	count int
	data  []byte // header and elements included
}

// free checks the list of free pages that begins on the page id.
func (t *tree) free(id uint64) error {
	p, err := t.page(id, freelistPage)
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

// walk checks the page id and all below it. At the top the elements are
// buckets, below they are records. Only the root of a tree may be empty.
func (t *tree) walk(id uint64, top, root bool) error {
	p, err := t.page(id, branchPage|leafPage)
	if err != nil {
		return err
	}
	if p.count == 0 && (!root || p.flags == branchPage) {
		return p.wrong("empty")
	}
	if p.flags == leafPage {
		return t.leaf(p, top)
	}
	if !p.packed() {
		return p.wrong("its elements are damaged")
	}
	children := make([]uint64, p.count)
	for i := range children {
		children[i] = binary.NativeEndian.Uint64(p.element(i)[8:])
	}
	skip, err := t.skip(children[0], top)
	if err != nil {
		return err
	}
	for _, child := range children {
		if skip {
			err = t.see(child, 0)
		} else {
			err = t.walk(child, top, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// skip reports whether the page id, and with it those beside it, are leaves
// that nobody asked for: all leaves of a tree are on one level.
func (t *tree) skip(id uint64, top bool) (bool, error) {
	if t.leaves || top {
		return false, nil
	}
	h, err := t.header(id)
	return h.flags == leafPage, err
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
		return t.walk(root, false, true)
	}
	inline, ok := parse(value[bucketHead:])
	if !ok || inline.flags != leafPage {
		return p.wrong("a bucket is damaged")
	}
	return t.leaf(inline, false)
}

// page reads the page id, of one of the kinds in flags, and marks it seen.
func (t *tree) page(id uint64, flags uint16) (page, error) {
	h, err := t.header(id)
	if err != nil {
		return page{}, err
	}
	if h.flags&flags == 0 || h.flags&(h.flags-1) != 0 {
		return page{}, h.wrong("not of the kind that belongs here")
	}
	overflow := binary.NativeEndian.Uint32(h.data[12:])
	if err := t.see(id, overflow); err != nil {
		return page{}, err
	}
	buf := make([]byte, (int64(overflow)+1)*t.pageSize)
	if _, err := t.file.ReadAt(buf, int64(id)*t.pageSize); err != nil {
		return page{}, err
	}
	p, ok := parse(buf)
	if !ok && flags != freelistPage { // whose elements are shorter
		return page{}, h.wrong("too many elements")
	}
	return p, nil
}

// header reads only the header of the page id.
func (t *tree) header(id uint64) (page, error) {
	if id < 2 || id >= uint64(len(t.seen)) {
		return page{}, fmt.Errorf("%w: page %d of %d", store.ErrCorrupt, id, len(t.seen))
	}
	buf := make([]byte, pageHeader)
	if _, err := t.file.ReadAt(buf, int64(id)*t.pageSize); err != nil {
		return page{}, err
	}
	h, _ := parse(buf)
	if h.id != id {
		return page{}, fmt.Errorf("%w: page %d says it is page %d", store.ErrCorrupt, id, h.id)
	}
	return h, nil
}

// see marks the page id, and those that continue it, as seen.
func (t *tree) see(id uint64, overflow uint32) error {
	for i := id; i <= id+uint64(overflow); i++ {
		if i < 2 || i >= uint64(len(t.seen)) {
			return fmt.Errorf("%w: page %d of %d", store.ErrCorrupt, i, len(t.seen))
		}
		if t.seen[i] {
			return fmt.Errorf("%w: page %d belongs to two others", store.ErrCorrupt, i)
		}
		t.seen[i] = true
	}
	return nil
}

// parse takes a page apart; ok is false if its elements do not fit.
func parse(b []byte) (p page, ok bool) {
	if len(b) < pageHeader {
		return page{}, false
	}
	p = page{
		id:    binary.NativeEndian.Uint64(b),
		flags: binary.NativeEndian.Uint16(b[8:]),
		count: int(binary.NativeEndian.Uint16(b[10:])),
		data:  b,
	}
	return p, pageHeader+p.count*element <= len(b)
}

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
