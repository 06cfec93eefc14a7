package roster_test

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"tipbox/crypto/roster"
)

// testdata holds vectors for another implementation: the key files of members
// and of a root (keys of nobody, used nowhere else), and what has to come of
// them, byte by byte, as Ed25519 signs the same text always in the same way.
// What has to come of them is written anew by
//
//	go test ./crypto/roster -run TestVectors -update
var update = flag.Bool("update", false, "write the vectors in testdata anew")

func read(t testing.TB, name string) string {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(file)
}

func readMemberKey(t testing.TB, name string) *roster.MemberKey {
	t.Helper()
	key, err := roster.ParseMemberKey(read(t, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func readSigningKey(t testing.TB, name string) *roster.SigningKey {
	t.Helper()
	key, err := roster.ParseSigningKey(strings.TrimSpace(read(t, name+".key")))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// readRoster is the roster of the vectors, from its keys.
func readRoster(t testing.TB) (*roster.Roster, *roster.SigningKey) {
	t.Helper()
	r := &roster.Roster{
		Organisation: "Büro für Hinweise <Süd> & Co.", Serial: 3, Day: "2026-11-22",
		Servers: []string{readSigningKey(t, "desk").Verifier()},
	}
	alice := member(readMemberKey(t, "alice"), roster.Investigator, roster.Reviewer)
	alice.Title, alice.Unit, alice.Channels = "Senior investigator", "監査部", []string{"bribery", "off-book-funds"}
	bob := member(readMemberKey(t, "bob"), roster.Payer)
	for _, m := range []*roster.Member{bob, alice} {
		if err := r.Add(m, "2026-11-22"); err != nil {
			t.Fatal(err)
		}
	}
	return r, readSigningKey(t, "root")
}

func TestVectors(t *testing.T) {
	r, root := readRoster(t)
	signed := must(r.Sign(root))
	opened := must(roster.Open(signed, root.Verifier(), roster.Mark{}))
	facts := map[string]any{"root": root.Verifier(), "server": r.Servers[0], "mark": opened.Mark()}
	files := map[string]string{"roster.json": string(r.Draft()), "roster.note": string(signed)}
	for _, name := range []string{"alice", "bob"} {
		key := readMemberKey(t, name)
		card := must(key.Card())
		files[name+".card"] = card.Text
		facts[name] = map[string]string{
			"age": card.Recipient.String(), "sign": card.Verifier,
			"ed25519": hex.EncodeToString(key.Public()), "fingerprint": card.Fingerprint(),
		}
	}
	files["facts.json"] = string(must(json.MarshalIndent(facts, "", "  "))) + "\n"
	for name, got := range files {
		if *update {
			if err := os.WriteFile(filepath.Join("testdata", name), []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want := read(t, name); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
	// The key files are age identity files as they are.
	ids, err := age.ParseIdentities(strings.NewReader(read(t, "alice.key")))
	if err != nil || len(ids) != 1 || ids[0].(*age.HybridIdentity).Recipient().String() != opened.Member("alice").Card.Recipient.String() {
		t.Errorf("alice.key: %v", err)
	}
}
