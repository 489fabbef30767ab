package cache

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// hungTimeout is long beside what a busy machine adds to it. A read may take it once.
const hungTimeout = 2 * time.Second

// timedRedis returns a tier whose round trips may take so long.
func timedRedis(t *testing.T, timeout time.Duration, namespace string, addrs ...string) *Redis {
	t.Helper()
	client, err := NewClient(ClientConfig{Addrs: addrs, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	r, err := NewRedis(RedisConfig{Client: client, Namespace: namespace, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hangable returns a chain on a server of Redis of its own, whose round trips may take hungTimeout.
func hangable(t *testing.T, origin *memory) (*Chain, *servers) {
	t.Helper()
	s := startServers(t, 1)
	r := timedRedis(t, hungTimeout, s.tier.cfg.Namespace, s.Addrs()...)
	r.standing.Store(s.tier.standing.Load())
	for id := schema.ID(1); id <= 1e5; id++ {
		origin.docs[id] = document(id, 5)
	}
	return openChain(t, origin, r), s
}

// While a master of Redis hangs a read waits for it once, however many others do; soon it does not wait at all.
func TestHungMaster(t *testing.T) {
	t.Parallel()
	c, s := hangable(t, newMemory())
	var last atomic.Int64
	read := func() (time.Duration, string) {
		id := schema.ID(last.Add(1)) // each for the first time
		begun := time.Now()
		a, err := c.Get(t.Context(), id, schema.ReadOptions{})
		if err != nil || a.Version != 5 {
			t.Errorf("%d: version %d, %v", id, a.Version, err)
		}
		return time.Since(begun), outcomes(a)
	}
	for range 100 { // which must not count for long
		read()
	}
	n, err := c.redis.node(t.Context(), c.redis.key("", 1))
	if err != nil {
		t.Fatal(err)
	}
	p := s.Nodes()[0]
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	var slowest atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for n.breaker.IsClosed() && t.Context().Err() == nil {
				d, _ := read()
				for old := slowest.Load(); int64(d) > old && !slowest.CompareAndSwap(old, int64(d)); old = slowest.Load() {
				}
			}
		})
	}
	fast := func(when string) {
		t.Helper()
		for range 20 {
			if d, path := read(); d > hungTimeout/4 || path != "miss failed hit" {
				t.Errorf("%s: a read took %v and went %q", when, d, path)
			}
		}
	}
	stacktest.WaitFor(t, 10*time.Second, func() error {
		if !n.breaker.IsOpen() {
			return errors.New("the breaker is closed")
		}
		return nil
	})
	opened := time.Since(begun)
	fast("open")
	wg.Wait()
	t.Logf("open after %v; the slowest read took %v", opened, time.Duration(slowest.Load()))
	if d := time.Duration(slowest.Load()); d > hungTimeout*3/2 {
		t.Errorf("a read took %v, a round trip %v", d, hungTimeout)
	}
	if opened > hungTimeout*3 {
		t.Errorf("the breaker opened after %v, want two round trips", opened)
	}
	stacktest.WaitFor(t, 10*time.Second, func() error {
		if n.breaker.RemainingDelay() > 0 {
			return errors.New("the breaker gives the node time")
		}
		return nil
	})
	wg.Go(func() { read() }) // finds out that it hangs still
	stacktest.WaitFor(t, 10*time.Second, func() error {
		if !n.breaker.IsHalfOpen() {
			return errors.New("nobody tries")
		}
		return nil
	})
	fast("while one tries")
	wg.Wait()
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	stacktest.WaitFor(t, 10*time.Second, func() error {
		if _, path := read(); path != "miss miss hit" {
			return errors.New(path)
		}
		return nil
	})
}

// A master that refers to one that hangs, as it does where the slot map is out of date, has answered.
func TestReferralToAHungMaster(t *testing.T) {
	t.Parallel()
	const timeout = 500 * time.Millisecond
	s := startServers(t, 3)
	r := timedRedis(t, timeout, "", s.Addrs()...)
	n, err := r.node(t.Context(), r.key("", 1))
	if err != nil {
		t.Fatal(err)
	}
	own, others := n.client.Load().Options().Addr, schema.ID(2)
	hung, err := s.MasterOf(t.Context(), r.key("", others))
	for ; err == nil && hung.Addr() == own; hung, err = s.MasterOf(t.Context(), r.key("", others)) {
		others++
	}
	if err == nil {
		err = hung.Pause()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	replies, err := n.send(ctx, []*op{getOp(r.key("", others)), getOp(r.key("", 1))})
	if err != nil || nodeFailure(replies[:1]) == nil || !errors.Is(replies[1].err, redis.Nil) {
		t.Errorf("%v, %v; want a failure, and that nothing is there", replies, err)
	}
	if n.hung.Load() != 0 || n.breaker.Metrics().Failures() != 0 {
		t.Errorf("it is held to have hung %d times, and to have failed %d", n.hung.Load(), n.breaker.Metrics().Failures())
	}
}

// A master that hangs when a load wants to fill it costs that load one round trip, and its lease is nobody's business.
func TestHungMasterAtAFill(t *testing.T) {
	t.Parallel()
	origin := newMemory()
	c, s := hangable(t, origin)
	for _, fail := range []error{nil, errBroken} {
		origin.setFail(fail)
		release := origin.hold()
		done := make(chan error, 1)
		go func() {
			_, err := c.Get(t.Context(), 1, schema.ReadOptions{NoCache: true})
			done <- err
		}()
		<-origin.began
		p := s.Nodes()[0]
		if err := p.Pause(); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		release()
		if err := <-done; !errors.Is(err, fail) {
			t.Errorf("got %v, want %v", err, fail)
		}
		if d := time.Since(begun); d > hungTimeout*3/2 {
			t.Errorf("origin %v: the read took %v, a round trip %v", fail, d, hungTimeout)
		}
		if err := p.Resume(); err != nil {
			t.Fatal(err)
		}
		c.docs.wg.Wait()
	}
}

// A lease that a master grants when nobody waits for its answer any more is given back.
func TestLeaseOfAHungMaster(t *testing.T) {
	t.Parallel()
	c, s := hangable(t, newMemory())
	c.redis.cfg.LeaseTTL = time.Minute
	get(t, c, 2, 5, schema.ReadOptions{}) // so that the scripts are there
	p, node := s.master(t, 1)
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	a, err := c.Get(t.Context(), 1, schema.ReadOptions{NoCache: true})
	if err != nil || outcomes(a) != "bypassed bypassed hit" {
		t.Errorf("%v, and it went %q", err, outcomes(a))
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	c.docs.wg.Wait()
	key := c.redis.key(c.redis.standing.Load().epoch, 1) + leaseSuffix
	if n, err := node.Exists(t.Context(), key).Result(); err != nil || n != 0 {
		t.Errorf("%d leases are left, %v", n, err)
	}
}

// Where not even the slot map can be had, a batch waits for it once, not for each of its documents.
func TestHungSeed(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	const timeout = 500 * time.Millisecond
	origin := newMemory()
	c := openChain(t, origin, timedRedis(t, timeout, "", silent.Addr().String()))
	ids := make([]schema.ID, 100)
	for i := range ids {
		ids[i] = schema.ID(i + 1)
		origin.set(ids[i], 5)
	}
	begun := time.Now()
	getMany(t, c, ids)
	if took := time.Since(begun); took > 10*timeout {
		t.Errorf("a batch took %v, where one answer may take %v", took, timeout)
	}
}

// A batch is answered where some of its documents are on a server that hangs, and whoever has little time gets away.
func TestHungMasterInABatch(t *testing.T) {
	t.Parallel()
	origin := newMemory()
	c, s := hangable(t, origin)
	ids := []schema.ID{1, 2, 3, 3}
	get(t, c, 4, 5, schema.ReadOptions{})
	if err := s.Nodes()[0].Pause(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	getMany(t, c, ids)
	if took := time.Since(begun); took > 2*hungTimeout {
		t.Errorf("a batch took %v, where a round trip may take %v", took, hungTimeout)
	}
	ctx, cancel := context.WithTimeout(t.Context(), hungTimeout/10)
	defer cancel()
	begun = time.Now()
	for _, a := range c.GetMany(ctx, []schema.ID{5, 6}, schema.ReadOptions{}) {
		if a.Err == nil && a.Version != 5 { // from the origin, if Redis is known to hang
			t.Errorf("version %d", a.Version)
		}
	}
	if took := time.Since(begun); took > hungTimeout {
		t.Errorf("who had %v was kept for %v", hungTimeout/10, took)
	}
}

// getMany reads documents, all of which are of version 5.
func getMany(t *testing.T, c *Chain, ids []schema.ID) {
	t.Helper()
	for i, a := range c.GetMany(t.Context(), ids, schema.ReadOptions{}) {
		if a.Err != nil || a.Version != 5 {
			t.Errorf("%d: version %d, %v", ids[i], a.Version, a.Err)
		}
	}
}
