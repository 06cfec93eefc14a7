package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/tipbox"
)

type verifyProofCmd struct {
	File   string `arg:"" help:"The proof, as the site gave it." type:"existingfile"`
	Root   string `help:"The verifier key of the organisation's root key; your folder's if left out." placeholder:"KEY"`
	Roster string `help:"The organisation's signed roster; your folder's if left out." type:"existingfile" placeholder:"FILE"`
	Code   string `help:"Read a receipt code from FILE, or with - from standard input, and check that it is this tip's." type:"path" placeholder:"FILE"`
}

func (*verifyProofCmd) Help() string {
	return "Example: tipbox verify-proof note.txt --root 'root+1a2b3c4d+…' --roster roster.note\n\n" +
		"Checks a proof of the day that a source saved, without asking anybody: it is signed by a server of the roster, the roster by the root key, and the acknowledgement, if there is one, by a member who might on its day. " +
		"Without --root and --roster it goes by the roster of your folder: tipbox join.\n\n" +
		"It proves that the tip was there on that day: by the word of the server, whose clock may have been wrong, and from the day of the acknowledgement on by the word of a member too, which nobody who controls the server can make up. " +
		"It does not prove what the tip says. Whoever can read the tip compares: tipbox export TIP -o DIR writes a MANIFEST, in which event-1.note and message-1.age must have the two SHA-256 that are printed here.\n\n" +
		"To see that the bearer is the tip's source, let them enter the receipt code themselves, on a machine that they trust:\n\n" +
		"  tipbox verify-proof note.txt --root … --roster … --code -\n\n" +
		"Who sees the code can open the thread, read the answers and claim a reward: do not ask for it.\n\n" +
		"A proof that is older than the roster is checked by that roster as well, unless the server's key has changed since: then take a signed roster of that time."
}

var (
	// errNotBearer means that a receipt code is not that of the proof's tip.
	errNotBearer = errors.New("the proof is good, and the receipt code is of another tip")
	// errBadProof means that a server signed what cannot be.
	errBadProof = errors.New("a server of the organisation signed it, and it contradicts itself")
)

func (c *verifyProofCmd) Run(a *app) error {
	r, root, err := c.rosterOf(a)
	if err != nil {
		return err
	}
	file, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	p, err := tipbox.OpenProof(file, r, root)
	if errors.Is(err, tipbox.ErrInvalid) {
		err = fmt.Errorf("%w: %w", errBadProof, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", cleanLine(c.File), err)
	}
	if c.Code != "" {
		code, err := c.code(a)
		if err != nil {
			return err
		}
		if !p.IsOf(code) {
			return errNotBearer
		}
	}
	return c.print(a, p, r)
}

// rosterOf is the roster to check by, and the key that signed it.
func (c *verifyProofCmd) rosterOf(a *app) (*roster.Roster, string, error) {
	switch {
	case (c.Root == "") != (c.Roster == ""):
		return nil, "", usageError{errors.New("give both --root KEY and --roster FILE, or neither in a folder that was joined")}
	case c.Root == "":
		cfg, err := a.home.Config()
		if err != nil {
			return nil, "", fmt.Errorf("%w: or give --root KEY and --roster FILE", err)
		}
		r, err := a.home.Roster(cfg)
		return r, cfg.Root, err
	}
	signed, err := os.ReadFile(c.Roster)
	if err != nil {
		return nil, "", err
	}
	r, err := roster.Open(signed, c.Root, roster.Mark{})
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", cleanLine(c.Roster), err)
	}
	return r, c.Root, nil
}

// code reads the receipt code.
func (c *verifyProofCmd) code(a *app) (*receipt.Code, error) {
	if c.Code != fromInput {
		return a.receiptCode(c.Code)
	}
	data, err := a.wait(func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.stdin, maxText)) })
	if err != nil {
		return nil, err
	}
	code, err := parseReceipt(string(data))
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return code, nil
}

// A proofLine is a proof as --json prints it.
type proofLine struct {
	Day          string         `json:"day"`
	Made         string         `json:"made"`
	Channel      string         `json:"channel"`
	Tip          string         `json:"tip"`
	Organisation string         `json:"organisation"`
	Root         string         `json:"root"`
	Server       string         `json:"server"`
	Source       string         `json:"source"`
	Event        string         `json:"event"`
	Sealed       string         `json:"sealed"`
	Acknowledged *acknowledging `json:"acknowledged,omitempty"`
	Bearer       bool           `json:"bearer"` // the receipt code was given, and is this tip's
}

type acknowledging struct {
	Day     string        `json:"day"`
	By      string        `json:"by"`
	Action  tipbox.Action `json:"action"`
	Follows bool          `json:"follows"` // directly on the first entry, and so names its hash
}

func (c *verifyProofCmd) print(a *app, p *tipbox.Proof, r *roster.Roster) error {
	if a.json {
		line := proofLine{
			Day: p.Day, Made: p.Made, Channel: p.Channel, Tip: p.Tip, Organisation: r.Organisation, Root: p.Organisation,
			Server: p.Server, Source: p.Source, Event: p.Event, Sealed: p.Sealed, Bearer: c.Code != "",
		}
		if p.Ack != nil {
			line.Acknowledged = &acknowledging{p.Ack.Day, p.Ack.By, p.Ack.Action, p.Follows()}
		}
		return a.printJSON(line)
	}
	w := a.table()
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", a.lang.text(name), a.lang.sprintf(format, args...))
	}
	row("day", "%s", p.Day)
	row("channel", "%s", p.Channel)
	row("tip", "%s", p.Tip)
	row("organisation", "%s", cleanLine(r.Organisation))
	row("made", "%s, by %s", p.Made, p.Server)
	if p.Ack != nil {
		row("acknowledged", "%s, by %s (%s)", p.Ack.Day, cleanLine(p.Ack.By), p.Ack.Action)
	}
	if c.Code != "" {
		row("source", "the receipt code is this tip's")
	}
	row("event-1.note", "%s", p.Event)
	row("message-1.age", "%s", p.Sealed)
	if err := w.Flush(); err != nil {
		return err
	}
	a.print("\nProven: by the word of the server, that this tip was there on %s.\n", p.Day)
	switch {
	case p.Follows():
		a.print("Proven: by the word of %s too, that it was there on %s, with this first entry.\n", cleanLine(p.Ack.By), p.Ack.Day)
	case p.Ack != nil:
		a.print("Proven: by the word of %s too, that it was there on %s. That was entry %d: who can read the tip sees that this first entry stands before it.\n", cleanLine(p.Ack.By), p.Ack.Day, p.Ack.Number)
	default:
		a.print("Not proven: that anybody but the server saw it. No member had acknowledged it when this was saved.\n")
	}
	if c.Code != "" {
		a.print("Proven: that whoever entered the receipt code has the source's key.\n")
	} else {
		a.print("Not proven: that whoever shows this is its source. --code - checks that.\n")
	}
	a.print("Not proven: what the tip says. Who can read it compares the two SHA-256 above with the MANIFEST of tipbox export %s -o DIR.\n", p.Tip)
	if p.Day > p.Made || !near(p.Made) && p.Made > today() || p.Ack != nil && p.Ack.Day < p.Day {
		a.say("Note: received on %s, this made on %s, and here it is %s: a clock was wrong. The server says what it believed.\n", p.Day, p.Made, today())
	}
	return nil
}
