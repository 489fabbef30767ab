package stack_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

func TestKilledParentLeavesNoChildAndKeepsData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	parent, pids := helper(t, dir)
	if len(pids) != 4 {
		t.Fatalf("the helper runs %v, want 4 servers", pids)
	}
	for _, pid := range pids {
		if gone(pid) == nil {
			t.Errorf("server %s did not run", pid)
		}
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := parent.Wait(); err == nil {
		t.Error("the helper ended well, want killed")
	}
	// Start at once: it has to wait for the old server, which still holds the folder, to be gone.
	s := stacktest.Start(t, stack.Config{Dir: dir, Flavor: stack.MariaDB})
	for _, pid := range pids {
		stacktest.WaitFor(t, 10*time.Second, func() error { return gone(pid) })
	}
	if got := query1(t, s.MySQL.DSN("vidmeta_kept"), "SELECT DATABASE()"); got != "vidmeta_kept" {
		t.Errorf("database = %q", got)
	}
}

func TestSecondStartKeepsData(t *testing.T) {
	t.Parallel()
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			c := stacktest.Config(flavor)
			c.Dir = filepath.Join(t.TempDir(), "new", "folder")
			first, err := stack.Start(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			mustExec(t, first.MySQL.DSN(""), "CREATE DATABASE vidmeta")
			mustExec(t, first.MySQL.DSN("vidmeta"), "CREATE TABLE kept (n INT)")
			mustExec(t, first.MySQL.DSN("vidmeta"), "INSERT INTO kept VALUES (7)")

			if _, err := stack.Start(ctxFor(t, 100*time.Millisecond), c); err == nil || !strings.Contains(err.Error(), "another stack") {
				t.Errorf("a second stack in a used folder: error = %v", err)
			}
			for range 2 {
				if err := first.Close(); err != nil {
					t.Fatal(err)
				}
			}
			second := stacktest.Start(t, c)
			if got := query1(t, second.MySQL.DSN("vidmeta"), "SELECT n FROM kept"); got != "7" {
				t.Errorf("n = %s, want 7", got)
			}
		})
	}
}

func TestLongDir(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	s := stacktest.Start(t, stack.Config{Dir: dir, Flavor: stack.MariaDB})
	if got := query1(t, s.MySQL.RootDSN(""), "SELECT CURRENT_USER()"); got != "root@localhost" {
		t.Errorf("user = %s", got)
	}
	socket := s.MySQL.Socket()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(socket)); !os.IsNotExist(err) {
		t.Errorf("the folder of %s is left: %v", socket, err)
	}
}

func TestTemporaryFolderIsRemoved(t *testing.T) {
	t.Parallel()
	s, err := stack.Start(t.Context(), stack.Config{RedisNodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", s.Dir(), err)
	}
	if err := s.Redis.Nodes()[0].Kill(); err != nil {
		t.Errorf("kill what is gone: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config stack.Config
		want   string
	}{
		"flavor":    {stack.Config{Flavor: "oracle"}, `Flavor: "oracle"`},
		"nodes":     {stack.Config{RedisNodes: 4}, "RedisNodes: 4"},
		"no mysqld": {stack.Config{Flavor: stack.MySQL}, "scripts/mysql.sh"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := stack.Start(t.Context(), test.config); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestFailedStartShowsTheLog(t *testing.T) {
	t.Parallel()
	began := stack.Config{Flavor: stack.MariaDB, MySQLArgs: []string{"--no-such-option"}, RedisNodes: 1}
	_, err := stack.Start(t.Context(), began)
	if err == nil || !strings.Contains(err.Error(), "unknown option '--no-such-option'") {
		t.Errorf("error = %v, want the reason out of the log", err)
	}
}

func TestFreeAddrsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 3 {
		s := stacktest.Start(t, stack.Config{})
		for range 20 {
			addr, err := s.FreeAddr()
			if err != nil {
				t.Fatal(err)
			}
			if seen[addr] {
				t.Errorf("%s was given twice", addr)
			}
			seen[addr] = true
		}
	}
}

func TestCancelledStart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := stack.Start(ctx, stack.Config{Flavor: stack.MariaDB, RedisNodes: 3}); err == nil {
		t.Errorf("started %v with a context that was over", s.Processes())
	}
}
