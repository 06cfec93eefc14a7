package tipbox_test

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tipbox/crypto/receipt"
	"tipbox/crypto/voucher"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

// A ledger is what a history of rewards comes to, written down a second time.
type ledger struct {
	t  *testing.T
	rt *rapid.T
	o  *tipboxtest.Org

	tips     []*ledgerTip
	awards   []*ledgerAward
	unpaid   []*voucher.Voucher
	paid     []*voucher.Voucher
	vouchers map[string]int   // denomination and what happened in which month
	payouts  map[string]int64 // paid by month
	signed   map[string]bool  // vouchers that came out, by what names their payment
}

type ledgerTip struct {
	id      string
	code    *receipt.Code
	base    int64 // collected
	awarded int64
	erased  bool
}

type ledgerAward struct {
	tip      *ledgerTip
	number   int
	amount   int64
	votes    int
	approved []string
	refused  []string
	state    string // proposed, refused, final, granted, claimed, issued, payable, waived
	choice   string
	granted  string // days
	claimed  string

	code  *receipt.Code // that claims it
	of    *ledgerAward  // that it is a part of, or nil
	parts int           // that it was shared in
}

func (l *ledger) month() string { return l.o.Service.Today()[:7] }

// expired is the month in which nobody had claimed it, or "".
func (l *ledger) expired(a *ledgerAward) string {
	granted, err := time.Parse(time.DateOnly, a.granted)
	if a.state != "granted" || err != nil {
		return ""
	}
	over := granted.AddDate(0, 0, 91).Format(time.DateOnly) // the window has 90 days
	if l.o.Service.Today() < over {
		return ""
	}
	return over[:7]
}

func (l *ledger) pick(rt *rapid.T, states ...string) *ledgerAward {
	var some []*ledgerAward
	for _, a := range l.awards {
		if slices.Contains(states, a.state) && !a.tip.erased {
			some = append(some, a)
		}
	}
	if len(some) == 0 {
		rt.Skip("no award is ", states)
	}
	return rapid.SampledFrom(some).Draw(rt, "award")
}

func (l *ledger) tip(rt *rapid.T) {
	known, left := make(map[string]bool), 0
	for _, t := range l.tips {
		if known[t.id] = true; !t.erased {
			left++
		}
	}
	if left == 3 || len(l.tips) == 8 {
		rt.Skip("enough")
	}
	t := &ledgerTip{code: l.o.Submit("one")}
	for _, item := range l.o.Inbox("bob") {
		if !known[item.Tip] {
			t.id = item.Tip
		}
	}
	for _, a := range []tipbox.Act{act(tipbox.ActionAccept, ""), assign("alice", "2040-12-20"), finding(tipbox.Substantiated)} {
		l.o.Act("alice", t.id, a)
	}
	l.o.Act("bob", t.id, finding(tipbox.Substantiated))
	l.tips = append(l.tips, t)
}

func (l *ledger) propose(rt *rapid.T) {
	var some []*ledgerTip
	for _, t := range l.tips {
		if !t.erased && !slices.ContainsFunc(l.awards, func(a *ledgerAward) bool { return a.tip == t && (a.state == "proposed" || a.state == "appealed") }) {
			some = append(some, t)
		}
	}
	if len(some) == 0 {
		rt.Skip("no tip")
	}
	t := rapid.SampledFrom(some).Draw(rt, "tip")
	yuan := rapid.Int64Range(1, 300_000).Draw(rt, "collected")
	collect(l.o, t.id, yuan)
	t.base += yuan
	rate := rapid.IntRange(300, 500).Draw(rt, "rate")
	s := l.o.Service.Roster().Schedule("test")
	amount, err := tipbox.Instalment(s, t.base*100, "", rate, t.awarded)
	if err != nil {
		rt.Fatal(err)
	}
	if amount == 0 {
		rt.Skip("nothing more")
	}
	l.o.Act("alice", t.id, award(t.base, amount/100, amount/100, rate))
	t.awarded += amount
	a := &ledgerAward{tip: t, code: t.code, amount: amount, state: "proposed", votes: tipbox.VotesNeeded(s, t.awarded)}
	a.number = lastAward(l.t, l.o, t.id).Number
	l.awards = append(l.awards, a)
}

// approver is one who may decide.
func (l *ledger) approver(rt *rapid.T, a *ledgerAward) string {
	names := slices.DeleteFunc([]string{"peter", "paula", "pia", "paul"}, func(n string) bool { return slices.Contains(append(a.approved, a.refused...), n) })
	if len(names) == 0 {
		rt.Skip("nobody is left")
	}
	return rapid.SampledFrom(names).Draw(rt, "approver")
}

func (l *ledger) approve(rt *rapid.T) {
	a := l.pick(rt, "proposed", "appealed")
	name := l.approver(rt, a)
	l.o.Decide(name, a.tip.id, tipbox.Act{Action: tipbox.ActionApprove, Award: a.number})
	if a.approved = append(a.approved, name); len(a.approved) >= a.votes {
		a.state, a.granted = "granted", l.o.Service.Today()
	}
}

// grant approves of one until it is granted.
func (l *ledger) grant(rt *rapid.T) {
	a := l.pick(rt, "proposed", "appealed")
	for a.state != "granted" {
		name := l.approver(rt, a)
		l.o.Decide(name, a.tip.id, tipbox.Act{Action: tipbox.ActionApprove, Award: a.number})
		if a.approved = append(a.approved, name); len(a.approved) >= a.votes {
			a.state, a.granted = "granted", l.o.Service.Today()
		}
	}
}

func (l *ledger) refuse(rt *rapid.T) {
	a := l.pick(rt, "proposed", "appealed")
	name := l.approver(rt, a)
	l.o.Decide(name, a.tip.id, tipbox.Act{Action: tipbox.ActionRefuse, Award: a.number, Text: "no"})
	a.refused, a.approved = append(append(a.refused, name), a.approved...), nil
	a.tip.awarded -= a.amount
	if a.state == "appealed" {
		a.state = "final"
		return
	}
	a.state = "refused"
}

func (l *ledger) appeal(rt *rapid.T) {
	a := l.pick(rt, "refused")
	if slices.ContainsFunc(l.awards, func(b *ledgerAward) bool { return b.tip == a.tip && b.number > a.number && b.of == nil }) {
		rt.Skip("there was another since")
	}
	if err := l.o.Service.Appeal(ctx, a.code, a.number, "en", "but"); err != nil {
		rt.Fatal(err)
	}
	a.state = "appealed"
	a.tip.awarded += a.amount
}

// share makes a part of one that is granted.
func (l *ledger) share(rt *rapid.T) {
	a, all := l.pick(rt, "granted"), 0
	for _, b := range l.awards {
		if b.tip == a.tip && b.of != nil {
			all++
		}
	}
	if a.of != nil || a.amount <= 100_00 || all == tipbox.MaxParts {
		rt.Skip("it cannot be shared")
	}
	amount := rapid.Int64Range(1, a.amount/100_00-1).Draw(rt, "hundreds") * 100_00
	code, err := l.o.Service.Part(ctx, a.code, a.number, a.parts+1, amount)
	if l.expired(a) != "" {
		if !errors.Is(err, tipbox.ErrClaim) {
			rt.Fatalf("shared after the window: %v", err)
		}
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	a.parts++
	a.amount -= amount
	l.awards = append(l.awards, &ledgerAward{
		tip: a.tip, number: lastAward(l.t, l.o, a.tip.id).Number, amount: amount, state: "granted", granted: a.granted, code: code, of: a,
	})
}

func (l *ledger) claim(rt *rapid.T) {
	a := l.pick(rt, "granted")
	c := tipbox.Claim{Award: a.number, Details: "here", Charity: "library"}
	c.Choice = rapid.SampledFrom([]string{tipbox.ClaimVoucher, tipbox.ClaimVoucher, tipbox.ClaimDetails, tipbox.ClaimCharity, tipbox.ClaimWaive}).Draw(rt, "choice")
	err := l.o.Service.Claim(ctx, a.code, c)
	if l.expired(a) != "" {
		if !errors.Is(err, tipbox.ErrClaim) {
			rt.Fatalf("claimed after the window: %v", err)
		}
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	a.choice, a.claimed = c.Choice, l.o.Service.Today()
	a.state = map[string]string{tipbox.ClaimVoucher: "claimed", tipbox.ClaimWaive: "waived"}[c.Choice]
	if a.state == "" {
		a.state = "to order"
	}
}

func (l *ledger) issue(rt *rapid.T) {
	a := l.pick(rt, "claimed", "to order")
	l.o.Issue("paul", a.tip.id, a.number)
	if a.state == "to order" {
		a.state = "payable"
		return
	}
	a.state = "issued"
	vouchers, err := l.o.Service.Vouchers(ctx, a.code, a.number)
	if err != nil {
		rt.Fatal(err)
	}
	var sum int64
	for _, v := range vouchers {
		if l.signed[v.SpentKey()] {
			rt.Fatal("a voucher came out twice")
		}
		l.signed[v.SpentKey()] = true
		sum += l.o.Service.Roster().Denomination(v.Denomination()).Amount
		l.vouchers[v.Denomination()+" issued "+l.month()]++
	}
	if sum != a.amount {
		rt.Fatalf("vouchers of %d for an award of %d", sum, a.amount)
	}
	l.unpaid = append(l.unpaid, vouchers...)
}

func (l *ledger) pay(rt *rapid.T) {
	if len(l.unpaid) == 0 {
		rt.Skip("no voucher")
	}
	i := rapid.IntRange(0, len(l.unpaid)-1).Draw(rt, "voucher")
	v := l.unpaid[i]
	if err := l.o.Service.Pay(ctx, l.o.Member("penny"), payment(l.t, l.o, "penny", v), v.Compact()); err != nil {
		rt.Fatal(err)
	}
	l.unpaid, l.paid = slices.Delete(l.unpaid, i, i+1), append(l.paid, v)
	l.vouchers[v.Denomination()+" paid "+l.month()]++
}

func (l *ledger) payAgain(rt *rapid.T) {
	if len(l.paid) == 0 {
		rt.Skip("none is paid")
	}
	v := rapid.SampledFrom(l.paid).Draw(rt, "voucher")
	if err := l.o.Service.Pay(ctx, l.o.Member("penny"), payment(l.t, l.o, "penny", v), v.Compact()); !errors.Is(err, tipbox.ErrPaid) {
		rt.Fatal(err)
	}
}

func (l *ledger) payOut(rt *rapid.T) {
	page, err := l.o.Service.Payouts(ctx, l.o.Member("penny"), false, "", 10)
	if err != nil {
		rt.Fatal(err)
	}
	items := slices.DeleteFunc(page.Items, func(i tipbox.PayoutItem) bool { return i.Order == "" })
	if len(items) == 0 {
		rt.Skip("no payout")
	}
	item := items[0]
	note := sign(l.t, l.o, "penny", tipbox.PayoutPayment(item.ID, &item.Payout, l.o.Service.Today()))
	if err := l.o.Service.Pay(ctx, l.o.Member("penny"), note, ""); err != nil {
		rt.Fatal(err)
	}
	l.payouts[l.month()] += item.Amount
}

func (l *ledger) wait(rt *rapid.T) {
	l.o.Clock.Advance(time.Duration(rapid.IntRange(1, 60).Draw(rt, "days")) * aDay)
	if _, err := l.o.Service.Retain(ctx); err != nil {
		rt.Fatal(err)
	}
}

func (l *ledger) erase(rt *rapid.T) {
	if len(l.tips) == 0 {
		rt.Skip("no tip")
	}
	t := rapid.SampledFrom(l.tips).Draw(rt, "tip")
	if t.erased || slices.ContainsFunc(l.awards, func(a *ledgerAward) bool { return a.tip == t && a.state == "granted" && l.expired(a) == "" }) {
		rt.Skip("open")
	}
	if err := l.o.TryAct("alice", t.id, tipbox.Act{Action: tipbox.ActionErase}); err != nil {
		wantRule(l.t, err, tipbox.RuleAward)
		return
	}
	t.erased = true
}

// check compares the accounts with the ledger.
func (l *ledger) check(rt *rapid.T) {
	month, _ := time.Parse("2006-01", l.month())
	from := month.AddDate(0, -rapid.IntRange(0, 6).Draw(rt, "months"), 0)
	to := from.AddDate(0, rapid.IntRange(0, 6).Draw(rt, "more months"), 0)
	first, last := from.Format("2006-01"), min(to.Format("2006-01"), l.month())
	a, err := l.o.Service.Accounts(ctx, l.o.Member("peter"), first, to.Format("2006-01"))
	if err == nil {
		err = a.Validate()
	}
	if err != nil || a.Partial || len(a.Alarms()) > 0 || a.From != first || a.To != last {
		rt.Fatalf("%+v, %v", a, err)
	}
	want := make(map[string]int64)
	add := func(month, what string, amount int64) {
		switch {
		case month == "" || month > last:
			return
		case month < first:
			month = ""
		}
		want[month+" "+what] += amount
	}
	var awarded, done, open, unsigned int64
	for _, w := range l.awards {
		if w.granted == "" || w.granted[:7] > last {
			continue
		}
		awarded += w.amount
		add(w.granted[:7], "awarded", w.amount)
		claimed := w.claimed != "" && w.claimed[:7] <= last
		expired := l.expired(w)
		switch {
		case claimed && w.choice == tipbox.ClaimWaive:
			add(w.claimed[:7], "waived", w.amount)
		case claimed:
			add(w.claimed[:7], "claimed", w.amount)
		case expired != "" && expired <= last:
			add(expired, "expired", w.amount)
		default:
			open += w.amount
			continue
		}
		done += w.amount
	}
	if awarded != done+open {
		rt.Fatal("the ledger does not add up")
	}
	for month, amount := range l.payouts {
		add(month, "paid", amount)
	}
	issued := make(map[string]int)
	for what, n := range l.vouchers {
		parts := strings.Fields(what)
		amount := l.o.Service.Roster().Denomination(parts[0]).Amount
		add(parts[2], parts[0]+" "+parts[1], int64(n))
		if parts[1] == "issued" {
			add(parts[2], "issued", int64(n)*amount)
		}
		if parts[2] <= last {
			issued[parts[0]+" "+parts[1]] += n
		}
	}
	got := make(map[string]int64)
	for _, r := range a.Awards {
		for what, sum := range map[string]tipbox.Sum{"awarded": r.Awarded, "claimed": r.Claimed, "waived": r.Waived, "expired": r.Expired, "issued": r.Issued, "paid": r.Paid} {
			if sum.Amount > 0 {
				got[r.Month+" "+what] += sum.Amount
			}
		}
	}
	for _, r := range a.Vouchers {
		for what, n := range map[string]int{"issued": r.Issued, "paid": r.Paid} {
			if n > 0 {
				got[r.Month+" "+r.Denomination+" "+what] += int64(n)
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		rt.Fatalf("from %s to %s, on %s:\n%v, want\n%v", first, last, a.Day, got, want)
	}
	var left int64
	for _, total := range a.Totals() {
		left += total.Open.Amount
		unsigned += total.Unsigned.Amount
		if total.Claimed.Amount != total.Issued.Amount+total.Unsigned.Amount+total.Paid.Amount+total.Owed.Amount {
			rt.Fatalf("claims: %+v", total)
		}
		if last < l.month() {
			continue
		}
		// What is owed is what payers are shown, and what is unsigned what approvers are.
		page, err := l.o.Service.Payouts(ctx, l.o.Member("penny"), false, "", 100)
		if err != nil {
			rt.Fatal(err)
		}
		var owed int64
		for _, item := range page.Items {
			owed += item.Amount
		}
		if owed != total.Owed.Amount || len(page.Items) != total.Owed.Count {
			rt.Fatalf("payers owe %d, the accounts have %+v", owed, total.Owed)
		}
	}
	if left != open {
		rt.Fatalf("%d is open, want %d", left, open)
	}
	for _, v := range a.VoucherTotals() {
		if v.Issued < v.Paid || v.Issued != issued[v.Denomination+" issued"] || v.Paid != issued[v.Denomination+" paid"] {
			rt.Fatalf("%+v", v)
		}
	}
	// Publishers and payers get what is over.
	if p, err := l.o.Service.Accounts(ctx, l.o.Member("penny"), first, "2099-12"); err != nil || p.To >= l.month() || p.Validate() != nil {
		rt.Fatalf("penny gets %+v, %v", p, err)
	}
}

// shortRapid has few histories of so many steps, if nothing else was asked for, and two
// with -short: each step is real encryption. A nightly run asks for -rapid.checks=2000.
func shortRapid(t *testing.T, checks, steps string) {
	t.Helper()
	if testing.Short() {
		checks = "2"
	}
	for name, few := range map[string]string{"rapid.checks": checks, "rapid.steps": steps} {
		if f := flag.Lookup(name); f.Value.String() == f.DefValue {
			before := f.Value.String()
			if err := flag.Set(name, few); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { flag.Set(name, before) })
		}
	}
}

// TestAccountsAddUp plays random histories of rewards and keeps accounts of its own.
func TestAccountsAddUp(t *testing.T) {
	shortRapid(t, "8", "120")
	rapid.Check(t, func(rt *rapid.T) {
		l := &ledger{t: t, rt: rt, o: tipboxtest.New(t, tipboxtest.Config{}), vouchers: make(map[string]int), payouts: make(map[string]int64), signed: make(map[string]bool)}
		l.o.Rewards()
		l.tip(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"tip": l.tip, "propose": l.propose, "approve": l.approve, "grant": l.grant, "refuse": l.refuse, "appeal": l.appeal,
			"share": l.share, "claim": l.claim, "claim more": l.claim, "issue": l.issue, "pay": l.pay, "pay more": l.pay, "pay again": l.payAgain, "pay out": l.payOut,
			"wait": l.wait, "erase": l.erase, "": l.check,
		})
	})
}
