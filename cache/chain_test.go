package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// tell does to a chain what the feed does.
func tell(c *Chain, changes ...schema.Change) {
	s := &Subscriber{chain: c, log: c.cfg.Logger, term: "t", seq: 1}
	s.apply(feedEntry{term: "t", seq: 2, epoch: c.redis.standing.Load().epoch, changes: changes})
}

func outcomes(a schema.Answer) string {
	return fmt.Sprint(a.Trace[schema.TierLocal].Outcome, a.Trace[schema.TierRedis].Outcome, a.Trace[schema.TierOrigin].Outcome)
}

func TestChainReadsThrough(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	one, two := openChain(t, origin, r), openChain(t, origin, sharedRedis(t, r.cfg.Namespace))
	for i, want := range []struct {
		chain *Chain
		path  string
	}{{one, "miss miss hit"}, {one, "hit not_asked not_asked"}, {two, "miss hit not_asked"}, {two, "hit not_asked not_asked"}} {
		a := get(t, want.chain, 1, 5, schema.ReadOptions{})
		if outcomes(a) != want.path {
			t.Errorf("read %d went %q, want %q", i+1, outcomes(a), want.path)
		}
		if string(a.Body) != string(body(1, 5)) {
			t.Errorf("read %d: body %q", i+1, a.Body)
		}
		if age := time.Since(a.AsOf); age < 0 || age > time.Minute {
			t.Errorf("read %d is as of %v", i+1, a.AsOf)
		}
	}
	if n := origin.loadsOf(1); n != 1 {
		t.Errorf("%d loads from the origin, want 1", n)
	}
}

func TestChainCachesAbsence(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.delete(2, 7)
	c := openChain(t, origin, r)
	for id, v := range map[schema.ID]schema.Version{1: 0, 2: 7} {
		for range 2 {
			if a := get(t, c, id, v, schema.ReadOptions{}); a.Exists() {
				t.Errorf("%d exists", id)
			}
		}
		if n := origin.loadsOf(id); n != 1 {
			t.Errorf("%d: %d loads, want 1", id, n)
		}
		if want := fmt.Sprintf("A%d", v); held(t, r, id) != want {
			t.Errorf("redis holds %q for %d, want %q", held(t, r, id), id, want)
		}
	}
	origin.set(1, 9)
	mark(t, r, 1, 9)
	put(t, r, document(1, 9))
	tell(c, schema.Change{ID: 1, Version: 9})
	get(t, c, 1, 9, schema.ReadOptions{})
}

func TestChainServesChanges(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r)
	get(t, c, 1, 5, schema.ReadOptions{})
	for v := schema.Version(6); v < 50; v++ {
		origin.set(1, v)
		if v%3 == 0 { // evicted
			if err := r.cfg.Client.Del(t.Context(), r.key("", 1)).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if mark(t, r, 1, v) {
			put(t, r, document(1, v))
		}
		tell(c, schema.Change{ID: 1, Version: v})
		get(t, c, 1, v, schema.ReadOptions{})
		get(t, c, 1, v, schema.ReadOptions{})
	}
}

// A load that was under way when the change came must reach neither tier, and no later reader.
func TestChainLateFill(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r)
	release := origin.hold()
	slow := make(chan schema.Answer)
	go func() {
		a, err := c.Get(t.Context(), 1, schema.ReadOptions{})
		if err != nil {
			t.Error(err)
		}
		slow <- a
	}()
	<-origin.began // version 5 has been read
	origin.set(1, 6)
	mark(t, r, 1, 6)
	tell(c, schema.Change{ID: 1, Version: 6})
	later := make(chan schema.Answer)
	go func() { // must not join the load of version 5
		a, err := c.Get(t.Context(), 1, schema.ReadOptions{})
		if err != nil {
			t.Error(err)
		}
		later <- a
	}()
	<-origin.began
	release()
	<-slow
	if a := <-later; a.Version != 6 {
		t.Errorf("a reader after the change was served version %d", a.Version)
	}
	get(t, c, 1, 6, schema.ReadOptions{})
	if held(t, r, 1) != "L6" {
		t.Errorf("redis holds %q, want L6", held(t, r, 1))
	}
}

func TestChainOneLoadForAll(t *testing.T) {
	origin := newMemory()
	origin.set(1, 5)
	r := openRedis(t)
	var chains []*Chain
	for range 3 {
		chains = append(chains, openChain(t, origin, sharedRedis(t, r.cfg.Namespace)))
	}
	release := origin.hold()
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			if a, err := chains[i%3].Get(t.Context(), 1, schema.ReadOptions{}); err != nil || a.Version != 5 {
				t.Errorf("got version %d, %v", a.Version, err)
			}
		})
	}
	<-origin.began
	release()
	wg.Wait()
	if n := origin.loadsOf(1); n != 1 {
		t.Errorf("%d loads for 1000 requests on 3 nodes, want 1", n)
	}
}

func TestChainManyIsOneStatement(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	ids := make([]schema.ID, 0, 300)
	for id := range schema.ID(100) {
		origin.set(id+1, 5)
		ids = append(ids, id+1, id+1, 100000) // repeated, and one that is absent
	}
	c := openChain(t, origin, r, func(cfg *Config) { cfg.Origin.Width = 1 })
	release := origin.hold()
	cold := make(chan []schema.Result)
	go func() { cold <- c.GetMany(t.Context(), ids, schema.ReadOptions{}) }()
	<-origin.began // the first statement, with what was there when it left
	stacktest.WaitFor(t, 10*time.Second, func() error {
		b := &c.origin.documents
		b.mu.Lock()
		defer b.mu.Unlock()
		origin.mu.Lock()
		defer origin.mu.Unlock()
		if n := len(origin.loads) + len(b.waiting); n != 101 {
			return fmt.Errorf("%d of 101 documents are being loaded or wait for it", n)
		}
		return nil
	})
	release()
	for round, results := range [][]schema.Result{<-cold, c.GetMany(t.Context(), ids, schema.ReadOptions{})} {
		for i, res := range results {
			if res.Err != nil || res.ID != ids[i] || res.Exists() != (ids[i] != 100000) {
				t.Fatalf("round %d, result %d for %d: %+v", round, i, ids[i], res)
			}
		}
	}
	if origin.batches != 2 {
		t.Errorf("%d statements, want 2: one for what came first, one for all that gathered meanwhile", origin.batches)
	}
	for _, id := range ids {
		if n := origin.loadsOf(id); n != 1 {
			t.Errorf("%d loads of %d, want 1", n, id)
		}
	}
}

func TestChainCallerLeaves(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r)
	release := origin.hold()
	ctx, cancel := context.WithCancel(t.Context())
	left, stayed := make(chan error), make(chan error)
	go func() { _, err := c.Get(ctx, 1, schema.ReadOptions{}); left <- err }()
	<-origin.began
	go func() { _, err := c.Get(t.Context(), 1, schema.ReadOptions{}); stayed <- err }()
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who left got %v", err)
	}
	release()
	if err := <-stayed; err != nil {
		t.Errorf("the one who stayed got %v", err)
	}
	if n := origin.loadsOf(1); n != 1 {
		t.Errorf("%d loads, want 1", n)
	}
}

func TestChainErrorsAreNoMisses(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	origin.setFail(errBroken)
	c := openChain(t, origin, r)
	if _, err := c.Get(t.Context(), 1, schema.ReadOptions{}); !errors.Is(err, schema.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if h := held(t, r, 1); h != "" {
		t.Errorf("redis holds %q after a failed load", h)
	}
	origin.setFail(nil)
	c.docs.wg.Wait() // until the lease has been given back
	got, err := r.acquire(t.Context(), "", 1, 0, 0)
	if err != nil || got.state != leaseGranted {
		t.Errorf("the lease of the failed load was not given back: state %d, %v", got.state, err)
	}
}

func TestChainOptions(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r)
	if _, err := c.Get(t.Context(), 1, schema.ReadOptions{OnlyIfCached: true}); !errors.Is(err, schema.ErrNotCached) {
		t.Errorf("only-if-cached, cold: %v", err)
	}
	get(t, c, 1, 5, schema.ReadOptions{})
	get(t, c, 1, 5, schema.ReadOptions{OnlyIfCached: true})
	origin.set(1, 6) // nobody has told of it yet
	get(t, c, 1, 5, schema.ReadOptions{})
	get(t, c, 1, 6, schema.ReadOptions{MinVersion: 6})
	get(t, c, 1, 6, schema.ReadOptions{})
	origin.set(1, 7)
	before := time.Now()
	if a := get(t, c, 1, 7, schema.ReadOptions{NoCache: true}); a.AsOf.Before(before.Truncate(time.Microsecond)) {
		t.Errorf("no-cache answered as of %v, asked at %v", a.AsOf, before)
	}
	if _, err := c.Get(t.Context(), 1, schema.ReadOptions{MinVersion: 8}); !errors.Is(err, schema.ErrNotYetVisible) {
		t.Errorf("a version that does not exist: %v", err)
	}
}

// Strict reads among others must not be sent away because the load they met had asked for less.
func TestChainStrictReadsTogether(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				o := schema.ReadOptions{NoCache: i%2 == 0, OnlyIfCached: i == 1}
				if _, err := c.Get(t.Context(), 1, o); err != nil && !(o.OnlyIfCached && errors.Is(err, schema.ErrNotCached)) {
					t.Errorf("%+v: %v", o, err)
				}
			}
		})
	}
	wg.Wait()
}

// A node that has served a version must not go back to an older one that Redis still has.
func TestChainDoesNotGoBack(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r)
	get(t, c, 1, 5, schema.ReadOptions{})
	origin.set(1, 6)
	release := origin.hold()
	got := make(chan schema.Answer)
	go func() {
		a, _ := c.Get(t.Context(), 1, schema.ReadOptions{NoCache: true})
		got <- a
	}()
	<-origin.began // once for the first load
	<-origin.began
	mark(t, r, 1, 6) // ends the lease: version 6 stays out of Redis, which has 5
	release()
	if a := <-got; a.Version != 6 {
		t.Fatalf("version %d, want 6", a.Version)
	}
	c.docs.wg.Wait()
	c.fence.Invalidate(1) // by a neighbour in the stripe
	get(t, c, 1, 6, schema.ReadOptions{})
}

// What vouches for one epoch says nothing of another, in either direction.
func TestChainEpochs(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r, func(cfg *Config) {
		cfg.Freshness = Freshness{MaxAge: time.Millisecond, StaleWhileRevalidate: time.Millisecond}
	})
	s := &Subscriber{chain: c, log: c.cfg.Logger}
	w := time.Now().Add(time.Hour) // far ahead, so that it would vouch for anything
	s.apply(feedEntry{term: "a", seq: 1, epoch: "e1"})
	get(t, c, 1, 5, schema.ReadOptions{NoCache: true}) // stored in e1
	s.apply(feedEntry{term: "a", seq: 2, epoch: "e2", watermark: w.UnixMicro()})
	origin.set(1, 6) // told in e2 alone
	s.apply(feedEntry{term: "b", seq: 2, epoch: "e1"})
	<-time.After(10 * time.Millisecond) // until what was loaded is no longer true by its own time
	get(t, c, 1, 6, schema.ReadOptions{})
}

// With the watermark standing still answers grow older, and are served by the one rule.
func TestChainServingRule(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r, func(cfg *Config) {
		cfg.Local.TTL = 24 * time.Hour
		cfg.Freshness = Freshness{MaxAge: 2 * time.Second, StaleWhileRevalidate: 30 * time.Second, StaleIfError: time.Hour}
	})
	get(t, c, 1, 5, schema.ReadOptions{})
	at := func(age time.Duration) schema.ReadOptions { return schema.ReadOptions{Now: time.Now().Add(age)} }
	if a := get(t, c, 1, 5, at(time.Second)); a.Stale || outcomes(a) != "hit not_asked not_asked" {
		t.Errorf("within max-age: %+v", a)
	}
	origin.setFail(errBroken)
	if a := get(t, c, 1, 5, at(10*time.Second)); !a.Stale || outcomes(a) != "hit not_asked not_asked" {
		t.Errorf("within stale-while-revalidate: %+v", a)
	}
	if a := get(t, c, 1, 5, at(10*time.Minute)); !a.Stale || outcomes(a) != "stale stale failed" {
		t.Errorf("within stale-if-error: %+v", a)
	}
	if _, err := c.Get(t.Context(), 1, at(2*time.Hour)); !errors.Is(err, schema.ErrUnavailable) {
		t.Errorf("beyond every bound: %v", err)
	}
	c.redis.standing.Store(&standing{watermark: time.Now().Add(2 * time.Hour).UnixMicro()}) // the feed flows again
	if a := get(t, c, 1, 5, at(2*time.Hour)); a.Stale || outcomes(a) != "hit not_asked not_asked" {
		t.Errorf("vouched for by the watermark: %+v", a)
	}
}

// What a request accepts beyond the bound comes at once, and is renewed when the service itself would find it too old.
func TestChainMaxStale(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r, func(cfg *Config) {
		cfg.Local.TTL = 24 * time.Hour
		cfg.Freshness = Freshness{MaxAge: time.Minute, StaleWhileRevalidate: 2 * time.Minute, StaleIfError: time.Hour}
	})
	get(t, c, 1, 5, schema.ReadOptions{})
	renewals := func() float64 { return testutil.ToFloat64(c.metrics.renewals) }
	for _, step := range []struct {
		name     string
		age      time.Duration
		asks     schema.ReadOptions
		path     string
		stale    bool
		renewals float64 // so far
	}{
		{"older than max-age, within the service's bound", 30 * time.Second,
			schema.ReadOptions{MaxAge: time.Second, MaxStale: time.Hour}, "hit not_asked not_asked", true, 0},
		{"not accepted", 10 * time.Minute, schema.ReadOptions{MaxStale: time.Minute, OnlyIfCached: true}, "", false, 0},
		{"accepted", 10 * time.Minute, schema.ReadOptions{MaxStale: 10 * time.Minute, OnlyIfCached: true}, "hit not_asked not_asked", true, 1},
		{"beyond the bound for errors", 2 * time.Hour, schema.ReadOptions{MaxStale: 1 << 31 * time.Second, OnlyIfCached: true}, "", false, 1},
	} {
		step.asks.Now = time.Now().Add(step.age)
		a, err := c.Get(t.Context(), 1, step.asks)
		c.docs.wg.Wait()
		switch {
		case step.path == "" && !errors.Is(err, schema.ErrNotCached):
			t.Errorf("%s: %+v, %v", step.name, a, err)
		case step.path != "" && (err != nil || outcomes(a) != step.path || a.Stale != step.stale):
			t.Errorf("%s: %s, stale %v, %v", step.name, outcomes(a), a.Stale, err)
		}
		if got := renewals(); got != step.renewals {
			t.Errorf("%s: %v renewals, want %v", step.name, got, step.renewals)
		}
	}
}

func TestChainByPublicID(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r)
	for _, other := range []*Chain{c, c, openChain(t, origin, sharedRedis(t, r.cfg.Namespace))} {
		if a, err := other.GetByPublicID(t.Context(), publicID(1), schema.ReadOptions{}); err != nil || a.ID != 1 {
			t.Fatalf("got %+v, %v", a, err)
		}
	}
	if origin.batches != 2 { // the alias and the document
		t.Errorf("%d statements, want 2", origin.batches)
	}
	if _, err := c.GetByPublicID(t.Context(), publicID(2), schema.ReadOptions{MinVersion: 7}); !errors.Is(err, schema.ErrNotYetVisible) {
		t.Errorf("a version that is known to exist is denied: %v", err)
	}
	if a, err := c.GetByPublicID(t.Context(), publicID(2), schema.ReadOptions{}); err != nil || a.Exists() || time.Since(a.AsOf) > time.Minute {
		t.Errorf("an unknown public id: %+v, %v", a, err)
	}
	// What the tiers said stands beside the answer that there is none.
	for i, want := range []struct {
		chain *Chain
		path  string
	}{{c, "miss miss hit"}, {c, "hit not_asked not_asked"}, {openChain(t, origin, sharedRedis(t, r.cfg.Namespace)), "miss hit not_asked"}} {
		a, err := want.chain.GetByPublicID(t.Context(), publicID(4), schema.ReadOptions{})
		if err != nil || a.Exists() || outcomes(a) != want.path {
			t.Errorf("read %d of an unknown public id went %q, want %q (%v)", i+1, outcomes(a), want.path, err)
		}
		c.aliases.flight.wg.Wait()
	}
	origin.setFail(errBroken)
	if a, err := c.GetByPublicID(t.Context(), publicID(4), schema.ReadOptions{NoCache: true}); err == nil || outcomes(a) != "bypassed stale failed" {
		t.Errorf("without the origin: %v, went %q", err, outcomes(a))
	}
	origin.setFail(nil)
	// The public id moves to another video: the alias leads to a document that no longer carries it.
	origin.delete(1, 6)
	origin.mu.Lock()
	origin.docs[3] = schema.Document{ID: 3, Version: 6, Body: fmt.Appendf(nil, `{"id":3,"public_id":"%s"}`, publicID(1))}
	origin.mu.Unlock()
	mark(t, r, 1, 6)
	put(t, r, schema.Document{ID: 1, Version: 6})
	tell(c, schema.Change{ID: 1, Version: 6}, schema.Change{ID: 3, Version: 6})
	if a, err := c.GetByPublicID(t.Context(), publicID(1), schema.ReadOptions{}); err != nil || a.ID != 3 {
		t.Errorf("after the move: %+v, %v", a, err)
	}
}

// With Redis away documents are still read, once per node, and come from the local tier after that.
func TestChainWithoutRedis(t *testing.T) {
	origin := newMemory()
	origin.set(1, 5)
	c := openChain(t, origin, openRedis(t, nowhere))
	for range 3 {
		get(t, c, 1, 5, schema.ReadOptions{})
	}
	if n := origin.loadsOf(1); n != 1 {
		t.Errorf("%d loads, want 1", n)
	}
}

func TestInspect(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r)
	states := func(in Inspection) string { return in.Local.State + " " + in.Redis.State + " " + in.Origin.State }
	if in := c.Inspect(t.Context(), 1); states(in) != "nothing nothing live" || in.Origin.Version != 5 {
		t.Errorf("cold: %+v", in)
	}
	get(t, c, 1, 5, schema.ReadOptions{})
	if in := c.Inspect(t.Context(), 1); states(in) != "live live live" || in.Local.Why != "" || in.Redis.Version != 5 || in.Redis.Lease {
		t.Errorf("warm: %+v", in)
	}
	c.fence.Invalidate(1)
	if got, err := r.acquire(t.Context(), "", 1, schema.MaxVersion, 0); err != nil || got.state != leaseGranted {
		t.Fatalf("lease: state %d, %v", got.state, err)
	}
	if in := c.Inspect(t.Context(), 1); in.Local.Why == "" || !in.Redis.Lease {
		t.Errorf("invalidated, being loaded: %+v", in)
	}
	origin.setFail(errBroken)
	if in := c.Inspect(t.Context(), 1); in.Origin.State != "failed" || in.Origin.Why == "" {
		t.Errorf("origin away: %+v", in)
	}
	c.metrics.fold()
	if n := testutil.ToFloat64(c.metrics.reads[schema.TierLocal][schema.Hit]); n != 0 {
		t.Errorf("%v hits were counted", n)
	}
}

// Where nobody ever finds the public id in the document that it leads to, the read ends, and says whom it asked.
func TestAliasThatLeadsAstray(t *testing.T) {
	origin := newMemory()
	origin.set(1, 5)
	c := openChain(t, astray{origin}, openRedis(t))
	a, err := c.GetByPublicID(t.Context(), publicID(2), schema.ReadOptions{})
	if !errors.Is(err, schema.ErrNotYetVisible) || outcomes(a) != "bypassed bypassed hit" {
		t.Errorf("%q, %v", outcomes(a), err)
	}
	if n := origin.loadsOf(1); n != 3 {
		t.Errorf("%d loads, want 3", n)
	}
}

// astray is a store in which all public ids lead to document 1.
type astray struct{ *memory }

func (astray) Resolve(_ context.Context, publicIDs []string) ([]schema.ID, error) {
	return each(publicIDs, func(string) schema.ID { return 1 }), nil
}

// The last resort is the newest of what the request can take, not the newest of all.
func TestChainLastResortFits(t *testing.T) {
	c := openChain(t, newMemory(), openRedis(t))
	now := time.Now().UnixMicro()
	old, newer := now-2*time.Hour.Microseconds(), now-time.Hour.Microseconds()
	for _, want := range []struct {
		local, spare     schema.Version
		localAt, spareAt int64
		version          schema.Version
	}{{6, 7, newer, old, 7}, {7, 6, old, newer, 7}, {7, 8, newer, old, 7}, {7, 8, old, newer, 8}} {
		r := read{chain: c, id: 1, need: need{version: 7, lastResort: old},
			local: newEntry(document(1, want.local), 0, want.localAt, now, 0)}
		a, err := r.resort(found{spare: &spare{doc: document(1, want.spare), asOf: want.spareAt}}, errBroken)
		if err != nil || a.Version != want.version || !a.Stale {
			t.Errorf("%+v: version %d, stale %v, %v", want, a.Version, a.Stale, err)
		}
	}
	r := read{chain: c, id: 1, need: need{version: 9, lastResort: old}, local: newEntry(document(1, 7), 0, newer, now, 0)}
	if _, err := r.resort(found{spare: &spare{doc: document(1, 8), asOf: newer}}, errBroken); !errors.Is(err, errBroken) {
		t.Errorf("nothing fits, and the error is %v", err)
	}
}
