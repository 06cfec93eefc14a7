package desk_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

const aTip = "aaaaaaaaaaaaaaaa"

func headOf(n int) tipbox.Head { return tipbox.Head{Number: n, SHA256: fmt.Sprintf("%064d", n)} }

// TestRememberTakesNothingBack has a slower command of the same member remember
// what a faster one has gone beyond.
func TestRememberTakesNothingBack(t *testing.T) {
	h := desk.Home(t.TempDir())
	for _, n := range []int{7, 7, 5} {
		if err := h.Remember(aTip, headOf(n)); err != nil {
			t.Fatal(err)
		}
	}
	if head, err := h.Head(aTip); err != nil || head != headOf(7) {
		t.Errorf("remembers %v, %v: the server may roll back two entries", head, err)
	}
	err := h.Remember(aTip, tipbox.Head{Number: 7, SHA256: strings.Repeat("f", 64)})
	if !errors.Is(err, tipbox.ErrInvalid) || !strings.Contains(err.Error(), "two histories") {
		t.Errorf("another seventh entry: %v", err)
	}
	if head, err := h.Head(aTip); err != nil || head != headOf(7) {
		t.Errorf("remembers %v, %v", head, err)
	}
	if err := h.Remember("../tipbox.toml", headOf(1)); !errors.Is(err, tipbox.ErrNotFound) {
		t.Errorf("a name that is no tip's: %v", err)
	}
}

func TestOfManyTheLastIsRemembered(t *testing.T) {
	h := desk.Home(t.TempDir())
	const most = 200
	var wg sync.WaitGroup
	for n := 1; n <= most; n++ {
		wg.Go(func() {
			if err := h.Remember(aTip, headOf(n)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if head, err := h.Head(aTip); err != nil || head != headOf(most) {
		t.Errorf("remembers %v, %v", head, err)
	}
}

// TestNobodySignsForTwoClaimsOfAnAward has a server keep back what was signed.
func TestNobodySignsForTwoClaimsOfAnAward(t *testing.T) {
	h, tip := desk.Home(t.TempDir()), strings.Repeat("a", 16)
	for i, step := range []struct {
		award int
		claim string
		anew  bool
		want  error
	}{
		{7, "one", false, nil}, {7, "one", false, nil}, {7, "two", false, desk.ErrSigned}, {8, "two", false, nil},
		{7, "two", true, nil}, {7, "two", false, nil}, {7, "one", false, desk.ErrSigned},
	} {
		if err := h.Pledge(tip, step.award, step.claim, step.anew); !errors.Is(err, step.want) {
			t.Errorf("step %d: %v", i, err)
		}
	}
	if err := h.Pledge("../../x", 1, "one", false); err == nil {
		t.Error("a tip of any name")
	}
}
