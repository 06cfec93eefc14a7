package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"tipbox/crypto/onion"
)

// hostnameFiles are where tor writes the address of the sources' onion service: if
// torrc is as in deploy/tor, and for a tor of its own as Debian makes it.
var hostnameFiles = []string{
	"/var/lib/tor/tipbox-sources/hostname",
	"/var/lib/tor-instances/tipbox/sources/hostname",
}

type onionCmd struct {
	Dir      string        `arg:"" help:"The server's folder." type:"existingdir"`
	Hostname string        `help:"The file into which tor wrote the address (default: ${hostname})." placeholder:"FILE"`
	Save     bool          `help:"Put the address into tipbox.toml."`
	Check    bool          `help:"Find out whether the onion service leads to the running server." default:"true" negatable:""`
	Wait     time.Duration `help:"How long to wait until it does." default:"3m"`
	JSON     bool          `help:"Print one JSON document."`
	localTor
}

func (*onionCmd) Help() string {
	return "Example: tipboxd onion /var/lib/tipbox --save\n\n" +
		"Prints the address of the onion service by which sources come, asks through the tor of this machine whether it leads to the server that runs from the folder, " +
		"and prints the header that the site on the ordinary web should send, followed there by the path of the page. " +
		"A new onion service can take a minute or two to be found. Run it as root: tor's files are for tor alone.\n\n" +
		"The address is that of tipbox.toml, or what tor wrote. With --no-check nobody is asked. Exit status 1 if the service does not lead here."
}

// An onionReport is what the command found.
type onionReport struct {
	Onion    string `json:"onion"`
	URL      string `json:"url"`
	Settings bool   `json:"in_settings"` // tipbox.toml names it
	Answers  *bool  `json:"answers"`     // as this server; null if nobody was asked
	Why      string `json:"why,omitempty"`
	Header   string `json:"onion_location"`
}

func (c *onionCmd) Run(a *app) error {
	f := &folder{path: c.Dir}
	if err := asOwner(c.Dir, f.readConfig); err != nil {
		return err
	}
	address, err := c.address(a, f)
	if err != nil {
		return err
	}
	r := onionReport{Onion: address, URL: "http://" + address + "/", Settings: f.config.Onion == address}
	r.Header = "Onion-Location: " + r.URL
	if !c.JSON {
		a.print("%s\n", r.URL)
	}
	if c.Check {
		err = c.check(a, address)
		answers := err == nil
		if r.Answers = &answers; err != nil {
			r.Why = err.Error()
		}
	}
	if c.JSON {
		doc, jsonErr := json.Marshal(r)
		if jsonErr != nil {
			return jsonErr
		}
		a.print("%s\n", doc)
	} else if err == nil {
		a.print("%s\n", r.Header)
	}
	return err
}

// address is that of the onion service. It is put into the settings if that is asked
// for, and else it is said how.
func (c *onionCmd) address(a *app, f *folder) (string, error) {
	files := hostnameFiles
	if c.Hostname != "" {
		files = []string{c.Hostname}
	}
	found, err := findHostname(files)
	set := f.config.Onion
	switch {
	case err != nil && (c.Hostname != "" || c.Save):
		return "", fmt.Errorf("tor's file: %w", err)
	case err != nil && set != "":
		return set, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("no onion service is known: there is no %s, and onion is not set in %s: "+
			"set one up in torrc, as in deploy/tor/torrc, then systemctl reload tor; or name tor's file with --hostname", files[0], f.file(configName))
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("%w: run this as root, or name a copy with --hostname", err)
	case err != nil:
		return "", err
	case found == set:
		return set, nil
	case c.Save:
		if err := asOwner(c.Dir, func() error { return saveOnion(f.file(configName), found) }); err != nil {
			return "", err
		}
		f.config.Onion = found
		fmt.Fprintf(a.stderr, "%s names it now: start the server anew, so that its pages do.\n", f.file(configName))
		return found, nil
	case set != "":
		return "", fmt.Errorf("%s says %s, and tor says %s: if tor is right, run this again with --save", f.file(configName), set, found)
	}
	fmt.Fprintf(a.stderr, "%s does not name it: run this again with --save, or add above the first section\n  onion = '%s'\nand start the server anew.\n", f.file(configName), found)
	return found, nil
}

// findHostname reads the first of the files that is there, or else says of the first
// that cannot be read why.
func findHostname(files []string) (address string, err error) {
	err = fs.ErrNotExist
	for _, file := range files {
		address, readErr := readHostname(file)
		if readErr == nil {
			return address, nil
		}
		if missing(err) {
			err = readErr
		}
	}
	return "", err
}

// readHostname reads what tor wrote into the folder of an onion service.
func readHostname(file string) (string, error) {
	text, err := readFile(file)
	if err != nil {
		return "", err
	}
	address := strings.TrimSpace(string(text))
	if onion.CheckAddress(address) != nil { // its error repeats the text, and beside the file there is tor's key
		return "", fmt.Errorf("%s: %w", file, onion.ErrAddress)
	}
	return address, nil
}

const (
	attemptTime  = time.Minute     // for one request through tor
	attemptEvery = 2 * time.Second // between two
)

// check waits until the onion service leads to the running server.
func (c *onionCmd) check(a *app, address string) error {
	p, err := askProbe(a.ctx, c.Dir)
	if errors.Is(err, errNoServer) {
		return fmt.Errorf("%w, so none can answer: start it with tipboxd serve %s, or ask nobody with --no-check", err, c.Dir)
	}
	if err != nil {
		return err
	}
	if err := c.greet(a.ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, c.Wait)
	defer cancel()
	said := ""
	var last *torError
	for {
		err := c.attempt(ctx, address, p)
		if err == nil {
			fmt.Fprintf(a.stderr, "It leads to this server.\n")
			return nil
		}
		if err := a.ctx.Err(); err != nil {
			return err // interrupted
		}
		var why *torError
		if !errors.As(err, &why) || !why.again {
			return err
		}
		if ctx.Err() == nil || last == nil { // else it only says that the time was over
			last = why
		}
		if progress := c.progress(a.ctx); progress != "" {
			last = &torError{says: progress, do: torLog}
		}
		if ctx.Err() == nil && last.says != said {
			fmt.Fprintf(a.stderr, "Waiting, for %v at most: %s.\n", c.Wait, last.says)
			said = last.says
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %v: %w", c.Wait, last)
		case <-time.After(attemptEvery):
		}
	}
}

func (c *onionCmd) attempt(ctx context.Context, address string, p probe) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	return c.reaches(ctx, address, p)
}

// saveOnion sets onion in a tipbox.toml and leaves every other byte, the owner and
// the mode as they are.
func saveOnion(file, address string) error {
	file, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	in, info, err := openFile(file)
	if err != nil {
		return err
	}
	defer in.Close()
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	changed := setOnion(text, address)
	before, after := defaultConfig(), defaultConfig()
	if err := decodeTOML(text, &before); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	err = decodeTOML(changed, &after)
	if before.Onion = address; err != nil || !reflect.DeepEqual(before, after) {
		return fmt.Errorf("%s is written in a way that this program does not change: put onion = '%s' into it, above the first section", file, address)
	}
	pending, err := renameio.NewPendingFile(file, renameio.WithPermissions(info.Mode().Perm()))
	if err != nil {
		return err
	}
	defer pending.Cleanup()
	if of, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := pending.Chown(int(of.Uid), int(of.Gid)); err != nil {
			return err
		}
	}
	if _, err := pending.Write(changed); err != nil {
		return err
	}
	return pending.CloseAtomicallyReplace()
}

// setOnion sets onion in the text of a tipbox.toml: in the line that sets it, or in one
// of its own above the first section.
func setOnion(text []byte, address string) []byte {
	const name = "onion"
	var out bytes.Buffer
	put := false
	line := func(end string) {
		fmt.Fprintf(&out, "%s = '%s'%s", name, address, end)
		put = true
	}
	for l := range bytes.Lines(text) {
		trimmed := bytes.TrimLeft(l, " \t")
		after, isOnion := bytes.CutPrefix(trimmed, []byte(name))
		switch {
		case put:
			out.Write(l)
		case isOnion && bytes.HasPrefix(bytes.TrimLeft(after, " \t"), []byte("=")):
			end := "\n"
			if at := bytes.IndexByte(l, '#'); at >= 0 { // an address has none
				end = " " + string(l[at:])
			}
			line(end)
		case bytes.HasPrefix(trimmed, []byte("[")):
			line("\n\n")
			out.Write(l)
		default:
			out.Write(l)
		}
	}
	if !put {
		if out.Len() > 0 && !bytes.HasSuffix(out.Bytes(), []byte("\n")) {
			out.WriteByte('\n')
		}
		line("\n")
	}
	return out.Bytes()
}
