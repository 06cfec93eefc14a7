package main

import (
	"errors"
)

type eraseCmd struct {
	Tip string `arg:"" help:"The tip, as the inbox names it."`
	Yes bool   `help:"Erase it. Without it nothing is done."`
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
	s, err := a.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	_, tip, err := s.open(a, c.Tip)
	if err != nil {
		return err
	}
	note, err := tip.Erase(s.key, today())
	if err != nil {
		return err
	}
	if err := s.Append(a.ctx, c.Tip, note, nil); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]string{"tip": c.Tip})
	}
	a.say("Erased.\n")
	return nil
}
