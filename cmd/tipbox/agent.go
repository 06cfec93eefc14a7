package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"tipbox/crypto/roster"
)

type agentCmd struct {
	For        time.Duration `help:"How long it serves the key." default:"8h" placeholder:"DURATION"`
	Stop       bool          `help:"End the agent that runs." xor:"how"`
	Foreground bool          `help:"Stay in the foreground, for a service manager." xor:"how"`
	Handed     bool          `hidden:"" xor:"how"` // started by another agentCmd: see background
}

func (*agentCmd) Help() string {
	return "Example: tipbox agent --for 8h\n\n" +
		"It asks for the passphrase once. Until the time is over, every command with this folder uses the key without asking.\n" +
		"The key stays in the agent, which signs and opens what it is asked to, for you only: whoever can run programs as you can use it.\n" +
		"To end it, as before you leave the machine: tipbox agent --stop"
}

// A handedKey is what an agent is started with.
type handedKey struct {
	Text string `json:"text"` // of the key, not locked
	File string `json:"file"` // see keySum
}

// An agentReport is what an agent says of itself once it serves.
type agentReport struct {
	Name     string    `json:"name"`
	Until    time.Time `json:"until"`
	Warnings []string  `json:"warnings,omitempty"`
	Error    string    `json:"error,omitempty"` // it does not serve
}

func (c *agentCmd) Run(a *app) error {
	switch {
	case c.Stop:
		return a.stopAgent()
	case c.For <= 0:
		return usageError{fmt.Errorf("--for %v: the time must be above 0, such as 8h or 90m", c.For)}
	case c.Handed:
		return c.handed(a)
	}
	// Before the passphrase is asked for.
	lock, err := a.lockAgent()
	if err != nil {
		return err
	}
	lock.Close()
	closeMemory()
	file, err := a.readMemberKey()
	if err != nil {
		return err
	}
	if c.Foreground {
		return a.serveKey(file.key, file.sum, c.For, a.sayReport)
	}
	return c.background(a, handedKey{file.key.Reveal(), file.sum})
}

func (a *app) sayReport(r agentReport) error {
	if r.Error != "" {
		return errors.New(r.Error)
	}
	for _, w := range r.Warnings {
		a.say("Note: %s\n", a.lang.known(w))
	}
	r.Until = r.Until.Truncate(time.Second)
	if a.json {
		return a.printJSON(r)
	}
	a.say("The agent serves the key of %s until %s. To end it before: tipbox agent --stop\n", cleanLine(r.Name), r.Until.Local().Format("2006-01-02 15:04"))
	return nil
}

// agentGC has an agent use little memory, so that it can lock all of it.
const agentGC = 20

// background starts the agent as a process that has nothing of this one: another
// session without a terminal, no environment, no folder held. The key goes
// through a pipe, and so comes the report.
func (c *agentCmd) background(a *app, key handedKey) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	in, err := json.Marshal(key)
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "--home", string(a.home), "agent", "--for", c.For.String(), "--handed")
	cmd.Dir, cmd.Env = "/", []string{fmt.Sprint("GOGC=", agentGC)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, errIn := cmd.StdinPipe()
	stdout, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	defer context.AfterFunc(a.ctx, func() { cmd.Process.Kill() })()
	_, err = stdin.Write(in)
	err = errors.Join(err, stdin.Close())
	var report agentReport
	if err == nil {
		var line []byte
		if line, err = bufio.NewReader(io.LimitReader(stdout, 64<<10)).ReadBytes('\n'); err == nil {
			err = json.Unmarshal(line, &report)
		}
	}
	if err != nil {
		cmd.Process.Kill()
		return fmt.Errorf("the agent ended before it served: %w", errors.Join(err, cmd.Wait()))
	}
	return errors.Join(a.sayReport(report), cmd.Process.Release())
}

// handed is the other end of background.
func (c *agentCmd) handed(a *app) error {
	closeMemory()
	report := func(r agentReport) error {
		err := json.NewEncoder(a.stdout).Encode(r)
		if out, ok := a.stdout.(io.Closer); ok {
			err = errors.Join(err, out.Close()) // nobody reads there any more
		}
		return err
	}
	var in handedKey
	err := json.NewDecoder(io.LimitReader(a.stdin, 1<<20)).Decode(&in)
	if err == nil {
		var key *roster.MemberKey
		if key, err = roster.ParseMemberKey(in.Text); err == nil {
			err = a.serveKey(key, in.File, c.For, report)
		}
	}
	if err != nil {
		report(agentReport{Error: err.Error()}) // too late if it has served
	}
	return err
}
