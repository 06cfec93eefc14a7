package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"tipbox/crypto/roster"
	"tipbox/static"
	"tipbox/tipbox"
)

// doctorChecks are all checks, in the order in which they are best put right.
func doctorChecks() []doctorCheck {
	return []doctorCheck{
		{name: "server", well: (*exam).serverRuns, look: (*exam).lookServer},
		{name: "permissions", well: says("nobody else can read the folder"), look: (*exam).lookPermissions},
		{name: "settings", well: says("tipbox.toml is well formed"), look: (*exam).lookSettings},
		{name: "addresses", well: (*exam).whereItListens, look: (*exam).lookAddresses},
		{name: "certificate", well: (*exam).whichCertificate, look: (*exam).lookCertificate},
		{name: "tor", well: (*exam).whereOnion, look: (*exam).lookTor, elsewhere: true},
		{name: "desk's onion", well: (*exam).whoFindsDesk, look: (*exam).lookDeskOnion, elsewhere: true},
		{name: "format", well: (*exam).whichFormat, look: (*exam).lookFormat},
		{name: "database", well: (*exam).howMuchWasSeen, look: (*exam).lookDatabase},
		{name: "disk", well: (*exam).roomLeft, look: (*exam).lookDisk},
		{name: "clock", well: says("it goes right, as far as can be told"), look: (*exam).lookClock},
		{name: "time zone", well: (*exam).whichZone, look: (*exam).lookZone},
		{name: "roster", well: (*exam).whichRoster, look: (*exam).lookRoster},
		{name: "site", well: says("channels, schedule and pages can be shown in each language"), look: (*exam).lookSite},
		{name: "backup", well: (*exam).lastBackup, look: (*exam).lookBackup},
		{name: "notices", well: says("nothing is undelivered"), look: (*exam).lookNotices},
		{name: "kernel", well: (*exam).kernelFeatures, look: (*exam).lookKernel},
		{name: "memory", well: (*exam).memoryKept, look: (*exam).lookMemory},
		{name: "open files", well: (*exam).filesAllowed, look: (*exam).lookFiles},
	}
}

func says(text string) func(*exam) string { return func(*exam) string { return text } }

func (e *exam) serverRuns() string {
	confined := "it is not confined"
	if c := e.server.Confinement; len(c) > 0 {
		confined = "confined by " + strings.Join(c, ", ")
	}
	return fmt.Sprintf("running since %s; %s", e.server.Since, confined)
}

func (e *exam) lookServer() {
	switch {
	case e.server != nil:
		if now := programVersion(); e.server.Version != now {
			e.warn("stop and start the server", "the server that runs is of version %s, and this program of %s: the new one serves after a restart", e.server.Version, now)
		}
	case locked(e.unseen):
		e.warn("wait until it is done, and try again", "another process has the database, and answers nobody: a check, or a server that is starting or stopping")
	case e.unseen != nil && !missing(e.unseen) && e.glance == nil && strings.HasPrefix(e.unseen.Error(), "asking the server"):
		e.fail("stop and start the server", "a server runs and does not answer as it should: %v", e.unseen)
	default:
		e.warn("tipboxd serve "+e.f.path, "no server is running: nobody can send a tip")
	}
}

func (e *exam) lookPermissions() {
	folder, err := os.Stat(e.f.path)
	if err != nil {
		e.fail("", "%v", err)
		return
	}
	private := []string{".", configName, databaseName, blobsName, deskKeyName, notifyName, acmeName}
	for _, name := range append(private, rosterName, siteName) {
		file := filepath.Join(e.f.path, name)
		info, err := os.Stat(file)
		if err != nil {
			if !missing(err) {
				e.fail("", "%v", err)
			}
			continue
		}
		mode := info.Mode().Perm()
		if slices.Contains(private, name) && mode&0o077 != 0 {
			e.fail("chmod go= "+file, "others can read %s (mode %04o), and the server does not start", file, mode)
		} else if mode&0o022 != 0 {
			e.fail("chmod go-w "+file, "others can write %s (mode %04o), and so change what sources read", file, mode)
		}
		of, ok := info.Sys().(*syscall.Stat_t)
		if owner, also := folder.Sys().(*syscall.Stat_t); ok && also && of.Uid != owner.Uid {
			e.fail(fmt.Sprintf("chown %d:%d %s", owner.Uid, owner.Gid, file), "%s belongs to another user than the folder: the server cannot use it", file)
		}
	}
	for _, name := range []string{databaseName, blobsName} {
		if _, err := os.Stat(e.f.file(name)); missing(err) && !e.unsettled() {
			e.fail("put it back, or restore a backup with tipboxd restore", "%s is missing, and with it every tip: is a disk not mounted?", e.f.file(name))
		}
	}
	if e.keyErr != nil {
		e.fail("restore it from a backup", "the server's key, by which members know it: %v", e.keyErr)
	}
}

func (e *exam) lookSettings() {
	if e.configErr != nil {
		e.fail("", "%v", e.configErr)
	}
}

// unsettled reports whether there are no settings at all.
func (e *exam) unsettled() bool { return e.f.config.Listen == "" }

func (e *exam) whereItListens() string {
	at := e.addresses()
	secure := ""
	if t := e.f.config.TLS; t.on() {
		secure = fmt.Sprintf(" and by TLS at %s", t.Listen)
	}
	return fmt.Sprintf("sources at %s%s, members at %s", at.Sources, secure, at.Desk)
}

func (e *exam) lookAddresses() {
	if e.unsettled() {
		e.warn("", "unknown without %s", configName)
		return
	}
	edit := "set another address in " + e.f.file(configName)
	at := e.addresses()
	switch reach(at.Sources) {
	case reachAll, reachWorld:
		e.fail(edit+", such as 127.0.0.1:8080, with an onion service or a TLS terminator before it",
			"sources' pages are at %s, which can be reached from outside without TLS: whoever has the line reads tips and receipt codes", at.Sources)
	case reachNear:
		e.warn(edit+", unless a TLS terminator on the same network stands before it",
			"sources' pages are at %s, without TLS: whoever has the line to there reads tips and receipt codes", at.Sources)
	}
	for _, address := range []string{at.Sources, at.Desk} {
		path, ok := strings.CutPrefix(address, unixPrefix)
		if !ok {
			continue
		}
		folder := filepath.Dir(path)
		info, err := os.Stat(folder)
		made := strings.HasPrefix(folder, "/run/") // perhaps by systemd when the server starts
		if missing(err) && !made {
			e.fail("mkdir -m 2750 "+folder+", and chown it to the server's user and to the group that is to connect", "there is no folder %s for the socket: the server does not start", folder)
		} else if err == nil && info.Mode().Perm()&0o002 != 0 {
			e.fail("chmod o-w "+folder+", or set another address in "+e.f.file(configName), "others can write %s, and so answer in the server's place at %s", folder, path)
		}
	}
	if reach(at.Desk) == reachAll {
		e.warn(edit+", that of the network from which members come, or 127.0.0.1 behind an onion service",
			"the desk listens on all addresses (%s): it lets in members only, but anybody sees that it is there", at.Desk)
	}
}

// A scope is from where an address can be reached.
type scope int

const (
	reachHere  scope = iota // this machine
	reachNear               // a private network
	reachWorld              // the Internet
	reachAll                // all addresses that the machine has
)

// reach tells of an address to listen on. A name that is no address is the world's,
// but for localhost.
func reach(address string) scope {
	host, _, err := net.SplitHostPort(address)
	if err != nil || strings.Contains(address, "/") { // a Unix socket
		return reachHere
	}
	if host == "" {
		return reachAll
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil && host == "localhost":
		return reachHere
	case err != nil:
		return reachWorld
	case ip.IsLoopback():
		return reachHere
	case ip.IsUnspecified():
		return reachAll
	case ip.IsPrivate() || ip.IsLinkLocalUnicast():
		return reachNear
	}
	return reachWorld
}

func (e *exam) whichFormat() string {
	if e.glance == nil {
		return "unknown, since nobody could look into the database"
	}
	if e.glance.Format < tipbox.Format {
		return fmt.Sprintf("of format %d; the next start brings it to %d, after which earlier programs refuse it", e.glance.Format, tipbox.Format)
	}
	return fmt.Sprintf("of format %d, which is this program's", e.glance.Format)
}

func (e *exam) lookFormat() {
	if e.glance != nil && e.glance.Format > tipbox.Format {
		e.fail("start the program that it was last used with, or tipboxd restore the backup made before the upgrade",
			"the store is of format %d, and this program knows formats up to %d", e.glance.Format, tipbox.Format)
	}
}

func (e *exam) howMuchWasSeen() string {
	return "nothing is amiss with the newest tips; all are read by tipboxd check"
}

func (e *exam) lookDatabase() {
	if e.glance == nil {
		if !locked(e.unseen) && !missing(e.unseen) {
			e.fail("keep a copy of the folder as it is, then tipboxd check "+e.f.path, "nobody could look into it: %v", e.unseen)
		} else {
			e.warn("", "nobody could look into it: %v", e.unseen)
		}
		return
	}
	const most = 3
	for i, p := range e.glance.Problems {
		if i == most {
			e.fail("tipboxd check "+e.f.path, "and %d problems more", len(e.glance.Problems)-most)
			break
		}
		e.fail("keep a copy of the folder as it is, stop the server, then tipboxd check "+e.f.path, "%s", p)
	}
	if n := e.glance.Orphans; n > 0 {
		e.warn("tipboxd serve "+e.f.path, "%d files are of tips that were never finished, or of which the record is lost: the next start removes the former", n)
	}
}

func (e *exam) roomLeft() string {
	free, _ := e.m.free(e.f.path)
	return fmt.Sprintf("%d MiB or more are free", tipbox.SizeBand(free>>20)) // see tipbox.Census
}

func (e *exam) lookDisk() {
	free, err := e.m.free(e.f.path)
	if err != nil {
		e.fail("", "nobody knows how much room there is: %v", err)
		return
	}
	reserve := e.f.config.Reserve << 20
	var database int64
	if info, err := os.Stat(e.f.file(databaseName)); err == nil {
		database = info.Size()
	}
	const enlarge = "make room, or enlarge the disk"
	switch {
	case free < reserve:
		e.fail(enlarge, "%d MiB are free, and %d are reserved for texts: sources can send no files", free>>20, reserve>>20)
	case free < reserve+database:
		e.warn(enlarge, "%d MiB are free: a backup or tipboxd compact takes a second copy of the database, %d MiB, and would fail", free>>20, database>>20)
	case free < 2*reserve:
		e.warn(enlarge, "%d MiB are free; below %d, sources can send no files", free>>20, reserve>>20)
	}
}

func (e *exam) lookClock() {
	const set = "set the clock, and have it kept by systemd-timesyncd or chrony"
	if e.glance != nil && e.glance.Ahead != "" {
		e.fail(set, "it is %s by the clock, and a tip is of %s: the clock is wrong now, or was then. Deadlines and retention go by it", e.today, e.glance.Ahead)
	}
	if r := e.readRoster(); r != nil {
		// Its signer's midnight may be another.
		if tomorrow := e.m.now().In(e.f.location).AddDate(0, 0, 1).Format(time.DateOnly); r.Day > tomorrow {
			e.fail(set, "it is %s by the clock, and the roster was signed on %s", e.today, r.Day)
		}
	}
	if e.m.clock() == clockFree {
		e.warn("timedatectl set-ntp true", "nothing keeps the clock right (the kernel says that it is not synchronised): days and deadlines go by it")
	}
}

// readRoster is the roster of the folder if the root key signed it, however old.
func (e *exam) readRoster() (r *roster.Roster) {
	e.asOwner(func() {
		if signed, err := readFile(e.f.file(rosterName)); err == nil {
			r, _ = roster.Open(signed, e.f.config.Root, roster.Mark{})
		}
	})
	return r
}

func (e *exam) whichZone() string { return fmt.Sprintf("days are those of %s", e.f.config.Timezone) }

func (e *exam) lookZone() {
	switch zone := e.f.config.Timezone; {
	case zone == "Local":
		e.warn("set timezone in "+e.f.file(configName)+", such as Asia/Shanghai", "days are those of the machine's own zone, and move when that is changed")
	case zone != "":
		if _, err := time.LoadLocation(zone); err != nil {
			e.fail("set timezone in "+e.f.file(configName)+", such as Asia/Shanghai, or install tzdata", "the zone of the organisation's days cannot be loaded: %v", err)
		}
	}
}

func (e *exam) whichRoster() string {
	r := e.readRoster()
	return fmt.Sprintf("serial %d, signed on %s: %d members, and nothing lacks", r.Serial, r.Day, len(r.Members))
}

func (e *exam) lookRoster() {
	file := e.f.file(rosterName)
	signed, err := readFile(file)
	if missing(err) {
		e.fail("tipbox roster add "+deskPubName+", tipbox roster sign, and put roster.note there", "there is no %s: the root key's holder has to enter %s, and sign", file, e.f.file(deskPubName))
		return
	}
	if err != nil {
		e.fail("", "%v", err)
		return
	}
	var last roster.Mark
	if e.glance != nil {
		last = e.glance.Roster
	}
	r, err := roster.Open(signed, e.f.config.Root, last)
	if errors.Is(err, roster.ErrOlder) {
		e.fail("put the newest roster.note there", "%s is older than one that was in force: %v", file, err)
		return
	}
	if err != nil {
		e.fail("get roster.note anew from the root key's holder, and compare the root key with "+e.f.file(configName), "%s: %v", file, err)
		return
	}
	if e.f.key != nil && e.channelsErr == nil {
		if err := e.f.fit(r); err != nil {
			e.fail("tipbox roster add, tipbox roster sign, and put roster.note there", "%v", err)
		}
	}
	if e.server != nil && e.server.Serial != r.Serial {
		e.warn("look into the server's log for why", "%s has serial %d, and the server goes by %d", file, r.Serial, e.server.Serial)
	}
	for _, w := range tipbox.Weaknesses(r, e.f.channels, e.today) {
		if w.Grave {
			e.fail(w.Do, "%s", w.Says)
		} else {
			e.warn(w.Do, "%s", w.Says)
		}
	}
}

func (e *exam) lookSite() {
	site := e.f.file(siteName)
	if e.channelsErr != nil {
		e.fail("put the file right, or remove it: the default takes its place", "%v", e.channelsErr)
	}
	if _, err := loadSchedule(site); err != nil {
		e.fail("put the file right, or remove it: the default takes its place", "%v", err)
	}
	if _, err := e.f.loadLook(); err != nil {
		e.fail("put the file right, or remove it: the default takes its place", "%v", err)
	}
	languages, err := fs.Glob(static.Languages(), "*.toml")
	if err != nil {
		e.fail("", "%v", err)
	}
	for _, c := range e.f.channels {
		for _, file := range languages {
			tag := strings.TrimSuffix(file, ".toml")
			for text, in := range map[string]map[string]string{"title": c.Title, "guidance": c.Guidance} {
				if len(in) > 0 && in[tag] == "" {
					e.warn(fmt.Sprintf("add it to %s", filepath.Join(site, "channels.toml")), "channel %s has no %s in %q: who reads that language gets another", c.ID, text, tag)
				}
			}
		}
	}
}

func (e *exam) lastBackup() string {
	day, _ := dayOr(e.f.path, backupMark)
	return fmt.Sprintf("the last is of %s", day)
}

const (
	backupLate    = 8  // days after which a backup is old
	backupTooLate = 31 // days after which it is of little use
)

func (e *exam) lookBackup() {
	again := fmt.Sprintf("tipboxd backup %s FILE", e.f.path)
	if len(e.f.config.BackupRecipients) == 0 {
		again += " --recipients-file backup.pub"
	}
	day, err := dayOr(e.f.path, backupMark)
	switch {
	case err != nil:
		e.warn(again, "%v", err)
	case day == "":
		e.warn(again, "this server was never backed up, or since it was restored: a lost disk is every tip lost")
	case day > e.today:
		e.warn(again, "the last backup is of %s, and it is %s by the clock", day, e.today)
	default:
		then, _ := time.Parse(time.DateOnly, day)
		now, _ := time.Parse(time.DateOnly, e.today)
		switch days := int(now.Sub(then).Hours() / 24); {
		case days > backupTooLate:
			e.fail(again, "the last backup is of %s, %d days ago", day, days)
		case days > backupLate:
			e.warn(again, "the last backup is of %s, %d days ago", day, days)
		}
	}
}

func (e *exam) lookNotices() {
	state, err := readNotifyState(e.f.file(notifyName))
	if missing(err) {
		return
	}
	if err != nil {
		e.warn("tipboxd notify "+e.f.path, "%v", err)
	} else if n := len(state.Failed); n > 0 {
		e.warn("tipboxd notify "+e.f.path, "%d members could not be told that there is work", n)
	}
}

func (e *exam) kernelFeatures() string {
	return fmt.Sprintf("Landlock %d and seccomp filters can confine the server", e.m.kernel().landlock)
}

// landlockWanted is the version of Landlock from which on also the network is ruled.
const landlockWanted = 4

func (e *exam) lookKernel() {
	k := e.m.kernel()
	const newer = "boot a kernel from 6.7 on with landlock in its lsm= list"
	switch {
	case k.landlock == 0:
		e.warn(newer, "the kernel has no Landlock, or it is off: the server can read all that its user can")
	case k.landlock < landlockWanted:
		e.warn(newer, "the kernel's Landlock is of version %d, and rules over the network from %d on", k.landlock, landlockWanted)
	}
	if !k.seccomp {
		e.warn("boot a kernel with seccomp filters", "the kernel has no seccomp filters: the server can start programs as its user can")
	}
}

func (e *exam) memoryKept() string {
	if len(e.m.swaps()) == 0 {
		return "there is no swap that memory could be written to"
	}
	return "memory may be locked, and so kept out of swap"
}

func (e *exam) lookMemory() {
	swaps := e.m.swaps()
	if l, whose := e.serverLimits(); len(swaps) > 0 && l.LockedMB != math.MaxUint64 {
		e.warn("swapoff -a, or LimitMEMLOCK=infinity in the server's unit",
			"swap is on (%s), and only %d MiB may be locked %s: what a source sends can be written to the disk in the clear", strings.Join(swaps, ", "), l.LockedMB, whose)
	}
}

func (e *exam) filesAllowed() string {
	l, _ := e.serverLimits()
	if l.Files == 0 {
		return "how many may be open cannot be told"
	}
	return fmt.Sprintf("%d may be open, and so %d connections", l.Files, connectionsOf(l.Files))
}

// filesWanted is how many open files a flood of connections is best met with.
const filesWanted = 4 * mostConnections

func (e *exam) lookFiles() {
	l, whose := e.serverLimits()
	switch {
	case l.Files == 0: // it cannot be told
	case l.Files < 1024:
		e.fail("LimitNOFILE=16384 in the server's unit, or ulimit -n 16384", "only %d files may be open %s: a few dozen sources fill the server", l.Files, whose)
	case l.Files < filesWanted:
		e.warn("LimitNOFILE=16384 in the server's unit, or ulimit -n 16384", "%d files may be open %s, and so %d connections: a flood sends people away earlier", l.Files, whose, connectionsOf(l.Files))
	}
}
