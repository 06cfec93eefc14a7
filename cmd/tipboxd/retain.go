package main

import (
	"context"
	"time"
)

// retainEvery is the time between two looks for what the channels' retention
// rules erase. The rules count days.
const retainEvery = time.Hour

// retain erases what the rules say, now and then, until the context ends.
func (f *folder) retain(ctx context.Context, a *app) {
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		if n, err := f.service.Retain(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("erasing by the retention rule", "error", err)
		} else if n > 0 {
			a.log.Info("erased by the retention rule", "tips", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
