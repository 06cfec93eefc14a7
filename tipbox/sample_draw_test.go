package tipbox

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/store/mem"
)

// lineOf is a line of that weight.
func lineOf(tip string, number int, head string, weight int) SampleLine {
	l := SampleLine{Tip: tip, Number: number, Head: head, Channel: "bribery", Votes: 3, Quorum: 2}
	l.Late = weight > 1
	if weight > 2 {
		l.Votes = 2
	}
	if weight > 3 {
		l.Recused = 1
	}
	return l
}

// vectors are the lines of testdata/sample/list.txt.
func vectors(t *testing.T) (lines []SampleLine) {
	t.Helper()
	text, err := os.ReadFile("testdata/sample/list.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		number, err := strconv.Atoi(f[1])
		weight, err2 := strconv.Atoi(f[3])
		if err != nil || err2 != nil {
			t.Fatal(line)
		}
		lines = append(lines, lineOf(f[0], number, f[2], weight))
	}
	return lines
}

// drawAgain draws by tickets, from the text of a list.
func drawAgain(list string, n int) (drawn []string) {
	var seeded, tickets []string
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		seeded = append(seeded, strings.Join(f[:3], " ")+"\n")
		for range int(f[3][0] - '0') {
			tickets = append(tickets, f[0])
		}
	}
	seed := sha256.Sum256([]byte(strings.Join(seeded, "")))
	for i := range n {
		sum := sha256.Sum256(append(seed[:], 0, 0, 0, 0, 0, 0, byte(i>>8), byte(i)))
		at := 0
		for _, b := range sum {
			at = (at*256 + int(b)) % len(tickets)
		}
		tip := tickets[at]
		drawn = append(drawn, tip)
		tickets = slices.DeleteFunc(tickets, func(other string) bool { return other == tip })
	}
	return drawn
}

func tipsOf(lines []SampleLine) (tips []string) {
	for _, l := range lines {
		tips = append(tips, l.Tip)
	}
	return tips
}

func TestDrawIsWhatTheVectorsSay(t *testing.T) {
	lines := vectors(t)
	p := &Population{Month: "2026-10", Lines: lines}
	if err := p.Validate("2026-10"); err != nil {
		t.Fatal(err)
	}
	// sha256sum list.txt, and cut -d ' ' -f 1-3 list.txt | sha256sum
	if got := p.ListHash(); got != "24c541e7d6d2e109b8a87f5dd72242ebfed6511375f0f8aa2958fc30f63a6819" {
		t.Errorf("the list is %s", got)
	}
	if seed := Seed(lines); hex.EncodeToString(seed[:]) != "d3491f2f5aad18aece4628264823799197c48a3c0b8db7a544e9927bcd625f9a" {
		t.Errorf("the seed is %x", seed)
	}
	text, err := os.ReadFile("testdata/sample/drawn.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(text))
	for share, n := range map[string]int{"100%": 23, "5%": 2, "0.001%": 1, "4.347%": 1, "4.348%": 2, "50%": 12, "13.05%": 4, "013.050%": 4} {
		s, err := ParseShare(share)
		if err != nil {
			t.Fatal(err)
		}
		if got := tipsOf(Draw(lines, s)); !slices.Equal(got, want[:n]) {
			t.Errorf("%s draws %v, want the first %d", share, got, n)
		}
	}
	if got := drawAgain(p.Text(), 23); !slices.Equal(got, want) {
		t.Errorf("by tickets: %v", got)
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("the vectors hold; there is no Python to draw them again with")
	}
	out, err := exec.Command(python, filepath.FromSlash("testdata/sample/draw.py"), filepath.FromSlash("testdata/sample/list.txt"), "13.05").CombinedOutput()
	if err != nil || !slices.Equal(strings.Fields(string(out)), want[:4]) {
		t.Errorf("Python draws %s, %v", out, err)
	}
}

func TestShares(t *testing.T) {
	for _, s := range []string{"", "5", "0%", "0.000%", "-5%", "100.001%", "101%", "5.0001%", "%", "5%%", "1e1%", " 5%", "999999999999%", ".5%", "5,5%"} {
		if share, err := ParseShare(s); err == nil {
			t.Errorf("%q is %d", s, share)
		}
	}
	if n := (wholeShare).of(0); n != 0 {
		t.Errorf("%d of none", n)
	}
	if n := Share(5000).of(100); n != 5 {
		t.Errorf("5%% of 100 are %d", n)
	}
}

var someLines = rapid.Custom(func(rt *rapid.T) []SampleLine {
	tips := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z2-7]{16}`), 0, 40, rapid.ID).Draw(rt, "tips")
	var lines []SampleLine
	for _, tip := range tips {
		lines = append(lines, lineOf(tip, rapid.IntRange(1, 2000).Draw(rt, "number"), hash([]byte(tip)), rapid.IntRange(1, 4).Draw(rt, "weight")))
	}
	return lines
})

// TestDrawGoesByNothingElse than the lines and the share: not their order, and a
// larger share draws the same first.
func TestDrawGoesByNothingElse(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lines := someLines.Draw(rt, "lines")
		share := Share(rapid.IntRange(1, int(wholeShare)).Draw(rt, "share"))
		drawn := Draw(lines, share)
		if want := int(math.Ceil(float64(len(lines)) * float64(share) / float64(wholeShare))); len(drawn) != want {
			rt.Fatalf("%d drawn, want %d", len(drawn), want)
		}
		shuffled := rapid.Permutation(lines).Draw(rt, "shuffled")
		if again := Draw(shuffled, share); !slices.Equal(again, drawn) {
			rt.Fatalf("in another order:\n%v\n%v", again, drawn)
		}
		for i := range shuffled { // what is not in a line
			shuffled[i].Channel = "funds"
		}
		if again := tipsOf(Draw(shuffled, share)); !slices.Equal(again, tipsOf(drawn)) {
			rt.Fatalf("of another channel:\n%v\n%v", again, drawn)
		}
		if all := Draw(lines, wholeShare); !slices.Equal(all[:len(drawn)], drawn) || len(all) != len(lines) {
			rt.Fatalf("all:\n%v\n%v", all, drawn)
		}
		p := &Population{Lines: lines}
		if again := drawAgain(p.Text(), len(drawn)); !slices.Equal(again, tipsOf(drawn)) {
			rt.Fatalf("by tickets:\n%v\n%v", again, tipsOf(drawn))
		}
		if len(lines) == 0 {
			return
		}
		other := slices.Clone(lines)
		at := &other[rapid.IntRange(0, len(other)-1).Draw(rt, "line")]
		list, seed := p.ListHash(), Seed(lines)
		at.Head = hash([]byte(at.Head))
		if (&Population{Lines: other}).ListHash() == list || Seed(other) == seed {
			rt.Fatal("another head and the same hash")
		}
		*at = lines[slices.IndexFunc(lines, func(l SampleLine) bool { return l.Tip == at.Tip })]
		if at.Late = !at.Late; (&Population{Lines: other}).ListHash() == list || Seed(other) != seed {
			rt.Fatal("another weight and the same list, or another seed")
		}
	})
}

// TestWeightsWeigh draws one of ten cases by as many seeds as make chance small.
// The seeds are always the same.
func TestWeightsWeigh(t *testing.T) {
	const draws = 20_000
	weights := []int{1, 1, 2, 1, 3, 4, 2, 1, 4, 1} // 20 in all
	var times [10]int
	for i := range draws {
		var lines []SampleLine
		for n, weight := range weights {
			lines = append(lines, lineOf(strings.Repeat(string(rune('a'+n)), tipIDLength), 9, hash(binary.BigEndian.AppendUint64(nil, uint64(i*10+n))), weight))
		}
		times[Draw(lines, 1)[0].Tip[0]-'a']++
	}
	for n, weight := range weights {
		want := float64(draws*weight) / 20
		if got := float64(times[n]); math.Abs(got-want) > 4*math.Sqrt(want) {
			t.Errorf("case %d of weight %d is drawn %.0f times of %.0f", n, weight, got, want)
		}
	}
}

func TestWeightOfEachRisk(t *testing.T) {
	for want, l := range map[int][]SampleLine{
		1: {{Votes: 3, Quorum: 2}},
		2: {{Votes: 2, Quorum: 2}, {Votes: 3, Quorum: 2, Late: true}, {Votes: 3, Quorum: 2, Recused: 2}},
		3: {{Votes: 2, Quorum: 3, Late: true}},
		4: {{Votes: 2, Quorum: 2, Late: true, Recused: 1}},
	} {
		for _, l := range l {
			if got := l.Weight(); got != want {
				t.Errorf("%+v weighs %d, want %d", l, got, want)
			}
		}
	}
}

func TestListOfALyingServerIsRefused(t *testing.T) {
	for what, spoil := range map[string]func(p *Population){
		"another month":         func(p *Population) { p.Month = "2026-09" },
		"a line twice":          func(p *Population) { p.Lines[1] = p.Lines[0] },
		"lines out of order":    func(p *Population) { p.Lines[0], p.Lines[1] = p.Lines[1], p.Lines[0] },
		"no tip":                func(p *Population) { p.Lines[0].Tip = "=cmd" },
		"no channel":            func(p *Population) { p.Lines[0].Channel = "\x1b[2J" },
		"no hash":               func(p *Population) { p.Lines[0].Head = strings.ToUpper(p.Lines[0].Head) },
		"no number":             func(p *Population) { p.Lines[0].Number = 0 },
		"too high a number":     func(p *Population) { p.Lines[0].Number = maxEntries + 1 },
		"fewer votes than none": func(p *Population) { p.Lines[0].Votes = -1 },
		"too high a quorum":     func(p *Population) { p.Lines[0].Quorum = roster.MaxReaders + 1 },
		"too many recusals":     func(p *Population) { p.Lines[0].Recused = roster.MaxReaders + 1 },
		"too many lines":        func(p *Population) { p.Lines = make([]SampleLine, maxPopulation+1) },
	} {
		p := &Population{Month: "2026-10", Lines: vectors(t)}
		spoil(p)
		if p.Validate("2026-10") == nil {
			t.Errorf("%s was not refused", what)
		}
	}
	l := vectors(t)[0]
	if l.Fits(Head{}) != nil || l.Fits(Head{l.Number, l.Head}) != nil || l.Fits(Head{l.Number + 1, "other"}) != nil || l.Fits(Head{l.Number, "other"}) == nil {
		t.Error("what fits")
	}
}

func TestMonthIsOverOnItsSecondDayAfter(t *testing.T) {
	for today, over := range map[string]bool{"2026-10-31": false, "2026-11-01": false, "2026-11-02": true, "2030-01-01": true, "2026-01-01": false} {
		if err := CheckSampleMonth("2026-10", today); (err == nil) != over {
			t.Errorf("on %s: %v", today, err)
		}
	}
	for _, month := range []string{"", "2026", "2026-00", "2026-13", "2026-1", "26-10", "2026-10-01", "2026-10 ", "२०२६-10"} {
		if CheckSampleMonth(month, "2030-01-01") == nil {
			t.Errorf("%q is a month", month)
		}
	}
}

// TestListIsWhatTheEntriesComeTo takes random cases through some months, and
// compares what the server lists by its records with what every entry comes to.
func TestListIsWhatTheEntriesComeTo(t *testing.T) {
	r := new(roster.Roster)
	members := []string{"ann", "ben", "cleo", "dan", "eve", "fay", "gus", "hal"}
	for _, name := range members {
		r.Members = append(r.Members, &roster.Member{
			Roles: []roster.Role{roster.Investigator, roster.Reviewer}, Channels: []string{"bribery"}, Card: &roster.Card{Name: name},
		})
	}
	random := rand.New(rand.NewPCG(1, 2))
	listed, reopened := 0, 0
	cases := 400
	if testing.Short() {
		cases = 100
	}
	for range cases {
		s, err := New(Config{Store: mem.New(), Blobs: mem.NewBlobs(), Root: "root"})
		if err != nil {
			t.Fatal(err)
		}
		s.roster.Store(&installed{roster: r})
		id := randomID(tipIDLength)
		c, kase := &chain{tip: id}, newCase("bribery", r)
		day := addDays("2026-01-01", random.IntN(20))
		for range 60 {
			day = addDays(day, random.IntN(5))
			e := &Event{Tip: id, Number: len(c.events) + 1, Action: ActionMessage, Day: day, Before: c.head, Sealed: hash(nil), By: SourceName}
			if e.Number == 1 {
				e.Action, e.Reply = ActionTip, hash(nil)
			} else if ahead := kase.possible(); random.IntN(6) > 0 {
				e.Action, e.By = Action(ahead[random.IntN(len(ahead))]), members[random.IntN(len(members))]
			}
			switch e.Action {
			case ActionAssign:
				e.Owner, e.Due = members[random.IntN(len(members))], addDays(day, 30)
			case ActionFinding:
				e.Decides = random.IntN(2) == 0
				e.Recuse = !e.Decides && random.IntN(6) == 0
			case ActionReverify:
				if random.IntN(8) > 0 {
					continue
				}
			case ActionTip, ActionMessage, ActionAck, ActionAccept, ActionAsk, ActionRecover, ActionAnswer, ActionClose:
			default:
				continue
			}
			if kase.apply(e) != nil {
				continue
			}
			note := append([]byte(eventHeader), encode(e)...)
			note = append(note, "\n"+noteSplit[1:]+e.By+" x\n"...)
			parsed, err := parseEvent(note)
			if err == nil {
				err = c.extend(parsed, note)
			}
			if err == nil {
				err = s.cfg.Store.Apply(t.Context(), store.Put(keyEvent(id, e.Number), note))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		rec := &tipRecord{Version: recordVersion, Channel: "bribery", Day: c.events[0].Day, Events: len(c.events), Head: c.head}
		rec.derive(foldCase(c.events, "bribery", r))
		if rec.Course.Round > 0 {
			reopened++
		}
		if err := s.cfg.Store.Apply(t.Context(), store.Put(keyTip(id), encode(rec))); err != nil {
			t.Fatal(err)
		}
		for n := range 12 {
			month := fmt.Sprintf("2026-%02d", n+1)
			got, err := s.sampleLine(t.Context(), id, rec, month)
			want, err2 := c.sampleLine("bribery", r, month)
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			if (got == nil) != (want == nil) || got != nil && *got != *want {
				t.Fatalf("%s: the server lists %+v, the entries come to %+v", month, got, want)
			}
			if got == nil {
				continue
			}
			listed++
			// And once more, by hand.
			last, state, closed := 0, State(""), ""
			for _, e := range c.events {
				if e.Day[:7] <= month {
					last = e.Number
				}
			}
			for _, e := range c.events[:last] {
				switch e.Action {
				case ActionClose:
					state, closed = StateClosed, e.Day
				case ActionReverify:
					state = StateReverifying
				}
			}
			note, err := s.cfg.Store.Get(t.Context(), keyEvent(id, last))
			if err != nil || got.Number != last || got.Head != hash(note.Value) || state != StateClosed || closed[:7] != month {
				t.Fatalf("%s: %+v, but closed on %s and %s, with entry %d", month, got, closed, state, last)
			}
		}
	}
	if listed < cases/4 || reopened < cases/8 {
		t.Errorf("%d lines, %d cases taken up again", listed, reopened)
	}
}

// TestListOfADamagedCase: in the place of an entry that is lost the one before it
// stands in the list, on the server and with who can open the case.
func TestListOfADamagedCase(t *testing.T) {
	s, err := New(Config{Store: mem.New(), Blobs: mem.NewBlobs(), Root: "root"})
	if err != nil {
		t.Fatal(err)
	}
	id := strings.Repeat("a", tipIDLength)
	first := encode(&Event{Tip: id, Number: 1, Action: ActionTip, Day: "2026-10-01", Sealed: hash(nil), Reply: hash(nil)})
	note := slices.Concat([]byte(eventHeader), first, []byte("\n"+noteSplit[1:]+"source x\n"))
	rec := &tipRecord{Version: recordVersion, Channel: "bribery", Day: "2026-10-01", Events: 2, State: StateClosed, Course: course{Closed: "2026-10-20"}}
	if err := s.cfg.Store.Apply(t.Context(), store.Put(keyTip(id), encode(rec)), store.Put(keyEvent(id, 1), note)); err != nil {
		t.Fatal(err)
	}
	line, err := s.sampleLine(t.Context(), id, rec, "2026-10")
	if err != nil || line.Number != 1 || line.Head != hash(note) {
		t.Errorf("%+v, %v", line, err)
	}
	// What it came to can be told no more if it was taken up again.
	rec.Course.Round = 1
	third := encode(&Event{Tip: id, Number: 3, Action: ActionMessage, Day: "2026-10-02", Before: hash(nil), Sealed: hash(nil)})
	err = s.cfg.Store.Apply(t.Context(), store.Put(keyEvent(id, 3), slices.Concat([]byte(eventHeader), third, []byte("\n"+noteSplit[1:]+"source x\n"))))
	if err != nil {
		t.Fatal(err)
	}
	if line, err := s.sampleLine(t.Context(), id, rec, "2026-10"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("%+v, %v", line, err)
	}
	if err := s.cfg.Store.Apply(t.Context(), store.Delete(keyEvent(id, 1)), store.Delete(keyEvent(id, 3))); err != nil {
		t.Fatal(err)
	}
	rec.Course.Round = 0
	if line, err := s.sampleLine(t.Context(), id, rec, "2026-10"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("%+v, %v", line, err)
	}
}
