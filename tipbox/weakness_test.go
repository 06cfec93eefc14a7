package tipbox_test

import (
	"slices"
	"strings"
	"testing"

	"tipbox/crypto/roster"
	"tipbox/crypto/voucher"
	"tipbox/tipbox"
	"tipbox/tipbox/tipboxtest"
)

func TestWeaknessesOfARoster(t *testing.T) {
	const today = "2026-11-23"
	channels := func(ids ...string) (all []tipbox.Channel) {
		for _, id := range ids {
			all = append(all, tipbox.Channel{ID: id})
		}
		return all
	}
	tests := []struct {
		name   string
		change func(o *tipboxtest.Org)
		day    string
		site   []tipbox.Channel
		says   string
		grave  bool
	}{
		{name: "nobody reads a channel", site: channels("off-book-funds", "bribery", "nepotism"), says: "channel nepotism has no investigator"},
		{name: "one key", change: func(o *tipboxtest.Org) { o.Strike("alice") }, says: "off-book-funds is opened by one key only, that of bob"},
		{name: "no quorum", change: func(o *tipboxtest.Org) {
			o.SetRules(roster.Rule{Channel: "off-book-funds", Since: "2026-01-01", Quorum: 7, Acknowledge: 7})
		}, says: "a finding takes 7 votes, and 5 members", grave: true},
		{name: "no reviewer", change: func(o *tipboxtest.Org) { o.Strike("carol") }, says: "off-book-funds has no reviewer", grave: true},
		{name: "no channel", change: func(o *tipboxtest.Org) { o.Enter("ian", &roster.Member{Roles: []roster.Role{roster.Investigator}}) }, says: "ian is an investigator without a channel"},
		{name: "a channel of no site", site: channels("off-book-funds"), says: "bob is entered for channel bribery"},
		{name: "an example", change: func(o *tipboxtest.Org) {
			s := o.Service.Roster().Schedules[0]
			s.Example = true
			o.SetSchedules(s)
		}, says: "schedule test is still called an example"},
		{name: "too few approvers", change: func(o *tipboxtest.Org) { o.Strike("peter"); o.Strike("paula") }, says: "take 3 approvers, and there are 2", grave: true},
		{name: "too few approvers for an appeal", change: func(o *tipboxtest.Org) { o.Strike("peter") }, says: "an appeal takes 3 approvers who have not decided before, and there are 5"},
		{name: "no payer", change: func(o *tipboxtest.Org) { o.Strike("penny") }, says: "there is no payer", grave: true},
		{name: "no denominations", change: func(o *tipboxtest.Org) { o.SetDenominations() }, says: "no denomination in CNY that is paid for 90 days", grave: true},
		{name: "denominations that end", change: func(o *tipboxtest.Org) { o.SetDenominations(endingOn(t, "2027-05-01")) }, says: "can no longer claim in cny-100,"},
		{name: "denominations that have ended", change: func(o *tipboxtest.Org) { o.SetDenominations(endingOn(t, "2027-01-01")) }, says: "no denomination in CNY", grave: true},
		{name: "too large denominations", change: func(o *tipboxtest.Org) {
			d := endingOn(t, "2040-12-31")
			d.Amount *= 10
			o.SetDenominations(d)
		}, says: "no vouchers come to its smallest award"},
		{name: "an old roster", day: "2028-01-01", says: "the roster was signed on 2026-11-22"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := tipboxtest.New(t, tipboxtest.Config{})
			o.Rewards()
			o.Enter("ruth", &roster.Member{Roles: []roster.Role{roster.Reviewer}})
			o.Enter("rosa", &roster.Member{Roles: []roster.Role{roster.Investigator}, Channels: []string{"off-book-funds", "bribery"}})
			o.Enter("p6", &roster.Member{Roles: []roster.Role{roster.Approver}})
			o.Enter("p7", &roster.Member{Roles: []roster.Role{roster.Approver}})
			o.Install()
			site, day := channels("off-book-funds", "bribery"), today
			if found := tipbox.Weaknesses(o.Service.Roster(), site, day); len(found) > 0 {
				t.Fatalf("an organisation that lacks nothing: %+v", found)
			}
			switch test.name { // which need more to be taken away
			case "one key":
				o.Strike("rosa")
			case "no reviewer":
				o.Strike("ruth")
			case "too few approvers":
				o.Strike("p6")
				o.Strike("p7")
			}
			if test.change != nil {
				test.change(o)
				o.Install()
			}
			if test.site != nil {
				site = test.site
			}
			if test.day != "" {
				day = test.day
			}
			found := tipbox.Weaknesses(o.Service.Roster(), site, day)
			i := slices.IndexFunc(found, func(w tipbox.Weakness) bool { return strings.Contains(w.Says, test.says) })
			if i < 0 || found[i].Grave != test.grave || found[i].Do == "" {
				t.Errorf("found %+v", found)
			}
		})
	}
}

// TestAPayerWhoReadsTipsIsAWeakness of a roster that an earlier version took.
func TestAPayerWhoReadsTipsIsAWeakness(t *testing.T) {
	o := tipboxtest.New(t, tipboxtest.Config{})
	o.Rewards()
	r := o.Service.Roster()
	r.Member("penny").Roles = append(r.Member("penny").Roles, roster.Approver)
	found := tipbox.Weaknesses(r, nil, "2026-11-23")
	if !slices.ContainsFunc(found, func(w tipbox.Weakness) bool {
		return w.Grave && strings.HasPrefix(w.Says, "penny pays, and reads tips")
	}) {
		t.Errorf("found %+v", found)
	}
}

// endingOn is the smallest denomination of Rewards with another end.
func endingOn(t *testing.T, day string) voucher.Denomination {
	return voucher.Denomination{
		ID: "cny-100", Currency: "CNY", Amount: 100_00, Key: tipboxtest.IssuingKey(t, "cny-100").Public(), Since: "2020-01-01", Until: day,
	}
}
