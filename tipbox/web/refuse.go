package web

import (
	"errors"
	"net/http"
	"strings"

	"tipbox/crypto/receipt"
	"tipbox/tipbox"
)

// refuse is the table of what a source is told. It sets the page's notice and
// returns the status, and whether the form needs a new token. What is not in
// the table is our fault or the store's: it is logged, and the source reads
// that nothing was kept.
func (s *site) refuse(r *http.Request, p *page, err error) (status int, newToken bool) {
	say := func(code int, key string, args ...any) (int, bool) {
		p.Notice = p.bad(key, args...)
		return code, false
	}
	var word *receipt.WordError
	var length *receipt.LengthError
	switch {
	case errors.Is(err, errForm):
		return say(http.StatusBadRequest, "error.form")
	case errors.Is(err, tipbox.ErrEmpty):
		return say(http.StatusUnprocessableEntity, "error.empty")
	case errors.Is(err, tipbox.ErrTooLong):
		return say(http.StatusUnprocessableEntity, "error.toolong", tipbox.MaxText)
	case errors.Is(err, tipbox.ErrFileTooLarge):
		return say(http.StatusRequestEntityTooLarge, "error.filetoolarge", p.size(s.service.MaxFile()))
	case errors.Is(err, tipbox.ErrNoRoom):
		return say(http.StatusInsufficientStorage, "error.noroom")
	case errors.Is(err, tipbox.ErrTooManyFiles):
		return say(http.StatusRequestEntityTooLarge, "error.toomanyfiles")
	case errors.Is(err, tipbox.ErrChannel):
		return say(http.StatusUnprocessableEntity, "error.channel")
	case errors.Is(err, tipbox.ErrNoReaders):
		return say(http.StatusUnprocessableEntity, "error.noreaders")
	case errors.Is(err, tipbox.ErrFull):
		return say(http.StatusInsufficientStorage, "error.full")
	case errors.Is(err, tipbox.ErrConflict):
		return say(http.StatusConflict, "error.conflict")
	case errors.Is(err, tipbox.ErrExpired):
		status, _ = say(http.StatusConflict, "error.expired")
		return status, true
	case errors.Is(err, tipbox.ErrRosterChanged):
		status, _ = say(http.StatusConflict, "error.rosterchanged")
		return status, true
	case errors.Is(err, tipbox.ErrReadersChanged):
		status, _ = say(http.StatusConflict, "error.readerschanged")
		return status, true
	case errors.Is(err, tipbox.ErrNoThread):
		return say(http.StatusNotFound, "error.nothread")
	case errors.Is(err, receipt.ErrChecksum):
		return say(http.StatusUnprocessableEntity, "error.code.checksum")
	case errors.As(err, &length) && length.Got == 0:
		return say(http.StatusUnprocessableEntity, "error.code.empty")
	case errors.As(err, &length):
		return say(http.StatusUnprocessableEntity, "error.code.length", length.Got)
	case errors.As(err, &word) && len(word.Nearest) > 0:
		return say(http.StatusUnprocessableEntity, "error.code.near", word.Position, shorten(word.Word), strings.Join(word.Nearest, ", "))
	case errors.As(err, &word):
		return say(http.StatusUnprocessableEntity, "error.code.word", word.Position, shorten(word.Word))
	}
	if r.Context().Err() == nil { // else the client went away, which is no fault
		s.log.Error("nothing was kept", "route", route(r), "error", err)
	}
	return say(http.StatusServiceUnavailable, "error.store")
}

// shorten keeps a mistyped word from filling the page.
func shorten(word string) string {
	const most = 24
	if runes := []rune(word); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return word
}
