// Command vidmeta-bench shows what the tiers are worth on the machine at hand: it puts vidmeta, what others would use in
// its place, and vidmeta without one mechanism at a time under the same load, and writes a report.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9/logging"
)

// cli is the command line.
type cli struct {
	Run    runCommand    `cmd:"" default:"withargs" help:"Measure, and write a report. This is what is done without a command; its flags: run --help."`
	Arm    armCommand    `cmd:"" hidden:"" help:"Serve as one arm; run does it for each."`
	Arms   armsCommand   `cmd:"" help:"List the arms and what they are made of."`
	Report reportCommand `cmd:"" help:"Write the report of an earlier run anew, from its JSON."`
}

// streams are where a command writes: what was asked for to out, what happens meanwhile to err.
type streams struct {
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	logging.Disable()            // it prints each connection that a Redis refuses which is about to be stopped
	var c cli
	command := kong.Parse(&c, kong.Name("vidmeta-bench"), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Description("What the tiers of vidmeta are worth, measured side by side."))
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(streams{out: os.Stdout, err: os.Stderr})
	if err := command.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "vidmeta-bench:", err)
		os.Exit(1)
	}
}
