package arm

import (
	"context"
	"errors"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/redis/go-redis/v9"

	"vidmeta/schema"
)

// fromMySQL asks MySQL each time.
func fromMySQL(p *parts) (lookup, error) { return p.origin() }

// fromRedis is cache-aside: GET, and after a miss a load and SET with an expiry.
func fromRedis(p *parts) (lookup, error) {
	load, err := p.origin()
	if err != nil {
		return nil, err
	}
	client := p.client()
	return func(ctx context.Context, id schema.ID) (schema.Document, error) {
		b, err := client.Get(ctx, p.key(id)).Bytes()
		if err == nil {
			p.tally.redis.Add(1)
			return document(id, b)
		}
		if !errors.Is(err, redis.Nil) {
			return schema.Document{}, err
		}
		d, err := load(ctx, id)
		if err != nil {
			return d, err
		}
		return d, client.Set(ctx, p.key(id), value(d), p.RedisTTL).Err()
	}, nil
}

// Ristretto's README sets these.
const (
	ristrettoCounters = 1e7
	ristrettoBuffer   = 64
)

// fromLocal is cache-aside with Ristretto, set up as its README has it, with bytes as the cost.
func fromLocal(p *parts) (lookup, error) {
	load, err := p.origin()
	if err != nil {
		return nil, err
	}
	cache, err := ristretto.NewCache(&ristretto.Config[uint64, schema.Document]{
		NumCounters: ristrettoCounters, MaxCost: p.LocalBytes, BufferItems: ristrettoBuffer,
	})
	if err != nil {
		return nil, err
	}
	p.later(func() error { cache.Close(); return nil })
	return func(ctx context.Context, id schema.ID) (schema.Document, error) {
		if d, ok := cache.Get(uint64(id)); ok {
			p.tally.local.Add(1)
			return d, nil
		}
		d, err := load(ctx, id)
		if err == nil {
			cache.SetWithTTL(uint64(id), d, int64(len(d.Body)), p.TTL)
		}
		return d, err
	}, nil
}
