package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

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
			server, _, _ := strings.Cut(dsn, ")/")
			args[3] = server + ")/mysql"
			if found, failures, err := visit(); !errors.Is(err, errUnwell) || !strings.Contains(failures, "GRANT SELECT ON `mysql`.* TO 'vidmeta'@'%'") {
				t.Errorf("with another's database: %v\n%s", err, failures)
			} else if _, err := hasFinding(found, levelWarn, "leader", "none can without MySQL"); err != nil {
				t.Error(err)
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
