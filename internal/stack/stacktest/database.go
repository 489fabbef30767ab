package stacktest

import (
	"database/sql"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver that the DSNs are for

	"vidmeta/internal/stack"
)

const nameLimit = 64 // of a database

var databases atomic.Int64

// Database makes an empty database for this test on the shared server, drops it at the test's end, and returns its DSN
// (without parameters).
func Database(t testing.TB, flavor stack.Flavor) (dsn string) {
	t.Helper()
	s := Server(t, flavor)
	name := databaseName(t.Name(), databases.Add(1))
	admin, err := sql.Open("mysql", s.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec("CREATE DATABASE `" + name + "`"); err != nil {
		t.Fatalf("create database %s: %v", name, err)
	}
	t.Cleanup(func() {
		defer admin.Close()
		// A transaction that the test left open would block the drop: give up on it soon, the server goes away anyway.
		if _, err := admin.Exec("SET SESSION lock_wait_timeout = 5"); err != nil {
			t.Errorf("drop database %s: %v", name, err)
		}
		if _, err := admin.Exec("DROP DATABASE IF EXISTS `" + name + "`"); err != nil {
			t.Errorf("drop database %s: %v", name, err)
		}
	})
	admin.SetMaxOpenConns(1)
	return s.DSN(name)
}

// databaseName makes a name that says which test it is of, within what the application's user may create.
func databaseName(test string, n int64) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '_'
	}, test)
	name := fmt.Sprintf("vidmeta_%d_%d_%s", os.Getpid(), n, plain)
	return name[:min(len(name), nameLimit)]
}
