package dir

import "syscall"

// noAccessTime opens a file without touching its time of access.
const noAccessTime = syscall.O_NOATIME
