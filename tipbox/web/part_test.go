package web_test

import (
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// button presses one of a form's buttons.
func button(f *form, name, value string) *form {
	f.values.Set(name, value)
	return f
}

// lacks looks for what must not be anywhere in what was sent.
func (a *answer) lacks(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(a.Body.String(), text) {
			t.Errorf("the page has %q:\n%s", text, a.Body)
		}
	}
}

// part makes a part of the award on a thread's page, and returns its page.
func (s *site) part(t *testing.T, code, amount string) *answer {
	t.Helper()
	return s.send(t, s.send(t, s.codeForm(t, code)).want(t, 200).page.form(t, "/thread/part").set(t, "amount", amount))
}

// TestPageOfAPartShowsNothingOfTheTip is the story of two who sent a tip together.
func TestPageOfAPartShowsNothingOfTheTip(t *testing.T) {
	for _, c := range []struct{ lang, day, amount, left, mine, other string }{
		{"en", "20 February 2027", "2,000", "Your reward: CN¥4,300", "Part 1, CN¥2,000: not claimed yet.", "Your reward: CN¥2,000"},
		{"zh-Hans", "2027年2月20日", "2000元", "您的奖励：￥4,300", "第 1 份，￥2,000：尚未领取。", "您的奖励：￥2,000"},
	} {
		t.Run(c.lang, func(t *testing.T) {
			s := newSite(t, tipboxtest.Config{})
			s.lang = c.lang
			code, tip, number := s.award(t, false)
			s.Reply("alice", tip, "The desk writes: "+secret)
			made := s.part(t, code, c.amount).want(t, 200)
			words, digits := made.page.id(t, "part-code").inner(), made.page.id(t, "part-digits").inner()
			if again, err := receipt.Parse(words); err != nil || again.Digits() != digits {
				t.Fatalf("the code is %q, %q: %v", words, digits, err)
			}
			made.contains(t, c.day)

			// The thread lists it, and shows the code again.
			thread := s.send(t, s.codeForm(t, code)).want(t, 200)
			thread.contains(t, c.left, c.mine)
			forms := thread.page.all(func(n *node) bool { return n.tag == "form" && n.attr["action"] == "/thread/part" })
			if len(forms) != 2 {
				t.Fatalf("%d forms about parts", len(forms))
			}
			awards := s.Open("alice", tip).Case.Awards
			part := awards[len(awards)-1].Number
			show := button(thread.page.form(t, "/thread/claim"), "show", strconv.Itoa(part))
			show.action = "/thread/part"
			if again := s.send(t, show).want(t, 200); again.Body.String() != made.Body.String() {
				t.Error("asked again, the page of the code is another")
			}

			// With the code of the part there is that and nothing else.
			for _, typed := range []string{words, digits} {
				page := s.send(t, s.codeForm(t, typed)).want(t, 200)
				page.contains(t, c.other, c.day)
				page.lacks(t, secret, "kanarienvogel", "Off-book", "小金库", "2026-11-22", "22 November", "11月22日", tip, "/thread/message", "/thread/erase", "/thread/appeal", "/thread/part", "4,300", "6,300", "<article", `id="case"`)
			}
			page := s.send(t, s.codeForm(t, words)).want(t, 200)
			claim := page.page.form(t, "/thread/claim").set(t, "choice", "voucher")
			claimed := s.send(t, claim).want(t, 200)
			claimed.lacks(t, secret, "/thread/message", "<article", tip)
			s.Issue("pia", tip, part)
			ready := s.send(t, s.codeForm(t, digits)).want(t, 200)
			papers := s.send(t, button(ready.page.form(t, "/thread/voucher"), "voucher", "all")).want(t, 200).Body.String()
			if strings.Count(papers, "TIPBOX VOUCHER") != 2 {
				t.Errorf("of 2,000 there are the papers\n%s", papers)
			}

			// The first sees that it is claimed, not how, and no vouchers; and claims the rest.
			thread = s.send(t, s.codeForm(t, code)).want(t, 200)
			thread.contains(t, map[string]string{"en": "Part 1, CN¥2,000: claimed.", "zh-Hans": "第 1 份，￥2,000：已领取。"}[c.lang])
			theirs := button(thread.page.form(t, "/thread/claim"), "voucher", "all").set(t, "award", strconv.Itoa(part))
			theirs.action = "/thread/voucher"
			s.send(t, theirs).want(t, 409).lacks(t, "TIPBOX VOUCHER")
			s.send(t, thread.page.form(t, "/thread/claim").set(t, "choice", "details").set(t, "details", "account 1 of "+secret)).want(t, 200)
			s.Issue("pia", tip, number)
			payouts, err := s.Service.Payouts(t.Context(), s.Member("penny"), false, "", 10)
			if err != nil || len(payouts.Items) != 1 || payouts.Items[0].Amount != 4_300_00 {
				t.Errorf("payouts %+v, %v", payouts, err)
			}
			s.wantQuiet(t, []byte(papers))
		})
	}
}

// TestCodeOfAPartDoesNothingElse posts what a thread's page can to the thread, with the
// session of a part.
func TestCodeOfAPartDoesNothingElse(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	code, tip, number := s.award(t, false)
	words := s.part(t, code, "2000").want(t, 200).page.id(t, "part-code").inner()
	page := s.send(t, s.codeForm(t, words)).want(t, 200)
	session := page.page.form(t, "/thread/claim").values.Get("session")
	thread := s.send(t, s.codeForm(t, code)).want(t, 200)
	as := func(action string, f *form, values map[string]string) *answer {
		t.Helper()
		f.action = action
		for name, value := range values {
			f.values.Set(name, value)
		}
		f.values.Set("session", session)
		a := s.send(t, f)
		if a.Code < 400 {
			t.Errorf("%s: status %d\n%s", action, a.Code, a.Body)
		}
		a.lacks(t, tip, "They keep a second book.", "<article")
		return a
	}
	as("/thread/message", thread.page.form(t, "/thread/message"), map[string]string{"text": "from the other"})
	claim := func() *form { return thread.page.form(t, "/thread/claim") }
	as("/thread/claim", claim(), map[string]string{"choice": "waive"}) // of the whole award
	as("/thread/part", claim(), map[string]string{"part": "1", "amount": "100"})
	as("/thread/part", claim(), map[string]string{"part": "2", "amount": "100"})
	as("/thread/part", claim(), map[string]string{"show": strconv.Itoa(number)})
	as("/thread/appeal", claim(), map[string]string{"text": "but"})
	as("/thread/voucher", claim(), map[string]string{"voucher": "all"})
	as("/thread/erase", claim(), map[string]string{"sure": "yes"})
	if got := s.Open("alice", tip).Messages; got[len(got)-1].Action != tipbox.ActionPart {
		t.Errorf("the last entry is %+v", got[len(got)-1])
	}
}

func TestAmountOfAPartIsRefusedBesideItsField(t *testing.T) {
	for _, c := range []struct{ lang, limits string }{
		{"en", "in steps of CN¥100 and at most CN¥6,200"},
		{"zh-Hans", "须为 ￥100 的整数倍，最多 ￥6,200"},
	} {
		s := newSite(t, tipboxtest.Config{})
		s.lang = c.lang
		code, tip, number := s.award(t, false)
		for _, amount := range []string{"", "no number", "0", "-100", "150", "6300", "6,300.00", "99999999999999999999", hostile} {
			page := s.part(t, code, amount).want(t, 422)
			field, wrong := page.page.id(t, "part-"+strconv.Itoa(number)), page.page.id(t, "part-error-"+strconv.Itoa(number))
			if !strings.Contains(wrong.inner(), c.limits) || field.attr["aria-invalid"] != "true" || !strings.Contains(field.attr["aria-describedby"], "part-error-") {
				t.Errorf("%q: %q beside %v", amount, wrong.inner(), field.attr)
			}
			if page.notice() == "" || strings.Contains(page.Body.String(), "<script") {
				t.Errorf("%q: the page is\n%s", amount, page.Body)
			}
		}
		if got := len(s.Open("alice", tip).Case.Awards); got != 1 {
			t.Errorf("there are %d awards", got)
		}
		// The same form sent twice is one part; an old one is told so.
		form := s.send(t, s.codeForm(t, code)).want(t, 200).page.form(t, "/thread/part").set(t, "amount", "100")
		first := s.send(t, form).want(t, 200)
		if again := s.send(t, form).want(t, 200); again.Body.String() != first.Body.String() {
			t.Error("sent twice, it is another part")
		}
		s.send(t, form.set(t, "amount", "200")).want(t, 409)
		if got := len(s.Open("alice", tip).Case.Awards); got != 2 {
			t.Errorf("there are %d awards", got)
		}
		s.Clock.Advance(tipbox.SessionLife + time.Second)
		s.send(t, form).want(t, 409)
		s.wantQuiet(t)
	}
}

// TestErasedCodesOfPartsAreAnsweredAsUnknownOnes is P5 for the codes of parts.
func TestErasedCodesOfPartsAreAnsweredAsUnknownOnes(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	code, tip, _ := s.award(t, false)
	words := s.part(t, code, "2000").want(t, 200).page.id(t, "part-code").inner()
	part, err := receipt.Parse(words)
	if err != nil {
		t.Fatal(err)
	}
	page := s.send(t, s.codeForm(t, words)).want(t, 200)
	claim := page.page.form(t, "/thread/claim").set(t, "choice", "waive")
	s.Clock.Advance(91 * 24 * time.Hour)
	late := s.send(t, s.codeForm(t, words)).want(t, 200)
	late.contains(t, "nobody claimed it in time")
	late.lacks(t, tip)
	s.Act("alice", tip, tipbox.Act{Action: tipbox.ActionErase})
	same := func(what string, a, b *answer) {
		t.Helper()
		if a.Code != 404 || a.Body.String() != b.Body.String() || !maps.EqualFunc(a.Header(), b.Header(), func(a, b []string) bool { return a[0] == b[0] }) {
			t.Errorf("%s: %d\n%s\nunknown: %d\n%s", what, a.Code, a.Body, b.Code, b.Body)
		}
	}
	ask := s.codeForm(t, words)
	never := newSite(t, tipboxtest.Config{})
	same("the page", s.send(t, ask), never.send(t, ask))
	same("the tool's call", s.claimJSON(t, claimRequest(t, part, "", nil)), s.claimJSON(t, claimRequest(t, receipt.New(), "", nil)))
	s.send(t, claim).want(t, 409) // its session is over
	s.wantQuiet(t)
}
