package main

import "golang.org/x/sys/unix"

const seccompArch = unix.AUDIT_ARCH_AARCH64

// refusedHere are calls that this architecture has besides.
var refusedHere []uint32
