package main

import (
	"context"
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

// retain erases what the rules say, takes what was erased off the disk, and writes on
// which days codes were used, now and then, until the context ends.
func (f *folder) retain(ctx context.Context, a *app) {
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for last := time.Now(); ; last = time.Now() {
		if n, err := f.service.Retain(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("erasing by the retention rule", "error", err)
		} else if n > 0 {
			a.log.Info("erased by the retention rule", "tips", n)
		}
		if done, err := f.service.Compact(ctx, f.db.Compact); err != nil && ctx.Err() == nil {
			a.log.Error("taking what was erased off the disk", "error", err)
		} else if done {
			a.log.Info("took off the disk what was erased")
			if err := keepDay(f.path, compactMark, time.Now().In(f.location)); err != nil {
				a.log.Error("noting the day of the compaction", "error", err)
			}
		}
		if err := f.service.FlushVisits(ctx, false); err != nil && ctx.Err() == nil {
			a.log.Error("writing on which day codes were used", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if days := clockJump(now.Sub(last), now.Round(0).Sub(last.Round(0))); days != 0 {
			a.log.Error("the clock jumped, or the machine slept: the days of tips go by it, see that it is right", "days", days)
		}
	}
}
