package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sethvargo/go-retry"
	"golang.org/x/sync/errgroup"

	"vidmeta/api"
	"vidmeta/cache"
	"vidmeta/canal"
	"vidmeta/internal/audit"
	"vidmeta/internal/mysqldb"
	"vidmeta/schema"
)

// sidecarCommand follows the binlog.
type sidecarCommand struct {
	AdminListen string `default:"127.0.0.1:9091" help:"Where to serve operators: health, metrics, profiles."`
	adminSettings
	mysqlSettings
	redisSettings
	RedisTTL time.Duration `name:"redis-ttl" env:"VIDMETA_REDIS_TTL" default:"1h" help:"How long Redis keeps a document, give or take a tenth. It bounds memory; answers are correct without it."`
	ServerID uint32        `placeholder:"N" help:"What MySQL is to know this reader of the binlog by; nobody else's number. By default a random one for each connection."`
	auditSettings
}

const (
	// feedTimeout bounds a round trip of the sidecar to Redis. It is longer than a reader's: nobody waits for an answer,
	// and giving up costs a session.
	feedTimeout = 2 * time.Second
	// refreshTimeout bounds a load of changed documents.
	refreshTimeout = 5 * time.Second
	// sidecarConns is how many connections each of the sidecar's pools may open. One pool is for the lock and the
	// position and has no limit on statements: waiting for the lock is one.
	sidecarConns = 4
)

func (s *sidecarCommand) validate() error {
	if err := validAddr(s.AdminListen); err != nil {
		return fmt.Errorf("--admin-listen: %w", err)
	}
	if err := errors.Join(s.mysqlSettings.validate(), s.redisSettings.validate(), s.auditSettings.validate()); err != nil {
		return err
	}
	switch {
	case s.config.Net != "tcp":
		return fmt.Errorf("--mysql: the binlog is read by tcp(host:port), not by %s", s.config.Net)
	case s.config.AllowFallbackToPlaintext:
		return errors.New("--mysql: tls=preferred leaves open whether the binlog is encrypted; say true, skip-verify or false")
	case s.RedisTTL < time.Second:
		return fmt.Errorf("--redis-ttl: %v is below 1s", s.RedisTTL)
	}
	return nil
}

// Run follows the binlog until ctx ends, whatever happens to MySQL and Redis meanwhile.
func (s *sidecarCommand) Run(ctx context.Context, logs *logSettings, std streams) error {
	if err := s.validate(); err != nil {
		return err
	}
	log := logs.logger(std.err)
	metrics := newRegistry()

	control, err := s.open(mysqldb.Pool{MaxOpen: sidecarConns})
	if err != nil {
		return err
	}
	defer control.Close()
	loads, err := s.open(mysqldb.Pool{MaxOpen: sidecarConns, StatementTimeout: refreshTimeout})
	if err != nil {
		return err
	}
	defer loads.Close()
	store := schema.NewStore(loads)
	defer store.Close()

	client, err := s.client(feedTimeout, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	tier, err := cache.NewRedis(cache.RedisConfig{Client: client, Namespace: s.Namespace, TTL: s.RedisTTL, Timeout: feedTimeout})
	if err != nil {
		return err
	}

	shared := cache.NewShared(tier)

	var sidecar atomic.Pointer[canal.Sidecar] // nil until MySQL has said what it is
	follow := func() error {
		flavor, err := awaitFlavor(ctx, control, log)
		if err != nil {
			return nil // ctx has ended
		}
		sc, err := canal.New(canal.Config{
			Server: canal.Server{
				Addr: s.config.Addr, User: s.config.User, Password: s.config.Passwd, Database: s.config.DBName,
				Flavor: flavor, TLS: s.config.TLS, ServerID: s.ServerID,
			},
			Namespace: s.Namespace, DB: control, Origin: store, Shared: shared, Feed: cache.NewFeed(shared),
			Sound: func(ctx context.Context) error { return sound(ctx, control) },
			Renew: func() {
				for _, db := range []*sql.DB{control, loads} {
					db.SetMaxIdleConns(-1)
					db.SetMaxIdleConns(sidecarConns)
				}
			},
			Registerer: metrics, Logger: log,
		})
		if err != nil {
			return err
		}
		sidecar.Store(sc)
		return sc.Run(ctx)
	}
	healthy := func(ctx context.Context) error {
		if sc := sidecar.Load(); sc != nil {
			return sc.Healthy(ctx)
		}
		return errors.New("MySQL has not been reached yet")
	}
	leading := func() bool {
		sc := sidecar.Load()
		return sc != nil && sc.Leading()
	}
	var w *witness // nil: nothing is audited
	if s.AuditInterval > 0 {
		w, err = newWitness(&s.redisSettings, cache.Freshness{}, loads, store,
			audit.Config{Nodes: s.AuditNode, Token: s.AdminToken, Registerer: metrics, Logger: log})
		if err != nil {
			return err
		}
		defer w.close()
	}
	admin, err := api.NewAdmin(api.AdminConfig{
		Checks:   []api.Check{{Name: "feed", Func: healthy}},
		Gatherer: metrics, Token: s.AdminToken, Logger: log,
	})
	if err != nil {
		return err
	}
	ln, err := s.adminSettings.listen(s.AdminListen)
	if err != nil {
		return err
	}
	log.Info("listening", "admin_listen", ln.Addr().String(), "pid", os.Getpid())

	g, ctx := errgroup.WithContext(ctx)
	g.Go(follow)
	if w != nil {
		s.watch(ctx, g, w, leading)
	}
	g.Go(func() error { return admin.Run(ctx, ln) })
	err = g.Wait()
	log.Info("stopped", "admin_listen", ln.Addr().String())
	return err
}

// awaitFlavor asks MySQL what it is until it answers or ctx ends.
func awaitFlavor(ctx context.Context, db *sql.DB, log *slog.Logger) (canal.Flavor, error) {
	const quiet = 30 * time.Second // between two complaints
	var complained time.Time
	pauses := retry.WithCappedDuration(2*time.Second, retry.WithJitterPercent(20, retry.NewExponential(100*time.Millisecond)))
	return retry.DoValue(ctx, pauses, func(ctx context.Context) (canal.Flavor, error) {
		mariadb, version, err := mysqldb.Flavor(ctx, db)
		if err != nil {
			if time.Since(complained) > quiet {
				complained = time.Now()
				log.Warn("waiting for MySQL", "error", err)
			}
			return "", retry.RetryableError(err)
		}
		flavor := canal.MySQL
		if mariadb {
			flavor = canal.MariaDB
		}
		log.Info("MySQL is there", "version", version, "flavor", string(flavor))
		return flavor, nil
	})
}

// sound returns an error if changes may go by that get no version, as far as the user may see that: what triggers do only
// with the right TRIGGER on their tables.
func sound(ctx context.Context, db *sql.DB) error {
	missing, _, err := mysqldb.MissingTriggers(ctx, db, schema.TriggerNames())
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing triggers: %s: run vidmeta migrate", strings.Join(missing, ", "))
	}
	are, err := schema.ReadTriggers(ctx, db)
	if err != nil {
		return err
	}
	altered, err := schema.AlteredTriggers(are)
	if err != nil {
		return err
	}
	if len(altered) > 0 {
		return fmt.Errorf("triggers that are not as they were made: %s: run vidmeta migrate", strings.Join(altered, ", "))
	}
	cascades, err := schema.Cascades(ctx, db)
	if err != nil {
		return err
	}
	if len(cascades) > 0 {
		c := cascades[0]
		return fmt.Errorf("the foreign key %s changes %s by itself, which fires no trigger (%s): drop it, as vidmeta doctor says", c.Name, c.Table, c.Rules)
	}
	return nil
}
