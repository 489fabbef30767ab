package canal

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/redis/go-redis/v9"

	"vidmeta/cache"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/seed"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

const (
	backlogDocs = 20_000
	backlogRows = 10 // documents that one transaction changes
)

// BenchmarkSidecar drains one backlog in three ways: with a Redis that holds none of the documents, with one that holds
// all of them in an older version, and with the library alone, which parses everything and tells nobody.
func BenchmarkSidecar(b *testing.B) {
	for _, flavor := range stacktest.Flavors(b) {
		b.Run(string(flavor), func(b *testing.B) {
			l := newBacklog(b, flavor)
			b.Run("cold", func(b *testing.B) { l.measure(b, l.forget, l.drain) })
			b.Run("warm", func(b *testing.B) { l.measure(b, l.warm, l.drain) })
			b.Run("raw", func(b *testing.B) { l.measure(b, func(*testing.B) {}, l.parse) })
		})
	}
}

// backlog is a binlog of changes, one to each document.
type backlog struct {
	*database
	loads  *schema.Store
	redis  *redis.ClusterClient
	tier   *cache.Redis
	shared *cache.Shared
	from   *position // before the changes
	bodies []schema.Document
}

func newBacklog(b *testing.B, flavor stack.Flavor) *backlog {
	config := stacktest.Config(flavor)
	config.RedisNodes = 6
	config.MySQLArgs = []string{"--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=256M"}
	s := stacktest.Start(b, config)
	if _, err := open(b, s.MySQL.RootDSN("")).Exec("CREATE DATABASE vidmeta_backlog"); err != nil {
		b.Fatal(err)
	}
	dsn := s.MySQL.DSN("vidmeta_backlog")
	l := &backlog{database: openDatabase(b, s.MySQL, dsn)}
	if err := seed.Seed(b.Context(), l.DB, backlogDocs, nil); err != nil {
		b.Fatal(err)
	}
	// As the program opens them.
	loads, err := mysqldb.Open(dsn, mysqldb.Pool{MaxOpen: 4, StatementTimeout: 5 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { loads.Close() })
	l.loads = schema.NewStore(loads)
	if l.redis, err = cache.NewClient(cache.ClientConfig{Addrs: s.Redis.Addrs(), Timeout: 2 * time.Second}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.redis.Close() })
	if l.tier, err = cache.NewRedis(cache.RedisConfig{Client: l.redis, Timeout: 2 * time.Second}); err != nil {
		b.Fatal(err)
	}
	l.shared = cache.NewShared(l.tier)
	var ids []schema.ID
	for id := range schema.ID(backlogDocs) {
		ids = append(ids, id+1)
	}
	for len(ids) > 0 {
		docs, err := l.loads.Load(b.Context(), ids[:min(len(ids), 1000)])
		if err != nil {
			b.Fatal(err)
		}
		l.bodies, ids = append(l.bodies, docs...), ids[len(docs):]
	}
	now, err := askAnew(b.Context(), l.DB, l.server.Flavor)
	if err != nil {
		b.Fatal(err)
	}
	srv := l.server
	srv.identity = now.server
	in, err := openStream(b.Context(), srv, newQueue(&position{flavor: srv.Flavor, set: now.set, server: now.server}))
	if err != nil {
		b.Fatal(err)
	}
	l.from = in.queue.position()
	in.close()
	for first := 1; first <= backlogDocs; first += backlogRows {
		l.exec(b, fmt.Sprintf("UPDATE videos SET title = CONCAT(title, '!') WHERE id >= %d AND id < %d", first, first+backlogRows))
	}
	return l
}

// measure times drain, each time after prepare.
func (l *backlog) measure(b *testing.B, prepare, drain func(*testing.B)) {
	for b.Loop() {
		b.StopTimer()
		prepare(b)
		b.StartTimer()
		drain(b)
	}
	b.ReportMetric(float64(backlogDocs*b.N)/b.Elapsed().Seconds(), "docs/s")
	b.ReportMetric(0, "ns/op")
}

const backlogEpoch = "backlog"

// forget empties Redis, and puts the checkpoint before the changes.
func (l *backlog) forget(b *testing.B) {
	err := l.redis.ForEachMaster(b.Context(), func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() })
	if err != nil {
		b.Fatal(err)
	}
	f := cache.NewFeed(l.shared)
	if _, _, err := f.Lead(b.Context()); err != nil {
		b.Fatal(err)
	}
	l.shared.Raise(backlogEpoch)
	if stranger, err := l.shared.Muster(b.Context(), nil); err != nil || stranger != "" {
		b.Fatal(stranger, err)
	}
	if err := f.Publish(b.Context(), backlogEpoch, l.from.checkpoint(), time.Time{}, nil); err != nil {
		b.Fatal(err)
	}
}

// warm is forget, and then has Redis hold everything as it was before the changes.
func (l *backlog) warm(b *testing.B) {
	l.forget(b)
	pipe := l.redis.Pipeline()
	for i, d := range l.bodies {
		e := cache.Envelope{Kind: cache.Live, Version: d.Version, Body: d.Body}
		pipe.Set(b.Context(), fmt.Sprintf("vm:%s:{video:%d}", backlogEpoch, d.ID), e.Append(nil), time.Hour)
		if (i+1)%1000 == 0 || i == len(l.bodies)-1 {
			if _, err := pipe.Exec(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// counting is a feed that says when it has told of so many changes.
type counting struct {
	Feed
	left atomic.Int64
	done chan struct{}
}

func (c *counting) Publish(ctx context.Context, epoch, checkpoint string, watermark time.Time, changes []schema.Change) error {
	err := c.Feed.Publish(ctx, epoch, checkpoint, watermark, changes)
	if n := int64(len(changes)); err == nil && n > 0 && c.left.Add(-n) <= 0 && c.left.Load()+n > 0 {
		close(c.done)
	}
	return err
}

// drain runs a sidecar from its start until it has told of every change.
func (l *backlog) drain(b *testing.B) {
	f := &counting{Feed: cache.NewFeed(l.shared), done: make(chan struct{})}
	f.left.Store(backlogDocs)
	s, err := New(Config{Server: l.server, DB: l.DB, Origin: l.loads, Shared: l.shared, Feed: f})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-f.done:
	case <-time.After(time.Minute):
		b.Error("the backlog is not drained")
	}
	b.StopTimer()
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	b.StartTimer()
}

// parse reads the same backlog with a syncer as the library makes it.
func (l *backlog) parse(b *testing.B) {
	host, port, err := net.SplitHostPort(l.server.Addr)
	if err != nil {
		b.Fatal(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		b.Fatal(err)
	}
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: 4000, Flavor: string(l.server.Flavor), Host: host, Port: uint16(number), User: l.server.User, Password: l.server.Password,
		Logger: slog.New(slog.DiscardHandler),
	})
	defer syncer.Close()
	events, err := syncer.StartSyncGTID(l.from.clone().set)
	if err != nil {
		b.Fatal(err)
	}
	for left := backlogDocs; left > 0; {
		e, err := events.GetEvent(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if rows, ok := e.Event.(*replication.RowsEvent); ok && string(rows.Table.Table) == schema.VersionTable {
			left -= len(rows.Rows) / 2
		}
	}
}
