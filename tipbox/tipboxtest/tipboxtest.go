// Package tipboxtest makes a whole organisation for tests: a service on stores
// in memory, a clock that stands still, members with throwaway keys.
//
// When the test ends it checks what must always hold: the store is whole, no
// blob is an orphan, and the [Canary], which tests put into everything that is
// secret, is nowhere in what the service stored or logged.
package tipboxtest

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/tipbox"
)

// Canary is planted in secrets and must be found nowhere. Its length makes
// sure that some part of it survives in every base64 alignment.
const Canary = "canary-kanarienvogel-金丝雀-0123456789abcdefghijklmnopqrstuvwxyz"

// Config changes what New makes. The zero Config is a good one.
type Config struct {
	Store   store.Store // mem.New() if nil
	Blobs   store.Blobs // mem.NewBlobs() if nil
	MaxFile int64       // 16 MiB if 0

	KeepDays int    // retention of each channel
	Proof    bool   // each channel offers proofs
	Kind     string // of each channel

	Free    func() (int64, error) // no end of room if nil
	Reserve int64
}

// An Org is an organisation. Its members are
//
//	alice    investigator of off-book-funds, Ms Alice of the audit office
//	bob      investigator of off-book-funds and bribery, of the inspectorate
//	carol    reviewer
//	peter    approver
type Org struct {
	Service *tipbox.Service
	Store   store.Store
	Blobs   store.Blobs
	Clock   *Clock
	Root    *roster.SigningKey
	Server  *roster.SigningKey // the desk's
	Log     *Log

	t         testing.TB
	draft     *roster.Roster
	tolerated string
	members   map[string]*roster.MemberKey
}

// New makes an organisation and cleans up after the test.
func New(t testing.TB, cfg Config) *Org {
	t.Helper()
	o := &Org{
		Store: cfg.Store, Blobs: cfg.Blobs, t: t, Log: new(Log),
		Clock:   &Clock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)},
		members: make(map[string]*roster.MemberKey),
	}
	if o.Store == nil {
		o.Store = mem.New()
	}
	if o.Blobs == nil {
		o.Blobs = mem.NewBlobs()
	}
	if cfg.MaxFile == 0 {
		cfg.MaxFile = 16 << 20
	}
	o.Root, o.Server = o.signingKey("root"), o.signingKey("desk")
	o.draft = &roster.Roster{Organisation: "Example City", Day: "2026-11-22", Servers: []string{o.Server.Verifier()}}
	o.Enter("alice", &roster.Member{
		Roles: []roster.Role{roster.Investigator}, Channels: []string{"off-book-funds"},
		Title: "Ms Alice", Unit: "Audit office",
	})
	o.Enter("bob", &roster.Member{
		Roles: []roster.Role{roster.Investigator}, Channels: []string{"off-book-funds", "bribery"},
		Title: "Mr Bob", Unit: "Inspectorate",
	})
	o.Enter("carol", &roster.Member{Roles: []roster.Role{roster.Reviewer}})
	o.Enter("peter", &roster.Member{Roles: []roster.Role{roster.Approver}})
	service, err := tipbox.New(tipbox.Config{
		Store: o.Store, Blobs: o.Blobs, Root: o.Root.Verifier(), MaxFile: cfg.MaxFile, Now: o.Clock.Now,
		Free: cfg.Free, Reserve: cfg.Reserve,
		Log:       slog.New(slog.NewTextHandler(o.Log, nil)),
		SignProof: o.Server.Sign,
		Channels: []tipbox.Channel{
			cfg.channel("off-book-funds", "Off-book funds", "小金库"),
			cfg.channel("bribery", "Bribery", "贿赂"),
			cfg.channel("unread", "Nobody reads this", "无人阅读"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Service = service
	o.Install()
	t.Cleanup(o.check)
	return o
}

func (cfg Config) channel(id, en, zh string) tipbox.Channel {
	return tipbox.Channel{
		ID:       id,
		KeepDays: cfg.KeepDays, Proof: cfg.Proof, Kind: cfg.Kind,
		Title:    map[string]string{"en": en, "zh-Hans": zh},
		Guidance: map[string]string{"en": en + ", in a sentence.", "zh-Hans": zh + "。"},
	}
}

func (o *Org) signingKey(name string) *roster.SigningKey {
	o.t.Helper()
	key, err := roster.NewSigningKey(name)
	if err != nil {
		o.t.Fatal(err)
	}
	return key
}

// Enter puts a member into the roster, with a new key if the name is new. It
// is in force after Install.
func (o *Org) Enter(name string, m *roster.Member) {
	o.t.Helper()
	key := o.members[name]
	if key == nil {
		var err error
		if key, err = roster.NewMemberKey(name); err != nil {
			o.t.Fatal(err)
		}
		o.members[name] = key
	}
	card, err := key.Card()
	if err != nil {
		o.t.Fatal(err)
	}
	m.CardText = card.Text
	fresh := len(o.draft.Ever(name)) == 0
	if err := o.draft.Add(m, o.draft.Day); err != nil {
		o.t.Fatal(err)
	}
	if fresh {
		m.Since = "" // wherever the test's clock stands
	}
}

// Strike removes a member from the roster; in force after Install.
func (o *Org) Strike(name string) { o.draft.Remove(name, o.draft.Day) }

// StrikeAtSigning removes a member from the roster as its draft does; in force
// after Install.
func (o *Org) StrikeAtSigning(name string) { o.draft.Remove(name, roster.AtSigning) }

// StrikeUntil removes a member from the roster as of a day; in force after Install.
func (o *Org) StrikeUntil(name, day string) { o.draft.Remove(name, day) }

// Rekey enters a member with a new key; in force after Install.
func (o *Org) Rekey(name string, m *roster.Member) {
	o.t.Helper()
	delete(o.members, name)
	o.Enter(name, m)
}

// SetDay sets the day of the roster's next signature.
func (o *Org) SetDay(day string) { o.draft.Day = day }

// Tolerate says that the check at the end may find a problem of those words.
func (o *Org) Tolerate(words string) { o.tolerated = words }

// Install signs the roster under the next serial number and puts it in force.
func (o *Org) Install() {
	o.t.Helper()
	o.draft.Serial++
	signed, err := o.draft.Sign(o.Root)
	if err != nil {
		o.t.Fatal(err)
	}
	if err := o.Service.InstallRoster(context.Background(), signed); err != nil {
		o.t.Fatal(err)
	}
}

// SetRules puts other rules of channels into the roster, and installs it.
func (o *Org) SetRules(rules ...roster.Rule) {
	o.t.Helper()
	o.draft.Rules = rules
	o.Install()
}

// SetSchedules puts other scales of rewards into the roster, and installs it.
func (o *Org) SetSchedules(schedules ...roster.Schedule) {
	o.t.Helper()
	o.draft.Schedules = schedules
	o.Install()
}

// SetHolidays puts days off into the roster, and installs it.
func (o *Org) SetHolidays(days ...string) {
	o.t.Helper()
	o.draft.Holidays = days
	o.Install()
}

// Key is a member's key.
func (o *Org) Key(name string) *roster.MemberKey { return o.members[name] }

// Member is a member as the roster in force has it, or nil.
func (o *Org) Member(name string) *roster.Member { return o.Service.Roster().Member(name) }

// A File is an attachment to send.
type File struct{ Name, Type, Content string }

// Draft begins a tip with a fresh form and attaches the files.
func (o *Org) Draft(files ...File) *tipbox.Draft {
	o.t.Helper()
	token, err := o.Service.FormToken(context.Background())
	if err != nil {
		o.t.Fatal(err)
	}
	d, err := o.Service.NewTip(context.Background(), token)
	if err != nil {
		o.t.Fatal(err)
	}
	o.Attach(d, files...)
	return d
}

// Attach attaches files to a draft.
func (o *Org) Attach(d *tipbox.Draft, files ...File) {
	o.t.Helper()
	for _, f := range files {
		if err := d.Attach(context.Background(), f.Name, f.Type, strings.NewReader(f.Content)); err != nil {
			o.t.Fatal(err)
		}
	}
}

// Submit sends a tip to off-book-funds and returns its receipt.
func (o *Org) Submit(text string, files ...File) *receipt.Code {
	o.t.Helper()
	code, err := o.Service.Submit(context.Background(), o.Draft(files...), tipbox.Submission{Channel: "off-book-funds", Text: text, Lang: "en"})
	if err != nil {
		o.t.Fatal(err)
	}
	return code
}

// Inbox is the whole inbox of a member.
func (o *Org) Inbox(name string) []tipbox.InboxItem {
	o.t.Helper()
	var all []tipbox.InboxItem
	for cursor := ""; ; {
		items, next, err := o.Service.Inbox(context.Background(), o.Member(name), tipbox.InboxFilter{}, cursor, tipbox.MaxPage)
		if err != nil {
			o.t.Fatal(err)
		}
		all = append(all, items...)
		if cursor = next; cursor == "" {
			return all
		}
	}
}

// Open opens a tip with a member's key.
func (o *Org) Open(name, tip string) *tipbox.OpenedTip {
	o.t.Helper()
	file, err := o.Service.Tip(context.Background(), o.Member(name), tip)
	if err != nil {
		o.t.Fatal(err)
	}
	opened, err := tipbox.OpenTip(file, tip, o.Key(name), o.Service.Roster())
	if err != nil {
		o.t.Fatal(err)
	}
	return opened
}

// Reply answers a tip's source.
func (o *Org) Reply(name, tip, text string) {
	o.t.Helper()
	o.Act(name, tip, tipbox.Act{Action: tipbox.ActionReply, Text: text})
}

// Act does something to a case.
func (o *Org) Act(name, tip string, a tipbox.Act) {
	o.t.Helper()
	if err := o.TryAct(name, tip, a); err != nil {
		o.t.Fatal(err)
	}
}

// TryAct does something to a case, which may be refused by the member's tool or
// by the server.
func (o *Org) TryAct(name, tip string, a tipbox.Act) error {
	o.t.Helper()
	note, sealed, err := o.Open(name, tip).Act(o.Key(name), o.Service.Today(), a)
	if err != nil {
		return err
	}
	return o.Service.Append(context.Background(), o.Member(name), tip, note, sealed)
}

// check is what holds at the end of every test.
func (o *Org) check() {
	if o.t.Failed() {
		return
	}
	ctx := context.Background()
	report, err := o.Service.Check(ctx)
	if err != nil {
		o.t.Error(err)
		return
	}
	if o.tolerated != "" {
		report.Problems = slices.DeleteFunc(report.Problems, func(p string) bool { return strings.Contains(p, o.tolerated) })
	}
	if len(report.Problems) > 0 || len(report.Orphans) > 0 {
		o.t.Errorf("the store is not whole: %+v", report)
	}
	for name, content := range o.Stored() {
		if where := FindCanary(content); where != "" {
			o.t.Errorf("%s holds the canary, %s", name, where)
		}
	}
	if where := FindCanary(o.Log.Bytes()); where != "" {
		o.t.Errorf("the log holds the canary, %s", where)
	}
}

// Stored is all that the service keeps: keys with values, and blobs.
func (o *Org) Stored() map[string][]byte {
	o.t.Helper()
	ctx := context.Background()
	all := make(map[string][]byte)
	for after := store.Key(""); ; {
		recs, err := o.Store.Scan(ctx, "", after, store.MaxScan)
		if err != nil {
			o.t.Fatal(err)
		}
		for _, rec := range recs {
			all["record "+string(rec.Key)] = append([]byte(rec.Key+"\n"), rec.Value...)
			after = rec.Key
		}
		if len(recs) < store.MaxScan {
			break
		}
	}
	err := o.Blobs.List(ctx, func(name string, _ int64) error {
		b, err := o.Blobs.Open(ctx, name)
		if err != nil {
			return err
		}
		defer b.Close()
		content, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		all["blob "+name] = content
		return err
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return all
}

// FindCanary looks for the canary, or a good part of it, in the clear or in
// base64 of any alignment. It says how it was found, or "".
func FindCanary(b []byte) string {
	return Find(b, Canary)
}

// Find looks for a secret of at least 24 bytes as FindCanary does.
func Find(b []byte, secret string) string {
	for i := 0; i+12 <= len(secret); i += 12 {
		if bytes.Contains(b, []byte(secret[i:i+12])) {
			return "in the clear"
		}
	}
	for skip := range 3 {
		part := []byte(secret)[skip:]
		part = part[:len(part)/3*3]
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			if text := enc.EncodeToString(part); bytes.Contains(b, []byte(text[:16])) {
				return "in base64"
			}
		}
	}
	return ""
}

// A Clock stands still until it is told otherwise.
type Clock struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d, which may be negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Log collects what is logged.
type Log struct {
	mu   sync.Mutex
	data []byte // guarded by mu
}

// Write appends to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.data = append(l.data, p...)
	return len(p), nil
}

// Bytes is a copy of what was logged.
func (l *Log) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.data)
}
