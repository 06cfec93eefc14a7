package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/text/unicode/norm"

	"tipbox/crypto/roster"
)

type rosterCmd struct {
	Init     rosterInitCmd     `cmd:"" help:"Make the root key and an empty roster in your folder."`
	Add      rosterAddCmd      `cmd:"" help:"Enter members by their cards, and the desk's server by desk.pub."`
	Remove   rosterRemoveCmd   `cmd:"" help:"Strike a member."`
	Rule     rosterRuleCmd     `cmd:"" help:"Say how the cases of a channel are worked: quorum and deadlines."`
	Calendar rosterCalendarCmd `cmd:"" help:"Say which days are worked."`
	Schedule rosterScheduleCmd `cmd:"" help:"Enter a scale of rewards, which nothing changes once it is signed."`

	Denomination rosterDenominationCmd `cmd:"" help:"Enter a kind of voucher, which nothing changes once it is signed."`

	Show   rosterShowCmd   `cmd:"" help:"Print the roster as it stands, signed or not."`
	Sign   rosterSignCmd   `cmd:"" help:"Sign the roster: what changed is in force once the server has it."`
	Verify rosterVerifyCmd `cmd:"" help:"Check a signed roster."`
}

func (*rosterCmd) Help() string {
	return "The folder of the root key's holder (--home) has three files: root.key, which signs and stays off the server;\n" +
		"roster.json, the draft; roster.note, the signed roster for the server and the members."
}

// Files of the root key's holder.
const (
	rootKeyName  = "root.key"
	draftName    = "roster.json"
	signedName   = "roster.note"
	rootKeyTitle = "# tipbox root key v1. Whoever has it says who reads the tips. Keep it off the server.\n"
)

func (a *app) rootFile(name string) string { return filepath.Join(string(a.home), name) }

type rosterInitCmd struct {
	Organisation string `arg:"" help:"The organisation's name, as sources see it."`
	Protect      bool   `help:"Protect the root key with a passphrase, which is asked for twice."`
}

func (*rosterInitCmd) Help() string {
	return "Example: tipbox --home root roster init 'Example City' --protect"
}

func (c *rosterInitCmd) Run(a *app) error {
	root, err := roster.NewSigningKey("root")
	if err != nil {
		return err
	}
	draft, err := roster.Parse((&roster.Roster{Organisation: c.Organisation, Day: today()}).Draft())
	if err != nil {
		return usageError{err}
	}
	// The key comes last: as long as there is none, this can be done again.
	if _, err := os.Lstat(a.rootFile(rootKeyName)); errors.Is(err, fs.ErrNotExist) {
		if err := errors.Join(os.MkdirAll(string(a.home), 0o700), a.writeDraft(draft)); err != nil {
			return err
		}
	}
	if err := a.writeKey(a.rootFile(rootKeyName), rootKeyTitle+root.Reveal()+"\n", c.Protect); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]string{"root": root.Verifier()})
	}
	a.print("%s\n", root.Verifier())
	a.say("That is the root verifier key: the operator and every member need it.\nNext: tipboxd init DIR --root KEY, then enter desk.pub and the members' cards: tipbox roster add FILE\n")
	return nil
}

type rosterAddCmd struct {
	File    []string `arg:"" help:"A member's card, or the server's desk.pub." type:"existingfile"`
	Role    []string `help:"A role: investigator, reviewer, approver, payer, publisher or custodian. Repeat for more." placeholder:"ROLE"`
	Channel []string `help:"A channel whose tips the investigator reads. Repeat for more." placeholder:"CHANNEL"`
	Title   string   `help:"How sources see the member in the list of whom to leave out." placeholder:"TEXT"`
	Unit    string   `help:"The member's office, which sources can leave out as a whole." placeholder:"TEXT"`
	Sign    bool     `help:"Sign the roster at once, as tipbox roster sign does."`
}

func (*rosterAddCmd) Help() string {
	return "Example: tipbox --home root roster add alice.card --role investigator --channel off-book-funds --unit 'Audit office'\n\n" +
		"Compare the fingerprint with the member over the telephone before you sign, or with --sign before you give the roster away: nothing is in force before the server has it. " +
		"A member of that name who is there already is replaced. Of several files either all are entered or none."
}

func (c *rosterAddCmd) Run(a *app) error {
	draft, err := a.readDraft()
	if err != nil {
		return err
	}
	cards := 0
	var entered []func()
	for _, file := range c.File {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var say func()
		if text := strings.TrimSpace(string(data)); !strings.Contains(text, "\n") {
			say, err = c.addServer(a, draft, file, text)
		} else {
			cards++
			say, err = c.addMember(a, draft, data)
		}
		if err != nil {
			return err
		}
		entered = append(entered, say)
	}
	if cards == 0 && len(c.Role)+len(c.Channel) > 0 {
		return usageError{errors.New("a server has no roles and no channels")}
	}
	if err := a.writeDraft(draft); err != nil {
		return err
	}
	for _, say := range entered {
		say()
	}
	if c.Sign {
		return (*rosterSignCmd)(nil).Run(a)
	}
	a.say("Next: tipbox roster sign\n")
	return nil
}

// addMember enters a member into the draft, and returns what then says so.
func (c *rosterAddCmd) addMember(a *app, draft *roster.Roster, data []byte) (say func(), err error) {
	m := &roster.Member{Title: c.Title, Unit: norm.NFC.String(strings.TrimSpace(c.Unit)), Channels: c.Channel, CardText: string(data)}
	for _, role := range c.Role {
		m.Roles = append(m.Roles, roster.Role(role))
	}
	if err := draft.Add(m, roster.AtSigning); err != nil {
		return nil, err
	}
	return func() { a.say("Entered %s. Fingerprint: %s\n", m.Name(), m.Card.Fingerprint()) }, nil
}

// addServer is addMember for a server.
func (c *rosterAddCmd) addServer(a *app, draft *roster.Roster, file, verifier string) (say func(), err error) {
	if _, _, err := roster.VerifierPublic(verifier); err != nil {
		return nil, fmt.Errorf("%s is neither a card nor a server's public key: %w", cleanLine(file), err)
	}
	if !slices.Contains(draft.Servers, verifier) {
		draft.Servers = append(draft.Servers, verifier)
	}
	return func() { a.say("Entered the server. Fingerprint: %s\n", roster.Fingerprint(verifier)) }, nil
}

type rosterRemoveCmd struct {
	Name  string `arg:"" help:"The member's name, or a server's verifier key."`
	Until string `help:"The last day on which the key was the member's, 2006-01-02, if it was stolen or given up before: what it signed since counts for nothing." placeholder:"DAY"`
}

func (*rosterRemoveCmd) Help() string {
	return "Example: tipbox --home root roster remove alice\n\nWhat was sealed to the member stays readable with the member's key; new tips are not sealed to it. " +
		"What the member signed up to the day after the signature of the roster still counts: put it into the server's folder by then."
}

func (c *rosterRemoveCmd) Run(a *app) error {
	draft, err := a.readDraft()
	if err != nil {
		return err
	}
	until := roster.AtSigning
	if c.Until != "" {
		if _, err := time.Parse(time.DateOnly, c.Until); err != nil || c.Until > today() {
			return usageError{fmt.Errorf("--until %q is no day up to today: write it as 2006-01-02", c.Until)}
		}
		until = c.Until
	}
	servers := len(draft.Servers)
	draft.Servers = slices.DeleteFunc(draft.Servers, func(s string) bool { return s == c.Name })
	if len(draft.Servers) == servers && !draft.Remove(c.Name, until) {
		return fmt.Errorf("%s is not in the roster", c.Name)
	}
	if err := a.writeDraft(draft); err != nil {
		return err
	}
	a.say("Struck %s. Next: tipbox roster sign\n", cleanLine(c.Name))
	return nil
}

type rosterShowCmd struct {
	File string `arg:"" optional:"" help:"A signed roster or a draft; your own draft if left out." type:"existingfile"`
}

func (*rosterShowCmd) Help() string {
	return "Example: tipbox --home root roster show\n\nIt does not check the root key's signature: see tipbox roster verify."
}

func (c *rosterShowCmd) Run(a *app) error {
	if c.File == "" {
		draft, err := a.readDraft()
		if err != nil {
			return err
		}
		return a.showRoster(draft)
	}
	data, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	r, err := unverified(data)
	if err != nil {
		return err
	}
	a.say("Not verified.\n")
	return a.showRoster(r)
}

type rosterSignCmd struct{}

func (*rosterSignCmd) Help() string {
	return "Example: tipbox --home root roster sign\n\nThen give roster.note to the operator, who puts it into the server's folder, and to new members."
}

func (*rosterSignCmd) Run(a *app) error {
	draft, err := a.readDraft()
	if err != nil {
		return err
	}
	if err := errors.Join(a.checkSerial(draft), a.keepsPromises(draft), a.keepsVouchers(draft)); err != nil {
		return err
	}
	text, err := a.readKey(a.rootFile(rootKeyName))
	if err != nil {
		return err
	}
	root, err := roster.ParseSigningKey(strings.TrimSpace(strings.TrimPrefix(text, rootKeyTitle)))
	if err != nil {
		return fmt.Errorf("%s: %w", a.rootFile(rootKeyName), err)
	}
	draft.Serial++
	draft.Day = today()
	signed, err := draft.Sign(root)
	if err != nil {
		return err
	}
	// The draft first: if the second write fails, a serial number is skipped
	// and none is used twice.
	if err := a.writeDraft(draft); err != nil {
		return err
	}
	if err := renameio.WriteFile(a.rootFile(signedName), signed, 0o644); err != nil {
		return err
	}
	if len(draft.Servers) == 0 {
		a.say("Note: no server is entered, so members cannot connect. tipbox roster add desk.pub\n")
	}
	a.say("Signed as number %d: %s\n", draft.Serial, a.rootFile(signedName))
	return nil
}

// checkSerial makes sure that no serial number is used twice, should the draft
// have been restored from an old copy.
func (a *app) checkSerial(draft *roster.Roster) error {
	signed, err := os.ReadFile(a.rootFile(signedName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	last, err := unverified(signed)
	if err != nil {
		return fmt.Errorf("%s: %w", a.rootFile(signedName), err)
	}
	draft.Serial = max(draft.Serial, last.Serial)
	return nil
}

// unverified reads a signed roster or a draft without looking at a signature.
func unverified(data []byte) (*roster.Roster, error) {
	text := string(data)
	if body, ok := strings.CutPrefix(text, "tipbox roster v1\n"); ok {
		text, _, _ = strings.Cut(body, "\n\n— ")
	}
	return roster.Parse([]byte(text))
}

type rosterVerifyCmd struct {
	File string `arg:"" help:"The signed roster." type:"existingfile"`
	Root string `required:"" help:"The verifier key of the root key." placeholder:"KEY"`
}

func (*rosterVerifyCmd) Help() string {
	return "Example: tipbox roster verify roster.note --root 'root+1a2b3c4d+…'"
}

func (c *rosterVerifyCmd) Run(a *app) error {
	signed, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	r, err := roster.Open(signed, c.Root, roster.Mark{})
	if err != nil {
		return err
	}
	a.say("Verified: signed by the root key.\n")
	return a.showRoster(r)
}

func (a *app) readDraft() (*roster.Roster, error) {
	data, err := os.ReadFile(a.rootFile(draftName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no roster: make one with tipbox roster init ORGANISATION, or name the folder with --home", a.home)
	}
	if err != nil {
		return nil, err
	}
	return roster.Parse(data)
}

func (a *app) writeDraft(r *roster.Roster) error {
	return renameio.WriteFile(a.rootFile(draftName), r.Draft(), 0o600)
}

func (a *app) showRoster(r *roster.Roster) error {
	if a.json {
		return a.printJSON(r)
	}
	a.print("%s, number %d of %s\n", cleanLine(r.Organisation), r.Serial, r.Day)
	for _, s := range r.Servers {
		a.print("server  %s\n", s)
	}
	for _, s := range r.Schedules {
		a.print("schedule  %s since %s: %s\n", s.ID, s.Since, cleanLine(a.lang.choose(s.Title)))
	}
	for _, d := range r.Denominations {
		a.print("denomination  %s: %s, since %s until %s\n", d.ID, money(d.Amount, d.Currency), d.Since, d.Until)
	}
	w := a.table()
	w.head("MEMBER\tROLES\tCHANNELS\tUNIT\tTITLE\tFINGERPRINT")
	for _, m := range r.Members {
		roles := make([]string, len(m.Roles))
		for i, role := range m.Roles {
			roles[i] = a.lang.word(string(role))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Name(), strings.Join(roles, ","), strings.Join(m.Channels, ","),
			cleanLine(m.Unit), cleanLine(m.Title), m.Card.Fingerprint())
	}
	for _, m := range r.Former {
		until := m.Until
		if until == roster.AtSigning {
			until = a.lang.text("the day after it is signed")
		}
		fmt.Fprintf(w, "%s\t%s\t\t\t\t%s\n", m.Name(), a.lang.sprintf("until %s", until), m.Card.Fingerprint())
	}
	return w.Flush()
}
