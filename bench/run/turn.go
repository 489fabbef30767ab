package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"vidmeta/bench/arm"
	"vidmeta/bench/gauge"
	"vidmeta/bench/load"
	"vidmeta/bench/result"
)

// turn is one arm that runs, and what is counted around it.
type turn struct {
	plan    *Plan
	ground  *ground
	running *arm.Running
	arm     string // its name in the scenario
	keeps   bool   // it begins with what a while of traffic has left in the process
	ledger  *load.Ledger
	seed    uint64 // the same for all arms of one repeat
	loads   uint64
	// measuring is called when what the turn is about begins, after all that leads up to it.
	measuring func()
}

func newTurn(p *Plan, g *ground, running *arm.Running, name string, repeat uint64) *turn {
	return &turn{plan: p, ground: g, running: running, arm: name, seed: repeat << 32, ledger: load.NewLedger(uint64(p.Videos)),
		measuring: func() {}}
}

// shape is what a load is like besides its keys and its rate.
type shape struct {
	batch   int
	few     bool // it is about few documents
	missing bool
	writes  float64   // transactions for each request
	changes float64   // transactions a second, in place of writes
	written load.Keys // what they change
}

// closed has as many clients as the plan says ask again and again.
func (t *turn) closed(ctx context.Context, keys load.Keys, d time.Duration, s shape) (*result.Load, error) {
	settings := t.settings(keys, d, s)
	pace := load.PerSecond(s.changes)
	if pace == nil && s.writes > 0 {
		settings.Answered = new(atomic.Int64)
		pace = load.PerAnswer(s.writes, settings.Answered)
	}
	return t.observe(ctx, pace, s.written, func(ctx context.Context) (result.Load, error) {
		return load.Closed(ctx, settings)
	})
}

// open sends requests at a rate.
func (t *turn) open(ctx context.Context, keys load.Keys, rate float64, d time.Duration, s shape) (*result.Load, error) {
	settings := t.settings(keys, d, s)
	pace := load.PerSecond(s.changes)
	if pace == nil {
		pace = load.PerSecond(s.writes * rate)
	}
	return t.observe(ctx, pace, s.written, func(ctx context.Context) (result.Load, error) {
		return load.Open(ctx, settings, rate)
	})
}

func (t *turn) settings(keys load.Keys, d time.Duration, s shape) load.Settings {
	t.loads++
	return load.Settings{
		Target: load.Target{URL: t.running.URL, Batch: s.batch, Missing: s.missing},
		Keys:   keys, Clients: t.plan.Clients, Duration: d, Seed: t.seed + t.loads,
		Ledger: t.ledger, Origin: t.ground.statements.Statements,
	}
}

// observe runs a load, with writers beside it if they have a pace, and adds to it what the counters around it say.
func (t *turn) observe(ctx context.Context, pace load.Pace, written load.Keys, run func(context.Context) (result.Load, error)) (*result.Load, error) {
	before, err := t.read(ctx)
	if err != nil {
		return nil, err
	}
	var l result.Load
	var w load.Written
	work, done := context.WithCancel(ctx)
	defer done()
	var g errgroup.Group
	if pace != nil {
		g.Go(func() (err error) {
			w, err = load.Write(work, t.ground.db, written, pace, t.ledger)
			return err
		})
	}
	g.Go(func() (err error) {
		defer done()
		l, err = run(work)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	after, err := t.read(ctx)
	if err != nil {
		return nil, err
	}
	if w.Errors > 0 {
		return nil, fmt.Errorf("%d transactions failed: %s", w.Errors, w.Error)
	}
	l.Writes, l.MySQL = w.Transactions, after.mysql-before.mysql-w.Statements
	l.Redis = after.redis - before.redis
	l.Stolen = (after.stolen - before.stolen).Seconds() / (float64(l.Took) * float64(runtime.NumCPU()))
	if n := t.ground.split.Asking(); n > 0 {
		l.Busy = (after.own - before.own).Seconds() / (float64(l.Took) * float64(n) * max(1-l.Stolen, 0.1)) // of what was to be had
	}
	l.Tiers, l.CPU = map[string]int64{}, map[string]result.Micros{}
	for tier, n := range after.tiers {
		l.Tiers[tier] = n - before.tiers[tier]
	}
	for who, used := range after.cpu {
		l.CPU[who] = result.Micros(float64((used - before.cpu[who]).Microseconds()) / float64(max(1, l.Requests)))
	}
	if l.Requests == 0 {
		return nil, errors.New("no request was answered: " + l.Error)
	}
	return &l, nil
}

// reading is what all counters say at a time.
type reading struct {
	mysql, redis int64
	tiers        map[string]int64
	cpu          map[string]time.Duration
	own          time.Duration // processor time of this process
	stolen       time.Duration
}

func (t *turn) read(ctx context.Context) (r reading, err error) {
	pids := maps.Clone(t.ground.pids)
	maps.Copy(pids, t.running.Pids())
	if r.cpu, err = gauge.CPU(pids); err != nil {
		return r, err
	}
	if r.own, err = gauge.Own(); err != nil {
		return r, err
	}
	if r.stolen, err = gauge.Stolen(); err != nil {
		return r, err
	}
	if r.mysql, err = t.ground.statements.Statements(ctx); err != nil {
		return r, err
	}
	if r.redis, err = t.ground.messages.Messages(ctx); err != nil {
		return r, err
	}
	r.tiers, err = t.running.Tiers(ctx)
	return r, err
}
