package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2"

	"tipbox/crypto/onion"
	"tipbox/crypto/roster"
	"tipbox/static"
	"tipbox/store/bolt"
	"tipbox/store/dir"
	"tipbox/tipbox"
	"tipbox/tipbox/web"
)

// Files of a server's folder. The folder is 0700, its files 0600.
const (
	configName   = "tipbox.toml"
	databaseName = "tipbox.db"
	blobsName    = "blobs"
	rosterName   = "roster.note"
	siteName     = "site"
	deskKeyName  = "desk.key" // names the server to members
	deskPubName  = "desk.pub" // its verifier key, for the roster
)

// A config is what tipbox.toml says.
type config struct {
	Root     string `toml:"root" comment:"The verifier key of the organisation's root key, which signs roster.note."`
	Listen   string `toml:"listen" comment:"Where sources' pages are served, over plain HTTP: HOST:PORT, or unix: and the path of a socket, for tor or a TLS terminator."`
	Desk     string `toml:"desk" comment:"Where members' tools connect: HOST:PORT, or unix: and the path of a socket."`
	Onion    string `toml:"onion" comment:"The address of the onion service that leads to sources' pages, as tor wrote it into hostname: 56 letters and .onion. Empty if there is none."`
	Timezone string `toml:"timezone" comment:"Of the organisation's days, such as Asia/Shanghai."`
	MaxFile  int64  `toml:"max_file_mib" comment:"The largest attachment, in MiB. The form says so."`
	Reserve  int64  `toml:"reserve_mib" comment:"Room on the disk, in MiB, that is kept for texts: with less, no attachments are taken, and the form says so."`

	TLS tlsConfig `toml:"tls,omitempty"`

	BackupRecipients []string `toml:"backup_recipients" comment:"Who may open the backups, age1pq1… for each. Their keys are not to be on this machine."`

	Notify notifyConfig `toml:"notify" comment:"Tells members at fixed hours that there is work, and nothing else."`
}

func (c config) addresses() listenAddresses { return listenAddresses{c.Listen, c.Desk} }

func defaultConfig() config {
	return config{
		Listen: "127.0.0.1:8080", Desk: "127.0.0.1:8081", Timezone: "UTC",
		MaxFile: tipbox.DefaultMaxFile >> 20, Reserve: 256, BackupRecipients: []string{},
	}
}

// A folder is an open server's folder.
type folder struct {
	path     string
	config   config
	location *time.Location
	key      *roster.SigningKey
	db       *bolt.DB
	blobs    *dir.Blobs
	channels []tipbox.Channel
	service  *tipbox.Service

	// Of a folder that is served.
	listens  listenAddresses
	certs    certificates // nil without [tls]
	observer *observer
	prober   *prober
	sources  *crowd
	members  *crowd
}

// openFolder opens a folder, which no other process may have open, and its
// roster.
func openFolder(ctx context.Context, path string, log *slog.Logger) (*folder, error) {
	if err := checkModes(path); err != nil {
		return nil, err
	}
	f := &folder{path: path}
	if err := f.readConfig(); err != nil {
		return nil, err
	}
	if err := f.readKey(); err != nil {
		return nil, err
	}
	var err error
	f.channels, err = loadChannels(f.file(siteName))
	if err != nil {
		return nil, err
	}
	signed, err := readFile(f.file(rosterName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s: let the root key's holder enter %s into the roster, sign it, and put it there", f.file(rosterName), f.file(deskPubName))
	}
	if err != nil {
		return nil, err
	}
	if f.db, err = openDatabase(f.file(databaseName), f.day); err != nil {
		return nil, err
	}
	if err := f.openService(ctx, signed, log); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// day is when the organisation's day began.
func (f *folder) day() time.Time {
	year, month, day := time.Now().In(f.location).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, f.location)
}

// openDatabase opens a database that must be there. Its times will be those of the
// day, if there is one.
func openDatabase(path string, day func() time.Time) (*bolt.DB, error) {
	db, err := bolt.Open(path, &bolt.Config{MustExist: true, Day: day})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing, and with it every tip: is a disk not mounted? Put the database back; nothing was changed", path)
	}
	return db, err
}

func (f *folder) openService(ctx context.Context, signed []byte, log *slog.Logger) error {
	blobs, err := dir.Open(f.file(blobsName), &dir.Config{Day: f.day})
	if err != nil {
		return err
	}
	f.blobs = blobs
	f.service, err = tipbox.New(tipbox.Config{
		Store: f.db, Blobs: blobs, Root: f.config.Root, Channels: f.channels,
		MaxFile: f.config.MaxFile << 20, Location: f.location, Log: log,
		Free: func() (int64, error) { return freeSpace(f.file(blobsName)) }, Reserve: f.config.Reserve << 20,
		SignProof: f.key.Sign,
	})
	if err != nil {
		return err
	}
	if err := f.service.Migrate(ctx); err != nil {
		return fmt.Errorf("%s: %w", f.file(databaseName), err)
	}
	if err := f.service.InstallRoster(ctx, signed); err != nil {
		return fmt.Errorf("%s: %w", f.file(rosterName), err)
	}
	return nil
}

// errUnfit means that a roster leaves the server useless.
var errUnfit = errors.New("unfit for this server")

// fit checks that somebody could read a tip and reach this server.
func (f *folder) fit(r *roster.Roster) error {
	if !slices.ContainsFunc(f.channels, func(c tipbox.Channel) bool { return len(r.Investigators(c.ID)) > 0 }) {
		return fmt.Errorf("%w: nobody could read a tip, since no channel of the site has an investigator in %s", errUnfit, f.file(rosterName))
	}
	if !r.HasServer(f.key.Public()) {
		return fmt.Errorf("%w: this server is not in %s, so members' tools would refuse it: tipbox roster add %s, sign, and try again",
			errUnfit, f.file(rosterName), f.file(deskPubName))
	}
	return nil
}

// Close releases the folder.
func (f *folder) Close() error {
	var err error
	if f.blobs != nil {
		err = f.blobs.Close()
	}
	return errors.Join(err, f.db.Close())
}

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

func (f *folder) readConfig() error {
	text, err := readFile(f.file(configName))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is no server's folder: make one with tipboxd init %s --root KEY", f.path, f.path)
	}
	if err != nil {
		return err
	}
	f.config = defaultConfig()
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s: %s", f.file(configName), fmt.Sprintf(format, args...))
	}
	if err := decodeTOML(text, &f.config); err != nil {
		return fail("%v", err)
	}
	if _, _, err := roster.VerifierPublic(f.config.Root); err != nil {
		return fail("root: %v", err)
	}
	if err := f.config.addresses().check(); err != nil {
		return fail("%v", err)
	}
	if f.config.Onion != "" {
		if err := onion.CheckAddress(f.config.Onion); err != nil {
			return fail("onion: %v", err)
		}
	}
	if f.location, err = time.LoadLocation(f.config.Timezone); err != nil {
		return fail("timezone: %v", err)
	}
	if f.config.MaxFile < 1 || f.config.MaxFile > 1<<20 {
		return fail("max_file_mib: %d is not between 1 and %d", f.config.MaxFile, 1<<20)
	}
	if f.config.Reserve < 0 || f.config.Reserve > 1<<30 {
		return fail("reserve_mib: %d is not between 0 and %d", f.config.Reserve, 1<<30)
	}
	if _, err := hybridRecipients(f.config.BackupRecipients); err != nil {
		return fail("backup_recipients: %v", err)
	}
	if err := f.config.TLS.check(); err != nil {
		return fail("tls: %v", err)
	}
	if err := f.config.Notify.check(); err != nil {
		return fail("notify: %v", err)
	}
	return nil
}

// readChecked reads the settings of a folder that is closed to others.
func (f *folder) readChecked() error {
	if err := checkModes(f.path); err != nil {
		return err
	}
	return f.readConfig()
}

// decodeTOML reads a file of settings. An error shows the lines that are wrong.
func decodeTOML(text []byte, v any) error {
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(v)
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		return fmt.Errorf("there is no such setting:\n%s", strict.String())
	}
	var syntax *toml.DecodeError
	if errors.As(err, &syntax) {
		return errors.New(syntax.String())
	}
	return err
}

// checkModes refuses a folder of which others can read or write a part.
func checkModes(path string) error {
	for _, name := range []string{".", configName, databaseName, blobsName, deskKeyName, acmeName} {
		file := filepath.Join(path, name)
		info, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // missed where it is needed
		}
		if err != nil {
			return err
		}
		if err := closedToOthers(file, info); err != nil {
			return err
		}
	}
	return nil
}

func closedToOthers(file string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("others can read %s (mode %04o): run chmod go= %s", file, mode, file)
	}
	return nil
}

// loadChannels reads channels.toml of the site.
func loadChannels(site string) ([]tipbox.Channel, error) {
	const name = "channels.toml"
	fail := func(err error) ([]tipbox.Channel, error) {
		return nil, fmt.Errorf("%s (or the default of the site): %w", filepath.Join(site, name), err)
	}
	text, err := fs.ReadFile(static.Site(site), name)
	if err != nil {
		return fail(err)
	}
	var file struct {
		Channel []tipbox.Channel `toml:"channel"`
	}
	if err := decodeTOML(text, &file); err != nil {
		return fail(err)
	}
	seen := make(map[string]bool)
	for _, c := range file.Channel {
		if err := roster.CheckName(c.ID); err != nil {
			return fail(fmt.Errorf("channel id %w", err))
		}
		if seen[c.ID] {
			return fail(fmt.Errorf("channel %s is there twice", c.ID))
		}
		seen[c.ID] = true
		if err := tipbox.CheckKind(c.Kind); err != nil {
			return fail(fmt.Errorf("channel %s: %w", c.ID, err))
		}
		if c.Title["en"] == "" {
			return fail(fmt.Errorf("channel %s has no title in \"en\", which stands in for languages without one (it has %v)", c.ID, slices.Sorted(maps.Keys(c.Title))))
		}
	}
	return file.Channel, nil
}

// loadLook reads what the site says of how pages look. It is not needed to open a
// folder: no fault of it keeps anybody from a backup.
func (f *folder) loadLook() (*web.Look, error) {
	look, err := web.LoadLook(static.Site(f.file(siteName)))
	if err != nil {
		return nil, fmt.Errorf("%s (or the default of the site): %w", f.file(siteName), err)
	}
	return look, nil
}

// loadSchedule reads schedule.toml of the site, which is no promise before the
// root key's holder has entered it into the roster.
func loadSchedule(site string) (*roster.Schedule, error) {
	const name = "schedule.toml"
	schedule := new(roster.Schedule)
	text, err := fs.ReadFile(static.Site(site), name)
	if err == nil {
		err = decodeTOML(text, schedule)
	}
	if err == nil {
		err = schedule.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("%s (or the default of the site): %w", filepath.Join(site, name), err)
	}
	return schedule, nil
}
