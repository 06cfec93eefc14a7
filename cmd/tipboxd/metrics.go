package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// metricsType is the media type of Prometheus' text format:
// https://prometheus.io/docs/instrumenting/exposition_formats/
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

// metrics is a status in Prometheus' text format. Days are Unix times of their first
// second, in UTC; 0 is never.
func (s *status) metrics() []byte {
	m := new(exposition)
	m.gauge("tipbox_info", "The program that serves.", 1, "version", s.Version, "format", fmt.Sprint(s.Format))
	m.gauge("tipbox_start_day_seconds", "The day of the server's start.", daySeconds(s.Since))
	m.gauge("tipbox_roster_serial", "The serial number of the roster in force.", int64(s.Roster.Serial))
	m.gauge("tipbox_roster_day_seconds", "The day on which it was signed.", daySeconds(s.Roster.Day))
	for _, what := range s.Confinement {
		m.gauge("tipbox_confinement_info", "What confines the server.", 1, "what", what)
	}
	if c := s.Census; c != nil {
		m.gauge("tipbox_census_day_seconds", "The day at whose beginning cases and room were counted.", daySeconds(c.Day))
		for _, state := range slices.Sorted(maps.Keys(c.Open)) {
			m.gauge("tipbox_open_cases", "Open cases by state, when the day began: the lower bound of a band.", int64(c.Open[state]), "state", string(state))
		}
		if c.Room >= 0 {
			m.gauge("tipbox_room_bytes", "Room for files when the day began, rounded down to a power of two.", c.Room<<20)
		}
	}
	m.gauge("tipbox_last_backup_day_seconds", "The day of the last backup.", daySeconds(s.Backup))
	m.gauge("tipbox_last_compaction_day_seconds", "The day on which what was erased was last taken off the disk.", daySeconds(s.Compaction))
	for _, c := range s.Certificates {
		m.gauge("tipbox_certificate_until_day_seconds", "The day on which the certificate of [tls] ends.", daySeconds(c.Until), "name", c.Name)
	}
	for _, c := range s.Certificates {
		m.gauge("tipbox_certificate_failing_day_seconds", "The day since which no new one is got.", daySeconds(c.Failing), "name", c.Name)
	}
	const told = "Connections now; fewer than 64 are 0, more are rounded down to a power of two."
	m.gauge("tipbox_connections", told, s.Connections.Sources, "listener", "sources")
	m.gauge("tipbox_connections", told, s.Connections.Desk, "listener", "desk")
	if v := s.DayBefore; v != nil {
		for _, figure := range []struct {
			name, help string
			span
			unit int64
		}{
			{"tipbox_day_before_memory_bytes", "Memory of the process the day before, rounded down to a power of two.", v.Memory, 1 << 20},
			{"tipbox_day_before_goroutines", "Goroutines the day before, likewise.", v.Goroutines, 1},
			{"tipbox_day_before_open_files", "Open files the day before, likewise.", v.Files, 1},
		} {
			m.gauge(figure.name, figure.help, figure.Lowest*figure.unit, "of", "lowest")
			m.gauge(figure.name, figure.help, figure.Highest*figure.unit, "of", "highest")
		}
	}
	return m.Bytes()
}

// daySeconds is a day as a Unix time, 0 if there is none.
func daySeconds(day string) int64 {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return 0
	}
	return t.Unix()
}

// An exposition is a text of gauges. Those of one name follow each other.
type exposition struct {
	bytes.Buffer
	last string // name
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// gauge adds a value. Labels are names and values by turns.
func (m *exposition) gauge(name, help string, value int64, labels ...string) {
	if m.last != name {
		m.last = name
		fmt.Fprintf(m, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name)
	}
	var pairs []string
	for pair := range slices.Chunk(labels, 2) {
		pairs = append(pairs, fmt.Sprintf(`%s="%s"`, pair[0], labelEscapes.Replace(pair[1])))
	}
	if len(pairs) > 0 {
		name += "{" + strings.Join(pairs, ",") + "}"
	}
	fmt.Fprintf(m, "%s %d\n", name, value)
}

// answerHTTP answers a request for /metrics that begins with the line.
func (f *folder) answerHTTP(conn net.Conn, line string, rest *bufio.Reader) error {
	r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(line), rest)))
	if err != nil {
		return nil // somebody who wanted nothing
	}
	answer := &http.Response{ProtoMajor: 1, ProtoMinor: 1, StatusCode: http.StatusNotFound, Header: make(http.Header), Close: true, Request: r}
	text := []byte("There is nothing but /metrics.\n")
	if r.Method == http.MethodGet && r.URL.Path == "/metrics" {
		s, err := f.status()
		if err != nil {
			return err
		}
		answer.StatusCode, text = http.StatusOK, s.metrics()
		answer.Header.Set("Content-Type", metricsType)
	}
	answer.ContentLength, answer.Body = int64(len(text)), io.NopCloser(bytes.NewReader(text))
	return answer.Write(conn)
}
