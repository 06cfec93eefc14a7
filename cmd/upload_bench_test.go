package cmd_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var uploadMiB = flag.Int("upload-mib", 256, "size of a file that BenchmarkUpload sends")

// BenchmarkUpload is a file from the first byte of its request to the receipt,
// in turns with the stock age program sealing the same bytes to a file, with an
// fsync of that. For issue 3's figures:
//
//	go test -run '^$' -bench Upload -benchtime 5x ./cmd -upload-mib 1024
//
// "of-age" is the ratio of the medians, age's time against ours; "written" is
// what the server gave the disk, against the file's size; "MiB-peak" is the
// most memory that the server ever had, program and all.
func BenchmarkUpload(b *testing.B) {
	size := int64(*uploadMiB) << 20
	b.Run("one", func(b *testing.B) {
		s := startUploads(b)
		age := newStockAge(b)
		var ages, ours []time.Duration
		for b.Loop() {
			ages = append(ages, age.seal(b, size))
			ours = append(ours, s.upload(b, size))
		}
		b.ReportMetric(mbs(size, ages), "MB/s-age")
		b.ReportMetric(mbs(size, ours), "MB/s-tipboxd")
		b.ReportMetric(median(ages).Seconds()/median(ours).Seconds(), "of-age")
		b.ReportMetric(s.read(b, "io", "write_bytes")/float64(size)/float64(len(ours)), "written")
		b.ReportMetric(s.read(b, "status", "VmHWM")/1024, "MiB-peak")
		b.Logf("age %v\nours %v", ages, ours)
	})
	b.Run("eight", func(b *testing.B) {
		s := startUploads(b)
		for b.Loop() {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() { s.upload(b, size) })
			}
			wg.Wait()
		}
		b.ReportMetric(s.read(b, "status", "VmHWM")/1024, "MiB-peak")
	})
}

// median sorts d.
func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func mbs(size int64, d []time.Duration) float64 { return float64(size) / 1e6 / median(d).Seconds() }

// pour writes so many bytes that nothing makes shorter.
func pour(w io.Writer, size int64) error {
	block := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(block)
	for ; size > 0; size -= int64(len(block)) {
		if _, err := w.Write(block[:min(size, int64(len(block)))]); err != nil {
			return err
		}
	}
	return nil
}

// stockAge seals with the age program to a hybrid recipient.
type stockAge struct{ recipient, out string }

func newStockAge(b *testing.B) *stockAge {
	b.Helper()
	dir := b.TempDir()
	home := filepath.Join(dir, "member")
	cmd := exec.Command(program("tipbox"), "--home", home, "keygen", "upload")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	card, err := exec.Command(program("tipbox"), "--home", home, "card").Output()
	if err != nil {
		b.Fatal(err)
	}
	recipient := regexp.MustCompile(`age1pq1[0-9a-z]+`).Find(card)
	return &stockAge{string(recipient), filepath.Join(dir, "out.age")}
}

func (a *stockAge) seal(b *testing.B, size int64) time.Duration {
	b.Helper()
	syscall.Sync()
	began := time.Now()
	cmd := exec.Command(program("age"), "-r", a.recipient, "-o", a.out)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	err = pour(stdin, size)
	stdin.Close()
	if waited := cmd.Wait(); err != nil || waited != nil {
		b.Fatal(err, waited)
	}
	f, err := os.Open(a.out)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	if err := os.Remove(a.out); err != nil {
		b.Fatal(err)
	}
	return took
}

// uploads is a server that files are sent to.
type uploads struct {
	address string
	proc    string // its folder under /proc
}

func startUploads(b *testing.B) *uploads {
	b.Helper()
	address, desk := testAddress(b), testAddress(b)
	cmd := exec.Command(program("tipboxd"), "demo", "--dir", filepath.Join(b.TempDir(), "demo"), "--listen", address, "--desk", desk)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for range 400 {
		if _, err := newSource(address).get("/healthz"); err == nil {
			return &uploads{address, fmt.Sprintf("/proc/%d", cmd.Process.Pid)}
		}
		time.Sleep(25 * time.Millisecond)
	}
	b.Fatal("tipboxd does not answer")
	return nil
}

// upload sends a tip with one file, and takes the time until its receipt.
func (s *uploads) upload(b *testing.B, size int64) time.Duration {
	b.Helper()
	page, err := newSource(s.address).get("/tip")
	if err != nil {
		b.Error(err)
		return 0
	}
	hidden, err := hiddenFields(page, "/tip")
	if err != nil {
		b.Error(err)
		return 0
	}
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	for name := range hidden {
		parts.WriteField(name, hidden.Get(name))
	}
	parts.WriteField("channel", "bribery")
	parts.CreateFormFile("file", "evidence.bin")
	head := form.Len()
	parts.Close()
	syscall.Sync()
	began := time.Now()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		b.Error(err)
		return 0
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /tip HTTP/1.1\r\nHost: tip\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		parts.FormDataContentType(), int64(form.Len())+size, form.Bytes()[:head])
	if err := pour(conn, size); err != nil {
		b.Error(err)
		return 0
	}
	conn.Write(form.Bytes()[head:])
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		b.Error(err)
		return 0
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	took := time.Since(began)
	if err != nil || element(string(answer), "receipt-code") == "" {
		b.Errorf("status %d, %v: %s", resp.StatusCode, err, notice(string(answer)))
	}
	return took
}

// read is a number that the kernel keeps of the server.
func (s *uploads) read(b *testing.B, file, name string) float64 {
	b.Helper()
	content, err := os.ReadFile(filepath.Join(s.proc, file))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), name+":")
	number, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return number
}
