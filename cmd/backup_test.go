package cmd_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"tipbox/store"
	"tipbox/store/bolt"
)

// tipboxd runs the program to its end.
func tipboxd(t testing.TB, args ...string) (stdout string) {
	t.Helper()
	cmd := exec.Command(program("tipboxd"), args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tipboxd %q: %v\n%s", args, err, errs.String())
	}
	return string(out)
}

// sendOne sends a tip with random files and returns it as its source knows it.
func sendOne(o *office, rng *rand.Rand, text string) (*crashTip, error) {
	s := newSource(o.sources)
	m := &crashMessage{action: "/tip", text: text, files: crashFiles(rng), shown: true}
	tip := &crashTip{messages: []*crashMessage{m}}
	var err error
	if m.page, err = s.get("/tip"); err != nil {
		return nil, err
	}
	answer, err := m.send(s, "")
	if err != nil {
		return nil, err
	}
	tip.words = element(answer, "receipt-code")
	return tip, nil
}

// erase erases a tip as the first investigator.
func (o *office) erase(t testing.TB, id string) error {
	client := o.client(t)
	opened, err := o.open(client, id)
	if err != nil {
		return err
	}
	note, err := opened.Erase(o.readers[0], time.Now().UTC().Format(time.DateOnly))
	if err != nil {
		return err
	}
	return client.Append(context.Background(), id, note, nil)
}

// mustHold checks that the folder's server opens the tips, byte for byte, and
// returns the ids of all that it has by their texts.
func (o *office) mustHold(t *testing.T, tips []*crashTip) map[string]string {
	t.Helper()
	c := &crash{o: o, tips: tips}
	client := o.client(t)
	c.identify(t, client)
	for _, tip := range tips {
		if err := c.look(newSource(o.sources), client, tip); err != nil {
			t.Errorf("%s: %v", tip.messages[0].text, err)
		}
	}
	return c.ids
}

// A backedUp is a backup with what must be in it and what must not.
type backedUp struct {
	file   string
	holds  []*crashTip     // whose receipts were shown before it began
	erased map[string]bool // ids of tips that were erased before it began
}

// TestBackupUnderLoad makes backups while tips come and go, and restores each:
// every receipt shown before it began opens, unless its tip was erased, and
// nothing of a tip erased before is in it.
func TestBackupUnderLoad(t *testing.T) {
	o := newOffice(t, filepath.Join(t.TempDir(), "server"), 1)
	server := o.serve(t)
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "backup.key")
	if err := os.WriteFile(keyFile, []byte(key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	var mu sync.Mutex                // guards what follows
	var shown []*crashTip            // that stay
	erasing := make(map[string]bool) // texts
	erased := make(map[string]bool)  // ids
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var load sync.WaitGroup
	for i := range 3 {
		rng := rand.New(rand.NewPCG(uint64(i), 1))
		load.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				text := fmt.Sprintf("sender %d tip %d", i, n)
				tip, err := sendOne(o, rng, text)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				shown = append(shown, tip)
				mu.Unlock()
			}
		})
	}
	load.Go(func() { // erases tips of all senders
		client := o.client(t)
		for ctx.Err() == nil {
			items, err := o.inbox(client)
			if err != nil || len(items) == 0 {
				continue
			}
			item := items[rand.IntN(len(items))]
			opened, err := o.open(client, item.Tip)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			erasing[opened.Messages[0].Text] = true
			mu.Unlock()
			if err := o.erase(t, item.Tip); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			erased[item.Tip] = true
			mu.Unlock()
			time.Sleep(20 * time.Millisecond)
		}
	})
	var backups []*backedUp
	for i := range 3 {
		time.Sleep(500 * time.Millisecond)
		b := &backedUp{file: filepath.Join(dir, fmt.Sprintf("backup-%d.age", i)), erased: make(map[string]bool)}
		mu.Lock()
		b.holds = append(b.holds, shown...)
		for id := range erased {
			b.erased[id] = true
		}
		mu.Unlock()
		tipboxd(t, "backup", o.dir, b.file, "--recipient", key.Recipient().String())
		mu.Lock()
		var kept []*crashTip
		for _, tip := range b.holds {
			if !erasing[tip.messages[0].text] {
				kept = append(kept, tip)
			}
		}
		b.holds = kept
		mu.Unlock()
		backups = append(backups, b)
		if i == 1 {
			tipboxd(t, "compact", o.dir)
		}
	}
	stop()
	load.Wait()
	server.stop(t)
	o.mustBeWhole(t, true)
	for i, b := range backups {
		t.Logf("backup %d: %d tips must be in it, %d erased must not", i, len(b.holds), len(b.erased))
		if i > 0 && (len(b.holds) < 5 || len(b.erased) < 2) {
			t.Errorf("too little happened for this test to mean something")
		}
		b.mustNotHoldErased(t, key)
		elsewhere := *o
		elsewhere.dir = filepath.Join(dir, fmt.Sprintf("restored-%d", i))
		tipboxd(t, "restore", b.file, elsewhere.dir, "-i", keyFile)
		elsewhere.mustBeWhole(t, true)
		server := elsewhere.serve(t)
		elsewhere.mustHold(t, b.holds)
		server.stop(t)
	}
}

// mustNotHoldErased looks at the names of all attachments: the id of a tip leads
// them.
func (b *backedUp) mustNotHoldErased(t *testing.T, key age.Identity) {
	t.Helper()
	f, err := os.Open(b.file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, err := age.Decrypt(f, key)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(plain)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for id := range b.erased {
			if strings.Contains(h.Name, id) {
				t.Errorf("%s is in the backup, and was erased before", h.Name)
			}
		}
	}
}

// TestBackupOfADamagedFolderIsRefused takes attachments away and alters them.
func TestBackupOfADamagedFolderIsRefused(t *testing.T) {
	o := newOffice(t, filepath.Join(t.TempDir(), "server"), 1)
	server := o.serve(t)
	if _, err := sendOne(o, rand.New(rand.NewPCG(3, 4)), "a tip"); err != nil {
		t.Fatal(err)
	}
	server.stop(t)
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := filepath.Glob(filepath.Join(o.dir, "blobs", "??", "*"))
	if err != nil || len(blobs) == 0 {
		t.Fatalf("blobs: %q, %v", blobs, err)
	}
	content, err := os.ReadFile(blobs[0])
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(content)
	flipped[len(flipped)/2] ^= 1
	for says, do := range map[string]func() error{
		"is missing":               func() error { return os.Remove(blobs[0]) },
		"of another size":          func() error { return os.WriteFile(blobs[0], content[1:], 0o600) },
		"is not what was received": func() error { return os.WriteFile(blobs[0], flipped, 0o600) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		cmd := exec.Command(program("tipboxd"), "backup", o.dir, filepath.Join(dir, "backup.age"), "--recipient", key.Recipient().String())
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), says) || !strings.Contains(string(out), "run tipboxd check") {
			t.Errorf("%v: %s, want %q", err, out, says)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

// TestErasedIsGoneFromTheFolder searches the whole folder for the ciphertext of
// an erased tip: after tipboxd compact, and after the server did the same by
// itself on a later day, there is none.
func TestErasedIsGoneFromTheFolder(t *testing.T) {
	o := newOffice(t, filepath.Join(t.TempDir(), "server"), 2)
	server := o.serve(t)
	rng := rand.New(rand.NewPCG(1, 2))
	var tips []*crashTip
	for i := range 12 {
		tip, err := sendOne(o, rng, fmt.Sprintf("tip %d", i))
		if err != nil {
			t.Fatal(err)
		}
		tips = append(tips, tip)
	}
	ids := o.mustHold(t, tips)
	// Three at first, for a page that was freed may be written again at once.
	first, second := []string{ids["tip 3"], ids["tip 4"], ids["tip 5"]}, ids["tip 7"]
	server.stop(t)
	var ofFirst [][]byte
	for _, id := range first {
		ofFirst = append(ofFirst, o.pieces(t, id)...)
	}
	ofSecond := o.pieces(t, second)
	for _, pieces := range [][][]byte{ofFirst, ofSecond} {
		if n := o.count(t, pieces); n != len(pieces) || n < 20 {
			t.Fatalf("%d of %d pieces found before: this test shows nothing", n, len(pieces))
		}
	}

	server = o.serve(t)
	for _, id := range first {
		if _, errs, err := o.tool(t, "erase", id, "--yes"); err != nil {
			t.Fatalf("erase: %v\n%s", err, errs)
		}
	}
	if n := o.count(t, ofFirst); n == 0 {
		t.Error("nothing is left in free pages before compacting: this test shows nothing")
	}
	tipboxd(t, "compact", o.dir)
	if n := o.count(t, ofFirst); n > 0 {
		t.Errorf("%d of %d pieces of an erased tip are there after compact", n, len(ofFirst))
	}
	kept := append(append([]*crashTip{}, tips[:3]...), tips[6:]...)
	o.mustHold(t, kept)

	if err := o.erase(t, second); err != nil {
		t.Fatal(err)
	}
	server.stop(t)
	o.erasedLongAgo(t)
	server = o.serve(t)
	for range 200 {
		if bytes.Contains(server.output.Bytes(), []byte("took off the disk")) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if n := o.count(t, ofSecond); n > 0 {
		t.Errorf("%d of %d pieces of an erased tip are there after a day", n, len(ofSecond))
	}
	o.mustHold(t, append(append([]*crashTip{}, kept[:4]...), kept[5:]...))
	server.stop(t)
	if report := o.mustBeWhole(t, true); report.Erased != 4 || report.Tips != len(tips)-4 {
		t.Errorf("check: %+v", report)
	}
}

// pieces are parts of a tip's ciphertext that no other tip has: of its
// attachments, its sealed messages and its keyslots.
func (o *office) pieces(t *testing.T, id string) (pieces [][]byte) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(o.dir, "tipbox.db"), &bolt.Config{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var mine, others [][]byte
	for _, kind := range []string{"sealed/", "slots/"} {
		recs, err := db.Scan(t.Context(), store.Key(kind), "", store.MaxScan)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range recs {
			if strings.Contains(string(rec.Key), id) {
				mine = append(mine, rec.Value)
			} else {
				others = append(others, rec.Value)
			}
		}
	}
	blobs, err := filepath.Glob(filepath.Join(o.dir, "blobs", id[:2], id+"*"))
	if err != nil || len(blobs) == 0 {
		t.Fatalf("blobs: %q, %v", blobs, err)
	}
	for _, blob := range blobs {
		content, err := os.ReadFile(blob)
		if err != nil {
			t.Fatal(err)
		}
		mine = append(mine, content[:min(len(content), 20_000)])
	}
	rest := bytes.Join(others, nil)
	for _, value := range mine {
		for i := 0; i+32 <= len(value); i += 250 {
			if piece := value[i : i+32]; !bytes.Contains(rest, piece) {
				pieces = append(pieces, piece)
			}
		}
	}
	return pieces
}

// count is how many of the pieces are in any file of the folder.
func (o *office) count(t *testing.T, pieces [][]byte) (n int) {
	t.Helper()
	var all []byte
	err := filepath.WalkDir(o.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		all = append(append(all, content...), '\n')
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range pieces {
		if bytes.Contains(all, piece) {
			n++
		}
	}
	return n
}

// erasedLongAgo makes today's erasures those of a day long ago.
func (o *office) erasedLongAgo(t *testing.T) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(o.dir, "tipbox.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	recs, err := db.Scan(t.Context(), "meta/compact/", "", 10)
	if err != nil || len(recs) != 1 {
		t.Fatalf("days with erasures: %d, %v", len(recs), err)
	}
	if err := db.Apply(t.Context(), store.Delete(recs[0].Key), store.Put("meta/compact/2001-02-03", nil)); err != nil {
		t.Fatal(err)
	}
}
