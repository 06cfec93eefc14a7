package webtest

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

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

// over asks by the onion service.
func over(asks ask) ask {
	return func(w *world, lang string) *http.Request {
		r := asks(w, lang)
		r.Host = Onion
		return r
	}
}
