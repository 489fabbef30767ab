package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/internal/history"
	"vidmeta/internal/stack"
)

const (
	pauseTime    = 4 * time.Second
	takeoverTime = 2 * time.Second // after the leading sidecar has died
	// silentTime is the same after the leader has fallen silent: MySQL ends its session, and its lock, after three seconds.
	silentTime = 6 * time.Second
)

// faults are all that can befall the service, in an order in which each begins with the service in health.
var faults = []fault{
	{"kill the leading sidecar", twice, 0, func(tr *trial) func() {
		leader := tr.leader()
		tr.must(leader.Kill())
		tr.takenOver(takeoverTime)
		return func() { tr.must(leader.Restart(tr.Context())) }
	}},
	{"stop the leading sidecar", twice, 0, func(tr *trial) func() {
		leader := tr.leader()
		tr.must(leader.Pause())
		tr.takenOver(silentTime)
		return func() { tr.must(leader.Resume()) }
	}},
	{"stop the leading sidecar for a moment", seldom, time.Second, func(tr *trial) func() { return tr.paused(tr.leader()) }},
	{"kill both sidecars", once, time.Second, func(tr *trial) func() { return tr.killed(tr.sidecars...) }},
	{"stop both sidecars", seldom, pauseTime, func(tr *trial) func() { return tr.paused(tr.sidecars...) }},
	{"kill a node", once, 0, func(tr *trial) func() {
		tr.down[0].Store(true)
		return tr.killed(tr.nodes[0])
	}},
	{"stop a node", seldom, pauseTime, func(tr *trial) func() {
		tr.down[1].Store(true)
		return tr.paused(tr.nodes[1])
	}},
	{"kill the master of the feed", once, 0, func(tr *trial) func() { return tr.failedOver(feedKey, (*stack.Process).Kill, tr.restart) }},
	{"kill a master of documents", seldom, 0, func(tr *trial) func() { return tr.failedOver(tr.elsewhere(), (*stack.Process).Kill, tr.restart) }},
	{"stop the master of the feed", seldom, 0, func(tr *trial) func() { return tr.failedOver(feedKey, (*stack.Process).Pause, tr.resume) }},
	{"stop a master of documents", once, 0, func(tr *trial) func() { return tr.failedOver(tr.elsewhere(), (*stack.Process).Pause, tr.resume) }},
	{"stop a master for a moment", seldom, 500 * time.Millisecond, func(tr *trial) func() { return tr.paused(tr.masterOf(feedKey)) }},
	{"kill a shard", seldom, time.Second, func(tr *trial) func() { return tr.killed(tr.shardOf(tr.elsewhere())...) }},
	{"kill the shard of the feed", once, time.Second, func(tr *trial) func() { return tr.killed(tr.shardOf(feedKey)...) }},
	{"stop the shard of the feed", seldom, pauseTime, func(tr *trial) func() { return tr.paused(tr.shardOf(feedKey)...) }},
	{"restart a master that comes back empty", seldom, 0, func(tr *trial) func() { return tr.killed(tr.masterOf(tr.elsewhere())) }},
	{"restart a master that comes back with an old dump", once, 0, func(tr *trial) func() { return tr.oldDump(tr.elsewhere()) }},
	{"restart the master of the feed with an old dump", seldom, 0, func(tr *trial) func() { return tr.oldDump(feedKey) }},
	{"a failover by hand", once, 0, func(tr *trial) func() { return tr.promoted(feedKey, "") }},
	{"a failover by force", seldom, 0, func(tr *trial) func() { return tr.promoted(tr.elsewhere(), "FORCE") }},
	{"a takeover", seldom, 0, func(tr *trial) func() { return tr.promoted(feedKey, "TAKEOVER") }},
	{"kill a master whose replica lags", once, 0, func(tr *trial) func() {
		key := tr.elsewhere()
		caughtUp := tr.lag(key)
		back := tr.failedOver(key, (*stack.Process).Kill, tr.restart)
		return func() {
			caughtUp()
			back()
		}
	}},
	{"kill the master of the feed whose replica lags", seldom, 0, func(tr *trial) func() {
		caughtUp := tr.lag(feedKey)
		back := tr.failedOver(feedKey, (*stack.Process).Kill, tr.restart)
		return func() {
			caughtUp()
			back()
		}
	}},
	{"slots are moved", once, 0, func(tr *trial) func() { return tr.reshard() }},
	{"a takeover by a replica that lags", once, 0, func(tr *trial) func() {
		key := tr.elsewhere()
		caughtUp := tr.lag(key)
		tr.promoted(key, "TAKEOVER")
		return caughtUp
	}},
	{"a master that wakes up after a takeover by a replica that lags", seldom, 0, func(tr *trial) func() {
		key := tr.elsewhere()
		master := tr.masterOf(key)
		caughtUp := tr.lag(key)
		replica := tr.replicaOf(key)
		wake := tr.paused(master)
		tr.promote(replica, key, "TAKEOVER")
		return func() {
			wake()
			caughtUp()
		}
	}},
	{"flush Redis", once, 0, func(tr *trial) func() {
		tr.onRedis(tr.Redis.Nodes(), func(ctx context.Context, c *redis.Client) error {
			if err := c.FlushAll(ctx).Err(); err != nil && !strings.HasPrefix(err.Error(), "READONLY") {
				return err
			}
			return nil
		})
		return func() {}
	}},
	{"cut one node off the feed", once, pauseTime, func(tr *trial) func() {
		tr.allow(2, "-xread")
		return func() { tr.allow(2, "+xread") }
	}},
	{"cut one node off Redis", seldom, pauseTime, func(tr *trial) func() {
		tr.allow(2, "off")
		tr.onRedis(tr.Redis.Nodes(), func(ctx context.Context, c *redis.Client) error {
			return c.Do(ctx, "CLIENT", "KILL", "USER", "node-3").Err()
		})
		return func() { tr.allow(2, "on") }
	}},
	{"kill the database", twice, 0, func(tr *trial) func() { return tr.killed(tr.MySQL.Process) }},
	{"stop the database", once, pauseTime, func(tr *trial) func() { return tr.paused(tr.MySQL.Process) }},
	{"purge the binlog while no sidecar runs", twice, 500 * time.Millisecond, func(tr *trial) func() {
		back := tr.killed(tr.sidecars...)
		return func() {
			tr.purge()
			back()
		}
	}},
	{"empty a table of documents", twice, 0, func(tr *trial) func() {
		begun := history.Now()
		tr.must2(tr.db.Exec("TRUNCATE TABLE video_tags"))
		tr.recorder.Incident(history.Incident{Name: "TRUNCATE", Begin: begun, End: history.Now(), Unversioned: true})
		return func() {}
	}},
	{"alter a table of documents", twice, 200 * time.Millisecond, func(tr *trial) func() {
		tr.alter("ALTER TABLE videos ADD COLUMN something INT")
		return func() { tr.alter("ALTER TABLE videos DROP COLUMN something") }
	}},
	{"begin the binlog anew", twice, 0, func(tr *trial) func() {
		statement := "RESET BINARY LOGS AND GTIDS"
		if tr.MySQL.Flavor() == stack.MariaDB {
			statement = "RESET MASTER"
		}
		tr.must2(tr.root.Exec(statement))
		return func() {}
	}},
}

func (tr *trial) must2(_ any, err error) {
	tr.Helper()
	tr.must(err)
}

// alter changes a table that transactions lock all the time. The server does not see each deadlock of locks on metadata
// with locks on rows.
func (tr *trial) alter(statement string) {
	tr.Helper()
	conn, err := tr.db.Conn(tr.Context())
	tr.must(err)
	defer conn.Close()
	tr.must2(conn.ExecContext(tr.Context(), "SET SESSION lock_wait_timeout = 1, innodb_lock_wait_timeout = 1"))
	defer conn.ExecContext(tr.Context(), "SET SESSION lock_wait_timeout = DEFAULT, innodb_lock_wait_timeout = DEFAULT")
	tr.await(func() error {
		_, err := conn.ExecContext(tr.Context(), statement)
		return err
	})
}

// killed kills processes at once; the end of the fault starts them again.
func (tr *trial) killed(processes ...*stack.Process) (undo func()) {
	for _, p := range processes {
		tr.must(p.Kill())
	}
	return func() { tr.restart(processes...) }
}

// restart starts processes again side by side: the nodes of a shard may need each other.
func (tr *trial) restart(processes ...*stack.Process) {
	tr.Helper()
	errs := make(chan error)
	for _, p := range processes {
		go func() { errs <- p.Restart(tr.Context()) }()
	}
	for range processes {
		if err := <-errs; err != nil {
			tr.Error(err)
		}
	}
	if tr.Failed() {
		tr.FailNow()
	}
	// A master of a cluster takes no commands in its first two seconds.
	for _, p := range processes {
		if !slices.Contains(tr.Redis.Nodes(), p) {
			continue
		}
		c := redisClient(p.Addr())
		tr.await(func() error {
			state, err := c.ClusterInfo(tr.Context()).Result()
			if err == nil && !strings.Contains(state, "cluster_state:ok") {
				err = fmt.Errorf("%s is not at work: %s", p.Name(), state)
			}
			return err
		})
		c.Close()
	}
}

// paused stops processes; the end of the fault lets them go on.
func (tr *trial) paused(processes ...*stack.Process) (undo func()) {
	for _, p := range processes {
		tr.must(p.Pause())
	}
	return func() { tr.resume(processes...) }
}

func (tr *trial) resume(processes ...*stack.Process) {
	tr.Helper()
	for _, p := range processes {
		tr.must(p.Resume())
	}
}

// leader returns the sidecar that has published last.
func (tr *trial) leader() (leader *stack.Process) {
	tr.Helper()
	tr.await(func() error {
		var newest float64
		for i, admin := range tr.sidecarAdmins {
			w, err := tr.metric(admin, "vidmeta_sidecar_watermark_timestamp_seconds")
			if err != nil {
				return err
			}
			if w > newest {
				newest, leader = w, tr.sidecars[i]
			}
		}
		if age := time.Since(time.UnixMicro(int64(newest * 1e6))); age > time.Second {
			return fmt.Errorf("no sidecar has published for %v", age)
		}
		return nil
	})
	return leader
}

// takenOver waits until all nodes have been told of a time after now, which takes another leader.
func (tr *trial) takenOver(within time.Duration) {
	tr.Helper()
	begun := time.Now()
	tr.await(func() error {
		for n, admin := range tr.admins {
			w, err := tr.metric(admin, "vidmeta_watermark_timestamp_seconds")
			if err != nil || w < float64(begun.UnixMicro())/1e6 {
				return fmt.Errorf("node %d has been told nothing since (%v)", n+1, err)
			}
		}
		return nil
	})
	took := time.Since(begun)
	oldest := tr.oldest(history.At(begun))
	tr.Logf("taken over after %v; the oldest answer was %v old", took.Round(time.Millisecond), oldest.Round(time.Millisecond))
	if oldest > within+time.Second {
		tr.Errorf("an answer was %v old", oldest)
	}
	if took > within {
		tr.Errorf("it took %v until another sidecar led, want %v", took, within)
	}
}

// oldest returns how old an answer has been at most since a time, when it arrived.
func (tr *trial) oldest(since history.Time) (age time.Duration) {
	for _, a := range slices.Backward(tr.recorder.History().Answers) {
		if a.Begin < since {
			break
		}
		age = max(age, a.End.Sub(a.AsOf))
	}
	return age
}

// purge removes all of the binlog that has been written.
func (tr *trial) purge() {
	tr.Helper()
	tr.must2(tr.root.Exec("FLUSH BINARY LOGS"))
	rows, err := tr.root.Query("SHOW BINARY LOGS")
	tr.must(err)
	defer rows.Close()
	columns, err := rows.Columns()
	tr.must(err)
	var name string
	for rows.Next() {
		all := make([]any, len(columns))
		for i := range all {
			all[i] = new(any)
		}
		all[0] = &name
		tr.must(rows.Scan(all...))
	}
	tr.must(rows.Err())
	tr.must2(tr.root.Exec("PURGE BINARY LOGS TO '" + name + "'"))
}
