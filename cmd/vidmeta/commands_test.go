package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"vidmeta/internal/mysqldb"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
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

// TestDoctor breaks one thing after the other.
func TestDoctor(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			dsn := stacktest.Database(t, flavor)
			args := []string{"doctor", "--json", "--mysql", dsn, "--redis", strings.Join(stacktest.Redis(t), ","), "--namespace", "doctor"}
			visit := func() (found []finding, failures string, err error) {
				var out bytes.Buffer
				err = run(t.Context(), args, &out, io.Discard)
				if err := json.Unmarshal(out.Bytes(), &found); err != nil {
					t.Fatalf("%v: %s", err, &out)
				}
				for _, f := range found {
					if f.Level == levelFail {
						failures += f.Check + ": " + f.What + " -> " + f.Mend + "\n"
					}
				}
				return found, failures, err
			}
			if _, failures, err := visit(); !errors.Is(err, errUnwell) || !strings.Contains(failures, "vidmeta migrate") {
				t.Errorf("without tables: %v\n%s", err, failures)
			}
			mustRun(t, "migrate", "--mysql", dsn)
			if found, failures, err := visit(); err != nil || len(found) < len(mysqlChecks)+len(redisChecks) {
				t.Errorf("all well: %v, %d findings\n%s", err, len(found), failures)
			}
			trigger := schema.TriggerName("video_tags", "delete")
			mustExec(t, openDB(t, dsn), "DROP TRIGGER "+trigger)
			if _, failures, err := visit(); !errors.Is(err, errUnwell) || !strings.Contains(failures, trigger) {
				t.Errorf("without a trigger: %v\n%s", err, failures)
			}
			mustRun(t, "migrate", "--mysql", dsn)
			if _, failures, err := visit(); err != nil {
				t.Errorf("with the trigger mended: %v\n%s", err, failures)
			}
			args[3] = strings.Replace(dsn, ":vidmeta@", ":wrong@", 1)
			if _, failures, err := visit(); !errors.Is(err, errUnwell) || !strings.Contains(failures, "mysql: ") || strings.Contains(failures, "triggers") {
				t.Errorf("with a wrong password: %v\n%s", err, failures)
			}
			args[3], args[5] = dsn, "127.0.0.1:1"
			if _, failures, err := visit(); !errors.Is(err, errUnwell) || !strings.Contains(failures, "redis: 127.0.0.1:1") {
				t.Errorf("without Redis: %v\n%s", err, failures)
			}
		})
	}
}

// TestDoctorKnowsGrants visits as a user who may read the tables and no more.
func TestDoctorKnowsGrants(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			dsn := stacktest.Database(t, flavor)
			mustRun(t, "migrate", "--mysql", dsn)
			_, database, _ := strings.Cut(dsn, ")/")
			root := openDB(t, stacktest.Server(t, flavor).RootDSN(database))
			mustExec(t, root, "CREATE USER limited IDENTIFIED BY 'limited'")
			t.Cleanup(func() { mustExec(t, root, "DROP USER limited") })
			mustExec(t, root, "GRANT SELECT ON `"+database+"`.* TO limited")
			var out bytes.Buffer
			err := run(t.Context(), []string{"doctor", "--mysql", strings.Replace(dsn, "vidmeta:vidmeta@", "limited:limited@", 1),
				"--redis", stacktest.SingleRedis(t)}, &out, io.Discard)
			if !errors.Is(err, errUnwell) {
				t.Errorf("doctor: %v", err)
			}
			for _, want := range []string{"GRANT REPLICATION SLAVE ON *.* TO 'limited'@'%'", "all 12 are there", "without cluster support"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("lacks %q:\n%s", want, &out)
				}
			}
		})
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
