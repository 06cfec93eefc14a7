package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"tipbox/store"
	"tipbox/store/bolt"
	"tipbox/store/dir"
	"tipbox/tipbox"
)

type doctorCmd struct {
	Dir  string `arg:"" help:"The server's folder." type:"existingdir"`
	JSON bool   `help:"Print one JSON document."`
	localTor
}

func (*doctorCmd) Help() string {
	return "Example: tipboxd doctor /srv/tipbox\n\n" +
		"Looks at the folder, the roster, the site, the settings, tor and the machine, and says of each whether it is well, what is wrong or soon will be, and what to type. " +
		"The server may run or not. Nothing is changed. Run it as root, which looks into the folder as the user whose it is and at tor as root, or as that user. Exit status 1 if anything is an error.\n\n" +
		"It takes a moment however many tips there are, and so looks at the newest only: tipboxd check reads everything."
}

// A finding is what the doctor says of one thing.
type finding struct {
	Check string `json:"check"`
	Level level  `json:"level"`
	Says  string `json:"says"`
	Do    string `json:"do,omitempty"` // the next thing to type
}

// A level says how bad a finding is.
type level string

const (
	levelOK      level = "ok"
	levelWarning level = "warning"
	levelError   level = "error"
)

func (c *doctorCmd) Run(a *app) error {
	m := thisMachine()
	m.tor.localTor = c.localTor
	findings := examine(a.ctx, c.Dir, m)
	counts := make(map[level]int)
	for _, f := range findings {
		counts[f.Level]++
	}
	if c.JSON {
		doc, err := json.Marshal(struct {
			Findings []finding `json:"findings"`
			Errors   int       `json:"errors"`
			Warnings int       `json:"warnings"`
		}{findings, counts[levelError], counts[levelWarning]})
		if err != nil {
			return err
		}
		a.print("%s\n", doc)
	} else {
		for _, f := range findings {
			a.print("%-8s %-12s %s\n", f.Level, f.Check, printable(f.Says, '\n', '\t'))
			if f.Do != "" {
				a.print("%-21s %s\n", "", "-> "+printable(f.Do))
			}
		}
		a.print("errors: %d, warnings: %d\n", counts[levelError], counts[levelWarning])
	}
	if err := a.ctx.Err(); err != nil {
		return err
	}
	if n := counts[levelError]; n > 0 {
		return fmt.Errorf("errors: %d; begin with the first", n)
	}
	return nil
}

// An exam is a look at one folder.
type exam struct {
	ctx     context.Context
	f       *folder // of which nothing is open
	m       machine
	today   string
	found   []finding
	current string // check

	configErr   error
	channelsErr error // of channels.toml
	keyErr      error
	unseen      error // why nobody could look into the database

	server *examination // nil if none runs
	glance *tipbox.Glance
}

// An examination is what only a running server can say.
type examination struct {
	Version     string   `json:"version"`
	Since       string   `json:"since"`
	Serial      int      `json:"serial"` // of the roster in force
	Confinement []string `json:"confinement"`
	Limits      limits   `json:"limits"`

	Certificates []certificateStatus `json:"certificates,omitempty"`

	Listens listenAddresses `json:"listens"`
	Glance  *tipbox.Glance  `json:"glance"`
}

// A doctorCheck looks at one thing. What it does not complain of is well.
type doctorCheck struct {
	name      string
	well      func(*exam) string // what is said then
	look      func(*exam)
	elsewhere bool // it looks where root may and the folder's owner may not
}

// examine looks at a folder.
func examine(ctx context.Context, dir string, m machine) []finding {
	e := &exam{ctx: ctx, f: &folder{path: dir}, m: m}
	e.asOwner(e.prepare)
	for _, c := range doctorChecks() {
		e.current = c.name
		look := func() {
			before := len(e.found)
			if c.look(e); len(e.found) == before {
				e.add(levelOK, "", "%s", c.well(e))
			}
		}
		if c.elsewhere {
			look()
		} else {
			e.asOwner(look)
		}
	}
	return e.found
}

// asOwner has root look into the folder as the user whose it is.
func (e *exam) asOwner(look func()) {
	err := asOwner(e.f.path, func() error {
		look()
		return nil
	})
	if err != nil {
		e.fail("", "%v", err)
	}
}

func (e *exam) add(l level, do, format string, args ...any) {
	e.found = append(e.found, finding{e.current, l, fmt.Sprintf(format, args...), do})
}

func (e *exam) fail(do, format string, args ...any) { e.add(levelError, do, format, args...) }
func (e *exam) warn(do, format string, args ...any) { e.add(levelWarning, do, format, args...) }

// prepare reads what several checks look at.
func (e *exam) prepare() {
	f := e.f
	e.configErr = f.readConfig()
	if f.location == nil {
		f.location = time.UTC
	}
	e.today = e.m.now().In(f.location).Format(time.DateOnly)
	f.channels, e.channelsErr = loadChannels(f.file(siteName))
	e.keyErr = f.readKey()
	e.lookInside()
}

// lookInside looks into the database, or has the server do so.
func (e *exam) lookInside() {
	doc, err := askDocument(e.ctx, e.f.path, examineRequest)
	if err == nil {
		e.server = new(examination)
		if err = json.Unmarshal(doc, e.server); err == nil {
			e.glance = e.server.Glance
		}
		e.unseen = err
		return
	}
	if !errors.Is(err, errNoServer) {
		e.unseen = err
		return
	}
	e.unseen = func() error {
		db, err := bolt.Open(e.f.file(databaseName), &bolt.Config{ReadOnly: true, MustExist: true, Timeout: 200 * time.Millisecond})
		if err != nil {
			return err
		}
		defer db.Close()
		blobs, err := dir.OpenView(e.f.file(blobsName))
		if err != nil {
			return err
		}
		defer blobs.Close()
		e.glance, err = tipbox.TakeGlance(e.ctx, db, blobs, e.today, true)
		return err
	}()
}

// examine answers a doctor who asks the running server.
func (f *folder) examine(ctx context.Context) (*examination, error) {
	blobs, err := dir.OpenView(f.file(blobsName))
	if err != nil {
		return nil, err
	}
	defer blobs.Close()
	glance, err := tipbox.TakeGlance(ctx, f.db, blobs, f.service.Today(), false)
	if err != nil {
		return nil, err
	}
	return &examination{
		Version: programVersion(), Since: f.observer.since, Serial: f.service.Roster().Serial,
		Confinement: f.observer.confinement(), Limits: thisMachine().limits(), Glance: glance, Listens: f.listens,
		Certificates: f.certificateStatus(),
	}, nil
}

// serverLimits are those of the running server, or else of this process.
func (e *exam) serverLimits() (l limits, whose string) {
	if e.server != nil {
		return e.server.Limits, "of the server"
	}
	return e.m.limits(), "here, which may be other than the server's"
}

// addresses are those of the running server, or else those that are set.
func (e *exam) addresses() listenAddresses {
	if e.server != nil && e.server.Listens.Sources != "" {
		return e.server.Listens
	}
	return e.f.config.addresses()
}

// missing reports whether an error is only that something is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// locked reports whether another process has the database.
func locked(err error) bool { return errors.Is(err, store.ErrLocked) }
