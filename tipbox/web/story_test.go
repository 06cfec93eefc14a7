package web_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

const secret = tipboxtest.Canary

var evidence = []tipboxtest.File{
	{Name: "ledger " + secret + ".pdf", Type: "application/pdf", Content: "%PDF " + strings.Repeat(secret, 100)},
	{Name: "empty.txt", Type: "text/plain"},
}

// read opens the newest tip as bob does.
func (s *site) read(t *testing.T) *tipbox.OpenedTip {
	t.Helper()
	inbox := s.Inbox("bob")
	if len(inbox) == 0 {
		t.Fatal("there is no tip")
	}
	return s.Open("bob", inbox[0].Tip)
}

func (s *site) file(t *testing.T, tip *tipbox.OpenedTip, a tipbox.Attachment) string {
	t.Helper()
	b, err := s.Service.Attachment(t.Context(), s.Member("bob"), tip.Tip, a.Blob)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r, err := a.Open(io.NewSectionReader(b, 0, b.Size()), tip.Slot.Key.Identity())
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestTipIsSentReadAnsweredAndFollowedUp(t *testing.T) {
	for _, lang := range []string{"en", "zh-CN"} {
		t.Run(lang, func(t *testing.T) {
			s := newSite(t, tipboxtest.Config{})
			s.lang = lang
			const text = "They keep a second book.\n\n  " + secret

			home := s.get(t, "/").want(t, http.StatusOK)
			if len(home.page.all(func(n *node) bool { return n.tag == "a" && n.attr["href"] == "/tip" })) == 0 {
				t.Error("the first page does not lead to the form")
			}
			receipt := s.tip(t, text, evidence...)
			words, digits := receipt.words(t), receipt.digits(t)
			if len(strings.Fields(words)) != 12 || len(strings.Fields(digits)) != 12 {
				t.Fatalf("receipt code %q, %q", words, digits)
			}
			for _, code := range []string{words, digits} {
				if n := strings.Count(receipt.Body.String(), code); n != 1 {
					t.Errorf("the receipt page holds the code %d times", n)
				}
			}
			tip := s.read(t)
			first := tip.Messages[0]
			if first.Text != text || len(first.Files) != len(evidence) {
				t.Errorf("the investigator reads %+v", first)
			}
			for i, f := range first.Files {
				if f.Name != evidence[i].Name || f.Type != evidence[i].Type || s.file(t, tip, f) != evidence[i].Content {
					t.Errorf("file %d is %+v", i, f.File)
				}
			}
			if want := map[string]string{"en": "en", "zh-CN": "zh-Hans"}[lang]; first.Lang != want {
				t.Errorf("the tip's language is %s", first.Lang)
			}

			const reply = "Which year, " + secret + "?\nAnd <b>who</b>?"
			for _, code := range []string{words, digits, strings.ToUpper(words), strings.ReplaceAll(digits, " ", "")} {
				thread := s.send(t, s.codeForm(t, code)).want(t, http.StatusOK)
				if len(thread.articles("source")) != 1 || len(thread.articles("desk")) != 0 {
					t.Errorf("with %q the thread is:\n%s", code, thread.page.inner())
				}
			}
			s.Reply("bob", tip.Tip, reply)
			thread := s.send(t, s.codeForm(t, words)).want(t, http.StatusOK)
			desk := thread.articles("desk")
			if len(desk) != 1 || !strings.Contains(desk[0].inner(), reply) {
				t.Errorf("the answer is not in the thread:\n%s", thread.page.inner())
			}

			const more = "In 2024, " + secret
			followUp := thread.page.form(t, "/thread/message").set(t, "text", more)
			thread = s.send(t, followUp, evidence[0]).want(t, http.StatusOK)
			if thread.notice() == "" || len(thread.articles("source")) != 2 {
				t.Errorf("after the follow-up the thread is:\n%s", thread.page.inner())
			}
			last := s.read(t).Messages[2]
			if last.Text != more || len(last.Files) != 1 || s.file(t, tip, last.Files[0]) != evidence[0].Content {
				t.Errorf("the follow-up is %+v", last)
			}
			for _, typed := range []string{"second book", "In 2024", "ledger"} {
				if strings.Contains(thread.Body.String(), typed) {
					t.Errorf("the thread gives %q away", typed)
				}
			}
			if rest := thread.page.form(t, "/thread/message").values.Get("text"); rest != "" {
				t.Errorf("the next message begins with %q", rest)
			}
		})
	}
}

func TestTipAndFollowUpWorkURLEncoded(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	const text = "a & b = c; 100 %\n" + secret
	receipt := s.do(t, s.tipForm(t, text).urlencoded()).want(t, http.StatusOK)
	thread := s.send(t, s.codeForm(t, receipt.words(t))).want(t, http.StatusOK)
	s.do(t, thread.page.form(t, "/thread/message").set(t, "text", "more").urlencoded()).want(t, http.StatusOK)
	if tip := s.read(t); tip.Messages[0].Text != text || tip.Messages[1].Text != "more" {
		t.Errorf("the investigator reads %+v", tip.Messages)
	}
}

func TestCodeIsTriedAndDownloadedFromTheReceiptPage(t *testing.T) {
	for _, lang := range []string{"en", "zh-Hans"} {
		s := newSite(t, tipboxtest.Config{})
		s.lang = lang
		receipt := s.tip(t, secret)
		s.send(t, receipt.page.form(t, "/thread").set(t, "code", receipt.words(t))).want(t, http.StatusOK)

		download := receipt.page.form(t, "/thread/receipt")
		file := s.send(t, download).want(t, http.StatusOK)
		if got := file.Header().Get("Content-Disposition"); got != `attachment; filename="receipt.txt"` {
			t.Errorf("Content-Disposition: %s", got)
		}
		if text := file.Body.String(); !strings.Contains(text, receipt.words(t)) || !strings.Contains(text, receipt.digits(t)) {
			t.Errorf("the downloaded receipt is %q", text)
		}
		s.Clock.Advance(tipbox.SessionLife + time.Second)
		late := s.send(t, download).want(t, http.StatusConflict)
		late.page.form(t, "/thread")
		if late.notice() == "" || strings.Contains(late.Body.String(), receipt.words(t)) {
			t.Errorf("the late download is:\n%s", late.page.inner())
		}
	}
}

func TestFormOutlivesARestartAndASessionDoesNot(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	blank := s.tipForm(t, secret)
	s.restart(t)
	receipt := s.send(t, blank).want(t, http.StatusOK)
	thread := s.send(t, s.codeForm(t, receipt.words(t))).want(t, http.StatusOK)
	followUp := thread.page.form(t, "/thread/message").set(t, "text", "later, "+secret)
	s.restart(t)
	again := s.send(t, followUp, evidence[0]).want(t, http.StatusConflict)
	again.contains(t, "enter your code again", "choose them again")
	form := again.page.form(t, "/thread/message")
	if form.values.Get("text") != "later, "+secret {
		t.Fatalf("the text became %q", form.values.Get("text"))
	}
	s.send(t, form.set(t, "code", receipt.digits(t)), evidence[0]).want(t, http.StatusOK)
	if last := s.read(t).Messages[1]; last.Text != "later, "+secret || len(last.Files) != 1 {
		t.Errorf("the follow-up is %+v", last)
	}
}

func TestSendingAFormTwiceIsOneTipAndOneReceipt(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	f := s.tipForm(t, secret)
	first, second := s.send(t, f, evidence...), s.send(t, f, evidence...)
	if first.words(t) != second.words(t) || first.digits(t) != second.digits(t) {
		t.Error("the same form gave two receipts")
	}
	if tip := s.read(t); len(s.Inbox("bob")) != 1 || len(tip.Messages) != 1 {
		t.Errorf("%d tips, %d messages", len(s.Inbox("bob")), len(tip.Messages))
	}
}

func TestSendingAFormEightTimesAtOnceIsOneTip(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	f := s.tipForm(t, secret)
	answers := s.atOnce(t, f, 8)
	for _, a := range answers {
		if a.want(t, http.StatusOK).words(t) != answers[0].words(t) {
			t.Error("the same form gave two receipts")
		}
	}
	if tip := s.read(t); len(s.Inbox("bob")) != 1 || len(tip.Messages) != 1 || len(tip.Messages[0].Files) != 2 {
		t.Errorf("%d tips; %+v", len(s.Inbox("bob")), tip.Messages)
	}

	thread := s.send(t, s.codeForm(t, answers[0].words(t))).want(t, http.StatusOK)
	for _, a := range s.atOnce(t, thread.page.form(t, "/thread/message").set(t, "text", "more"), 8) {
		a.want(t, http.StatusOK)
	}
	if tip := s.read(t); len(tip.Messages) != 2 {
		t.Errorf("%d messages after the same follow-up eight times", len(tip.Messages))
	}
}

func (s *site) atOnce(t *testing.T, f *form, n int) []*answer {
	answers := make([]*answer, n)
	var all sync.WaitGroup
	for i := range answers {
		r := f.request(evidence...)
		all.Go(func() { answers[i] = s.do(t, r) })
	}
	all.Wait()
	return answers
}

func TestTheSameFormWithAnotherTextIsAFollowUp(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	f := s.tipForm(t, "first")
	first, second := s.send(t, f), s.send(t, f.set(t, "text", "second, "+secret), evidence[0])
	if first.words(t) != second.want(t, http.StatusOK).words(t) {
		t.Error("the same form gave two receipts")
	}
	tip := s.read(t)
	if len(s.Inbox("bob")) != 1 || len(tip.Messages) != 2 || tip.Messages[1].Text != "second, "+secret || len(tip.Messages[1].Files) != 1 {
		t.Errorf("%d tips; %+v", len(s.Inbox("bob")), tip.Messages)
	}
}

func TestTheSameFormForOtherReadersIsRefusedWithAFreshForm(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	f := s.tipForm(t, "first, "+secret)
	first := s.send(t, f).want(t, http.StatusOK)
	before := s.kept()
	f.set(t, "text", "bob takes it, "+secret).set(t, "leave-out", "bob")
	refused := s.send(t, f, evidence[0]).want(t, http.StatusConflict)
	refused.contains(t, "choose them again")
	fresh := refused.page.form(t, "/tip")
	if fresh.values.Get("token") == f.values.Get("token") {
		t.Error("the refused form has the old token")
	}
	if fresh.values.Get("text") != "bob takes it, "+secret || fresh.values.Get("leave-out") != "bob" {
		t.Errorf("the refused form holds %q", fresh.values)
	}
	if after := s.kept(); len(after) != len(before) {
		t.Errorf("the refused form left %q", after)
	}
	second := s.send(t, fresh).want(t, http.StatusOK)
	if first.words(t) == second.words(t) {
		t.Error("two tips have one receipt")
	}
	if len(s.Inbox("bob")) != 1 || len(s.Inbox("alice")) != 2 {
		t.Errorf("bob sees %d tips, alice %d", len(s.Inbox("bob")), len(s.Inbox("alice")))
	}
}

func TestAKeptMessageIsSaidToBeKeptEvenIfTheThreadCannotBeShown(t *testing.T) {
	broken := &failing{Store: mem.New()}
	s := newSite(t, tipboxtest.Config{Store: broken})
	receipt := s.tip(t, secret)
	thread := s.send(t, s.codeForm(t, receipt.words(t))).want(t, http.StatusOK)
	written := false
	broken.fail = func(op string, key store.Key) error {
		if op == "apply" {
			written = true
		} else if written {
			return io.ErrClosedPipe
		}
		return nil
	}
	a := s.send(t, thread.page.form(t, "/thread/message").set(t, "text", "more, "+secret)).want(t, http.StatusOK)
	a.contains(t, "Your message has arrived")
	broken.fail = nil
	if got := len(s.read(t).Messages); got != 2 {
		t.Errorf("%d messages", got)
	}
}
