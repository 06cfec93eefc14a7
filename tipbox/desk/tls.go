// Package desk is the members' HTTP API: what goes over the wire, the handler
// and the client, side by side.
//
// What it guarantees:
//
//   - TLS 1.3 only, both ends named by Ed25519 keys and not by authorities: the
//     server accepts only keys that are in the roster as it stands, at the
//     handshake and again at every request; the client accepts only a server
//     that the roster names.
//   - A member whom the roster does not allow learns nothing of a tip, not even
//     that it exists; but see tipbox.Service.Sample for what reviewers get.
//   - The client bounds what it reads and gives the service's own errors, so
//     that a tool says the same whatever is between it and the service. What it
//     returns is not to be believed before tipbox.OpenTip has checked it.
//
// Requests and answers are JSON, attachments are raw bytes:
//
//	GET  /v1/roster                  the signed roster
//	GET  /v1/inbox?after=&limit=     InboxPage
//	GET  /v1/tips/{tip}              tipbox.TipFile
//	GET  /v1/tips/{tip}/blobs/{blob} bytes; ranges
//	POST /v1/tips/{tip}/events       tipbox.SealedEvent
//	GET  /v1/awards?after=           AwardPage, for approvers
//	GET  /v1/awards/{tip}            tipbox.TipFile, for approvers
//	GET  /v1/payouts?after=&all      tipbox.PayoutPage, for payers
//	POST /v1/payments                PaymentRequest, by payers
//	GET  /v1/payments?after=         tipbox.PaymentPage, for payers
//	GET  /v1/payments/{key}          a signed note, for payers: see tipbox.Payment
//	GET  /v1/accounts?from=&to=      tipbox.Accounts
//	GET  /v1/figures?from=&to=       tipbox.Figures
//	GET  /v1/sample?month=           tipbox.Population
//
// An error is an Error with a status of 4xx or 5xx.
package desk

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"tipbox/crypto/roster"
)

// ErrPeer means that the other end's key is not one the roster names.
var ErrPeer = errors.New("the other end's key is not in the roster")

// certificate is a self-signed certificate over a signing key. It says nothing
// else: who it belongs to is in the roster.
func certificate(key *roster.SigningKey) (tls.Certificate, error) {
	signer, err := key.Signer()
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, 4.1.2.5: no end
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer}, nil
}

// peerKey is the Ed25519 key that the other end has proven to hold.
func peerKey(state *tls.ConnectionState) (ed25519.PublicKey, error) {
	if state == nil || len(state.PeerCertificates) != 1 {
		return nil, fmt.Errorf("no certificate: %w", ErrPeer)
	}
	key, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("not an Ed25519 key: %w", ErrPeer)
	}
	return key, nil
}

// tlsConfig is what both ends share. Allowed decides about the other end's key.
func tlsConfig(key *roster.SigningKey, allowed func(ed25519.PublicKey) bool) (*tls.Config, error) {
	cert, err := certificate(key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{cert},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // names and authorities mean nothing here: VerifyConnection decides
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			peer, err := peerKey(&state)
			if err != nil {
				return err
			}
			if !allowed(peer) {
				return ErrPeer
			}
			return nil
		},
	}, nil
}

// ServerTLS is the configuration of the desk listener: key is the server's, and
// the roster is asked anew for each connection.
func ServerTLS(key *roster.SigningKey, current func() *roster.Roster) (*tls.Config, error) {
	return tlsConfig(key, func(peer ed25519.PublicKey) bool { return current().MemberByKey(peer) != nil })
}
