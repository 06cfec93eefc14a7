package web

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// overOnion reports whether a request came by an onion service, which only Tor
// does. The name that was asked for tells, and nothing else does: not an address,
// which is tor's or a terminator's, nor a header that anybody can send. Of every
// other request nobody knows whether Tor was used, and a page that warns in vain
// does no harm: so that is what becomes also of a terminator which passes on
// another name than the one asked for.
func overOnion(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.HasSuffix(strings.ToLower(host), ".onion") // RFC 7686: no other name ends so
}

// leadToOnion has Tor Browser offer the same page of the onion service. Of the
// address goes along only the path, which is one of ours, and no query. Browsers heed
// it over TLS only, so it need not be known here whether that was spoken.
func (p *page) leadToOnion(w http.ResponseWriter) {
	if p.Onion != "" && p.Path != "" {
		w.Header().Set("Onion-Location", (&url.URL{Scheme: "http", Host: p.Onion, Path: p.Path}).String())
	}
}
