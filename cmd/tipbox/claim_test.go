package main

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
	"tipbox/tipbox/web"
)

// A claimBench is an organisation with a granted award, whose site is served.
type claimBench struct {
	*bench
	url    string
	code   *receipt.Code
	path   string // of the file with the code
	tip    string
	number int

	before func(r *http.Request, body []byte) // called before each request; may be nil

	mu   sync.Mutex
	sent [][]byte // requests as they came, guarded by mu
}

func newClaimBench(t *testing.T) *claimBench {
	t.Helper()
	b := &claimBench{bench: newBench(t, tipboxtest.Config{})}
	b.Rewards()
	b.code = b.Submit("They keep a second book.")
	b.tip = b.Inbox("alice")[0].Tip
	finding := tipbox.Act{Action: tipbox.ActionFinding, Text: "so", Detail: &tipbox.Detail{Finding: tipbox.Substantiated}}
	for _, act := range []tipbox.Act{{Action: tipbox.ActionAccept}, {Action: tipbox.ActionAssign, Owner: "alice", Due: "2099-12-20"}, finding} {
		b.Act("alice", b.tip, act)
	}
	b.Act("bob", b.tip, finding)
	b.Act("alice", b.tip, tipbox.Act{Action: tipbox.ActionRecover, Detail: &tipbox.Detail{Amount: 57_500_00, Currency: "CNY", Basis: tipbox.SumCollected}})
	b.Act("alice", b.tip, tipbox.Act{
		Action: tipbox.ActionAward, Text: "so", Detail: &tipbox.Detail{Base: 57_500_00, Rate: 400},
		Terms: &tipbox.AwardTerms{Schedule: "test", Currency: "CNY", Amount: 2_300_00, Total: 2_300_00},
	})
	awards := b.Open("alice", b.tip).Case.Awards
	b.number = awards[len(awards)-1].Number
	for _, name := range []string{"peter", "paula"} {
		b.Decide(name, b.tip, tipbox.Act{Action: tipbox.ActionApprove, Award: b.number})
	}
	pages, err := web.New(web.Config{Service: b.Service})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		head, _ := httputil.DumpRequest(r, false)
		b.mu.Lock()
		b.sent = append(b.sent, append(head, body...))
		b.mu.Unlock()
		if b.before != nil {
			b.before(r, body)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		pages.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b.url = server.URL
	b.path = b.write("code", b.code.Words("en")+"\n")
	return b
}

func (b *claimBench) write(name, text string) string {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// claim runs tipbox claim as the source, who has no home.
func (b *claimBench) claim(args ...string) (status int, stdout, stderr string) {
	b.t.Helper()
	home := filepath.Join(b.t.TempDir(), "none")
	defer func() {
		if _, err := os.Stat(home); err == nil {
			b.t.Error("the tool kept something in its home")
		}
	}()
	return tool(b.t, append([]string{"--home", home, "claim", "--site", b.url, "--root", b.Root.Verifier(), "--code-file", b.path}, args...)...)
}

func (b *claimBench) done(args ...string) (stdout, stderr string) {
	b.t.Helper()
	status, stdout, stderr := b.claim(args...)
	if status != exitDone {
		b.t.Fatalf("tipbox claim %v: status %d\n%s", args, status, stderr)
	}
	return stdout, stderr
}

func (b *claimBench) refused(want int, word string, args ...string) {
	b.t.Helper()
	if status, _, stderr := b.claim(args...); status != want || !strings.Contains(stderr, word) {
		b.t.Errorf("tipbox claim %v: status %d, want %d, and %q in: %s", args, status, want, word, stderr)
	}
}

var anyBase64 = regexp.MustCompile(`[A-Za-z0-9+/_-]{8,}={0,2}`)

// bare is what was sent, with all that looks like base64 decoded as well.
func bare(sent []byte) []byte {
	all := bytes.Clone(sent)
	for _, text := range anyBase64.FindAll(sent, -1) {
		for skip := range 4 {
			part := strings.TrimRight(string(text[skip:]), "=")
			if len(part)%4 == 1 {
				part = part[:len(part)-1]
			}
			for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				if b, err := encoding.DecodeString(part); err == nil {
					all = append(append(all, '\n'), b...)
				}
			}
		}
	}
	return all
}

// TestTheServerLearnsNeitherCodeNorVoucher reads all that passes over the line while
// a source lists, claims and fetches: nothing of the code is in it, nor of what the
// vouchers are made of, in any form.
func TestTheServerLearnsNeitherCodeNorVoucher(t *testing.T) {
	b := newClaimBench(t)
	number := fmt.Sprint(b.number)
	if out, _ := b.done(); !strings.Contains(out, number) || !strings.Contains(out, "2300.00 CNY") || !strings.Contains(out, "to be claimed by") {
		t.Errorf("the list is:\n%s", out)
	}
	b.refused(exitFailed, "granted, to be claimed by", number, "-o", filepath.Join(t.TempDir(), "early"))
	b.done(number, "--voucher")
	if _, said := b.done(number, "--voucher"); !strings.Contains(said, "claimed so before") {
		t.Errorf("the second time: %s", said)
	}
	b.refused(exitFailed, "being signed", number)
	b.refused(exitFailed, "nothing was done", number, "--waive")
	b.Issue("pia", b.tip, b.number)
	file := filepath.Join(t.TempDir(), "vouchers.txt")
	b.done(number, "-o", file)
	b.refused(exitFailed, "is there already", number, "-o", file)
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if out, _ := b.done(number); out != string(written) {
		t.Error("standard output and the file differ")
	}
	var doc struct{ Vouchers []paper }
	if out, _ := b.done("--json", number); json.Unmarshal([]byte(out), &doc) != nil || len(doc.Vouchers) != 5 || doc.Vouchers[0].Amount != 1_000_00 {
		t.Errorf("as JSON: %s", out)
	}

	// The page shows the very same ones.
	vouchers, err := b.Service.Vouchers(t.Context(), b.code, b.number)
	if err != nil || len(vouchers) != 5 {
		t.Fatal(len(vouchers), err)
	}
	secrets := map[string][]byte{
		"the code": b.code.Bytes(), "its words": []byte(b.code.Words("en")), "its Chinese words": []byte(b.code.Words("zh-Hans")),
		"its digits": []byte(b.code.Digits()), "its digits run together": []byte(strings.ReplaceAll(b.code.Digits(), " ", "")),
		"its signing key": b.code.SigningKey().Seed(),
	}
	var groups []byte
	for group := range strings.FieldsSeq(b.code.Digits()) {
		var n uint16
		fmt.Sscan(strings.TrimLeft(group, "0")+" ", &n)
		groups = binary.BigEndian.AppendUint16(groups, n)
	}
	secrets["its digits as numbers"] = groups
	for i, v := range vouchers {
		if !strings.Contains(string(written), v.Text()) || doc.Vouchers[i].Text != v.Text() {
			t.Errorf("voucher %d is another than the page's", i+1)
		}
		d := b.Service.Roster().Denomination(v.Denomination())
		seed := b.code.Derive(fmt.Sprintf("voucher %d %d", b.number, i), 32)
		secrets[fmt.Sprint("seed ", i)] = seed
		for label, n := range map[string]int{"serial": 16, "prefix": 32, "salt": 48, "factor 0": 384, "factor 1": 384} { // as package voucher documents
			info := "tipbox voucher v1\n" + label + "\n" + b.Root.Verifier() + "\n" + d.ID + "\n" + d.Key + "\n"
			if secrets[fmt.Sprint(label, " of ", i)], err = hkdf.Key(sha256.New, seed, nil, info, n); err != nil {
				t.Fatal(err)
			}
		}
		signed, signature := v.Signed(b.Root.Verifier())
		secrets[fmt.Sprint("signature ", i)] = signature
		secrets[fmt.Sprint("text ", i)] = []byte(strings.Fields(v.Text())[4])
		if !bytes.HasSuffix(signed, fmt.Appendf(nil, "\n%x\n", secrets[fmt.Sprint("serial of ", i)])) {
			t.Fatal("the test looks for another serial than the voucher's")
		}
	}
	if len(b.sent) < 9 {
		t.Fatalf("%d requests", len(b.sent))
	}
	locator, claimed := b.code.Locator(), false
	for _, sent := range b.sent {
		all := bare(sent)
		if !bytes.Contains(all, locator[:]) {
			t.Fatal("the locator is not found, so nothing would be")
		}
		claimed = claimed || bytes.Contains(all, []byte(`cny-1000`))
		for name, secret := range secrets {
			for form, text := range map[string][]byte{"": secret, " in hex": []byte(hex.EncodeToString(secret)), " in HEX": []byte(strings.ToUpper(hex.EncodeToString(secret)))} {
				if bytes.Contains(all, text) {
					t.Errorf("the server gets %s%s", name, form)
				}
			}
		}
		if bytes.Contains(all, []byte("Go-http-client")) || bytes.Contains(all, []byte("User-Agent")) {
			t.Errorf("the request names the program:\n%.300s", sent)
		}
		if line, _, _ := strings.Cut(string(sent), "\r\n"); line != "POST /claim.json HTTP/1.1" {
			t.Errorf("asked: %s", line)
		}
	}
	if !claimed {
		t.Error("no claim was seen")
	}
}

func TestDetailsGoToThePayersOnly(t *testing.T) {
	b := newClaimBench(t)
	number, details := fmt.Sprint(b.number), b.write("details", "account "+tipboxtest.Canary+"\n")
	b.refused(exitUsage, "say which award", "--details", details)
	b.refused(exitUsage, "empty", number, "--details", b.write("nothing", " \n"))
	b.refused(exitUsage, "more than 2000", number, "--details", b.write("much", strings.Repeat("x", 2001)))
	b.refused(exitUsage, "", number, "--details", details, "--waive")
	b.refused(exitUsage, "leave -o out", number, "--voucher", "-o", "x")
	b.refused(exitFailed, "no award 999", "999", "--waive")
	b.refused(exitFailed, "cannot be claimed so", number, "--charity", "nobody")
	_, said := b.done("--json", number, "--details", details)
	if strings.Contains(said, "claimed so before") {
		t.Error(said)
	}
	for _, sent := range b.sent {
		if tipboxtest.FindCanary(bare(sent)) != "" {
			t.Error("the server reads where to pay")
		}
	}
	b.Issue("peter", b.tip, b.number)
	if out := b.ok("penny", "payouts"); !strings.Contains(out, tipboxtest.Canary) {
		t.Errorf("penny reads:\n%s", out)
	}
	if out, _ := b.done("--json"); !strings.Contains(out, `"state":"payable"`) || !strings.Contains(out, `"charities":["library"]`) {
		t.Errorf("the list is: %s", out)
	}
}

// TestFilesThatSourcesGetCanBePaidAsTheyAre hands a payer the file of tipbox claim, and
// then that of the page, which has the same vouchers with more text about them.
func TestFilesThatSourcesGetCanBePaidAsTheyAre(t *testing.T) {
	b := newClaimBench(t)
	number, file := fmt.Sprint(b.number), filepath.Join(t.TempDir(), "vouchers.txt")
	b.done(number, "--voucher")
	b.Issue("pia", b.tip, b.number)
	b.done(number, "-o", file)
	if out := b.ok("penny", "pay", "-f", file); strings.Count(out, "PAID\n") != 5 {
		t.Errorf("of the tool's file:\n%s", out)
	}
	form := url.Values{"code": {b.code.Digits()}, "award": {number}, "voucher": {"all"}, "lang": {"zh-Hans"}}
	answer, err := http.PostForm(b.url+"/thread/voucher", form)
	if err != nil {
		t.Fatal(err)
	}
	papers, err := io.ReadAll(answer.Body)
	if err != nil || answer.Header.Get("Content-Disposition") == "" {
		t.Fatalf("%v: %.300s", err, papers)
	}
	if out := b.ok("penny", "pay", "--check", "-f", b.write("papers.txt", string(papers))); strings.Count(out, "GENUINE\n") != 5 {
		t.Errorf("of the page's file:\n%s\n%s", out, papers)
	}
	b.fails("penny", exitFailed, "paid: 0 of 5", "pay", "-f", b.write("papers.txt", string(papers)))
}

// TestAClaimThatMeetsAnotherEntryIsSignedAnew has the desk write between the list and
// the claim.
func TestAClaimThatMeetsAnotherEntryIsSignedAnew(t *testing.T) {
	b := newClaimBench(t)
	replies := 0
	b.before = func(r *http.Request, body []byte) {
		if bytes.Contains(body, []byte(`"note"`)) && replies < 2 {
			replies++
			b.Reply("alice", b.tip, "one more line")
		}
	}
	b.done(fmt.Sprint(b.number), "--waive")
	if replies != 2 {
		t.Errorf("%d replies came between", replies)
	}
	awards := b.Open("alice", b.tip).Case.Awards
	if awards[0].State != tipbox.AwardWaived {
		t.Errorf("the award is %s", awards[0].State)
	}
}

func TestClaimReadsTheReceiptAndNoOthersFile(t *testing.T) {
	b := newClaimBench(t)
	for name, text := range map[string]string{
		"digits": b.code.Digits(), "Chinese": b.code.Words("zh-Hans") + "\n",
		"the receipt": "Your receipt\n\nIn words:\n" + b.code.Words("en") + "\n\nIn digits:\n" + b.code.Digits() + "\n\nKeep it.\n",
	} {
		b.path = b.write("code", text)
		if out, _ := b.done(); !strings.Contains(out, "2300.00 CNY") {
			t.Errorf("%s: %s", name, out)
		}
	}
	b.path = b.write("code", receipt.New().Words("en"))
	b.refused(exitFailed, "no thread for this receipt code")
	b.path = b.write("code", "zoo zoo")
	b.refused(exitFailed, "2")
	b.path = b.write("code", b.code.Words("en"))
	if err := os.Chmod(b.path, 0o644); err != nil {
		t.Fatal(err)
	}
	b.refused(exitFailed, "can be read by others")
}

func TestClaimBelievesNeitherServerNorLine(t *testing.T) {
	b := newClaimBench(t)
	other := tipboxtest.New(t, tipboxtest.Config{})
	args := func(site, root string) []string {
		return []string{"claim", "--site", site, "--root", root, "--code-file", b.path}
	}
	fails := func(status int, word string, args []string) {
		t.Helper()
		if got, _, stderr := tool(t, args...); got != status || !strings.Contains(stderr, word) {
			t.Errorf("%v: status %d, want %d, and %q in: %s", args, got, status, word, stderr)
		}
	}
	fails(exitFailed, "Is --root this organisation's key?", args(b.url, other.Root.Verifier()))
	fails(exitUsage, "no address", args("tips.example.org", b.Root.Verifier()))
	fails(exitUsage, "no address", args("ftp://tips.example.org", b.Root.Verifier()))
	fails(exitUsage, "no address", args("https://a:b@tips.example.org", b.Root.Verifier()))
	fails(exitUsage, "over http:// others could read", args("http://tips.example.org", b.Root.Verifier()))
	fails(exitUsage, "--socks 127.0.0.1:9050", args("http://abcdefgh.onion", b.Root.Verifier()))
	fails(exitUsage, "HOST:PORT", append(args(b.url, b.Root.Verifier()), "--socks", "9050"))
	if n := len(b.sent); n != 1 {
		t.Errorf("%d requests were made", n)
	}
	for name, answer := range map[string]http.HandlerFunc{
		"moves": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, b.url+"/claim.json", http.StatusTemporaryRedirect)
		},
		"is another site": func(w http.ResponseWriter, r *http.Request) { http.Error(w, "<h1>Hello</h1>", http.StatusNotFound) },
		"hangs up":        func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
		"sends no list":   func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "[]") },
		"sends nothing":   func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") },
		"deceives": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusConflict)
			json.NewEncoder(w).Encode(map[string]string{"error": deceits})
		},
	} {
		before := len(b.sent)
		liar := httptest.NewServer(answer)
		status, out, stderr := tool(t, args(liar.URL, b.Root.Verifier())...)
		if status != exitFailed || out != "" {
			t.Errorf("one that %s: status %d, %s%s", name, status, out, stderr)
		}
		if strings.ContainsAny(stderr, "\x1b\x07\u202e") {
			t.Errorf("one that %s: the terminal gets %q", name, stderr)
		}
		if len(b.sent) != before {
			t.Errorf("one that %s: it was followed", name)
		}
		liar.Close()
	}
	b.refused(exitFailed, "Is --site the address", "--site", "http://127.0.0.1:1")
}

// TestClaimGoesThroughTorAndAsksNobodyElseForNames has a SOCKS proxy that knows one
// onion.
func TestClaimGoesThroughTorAndAsksNobodyElseForNames(t *testing.T) {
	b := newClaimBench(t)
	site, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan string, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go socks(conn, asked, site.Host)
		}
	}()
	status, out, stderr := tool(t, "claim", "--site", "http://tipboxtipboxtipbox.onion", "--root", b.Root.Verifier(), "--code-file", b.path, "--socks", l.Addr().String())
	if status != exitDone || !strings.Contains(out, "2300.00 CNY") {
		t.Errorf("status %d: %s%s", status, out, stderr)
	}
	select {
	case name := <-asked:
		if name != "tipboxtipboxtipbox.onion:80" {
			t.Errorf("the proxy is asked for %s", name)
		}
	default:
		t.Error("the proxy is not asked")
	}
}

// socks serves a connection of RFC 1928 to whatever name, which leads to the target.
func socks(conn net.Conn, asked chan<- string, target string) {
	defer conn.Close()
	head := make([]byte, 2)
	if _, err := io.ReadFull(conn, head); err != nil {
		return
	}
	if _, err := io.ReadFull(conn, make([]byte, head[1])); err != nil {
		return
	}
	conn.Write([]byte{5, 0}) // no authentication
	request := make([]byte, 5)
	if _, err := io.ReadFull(conn, request); err != nil || request[1] != 1 || request[3] != 3 {
		asked <- fmt.Sprintf("no name: %v", request)
		return
	}
	name := make([]byte, int(request[4])+2)
	if _, err := io.ReadFull(conn, name); err != nil {
		return
	}
	asked <- fmt.Sprintf("%s:%d", name[:len(name)-2], binary.BigEndian.Uint16(name[len(name)-2:]))
	there, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer there.Close()
	conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	go io.Copy(there, conn)
	io.Copy(conn, there)
}
