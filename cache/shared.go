package cache

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"vidmeta/schema"
)

// sharedBatch is how many changes go to Redis in one round trip: enough to make round trips cheap, few enough that one
// takes milliseconds.
const sharedBatch = 512

// Shared is the leading sidecar's hand on the redis tier. It writes only to masters that it has mustered, so that what
// it has told the feed is in all of them. It belongs to one goroutine.
type Shared struct {
	redis    *Redis
	epoch    string
	blank    bool // the epoch is new, so nobody can hold anything old in it
	members  map[reign]member
	listed   *roster // of members, nil if they have changed
	recent   recent
	mustered time.Time // when that was done last, zero if it has to be done at once
	called   time.Time // when all members were seen last
}

// NewShared returns a hand on the tier that has mustered nobody.
func NewShared(r *Redis) *Shared {
	return &Shared{redis: r, members: map[reign]member{}, recent: newRecent()}
}

// SetEpoch names the epoch to go on with.
func (s *Shared) SetEpoch(epoch string) { s.epoch, s.blank = epoch, s.blank && epoch == s.epoch }

// Raise makes everything that the tier holds unreachable. The epoch must never have been used before.
func (s *Shared) Raise(epoch string) {
	s.recall("")
	s.epoch, s.blank = epoch, true
}

// Mark tells the tier that documents have reached versions which every load from now on will see: loads under way can no
// longer fill. It returns the changes of those documents which the tier holds in an older version, and which want a Put.
// It is safe to repeat.
func (s *Shared) Mark(ctx context.Context, changes []schema.Change) (stale []schema.Change, err error) {
	err = s.send(ctx, len(changes), func(i int) *op { return s.markOp(changes[i]) }, func(i int, rep reply) {
		if s.marked(changes[i], rep) {
			stale = append(stale, changes[i])
		}
	})
	if err != nil {
		return nil, fmt.Errorf("mark %d changes: %w", len(changes), err)
	}
	return stale, nil
}

func (s *Shared) markOp(c schema.Change) *op {
	key := s.redis.key(s.epoch, c.ID)
	return &op{script: markScript, keys: []string{key, key + leaseSuffix}, args: []any{appendDigits(nil, uint64(c.Version))}}
}

// marked remembers a mark, and reports whether what is held is stale.
func (s *Shared) marked(c schema.Change, rep reply) (stale bool) {
	s.recent.add(c, rep.from)
	return rep.text[0] == 'S'
}

// Replace is Mark and Put in one, of documents that have been loaded already, in the order of their changes. It returns
// how many the tier held in an older version.
func (s *Shared) Replace(ctx context.Context, changes []schema.Change, docs []schema.Document, loadedAt time.Time) (stale int, err error) {
	err = s.send(ctx, 2*len(changes), func(i int) *op {
		if i%2 == 0 {
			return s.markOp(changes[i/2])
		}
		return s.putOp(docs[i/2], loadedAt)
	}, func(i int, rep reply) {
		if i%2 == 0 && s.marked(changes[i/2], rep) {
			stale++
		}
	})
	if err != nil {
		return 0, fmt.Errorf("replace %d documents: %w", len(changes), err)
	}
	return stale, nil
}

// Put replaces documents that the tier holds in an older version, with a fresh TTL. What is newer stays, and what has
// become cold stays cold. loadedAt is when the load of the documents began.
func (s *Shared) Put(ctx context.Context, docs []schema.Document, loadedAt time.Time) error {
	err := s.send(ctx, len(docs), func(i int) *op { return s.putOp(docs[i], loadedAt) }, func(int, reply) {})
	if err != nil {
		return fmt.Errorf("put %d documents: %w", len(docs), err)
	}
	return nil
}

func (s *Shared) putOp(d schema.Document, loadedAt time.Time) *op {
	ttl := s.redis.ttlOf(d)
	e := envelopeOf(d, loadedAt.UnixMicro(), time.Now().Add(ttl).UnixMicro())
	return &op{script: putScript, keys: []string{s.redis.key(s.epoch, d.ID)},
		args: []any{e.Append(make([]byte, 0, headerLen+len(e.Body))), ttl.Milliseconds()}}
}

// Drop takes documents out of the tier, whatever it holds of them.
func (s *Shared) Drop(ctx context.Context, ids []schema.ID) error {
	err := s.send(ctx, len(ids), func(i int) *op {
		key := s.redis.key(s.epoch, ids[i])
		return &op{script: dropScript, keys: []string{key, key + leaseSuffix}}
	}, func(int, reply) {})
	if err != nil {
		return fmt.Errorf("drop %d documents: %w", len(ids), err)
	}
	return nil
}

// send has n ops done by the masters that are listed for their keys' slots. What nobody is listed for is passed over. The
// first failure ends it: some ops may have been done then.
func (s *Shared) send(ctx context.Context, n int, make func(i int) *op, done func(i int, rep reply)) (err error) {
	defer func() {
		if err != nil {
			s.mustered = time.Time{} // others may answer now
		}
	}()
	for from := 0; from < n; from += sharedBatch {
		nodes, err := s.parcel(ctx, from, min(from+sharedBatch, n), make)
		if err != nil {
			return err
		}
		var g errgroup.Group
		for node, p := range nodes {
			g.Go(func() error {
				p.replies = askNode(ctx, node, p.ops)
				return nil
			})
		}
		_ = g.Wait() // each reply has its own error
		for node, p := range nodes {
			for i, rep := range p.replies {
				slot := keySlot(p.ops[i].keys[0])
				if isForeign(rep.err) {
					rep = wipe(ctx, node, p.ops[i].keys)
				}
				m, known := s.members[rep.from]
				if known && (isMoving(rep.err) || hasMoved(rep.err) || !m.slots.has(slot)) {
					s.unlist(slot)
				}
				switch {
				case !s.lists(slot):
					continue
				case rep.err != nil:
					return rep.err
				case !known:
					return fmt.Errorf("the master at %s has not been mustered", node.Options().Addr)
				}
				done(p.at[i], rep)
			}
		}
	}
	return nil
}

// coldText is the answer of mark.lua for a document that is not held.
var coldText = []byte("C")

// isMoving reports whether keys of a slot are on their way from one master to another.
func isMoving(err error) bool {
	return err != nil && (strings.HasPrefix(err.Error(), "ASK ") || strings.HasPrefix(err.Error(), "TRYAGAIN"))
}

// hasMoved reports whether a slot has gone to another master.
func hasMoved(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "MOVED ") }

// isForeign reports whether somebody has put something of another type where a document is expected.
func isForeign(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE") }

// wipe takes out what is in the place of a document.
func wipe(ctx context.Context, node *redis.Client, keys []string) reply {
	is, answers, err := consult(ctx, node, []any{"del", keys[0]})
	if err == nil {
		err = answers[0].Err()
	}
	return reply{text: coldText, from: is.reign(), err: err}
}

// parcel is what goes to one node.
type parcel struct {
	ops     []*op
	at      []int // which of all ops each is
	replies []reply
}

func (s *Shared) parcel(ctx context.Context, from, to int, make func(i int) *op) (map[*redis.Client]*parcel, error) {
	nodes := map[*redis.Client]*parcel{}
	for i := from; i < to; i++ {
		o := make(i)
		if !s.lists(keySlot(o.keys[0])) {
			continue
		}
		node, err := s.redis.cfg.Client.MasterForKey(ctx, o.keys[0])
		if err != nil {
			return nil, err
		}
		p := nodes[node]
		if p == nil {
			p = &parcel{}
			nodes[node] = p
		}
		p.ops, p.at = append(p.ops, o), append(p.at, i)
	}
	return nodes, nil
}
