package arm

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto"
	"github.com/dtm-labs/rockscache"
	gocache "github.com/eko/gocache/lib/v4/cache"
	"github.com/eko/gocache/lib/v4/store"
	redisstore "github.com/eko/gocache/store/redis/v4"
	ristrettostore "github.com/eko/gocache/store/ristretto/v4"
	jetcache "github.com/mgtv-tech/jetcache-go"
	"github.com/mgtv-tech/jetcache-go/local"
	"github.com/mgtv-tech/jetcache-go/remote"
	"github.com/mgtv-tech/jetcache-go/stats"

	"vidmeta/schema"
)

// fromRockscache is Fetch2 of dtm-labs/rockscache with its default options, one aside: documents that do not exist are
// remembered for as long as others. What it does by itself:
//   - It takes Options.Delay, 10 s, off what it is told to keep a value for, so that is added; and then up to a tenth of
//     all, at random. It counts in whole seconds, rounded down, and a rest of 0 s is a value that is not kept.
//   - It loads under a lock in Redis. Other processes that miss meanwhile look again every 100 ms.
//   - An empty string is a document that does not exist; there is no place for its version.
func fromRockscache(p *parts) (lookup, error) {
	if p.RedisTTL < leastRockTTL {
		return nil, fmt.Errorf("RedisTTL: rockscache needs %v; for %v it does not keep all values", leastRockTTL, p.RedisTTL)
	}
	load, err := p.origin()
	if err != nil {
		return nil, err
	}
	options := rockscache.NewDefaultOptions()
	options.EmptyExpire = p.RedisTTL
	client := rockscache.NewClient(p.client(), options)
	return func(ctx context.Context, id schema.ID) (schema.Document, error) {
		var loaded atomic.Bool
		s, err := client.Fetch2(ctx, p.key(id), p.RedisTTL+options.Delay, func() (string, error) {
			loaded.Store(true)
			d, err := load(ctx, id)
			if err != nil || !d.Exists() {
				return "", err
			}
			return string(value(d)), nil
		})
		if err != nil {
			return schema.Document{}, err
		}
		if !loaded.Load() { // it does not tell whose load a read has joined
			p.tally.redis.Add(1)
		}
		if s == "" {
			return schema.Document{ID: id}, nil
		}
		return document(id, []byte(s))
	}, nil
}

// fromJetcache is Once of mgtv-tech/jetcache-go with FreeCache and Redis, as its README has it, without refreshing. It is
// given bytes, which it keeps as they are. What it does by itself:
//   - FreeCache counts in whole seconds of the clock: what is kept for 2 s is gone after something between 1 and 2 s. Up
//     to a tenth is added at random, which the rounding takes away again below 10 s.
//   - FreeCache refuses values larger than 1/1024 of its memory.
//   - Where a document does not exist, it keeps a star in its place, without a version.
func fromJetcache(p *parts) (lookup, error) {
	load, err := p.origin()
	if err != nil {
		return nil, err
	}
	cache := jetcache.New(
		jetcache.WithName("videos"),
		jetcache.WithRemote(remote.NewGoRedisV9Adapter(p.client())),
		jetcache.WithLocal(local.NewFreeCache(local.Size(p.LocalBytes), p.TTL)),
		jetcache.WithErrNotFound(errMissing),
		jetcache.WithRemoteExpiry(p.RedisTTL),
		jetcache.WithNotFoundExpiry(p.RedisTTL),
		jetcache.WithStatsHandler(stats.NewHandles(false, jetcacheStats{p.tally})),
	)
	p.later(func() error { cache.Close(); return nil })
	return func(ctx context.Context, id schema.ID) (schema.Document, error) {
		var b []byte
		err := cache.Once(ctx, p.key(id), jetcache.Value(&b), jetcache.Do(func(ctx context.Context) (any, error) {
			d, err := load(ctx, id)
			if err == nil && !d.Exists() {
				err = errMissing
			}
			return value(d), err
		}))
		if errors.Is(err, errMissing) {
			return schema.Document{ID: id}, nil
		}
		if err != nil {
			return schema.Document{}, err
		}
		return document(id, b)
	}, nil
}

// jetcacheStats takes from the library's statistics which tier has answered. Of reads that were one in Redis it counts one.
type jetcacheStats struct{ tally *tally }

func (s jetcacheStats) IncrLocalHit()       { s.tally.local.Add(1) }
func (s jetcacheStats) IncrRemoteHit()      { s.tally.redis.Add(1) }
func (s jetcacheStats) IncrHit()            {}
func (s jetcacheStats) IncrMiss()           {}
func (s jetcacheStats) IncrLocalMiss()      {}
func (s jetcacheStats) IncrRemoteMiss()     {}
func (s jetcacheStats) IncrQuery()          {}
func (s jetcacheStats) IncrQueryFail(error) {}

// fromGocache is the loadable cache of eko/gocache around a chain of Ristretto and Redis, as its README has it. Redis gives
// strings back, so the chain is one of strings. What it does by itself:
//   - What Redis had is put into Ristretto for as long as Redis will keep it, whatever the store of Ristretto says: the TTL
//     in the process holds for documents out of MySQL only.
//   - The store takes the Ristretto of before version 2.
//   - A load that ends with an error is not remembered, so a document that does not exist is asked of MySQL each time.
func fromGocache(p *parts) (lookup, error) {
	load, err := p.origin()
	if err != nil {
		return nil, err
	}
	memory, err := ristretto.NewCache(&ristretto.Config{
		NumCounters: ristrettoCounters, MaxCost: p.LocalBytes, BufferItems: ristrettoBuffer,
		Cost: func(v any) int64 { return int64(len(v.(string))) },
	})
	if err != nil {
		return nil, err
	}
	p.later(func() error { memory.Close(); return nil })
	cache := gocache.NewLoadable(
		func(ctx context.Context, k any) (string, []store.Option, error) {
			id, err := p.idOf(k.(string))
			if err != nil {
				return "", nil, err
			}
			d, err := load(ctx, id)
			if err == nil && !d.Exists() {
				err = errMissing
			}
			return string(value(d)), nil, err
		},
		gocache.NewChain[string](
			gocache.New[string](countedStore{ristrettostore.NewRistretto(memory, store.WithExpiration(p.TTL)), &p.tally.local}),
			gocache.New[string](countedStore{redisstore.NewRedis(p.client(), store.WithExpiration(p.RedisTTL)), &p.tally.redis}),
		),
	)
	p.later(cache.Close)
	return func(ctx context.Context, id schema.ID) (schema.Document, error) {
		s, err := cache.Get(ctx, p.key(id))
		if errors.Is(err, errMissing) {
			return schema.Document{ID: id}, nil
		}
		if err != nil {
			return schema.Document{}, err
		}
		return document(id, []byte(s))
	}, nil
}

// countedStore counts the hits of a store.
type countedStore struct {
	store.StoreInterface
	hits *atomic.Int64
}

// GetWithTTL is what a chain asks with.
func (s countedStore) GetWithTTL(ctx context.Context, key any) (any, time.Duration, error) {
	v, ttl, err := s.StoreInterface.GetWithTTL(ctx, key)
	if err == nil {
		s.hits.Add(1)
	}
	return v, ttl, err
}
