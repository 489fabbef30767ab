// Package run puts arms, loads and counters together: scenario after scenario, all arms of one in turn, again and again.
package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"vidmeta/bench/arm"
	"vidmeta/bench/cores"
	"vidmeta/bench/gauge"
	"vidmeta/bench/result"
)

// turnFunc does one turn of one arm, which has been started with empty caches.
type turnFunc func(ctx context.Context, t *turn) (result.Run, error)

// Run measures what the plan says, and returns when all is done and stopped. It tells progress, from one goroutine, which
// turn begins; seeded, from another, how many videos of all there are. An arm that fails has that in its Note, and no
// further turns; what does not depend on an arm ends the run. If ctx ends, the report of what was measured until then is
// returned with ctx's cause.
func Run(ctx context.Context, p Plan, progress func(Step), seeded func(done, total int)) (report *result.Report, err error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	report = &result.Report{Title: "vidmeta-bench", Started: time.Now().UTC().Truncate(time.Second), Settings: p.settings()}
	defer func() {
		report.Took = result.Seconds(time.Since(report.Started).Seconds())
		if err != nil {
			report.Cut = err.Error()
		}
	}()
	traces, err := p.compare(ctx)
	report.Traces = traces
	if err != nil {
		return report, err
	}
	split, err := p.split()
	if err != nil {
		return report, err
	}
	report.Settings["processors"] = split.String()
	leave, err := split.Enter()
	if err != nil {
		return report, err
	}
	defer leave()
	g, err := prepare(ctx, p.Servers, split, p.Videos, seeded)
	if err != nil {
		return report, err
	}
	defer g.stop()
	if report.Machine, err = gauge.Machine(ctx, g.db, g.messages); err != nil {
		return report, err
	}
	report.Commit = gauge.Commit()

	some := p.chosen()
	var step Step
	for _, s := range some {
		first, last := p.rounds(&s)
		step.Total += len(s.arms) * (last - first + 1)
	}
	for _, s := range some {
		sc, err := p.perform(ctx, g, &s, func(what string) {
			step.What = s.name + ": " + what
			progress(step)
			step.Done++
		})
		report.Scenarios = append(report.Scenarios, sc)
		if err != nil {
			return report, err
		}
	}
	step.What = "done"
	progress(step)
	return report, nil
}

// split is who runs where.
func (p *Plan) split() (cores.Split, error) {
	if p.Shared {
		return cores.Split{}, nil
	}
	return cores.Halve()
}

// rounds are the first and the last in which all arms take a turn. From 1 to as many as the plan wants they are measured; 0
// is for the filling of caches, and the one after for profiles.
func (p *Plan) rounds(s *scenario) (first, last int) {
	first, last = 1, p.repeats(s)
	if s.fill {
		first = 0
	}
	if p.Profile {
		last++
	}
	return first, last
}

// perform has all arms of a scenario take their turns, and tells begin which one comes.
func (p *Plan) perform(ctx context.Context, g *ground, s *scenario, begin func(what string)) (result.Scenario, error) {
	sc := result.Scenario{Name: s.name, Title: s.title, About: s.about}
	kinds := make([]arm.Kind, len(s.arms))
	for i, name := range s.arms {
		kind, err := arm.Find(kindOf(name))
		if err != nil {
			return sc, err
		}
		kinds[i] = kind
		sc.Arms = append(sc.Arms, result.Arm{Name: name, About: kind.About})
	}
	if err := (&arm.Launcher{Settings: arm.Settings{Redis: g.redis}}).Flush(ctx); err != nil {
		return sc, err
	}
	first, last := p.rounds(s)
	for i := range sc.Arms { // what an earlier run has left would be taken for this one's
		for _, end := range []string{".log", ".cpu.pprof", ".heap.pprof", ".metrics"} {
			if err := os.Remove(p.prefix(s, sc.Arms[i].Name) + end); err != nil && !errors.Is(err, os.ErrNotExist) {
				return sc, err
			}
		}
	}
	for round := first; round <= last; round++ {
		for i := range sc.Arms {
			a := &sc.Arms[i]
			begin(fmt.Sprintf("%s, round %d of %d", a.Name, round, last))
			if a.Note != "" || round == 0 && !slices.Contains(kinds[i].Needs, "redis") {
				continue
			}
			var r result.Run
			turn := func() (err error) {
				r, err = p.take(ctx, g, s, a.Name, round)
				return err
			}
			var err error
			if round > 0 {
				err = turn()
			} else {
				err = g.unmeasured(turn)
			}
			if ctx.Err() != nil {
				return sc, context.Cause(ctx)
			}
			if err != nil {
				a.Note = err.Error()
				continue
			}
			if r.Repeat = round; round >= 1 && round <= p.repeats(s) {
				a.Runs = append(a.Runs, r)
			}
		}
	}
	return sc, nil
}

// kindOf returns which arm serves for a name of a scenario's.
func kindOf(name string) string {
	switch name {
	case "single", "batch":
		return "vidmeta"
	}
	return name
}

// prefix begins the paths of an arm's log and profiles.
func (p *Plan) prefix(s *scenario, arm string) string { return filepath.Join(p.Out, s.name+"-"+arm) }

// take does one turn.
func (p *Plan) take(ctx context.Context, g *ground, s *scenario, name string, round int) (r result.Run, err error) {
	kind, err := arm.Find(kindOf(name))
	if err != nil {
		return r, err
	}
	launcher := arm.Launcher{
		Program: []string{p.Program, "arm"}, Vidmeta: p.Vidmeta,
		Settings: arm.Settings{MySQL: g.dsn, Redis: g.redis, TTL: p.TTL, RedisTTL: p.RedisTTL, LocalBytes: p.Local},
	}
	if s.redisTTL > 0 {
		launcher.Settings.RedisTTL = s.redisTTL
	}
	if s.empty {
		if err := launcher.Flush(ctx); err != nil {
			return r, err
		}
	}
	prefix := p.prefix(s, name)
	var running *arm.Running
	start := func() (err error) {
		running, err = launcher.Start(ctx, kind.Name, prefix+".log")
		return err
	}
	if round > 0 {
		err = g.split.Start(start)
	} else {
		err = start() // on all processors, which it has been lent
	}
	if err != nil {
		return r, err
	}
	defer func() {
		if stopped := running.Stop(context.WithoutCancel(ctx)); err == nil {
			err = stopped
		}
	}()
	if round == 0 {
		return r, running.Fill(ctx, p.Videos)
	}
	t := newTurn(p, g, running, name, uint64(round))
	t.keeps = s.fill && kind.Keeps && !p.Empty
	if round <= p.repeats(s) {
		return s.turn(ctx, t)
	}
	var profiles errgroup.Group
	t.measuring = func() {
		profiles.Go(func() error { return gauge.Profiles(ctx, running.Admin, prefix, p.Measure) })
	}
	_, err = s.turn(ctx, t)
	return r, errors.Join(err, profiles.Wait())
}

// settings are what a reader of the report wants to know of the plan.
func (p *Plan) settings() map[string]string {
	return map[string]string{
		"repeats": fmt.Sprintf("%d, in scenarios without a headline %d", p.Repeats, p.Others), "measured for": p.Measure.String(), "warmed for": p.Warm.String(),
		"clients": strconv.Itoa(p.Clients), "videos": comma(p.Videos), "Zipf skew": fmt.Sprint(p.Skew),
		"writes per request": fmt.Sprint(p.Writes), "TTL in the process": p.TTL.String(), "TTL in Redis": brief(p.RedisTTL),
		"local tier": fmt.Sprintf("%d MiB", p.Local>>20),
	}
}
