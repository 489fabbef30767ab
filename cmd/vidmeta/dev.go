package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"vidmeta/internal/migrate"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/stack"
)

// devCommand runs the whole service on this machine.
type devCommand struct {
	Listen      string `default:"127.0.0.1:8080" help:"Where the first node serves; the others take the ports after it. Port 0 means free ones."`
	AdminListen string `default:"127.0.0.1:9090" help:"Admin listener of the first node; those of the other nodes and then of the sidecars take the ports after it. Port 0 means free ones."`
	Nodes       int    `env:"VIDMETA_DEV_NODES" default:"1" help:"How many nodes to start."`
	Sidecars    int    `env:"VIDMETA_DEV_SIDECARS" default:"1" help:"How many sidecars to start. Without any, and without nodes, there are just the servers with the videos."`
	Videos      int    `default:"5000" help:"How many videos to seed; those of an earlier start are kept."`
	Flavor      string `env:"VIDMETA_DEV_FLAVOR" default:"" enum:",mariadb,mysql" placeholder:"FLAVOR" help:"mariadb or mysql. By default mysql if --mysqld names one."`
	MySQLD      string `name:"mysqld" env:"VIDMETA_MYSQLD" placeholder:"FILE" help:"MySQL's server program; scripts/mysql.sh fetches one and prints its path."`
	RedisNodes  int    `env:"VIDMETA_DEV_REDIS_NODES" default:"6" help:"Nodes of the Redis Cluster, three of them masters; 1 is a single server without cluster support."`
	Dir         string `env:"VIDMETA_DEV_DIR" default:".dev" help:"Folder for the data and the logs. The database in it is used again by the next start."`
	EnvFile     string `env:"VIDMETA_DEV_ENV_FILE" placeholder:"FILE" help:"File to write with the settings and addresses of all that runs, for a shell to read. It is there as long as all of it has come up."`
	Restart     bool   `env:"VIDMETA_DEV_RESTART" default:"true" negatable:"" help:"Start what has died again after a pause. SIGUSR1 starts it again at once, with and without this."`
}

// devDatabase is what the application's user of the stack may create.
const devDatabase = "vidmeta"

func (d *devCommand) validate() error {
	if err := validAddr(d.Listen); err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if err := validAddr(d.AdminListen); err != nil {
		return fmt.Errorf("--admin-listen: %w", err)
	}
	if d.Flavor == "" {
		d.Flavor = string(stack.MariaDB)
		if d.MySQLD != "" {
			d.Flavor = string(stack.MySQL)
		}
	}
	switch {
	case d.Flavor == string(stack.MySQL) && d.MySQLD == "":
		return errors.New("--flavor mysql needs --mysqld (VIDMETA_MYSQLD): scripts/mysql.sh fetches a MySQL and prints its path")
	case d.Flavor == string(stack.MariaDB):
		d.MySQLD = ""
	}
	if n := d.RedisNodes; n != 1 && (n < 3 || n%3 != 0) {
		return fmt.Errorf("--redis-nodes: %d is neither 1 nor a multiple of 3", n)
	}
	return errors.Join(notNegative("--nodes", d.Nodes), notNegative("--sidecars", d.Sidecars), notNegative("--videos", d.Videos))
}

// Run starts the servers, fills the database, starts sidecars and nodes, each a process of its own, and watches over all
// of them until ctx ends. Then it stops them. If it is killed, the kernel kills them.
func (d *devCommand) Run(ctx context.Context, c *cli, std streams) error {
	if err := d.validate(); err != nil {
		return err
	}
	plan, err := newPlan(d)
	if err != nil {
		return err
	}
	if err := removeEnvFile(d.EnvFile); err != nil {
		return err
	}
	out := newConsole(std.out)

	begun := time.Now()
	out.printf("starting %s and %d Redis nodes; data and logs are in %s", d.Flavor, d.RedisNodes, d.Dir)
	servers, err := stack.Start(ctx, stack.Config{
		Dir: d.Dir, Flavor: stack.Flavor(d.Flavor), MySQLD: d.MySQLD, RedisNodes: d.RedisNodes,
	})
	if err != nil {
		return unlessOver(ctx, err)
	}
	defer func() {
		if err := servers.Close(); err != nil {
			out.printf("stopping the servers: %v", err)
		}
		out.printf("stopped")
	}()
	if err := prepare(ctx, servers.MySQL, d.Videos, std); err != nil {
		return unlessOver(ctx, err)
	}

	fleet, err := launchFleet(ctx, plan, servers, d, c)
	if err != nil {
		return unlessOver(ctx, err)
	}
	defer fleet.stop()
	if err := fleet.writeEnvFile(d.EnvFile); err != nil {
		return err
	}
	defer func() { _ = removeEnvFile(d.EnvFile) }()
	out.printf("%s", fleet.greeting(d, time.Since(begun)))

	hands := make(chan os.Signal, 1)
	signal.Notify(hands, syscall.SIGUSR1)
	defer signal.Stop(hands)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return fleet.keep(ctx, d, hands, out) })
	g.Go(func() error { return fleet.watch(ctx, out) })
	return unlessOver(ctx, g.Wait())
}

// prepare makes, migrates and seeds the database.
func prepare(ctx context.Context, server *stack.Server, videos int, std streams) error {
	root, err := mysqldb.Open(server.DSN(""), mysqldb.Pool{MaxOpen: 1})
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+devDatabase); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	db, err := mysqldb.Open(server.DSN(devDatabase), mysqldb.Pool{})
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := migrate.Run(ctx, db); err != nil {
		return err
	}
	return seedUnlessThere(ctx, db, videos, std)
}

// seedUnlessThere leaves a database alone that holds as many videos as are wanted, though a few may have been deleted.
func seedUnlessThere(ctx context.Context, db *sql.DB, videos int, std streams) error {
	var highest int
	if err := db.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM videos").Scan(&highest); err != nil {
		return fmt.Errorf("look for videos: %w", err)
	}
	if highest >= videos {
		return nil
	}
	return fill(ctx, db, videos, std)
}

// unlessOver is nil if ctx has ended: then an error is how the end was noticed.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
