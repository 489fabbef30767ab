package stacktest_test

import (
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

func TestDatabaseIsFreshAndDropped(t *testing.T) {
	t.Parallel()
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			t.Parallel()
			var seen []string
			for _, name := range []string{"one", "tWo/" + strings.Repeat("long ", 20), "same", "same"} {
				t.Run(name, func(t *testing.T) {
					db := open(t, stacktest.Database(t, flavor))
					if _, err := db.Exec("CREATE TABLE mine (n INT)"); err != nil {
						t.Fatal(err)
					}
					var database string
					if err := db.QueryRow("SELECT DATABASE()").Scan(&database); err != nil {
						t.Fatal(err)
					}
					seen = append(seen, database)
				})
			}
			server := open(t, stacktest.Server(t, flavor).DSN(""))
			for _, name := range seen {
				var left int
				err := server.QueryRow("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?", name).Scan(&left)
				if err != nil || left != 0 {
					t.Errorf("database %s: %d left, %v", name, left, err)
				}
			}
			if len(seen) != 4 {
				t.Errorf("databases = %q, want four", seen)
			}
		})
	}
}

func TestServersAreShared(t *testing.T) {
	t.Parallel()
	if a, b := stacktest.Server(t, stack.MariaDB), stacktest.Server(t, stack.MariaDB); a != b {
		t.Errorf("two servers, %s and %s, where one would do", a.Addr(), b.Addr())
	}
	if a, b := stacktest.SingleRedis(t), stacktest.SingleRedis(t); a != b {
		t.Errorf("two servers, %s and %s, where one would do", a, b)
	}
}

func TestWaitForTellsTheLastReason(t *testing.T) {
	t.Parallel()
	calls := 0
	stacktest.WaitFor(t, time.Minute, func() error {
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}

	f := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		stacktest.WaitFor(f, 5*time.Millisecond, func() error {
			calls++
			return fmt.Errorf("reason %d", calls)
		})
	}()
	<-done
	if want := fmt.Sprintf("after 5ms: reason %d", calls); f.message != want {
		t.Errorf("message = %q, want %q", f.message, want)
	}
}

// failing notes why a test would have failed.
type failing struct {
	testing.TB
	message string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
