package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"tipbox/crypto/roster"
)

type notifyCmd struct {
	Dir  string `arg:"" help:"The server's folder." type:"existingdir"`
	Test bool   `help:"Send a test to everybody who is named, now."`
	JSON bool   `help:"Print one JSON document."`
}

func (*notifyCmd) Help() string {
	return "Example: tipboxd notify /srv/tipbox --test\n\n" +
		"Shows what of the last notifications could not be delivered, and why; with --test, what becomes of a test. Exit status 1 if anything failed. " +
		"The server may run.\n\n" +
		"Members are told at fixed hours that there is work, and nothing else: see [notify] in tipbox.toml, and restart the server after a change. " +
		"What fails is tried again for an hour, unless it was refused for good. " +
		"It is settled at the hour who is told what, and sent five minutes later, however long that took. " +
		"An hour at which the server was down is made up for when it starts, on the same day. " +
		"Mails are of one size for everybody, go only over STARTTLS to a server whose certificate is good, and bear the fixed hour as their time."
}

func (c *notifyCmd) Run(a *app) error {
	if err := actAsOwner(c.Dir); err != nil {
		return err
	}
	f := &folder{path: c.Dir}
	if err := f.readChecked(); err != nil {
		return err
	}
	show := c.last
	if c.Test {
		show = c.test
	}
	hour, outcomes, err := show(a, f)
	if err != nil {
		return err
	}
	if err := c.print(a, hour, outcomes); err != nil {
		return err
	}
	failed := 0
	for _, o := range outcomes {
		if o.Error != "" {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d not delivered: put right what is named above, and try with tipboxd notify %s --test", failed, c.Dir)
	}
	return nil
}

// last is what failed at the last hour.
func (c *notifyCmd) last(_ *app, f *folder) (hour string, outcomes []outcome, err error) {
	state, err := readNotifyState(f.file(notifyName))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil, nil
	}
	if len(state.Done) > 0 {
		hour = state.Done[len(state.Done)-1]
	}
	return hour, state.Failed, err
}

// test sends everybody a test.
func (c *notifyCmd) test(a *app, f *folder) (hour string, outcomes []outcome, err error) {
	recipients := f.recipients(a.log)
	if len(recipients) == 0 {
		return "", nil, fmt.Errorf("nobody is named in [notify] of %s: add a [[notify.mail]] or [[notify.webhook]]", f.file(configName))
	}
	signed, err := readFile(f.file(rosterName))
	if err != nil {
		return "", nil, err
	}
	members, err := roster.Open(signed, f.config.Root, roster.Mark{})
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", f.file(rosterName), err)
	}
	now := time.Now().In(f.location).Truncate(time.Minute)
	for _, r := range recipients {
		o := outcome{Member: r.member, By: r.by, Error: "not in the roster, and so told nothing"}
		if members.Member(r.member) != nil {
			o.Error, _ = r.deliver(a.ctx, newNotice(tidingsTest, now))
		}
		if err := a.ctx.Err(); err != nil {
			return "", nil, err
		}
		outcomes = append(outcomes, o)
	}
	return "", outcomes, nil
}

func (c *notifyCmd) print(a *app, hour string, outcomes []outcome) error {
	if c.JSON {
		doc, err := json.Marshal(struct {
			Hour     string    `json:"hour,omitempty"`
			Outcomes []outcome `json:"outcomes"`
		}{hour, append([]outcome{}, outcomes...)})
		if err != nil {
			return err
		}
		a.print("%s\n", doc)
		return nil
	}
	for _, o := range outcomes {
		if o.Error == "" {
			o.Error = "delivered"
		}
		a.print("%s by %s: %s\n", o.Member, o.By, o.Error)
	}
	if c.Test {
		return nil
	}
	if hour == "" {
		hour = "never yet"
	}
	a.print("last hour: %s, %d not delivered\n", hour, len(outcomes))
	return nil
}
