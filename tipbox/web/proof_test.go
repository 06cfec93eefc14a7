package web_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"rsc.io/qr"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

const aDay = 24 * time.Hour

func TestSourceSavesAProofOfTheDay(t *testing.T) {
	for _, c := range []struct{ lang, what, check, later, witness string }{
		{"en", "sent to Example City about “Off-book funds”, and was there on 22 November 2026.", "How to check it:", "save the proof again", "The proof bears"},
		{"zh-Hans", "有人就“小金库”向Example City提交了内容，该内容在2026年11月22日已经送达。", "怎样核验：", "请再保存一次", "证明上还有"},
	} {
		t.Run(c.lang, func(t *testing.T) {
			s := newSite(t, tipboxtest.Config{Proof: true})
			s.lang = c.lang
			receiptPage := s.tip(t, secret)
			words := receiptPage.words(t)
			code, err := receipt.Parse(words)
			if err != nil {
				t.Fatal(err)
			}
			open := func(page *answer) *tipbox.Proof {
				t.Helper()
				a := s.send(t, page.page.form(t, "/thread/proof")).want(t, 200)
				file := a.Body.String()
				if got := a.Header().Get("Content-Disposition"); got != `attachment; filename="note.txt"` {
					t.Errorf("it is sent as %s", got)
				}
				above, _, _ := strings.Cut(file, "\ntipbox proof v1\n")
				if !strings.Contains(above, c.what) || !strings.Contains(above, c.check) || !strings.Contains(above, "tipbox verify-proof FILE --root KEY --roster roster.note") {
					t.Errorf("above the proof it says:\n%s", above)
				}
				for _, kept := range []string{words, receiptPage.digits(t), secret} {
					if strings.Contains(file, kept) {
						t.Errorf("the proof holds %q", kept)
					}
				}
				p, err := tipbox.OpenProof([]byte(file), s.Service.Roster(), s.Root.Verifier())
				if err != nil {
					t.Fatal(err)
				}
				if p.Day != "2026-11-22" || !p.IsOf(code) || p.Tip != s.read(t).Tip {
					t.Errorf("the proof is %+v", p)
				}
				return p
			}
			receiptPage.contains(t, c.later)
			if p := open(receiptPage); p.Ack != nil {
				t.Error("somebody has acknowledged it already")
			}
			s.Clock.Advance(3 * aDay)
			s.Act("bob", s.read(t).Tip, tipbox.Act{Action: tipbox.ActionAck, Text: "We have read it."})
			thread := s.send(t, s.codeForm(t, words)).want(t, 200)
			if said := thread.page.id(t, "proof").inner(); strings.Contains(said, c.later) {
				t.Errorf("it still says: %s", said)
			}
			if p := open(thread); p.Ack == nil || p.Ack.By != "bob" || p.Ack.Day != "2026-11-25" || p.Made != "2026-11-25" {
				t.Errorf("the acknowledgement is not in the proof: %+v", p.Ack)
			}
		})
	}
}

func TestWhereNoProofIsOfferedNoneIsToBeHad(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	receiptPage := s.tip(t, secret)
	thread := s.send(t, s.codeForm(t, receiptPage.words(t)))
	for _, page := range []*answer{receiptPage, thread} {
		if strings.Contains(page.Body.String(), "/thread/proof") {
			t.Error("a page offers a proof")
		}
	}
	f := receiptPage.page.form(t, "/thread/receipt")
	f.action = "/thread/proof"
	if a := s.send(t, f).want(t, 404); a.notice() == "" || strings.Contains(a.Body.String(), "tipbox proof") {
		t.Error("a proof is given, or nothing is said")
	}
}

func TestAProofCannotBeHadOfAnErasedTip(t *testing.T) {
	s := newSite(t, tipboxtest.Config{Proof: true})
	receiptPage := s.tip(t, secret)
	code, _ := receipt.Parse(receiptPage.words(t))
	if err := s.Service.EraseOwn(t.Context(), code); err != nil {
		t.Fatal(err)
	}
	a := s.send(t, receiptPage.page.form(t, "/thread/proof")).want(t, 404)
	if unknown := s.send(t, s.codeForm(t, receipt.New().Words("en"))).want(t, 404); a.notice() != unknown.notice() {
		t.Errorf("an erased code is told: %q", a.notice())
	}
}

func TestASuggestionIsToldOfInItsOwnWords(t *testing.T) {
	for _, c := range []struct {
		lang  string
		words []string // received, screened, adopted, asked, adopted, answered, done, again
		tip   string   // what is said of a tip
	}{
		{"en", []string{"has come in", "has been screened", "has been adopted. The desk is seeing", "has a question", "has been adopted. The desk is seeing", "says below what became", "has been carried out", "looking at it again"}, "Your tip"},
		{"zh-Hans", []string{"已经收到", "已经过初审", "已被采纳，受理人员正在落实", "有问题要问您", "已被采纳，受理人员正在落实", "落实情况见下面的答复", "已经落实", "重新审议"}, "立案"},
	} {
		s := newSite(t, tipboxtest.Config{Kind: tipbox.KindSuggestion})
		s.lang = c.lang
		words := s.tip(t, "Count the cash twice.").words(t)
		tip := s.read(t).Tip
		step := 0
		told := func() {
			t.Helper()
			said := s.send(t, s.codeForm(t, words)).want(t, 200).page.id(t, "case").inner()
			if !strings.Contains(said, c.words[step]) || strings.Contains(said, c.tip) {
				t.Errorf("%s, step %d: %s", c.lang, step, said)
			}
			step++
		}
		finding := tipbox.Act{Action: tipbox.ActionFinding, Text: "so", Detail: &tipbox.Detail{Finding: tipbox.Substantiated}}
		told()
		s.Act("bob", tip, tipbox.Act{Action: tipbox.ActionAck, Text: "read"})
		told()
		s.Act("bob", tip, tipbox.Act{Action: tipbox.ActionAccept, Text: "good"})
		told()
		s.Act("bob", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: s.Member("carol")})
		s.Act("bob", tip, tipbox.Act{Action: tipbox.ActionAssign, Owner: "bob", Due: "2026-12-20", Text: "do it"})
		s.Act("bob", tip, tipbox.Act{Action: tipbox.ActionAsk, Text: "Which cash?"})
		told()
		s.Act("bob", tip, finding)
		s.Act("alice", tip, finding)
		told()
		s.Act("bob", tip, tipbox.Act{Action: tipbox.ActionAnswer, Text: "It is counted twice now."})
		told()
		s.Act("carol", tip, tipbox.Act{Action: tipbox.ActionClose, Text: "so it is"})
		told()
		s.Act("carol", tip, tipbox.Act{Action: tipbox.ActionReverify, Text: "is it?"})
		told()
		if step != len(c.words) {
			t.Errorf("%d steps", step)
		}
	}
}

func TestADeclinedSuggestionIsPromisedNoAnswer(t *testing.T) {
	s := newSite(t, tipboxtest.Config{Kind: tipbox.KindSuggestion})
	words := s.tip(t, "Count the cash twice.").words(t)
	s.Act("bob", s.read(t).Tip, tipbox.Act{Action: tipbox.ActionDecline, Text: "It is done already.", Detail: &tipbox.Detail{Reason: tipbox.OutOfScope}})
	said := s.send(t, s.codeForm(t, words)).want(t, 200).page.id(t, "case").inner()
	if !strings.Contains(said, "It has not been adopted") || strings.Contains(said, "We promise an answer") {
		t.Errorf("it says: %s", said)
	}
}

func TestAThreadSaysOnWhichDayTheCodeWasUsedBefore(t *testing.T) {
	for lang, says := range map[string]string{"en": "last used on 22 November 2026. Was that not you?", "zh-Hans": "上一次使用是在2026年11月22日"} {
		s := newSite(t, tipboxtest.Config{})
		s.lang = lang
		words := s.tip(t, secret).words(t)
		for range 2 {
			if a := s.send(t, s.codeForm(t, words)).want(t, 200); strings.Contains(a.Body.String(), "last-used") {
				t.Error("a use of the same day is told of")
			}
		}
		s.Clock.Advance(4 * aDay)
		for range 2 {
			if got := s.send(t, s.codeForm(t, words)).want(t, 200).page.id(t, "last-used").inner(); !strings.Contains(got, says) {
				t.Errorf("it says: %s", got)
			}
		}
	}
}

func TestATriedCodeIsSaidToBeRight(t *testing.T) {
	for lang, says := range map[string]string{"en": "Your note is right", "zh-Hans": "您记对了"} {
		s := newSite(t, tipboxtest.Config{})
		s.lang = lang
		receiptPage := s.tip(t, secret)
		wrong := s.send(t, receiptPage.page.form(t, "/thread").set(t, "code", "zoo")).want(t, 422)
		if strings.Contains(wrong.notice(), says) {
			t.Error("a wrong code is right")
		}
		for _, page := range []*answer{receiptPage, wrong} { // at once, or when it was asked for again
			if a := s.send(t, page.page.form(t, "/thread").set(t, "code", receiptPage.digits(t))).want(t, 200); !strings.Contains(a.notice(), says) {
				t.Errorf("it is told: %q", a.notice())
			}
		}
		if a := s.send(t, s.codeForm(t, receiptPage.words(t))).want(t, 200); a.notice() != "" {
			t.Errorf("who only opens the thread is told: %q", a.notice())
		}
	}
}

func TestTheReceiptHasAFoldedQRCodeOfItsDigits(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	a := s.tip(t, secret)
	card := a.page.all(func(n *node) bool { return n.tag == "section" && n.attr["class"] == "card" })
	if len(card) != 1 {
		t.Fatalf("%d cards", len(card))
	}
	folded := card[0].tags("details")
	if len(folded) != 1 || len(folded[0].tags("svg")) != 1 {
		t.Fatal("there is no folded QR code on the card")
	}
	if _, open := folded[0].attr["open"]; open {
		t.Error("it is open, so it is printed")
	}
	if said := folded[0].inner(); !strings.Contains(said, "photograph") {
		t.Errorf("no warning: %s", said)
	}
	code, err := qr.Encode(strings.ReplaceAll(a.digits(t), " ", ""), qr.L)
	if err != nil {
		t.Fatal(err)
	}
	const margin = 4
	dark := modules(t, folded[0].tags("path")...)
	for y := -margin; y < code.Size+margin; y++ {
		for x := -margin; x < code.Size+margin; x++ {
			if dark[module{x + margin, y + margin}] != code.Black(x, y) {
				t.Fatalf("module %d, %d is not as in the code of the digits", x, y)
			}
		}
	}
	if n := len(unpadded(a.Body.Bytes())); n > 20<<10 {
		t.Errorf("the page has %d bytes", n)
	}
}

type module struct{ x, y int }

// modules are the dark ones of paths of moves and lines, one module wide.
func modules(t *testing.T, paths ...*node) map[module]bool {
	t.Helper()
	dark := make(map[module]bool)
	for _, path := range paths {
		var at module
		for _, step := range regexp.MustCompile(`([Mmhv])(-?\d+) ?(-?\d*)`).FindAllStringSubmatch(path.attr["d"], -1) {
			n, _ := strconv.Atoi(step[2])
			m, _ := strconv.Atoi(step[3])
			switch step[1] {
			case "M":
				at = module{n, m}
			case "m":
				at = module{at.x + n, at.y + m}
			case "h", "v":
				if want := map[string]string{"h": "translate(0 .5)", "v": "translate(.5 0)"}[step[1]]; path.attr["transform"] != want {
					t.Fatalf("a line %s is moved by %s", step[1], path.attr["transform"])
				}
				for range n {
					dark[at] = true
					if step[1] == "h" {
						at.x++
					} else {
						at.y++
					}
				}
			}
		}
	}
	return dark
}
