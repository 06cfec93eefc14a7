package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// progress is how far tor is with connecting, in its own words, or "" if it is
// connected or does not tell.
func (t localTor) progress(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", t.Control)
	if err != nil {
		return ""
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c := &torControl{conn, bufio.NewReader(io.LimitReader(conn, 64<<10))}
	if !c.authenticate() {
		return ""
	}
	for _, line := range c.ask("GETINFO status/bootstrap-phase") {
		_, done, _ := strings.Cut(line, "PROGRESS=")
		done, _, _ = strings.Cut(done, " ")
		_, summary, ok := strings.Cut(line, `SUMMARY="`)
		summary, _, _ = strings.Cut(summary, `"`)
		if ok && done != "100" {
			return fmt.Sprintf("tor is connected by %s %% (%s)", printable(done), printable(summary))
		}
	}
	return ""
}

// A torControl is a connection to a control socket: see control-spec.txt.
type torControl struct {
	out io.Writer
	in  *bufio.Reader
}

// ask gives the lines of the answer to a command, none if it failed.
func (c *torControl) ask(command string) (lines []string) {
	fmt.Fprintf(c.out, "%s\r\n", command)
	for {
		line, err := c.in.ReadString('\n')
		if err != nil || len(line) < 4 || line[0] != '2' {
			return nil
		}
		if lines = append(lines, strings.TrimSpace(line[4:])); line[3] == ' ' {
			return lines
		}
	}
}

// authenticate has tor take us for one who may ask. Whoever made the socket could
// name any file that root can read as the cookie: the cookie itself is never sent, and
// what proves that we know it (SAFECOOKIE) to nobody who has not proved the same.
func (c *torControl) authenticate() bool {
	for _, line := range c.ask("PROTOCOLINFO 1") {
		methods, ok := strings.CutPrefix(line, "AUTH METHODS=")
		if !ok {
			continue
		}
		methods, file, _ := strings.Cut(methods, ` COOKIEFILE="`)
		switch methods := strings.Split(methods, ","); {
		case slices.Contains(methods, "NULL"):
			return c.ask("AUTHENTICATE") != nil
		case slices.Contains(methods, "SAFECOOKIE"):
			return c.proveCookie(strings.TrimSuffix(file, `"`))
		}
	}
	return false
}

// The keys of SAFECOOKIE, by which no proof is the other's.
const (
	torProofKey = "Tor safe cookie authentication server-to-controller hash"
	ourProofKey = "Tor safe cookie authentication controller-to-server hash"
)

func (c *torControl) proveCookie(file string) bool {
	cookie := readCookie(file)
	if cookie == nil {
		return false
	}
	nonce := make([]byte, sha256.Size)
	rand.Read(nonce)
	for _, line := range c.ask("AUTHCHALLENGE SAFECOOKIE " + hex.EncodeToString(nonce)) {
		proof, torNonce, ok := strings.Cut(strings.TrimPrefix(line, "AUTHCHALLENGE SERVERHASH="), " SERVERNONCE=")
		theirs, err := hex.DecodeString(proof)
		theirNonce, nonceErr := hex.DecodeString(torNonce)
		if !ok || err != nil || nonceErr != nil {
			continue
		}
		message := slices.Concat(cookie, nonce, theirNonce)
		if !hmac.Equal(theirs, cookieProof(torProofKey, message)) {
			return false
		}
		return c.ask("AUTHENTICATE "+hex.EncodeToString(cookieProof(ourProofKey, message))) != nil
	}
	return false
}

func cookieProof(key string, message []byte) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(message)
	return mac.Sum(nil)
}

// cookieSize is that of tor's cookies, in bytes.
const cookieSize = 32

// readCookie reads what a control socket says is its cookie, and nothing that is none
// by its size.
func readCookie(file string) []byte {
	f, info, err := openFile(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info.Size() != cookieSize {
		return nil
	}
	cookie := make([]byte, cookieSize)
	if _, err := io.ReadFull(f, cookie); err != nil {
		return nil
	}
	return cookie
}
