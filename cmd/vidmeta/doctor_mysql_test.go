package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// recreate makes a trigger with another beginning, end or definer.
func recreate(name, change string) []string {
	all, err := schema.WantedTriggers()
	if err != nil {
		panic(err)
	}
	w := all[name]
	create := fmt.Sprintf("CREATE TRIGGER %s %s %s ON %s FOR EACH ROW %s", name, w.Timing, w.Event, w.Table, w.Statements)
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
		{name: "loose GTIDs", only: stack.MariaDB, ruin: []string{"SET GLOBAL gtid_strict_mode = OFF"}, level: levelOK, check: "gtid", says: "without gtid_strict_mode"},
		{name: "retention", ruin: []string{"SET GLOBAL binlog_expire_logs_seconds = 3600"}, level: levelWarn, check: "retention", says: "1h0m0s"},
		{name: "sync_binlog", ruin: []string{"SET GLOBAL sync_binlog = 0"}, level: levelWarn, check: "durability", says: "sync_binlog is 0"},
		{name: "flush", ruin: []string{"SET GLOBAL innodb_flush_log_at_trx_commit = 2"}, level: levelWarn, check: "durability", says: "innodb_flush_log_at_trx_commit is 2"},
		{name: "engine", ruin: []string{"ALTER TABLE video_tags DROP FOREIGN KEY video_tags_video", "ALTER TABLE video_tags ENGINE = MyISAM"},
			level: levelFail, check: "tables", says: "video_tags is of the engine MyISAM"},
		{name: "view", ruin: []string{"RENAME TABLE video_cast TO actors", "CREATE VIEW video_cast AS SELECT * FROM actors"},
			level: levelFail, check: "tables", says: "video_cast is a VIEW", mend: []string{"DROP VIEW video_cast", "RENAME TABLE actors TO video_cast"}},
		{name: "no largest version", ruin: []string{"ALTER TABLE video_versions DROP CONSTRAINT " + schema.LargestVersion},
			level: levelWarn, check: "versions", says: "the constraint video_versions_largest is missing", mend: []string{}, migrate: true},
		{name: "largest version not enforced", only: stack.MySQL,
			ruin:  []string{"ALTER TABLE video_versions ALTER CHECK " + schema.LargestVersion + " NOT ENFORCED"},
			level: levelWarn, check: "versions", says: "the constraint video_versions_largest is not enforced"},
		{name: "a version beyond", ruin: []string{"ALTER TABLE video_versions DROP CONSTRAINT " + schema.LargestVersion,
			"INSERT INTO video_versions VALUES (77, 9007199254740992)"},
			level: levelFail, check: "versions", says: "the version of video 77 is beyond", mend: []string{}, migrate: true},
		{name: "trigger before", ruin: recreate("videos_version_update", "timing"), level: levelFail, check: "triggers",
			says: "videos_version_update is not as it was made (BEFORE UPDATE ON videos)", mend: []string{}, migrate: true},
		{name: "trigger that does something else", ruin: recreate("video_cast_version_delete", "statements"), level: levelFail, check: "triggers",
			says: "video_cast_version_delete is not as it was made", mend: []string{}, migrate: true},
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
