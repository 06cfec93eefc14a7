package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/alecthomas/kong"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// commands are the program's; each has a file of its own.
type commands struct {
	Demo    demoCmd    `cmd:"" help:"Make a whole organisation to try things out, and serve."`
	Init    initCmd    `cmd:"" help:"Make the folder of a server."`
	Roster  rosterCmd  `cmd:"" help:"Put a signed roster into a folder."`
	Serve   serveCmd   `cmd:"" help:"Serve from a folder."`
	Check   checkCmd   `cmd:"" help:"Prove a folder whole, or say what is wrong."`
	Doctor  doctorCmd  `cmd:"" help:"Say what is wrong with a server, or will be, and what to do."`
	Status  statusCmd  `cmd:"" help:"Show how a running server is."`
	Onion   onionCmd   `cmd:"" help:"Show the onion service of a server, and whether it leads there."`
	Backup  backupCmd  `cmd:"" help:"Write all of a folder into one encrypted file."`
	Restore restoreCmd `cmd:"" help:"Make a folder from a backup."`
	Compact compactCmd `cmd:"" help:"Take what was erased off the disk."`
	Notify  notifyCmd  `cmd:"" help:"Show what members could not be told, or send them a test."`
}

// An app is what commands work with.
type app struct {
	ctx    context.Context
	stdout io.Writer
	stderr io.Writer
	log    *slog.Logger

	tellAfter time.Duration // see notifier

	confined bool      // a process that serves shuts itself in
	measures []measure // of keepMemory
}

// run is the program. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return (&app{ctx, stdout, stderr, newLog(stderr), tellAfter, true, nil}).run(args)
}

func (a *app) run(args []string) int {
	var c commands
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("tipboxd"),
		kong.Description("The tip service. Results go to standard output, everything else to standard error."),
		kong.Writers(a.stdout, a.stderr),
		kong.Vars{"keptdays": strconv.Itoa(keptDays), "hostname": hostnameFiles[0], "socks": defaultTor.Socks, "control": defaultTor.Control},
		kong.Exit(func(status int) { exited = status }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		fmt.Fprintln(a.stderr, "tipboxd:", err)
		return exitFailed
	}
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help
	}
	if err != nil {
		fmt.Fprintf(a.stderr, "tipboxd: %s\nTry: tipboxd --help\n", err)
		return exitUsage
	}
	if err := k.Run(a); err != nil {
		fmt.Fprintf(a.stderr, "tipboxd: %s\n", err)
		return exitFailed
	}
	return exitDone
}

// newLog writes lines with the day and no time: a line must not tell when a
// source was here.
func newLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.String("day", a.Value.Time().Format(time.DateOnly))
			}
			return a
		},
	}))
}

// printable leaves out what could deceive a terminal, of a text by somebody who may
// want to. Some may be kept that do not print.
func printable(text string, keep ...rune) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) && !slices.Contains(keep, r) {
			return -1
		}
		return r
	}, text)
}

func (a *app) print(format string, args ...any) { fmt.Fprintf(a.stdout, format, args...) }
