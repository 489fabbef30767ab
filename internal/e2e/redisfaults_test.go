package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/internal/stack"
)

const (
	redisSecret = "of a test"
	feedKey     = "{vm:feed}"
)

// faultyRedis are the options of Redis nodes that fail over fast, and know a user for each node of ours.
func faultyRedis() []string {
	args := []string{"--cluster-node-timeout", "1000"}
	for n := range nodeCount {
		args = append(args, "--user", fmt.Sprintf("node-%d", n+1), "on", ">"+redisSecret, "~*", "&*", "+@all")
	}
	return args
}

// masterOf returns the Redis node that serves a key.
func (tr *trial) masterOf(key string) (master *stack.Process) {
	tr.Helper()
	tr.await(func() (err error) {
		master, err = tr.Redis.MasterOf(tr.Context(), key)
		return err
	})
	return master
}

// elsewhere returns a key that is not where the feed is.
func (tr *trial) elsewhere() string {
	tr.Helper()
	feed := tr.masterOf(feedKey)
	for id := 1; ; id++ {
		key := fmt.Sprintf("{video:%d}", id)
		if tr.masterOf(key) != feed {
			return key
		}
	}
}

// shardOf returns the master that serves a key and its replica.
func (tr *trial) shardOf(key string) []*stack.Process {
	tr.Helper()
	return []*stack.Process{tr.masterOf(key), tr.replicaOf(key)}
}

// replicaOf returns the node that copies the master of a key.
func (tr *trial) replicaOf(key string) (replica *stack.Process) {
	tr.Helper()
	master := tr.masterOf(key)
	tr.onRedis(tr.Redis.Nodes(), func(ctx context.Context, c *redis.Client) error {
		info, err := c.Info(ctx, "replication").Result()
		if field(info, "role") == "slave" && strings.HasSuffix(master.Addr(), ":"+field(info, "master_port")) {
			n := slices.IndexFunc(tr.Redis.Nodes(), func(p *stack.Process) bool { return p.Addr() == c.Options().Addr })
			replica = tr.Redis.Nodes()[n]
		}
		return err
	})
	if replica == nil {
		tr.Fatalf("%s has no replica", master.Name())
	}
	return replica
}

// onRedis does something on Redis nodes, one after another.
func (tr *trial) onRedis(nodes []*stack.Process, do func(context.Context, *redis.Client) error) {
	tr.Helper()
	for _, p := range nodes {
		c := redisClient(p.Addr())
		err := do(tr.Context(), c)
		c.Close()
		if err != nil {
			tr.Fatalf("%s: %v", p.Name(), err)
		}
	}
}

// allow changes what one node of ours may do in Redis.
func (tr *trial) allow(node int, rule string) {
	tr.Helper()
	tr.onRedis(tr.Redis.Nodes(), func(ctx context.Context, c *redis.Client) error {
		return c.Do(ctx, "ACL", "SETUSER", fmt.Sprintf("node-%d", node+1), rule).Err()
	})
}

// failedOver has the master of a key fail, and waits until its replica is the master.
func (tr *trial) failedOver(key string, fail func(*stack.Process) error, mend func(...*stack.Process)) (undo func()) {
	tr.Helper()
	master := tr.masterOf(key)
	begun := time.Now()
	tr.must(fail(master))
	tr.await(func() error {
		now, err := tr.Redis.MasterOf(tr.Context(), key)
		if err == nil && now == master {
			err = fmt.Errorf("%s is still the master", master.Name())
		}
		return err
	})
	tr.Logf("failed over after %v", time.Since(begun).Round(time.Millisecond))
	pass(calmTime)
	return func() { mend(master) }
}

// promoted has the replica of a key made its master.
func (tr *trial) promoted(key, how string) (undo func()) {
	tr.Helper()
	tr.promote(tr.replicaOf(key), key, how)
	return func() {}
}

// promote has a replica made the master of a key, and waits until it is.
func (tr *trial) promote(replica *stack.Process, key, how string) {
	tr.Helper()
	args := []any{"CLUSTER", "FAILOVER"}
	if how != "" {
		args = append(args, how)
	}
	tr.onRedis([]*stack.Process{replica}, func(ctx context.Context, c *redis.Client) error { return c.Do(ctx, args...).Err() })
	tr.await(func() error {
		if now := tr.masterOf(key); now != replica {
			return fmt.Errorf("%s is the master, not %s", now.Name(), replica.Name())
		}
		return nil
	})
}

// lag keeps the replica of a key from what its master is told during a while, so that it lacks that when it is promoted.
func (tr *trial) lag(key string) (undo func()) {
	tr.Helper()
	master, replica := tr.masterOf(key), tr.replicaOf(key)
	auth := func(user, password string) {
		tr.onRedis([]*stack.Process{replica}, func(ctx context.Context, c *redis.Client) error {
			return errors.Join(c.ConfigSet(ctx, "masteruser", user).Err(), c.ConfigSet(ctx, "masterauth", password).Err())
		})
	}
	auth("nobody", "nothing")
	tr.onRedis([]*stack.Process{master}, func(ctx context.Context, c *redis.Client) error {
		return c.Do(ctx, "CLIENT", "KILL", "TYPE", "replica").Err()
	})
	pass(700 * time.Millisecond)
	return func() { auth("", "") }
}

// oldDump has the master of a key write down what it holds, and restarts it later with that.
func (tr *trial) oldDump(key string) (undo func()) {
	tr.Helper()
	master := tr.masterOf(key)
	tr.onRedis([]*stack.Process{master}, func(ctx context.Context, c *redis.Client) error { return c.Save(ctx).Err() })
	pass(time.Second)
	back := tr.killed(master)
	return func() {
		back()
		tr.must(os.Remove(filepath.Join(tr.Dir(), master.Name(), "dump.rdb"))) // so that it is not found another time
	}
}
