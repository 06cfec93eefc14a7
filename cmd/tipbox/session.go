package main

import (
	"tipbox/crypto/roster"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

// A session is a member connected to the desk, with the roster in force.
type session struct {
	*desk.Client
	key    *roster.MemberKey
	roster *roster.Roster
}

// connect opens the member's key and asks the desk for a newer roster. Close
// the session.
func (a *app) connect() (*session, error) {
	cfg, err := a.home.Config()
	if err != nil {
		return nil, err
	}
	last, err := a.home.Roster(cfg)
	if err != nil {
		return nil, err
	}
	key, err := a.memberKey()
	if err != nil {
		return nil, err
	}
	client, err := desk.NewClient(desk.ClientConfig{Address: cfg.Desk, Key: key.SigningKey, Roster: last})
	if err != nil {
		return nil, err
	}
	signed, err := client.Roster(a.ctx)
	if err != nil {
		client.Close()
		return nil, err
	}
	current, err := a.home.Renew(cfg, last, signed)
	if err != nil {
		client.Close()
		return nil, err
	}
	return &session{client, key, current}, nil
}

// open fetches a tip and opens it. It checks that the list of its entries goes
// on from where it ended when this member last saw it, and remembers the end.
func (s *session) open(a *app, tip string) (*tipbox.TipFile, *tipbox.OpenedTip, error) {
	file, err := s.Tip(a.ctx, tip)
	if err != nil {
		return nil, nil, err
	}
	opened, err := tipbox.OpenTip(file, tip, s.key, s.roster)
	if err != nil {
		return nil, nil, err
	}
	seen, err := a.home.Head(tip)
	if err == nil {
		err = opened.Extends(seen)
	}
	if head := opened.Head(); err == nil && head != seen && head.SHA256 != "" {
		err = a.home.Remember(tip, head)
	}
	return file, opened, err
}
