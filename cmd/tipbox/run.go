package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// commands are the program's; each has a file of its own.
type commands struct {
	Home           string `help:"The member's folder." type:"path" placeholder:"DIR" default:"${home}"`
	JSON           bool   `help:"Print one JSON document, or one a line for lists."`
	PassphraseFile string `help:"Read the key's passphrase from the first line of FILE instead of asking." type:"path" placeholder:"FILE"`

	Keygen   keygenCmd   `cmd:"" help:"Make your member key."`
	Card     cardCmd     `cmd:"" help:"Print your card, the public half of your key."`
	Join     joinCmd     `cmd:"" help:"Set up your folder with the organisation's roster."`
	Inbox    inboxCmd    `cmd:"" help:"List the tips that you can read, latest news first."`
	Read     readCmd     `cmd:"" help:"Decrypt a tip and print its messages."`
	Reply    replyCmd    `cmd:"" help:"Answer the source of a tip."`
	Due      dueCmd      `cmd:"" help:"List what is due, what is overdue first."`
	Case     caseCmd     `cmd:"" help:"Print a case: its state, deadlines and every entry."`
	Ack      ackCmd      `cmd:"" help:"Tell the source that the tip is read."`
	Accept   acceptCmd   `cmd:"" help:"Take a case on."`
	Decline  declineCmd  `cmd:"" help:"Decline a case, and tell the source why."`
	Assign   assignCmd   `cmd:"" help:"Give a case an owner and a deadline."`
	Grant    grantCmd    `cmd:"" help:"Let a colleague read a case."`
	Note     noteCmd     `cmd:"" help:"Note something for the desk."`
	Ask      askCmd      `cmd:"" help:"Ask the source of a case; its clock stands still."`
	Finding  findingCmd  `cmd:"" help:"Vote on what was found."`
	Recover  recoverCmd  `cmd:"" help:"Note a sum that was found or collected."`
	Answer   answerCmd   `cmd:"" help:"Tell the source what came of the case."`
	Close    closeCmd    `cmd:"" help:"Confirm that a case is done."`
	Reverify reverifyCmd `cmd:"" help:"Have others look at a case again."`
	Hold     holdCmd     `cmd:"" help:"Keep a case from being erased."`
	Release  releaseCmd  `cmd:"" help:"End a hold."`
	Save     saveCmd     `cmd:"" help:"Decrypt a tip's attachments into a folder."`
	Export   exportCmd   `cmd:"" help:"Write a tip as plain age files that the stock age program opens."`
	Erase    eraseCmd    `cmd:"" help:"Take a tip away for good."`
	Roster   rosterCmd   `cmd:"" help:"Keep the organisation's roster (for whoever holds the root key)."`
}

// An app is what commands work with.
type app struct {
	ctx    context.Context
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	home   desk.Home
	json   bool

	passphraseFile string
}

// run is the program. It returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c commands
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("tipbox"),
		kong.Description("Read and answer tips. Results go to standard output, everything else to standard error."),
		kong.Vars{"home": defaultHome()},
		kong.Writers(stdout, stderr),
		kong.Exit(func(status int) { exited = status }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "tipbox:", err)
		return exitFailed
	}
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help
	}
	if err != nil {
		fmt.Fprintf(stderr, "tipbox: %s\n", clean(err.Error()))
		fmt.Fprintf(stderr, "Try: tipbox --help\n")
		return exitUsage
	}
	a := &app{ctx, stdin, stdout, stderr, desk.Home(c.Home), c.JSON, c.PassphraseFile}
	if err := k.Run(a); err != nil {
		fmt.Fprintf(stderr, "tipbox: %s\n", clean(err.Error()))
		if h := hint(err); h != "" {
			fmt.Fprintf(stderr, "%s\n", h)
		}
		var usage usageError
		if errors.As(err, &usage) {
			return exitUsage
		}
		return exitFailed
	}
	return exitDone
}

func defaultHome() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "tipbox-home"
	}
	return filepath.Join(dir, "tipbox")
}

// A usageError is a command given wrongly.
type usageError struct{ error }

// hint says what to do next about an error.
func hint(err error) string {
	switch {
	case errors.Is(err, tipbox.ErrUnreadable):
		return "The server sent what was signed; who wrote it made it unreadable. The other messages are not touched by it."
	case errors.Is(err, desk.ErrNoHome):
		return "Set the folder up: tipbox keygen NAME, then tipbox join ROSTER --desk HOST:PORT --root KEY.\nIf it is elsewhere: tipbox --home DIR …"
	case errors.Is(err, errUncertain):
		return "The line broke before the desk had answered. Read the tip first: the answer may be there."
	case errors.Is(err, desk.ErrUnreachable):
		return "Is the server running, and is \"desk\" in tipbox.toml its address?"
	case errors.Is(err, desk.ErrPeer):
		return "If keys were changed, get the newest roster.note from the root key's holder and join again: tipbox join …"
	case errors.Is(err, roster.ErrPassphrase):
		return "Type it again; capitals and spaces matter."
	case errors.Is(err, roster.ErrOlder):
		return "Somebody may be showing you an old roster to bring back a member who was removed. Ask the root key's holder."
	case errors.Is(err, seal.ErrNotForYou):
		return "This tip was not sealed to your key. A colleague who can read it must answer it."
	case errors.Is(err, seal.ErrDamaged), errors.Is(err, seal.ErrWrongTip), errors.Is(err, tipbox.ErrInvalid), errors.Is(err, roster.ErrSignature):
		return "What the server sent is not what was signed. Nothing of it was used. Tell the operator and the root key's holder."
	case errors.Is(err, tipbox.ErrConflict):
		return "Somebody wrote meanwhile. Read the tip again, then answer."
	case errors.Is(err, tipbox.ErrRule):
		return "What may be done, by whom and when: tipbox case --help"
	case errors.Is(err, tipbox.ErrNotFound):
		return "See which tips you can read: tipbox inbox"
	}
	return ""
}

// print writes a result. Text that came from elsewhere must be clean.
func (a *app) print(format string, args ...any) { fmt.Fprintf(a.stdout, format, args...) }

// say writes what is not a result.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.stderr, format, args...) }

// oneLine is the trimmed content of a small file's first line.
func oneLine(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}
