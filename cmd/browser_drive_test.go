package cmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

const browserPatience = time.Minute // for one step, on a busy machine

// A chromium is a browser whose settings forbid scripts, as "Safest" does.
type chromium struct {
	ctx       context.Context
	userAgent string
}

// startChromium starts the browser, and ends it with the test.
func startChromium(t *testing.T, options ...chromedp.ExecAllocatorOption) *chromium {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal("chromium is not installed: ", err)
	}
	if err != nil {
		t.Skip("chromium is not installed: ", err)
	}
	home := t.TempDir()
	profile := filepath.Join(home, "profile")
	if err := os.MkdirAll(filepath.Join(profile, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	preferences := `{"profile":{"default_content_setting_values":{"javascript":2}}}`
	if err := os.WriteFile(filepath.Join(profile, "Default", "Preferences"), []byte(preferences), 0o600); err != nil {
		t.Fatal(err)
	}
	var output browserOutput
	ctx, stop := context.WithCancel(context.Background())
	if deadline, ok := t.Deadline(); ok { // the test ends itself then, and would leave the browser behind
		ctx, stop = context.WithDeadline(context.Background(), deadline.Add(-browserPatience/4))
	}
	ctx, stopAllocator := chromedp.NewExecAllocator(ctx, append(append(chromedp.DefaultExecAllocatorOptions[:], options...),
		chromedp.ExecPath(path),
		chromedp.UserDataDir(profile),
		chromedp.Env("HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home),
		chromedp.NoSandbox, // as root it does not start with one; it sees our pages only
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.CombinedOutput(&output),
	)...)
	ctx, _ = chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(func() {
		gentle, done := context.WithTimeout(ctx, 10*time.Second)
		chromedp.Cancel(gentle)
		done()
		stopAllocator()
		stop()
		// Its helpers may still write for a moment.
		for end := time.Now().Add(10 * time.Second); os.RemoveAll(profile) != nil && time.Now().Before(end); {
			time.Sleep(20 * time.Millisecond)
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v\n%s", path, err, &output)
	}
	version, err := cdp.Call(ctx, chromedp.FromContext(ctx).Browser, browser.GetVersion, cdp.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	return &chromium{ctx, version.UserAgent}
}

// A browserOutput collects what the browser writes.
type browserOutput struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *browserOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *browserOutput) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// proveScriptingOff loads a page whose script would change it.
func (c *chromium) proveScriptingOff(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, `<!DOCTYPE html><title>probe</title><p id="probe">untouched</p><noscript><p id="without">no scripts</p></noscript>
<script>document.getElementById("probe").textContent = "changed"</script>`)
	}))
	defer server.Close()
	b := c.newTab(t, &browserLine{url: server.URL}, "en")
	defer b.cancel()
	b.do(chromedp.Navigate(server.URL))
	if got := b.text("#probe"); got != "untouched" {
		t.Fatalf("the browser runs scripts: the page's text is %q", got)
	}
	b.mustHave("#without") // parsed as a page only where scripts are off
}

// A browserTab is a tab in a browser context of its own: nothing that another
// tab was given is there.
type browserTab struct {
	t      *testing.T
	ctx    context.Context
	cancel context.CancelFunc
	line   *browserLine
	lang   string // the pages' language from here on

	steps []string

	mu         sync.Mutex // guards what follows
	requests   []string   // what the browser tells its tools
	complaints []string
}

// newTab opens an empty tab in a new browser context.
func (c *chromium) newTab(t *testing.T, line *browserLine, acceptLanguage string) *browserTab {
	t.Helper()
	b := &browserTab{t: t, line: line}
	b.ctx, b.cancel = chromedp.NewContext(c.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.listen))
	b.do(
		browserCall(audits.Enable, cdp.Empty{}),
		browserCall(emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: c.userAgent, AcceptLanguage: acceptLanguage}),
	)
	return b
}

// browserCall makes an action of a command whose result nobody needs.
func browserCall[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// listen notes the tab's requests, and what the console would show.
func (b *browserTab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, "data:") {
			b.requests = append(b.requests, e.Request.Method+" "+strings.TrimPrefix(e.Request.URL, b.line.url))
		}
	case *cdplog.EventEntryAdded:
		// A refusal's status is listed too; every step checks its own.
		if e.Entry.Source != "network" || !strings.Contains(e.Entry.Text, "responded with a status of") {
			b.complaints = append(b.complaints, fmt.Sprintf("%s: %s", e.Entry.Level, e.Entry.Text))
		}
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, fmt.Sprintf("console: %s", e.Type))
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, "exception: "+e.ExceptionDetails.Text)
	case *audits.EventIssueAdded:
		details, _ := json.Marshal(e.Issue.Details)
		b.complaints = append(b.complaints, fmt.Sprintf("issue: %s %s", e.Issue.Code, details))
	}
}

// close ends the tab: it asked for one thing at each step, the browser had no
// complaint, and nothing is left of it.
func (b *browserTab) close() {
	b.t.Helper()
	defer b.cancel()
	if b.t.Failed() {
		return
	}
	c := chromedp.FromContext(b.ctx)
	jar, err := cdp.Call(b.ctx, c.Browser, storage.GetCookies, storage.GetCookiesParams{BrowserContextID: c.BrowserContextID})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, cookie := range jar.Cookies {
		b.t.Errorf("the visit left the cookie %s", cookie.Name)
	}
	kept, err := cdp.Call(b.ctx, c.Target, storage.GetUsageAndQuota, storage.GetUsageAndQuotaParams{Origin: b.line.url})
	if err != nil {
		b.t.Fatal(err)
	}
	if kept.Usage > 0 {
		b.t.Errorf("the visit left %v bytes in the browser's storage", kept.Usage)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.requests, b.steps) {
		b.t.Errorf("the tab asked for\n%q\nwhere the story was\n%q", b.requests, b.steps)
	}
	for _, complaint := range b.complaints {
		b.t.Error("the browser complains:", complaint)
	}
}

// do runs steps that load no page.
func (b *browserTab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	browserRun(b, chromedp.Steps(steps...))
}

// browserRun runs an action within browserPatience.
func browserRun[T any](b *browserTab, action chromedp.Action[T]) T {
	b.t.Helper()
	if chromedp.FromContext(b.ctx).Target == nil {
		// The time of the first action would be the tab's.
		if err := chromedp.Do(b.ctx); err != nil {
			b.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// A browserAnswer is a page as it came over the line.
type browserAnswer struct {
	asked string
	bytes int64
}

// anyRefusal stands for the statuses from 400 to 499.
const anyRefusal = 4

// follow runs a step that loads a page: by this request, with this status.
func (b *browserTab) follow(asked string, status int64, step chromedp.Action[chromedp.Void]) browserAnswer {
	b.t.Helper()
	b.expect(asked)
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, step)
	if err != nil {
		b.t.Fatalf("%s: %v", asked, err)
	}
	if response.Status != status && (status != anyRefusal || response.Status/100 != 4) {
		b.t.Fatalf("%s: the status is %d, not %d", asked, response.Status, status)
	}
	if got := browserRun(b, chromedp.AttributeValue(chromedp.CSS("html"), "lang")).Value; got != b.lang {
		b.t.Errorf("%s: the page is in %q, not %q", asked, got, b.lang)
	}
	if b.has("script") {
		b.t.Errorf("%s: the page has a script", asked)
	}
	if !b.has(`link[rel="icon"][href^="data:"]`) {
		b.t.Errorf("%s: browsers with a window would ask for an icon", asked)
	}
	b.line.mu.Lock()
	defer b.line.mu.Unlock()
	return browserAnswer{asked, b.line.bytes[asked]}
}

func (b *browserTab) expect(asked string) {
	b.steps = append(b.steps, asked)
	b.line.mu.Lock()
	defer b.line.mu.Unlock()
	b.line.steps = append(b.line.steps, asked)
}

func (b *browserTab) open(asked, path string) browserAnswer {
	b.t.Helper()
	return b.follow(asked, 200, browserCall(page.Navigate, page.NavigateParams{URL: b.line.url + path}))
}

func (b *browserTab) reload(asked string) {
	b.t.Helper()
	b.follow(asked, 200, browserCall(page.Reload, page.ReloadParams{}))
}

func (b *browserTab) click(asked string, status int64, selector string) browserAnswer {
	b.t.Helper()
	return b.follow(asked, status, chromedp.Click(chromedp.CSS(selector)))
}

// download clicks what answers with a file, and returns the file.
func (b *browserTab) download(asked, selector string) string {
	b.t.Helper()
	b.expect(asked)
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	c := chromedp.FromContext(b.ctx)
	dir, yes := b.t.TempDir(), true
	_, err := cdp.Call(ctx, c.Browser, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior:         browser.SetDownloadBehaviorBehaviorAllow,
		BrowserContextID: c.BrowserContextID,
		DownloadPath:     dir,
		EventsEnabled:    &yes,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	progress := chromedp.BrowserEvents(ctx, browser.DownloadProgress)
	b.do(chromedp.Click(chromedp.CSS(selector)))
	for p, err := range progress {
		if err != nil || p.State == browser.DownloadProgressStateCanceled {
			b.t.Fatalf("%s: no download: %v", asked, err)
		}
		if p.State == browser.DownloadProgressStateCompleted {
			break
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		b.t.Fatalf("%s: downloaded %q, %v", asked, files, err)
	}
	return files[0]
}

// typeInto types a text in the place of what a field holds.
func typeInto(selector, text string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(
		chromedp.Focus(chromedp.CSS(selector)),
		browserCall(input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type:     input.DispatchKeyEventTypeRawKeyDown,
			Commands: []string{"selectAll"},
		}),
		browserCall(input.InsertText, input.InsertTextParams{Text: text}),
	)
}

func (b *browserTab) text(selector string) string {
	b.t.Helper()
	return browserRun(b, chromedp.Text(chromedp.CSS(selector)))
}

func (b *browserTab) textContent(selector string) string {
	b.t.Helper()
	return browserRun(b, chromedp.TextContent(chromedp.CSS(selector)))
}

func (b *browserTab) value(selector string) string {
	b.t.Helper()
	return browserRun(b, chromedp.Value(chromedp.CSS(selector)))
}

func (b *browserTab) html() string {
	b.t.Helper()
	return browserRun(b, chromedp.OuterHTML(chromedp.CSS("html")))
}

func (b *browserTab) nodes(selector string) []*chromedp.Node {
	b.t.Helper()
	return browserRun(b, chromedp.Nodes(chromedp.CSSAll(selector), chromedp.AtLeast(0)))
}

func (b *browserTab) has(selector string) bool {
	b.t.Helper()
	return len(b.nodes(selector)) > 0
}

func (b *browserTab) mustHave(selectors ...string) {
	b.t.Helper()
	for _, selector := range selectors {
		if !b.has(selector) {
			b.t.Errorf("the page has no %s", selector)
		}
	}
}

// isShown tells whether any of the elements takes room.
func (b *browserTab) isShown(selector string) bool {
	b.t.Helper()
	return slices.ContainsFunc(b.nodes(selector), func(n *chromedp.Node) bool {
		box := b.box(n)
		return box != nil && box.Width > 0 && box.Height > 0
	})
}

// box is where an element is drawn, nil if it is not.
func (b *browserTab) box(n *chromedp.Node) *dom.BoxModel {
	return browserRun(b, func(ctx context.Context, t *chromedp.Target) (*dom.BoxModel, error) {
		r, err := cdp.Call(ctx, t, dom.GetBoxModel, dom.GetBoxModelParams{NodeID: n.NodeID})
		if err != nil && strings.Contains(err.Error(), "Could not compute box model") {
			return nil, nil
		}
		return r.Model, err
	})
}

// emulateMedia returns when the page has been drawn for the medium: the browser
// knows a text's background from its picture.
func (b *browserTab) emulateMedia(media, scheme string) {
	b.t.Helper()
	b.do(
		browserCall(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Media:    media,
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		}),
		browserCall(page.CaptureScreenshot, page.CaptureScreenshotParams{Clip: &page.Viewport{Width: 1, Height: 1, Scale: 1}}),
	)
}
