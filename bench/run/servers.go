package run

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"vidmeta/bench/cores"
	"vidmeta/bench/gauge"
	"vidmeta/internal/migrate"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/seed"
	"vidmeta/internal/stack"
)

// Servers say which MySQL and Redis to measure with. The zero value starts MariaDB and a Redis Cluster of six nodes.
type Servers struct {
	// MySQL is the DSN of a database to use, with a user who may make tables and triggers; "" starts a server.
	MySQL string
	// Redis are the addresses of a cluster to use; none starts one. All that it holds is flushed, again and again.
	Redis []string
	// Dir is where servers that are started keep their data. The database in it is used again by the next run.
	Dir string
	// MySQLD is the path of a MySQL server to start in place of MariaDB.
	MySQLD string
}

// database is what the benches call the database on a server of their own.
const database = "vidmeta"

// ground is what the arms stand on: servers that run, and a database that is full.
type ground struct {
	dsn   string
	redis []string
	db    *sql.DB     // for writers and counters
	split cores.Split // where they run
	last  uint64      // the highest id of a video; a database that others have filled may have more than the plan wants

	statements *gauge.MySQL
	messages   *gauge.Redis

	pids map[string][]int // of the servers, by "mysql" and "redis"; empty where they are not ours
	stop func()
}

// prepare starts the servers that have to be started, and sees to it that there are so many videos.
func prepare(ctx context.Context, s Servers, split cores.Split, videos int, seeded func(done, total int)) (g *ground, err error) {
	g = &ground{dsn: s.MySQL, redis: s.Redis, split: split, pids: map[string][]int{}, stop: func() {}}
	defer func() {
		if err != nil {
			g.stop()
		}
	}()
	if err := g.start(ctx, s); err != nil {
		return g, err
	}
	if g.db, err = mysqldb.Open(g.dsn, mysqldb.Pool{MaxOpen: 16}); err != nil {
		return g, err
	}
	g.statements, g.messages = gauge.NewMySQL(g.db), gauge.NewRedis(g.redis)
	stop := g.stop
	g.stop = func() {
		_ = g.messages.Close()
		_ = g.db.Close()
		stop()
	}
	if _, err := migrate.Run(ctx, g.db); err != nil {
		return g, err
	}
	if err := g.unmeasured(func() error { return seed.Seed(ctx, g.db, videos, seeded) }); err != nil {
		return g, err
	}
	if err := g.db.QueryRowContext(ctx, "SELECT MAX(id) FROM videos").Scan(&g.last); err != nil {
		return g, fmt.Errorf("find the last video: %w", err)
	}
	return g, nil
}

// unmeasured runs f with all processors for everybody.
func (g *ground) unmeasured(f func() error) error {
	return g.split.Lend(slices.Concat(slices.Collect(maps.Values(g.pids))...), f)
}

func (g *ground) start(ctx context.Context, s Servers) error {
	c := stack.Config{Dir: s.Dir}
	if g.dsn == "" {
		c.Flavor, c.MySQLD = stack.MariaDB, s.MySQLD
		if s.MySQLD != "" {
			c.Flavor = stack.MySQL
		}
	}
	if len(g.redis) == 0 {
		c.RedisNodes = 6
	}
	if c.Flavor == "" && c.RedisNodes == 0 {
		return nil
	}
	if c.Dir != "" {
		if err := os.MkdirAll(filepath.Dir(c.Dir), 0o755); err != nil {
			return err
		}
	}
	var servers *stack.Stack
	err := g.split.Start(func() (err error) {
		servers, err = stack.Start(ctx, c)
		return err
	})
	if err != nil {
		return err
	}
	g.stop = func() { _ = servers.Close() } // there is nothing left to do about an error
	if servers.Redis != nil {
		g.redis = servers.Redis.Addrs()
		for _, p := range servers.Redis.Nodes() {
			g.pids["redis"] = append(g.pids["redis"], p.Pid())
		}
	}
	if servers.MySQL == nil {
		return nil
	}
	g.pids["mysql"] = []int{servers.MySQL.Pid()}
	g.dsn = servers.MySQL.DSN(database)
	root, err := mysqldb.Open(servers.MySQL.DSN(""), mysqldb.Pool{MaxOpen: 1})
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+database); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}
