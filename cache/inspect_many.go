package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"vidmeta/schema"
)

// Digest returns 16 digits that are the same for the same body, and "" where there is none.
func Digest(body []byte) string {
	if body == nil {
		return ""
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}

// InspectLocal returns what the local tier holds of each id, in order. It asks nobody else.
func (c *Chain) InspectLocal(ids []schema.ID) []Held {
	all := make([]Held, len(ids))
	for i, id := range ids {
		all[i] = c.inspectLocal(id, c.redis.standing.Load())
	}
	return all
}

// InspectRedis returns what the redis tier holds of each id, in order, as this node would serve it. It stores nothing.
// It blocks for the round trips, all of which are under way at once.
func (c *Chain) InspectRedis(ctx context.Context, ids []schema.ID) []Held {
	all := make([]Held, len(ids))
	told := c.redis.standing.Load() // before the reads
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() { all[i] = c.inspectRedis(ctx, id, told) })
	}
	wg.Wait()
	return all
}

// SampleLocal returns the ids of up to n documents, picked at random out of those that the local tier would serve. It
// visits every entry of the tier, some 100 ns each.
func (c *Chain) SampleLocal(n int) []schema.ID { return c.local.sample(n) }
