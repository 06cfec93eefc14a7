package main

import (
	"fmt"

	"tipbox/tipbox"
)

type informCmd struct {
	tipArg
	Award int `arg:"" optional:"" help:"The award, by its number; the one that is to be decided if left out."`
}

func (*informCmd) Help() string {
	return "Example: tipbox inform k3f7qwzm2abcdefg\n\n" +
		"What an award is proposed for is sealed to those who could decide about it on that day. This seals it, and what the source said against a refusal, to those who can today: " +
		"give it after approvers were entered into the roster. Nothing else of the tip is shown to them."
}

func (c *informCmd) Run(a *app) error {
	return a.actWith(c.Tip, func(_ *session, opened *tipbox.OpenedTip) (tipbox.Act, error) {
		number := c.Award
		if number == 0 {
			award := pending(opened, nil)
			if award == nil {
				return tipbox.Act{}, fmt.Errorf("no award of %s is to be decided: tipbox case %s", opened.Tip, opened.Tip)
			}
			number = award.Number
		}
		return tipbox.Act{Action: tipbox.ActionInform, Award: number}, nil
	})
}
