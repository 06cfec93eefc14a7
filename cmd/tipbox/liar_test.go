package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/alecthomas/kong"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/tipbox"
	"tipbox/tipbox/desk"
)

// A lie is what a liar tells a member who has seen the truth before.
type lie struct {
	name  string
	types string // what the member types: ONE and TWO are tips, OUT is a folder
	tell  func(l *liar)
	says  []string // what the member is told, besides exit status 1

	newcomer bool // who has not seen the truth before
}

const (
	notSigned = "What the server sent is not what was signed. Nothing of it was used. Tell the operator and the root key's holder."
	wrongKey  = "not signed by the right key"
	noSense   = "the desk's pages make no sense"
	noNames   = "the desk's list of tips makes no sense"
	noAnswer  = "the desk's answer is none that this program knows"
)

// of alters tip one.
func of(f func(l *liar, f *tipbox.TipFile)) func(l *liar) {
	return func(l *liar) { l.alterTip(l.one, func(file *tipbox.TipFile) { f(l, file) }) }
}

// altered alters the bodies of answers to a path that ends so.
func altered(suffix string, f func(l *liar, body []byte) []byte) func(l *liar) {
	return func(l *liar) { l.alter(suffix, func(body []byte) []byte { return f(l, body) }) }
}

// says answers a call with a body.
func says(call string, status int, body string) func(l *liar) {
	return func(l *liar) {
		l.answer(http.MethodGet, call, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			w.Write([]byte(body))
		})
	}
}

// endless answers a call with what has no end.
func endless(call string) func(l *liar) {
	return func(l *liar) {
		l.answer(http.MethodGet, call, func(w http.ResponseWriter, _ *http.Request) {
			for err := error(nil); err == nil; {
				_, err = w.Write(bytes.Repeat([]byte(" "), 64<<10))
			}
		})
	}
}

// blobs alters attachments: the first is n 1.
func blobs(f func(l *liar, n int, sealed []byte) []byte) func(l *liar) {
	return func(l *liar) {
		n := 0
		l.alter("", func(body []byte) []byte {
			if !bytes.HasPrefix(body, []byte("age-encryption.org/")) {
				return body
			}
			n++
			return f(l, n, bytes.Clone(body))
		})
	}
}

// stranger makes a key of the server's own under a name.
func stranger(name string) *roster.SigningKey { return must(roster.NewSigningKey(name)) }

// own is a tip of the server's own making, sealed to alice under the id of
// another: only the key and the source are not those that the id is a hash of.
func own(l *liar, id string) *seal.Keyslots {
	key, source := must(seal.NewTipKey()), stranger("source")
	slot := seal.NewKeyslot("off-book-funds", source.Verifier(), key)
	if id == "" {
		return must(seal.SealKeyslots(slot, l.Member("alice").Card.Recipient))
	}
	var file bytes.Buffer
	w := must(age.Encrypt(&file, l.Member("alice").Card.Recipient))
	fmt.Fprintf(w, "# tipbox keyslot v1\n# tip: %s\n# channel: off-book-funds\n# source: %s\n%s\n", id, source.Verifier(), key.Reveal())
	if err := w.Close(); err != nil {
		panic(err)
	}
	return &seal.Keyslots{Threshold: 1, Files: [][]byte{file.Bytes()}}
}

// lies are those that the tool refuses, and of which it takes nothing.
//
// Not among them are those that no tool can notice: a tip that is missing in the
// inbox; the end of a list that is withheld from a member who has not seen it yet
// (who compares the head that tipbox case prints with a colleague's notices it);
// a roster that is withheld; an erasure that is confirmed and not done; and a tip
// that the server makes up, as any source can.
func lies() []lie {
	forged := func(key func(l *liar) *roster.SigningKey, e tipbox.Event) func(l *liar) {
		return of(func(l *liar, f *tipbox.TipFile) { l.event(f, key(l), e) })
	}
	nobody := func(name string) func(*liar) *roster.SigningKey {
		return func(*liar) *roster.SigningKey { return stranger(name) }
	}
	lost := func(n int) func(l *liar) {
		return of(func(l *liar, f *tipbox.TipFile) { f.Events[n-1] = tipbox.SealedEvent{} })
	}
	rollback := of(func(l *liar, f *tipbox.TipFile) { f.Events, f.Head = f.Events[:7], sha([]byte(f.Events[6].Note)) })
	empty := func(l *liar) {
		next := ""
		l.alterInbox(func(p *desk.InboxPage) {
			next += "1"
			p.Items, p.Next = nil, next
		})
	}
	return []lie{
		// Forged.
		{name: "an entry in a member's name with a key of its own", types: "case ONE", tell: forged(nobody("alice"), tipbox.Event{Action: tipbox.ActionNote}),
			says: []string{"entry 9", "by alice", wrongKey, notSigned}},
		{name: "the same, to whom it is new", types: "case ONE", newcomer: true, tell: forged(nobody("alice"), tipbox.Event{Action: tipbox.ActionNote}),
			says: []string{"entry 9", "by alice", wrongKey, notSigned}},
		{name: "the same, to make a member act on it", types: "reply ONE -m yes", tell: forged(nobody("bob"), tipbox.Event{Action: tipbox.ActionFinding, Decides: true}),
			says: []string{"entry 9", "by bob", wrongKey, notSigned}},
		{name: "an entry in the name of nobody", types: "case ONE", tell: forged(nobody("zoe"), tipbox.Event{Action: tipbox.ActionNote}),
			says: []string{"entry 9", `by "zoe", who is no member`, notSigned}},
		{name: "an entry with the server's key", types: "case ONE", tell: forged(func(l *liar) *roster.SigningKey { return l.Server }, tipbox.Event{Action: tipbox.ActionNote}),
			says: []string{"entry 9", `by "desk", who is no member`, notSigned}},
		{name: "a message in the source's name", types: "case ONE", tell: forged(nobody("source"), tipbox.Event{Action: tipbox.ActionMessage}),
			says: []string{"entry 9", "by source", wrongKey, notSigned}},
		{name: "a message of the source with a struck member's key", types: "case ONE", tell: forged(func(l *liar) *roster.SigningKey { return l.Key("dora").SigningKey }, tipbox.Event{Action: tipbox.ActionMessage}),
			says: []string{"entry 9", wrongKey, notSigned}},
		{name: "an entry without a signature", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Events[3].Note, _, _ = strings.Cut(f.Events[3].Note, "\n— ") }),
			says: []string{"entry 4", "who is no member", notSigned}},
		{name: "an entry of another tip", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Events[1] = l.file(l.two).Events[1] }),
			says: []string{"entry 2", "it belongs to tip TWO", notSigned}},
		{name: "an entry of another tip behind the last", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Events = append(f.Events, l.file(l.two).Events[1]) }),
			says: []string{"entry 9", "it belongs to tip TWO", notSigned}},
		{name: "what else a member has signed as an entry", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Events[1].Note = l.Member("alice").CardText }),
			says: []string{"entry 2", "not an event", notSigned}},
		{name: "an entry once more", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Events = append(f.Events, f.Events[6]) }),
			says: []string{"entry 9", "number 7 where 9 must be", notSigned}},
		{name: "an entry under another number", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) {
			e := f.Events[6]
			e.Note = strings.Replace(e.Note, `"number":7`, `"number":9`, 1)
			f.Events = append(f.Events, e)
		}), says: []string{"entry 9", "by bob", wrongKey, notSigned}},
		{name: "another day", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) {
			f.Events[1].Note = strings.Replace(f.Events[1].Note, `"day":"`, `"day":"1`, 1)
		}), says: []string{"entry 2", "day", notSigned}},
		{name: "another deadline", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) {
			f.Events[5].Note = strings.Replace(f.Events[5].Note, "2099-12-20", "2026-12-20", 1)
		}), says: []string{"entry 6", "by alice", wrongKey, notSigned}},
		{name: "a key twice in an entry", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) {
			f.Events[6].Note = strings.Replace(f.Events[6].Note, `"number":7`, `"number":7,"number":7`, 1)
		}), says: []string{"entry 7", "not spelled as events are", notSigned}},
		{name: "a key in capitals in an entry", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) {
			f.Events[6].Note = strings.Replace(f.Events[6].Note, `"tip":`, `"TIP":`, 1)
		}), says: []string{"entry 7", "not spelled as events are", notSigned}},
		{name: "a part of an entry that is not known", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) {
			f.Events[6].Note = strings.Replace(f.Events[6].Note, `"tip":`, `"state":"closed","tip":`, 1)
		}), says: []string{"entry 7", `unknown field "state"`, notSigned}},
		{name: "something behind an entry", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) {
			f.Events[6].Note = strings.Replace(f.Events[6].Note, "}\n\n— ", "}{}\n\n— ", 1)
		}), says: []string{"entry 7", "something stands behind its end", notSigned}},
		{name: "an entry that is not UTF-8", types: "case ONE", tell: altered("", func(l *liar, body []byte) []byte {
			return bytes.Replace(body, []byte(`2099-12-20`), []byte("2099-12-2\xff"), 1)
		}), says: []string{"entry 6", "deadline", notSigned}},

		// Dropped, reordered, rolled back.
		{name: "without the first entry", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Events = f.Events[1:] }),
			says: []string{"entry 1", "number 2 where 1 must be", notSigned}},
		{name: "without one in the middle", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Events = slices.Delete(f.Events, 3, 4) }),
			says: []string{"entry 4", "number 5 where 4 must be", notSigned}},
		{name: "without the last", types: "case ONE", tell: rollback,
			says: []string{"the server shows 7 entries, and has shown 8: it has taken some back", notSigned}},
		{name: "without any", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Events = nil }),
			says: []string{"has no events", notSigned}},
		{name: "in another order", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Events[5], f.Events[6] = f.Events[6], f.Events[5] }),
			says: []string{"entry 6", "number 7 where 6 must be", notSigned}},
		{name: "rolled back to its beginning", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Events, f.Head = f.Events[:1], sha([]byte(f.Events[0].Note)) }),
			says: []string{"the server shows 1 entries, and has shown 8: it has taken some back", notSigned}},
		{name: "rolled back, to have a vote cast without another", types: "finding ONE unsubstantiated -m no", tell: rollback,
			says: []string{"it has taken some back", notSigned}},
		{name: "rolled back, to have another tip declined for it", types: "decline TWO --duplicate-of ONE -m known", tell: rollback,
			says: []string{"the tip that came first, ONE", "it has taken some back", notSigned}},
		{name: "rolled back, and filled up with entries that are lost", types: "read ONE", tell: of(func(l *liar, f *tipbox.TipFile) {
			for n := 2; n < 8; n++ {
				f.Events[n] = tipbox.SealedEvent{}
			}
			f.Head = sha(nil)
		}), says: []string{"what follows entry 8 does not follow the one that the server has shown before: it shows two histories", notSigned}},

		{name: "that there is no such tip", types: "read ONE", tell: func(l *liar) {
			says("/tips/"+l.one, http.StatusNotFound, `{"code":"not_found","message":"tip: not found"}`)(l)
		}, says: []string{"the desk says: tip: not found", "It was there, with 8 entries: it was erased since, or the server hides it"}},

		// Said to be lost.
		{name: "an entry that is lost", types: "read ONE", tell: lost(4), says: []string{"message 4", "damaged or missing on the server", notSigned}},
		{name: "the last entry is lost", types: "read ONE", tell: lost(8), says: []string{"message 8", "damaged or missing on the server", notSigned}},
		{name: "an entry is lost, of the case", types: "case ONE", tell: lost(4), says: []string{"message 4", "damaged or missing on the server", notSigned}},
		{name: "an entry is lost, to have a step taken that is not due", types: "ask ONE -m which", tell: lost(4),
			says: []string{"rule path", "an entry of the case is lost on the server, so nobody can tell how far it is"}},
		{name: "the first is lost, to have somebody let in who was left out", types: "grant ONE rita", tell: lost(1),
			says: []string{"rule grant", "it cannot be read whom the source left out"}},
		{name: "its message is lost, for the same", types: "grant ONE rita", tell: of(func(l *liar, f *tipbox.TipFile) { f.Events[0].Sealed = nil }),
			says: []string{"rule grant", "it cannot be read whom the source left out"}},
		{name: "the first is lost, to read the answers to the source", types: "reply ONE -m yes", tell: of(func(l *liar, f *tipbox.TipFile) {
			f.Events[0], f.Reply = tipbox.SealedEvent{}, must(receipt.New().ReplyIdentity()).Recipient().String()
		}), says: []string{"its first message, which says whom to answer, is lost"}},

		// Swapped.
		{name: "the server as whom to answer", types: "reply ONE -m yes", tell: of(func(l *liar, f *tipbox.TipFile) {
			f.Reply = must(receipt.New().ReplyIdentity()).Recipient().String()
		}), says: []string{"the recipient for replies is not the source's", notSigned}},
		{name: "messages swapped", types: "read ONE", tell: of(func(l *liar, f *tipbox.TipFile) {
			f.Events[0].Sealed, f.Events[2].Sealed = f.Events[2].Sealed, f.Events[0].Sealed
		}), says: []string{"message 3", "is not the one that was signed", notSigned}},
		{name: "messages swapped, of the case", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) {
			f.Events[0].Sealed, f.Events[2].Sealed = f.Events[2].Sealed, f.Events[0].Sealed
		}), says: []string{"message 3", "is not the one that was signed", notSigned}},
		{name: "a message of its own", types: "read ONE", tell: of(func(l *liar, f *tipbox.TipFile) {
			l.event(f, stranger("source"), tipbox.Event{Action: tipbox.ActionMessage})
			f.Events[2].Sealed, f.Events = f.Events[8].Sealed, f.Events[:8]
		}), says: []string{"message 3", "is not the one that was signed", notSigned}},
		{name: "the keyslots of another tip", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Slots = l.file(l.two).Slots }),
			says: []string{`keyslot of tip "TWO" in the place of "ONE"`, notSigned}},
		{name: "another tip", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { *f = *l.file(l.two) }),
			says: []string{`keyslot of tip "TWO" in the place of "ONE"`, notSigned}},
		{name: "the keyslot of another member", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Slots.Files = f.Slots.Files[1:] }),
			says: []string{"not sealed to this key"}},
		{name: "a damaged keyslot", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Slots.Files[0][len(f.Slots.Files[0])-1] ^= 1 }),
			says: []string{"opening a keyslot", "damaged or altered", notSigned}},
		{name: "no keyslots", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Slots = nil }),
			says: []string{"has no keyslots", notSigned}},
		{name: "keyslots of another kind", types: "case ONE", tell: of(func(l *liar, f *tipbox.TipFile) { f.Slots.Threshold = 2 }),
			says: []string{"threshold 2, which this version cannot open"}},
		// Who once read the tip has its key, and can make keyslots that open it. Of a
		// channel with other rules it is not all the same.
		{name: "a keyslot for another channel, with the help of one who had the key", types: "case ONE", newcomer: true, tell: of(func(l *liar, f *tipbox.TipFile) {
			slot := l.Open("alice", l.one).Slot
			f.Slots = must(seal.SealKeyslots(seal.NewKeyslot("bribery", slot.Source, slot.Key), l.Member("alice").Card.Recipient))
		}), says: []string{`it is shown as one of channel "bribery", and the source sent it to off-book-funds`, notSigned}},
		// The id is a hash of the tip's key and the source's. So a server can
		// make up a tip, as any source can, but not under the id of one.
		{name: "a tip of its own in place of one", types: "case ONE", newcomer: true, tell: of(func(l *liar, f *tipbox.TipFile) { f.Slots = own(l, "") }),
			says: []string{"keyslot of tip", `in the place of "ONE"`, notSigned}},
		{name: "a tip of its own that says it is that one", types: "case ONE", newcomer: true, tell: of(func(l *liar, f *tipbox.TipFile) { f.Slots = own(l, l.one) }),
			says: []string{"keyslot with a key of another tip", notSigned}},

		// Attachments.
		{name: "attachments swapped", types: "save ONE -o OUT", tell: blobs(func(l *liar, n int, sealed []byte) []byte {
			return l.Stored()["blob "+l.Open("alice", l.one).Messages[0].Files[2-n].Blob]
		}), says: []string{"message 1, file 1 (a.txt)", "message 1, file 2 (b.txt)", "damaged or altered", notSigned}},
		{name: "an attachment of another tip", types: "save ONE -o OUT", tell: blobs(func(l *liar, n int, sealed []byte) []byte {
			return l.Stored()["blob "+l.Open("alice", l.two).Messages[0].Files[0].Blob]
		}), says: []string{"message 1, file 1 (a.txt)", "is not the one that was signed", notSigned}},
		{name: "an attachment cut off", types: "save ONE -o OUT", tell: blobs(func(l *liar, n int, sealed []byte) []byte { return sealed[:len(sealed)-1] }),
			says: []string{"message 1, file 2 (b.txt)", "damaged or altered", notSigned}},
		{name: "an attachment of its own", types: "save ONE -o OUT", tell: blobs(func(l *liar, n int, sealed []byte) []byte {
			return must(seal.Message([]byte("first file"), l.Open("alice", l.one).Slot.Key.Recipient()))
		}), says: []string{"message 1, file 1 (a.txt)", "damaged or altered", notSigned}},
		{name: "no attachment", types: "save ONE -o OUT", tell: blobs(func(l *liar, n int, sealed []byte) []byte { return nil }),
			says: []string{"message 1, file 1 (a.txt)", "damaged or altered", notSigned}},
		{name: "an attachment without end", types: "save ONE -o OUT", tell: func(l *liar) {
			l.tell(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				truth := recorder{httptest.NewRecorder()}
				l.desk().ServeHTTP(truth, r)
				_, err := w.Write(truth.Body.Bytes())
				for err == nil && strings.Contains(r.URL.Path, "/blobs/") {
					_, err = w.Write(make([]byte, 64<<10))
				}
			}))
		}, says: []string{"message 1, file 1 (a.txt)", "damaged or altered", notSigned}},
		{name: "an attachment cut off, for an export", types: "export ONE -o OUT", tell: blobs(func(l *liar, n int, sealed []byte) []byte { return sealed[:len(sealed)-1] }),
			says: []string{"message-1-file-1.age", "damaged or altered", notSigned}},

		// The roster.
		{name: "an old roster", types: "inbox", tell: altered("/roster", func(l *liar, _ []byte) []byte { return l.oldRoster }),
			says: []string{"the server's roster", "serial 2 after 3", "Somebody may be showing you an old roster to bring back a member who was removed"}},
		{name: "an old roster, to who reads a tip", types: "read ONE", tell: altered("/roster", func(l *liar, _ []byte) []byte { return l.oldRoster }),
			says: []string{"the server's roster", "serial 2 after 3", "Somebody may be showing you an old roster to bring back a member who was removed"}},
		{name: "another roster of the same serial", types: "inbox", tell: altered("/roster", func(l *liar, _ []byte) []byte {
			other := *l.Service.Roster()
			other.Organisation = "Another City"
			return must(other.Sign(l.Root))
		}), says: []string{"two different rosters of serial 3"}},
		{name: "a roster that was altered", types: "inbox", tell: altered("/roster", func(_ *liar, signed []byte) []byte {
			return bytes.Replace(signed, []byte("approver"), []byte("reviewer"), 1)
		}), says: []string{"the server's roster", "by root", wrongKey, notSigned}},
		{name: "a newer roster by another root key", types: "read ONE", tell: altered("/roster", func(l *liar, _ []byte) []byte {
			newer := *l.Service.Roster()
			newer.Serial++
			return must(newer.Sign(stranger("root")))
		}), says: []string{"the server's roster", "by root", wrongKey, notSigned}},
		{name: "a roster without a signature", types: "inbox", tell: altered("/roster", func(_ *liar, signed []byte) []byte {
			return signed[:bytes.LastIndex(signed, []byte("\n\n"))+1]
		}), says: []string{"the server's roster", wrongKey, notSigned}},
		{name: "a page as the roster", types: "inbox", tell: altered("/roster", func(*liar, []byte) []byte { return []byte("<html>") }),
			says: []string{"the server's roster", wrongKey, notSigned}},
		{name: "a roster without end", types: "inbox", tell: endless("/roster"), says: []string{"the desk's answer is over 2097152 bytes"}},

		// Answers that are none.
		{name: "a page as a tip", types: "read ONE", tell: altered("", func(_ *liar, body []byte) []byte {
			return bytes.Replace(body, []byte(`{"tip"`), []byte("<html>\x1b[2J"), 1)
		}), says: []string{noAnswer}},
		{name: "something behind a tip", types: "read ONE", tell: func(l *liar) {
			l.alter("/tips/"+l.one, func(body []byte) []byte { return append(body, "{}"...) })
		}, says: []string{noAnswer}},
		{name: "a tip of another shape", types: "read ONE", tell: func(l *liar) { says("/tips/"+l.one, http.StatusOK, "[]")(l) }, says: []string{noAnswer}},
		{name: "nothing", types: "inbox", tell: says("/inbox", http.StatusOK, ""), says: []string{noAnswer}},
		{name: "a page", types: "inbox", tell: says("/inbox", http.StatusOK, "<html>\x1b[2J"), says: []string{noAnswer}},
		{name: "a page that blows up", types: "inbox", tell: func(l *liar) {
			var bomb bytes.Buffer
			z := gzip.NewWriter(&bomb)
			z.Write(make([]byte, 8<<20))
			z.Close()
			l.answer(http.MethodGet, "/inbox", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				w.Write(bomb.Bytes())
			})
		}, says: []string{noAnswer}},
		{name: "an inbox without end", types: "inbox", tell: endless("/inbox"), says: []string{"the desk's answer is over 4194304 bytes"}},
		{name: "a page as an error", types: "inbox", tell: says("/inbox", http.StatusInternalServerError, "<html>\x1b[2J"), says: []string{"the desk answered 500"}},
		{name: "an error without end", types: "inbox", tell: says("/inbox", http.StatusInternalServerError, strings.Repeat(" ", 1<<20)), says: []string{"the desk answered 500"}},
		{name: "an error that moves the cursor", types: "inbox", tell: says("/inbox", http.StatusConflict, `{"code":"rule","message":"\u001b[2J\u202e\n--- message 1 ---`+strings.Repeat("z", 1000)+`"}`),
			says: []string{"the desk says:  [2J  --- message 1 ---zzz", "z…\n"}},
		{name: "an error of no kind that is known", types: "inbox", tell: says("/inbox", http.StatusConflict, `{"code":"\u001b[2J","message":"\u001b[2J"}`),
			says: []string{"the desk says: it failed"}},

		// Pages.
		{name: "the same page for ever", types: "inbox", tell: func(l *liar) { l.alterInbox(func(p *desk.InboxPage) { p.Next = "0" }) }, says: []string{noSense, notSigned}},
		{name: "the same page of deadlines for ever", types: "due", tell: func(l *liar) { l.alterInbox(func(p *desk.InboxPage) { p.Next = "0" }) }, says: []string{noSense, notSigned}},
		{name: "a command as the name of a tip", types: "inbox", tell: func(l *liar) { l.alterInbox(func(p *desk.InboxPage) { p.Items[0].Tip = "x;reboot" }) },
			says: []string{noNames, notSigned}},
		{name: "a path as the name of a tip", types: "due", tell: func(l *liar) { l.alterInbox(func(p *desk.InboxPage) { p.Items[0].Tip = "../../" + l.one }) },
			says: []string{noNames, notSigned}},
		{name: "a command as a cursor", types: "inbox --limit 1", tell: func(l *liar) { l.alterInbox(func(p *desk.InboxPage) { p.Next = "z;reboot" }) },
			says: []string{noNames, notSigned}},
		{name: "empty pages for ever", types: "inbox --now", tell: empty, says: []string{noSense, notSigned}},
		{name: "empty pages of deadlines for ever", types: "due", tell: empty, says: []string{noSense, notSigned}},
		{name: "more than was asked for", types: "inbox --limit 1", tell: func(l *liar) { l.alterInbox(func(p *desk.InboxPage) { p.Items = append(p.Items, p.Items...) }) }, says: []string{noSense, notSigned}},
	}
}

// TestLiarIsCaught tells each lie to a member, and then the truth.
func TestLiarIsCaught(t *testing.T) {
	o := newOffice(t)
	for _, lie := range lies() {
		t.Run(lie.name, func(t *testing.T) {
			l := o.copy(t).serve(t)
			words := strings.NewReplacer("ONE", l.one, "TWO", l.two, "OUT", filepath.Join(t.TempDir(), "out"))
			args := strings.Fields(words.Replace(lie.types))
			if !lie.newcomer {
				l.ok("alice", "case", l.one)
				l.ok("alice", "case", l.two)
			}
			home, stored := contents(t, l.home("alice")), l.Stored()
			lie.tell(l)
			status, stdout, stderr := l.tipbox("alice", args...)
			if status != exitFailed {
				t.Errorf("status %d\n%s%s", status, stdout, stderr)
			}
			for _, word := range lie.says {
				if word = words.Replace(word); !strings.Contains(stderr, word) {
					t.Errorf("the member is not told %q:\n%s", word, stderr)
				}
			}
			undeceived(t, stdout+stderr)
			if strings.Contains(stdout, "forged") {
				t.Errorf("the member reads what nobody wrote:\n%s", stdout)
			}
			if !maps.Equal(contents(t, l.home("alice")), home) {
				t.Error("the home has changed")
			}
			if !maps.EqualFunc(l.Stored(), stored, bytes.Equal) || len(l.posted) > 0 {
				t.Errorf("something was done at the desk, or asked for: %q", l.posted)
			}
			if out := args[len(args)-1]; slices.Contains(args, "-o") {
				if _, err := os.Stat(out); err == nil && len(contents(t, out)) > 0 {
					t.Errorf("files were left: %v", contents(t, out))
				}
			}
			l.tell(nil)
			l.ok("alice", args...)
		})
	}
}

// undeceived checks that nothing moves a cursor or hides.
func undeceived(t *testing.T, out string) {
	t.Helper()
	for _, r := range out {
		if r != '\n' && hidesOrMoves(r) {
			t.Errorf("the terminal gets %U", r)
		}
	}
}

// TestRolledBackTipStopsEveryCommand tries each command that takes a tip.
func TestRolledBackTipStopsEveryCommand(t *testing.T) {
	l := newOffice(t).serve(t)
	l.ok("alice", "read", l.one)
	home, stored := contents(t, l.home("alice")), l.Stored()
	of(func(_ *liar, f *tipbox.TipFile) { f.Events, f.Head = f.Events[:7], sha([]byte(f.Events[6].Note)) })(l)
	more := map[string]string{
		"reply": "-m x", "ack": "-m x", "accept": "", "decline": "--scope -m x", "assign": "bob --due 2099-12-20", "grant": "rita", "note": "-m x",
		"ask": "-m x", "finding": "partly -m x", "recover": "1 CNY --found", "answer": "-m x", "close": "-m x", "reverify": "-m x", "hold": "-m x",
		"release": "", "erase": "--yes", "read": "", "case": "", "save": "-o OUT", "export": "-o OUT", "refer": "--to X --tick 1 -o OUT -m x",
		"award": "--rate 4 -m x", "inform": "1",
	}
	others := map[string]string{
		"fetch":  "opens nothing, and what it fetched is opened below",
		"awards": "is for approvers, who open no message", "approve": "likewise", "refuse": "likewise", "issue": "likewise",
	}
	parser, err := kong.New(new(commands), kong.Vars{"home": ""})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range parser.Model.Children {
		if len(c.Positional) == 0 || c.Positional[0].Name != "tip" {
			continue
		}
		args, there := more[c.Name]
		if !there {
			if others[c.Name] == "" {
				t.Errorf("tipbox %s takes a tip and is not tried: enter it above", c.Name)
			}
			continue
		}
		out := filepath.Join(t.TempDir(), "out")
		l.fails("alice", exitFailed, "it has taken some back", strings.Fields(c.Name+" "+l.one+" "+strings.ReplaceAll(args, "OUT", out))...)
		if _, err := os.Stat(out); err == nil {
			t.Errorf("tipbox %s wrote %v", c.Name, contents(t, out))
		}
	}
	bundle := filepath.Join(t.TempDir(), "tips.bundle")
	l.ok("alice", "fetch", l.one, "-o", bundle)
	l.fails("alice", exitFailed, "it has taken some back", "--bundle", bundle, "read", l.one)
	if !maps.Equal(contents(t, l.home("alice")), home) {
		t.Error("the home has changed")
	}
	if !maps.EqualFunc(l.Stored(), stored, bytes.Equal) || len(l.posted) > 0 {
		t.Errorf("something was done at the desk, or asked for: %q", l.posted)
	}
}

// TestTwoHistories has a server fork a case, alice act in one and bob in the
// other.
func TestTwoHistories(t *testing.T) {
	o := newOffice(t)
	other := o.copy(t).serve(t)
	l := o.serve(t)
	show := map[string]http.Handler{"alice": l.desk(), "bob": other.desk(), "carol": l.desk()}
	l.tell(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { show[l.asks(r)].ServeHTTP(w, r) }))
	head := func(member string) string {
		t.Helper()
		for line := range strings.Lines(l.ok(member, "case", l.one)) {
			if head, ok := strings.CutPrefix(line, "head:"); ok {
				return strings.TrimSpace(head)
			}
		}
		t.Fatal("no head")
		return ""
	}
	if head("alice") != head("bob") {
		t.Fatal("two heads of one history")
	}
	l.ok("alice", "note", l.one, "-m", "the books agree")
	l.ok("bob", "note", l.one, "-m", "they do not")
	if a, b := head("alice"), head("bob"); a == b || !strings.HasPrefix(a, "9 ") || !strings.HasPrefix(b, "9 ") {
		t.Errorf("the heads to compare are %s and %s", a, b)
	}
	if head("alice") != head("carol") {
		t.Error("carol, who is shown the same, has another head")
	}
	forked := "entry 9 is another than the one that the server has shown before: it shows two histories"
	caught := func(member string, words string, args ...string) {
		t.Helper()
		home, stored, posts := contents(t, l.home(member)), l.Stored(), len(l.posted)
		l.fails(member, exitFailed, words, args...)
		l.fails(member, exitFailed, notSigned, args...)
		if !maps.Equal(contents(t, l.home(member)), home) || !maps.EqualFunc(l.Stored(), stored, bytes.Equal) || len(l.posted) > posts {
			t.Errorf("%s, tipbox %v: something has changed", member, args)
		}
	}
	show["bob"] = l.desk()
	caught("bob", forked, "case", l.one)
	caught("bob", forked, "ask", l.one, "-m", "which?")
	l.ok("alice", "case", l.one)
	show["alice"], show["bob"] = other.desk(), other.desk()
	caught("alice", forked, "case", l.one)
	l.ok("bob", "case", l.one)

	// However the one history goes on, it is not the other.
	l.ok("bob", "note", l.one, "-m", "not at all")
	caught("alice", forked, "case", l.one)
	// Nor if the entry where they part is said to be lost.
	show["alice"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { other.ServeHTTP(w, r) })
	other.alterTip(l.one, func(f *tipbox.TipFile) { f.Events[8] = tipbox.SealedEvent{} })
	caught("alice", "what follows entry 9 does not follow the one that the server has shown before: it shows two histories", "case", l.one)

	// If that behind it is lost too nobody can tell, and the memory of the own
	// history stays.
	l.ok("bob", "note", l.one, "-m", "why would they")
	other.alterTip(l.one, func(f *tipbox.TipFile) { f.Events[8], f.Events[9] = tipbox.SealedEvent{}, tipbox.SealedEvent{} })
	caught("alice", "damaged or missing on the server", "case", l.one)

	// Nor does one who has seen neither take a list of both.
	show["carol"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { other.ServeHTTP(w, r) })
	other.alterTip(l.one, func(f *tipbox.TipFile) { f.Events[8] = l.file(l.one).Events[8] })
	if err := os.RemoveAll(filepath.Join(l.home("carol"), "heads")); err != nil {
		t.Fatal(err)
	}
	caught("carol", "entry 10: it does not follow the event before it", "case", l.one)

	// With its own history each goes on.
	show["alice"] = l.desk()
	l.ok("alice", "case", l.one)
}

// TestStruckMemberHelpsTheServer gives the server the key of dora.
func TestStruckMemberHelpsTheServer(t *testing.T) {
	o := newOffice(t)
	for name, c := range map[string]struct {
		key   string
		event tipbox.Event
		says  string
	}{
		"a struck member's": {"dora", tipbox.Event{Action: tipbox.ActionDecline}, "entry 3, by dora, is void: rule key"},
		"an approver's":     {"peter", tipbox.Event{Action: tipbox.ActionDecline}, "entry 3, by peter, is void: rule key"},
		"out of turn":       {"bob", tipbox.Event{Action: tipbox.ActionAnswer}, "entry 3, by bob, is void: rule path"},
	} {
		t.Run(name, func(t *testing.T) {
			l := o.copy(t).serve(t)
			l.ok("alice", "case", l.two)
			bent := l.file(l.two)
			l.event(bent, l.Key(c.key).SigningKey, c.event)
			l.alterTip(l.two, func(f *tipbox.TipFile) { *f = *bent })
			status, stdout, stderr := l.tipbox("alice", "case", l.two)
			if status != exitFailed || !strings.Contains(stderr, "members did what the rules forbid: see above, and tell the root key's holder") {
				t.Errorf("status %d: %s", status, stderr)
			}
			for _, words := range []string{l.two + ", off-book-funds: acknowledged\n", "AGAINST THE RULES: " + c.says} {
				if !strings.Contains(stdout, words) {
					t.Errorf("no %q in:\n%s", words, stdout)
				}
			}
			if got := l.ok("bob", "read", l.two); !strings.Contains(got, "[counts for nothing: rule ") {
				t.Errorf("what counts for nothing reads as if it did:\n%s", got)
			}
			if status, _, _ := l.tipbox("alice", "--json", "case", l.two); status != exitFailed {
				t.Error("with --json it does not fail")
			}
			// What was shown cannot be taken back.
			l.tell(nil)
			l.fails("alice", exitFailed, "it has taken some back", "case", l.two)
		})
	}
	t.Run("dated ahead", func(t *testing.T) {
		l := o.copy(t).serve(t)
		bent := l.file(l.two)
		l.event(bent, l.Key("bob").SigningKey, tipbox.Event{Action: tipbox.ActionNote, Day: "2099-01-01"})
		l.alterTip(l.two, func(f *tipbox.TipFile) { *f = *bent })
		for _, command := range []string{"case", "read"} {
			if _, _, stderr := l.tipbox("alice", command, l.two); !strings.Contains(stderr, "entry 3 of tip "+l.two+" is dated 2099-01-01") {
				t.Errorf("tipbox %s says of the day: %s", command, stderr)
			}
		}
	})
	t.Run("dated back", func(t *testing.T) {
		l := o.copy(t).serve(t)
		l.alterTip(l.two, func(f *tipbox.TipFile) {
			l.event(f, l.Key("dora").SigningKey, tipbox.Event{Action: tipbox.ActionDecline, Day: "2026-11-22"})
		})
		l.fails("alice", exitFailed, "its day 2026-11-22 is before the last", "case", l.two)
		l.tell(nil)
		l.ok("alice", "case", l.two)
	})
	// Not noticed: the roster says until when dora was a member, and an entry of hers
	// can be dated then as long as the desk has done nothing since.

	// A vote that counts for nothing completes no quorum.
	t.Run("a vote", func(t *testing.T) {
		l := o.copy(t).serve(t)
		bent := l.file(l.one)
		l.event(bent, l.Key("dora").SigningKey, tipbox.Event{Action: tipbox.ActionFinding})
		l.alterTip(l.one, func(f *tipbox.TipFile) { *f = *bent })
		l.tipbox("alice", "finding", l.one, "unsubstantiated", "-m", "I agree with dora")
		if len(l.posted) != 1 || !strings.Contains(l.posted[0], `\"action\":\"finding\"`) || strings.Contains(l.posted[0], `\"decides\"`) {
			t.Errorf("alice signs %s", l.posted)
		}
	})
	// Who decides alone what takes two is found out where the server sees nothing.
	t.Run("a finding of one", func(t *testing.T) {
		l := o.copy(t).serve(t)
		bent := l.file(l.one)
		l.event(bent, l.Key("carol").SigningKey, tipbox.Event{Action: tipbox.ActionFinding, Decides: true})
		l.alterTip(l.one, func(f *tipbox.TipFile) { *f = *bent })
		status, stdout, _ := l.tipbox("alice", "case", l.one)
		if want := "AGAINST THE RULES: entry 9: carol made a finding of 1 votes where 2 agree must"; status != exitFailed || !strings.Contains(stdout, want) {
			t.Errorf("status %d: no %q in\n%s", status, want, stdout)
		}
		l.fails("alice", exitFailed, "members did what the rules forbid, so look first", "answer", l.one, "-m", "it was so")
		if len(l.posted) > 0 {
			t.Error("it was answered")
		}
	})
	// So is who lets in whom the source left out.
	t.Run("a grant", func(t *testing.T) {
		l := o.copy(t).serve(t)
		l.fails("alice", exitFailed, "rule grant: the source left emil out", "grant", l.one, "emil")
		if len(l.posted) > 0 {
			t.Error("it was granted")
		}
		bent := l.file(l.one)
		l.bent(bent, l.Key("bob").SigningKey, tipbox.Event{Action: tipbox.ActionGrant, Member: "emil", Slot: sha(nil)}, func(e *tipbox.Event) { e.Sealed = "" })
		l.alterTip(l.one, func(f *tipbox.TipFile) { *f = *bent })
		status, stdout, _ := l.tipbox("alice", "case", l.one)
		if want := "AGAINST THE RULES: entry 9: bob let in emil, whom the source left out"; status != exitFailed || !strings.Contains(stdout, want) {
			t.Errorf("status %d: no %q in\n%s", status, want, stdout)
		}
	})
}

// TestEntryThatIsTakenAndNotKept has the server say that it took an entry, and
// drop it.
func TestEntryThatIsTakenAndNotKept(t *testing.T) {
	l := newOffice(t).serve(t)
	taken := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		w.Write([]byte("{}"))
	}
	l.answer(http.MethodPost, "/tips/"+l.one+"/events", taken)
	l.fails("alice", exitFailed, "it has taken some back", "finding", l.one, "substantiated", "-m", "I agree")
	// To read the case again is for what is done next.
	l.answer(http.MethodPost, "/tips/"+l.two+"/events", taken)
	l.ok("alice", "reply", l.two, "-m", "thank you")
	l.fails("alice", exitFailed, "it has taken some back", "read", l.two)
	// Nor does another entry in its place help.
	l.tell(nil)
	l.ok("bob", "reply", l.two, "-m", "thanks")
	l.fails("alice", exitFailed, "it shows two histories", "read", l.two)
}

// TestWithheldVoteDecidesNothing has bob change his vote, and the server withhold
// the later one from who votes as he did before.
func TestWithheldVoteDecidesNothing(t *testing.T) {
	o := newOffice(t)
	o.Act("bob", o.one, vote(tipbox.Unsubstantiated))
	l := o.serve(t)
	l.alterTip(l.one, func(f *tipbox.TipFile) { f.Events[8].Sealed = nil })
	l.tipbox("alice", "finding", l.one, "substantiated", "-m", "I agree with what bob said first")
	l.tell(nil)
	if got := l.Open("bob", l.one); got.Case.State != tipbox.StateInvestigating || len(got.Faults) > 0 {
		t.Errorf("the case is %s, with faults %q", got.Case.State, got.Faults)
	}
}

// TestNonsenseOfAStruckMemberIsRefused has dora sign what no tool would.
func TestNonsenseOfAStruckMemberIsRefused(t *testing.T) {
	l := newOffice(t).serve(t)
	l.ok("alice", "case", l.one)
	home := contents(t, l.home("alice"))
	file := tipbox.EventFile{Blob: l.two + "aaaaaaaaaaaaaaaa", Sealed: 1, SHA256: sha(nil)}
	for _, c := range []struct {
		says string
		bend func(e *tipbox.Event)
	}{
		{"action", func(e *tipbox.Event) { e.Action = "dance" }},
		{"number", func(e *tipbox.Event) { e.Action, e.Reply = tipbox.ActionTip, sha(nil) }},
		{"number", func(e *tipbox.Event) { e.Number = 1 }},
		{"number 10 where 9 must be", func(e *tipbox.Event) { e.Number = 10 }},
		{"hash", func(e *tipbox.Event) { e.Before = "" }},
		{"it does not follow the event before it", func(e *tipbox.Event) { e.Before = sha(nil) }},
		{"it belongs to tip " + l.two, func(e *tipbox.Event) { e.Tip = l.two }},
		{"tip id", func(e *tipbox.Event) { e.Tip = "../../x" }},
		{"day", func(e *tipbox.Event) { e.Day = "today" }},
		{"day", func(e *tipbox.Event) { e.Day = "9999-12-31" }},
		{"hash", func(e *tipbox.Event) { e.Sealed = "x" }},
		{"message", func(e *tipbox.Event) { e.Sealed = "" }},
		{"message", func(e *tipbox.Event) { e.Action = tipbox.ActionErase }},
		{"reply recipient", func(e *tipbox.Event) { e.Reply = sha(nil) }},
		{"once", func(e *tipbox.Event) { e.Once = "x" }},
		{"owner and deadline", func(e *tipbox.Event) { e.Owner, e.Due = "dora", "2099-12-20" }},
		{"owner and deadline", func(e *tipbox.Event) { e.Action, e.Owner, e.Due = tipbox.ActionAssign, "dora", "soon" }},
		{"owner", func(e *tipbox.Event) { e.Action, e.Owner, e.Due = tipbox.ActionAssign, "\u202ebob", "2099-12-20" }},
		{"vote", func(e *tipbox.Event) { e.Decides = true }},
		{"grant", func(e *tipbox.Event) { e.Member, e.Slot = "dora", sha(nil) }},
		{"file", func(e *tipbox.Event) { e.Files = []tipbox.EventFile{file} }},
	} {
		bent := l.file(l.one)
		l.bent(bent, l.Key("dora").SigningKey, tipbox.Event{Action: tipbox.ActionNote}, c.bend)
		l.alterTip(l.one, func(f *tipbox.TipFile) { *f = *bent })
		status, stdout, stderr := l.tipbox("alice", "case", l.one)
		undeceived(t, stdout+stderr)
		if status != exitFailed || !strings.Contains(stderr, "entry 9: ") || !strings.Contains(stderr, c.says+": ") || !strings.Contains(stderr, notSigned) {
			t.Errorf("status %d, want %q in: %s", status, c.says, stderr)
		}
	}
	if !maps.Equal(contents(t, l.home("alice")), home) {
		t.Error("the home has changed")
	}
	l.tell(nil)
	l.ok("alice", "case", l.one)
}

// TestDamagedMemoryIsNotForgotten has the home not know what it saw last.
func TestDamagedMemoryIsNotForgotten(t *testing.T) {
	l := newOffice(t).serve(t)
	l.ok("alice", "case", l.one)
	head := filepath.Join(l.home("alice"), "heads", l.one)
	if err := os.WriteFile(head, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.fails("alice", exitFailed, head, "case", l.one)
	if got, err := os.ReadFile(head); err != nil || string(got) != "{" {
		t.Errorf("the memory is now %q, %v", got, err)
	}
}

// TestWhatIsNotSignedIsNotBelieved lies where no signature is: it changes nothing
// of what the tool says.
func TestWhatIsNotSignedIsNotBelieved(t *testing.T) {
	l := newOffice(t).serve(t)
	want := l.ok("alice", "case", l.one)
	for name, tell := range map[string]func(l *liar){
		"the tip's name":   of(func(l *liar, f *tipbox.TipFile) { f.Tip = l.two }),
		"its channel":      of(func(l *liar, f *tipbox.TipFile) { f.Channel = "bribery\x1b[2J" }),
		"its day":          of(func(l *liar, f *tipbox.TipFile) { f.Day = "1999-01-01" }),
		"its head":         of(func(l *liar, f *tipbox.TipFile) { f.Head = sha(nil) }),
		"one keyslot more": of(func(l *liar, f *tipbox.TipFile) { f.Slots.Files = append(own(l, "").Files, f.Slots.Files...) }),
		"keys in capitals": altered("/tips/"+l.one, func(_ *liar, body []byte) []byte {
			return bytes.Replace(body, []byte(`"events"`), []byte(`"EVENTS"`), 1)
		}),
		"a key twice": altered("/tips/"+l.one, func(_ *liar, body []byte) []byte {
			return bytes.Replace(body, []byte(`"events"`), []byte(`"events":[],"events"`), 1)
		}),
		"keys of no kind": altered("/tips/"+l.one, func(_ *liar, body []byte) []byte {
			return bytes.Replace(body, []byte(`"events"`), []byte(`"state":"closed","events"`), 1)
		}),
	} {
		tell(l)
		if got := l.ok("alice", "case", l.one); got != want {
			t.Errorf("%s: the tool says\n%s\nand not\n%s", name, got, want)
		}
	}
}

// TestInboxIsNotBelieved has the inbox, which nobody signed, say anything: it
// deceives no terminal, and the tip itself says what is so.
func TestInboxIsNotBelieved(t *testing.T) {
	l := newOffice(t).serve(t)
	want := l.ok("alice", "case", l.one)
	l.alterInbox(func(p *desk.InboxPage) {
		for i, item := range p.Items {
			p.Items[i] = tipbox.InboxItem{
				Tip: item.Tip, Channel: deceits, Day: deceits, News: deceits, From: deceits, Messages: -1, Files: -1, Readers: []string{deceits},
				State: deceits, Owner: deceits, Due: deceits, DueFor: deceits, Hold: true,
				Votes: []string{deceits}, Recused: []string{deceits}, Took: []string{deceits}, Worked: []string{deceits},
			}
		}
	})
	for args, lines := range map[string]int{"inbox": 3, "--json inbox": 2, "due": 3, "--json due": 2, "due --ics": 0} {
		_, stdout, stderr := l.tipbox("alice", strings.Fields(args)...)
		undeceived(t, stdout+stderr)
		if got := strings.Count(stdout, "\n"); got != lines {
			t.Errorf("tipbox %s: %d lines\n%s", args, got, stdout)
		}
	}
	l.alterInbox(func(p *desk.InboxPage) {
		for i := range p.Items {
			p.Items[i].State, p.Items[i].Owner, p.Items[i].Due, p.Items[i].Messages = tipbox.StateClosed, "alice", "", 1
		}
	})
	l.ok("alice", "inbox")
	if got := l.ok("alice", "case", l.one); got != want {
		t.Errorf("the case is now\n%s", got)
	}
}

// TestRedirectIsNotFollowed has the server send the tool elsewhere.
func TestRedirectIsNotFollowed(t *testing.T) {
	l := newOffice(t).serve(t)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the tool went elsewhere") }))
	defer elsewhere.Close()
	l.tell(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	l.fails("alice", exitFailed, "the desk answered 307", "inbox")
	l.tell(nil)
	l.ok("alice", "inbox")
}

// TestAnotherServerIsNotSpokenTo has one answer whose key the roster does not
// name.
func TestAnotherServerIsNotSpokenTo(t *testing.T) {
	o := newOffice(t)
	l := o.serveAs(t, stranger("desk"))
	l.tell(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the tool asked for something") }))
	l.fails("alice", exitFailed, "the server is not one that the roster names", "inbox")
}

// TestServerThatStalls is interrupted as a person would.
func TestServerThatStalls(t *testing.T) {
	o := newOffice(t)
	interrupt := func(t *testing.T, l *liar, ctx context.Context, args ...string) {
		t.Helper()
		var out bytes.Buffer
		if status := run(ctx, append([]string{"--home", l.home("alice")}, args...), strings.NewReader(""), &out, &out); status != exitFailed {
			t.Errorf("status %d: %s", status, out.String())
		}
	}
	t.Run("in an answer", func(t *testing.T) {
		l := o.copy(t).serve(t)
		ctx, cancel := context.WithCancel(t.Context())
		l.answer(http.MethodGet, "/tips/"+l.one, func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte("{"))
			w.(http.Flusher).Flush()
			cancel()
			<-r.Context().Done()
		})
		interrupt(t, l, ctx, "read", l.one)
	})
	t.Run("with pages that never end", func(t *testing.T) {
		l := o.copy(t).serve(t)
		ctx, cancel := context.WithCancel(t.Context())
		pages := 0
		l.alterInbox(func(p *desk.InboxPage) {
			pages++
			for i := range p.Items {
				p.Items[i].State = tipbox.StateClosed // needs nobody
			}
			if p.Next = fmt.Sprintf("0000-00-00/%016d", pages); pages == 20 {
				cancel()
			}
		})
		interrupt(t, l, ctx, "inbox", "--now")
	})
}

// TestBatchSaysWhichTipWasLiedAbout goes on with the others.
func TestBatchSaysWhichTipWasLiedAbout(t *testing.T) {
	l := newOffice(t).serve(t)
	l.ok("alice", "case", l.one)
	of(func(_ *liar, f *tipbox.TipFile) { f.Events = f.Events[:7] })(l)
	var out, errs bytes.Buffer
	in := strings.NewReader("../../" + l.one + "\n" + l.one + "\n" + l.two + "\n")
	status := run(t.Context(), []string{"--home", l.home("alice"), "reply", "-", "-m", "yes"}, in, &out, &errs)
	if status != exitFailed || len(l.posted) != 1 {
		t.Errorf("status %d, %d requests to do something: %s", status, len(l.posted), errs.String())
	}
	for _, words := range []string{"../../" + l.one + " FAILED: this is no tip's name\n", l.one + " FAILED: tip " + l.one + ": the server shows 7 entries, and has shown 8", l.two + " sent\n"} {
		if !strings.Contains(out.String(), words) {
			t.Errorf("no %q in:\n%s", words, out.String())
		}
	}
}
