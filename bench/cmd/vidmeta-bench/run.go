package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vidmeta/bench/report"
	"vidmeta/bench/result"
	"vidmeta/bench/run"
	"vidmeta/internal/progress"
)

// runCommand measures. Flags that are not given have the value of the short or of the full plan.
type runCommand struct {
	Full      bool           `help:"Every scenario, longer loads, profiles; 45 minutes."`
	Scenario  []string       `help:"Only these scenarios." placeholder:"NAME"`
	Arm       []string       `help:"Only these arms." placeholder:"NAME"`
	Repeats   *int           `help:"Turns of each arm." placeholder:"N"`
	Measure   *time.Duration `help:"How long one load takes." placeholder:"DURATION"`
	Clients   *int           `help:"Connections of a closed loop." placeholder:"N"`
	Videos    *int           `help:"Documents in the database." placeholder:"N"`
	Skew      *float64       `help:"Of the Zipf distribution." placeholder:"S"`
	Writes    *float64       `help:"Transactions for each request." placeholder:"SHARE"`
	Trace     []string       `help:"Traces to compare policies on: web12, orm-busy, or FORMAT:FILE with the format uint32, int64 or youtube." placeholder:"TRACE"`
	Shared    bool           `name:"shared-cpus" help:"Let the load share all processors with what it is sent to, in place of half of them for each."`
	Empty     bool           `name:"empty-local" help:"Begin each turn with nothing in the process, also where documents end by changes alone and not by time."`
	Profile   bool           `help:"Take profiles of the Go programs, in one more turn of each arm."`
	MySQL     string         `name:"mysql" env:"VIDMETA_BENCH_MYSQL" help:"DSN of a database to measure with, in place of a server started here. It is migrated, seeded and written to." placeholder:"DSN"`
	Redis     []string       `name:"redis" env:"VIDMETA_BENCH_REDIS" help:"Addresses of a Redis Cluster to measure with, in place of one started here. It is flushed again and again." placeholder:"ADDR"`
	MySQLD    string         `name:"mysqld" env:"VIDMETA_MYSQLD" help:"MySQL's server program, to start in place of MariaDB." placeholder:"FILE"`
	Vidmeta   string         `help:"The program vidmeta. By default the one beside this program." placeholder:"FILE"`
	Dir       string         `default:".bench" help:"Folder for the report, the logs, and the data of the servers, which the next run uses again."`
	Readme    string         `help:"File to put the table into, between its markers." placeholder:"FILE"`
	FailBelow bool           `help:"End with status 1 if a headline does not hold."`
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
	set(&p.Skew, c.Skew)
	set(&p.Writes, c.Writes)
	return p, nil
}

func pick(given, otherwise []string) []string {
	if len(given) > 0 {
		return given
	}
	return otherwise
}

// set makes v what is given, if anything is.
func set[T any](v *T, given *T) {
	if given != nil {
		*v = *given
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
	if r == nil {
		return err
	}
	failed := absent(r)
	if !anything(r) { // an earlier report is worth more
		return errors.Join(err, failed)
	}
	readme := c.Readme
	if err != nil || failed != nil {
		readme = "" // the README's table is that of a whole run
	}
	return errors.Join(err, publish(r, filepath.Join(c.Dir, "report"), readme, std), c.judge(r), failed)
}

// anything reports whether anything was measured. Policies are compared first, and not by measuring.
func anything(r *result.Report) bool {
	return len(r.Traces) > 0 && r.Cut == "" || slices.ContainsFunc(r.Scenarios, func(s result.Scenario) bool {
		return slices.ContainsFunc(s.Arms, func(a result.Arm) bool { return len(a.Runs) > 0 })
	})
}

// absent is an error if an arm could not be measured, or not to its end.
func absent(r *result.Report) error {
	var errs []error
	for _, s := range r.Scenarios {
		for _, a := range s.Arms {
			if why, _, _ := strings.Cut(a.Note, "\n"); why != "" {
				errs = append(errs, fmt.Errorf("%s, %s could not be measured: %s", s.Name, a.Name, why))
			}
		}
	}
	return errors.Join(errs...)
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

// publish writes all forms of a report to files that begin with a path, and the README's table if one is named.
func publish(r *result.Report, path, readme string, std streams) error {
	for _, f := range []struct {
		end   string
		write func(io.Writer, *result.Report) error
	}{{".json", report.Write}, {".md", report.Markdown}, {".html", report.HTML}} {
		if err := writeFile(path+f.end, r, f.write); err != nil {
			return err
		}
	}
	picture := path + ".svg"
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
	_, err = fmt.Fprintf(std.err, "the report: %s, and other forms beside it\n", path+".html")
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
