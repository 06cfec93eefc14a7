package desk_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
	"tipbox/tipbox/tipboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

const canary = tipboxtest.Canary

// serve serves the desk of an organisation over TLS and returns its address.
func serve(t testing.TB, o *tipboxtest.Org) string {
	t.Helper()
	config, err := desk.ServerTLS(o.Server, o.Service.Roster)
	if err != nil {
		t.Fatal(err)
	}
	return serveTLS(t, config, desk.New(desk.Config{Service: o.Service}))
}

func serveTLS(t testing.TB, config *tls.Config, h http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Listener.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Listener = tls.NewListener(l, config)
	s.Start()
	t.Cleanup(s.Close)
	return l.Addr().String()
}

func client(t testing.TB, o *tipboxtest.Org, address string, key *roster.SigningKey) *desk.Client {
	t.Helper()
	c, err := desk.NewClient(desk.ClientConfig{Address: address, Key: key, Roster: o.Service.Roster()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func TestMemberReadsAndAnswersOverTheWire(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit(canary, tipboxtest.File{Name: "a", Content: strings.Repeat(canary, 2000)})
	o.Submit("another")
	c := client(t, o, serve(t, o), o.Key("alice").SigningKey)

	signed, err := c.Roster(ctx)
	if err != nil || string(signed) != string(o.Service.SignedRoster()) {
		t.Errorf("the roster comes as %q, %v", signed, err)
	}
	var items []tipbox.InboxItem
	for cursor := ""; ; {
		page, err := c.Inbox(ctx, tipbox.InboxFilter{}, cursor, 1)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, page.Items...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if diff := cmp.Diff(o.Inbox("alice"), items); diff != "" {
		t.Error(diff)
	}
	id := items[0].Tip
	if items[0].Files == 0 {
		id = items[1].Tip
	}
	file, err := c.Tip(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	tip, err := tipbox.OpenTip(file, id, o.Key("alice"), o.Service.Roster())
	if err != nil {
		t.Fatal(err)
	}
	if tip.Messages[0].Text != canary {
		t.Errorf("the text is %q", tip.Messages[0].Text)
	}
	attachment := tip.Messages[0].Files[0]
	sealed, err := c.Attachment(ctx, id, attachment.Blob)
	if err != nil {
		t.Fatal(err)
	}
	defer sealed.Close()
	plain, err := attachment.Open(sealed, tip.Slot.Key.Identity())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(plain); err != nil || string(got) != strings.Repeat(canary, 2000) {
		t.Errorf("the file has %d bytes, %v", len(got), err)
	}
	note, answer, err := tip.Reply(o.Key("alice"), "2026-11-22", "an answer")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Append(ctx, id, note, answer); err != nil {
		t.Fatal(err)
	}
	wantErr(t, c.Append(ctx, id, note, answer), tipbox.ErrConflict)
	thread, err := o.Service.Thread(ctx, code)
	if err != nil || thread.Messages[1].Text != "an answer" {
		t.Errorf("the source reads %+v, %v", thread, err)
	}
}

func TestErrorsCrossTheWireAsThemselves(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Enter("dora", &roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{"bribery"}})
	o.Install()
	o.Submit("one")
	id := o.Inbox("alice")[0].Tip
	address := serve(t, o)
	dora := client(t, o, address, o.Key("dora").SigningKey)
	_, err := dora.Tip(ctx, id)
	wantErr(t, err, tipbox.ErrNotFound)
	_, err = dora.Attachment(ctx, id, id+"aaaaaaaaaaaaaaaa")
	wantErr(t, err, tipbox.ErrNotFound)
	wantErr(t, dora.Append(ctx, id, []byte("x"), nil), tipbox.ErrNotFound)
	if page, err := dora.Inbox(ctx, tipbox.InboxFilter{}, "", 0); err != nil || len(page.Items) != 0 {
		t.Errorf("dora's inbox: %+v, %v", page, err)
	}
	_, err = client(t, o, address, o.Key("peter").SigningKey).Inbox(ctx, tipbox.InboxFilter{}, "", 0)
	wantErr(t, err, tipbox.ErrForbidden)
	alice := client(t, o, address, o.Key("alice").SigningKey)
	wantErr(t, alice.Append(ctx, id, []byte("x"), nil), desk.ErrRefused)
	wantErr(t, alice.Append(ctx, id, nil, make([]byte, 600<<10)), tipbox.ErrTooLong)
	_, err = alice.Tip(ctx, "../roster")
	wantErr(t, err, tipbox.ErrNotFound)
	_, err = alice.Inbox(ctx, tipbox.InboxFilter{}, "a cursor with spaces", 0)
	wantErr(t, err, desk.ErrRefused)
}

func TestStrangersKeyIsRefused(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	stranger, err := roster.NewSigningKey("alice") // the name is not what counts
	if err != nil {
		t.Fatal(err)
	}
	_, err = client(t, o, serve(t, o), stranger).Roster(ctx)
	wantErr(t, err, desk.ErrPeer)
}

func TestServerThatTheRosterDoesNotNameIsRefused(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	impostor, err := roster.NewSigningKey("desk")
	if err != nil {
		t.Fatal(err)
	}
	config, err := desk.ServerTLS(impostor, o.Service.Roster)
	if err != nil {
		t.Fatal(err)
	}
	asked := false
	address := serveTLS(t, config, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	_, err = client(t, o, address, o.Key("alice").SigningKey).Roster(ctx)
	wantErr(t, err, desk.ErrPeer)
	if asked {
		t.Error("the impostor was sent a request")
	}
}

func TestStruckMemberIsCutOffAtOnce(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Submit("one")
	address := serve(t, o)
	bob := client(t, o, address, o.Key("bob").SigningKey)
	if _, err := bob.Inbox(ctx, tipbox.InboxFilter{}, "", 0); err != nil {
		t.Fatal(err)
	}
	o.Strike("bob")
	o.Install()
	_, err := bob.Inbox(ctx, tipbox.InboxFilter{}, "", 0) // on the connection that is open
	wantErr(t, err, tipbox.ErrForbidden)
	_, err = client(t, o, address, o.Key("bob").SigningKey).Inbox(ctx, tipbox.InboxFilter{}, "", 0)
	wantErr(t, err, desk.ErrPeer)
}

func TestOnlyTLS13WithAMembersCertificate(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	address := serve(t, o)
	good, err := desk.ServerTLS(o.Key("alice").SigningKey, o.Service.Roster) // as good a client's certificate as a server's
	if err != nil {
		t.Fatal(err)
	}
	https := httptest.NewTLSServer(nil)
	defer https.Close()
	for name, config := range map[string]*tls.Config{
		"no certificate":     {InsecureSkipVerify: true},
		"TLS 1.2":            {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, Certificates: good.Certificates},
		"an RSA certificate": {InsecureSkipVerify: true, Certificates: https.TLS.Certificates},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", address, config)
			if err != nil {
				return
			}
			defer conn.Close()
			// In TLS 1.3 a client hears of its refusal when it reads.
			fmt.Fprintf(conn, "GET /v1/roster HTTP/1.1\r\nHost: x\r\n\r\n")
			if n, err := conn.Read(make([]byte, 1)); err == nil || n > 0 {
				t.Error("the server answers")
			}
		})
	}
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, Certificates: good.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	state := conn.ConnectionState()
	if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 {
		t.Errorf("version %x, key exchange %v", state.Version, state.CurveID)
	}
}

func TestWithoutTLSNothingIsServed(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	w := httptest.NewRecorder()
	desk.New(desk.Config{Service: o.Service}).ServeHTTP(w, httptest.NewRequest("GET", "/v1/roster", nil))
	if w.Code != http.StatusForbidden {
		t.Errorf("status %d", w.Code)
	}
}

// TestLyingServersAnswersAreBounded lets a server with the right key misbehave.
func TestLyingServersAnswersAreBounded(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	config, err := desk.ServerTLS(o.Server, o.Service.Roster)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	for name, h := range map[string]http.HandlerFunc{
		"endless": func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, io.LimitReader(endless{}, 64<<20)) },
		"endless error": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			io.Copy(w, io.LimitReader(endless{}, 64<<20))
		},
		"a redirect":      func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"not JSON":        func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"an empty answer": func(w http.ResponseWriter, _ *http.Request) {},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
		},
		"abort": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, o, serveTLS(t, config, h), o.Key("alice").SigningKey)
			if _, err := c.Inbox(ctx, tipbox.InboxFilter{}, "", 0); err == nil {
				t.Error("no error from the inbox")
			}
			if name == "endless" {
				return // a tip may be long
			}
			if _, err := c.Tip(ctx, "aaaaaaaaaaaaaaaa"); err == nil {
				t.Error("no error from the tip")
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestHomeRefusesOldAndForgedRosters(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	old := o.Service.SignedRoster()
	o.Strike("bob")
	o.Install()
	home := desk.Home(filepath.Join(t.TempDir(), "home"))
	cfg := desk.HomeConfig{Desk: "127.0.0.1:1", Root: o.Root.Verifier()}
	_, err := home.Config()
	wantErr(t, err, desk.ErrNoHome)
	if err := home.Join(cfg, o.Service.SignedRoster()); err != nil {
		t.Fatal(err)
	}
	got, err := home.Config()
	if err != nil || got != cfg {
		t.Errorf("config %+v, %v", got, err)
	}
	last, err := home.Roster(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = home.Renew(cfg, last, old)
	wantErr(t, err, roster.ErrOlder)
	forged, err := o.Service.Roster().Sign(o.Server)
	if err != nil {
		t.Fatal(err)
	}
	_, err = home.Renew(cfg, last, forged)
	wantErr(t, err, roster.ErrSignature)
	wantErr(t, desk.Home(t.TempDir()).Join(cfg, forged), roster.ErrSignature)
	o.Install()
	newer, err := home.Renew(cfg, last, o.Service.SignedRoster())
	if err != nil || newer.Serial != last.Serial+1 {
		t.Errorf("the newer roster: %v", err)
	}
	if again, err := home.Roster(cfg); err != nil || again.Serial != newer.Serial {
		t.Errorf("the newer roster was not kept: %v", err)
	}
	file := filepath.Join(string(home), "tipbox.toml")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the configuration: %v", info.Mode())
	}
	if err := os.WriteFile(file, []byte("desk = 'x'\nmisspelt = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := home.Config(); err == nil {
		t.Error("an unknown key is taken")
	}
}

func FuzzPostEvent(f *testing.F) {
	f.Add([]byte(`{"note":"x","sealed":"AAAA"}`))
	f.Add([]byte(`{"note":"tipbox event v1\n{}\n\n— alice AAAA\n"}`))
	o := tipboxtest.New(f, tipboxtest.Config{})
	o.Submit("one")
	id := o.Inbox("alice")[0].Tip
	config, err := desk.ServerTLS(o.Server, o.Service.Roster)
	if err != nil {
		f.Fatal(err)
	}
	address := serveTLS(f, config, desk.New(desk.Config{Service: o.Service}))
	c := client(f, o, address, o.Key("alice").SigningKey)
	f.Fuzz(func(t *testing.T, body []byte) {
		if err := c.Append(ctx, id, body, body); err == nil {
			t.Error("the server took it")
		}
	})
}
