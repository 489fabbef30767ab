package gauge_test

import (
	"database/sql"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"vidmeta/bench/gauge"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := mysqldb.Open(dsn, mysqldb.Pool{MaxOpen: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestStatements(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			dsn := stacktest.Database(t, flavor)
			m := gauge.NewMySQL(open(t, dsn))
			conn, err := open(t, dsn).Conn(t.Context()) // its connection is made before anything is counted
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			exec := func(query string, args ...any) {
				t.Helper()
				_, err := conn.ExecContext(t.Context(), query, args...)
				must(err)
			}
			var prepared *sql.Stmt
			for _, step := range []struct {
				name string
				want int64
				do   func()
			}{
				{"nothing", 0, func() {}},
				{"plain statements", 2, func() { exec("CREATE TABLE counted (n INT)"); exec("INSERT INTO counted VALUES (1)") }},
				{"a ping", 0, func() { must(conn.PingContext(t.Context())) }},
				{"a statement that the driver prepares, executes and closes", 1, func() { exec("INSERT INTO counted VALUES (?)", 2) }},
				{"a preparation", 0, func() {
					prepared, err = conn.PrepareContext(t.Context(), "SELECT n FROM counted WHERE n = ?")
					must(err)
				}},
				{"prepared executions", 5, func() {
					for range 5 {
						var n int
						must(prepared.QueryRowContext(t.Context(), 2).Scan(&n))
					}
				}},
				{"the end of what was prepared", 0, func() { must(prepared.Close()) }},
				{"a transaction", 3, func() {
					tx, err := conn.BeginTx(t.Context(), nil)
					must(err)
					_, err = tx.ExecContext(t.Context(), "DELETE FROM counted")
					must(err)
					must(tx.Commit())
				}},
			} {
				before, err := m.Statements(t.Context())
				must(err)
				step.do()
				after, err := m.Statements(t.Context())
				must(err)
				if after-before != step.want {
					t.Errorf("%s: counted as %d statements, want %d", step.name, after-before, step.want)
				}
			}
		})
	}
}

func TestStatementsSayWhatIsWrong(t *testing.T) {
	db := open(t, stacktest.Database(t, stack.MariaDB))
	_ = db.Close()
	if n, err := gauge.NewMySQL(db).Statements(t.Context()); err == nil || !strings.Contains(err.Error(), "count statements") {
		t.Errorf("a counter of a closed pool: %d, %v", n, err)
	}
}

func TestMessages(t *testing.T) {
	// Beside what is sent: the counter asks each server itself, replicas say once a second how far they are, and a client
	// that has just been made asks which node has what.
	const sent, scripted, tolerance = 600, 10_000, 60
	for _, servers := range []struct {
		name  string
		addrs []string
	}{{"cluster", stacktest.Redis(t)}, {"single", []string{stacktest.SingleRedis(t)}}} {
		t.Run(servers.name, func(t *testing.T) {
			counter := gauge.NewRedis(servers.addrs)
			defer counter.Close()
			client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: servers.addrs})
			defer client.Close()
			rise := func(do func() error) int64 {
				t.Helper()
				before, err := counter.Messages(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := do(); err != nil {
					t.Fatal(err)
				}
				after, err := counter.Messages(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return after - before
			}
			n := rise(func() error {
				for i := range sent { // keys of all masters
					if err := client.Set(t.Context(), "gauge:"+strconv.Itoa(i), "", 0).Err(); err != nil {
						return err
					}
				}
				return nil
			})
			if n < sent || n > sent+tolerance {
				t.Errorf("%d messages, counted as %d", sent, n)
			}
			n = rise(func() error { // to one master, in one packet
				_, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
					for range sent / 6 {
						p.Incr(t.Context(), "gauge:counter")
					}
					return nil
				})
				return err
			})
			if n < 1 || n > tolerance {
				t.Errorf("%d commands at once, counted as %d messages", sent/6, n)
			}
			n = rise(func() error {
				const script = "for i = 1, tonumber(ARGV[1]) do redis.call('INCR', KEYS[1]) end"
				err := client.Eval(t.Context(), script, []string{"gauge:script"}, scripted).Err()
				if err == redis.Nil {
					return nil // the script returns nothing
				}
				return err
			})
			if n < 1 || n > tolerance {
				t.Errorf("a script with %d commands, counted as %d messages", scripted, n)
			}
		})
	}
}

func TestMachine(t *testing.T) {
	server := stacktest.Server(t, stack.MariaDB)
	r := gauge.NewRedis(stacktest.Redis(t))
	defer r.Close()
	m, err := gauge.Machine(t.Context(), open(t, server.DSN("")), r)
	if err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(m)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not filled in: %+v", v.Type().Field(i).Name, m)
		}
	}
	if m.MySQL != server.Version() || m.Cores != runtime.NumCPU() || "go"+m.Go != runtime.Version() {
		t.Errorf("machine = %+v, with MariaDB %s, %d cores, %s", m, server.Version(), runtime.NumCPU(), runtime.Version())
	}
	if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(m.Redis) {
		t.Errorf("Redis says that it is %q", m.Redis)
	}
	if m.MemoryMB < 100 || m.MemoryMB > 100<<20 {
		t.Errorf("%d MiB of memory", m.MemoryMB)
	}
}

func TestCommit(t *testing.T) {
	if c := gauge.Commit(); !regexp.MustCompile(`^(unknown|[0-9a-f]{12}\+?)$`).MatchString(c) {
		t.Errorf("commit %q", c)
	}
}
