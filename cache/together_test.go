package cache

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// A read that asks for less than another, or for more, does not have to share what becomes of that one.
func TestReadsThatAskDifferently(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	origin.set(2, 5)
	get(t, openChain(t, origin, sharedRedis(t, r.cfg.Namespace)), 1, 5, schema.ReadOptions{}) // into Redis
	<-origin.began
	c := openChain(t, origin, r)
	release := origin.hold()
	origin.setFail(errBroken)
	failed := make(chan error, 2)
	for id := range schema.ID(2) {
		go func() {
			_, err := c.Get(t.Context(), id+1, schema.ReadOptions{NoCache: id == 0})
			failed <- err
		}()
		<-origin.began
	}
	if a, err := c.Get(t.Context(), 1, schema.ReadOptions{}); err != nil || outcomes(a) != "miss hit not_asked" {
		t.Errorf("beside one with no-cache a read went %q, %v", outcomes(a), err)
	}
	if a, err := c.Get(t.Context(), 2, schema.ReadOptions{OnlyIfCached: true}); !errors.Is(err, schema.ErrNotCached) {
		t.Errorf("beside one that the origin keeps waiting only-if-cached got %+v, %v", a, err)
	}
	release()
	for range 2 {
		if err := <-failed; !errors.Is(err, errBroken) {
			t.Errorf("the others: %v", err)
		}
	}
}

// As TestReadsThatAskDifferently, by public id.
func TestAliasesThatAreAskedForDifferently(t *testing.T) {
	origin := newMemory()
	origin.set(1, 5)
	c := openChain(t, origin, openRedis(t))
	keys := make(map[aliasKey]bool)
	for _, o := range []schema.ReadOptions{{OnlyIfCached: true}, {NoCache: true}, {}} {
		n := c.cfg.Freshness.need(&o)
		call, _ := c.joinAlias(t.Context(), publicID(1), &n, false, 0)
		keys[call.key] = true
		if f, err := call.wait(t.Context()); errors.Is(err, schema.ErrNotCached) != o.OnlyIfCached || (err == nil && f.id != 1) {
			t.Errorf("%+v: %+v, %v", o, f, err)
		}
	}
	if len(keys) != 3 {
		t.Errorf("they could have met: %+v", keys)
	}
}

// A batch that meets loads from before it repeats them together, not one after another.
func TestABatchRepeatsTogether(t *testing.T) {
	const documents = 50
	origin := newMemory()
	var ids []schema.ID
	for id := schema.ID(1); id <= documents; id++ {
		origin.set(id, 5)
		ids = append(ids, id)
	}
	c := openChain(t, origin, openRedis(t), func(cfg *Config) { cfg.Origin.Width = 4 * documents })
	loading := func(times int) {
		t.Helper()
		stacktest.WaitFor(t, 10*time.Second, func() error {
			for _, id := range ids {
				if n := origin.loadsOf(id); n != times {
					return fmt.Errorf("%d loads of %d", n, id)
				}
			}
			return nil
		})
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	batch := func() {
		begun := time.Now().Truncate(time.Microsecond)
		for i, a := range c.GetMany(t.Context(), ids, schema.ReadOptions{NoCache: true}) {
			if a.Err != nil || a.ID != ids[i] || a.Version != 5 || a.AsOf.Before(begun) {
				t.Errorf("asked for %d at %v: %+v", ids[i], begun, a)
			}
		}
	}
	first, second := make(chan struct{}), make(chan struct{})
	defer close(second)
	origin.gate = first
	wg.Go(batch)
	loading(1)
	wg.Go(batch)
	stacktest.WaitFor(t, 10*time.Second, func() error {
		if n := testutil.ToFloat64(c.metrics.collapsed); n != documents {
			return fmt.Errorf("%v reads have joined", n)
		}
		return nil
	})
	origin.mu.Lock()
	origin.gate = second
	origin.mu.Unlock()
	close(first)
	loading(2) // all at once, as none has ended
}

// Who asks for better than an alias that was looked up before gets it, whatever else is under way.
func TestAliasesThatAreOlder(t *testing.T) {
	c := openChain(t, newMemory(), openRedis(t))
	for _, fromOrigin := range []bool{false, true} {
		under, _ := c.aliases.flight.join(aliasKey{publicID: publicID(1), noCache: true, fromOrigin: fromOrigin})
		under.settle(aliasFound{aliasEntry: aliasEntry{at: 1}}, nil)
		defer under.forget()
	}
	if a, err := c.GetByPublicID(t.Context(), publicID(1), schema.ReadOptions{NoCache: true}); err != nil || a.Exists() {
		t.Errorf("%+v, %v", a, err)
	}
}

// That there is no document is repeated while the origin is away, up to the bound for errors.
func TestAbsenceByPublicIDWithoutOrigin(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	one, other := openChain(t, origin, r), openChain(t, origin, sharedRedis(t, r.cfg.Namespace))
	first, err := one.GetByPublicID(t.Context(), publicID(1), schema.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	one.aliases.flight.wg.Wait()
	origin.setFail(errBroken)
	const later, tooLate = 10 * time.Minute, 2 * time.Hour
	for _, want := range []struct {
		chain *Chain
		age   time.Duration
		asks  schema.ReadOptions
		err   error
		path  string
	}{
		{one, later, schema.ReadOptions{}, nil, "stale stale failed"},
		{other, later, schema.ReadOptions{}, nil, "miss stale failed"},
		{one, later, schema.ReadOptions{MinVersion: 1}, schema.ErrUnavailable, "stale stale failed"},
		{one, later, schema.ReadOptions{NoCache: true}, schema.ErrUnavailable, "bypassed stale failed"},
		{one, later, schema.ReadOptions{OnlyIfCached: true}, schema.ErrNotCached, "stale stale not_asked"},
		{one, tooLate, schema.ReadOptions{}, schema.ErrUnavailable, "stale stale failed"},
		{other, tooLate, schema.ReadOptions{}, schema.ErrUnavailable, "miss stale failed"},
	} {
		want.asks.Now = time.Now().Add(want.age)
		a, err := want.chain.GetByPublicID(t.Context(), publicID(1), want.asks)
		if !errors.Is(err, want.err) || outcomes(a) != want.path {
			t.Errorf("%+v: went %q, %v", want.asks, outcomes(a), err)
		}
		late, skew := first.AsOf.Sub(a.AsOf), want.chain.cfg.Freshness.ClockSkew
		if want.err == nil && (!a.Stale || a.Exists() || late < 0 || late > skew) {
			t.Errorf("%+v: %+v, as of %v", want.asks, a, first.AsOf)
		}
		want.chain.aliases.flight.wg.Wait()
	}
	if err := r.cfg.Client.Del(t.Context(), r.aliasKey(publicID(1))).Err(); err != nil { // as its TTL does
		t.Fatal(err)
	}
	a, err := one.GetByPublicID(t.Context(), publicID(1), schema.ReadOptions{Now: time.Now().Add(later)})
	if err != nil || !a.Stale || outcomes(a) != "stale miss failed" {
		t.Errorf("when redis has forgotten: %+v, %v", a, err)
	}
	if n := testutil.ToFloat64(one.metrics.stale); n != 2 {
		t.Errorf("%v stale answers were counted", n)
	}
}
