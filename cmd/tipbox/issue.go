package main

import (
	"errors"
	"fmt"
	"slices"

	"tipbox/tipbox"
)

type issueCmd struct {
	Tip   string `arg:"" optional:"" help:"Only the vouchers of that tip."`
	Again bool   `help:"Also for a claim that took the place of another, which you or a colleague may have signed for without that the server shows it: ask the colleagues and the payers first."`
}

func (*issueCmd) Help() string {
	return "Example: tipbox issue\n\nFor an approver who has the issuing keys (tipbox issuer --help): signs the vouchers that sources claim, without seeing them. " +
		"Nobody can tell later which voucher was whose. What is to be paid to details or a charity it orders, so that payers need not believe the server; that takes no issuing key, and as many approvers as the schedule asks for by the sum."
}

func (c *issueCmd) Run(a *app) error {
	s, err := a.connectDesk()
	if err != nil {
		return err
	}
	defer s.Close()
	tips := []string{c.Tip}
	if c.Tip == "" {
		tips = nil
		items, err := s.desk.Awards(a.ctx)
		if err != nil {
			return err
		}
		for _, item := range items {
			if slices.ContainsFunc(item.Awards, tipbox.AwardLine.ToIssue) {
				tips = append(tips, item.Tip)
			}
		}
	}
	done := 0
	var failed []error
	for _, tip := range tips {
		n, err := c.issue(a, s, tip)
		if done += n; err != nil {
			failed = append(failed, fmt.Errorf("tip %s: %w", tip, err))
		}
	}
	if done == 0 && len(failed) == 0 {
		a.say("No vouchers are to be signed, and no payouts ordered.\n")
	}
	return errors.Join(failed...)
}

// issue signs the vouchers of a tip's awards, and returns of how many awards.
func (c *issueCmd) issue(a *app, s *session, tip string) (done int, err error) {
	opened, err := s.openAward(a, tip)
	if err != nil {
		return 0, err
	}
	for _, award := range opened.Case.Awards {
		if award.State != tipbox.AwardClaimed && (award.State != tipbox.AwardPayable || award.Issued != "") {
			continue
		}
		if slices.Contains(award.Ordered, s.key.Name()) {
			a.say("Award %d of %s: you have ordered it, and %d of %d have. The others must too: tipbox issue\n", award.Number, tip, len(award.Ordered), award.Orders)
			continue
		}
		if err := opened.CheckIssue(award.Number, today(), c.Again); err != nil {
			return done, err
		}
		var signatures [][]byte
		if award.State == tipbox.AwardPayable {
			order, err := opened.Order(s.key.SigningKey, today(), award.Number)
			if err != nil {
				return done, err
			}
			signatures = append(signatures, order)
		}
		for _, r := range award.Claim.Requests {
			key, err := a.issuingKey(r.Denomination)
			if err != nil {
				return done, err
			}
			signature, err := key.Sign(r.Blinded)
			if err != nil {
				return done, fmt.Errorf("a voucher of %s: %w", r.Denomination, err)
			}
			signatures = append(signatures, signature)
		}
		anew := c.Again || slices.ContainsFunc(opened.Messages, func(m tipbox.Message) bool { // the list has what was signed before
			return m.Void == "" && m.Action == tipbox.ActionIssue && m.Event.Award == award.Number && m.By == s.key.Name()
		})
		if err := a.home.Pledge(tip, award.Number, award.Claim.Hash(), anew); err != nil {
			return done, err
		}
		if err := a.actOnAward(s, opened, award, tipbox.Act{Action: tipbox.ActionIssue, Signatures: signatures}); err != nil {
			return done, err
		}
		done++
		if opened, err = s.openAward(a, tip); err != nil {
			return done, err
		}
	}
	return done, nil
}
