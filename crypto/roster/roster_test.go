package roster_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"tipbox/crypto/roster"
)

func member(key *roster.MemberKey, roles ...roster.Role) *roster.Member {
	return &roster.Member{Roles: roles, CardText: must(key.Card()).Text}
}

// office is a roster of three, not in order, and the root key.
func office(t testing.TB) (*roster.Roster, *roster.SigningKey) {
	t.Helper()
	server := must(roster.NewSigningKey("desk"))
	r := &roster.Roster{Organisation: "Ombuds <Office> & Söhne", Serial: 1, Day: "2026-11-22", Servers: []string{server.Verifier()}}
	zoe := member(newMember(t, "zoe"), roster.Investigator, roster.Reviewer)
	zoe.Channels, zoe.Title, zoe.Unit = []string{"bribery", "off-book-funds"}, "Investigator", "Audit"
	max := member(newMember(t, "max"), roster.Investigator)
	max.Channels = []string{"bribery"}
	for _, m := range []*roster.Member{zoe, member(newMember(t, "bob"), roster.Payer), max} {
		if err := r.Add(m, "2026-11-22"); err != nil {
			t.Fatal(err)
		}
	}
	return r, must(roster.NewSigningKey("root"))
}

func names(members []*roster.Member) string {
	var all []string
	for _, m := range members {
		all = append(all, m.Name())
	}
	return strings.Join(all, " ")
}

// edited is the roster's draft, with what the function does to it.
func edited(r *roster.Roster, edit func(doc map[string]any)) []byte {
	doc := make(map[string]any)
	if err := json.Unmarshal(r.Draft(), &doc); err != nil {
		panic(err)
	}
	edit(doc)
	return must(json.Marshal(doc))
}

func TestSignedRosterOpensAndLeavesItsMark(t *testing.T) {
	r, root := office(t)
	signed := must(r.Sign(root))
	got, err := roster.Open(signed, root.Verifier(), roster.Mark{})
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Draft()) != string(r.Draft()) || names(got.Members) != "bob max zoe" {
		t.Errorf("another roster came back:\n%s", got.Draft())
	}
	if !strings.Contains(string(signed), "Ombuds <Office> & Söhne") {
		t.Error("its name is not readable in it")
	}
	mark := got.Mark()
	if mark.Serial != 1 || len(mark.SHA256) != 64 {
		t.Errorf("mark %v", mark)
	}
	// The same once more is no surprise.
	if again, err := roster.Open(signed, root.Verifier(), mark); err != nil || again.Mark() != mark {
		t.Errorf("the same again: %v", err)
	}
	got.Serial++
	next := must(roster.Open(must(got.Sign(root)), root.Verifier(), mark))
	if next.Mark().Serial != 2 {
		t.Errorf("mark %v", next.Mark())
	}
}

func TestOlderRosterIsRefused(t *testing.T) {
	r, root := office(t)
	r.Serial = 7
	signed := must(r.Sign(root))
	mark := must(roster.Open(signed, root.Verifier(), roster.Mark{})).Mark()

	r.Serial = 6
	if _, err := roster.Open(must(r.Sign(root)), root.Verifier(), mark); !errors.Is(err, roster.ErrOlder) {
		t.Errorf("an older one: %v", err)
	}
	r.Serial, r.Organisation = 7, "Other"
	if _, err := roster.Open(must(r.Sign(root)), root.Verifier(), mark); !errors.Is(err, roster.ErrOlder) {
		t.Errorf("another of the same serial: %v", err)
	}
	for _, serial := range []int{0, -1} {
		r.Serial = serial
		if signed, err := r.Sign(root); err == nil || signed != nil {
			t.Errorf("serial %d was signed", serial)
		}
		// By a root key in other hands than Sign's.
		signed := must(root.Sign("tipbox roster v1\n" + string(r.Draft())))
		if _, err := roster.Open(signed, root.Verifier(), roster.Mark{}); err == nil {
			t.Errorf("serial %d was opened", serial)
		}
	}
}

func TestRosterNotSignedByTheRootIsRefused(t *testing.T) {
	r, root := office(t)
	signed := string(must(r.Sign(root)))
	other := must(roster.NewSigningKey("root"))
	for name, bad := range map[string]string{
		"unsigned":     "tipbox roster v1\n" + string(r.Draft()),
		"a draft":      string(r.Draft()),
		"empty":        "",
		"altered":      strings.Replace(signed, `"payer"`, `"approver"`, 1),
		"by another":   string(must(r.Sign(other))),
		"cut":          signed[:len(signed)/2],
		"line behind":  signed + "\n",
		"line before":  "\n" + signed,
		"CRLF":         strings.ReplaceAll(signed, "\n", "\r\n"),
		"text between": strings.Replace(signed, "\n\n—", "\nmore\n\n—", 1),
	} {
		if got, err := roster.Open([]byte(bad), root.Verifier(), roster.Mark{}); !errors.Is(err, roster.ErrSignature) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, verifier := range []string{"", "root", other.Verifier(), must(newMember(t, "zoe").Card()).Verifier} {
		if _, err := roster.Open([]byte(signed), verifier, roster.Mark{}); err == nil {
			t.Errorf("opened with %q", verifier)
		}
	}
	// Signed by the root, but for something else.
	for _, text := range []string{"tipbox event v1\n" + string(r.Draft()), "tipbox roster v2\n" + string(r.Draft()), "x\n",
		"tipbox roster v1\n", "tipbox roster v1\n" + string(r.Draft()) + "more\n"} {
		if _, err := roster.Open(must(root.Sign(text)), root.Verifier(), roster.Mark{}); !errors.Is(err, roster.ErrFormat) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestDraftReadsBack(t *testing.T) {
	r, _ := office(t)
	again := must(roster.Parse(r.Draft()))
	if string(again.Draft()) != string(r.Draft()) {
		t.Errorf("got\n%s\nwant\n%s", again.Draft(), r.Draft())
	}
	empty := must(roster.Parse([]byte(`{"organisation":"Office","serial":0,"day":"2026-11-22","servers":null,"members":[]}`)))
	if len(empty.Members) != 0 || empty.Investigators("bribery") != nil {
		t.Error("members from nowhere")
	}
}

func TestMembersAreSorted(t *testing.T) {
	r, _ := office(t)
	shuffled := edited(r, func(doc map[string]any) { slices.Reverse(doc["members"].([]any)) })
	if got := must(roster.Parse(shuffled)); names(got.Members) != "bob max zoe" || string(got.Draft()) != string(r.Draft()) {
		t.Errorf("got %s", names(got.Members))
	}
}

func TestDraftThatBreaksARuleIsRefused(t *testing.T) {
	r, _ := office(t)
	first := func(change func(m map[string]any)) func(map[string]any) {
		return func(doc map[string]any) { change(doc["members"].([]any)[1].(map[string]any)) } // max
	}
	set := func(key string, value any) func(map[string]any) {
		return func(m map[string]any) { m[key] = value }
	}
	card := func(text string) func(map[string]any) { return first(set("card", text)) }
	key := newMember(t, "max")
	classic := must(age.GenerateX25519Identity()).Recipient().String()
	for name, test := range map[string]struct {
		edit func(map[string]any)
		want error
	}{
		"unknown field":             {set("extra", 1), roster.ErrFormat},
		"unknown field of a member": {first(set("extra", 1)), roster.ErrFormat},
		"no organisation":           {set("organisation", " "), roster.ErrFormat},
		"organisation on two lines": {set("organisation", "a\nb"), roster.ErrFormat},
		"serial negative":           {set("serial", -1), roster.ErrFormat},
		"serial fractional":         {set("serial", 1.5), roster.ErrFormat},
		"serial a text":             {set("serial", "1"), roster.ErrFormat},
		"no such day":               {set("day", "2026-02-30"), roster.ErrFormat},
		"a day with a time":         {set("day", "2026-11-22T10:00:00Z"), roster.ErrFormat},
		"no day":                    {set("day", ""), roster.ErrFormat},
		"bad server":                {set("servers", []string{"desk"}), roster.ErrFormat},
		"server twice":              {set("servers", []string{r.Servers[0], r.Servers[0]}), roster.ErrDuplicate},
		"a member's key as server":  {set("servers", []string{r.Members[0].Card.Verifier}), roster.ErrDuplicate},
		"member null":               {func(d map[string]any) { d["members"] = []any{nil} }, roster.ErrFormat},
		"members no list":           {set("members", 1), roster.ErrFormat},
		"no role":                   {first(set("roles", []string{})), roster.ErrFormat},
		"roles null":                {first(set("roles", nil)), roster.ErrFormat},
		"unknown role":              {first(set("roles", []string{"admin"})), roster.ErrFormat},
		"role twice":                {first(set("roles", []string{"reviewer", "reviewer"})), roster.ErrFormat},
		"who reads also pays":       {first(set("roles", []string{"payer", "reviewer", "investigator"})), roster.ErrFormat},
		"bad channel":               {first(set("channels", []string{"Bribery"})), roster.ErrFormat},
		"channel twice":             {first(set("channels", []string{"bribery", "bribery"})), roster.ErrFormat},
		"title on two lines":        {first(set("title", "a\nb")), roster.ErrFormat},
		"title with an escape":      {first(set("title", "\x1b[2J")), roster.ErrFormat},
		"title with a C1 escape":    {first(set("title", "\u009b2J")), roster.ErrFormat},
		"unit with a line end":      {first(set("unit", "a\u2028b")), roster.ErrFormat},
		"unit too long":             {first(set("unit", strings.Repeat("x", 201))), roster.ErrFormat},
		"no card":                   {first(func(m map[string]any) { delete(m, "card") }), roster.ErrCard},
		"card altered":              {card(strings.Replace(r.Members[1].CardText, "name: max", "name: min", 1)), roster.ErrCard},
		"classic recipient":         {card(string(must(key.Sign(cardText("max", classic, key.Verifier()))))), roster.ErrCard},
	} {
		got, err := roster.Parse(edited(r, test.edit))
		if !errors.Is(err, test.want) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"", "null", "1", "[]", "{", string(r.Draft()) + "{}", string(r.Draft()) + "x", `{"organisation":"x"`} {
		if got, err := roster.Parse([]byte(bad)); !errors.Is(err, roster.ErrFormat) || got != nil {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if got, err := roster.Parse(edited(r, first(set("title", "Rechnungsprüfung, 2. Stock")))); err != nil {
		t.Error(got, err)
	}
}

// Each name, recipient and signing key once, and nobody under two names.
func TestDoubleMemberIsRefused(t *testing.T) {
	r, root := office(t)
	zoe, eve := newMember(t, "zoe"), newMember(t, "eve")
	recipient := must(eve.Card()).Recipient.String()
	alias := must(roster.SigningKeyFrom("ivy", must(eve.Signer())))
	fresh := newMember(t, "ivy")
	if err := r.Add(member(eve, roster.Reviewer), "2026-11-22"); err != nil {
		t.Fatal(err)
	}
	for name, card := range map[string]string{
		"the same card":             must(eve.Card()).Text,
		"another card of the name":  must(zoe.Card()).Text,
		"her recipient, other name": string(must(fresh.Sign(cardText("ivy", recipient, fresh.Verifier())))),
		"her signing key, other name": string(must(alias.Sign(
			cardText("ivy", must(fresh.Card()).Recipient.String(), alias.Verifier())))),
	} {
		if _, err := roster.ParseCard(card); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		double := *r
		double.Members = append(slices.Clone(r.Members), &roster.Member{Roles: []roster.Role{roster.Publisher}, CardText: card})
		if got, err := roster.Parse(double.Draft()); !errors.Is(err, roster.ErrDuplicate) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := double.Sign(root); !errors.Is(err, roster.ErrDuplicate) {
			t.Errorf("%s, signed: %v", name, err)
		}
		forced := must(root.Sign("tipbox roster v1\n" + string(double.Draft())))
		if got, err := roster.Open(forced, root.Verifier(), roster.Mark{}); !errors.Is(err, roster.ErrDuplicate) || got != nil {
			t.Errorf("%s, opened: %v", name, err)
		}
	}
}

func TestAddReplacesAndRemoveRemoves(t *testing.T) {
	r, _ := office(t)
	before := string(r.Draft())

	again := newMember(t, "max") // has lost the old key
	if err := r.Add(member(again, roster.Publisher), "2026-11-22"); err != nil {
		t.Fatal(err)
	}
	if names(r.Members) != "bob max zoe" || r.Member("max").Card.Verifier != again.Verifier() || r.Member("max").Has(roster.Investigator) {
		t.Errorf("not replaced:\n%s", r.Draft())
	}
	if err := r.Add(member(newMember(t, "ada"), roster.Approver), "2026-11-22"); err != nil || names(r.Members) != "ada bob max zoe" {
		t.Errorf("%s: %v", names(r.Members), err)
	}
	after := string(r.Draft())

	// What is refused changes nothing.
	stolen := newMember(t, "mia")
	for name, m := range map[string]*roster.Member{
		"no card":                 {Roles: []roster.Role{roster.Payer}},
		"no role":                 {CardText: must(stolen.Card()).Text},
		"pays and reads tips":     member(stolen, roster.Payer, roster.Investigator),
		"pays and reviews":        member(stolen, roster.Payer, roster.Reviewer),
		"pays and decides":        member(stolen, roster.Payer, roster.Approver),
		"pays and opens the name": member(stolen, roster.Payer, roster.Custodian),
		"another's recipient": {Roles: []roster.Role{roster.Payer}, CardText: string(must(stolen.Sign(
			cardText("mia", r.Member("zoe").Card.Recipient.String(), stolen.Verifier()))))},
	} {
		if err := r.Add(m, "2026-11-22"); err == nil || string(r.Draft()) != after {
			t.Errorf("%s: %v", name, err)
		}
	}

	if !r.Remove("ada", "2026-11-22") || r.Remove("ada", "2026-11-22") || r.Remove("", "2026-11-22") || r.Member("ada") != nil || names(r.Members) != "bob max zoe" {
		t.Errorf("not removed: %s", names(r.Members))
	}
	if string(r.Draft()) == before {
		t.Error("nothing happened")
	}
	for _, name := range []string{"bob", "max", "zoe"} {
		r.Remove(name, "2026-11-22")
	}
	if _, err := roster.Parse(r.Draft()); err != nil || len(r.Members) != 0 {
		t.Errorf("empty: %v", err)
	}
}

func TestRosterKnowsItsMembers(t *testing.T) {
	r, _ := office(t)
	stranger := must(roster.NewSigningKey("zoe"))
	for _, m := range r.Members {
		if r.MemberByKey(m.Card.Public()) != m || r.Member(m.Name()) != m || r.HasServer(m.Card.Public()) {
			t.Errorf("%s is not found", m.Name())
		}
	}
	_, server, _ := roster.VerifierPublic(r.Servers[0])
	if !r.HasServer(server) || r.MemberByKey(server) != nil {
		t.Error("the server is not found")
	}
	if r.MemberByKey(stranger.Public()) != nil || r.HasServer(stranger.Public()) || r.MemberByKey(nil) != nil || r.HasServer(nil) || r.Member("") != nil {
		t.Error("a stranger is found")
	}
	for channel, want := range map[string]string{"bribery": "max zoe", "off-book-funds": "zoe", "other": "", "": ""} {
		if got := names(r.Investigators(channel)); got != want {
			t.Errorf("channel %q is read by %q", channel, got)
		}
	}
	zoe := r.Member("zoe")
	if !zoe.Has(roster.Reviewer) || zoe.Has(roster.Payer) || zoe.Has("") || !zoe.Investigates("bribery") {
		t.Error("roles are mixed up")
	}
	// A channel without the role is not read.
	zoe.Roles = []roster.Role{roster.Reviewer}
	if zoe.Investigates("bribery") {
		t.Error("a reviewer reads tips")
	}
}

func TestLargeRosterSignsAndOpens(t *testing.T) {
	root := must(roster.NewSigningKey("root"))
	r := &roster.Roster{Organisation: "Ministry", Serial: 1, Day: "2026-11-22"}
	for i := range 500 {
		r.Members = append(r.Members, member(newMember(t, fmt.Sprintf("member-%d", i)), roster.Reviewer))
	}
	if got, err := roster.Open(must(r.Sign(root)), root.Verifier(), roster.Mark{}); err != nil || len(got.Members) != 500 {
		t.Fatal(err)
	}
}

func FuzzOpen(f *testing.F) {
	r, root := readRoster(f)
	f.Add([]byte(r.Draft()), "2026")
	f.Add([]byte(`{"organisation":"x","serial":1,"day":"2026-11-22","servers":[],"members":[null]}`), "")
	f.Add([]byte(`{"organisation":"x","serial":1,"day":"2026-11-22","servers":["++"],"members":[{"roles":["payer"],"card":"tipbox card v1\n"}]}`), "x")
	f.Add(must(r.Sign(root)), "")
	f.Fuzz(func(t *testing.T, in []byte, text string) {
		roster.Open(in, root.Verifier(), roster.Mark{})
		roster.Open(in, text, roster.Mark{})
		signed, err := root.Sign("tipbox roster v1\n" + string(in) + "\n")
		if err != nil {
			return
		}
		got, err := roster.Open(signed, root.Verifier(), roster.Mark{})
		if (err == nil) != (got != nil) {
			t.Fatal("neither roster nor error, or both")
		}
		if err != nil {
			return
		}
		again, err := roster.Open(must(got.Sign(root)), root.Verifier(), roster.Mark{})
		if err != nil || string(again.Draft()) != string(got.Draft()) {
			t.Fatalf("a roster does not come back: %v\n%s", err, got.Draft())
		}
		got.Investigators(text)
		got.Member(text)
	})
}

func TestFormerMembersHaveNoRightsButKeepTheirName(t *testing.T) {
	r, _ := office(t)
	old := r.Member("max")
	again := newMember(t, "max") // a new key in place of a lost one
	if err := r.Add(member(again, roster.Investigator), "2026-11-22"); err != nil {
		t.Fatal(err)
	}
	r.Remove("zoe", "2026-11-23")
	r, err := roster.Parse(r.Draft())
	if err != nil {
		t.Fatal(err)
	}
	if names(r.Former) != "max zoe" || r.Former[0].Until != "2026-11-22" || r.Former[1].Until != "2026-11-23" {
		t.Errorf("former members: %s", r.Draft())
	}
	for day, want := range map[string]string{"2026-11-21": "max max", "2026-11-22": "max max", "2026-11-23": "max"} {
		if got := r.On(day, "max"); names(got) != want || got[0].Card.Verifier != again.Verifier() {
			t.Errorf("on %s %d people may have been max", day, len(got))
		}
	}
	if r.MemberByKey(old.Card.Public()) != nil || r.Member("zoe") != nil || r.Member("max").CardText == old.CardText {
		t.Error("a former member is a member")
	}
	if err := r.Add(&roster.Member{Roles: old.Roles, Channels: old.Channels, CardText: old.CardText}, "2026-11-24"); err != nil {
		t.Fatal(err)
	}
	if names(r.Former) != "max max zoe" || r.Member("max").CardText != old.CardText || len(r.On("2026-11-24", "max")) != 2 {
		t.Errorf("a member who comes back with the old key: %s", r.Draft())
	}
	for name, change := range map[string]func(*roster.Roster){
		"a member that ended":     func(r *roster.Roster) { r.Members[0].Until = "2026-11-22" },
		"a former without a day":  func(r *roster.Roster) { r.Former[0].Until = "" },
		"a former with a bad day": func(r *roster.Roster) { r.Former[0].Until = "yesterday" },
	} {
		altered, err := roster.Parse(r.Draft())
		if err != nil {
			t.Fatal(err)
		}
		change(altered)
		if _, err := roster.Parse(altered.Draft()); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
