package tipbox

import "testing"

func TestBandsAreWide(t *testing.T) {
	for n, want := range map[int]int{0: 0, 9: 0, 10: 10, 19: 10, 20: 20, 49: 20, 50: 50, 99: 50, 100: 100, 199: 100, 200: 200, 999_999: 500_000, 1_000_000: 1_000_000} {
		if got := countBand(n); got != want {
			t.Errorf("%d is in the band from %d, want %d", n, got, want)
		}
	}
	for n, want := range map[int64]int64{-5: 0, 0: 0, 1: 1, 3: 2, 4: 4, 1023: 512, 1 << 40: 1 << 40} {
		if got := SizeBand(n); got != want {
			t.Errorf("%d is in the band from %d, want %d", n, got, want)
		}
	}
}
