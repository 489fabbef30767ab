package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"vidmeta/bench/arm"
	"vidmeta/bench/report"
)

// armCommand serves as one arm, until it is told to stop.
type armCommand struct{ arm.Settings }

// Run serves.
func (c *armCommand) Run(ctx context.Context) error { return arm.Serve(ctx, c.Settings) }

// armsCommand lists the arms.
type armsCommand struct{}

// Run prints one line for each.
func (armsCommand) Run(std streams) error {
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, k := range arm.Kinds() {
		note := ""
		if err := k.Installed(); err != nil {
			note = fmt.Sprintf(" (%v)", err)
		}
		fmt.Fprintf(w, "%s\t%s%s\n", k.Name, k.About, note)
	}
	return w.Flush()
}

// reportCommand renders what has been measured.
type reportCommand struct {
	File   string `arg:"" help:"report.json of an earlier run; the other forms are written beside it, under its name."`
	Readme string `help:"File to put the table into, between its markers." placeholder:"FILE"`
}

// Run writes the report.
func (c *reportCommand) Run(std streams) error {
	r, err := report.Read(c.File)
	if err != nil {
		return err
	}
	path, ok := strings.CutSuffix(c.File, ".json")
	if !ok {
		return fmt.Errorf("%s: the other forms are written beside it under its name, which has to end in .json", c.File)
	}
	if c.Readme != "" && (r.Cut != "" || absent(r) != nil) {
		return fmt.Errorf("%s is not of a whole run, whose table a README has", c.File)
	}
	return publish(r, path, c.Readme, std)
}
