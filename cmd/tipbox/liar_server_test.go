package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
	"tipbox/store/mem"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
	"tipbox/tipbox/tipboxtest"
)

// An office is an organisation at work, which is copied for each lie. Its tip one
// is
//
//	1  tip      by the source, with two files, and not for emil
//	2  ack      by alice
//	3  message  by the source
//	4  accept   by bob
//	5  grant    by alice, to carol
//	6  assign   by alice, to bob
//	7  note     by bob
//	8  finding  by bob
//
// and two is a tip with a file and an ack by alice. Dora was an investigator, and
// is struck off.
type office struct {
	*tipboxtest.Org
	one, two  string
	oldRoster []byte // where dora is a member
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{Org: tipboxtest.New(t, tipboxtest.Config{})}
	o.Clock.Advance(time.Since(o.Clock.Now())) // the tool goes by the machine's
	o.Enter("dora", &roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{"off-book-funds"}})
	o.Enter("rita", &roster.Member{Roles: []roster.Role{roster.Reviewer}})
	o.Enter("emil", &roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{"off-book-funds"}})
	o.Install()
	files := []tipboxtest.File{{Name: "a.txt", Content: "first file"}, {Name: "b.txt", Content: "other file"}}
	code, err := o.Service.Submit(t.Context(), o.Draft(files...), tipbox.Submission{
		Channel: "off-book-funds", Text: "the first message", Lang: "en", LeaveOut: []string{"emil"},
	})
	if err != nil {
		t.Fatal(err)
	}
	o.one = o.Inbox("alice")[0].Tip
	o.Act("alice", o.one, tipbox.Act{Action: tipbox.ActionAck, Text: "we read it"})
	d, err := o.Service.Reopen(t.Context(), code)
	if err == nil {
		err = o.Service.FollowUp(t.Context(), d, tipbox.NewNonce(), "en", "the third message")
	}
	if err != nil {
		t.Fatal(err)
	}
	o.Act("bob", o.one, tipbox.Act{Action: tipbox.ActionAccept})
	o.Act("alice", o.one, tipbox.Act{Action: tipbox.ActionGrant, Grant: o.Member("carol")})
	o.Act("alice", o.one, tipbox.Act{Action: tipbox.ActionAssign, Owner: "bob", Due: "2099-12-20"})
	o.Act("bob", o.one, tipbox.Act{Action: tipbox.ActionNote, Text: "the ledger is missing"})
	o.Act("bob", o.one, vote(tipbox.Substantiated))
	o.Submit("another tip", tipboxtest.File{Name: "c.txt", Content: "third file"})
	for _, i := range o.Inbox("alice") {
		if i.Tip != o.one {
			o.two = i.Tip
		}
	}
	o.Act("alice", o.two, tipbox.Act{Action: tipbox.ActionAck, Text: "thank you"})
	o.oldRoster = o.Service.SignedRoster()
	o.Strike("dora")
	o.Install()
	return o
}

func vote(f tipbox.Finding) tipbox.Act {
	return tipbox.Act{Action: tipbox.ActionFinding, Text: "because", Detail: &tipbox.Detail{Finding: f}}
}

// copy is the same office with a copy of its store, which goes on by itself.
func (o *office) copy(t *testing.T) *office {
	t.Helper()
	org, ctx := *o.Org, t.Context()
	org.Store, org.Blobs = mem.New(), mem.NewBlobs()
	recs, err := o.Store.Scan(ctx, "", "", store.MaxScan)
	for _, rec := range recs {
		if err == nil {
			err = org.Store.Apply(ctx, store.Put(rec.Key, rec.Value))
		}
	}
	if err == nil {
		err = o.Blobs.List(ctx, func(name string, _ int64) error {
			from, err := o.Blobs.Open(ctx, name)
			if err != nil {
				return err
			}
			defer from.Close()
			to, err := org.Blobs.Create(ctx, name)
			if err == nil {
				_, err = io.Copy(to, io.NewSectionReader(from, 0, from.Size()))
			}
			if err != nil {
				return err
			}
			return to.Commit()
		})
	}
	if err == nil {
		org.Service, err = tipbox.New(tipbox.Config{
			Store: org.Store, Blobs: org.Blobs, Root: org.Root.Verifier(), Channels: o.Service.Channels(), Now: org.Clock.Now,
		})
	}
	if err == nil {
		err = org.Service.InstallRoster(ctx, o.Service.SignedRoster())
	}
	if err != nil {
		t.Fatal(err)
	}
	return &office{&org, o.one, o.two, o.oldRoster}
}

// A liar is an office's server in the wrong hands. It has the server's key and
// all that the store holds, and alters answers on their way. It has no key of a
// member, but that of one who was struck off and helps it.
type liar struct {
	*bench
	one, two  string // see office
	oldRoster []byte

	mu     sync.Mutex // guards what follows
	lie    http.Handler
	posted []string // bodies of requests to change something
}

// serve serves the office's desk, by a liar who tells the truth as yet.
func (o *office) serve(t *testing.T) *liar { return o.serveAs(t, o.Server) }

func (o *office) serveAs(t *testing.T, key *roster.SigningKey) *liar {
	t.Helper()
	l := &liar{bench: &bench{Org: o.Org, t: t, homes: make(map[string]string)}, one: o.one, two: o.two, oldRoster: o.oldRoster}
	config, err := desk.ServerTLS(key, o.Service.Roster)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: l, ErrorLog: log.New(io.Discard, "", 0)}
	go s.Serve(tls.NewListener(listener, config))
	t.Cleanup(func() { s.Close() })
	l.address = listener.Addr().String()
	return l
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	h := l.lie
	if r.Method != http.MethodGet {
		body := must(io.ReadAll(r.Body))
		l.posted = append(l.posted, string(body))
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	l.mu.Unlock()
	if h == nil {
		h = l.desk()
	}
	h.ServeHTTP(w, r)
}

// desk is the API, which does not lie.
func (l *liar) desk() http.Handler { return desk.New(desk.Config{Service: l.Service}) }

// tell makes the liar answer by h from now on; nil is the truth.
func (l *liar) tell(h http.Handler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lie = h
}

// answer has requests of a method, to a path that ends so, answered by h.
func (l *liar) answer(method, suffix string, h http.HandlerFunc) {
	l.tell(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method && strings.HasSuffix(r.URL.Path, suffix) {
			h(w, r)
			return
		}
		l.desk().ServeHTTP(w, r)
	}))
}

// alter has the bodies of good answers to a GET of a path that ends so altered. If
// it is the roster's, every answer says that there is another one.
func (l *liar) alter(suffix string, f func(body []byte) []byte) {
	l.tell(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		truth := recorder{httptest.NewRecorder()}
		l.desk().ServeHTTP(truth, r)
		body := truth.Body.Bytes()
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, suffix) && truth.Code == http.StatusOK {
			body = f(body)
		}
		maps.Copy(w.Header(), truth.Header())
		w.Header().Del("Content-Length")
		if suffix == "/roster" {
			w.Header().Set("Tipbox-Roster", "999 "+sha(nil))
		}
		w.WriteHeader(truth.Code)
		w.Write(body)
	}))
}

// A recorder takes deadlines too.
type recorder struct{ *httptest.ResponseRecorder }

func (recorder) SetReadDeadline(time.Time) error  { return nil }
func (recorder) SetWriteDeadline(time.Time) error { return nil }

// asks is the name of the member who asks.
func (l *liar) asks(r *http.Request) string {
	key, _ := r.TLS.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	return l.Service.Roster().MemberByKey(key).Name()
}

// alterTip has what members get of a tip altered.
func (l *liar) alterTip(tip string, f func(*tipbox.TipFile)) {
	l.alter("/tips/"+tip, func(body []byte) []byte {
		file := new(tipbox.TipFile)
		if err := json.Unmarshal(body, file); err != nil {
			panic(err)
		}
		f(file)
		return must(json.Marshal(file))
	})
}

// alterInbox has the pages of inboxes altered.
func (l *liar) alterInbox(f func(*desk.InboxPage)) {
	l.alter("/inbox", func(body []byte) []byte {
		page := new(desk.InboxPage)
		if err := json.Unmarshal(body, page); err != nil {
			panic(err)
		}
		f(page)
		return must(json.Marshal(page))
	})
}

// file is what the store has of a tip.
func (l *liar) file(tip string) *tipbox.TipFile {
	return must(l.Service.Tip(context.Background(), l.Member("alice"), tip))
}

// event signs an entry that follows the file's last one and appends it. It may
// say anything but what is in its clear part.
func (l *liar) event(f *tipbox.TipFile, key *roster.SigningKey, e tipbox.Event) {
	l.bent(f, key, e, func(*tipbox.Event) {})
}

// bent is event of what is bent before it is signed.
func (l *liar) bent(f *tipbox.TipFile, key *roster.SigningKey, e tipbox.Event, bend func(*tipbox.Event)) {
	e.Tip, e.Number, e.Before = f.Tip, len(f.Events)+1, f.Head
	if e.Day == "" {
		e.Day = l.Service.Today()
	}
	doc := fmt.Sprintf(`{"v":1,"tip":%q,"number":%d,"text":"forged","detail":{"finding":"unsubstantiated"}}`, e.Tip, e.Number)
	to := l.Open("alice", f.Tip).Slot.Key.Recipient() // the tip's record has it in the clear
	sealed := must(seal.Message([]byte(doc), to))
	e.Sealed = sha(sealed)
	bend(&e)
	note := must(key.Sign("tipbox event v1\n" + string(must(json.Marshal(e))) + "\n"))
	f.Events, f.Head = append(f.Events, tipbox.SealedEvent{Note: string(note), Sealed: sealed}), sha(note)
}

func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// contents are the files of a folder.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
