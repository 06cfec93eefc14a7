package tipbox_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// proof is the proof of a code, opened with nothing but the roster.
func proof(t *testing.T, o *tipboxtest.Org, code *receipt.Code) *tipbox.Proof {
	t.Helper()
	_, note, err := o.Service.Proof(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	p, err := tipbox.OpenProof(note, o.Service.Roster(), o.Root.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sum(t *testing.T, o *tipboxtest.Org, key string) string {
	t.Helper()
	rec, err := o.Store.Get(ctx, store.Key(key))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(rec.Value)
	return hex.EncodeToString(sum[:])
}

func TestAProofSaysOnWhichDayWhichTipWasThere(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{Proof: true})
	code := o.Submit("I took the envelope. "+canary, files()...)
	tip := o.Inbox("alice")[0].Tip
	o.Clock.Advance(5 * aDay)
	p := proof(t, o, code)
	if p.Organisation != o.Root.Verifier() || p.Channel != "off-book-funds" || p.Day != "2026-11-22" || p.Made != "2026-11-27" || p.Tip != tip || p.Server != o.Server.Verifier() {
		t.Errorf("the proof is %+v", p)
	}
	if p.Event != sum(t, o, "event/"+tip+"/000001") || p.Sealed != sum(t, o, "sealed/"+tip+"/000001") {
		t.Error("its hashes are not of the first entry and message")
	}
	if p.Tip != seal.TipID(p.Key, p.Source) || !p.IsOf(code) || p.IsOf(receipt.New()) {
		t.Error("it is not bound to the source's key")
	}
	if p.Ack != nil || p.Follows() {
		t.Error("nobody has acknowledged it")
	}
}

func TestWhoeverAcknowledgedATipIsASecondWitness(t *testing.T) {
	decline := tipbox.Act{Action: tipbox.ActionDecline, Text: "not ours", Detail: &tipbox.Detail{Reason: tipbox.OutOfScope}}
	for name, c := range map[string]struct {
		act     tipbox.Act
		more    bool // a follow-up comes first
		follows bool
	}{
		"ack":             {act(tipbox.ActionAck, "read"), false, true},
		"accept":          {act(tipbox.ActionAccept, ""), false, true},
		"decline":         {decline, false, true},
		"after a message": {act(tipbox.ActionAck, "read"), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := tipboxtest.New(t, tipboxtest.Config{Proof: true})
			code := o.Submit("one")
			tip := o.Inbox("alice")[0].Tip
			if c.more {
				followUp(t, o, code, tipbox.NewNonce())
			}
			o.Reply("alice", tip, "An answer is no acknowledgement.")
			if p := proof(t, o, code); p.Ack != nil {
				t.Error("an answer is taken for the acknowledgement")
			}
			if !c.more { // anew, without the answer between
				o = tipboxtest.New(t, tipboxtest.Config{Proof: true})
				code = o.Submit("one")
				tip = o.Inbox("alice")[0].Tip
			}
			o.Clock.Advance(aDay)
			o.Act("bob", tip, c.act)
			if c.act.Action == tipbox.ActionAck {
				o.Act("alice", tip, act(tipbox.ActionAccept, ""))
			}
			p := proof(t, o, code)
			if p.Ack == nil || p.Ack.By != "bob" || p.Ack.Day != "2026-11-23" || p.Ack.Action != c.act.Action || p.Follows() != c.follows {
				t.Errorf("the acknowledgement is %+v", p.Ack)
			}
		})
	}
}

func TestAnAcknowledgementThatCountsForNothingIsNoWitness(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{Proof: true})
	code := o.Submit("one")
	tip := o.Inbox("alice")[0].Tip
	o.Clock.Advance(aDay)
	o.Act("alice", tip, act(tipbox.ActionAck, "read"))
	o.StrikeUntil("alice", "2026-11-22") // her key was stolen, it turns out
	o.Install()
	o.Tolerate("void")
	if err := o.Service.Derive(ctx); err != nil {
		t.Fatal(err)
	}
	if p := proof(t, o, code); p.Ack != nil {
		t.Errorf("%s is a witness", p.Ack.By)
	}
	o.Act("bob", tip, act(tipbox.ActionAck, "read"))
	if p := proof(t, o, code); p.Ack == nil || p.Ack.By != "bob" {
		t.Errorf("the acknowledgement is %+v", p.Ack)
	}
}

// proving is a service on the same store that offers proofs in one channel, if there is
// a key to sign them.
func proving(t *testing.T, o *tipboxtest.Org, key *roster.SigningKey) *tipbox.Service {
	t.Helper()
	cfg := tipbox.Config{
		Store: o.Store, Blobs: o.Blobs, Root: o.Root.Verifier(), Now: o.Clock.Now,
		Channels: []tipbox.Channel{{ID: "off-book-funds", Proof: true}},
	}
	if key != nil {
		cfg.SignProof = key.Sign
	}
	s, err := tipbox.New(cfg)
	if err == nil {
		err = s.InstallRoster(ctx, o.Service.SignedRoster())
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAProofIsThereOnlyWhereItIsOffered(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	code := o.Submit("one")
	_, _, err := o.Service.Proof(ctx, code)
	wantErr(t, err, tipbox.ErrNotFound)
	thread, err := o.Service.Thread(ctx, code)
	if err != nil || thread.Proof {
		t.Error("a proof is offered", err)
	}
	if s := proving(t, o, nil); s.OffersProof("off-book-funds") {
		t.Error("a proof is offered that nobody signs")
	}
	s := proving(t, o, o.Server)
	if !s.OffersProof("off-book-funds") || s.OffersProof("bribery") {
		t.Error("the channel's flag does not decide")
	}
	if _, _, err := s.Proof(ctx, code); err != nil {
		t.Error(err)
	}
	_, _, err = s.Proof(ctx, receipt.New())
	wantErr(t, err, tipbox.ErrNoThread)
	if err := s.EraseOwn(ctx, code); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Proof(ctx, code)
	wantErr(t, err, tipbox.ErrNoThread)
}

func TestAProofSaysWhatTheServersClockBelieved(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{Proof: true})
	o.Clock.Advance(400 * aDay)
	code := o.Submit("one")
	o.Clock.Advance(-399 * aDay)
	if p := proof(t, o, code); p.Day != "2027-12-27" || p.Made != "2026-11-23" {
		t.Errorf("received on %s, made on %s", p.Day, p.Made)
	}
}

func TestADamagedFirstEntryIsNotProven(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{Proof: true})
	code := o.Submit("one")
	followUp(t, o, code, tipbox.NewNonce())
	key := store.Key("event/" + o.Inbox("alice")[0].Tip + "/000001")
	rec, err := o.Store.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Store.Apply(ctx, store.Delete(key)); err != nil {
		t.Fatal(err)
	}
	_, _, err = o.Service.Proof(ctx, code)
	wantErr(t, err, store.ErrCorrupt)
	if err := o.Store.Apply(ctx, store.Put(key, rec.Value)); err != nil {
		t.Fatal(err)
	}
}

// testdata/proof/vectors.json holds vectors for another implementation, made of the
// keys in crypto/roster/testdata (keys of nobody). It is written anew by
//
//	go test ./tipbox -run TestProofVectors -update
var update = flag.Bool("update", false, "write the vectors in testdata anew")

const proofVectorsFile = "testdata/proof/vectors.json"

type proofVectors struct {
	Root    string        `json:"root"`
	Roster  string        `json:"roster"`  // signed
	Entropy string        `json:"entropy"` // of the source's code, hex
	Proofs  []proofVector `json:"proofs"`
}

type proofVector struct {
	Name    string `json:"name"`
	File    string `json:"file"`
	Error   string `json:"error,omitempty"` // see proofErrors
	Channel string `json:"channel,omitempty"`
	Day     string `json:"day,omitempty"`
	Tip     string `json:"tip,omitempty"`
	Witness string `json:"witness,omitempty"` // the member who acknowledged it
	Follows bool   `json:"follows,omitempty"`
}

var proofErrors = map[string]error{
	"not a proof": tipbox.ErrNotProof, "organisation": tipbox.ErrProofOrganisation, "server": tipbox.ErrProofServer,
	"edited": tipbox.ErrProofEdited, "witness": tipbox.ErrProofWitness, "invalid": tipbox.ErrInvalid,
}

func rosterData(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "crypto", "roster", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func ownKey(t testing.TB, name string) *roster.SigningKey {
	t.Helper()
	key, err := roster.ParseSigningKey(strings.TrimSpace(rosterData(t, name+".key")))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// must is the value of what does not fail.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// makeProofVectors makes each kind of proof, right and wrong, without the code that
// it is to test.
func makeProofVectors(t testing.TB) proofVectors {
	desk, root := ownKey(t, "desk"), ownKey(t, "root")
	alice, err := roster.ParseMemberKey(rosterData(t, "alice.key"))
	bob, err2 := roster.ParseMemberKey(rosterData(t, "bob.key"))
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	note := func(key *roster.SigningKey, header string, v any) string {
		text := must[[]byte](t)(json.Marshal(v))
		return string(must[[]byte](t)(key.Sign(header + string(text) + "\n")))
	}
	entropy := []byte("0123456789abcdef")
	code := must[*receipt.Code](t)(receipt.FromBytes(entropy))
	source := must[*roster.SigningKey](t)(roster.SigningKeyFrom(tipbox.SourceName, code.SigningKey()))
	reply, err := code.ReplyIdentity()
	if err != nil {
		t.Fatal(err)
	}
	key := reply.Recipient().String() // in the place of a tip key
	hash := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	good := tipbox.Proof{
		Organisation: root.Verifier(), Channel: "bribery", Day: "2026-11-22", Made: "2026-11-25",
		Tip: seal.TipID(key, source.Verifier()), Key: key, Source: source.Verifier(), Event: hash("event"), Sealed: hash("sealed"),
	}
	ack := tipbox.Event{Tip: good.Tip, Number: 2, Action: tipbox.ActionAck, Day: "2026-11-24", Before: good.Event, Sealed: hash("ack")}
	const event = "tipbox event v1\n"
	plain := note(desk, "tipbox proof v1\n", good)
	with := func(change func(*tipbox.Proof)) string {
		p := good
		change(&p)
		return note(desk, "tipbox proof v1\n", p)
	}
	witnessed := func(by *roster.MemberKey, change func(*tipbox.Event)) string {
		e := ack
		change(&e)
		return with(func(p *tipbox.Proof) { p.Acknowledgement = note(by.SigningKey, event, e) })
	}
	v := proofVectors{Root: root.Verifier(), Roster: rosterData(t, "roster.note"), Entropy: hex.EncodeToString(entropy)}
	right := func(name, file, witness string, follows bool) {
		v.Proofs = append(v.Proofs, proofVector{Name: name, File: file, Channel: good.Channel, Day: good.Day, Tip: good.Tip, Witness: witness, Follows: follows})
	}
	wrong := func(name, file, why string) {
		v.Proofs = append(v.Proofs, proofVector{Name: name, File: file, Error: why})
	}
	right("plain", plain, "", false)
	right("text above it", "Proof of the day\n\nWhat it shows: … “tipbox proof v1”\nHow to check it …\n\n"+plain, "", false)
	right("saved on Windows", "\uFEFF收到日期证明\r\n\r\n"+strings.ReplaceAll(plain, "\n", "\r\n"), "", false)
	right("empty lines behind", plain+"\n\n", "", false)
	right("acknowledged", witnessed(alice, func(*tipbox.Event) {}), "alice", true)
	right("acknowledged after a message", witnessed(alice, func(e *tipbox.Event) { e.Number, e.Before = 5, hash("four") }), "alice", false)
	right("declined", witnessed(alice, func(e *tipbox.Event) { e.Action = tipbox.ActionDecline }), "alice", true)

	wrong("empty", "", "not a proof")
	wrong("a receipt", "Receipt\n\nWords:\nabandon abandon\n", "not a proof")
	wrong("of a newer version", strings.Replace(plain, "proof v1", "proof v2", 1), "not a proof")
	wrong("without a signature", plain[:strings.LastIndex(plain, "\n\n—")+1], "not a proof")
	wrong("cut", plain[:len(plain)/2], "not a proof")
	wrong("unknown field", strings.Replace(plain, `{"organisation"`, `{"more":"","organisation"`, 1), "not a proof")
	wrong("too long", plain[:strings.Index(plain, "\n\n—")]+strings.Repeat(" ", 20000)+plain[strings.Index(plain, "\n\n—"):], "not a proof")
	wrong("an earlier day", strings.Replace(plain, `"day":"2026-11-22"`, `"day":"2026-11-12"`, 1), "edited")
	wrong("a space more", strings.Replace(plain, `,"day"`, `, "day"`, 1), "edited")
	wrong("two signatures", plain+plain[strings.LastIndex(plain, "— "):], "edited")
	wrong("another organisation", with(func(p *tipbox.Proof) { p.Organisation = source.Verifier() }), "organisation")
	stranger := must[*roster.SigningKey](t)(roster.SigningKeyFrom("desk", must[crypto.Signer](t)(bob.Signer())))
	wrong("by another server", note(stranger, "tipbox proof v1\n", good), "server")
	wrong("by a member", note(alice.SigningKey, "tipbox proof v1\n", good), "server")
	wrong("another tip's id", with(func(p *tipbox.Proof) { p.Tip = "aaaaaaaaaaaaaaaa" }), "invalid")
	wrong("another source", with(func(p *tipbox.Proof) { p.Source = desk.Verifier() }), "invalid")
	wrong("no such day", with(func(p *tipbox.Proof) { p.Day = "2026-11-31" }), "invalid")
	wrong("no hash", with(func(p *tipbox.Proof) { p.Sealed = "" }), "invalid")
	wrong("the acknowledgement of another tip", witnessed(alice, func(e *tipbox.Event) { e.Tip = "aaaaaaaaaaaaaaaa" }), "invalid")
	wrong("the acknowledgement of another first entry", witnessed(alice, func(e *tipbox.Event) { e.Before = hash("other") }), "invalid")
	wrong("a note in the place of the acknowledgement", witnessed(alice, func(e *tipbox.Event) { e.Action = tipbox.ActionNote }), "invalid")
	wrong("acknowledged by a payer", witnessed(bob, func(*tipbox.Event) {}), "witness")
	wrong("acknowledged before the member was one", witnessed(alice, func(e *tipbox.Event) { e.Day = "2026-11-20" }), "witness")
	wrong("acknowledged in another channel", with(func(p *tipbox.Proof) {
		p.Channel, p.Acknowledgement = "self-report", note(alice.SigningKey, event, ack)
	}), "witness")
	edited := note(alice.SigningKey, event, ack)
	wrong("an edited acknowledgement", with(func(p *tipbox.Proof) {
		p.Acknowledgement = strings.Replace(edited, "2026-11-24", "2026-11-23", 1)
	}), "witness")
	return v
}

func TestProofVectors(t *testing.T) {
	made := makeProofVectors(t)
	text := string(must[[]byte](t)(json.MarshalIndent(made, "", "  "))) + "\n"
	if *update {
		if err := os.WriteFile(proofVectorsFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(proofVectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != text {
		t.Error("what is made is not what testdata holds")
	}
	var vectors proofVectors
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	r := must[*roster.Roster](t)(roster.Open([]byte(vectors.Roster), vectors.Root, roster.Mark{}))
	code := must[*receipt.Code](t)(receipt.FromBytes(must[[]byte](t)(hex.DecodeString(vectors.Entropy))))
	for _, v := range vectors.Proofs {
		t.Run(v.Name, func(t *testing.T) {
			p, err := tipbox.OpenProof([]byte(v.File), r, vectors.Root)
			if v.Error != "" {
				wantErr(t, err, proofErrors[v.Error])
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			by := ""
			if p.Ack != nil {
				by = p.Ack.By
			}
			if p.Channel != v.Channel || p.Day != v.Day || p.Tip != v.Tip || by != v.Witness || p.Follows() != v.Follows || !p.IsOf(code) {
				t.Errorf("it reads %+v", p)
			}
		})
	}
}

func TestARosterOfAnotherTimeIsToldFromAForgery(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{Proof: true})
	early := o.Service.Roster()
	o.Enter("dave", &roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{"off-book-funds"}})
	o.Install()
	code := o.Submit("one")
	o.Act("dave", o.Inbox("dave")[0].Tip, act(tipbox.ActionAck, "read"))
	_, note, err := o.Service.Proof(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tipbox.OpenProof(note, early, o.Root.Verifier())
	wantErr(t, err, tipbox.ErrProofWitness)
	if !strings.Contains(err.Error(), "number 1 of 2026-11-22") {
		t.Errorf("it does not say which roster: %v", err)
	}
	o.Strike("dave") // who has left since is a witness still
	o.SetDay("2026-12-01")
	o.Install()
	if _, err := tipbox.OpenProof(note, o.Service.Roster(), o.Root.Verifier()); err != nil {
		t.Error(err)
	}
	other := tipboxtest.New(t, tipboxtest.Config{})
	_, err = tipbox.OpenProof(note, other.Service.Roster(), o.Root.Verifier())
	wantErr(t, err, tipbox.ErrProofServer)
	_, err = tipbox.OpenProof(note, other.Service.Roster(), other.Root.Verifier())
	wantErr(t, err, tipbox.ErrProofOrganisation)
}

// FuzzOpenProof changes proofs at will: none opens that was not signed.
func FuzzOpenProof(f *testing.F) {
	v := makeProofVectors(f)
	signed := make(map[string]bool)
	for _, p := range v.Proofs {
		f.Add(p.File)
		if p.Error == "" {
			at := strings.Index(strings.ReplaceAll("\n"+p.File, "\r\n", "\n"), "\ntipbox proof v1\n")
			signed[strings.TrimSpace(strings.ReplaceAll("\n"+p.File, "\r\n", "\n")[at:])] = true
		}
	}
	r := must[*roster.Roster](f)(roster.Open([]byte(v.Roster), v.Root, roster.Mark{}))
	f.Fuzz(func(t *testing.T, file string) {
		p, err := tipbox.OpenProof([]byte(file), r, v.Root)
		if err != nil {
			return
		}
		plain := "\n" + strings.TrimSpace(strings.ReplaceAll(file, "\r\n", "\n"))
		for text := range signed {
			if strings.HasSuffix(plain, text) {
				return
			}
		}
		t.Errorf("this opens, and nobody signed it: %+v\n%s", p, file)
	})
}

// TestWhoHasAPartOfAnAwardGetsNoProofOfTheTip has the tip's source get one, and who
// shares the award none; nor does it count as a use of the source's code.
func TestWhoHasAPartOfAnAwardGetsNoProofOfTheTip(t *testing.T) {
	o, code, _, n := newGranted(t)
	other := part(t, o, code, n, 1, 2_000)
	s := proving(t, o, o.Server)
	_, _, err := s.Proof(ctx, other)
	wantErr(t, err, tipbox.ErrNoThread)
	if p, _, err := s.Proof(ctx, code); err != nil || !p.IsOf(code) || p.IsOf(other) {
		t.Error("the proof is another's, or there is none", err)
	}
	if shown, err := s.Thread(ctx, other); err != nil || shown.Proof || shown.LastUsed != "" {
		t.Errorf("who has a part is shown %+v, %v", shown, err)
	}
	flush(t, s, true)
	if visits := stored(t, o, true, "visit/"); len(visits) > 0 {
		t.Errorf("%d visits are stored", len(visits))
	}
}
