//go:build goexperiment.runtimesecret

package receipt

import (
	"bytes"
	"runtime"
	"testing"
	"unsafe"
)

// place is where a code's bytes are, which does not keep them.
//
//go:noinline
func place(c *Code) uintptr { return uintptr(unsafe.Pointer(unsafe.StringData(*c.secret))) }

func mustBeErased(t *testing.T, at uintptr) {
	t.Helper()
	for range 3 {
		runtime.GC()
	}
	if left := unsafe.Slice((*byte)(unsafe.Add(nil, at)), size); !bytes.Equal(left, make([]byte, size)) {
		t.Errorf("%x is left", left)
	}
}

func TestNewCodeIsErased(t *testing.T) { mustBeErased(t, place(New())) }

func TestParsedCodeIsErased(t *testing.T) {
	typed := New().Digits()
	mustBeErased(t, func() uintptr {
		c, err := Parse(typed)
		if err != nil {
			t.Fatal(err)
		}
		return place(c)
	}())
}
