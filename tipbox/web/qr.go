package web

import (
	"fmt"
	"slices"
	"strings"

	"rsc.io/qr"
)

// A qrCode is a QR code as a page draws it, with the margin of four modules that readers
// want: two paths to be stroked one module wide, along the upper edges of their modules
// and along the left ones. The page moves each by half a module.
type qrCode struct {
	Side         int // in modules
	Drawn        int // in pixels
	Across, Down string
}

// qrModule is how large a module is drawn, in pixels: a whole number, so that all are.
const qrModule = 4

// A qrRun is a row, or a column, of dark modules between light ones.
type qrRun struct {
	down    bool
	x, y, n int
}

// drawQR draws as few runs as it can find that cover all dark modules: most of a page
// with a code are those.
func drawQR(text string) (*qrCode, error) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return nil, fmt.Errorf("drawing a QR code: %w", err)
	}
	const margin = 4
	across, down := qrPath{}, qrPath{}
	for _, r := range coverQR(code.Size, code.Black) {
		if r.down {
			down.line(r.x+margin, r.y+margin, 0, r.n)
		} else {
			across.line(r.x+margin, r.y+margin, r.n, 0)
		}
	}
	side := code.Size + 2*margin
	return &qrCode{side, side * qrModule, across.text.String(), down.text.String()}, nil
}

// coverQR returns runs that cover the dark modules of a square, in the order of rows
// and of columns: always the one that covers most of those that are left.
func coverQR(size int, dark func(x, y int) bool) (chosen []qrRun) {
	var byLength [][]qrRun // how many a run can cover still, as it was looked at last
	for _, down := range []bool{false, true} {
		at := func(line, i int) (x, y int) {
			if down {
				return line, i
			}
			return i, line
		}
		for line := range size {
			for i := 0; i < size; i++ {
				from := i
				for i < size && dark(at(line, i)) {
					i++
				}
				if i == from {
					continue
				}
				for len(byLength) <= i-from {
					byLength = append(byLength, nil)
				}
				x, y := at(line, from)
				byLength[i-from] = append(byLength[i-from], qrRun{down, x, y, i - from})
			}
		}
	}
	covered := make([]bool, size*size)
	modules := func(r qrRun, visit func(*bool)) {
		for i := range r.n {
			if r.down {
				visit(&covered[(r.y+i)*size+r.x])
			} else {
				visit(&covered[r.y*size+r.x+i])
			}
		}
	}
	for n := len(byLength) - 1; n > 0; n-- {
		for _, r := range byLength[n] {
			left := 0
			modules(r, func(c *bool) {
				if !*c {
					left++
				}
			})
			if left < n {
				byLength[left] = append(byLength[left], r)
				continue
			}
			modules(r, func(c *bool) { *c = true })
			chosen = append(chosen, r)
		}
	}
	slices.SortFunc(chosen, func(a, b qrRun) int {
		switch {
		case a.down != b.down && b.down:
			return -1
		case a.down != b.down:
			return 1
		case a.down:
			return slices.Compare([]int{a.x, a.y}, []int{b.x, b.y})
		}
		return slices.Compare([]int{a.y, a.x}, []int{b.y, b.x})
	})
	return chosen
}

// A qrPath is the data of an SVG path.
type qrPath struct {
	text strings.Builder
	x, y int // where it ends
}

// line draws one across or down, and gets there in whichever way is written shorter.
func (p *qrPath) line(x, y, across, down int) {
	absolute, relative := pair("M", x, y), pair("m", x-p.x, y-p.y)
	if p.text.Len() == 0 || len(absolute) <= len(relative) {
		relative = absolute
	}
	p.text.WriteString(relative)
	if down > 0 {
		fmt.Fprintf(&p.text, "v%d", down)
	} else {
		fmt.Fprintf(&p.text, "h%d", across)
	}
	p.x, p.y = x+across, y+down
}

// pair writes a command with two numbers. A minus parts them too.
func pair(command string, x, y int) string {
	if y < 0 {
		return fmt.Sprintf("%s%d%d", command, x, y)
	}
	return fmt.Sprintf("%s%d %d", command, x, y)
}
