package roster_test

import (
	"errors"
	"strings"
	"testing"

	"filippo.io/age"
	"pgregory.net/rapid"

	"tipbox/crypto/roster"
)

func cardText(name, recipient, verifier string) string {
	return "tipbox card v1\nname: " + name + "\nage: " + recipient + "\nsign: " + verifier + "\n"
}

func TestCardSaysWhoseItIs(t *testing.T) {
	key := newMember(t, "alice")
	card := must(key.Card())
	if card.Name != "alice" || card.Verifier != key.Verifier() || !card.Public().Equal(key.Public()) ||
		card.Recipient.String() != key.Identity().(*age.HybridIdentity).Recipient().String() {
		t.Errorf("another's card: %+v", card)
	}
	for name, text := range map[string]string{
		"as it is":     card.Text,
		"CRLF":         strings.ReplaceAll(card.Text, "\n", "\r\n"),
		"from an mail": "\n\n" + card.Text + "\n \n",
		"no last line": strings.TrimSuffix(card.Text, "\n"),
	} {
		again, err := roster.ParseCard(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if again.Text != card.Text || again.Fingerprint() != card.Fingerprint() {
			t.Errorf("%s: another card came back", name)
		}
	}
}

func TestForgedCardIsRefusedAndToldWhy(t *testing.T) {
	alice, mallory := newMember(t, "alice"), newMember(t, "mallory")
	card, theirs := must(alice.Card()), must(mallory.Card())
	classic := must(age.GenerateX25519Identity()).Recipient().String()
	to, verifier := card.Recipient.String(), card.Verifier
	sign := func(key *roster.MemberKey, text string) string { return string(must(key.Sign(text))) }
	// Mallory's key under Alice's name.
	namesake := must(roster.SigningKeyFrom("alice", must(mallory.Signer())))
	_, sig, _ := strings.Cut(card.Text, "\n\n")
	_, theirSig, _ := strings.Cut(sign(mallory, cardText("alice", to, verifier)), "\n\n")

	for name, forged := range map[string]struct{ text, why string }{
		"empty":             {"", "begin with"},
		"text":              {"hello", "begin with"},
		"newer version":     {strings.Replace(card.Text, "v1", "v2", 1), "begin with"},
		"unsigned":          {cardText("alice", to, verifier), "not signed"},
		"forged name":       {strings.Replace(card.Text, "name: alice", "name: boss", 1), "not signed"},
		"swapped recipient": {strings.Replace(card.Text, to, theirs.Recipient.String(), 1), "not signed"},
		"swapped verifier":  {strings.Replace(card.Text, verifier, theirs.Verifier, 1), "not signed"},
		"another name in the key": {sign(mallory, cardText("alice", theirs.Recipient.String(), theirs.Verifier)),
			`the card says "alice", its key says "mallory"`},
		"another's signature":  {cardText("alice", to, verifier) + "\n" + theirSig, "not signed"},
		"signed by a namesake": {string(must(namesake.Sign(cardText("alice", to, verifier)))), "not signed"},
		"second signature":     {card.Text + theirSig, "more than one signature"},
		"signed twice":         {card.Text + sig, "more than one signature"},
		"extra line":           {sign(alice, cardText("alice", to, verifier)+"role: boss\n"), "says more"},
		"extra blank line":     {sign(alice, cardText("alice", to, verifier)+"\n"), "says more"},
		"line between": {sign(alice, strings.Replace(cardText("alice", to, verifier), "sign:", "more: x\nsign:", 1)),
			`no line "sign: "`},
		"other order":       {sign(alice, "tipbox card v1\nage: "+to+"\nname: alice\nsign: "+verifier+"\n"), `no line "name: "`},
		"name missing":      {sign(alice, "tipbox card v1\nage: "+to+"\nsign: "+verifier+"\n"), `no line "name: "`},
		"cut":               {card.Text[:200], `no line "sign: "`},
		"classic recipient": {sign(alice, cardText("alice", classic, verifier)), "not a post-quantum age recipient"},
		"no recipient":      {sign(alice, cardText("alice", "", verifier)), "not a post-quantum age recipient"},
		"recipient in capitals": {sign(alice, cardText("alice", strings.ToUpper(to), verifier)),
			"not a post-quantum age recipient"},
		"secret for recipient": {sign(alice, cardText("alice", alice.Reveal()[len(alice.Reveal())-80:], verifier)), ""},
		"no verifier":          {sign(alice, cardText("alice", to, "")), "verifier key"},
		"bad name":             {sign(alice, cardText("Alice", to, verifier)), "not a valid name"},
		"two names":            {sign(alice, cardText("alice ", to, verifier)), "not a valid name"},
		"a roster":             {sign(alice, "tipbox roster v1\n{}\n"), "begin with"},
	} {
		got, err := roster.ParseCard(forged.text)
		if !errors.Is(err, roster.ErrCard) || got != nil {
			t.Errorf("%s: %v", name, err)
		} else if !strings.Contains(err.Error(), forged.why) {
			t.Errorf("%s: %q does not say %q", name, err, forged.why)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		altered := []byte(card.Text)
		bit := rapid.IntRange(0, 8*len(altered)-1).Draw(t, "bit")
		altered[bit/8] ^= 1 << (bit % 8)
		if got, err := roster.ParseCard(string(altered)); err == nil && got.Text != card.Text {
			t.Fatalf("taken: %q", altered)
		}
	})
}

// A card comes from outside, and its error goes to somebody's terminal.
func TestCardErrorsHoldNoControlCharacters(t *testing.T) {
	for _, evil := range []string{
		cardText("\x1b[2J", "x", "y"), cardText("alice", "\x1b[2J", "y"), "\x1b[2J",
		cardText("alice", newMemberRecipient(t), "\x1b[2J+x+y"), cardText("alice", "x", "y") + "\n— \u009b2J AAAA\n",
	} {
		_, err := roster.ParseCard(evil)
		if err == nil || strings.ContainsAny(err.Error(), "\x1b\u009b") {
			t.Errorf("%v", err)
		}
	}
}

func newMemberRecipient(t *testing.T) string {
	return must(newMember(t, "x").Card()).Recipient.String()
}

func TestFingerprintTellsCardsApart(t *testing.T) {
	a, b := must(newMember(t, "alice").Card()), must(newMember(t, "alice").Card())
	if a.Fingerprint() == b.Fingerprint() {
		t.Error("two cards, one fingerprint")
	}
	if got := roster.Fingerprint(""); got != "e3b0 c442 98fc 1c14 9afb f4c8 996f b924" {
		t.Error(got)
	}
}

func FuzzParseCard(f *testing.F) {
	key := readMemberKey(f, "alice")
	card := must(key.Card())
	body, _, _ := strings.Cut(card.Text, "\n\n")
	f.Add(card.Text)
	f.Add(strings.ReplaceAll(card.Text, "\n", "\r\n"))
	f.Add(body + "\n")
	f.Add(body + "\nmore\n")
	f.Add("tipbox card v1\nname: a\nage: \nsign: +\n\n— a AAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		check := func(text string) {
			card, err := roster.ParseCard(text)
			if err != nil {
				if !errors.Is(err, roster.ErrCard) || card != nil {
					t.Fatal(err)
				}
				return
			}
			card.Public()
			body, _, _ := strings.Cut(card.Text, "\n\n")
			if body+"\n" != cardText(card.Name, card.Recipient.String(), card.Verifier) || strings.TrimSpace(text) == "" {
				t.Fatalf("%q was taken for a card", text)
			}
			if again, err := roster.ParseCard(card.Text); err != nil || again.Text != card.Text {
				t.Fatal("a card does not read back")
			}
		}
		check(text)
		// Past the signature.
		if signed, err := key.Sign(text); err == nil {
			check(string(signed))
		}
	})
}
