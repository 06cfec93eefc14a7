package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// A progress counts bytes that pass, and shows them to a person who waits.
type progress struct {
	io.Writer // nil: nobody waits
	doing     string
	total     int64 // 0: unknown
	passed    int64
	shown     time.Time
}

// progress begins to show how much was done, if standard error is a terminal.
func (a *app) progress(doing string, total int64) *progress {
	p := &progress{doing: doing, total: total}
	if f, ok := a.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.Writer = f
	}
	return p
}

// Write implements io.Writer, for an io.TeeReader or io.MultiWriter.
func (p *progress) Write(b []byte) (int, error) {
	p.passed += int64(len(b))
	if p.Writer == nil || time.Since(p.shown) < time.Second/4 {
		return len(b), nil
	}
	p.shown = time.Now()
	fmt.Fprintf(p.Writer, "\r%s: %d MiB", p.doing, p.passed>>20)
	if p.total > 0 {
		fmt.Fprintf(p.Writer, " of %d", p.total>>20)
	}
	return len(b), nil
}

// done ends the line.
func (p *progress) done() {
	if !p.shown.IsZero() {
		fmt.Fprintln(p.Writer)
	}
}
