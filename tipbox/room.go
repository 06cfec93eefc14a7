package tipbox

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"syscall"
)

// lookEvery is how many bytes of attachments are written, by all senders
// together, between two looks at the disk.
const lookEvery = 32 << 20

// A room keeps attachments from taking the last of the disk, which is for
// texts.
type room struct {
	free    func() (int64, error) // of the disk, bytes; nil: no end of it
	reserve int64                 // bytes that attachments leave
	log     *slog.Logger

	mu   sync.Mutex
	left int64 // bytes that may be written before the next look; guarded by mu
	full bool  // as the log has it; guarded by mu
}

// look asks the disk, and returns ErrNoRoom if need bytes do not fit.
func (r *room) look(need int64) error {
	if r.free == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lookLocked(need)
}

func (r *room) lookLocked(need int64) error {
	free, err := r.free()
	if err != nil {
		return fmt.Errorf("asking for the room on the disk: %w", err)
	}
	r.left = min(free-r.reserve, lookEvery)
	if full := r.left < need; full != r.full {
		r.full = full
		if full {
			r.log.Error("files are refused: the disk is full up to the reserve for texts")
		} else {
			r.log.Info("files are taken again")
		}
	}
	if r.full {
		return ErrNoRoom
	}
	return nil
}

// take makes sure that n bytes may be written.
func (r *room) take(n int64) error {
	if r.free == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left < n {
		if err := r.lookLocked(n); err != nil {
			return err
		}
	}
	r.left -= n
	return nil
}

// roomWriter writes to w what there is room for.
type roomWriter struct {
	w    io.Writer
	room *room
}

func (w roomWriter) Write(p []byte) (int, error) {
	if err := w.room.take(int64(len(p))); err != nil {
		return 0, err
	}
	n, err := w.w.Write(p)
	return n, noRoom(err)
}

// noRoom makes ErrNoRoom of a disk or a quota that is full, whatever the last
// look said.
func noRoom(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	return err
}

// TakesFiles reports whether there is room for attachments.
func (s *Service) TakesFiles() bool { return !errors.Is(s.room.look(1), ErrNoRoom) }
