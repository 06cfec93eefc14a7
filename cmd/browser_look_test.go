package cmd_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/css"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// browserPictures names the environment variable of a folder for a picture of
// every page, in both shapes, light and dark, for whoever wants to look at them.
const browserPictures = "TIPBOX_TEST_SCREENSHOTS"

// inspect looks at a page on a telephone and on a desk, by day and by night:
// nothing is cut off or too small to hit, and everything can be read.
func (b *browserTab) inspect(name string) {
	b.t.Helper()
	for _, screen := range []struct {
		width, height int64
		options       []chromedp.EmulateViewportOption
	}{
		{1280, 900, nil},
		{360, 800, []chromedp.EmulateViewportOption{chromedp.EmulateMobile, chromedp.EmulatePortrait}},
	} {
		b.do(chromedp.EmulateViewport(screen.width, screen.height, screen.options...))
		b.fits(name, screen.width)
		b.targets(name)
		for _, scheme := range []string{"light", "dark"} {
			b.emulateMedia("", scheme)
			if screen.width == 1280 && b.lang == "en" { // every language has the same colours
				b.contrast(name + " (" + scheme + ")")
			}
			b.screenshot(fmt.Sprintf("%s-%d-%s", name, screen.width, scheme))
		}
		b.emulateMedia("", "light")
	}
	b.do(chromedp.EmulateViewport(1280, 900))
}

// fits checks that the page is as wide as the screen, once it has been laid
// out anew.
func (b *browserTab) fits(name string, width int64) {
	b.t.Helper()
	content := browserRun(b, func(ctx context.Context, t *chromedp.Target) (float64, error) {
		for {
			m, err := cdp.Call(ctx, t, page.GetLayoutMetrics, cdp.Empty{})
			if err != nil {
				return 0, err
			}
			// A page that is too wide is shown smaller.
			if v := m.CSSVisualViewport; math.Abs(v.ClientWidth*v.Scale-float64(width)) < 1 {
				return m.CSSContentSize.Width, nil
			}
		}
	})
	if content > float64(width) {
		b.t.Errorf("%s: on a screen of %d the page is %v wide", name, width, content)
	}
}

// targets checks that what can be pressed can be hit: WCAG 2.2, 2.5.8.
func (b *browserTab) targets(name string) {
	b.t.Helper()
	const least = 24
	for _, n := range b.nodes("a[href]:not(.skip), button, summary, textarea, input[type=file], input[type=text], .choice") {
		box := b.box(n)
		if box != nil && (box.Width < least || box.Height < least) {
			b.t.Errorf("%s: <%s %v> is %d by %d", name, n.LocalName, n.Attributes, box.Width, box.Height)
		}
	}
}

// contrast checks that texts can be read: WCAG 2.2, 1.4.3.
func (b *browserTab) contrast(name string) {
	b.t.Helper()
	const least = 4.5
	for _, n := range b.nodes("h1, h2, h3, p, li, dt, dd, th, td, strong, label, label span, legend, summary, a, button, textarea, input[type=file], input[type=text]") {
		ratio := browserRun(b, func(ctx context.Context, t *chromedp.Target) (float64, error) {
			behind, err := cdp.Call(ctx, t, css.GetBackgroundColors, css.GetBackgroundColorsParams{NodeID: n.NodeID})
			if err != nil || len(behind.BackgroundColors) == 0 {
				return math.Inf(1), err // it has no text of its own that is seen
			}
			style, err := cdp.Call(ctx, t, css.GetComputedStyleForNode, css.GetComputedStyleForNodeParams{NodeID: n.NodeID})
			if err != nil {
				return 0, err
			}
			worst := math.Inf(1)
			for _, p := range style.ComputedStyle {
				for _, background := range behind.BackgroundColors {
					if p.Name == "color" {
						worst = min(worst, contrastOf(p.Value, background))
					}
				}
			}
			return worst, nil
		})
		if ratio < least {
			b.t.Errorf("%s: <%s %v> has a contrast of %.1f", name, n.LocalName, n.Attributes, ratio)
		}
	}
}

// contrastOf is WCAG's contrast ratio of two opaque colours, rgb(…) or
// rgba(…).
func contrastOf(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

var colourNumbers = regexp.MustCompile(`[0-9.]+`)

// luminance is WCAG's relative luminance.
func luminance(colour string) (sum float64) {
	for i, number := range colourNumbers.FindAllString(colour, 3) {
		var v float64
		fmt.Sscan(number, &v)
		if v /= 255; v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += v * []float64{0.2126, 0.7152, 0.0722}[i]
	}
	return sum
}

// screenshot keeps a picture of the whole page, if somebody wants them.
func (b *browserTab) screenshot(name string) {
	b.t.Helper()
	if os.Getenv(browserPictures) != "" {
		b.keep(name+".png", browserRun(b, chromedp.FullScreenshot(100)))
	}
}

func (b *browserTab) keep(name string, data []byte) {
	b.t.Helper()
	dir := os.Getenv(browserPictures)
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, b.lang+"-"+name), data, 0o600); err != nil {
		b.t.Error(err)
	}
}
