package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// parsed is the certificate as a server has it.
func (m made) parsed(t *testing.T) *tls.Certificate {
	t.Helper()
	cert, err := tls.X509KeyPair(m.cert, m.key)
	if err != nil {
		t.Fatal(err)
	}
	return &cert
}

// TestFirstFailureToRenewIsTold has a certificate of 90 days not be renewed when it is
// due, a month before its end, and at last be renewed.
func TestFirstFailureToRenewIsTold(t *testing.T) {
	until := time.Date(2027, time.March, 1, 12, 0, 0, 0, time.UTC)
	due := until.Add(-30 * 24 * time.Hour)
	cert := made{names: []string{sourcesHost}, until: until}.make(t).parsed(t)
	c := &acmeCertificate{status: certificateStatus{Name: sourcesHost}}
	var out bytes.Buffer
	log := newLog(&out)
	look := func(at time.Time) (failing string, lines int) {
		t.Helper()
		before := strings.Count(out.String(), "gives no new one")
		c.got(cert, log, "no such host", at)
		return c.status.Failing, strings.Count(out.String(), "gives no new one") - before
	}
	for _, step := range []struct {
		at      time.Time
		failing string
		lines   int
	}{
		{due.Add(-24 * time.Hour), "", 0},
		{due.Add(30 * time.Minute), "", 0}, // autocert waits up to an hour
		{due.Add(61 * time.Minute), "", 0}, // it may be trying
		{due.Add(80 * time.Minute), "2027-01-30", 1},
		{due.Add(90 * time.Minute), "2027-01-30", 0},
		{due.Add(24 * time.Hour), "2027-01-30", 1},
		{due.Add(25 * time.Hour), "2027-01-30", 0},
	} {
		if failing, lines := look(step.at); failing != step.failing || lines != step.lines {
			t.Errorf("%v after it was due: failing since %q, %d lines, want %q and %d", step.at.Sub(due), failing, lines, step.failing, step.lines)
		}
	}
	if !strings.Contains(out.String(), `why="no such host"`) {
		t.Errorf("the log does not say why:\n%s", &out)
	}
	s := status{Certificates: []certificateStatus{c.status}}
	if got, want := c.status.String(), "for "+sourcesHost+" until 2027-03-01; a new one is not got since 2027-01-30: no such host"; got != want {
		t.Errorf("status says %q, want %q", got, want)
	}
	if want := fmt.Sprintf("tipbox_certificate_failing_day_seconds{name=%q} %d\n", sourcesHost, daySeconds("2027-01-30")); !strings.Contains(string(s.metrics()), want) {
		t.Errorf("no %s in\n%s", want, s.metrics())
	}

	cert = made{names: []string{sourcesHost}, until: until.AddDate(0, 2, 0)}.make(t).parsed(t)
	if failing, lines := look(due.Add(26 * time.Hour)); failing != "" || lines != 0 || c.status.Why != "" || c.status.Until != "2027-05-01" {
		t.Errorf("renewed: %+v, %d lines", c.status, lines)
	}

	// A server that was off when it was due, and has not had the time to try.
	c = &acmeCertificate{status: certificateStatus{Name: sourcesHost}}
	if failing, lines := look(until.AddDate(0, 2, -25)); failing != "" || lines != 0 {
		t.Errorf("just started: failing since %q, %d lines", failing, lines)
	}
}

// TestWhyNothingWasRenewedIsHeard has an authority refuse in each of its ways, and
// whoever asks reads the same as without.
func TestWhyNothingWasRenewedIsHeard(t *testing.T) {
	const invalid = "Fetching https://tips.example.org/: Connection refused"
	for answer, want := range map[string]string{
		`{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates"}`:                                                           "too many certificates",
		`{"type":"urn:ietf:params:acme:error:badNonce","detail":"stale"}`:                                                                              "it has said nothing",
		`{"status":"invalid","challenges":[{"status":"invalid","error":{"type":"urn:ietf:params:acme:error:connection","detail":"` + invalid + `"}}]}`: invalid,
		`{"status":"invalid","error":{"detail":"caa\u001b[2J"}}`:                                                                                       "caa[2J",
		`{"status":"valid","challenges":[{"status":"valid"}]}`:                                                                                         "it has said nothing",
		strings.Repeat("-----BEGIN CERTIFICATE-----", 1<<13):                                                                                           "it has said nothing",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) }))
		words := &acmeWords{RoundTripper: new(http.Transport)}
		client := &http.Client{Transport: words}
		resp, err := client.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || string(got) != answer {
			t.Errorf("%.60s: %d bytes of %d, %v", answer, len(got), len(answer), err)
		}
		resp.Body.Close()
		if got := words.last(); !strings.HasPrefix(got, want) {
			t.Errorf("%.60s: %q, want %q", answer, got, want)
		}
		client.CloseIdleConnections()
		server.Close()
		if _, err := client.Get(server.URL); err == nil || !strings.Contains(words.last(), "refused") {
			t.Errorf("gone: %v, %q", err, words.last())
		}
	}
}
