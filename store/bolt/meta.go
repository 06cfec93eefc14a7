package bolt

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"

	"tipbox/store"
)

// bbolt writes its two meta pages in turns and opens the newest whose checksum
// is right. So where one is damaged the commit before is taken for the last,
// without a word: checkMetas has one. It must be asked while nobody writes.
const (
	metaPages = 2
	metaLen   = 64 // bytes, the checksum being the last 8
)

func (h *handle) checkMetas() error {
	meta := make([]byte, metaLen)
	for i := range int64(metaPages) {
		if _, err := h.file.ReadAt(meta, i*int64(h.bolt.Info().PageSize)+pageHeader); err != nil {
			return err
		}
		sum := fnv.New64a()
		sum.Write(meta[:metaLen-8])
		if sum.Sum64() != binary.NativeEndian.Uint64(meta[metaLen-8:]) {
			return fmt.Errorf("%w: one of the two meta pages, so that the last write may be lost", store.ErrCorrupt)
		}
	}
	return nil
}
