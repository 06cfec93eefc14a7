package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// anothersFolder is a folder of a user's that we are not, and a file of ours outside.
func anothersFolder(t *testing.T, text string) (dir, file string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("it takes root to act in another user's folder")
	}
	dir, file = t.TempDir(), filepath.Join(t.TempDir(), "ours")
	if err := os.Chown(dir, 4242, 4242); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
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

// TestRootSavesAnOnionThroughNoLinkOfAnothers has tipbox.toml be a link out of the
// folder, which is not followed; of our own folder it is.
func TestRootSavesAnOnionThroughNoLinkOfAnothers(t *testing.T) {
	const text = "root = '" + demoVerifier + "'\n"
	dir, file := anothersFolder(t, text)
	link := filepath.Join(dir, configName)
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if err := saveOnion(link, exampleOnion); err == nil || !strings.Contains(err.Error(), "link") {
		t.Errorf("it says %v", err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != text {
		t.Errorf("%v: what is outside is %s", err, got)
	}
	if err := os.Chown(dir, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := saveOnion(link, exampleOnion); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(file); err != nil || !strings.Contains(string(got), exampleOnion) {
		t.Errorf("%v: the link's file is %s", err, got)
	}
}

// TestRootBacksUpNoFileThatTheOwnerMayNotRead has the site be a link out of the
// folder. The folder's owner also says who can open backups.
func TestRootBacksUpNoFileThatTheOwnerMayNotRead(t *testing.T) {
	dir, file := anothersFolder(t, "ours")
	if err := os.Symlink(filepath.Dir(file), filepath.Join(dir, siteName)); err != nil {
		t.Fatal(err)
	}
	for mode, may := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		a := &archiver{ctx: t.Context(), tar: tar.NewWriter(&out), root: dir}
		if err := a.writeSite(); (err == nil) != may || strings.Contains(out.String(), "ours\x00") != may {
			t.Errorf("%04o: it says %v", mode, err)
		}
	}
}
