package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// Names of the sockets that systemd may pass: FileDescriptorName= in their units.
const (
	sourcesSocket = "sources"
	deskSocket    = "desk"
)

// listen begins to listen: on the sockets that systemd passed, and else where the
// addresses say.
func (at listenAddresses) listen() (sources, members net.Listener, err error) {
	passed, err := passedListeners()
	if err != nil {
		return nil, nil, err
	}
	sources, members = passed[sourcesSocket], passed[deskSocket]
	if sources == nil {
		sources, err = listenAt(at.Sources)
	}
	if members == nil && err == nil {
		members, err = listenAt(at.Desk)
	}
	if err != nil {
		for _, l := range []net.Listener{sources, members} {
			if l != nil {
				l.Close()
			}
		}
		return nil, nil, err
	}
	return sources, members, nil
}

// passedListeners takes over what systemd passed, by name, and takes the word of it
// out of the environment. See sd_listen_fds(3).
func passedListeners() (map[string]net.Listener, error) {
	passed := make(map[string]net.Listener)
	var errs []error
	for _, f := range activation.Files(true) {
		l, err := passedListener(f)
		if err == nil && passed[f.Name()] != nil {
			err = errors.Join(fmt.Errorf("two sockets are named %s: one ListenStream= each", f.Name()), l.Close())
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		passed[f.Name()] = l
	}
	if len(errs) == 0 {
		return passed, nil
	}
	for _, l := range passed {
		l.Close()
	}
	return nil, fmt.Errorf("the sockets that systemd passed: %w", errors.Join(errs...))
}

// passedListener takes over one, and closes the file.
func passedListener(f *os.File) (net.Listener, error) {
	defer f.Close()
	if name := f.Name(); name != sourcesSocket && name != deskSocket {
		return nil, fmt.Errorf("there is no use for one named %q: set FileDescriptorName=%s or %s in its unit", name, sourcesSocket, deskSocket)
	}
	// Of no other socket does the package net tell that it is no listener.
	if listens, err := syscall.GetsockoptInt(int(f.Fd()), syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN); err != nil || listens == 0 {
		return nil, fmt.Errorf("%s is none to accept connections on: set ListenStream= and no Accept= in its unit (%v)", f.Name(), err)
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return l, nil
}

// A supervisor is who started the server and wants to know how it fares, as systemd
// does of a unit with Type=notify: see sd_notify(3). It is told what every server
// could say at any time, and nothing of sources. Nil is nobody.
//
// The connection is made before the server shuts itself in, which can make none
// afterwards; so it is kept, where package daemon makes one for each word.
type supervisor struct {
	conn     net.Conn
	watchdog time.Duration // it wants a sign of life this often; 0: it wants none
	log      *slog.Logger
}

// findSupervisor takes the supervisor's address out of the environment.
func findSupervisor(log *slog.Logger) *supervisor {
	watchdog, err := daemon.SdWatchdogEnabled(true)
	if err != nil {
		log.Warn("systemd will get no sign of life", "error", err)
	}
	address := os.Getenv("NOTIFY_SOCKET")
	os.Unsetenv("NOTIFY_SOCKET")
	if address == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		log.Warn("systemd will not be told that the server is ready", "error", err)
		return nil
	}
	return &supervisor{conn: conn, watchdog: watchdog, log: log}
}

func (s *supervisor) ready() { s.tell(daemon.SdNotifyReady + "\nSTATUS=Serving.") }

func (s *supervisor) stopping() {
	s.tell(daemon.SdNotifyStopping + "\nSTATUS=Stopping, after what is being received has come in.")
}

func (s *supervisor) tell(state string) {
	if s == nil {
		return
	}
	s.conn.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := s.conn.Write([]byte(state)); err != nil {
		s.log.Warn("systemd could not be told how the server is", "error", err)
	}
}

// watch gives signs of life as long as the server is alive, which the function
// finds out. Stop ends that, and the connection.
func (s *supervisor) watch(alive func(context.Context) error) (stop func()) {
	if s == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	if s.watchdog > 0 {
		wg.Go(func() { s.keepAlive(ctx, alive) })
	}
	return func() {
		cancel()
		wg.Wait()
		s.conn.Close()
	}
}

func (s *supervisor) keepAlive(ctx context.Context, alive func(context.Context) error) {
	tick := time.NewTicker(max(s.watchdog/2, time.Millisecond))
	defer tick.Stop()
	well := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := alive(ctx)
		if err == nil {
			s.tell(daemon.SdNotifyWatchdog)
		} else if well && ctx.Err() == nil {
			s.log.Error("the store cannot be read: systemd gets no sign of life, and will start the server anew", "error", err)
		}
		well = err == nil
	}
}
