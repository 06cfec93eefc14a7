package cmd_test

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// What a server must not keep of whoever comes: searched for after each story.
const (
	sourceAddress = "127.0.0.77"
	sourceAgent   = "canary-agent/7.7"
)

// A source is a person with a browser, but without the browser: it reads the
// fields of forms from pages and posts them.
type source struct {
	base   string
	client *http.Client
}

// newSource is one who reaches the service at host:port, or at unix: and a path.
func newSource(address string) *source {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(sourceAddress)}}
	socket, isSocket := strings.CutPrefix(address, "unix:")
	if isSocket {
		address = "tips.example"
	}
	return &source{"http://" + address, &http.Client{
		Timeout: 2 * time.Minute,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if isSocket {
					return new(net.Dialer).DialContext(ctx, "unix", socket)
				}
				return dialer.DialContext(ctx, network, address)
			},
		},
	}}
}

// A file is an attachment of a form.
type file struct {
	name    string
	content []byte
}

func (s *source) do(method, path, contentType string, body io.Reader) (status int, page string, err error) {
	req, err := http.NewRequest(method, s.base+path, body)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("User-Agent", sourceAgent)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if len(resp.Cookies()) > 0 {
		return 0, "", fmt.Errorf("%s %s sets a cookie", method, path)
	}
	return resp.StatusCode, string(data), err
}

func (s *source) get(path string) (string, error) {
	status, page, err := s.do("GET", path, "", nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET %s: status %d", path, status)
	}
	return page, err
}

// post sends a page's form to its action, with the hidden fields it holds.
func (s *source) post(page, action string, fields url.Values, files ...file) (status int, answer string, err error) {
	hidden, err := hiddenFields(page, action)
	if err != nil {
		return 0, "", err
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, values := range []url.Values{hidden, fields} {
		for name, all := range values {
			for _, value := range all {
				form.WriteField(name, value)
			}
		}
	}
	for _, f := range files {
		w, err := form.CreateFormFile("file", f.name)
		if err != nil {
			return 0, "", err
		}
		w.Write(f.content)
	}
	form.Close()
	return s.do("POST", action, form.FormDataContentType(), &body)
}

var (
	hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
	articles    = regexp.MustCompile(`(?s)<article data-from="([a-z]+)">(.*?)</article>`)
	tags        = regexp.MustCompile(`(?s)<[^>]*>`)
	noticeText  = regexp.MustCompile(`(?s)id="notice"[^>]*><p>(.*?)</p>`)
)

// hiddenFields are those of the page's form with that action.
func hiddenFields(page, action string) (url.Values, error) {
	_, form, ok := strings.Cut(page, `action="`+action+`"`)
	if !ok {
		return nil, fmt.Errorf("the page has no form for %s:\n%s", action, page)
	}
	form, _, _ = strings.Cut(form, "</form>")
	fields := make(url.Values)
	for _, m := range hiddenInput.FindAllStringSubmatch(form, -1) {
		fields.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return fields, nil
}

// element is the text of the element with that id.
func element(page, id string) string {
	_, rest, _ := strings.Cut(page, `id="`+id+`"`)
	_, rest, _ = strings.Cut(rest, ">")
	text, _, _ := strings.Cut(rest, "</")
	return html.UnescapeString(text)
}

// notice is what a page says above its text.
func notice(page string) string {
	if m := noticeText.FindStringSubmatch(page); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

// thread is a thread's page in plain text: a line of "from: text" for each.
func threadText(page string) string {
	var out strings.Builder
	for _, m := range articles.FindAllStringSubmatch(page, -1) {
		text := strings.TrimSpace(html.UnescapeString(tags.ReplaceAllString(m[2], "")))
		fmt.Fprintf(&out, "%s: %s\n", m[1], strings.ReplaceAll(text, "\n", " | "))
	}
	return out.String()
}
