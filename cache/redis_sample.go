package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"vidmeta/schema"
)

// Sample returns the ids of up to n documents, picked at random out of those that the tier holds in its epoch. The same
// may come twice. Each master is asked for n keys in one round trip; those that are of no document count for nothing, so
// there may be fewer ids where the tier shares Redis with others. It may bring some although a master has failed.
func (r *Redis) Sample(ctx context.Context, n int) ([]schema.ID, error) {
	prefix := strings.TrimSuffix(r.key(r.standing.Load().epoch, 0), "0}")
	var mu sync.Mutex
	var ids []schema.ID
	err := r.cfg.Client.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		pipe := c.Pipeline()
		keys := make([]*redis.StringCmd, n)
		for i := range keys {
			keys[i] = pipe.RandomKey(ctx)
		}
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) { // which an empty server answers
			return fmt.Errorf("random keys of %s: %w", c.Options().Addr, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, key := range keys {
			rest, ours := strings.CutPrefix(key.Val(), prefix)
			number, document := strings.CutSuffix(rest, "}")
			if id, err := strconv.ParseUint(number, 10, 64); ours && document && err == nil {
				ids = append(ids, schema.ID(id))
			}
		}
		return nil
	})
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids[:min(len(ids), n)], err
}
