package main

import (
	"context"
	"io"

	"github.com/alecthomas/kong"
)

// cli is the command line: a command is a struct of its settings, and its Run does the work. A setting is a flag, an
// environment variable and a key of the configuration file, all of one name: --local-bytes, VIDMETA_LOCAL_BYTES,
// local-bytes. The flag wins over the variable, the variable over the file, and the file over the default.
type cli struct {
	Config kong.ConfigFlag `placeholder:"FILE" help:"YAML file with settings. Its keys are the names of the flags; those below the name of a command are for that command alone."`
	logSettings

	Serve   serveCommand   `cmd:"" help:"Serve documents over HTTP."`
	Sidecar sidecarCommand `cmd:"" help:"Follow the binlog and carry every change to Redis and to all nodes. Several may run; one leads."`
	Migrate migrateCommand `cmd:"" help:"Make the tables and triggers, or bring them up to date."`
	Seed    seedCommand    `cmd:"" help:"Fill the tables with real film metadata."`
	Doctor  doctorCommand  `cmd:"" help:"Look whether MySQL, Redis, the feed and the clocks are as they have to be, and say how to mend what is not. Ends with status 1 if something has to be mended."`
	Audit   auditCommand   `cmd:"" help:"Compare what all tiers would serve with MySQL. Ends with status 1 if a disagreement outlived 10 s, with 2 if somebody could not be asked."`
	Dev     devCommand     `cmd:"" help:"Run everything on this machine: a database, a Redis Cluster, sidecars and nodes."`
	Version versionCommand `cmd:"" help:"Print what was built from what."`
}

// streams are where a command writes: what was asked for to out, what happens meanwhile to err.
type streams struct {
	out, err io.Writer
}

// run parses args, and what the environment and the configuration file add to them, and runs the command that they
// name. Commands that serve return nil once ctx has ended and all is drained.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c cli
	command, err := c.parse(args, stdout, stderr)
	if command == nil || err != nil {
		return err
	}
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(&c.logSettings, streams{out: stdout, err: stderr})
	return command.Run()
}

// parse fills the settings in. There is no command if the arguments asked for help, which has been given.
func (c *cli) parse(args []string, stdout, stderr io.Writer) (*kong.Context, error) {
	helped := false
	parser, err := kong.New(c,
		kong.Name("vidmeta"),
		kong.Description("Metadata of videos, fast and fresh: local memory, then Redis Cluster, then MySQL."),
		kong.DefaultEnvars("VIDMETA"),
		kong.Configuration(loadFile),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
	)
	if err != nil {
		return nil, err
	}
	command, err := parser.Parse(args)
	if helped {
		return nil, nil
	}
	return command, err
}
