package tipbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tipbox/crypto/roster"
)

// TestCaseNeverLeavesThePath takes random events, legal and not, into a case, and
// compares each with what the path of the issue allows, written down once more.
func TestCaseNeverLeavesThePath(t *testing.T) {
	next := map[State][]State{
		StateReceived:      {StateAcknowledged, StateAccepted, StateDeclined},
		StateAcknowledged:  {StateAccepted, StateDeclined},
		StateDeclined:      {StateReverifying},
		StateAccepted:      {StateAssigned, StateDeclined},
		StateAssigned:      {StateInvestigating, StateAwaiting, StateFound},
		StateInvestigating: {StateAwaiting, StateFound},
		StateAwaiting:      {StateInvestigating, StateFound},
		StateFound:         {StateAnswered},
		StateAnswered:      {StateClosed},
		StateClosed:        {StateReverifying},
		StateReverifying:   {StateReverified},
		StateReverified:    {StateClosed},
	}
	reached := make(map[State]bool)
	members := []string{"ann", "ben", "cleo", "dan", "eve", "fay", "gus", "hal"}
	rapid.Check(t, func(rt *rapid.T) {
		r := new(roster.Roster)
		for _, name := range members {
			r.Members = append(r.Members, &roster.Member{
				Roles: []roster.Role{roster.Investigator, roster.Reviewer}, Channels: []string{"bribery"}, Card: &roster.Card{Name: name},
			})
		}
		c := newCase("bribery", r)
		day := "2026-11-22"
		if err := c.apply(&Event{Action: ActionTip, Number: 1, Day: day}); err != nil {
			rt.Fatal(err)
		}
		deadline := c.AcknowledgeBy
		for range rapid.IntRange(20, 80).Draw(rt, "events") {
			day = addDays(day, rapid.IntRange(0, 5).Draw(rt, "days"))
			e := &Event{Action: ActionMessage, Day: day}
			if ahead := c.possible(); len(ahead) > 0 && rapid.Bool().Draw(rt, "ahead") {
				e.Action = Action(rapid.SampledFrom(ahead).Draw(rt, "action"))
			} else if n := rapid.IntRange(0, len(steps)).Draw(rt, "any action"); n < len(steps) {
				e.Action = steps[n].Action
			}
			if e.Action != ActionMessage {
				e.By = rapid.SampledFrom(members).Draw(rt, "by")
			}
			switch e.Action {
			case ActionAssign:
				e.Owner, e.Due = rapid.SampledFrom(members).Draw(rt, "owner"), addDays(day, 30)
			case ActionFinding:
				e.Decides = rapid.Bool().Draw(rt, "decides")
				e.Recuse = !e.Decides && rapid.IntRange(0, 5).Draw(rt, "recuse") == 0
			}
			before, voters, took := fmt.Sprintf("%+v", *c), len(c.Votes), c.Took()
			was, owner, votes, recused := c.State, c.Owner, slices.Clone(c.Votes), slices.Clone(c.Recused)
			err := c.apply(e)
			if err != nil {
				if !errors.Is(err, ErrRule) {
					rt.Fatalf("%s: %v", e.Action, err)
				}
				if after := fmt.Sprintf("%+v", *c); after != before {
					rt.Fatalf("a refused %s changed the case:\n%s\n%s", e.Action, before, after)
				}
				continue
			}
			reached[c.State] = true
			if c.State != was && !slices.Contains(next[was], c.State) {
				rt.Fatalf("%s led from %s to %s", e.Action, was, c.State)
			}
			if e.Decides && voters+1 < c.Rule.Quorum && !slices.Contains(votes, e.By) {
				rt.Fatalf("a finding of %d votes", voters+1)
			}
			if slices.Contains(recused, e.By) && e.Action != ActionErase {
				rt.Fatalf("%s recused themselves and may %s", e.By, e.Action)
			}
			if e.Action == ActionFinding && c.Round > 0 && slices.Contains(took, e.By) {
				rt.Fatalf("%s re-verifies a case that they had a part in", e.By)
			}
			if e.Action == ActionErase && strings.Contains(before, "Hold:true") {
				rt.Fatal("a case on hold was erased")
			}
			if c.AcknowledgeBy != deadline {
				rt.Fatalf("the deadline for the acknowledgement moved to %s", c.AcknowledgeBy)
			}
			if slices.Contains(c.Recused, c.Owner) && c.Owner != "" || owner != c.Owner && e.Action != ActionAssign && e.Action != ActionFinding && e.Action != ActionReverify {
				rt.Fatalf("%s changed the owner from %q to %q", e.Action, owner, c.Owner)
			}
		}
	})
	if testing.Short() {
		return // with a fifth of the sequences, one in thirty runs misses a state
	}
	for _, s := range States() {
		if s != StateReceived && !reached[s] {
			t.Errorf("no sequence reached %s", s)
		}
	}
}

// BenchmarkFoldCase is a case of 1,000 events: what it takes to work out its
// state, and to verify every signature and link besides.
func BenchmarkFoldCase(b *testing.B) {
	key, err := roster.NewSigningKey(SourceName)
	if err != nil {
		b.Fatal(err)
	}
	const tip = "aaaaaaaaaaaaaaaa"
	c := &chain{tip: tip}
	var notes [][]byte
	for len(notes) < 1000 {
		e, err := c.next(ActionMessage, "2026-11-22")
		if err != nil {
			b.Fatal(err)
		}
		e.Sealed = hash(nil)
		if e.Number == 1 {
			e.Action, e.Reply = ActionTip, hash(nil)
		}
		note, err := e.sign(key)
		if err == nil {
			e.By = SourceName
			err = c.extend(e, note)
		}
		if err != nil {
			b.Fatal(err)
		}
		notes = append(notes, note)
	}
	r := new(roster.Roster)
	b.Run("fold", func(b *testing.B) {
		for b.Loop() {
			if c := foldCase(c.events, "bribery", r); len(c.Faults) > 0 {
				b.Fatal(c.Faults)
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if _, err := readChain(tip, notes, "", &keyring{source: key.Verifier(), channel: "bribery", roster: r}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
