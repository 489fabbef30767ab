package schema_test

import (
	"database/sql"
	"testing"

	"vidmeta/internal/migrate"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

// migrated returns a database of the test's own, with tables and triggers.
func migrated(t testing.TB, flavor stack.Flavor) *sql.DB {
	t.Helper()
	db, err := mysqldb.Open(stacktest.Database(t, flavor), mysqldb.Pool{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := migrate.Run(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}
