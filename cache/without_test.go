package cache

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// roundTrips counts what a tier sends to Redis from now on.
func roundTrips(t *testing.T, r *Redis) *atomic.Int64 {
	t.Helper()
	var n atomic.Int64
	err := r.cfg.Client.ForEachMaster(t.Context(), func(_ context.Context, node *redis.Client) error {
		for _, s := range []*script{leaseScript, fillScript} { // else the first use of each is two round trips
			if err := node.ScriptLoad(t.Context(), s.source).Err(); err != nil {
				return err
			}
		}
		node.AddHook(pipelines{&n})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &n
}

type pipelines struct{ n *atomic.Int64 }

func (pipelines) DialHook(next redis.DialHook) redis.DialHook { return next }

func (pipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (p pipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		p.n.Add(1)
		return next(ctx, cmds)
	}
}

func without(m Mechanisms) func(*Config) { return func(c *Config) { c.Without = m } }

func TestWithoutLocal(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r, without(Mechanisms{Local: true}))
	trips := roundTrips(t, r)
	for _, want := range []struct {
		path  string
		trips int64
	}{{"not_asked miss hit", 3}, {"not_asked hit not_asked", 1}, {"not_asked hit not_asked", 1}} {
		before := trips.Load()
		if a := get(t, c, 1, 5, schema.ReadOptions{}); outcomes(a) != want.path {
			t.Errorf("a read went %q, want %q", outcomes(a), want.path)
		}
		if n := trips.Load() - before; n != want.trips {
			t.Errorf("%d round trips, want %d", n, want.trips)
		}
	}
	for i, want := range []int64{3, 2} { // the alias: asked for and filled, then asked for; and the document
		before := trips.Load()
		if a, err := c.GetByPublicID(t.Context(), publicID(1), schema.ReadOptions{}); err != nil || a.Version != 5 {
			t.Errorf("by public id: %+v, %v", a, err)
		}
		c.aliases.flight.wg.Wait()
		if n := trips.Load() - before; n != want {
			t.Errorf("read %d by public id took %d round trips, want %d", i+1, n, want)
		}
	}
	if ids := c.SampleLocal(1); len(ids) != 0 {
		t.Errorf("the local tier holds %d", ids)
	}
	mark(t, r, 1, 6)
	put(t, r, document(1, 6))
	get(t, c, 1, 6, schema.ReadOptions{})
}

func TestWithoutCoalescing(t *testing.T) {
	const readers = 20
	for _, m := range []struct {
		without           Mechanisms
		loads, statements int // statements -1: some fewer
	}{
		{Mechanisms{}, 1, 1},
		{Mechanisms{Coalescing: true}, readers, -1},
		{Mechanisms{Coalescing: true, Batching: true}, readers, readers},
	} {
		t.Run(fmt.Sprintf("%+v", m.without), func(t *testing.T) {
			origin, r := newMemory(), openRedis(t)
			origin.set(1, 5)
			c := openChain(t, origin, r, without(m.without), func(c *Config) { c.Origin.Width = readers })
			release := origin.hold()
			var wg sync.WaitGroup
			read := func(want schema.Version) {
				if a, err := c.Get(t.Context(), 1, schema.ReadOptions{}); err != nil || a.Version != want {
					t.Errorf("version %d, %v; want %d", a.Version, err, want)
				}
			}
			wg.Go(func() { read(5) })
			<-origin.began // so that the others miss as well, in the process and in Redis
			for range readers - 1 {
				wg.Go(func() { read(5) })
			}
			if m.without.Coalescing { // else whoever comes later finds it stored
				stacktest.WaitFor(t, 10*time.Second, func() error {
					if n := testutil.ToFloat64(c.metrics.leases["busy"]); n != readers-1 {
						return fmt.Errorf("%v reads have found the lease taken", n)
					}
					return nil
				})
			}
			release()
			wg.Wait()
			c.docs.wg.Wait()
			if n := origin.loadsOf(1); n != m.loads {
				t.Errorf("%d loads, want %d", n, m.loads)
			}
			if m.statements > 0 && origin.batches != m.statements {
				t.Errorf("%d statements, want %d", origin.batches, m.statements)
			}
			if got := held(t, r, 1); got != "L5" {
				t.Errorf("redis holds %q, want L5", got)
			}
		})
	}
}

// A change that comes while several loads of one document are under way ends the one lease that any of them may fill under.
func TestWithoutCoalescingLateFill(t *testing.T) {
	const readers = 4
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r, without(Mechanisms{Coalescing: true, Batching: true}))
	release := origin.hold()
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			if _, err := c.Get(t.Context(), 1, schema.ReadOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	for range readers {
		<-origin.began
	}
	origin.set(1, 6)
	mark(t, r, 1, 6)
	tell(c, schema.Change{ID: 1, Version: 6})
	release()
	wg.Wait()
	c.docs.wg.Wait()
	if got := held(t, r, 1); got != "" {
		t.Errorf("redis holds %q, of a load that began before the change", got)
	}
	get(t, c, 1, 6, schema.ReadOptions{})
}

func TestWithoutBatching(t *testing.T) {
	const n = 64
	ids := make([]schema.ID, n)
	for _, off := range []bool{false, true} {
		origin, r := newMemory(), openRedis(t)
		for i := range ids {
			ids[i] = schema.ID(i + 1)
			origin.set(ids[i], 5)
		}
		c := openChain(t, origin, r, without(Mechanisms{Batching: off, Local: true}))
		trips := roundTrips(t, r)
		for pass, perID := range []int64{3, 1} { // get, lease and fill; then get
			before := trips.Load()
			release := origin.hold()
			answered := make(chan []schema.Result, 1)
			go func() { answered <- c.GetMany(t.Context(), ids, schema.ReadOptions{}) }()
			stacktest.WaitFor(t, 10*time.Second, func() error { // until all want to load; in the second pass none does
				if got := testutil.ToFloat64(c.metrics.leases["granted"]); got != n {
					return fmt.Errorf("%v leases", got)
				}
				return nil
			})
			release()
			for i, res := range <-answered {
				if res.Err != nil || res.Version != 5 || res.ID != ids[i] {
					t.Errorf("%d: %+v", ids[i], res)
				}
			}
			c.docs.wg.Wait()
			if got := trips.Load() - before; (off && got != perID*n) || (!off && got >= perID*n) {
				t.Errorf("without batching %v, pass %d: %d round trips for %d documents", off, pass+1, got, n)
			}
		}
		if (off && origin.batches != n) || (!off && origin.batches >= n) {
			t.Errorf("without batching %v: %d statements for %d documents", off, origin.batches, n)
		}
	}
}

func TestWithoutJitter(t *testing.T) {
	const n, ttl = 32, time.Hour
	for _, off := range []bool{false, true} {
		origin, r := newMemory(), openRedis(t)
		c := openChain(t, origin, r, without(Mechanisms{Jitter: off}),
			func(c *Config) { c.Local.TTL = ttl })
		var local, shared int // how many live for an hour, give or take a second
		exact := func(d time.Duration) int {
			if d > ttl-time.Second && d < ttl+time.Second {
				return 1
			}
			return 0
		}
		for id := schema.ID(1); id <= n; id++ {
			origin.set(id, 5)
			get(t, c, id, 5, schema.ReadOptions{})
			e, ok := c.local.get(id, time.Now().UnixMicro())
			if !ok {
				t.Fatalf("%d is not held", id)
			}
			local += exact(time.Duration(e.expiresAt()-e.asOf) * time.Microsecond)
			shared += exact(r.cfg.Client.PTTL(t.Context(), r.key("", id)).Val())
		}
		if off && (local != n || shared != n) || !off && (local == n || shared == n) {
			t.Errorf("without jitter %v: %d locally and %d in Redis of %d live for an hour", off, local, shared, n)
		}
	}
}
