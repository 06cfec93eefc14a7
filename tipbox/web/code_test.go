package web_test

import (
	"maps"
	"strings"
	"testing"

	"tipbox/crypto/receipt"
	"tipbox/store"
	"tipbox/tipbox/tipboxtest"
)

// erase deletes all that there is of the only tip.
func (s *site) erase(t *testing.T) {
	t.Helper()
	for _, name := range s.kept() {
		if key, ok := strings.CutPrefix(name, "record "); ok {
			if err := s.Store.Apply(t.Context(), store.Delete(store.Key(key))); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := s.Blobs.Remove(t.Context(), strings.TrimPrefix(name, "blob ")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnknownAndErasedCodesAreAnsweredByTheSameBytes(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	code, err := receipt.Parse(s.tip(t, secret, evidence...).words(t))
	if err != nil {
		t.Fatal(err)
	}
	typed := code.Words("en")
	ask := s.codeForm(t, typed)
	write := s.send(t, ask).want(t, 200).page.form(t, "/thread/message").set(t, "text", "more")
	s.erase(t)

	never := newSite(t, tipboxtest.Config{})
	erased, unknown := s.send(t, ask).want(t, 404), never.send(t, ask).want(t, 404)
	if erased.Body.String() != unknown.Body.String() || !maps.EqualFunc(erased.Header(), unknown.Header(), func(a, b []string) bool { return a[0] == b[0] }) {
		t.Errorf("erased:\n%s\nunknown:\n%s", erased.Body, unknown.Body)
	}
	if again := s.send(t, ask); again.Body.String() != erased.Body.String() {
		t.Error("asked again, it answers otherwise")
	}
	other := receipt.New().Digits()
	if a, b := s.send(t, s.codeForm(t, code.Digits())), s.send(t, s.codeForm(t, other)); a.Code != b.Code || len(unpadded(a.Body.Bytes())) != len(unpadded(b.Body.Bytes())) {
		t.Errorf("erased: %d, %d bytes; unknown: %d, %d bytes", a.Code, len(unpadded(a.Body.Bytes())), b.Code, len(unpadded(b.Body.Bytes())))
	}

	late := s.send(t, write, evidence...).want(t, 404)
	if late.page.form(t, "/thread/message").values.Get("text") != "more" {
		t.Error("a message to an erased tip is lost")
	}
	if kept := s.kept(); len(kept) > 0 {
		t.Errorf("there is %q", kept)
	}
}

func TestAWrongCodeIsExplained(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	right := receipt.New().Words("en")
	words := strings.Fields(right)
	with := func(i int, word string) string {
		changed := append([]string(nil), words...)
		changed[i-1] = word
		return strings.Join(changed, " ")
	}
	for typed, says := range map[string][]string{
		"":                         {"Please enter your receipt code"},
		" \n ":                     {"Please enter your receipt code"},
		with(3, "abuot"):           {"Word 3", "abuot", "Did you mean", "about"},
		with(12, "qqqqqqqq"):       {"Word 12", "qqqqqqqq"},
		strings.Repeat("zoo ", 12): {"do not fit together"},
		"zoo zoo":                  {"We found 2"},
		right + " zoo":             {"We found 13"},
		"0001 9999" + strings.Repeat(" 0001", 10): {"Word 2", "9999"},
		strings.Repeat("zoo ", 5000):              {"twelve words"},
	} {
		a := s.send(t, s.codeForm(t, typed)).want(t, 422)
		for _, part := range says {
			if !strings.Contains(a.notice(), part) {
				t.Errorf("of %.60q the page says %q, not %q", typed, a.notice(), part)
			}
		}
		if got := a.page.form(t, "/thread").values.Get("code"); got != typed {
			t.Errorf("%.60q became %.60q", typed, got)
		}
	}
}

func TestAWrongCodeOnALateMessageKeepsTheMessage(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	receipt := s.tip(t, secret)
	thread := s.send(t, s.codeForm(t, receipt.words(t)))
	late := s.send(t, thread.page.form(t, "/thread/message").set(t, "text", "more, "+secret).set(t, "session", "x")).want(t, 409)
	wrong := s.send(t, late.page.form(t, "/thread/message").set(t, "code", "zoo zoo"), evidence[0]).want(t, 422)
	f := wrong.page.form(t, "/thread/message")
	if !strings.Contains(wrong.notice(), "We found 2") || f.values.Get("text") != "more, "+secret || f.values.Get("code") != "zoo zoo" {
		t.Errorf("%q, %q", wrong.notice(), f.values)
	}
	s.send(t, f.set(t, "code", receipt.digits(t))).want(t, 200)
	if got := len(s.read(t).Messages); got != 2 {
		t.Errorf("%d messages", got)
	}
}
