package tipbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

var ctx = context.Background()

const canary = tipboxtest.Canary

// files are two attachments, each with the canary in name and content.
func files() []tipboxtest.File {
	return []tipboxtest.File{
		{Name: "ledger " + canary + ".txt", Type: "text/plain", Content: strings.Repeat(canary, 1000)},
		{Name: `C:\Users\clerk\scan.pdf`, Type: "application/pdf", Content: ""},
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

// content decrypts an attachment as a member does.
func content(t *testing.T, o *tipboxtest.Org, name string, tip *tipbox.OpenedTip, f tipbox.Attachment) string {
	t.Helper()
	blob, err := o.Service.Attachment(ctx, o.Member(name), tip.Tip, f.Blob)
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	plain, err := f.Open(io.NewSectionReader(blob, 0, blob.Size()), tip.Slot.Key.Identity())
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTipIsReadAnsweredAndTheAnswerRead(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("There is a fund.\r\n"+canary, files()...)

	items := o.Inbox("alice")
	if len(items) != 1 {
		t.Fatalf("inbox has %d items, want 1", len(items))
	}
	id := items[0].Tip
	want := tipbox.InboxItem{
		Tip: id, Channel: "off-book-funds", Day: "2026-11-22", News: "2026-11-22",
		From: "source", Messages: 1, Files: 2, Readers: []string{"alice", "bob"},
		State: tipbox.StateReceived, Due: "2026-11-29", DueFor: tipbox.ActionAck,
	}
	if diff := cmp.Diff(want, items[0]); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"alice", "bob"} {
		tip := o.Open(name, id)
		m := tip.Messages[0]
		if m.Text != "There is a fund.\n"+canary || m.Lang != "en" || m.Err != nil {
			t.Errorf("%s reads %q in %q, %v", name, m.Text, m.Lang, m.Err)
		}
		for i, f := range files() {
			if got := content(t, o, name, tip, m.Files[i]); got != f.Content {
				t.Errorf("%s: file %d has %d bytes, want %d", name, i, len(got), len(f.Content))
			}
		}
		if got := m.Files[1].Name; got != "scan.pdf" {
			t.Errorf("a path's last part is %q", got)
		}
	}

	o.Clock.Advance(48 * time.Hour)
	o.Reply("alice", id, "Which account? "+canary)
	d, err := o.Service.Reopen(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	o.Attach(d, files()[0])
	if err := o.Service.FollowUp(ctx, d, tipbox.NewNonce(), "en", "Account 7. "+canary); err != nil {
		t.Fatal(err)
	}

	thread, err := o.Service.Thread(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	wantThread := &tipbox.Thread{Channel: "off-book-funds", Day: "2026-11-22", Read: true, Messages: []tipbox.ThreadMessage{
		{From: "source", Day: "2026-11-22", Files: 2},
		{From: "desk", Day: "2026-11-24", Text: "Which account? " + canary},
		{From: "source", Day: "2026-11-24", Files: 1},
	}, Promised: tipbox.Promised{State: tipbox.StateReceived, AcknowledgeBy: "2026-11-29"}}
	if diff := cmp.Diff(wantThread, thread); diff != "" {
		t.Error(diff)
	}
	tip := o.Open("bob", id)
	if got := tip.Messages[1]; got.By != "alice" || got.From != "desk" || got.Text != "Which account? "+canary {
		t.Errorf("bob reads alice's answer as %+v", got)
	}
	if got := tip.Messages[2].Text; got != "Account 7. "+canary {
		t.Errorf("bob reads %q", got)
	}
}

// send sends a form's token with a text and files.
func send(o *tipboxtest.Org, token string, sub tipbox.Submission, files ...tipboxtest.File) (*receipt.Code, error) {
	d, err := o.Service.NewTip(ctx, token)
	if err != nil {
		return nil, err
	}
	defer d.Abort()
	for _, f := range files {
		if err := d.Attach(ctx, f.Name, f.Type, strings.NewReader(f.Content)); err != nil {
			return nil, err
		}
	}
	return o.Service.Submit(ctx, d, sub)
}

func token(t *testing.T, s *tipbox.Service) string {
	t.Helper()
	token, err := s.FormToken(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestSubmitTwiceIsOneTip(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	form := token(t, o.Service)
	sub := tipbox.Submission{Channel: "off-book-funds", Text: canary}
	first, err := send(o, form, sub, files()...)
	if err != nil {
		t.Fatal(err)
	}
	again, err := send(o, form, sub, files()...)
	if err != nil {
		t.Fatal(err)
	}
	if first.Digits() != again.Digits() {
		t.Error("the second receipt is another")
	}
	if items := o.Inbox("alice"); len(items) != 1 || items[0].Messages != 1 || items[0].Files != 2 {
		t.Errorf("inbox: %+v", items)
	}
}

func TestSubmitTwiceAtOnceIsOneTip(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	form := token(t, o.Service)
	codes := make([]string, 8)
	var wg sync.WaitGroup
	for i := range codes {
		wg.Go(func() {
			code, err := send(o, form, tipbox.Submission{Channel: "off-book-funds", Text: canary}, files()...)
			if err != nil {
				t.Error(err)
				return
			}
			codes[i] = code.Digits()
		})
	}
	wg.Wait()
	if len(slices.Compact(codes)) != 1 {
		t.Error("the receipts differ")
	}
	if items := o.Inbox("alice"); len(items) != 1 || items[0].Messages != 1 {
		t.Errorf("inbox: %+v", items)
	}
}

func TestSameFormWithAnotherTextIsAFollowUp(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	form := token(t, o.Service)
	sub := tipbox.Submission{Channel: "off-book-funds", Text: "one"}
	first, err := send(o, form, sub)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		sub.Text = "one, and more"
		again, err := send(o, form, sub, files()...)
		if err != nil {
			t.Fatal(err)
		}
		if first.Digits() != again.Digits() {
			t.Error("the second receipt is another")
		}
	}
	tip := o.Open("alice", o.Inbox("alice")[0].Tip)
	if len(tip.Messages) != 2 || tip.Messages[1].Text != "one, and more" || len(tip.Messages[1].Files) != 2 {
		t.Errorf("messages: %+v", tip.Messages)
	}
	if got := content(t, o, "alice", tip, tip.Messages[1].Files[0]); got != files()[0].Content {
		t.Error("the follow-up's file is not what was sent")
	}
}

func TestSameFormForOtherReadersIsRefused(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	form := token(t, o.Service)
	if _, err := send(o, form, tipbox.Submission{Channel: "off-book-funds", Text: "one"}); err != nil {
		t.Fatal(err)
	}
	_, err := send(o, form, tipbox.Submission{Channel: "off-book-funds", Text: "it is about Bob", LeaveOut: []string{"bob"}}, files()...)
	wantErr(t, err, tipbox.ErrReadersChanged)
	_, err = send(o, form, tipbox.Submission{Channel: "bribery", Text: "one, rather there"})
	wantErr(t, err, tipbox.ErrReadersChanged)
	// Also if the text is the same: a receipt would say that Bob is left out.
	_, err = send(o, form, tipbox.Submission{Channel: "off-book-funds", Text: "one", LeaveOut: []string{"bob"}})
	wantErr(t, err, tipbox.ErrReadersChanged)
	_, err = send(o, form, tipbox.Submission{Channel: "bribery", Text: "one"})
	wantErr(t, err, tipbox.ErrReadersChanged)
	if got := len(o.Open("bob", o.Inbox("bob")[0].Tip).Messages); got != 1 {
		t.Errorf("bob reads %d messages, want 1", got)
	}
}

func TestFollowUpTwiceIsOneMessage(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("one")
	nonce := tipbox.NewNonce()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			d, err := o.Service.Reopen(ctx, code)
			if err != nil {
				t.Error(err)
				return
			}
			defer d.Abort()
			if err := d.Attach(ctx, "a", "", strings.NewReader("b")); err != nil {
				t.Error(err)
			}
			// Two different messages, each sent four times.
			if err := o.Service.FollowUp(ctx, d, nonce, "en", fmt.Sprint("message ", i%2)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := o.Inbox("alice")[0]; got.Messages != 3 || got.Files != 2 {
		t.Errorf("inbox: %+v", got)
	}
}

func TestWhoIsLeftOutLearnsNothing(t *testing.T) {
	for _, leaveOut := range []string{"bob", tipbox.LeaveOutUnit("Inspectorate")} {
		o := tipboxtest.New(t, tipboxtest.Config{})
		code, err := o.Service.Submit(ctx, o.Draft(files()...), tipbox.Submission{
			Channel: "off-book-funds", Text: "It is about Bob.", LeaveOut: []string{leaveOut},
		})
		if err != nil {
			t.Fatal(err)
		}
		id := o.Inbox("alice")[0].Tip
		refusedAll(t, o, "bob", id)
		tip := o.Open("alice", id)
		file, err := o.Service.Tip(ctx, o.Member("alice"), id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Slots.Open(id, o.Key("bob").Identity()); err == nil {
			t.Error("bob has a keyslot")
		}
		if got := tip.Messages[0].Text; got != "It is about Bob." {
			t.Errorf("alice reads %q", got)
		}
		// What comes later is not for bob either.
		d, err := o.Service.Reopen(ctx, code)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Service.FollowUp(ctx, d, tipbox.NewNonce(), "en", "more"); err != nil {
			t.Fatal(err)
		}
		refusedAll(t, o, "bob", id)
	}
}

// refusedAll checks that a member can see nothing of a tip, and that the tip
// looks to them as one that does not exist.
func refusedAll(t *testing.T, o *tipboxtest.Org, name, id string) {
	t.Helper()
	m := o.Member(name)
	if items, _, err := o.Service.Inbox(ctx, m, tipbox.InboxFilter{}, "", 10); err == nil && len(items) > 0 {
		t.Errorf("%s has an inbox: %+v", name, items)
	}
	blob := ""
	for name := range o.Stored() {
		if b, ok := strings.CutPrefix(name, "blob "); ok {
			blob = b
		}
	}
	const missing = "aaaaaaaaaaaaaaaa"
	for call, f := range map[string]func(id string) error{
		"Tip":        func(id string) error { _, err := o.Service.Tip(ctx, m, id); return err },
		"Attachment": func(id string) error { _, err := o.Service.Attachment(ctx, m, id, blob); return err },
		"Append":     func(id string) error { return o.Service.Append(ctx, m, id, []byte("x"), nil) },
	} {
		there, notThere := f(id), f(missing)
		if there == nil || notThere == nil {
			t.Errorf("%s lets %s in", call, name)
			continue
		}
		if got, want := strings.ReplaceAll(there.Error(), id, missing), notThere.Error(); got != want {
			t.Errorf("%s tells %s that the tip exists: %q, else %q", call, name, got, want)
		}
	}
}

func TestMemberWithoutTheChannelLearnsNothing(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Enter("dora", &roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{"bribery"}})
	o.Install()
	o.Submit("one", files()...)
	id := o.Inbox("alice")[0].Tip
	refusedAll(t, o, "dora", id)
	refusedAll(t, o, "carol", id)
	refusedAll(t, o, "peter", id)
	_, _, err := o.Service.Inbox(ctx, o.Member("peter"), tipbox.InboxFilter{}, "", 10)
	wantErr(t, err, tipbox.ErrForbidden)

	// Alice loses the channel and with it the tip, though she has a keyslot.
	o.Enter("alice", &roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{"bribery"}})
	o.Install()
	refusedAll(t, o, "alice", id)
}

func TestWhatSaysNothingIsRefused(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{MaxFile: 1000})
	before := len(o.Stored())
	for name, c := range map[string]struct {
		sub   tipbox.Submission
		files []tipboxtest.File
		want  error
	}{
		"empty":         {sub: tipbox.Submission{Channel: "off-book-funds", Text: " \r\n\t"}, want: tipbox.ErrEmpty},
		"too long":      {sub: tipbox.Submission{Channel: "off-book-funds", Text: strings.Repeat("金", tipbox.MaxText+1)}, want: tipbox.ErrTooLong},
		"no channel":    {sub: tipbox.Submission{Text: "x"}, want: tipbox.ErrChannel},
		"unread":        {sub: tipbox.Submission{Channel: "unread", Text: "x"}, want: tipbox.ErrChannel},
		"all left out":  {sub: tipbox.Submission{Channel: "bribery", Text: "x", LeaveOut: []string{"bob"}}, want: tipbox.ErrNoReaders},
		"file too long": {sub: tipbox.Submission{Channel: "bribery", Text: "x"}, files: []tipboxtest.File{{Content: "short"}, {Content: strings.Repeat("x", 1001)}}, want: tipbox.ErrFileTooLarge},
		"many names":    {sub: tipbox.Submission{Channel: "bribery", Text: strings.Repeat("<", tipbox.MaxText)}, files: slices.Repeat([]tipboxtest.File{{Name: strings.Repeat("<", 300)}}, 20), want: tipbox.ErrTooManyFiles},
	} {
		_, err := send(o, token(t, o.Service), c.sub, c.files...)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
	if after := o.Stored(); len(after) != before+2 { // the form key, and the sequence
		t.Errorf("%d records and blobs, before %d", len(after), before)
	}
	// The edges themselves are fine.
	sub := tipbox.Submission{Channel: "bribery", Text: strings.Repeat("<", tipbox.MaxText)}
	if _, err := send(o, token(t, o.Service), sub, tipboxtest.File{Content: strings.Repeat("x", 1000)}); err != nil {
		t.Error(err)
	}
	if _, err := send(o, token(t, o.Service), tipbox.Submission{Channel: "bribery"}, tipboxtest.File{Name: "alone"}); err != nil {
		t.Errorf("a file without a text: %v", err)
	}
}

func TestTooManyFilesAreRefused(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	d := o.Draft()
	defer d.Abort()
	for range tipbox.MaxFiles {
		if err := d.Attach(ctx, "n", "", strings.NewReader("")); err != nil {
			t.Fatal(err)
		}
	}
	wantErr(t, d.Attach(ctx, "n", "", strings.NewReader("")), tipbox.ErrTooManyFiles)
}

func TestUnsentDraftLeavesNothing(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	token(t, o.Service)
	before := o.Stored()
	d := o.Draft(files()...)
	broken := io.MultiReader(strings.NewReader(canary), errReader{})
	wantErr(t, d.Attach(ctx, "half", "", broken), errBroken)
	d.Abort()
	if diff := cmp.Diff(before, o.Stored()); diff != "" {
		t.Error(diff)
	}
}

var errBroken = errors.New("line broke")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errBroken }

func TestUnknownAndErasedCodesAreOneError(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("one")
	_, unknown := o.Service.Thread(ctx, receipt.New())
	wantErr(t, unknown, tipbox.ErrNoThread)
	for name := range o.Stored() {
		if key, ok := strings.CutPrefix(name, "record "); ok && !strings.HasPrefix(key, "meta/") && !strings.HasPrefix(key, "form/") {
			if err := o.Store.Apply(ctx, store.Delete(store.Key(key))); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, erased := o.Service.Thread(ctx, code)
	if erased == nil || erased.Error() != unknown.Error() {
		t.Errorf("erased: %v, unknown: %v", erased, unknown)
	}
	_, err := o.Service.Reopen(ctx, code)
	wantErr(t, err, tipbox.ErrNoThread)
}

func TestRecordsHoldDaysAndNoTimes(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Clock.Advance(97*time.Minute + 42*time.Second + 123456789)
	code := o.Submit("one", files()...)
	o.Reply("alice", o.Inbox("alice")[0].Tip, "two")
	_ = o.Service.Session(code)
	now := o.Clock.Now()
	times := regexp.MustCompile(`\d\d:\d\d|` + fmt.Sprint(now.Unix()/1000))
	for name, value := range o.Stored() {
		if !strings.HasPrefix(name, "record ") || strings.HasPrefix(name, "record sealed/") {
			continue
		}
		if found := times.Find(value); found != nil {
			t.Errorf("%s holds what looks like a time: %q", name, found)
		}
	}
}

func TestInboxGivesPagesNewestFirst(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	var codes []*receipt.Code
	for i := range 12 {
		channel := []string{"off-book-funds", "bribery"}[i%2]
		code, err := o.Service.Submit(ctx, o.Draft(), tipbox.Submission{Channel: channel, Text: fmt.Sprint(i), LeaveOut: map[bool][]string{true: {"bob"}}[i == 4]})
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, code)
		o.Clock.Advance(24 * time.Hour)
	}
	if got := o.Inbox("alice"); len(got) != 6 {
		t.Errorf("alice sees %d tips, want 6", len(got))
	}
	all := o.Inbox("bob")
	if len(all) != 11 || !slices.IsSortedFunc(all, func(a, b tipbox.InboxItem) int { return strings.Compare(b.News, a.News) }) {
		t.Errorf("bob's inbox: %+v", all)
	}
	for limit := 1; limit <= 12; limit++ {
		var paged []tipbox.InboxItem
		for cursor := ""; ; {
			items, next, err := o.Service.Inbox(ctx, o.Member("bob"), tipbox.InboxFilter{}, cursor, limit)
			if err != nil {
				t.Fatal(err)
			}
			paged = append(paged, items...)
			if cursor = next; cursor == "" {
				break
			}
			if len(items) != limit {
				t.Fatalf("a page of %d, want %d", len(items), limit)
			}
		}
		if diff := cmp.Diff(all, paged); diff != "" {
			t.Errorf("pages of %d: %s", limit, diff)
		}
	}
	d, err := o.Service.Reopen(ctx, codes[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Service.FollowUp(ctx, d, "n", "en", "news"); err != nil {
		t.Fatal(err)
	}
	if first := o.Inbox("bob")[0]; first.Messages != 2 || first.Day != "2026-11-22" || first.News != "2026-12-04" {
		t.Errorf("first of the inbox: %+v", first)
	}
}

func TestRosterOlderThanOneSeenIsRefused(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	old := o.Service.SignedRoster()
	o.Strike("bob")
	o.Install()
	if o.Member("bob") != nil {
		t.Fatal("bob is still in force")
	}
	wantErr(t, o.Service.InstallRoster(ctx, old), roster.ErrOlder)
	// Also by a process that was not there when the newer one came.
	other, err := tipbox.New(tipbox.Config{Store: o.Store, Blobs: o.Blobs, Root: o.Root.Verifier()})
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, other.InstallRoster(ctx, old), roster.ErrOlder)
	if err := other.InstallRoster(ctx, o.Service.SignedRoster()); err != nil {
		t.Error(err)
	}
	key, err := roster.NewSigningKey("root")
	if err != nil {
		t.Fatal(err)
	}
	forged, err := o.Service.Roster().Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, o.Service.InstallRoster(ctx, forged), roster.ErrSignature)
}

func TestWhatFormerMembersSignedStillVerifies(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("one")
	id := o.Inbox("alice")[0].Tip
	o.Reply("alice", id, "by alice")
	alice, member, before := o.Key("alice"), o.Member("alice"), o.Service.Roster()
	o.Strike("alice")
	o.Install()
	d, err := o.Service.Reopen(ctx, code)
	if err == nil {
		err = o.Service.FollowUp(ctx, d, "n", "en", "two")
	}
	if err != nil {
		t.Fatal(err)
	}
	if m := o.Open("bob", id).Messages; len(m) != 3 || m[1].By != "alice" || m[1].Text != "by alice" {
		t.Errorf("bob reads %+v", m)
	}
	if _, err := o.Service.Thread(ctx, code); err != nil {
		t.Error(err)
	}
	// But she signs nothing new.
	file, err := o.Service.Tip(ctx, o.Member("bob"), id)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := tipbox.OpenTip(file, id, alice, before)
	if err != nil {
		t.Fatal(err)
	}
	note, sealed, err := opened.Reply(alice, o.Service.Today(), "one more")
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, o.Service.Append(ctx, member, id, note, sealed), tipbox.ErrForbidden)
}

func TestFailedWriteLosesNoFile(t *testing.T) {
	for _, after := range []bool{false, true} {
		failing := &failingStore{after: after}
		o := tipboxtest.New(t, tipboxtest.Config{Store: failing.wrap()})
		// So that there are numbers of the sequence.
		if _, err := send(o, token(t, o.Service), tipbox.Submission{Channel: "bribery", Text: "zero"}); err != nil {
			t.Fatal(err)
		}
		form := token(t, o.Service)
		sub := tipbox.Submission{Channel: "off-book-funds", Text: "one"}
		failing.fail = true
		_, err := send(o, form, sub, files()...)
		wantErr(t, err, errFull)
		failing.fail = false
		blobs := 0
		for name := range o.Stored() {
			if strings.HasPrefix(name, "blob ") {
				blobs++
			}
		}
		if want := map[bool]int{false: 0, true: 2}[after]; blobs != want {
			t.Errorf("written %v: %d blobs after the failure, want %d", after, blobs, want)
		}
		code, err := send(o, form, sub, files()...)
		if err != nil {
			t.Fatal(err)
		}
		failing.fail = true
		more := func() error {
			d, err := o.Service.Reopen(ctx, code)
			if err != nil {
				return err
			}
			defer d.Abort()
			o.Attach(d, files()[0])
			return o.Service.FollowUp(ctx, d, "nonce", "en", "two")
		}
		wantErr(t, more(), errFull)
		failing.fail = false
		if err := more(); err != nil {
			t.Fatal(err)
		}
		tip := o.Open("alice", o.Inbox("alice")[0].Tip)
		if len(tip.Messages) != 2 {
			t.Fatalf("%d messages", len(tip.Messages))
		}
		for _, m := range tip.Messages {
			if got := content(t, o, "alice", tip, m.Files[0]); got != files()[0].Content {
				t.Errorf("written %v: message %d lost its file", after, m.Number)
			}
		}
	}
}

func TestSameFormWithAnotherFileOfTheSameNameIsAFollowUp(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	form := token(t, o.Service)
	sub := tipbox.Submission{Channel: "off-book-funds", Text: "one"}
	for _, content := range []string{"wrong page", "right page", "right page"} {
		if _, err := send(o, form, sub, tipboxtest.File{Name: "scan", Content: content}); err != nil {
			t.Fatal(err)
		}
	}
	tip := o.Open("alice", o.Inbox("alice")[0].Tip)
	if len(tip.Messages) != 2 || content(t, o, "alice", tip, tip.Messages[1].Files[0]) != "right page" {
		t.Errorf("messages: %+v", tip.Messages)
	}
}

func TestLeavingOutNobodyWeKnowIsRefused(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	for _, leaveOut := range []string{"bobby", "Inspectorate", tipbox.LeaveOutUnit("inspectorate"), tipbox.LeaveOutUnit(""), "peter", ""} {
		_, err := send(o, token(t, o.Service), tipbox.Submission{Channel: "off-book-funds", Text: "x", LeaveOut: []string{"bob", leaveOut}})
		wantErr(t, err, tipbox.ErrRosterChanged)
	}
	// Who reads another channel only may be left out all the same.
	o.Enter("dora", &roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{"bribery"}})
	o.Install()
	if _, err := send(o, token(t, o.Service), tipbox.Submission{Channel: "off-book-funds", Text: "x", LeaveOut: []string{"dora"}}); err != nil {
		t.Error(err)
	}
}

func TestWhoCameAfterTheFormGetsNothingOfIt(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	form, sent := token(t, o.Service), token(t, o.Service)
	sub := tipbox.Submission{Channel: "off-book-funds", Text: "it is about Dora"}
	first, err := send(o, sent, sub)
	if err != nil {
		t.Fatal(err)
	}
	o.Enter("dora", &roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{"off-book-funds"}})
	o.Install()
	_, err = send(o, form, sub)
	wantErr(t, err, tipbox.ErrRosterChanged)
	if items := o.Inbox("dora"); len(items) != 0 {
		t.Errorf("dora's inbox: %+v", items)
	}
	// A form that was sent before still finds its receipt, or says why not.
	again, err := send(o, sent, sub)
	if err != nil || again.Digits() != first.Digits() {
		t.Errorf("the form sent again: %v", err)
	}
}
