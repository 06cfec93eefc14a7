package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"
)

type backupCmd struct {
	Dir            string   `arg:"" help:"The server's folder." type:"existingdir"`
	File           string   `arg:"" help:"The file to make, or a folder for one that is named after the day."`
	Recipient      []string `help:"Who may open it: age1pq1… Give it again for each." placeholder:"KEY"`
	RecipientsFile string   `help:"Who may open it, one a line." type:"existingfile" placeholder:"FILE"`
	Keep           int      `help:"Remove backups from the folder that are older than so many days, once the new one is made; those of the newest ${keptdays} days stay, whatever the clock says." placeholder:"DAYS"`
}

func (*backupCmd) Help() string {
	return "Example: tipboxd backup /srv/tipbox /mnt/backup/tipbox.age --recipients-file backup.pub\n\n" +
		"The server may run. Without a recipient named here, those of backup_recipients in tipbox.toml. " +
		"Make the key on another machine, with the age program: age-keygen -pq -o backup.key, then age-keygen -y -o backup.pub backup.key.\n\n" +
		"For every night: tipboxd backup /srv/tipbox /mnt/backup --keep 31\n\n" +
		"The file is an age file of a tar archive: the database as it is at one moment, without what was erased before; every attachment; " +
		"tipbox.toml, roster.note, site/, and desk.key, by which members know the server. " +
		"A tip erased while the backup is being made is in it or not; what is in it is whole. " +
		"Whoever opens it reads no tip, but can pass for the server: guard the key as you guard the machine. " +
		"tipboxd restore unpacks it and checks it; so does the stock age: umask 077; age -d -i backup.key FILE | tar -x."
}

func (c *backupCmd) Run(a *app) error {
	f := &folder{path: c.Dir}
	if err := asOwner(c.Dir, f.readChecked); err != nil {
		return err
	}
	recipients, err := c.recipients(f.config)
	if err != nil {
		return err
	}
	today := time.Now().In(f.location)
	series, err := c.nameAfter(today)
	if err != nil {
		return err
	}
	if err := c.checkPlace(); err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(c.File), filepath.Base(c.File)+".part-*") // mode 0600
	if err != nil {
		return err
	}
	defer out.Close()
	defer os.Remove(out.Name())
	if err := c.write(a, f, out, recipients); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	if err := c.giveName(out.Name()); err != nil {
		return err
	}
	if err := keepDay(c.Dir, backupMark, today); err != nil {
		fmt.Fprintf(a.stderr, "The backup is made, and the day cannot be noted, so tipboxd doctor will not know of it: %v\n", err)
	}
	info, err := out.Stat()
	if err != nil {
		return err
	}
	a.print("%s: %d bytes\n", c.File, info.Size())
	return c.removeOld(series, today)
}

// nameAfter names the file after the day if a folder is given for it, which it
// returns, or "".
func (c *backupCmd) nameAfter(day time.Time) (folder string, err error) {
	if info, err := os.Stat(c.File); err != nil || !info.IsDir() {
		if c.Keep != 0 {
			return "", fmt.Errorf("--keep is for a folder of backups, and %s is none", c.File)
		}
		return "", nil
	}
	if c.Keep < 0 {
		return "", errors.New("--keep takes a number of days")
	}
	folder = c.File
	for n := 1; ; n++ {
		name := "tipbox-" + day.Format(time.DateOnly)
		if n > 1 {
			name = fmt.Sprintf("%s-%d", name, n)
		}
		c.File = filepath.Join(folder, name+".age")
		if _, err := os.Lstat(c.File); err != nil {
			return folder, nil // what else it may be, making the file tells
		}
	}
}

// inSeries is how nameAfter names files.
var inSeries = regexp.MustCompile(`^tipbox-(\d{4}-\d{2}-\d{2})(-\d+)?\.age(\.part-\d+)?$`)

// keptDays is of how many days, the newest on which there are backups, they stay
// whatever the clock says, which may have gone ahead by years. With --keep below that
// it is of as many.
const keptDays = 7

// removeOld removes the backups of the folder that are older than is to be kept.
func (c *backupCmd) removeOld(folder string, today time.Time) error {
	if folder == "" || c.Keep == 0 {
		return nil
	}
	first := today.AddDate(0, 0, -c.Keep).Format(time.DateOnly)
	files, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	var days []string // of which there are whole ones
	for _, file := range files {
		if name := inSeries.FindStringSubmatch(file.Name()); name != nil && name[3] == "" && file.Type().IsRegular() {
			days = append(days, name[1])
		}
	}
	slices.Sort(days)
	days = slices.Compact(days)
	days = days[max(0, len(days)-min(c.Keep, keptDays)):]
	var errs []error
	for _, file := range files {
		name := inSeries.FindStringSubmatch(file.Name())
		if name == nil || name[1] >= first || !file.Type().IsRegular() || name[3] == "" && slices.Contains(days, name[1]) {
			continue
		}
		errs = append(errs, os.Remove(filepath.Join(folder, file.Name())))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the backup is made, and an older one cannot be removed: %w", err)
	}
	return nil
}

// recipients are those named here, or else in the configuration.
func (c *backupCmd) recipients(cfg config) ([]age.Recipient, error) {
	lines := c.Recipient
	if c.RecipientsFile != "" {
		text, err := os.ReadFile(c.RecipientsFile)
		if err != nil {
			return nil, err
		}
		lines = append(lines, strings.Split(string(text), "\n")...)
	}
	if len(lines) == 0 {
		lines = cfg.BackupRecipients
	}
	recipients, err := hybridRecipients(lines)
	if err == nil && len(recipients) == 0 {
		err = errors.New("nobody is named who may open the backup: use --recipient or --recipients-file, or set backup_recipients in tipbox.toml")
	}
	return recipients, err
}

// hybridRecipients reads one recipient a line, among comments and empty lines.
func hybridRecipients(lines []string) (recipients []age.Recipient, err error) {
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		r, err := age.ParseHybridRecipient(line)
		if err != nil { // of which the line is no part: it may be a secret key in the wrong place
			return nil, errors.New("a recipient of the backup is not a post-quantum one, age1pq1…: make a key with age-keygen -pq")
		}
		recipients = append(recipients, r)
	}
	return recipients, nil
}

// checkPlace refuses a file that is there, and a place that would itself be
// backed up.
func (c *backupCmd) checkPlace() error {
	if _, err := os.Lstat(c.File); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, c.taken())
	}
	dir, err := realPath(c.Dir)
	if err != nil {
		return err
	}
	parent, err := realPath(filepath.Dir(c.File))
	if err != nil {
		return err
	}
	if inside, err := filepath.Rel(dir, parent); err == nil && filepath.IsLocal(inside) {
		return fmt.Errorf("%s is inside of %s: put the backup elsewhere, best on another machine", c.File, c.Dir)
	}
	return nil
}

// realPath is absolute and without links.
func realPath(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

func (c *backupCmd) taken() error {
	return fmt.Errorf("%s is there already, and a backup is never overwritten: choose another name", c.File)
}

// giveName gives the whole file its name, durably.
func (c *backupCmd) giveName(temp string) error {
	err := os.Link(temp, c.File) // which overwrites nothing
	switch {
	case errors.Is(err, fs.ErrExist):
		return c.taken()
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOTSUP): // a file system without links
		if err := c.checkPlace(); err != nil {
			return err
		}
		err = os.Rename(temp, c.File)
		if err != nil {
			return err
		}
	case err != nil:
		return err
	}
	return syncFolder(filepath.Dir(c.File))
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// sparing is a writer to a file, which if that is on the folder's own disk leaves the
// room there that is kept for texts: no backup is to keep tips out.
func (f *folder) sparing(file *os.File) (io.Writer, error) {
	in, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	to, err := file.Stat()
	if err != nil {
		return nil, err
	}
	folderOf, ok := in.Sys().(*syscall.Stat_t)
	fileOf, also := to.Sys().(*syscall.Stat_t)
	if !ok || !also || folderOf.Dev != fileOf.Dev {
		return file, nil
	}
	return &sparingWriter{file: file, folder: f}, nil
}

type sparingWriter struct {
	file   *os.File
	folder *folder
	left   int // bytes until it looks again
}

// sparingEvery is how much is written between two looks at the room, in bytes.
const sparingEvery = 8 << 20

func (w *sparingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left <= 0 {
		free, err := freeSpace(w.folder.path)
		if err != nil {
			return 0, err
		}
		if free-sparingEvery < w.folder.config.Reserve<<20 {
			return 0, fmt.Errorf("%d MiB are free, and more than reserve_mib is to stay so for tips: make room, or put the backup on another disk", free>>20)
		}
		w.left = sparingEvery
	}
	return w.file.Write(p)
}

// write writes the archive of the folder, sealed to the recipients.
func (c *backupCmd) write(a *app, f *folder, file *os.File, recipients []age.Recipient) error {
	out, err := f.sparing(file)
	if err != nil {
		return err
	}
	shown := a.progress("backing up", 0)
	defer shown.done()
	sealed, err := age.Encrypt(io.MultiWriter(out, shown), recipients...)
	if err != nil {
		return err
	}
	if err := asOwner(c.Dir, func() error { return writeArchive(a.ctx, sealed, c.Dir) }); err != nil {
		return err
	}
	return sealed.Close()
}
