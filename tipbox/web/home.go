package web

import (
	"net/http"

	"github.com/gorilla/mux"

	"tipbox/tipbox"
)

func (s *site) homeRoutes(r *mux.Router) {
	r.Handle("/", s.handle(s.getHome)).Methods("GET", "HEAD")
}

func (s *site) getHome(w http.ResponseWriter, r *http.Request) error {
	p := s.newPage(r, "home.head")
	p.Data = struct {
		Channels []tipbox.Channel
		Rewards  bool
	}{s.service.Channels(), len(s.service.Scales()) > 0}
	mayBeIndexed(w)
	return s.render(w, http.StatusOK, "home", p)
}
