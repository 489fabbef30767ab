package cache

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vidmeta/internal/seldom"
	"vidmeta/schema"
)

// Config is what a Chain is made of.
type Config struct {
	Local     LocalConfig
	Redis     *Redis // required
	Origin    OriginConfig
	Freshness Freshness
	// LoadTimeout bounds the work that a miss begins, over all tiers; the time for which the reader itself asks Redis comes
	// on top. 0 means 3 s.
	LoadTimeout time.Duration
	// LeaseWait is how long a read waits for the holder of a lease before it loads for itself. 0 means 1 s.
	LeaseWait time.Duration
	// Without leaves mechanisms out, here and in Redis; for measurements.
	Without    Mechanisms
	Registerer prometheus.Registerer // nil: metrics are kept to itself
	Logger     *slog.Logger          // nil: nothing is logged
}

// Chain reads documents through the tiers. Its methods are safe for concurrent use.
type Chain struct {
	cfg     Config
	local   *Local
	redis   *Redis
	origin  *origin
	fence   *Fence
	docs    flight[flightKey, found]
	keeping batcher[*load, struct{}] // what was loaded, on its way to the local tier
	aliases *aliases
	respite time.Duration // between a renewal that failed and the next of the same entry
	metrics *metrics
	alone   atomic.Uint64   // numbers the loads that nobody may join
	failing seldom.Failures // of Redis
}

// flightKey keeps a read that comes after an invalidation from joining a load that began before it, and one that Redis can
// answer from joining one that does not ask Redis, or does not leave it at that. Renewals in the background, which are
// content with nothing stale, fly apart from the reads that begin them.
type flightKey struct {
	id                    schema.ID
	stamp                 uint64
	noCache, onlyIfCached bool
	renewal               bool
	alone                 uint64 // 0, or the number of a load that nobody else joins
}

// NewChain returns a chain with an empty local tier. Its entries rest on the watermark, and on being told of changes:
// run a Subscriber beside it.
func NewChain(cfg Config) (*Chain, error) {
	if cfg.Redis == nil {
		return nil, errors.New("chain: no redis tier")
	}
	if cfg.LoadTimeout == 0 {
		cfg.LoadTimeout = 3 * time.Second
	}
	if cfg.LeaseWait == 0 {
		cfg.LeaseWait = time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Freshness.setDefaults()
	cfg.Redis.without, cfg.Local.exact = cfg.Without, cfg.Without.Jitter
	c := &Chain{cfg: cfg, redis: cfg.Redis, fence: NewFence(), respite: time.Second, metrics: newMetrics(cfg.Registerer)}
	var err error
	if c.origin, err = newOrigin(cfg.Origin, cfg.Without, c.metrics, cfg.Logger); err != nil {
		return nil, err
	}
	if c.local, err = NewLocal(cfg.Local, c.fence); err != nil {
		return nil, err
	}
	if c.aliases, err = newAliases(cfg.Local.MaxBytes / aliasShare); err != nil {
		c.local.Close()
		return nil, err
	}
	// One at a time, as the local tier takes one at a time. What finds no place in the queue, of what a dozen of the largest
	// batches bring, is not kept.
	c.keeping = batcher[*load, struct{}]{send: c.keep, width: 1, size: 256, queue: 1 << 14, timeout: cfg.LoadTimeout}
	if cfg.Registerer != nil {
		c.observe(cfg.Registerer)
	}
	return c, nil
}

// Get returns the document id. It blocks until an answer is there or ctx ends; what it began to load is loaded all the
// same. Where the deadline of ctx leaves time for it, the call makes a round trip to Redis itself, which a cancellation
// does not end. Errors are schema's, the context's, or describe what failed.
func (c *Chain) Get(ctx context.Context, id schema.ID, o schema.ReadOptions) (a schema.Answer, err error) {
	var n need
	c.cfg.Freshness.ask(&n, &o)
	e, step := c.look(id, &n, &a)
	if step == schema.Hit {
		return a, nil
	}
	r := c.miss(id, n, e, step)
	c.load(ctx, &r)
	return r.finish()
}

// GetMany returns one result per id, in order; ids may repeat. It is Get of each, side by side.
func (c *Chain) GetMany(ctx context.Context, ids []schema.ID, o schema.ReadOptions) []schema.Result {
	n := c.cfg.Freshness.need(&o)
	results := make([]schema.Result, len(ids))
	var misses []*read
	var at []int // their places in results
	for i, id := range ids {
		if e, step := c.look(id, &n, &results[i].Answer); step != schema.Hit {
			r := c.miss(id, n, e, step)
			misses, at = append(misses, &r), append(at, i)
		}
	}
	c.load(ctx, misses...)
	for i, r := range misses {
		results[at[i]].Answer, results[at[i]].Err = r.finish()
	}
	return results
}

// look asks the local tier, and fills in the answer if that is a hit. The watermark is read first: an entry that is valid
// after that shows every commit before it.
func (c *Chain) look(id schema.ID, n *need, a *schema.Answer) (*localEntry, schema.Outcome) {
	if c.cfg.Without.Local {
		return nil, schema.NotAsked
	}
	w := c.redis.standing.Load().until(&c.cfg.Freshness)
	e, valid := c.local.get(id, n.now)
	switch {
	case n.noCache:
		return e, schema.Bypassed
	case e == nil:
		return nil, schema.Miss
	case !valid:
		return e, schema.Stale
	}
	asOf := max(e.asOf, w)
	if n.judge(e.version, asOf) < graceful {
		return e, schema.Stale
	}
	c.hit(e, asOf, n, a)
	return e, schema.Hit
}

// hit answers with a local entry, and has it renewed if its end is near or its as-of past the service's own bound: a
// renewal asks for no better than that.
func (c *Chain) hit(e *localEntry, asOf int64, n *need, a *schema.Answer) {
	stale := asOf < n.fresh
	overdue := stale && n.now-asOf > c.cfg.Freshness.MaxAge.Microseconds()
	if (overdue || n.now >= e.renewAt()) && e.claim(renewing) {
		c.renew(e.id, e)
	}
	c.metrics.local.hit(stale)
	a.Document, a.AsOf, a.Stale = e.document(), time.UnixMicro(min(asOf, n.now)), stale
	a.Trace[schema.TierLocal] = schema.Step{Outcome: schema.Hit, TTL: time.Duration(e.expiresAt()-n.now) * time.Microsecond}
}

// renew loads id in the background, unless a renewal is under way. If it fails e may be renewed again, but not at once:
// while there is no origin each hit would begin another. e may be nil.
func (c *Chain) renew(id schema.ID, e *localEntry) {
	c.metrics.renewals.Inc()
	n := c.cfg.Freshness.need(&schema.ReadOptions{MaxAge: c.cfg.Freshness.MaxAge})
	call, joined := c.join(flightKey{id: id, renewal: true})
	if !joined {
		c.carry(context.Background(), false, c.newLoad(call, n))
	}
	if e == nil {
		return
	}
	c.docs.wg.Go(func() { // where it was replaced nobody asks e any more
		call.waitGone(context.Background())
		end := func() { e.state.And(^uint32(renewing)) }
		if _, err := call.wait(context.Background()); err != nil {
			time.AfterFunc(c.respite, end)
			return
		}
		end()
	})
}

// join returns the load of a document that is under way since its last invalidation. If there is none it is begun, and
// the caller has to carry it out.
func (c *Chain) join(key flightKey) (under *call[flightKey, found], joined bool) {
	key.stamp = c.fence.Stamp(key.id)
	if c.cfg.Without.Coalescing {
		key.alone = c.alone.Add(1)
	}
	return c.docs.join(key)
}

// read is a read that the local tier could not answer.
type read struct {
	chain  *Chain
	id     schema.ID
	need   need
	local  *localEntry    // may serve as a last resort; nil if there is none
	step   schema.Outcome // of the local tier
	call   *call[flightKey, found]
	joined bool
	found  found // by the load
	err    error

	collapsed bool // it has joined a load at least once
}

// miss returns a read that has been to the local tier, and found nothing better there than e.
func (c *Chain) miss(id schema.ID, n need, e *localEntry, step schema.Outcome) read {
	if e != nil {
		n.seen = e.version
	}
	return read{chain: c, id: id, need: n, local: e, step: step}
}

// join takes part in a load, or in its own if alone is the number of one. If there is none it returns one, for the caller to
// carry out.
func (r *read) join(alone uint64) *load {
	key := flightKey{id: r.id, noCache: r.need.noCache, onlyIfCached: r.need.onlyIfCached, alone: alone}
	r.call, r.joined = r.chain.join(key)
	switch {
	case !r.joined:
		return r.chain.newLoad(r.call, r.need)
	case !r.collapsed:
		r.collapsed = true
		r.chain.metrics.collapsed.Inc()
	}
	return nil
}

// patient reports whether a read has the time to ask Redis itself.
func (c *Chain) patient(ctx context.Context) bool { return leaves(ctx, c.redis.patience()) }

// load has reads take part in loads, all at once, and waits for these. One that a read had joined may have begun before it,
// or asked for less: then the read takes part in the next, and in the end loads by itself.
func (c *Chain) load(ctx context.Context, reads ...*read) {
	for tries := 0; len(reads) > 0; tries++ {
		var loads []*load
		for _, r := range reads {
			var alone uint64
			if tries == 2 {
				alone = c.alone.Add(1)
			}
			if l := r.join(alone); l != nil {
				loads = append(loads, l)
			}
		}
		c.carry(ctx, c.patient(ctx), loads...)
		var again []*read
		for _, r := range reads {
			if r.found, r.err = r.call.wait(ctx); r.joined && ctx.Err() == nil && !r.settled() {
				again = append(again, r)
			}
		}
		for _, r := range again { // until then it would be joined again; nothing that others wait for has been begun meanwhile
			r.call.waitGone(ctx)
		}
		reads = again
	}
}

// settled reports whether the outcome of somebody else's load is good for this read too.
func (r *read) settled() bool {
	return r.err != nil || r.need.judge(r.found.doc.Version, r.found.asOf) >= graceful
}

// finish answers with what was loaded, or in its stead.
func (r *read) finish() (schema.Answer, error) {
	f, err := r.found, r.err
	if err == nil && r.need.judge(f.doc.Version, f.asOf) >= graceful {
		return r.answer(f), nil
	}
	if err == nil {
		err = schema.ErrNotYetVisible
	}
	return r.resort(f, err)
}

func (r *read) answer(f found) schema.Answer {
	a := schema.Answer{
		Document: f.doc, AsOf: time.UnixMicro(min(f.asOf, max(r.need.now, f.at))),
		Stale: f.asOf < r.need.fresh, Trace: f.trace,
	}
	a.Trace[schema.TierLocal].Outcome = r.step
	if r.collapsed {
		for t := range a.Trace {
			if a.Trace[t].Outcome != schema.NotAsked {
				a.Trace[t].Collapsed = t != int(schema.TierLocal)
			}
		}
	}
	r.count(&a)
	return a
}

// resort answers with the best of what was turned down before, if the bound for errors allows it, or with err.
func (r *read) resort(f found, err error) (schema.Answer, error) {
	var best *spare
	consider := func(s *spare) {
		if r.need.judge(s.doc.Version, s.asOf) != useless && (best == nil || s.asOf > best.asOf) {
			best = s
		}
	}
	if f.spare != nil {
		consider(f.spare)
	}
	if e := r.local; e != nil {
		consider(&spare{doc: e.document(), asOf: e.asOf})
	}
	if best == nil || errors.Is(err, context.Canceled) || errors.Is(err, schema.ErrNotCached) {
		a := schema.Answer{Trace: f.trace}
		a.Trace[schema.TierLocal].Outcome = r.step
		r.count(&a)
		return a, err
	}
	a := schema.Answer{Document: best.doc, AsOf: time.UnixMicro(best.asOf), Stale: true, Trace: f.trace}
	a.Trace[schema.TierLocal].Outcome = r.step
	r.count(&a)
	return a, nil
}

func (r *read) count(a *schema.Answer) {
	r.chain.metrics.read(&a.Trace)
	if a.Stale {
		r.chain.metrics.stale.Inc()
	}
}

// Close waits for loads under way and ends the local tier. No read may begin any more.
func (c *Chain) Close() {
	c.docs.wg.Wait()
	c.keeping.wait()
	c.aliases.close()
	c.redis.close()
	c.origin.close()
	c.local.Close()
}
