package dir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"path"
)

// Settle copies the blobs of days before Config.Day's into new files, in random
// order, and gives these their names: what the system keeps of a file is then of now,
// and tells neither when a blob came within its day nor after which other. It also
// makes the folders that are missing, so that no blob will tell by one that it was the
// first in it. It returns how many blobs it copied.
//
// A name belongs to the one file or the other, both whole, at any time, also after a
// crash. Fits is asked before each copy whether there is room for so many bytes; nil
// is yes. A blob that is not copied stays as it is, until the next call, and keeps no
// other.
func (b *Blobs) Settle(ctx context.Context, fits func(size int64) error) (settled int, err error) {
	names, err := b.unsettled(ctx)
	if err != nil || len(names) == 0 {
		return 0, err
	}
	mathrand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var failed []error
	folders := make(map[string]bool)
	for _, name := range names {
		done, err := b.renew(ctx, name, fits)
		if err != nil {
			failed = append(failed, fmt.Errorf("settling blob %s: %w", name, err))
		}
		if done {
			settled++
			folders[shard(name)] = true
		}
		if ctx.Err() != nil {
			break
		}
	}
	for folder := range folders {
		failed = append(failed, b.settle(folder))
	}
	failed = append(failed, b.makeShards(), b.settle("."), b.forgetTimes(tmp))
	return settled, errors.Join(failed...)
}

// unsettled lists the blobs that bear another day: an earlier one, or what a clock that
// was wrong took for one.
func (b *Blobs) unsettled(ctx context.Context) (names []string, err error) {
	today := b.day()
	err = b.List(ctx, func(name string, _ int64) error {
		info, err := b.root.Lstat(place(name))
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			return nil
		}
		if err == nil && !info.ModTime().Equal(always) && !info.ModTime().Equal(today) {
			names = append(names, name)
		}
		return err
	})
	return names, err
}

// renew puts a copy in the place of a blob; not of one that is removed meanwhile.
func (b *Blobs) renew(ctx context.Context, name string, fits func(int64) error) (done bool, err error) {
	from, err := b.openFile(place(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer from.Close()
	if fits != nil {
		if err := fits(from.size); err != nil {
			return false, err
		}
	}
	temp := path.Join(tmp, rand.Text())
	defer b.root.Remove(temp) // unless it has the name
	if err := b.copyTo(ctx, temp, from); err != nil {
		return false, err
	}
	b.names.Lock()
	defer b.names.Unlock()
	if _, err := b.root.Lstat(place(name)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return false, err
	}
	return true, b.root.Rename(temp, place(name))
}

// copyTo makes a durable copy, a piece at a time.
func (b *Blobs) copyTo(ctx context.Context, temp string, from *blob) error {
	to, err := b.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	for done := int64(0); done < from.size; {
		n, err := io.CopyN(to, from.File, min(from.size-done, pushOutEvery))
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		pushOut(to, done, n)
		done += n
	}
	if err := b.forgetTimes(temp); err != nil {
		return err
	}
	return to.Sync()
}

// makeShards makes the folders of all names that Tipbox gives.
func (b *Blobs) makeShards() error {
	const letters = "abcdefghijklmnopqrstuvwxyz234567" // base32
	for _, first := range letters {
		for _, second := range letters {
			folder := string([]rune{first, second})
			err := b.root.Mkdir(folder, 0o700)
			if errors.Is(err, fs.ErrExist) {
				continue
			}
			if err == nil {
				err = b.forgetTimes(folder)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
