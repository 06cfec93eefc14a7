package tipbox_test

import (
	"strings"
	"testing"

	"tipbox/crypto/seal"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// BenchmarkSubmit is a whole text tip on a store in memory, and
// BenchmarkSubmitAge is what it needs of age alone, in the same run: the tip
// key, a keyslot for two readers and one message.
func BenchmarkSubmit(b *testing.B) {
	o := tipboxtest.New(b, tipboxtest.Config{})
	for b.Loop() {
		o.Submit("There is a fund. " + strings.Repeat("x", 1000))
	}
}

func BenchmarkSubmitAge(b *testing.B) {
	o := tipboxtest.New(b, tipboxtest.Config{})
	readers := []*seal.Recipient{o.Member("alice").Card.Recipient, o.Member("bob").Card.Recipient}
	for b.Loop() {
		key, err := seal.NewTipKey()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := seal.SealKeyslots(seal.NewKeyslot("off-book-funds", "source", key), readers...); err != nil {
			b.Fatal(err)
		}
		if _, err := seal.Message(make([]byte, 1000), key.Recipient()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkThread(b *testing.B) {
	o := tipboxtest.New(b, tipboxtest.Config{})
	code := o.Submit("one")
	o.Reply("alice", o.Inbox("alice")[0].Tip, "two")
	for b.Loop() {
		if _, err := o.Service.Thread(ctx, code); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInboxPage(b *testing.B) {
	o := tipboxtest.New(b, tipboxtest.Config{})
	for range 200 {
		o.Submit("one")
	}
	for b.Loop() {
		if _, _, err := o.Service.Inbox(ctx, o.Member("alice"), tipbox.InboxFilter{}, "", tipbox.MaxPage); err != nil {
			b.Fatal(err)
		}
	}
}
