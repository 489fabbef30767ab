package main

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"

	"vidmeta/cache"
	"vidmeta/canal"
)

// feedPatient is the way of a change from MySQL to the nodes.
type feedPatient struct {
	origin *mysqlPatient // nil: MySQL is away, and all is said from Redis alone
	shared *redisPatient
	state  cache.FeedState // known after the first check
}

// feedChecks are what is looked at, the first being whether there is anything.
var feedChecks = []check[*feedPatient]{
	{"feed", readFeed},
	{"feed", lookFeed},
	{"leader", lookLeader},
	{"trust", lookTrust},
	{"checkpoint", lookCheckpoint},
}

const (
	feedSilence = 3 * time.Second // thirty heartbeats
	feedBehind  = 2 * time.Second // the usual --max-age
)

// readFeed has something to say only if the feed cannot be read.
func readFeed(ctx context.Context, p *feedPatient) []finding {
	tier, err := cache.NewRedis(cache.RedisConfig{Client: p.shared.client, Namespace: p.shared.settings.Namespace})
	if err == nil {
		p.state, err = tier.FeedState(ctx)
	}
	if err != nil {
		return []finding{fail("", "the feed cannot be read: %v", err)}
	}
	return nil
}

// silent returns for how long nothing has been told, by the clocks of this host and of Redis.
func (p *feedPatient) silent() time.Duration { return time.Since(p.state.Last).Round(time.Millisecond) }

func lookFeed(_ context.Context, p *feedPatient) []finding {
	silent, behind := p.silent(), time.Since(p.state.Watermark).Round(time.Millisecond)
	switch {
	case p.state.Last.IsZero():
		return []finding{warn("vidmeta sidecar", "no sidecar has told anything yet in the namespace %s: answers are as old as their loads", p.shared.settings.Namespace)}
	case silent > feedSilence+p.shared.skew:
		return []finding{warn("vidmeta sidecar, or see what the one that runs has logged", "nothing has been told for %v: answers grow older, and say so", silent)}
	case p.state.Watermark.IsZero():
		return []finding{fail("see what the sidecar has logged, and its metrics", "the feed is told, but vouches for nothing: answers grow older, and say so")}
	case behind > canal.VouchLimit+p.shared.skew:
		return []finding{fail("see what the sidecar has logged, and its metrics", "the feed is told, but vouches for nothing since %v ago: answers grow older, and say so", behind)}
	case behind > feedBehind+p.shared.skew:
		return []finding{warn("see what the sidecar has logged, and its metrics", "the feed is told, but vouches for nothing later than %v ago", behind)}
	}
	return []finding{fine("entry %d, %v ago; all that ended %v ago or earlier is told", p.state.Seq, max(0, silent), behind)}
}

// lookLeader asks who holds the lock of the sidecars.
func lookLeader(ctx context.Context, p *feedPatient) []finding {
	if p.origin == nil {
		if p.state.Last.IsZero() || p.silent() > feedSilence+p.shared.skew {
			return []finding{warn("start MySQL; then vidmeta sidecar if none runs", "no sidecar tells anything, and none can without MySQL")}
		}
		return []finding{fine("a sidecar has led %v ago; MySQL, who would know which, does not answer here", max(0, p.silent()))}
	}
	var id sql.NullInt64
	err := p.origin.db.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?)", canal.LockName(p.origin.config.DBName, p.shared.settings.Namespace)).Scan(&id)
	if err != nil {
		return []finding{warn("", "who leads the sidecars cannot be seen: %v", err)}
	}
	if !id.Valid {
		return []finding{warn("vidmeta sidecar", "no sidecar leads: changes reach no cache, answers grow older, and say so")}
	}
	var host string
	err = p.origin.db.QueryRowContext(ctx, "SELECT host FROM information_schema.processlist WHERE id = ?", id.Int64).Scan(&host)
	switch {
	case errors.Is(err, sql.ErrNoRows): // of another user
		return []finding{fine("a sidecar leads, by MySQL's connection %d", id.Int64)}
	case err != nil:
		return []finding{warn("", "where the leader is cannot be seen: %v", err)}
	}
	return []finding{fine("the sidecar at %s leads", host)}
}

// lookTrust asks whether the nodes use what the masters of Redis hold.
func lookTrust(_ context.Context, p *feedPatient) []finding {
	if p.state.Last.IsZero() || p.silent() > feedSilence+p.shared.skew {
		return nil // nothing is vouched for, which has been found before
	}
	var found []finding
	for _, n := range p.shared.infos {
		if n.fields["role"] == "master" && !p.state.Trusts(n.text) {
			found = append(found, warn("see what the sidecar has logged; after a restart or a failover it takes a second",
				"the master %s is not one that the sidecar has found to hold every change: what it holds is not served", n.addr))
		}
	}
	if found == nil {
		found = append(found, fine("what the masters of Redis hold is served"))
	}
	return found
}

// lookCheckpoint asks whether a sidecar that starts now could go on where the last one was.
func lookCheckpoint(ctx context.Context, p *feedPatient) []finding {
	const drops = "the next sidecar that leads drops all caches, and begins anew"
	switch {
	case p.state.Checkpoint == "":
		return []finding{fine("there is none yet")}
	case p.origin == nil:
		return []finding{fine("there is one; whether the server can go on from it is for MySQL to say")}
	}
	flavor, text, ok := strings.Cut(p.state.Checkpoint, ":")
	switch {
	case !ok:
		return []finding{warn("nothing, it mends itself", "all caches are being dropped, or a sidecar ended while it did so: %s", drops)}
	case flavor != p.origin.flavor():
		return []finding{warn("give each deployment a --namespace (VIDMETA_NAMESPACE) of its own, or do nothing if the server was replaced",
			"it is one of %s, not of this server: %s", flavor, drops)}
	}
	gtids, _, _ := strings.Cut(text, " ") // where in the files follows
	set, err := gomysql.ParseGTIDSet(flavor, gtids)
	if err != nil {
		return []finding{warn("", "%q: %v: %s", p.state.Checkpoint, err, drops)}
	}
	err = p.origin.stream(ctx, set)
	var answer *gomysql.MyError
	switch {
	case errors.As(err, &answer) && answer.Code == gomysql.ER_MASTER_FATAL_ERROR_READING_BINLOG:
		return []finding{warn("nothing, it mends itself; keep binlogs longer than a sidecar is away (binlog_expire_logs_seconds)",
			"the server cannot go on from it (%s): %s", answer.Message, drops)}
	case err != nil:
		return []finding{warn("", "the binlog cannot be read from it: %v", err)}
	}
	return []finding{fine("the binlog can be read on from it")}
}
