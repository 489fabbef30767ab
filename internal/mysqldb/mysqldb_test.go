package mysqldb_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"vidmeta/internal/mysqldb"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

func TestOpenRefuses(t *testing.T) {
	const dsn = "user:secret@tcp(127.0.0.1:3306)/db"
	for _, c := range []struct {
		name, dsn string
		pool      mysqldb.Pool
		want      string
	}{
		{"no DSN", "user:secret@nowhere", mysqldb.Pool{}, "missing the slash"},
		{"a parameter's value", dsn + "?timeout=soon", mysqldb.Pool{}, "invalid duration"},
		{"a charset to interpolate in", dsn + "?interpolateParams=true&collation=gbk_chinese_ci", mysqldb.Pool{}, "unsafe collations"},
		{"connections", dsn, mysqldb.Pool{MaxOpen: -1}, "MaxOpen"},
		{"time-out", dsn, mysqldb.Pool{StatementTimeout: time.Microsecond}, "StatementTimeout"},
		{"negative time-out", dsn, mysqldb.Pool{StatementTimeout: -time.Second}, "StatementTimeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := mysqldb.Open(c.dsn, c.pool)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error: %v", err)
			}
		})
	}
}

// What a connection is like if the DSN says nothing, and that what it says holds.
func TestSession(t *testing.T) {
	limit := map[stack.Flavor]string{stack.MariaDB: "max_statement_time", stack.MySQL: "max_execution_time"}
	level := map[stack.Flavor]string{stack.MariaDB: "tx_isolation", stack.MySQL: "transaction_isolation"}
	for _, flavor := range stacktest.Flavors(t) {
		for _, c := range []struct {
			name, parameters string
			timeout          time.Duration
			want             string // autocommit, isolation, zone, limit, collation
		}{
			{"nothing said", "", 0, "1 REPEATABLE-READ +00:00 0 utf8mb4_general_ci"},
			{"a limit", "", 1500 * time.Millisecond, "1 REPEATABLE-READ +00:00 1500 utf8mb4_general_ci"},
			{"all said", "?time_zone=%27%2B02%3A00%27&collation=utf8mb4_unicode_ci&" + level[flavor] + "=%27READ-COMMITTED%27&" +
				limit[flavor] + "=9", time.Second, "1 READ-COMMITTED +02:00 9 utf8mb4_unicode_ci"},
			{"a charset", "?charset=latin1", 0, "1 REPEATABLE-READ +00:00 0 latin1_swedish_ci"},
		} {
			t.Run(string(flavor)+"/"+c.name, func(t *testing.T) {
				db, err := mysqldb.Open(stacktest.Database(t, flavor)+c.parameters, mysqldb.Pool{StatementTimeout: c.timeout})
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				if n := db.Stats().MaxOpenConnections; n != mysqldb.DefaultMaxOpen {
					t.Errorf("up to %d connections", n)
				}
				var autocommit, isolation, zone, max, collation string
				err = db.QueryRowContext(t.Context(), "SELECT @@autocommit, @@"+level[flavor]+", @@time_zone, @@"+limit[flavor]+
					", @@collation_connection").Scan(&autocommit, &isolation, &zone, &max, &collation)
				if err != nil {
					t.Fatal(err)
				}
				if flavor == stack.MariaDB { // counts in seconds
					max = map[string]string{"0": "0", "1.5": "1500", "9": "9"}[max]
				}
				if got := strings.Join([]string{autocommit, isolation, zone, max, collation}, " "); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
			})
		}
	}
}

// A statement that takes too long is ended by the server, which says so, on a connection that goes on.
func TestStatementTimeout(t *testing.T) {
	const maxExecutionTime, maxStatementTime = 3024, 1969 // MySQL's number for it, MariaDB's
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			db, err := mysqldb.Open(stacktest.Database(t, flavor), mysqldb.Pool{MaxOpen: 1, StatementTimeout: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			connection := func() (id int) {
				if err := db.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
					t.Fatal(err)
				}
				return id
			}
			before := connection()
			var n int
			err = db.QueryRowContext(t.Context(), "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900)"+
				" SELECT COUNT(*) FROM n a, n b, n c, n d WHERE a.i + b.i + c.i + d.i = 7").Scan(&n)
			var answer *mysql.MySQLError
			if !errors.As(err, &answer) || answer.Number != maxExecutionTime && answer.Number != maxStatementTime {
				t.Fatalf("error: %v", err)
			}
			if after := connection(); after != before {
				t.Errorf("connection %d, before %d", after, before)
			}
		})
	}
}

func TestFlavor(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		db, err := mysqldb.Open(stacktest.Database(t, flavor), mysqldb.Pool{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		mariadb, version, err := mysqldb.Flavor(t.Context(), db)
		if err != nil || mariadb != (flavor == stack.MariaDB) || version != stacktest.Server(t, flavor).Version() {
			t.Errorf("%s: %v, %q, %v", flavor, mariadb, version, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := mysqldb.Flavor(ctx, db); !errors.Is(err, context.Canceled) {
			t.Errorf("error: %v", err)
		}
	}
}
