package main

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// tuneMemory has the garbage collector run a third as often as by Go's default:
// a text tip then takes less of the processor. What is alive is a
// few MiB, whatever attachments are being received, so four times that is still
// little: 48 MiB for the program with eight uploads. When it is much, in a
// flood, the collector works harder from half of the machine's memory on. What
// GOGC and GOMEMLIMIT say goes before.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryOf(os.DirFS("/")) / 2)
	}
}

// memoryOf is how many bytes of memory a Linux system has for this process: the
// machine's, or less if a control group (version 2) says so. Elsewhere it is
// more than there can be.
func memoryOf(system fs.FS) int64 {
	memory := int64(math.MaxInt64)
	if kib, err := strconv.ParseInt(strings.TrimSuffix(line(system, "proc/meminfo", "MemTotal:"), " kB"), 10, 64); err == nil {
		memory = kib << 10
	}
	const groups = "sys/fs/cgroup"
	for group := path.Join(groups, line(system, "proc/self/cgroup", "0::")); strings.HasPrefix(group, groups); group = path.Dir(group) {
		if most, err := strconv.ParseInt(line(system, group+"/memory.max", ""), 10, 64); err == nil { // else "max"
			memory = min(memory, most)
		}
	}
	return memory
}

// line is what follows the prefix in the first line of a file that has it.
func line(system fs.FS, name, prefix string) string {
	text, _ := fs.ReadFile(system, name)
	for l := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(l, prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
