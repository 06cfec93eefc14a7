package main

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

// A bundle is what tipbox fetch gets of the desk, in one file for a machine that
// reaches no desk: a tar archive (POSIX.1-2001, pax) of
//
//	tipbox-bundle      a bundleHead: always the first entry
//	roster.note        the signed roster
//	inbox.jsonl        a tipbox.InboxItem a line
//	tips/TIP.json      a tipbox.TipFile
//	blobs/BLOB         a sealed attachment
//	end                empty: the last entry, without which the file was cut
//
// Nothing in it is to be believed before it is verified, as with what the desk
// says. An entry that is none of these, or there twice, is an error; and of what
// is large only the place is kept in memory.
const (
	bundleVersion = 1

	bundleHeadName   = "tipbox-bundle"
	bundleRosterName = "roster.note"
	bundleInboxName  = "inbox.jsonl"
	bundleEndName    = "end"
)

// A bundleHead says what a bundle is.
type bundleHead struct {
	Version int    `json:"version"`
	Member  string `json:"member"` // whose
	Day     string `json:"day"`    // when it was fetched, 2006-01-02
	Files   bool   `json:"files"`  // whether attachments are there
}

var (
	errBundle    = errors.New("not a whole bundle of tipbox fetch")
	errNotInside = errors.New("not in this bundle")
)

// What is read of a bundle at most.
const (
	maxBundleEntries = 1 << 20
	maxBundleHead    = 64 << 10  // bytes
	maxBundleRoster  = 2 << 20   // as of the desk
	maxBundleInbox   = 128 << 20 // of which maxInboxLine at once
	maxInboxLine     = 1 << 20
	maxBundleTip     = 256 << 20 // as of the desk
	maxInboxItems    = 1 << 20
)

type bundle struct {
	bundleHead
	roster []byte // not verified
	items  []tipbox.InboxItem

	from  io.ReaderAt
	parts map[string]entryAt // of tips and blobs, by the name in the archive
	close func() error
}

// An entryAt is where an entry of the archive is.
type entryAt struct{ at, size int64 }

var _ tips = (*bundle)(nil)

// openBundle reads a bundle's file as far as its texts are not sealed. Close it.
func openBundle(path string) (*bundle, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file: %w", path, errBundle)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := readBundle(f, info.Size())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	b.close = f.Close
	return b, nil
}

// Close closes the file.
func (b *bundle) Close() { b.close() }

func readBundle(from io.ReaderAt, size int64) (*bundle, error) {
	b := &bundle{from: from, parts: make(map[string]entryAt)}
	whole := io.NewSectionReader(from, 0, size)
	archive := tar.NewReader(whole)
	for n := 0; ; n++ {
		h, err := archive.Next()
		if err == io.EOF {
			return nil, fmt.Errorf("it was cut off: %w", errBundle)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errBundle, err)
		}
		at, err := whole.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if err := checkEntry(h, size-at); err != nil {
			return nil, err
		}
		switch {
		case n == maxBundleEntries:
			return nil, fmt.Errorf("it has over %d entries: %w", n, errBundle)
		case n < 3:
			err = b.readFirst(n, h)
			if err == nil {
				err = b.readText(n, entryAt{at, h.Size})
			}
		case h.Name == bundleEndName:
			return b, b.checkEnd(archive, whole, h)
		default:
			err = b.enter(h.Name, entryAt{at, h.Size})
		}
		if err != nil {
			return nil, err
		}
	}
}

// checkEntry refuses all but plain files that are whole.
func checkEntry(h *tar.Header, left int64) error {
	name := fmt.Sprintf("%.60q", h.Name)
	if h.Typeflag != tar.TypeReg {
		return fmt.Errorf("%s is no plain file: %w", name, errBundle)
	}
	for record := range h.PAXRecords {
		if record != "size" { // of over 8 GiB; others give another name, or make holes
			return fmt.Errorf("%s has the record %.40q: %w", name, record, errBundle)
		}
	}
	if h.Size < 0 || h.Size > left {
		return fmt.Errorf("%s was cut off: %w", name, errBundle)
	}
	return nil
}

// readFirst checks that the first entries are those that must be.
func (b *bundle) readFirst(n int, h *tar.Header) error {
	want := []string{bundleHeadName, bundleRosterName, bundleInboxName}[n]
	most := []int64{maxBundleHead, maxBundleRoster, maxBundleInbox}[n]
	switch {
	case h.Name != want:
		return fmt.Errorf("its entry %d is %.60q and not %s: %w", n+1, h.Name, want, errBundle)
	case h.Size > most:
		return fmt.Errorf("%s is over %d bytes: %w", want, most, errBundle)
	}
	return nil
}

func (b *bundle) readText(n int, p entryAt) error {
	if n == 2 {
		return b.readInbox(p)
	}
	text, err := b.read(p)
	if err != nil {
		return err
	}
	if n == 1 {
		b.roster = text
		return nil
	}
	// The version first: what else is there may change with it.
	var v struct{ Version int }
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("%s: %w: %w", bundleHeadName, errBundle, err)
	}
	if v.Version != bundleVersion {
		return fmt.Errorf("it is of version %d, and this program knows %d: get the tipbox of the machine that fetched it", v.Version, bundleVersion)
	}
	if err := json.Unmarshal(text, &b.bundleHead); err != nil {
		return fmt.Errorf("%s: %w: %w", bundleHeadName, errBundle, err)
	}
	return nil
}

func (b *bundle) readInbox(p entryAt) error {
	lines := bufio.NewScanner(b.section(p))
	lines.Buffer(nil, maxInboxLine)
	for lines.Scan() {
		var item tipbox.InboxItem
		err := json.Unmarshal(lines.Bytes(), &item)
		if err == nil && !tipbox.ValidTipID(item.Tip) {
			err = fmt.Errorf("%.40q is no tip's name", item.Tip)
		}
		if err == nil && len(b.items) == maxInboxItems {
			err = errors.New("there are too many lines")
		}
		if err != nil {
			return fmt.Errorf("%s: line %d: %w: %w", bundleInboxName, len(b.items)+1, errBundle, err)
		}
		b.items = append(b.items, item)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: line %d: %w: %w", bundleInboxName, len(b.items)+1, errBundle, err)
	}
	return nil
}

// checkEnd checks that nothing stands behind the end.
func (b *bundle) checkEnd(archive *tar.Reader, whole *io.SectionReader, end *tar.Header) error {
	_, err := archive.Next()
	if at, _ := whole.Seek(0, io.SeekCurrent); end.Size != 0 || err != io.EOF || at != whole.Size() {
		return fmt.Errorf("something stands behind its end: %w", errBundle)
	}
	return nil
}

func tipPart(tip string) string   { return "tips/" + tip + ".json" }
func blobPart(blob string) string { return "blobs/" + blob }

// enter notes where a tip or an attachment is. Its name is one that this program
// gives, and is never used as a file's.
func (b *bundle) enter(name string, p entryAt) error {
	tip, isTip := strings.CutPrefix(strings.TrimSuffix(name, ".json"), "tips/")
	blob, isBlob := strings.CutPrefix(name, "blobs/")
	switch {
	case isTip && tipbox.ValidTipID(tip) && name == tipPart(tip):
		if p.size > maxBundleTip {
			return fmt.Errorf("%s is over %d bytes: %w", name, maxBundleTip, errBundle)
		}
	case isBlob && store.ValidateBlobName(blob) == nil:
	default:
		return fmt.Errorf("%.60q has no place in it: %w", name, errBundle)
	}
	if _, twice := b.parts[name]; twice {
		return fmt.Errorf("%s is there twice: %w", name, errBundle)
	}
	b.parts[name] = p
	return nil
}

func (b *bundle) section(p entryAt) *io.SectionReader {
	return io.NewSectionReader(b.from, p.at, p.size)
}

func (b *bundle) read(p entryAt) ([]byte, error) {
	text := make([]byte, p.size)
	_, err := io.ReadFull(b.section(p), text)
	return text, err
}

// Inbox returns a page as the desk does. The cursor is how many lines of the
// whole list came before.
func (b *bundle) Inbox(_ context.Context, filter tipbox.InboxFilter, cursor string, limit int) (*desk.InboxPage, error) {
	from := 0
	if cursor != "" {
		var err error
		if from, err = strconv.Atoi(cursor); err != nil || from < 0 {
			return nil, fmt.Errorf("cursor %.40q is none of this bundle: %w", cursor, tipbox.ErrInvalid)
		}
	}
	var items []tipbox.InboxItem
	for _, item := range b.items {
		if filter.Has(item) {
			items = append(items, item)
		}
	}
	if filter.ByDue {
		slices.SortStableFunc(items, func(a, b tipbox.InboxItem) int { return strings.Compare(a.Due+a.Tip, b.Due+b.Tip) })
	}
	from = min(from, len(items))
	to := min(from+min(max(limit, 1), tipbox.MaxPage), len(items))
	page := &desk.InboxPage{Items: items[from:to]}
	if to < len(items) {
		page.Next = fmt.Sprintf("%08d", to)
	}
	return page, nil
}

// Tip returns a tip, unverified: see tipbox.OpenTip.
func (b *bundle) Tip(_ context.Context, tip string) (*tipbox.TipFile, error) {
	p, there := b.parts[tipPart(tip)]
	if !there {
		return nil, fmt.Errorf("tip %.40q is %w: %w", tip, errNotInside, tipbox.ErrNotFound)
	}
	text, err := b.read(p)
	if err != nil {
		return nil, err
	}
	file := new(tipbox.TipFile)
	if err := json.Unmarshal(text, file); err != nil {
		return nil, fmt.Errorf("tip %s: %w: %w", tip, errBundle, err)
	}
	if file.Tip != tip {
		return nil, fmt.Errorf("tip %.40q stands in the place of %s: %w", file.Tip, tip, errBundle)
	}
	return file, nil
}

// Attachment returns the sealed bytes of an attachment.
func (b *bundle) Attachment(_ context.Context, tip, blob string) (io.ReadCloser, error) {
	p, there := b.parts[blobPart(blob)]
	switch {
	case there && strings.HasPrefix(blob, tip):
		return io.NopCloser(b.section(p)), nil
	case !b.Files:
		return nil, fmt.Errorf("the attachment is %w, which was fetched with --no-files: %w", errNotInside, tipbox.ErrNotFound)
	}
	return nil, fmt.Errorf("the attachment is %w: %w", errNotInside, tipbox.ErrNotFound)
}
