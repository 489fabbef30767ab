package migrate_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vidmeta/internal/migrate"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

const (
	migrations = 3
	oneWait    = 1500 * time.Millisecond // longer than Run waits before it asks again
	waiting    = 20 * time.Second
)

// onEach runs a test on every kind of server, with the DSN of an empty database.
func onEach(t *testing.T, run func(t *testing.T, flavor stack.Flavor, dsn string)) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) { run(t, flavor, stacktest.Database(t, flavor)) })
	}
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := mysqldb.Open(dsn, mysqldb.Pool{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// names returns the first column of a query, sorted.
func names(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func TestRun(t *testing.T) {
	onEach(t, func(t *testing.T, _ stack.Flavor, dsn string) {
		db := open(t, dsn)
		for _, want := range []int{migrations, 0} {
			if n, err := migrate.Run(t.Context(), db); err != nil || n != want {
				t.Fatalf("applied %d, %v; want %d", n, err, want)
			}
		}
		want := append(slices.Clone(schema.Tables), schema.VersionTable, "video_stats", migrate.Table)
		slices.Sort(want)
		if got := names(t, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"); !slices.Equal(got, want) {
			t.Errorf("tables %v, want %v", got, want)
		}
		want = want[:0]
		for _, table := range schema.Tables {
			for _, event := range schema.Events {
				want = append(want, table+" "+strings.ToUpper(event)+" "+schema.TriggerName(table, event))
			}
		}
		slices.Sort(want)
		if got := names(t, db, `SELECT CONCAT_WS(' ', event_object_table, event_manipulation, trigger_name)
			FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND action_timing = 'AFTER'`); !slices.Equal(got, want) {
			t.Errorf("triggers %q, want %q", got, want)
		}
		// Nothing cascades onto the table whose triggers stand for the cascades below it.
		if got := names(t, db, `SELECT constraint_name FROM information_schema.referential_constraints
			WHERE constraint_schema = DATABASE() AND (table_name IN ('videos', 'video_versions') OR referenced_table_name <> 'videos')`); got != nil {
			t.Errorf("cascades %q", got)
		}
	})
}

func TestRunAtOnce(t *testing.T) {
	const runs = 6
	onEach(t, func(t *testing.T, _ stack.Flavor, dsn string) {
		type outcome struct {
			applied int
			err     error
		}
		outcomes := make(chan outcome)
		for range runs {
			db := open(t, dsn) // each as a process of its own has it
			go func() {
				n, err := migrate.Run(t.Context(), db)
				outcomes <- outcome{n, err}
			}()
		}
		applied := 0
		for range runs {
			o := <-outcomes
			if o.err != nil {
				t.Error(o.err)
			}
			applied += o.applied
		}
		if applied != migrations {
			t.Errorf("applied %d, want %d", applied, migrations)
		}
	})
}

// A pool of one connection would wait for itself.
func TestRunNeedsTwoConnections(t *testing.T) {
	onEach(t, func(t *testing.T, _ stack.Flavor, dsn string) {
		db := open(t, dsn)
		db.SetMaxOpenConns(1)
		if _, err := migrate.Run(t.Context(), db); err == nil || !strings.Contains(err.Error(), "two connections") {
			t.Errorf("error: %v", err)
		}
		db.SetMaxOpenConns(2)
		if n, err := migrate.Run(t.Context(), db); err != nil || n != migrations {
			t.Errorf("applied %d, %v", n, err)
		}
	})
}

// Tables that were there before keep their rows, and each video gets a version; those that have one keep it.
func TestRunBackfills(t *testing.T) {
	onEach(t, func(t *testing.T, _ stack.Flavor, dsn string) {
		db := open(t, dsn)
		exec(t, db,
			"CREATE TABLE videos (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, title VARCHAR(500) NOT NULL, theirs INT)",
			"CREATE TABLE video_versions (video_id BIGINT UNSIGNED PRIMARY KEY, version BIGINT UNSIGNED NOT NULL)",
			"INSERT INTO videos (title, theirs) VALUES ('one', 1), ('two', 2), ('three', 3)",
			"INSERT INTO video_versions VALUES (2, 9000000000000000)")
		if _, err := migrate.Run(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		got := names(t, db, `SELECT CONCAT(v.id, ' ', v.theirs, ' ', CASE
				WHEN r.version = 9000000000000000 THEN 'kept'
				WHEN ABS(TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) - r.version / 1000000) < 60 THEN 'now'
				ELSE 'wrong' END)
			FROM videos v LEFT JOIN video_versions r ON r.video_id = v.id`)
		if want := []string{"1 1 now", "2 2 kept", "3 3 now"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Triggers that are gone, or are others by now, become what they were, without a change to any row.
func TestRunMendsTriggers(t *testing.T) {
	onEach(t, func(t *testing.T, _ stack.Flavor, dsn string) {
		db := open(t, dsn)
		if _, err := migrate.Run(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		exec(t, db, "INSERT INTO videos (id, title) VALUES (1, 'one')")
		before := names(t, db, "SELECT CONCAT(video_id, ' ', version) FROM video_versions")
		name := schema.TriggerName("videos", "delete")
		for _, ruin := range []string{
			"DO 0",
			"CREATE TRIGGER " + name + " BEFORE DELETE ON videos FOR EACH ROW SET @nothing = 1",
			"CREATE TRIGGER " + name + " AFTER DELETE ON video_stats FOR EACH ROW SET @nothing = 1",
		} {
			exec(t, db, "DROP TRIGGER "+name, ruin)
			if _, err := migrate.Run(t.Context(), db); err != nil {
				t.Fatalf("after %s: %v", ruin, err)
			}
			are, err := schema.ReadTriggers(t.Context(), db)
			if err != nil {
				t.Fatal(err)
			}
			altered, err := schema.AlteredTriggers(are)
			if err != nil || len(altered) > 0 || len(are) != len(schema.TriggerNames()) {
				t.Errorf("after %s: %d triggers, %v altered, %v", ruin, len(are), altered, err)
			}
		}
		if after := names(t, db, "SELECT CONCAT(video_id, ' ', version) FROM video_versions"); !slices.Equal(after, before) {
			t.Errorf("versions %q, before %q", after, before)
		}
		if n, err := migrate.Run(t.Context(), db); n != 0 || err != nil {
			t.Errorf("when nothing is left to do: %d applied, %v", n, err)
		}
	})
}

// Versions that are too large for a document come down, the constraint keeps others out, and comes back if it is dropped;
// a run that was cut off after it was made can be repeated.
func TestRunBoundsVersions(t *testing.T) {
	onEach(t, func(t *testing.T, _ stack.Flavor, dsn string) {
		db := open(t, dsn)
		exec(t, db,
			"CREATE TABLE video_versions (video_id BIGINT UNSIGNED PRIMARY KEY, version BIGINT UNSIGNED NOT NULL)",
			"INSERT INTO video_versions VALUES (1, 18446744073709551615), (2, 9007199254740992), (3, 9007199254740991), (4, 7)")
		for _, undo := range []string{
			"DO 0",
			"ALTER TABLE video_versions DROP CONSTRAINT " + schema.LargestVersion,
			fmt.Sprintf("DELETE FROM %s WHERE version_id = %d", migrate.Table, migrations),
		} {
			exec(t, db, undo)
			if _, err := migrate.Run(t.Context(), db); err != nil {
				t.Fatalf("after %s: %v", undo, err)
			}
			_, err := db.ExecContext(t.Context(), "UPDATE video_versions SET version = 9007199254740992 WHERE video_id = 4")
			if err == nil || !strings.Contains(err.Error(), schema.LargestVersion) {
				t.Errorf("after %s, a version that is too large: %v", undo, err)
			}
		}
		got := names(t, db, `SELECT CONCAT(video_id, ' ', CASE WHEN version IN (7, 9007199254740991) THEN 'kept'
				WHEN ABS(TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) - version / 1000000) < 60 THEN 'now'
				ELSE 'wrong' END) FROM video_versions`)
		if want := []string{"1 now", "2 now", "3 kept", "4 kept"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A run that came to grief in the middle is repeated and finished.
func TestRunAfterFailure(t *testing.T) {
	onEach(t, func(t *testing.T, _ stack.Flavor, dsn string) {
		db := open(t, dsn)
		exec(t, db, "CREATE VIEW video_renditions AS SELECT 1 AS video_id") // no trigger can be put on it
		_, err := migrate.Run(t.Context(), db)
		if err == nil || !strings.Contains(err.Error(), "00002") {
			t.Fatalf("error: %v", err)
		}
		// And the way of the history to an empty table: cut off before its first row.
		exec(t, db, "DROP VIEW video_renditions", "DELETE FROM "+migrate.Table)
		if n, err := migrate.Run(t.Context(), db); err != nil || n != migrations {
			t.Errorf("applied %d, %v", n, err)
		}
	})
}

func TestRunExplains(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			server := stacktest.Start(t, stacktest.Config(flavor)).MySQL
			root := open(t, server.RootDSN(""))
			exec(t, root, "CREATE DATABASE vidmeta", "SET GLOBAL log_bin_trust_function_creators = 0",
				"CREATE USER reader@'%' IDENTIFIED BY 'r'", "GRANT SELECT ON vidmeta.* TO reader@'%'")
			reader := strings.Replace(server.DSN("vidmeta"), "vidmeta:vidmeta@", "reader:r@", 1)
			for _, c := range []struct {
				name, dsn, want string
			}{
				{"no SUPER", server.DSN("vidmeta"), "log_bin_trust_function_creators"},
				{"no rights", reader, "the account needs CREATE"},
				{"no database", server.DSN(""), "database"},
			} {
				t.Run(c.name, func(t *testing.T) {
					if _, err := migrate.Run(t.Context(), open(t, c.dsn)); err == nil || !strings.Contains(err.Error(), c.want) {
						t.Errorf("error: %v", err)
					}
				})
			}
			exec(t, root, "SET GLOBAL log_bin_trust_function_creators = 1")
			if _, err := migrate.Run(t.Context(), open(t, server.DSN("vidmeta"))); err != nil {
				t.Errorf("once the server allows it: %v", err)
			}
		})
	}
}

// While another process migrates, Run waits, and stops waiting with its context.
func TestRunWaits(t *testing.T) {
	onEach(t, func(t *testing.T, _ stack.Flavor, dsn string) {
		other, err := open(t, dsn).Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		var got int
		lock := "SELECT GET_LOCK(CONCAT('vidmeta_migrate.', LEFT(SHA2(DATABASE(), 256), 40)), 0)"
		if err := other.QueryRowContext(t.Context(), lock).Scan(&got); err != nil || got != 1 {
			t.Fatalf("%d, %v", got, err)
		}
		db := open(t, dsn)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := migrate.Run(ctx, db)
			ended <- err
		}()
		watcher, began := open(t, dsn), time.Now()
		stacktest.WaitFor(t, waiting, func() error {
			if n := names(t, watcher, "SELECT info FROM information_schema.processlist WHERE info LIKE 'SELECT GET\\_LOCK%' AND db = DATABASE()"); len(n) != 1 {
				return errors.New("nobody waits for the lock")
			}
			if time.Since(began) < oneWait {
				return errors.New("nobody has had to ask for the lock again yet")
			}
			return nil
		})
		if tables := names(t, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"); tables != nil {
			t.Errorf("made %v meanwhile", tables)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("error: %v", err)
		}
	})
}
