package main

import (
	"context"
	"fmt"

	"vidmeta/internal/migrate"
	"vidmeta/internal/mysqldb"
)

// migrateCommand brings tables and triggers up to date.
type migrateCommand struct {
	mysqlSettings
}

// Run applies what has not been applied yet. It is safe to repeat, and to run several times at once.
func (s *migrateCommand) Run(ctx context.Context, std streams) error {
	if err := s.validate(); err != nil {
		return err
	}
	db, err := s.open(mysqldb.Pool{})
	if err != nil {
		return err
	}
	defer db.Close()
	applied, err := migrate.Run(ctx, db)
	if err != nil {
		return err
	}
	if applied == 0 {
		fmt.Fprintf(std.out, "%s is up to date\n", s.config.DBName)
	} else {
		fmt.Fprintf(std.out, "%s: %d migrations applied\n", s.config.DBName, applied)
	}
	return nil
}
