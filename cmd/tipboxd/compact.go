package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

type compactCmd struct {
	Dir string `arg:"" help:"The server's folder." type:"existingdir"`
}

func (*compactCmd) Help() string {
	return "Example: tipboxd compact /srv/tipbox\n\n" +
		"Writes the database anew, without what was erased: deleted values stay in a database's free pages until then. " +
		"A running server does it by itself when a day is over; this does it now. " +
		"Tips come in meanwhile. It needs as much free space as the database has records. " +
		"Backups made before still hold what was erased since."
}

func (c *compactCmd) Run(a *app) error {
	if err := actAsOwner(c.Dir); err != nil {
		return err
	}
	if err := checkModes(c.Dir); err != nil {
		return err
	}
	before, err := os.Stat(filepath.Join(c.Dir, databaseName))
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := askDatabase(a.ctx, c.Dir, compactRequest); err != nil {
		return err
	}
	after, err := os.Stat(filepath.Join(c.Dir, databaseName))
	if err != nil {
		return err
	}
	f := &folder{path: c.Dir}
	if err = f.readConfig(); err == nil {
		err = keepDay(c.Dir, compactMark, began.In(f.location))
	}
	if err != nil {
		fmt.Fprintf(a.stderr, "It is done, and the day cannot be noted: %v\n", err)
	}
	a.print("%d bytes, before %d\n", after.Size(), before.Size())
	return nil
}
