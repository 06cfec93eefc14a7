package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPurgeGoesOnWhereAFolderIsADisk has the server's folder be a disk of its own, which
// no rmdir takes away, and the backups' a link.
func TestPurgeGoesOnWhereAFolderIsADisk(t *testing.T) {
	postrm, err := filepath.Abs("deploy/debian/postrm")
	if err != nil {
		t.Fatal(err)
	}
	programs := t.TempDir()
	if err := os.WriteFile(filepath.Join(programs, "deb-systemd-helper"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	const set = "mount -t tmpfs none /run && mount -t tmpfs none /var/lib && mkdir -p /var/lib/tipbox /var/lib/backups /var/lib/tor-instances/tipbox && " +
		"mount -t tmpfs none /var/lib/tipbox && ln -s backups /var/lib/tipbox-backups"
	run := func(command string) ([]byte, error) {
		c := exec.Command("unshare", "--mount", "sh", "-c", set+" && "+command)
		c.Env = []string{"PATH=" + programs + ":/usr/sbin:/usr/bin:/sbin:/bin"}
		return c.CombinedOutput()
	}
	if out, err := run("true"); err != nil {
		t.Skipf("it takes root, and mounts: %v: %s", err, out)
	}
	out, err := run("sh " + postrm + " purge && test ! -e /var/lib/tor-instances")
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for _, folder := range []string{"/var/lib/tipbox", "/var/lib/tipbox-backups"} {
		if !strings.Contains(string(out), "tipbox: "+folder+" is kept") {
			t.Errorf("of %s it says nothing: %s", folder, out)
		}
	}
}
