package desk

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/gorilla/mux"

	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
	"tipbox/tipbox"
)

// A PaymentRequest asks to keep a payment.
type PaymentRequest struct {
	Note    string `json:"note"`              // see tipbox.Payment
	Voucher string `json:"voucher,omitempty"` // its text, if it is the payment of one
}

// paymentKinds are the errors of payments: see kinds.
func paymentKinds() []kind {
	return []kind{
		{"paid", http.StatusConflict, tipbox.ErrPaid},
		{"no_payout", http.StatusNotFound, tipbox.ErrNoPayout},
		{"no_order", http.StatusConflict, tipbox.ErrNoOrder},
		{"voucher_forged", http.StatusUnprocessableEntity, voucher.ErrForged},
		{"voucher_organisation", http.StatusUnprocessableEntity, voucher.ErrOrganisation},
		{"voucher_denomination", http.StatusUnprocessableEntity, voucher.ErrDenomination},
		{"voucher_expired", http.StatusUnprocessableEntity, voucher.ErrExpired},
		{"voucher_early", http.StatusUnprocessableEntity, voucher.ErrEarly},
		{"voucher_typing", http.StatusUnprocessableEntity, voucher.ErrTyping},
		{"voucher_newer", http.StatusUnprocessableEntity, voucher.ErrNewer},
		{"no_voucher", http.StatusUnprocessableEntity, voucher.ErrNotVoucher},
	}
}

func (s *server) paymentRoutes(v1 *mux.Router) {
	v1.Handle("/payments", s.handle(s.postPayment)).Methods("POST")
	v1.Handle("/payments", s.handle(s.getPayments)).Methods("GET")
	v1.Handle("/payments/{key}", s.handle(s.getPayment)).Methods("GET")
	v1.Handle("/payouts", s.handle(s.getPayouts)).Methods("GET")
	v1.Handle("/accounts", s.handle(s.getAccounts)).Methods("GET")
}

func (s *server) postPayment(w http.ResponseWriter, r *http.Request, m *roster.Member) error {
	var p PaymentRequest
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return fmt.Errorf("the payment is not as it must be: %w: %w", tipbox.ErrInvalid, err)
	}
	if err := s.service.Pay(r.Context(), m, []byte(p.Note), p.Voucher); err != nil {
		return err
	}
	return s.send(w, http.StatusCreated, struct{}{})
}

func (s *server) getPayments(w http.ResponseWriter, r *http.Request, m *roster.Member) error {
	page, err := s.service.Payments(r.Context(), m, r.URL.Query().Get("after"), tipbox.MaxPage)
	if err != nil {
		return err
	}
	return s.send(w, http.StatusOK, page)
}

func (s *server) getPayment(w http.ResponseWriter, r *http.Request, m *roster.Member) error {
	note, err := s.service.Payment(r.Context(), m, mux.Vars(r)["key"])
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write(note)
	return nil
}

func (s *server) getPayouts(w http.ResponseWriter, r *http.Request, m *roster.Member) error {
	query := r.URL.Query()
	page, err := s.service.Payouts(r.Context(), m, query.Has("all"), query.Get("after"), tipbox.MaxPayouts)
	if err != nil {
		return err
	}
	return s.send(w, http.StatusOK, page)
}

func (s *server) getAccounts(w http.ResponseWriter, r *http.Request, m *roster.Member) error {
	query := r.URL.Query()
	accounts, err := s.service.Accounts(r.Context(), m, query.Get("from"), query.Get("to"))
	if err != nil {
		return err
	}
	return s.send(w, http.StatusOK, accounts)
}

// Pay has a payment kept that the payer signed, with the text of the voucher if it is
// the payment of one. The same note may be sent again: see tipbox.Service.Pay for the
// errors.
func (c *Client) Pay(ctx context.Context, note []byte, text string) error {
	request, err := json.Marshal(PaymentRequest{Note: string(note), Voucher: text})
	if err != nil {
		return fmt.Errorf("payment: %w", err)
	}
	body, err := c.call(ctx, http.MethodPost, "/payments", request)
	if err != nil {
		return err
	}
	io.Copy(io.Discard, io.LimitReader(body, maxError)) // so that the connection serves again
	return body.Close()
}

// Payment returns the note of a payment, unverified: see tipbox.OpenPayment.
func (c *Client) Payment(ctx context.Context, key string) ([]byte, error) {
	body, err := c.call(ctx, http.MethodGet, "/payments/"+url.PathEscape(key), nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return readAll(body, maxError)
}

// Payments returns all payments, unverified: see tipbox.OpenPayment.
func (c *Client) Payments(ctx context.Context) (notes [][]byte, partial bool, err error) {
	for cursor := ""; ; {
		page := new(tipbox.PaymentPage)
		if err := c.get(ctx, "/payments?"+url.Values{"after": {cursor}}.Encode(), maxInbox, page); err != nil {
			return nil, false, err
		}
		if len(page.Notes) > tipbox.MaxPage || page.Next != "" && page.Next <= cursor {
			return nil, false, errPages
		}
		for _, note := range page.Notes {
			notes = append(notes, []byte(note))
		}
		partial = partial || page.Partial
		if cursor = page.Next; cursor == "" {
			return notes, partial, nil
		}
	}
}

// Payouts returns the payouts that are to be made, or all that are kept.
func (c *Client) Payouts(ctx context.Context, all bool) (items []tipbox.PayoutItem, partial bool, err error) {
	for cursor := ""; ; {
		query := url.Values{"after": {cursor}}
		if all {
			query.Set("all", "")
		}
		page := new(tipbox.PayoutPage)
		if err := c.get(ctx, "/payouts?"+query.Encode(), maxList, page); err != nil {
			return nil, false, err
		}
		if len(page.Items) > tipbox.MaxPayouts || page.Next != "" && page.Next <= cursor {
			return nil, false, errPages
		}
		items = append(items, page.Items...)
		partial = partial || page.Partial
		if cursor = page.Next; cursor == "" {
			return items, partial, nil
		}
	}
}

// Accounts returns the accounts of the months from one to another, 2006-01. Validate
// them.
func (c *Client) Accounts(ctx context.Context, from, to string) (*tipbox.Accounts, error) {
	accounts := new(tipbox.Accounts)
	return accounts, c.get(ctx, "/accounts?"+url.Values{"from": {from}, "to": {to}}.Encode(), maxList, accounts)
}

var errPages = fmt.Errorf("the desk's pages make no sense: %w", tipbox.ErrInvalid)
