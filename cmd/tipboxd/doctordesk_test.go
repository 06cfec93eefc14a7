package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tipbox/crypto/onion"
)

// TestDoctorLooksAtTheDesksOnion has each way in which an onion service of the desk's can
// be other than it should.
func TestDoctorLooksAtTheDesksOnion(t *testing.T) {
	dir, _ := soundFolder(t)
	key, err := onion.NewClientKey()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := key.ForService(anotherOnion)
	if err != nil {
		t.Fatal(err)
	}
	line := key.Authorization() + "\n"
	socket := "unix:/run/tipbox/desk.sock"
	type files map[string]string
	for name, c := range map[string]struct {
		desk  string
		files files // in tor's folder of the service
		level level
		says  string
		do    string
	}{
		"no service":            {"127.0.0.1:8081", nil, levelOK, "members come to 127.0.0.1:8081", ""},
		"a key":                 {socket, files{"hostname": anotherOnion, "authorized_clients/ines.auth": line}, levelOK, anotherOnion + " leads members to the desk; those whose tor has a key for it: 1", ""},
		"another address":       {"127.0.0.1:8081", files{"hostname": anotherOnion, "authorized_clients/ines.auth": line}, levelError, "tor leads members to " + socket + ", and the desk is at 127.0.0.1:8081", "tipboxd-desk.socket"},
		"no key":                {socket, files{"hostname": anotherOnion}, levelWarning, "anybody who has the address", "authorized_clients/NAME.auth, and systemctl reload tor"},
		"a secret in its place": {socket, files{"hostname": anotherOnion, "authorized_clients/ines.auth": secret}, levelError, "no key of a client is in it", "tipbox keygen --onion"},
		"then there is none":    {socket, files{"hostname": anotherOnion, "authorized_clients/ines.auth": secret}, levelWarning, "tor has no member's key", ""},
		"another name":          {socket, files{"hostname": anotherOnion, "authorized_clients/ines": line}, levelWarning, "does not end in .auth", "ines.auth"},
		"who has left":          {socket, files{"hostname": anotherOnion, "authorized_clients/left.auth": line}, levelWarning, "called after nobody in the roster", "rm "},
		"a damaged address":     {socket, files{"hostname": "x.onion"}, levelError, "tor's file cannot be read", "from a copy"},
	} {
		reset(t, dir, func(c2 *config) { c2.Desk = c.desk })
		service := t.TempDir()
		for name, text := range c.files {
			write(t, service, name, text)
		}
		m := soundMachine()
		m.tor.desks = []string{service}
		m.tor.torrcs = []string{filepath.Join(t.TempDir(), "torrc")}
		write(t, filepath.Dir(m.tor.torrcs[0]), "torrc", fmt.Sprintf("HiddenServiceDir /var/lib/tor/other\nHiddenServicePort 443 127.0.0.1:1\nhiddenservicedir %s/\n# c\nHiddenServicePort 443 unix:\"/run/tipbox/desk.sock\"\n", service))
		found := examine(t.Context(), dir, m)
		if !slices.ContainsFunc(found, func(f finding) bool {
			return f.Check == "desk's onion" && f.Level == c.level && strings.Contains(f.Says, c.says) && strings.Contains(f.Do, c.do)
		}) {
			t.Errorf("%s: %+v", name, found)
		}
		if text := fmt.Sprint(found); strings.Contains(text, secret[len(secret)-20:]) {
			t.Errorf("%s: the secret is repeated: %s", name, text)
		}
	}
}

// TestDoctorTellsOfKeysThatTorMayNotRead has root write a member's line for itself.
func TestDoctorTellsOfKeysThatTorMayNotRead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes root to have a file that tor may not read")
	}
	dir, _ := soundFolder(t)
	key, err := onion.NewClientKey()
	if err != nil {
		t.Fatal(err)
	}
	m := soundMachine()
	service := t.TempDir()
	m.tor.desks = []string{service}
	write(t, service, "hostname", anotherOnion)
	write(t, service, "authorized_clients/ines.auth", key.Authorization())
	if err := os.Chown(service, 4242, 4242); err != nil {
		t.Fatal(err)
	}
	if found := examine(t.Context(), dir, m); !has(found, "desk's onion", levelError, "tor may not read") {
		t.Errorf("%+v", found)
	}
}

// TestSourcesNeedNoKey has a member's key lie where it keeps sources out.
func TestSourcesNeedNoKey(t *testing.T) {
	dir, _ := soundFolder(t)
	m := soundMachine()
	m.tor.hostnames = torsFiles(t, exampleOnion)
	const says = "no source finds it"
	if found := examine(t.Context(), dir, m); has(found, "tor", levelError, says) {
		t.Errorf("without: %+v", found)
	}
	write(t, filepath.Dir(m.tor.hostnames[0]), "authorized_clients/ines.auth", "")
	if found := examine(t.Context(), dir, m); !has(found, "tor", levelError, says) {
		t.Errorf("%+v", found)
	}
}
