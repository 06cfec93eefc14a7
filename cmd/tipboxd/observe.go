package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"tipbox/tipbox"
)

// An observer keeps what status and metrics tell of a running server. Whoever asks may
// ask every few seconds and keep the answers, to see in them when a source was here: a
// connection, an upload's memory, a new file's descriptor would each show it. So
//
//   - figures of tips and of the disk are those of the day's tipbox.Census;
//   - figures of the process are the lowest and the highest of the day before, and are
//     powers of two;
//   - connections are told as they are, but not below connectionsBand: that shows a
//     flood, in which nobody stands out;
//   - requests are not counted at all.
type observer struct {
	service *tipbox.Service
	since   string         // the day of the start
	process func() process // as it is now

	mu     sync.Mutex     // guards the rest
	day    string         // the current one
	census *tipbox.Census // nil before the first
	today  vitals
	before *vitals // of the day before; nil if the server did not run through it
	whole  bool    // today began while the server ran

	confined []string // what confines the process
}

// A process says what a process uses. What cannot be told is -1.
type process struct{ memory, goroutines, files int64 }

// A span is the lowest and the highest of a figure, in its unit.
type span struct {
	Lowest  int64 `json:"lowest"`
	Highest int64 `json:"highest"`
}

func (s *span) note(n int64, first bool) {
	if first || n < s.Lowest {
		s.Lowest = n
	}
	if first || n > s.Highest {
		s.Highest = n
	}
}

func (s span) band() span { return span{tipbox.SizeBand(s.Lowest), tipbox.SizeBand(s.Highest)} }

// vitals are what the process used in a day.
type vitals struct {
	Memory     span `json:"memory_mib"`
	Goroutines span `json:"goroutines"`
	Files      span `json:"open_files"`
	seen       bool
}

func (v *vitals) note(p process) {
	v.Memory.note(p.memory>>20, !v.seen)
	v.Goroutines.note(p.goroutines, !v.seen)
	v.Files.note(p.files, !v.seen)
	v.seen = true
}

const (
	observeEvery = time.Minute

	// connectionsBand is the fewest connections that are told. A browser makes six
	// at most.
	connectionsBand = 64
)

// observe looks every minute, and when a day begins, until the context ends.
func (o *observer) observe(ctx context.Context, a *app, location *time.Location) {
	for {
		now := time.Now().In(location)
		midnight := time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, location)
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(observeEvery, midnight.Sub(now))):
		}
		if err := o.look(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("status and counters are not of today", "error", err)
		}
	}
}

// look notes what the process uses, and turns the page when a day has begun.
func (o *observer) look(ctx context.Context) error {
	today, now := o.service.Today(), o.process()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.day != today {
		census, err := o.service.Census(ctx)
		if err != nil {
			return err
		}
		o.before = nil
		if o.whole {
			o.before = &vitals{o.today.Memory.band(), o.today.Goroutines.band(), o.today.Files.band(), true}
		}
		o.whole = o.day != ""
		o.day, o.census, o.today = today, census, vitals{}
	}
	o.today.note(now)
	return nil
}

// told is what is known of the day.
func (o *observer) told() (*tipbox.Census, *vitals) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.census, o.before
}

// confine notes what confines the process, in words for the operator.
func (o *observer) confine(by ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.confined = by
}

// confinement is what confines the process; a list also in JSON.
func (o *observer) confinement() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string{}, o.confined...)
}

// connectionsTold is how many connections are told of n.
func connectionsTold(n int) int64 {
	if n < connectionsBand {
		return 0
	}
	return tipbox.SizeBand(int64(n))
}

// thisProcess returns what tells what this process uses. It keeps a folder of the
// system open, since a confined process can open it no more.
func thisProcess() (read func() process, close func()) {
	descriptors, err := os.Open("/proc/self/fd")
	if err != nil {
		descriptors = nil
	}
	read = func() process {
		samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		metrics.Read(samples)
		return process{
			memory:     int64(samples[0].Value.Uint64() - samples[1].Value.Uint64()),
			goroutines: int64(runtime.NumGoroutine()),
			files:      countEntries(descriptors),
		}
	}
	return read, func() {
		if descriptors != nil {
			descriptors.Close()
		}
	}
}

func countEntries(folder *os.File) int64 {
	if folder == nil {
		return -1
	}
	if _, err := folder.Seek(0, io.SeekStart); err != nil {
		return -1
	}
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return -1
	}
	return int64(len(names))
}

// version is what the linker of a package puts here: see .ci/package.
var version string

// programVersion is the version of the package that the program is of or, without
// one, as Go's tools stamp it.
func programVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// dayOr is a mark's day, or "" if there is none.
func dayOr(dir, mark string) (string, error) {
	day, err := keptDay(dir, mark)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return day, err
}
