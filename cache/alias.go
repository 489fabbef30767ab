package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/redis/go-redis/v9"

	"vidmeta/schema"
)

const (
	aliasShare = 16 // of the local tier's budget, one part in so many is for aliases
	aliasCost  = 200
)

// aliases maps public ids to ids. An entry needs no invalidation, since it proves itself: the document it leads to must
// carry the public id. Only that there is no such document cannot be proved, so that is as old as its own load.
type aliases struct {
	cache  *ristretto.Cache[string, aliasEntry]
	flight flight[aliasKey, aliasFound]
}

type aliasKey struct {
	publicID              string
	fromOrigin            bool
	noCache, onlyIfCached bool   // as in flightKey
	alone                 uint64 // as in flightKey
}

type aliasEntry struct {
	id schema.ID // 0: there was no such document
	at int64
}

// aliasFound is an entry and what the tiers said when asked for it.
type aliasFound struct {
	aliasEntry
	trace schema.Trace
	stale bool // older than asked for, and the best that could be had
}

func newAliases(maxBytes int64) (*aliases, error) {
	c, err := ristretto.NewCache(&ristretto.Config[string, aliasEntry]{
		NumCounters: max(10*maxBytes/aliasCost, 1<<10), MaxCost: maxBytes, BufferItems: 64, IgnoreInternalCost: true,
		ShouldUpdate: func(cur, prev aliasEntry) bool { return cur.at >= prev.at },
	})
	if err != nil {
		return nil, fmt.Errorf("local tier of aliases: %w", err)
	}
	return &aliases{cache: c}, nil
}

func (a *aliases) close() {
	a.flight.wg.Wait()
	a.cache.Close()
}

// GetByPublicID returns the document that carries publicID. It is as Get in all else.
func (c *Chain) GetByPublicID(ctx context.Context, publicID string, o schema.ReadOptions) (schema.Answer, error) {
	n := c.cfg.Freshness.need(&o)
	fromOrigin := false
	var asked schema.Trace
	for range 3 {
		e, err := c.resolve(ctx, publicID, &n, fromOrigin)
		if err != nil {
			return schema.Answer{Trace: e.trace}, err
		}
		if !e.stale && !e.usable(&n) {
			return schema.Answer{Trace: e.trace}, fmt.Errorf("public id %s: %w", publicID, schema.ErrNotYetVisible)
		}
		if e.id == 0 {
			return schema.Answer{AsOf: time.UnixMicro(e.at), Stale: e.stale, Trace: e.trace}, nil
		}
		a, err := c.Get(ctx, e.id, o)
		if err != nil || schema.HasPublicID(a.Body, publicID) {
			return a, err
		}
		// The document has another public id, or is gone: the alias is outdated, or the document is older than it. Both
		// are asked of the origin, and if they disagree again somebody changed them in between.
		fromOrigin, o.NoCache, asked = true, true, a.Trace
	}
	return schema.Answer{Trace: asked}, fmt.Errorf("public id %s: %w", publicID, schema.ErrNotYetVisible)
}

// resolve returns what publicID stands for, from the first tier that knows. Where that fails, that there was no such
// document is said again within the bound for errors, as of when it was found.
func (c *Chain) resolve(ctx context.Context, publicID string, n *need, fromOrigin bool) (aliasFound, error) {
	local := schema.Step{Outcome: schema.Bypassed}
	var spare aliasEntry // turned down, so there was no document
	if c.cfg.Without.Local {
		local.Outcome = schema.NotAsked
	} else if !fromOrigin {
		e, ok := c.aliases.cache.Get(publicID)
		if ok && e.usable(n) {
			return aliasFound{aliasEntry: e, trace: schema.Trace{schema.TierLocal: {Outcome: schema.Hit}}}, nil
		}
		spare = e
		switch {
		case !ok:
			local.Outcome = schema.Miss
		case !n.noCache:
			local.Outcome = schema.Stale
		}
	}
	call, joined := c.joinAlias(ctx, publicID, n, fromOrigin, 0)
	f, err := call.wait(ctx)
	if err == nil && !f.usable(n) && joined { // another's may also have begun before this read
		call, joined = c.joinAlias(ctx, publicID, n, true, c.alone.Add(1))
		f, err = call.wait(ctx)
	}
	for t := range f.trace {
		f.trace[t].Collapsed = joined && f.trace[t].Outcome != schema.NotAsked
	}
	f.trace[schema.TierLocal] = local
	if err != nil && f.at < spare.at { // what f has then was turned down as well
		f.aliasEntry = spare
	}
	if err != nil && n.judge(0, f.at) != useless && !errors.Is(err, context.Canceled) && !errors.Is(err, schema.ErrNotCached) {
		c.metrics.stale.Inc()
		f.stale, err = true, nil
	}
	return f, err
}

// usable reports whether the entry may be acted on. That there is no document proves nothing about one of a version that
// is known to exist.
func (e aliasEntry) usable(n *need) bool { return e.id != 0 || (e.at >= n.fresh && n.version == 0) }

func (c *Chain) joinAlias(
	ctx context.Context, publicID string, n *need, fromOrigin bool, alone uint64,
) (*call[aliasKey, aliasFound], bool) {
	key := aliasKey{publicID: publicID, fromOrigin: fromOrigin, alone: alone}
	key.noCache, key.onlyIfCached = n.noCache, n.onlyIfCached
	if c.cfg.Without.Coalescing {
		key.alone = c.alone.Add(1)
	}
	call, joined := c.aliases.flight.join(key)
	if !joined {
		ctx, n := context.WithoutCancel(ctx), *n
		go func() {
			ctx, cancel := context.WithTimeout(ctx, c.cfg.LoadTimeout)
			defer cancel()
			f, err := guard(ctx, func(ctx context.Context) (aliasFound, error) { return c.loadAlias(ctx, publicID, n, fromOrigin) })
			call.settle(f, err)
			if err == nil && !c.cfg.Without.Local {
				c.aliases.cache.Set(publicID, f.aliasEntry, aliasCost)
				c.aliases.cache.Wait()
			}
			call.forget()
		}()
	}
	return call, joined
}

func (c *Chain) loadAlias(ctx context.Context, publicID string, n need, fromOrigin bool) (f aliasFound, err error) {
	shared, origin := &f.trace[schema.TierRedis].Outcome, &f.trace[schema.TierOrigin].Outcome
	*shared = schema.Bypassed
	if !fromOrigin {
		var e aliasEntry
		if e, *shared = c.redis.alias(ctx, publicID); *shared == schema.Hit {
			e.at -= c.cfg.Freshness.ClockSkew.Microseconds() // another node's clock
			if e.usable(&n) {
				f.aliasEntry = e
				return f, nil
			}
			f.aliasEntry, *shared = e, schema.Stale
		}
	}
	if n.onlyIfCached {
		return f, schema.ErrNotCached
	}
	got, err := c.origin.aliases.do(ctx, publicID)
	if err != nil {
		*origin = schema.Failed
		return f, err
	}
	*origin = schema.Hit
	f.aliasEntry = aliasEntry(got)
	ttl := c.redis.jittered(c.redis.cfg.TTL)
	if f.id == 0 {
		ttl = c.cfg.Freshness.MaxAge
	}
	if *shared != schema.Failed {
		c.redis.setAlias(ctx, publicID, f.aliasEntry, ttl)
	}
	return f, nil
}

// alias reads an alias; a failure of Redis is as good as a miss, since the origin is asked next under its own limit.
func (r *Redis) alias(ctx context.Context, publicID string) (aliasEntry, schema.Outcome) {
	rep := r.do(ctx, getOp(r.aliasKey(publicID)))
	switch {
	case errors.Is(rep.err, redis.Nil):
		return aliasEntry{}, schema.Miss
	case rep.err != nil:
		return aliasEntry{}, schema.Failed
	}
	id, at, _ := strings.Cut(string(rep.text), " ")
	n, err1 := strconv.ParseUint(id, 10, 64)
	t, err2 := strconv.ParseInt(at, 10, 64)
	if errors.Join(err1, err2) != nil {
		return aliasEntry{}, schema.Miss
	}
	return aliasEntry{id: schema.ID(n), at: t}, schema.Hit
}

// setAlias stores an alias. It may fail: then the next reader asks the origin again.
func (r *Redis) setAlias(ctx context.Context, publicID string, e aliasEntry, ttl time.Duration) {
	key := r.aliasKey(publicID)
	value := strconv.FormatUint(uint64(e.id), 10) + " " + strconv.FormatInt(e.at, 10)
	_ = r.do(ctx, &op{keys: []string{key}, args: []any{"set", key, value, "px", ttl.Milliseconds()}})
}
