package tipbox

import (
	"errors"
	"strings"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
)

const (
	someTip  = "aaaaaaaaaaaaaaaa"
	otherTip = "bbbbbbbbbbbbbbbb"
)

var someHash = strings.Repeat("0", 64)

// TestEventsOutOfPlaceAreRefused gives a chain of one event a second one, right
// but for one thing.
func TestEventsOutOfPlaceAreRefused(t *testing.T) {
	key, err := roster.NewSigningKey("source")
	if err != nil {
		t.Fatal(err)
	}
	note := func(e *Event) []byte {
		t.Helper()
		note, err := e.sign(key)
		if err != nil {
			t.Fatal(err)
		}
		return note
	}
	first := note(&Event{Tip: someTip, Number: 1, Action: ActionTip, Day: "2026-11-22", Sealed: someHash, Reply: someHash})
	for name, change := range map[string]func(*Event){
		"right":                       func(*Event) {},
		"a later day":                 func(e *Event) { e.Day = "2026-11-23" },
		"an earlier day":              func(e *Event) { e.Day = "2026-11-21" },
		"no such day":                 func(e *Event) { e.Day = "2026-13-22" },
		"another tip":                 func(e *Event) { e.Tip = otherTip },
		"another tip's file":          func(e *Event) { e.Files[0].Blob = otherTip + someTip },
		"a file outside of the blobs": func(e *Event) { e.Files[0].Blob = someTip + "/../../etc" },
		"an empty file":               func(e *Event) { e.Files[0].Sealed = 0 },
		"a file without a hash":       func(e *Event) { e.Files[0].SHA256 = "" },
		"too many files":              func(e *Event) { e.Files = make([]EventFile, MaxFiles+1) },
		"another past":                func(e *Event) { e.Before = strings.Repeat("1", 64) },
		"no past":                     func(e *Event) { e.Before = "" },
		"a number skipped":            func(e *Event) { e.Number = 3 },
		"a number again":              func(e *Event) { e.Number = 1 },
		"a second first":              func(e *Event) { e.Action, e.Reply = ActionTip, someHash },
		"a reply recipient":           func(e *Event) { e.Reply = someHash },
		"a member's with once":        func(e *Event) { e.Action, e.Once = ActionReply, "00" },
		"no hash":                     func(e *Event) { e.Sealed = "" },
		"an action of another time":   func(e *Event) { e.Action = "dance" },
	} {
		e := &Event{
			Tip: someTip, Number: 2, Action: ActionMessage, Day: "2026-11-22", Before: hash(first), Sealed: someHash,
			Files: []EventFile{{Blob: someTip + someTip, Sealed: 1, SHA256: someHash}},
		}
		change(e)
		_, err := readChain(someTip, [][]byte{first, note(e)}, "", nil)
		if wantOK := name == "right" || name == "a later day"; (err == nil) != wantOK || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, altered := range map[string]string{
		"another header":       strings.Replace(string(first), "v1", "v2", 1),
		"an unknown field":     strings.Replace(string(first), `{"tip"`, `{"more":1,"tip"`, 1),
		"two documents":        strings.Replace(string(first), "}\n", "}{}\n", 1),
		"nothing":              "",
		"a signature and more": string(first) + "— source AAAA\n",
	} {
		if _, err := readChain(someTip, [][]byte{[]byte(altered)}, "", &keyring{source: key.Verifier()}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readChain(someTip, [][]byte{first}, "", &keyring{source: key.Verifier()}); err != nil {
		t.Errorf("as it is: %v", err)
	}
}

// TestMessageThatSaysItIsAnotherIsUnreadable seals documents whose hash the event
// names, as only their writer could.
func TestMessageThatSaysItIsAnotherIsUnreadable(t *testing.T) {
	key, err := seal.NewTipKey()
	if err != nil {
		t.Fatal(err)
	}
	for doc, ok := range map[string]bool{
		`{"v":1,"tip":"aaaaaaaaaaaaaaaa","number":2,"text":"x"}`:                           true,
		`{"v":1,"tip":"bbbbbbbbbbbbbbbb","number":2,"text":"x"}`:                           false,
		`{"v":1,"tip":"aaaaaaaaaaaaaaaa","number":3,"text":"x"}`:                           false,
		`{"v":2,"tip":"aaaaaaaaaaaaaaaa","number":2,"text":"x"}`:                           false,
		`{"v":1,"tip":"aaaaaaaaaaaaaaaa","number":2,"text":"x","files":[{"name":"a"}]}`:    false,
		`{"v":1,"tip":"aaaaaaaaaaaaaaaa","number":2,"text":"x","more":1}`:                  false,
		`{"v":1,"tip":"aaaaaaaaaaaaaaaa","number":2,"text":"x"} {"text":"another behind"}`: false,
		`not JSON`: false,
	} {
		sealed, err := seal.Message([]byte(doc), key.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		e := &Event{Tip: someTip, Number: 2, Sealed: hash(sealed)}
		got, err := openDocument(e, sealed, key.Identity())
		if (err == nil) != ok || !ok && !errors.Is(err, ErrUnreadable) {
			t.Errorf("%s: %+v, %v", doc, got, err)
		}
		if _, err := openDocument(e, append(sealed, 0), key.Identity()); !errors.Is(err, ErrInvalid) || errors.Is(err, ErrUnreadable) {
			t.Errorf("other bytes: %v", err)
		}
	}
}

// TestAnEventHasOneSpelling signs events with something between the lines, which
// would make a thread long, or hide something in it.
func TestAnEventHasOneSpelling(t *testing.T) {
	key, err := roster.NewSigningKey("alice")
	if err != nil {
		t.Fatal(err)
	}
	e := &Event{Tip: someTip, Number: 2, Action: ActionNote, Day: "2026-11-22", Before: someHash, Sealed: someHash}
	text, err := e.text()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"as it is":          {"", ""},
		"white space":       {`"number"`, strings.Repeat(" ", 50_000) + `"number"`},
		"a line more":       {"}\n", "}\n\n"},
		"a field twice":     {`"number":2`, `"number":7,"number":2`},
		"another case":      {`"number"`, `"Number"`},
		"an escape":         {"2026-11-22", `2026-11-2\u0032`},
		"an empty field":    {`"number":2`, `"number":2,"owner":""`},
		"another order":     {`"tip":"` + someTip + `","number":2`, `"number":2,"tip":"` + someTip + `"`},
		"a null":            {`"number":2`, `"number":2,"terms":null`},
		"a second signer's": {"}\n", "}\n\n— bob AAAA\n"},
	} {
		signed, err := key.Sign(strings.Replace(text, change[0], change[1], 1))
		if err != nil {
			continue // not even a note
		}
		if _, err := parseEvent(signed); (err != nil) != (name != "as it is") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
