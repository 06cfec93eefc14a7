package tipbox_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// clone is a deep copy of what the server sends of a tip.
func clone(t *testing.T, f *tipbox.TipFile) *tipbox.TipFile {
	t.Helper()
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	c := new(tipbox.TipFile)
	if err := json.Unmarshal(data, c); err != nil {
		t.Fatal(err)
	}
	return c
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// event signs an event as a server with a key of its own could.
func event(t *testing.T, key *roster.SigningKey, e tipbox.Event) string {
	t.Helper()
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	note, err := key.Sign("tipbox event v1\n" + string(data) + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return string(note)
}

// TestLyingServerIsCaught lets a server do what it can with what it stores.
// Every lie must be an error of OpenTip or of the message, never a text.
func TestLyingServerIsCaught(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("first of one", files()...)
	id := o.Inbox("alice")[0].Tip
	o.Reply("alice", id, "second of one")
	d, err := o.Service.Reopen(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Service.FollowUp(ctx, d, "n", "en", "third of one"); err != nil {
		t.Fatal(err)
	}
	o.Submit("first of two")
	other := o.Inbox("alice")[0].Tip
	if other == id {
		other = o.Inbox("alice")[1].Tip
	}
	good, err := o.Service.Tip(ctx, o.Member("alice"), id)
	if err != nil {
		t.Fatal(err)
	}
	two, err := o.Service.Tip(ctx, o.Member("alice"), other)
	if err != nil {
		t.Fatal(err)
	}
	mallory, err := roster.SigningKeyFrom("source", receipt.New().SigningKey())
	if err != nil {
		t.Fatal(err)
	}
	malloryReply, err := receipt.New().ReplyIdentity()
	if err != nil {
		t.Fatal(err)
	}
	tipKey := o.Open("alice", id).Slot.Key.Recipient()
	sealMessage := func(text string) []byte {
		sealed, err := seal.Message([]byte(text), tipKey)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	readers := []*seal.Recipient{o.Member("alice").Card.Recipient}
	freshKey, err := seal.NewTipKey()
	if err != nil {
		t.Fatal(err)
	}

	if _, err := tipbox.OpenTip(clone(t, good), id, o.Key("alice"), o.Service.Roster()); err != nil {
		t.Fatalf("the tip as it is: %v", err)
	}
	for lie, f := range map[string]func(f *tipbox.TipFile){
		"another tip in its place": func(f *tipbox.TipFile) { *f = *clone(t, two) },
		"another tip's slots":      func(f *tipbox.TipFile) { f.Slots = two.Slots },
		"another tip's events":     func(f *tipbox.TipFile) { f.Events = two.Events },
		"another tip's last event": func(f *tipbox.TipFile) { f.Events = append(f.Events, two.Events[0]) },
		"no slots":                 func(f *tipbox.TipFile) { f.Slots = nil },
		"no events":                func(f *tipbox.TipFile) { f.Events = nil },
		"the first event dropped":  func(f *tipbox.TipFile) { f.Events = f.Events[1:] },
		"an event dropped":         func(f *tipbox.TipFile) { f.Events = append(f.Events[:1:1], f.Events[2:]...) },
		"events in another order":  func(f *tipbox.TipFile) { f.Events[1], f.Events[2] = f.Events[2], f.Events[1] },
		"an event said to be lost": func(f *tipbox.TipFile) { f.Events[1].Note = "" },
		"the end said to be lost":  func(f *tipbox.TipFile) { f.Events[2].Note, f.Head = "", sha(nil) },
		"all said to be lost":      func(f *tipbox.TipFile) { f.Events[0].Note, f.Events[1].Note, f.Events[2].Note = "", "", "" },
		"an event twice":           func(f *tipbox.TipFile) { f.Events = append(f.Events, f.Events[2]) },
		"a signature cut off":      func(f *tipbox.TipFile) { f.Events[1].Note, _, _ = strings.Cut(f.Events[1].Note, "— ") },
		"a day changed": func(f *tipbox.TipFile) {
			f.Events[2].Note = strings.Replace(f.Events[2].Note, "2026-11-22", "2026-11-21", 1)
		},
		"a message changed":  func(f *tipbox.TipFile) { f.Events[2].Sealed[len(f.Events[2].Sealed)-1] ^= 1 },
		"a message withheld": func(f *tipbox.TipFile) { f.Events[2].Sealed = nil },
		"messages swapped": func(f *tipbox.TipFile) {
			f.Events[0].Sealed, f.Events[2].Sealed = f.Events[2].Sealed, f.Events[0].Sealed
		},
		"a message of the server's own": func(f *tipbox.TipFile) {
			f.Events[2].Sealed = sealMessage(`{"v":1,"tip":"` + id + `","number":3,"text":"forged"}`)
		},
		"an answer of the server's own": func(f *tipbox.TipFile) {
			f.Events[1].Sealed = sealMessage(`{"v":1,"tip":"` + id + `","number":2,"text":"forged"}`)
		},
		"the server's reply recipient": func(f *tipbox.TipFile) { f.Reply = malloryReply.Recipient().String() },
		"an event of another source": func(f *tipbox.TipFile) {
			sealed := sealMessage(`{"v":1,"tip":"` + id + `","number":4,"text":"forged"}`)
			f.Events = append(f.Events, tipbox.SealedEvent{Sealed: sealed, Note: event(t, mallory, tipbox.Event{
				Tip: id, Number: 4, Action: tipbox.ActionMessage, Day: "2026-11-22", Before: sha([]byte(f.Events[2].Note)), Sealed: sha(sealed),
			})})
		},
		"an answer signed by the source's name": func(f *tipbox.TipFile) {
			f.Events = append(f.Events, tipbox.SealedEvent{Note: event(t, mallory, tipbox.Event{
				Tip: id, Number: 4, Action: tipbox.ActionReply, Day: "2026-11-22", Before: sha([]byte(f.Events[2].Note)), Sealed: sha(nil),
			})})
		},
		// The whole tip made anew, but for the text, which the server does
		// not know: the old messages do not open with a key of its own.
		"another tip key": func(f *tipbox.TipFile) {
			slots, err := seal.SealKeyslots(seal.NewKeyslot("off-book-funds", o.Open("alice", id).Slot.Source, freshKey), readers...)
			if err != nil {
				t.Fatal(err)
			}
			f.Slots = slots
		},
	} {
		t.Run(lie, func(t *testing.T) {
			file := clone(t, good)
			f(file)
			opened, err := tipbox.OpenTip(file, id, o.Key("alice"), o.Service.Roster())
			if err != nil {
				return
			}
			for i, m := range opened.Messages {
				if m.Err == nil && m.Text != []string{"first of one", "second of one", "third of one"}[i] {
					t.Errorf("message %d is %q", i+1, m.Text)
				}
				if m.Err != nil {
					return
				}
			}
			t.Error("nothing was noticed")
		})
	}
	lost := clone(t, good)
	lost.Events[0].Note, lost.Reply = "", malloryReply.Recipient().String()
	opened, err := tipbox.OpenTip(lost, id, o.Key("alice"), o.Service.Roster())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := opened.Reply(o.Key("alice"), "2026-11-22", "to whom?"); err == nil {
		t.Error("an answer to whom the server names")
	}
	// Leaving out the end is not noticed here: that takes a memory of the
	// last event seen, which comes with cases.
}

func TestServerRefusesEventsThatDoNotFit(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Submit("one", files()...)
	id := o.Inbox("alice")[0].Tip
	alice, bob := o.Key("alice"), o.Key("bob")
	tip := o.Open("alice", id)
	note, sealed, err := tip.Reply(alice, "2026-11-22", "an answer")
	if err != nil {
		t.Fatal(err)
	}
	first, err := o.Service.Tip(ctx, o.Member("alice"), id)
	if err != nil {
		t.Fatal(err)
	}
	fits := tipbox.Event{
		Tip: id, Number: 2, Action: tipbox.ActionReply, Day: "2026-11-22",
		Before: sha([]byte(first.Events[0].Note)), Sealed: sha(sealed),
	}
	with := func(change func(*tipbox.Event)) []byte {
		e := fits
		change(&e)
		return []byte(event(t, alice.SigningKey, e))
	}
	before := o.Stored()
	for name, c := range map[string]struct {
		note, sealed []byte
		want         error
	}{
		"another's signature": {[]byte(event(t, bob.SigningKey, fits)), sealed, tipbox.ErrForbidden},
		"a stranger's":        {[]byte(event(t, o.Root, fits)), sealed, tipbox.ErrForbidden},
		"no signature":        {[]byte(strings.Split(string(note), "\n— ")[0]), sealed, tipbox.ErrForbidden},
		"another message":     {note, []byte("other"), tipbox.ErrInvalid},
		"the source's action": {with(func(e *tipbox.Event) { e.Action = tipbox.ActionMessage }), sealed, tipbox.ErrForbidden},
		"no action":           {with(func(e *tipbox.Event) { e.Action = "dance" }), sealed, tipbox.ErrInvalid},
		"a number too high":   {with(func(e *tipbox.Event) { e.Number = 3 }), sealed, tipbox.ErrInvalid},
		"a number taken":      {with(func(e *tipbox.Event) { e.Number, e.Action = 1, tipbox.ActionTip; e.Before = ""; e.Reply = sha(nil) }), sealed, tipbox.ErrForbidden},
		"another past":        {with(func(e *tipbox.Event) { e.Before = sha(nil) }), sealed, tipbox.ErrInvalid},
		"another tip":         {with(func(e *tipbox.Event) { e.Tip = "aaaaaaaaaaaaaaaa" }), sealed, tipbox.ErrInvalid},
		"a day long past":     {with(func(e *tipbox.Event) { e.Day = "2026-11-20" }), sealed, tipbox.ErrInvalid},
		"a day to come":       {with(func(e *tipbox.Event) { e.Day = "2026-11-24" }), sealed, tipbox.ErrInvalid},
		"no day":              {with(func(e *tipbox.Event) { e.Day = "today" }), sealed, tipbox.ErrInvalid},
		"a file": {with(func(e *tipbox.Event) {
			e.Files = []tipbox.EventFile{{Blob: id + "aaaaaaaa", Sealed: 1, SHA256: sha(nil)}}
		}), sealed, tipbox.ErrInvalid},
		"nothing":  {nil, nil, tipbox.ErrInvalid},
		"too long": {note, make([]byte, 1<<20), tipbox.ErrTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			wantErr(t, o.Service.Append(ctx, o.Member("alice"), id, c.note, c.sealed), c.want)
		})
	}
	for key, value := range o.Stored() {
		if string(before[key]) != string(value) {
			t.Errorf("%s has changed", key)
		}
	}
	if err := o.Service.Append(ctx, o.Member("alice"), id, note, sealed); err != nil {
		t.Errorf("the one that fits: %v", err)
	}
	wantErr(t, o.Service.Append(ctx, o.Member("alice"), id, note, sealed), tipbox.ErrConflict)
	note, sealed, err = o.Open("bob", id).Reply(bob, "2026-11-23", "from where it is tomorrow already")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Service.Append(ctx, o.Member("bob"), id, note, sealed); err != nil {
		t.Error(err)
	}
	// The next event cannot be dated before it, also not the source's.
	o.Reply("alice", id, "later")
}

func TestTwoAnswersAtOnceAreOneAndARefusal(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Submit("one")
	id := o.Inbox("alice")[0].Tip
	results, start := make(chan error, 2), make(chan struct{})
	for _, name := range []string{"alice", "bob"} {
		note, sealed, err := o.Open(name, id).Reply(o.Key(name), "2026-11-22", "by "+name)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-start
			results <- o.Service.Append(ctx, o.Member(name), id, note, sealed)
		}()
	}
	close(start)
	one, two := <-results, <-results
	if one == nil {
		one, two = two, one
	}
	wantErr(t, one, tipbox.ErrConflict)
	if two != nil {
		t.Error(two)
	}
}

// TestCheckNamesWhatIsDamaged alters each record and each blob in turn.
func TestCheckNamesWhatIsDamaged(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Submit("one", files()...)
	id := o.Inbox("alice")[0].Tip
	o.Reply("alice", id, "two")
	report := func() *tipbox.Report {
		t.Helper()
		r, err := o.Service.Check(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := report(); r.Tips != 1 || r.Messages != 2 || r.Files != 2 || len(r.Problems) > 0 {
		t.Fatalf("the whole store: %+v", r)
	}
	for name := range o.Stored() {
		key, ok := strings.CutPrefix(name, "record ")
		if !ok || strings.HasPrefix(key, "meta/") {
			continue
		}
		k := store.Key(key)
		rec, err := o.Store.Get(ctx, k)
		if err != nil {
			t.Fatal(err)
		}
		altered := bytes.Clone(rec.Value)
		if len(altered) == 0 { // as a line that only leads to a tip
			altered = []byte{0}
		}
		altered[0] ^= 1
		if err := o.Store.Apply(ctx, store.Put(k, altered)); err != nil {
			t.Fatal(err)
		}
		if len(report().Problems) == 0 {
			t.Errorf("record %s altered: nothing was noticed", key)
		}
		if err := o.Store.Apply(ctx, store.Delete(k)); err != nil {
			t.Fatal(err)
		}
		if len(report().Problems) == 0 && !strings.HasPrefix(key, "form/") {
			t.Errorf("record %s deleted: nothing was noticed", key)
		}
		if err := o.Store.Apply(ctx, store.Put(k, rec.Value)); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range o.Stored() {
		blob, ok := strings.CutPrefix(name, "blob ")
		if !ok {
			continue
		}
		put := func(content []byte) {
			t.Helper()
			w, err := o.Blobs.Create(ctx, blob)
			if err == nil {
				_, err = w.Write(content)
			}
			if err == nil {
				err = w.Commit()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		flipped := append([]byte(nil), content...)
		flipped[len(flipped)/2] ^= 4
		for what, altered := range map[string][]byte{"flipped": flipped, "cut": content[:len(content)-1], "gone": nil} {
			if err := o.Blobs.Remove(ctx, blob); err != nil {
				t.Fatal(err)
			}
			if altered != nil {
				put(altered)
			}
			if len(report().Problems) != 1 {
				t.Errorf("blob %s: problems %v, want one", what, report().Problems)
			}
			if err := o.Blobs.Remove(ctx, blob); err != nil {
				t.Fatal(err)
			}
			put(content)
		}
	}
	if err := o.Store.Apply(ctx, store.Put("stray", nil)); err != nil {
		t.Fatal(err)
	}
	if len(report().Problems) != 1 {
		t.Error("a stray record was not noticed")
	}
	if err := o.Store.Apply(ctx, store.Delete("stray")); err != nil {
		t.Fatal(err)
	}
}

func TestSweepRemovesWhatNoMessageNames(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Submit("one", files()...)
	id := o.Inbox("alice")[0].Tip
	for _, name := range []string{id + "aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "0000000000000000"} {
		w, err := o.Blobs.Create(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := o.Service.Check(ctx); err != nil || len(r.Orphans) != 3 || len(r.Problems) != 0 {
		t.Errorf("check: %+v, %v", r, err)
	}
	if n, err := o.Service.Sweep(ctx); n != 3 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if got := content(t, o, "alice", o.Open("alice", id), o.Open("alice", id).Messages[0].Files[0]); got != files()[0].Content {
		t.Error("a file that is named was swept")
	}
}

// TestWhoCouldNotSignIsNotHeard lets a server with the keys of members who may
// not answer write into a thread: what it seals opens, but counts for nothing,
// and hides nothing. What no member ever signed is refused.
func TestWhoCouldNotSignIsNotHeard(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Enter("dora", &roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{"bribery"}})
	o.Install()
	o.Submit("one")
	id := o.Inbox("alice")[0].Tip
	good, err := o.Service.Tip(ctx, o.Member("alice"), id)
	if err != nil {
		t.Fatal(err)
	}
	o.Strike("bob") // on 2026-11-22
	o.Install()
	sealed, err := seal.Message([]byte(`{"v":1,"tip":"`+id+`","number":2,"text":"forged"}`), o.Open("alice", id).Slot.Key.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		by, day string
		why     string
	}{
		{"alice", "2026-11-23", ""},
		{"bob", "2026-11-22", ""}, // still a member on that day
		{"bob", "2026-11-23", "the key that signed it might not reply in channel off-book-funds on 2026-11-23"},
		{"carol", "2026-11-22", "might not reply"}, // a reviewer
		{"dora", "2026-11-22", "might not reply"},  // of another channel
	} {
		file := clone(t, good)
		file.Events = append(file.Events, tipbox.SealedEvent{Sealed: sealed, Note: event(t, o.Key(c.by).SigningKey, tipbox.Event{
			Tip: id, Number: 2, Action: tipbox.ActionReply, Day: c.day, Before: sha([]byte(good.Events[0].Note)), Sealed: sha(sealed),
		})})
		opened, err := tipbox.OpenTip(file, id, o.Key("alice"), o.Service.Roster())
		if err != nil || opened.Messages[0].Text != "one" {
			t.Fatalf("%s on %s: %+v, %v", c.by, c.day, opened, err)
		}
		if why := opened.Messages[1].Void; !strings.Contains(why, c.why) || (c.why == "") != (why == "") || len(opened.Faults) != min(len(why), 1) {
			t.Errorf("%s on %s: %q, faults %q", c.by, c.day, why, opened.Faults)
		}
	}
	stranger, err := roster.NewSigningKey("alice")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []*roster.SigningKey{stranger, o.Root} {
		file := clone(t, good)
		file.Events = append(file.Events, tipbox.SealedEvent{Sealed: sealed, Note: event(t, key, tipbox.Event{
			Tip: id, Number: 2, Action: tipbox.ActionReply, Day: "2026-11-22", Before: sha([]byte(good.Events[0].Note)), Sealed: sha(sealed),
		})})
		if opened, err := tipbox.OpenTip(file, id, o.Key("alice"), o.Service.Roster()); err == nil || opened != nil {
			t.Errorf("by a stranger's key named %s: %+v, %v", key.Name(), opened, err)
		}
	}
}

func TestAttachmentOfAnotherTipIsNotReached(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Submit("one", files()...)
	mine := o.Inbox("alice")[0].Tip
	if _, err := o.Service.Submit(ctx, o.Draft(files()...), tipbox.Submission{Channel: "off-book-funds", Text: "two", LeaveOut: []string{"alice"}}); err != nil {
		t.Fatal(err)
	}
	others := o.Inbox("bob")[0].Tip
	if others == mine {
		others = o.Inbox("bob")[1].Tip
	}
	blob := o.Open("bob", others).Messages[0].Files[0].Blob
	_, err := o.Service.Attachment(ctx, o.Member("alice"), mine, blob)
	wantErr(t, err, tipbox.ErrNotFound)
}

func TestFullThreadHasRoomForTheSource(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("one")
	id := o.Inbox("alice")[0].Tip
	alter := func(old, new string) {
		t.Helper()
		rec, err := o.Store.Get(ctx, store.Key("tip/"+id))
		if err == nil {
			err = o.Store.Apply(ctx, store.Put(rec.Key, []byte(strings.Replace(string(rec.Value), old, new, 1))))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	followUp := func() error {
		d, err := o.Service.Reopen(ctx, code)
		if err != nil {
			return err
		}
		return o.Service.FollowUp(ctx, d, tipbox.NewNonce(), "en", "more")
	}
	reply := func() error {
		note, sealed, err := o.Open("alice", id).Reply(o.Key("alice"), o.Service.Today(), "an answer")
		if err != nil {
			return err
		}
		return o.Service.Append(ctx, o.Member("alice"), id, note, sealed)
	}
	alter(`"replies":0`, `"replies":1000`)
	wantErr(t, reply(), tipbox.ErrFull)
	alter(`"replies":1000`, `"replies":0`)
	alter(`"reply_bytes":0`, `"reply_bytes":33550000`)
	wantErr(t, reply(), tipbox.ErrFull)
	if err := followUp(); err != nil {
		t.Error(err)
	}
	alter(`"reply_bytes":33550000`, `"reply_bytes":0`)
	if err := reply(); err != nil {
		t.Error(err)
	}
	alter(`"bytes":`, `"bytes":6700`) // digits before digits
	wantErr(t, followUp(), tipbox.ErrFull)
	alter(`"bytes":6700`, `"bytes":`)
}
