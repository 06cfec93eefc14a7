package main

import (
	"tipbox/tipbox"
)

type replyCmd struct {
	tipArg
	textFlags
}

func (*replyCmd) Help() string {
	return "Example: tipbox reply k3f7qwzm2abcdefg -m 'Thank you. Which account was it?'\n\n" +
		"Without -m and -f the answer is read from standard input. It is sealed on this machine to the tip's readers and its source.\n" +
		"Do not repeat in it what only the source could know: whoever has the receipt code can read it."
}

func (c *replyCmd) Run(a *app) error {
	text, err := c.given(a, c.Tip, true)
	if err != nil {
		return err
	}
	return a.forTips(c.Tip, func(s *session, tip string) (*result, error) {
		_, opened, err := s.open(a, tip)
		if err != nil {
			return nil, err
		}
		if err := s.send(a, opened, tipbox.Act{Action: tipbox.ActionReply, Text: text}); err != nil {
			return nil, err
		}
		return &result{doc: map[string]string{"tip": tip}, line: "sent", say: s.done("Sent. The source will see it with the receipt code.\n")}, nil
	})
}
