package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/mux"
)

func (s *site) robotRoutes(r *mux.Router) {
	r.Handle("/robots.txt", s.handle(s.getRobots)).Methods("GET", "HEAD")
	r.Handle("/.well-known/security.txt", s.handle(s.getSecurity)).Methods("GET", "HEAD")
}

// mayBeIndexed lets search engines show a page. All others say that they may not.
func mayBeIndexed(w http.ResponseWriter) { w.Header().Del("X-Robots-Tag") }

const plainType = "text/plain; charset=utf-8"

// getRobots keeps robots (RFC 9309) to the pages that may be indexed, in every
// language.
func (s *site) getRobots(w http.ResponseWriter, r *http.Request) error {
	paths := []string{"/"}
	for _, t := range s.look.texts {
		paths = append(paths, "/"+t.name)
	}
	if len(s.service.Scales()) > 0 {
		paths = append(paths, "/reward")
	}
	var out strings.Builder
	out.WriteString("User-agent: *\n")
	for _, p := range paths {
		fmt.Fprintf(&out, "Allow: %s$\nAllow: %s?lang=\n", p, p)
	}
	out.WriteString("Disallow: /\n")
	return s.sendBare(w, http.StatusOK, plainType, []byte(out.String()))
}

// A securityContact is whom to tell of a fault of the site.
type securityContact struct {
	address   string
	languages []string
	canonical string
}

// securityFor is how long security.txt says that it holds, from today on; RFC 9116
// wants less than a year.
const securityFor = 180 * 24 * time.Hour

// getSecurity sends security.txt (RFC 9116), if the site names a contact. It holds
// until a midnight, which tells nothing.
func (s *site) getSecurity(w http.ResponseWriter, r *http.Request) error {
	c := s.look.security
	if c.address == "" {
		return errNoPage
	}
	today, err := time.Parse(time.DateOnly, s.service.Today())
	if err != nil {
		return err
	}
	languages := c.languages
	if len(languages) == 0 {
		languages = []string{"en"}
	}
	text := fmt.Sprintf("Contact: %s\nExpires: %s\nPreferred-Languages: %s\n", c.address, today.Add(securityFor).Format(time.RFC3339), strings.Join(languages, ", "))
	if c.canonical != "" {
		text += "Canonical: " + c.canonical + "\n"
	}
	return s.sendBare(w, http.StatusOK, plainType, []byte(text))
}
