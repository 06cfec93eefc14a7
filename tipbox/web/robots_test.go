package web_test

import (
	"slices"
	"strings"
	"testing"

	"tipbox/tipbox/tipboxtest"
)

func TestRobotsAreToldWhatTheyMayShow(t *testing.T) {
	s := siteWith(t, map[string]string{"pages/zebra.en.md": "# Zebra", "pages/questions.en.md": ""})
	text := s.get(t, "/robots.txt").want(t, 200).Body.String()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if lines[0] != "User-agent: *" || lines[len(lines)-1] != "Disallow: /" {
		t.Errorf("robots.txt is %q", lines)
	}
	for line, want := range map[string]bool{
		"Allow: /$": true, "Allow: /?lang=": true, "Allow: /about$": true, "Allow: /about?lang=": true, "Allow: /zebra$": true,
		"Allow: /reward$": false, "Allow: /questions$": false, "Allow: /tip$": false, "Allow: /thread$": false,
	} {
		if slices.Contains(lines, line) != want {
			t.Errorf("robots.txt has %q: %v", line, !want)
		}
	}
	s.SetSchedules(shipped(t, "schedule.toml"))
	if !strings.Contains(s.get(t, "/robots.txt").Body.String(), "Allow: /reward$\n") {
		t.Error("the rewards are not named")
	}
}

func TestSecurityContactIsNamedIfTheSiteHasOne(t *testing.T) {
	newSite(t, tipboxtest.Config{}).get(t, "/.well-known/security.txt").want(t, 404)
	s := siteWith(t, map[string]string{"site.toml": "security_contact = 'mailto:security@example.org'"})
	const want = "Contact: mailto:security@example.org\nExpires: 2027-05-21T00:00:00Z\nPreferred-Languages: en\n"
	if got := s.get(t, "/.well-known/security.txt").want(t, 200).Body.String(); got != want {
		t.Errorf("security.txt is %q, want %q", got, want)
	}
	s = siteWith(t, map[string]string{"site.toml": "security_contact = 'https://example.org/report'\nsecurity_languages = ['zh-Hans', 'en']\nsecurity_canonical = 'https://example.org/.well-known/security.txt'"})
	const all = "Contact: https://example.org/report\nExpires: 2027-05-21T00:00:00Z\nPreferred-Languages: zh-Hans, en\nCanonical: https://example.org/.well-known/security.txt\n"
	if got := s.get(t, "/.well-known/security.txt").want(t, 200).Body.String(); got != all {
		t.Errorf("security.txt is %q, want %q", got, all)
	}
}
