package canal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"vidmeta/internal/stack/stacktest"
)

func TestSidecarTellsOfEverything(t *testing.T) {
	eachFlavor(t, func(t *testing.T, d *database) {
		d.exec(t, "INSERT INTO videos (id, title) VALUES (1, 'one'), (2, 'two'), (3, 'three')")
		c := newCaches()
		d.start(t, c)
		caughtUp(t, c)
		if n := c.drops(); n != 1 {
			t.Errorf("without a checkpoint everything was dropped %d times, want once", n)
		}
		c.mu.Lock()
		for id, v := range d.versions(t) {
			c.held[id] = v // as readers would
		}
		c.mu.Unlock()
		d.exec(t,
			"UPDATE videos SET title = 'eins' WHERE id = 1",
			"INSERT INTO video_tags (video_id, tag) VALUES (2, 'a'), (2, 'b')",
			"INSERT INTO videos (id, title) SELECT id + 10, title FROM videos",
			"INSERT INTO video_cast (video_id, position, name) SELECT id, 1, 'somebody' FROM videos",
			"DELETE FROM videos WHERE id = 3",
			"REPLACE INTO videos (id, title) VALUES (3, 'drei'), (4, 'vier')",
			"INSERT INTO videos (id, title) VALUES (4, 'four'), (5, 'five') ON DUPLICATE KEY UPDATE title = 'quatre'",
		)
		tx, err := d.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec("UPDATE videos SET title = 'never' WHERE id = 11"); err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		caughtUp(t, c)
		c.tells(t, d.versions(t))
		for id, v := range d.versions(t) {
			if held, warm := c.held[id]; warm && held != v {
				t.Errorf("Redis holds version %d of %d, the table says %d", held, id, v)
			}
		}
		if n := c.drops(); n != 1 {
			t.Errorf("rows alone had everything dropped %d times", n-1)
		}
	})
}

func TestSidecarResumes(t *testing.T) {
	eachFlavor(t, func(t *testing.T, d *database) {
		c := newCaches()
		_, stop := d.start(t, c)
		caughtUp(t, c)
		d.exec(t, "INSERT INTO videos (id, title) VALUES (1, 'one'), (2, 'two')")
		caughtUp(t, c)
		stop()
		c.tells(t, d.versions(t))
		d.exec(t, "UPDATE videos SET title = 'meanwhile' WHERE id = 1", "INSERT INTO videos (id, title) VALUES (3, 'three')")
		d.start(t, c)
		caughtUp(t, c)
		c.tells(t, d.versions(t))
		if n := c.drops(); n != 1 {
			t.Errorf("everything was dropped %d times, want once: there was a checkpoint", n)
		}
	})
}

func TestSidecarRetriesFromCheckpoint(t *testing.T) {
	eachFlavor(t, func(t *testing.T, d *database) {
		c := newCaches()
		d.start(t, c)
		caughtUp(t, c)
		c.mu.Lock()
		c.failMark = errors.New("broken on purpose")
		before, term := c.checkpoint, c.term
		c.mu.Unlock()
		holder := d.holder(t)
		d.exec(t, "INSERT INTO videos (id, title) VALUES (1, 'one')")
		stacktest.WaitFor(t, 20*time.Second, func() error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.term < term+8 {
				return fmt.Errorf("%d sessions since the failure", c.term-term)
			}
			if c.checkpoint != before {
				t.Fatalf("the checkpoint moved from %s to %s before the effect", before, c.checkpoint)
			}
			return nil
		})
		if now := d.holder(t); now != holder {
			t.Errorf("connection %d had the lead, and %d after sessions that failed: who has led knows best", holder, now)
		}
		c.mu.Lock()
		c.failMark = nil
		c.mu.Unlock()
		caughtUp(t, c)
		c.tells(t, d.versions(t))
	})
}

// A question that nobody waits for any more must not cost the connection.
func TestLockOutlivesASession(t *testing.T) {
	eachFlavor(t, func(t *testing.T, d *database) {
		l, err := acquireLock(t.Context(), d.DB, d.server.Flavor, LockName(d.server.Database, ""), func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer l.release()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for _, ctx := range []context.Context{ended, t.Context()} {
			if _, err := l.ask(ctx); err != nil {
				t.Error(err)
			}
		}
	})
}

// holder returns which connection holds the lock.
func (d *database) holder(t *testing.T) (id int64) {
	t.Helper()
	if err := d.QueryRowContext(t.Context(), "SELECT IS_USED_LOCK(?)", LockName(d.server.Database, "")).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestSidecarDropsWhenRowsCannotTell(t *testing.T) {
	eachFlavor(t, func(t *testing.T, d *database) {
		c := newCaches()
		d.start(t, c)
		caughtUp(t, c)
		seen := c.drops()
		for _, statement := range []string{
			"ALTER TABLE videos ADD COLUMN extra INT",
			"SET FOREIGN_KEY_CHECKS = 0; TRUNCATE TABLE video_tags; SET FOREIGN_KEY_CHECKS = 1",
			"RENAME TABLE video_cast TO video_cast2, video_cast2 TO video_cast",
			"XA START 'a'; INSERT INTO videos (id, title) VALUES (99, 'xa'); XA END 'a'; XA PREPARE 'a'; XA COMMIT 'a'",
			"DELETE FROM video_versions WHERE video_id = 99",
		} {
			d.session(t, statement)
			caughtUp(t, c)
			n := c.drops()
			if n == seen {
				t.Fatalf("after %q nothing was dropped", statement)
			}
			seen = n
		}
		d.exec(t, "ANALYZE TABLE videos", "INSERT INTO videos (id, title) VALUES (1, 'still here')")
		caughtUp(t, c)
		if n := c.drops(); n != seen {
			t.Errorf("rows had everything dropped %d times", n-seen)
		}
	})
}

func TestSidecarOneLeads(t *testing.T) {
	eachFlavor(t, func(t *testing.T, d *database) {
		c := newCaches()
		one, stopOne := d.start(t, c)
		caughtUp(t, c)
		two, _ := d.start(t, c)
		d.exec(t, "INSERT INTO videos (id, title) VALUES (1, 'one')")
		caughtUp(t, c)
		stacktest.WaitFor(t, 10*time.Second, func() error { return errors.Join(one.Healthy(t.Context()), two.Healthy(t.Context())) })
		if !one.Leading() || two.Leading() {
			t.Errorf("leading: %v, %v; want the first alone", one.Leading(), two.Leading())
		}
		stopOne()
		caughtUp(t, c)
		if !two.Leading() {
			t.Error("nobody leads")
		}
		if n := c.drops(); n != 1 {
			t.Errorf("the second had to drop everything (%d)", n)
		}
	})
}

// Of each namespace one sidecar leads, whoever leads those of others; names that are long or alike are different locks.
func TestSidecarLeadsItsNamespace(t *testing.T) {
	long := strings.Repeat("x", 64)
	for _, pair := range [][2][2]string{{{"a", "b"}, {"ab", ""}}, {{long, "1"}, {long, "2"}}, {{long + "1", ""}, {long + "2", ""}}} {
		one, two := LockName(pair[0][0], pair[0][1]), LockName(pair[1][0], pair[1][1])
		if one == two || len(one) > 64 || len(two) > 64 {
			t.Errorf("of %v: %s and %s", pair, one, two)
		}
	}
	if one, two := LockName("Videos", "Vm"), LockName("videos", "Vm"); one != two {
		t.Errorf("a database by two spellings: %s and %s", one, two)
	}
	eachFlavor(t, func(t *testing.T, d *database) {
		c, other := newCaches(), newCaches()
		one, _ := d.start(t, c)
		two, _ := d.startIn(t, other, "another")
		caughtUp(t, c)
		caughtUp(t, other)
		three, _ := d.startIn(t, other, "another")
		d.exec(t, "INSERT INTO videos (id, title) VALUES (1, 'one')")
		stacktest.WaitFor(t, 10*time.Second, func() error { return three.Healthy(t.Context()) })
		caughtUp(t, c)
		caughtUp(t, other)
		c.tells(t, d.versions(t))
		other.tells(t, d.versions(t))
		if !one.Leading() || !two.Leading() || three.Leading() {
			t.Errorf("leading: %v, %v, %v; want one in each namespace", one.Leading(), two.Leading(), three.Leading())
		}
		for s, want := range map[*Sidecar]float64{one: 1, two: 1, three: 0} {
			if got := testutil.ToFloat64(s.metrics.leading); got != want {
				t.Errorf("the gauge says %v, want %v", got, want)
			}
		}
	})
}

func TestSidecarMinimalRowImage(t *testing.T) {
	eachFlavor(t, func(t *testing.T, d *database) {
		c := newCaches()
		d.start(t, c)
		caughtUp(t, c)
		d.session(t, "SET SESSION binlog_row_image = MINIMAL; INSERT INTO videos (id, title) VALUES (1, 'one'); UPDATE videos SET title = 'eins'; DELETE FROM videos")
		caughtUp(t, c)
		c.tells(t, d.versions(t))
	})
}

// A transaction larger than the queue is applied in parts, and the checkpoint does not enter it.
func TestSidecarLargeTransaction(t *testing.T) {
	eachFlavor(t, func(t *testing.T, d *database) {
		c := newCaches()
		d.start(t, c)
		caughtUp(t, c)
		d.exec(t, `INSERT INTO videos (id, title)
			WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
			SELECT a.i * 1000 + b.i, 'many' FROM n a JOIN n b WHERE a.i <= 20`)
		caughtUp(t, c)
		if n := len(d.versions(t)); n != 20*1000 {
			t.Fatalf("%d rows", n)
		}
		c.tells(t, d.versions(t))
	})
}
