package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// A notifyDesk is a notifier with everything about it: members who keep what they are
// told, a clock on the wall and one that nobody sets.
type notifyDesk struct {
	*notifier
	t    *testing.T
	org  *tipboxtest.Org
	wall time.Time
	ran  time.Duration
	log  tipboxtest.Log

	told  []told
	fails map[string]error // of a member's deliveries
	work  func(context.Context, *roster.Member) (bool, error)
}

type told struct {
	member string
	notice
}

func (t told) String() string {
	return fmt.Sprintf("%s %s %d", t.member, t.hour.Format("01-02 15:04"), t.says)
}

func newNotifyDesk(t *testing.T, zone, now string, hours ...string) *notifyDesk {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	d := &notifyDesk{t: t, org: tipboxtest.New(t, tipboxtest.Config{}), fails: make(map[string]error)}
	d.wall, err = time.ParseInLocation("2006-01-02 15:04", now, location)
	if err != nil {
		t.Fatal(err)
	}
	d.work = func(context.Context, *roster.Member) (bool, error) { return true, nil }
	d.notifier = &notifier{
		hours: hours, location: location, roster: d.org.Service.Roster,
		hasWork: func(ctx context.Context, m *roster.Member) (bool, error) { return d.work(ctx, m) },
		file:    filepath.Join(t.TempDir(), notifyName), log: slog.New(slog.NewTextHandler(&d.log, nil)),
		now: func() time.Time { return d.wall }, running: func() time.Duration { return d.ran }, tellAfter: tellAfter,
	}
	d.name("alice")
	return d
}

// name has members told, in this order.
func (d *notifyDesk) name(members ...string) {
	d.recipients = nil
	for _, m := range members {
		d.recipients = append(d.recipients, recipient{m, "mail", m + "@city.example", time.Hour, func(_ context.Context, n notice) error {
			if err := d.fails[m]; err != nil {
				return err
			}
			d.told = append(d.told, told{m, n})
			return nil
		}})
	}
}

// pass lets time go by, as the server does.
func (d *notifyDesk) pass(time time.Duration) {
	d.t.Helper()
	for end := d.ran + time; ; {
		wait := d.step(d.t.Context())
		if wait <= 0 || wait > 60e9 {
			d.t.Fatalf("it waits %v", wait)
		}
		if d.ran+wait > end {
			d.jump(end - d.ran)
			d.ran = end
			return
		}
		d.jump(wait)
		d.ran += wait
	}
}

// jump sets the clock on the wall.
func (d *notifyDesk) jump(by time.Duration) { d.wall = d.wall.Add(by) }

// restart ends the server and starts another after a while.
func (d *notifyDesk) restart(after time.Duration) {
	n := *d.notifier
	n.state, n.settled, n.tellAt, n.deliveries, n.begun, n.next, n.pause = notifyState{}, "", time.Time{}, nil, 0, 0, 0
	*d.notifier = n
	d.jump(after)
	d.ran = 0
	d.start()
}

// expect wants just these told since it was asked last.
func (d *notifyDesk) expect(want ...string) {
	d.t.Helper()
	var got []string
	for _, told := range d.told {
		got = append(got, told.String())
	}
	if !slices.Equal(got, want) {
		d.t.Errorf("told %q, want %q", got, want)
	}
	d.told = nil
}

const day = 24 * time.Hour

func TestLastHour(t *testing.T) {
	tests := []struct{ zone, now, want string }{
		{"UTC", "2026-11-23T08:59:59.999999999Z", ""},
		{"UTC", "2026-11-23T09:00:00Z", "2026-11-23 09:00"},
		{"UTC", "2026-11-23T13:59:59Z", "2026-11-23 09:00"},
		{"UTC", "2026-11-23T14:00:00Z", "2026-11-23 14:00"},
		{"UTC", "2026-11-23T23:59:59Z", "2026-11-23 14:00"},
		{"UTC", "2026-11-24T00:00:00Z", ""},
		{"Asia/Shanghai", "2026-11-23T00:59:59Z", ""},
		{"Asia/Shanghai", "2026-11-23T01:00:00Z", "2026-11-23 09:00"},
		{"Asia/Kathmandu", "2026-11-23T03:14:59Z", ""},
		{"Asia/Kathmandu", "2026-11-23T03:15:00Z", "2026-11-23 09:00"},
		{"Pacific/Kiritimati", "2026-11-22T19:00:00Z", "2026-11-23 09:00"},
		{"America/New_York", "2026-11-24T01:00:00Z", "2026-11-23 14:00"},
	}
	for _, test := range tests {
		location, err := time.LoadLocation(test.zone)
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse(time.RFC3339Nano, test.now)
		if err != nil {
			t.Fatal(err)
		}
		n := &notifier{hours: []string{"09:00", "14:00"}, location: location}
		if got := n.lastHour(now); got != test.want {
			t.Errorf("%s in %s: %q, want %q", test.now, test.zone, got, test.want)
		}
	}
}

func TestMembersAreToldAfterTheHour(t *testing.T) {
	d := newNotifyDesk(t, "Asia/Shanghai", "2026-11-23 08:00", "09:00", "14:00")
	d.start()
	d.pass(time.Hour + tellAfter - time.Nanosecond)
	d.expect()
	d.pass(2 * time.Nanosecond)
	d.expect("alice 11-23 09:00 1")
	d.pass(day)
	d.expect("alice 11-23 14:00 1", "alice 11-24 09:00 1")
	if info, err := os.Stat(d.file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestChangeOfTheClocks goes through the days on which an hour is left out and
// one is there twice: each hour of each day is told once, also the one concerned.
func TestChangeOfTheClocks(t *testing.T) {
	for _, test := range []struct {
		now  string
		want []string
	}{
		{"2027-03-27 00:00", []string{"alice 03-27 02:30 1", "alice 03-27 09:00 1", "alice 03-28 03:30 1", "alice 03-28 09:00 1", "alice 03-29 02:30 1", "alice 03-29 09:00 1"}},
		{"2026-10-24 00:00", []string{"alice 10-24 02:30 1", "alice 10-24 09:00 1", "alice 10-25 02:30 1", "alice 10-25 09:00 1", "alice 10-26 02:30 1", "alice 10-26 09:00 1"}},
	} {
		d := newNotifyDesk(t, "Europe/Berlin", test.now, "02:30", "09:00")
		d.start()
		d.pass(3*day - 2*time.Hour)
		d.expect(test.want...)
	}
}

func TestMissedHours(t *testing.T) {
	d := newNotifyDesk(t, "UTC", "2026-11-23 10:00", "09:00", "14:00", "17:00")
	d.start() // nobody knows what was before
	d.pass(time.Hour)
	d.expect()
	d.restart(time.Hour)
	d.pass(time.Hour)
	d.expect()
	d.restart(5 * time.Hour) // at 18:00: two were missed, and are one
	d.pass(tellAfter + time.Minute)
	d.expect("alice 11-23 17:00 1")
	d.restart(time.Hour) // told is told
	d.pass(time.Hour)
	d.expect()
	d.restart(day + 6*time.Hour) // at 02:00 two days later: another day's are over
	d.pass(time.Hour)
	d.expect()
	d.restart(0)
	d.pass(6*time.Hour + tellAfter)
	d.expect("alice 11-25 09:00 1")

	// Asleep, which is no restart.
	d.jump(4 * time.Hour)
	d.pass(time.Hour)
	d.expect("alice 11-25 14:00 1")
}

// TestStartInTheMidstOfTelling is killed between writing the hour down and
// telling: who was not told is told at the next hour.
func TestStartInTheMidstOfTelling(t *testing.T) {
	d := newNotifyDesk(t, "UTC", "2026-11-23 08:00", "09:00", "14:00")
	d.start()
	d.pass(0)
	d.jump(time.Hour)
	d.ran += time.Hour
	d.begin(t.Context(), "2026-11-23 09:00")
	d.writeDown()
	d.restart(0)
	d.pass(5*time.Hour + tellAfter + time.Second)
	d.expect("alice 11-23 14:00 1")
}

// TestStartBeforeTelling is killed between settling and telling: everybody is told
// after the start, and that once, as of then.
func TestStartBeforeTelling(t *testing.T) {
	for _, test := range []struct {
		now  string
		down time.Duration
		want string
	}{
		{"2026-11-23 08:59", 0, "alice 11-23 09:00 1"},
		{"2026-11-23 08:59", 2 * time.Hour, "alice 11-23 09:00 1"},
		{"2026-11-23 08:59", 6 * time.Hour, "alice 11-23 14:00 1"}, // two are one
		{"2026-11-23 08:59", 20 * time.Hour, "alice 11-23 09:00 1"},
		{"2026-11-23 23:57", time.Minute, "alice 11-23 23:58 1"},
	} {
		d := newNotifyDesk(t, "UTC", test.now, "09:00", "14:00", "23:58")
		d.work = func(context.Context, *roster.Member) (bool, error) { return false, nil }
		d.start()
		d.pass(tellAfter)
		d.work = func(context.Context, *roster.Member) (bool, error) { return true, nil }
		d.restart(test.down)
		d.pass(time.Hour)
		d.expect(test.want)
		d.restart(0)
		d.pass(time.Hour)
		d.expect()
	}
}

// TestTimeOfTellingTellsOfNoWork has a search that takes its time if there is no
// work, also so long that it is given up.
func TestTimeOfTellingTellsOfNoWork(t *testing.T) {
	for _, takes := range []time.Duration{3 * time.Second, settleTime} {
		at := func(work bool) (sent time.Time) {
			d := newNotifyDesk(t, "UTC", "2026-11-23 07:58", "08:00")
			d.start()
			d.always = true
			d.work = func(context.Context, *roster.Member) (bool, error) {
				if !work {
					d.jump(takes)
					d.ran += takes
				}
				return work, nil
			}
			send := d.recipients[0].send
			d.recipients[0].send = func(ctx context.Context, n notice) error {
				sent = d.wall
				return send(ctx, n)
			}
			d.pass(10 * time.Minute)
			if len(d.told) != 1 {
				t.Fatal(d.told)
			}
			return sent
		}
		want := time.Date(2026, 11, 23, 8, 5, 0, 0, time.UTC)
		if a, b := at(true), at(false); !a.Equal(want) || !b.Equal(want) {
			t.Errorf("with work it is sent at %s, without at %s", a.Format("15:04:05"), b.Format("15:04:05"))
		}
	}
}

// TestClockJumps sets the clock forth and back: no hour of a day is told twice,
// and calm lies between any two.
func TestClockJumps(t *testing.T) {
	d := newNotifyDesk(t, "UTC", "2026-11-23 08:00", "09:00", "14:00")
	d.start()
	d.pass(2 * time.Hour)
	d.expect("alice 11-23 09:00 1")
	for range 5 {
		d.jump(-90 * time.Minute) // before the hour, and through it again
		d.pass(2 * time.Hour)
	}
	d.expect()
	d.jump(-30 * day)
	d.pass(tellAfter + time.Minute)
	d.expect("alice 10-24 09:00 1")
	d.jump(30 * day)
	d.pass(calm)
	d.expect()
	d.jump(75 * 365 * day) // by mistake, and put right
	d.pass(2 * calm)
	d.jump(-75 * 365 * day)
	d.told = nil
	d.pass(day)
	d.expect("alice 11-23 14:00 1", "alice 11-24 09:00 1")

	// Set back between settling and telling, and forth.
	for _, by := range []time.Duration{-3 * time.Hour, 3 * time.Hour, 40 * time.Hour} {
		d = newNotifyDesk(t, "UTC", "2026-11-23 08:59", "09:00")
		d.start()
		d.pass(2 * time.Minute)
		d.jump(by)
		d.pass(calm - time.Minute)
		d.expect("alice 11-23 09:00 1")
	}

	// A clock gone mad: a day every second.
	d = newNotifyDesk(t, "UTC", "2026-11-23 12:00", "09:00")
	d.start()
	for range 3600 {
		d.jump(day)
		d.pass(time.Second)
	}
	if n := len(d.told); n < 1 || n > int(time.Hour/calm)+1 {
		t.Errorf("told %d times in an hour", n)
	}
}

func TestAsManyHoursAsNeededAreRemembered(t *testing.T) {
	d := newNotifyDesk(t, "UTC", "2026-11-23 08:59", "09:00")
	d.start()
	d.state.Done = make([]string, maxDone)
	d.pass(time.Minute + tellAfter)
	d.pass(0)
	if n := len(d.state.Done); n != maxDone || d.state.Done[n-1] != "2026-11-23 09:00" {
		t.Errorf("%d are, up to %s", n, d.state.Done[n-1])
	}
}

// TestNobodyIsToldWhatIsNotWrittenDown takes the folder away: a restart would
// tell everybody again.
func TestNobodyIsToldWhatIsNotWrittenDown(t *testing.T) {
	d := newNotifyDesk(t, "UTC", "2026-11-23 08:59", "09:00")
	d.start()
	folder := filepath.Dir(d.file)
	if err := os.Rename(folder, folder+"-away"); err != nil {
		t.Fatal(err)
	}
	d.pass(30 * time.Minute)
	d.expect()
	if n := bytes.Count(d.log.Bytes(), []byte("cannot be written down")); n < 1 || n > 4 {
		t.Errorf("the log says so %d times", n)
	}
	if err := os.Rename(folder+"-away", folder); err != nil {
		t.Fatal(err)
	}
	d.pass(calm)
	d.expect("alice 11-23 09:00 1")
	d.restart(0)
	d.pass(time.Hour)
	d.expect()

	// Away only when they are to be told.
	d.pass(day - 2*time.Hour)
	for d.settled == "" {
		d.pass(time.Minute)
	}
	if err := os.Rename(folder, folder+"-away"); err != nil {
		t.Fatal(err)
	}
	d.pass(calm)
	d.expect()
	if err := os.Rename(folder+"-away", folder); err != nil {
		t.Fatal(err)
	}
	d.pass(2 * calm)
	d.expect("alice 11-24 09:00 1")
}

func TestDamagedStateMakesUpForNothing(t *testing.T) {
	d := newNotifyDesk(t, "UTC", "2026-11-23 10:00", "09:00")
	if err := os.WriteFile(d.file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start()
	d.pass(time.Hour)
	d.expect()
	if !bytes.Contains(d.log.Bytes(), []byte("nothing is made up for")) {
		t.Errorf("the log says %s", d.log.Bytes())
	}
	d.pass(day)
	d.expect("alice 11-24 09:00 1")
}

// TestWhoIsTold has members with work and without. The order is that of the
// configuration, whoever has work; who was struck gets nothing.
func TestWhoIsTold(t *testing.T) {
	d := newNotifyDesk(t, "UTC", "2026-11-23 08:59", "09:00")
	d.name("carol", "bob", "nobody", "alice", "peter")
	d.work = func(_ context.Context, m *roster.Member) (bool, error) {
		if m.Name() == "peter" {
			return false, fmt.Errorf("approvers read no tips: %w", tipbox.ErrForbidden)
		}
		return m.Name() == "alice" || m.Name() == "carol", nil
	}
	d.start()
	d.pass(time.Minute + tellAfter)
	d.pass(0)
	d.expect("carol 11-23 09:00 1", "alice 11-23 09:00 1")
	d.always = true
	d.pass(day)
	d.expect("carol 11-24 09:00 1", "bob 11-24 09:00 0", "alice 11-24 09:00 1", "peter 11-24 09:00 0")
	d.org.Strike("alice")
	d.org.Install()
	d.pass(day + time.Hour)
	d.expect("carol 11-25 09:00 1", "bob 11-25 09:00 0", "peter 11-25 09:00 0")
	for who, want := range map[string]int{"nobody": 3, "alice": 1, "bob": 0} { // once an hour
		if n := bytes.Count(d.log.Bytes(), []byte("not in the roster is told nothing\" member="+who)); n != want {
			t.Errorf("the log names %s %d times, want %d: %s", who, n, want, d.log.Bytes())
		}
	}
	if len(d.state.Failed) > 0 {
		t.Errorf("%v", d.state.Failed)
	}
}

// TestEverythingIsSettledAtTheHour has work come before members are told: nobody hears of it before the next hour.
func TestEverythingIsSettledAtTheHour(t *testing.T) {
	d := newNotifyDesk(t, "UTC", "2026-11-23 08:59", "09:00")
	d.name("alice", "bob")
	d.work = func(_ context.Context, m *roster.Member) (bool, error) {
		return m.Name() == "alice" || d.wall.Minute() > 0, nil
	}
	d.start()
	d.pass(2 * time.Hour)
	d.expect("alice 11-23 09:00 1")
}

// TestFailuresAreTriedAgain fails, for a while, for good and with hope.
func TestFailuresAreTriedAgain(t *testing.T) {
	d := newNotifyDesk(t, "UTC", "2026-11-23 08:59", "09:00")
	d.name("alice", "bob", "carol")
	tries := make(map[string]int)
	for i, r := range d.recipients {
		send := r.send
		d.recipients[i].send = func(ctx context.Context, n notice) error {
			tries[r.member]++
			return send(ctx, n)
		}
	}
	d.fails["alice"] = errors.New("the mail server is down")
	d.fails["bob"] = finalError{errors.New("the mail server refuses bob@city.example")}
	d.start()
	d.pass(time.Minute + tellAfter)
	d.pass(0)
	d.expect("carol 11-23 09:00 1")
	want := []outcome{{"alice", "mail", "the mail server is down"}, {"bob", "mail", "the mail server refuses the address of bob"}}
	if !slices.Equal(d.state.Failed, want) {
		t.Errorf("%q", d.state.Failed)
	}
	d.pass(5 * time.Minute)
	first := d.deliveries[0].notice
	delete(d.fails, "alice")
	d.pass(5 * time.Minute)
	if tries["alice"] != 4 || tries["bob"] != 1 || tries["carol"] != 1 {
		t.Errorf("%v", tries)
	}
	if len(d.told) != 1 || d.told[0].notice != first {
		t.Errorf("%v, first %v", d.told, first)
	}
	d.expect("alice 11-23 09:00 1")
	if kept, err := readNotifyState(d.file); err != nil || !slices.Equal(kept.Failed, want[1:]) {
		t.Errorf("kept is %v, %v", kept, err)
	}
	for _, want := range []string{
		`level=ERROR msg="a notification was not delivered" member=alice by=mail error="the mail server is down" again="in 1m0s"`,
		`member=alice by=mail error="the mail server is down" again="in 2m0s"`,
		`member=bob by=mail error="the mail server refuses the address of bob" again="at the next hour"`,
		`msg="a notification was delivered after all" member=alice by=mail`,
	} {
		if !bytes.Contains(d.log.Bytes(), []byte(want)) {
			t.Errorf("the log does not say %s:\n%s", want, d.log.Bytes())
		}
	}
	if bytes.Contains(d.log.Bytes(), []byte("@city.example")) {
		t.Errorf("the log names an address: %s", d.log.Bytes())
	}

	// For the whole hour.
	clear(tries)
	d.fails["alice"] = errors.New("the mail server is down")
	d.pass(day + time.Hour)
	if tries["alice"] != 6 || tries["bob"] != 1 {
		t.Errorf("%v", tries)
	}
	d.expect("carol 11-24 09:00 1")
	if n := bytes.Count(d.log.Bytes(), []byte(`error="the mail server is down" again="at the next hour"`)); n != 1 {
		t.Errorf("given up %d times: %s", n, d.log.Bytes())
	}
}

// TestStruckMeanwhile strikes a member whose notice is to be tried again.
func TestStruckMeanwhile(t *testing.T) {
	d := newNotifyDesk(t, "UTC", "2026-11-23 08:59", "09:00")
	d.fails["alice"] = errors.New("down")
	d.start()
	d.pass(tellAfter + 2*time.Minute)
	d.org.Strike("alice")
	d.org.Install()
	delete(d.fails, "alice")
	d.pass(time.Hour)
	d.expect()
	if len(d.state.Failed) > 0 {
		t.Errorf("%v", d.state.Failed)
	}
}

func TestWorkThatCannotBeFoundOut(t *testing.T) {
	d := newNotifyDesk(t, "UTC", "2026-11-23 08:59", "09:00")
	d.work = func(context.Context, *roster.Member) (bool, error) { return false, errors.New("the disk is gone") }
	d.always = true
	d.start()
	d.pass(tellAfter + time.Minute)
	d.expect()
	if want := []outcome{{"alice", "mail", "whether there is work could not be found out"}}; !slices.Equal(d.state.Failed, want) {
		t.Errorf("%q", d.state.Failed)
	}
	if !bytes.Contains(d.log.Bytes(), []byte("the disk is gone")) {
		t.Errorf("the log says %s", d.log.Bytes())
	}
	d.work = func(context.Context, *roster.Member) (bool, error) { return false, nil }
	d.pass(4 * time.Minute)
	d.expect("alice 11-23 09:00 0")
}

// TestStopWhileTelling is stopped in the midst of it: that is no failure, and
// nobody else is told.
func TestStopWhileTelling(t *testing.T) {
	d := newNotifyDesk(t, "UTC", "2026-11-23 09:00", "09:00")
	d.name("alice", "bob")
	ctx, cancel := context.WithCancel(t.Context())
	d.recipients[0].send = func(ctx context.Context, _ notice) error {
		cancel()
		return ctx.Err()
	}
	d.start()
	d.jump(day)
	d.step(ctx)
	d.jump(tellAfter)
	d.step(ctx)
	if ctx.Err() == nil {
		t.Fatal("nobody was told")
	}
	d.expect()
	if len(d.state.Failed) > 0 || strings.Contains(string(d.log.Bytes()), "not delivered") {
		t.Errorf("%v, %s", d.state.Failed, d.log.Bytes())
	}
}
