package tipbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// gone checks that of a tip nothing is left but that it was erased, and by whom.
func gone(t *testing.T, o *tipboxtest.Org, id, by string) {
	t.Helper()
	for name, value := range o.Stored() {
		if !strings.Contains(name, id) && !strings.Contains(string(value), id) {
			continue
		}
		if name != "record erased/"+id || !strings.Contains(string(value), `"by":"`+by+`"`) || !strings.Contains(string(value), `"done":true`) {
			t.Errorf("%s is left: %.200s", name, value)
		}
	}
}

func TestSourceErasesWhatNobodyHasRead(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("one", files()...)
	id := o.Inbox("alice")[0].Tip // a look at the inbox is no reading
	d, err := o.Service.Reopen(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	o.Attach(d, files()[0])
	if err := o.Service.EraseOwn(ctx, code); err != nil {
		t.Fatal(err)
	}
	wantErr(t, o.Service.EraseOwn(ctx, code), tipbox.ErrNoThread)
	_, err = o.Service.Thread(ctx, code)
	wantErr(t, err, tipbox.ErrNoThread)
	_, err = o.Service.Tip(ctx, o.Member("alice"), id)
	wantErr(t, err, tipbox.ErrNotFound)
	if items := o.Inbox("alice"); len(items) != 0 {
		t.Errorf("inbox: %+v", items)
	}
	// What was on its way comes too late, and leaves nothing.
	wantErr(t, o.Service.FollowUp(ctx, d, "n", "en", "more"), tipbox.ErrNoThread)
	d.Abort()
	gone(t, o, id, "source")
}

func TestSourceDoesNotEraseWhatWasRead(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("one", files()...)
	id := o.Inbox("alice")[0].Tip
	if thread, err := o.Service.Thread(ctx, code); err != nil || thread.Read {
		t.Errorf("before: %+v, %v", thread, err)
	}
	o.Open("alice", id)
	if thread, err := o.Service.Thread(ctx, code); err != nil || !thread.Read {
		t.Errorf("after: %+v, %v", thread, err)
	}
	wantErr(t, o.Service.EraseOwn(ctx, code), tipbox.ErrForbidden)
	if got := len(o.Open("bob", id).Messages); got != 1 {
		t.Errorf("%d messages", got)
	}
}

func TestMemberErasesWhatTheySaw(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("one", files()...)
	id := o.Inbox("alice")[0].Tip
	opened := o.Open("alice", id)
	d, err := o.Service.Reopen(ctx, code)
	if err == nil {
		err = o.Service.FollowUp(ctx, d, "n", "en", "news")
	}
	if err != nil {
		t.Fatal(err)
	}
	erase := func(opened *tipbox.OpenedTip, signer, member string) error {
		t.Helper()
		note, err := opened.Erase(o.Key(signer), o.Service.Today())
		if err != nil {
			t.Fatal(err)
		}
		return o.Service.Append(ctx, o.Member(member), id, note, nil)
	}
	wantErr(t, erase(opened, "alice", "alice"), tipbox.ErrConflict) // there was news
	opened = o.Open("alice", id)
	wantErr(t, erase(opened, "alice", "bob"), tipbox.ErrForbidden)
	_, err = opened.Erase(o.Key("carol"), o.Service.Today())
	wantErr(t, err, tipbox.ErrForbidden) // her own tool
	wantErr(t, erase(openPretending(t, o, "alice", id, "carol", roster.Investigator), "carol", "carol"), tipbox.ErrNotFound)
	if err := erase(opened, "alice", "alice"); err != nil {
		t.Fatal(err)
	}
	gone(t, o, id, "alice")
	wantErr(t, erase(opened, "alice", "alice"), tipbox.ErrNotFound)
	// Her signature under it stays.
	rec, err := o.Store.Get(ctx, store.Key("erased/"+id))
	if err != nil || !strings.Contains(string(rec.Value), `\n\n— alice `) {
		t.Errorf("the erasure: %s, %v", rec.Value, err)
	}
}

func TestRuleErasesWhatWasDeclinedLongAgo(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{KeepDays: 10})
	day := func(n int) { o.Clock.Advance(time.Duration(n) * 24 * time.Hour) }
	retain := func(want int) {
		t.Helper()
		if n, err := o.Service.Retain(ctx); n != want || err != nil {
			t.Errorf("%d erased, %v, want %d", n, err, want)
		}
	}
	o.Submit("never answered")
	waiting := o.Inbox("alice")[0].Tip
	code := o.Submit("answered", files()...)
	var answered string
	for _, item := range o.Inbox("alice") {
		if item.Tip != waiting {
			answered = item.Tip
		}
	}
	day(5)
	o.Act("alice", answered, tipbox.Act{Action: tipbox.ActionDecline, Text: "not ours", Detail: &tipbox.Detail{Reason: tipbox.OutOfScope}})
	day(10)
	retain(0) // ten days are not over yet
	d, err := o.Service.Reopen(ctx, code)
	if err == nil {
		err = o.Service.FollowUp(ctx, d, "n", "en", "news on the last day")
	}
	if err != nil {
		t.Fatal(err)
	}
	day(1)
	retain(0) // there was news
	day(100)
	retain(0) // and it waits for an answer
	o.Reply("alice", answered, "another answer")
	o.Reply("alice", waiting, "an answer, and the case goes on")
	day(10)
	retain(0)
	o.Act("alice", answered, tipbox.Act{Action: tipbox.ActionHold, Text: "a court may want it"})
	day(100)
	retain(0)
	o.Act("alice", answered, tipbox.Act{Action: tipbox.ActionRelease, Text: "it does not"})
	day(10)
	retain(0)
	day(1)
	retain(1)
	gone(t, o, answered, tipbox.ErasedByRule)
	if items := o.Inbox("alice"); len(items) != 1 || items[0].Tip != waiting {
		t.Errorf("inbox: %+v", items)
	}
}

// dyingStore stops working after so many writes, as a process does that is
// killed between two of them.
type dyingStore struct {
	store.Store
	left int
}

var errDead = errors.New("killed")

func (d *dyingStore) Apply(ctx context.Context, changes ...store.Change) error {
	if d.left--; d.left < 0 {
		return errDead
	}
	return d.Store.Apply(ctx, changes...)
}

func TestErasureCutShortIsFinishedByTheNextStart(t *testing.T) {
	for left := range 8 {
		dying := &dyingStore{Store: mem.New(), left: 1000}
		o := tipboxtest.New(t, tipboxtest.Config{Store: dying})
		code := o.Submit("one", files()...)
		id := o.Inbox("alice")[0].Tip
		for range 70 { // more messages than one write takes
			d, err := o.Service.Reopen(ctx, code)
			if err == nil {
				err = o.Service.FollowUp(ctx, d, tipbox.NewNonce(), "en", "more")
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		dying.left = left
		err := o.Service.EraseOwn(ctx, code)
		dying.left = 1000
		if left == 0 {
			wantErr(t, err, errDead)
			if thread, err := o.Service.Thread(ctx, code); err != nil || len(thread.Messages) != 71 {
				t.Errorf("after no write: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = o.Service.Thread(ctx, code)
		wantErr(t, err, tipbox.ErrNoThread)
		if report, err := o.Service.Check(ctx); err != nil || len(report.Problems) > 0 || report.Erased != 1 {
			t.Errorf("%d writes: %+v, %v", left, report, err)
		}
		err = tipbox.EachFile(ctx, dying, func(event store.Record, f tipbox.EventFile) error {
			t.Errorf("%d writes: a copy of the store would want %s, of %s", left, f.Blob, event.Key)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if _, err := o.Service.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		gone(t, o, id, "source")
	}
}

func TestCompactOnceForAllThatADayErased(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	var codes []*receipt.Code
	for range 3 {
		codes = append(codes, o.Submit("one", files()...))
	}
	calls := 0
	compact := func(want bool, outcome error) {
		t.Helper()
		before := calls
		done, err := o.Service.Compact(ctx, func(context.Context) error {
			calls++
			return outcome
		})
		if called := calls > before; called != want || done != (want && outcome == nil) || !errors.Is(err, outcome) {
			t.Errorf("called %t, done %t, %v", called, done, err)
		}
	}
	erase := func(code *receipt.Code) {
		t.Helper()
		if err := o.Service.EraseOwn(ctx, code); err != nil {
			t.Fatal(err)
		}
	}
	compact(false, nil) // nothing was erased
	erase(codes[0])
	erase(codes[1])
	compact(false, nil) // today
	o.Clock.Advance(24 * time.Hour)
	compact(true, errDead)
	compact(true, nil)
	compact(false, nil)
	erase(codes[2])
	compact(false, nil)
	o.Clock.Advance(10 * 24 * time.Hour)
	// What is erased while it compacts is for the next day.
	code := o.Submit("two")
	done, err := o.Service.Compact(ctx, func(context.Context) error { return o.Service.EraseOwn(ctx, code) })
	if !done || err != nil {
		t.Errorf("done %t, %v", done, err)
	}
	compact(false, nil)
	o.Clock.Advance(24 * time.Hour)
	compact(true, nil)
	compact(false, nil)
}
