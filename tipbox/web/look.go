package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"tipbox/static"
)

// A Look is what the site's folder makes of the pages: colours, a logo, the
// texts of pages of its own, and what is said of the organisation. It is
// checked as a whole: one that LoadLook returns can be shown.
type Look struct {
	Style template.CSS // what every page carries
	Logo  template.URL // data: of a picture; "" if there is none

	styleHash string // for the Content-Security-Policy
	contact   map[string][]string
	security  securityContact
	texts     []*text // in the order of the footer
}

// siteFile is what site.toml says. The default one explains each field.
type siteFile struct {
	Contact     map[string][]string `toml:"contact"`
	Logo        string              `toml:"logo"`
	AccentLight string              `toml:"accent_light"`
	AccentDark  string              `toml:"accent_dark"`

	SecurityContact   string   `toml:"security_contact"`
	SecurityLanguages []string `toml:"security_languages"`
	SecurityCanonical string   `toml:"security_canonical"`
}

const siteName = "site.toml"

// LoadLook reads site.toml, the logo that it names, and pages/NAME.TAG.md of a
// site. An error names the file, the line if it is about one, and what to do.
func LoadLook(site fs.FS) (*Look, error) {
	e, err := loadEmbedded()
	if err != nil {
		return nil, err
	}
	data, err := fs.ReadFile(site, siteName)
	if err != nil {
		return nil, err
	}
	var file siteFile
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&file); err != nil {
		return nil, tomlError(siteName, err)
	}
	l := &Look{contact: file.Contact, security: securityContact{file.SecurityContact, file.SecurityLanguages, file.SecurityCanonical}}
	for _, check := range []struct {
		field string
		err   error
	}{
		{"contact", checkContact(file.Contact, e.langs)},
		{"accent_light", checkAccent(file.AccentLight, "light")},
		{"accent_dark", checkAccent(file.AccentDark, "dark")},
		{"security_contact", checkAddress(file.SecurityContact, "mailto", "https")},
		{"security_canonical", checkAddress(file.SecurityCanonical, "https")},
		{"security_languages", checkTags(file.SecurityLanguages)},
		{"logo", l.loadLogo(site, file.Logo)},
	} {
		if check.err != nil {
			return nil, fmt.Errorf("%s, line %d: %s: %w", siteName, lineOf(data, check.field), check.field, check.err)
		}
	}
	l.setStyle(file.AccentLight, file.AccentDark)
	if l.texts, err = loadTexts(site, e.langs); err != nil {
		return nil, err
	}
	return l, nil
}

// tomlError says where a file of settings is wrong.
func tomlError(name string, err error) error {
	var strict *toml.StrictMissingError
	var syntax *toml.DecodeError
	switch {
	case errors.As(err, &strict) && len(strict.Errors) > 0:
		line, _ := strict.Errors[0].Position()
		return fmt.Errorf("%s, line %d: there is no such setting; strike it out, or correct its name:\n%s", name, line, strict.String())
	case errors.As(err, &syntax):
		line, _ := syntax.Position()
		return fmt.Errorf("%s, line %d: %w:\n%s", name, line, err, syntax.String())
	}
	return fmt.Errorf("%s: %w", name, err)
}

// lineOf is the line on which a field is set, 1 if none is found.
func lineOf(data []byte, field string) int {
	set := regexp.MustCompile(`(?m)^[ \t]*(\[[ \t]*)?["']?` + regexp.QuoteMeta(field) + `["']?[ \t]*[=\].]`)
	if at := set.FindIndex(data); at != nil {
		return 1 + bytes.Count(data[:at[0]], []byte("\n"))
	}
	return 1
}

func checkContact(contact map[string][]string, langs *languages) error {
	for tag, lines := range contact {
		if langs.tagged(tag) == nil {
			return fmt.Errorf("no page is in the language %q: take one of %s", tag, strings.Join(langs.tags(), ", "))
		}
		if len(lines) > 10 || slices.ContainsFunc(lines, func(l string) bool { return len(l) > 200 || strings.ContainsAny(l, "\n\r") }) {
			return errors.New("it has more than 10 lines, or one of more than 200 bytes: shorten it")
		}
	}
	return nil
}

func checkTags(tags []string) error {
	for _, tag := range tags {
		if !regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$`).MatchString(tag) {
			return fmt.Errorf("%q is no language tag such as en or zh-Hans", tag)
		}
	}
	return nil
}

// checkAddress checks that an address, if there is one, is of one of the schemes.
func checkAddress(address string, schemes ...string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || !slices.Contains(schemes, u.Scheme) || u.Host == "" && u.Opaque == "" || strings.ContainsAny(address, " \t\r\n") {
		return fmt.Errorf("%q does not begin with %s: or is no whole address; write one such as %s",
			address, strings.Join(schemes, ": or "), map[string]string{"mailto": "mailto:security@example.org", "https": "https://example.org/.well-known/security.txt"}[schemes[0]])
	}
	return nil
}

// leastContrast is that of WCAG 2.2, 1.4.3, for texts.
const leastContrast = 4.5

var hexColour = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// checkAccent checks that the accent, if there is one, can be read on what it
// stands on in a scheme of the style, and what stands on it.
func checkAccent(accent, scheme string) error {
	if accent == "" {
		return nil
	}
	if !hexColour.MatchString(accent) {
		return fmt.Errorf("%q is no colour such as #0b595c", accent)
	}
	colours := styleColours(static.Style(), scheme)
	for _, c := range []struct{ property, what string }{
		{"paper", "the pages' paper"}, {"tint", "the boxes on the pages"}, {"on-accent", "the text on buttons"},
	} {
		if ratio := contrast(accent, colours[c.property]); ratio < leastContrast {
			return fmt.Errorf("%s has a contrast of %.1f to %s (%s), %.1f are needed: take a %s one",
				accent, ratio, c.what, colours[c.property], leastContrast, map[string]string{"light": "darker", "dark": "lighter"}[scheme])
		}
	}
	return nil
}

var colourProperty = regexp.MustCompile(`--([a-z-]+):(#[0-9a-f]+)`)

// styleColours are the colours of a scheme: the first definition in the style is
// for light, the second for dark.
func styleColours(css, scheme string) map[string]string {
	light, dark := make(map[string]string), make(map[string]string)
	for _, m := range colourProperty.FindAllStringSubmatch(css, -1) {
		value := m[2]
		if len(value) == 4 {
			value = "#" + strings.Repeat(value[1:2], 2) + strings.Repeat(value[2:3], 2) + strings.Repeat(value[3:], 2)
		}
		if _, ok := light[m[1]]; !ok {
			light[m[1]] = value
			continue
		}
		dark[m[1]] = value
	}
	if scheme == "dark" {
		return dark
	}
	return light
}

// contrast is WCAG's contrast ratio of two colours #rrggbb.
func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance is WCAG's relative luminance.
func luminance(colour string) (sum float64) {
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
		if err != nil {
			panic(err) // it was matched
		}
		v := float64(n) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}

// setStyle makes the style of the default one and the accents.
func (l *Look) setStyle(light, dark string) {
	css := static.Style()
	if light != "" {
		css += ":root{--accent:" + light + "}\n"
	}
	if light != "" || dark != "" {
		// The light one stands behind the style's dark one, so that is said again.
		if dark == "" {
			dark = styleColours(static.Style(), "dark")["accent"]
		}
		css += "@media(prefers-color-scheme:dark){:root{--accent:" + dark + "}}\n"
	}
	sum := sha256.Sum256([]byte(css))
	l.Style, l.styleHash = template.CSS(css), "sha256-"+base64.StdEncoding.EncodeToString(sum[:])
}
