package desk

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/gorilla/mux"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
)

// An AwardPage is a page of the tips about whose awards approvers have to decide.
type AwardPage struct {
	Items []tipbox.AwardItem `json:"items"`
	Next  string             `json:"next,omitempty"` // pass as after; empty at the end
}

func (s *server) awardRoutes(v1 *mux.Router) {
	v1.Handle("/awards", s.handle(s.getAwards)).Methods("GET")
	v1.Handle("/awards/{tip}", s.handle(s.getAward)).Methods("GET")
}

func (s *server) getAwards(w http.ResponseWriter, r *http.Request, m *roster.Member) error {
	items, next, err := s.service.Awards(r.Context(), m, r.URL.Query().Get("after"), tipbox.MaxPage)
	if err != nil {
		return err
	}
	return s.send(w, http.StatusOK, AwardPage{items, next})
}

func (s *server) getAward(w http.ResponseWriter, r *http.Request, m *roster.Member) error {
	file, err := s.service.AwardTip(r.Context(), m, mux.Vars(r)["tip"])
	if err != nil {
		return err
	}
	return s.send(w, http.StatusOK, file)
}

// Awards returns all tips about whose awards approvers have to decide.
func (c *Client) Awards(ctx context.Context) (items []tipbox.AwardItem, err error) {
	for cursor := ""; ; {
		page := new(AwardPage)
		if err := c.get(ctx, "/awards?"+url.Values{"after": {cursor}}.Encode(), maxInbox, page); err != nil {
			return nil, err
		}
		if len(page.Items) > tipbox.MaxPage || page.Next != "" && page.Next <= cursor {
			return nil, fmt.Errorf("the desk's pages make no sense: %w", tipbox.ErrInvalid)
		}
		if items = append(items, page.Items...); page.Next == "" {
			return items, nil
		}
		cursor = page.Next
	}
}

// AwardTip returns what an approver gets of a tip, unverified: see
// tipbox.OpenAward.
func (c *Client) AwardTip(ctx context.Context, tip string) (*tipbox.TipFile, error) {
	file := new(tipbox.TipFile)
	return file, c.get(ctx, "/awards/"+url.PathEscape(tip), maxTip, file)
}
