package tipbox

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tipbox/crypto/roster"
	"tipbox/store"
)

// A Population is what a month's spot check is drawn from: the cases, of all
// channels, that were closed in the month and not taken up again before its end, as
// they stood at its end. Nobody chooses among them: whoever has the list computes
// the same seed and the same draw.
//
// As text the list is a line for each case, in the order of the tips' ids: the
// tip's id, the number of the last entry dated in the month, the SHA-256 of that
// entry in hex, and the case's weight, with a space between each and a line feed
// behind. The list's hash is the SHA-256 of that; the seed is the SHA-256 of the
// same lines without the weight and the space before it:
//
//	sha256sum list.txt
//	cut -d ' ' -f 1-3 list.txt | sha256sum
//
// Draw i, counted from 0, is the SHA-256 of the seed's 32 bytes and i as 8 bytes,
// big-endian, taken as a number, big-endian, modulo the sum of the weights of the
// cases not yet drawn. It falls on that case of these at which the weights, added
// up in the order of the list, first exceed it. The share of the cases that is
// drawn is rounded up. testdata/sample/draw.py is all of it in Python.
//
// What is noticed of a server that lies: another entry than one that a member has
// seen; of a case that a member can open, another entry, weight or closing day than
// what was signed comes to ([OpenedTip.SampleLine]), or that the case is missing;
// and whatever differs between the lists of two members who compare their hashes.
// What is not: that a case is missing which none of those who draw can open, if it
// is kept from all of them. Nor that somebody who knew the last entries of all
// cases on the month's last day, as the server does and a member who reads them
// all, wrote the last one of all and tried texts until they liked the draw. A case
// that was erased since is in no list: draw soon after the month's end, and keep the
// list.
type Population struct {
	Month string       `json:"month"`
	Lines []SampleLine `json:"lines"`

	// Partial says that records are damaged, so that cases are missing.
	Partial bool `json:"partial,omitempty"`
}

// A SampleLine is one case of a Population.
type SampleLine struct {
	Tip     string `json:"tip"`
	Number  int    `json:"number"` // of the last entry dated in the month
	Head    string `json:"head"`   // SHA-256 of its note, hex
	Channel string `json:"channel"`

	Late    bool `json:"late,omitempty"`    // the source was acknowledged or answered after the deadline
	Votes   int  `json:"votes"`             // of the last round
	Quorum  int  `json:"quorum"`            // that a finding takes
	Recused int  `json:"recused,omitempty"` // members who took no part
}

// Weight says how likely a case is drawn: 1, and 1 more each if it was late, if no
// more than the quorum voted, and if somebody took no part. (That somebody
// dissented shows in the clear only as more votes than the quorum: it is the other
// case of the second.)
func (l *SampleLine) Weight() int {
	weight := 1
	for _, risk := range []bool{l.Late, l.Votes <= l.Quorum, l.Recused > 0} {
		if risk {
			weight++
		}
	}
	return weight
}

func (l *SampleLine) head() string { return l.Tip + " " + strconv.Itoa(l.Number) + " " + l.Head }

// maxPopulation is the most cases of a month.
const maxPopulation = 20_000

// Validate checks a list that a server sent.
func (p *Population) Validate(month string) error {
	if p.Month != month || len(p.Lines) > maxPopulation {
		return fmt.Errorf("a list of %d cases of %.20q: %w", len(p.Lines), p.Month, ErrInvalid)
	}
	for i, l := range p.Lines {
		within := func(n int) bool { return n >= 0 && n <= roster.MaxReaders }
		switch {
		case !ValidTipID(l.Tip), roster.CheckName(l.Channel) != nil, l.Number < 1, l.Number > maxEntries, !hexHash.MatchString(l.Head),
			!within(l.Votes), !within(l.Quorum), !within(l.Recused), i > 0 && p.Lines[i-1].Tip >= l.Tip:
			return fmt.Errorf("line %d of the list: %w", i+1, ErrInvalid)
		}
	}
	return nil
}

// Text is the list as text.
func (p *Population) Text() string {
	var text strings.Builder
	for _, l := range byTip(p.Lines) {
		fmt.Fprintf(&text, "%s %d\n", l.head(), l.Weight())
	}
	return text.String()
}

// Seed is what the draw goes by.
func Seed(lines []SampleLine) [sha256.Size]byte {
	h := sha256.New()
	for _, l := range byTip(lines) {
		h.Write([]byte(l.head() + "\n"))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func byTip(lines []SampleLine) []SampleLine {
	return slices.SortedFunc(slices.Values(lines), func(a, b SampleLine) int { return strings.Compare(a.Tip, b.Tip) })
}

// Draw draws a share of the cases: see Population. A larger share draws the same
// ones first.
func Draw(lines []SampleLine, share Share) []SampleLine {
	seed, left := Seed(lines), byTip(lines)
	total := 0
	for _, l := range left {
		total += l.Weight()
	}
	var drawn []SampleLine
	for i := range share.of(len(left)) {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(seed[:], uint64(i)))
		at := int(new(big.Int).Mod(new(big.Int).SetBytes(sum[:]), big.NewInt(int64(total))).Int64())
		n := 0
		for ; at >= left[n].Weight(); n++ {
			at -= left[n].Weight()
		}
		total -= left[n].Weight()
		drawn = append(drawn, left[n])
		left = slices.Delete(left, n, n+1)
	}
	return drawn
}

// A Share is a part of a whole, in thousandths of a percent.
type Share int

const wholeShare Share = 100_000

var shareForm = regexp.MustCompile(`^([0-9]{1,3})(?:\.([0-9]{1,3}))?%$`)

// ParseShare reads a share above 0% and up to 100%, such as 5% or 0.5%.
func ParseShare(s string) (Share, error) {
	m := shareForm.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%.20q is no share: write it as 5%% or 0.5%%", s)
	}
	n, err := strconv.Atoi(m[1] + (m[2] + "000")[:3])
	if share := Share(n); err == nil && share > 0 && share <= wholeShare {
		return share, nil
	}
	return 0, fmt.Errorf("a share is above 0%% and at most 100%%, and not %s", s)
}

// of is the share of n things, rounded up.
func (s Share) of(n int) int {
	return int((int64(n)*int64(s) + int64(wholeShare) - 1) / int64(wholeShare))
}

// CheckSampleMonth checks that a month, 2006-01, is one and is over. It is on the
// second day after it: entries may be dated a day back.
func CheckSampleMonth(month, today string) error {
	if err := CheckMonths(month, month); err != nil {
		return err
	}
	first, err := time.Parse(monthForm, month)
	now, err2 := time.Parse(time.DateOnly, today)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if over := first.AddDate(0, 1, 1); now.Before(over) {
		return fmt.Errorf("cases may still be closed in %s: draw from %s on", month, over.Format(time.DateOnly))
	}
	return nil
}

// Sample lists a month's closed cases for a spot check. The list is for reviewers
// who investigate no channel.
//
// It names cases of which the member may know nothing else. To a reviewer that says
// little: an id is a hash of random keys and a head is a hash, a reviewer sees no
// case before being let in, and so cannot tell a case that is kept from them from
// one that nobody thought of showing them. Whoever gets the list must get all of
// it, for else the seed is another. An investigator, however, is left out of a case
// of their channel for one reason, that its source thinks it is about them; so the
// list would tell them that there is such a case, and they do not get it.
func (s *Service) Sample(ctx context.Context, m *roster.Member, month string) (*Population, error) {
	if err := s.mayRead(m); err != nil {
		return nil, err
	}
	if !m.Has(roster.Reviewer) || m.Has(roster.Investigator) {
		return nil, against(RuleRole, "a spot check is drawn by a %s who is no %s: the list names cases from which a source left an investigator out",
			roster.Reviewer, roster.Investigator)
	}
	if err := CheckSampleMonth(month, s.Today()); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	p := &Population{Month: month, Lines: []SampleLine{}}
	err := s.each(ctx, prefixTip, func(rec store.Record) error { // in the order of the ids
		id := strings.TrimPrefix(string(rec.Key), string(prefixTip))
		t, err := decodeTip(rec)
		var line *SampleLine
		if err == nil {
			line, err = s.sampleLine(ctx, id, t, month)
		}
		switch {
		case errors.Is(err, store.ErrNotFound): // erased meanwhile
		case errors.Is(err, store.ErrCorrupt), errors.Is(err, ErrInvalid):
			s.cfg.Log.Error("not in the list for a spot check: run tipboxd check", "tip", id, "error", err)
			p.Partial = true
		case err != nil:
			return err
		case line != nil:
			p.Lines = append(p.Lines, *line)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("listing the cases closed in %s: %w", month, err)
	}
	if len(p.Lines) > maxPopulation {
		return nil, fmt.Errorf("%d cases were closed in %s: %w", len(p.Lines), month, ErrTooLong)
	}
	return p, nil
}

// sampleLine is the line of a tip in a month's list, or nil if it has none. Only a
// case that was taken up again is folded anew: of all others the record says enough.
func (s *Service) sampleLine(ctx context.Context, id string, t *tipRecord, month string) (*SampleLine, error) {
	if t.Day > endOf(month) {
		return nil, nil
	}
	if t.Course.Round > 0 {
		_, c, err := s.loadChain(ctx, id)
		if err != nil {
			return nil, err
		}
		return c.sampleLine(t.Channel, s.Roster(), month)
	}
	if !within(month, t.Course.Closed) {
		return nil, nil
	}
	line := &SampleLine{
		Tip: id, Channel: t.Channel, Late: t.Course.late(),
		Votes: len(t.Votes), Quorum: t.Course.Quorum, Recused: len(t.Recused),
	}
	for line.Number = t.Events; line.Number > 0; line.Number-- {
		rec, err := s.cfg.Store.Get(ctx, keyEvent(id, line.Number))
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
			continue // lost: what is before it stands for it
		}
		if err != nil {
			return nil, err
		}
		e, err := parseEvent(rec.Value)
		if err != nil {
			return nil, err
		}
		if e.Day <= endOf(month) {
			line.Head = hash(rec.Value)
			return line, nil
		}
	}
	return nil, fmt.Errorf("tip %s: all its messages are lost: %w", id, store.ErrCorrupt)
}

// sampleLine is the chain's line in a month's list, or nil.
func (c *chain) sampleLine(channel string, r *roster.Roster, month string) (*SampleLine, error) {
	n := len(c.events)
	for n > 0 && (c.events[n-1].lost || c.events[n-1].Day > endOf(month)) {
		n--
	}
	if n == 0 {
		return nil, nil
	}
	k := foldCase(c.events[:n], channel, r)
	if k.torn {
		return nil, fmt.Errorf("tip %s: an entry is lost, so nobody can tell whether the case was closed in %s: %w", c.tip, month, store.ErrCorrupt)
	}
	if !within(month, k.Closed) { // "" once it was taken up again
		return nil, nil
	}
	return &SampleLine{
		Tip: c.tip, Number: n, Head: c.hashes[n-1], Channel: channel, Late: k.course().late(),
		Votes: len(k.Votes), Quorum: k.Rule.Quorum, Recused: len(k.Recused),
	}, nil
}

// SampleLine is the line that the case must have in a month's list, or nil if it
// has none.
func (o *OpenedTip) SampleLine(month string) (*SampleLine, error) {
	return o.chain.sampleLine(o.Channel, o.roster, month)
}

// Fits checks a line against the end of the tip's list of entries as it was once
// seen. It can tell only if that was the same entry.
func (l *SampleLine) Fits(seen Head) error {
	if seen.Number == l.Number && seen.SHA256 != l.Head {
		return fmt.Errorf("tip %s: entry %d is another than the one that the server has shown before: it shows two histories: %w", l.Tip, l.Number, ErrInvalid)
	}
	return nil
}

// endOf is a day that no day of the month is after, and every later one is.
func endOf(month string) string { return month + "-31" }

func within(month, day string) bool { return strings.HasPrefix(day, month+"-") }

// ListHash is the hash of a list's text, hex.
func (p *Population) ListHash() string {
	sum := sha256.Sum256([]byte(p.Text()))
	return hex.EncodeToString(sum[:])
}
