package arm_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9/logging"

	"vidmeta/bench/arm"
	"vidmeta/internal/migrate"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/seed"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

const (
	videos   = 20
	ttl      = time.Second
	redisTTL = 3 * time.Second
)

// Words after the test binary's name that make it another program.
const (
	wordArm    = "arm"    // a Go arm, as a Launcher calls it
	wordParent = "parent" // starts an arm, prints the ids of its processes and waits
)

func TestMain(m *testing.M) {
	logging.Disable() // it prints to standard error what a test provokes
	words := map[string]func([]string) error{wordArm: serveArm, wordParent: beParent}
	if len(os.Args) > 1 && words[os.Args[1]] != nil {
		if err := words[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	defer func() {
		if path, err := vidmeta(); err == nil {
			os.RemoveAll(filepath.Dir(path))
		}
	}()
	stacktest.Main(m)
}

func serveArm(args []string) error {
	var s arm.Settings
	parser, err := kong.New(&s)
	if err != nil {
		return err
	}
	if _, err := parser.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return arm.Serve(ctx, s)
}

// beParent starts the arm that it is told, before the database that it is told.
func beParent(args []string) error {
	l := &arm.Launcher{
		Program:  []string{os.Args[0], wordArm},
		Settings: arm.Settings{MySQL: args[1], TTL: ttl, RedisTTL: redisTTL, LocalBytes: 1 << 20},
	}
	r, err := l.Start(context.Background(), args[0], os.DevNull)
	if err != nil {
		return err
	}
	// One of MySQL's arm and two of a proxy at least; what a proxy starts may come and go until it has settled.
	var all []int
	for deadline := time.Now().Add(10 * time.Second); len(all) < 3 && time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		all = slices.Concat(slices.Collect(maps.Values(r.Pids()))...)
	}
	fmt.Println(strings.Trim(fmt.Sprint(all), "[]"))
	select {}
}

// vidmeta builds the service once for all tests.
var vidmeta = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "vidmeta-arm-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "vidmeta")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/vidmeta")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// database returns a database of this test's own with some videos.
func database(t *testing.T) (string, *sql.DB) {
	t.Helper()
	dsn := stacktest.Database(t, stack.MariaDB)
	db, err := mysqldb.Open(dsn, mysqldb.Pool{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := migrate.Run(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if err := seed.Seed(t.Context(), db, videos, nil); err != nil {
		t.Fatal(err)
	}
	return dsn, db
}

func launcher(t *testing.T, dsn string) *arm.Launcher {
	t.Helper()
	path, err := vidmeta()
	if err != nil {
		t.Fatal(err)
	}
	return &arm.Launcher{
		Program: []string{os.Args[0], wordArm}, Vidmeta: path,
		Settings: arm.Settings{
			MySQL: dsn, Redis: stacktest.Redis(t), TTL: ttl, RedisTTL: redisTTL, LocalBytes: 64 << 20, OriginWidth: 4,
		},
	}
}

// start starts an arm, and stops it at the test's end if the test has not.
func start(t *testing.T, l *arm.Launcher, name string) *arm.Running {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r, err := l.Start(t.Context(), name, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v", time.Since(began))
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(log); t.Failed() && err == nil {
			t.Logf("its log: %s", text)
		}
	})
	return r
}

// truth loads a document from MySQL.
func truth(t *testing.T, db *sql.DB, id schema.ID) schema.Document {
	t.Helper()
	s := schema.NewStore(db)
	defer s.Close()
	docs, err := s.Load(t.Context(), []schema.ID{id})
	if err != nil {
		t.Fatal(err)
	}
	return docs[0]
}

// running returns an error that names one of the processes that run.
func running(pids []int) error {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ESRCH):
		case err != nil:
			return err
		case !strings.Contains(string(text), ") Z "): // one that nobody has waited for is gone all the same
			return fmt.Errorf("process %d runs: %s", pid, text)
		}
	}
	return nil
}

var client = &http.Client{Timeout: 10 * time.Second}
