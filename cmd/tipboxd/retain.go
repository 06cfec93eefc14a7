package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// retainEvery is the time between two looks for what the channels' retention
// rules erase. The rules count days.
const retainEvery = time.Hour

// clockJump is by how many days the clock went wrong that went on by wall, while
// so much time passed.
func clockJump(passed, wall time.Duration) int {
	return int((wall - passed).Round(12*time.Hour) / (24 * time.Hour))
}

// retain does what is to be done when a day is over, and looks now and then whether
// there is more of it, until the context ends: it erases what the rules say, writes on
// which days codes were used, takes what was erased off the disk, and settles the folder.
func (f *folder) retain(ctx context.Context, a *app) {
	for last := time.Now(); ; last = time.Now() {
		if n, err := f.service.Retain(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("erasing by the retention rule", "error", err)
		} else if n > 0 {
			a.log.Info("erased by the retention rule", "tips", n)
		}
		if err := f.service.FlushVisits(ctx, false); err != nil && ctx.Err() == nil {
			a.log.Error("writing on which day codes were used", "error", err)
		}
		day := f.day() // before it, which may take until the next
		compacted, err := f.service.Compact(ctx, f.db.Compact)
		if err != nil && ctx.Err() == nil {
			a.log.Error("taking what was erased off the disk", "error", err)
		} else if compacted {
			a.log.Info("took off the disk what was erased")
			if err := keepDay(f.path, compactMark, day); err != nil {
				a.log.Error("noting the day of the compaction", "error", err)
			}
		}
		if err := f.settle(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("the folder still tells in which order things came on days that are over", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(retainEvery, untilTomorrow(time.Now().In(f.location)))):
		}
		now := time.Now()
		if days := clockJump(now.Sub(last), now.Round(0).Sub(last.Round(0))); days != 0 {
			a.log.Error("the clock jumped, or the machine slept: the days of tips go by it, see that it is right", "days", days)
		}
	}
}

// untilTomorrow is how long it is until the next day has just begun.
func untilTomorrow(now time.Time) time.Duration {
	year, month, day := now.Date()
	return time.Date(year, month, day+1, 0, 0, 1, 0, now.Location()).Sub(now)
}

// settle takes from the folder, once a day, what tells more of the days that are over
// than which they were: where things lie in the database, and what the system
// keeps of the files in which tips' files are. That is a copy of the one, if it was not
// made already, and of a day's share of the others. What fails is tried again, and
// what was done is not.
func (f *folder) settle(ctx context.Context) error {
	last, err := keptDay(f.path, settleMark)
	if errors.Is(err, fs.ErrNotExist) {
		return keepDay(f.path, settleMark, f.day()) // as every day from the next on
	}
	if err != nil {
		return err
	}
	day := f.day()
	if last == day.Format(time.DateOnly) { // one to come is of a clock that was wrong
		return nil
	}
	compacted, err := keptDay(f.path, compactMark)
	if err != nil || compacted != day.Format(time.DateOnly) {
		err = f.compact(ctx, day)
	}
	_, settleErr := f.blobs.Settle(ctx, f.fits)
	if err := errors.Join(err, settleErr); err != nil {
		return err
	}
	return keepDay(f.path, settleMark, day)
}

func (f *folder) compact(ctx context.Context, day time.Time) error {
	info, err := os.Stat(f.file(databaseName))
	if err == nil {
		err = f.fits(info.Size())
	}
	if err == nil {
		err = f.db.Compact(ctx)
	}
	if err != nil {
		return err
	}
	return keepDay(f.path, compactMark, day)
}

// fits says no to what would take of the room that is kept for texts.
func (f *folder) fits(size int64) error {
	free, err := freeSpace(f.path)
	if err == nil && free-size < f.config.Reserve<<20 {
		err = fmt.Errorf("a copy of %d MiB would leave less than reserve_mib of the %d MiB that are free: make room", size>>20, free>>20)
	}
	return err
}

// hideTimes keeps the system's time of the database's last change from being that of
// the last tip, until the context ends.
func (f *folder) hideTimes(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.db.ResetTimes()
		}
	}
}
