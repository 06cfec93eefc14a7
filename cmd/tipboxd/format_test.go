package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

// Every format has a folder in testdata, as a server of that format left it, and every
// later program opens it. Whoever raises tipbox.Format makes the folder of the new one,
// which is then never changed:
//
//	go test ./cmd/tipboxd -run TestFolderOfEveryFormatOpens -make-format
var makeFormat = flag.Bool("make-format", false, "make the folder of this program's format, if there is none")

// What stands in each of the folders. Its keys are those of the demo, under members.
const (
	formatText  = "They keep a second book. 他们另有一本账。"
	formatFile  = "date,amount\n2026-11-02,1200\n"
	formatReply = "Thank you. Which account was it?"
	formatAward = 6_000_00
	formatCodes = "receipts.txt" // of both tips, in words
)

// formatFolder is the archive of a format's folder.
func formatFolder(format int) string {
	return filepath.Join("testdata", fmt.Sprintf("format-%d.tar.gz", format))
}

func TestFolderOfEveryFormatOpens(t *testing.T) {
	if *makeFormat {
		makeFormatFolder(t)
	}
	for format := 1; format <= tipbox.Format; format++ {
		t.Run(strconv.Itoa(format), func(t *testing.T) {
			dir := unpackFormat(t, format)
			formatIsWhole(t, dir)
		})
	}
	t.Run("before there were marks", func(t *testing.T) {
		dir := unpackFormat(t, 1)
		applyTo(t, dir, store.Delete("meta/format"))
		formatIsWhole(t, dir)
	})
}

// formatIsWhole checks a folder, which brings it to this program's format, reads all
// that is in it with the keys that were kept, and takes a backup through a restore.
func formatIsWhole(t *testing.T, dir string) {
	t.Helper()
	if status, says := runProgram(t, "check", dir); status != exitDone || !strings.Contains(says, "0 problems") || !strings.Contains(says, "2 tips") {
		t.Fatalf("check: status %d, %s", status, says)
	}
	f, err := openFolder(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if format, err := tipbox.StoreFormat(t.Context(), f.db); format != tipbox.Format || err != nil {
		t.Errorf("format %d, %v", format, err)
	}
	codes := formatReceipts(t, dir)
	thread, err := f.service.Thread(t.Context(), codes[0])
	if err != nil || thread.Messages[len(thread.Messages)-1].Text != formatReply {
		t.Errorf("the first source reads %+v, %v", thread, err)
	}
	o := &formatOffice{t, f}
	read := false
	for _, item := range o.inbox() {
		opened := o.open(roster.Investigator, item.Tip)
		if len(opened.Faults) > 0 {
			t.Errorf("tip %s: %q", item.Tip, opened.Faults)
		}
		if m := opened.Messages[0]; m.Text == formatText && len(m.Files) == 1 {
			read = o.content(opened, m.Files[0]) == formatFile
		}
	}
	if !read {
		t.Error("the first tip, with its file, is not in the inbox")
	}
	if thread, err = f.service.Thread(t.Context(), codes[1]); err != nil || len(thread.Awards) != 1 {
		t.Fatalf("the second source reads %+v, %v", thread, err)
	}
	if a := thread.Awards[0]; a.Amount != formatAward {
		t.Errorf("the award is %+v", a)
	}
	payouts, err := f.service.Payouts(t.Context(), o.member(roster.Payer), true, "", 10)
	if err != nil || len(payouts.Items) != 1 || payouts.Items[0].Amount != formatAward {
		t.Errorf("the payouts are %+v, %v", payouts, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	key, parent := newBackupKey(t), t.TempDir()
	backup, restored := filepath.Join(parent, "backup.age"), filepath.Join(parent, "restored")
	for _, args := range [][]string{
		{"backup", dir, backup, "--recipient", key.Recipient().String()}, {"restore", backup, restored, "-i", key.file}, {"check", restored},
	} {
		if status, says := runProgram(t, args...); status != exitDone {
			t.Errorf("%q: status %d, %s", args, status, says)
		}
	}
}

// TestNewerFolderIsRefused gives a folder of the next format to everything that opens
// one.
func TestNewerFolderIsRefused(t *testing.T) {
	dir := unpackFormat(t, tipbox.Format)
	all := entriesOf(t, dir)
	applyTo(t, dir, store.Put("meta/format", []byte(strconv.Itoa(tipbox.Format+1))))
	before, err := os.ReadFile(filepath.Join(dir, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	key, parent := newBackupKey(t), t.TempDir()
	newer := seal(t, key, append(without(all, databaseName), regular(databaseName, string(before))), "")
	for _, args := range [][]string{
		{"serve", dir}, {"check", dir}, {"backup", dir, filepath.Join(parent, "backup.age"), "--recipient", key.Recipient().String()},
		{"restore", newer, filepath.Join(parent, "restored"), "-i", key.file},
	} {
		var out bytes.Buffer
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second) // of a server that serves it
		status := (&app{ctx: ctx, stdout: &out, stderr: &out, log: newLog(&out)}).run(args)
		stop()
		if says := out.String(); status != exitFailed || !strings.Contains(says, "is of format "+strconv.Itoa(tipbox.Format+1)) || !strings.Contains(says, "restore the backup made before") {
			t.Errorf("%q: status %d, %s", args, status, says)
		}
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, databaseName)); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the database was changed, %v", err)
	}
}

// A formatOffice works in a folder with the members' keys that lie in it.
type formatOffice struct {
	t *testing.T
	f *folder
}

func (o *formatOffice) key(role roster.Role) *roster.MemberKey {
	o.t.Helper()
	text, err := os.ReadFile(desk.Home(filepath.Join(o.f.path, "members", string(role))).KeyFile())
	if err != nil {
		o.t.Fatal(err)
	}
	key, err := roster.ParseMemberKey(string(text))
	if err != nil {
		o.t.Fatal(err)
	}
	return key
}

func (o *formatOffice) member(role roster.Role) *roster.Member {
	return o.f.service.Roster().Member(string(role))
}

// inbox lists all tips.
func (o *formatOffice) inbox() (all []tipbox.InboxItem) {
	o.t.Helper()
	for _, over := range []bool{false, true} {
		items, _, err := o.f.service.Inbox(o.t.Context(), o.member(roster.Investigator), tipbox.InboxFilter{Over: over}, "", 10)
		if err != nil {
			o.t.Fatal(err)
		}
		all = append(all, items...)
	}
	return all
}

// content decrypts an attachment.
func (o *formatOffice) content(tip *tipbox.OpenedTip, f tipbox.Attachment) string {
	o.t.Helper()
	sealed, err := o.f.service.Attachment(o.t.Context(), o.member(roster.Investigator), tip.Tip, f.Blob)
	if err != nil {
		o.t.Fatal(err)
	}
	defer sealed.Close()
	plain, err := f.Open(io.NewSectionReader(sealed, 0, sealed.Size()), tip.Slot.Key.Identity())
	if err != nil {
		o.t.Fatal(err)
	}
	content, err := io.ReadAll(plain)
	if err != nil {
		o.t.Fatal(err)
	}
	return string(content)
}

func (o *formatOffice) open(role roster.Role, tip string) *tipbox.OpenedTip {
	o.t.Helper()
	get, open := o.f.service.Tip, tipbox.OpenTip
	if role == roster.Approver {
		get, open = o.f.service.AwardTip, tipbox.OpenAward
	}
	file, err := get(o.t.Context(), o.member(role), tip)
	if err != nil {
		o.t.Fatal(err)
	}
	opened, err := open(file, tip, o.key(role), o.f.service.Roster())
	if err != nil {
		o.t.Fatal(err)
	}
	return opened
}

func (o *formatOffice) act(role roster.Role, tip string, a tipbox.Act) {
	o.t.Helper()
	note, sealed, err := o.open(role, tip).Act(o.key(role), o.f.service.Today(), a)
	if err == nil {
		err = o.f.service.Append(o.t.Context(), o.member(role), tip, note, sealed)
	}
	if err != nil {
		o.t.Fatalf("%s: %v", a.Action, err)
	}
}

func (o *formatOffice) submit(text, file string) (code *receipt.Code, tip string) {
	o.t.Helper()
	known := make(map[string]bool)
	for _, item := range o.inbox() {
		known[item.Tip] = true
	}
	token, err := o.f.service.FormToken(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	draft, err := o.f.service.NewTip(o.t.Context(), token)
	if err == nil && file != "" {
		err = draft.Attach(o.t.Context(), "book.csv", "text/csv", strings.NewReader(file))
	}
	if err == nil {
		code, err = o.f.service.Submit(o.t.Context(), draft, tipbox.Submission{Channel: "off-book-funds", Text: text, Lang: "en"})
	}
	if err != nil {
		o.t.Fatal(err)
	}
	for _, item := range o.inbox() {
		if !known[item.Tip] {
			tip = item.Tip
		}
	}
	return code, tip
}

// makeFormatFolder makes the folder of this program's format: an open tip with a file
// and an answer, a closed case with an award that was claimed, and what is left of a
// tip that was erased.
func makeFormatFolder(t *testing.T) {
	t.Helper()
	name := formatFolder(tipbox.Format)
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s is there, and stays as it is: %v", name, err)
	}
	dir := newDemo(t, "")
	f, err := openFolder(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	o := &formatOffice{t, f}
	first, tip := o.submit(formatText, formatFile)
	o.act(roster.Investigator, tip, tipbox.Act{Action: tipbox.ActionReply, Text: formatReply})
	second, tip := o.submit("He bought a car with it.", "")
	o.closeWithAward(tip, second)
	_, tip = o.submit("A mistake.", "of no interest")
	o.act(roster.Investigator, tip, tipbox.Act{Action: tipbox.ActionErase})
	for _, code := range []*receipt.Code{first, second} {
		if _, err := f.service.Thread(t.Context(), code); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.service.FlushVisits(t.Context(), true), f.db.Compact(t.Context()), f.Close()); err != nil {
		t.Fatal(err)
	}
	write(t, dir, formatCodes, first.Words("en")+"\n"+second.Words("en")+"\n")
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, packFormat(t, dir), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (o *formatOffice) closeWithAward(tip string, code *receipt.Code) {
	o.t.Helper()
	investigator, reviewer := roster.Investigator, roster.Reviewer
	finding := tipbox.Act{Action: tipbox.ActionFinding, Text: "the books show it", Detail: &tipbox.Detail{Finding: tipbox.Substantiated}}
	due := time.Now().UTC().AddDate(0, 1, 0).Format(time.DateOnly)
	o.act(investigator, tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: o.member(reviewer)})
	o.act(investigator, tip, tipbox.Act{Action: tipbox.ActionAck, Text: "We have read it."})
	o.act(investigator, tip, tipbox.Act{Action: tipbox.ActionAccept})
	o.act(investigator, tip, tipbox.Act{Action: tipbox.ActionAssign, Owner: string(investigator), Due: due})
	o.act(investigator, tip, finding)
	o.act(reviewer, tip, finding)
	o.act(investigator, tip, tipbox.Act{Action: tipbox.ActionAnswer, Text: "It was so."})
	o.act(reviewer, tip, tipbox.Act{Action: tipbox.ActionClose, Text: "all is there"})
	o.act(investigator, tip, tipbox.Act{Action: tipbox.ActionRecover, Detail: &tipbox.Detail{Amount: 150_000_00, Currency: "CNY", Basis: tipbox.SumCollected}})
	o.act(investigator, tip, tipbox.Act{
		Action: tipbox.ActionAward, Text: "they told all of it", Detail: &tipbox.Detail{Base: 150_000_00, Rate: 400},
		Terms: &tipbox.AwardTerms{Schedule: "off-book-funds-2009", Currency: "CNY", Amount: formatAward, Total: formatAward},
	})
	awards := o.open(investigator, tip).Case.Awards
	number := awards[len(awards)-1].Number
	o.act(roster.Approver, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: number})
	if err := o.f.service.Claim(o.t.Context(), code, tipbox.Claim{Award: number, Choice: tipbox.ClaimDetails, Details: "account 7"}); err != nil {
		o.t.Fatal(err)
	}
}

func formatReceipts(t *testing.T, dir string) (codes []*receipt.Code) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, formatCodes))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		code, err := receipt.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, code)
	}
	return codes
}

func packFormat(t *testing.T, dir string) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	if err := archive.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unpackFormat makes the folder of a format.
func unpackFormat(t *testing.T, format int) (dir string) {
	t.Helper()
	file, err := os.Open(formatFolder(format))
	if err != nil {
		t.Fatalf("format %d has no folder: %v", format, err)
	}
	defer file.Close()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "server")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(zipped); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(filepath.Join(dir, h.Name), 0o700)
		} else {
			var content []byte
			if content, err = io.ReadAll(archive); err == nil {
				err = os.WriteFile(filepath.Join(dir, h.Name), content, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
