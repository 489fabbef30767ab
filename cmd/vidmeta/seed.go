package main

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"

	"vidmeta/internal/mysqldb"
	"vidmeta/internal/progress"
	"vidmeta/internal/seed"
)

// seedCommand fills the tables.
type seedCommand struct {
	mysqlSettings
	Videos int `default:"36000" help:"How many videos there shall be, with the numbers from 1 on. Those that are there stay as they are."`
}

// Run inserts the videos that are missing. An interrupted run leaves what it has inserted, and the next goes on.
func (s *seedCommand) Run(ctx context.Context, std streams) error {
	if err := s.validate(); err != nil {
		return err
	}
	if err := notNegative("--videos", s.Videos); err != nil {
		return err
	}
	db, err := s.open(mysqldb.Pool{})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := fill(ctx, db, s.Videos, std); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "%s holds the videos 1 to %d\n", s.config.DBName, s.Videos)
	return nil
}

// fill seeds a database and shows how far it is.
func fill(ctx context.Context, db *sql.DB, videos int, std streams) error {
	var seen atomic.Int64
	show := progress.New(std.err, "seeding")
	err := seed.Seed(ctx, db, videos, func(done, _ int) {
		seen.Store(int64(done))
		show.Set(done, videos, "")
	})
	show.Close()
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("stopped after %d of %d videos; the next run goes on from there", seen.Load(), videos)
	}
	return err
}
