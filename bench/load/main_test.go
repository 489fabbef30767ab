package load

import (
	"database/sql"
	"testing"

	"vidmeta/internal/migrate"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/seed"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

// database is one with so many videos.
func database(t *testing.T, flavor stack.Flavor, videos int) (db *sql.DB, dsn string) {
	t.Helper()
	dsn = stacktest.Database(t, flavor)
	db, err := mysqldb.Open(dsn, mysqldb.Pool{MaxOpen: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := migrate.Run(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if err := seed.Seed(t.Context(), db, videos, nil); err != nil {
		t.Fatal(err)
	}
	return db, dsn
}
