package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/crypto/voucher"
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
	Bundle         string `help:"Work with a bundle of tipbox fetch instead of the desk." type:"existingfile" placeholder:"FILE"`
	Socks          string `help:"Go through the SOCKS proxy there, as Tor has one; it looks names up too. join remembers it; none is to go without." placeholder:"HOST:PORT"`
	JSON           bool   `help:"Print one JSON document, or one a line for lists."`
	PassphraseFile string `help:"Read the key's passphrase from the first line of FILE instead of asking." type:"path" placeholder:"FILE"`
	Lang           string `help:"Speak en or zh-Hans, and not the language of LC_ALL, LC_MESSAGES or LANG." placeholder:"LANG"` // see languageFor

	Keygen   keygenCmd   `cmd:"" help:"Make your member key."`
	Card     cardCmd     `cmd:"" help:"Print your card, the public half of your key."`
	Key      keyCmd      `cmd:"" help:"Split your key in two, for an air gap."`
	Agent    agentCmd    `cmd:"" help:"Serve your key for some hours, so that its passphrase is asked for once."`
	Join     joinCmd     `cmd:"" help:"Set up your folder with the organisation's roster."`
	Inbox    inboxCmd    `cmd:"" help:"List the tips that you can read, latest news first."`
	Read     readCmd     `cmd:"" help:"Decrypt a tip and print its messages."`
	Reply    replyCmd    `cmd:"" help:"Answer the source of a tip."`
	Due      dueCmd      `cmd:"" help:"List what is due, what is overdue first."`
	Case     caseCmd     `cmd:"" help:"Print a case: its state, deadlines and every entry."`
	Ack      ackCmd      `cmd:"" help:"Tell the source that the tip is read."`
	Accept   acceptCmd   `cmd:"" help:"Take a case on."`
	Decline  declineCmd  `cmd:"" help:"Decline a case, and tell the source why."`
	Refer    referCmd    `cmd:"" help:"Make a copy for another body of what you tick."`
	Assign   assignCmd   `cmd:"" help:"Give a case an owner and a deadline."`
	Grant    grantCmd    `cmd:"" help:"Let a colleague read a case."`
	Note     noteCmd     `cmd:"" help:"Note something for the desk."`
	Ask      askCmd      `cmd:"" help:"Ask the source of a case; its clock stands still."`
	Finding  findingCmd  `cmd:"" help:"Vote on what was found."`
	Recover  recoverCmd  `cmd:"" help:"Note a sum that was found or collected."`
	Answer   answerCmd   `cmd:"" help:"Tell the source what came of the case."`
	Close    closeCmd    `cmd:"" help:"Confirm that a case is done."`
	Reverify reverifyCmd `cmd:"" help:"Have others look at a case again."`
	Award    awardCmd    `cmd:"" help:"Propose an award for the source of a case."`
	Awards   awardsCmd   `cmd:"" help:"List the awards that approvers have to decide."`
	Inform   informCmd   `cmd:"" help:"Show the reasons of an award to approvers who came later."`
	Approve  approveCmd  `cmd:"" help:"Grant an award."`
	Refuse   refuseCmd   `cmd:"" help:"Refuse an award, and tell the source why."`
	Issue    issueCmd    `cmd:"" help:"Sign the vouchers that sources claim, and order payouts."`
	Issuer   issuerCmd   `cmd:"" help:"Make issuing keys (for approvers who issue vouchers)."`
	Payouts  payoutsCmd  `cmd:"" help:"List what is to be paid to details or charities (for payers)."`
	Pay      payCmd      `cmd:"" help:"Pay vouchers and payouts, each once (for payers)."`
	Accounts accountsCmd `cmd:"" help:"Print what was awarded, claimed and paid, by month."`
	Hold     holdCmd     `cmd:"" help:"Keep a case from being erased."`
	Release  releaseCmd  `cmd:"" help:"End a hold."`
	Figures  figuresCmd  `cmd:"" help:"Count tips by month, channel and state, and deadlines kept."`
	Sample   sampleCmd   `cmd:"" help:"Draw closed cases for a spot check."`
	Fetch    fetchCmd    `cmd:"" help:"Write tips into a bundle, for a machine that reaches no desk."`
	Send     sendCmd     `cmd:"" help:"Sign and send what was answered to a bundle."`
	Save     saveCmd     `cmd:"" help:"Decrypt a tip's attachments into a folder."`
	Export   exportCmd   `cmd:"" help:"Write a tip as plain age files that the stock age program opens."`
	Erase    eraseCmd    `cmd:"" help:"Take a tip away for good."`
	Schedule scheduleCmd `cmd:"" help:"Print the scale of rewards."`
	Roster   rosterCmd   `cmd:"" help:"Keep the organisation's roster (for whoever holds the root key)."`

	Claim       claimCmd       `cmd:"" help:"Claim an award of your own tip with its receipt code (for sources)."`
	VerifyProof verifyProofCmd `cmd:"" help:"Check a proof of the day on which a tip was there (for whoever is shown one)."`

	Completion completionCmd `cmd:"" help:"Print what makes bash, zsh or fish complete commands."`
	Complete   completeCmd   `cmd:"" name:"__complete" hidden:"" passthrough:"" help:"What may follow on a command line."`
}

const description = "Read and answer tips. Results go to standard output, everything else to standard error."

// An app is what commands work with.
type app struct {
	ctx    context.Context
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	home   desk.Home
	bundle string // a file, or "" for the desk
	socks  string // as it was typed: see way
	json   bool
	lang   *catalogue

	passphraseFile string
	despite        bool // see despiteFlag

	issuing map[string]*voucher.IssuingKey // those that were read

	unwritten error // why a result could not be written
}

// run is the program. It returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c commands
	exited := -1
	lang, err := languageFor(args, os.Getenv)
	if err != nil {
		fmt.Fprintln(stderr, "tipbox:", err) // and in English
	}
	parser, err := kong.New(&c,
		kong.Name("tipbox"),
		kong.Description(description),
		kong.Vars{"home": defaultHome()},
		kong.Writers(stdout, stderr),
		kong.Exit(func(status int) { exited = status }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Help(lang.printHelp),
	)
	if err == nil {
		err = lang.translate(parser.Model)
	}
	if err != nil {
		fmt.Fprintln(stderr, "tipbox:", err)
		return exitFailed
	}
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help
	}
	if err != nil {
		fmt.Fprintf(stderr, "tipbox: %s\n", clean(lang.known(err.Error())))
		fmt.Fprint(stderr, lang.sprintf("Try: %s --help\n", commandOf(err)))
		return exitUsage
	}
	a := &app{ctx, stdin, stdout, stderr, desk.Home(c.Home), c.Bundle, c.Socks, c.JSON, lang, c.PassphraseFile, false, nil, nil}
	if err = k.Run(a); err == nil && a.unwritten != nil {
		err = fmt.Errorf("writing the result: %w", a.unwritten)
	}
	if err != nil {
		fmt.Fprintf(stderr, "tipbox: %s\n", clean(lang.known(err.Error())))
		if h := hint(err); h != "" {
			fmt.Fprintf(stderr, "%s\n", lang.text(h))
		}
		var usage usageError
		if errors.As(err, &usage) {
			return exitUsage
		}
		return exitFailed
	}
	return exitDone
}

// commandOf is as much of a command as was understood.
func commandOf(err error) string {
	command := "tipbox"
	var parsing *kong.ParseError
	if errors.As(err, &parsing) {
		for _, part := range parsing.Context.Path {
			if part.Command != nil {
				command += " " + part.Command.Name
			}
		}
	}
	return command
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
	case errors.Is(err, tipbox.ErrNotProof):
		return "Take the whole file as the site gave it, from the line \"tipbox proof v1\" to the signature under it. If it says that it is of a newer version, get the newest tipbox."
	case errors.Is(err, tipbox.ErrProofOrganisation):
		return "It proves nothing here. Is --root the key of the organisation that it was sent to?"
	case errors.Is(err, tipbox.ErrProofServer):
		return "It is forged, or the roster is of another time: a server's key that was changed is in older rosters only. Ask the root key's holder for the one of the day on which the proof was made."
	case errors.Is(err, tipbox.ErrProofEdited):
		return "The key is that of a server of the organisation, and the text is not what it signed: it was changed, if only by a mail program. Ask for the file itself."
	case errors.Is(err, tipbox.ErrProofWitness):
		return "A server signed it all the same. If the roster is older than the acknowledgement, get the newest; if it is not, tell the root key's holder."
	case errors.Is(err, errBadProof):
		return "Do not go by it, and tell the root key's holder: no server that does what it should signs such a thing."
	case errors.Is(err, errNotBearer):
		return "Was it typed from another receipt? The proof stands; that its bearer is the source does not."
	case errors.Is(err, errUnsettled):
		return "Hand nothing out yet. Give the same command again: if it was recorded, it says so, and if not, it is then."
	case errors.Is(err, errUncertain):
		return "The line broke before the desk had answered. Read the tip first: the answer may be there."
	case errors.Is(err, errNoProxy), errors.Is(err, errNotProxy):
		return "Does Tor run? The system's is at --socks 127.0.0.1:9050, that of Tor Browser at --socks 127.0.0.1:9150 as long as the browser is open."
	case errors.Is(err, errProxySlow):
		return "Is Tor connected? Its log says \"Bootstrapped 100%\" when it is. Then give the same command again."
	case errors.Is(err, errNoAuthorization):
		return "Print the line that the operator must enter: tipbox keygen --onion. It says too which line tor needs to find your key; have tor reload after that."
	case errors.Is(err, errWrongAuthorization):
		return "Has the operator entered the line that tipbox keygen --onion prints, and had tor reload? If so, is the file that your tor reads the one that it names?"
	case errors.Is(err, errNoWay):
		return "Is the address right, does the server run, and is Tor connected? If the onion service asks for client authorization, tor may lack the key: tipbox keygen --onion. Tor says more with this line in its torrc: SocksPort 9050 ExtendedErrors"
	case errors.Is(err, syscall.ENOSPC):
		return "Make room, or name a place on another disk, and give the same command again. What the desk has is not touched by it."
	case errors.Is(err, desk.ErrAnswer):
		return "Is \"desk\" in tipbox.toml the address of the desk, and is this program as new as the server?"
	case errors.Is(err, desk.ErrUnreachable):
		return "Is the server running, and is \"desk\" in tipbox.toml its address?"
	case errors.Is(err, desk.ErrPeer):
		return "If keys were changed, get the newest roster.note from the root key's holder and join again: tipbox join …\nIf you are new, the holder may not have entered your card yet: tipbox card"
	case errors.Is(err, roster.ErrCannotRead):
		return "Tips are read on the machine that has the other half. Here: tipbox fetch -o FILE; there: tipbox --bundle FILE read TIP"
	case errors.Is(err, roster.ErrCannotSign):
		return "Here nothing is signed, and so no desk reached. Answer with tipbox --bundle FILE …, and send that on the machine that has the other half: tipbox send FILE.answers"
	case errors.Is(err, errNoDesk):
		return "Read what was fetched elsewhere: tipbox --bundle FILE inbox. To reach the desk from here: tipbox join ROSTER --desk HOST:PORT --root KEY"
	case errors.Is(err, errBundle):
		return "Fetch it again, on the machine that reaches the desk: tipbox fetch -o FILE"
	case errors.Is(err, errOldBundle):
		return "Take the newest one that was fetched. If this is it, the server has taken back what it has shown: tell the operator and the root key's holder."
	case errors.Is(err, errNotInside):
		return "See what is in it: tipbox --bundle FILE inbox. To have it: tipbox fetch -o FILE TIP, on the machine that reaches the desk"
	case errors.Is(err, errAgentRuns):
		return "To end it: tipbox agent --stop"
	case errors.Is(err, errNoAgent):
		return "Do it again: you are asked for the passphrase. To start another agent: tipbox agent"
	case errors.Is(err, errAgent):
		return "End it and start another: tipbox agent --stop, then tipbox agent"
	case errors.Is(err, errForged):
		return "Nothing of it was used. Is --root this organisation's key? If it is, the server shows something else than was signed: do not claim there."
	case errors.Is(err, errSite):
		return "Is --site the address that you open in the browser, and does the proxy run? If a claim was under way, give the same command again: it counts once."
	case errors.Is(err, roster.ErrPassphrase):
		return "Type it again; capitals and spaces matter."
	case errors.Is(err, roster.ErrOlder):
		return "Somebody may be showing you an old roster to bring back a member who was removed. Ask the root key's holder."
	case errors.Is(err, desk.ErrSigned):
		return "The server may have kept back what you signed, to have the award paid twice. Ask the payers what was paid (tipbox payouts --all, pay --list), and tell the root key's holder. If all is well: tipbox issue TIP --again"
	case errors.Is(err, tipbox.ErrContested):
		return "A server that kept back what was signed for that could have the award paid twice. Ask the other approvers whether one of them has signed for this award, and the payers what was paid. If nobody has: tipbox issue TIP --again"
	case errors.Is(err, errSetBack):
		return "Was the server restored from a backup? Then give it the vouchers that you have paid since, and kept, with tipbox pay once more: that records them again, and nothing is to be handed out. If not, tell the root key's holder, and compare your books with the other payers'. When it is settled, remove payments.seen in your folder."
	case errors.Is(err, tipbox.ErrPaid):
		return "Hand nothing out: each voucher and payout is paid once. What was paid: tipbox pay --list"
	case errors.Is(err, tipbox.ErrNoOrder):
		return "Transfer nothing: the server alone says that it is due. As many approvers as the schedule asks for by the sum must confirm it: tipbox issue"
	case errors.Is(err, tipbox.ErrNoPayout):
		return "See what is to be paid: tipbox payouts"
	case errors.Is(err, voucher.ErrForged):
		return "Hand nothing out. Keep a copy of it for the approvers who have the issuing keys."
	case errors.Is(err, voucher.ErrOrganisation):
		return "Hand nothing out. It may be good where it was issued: its bearer must go there."
	case errors.Is(err, voucher.ErrDenomination):
		return "Hand nothing out. If your roster is old, leave --check out: then the newest is fetched. All denominations: tipbox issuer list"
	case errors.Is(err, voucher.ErrExpired):
		return "Hand nothing out. It is genuine: the root key's holder can put the last day off, with tipbox roster denomination FILE --extend"
	case errors.Is(err, voucher.ErrEarly):
		return "Hand nothing out. Its bearer must come again from that day on."
	case errors.Is(err, voucher.ErrTyping):
		return "Compare that line with the voucher. Capitals and spaces do not matter, and O is taken for 0, I and L for 1."
	case errors.Is(err, voucher.ErrNewer):
		return "Get the newest tipbox."
	case errors.Is(err, voucher.ErrNotVoucher):
		return "Give all of it, in letters, digits or words: tipbox pay -f FILE reads it from a file, and tipbox pay - from standard input."
	case errors.Is(err, errVouchersOut):
		return "A denomination that was signed stays as it is. See the draft: tipbox roster show; a new one: tipbox issuer keygen --help"
	case errors.Is(err, seal.ErrNotForYou):
		return "This tip was not sealed to your key. A colleague who can read it must answer it."
	case errors.Is(err, seal.ErrDamaged), errors.Is(err, seal.ErrWrongTip), errors.Is(err, tipbox.ErrInvalid), errors.Is(err, roster.ErrSignature):
		return "What the server sent is not what was signed. Nothing of it was used. Tell the operator and the root key's holder."
	case errors.Is(err, tipbox.ErrConflict):
		return "Somebody wrote meanwhile. Read the tip again, then answer."
	case errors.Is(err, tipbox.ErrRule):
		return "What may be done, by whom and when: tipbox case --help"
	case errors.Is(err, roster.ErrPromise):
		return "What was signed and has begun stays as it is. Enter other terms from a later day on: tipbox roster schedule FILE (with another id), tipbox roster rule CHANNEL --since DAY"
	case errors.Is(err, tipbox.ErrNotFound):
		return "See which tips you can read: tipbox inbox"
	}
	return ""
}

// print writes a result in the member's language. Text that came from elsewhere
// must be clean. That it could not be written, run tells in the end.
func (a *app) print(format string, args ...any) {
	_, err := io.WriteString(a.stdout, a.lang.sprintf(format, args...))
	a.unwritten = cmp.Or(a.unwritten, err)
}

// say writes what is not a result.
func (a *app) say(format string, args ...any) {
	io.WriteString(a.stderr, a.lang.sprintf(format, args...))
}

// oneLine is the trimmed content of a small file's first line.
func oneLine(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}
