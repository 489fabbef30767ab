// Package seed fills a database with real film metadata; see data/README.md for where it comes from.
package seed

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sync/errgroup"

	"vidmeta/schema"
)

const (
	chunkSize = 500 // videos in one transaction: a few hundred kilobytes, and not too many locks
	workers   = 4   // connections in use at once
	attempts  = 5   // at one chunk, when others write to the same rows
)

// Seed sees to it that the videos 1 to n are there, in a database that has been migrated, and inserts those that are not,
// with their rows in every table. What a video looks like follows from its id alone; beyond Films the films repeat under
// other ids and public ids. Videos that are there, whatever they look like, and all others are left alone, so Seed may be
// run again, also after one that was interrupted: a chunk of videos is inserted whole or not at all.
//
// It uses up to four connections of db, which should have no limit on statements, and blocks until all is done. Progress,
// if not nil, is told now and then how many videos of the total have been seen to, by one goroutine at a time; done
// rises. On an error what has been inserted stays.
func Seed(ctx context.Context, db *sql.DB, n int, progress func(done, total int)) error {
	if n < 0 {
		return fmt.Errorf("seed: %d videos", n)
	}
	all, err := films(n)
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	var mu sync.Mutex // guards done and the calls of progress
	done := 0
	g, work := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for first := 1; first <= n && work.Err() == nil; first += chunkSize {
		last := min(first+chunkSize-1, n)
		g.Go(func() error {
			if err := seedChunk(work, db, all, schema.ID(first), schema.ID(last)); err != nil {
				return fmt.Errorf("seed videos %d to %d: %w", first, last, err)
			}
			mu.Lock()
			defer mu.Unlock()
			done += last - first + 1
			if progress != nil {
				progress(done, n)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if done < n {
		return context.Cause(ctx) // which ended before the last chunk had begun
	}
	return nil
}

// seedChunk inserts those of a run of videos that are not there. It tries again when somebody else's writes came between.
func seedChunk(ctx context.Context, db *sql.DB, all []film, first, last schema.ID) error {
	for attempt := 1; ; attempt++ {
		missing, err := absent(ctx, db, first, last)
		if err != nil || len(missing) == 0 {
			return err
		}
		err = insert(ctx, db, all, missing)
		if err == nil || attempt == attempts || !collision(err) {
			return err
		}
	}
}

// collision reports whether a transaction failed because of another that ran beside it.
func collision(err error) bool {
	const duplicate, lockWait, deadlock = 1062, 1205, 1213
	var answer *mysql.MySQLError
	return errors.As(err, &answer) &&
		(answer.Number == duplicate || answer.Number == lockWait || answer.Number == deadlock)
}

// absent returns the ids from first to last of which there is no video.
func absent(ctx context.Context, db *sql.DB, first, last schema.ID) ([]schema.ID, error) {
	rows, err := db.QueryContext(ctx, "SELECT id FROM videos WHERE id BETWEEN ? AND ? ORDER BY id", uint64(first), uint64(last))
	if err != nil {
		return nil, fmt.Errorf("look which are there: %w", err)
	}
	defer rows.Close()
	var missing []schema.ID
	next := first // all before it are known
	for rows.Next() {
		var id uint64
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("look which are there: %w", err)
		}
		for ; next < schema.ID(id); next++ {
			missing = append(missing, next)
		}
		next++
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look which are there: %w", err)
	}
	for ; next <= last; next++ {
		missing = append(missing, next)
	}
	return missing, nil
}

// insert inserts videos with all of their rows in one transaction, one statement for each table.
func insert(ctx context.Context, db *sql.DB, all []film, ids []schema.ID) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // has no effect after Commit
	var args []any
	for _, t := range tables {
		args = args[:0]
		for _, id := range ids {
			args = t.rows(args, id, &all[source(id)])
		}
		if len(args) == 0 {
			continue
		}
		row := "(?" + strings.Repeat(",?", t.width-1) + ")"
		statement := t.insert + row + strings.Repeat(","+row, len(args)/t.width-1)
		if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}
