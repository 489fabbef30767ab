// Command vidmeta serves the metadata of videos from a local tier, Redis Cluster and MySQL, and carries every change in
// MySQL to the caches. Run "vidmeta --help" for its commands; "vidmeta dev" starts all of it on this machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	silenceDrivers()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "vidmeta:", err)
		os.Exit(exitCode(err))
	}
}

// exitCode is 1 unless the error says otherwise, as that of a command line does which cannot be understood.
func exitCode(err error) int {
	var e kong.ExitCoder
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	return 1
}
