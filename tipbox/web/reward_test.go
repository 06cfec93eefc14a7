package web_test

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"tipbox/crypto/roster"
	"tipbox/static"
	"tipbox/tipbox/tipboxtest"
)

// shipped is a schedule of the default site.
func shipped(t testing.TB, name string) roster.Schedule {
	t.Helper()
	f, err := static.Site("no such folder").Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var s roster.Schedule
	if err := toml.NewDecoder(f).DisallowUnknownFields().Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// everySchedule are two that have all that a schedule can have, with hostile
// texts.
func everySchedule() []roster.Schedule {
	texts := map[string]string{"en": hostile, "zh-Hans": hostile}
	a := roster.Schedule{
		ID: "a", Since: "2026-01-01", Channels: []string{"off-book-funds"}, Title: texts, Example: true, Currency: "CNY", Base: "collected",
		Evidence: []roster.Evidence{{ID: "good", Title: texts}, {ID: "poor", Title: texts}},
		Tiers: []roster.Tier{
			{Evidence: "good", Low: 300, High: 550, Floor: 5_00}, {Evidence: "good", From: 1_000_000_50, Low: 600, High: 600}, {Evidence: "poor", Low: 0, High: 1},
		},
		Cap: 100_000_00, Unit: 5, Minimum: 10_00, ClaimDays: 60,
		Approvers: []roster.Approval{{From: 0, Votes: 1}, {From: 50_000_00, Votes: 3}},
		Charities: []roster.Charity{{ID: "c", Name: texts}},
	}
	b := a
	b.ID, b.Channels, b.Currency, b.Base, b.Example = "b", nil, "JPY", "found", false
	b.Evidence, b.Tiers = nil, []roster.Tier{{Low: 100, High: 100}, {From: 5_000_000, Low: 0, High: 500}}
	return []roster.Schedule{a, b}
}

// rewardPages are pages of everySchedule, by what is behind "reward" in the name.
var rewardPages = map[string]string{
	"":                     "/reward",
	": fixed":              "/reward?scale=b&amount=1000000",
	": up to":              "/reward?scale=b&amount=5000000",
	": range":              "/reward?scale=a&evidence=good&amount=100000.50",
	": nothing":            "/reward?scale=a&evidence=poor&amount=1",
	": the first":          "/reward?evidence=good&amount=1000000.50",
	": refused sum":        "/reward?scale=a&evidence=good&amount=" + url.QueryEscape(hostile),
	": refused, empty":     "/reward?scale=a&evidence=good&amount=",
	": refused, large":     "/reward?scale=b&amount=9999999999999999999999",
	": refused, evidence":  "/reward?scale=a&amount=1&evidence=" + url.QueryEscape(hostile),
	": refused, all wrong": "/reward?scale=a&amount=x",
	": refused, over":      "/reward?scale=" + url.QueryEscape(hostile) + "&amount=1",
}

func rewardSite(t testing.TB, schedules ...roster.Schedule) *site {
	t.Helper()
	s := newSite(t, tipboxtest.Config{})
	s.SetSchedules(schedules...)
	return s
}

// calculator is the form of a schedule.
func (a *answer) calculator(t testing.TB, id string) *form {
	t.Helper()
	return a.page.id(t, "try-"+id).asForm(t)
}

// ask fills in a form and asks, as a browser does.
func (s *site) ask(t testing.TB, f *form) *answer {
	t.Helper()
	path, _, _ := strings.Cut(f.action, "#")
	return s.get(t, path+"?"+f.values.Encode())
}

// said is what a calculator answers, "" if nothing.
func (a *answer) said(t testing.TB, id string) string {
	t.Helper()
	for _, n := range a.page.id(t, "try-"+id).all(func(n *node) bool { return n.attr["role"] == "status" }) {
		return strings.TrimSpace(n.inner())
	}
	return ""
}

func TestWithoutAScheduleThereIsNoPromise(t *testing.T) {
	wantNone := func(s *site, why string) {
		t.Helper()
		s.get(t, "/reward").want(t, 404)
		s.get(t, "/reward?amount=1").want(t, 404)
		for _, path := range []string{"/", "/tip"} {
			if strings.Contains(s.get(t, path).Body.String(), "/reward") {
				t.Errorf("%s: %s leads to it", why, path)
			}
		}
	}
	s := newSite(t, tipboxtest.Config{})
	wantNone(s, "no schedule")
	s.get(t, "/reward.json").want(t, 404)

	future, elsewhere := shipped(t, "schedule.toml"), shipped(t, "schedule.toml")
	future.Since = "2026-11-23"
	elsewhere.Channels = []string{"unread"}
	ending := roster.Schedule{ID: "end", Since: "2026-02-01", Title: map[string]string{"en": "End"}, Currency: "CNY"}
	wantNone(rewardSite(t, future), "one that is to come")
	wantNone(rewardSite(t, elsewhere), "one of a channel that is not on offer")
	wantNone(rewardSite(t, shipped(t, "schedule.toml"), ending), "one that has ended")

	all, own := shipped(t, "schedule.toml"), shipped(t, "schedule.toml")
	all.Channels, own.Channels = nil, []string{"bribery"}
	own.ID, own.Since = "own", "2026-02-01"
	s = rewardSite(t, all, own)
	for id, want := range map[string]string{all.ID: "Off-book funds", "own": "Bribery"} {
		n := s.get(t, "/reward").page.id(t, "scale-"+id)
		for _, section := range s.get(t, "/reward").page.tags("section") {
			if section.attr["aria-labelledby"] == n.attr["id"] && section.tags("td")[0].inner() != want {
				t.Errorf("schedule %s is for %q, want %q", id, section.tags("td")[0].inner(), want)
			}
		}
	}

	s = rewardSite(t, shipped(t, "schedule.toml"))
	for _, path := range []string{"/", "/tip", "/?lang=zh-Hans", "/tip?lang=zh-Hans"} {
		_, lang, _ := strings.Cut(path, "?")
		if want := `href="` + strings.TrimSuffix("/reward?"+lang, "?") + `"`; !strings.Contains(s.get(t, path).Body.String(), want) {
			t.Errorf("%s has no %s", path, want)
		}
	}
}

func TestRewardPageSaysWhatTheScheduleDoes(t *testing.T) {
	market := shipped(t, "examples/market-2021.toml")
	market.Channels = []string{"bribery"}
	s := rewardSite(t, shipped(t, "schedule.toml"), market)
	a := s.get(t, "/reward").want(t, 200)
	a.contains(t, "Example, check with your lawyer", "3% to 5%", "CN¥100,000 a case", "Down to a multiple of CN¥100", "Off-book funds", "90 days from the award", "30 days before the end",
		"1 approver2 approvers, from CN¥10,000 on3 approvers, from CN¥50,000 on", "found and collected", "A gift to Example Charity",
		"Details and direct evidence, fully confirmed", "5%at least CN¥5,000", "3%at least CN¥3,000", "1%at least CN¥1,000", "CN¥1,000,000 a case", "Bribery")
	s.lang = "zh-CN"
	s.get(t, "/reward").want(t, 200).contains(t, "示例，请咨询律师", "3% 至 5%", "每案 ￥100,000", "向下取整为 ￥100 的倍数", "3 人审批，￥50,000 起", "捐给示例慈善机构", "小金库", "一级：")

	checked := shipped(t, "schedule.toml")
	checked.Example, checked.Charities = false, nil
	said := rewardSite(t, checked).get(t, "/reward").page.inner()
	for _, gone := range []string{"lawyer", "A gift to"} {
		if strings.Contains(said, gone) {
			t.Errorf("the page says %q", gone)
		}
	}
}

func TestOnlyWhatIsInForceIsOnThePage(t *testing.T) {
	old, now, next := shipped(t, "schedule.toml"), shipped(t, "schedule.toml"), shipped(t, "schedule.toml")
	old.ID, now.ID, next.ID = "old", "now", "next"
	old.Since, now.Since, next.Since = "2025-01-01", "2026-11-22", "2026-11-23"
	s := rewardSite(t, old, now, next)
	a := s.get(t, "/reward").want(t, 200)
	a.page.id(t, "scale-now")
	if forms := a.page.tags("form"); len(forms) != 1 {
		t.Errorf("there are %d schedules", len(forms))
	}
	var all struct {
		Organisation string            `json:"organisation"`
		Schedules    []roster.Schedule `json:"schedules"`
	}
	dec := json.NewDecoder(s.get(t, "/reward.json").want(t, 200).Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&all); err != nil || all.Organisation != "Example City" {
		t.Fatal(all, err)
	}
	var ids []string
	for i, published := range all.Schedules {
		ids = append(ids, published.ID)
		if !published.Equal(&[]roster.Schedule{old, now, next}[i]) {
			t.Errorf("schedule %s is published as another", published.ID)
		}
	}
	if !slices.Equal(ids, []string{"old", "now", "next"}) {
		t.Errorf("published are %q", ids)
	}
	if x, y := s.get(t, "/reward.json").Body.String(), s.get(t, "/reward.json?lang=zh-Hans").Body.String(); x != y {
		t.Error("the data is not the same for everybody")
	}
}

func TestCalculator(t *testing.T) {
	market := shipped(t, "examples/market-2021.toml")
	market.Channels = []string{"bribery"}
	s := rewardSite(t, shipped(t, "schedule.toml"), market)
	for _, c := range []struct{ lang, id, amount, evidence, want string }{
		{"en", "off-book-funds-2009", "1000000", "", "CN¥1,000,000 would bring from CN¥30,000 to CN¥50,000. 3 approvers must sign it."},
		{"en", "off-book-funds-2009", "1,000,000.00", "", "CN¥1,000,000 would bring from CN¥30,000 to CN¥50,000. 3 approvers must sign it."},
		{"en", "off-book-funds-2009", "10 000 000", "", "CN¥10,000,000 would bring CN¥100,000. 3 approvers must sign it."},
		{"en", "off-book-funds-2009", "2500.50", "", "CN¥2,500.50 would bring up to CN¥100. 1 approver must sign it."},
		{"en", "off-book-funds-2009", "99", "", "For CN¥99 nothing is paid."},
		{"en", "market-2021", "1", "first", "CN¥1 would bring CN¥5,000. 2 approvers must sign it."},
		{"en", "market-2021", "5000000", "second", "CN¥5,000,000 would bring CN¥150,000. 2 approvers must sign it."},
		{"zh-Hans", "off-book-funds-2009", "１００万元", "", "￥1,000,000 可奖励 ￥30,000 至 ￥50,000。 须有 3 人审批。"},
		{"zh-Hans", "market-2021", "￥１，０００，０００．００", "third", "￥1,000,000 可奖励 ￥10,000。 须有 2 人审批。"},
	} {
		s.lang = c.lang
		f := s.get(t, "/reward").calculator(t, c.id).set(t, "amount", c.amount)
		if c.evidence != "" {
			f.set(t, "evidence", c.evidence)
		}
		a := s.ask(t, f).want(t, 200)
		if got := a.said(t, c.id); got != c.want {
			t.Errorf("%s of %s says %q, want %q", c.amount, c.id, got, c.want)
		}
		for id, other := range map[string]string{"off-book-funds-2009": "market-2021", "market-2021": "off-book-funds-2009"} {
			if c.id == id && (a.said(t, other) != "" || a.calculator(t, other).values.Get("amount") != "") {
				t.Errorf("%s was asked, and %s answers", id, other)
			}
		}
		again := a.calculator(t, c.id).values
		if again.Get("amount") != c.amount || again.Get("evidence") != c.evidence {
			t.Errorf("what was typed became %v", again)
		}
		if a.lang() != c.lang {
			t.Errorf("the answer is in %s", a.lang())
		}
	}
}

func TestCalculatorTiesErrorsToTheirField(t *testing.T) {
	s := rewardSite(t, shipped(t, "examples/market-2021.toml"))
	const id = "market-2021"
	empty := s.get(t, "/reward").calculator(t, id)
	if !slices.Equal(empty.required, []string{"amount", "evidence"}) {
		t.Errorf("required are %q", empty.required)
	}
	for _, c := range []struct{ amount, evidence, amountError, evidenceError string }{
		{"", "first", "Please enter a sum", ""},
		{" ", "first", "Please enter a sum", ""},
		{"many", "first", "cannot be read", ""},
		{"-5", "first", "cannot be read", ""},
		{"0", "first", "cannot be read", ""},
		{"1.234,56", "first", "cannot be read", ""},
		{"99999999999999999999", "first", "no such sum", ""},
		{"1000000000000000.01", "first", "no such sum", ""},
		{strings.Repeat("9", 5000), "first", "no such sum", ""},
		{"100", "", "", "choose the quality"},
		{"100", "rumour", "", "choose the quality"},
		{"x", "", "cannot be read", "choose the quality"},
	} {
		a := s.ask(t, empty.set(t, "amount", c.amount).set(t, "evidence", c.evidence)).want(t, 422)
		field := a.page.id(t, "amount-"+id)
		if got := field.attr["aria-invalid"] == "true"; got != (c.amountError != "") {
			t.Errorf("%q: the field is marked: %v", c.amount, got)
		}
		described := func(n *node, want string) {
			t.Helper()
			var all string
			for _, ref := range strings.Fields(n.attr["aria-describedby"]) {
				if strings.Contains(ref, "error") {
					all += a.page.id(t, ref).inner()
				}
			}
			if (all == "") != (want == "") || !strings.Contains(all, want) {
				t.Errorf("%q, %q: the field says %q, want %q", c.amount, c.evidence, all, want)
			}
		}
		described(field, c.amountError)
		described(a.page.tags("fieldset")[0], c.evidenceError)
		if a.said(t, id) != "" {
			t.Errorf("%q: it is answered all the same: %s", c.amount, a.said(t, id))
		}
		if got := field.attr["value"]; got != c.amount && len(c.amount) < 100 || len(got) > 100 {
			t.Errorf("%q became %q", c.amount, got)
		}
		if links := a.page.all(func(n *node) bool { return n.attr["hreflang"] != "" }); len(links) > 0 {
			t.Error("a link to another language would lose what was typed")
		}
	}
	a := s.get(t, "/reward?scale=gone&amount=1").want(t, 422)
	if !strings.Contains(a.notice(), "no longer in force") {
		t.Errorf("of a schedule that is over it says %q", a.notice())
	}
}

// TestAmountsAreReadAsPeopleTypeThem goes through the page: 1 yuan is the unit.
func TestAmountsAreReadAsPeopleTypeThem(t *testing.T) {
	yuan := shipped(t, "schedule.toml")
	yuan.Tiers, yuan.Cap, yuan.Unit = []roster.Tier{{Low: 10_000, High: 10_000}}, 0, 1
	yen := yuan
	yen.ID, yen.Currency = "yen", "JPY"
	dollars := yuan
	dollars.ID, dollars.Currency = "dollars", "USD"
	s := rewardSite(t, yuan, yen, dollars)
	s.lang = "en"
	for _, c := range []struct{ id, typed, want string }{
		{yuan.ID, "120000", "CN¥120,000"}, {yuan.ID, "120,000", "CN¥120,000"}, {yuan.ID, "120000.5", "CN¥120,000.50"}, {yuan.ID, "0.01", "CN¥0.01"},
		{yuan.ID, ".5", "CN¥0.50"}, {yuan.ID, "120000.50000", "CN¥120,000.50"}, {yuan.ID, "007", "CN¥7"},
		{yuan.ID, "12,0000", "CN¥120,000"}, {yuan.ID, "12,00,000", "CN¥1,200,000"}, {yuan.ID, "1'000'000", "CN¥1,000,000"}, {yuan.ID, "1 000\u00a0000", "CN¥1,000,000"},
		{yuan.ID, "１２０，０００．５０", "CN¥120,000.50"}, {yuan.ID, "　１２０　", "CN¥120"},
		{yuan.ID, "12万", "CN¥120,000"}, {yuan.ID, "1.5亿元", "CN¥150,000,000"}, {yuan.ID, "3百万", "CN¥3,000,000"}, {yuan.ID, "0.00001亿", "CN¥1,000"},
		{yuan.ID, "¥120", "CN¥120"}, {yuan.ID, "￥120", "CN¥120"}, {yuan.ID, "CN¥120", "CN¥120"}, {yuan.ID, "cny 120", "CN¥120"}, {yuan.ID, "120 CNY", "CN¥120"}, {yuan.ID, "120元", "CN¥120"},
		{yuan.ID, "1000000000000000", "CN¥1,000,000,000,000,000"},
		{"yen", "120000", "¥120,000"}, {"yen", "120,000.00", "¥120,000"}, {"dollars", "$120.75", "$120.75"}, {"dollars", "US$ 120", "$120"}, {"dollars", "120 usd", "$120"},
		{"yen", "120.5", ""}, {yuan.ID, "0.001", ""}, {yuan.ID, "1,23", ""}, {yuan.ID, "1,2,3", ""}, {yuan.ID, ",123", ""}, {yuan.ID, "123,", ""}, {yuan.ID, "1.2.3", ""}, {yuan.ID, "5.", ""},
		{yuan.ID, "1,000,00", ""}, {yuan.ID, "1,00000", ""}, {yuan.ID, "12345,678", ""}, {yuan.ID, "1,0,000", ""}, {yuan.ID, "1.000.000", ""}, {yuan.ID, "1e6", ""}, {yuan.ID, "0x10", ""}, {yuan.ID, "+5", ""}, {yuan.ID, "万", ""}, {yuan.ID, "元", ""}, {yuan.ID, ".", ""}, {yuan.ID, "五万", ""}, {yuan.ID, "120.000", ""},
	} {
		a := s.ask(t, s.get(t, "/reward").calculator(t, c.id).set(t, "amount", c.typed))
		got, _, found := strings.Cut(a.said(t, c.id), " would bring ")
		if got != c.want || found != (c.want != "") {
			t.Errorf("%s: %q is read as %q, want %q", c.id, c.typed, got, c.want)
		}
	}
}

// FuzzAmount types whatever: the page comes, and keeps it.
func FuzzAmount(f *testing.F) {
	for _, seed := range []string{"120000", "1,200.50", "１２万", "¥", "9999999999999999999", "\xff", "\x02", "\ufffe", "-1", hostile} {
		f.Add(seed)
	}
	s := rewardSite(f, shipped(f, "schedule.toml"))
	f.Fuzz(func(t *testing.T, typed string) {
		a := s.get(t, "/reward?amount="+url.QueryEscape(typed))
		if a.Code != 200 && a.Code != 422 || (a.said(t, "off-book-funds-2009") != "") != (a.Code == 200) {
			t.Errorf("%q: status %d, %s", typed, a.Code, a.said(t, "off-book-funds-2009"))
		}
	})
}

func TestNobodyLearnsWhoAskedTheCalculator(t *testing.T) {
	s := newBrokenSite(t)
	s.SetSchedules(shipped(t, "examples/market-2021.toml"))
	const amount = "71828182845904523"
	before := s.kept()
	for _, target := range []string{
		"/reward?amount=" + amount + "&evidence=first", "/reward?amount=" + amount + "&evidence=" + url.QueryEscape(secret) + "&scale=" + url.QueryEscape(secret),
		"/reward?amount=" + url.QueryEscape(secret) + "&" + amount, "/reward.json?amount=" + amount, "/reward?amount=" + amount + ";%zz" + amount,
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
			s.do(t, spy(httptest.NewRequest(method, target, nil)))
		}
	}
	s.wantQuiet(t)
	if bytes.Contains(s.logged(), []byte(amount[:8])) {
		t.Errorf("the log tells of the sum:\n%s", s.logged())
	}
	if after := s.kept(); !slices.Equal(before, after) {
		t.Errorf("something is kept: %q", after)
	}
	for name, content := range s.Stored() {
		if bytes.Contains(content, []byte(amount[:8])) {
			t.Errorf("%s holds the sum", name)
		}
	}
}
