package tipbox_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tipbox/crypto/receipt"
	"tipbox/crypto/voucher"
	"tipbox/store"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// A claimant is a source with an award that was claimed in vouchers and issued.
type claimant struct {
	code     *receipt.Code
	tip      string
	award    int
	vouchers []*voucher.Voucher
}

// newClaimants are sources with awards of so many yuan each.
func newClaimants(t *testing.T, o *tipboxtest.Org, yuan ...int64) (all []*claimant) {
	t.Helper()
	known := make(map[string]bool)
	for _, amount := range yuan {
		c := &claimant{code: o.Submit("one")}
		for _, item := range o.Inbox("alice") {
			if !known[item.Tip] {
				c.tip, known[item.Tip] = item.Tip, true
			}
		}
		for _, a := range []tipbox.Act{act(tipbox.ActionAccept, ""), assign("alice", "2026-12-20"), finding(tipbox.Substantiated)} {
			o.Act("alice", c.tip, a)
		}
		o.Act("bob", c.tip, finding(tipbox.Substantiated))
		collect(o, c.tip, amount*25)
		c.award = grant(t, o, c.tip, amount)
		all = append(all, c)
	}
	return all
}

// take claims the award in vouchers, and comes back for them.
func (c *claimant) take(t *testing.T, o *tipboxtest.Org) {
	t.Helper()
	claim(t, o, c.code, tipbox.Claim{Award: c.award, Choice: tipbox.ClaimVoucher})
	o.Issue("peter", c.tip, c.award)
	c.fetch(t, o)
}

func (c *claimant) fetch(t *testing.T, o *tipboxtest.Org) {
	t.Helper()
	var err error
	if c.vouchers, err = o.Service.Vouchers(ctx, c.code, c.award); err != nil {
		t.Fatal(err)
	}
}

func pay(t *testing.T, o *tipboxtest.Org, v *voucher.Voucher) {
	t.Helper()
	if err := o.Service.Pay(ctx, o.Member("penny"), payment(t, o, "penny", v), v.Compact()); err != nil {
		t.Fatal(err)
	}
}

// A joinable is a thing that the server stores, as somebody would look at it who
// wants to join it to another: its bytes, and each field by its name.
type joinable struct {
	raw    []byte
	fields map[string][]string // value to the names it stands under
}

// stored is all that the server stores under a prefix, or not under it, with its
// revisions.
func stored(t *testing.T, o *tipboxtest.Org, under bool, prefix string) map[store.Key]store.Record {
	t.Helper()
	all := make(map[store.Key]store.Record)
	for after := store.Key(""); ; {
		recs, err := o.Store.Scan(ctx, "", after, store.MaxScan)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range recs {
			if strings.HasPrefix(string(rec.Key), prefix) == under {
				all[rec.Key] = rec
			}
			after = rec.Key
		}
		if len(recs) < store.MaxScan {
			return all
		}
	}
}

func same(a, b map[store.Key]store.Record) bool {
	return maps.EqualFunc(a, b, func(a, b store.Record) bool { return a.Revision == b.Revision && bytes.Equal(a.Value, b.Value) })
}

// look takes records apart: keys into their parts, notes into document and
// signature, documents into their fields, base64 and hex into what they spell.
func look(recs map[store.Key]store.Record) *joinable {
	j := &joinable{fields: make(map[string][]string)}
	field := func(name, value string) {
		if !slices.Contains(j.fields[value], name) {
			j.fields[value] = append(j.fields[value], name)
		}
		j.raw = append(append(j.raw, value...), '\n')
		for _, decode := range []func(string) ([]byte, error){base64.StdEncoding.DecodeString, hex.DecodeString} {
			if b, err := decode(value); err == nil && len(b) >= 8 {
				j.raw = append(append(j.raw, b...), '\n')
			}
		}
	}
	var walk func(name string, v any)
	walk = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				walk(key, value)
			}
		case []any:
			for _, value := range v {
				walk(name, value)
			}
		default:
			field(name, fmt.Sprint(v))
		}
	}
	for _, rec := range recs {
		for i, part := range strings.Split(string(rec.Key), "/") {
			field(fmt.Sprint("key part ", i), part)
		}
		field("revision", fmt.Sprint(rec.Revision))
		for line := range strings.Lines(string(rec.Value)) {
			var doc any
			dec := json.NewDecoder(strings.NewReader(line))
			dec.UseNumber()
			if dec.Decode(&doc) == nil {
				walk("", doc)
			} else if words := strings.Fields(line); len(words) == 3 && words[0] == "—" {
				field("signer", words[1])
				field("signature", words[2])
			} else {
				field("line", strings.TrimSpace(line))
			}
		}
		j.raw = append(append(j.raw, rec.Value...), '\n')
	}
	return j
}

// shared are the fields of payments whose value stands in what else is stored.
func shared(payments, rest *joinable) map[string]bool {
	names := make(map[string]bool)
	for value, in := range payments.fields {
		for _, name := range in {
			if value != "" && len(rest.fields[value]) > 0 || len(value) >= 8 && bytes.Contains(rest.raw, []byte(value)) {
				names[name] = true
			}
		}
	}
	return names
}

// explains reports whether a request with its blind signature may be that of a
// voucher, and if so by which blinding factor: RFC 9474, 4.2 and 4.4.
func explains(d *voucher.Denomination, organisation string, blinded, blindSignature []byte, v *voucher.Voucher) (*big.Int, bool) {
	public, err := d.Public()
	if err != nil {
		return nil, false
	}
	n, e := public.N, big.NewInt(int64(public.E))
	_, signature := v.Signed(organisation)
	s := new(big.Int).SetBytes(signature)
	r := new(big.Int).ModInverse(s, n)
	r.Mod(r.Mul(r, new(big.Int).SetBytes(blindSignature)), n)
	if r.Cmp(big.NewInt(1)) <= 0 || new(big.Int).GCD(nil, nil, r, n).Cmp(big.NewInt(1)) != 0 {
		return nil, false
	}
	z := new(big.Int).Exp(r, e, n)
	z.Mod(z.Mul(z, s.Exp(s, e, n)), n)
	return r, z.Cmp(new(big.Int).SetBytes(blinded)) == 0
}

// TestWhatIsStoredJoinsNoPaymentToATip joins all that the server stored before the
// payments and after. What payments have in common with the rest is the
// denomination, the currency and the day, which are the same for all of them; and
// each request may be that of each voucher of its denomination.
func TestWhatIsStoredJoinsNoPaymentToATip(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Rewards()
	sources := newClaimants(t, o, 3_000, 3_000, 4_000, 12_000)
	for _, c := range sources {
		c.take(t, o)
	}
	rest := stored(t, o, false, "paid/")
	blobs := o.Stored()
	var all []*voucher.Voucher
	for _, c := range sources {
		c.fetch(t, o)                  // who comes for vouchers leaves no trace
		lastUsed(t, o.Service, c.code) // nor does who opens the thread, on that day
		all = append(all, c.vouchers...)
	}
	if !same(stored(t, o, false, "paid/"), rest) || len(stored(t, o, true, "paid/")) > 0 {
		t.Fatal("something is stored of a source who comes back for vouchers")
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, v := range all {
		pay(t, o, v)
	}
	for range 2 { // and read
		if _, err := o.Service.Payments(ctx, o.Member("penny"), "", 100); err != nil {
			t.Fatal(err)
		}
		sources[0].fetch(t, o)
	}
	payments := stored(t, o, true, "paid/")
	if !same(stored(t, o, false, "paid/"), rest) || len(payments) != len(all) {
		t.Fatal("a payment changes what is stored of tips")
	}
	for name, content := range o.Stored() {
		if before, ok := blobs[name]; !strings.HasPrefix(name, "record paid/") && (!ok || !bytes.Equal(before, content)) {
			t.Errorf("%s has changed", name)
		}
	}

	// On the next day it is written how many came, and nothing of whose payments and
	// tips those are.
	o.Clock.Advance(aDay)
	flush(t, o.Service, false)
	if !same(stored(t, o, true, "paid/"), payments) {
		t.Fatal("that sources came changes a payment")
	}
	withVisits := stored(t, o, false, "paid/")
	maps.DeleteFunc(withVisits, func(key store.Key, _ store.Record) bool { return strings.HasPrefix(string(key), "visit/") })
	if !same(withVisits, rest) {
		t.Fatal("that sources came changes what is stored of tips")
	}
	var codes []*receipt.Code
	for _, c := range sources {
		codes = append(codes, c.code)
	}
	checkVisits(t, o, len(sources), codes)

	// The fields that payments share with the rest tell denomination and day.
	tips := look(rest)
	joins := shared(look(payments), tips)
	allowed := map[string]bool{"denomination": true, "currency": true, "day": true, "amount": true, "line": true}
	for name := range joins {
		if !allowed[name] {
			t.Errorf("payments have %s in common with the rest", name)
		}
	}
	if !joins["denomination"] || !joins["day"] {
		t.Errorf("the join does not find what is common: %v", joins)
	}
	kinds := make(map[string]map[string]bool) // what payments of a denomination say of those
	for _, rec := range payments {
		one := look(map[store.Key]store.Record{rec.Key: rec})
		var says []string
		for value, names := range one.fields {
			for _, name := range names {
				if allowed[name] {
					says = append(says, name+"="+value)
				}
			}
		}
		slices.Sort(says)
		denomination := says[slices.IndexFunc(says, func(s string) bool { return strings.HasPrefix(s, "denomination=") })]
		if kinds[denomination] == nil {
			kinds[denomination] = make(map[string]bool)
		}
		kinds[denomination][strings.Join(says, " ")] = true
	}
	for denomination, kind := range kinds {
		if len(kind) != 1 {
			t.Errorf("payments of %s differ in what joins them: %v", denomination, kind)
		}
	}
	// Were there another join, it would be found.
	for _, rec := range payments {
		for _, planted := range rest {
			if !strings.HasPrefix(string(planted.Key), "event/") {
				continue
			}
			id := strings.Split(string(planted.Key), "/")[1]
			rec.Value = bytes.Replace(rec.Value, []byte(`"once":"`), []byte(`"once":"`+id+`","x":"`), 1)
			if !shared(look(map[store.Key]store.Record{rec.Key: rec}), tips)["once"] {
				t.Error("a tip's id in a payment is not found")
			}
			break
		}
		break
	}

	// What is secret joins nothing either: every assignment explains all.
	type signed struct{ blinded, signature []byte }
	requests := make(map[string][]signed) // by denomination
	for _, c := range sources {
		events := chain(t, o, c.tip)
		for i, r := range events.requests {
			requests[r.Denomination] = append(requests[r.Denomination], signed{r.Blinded, events.signatures[i]})
		}
	}
	factors := make(map[string]bool)
	pairs := 0
	for _, v := range all {
		d := o.Service.Roster().Denomination(v.Denomination())
		for _, r := range requests[d.ID] {
			factor, ok := explains(d, o.Root.Verifier(), r.blinded, r.signature, v)
			if !ok {
				t.Fatalf("a request of %s cannot be that of a voucher", d.ID)
			}
			factors[factor.String()] = true
			pairs++
		}
	}
	if pairs != 12*12+1 || len(factors) != pairs {
		t.Errorf("%d pairs, %d factors", pairs, len(factors))
	}
}

type claimed struct {
	requests   []tipbox.BlindRequest
	signatures [][]byte
	claim      *tipbox.ClaimTerms
	amount     int64
	claimedOn  string
	issuedOn   string
}

// chain is what a tip's events say of its one award, to whoever can read them.
func chain(t *testing.T, o *tipboxtest.Org, tip string) (c claimed) {
	t.Helper()
	for _, m := range o.Open("alice", tip).Messages {
		switch m.Action {
		case tipbox.ActionAward:
			c.amount = m.Event.Terms.Amount
		case tipbox.ActionClaim:
			c.claim, c.requests, c.claimedOn = m.Event.Claim, m.Event.Claim.Requests, m.Day
		case tipbox.ActionIssue:
			c.signatures, c.issuedOn = m.Event.Signatures, m.Day
		}
	}
	return c
}

// TestWhatColludersCanTell gives an investigator, an approver with the issuing keys,
// and a payer all that the three hold together: every tip opened, all that is signed
// and stored of awards and payments, each voucher that was presented, by whom with
// which others, and on which day. It has no part of the server's memory.
func TestWhatColludersCanTell(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Rewards()
	sources := newClaimants(t, o, 3_000, 3_000, 12_000, 3_000, 6_000, 3_000)
	early, twin, large, late, details, silent := sources[0], sources[1], sources[2], sources[3], sources[4], sources[5]
	for _, c := range []*claimant{early, twin, large, silent} { // who never comes
		c.take(t, o)
	}
	claim(t, o, details.code, tipbox.Claim{Award: details.award, Choice: tipbox.ClaimDetails, Details: "Account of Ms Zhang"})

	// Each presents all vouchers at once: the payer sees the bundle.
	type bundle struct {
		vouchers []*voucher.Voucher
		day      string
	}
	var bundles []bundle
	present := func(c *claimant) {
		t.Helper()
		for _, v := range c.vouchers {
			pay(t, o, v)
		}
		bundles = append(bundles, bundle{c.vouchers, o.Service.Today()})
	}
	o.Clock.Advance(2 * aDay)
	present(twin)
	o.Clock.Advance(aDay)
	late.take(t, o) // issued on a day after the first payment
	present(large)
	present(early)
	present(late)

	// What they know of the tips.
	known := make(map[string]claimed)
	for _, item := range o.Inbox("alice") {
		known[item.Tip] = chain(t, o, item.Tip)
		peter := o.OpenAward("peter", item.Tip)
		if len(peter.Case.Awards) != 1 || peter.Case.Awards[0].Claim == nil || peter.Case.Awards[0].Claim.Choice != known[item.Tip].claim.Choice {
			t.Error("an approver sees the choice too")
		}
	}
	page, err := o.Service.Payouts(ctx, o.Member("penny"), true, "", 10)
	if err != nil || len(page.Items) != 1 {
		t.Fatal(page, err)
	}

	// They can tell who is paid to details: the payout's id is in the claim.
	text, err := page.Items[0].Open(o.Key("penny"))
	if err != nil || text != "Account of Ms Zhang" {
		t.Fatal(text, err)
	}
	var to []string
	for tip, c := range known {
		if c.claim.Payout == page.Items[0].ID {
			to = append(to, tip)
		}
	}
	if len(to) != 1 || to[0] != details.tip {
		t.Errorf("the payout is joined to %v", to)
	}

	// Of a bundle they can tell the amount, and that it was issued by the day on which
	// it was paid; and nothing else: each of the claims that are left explains it, to
	// those who hold the issuing keys as well.
	candidates := func(b bundle) (tips []string) {
		var sum int64
		for _, v := range b.vouchers {
			sum += o.Service.Roster().Denomination(v.Denomination()).Amount
		}
		for tip, c := range known {
			if c.claim.Choice == tipbox.ClaimVoucher && c.amount == sum && c.issuedOn <= b.day {
				tips = append(tips, tip)
			}
		}
		return tips
	}
	want := [][]*claimant{{early, twin, silent}, {large}, {early, twin, silent, late}, {early, twin, silent, late}}
	for i, b := range bundles {
		tips := candidates(b)
		if len(tips) != len(want[i]) || slices.ContainsFunc(want[i], func(c *claimant) bool { return !slices.Contains(tips, c.tip) }) {
			t.Errorf("bundle %d may be of %v", i, tips)
		}
		for _, tip := range tips {
			c := known[tip]
			for j, r := range c.requests {
				key, d := tipboxtest.IssuingKey(t, r.Denomination), o.Service.Roster().Denomination(r.Denomination)
				again, err := key.Sign(r.Blinded) // what the approver's tool saw, it can see again
				if err != nil || !bytes.Equal(again, c.signatures[j]) {
					t.Fatal("a blind signature says which it is of", err)
				}
				for _, v := range b.vouchers {
					if v.Denomination() != d.ID {
						continue
					}
					if _, ok := explains(d, o.Root.Verifier(), r.Blinded, c.signatures[j], v); !ok {
						t.Errorf("bundle %d is not of tip %s, which they can tell", i, tip)
					}
				}
			}
		}
	}
	// What their tools keep has nothing more: the payments that the payer gets.
	list, err := o.Service.Payments(ctx, o.Member("penny"), "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, note := range list.Notes {
		for tip, c := range known {
			for _, r := range c.requests {
				if strings.Contains(note, tip) || strings.Contains(note, base64.StdEncoding.EncodeToString(r.Blinded)[:16]) {
					t.Error("a payment has something of a claim in it")
				}
			}
		}
	}
}
