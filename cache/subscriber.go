package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/internal/seldom"
	"vidmeta/schema"
)

// Reasons for which a node drops its local tier; labels of vidmeta_feed_gaps_total.
const (
	gapSequence = "sequence" // entries are missing: trimmed, or lost in a failover
	gapTerm     = "term"     // a new leader did not continue where this node stands
	gapEpoch    = "epoch"    // the sidecar has dropped everything
	gapSilence  = "silence"  // after a silence the stream was not where this node had left it
)

var gapReasons = []string{gapSequence, gapTerm, gapEpoch, gapSilence}

const (
	feedBlock = 500 * time.Millisecond // of one XREAD; a heartbeat ends it after 100 ms in health
	// feedSilence is how long a node waits for an entry before it looks after the stream: thirty heartbeats.
	feedSilence = 3 * time.Second
	feedOrigin  = "0-0" // before the first entry
)

// Subscriber follows the feed and tells a Chain what has changed.
type Subscriber struct {
	chain  *Chain
	client *redis.ClusterClient // of its own: its reads block
	log    *slog.Logger

	last  string // id of the last entry seen
	term  string
	seq   uint64
	heard atomic.Bool
	buf   []schema.Change
}

// NewSubscriber returns a subscriber for a chain. The client must be for this use alone; Run closes it.
func NewSubscriber(chain *Chain, client *redis.ClusterClient) *Subscriber {
	return &Subscriber{chain: chain, client: client, log: chain.cfg.Logger}
}

// Run follows the feed until ctx ends, whatever happens to Redis meanwhile. It returns nil.
func (s *Subscriber) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.client.Close() }) // interrupts a blocked read
	defer stop()
	defer s.client.Close()
	var failing seldom.Failures
	for pause := newPause(); ctx.Err() == nil; {
		err := s.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		s.chain.metrics.feedErrors.Inc()
		if n, ok := failing.Now(); ok {
			s.log.Warn("feed", "error", err, "failures", n)
		}
		_ = pause.wait(ctx)
	}
	return nil
}

// Healthy returns an error until the feed has been heard. Later silence is no reason to send a node's requests elsewhere:
// it is silent for all of them, and they go on answering within their bounds.
func (s *Subscriber) Healthy(context.Context) error {
	if !s.heard.Load() {
		return errors.New("the feed has not been heard yet")
	}
	return nil
}

// follow reads entries until something fails.
func (s *Subscriber) follow(ctx context.Context) error {
	stream := s.chain.redis.feedKeys()[0]
	if s.last == "" {
		if err := s.begin(ctx, stream); err != nil {
			return err
		}
	}
	quietSince := time.Now()
	for {
		entries, err := s.read(ctx, stream)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			quietSince = time.Now()
		} else if time.Since(quietSince) > feedSilence {
			if err := s.check(ctx, stream); err != nil {
				return err
			}
			quietSince = time.Now()
		}
		for _, e := range entries {
			entry, err := parseFeedEntry(e.Values, s.buf[:0])
			if err != nil {
				s.chain.redis.standing.Store(&standing{epoch: s.chain.redis.standing.Load().epoch})
				s.gap(gapSequence) // cannot be understood, so must be taken for any change
				s.log.Error("feed", "entry", e.ID, "error", err)
			} else {
				s.apply(entry)
				s.buf = entry.changes
			}
			s.last = e.ID
			ms, _ := parseID(e.ID)
			s.chain.metrics.feedDelay.Set(time.Since(time.UnixMilli(int64(ms))).Seconds())
		}
	}
}

// begin finds the place from which to read: before the newest entry. What was told earlier was in Redis, and to be seen
// in the origin, before this node loaded anything.
func (s *Subscriber) begin(ctx context.Context, stream string) error {
	newest, err := s.newest(ctx, stream, 2)
	if err != nil {
		return err
	}
	s.last, s.term = newest[len(newest)-1], ""
	return nil
}

// check makes sure, after a silence, that nothing is there to be heard. A promoted replica may have lost entries and
// hand out ids below theirs, which a read from the last id on would never return.
func (s *Subscriber) check(ctx context.Context, stream string) error {
	newest, err := s.newest(ctx, stream, 1)
	if err != nil || !before(newest[0], s.last) {
		return err
	}
	s.gap(gapSilence)
	return s.begin(ctx, stream)
}

// before reports whether a stream's id comes before another.
func before(id, other string) bool {
	ms, n := parseID(id)
	otherMS, otherN := parseID(other)
	return ms < otherMS || (ms == otherMS && n < otherN)
}

// parseID takes an entry's id apart: when Redis appended it, by its own clock, and which of that millisecond it is.
func parseID(id string) (ms, n uint64) {
	first, second, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(first, 10, 64) // ids are Redis' own
	n, _ = strconv.ParseUint(second, 10, 64)
	return ms, n
}

// newest returns the ids of the newest n entries, the newest first; of fewer, the origin is the last.
func (s *Subscriber) newest(ctx context.Context, stream string, n int) (ids []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*feedBlock)
	defer cancel()
	entries, err := s.client.XRevRangeN(ctx, stream, "+", "-", int64(n)).Result()
	if err != nil {
		return nil, fmt.Errorf("end of the feed: %w", err)
	}
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	if len(ids) < n {
		ids = append(ids, feedOrigin)
	}
	return ids, nil
}

func (s *Subscriber) read(ctx context.Context, stream string) ([]redis.XMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*feedBlock)
	defer cancel()
	res, err := s.client.XRead(ctx, &redis.XReadArgs{Streams: []string{stream, s.last}, Count: 64, Block: feedBlock}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the feed: %w", err)
	}
	return res[0].Messages, nil
}

// apply tells the chain of one entry. The order matters. First what Redis is read by: a reader behind the fence must not
// believe a master that has been left out. Then the fence, and last the watermark, which vouches for everything that is
// still valid then.
func (s *Subscriber) apply(e feedEntry) {
	c := s.chain
	old := c.redis.standing.Load()
	told := standing{epoch: e.epoch, watermark: old.watermark, roster: parseRoster(e.roster, old.roster)}
	reason := s.breach(e)
	if reason != "" || s.term == "" || e.epoch != old.epoch {
		told.watermark = 0 // of other masters, or of an other epoch
	}
	if told != *old {
		c.redis.standing.Store(&told)
	}
	switch {
	case s.term == "":
		c.fence.InvalidateAll() // the beginning; whatever was stored before it was never told of changes
	case reason != "":
		s.gap(reason)
	}
	if e.epoch != old.epoch {
		s.gap(gapEpoch)
	}
	s.term, s.seq = e.term, e.seq
	for _, change := range e.changes {
		c.fence.Invalidate(change.ID)
	}
	if e.watermark > told.watermark {
		c.redis.standing.Store(&standing{epoch: e.epoch, watermark: e.watermark, roster: told.roster})
	}
	s.heard.Store(true)
	c.metrics.feedEntries.Inc()
	c.metrics.feedChanges.Add(float64(len(e.changes)))
}

// breach returns why an entry does not continue the last one, "" if it does.
func (s *Subscriber) breach(e feedEntry) (reason string) {
	switch {
	case s.term == "", e.term == s.term && e.seq == s.seq+1:
		return ""
	case e.term == s.term:
		return gapSequence
	case e.after != s.term || e.seq != s.seq+1:
		return gapTerm
	}
	return ""
}

// gap drops the local tier: something may have changed that this node was not told.
func (s *Subscriber) gap(reason string) {
	s.chain.fence.InvalidateAll()
	s.chain.metrics.feedGaps[reason].Inc()
	s.log.Warn("local tier dropped", "reason", reason, "term", s.term, "seq", s.seq)
}
