package cmd_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tipbox/tipbox/desk"
)

var torRounds = flag.Int("tor.rounds", 0, "how often TestTor fetches a page and sends 50 MiB for the medians that it logs")

// TestTor tells the main stories over a Tor network of our own: with the real
// programs, the server on Unix sockets behind two onion services, of which the desk's
// lets in by client authorization only.
func TestTor(t *testing.T) {
	if dir := os.Getenv(torNetEnv); dir != "" {
		runTorNet(t, dir)
		return
	}
	t.Parallel()
	needTor(t)
	s := newTorStory(t)
	chapters := []struct {
		name string
		tell func(t *testing.T)
	}{
		{"a source sends 50 MiB", s.source},
		{"the operator sees that it leads here", s.operator},
		{"the desk is there for tors that have a key", s.desk},
		{"a source asks for awards", s.claim},
		{"a browser without scripts", s.browser},
		{"medians", s.medians},
		{"nothing of it is written down", s.nothingIsWritten},
	}
	for _, c := range chapters {
		if !t.Run(c.name, c.tell) {
			return // the next go on from there
		}
	}
}

// A torStory is an office behind onion services, its member, and a source.
type torStory struct {
	dir     string
	net     *torNet
	office  *office
	server  *serving
	sources string // onion addresses
	members string
	home    string // the member's

	// host:port of clients' tors
	sourceSocks, memberSocks string

	tip, words, digits string // of the source's tip
}

// torUpload is how much the source sends, in bytes.
const torUpload = 50 << 20

func newTorStory(t *testing.T) *torStory {
	t.Helper()
	dir, err := os.MkdirTemp("", "tipbox-tor-") // short, for the paths of sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &torStory{dir: dir, home: filepath.Join(dir, "home")}
	s.office = newOfficeAt(t, filepath.Join(dir, "srv"), 1, "unix:"+filepath.Join(dir, "run", "sources.sock"), "unix:"+filepath.Join(dir, "run", "desk.sock"))
	key := s.office.readers[0]
	s.write(t, filepath.Join(s.home, "member.key"), key.Reveal())
	s.write(t, filepath.Join(dir, "roster.note"), string(s.office.signed))

	// Tor wants its folders for itself. The operator enters the member's line.
	line, _ := s.tipbox(t, s.home, "keygen", "--onion")
	s.write(t, filepath.Join(dir, "service", "tipbox-desk", "authorized_clients", key.Name()+".auth"), line)
	s.mkdir(t, filepath.Join(dir, "keys"))
	s.mkdir(t, filepath.Join(dir, "run"))
	s.net = startTorNet(t, dir, torPlan{
		Service: s.torrc(t),
		Clients: map[string]string{
			// What comes from here comes from that address.
			"source": "OutboundBindAddress " + sourceAddress + "\n",
			"member": fmt.Sprintf("ClientOnionAuthDir %[1]s/keys\nSocksPort unix:%[1]s/member/plain\n", dir),
		},
	})
	s.sources, s.members = s.net.onion(t, "tipbox-sources"), s.net.onion(t, "tipbox-desk")
	s.sourceSocks, s.memberSocks = s.net.loopbackSocks(t, "source"), s.net.loopbackSocks(t, "member")
	s.onion(t, "--save", "--no-check")
	s.server = s.office.serve(t)
	t.Logf("the network was up in %.1f s\n%s", s.net.upIn.Seconds(), s.net.output.Bytes())
	return s
}

// torrc is the one that operators copy, with our paths.
func (s *torStory) torrc(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("tipboxd/deploy/tor/torrc")
	if err != nil {
		t.Fatal(err)
	}
	paths := strings.NewReplacer("/var/lib/tor/", s.dir+"/service/", "/run/tipbox/", s.dir+"/run/", "Log notice syslog\n", "")
	return paths.Replace(string(text))
}

// write writes a file for its owner only, and the folders above it.
func (s *torStory) write(t *testing.T, path, text string) {
	t.Helper()
	s.mkdir(t, filepath.Dir(path))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *torStory) mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

// try runs the tool with a folder.
func (s *torStory) try(home string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.Command(program("tipbox"), append([]string{"--home", home}, args...)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// tipbox is try, and wants it done.
func (s *torStory) tipbox(t *testing.T, home string, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, err := s.try(home, args...)
	if err != nil {
		t.Fatalf("tipbox %v: %v\n%s", args, err, stderr)
	}
	return stdout, stderr
}

// patiently does something again until it is done: circuits break, and on a busy
// machine they are slow to come about.
func patiently(t *testing.T, what string, do func() error) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		err := do()
		if err == nil {
			return
		}
		if time.Since(began) > torPatience {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// visitor is a source whose requests go over a circuit of their own.
func (s *torStory) visitor() *source {
	proxy := &url.URL{Scheme: "socks5h", User: url.UserPassword(rand.Text(), "x"), Host: s.sourceSocks}
	return &source{"http://" + s.sources, &http.Client{
		Timeout:   2 * time.Minute,
		Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyURL(proxy)},
	}}
}

// get gets a page.
func (s *torStory) get(t *testing.T, path string) (page string) {
	t.Helper()
	patiently(t, path, func() (err error) {
		page, err = s.visitor().get(path)
		return err
	})
	return page
}

// post posts a page's form, also twice: that is as once.
func (s *torStory) post(t *testing.T, page, action string, fields url.Values) (answer string) {
	t.Helper()
	patiently(t, action, func() error {
		status, got, err := s.visitor().post(page, action, fields)
		if answer = got; err == nil && status != http.StatusOK {
			t.Fatalf("%s: status %d: %s", action, status, notice(got))
		}
		return err
	})
	return answer
}

// upload is what the source sends, the same each time.
func upload() io.Reader {
	return io.MultiReader(strings.NewReader(canary), io.LimitReader(mathrand.NewChaCha8([32]byte{7}), torUpload-int64(len(canary))))
}

// join has the member join at the desk's onion.
func (s *torStory) join(t *testing.T, home string) (stderr string) {
	t.Helper()
	_, stderr = s.tipbox(t, home, "join", filepath.Join(s.dir, "roster.note"), "--desk", s.members+":443", "--root", s.office.root.Verifier(), "--socks", s.memberSocks)
	return stderr
}

// giveTor puts a folder's key where the member's tor reads it, in the place of
// another.
func (s *torStory) giveTor(t *testing.T, home string) {
	t.Helper()
	key, err := os.ReadFile(desk.Home(home).OnionAuthFile())
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, filepath.Join(s.dir, "keys", "desk.auth_private"), string(key))
	s.net.reload(t, "member")
}

func (s *torStory) source(t *testing.T) {
	began := time.Now()
	form := s.get(t, "/tip")
	t.Logf("the first page took %.1f s", time.Since(began).Seconds())
	receipt, took := s.send(t, form)
	t.Logf("50 MiB took %.1f s, %.1f MB/s", took.Seconds(), torUpload/took.Seconds()/1e6)
	s.words, s.digits = element(receipt, "receipt-code"), element(receipt, "receipt-digits")
	if len(strings.Fields(s.words)) != 12 {
		t.Fatalf("the receipt is %q", s.words)
	}
}

// onion runs "tipboxd onion".
func (s *torStory) onion(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	cmd := exec.Command(program("tipboxd"), append([]string{"onion", s.office.dir, "--hostname", filepath.Join(s.net.dir, "service", "tipbox-sources", "hostname"),
		"--socks", s.sourceSocks, "--control", filepath.Join(s.net.dir, "source", "control"), "--wait", torPatience.String()}, args...)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, &errs)
	}
	return string(out)
}

func (s *torStory) operator(t *testing.T) {
	url := "http://" + s.sources + "/"
	if got, want := s.onion(t), url+"\nOnion-Location: "+url+"\n"; got != want {
		t.Errorf("it prints %q, not %q", got, want)
	}
	// The defence by work is on for sources, as tor has it.
	options, err := torControl(s.net.dir, "service", "GETCONF HiddenServiceOptions")
	_, sources, _ := strings.Cut(options, "tipbox-sources")
	sources, members, _ := strings.Cut(sources, "tipbox-desk")
	if err != nil || !strings.Contains(sources, "HiddenServicePoWDefensesEnabled=1") || !strings.Contains(members, "desk.sock") {
		t.Errorf("tor's settings are %s, %v", options, err)
	}
}

// send sends the tip with its file.
func (s *torStory) send(t *testing.T, form string) (receipt string, took time.Duration) {
	t.Helper()
	patiently(t, "the tip", func() error {
		began := time.Now()
		status, page, err := s.visitor().postLarge(form, "/tip", url.Values{"channel": {officeChannel}, "text": {"There is a fund. " + canary}}, "books.bin", upload(), torUpload)
		if receipt, took = page, time.Since(began); err == nil && status != http.StatusOK {
			t.Fatalf("status %d: %s", status, notice(page))
		}
		return err
	})
	return receipt, took
}

// medians repeats what takes time, each on a circuit of its own.
func (s *torStory) medians(t *testing.T) {
	if *torRounds == 0 {
		return
	}
	var pages, uploads []time.Duration
	for range *torRounds {
		began := time.Now()
		form := s.get(t, "/tip")
		pages = append(pages, time.Since(began))
		_, took := s.send(t, form)
		uploads = append(uploads, took)
	}
	for what, all := range map[string][]time.Duration{"a page on a new circuit": pages, "50 MiB": uploads} {
		slices.Sort(all)
		t.Logf("%s: %.2f s, median of %d, from %.2f to %.2f", what, all[len(all)/2].Seconds(), len(all), all[0].Seconds(), all[len(all)-1].Seconds())
	}
}

func (s *torStory) desk(t *testing.T) {
	stranger := filepath.Join(s.dir, "stranger")
	s.write(t, filepath.Join(stranger, "member.key"), s.office.readers[0].Reveal()) // even with the member's own
	s.tipbox(t, stranger, "keygen", "--onion")
	if said := s.join(t, s.home); !strings.Contains(said, "ClientOnionAuthDir "+filepath.Join(s.home, "onion-auth")+"\n") {
		t.Errorf("the join says %s", said)
	}
	s.join(t, stranger)

	// refused wants a refusal, and what to type next.
	refused := func(how, want, next string, args ...string) {
		t.Helper()
		patiently(t, how, func() error {
			_, stderr, err := s.try(s.home, append(args, "inbox")...)
			if err == nil {
				t.Fatalf("%s the desk answers", how)
			}
			if !strings.Contains(stderr, want) || !strings.Contains(stderr, next) {
				return fmt.Errorf("it says %s", stderr)
			}
			return nil
		})
	}
	refused("without authorization", "the onion service asks for client authorization, and tor has no key for it", "tipbox keygen --onion", "--socks", s.net.socks("source"))
	refused("through a tor that says no more", "the proxy found no way", "SocksPort 9050 ExtendedErrors", "--socks", "unix:"+filepath.Join(s.dir, "member", "plain"))
	s.giveTor(t, stranger)
	refused("with a stranger's key", "the onion service does not know the key that tor has for it", "had tor reload?")

	s.giveTor(t, s.home)
	var list string
	patiently(t, "the inbox", func() error {
		out, stderr, err := s.try(s.home, "inbox")
		if list = out; err != nil {
			return fmt.Errorf("%w: %s", err, stderr)
		}
		return nil
	})
	_, first, _ := strings.Cut(list, "\n")
	s.tip = strings.Fields(first)[0]
	if text, _ := s.tipbox(t, s.home, "read", s.tip); !strings.Contains(text, "There is a fund. "+canary) {
		t.Errorf("the tip reads %s", text)
	}
	saved := filepath.Join(s.dir, "saved")
	s.tipbox(t, s.home, "save", s.tip, "-o", saved)
	if got, want := fileSum(t, filepath.Join(saved, "books.bin")), sum(t, upload()); got != want {
		t.Errorf("the file that came is another: %s, not %s", got, want)
	}
	s.tipbox(t, s.home, "reply", s.tip, "-m", "Which account was it?")

	// The source reads it, over the onion too, and answers.
	thread := s.post(t, s.get(t, "/thread"), "/thread", url.Values{"code": {s.words}})
	if got := threadText(thread); !strings.Contains(got, "Which account was it?") {
		t.Fatalf("the thread reads %s", got)
	}
	s.post(t, thread, "/thread/message", url.Values{"text": {"The canteen's. " + canary}})
	if text, _ := s.tipbox(t, s.home, "read", s.tip); !strings.Contains(text, "The canteen's. "+canary) {
		t.Errorf("after the follow-up it reads %s", text)
	}
}

// claim asks for awards with the receipt, of which there are none.
func (s *torStory) claim(t *testing.T) {
	code := filepath.Join(s.dir, "code")
	s.write(t, code, s.words+"\n")
	patiently(t, "the claim", func() error {
		_, stderr, err := s.try(filepath.Join(s.dir, "none"), "claim", "--site", "http://"+s.sources, "--root", s.office.root.Verifier(), "--code-file", code, "--socks", s.net.socks("source"))
		if err == nil && !strings.HasPrefix(stderr, "There is no award for this thread") {
			t.Errorf("it says %s", stderr)
		}
		if err != nil {
			err = fmt.Errorf("%w: %s", err, stderr)
		}
		return err
	})
}

func sum(t *testing.T, r io.Reader) string {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func fileSum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return sum(t, f)
}

// browser is a source with Chromium that runs no scripts. It asks its proxy for
// everything but loopback, and nobody for names. As Tor Browser does, it takes an onion
// address for safe without HTTPS.
func (s *torStory) browser(t *testing.T) {
	chrome := startChromium(t,
		chromedp.ProxyServer("socks5://"+s.sourceSocks),
		chromedp.Flag("unsafely-treat-insecure-origin-as-secure", "http://"+s.sources),
		chromedp.Flag("disable-features", "HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,Translate"),
	)
	chrome.proveScriptingOff(t)
	s.get(t, "/") // the way is there
	const text = "The depot sells its scrap for cash."
	b := chrome.newTab(t, &browserLine{url: "http://" + s.sources}, "en")
	b.lang = "en"
	b.open("GET /", "/")
	b.click("GET /tip", 200, `main a[href^="/tip"]`)
	b.do(
		chromedp.Click(chromedp.CSS(`.choice:has(input[name="channel"][value="`+officeChannel+`"])`)),
		typeInto("#text", text),
		chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{writeBrowserFile(t, "cash book.csv", []byte("one line\n"))}),
	)
	b.click("POST /tip", 200, `form[action="/tip"] button`)
	code := b.text("#receipt-code")
	b.close()

	var inbox []struct{ Tip string }
	out, _ := s.tipbox(t, s.home, "--json", "inbox")
	for line := range strings.Lines(out) {
		var item struct{ Tip string }
		if err := json.Unmarshal([]byte(line), &item); err != nil {
			t.Fatal(err)
		}
		if item.Tip != s.tip {
			inbox = append(inbox, item)
		}
	}
	if len(inbox) != 1 {
		t.Fatalf("the inbox is\n%s", out)
	}
	if got, _ := s.tipbox(t, s.home, "read", inbox[0].Tip); !strings.Contains(got, text) {
		t.Errorf("the tip reads %s", got)
	}
	s.tipbox(t, s.home, "reply", inbox[0].Tip, "-m", "Thank you. Which depot?")

	b = chrome.newTab(t, &browserLine{url: "http://" + s.sources}, "en")
	defer b.close()
	b.lang = "en"
	b.open("GET /thread", "/thread")
	b.do(typeInto("#code", code))
	b.click("POST /thread", 200, `form[action="/thread"] button`)
	if got := b.text(`article[data-from="desk"]`); !strings.Contains(got, "Which depot?") {
		t.Errorf("the browser shows %q", got)
	}
}

// nothingIsWritten searches what the server and the service's tor wrote for the source:
// words, receipt and the address from which its tor came.
func (s *torStory) nothingIsWritten(t *testing.T) {
	forms := secretForms(sourceSecrets(s.words, s.digits))
	searched := 0
	search := func(where string, content []byte) {
		searched++
		if name := heldSecret(content, forms); name != "" {
			t.Errorf("%s holds %s", where, name)
		}
	}
	log, err := os.ReadFile(filepath.Join(s.net.dir, "service", "notice.log"))
	if err != nil || !strings.Contains(string(log), torBooted) {
		t.Errorf("the service's tor has logged nothing: %v", err)
	}
	for _, folder := range []string{s.office.dir, filepath.Join(s.net.dir, "service")} {
		if err := searchFolder(folder, search); err != nil {
			t.Error(err)
		}
	}
	search("the server's output", s.server.output.Bytes())
	if searched < 20 {
		t.Errorf("only %d things were searched", searched)
	}
	s.server.mustNotHavePanicked(t)
	s.server.stop(t)
	s.office.mustBeWhole(t, false)
}
