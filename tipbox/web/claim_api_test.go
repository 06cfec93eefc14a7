package web_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"strings"
	"testing"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// claimJSON posts a document as a source's own tool does.
func (s *site) claimJSON(t *testing.T, body string) *answer {
	t.Helper()
	r := spy(httptest.NewRequest("POST", "/claim.json", strings.NewReader(body)))
	r.Header.Set("Content-Type", "application/json")
	return s.do(t, r)
}

func claimRequest(t *testing.T, code *receipt.Code, note string, details []byte) string {
	t.Helper()
	locator := code.Locator()
	body, err := json.Marshal(tipbox.ClaimRequest{Locator: locator[:], Note: note, Details: details})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func (a *answer) claims(t *testing.T, s *site, code *receipt.Code) *tipbox.Claims {
	t.Helper()
	file := new(tipbox.ClaimFile)
	if err := json.Unmarshal(a.want(t, 200).Body.Bytes(), file); err != nil {
		t.Fatal(err)
	}
	claims, err := tipbox.OpenClaims(file, code, s.Root.Verifier(), s.Service.Today())
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestOwnToolClaimsOverTheLineWithoutTheCode(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	words, tip, number := s.award(t, false)
	code, err := receipt.Parse(words)
	if err != nil {
		t.Fatal(err)
	}
	claims := s.claimJSON(t, claimRequest(t, code, "", nil)).claims(t, s, code)
	note, details, err := claims.Claim(tipbox.Claim{Award: number, Choice: tipbox.ClaimVoucher})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // sent twice
		a := s.claimJSON(t, claimRequest(t, code, string(note), details))
		if claims = a.claims(t, s, code); claims.Awards[0].State != tipbox.AwardClaimed {
			t.Errorf("after the claim: %+v", claims.Awards[0])
		}
	}
	if got := s.claimJSON(t, claimRequest(t, code, strings.Replace(string(note), "\n", "\n ", 1), nil)).want(t, 422).Body.String(); !strings.HasPrefix(got, `{"error":"invalid"}`) {
		t.Errorf("a forged claim: %.100s", got)
	}
	thread := s.send(t, s.codeForm(t, words)).want(t, 200)
	thread.contains(t, "They are being signed")
	s.Issue("pia", tip, number)
	vouchers, err := s.claimJSON(t, claimRequest(t, code, "", nil)).claims(t, s, code).Vouchers(number)
	if err != nil || len(vouchers) != 9 {
		t.Fatal(len(vouchers), err)
	}
	show := s.send(t, s.codeForm(t, words)).want(t, 200).page.form(t, "/thread/voucher")
	show.values.Set("voucher", "all")
	all := s.send(t, show).want(t, 200).Body.String()
	for i, v := range vouchers {
		if !strings.Contains(all, v.Text()) {
			t.Errorf("the page has not the tool's voucher %d", i+1)
		}
	}
	s.wantQuiet(t)
}

// TestUnknownAndErasedLocatorsAreAnsweredByTheSameBytes is P5 for the tool's call.
func TestUnknownAndErasedLocatorsAreAnsweredByTheSameBytes(t *testing.T) {
	s := newSite(t, tipboxtest.Config{})
	words, _, number := s.award(t, false)
	code, err := receipt.Parse(words)
	if err != nil {
		t.Fatal(err)
	}
	claims := s.claimJSON(t, claimRequest(t, code, "", nil)).claims(t, s, code)
	note, details, err := claims.Claim(tipbox.Claim{Award: number, Choice: tipbox.ClaimDetails, Details: "account 7"})
	if err != nil {
		t.Fatal(err)
	}
	s.erase(t)
	for _, asked := range []struct {
		note    string
		details []byte
	}{{}, {string(note), details}, {"no note", nil}} {
		erased := s.claimJSON(t, claimRequest(t, code, asked.note, asked.details)).want(t, 404)
		unknown := s.claimJSON(t, claimRequest(t, receipt.New(), asked.note, asked.details)).want(t, 404)
		if erased.Body.String() != unknown.Body.String() || !maps.EqualFunc(erased.Header(), unknown.Header(), func(a, b []string) bool { return a[0] == b[0] }) {
			t.Errorf("erased: %v\n%.200s\nunknown: %v\n%.200s", erased.Header(), erased.Body, unknown.Header(), unknown.Body)
		}
	}
	s.wantQuiet(t)
}

func TestMalformedCallsAreRefusedAndNothingOfThemIsLogged(t *testing.T) {
	s := newBrokenSite(t)
	code, _, _ := s.award(t, false)
	known, err := receipt.Parse(code)
	if err != nil {
		t.Fatal(err)
	}
	good := claimRequest(t, known, "", nil)
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"nothing":         {"", 400},
		"no JSON":         {secret, 400},
		"no locator":      {"{}", 400},
		"a short locator": {`{"locator":"AAAA"}`, 400},
		"a long locator":  {`{"locator":"` + strings.Repeat("AAAA", 11) + `"}`, 400},
		"more fields":     {`{"` + secret + `":1,` + good[1:], 400},
		"the code":        {`{"code":"` + code + `"}`, 400},
		"two":             {good + good, 400},
		"much":            {`{"note":"` + strings.Repeat("x", 600<<10) + `"}`, 413},
		"a long note":     {claimRequest(t, known, strings.Repeat("x", 200<<10), nil), 413},
		"a wrong note":    {claimRequest(t, known, secret, nil), 422},
		"right":           {good, 200},
	} {
		if a := s.claimJSON(t, c.body); a.Code != c.status {
			t.Errorf("%s: status %d, want %d: %.100s", name, a.Code, c.status, a.Body)
		}
	}
	as := func(kind string) int {
		r := httptest.NewRequest("POST", "/claim.json", strings.NewReader(good))
		r.Header.Set("Content-Type", kind)
		return s.do(t, r).Code
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"} {
		if got := as(kind); got != 400 {
			t.Errorf("as %q: status %d", kind, got)
		}
	}
	if got := as("application/json; charset=utf-8"); got != 200 {
		t.Errorf("with a charset: status %d", got)
	}
	s.get(t, "/claim.json").want(t, 405)
	for _, op := range []string{"get", "scan"} {
		s.breakOn(op)
		if got := s.claimJSON(t, good).want(t, 503).Body.Bytes(); !bytes.HasPrefix(got, []byte(`{"error":"store"}`)) {
			t.Errorf("with a broken store: %.100s", got)
		}
		s.repair()
	}
	if !bytes.Contains(s.weblog.Bytes(), []byte("route=/claim.json")) {
		t.Error("the operator does not read where the store failed")
	}
	s.wantQuiet(t)
}
