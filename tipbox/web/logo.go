package web

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"image/png"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

const (
	maxLogo     = 16 << 10 // bytes
	maxLogoSide = 1000     // pixels
)

// loadLogo takes up the picture of that name, if there is one. Browsers run no
// script in a picture and load nothing for it; what would try to is refused all
// the same, so that a picture is one.
func (l *Look) loadLogo(site fs.FS, name string) error {
	if name == "" {
		return nil
	}
	if name != path.Base(name) || strings.HasPrefix(name, ".") {
		return fmt.Errorf("%q is no name of a file beside site.toml", name)
	}
	f, err := site.Open(name)
	if err != nil {
		return fmt.Errorf("%w: put the picture beside site.toml", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxLogo+1))
	if err != nil {
		return err
	}
	if len(data) > maxLogo {
		return fmt.Errorf("%s is larger than %d KiB, and every page carries it: make it smaller", name, maxLogo>>10)
	}
	mediaType := ""
	switch path.Ext(name) {
	case ".png":
		mediaType, err = "image/png", checkPNG(data)
	case ".svg":
		mediaType, err = "image/svg+xml", checkSVG(data)
	default:
		err = errors.New("only .svg and .png can be shown")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	l.Logo = template.URL("data:" + mediaType + ";base64," + base64.StdEncoding.EncodeToString(data))
	return nil
}

func checkPNG(data []byte) error {
	head, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("it is no picture: %w", err)
	}
	if head.Width > maxLogoSide || head.Height > maxLogoSide {
		return fmt.Errorf("it is %d by %d pixels, at most %d by %d are shown", head.Width, head.Height, maxLogoSide, maxLogoSide)
	}
	if _, err := png.Decode(bytes.NewReader(data)); err != nil {
		return fmt.Errorf("it is damaged: %w", err)
	}
	return nil
}

var (
	// svgActive are the elements that run, load or embed something.
	svgActive = regexp.MustCompile(`(?i)^(script|foreignobject|iframe|object|embed|audio|video|handler|listener|a)$`)
	// svgLoads is what a style or an attribute loads: all but what is in the
	// same picture.
	svgLoads = regexp.MustCompile(`(?i)@import|url\(\s*["']?\s*[^#"'\s]`)
)

// checkSVG checks that a picture is well-formed and neither runs nor loads
// anything.
func checkSVG(data []byte) error {
	d := xml.NewDecoder(bytes.NewReader(data))
	fail := func(format string, args ...any) error {
		line, _ := d.InputPos()
		return fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...))
	}
	root := false
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("it is not well-formed: %w", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if !root && (token.Name.Local != "svg" || token.Name.Space != "http://www.w3.org/2000/svg") {
				return fail(`it does not begin with <svg xmlns="http://www.w3.org/2000/svg">`)
			}
			root = true
			if svgActive.MatchString(token.Name.Local) {
				return fail("take <%s> out", token.Name.Local)
			}
			for _, a := range token.Attr {
				name := strings.ToLower(a.Name.Local)
				switch {
				case strings.HasPrefix(name, "on"):
					return fail("take the attribute %s out, which could run something", a.Name.Local)
				case (name == "href" || name == "src") && !strings.HasPrefix(a.Value, "#"):
					return fail("take the reference to %.40q out, which is outside of the picture", a.Value)
				case a.Name.Space != "xmlns" && name != "xmlns" && svgLoads.MatchString(a.Value):
					return fail("take what %s loads out", a.Name.Local)
				}
			}
		case xml.CharData:
			if svgLoads.Match(token) {
				return fail("take what the style loads out")
			}
		case xml.Directive:
			return fail("take <!%.20s…> out", token)
		case xml.ProcInst:
			if token.Target != "xml" {
				return fail("take <?%s?> out", token.Target)
			}
		}
	}
	if !root {
		return errors.New("there is no picture in it")
	}
	return nil
}
