//go:build debian

package cmd_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var debianBase = flag.String("debian.base", "", "a folder that debootstrap filled as the test does, to save that time")

// TestReadmeOfficeOnDebian types the README's commands on three Debian machines that
// have nothing but what debootstrap puts there, and a package. Then it does with the
// package what packages go through. It takes root, debootstrap and some minutes, so it
// is built with the tag debian only, for the night: .ci/nightly debian.
//
// A machine is a copy of one root (an overlay), in namespaces of its own, in which
// no road leads anywhere; the server's runs systemd. Its tor is Debian's, and is told
// to have no network. What is not literal: KEY is typed as what it stands for, files
// are carried from machine to machine, and in the place of a source's browser and of
// the Tor network there is a program at the socket to which tor leads.
func TestReadmeOfficeOnDebian(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes root to be three machines")
	}
	work := t.TempDir()
	packages := buildPackages(t, work, "1.0", "1.1")
	base := *debianBase
	if base == "" {
		base = filepath.Join(work, "base")
		run(t, "debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,adduser,tor", "bookworm", base)
	}
	d := startMachines(t, work, base, "server", "holder", "alice")

	t.Cleanup(func() {
		if t.Failed() {
			out, _ := d.try("server", "systemctl --no-pager status 'tipboxd*' 'tor@*'; journalctl --no-pager -b")
			t.Log(out)
		}
	})
	empty := d.files("alice")
	for _, m := range []string{"server", "holder", "alice"} {
		d.put(packages["1.0"], m, "/root/tipbox.deb")
	}
	key := ""
	commands := setupCommands(t)
	for i, c := range commands {
		if i == len(commands)-1 {
			d.sendTip("There is a fund.")
		}
		out := d.enter(c, strings.NewReplacer("'KEY'", "'"+key+"'").Replace(c.line))
		if strings.Contains(c.line, "roster init") {
			key = strings.TrimSpace(out)
		}
		if i == len(commands)-1 && !strings.Contains(out, "There is a fund.") {
			t.Errorf("%s: %s", c.line, out)
		}
		d.carry()
	}

	t.Run("tor leads to it", d.torLeads)
	t.Run("systemd shuts it in", d.shutIn)
	t.Run("the other units work", d.otherUnits)
	t.Run("a credential arrives", d.credential)
	t.Run("TLS on a port that is root's", d.tls)
	t.Run("an upgrade keeps the tips", func(t *testing.T) { d.upgrade(t, packages["1.1"]) })
	t.Run("what was told outlives the package", func(t *testing.T) { d.purge(t, packages["1.1"]) })
	t.Run("purged where nothing was set up", func(t *testing.T) {
		d.sh(t, "alice", "dpkg --purge tipbox; rm -rf /root/tipbox.deb")
		left := slices.DeleteFunc(d.files("alice"), func(file string) bool {
			return slices.Contains(empty, file) || strings.HasPrefix(file, "/home/alice/")
		})
		if len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

// buildPackages makes the package as of versions.
func buildPackages(t *testing.T, dir string, versions ...string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for _, version := range versions {
		cmd := exec.Command("../.ci/package", filepath.Join(dir, version))
		cmd.Env = append(os.Environ(), "PACKAGE_VERSION="+version)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		found, err := filepath.Glob(filepath.Join(dir, version, "*.deb"))
		if err != nil || len(found) != 1 {
			t.Fatal("packages:", found, err)
		}
		files[version] = found[0]
	}
	return files
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// debianMachines are roots under a folder, of which the first runs systemd.
type debianMachines struct {
	t     *testing.T
	first string
	init  int // process id of systemd, as seen from here
}

// machinesScript mounts the roots and becomes systemd. /proc/sys and /sys are not to
// be written to: they are the real machine's.
const machinesScript = `set -e
mount --make-rprivate /
for m in $MACHINES; do
  mkdir -p $DIR/$m/up $DIR/$m/work $DIR/$m/root
  R=$DIR/$m/root
  mount -t overlay overlay -o lowerdir=$BASE,upperdir=$DIR/$m/up,workdir=$DIR/$m/work $R
  mount -t proc proc $R/proc
  mount --bind $R/proc/sys $R/proc/sys
  mount -o remount,bind,ro $R/proc/sys
  mount -t sysfs -o ro sysfs $R/sys
  mount -t tmpfs tmpfs $R/dev -o mode=755
  for d in null zero full random urandom tty; do touch $R/dev/$d; mount --bind /dev/$d $R/dev/$d; done
  mkdir $R/dev/pts $R/dev/shm
  mount -t devpts -o newinstance,ptmxmode=0666 devpts $R/dev/pts
  ln -s pts/ptmx $R/dev/ptmx
  ln -s /proc/self/fd $R/dev/fd
  mount -t tmpfs tmpfs $R/run -o mode=755
  mount -t tmpfs tmpfs $R/tmp
  echo $m >$R/etc/hostname
done
ip link set lo up
ip address add 192.0.2.10/32 dev lo
R=$DIR/$FIRST/root
mount -t cgroup2 cgroup2 $R/sys/fs/cgroup
for m in $MACHINES; do
  [ $m = $FIRST ] || { mkdir -p $R/srv/$m; mount --rbind $DIR/$m/root $R/srv/$m; }
done
# Who is in a chroot is refused what the units ask for.
mkdir -p $R/mnt/old
cd $R
pivot_root . mnt/old
umount -l /mnt/old
rmdir /mnt/old
mount --make-rshared / # as systemd has it where it is no container
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
`

// noNetwork is put before every tor's own settings.
const noNetwork = "DisableNetwork 1\nTestingTorNetwork 1\nDirAuthority test 127.0.0.1:1 ffffffffffffffffffffffffffffffffffffffff\n"

func startMachines(t *testing.T, dir, base string, names ...string) *debianMachines {
	t.Helper()
	d := &debianMachines{t: t, first: names[0]}
	for _, defaults := range []string{"tor-service-defaults-torrc", "tor-service-defaults-torrc-instances"} {
		// Above what the machine that is named first is made from.
		name := filepath.Join("usr/share/tor", defaults)
		text, err := os.ReadFile(filepath.Join(base, name))
		if err == nil {
			up := filepath.Join(dir, names[0], "up", name)
			err = os.MkdirAll(filepath.Dir(up), 0o755)
			if err == nil {
				err = os.WriteFile(up, append([]byte(noNetwork), text...), 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	group := cgroup2(t)
	script := exec.Command("unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child=KILL", "sh", "-c", machinesScript)
	script.Env = append(os.Environ(), "DIR="+dir, "BASE="+base, "FIRST="+names[0], "MACHINES="+strings.Join(names, " "))
	script.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	var out bytes.Buffer
	script.Stdout, script.Stderr = &out, &out
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		script.Process.Kill() // and with it systemd, and all that it started
		script.Wait()
	})
	for range 600 {
		time.Sleep(100 * time.Millisecond)
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", script.Process.Pid))
		d.init, _ = strconv.Atoi(strings.TrimSpace(string(children)))
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", d.init))
		if string(name) == "systemd\n" {
			break
		}
	}
	for range 600 {
		state, _ := d.try(names[0], "systemctl is-system-running")
		if s := strings.TrimSpace(state); s == "running" || s == "degraded" {
			for _, m := range names[1:] {
				d.sh(t, m, "useradd --create-home "+m)
			}
			return d
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("systemd does not run: %s", out.Bytes())
	return nil
}

// cgroup2 makes a control group for the machines.
func cgroup2(t *testing.T) *os.File {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\S+ (\S+) cgroup2 `).FindSubmatch(mounts)
	if m == nil {
		t.Skip("there is no cgroup2 here, which systemd needs")
	}
	path := filepath.Join(string(m[1]), fmt.Sprintf("tipbox-test-%d", os.Getpid()))
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 50 { // until all processes are gone
			exec.Command("find", path, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run()
			if _, err := os.Stat(path); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Error(path, "stays")
	})
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func (d *debianMachines) command(machine string, args ...string) *exec.Cmd {
	root := "/"
	if machine != d.first {
		root = "/srv/" + machine
	}
	enter := []string{"-t", strconv.Itoa(d.init), "-m", "-p", "-n", "-u", "-i", "-C", "chroot", root,
		"env", "-i", "HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	return exec.Command("nsenter", append(enter, args...)...)
}

// try runs a line as root, with what it prints to either.
func (d *debianMachines) try(machine, line string) (string, error) {
	out, err := d.command(machine, "sh", "-c", "cd /root; "+line).CombinedOutput()
	return string(out), err
}

// sh runs a line as root, which is to succeed.
func (d *debianMachines) sh(t *testing.T, machine, line string) string {
	t.Helper()
	out, err := d.try(machine, line)
	if err != nil {
		t.Fatalf("%s# %s: %v\n%s", machine, line, err, out)
	}
	return out
}

// enter types a command of the README, and returns what it prints to standard output.
func (d *debianMachines) enter(c setupCommand, line string) string {
	d.t.Helper()
	cmd := d.command(c.machine, "sh", "-c", "cd /root; "+line)
	if !c.root {
		cmd = d.command(c.machine, "runuser", "-l", c.machine, "-c", line)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	start := time.Now()
	out, err := cmd.Output()
	d.t.Logf("%s: %s (%v)\n%s%s", c.machine, line, time.Since(start).Round(10*time.Millisecond), out, errs.Bytes())
	if err != nil {
		d.t.Fatal(err)
	}
	return string(out)
}

// path is a file of the server's, as seen from here.
func (d *debianMachines) path(name string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", d.init), name)
}

// put puts a file of this machine onto another.
func (d *debianMachines) put(file, machine, as string) {
	d.t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatal(err)
	}
	cmd := d.command(machine, "sh", "-c", "cat >"+as)
	cmd.Stdin = bytes.NewReader(content)
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("%s: %v\n%s", as, err, out)
	}
}

// carry carries what people give to each other, once it is there.
func (d *debianMachines) carry() {
	d.t.Helper()
	for _, c := range []struct{ from, file, to, as string }{
		{"alice", "/home/alice/alice.card", "holder", "/home/holder/alice.card"},
		{"server", "/root/desk.pub", "holder", "/home/holder/desk.pub"},
		{"holder", "/home/holder/.config/tipbox/roster.note", "server", "/root/roster.note"},
		{"holder", "/home/holder/.config/tipbox/roster.note", "alice", "/home/alice/roster.note"},
	} {
		content, err := d.command(c.from, "cat", c.file).Output()
		if err != nil {
			continue // not yet
		}
		cmd := d.command(c.to, "sh", "-c", "cat >"+c.as)
		cmd.Stdin = bytes.NewReader(content)
		if out, err := cmd.CombinedOutput(); err != nil {
			d.t.Fatalf("%s: %v\n%s", c.as, err, out)
		}
	}
}

const sourcesSocketPath = "/run/tipbox/sources.sock"

func (d *debianMachines) sendTip(text string) {
	d.t.Helper()
	s := newSource("unix:" + d.path(sourcesSocketPath))
	page, err := s.get("/tip")
	if err != nil {
		d.t.Fatal(err)
	}
	status, answer, err := s.post(page, "/tip", url.Values{"channel": {"off-book-funds"}, "text": {text}}, file{"evidence.txt", []byte("evidence")})
	if err != nil || status != 200 {
		d.t.Fatalf("status %d, %v: %s", status, err, notice(answer))
	}
}

// files are all files of a machine that is no longer to be, but what every package
// leaves: the list of users, and the logs and caches of dpkg and apt.
func (d *debianMachines) files(machine string) []string {
	d.t.Helper()
	left := regexp.MustCompile(`^/(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|var/(log|cache)/.*|var/lib/(dpkg|apt)/.*|etc/.pwd.lock|root/.*)$`)
	var files []string
	for file := range strings.Lines(d.sh(d.t, machine, `find / -xdev ! -type d -o -xdev -type d -empty`)) {
		if file = strings.TrimSpace(file); !left.MatchString(file) {
			files = append(files, file)
		}
	}
	return files
}

// torLeads checks that tor runs for this alone, may connect, and others may not.
func (d *debianMachines) torLeads(t *testing.T) {
	d.sh(t, "server", "systemctl is-active tor@tipbox")
	d.sh(t, "server", "runuser -u _tor-tipbox -- test -w "+sourcesSocketPath)
	if out, err := d.try("server", "runuser -u nobody -- test -w "+sourcesSocketPath); err == nil {
		t.Error("everybody can connect to the sources' socket:", out)
	}
	if out, err := d.try("server", "runuser -u _tor-tipbox -- ls /var/lib/tipbox"); err == nil {
		t.Error("tor can look into the folder:", out)
	}
	if address := d.sh(t, "server", "cat /var/lib/tor-instances/tipbox/sources/hostname"); !strings.HasSuffix(strings.TrimSpace(address), ".onion") {
		t.Error("the onion service is at", address)
	}
	for _, m := range []string{"holder", "alice"} {
		if out, err := d.try(m, "test -e /var/lib/tor-instances/tipbox/sources"); err == nil {
			t.Errorf("%s has an onion service: %s", m, out)
		}
	}
}

// shutIn looks at the process as the kernel has it.
func (d *debianMachines) shutIn(t *testing.T) {
	pid := strings.TrimSpace(d.sh(t, "server", "systemctl show --value -p MainPID tipboxd"))
	status := d.sh(t, "server", "cat /proc/"+pid+"/status")
	for _, want := range []string{`NoNewPrivs:\s+1`, `Seccomp:\s+2`, `CapEff:\s+0+\n`, `CapBnd:\s+0+\n`} {
		if !regexp.MustCompile(want).MatchString(status) {
			t.Errorf("no %s in\n%s", want, status)
		}
	}
	if regexp.MustCompile(`Uid:\s+0`).MatchString(status) {
		t.Error("it runs as root")
	}
	confined := d.sh(t, "server", "tipboxd status /var/lib/tipbox")
	measures := []string{"Landlock", "seccomp", "no core dumps"}
	log := d.sh(t, "server", "journalctl --no-pager -u tipboxd")
	if mayRaiseLimits(t) {
		measures = append(measures, "locked memory")
	} else {
		t.Log("not tried: LimitMEMLOCK=infinity, as this machine lets nobody raise a limit (CAP_SYS_RESOURCE)")
		log = regexp.MustCompile(`.*LimitMEMLOCK.*\n`).ReplaceAllString(log, "")
	}
	for _, want := range measures {
		if !strings.Contains(confined, want) {
			t.Errorf("no %s in\n%s", want, confined)
		}
	}
	if strings.Contains(log, "WARN") || strings.Contains(log, "ERROR") {
		t.Error(log)
	}
	doctor, _ := d.try("server", "tipboxd doctor /var/lib/tipbox")
	t.Log(doctor)
	for _, check := range []string{"server", "permissions", "settings", "addresses", "database", "kernel", "memory", "open files"} {
		if !regexp.MustCompile(`(?m)^ok +` + check + ` `).MatchString(doctor) {
			t.Errorf("the doctor does not find the %s well", check)
		}
	}
}

// mayRaiseLimits reports whether systemd can set limits above those that we have.
func mayRaiseLimits(t *testing.T) bool {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	return data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

// otherUnits runs the services behind the timers.
func (d *debianMachines) otherUnits(t *testing.T) {
	key, err := exec.Command(program("age-keygen"), "-pq").Output()
	if err != nil {
		t.Fatal(err)
	}
	public := regexp.MustCompile(`age1pq1\S+`).FindString(string(key))
	d.sh(t, "server", "sed -i \"s/^backup_recipients = .*/backup_recipients = ['"+public+"']/\" /var/lib/tipbox/tipbox.toml")
	d.sh(t, "server", "systemctl enable --now tipboxd-backup.timer tipboxd-compact.timer")
	d.sh(t, "server", "systemctl start tipboxd-backup.service || { journalctl --no-pager -u tipboxd-backup; exit 1; }")
	d.sh(t, "server", "systemctl start tipboxd-backup.service") // a second of the day
	if out := d.sh(t, "server", "ls -l /var/lib/tipbox-backups"); strings.Count(out, "-rw------- 1 tipbox tipbox") != 2 {
		t.Error("backups:", out)
	}
	d.sh(t, "server", "systemctl start tipboxd-compact.service || { journalctl --no-pager -u tipboxd-compact; exit 1; }")
	d.sh(t, "server", "systemctl restart tipboxd.service")
	// The desk's socket is for the desk as an onion service.
	d.sh(t, "server", "systemctl enable tipboxd-desk.socket && systemctl stop tipboxd.service tipboxd-sources.socket && systemctl start tipboxd-desk.socket tipboxd.service")
	if log := d.sh(t, "server", "tipboxd status /var/lib/tipbox --json; tipboxd doctor /var/lib/tipbox || true"); !strings.Contains(log, "/run/tipbox/desk.sock") {
		t.Error("the desk does not listen on the socket that systemd passes:", log)
	}
	d.sh(t, "server", "systemctl disable --now tipboxd-desk.socket && systemctl restart tipboxd.service && test ! -e /run/tipbox/desk.sock")
}

// credential has a password come from systemd. At the start the server says of each
// one whether it can be read.
func (d *debianMachines) credential(t *testing.T) {
	d.sh(t, "server", `cp -p /var/lib/tipbox/tipbox.toml toml && sed -i '/^\[notify\]/,$d' /var/lib/tipbox/tipbox.toml && cat >>/var/lib/tipbox/tipbox.toml <<END
[notify]
hours = ["00:00"]
[notify.smtp]
server = "127.0.0.1:1"
from = "desk@city.example"
user = "desk"
password_file = "credential:tipbox.smtp"
[[notify.mail]]
member = "alice"
address = "alice@city.example"
END
`)
	log := func() string {
		t.Helper()
		// The lines of this start alone.
		return d.sh(t, "server", "systemctl restart tipboxd.service && sleep 1 && journalctl --no-pager _SYSTEMD_INVOCATION_ID=$(systemctl show --value -p InvocationID tipboxd.service)")
	}
	if without := log(); !strings.Contains(without, "tipbox.smtp") {
		t.Error("nothing is said of the password that is not there:", without)
	}
	d.sh(t, "server", "mkdir -p -m 700 /etc/credstore && echo secret >/etc/credstore/tipbox.smtp && chmod 600 /etc/credstore/tipbox.smtp")
	if with := log(); strings.Contains(with, "tipbox.smtp") {
		t.Error(with)
	}
	d.sh(t, "server", "cat toml >/var/lib/tipbox/tipbox.toml && rm -r toml /etc/credstore && systemctl restart tipboxd.service")
}

// tls has sources come straight from the net, by a socket that systemd opens.
func (d *debianMachines) tls(t *testing.T) {
	dir := t.TempDir()
	run(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=tips.example", "-addext", "subjectAltName=DNS:tips.example",
		"-days", "2", "-keyout", filepath.Join(dir, "key.pem"), "-out", filepath.Join(dir, "cert.pem"))
	for _, name := range []string{"key.pem", "cert.pem"} {
		d.put(filepath.Join(dir, name), "server", "/var/lib/tipbox/"+name)
	}
	d.sh(t, "server", `cp -p /var/lib/tipbox/tipbox.toml toml && cd /var/lib/tipbox && chown tipbox:tipbox key.pem cert.pem && chmod 600 key.pem cert.pem &&
printf '[tls]\nlisten = "0.0.0.0:443"\ncert_file = "cert.pem"\nkey_file = "key.pem"\n' >>tipbox.toml && systemctl enable tipboxd-tls.socket &&
systemctl stop tipboxd.service tipboxd-sources.socket && systemctl start tipboxd-tls.socket tipboxd.service`)
	hello := exec.Command("nsenter", "-t", strconv.Itoa(d.init), "-n", "openssl", "s_client", "-connect", "192.0.2.10:443", "-servername", "tips.example",
		"-CAfile", filepath.Join(dir, "cert.pem"), "-verify_return_error", "-brief")
	out, err := hello.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("TLSv1.3")) {
		t.Errorf("%v\n%s", err, out)
	}
	d.sh(t, "server", "systemctl disable --now tipboxd-tls.socket; cat toml >/var/lib/tipbox/tipbox.toml && rm toml /var/lib/tipbox/*.pem && systemctl restart tipboxd.service")
}

// upgrade puts another version over the one that runs.
func (d *debianMachines) upgrade(t *testing.T, newer string) {
	d.put(newer, "server", "/root/newer.deb")
	t.Log(d.sh(t, "server", "apt install ./newer.deb"))
	if out := d.sh(t, "server", "tipboxd status /var/lib/tipbox --json"); !strings.Contains(out, `"version":"1.1"`) {
		t.Error(out)
	}
	d.sendTip("The fund goes on.")
	if out := d.sh(t, "alice", "runuser -l alice -c 'tipbox inbox'"); strings.Count(out, "off-book-funds") != 2 {
		t.Error(out)
	}
}

// purge takes the package off the server. What people told stays, and is said to.
func (d *debianMachines) purge(t *testing.T, again string) {
	d.sh(t, "server", "apt remove --yes tipbox")
	if out, err := d.try("server", "pgrep tipboxd || systemctl is-active tipboxd.service tipboxd-sources.socket"); err == nil {
		t.Error("it runs on:", out)
	}
	out := d.sh(t, "server", "dpkg --purge tipbox")
	for _, kept := range []string{"/var/lib/tipbox", "/var/lib/tipbox-backups", "/var/lib/tor-instances/tipbox"} {
		if !strings.Contains(out, kept+" is kept") {
			t.Errorf("nothing is said of %s: %s", kept, out)
		}
		d.sh(t, "server", "test -e "+kept)
	}
	if left := d.sh(t, "server", "find / -xdev -name '*tipbox*' ! -path '/var/lib/tipbox*' ! -path '/var/lib/tor-instances/*' ! -path '/root/*' ! -path '/var/log/*' ! -path '/proc/*'"); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	d.put(again, "server", "/root/again.deb")
	d.sh(t, "server", "apt install ./again.deb && systemctl start tipboxd.service")
	if out := d.sh(t, "alice", "runuser -l alice -c 'tipbox inbox'"); strings.Count(out, "off-book-funds") != 2 {
		t.Error("installed again, it has other tips:", out)
	}
}
