package desk

import (
	"errors"
	"net/http"
	"strconv"

	"tipbox/crypto/roster"
	"tipbox/tipbox"
)

// An InboxPage is a page of the inbox.
type InboxPage struct {
	Items []tipbox.InboxItem `json:"items"`
	Next  string             `json:"next,omitempty"` // pass as after; empty at the end
}

// rosterHeader is on every answer: which roster is in force, so that a member's tool
// asks for that only if it has another.
const rosterHeader = "Tipbox-Roster"

func rosterMark(r *roster.Roster) string {
	mark := r.Mark()
	return strconv.Itoa(mark.Serial) + " " + mark.SHA256
}

// An Error is what a refused request is answered with.
type Error struct {
	Code    string `json:"code"`    // a word of the table below
	Message string `json:"message"` // for people
}

// kinds is the table of errors that pass over the wire: the client gets the
// very error that the service returned.
func kinds() []kind {
	return append(paymentKinds(), []kind{
		{"not_found", http.StatusNotFound, tipbox.ErrNotFound},
		{"forbidden", http.StatusForbidden, tipbox.ErrForbidden},
		{"conflict", http.StatusConflict, tipbox.ErrConflict},
		{"rule", http.StatusConflict, tipbox.ErrRule},
		{"too_long", http.StatusRequestEntityTooLarge, tipbox.ErrTooLong},
		{"full", http.StatusInsufficientStorage, tipbox.ErrFull},
		{"refused", http.StatusUnprocessableEntity, ErrRefused},
	}...)
}

type kind struct {
	code   string
	status int
	err    error
}

// ErrRefused means that the server took the request for malformed or out of
// place. It is the server's tipbox.ErrInvalid, which at this end would say that
// something of the server's did not verify.
var ErrRefused = errors.New("the server refused it")

// errInternal is the answer to whatever is not in the table: the operator
// finds the detail in the log.
var errInternal = errors.New("the server failed: its operator finds the reason in its log")

const codeInternal = "internal"
