package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"tipbox/store"
)

// A backupKey is a key with its file.
type backupKey struct {
	*age.HybridIdentity
	file string
}

func newBackupKey(t *testing.T) backupKey {
	t.Helper()
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "backup.key")
	if err := os.WriteFile(file, []byte(key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return backupKey{key, file}
}

// runProgram runs the program and returns its exit status and all that it says.
func runProgram(t *testing.T, args ...string) (status int, output string) {
	t.Helper()
	var out bytes.Buffer
	status = run(context.Background(), args, &out, &out)
	return status, out.String()
}

// entries are those of the archive of a good folder with these records besides.
func entries(t *testing.T, more ...store.Change) (all []entry) {
	t.Helper()
	demo := demoCmd{Dir: filepath.Join(t.TempDir(), "demo"), Listen: "127.0.0.1:0", Desk: "127.0.0.1:0"}
	if err := demo.found(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(demo.Dir, siteName, "about.md"), []byte("About us"), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := openDatabase(filepath.Join(demo.Dir, databaseName), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Apply(t.Context(), more...), db.Close()); err != nil {
		t.Fatal(err)
	}
	return entriesOf(t, demo.Dir)
}

// entriesOf are those of the archive of a folder.
func entriesOf(t *testing.T, dir string) (all []entry) {
	t.Helper()
	var archive bytes.Buffer
	if err := writeArchive(t.Context(), &archive, dir); err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(&archive); ; {
		h, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entry{h, content})
	}
}

type entry struct {
	*tar.Header
	content []byte
}

func regular(name, content string) entry {
	return entry{&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o777}, []byte(content)}
}

// seal makes a backup of the entries, with tail behind the archive.
func seal(t *testing.T, key backupKey, all []entry, tail string) (file string) {
	t.Helper()
	var out bytes.Buffer
	sealed, err := age.Encrypt(&out, key.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(sealed)
	for _, e := range all {
		if err := archive.WriteHeader(e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(sealed, tail); err != nil {
		t.Fatal(err)
	}
	if err := sealed.Close(); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "backup.age")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func without(all []entry, name string) (rest []entry) {
	for _, e := range all {
		if e.Name != name {
			rest = append(rest, e)
		}
	}
	return rest
}

func TestRestoreTakesOnlyWhatBackupMakes(t *testing.T) {
	key := newBackupKey(t)
	good := slices.Clip(entries(t)) // appending makes another
	link := func(kind byte, name, to string) entry {
		return entry{&tar.Header{Typeflag: kind, Name: name, Linkname: to, Mode: 0o777}, nil}
	}
	const blob = "abcdefghijklmnop"
	tests := []struct {
		name    string
		archive []entry
		tail    string
		says    string
	}{
		{"a link", append([]entry{link(tar.TypeSymlink, "site/x", "/")}, good...), "", "no file of one"},
		{"a link in place of the database", append([]entry{link(tar.TypeSymlink, databaseName, "/etc/passwd")}, without(good, databaseName)...), "", "no file of one"},
		{"a hard link", append(good, link(tar.TypeLink, "site/x", "desk.key")), "", "no file of one"},
		{"a device", append(good, link(tar.TypeChar, "site/x", "")), "", "no file of one"},
		{"a folder", append(good, link(tar.TypeDir, "site/x/", "")), "", "no file of one"},
		{"an absolute path", append(good, regular("/tmp/x", "x")), "", "no file of one"},
		{"a path upwards", append(good, regular("../x", "x")), "", "no file of one"},
		{"a path upwards from the site", append(good, regular("site/../../x", "x")), "", "no file of one"},
		{"a name of the working folder", append(good, regular("./desk.pub", "x")), "", "no file of one"},
		{"a blob elsewhere", append(good, regular("blobs/xx/"+blob, "x")), "", "no file of one"},
		{"a blob that is none", append(good, regular("blobs/AB/ABCDEFGHIJKLMNOP", "x")), "", "no file of one"},
		{"another file", append(good, regular("control.sock", "x")), "", "no file of one"},
		{"a file twice", append(good, regular("desk.key", "x")), "", "there twice"},
		{"a blob twice", append(good, regular("blobs/ab/"+blob, "x"), regular("blobs/ab/"+blob, "y")), "", "there twice"},
		{"no database", without(good, databaseName), "", "no tipbox.db in it"},
		{"no key", without(good, deskKeyName), "", "no desk.key in it"},
		{"nothing", nil, "", "no tipbox.db in it"},
		{"something behind its end", good, "x", "behind its end"},
		{"a foreign database", append(without(good, databaseName), regular(databaseName, "no database")), "", "is not whole"},
		{"a record of no kind", entries(t, store.Put("stray", nil)), "", "is not whole"},
		{"a configuration that is none", append(without(good, configName), regular(configName, "x = 1")), "", "is not whole"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			parent := t.TempDir()
			status, says := runProgram(t, "restore", seal(t, key, test.archive, test.tail), filepath.Join(parent, "restored"), "-i", key.file)
			if status != exitFailed || !strings.Contains(says, test.says) {
				t.Errorf("status %d, %q", status, says)
			}
			if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
	dir := filepath.Join(t.TempDir(), "restored")
	orphan := append([]entry{regular("blobs/ab/"+blob, "of a tip that was erased meanwhile")}, good...)
	if status, says := runProgram(t, "restore", seal(t, key, orphan, ""), dir, "-i", key.file); status != exitDone {
		t.Fatalf("status %d, %q", status, says)
	}
	if about, err := os.ReadFile(filepath.Join(dir, siteName, "about.md")); err != nil || string(about) != "About us" {
		t.Errorf("the site: %q, %v", about, err)
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.Name() == blob {
			t.Error("the blob that no record names was not removed")
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestRestoreNoticesEveryCutAndFlip cuts a backup and flips a bit of it, in
// many places: whatever is refused leaves nothing.
func TestRestoreNoticesEveryCutAndFlip(t *testing.T) {
	key := newBackupKey(t)
	whole, err := os.ReadFile(seal(t, key, entries(t), ""))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "backup.age")
	refused := func(damage string, content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		parent := t.TempDir()
		status, says := runProgram(t, "restore", file, filepath.Join(parent, "restored"), "-i", key.file)
		if status != exitFailed || !strings.Contains(says, "cut short or altered") && !strings.Contains(says, "not for this key") {
			t.Errorf("%s: status %d, %q", damage, status, says)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v, %v", damage, left, err)
		}
	}
	for i := range 12 {
		at := i * (len(whole) - 1) / 11
		refused("cut", whole[:at])
		flipped := bytes.Clone(whole)
		flipped[at] ^= 4
		refused("flipped", flipped)
	}
}
