package tipbox

import (
	"context"
	"errors"
	"slices"

	"tipbox/store"
)

// Several sources on one case share an award: it is proposed in each of their tips, in
// the same terms, first in the one that came first, where the case is.

// An AwardShare is a tip's part of an award, to so many parts of all.
type AwardShare struct {
	Tip   string `json:"tip"`
	Parts int64  `json:"parts"`
}

// first reports whether the tip is the one that came first, of those that share.
func (t *AwardTerms) first(tip string) bool { return len(t.Split) == 0 || t.Split[0].Tip == tip }

// same reports whether two tips' terms are of one award.
func (t *AwardTerms) same(other *AwardTerms) bool {
	return t.Schedule == other.Schedule && t.Currency == other.Currency && t.Total == other.Total && t.Before == other.Before &&
		slices.Equal(t.Split, other.Split)
}

// CameFirst checks that of tips that share an award the first came before another, by
// the numbers that are sealed in them and not by clocks. One without a number tells
// nothing.
func CameFirst(first, other *OpenedTip) error {
	a, b := first.Messages[0].Sequence, other.Messages[0].Sequence
	if a == 0 || b == 0 || a <= b {
		return nil
	}
	return against(RuleAward, "tip %s came before tip %s", other.Tip, first.Tip)
}

// CheckShares checks what an approver is to decide about over all tips that share it, by
// their ids, since what the server says of each is not to be believed of the others: it
// must be proposed in every one, and in the first as often as in any.
func CheckShares(a *Award, tips map[string]*OpenedTip) error {
	for i, share := range a.Terms.Split {
		here := tips[share.Tip].Case.alike(&a.Terms)
		switch {
		case here == 0:
			return against(RuleAward, "tip %s shares the award, and no such award is proposed there: have the proposal completed first (tipbox award …)", share.Tip)
		case i > 0 && here > tips[a.Terms.Split[0].Tip].Case.alike(&a.Terms):
			return against(RuleAward, "it is proposed more often in tip %s than in tip %s, which came first", share.Tip, a.Terms.Split[0].Tip)
		}
	}
	return nil
}

// checkShares checks what a member does about an award that several tips share, over
// all of them: each is proposed as in the tip that came first, and as often, and who
// had a part in one decides about none.
func (s *Service) checkShares(ctx context.Context, t *loadedTip, kase *Case, e *Event) error {
	terms := e.Terms
	switch e.Action {
	case ActionAward:
	case ActionApprove, ActionRefuse:
		a := kase.award(e.Award)
		if a == nil {
			return nil // as the fold says
		}
		terms = &a.Terms
	default:
		return nil
	}
	for i, share := range terms.Split {
		if share.Tip == e.Tip {
			continue
		}
		other, c, err := s.loadChain(ctx, share.Tip)
		if errors.Is(err, store.ErrNotFound) || err == nil && other.Channel != t.Channel {
			return against(RuleAward, "tip %s, which shares it, is not one of channel %s", share.Tip, t.Channel)
		}
		if err != nil {
			return err
		}
		there := foldCase(c.events, other.Channel, s.Roster())
		switch {
		case (e.Action == ActionApprove || e.Action == ActionRefuse) && (there.acted[e.By] || other.leftOutName(s.Roster(), e.By)): // nobody is told which
			return against(RuleOtherEyes, "%s had a part in tip %s, which shares the award, or is kept from it, so others must decide about it", e.By, share.Tip)
		case i == 0 && there.alike(terms) < kase.alike(terms)+proposes(e):
			return against(RuleAward, "no such award is proposed in tip %s, which came first", share.Tip)
		case i > 0 && e.Action == ActionApprove && there.alike(terms) == 0:
			return against(RuleAward, "the share of tip %s is not proposed: tipbox award is to be given again", share.Tip)
		}
	}
	return nil
}

// alike counts the case's awards of those terms that stand.
func (c *Case) alike(terms *AwardTerms) (n int) {
	for _, a := range c.Awards {
		if a.State != AwardRefused && a.Terms.same(terms) {
			n++
		}
	}
	return n
}

func proposes(e *Event) int {
	if e.Action == ActionAward {
		return 1
	}
	return 0
}
