package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"tipbox/tipbox"
)

// madeFolder has the payments that this payer has made, by their keys: whatever the
// desk says later, this payer makes none of them again.
const madeFolder = "paid"

// made returns the note of a payment that this payer has made, or nil.
func (a *app) made(key string) ([]byte, error) {
	note, err := os.ReadFile(filepath.Join(string(a.home), madeFolder, key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return note, err
}

// keepMade keeps the note of a payment that was made.
func (a *app) keepMade(key string, note []byte) error {
	folder := filepath.Join(string(a.home), madeFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(folder, key), note, 0o600)
}

// madeBefore is why what this payer has paid is not paid again. If the desk has lost
// that, it is recorded once more.
func (s *session) madeBefore(a *app, p *tipbox.Payment, text string, note []byte) error {
	before, err := tipbox.OpenPayment(note, s.roster)
	if err != nil || before.Key != p.Key {
		return fmt.Errorf("what you have paid before is damaged: look at %s: %w", filepath.Join(string(a.home), madeFolder, p.Key), cmp.Or(err, tipbox.ErrInvalid))
	}
	paid := &tipbox.PaidError{Day: before.Day, By: before.By}
	if _, err := s.desk.Payment(a.ctx, p.Key); !errors.Is(err, tipbox.ErrNotFound) {
		return paid
	}
	if note, err = p.Sign(s.key.SigningKey); err == nil {
		err = s.desk.Pay(a.ctx, note, text)
	}
	if err == nil {
		err = a.keepMade(p.Key, note)
	}
	if err != nil {
		return fmt.Errorf("%w: the desk has lost that, and it was not recorded again: %w", paid, err)
	}
	return fmt.Errorf("%w: the desk had lost that, and has recorded it again", paid)
}

// seenFile has the payments that the desk has shown this payer last, a line for each:
// its key and its payer.
const seenFile = "payments.seen"

// recall checks that of all that the payer of that name has made, and of all that the desk has shown
// before, it shows a payment by the same payer. It does not after it was set back, or
// if it shows payers different lists. Then it remembers the list: payers by keys.
func (a *app) recall(name string, shown map[string]string) error {
	lost := make(map[string]bool)
	path := filepath.Join(string(a.home), seenFile)
	seen, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(seen)) {
		if key, by, _ := strings.Cut(strings.TrimSpace(line), " "); shown[key] != by {
			lost[key] = true
		}
	}
	made, err := os.ReadDir(filepath.Join(string(a.home), madeFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range made {
		if key := entry.Name(); shown[key] != name && key[0] != '.' { // or it is one that was half written
			lost[key] = true
		}
	}
	if len(lost) > 0 {
		return fmt.Errorf("the desk's list has not, or not as they were, payments that you have made or that it has shown: %d: %w", len(lost), errSetBack)
	}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(shown)) {
		text.WriteString(key + " " + shown[key] + "\n")
	}
	return renameio.WriteFile(path, []byte(text.String()), 0o600)
}

// errSetBack means that the desk has lost payments, or hides some.
var errSetBack = errors.New("payments are gone, and what they paid could be paid twice")
