package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"vidmeta/cache"
	"vidmeta/internal/audit"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/progress"
	"vidmeta/schema"
)

// auditCommand compares all tiers with MySQL.
type auditCommand struct {
	mysqlSettings
	redisSettings
	adminSettings
	skewSettings
	MaxAge  time.Duration `default:"2s" help:"That of the nodes: what is older is not served as fresh, and not compared."`
	Node    []string      `env:"VIDMETA_NODE_ADMINS" placeholder:"HOST:PORT" help:"Admin listener of a node, or its URL; for each node. Without any, Redis alone is compared."`
	Samples int           `default:"1000" help:"How many documents to pick at random: a third each out of what Redis holds, what the nodes hold, and all."`
	Recent  int           `default:"1000" help:"How many documents to pick that have changed of late."`
	Rate    int           `default:"200" help:"How many documents to look at in a second, at most."`
	JSON    bool          `name:"json" env:"-" help:"Print the report as JSON."`
}

// Bounds of what an audit may be asked for: it keeps the ids that it has looked at, and must not be a load.
const (
	mostSamples = 1_000_000
	mostRate    = 2000
)

// feedPatience is how long an audit waits for the feed, which says what in Redis is vouched for.
const feedPatience = 5 * time.Second

// auditError ends an audit with an exit code of its own.
type auditError struct {
	error
	code int
}

// Exit codes of an audit.
const (
	codeDisagreement = 1 // one that outlived ten seconds
	codeUnanswered   = 2 // somebody could not be asked
)

// ExitCode implements kong.ExitCoder.
func (e *auditError) ExitCode() int { return e.code }

func (e *auditError) Unwrap() error { return e.error }

func (s *auditCommand) validate() (err error) {
	err = errors.Join(s.mysqlSettings.validate(), s.redisSettings.validate(), s.skewSettings.validate(), positive("--max-age", s.MaxAge))
	if err != nil {
		return err
	}
	switch {
	case s.Samples < 0 || s.Samples > mostSamples:
		return fmt.Errorf("--samples: %d is not from 0 to %d", s.Samples, mostSamples)
	case s.Recent < 0 || s.Recent > mostSamples:
		return fmt.Errorf("--recent: %d is not from 0 to %d", s.Recent, mostSamples)
	case s.Rate < 1 || s.Rate > mostRate:
		return fmt.Errorf("--rate: %d is not from 1 to %d", s.Rate, mostRate)
	}
	s.Node, err = adminURLs("--node", s.Node)
	return err
}

// adminURLs makes a URL of each admin listener that is given as host:port.
func adminURLs(flag string, of []string) ([]string, error) {
	urls := make([]string, len(of))
	for i, text := range of {
		text = unquoted(strings.TrimSpace(text))
		if !strings.Contains(text, "://") {
			text = "http://" + text
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return nil, fmt.Errorf("%s: %q is neither host:port nor http://host:port", flag, of[i])
		}
		urls[i] = u.Scheme + "://" + u.Host
	}
	return urls, nil
}

// Run makes one audit and prints what it has seen.
func (s *auditCommand) Run(ctx context.Context, logs *logSettings, std streams) error {
	report, err := s.audit(ctx, logs.logger(std.err), std)
	if report == nil {
		return &auditError{err, codeUnanswered}
	}
	if s.JSON {
		err = errors.Join(err, printJSON(std.out, report))
	} else {
		err = errors.Join(err, printAudit(std.out, report))
	}
	return verdictOf(report, err)
}

// verdictOf returns how an audit ends: with what it has found, or else with what kept it from finding out.
func verdictOf(r *audit.Report, err error) error {
	lasting := 0
	for _, t := range r.Tiers {
		for _, a := range t.After {
			if a.Outlived == "10s" {
				lasting += a.Disagreed
			}
		}
	}
	if lasting > 0 {
		return &auditError{errors.Join(fmt.Errorf("%d disagreements outlived 10 s", lasting), err), codeDisagreement}
	}
	if err != nil {
		return &auditError{err, codeUnanswered}
	}
	for _, p := range r.Asked {
		if p.Unanswered == p.Asked {
			return &auditError{fmt.Errorf("%s could not be asked: %s", p.Name, p.Error), codeUnanswered}
		}
	}
	for _, t := range r.Tiers {
		if lost := t.Compared - t.After[len(t.After)-1].Compared; lost > 0 {
			return &auditError{fmt.Errorf("%d disagreements could not be followed to their end", lost), codeUnanswered}
		}
	}
	return nil
}

// audit returns a report, with an error if it ended early, or an error alone.
func (s *auditCommand) audit(ctx context.Context, log *slog.Logger, std streams) (*audit.Report, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	db, err := s.open(mysqldb.Pool{MaxOpen: 2, StatementTimeout: refreshTimeout})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	store := schema.NewStore(db)
	defer store.Close()
	w, err := newWitness(&s.redisSettings, cache.Freshness{MaxAge: s.MaxAge, ClockSkew: orNone(s.ClockSkew, 1)}, db, store,
		audit.Config{Nodes: s.Node, Token: s.AdminToken, Logger: log})
	if err != nil {
		return nil, err
	}
	defer w.close()

	g, running := errgroup.WithContext(ctx)
	running, stop := context.WithCancel(running)
	defer stop()
	g.Go(func() error { return w.subscriber.Run(running) })
	var report *audit.Report
	g.Go(func() error {
		defer stop()
		if err := w.awaitFeed(running); err != nil {
			return err
		}
		total := s.Samples + s.Recent
		show := progress.New(std.err, "looking at documents")
		defer show.Close()
		report, err = w.auditor.Run(running, audit.Plan{
			Samples: s.Samples, Recent: s.Recent, Rate: s.Rate,
			Progress: func(done, of int) { show.Set(done+total-of, total, "") }, // there may be fewer than were asked for
		})
		return err
	})
	err = g.Wait()
	return report, err
}

// witness sees Redis as a node does, without serving anybody.
type witness struct {
	auditor    *audit.Auditor
	subscriber *cache.Subscriber
	close      func() // when the subscriber has ended
}

// newWitness completes a configuration of an auditor. The caller runs the subscriber, and closes the witness.
func newWitness(r *redisSettings, f cache.Freshness, db *sql.DB, store *schema.Store, cfg audit.Config) (*witness, error) {
	client, err := r.client(feedTimeout, 4)
	if err != nil {
		return nil, err
	}
	tier, err := cache.NewRedis(cache.RedisConfig{Client: client, Namespace: r.Namespace, Timeout: feedTimeout})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	chain, err := cache.NewChain(cache.Config{
		Local: cache.LocalConfig{MaxBytes: 1 << 20}, Redis: tier, Origin: cache.OriginConfig{Store: store}, Freshness: f,
	})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	closeAll := func() {
		chain.Close()
		_ = client.Close()
	}
	cfg.DB, cfg.Origin, cfg.Chain, cfg.Redis = db, store, chain, tier
	auditor, err := audit.New(cfg)
	if err != nil {
		closeAll()
		return nil, err
	}
	feed, err := r.client(0, 2)
	if err != nil {
		closeAll()
		return nil, err
	}
	return &witness{auditor: auditor, subscriber: cache.NewSubscriber(chain, feed), close: closeAll}, nil
}

// awaitFeed returns when the feed has been heard.
func (w *witness) awaitFeed(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, feedPatience, errors.New("the feed is silent: does Redis answer, and does a sidecar run?"))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for w.subscriber.Healthy(ctx) != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// auditSettings have a sidecar audit in the background.
type auditSettings struct {
	AuditInterval time.Duration `default:"0s" help:"How often to compare up to 16 documents of all tiers with MySQL while this sidecar leads; 0 for never."`
	AuditNode     []string      `placeholder:"HOST:PORT" help:"Admin listener of a node to compare, or its URL; for each node. They are shown the --admin-token."`
}

func (s *auditSettings) validate() (err error) {
	if s.AuditInterval != 0 && s.AuditInterval < time.Second {
		return fmt.Errorf("--audit-interval: %v is below 1s", s.AuditInterval)
	}
	s.AuditNode, err = adminURLs("--audit-node", s.AuditNode)
	return err
}

// watch adds to a group what an audit in the background needs, which ends with ctx.
func (s *auditSettings) watch(ctx context.Context, g *errgroup.Group, w *witness, leading func() bool) {
	g.Go(func() error { return w.subscriber.Run(ctx) })
	g.Go(func() error {
		return w.auditor.Watch(ctx, s.AuditInterval, func() bool { return leading() && w.subscriber.Healthy(ctx) == nil })
	})
}
