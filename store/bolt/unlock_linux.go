package bolt

import (
	"syscall"

	"go.etcd.io/bbolt"
)

// unlock lets the pages of the first size bytes of the file, which are mapped,
// leave the memory. It cannot fail where there is anything to do.
func unlock(db *bbolt.DB, size int64) {
	syscall.Syscall(syscall.SYS_MUNLOCK, db.Info().Data, uintptr(size), 0)
}
