package webtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing/fstest"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
)

// A state is one that a page can be in: what is done before it, once, and how it is
// reached in each language.
type state struct {
	name   string
	status int
	before func(*world)
	ask    ask
}

var (
	tooLong = strings.Repeat("x", tipbox.MaxText+1)
	word    = strings.Repeat("abandon ", 11)
)

// states are all of them, in an order in which each can be reached. What a state
// breaks is whole again after it.
var states = []state{
	{"home, without rewards", 200, nil, get("/")},
	{"no such page: rewards", 404, nil, get("/reward")},
	{"no data of rewards", 404, nil, get("/reward.json")},
	{"home", 200, (*world).reward, get("/")},
	{"home, by its bare address", 200, nil, getPlain("/")},
	{"healthz", 200, nil, get("/healthz")},

	{"home, with an onion service", 200, withOnion, get("/")},
	{"home, by the onion service", 200, withOnion, over(get("/"))},

	{"tip form", 200, nil, get("/tip")},
	{"tip form, with an onion service", 200, withOnion, get("/tip")},
	{"tip form, by the onion service", 200, withOnion, over(get("/tip"))},
	{"tip form, for a subject", 200, nil, get("/tip", "channel", "bribery")},
	{"tip form, no room for files", 200, filling, get("/tip")},
	{"tip: nothing written", 422, nil, tip("text", " ")},
	{"tip: too long", 422, nil, tip("text", tooLong)},
	{"tip: no channel", 422, nil, tip("channel", "")},
	{"tip: unknown channel", 422, nil, tip("channel", "none")},
	{"tip: everybody left out", 422, nil, tip("leave-out", "alice", "leave-out", tipbox.LeaveOutUnit("Inspectorate"))},
	{"tip: a file to be chosen again", 422, nil, withFile(tip("text", tooLong))},
	{"tip: no room for the file", 507, filling, withFile(tip())},
	{"tip: a file too large", 413, nil, withFiles(1, maxFile+1, tip())},
	{"tip: too many files", 413, nil, withFiles(tipbox.MaxFiles+1, 0, tip())},
	{"tip: somebody left out who is not there any more", 409, nil, tip("leave-out", "mallory")},
	{"tip: sent again, to others", 409, nil, sentTo("bob", "alice")},
	{"tip: cut off", 400, nil, cut(withFile(tip()))},
	{"tip: not kept", 503, breaking("apply"), tip()},
	{"tip: form expired", 409, then((*world).growOld, days(3)), lateTip},
	{"receipt", 200, nil, tip()},

	{"code form", 200, nil, get("/thread")},
	{"code form, with an onion service", 200, withOnion, get("/thread")},
	{"code form, by the onion service", 200, withOnion, over(get("/thread"))},
	{"code: empty", 422, nil, typed(" ")},
	{"code: short", 422, nil, typed("zoo zoo")},
	{"code: a word misspelt", 422, nil, typed(word + "abuot")},
	{"code: a word of no list", 422, nil, typed(word + "xqxqxq")},
	{"code: words that do not fit", 422, nil, typed(strings.Repeat("zoo ", 12))},
	{"code: nobody's", 404, nil, typed(receipt.New().Digits())},
	{"code form, cut off", 400, nil, noForm("/thread")},
	{"thread that cannot be read", 503, then(sending("tip"), breaking("get")), code("tip")},
	{"receipt to keep", 200, nil, of("tip", "/thread/receipt")},
	{"proof to keep", 200, nil, of("tip", "/thread/proof")},
	{"code tried", 200, nil, practising("tip")},
	{"code tried in vain", 422, nil, post("/thread", "code", "zoo zoo", "practise", "yes")},

	{"thread, new", 200, nil, code("tip")},
	{"thread, no room for files", 200, filling, code("tip")},
	{"erase: not sure", 422, nil, of("tip", "/thread/erase")},
	{"erased", 200, nil, fresh((*world).send, "/thread/erase", "sure", "yes")},
	{"thread, read", 200, func(w *world) { w.Open("alice", w.cases["tip"].tip) }, code("tip")},
	{"erase: read already", 409, nil, of("tip", "/thread/erase", "sure", "yes")},
	{"message: nothing written", 422, nil, of("tip", "/thread/message", "text", " ")},
	{"message: a file to be chosen again", 422, nil, withFile(of("tip", "/thread/message", "text", tooLong))},
	{"message: no room for the file", 507, filling, withFile(of("tip", "/thread/message", "text", "more"))},
	{"message: not kept", 503, breaking("apply"), of("tip", "/thread/message", "text", "more")},
	{"message: another came first", 409, breaking("conflict"), of("tip", "/thread/message", "text", "more")},
	{"message: the thread is full", 507, breaking("full"), of("tip", "/thread/message", "text", "more")},
	{"message: arrived", 200, nil, fresh((*world).send, "/thread/message", "text", "more")},
	{"thread with files", 200, then(message("tip", 1), message("tip", 2)), code("tip")},
	{"thread, acknowledged", 200, act("alice", "tip", tipbox.Act{Action: tipbox.ActionAck, Text: "Thank you, we have read it."}), code("tip")},
	{"thread, answered, long", 200, act("bob", "tip", tipbox.Act{Action: tipbox.ActionReply, Text: longReply}), code("tip")},
	{"thread, accepted", 200, act("alice", "tip", tipbox.Act{Action: tipbox.ActionAccept}), code("tip")},
	{"thread, assigned", 200, act("alice", "tip", tipbox.Act{Action: tipbox.ActionAssign, Owner: "alice", Due: "2099-12-20"}), code("tip")},
	{"thread, awaiting the source", 200, act("alice", "tip", tipbox.Act{Action: tipbox.ActionAsk, Text: "Which year?"}), code("tip")},
	{"thread, under investigation", 200, message("tip", 0), code("tip")},
	{"thread, found", 200, then(act("alice", "tip", finding), act("bob", "tip", finding)), code("tip")},
	{"thread, told what came of it", 200, act("alice", "tip", tipbox.Act{Action: tipbox.ActionAnswer, Text: "It was so."}), code("tip")},
	{"thread, closed", 200, (*world).close, code("tip")},
	{"thread, looked at again", 200, act("carol", "tip", tipbox.Act{Action: tipbox.ActionReverify, Text: "A draw wants it."}), code("tip")},
	{"thread, declined", 200, then(sending("declined"), act("alice", "declined", tipbox.Act{
		Action: tipbox.ActionDecline, Text: "It is not for us.", Detail: &tipbox.Detail{Reason: tipbox.OutOfScope},
	})), code("declined")},
	{"thread, damaged", 200, (*world).damageOne, code("damaged")},

	{"award, not decided", 200, proposing("award"), code("award")},
	{"award, granted", 200, then(decide("peter", "award", tipbox.ActionApprove, ""), decide("paula", "award", tipbox.ActionApprove, "")), code("award")},
	{"claim: no details", 422, nil, of("award", "/thread/claim", "choice", "details", "details", " ")},
	{"claim: details too long", 422, nil, of("award", "/thread/claim", "choice", "details", "details", tooLong[:tipbox.MaxDetails+1])},
	{"claim: no such choice", 409, nil, of("award", "/thread/claim", "choice", "gold")},
	{"claim: not kept", 503, breaking("apply"), of("award", "/thread/claim", "choice", "waive")},
	{"award, near its end", 200, days(61), code("award")},
	{"award, on hold", 200, act("alice", "award", tipbox.Act{Action: tipbox.ActionHold, Text: "a court"}), code("award")},
	{"award, expired", 200, then(act("alice", "award", tipbox.Act{Action: tipbox.ActionRelease}), days(40)), code("award")},
	{"award, refused", 200, refusing("refused"), code("refused")},
	{"appeal: no reason", 422, nil, of("refused", "/thread/appeal", "text", " ")},
	{"appeal: arrived", 200, nil, fresh((*world).refuse, "/thread/appeal", "text", "It was not.")},
	{"award, appealed", 200, (*world).appeal, code("refused")},
	{"award, refused for good", 200, decide("pia", "refused", tipbox.ActionRefuse, "It was."), code("refused")},
	{"award, waived", 200, claiming("waived", tipbox.Claim{Choice: tipbox.ClaimWaive}), code("waived")},
	{"award, claimed as details", 200, claiming("details", tipbox.Claim{Choice: tipbox.ClaimDetails, Details: "account 1234"}), code("details")},
	{"award, payable", 200, issue("details"), code("details")},
	{"award, that nobody can pay", 200, striking("penny"), code("details")},
	{"award, given to a charity", 200, then(claiming("charity", tipbox.Claim{Choice: tipbox.ClaimCharity, Charity: "library"}), issue("charity")), code("charity")},
	{"claim: arrived", 200, granting("voucher"), of("voucher", "/thread/claim", "choice", "voucher")},
	{"award, claimed as vouchers", 200, nil, code("voucher")},
	{"award, claimed as vouchers that end", 200, (*world).endVouchers, code("voucher")},
	{"award, issued", 200, then(func(w *world) { w.denominations("2040-12-31") }, issue("voucher")), code("voucher")},
	{"voucher, the first", 200, nil, of("voucher", "/thread/voucher", "voucher", "1")},
	{"voucher, one between", 200, nil, of("voucher", "/thread/voucher", "voucher", "2")},
	{"voucher, the last", 200, nil, of("voucher", "/thread/voucher", "voucher", "9")},
	{"vouchers to keep", 200, nil, of("voucher", "/thread/voucher", "voucher", "all")},
	{"part: no such sum", 422, granting("shared"), of("shared", "/thread/part", "part", "1", "amount", "150")},
	{"part: none to be had", 409, nil, of("shared", "/thread/part", "part", "7", "amount", "1000")},
	{"code of a part", 200, nil, of("shared", "/thread/part", "part", "1", "amount", "1000")},
	{"code of a part, again", 200, nil, (*world).askPart},
	{"award, shared", 200, nil, code("shared")},
	{"part, granted", 200, nil, code("part 1")},
	{"part: no details", 422, nil, of("part 1", "/thread/claim", "choice", "details", "details", " ")},
	{"award, some parts taken", 200, (*world).takeParts, code("shared")},
	{"part, claimed", 200, nil, code("part 2")},
	{"part, waived", 200, nil, code("part 3")},
	{"award, no part taken in time", 200, days(91), code("shared")},
	{"part, expired", 200, nil, code("part 1")},
	{"voucher of no award", 409, nil, of("tip", "/thread/voucher", "voucher", "1")},
	{"claims for a tool", 200, nil, (*world).askClaims},

	{"late: message kept", 409, (*world).growOld, withFile(late("/thread/message", "text", "what I typed"))},
	{"late: message kept, the code is wrong", 422, nil, late("/thread/message", "text", "what I typed", "code", "zoo zoo")},
	{"late: message kept, no room for files", 409, filling, late("/thread/message", "text", "what I typed")},
	{"late: erase", 409, nil, late("/thread/erase", "sure", "yes")},
	{"late: receipt", 409, nil, late("/thread/receipt")},
	{"late: proof", 409, nil, late("/thread/proof")},
	{"late: part", 409, nil, late("/thread/part", "part", "1", "amount", "1000")},
	{"late: claim", 409, nil, late("/thread/claim", "choice", "waive")},
	{"late: appeal", 409, nil, late("/thread/appeal", "text", "It was not.")},
	{"late: voucher", 409, nil, late("/thread/voucher", "voucher", "1")},

	{"rewards", 200, nil, get("/reward")},
	{"rewards: a range", 200, nil, get("/reward", "scale", "test", "amount", "100000")},
	{"rewards: up to", 200, nil, get("/reward", "scale", "tiers", "evidence", "poor", "amount", "100000")},
	{"rewards: one sum", 200, nil, get("/reward", "scale", "tiers", "evidence", "good", "amount", "1500000")},
	{"rewards: nothing", 200, nil, get("/reward", "scale", "tiers", "evidence", "good", "amount", "10")},
	{"rewards: no sum", 422, nil, get("/reward", "scale", "test", "amount", "")},
	{"rewards: no number", 422, nil, get("/reward", "scale", "test", "amount", "much")},
	{"rewards: too large", 422, nil, get("/reward", "scale", "test", "amount", strings.Repeat("9", 30))},
	{"rewards: nothing chosen", 422, nil, get("/reward", "scale", "tiers", "amount", "much")},
	{"rewards: another scale", 422, nil, get("/reward", "scale", "none", "amount", "1")},
	{"data of rewards", 200, nil, get("/reward.json")},

	{"robots", 200, nil, get("/robots.txt")},
	{"nobody to tell of a fault", 404, nil, get("/.well-known/security.txt")},
	{"whom to tell of a fault", 200, own, get("/.well-known/security.txt")},
	{"home of one's own", 200, own, get("/")},
	{"page in English only", 200, own, get("/rules")},
	{"who runs this, to be reached", 200, own, get("/who")},
	{"thread of one's own", 200, own, code("tip")},

	{"no such page", 404, nil, get("/none")},
	{"method not allowed", 405, nil, get("/thread/message")},
	{"internal error", 500, then(days(5), breaking("scan")), get("/tip")},
	{"tip: form expired, and no other", 409, then((*world).growOld, days(3), breaking("scan")), lateTip},
}

// suggestions are the states of where tips are suggestions, and no proofs are offered.
var suggestions = []state{
	{"receipt of a suggestion", 200, nil, tip()},
	{"suggestion, new", 200, sending("tip"), code("tip")},
	{"no proof of a suggestion", 404, nil, of("tip", "/thread/proof")},
	{"suggestion, screened", 200, act("alice", "tip", tipbox.Act{Action: tipbox.ActionAck, Text: "Thank you, we have read it."}), code("tip")},
	{"suggestion, adopted", 200, then(
		act("alice", "tip", tipbox.Act{Action: tipbox.ActionAccept}),
		act("alice", "tip", tipbox.Act{Action: tipbox.ActionAssign, Owner: "alice", Due: "2099-12-20"}),
	), code("tip")},
	{"suggestion, awaiting the source", 200, act("alice", "tip", tipbox.Act{Action: tipbox.ActionAsk, Text: "Where?"}), code("tip")},
	{"suggestion, answered", 200, then(
		act("alice", "tip", finding), act("bob", "tip", finding), act("alice", "tip", tipbox.Act{Action: tipbox.ActionAnswer, Text: "It is done."}),
	), code("tip")},
	{"suggestion, carried out", 200, (*world).close, code("tip")},
	{"suggestion, looked at again", 200, act("carol", "tip", tipbox.Act{Action: tipbox.ActionReverify, Text: "A draw wants it."}), code("tip")},
	{"suggestion, declined", 200, then(sending("declined"), act("alice", "declined", tipbox.Act{
		Action: tipbox.ActionDecline, Text: "It is done already.", Detail: &tipbox.Detail{Reason: tipbox.OutOfScope},
	})), code("declined")},
}

// longReply has what pages get wrong: empty lines, markup, a word without a break.
var longReply = "Thank you.\n\nWhich account was it? <b>Not</b> &amp; bold, and a long line: https://example.org/" +
	strings.Repeat("0123456789", 30) + "\n\n" + strings.Repeat("We would like to know more about the folder. ", 12)

// sentTo sends a form again that was sent already, to other readers.
func sentTo(others, first string) ask {
	return func(w *world, lang string) *http.Request {
		w.t.Helper()
		token, err := w.Service.FormToken(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		d, err := w.Service.NewTip(w.t.Context(), token)
		if err != nil {
			w.t.Fatal(err)
		}
		defer d.Abort()
		_, err = w.Service.Submit(w.t.Context(), d, tipbox.Submission{Channel: "off-book-funds", LeaveOut: []string{others}, Text: "They keep a second book.", Lang: lang})
		if err != nil {
			w.t.Fatal(err)
		}
		return tip("token", token, "leave-out", first)(w, lang)
	}
}

// close has a reviewer close the case.
func (w *world) close() {
	tip := w.cases["tip"].tip
	w.Act("alice", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: w.Member("carol")})
	w.Act("carol", tip, tipbox.Act{Action: tipbox.ActionClose})
}

func (w *world) damageOne() {
	c := w.send("damaged")
	w.Reply("bob", c.tip, "Which year?")
	w.damage(c.tip, 2)
}

func (w *world) appeal() {
	c := w.cases["refused"]
	if err := w.Service.Appeal(w.t.Context(), c.code, c.award, "en", "It was not."); err != nil {
		w.t.Fatal(err)
	}
}

// endVouchers has every denomination end before vouchers of it could be fetched.
func (w *world) endVouchers() {
	w.denominations(w.Service.Today())
}

// denominations lets every denomination end on a day.
func (w *world) denominations(until string) {
	changed := slices.Clone(w.Service.Roster().Denominations)
	for i := range changed {
		changed[i].Until = until
	}
	w.SetDenominations(changed...)
}

// practising enters the code of a tip where the receipt's page has it tried.
func practising(name string) ask {
	return func(w *world, lang string) *http.Request {
		return post("/thread", "practise", "yes", "code", w.cases[name].code.Words(lang))(w, lang)
	}
}

// askPart asks for the code of the first part that was made.
func (w *world) askPart(lang string) *http.Request {
	w.part(1)
	return of("shared", "/thread/part", "show", fmt.Sprint(w.cases["part 1"].award))(w, lang)
}

// part makes a part of 1,000 CNY, or finds it.
func (w *world) part(index int) {
	w.t.Helper()
	whole := w.cases["shared"]
	code, err := w.Service.Part(w.t.Context(), whole.code, whole.award, index, 1_000_00)
	if err != nil {
		w.t.Fatal(err)
	}
	thread, err := w.Service.Thread(w.t.Context(), code)
	if err != nil {
		w.t.Fatal(err)
	}
	w.cases[fmt.Sprint("part ", index)] = &sent{code: code, tip: whole.tip, award: thread.Awards[0].Number}
}

// takeParts makes two more parts, of which one is claimed and one waived.
func (w *world) takeParts() {
	w.t.Helper()
	for i, choice := range []string{tipbox.ClaimVoucher, tipbox.ClaimWaive} {
		w.part(i + 2)
		part := w.cases[fmt.Sprint("part ", i+2)]
		if err := w.Service.Claim(w.t.Context(), part.code, tipbox.Claim{Award: part.award, Choice: choice}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// ownSite is a site that an operator has changed: it has all that one may have.
var ownSite = fstest.MapFS{
	"logo.svg": {Data: []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><path d="M0 0h120v40H0z" fill="#0b595c"/></svg>`)},
	"site.toml": {Data: []byte(`
logo = "logo.svg"
accent_light = "#0b595c"
accent_dark = "#83cbc8"
security_contact = "mailto:security@example.org"
security_canonical = "https://example.org/.well-known/security.txt"
[contact]
en = ["Audit Office, Example City", "Telephone: 555 0100, weekdays 9 to 17"]
`)},
	"pages/who.en.md":   {Data: []byte("# Who runs this\n\nThe audit office of Example City.\n")},
	"pages/rules.en.md": {Data: []byte("# The rules of the house\n\n## Money\n\nAll of it is in the books.\n\n| Office | Book |\n|---|---|\n| Audit office | 1 |\n")},
}

// growOld leaves a form and a page open for too long.
func (w *world) growOld() {
	token, err := w.Service.FormToken(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.token, w.session = token, w.Service.Session(receipt.New())
	w.Clock.Advance(2 * tipbox.SessionLife)
}

// lateTip sends a tip with the form that has grown old.
func lateTip(w *world, lang string) *http.Request {
	return form("/tip", lang, url.Values{"token": {w.token}, "channel": {"off-book-funds"}, "text": {"They keep a second book."}})
}

// cut ends a request before its end.
func cut(asks ask) ask {
	return func(w *world, lang string) *http.Request {
		r := asks(w, lang)
		r.Body = io.NopCloser(io.LimitReader(r.Body, r.ContentLength-20))
		return r
	}
}

// noForm sends what is no form, so that only the browser says the language.
func noForm(path string) ask {
	return func(_ *world, lang string) *http.Request {
		r := httptest.NewRequest("POST", path, strings.NewReader("x"))
		r.Header.Set("Accept-Language", lang)
		return r
	}
}

// askClaims asks as a source's own tool does.
func (w *world) askClaims(string) *http.Request {
	locator := w.cases["voucher"].code.Locator()
	body, err := json.Marshal(tipbox.ClaimRequest{Locator: locator[:]})
	if err != nil {
		w.t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/claim.json", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}
