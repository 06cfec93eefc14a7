package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tipbox/store"
	"tipbox/tipbox/tipboxtest"
)

// TestSystemdsWordsLeaveTheEnvironment is also for those of another process, which are
// not ours to follow.
func TestSystemdsWordsLeaveTheEnvironment(t *testing.T) {
	words := map[string]string{
		"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "sources:desk",
		"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "none"), "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1",
	}
	for name, value := range words {
		t.Setenv(name, value)
	}
	var log tipboxtest.Log
	if passed, err := passedListeners(); err != nil || len(passed) > 0 {
		t.Errorf("%v, %v", passed, err)
	}
	if s := findSupervisor(newLog(&log)); s != nil || !strings.Contains(string(log.Bytes()), "systemd will not be told") {
		t.Errorf("%v: %s", s, log.Bytes())
	}
	for name := range words {
		if value, ok := os.LookupEnv(name); ok {
			t.Errorf("%s is still %q", name, value)
		}
	}
}

// TestServerThatCannotReadGivesNoSignOfLife has the store be damaged, and well again.
func TestServerThatCannotReadGivesNoSignOfLife(t *testing.T) {
	ours, theirs := datagrams(t)
	var log tipboxtest.Log
	s := &supervisor{conn: ours, watchdog: 4 * time.Millisecond, log: newLog(&log)}
	var damaged atomic.Bool
	var asked atomic.Int64
	stop := s.watch(func(context.Context) error {
		asked.Add(1)
		if damaged.Load() {
			return errors.New("it is gone")
		}
		return nil
	})
	message := make([]byte, 100)
	sign := func(within time.Duration) bool {
		theirs.SetReadDeadline(time.Now().Add(within))
		n, err := theirs.Read(message)
		if err == nil && string(message[:n]) != "WATCHDOG=1" {
			t.Errorf("%q", message[:n])
		}
		return err == nil
	}
	for range 2 {
		if !sign(time.Minute) {
			t.Fatal("no sign of life")
		}
	}
	damaged.Store(true)
	for seen := asked.Load(); asked.Load() < seen+2; time.Sleep(time.Millisecond) { // none is under way
	}
	for sign(time.Millisecond) { // what was sent before
	}
	if sign(50 * time.Millisecond) {
		t.Error("a sign of life without a store")
	}
	if n := strings.Count(string(log.Bytes()), "level=ERROR"); n != 1 {
		t.Errorf("%d errors are logged: %s", n, log.Bytes())
	}
	damaged.Store(false)
	if !sign(time.Minute) {
		t.Error("no sign of life after the store is back")
	}
	stop()
	for sign(time.Millisecond) {
	}
	if sign(20 * time.Millisecond) {
		t.Error("a sign of life after the end")
	}
}

func datagrams(t *testing.T) (ours, theirs *net.UnixConn) {
	t.Helper()
	at := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	theirs, err := net.ListenUnixgram("unixgram", at)
	if err != nil {
		t.Fatal(err)
	}
	ours, err = net.DialUnix("unixgram", nil, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

// TestAliveIsThatTheStoreCanBeRead has its mark be damaged, and the database closed.
func TestAliveIsThatTheStoreCanBeRead(t *testing.T) {
	dir := newDemo(t, "")
	f, err := openFolder(t.Context(), dir, newLog(new(tipboxtest.Log)))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.alive(t.Context()); err != nil {
		t.Error(err)
	}
	if err := f.db.Apply(t.Context(), store.Put("meta/format", []byte("?"))); err != nil {
		t.Fatal(err)
	}
	if err := f.alive(t.Context()); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("damaged: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.alive(t.Context()); err == nil {
		t.Error("alive without a database")
	}
}

// TestNobodyIsToldWithoutSystemd has each word go nowhere.
func TestNobodyIsToldWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	s := findSupervisor(newLog(new(tipboxtest.Log)))
	if s != nil {
		t.Fatal("there is somebody")
	}
	s.ready()
	s.stopping()
	s.watch(nil)()
}
