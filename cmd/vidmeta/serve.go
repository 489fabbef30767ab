package main

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"vidmeta/api"
	"vidmeta/cache"
	"vidmeta/internal/audit"
	"vidmeta/internal/mysqldb"
	"vidmeta/schema"
)

// serveCommand is a node: the chain of tiers behind HTTP.
type serveCommand struct {
	Listen      string `default:"127.0.0.1:8080" help:"Where to serve; port 0 means a free one."`
	AdminListen string `default:"127.0.0.1:9090" help:"Where to serve operators: health, metrics, profiles."`
	adminSettings
	mysqlSettings
	redisSettings
	LocalBytes byteSize `default:"256MiB" help:"Memory for the documents of the local tier. The process is kept within this and 192 MiB, unless GOMEMLIMIT says otherwise."`
	freshnessSettings
	skewSettings
	RedisTTL    time.Duration `name:"redis-ttl" env:"VIDMETA_REDIS_TTL" default:"1h" help:"How long Redis keeps a document, give or take a tenth. It bounds memory; answers are correct without it."`
	OriginWidth int           `default:"4" help:"How many statements this node may have under way in MySQL at once; a second one begins where the first takes over 10 ms, else what comes meanwhile gathers into the next."`
	Without     []string      `hidden:"" enum:"local,coalescing,batching,jitter" help:"Switches a mechanism off, to measure what it is worth: local, coalescing, batching, jitter."`
	DrainDelay  time.Duration `default:"0s" help:"How long to go on serving after the signal to stop, while /readyz fails already, so that load balancers can notice."`
}

const (
	// besidesLocal is what a node may use besides the local tier: the program itself, buffers, the garbage between two
	// collections.
	besidesLocal = 192 << 20
	// originTimeout bounds one statement of a load. It leaves the rest of a request's time (api.DefaultTimeout) for an
	// answer that says what failed, or an older one. The server gives the statement up a little earlier, so that nobody is
	// working for a reader that has left.
	originTimeout    = 1500 * time.Millisecond
	statementTimeout = originTimeout - 200*time.Millisecond
	// spareConns are for what does not count as loading documents: public ids, the check of readiness, a statement
	// whose reader has given up.
	spareConns = 4
)

func (s *serveCommand) validate() error {
	if err := validAddr(s.Listen); err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if err := validAddr(s.AdminListen); err != nil {
		return fmt.Errorf("--admin-listen: %w", err)
	}
	for _, v := range []interface{ validate() error }{&s.mysqlSettings, &s.redisSettings, &s.freshnessSettings, &s.skewSettings} {
		if err := v.validate(); err != nil {
			return err
		}
	}
	switch {
	case s.LocalBytes < 1<<20:
		return fmt.Errorf("--local-bytes: %d bytes are too few, at least 1MiB is needed", s.LocalBytes)
	case s.RedisTTL < time.Second:
		return fmt.Errorf("--redis-ttl: %v is below 1s", s.RedisTTL)
	case s.OriginWidth < 1:
		return fmt.Errorf("--origin-width: %d is below 1", s.OriginWidth)
	}
	return notNegative("--drain-delay", s.DrainDelay)
}

// Run serves until ctx ends. Nothing is dialled before it listens: a node starts without MySQL and without Redis, and
// uses each as soon as it is there.
func (s *serveCommand) Run(ctx context.Context, logs *logSettings, std streams) error {
	if err := s.validate(); err != nil {
		return err
	}
	log := logs.logger(std.err)
	metrics := newRegistry()
	limitMemory(int64(s.LocalBytes))

	db, err := s.open(mysqldb.Pool{MaxOpen: s.OriginWidth + spareConns, StatementTimeout: statementTimeout})
	if err != nil {
		return err
	}
	defer db.Close()
	store := schema.NewStore(db)
	defer store.Close()

	client, err := s.client(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	tier, err := cache.NewRedis(cache.RedisConfig{Client: client, Namespace: s.Namespace, TTL: s.RedisTTL})
	if err != nil {
		return err
	}
	chain, err := cache.NewChain(cache.Config{
		Local:  cache.LocalConfig{MaxBytes: int64(s.LocalBytes)},
		Redis:  tier,
		Origin: cache.OriginConfig{Store: store, Width: s.OriginWidth, Timeout: originTimeout},
		Freshness: cache.Freshness{
			MaxAge:               s.MaxAge,
			StaleWhileRevalidate: orNone(s.StaleWhileRevalidate, 1),
			StaleIfError:         orNone(s.StaleIfError, 1),
			ClockSkew:            orNone(s.ClockSkew, 1),
		},
		Without:    s.without(),
		Registerer: metrics, Logger: log,
	})
	if err != nil {
		return err
	}
	defer chain.Close()
	feed, err := s.client(0, 2)
	if err != nil {
		return err
	}
	subscriber := cache.NewSubscriber(chain, feed) // closes its client

	server, err := api.New(api.Config{
		Reader: chain,
		MaxAge: s.MaxAge, StaleWhileRevalidate: orNone(s.StaleWhileRevalidate, -1), StaleIfError: orNone(s.StaleIfError, -1),
		DrainDelay: s.DrainDelay,
		Registerer: metrics, Logger: log,
	})
	if err != nil {
		return err
	}
	admin, err := api.NewAdmin(api.AdminConfig{
		Checks: []api.Check{
			{Name: "serving", Func: server.Ready},
			{Name: "mysql", Func: once(answers(db))},
			{Name: "feed", Func: subscriber.Healthy},
		},
		Purge: chain.Purge,
		Routes: map[string]http.Handler{
			"GET /v1/inspect/{id}":   inspect(chain),
			"GET " + audit.LocalPath: audit.LocalHandler(chain),
		},
		Gatherer: metrics, Token: s.AdminToken, Logger: log,
	})
	if err != nil {
		return err
	}

	ln, err := listen("--listen", s.Listen)
	if err != nil {
		return err
	}
	adminLn, err := s.adminSettings.listen(s.AdminListen)
	if err != nil {
		_ = ln.Close()
		return err
	}
	log.Info("listening", "listen", ln.Addr().String(), "admin_listen", adminLn.Addr().String(), "pid", os.Getpid())

	// What the requests under way still need, and whoever asks how the draining goes, outlives the server.
	behind, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, behind := errgroup.WithContext(behind)
	front, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(behind, cancel)
	g.Go(func() error { return subscriber.Run(behind) })
	g.Go(func() error { return admin.Run(behind, adminLn) })
	g.Go(func() error {
		defer stop()
		return server.Run(front, ln)
	})
	err = g.Wait()
	log.Info("stopped", "listen", ln.Addr().String())
	return err
}

// without returns what is switched off.
func (s *serveCommand) without() cache.Mechanisms {
	off := func(name string) bool { return slices.Contains(s.Without, name) }
	return cache.Mechanisms{Local: off("local"), Coalescing: off("coalescing"), Batching: off("batching"), Jitter: off("jitter")}
}

// limitMemory has the collector work harder rather than let the process grow beyond the local tier and besidesLocal.
// GOMEMLIMIT wins.
func limitMemory(local int64) {
	if _, set := os.LookupEnv("GOMEMLIMIT"); !set && local < math.MaxInt64-besidesLocal {
		debug.SetMemoryLimit(local + besidesLocal)
	}
}

// answers is a check that the database does.
func answers(db *sql.DB) func(context.Context) error {
	return func(ctx context.Context) error {
		var one int
		return db.QueryRowContext(ctx, "SELECT 1").Scan(&one)
	}
}

// once is a check that has succeeded for good when it has succeeded once: a node that has been of use goes on being of
// use while MySQL is away.
func once(check func(context.Context) error) func(context.Context) error {
	var succeeded atomic.Bool
	return func(ctx context.Context) error {
		if succeeded.Load() {
			return nil
		}
		err := check(ctx)
		if err == nil {
			succeeded.Store(true)
		}
		return err
	}
}
