package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

// tips is where a session's tips come from: the desk, or a bundle of what was
// fetched there. Neither is believed.
type tips interface {
	Inbox(ctx context.Context, filter tipbox.InboxFilter, cursor string, limit int) (*desk.InboxPage, error)
	Tip(ctx context.Context, tip string) (*tipbox.TipFile, error)
	Attachment(ctx context.Context, tip, blob string) (io.ReadCloser, error)
	Close()
}

var _ tips = (*desk.Client)(nil)

// A session is a member at work, with the roster in force: at the desk, or with
// a bundle and the answers that are to go back.
type session struct {
	tips
	key    *roster.MemberKey
	roster *roster.Roster

	cfg     desk.HomeConfig
	desk    *desk.Client // nil with a bundle
	answers *answers     // nil at the desk
}

var (
	// errNoDesk means that a folder was set up for bundles only.
	errNoDesk = errors.New("this folder was joined without a desk")
	// errOldBundle means that a bundle shows less than was seen before.
	errOldBundle = errors.New("this bundle is older than one read before")
)

// connect opens the member's key and asks the desk for a newer roster, or opens
// the bundle. Close the session.
func (a *app) connect() (*session, error) {
	s, err := a.dial()
	if err != nil || s.desk == nil {
		return s, err
	}
	if err := s.renew(a); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// dial is connect for what opens tips before it looks at the roster: the desk's
// answer says whether there is another, so that opening a tip costs one request.
func (a *app) dial() (*session, error) {
	cfg, err := a.home.Config()
	if err != nil {
		return nil, err
	}
	last, err := a.home.Roster(cfg)
	if err != nil {
		return nil, err
	}
	if a.bundle == "" && cfg.Desk == "" {
		return nil, errNoDesk
	}
	through, err := a.deskProxy(cfg)
	if err != nil && a.bundle == "" {
		return nil, err
	}
	key, err := a.memberKey()
	if err != nil {
		return nil, err
	}
	if a.bundle != "" {
		return a.unpack(cfg, last, key)
	}
	clientConfig := desk.ClientConfig{Address: cfg.Desk, Key: key.SigningKey, Roster: last}
	if through != nil {
		clientConfig.Dial = through.Dial
	}
	client, err := desk.NewClient(clientConfig)
	if err != nil {
		return nil, err
	}
	return &session{tips: client, key: key, roster: last, desk: client, cfg: cfg}, nil
}

// renew asks the desk for its roster and takes it up.
func (s *session) renew(a *app) error {
	signed, err := s.desk.Roster(a.ctx)
	if err != nil {
		return err
	}
	current, err := a.home.Renew(s.cfg, s.roster, signed)
	if err == nil {
		s.roster = current
	}
	return err
}

// current takes up the desk's roster if its last answer said that it is another.
func (s *session) current(a *app) error {
	if s.desk == nil || s.desk.HasRoster(s.roster) {
		return nil
	}
	return s.renew(a)
}

// connectDesk is connect for what a bundle has not.
func (a *app) connectDesk() (*session, error) {
	if a.bundle != "" {
		return nil, usageError{errors.New("this takes the desk itself: leave --bundle out, on the machine that reaches the desk")}
	}
	return a.connect()
}

// unpack opens the bundle, and what was answered to it.
func (a *app) unpack(cfg desk.HomeConfig, last *roster.Roster, key *roster.MemberKey) (*session, error) {
	b, err := openBundle(a.bundle)
	if err != nil {
		return nil, err
	}
	s := &session{tips: b, key: key}
	if b.Member != key.Name() {
		err = fmt.Errorf("%s was fetched by %.40q, and this is the key of %s", a.bundle, b.Member, key.Name())
	}
	if err == nil {
		if s.roster, err = a.home.Renew(cfg, last, b.roster); errors.Is(err, roster.ErrOlder) {
			err = fmt.Errorf("%w, or %w", err, errOldBundle)
		}
	}
	if err == nil {
		s.answers, err = readAnswers(answersFile(a.bundle))
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	if n := s.answers.waiting(); n > 0 {
		a.say("Not sent yet, and shown as if it were: %d in %s\n", n, s.answers.path)
	}
	return s, nil
}

// open fetches a tip and opens it. It checks that the list of its entries goes
// on from where it ended when this member last saw it, and remembers the end.
func (s *session) open(a *app, tip string) (*tipbox.TipFile, *tipbox.OpenedTip, error) {
	file, err := s.Tip(a.ctx, tip)
	if seen, known := a.home.Head(tip); errors.Is(err, tipbox.ErrNotFound) && known == nil && seen.Number > 0 {
		err = fmt.Errorf("%w. It was there, with %d entries: it was erased since, or the server hides it", err, seen.Number)
	}
	if err == nil {
		err = s.current(a)
	}
	if err != nil {
		return nil, nil, err
	}
	opened, err := tipbox.OpenTip(file, tip, s.key, s.roster)
	if err != nil {
		return nil, nil, err
	}
	if err = a.goesOn(opened); err != nil && s.desk == nil {
		err = fmt.Errorf("%w, or %w", err, errOldBundle)
	}
	if err == nil && s.answers != nil {
		err = s.answers.take(opened)
	}
	return file, opened, err
}

// goesOn checks that a tip's list of entries goes on from where it ended when this
// member last saw it, and remembers the end if it is tied to that. It says if it is
// not, and if an entry is dated ahead.
func (a *app) goesOn(opened *tipbox.OpenedTip) error {
	seen, err := a.home.Head(opened.Tip)
	tied := false
	if err == nil {
		tied, err = opened.Extends(seen)
	}
	if head := opened.Head(); err == nil && tied && head != seen && head.SHA256 != "" {
		err = a.home.Remember(opened.Tip, head)
	}
	if err == nil && !tied {
		a.say("Note: an entry of tip %s is lost behind entry %d, which was the last that you saw whole. Nobody can tell whether what follows goes on from it, so %d stays what is remembered: have the lost one restored from a backup.\n",
			opened.Tip, seen.Number, seen.Number)
	}
	if e := opened.Ahead(today()); err == nil && e != nil {
		a.say("Note: entry %d of tip %s is dated %s, and here it is %s: a clock was wrong, this one or another.\n", e.Number, opened.Tip, e.Day, today())
	}
	return err
}

// head is the end of a tip's list as it is signed, without what is not sent yet.
func (s *session) head(opened *tipbox.OpenedTip) tipbox.Head {
	if s.answers == nil {
		return opened.Head()
	}
	return s.answers.ends[opened.Tip]
}

// done is what a command says of what it did, which with a bundle is not sent
// yet.
func (s *session) done(say string) string {
	if s.answers == nil {
		return say
	}
	return fmt.Sprintf("Written. To sign and send it, on the machine that reaches the desk: tipbox send %s\n", cleanLine(s.answers.path))
}
