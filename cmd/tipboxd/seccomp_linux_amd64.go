package main

import "golang.org/x/sys/unix"

const seccompArch = unix.AUDIT_ARCH_X86_64

// refusedHere are calls that this architecture has besides.
var refusedHere = []uint32{
	unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_USELIB,
	unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN,
	unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT,
}
