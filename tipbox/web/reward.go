package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gorilla/mux"
	"golang.org/x/text/currency"
	"golang.org/x/text/number"
	"golang.org/x/text/unicode/norm"

	"tipbox/tipbox"
)

func (s *site) rewardRoutes(r *mux.Router) {
	r.Handle("/reward", s.handle(s.getReward)).Methods("GET", "HEAD")
	r.Handle("/reward.json", s.handle(s.getRewardJSON)).Methods("GET", "HEAD")
}

// rewardPage is what the page of rewards shows. What the calculator is asked
// stands in the page's address and is kept nowhere.
type rewardPage struct {
	Scales    []rewardScale
	Charities []template.HTML
}

// A rewardScale is a schedule as a table, with a calculator.
type rewardScale struct {
	ID      string
	Title   template.HTML
	Example bool
	Rows    []rewardRow

	Currency      string
	Sample        string // of a sum, as it may be typed
	Typed         string
	Evidence      []rewardEvidence
	AmountError   string
	EvidenceError string
	Result        []string // sentences
}

type rewardRow struct {
	Head   template.HTML
	Values []template.HTML
}

type rewardEvidence struct {
	ID     string
	Title  template.HTML
	Chosen bool
}

// getReward shows the scales in force and, if a sum is asked about, what it would
// bring.
func (s *site) getReward(w http.ResponseWriter, r *http.Request) error {
	scales := s.service.Scales()
	if len(scales) == 0 {
		return errNoPage
	}
	p := s.newPage(r, "reward.title")
	asked := r.URL.Query()
	status := http.StatusOK
	var shown rewardPage
	found := false
	for i, scale := range scales {
		view := p.scale(scale)
		if asked.Has("amount") && (asked.Get("scale") == scale.ID || i == 0 && !asked.Has("scale")) {
			found = true
			if !p.calculate(&view, scale.Schedule, asked) {
				status = http.StatusUnprocessableEntity
			}
		}
		shown.Scales = append(shown.Scales, view)
		for _, c := range scale.Charities {
			if name := p.In(c.Name); !slices.Contains(shown.Charities, name) {
				shown.Charities = append(shown.Charities, name)
			}
		}
	}
	if asked.Has("amount") {
		p.Languages = nil // a link would lose what was typed
		if !found {
			p.Notice, status = p.bad("reward.over"), http.StatusUnprocessableEntity
		}
	}
	p.Data = shown
	if !asksMore(asked) {
		mayBeIndexed(w)
	}
	return s.render(w, status, "reward", p)
}

// asksMore reports whether a query asks for more than a language.
func asksMore(query url.Values) bool {
	return len(query) > 1 || len(query) == 1 && !query.Has("lang")
}

// getRewardJSON sends every schedule there ever was. It is the same for everybody
// until another roster is installed, so that anybody may keep it for a while: one
// that takes an older one's place begins on a later day than it was signed.
func (s *site) getRewardJSON(w http.ResponseWriter, r *http.Request) error {
	schedules := s.service.Schedules()
	if len(schedules) == 0 {
		return errNoPage
	}
	body, err := json.Marshal(struct {
		Organisation string            `json:"organisation"`
		Schedules    []tipbox.Schedule `json:"schedules"`
	}{s.service.Roster().Organisation, schedules})
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "public, max-age=3600")
	return s.send(w, http.StatusOK, "application/json", append(body, '\n'))
}

// scale is a schedule in the page's language.
func (p *page) scale(scale tipbox.Scale) rewardScale {
	s := scale.Schedule
	view := rewardScale{ID: s.ID, Title: p.In(s.Title), Example: s.Example, Currency: p.symbol(s), Sample: p.number(120_000, 0)}
	row := func(key string, values ...template.HTML) {
		view.Rows = append(view.Rows, rewardRow{p.html(key), values})
	}
	var channels []template.HTML
	for _, c := range scale.For {
		channels = append(channels, p.In(c.Title))
	}
	row("reward.for", channels...)
	row("reward.since", p.Day(s.Since))
	if s.Base == "found" {
		row("reward.base", p.html("reward.base.found"))
	} else {
		row("reward.base", p.html("reward.base.collected"))
	}
	evidence := make(map[string]template.HTML)
	for _, e := range s.Evidence {
		evidence[e.ID] = p.In(e.Title)
		view.Evidence = append(view.Evidence, rewardEvidence{ID: e.ID, Title: p.In(e.Title)})
	}
	for _, t := range s.Tiers {
		head := evidence[t.Evidence]
		if head == "" {
			head = p.html("reward.rate")
		}
		if t.From > 0 {
			head = p.html("reward.from", head, p.money(t.From, s))
		}
		values := []template.HTML{template.HTML(template.HTMLEscapeString(p.percent(t.High)))}
		if t.Low != t.High {
			values[0] = p.html("reward.range", p.percent(t.Low), p.percent(t.High))
		}
		if t.Floor > 0 {
			values = append(values, p.html("reward.floor", p.money(t.Floor, s)))
		}
		view.Rows = append(view.Rows, rewardRow{head, values})
	}
	if s.Minimum > 0 {
		row("reward.minimum", p.html("reward.minimum.text", p.money(s.Minimum, s)))
	}
	if s.Cap > 0 {
		row("reward.cap", p.html("reward.cap.text", p.money(s.Cap, s)))
	}
	row("reward.unit", p.html("reward.unit.text", p.money(s.Unit, s)))
	var approvers []template.HTML
	for _, a := range s.Approvers {
		text := p.html("reward.votes", a.Votes)
		if a.From > 0 {
			text = p.html("reward.from", text, p.money(a.From, s))
		}
		approvers = append(approvers, text)
	}
	row("reward.approvers", approvers...)
	row("reward.claim", p.html("reward.claim.days", s.ClaimDays), p.html("reward.claim.warned", s.Warn()))
	return view
}

// calculate answers what was asked, and reports whether it could be.
func (p *page) calculate(view *rewardScale, s *tipbox.Schedule, asked url.Values) bool {
	const most = 100 // characters of what was typed that are shown again
	view.Typed = graphic(asked.Get("amount"))
	if runes := []rune(view.Typed); len(runes) > most {
		view.Typed = string(runes[:most])
	}
	base, err := p.parseMoney(view.Typed, s)
	switch {
	case errors.Is(err, errNoAmount):
		view.AmountError = p.T("reward.amount.empty")
	case errors.Is(err, errLargeAmount):
		view.AmountError = p.T("reward.amount.large")
	case err != nil:
		view.AmountError = p.T("reward.amount.bad", view.Sample)
	}
	chosen := ""
	for i := range view.Evidence {
		if e := &view.Evidence[i]; e.ID == asked.Get("evidence") {
			e.Chosen, chosen = true, e.ID
		}
	}
	if chosen == "" && len(view.Evidence) > 0 {
		view.EvidenceError = p.T("reward.evidence.missing")
	}
	if view.AmountError != "" || view.EvidenceError != "" {
		return false
	}
	low, high, err := tipbox.Range(s, base, chosen)
	if err != nil {
		view.AmountError = p.T("reward.amount.large")
		return false
	}
	sum := p.money(base, s)
	switch {
	case high == 0:
		view.Result = []string{p.T("reward.result.nothing", sum)}
		return true
	case low == high:
		view.Result = []string{p.T("reward.result.fixed", sum, p.money(high, s))}
	case low == 0:
		view.Result = []string{p.T("reward.result.upto", sum, p.money(high, s))}
	default:
		view.Result = []string{p.T("reward.result.range", sum, p.money(low, s), p.money(high, s))}
	}
	view.Result = append(view.Result, p.T("reward.result.votes", tipbox.VotesNeeded(s, high)))
	return true
}

// graphic is what can be seen of a typed amount: nobody types the rest, and no page
// may hold it.
func graphic(typed string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsGraphic(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(typed, ""))
}

// number writes minor units as a number of main units in the reader's format,
// without the digits behind the point if they are all 0.
func (l *pageLanguage) number(amount int64, digits int) string {
	one := int64(1)
	for range digits {
		one *= 10
	}
	text := l.printer.Sprint(number.Decimal(amount / one))
	if amount %= one; amount == 0 {
		return text
	}
	text += l.decimalPoint()
	for one /= 10; one > 0; one /= 10 {
		text += l.printer.Sprint(number.Decimal(amount / one % 10))
	}
	return text
}

// decimalPoint and groupMark stand in numbers as the language writes them.
func (l *pageLanguage) decimalPoint() string {
	return strings.TrimFunc(l.printer.Sprint(number.Decimal(1.5)), unicode.IsDigit)
}

func (l *pageLanguage) groupMark() string {
	return strings.TrimFunc(l.printer.Sprint(number.Decimal(12345)), unicode.IsDigit) // of one group: others may be of two digits
}

// money writes an amount of a schedule's currency.
func (l *pageLanguage) money(amount int64, s *tipbox.Schedule) string {
	symbol, digits := l.symbol(s), l.number(amount, s.Digits())
	text := l.T("reward.money", symbol, digits)
	if last, _ := utf8.DecodeLastRuneInString(symbol); unicode.IsLetter(last) {
		text = strings.Replace(text, symbol+digits, symbol+"\u00a0"+digits, 1)
	}
	return text
}

func (l *pageLanguage) symbol(s *tipbox.Schedule) string {
	unit, err := currency.ParseISO(s.Currency)
	if err != nil {
		return s.Currency // it was validated
	}
	return l.printer.Sprint(currency.Symbol(unit))
}

// percent writes basis points as the language writes percentages.
func (l *pageLanguage) percent(rate int) string {
	text := l.number(int64(rate), 2)
	if strings.Contains(text, l.decimalPoint()) {
		text = strings.TrimSuffix(text, l.printer.Sprint(number.Decimal(0)))
	}
	one := l.printer.Sprint(number.Decimal(1))
	return strings.Replace(l.printer.Sprint(number.Percent(0.01)), one, text, 1)
}

// What is wrong with a typed amount.
var (
	errNoAmount    = errors.New("no amount")
	errLargeAmount = errors.New("the amount is too large")
	errBadAmount   = errors.New("no amount that can be read")
)

// parseMoney reads an amount as people type it: with the language's separators or
// none, spaces, full-width characters, the currency before or behind, and 万 or 亿.
// It is above 0.
func (l *pageLanguage) parseMoney(typed string, s *tipbox.Schedule) (int64, error) {
	text := strings.ToUpper(norm.NFKC.String(typed))
	text = strings.Map(func(c rune) rune {
		if unicode.IsSpace(c) || strings.ContainsRune("'’_", c) {
			return -1
		}
		return c
	}, text)
	if text == "" {
		return 0, errNoAmount
	}
	text = strings.Map(europeanDigit, text)
	for _, name := range l.currencyNames(s) {
		text = strings.TrimSuffix(strings.TrimPrefix(text, name), name)
	}
	exponent := s.Digits()
	for {
		last, size := utf8.DecodeLastRuneInString(text)
		zeros := map[rune]int{'百': 2, '千': 3, '万': 4, '萬': 4, '亿': 8, '億': 8}[last]
		if zeros == 0 {
			break
		}
		text, exponent = text[:len(text)-size], exponent+zeros
	}
	whole, part, pointed := strings.Cut(text, l.decimalPoint())
	if pointed && part == "" {
		return 0, errBadAmount
	}
	whole, err := ungroup(whole, l.groupMark())
	if err != nil {
		return 0, err
	}
	if len(part) == 3 && exponent < 3 {
		return 0, errBadAmount // 120.000 is 120 where the point is the decimal one, and was hardly meant so
	}
	part = strings.TrimRight(part, "0")
	if strings.Trim(whole+part, "0123456789") != "" || len(part) > exponent {
		return 0, errBadAmount
	}
	all := strings.TrimLeft(whole+part+strings.Repeat("0", exponent-len(part)), "0")
	if all == "" {
		return 0, errBadAmount
	}
	amount, err := strconv.ParseInt(all, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %d digits", errLargeAmount, len(all))
	}
	return amount, nil
}

// europeanDigit is the digit 0 to 9 for one of any script, which has ten in a row.
func europeanDigit(c rune) rune {
	if !unicode.Is(unicode.Nd, c) {
		return c
	}
	value := rune(0)
	for unicode.Is(unicode.Nd, c-value-1) {
		value++
	}
	return '0' + value%10
}

// currencyNames are what may stand beside an amount, in capitals: CNY, CN¥, ¥, 元.
func (l *pageLanguage) currencyNames(s *tipbox.Schedule) []string {
	narrow := "¥"
	if unit, err := currency.ParseISO(s.Currency); err == nil {
		narrow = norm.NFKC.String(l.printer.Sprint(currency.NarrowSymbol(unit)))
	}
	return []string{s.Currency, strings.ToUpper(norm.NFKC.String(l.symbol(s))), s.Currency[:2] + narrow, narrow, "元"}
}

// ungroup takes the marks out of grouped digits. Groups are of three or, as in
// Chinese, four digits, and some Indian ones of two: a mark that stands elsewhere
// was perhaps meant as a decimal point.
func ungroup(digits, mark string) (string, error) {
	if mark == "" {
		return digits, nil
	}
	groups := strings.Split(digits, mark)
	for i, g := range groups {
		least := 2
		switch {
		case i == 0:
			least = 1
		case i == len(groups)-1:
			least = 3
		}
		if len(groups) > 1 && (len(g) < least || len(g) > 4) {
			return "", errBadAmount
		}
	}
	return strings.Join(groups, ""), nil
}
