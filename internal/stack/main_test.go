package stack_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

// helperEnv makes the test binary a program that starts servers in the folder named, prints their process ids and waits.
const helperEnv = "STACK_TEST_HELPER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperEnv); dir != "" {
		if err := help(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	_ = mysql.SetLogger(&mysql.NopLogger{}) // connections are lost on purpose
	stacktest.Main(m)
}

func help(dir string) error {
	s, err := stack.Start(context.Background(), stack.Config{Dir: dir, Flavor: stack.MariaDB, RedisNodes: 3})
	if err != nil {
		return err
	}
	if err := exec1(s.MySQL.DSN(""), "CREATE DATABASE vidmeta_kept"); err != nil {
		return err
	}
	var pids []string
	for _, p := range s.Processes() {
		pids = append(pids, fmt.Sprint(p.Pid()))
	}
	fmt.Println(strings.Join(pids, " "))
	select {}
}

// exec1 runs one statement on a connection of its own.
func exec1(dsn, query string, args ...any) error {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(query, args...)
	return err
}

// query1 returns the one value that a query yields.
func query1(t *testing.T, dsn, query string, args ...any) (value string) {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

func mustExec(t *testing.T, dsn, query string, args ...any) {
	t.Helper()
	if err := exec1(dsn, query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func ctxFor(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// gone says whether no process of that id runs; one that has ended but was not asked for its status does not run.
func gone(pid string) error {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return nil
	}
	if _, state, ok := strings.Cut(string(stat), ") "); ok && strings.HasPrefix(state, "Z") {
		return nil
	}
	return fmt.Errorf("process %s still runs", pid)
}

// helper starts this test binary as the program above and returns it with the ids of its servers.
func helper(t *testing.T, dir string) (*exec.Cmd, []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 256)
	n, err := out.Read(line)
	if err != nil {
		t.Fatalf("the helper ended: %v, %v", err, cmd.Wait())
	}
	return cmd, strings.Fields(string(line[:n]))
}
