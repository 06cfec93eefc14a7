package web_test

import (
	"strings"
	"testing"
	"time"

	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// award sends a tip, takes its case to an award of 6,300 CNY, and returns the code
// and the award's number. The award is granted if nobody refuses it.
func (s *site) award(t *testing.T, refused bool) (code, tip string, number int) {
	t.Helper()
	s.Rewards()
	code = s.tip(t, "They keep a second book.").want(t, 200).words(t)
	tip = s.Inbox("alice")[0].Tip
	finding := tipbox.Act{Action: tipbox.ActionFinding, Text: "so", Detail: &tipbox.Detail{Finding: tipbox.Substantiated}}
	for _, a := range []tipbox.Act{
		{Action: tipbox.ActionAccept}, {Action: tipbox.ActionAssign, Owner: "alice", Due: "2026-12-20"}, finding,
	} {
		s.Act("alice", tip, a)
	}
	s.Act("bob", tip, finding)
	s.Act("alice", tip, tipbox.Act{Action: tipbox.ActionRecover, Detail: &tipbox.Detail{Amount: 157_500_00, Currency: "CNY", Basis: tipbox.SumCollected}})
	s.Act("alice", tip, tipbox.Act{
		Action: tipbox.ActionAward, Text: "all of it was so", Detail: &tipbox.Detail{Base: 157_500_00, Rate: 400},
		Terms: &tipbox.AwardTerms{Schedule: "test", Currency: "CNY", Amount: 6_300_00, Total: 6_300_00},
	})
	awards := s.Open("alice", tip).Case.Awards
	number = awards[len(awards)-1].Number
	if refused {
		s.Decide("peter", tip, tipbox.Act{Action: tipbox.ActionRefuse, Award: number, Text: "It was known before."})
		return code, tip, number
	}
	for _, name := range []string{"peter", "paula"} {
		s.Decide(name, tip, tipbox.Act{Action: tipbox.ActionApprove, Award: number})
	}
	return code, tip, number
}

func TestSourceClaimsVouchersWithTheCode(t *testing.T) {
	for _, c := range []struct{ lang, title, day, ready, worth, last string }{
		{"en", "Your reward: CN¥6,300", "20 February 2027", "Your vouchers are ready", "Voucher for CN¥1,000", "CN¥100"},
		{"zh-Hans", "您的奖励：￥6,300", "2027年2月20日", "您的凭证已备好", "￥1,000 兑付凭证", "￥100"},
	} {
		t.Run(c.lang, func(t *testing.T) {
			s := newSite(t, tipboxtest.Config{})
			s.lang = c.lang
			code, tip, number := s.award(t, false)
			thread := s.send(t, s.codeForm(t, code)).want(t, 200)
			thread.contains(t, c.title, c.day)
			claim := thread.page.form(t, "/thread/claim").set(t, "choice", "voucher")
			claimed := s.send(t, claim).want(t, 200)
			if strings.Contains(claimed.Body.String(), "/thread/claim") {
				t.Error("it can be claimed again")
			}
			s.send(t, claim).want(t, 200) // sent twice
			s.Issue("pia", tip, number)
			thread = s.send(t, s.codeForm(t, code)).want(t, 200)
			thread.contains(t, c.ready)
			show := thread.page.form(t, "/thread/voucher")
			press := func(button string) *form {
				show.values.Set("voucher", button)
				return show
			}
			first := s.send(t, press("1")).want(t, 200)
			first.contains(t, c.worth, "TIPBOX VOUCHER")
			if again := s.send(t, press("1")).want(t, 200); again.page.id(t, "voucher-text").inner() != first.page.id(t, "voucher-text").inner() {
				t.Error("the second visit shows another voucher")
			}
			if n := len(unpadded(first.Body.Bytes())); n > 20<<10 {
				t.Errorf("the page has %d bytes", n)
			}
			last := s.send(t, press("9")).want(t, 200)
			last.contains(t, c.last)
			file := s.send(t, press("all")).want(t, 200)
			if got := strings.Count(file.Body.String(), "TIPBOX VOUCHER"); got != 9 || !strings.HasPrefix(file.Header().Get("Content-Type"), "text/plain") {
				t.Errorf("%d vouchers in a file of %s", got, file.Header().Get("Content-Type"))
			}
			s.wantQuiet(t, []byte(strings.Fields(first.page.id(t, "voucher-text").inner())[5]))
		})
	}
}

func TestSourceChoosesHowToTakeAReward(t *testing.T) {
	for _, c := range []struct{ choice, details, says string }{
		{"details", "account 1234 of " + tipboxtest.Canary, "Only those who pay can read that."},
		{"charity:library", "", "paid to the cause that you chose"},
		{"waive", "", "You have waived it."},
	} {
		t.Run(c.choice, func(t *testing.T) {
			s := newSite(t, tipboxtest.Config{})
			code, _, _ := s.award(t, false)
			thread := s.send(t, s.codeForm(t, code)).want(t, 200)
			claim := thread.page.form(t, "/thread/claim")
			if c.choice == "details" {
				s.send(t, claim.set(t, "choice", "details")).want(t, 422).contains(t, "Nothing was done: please write where to pay")
				s.send(t, claim.set(t, "details", strings.Repeat("x", tipbox.MaxDetails+1))).want(t, 422).contains(t, "too long")
			}
			s.send(t, claim.set(t, "choice", "gold")).want(t, 409).contains(t, "Nothing was done: the reward cannot be claimed that way")
			s.send(t, claim.set(t, "choice", c.choice).set(t, "details", c.details)).want(t, 200).contains(t, "Done.", c.says)
			s.wantQuiet(t)
			s.Clock.Advance(tipbox.SessionLife + time.Second)
			s.send(t, claim).want(t, 409).contains(t, "the page was open for too long")
		})
	}
}

func TestSourceAppealsOnce(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	code, tip, number := s.award(t, true)
	thread := s.send(t, s.codeForm(t, code)).want(t, 200)
	thread.contains(t, "It was refused", "It was known before.")
	appeal := thread.page.form(t, "/thread/appeal")
	s.send(t, appeal.set(t, "text", " ")).want(t, 422).contains(t, "Nothing was done")
	s.send(t, appeal.set(t, "text", "It was not. "+tipboxtest.Canary)).want(t, 200).contains(t, "Your appeal has come in.", "look at it again")
	s.Decide("pia", tip, tipbox.Act{Action: tipbox.ActionRefuse, Award: number, Text: "It was."})
	thread = s.send(t, s.codeForm(t, code)).want(t, 200)
	thread.contains(t, "also by those who decided about your appeal")
	s.send(t, appeal).want(t, 409)
	s.wantQuiet(t)
}

func TestSourceIsWarnedOfTheEnd(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	code, tip, _ := s.award(t, false)
	thread := func() *answer { return s.send(t, s.codeForm(t, code)).want(t, 200) }
	s.Clock.Advance(61 * 24 * time.Hour)
	thread().contains(t, "20 February 2027. That is soon.")
	s.Act("alice", tip, tipbox.Act{Action: tipbox.ActionHold, Text: "a court"})
	thread().contains(t, "no time is lost")
	s.Act("alice", tip, tipbox.Act{Action: tipbox.ActionRelease})
	s.Clock.Advance(40 * 24 * time.Hour)
	thread().contains(t, "nobody claimed it in time")
}
