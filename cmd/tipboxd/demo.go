package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
	"tipbox/tipbox/desk"
)

type demoCmd struct {
	Dir    string `help:"The folder of everything: server, root key and members." default:"tipbox-demo"`
	Listen string `help:"Where sources' pages are served: HOST:PORT, or unix:/PATH of a socket." default:"127.0.0.1:8080"`
	Desk   string `help:"Where members' tools connect, likewise." default:"127.0.0.1:8081"`
	confineFlags
}

func (*demoCmd) Help() string {
	return "Example: tipboxd demo\n\nFor trying out only: every key lies in the one folder. A second start uses what is there."
}

func (c *demoCmd) Run(a *app) error {
	at := listenAddresses{c.Listen, c.Desk}
	if err := at.check(); err != nil {
		return err
	}
	a.keepMemory()
	if _, err := os.Stat(filepath.Join(c.Dir, rosterName)); errors.Is(err, fs.ErrNotExist) {
		if err := c.found(); err != nil {
			return fmt.Errorf("making the demo in %s: %w", c.Dir, err)
		}
	}
	f, err := openFolder(a.ctx, c.Dir, a.log)
	if err != nil {
		return err
	}
	defer f.Close()
	return a.serve(f, c.RequireConfinement, at, func(at listenAddresses) error {
		for _, m := range f.service.Roster().Members {
			home := desk.Home(c.memberHome(m.Name()))
			if err := home.Join(desk.HomeConfig{Desk: at.Desk, Root: f.config.Root}, f.service.SignedRoster()); err != nil {
				return err
			}
		}
		c.explain(a, at)
		return nil
	})
}

func (c *demoCmd) memberHome(name string) string { return filepath.Join(c.Dir, "members", name) }

// demoMark is the file that tells a demo's folder, which may be begun again, from
// any other, which must not be touched.
const demoMark = "DEMO"

// found makes the organisation: a root key, a server's folder, a member for
// each role. The roster comes last: without it, the next start begins again.
func (c *demoCmd) found() error {
	mark := filepath.Join(c.Dir, demoMark)
	if _, err := os.Stat(mark); err == nil {
		if err := os.RemoveAll(c.Dir); err != nil {
			return err
		}
	}
	if err := makeFolder(c.Dir); err != nil {
		return err
	}
	if err := os.WriteFile(mark, []byte("A demo of Tipbox, for trying out only: every key lies in this folder.\n"), 0o600); err != nil {
		return err
	}
	root, err := roster.NewSigningKey("root")
	if err != nil {
		return err
	}
	cfg := defaultConfig()
	cfg.Root, cfg.Listen, cfg.Desk = root.Verifier(), c.Listen, c.Desk
	server, err := initFolder(c.Dir, cfg)
	if err != nil {
		return err
	}
	channels, err := loadChannels(filepath.Join(c.Dir, siteName))
	if err != nil {
		return err
	}
	schedule, err := loadSchedule(filepath.Join(c.Dir, siteName))
	if err != nil {
		return err
	}
	r := &roster.Roster{
		Organisation: "Example City", Serial: 1, Day: time.Now().Format(time.DateOnly), Servers: []string{server},
		Schedules: []roster.Schedule{*schedule},
	}
	for _, role := range roster.Roles() {
		m, err := c.member(role)
		if err != nil {
			return err
		}
		if role == roster.Investigator {
			for _, channel := range channels {
				m.Channels = append(m.Channels, channel.ID)
			}
		}
		if err := r.Add(m, r.Day); err != nil {
			return err
		}
	}
	if r.Denominations, err = c.denominations(schedule, r.Day); err != nil {
		return err
	}
	signed, err := r.Sign(root)
	if err != nil {
		return err
	}
	rootHome := filepath.Join(c.Dir, "root")
	if err := os.MkdirAll(rootHome, 0o700); err != nil {
		return err
	}
	for _, file := range []struct {
		path string
		data []byte
	}{
		{filepath.Join(rootHome, "root.key"), []byte(root.Reveal() + "\n")},
		{filepath.Join(rootHome, "roster.json"), r.Draft()},
		{filepath.Join(rootHome, "roster.note"), signed},
		{filepath.Join(c.Dir, rosterName), signed},
	} {
		if err := renameio.WriteFile(file.path, file.data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// member makes the member who has the role, and is named like it.
func (c *demoCmd) member(role roster.Role) (*roster.Member, error) {
	key, err := roster.NewMemberKey(string(role))
	if err != nil {
		return nil, err
	}
	home := desk.Home(c.memberHome(key.Name()))
	if err := os.MkdirAll(string(home), 0o700); err != nil {
		return nil, err
	}
	if err := renameio.WriteFile(home.KeyFile(), []byte(key.Reveal()), 0o600); err != nil {
		return nil, err
	}
	card, err := key.Card()
	if err != nil {
		return nil, err
	}
	m := &roster.Member{Roles: []roster.Role{role}, CardText: card.Text}
	if role == roster.Investigator {
		m.Title, m.Unit = "Example Investigator", "Audit Office"
	}
	return m, nil
}

// demoYears is how long the demo's vouchers are paid.
const demoYears = 5

// denominations makes the vouchers of which the schedule's awards are paid: of its
// unit, of ten and of a hundred times that. The approver has their issuing keys.
func (c *demoCmd) denominations(s *roster.Schedule, day string) ([]voucher.Denomination, error) {
	folder := filepath.Join(c.memberHome(string(roster.Approver)), "issuing")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	made := make([]voucher.Denomination, 3)
	errs := make([]error, len(made))
	var wg sync.WaitGroup
	for i, times := range []int64{1, 10, 100} {
		wg.Go(func() { // each takes a good part of a second
			key, err := voucher.GenerateIssuingKey()
			if err != nil {
				errs[i] = err
				return
			}
			amount := times * s.Unit
			made[i] = voucher.Denomination{
				ID: fmt.Sprintf("%s-%c", strings.ToLower(s.Currency), 'a'+i), Currency: s.Currency, Amount: amount, Key: key.Public(),
				Since: day, Until: time.Now().AddDate(demoYears, 0, 0).Format(time.DateOnly),
			}
			errs[i] = renameio.WriteFile(filepath.Join(folder, made[i].ID+".key"), []byte(key.Reveal()), 0o600)
		})
	}
	wg.Wait()
	return made, errors.Join(errs...)
}

// explain prints where to go and what to type.
func (c *demoCmd) explain(a *app, at listenAddresses) {
	tool := "tipbox"
	if exe, err := os.Executable(); err == nil && strings.Contains(exe, "go-build") {
		tool = "go run ./cmd/tipbox"
	} else if beside := filepath.Join(filepath.Dir(exe), "tipbox"); err == nil {
		if _, err := os.Stat(beside); err == nil {
			tool = beside
		}
	}
	tool += " --home " + quote(c.memberHome(string(roster.Investigator)))
	pages, thread := "http://"+at.Sources+"/", "http://"+at.Sources+"/thread"
	if path, ok := strings.CutPrefix(at.Sources, unixPrefix); ok {
		pages, thread = at.Sources+" (curl --unix-socket "+quote(path)+" http://localhost/)", "/thread"
	}
	a.print(`A demo of Tipbox, for trying out only: every key lies in %[1]s.

Sources:  %[2]s
Desk:     %[3]s

Send a tip in a browser at the first address. Then read and answer it as the
investigator, in another terminal:

  %[4]s inbox
  %[4]s read TIP
  %[4]s save TIP -o files
  %[4]s reply TIP -m 'Thank you. Which account was it?'

TIP is what the inbox names it. The source reads the answer with the receipt
code, at %[5]s

Stop with Ctrl-C. A second start uses what is there.
`, c.Dir, pages, at.Desk, tool, thread)
}

// quote is a path as a shell takes it.
func quote(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
