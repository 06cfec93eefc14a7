package tipbox

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/crypto/seal"
	"tipbox/crypto/voucher"
	"tipbox/store"
)

// A ClaimFile is what a source's own tool gets of its thread, to claim awards without
// giving the server the code: nothing in it is to be believed before OpenClaims has
// checked it. Of the case it has no more than the page shows.
type ClaimFile struct {
	Tip    string      `json:"tip"`
	Key    string      `json:"key"`    // the tip key's recipient
	Roster string      `json:"roster"` // the signed note
	Today  string      `json:"today"`  // the organisation's day
	Number int         `json:"number"` // of the event that would be next
	Before string      `json:"before"` // SHA-256 of the note before that, hex; "" if none can follow
	Day    string      `json:"day"`    // its day
	Awards []ClaimLine `json:"awards"`

	// Of the code of a part: what made it, and who signed that. See openPart.
	Source string `json:"source,omitempty"` // the tip's source's verifier key
	Part   string `json:"part,omitempty"`   // the note of the event
}

// A ClaimRequest is what a source's own tool asks: for the ClaimFile of the thread
// whose mailbox has that locator; with a note, to claim an award before that.
type ClaimRequest struct {
	Locator []byte `json:"locator"` // of 32 bytes
	Note    string `json:"note,omitempty"`
	Details []byte `json:"details,omitempty"` // age file: see Claims.Claim
}

// A ClaimLine is an award as its source is told of it.
type ClaimLine struct {
	Number   int        `json:"number"`
	State    AwardState `json:"state"`
	Schedule string     `json:"schedule"`
	Currency string     `json:"currency"`
	Amount   int64      `json:"amount"` // minor units
	ClaimBy  string     `json:"claim_by,omitempty"`
	Warn     bool       `json:"warn,omitempty"`
	Expired  bool       `json:"expired,omitempty"`
	Final    bool       `json:"final,omitempty"`
	Choice   string     `json:"choice,omitempty"`
	Again    bool       `json:"again,omitempty"` // it was claimed, and can be claimed anew: see ThreadAward

	Payout     string         `json:"payout,omitempty"`     // the id of its payout, whether it is claimed so or not
	Requests   []BlindRequest `json:"requests,omitempty"`   // of ClaimVoucher
	Signatures [][]byte       `json:"signatures,omitempty"` // of the requests, if they are issued
}

// Claims returns what a source's own tool needs of the thread whose mailbox has that
// locator. ErrNoThread if there is none.
func (s *Service) Claims(ctx context.Context, locator [32]byte) (*ClaimFile, error) {
	defer s.brief()()
	t, c, part, err := s.openBox(ctx, locator)
	if err != nil {
		return nil, err
	}
	kase := foldCase(c.events, t.Channel, s.Roster())
	file := &ClaimFile{Tip: c.tip, Key: t.Key, Roster: string(s.SignedRoster()), Today: s.Today(), Awards: []ClaimLine{}}
	if next, err := c.next(ActionClaim, file.Today); err == nil { // else there is still something to be read
		file.Number, file.Before, file.Day = next.Number, next.Before, next.Day
	}
	if part != 0 {
		note, err := s.cfg.Store.Get(ctx, keyEvent(c.tip, part))
		if _, lost := kase.partOf(c.tip, part); err != nil || lost != nil {
			return nil, errors.Join(err, lost)
		}
		file.Source, file.Part = t.Source, string(note.Value)
	}
	for _, shown := range s.awards(kase, part) {
		a := kase.award(shown.Number)
		line := ClaimLine{
			Number: a.Number, State: a.State, Schedule: a.Terms.Schedule, Currency: a.Terms.Currency, Amount: a.Terms.Amount,
			ClaimBy: shown.ClaimBy, Warn: shown.Warn, Expired: shown.Expired, Final: shown.Final, Choice: shown.Choice, Again: shown.Again,
			Payout: a.payout,
		}
		if a.Claim != nil {
			line.Requests, line.Signatures = a.Claim.Requests, a.signatures
		}
		file.Awards = append(file.Awards, line)
	}
	return file, nil
}

// ClaimSigned is Claim for a source's own tool: it appends the claim that the tool
// signed, with the payment details that it sealed. The very same note may be sent
// again. Errors are those of Claim, and ErrInvalid.
func (s *Service) ClaimSigned(ctx context.Context, locator [32]byte, note, details []byte) error {
	defer s.brief()()
	if len(note) > maxNote || len(details) > maxSealed {
		return fmt.Errorf("claim of %d bytes: %w", len(note)+len(details), ErrTooLong)
	}
	t, c, part, err := s.openBox(ctx, locator)
	if err != nil {
		return err
	}
	current, source := s.Roster(), t.Source
	kase := foldCase(c.events, t.Channel, current)
	if part != 0 {
		a, err := kase.partOf(c.tip, part)
		if err != nil {
			return err
		}
		source = a.Part.Verifier
	}
	e, err := parseEvent(note)
	if err != nil {
		return err
	}
	if e.Action != ActionClaim || len(e.Files) > 0 || e.Once != "" {
		return fmt.Errorf("this is for claims: %w", ErrInvalid)
	}
	if _, err := roster.Verify(note, source); err != nil || e.By != SourceName {
		return fmt.Errorf("the claim is not signed by this thread's source: %w", ErrInvalid)
	}
	if slices.Contains(c.hashes, hash(note)) {
		return nil // sent twice
	}
	want, err := c.next(ActionClaim, s.Today())
	if err != nil {
		return err
	}
	if e.Number != want.Number || e.Before != want.Before || e.Day != want.Day {
		return ErrConflict
	}
	a := kase.own(e.Award, part)
	if a == nil {
		return fmt.Errorf("there is no award %d for this code: %w", e.Award, ErrClaim)
	}
	if err := kase.sure(e); err != nil {
		return fmt.Errorf("%w: %w", ErrClaim, err)
	}
	if err := s.checkClaimed(e, a, details); err != nil {
		return err
	}
	if a.Claim != nil && !s.again(kase, a) {
		return fmt.Errorf("award %d was claimed: %w", e.Award, ErrClaim)
	}
	if kase.Expired(a, s.Today()) {
		return fmt.Errorf("the award was to be claimed by %s: %w", kase.ClaimBy(a), ErrClaim)
	}
	payout, err := s.claimed(ctx, a, e.Claim, details)
	if err != nil {
		return err
	}
	if err := c.extend(e, note); err != nil {
		return err
	}
	if err := kase.apply(e); err != nil {
		return fmt.Errorf("%w: %w", ErrClaim, err)
	}
	changes, err := s.appending(t, e, note, nil, kase)
	if err != nil {
		return err
	}
	err = s.cfg.Store.Apply(ctx, append(changes, payout...)...)
	if errors.Is(err, store.ErrConflict) {
		return ErrConflict
	}
	if err == nil {
		s.settle(ctx, e.Tip, current)
	}
	return err
}

// openBox loads the thread whose mailbox has that locator, and the number of the part
// if that is of one. What is wrong with it is
// never ErrInvalid, which here is of what was sent.
func (s *Service) openBox(ctx context.Context, locator [32]byte) (*loadedTip, *chain, int, error) {
	id, part, _, _, err := s.findBox(ctx, locator)
	if err != nil {
		return nil, nil, 0, err
	}
	t, c, err := s.loadChain(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil, 0, ErrNoThread // erased meanwhile
	case errors.Is(err, ErrInvalid):
		return nil, nil, 0, fmt.Errorf("%w: %v", store.ErrCorrupt, err)
	}
	return t, c, part, err
}

// checkClaimed checks what the server would have made itself: that the vouchers can be
// signed, and that the payers can read the details.
func (s *Service) checkClaimed(e *Event, a *Award, details []byte) error {
	good := lasting(s.Roster(), &a.Terms, s.Today())
	for _, request := range e.Claim.Requests {
		d := s.Roster().Denomination(request.Denomination)
		if d != nil && errors.Is(d.CheckBlind(request.Blinded, nil), voucher.ErrRequest) {
			return fmt.Errorf("no request for a voucher of %s: %w", d.ID, ErrClaim)
		}
		if d != nil && d.Until < good {
			return fmt.Errorf("vouchers of %s end on %s, too soon: %w", d.ID, d.Until, ErrClaim)
		}
	}
	to := payers(s.Roster())
	switch sealed := e.Claim.Choice == ClaimDetails; {
	case e.Claim.Payout != "" && e.Claim.Payout != a.payout:
		return fmt.Errorf("payout %s is not the award's: %w", e.Claim.Payout, ErrClaim)
	case !sealed && len(details) > 0, sealed && hash(details) != e.Claim.Details:
		return fmt.Errorf("the details are not those that were signed: %w", ErrInvalid)
	case sealed && len(to) == 0:
		return fmt.Errorf("nobody pays: %w", ErrClaim)
	case sealed && (!slices.Equal(e.Claim.Payers, to) || !seal.IsMessage(details, len(to))):
		return fmt.Errorf("the details are not sealed to those who pay: %w", ErrConflict) // who are others now
	}
	return nil
}

// Claims are the awards of a thread in the hands of its source's own tool, which
// alone has the code.
type Claims struct {
	Awards []ClaimLine // as the server tells
	Roster *roster.Roster

	file *ClaimFile
	code *receipt.Code
	key  *roster.SigningKey
	root string
}

// OpenClaims checks a file with the code and the root's verifier key: the tip is that
// of the code, and the roster is signed. An error that is ErrInvalid or one of package
// roster says that the server lies, or that the root is another organisation's. Today
// is the day here, 2006-01-02, from which the server's may differ by one.
func OpenClaims(file *ClaimFile, code *receipt.Code, root, today string) (*Claims, error) {
	key, err := sourceKey(code)
	if err != nil {
		return nil, err
	}
	source := key.Verifier()
	if file.Part != "" {
		if err := file.openPart(key.Verifier(), code); err != nil {
			return nil, err
		}
		source = file.Source
	}
	if seal.TipID(file.Key, source) != file.Tip {
		return nil, fmt.Errorf("the thread is another's: %w", ErrInvalid)
	}
	r, err := roster.Open([]byte(file.Roster), root, roster.Mark{})
	if err != nil {
		return nil, err
	}
	if file.Today < addDays(today, -1) || file.Today > addDays(today, 1) {
		return nil, fmt.Errorf("the server says that it is %.10q, and here it is %s: is a clock wrong?", file.Today, today)
	}
	for i, line := range file.Awards {
		s := r.Schedule(line.Schedule)
		switch {
		case s == nil || line.Currency != s.Currency:
			return nil, fmt.Errorf("award %d is by a schedule %.40q in %.10q, which the roster has not: %w", line.Number, line.Schedule, line.Currency, ErrInvalid)
		case line.Amount <= 0 || line.Number < 1 || line.Number >= file.Number && file.Before != "":
			return nil, fmt.Errorf("award %d of %d: %w", line.Number, line.Amount, ErrInvalid)
		case i > 0 && line.Number <= file.Awards[i-1].Number:
			return nil, fmt.Errorf("the order of the awards: %w", ErrInvalid)
		case !validPayout(line.Payout):
			return nil, fmt.Errorf("award %d: payout %.40q: %w", line.Number, line.Payout, ErrInvalid)
		case len(line.Requests) > MaxVouchers || len(line.Signatures) > 0 && len(line.Signatures) != len(line.Requests):
			return nil, fmt.Errorf("award %d: %d signatures of %d vouchers: %w", line.Number, len(line.Signatures), len(line.Requests), ErrInvalid)
		}
	}
	return &Claims{Awards: file.Awards, Roster: r, file: file, code: code, key: key, root: root}, nil
}

// openPart checks that the tip's source has made the code's part, and that it is what
// the file shows.
func (file *ClaimFile) openPart(verifier string, code *receipt.Code) error {
	if _, err := roster.Verify([]byte(file.Part), file.Source); err != nil {
		return fmt.Errorf("the part is not signed by the tip's source: %w", ErrInvalid)
	}
	e, err := parseEvent([]byte(file.Part))
	if err != nil {
		return err
	}
	if e.Action != ActionPart || e.Tip != file.Tip || e.Part.Verifier != verifier || e.Part.Box != boxHash(code.Locator()) {
		return fmt.Errorf("the part is another's: %w", ErrInvalid)
	}
	if len(file.Awards) != 1 || file.Awards[0].Number != e.Number || file.Awards[0].Amount != e.Part.Amount {
		return fmt.Errorf("the part is %d, and another is shown: %w", e.Number, ErrInvalid)
	}
	return nil
}

// Award is the one of that number, or nil.
func (c *Claims) Award(number int) *ClaimLine {
	for i := range c.Awards {
		if c.Awards[i].Number == number {
			return &c.Awards[i]
		}
	}
	return nil
}

// Claim makes and signs the claim of an award, with the payment details sealed to the
// payers: both are for ClaimSigned. Nothing in them tells of the code, nor of the
// vouchers.
func (c *Claims) Claim(claim Claim) (note, details []byte, err error) {
	a := c.Award(claim.Award)
	if a == nil || (a.State != AwardGranted || a.Expired) && !a.Again {
		return nil, nil, fmt.Errorf("award %d is not to be claimed: %w", claim.Award, ErrClaim)
	}
	if c.file.Before == "" {
		return nil, nil, fmt.Errorf("the server has lost the end of this thread, so nothing can follow: %w", ErrClaim)
	}
	e := &Event{Tip: c.file.Tip, Number: c.file.Number, Action: ActionClaim, Day: c.file.Day, Before: c.file.Before, Award: a.Number, By: SourceName}
	terms := &AwardTerms{Schedule: a.Schedule, Currency: a.Currency, Amount: a.Amount}
	if e.Claim, details, err = claim.terms(c.code, terms, a.Payout, c.Roster, c.file.Today, c.root); err != nil {
		return nil, nil, err
	}
	if err := e.validate(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrClaim, err)
	}
	note, err = e.sign(c.key)
	return note, details, err
}

// Vouchers makes the vouchers of an award that were signed: the same ones at every
// call, and the same ones as Service.Vouchers.
func (c *Claims) Vouchers(number int) ([]*voucher.Voucher, error) {
	a := c.Award(number)
	if a == nil || len(a.Signatures) == 0 {
		return nil, fmt.Errorf("award %d is not issued: %w", number, ErrClaim)
	}
	return finishVouchers(c.code, number, a.Requests, a.Signatures, c.Roster, c.root)
}
