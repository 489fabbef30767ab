package canal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// Versions that other hands lower or delete cost their document its place in the caches, and nobody else anything.
func TestSidecarPassesLoweredVersions(t *testing.T) {
	const again = "CREATE TRIGGER theirs AFTER UPDATE ON videos FOR EACH ROW UPDATE video_versions SET version = version - 1000000 WHERE video_id = NEW.id"
	for _, tc := range []struct {
		name       string
		statements string
		drops      bool // of everything
	}{
		{"in its transaction", "BEGIN; UPDATE videos SET title = 'x' WHERE id = 1; UPDATE video_versions SET version = 5 WHERE video_id = 1; COMMIT", false},
		{"and its row image is minimal", "SET SESSION binlog_row_image = MINIMAL; BEGIN; UPDATE videos SET title = 'y' WHERE id = 1;" +
			"UPDATE video_versions SET version = 4 WHERE video_id = 1; COMMIT", false},
		{"by another trigger", again + "; UPDATE videos SET title = 'z' WHERE id = 1; DROP TRIGGER theirs", true}, // for the DDL
		{"in a transaction of its own", "UPDATE videos SET title = 'a' WHERE id = 1; UPDATE video_versions SET version = version - 1 WHERE video_id = 1", false},
		{"after it was raised far", "UPDATE video_versions SET version = 9000000000000000 WHERE video_id = 1;" +
			"UPDATE video_versions SET version = 6 WHERE video_id = 1; UPDATE videos SET title = 'b' WHERE id = 1", false},
		{"from the largest", "UPDATE video_versions SET version = 9007199254740991 WHERE video_id = 1;" +
			"UPDATE video_versions SET version = 6 WHERE video_id = 1", true},
		{"deleted in its transaction", "BEGIN; UPDATE videos SET title = 'c' WHERE id = 1; DELETE FROM video_versions WHERE video_id = 1; COMMIT", true},
		{"deleted, and there again", "BEGIN; UPDATE videos SET title = 'd' WHERE id = 1; DELETE FROM video_versions WHERE video_id = 1;" +
			"INSERT INTO video_versions VALUES (1, 3); COMMIT", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			eachFlavor(t, func(t *testing.T, d *database) {
				d.exec(t, "INSERT INTO videos (id, title) VALUES (1, 'one'), (2, 'two')")
				c := newCaches()
				s, _ := d.start(t, c)
				caughtUp(t, c)
				c.mu.Lock()
				for id, v := range d.versions(t) {
					c.held[id] = v // as readers would
				}
				c.mu.Unlock()
				drops := c.drops()
				d.session(t, tc.statements)
				begun := time.Now()
				caughtUp(t, c)
				if took := time.Since(begun); took > slowWait/2 {
					t.Errorf("the feed was held up for %v", took)
				}
				if (c.drops() > drops) != tc.drops {
					t.Errorf("everything was dropped %d times", c.drops()-drops)
				}
				is := d.versions(t)[1]
				c.mu.Lock()
				v, warm := c.held[1]
				c.mu.Unlock()
				if !tc.drops && warm && v != is {
					t.Errorf("Redis holds version %d, the table has %d", v, is)
				}
				t.Logf("%v found lowered", testutil.ToFloat64(s.metrics.lowered))

				d.exec(t, "UPDATE videos SET title = 'and on'")
				caughtUp(t, c)
				c.mu.Lock()
				defer c.mu.Unlock()
				if is := d.versions(t); c.told[2] != is[2] || c.told[1] < is[1] {
					t.Errorf("told of %v, the table has %v", c.told, is)
				}
			})
		})
	}
}

// A row counts as settled only when everybody sees what its last writer has made of it: not while that has only been logged
// and waits for a replica, nor when the row is gone for the writer alone.
func TestSettled(t *testing.T) {
	eachServer(t, func(t *testing.T, s *stack.Server, d *database) {
		d.exec(t, "INSERT INTO videos (id, title) VALUES (1, 'one'), (2, 'two'), (3, 'three')")
		was := d.versions(t)
		name, setup := "rpl_semi_sync_master", ""
		if s.Flavor() == stack.MySQL {
			name, setup = "rpl_semi_sync_source", "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so';"
		}
		d.session(t, setup+"SET GLOBAL "+name+"_wait_point = 'AFTER_SYNC'; SET GLOBAL "+name+"_timeout = 600000; SET GLOBAL "+name+"_enabled = 1")
		ended := make(chan error, 1)
		go func() {
			conn, err := d.Conn(context.WithoutCancel(t.Context()))
			if err == nil {
				defer conn.Close()
				for s := range strings.SplitSeq("BEGIN; UPDATE videos SET title = 'x' WHERE id = 1; UPDATE video_versions SET version = 5 WHERE video_id = 1;"+
					"DELETE FROM video_versions WHERE video_id = 2; COMMIT", ";") {
					if _, err = conn.ExecContext(context.WithoutCancel(t.Context()), s); err != nil {
						break
					}
				}
			}
			ended <- err
		}()
		stacktest.WaitFor(t, 20*time.Second, func() error {
			var n int
			err := d.root.QueryRow("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for semi-sync%'").Scan(&n)
			if err == nil && n == 0 {
				err = errors.New("no commit waits for a replica")
			}
			return err
		})
		look := func(id schema.ID) string {
			v, ok, err := settled(t.Context(), d.DB, id)
			return fmt.Sprint(v, ok, err)
		}
		for id, want := range map[schema.ID]string{1: "0 false <nil>", 2: "0 false <nil>", 3: fmt.Sprint(was[3], true, nil), 4: "0 true <nil>"} {
			if got := look(id); got != want {
				t.Errorf("while the commit is held: %d: %s, want %s", id, got, want)
			}
		}
		if now := d.versions(t); now[1] != was[1] || now[2] != was[2] {
			t.Errorf("what is held can be seen: %v, before %v", now, was)
		}
		d.session(t, "SET GLOBAL "+name+"_enabled = 0")
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		for id, want := range map[schema.ID]string{1: "5 true <nil>", 2: "0 true <nil>"} {
			if got := look(id); got != want {
				t.Errorf("after it: %d: %s, want %s", id, got, want)
			}
		}
	})
}
