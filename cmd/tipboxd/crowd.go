package main

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A crowd is a listener that always has room for one more: at its limit it
// closes the connection on which nothing has moved for longest. So connections
// that only wait, however many and whoever's, cannot keep others out, and it
// takes nobody's address to tell them apart.
type crowd struct {
	net.Listener
	limit int

	mu     sync.Mutex
	guests map[*guest]bool // guarded by mu
}

// maxConnections is how many connections sources may have at once: a quarter of
// the files that the process may open, since each may be writing one. 4096 that
// wait take about 100 MiB.
func maxConnections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 256
	}
	return connectionsOf(limit.Cur)
}

const mostConnections = 4096

// connectionsOf is how many connections may be had of so many files.
func connectionsOf(files uint64) int { return int(min(files/4, mostConnections)) }

// newCrowd limits the listener's connections, to at least one.
func newCrowd(l net.Listener, limit int) *crowd {
	return &crowd{Listener: l, limit: max(limit, 1), guests: make(map[*guest]bool)}
}

// count is how many connections there are.
func (c *crowd) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.guests)
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) { return c.admit(c.Listener) }

// A door is another listener by which one comes to a crowd.
type door struct {
	net.Listener
	crowd *crowd
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) { return d.crowd.admit(d.Listener) }

func (c *crowd) admit(l net.Listener) (net.Conn, error) {
	conn, err := l.Accept()
	if err != nil {
		return nil, err
	}
	g := &guest{Conn: conn, crowd: c, came: time.Now()}
	c.mu.Lock()
	var out *guest
	if len(c.guests) >= c.limit {
		out = c.stillest()
		delete(c.guests, out)
	}
	c.guests[g] = true
	c.mu.Unlock()
	if out != nil {
		out.Conn.Close() // its handler sees the end of the line
	}
	return g, nil
}

// stillest is the guest that moved longest ago. The caller holds c.mu.
func (c *crowd) stillest() (found *guest) {
	for g := range c.guests {
		if found == nil || g.lastMoved().Before(found.lastMoved()) {
			found = g
		}
	}
	return found
}

// A guest is a connection of a crowd.
type guest struct {
	net.Conn
	crowd *crowd
	came  time.Time
	moved atomic.Int64 // nanoseconds since came, of the last byte
}

func (g *guest) lastMoved() time.Time { return g.came.Add(time.Duration(g.moved.Load())) }

func (g *guest) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.note(n)
	return n, err
}

func (g *guest) Write(p []byte) (int, error) {
	n, err := g.Conn.Write(p)
	g.note(n)
	return n, err
}

func (g *guest) note(n int) {
	if n > 0 {
		g.moved.Store(int64(time.Since(g.came)))
	}
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.crowd.mu.Lock()
	delete(g.crowd.guests, g)
	g.crowd.mu.Unlock()
	return g.Conn.Close()
}
