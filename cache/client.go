package cache

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// ClientConfig says where Redis is and how long to wait for it.
type ClientConfig struct {
	// Addrs are seed addresses, host:port. A single one may also be a server without cluster support. Required.
	Addrs              []string
	Username, Password string
	// Timeout bounds one round trip. 0 means 500 ms.
	Timeout time.Duration
	// PoolSize is the number of connections per node. 0 means 16.
	PoolSize int
}

// NewClient returns a client for a cluster, or for one server as if it were a cluster of one. It dials nothing yet.
// Close it when done.
func NewClient(cfg ClientConfig) (*redis.ClusterClient, error) {
	if len(cfg.Addrs) == 0 {
		return nil, errors.New("redis: no address given")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 500 * time.Millisecond
	}
	if cfg.PoolSize == 0 {
		cfg.PoolSize = 16
	}
	opts := &redis.ClusterOptions{
		Addrs:    cfg.Addrs,
		Username: cfg.Username,
		Password: cfg.Password,
		// The library learns of a failover from a redirection, which a dead master cannot send, or from this reload.
		// Its default of a minute was measured to blind the client for 58.7 s, one second for 3.7 s.
		ClusterStateReloadInterval: time.Second,
		ContextTimeoutEnabled:      true, // by default a deadline does not interrupt a read
		DialTimeout:                300 * time.Millisecond,
		DialerRetries:              1,
		ReadTimeout:                cfg.Timeout,
		WriteTimeout:               cfg.Timeout,
		PoolTimeout:                cfg.Timeout,
		PoolSize:                   cfg.PoolSize,
		MaxRedirects:               3,
		MinRetryBackoff:            2 * time.Millisecond,
		MaxRetryBackoff:            20 * time.Millisecond,
		DisableRoutingPolicies:     true, // all our commands name their key; the policies cost a lock per command
		DisableIdentity:            true,
		MaintNotificationsConfig:   &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if len(cfg.Addrs) == 1 {
		opts.ClusterSlots = newTopology(opts).slots
	}
	return redis.NewClusterClient(opts), nil
}

// topology asks for the slot map where there is only one seed, and answers for a server without cluster support as if
// it were a cluster of one.
type topology struct {
	opts redis.Options

	mu    sync.Mutex
	known []string // addresses that have been masters or replicas, the seed first
}

func newTopology(o *redis.ClusterOptions) *topology {
	return &topology{
		known: o.Addrs[:1:1],
		opts: redis.Options{
			Username: o.Username, Password: o.Password,
			ContextTimeoutEnabled: true,
			DialTimeout:           o.DialTimeout, DialerRetries: 1,
			ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
			MaxRetries: -1, PoolSize: 1,
			DisableIdentity:          true,
			MaintNotificationsConfig: o.MaintNotificationsConfig,
		},
	}
}

func (t *topology) slots(ctx context.Context) ([]redis.ClusterSlot, error) {
	t.mu.Lock()
	known := t.known
	t.mu.Unlock()
	var firstErr error
	for _, addr := range known {
		slots, err := t.ask(ctx, addr)
		if err == nil {
			t.remember(known[0], slots)
			return slots, nil
		}
		if firstErr == nil {
			firstErr = err
		}
	}
	return nil, firstErr
}

func (t *topology) ask(ctx context.Context, addr string) ([]redis.ClusterSlot, error) {
	opts := t.opts
	opts.Addr = addr
	c := redis.NewClient(&opts)
	defer c.Close()
	//lint:ignore SA1019 what ClusterOptions.ClusterSlots wants, and Redis before 7.0 knows
	slots, err := c.ClusterSlots(ctx).Result()
	if isAlone(err) {
		return []redis.ClusterSlot{{Start: 0, End: slotCount - 1, Nodes: []redis.ClusterNode{{Addr: addr}}}}, nil
	}
	return slots, err
}

// isAlone reports whether a server has answered that it is none of a cluster.
func isAlone(err error) bool {
	return err != nil && strings.Contains(err.Error(), "cluster support disabled")
}

func (t *topology) remember(seed string, slots []redis.ClusterSlot) {
	known, seen := []string{seed}, map[string]bool{seed: true}
	for _, s := range slots {
		for _, n := range s.Nodes {
			if !seen[n.Addr] {
				seen[n.Addr] = true
				known = append(known, n.Addr)
			}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = known
}
