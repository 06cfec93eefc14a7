package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"tipbox/crypto/roster"
)

// A notifyConfig is the section [notify] of tipbox.toml.
type notifyConfig struct {
	Hours   []string        `toml:"hours" comment:"When, in the organisation's timezone and an hour or more apart, such as [\"09:00\", \"14:00\"]. Nobody is told anything while it is empty."`
	Always  bool            `toml:"always" comment:"Also tell those for whom nothing is new, that nothing is, so that who watches the line does not even learn on which days there is work."`
	SMTP    smtpConfig      `toml:"smtp,omitempty"`
	Mail    []mailConfig    `toml:"mail,omitempty"`
	Webhook []webhookConfig `toml:"webhook,omitempty"`
}

// notifyExample is what init writes below the section: the rest of a whole one,
// as comments.
const notifyExample = `
# To whom, and how. A file is in this folder unless it begins with /, or is a
# credential that systemd passes: "credential:tipbox.smtp" is in /etc/credstore.
#
# [notify.smtp]
# server = "mail.example.org:587"   # it must offer STARTTLS
# from = "desk@example.org"
# user = "desk"                     # without a sign-in: neither this nor the next
# password_file = "smtp.password"   # readable by nobody else
# ca_file = "ca.pem"                # the authorities to be believed, instead of the system's
#
# [[notify.mail]]
# member = "alice"
# address = "alice@example.org"
#
# [[notify.webhook]]
# member = "bob"
# url = "https://chat.example.org/hooks/1"   # http only to this machine
# token_file = "bob.token"                   # a bearer token, if it asks for one; readable by nobody else
# ca_file = "ca.pem"                         # as above
`

// A smtpConfig is the mail server that takes our mails.
type smtpConfig struct {
	Server       string `toml:"server"`
	From         string `toml:"from"`
	User         string `toml:"user,omitempty"`
	PasswordFile string `toml:"password_file,omitempty"`
	CAFile       string `toml:"ca_file,omitempty"`
}

// A mailConfig is a member's address.
type mailConfig struct {
	Member  string `toml:"member"`
	Address string `toml:"address"`
}

// A webhookConfig is where a request tells a member.
type webhookConfig struct {
	Member    string `toml:"member"`
	URL       string `toml:"url"`
	TokenFile string `toml:"token_file,omitempty"`
	CAFile    string `toml:"ca_file,omitempty"`
}

// hoursApart is the least time between two hours, in which what fails is tried
// again.
const hoursApart = time.Hour

// Limits in bytes, so that there is room to bring all to one size.
const (
	maxAddress = 254 // RFC 5321 and its erratum 1690
	maxURL     = 1024
	maxSecret  = 1024
)

// check refuses what cannot work. It looks into no other file: a folder must
// open without them, on whatever machine.
func (c *notifyConfig) check() error {
	if err := checkHours(c.Hours); err != nil {
		return fmt.Errorf("hours: %w", err)
	}
	if len(c.Hours) > 0 && len(c.Mail)+len(c.Webhook) == 0 {
		return errors.New("hours: there are some, and nobody to tell: add a [[notify.mail]] or [[notify.webhook]], or leave no hour")
	}
	if c.SMTP != (smtpConfig{}) || len(c.Mail) > 0 {
		if err := c.SMTP.check(); err != nil {
			return fmt.Errorf("smtp: %w", err)
		}
	}
	mailed, hooked := make(map[string]bool), make(map[string]bool)
	for _, m := range c.Mail {
		if err := checkMember(m.Member, mailed); err != nil {
			return fmt.Errorf("mail: %w", err)
		}
		if err := checkAddress(m.Address); err != nil {
			return fmt.Errorf("mail: address of %s: %w", m.Member, err)
		}
	}
	for _, w := range c.Webhook {
		if err := checkMember(w.Member, hooked); err != nil {
			return fmt.Errorf("webhook: %w", err)
		}
		if err := checkURL(w.URL); err != nil {
			return fmt.Errorf("webhook: url of %s: %w", w.Member, err)
		}
	}
	return nil
}

func checkHours(hours []string) error {
	var all []time.Duration // since midnight
	for _, h := range hours {
		t, err := time.Parse(clockLayout, h)
		if err != nil || t.Format(clockLayout) != h {
			return fmt.Errorf("%.20q is no time of day from \"00:00\" to \"23:59\"", h)
		}
		all = append(all, time.Duration(t.Hour())*time.Hour+time.Duration(t.Minute())*time.Minute)
	}
	slices.Sort(all)
	for i, at := range all {
		next := all[0] + 24*time.Hour
		if i+1 < len(all) {
			next = all[i+1]
		}
		if next-at < hoursApart {
			return errors.New("two of them are less than an hour apart, in which what fails is tried again")
		}
	}
	return nil
}

func (c *smtpConfig) check() error {
	host, port, err := net.SplitHostPort(c.Server)
	if n, portErr := strconv.Atoi(port); err != nil || host == "" || portErr != nil || n < 1 || n > 65535 {
		return fmt.Errorf("server: %.100q is no host:port, such as \"mail.example.org:587\"", c.Server)
	}
	if port == "465" {
		return errors.New("server: on port 465 there is no STARTTLS: use the one for it, mostly 587")
	}
	if err := checkAddress(c.From); err != nil {
		return fmt.Errorf("from: %w", err)
	}
	if (c.User == "") != (c.PasswordFile == "") {
		return errors.New("user and password_file: there must be both or neither")
	}
	if len(c.User) > maxSecret || strings.ContainsFunc(c.User, unicode.IsControl) {
		return errors.New("user: it is too long, or has a control character")
	}
	return nil
}

// checkMember checks a name that is not among the seen yet, and adds it.
func checkMember(name string, seen map[string]bool) error {
	if err := roster.CheckName(name); err != nil {
		return fmt.Errorf("member %w", err)
	}
	if seen[name] {
		return fmt.Errorf("member %s is there twice", name)
	}
	seen[name] = true
	return nil
}

func checkAddress(address string) error {
	a, err := mail.ParseAddress(address)
	if err != nil || a.Address != address || len(address) > maxAddress || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%.100q is no plain address, such as \"alice@example.org\"", address)
	}
	return nil
}

// checkURL does not show the address: to know it may be enough to use it.
func checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "" || len(address) > maxURL:
		return errors.New("it is no address such as \"https://chat.example.org/hooks/1\"")
	case u.User != nil || u.Fragment != "":
		return errors.New("it has a user, password or fragment: a secret belongs into token_file")
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http":
		return errors.New("it must begin with https://")
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("http would show it to everybody on the way: use https, unless it is for this machine")
	}
	return nil
}

// readSecret reads a password or token, which only we may read.
func readSecret(file string) (string, error) {
	f, info, err := openFile(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	// Who may read a credential is in a list of systemd's, which a mode does not show.
	if folder := os.Getenv(credentialFolder); folder == "" || filepath.Dir(file) != folder {
		if err := closedToOthers(file, info); err != nil {
			return "", err
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+2))
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" || len(secret) > maxSecret || strings.ContainsFunc(secret, unicode.IsControl) {
		return "", fmt.Errorf("%s must hold one line of at most %d bytes", file, maxSecret)
	}
	return secret, nil
}

// clientTLS is how we speak TLS to a host: with a certificate of one of the
// authorities in the file, or the system's if there is no file.
func clientTLS(host, caFile string) (*tls.Config, error) {
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return config, nil
	}
	text, err := readFile(caFile)
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", caFile)
	}
	return config, nil
}

// A credential is what systemd passes to a service, LoadCredential= in its unit:
// a file in a folder that only the service can read, and that is never on a disk.
const (
	credentialPrefix = "credential:"
	credentialFolder = "CREDENTIALS_DIRECTORY"            // of the environment
	credentialsThere = "/run/credentials/tipboxd.service" // where it is, for errors where there is none
)

// besides is the path of a file that the configuration of the folder names, or
// "" if it names none.
func (f *folder) besides(name string) string {
	if credential, ok := strings.CutPrefix(name, credentialPrefix); ok {
		return filepath.Join(cmp.Or(os.Getenv(credentialFolder), credentialsThere), filepath.Base(credential))
	}
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return f.file(name)
}
