package main

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"math"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"vidmeta/internal/mysqldb"
	"vidmeta/internal/stack/stacktest"
)

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatalf("vidmeta %s: %v\n%s", args[0], err, &out)
	}
	return out.String()
}

func openDB(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := mysqldb.Open(dsn, mysqldb.Pool{MaxOpen: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func mustExec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.Exec(query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func TestVersion(t *testing.T) {
	if got := mustRun(t, "version"); !strings.HasPrefix(got, "vidmeta ") || !strings.Contains(got, " go1.") {
		t.Errorf("version: %q", got)
	}
}

func TestMigrateAndSeed(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			dsn := stacktest.Database(t, flavor)
			if got := mustRun(t, "migrate", "--mysql", dsn); !strings.Contains(got, "applied") {
				t.Errorf("the first migration: %q", got)
			}
			if got := mustRun(t, "migrate", "--mysql", dsn); !strings.Contains(got, "up to date") {
				t.Errorf("the second migration: %q", got)
			}
			mustRun(t, "seed", "--mysql", dsn, "--videos", "20")
			mustRun(t, "seed", "--mysql", dsn, "--videos", "30")
			var n int
			if err := openDB(t, dsn).QueryRow("SELECT COUNT(*) FROM videos").Scan(&n); err != nil || n != 30 {
				t.Errorf("%d videos, %v; want 30", n, err)
			}
		})
	}
}

func TestSeedInterrupted(t *testing.T) {
	dsn := stacktest.Database(t, stacktest.Flavors(t)[0])
	mustRun(t, "migrate", "--mysql", dsn)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := run(ctx, []string{"seed", "--mysql", dsn, "--videos", "2000"}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "of 2000 videos") {
		t.Errorf("seed: %v", err)
	}
}

func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	t.Setenv("GOMEMLIMIT", "off")
	limitMemory(1 << 30)
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("with GOMEMLIMIT the limit went from %d to %d", before, got)
	}
	if err := os.Unsetenv("GOMEMLIMIT"); err != nil { // t.Setenv puts it back
		t.Fatal(err)
	}
	limitMemory(1 << 30)
	if got := debug.SetMemoryLimit(-1); got != 1<<30+besidesLocal {
		t.Errorf("the limit is %d", got)
	}
	limitMemory(math.MaxInt64)
	if got := debug.SetMemoryLimit(-1); got != 1<<30+besidesLocal {
		t.Errorf("an overflow made it %d", got)
	}
}
