package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

const photo = "\xff\xd8\xff\xe1\x00\x10Exif\x00\x00 photo-word"

// referBench has one tip: message 1 with three files, 2 an answer, 3 a note. Each
// part holds a word of its own.
func referBench(t *testing.T) (b *bench, tip string) {
	t.Helper()
	b = newBench(t, tipboxtest.Config{})
	b.Submit("first-word of the source\nText 7\n\u202ehidden\u200b",
		tipboxtest.File{Name: "photo-name.JPG", Type: "image/jpeg", Content: photo},
		tipboxtest.File{Name: "ledger-name.txt", Type: "text/plain", Content: "ledger-word"},
		tipboxtest.File{Name: "archive.nameword", Content: "\x00\x01archive-word"})
	tip = b.tip()
	b.Act("alice", tip, tipbox.Act{Action: tipbox.ActionAck, Text: "answer-word to the source"})
	b.Act("bob", tip, tipbox.Act{Action: tipbox.ActionNote, Text: "note-word for the desk"})
	return b, tip
}

// everything is all that a folder holds, names too, by name.
func everything(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		content, err := os.ReadFile(path)
		all[d.Name()] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestReferCopiesWhatIsTickedAndNothingElse(t *testing.T) {
	b, tip := referBench(t)
	out := filepath.Join(t.TempDir(), "out")
	status, stdout, stderr := b.tipbox("bob", "refer", tip, "--to", "City Prosecutor", "-o", out, "--tick", "2,1.3", "--tick", "1.2", "--tick", "2", "--name", "1.2=book.csv")
	if status != exitDone || stdout != out+"\n" {
		t.Fatalf("status %d: %s%s", status, stdout, stderr)
	}
	got := everything(t, out)
	want := map[string]string{
		"referral.txt": "To:   City Prosecutor\nFrom: Example City\n\nText 1\n\n│ answer-word to the source\n\nFiles\n\nbook.csv\nfile-2\n",
		"book.csv":     "ledger-word",
		"file-2":       "\x00\x01archive-word",
	}
	var manifest strings.Builder
	for _, name := range []string{"referral.txt", "book.csv", "file-2"} {
		fmt.Fprintf(&manifest, "%x  %s\n", sha256.Sum256([]byte(want[name])), name)
	}
	want["MANIFEST"] = manifest.String()
	if !maps.Equal(got, want) {
		t.Errorf("the copy holds %q, want %q", got, want)
	}
	for _, path := range append(slices.Collect(maps.Keys(got)), "") {
		info, err := os.Stat(filepath.Join(out, path))
		if err != nil {
			t.Fatal(err)
		}
		mode := fs.FileMode(0o600)
		if path == "" {
			mode = 0o700
		}
		if info.Mode().Perm() != mode || !info.ModTime().Equal(referralDay) {
			t.Errorf("%q has mode %v and is of %v", path, info.Mode(), info.ModTime())
		}
	}
	// The case says what went to whom.
	last := b.Open("alice", tip).Messages[3]
	sum := sha256.Sum256([]byte(manifest.String()))
	if d := last.Detail; last.Action != tipbox.ActionNote || d == nil || d.Reason != tipbox.Referred || d.To != "City Prosecutor" || d.Copy != hex.EncodeToString(sum[:]) {
		t.Errorf("recorded is %+v, %+v", last, last.Detail)
	}
	if got := b.ok("alice", "case", tip); !strings.Contains(got, "note      bob: referred to City Prosecutor, copy "+hex.EncodeToString(sum[:])) {
		t.Errorf("the case:\n%s", got)
	}
	if !strings.Contains(stderr, "book.csv: plain text") || !strings.Contains(stderr, "file-2: of a kind of which it is not known") || !strings.Contains(stderr, "tipbox decline "+tip) {
		t.Errorf("it says %s", stderr)
	}
	// What is there is not written over.
	b.fails("bob", exitFailed, "not there yet", "refer", tip, "--to", "X", "-o", out, "--tick", "1")
}

// Whatever is ticked, the copy has nothing of the rest nor of the case.
func TestReferGivesNothingElseAway(t *testing.T) {
	b, tip := referBench(t)
	words := map[string][]string{ // of each part
		"1": {"first-word", "│ Text 7", `\u{202e}hidden\u{200b}`}, "1.1": {"photo-word"}, "1.2": {"ledger-word"}, "1.3": {"archive-word"}, "2": {"answer-word"}, "3": {"note-word"},
	}
	parts := slices.Sorted(maps.Keys(words))
	for set := 1; set < 1<<len(parts); set += 5 {
		out := filepath.Join(t.TempDir(), "out")
		args := []string{"--json", "refer", tip, "--to", "Body", "-o", out, "--internal"}
		for i, part := range parts {
			if set>>i&1 == 1 {
				args = append(args, "--tick", part)
			}
		}
		var line referLine
		if err := json.Unmarshal([]byte(b.ok("alice", args...)), &line); err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for name, content := range everything(t, out) {
			all.WriteString(name + "\n" + content + "\n")
		}
		for i, part := range parts {
			for _, word := range words[part] {
				if has := strings.Contains(all.String(), word); has != (set>>i&1 == 1) {
					t.Errorf("%v: %q is there: %v", args[7:], word, has)
				}
			}
		}
		never := regexp.MustCompile(tip + `|alice|bob|Alice|off-book|` + today() + `|acknowledged|\ben\b|photo-name|ledger-name|nameword|[\x{202e}\x{200b}]|(?m:^Text 7)`)
		if found := never.FindString(all.String()); found != "" {
			t.Errorf("%v: the copy says %q", args[7:], found)
		}
		if sum := sha256.Sum256([]byte(everything(t, out)["MANIFEST"])); line.Manifest != hex.EncodeToString(sum[:]) || line.Recorded != tipbox.ActionNote {
			t.Errorf("%+v", line)
		}
	}
}

func TestReferTicksNothingByItself(t *testing.T) {
	b, tip := referBench(t)
	status, stdout, stderr := b.tipbox("alice", "refer", tip)
	if status != exitUsage || !strings.Contains(stderr, "nothing is ticked") {
		t.Errorf("status %d: %s", status, stderr)
	}
	for _, line := range []string{"1      source: first-word of the source", "1.1    source: file photo-name.JPG, 23 bytes", "2      alice (ack): answer-word", "3      bob (note), for the desk only: note-word"} {
		if !strings.Contains(stdout, line) {
			t.Errorf("the list has no %q:\n%s", line, stdout)
		}
	}
	status, stdout, _ = b.tipbox("alice", "--json", "refer", tip)
	var list struct {
		Parts []struct {
			Tick     string
			Internal bool
		}
	}
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || status != exitUsage || len(list.Parts) != 6 || list.Parts[3].Tick != "1.3" || !list.Parts[5].Internal {
		t.Errorf("status %d: %s", status, stdout)
	}

	out := filepath.Join(t.TempDir(), "out")
	refer := func(args ...string) []string {
		return append([]string{"refer", tip, "--to", "Body", "-o", out}, args...)
	}
	for _, bad := range []string{"0", "1.", "1.0", "01", "+1", "-1", "1.4", "4", "x", "1.2.3", ""} {
		b.fails("alice", exitUsage, "", refer("--tick="+bad)...)
	}
	b.fails("alice", exitUsage, "--internal", refer("--tick", "3")...)
	b.fails("alice", exitUsage, "no safe name", refer("--tick", "1.1", "--name", "1.1=../x")...)
	b.fails("alice", exitUsage, "no file that is ticked", refer("--tick", "1.1", "--name", "1.2=x")...)
	b.fails("alice", exitUsage, "two files", refer("--tick", "1.1", "--name", "1.1=Manifest")...)
	b.fails("alice", exitUsage, "two files", refer("--tick", "1.1,1.2", "--name", "1.1=a", "--name", "1.2=A")...)
	b.fails("alice", exitUsage, "which body", "refer", tip, "-o", out, "--tick", "1")
	b.fails("alice", exitUsage, "which body", "refer", tip, "--to", "a\u202eb", "-o", out, "--tick", "1")
	b.fails("alice", exitUsage, "--dry-run", "refer", tip, "--to", "Body", "--tick", "1")
	if status, stdout, stderr := b.tipbox("alice", refer("--tick", "1,1.1", "--dry-run")...); status != exitDone || !strings.Contains(stdout, "│ first-word") ||
		!strings.Contains(stdout, "file-1.jpg: file 1.1, 23 bytes") || !strings.Contains(stderr, "file-1.jpg: a picture") || strings.Contains(stdout, "photo-word") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("something was written")
	}
	if got := len(b.Open("alice", tip).Messages); got != 3 {
		t.Errorf("%d entries, want 3", got)
	}
}

func TestReferIsOnRecord(t *testing.T) {
	b, tip := referBench(t)
	out := func(name string) string { return filepath.Join(t.TempDir(), name) }
	// A reviewer cannot decline, and whoever has no part can record nothing: no
	// folder is left of it.
	b.Act("alice", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: b.Member("carol")})
	refused := out("refused")
	b.fails("carol", exitFailed, "rule role", "refer", tip, "--to", "Body", "-o", refused, "--tick", "1", "-m", "to the source")
	if _, err := os.Stat(refused); err == nil {
		t.Error("a copy is there that nobody recorded")
	}
	b.ok("carol", "refer", tip, "--to", "Body", "-o", out("noted"), "--tick", "1")

	// The line breaks while it is recorded: the copy stays, and the line to be
	// typed works.
	kept := out("kept")
	b.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, "{}")
		return true
	}
	status, _, stderr := b.tipbox("alice", "refer", tip, "--to", "Bob's office", "-o", kept, "--tick", "1", "-m", "passed on")
	b.intercept = nil
	typed := regexp.MustCompile(`Record it: tipbox (decline) (\S+) --referred ('.*') --copy ([0-9a-f]{64}) -m TEXT`).FindStringSubmatch(stderr)
	if status != exitFailed || typed == nil || typed[3] != `'Bob'\''s office'` || len(everything(t, kept)) != 2 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	b.ok("alice", "decline", tip, "--referred", "Bob's office", "--copy", typed[4], "-m", "passed on")
	last := b.Open("alice", tip).Messages
	if d := last[len(last)-1].Detail; d == nil || d.To != "Bob's office" || d.Copy != typed[4] {
		t.Errorf("recorded is %+v", d)
	}
	b.fails("alice", exitUsage, "SHA-256", "note", tip, "--referred", "Body", "--copy", "abc")
	b.fails("alice", exitUsage, "--copy is for a referral", "note", tip, "--copy", typed[4], "-m", "x")

	// Before that point it is declined, and the source told; after it a text is
	// for the desk.
	code := b.Submit("two")
	second := b.tip()
	b.ok("alice", "refer", second, "--to", "Body", "-o", out("declined"), "--tick", "1", "-m", "we passed it on")
	thread, err := b.Service.Thread(t.Context(), code)
	if err != nil || len(thread.Messages) != 2 || thread.Messages[1].Text != "we passed it on" || b.Open("alice", second).Case.State != tipbox.StateDeclined {
		t.Errorf("the thread: %+v, %v", thread, err)
	}
	status, _, stderr = b.tipbox("alice", "refer", second, "--to", "Body", "-o", out("again"), "--tick", "1", "-m", "for whom?")
	if status != exitDone || !strings.Contains(stderr, "a note for the desk") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if thread, err := b.Service.Thread(t.Context(), code); err != nil || len(thread.Messages) != 2 {
		t.Errorf("the thread: %+v, %v", thread, err)
	}
}

func TestFilesSayWhatTheyMayCarry(t *testing.T) {
	for _, test := range []struct{ name, begin, want string }{
		{"a.txt", "plain words", ""},
		{"a.csv", "1;2;3\n", ""},
		{"a", "字", ""},
		{"a.txt", photo, "picture"},
		{"a.txt", "words Exif words", "picture"},
		{"a.png", "\x89PNG\r\n\x1a\n", "picture"},
		{"a.heic", "\x00\x00\x00\x18ftypheic", "picture"},
		{"a.pdf", "%PDF-1.7", "document"},
		{"a.docx", "PK\x03\x04", "document"},
		{"a.doc", "\xd0\xcf\x11\xe0\xa1\xb1", "document"},
		{"a.txt", `{\rtf1`, "document"},
		{"a.mp3", "ID3", "recording"},
		{"a.eml", "From: a@b", "not known"},
		{"a.svg", "<svg>", "not known"},
		{"a.html", "<html>", "not known"},
		{"a.bin", "\x00\x01\x02", "not known"},
	} {
		if got := carries(test.name, []byte(test.begin)); !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%s, %q: %q, want %q", test.name, test.begin, got, test.want)
		}
	}
	for name, want := range map[string]string{
		"a.PDF": ".pdf", "a.tar.gz": ".gz", "a": "", "a.": "", "a.secret": "", "a.中文": "", "../x.j pg": "", "a.x\u202ey": "", ".bashrc": "", "a.docx": ".docx",
	} {
		if got := neutralExt(name); got != want {
			t.Errorf("%q has the extension %q, want %q", name, got, want)
		}
	}
}
