// Package webtest brings every page into every state that a source can see it
// in, without a line or a browser: the checks of pages go through them.
//
// A new page, or a new state of one, is a line of the table in states.go. Tests of
// package web fail if a route, a template or a branch of one is reached by no state.
package webtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/static"
	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
	"tipbox/tipbox/web"
)

// A State is a page as it was answered.
type State struct {
	Name   string // the same in every language
	Lang   string // that was asked for
	Asked  *http.Request
	Status int
	Header http.Header
	Body   []byte
}

func (s *State) String() string { return s.Lang + ": " + s.Name }

// IsPage reports whether it is a page, and not a file or data.
func (s *State) IsPage() bool { return strings.HasPrefix(s.Header.Get("Content-Type"), "text/html") }

// Languages are the tags of all languages that there are, English first.
func Languages(t testing.TB) []string {
	t.Helper()
	names, err := fs.Glob(static.Languages(), "*.toml")
	if err != nil {
		t.Fatal(err)
	}
	tags := []string{"en"}
	for _, name := range names {
		if tag := strings.TrimSuffix(name, ".toml"); tag != "en" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// Walk makes every state in each of the languages, on organisations whose handlers
// pages makes; nil is web.New. A state with another status than it must
// have fails the test.
func Walk(t testing.TB, pages func(web.Config) (http.Handler, error), languages ...string) []*State {
	t.Helper()
	if pages == nil {
		pages = web.New
	}
	w := newWorld(t, tipboxtest.Config{Proof: true})
	site, walked := w.walk(pages, states, languages)
	for _, lang := range languages {
		walked = append(walked, w.linked(site, lang, walked)...)
	}
	_, more := newWorld(t, tipboxtest.Config{Kind: tipbox.KindSuggestion}).walk(pages, suggestions, languages)
	return append(walked, more...)
}

func (w *world) walk(pages func(web.Config) (http.Handler, error), states []state, languages []string) (site http.Handler, walked []*State) {
	w.t.Helper()
	look, err := web.LoadLook(ownSite)
	if err != nil {
		w.t.Fatal(err)
	}
	site, err = pages(web.Config{Service: w.Service})
	if err != nil {
		w.t.Fatal(err)
	}
	ownSite, err := pages(web.Config{Service: w.Service, Look: look})
	if err != nil {
		w.t.Fatal(err)
	}
	onionSite, err := pages(web.Config{Service: w.Service, Onion: Onion})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range states {
		if s.before != nil {
			s.before(w)
		}
		handler := site
		if w.own {
			handler = ownSite
		}
		if w.onion {
			handler = onionSite
		}
		for _, lang := range languages {
			r := s.ask(w, lang)
			state := answer(handler, s.name, lang, r)
			if state.Status != s.status {
				w.t.Fatalf("%v: %s %s has the status %d, not %d:\n%.9000s", state, r.Method, r.URL, state.Status, s.status, state.Body)
			}
			walked = append(walked, state)
		}
		w.store.broken, w.full, w.own, w.onion = "", false, false, false
	}
	return site, walked
}

func answer(handler http.Handler, name, lang string, r *http.Request) *State {
	out := httptest.NewRecorder()
	handler.ServeHTTP(out, r)
	return &State{name, lang, r, out.Code, out.Result().Header, out.Body.Bytes()}
}

var link = regexp.MustCompile(`<a [^>]*href="(/[^"?#]*)`)

// linked are the pages that others lead to, and that are in no line of the table:
// those of the site's own texts.
func (w *world) linked(handler http.Handler, lang string, walked []*State) (found []*State) {
	w.t.Helper()
	seen := make(map[string]bool)
	for _, s := range walked {
		if s.Asked.Method == http.MethodGet {
			seen[s.Asked.URL.Path] = true
		}
	}
	for queue := slices.Clone(walked); len(queue) > 0; queue = queue[1:] {
		if queue[0].Lang != lang || !queue[0].IsPage() {
			continue
		}
		for _, match := range link.FindAllStringSubmatch(string(queue[0].Body), -1) {
			path := match[1]
			if seen[path] {
				continue
			}
			seen[path] = true
			s := answer(handler, "page "+path, lang, get(path)(w, lang))
			if s.Status != http.StatusOK {
				w.t.Errorf("%v: %v leads to it, and it has the status %d", s, queue[0], s.Status)
				continue
			}
			found, queue = append(found, s), append(queue, s)
		}
	}
	return found
}

// A world is the organisation that the states are of, and what has come in so far.
type world struct {
	*tipboxtest.Org
	t       testing.TB
	store   *breakable
	full    bool // there is no room for files
	own     bool // it is the site that an operator has changed
	onion   bool // there is an onion service
	cases   map[string]*sent
	token   string // of a form that has grown old
	session string // likewise, of a page
}

// sent is a tip that was sent.
type sent struct {
	code  *receipt.Code
	tip   string
	award int
}

const (
	room    = 1 << 20 // what is kept free of files
	maxFile = 1000    // bytes of a file
)

func newWorld(t testing.TB, cfg tipboxtest.Config) *world {
	t.Helper()
	w := &world{t: t, store: &breakable{Store: mem.New()}, cases: make(map[string]*sent)}
	cfg.Store, cfg.MaxFile, cfg.Reserve = w.store, maxFile, room
	cfg.Free = func() (int64, error) {
		if w.full {
			return room, nil
		}
		return 2 * room, nil
	}
	w.Org = tipboxtest.New(t, cfg)
	return w
}

// breakable is a store that fails on demand.
type breakable struct {
	store.Store
	broken string // the operation that fails, "conflict" or "full"; or ""
}

var (
	errBroken = errors.New("input/output error")
	sizes     = regexp.MustCompile(`"bytes":\d+`)
)

func (b *breakable) Get(ctx context.Context, key store.Key) (store.Record, error) {
	if b.broken == "get" {
		return store.Record{}, errBroken
	}
	rec, err := b.Store.Get(ctx, key)
	if b.broken == "full" {
		rec.Value = sizes.ReplaceAll(rec.Value, []byte(`"bytes":1000000000000`))
	}
	return rec, err
}

func (b *breakable) Scan(ctx context.Context, prefix, after store.Key, limit int) ([]store.Record, error) {
	if b.broken == "scan" {
		return nil, errBroken
	}
	return b.Store.Scan(ctx, prefix, after, limit)
}

func (b *breakable) Apply(ctx context.Context, changes ...store.Change) error {
	switch b.broken {
	case "apply":
		return errBroken
	case "conflict":
		return store.ErrConflict
	}
	return b.Store.Apply(ctx, changes...)
}

// send sends a tip to off-book-funds and keeps it under a name.
func (w *world) send(name string) *sent {
	w.t.Helper()
	before := make(map[string]bool)
	for _, item := range w.Inbox("alice") {
		before[item.Tip] = true
	}
	c := &sent{code: w.Submit("They keep a second book.")}
	for _, item := range w.Inbox("alice") {
		if !before[item.Tip] {
			c.tip = item.Tip
		}
	}
	w.cases[name] = c
	return c
}

var finding = tipbox.Act{Action: tipbox.ActionFinding, Text: "so", Detail: &tipbox.Detail{Finding: tipbox.Substantiated}}

// find takes a new case to a finding, and notes a sum.
func (w *world) find(name string) *sent {
	w.t.Helper()
	c := w.send(name)
	w.Act("alice", c.tip, tipbox.Act{Action: tipbox.ActionAccept})
	w.Act("alice", c.tip, tipbox.Act{Action: tipbox.ActionAssign, Owner: "alice", Due: "2099-12-20"})
	w.Act("alice", c.tip, finding)
	w.Act("bob", c.tip, finding)
	w.Act("alice", c.tip, tipbox.Act{Action: tipbox.ActionRecover, Detail: &tipbox.Detail{Amount: 157_500_00, Currency: "CNY", Basis: tipbox.SumCollected}})
	return c
}

// propose takes a new case to an award of 6,300 CNY that nobody has decided about.
func (w *world) propose(name string) *sent {
	w.t.Helper()
	c := w.find(name)
	w.Act("alice", c.tip, tipbox.Act{
		Action: tipbox.ActionAward, Text: "all of it was so", Detail: &tipbox.Detail{Base: 157_500_00, Rate: 400},
		Terms: &tipbox.AwardTerms{Schedule: "test", Currency: "CNY", Amount: 6_300_00, Total: 6_300_00},
	})
	awards := w.Open("alice", c.tip).Case.Awards
	c.award = awards[len(awards)-1].Number
	return c
}

// grant takes a new case to a granted award.
func (w *world) grant(name string) *sent {
	w.t.Helper()
	c := w.propose(name)
	for _, approver := range []string{"peter", "paula"} {
		w.Decide(approver, c.tip, tipbox.Act{Action: tipbox.ActionApprove, Award: c.award})
	}
	return c
}

// refuse takes a new case to an award that was refused.
func (w *world) refuse(name string) *sent {
	w.t.Helper()
	c := w.propose(name)
	w.Decide("peter", c.tip, tipbox.Act{Action: tipbox.ActionRefuse, Award: c.award, Text: "It was known before."})
	return c
}

// claim takes a new case to an award that is claimed.
func (w *world) claim(name string, claim tipbox.Claim) *sent {
	w.t.Helper()
	c := w.grant(name)
	claim.Award = c.award
	if err := w.Service.Claim(w.t.Context(), c.code, claim); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// damage spoils an entry of a tip, and returns what repairs it.
func (w *world) damage(tip string, entry int) {
	w.t.Helper()
	if err := w.Store.Apply(w.t.Context(), store.Put(store.Key(fmt.Sprintf("sealed/%s/%06d", tip, entry)), []byte("damaged"))); err != nil {
		w.t.Fatal(err)
	}
	w.Tolerate(tip)
}

// reward puts into force, besides the schedule of [tipboxtest.Org.Rewards], one that
// has all that a schedule can have.
func (w *world) reward() {
	w.Rewards()
	texts := func(en, zh string) map[string]string { return map[string]string{"en": en, "zh-Hans": zh} }
	w.SetSchedules(*w.Service.Roster().Schedule("test"), roster.Schedule{
		ID: "tiers", Since: "2020-01-01", Channels: []string{"bribery"}, Title: texts("Bribery", "贿赂"), Example: true, Currency: "CNY", Base: roster.BaseFound,
		Evidence: []roster.Evidence{{ID: "good", Title: texts("Details and direct evidence", "详情和直接证据")}, {ID: "poor", Title: texts("A hint", "线索")}},
		Tiers: []roster.Tier{
			{Evidence: "good", Low: 300, High: 550, Floor: 500_00}, {Evidence: "good", From: 1_000_000_00, Low: 600, High: 600}, {Evidence: "poor", Low: 0, High: 100},
		},
		Cap: 100_000_00, Unit: 100_00, Minimum: 1_000_00, ClaimDays: 60,
		Approvers: []roster.Approval{{From: 0, Votes: 1}, {From: 50_000_00, Votes: 3}},
		Charities: []roster.Charity{{ID: "hospital", Name: texts("The hospital", "医院")}},
	})
}

// An ask makes the request by which a state is reached, in a language.
type ask func(w *world, lang string) *http.Request

// get opens a page, with a query of names and values if there are any.
func get(path string, query ...string) ask {
	return func(_ *world, lang string) *http.Request {
		values := pairs(nil, query)
		values.Set("lang", lang)
		return httptest.NewRequest("GET", path+"?"+values.Encode(), nil)
	}
}

// getPlain opens a page by its bare address, as a browser does that prefers the
// language.
func getPlain(path string) ask {
	return func(_ *world, lang string) *http.Request {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept-Language", lang)
		return r
	}
}

// post sends a form.
func post(path string, fields ...string) ask {
	return func(_ *world, lang string) *http.Request { return form(path, lang, pairs(nil, fields)) }
}

// tip sends a tip form with these fields in the place of good ones.
func tip(fields ...string) ask {
	return func(w *world, lang string) *http.Request {
		w.t.Helper()
		token, err := w.Service.FormToken(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		good := url.Values{"token": {token}, "channel": {"off-book-funds"}, "text": {"They keep a second book."}}
		return form("/tip", lang, pairs(good, fields))
	}
}

// of sends a form of a thread's page.
func of(name, path string, fields ...string) ask {
	return func(w *world, lang string) *http.Request {
		c := w.cases[name]
		good := url.Values{"session": {w.Service.Session(c.code)}}
		if path == "/thread/message" {
			good.Set("once", tipbox.NewNonce())
		}
		if c.award > 0 {
			good.Set("award", fmt.Sprint(c.award))
		}
		return form(path, lang, pairs(good, fields))
	}
}

// fresh is of, for what can be done once: to a tip for each language, which made
// brings in.
func fresh(made func(*world, string) *sent, path string, fields ...string) ask {
	return func(w *world, lang string) *http.Request {
		name := path + " in " + lang
		made(w, name)
		return of(name, path, fields...)(w, lang)
	}
}

// late sends a form of a page that was open for too long.
func late(path string, fields ...string) ask {
	return func(w *world, lang string) *http.Request {
		return form(path, lang, pairs(url.Values{"session": {w.session}, "once": {tipbox.NewNonce()}}, fields))
	}
}

// code enters the receipt code of a tip.
func code(name string) ask {
	return func(w *world, lang string) *http.Request {
		return form("/thread", lang, url.Values{"code": {w.cases[name].code.Words(lang)}})
	}
}

// typed enters what is no code of a tip.
func typed(text string) ask {
	return func(_ *world, lang string) *http.Request { return form("/thread", lang, url.Values{"code": {text}}) }
}

// pairs puts names and values into a form; a name that was there loses its own.
func pairs(into url.Values, fields []string) url.Values {
	if into == nil {
		into = make(url.Values)
	}
	for i := 0; i < len(fields); i += 2 {
		into.Del(fields[i])
	}
	for i := 0; i < len(fields); i += 2 {
		into.Add(fields[i], fields[i+1])
	}
	return into
}

func form(path, lang string, fields url.Values) *http.Request {
	fields.Set("lang", lang)
	r := httptest.NewRequest("POST", path, strings.NewReader(fields.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// withFile sends what asks makes together with a file.
func withFile(asks ask) ask { return withFiles(1, 100, asks) }

// withFiles sends it with n files of so many bytes.
func withFiles(n, size int, asks ask) ask {
	return func(w *world, lang string) *http.Request {
		r := asks(w, lang)
		if err := r.ParseForm(); err != nil {
			w.t.Fatal(err)
		}
		const boundary = "boundary"
		var body bytes.Buffer
		for name, values := range r.PostForm {
			for _, value := range values {
				fmt.Fprintf(&body, "--%s\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", boundary, name, value)
			}
		}
		for range n {
			fmt.Fprintf(&body, "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"book.txt\"\r\n\r\n%s\r\n", boundary, strings.Repeat("1", size))
		}
		fmt.Fprintf(&body, "--%s--\r\n", boundary)
		with := httptest.NewRequest("POST", r.URL.Path, &body)
		with.Header.Set("Content-Type", "multipart/form-data; boundary="+boundary)
		return with
	}
}

// then does several things before a state.
func then(all ...func(*world)) func(*world) {
	return func(w *world) {
		for _, f := range all {
			f(w)
		}
	}
}

func act(by, name string, a tipbox.Act) func(*world) {
	return func(w *world) { w.Act(by, w.cases[name].tip, a) }
}

func decide(by, name string, action tipbox.Action, text string) func(*world) {
	return func(w *world) {
		w.Decide(by, w.cases[name].tip, tipbox.Act{Action: action, Award: w.cases[name].award, Text: text})
	}
}

func issue(name string) func(*world) {
	return func(w *world) { w.Issue("pia", w.cases[name].tip, w.cases[name].award) }
}

// message adds a message of the source, with as many files.
func message(name string, files int) func(*world) {
	return func(w *world) {
		d, err := w.Service.Reopen(w.t.Context(), w.cases[name].code)
		if err != nil {
			w.t.Fatal(err)
		}
		defer d.Abort()
		for range files {
			w.Attach(d, tipboxtest.File{Name: "book.csv", Content: "1,000"})
		}
		if err := w.Service.FollowUp(w.t.Context(), d, tipbox.NewNonce(), "en", "more"); err != nil {
			w.t.Fatal(err)
		}
	}
}

func sending(name string) func(*world)   { return func(w *world) { w.send(name) } }
func proposing(name string) func(*world) { return func(w *world) { w.propose(name) } }
func granting(name string) func(*world)  { return func(w *world) { w.grant(name) } }
func refusing(name string) func(*world)  { return func(w *world) { w.refuse(name) } }
func claiming(name string, c tipbox.Claim) func(*world) {
	return func(w *world) { w.claim(name, c) }
}

func striking(name string) func(*world) {
	return func(w *world) {
		w.Strike(name)
		w.Install()
	}
}

func days(n int) func(*world) {
	return func(w *world) { w.Clock.Advance(time.Duration(n) * 24 * time.Hour) }
}

func breaking(operation string) func(*world) { return func(w *world) { w.store.broken = operation } }
func filling(w *world)                       { w.full = true }
func own(w *world)                           { w.own = true }
func withOnion(w *world)                     { w.onion = true }

// Onion is the address of the onion service of the states that have one.
const Onion = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"

// over asks by the onion service.
func over(asks ask) ask {
	return func(w *world, lang string) *http.Request {
		r := asks(w, lang)
		r.Host = Onion
		return r
	}
}
