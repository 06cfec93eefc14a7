package cmd_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tipbox/tipbox/desk"
)

var (
	crashRounds = flag.Int("crash.rounds", 6, "rounds of load, SIGKILL and restart in TestCrash")
	crashSeed   = flag.Uint64("crash.seed", 0, "seed of TestCrash; 0: another each time")
)

const (
	crashSenders    = 6
	crashLoad       = 400 * time.Millisecond // a kill comes within it
	crashGeneration = 20                     // rounds on one folder
)

// TestCrash loads the server, kills it at a random moment and starts it again,
// over and over. Every receipt that a source was shown opens, its thread and the
// investigator see all that the source was told was kept, byte for byte; what
// was not answered is kept once when it is sent again; what the source was told
// was erased is gone.
func TestCrash(t *testing.T) {
	seed := *crashSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-crash.seed=%d", seed)
	var total crashCount
	for done := 0; done < *crashRounds; done += crashGeneration {
		rounds := min(crashGeneration, *crashRounds-done)
		ok := t.Run(fmt.Sprintf("rounds-%d-%d", done+1, done+rounds), func(t *testing.T) {
			c := &crash{o: newOffice(t, filepath.Join(t.TempDir(), "server"), 2)}
			for round := range rounds {
				c.round(t, rand.New(rand.NewPCG(seed, uint64(done+round))))
			}
			c.last(t)
			total.add(c.crashCount)
		})
		if !ok {
			break
		}
	}
	t.Logf("%+v", total)
}

// A crashCount says what happened, so that a test that tested nothing shows.
type crashCount struct {
	Kills, EarlyKills      int
	Tips, Messages, Files  int // that a source was told were kept
	Erased, ErasedAgain    int // tips; those of them whose erasure a kill cut off
	Unanswered, ThereAfter int // messages cut off by a kill; those of them kept all the same
	Swept                  int // orphans left by kills
}

func (c *crashCount) add(d crashCount) {
	c.Kills += d.Kills
	c.EarlyKills += d.EarlyKills
	c.Tips += d.Tips
	c.Messages += d.Messages
	c.Files += d.Files
	c.Erased += d.Erased
	c.ErasedAgain += d.ErasedAgain
	c.Unanswered += d.Unanswered
	c.ThereAfter += d.ThereAfter
	c.Swept += d.Swept
}

// A crash is a generation of rounds on one folder.
type crash struct {
	o    *office
	tips []*crashTip
	ids  map[string]string // of tips, by their first text
	seen map[string]bool   // ids of tips that were opened

	pause time.Duration // of senders between two messages, on average
	read  bool          // members read meanwhile, so that not every tip can be taken back
	crashCount
}

// A crashTip is a tip as its source knows it.
type crashTip struct {
	words    string // the receipt, once shown
	messages []*crashMessage

	erasing bool // its source has asked to erase it
	erased  bool // and was told that it was
}

// A crashMessage is one message of it, with the page it was sent from.
type crashMessage struct {
	page, action string
	text         string
	files        []crashFile
	shown        bool // the source was told that it was kept
}

// A crashFile is random content that need not be remembered.
type crashFile struct {
	seed uint64
	size int
}

func (f crashFile) content() []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], f.seed)
	b := make([]byte, f.size)
	rand.NewChaCha8(seed).Read(b)
	return b
}

// send posts the message. The answer is the page that says that it was kept.
func (m *crashMessage) send(s *source, code string) (answer string, err error) {
	fields := url.Values{"text": {m.text}}
	if m.action == "/tip" {
		fields.Set("channel", officeChannel)
	} else if code != "" {
		fields.Set("code", code)
	}
	var files []file
	for i, f := range m.files {
		files = append(files, file{fmt.Sprintf("file-%d.bin", i), f.content()})
	}
	status, answer, err := s.post(m.page, m.action, fields, files...)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: %w: %d: %s", m.action, errRefused, status, notice(answer))
	}
	return answer, err
}

// crashFiles are up to three files of sizes from nothing to several MiB.
func crashFiles(rng *rand.Rand) []crashFile {
	files := make([]crashFile, 1+rng.IntN(3))
	for i := range files {
		files[i] = crashFile{rng.Uint64(), int(math.Exp(rng.Float64()*15.8)) - 1} // to 7 MiB
	}
	return files
}

// errRefused means that the server answered, and not with what was asked.
var errRefused = errors.New("refused")

// errRead means that a member has read what was to be taken back.
var errRead = errors.New("a member has read it")

// sender sends tips, and follow-ups to them and to the old ones, until the
// server is gone or the context ends. It returns the new tips.
func (c *crash) sender(ctx context.Context, rng *rand.Rand, name string, old []*crashTip) (fresh []*crashTip, err error) {
	s := newSource(c.o.sources)
	s.client.Timeout = 20 * time.Second
	for i := 0; ctx.Err() == nil; i++ {
		if c.pause > 0 {
			rest(ctx, rng, c.pause)
		}
		if n := len(fresh); n > 0 && rng.IntN(10) == 0 && !fresh[n-1].erasing {
			if err = fresh[n-1].erase(s); errors.Is(err, errRead) && c.read {
				fresh[n-1].erasing = false
			} else if err != nil {
				break
			}
		}
		m := &crashMessage{action: "/tip", text: fmt.Sprintf("%s message %d", name, i)}
		if rng.IntN(3) == 0 {
			m.files = crashFiles(rng)
		}
		tip := new(crashTip)
		if known := len(old) + len(fresh); known > 0 && rng.IntN(3) == 0 {
			m.action = "/thread/message"
			if n := rng.IntN(known); n < len(old) {
				tip = old[n]
			} else {
				tip = fresh[n-len(old)]
			}
			if tip.erasing {
				continue
			}
		}
		if m.page, err = m.begin(s, tip); err != nil {
			break
		}
		if m.action == "/tip" {
			fresh = append(fresh, tip)
		}
		tip.messages = append(tip.messages, m)
		var answer string
		if answer, err = m.send(s, ""); err != nil {
			break
		}
		m.shown = true
		if m.action == "/tip" {
			tip.words = element(answer, "receipt-code")
		}
	}
	if !errors.Is(err, errRefused) { // the line broke: that is the kill
		err = nil
	}
	return fresh, err
}

// begin gets the page that the message is sent from.
func (m *crashMessage) begin(s *source, tip *crashTip) (page string, err error) {
	if m.action == "/tip" {
		return s.get("/tip")
	}
	return tip.thread(s)
}

// thread opens the tip's thread with the receipt.
func (tip *crashTip) thread(s *source) (page string, err error) {
	status, page, err := tip.enter(s)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("/thread: %w: %d: %s", errRefused, status, notice(page))
	}
	return page, err
}

func (tip *crashTip) enter(s *source) (status int, page string, err error) {
	if page, err = s.get("/thread"); err != nil {
		return 0, "", err
	}
	return s.post(page, "/thread", url.Values{"code": {tip.words}})
}

// erase takes the tip back. One that is gone is erased.
func (tip *crashTip) erase(s *source) error {
	status, page, err := tip.enter(s)
	if err == nil && status == http.StatusOK {
		if !strings.Contains(page, `action="/thread/erase"`) {
			return errRead
		}
		tip.erasing = true
		status, page, err = s.post(page, "/thread/erase", url.Values{"sure": {"yes"}})
	}
	if err == nil && status == http.StatusConflict {
		return errRead
	}
	if err == nil && status != http.StatusOK && (!tip.erasing || status != http.StatusNotFound) {
		err = fmt.Errorf("/thread/erase: %w: %d: %s", errRefused, status, notice(page))
	}
	tip.erased = err == nil
	return err
}

// round is: start, verify, load, kill, check.
func (c *crash) round(t *testing.T, rng *rand.Rand) {
	if rng.IntN(3) == 0 { // a start that does not live to serve, or just so
		s := c.o.launch(t)
		time.Sleep(time.Duration(rng.Int64N(int64(40 * time.Millisecond))))
		s.end(syscall.SIGKILL)
		c.EarlyKills++
		c.o.mustBeWhole(t, false)
	}
	s := c.o.serve(t)
	c.verify(t, rng, 20)
	type outcome struct {
		fresh []*crashTip
		err   error
	}
	ended := make(chan outcome)
	old := make([][]*crashTip, crashSenders)
	for i, n := range rng.Perm(len(c.tips))[:min(len(c.tips), 2*crashSenders)] {
		if !c.tips[n].erased {
			old[i%crashSenders] = append(old[i%crashSenders], c.tips[n])
		}
	}
	for i := range crashSenders {
		name := fmt.Sprintf("round %d sender %d", c.Kills, i)
		senderRng := rand.New(rand.NewPCG(rng.Uint64(), 0))
		go func() {
			fresh, err := c.sender(t.Context(), senderRng, name, old[i])
			ended <- outcome{fresh, err}
		}()
	}
	time.Sleep(time.Duration(rng.Int64N(int64(crashLoad))))
	s.end(syscall.SIGKILL)
	c.Kills++
	for range crashSenders {
		got := <-ended
		if got.err != nil {
			t.Error(got.err)
		}
		c.tips = append(c.tips, got.fresh...)
	}
	s.mustNotHavePanicked(t)
	report := c.o.mustBeWhole(t, false)
	c.Swept += len(report.Orphans)
}

// last verifies all tips, and that nothing is left that should not be.
func (c *crash) last(t *testing.T) {
	s := c.o.serve(t)
	c.verify(t, rand.New(rand.NewPCG(0, 0)), math.MaxInt)
	c.saveOne(t)
	s.stop(t)
	report := c.o.mustBeWhole(t, true)
	c.count()
	if report.Tips != c.Tips || report.Messages != c.Messages || report.Files != c.Files || report.Erased != c.Erased {
		t.Errorf("there are %d tips, %d messages, %d files, %d erasures, and were sent %d, %d, %d, %d",
			report.Tips, report.Messages, report.Files, report.Erased, c.Tips, c.Messages, c.Files, c.Erased)
	}
	left, err := filepath.Glob(filepath.Join(c.o.dir, "blobs", "tmp", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in tmp: %q, %v", left, err)
	}
}

// count adds up what sources were told was kept, and erased.
func (c *crash) count() {
	for _, tip := range c.tips {
		if tip.erased {
			c.Erased++
			continue
		}
		c.Tips++
		c.Messages += len(tip.messages)
		for _, m := range tip.messages {
			c.Files += len(m.files)
		}
	}
}

// verify sends again what was not answered, and looks at all tips that were
// touched since it last did and at so many others.
func (c *crash) verify(t *testing.T, rng *rand.Rand, others int) {
	client := c.o.client(t)
	s := newSource(c.o.sources)
	for _, tip := range c.tips { // before a member reads it
		if tip.erasing && !tip.erased {
			c.ErasedAgain++
			if err := tip.erase(s); err != nil {
				t.Fatalf("%s, erased again: %v", tip.messages[0].text, err)
			}
		}
	}
	c.identify(t, client)
	for _, tip := range c.tips {
		for _, m := range tip.messages {
			if !m.shown {
				if err := c.again(s, tip, m); err != nil {
					t.Fatalf("%s, sent again: %v", m.text, err)
				}
			}
		}
	}
	c.identify(t, client)
	var wg sync.WaitGroup
	for part := range 4 {
		pick := rand.New(rand.NewPCG(rng.Uint64(), 0))
		wg.Go(func() {
			s := newSource(c.o.sources)
			for i := part; i < len(c.tips); i += 4 {
				if tip := c.tips[i]; tip.touched() || pick.IntN(len(c.tips)) < others {
					if err := c.look(s, client, tip); err != nil {
						t.Errorf("%s: %v", tip.messages[0].text, err)
					}
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// again sends a message that was not answered again, and once more.
func (c *crash) again(s *source, tip *crashTip, m *crashMessage) error {
	c.Unanswered++
	if _, ok := c.ids[m.text]; ok {
		c.ThereAfter++
	}
	for range 2 {
		answer, err := m.send(s, tip.words)
		if err != nil {
			return err
		}
		if m.action == "/tip" {
			words := element(answer, "receipt-code")
			if words == "" || tip.words != "" && words != tip.words {
				return fmt.Errorf("two receipts for one form, or none")
			}
			tip.words = words
		}
	}
	m.shown = true
	return nil
}

// touched reports whether a message of the tip was not looked at yet.
func (tip *crashTip) touched() bool {
	return slices.ContainsFunc(tip.messages, func(m *crashMessage) bool { return m.page != "" })
}

// identify finds out which tip has which first text.
func (c *crash) identify(t *testing.T, client *desk.Client) {
	items, err := c.o.inbox(client)
	if err != nil {
		t.Fatal(err)
	}
	if c.ids == nil {
		c.ids, c.seen = make(map[string]string), make(map[string]bool)
	}
	for _, item := range items {
		if c.seen[item.Tip] {
			continue
		}
		c.seen[item.Tip] = true
		opened, err := c.o.open(client, item.Tip)
		if err != nil {
			t.Fatal(err)
		}
		text := opened.Messages[0].Text
		if other, ok := c.ids[text]; ok {
			t.Fatalf("tips %s and %s are one that was sent twice: %s", item.Tip, other, text)
		}
		c.ids[text] = item.Tip
	}
}

// look compares the tip with what the investigator and the source see.
func (c *crash) look(s *source, client *desk.Client, tip *crashTip) error {
	id, ok := c.ids[tip.messages[0].text]
	if tip.erased {
		for _, m := range tip.messages {
			m.page = "" // looked at
		}
		status, page, err := tip.enter(s)
		if err == nil && (ok || status != http.StatusNotFound) {
			err = fmt.Errorf("it was erased, and is there: tip %q, %d: %s", id, status, notice(page))
		}
		return err
	}
	if !ok {
		return errors.New("the receipt was shown, and the tip is not there")
	}
	opened, err := c.o.open(client, id)
	if err != nil {
		return err
	}
	page, err := tip.thread(s)
	if err != nil {
		return err
	}
	shown := articles.FindAllStringSubmatch(page, -1)
	if len(opened.Messages) != len(tip.messages) || len(shown) != len(tip.messages) {
		return fmt.Errorf("%d messages at the desk, %d in the thread, %d were sent", len(opened.Messages), len(shown), len(tip.messages))
	}
	for _, got := range opened.Messages {
		i := slices.IndexFunc(tip.messages, func(m *crashMessage) bool { return m.text == got.Text })
		if got.Err != nil || i < 0 {
			return fmt.Errorf("message %d: %q, %v", got.Number, got.Text, got.Err)
		}
		m := tip.messages[i]
		files := 0
		if n := filesWord.FindStringSubmatch(shown[got.Number-1][2]); n != nil {
			fmt.Sscan(n[1], &files)
		}
		if len(got.Files) != len(m.files) || files != len(m.files) {
			return fmt.Errorf("message %q: %d files at the desk, %d in the thread, %d were sent", m.text, len(got.Files), files, len(m.files))
		}
		for j, f := range got.Files {
			sum, want := sha256.New(), sha256.Sum256(m.files[j].content())
			if err := c.o.copyFile(sum, client, opened, f); err != nil {
				return err
			}
			if !bytes.Equal(sum.Sum(nil), want[:]) {
				return fmt.Errorf("message %q: file %d is another", m.text, j+1)
			}
		}
		m.page = "" // looked at
	}
	return nil
}

var filesWord = regexp.MustCompile(`With (\d+) file`)

// saveOne reads and saves the tip with the most files with the investigator's tool.
func (c *crash) saveOne(t *testing.T) {
	kept := slices.DeleteFunc(slices.Clone(c.tips), func(tip *crashTip) bool { return tip.erased })
	if len(kept) == 0 {
		return
	}
	tip := slices.MaxFunc(kept, func(a, b *crashTip) int { return len(a.messages[0].files) - len(b.messages[0].files) })
	id, out := c.ids[tip.messages[0].text], filepath.Join(t.TempDir(), "saved")
	if text, errs, err := c.o.tool(t, "read", id); err != nil || !strings.Contains(text, tip.messages[0].text) {
		t.Errorf("tipbox read: %v\n%s%s", err, text, errs)
	}
	if _, errs, err := c.o.tool(t, "save", id, "-o", out); err != nil {
		t.Errorf("tipbox save: %v\n%s", err, errs)
	}
	for i, f := range tip.messages[0].files {
		got, err := os.ReadFile(filepath.Join(out, fmt.Sprintf("file-%d.bin", i)))
		if err != nil || !bytes.Equal(got, f.content()) {
			t.Errorf("file %d was not saved as it was sent: %v", i, err)
		}
	}
}
