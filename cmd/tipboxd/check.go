package main

import (
	"context"
	"encoding/json"
	"fmt"

	"tipbox/tipbox"
)

type checkCmd struct {
	Dir  string `arg:"" help:"The server's folder." type:"existingdir"`
	JSON bool   `help:"Print one JSON document."`
}

func (*checkCmd) Help() string {
	return "Example: tipboxd check /srv/tipbox\n\n" +
		"The server must not be running. Exit status 1 if anything is wrong. Files of tips that were never finished are no fault: the next start removes them."
}

func (c *checkCmd) Run(a *app) error {
	if err := actAsOwner(c.Dir); err != nil {
		return err
	}
	f, err := openFolder(a.ctx, c.Dir, a.log)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.loadLook(); err != nil {
		return err
	}
	report, err := f.check(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		doc, err := json.Marshal(report)
		if err != nil {
			return err
		}
		a.print("%s\n", doc)
	} else {
		for _, p := range report.Problems {
			a.print("%s\n", p)
		}
		a.print("%d tips, %d messages, %d files; %d unfinished files, %d problems\n",
			report.Tips, report.Messages, report.Files, len(report.Orphans), len(report.Problems))
	}
	if n := len(report.Problems); n > 0 {
		return fmt.Errorf("%d problems: keep a copy of the folder as it is before you do anything", n)
	}
	return nil
}

// check looks at all of the folder.
func (f *folder) check(ctx context.Context) (*tipbox.Report, error) {
	report, err := f.service.Check(ctx)
	if err != nil {
		return nil, err
	}
	if err := f.db.Check(ctx); err != nil {
		report.Problems = append(report.Problems, fmt.Sprintf("database: %v", err))
	}
	return report, nil
}
