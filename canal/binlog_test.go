package canal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// binlogs returns the names of the server's binary logs, the oldest first.
func (d *database) binlogs(t *testing.T) (names []string) {
	t.Helper()
	logs, err := d.root.QueryContext(t.Context(), "SHOW BINARY LOGS")
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	columns, err := logs.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for logs.Next() {
		var name string
		values := []any{&name}
		for range columns[1:] {
			values = append(values, new(any))
		}
		if err := logs.Scan(values...); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// reset makes the server forget its binlog and count transactions from 1.
func (d *database) reset(t *testing.T) {
	t.Helper()
	if d.server.Flavor == MariaDB {
		d.session(t, "RESET MASTER")
	} else {
		d.session(t, "RESET BINARY LOGS AND GTIDS")
	}
}

// begin makes the server begin another binlog, which becomes larger than the one it had. The times of files are of whole
// seconds, so this waits for the next one.
func (d *database) begin(t *testing.T) {
	t.Helper()
	second := func() (s int64) {
		if err := d.QueryRow("SELECT UNIX_TIMESTAMP()").Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	was, began := d.now(t), second()
	stacktest.WaitFor(t, 10*time.Second, func() error {
		if second() == began {
			return errors.New("it is the same second")
		}
		return nil
	})
	d.reset(t)
	for more := 20; more > 0; more-- { // the set contains the other one now, and the file is to be larger as well
		if !d.now(t).set.Contain(was.set) {
			more++
		}
		d.exec(t, "INSERT INTO videos (id, title) VALUES (1, '.') ON DUPLICATE KEY UPDATE title = CONCAT(title, '.')")
	}
}

// now returns what the server says of itself.
func (d *database) now(t *testing.T) status {
	t.Helper()
	s, err := askAnew(t.Context(), d.DB, d.server.Flavor)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tellsOf waits until a change that is made now has been told of.
func (d *database) tellsOf(t *testing.T, c *caches, id schema.ID) {
	t.Helper()
	d.exec(t, fmt.Sprintf("INSERT INTO videos (id, title) VALUES (%d, 'new') ON DUPLICATE KEY UPDATE title = CONCAT(title, '!')", id))
	version := d.versions(t)[id]
	stacktest.WaitFor(t, 20*time.Second, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.told[id] < version {
			return fmt.Errorf("told of version %d, want %d", c.told[id], version)
		}
		return nil
	})
}

// What can happen to a server's binlog. The cases share a server, and each begins without a checkpoint.
func TestBinlog(t *testing.T) {
	eachServer(t, func(t *testing.T, s *stack.Server, d *database) {
		for _, tc := range []struct {
			name string
			f    func(*testing.T, *stack.Server, *database, *caches)
		}{
			{"rotated", binlogRotated},
			{"purged", binlogPurged},
			{"reset while nobody reads", binlogResetUnread},
			{"reset while it is read", binlogReset},
			{"reset while a session begins", binlogResetAtStart},
			{"server restarted", binlogRestart},
			{"server id taken", binlogTwin},
			{"gtids never sent", binlogNeverSent},
		} {
			t.Run(tc.name, func(t *testing.T) { tc.f(t, s, d, newCaches()) })
		}
	})
}

func binlogRotated(t *testing.T, _ *stack.Server, d *database, c *caches) {
	_, stop := d.start(t, c)
	caughtUp(t, c)
	for id := schema.ID(100); id < 130; id++ {
		if id == 115 {
			caughtUp(t, c)
			stop() // and the checkpoint is the end of a file
		}
		d.session(t, "FLUSH BINARY LOGS")
		d.exec(t, fmt.Sprintf("INSERT INTO videos (id, title) VALUES (%d, 'one')", id))
		if id == 120 {
			d.start(t, c)
		}
	}
	caughtUp(t, c)
	c.tells(t, d.versions(t))
	if n := c.drops(); n != 1 {
		t.Errorf("rotation had everything dropped %d times", n-1)
	}
	d.exec(t, "DELETE FROM videos")
}

func binlogPurged(t *testing.T, _ *stack.Server, d *database, c *caches) {
	_, stop := d.start(t, c)
	caughtUp(t, c)
	d.exec(t, "INSERT INTO videos (id, title) VALUES (1, 'one')")
	caughtUp(t, c)
	stop()
	d.exec(t, "UPDATE videos SET title = 'lost' WHERE id = 1")
	d.session(t, "FLUSH BINARY LOGS; FLUSH BINARY LOGS")
	stacktest.WaitFor(t, 20*time.Second, func() error { // the server keeps a log while anything may need it
		logs := d.binlogs(t)
		d.session(t, fmt.Sprintf("PURGE BINARY LOGS TO '%s'", logs[len(logs)-1]))
		if logs = d.binlogs(t); len(logs) > 1 {
			return fmt.Errorf("the server keeps %v", logs)
		}
		return nil
	})
	d.start(t, c)
	caughtUp(t, c)
	if n := c.drops(); n != 2 {
		t.Errorf("everything was dropped %d times, want twice: at first, and for what was purged", n)
	}
	d.tellsOf(t, c, 1)
}

// The server has forgotten its binlog, and has logged more since than the checkpoint counts: the checkpoint looks like a
// position in the new one.
func binlogResetUnread(t *testing.T, _ *stack.Server, d *database, c *caches) {
	d.reset(t)
	_, stop := d.start(t, c)
	caughtUp(t, c)
	d.tellsOf(t, c, 1)
	caughtUp(t, c)
	stop()
	d.begin(t)
	d.start(t, c)
	caughtUp(t, c)
	if n := c.drops(); n != 2 {
		t.Errorf("everything was dropped %d times, want twice: at first, and for what the new binlog has instead", n)
	}
	d.tellsOf(t, c, 1)
}

// newPositionOf returns the position that the caches have as their checkpoint.
func newPositionOf(t *testing.T, d *database, c *caches) *position {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := parsePosition(d.server.Flavor, c.checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func binlogReset(t *testing.T, _ *stack.Server, d *database, c *caches) {
	d.start(t, c)
	caughtUp(t, c)
	d.begin(t)
	stacktest.WaitFor(t, 20*time.Second, func() error {
		if n := c.drops(); n < 2 {
			return fmt.Errorf("everything was dropped %d times, want twice: at first, and for what the new binlog has instead", n)
		}
		return nil
	})
	caughtUp(t, c)
	d.tellsOf(t, c, 1)
}

// The server begins another binlog while a session begins: just before it opens its stream, and just before it looks
// whether its checkpoint still stands.
func binlogResetAtStart(t *testing.T, _ *stack.Server, d *database, c *caches) {
	way := newVirtual(t, d.server.Addr)
	through := *d
	through.server.Addr, through.server.ServerID = way.Addr().String(), 7_000_001
	for already, connection := range []int{1, 1, 2} {
		came, open := way.hold(connection)
		_, stop := through.start(t, c)
		<-came
		d.begin(t)
		if n := c.drops(); n != already {
			t.Errorf("everything was dropped %d times before the session had its stream, want %d", n, already)
		}
		open()
		caughtUp(t, c)
		if n := c.drops(); n != already+1 {
			t.Errorf("connection %d: everything was dropped %d times, want %d", connection, n, already+1)
		}
		d.tellsOf(t, c, 1)
		caughtUp(t, c)
		stop()
	}
	through.start(t, c) // nothing happens to this one: its two connections do not take the server id from each other
	caughtUp(t, c)
	if n := c.drops(); n != 3 {
		t.Errorf("a session for itself had everything dropped %d times", n-3)
	}
}

func binlogRestart(t *testing.T, s *stack.Server, d *database, c *caches) {
	d.start(t, c)
	caughtUp(t, c)
	d.tellsOf(t, c, 1)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second one is clean
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.tellsOf(t, c, 1)
		caughtUp(t, c)
	}
	if n := c.drops(); n != 1 {
		t.Errorf("restarts had everything dropped %d times", n-1)
	}
}

// Somebody else reads the binlog by the same server id. MariaDB ends the connection of the first one, MySQL lets both be,
// since the library names each connection by a UUID of its own.
func binlogTwin(t *testing.T, _ *stack.Server, d *database, c *caches) {
	twin := *d
	twin.server.ServerID = 7_000_000
	s, _ := twin.start(t, c)
	caughtUp(t, c)
	other := twin.server
	now := d.now(t)
	other.identity = now.server
	syncer, err := other.newSyncer(newWatcher(other.Database), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer syncer.Close()
	if _, err := syncer.StartSyncGTID(now.set); err != nil {
		t.Fatal(err)
	}
	if d.server.Flavor == MariaDB {
		stacktest.WaitFor(t, 10*time.Second, func() error {
			if testutil.ToFloat64(s.metrics.sessionErrors.WithLabelValues("server_id_taken")) == 0 {
				return fmt.Errorf("no session has ended for the server id; the last error is %v", s.failure.Load())
			}
			return nil
		})
	}
	d.tellsOf(t, c, 1)
	caughtUp(t, c)
	if n := c.drops(); n != 1 {
		t.Errorf("a server id that is taken had everything dropped %d times", n-1)
	}
}

// A set that is added to gtid_purged was executed elsewhere and is never sent. MariaDB counts only what is in its binlog.
func binlogNeverSent(t *testing.T, _ *stack.Server, d *database, c *caches) {
	if d.server.Flavor == MariaDB {
		return
	}
	d.start(t, c)
	caughtUp(t, c)
	defer d.busy(t)()
	d.session(t, "SET GLOBAL gtid_purged = '+de278ad0-2106-11e4-9f8e-6edd0ca20947:1-5'")
	caughtUp(t, c)
	d.tellsOf(t, c, 1)
	if n := c.drops(); n != 2 {
		t.Errorf("everything was dropped %d times, want twice: at first, and for what is not sent", n)
	}
}

// busy has somebody write to the server all the time, until the returned function is called.
func (d *database) busy(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for ctx.Err() == nil {
			_, err := d.ExecContext(ctx, "INSERT INTO videos (id, title) VALUES (9, '') ON DUPLICATE KEY UPDATE title = UUID()")
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	return func() { cancel(); writer.Wait() }
}

// A place stands as long as its file has been begun when it was, and reaches as far.
func TestPlaceStands(t *testing.T) {
	eachFlavor(t, func(t *testing.T, d *database) {
		c := newCaches()
		_, stop := d.start(t, c)
		caughtUp(t, c)
		stacktest.WaitFor(t, 20*time.Second, func() error {
			if newPositionOf(t, d, c).place.file == "" {
				return errors.New("the checkpoint has no place yet")
			}
			return nil
		})
		stop()
		right := newPositionOf(t, d, c).place
		srv := d.server
		srv.identity = right.server
		for name, tc := range map[string]struct {
			change func(*place)
			want   bool
		}{
			"as it was":      {func(*place) {}, true},
			"no place":       {func(p *place) { *p = place{} }, false},
			"another server": {func(p *place) { p.server, p.created = "another", 1 }, true},
			"begun later":    {func(p *place) { p.created-- }, false},
			"lost its end":   {func(p *place) { p.offset = 1 << 31 }, false},
			"lost the file":  {func(p *place) { p.file = "binlog.999999" }, false},
		} {
			p := right
			tc.change(&p)
			got, err := p.stands(t.Context(), srv)
			if err != nil || got != tc.want {
				t.Errorf("%s: %s: %v, %v, want %v", name, p, got, err, tc.want)
			}
		}
	})
}
