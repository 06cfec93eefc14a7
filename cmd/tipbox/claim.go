package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"tipbox/crypto/receipt"
	"tipbox/crypto/voucher"
	"tipbox/tipbox"
)

type claimCmd struct {
	Award    int    `arg:"" optional:"" help:"The award, by its number; without it they are listed."`
	Site     string `required:"" help:"The site's address, as sources open it." placeholder:"URL"`
	Root     string `required:"" help:"The verifier key of the organisation's root key." placeholder:"KEY"`
	CodeFile string `help:"Read the receipt code from FILE instead of asking for it." type:"existingfile" placeholder:"FILE"`

	Voucher bool   `help:"Claim the award in vouchers." xor:"choice"`
	Details string `help:"Claim it as a payment to what FILE says, sealed to those who pay; - is standard input." type:"path" placeholder:"FILE" xor:"choice"`
	Charity string `help:"Give it to that charity, as the list names it." placeholder:"ID" xor:"choice"`
	Waive   bool   `help:"Waive it." xor:"choice"`
	Replace bool   `help:"In the place of the claim that was made before, where the list says that it can be."`

	Out string `short:"o" help:"Write the vouchers into FILE, which must be new." type:"path" placeholder:"FILE"`
}

func (*claimCmd) Help() string {
	return "Example: tipbox claim --site https://tips.example.org --root 'root+1a2b3c4d+…' --socks 127.0.0.1:9050\n\n" +
		"For sources: lists the awards of your thread. With a number it claims one, or fetches its vouchers once they are signed:\n\n" +
		"  tipbox claim 12 --voucher …\n" +
		"  tipbox claim 12 -o vouchers.txt …\n\n" +
		"It does here what the site's pages do in the server's memory. The receipt code does not leave this machine, nor what vouchers are made of: who controls the server learns of neither. " +
		"What is sent names your thread, as the site itself does when you open it, and is signed by it. Nothing is kept here but what -o writes.\n\n" +
		"Get the root's verifier key another way than from the site, on paper or from somebody you trust: the vouchers and the keys of those who pay are checked by it. " +
		"The code is asked for on the terminal, or read from a file: the receipt as the site gave it to you will do.\n\n" +
		"The code of a part, which somebody who sent the tip with you made of the award, is used just so: with it that part alone is listed and claimed.\n\n" +
		"Where to pay can be corrected with --replace, seven times at most, until the payout is ordered; nothing else of a claim can be changed. If the line breaks, give the same command again: it counts once."
}

var (
	// errNoThread means that the site opens nothing for the code.
	errNoThread = errors.New("the site has no thread for this receipt code: it is of another site, or what it opened has expired or was erased")
	// errForged means that what the site sent is not what was signed.
	errForged = errors.New("what the site sent does not verify")
	// errMeanwhile means that a claim was signed for a place that is taken.
	errMeanwhile = errors.New("nothing was done: something else came into the thread meanwhile: do it again")
	// errSite means that the site did not answer.
	errSite = errors.New("the site does not answer")
)

// choice is how the award is to be claimed, "" if it is not.
func (c *claimCmd) choice() string {
	switch {
	case c.Voucher:
		return tipbox.ClaimVoucher
	case c.Details != "":
		return tipbox.ClaimDetails
	case c.Charity != "":
		return tipbox.ClaimCharity
	case c.Waive:
		return tipbox.ClaimWaive
	}
	return ""
}

func (c *claimCmd) Run(a *app) error {
	choice := c.choice()
	switch {
	case c.Award < 0 || c.Award == 0 && (choice != "" || c.Out != ""):
		return usageError{errors.New("say which award, by its number: without one they are listed")}
	case choice != "" && c.Out != "":
		return usageError{errors.New("an award is claimed first, and its vouchers are fetched later, once they are signed: leave -o out")}
	}
	if c.Out != "" {
		if _, err := os.Lstat(c.Out); err == nil {
			return fmt.Errorf("%s is there already: choose another file", c.Out)
		}
	}
	s, err := newSite(a, c.Site)
	if err != nil {
		return err
	}
	details, err := c.details(a)
	if err != nil {
		return err
	}
	code, err := a.receiptCode(c.CodeFile)
	if err != nil {
		return err
	}
	defer s.client.CloseIdleConnections()
	file, err := s.ask(code, "", nil)
	if err != nil {
		return err
	}
	claims, err := openClaims(file, code, c.Root)
	if err != nil {
		return err
	}
	if c.Award == 0 {
		return a.listClaims(claims)
	}
	award := claims.Award(c.Award)
	if award == nil {
		return fmt.Errorf("this thread has no award %d: leave the number out to list them", c.Award)
	}
	switch {
	case choice != "":
		return c.claim(a, s, code, claims, tipbox.Claim{Award: c.Award, Choice: choice, Details: details, Charity: c.Charity})
	case len(award.Signatures) == 0:
		return fmt.Errorf("award %d: %s", c.Award, standing(award))
	}
	vouchers, err := claims.Vouchers(c.Award)
	if err != nil {
		return fmt.Errorf("%w: %v", errForged, err)
	}
	return c.write(a, claims, vouchers)
}

// details reads where to pay.
func (c *claimCmd) details(a *app) (string, error) {
	if c.Details == "" {
		return "", nil
	}
	in := a.stdin
	if c.Details != fromInput {
		file, err := os.Open(c.Details)
		if err != nil {
			return "", err
		}
		defer file.Close()
		in = file
	}
	data, err := a.wait(func() ([]byte, error) { return io.ReadAll(io.LimitReader(in, maxText)) })
	text := strings.TrimPrefix(string(data), "\uFEFF")
	switch {
	case err != nil:
		return "", err
	case !utf8.ValidString(text) || strings.TrimSpace(text) == "":
		return "", usageError{errors.New("where to pay is empty or no UTF-8: nothing was done")}
	case utf8.RuneCountInString(text) > tipbox.MaxDetails:
		return "", usageError{fmt.Errorf("where to pay has more than %d characters: nothing was done", tipbox.MaxDetails)}
	}
	return text, nil
}

// receiptCode reads the code from a file, or asks for it.
func (a *app) receiptCode(path string) (*receipt.Code, error) {
	if path == "" {
		text, err := a.secret("Receipt code: ", "--code-file FILE")
		if err != nil {
			return nil, err
		}
		return receipt.Parse(text)
	}
	if err := checkPrivate(path); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	code, err := parseReceipt(string(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return code, nil
}

// parseReceipt reads a code, or a receipt as the site gives it, which has the code in
// a line and text besides.
func parseReceipt(text string) (*receipt.Code, error) {
	code, err := receipt.Parse(text)
	if err == nil {
		return code, nil
	}
	for line := range strings.Lines(text) {
		if code, err := receipt.Parse(line); err == nil {
			return code, nil
		}
	}
	return nil, err
}

// claim claims an award. If something else came between, it is signed anew.
func (c *claimCmd) claim(a *app, s *publicSite, code *receipt.Code, claims *tipbox.Claims, claim tipbox.Claim) error {
	if award := claims.Award(claim.Award); award.Choice == claim.Choice && !(c.Replace && award.Again) {
		a.say("It was claimed so before.\n")
		return a.claimed(award)
	}
	const tries = 3
	for try := 1; ; try++ {
		if award := claims.Award(claim.Award); award == nil || (award.State != tipbox.AwardGranted || award.Expired) && !(c.Replace && award.Again) {
			return fmt.Errorf("nothing was done: award %d: %s", claim.Award, standing(award))
		}
		note, details, err := claims.Claim(claim)
		if err != nil {
			return err
		}
		file, err := s.ask(code, string(note), details)
		again := errors.Is(err, errMeanwhile) && try < tries
		if again {
			file, err = s.ask(code, "", nil)
		}
		if err != nil {
			return err
		}
		if claims, err = openClaims(file, code, c.Root); err != nil {
			return err
		}
		if !again {
			return a.claimed(claims.Award(claim.Award))
		}
	}
}

// openClaims checks what the site sent.
func openClaims(file *tipbox.ClaimFile, code *receipt.Code, root string) (*tipbox.Claims, error) {
	claims, err := tipbox.OpenClaims(file, code, root, today())
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errForged, err)
	}
	return claims, nil
}

func (a *app) claimed(award *tipbox.ClaimLine) error {
	if award == nil || award.Choice == "" {
		return fmt.Errorf("%w: it says that it took the claim, and does not show it", errForged)
	}
	if a.json {
		return a.printJSON(map[string]any{"award": award.Number, "state": award.State})
	}
	a.say("Done. Award %d: %s\n", award.Number, a.lang.known(standing(award)))
	return nil
}

// standing is what a source is told of an award.
func standing(award *tipbox.ClaimLine) string {
	if award == nil {
		return "it is gone"
	}
	switch award.State {
	case tipbox.AwardGranted:
		switch {
		case award.Expired:
			return "it was granted, and not claimed in time"
		case award.ClaimBy == "":
			return "granted; the case is on hold, and no time is lost. Claim it with --voucher, --details FILE, --charity ID or --waive"
		case award.Warn:
			return fmt.Sprintf("granted, to be claimed by %s, which is soon: --voucher, --details FILE, --charity ID or --waive", cleanLine(award.ClaimBy))
		}
		return fmt.Sprintf("granted, to be claimed by %s: --voucher, --details FILE, --charity ID or --waive", cleanLine(award.ClaimBy))
	case tipbox.AwardRefused:
		if award.Final {
			return "refused, also on appeal"
		}
		return "refused: you can appeal once, on the site"
	case tipbox.AwardAppealed:
		return "refused; others look at it again"
	case tipbox.AwardClaimed:
		if award.Again {
			return "the vouchers that you asked for can no longer be issued: choose anew, with --replace"
		}
		return "claimed in vouchers, which are being signed: come back in a few days"
	case tipbox.AwardIssued:
		return "the vouchers are signed: fetch them with -o FILE"
	case tipbox.AwardPayable:
		if award.Choice == tipbox.ClaimCharity {
			return "it is paid to the charity that you chose"
		}
		if award.Again {
			return "it is paid to the details that you gave; until that is ordered, and if nobody who pays now can read them, give others with --details FILE --replace"
		}
		return "it is paid to the details that you gave"
	}
	return "you have waived it"
}

func (a *app) listClaims(claims *tipbox.Claims) error {
	if a.json {
		for _, award := range claims.Awards {
			award.Requests, award.Signatures, award.Payout = nil, nil, ""
			doc := struct {
				tipbox.ClaimLine
				Charities []string `json:"charities,omitempty"`
			}{ClaimLine: award}
			for _, charity := range claims.Roster.Schedule(award.Schedule).Charities {
				doc.Charities = append(doc.Charities, charity.ID)
			}
			if err := a.printJSON(doc); err != nil {
				return err
			}
		}
		return nil
	}
	if len(claims.Awards) == 0 {
		a.say("There is no award for this thread, or none is decided yet.\n")
		return nil
	}
	w := a.table()
	w.head("AWARD\tAMOUNT\tSTATE")
	for _, award := range claims.Awards {
		fmt.Fprintf(w, "%d\t%s\t%s\n", award.Number, money(award.Amount, award.Currency), a.lang.known(standing(&award)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, award := range claims.Awards {
		for _, charity := range claims.Roster.Schedule(award.Schedule).Charities {
			if award.State == tipbox.AwardGranted && !award.Expired {
				a.say("For award %d there is --charity %s: %s\n", award.Number, charity.ID, cleanLine(cmp.Or(a.lang.choose(charity.Name), charity.ID)))
			}
		}
	}
	a.say("Checked by the roster number %d, which was signed on %s.\n", claims.Roster.Serial, cleanLine(claims.Roster.Day))
	return nil
}

// A paper is a voucher as --json prints it.
type paper struct {
	Denomination string `json:"denomination"`
	Currency     string `json:"currency"`
	Amount       int64  `json:"amount"` // minor units
	Until        string `json:"until"`
	Text         string `json:"text"`
}

// write writes the vouchers to standard output or into a new file.
func (c *claimCmd) write(a *app, claims *tipbox.Claims, vouchers []*voucher.Voucher) error {
	var papers []paper
	var text strings.Builder
	for _, v := range vouchers {
		d := claims.Roster.Denomination(v.Denomination())
		papers = append(papers, paper{d.ID, d.Currency, d.Amount, d.Until, v.Text()})
		fmt.Fprintf(&text, "%s, paid until %s\n\n%s\n\n", money(d.Amount, d.Currency), d.Until, v.Text())
	}
	if c.Out == "" && a.json {
		return a.printJSON(map[string]any{"award": c.Award, "vouchers": papers})
	}
	if c.Out == "" {
		a.print("%s", text.String())
		return nil
	}
	file, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text.String())
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(c.Out))
	}
	a.say("Written: %d. Whoever holds one is paid, once. They can be fetched again with your receipt code.\n", len(papers))
	if a.json {
		return a.printJSON(map[string]any{"award": c.Award, "file": c.Out, "vouchers": len(papers)})
	}
	a.print("%s\n", cleanLine(c.Out))
	return nil
}

// A publicSite is the site as a source reaches it.
type publicSite struct {
	app    *app
	call   string // the address of the call
	client *http.Client
}

// newSite takes the address and a proxy, and refuses a way on which others could
// listen or look names up.
func newSite(a *app, address string) (*publicSite, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, usageError{fmt.Errorf("--site %q is no address such as https://tips.example.org", address)}
	}
	through, err := way(a.socks, "", u.Hostname())
	if err != nil {
		return nil, err
	}
	near := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
	if u.Scheme == "http" && !isOnion(u.Hostname()) && !near {
		return nil, usageError{errors.New("over http:// others could read and change what is sent: give the site's https:// or onion address")}
	}
	transport := &http.Transport{ // without the environment's proxy
		TLSHandshakeTimeout: time.Minute, ResponseHeaderTimeout: time.Minute, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
	}
	if through != nil {
		transport.DialContext = through.Dial
	} else if !near {
		a.say("Going to %s directly: your network sees that, and the site your address. Through Tor: --socks 127.0.0.1:9050\n", cleanLine(u.Hostname()))
	}
	return &publicSite{a, u.JoinPath("claim.json").String(), &http.Client{
		Transport: transport, Timeout: 2*wayTime + time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// maxClaimFile bounds what is read of an answer, in bytes.
const maxClaimFile = 8 << 20

// ask asks for the awards of the code's thread, or claims one of them first. Of the
// code, only the locator is sent. Errors: errNoThread, errMeanwhile, ErrClaim, errSite.
func (s *publicSite) ask(code *receipt.Code, note string, details []byte) (*tipbox.ClaimFile, error) {
	locator := code.Locator()
	body, err := json.Marshal(tipbox.ClaimRequest{Locator: locator[:], Note: note, Details: details})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(s.app.ctx, http.MethodPost, s.call, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "") // else it would name this program's language
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSite, err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxClaimFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSite, err)
	}
	if answer.StatusCode == http.StatusOK {
		file := new(tipbox.ClaimFile)
		if err := json.Unmarshal(data, file); err != nil {
			return nil, fmt.Errorf("%w: it is no list of awards", errForged)
		}
		return file, nil
	}
	var refusal struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(data, &refusal) != nil {
		return nil, fmt.Errorf("%w as one of tipbox: status %d. Is it the address of the site's first page?", errSite, answer.StatusCode)
	}
	switch refusal.Error {
	case "nothread":
		return nil, errNoThread
	case "conflict":
		return nil, errMeanwhile
	case "claim":
		return nil, fmt.Errorf("nothing was done: %w", tipbox.ErrClaim)
	case "full":
		return nil, errors.New("nothing was done: the thread is full. Claim it on the site, or write to the desk")
	case "store":
		return nil, errors.New("nothing was done: the server cannot read or write at present. Try again later")
	}
	return nil, fmt.Errorf("the site refused it (%.20s): it is perhaps of another version than this program", cleanLine(refusal.Error))
}
