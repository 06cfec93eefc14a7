package cmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"tipbox/tipbox/web/webtest"
)

// A stage is a tab that shows one state of a page after another, without a line. Our
// scripts look at it from a world beside the page's own, whose scripting stays off.
type stage struct {
	*browserTab
	frame cdp.FrameID
	world runtime.ExecutionContextID
}

// noTimers has what waits for a timer go on at once: where scripting is off, timers
// stand still, in our world too.
const noTimers = `window.setTimeout = (f, _, ...args) => { Promise.resolve().then(() => f(...args)); return 1 }`

// newStage opens an empty stage, and runs scripts there once.
func (c *chromium) newStage(t *testing.T, scripts ...string) *stage {
	t.Helper()
	s := &stage{browserTab: c.newTab(t, &browserLine{}, "en")}
	s.frame = browserRun(s.browserTab, func(ctx context.Context, t *chromedp.Target) (cdp.FrameID, error) {
		tree, err := cdp.Call(ctx, t, page.GetFrameTree, cdp.Empty{})
		if err != nil {
			return "", err
		}
		return tree.FrameTree.Frame.ID, nil
	})
	s.world = browserRun(s.browserTab, func(ctx context.Context, t *chromedp.Target) (runtime.ExecutionContextID, error) {
		world, err := cdp.Call(ctx, t, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: s.frame})
		return world.ExecutionContextID, err
	})
	for _, script := range append([]string{noTimers}, scripts...) {
		look[any](s, script+"\n;null")
	}
	return s
}

// each shows one page after the other, and adds what the expression finds in each: it
// evaluates to a list of faults. Nothing is drawn meanwhile, which would take longest.
func (s *stage) each(pages []*webtest.State, expression, how string, faults toldOnce) {
	s.t.Helper()
	const atOnce = 20
	for some := range slices.Chunk(pages, atOnce) {
		var texts []string
		for _, page := range some {
			texts = append(texts, string(page.Body))
		}
		list, err := json.Marshal(texts)
		if err != nil {
			s.t.Fatal(err)
		}
		found := look[[][]string](s, fmt.Sprintf(`(async () => {
			const all = [];
			for (const html of %s) {
				document.open(); document.write(html); document.close();
				for (const d of document.querySelectorAll("details")) d.open = true;
				all.push(await %s);
			}
			return all;
		})()`, list, expression))
		for i, page := range some {
			for _, fault := range found[i] {
				faults.add(fault, page.String()+how)
			}
		}
	}
}

// probe is a page of the stage's own, to prove that what is wrong is found.
func probe(html string) []*webtest.State {
	return []*webtest.State{{Name: "probe", Body: []byte(html)}}
}

// scheme sets light or dark.
func (s *stage) scheme(scheme string) {
	s.t.Helper()
	s.do(browserCall(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}))
}

// look evaluates an expression in our world, and awaits it.
func look[T any](s *stage, expression string) (v T) {
	s.t.Helper()
	yes := true
	value := browserRun(s.browserTab, func(ctx context.Context, t *chromedp.Target) (json.RawMessage, error) {
		r, err := cdp.Call(ctx, t, runtime.Evaluate, runtime.EvaluateParams{
			Expression: expression, ContextID: s.world, ReturnByValue: &yes, AwaitPromise: &yes,
		})
		if err == nil && r.ExceptionDetails != nil {
			err = &chromedp.ExceptionError{ExceptionDetails: r.ExceptionDetails}
		}
		if err != nil {
			return nil, err
		}
		return json.RawMessage(r.Result.Value), nil
	})
	if err := json.Unmarshal(value, &v); err != nil {
		s.t.Fatalf("%.100s gives %s: %v", expression, value, err)
	}
	return v
}

// walked are the pages that tests look at, taken once for all of them.
var walked struct {
	once  sync.Once
	pages []*webtest.State
}

// walkPages are the states of all pages in every language, without the padding.
func walkPages(t *testing.T) []*webtest.State {
	t.Helper()
	walked.once.Do(func() {
		walked.pages = slices.DeleteFunc(webtest.Walk(t, nil, webtest.Languages(t)...), func(s *webtest.State) bool { return !s.IsPage() })
		for _, page := range walked.pages {
			page.Body = page.Body[:bytes.LastIndex(page.Body, []byte("<!--"))]
		}
	})
	if len(walked.pages) == 0 {
		t.Fatal("the walk has failed")
	}
	return slices.Clone(walked.pages)
}

// A toldOnce tells of a fault once, however many states have it.
type toldOnce map[string][]string

func (f toldOnce) add(fault, where string) { f[fault] = append(f[fault], where) }

func (f toldOnce) report(t *testing.T) {
	t.Helper()
	for fault, where := range f {
		t.Errorf("%s\n\tin %d states, first in %s", fault, len(where), where[0])
	}
}
