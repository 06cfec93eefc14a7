package web

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestLongTextsAlwaysHaveRoom has many requests wait with a long text half sent.
// Another is read whole all the same, one that moves too, and no more than the
// limit are kept.
func TestLongTextsAlwaysHaveRoom(t *testing.T) {
	s := new(site)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := s.readForm(w, r, nil)
		fmt.Fprintln(w, len(f.Get("text")), err)
	}))
	defer server.Close()
	count := func() int {
		s.heavies.mu.Lock()
		defer s.heavies.mu.Unlock()
		return len(s.heavies.in)
	}
	const size = 10 * lightForm
	begin := func(part int) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\ntext=%s",
			len("text=")+size, strings.Repeat("x", part))
		return conn
	}
	wait := func(what string, done func() bool) {
		t.Helper()
		for range 1000 {
			if done() {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Fatalf("%s: %d are kept", what, count())
	}
	slow := begin(2 * lightForm)
	wait("the first", func() bool { return count() == 1 })
	left := size - 2*lightForm
	var waiting []net.Conn
	for i := range 2 * maxHeavy {
		waiting = append(waiting, begin(2*lightForm))
		wait("one more", func() bool { return count() == min(i+2, maxHeavy) })
		if _, err := slow.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		left--
		time.Sleep(2 * time.Millisecond) // until it is read
	}
	waiting[0].SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadAll(waiting[0]); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("the one that waited longest is still connected")
	}
	io.WriteString(slow, strings.Repeat("x", left))
	line, err := answer(slow)
	if want := fmt.Sprintln(size, nil); line != want {
		t.Errorf("the slow one: %q, %v, want %q", line, err, want)
	}
	line, err = answer(begin(size))
	if want := fmt.Sprintln(size, nil); line != want {
		t.Errorf("one more: %q, %v, want %q", line, err, want)
	}
	for _, conn := range waiting {
		conn.Close()
	}
	wait("at the end", func() bool { return count() == 0 })
}

func answer(conn net.Conn) (string, error) {
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
