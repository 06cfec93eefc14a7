package web

import (
	"io"
	"sync"
	"time"
)

const (
	// lightForm is how many bytes of fields each request may keep in memory.
	lightForm = 16 << 10
	// maxHeavy is how many requests may keep more at once, each up to
	// maxFields and what it takes to decode and to show them.
	maxHeavy = 32
)

// heavies are the requests that keep much in memory. There is always room for
// one more: at the limit, the one that has moved longest ago is cut off. So
// those that only wait, however many, can keep nobody's long text out.
type heavies struct {
	mu sync.Mutex
	in map[*body]bool // guarded by mu
}

// enter takes a request in until it ends.
func (h *heavies) enter(b *body) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.in == nil {
		h.in = make(map[*body]bool)
	}
	if len(h.in) >= maxHeavy {
		var stillest *body
		for other := range h.in {
			if stillest == nil || other.moved.Load() < stillest.moved.Load() {
				stillest = other
			}
		}
		delete(h.in, stillest)
		stillest.cutOff()
	}
	h.in[b] = true
}

func (h *heavies) leave(b *body) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.in, b)
}

// cutOff ends the request from outside: its line neither gives nor takes any
// more.
func (b *body) cutOff() {
	b.isCut.Store(true)
	b.control.SetReadDeadline(time.Unix(1, 0))
	b.control.SetWriteDeadline(time.Unix(1, 0))
}

// keeping reads from r what stays in memory until the request ends.
type keeping struct {
	r    io.Reader
	body *body
}

func (k keeping) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	k.body.kept += n
	if k.body.kept > lightForm && !k.body.heavy {
		k.body.heavy = true
		k.body.heavies.enter(k.body)
	}
	return n, err
}
