package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"tipbox/store/bolt"
)

// A running server holds the lock on its database, so what the other commands
// need of it they ask the server for, on the Unix socket DIR/control.sock. One
// line asks and one line answers, "ok" or "error: " and why; with the "ok" to
// snapshotRequest comes the snapshot as an open file. After the "ok" to some requests
// comes a document, until the end. A line that is HTTP's is answered as such.
const (
	controlName = "control.sock"

	snapshotRequest = "snapshot" // see bolt.DB.Snapshot
	compactRequest  = "compact"  // see bolt.DB.Compact
	statusRequest   = "status"   // a status, as JSON
	metricsRequest  = "metrics"  // a status, in Prometheus' text format
	examineRequest  = "examine"  // an examination, as JSON
	probeRequest    = "probe"    // a probe, as JSON
)

const (
	maxAnswer   = 4096    // bytes of a line on the socket
	maxDocument = 1 << 20 // bytes of a document

	documentTime = time.Minute // for a document to come
)

// askDatabase has a request done by the server of the folder, or does it here if
// none runs.
func askDatabase(ctx context.Context, dir, request string) (*os.File, error) {
	answer, err := askServer(ctx, dir, request)
	if !errors.Is(err, errNoServer) {
		return answer, err
	}
	db, err := openDatabase(filepath.Join(dir, databaseName), nil)
	if err != nil {
		return nil, err
	}
	answer, err = perform(ctx, db, request)
	return answer, errors.Join(err, db.Close())
}

// perform does a request. A file that it returns is the caller's.
func perform(ctx context.Context, db *bolt.DB, request string) (*os.File, error) {
	switch request {
	case snapshotRequest:
		return db.Snapshot(ctx)
	case compactRequest:
		return nil, db.Compact(ctx)
	}
	return nil, fmt.Errorf("the server does not know the request %.20q: is it of another version than this program?", request)
}

// errNoServer means that nobody answers on the socket.
var errNoServer = errors.New("no server is running")

func askServer(ctx context.Context, dir, request string) (*os.File, error) {
	_, file, err := converse(ctx, dir, request)
	return file, err
}

// askDocument asks the server of the folder for a document; errNoServer if none runs.
func askDocument(ctx context.Context, dir, request string) ([]byte, error) {
	doc, file, err := converse(ctx, dir, request)
	if file != nil {
		file.Close()
	}
	return doc, err
}

func converse(ctx context.Context, dir, request string) ([]byte, *os.File, error) {
	var conn *net.UnixConn
	err := asOwner(dir, func() error {
		at, err := openControl(dir)
		if err != nil {
			return err
		}
		defer at.Close()
		conn, err = net.DialUnix("unix", nil, at.address())
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil, errNoServer
	}
	if err != nil {
		return nil, nil, fmt.Errorf("asking the server: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if request != snapshotRequest && request != compactRequest { // which take as long as there are tips
		conn.SetDeadline(time.Now().Add(documentTime))
	}
	doc, file, err := exchange(conn, request)
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err())
	}
	if err != nil {
		return nil, nil, fmt.Errorf("asking the server: %w", err)
	}
	return doc, file, nil
}

func exchange(conn *net.UnixConn, request string) (doc []byte, file *os.File, err error) {
	if _, err := io.WriteString(conn, request+"\n"); err != nil {
		return nil, nil, err
	}
	first, rights := make([]byte, maxAnswer), make([]byte, syscall.CmsgSpace(4))
	n, nRights, _, _, err := conn.ReadMsgUnix(first, rights)
	if err == io.EOF || err == nil && n == 0 {
		return nil, nil, errors.New("it ended before it answered: try again")
	}
	if err != nil {
		return nil, nil, err
	}
	if file, err = receivedFile(rights[:nRights]); err != nil {
		return nil, nil, err
	}
	rest, err := io.ReadAll(io.LimitReader(conn, maxDocument))
	if err != nil {
		return nil, file, err
	}
	line, doc, _ := bytes.Cut(append(first[:n], rest...), []byte("\n"))
	switch answer := string(line); {
	case answer != "ok":
		return nil, file, errors.New(strings.TrimPrefix(answer, "error: "))
	case request == snapshotRequest && file == nil:
		return nil, nil, errors.New("it sent no snapshot")
	}
	return doc, file, nil
}

// receivedFile returns the file that came with a message, or nil.
func receivedFile(rights []byte) (*os.File, error) {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "snapshot"), nil
}

// serveControl answers on the folder's socket until stop is called, which waits
// for what is under way.
func (f *folder) serveControl(ctx context.Context, log *slog.Logger) (stop func(), err error) {
	at, err := openControl(f.path)
	if err != nil {
		return nil, err
	}
	// We hold the database's lock: what is there was left by a crash.
	if err := os.Remove(at.address().Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, at.Close())
	}
	l, err := net.ListenUnix("unix", at.address())
	if err != nil {
		return nil, errors.Join(err, at.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	stop = func() {
		cancel()
		l.Close() // removes the socket
		wg.Wait()
		at.Close()
	}
	// The folder is closed to others already.
	if err := os.Chmod(at.address().Name, 0o600); err != nil {
		stop()
		return nil, err
	}
	wg.Go(func() {
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				if ctx.Err() == nil {
					log.Error("the control socket is closed: backup and compact will not work until the next start", "error", err)
				}
				return
			}
			wg.Go(func() { f.answer(ctx, conn, log) })
		}
	})
	return stop, nil
}

// answer serves one request.
func (f *folder) answer(ctx context.Context, conn *net.UnixConn, log *slog.Logger) {
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(io.LimitReader(conn, maxAnswer))
	line, err := in.ReadString('\n')
	if err != nil {
		return // somebody who wanted nothing
	}
	request := strings.TrimRight(line, "\r\n")
	doc, file, err := f.fulfil(ctx, conn, line, in)
	if err != nil {
		log.Error("a request on the control socket failed", "request", request, "error", err)
		fmt.Fprintf(conn, "error: %.*s\n", maxAnswer-20, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	if strings.Contains(line, "HTTP/") {
		return // it has its answer
	}
	var rights []byte
	if doc == nil { // documents are asked for all the time
		log.Info("done on request", "request", request)
	}
	if file != nil {
		defer file.Close()
		rights = syscall.UnixRights(int(file.Fd()))
	}
	if _, _, err := conn.WriteMsgUnix([]byte("ok\n"), rights, nil); err == nil {
		conn.Write(doc)
	}
}

// fulfil does what a line asks for. A file that it returns is the caller's.
func (f *folder) fulfil(ctx context.Context, conn net.Conn, line string, rest *bufio.Reader) (doc []byte, file *os.File, err error) {
	switch request := strings.TrimSuffix(line, "\n"); {
	case strings.Contains(line, "HTTP/"):
		return nil, nil, f.answerHTTP(conn, line, rest)
	case request == statusRequest, request == metricsRequest:
		s, err := f.status()
		if err != nil {
			return nil, nil, err
		}
		if request == metricsRequest {
			return s.metrics(), nil, nil
		}
		doc, err = json.Marshal(s)
		return doc, nil, err
	case request == examineRequest:
		found, err := f.examine(ctx)
		if err != nil {
			return nil, nil, err
		}
		doc, err = json.Marshal(found)
		return doc, nil, err
	case request == probeRequest:
		doc, err = json.Marshal(f.prober.prepare())
		return doc, nil, err
	default:
		file, err = perform(ctx, f.db, request)
		return nil, file, err
	}
}

// A controlPlace is a folder with a socket.
type controlPlace struct{ *os.File }

func openControl(dir string) (controlPlace, error) {
	f, err := os.Open(dir)
	return controlPlace{f}, err
}

// address is the socket's. A path that is longer than a socket's may be is
// given through the open folder.
func (p controlPlace) address() *net.UnixAddr {
	const maxPath = 100 // 108 on Linux, 104 elsewhere, with a zero
	name := filepath.Join(p.Name(), controlName)
	if len(name) > maxPath {
		name = fmt.Sprintf("/proc/self/fd/%d/%s", p.Fd(), controlName)
	}
	return &net.UnixAddr{Name: name, Net: "unix"}
}
