package tipbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"tipbox/crypto/roster"
	"tipbox/store"
)

// MinCell is the fewest tips that figures tell of.
const MinCell = 5

// Figures are counts of tips by channel, by the month in which they came, and by
// state, and what became of their deadlines. They are for people who may not know
// of a single tip, so:
//
//   - Every count is rounded down to a multiple of Min, and what is below that is
//     not told: a row that is not there is of fewer tips, or of none.
//   - A median is of Min tips at least.
//   - A total (of all channels, of all states, of a year) leaves out those of its
//     parts that are below Min, unless there are several and together they come to
//     Min. So what is left of a total when its parts are taken off never tells of
//     fewer tips than Min; nor does it tell of any part that is below Min that
//     there is something in it.
//   - Totals are of whole months and years, whatever was asked for, and a higher
//     minimum is a multiple of MinCell and says nothing that the lower one does not.
//     So asking in many ways tells no more than asking in one.
//   - Members who read no tips get the months that are over only: they learn in
//     which month a fifth tip came, and not on which day.
//   - Investigators get none of the tips of their channels that they cannot read:
//     they could tell from the number of those that they can that a source left
//     them out. Nor do they get the erased ones of their channels: whom a source
//     left out of one is not kept.
//
// That holds for one answer, and one total with its parts. It is not promised that
// a small number stays hidden from somebody who compares many days' answers, or
// totals of several kinds; who sends tips of their own until a row appears; or who
// knows of other tips already. Whoever publishes figures should do so by the month
// at most, and with investigators in mind, who can count what they read. The numbers
// of one row are of the same tips, and a subtraction there may tell that a deadline
// was missed, which concerns the desk and no source.
type Figures struct {
	Day  string      `json:"day"` // of the count
	From string      `json:"from"`
	To   string      `json:"to"` // the last month that is counted
	Min  int         `json:"min"`
	Rows []FigureRow `json:"rows"` // what is of all stands before its parts

	// Own says that tips are left out, if there are any: those of the channels of
	// the member, an investigator, that the member cannot read or that were erased.
	Own bool `json:"own,omitempty"`
	// Partial says that records are damaged, so that numbers are too low.
	Partial bool `json:"partial,omitempty"`
}

// A FigureRow is of the tips of a channel that came in a month or year and are in a
// state now, or were when they were erased.
type FigureRow struct {
	Period      string    `json:"period"`            // 2006-01 or 2006
	Channel     string    `json:"channel,omitempty"` // "": all
	State       State     `json:"state,omitempty"`   // "": all
	Tips        Count     `json:"tips"`
	Acknowledge Deadlines `json:"acknowledge"` // days from the receipt
	Answer      Deadlines `json:"answer"`      // days from the acknowledgement, those that the source was waited for too
}

// Deadlines say what became of a row's deadlines of one kind. Whoever was told that
// the case is declined is owed no answer any more.
type Deadlines struct {
	Due        Count `json:"due"`  // what was done, or should have been by now
	Done       Count `json:"done"` // in time or late
	InTime     Count `json:"in_time"`
	MedianDays *int  `json:"median_days"` // of those Done; nil for too few
}

// A Count is a multiple of a minimum; 0 is anything below. In JSON 0 is null.
type Count int

// MarshalJSON is null for what is below the minimum.
func (c Count) MarshalJSON() ([]byte, error) {
	if c == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(int(c))
}

func band(n, min int) Count { return Count(n / min * min) }

// Validate checks figures that a server sent as strictly as they can be.
func (f *Figures) Validate() error {
	bad := func(what string) error { return fmt.Errorf("the figures' %s: %w", what, ErrInvalid) }
	if _, err := time.Parse(time.DateOnly, f.Day); err != nil {
		return bad("day")
	}
	if f.Min < MinCell || f.Min%MinCell != 0 || f.Min > maxMin {
		return bad("minimum")
	}
	if CheckMonths(f.From, f.To) != nil {
		return bad("months")
	}
	for i, r := range f.Rows {
		if i > 0 && compareRows(f.Rows[i-1], r) >= 0 {
			return bad("order")
		}
		month := r.Period
		if len(month) == len("2006") {
			month += "-01"
		}
		if CheckMonths(month, month) != nil || month < f.From || month > f.To {
			return bad("period")
		}
		if r.Channel != "" && roster.CheckName(r.Channel) != nil {
			return bad("channel")
		}
		if r.State != "" && !slices.Contains(States(), r.State) {
			return bad("state")
		}
		if r.Tips < Count(f.Min) {
			return bad("smallest row")
		}
		for _, d := range []Deadlines{r.Acknowledge, r.Answer} {
			for _, n := range []Count{r.Tips, d.Due, d.Done, d.InTime} {
				if n < 0 || n > maxCount || int(n)%f.Min != 0 {
					return bad("counts")
				}
			}
			if d.InTime > d.Done || d.Done > d.Due || d.Due > r.Tips || d.MedianDays != nil && (d.Done == 0 || *d.MedianDays < 0 || *d.MedianDays > maxCount) {
				return bad("deadlines")
			}
		}
	}
	return nil
}

const (
	maxMin         = 1000
	maxCount       = 1e9
	monthForm      = "2006-01"
	figureIDLength = 20
)

// Raise makes the minimum a higher one: a multiple of MinCell.
func (f *Figures) Raise(min int) error {
	if least := max(f.Min, MinCell); min < least || min%MinCell != 0 || min > maxMin {
		return fmt.Errorf("the minimum is a multiple of %d from %d to %d", MinCell, least, maxMin)
	}
	f.Min = min
	f.Rows = slices.DeleteFunc(f.Rows, func(r FigureRow) bool { return band(int(r.Tips), min) == 0 })
	for i := range f.Rows {
		r := &f.Rows[i]
		r.Tips = band(int(r.Tips), min)
		for _, d := range []*Deadlines{&r.Acknowledge, &r.Answer} {
			d.Due, d.Done, d.InTime = band(int(d.Due), min), band(int(d.Done), min), band(int(d.InTime), min)
			if d.Done == 0 {
				d.MedianDays = nil
			}
		}
	}
	return nil
}

// CheckMonths checks that both are months, 2006-01, in order.
func CheckMonths(from, to string) error {
	for _, month := range []string{from, to} {
		if t, err := time.Parse(monthForm, month); err != nil || t.Format(monthForm) != month {
			return fmt.Errorf("%.20q is not a month: write it as 2006-01", month)
		}
	}
	if from > to {
		return fmt.Errorf("%s is after %s", from, to)
	}
	return nil
}

// Figures counts the tips that came in the months from one to another, 2006-01:
// for investigators, reviewers and publishers. Years are counted that lie in
// between, as far as they have gone. Tips that were erased count too, but for what
// their sources erased unread, and not for investigators of their channels.
func (s *Service) Figures(ctx context.Context, m *roster.Member, from, to string) (*Figures, error) {
	last := s.Today()[:len(monthForm)]
	switch err := s.mayRead(m); {
	case err != nil && !m.Has(roster.Publisher):
		return nil, fmt.Errorf("figures take the role %s, %s or %s: %w", roster.Investigator, roster.Reviewer, roster.Publisher, ErrForbidden)
	case err != nil: // the day on which a fifth tip comes is not for them
		last = monthBefore(last)
	}
	if err := CheckMonths(from, to); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	f := &Figures{Day: s.Today(), From: from, To: max(from, min(to, last)), Min: MinCell, Own: m.Has(roster.Investigator)}
	var all []figure
	damaged := func(err error) {
		s.cfg.Log.Error("not in the figures: run tipboxd check", "error", err)
		f.Partial = true
	}
	add := func(n figure, err error) error {
		if err == nil {
			err = CheckMonths(n.Month, n.Month)
		}
		if err != nil {
			damaged(err)
			return ctx.Err()
		}
		all = append(all, n)
		return ctx.Err()
	}
	err := s.each(ctx, prefixTip, func(rec store.Record) error {
		t, err := decodeTip(rec)
		if err != nil {
			return add(figure{}, err)
		}
		if m.Investigates(t.Channel) && !slices.Contains(t.Readers, m.Name()) {
			return ctx.Err()
		}
		return add(t.figure(f.Day), nil)
	})
	if err == nil {
		err = s.each(ctx, prefixFigure, func(rec store.Record) error {
			var erased figure
			err := decode(rec, &erased)
			if err == nil && m.Investigates(erased.Channel) { // nobody knows whether the source left m out
				return ctx.Err()
			}
			return add(erased, err)
		})
	}
	if errors.Is(err, store.ErrCorrupt) { // more than a record
		damaged(err)
	} else if err != nil {
		return nil, fmt.Errorf("counting: %w", err)
	}
	f.Rows = slices.DeleteFunc(count(all, s.allChannels(), last), func(r FigureRow) bool {
		if len(r.Period) == len(monthForm) {
			return r.Period < from || r.Period > to
		}
		return r.Period+"-01" < from || min(r.Period+"-12", last) > to
	})
	return f, nil
}

// allChannels are those that tips may have come to, also when they are offered no
// more: what is listed here tells of no tip.
func (s *Service) allChannels() []string {
	var all []string
	for _, c := range s.cfg.Channels {
		all = append(all, c.ID)
	}
	r := s.Roster()
	for _, m := range slices.Concat(r.Members, r.Former) {
		all = append(all, m.Channels...)
	}
	return all
}

func monthBefore(month string) string {
	t, err := time.Parse(monthForm, month)
	if err != nil {
		panic(err) // ours
	}
	return t.AddDate(0, -1, 0).Format(monthForm)
}

// A course is what figures and spot checks need of a case, besides what else is in
// its record: days as in Case.
type course struct {
	Acknowledged  string `json:"acknowledged,omitempty"`
	AcknowledgeBy string `json:"acknowledge_by,omitempty"`
	Answered      string `json:"answered,omitempty"`
	AnswerBy      string `json:"answer_by,omitempty"` // "" also when none is owed any more
	Closed        string `json:"closed,omitempty"`
	Round         int    `json:"round,omitempty"`
	Quorum        int    `json:"quorum,omitempty"`
}

func (c *Case) course() course {
	k := course{
		Acknowledged: c.Acknowledged, AcknowledgeBy: c.AcknowledgeBy, Answered: c.Answered, AnswerBy: c.AnswerBy,
		Closed: c.Closed, Round: c.Round, Quorum: c.Rule.Quorum,
	}
	if c.Answered == "" && (c.State == StateDeclined || c.Round > 0) {
		k.AnswerBy = ""
	}
	return k
}

// late reports whether the source was told something later than promised.
func (c course) late() bool {
	return c.Acknowledged > c.AcknowledgeBy && c.AcknowledgeBy != "" || c.Answered > c.AnswerBy && c.AnswerBy != ""
}

// A figure is what counts of a tip. It is also all that is kept of one that was
// erased, under a name that leads from no tip to it: a month and days that
// something took name no day.
type figure struct {
	Channel     string  `json:"channel"`
	Month       string  `json:"month"` // of receipt
	State       State   `json:"state"`
	Acknowledge outcome `json:"acknowledge,omitzero"`
	Answer      outcome `json:"answer,omitzero"`
}

// An outcome is what became of a deadline.
type outcome struct {
	Done bool `json:"done,omitempty"`
	Late bool `json:"late,omitempty"` // also: not done, and over
	Days int  `json:"days,omitempty"` // that it took
}

// figure is what counts of a tip on a day.
func (t *tipRecord) figure(today string) figure {
	c := t.Course
	answerBy := c.AnswerBy
	if t.State == StateAwaiting {
		answerBy = "" // the clock stands still
	}
	return figure{
		Channel: t.Channel, Month: t.Day[:min(len(monthForm), len(t.Day))], State: cmp.Or(t.State, StateReceived),
		Acknowledge: outcomeOf(t.Day, c.Acknowledged, c.AcknowledgeBy, today),
		Answer:      outcomeOf(c.Acknowledged, c.Answered, answerBy, today),
	}
}

func outcomeOf(from, done, by, today string) outcome {
	o := outcome{Done: done != "", Late: by != "" && cmp.Or(done, today) > by}
	if o.Done {
		o.Days = daysBetween(from, done)
	}
	return o
}

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
