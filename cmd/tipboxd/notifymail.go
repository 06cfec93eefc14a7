package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// mailSize is the length in bytes of every mail: of what follows DATA.
const mailSize = 1600

// mailText is a mail's text, in both languages since one size is to fit.
var mailText = map[tidings]string{
	tidingsWork:    "There is work for you. Type: tipbox inbox\n\n有工作等您处理。请运行：tipbox inbox\n",
	tidingsNothing: "Nothing new. There is nothing for you to do.\n\n没有新的工作，您无需处理任何事项。\n",
	tidingsTest:    "This is a test by the operator of the server. There is nothing for you to do.\n\n这是服务器管理员发送的测试邮件，您无需处理任何事项。\n",
}

const mailFooter = "\nThis comes at fixed hours. Do not answer this mail.\n\n本邮件在固定时间发出，请勿回复。\n"

// A mailer gives mails to a mail server: one connection for each, over STARTTLS
// and with a certificate that was verified, or not at all. Who watches the line
// sees the same for every recipient and text, byte for byte in length.
type mailer struct {
	server, from string
	user         string
	passwordFile string // "" for no sign-in
	caFile       string // "" for the system's
	log          *slog.Logger

	telling sync.Once // of a server that makes lengths differ
}

// send mails the notice. When it returns nil, the mail server has taken it.
func (m *mailer) send(ctx context.Context, address string, n notice) error {
	msg, err := m.message(address, n)
	if err != nil {
		return err
	}
	conn, err := newDialer().DialContext(ctx, "tcp", m.server)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	session, err := m.begin(ctx, conn)
	if err != nil {
		return err
	}
	if err := session.Mail("<" + m.from + ">"); err != nil {
		return refused("the sender", err)
	}
	if err := m.recipient(session, address); err != nil {
		return refused("the recipient", err)
	}
	data, err := session.Data()
	if err != nil {
		return refused("the mail", err)
	}
	if _, err := msg.WriteTo(data); err != nil {
		return err
	}
	if err := data.Close(); err != nil {
		return refused("the mail", err)
	}
	conn.SetDeadline(time.Now().Add(time.Second)) // it is taken, whatever comes
	session.Quit()
	return nil
}

// begin greets the server, begins TLS and signs in.
func (m *mailer) begin(ctx context.Context, conn net.Conn) (*smtp.Client, error) {
	host, portText, err := net.SplitHostPort(m.server)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, err
	}
	config, err := clientTLS(host, m.caFile)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	client, err := mail.NewClient(host, mail.WithPort(port), mail.WithTimeout(time.Until(deadline)), mail.WithHELO(m.domain()),
		mail.WithTLSPolicy(mail.TLSMandatory), mail.WithTLSConfig(config), mail.WithoutSMTPUTF8(),
		mail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) {
			return &shortConn{Conn: conn, left: maxReplies}, nil
		}))
	if err != nil {
		return nil, err
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("greeting the mail server and beginning TLS: %w", err)
	}
	if m.passwordFile == "" {
		return session, nil
	}
	return session, m.signIn(session, host)
}

// signIn tells the server user and password. What it says to that may be what it
// was told, and is no part of an error.
func (m *mailer) signIn(session *smtp.Client, host string) error {
	password, err := readSecret(m.passwordFile)
	if err != nil {
		return err
	}
	_, offered := session.Extension("AUTH")
	var auth smtp.Auth
	switch mechanisms := strings.Fields(strings.ToUpper(offered)); {
	case slices.Contains(mechanisms, "PLAIN"):
		auth = smtp.PlainAuth("", m.user, password, host, false)
	case slices.Contains(mechanisms, "LOGIN"):
		auth = smtp.LoginAuth(m.user, password, host, false)
	default:
		return finalError{errors.New("the mail server takes no user and password (AUTH PLAIN or LOGIN): leave out user and password_file, or ask whose it is")}
	}
	err = session.Auth(auth)
	var reply *textproto.Error
	var broken net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &reply) && reply.Code >= 500:
		return finalError{fmt.Errorf("the mail server refuses user and password of smtp (code %d)", reply.Code)}
	case errors.As(err, &reply):
		return fmt.Errorf("the mail server puts the sign-in off (code %d)", reply.Code)
	case errors.As(err, &broken):
		return fmt.Errorf("signing in: %w", broken)
	}
	return errors.New("the mail server broke the sign-in off")
}

// recipient tells the server for whom the mail is, in a line that is as long for
// everybody: RFC 5321 (4.1.1) has servers tolerate white space at its end. One
// that does not is told without.
func (m *mailer) recipient(session *smtp.Client, address string) error {
	line := "RCPT TO:<" + address + ">"
	err := command(session, line+strings.Repeat(" ", maxAddress-len(address)))
	var reply *textproto.Error
	if !errors.As(err, &reply) || !slices.Contains([]int{500, 501, 504, 555}, reply.Code) { // a fault in the line
		return err
	}
	if err := command(session, line); err != nil {
		return err
	}
	m.telling.Do(func() {
		m.log.Warn("the mail server takes no white space behind an address: who watches the line can tell long addresses from short ones")
	})
	return nil
}

// command does one that takes a reply of the 250s.
func command(session *smtp.Client, line string) error {
	id, err := session.Text.Cmd("%s", line)
	if err != nil {
		return err
	}
	session.Text.StartResponse(id)
	defer session.Text.EndResponse(id)
	_, _, err = session.Text.ReadResponse(25)
	return err
}

// refused says what the server would not take, if it was the server who said so.
func refused(what string, err error) error {
	var reply *textproto.Error
	if !errors.As(err, &reply) {
		return err
	}
	err = fmt.Errorf("the mail server refuses %s: %d %s", what, reply.Code, reply.Msg)
	if reply.Code >= 500 {
		return finalError{err}
	}
	return err
}

// domain is what we call ourselves: not by the name of the machine.
func (m *mailer) domain() string { return m.from[strings.LastIndexByte(m.from, '@')+1:] }

// message writes the mail, mailSize bytes long. Beyond what the notice says it
// tells nothing of time and machine.
func (m *mailer) message(address string, n notice) (*mail.Msg, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.From(m.from), msg.To(address)); err != nil {
		return nil, err
	}
	msg.Subject("Tipbox")
	msg.SetDateWithValue(n.hour)
	msg.SetMessageIDWithValue(n.id + "@" + m.domain())
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's absence is to answer
	msg.SetBodyString(mail.TypeTextPlain, mailText[n.says]+mailFooter)
	const padding = "X-Padding"
	msg.SetGenHeaderPreformatted(padding, "")
	size, err := msg.WriteTo(io.Discard)
	if err != nil {
		return nil, err
	}
	room := mailSize - int(size)
	if room < 0 || room > maxHeaderLine {
		return nil, fmt.Errorf("a mail of %d bytes cannot be brought to %d", size, mailSize)
	}
	msg.SetGenHeaderPreformatted(padding, strings.Repeat("x", room))
	return msg, nil
}

// maxHeaderLine is what RFC 5322 (2.1.1) allows of a line for the padding.
const maxHeaderLine = 998 - len("X-Padding: ")

// maxReplies is the length in bytes of all that a server may say on a
// connection.
const maxReplies = 1 << 20

// A shortConn is a connection on which the other end may not say more than left.
type shortConn struct {
	net.Conn
	left int
}

// Read implements net.Conn.
func (c *shortConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("the other end says too much")
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
