package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// unixPrefix begins an address that is a Unix socket's; its absolute path follows.
// Every other address is HOST:PORT.
const unixPrefix = "unix:"

// listenAddresses are where a server listens, in the words of tipbox.toml.
type listenAddresses struct {
	Sources string `json:"sources"`
	Desk    string `json:"desk"`
}

// check reports what is wrong with one of them, before anything is listened on.
func (l listenAddresses) check() error {
	if err := checkListen(l.Sources); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if err := checkListen(l.Desk); err != nil {
		return fmt.Errorf("desk: %w", err)
	}
	if path, ok := strings.CutPrefix(l.Sources, unixPrefix); ok && l.Desk == unixPrefix+path {
		return fmt.Errorf("listen and desk are both %s: each takes an address of its own", l.Sources)
	}
	return nil
}

// maxSocketPath is how long a socket's path may be, in bytes: sun_path of unix(7)
// without its zero.
const maxSocketPath = 107

func checkListen(address string) error {
	path, ok := strings.CutPrefix(address, unixPrefix)
	if !ok {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("%q is neither HOST:PORT nor unix:/PATH", address)
		}
		return nil
	}
	if !filepath.IsAbs(path) || strings.HasSuffix(path, "/") {
		return fmt.Errorf("%q is no socket's: after unix: comes a path that begins with / and names a file", address)
	}
	if len(path) > maxSocketPath {
		return fmt.Errorf("%q: the path is of %d bytes, and a socket's may be of %d", address, len(path), maxSocketPath)
	}
	return nil
}

// listenAt listens at an address.
func listenAt(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		return listenUnix(path)
	}
	return net.Listen("tcp", address)
}

// addressOf is a listener's address as tipbox.toml would say it.
func addressOf(l net.Listener) string {
	if a := l.Addr(); a.Network() == "unix" {
		return unixPrefix + a.String()
	}
	return l.Addr().String()
}

// socketMode lets in the user and the group. The group is that of the process, or
// of the folder if that is set-gid.
const socketMode = 0o660

// listenUnix makes a socket and listens on it. What a server that is no more left
// at the path makes way, and nothing else does.
func listenUnix(path string) (net.Listener, error) {
	if err := clearSocket(path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// The file gets no more than the socket has, not for a moment (Linux).
		return c.Control(func(fd uintptr) { syscall.Fchmod(int(fd), socketMode) })
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	unix := l.(*net.UnixListener)
	unix.SetUnlinkOnClose(false) // which asks not whose it is
	made, err := os.Lstat(path)
	if err == nil {
		err = os.Chmod(path, socketMode) // whatever the umask took away
	}
	if err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(path))
	}
	return &socket{Listener: unix, path: path, made: made}, nil
}

// clearSocket removes a socket on which nobody answers.
func clearSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		folder := filepath.Dir(path)
		if _, err := os.Stat(folder); err != nil {
			return fmt.Errorf("%w: a socket is made in a folder that is there: mkdir -m 2750 %[2]s, chown it to the server's user and to the group that is to connect, or set RuntimeDirectory= in the unit", err, folder)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and no socket: nothing was changed; move it away, or name another", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("another server answers at %s: stop it, or name another socket", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s is there, and it cannot be told whether another server answers: %w", path, err)
	}
	return os.Remove(path)
}

// A socket is a listener on a Unix socket, the file of which goes with it.
type socket struct {
	net.Listener
	path string
	made fs.FileInfo
}

// Close implements net.Listener. The file goes first: later it could be another
// server's. If it cannot be removed, the next start does it.
func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.made) {
		os.Remove(s.path)
	}
	return s.Listener.Close()
}
