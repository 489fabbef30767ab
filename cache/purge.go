package cache

import (
	"context"
	"fmt"

	"vidmeta/schema"
)

// Purge drops documents from Redis and from this node's local tier: when it returns nil, no later read on this node is
// answered with what was loaded before, whatever fails. Loads under way anywhere can no longer fill Redis. Other nodes
// keep what their local tiers hold and the feed vouches for. After an error some may have been dropped from Redis, none
// locally. It blocks for a round trip to Redis.
func (c *Chain) Purge(ctx context.Context, ids []schema.ID) error {
	epoch := c.redis.standing.Load().epoch
	pipe := c.redis.cfg.Client.Pipeline()
	for _, id := range ids {
		key := c.redis.key(epoch, id)
		pipe.Del(ctx, key, key+leaseSuffix)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("purge %d documents: %w", len(ids), err)
	}
	c.local.purge(ids) // now: before, a read would have found in Redis what is to go
	return nil
}
