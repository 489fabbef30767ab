package e2e

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// moving is how many documents' slots are moved in a reshard.
const moving = 20

// reshard moves slots of documents that are read and written from one master to another, key by key, and gives up a move
// halfway. Later all of them are moved back.
func (tr *trial) reshard() (undo func()) {
	tr.Helper()
	key := tr.elsewhere()
	from, to := tr.masterOf(key).Addr(), tr.masterOf(feedKey).Addr()
	var slots []int64
	tr.onMaster(from, func(ctx context.Context, c *redis.Client) error {
		for id := 1; id <= written; id++ {
			slot, err := c.ClusterKeySlot(ctx, fmt.Sprintf("{video:%d}", id)).Result()
			if err != nil {
				return err
			}
			if mine, err := owns(ctx, c, slot); err != nil {
				return err
			} else if mine && len(slots) < moving && !slices.Contains(slots, slot) {
				slots = append(slots, slot)
			}
		}
		return nil
	})
	if len(slots) == 0 {
		tr.Fatalf("%s has no slot of a document", from)
	}
	tr.move(from, to, slots[0], false)
	pass(calmTime) // what has been carried over is left behind, and grows old
	for _, slot := range slots {
		tr.move(from, to, slot, true)
	}
	pass(calmTime)
	return func() {
		for _, slot := range slots {
			tr.move(to, from, slot, true)
		}
	}
}

func (tr *trial) onMaster(addr string, do func(context.Context, *redis.Client) error) {
	tr.Helper()
	c := redisClient(addr)
	defer c.Close()
	if err := do(tr.Context(), c); err != nil {
		tr.Fatalf("%s: %v", addr, err)
	}
}

// owns reports whether a slot is the server's own.
func owns(ctx context.Context, c *redis.Client, slot int64) (bool, error) {
	id, err := c.Do(ctx, "CLUSTER", "MYID").Text()
	if err != nil {
		return false, err
	}
	shards, err := c.ClusterShards(ctx).Result()
	for _, s := range shards {
		in := slices.ContainsFunc(s.Slots, func(r redis.SlotRange) bool { return r.Start <= slot && slot <= r.End })
		if in && slices.ContainsFunc(s.Nodes, func(n redis.Node) bool { return n.ID == id }) {
			return true, nil
		}
	}
	return false, err
}

// move does what redis-cli --cluster reshard does to one slot: to its end, or for a part of the keys and then not at all.
func (tr *trial) move(from, to string, slot int64, whole bool) {
	tr.Helper()
	tr.onMaster(from, func(ctx context.Context, source *redis.Client) error {
		target := redisClient(to)
		defer target.Close()
		host, port, err := net.SplitHostPort(to)
		if err != nil {
			return err
		}
		var ids [2]string
		for i, c := range []*redis.Client{source, target} {
			if ids[i], err = c.Do(ctx, "CLUSTER", "MYID").Text(); err != nil {
				return err
			}
		}
		if err := target.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0]).Err(); err != nil {
			return err
		}
		if err := source.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1]).Err(); err != nil {
			return err
		}
		for end := time.Now().Add(10 * time.Second); ; { // keys may be written while others are carried over
			keys, err := source.Do(ctx, "CLUSTER", "GETKEYSINSLOT", slot, 100).StringSlice()
			if err != nil {
				return err
			}
			for _, k := range keys {
				if err := source.Do(ctx, "MIGRATE", host, port, k, 0, 5000, "REPLACE").Err(); err != nil {
					return err
				}
			}
			if len(keys) > 0 && whole && time.Now().Before(end) {
				continue
			}
			break
		}
		last := []any{"CLUSTER", "SETSLOT", slot, "STABLE"}
		if whole {
			last = []any{"CLUSTER", "SETSLOT", slot, "NODE", ids[1]}
		}
		if err := target.Do(ctx, last...).Err(); err != nil {
			return err
		}
		return source.Do(ctx, last...).Err()
	})
}
