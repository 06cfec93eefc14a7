package cmd_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A torNet is a Tor network of our own: authorities, relays, a tor for onion services
// and some for clients, from Debian's tor. It runs in a namespace that has nothing but
// a loopback interface, so that no tor of it can reach another network, and ends with
// the namespace. We are outside, and reach it by its Unix sockets.
type torNet struct {
	dir    string
	upIn   time.Duration
	output *output
}

// A torPlan is what runs besides authorities and relays: lines of torrc.
type torPlan struct {
	Service string            // of the tor for onion services, whose folder is service
	Clients map[string]string // by the name of the folder
}

const (
	torNetEnv = "TIPBOX_TORNET" // the network's folder, for the program that is started inside

	torAuthorities = 3
	torRelays      = 5 // with fewer, paths A-B-A come about, which relays refuse

	torPatience = 5 * time.Minute // on a machine that does much else
)

// needTor skips the test where the network cannot be had.
func needTor(t *testing.T) {
	t.Helper()
	for _, name := range []string{torProgram(), "tor-gencert", "unshare"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("it takes Debian's tor and util-linux: ", err)
		}
	}
	if out, err := exec.Command("unshare", append(torNamespace, "true")...).CombinedOutput(); err != nil {
		t.Skipf("it takes namespaces of users and networks: %v: %s", err, out)
	}
}

// torProgram is tor, which Debian puts where not everybody looks for programs.
func torProgram() string {
	if path, err := exec.LookPath("tor"); err == nil {
		return path
	}
	return "/usr/sbin/tor"
}

// torNamespace are the arguments of unshare: for root as for anybody, and such that
// nothing outlives the command.
var torNamespace = []string{"--user", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"}

// startTorNet starts a network and waits until its clients are connected. It ends with
// the test.
func startTorNet(t *testing.T, dir string, plan torPlan) *torNet {
	t.Helper()
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plan.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	n := &torNet{dir: dir, output: new(output)}
	cmd := exec.Command("unshare", append(torNamespace, os.Args[0], "-test.run=^TestTor$", "-test.timeout=0")...)
	cmd.Env = append(os.Environ(), torNetEnv+"="+dir, programsEnv+"="+programs)
	cmd.Stdout, cmd.Stderr = n.output, n.output
	stdin, err := cmd.StdinPipe() // it ends when this is closed, and so with us
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		stdin.Close()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
	})
	for end := time.Now().Add(torPatience); ; {
		if _, err := os.Stat(filepath.Join(dir, "up")); err == nil {
			n.upIn = time.Since(began)
			return n
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the Tor network ended: %v\n%s", err, n.output.Bytes())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("the Tor network does not come up\n%s", n.output.Bytes())
		}
	}
}

// onion is the address of the onion service in a folder below that of its tor.
func (n *torNet) onion(t *testing.T, folder string) string {
	t.Helper()
	name, err := os.ReadFile(filepath.Join(n.dir, "service", folder, "hostname"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(name))
}

// socks is a client's socket, as --socks takes it.
func (n *torNet) socks(client string) string {
	return "unix:" + filepath.Join(n.dir, client, "socks")
}

// loopbackSocks leads a port of loopback to a client's socket.
func (n *torNet) loopbackSocks(t *testing.T, client string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				tor, err := net.Dial("unix", filepath.Join(n.dir, client, "socks"))
				if err != nil {
					return
				}
				defer tor.Close()
				go func() {
					io.Copy(tor, conn)
					tor.(*net.UnixConn).CloseWrite()
				}()
				io.Copy(conn, tor)
			}()
		}
	}()
	return l.Addr().String()
}

// reload has a tor read its torrc and keys again, as "systemctl reload tor" does.
func (n *torNet) reload(t *testing.T, name string) {
	t.Helper()
	if answer, err := torControl(n.dir, name, "SIGNAL RELOAD"); err != nil || !strings.HasPrefix(answer, "250 OK") {
		t.Fatalf("reloading %s: %v: %s", name, err, answer)
	}
}

// torControl gives a tor a command, and returns what it answers.
func torControl(dir, name, command string) (answer string, err error) {
	conn, err := net.Dial("unix", filepath.Join(dir, name, "control"))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(conn, "AUTHENTICATE\r\n%s\r\nQUIT\r\n", command)
	all, err := io.ReadAll(conn)
	answer = strings.TrimPrefix(string(all), "250 OK\r\n")
	return strings.TrimSuffix(answer, "250 closing connection\r\n"), err
}

// What follows runs inside.

// A torInside is the network as it is set up.
type torInside struct {
	t    *testing.T
	dir  string
	dirs string // the DirAuthority lines
	tors map[string]*exec.Cmd

	began time.Time
}

// runTorNet runs the network until standard input ends, and the namespace with it.
func runTorNet(t *testing.T, dir string) {
	n := &torInside{t: t, dir: dir, tors: make(map[string]*exec.Cmd), began: time.Now()}
	n.mustBeAlone()
	text, err := os.ReadFile(filepath.Join(dir, "plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	var plan torPlan
	if err := json.Unmarshal(text, &plan); err != nil {
		t.Fatal(err)
	}
	n.makeAuthorities()
	var relays []string
	for i := range torAuthorities {
		name := torAuthority(i)
		n.write(name, n.relay(name, torORPort+i, fmt.Sprintf("127.0.0.1:%d", torDirPort+i))+torVoting+"V3BandwidthsFile "+n.measured()+"\n")
		relays = append(relays, name)
	}
	for i := range torRelays {
		name := fmt.Sprintf("relay%d", i)
		n.write(name, n.relay(name, torORPort+torAuthorities+i, "0"))
		relays = append(relays, name)
	}
	n.write("service", "SocksPort 0\n"+plan.Service)
	for name, lines := range plan.Clients {
		n.write(name, "SocksPort unix:"+filepath.Join(dir, name, "socks")+" ExtendedErrors\n"+lines)
	}
	var keys sync.WaitGroup
	for _, name := range relays {
		keys.Go(func() {
			n.run("", torProgram(), "--defaults-torrc", "/dev/null", "-f", n.torrc(name), "--list-fingerprint", "--hush")
		})
	}
	keys.Wait()
	if t.Failed() {
		t.FailNow()
	}
	n.measure(relays)
	n.wait("keys", func() bool { return true })
	// The first vote comes when all relays have told of themselves, for who is not in it
	// waits for the next. How long the keys took says how fast this machine is.
	first := time.Now().Add(min(5*time.Second+time.Since(n.began)/2, 15*time.Second)).Unix()
	offset := (first + torVoteDelay + torDistDelay) % torVotingInterval
	for i := range torAuthorities {
		n.append(torAuthority(i), fmt.Sprintf("TestingV3AuthVotingStartOffset %d\n", offset))
	}
	for _, name := range relays {
		n.start(name)
	}
	n.wait("a consensus of all", func() bool { return n.listed() == torAuthorities+torRelays })
	for _, name := range relays {
		n.hup(name) // resets the back-off of their downloads
	}
	for _, name := range relays {
		n.nudge(name, "descriptors", n.knowsAll)
	}
	n.start("service")
	for name := range plan.Clients {
		n.start(name)
	}
	n.nudge("service", torBooted, n.booted)
	for name := range plan.Clients {
		n.nudge(name, torBooted, n.booted)
	}
	if err := os.WriteFile(filepath.Join(dir, "up"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, os.Stdin)
}

// mustBeAlone makes sure that there is no way out before any tor starts.
func (n *torInside) mustBeAlone() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		n.t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		n.t.Fatal("bringing loopback up: ", err)
	}
	all, err := net.Interfaces()
	if err != nil || len(all) != 1 || all[0].Flags&net.FlagLoopback == 0 {
		n.t.Fatalf("this is no namespace of its own: %v, %v", all, err)
	}
}

const (
	torORPort  = 5100 // and up
	torDirPort = 7100 // of authorities, and up

	torVotingInterval, torVoteDelay, torDistDelay = 20, 2, 2 // seconds

	torBooted = "Bootstrapped 100%"
)

func torAuthority(i int) string { return fmt.Sprintf("authority%d", i) }

// makeAuthorities makes the keys of the authorities, by which every tor knows them.
func (n *torInside) makeAuthorities() {
	lines := make([]string, torAuthorities)
	var all sync.WaitGroup
	for i := range torAuthorities {
		all.Go(func() {
			name := torAuthority(i)
			dir := filepath.Join(n.dir, name)
			keys := filepath.Join(dir, "keys")
			address := fmt.Sprintf("127.0.0.1:%d", torDirPort+i)
			if err := os.MkdirAll(keys, 0o700); err != nil {
				n.t.Error(err)
				return
			}
			certificate := filepath.Join(keys, "authority_certificate")
			n.run("pass\n", "tor-gencert", "--create-identity-key", "-m", "12", "-a", address, "--passphrase-fd", "0",
				"-i", filepath.Join(keys, "authority_identity_key"), "-s", filepath.Join(keys, "authority_signing_key"), "-c", certificate)
			n.run("", torProgram(), "--defaults-torrc", "/dev/null", "-f", "/dev/null", "--ignore-missing-torrc", "--DisableNetwork", "1", "--TestingTorNetwork", "1",
				"--DirAuthority", "dummy 127.0.0.1:1 "+strings.Repeat("F", 40), "--DataDirectory", dir, "--Nickname", name, "--ORPort", "1", "--SocksPort", "0",
				"--list-fingerprint", "--hush")
			v3 := n.find(certificate, `(?m)^fingerprint ([0-9A-F]{40})$`)
			lines[i] = fmt.Sprintf("DirAuthority %s orport=%d no-v2 v3ident=%s %s %s\n", name, torORPort+i, v3, address, n.fingerprint(name))
		})
	}
	all.Wait()
	if n.t.Failed() {
		n.t.FailNow()
	}
	n.dirs = strings.Join(lines, "")
}

// measure tells the authorities that all relays are as fast. They would else go by what
// each says of itself, which at first is nothing: and then most paths come about twice
// through the one that has said something, which nobody lets pass.
func (n *torInside) measure(relays []string) {
	text := fmt.Sprintln(time.Now().Unix())
	for _, name := range relays {
		text += fmt.Sprintf("node_id=$%s bw=10000\n", n.fingerprint(name))
	}
	if err := os.WriteFile(n.measured(), []byte(text), 0o600); err != nil || n.t.Failed() {
		n.t.Fatal(err)
	}
}

func (n *torInside) measured() string { return filepath.Join(n.dir, "measured") }

func (n *torInside) fingerprint(name string) string {
	return n.find(filepath.Join(n.dir, name, "fingerprint"), `^\S+ ([0-9A-F]{40})\s*$`)
}

// find is what the pattern's group matches in a file.
func (n *torInside) find(path, pattern string) string {
	text, err := os.ReadFile(path)
	m := regexp.MustCompile(pattern).FindSubmatch(text)
	if err != nil || m == nil {
		n.t.Errorf("%s has no %s: %v", path, pattern, err)
		return ""
	}
	return string(m[1])
}

func (n *torInside) run(stdin, program string, args ...string) {
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Errorf("%s %v: %v\n%s", program, args, err, out)
	}
}

func (n *torInside) torrc(name string) string { return filepath.Join(n.dir, name+".torrc") }

// write writes a torrc and has tor check it. Each is of a network for tests and has its
// authorities: none other is ever asked.
func (n *torInside) write(name, lines string) {
	folder := filepath.Join(n.dir, name)
	text := "TestingTorNetwork 1\n" + n.dirs + fmt.Sprintf(`DataDirectory %[1]s
Log notice file %[1]s/notice.log
ControlSocket %[1]s/control
ShutdownWaitLength 0
LearnCircuitBuildTimeout 0
CircuitBuildTimeout 10
MaxCircuitDirtiness 1 day
KISTSchedRunInterval 1 msec
`, folder) + lines
	err := os.MkdirAll(folder, 0o700)
	if err == nil {
		err = os.WriteFile(n.torrc(name), []byte(text), 0o600)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	n.run("", torProgram(), "--defaults-torrc", "/dev/null", "-f", n.torrc(name), "--verify-config", "--hush")
	if n.t.Failed() {
		n.t.FailNow()
	}
}

func (n *torInside) append(name, line string) {
	f, err := os.OpenFile(n.torrc(name), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(line)
		f.Close()
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// relay are the lines of a relay, which an authority is too.
func (n *torInside) relay(name string, port int, dirPort string) string {
	return fmt.Sprintf(`Nickname %s
ContactInfo nobody@test.invalid
Address 127.0.0.1
ORPort 127.0.0.1:%d
DirPort %s
SocksPort 0
ExitRelay 0
AssumeReachable 1
ServerDNSDetectHijacking 0
`, name, port, dirPort)
}

// torVoting are the lines of an authority.
var torVoting = fmt.Sprintf(`AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
V3AuthVotingInterval %[1]d
V3AuthVoteDelay %[2]d
V3AuthDistDelay %[3]d
TestingV3AuthInitialVotingInterval %[1]d
TestingV3AuthInitialVoteDelay %[2]d
TestingV3AuthInitialDistDelay %[3]d
ConsensusParams cc_cwnd_min=1000 cc_cwnd_init=1000
`, torVotingInterval, torVoteDelay, torDistDelay)

func (n *torInside) start(name string) {
	cmd := exec.Command(torProgram(), "--defaults-torrc", "/dev/null", "-f", n.torrc(name), "--hush")
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.tors[name] = cmd
}

func (n *torInside) hup(name string) { n.tors[name].Process.Signal(syscall.SIGHUP) }

// wait waits until something is so, and says when it was.
func (n *torInside) wait(what string, is func() bool) {
	defer func() { fmt.Printf("%6.1f s: %s\n", time.Since(n.began).Seconds(), what) }()
	for !is() {
		if time.Since(n.began) > torPatience {
			n.t.Fatalf("there is no %s", what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// listed is how many relays the first authority's consensus lists.
func (n *torInside) listed() (relays int) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/tor/status-vote/current/consensus-microdesc", torDirPort))
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "r ") {
			relays++
		}
	}
	return relays
}

// nudge waits until a tor has something, and resets its back-off now and then.
func (n *torInside) nudge(name, what string, has func(name string) bool) {
	next := time.Now().Add(5 * time.Second)
	n.wait(name+": "+what, func() bool {
		if has(name) {
			return true
		}
		if time.Now().After(next) {
			n.hup(name)
			next = time.Now().Add(5 * time.Second)
		}
		return false
	})
}

func (n *torInside) booted(name string) bool {
	log, err := os.ReadFile(filepath.Join(n.dir, name, "notice.log"))
	return err == nil && strings.Contains(string(log), torBooted)
}

// knowsAll reports whether a relay can tell clients of every relay.
func (n *torInside) knowsAll(name string) bool {
	answer, err := torControl(n.dir, name, "GETINFO md/all")
	return err == nil && strings.Count(answer, "\nonion-key") >= torAuthorities+torRelays
}
