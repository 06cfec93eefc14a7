// Where memory is locked, what Go gives back of it is mapped anew, and would be kept
// apart by its name from what is beside it.
//
//go:debug decoratemappings=0

// Tipboxd is the server.
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
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
