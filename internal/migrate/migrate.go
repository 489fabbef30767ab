// Package migrate brings a database's tables and triggers up to date.
package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"

	"vidmeta/schema"
)

// Table is where a database keeps what has been applied to it.
const Table = "vidmeta_migrations"

// LockWait is how long Run waits for another Run on the same database.
const LockWait = 2 * time.Minute

// ErrLocked: another process was migrating the same database for longer than LockWait.
var ErrLocked = errors.New("another migration of this database is under way")

// Numbers of server errors that deserve an explanation.
const (
	errNoSuper       = 1419 // ER_BINLOG_CREATE_ROUTINE_NEED_SUPER
	errTableDenied   = 1142 // ER_TABLEACCESS_DENIED_ERROR
	errAccessDenied  = 1227 // ER_SPECIFIC_ACCESS_DENIED_ERROR
	errNoDatabase    = 1046 // ER_NO_DB_ERROR
	errForeignKeyBad = 3780 // ER_FK_INCOMPATIBLE_COLUMNS
)

// Run applies, in order, the migrations that the database of db has not had yet, and returns how many; none is no
// error. It may be run as often as one likes, and by several processes at once: they take turns, by GET_LOCK on the
// connection that does the work. Statements of DDL do not roll back, so a Run that was interrupted leaves a part of a
// migration behind, and the next one repeats that migration whole.
//
// It blocks while it waits for its turn and for the metadata locks of the tables; open db without a limit on statements.
//
// The account needs CREATE, ALTER, INDEX, REFERENCES, TRIGGER, SELECT, INSERT, UPDATE and DELETE on the database. The
// triggers run with its rights whoever writes, so writers need no right on video_versions, and the account must stay:
// with their definer gone, every write to the tables fails (error 1449). Where the binlog is on, MySQL and MariaDB also
// want SUPER for CREATE TRIGGER, or log_bin_trust_function_creators=1 on the server (else error 1419); the latter is
// harmless with binlog_format=ROW, which the sidecar needs in any case.
func Run(ctx context.Context, db *sql.DB) (applied int, err error) {
	files, err := fs.Sub(schema.Migrations, "sql")
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectMySQL, db, files,
		goose.WithTableName(Table),
		goose.WithSessionLocker(locker{}),
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()),
	)
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	results, err := provider.Up(ctx)
	var partial *goose.PartialError
	switch {
	case errors.As(err, &partial):
		return len(partial.Applied), explain(fmt.Errorf("migrate: apply %s: %w", partial.Failed.Source.Path, partial.Err))
	case err != nil:
		return 0, explain(fmt.Errorf("migrate: %w", err))
	}
	return len(results), nil
}

// explain adds to an error what to do about it, where that is known.
func explain(err error) error {
	var answer *mysql.MySQLError
	if !errors.As(err, &answer) {
		return err
	}
	switch answer.Number {
	case errNoSuper:
		return fmt.Errorf("%w: triggers need SET GLOBAL log_bin_trust_function_creators = 1, or an account with SUPER", err)
	case errTableDenied, errAccessDenied:
		return fmt.Errorf("%w: the account needs CREATE, ALTER, INDEX, REFERENCES, TRIGGER, SELECT, INSERT, UPDATE, DELETE on the database", err)
	case errNoDatabase:
		return fmt.Errorf("%w: the DSN must name a database", err)
	case errForeignKeyBad:
		return fmt.Errorf("%w: a table of this name is there already with another type of id; it must be BIGINT UNSIGNED", err)
	}
	return err
}

// locker makes processes take turns on one database of a server; names of locks belong to the whole server. It
// implements goose's lock.SessionLocker: goose takes the lock on the connection that then does all of the work, so when
// that connection dies, lock and work end together.
type locker struct{}

const lockName = "CONCAT('vidmeta_migrate.', LEFT(SHA2(DATABASE(), 256), 40))" // at most 64 characters

// SessionLock asks again and again with a short wait, so that no read time-out of the DSN comes before the answer.
func (locker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	deadline := time.Now().Add(LockWait)
	for {
		var got sql.NullInt64
		if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK("+lockName+", 1)").Scan(&got); err != nil {
			return fmt.Errorf("lock the database: %w", err)
		}
		switch {
		case !got.Valid:
			return errors.New("lock the database: GET_LOCK gave up; does the DSN name a database?")
		case got.Int64 == 1:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("lock the database: %w, for %v", ErrLocked, LockWait)
		}
	}
}

func (locker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, "DO RELEASE_LOCK("+lockName+")"); err != nil {
		return fmt.Errorf("unlock the database: %w", err)
	}
	return nil
}
