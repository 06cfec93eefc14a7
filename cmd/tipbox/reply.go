package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"tipbox/crypto/seal"
	"tipbox/tipbox/desk"
)

type replyCmd struct {
	Tip     string  `arg:"" help:"The tip, as the inbox names it."`
	Message *string `short:"m" help:"The answer." placeholder:"TEXT" xor:"text"`
	File    string  `short:"f" help:"Read the answer from FILE." type:"existingfile" placeholder:"FILE" xor:"text"`
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
	switch text = strings.TrimPrefix(text, "\uFEFF"); {
	case strings.TrimSpace(text) == "":
		return usageError{errors.New("the answer is empty: nothing was sent")}
	case !utf8.ValidString(text):
		return usageError{errors.New("the answer is not UTF-8 text, so the source could not read it: nothing was sent. Convert it first: iconv -f GB18030 -t UTF-8 FILE")}
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
	if err := s.Append(a.ctx, c.Tip, note, sealed); errors.Is(err, desk.ErrUnreachable) {
		return fmt.Errorf("%w: %w", errUncertain, err)
	} else if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]string{"tip": c.Tip})
	}
	a.say("Sent. The source will see it with the receipt code.\n")
	return nil
}

// errUncertain means that it is not known whether an answer was sent.
var errUncertain = errors.New("whether it was sent is not known")

// maxReply bounds what is read of an answer, in bytes. What is under it and
// still too long for a message is refused later.
const maxReply = seal.MaxMessage

func (c *replyCmd) text(a *app) (string, error) {
	var in io.Reader = a.stdin
	switch {
	case c.Message != nil:
		return *c.Message, nil
	case c.File != "":
		f, err := os.Open(c.File)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	data, err := a.wait(func() ([]byte, error) { return io.ReadAll(io.LimitReader(in, maxReply+1)) })
	if len(data) > maxReply {
		return "", fmt.Errorf("the answer is over %d bytes: nothing was sent", maxReply)
	}
	return string(data), err
}

// today is this machine's day.
func today() string { return time.Now().Format(time.DateOnly) }
