package tipbox

import (
	"fmt"
	"slices"
	"strings"

	"tipbox/crypto/roster"
)

// validateAward checks the form of what an event says of an award.
func (e *Event) validateAward() error {
	fail := func(what string) error { return fmt.Errorf("%s: %w", what, ErrInvalid) }
	about := slices.Contains([]Action{ActionApprove, ActionRefuse, ActionAppeal, ActionClaim, ActionPart, ActionInform, ActionIssue}, e.Action)
	switch {
	case (e.Action == ActionAward) != (e.Terms != nil):
		return fail("terms of an award")
	case about != (e.Award > 0) || e.Award < 0 || e.Award >= e.Number && about:
		return fail("number of an award")
	case (e.Action == ActionClaim) != (e.Claim != nil):
		return fail("claim")
	case (e.Action == ActionPart) != (e.Part != nil):
		return fail("part")
	case (e.Action == ActionIssue) != (len(e.Signatures) > 0) || len(e.Signatures) > MaxVouchers:
		return fail("signatures")
	case e.Terms != nil:
		return e.Terms.validate(e.Tip)
	case e.Claim != nil:
		return e.Claim.validate()
	case e.Part != nil:
		return e.Part.validate()
	}
	return nil
}

// MaxSplit is the most tips that share an award.
const MaxSplit = 20

const maxAwardAmount = 1 << 53 // minor units: exact in every reader of JSON

func (t *AwardTerms) validate(tip string) error {
	fail := func(what string) error { return fmt.Errorf("award: %s: %w", what, ErrInvalid) }
	if roster.CheckName(t.Schedule) != nil || len(t.Currency) != 3 || t.Currency != strings.ToUpper(t.Currency) {
		return fail("schedule or currency")
	}
	if t.Amount <= 0 || t.Total < t.Amount || t.Total > maxAwardAmount || t.Before < 0 || t.Before > maxAwardAmount {
		return fail("amount")
	}
	if len(t.Split) == 1 || len(t.Split) > MaxSplit {
		return fail("number of shares")
	}
	seen := make(map[string]bool)
	for _, share := range t.Split {
		if !ValidTipID(share.Tip) || seen[share.Tip] || share.Parts <= 0 || share.Parts > 1_000_000 {
			return fail("share")
		}
		seen[share.Tip] = true
	}
	if len(t.Split) > 0 && !seen[tip] {
		return fail("this tip has no share")
	}
	return nil
}

func (t *ClaimTerms) validate() error {
	fail := func(what string) error { return fmt.Errorf("claim: %s: %w", what, ErrInvalid) }
	paid := t.Choice == ClaimDetails || t.Choice == ClaimCharity
	switch {
	case !slices.Contains([]string{ClaimVoucher, ClaimDetails, ClaimCharity, ClaimWaive}, t.Choice):
		return fail("choice")
	case (t.Choice == ClaimVoucher) != (len(t.Requests) > 0) || len(t.Requests) > MaxVouchers:
		return fail("number of vouchers")
	case paid != (t.Payout != "") || paid && !validPayout(t.Payout):
		return fail("payout")
	case (t.Choice == ClaimDetails) != (t.Details != "") || t.Details != "" && !hexHash.MatchString(t.Details):
		return fail("details")
	case t.Choice != ClaimDetails && len(t.Payers) > 0 || len(t.Payers) > roster.MaxReaders ||
		slices.ContainsFunc(t.Payers, func(p string) bool { return !hexHash.MatchString(p) }):
		return fail("payers")
	case (t.Choice == ClaimCharity) != (t.Charity != "") || t.Charity != "" && roster.CheckName(t.Charity) != nil:
		return fail("charity")
	}
	for _, r := range t.Requests {
		if roster.CheckName(r.Denomination) != nil || len(r.Blinded) < 128 || len(r.Blinded) > 1024 {
			return fail("request")
		}
	}
	return nil
}

// payoutIDLength is the length of a payout's id: as a tip's.
const payoutIDLength = tipIDLength

func validPayout(id string) bool { return ValidTipID(id) }
