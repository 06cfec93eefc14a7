package main

import (
	"errors"
	"fmt"
	"io/fs"

	"tipbox/crypto/voucher"
)

// issuingKey reads the issuing key of a denomination from the home's folder issuing.
func (a *app) issuingKey(id string) (*voucher.IssuingKey, error) {
	path := a.rootFile("issuing/" + id + ".key")
	text, err := a.readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not here: get the issuing key of %s from another approver, and put it there", path, id)
	}
	if err != nil {
		return nil, err
	}
	return voucher.ParseIssuingKey(text)
}
