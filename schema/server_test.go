package schema_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"vidmeta/internal/migrate"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

// onEach runs a test on every kind of server, in a migrated database of its own.
func onEach(t *testing.T, run func(t *testing.T, db *sql.DB)) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			run(t, migrated(t, flavor))
		})
	}
}

// migrated returns a database of the test's own, with tables and triggers.
func migrated(t testing.TB, flavor stack.Flavor) *sql.DB {
	t.Helper()
	return migratedAt(t, stacktest.Database(t, flavor))
}

// migratedAt migrates an empty database.
func migratedAt(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db := open(t, dsn)
	if _, err := migrate.Run(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

// open returns a pool that is closed at the test's end.
func open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := mysqldb.Open(dsn, mysqldb.Pool{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // a connection that the server has cut already is no fault
	return db
}

// newStore returns a Store that is closed at the test's end.
func newStore(t testing.TB, db *sql.DB) *schema.Store {
	t.Helper()
	store := schema.NewStore(db)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// execer is a pool, a connection or a transaction.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// exec runs statements one after the other.
func exec(t testing.TB, db execer, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// versionOf returns a document's version, zero if it has none.
func versionOf(t testing.TB, db execer, id schema.ID) schema.Version {
	t.Helper()
	var v uint64
	err := db.QueryRowContext(t.Context(), "SELECT version FROM video_versions WHERE video_id = ?", uint64(id)).Scan(&v)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.Fatal(err)
	}
	return schema.Version(v)
}
