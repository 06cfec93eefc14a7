package cmd_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
	"tipbox/store/bolt"
)

// The load program: benchmarks of the real server over HTTP, each ratio taken
// in one run, each figure the median of so many runs as -benchtime says. For
// issue 3's figures, the first and the last over some minutes:
//
//	go test -run '^$' -bench Load -benchtime 5x ./cmd -load.tips 2000 -upload-mib 1024
//	go test -run '^$' -bench Grown -benchtime 5x -timeout 2h ./cmd -load.grown 1000000
//
// The load runs on the same processors as the server. Where that matters its
// part is measured, and the figure given twice: as it is, and as if the load
// had processors of its own.
var (
	loadTips    = flag.Int("load.tips", 200, "text tips in a run of BenchmarkLoad")
	loadSenders = flag.Int("load.senders", 256, "senders at once in BenchmarkLoad")
	loadGrown   = flag.Int("load.grown", 3000, "tips in the large store of BenchmarkGrown; 1,000,000 take 25 GB under TMPDIR")
	loadSmall   = flag.Int("load.small", 1000, "tips in the small store of BenchmarkGrown; issue 3 asks for 10,000")
)

// BenchmarkLoadCPU is the processor time of text tips against that of their age
// operations alone: tip key, keyslots for 3, message. "of-age" is for what a
// tip is, "with-form" adds the page that it was written on.
func BenchmarkLoadCPU(b *testing.B) {
	l := newLoad(b)
	age := l.ages(b)
	var alone, tip, form []time.Duration
	for b.Loop() {
		alone = append(alone, cpuOf(age, *loadTips))
		before := l.server.cpu(b)
		tokens := l.forms(b, *loadTips)
		between := l.server.cpu(b)
		l.each(b, 8, *loadTips, func(s *sender, i int) error { return s.tip(tokens[i]) })
		form = append(form, (between-before)/time.Duration(*loadTips))
		tip = append(tip, (l.server.cpu(b)-between)/time.Duration(*loadTips))
	}
	a, t, f := median(alone), median(tip), median(form)
	b.ReportMetric(micros(a), "µs-age")
	b.ReportMetric(micros(t), "µs-tip")
	b.ReportMetric(micros(f), "µs-form")
	b.ReportMetric(ratio(t, a), "of-age")
	b.ReportMetric(ratio(t+f, a), "with-form")
}

// BenchmarkLoadRate is how many text tips a second the server takes from many
// senders at once, against how many times a second the age operations could be
// done on all processors. "tips/s" counts each tip with its form,
// "tips-alone/s" tips whose forms were fetched before.
func BenchmarkLoadRate(b *testing.B) {
	l := newLoad(b)
	age := l.ages(b)
	cores := float64(runtime.NumCPU())
	var alone []time.Duration
	var rates [2]struct{ is, own []float64 } // with forms, and without
	for b.Loop() {
		alone = append(alone, cpuOf(age, *loadTips))
		tokens := l.forms(b, *loadTips)
		for i, before := range []bool{false, true} {
			own := rusage()
			took := l.each(b, *loadSenders, *loadTips, func(s *sender, i int) error {
				if before {
					return s.tip(tokens[i])
				}
				token, err := s.form()
				if err != nil {
					return err
				}
				return s.tip(token)
			}).Seconds()
			load := (rusage() - own).Seconds()
			rates[i].is = append(rates[i].is, float64(*loadTips)/took)
			rates[i].own = append(rates[i].own, float64(*loadTips)/(took-load/cores))
		}
	}
	could := cores / median(alone).Seconds()
	for i, name := range []string{"tips", "tips-alone"} {
		is, own := medianOf(rates[i].is), medianOf(rates[i].own)
		b.ReportMetric(is, name+"/s")
		b.ReportMetric(is/could, name+"-of-age")
		b.ReportMetric(own/could, name+"-of-age-without-load")
	}
	b.ReportMetric(could, "age/s")
}

// BenchmarkLoadLone is a text tip that comes alone, from the first byte sent to
// the last of the receipt, against the sum of what it cannot do without: its
// age operations, one commit of as much, one empty request. Medians.
func BenchmarkLoadLone(b *testing.B) {
	l := newLoad(b)
	age, commit := l.ages(b), newCommits(b)
	s := l.dial(b)
	defer s.conn.Close()
	var ratios []float64
	var last [4]time.Duration
	for b.Loop() {
		var took [4][]time.Duration
		for range *loadTips {
			token, err := s.form()
			if err != nil {
				b.Fatal(err)
			}
			for i, step := range []func() error{
				func() error { return s.tip(token) },
				func() error { age(); return nil },
				commit,
				s.empty,
			} {
				began := time.Now()
				if err := step(); err != nil {
					b.Fatal(err)
				}
				took[i] = append(took[i], time.Since(began))
			}
		}
		for i := range took {
			last[i] = median(took[i])
		}
		ratios = append(ratios, ratio(last[0], last[1]+last[2]+last[3]))
	}
	for i, name := range []string{"µs-tip", "µs-age", "µs-commit", "µs-empty"} {
		b.ReportMetric(micros(last[i]), name)
	}
	b.ReportMetric(medianOf(ratios), "of-parts")
}

// BenchmarkLoadBeside is the 99th percentile of a text tip, one after the other,
// while 4 uploads of -upload-mib run, against the same without. So that it can
// be seen what bounds it, a commit to another file on the same disk and an empty
// request are taken in turns with the tips.
func BenchmarkLoadBeside(b *testing.B) {
	// Neither the server nor the sender of tips must wait for a turn behind
	// those who send files, who would be other machines.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16))
	l := newLoad(b)
	files := &uploads{address: l.o.sources}
	commit := newCommits(b)
	s := l.dial(b)
	defer s.conn.Close()
	names := [...]string{"tip", "commit", "empty"}
	turn := func(to *[len(names)][]time.Duration) {
		token, err := s.form()
		if err != nil {
			b.Fatal(err)
		}
		for i, step := range []func() error{
			func() error { return s.tip(token) }, commit, s.empty,
		} {
			began := time.Now()
			if err := step(); err != nil {
				b.Fatal(err)
			}
			to[i] = append(to[i], time.Since(began))
		}
		time.Sleep(2 * time.Millisecond)
	}
	p99 := func(d []time.Duration) float64 {
		slices.Sort(d)
		return micros(d[len(d)*99/100])
	}
	var with, without [len(names)][]float64
	var ratios []float64
	count := 0
	for b.Loop() {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
				if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19); err != nil {
					b.Error(err)
				}
				files.upload(b, int64(*uploadMiB)<<20)
			})
		}
		done := make(chan struct{})
		go func() {
			wg.Wait()
			close(done)
		}()
		var beside, calm [len(names)][]time.Duration
		for uploading := true; uploading; {
			turn(&beside)
			select {
			case <-done:
				uploading = false
			default:
			}
		}
		for range max(len(beside[0]), 100) {
			turn(&calm)
		}
		count = len(beside[0])
		for i := range names {
			with[i], without[i] = append(with[i], p99(beside[i])), append(without[i], p99(calm[i]))
		}
		ratios = append(ratios, p99(beside[0])/p99(calm[0]))
	}
	for i, name := range names {
		b.ReportMetric(medianOf(with[i]), "µs-"+name+"-beside")
		b.ReportMetric(medianOf(without[i]), "µs-"+name+"-calm")
	}
	b.ReportMetric(float64(count), "tips-beside")
	b.ReportMetric(medianOf(ratios), "of-calm")
}

// BenchmarkGrown compares a store of -load.grown tips with one of -load.small:
// follow-up pages and text tips a second, and the start of the server.
func BenchmarkGrown(b *testing.B) {
	small, large := newLoad(b), newLoad(b)
	small.grow(b, *loadSmall)
	large.grow(b, *loadGrown)
	var rates [2]struct{ pages, tips []float64 }
	for b.Loop() {
		for i, l := range []*load{small, large} {
			tokens := l.forms(b, *loadTips)
			words := make([]string, *loadTips)
			took := l.each(b, 64, *loadTips, func(s *sender, i int) (err error) {
				err = s.tip(tokens[i])
				words[i] = element(s.page.String(), "receipt-code")
				return err
			})
			rates[i].tips = append(rates[i].tips, float64(*loadTips)/took.Seconds())
			took = l.each(b, 64, *loadTips, func(s *sender, i int) error {
				return s.ask(post("/thread", "application/x-www-form-urlencoded", url.Values{"code": {words[i]}}.Encode()))
			})
			rates[i].pages = append(rates[i].pages, float64(*loadTips)/took.Seconds())
		}
	}
	b.ReportMetric(medianOf(rates[0].tips), "tips/s-small")
	b.ReportMetric(medianOf(rates[1].tips), "tips/s-large")
	b.ReportMetric(medianOf(rates[1].tips)/medianOf(rates[0].tips), "tips-of-small")
	b.ReportMetric(medianOf(rates[0].pages), "pages/s-small")
	b.ReportMetric(medianOf(rates[1].pages), "pages/s-large")
	b.ReportMetric(medianOf(rates[1].pages)/medianOf(rates[0].pages), "pages-of-small")
	b.ReportMetric(float64(large.start.Milliseconds()), "ms-start-large")
}

// A load is a server that tips are sent to, with three investigators.
type load struct {
	o      *office
	server *serving
	start  time.Duration // until it answered
	before string        // of a tip's request, up to the token
	after  string        // from there on
}

func newLoad(b *testing.B) *load {
	b.Helper()
	l := &load{o: newOffice(b, filepath.Join(b.TempDir(), "server"), 3)}
	l.run(b)
	page, err := newSource(l.o.sources).get("/tip")
	if err != nil {
		b.Fatal(err)
	}
	hidden, err := hiddenFields(page, "/tip")
	if err != nil {
		b.Fatal(err)
	}
	hidden.Set("channel", officeChannel)
	hidden.Set("text", strings.Repeat("Somebody took the money. ", 120)) // 3,000 bytes: a message of 4 KiB
	token := hidden.Get("token")
	hidden.Del("token")
	var form strings.Builder
	part := func(name, value string) {
		fmt.Fprintf(&form, "--b\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", name, value)
	}
	for name := range hidden {
		part(name, hidden.Get(name))
	}
	part("token", token)
	form.WriteString("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--b--\r\n")
	l.before, l.after, _ = strings.Cut(post("/tip", "multipart/form-data; boundary=b", form.String()), token)
	return l
}

// run starts the server.
func (l *load) run(b *testing.B) {
	b.Helper()
	began := time.Now()
	l.server = l.o.serve(b)
	l.start = time.Since(began)
}

func post(path, kind, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", path, kind, len(body), body)
}

// A sender is one connection, and as little else as can be.
type sender struct {
	*load
	conn net.Conn
	in   *bufio.Reader
	page bytes.Buffer // of the last answer
}

func (l *load) dial(b *testing.B) *sender {
	b.Helper()
	conn, err := net.Dial("tcp", l.o.sources)
	if err != nil {
		b.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(time.Hour))
	return &sender{load: l, conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}
}

// ask sends a request, and wants the status 200.
func (s *sender) ask(request string) error {
	if _, err := io.WriteString(s.conn, request); err != nil {
		return err
	}
	status, length := 0, -1
	for {
		line, err := s.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		if status == 0 {
			status, _ = strconv.Atoi(string(line[9:12]))
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(value))
		}
	}
	s.page.Reset()
	if length < 0 {
		return fmt.Errorf("status %d, and no Content-Length", status)
	}
	if _, err := io.CopyN(&s.page, s.in, int64(length)); err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("status %d: %s", status, notice(s.page.String()))
	}
	return nil
}

func (s *sender) empty() error { return s.ask("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n") }

// form gets a tip's form and returns its token.
func (s *sender) form() (token string, err error) {
	if err := s.ask("GET /tip HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		return "", err
	}
	_, rest, _ := bytes.Cut(s.page.Bytes(), []byte(`name="token" value="`))
	value, _, ok := bytes.Cut(rest, []byte(`"`))
	if !ok {
		return "", fmt.Errorf("no token on the page")
	}
	return string(value), nil
}

// tip sends a text tip.
func (s *sender) tip(token string) error {
	if err := s.ask(s.before + token + s.after); err != nil {
		return err
	}
	if !bytes.Contains(s.page.Bytes(), []byte(`id="receipt-code"`)) {
		return fmt.Errorf("no receipt: %s", notice(s.page.String()))
	}
	return nil
}

// each has so many senders do n things together, and returns how long it took.
func (l *load) each(b *testing.B, senders, n int, f func(s *sender, i int) error) time.Duration {
	b.Helper()
	all := make([]*sender, min(senders, n))
	for i := range all {
		all[i] = l.dial(b)
		defer all[i].conn.Close()
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for _, s := range all {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(s, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	if b.Failed() {
		b.FailNow()
	}
	return took
}

func (l *load) forms(b *testing.B, n int) []string {
	tokens := make([]string, n)
	l.each(b, 8, n, func(s *sender, i int) (err error) {
		tokens[i], err = s.form()
		return err
	})
	return tokens
}

// ages does a tip's age operations.
func (l *load) ages(b *testing.B) func() {
	b.Helper()
	var readers []*seal.Recipient
	for _, m := range l.o.roster.Investigators(officeChannel) {
		readers = append(readers, m.Card.Recipient)
	}
	source, err := roster.SigningKeyFrom("source", receipt.New().SigningKey())
	if err != nil {
		b.Fatal(err)
	}
	doc := bytes.Repeat([]byte("x"), 3100)
	return func() {
		key, err := seal.NewTipKey()
		if err == nil {
			_, err = seal.SealKeyslots(seal.NewKeyslot(officeChannel, source.Verifier(), key), readers...)
		}
		if err == nil {
			_, err = seal.Message(doc, key.Recipient())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// rusage is the processor time that this process has used.
func rusage() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func cpuOf(f func(), n int) time.Duration {
	before := rusage()
	for range n {
		f()
	}
	return (rusage() - before) / time.Duration(n)
}

// newCommits makes a function that commits as much as a tip is.
func newCommits(b *testing.B) func() error {
	b.Helper()
	db, err := bolt.Open(filepath.Join(b.TempDir(), "commits.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return func() error {
		id := randomTip()
		return db.Apply(context.Background(),
			store.Create(store.Key("box/"+hex.EncodeToString([]byte(id))), []byte(id)),
			store.Create(store.Key("tip/"+id), make([]byte, 4000)),
			store.Create(store.Key("slots/"+id), make([]byte, 8000)),
			store.Create(store.Key("event/"+id+"/000001"), make([]byte, 700)),
			store.Create(store.Key("sealed/"+id+"/000001"), make([]byte, 6000)),
			store.Create(store.Key("inbox/"+officeChannel+"/7973-88-77/"+id), make([]byte, 300)))
	}
}

func randomTip() string {
	raw := make([]byte, 10)
	rand.Read(raw)
	return strings.ToLower(base32.StdEncoding.EncodeToString(raw))
}

// grow fills the server's store, while it does not run, with copies of a real
// tip's records under other ids, until there are n tips.
func (l *load) grow(b *testing.B, n int) {
	b.Helper()
	l.each(b, 1, 1, func(s *sender, _ int) error { return s.tip(l.forms(b, 1)[0]) })
	l.server.stop(b)
	db, err := bolt.Open(filepath.Join(l.o.dir, "tipbox.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	models, err := db.Scan(b.Context(), "", "", 20)
	if err != nil {
		b.Fatal(err)
	}
	var id string
	for _, rec := range models {
		if tip, ok := strings.CutPrefix(string(rec.Key), "tip/"); ok {
			id = tip
		}
	}
	ids := make([]string, n-1)
	for i := range ids {
		ids[i] = randomTip()
	}
	slices.Sort(ids) // writing in order is faster by far
	for _, model := range models {
		key, kind := string(model.Key), strings.SplitN(string(model.Key), "/", 2)[0]
		if kind != "box" && !strings.Contains(key, id) {
			continue
		}
		copies := func(ids []string) (changes []store.Change) {
			for _, other := range ids {
				k := strings.Replace(key, id, other, 1)
				if kind == "box" {
					k = "box/" + hex.EncodeToString([]byte(other)) + strings.Repeat("0", 32)
				}
				changes = append(changes, store.Create(store.Key(k), bytes.ReplaceAll(model.Value, []byte(id), []byte(other))))
			}
			return changes
		}
		per := min(store.MaxChanges, store.MaxBytes/(len(model.Value)+len(key)+1))
		var wg sync.WaitGroup
		todo := make(chan []string)
		for range 16 { // that share commits
			wg.Go(func() {
				for ids := range todo {
					if err := db.Apply(b.Context(), copies(ids)...); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for part := range slices.Chunk(ids, per) {
			todo <- part
		}
		close(todo)
		wg.Wait()
	}
	if err := db.Close(); err != nil || b.Failed() {
		b.Fatal("growing the store failed", err)
	}
	if info, err := os.Stat(filepath.Join(l.o.dir, "tipbox.db")); err == nil {
		b.Logf("%d tips, %d MiB", n, info.Size()>>20)
	}
	l.run(b)
}

func micros(d time.Duration) float64      { return float64(d.Nanoseconds()) / 1000 }
func ratio(a, b time.Duration) float64    { return a.Seconds() / b.Seconds() }
func medianOf[T int | float64](all []T) T { slices.Sort(all); return all[len(all)/2] }
