package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

type replyCmd struct {
	Tip     string `arg:"" help:"The tip, as the inbox names it."`
	Message string `short:"m" help:"The answer." placeholder:"TEXT" xor:"text"`
	File    string `short:"f" help:"Read the answer from FILE." type:"existingfile" placeholder:"FILE" xor:"text"`
}

func (*replyCmd) Help() string {
	return "Example: tipbox reply k3f7qwzm2abcdefg -m 'Thank you. Which account was it?'\n\n" +
		"Without -m and -f the answer is read from standard input. It is sealed on this machine to the tip's readers and its source.\n" +
		"Do not repeat in it what only the source could know: whoever has the receipt code can read it."
}

func (c *replyCmd) Run(a *app) error {
	text, err := c.text(a)
	if err != nil {
		return err
	}
	if strings.TrimSpace(text) == "" {
		return usageError{fmt.Errorf("the answer is empty: nothing was sent")}
	}
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	_, tip, err := s.open(a, c.Tip)
	if err != nil {
		return err
	}
	note, sealed, err := tip.Reply(s.key, today(), text)
	if err != nil {
		return err
	}
	if err := s.Append(a.ctx, c.Tip, note, sealed); err != nil {
		return err
	}
	a.say("Sent. The source will see it with the receipt code.\n")
	return nil
}

// maxReply bounds what is read of an answer, in bytes. What is over the
// service's own limit is refused there.
const maxReply = 1 << 20

func (c *replyCmd) text(a *app) (string, error) {
	var in io.Reader = a.stdin
	switch {
	case c.Message != "":
		return c.Message, nil
	case c.File != "":
		f, err := os.Open(c.File)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxReply))
	return string(data), err
}

// today is this machine's day.
func today() string { return time.Now().Format(time.DateOnly) }
