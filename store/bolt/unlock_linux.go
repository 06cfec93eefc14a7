package bolt

import (
	"syscall"

	"go.etcd.io/bbolt"
)

// unlock lets the first size bytes of the file's mapping, which has as many, leave
// the memory. Where they are not locked it does nothing, in a microsecond.
func unlock(db *bbolt.DB, size int64) {
	syscall.Syscall(syscall.SYS_MUNLOCK, db.Info().Data, uintptr(size), 0)
}
