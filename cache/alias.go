package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dgraph-io/ristretto/v2"

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
	flight flight[aliasKey, aliasEntry]
}

type aliasKey struct {
	publicID   string
	fromOrigin bool
}

type aliasEntry struct {
	id schema.ID // 0: there was no such document
	at int64
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
	for range 3 {
		e, err := c.resolve(ctx, publicID, &n, fromOrigin)
		if err != nil {
			return schema.Answer{}, err
		}
		if !e.usable(&n) {
			return schema.Answer{}, fmt.Errorf("public id %s: %w", publicID, schema.ErrNotYetVisible)
		}
		if e.id == 0 {
			return schema.Answer{AsOf: time.UnixMicro(e.at)}, nil
		}
		a, err := c.Get(ctx, e.id, o)
		if err != nil || schema.HasPublicID(a.Body, publicID) {
			return a, err
		}
		// The document has another public id, or is gone: the alias is outdated, or the document is older than it. Both
		// are asked of the origin, and if they disagree again somebody changed them in between.
		fromOrigin, o.NoCache = true, true
	}
	return schema.Answer{}, fmt.Errorf("public id %s: %w", publicID, schema.ErrNotYetVisible)
}

// resolve returns what publicID stands for, from the first tier that knows.
func (c *Chain) resolve(ctx context.Context, publicID string, n *need, fromOrigin bool) (aliasEntry, error) {
	if !fromOrigin {
		if e, ok := c.aliases.cache.Get(publicID); ok && e.usable(n) {
			return e, nil
		}
	}
	call, joined := c.joinAlias(ctx, publicID, n, fromOrigin)
	e, err := call.wait(ctx)
	if err == nil && !e.usable(n) && joined {
		call, _ = c.joinAlias(ctx, publicID, n, true)
		e, err = call.wait(ctx)
	}
	return e, err
}

// usable reports whether the entry may be acted on. That there is no document proves nothing about one of a version that
// is known to exist.
func (e aliasEntry) usable(n *need) bool { return e.id != 0 || (e.at >= n.fresh && n.version == 0) }

func (c *Chain) joinAlias(ctx context.Context, publicID string, n *need, fromOrigin bool) (*call[aliasEntry], bool) {
	return c.aliases.flight.join(ctx, aliasKey{publicID, fromOrigin},
		func(ctx context.Context) (aliasEntry, error) {
			ctx, cancel := context.WithTimeout(ctx, c.cfg.LoadTimeout)
			defer cancel()
			return c.loadAlias(ctx, publicID, *n, fromOrigin)
		},
		func(e aliasEntry) {
			c.aliases.cache.Set(publicID, e, aliasCost)
			c.aliases.cache.Wait()
		})
}

func (c *Chain) loadAlias(ctx context.Context, publicID string, n need, fromOrigin bool) (aliasEntry, error) {
	if !fromOrigin {
		if e, ok := c.redis.alias(ctx, publicID); ok {
			e.at -= c.cfg.Freshness.ClockSkew.Microseconds() // another node's clock
			if e.usable(&n) {
				return e, nil
			}
		}
	}
	if n.onlyIfCached {
		return aliasEntry{}, schema.ErrNotCached
	}
	got, err := c.origin.aliases.do(ctx, publicID)
	if err != nil {
		return aliasEntry{}, err
	}
	e := aliasEntry(got)
	ttl := jittered(c.redis.cfg.TTL, c.redis.cfg.Jitter)
	if e.id == 0 {
		ttl = c.cfg.Freshness.MaxAge
	}
	c.redis.setAlias(ctx, publicID, e, ttl)
	return e, nil
}

// alias reads an alias; a failure of Redis is as good as a miss, since the origin is asked next under its own limit.
func (r *Redis) alias(ctx context.Context, publicID string) (aliasEntry, bool) {
	rep := r.do(ctx, getOp(r.aliasKey(publicID)))
	if rep.err != nil {
		return aliasEntry{}, false
	}
	id, at, _ := strings.Cut(string(rep.text), " ")
	n, err1 := strconv.ParseUint(id, 10, 64)
	t, err2 := strconv.ParseInt(at, 10, 64)
	return aliasEntry{id: schema.ID(n), at: t}, errors.Join(err1, err2) == nil
}

// setAlias stores an alias. It may fail: then the next reader asks the origin again.
func (r *Redis) setAlias(ctx context.Context, publicID string, e aliasEntry, ttl time.Duration) {
	key := r.aliasKey(publicID)
	value := strconv.FormatUint(uint64(e.id), 10) + " " + strconv.FormatInt(e.at, 10)
	_ = r.do(ctx, &op{keys: []string{key}, args: []any{"set", key, value, "px", ttl.Milliseconds()}})
}
