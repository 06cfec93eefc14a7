package cmd_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/rogpeppe/go-internal/testscript"

	"tipbox/crypto/voucher"
	"tipbox/store/bolt"
	"tipbox/store/dir"
	"tipbox/tipbox"
	"tipbox/tipbox/web"
)

// claim FILE CHOICE [DETAILS] claims the first award of the thread of the code in the
// file: voucher, details, charity:ID or waive.
func claimCommand(ts *testscript.TestScript, neg bool, args []string) {
	fields := url.Values{"choice": {args[1]}}
	if len(args) > 2 {
		fields.Set("details", args[2])
	}
	postAward(ts, neg, args[0], "/thread/claim", fields)
}

// part FILE AMOUNT makes a part of the first award of the thread that can be shared, and
// writes its code into the files words and digits.
func partCommand(ts *testscript.TestScript, neg bool, args []string) {
	_, page := openThread(ts, args[0])
	_, form, ok := strings.Cut(page, "<details")
	_, form, sharing := strings.Cut(form, `action="/thread/part"`)
	if !ok || !sharing {
		if !neg {
			ts.Fatalf("nothing can be shared: %s", awardText(page))
		}
		return
	}
	status, made, err := visitor(ts).post(`action="/thread/part"`+form, "/thread/part", url.Values{"amount": {args[1]}})
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", notice(made))
	if status != 200 != neg {
		ts.Fatalf("status %d: %s", status, notice(made))
	}
	if !neg {
		ts.Check(os.WriteFile(ts.MkAbs("words"), []byte(element(made, "part-code")), 0o600))
		ts.Check(os.WriteFile(ts.MkAbs("digits"), []byte(element(made, "part-digits")), 0o600))
	}
}

// appeal FILE TEXT appeals against the first refusal in the thread.
func appealCommand(ts *testscript.TestScript, neg bool, args []string) {
	postAward(ts, neg, args[0], "/thread/appeal", url.Values{"text": {args[1]}})
}

// postAward posts a form about an award and prints what the page says then.
func postAward(ts *testscript.TestScript, neg bool, code, action string, fields url.Values) {
	_, page := openThread(ts, code)
	status, page, err := visitor(ts).post(page, action, fields)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n%s\n", notice(page), awardText(page))
	if status != 200 != neg {
		ts.Fatalf("status %d: %s", status, notice(page))
	}
}

// vouchers FILE [NUMBER] prints the file of all vouchers of the thread's first award
// that has some, or the text of the one of that number as its page has it.
func vouchersCommand(ts *testscript.TestScript, neg bool, args []string) {
	which := append(args, "all")[1]
	_, page := openThread(ts, args[0])
	status, answer, err := visitor(ts).post(page, "/thread/voucher", url.Values{"voucher": {which}})
	ts.Check(err)
	if which != "all" {
		answer = element(answer, "voucher-text")
	}
	fmt.Fprint(ts.Stdout(), answer)
	if status != 200 != neg {
		ts.Fatalf("status %d: %s", status, answer)
	}
}

// later FOLDER DAYS FILE is thread FILE with the pages of a folder whose server was halted,
// as they will be so many days later.
func laterCommand(ts *testscript.TestScript, neg bool, args []string) {
	days, err := strconv.Atoi(args[1])
	ts.Check(err)
	config, err := os.ReadFile(ts.MkAbs(args[0] + "/tipbox.toml"))
	ts.Check(err)
	var settings struct {
		Root string `toml:"root"`
	}
	ts.Check(toml.Unmarshal(config, &settings))
	db, err := bolt.Open(ts.MkAbs(args[0]+"/tipbox.db"), &bolt.Config{MustExist: true})
	ts.Check(err)
	defer db.Close()
	blobs, err := dir.Open(ts.MkAbs(args[0]+"/blobs"), nil)
	ts.Check(err)
	service, err := tipbox.New(tipbox.Config{
		Store: db, Blobs: blobs, Root: settings.Root, Now: func() time.Time { return time.Now().AddDate(0, 0, days) },
		Channels: []tipbox.Channel{{ID: "off-book-funds", Title: map[string]string{"en": "Off-book funds"}, Guidance: map[string]string{"en": "Funds."}}},
	})
	ts.Check(err)
	signed, err := os.ReadFile(ts.MkAbs(args[0] + "/roster.note"))
	ts.Check(err)
	ts.Check(service.InstallRoster(context.Background(), signed))
	pages, err := web.New(web.Config{Service: service})
	ts.Check(err)
	l, err := net.Listen("tcp", ts.Getenv("SOURCES"))
	ts.Check(err)
	server := &http.Server{Handler: pages}
	go server.Serve(l)
	defer server.Close()
	threadCommand(ts, neg, args[2:])
}

// awardText is what a thread's page says of awards, in plain text: a line for each.
func awardText(page string) string {
	var out strings.Builder
	for _, section := range strings.Split(page, `<section class="card" id="award-`)[1:] {
		section, _, _ = strings.Cut(section, "</section>")
		fmt.Fprintln(&out, "award", strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(section[strings.Index(section, ">")+1:], " "))), " "))
	}
	return out.String()
}

// voucherSecrets are what a server must not have of the vouchers in papers.txt, if a
// story has made that.
func voucherSecrets(ts *testscript.TestScript) map[string][]byte {
	secrets := make(map[string][]byte)
	papers, err := os.ReadFile(ts.MkAbs("papers.txt"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	ts.Check(err)
	for i, text := range strings.Split(string(papers), "TIPBOX VOUCHER")[1:] {
		text, _, _ = strings.Cut(text, "\n\n")
		v, err := voucher.Parse("TIPBOX VOUCHER" + text)
		ts.Check(err)
		signed, signature := v.Signed(ts.Getenv("ROOT"))
		secrets[fmt.Sprint("what was signed of voucher ", i+1)] = signed[len(signed)-33:]
		secrets[fmt.Sprint("the prefix of voucher ", i+1)] = signed[:32]
		secrets[fmt.Sprint("the signature of voucher ", i+1)] = signature[:48]
		secrets[fmt.Sprint("the first line of voucher ", i+1)] = []byte(strings.Fields(text)[1] + " " + strings.Fields(text)[2])
		secrets[fmt.Sprint("the text of voucher ", i+1)] = []byte(v.Compact()[len("TIPBOX-VOUCHER:"):60])
	}
	return secrets
}
