package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// TestCrowdHasRoomForOneMore fills a server with connections that wait, and
// with some that trickle, and wants every visitor served all the same.
func TestCrowdHasRoomForOneMore(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const limit = 20
	door := &countingListener{Listener: l}
	c := newCrowd(door, limit)
	arrived := make(chan bool)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for one := make([]byte, 1); ; {
			n, err := r.Body.Read(one)
			if n > 0 {
				arrived <- true
			}
			if err != nil {
				break
			}
		}
		io.WriteString(w, "served")
	})}
	go server.Serve(c)
	t.Cleanup(func() { server.Close() })
	address := l.Addr().String()
	dialled := int64(0)
	dial := func() net.Conn {
		t.Helper()
		dialled++
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	// A slow upload that moves stays, whoever else comes and waits.
	slow := dial()
	fmt.Fprintf(slow, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
	for i := range 100 {
		for range 3 {
			fmt.Fprintf(dial(), "GET / HTTP/1.1\r\nHost: x\r\n") // never ended
		}
		for door.accepted.Load() < dialled { // not all at one moment
			time.Sleep(time.Millisecond)
		}
		if _, err := slow.Write([]byte("x")); err != nil {
			t.Fatalf("the slow upload was cut off at byte %d: %v", i, err)
		}
		<-arrived
		if i%10 != 0 {
			continue
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
		dialled++
		resp, err := client.Get("http://" + address)
		if err != nil {
			t.Fatalf("a visitor was not served: %v", err)
		}
		resp.Body.Close()
	}
	answer := make([]byte, 15)
	if _, err := io.ReadFull(slow, answer); err != nil || string(answer) != "HTTP/1.1 200 OK" {
		t.Errorf("the slow upload got %q, %v", answer, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.guests); n > limit {
		t.Errorf("%d connections, at most %d", n, limit)
	}
}

type countingListener struct {
	net.Listener
	accepted atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	l.accepted.Add(1)
	return conn, err
}

func TestClosedGuestsLeaveTheCrowd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := newCrowd(l, 0)
	for range 3 {
		out, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		in, err := c.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Close(); err != nil || len(c.guests) != 0 {
			t.Errorf("%d guests, %v", len(c.guests), err)
		}
		out.Close()
	}
}

// TestACrowdIsOneByWhateverDoor has who comes by another listener be counted too.
func TestACrowdIsOneByWhateverDoor(t *testing.T) {
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	front := newCrowd(listen(), 1)
	side := &door{listen(), front}
	var before net.Conn
	for _, by := range []net.Listener{front, side, side, front} {
		conn, err := net.Dial("tcp", by.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := by.Accept(); err != nil {
			t.Fatal(err)
		}
		if before != nil {
			before.SetDeadline(time.Now().Add(5 * time.Second))
			if _, err := before.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("who was there before is not sent away: %v", err)
			}
		}
		if n := front.count(); n != 1 {
			t.Errorf("%d are in it, and there is room for 1", n)
		}
		before = conn
	}
}
