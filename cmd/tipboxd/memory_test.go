package main

import (
	"math"
	"testing"
	"testing/fstest"
)

func TestMemoryIsTheMachinesOrTheGroups(t *testing.T) {
	const machine = "MemFree: 1 kB\nMemTotal:       24684 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"unknown system": {nil, math.MaxInt64},
		"no groups":      {map[string]string{"proc/meminfo": machine}, 24684 << 10},
		"no limit": {map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n",
		}, 24684 << 10},
		"limit of a container": {map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "1:cpu:/x\n0::/\n", "sys/fs/cgroup/memory.max": "4096\n",
		}, 4096},
		"limit of a service": {map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/system.slice/tipboxd.service\n",
			"sys/fs/cgroup/system.slice/tipboxd.service/memory.max": "8192\n", "sys/fs/cgroup/system.slice/memory.max": "max\n",
		}, 8192},
		"limit of all services": {map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/system.slice/tipboxd.service\n",
			"sys/fs/cgroup/system.slice/tipboxd.service/memory.max": "8192\n", "sys/fs/cgroup/system.slice/memory.max": "4096\n",
		}, 4096},
		"limit above the machine": {map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "9000000000\n",
		}, 24684 << 10},
		"not to be understood": {map[string]string{
			"proc/meminfo": "MemTotal: much\n", "proc/self/cgroup": "0::/../../etc\n", "sys/fs/cgroup/memory.max": "-\n",
		}, math.MaxInt64},
	} {
		system := make(fstest.MapFS)
		for file, text := range c.files {
			system[file] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := memoryOf(system); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
