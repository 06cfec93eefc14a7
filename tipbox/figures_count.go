package tipbox

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// The counts of a row.
const (
	countTips = iota
	countAcknowledge
	countAnswer = countAcknowledge + 3 // due, done and in time each
	counts      = countAnswer + 3
)

// addTo adds the figure to counts.
func (f *figure) addTo(n *[counts]int) {
	n[countTips]++
	f.Acknowledge.addTo(n[countAcknowledge:])
	f.Answer.addTo(n[countAnswer:])
}

func (o outcome) addTo(n []int) {
	for i, has := range []bool{o.Done || o.Late, o.Done, o.Done && !o.Late} {
		if has {
			n[i]++
		}
	}
}

// A cellKey names a row: each "" is a total over that.
type cellKey struct {
	year, month string // month: as 2006-01, within the year
	channel     string
	state       State
}

// A cell is a row in the making.
type cell struct {
	tips  []*figure
	shown [counts]int
}

func (c *cell) listed() bool { return c != nil && c.shown[countTips] >= MinCell }

// count makes the rows of all months up to the last, by the rules that stand at
// Figures.
func count(all []figure, channels []string, last string) []FigureRow {
	cells := make(map[cellKey]*cell)
	for i := range all {
		f := &all[i]
		if f.Month > last {
			continue
		}
		channels = append(channels, f.Channel)
		for total := range 8 {
			k := cellKey{f.Month[:4], f.Month, f.Channel, f.State}
			if total&1 != 0 {
				k.month = ""
			}
			if total&2 != 0 {
				k.channel = ""
			}
			if total&4 != 0 {
				k.state = ""
			}
			if cells[k] == nil {
				cells[k] = new(cell)
			}
			cells[k].tips = append(cells[k].tips, f)
		}
	}
	slices.Sort(channels)
	channels = slices.Compact(channels)

	// Parts come before their totals.
	keys := slices.SortedFunc(maps.Keys(cells), func(a, b cellKey) int { return cmp.Compare(a.totals(), b.totals()) })
	var rows []FigureRow
	for _, k := range keys {
		c := cells[k]
		shown := c.show(k.partitions(cells, channels, last))
		if !c.listed() {
			continue
		}
		row := FigureRow{Period: cmp.Or(k.month, k.year), Channel: k.channel, State: k.state, Tips: band(c.shown[countTips], MinCell)}
		row.Acknowledge = c.deadlines(countAcknowledge, shown, func(f *figure) outcome { return f.Acknowledge })
		row.Answer = c.deadlines(countAnswer, shown, func(f *figure) outcome { return f.Answer })
		rows = append(rows, row)
	}
	slices.SortFunc(rows, compareRows)
	return rows
}

// totals is how many of a cell's dimensions are added up.
func (k cellKey) totals() (n int) {
	for _, part := range []string{k.month, k.channel, string(k.state)} {
		if part == "" {
			n++
		}
	}
	return n
}

// compareRows orders what is of all before its parts.
func compareRows(a, b FigureRow) int {
	return cmp.Or(
		cmp.Compare(a.Period, b.Period), cmp.Compare(a.Channel, b.Channel),
		cmp.Compare(slices.Index(States(), a.State), slices.Index(States(), b.State)), // -1 is of all
	)
}

// A partition is a way to take a total apart.
type partition struct {
	part   func(*figure) *cell
	parts  int  // how many there could be
	listed int  // of which so many are
	rest   bool // those that are not count, in the total
}

// partitions are those of a cell, each by one of the dimensions that it adds up.
func (k cellKey) partitions(cells map[cellKey]*cell, channels []string, last string) (all []*partition) {
	add := func(parts []cellKey, of func(*figure) cellKey) {
		p := &partition{part: func(f *figure) *cell { return cells[of(f)] }, parts: len(parts)}
		for _, k := range parts {
			if cells[k].listed() {
				p.listed++
			}
		}
		all = append(all, p)
	}
	if k.month == "" {
		var parts []cellKey
		for n := range 12 {
			if month := fmt.Sprintf("%s-%02d", k.year, n+1); month <= last {
				parts = append(parts, cellKey{k.year, month, k.channel, k.state})
			}
		}
		add(parts, func(f *figure) cellKey { return cellKey{k.year, f.Month, k.channel, k.state} })
	}
	if k.channel == "" {
		var parts []cellKey
		for _, channel := range channels {
			parts = append(parts, cellKey{k.year, k.month, channel, k.state})
		}
		add(parts, func(f *figure) cellKey { return cellKey{k.year, k.month, f.Channel, k.state} })
	}
	if k.state == "" {
		var parts []cellKey
		for _, state := range States() {
			parts = append(parts, cellKey{k.year, k.month, k.channel, state})
		}
		add(parts, func(f *figure) cellKey { return cellKey{k.year, k.month, k.channel, f.State} })
	}
	return all
}

// most is what the parts that are not listed may add to a total: if it were more,
// it would tell of each that there is something in it.
func (p *partition) most() int { return (p.parts - p.listed - 1) * (MinCell - 1) }

// show finds the cell's counts that may be shown, and returns the tips that they
// are of.
func (c *cell) show(by []*partition) []*figure {
	shown := c.tips
	for _, p := range by {
		p.rest = true
	}
	for again := true; again; { // what one partition leaves out is not there for the next
		again = false
		for _, p := range by {
			rest := 0
			for _, f := range shown {
				if !p.part(f).listed() {
					rest++
				}
			}
			if p.rest && rest > 0 && min(rest, p.most()) < MinCell {
				p.rest, again = false, true
				shown = slices.DeleteFunc(slices.Clone(shown), func(f *figure) bool { return !p.part(f).listed() })
			}
		}
	}
	for _, f := range shown {
		f.addTo(&c.shown)
	}
	for _, p := range by {
		var listed, rest [counts]int
		for _, f := range shown {
			if p.part(f).listed() {
				f.addTo(&listed)
			} else {
				f.addTo(&rest)
			}
		}
		for i := range c.shown {
			c.shown[i] = min(c.shown[i], listed[i]+min(rest[i], max(p.most(), 0)))
		}
	}
	return shown
}

func (c *cell) deadlines(at int, shown []*figure, of func(*figure) outcome) Deadlines {
	d := Deadlines{Due: band(c.shown[at], MinCell), Done: band(c.shown[at+1], MinCell), InTime: band(c.shown[at+2], MinCell)}
	var days []int
	for _, f := range shown {
		if o := of(f); o.Done {
			days = append(days, o.Days)
		}
	}
	if slices.Sort(days); d.Done > 0 {
		median := days[(len(days)-1)/2] // one that was
		d.MedianDays = &median
	}
	return d
}
