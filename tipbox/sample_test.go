package tipbox_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// sample is a month's list as a reviewer gets it.
func sample(t *testing.T, o *tipboxtest.Org, month string) *tipbox.Population {
	t.Helper()
	p, err := o.Service.Sample(ctx, o.Member("rita"), month)
	if err == nil {
		err = p.Validate(month)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSampleListsWhatWasClosedThatMonth and stays the same whatever comes later.
func TestSampleListsWhatWasClosedThatMonth(t *testing.T) {
	o, plain := newDesk(t)
	var codes []*receipt.Code
	ids, codes := submitSome(t, o, 4, tipbox.Submission{Channel: "off-book-funds"})
	followed, reopened, later, back := ids[0], ids[1], ids[2], ids[3]
	for _, tip := range []string{plain, followed, reopened, later, back} {
		o.Act("alice", tip, tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member("rita")})
	}
	for _, tip := range []string{plain, followed, reopened, back} {
		closeCase(o, tip)
	}
	o.Act("carol", back, act(tipbox.ActionReverify, "on the same day"))
	for _, today := range []string{"2026-11-22", "2026-12-01"} { // entries may still be dated in November
		advanceTo(o, today)
		_, err := o.Service.Sample(ctx, o.Member("rita"), "2026-11")
		wantErr(t, err, tipbox.ErrInvalid)
		if !strings.Contains(err.Error(), "draw from 2026-12-02 on") {
			t.Error(err)
		}
	}
	advanceTo(o, "2026-12-02")
	november := sample(t, o, "2026-11")
	var want []tipbox.SampleLine
	for _, tip := range []string{plain, followed, reopened} {
		head := o.Open("alice", tip).Head()
		want = append(want, tipbox.SampleLine{Tip: tip, Number: head.Number, Head: head.SHA256, Channel: "off-book-funds", Votes: 2, Quorum: 2})
	}
	slices.SortFunc(want, func(a, b tipbox.SampleLine) int { return strings.Compare(a.Tip, b.Tip) })
	if !slices.Equal(november.Lines, want) {
		t.Fatalf("got  %+v\nwant %+v", november.Lines, want)
	}
	agrees := func(p *tipbox.Population) {
		t.Helper()
		for _, tip := range []string{plain, followed, reopened, later, back} {
			line, err := o.Open("rita", tip).SampleLine(p.Month)
			i := slices.IndexFunc(p.Lines, func(l tipbox.SampleLine) bool { return l.Tip == tip })
			if err != nil || (line == nil) != (i < 0) || line != nil && *line != p.Lines[i] {
				t.Errorf("%s: the entries of %s come to %+v, %v", p.Month, tip, line, err)
			}
		}
	}
	agrees(november)

	// Whatever happens in December, November stays what it was.
	followUp(t, o, codes[0], "n")
	o.Act("carol", reopened, act(tipbox.ActionReverify, "drawn"))
	closeCase(o, later)
	for _, tip := range []string{reopened, back} {
		o.Act("alice", tip, assign("emil", "2026-12-20"))
		o.Act("dora", tip, tipbox.Act{Action: tipbox.ActionFinding, Text: "my brother", Recuse: true})
		o.Act("emil", tip, finding(tipbox.Confirmed))
		o.Act("rita", tip, finding(tipbox.Confirmed))
		o.Act("rita", tip, act(tipbox.ActionClose, "again"))
	}
	o.Act("alice", plain, act(tipbox.ActionNote, "in the file"))
	if again := sample(t, o, "2026-11"); again.ListHash() != november.ListHash() {
		t.Errorf("november in december:\n%s\n%s", again.Text(), november.Text())
	}
	advanceTo(o, "2027-01-02")
	if again := sample(t, o, "2026-11"); again.ListHash() != november.ListHash() {
		t.Errorf("november in january:\n%s\n%s", again.Text(), november.Text())
	}
	december := sample(t, o, "2026-12")
	agrees(december)
	got := make(map[string]int)
	for _, l := range december.Lines {
		got[l.Tip] = l.Weight()
	}
	if len(got) != 3 || got[later] != 3 || got[reopened] != 3 || got[back] != 3 { // late and bare; recused and bare
		t.Errorf("december: %v", got)
	}
	if empty := sample(t, o, "2026-10"); len(empty.Lines) > 0 {
		t.Errorf("october: %v", empty)
	}
}

func advanceTo(o *tipboxtest.Org, day string) {
	for o.Service.Today() < day {
		o.Clock.Advance(24 * time.Hour)
	}
}

// TestSampleIsForReviewersOnly: an investigator would learn of cases that are
// about them.
func TestSampleIsForReviewersOnly(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Enter("both", &roster.Member{Roles: []roster.Role{roster.Reviewer, roster.Investigator}, Channels: []string{"bribery"}})
	o.Install()
	for name, refused := range map[string]bool{"carol": false, "alice": true, "both": true, "peter": true} {
		p, err := o.Service.Sample(ctx, o.Member(name), "2026-10")
		if refused {
			wantErr(t, err, tipbox.ErrForbidden)
		} else if err != nil || p.Lines == nil {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	carol := o.Member("carol")
	o.Strike("carol")
	o.Install()
	_, err := o.Service.Sample(ctx, carol, "2026-10")
	wantErr(t, err, tipbox.ErrForbidden)
}

func TestSampleIsOfMonthsThatAreOver(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	for _, month := range []string{"", "2026-13", "2026-10-01", "2026-11", "2027-01", "9999-12", "2026-10\n"} {
		_, err := o.Service.Sample(ctx, o.Member("carol"), month)
		wantErr(t, err, tipbox.ErrInvalid)
	}
}

func TestDamagedTipHidesNoOtherFromTheSample(t *testing.T) {
	o, tip := newDesk(t)
	ids, _ := submitSome(t, o, 1, tipbox.Submission{Channel: "off-book-funds"})
	closeCase(o, tip)
	closeCase(o, ids[0])
	advanceTo(o, "2026-12-02")
	key := store.Key("tip/" + tip)
	rec, err := o.Store.Get(ctx, key)
	if err == nil {
		err = o.Store.Apply(ctx, store.Put(key, []byte("{")))
	}
	if err != nil {
		t.Fatal(err)
	}
	if p := sample(t, o, "2026-11"); !p.Partial || len(p.Lines) != 1 || p.Lines[0].Tip != ids[0] {
		t.Errorf("%+v", p)
	}
	if err := o.Store.Apply(ctx, store.Put(key, rec.Value)); err != nil {
		t.Fatal(err)
	}
	if p := sample(t, o, "2026-11"); p.Partial || len(p.Lines) != 2 {
		t.Errorf("%+v", p)
	}
}
