package tipbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
