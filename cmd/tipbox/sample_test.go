package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// newSpotCheck is an organisation in which five cases were closed in October 2020.
// Carol closed them; rita, another reviewer, can read the first.
func newSpotCheck(t *testing.T) (b *bench, tips []string) {
	b = newBench(t, tipboxtest.Config{})
	b.Enter("rita", &roster.Member{Roles: []roster.Role{roster.Reviewer}})
	b.Install()
	b.setDay("2020-10-20")
	for range 5 {
		b.Submit("one")
	}
	for _, item := range b.Inbox("alice") {
		tips = append(tips, item.Tip)
		acts := []struct {
			name string
			tipbox.Act
		}{
			{"alice", tipbox.Act{Action: tipbox.ActionGrant, Grant: b.Member("carol")}},
			{"alice", tipbox.Act{Action: tipbox.ActionAccept}},
			{"alice", tipbox.Act{Action: tipbox.ActionAssign, Owner: "alice", Due: "2020-12-20"}},
			{"alice", tipbox.Act{Action: tipbox.ActionFinding, Text: "so it is", Detail: &tipbox.Detail{Finding: tipbox.Partly}}},
			{"bob", tipbox.Act{Action: tipbox.ActionFinding, Text: "so it is", Detail: &tipbox.Detail{Finding: tipbox.Partly}}},
			{"alice", tipbox.Act{Action: tipbox.ActionAnswer, Text: "so it was"}},
			{"carol", tipbox.Act{Action: tipbox.ActionClose, Text: "done"}},
		}
		for _, a := range acts {
			b.Act(a.name, item.Tip, a.Act)
		}
	}
	b.Act("alice", tips[0], tipbox.Act{Action: tipbox.ActionGrant, Grant: b.Member("rita")})
	b.setDay("2020-11-10")
	return b, tips
}

type sampled struct {
	Cases      int
	Seed, List string
	Drawn      []drawnLine
	Lines      []tipbox.SampleLine
}

func (b *bench) sample(member string, args ...string) (s sampled) {
	b.t.Helper()
	if err := json.Unmarshal([]byte(b.ok(member, append([]string{"--json", "sample", "--month", "2020-10"}, args...)...)), &s); err != nil {
		b.t.Fatal(err)
	}
	return s
}

func TestEveryReviewerDrawsTheSame(t *testing.T) {
	b, tips := newSpotCheck(t)
	carol, rita := b.sample("carol", "--share", "60%"), b.sample("rita", "--share", "60%")
	if carol.Seed != rita.Seed || carol.List != rita.List || carol.Cases != 5 || len(carol.Drawn) != 3 {
		t.Fatalf("%+v\n%+v", carol, rita)
	}
	for i, d := range carol.Drawn {
		if d.Tip != rita.Drawn[i].Tip || d.State != tipbox.StateClosed || d.Weight != 2 {
			t.Errorf("%+v, %+v", d, rita.Drawn[i])
		}
		if (rita.Drawn[i].State != "") != (d.Tip == tips[0]) {
			t.Errorf("rita reads: %+v", rita.Drawn[i])
		}
	}
	if five := b.sample("rita"); len(five.Drawn) != 1 || five.Drawn[0].Tip != carol.Drawn[0].Tip {
		t.Errorf("5%%: %+v", five.Drawn)
	}
	status, table, stderr := b.tipbox("rita", "sample", "--month", "2020-10", "--share", "100%")
	if status != exitDone || strings.Count(table, "not in your reach") != 4 || !slices.Equal(listed(table)[:3], []string{carol.Drawn[0].Tip, carol.Drawn[1].Tip, carol.Drawn[2].Tip}) {
		t.Errorf("status %d:\n%s", status, table)
	}
	for _, want := range []string{"Cases closed in 2020-10: 5. Drawn: 5 (100%)", "seed " + carol.Seed, "list " + carol.List, "tipbox reverify TIP", "Ask no investigator"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in %s", want, stderr)
		}
	}

	// What was drawn is looked at again, and the draw stays what it was.
	drawn := b.ok("carol", "sample", "--month", "2020-10", "--share", "60%")
	b.Clock.Advance(time.Since(b.Clock.Now())) // the tool signs by the machine's
	if status, _, stderr := b.feed("carol", drawn, "reverify", "-", "-m", "It was drawn for a spot check."); status != exitDone {
		t.Fatalf("status %d: %s", status, stderr)
	}
	again := b.sample("carol", "--share", "60%", "--verify")
	if again.List != carol.List || again.Drawn[0].State != tipbox.StateReverifying {
		t.Errorf("again: %+v", again)
	}

	// The list itself draws the same, without this program.
	list := b.ok("rita", "sample", "--month", "2020-10", "--list")
	sum := sha256.Sum256([]byte(list))
	var heads strings.Builder
	for line := range strings.Lines(list) {
		heads.WriteString(strings.Join(strings.Fields(line)[:3], " ") + "\n")
	}
	seed := sha256.Sum256([]byte(heads.String()))
	if hex.EncodeToString(sum[:]) != carol.List || hex.EncodeToString(seed[:]) != carol.Seed {
		t.Errorf("%s", list)
	}
}

func TestSampleRefusals(t *testing.T) {
	b := newBench(t, tipboxtest.Config{})
	for share, why := range map[string]string{"0%": "above 0%", "101%": "at most 100%", "5": "write it as 5%", "x%": "write it as", "-1%": ""} {
		b.fails("carol", exitUsage, why, "sample", "--month", "2020-10", "--share="+share)
	}
	for _, month := range []string{"", "2020", "2020-13", "10/2020", "2020-10-01"} {
		b.fails("carol", exitUsage, "write it as 2006-01", "sample", "--month", month)
	}
	b.fails("carol", exitUsage, "--month", "sample")
	b.fails("carol", exitUsage, "cases may still be closed", "sample", "--month", time.Now().Format("2006-01"))
	b.fails("carol", exitUsage, "cases may still be closed", "sample", "--month", "9999-12")
	for _, name := range []string{"alice", "peter"} {
		b.fails(name, exitFailed, "", "sample", "--month", "2020-10")
	}
	b.fails("alice", exitFailed, "rule role: a spot check is drawn by a reviewer who is no investigator", "sample", "--month", "2020-10")
	// The server's clock is behind the tool's.
	b.setDay("2020-10-20")
	b.fails("carol", exitFailed, "draw from 2020-11-02 on", "sample", "--month", "2020-10")
	if status, stdout, stderr := b.tipbox("carol", "sample", "--month", "2020-09"); status != exitDone || stdout != "" || !strings.Contains(stderr, "Cases closed in 2020-09: 0. Drawn: 0") {
		t.Errorf("an empty month: status %d, %q, %q", status, stdout, stderr)
	}
}

// TestLyingServerSparesNobody changes the list in every way a server could.
func TestLyingServerSparesNobody(t *testing.T) {
	b, tips := newSpotCheck(t)
	how := b.lie("/v1/sample")
	lie := func(change func(p *tipbox.Population)) {
		how(func(answer []byte) []byte {
			var p tipbox.Population
			if err := json.Unmarshal(answer, &p); err != nil {
				t.Error(err)
			}
			change(&p)
			changed, err := json.Marshal(p)
			if err != nil {
				t.Error(err)
			}
			return changed
		})
	}
	at := func(p *tipbox.Population) *tipbox.SampleLine {
		return &p.Lines[slices.IndexFunc(p.Lines, func(l tipbox.SampleLine) bool { return l.Tip == tips[0] })]
	}
	other := strings.Repeat("a", 64)
	sample := []string{"sample", "--month", "2020-10", "--share", "5%"}
	lie(func(*tipbox.Population) {})
	b.ok("carol", append(sample, "--verify")...) // and so remembers what she has seen
	honest := b.sample("carol")
	for what, change := range map[string]func(p *tipbox.Population){
		"another head":     func(p *tipbox.Population) { at(p).Head = other },
		"an earlier entry": func(p *tipbox.Population) { at(p).Number--; at(p).Head = other },
		"a lower weight":   func(p *tipbox.Population) { at(p).Votes++ },
		"another rule":     func(p *tipbox.Population) { at(p).Quorum++ },
		"another channel":  func(p *tipbox.Population) { at(p).Channel = "bribery" },
		"a case left out": func(p *tipbox.Population) {
			p.Lines = slices.DeleteFunc(p.Lines, func(l tipbox.SampleLine) bool { return l.Tip == tips[0] })
		},
		"a list out of order": func(p *tipbox.Population) { slices.Reverse(p.Lines) },
		"another month":       func(p *tipbox.Population) { p.Month = "2020-09" },
		"none at all":         func(p *tipbox.Population) { p.Lines = nil },
	} {
		lie(change)
		status, stdout, stderr := b.tipbox("rita", append(sample, "--verify")...)
		if status != exitFailed || stdout != "" || !strings.Contains(stderr, "not what was signed") {
			t.Errorf("%s: status %d: %s%s", what, status, stdout, stderr)
		}
	}
	var october []tipbox.SampleLine
	lie(func(p *tipbox.Population) { october = p.Lines })
	b.sample("rita")
	lie(func(p *tipbox.Population) { p.Lines = october })
	b.fails("rita", exitFailed, "was not closed in 2020-09", "sample", "--month", "2020-09", "--verify")

	// What is drawn is checked always, and a head that was seen without a request.
	lie(func(p *tipbox.Population) { at(p).Votes++ })
	b.fails("carol", exitFailed, "is not as its entries say", "sample", "--month", "2020-10", "--share", "100%")
	lie(func(p *tipbox.Population) { at(p).Head = other })
	b.fails("carol", exitFailed, "it shows two histories", "sample", "--month", "2020-10", "--list", "--share", "0.001%")

	// Of a case that rita cannot read she notices nothing, but that carol has another list.
	lie(func(p *tipbox.Population) {
		p.Lines = slices.DeleteFunc(p.Lines, func(l tipbox.SampleLine) bool { return l.Tip == tips[1] })
	})
	if spared := b.sample("rita", "--verify"); spared.List == honest.List || spared.Seed == honest.Seed {
		t.Errorf("%+v", spared)
	}
	lie(func(p *tipbox.Population) {
		p.Lines[slices.IndexFunc(p.Lines, func(l tipbox.SampleLine) bool { return l.Tip == tips[1] })].Votes = 9
	})
	if spared := b.sample("rita", "--verify"); spared.List == honest.List || spared.Seed != honest.Seed {
		t.Errorf("%+v", spared)
	}
	// One who remembers nothing notices what is drawn.
	if err := os.RemoveAll(filepath.Join(b.home("carol"), "heads")); err != nil {
		t.Fatal(err)
	}
	lie(func(p *tipbox.Population) { at(p).Head = other })
	b.fails("carol", exitFailed, "is not as its entries say", "sample", "--month", "2020-10", "--share", "100%")
}

// TestDamagedCaseHidesNoOtherDrawn says of which case the server lost what.
func TestDamagedCaseHidesNoOtherDrawn(t *testing.T) {
	b, tips := newSpotCheck(t)
	how := b.lie("/v1/tips/" + tips[0])
	how(func(answer []byte) []byte {
		return []byte(strings.Replace(string(answer), `tipbox event v1`, `tipbox event v9`, 1))
	})
	status, table, stderr := b.tipbox("carol", "sample", "--month", "2020-10", "--share", "100%")
	if status != exitFailed || strings.Count(table, "FAILED") != 1 || strings.Count(table, " closed") != 4 || !strings.Contains(stderr, "Drawn: 5") {
		t.Errorf("status %d:\n%s%s", status, table, stderr)
	}
}
