package stack_test

import (
	"testing"
	"time"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

func TestServerSettings(t *testing.T) {
	t.Parallel()
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			t.Parallel()
			dsn := stacktest.Database(t, flavor)
			want := map[string]string{
				"log_bin": "1", "binlog_format": "ROW", "binlog_row_metadata": "FULL", "binlog_row_image": "FULL",
				"sync_binlog": "1", "innodb_flush_log_at_trx_commit": "1", "log_bin_trust_function_creators": "1",
				"character_set_server": "utf8mb4", "skip_name_resolve": "1",
			}
			if flavor == stack.MySQL {
				want["gtid_mode"], want["enforce_gtid_consistency"] = "ON", "ON"
			} else {
				want["gtid_strict_mode"] = "1"
			}
			for name, want := range want {
				if got := query1(t, dsn, "SELECT @@global."+name); got != want {
					t.Errorf("%s = %s, want %s", name, got, want)
				}
			}
			if version := stacktest.Server(t, flavor).Version(); version != query1(t, dsn, "SELECT VERSION()") {
				t.Errorf("version = %q", version)
			}
		})
	}
}

// What vidmeta does at its database, its user may do.
func TestServerRights(t *testing.T) {
	t.Parallel()
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			t.Parallel()
			dsn := stacktest.Database(t, flavor)
			mustExec(t, dsn, "CREATE TABLE a (n INT PRIMARY KEY) ")
			mustExec(t, dsn, "CREATE TABLE b (n INT PRIMARY KEY)")
			mustExec(t, dsn, "CREATE TRIGGER tr AFTER INSERT ON a FOR EACH ROW INSERT INTO b VALUES (NEW.n + 1)")
			mustExec(t, dsn, "INSERT INTO a VALUES (1)")
			if got := query1(t, dsn, "SELECT n FROM b"); got != "2" {
				t.Errorf("n = %s, want 2", got)
			}
			mustExec(t, dsn, "SHOW BINARY LOGS")
			if got := query1(t, dsn, "SELECT GET_LOCK('a', 0)"); got != "1" {
				t.Errorf("GET_LOCK = %s", got)
			}
			mustExec(t, stacktest.Server(t, flavor).RootDSN(""), "FLUSH BINARY LOGS")
		})
	}
}

func TestKilledServerKeepsData(t *testing.T) {
	t.Parallel()
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			s := stacktest.Start(t, stacktest.Config(flavor)).MySQL
			mustExec(t, s.DSN(""), "CREATE DATABASE vidmeta")
			dsn := s.DSN("vidmeta")
			mustExec(t, dsn, "CREATE TABLE kept (n INT)")
			mustExec(t, dsn, "INSERT INTO kept VALUES (7)")
			pid, done := s.Pid(), s.Done()

			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
			<-done
			if err := exec1(dsn, "SELECT 1"); err == nil {
				t.Error("a killed server answers")
			}
			if err := s.Wait(t.Context()); err == nil || err.Error() != "signal: killed" {
				t.Errorf("it ended with %v, want killed", err)
			}
			for range 2 { // the second time it runs
				if err := s.Restart(ctxFor(t, time.Minute)); err != nil {
					t.Fatal(err)
				}
				if got := query1(t, dsn, "SELECT n FROM kept"); got != "7" {
					t.Errorf("n = %s, want 7", got)
				}
				if s.Pid() == pid {
					t.Error("it is the same process")
				}
				pid = s.Pid()
			}
		})
	}
}

func TestPausedServerIsSilent(t *testing.T) {
	t.Parallel()
	s := stacktest.Start(t, stack.Config{Flavor: stack.MariaDB}).MySQL
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := exec1(s.DSN("")+"?timeout=100ms&readTimeout=100ms", "SELECT 1"); err == nil {
		t.Error("a paused server answers")
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	mustExec(t, s.DSN(""), "SELECT 1")
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(ctxFor(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context()); err != nil {
		t.Errorf("it ended with %v, want exit status 0", err)
	}
}
