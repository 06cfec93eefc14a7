package tipbox_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// figures are those that a member gets, as period/channel/state and the row.
func figures(t *testing.T, o *tipboxtest.Org, name, from, to string) map[string]tipbox.FigureRow {
	t.Helper()
	f, err := o.Service.Figures(ctx, o.Member(name), from, to)
	if err == nil {
		err = f.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	if f.Partial {
		t.Error("partial")
	}
	rows := make(map[string]tipbox.FigureRow)
	for _, r := range f.Rows {
		rows[r.Period+"/"+r.Channel+"/"+string(r.State)] = r
	}
	return rows
}

// submitSome sends tips to a channel and returns their ids and codes.
func submitSome(t *testing.T, o *tipboxtest.Org, n int, sub tipbox.Submission) (ids []string, codes []*receipt.Code) {
	t.Helper()
	known := make(map[string]bool)
	list := func(new func(string)) {
		for _, name := range []string{"alice", "bob"} {
			for _, item := range o.Inbox(name) {
				if !known[item.Tip] {
					known[item.Tip] = true
					new(item.Tip)
				}
			}
		}
	}
	list(func(string) {})
	for range n {
		sub.Text, sub.Lang = "one", "en"
		code, err := o.Service.Submit(ctx, o.Draft(), sub)
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, code)
		list(func(id string) { ids = append(ids, id) })
	}
	return ids, codes
}

func TestFiguresCountDeadlines(t *testing.T) {
	o, _ := newDesk(t) // a first tip, that nobody touches
	ids, _ := submitSome(t, o, 12, tipbox.Submission{Channel: "off-book-funds"})
	submitSome(t, o, 4, tipbox.Submission{Channel: "bribery"})
	o.Clock.Advance(2 * aDay)
	for _, id := range ids[:5] {
		o.Act("alice", id, act(tipbox.ActionAck, "read"))
	}
	o.Clock.Advance(10 * aDay) // 2026-12-04
	for _, id := range ids[5:7] {
		o.Act("alice", id, act(tipbox.ActionAck, "read, late"))
	}
	for _, id := range ids[:6] {
		o.Act("alice", id, act(tipbox.ActionAccept, ""))
		o.Act("alice", id, assign("alice", "2026-12-20"))
		o.Act("alice", id, finding(tipbox.Substantiated))
		o.Act("bob", id, finding(tipbox.Substantiated))
	}
	o.Clock.Advance(17 * aDay) // 2026-12-21
	for _, id := range ids[:5] {
		o.Act("alice", id, act(tipbox.ActionAnswer, "It was so."))
	}
	median := func(n int) *int { return &n }
	got := figures(t, o, "rita", "2026-01", "2026-12")
	want := tipbox.FigureRow{
		Period: "2026-11", Channel: "off-book-funds", State: tipbox.StateAnswered, Tips: 5,
		Acknowledge: tipbox.Deadlines{Due: 5, Done: 5, InTime: 5, MedianDays: median(2)},
		Answer:      tipbox.Deadlines{Due: 5, Done: 5, InTime: 5, MedianDays: median(27)},
	}
	if row := got["2026-11/off-book-funds/answered"]; !reflect.DeepEqual(row, want) {
		t.Errorf("answered: %+v", row)
	}
	// Six are received still: twelve days later each is overdue.
	want = tipbox.FigureRow{Period: "2026-11", Channel: "off-book-funds", State: tipbox.StateReceived, Tips: 5, Acknowledge: tipbox.Deadlines{Due: 5}}
	if row := got["2026-11/off-book-funds/received"]; !reflect.DeepEqual(row, want) {
		t.Errorf("received: %+v", row)
	}
	// Two in other states are left out of the total, as are four of another channel.
	want.State, want.Tips = "", 10
	want.Acknowledge = tipbox.Deadlines{Due: 10, Done: 5, InTime: 5, MedianDays: median(2)}
	want.Answer = tipbox.Deadlines{Due: 5, Done: 5, InTime: 5, MedianDays: median(27)}
	if row := got["2026-11/off-book-funds/"]; !reflect.DeepEqual(row, want) {
		t.Errorf("of all states: %+v", row)
	}
	for _, period := range []string{"2026-11", "2026"} {
		want.Period, want.Channel = period, ""
		if row := got[period+"//"]; !reflect.DeepEqual(row, want) {
			t.Errorf("of all: %+v", row)
		}
		if row, ok := got[period+"/bribery/"]; ok {
			t.Errorf("of four: %+v", row)
		}
	}
	// What is asked for changes no number.
	narrow := figures(t, o, "rita", "2026-11", "2026-11")
	for key, row := range narrow {
		if !reflect.DeepEqual(row, got[key]) || strings.HasPrefix(key, "2026/") {
			t.Errorf("%s: %+v", key, row)
		}
	}
	if len(narrow) == 0 || len(narrow) >= len(got) {
		t.Errorf("%d rows of one month, %d of the year", len(narrow), len(got))
	}
	wide := figures(t, o, "rita", "2025-01", "2030-12")
	if !reflect.DeepEqual(wide, got) {
		t.Errorf("of more years: %+v", wide)
	}
}

func TestClockThatStandsStillIsNotOverdue(t *testing.T) {
	o, _ := newDesk(t)
	ids, _ := submitSome(t, o, 5, tipbox.Submission{Channel: "off-book-funds"})
	for _, id := range ids {
		for _, a := range []tipbox.Act{act(tipbox.ActionAccept, ""), assign("alice", "2026-12-20"), act(tipbox.ActionAsk, "which?")} {
			o.Act("alice", id, a)
		}
	}
	o.Clock.Advance(400 * aDay)
	row := figures(t, o, "rita", "2026-11", "2026-11")["2026-11/off-book-funds/awaiting"]
	if row.Tips != 5 || row.Answer.Due != 0 || row.Acknowledge.InTime != 5 {
		t.Errorf("%+v", row)
	}
}

// TestErasedTipsStayCounted but for what a source took back, and of no tip can be
// told that it is the one.
func TestErasedTipsStayCounted(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{KeepDays: 10})
	ids, codes := submitSome(t, o, 6, tipbox.Submission{Channel: "bribery"})
	decline := tipbox.Act{Action: tipbox.ActionDecline, Text: "not ours", Detail: &tipbox.Detail{Reason: tipbox.OutOfScope}}
	o.Clock.Advance(3 * aDay)
	for _, id := range ids[1:] {
		o.Act("bob", id, decline)
	}
	if err := o.Service.EraseOwn(ctx, codes[0]); err != nil {
		t.Fatal(err)
	}
	before := figures(t, o, "carol", "2026-11", "2026-11")
	if row := before["2026-11/bribery/declined"]; row.Tips != 5 || row.Acknowledge.InTime != 5 || *row.Acknowledge.MedianDays != 3 || row.Answer.Due != 0 {
		t.Fatalf("%+v", row)
	}
	o.Act("bob", ids[1], tipbox.Act{Action: tipbox.ActionErase})
	o.Clock.Advance(30 * aDay)
	if n, err := o.Service.Retain(ctx); n != 4 || err != nil {
		t.Fatalf("%d erased, %v", n, err)
	}
	if after := figures(t, o, "carol", "2026-11", "2026-11"); !reflect.DeepEqual(after, before) {
		t.Errorf("after: %+v", after)
	}
	kept := 0
	for name, value := range o.Stored() {
		_, text, _ := strings.Cut(string(value), "\n")
		if strings.HasPrefix(name, "record meta/figure/") {
			kept++
			if text != `{"channel":"bribery","month":"2026-11","state":"declined","acknowledge":{"done":true,"days":3}}` {
				t.Errorf("%s is kept", text)
			}
		}
		for i, id := range ids {
			if strings.Contains(name, "figure") && strings.Contains(name+text, id) || strings.HasPrefix(name, "record erased/"+id) && strings.Contains(text, "bribery") {
				t.Errorf("of tip %d: %s %s", i, name, text)
			}
		}
	}
	if kept != 5 {
		t.Errorf("%d figures are kept", kept)
	}
}

func TestFiguresTellEachWhatTheyMayKnow(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Enter("paula", &roster.Member{Roles: []roster.Role{roster.Publisher}})
	o.Install()
	submitSome(t, o, 4, tipbox.Submission{Channel: "off-book-funds"})
	submitSome(t, o, 1, tipbox.Submission{Channel: "off-book-funds", LeaveOut: []string{"alice"}})
	_, err := o.Service.Figures(ctx, o.Member("peter"), "2026-11", "2026-11")
	wantErr(t, err, tipbox.ErrForbidden)
	if !strings.Contains(err.Error(), "role investigator, reviewer or publisher") {
		t.Error(err)
	}
	const row = "2026-11/off-book-funds/"
	for name, want := range map[string]tipbox.Count{
		"carol": 5,
		"bob":   5,
		"alice": 0, // who can read four, and would know of a fifth
		"paula": 0, // for whom the month is not over
	} {
		if got := figures(t, o, name, "2026-11", "2026-11")[row].Tips; got != want {
			t.Errorf("%s gets %d", name, got)
		}
	}
	if years := figures(t, o, "paula", "2026-01", "2026-12"); len(years) > 0 {
		t.Errorf("a year tells of a month that is not over: %+v", years)
	}
	o.Clock.Advance(9 * aDay) // 2026-12-01
	if got := figures(t, o, "paula", "2026-01", "2026-12"); got[row].Tips != 5 || got["2026//"].Tips != 5 {
		t.Errorf("after the month: %+v", got)
	}
	for _, months := range [][2]string{{"2026-12", "2026-11"}, {"", "2026-11"}, {"2026-13", "2026-14"}, {"2026-1", "2026-11"}, {"2026-11", "2026-11-22"}} {
		_, err := o.Service.Figures(ctx, o.Member("carol"), months[0], months[1])
		wantErr(t, err, tipbox.ErrInvalid)
	}
}

// TestErasedTipsTellNobodyThatTheyWereLeftOut erases one that Alice must not know
// of: as it is erased nobody knows any more whose it was to know.
func TestErasedTipsTellNobodyThatTheyWereLeftOut(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	submitSome(t, o, 5, tipbox.Submission{Channel: "off-book-funds"})
	secret, _ := submitSome(t, o, 5, tipbox.Submission{Channel: "off-book-funds", LeaveOut: []string{"alice"}})
	submitSome(t, o, 4, tipbox.Submission{Channel: "bribery"})
	other, _ := submitSome(t, o, 1, tipbox.Submission{Channel: "bribery"})
	before := figures(t, o, "alice", "2026-11", "2026-11")
	if got := before["2026-11/off-book-funds/"].Tips; got != 5 {
		t.Fatalf("alice, who can read five, is told of %d", got)
	}
	for _, id := range append(secret, other...) {
		o.Act("bob", id, tipbox.Act{Action: tipbox.ActionErase})
	}
	if after := figures(t, o, "alice", "2026-11", "2026-11"); !reflect.DeepEqual(after, before) || after["2026-11/bribery/"].Tips != 5 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if got := figures(t, o, "carol", "2026-11", "2026-11")["2026-11/off-book-funds/"].Tips; got != 10 {
		t.Errorf("a reviewer is told of %d", got)
	}
}

// TestFiguresOfAnEarlierVersionsTips derives what the records of tips lack.
func TestFiguresOfAnEarlierVersionsTips(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	ids, _ := submitSome(t, o, 5, tipbox.Submission{Channel: "off-book-funds"})
	for _, id := range ids {
		o.Act("alice", id, act(tipbox.ActionAck, "read"))
	}
	want := figures(t, o, "carol", "2026-11", "2026-11")
	for _, id := range ids {
		key := store.Key("tip/" + id)
		rec, err := o.Store.Get(ctx, key)
		var fields map[string]any
		if err == nil {
			err = json.Unmarshal(rec.Value, &fields)
		}
		delete(fields, "course")
		text, jsonErr := json.Marshal(fields)
		if err = errors.Join(err, jsonErr); err == nil {
			err = o.Store.Apply(ctx, store.Put(key, text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := figures(t, o, "carol", "2026-11", "2026-11"); reflect.DeepEqual(got, want) {
		t.Fatal("not stripped")
	}
	err := o.Store.Apply(ctx, store.Put("meta/tips", []byte("cases")))
	if err == nil {
		err = o.Service.Derive(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := figures(t, o, "carol", "2026-11", "2026-11"); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestDamagedRecordHidesNoOther(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	ids, _ := submitSome(t, o, 6, tipbox.Submission{Channel: "off-book-funds"})
	rec, err := o.Store.Get(ctx, store.Key("tip/"+ids[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []string{"{", `{"v":1,"day":""}`} {
		err := o.Store.Apply(ctx, store.Put(rec.Key, []byte(broken)), store.Put("meta/figure/x", []byte(`{"month":"2026"}`)))
		if err != nil {
			t.Fatal(err)
		}
		f, err := o.Service.Figures(ctx, o.Member("carol"), "2026-11", "2026-11")
		if err != nil || !f.Partial || len(f.Rows) == 0 || f.Rows[0].Tips != 5 {
			t.Errorf("%+v, %v", f, err)
		}
	}
	if err := o.Store.Apply(ctx, store.Put(rec.Key, rec.Value), store.Delete("meta/figure/x")); err != nil {
		t.Fatal(err)
	}
}

func TestFiguresOfALyingServerAreRefused(t *testing.T) {
	three := 3
	good := func() *tipbox.Figures {
		return &tipbox.Figures{Day: "2026-12-01", From: "2026-01", To: "2026-12", Min: 5, Rows: []tipbox.FigureRow{
			{Period: "2026", Tips: 10},
			{Period: "2026-11", Channel: "bribery", State: tipbox.StateClosed, Tips: 10, Acknowledge: tipbox.Deadlines{Due: 10, Done: 5, InTime: 5, MedianDays: &three}},
		}}
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(f *tipbox.Figures, r *tipbox.FigureRow){
		"a formula for a channel": func(_ *tipbox.Figures, r *tipbox.FigureRow) { r.Channel = `=HYPERLINK("x")` },
		"a state that is none":    func(_ *tipbox.Figures, r *tipbox.FigureRow) { r.State = "@x" },
		"a period that is none":   func(_ *tipbox.Figures, r *tipbox.FigureRow) { r.Period = "-202" },
		"a day for a period":      func(_ *tipbox.Figures, r *tipbox.FigureRow) { r.Period = "2026-11-22" },
		"another year":            func(_ *tipbox.Figures, r *tipbox.FigureRow) { r.Period = "2027-01" },
		"no multiple":             func(_ *tipbox.Figures, r *tipbox.FigureRow) { r.Tips = 11 },
		"too few":                 func(_ *tipbox.Figures, r *tipbox.FigureRow) { r.Tips, r.Acknowledge = 0, tipbox.Deadlines{} },
		"fewer than none":         func(_ *tipbox.Figures, r *tipbox.FigureRow) { r.Answer.InTime = -5 },
		"more than there are":     func(_ *tipbox.Figures, r *tipbox.FigureRow) { r.Acknowledge.Due = 15 },
		"a median of nothing":     func(_ *tipbox.Figures, r *tipbox.FigureRow) { r.Answer.MedianDays = &three },
		"twice the same":          func(f *tipbox.Figures, r *tipbox.FigureRow) { f.Rows = append(f.Rows, *r) },
		"no day":                  func(f *tipbox.Figures, _ *tipbox.FigureRow) { f.Day = "\x1b[2J" },
		"a low minimum":           func(f *tipbox.Figures, _ *tipbox.FigureRow) { f.Min = 1 },
		"no months":               func(f *tipbox.Figures, _ *tipbox.FigureRow) { f.To = "=1" },
	} {
		f := good()
		spoil(f, &f.Rows[1])
		if err := f.Validate(); !errors.Is(err, tipbox.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// In JSON what is below the minimum is null, there and back.
	text, err := json.Marshal(good())
	back := new(tipbox.Figures)
	if err == nil {
		err = json.Unmarshal(text, back)
	}
	if err != nil || !reflect.DeepEqual(back, good()) || !strings.Contains(string(text), `"answer":{"due":null,"done":null,"in_time":null,"median_days":null}`) {
		t.Errorf("%s, %v", text, err)
	}
}
