package dir

import (
	"os"

	"golang.org/x/sys/unix"
)

// pushOut has the kernel begin to write a part of a file to the disk. It is a
// hint: what fails of it, Sync reports.
func pushOut(f *os.File, offset, n int64) {
	unix.SyncFileRange(int(f.Fd()), offset, n, unix.SYNC_FILE_RANGE_WRITE)
}
