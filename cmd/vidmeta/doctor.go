package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// doctorCommand looks at everything that the service rests on.
type doctorCommand struct {
	mysqlSettings
	redisSettings
	skewSettings
	JSON bool `name:"json" env:"-" help:"Print the findings as JSON."`
}

// errUnwell ends a doctor's visit that found something to mend.
var errUnwell = errors.New("not all is well")

// doctorTimeout bounds one check.
const doctorTimeout = 10 * time.Second

// level says how bad a finding is.
type level string

const (
	levelOK   level = "ok"
	levelWarn level = "warn" // works, but not always or not well
	levelFail level = "fail" // does not work
)

// finding is what a check has to say.
type finding struct {
	Level level  `json:"level"`
	Check string `json:"check"`
	What  string `json:"what"`
	Mend  string `json:"mend,omitempty"`
}

func fine(format string, args ...any) finding {
	return finding{Level: levelOK, What: fmt.Sprintf(format, args...)}
}

func warn(mend, format string, args ...any) finding {
	return finding{Level: levelWarn, Mend: mend, What: fmt.Sprintf(format, args...)}
}

func fail(mend, format string, args ...any) finding {
	return finding{Level: levelFail, Mend: mend, What: fmt.Sprintf(format, args...)}
}

// check looks at one thing of a P, a patient.
type check[P any] struct {
	name string
	look func(context.Context, P) []finding
}

// examine makes the checks in their order. Where the first fails there is nothing for the others to look at.
func examine[P any](ctx context.Context, patient P, checks []check[P]) []finding {
	var all []finding
	for i, c := range checks {
		ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
		found := c.look(ctx, patient)
		cancel()
		for j := range found {
			found[j].Check = c.name
		}
		all = append(all, found...)
		if i == 0 && slices.ContainsFunc(found, func(f finding) bool { return f.Level == levelFail }) {
			break
		}
	}
	return all
}

// Run looks, prints the findings, and ends with an error if any of them is a failure.
func (s *doctorCommand) Run(ctx context.Context, std streams) error {
	if err := errors.Join(s.mysqlSettings.validate(), s.redisSettings.validate(), s.skewSettings.validate()); err != nil {
		return err
	}
	origin, err := newMySQLPatient(s.mysqlSettings, s.ClockSkew)
	if err != nil {
		return err
	}
	defer origin.close()
	shared, err := newRedisPatient(s.redisSettings, s.ClockSkew)
	if err != nil {
		return err
	}
	defer shared.close()

	findings := slices.Concat(examine(ctx, origin, mysqlChecks), examine(ctx, shared, redisChecks))
	if !away(findings, redisChecks[0].name) {
		feed := &feedPatient{origin: origin, shared: shared}
		if away(findings, mysqlChecks[0].name) {
			feed.origin = nil
		}
		findings = append(findings, examine(ctx, feed, feedChecks)...)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.JSON {
		err = printJSON(std.out, findings)
	} else {
		err = printFindings(std.out, findings)
	}
	if err != nil {
		return err
	}
	if n := count(findings, levelFail); n > 0 {
		return fmt.Errorf("%w: %d of %d findings are failures", errUnwell, n, len(findings))
	}
	return nil
}

// away reports whether a check has failed that says whether there is anybody to ask.
func away(findings []finding, check string) bool {
	return slices.ContainsFunc(findings, func(f finding) bool { return f.Level == levelFail && f.Check == check })
}

func count(findings []finding, l level) (n int) {
	for _, f := range findings {
		if f.Level == l {
			n++
		}
	}
	return n
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func printFindings(w io.Writer, findings []finding) error {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%-5s %-10s %s\n", f.Level, f.Check, f.What)
		if f.Mend != "" {
			fmt.Fprintf(&b, "%-16s -> %s\n", "", f.Mend)
		}
	}
	fmt.Fprintf(&b, "\n%d ok, %d to look at, %d to mend\n", count(findings, levelOK), count(findings, levelWarn), count(findings, levelFail))
	_, err := io.WriteString(w, b.String())
	return err
}

// clockFinding judges how far a server's clock is off, as seen over a round trip.
func clockFinding(whose string, server, before, after time.Time, skew time.Duration) finding {
	trip := after.Sub(before)
	off := server.Sub(before.Add(trip / 2))
	text := fmt.Sprintf("the clock of %s differs from this host's by %v (seen within %v)", whose, off.Round(time.Microsecond), (trip / 2).Round(time.Microsecond))
	if off.Abs()-trip/2 > skew {
		return warn("synchronise the clocks of all hosts (chrony, systemd-timesyncd); --clock-skew (VIDMETA_CLOCK_SKEW) of the nodes must cover what remains",
			"%s; --clock-skew is %v", text, skew)
	}
	return fine("%s", text)
}
