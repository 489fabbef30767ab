package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"vidmeta/cache"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

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

// chief makes a user who may do anything, and returns the DSN of a database with it.
func chief(t *testing.T, flavor stack.Flavor, dsn string) string {
	t.Helper()
	root := openDB(t, stacktest.Server(t, flavor).RootDSN(""))
	mustExec(t, root, "CREATE USER chief IDENTIFIED BY 'chief'")
	t.Cleanup(func() { mustExec(t, root, "DROP USER chief") })
	mustExec(t, root, "GRANT ALL ON *.* TO chief WITH GRANT OPTION")
	return strings.Replace(dsn, "vidmeta:vidmeta@", "chief:chief@", 1)
}

// examineMySQL looks at a database server alone.
func examineMySQL(t *testing.T, dsn string) []finding {
	t.Helper()
	s := mysqlSettings{MySQL: dsn}
	if err := s.validate(); err != nil {
		t.Fatal(err)
	}
	p, err := newMySQLPatient(s, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	return examine(t.Context(), p, mysqlChecks)
}

// examineRedis looks at Redis alone.
func examineRedis(t *testing.T, user, password string, addrs ...string) []finding {
	t.Helper()
	s := redisSettings{Redis: addrs, RedisUsername: user, RedisPassword: password, Namespace: "doctor"}
	if err := s.validate(); err != nil {
		t.Fatal(err)
	}
	p, err := newRedisPatient(s, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	return examine(t.Context(), p, redisChecks)
}

// bad lists the findings that are not well, one a line.
func bad(found []finding) string {
	var b strings.Builder
	for _, f := range found {
		if f.Level != levelOK {
			fmt.Fprintf(&b, "%s %s: %s -> %s\n", f.Level, f.Check, f.What, f.Mend)
		}
	}
	return b.String()
}

// hasFinding returns an error unless there is a finding of that level and check which says so.
func hasFinding(found []finding, l level, check, says string) (finding, error) {
	for _, f := range found {
		if f.Level == l && f.Check == check && strings.Contains(f.What, says) {
			return f, nil
		}
	}
	return finding{}, fmt.Errorf("no finding %s %s that says %q:\n%s", l, check, says, bad(found))
}

// cure does what a finding says, where that is SQL.
func cure(t *testing.T, db *sql.DB, f finding) {
	t.Helper()
	statements, _, _ := strings.Cut(f.Mend, " -- ")
	for s := range strings.SplitSeq(statements, "; ") {
		mustExec(t, db, s)
	}
}

// recreate makes a trigger with another beginning, end or definer.
func recreate(name, change string) []string {
	all, err := wantedTriggers()
	if err != nil {
		panic(err)
	}
	w := all[name]
	create := fmt.Sprintf("CREATE TRIGGER %s %s %s ON %s FOR EACH ROW %s", name, w.timing, w.event, w.table, w.statements)
	switch change {
	case "timing":
		create = strings.Replace(create, "AFTER", "BEFORE", 1)
	case "statements":
		create = strings.Replace(create, "version + 1", "version + 0", 1)
	default:
		create = strings.Replace(create, "TRIGGER", "DEFINER="+change+" TRIGGER", 1)
	}
	return []string{"DROP TRIGGER " + name, create}
}

// TestDoctorFindsMySQL breaks one thing after the other, and does what the finding says.
func TestDoctorFindsMySQL(t *testing.T) {
	tests := []struct {
		name    string
		only    stack.Flavor // "" for all
		ruin    []string
		level   level
		check   string
		says    string
		mend    []string // nil does what the finding says
		migrate bool     // afterwards
	}{
		{name: "read-only", ruin: []string{"SET GLOBAL read_only = ON"}, level: levelFail, check: "primary", says: "read-only"},
		{name: "super-read-only", only: stack.MySQL, ruin: []string{"SET GLOBAL super_read_only = ON"}, level: levelFail, check: "primary", says: "read-only"},
		{name: "replica that logs nothing", only: stack.MariaDB, ruin: []string{"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1"},
			level: levelFail, check: "primary", says: "does not log what it replicates", mend: []string{"RESET REPLICA ALL"}},
		{name: "replica", only: stack.MySQL, ruin: []string{"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1"},
			level: levelWarn, check: "primary", says: "it is a replica", mend: []string{"RESET REPLICA ALL"}},
		{name: "statements", ruin: []string{"SET GLOBAL binlog_format = MIXED"}, level: levelFail, check: "binlog", says: "binlog_format is MIXED",
			mend: []string{"SET GLOBAL binlog_format = ROW"}},
		{name: "no server id", only: stack.MySQL, ruin: []string{"SET GLOBAL server_id = 0"}, level: levelFail, check: "binlog", says: "server_id is 0",
			mend: []string{"SET GLOBAL server_id = 1"}},
		{name: "no GTIDs", only: stack.MySQL, ruin: []string{"SET GLOBAL gtid_mode = ON_PERMISSIVE", "SET GLOBAL gtid_mode = OFF_PERMISSIVE"},
			level: levelFail, check: "gtid", says: "gtid_mode is OFF_PERMISSIVE", mend: []string{"SET GLOBAL gtid_mode = ON_PERMISSIVE", "SET GLOBAL gtid_mode = ON"}},
		{name: "retention", ruin: []string{"SET GLOBAL binlog_expire_logs_seconds = 3600"}, level: levelWarn, check: "retention", says: "1h0m0s"},
		{name: "sync_binlog", ruin: []string{"SET GLOBAL sync_binlog = 0"}, level: levelWarn, check: "durability", says: "sync_binlog is 0"},
		{name: "flush", ruin: []string{"SET GLOBAL innodb_flush_log_at_trx_commit = 2"}, level: levelWarn, check: "durability", says: "innodb_flush_log_at_trx_commit is 2"},
		{name: "engine", ruin: []string{"ALTER TABLE video_tags DROP FOREIGN KEY video_tags_video", "ALTER TABLE video_tags ENGINE = MyISAM"},
			level: levelFail, check: "tables", says: "video_tags is of the engine MyISAM"},
		{name: "view", ruin: []string{"RENAME TABLE video_cast TO actors", "CREATE VIEW video_cast AS SELECT * FROM actors"},
			level: levelFail, check: "tables", says: "video_cast is a VIEW", mend: []string{"DROP VIEW video_cast", "RENAME TABLE actors TO video_cast"}},
		{name: "trigger before", ruin: recreate("videos_version_update", "timing"), level: levelFail, check: "triggers",
			says: "videos_version_update is not as it was made (BEFORE UPDATE ON videos)", migrate: true},
		{name: "trigger that does something else", ruin: recreate("video_cast_version_delete", "statements"), level: levelFail, check: "triggers",
			says: "video_cast_version_delete is not as it was made", migrate: true},
		{name: "definer that is gone", ruin: slices.Concat([]string{"CREATE USER maker"}, recreate("videos_version_insert", "maker@'%'"), []string{"DROP USER maker"}),
			level: levelFail, check: "definers", says: "'maker'@'%', who made the triggers, is gone"},
		{name: "definer without rights", ruin: []string{"REVOKE ALL, GRANT OPTION FROM maker"},
			level: levelFail, check: "definers", says: "lacks SELECT on video_versions, INSERT on video_versions, UPDATE on video_versions, SELECT on videos, TRIGGER on videos,"},
		{name: "cascade onto a child", ruin: []string{"CREATE TABLE people (id INT PRIMARY KEY)",
			"ALTER TABLE video_cast ADD person INT, ADD CONSTRAINT someone FOREIGN KEY (person) REFERENCES people (id) ON DELETE SET NULL"},
			level: levelFail, check: "cascades", says: "someone changes video_cast by itself"},
		{name: "cascade onto the parent", ruin: []string{"CREATE TABLE channels (name VARCHAR(200) PRIMARY KEY) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
			"ALTER TABLE videos ADD CONSTRAINT of_channel FOREIGN KEY (channel) REFERENCES channels (name) ON UPDATE CASCADE"},
			level: levelFail, check: "cascades", says: "of_channel changes videos by itself"},
		{name: "cascade within the parent", ruin: []string{"ALTER TABLE videos ADD video_id BIGINT UNSIGNED, ADD CONSTRAINT part_of FOREIGN KEY (video_id) REFERENCES videos (id) ON DELETE CASCADE"},
			level: levelFail, check: "cascades", says: "part_of changes videos by itself"},
		{name: "a key that changes nothing", ruin: []string{"ALTER TABLE videos ADD CONSTRAINT of_channel FOREIGN KEY (channel) REFERENCES channels (name)"}},
	}
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			dsn := stacktest.Database(t, flavor)
			mustRun(t, "migrate", "--mysql", dsn)
			dsn = chief(t, flavor, dsn)
			_, database, _ := strings.Cut(dsn, ")/")
			root := openDB(t, stacktest.Server(t, flavor).RootDSN(database))
			t.Cleanup(func() { mustExec(t, root, "DROP USER IF EXISTS maker") })
			if found := examineMySQL(t, dsn); bad(found) != "" {
				t.Fatalf("before anything is broken:\n%s", bad(found))
			}
			for _, tt := range tests {
				if tt.only != "" && tt.only != flavor {
					continue
				}
				t.Run(tt.name, func(t *testing.T) {
					for _, s := range tt.ruin {
						mustExec(t, root, s)
					}
					found := examineMySQL(t, dsn)
					if tt.check != "" {
						f, err := hasFinding(found, tt.level, tt.check, tt.says)
						switch {
						case err != nil:
							t.Error(err)
						case tt.mend == nil:
							cure(t, root, f)
						}
					}
					for _, s := range tt.mend {
						mustExec(t, root, s)
					}
					if tt.migrate {
						mustRun(t, "migrate", "--mysql", dsn)
					}
					if found := examineMySQL(t, dsn); bad(found) != "" {
						t.Errorf("after the mend:\n%s", bad(found))
					}
				})
			}
			mustExec(t, openDB(t, dsn), "INSERT INTO videos (id, title) VALUES (1, 'with the triggers of a definer that was made again')")
		})
	}
}

// TestDoctorFindsSettings starts servers with what cannot be set while they run.
func TestDoctorFindsSettings(t *testing.T) {
	for _, tt := range []struct {
		args        []string
		level       level
		check, says string
	}{
		{[]string{"--skip-log-bin"}, levelFail, "binlog", "log_bin is off"},
		{[]string{"--binlog-do-db=other"}, levelFail, "filters", "binlog_do_db is other"},
		{[]string{"--binlog-do-db=vidmeta_x"}, levelWarn, "filters", "binlog_do_db is vidmeta_x"},
		{[]string{"--binlog-ignore-db=other", "--binlog-ignore-db=vidmeta_x"}, levelFail, "filters", "binlog_ignore_db is other,vidmeta_x"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			c := stacktest.Config(stack.MariaDB)
			c.MySQLArgs = tt.args
			s := stacktest.Start(t, c)
			mustExec(t, openDB(t, s.MySQL.RootDSN("")), "CREATE DATABASE vidmeta_x")
			if _, err := hasFinding(examineMySQL(t, s.MySQL.DSN("vidmeta_x")), tt.level, tt.check, tt.says); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRetention(t *testing.T) {
	for _, tt := range []struct {
		kept  time.Duration
		size  string
		level level
	}{
		{0, "", levelOK}, {0, "0", levelOK}, {time.Hour, "", levelWarn}, {leastRetention, "0", levelOK}, {0, "1073741824", levelWarn}, {leastRetention, "1073741824", levelWarn},
	} {
		if f := retention(tt.kept, tt.size); f.Level != tt.level {
			t.Errorf("%v and %q: %+v", tt.kept, tt.size, f)
		}
	}
}

// Each trigger of the migrations is known, by its name.
func TestWantedTriggers(t *testing.T) {
	wanted, err := wantedTriggers()
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(wanted))
	if want := slices.Sorted(slices.Values(schema.TriggerNames())); !slices.Equal(names, want) {
		t.Errorf("wanted: %v, named: %v", names, want)
	}
	for name, w := range wanted {
		if name != schema.TriggerName(w.table, strings.ToLower(w.event)) || w.timing != "AFTER" || !strings.Contains(w.statements, "video_versions") {
			t.Errorf("%s: %+v", name, w)
		}
	}
}

// A clock counts as off when it is so whatever the round trip has done.
func TestClockFinding(t *testing.T) {
	before := time.Now()
	for _, tt := range []struct {
		off, trip time.Duration
		level     level
	}{
		{0, time.Millisecond, levelOK}, {40 * time.Millisecond, time.Millisecond, levelOK}, {-60 * time.Millisecond, time.Millisecond, levelWarn},
		{60 * time.Millisecond, time.Millisecond, levelWarn}, {60 * time.Millisecond, 30 * time.Millisecond, levelOK}, {time.Hour, time.Second, levelWarn},
	} {
		f := clockFinding("a server", before.Add(tt.trip/2+tt.off), before, before.Add(tt.trip), 50*time.Millisecond)
		if f.Level != tt.level {
			t.Errorf("off by %v, seen over %v: %+v", tt.off, tt.trip, f)
		}
	}
	for off, want := range map[time.Duration]level{-1100 * time.Millisecond: levelFail, -900 * time.Millisecond: levelWarn, 2 * time.Second: levelWarn} {
		if f := redisClockFinding("a node", before.Add(off), before, before, 50*time.Millisecond); f.Level != want {
			t.Errorf("Redis off by %v: %+v", off, f)
		}
	}
}

// A session's own time stands for a server's clock.
func TestDoctorFindsClock(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		dsn := stacktest.Database(t, flavor)
		mustRun(t, "migrate", "--mysql", dsn)
		found := examineMySQL(t, dsn+fmt.Sprintf("?timestamp=%d", time.Now().Add(-time.Minute).Unix()))
		if _, err := hasFinding(found, levelWarn, "clock", "the clock of MySQL differs from this host's by -"); err != nil {
			t.Error(flavor, err)
		}
	}
}

// onEveryNode sends a command to each node.
func onEveryNode(t *testing.T, addrs []string, args ...any) {
	t.Helper()
	for _, addr := range addrs {
		c := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
		err := c.Do(t.Context(), args...).Err()
		if err := errors.Join(err, c.Close()); err != nil {
			t.Fatalf("%v on %s: %v", args, addr, err)
		}
	}
}

// TestDoctorFindsRedis breaks one thing after the other.
func TestDoctorFindsRedis(t *testing.T) {
	type command []any
	addrs := stacktest.Redis(t)
	if found := examineRedis(t, "", "", addrs...); bad(found) != "" {
		t.Fatalf("before anything is broken:\n%s", bad(found))
	}
	for _, tt := range []struct {
		name       string
		ruin, mend []command
		user       bool // look as the user "limited"
		level      level
		check      string
		says, cure string
	}{
		{"a full node", []command{{"CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "noeviction"}},
			[]command{{"CONFIG", "SET", "maxmemory", "0"}}, false, levelFail, "memory", "evicts nothing", "CONFIG SET maxmemory-policy volatile-lfu"},
		{"a node that evicts anything", []command{{"CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lru"}},
			[]command{{"CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction"}}, false, levelWarn, "memory", "may evict any key", "CONFIG SET maxmemory-policy volatile-lfu"},
		{"a slow failover", []command{{"CONFIG", "SET", "cluster-node-timeout", "60000"}},
			[]command{{"CONFIG", "SET", "cluster-node-timeout", "2000"}}, false, levelWarn, "cluster", "noticed after 1m0s", "CONFIG SET cluster-node-timeout 5000"},
		{"all or nothing", []command{{"CONFIG", "SET", "cluster-require-full-coverage", "yes"}},
			[]command{{"CONFIG", "SET", "cluster-require-full-coverage", "no"}}, false, levelWarn, "cluster", "stops serving its own slots", "CONFIG SET cluster-require-full-coverage no"},
		{"a user without INFO", []command{{"ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all", "-info"}},
			[]command{{"ACL", "SETUSER", "limited", "+info"}}, true, levelFail, "nodes", "does not say who it is", "ACL SETUSER limited +info"},
		{"a user without scripts", []command{{"ACL", "SETUSER", "limited", "-@scripting"}},
			[]command{{"ACL", "SETUSER", "limited", "+@scripting"}}, true, levelFail, "writing", "a script cannot be run", "ACL SETUSER limited +@scripting"},
		{"a user without keys", []command{{"ACL", "SETUSER", "limited", "resetkeys"}},
			[]command{{"ACL", "SETUSER", "limited", "~doctor:*", "~{doctor:feed}*", "+@read", "+@write"}}, true, levelFail, "writing", "a key cannot be written",
			"ACL SETUSER limited ~doctor:* ~{doctor:feed}* +@read +@write"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			user, password := "", ""
			if tt.user {
				user, password = "limited", "secret"
			}
			for _, c := range tt.ruin {
				onEveryNode(t, addrs, c...)
			}
			if f, err := hasFinding(examineRedis(t, user, password, addrs...), tt.level, tt.check, tt.says); err != nil || !strings.Contains(f.Mend, tt.cure) {
				t.Errorf("mend %q, %v", f.Mend, err)
			}
			for _, c := range tt.mend {
				onEveryNode(t, addrs, c...)
			}
			if found := examineRedis(t, user, password, addrs...); bad(found) != "" {
				t.Errorf("after the mend:\n%s", bad(found))
			}
		})
	}
	onEveryNode(t, addrs, "ACL", "DELUSER", "limited")
	if _, err := hasFinding(examineRedis(t, "limited", "secret", addrs...), levelFail, "redis", "WRONGPASS"); err != nil {
		t.Error(err)
	}
}

// TestDoctorFindsSaving takes the folder away that a server saves to.
func TestDoctorFindsSaving(t *testing.T) {
	s := stacktest.Start(t, stack.Config{RedisNodes: 1})
	if err := os.RemoveAll(filepath.Join(s.Dir(), "redis-1")); err != nil {
		t.Fatal(err)
	}
	onEveryNode(t, s.Redis.Addrs(), "BGSAVE")
	stacktest.WaitFor(t, patience, func() error {
		_, err := hasFinding(examineRedis(t, "", "", s.Redis.Addrs()...), levelFail, "saving", "could not save (rdb_last_bgsave_status: err)")
		return err
	})
}

// TestDoctorFindsDeadNodes takes a cluster apart.
func TestDoctorFindsDeadNodes(t *testing.T) {
	s := stacktest.Start(t, stack.Config{RedisNodes: 6})
	nodes, addrs := s.Redis.Nodes(), s.Redis.Addrs()
	until := func(l level, check, says string) {
		t.Helper()
		stacktest.WaitFor(t, patience, func() error {
			_, err := hasFinding(examineRedis(t, "", "", addrs...), l, check, says)
			return err
		})
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(nodes[3].Pause())
	until(levelWarn, "cluster", "a replica of "+addrs[0]+" is")
	must(nodes[3].Resume())
	must(nodes[4].Kill())
	until(levelWarn, "cluster", "the master "+addrs[1]+" has no replica")
	must(nodes[1].Kill())
	until(levelFail, "cluster", "of 16384 slots are served")
}

// TestDoctorFindsFeed follows a change's way through a sidecar's life.
func TestDoctorFindsFeed(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			dsn := stacktest.Database(t, flavor)
			mustRun(t, "migrate", "--mysql", dsn)
			shared := []string{"--mysql", dsn, "--redis", strings.Join(stacktest.Redis(t), ","), "--namespace", "doctor-" + string(flavor)}
			visit := func() (found []finding) {
				t.Helper()
				var out bytes.Buffer
				if err := run(t.Context(), append([]string{"doctor", "--json"}, shared...), &out, io.Discard); err != nil && !errors.Is(err, errUnwell) {
					t.Fatal(err)
				}
				if err := json.Unmarshal(out.Bytes(), &found); err != nil {
					t.Fatal(err)
				}
				return found
			}
			until := func(l level, check, says string) {
				t.Helper()
				stacktest.WaitFor(t, patience, func() error {
					_, err := hasFinding(visit(), l, check, says)
					return err
				})
			}
			until(levelWarn, "feed", "no sidecar has told anything yet")
			until(levelWarn, "leader", "no sidecar leads")

			sidecar := startProgram(t, append([]string{"sidecar", "--admin-listen", "127.0.0.1:0"}, shared...)...)
			until(levelOK, "feed", "is told")
			until(levelOK, "leader", "the sidecar at 127.0.0.1:")
			until(levelOK, "trust", "is served")
			until(levelOK, "checkpoint", "can be read on from it")

			root := openDB(t, stacktest.Server(t, flavor).RootDSN(strings.SplitAfter(dsn, ")/")[1]))
			mustExec(t, root, "DROP TRIGGER "+schema.TriggerName("video_tags", "delete"))
			until(levelWarn, "feed", "vouches for nothing later than")
			mustRun(t, "migrate", "--mysql", dsn)
			until(levelOK, "feed", "is told")

			sidecar.stop(t)
			until(levelWarn, "leader", "no sidecar leads")
			until(levelWarn, "feed", "nothing has been told for")
			until(levelOK, "checkpoint", "can be read on from it")

			mustExec(t, root, "INSERT INTO videos (id, title) VALUES (1, 'while nobody looks')")
			mustExec(t, root, "FLUSH BINARY LOGS")
			purgeBinlogs(t, root)
			until(levelWarn, "checkpoint", "the server cannot go on from it")

			feed := "{doctor-" + string(flavor) + ":feed}"
			c, err := cache.NewClient(cache.ClientConfig{Addrs: stacktest.Redis(t)})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.HSet(t.Context(), feed+":state", "checkpoint", "postgres:0/1").Err(); err != nil {
				t.Fatal(err)
			}
			until(levelWarn, "checkpoint", "it is one of postgres")
			stacktest.WaitFor(t, patience, func() error { // a leader that has mustered nobody
				err := c.XAdd(t.Context(), &redis.XAddArgs{Stream: feed, Values: []any{"term", "t", "seq", 1, "after", "", "epoch", "e",
					"watermark", time.Now().UnixMicro(), "changes", "", "roster", ""}}).Err()
				if err == nil {
					_, err = hasFinding(visit(), levelWarn, "trust", "what it holds is not served")
				}
				return err
			})
		})
	}
}

// purgeBinlogs leaves the newest alone. MariaDB keeps the one before for a while.
func purgeBinlogs(t *testing.T, db *sql.DB) {
	t.Helper()
	p := &mysqlPatient{db: db}
	stacktest.WaitFor(t, patience, func() error {
		rows, err := p.table(t.Context(), "SHOW BINARY LOGS")
		if err != nil || len(rows) == 1 {
			return err
		}
		mustExec(t, db, "PURGE BINARY LOGS TO '"+rows[len(rows)-1]["Log_name"]+"'")
		return fmt.Errorf("there are %d binlogs", len(rows))
	})
}
