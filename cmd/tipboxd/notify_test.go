package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// newDemo makes an organisation's folder. Its members are named by their roles.
func newDemo(t *testing.T, section string) (dir string) {
	t.Helper()
	demo := demoCmd{Dir: filepath.Join(t.TempDir(), "demo"), Listen: "127.0.0.1:0", Desk: "127.0.0.1:0"}
	if err := demo.found(); err != nil {
		t.Fatal(err)
	}
	setNotify(t, demo.Dir, section)
	return demo.Dir
}

func mailTo(member, address string) string {
	return fmt.Sprintf("[[notify.mail]]\nmember = %q\naddress = %q\n", member, address)
}

// submitCanary leaves a tip in the folder, full of what nobody may see.
func submitCanary(t *testing.T, dir string) (id string) {
	t.Helper()
	f, err := openFolder(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	token, err := f.service.FormToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	draft, err := f.service.NewTip(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if err := draft.Attach(t.Context(), tipboxtest.Canary+".txt", "text/plain", strings.NewReader(tipboxtest.Canary)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.service.Submit(t.Context(), draft, tipbox.Submission{Channel: "off-book-funds", Text: tipboxtest.Canary, Lang: "en"}); err != nil {
		t.Fatal(err)
	}
	items, _, err := f.service.Inbox(t.Context(), f.service.Roster().Member("investigator"), tipbox.InboxFilter{}, "", 10)
	if err != nil || len(items) != 1 {
		t.Fatalf("%v, %v", items, err)
	}
	return items[0].Tip
}

// A runningServer is tipboxd serve.
type runningServer struct {
	log   tipboxtest.Log
	stop  context.CancelFunc
	ended chan int
}

func serveFolder(t *testing.T, dir string) *runningServer {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &runningServer{stop: stop, ended: make(chan int, 1)}
	a := &app{ctx: ctx, stdout: io.Discard, stderr: &s.log, log: newLog(&s.log)} // which tells at the hour
	go func() { s.ended <- a.run([]string{"serve", dir}) }()
	return s
}

// end stops the server, once it has said all of it.
func (s *runningServer) end(t *testing.T, said ...string) {
	t.Helper()
	for _, text := range said {
		s.wait(t, func() bool { return bytes.Contains(s.log.Bytes(), []byte(text)) })
	}
	s.stop()
	if status := <-s.ended; status != exitDone {
		t.Errorf("status %d: %s", status, s.log.Bytes())
	}
}

// wait waits until it is so.
func (s *runningServer) wait(t *testing.T, so func() bool) {
	t.Helper()
	for !so() {
		select {
		case status := <-s.ended:
			t.Fatalf("it ended with status %d: %s", status, s.log.Bytes())
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// missedHour has the folder miss an hour of today.
func missedHour(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, notifyName), []byte(`{"done":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestServerTellsWhoHasWork runs the real thing: a tip came, an hour was missed,
// and those who have work are told by mail and by a request. Nothing of the tip
// is in what was sent, in the log and in what is kept of it.
func TestServerTellsWhoHasWork(t *testing.T) {
	office := newPostOffice(t, nil)
	var asked tipboxtest.Log
	chat, chatLine := newChat(t, nil, func(_ http.ResponseWriter, r *http.Request) { io.Copy(&asked, r.Body) })
	section := "hours = [\"00:00\"]\n" + office.section(t) +
		mailTo("reviewer", "r@city.example") + mailTo("investigator", "investigator@city.example") +
		fmt.Sprintf("[[notify.webhook]]\nmember = \"investigator\"\nurl = %q\n", chat.URL)
	dir := newDemo(t, section)
	tip := submitCanary(t, dir)

	missedHour(t, dir)
	s := serveFolder(t, dir)
	s.wait(t, func() bool { return len(asked.Bytes()) > 0 })
	s.end(t)
	if mails := office.taken(); len(mails) != 1 || mails[0].to != "investigator@city.example" || !bytes.Contains(mails[0].data, []byte("There is work")) {
		t.Errorf("%q", mails)
	}
	if !strings.HasPrefix(string(asked.Bytes()), hookText[tidingsWork]+" ") {
		t.Errorf("asked %q", asked.Bytes())
	}

	// Whoever has none is told so too, with always; and not again after a restart.
	setNotify(t, dir, "always = true\n"+section)
	s = serveFolder(t, dir)
	s.end(t, "serving")
	missedHour(t, dir)
	s = serveFolder(t, dir)
	s.wait(t, func() bool { return len(chatLine.came()) == 2 })
	s.end(t)
	mails := office.taken()
	if len(mails) != 3 || mails[1].to != "r@city.example" || !bytes.Contains(mails[1].data, []byte("Nothing new")) || !bytes.Contains(mails[2].data, []byte("There is work")) {
		t.Errorf("%q", mails)
	}

	kept, err := os.ReadFile(filepath.Join(dir, notifyName))
	if err != nil {
		t.Fatal(err)
	}
	all := [][]byte{kept, s.log.Bytes(), asked.Bytes()}
	for _, mail := range mails {
		all = append(all, mail.data)
	}
	for _, content := range append(all, append(office.line.came(), chatLine.came()...)...) {
		if where := tipboxtest.FindCanary(content); where != "" || bytes.Contains(content, []byte(tip)) || bytes.Contains(content, []byte("off-book-funds")) {
			t.Errorf("it tells of the tip, %s: %s", where, content)
		}
	}
	if lines := office.line.came(); len(lines) != 3 || watchedLine(t, lines[1]) != watchedLine(t, lines[2]) {
		t.Errorf("%d connections; the line tells work from none", len(lines))
	}
}

// TestOperatorSeesWhatFailed has a wrong password: the log says so, and so does
// the command, beside the server and after it.
func TestOperatorSeesWhatFailed(t *testing.T) {
	office := newPostOffice(t, func(o *postOffice) { o.sayBack = true })
	wrong := tokenFile(t, "another password that is long enough")
	dir := newDemo(t, "hours = [\"00:00\"]\n"+replaceSetting(office.section(t), "password_file", wrong)+mailTo("investigator", "investigator@city.example"))
	submitCanary(t, dir)
	missedHour(t, dir)
	s := serveFolder(t, dir)
	const why = "the mail server refuses user and password of smtp (code 535)"
	s.wait(t, func() bool { return bytes.Contains(s.log.Bytes(), []byte(why)) })
	s.wait(t, func() bool {
		state, err := readNotifyState(filepath.Join(dir, notifyName))
		return err == nil && len(state.Failed) > 0
	})
	status, says := runProgram(t, "notify", dir)
	if status != exitFailed || !strings.Contains(says, "investigator by mail: "+why+"\nlast hour: ") || !strings.Contains(says, "try with tipboxd notify") {
		t.Errorf("status %d, %s", status, says)
	}
	s.end(t)
	if where := tipboxtest.Find(append(s.log.Bytes(), says...), "another password that is long enough"); where != "" || bytes.Contains(s.log.Bytes(), []byte("city.example")) {
		t.Errorf("the log says too much: %s", s.log.Bytes())
	}
	if status, says := runProgram(t, "notify", dir, "--json"); status != exitFailed ||
		!strings.Contains(says, `00:00","outcomes":[{"member":"investigator","by":"mail","error":"`+why+`"}]}`) {
		t.Errorf("status %d, %s", status, says)
	}

	// What the command looks at is in no backup's way.
	key := newBackupKey(t)
	backup, restored := filepath.Join(t.TempDir(), "b.age"), filepath.Join(t.TempDir(), "restored")
	for _, args := range [][]string{
		{"check", dir}, {"backup", dir, backup, "--recipient", key.Recipient().String()},
		{"restore", backup, restored, "-i", key.file}, {"check", restored}, {"notify", restored},
	} {
		if status, says := runProgram(t, args...); status != exitDone {
			t.Errorf("%s: status %d, %s", args[0], status, says)
		}
	}
}

// replaceSetting gives a setting another value.
func replaceSetting(section, name, value string) string {
	var lines []string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, name+" = ") {
			line = fmt.Sprintf("%s = %q\n", name, value)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}

func TestNotifyTest(t *testing.T) {
	office := newPostOffice(t, nil)
	chat, _ := newChat(t, nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	dir := newDemo(t, office.section(t)+mailTo("reviewer", "r@city.example")+mailTo("nobody", "n@city.example")+
		fmt.Sprintf("[[notify.webhook]]\nmember = \"payer\"\nurl = %q\n", chat.URL))
	status, says := runProgram(t, "notify", dir, "--test")
	want := "reviewer by mail: delivered\nnobody by mail: not in the roster, and so told nothing\npayer by webhook: it refuses the request (status 403)\n"
	if status != exitFailed || !strings.HasPrefix(says, want+"tipboxd: 2 not delivered") {
		t.Errorf("status %d, %s", status, says)
	}
	if mails := office.taken(); len(mails) != 1 || mails[0].to != "r@city.example" || len(mails[0].data) != mailSize || !bytes.Contains(mails[0].data, []byte("This is a test")) {
		t.Errorf("%q", mails)
	}
	setNotify(t, dir, office.section(t)+mailTo("reviewer", "r@city.example"))
	if status, says := runProgram(t, "notify", dir, "--test", "--json"); status != exitDone || says != `{"outcomes":[{"member":"reviewer","by":"mail"}]}`+"\n" {
		t.Errorf("status %d, %s", status, says)
	}
	if status, says := runProgram(t, "notify", dir); status != exitDone || says != "last hour: never yet, 0 not delivered\n" {
		t.Errorf("status %d, %s", status, says)
	}
	if err := os.Remove(filepath.Join(dir, rosterName)); err != nil {
		t.Fatal(err)
	}
	if status, says := runProgram(t, "notify", dir, "--test"); status != exitFailed || !strings.Contains(says, rosterName) {
		t.Errorf("status %d, %s", status, says)
	}
	setNotify(t, dir, "")
	if status, says := runProgram(t, "notify", dir, "--test"); status != exitFailed || !strings.Contains(says, "nobody is named in [notify]") {
		t.Errorf("status %d, %s", status, says)
	}
}

// TestServerStopsWhileTelling is stopped while a mail server keeps it waiting,
// and serves before that all the same.
func TestServerStopsWhileTelling(t *testing.T) {
	silent := watchLoopback(t)
	reached := make(chan bool)
	go func() {
		if c, err := silent.Accept(); err == nil {
			defer c.Close()
			close(reached)
			<-t.Context().Done()
		}
	}()
	dir := newDemo(t, "hours = [\"00:00\"]\nalways = true\n[notify.smtp]\nserver = \""+silent.Addr().String()+"\"\nfrom = \"desk@city.example\"\n"+
		mailTo("investigator", "investigator@city.example"))
	missedHour(t, dir)
	s := serveFolder(t, dir)
	<-reached
	s.end(t, "serving")
	if bytes.Contains(s.log.Bytes(), []byte("not delivered")) {
		t.Errorf("the log says %s", s.log.Bytes())
	}
}

// TestServerSaysWhatItLacks starts with a password that others can read: it says
// so at once, and serves.
func TestServerSaysWhatItLacks(t *testing.T) {
	password := tokenFile(t, "secret")
	if err := os.Chmod(password, 0o644); err != nil {
		t.Fatal(err)
	}
	dir := newDemo(t, "hours = [\"00:00\"]\n[notify.smtp]\nserver = \"127.0.0.1:1\"\nfrom = \"desk@city.example\"\nuser = \"u\"\npassword_file = \""+password+"\"\n"+
		mailTo("investigator", "investigator@city.example"))
	s := serveFolder(t, dir)
	s.end(t, "serving", "members will not be notified unless this is put right", "others can read "+password)
}
