package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"vidmeta/bench/report"
	"vidmeta/bench/result"
	"vidmeta/bench/run"
	"vidmeta/internal/progress"
)

// runCommand measures. Flags that are not given have the value of the short or of the full plan.
type runCommand struct {
	Full      bool          `help:"Every scenario, longer loads, profiles; 45 minutes."`
	Scenario  []string      `help:"Only these scenarios." placeholder:"NAME"`
	Arm       []string      `help:"Only these arms." placeholder:"NAME"`
	Repeats   int           `help:"Turns of each arm." placeholder:"N"`
	Measure   time.Duration `help:"How long one load takes." placeholder:"DURATION"`
	Clients   int           `help:"Connections of a closed loop." placeholder:"N"`
	Videos    int           `help:"Documents in the database." placeholder:"N"`
	Skew      *float64      `help:"Of the Zipf distribution." placeholder:"S"`
	Writes    *float64      `help:"Transactions for each request." placeholder:"SHARE"`
	Trace     []string      `help:"Traces to compare policies on: web12, orm-busy, or FORMAT:FILE with the format uint32, int64 or youtube." placeholder:"TRACE"`
	Shared    bool          `name:"shared-cpus" help:"Let the load share all processors with what it is sent to, in place of half of them for each."`
	Empty     bool          `name:"empty-local" help:"Begin each turn with nothing in the process, also where documents end by changes alone and not by time."`
	Profile   bool          `help:"Take profiles of the Go programs, in one more turn of each arm."`
	MySQL     string        `name:"mysql" env:"VIDMETA_BENCH_MYSQL" help:"DSN of a database to measure with, in place of a server started here. It is migrated, seeded and written to." placeholder:"DSN"`
	Redis     []string      `name:"redis" env:"VIDMETA_BENCH_REDIS" help:"Addresses of a Redis Cluster to measure with, in place of one started here. It is flushed again and again." placeholder:"ADDR"`
	MySQLD    string        `name:"mysqld" env:"VIDMETA_MYSQLD" help:"MySQL's server program, to start in place of MariaDB." placeholder:"FILE"`
	Vidmeta   string        `help:"The program vidmeta. By default the one beside this program." placeholder:"FILE"`
	Dir       string        `default:".bench" help:"Folder for the report, the logs, and the data of the servers, which the next run uses again."`
	Readme    string        `help:"File to put the table into, between its markers." placeholder:"FILE"`
	FailBelow bool          `help:"End with status 1 if a headline does not hold."`
}

func (c *runCommand) plan() (run.Plan, error) {
	p := run.Short()
	if c.Full {
		p = run.Full()
	}
	program, err := os.Executable()
	if err != nil {
		return p, err
	}
	p.Program, p.Vidmeta, p.Out = program, c.Vidmeta, filepath.Join(c.Dir, "logs")
	if p.Vidmeta == "" {
		p.Vidmeta = filepath.Join(filepath.Dir(program), "vidmeta")
	}
	if _, err := os.Stat(p.Vidmeta); err != nil {
		return p, fmt.Errorf("--vidmeta: %w", err)
	}
	p.Servers = run.Servers{MySQL: c.MySQL, Redis: c.Redis, MySQLD: c.MySQLD, Dir: filepath.Join(c.Dir, "servers")}
	p.Scenarios, p.Arms, p.Profile = pick(c.Scenario, p.Scenarios), c.Arm, p.Profile || c.Profile
	p.Shared, p.Empty = c.Shared, c.Empty
	p.Traces = pick(c.Trace, p.Traces)
	if len(c.Scenario) > 0 && len(c.Trace) == 0 {
		p.Traces = nil // somebody who wants one scenario does not want to wait for others
	}
	set(&p.Repeats, c.Repeats)
	set(&p.Others, c.Repeats)
	set(&p.Measure, c.Measure)
	set(&p.Clients, c.Clients)
	set(&p.Videos, c.Videos)
	p.Hot, p.Cold = min(p.Hot, p.Videos), min(p.Cold, p.Videos)
	if c.Skew != nil {
		p.Skew = *c.Skew
	}
	if c.Writes != nil {
		p.Writes = *c.Writes
	}
	return p, nil
}

func pick(given, otherwise []string) []string {
	if len(given) > 0 {
		return given
	}
	return otherwise
}

// set makes v what is given, if anything is.
func set[T comparable](v *T, given T) {
	var none T
	if given != none {
		*v = given
	}
}

// Run measures, and writes the report even if it was interrupted.
func (c *runCommand) Run(ctx context.Context, std streams) error {
	p, err := c.plan()
	if err != nil {
		return err
	}
	if c.Readme != "" { // an answer now is better than one after the last load
		if _, err := spliced(c.Readme, &result.Report{}); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(p.Out, 0o755); err != nil {
		return err
	}
	seeding, turns := progress.New(std.err, "seeding"), progress.New(std.err, "measuring")
	r, err := run.Run(ctx, p, func(s run.Step) { turns.Set(s.Done, s.Total, s.What) },
		func(done, total int) {
			seeding.Set(done, total, "")
			if done == total {
				seeding.Close()
			}
		})
	turns.Close()
	if r == nil || len(r.Scenarios)+len(r.Traces) == 0 {
		return err
	}
	readme := c.Readme
	if err != nil {
		readme = "" // the README's table is that of a whole run
	}
	return errors.Join(err, publish(r, c.Dir, readme, std), c.judge(r))
}

// judge is an error if a headline does not hold and that matters.
func (c *runCommand) judge(r *result.Report) error {
	if !c.FailBelow {
		return nil
	}
	var errs []error
	for _, h := range report.Headlines(r) {
		if h.Known && !h.Holds {
			errs = append(errs, fmt.Errorf("%s: wanted %s, measured %s", h.Claim, h.Wanted, h.Measured))
		}
	}
	return errors.Join(errs...)
}

// publish writes all forms of a report to a folder, and the README's table if one is named.
func publish(r *result.Report, dir, readme string, std streams) error {
	for _, f := range []struct {
		name  string
		write func(io.Writer, *result.Report) error
	}{{"report.json", report.Write}, {"report.md", report.Markdown}, {"report.html", report.HTML}} {
		if err := writeFile(filepath.Join(dir, f.name), r, f.write); err != nil {
			return err
		}
	}
	picture := filepath.Join(dir, "report.svg")
	err := writeFile(picture, r, report.Picture)
	if errors.Is(err, report.ErrNotMeasured) {
		err = os.Remove(picture) // that of an earlier run is no part of this report
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if readme != "" {
		text, err := spliced(readme, r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(readme, text, 0o644); err != nil {
			return err
		}
	}
	if err := report.Markdown(std.out, r); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.err, "the report: %s, and other forms beside it\n", filepath.Join(dir, "report.html"))
	return err
}

// spliced returns the README with its table made anew.
func spliced(readme string, r *result.Report) ([]byte, error) {
	text, err := os.ReadFile(readme)
	if err != nil {
		return nil, err
	}
	if text, err = report.Splice(text, r); err != nil {
		return nil, fmt.Errorf("%s: add the line, and the table goes between the two: %w", readme, err)
	}
	return text, nil
}

// writeFile writes one form of a report, whole or not at all.
func writeFile(path string, r *result.Report, write func(io.Writer, *result.Report) error) error {
	var b bytes.Buffer
	if err := write(&b, r); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
