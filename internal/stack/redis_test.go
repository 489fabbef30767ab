package stack_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

func TestSharedRedis(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]redis.UniversalClient{
		"cluster": redis.NewClusterClient(&redis.ClusterOptions{Addrs: stacktest.Redis(t)}),
		"single":  redis.NewClient(&redis.Options{Addr: stacktest.SingleRedis(t)}),
	} {
		t.Run(name, func(t *testing.T) {
			defer client.Close()
			for i := range 100 {
				key := fmt.Sprintf("%s:%d", t.Name(), i)
				if err := client.Set(t.Context(), key, i, time.Minute).Err(); err != nil {
					t.Fatal(err)
				}
				if got, err := client.Get(t.Context(), key).Int(); err != nil || got != i {
					t.Fatalf("%s = %d, %v", key, got, err)
				}
			}
		})
	}
}

func TestFailover(t *testing.T) {
	t.Parallel()
	const key, value = "a key", "a value"
	r := stacktest.Start(t, stack.Config{RedisNodes: 6, RedisArgs: []string{"--cluster-node-timeout", "1000"}}).Redis
	ctx := ctxFor(t, time.Minute)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: r.Addrs()})
	defer client.Close()
	old, err := r.MasterOf(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	master := redis.NewClient(&redis.Options{Addr: old.Addr(), PoolSize: 1})
	defer master.Close()
	if c, err := master.ConfigGet(ctx, "cluster-node-timeout").Result(); err != nil || c["cluster-node-timeout"] != "1000" {
		t.Errorf("%v, %v: the stack's own timeout has won", c, err)
	}
	if err := master.Set(ctx, key, value, 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := master.Wait(ctx, 1, 10*time.Second).Result(); err != nil || n < 1 {
		t.Fatalf("WAIT = %d, %v: no replica has it", n, err)
	}

	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	var promoted *stack.Process
	stacktest.WaitFor(t, 30*time.Second, func() (err error) {
		promoted, err = r.MasterOf(ctx, key)
		if err == nil && promoted == old {
			err = errors.New("the dead node is still the master")
		}
		return err
	})
	c := redis.NewClient(&redis.Options{Addr: promoted.Addr()})
	defer c.Close()
	stacktest.WaitFor(t, 10*time.Second, func() error {
		if got, err := c.Get(ctx, key).Result(); err != nil || got != value {
			return fmt.Errorf("%s has %q, %w", promoted.Name(), got, err)
		}
		return nil
	})

	// The old master comes back as a replica of the new one, and the cluster is whole again.
	if err := old.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.WaitHealthy(ctx); err != nil {
		t.Fatal(err)
	}
	if now, err := r.MasterOf(ctx, key); err != nil || now != promoted {
		t.Errorf("master = %v, %v; want %s", now, err, promoted.Name())
	}
}
