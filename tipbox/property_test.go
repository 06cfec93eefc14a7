package tipbox_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// TestThreadsAreWhatWasSaid plays random tips, follow-ups and answers against a
// plain list of what was said, and compares what source and members see.
func TestThreadsAreWhatWasSaid(t *testing.T) {
	type said struct{ from, text string }
	type thread struct {
		code *receipt.Code
		id   string
		said []said
	}
	shortRapid(t, "12", "30")
	o := tipboxtest.New(t, tipboxtest.Config{})
	rapid.Check(t, func(rt *rapid.T) {
		known := make(map[string]bool)
		for _, item := range o.Inbox("alice") {
			known[item.Tip] = true
		}
		var threads []*thread
		n := 0
		text := func() string {
			n++
			return fmt.Sprint("text ", n, strings.Repeat("字", rapid.IntRange(0, 3000).Draw(rt, "length")))
		}
		any := func() *thread {
			if len(threads) == 0 {
				rt.Skip("no thread yet")
			}
			return rapid.SampledFrom(threads).Draw(rt, "thread")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"submit": func(rt *rapid.T) {
				th := &thread{said: []said{{"source", text()}}}
				th.code = o.Submit(th.said[0].text)
				for _, item := range o.Inbox("alice") {
					if !known[item.Tip] {
						th.id = item.Tip
						known[item.Tip] = true
					}
				}
				threads = append(threads, th)
			},
			"follow up": func(rt *rapid.T) {
				th, s := any(), said{"source", text()}
				d, err := o.Service.Reopen(ctx, th.code)
				if err == nil {
					err = o.Service.FollowUp(ctx, d, tipbox.NewNonce(), "zh-Hans", s.text)
				}
				if err != nil {
					rt.Fatal(err)
				}
				th.said = append(th.said, s)
			},
			"answer": func(rt *rapid.T) {
				th, s := any(), said{"desk", text()}
				o.Reply(rapid.SampledFrom([]string{"alice", "bob"}).Draw(rt, "member"), th.id, s.text)
				th.said = append(th.said, s)
			},
			"": func(rt *rapid.T) {
				if len(threads) == 0 {
					return
				}
				th := any()
				seen, err := o.Service.Thread(ctx, th.code)
				if err != nil {
					rt.Fatal(err)
				}
				read := o.Open("bob", th.id)
				if len(seen.Messages) != len(th.said) || len(read.Messages) != len(th.said) {
					rt.Fatalf("%d messages, the source sees %d, bob %d", len(th.said), len(seen.Messages), len(read.Messages))
				}
				for i, want := range th.said {
					if m := read.Messages[i]; m.From != want.from || m.Text != want.text {
						rt.Errorf("message %d: bob reads %q from %s", i+1, m.Text, m.From)
					}
					shown := ""
					if want.from == "desk" {
						shown = want.text
					}
					if m := seen.Messages[i]; m.From != want.from || m.Text != shown {
						rt.Errorf("message %d: the source reads %q from %s", i+1, m.Text, m.From)
					}
				}
			},
		})
	})
}
