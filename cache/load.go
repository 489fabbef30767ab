package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"vidmeta/schema"
)

// found is what a load below the local tier came to.
type found struct {
	doc   schema.Document
	asOf  int64
	at    int64 // when it was found
	trace schema.Trace
	spare *spare // something older that was turned down, for the last resort
	// unvouched marks what came from a master of Redis that the sidecar has not seen to. It is true as of its own loading;
	// the local tier must not have it, where the watermark would make it younger.
	unvouched bool
}

type spare struct {
	doc  schema.Document
	asOf int64
}

// load is one load of one document, and its state.
type load struct {
	chain *Chain
	call  *call[flightKey, found]
	begun time.Time
	need  need
	asked bool // Redis
	found found
	alone bool   // without Redis: it failed, or its lease was waited for too long
	lease *lease // held, or nil
}

func (c *Chain) newLoad(call *call[flightKey, found], n need) *load {
	return &load{chain: c, call: call, need: n, begun: time.Now()}
}

// carry carries out loads that its caller has begun: what Redis answers on the caller's own goroutine if here is true,
// which saves waking others, and all else on goroutines that belong to no reader.
func (c *Chain) carry(ctx context.Context, here bool, loads ...*load) {
	ctx = context.WithoutCancel(ctx)
	if here {
		ctx, cancel := context.WithTimeout(ctx, c.redis.patience()) // the slot map, too, may have to be asked for
		loads = c.fromRedis(ctx, loads)
		cancel()
	}
	for _, l := range loads {
		go func() {
			ctx, cancel := context.WithTimeout(ctx, c.cfg.LoadTimeout)
			defer cancel()
			if l.asked || len(c.fromRedis(ctx, []*load{l})) > 0 {
				_, err := guard(ctx, func(ctx context.Context) (any, error) { return nil, l.fromOrigin(ctx) })
				l.end(err)
			}
		}()
	}
}

// fromRedis asks Redis for documents, of all loads at once. It ends those that this settles, and returns the others.
func (c *Chain) fromRedis(ctx context.Context, loads []*load) (rest []*load) {
	told := c.redis.standing.Load() // before the reads: what Redis holds after it shows every commit until then
	replies, err := guard(ctx, func(ctx context.Context) ([]reply, error) {
		if len(loads) == 0 || loads[0].need.noCache { // those of one read ask for the same
			return nil, nil
		}
		ops := each(loads, func(l *load) *op { return getOp(c.redis.key(told.epoch, l.id())) })
		return c.redis.doAll(ctx, ops), nil
	})
	for i, l := range loads {
		l.asked = true
		settled, err := guard(ctx, func(context.Context) (bool, error) {
			if replies == nil {
				l.found.trace[schema.TierRedis].Outcome = schema.Bypassed
				return false, err
			}
			return l.hear(replies[i], told), nil
		})
		switch {
		case settled || err != nil:
			l.end(err)
		case l.need.onlyIfCached:
			l.end(schema.ErrNotCached)
		default:
			rest = append(rest, l)
		}
	}
	return rest
}

// hear takes what Redis says, and reports whether that settles the load.
func (l *load) hear(rep reply, told *standing) bool {
	step := &l.found.trace[schema.TierRedis]
	e, ok, err := rep.envelope()
	switch {
	case err != nil:
		step.Outcome = schema.Failed
		l.alone = true
		l.chain.failed(fmt.Errorf("redis get %d: %w", l.id(), err))
	case !ok:
		step.Outcome = schema.Miss
	case l.take(e, rep.from, told):
		return true
	default:
		step.Outcome = schema.Stale
	}
	return false
}

// end gives what was found to all who wait, and to the local tier; until it is there, whoever comes joins this load.
func (l *load) end(err error) {
	c := l.chain
	l.call.settle(l.found, err)
	if err != nil || l.found.unvouched || c.cfg.Without.Local || !c.keeping.post(l) {
		l.call.forget()
	}
}

// keep gives the local tier what loads have found, of many at once where there are many.
func (c *Chain) keep(_ context.Context, loads []*load) ([]struct{}, error) {
	defer func() {
		for _, l := range loads {
			l.call.forget()
		}
	}()
	now := time.Now()
	c.local.put(now.UnixMicro(), each(loads, func(l *load) arrival {
		return arrival{doc: l.found.doc, stamp: l.call.key.stamp, asOf: l.found.asOf, cost: now.Sub(l.begun)}
	})...)
	return make([]struct{}, len(loads)), nil
}

func (l *load) id() schema.ID { return l.call.key.id }

// take settles the load with what Redis holds, if that fits.
func (l *load) take(e Envelope, from reign, told *standing) bool {
	c, now := l.chain, time.Now().UnixMicro()
	doc := schema.Document{ID: l.id(), Version: e.Version, Body: e.Body}
	asOf, vouched := told.asOf(l.id(), e.LoadedAt, from, &c.cfg.Freshness)
	v := l.need.judge(e.Version, asOf)
	if v < graceful || e.Version < l.need.seen {
		l.found.spare = &spare{doc: doc, asOf: asOf}
		return false
	}
	if v == graceful {
		c.renew(l.id(), nil)
	}
	l.found.doc, l.found.asOf, l.found.at, l.found.unvouched = doc, asOf, now, !vouched
	l.found.trace[schema.TierRedis] = schema.Step{Outcome: schema.Hit, TTL: time.Duration(e.ExpiresAt-now) * time.Microsecond}
	return true
}

// fromOrigin loads under a lease and fills Redis, or loads alone where no lease can be had.
func (l *load) fromOrigin(ctx context.Context) error {
	c := l.chain
	if c.origin.breaker.shut() { // a lease would only be given back, and keep others waiting until then
		l.found.trace[schema.TierOrigin].Outcome = schema.Failed
		return fmt.Errorf("load %d: %w: %w", l.id(), schema.ErrUnavailable, circuitbreaker.ErrOpen)
	}
	begun := time.Now()
	for pause := newPause(); !l.alone && l.lease == nil; {
		told := c.redis.standing.Load()
		got, err := c.redis.acquire(ctx, told.epoch, l.id(),
			max(l.need.version, l.need.seen), l.need.fresh+c.cfg.Freshness.ClockSkew.Microseconds())
		switch {
		case err != nil:
			c.metrics.leases["failed"].Inc()
			l.giveBack(ctx, got.lease)
			l.alone = true
			c.failed(err)
		case got.state == leaseGranted:
			c.metrics.leases["granted"].Inc()
			l.lease = got.lease
		case got.state == leaseNeedless && l.take(got.held, got.from, told):
			c.metrics.leases["needless"].Inc()
			return nil
		case c.cfg.Without.Coalescing:
			c.metrics.leases["busy"].Inc()
			l.alone = true
		default:
			c.metrics.leases["busy"].Inc()
			if err := pause.wait(ctx); err != nil {
				return errors.Join(schema.ErrUnavailable, err)
			}
			l.alone = time.Since(begun) > c.cfg.LeaseWait
		}
	}
	return l.once(ctx)
}

// once makes the load. A change that comes meanwhile has ended the lease: then what was loaded is true as of its own time,
// and the stamp keeps it from living on in the local tier.
func (l *load) once(ctx context.Context) error {
	c := l.chain
	step := &l.found.trace[schema.TierOrigin]
	got, err := c.origin.document(ctx, l.id())
	if err != nil {
		step.Outcome = schema.Failed
		l.giveBack(ctx, l.lease)
		return err
	}
	step.Outcome = schema.Hit
	l.found.doc, l.found.asOf, l.found.at = got.doc, got.at, time.Now().UnixMicro()
	if l.lease != nil {
		l.fill(ctx, got)
	}
	return nil
}

// fill gives Redis what was loaded. The document is good whether or not it could be stored.
func (l *load) fill(ctx context.Context, got loaded) {
	c := l.chain
	stored, err := c.redis.fill(ctx, l.lease, got.doc, got.at)
	switch {
	case err != nil:
		c.metrics.fills["failed"].Inc()
		c.failed(err)
		l.giveBack(ctx, l.lease)
	case stored:
		c.metrics.fills["stored"].Inc()
		l.found.trace[schema.TierRedis].Stored = true
	default:
		c.metrics.fills["refused"].Inc()
	}
}

// giveBack releases a lease, if there is one. Nobody waits for that: Redis may be what failed.
func (l *load) giveBack(ctx context.Context, held *lease) {
	if held != nil {
		l.chain.docs.wg.Go(func() { l.chain.redis.release(context.WithoutCancel(ctx), held) })
	}
}

// failed reports that Redis could not do what a read asked of it; the read goes on without.
func (c *Chain) failed(err error) {
	if n, ok := c.failing.Now(); ok {
		c.cfg.Logger.Warn("redis", "error", err, "failures", n)
	}
}

// pause waits a little longer each time, with jitter, so that those who wait for one thing do not come back together.
type pause struct{ next time.Duration }

func newPause() pause { return pause{next: time.Millisecond} }

func (p *pause) wait(ctx context.Context) error {
	t := time.NewTimer(p.next/2 + rand.N(p.next))
	defer t.Stop()
	p.next = min(2*p.next, 50*time.Millisecond)
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
