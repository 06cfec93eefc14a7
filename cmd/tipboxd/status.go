package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"tipbox/tipbox"
)

type statusCmd struct {
	Dir     string `arg:"" help:"The server's folder." type:"existingdir"`
	JSON    bool   `help:"Print one JSON document." xor:"form"`
	Metrics bool   `help:"Print counters in Prometheus' text format." xor:"form"`
}

func (*statusCmd) Help() string {
	return "Example: tipboxd status /srv/tipbox\n\n" +
		"Asks the running server on the folder's socket, control.sock, which only its user can reach. " +
		"Nothing of it tells when a tip came, however often it is asked: cases and room are counted once, when the day begins, and in wide bands; " +
		"what the process used is of the day before; connections are told from 64 on.\n\n" +
		"For Prometheus: tipboxd status /srv/tipbox --metrics > tipbox.prom, for node_exporter's textfile collector, or GET /metrics on the socket: " +
		"curl --unix-socket /srv/tipbox/control.sock http://localhost/metrics. " +
		"Mind what else a monitoring program tells of the machine: the disk's free room, sent every few seconds, shows when a file came, and how large it is."
}

// A status is what a running server tells of itself.
type status struct {
	Version     string          `json:"version"`
	Format      int             `json:"format"`
	Since       string          `json:"since"` // the day of its start
	Roster      rosterStatus    `json:"roster"`
	Listens     listenAddresses `json:"listens"`
	Confinement []string        `json:"confinement"`
	Census      *tipbox.Census  `json:"census"` // null before it was taken
	Backup      string          `json:"last_backup"`
	Compaction  string          `json:"last_compaction"`
	Connections connections     `json:"connections"`
	DayBefore   *vitals         `json:"day_before"` // null unless it ran through that day

	Certificates []certificateStatus `json:"certificates,omitempty"` // of [tls]
}

type rosterStatus struct {
	Serial int    `json:"serial"`
	Day    string `json:"day"`
}

// connections are lower bounds: see connectionsTold.
type connections struct {
	Sources int64 `json:"sources"`
	Desk    int64 `json:"desk"`
}

func (c *statusCmd) Run(a *app) error {
	if err := actAsOwner(c.Dir); err != nil {
		return err
	}
	if err := checkModes(c.Dir); err != nil {
		return err
	}
	if c.Metrics {
		text, err := askDocument(a.ctx, c.Dir, metricsRequest)
		if err != nil {
			return c.explain(err)
		}
		a.print("%s", printable(string(text), '\n'))
		return nil
	}
	doc, err := askDocument(a.ctx, c.Dir, statusRequest)
	if err != nil {
		return c.explain(err)
	}
	if c.JSON {
		a.print("%s\n", printable(string(doc)))
		return nil
	}
	var s status
	if err := json.Unmarshal(doc, &s); err != nil {
		return fmt.Errorf("the server answered otherwise than this program expects: is it of another version? %w", err)
	}
	s.print(a)
	return nil
}

func (c *statusCmd) explain(err error) error {
	if err == errNoServer {
		return fmt.Errorf("%w: start it with tipboxd serve %s, or see what is wrong with tipboxd doctor %s", err, c.Dir, c.Dir)
	}
	return err
}

func (s *status) print(a *app) {
	line := func(name, format string, args ...any) {
		a.print("%-12s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	orNever := func(day string) string {
		if day == "" {
			return "never"
		}
		return day
	}
	line("version", "%s, format %d", s.Version, s.Format)
	line("running", "since %s", s.Since)
	line("roster", "serial %d, signed on %s", s.Roster.Serial, s.Roster.Day)
	line("listening", "for sources at %s, for members at %s", s.Listens.Sources, s.Listens.Desk)
	for _, c := range s.Certificates {
		line("certificate", "%s", c)
	}
	confined := strings.Join(s.Confinement, ", ")
	if confined == "" {
		confined = "none"
	}
	line("confinement", "%s", confined)
	if s.Census != nil {
		line("open cases", "%s", openCases(s.Census))
		room := "no end of it"
		if s.Census.Room >= 0 {
			room = fmt.Sprintf("%d MiB or more for files", s.Census.Room)
		}
		line("room", "%s, when %s began", room, s.Census.Day)
	}
	line("backup", "%s", orNever(s.Backup))
	line("compaction", "%s", orNever(s.Compaction))
	line("connections", "%s from sources, %s at the desk", fewer(s.Connections.Sources), fewer(s.Connections.Desk))
	if v := s.DayBefore; v != nil {
		line("yesterday", "memory %s MiB, %s goroutines, %s files open", v.Memory, v.Goroutines, v.Files)
	}
}

// String is what a person reads of a span: both are rounded down to powers of two.
func (s span) String() string {
	if s.Lowest == s.Highest {
		return fmt.Sprintf("about %d", s.Lowest)
	}
	return fmt.Sprintf("about %d to %d", s.Lowest, s.Highest)
}

// String is what a person reads of it.
func (c certificateStatus) String() string {
	text := fmt.Sprintf("for %s until %s", c.Name, c.Until)
	if c.Until == "" {
		text = fmt.Sprintf("none yet for %s", c.Name)
	}
	if c.Failing != "" {
		text += fmt.Sprintf("; a new one is not got since %s: %s", c.Failing, c.Why)
	}
	return text
}

func fewer(connections int64) string {
	if connections == 0 {
		return fmt.Sprintf("fewer than %d", connectionsBand)
	}
	return fmt.Sprintf("%d or more", connections)
}

func openCases(c *tipbox.Census) string {
	var some []string
	for _, state := range tipbox.States() {
		if n := c.Open[state]; n > 0 {
			some = append(some, fmt.Sprintf("%d or more %s", n, state))
		}
	}
	if len(some) == 0 {
		return fmt.Sprintf("fewer than ten in each state, when %s began", c.Day)
	}
	return fmt.Sprintf("%s, when %s began", strings.Join(some, ", "), c.Day)
}

// status is that of the server that serves the folder.
func (f *folder) status() (*status, error) {
	backup, err := dayOr(f.path, backupMark)
	if err != nil {
		return nil, err
	}
	compaction, err := dayOr(f.path, compactMark)
	if err != nil {
		return nil, err
	}
	r := f.service.Roster()
	census, before := f.observer.told()
	return &status{
		Version: programVersion(), Format: tipbox.Format, Since: f.observer.since,
		Roster:      rosterStatus{r.Serial, r.Day},
		Listens:     f.listens,
		Confinement: f.observer.confinement(),
		Census:      census,
		Backup:      backup, Compaction: compaction,
		Connections: connections{connectionsTold(f.sources.count()), connectionsTold(f.members.count())},
		DayBefore:   before,

		Certificates: f.certificateStatus(),
	}, nil
}

func (f *folder) certificateStatus() []certificateStatus {
	if f.certs == nil {
		return nil
	}
	return f.certs.told()
}
