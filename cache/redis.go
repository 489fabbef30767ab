package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/redis/go-redis/v9"

	"vidmeta/schema"
)

// RedisConfig says how the redis tier keeps what it holds.
type RedisConfig struct {
	// Client is used and not closed. Required.
	Client *redis.ClusterClient
	// Namespace begins every key, so that several deployments can share a cluster. Empty means "vm".
	Namespace string
	// TTL is how long a document is kept after it was stored, give or take Jitter, a share of it.
	// 0 means 1 h and 0.1.
	TTL    time.Duration
	Jitter float64
	// AbsentTTL is the same for the knowledge that there is no document. 0 means 1 min.
	AbsentTTL time.Duration
	// LeaseTTL bounds the time that one loader has; it must be longer than a load takes. 0 means 3 s.
	LeaseTTL time.Duration
	// Timeout bounds one round trip. 0 means 500 ms.
	Timeout time.Duration
}

func (c *RedisConfig) validate() error {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.TTL, time.Hour)
	set(&c.AbsentTTL, time.Minute)
	set(&c.LeaseTTL, 3*time.Second)
	set(&c.Timeout, 500*time.Millisecond)
	if c.Jitter == 0 {
		c.Jitter = 0.1
	}
	if c.Namespace == "" {
		c.Namespace = "vm"
	}
	switch {
	case c.Client == nil:
		return errors.New("redis tier: no client")
	case c.TTL < time.Second || c.AbsentTTL < time.Millisecond || c.LeaseTTL < time.Millisecond:
		return errors.New("redis tier: a TTL is too short")
	case c.Jitter < 0 || c.Jitter >= 1:
		return fmt.Errorf("redis tier: Jitter is %g, it must lie in [0, 1)", c.Jitter)
	}
	return nil
}

// Redis is the tier that all nodes share. Its values are replaced by scripts that compare versions, so nothing older
// ever replaces something newer, whoever comes late.
type Redis struct {
	cfg      RedisConfig
	standing atomic.Pointer[standing]

	mu    sync.Mutex
	nodes map[string]*redisNode // by address; as many as the cluster has had masters
}

// standing is what vouches for the tier's values. The two belong together: a watermark says nothing of another epoch.
type standing struct {
	epoch     string // "" if none has been heard of
	watermark int64  // every commit before it is reflected, in this epoch
}

type redisNode struct {
	batcher[*op, reply]
	breaker circuitbreaker.CircuitBreaker[any]
}

// NewRedis returns the tier. It dials nothing.
func NewRedis(cfg RedisConfig) (*Redis, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	r := &Redis{cfg: cfg, nodes: make(map[string]*redisNode)}
	r.standing.Store(&standing{})
	return r, nil
}

// SetEpoch changes the prefix of all keys: what was stored under another is as good as gone. There is no watermark then,
// until one of that epoch is heard of.
func (r *Redis) SetEpoch(epoch string) { r.standing.Store(&standing{epoch: epoch}) }

// key returns the key of a document.
func (r *Redis) key(epoch string, id schema.ID) string {
	b := make([]byte, 0, 48)
	b = append(b, r.cfg.Namespace...)
	b = append(b, ':')
	b = append(b, epoch...)
	b = append(b, ":{video:"...)
	b = strconv.AppendUint(b, uint64(id), 10)
	return string(append(b, '}'))
}

func (r *Redis) aliasKey(publicID string) string {
	return r.cfg.Namespace + ":" + r.standing.Load().epoch + ":{alias:" + publicID + "}"
}

// get returns what is stored for id in an epoch, ok false if nothing is.
func (r *Redis) get(ctx context.Context, epoch string, id schema.ID) (e Envelope, ok bool, err error) {
	text, err := r.do(ctx, getOp(r.key(epoch, id)))
	switch {
	case errors.Is(err, redis.Nil):
		return Envelope{}, false, nil
	case err != nil:
		return Envelope{}, false, fmt.Errorf("redis get %d: %w", id, err)
	}
	if e, err = ParseEnvelope(text); err != nil {
		return Envelope{}, false, nil // of another format: to be replaced
	}
	return e, true, nil
}

// ttlOf returns how long to keep a document, with jitter.
func (r *Redis) ttlOf(d schema.Document) time.Duration {
	if d.Exists() {
		return jittered(r.cfg.TTL, r.cfg.Jitter)
	}
	return jittered(r.cfg.AbsentTTL, r.cfg.Jitter)
}

// do sends o together with whatever else wants to go to the same node.
func (r *Redis) do(ctx context.Context, o *op) ([]byte, error) {
	n, err := r.node(ctx, o.keys[0])
	if err != nil {
		return nil, err
	}
	rep, err := n.do(ctx, o)
	if err != nil {
		return nil, err
	}
	return rep.text, rep.err
}

// node returns the batcher of the master that owns key. It only decides who travels together: if the map is out of date
// the client follows the redirections.
func (r *Redis) node(ctx context.Context, key string) (*redisNode, error) {
	c, err := r.cfg.Client.MasterForKey(ctx, key)
	if err != nil {
		return nil, err
	}
	addr := c.Options().Addr
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.nodes[addr]
	if n == nil {
		n = &redisNode{breaker: circuitbreaker.NewBuilder[any]().
			WithFailureRateThreshold(0.5, 10, 5*time.Second).
			WithDelay(time.Second).WithJitter(200 * time.Millisecond).Build()}
		// Two round trips at once: one may be slow without the other. The queue is more than any node can answer
		// within the timeout.
		n.batcher = batcher[*op, reply]{send: n.sender(r.cfg.Client), width: 2, size: 256, queue: 1 << 14, timeout: r.cfg.Timeout}
		r.nodes[addr] = n
	}
	return n, nil
}

func (n *redisNode) sender(c *redis.ClusterClient) func(context.Context, []*op) ([]reply, error) {
	return func(ctx context.Context, ops []*op) ([]reply, error) {
		if !n.breaker.TryAcquirePermit() {
			return nil, circuitbreaker.ErrOpen
		}
		replies := pipeline(ctx, c, ops)
		if err := nodeFailure(replies); err != nil {
			n.breaker.RecordFailure()
			c.ReloadState(ctx)
		} else {
			n.breaker.RecordSuccess()
		}
		return replies, nil
	}
}

// nodeFailure returns the first error that speaks of the node rather than of a key.
func nodeFailure(replies []reply) error {
	for _, rep := range replies {
		var answered redis.Error
		if rep.err != nil && !errors.As(rep.err, &answered) {
			return rep.err
		}
	}
	return nil
}

// close waits for the round trips under way.
func (r *Redis) close() {
	r.mu.Lock()
	nodes := make([]*redisNode, 0, len(r.nodes))
	for _, n := range r.nodes {
		nodes = append(nodes, n)
	}
	r.mu.Unlock()
	for _, n := range nodes {
		n.wait()
	}
}
