package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// anothersFolder is a folder of a user's that we are not, who gets there, and a file of
// ours outside.
func anothersFolder(t *testing.T, text string) (dir, file string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("it takes root to act in another user's folder")
	}
	open, err := os.MkdirTemp("", "tipbox-owner-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(open) })
	dir, file = filepath.Join(open, "srv"), filepath.Join(t.TempDir(), "ours")
	err = os.Chmod(open, 0o755)
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err == nil {
		err = os.Chown(dir, 4242, 4242)
	}
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, file
}

// TestRootGivesAwayNoFileByALink has the folder's owner put a link in the place of
// a mark, again and again.
func TestRootGivesAwayNoFileByALink(t *testing.T) {
	dir, file := anothersFolder(t, "ours")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		link := filepath.Join(dir, "link")
		for {
			select {
			case <-stop:
				return
			default:
			}
			os.Symlink(file, link)
			os.Rename(link, filepath.Join(dir, backupMark))
		}
	}()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	before := ownerOf(info)
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if err := keepDay(dir, backupMark, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	<-stopped
	if info, err = os.Stat(file); err != nil || ownerOf(info) != before {
		t.Errorf("the file is given to %v: %v", ownerOf(info), err)
	}
}

func TestWhatRootPutsIsTheFoldersOwners(t *testing.T) {
	dir, _ := anothersFolder(t, "")
	if err := keepDay(dir, backupMark, time.Now()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, backupMark)); err != nil || ownerOf(info) != [2]uint32{4242, 4242} {
		t.Errorf("it is %v's: %v", ownerOf(info), err)
	}
}

// TestRootFollowsNoLinkOfAnothers has a file of the folder be a link to one that only
// root may read, or that lies where only root gets to.
func TestRootFollowsNoLinkOfAnothers(t *testing.T) {
	const text = "root = '" + demoVerifier + "'\n"
	dir, file := anothersFolder(t, text)
	link := filepath.Join(dir, configName)
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	tries := map[string]func() error{
		"reading": func() error {
			_, err := readFile(link)
			return err
		},
		"changing": func() error { return saveOnion(link, exampleOnion) },
	}
	for _, mode := range []os.FileMode{0o600, 0o644} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		for name, try := range tries {
			if err := asOwner(dir, try); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%s, %04o: it says %v", name, mode, err)
			}
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != text {
		t.Errorf("%v: what is outside is %s", err, got)
	}
	if groups, err := os.Getgroups(); err != nil || os.Geteuid() != 0 || os.Getegid() != 0 || slices.Contains(groups, 4242) {
		t.Errorf("we are %d of %d and %v afterwards: %v", os.Geteuid(), os.Getegid(), groups, err)
	}
	if err := os.Chown(dir, 0, 0); err != nil { // our own
		t.Fatal(err)
	}
	for name, try := range tries {
		if err := asOwner(dir, try); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || !strings.Contains(string(got), exampleOnion) {
		t.Errorf("%v: the link's file is %s", err, got)
	}
}

// TestRootBacksUpNoFileThatTheOwnerMayNotRead has the site be a link out of the
// folder. The folder's owner also says who can open backups.
func TestRootBacksUpNoFileThatTheOwnerMayNotRead(t *testing.T) {
	dir, _ := anothersFolder(t, "")
	site := filepath.Join(filepath.Dir(dir), "site")
	if err := os.Mkdir(site, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, site, "ours", "ours")
	if err := os.Symlink(site, filepath.Join(dir, siteName)); err != nil {
		t.Fatal(err)
	}
	for mode, may := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		if err := os.Chmod(filepath.Join(site, "ours"), mode); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		a := &archiver{ctx: t.Context(), tar: tar.NewWriter(&out), root: dir}
		if err := asOwner(dir, a.writeSite); (err == nil) != may || strings.Contains(out.String(), "ours\x00") != may {
			t.Errorf("%04o: it says %v", mode, err)
		}
	}
}

// TestNobodyWaitsAtAPipe has a pipe, into which nobody writes, in the place of whatever
// the operator's commands read.
func TestNobodyWaitsAtAPipe(t *testing.T) {
	dir := newDemo(t, "")
	reset(t, dir, func(c *config) { c.BackupRecipients = []string{newBackupKey(t).Recipient().String()} })
	note, err := os.ReadFile(filepath.Join(dir, rosterName))
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	write(t, out, rosterName, string(note))
	write(t, dir, "site/pages/about.en.md", "# About\n")
	write(t, dir, notifyName, "{}")
	if err := keepDay(dir, backupMark, time.Now()); err != nil {
		t.Fatal(err)
	}
	type command []string
	backup, doctor, check := command{"backup", dir, out}, command{"doctor", dir, "--socks", "127.0.0.1:1", "--control", "/nonexistent"}, command{"check", dir}
	for name, commands := range map[string][]command{
		configName:               {backup, doctor, check, {"onion", dir, "--no-check"}, {"notify", dir}, {"roster", dir, filepath.Join(out, rosterName)}},
		rosterName:               {backup, doctor, check},
		deskKeyName:              {backup, doctor, check},
		databaseName:             {backup, doctor, check},
		blobsName:                {backup, doctor},
		siteName:                 {backup, doctor},
		"site/channels.toml":     {backup, doctor, check},
		"site/pages/about.en.md": {backup, doctor, check},
		backupMark:               {doctor},
		notifyName:               {doctor, {"notify", dir}},
	} {
		file, aside := filepath.Join(dir, filepath.FromSlash(name)), filepath.Join(dir, "aside")
		if err := os.Rename(file, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(file, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, c := range commands {
			ended := make(chan string)
			go func() {
				_, says := runProgram(t, c...)
				ended <- says
			}()
			select {
			case says := <-ended:
				if !strings.Contains(says, "no file") && !strings.Contains(says, "not a directory") {
					t.Errorf("%s: %s says\n%s", name, c[0], says)
				}
			case <-time.After(time.Minute):
				t.Fatalf("%s: %s waits", name, c[0])
			}
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(aside, file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}
