package tipbox

import (
	"bytes"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestFilesLetWhatIsShortGoBefore reads a file with and without something short
// under way: it waits for that, but not for ever.
func TestFilesLetWhatIsShortGoBefore(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 4*turn)
	read := func(short int64) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int64
			n.Store(short)
			began := time.Now()
			got, err := io.ReadAll(&polite{r: bytes.NewReader(content), short: &n})
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			took = time.Since(began)
		})
		return took
	}
	if took := read(0); took != 0 {
		t.Errorf("with nothing short it waited %v", took)
	}
	if took := read(3); took < 4*time.Millisecond || took > 40*time.Millisecond {
		t.Errorf("with something short all the time it waited %v", took)
	}
}
