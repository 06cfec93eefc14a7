package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/acme"
)

// A tlsConfig is the section [tls] of tipbox.toml: one more listener for sources'
// pages, straight from the net. The certificate is of files, or of an authority
// that gives it by ACME (RFC 8555).
type tlsConfig struct {
	Listen        string   `toml:"listen,omitempty"`
	CertFile      string   `toml:"cert_file,omitempty"`
	KeyFile       string   `toml:"key_file,omitempty"`
	ACME          []string `toml:"acme,omitempty"` // names to have certificates for
	ACMEEmail     string   `toml:"acme_email,omitempty"`
	ACMEDirectory string   `toml:"acme_directory,omitempty"`
	ACMECAFile    string   `toml:"acme_ca_file,omitempty"`
}

// tlsExample is what init writes at the end.
const tlsExample = `
# For sources who come without Tor: their pages by TLS 1.3, straight from the net.
# A certificate is of two files, or is got by ACME (then without those two lines).
#
# [tls]
# listen = "0.0.0.0:443"
# cert_file = "fullchain.pem"       # with what is between it and the authority; in this folder unless it begins with /
# key_file = "privkey.pem"          # readable by nobody else
# acme = ["tips.example.org"]       # names of this machine: whoever sets this agrees to the authority's terms
# acme_email = "desk@example.org"   # whom the authority may tell of troubles
# acme_directory = "https://ca.example.org/directory"   # another authority than Let's Encrypt
# acme_ca_file = "ca.pem"           # what that one's own certificate is of, if not of the system's
`

// byACME reports whether the certificate is got, and not given.
func (c *tlsConfig) byACME() bool { return len(c.ACME) > 0 }

// on reports whether there is the section.
func (c *tlsConfig) on() bool { return c.Listen != "" }

// directory is where the authority is asked.
func (c *tlsConfig) directory() string {
	if c.ACMEDirectory == "" {
		return acme.LetsEncryptURL
	}
	return c.ACMEDirectory
}

// check refuses what cannot work. It looks into no file, as that of [notify].
func (c *tlsConfig) check() error {
	files := c.CertFile != "" || c.KeyFile != ""
	if !c.on() {
		if files || c.byACME() || c.ACMEEmail+c.ACMEDirectory+c.ACMECAFile != "" {
			return errors.New("listen: it is missing: add one such as \"0.0.0.0:443\"")
		}
		return nil
	}
	_, port, err := net.SplitHostPort(c.Listen)
	if n, portErr := strconv.Atoi(port); err != nil || portErr != nil || n < 0 || n > 65535 {
		return fmt.Errorf("listen: %.100q is no host:port, such as \"0.0.0.0:443\"", c.Listen)
	}
	switch {
	case files && c.byACME():
		return errors.New("acme: there are a cert_file or key_file too: leave one of both ways out")
	case c.byACME():
		return c.checkACME()
	case c.CertFile == "" || c.KeyFile == "":
		return errors.New("cert_file and key_file: there must be both, or acme instead")
	case c.ACMEEmail+c.ACMEDirectory+c.ACMECAFile != "":
		return errors.New("acme: there is no name for which to get a certificate: add one, or leave out the other settings of acme")
	}
	return errors.Join(checkOwnFolder("cert_file", c.CertFile), checkOwnFolder("key_file", c.KeyFile))
}

// checkOwnFolder refuses a file beside which there is what the server has no
// business with: it can read all of the folder, or it would not see when the file
// is replaced.
func checkOwnFolder(field, file string) error {
	if dir := filepath.Dir(file); slices.Contains([]string{"/", "/etc", "/root", "/home", "/tmp"}, dir) {
		return fmt.Errorf("%s: put %s into a folder of its own: the server could read all of %s", field, file, dir)
	}
	return nil
}

// maxNames is how many certificates are got, each of which takes some of what an
// authority allows in a week.
const maxNames = 10

func (c *tlsConfig) checkACME() error {
	if len(c.ACME) > maxNames {
		return fmt.Errorf("acme: there are more than %d names", maxNames)
	}
	for i, name := range c.ACME {
		if err := checkHost(name); err != nil {
			return fmt.Errorf("acme: %w", err)
		}
		if slices.Contains(c.ACME[:i], name) {
			return fmt.Errorf("acme: %s is there twice", name)
		}
	}
	if c.ACMEEmail != "" {
		if err := checkAddress(c.ACMEEmail); err != nil {
			return fmt.Errorf("acme_email: %w", err)
		}
	}
	if u, err := url.Parse(c.directory()); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("acme_directory: %.100q is no address such as %q", c.ACMEDirectory, acme.LetsEncryptURL)
	}
	return nil
}

// checkHost checks a name as it stands in certificates and browsers' hellos.
func checkHost(name string) error {
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			labels = nil
		}
	}
	if len(labels) < 2 || len(name) > 253 || net.ParseIP(name) != nil {
		return fmt.Errorf("%.100q is no name such as \"tips.example.org\", in small letters (others than a to z as xn--…), without a port or *", name)
	}
	if strings.HasSuffix(name, ".onion") {
		return fmt.Errorf("%s needs no certificate: tor encrypts and names it", name)
	}
	return nil
}
