package tipbox_test

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"strings"
	"testing"

	"tipbox/crypto/receipt"
	"tipbox/crypto/roster"
	"tipbox/tipbox"
)

// TestPartOfAnAwardOfWhichAnEntryIsLostIsNotPaid has a server and a source say, once the
// vouchers of an award were had, that its claim is lost, and claim it again by a part.
func TestPartOfAnAwardOfWhichAnEntryIsLostIsNotPaid(t *testing.T) {
	o, code, tip, n := newGranted(t)
	claim, _, err := openClaims(t, o, code).Claim(tipbox.Claim{Award: n, Choice: tipbox.ClaimVoucher})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Service.ClaimSigned(ctx, code.Locator(), claim, nil); err != nil {
		t.Fatal(err)
	}
	o.Issue("pia", tip, n)

	file, err := o.Service.AwardTip(ctx, o.Member("peter"), tip)
	if err != nil {
		t.Fatal(err)
	}
	head := o.OpenAward("peter", tip).Head()
	for i := n + 2; i < len(file.Events); i++ { // behind the two who approved
		file.Events[i] = tipbox.SealedEvent{}
	}
	add := func(by *receipt.Code, fields map[string]any) []byte {
		t.Helper()
		note := resigned(t, by, claim, func(e map[string]any) {
			delete(e, "claim")
			e["number"], e["before"] = head.Number+1, head.SHA256
			for name, value := range fields {
				e[name] = value
			}
		})
		file.Events = append(file.Events, tipbox.SealedEvent{Note: string(note)})
		sum := sha256.Sum256(note)
		head = tipbox.Head{Number: head.Number + 1, SHA256: hex.EncodeToString(sum[:])}
		return note
	}
	other := code.Part(n, 1)
	key, err := roster.SigningKeyFrom(tipbox.SourceName, other.SigningKey())
	if err != nil {
		t.Fatal(err)
	}
	made := add(code, map[string]any{"action": "part", "award": n, "part": map[string]any{
		"index": 1, "amount": 5_000_00, "verifier": key.Verifier(), "box": head.SHA256,
	}})
	number := head.Number
	add(other, map[string]any{"award": number, "claim": map[string]any{"choice": "charity", "charity": "library", "payout": payoutOf(made)}})
	opened, err := tipbox.OpenAward(file, tip, o.Key("peter"), o.Service.Roster())
	if err != nil {
		t.Fatal(err)
	}
	order, err := opened.Order(o.Key("peter").SigningKey, o.Service.Today(), number)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = opened.Act(o.Key("peter"), o.Service.Today(), tipbox.Act{Action: tipbox.ActionIssue, Award: number, Signatures: [][]byte{order}})
	wantRule(t, err, tipbox.RuleAward)
}

// payoutOf is the id of the payout of an award that a note made.
func payoutOf(note []byte) string {
	text, _, _ := strings.Cut(string(note), "\n\n")
	sum := sha256.Sum256([]byte("tipbox payout v1\n" + text + "\n"))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:16]
}
