package cmd_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const bareServer = `package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
}
`

// BenchmarkColdStart is the time from the start of the process to the whole
// first page, in turns with a bare net/http program: "of-bare" is the ratio of
// the medians.
func BenchmarkColdStart(b *testing.B) {
	dir := b.TempDir()
	bare := filepath.Join(dir, "bare")
	if err := os.WriteFile(bare+".go", []byte(bareServer), 0o600); err != nil {
		b.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", bare, bare+".go").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	sources, desk := testAddress(b), testAddress(b)
	home := filepath.Join(dir, "demo")
	ours := []string{program("tipboxd"), "demo", "--dir", home, "--listen", sources, "--desk", desk}
	start(b, sources, ours...) // makes the organisation
	var bares, tipboxds []time.Duration
	for b.Loop() {
		bares = append(bares, start(b, sources, bare, sources))
		tipboxds = append(tipboxds, start(b, sources, program("tipboxd"), "serve", home))
	}
	slices.Sort(bares)
	slices.Sort(tipboxds)
	median := func(d []time.Duration) float64 { return float64(d[len(d)/2].Microseconds()) / 1000 }
	b.ReportMetric(median(bares), "ms-bare")
	b.ReportMetric(median(tipboxds), "ms-tipboxd")
	b.ReportMetric(median(tipboxds)/median(bares), "of-bare")
}

// start starts a server, takes the time until it has answered, and ends it.
func start(b *testing.B, address string, args ...string) time.Duration {
	b.Helper()
	began := time.Now()
	cmd := exec.Command(args[0], args[1:]...)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	for time.Since(began) < time.Minute {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		conn.Close()
		resp, err := http.Get("http://" + address + "/")
		if err != nil {
			b.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(err, resp.Status)
		}
		return time.Since(began)
	}
	b.Fatalf("%v does not answer", args)
	return 0
}
