//go:build !linux

package main

import (
	"errors"
	"net"
	"os"
)

// peerUnchecked says that the system does not tell who is at the other end.
const peerUnchecked = "on this system the agent cannot tell who asks: the mode of its socket and folder must keep others out"

func peerUID(*net.UnixConn) (int, error) { return os.Getuid(), nil }

func closeMemory() {}

func lockMemory() error {
	return errors.New("on this system the key's memory cannot be locked, so it may get to the swap disk or into a core dump")
}
