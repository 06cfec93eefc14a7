package cmd_test

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStopLetsAnUploadFinish asks the server to stop in the midst of an upload:
// the source still gets the receipt, and the receipt opens after the restart.
func TestStopLetsAnUploadFinish(t *testing.T) {
	sources, desk := testAddress(t), testAddress(t)
	dir := filepath.Join(t.TempDir(), "demo")
	serve := func() (*exec.Cmd, *source) {
		t.Helper()
		cmd := exec.Command(program("tipboxd"), "demo", "--dir", dir, "--listen", sources, "--desk", desk)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		s := newSource(sources)
		for range 400 {
			if _, err := s.get("/healthz"); err == nil {
				return cmd, s
			}
			time.Sleep(25 * time.Millisecond)
		}
		t.Fatal("tipboxd does not answer")
		return nil, nil
	}
	server, s := serve()
	page, err := s.get("/tip")
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := hiddenFields(page, "/tip")
	if err != nil {
		t.Fatal(err)
	}
	var head bytes.Buffer
	form := multipart.NewWriter(&head)
	for name := range hidden {
		form.WriteField(name, hidden.Get(name))
	}
	form.WriteField("channel", "bribery")
	form.WriteField("text", "slow")
	if _, err := form.CreateFormFile("file", "slow.bin"); err != nil {
		t.Fatal(err)
	}
	body, line := io.Pipe()
	type answer struct {
		status int
		page   string
		err    error
	}
	answered := make(chan answer, 1)
	// The body is read from the line once the server says that it is receiving.
	s.client.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
	req, err := http.NewRequest("POST", s.base+"/tip", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {form.FormDataContentType()}, "Expect": {"100-continue"}}
	go func() {
		resp, err := s.client.Do(req)
		if err != nil {
			answered <- answer{err: err}
			return
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		answered <- answer{resp.StatusCode, string(page), err}
	}()
	line.Write(head.Bytes())
	line.Write(bytes.Repeat([]byte("x"), 200_000))
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range 400 { // until nobody new is let in
		if _, err := s.get("/healthz"); err != nil {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	line.Write(bytes.Repeat([]byte("y"), 200_000))
	io.WriteString(line, "\r\n--"+form.Boundary()+"--\r\n")
	line.Close()
	got := <-answered
	words := element(got.page, "receipt-code")
	if got.err != nil || got.status != 200 || words == "" {
		t.Fatalf("status %d, %v: %s", got.status, got.err, notice(got.page))
	}
	if err := server.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	_, s = serve()
	page, err = s.get("/thread")
	if err != nil {
		t.Fatal(err)
	}
	status, page, err := s.post(page, "/thread", map[string][]string{"code": {words}})
	if err != nil || status != 200 || !strings.Contains(threadText(page), "1 file") {
		t.Errorf("status %d, %v: %s", status, err, threadText(page))
	}
}

func testAddress(t testing.TB) string {
	t.Helper()
	a, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return a
}
