// Package audit asks whether all tiers still say what MySQL says. It picks documents, reads them from MySQL once, asks
// Redis and the local tier of every node what they would serve of them, and looks again at what disagrees until that has
// gone or has outlived a minute.
//
// A tier disagrees if it would serve, as fresh, a version older than MySQL had shown before the tier was asked, one newer
// than MySQL shows afterwards, or another body of the same version. What a tier holds and would not serve is no
// disagreement, and a tier that holds nothing has nothing to be compared.
package audit

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vidmeta/cache"
	"vidmeta/internal/seldom"
	"vidmeta/schema"
)

// Config is what an Auditor is made of. The last four may be left out.
type Config struct {
	DB     *sql.DB       // to pick documents out of all. Required
	Origin *schema.Store // says what is right. Required
	// Chain sees Redis as a node does. It serves nobody, so its local tier may be small; run a Subscriber beside it.
	// Required.
	Chain *cache.Chain
	Redis *cache.Redis // the Chain's redis tier. Required
	// Nodes are the admin listeners of all nodes, http://host:port.
	Nodes      []string
	Token      string                // that they ask for
	Registerer prometheus.Registerer // nil: metrics are kept to itself
	Logger     *slog.Logger          // nil: nothing is logged
}

// An Auditor compares the tiers. Its methods are not for several goroutines at once.
type Auditor struct {
	cfg     Config
	nodes   []*node
	ages    []time.Duration
	picker  picker
	metrics *metrics
	failing seldom.Failures
	turns   int
}

// New returns an auditor. It asks nobody anything yet.
func New(cfg Config) (*Auditor, error) { return newAuditor(cfg, ages) }

func newAuditor(cfg Config, ages []time.Duration) (*Auditor, error) {
	if cfg.DB == nil || cfg.Origin == nil || cfg.Chain == nil || cfg.Redis == nil {
		return nil, errors.New("audit: DB, Origin, Chain and Redis are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Auditor{cfg: cfg, ages: ages, picker: picker{db: cfg.DB, feed: cfg.Redis}, metrics: newMetrics(cfg.Registerer, ages)}
	client := &http.Client{Timeout: askTimeout}
	for _, url := range cfg.Nodes {
		a.nodes = append(a.nodes, &node{url: url, token: cfg.Token, client: client})
	}
	return a, nil
}

// Plan says what one audit looks at.
type Plan struct {
	// Samples is how many documents to pick at random: a third each out of what Redis and the local tiers of the nodes
	// hold, at most 1,000 of each of them, and the others out of all.
	Samples int
	// Recent is how many documents to pick out of those that have changed of late, the newest first.
	Recent int
	// Rate is how many documents are looked at in a second, at most, those looked at again among them. At least 1.
	Rate int
	// Progress is told how many documents have been looked at; nil if nobody wants to know.
	Progress func(done, total int)
}

const (
	largestBatch  = 64 // documents of one look
	looksASecond  = 4  // unless the rate takes more
	ledgerEntries = 10_000
	askTimeout    = 5 * time.Second // of one question to MySQL, Redis or a node
)

// Run looks at what the plan says, and at disagreements until they have gone or have outlived a minute. If ctx ends it
// early it reports what it has seen until then, with the context's error.
func (a *Auditor) Run(ctx context.Context, plan Plan) (*Report, error) {
	begun := time.Now()
	l := a.newLedger(ledgerEntries)
	q := a.newQueue(ctx, l, plan.Samples, plan.Recent, a.nodes)
	batch := min(max(plan.Rate/looksASecond, 1), largestBatch)
	following := false
	for {
		now := time.Now()
		looked := a.lookAgain(ctx, l, batch)
		if looked == 0 {
			looked = a.lookOn(ctx, l, q, batch)
		}
		if plan.Progress != nil {
			plan.Progress(min(q.done, q.total), q.total)
		}
		at := now.Add(time.Duration(looked) * time.Second / time.Duration(plan.Rate))
		if q.left() == 0 {
			due, open := l.next()
			if !open {
				return l.report(begun, q.picked), nil
			}
			if !following {
				following = true
				a.cfg.Logger.Info("looking again at what disagrees", "documents", len(l.open))
			}
			at = later(at, due)
		}
		if err := sleepUntil(ctx, at); err != nil {
			return l.report(begun, q.picked), err
		}
	}
}

// Watch looks at a few documents in each interval, for as long as leading says so, and counts what it sees in its
// metrics. It returns nil when ctx ends.
func (a *Auditor) Watch(ctx context.Context, interval time.Duration, leading func() bool) error {
	const (
		few     = 16
		entries = 256 // bounds its memory
		pause   = time.Second
	)
	l := a.newLedger(entries)
	var round time.Time // when the next begins
	for at := time.Now(); sleepUntil(ctx, at) == nil; {
		now := time.Now()
		if !leading() {
			l, round, at = a.newLedger(entries), time.Time{}, now.Add(pause)
			continue
		}
		a.lookAgain(ctx, l, few)
		if !now.Before(round) {
			a.lookOn(ctx, l, a.newQueue(ctx, l, few/2, few/2, a.turn()), few)
			a.metrics.lastRun.SetToCurrentTime()
			round = now.Add(interval)
		}
		at = round
		if due, open := l.next(); open && due.Before(at) {
			at = due
		}
		at = later(at, now.Add(pause))
	}
	return nil
}

// turn returns the node whose turn it is to be asked for what it holds, which costs it more than other questions.
func (a *Auditor) turn() []*node {
	if len(a.nodes) == 0 {
		return nil
	}
	a.turns++
	i := a.turns % len(a.nodes)
	return a.nodes[i : i+1]
}

// lookOn looks at the next documents of a queue, and returns how many it has asked for.
func (a *Auditor) lookOn(ctx context.Context, l *ledger, q *queue, batch int) (asked int) {
	before := q.done
	if ids := q.take(ctx, batch); len(ids) > 0 {
		if seen := a.look(ctx, ids); ctx.Err() == nil {
			l.first(seen)
		}
	}
	return q.done - before
}

// lookAgain looks at disagreements whose time has come, and returns at how many.
func (a *Auditor) lookAgain(ctx context.Context, l *ledger, batch int) (looked int) {
	ids := l.due(time.Now(), batch)
	if len(ids) > 0 {
		if seen := a.look(ctx, ids); ctx.Err() == nil {
			l.again(seen)
		}
	}
	return len(ids)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func sleepUntil(ctx context.Context, at time.Time) error {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// notice logs what lasts, one now and then.
func (a *Auditor) notice(f Finding) {
	if n, ok := a.failing.Now(); ok {
		a.cfg.Logger.Warn("a tier disagrees with MySQL", "video", f.ID, "tier", f.Tier, "node", f.Node, "kind", f.Kind,
			"version", f.Version, "mysql_version", f.MySQL, "outlived", f.Outlived, "disagreements", n)
	}
}
