package mem_test

import (
	"testing"

	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.TestStore(t, func(*testing.T) store.Store { return mem.New() }, nil)
}

func TestBlobs(t *testing.T) {
	storetest.TestBlobs(t, func(*testing.T) store.Blobs { return mem.NewBlobs() })
}
