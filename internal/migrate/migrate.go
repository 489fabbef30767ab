// Package migrate brings a database's tables and triggers up to date.
package migrate

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"

	"vidmeta/internal/mysqldb"
	"vidmeta/schema"
)

// Table is where a database keeps what has been applied to it.
const Table = "vidmeta_migrations"

// LockWait is how long Run waits for another Run on the same database.
const LockWait = 2 * time.Minute

const unlockTimeout = 5 * time.Second

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
// error. It may be run as often as one likes, and by several processes at once: they take turns, by GET_LOCK on a
// connection of its own, so db must allow two. Triggers and the constraint that somebody has dropped are made again, as are
// triggers that do something else than the migrations have them do. Statements of DDL do not roll back, so a Run that was
// interrupted leaves a part of a migration behind, and the next one repeats that migration whole.
//
// It blocks while it waits for its turn, at most LockWait, and for the metadata locks of the tables; open db without a
// limit on statements.
//
// The account needs CREATE, DROP, ALTER, INDEX, REFERENCES, TRIGGER, SELECT, INSERT, UPDATE and DELETE on the database. The
// triggers run with its rights whoever writes, so writers need no right on video_versions, and the account must stay:
// with their definer gone, every write to the tables fails (error 1449). Where the binlog is on, MySQL and MariaDB also
// want SUPER for CREATE TRIGGER, or log_bin_trust_function_creators=1 on the server (else error 1419); the latter is
// harmless with binlog_format=ROW, which the sidecar needs in any case.
func Run(ctx context.Context, db *sql.DB) (applied int, err error) {
	if db.Stats().MaxOpenConnections == 1 {
		return 0, errors.New("migrate: the pool must allow two connections")
	}
	unlock, err := lock(ctx, db)
	if err != nil {
		return 0, explain(fmt.Errorf("migrate: lock the database: %w", err))
	}
	applied, err = run(ctx, db)
	if unlockErr := unlock(); unlockErr != nil {
		err = errors.Join(err, fmt.Errorf("migrate: unlock the database: %w", unlockErr))
	}
	return applied, explain(err)
}

// run is Run when its turn has come.
func run(ctx context.Context, db *sql.DB) (applied int, err error) {
	if err := dropEmptyTable(ctx, db); err != nil {
		return 0, fmt.Errorf("migrate: look for %s: %w", Table, err)
	}
	if err := redo(ctx, db); err != nil {
		return 0, fmt.Errorf("migrate: look for what is missing: %w", err)
	}
	files, err := fs.Sub(schema.Migrations, "sql")
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectMySQL, db, files,
		goose.WithTableName(Table),
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
		return len(partial.Applied), fmt.Errorf("migrate: apply %s: %w", partial.Failed.Source.Path, partial.Err)
	case err != nil:
		return 0, fmt.Errorf("migrate: %w", err)
	}
	return len(results), nil
}

// dropEmptyTable undoes a start that was cut off after goose had made its table and before it wrote the first row, which
// goose itself cannot mend.
func dropEmptyTable(ctx context.Context, db *sql.DB) error {
	var there, filled bool
	err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM information_schema.tables"+
		" WHERE table_schema = DATABASE() AND table_name = ?)", Table).Scan(&there)
	if err != nil || !there {
		return err
	}
	if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+Table+")").Scan(&filled); err != nil || filled {
		return err
	}
	_, err = db.ExecContext(ctx, "DROP TABLE "+Table)
	return err
}

// Numbers of migrations that make what somebody may have taken away since. These and all later ones may be applied again.
const (
	triggerMigration    = 2
	constraintMigration = 3
)

// redo has applied again what makes triggers or the constraint, if one that was there is missing or is another now.
func redo(ctx context.Context, db *sql.DB) error {
	var there, bounded bool
	err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM information_schema.tables"+
		" WHERE table_schema = DATABASE() AND table_name = ?),"+
		" EXISTS (SELECT 1 FROM information_schema.table_constraints"+
		" WHERE constraint_schema = DATABASE() AND table_name = ? AND constraint_name = ?)",
		Table, schema.VersionTable, schema.LargestVersion).Scan(&there, &bounded)
	if err != nil || !there {
		return err
	}
	missing, _, err := mysqldb.MissingTriggers(ctx, db, schema.TriggerNames())
	if err != nil {
		return err
	}
	are, err := schema.ReadTriggers(ctx, db)
	if err != nil {
		return err
	}
	altered, err := schema.AlteredTriggers(are)
	if err != nil {
		return err
	}
	first := constraintMigration
	switch {
	case len(missing)+len(altered) > 0:
		first = triggerMigration
	case bounded:
		return nil
	}
	_, err = db.ExecContext(ctx, "DELETE FROM "+Table+" WHERE version_id >= ?", first)
	return err
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
		return fmt.Errorf("%w: the account needs CREATE, DROP, ALTER, INDEX, REFERENCES, TRIGGER, SELECT, INSERT, UPDATE, DELETE on the database", err)
	case errNoDatabase:
		return fmt.Errorf("%w: the DSN must name a database", err)
	case errForeignKeyBad:
		return fmt.Errorf("%w: a table of this name is there already with another type of id; it must be BIGINT UNSIGNED", err)
	}
	return err
}

// lockName names the lock that processes take turns by. Names of locks belong to the whole server and have at most 64
// characters, hence the digest of the database's name.
const lockName = "CONCAT('vidmeta_migrate.', LEFT(SHA2(DATABASE(), 256), 40))"

// lock takes the lock, on a connection that unlock gives back. It asks again and again with a short wait, so that no read
// time-out of the DSN comes before the answer.
func lock(ctx context.Context, db *sql.DB) (unlock func() error, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if err := await(ctx, conn); err != nil {
		return nil, errors.Join(err, ignoreDone(conn.Close()))
	}
	return func() error {
		// Also when ctx is over: the connection goes back into the pool, and would take the lock along.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
		defer cancel()
		var freed sql.NullBool
		err := conn.QueryRowContext(ctx, "SELECT RELEASE_LOCK("+lockName+")").Scan(&freed)
		if err == nil && !freed.Bool {
			err = errors.New("it was not locked any more")
		}
		return errors.Join(err, ignoreDone(conn.Close()))
	}, nil
}

// await waits until the lock is the connection's.
func await(ctx context.Context, conn *sql.Conn) error {
	deadline := time.Now().Add(LockWait)
	for {
		var got sql.NullBool
		if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK("+lockName+", 1)").Scan(&got); err != nil {
			return err
		}
		switch {
		case !got.Valid:
			return errors.New("GET_LOCK gave up; does the DSN name a database?")
		case got.Bool:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%w, for %v", ErrLocked, LockWait)
		}
	}
}

// ignoreDone drops the error of closing a connection that has been closed with its context.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrConnDone) || errors.Is(err, driver.ErrBadConn) {
		return nil
	}
	return err
}
