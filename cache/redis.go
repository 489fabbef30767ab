package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

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
	without  Mechanisms // set by the chain that it is a tier of, before any use

	mu    sync.Mutex
	nodes map[string]*redisNode // by address; when another one comes, those are forgotten that have been idle for nodeIdle
}

// standing is what vouches for the tier's values. It belongs together: a watermark says nothing of another epoch, nor of
// a master that the sidecar has not seen to.
type standing struct {
	epoch     string  // "" if none has been heard of
	watermark int64   // every commit before it is reflected, in this epoch
	roster    *roster // by these masters; of others nothing is known
}

// until returns the watermark as far as it can be trusted on this node's clock.
func (s *standing) until(f *Freshness) int64 { return s.watermark - f.ClockSkew.Microseconds() }

// asOf returns the time as of which a document is known to be true that a master of Redis answered with after this was
// heard, and whether changes to come will be known to it.
func (s *standing) asOf(id schema.ID, loadedAt int64, from reign, f *Freshness) (asOf int64, vouched bool) {
	asOf = loadedAt - f.ClockSkew.Microseconds()
	if !s.roster.has(from, slotOf(id)) {
		return asOf, false
	}
	return max(asOf, s.until(f)), true
}

// nodeIdle is how long nobody has asked a node that is forgotten when another one comes. Should somebody be about to ask it,
// that is done all the same.
const nodeIdle = 10 * time.Minute

type redisNode struct {
	batcher[*op, reply]
	client  atomic.Pointer[redis.Client]
	breaker breaker
	hung    atomic.Uint64 // round trips that took all of their time
}

// errHung is what those are told who had to wait while a node did not answer somebody else.
var errHung = errors.New("the node has not answered another request in time")

// NewRedis returns the tier. It dials nothing.
func NewRedis(cfg RedisConfig) (*Redis, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	r := &Redis{cfg: cfg, nodes: make(map[string]*redisNode)}
	r.standing.Store(&standing{})
	return r, nil
}

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

// get returns what is stored for id in an epoch and who said so, ok false if nothing is.
func (r *Redis) get(ctx context.Context, epoch string, id schema.ID) (e Envelope, from reign, ok bool, err error) {
	rep := r.do(ctx, getOp(r.key(epoch, id)))
	if e, ok, err = rep.envelope(); err != nil {
		return Envelope{}, "", false, fmt.Errorf("redis get %d: %w", id, err)
	}
	return e, rep.from, ok, nil
}

// ttlOf returns how long to keep a document, with jitter.
func (r *Redis) ttlOf(d schema.Document) time.Duration {
	if d.Exists() {
		return r.jittered(r.cfg.TTL)
	}
	return r.jittered(r.cfg.AbsentTTL)
}

func (r *Redis) jittered(ttl time.Duration) time.Duration {
	if r.without.Jitter {
		return ttl
	}
	return jittered(ttl, r.cfg.Jitter)
}

// do sends o together with whatever else wants to go to the same node.
func (r *Redis) do(ctx context.Context, o *op) reply {
	n, err := r.node(ctx, o.keys[0])
	if err != nil {
		return reply{err: err}
	}
	o.hung = n.hung.Load()
	rep, err := n.do(ctx, o)
	if err != nil {
		return reply{err: err}
	}
	return rep
}

// patience is how long a read takes that does not hang on anything else: a round trip that is under way, and its own.
func (r *Redis) patience() time.Duration { return 2 * r.cfg.Timeout }

// doAll is do of each, side by side. It returns when all are answered or ctx has ended.
func (r *Redis) doAll(ctx context.Context, ops []*op) []reply {
	if len(ops) == 1 {
		return []reply{r.do(ctx, ops[0])}
	}
	var group sync.WaitGroup
	asked := make([]request[*op, reply], len(ops))
	parcels := make(map[*redisNode][]*request[*op, reply])
	var lost error // there is no slot map, which is asked for once, not for each key
	for i, o := range ops {
		q := &asked[i]
		q.ask, q.group = o, &group
		var n *redisNode
		if lost == nil {
			n, lost = r.node(ctx, o.keys[0])
		}
		if lost != nil {
			q.err = lost
			continue
		}
		o.hung = n.hung.Load()
		parcels[n] = append(parcels[n], q)
	}
	var last *redisNode // that nothing was under way to: for this goroutine
	for n, some := range parcels {
		group.Add(len(some))
		begin, ok := n.enqueue(some...)
		if !ok {
			for _, q := range some {
				q.finish(reply{}, schema.ErrOverloaded)
			}
		}
		if begin {
			if last != nil {
				go last.run()
			}
			last = n
		}
	}
	if last != nil {
		last.once()
	}
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done(): // what is under way may still write to asked
		return slices.Repeat([]reply{{err: context.Cause(ctx)}}, len(ops))
	}
	return each(asked, func(q request[*op, reply]) reply {
		if q.err != nil {
			return reply{err: q.err}
		}
		return q.answer
	})
}

// node returns the batcher of the master that owns key. If the map is out of date, redirections are followed.
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
		maps.DeleteFunc(r.nodes, func(_ string, n *redisNode) bool { return n.idle(nodeIdle) }) // addresses may come and go for years
		n = &redisNode{breaker: newBreaker()}
		// Two round trips at once, the second only where the first is slow: that 64 callers share one costs a quarter less
		// processor time than two (BenchmarkRedisHit). The queue is more than any node can answer within the timeout.
		n.batcher = batcher[*op, reply]{
			send: n.sender(r.cfg.Client), refuse: n.refuse, width: 2, size: 256, queue: 1 << 14, timeout: r.cfg.Timeout, patience: time.Millisecond,
			latest: time.Now(),
		}
		if r.without.Batching {
			n.width, n.size = c.Options().PoolSize, 1
		}
		r.nodes[addr] = n
	}
	n.client.Store(c) // a node that has left the cluster and come back has another
	return n, nil
}

func (n *redisNode) sender(c *redis.ClusterClient) func(context.Context, []*op) ([]reply, error) {
	return func(ctx context.Context, ops []*op) (replies []reply, open error) {
		open = n.breaker.try(func() bool {
			replies = askNode(ctx, n.client.Load(), ops)
			err := nodeFailure(replies)
			if err == nil {
				return true
			}
			if slow, ok := errors.AsType[net.Error](err); ok && slow.Timeout() {
				n.hung.Add(1)
			}
			c.ReloadState(ctx)
			return false
		})
		redirect(ctx, c, ops, replies) // to others, whose failures are not this node's
		return replies, open
	}
}

// refuse keeps those from a round trip who have waited through one that the node did not answer: nobody is to wait twice.
func (n *redisNode) refuse(o *op) error {
	if o.hung != n.hung.Load() {
		return errHung
	}
	return nil
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
