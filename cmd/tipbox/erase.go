package main

import (
	"errors"

	"tipbox/tipbox"
)

type eraseCmd struct {
	tipArg
	Yes bool `help:"Erase it. Without it nothing is done."`
}

func (*eraseCmd) Help() string {
	return "Example: tipbox erase k3f7qwzm2abcdefg --yes\n\n" +
		"The tip, its files, its thread and its receipt code are gone for everybody, for good. What stays is your signature under it,\n" +
		"with the day. A tip with news since you opened it is not erased. The bytes leave the server's disk within about a day; older backups still hold them."
}

func (c *eraseCmd) Run(a *app) error {
	if !c.Yes {
		return usageError{errors.New("nothing was erased: it cannot be undone, so say --yes")}
	}
	return a.forTips(c.Tip, func(s *session, tip string) (*result, error) {
		_, opened, err := s.open(a, tip)
		if err != nil {
			return nil, err
		}
		if err := s.send(a, opened, tipbox.Act{Action: tipbox.ActionErase}); err != nil {
			return nil, err
		}
		return &result{doc: map[string]string{"tip": tip}, line: "erased", say: s.done("Erased.\n")}, nil
	})
}
