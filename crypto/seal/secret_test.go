//go:build goexperiment.runtimesecret

package seal

import (
	"bytes"
	"runtime"
	"testing"
	"unsafe"

	"filippo.io/age"
)

func TestNewTipKeyIsErased(t *testing.T) {
	const size = unsafe.Sizeof(age.HybridIdentity{})
	at := func() uintptr {
		k, err := NewTipKey()
		if err != nil {
			t.Fatal(err)
		}
		return uintptr(unsafe.Pointer(k.identity))
	}()
	for range 3 {
		runtime.GC()
	}
	if left := unsafe.Slice((*byte)(unsafe.Add(nil, at)), size); !bytes.Equal(left, make([]byte, size)) {
		t.Errorf("%x is left", left)
	}
}
