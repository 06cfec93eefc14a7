package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Errors of the way through a SOCKS proxy; each has a hint of its own.
var (
	// errOnionNeedsProxy means that an onion address was to be reached without one.
	errOnionNeedsProxy = errors.New("an onion address is reached through Tor: --socks 127.0.0.1:9050, or 9150 for that of Tor Browser")
	// errNoProxy means that nothing listens where the proxy should be.
	errNoProxy = errors.New("no SOCKS proxy is there")
	// errNotProxy means that something else listens there.
	errNotProxy = errors.New("what is there is no SOCKS proxy that takes this")
	// errProxySlow means that the proxy did not say in time whether there is a way.
	errProxySlow = errors.New("the proxy found no way in time")
	// errNoWay means that the proxy gave up, for whatever reason.
	errNoWay = errors.New("the proxy found no way")
	// errNoAuthorization means that tor has no key for an onion service that takes one.
	errNoAuthorization = errors.New("the onion service asks for client authorization, and tor has no key for it")
	// errWrongAuthorization means that the service does not know the key that tor has.
	errWrongAuthorization = errors.New("the onion service does not know the key that tor has for it")
)

const (
	// noProxy is what --socks says to go without a proxy that is remembered.
	noProxy = "none"

	proxyTime = 30 * time.Second
	// wayTime is longer than tor tries, two minutes, so that it can say why it failed.
	wayTime = 150 * time.Second
)

// A proxy is a SOCKS proxy (RFC 1928), which looks names up too. A nil one is none.
//
// Every connection offers a user name and password of its own (RFC 1929), which a
// proxy of Tor's takes for the wish that nothing else go over the same circuit.
type proxy struct {
	network, address string
}

// parseProxy reads what --socks says.
func parseProxy(text string) (*proxy, error) {
	if text == "" || text == noProxy {
		return nil, nil
	}
	path, unix := strings.CutPrefix(text, "unix:")
	if unix && filepath.IsAbs(path) {
		return &proxy{"unix", path}, nil
	}
	if host, port, err := net.SplitHostPort(text); err != nil || host == "" || port == "" || unix {
		return nil, usageError{fmt.Errorf("--socks %q is neither HOST:PORT, such as 127.0.0.1:9050, nor unix:/PATH", text)}
	}
	return &proxy{"tcp", text}, nil
}

// way is the proxy to a host, by what was typed or else what is remembered. An onion
// address has none without.
func way(typed, remembered, host string) (*proxy, error) {
	p, err := parseProxy(cmp.Or(typed, remembered))
	if err == nil && p == nil && isOnion(host) {
		err = usageError{errOnionNeedsProxy}
	}
	return p, err
}

// isOnion reports whether a host's name ends as those of onion services do: nobody
// else may be asked for it (RFC 7686).
func isOnion(host string) bool {
	return strings.HasSuffix(strings.ToLower(strings.TrimSuffix(host, ".")), ".onion")
}

// Dial connects to an address, host:port, whose name only the proxy learns. If it
// finds no way it is asked once more: circuits break.
func (p *proxy) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	conn, err := p.dial(ctx, address)
	if errors.Is(err, errNoWay) && ctx.Err() == nil {
		conn, err = p.dial(ctx, address)
	}
	return conn, err
}

func (p *proxy) dial(ctx context.Context, address string) (net.Conn, error) {
	request, err := connectRequest(address)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{Timeout: proxyTime}).DialContext(ctx, p.network, p.address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", p.address, errNoProxy, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err = p.shake(conn, request)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// Bytes of RFC 1928 and RFC 1929.
const (
	socksVersion  = 5
	socksOpen     = 0 // methods
	socksPassword = 2
	socksConnect  = 1
	socksIPv4     = 1
	socksName     = 3
	socksIPv6     = 4
)

// connectRequest asks for a connection to an address.
func connectRequest(address string) ([]byte, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || len(host) > 255 || host == "" {
		return nil, fmt.Errorf("%q is no host and port", address)
	}
	request := []byte{socksVersion, socksConnect, 0}
	ip := net.ParseIP(host)
	switch v4 := ip.To4(); {
	case v4 != nil:
		request = append(append(request, socksIPv4), v4...)
	case ip != nil:
		request = append(append(request, socksIPv6), ip...)
	default:
		request = append(append(request, socksName, byte(len(host))), host...)
	}
	return binary.BigEndian.AppendUint16(request, uint16(port)), nil
}

// shake has the proxy connect.
func (p *proxy) shake(conn net.Conn, request []byte) error {
	conn.SetDeadline(time.Now().Add(proxyTime))
	if err := greet(conn); err != nil {
		return fmt.Errorf("%s: %w", p.address, errNotProxy)
	}
	conn.SetDeadline(time.Now().Add(wayTime))
	if _, err := conn.Write(request); err != nil {
		return fmt.Errorf("%w: %w", errNoWay, err)
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(conn, answer); err != nil {
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			return errProxySlow
		}
		return fmt.Errorf("%w: %w", errNoWay, err)
	}
	if answer[0] != socksVersion {
		return fmt.Errorf("%s: %w", p.address, errNotProxy)
	}
	if answer[1] != 0 {
		return refusal(answer[1])
	}
	// What it is bound to, which is of no use.
	size := map[byte]int{socksIPv4: net.IPv4len, socksIPv6: net.IPv6len}[answer[3]]
	if answer[3] == socksName {
		if _, err := io.ReadFull(conn, answer[:1]); err != nil {
			return fmt.Errorf("%w: %w", errNoWay, err)
		}
		size = int(answer[0])
	}
	if _, err := io.ReadFull(conn, make([]byte, size+2)); err != nil {
		return fmt.Errorf("%w: %w", errNoWay, err)
	}
	return nil
}

// greet tells the proxy who we are: somebody new.
func greet(conn net.Conn) error {
	if _, err := conn.Write([]byte{socksVersion, 2, socksOpen, socksPassword}); err != nil {
		return err
	}
	reply := make([]byte, 2)
	switch _, err := io.ReadFull(conn, reply); {
	case err != nil:
		return err
	case reply[0] != socksVersion:
		return errNotProxy
	case reply[1] == socksOpen:
		return nil
	case reply[1] != socksPassword:
		return errNotProxy
	}
	user, password := rand.Text(), rand.Text()
	login := append([]byte{1, byte(len(user))}, user...)
	login = append(append(login, byte(len(password))), password...)
	if _, err := conn.Write(login); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, reply); err != nil {
		return err
	}
	if reply[1] != 0 {
		return errNotProxy
	}
	return nil
}

// refusal is the error of a proxy's reply: of RFC 1928, or from 0xf0 on of tor's
// socks-extensions, which it gives where its SocksPort has the word ExtendedErrors.
func refusal(reply byte) error {
	switch reply {
	case 0x02:
		return fmt.Errorf("%w: it does not allow it", errNoWay)
	case 0x03:
		return fmt.Errorf("%w: it has no network", errNoWay)
	case 0x04:
		return fmt.Errorf("%w: the host is not to be found", errNoWay)
	case 0x05:
		return fmt.Errorf("%w: the host is there and answers nothing", errNoWay)
	case 0x06:
		return fmt.Errorf("%w: it took too long", errNoWay)
	case 0xf0:
		return fmt.Errorf("%w: no onion service announces this address", errNoWay)
	case 0xf1:
		return fmt.Errorf("%w: what the onion service announces is damaged", errNoWay)
	case 0xf2, 0xf3, 0xf7:
		return fmt.Errorf("%w: the onion service is announced and does not answer", errNoWay)
	case 0xf4:
		return errNoAuthorization
	case 0xf5:
		return errWrongAuthorization
	case 0xf6:
		return fmt.Errorf("%w: the onion address is mistyped", errNoWay)
	}
	return fmt.Errorf("%w: it says no more (%d)", errNoWay, reply)
}
