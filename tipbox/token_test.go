package tipbox_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// restarted is another process on the same store.
func restarted(t *testing.T, o *tipboxtest.Org) *tipbox.Service {
	t.Helper()
	s, err := tipbox.New(tipbox.Config{
		Store: o.Store, Blobs: o.Blobs, Root: o.Root.Verifier(), Now: o.Clock.Now, Channels: o.Service.Channels(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.InstallRoster(ctx, o.Service.SignedRoster()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFormOutlivesARestart(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	form := token(t, o.Service)
	sub := tipbox.Submission{Channel: "off-book-funds", Text: "one"}
	first, err := send(o, form, sub)
	if err != nil {
		t.Fatal(err)
	}
	o.Service = restarted(t, o)
	again, err := send(o, form, sub)
	if err != nil {
		t.Fatal(err)
	}
	if first.Digits() != again.Digits() || len(o.Inbox("alice")) != 1 {
		t.Error("the form sent again after a restart is another tip")
	}
}

func TestFormExpires(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	form := token(t, o.Service)
	o.Clock.Advance(24 * time.Hour)
	if _, err := o.Service.NewTip(ctx, form); err != nil {
		t.Errorf("the day after: %v", err)
	}
	o.Clock.Advance(24 * time.Hour)
	_, err := o.Service.NewTip(ctx, form)
	wantErr(t, err, tipbox.ErrExpired)

	// The keys of forms that cannot come any more are gone with the next form.
	newer := token(t, o.Service)
	keys := 0
	for name := range o.Stored() {
		if strings.HasPrefix(name, "record form/") {
			keys++
		}
	}
	if keys != 1 {
		t.Errorf("%d form keys, want 1", keys)
	}
	_, err = restarted(t, o).NewTip(ctx, form)
	wantErr(t, err, tipbox.ErrExpired)
	if _, err := restarted(t, o).NewTip(ctx, newer); err != nil {
		t.Error(err)
	}
}

func TestOneFormKeyServesTheDay(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	seen := make(map[string]bool)
	for range 3 {
		for range 3 {
			form := token(t, o.Service)
			if seen[form] {
				t.Error("two forms have one token")
			}
			seen[form] = true
		}
		o.Service = restarted(t, o)
	}
	keys := 0
	for name := range o.Stored() {
		if strings.HasPrefix(name, "record form/") {
			keys++
		}
	}
	if keys != 1 {
		t.Errorf("%d form keys, want 1", keys)
	}
}

func TestAlteredTokensAreExpired(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("one")
	form, session := token(t, o.Service), o.Service.Session(code)
	if got, err := o.Service.OpenSession(session); err != nil || got.Digits() != code.Digits() {
		t.Fatalf("an unaltered session: %v", err)
	}
	open := map[string]func(string) error{
		form:    func(s string) error { _, err := o.Service.NewTip(ctx, s); return err },
		session: func(s string) error { _, err := o.Service.OpenSession(s); return err },
	}
	for good, f := range open {
		raw, err := base64.RawURLEncoding.DecodeString(good)
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			altered := []byte(string(raw))
			altered[i] ^= 1
			wantErr(t, f(base64.RawURLEncoding.EncodeToString(altered)), tipbox.ErrExpired)
			wantErr(t, f(base64.RawURLEncoding.EncodeToString(raw[:i])), tipbox.ErrExpired)
		}
		wantErr(t, f(good+"AA"), tipbox.ErrExpired)
		wantErr(t, f("not base64!"), tipbox.ErrExpired)
	}
	wantErr(t, open[form](session), tipbox.ErrExpired)
	wantErr(t, open[session](form), tipbox.ErrExpired)
}

func TestSessionEndsWithTimeAndWithTheProcess(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	session := o.Service.Session(o.Submit("one"))
	o.Clock.Advance(tipbox.SessionLife)
	if _, err := o.Service.OpenSession(session); err != nil {
		t.Error(err)
	}
	_, err := restarted(t, o).OpenSession(session)
	wantErr(t, err, tipbox.ErrExpired)
	o.Clock.Advance(time.Second)
	_, err = o.Service.OpenSession(session)
	wantErr(t, err, tipbox.ErrExpired)
}

func TestFormIsServedWhenItsKeyCannotBeKept(t *testing.T) {
	failing := &failingStore{}
	o := tipboxtest.New(t, tipboxtest.Config{Store: failing.wrap()})
	failing.fail = true
	form := token(t, o.Service)
	failing.fail = false
	if _, err := send(o, form, tipbox.Submission{Channel: "off-book-funds", Text: "one"}); err != nil {
		t.Error(err)
	}
}

// FuzzToken opens tokens of both kinds: only those that were made open anything.
func FuzzToken(f *testing.F) {
	o := tipboxtest.New(f, tipboxtest.Config{})
	form, err := o.Service.FormToken(ctx)
	if err != nil {
		f.Fatal(err)
	}
	session := o.Service.Session(receipt.New())
	f.Add(form)
	f.Add(session)
	f.Add(form[:11] + strings.Repeat("A", len(form)-11))
	f.Add("\xff/../_-=")
	bytes := func(token string) string {
		raw, _ := base64.RawURLEncoding.DecodeString(token) // of which there are several spellings
		return string(raw)
	}
	f.Fuzz(func(t *testing.T, token string) {
		d, err := o.Service.NewTip(ctx, token)
		d.Abort()
		if bytes(token) != bytes(form) && !errors.Is(err, tipbox.ErrExpired) {
			t.Errorf("form token %q: %v", token, err)
		}
		if _, err := o.Service.OpenSession(token); bytes(token) != bytes(session) && !errors.Is(err, tipbox.ErrExpired) {
			t.Errorf("session token %q: %v", token, err)
		}
	})
}
