// Tipbox is the tool of members, and of whoever holds the root key. What it
// shows was verified on this machine: the server is not believed.
//
// It speaks English and Chinese. Messages are written in English where they are
// made, and are put into the member's language when they are shown: what is printed
// by its format (see catalogue), errors and whatever else is made, stored or sent
// before by recognising it (see known). An error is a chain; each part of it that the
// catalogue knows is said in the language, and a part that it does not know stays as
// it is, in its place, as names and numbers do. What is typed (commands, states,
// actions, roles) stays what it is, with its meaning beside it. What other programs
// read, JSON, CSV, calendars, completions, notes, exports and bundles, is the same in
// every language.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
