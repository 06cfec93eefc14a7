package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// hookSize is the length in bytes of a request's body, of what is in its head of
// one member and not of another, and of what makes up for that.
const hookSize = 8000

// hookText is the body of a request, a JSON document. Chats show what is in
// text.
var hookText = map[tidings]string{
	tidingsWork:    `{"work":true,"text":"There is work for you. Type: tipbox inbox\n有工作等您处理。请运行：tipbox inbox"}`,
	tidingsNothing: `{"work":false,"text":"Nothing new. There is nothing for you to do.\n没有新的工作，您无需处理任何事项。"}`,
	tidingsTest:    `{"work":false,"text":"This is a test by the operator of the server. There is nothing for you to do.\n这是服务器管理员发送的测试，您无需处理任何事项。"}`,
}

// A hook tells a member by a request. Requests are of one length, and no
// redirect is followed.
type hook struct {
	url       string
	tokenFile string // "" for none
	caFile    string // "" for the system's
}

// send makes the request. When it returns nil, the other end has answered that
// it took it.
func (h *hook) send(ctx context.Context, n notice) error {
	to, err := url.Parse(h.url)
	if err != nil {
		return errors.New("its url is none") // without it
	}
	config, err := clientTLS(to.Hostname(), h.caFile)
	if err != nil {
		return err
	}
	request, err := h.request(ctx, to, n)
	if err != nil {
		return err
	}
	plain := new(http.Protocols) // HTTP/2 compresses heads, each to another length
	plain.SetHTTP1(true)
	transport := &http.Transport{
		DialContext:            newDialer().DialContext,
		TLSClientConfig:        config,
		Protocols:              plain,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	response.Body.Close() // what it says besides is nothing to us
	switch code := response.StatusCode; {
	case code/100 == 2:
		return nil
	case code/100 == 3:
		return finalError{fmt.Errorf("it redirects (status %d), which is not followed: name the address where it ends", code)}
	case code/100 == 4 && code != http.StatusRequestTimeout && code != http.StatusTooEarly && code != http.StatusTooManyRequests:
		return finalError{fmt.Errorf("it refuses the request (status %d)", code)}
	default:
		return fmt.Errorf("it could not take the request (status %d)", code)
	}
}

func (h *hook) request(ctx context.Context, to *url.URL, n notice) (*http.Request, error) {
	var authorization string
	if h.tokenFile != "" {
		token, err := readSecret(h.tokenFile)
		if err != nil {
			return nil, err
		}
		authorization = "Bearer " + token
	}
	room := hookSize - len(hookText[n.says]) - len(to.RequestURI()) - len(to.Host)
	if authorization != "" {
		room -= len("Authorization: \r\n") + len(authorization)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(hookText[n.says]+strings.Repeat(" ", room)))
	if err != nil {
		return nil, errors.New("its url is none")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "") // none
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	return request, nil
}
