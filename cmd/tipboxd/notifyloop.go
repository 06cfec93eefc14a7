package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/renameio/v2"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
)

// clockLayout is a time of day, as in tipbox.toml.
const clockLayout = "15:04"

// tidings is what a member is told.
type tidings int

const (
	tidingsNothing tidings = iota
	tidingsWork
	tidingsTest
)

// A notice is what is sent: no more than this of a case, a source or the time.
type notice struct {
	says tidings
	hour time.Time // the fixed hour, whenever it is sent
	id   string    // random, and the same if it is sent again
}

// A recipient is a member and a way to tell them.
type recipient struct {
	member  string
	by      string // "mail" or "webhook"
	address string // not to be shown, or ""
	timeout time.Duration
	send    func(context.Context, notice) error
}

// deliveryTime is how long one delivery may take.
const deliveryTime = time.Minute

// recipients are those of the configuration, in its order.
func (f *folder) recipients(log *slog.Logger) (all []recipient) {
	c := f.config.Notify
	m := &mailer{
		server: c.SMTP.Server, from: c.SMTP.From, user: c.SMTP.User,
		passwordFile: f.besides(c.SMTP.PasswordFile), caFile: f.besides(c.SMTP.CAFile), log: log,
	}
	for _, to := range c.Mail {
		all = append(all, recipient{to.Member, "mail", to.Address, deliveryTime, func(ctx context.Context, n notice) error {
			return m.send(ctx, to.Address, n)
		}})
	}
	for _, to := range c.Webhook {
		h := &hook{url: to.URL, tokenFile: f.besides(to.TokenFile), caFile: f.besides(to.CAFile)}
		all = append(all, recipient{to.Member, "webhook", "", deliveryTime, h.send})
	}
	return all
}

// A finalError is one that is there to stay: trying again is of no use.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// deliver sends the notice. It returns in words why it could not, "" if it
// could, and whether that may be another time.
func (r recipient) deliver(ctx context.Context, n notice) (why string, again bool) {
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	err := r.send(limited, n)
	if err == nil {
		return "", false
	}
	if limited.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Sprintf("it was not done after %v", r.timeout), true
	}
	var final finalError
	return r.words(err.Error()), !errors.As(err, &final)
}

// words is an error, in which the other end may have its say, on one short line
// and without the address.
func (r recipient) words(text string) string {
	if r.address != "" {
		text = regexp.MustCompile("(?i)"+regexp.QuoteMeta(r.address)).ReplaceAllLiteralString(text, "the address of "+r.member)
	}
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }), " ")
	if most := 300; len([]rune(text)) > most {
		text = string([]rune(text)[:most]) + "…"
	}
	return text
}

// A notifier tells members at fixed hours that there is work.
//
// Who is told what is settled at the hour, and in an order that does not depend
// on it. They are told a fixed time after that: if it were as soon as everything
// is settled, the time of the first mail would tell how long it took.
//
// Each hour of a day is done once: it is written down before the first is told,
// and tried again for an hour if it fails. An hour that passed while the server
// was down or asleep is made up for at once, which takes the same time, if the day
// is still the same, and only the last of several. One that was settled is also
// made up for on another day: it would have been told, had the server gone on.
// Whatever the clock does, calm lies between any two.
type notifier struct {
	hours      []string // sorted
	location   *time.Location
	always     bool
	recipients []recipient
	roster     func() *roster.Roster
	hasWork    func(context.Context, *roster.Member) (bool, error)
	file       string // keeps state
	log        *slog.Logger
	now        func() time.Time     // which may be set
	running    func() time.Duration // since the start, which nobody sets
	tellAfter  time.Duration        // tellAfter, but for tests

	state      notifyState
	settled    string        // the hour that is settled and not told yet, or ""
	tellAt     time.Time     // when it is told, if nobody sets the clock
	deliveries []*delivery   // of the last hour
	begun      time.Duration // when it was settled or, later, told, as running
	next       time.Duration // when those that failed are tried again
	pause      time.Duration // the time between the tries after that
}

// notifyName is the file with what was done, in the folder. It is no part of a
// backup: where it is missing, nothing was missed.
const notifyName = "notify.json"

// A notifyState is what was done.
type notifyState struct {
	Done    []string  `json:"done"`              // hours, as 2006-01-02 15:04, in the order in which they were done
	Failed  []outcome `json:"failed"`            // at the last
	Settled string    `json:"settled,omitempty"` // an hour that is not done yet, though it was settled
}

// maxDone is how many hours are remembered: those of four days at the least.
const maxDone = 100

// An outcome is what became of a notice.
type outcome struct {
	Member string `json:"member"`
	By     string `json:"by"`
	Error  string `json:"error,omitempty"` // in words, or "" if it was delivered
}

// A delivery is a notice on its way.
type delivery struct {
	recipient
	notice notice
	known  bool   // what it says
	over   bool   // or will not be tried again
	why    string // it failed the last time, or ""
}

const (
	calm       = 10 * time.Minute
	tellAfter  = 5 * time.Minute // the hour
	settleTime = 4 * time.Minute // at the most, so that everything is settled by then
	firstPause = time.Minute     // doubled each time
)

// serveNotices runs the folder's notifier until stop is called, which waits until
// it has left off.
func (f *folder) serveNotices(ctx context.Context, a *app) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.notify(ctx, a)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (f *folder) notify(ctx context.Context, a *app) {
	if len(f.config.Notify.Hours) == 0 {
		return
	}
	if err := f.checkNotifyFiles(); err != nil {
		a.log.Error("members will not be notified unless this is put right", "error", err)
	}
	start := time.Now()
	n := &notifier{
		hours: slices.Sorted(slices.Values(f.config.Notify.Hours)), location: f.location, always: f.config.Notify.Always,
		recipients: f.recipients(a.log), roster: f.service.Roster, hasWork: f.service.HasWork,
		file: f.file(notifyName), log: a.log,
		now: time.Now, running: func() time.Duration { return time.Since(start) }, tellAfter: a.tellAfter,
	}
	n.start()
	for {
		wait := n.step(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// checkNotifyFiles looks whether the files that notifications take can be read.
func (f *folder) checkNotifyFiles() error {
	var errs []error
	look := func(secret, ca string) {
		if secret != "" {
			_, err := readSecret(f.besides(secret))
			errs = append(errs, err)
		}
		_, err := clientTLS("", f.besides(ca))
		errs = append(errs, err)
	}
	c := f.config.Notify
	look(c.SMTP.PasswordFile, c.SMTP.CAFile)
	for _, w := range c.Webhook {
		look(w.TokenFile, w.CAFile)
	}
	return errors.Join(errs...)
}

// start reads what was done before.
func (n *notifier) start() {
	n.begun = -calm
	var err error
	if n.state, err = readNotifyState(n.file); err == nil {
		return
	}
	if !errors.Is(err, os.ErrNotExist) {
		n.log.Error("what was notified is not known, so nothing is made up for", "error", err)
	}
	n.state = notifyState{}
	if hour := n.lastHour(n.now()); hour != "" {
		n.state.Done = []string{hour}
	}
	n.save()
}

// step does what is to be done by now, and returns the time until there may be
// more.
func (n *notifier) step(ctx context.Context) (wait time.Duration) {
	if hour := n.undone(n.now()); n.settled == "" && hour != "" && n.running()-n.begun >= calm {
		n.begin(ctx, hour)
	}
	if n.settled != "" && n.timeToTell() && ctx.Err() == nil {
		n.writeDown()
	}
	if n.settled == "" && n.waiting() && n.running() >= n.next {
		n.round(ctx)
	}
	now := n.now()
	return now.Truncate(time.Minute).Add(time.Minute).Sub(now)
}

// undone is the hour that is to be done by now, or "".
func (n *notifier) undone(now time.Time) string {
	if hour := n.lastHour(now); hour != "" && !slices.Contains(n.state.Done, hour) {
		return hour
	}
	return n.state.Settled // by a server that ended before it was told
}

// timeToTell goes by the clock on the wall, as long as nobody sets it back.
func (n *notifier) timeToTell() bool {
	return !n.now().Round(0).Before(n.tellAt) || n.running()-n.begun >= n.tellAfter+time.Minute
}

// lastHour is the last of the hours that has come on the day, or "". It goes by
// what the clock on the wall shows: an hour that a change of the clocks leaves
// out has come with the next one, and one that it repeats comes once.
func (n *notifier) lastHour(now time.Time) string {
	now = now.In(n.location)
	clock, last := now.Format(clockLayout), ""
	for _, hour := range n.hours {
		if hour <= clock {
			last = now.Format(time.DateOnly) + " " + hour
		}
	}
	return last
}

// begin settles what everybody is told of the hour, and when.
func (n *notifier) begin(ctx context.Context, hour string) {
	n.begun = n.running()
	n.tellAt = n.now().Truncate(time.Minute).Add(n.tellAfter)
	at, err := time.ParseInLocation(time.DateOnly+" "+clockLayout, hour, n.location)
	if err != nil {
		n.log.Error("members are not notified", "error", err)
		n.state.Settled = ""
		return
	}
	before := n.state
	n.state.Settled = hour
	if n.state.Settled != before.Settled && !n.save() { // try again after calm
		n.state = before
		return
	}
	n.settled, n.deliveries = hour, nil
	for _, r := range n.recipients {
		n.deliveries = append(n.deliveries, &delivery{recipient: r, notice: newNotice(tidingsNothing, at)})
	}
	n.settle(ctx)
}

// writeDown writes down that the hour that is settled is done, so that its first
// round may follow.
func (n *notifier) writeDown() {
	n.begun = n.running()
	before := n.state
	n.state = notifyState{Done: append(slices.Clone(before.Done[max(0, len(before.Done)-maxDone+1):]), n.settled)}
	n.settled, n.next, n.pause = "", n.begun, firstPause
	if !n.save() { // nobody is to be told twice: try again after calm
		n.state, n.deliveries = before, nil
	}
}

func (n *notifier) waiting() bool {
	return slices.ContainsFunc(n.deliveries, func(d *delivery) bool { return !d.over })
}

// round tries once what is not over.
func (n *notifier) round(ctx context.Context) {
	var tried []*delivery
	for _, d := range n.deliveries {
		if !d.over {
			tried = append(tried, d)
		}
	}
	for _, d := range tried {
		if d.known {
			n.send(ctx, d)
		}
		if ctx.Err() != nil {
			return
		}
	}
	n.next = n.running() + n.pause
	n.settle(ctx) // what could not be yet, for the next round
	if ctx.Err() != nil {
		return
	}
	more := n.next < n.begun+hoursApart
	for _, d := range tried {
		d.over = d.over || !more
		if d.why == "" {
			continue
		}
		again := "at the next hour"
		if !d.over {
			again = "in " + n.pause.String()
		}
		n.log.Error("a notification was not delivered", "member", d.member, "by", d.by, "error", d.why, "again", again)
	}
	n.pause *= 2
	n.record()
}

// settle finds out what members are to be told, as far as it is not known.
func (n *notifier) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for _, d := range n.deliveries {
		if !d.known && !d.over {
			n.settleOne(ctx, d)
		}
	}
}

func (n *notifier) settleOne(ctx context.Context, d *delivery) {
	m := n.member(d)
	if m == nil {
		n.log.Warn("who is named in [notify] and not in the roster is told nothing", "member", d.member, "by", d.by)
		return
	}
	work, err := n.hasWork(ctx, m)
	if err != nil && !errors.Is(err, tipbox.ErrForbidden) { // which is a role that reads no tips
		if ctx.Err() == nil {
			n.log.Error("looking for a member's work: run tipboxd check", "member", d.member, "error", err)
		}
		d.why = "whether there is work could not be found out"
		return
	}
	d.known, d.over, d.why = true, !work && !n.always, ""
	if work {
		d.notice.says = tidingsWork
	}
}

// member is who is to be told, as the roster in force has them. If it has not,
// that is the end of it.
func (n *notifier) member(d *delivery) *roster.Member {
	m := n.roster().Member(d.member)
	if m == nil {
		d.over, d.why = true, ""
	}
	return m
}

func (n *notifier) send(ctx context.Context, d *delivery) {
	if n.member(d) == nil { // struck since
		return
	}
	before := d.why
	why, again := d.deliver(ctx, d.notice)
	d.why, d.over = why, !again
	if why == "" && before != "" {
		n.log.Info("a notification was delivered after all", "member", d.member, "by", d.by)
	}
}

// record keeps what failed, for the operator.
func (n *notifier) record() {
	var failed []outcome
	for _, d := range n.deliveries {
		if d.why != "" {
			failed = append(failed, outcome{d.member, d.by, d.why})
		}
	}
	if !slices.Equal(failed, n.state.Failed) {
		n.state.Failed = failed
		n.save()
	}
}

// save keeps the state, durably.
func (n *notifier) save() bool {
	text, err := json.Marshal(n.state)
	if err == nil {
		err = renameio.WriteFile(n.file, append(text, '\n'), 0o600)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(n.file))
	}
	if err != nil {
		n.log.Error("what was notified cannot be written down, and nobody is to be told twice", "error", err)
	}
	return err == nil
}

func readNotifyState(file string) (s notifyState, err error) {
	text, err := readFile(file)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

func newNotice(says tidings, hour time.Time) notice {
	id := make([]byte, 16)
	rand.Read(id) // never fails
	return notice{says, hour, hex.EncodeToString(id)}
}
