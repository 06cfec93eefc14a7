package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"tipbox/crypto/roster"
	"tipbox/store"
	"tipbox/tipbox"
)

// copyFolder copies a folder with its files' modes.
func copyFolder(t *testing.T, from string) (to string) {
	t.Helper()
	to = filepath.Join(t.TempDir(), "copy")
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.Mkdir(filepath.Join(to, name), info.Mode().Perm())
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), content, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// resign changes the roster of a demo's folder and signs it anew.
func resign(t *testing.T, dir string, change func(*roster.Roster)) {
	t.Helper()
	root := demoRoot(t, dir)
	signed, err := os.ReadFile(filepath.Join(dir, rosterName))
	if err != nil {
		t.Fatal(err)
	}
	r, err := roster.Open(signed, root.Verifier(), roster.Mark{})
	if err != nil {
		t.Fatal(err)
	}
	r.Serial++
	change(r)
	if signed, err = r.Sign(root); err != nil {
		t.Fatal(err)
	}
	write(t, dir, rosterName, string(signed))
}

func demoRoot(t *testing.T, dir string) *roster.SigningKey {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "root", "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := roster.ParseSigningKey(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reset changes settings of a folder.
func reset(t *testing.T, dir string, change func(*config)) {
	t.Helper()
	f := &folder{path: dir}
	if err := f.readConfig(); err != nil {
		t.Fatal(err)
	}
	change(&f.config)
	text, err := toml.Marshal(f.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, configName, string(text))
}

// enter puts so many members of a role into a roster, with keys that nobody keeps.
func enter(t *testing.T, r *roster.Roster, role roster.Role, channels []string, names ...string) {
	t.Helper()
	for _, name := range names {
		key, err := roster.NewMemberKey(name)
		if err != nil {
			t.Fatal(err)
		}
		card, err := key.Card()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Add(&roster.Member{Roles: []roster.Role{role}, Channels: channels, CardText: card.Text}, r.Day); err != nil {
			t.Fatal(err)
		}
	}
}

// soundFolder is one in which nothing lacks: with a tip, people enough, a schedule that
// somebody has checked, and a backup of today.
func soundFolder(t *testing.T) (dir, tip string) {
	t.Helper()
	dir = newDemo(t, "")
	tip = submitCanary(t, dir)
	resign(t, dir, func(r *roster.Roster) {
		enter(t, r, roster.Investigator, r.Members[slices.IndexFunc(r.Members, func(m *roster.Member) bool { return m.Has(roster.Investigator) })].Channels, "ines")
		enter(t, r, roster.Approver, nil, "ada", "alba", "aino", "ayla", "anna")
		enter(t, r, roster.Payer, nil, "penny")
		r.Schedules[0].Example = false
	})
	if err := keepDay(dir, backupMark, time.Now().UTC()); err != nil {
		t.Fatal(err)
	}
	return dir, tip
}

// soundMachine is one on which nothing lacks.
func soundMachine() machine {
	return machine{
		now: time.Now, free: func(string) (int64, error) { return 100 << 30, nil },
		clock:  func() clockState { return clockKept },
		limits: func() limits { return limits{Files: 1 << 20, LockedMB: math.MaxUint64} },
		swaps:  func() []string { return nil },
		kernel: func() kernel { return kernel{landlock: 7, seccomp: true} },
	}
}

// applyTo changes records of a folder's database.
func applyTo(t *testing.T, dir string, changes ...store.Change) {
	t.Helper()
	db, err := openDatabase(filepath.Join(dir, databaseName), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Apply(t.Context(), changes...), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func has(found []finding, check string, l level, says string) bool {
	return slices.ContainsFunc(found, func(f finding) bool { return f.Check == check && f.Level == l && strings.Contains(f.Says, says) })
}

// TestDoctorNamesEachBrokenSetUp breaks a sound server in every way of a list and has
// each named.
func TestDoctorNamesEachBrokenSetUp(t *testing.T) {
	sound, tip := soundFolder(t)
	tests := []struct {
		name   string
		check  string
		level  level
		says   string
		damage func(t *testing.T, dir string, m *machine)
	}{
		{"no server", "server", levelWarning, "no server is running", nil},
		{"a server that does not answer", "server", levelError, "does not answer as it should", func(t *testing.T, dir string, _ *machine) {
			l, err := net.Listen("unix", filepath.Join(dir, controlName))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
					conn.Write([]byte("what?\n"))
					conn.Close()
				}
			}()
		}},
		{"a database that another process has", "server", levelWarning, "another process has the database", func(t *testing.T, dir string, _ *machine) {
			db, err := openDatabase(filepath.Join(dir, databaseName), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
		}},
		{"a folder that others read", "permissions", levelError, "others can read", func(t *testing.T, dir string, _ *machine) { chmod(t, dir, ".", 0o755) }},
		{"a key that others read", "permissions", levelError, "desk.key (mode 0644)", func(t *testing.T, dir string, _ *machine) { chmod(t, dir, deskKeyName, 0o644) }},
		{"a site that others write", "permissions", levelError, "others can write", func(t *testing.T, dir string, _ *machine) { chmod(t, dir, siteName, 0o777) }},
		{"no database", "permissions", levelError, "is a disk not mounted", func(t *testing.T, dir string, _ *machine) { remove(t, dir, databaseName) }},
		{"no attachments", "permissions", levelError, "is a disk not mounted", func(t *testing.T, dir string, _ *machine) { remove(t, dir, blobsName) }},
		{"no key", "permissions", levelError, "the server's key", func(t *testing.T, dir string, _ *machine) { remove(t, dir, deskKeyName) }},
		{"no settings", "settings", levelError, "is no server's folder", func(t *testing.T, dir string, _ *machine) { remove(t, dir, configName) }},
		{"addresses that nobody knows", "addresses", levelWarning, "unknown without tipbox.toml", func(t *testing.T, dir string, _ *machine) { remove(t, dir, configName) }},
		{"a setting that is none", "settings", levelError, "there is no such setting", func(t *testing.T, dir string, _ *machine) {
			appendTo(t, dir, configName, "\n[spare]\nx = 1\n")
		}},
		{"sources' pages for everybody", "addresses", levelError, "without TLS", func(t *testing.T, dir string, _ *machine) {
			reset(t, dir, func(c *config) { c.Listen = "0.0.0.0:80" })
		}},
		{"sources' pages at a public address", "addresses", levelError, "without TLS", func(t *testing.T, dir string, _ *machine) {
			reset(t, dir, func(c *config) { c.Listen = "[2001:db8::1]:80" })
		}},
		{"sources' pages in the office's network", "addresses", levelWarning, "without TLS", func(t *testing.T, dir string, _ *machine) {
			reset(t, dir, func(c *config) { c.Listen = "192.168.1.2:80" })
		}},
		{"a socket's folder that is not there", "addresses", levelError, "the server does not start", func(t *testing.T, dir string, _ *machine) {
			reset(t, dir, func(c *config) { c.Listen = "unix:" + dir + "/none/s" })
		}},
		{"a socket where others put theirs", "addresses", levelError, "answer in the server's place", func(t *testing.T, dir string, _ *machine) {
			open := t.TempDir()
			chmod(t, open, ".", 0o777|fs.ModeSticky)
			reset(t, dir, func(c *config) { c.Desk = "unix:" + open + "/s" })
		}},
		{"a desk for everybody", "addresses", levelWarning, "the desk listens on all addresses", func(t *testing.T, dir string, _ *machine) {
			reset(t, dir, func(c *config) { c.Desk = ":8081" })
		}},
		{"a certificate that ends soon", "certificate", levelWarning, "expires on", func(t *testing.T, dir string, _ *machine) {
			secure(t, dir, made{names: []string{sourcesHost}, until: time.Now().AddDate(0, 0, 20)})
		}},
		{"a certificate that has ended", "certificate", levelError, "it has expired", func(t *testing.T, dir string, _ *machine) {
			secure(t, dir, made{names: []string{sourcesHost}, until: time.Now().AddDate(0, 0, -1)})
		}},
		{"a certificate for nobody", "certificate", levelError, "it names no host", func(t *testing.T, dir string, _ *machine) { secure(t, dir, made{}) }},
		{"a certificate without those between", "certificate", levelWarning, "lacks the certificates between", func(t *testing.T, dir string, _ *machine) {
			secure(t, dir, made{names: []string{sourcesHost}, intermediated: true})
		}},
		{"a certificate's key that others read", "certificate", levelError, "privkey.pem (mode 0644)", func(t *testing.T, dir string, _ *machine) {
			secure(t, dir, made{names: []string{sourcesHost}})
			chmod(t, dir, "privkey.pem", 0o644)
		}},
		{"a certificate's key that is another's", "certificate", levelError, "do not go together", func(t *testing.T, dir string, _ *machine) {
			secure(t, dir, made{names: []string{sourcesHost}})
			write(t, dir, "privkey.pem", string(goodPair(t).key))
		}},
		{"no certificate", "certificate", levelError, "no such file", func(t *testing.T, dir string, _ *machine) {
			secure(t, dir, made{names: []string{sourcesHost}})
			remove(t, dir, "fullchain.pem")
		}},
		{"a certificate that nobody gave", "certificate", levelWarning, "there is no certificate for tips.example.org yet", byACME(0)},
		{"a certificate that nobody renewed", "certificate", levelWarning, "should have been renewed", byACME(62)},
		{"an authority that looks elsewhere", "certificate", levelWarning, "looks for the server at port 443", byACME(0)},
		{"certificates that others read", "permissions", levelError, "acme (mode 0755)", func(t *testing.T, dir string, _ *machine) {
			write(t, dir, "acme/x", "")
			chmod(t, dir, "acme", 0o755)
		}},
		{"an onion service that nobody set", "tor", levelWarning, "tor has the onion service " + exampleOnion, func(t *testing.T, dir string, m *machine) {
			m.tor.hostnames = torsFiles(t, exampleOnion)
		}},
		{"an onion service other than tor's", "tor", levelError, "says " + exampleOnion + ", and tor says " + anotherOnion, func(t *testing.T, dir string, m *machine) {
			reset(t, dir, func(c *config) { c.Onion = exampleOnion })
			m.tor.hostnames = torsFiles(t, anotherOnion)
		}},
		{"a file of tor's that is damaged", "tor", levelError, "tor's file cannot be read", func(t *testing.T, dir string, m *machine) {
			reset(t, dir, func(c *config) { c.Onion = exampleOnion })
			m.tor.hostnames = torsFiles(t, exampleOnion[1:])
		}},
		{"no tor", "tor", levelWarning, "leads here: no tor answers at 127.0.0.1:1", func(t *testing.T, dir string, m *machine) {
			reset(t, dir, func(c *config) { c.Onion = exampleOnion })
			m.tor.Socks = "127.0.0.1:1"
		}},
		{"a tor and no server", "tor", levelWarning, "leads here, since no server is running", func(t *testing.T, dir string, m *machine) {
			reset(t, dir, func(c *config) { c.Onion = exampleOnion })
			m.tor.Socks = newFakeTor(t, "", 0).address
		}},
		{"a folder that tor may not enter", "tor", levelError, "tor's user debian-tor may not enter", func(t *testing.T, dir string, m *machine) {
			reset(t, dir, func(c *config) { c.Onion, c.Listen = exampleOnion, socketFor(t, m, 0o700, 0o660) })
		}},
		{"a socket that tor may not use", "tor", levelError, "tor's user debian-tor may not connect to", func(t *testing.T, dir string, m *machine) {
			reset(t, dir, func(c *config) { c.Onion, c.Listen = exampleOnion, socketFor(t, m, 0o755, 0o660) })
		}},
		{"a desk that tor may not use", "tor", levelError, "tor's user debian-tor may not connect to", func(t *testing.T, dir string, m *machine) {
			reset(t, dir, func(c *config) { c.Onion, c.Desk = exampleOnion, socketFor(t, m, 0o755, 0o600) })
		}},
		{"a profile that keeps tor in", "tor", levelError, "AppArmor keeps tor from", func(t *testing.T, dir string, m *machine) {
			reset(t, dir, func(c *config) { c.Onion, c.Listen = exampleOnion, socketFor(t, m, 0o755, 0o666) })
			m.tor.profiles = torsFiles(t, "profile system_tor {}")
		}},
		{"a desk that anybody finds", "desk's onion", levelWarning, "tor has no member's key", func(t *testing.T, _ string, m *machine) {
			m.tor.desks = []string{filepath.Dir(torsFiles(t, anotherOnion)[0])}
			write(t, m.tor.desks[0], "hostname", anotherOnion)
		}},
		{"a newer format", "format", levelError, "the store is of format " + strconv.Itoa(tipbox.Format+1), func(t *testing.T, dir string, _ *machine) {
			applyTo(t, dir, store.Put("meta/format", []byte(strconv.Itoa(tipbox.Format+1))))
		}},
		{"a tip without its keys", "database", levelError, "keyslots", func(t *testing.T, dir string, _ *machine) {
			applyTo(t, dir, store.Delete(store.Key("slots/"+tip)))
		}},
		{"tips without their records", "database", levelError, "and 2 problems more", func(t *testing.T, dir string, _ *machine) {
			for _, c := range "abcde" {
				id := strings.Repeat(string(c), 16)
				applyTo(t, dir, store.Put(store.Key("tip/"+id), []byte("x")), store.Put(store.Key("inbox/c/7973-88-77/"+id), nil))
			}
		}},
		{"a database that another process keeps", "database", levelWarning, "nobody could look into it", func(t *testing.T, dir string, _ *machine) {
			db, err := openDatabase(filepath.Join(dir, databaseName), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
		}},
		{"a file that is lost", "database", levelError, "file 1", func(t *testing.T, dir string, _ *machine) {
			files, err := filepath.Glob(filepath.Join(dir, blobsName, "??", tip+"*"))
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			if err := os.Remove(files[0]); err != nil {
				t.Fatal(err)
			}
		}},
		{"no database but a file", "database", levelError, "nobody could look into it", func(t *testing.T, dir string, _ *machine) {
			write(t, dir, databaseName, "not one\n")
		}},
		{"a file of nothing", "database", levelWarning, "1 files are of tips that were never finished", func(t *testing.T, dir string, _ *machine) {
			write(t, dir, "blobs/aa/"+strings.Repeat("a", 32), "x")
		}},
		{"a disk that does not answer", "disk", levelError, "nobody knows how much room", func(t *testing.T, _ string, m *machine) {
			m.free = func(string) (int64, error) { return 0, errors.New("it is gone") }
		}},
		{"a full disk", "disk", levelError, "can send no files", func(t *testing.T, _ string, m *machine) {
			m.free = func(string) (int64, error) { return 100 << 20, nil }
		}},
		{"a disk without room for a copy", "disk", levelWarning, "a second copy of the database", func(t *testing.T, _ string, m *machine) {
			m.free = func(string) (int64, error) { return 256<<20 + 1, nil }
		}},
		{"a disk that fills", "disk", levelWarning, "sources can send no files", func(t *testing.T, _ string, m *machine) {
			m.free = func(string) (int64, error) { return 300 << 20, nil }
		}},
		{"a clock that is behind", "clock", levelError, "and a tip is of", func(t *testing.T, _ string, m *machine) {
			m.now = func() time.Time { return time.Now().AddDate(0, 0, -3) }
		}},
		{"a clock that is behind the roster", "clock", levelError, "the roster was signed on", func(t *testing.T, _ string, m *machine) {
			m.now = func() time.Time { return time.Now().AddDate(0, 0, -3) }
		}},
		{"a clock that nobody keeps", "clock", levelWarning, "nothing keeps the clock right", func(t *testing.T, _ string, m *machine) {
			m.clock = func() clockState { return clockFree }
		}},
		{"a zone that is none", "time zone", levelError, "cannot be loaded", func(t *testing.T, dir string, _ *machine) {
			reset(t, dir, func(c *config) { c.Timezone = "Mars/Olympus" })
		}},
		{"the machine's zone", "time zone", levelWarning, "the machine's own zone", func(t *testing.T, dir string, _ *machine) {
			reset(t, dir, func(c *config) { c.Timezone = "Local" })
		}},
		{"no roster", "roster", levelError, "there is no", func(t *testing.T, dir string, _ *machine) { remove(t, dir, rosterName) }},
		{"a roster of another root key", "roster", levelError, "not signed by the right key", func(t *testing.T, dir string, _ *machine) {
			reset(t, dir, func(c *config) {
				key, err := roster.NewSigningKey("root")
				if err != nil {
					t.Fatal(err)
				}
				c.Root = key.Verifier()
			})
		}},
		{"a roster without the server", "roster", levelError, "this server is not in", func(t *testing.T, dir string, _ *machine) {
			resign(t, dir, func(r *roster.Roster) { r.Servers = nil })
		}},
		{"a roster of which nobody reads", "roster", levelError, "nobody could read a tip", func(t *testing.T, dir string, _ *machine) {
			resign(t, dir, func(r *roster.Roster) { r.Remove("ines", r.Day); r.Remove("investigator", r.Day) })
		}},
		{"an older roster", "roster", levelError, "older than one that was in force", func(t *testing.T, dir string, _ *machine) {
			old, err := os.ReadFile(filepath.Join(dir, rosterName))
			if err != nil {
				t.Fatal(err)
			}
			resign(t, dir, func(*roster.Roster) {})
			if status, says := runProgram(t, "check", dir); status != exitDone {
				t.Fatal(says)
			}
			write(t, dir, rosterName, string(old))
		}},
		{"a channel that one key opens", "roster", levelWarning, "opened by one key only, that of investigator", func(t *testing.T, dir string, _ *machine) {
			resign(t, dir, func(r *roster.Roster) { r.Remove("ines", r.Day) })
		}},
		{"an investigator without a channel", "roster", levelWarning, "otto is an investigator without a channel", func(t *testing.T, dir string, _ *machine) {
			resign(t, dir, func(r *roster.Roster) { enter(t, r, roster.Investigator, nil, "otto") })
		}},
		{"too few approvers", "roster", levelError, "take 3 approvers, and there are 2", func(t *testing.T, dir string, _ *machine) {
			resign(t, dir, func(r *roster.Roster) {
				for _, name := range []string{"ada", "alba", "aino", "ayla"} {
					r.Remove(name, r.Day)
				}
			})
		}},
		{"no payer", "roster", levelError, "there is no payer", func(t *testing.T, dir string, _ *machine) {
			resign(t, dir, func(r *roster.Roster) { r.Remove("payer", r.Day); r.Remove("penny", r.Day) })
		}},
		{"denominations that end", "roster", levelWarning, "can no longer claim", func(t *testing.T, dir string, _ *machine) {
			resign(t, dir, func(r *roster.Roster) {
				for i := range r.Denominations {
					r.Denominations[i].Until = time.Now().AddDate(0, 0, 100).Format(time.DateOnly)
				}
			})
		}},
		{"an old roster", "roster", levelWarning, "Look over who is in it", func(t *testing.T, _ string, m *machine) {
			m.now = func() time.Time { return time.Now().AddDate(2, 0, 0) }
		}},
		{"channels that are none", "site", levelError, "channels.toml", func(t *testing.T, dir string, _ *machine) {
			write(t, dir, "site/channels.toml", "[[channel]\n")
		}},
		{"a schedule that is none", "site", levelError, "schedule.toml", func(t *testing.T, dir string, _ *machine) {
			write(t, dir, "site/schedule.toml", "id = 1\n")
		}},
		{"a look that is none", "site", levelError, "site.toml", func(t *testing.T, dir string, _ *machine) {
			write(t, dir, "site/site.toml", "colour = 1\n")
		}},
		{"a channel without Chinese", "site", levelWarning, `channel off-book-funds has no title in "zh-Hans"`, func(t *testing.T, dir string, _ *machine) {
			write(t, dir, "site/channels.toml", "[[channel]]\nid = \"off-book-funds\"\n[channel.title]\nen = \"Off-book funds\"\n")
		}},
		{"never backed up", "backup", levelWarning, "never backed up", func(t *testing.T, dir string, _ *machine) { remove(t, dir, backupMark) }},
		{"an old backup", "backup", levelWarning, "9 days ago", backedUp(-9)},
		{"a very old backup", "backup", levelError, "40 days ago", backedUp(-40)},
		{"a backup of tomorrow", "backup", levelWarning, "by the clock", backedUp(2)},
		{"a mark that is no day", "backup", levelWarning, "holds no day", func(t *testing.T, dir string, _ *machine) { write(t, dir, backupMark, "soon\n") }},
		{"members who were not told", "notices", levelWarning, "1 members could not be told", func(t *testing.T, dir string, _ *machine) {
			text, err := json.Marshal(notifyState{Failed: []outcome{{Member: "alice", By: "mail", Error: "refused"}}})
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, notifyName, string(text))
		}},
		{"notices that cannot be read", "notices", levelWarning, notifyName, func(t *testing.T, dir string, _ *machine) { write(t, dir, notifyName, "x") }},
		{"no Landlock", "kernel", levelWarning, "no Landlock", func(t *testing.T, _ string, m *machine) {
			m.kernel = func() kernel { return kernel{seccomp: true} }
		}},
		{"an early Landlock", "kernel", levelWarning, "Landlock is of version 2", func(t *testing.T, _ string, m *machine) {
			m.kernel = func() kernel { return kernel{landlock: 2, seccomp: true} }
		}},
		{"no seccomp", "kernel", levelWarning, "no seccomp filters", func(t *testing.T, _ string, m *machine) {
			m.kernel = func() kernel { return kernel{landlock: 7} }
		}},
		{"swap, and memory that cannot be locked", "memory", levelWarning, "swap is on (/dev/sda2)", func(t *testing.T, _ string, m *machine) {
			m.swaps = func() []string { return []string{"/dev/sda2"} }
			m.limits = func() limits { return limits{Files: 1 << 20, LockedMB: 8} }
		}},
		{"very few files", "open files", levelError, "only 256 files", func(t *testing.T, _ string, m *machine) {
			m.limits = func() limits { return limits{Files: 256, LockedMB: math.MaxUint64} }
		}},
		{"few files", "open files", levelWarning, "and so 1024 connections", func(t *testing.T, _ string, m *machine) {
			m.limits = func() limits { return limits{Files: 4096, LockedMB: math.MaxUint64} }
		}},
	}
	before := examine(t.Context(), sound, soundMachine())
	named := make(map[string]bool)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			named[test.check] = true
			dir, m := copyFolder(t, sound), soundMachine()
			if test.damage != nil {
				if has(before, test.check, test.level, test.says) {
					t.Fatal("a sound server is called so too")
				}
				test.damage(t, dir, &m)
			}
			found := examine(t.Context(), dir, m)
			if !has(found, test.check, test.level, test.says) {
				t.Errorf("not named: %+v", found)
			}
		})
	}
	for _, c := range doctorChecks() {
		if !named[c.name] {
			t.Errorf("no set-up is broken for %s", c.name)
		}
	}
}

// secure gives a folder [tls] with a certificate.
func secure(t *testing.T, dir string, m made) {
	t.Helper()
	m.make(t).put(t, dir)
	reset(t, dir, func(c *config) {
		c.TLS = tlsConfig{Listen: "0.0.0.0:443", CertFile: "fullchain.pem", KeyFile: "privkey.pem"}
	})
}

// byACME gives a folder [tls] with a certificate to be got, and if days are given, one
// that has been there for so many of its 90.
func byACME(days int) func(*testing.T, string, *machine) {
	return func(t *testing.T, dir string, _ *machine) {
		t.Helper()
		reset(t, dir, func(c *config) { c.TLS = tlsConfig{Listen: "0.0.0.0:8443", ACME: []string{sourcesHost}} })
		if days > 0 {
			m := made{names: []string{sourcesHost}, until: time.Now().AddDate(0, 0, 90-days)}.make(t)
			write(t, dir, "acme/"+sourcesHost, string(m.key)+string(m.cert))
		}
	}
}

// torsFiles is a list of one file with that in it.
func torsFiles(t *testing.T, text string) []string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "file", text+"\n")
	return []string{filepath.Join(dir, "file")}
}

// socketFor leaves a socket and has the machine have a user of tor's who owns neither it
// nor its folder, in one that anybody may enter.
func socketFor(t *testing.T, m *machine, folder, socket fs.FileMode) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "tipbox-tor-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	leaveSocket(t, filepath.Join(dir, "s"))
	chmod(t, dir, "s", socket)
	chmod(t, dir, ".", folder)
	m.tor.users = []string{"toranon", "debian-tor"}
	m.tor.lookUp = func(name string) *account {
		if name == "toranon" {
			return nil
		}
		return &account{name: name, uid: os.Geteuid() + 4242, gids: []int{-1}}
	}
	return unixPrefix + filepath.Join(dir, "s")
}

func chmod(t *testing.T, dir, name string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func appendTo(t *testing.T, dir, name, text string) {
	t.Helper()
	before, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, name, string(before)+text)
}

func backedUp(days int) func(*testing.T, string, *machine) {
	return func(t *testing.T, dir string, _ *machine) {
		if err := keepDay(dir, backupMark, time.Now().UTC().AddDate(0, 0, days)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDoctorFindsNothingWrongWithASoundServer looks at one that runs, and changes
// nothing.
func TestDoctorFindsNothingWrongWithASoundServer(t *testing.T) {
	dir, _ := soundFolder(t)
	s := serveFolder(t, dir)
	defer s.end(t)
	s.wait(t, func() bool { return bytes.Contains(s.log.Bytes(), []byte("msg=serving")) })
	for _, f := range examine(t.Context(), dir, soundMachine()) {
		ofThisMachine := f.Check == "open files" // the server is in this very process
		if f.Level != levelOK && !ofThisMachine {
			t.Errorf("%+v", f)
		}
	}
	status, says := runProgram(t, "doctor", dir, "--json")
	var doc struct {
		Findings []finding
		Errors   int
	}
	if err := json.Unmarshal([]byte(strings.SplitAfter(says, "\n")[0]), &doc); err != nil || len(doc.Findings) < len(doctorChecks()) {
		t.Fatalf("%v: %s", err, says)
	}
	if (doc.Errors > 0) != (status == exitFailed) {
		t.Errorf("%d errors, status %d", doc.Errors, status)
	}
}

// TestDoctorLooksInsideOfARunningServer has the server's own view of what is broken.
func TestDoctorLooksInsideOfARunningServer(t *testing.T) {
	dir, tip := soundFolder(t)
	applyTo(t, dir, store.Delete(store.Key("slots/"+tip)))
	old, err := os.ReadFile(filepath.Join(dir, rosterName))
	if err != nil {
		t.Fatal(err)
	}
	resign(t, dir, func(*roster.Roster) {})
	s := serveFolder(t, dir)
	defer s.end(t)
	s.wait(t, func() bool { return bytes.Contains(s.log.Bytes(), []byte("msg=serving")) })
	write(t, dir, rosterName, string(old))
	found := examine(t.Context(), dir, soundMachine())
	if !has(found, "database", levelError, "keyslots") || !has(found, "roster", levelError, "older than one that was in force") || !has(found, "server", levelOK, "running since") {
		t.Errorf("found: %+v", found)
	}
	if bytes.Contains(s.log.Bytes(), []byte("done on request")) {
		t.Errorf("what is asked all the time is logged: %s", s.log.Bytes())
	}
	status, says := runProgram(t, "doctor", dir)
	if status != exitFailed || !strings.Contains(says, "keyslots") || !strings.Contains(says, "-> ") {
		t.Errorf("status %d: %s", status, says)
	}
}

// TestDoctorComparesWithTheRunningServer has one of another version that goes by another
// roster.
func TestDoctorComparesWithTheRunningServer(t *testing.T) {
	dir, _ := soundFolder(t)
	e := &exam{ctx: t.Context(), f: &folder{path: dir}, m: soundMachine()}
	e.prepare()
	e.server = &examination{Version: "v0.0.1", Serial: 7}
	e.lookServer()
	e.lookRoster()
	if !has(e.found, "", levelWarning, "of version v0.0.1, and this program") || !has(e.found, "", levelWarning, "the server goes by 7") {
		t.Errorf("%+v", e.found)
	}
}

// TestDoctorNamesFilesOfAnotherUser is what is left when root has compacted. Only root
// can make it so.
func TestDoctorNamesFilesOfAnotherUser(t *testing.T) {
	dir, _ := soundFolder(t)
	owned := os.Geteuid() == 0
	if owned {
		if err := os.Chown(filepath.Join(dir, databaseName), 4242, -1); err != nil {
			t.Fatal(err)
		}
	}
	if found := examine(t.Context(), dir, soundMachine()); has(found, "permissions", levelError, "belongs to another user than the folder") != owned {
		t.Errorf("%+v", found)
	}
}

func TestSwapsAreRead(t *testing.T) {
	const table = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/sda2                               partition\t8388604\t\t0\t\t-2\n/swap.img file 1 0 -3\n"
	if got := parseSwaps(table); !slices.Equal(got, []string{"/dev/sda2", "/swap.img"}) {
		t.Errorf("%q", got)
	}
	if got := parseSwaps("Filename Type Size Used Priority\n"); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

// TestDoctorAsksTor has a server whose onion service leads there, elsewhere, or nowhere.
func TestDoctorAsksTor(t *testing.T) {
	t.Parallel()
	dir, sources := servedOnion(t)
	other := newFakeTor(t, "", 0) // no web server at all
	for _, c := range []struct {
		name   string
		behind string
		reply  byte
		level  level
		says   string
	}{
		{"it leads there", sources, 0, levelOK, exampleOnion + " leads here"},
		{"nothing behind", sources, 5, levelError, "does not lead here: the onion service is up, and nothing answers behind it"},
		{"not up yet", sources, 4, levelWarning, "cannot be reached: tor does not find the onion service"},
		{"somebody else", other.address, 0, levelWarning, "nothing came through tor"},
	} {
		m := soundMachine()
		m.tor.hostnames = torsFiles(t, exampleOnion)
		m.tor.Socks = newFakeTor(t, c.behind, c.reply).address
		if found := examine(t.Context(), dir, m); !has(found, "tor", c.level, c.says) {
			t.Errorf("%s: %+v", c.name, found)
		}
	}

	m := soundMachine()
	path := strings.TrimPrefix(sources, unixPrefix)
	m.tor.Socks = newFakeTor(t, sources, 5).address
	m.tor.users = []string{"debian-tor"}
	m.tor.lookUp = func(name string) *account { return &account{name: name, uid: os.Geteuid() + 4242} }
	chmod(t, filepath.Dir(path), ".", 0o700)
	found := examine(t.Context(), dir, m)
	if !slices.ContainsFunc(found, func(f finding) bool { return f.Check == "tor" && f.Do == "begin with what bars tor's way" }) {
		t.Errorf("barred: %+v", found)
	}
}

// TestOneUserOfTorsIsEnough has a machine with two tors, of which one may connect.
func TestOneUserOfTorsIsEnough(t *testing.T) {
	var m machine
	path := strings.TrimPrefix(socketFor(t, &m, 0o755, 0o660), unixPrefix)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[int]int{int(ownerOf(info)[1]): 0, -1: 1} {
		m.tor.users = []string{"_tor-tipbox", "debian-tor"}
		m.tor.lookUp = func(name string) *account {
			a := &account{name: name, uid: os.Geteuid() + 4242}
			if name == "debian-tor" {
				a.gids = []int{in}
			}
			return a
		}
		e := &exam{f: &folder{path: t.TempDir()}, m: m}
		if e.lookTorsWay(path); len(e.found) != want {
			t.Errorf("debian-tor is in group %d: %+v", in, e.found)
		}
	}
}

// TestNobodyIsToldToJoinRootsGroup is of a socket that a server of root's has made.
func TestNobodyIsToldToJoinRootsGroup(t *testing.T) {
	for group, want := range map[uint32]string{0: "chgrp debian-tor /run/tipbox; chmod g+xs /run/tipbox;", 987654: "adduser debian-tor 987654;"} {
		info := groupInfo{&syscall.Stat_t{Gid: group}}
		if do := letIn("debian-tor", "/run/tipbox/s", info); !strings.HasPrefix(do, want) {
			t.Errorf("%q, want %q", do, want)
		}
	}
}

// A groupInfo is what is known of a file of which only the group counts.
type groupInfo struct{ stat *syscall.Stat_t }

func (i groupInfo) Name() string       { return "s" }
func (i groupInfo) Size() int64        { return 0 }
func (i groupInfo) Mode() fs.FileMode  { return fs.ModeSocket | 0o660 }
func (i groupInfo) ModTime() time.Time { return time.Time{} }
func (i groupInfo) IsDir() bool        { return false }
func (i groupInfo) Sys() any           { return i.stat }

// TestOnionServicesAreRecommended is of a server without one, which is none the worse.
func TestOnionServicesAreRecommended(t *testing.T) {
	dir, _ := soundFolder(t)
	found := examine(t.Context(), dir, soundMachine())
	i := slices.IndexFunc(found, func(f finding) bool { return f.Check == "tor" })
	if i < 0 || found[i].Level != levelOK || !strings.Contains(found[i].Says, "sources come without Tor") || !strings.Contains(found[i].Do, "deploy/tor/torrc") {
		t.Errorf("%+v", found)
	}
}

func TestAccountsMayWhatModesSay(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f", "")
	info, err := os.Stat(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	owner := ownerOf(info)
	uid, gid := int(owner[0]), int(owner[1])
	for _, c := range []struct {
		mode fs.FileMode
		who  account
		want bool
	}{
		{0o060, account{uid: uid + 1, gids: []int{gid}}, true},
		{0o606, account{uid: uid + 1, gids: []int{7, gid}}, false},
		{0o006, account{uid: uid + 1, gids: []int{gid + 1}}, true},
		{0o660, account{uid: uid + 1, gids: []int{gid + 1}}, false},
		{0o040, account{uid: uid + 1, gids: []int{gid}}, false},
		{0o020, account{uid: uid + 1, gids: []int{gid}}, true},
		{0o000, account{uid: 0}, true},
	} {
		chmod(t, dir, "f", c.mode)
		if info, err = os.Stat(filepath.Join(dir, "f")); err != nil {
			t.Fatal(err)
		}
		if got := c.who.may(2, info); got != c.want {
			t.Errorf("%04o, %+v: %v", c.mode, c.who, got)
		}
	}
}
