package tipbox

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawFigures draws tips of a few months and states, so that many cells are small.
func drawFigures(rt *rapid.T, channels []string, label string, most int) []figure {
	outcomes := rapid.Custom(func(rt *rapid.T) outcome {
		o := outcome{Done: rapid.Bool().Draw(rt, "done"), Late: rapid.Bool().Draw(rt, "late")}
		if o.Done {
			o.Days = rapid.IntRange(0, 100).Draw(rt, "days")
		}
		return o
	})
	states := States()[:rapid.IntRange(1, 4).Draw(rt, "states")]
	months := []string{"2025-12", "2026-01", "2026-02", "2026-03"}[:rapid.IntRange(1, 4).Draw(rt, "months")]
	var all []figure
	for range rapid.IntRange(0, most).Draw(rt, label) {
		all = append(all, figure{
			Channel: rapid.SampledFrom(channels).Draw(rt, "channel"), Month: rapid.SampledFrom(months).Draw(rt, "month"),
			State: rapid.SampledFrom(states).Draw(rt, "state"), Acknowledge: outcomes.Draw(rt, "acknowledge"), Answer: outcomes.Draw(rt, "answer"),
		})
	}
	return all
}

// numbers are all counts of a row.
func numbers(r FigureRow) []int {
	var all []int
	for _, n := range []Count{
		r.Tips, r.Acknowledge.Due, r.Acknowledge.Done, r.Acknowledge.InTime, r.Answer.Due, r.Answer.Done, r.Answer.InTime,
	} {
		all = append(all, int(n))
	}
	return all
}

// TestFiguresTellNothingSmall takes every total apart in every way, knowing which
// parts there can be and, of those that are printed, their true numbers.
func TestFiguresTellNothingSmall(t *testing.T) {
	channels := []string{"bribery", "funds", "other"}
	const last = "2026-03"
	totals := 0
	rapid.Check(t, func(rt *rapid.T) {
		all := drawFigures(rt, channels, "tips", 150)
		rows := count(all, channels, last)
		f := &Figures{Day: "2026-03-31", From: "2025-01", To: last, Min: MinCell, Rows: rows}
		if err := f.Validate(); err != nil {
			rt.Fatalf("%v: %+v", err, rows)
		}
		at := make(map[string]FigureRow)
		key := func(period, channel string, state State) string { return fmt.Sprint(period, "/", channel, "/", state) }
		for _, r := range rows {
			at[key(r.Period, r.Channel, r.State)] = r
		}
		for _, r := range rows {
			true := numbers(truth(all, r))
			for i, n := range numbers(r) {
				if n%MinCell != 0 || n > true[i] {
					rt.Fatalf("%d of %d: %+v", n, true[i], r)
				}
			}
			var ways [][]string
			if r.Channel == "" {
				var parts []string
				for _, c := range channels {
					parts = append(parts, key(r.Period, c, r.State))
				}
				ways = append(ways, parts)
			}
			if r.State == "" {
				var parts []string
				for _, s := range States() {
					parts = append(parts, key(r.Period, r.Channel, s))
				}
				ways = append(ways, parts)
			}
			if len(r.Period) == 4 {
				var parts []string
				for n := range 12 {
					if month := fmt.Sprintf("%s-%02d", r.Period, n+1); month <= last {
						parts = append(parts, key(month, r.Channel, r.State))
					}
				}
				ways = append(ways, parts)
			}
			for _, parts := range ways {
				totals++
				listed := make([]int, counts)
				small := 0
				for _, part := range parts {
					if row, ok := at[part]; ok {
						for i, n := range numbers(truth(all, row)) {
							listed[i] += n
						}
					} else {
						small++
					}
				}
				for i, n := range numbers(r) {
					// One of the small parts may be empty, whichever; and of two, both.
					others := max(small-1, 0) * (MinCell - 1)
					if small <= 2 {
						others = 0
					}
					if n > listed[i]+others {
						rt.Fatalf("count %d of %+v is %d, and its %d parts of %v explain %d: there is something in each of the others",
							i, r, n, len(parts)-small, parts, listed[i]+others)
					}
				}
			}
		}
	})
	if totals < 100 {
		t.Errorf("only %d totals were taken apart", totals)
	}
}

// truth is the row as it would be if all was told.
func truth(all []figure, r FigureRow) FigureRow {
	var n [counts]int
	for _, f := range all {
		if f.Month[:len(r.Period)] == r.Period && (r.Channel == "" || f.Channel == r.Channel) && (r.State == "" || f.State == r.State) {
			f.addTo(&n)
		}
	}
	r.Tips = Count(n[countTips])
	for at, d := range map[int]*Deadlines{countAcknowledge: &r.Acknowledge, countAnswer: &r.Answer} {
		d.Due, d.Done, d.InTime = Count(n[at]), Count(n[at+1]), Count(n[at+2])
	}
	return r
}

// TestFewTipsOfAChannelChangeNothing: with two channels, all of the answer is the
// same whether fewer tips than the minimum came to one of them or none.
func TestFewTipsOfAChannelChangeNothing(t *testing.T) {
	channels := []string{"bribery", "funds"}
	rapid.Check(t, func(rt *rapid.T) {
		many := drawFigures(rt, channels[:1], "tips", 100)
		few := drawFigures(rt, channels[1:], "few", MinCell-1)
		without := count(slices.Clone(many), channels, "2026-03")
		with := count(slices.Concat(many, few), channels, "2026-03")
		if !reflect.DeepEqual(with, without) {
			rt.Fatalf("with %d tips of another channel:\n%+v\nwithout:\n%+v", len(few), with, without)
		}
	})
}

// TestWhatOneWayLeavesOutIsMissingFromTheNext: four tips in small months count for
// nothing, and a fifth of a small channel does not make them count.
func TestWhatOneWayLeavesOutIsMissingFromTheNext(t *testing.T) {
	tips := func(n int, channel, month string) []figure {
		return slices.Repeat([]figure{{Channel: channel, Month: month, State: StateClosed}}, n)
	}
	many := tips(11, "bribery", "2026-01")
	for _, month := range []string{"2026-02", "2026-03", "2026-04", "2026-05"} {
		many = append(many, tips(1, "bribery", month)...)
	}
	channels := []string{"bribery", "funds"}
	without := count(slices.Clone(many), channels, "2026-12")
	with := count(append(many, tips(1, "funds", "2026-06")...), channels, "2026-12")
	if without[0].Period != "2026" || without[0].Tips != 10 || !reflect.DeepEqual(with, without) {
		t.Errorf("with:\n%+v\nwithout:\n%+v", with, without)
	}
}

// TestTotalsCountWhatIsSmallTogether: a year of a small desk is not lost.
func TestTotalsCountWhatIsSmallTogether(t *testing.T) {
	var all []figure
	for n := range 12 {
		for range 2 {
			all = append(all, figure{
				Channel: "bribery", Month: fmt.Sprintf("2026-%02d", n+1), State: StateClosed,
				Acknowledge: outcome{Done: true, Days: n}, Answer: outcome{Done: true, Late: n > 7, Days: 30},
			})
		}
	}
	all = append(all, figure{Channel: "bribery", Month: "2026-05", State: StateReceived, Acknowledge: outcome{Late: true}})
	five, thirty := 5, 30
	closed := FigureRow{
		Period: "2026", Channel: "bribery", State: StateClosed, Tips: 20,
		Acknowledge: Deadlines{Due: 20, Done: 20, InTime: 20, MedianDays: &five},
		Answer:      Deadlines{Due: 20, Done: 20, InTime: 15, MedianDays: &thirty},
	}
	var want []FigureRow
	for _, channel := range []string{"", "bribery"} {
		for _, state := range []State{"", StateClosed} {
			r := closed
			r.Channel, r.State = channel, state
			want = append(want, r)
		}
	}
	if got := count(all, nil, "2026-12"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	// In a service with another channel that nobody uses it is the same.
	if got := count(all, []string{"funds"}, "2026-12"); !reflect.DeepEqual(got, want) {
		t.Errorf("with another channel: %+v", got)
	}
}

func TestHigherMinimumTellsNothingMore(t *testing.T) {
	channels := []string{"bribery", "funds", "other"}
	rapid.Check(t, func(rt *rapid.T) {
		f := &Figures{Day: "2026-03-31", From: "2025-01", To: "2026-03", Min: MinCell, Rows: count(drawFigures(rt, channels, "tips", 150), channels, "2026-03")}
		low := slices.Clone(f.Rows)
		min := rapid.IntRange(1, 6).Draw(rt, "times") * MinCell
		if err := f.Raise(min); err != nil {
			rt.Fatal(err)
		}
		if err := f.Validate(); err != nil {
			rt.Fatal(err)
		}
		for _, r := range f.Rows {
			i := slices.IndexFunc(low, func(l FigureRow) bool { return compareRows(l, r) == 0 })
			if i < 0 {
				rt.Fatalf("a row that was not there: %+v", r)
			}
			for j, n := range numbers(low[i]) {
				if got := numbers(r)[j]; got != n/min*min {
					rt.Fatalf("count %d of %+v", j, r)
				}
			}
			if r.Acknowledge.MedianDays != nil && r.Acknowledge.Done < Count(min) {
				rt.Fatalf("a median of fewer: %+v", r)
			}
		}
	})
	for _, min := range []int{0, 4, 6, -5, 1005} {
		if (&Figures{Min: MinCell}).Raise(min) == nil || new(Figures).Raise(min) == nil {
			t.Errorf("a minimum of %d", min)
		}
	}
	if (&Figures{Min: 10}).Raise(5) == nil {
		t.Error("lowered")
	}
}
