package tipbox

import (
	"errors"
	"fmt"
)

// What a machine needs of a tip that cannot open it: none of this is verified.

// Last is the end of the tip's list of events.
func (file *TipFile) Last() Head {
	head := Head{Number: len(file.Events), SHA256: file.Head}
	if head.Number > 0 && file.Events[head.Number-1].Note != "" {
		head.SHA256 = hash([]byte(file.Events[head.Number-1].Note))
	}
	return head
}

// Blobs are the attachments that the tip's events name. With them comes an error
// if an event cannot be read.
func (file *TipFile) Blobs() (blobs []EventFile, err error) {
	for i, signed := range file.notes() {
		if signed == nil {
			continue // lost
		}
		e, failed := parseEvent(signed)
		if failed == nil && e.Tip != file.Tip {
			failed = fmt.Errorf("it belongs to tip %s: %w", e.Tip, ErrInvalid)
		}
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("tip %s: entry %d: %w", file.Tip, i+1, failed))
			continue
		}
		blobs = append(blobs, e.Files...)
	}
	return blobs, err
}
