package cmd_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tipbox/store"
	"tipbox/store/bolt"
)

// A knownTip is one that was sent: what it must still be after a mishap.
type knownTip struct {
	words string
	text  string
	files []file
	id    string // at the desk, once known
}

// sendKnown sends tips, each with so many files of a size.
func (o *office) sendKnown(t testing.TB, tips, files, size int) (sent []*knownTip) {
	t.Helper()
	s := newSource(o.sources)
	for i := range tips {
		tip := &knownTip{text: fmt.Sprintf("known %d %d", i, rand.Uint64())}
		for j := range files {
			tip.files = append(tip.files, file{fmt.Sprintf("file-%d.bin", j), crashFile{rand.Uint64(), size}.content()})
		}
		status, page, err := o.trySend(s, tip.text, tip.files...)
		if err != nil || status != http.StatusOK {
			t.Fatalf("status %d, %v: %s", status, err, notice(page))
		}
		tip.words = element(page, "receipt-code")
		sent = append(sent, tip)
	}
	return sent
}

// trySend gets a form and sends a tip.
func (o *office) trySend(s *source, text string, files ...file) (status int, answer string, err error) {
	page, err := s.get("/tip")
	if err != nil {
		return 0, "", err
	}
	return s.post(page, "/tip", url.Values{"channel": {officeChannel}, "text": {text}}, files...)
}

// whole says what of the tip is not as it was sent, for the source and at the desk.
func (o *office) whole(t testing.TB, tip *knownTip) error {
	t.Helper()
	s, client := newSource(o.sources), o.client(t)
	page, err := (&crashTip{words: tip.words}).thread(s)
	if err != nil {
		return err
	}
	if n := len(articles.FindAllString(page, -1)); n != 1 {
		return fmt.Errorf("%d messages in the thread", n)
	}
	if tip.id == "" {
		if err := o.identify(t, tip); err != nil {
			return err
		}
	}
	opened, err := o.open(client, tip.id)
	if err != nil {
		return err
	}
	m := opened.Messages[0]
	if m.Err != nil || m.Text != tip.text || len(m.Files) != len(tip.files) {
		return fmt.Errorf("%q with %d files, %v", m.Text, len(m.Files), m.Err)
	}
	for i, f := range m.Files {
		var got bytes.Buffer
		if err := o.copyFile(&got, client, opened, f); err != nil {
			return err
		}
		if !bytes.Equal(got.Bytes(), tip.files[i].content) {
			return fmt.Errorf("file %d is another", i)
		}
	}
	return nil
}

// identify finds the tips' ids by their texts.
func (o *office) identify(t testing.TB, tips ...*knownTip) error {
	t.Helper()
	client := o.client(t)
	items, err := o.inbox(client)
	if err != nil {
		return err
	}
	ids := make(map[string]string)
	for _, item := range items {
		opened, err := o.open(client, item.Tip)
		if err != nil {
			return err
		}
		ids[opened.Messages[0].Text] = item.Tip
	}
	for _, tip := range tips {
		if tip.id = ids[tip.text]; tip.id == "" {
			return fmt.Errorf("not at the desk: %q", tip.text)
		}
	}
	return nil
}

func (o *office) mustStay(t testing.TB, when string, tips ...*knownTip) {
	t.Helper()
	for _, tip := range tips {
		if err := o.whole(t, tip); err != nil {
			t.Errorf("%s: %q is not as it was sent: %v", when, tip.text, err)
		}
	}
}

// mustRefuse checks that a page says that nothing was sent, and keeps the text.
func mustRefuse(t testing.TB, status int, page string, err error, text string) {
	t.Helper()
	if err != nil || status < 400 || notice(page) == "" || strings.TrimPrefix(element(page, "text"), "\n") != text {
		t.Errorf("status %d, %v, notice %q, text %.40q", status, err, notice(page), element(page, "text"))
	}
	if element(page, "receipt-code") != "" {
		t.Error("a refused tip has a receipt")
	}
}

// blobFiles are the files of a tip's attachments.
func (o *office) blobFiles(t testing.TB, tip string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(o.dir, "blobs", "??", tip+"*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("blobs of %s: %q, %v", tip, files, err)
	}
	return files
}

// TestLostAndDamagedFiles takes away one file and flips a bit in another.
func TestLostAndDamagedFiles(t *testing.T) {
	o := newOffice(t, filepath.Join(t.TempDir(), "server"), 2)
	server := o.serve(t)
	known := o.sendKnown(t, 6, 2, 200_000)
	if err := o.identify(t, known...); err != nil {
		t.Fatal(err)
	}
	server.stop(t)
	lost, bad := known[0], known[1]
	if err := os.Remove(o.blobFiles(t, lost.id)[0]); err != nil {
		t.Fatal(err)
	}
	damaged := o.blobFiles(t, bad.id)[0]
	content, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 0x10
	if err := os.WriteFile(damaged, content, 0o600); err != nil {
		t.Fatal(err)
	}
	report, errs, err := o.check(t)
	if err == nil || len(report.Problems) != 2 || !strings.Contains(errs, "2 problems") {
		t.Errorf("check: %v: %q\n%s", err, report.Problems, errs)
	}
	for _, tip := range []*knownTip{lost, bad} {
		if !strings.Contains(strings.Join(report.Problems, "\n"), tip.id) {
			t.Errorf("check does not name tip %s: %q", tip.id, report.Problems)
		}
	}
	server = o.serve(t)
	o.mustStay(t, "with others' files damaged", known[2:]...)
	for tip, word := range map[*knownTip]string{lost: "not found", bad: "damaged"} {
		if text, errs, err := o.tool(t, "read", tip.id); err != nil || !strings.Contains(text, tip.text) {
			t.Errorf("read: %v\n%s%s", err, text, errs)
		}
		out := filepath.Join(t.TempDir(), "saved")
		_, errs, err := o.tool(t, "save", tip.id, "-o", out)
		if err == nil || !strings.Contains(errs, word) || !strings.Contains(errs, "file-") {
			t.Errorf("save does not say that a file is %s: %v\n%s", word, err, errs)
		}
		saved, _ := os.ReadDir(out)
		if len(saved) != 1 {
			t.Errorf("saved: %v", saved)
		}
	}
	server.stop(t)
	if again, _, _ := o.check(t); len(again.Problems) != 2 || len(again.Orphans) != 0 {
		t.Errorf("after serving: %+v", again)
	}
}

// TestDamagedRecord flips a bit of each kind of record of one tip, and of those
// that all share. Check names it, the server starts and the other tips are
// whole, to be found, and to be sent.
func TestDamagedRecord(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "server")
	o := newOffice(t, folder, 2)
	server := o.serve(t)
	known := o.sendKnown(t, 4, 1, 1000)
	if err := o.identify(t, known...); err != nil {
		t.Fatal(err)
	}
	victim := known[1]
	s := newSource(o.sources)
	thread, err := (&crashTip{words: victim.words}).thread(s)
	if err != nil {
		t.Fatal(err)
	}
	if status, page, err := s.post(thread, "/thread/message", url.Values{"text": {"the second message"}}); err != nil || status != http.StatusOK {
		t.Fatalf("status %d, %v: %s", status, err, notice(page))
	}
	server.stop(t)
	database := filepath.Join(folder, "tipbox.db")
	good, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	missing := o.blobFiles(t, known[3].id)[0]
	for _, kind := range []string{"tip", "slots", "event", "sealed", "inbox", "box", "form", "meta"} {
		t.Run(kind, func(t *testing.T) {
			if err := os.WriteFile(database, flipIn(t, database, good, kind, victim.id), 0o600); err != nil {
				t.Fatal(err)
			}
			report, errs, err := o.check(t)
			if all := errs + strings.Join(report.Problems, "\n"); err == nil || !strings.Contains(all, kind+"/") || !strings.Contains(all, "damaged") {
				t.Errorf("check: %v\n%s", err, all)
			}
			// And check goes on to what else there is.
			if err := os.Rename(missing, missing+".away"); err != nil {
				t.Fatal(err)
			}
			if report, errs, _ := o.check(t); !strings.Contains(strings.Join(report.Problems, "\n"), known[3].id) {
				t.Errorf("check does not find the lost file too: %q\n%s", report.Problems, errs)
			}
			if err := os.Rename(missing+".away", missing); err != nil {
				t.Fatal(err)
			}
			server := o.serve(t)
			o.mustStay(t, "with a damaged record", known[0], known[2], known[3])
			text, errs, err := o.tool(t, "read", victim.id)
			if reads := err == nil && strings.Contains(text, victim.text); !reads && errs == "" {
				t.Errorf("tipbox read says nothing of the damage: %v\n%s", err, text)
			}
			if (kind == "sealed" || kind == "event") && !strings.Contains(text, "the second message") {
				t.Errorf("one damaged message hides the others: %s%s", text, errs)
			}
			if items, err := o.inbox(o.client(t)); err != nil || len(items) != len(known) {
				t.Errorf("inbox: %d tips, %v", len(items), err)
			}
			o.sendKnown(t, 1, 1, 100)
			server.stop(t)
			server.mustNotHavePanicked(t)
		})
	}
}

// flipIn returns the database with a bit flipped in every copy of the tip's
// record of that kind.
func flipIn(t *testing.T, path string, good []byte, kind, tip string) []byte {
	t.Helper()
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	recs, err := db.Scan(t.Context(), store.Key(kind+"/"), "", store.MaxScan)
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for _, rec := range recs {
		if kind != "form" && kind != "meta" && !strings.Contains(string(rec.Key), tip) && string(rec.Value) != tip {
			continue
		}
		bad, flipped := bytes.Clone(good), 0
		for i := 0; ; i++ {
			n := bytes.Index(bad[i:], []byte(rec.Key))
			if n < 0 {
				break
			}
			i += n
			value := bad[min(i+len(rec.Key)+8+4, len(bad)):] // behind revision and checksum
			if bytes.HasPrefix(value, rec.Value) {
				value[len(rec.Value)/2] ^= 0x04
				flipped++
			}
		}
		if flipped > 0 {
			return bad
		}
	}
	t.Fatalf("tip %s has no %s record", tip, kind)
	return nil
}

// TestFlippedBits flips bits all over the database, one at a time. Each is
// noticed, or lies where nothing is: then every tip is whole.
func TestFlippedBits(t *testing.T) {
	o := newOffice(t, filepath.Join(t.TempDir(), "server"), 1)
	server := o.serve(t)
	known := o.sendKnown(t, 12, 0, 0)
	if err := o.identify(t, known...); err != nil {
		t.Fatal(err)
	}
	server.stop(t)
	database := filepath.Join(o.dir, "tipbox.db")
	good, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	bits := []int{8 * 40, 8 * (4096 + 40)} // both of bbolt's meta pages: without the newer one the last write is lost
	for len(bits) < 60 {
		bit := rng.IntN(8 * len(good))
		page := good[bit/8&^4095:][:4096]
		if bytes.Count(page, []byte{0}) < 4000 {
			bits = append(bits, bit)
		}
	}
	noticed, harmless := 0, 0
	for _, bit := range bits {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(database, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		report, errs, err := o.check(t)
		if err != nil || len(report.Problems) > 0 {
			if strings.Contains(errs, "panic") || strings.Contains(errs, "goroutine") {
				t.Errorf("check, with bit %d flipped, panicked:\n%s", bit, errs)
			}
			noticed++
			continue
		}
		harmless++
		if bit/8 < 2*4096 {
			t.Errorf("check is content with bit %d of a meta page flipped", bit)
		}
		if report.Tips != len(known) {
			t.Errorf("with bit %d flipped %d of %d tips are left, and check is content", bit, report.Tips, len(known))
		}
		if harmless > 6 { // starting takes longer than checking
			continue
		}
		server := o.serve(t)
		o.mustStay(t, fmt.Sprintf("with bit %d flipped", bit), known...)
		server.stop(t)
	}
	t.Logf("%d noticed, %d in free space", noticed, harmless)
	if noticed == 0 {
		t.Error("no flipped bit was noticed")
	}
}
