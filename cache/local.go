package cache

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"vidmeta/schema"
)

// entryOverhead is what Ristretto, its policy and our own struct cost on top of a body, measured on the heap with a
// million entries; Ristretto is told it with every entry, so that MaxBytes means bytes of memory.
const entryOverhead = 280

// LocalConfig sizes the local tier.
type LocalConfig struct {
	// MaxBytes is the budget for bodies and what is kept beside them. Required, at least 1 MiB.
	MaxBytes int64
	// ShortTTL and LongTTL bound the life of an entry: it begins with the first and doubles each time the entry is
	// wanted again soon after its end. They make no answer correct, they only drop what nobody wants and repair what
	// nobody foresaw. 0 means 5 s and 5 min.
	ShortTTL, LongTTL time.Duration
	exact             bool // no jitter
}

func (c *LocalConfig) validate() error {
	if c.ShortTTL == 0 {
		c.ShortTTL = 5 * time.Second
	}
	if c.LongTTL == 0 {
		c.LongTTL = 5 * time.Minute
	}
	switch {
	case c.MaxBytes < 1<<20:
		return fmt.Errorf("local tier: MaxBytes is %d, at least 1 MiB is needed", c.MaxBytes)
	case c.ShortTTL < 0 || c.LongTTL < c.ShortTTL:
		return errors.New("local tier: LongTTL must not be below ShortTTL")
	}
	return nil
}

// Local is the tier in the process: Ristretto behind a fence. Ristretto may drop or delay what it is given, and may keep
// the older of two values; none of it matters, since an entry is judged by its stamp whenever it is read.
type Local struct {
	cfg   LocalConfig
	cache *ristretto.Cache[uint64, *localEntry]
	fence *Fence
}

// localEntry is immutable but for renewing.
type localEntry struct {
	doc       schema.Document
	stamp     uint64
	asOf      int64 // without what the watermark adds
	expiresAt int64
	renewAt   int64
	ttl       time.Duration
	renewing  atomic.Bool
}

// NewLocal returns an empty tier. Close it when no read is under way any more.
func NewLocal(cfg LocalConfig, fence *Fence) (*Local, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c, err := ristretto.NewCache(&ristretto.Config[uint64, *localEntry]{
		// Ten counters for each of the entries that fit if they are 1 KiB each, as the library advises, up to 400 MB of
		// counters.
		NumCounters:        min(max(10*cfg.MaxBytes/(1024+entryOverhead), 1<<10), 1<<27),
		MaxCost:            cfg.MaxBytes,
		BufferItems:        64,
		IgnoreInternalCost: true,
		// Ristretto takes an integer's own bits as its hash. Mixed they are spread over its shards and its sketch; as
		// the mixing is a bijection no two ids collide, so the second hash has nothing to decide.
		KeyToHash:    func(id uint64) (uint64, uint64) { return mix(id), 0 },
		ShouldUpdate: func(cur, prev *localEntry) bool { return !prev.newerThan(cur) },
	})
	if err != nil {
		return nil, fmt.Errorf("local tier: %w", err)
	}
	return &Local{cfg: cfg, cache: c, fence: fence}, nil
}

// newerThan orders entries of one id: by stamp, as a reader with an older one may have loaded an older document, and
// by version and as-of for readers with the same.
func (e *localEntry) newerThan(o *localEntry) bool {
	if e.stamp != o.stamp {
		return e.stamp > o.stamp
	}
	if e.doc.Version != o.doc.Version {
		return e.doc.Version > o.doc.Version
	}
	return e.asOf > o.asOf
}

// get returns the entry of id, and whether it is valid. An invalid entry is of use only where nothing better can be had.
func (l *Local) get(id schema.ID, now int64) (e *localEntry, valid bool) {
	e, ok := l.cache.Get(uint64(id))
	if !ok || e.doc.ID != id {
		return nil, false
	}
	return e, e.stamp == l.fence.Stamp(id) && now < e.expiresAt
}

// peek is get for somebody who only looks. What is not there is asked for without leaving a trace; what is there counts in
// Ristretto's estimate of how much it is wanted, as the library gives no value without that.
func (l *Local) peek(id schema.ID, now int64) (e *localEntry, valid bool) {
	if _, ok := l.cache.GetTTL(uint64(id)); !ok {
		return nil, false
	}
	return l.get(id, now)
}

// sample returns the ids of up to n valid entries, each as likely as any other. It visits every entry, a shard at a time,
// looks closer at eight times as many as are wanted, and counts as no read.
func (l *Local) sample(n int) []schema.ID {
	const spare = 8 // most entries may be invalid, where little is read
	picked, seen := make([]*localEntry, 0, spare*n), 0
	l.cache.IterValues(func(e *localEntry) (stop bool) {
		seen++ // reservoir sampling: the entry number k is picked with probability 1/k times the room
		if len(picked) < cap(picked) {
			picked = append(picked, e)
		} else if at := rand.IntN(seen); at < len(picked) {
			picked[at] = e
		}
		return false
	})
	// The first ones have kept their places.
	rand.Shuffle(len(picked), func(i, j int) { picked[i], picked[j] = picked[j], picked[i] })
	now := time.Now().UnixMicro()
	ids := make([]schema.ID, 0, n)
	for _, e := range picked {
		if len(ids) < n && e.stamp == l.fence.Stamp(e.doc.ID) && now < e.expiresAt {
			ids = append(ids, e.doc.ID)
		}
	}
	return ids
}

// put stores a document as loaded by a reader that took the stamp before, and returns when it is there to be read, or
// was turned down for want of room. cost is how long the load took.
func (l *Local) put(d schema.Document, stamp uint64, asOf, now int64, cost time.Duration) {
	var prevTTL, idle time.Duration
	if prev, _ := l.get(d.ID, now); prev != nil {
		prevTTL, idle = prev.ttl, time.Duration(now-prev.expiresAt)*time.Microsecond
		if prev.stamp != stamp {
			// It did not live to its end, which says nothing of how much it is wanted: carry on where it was.
			prevTTL, idle = prev.ttl/2, 0
		}
	}
	ttl := max(localTTL(prevTTL, idle, l.cfg.ShortTTL, l.cfg.LongTTL), l.cfg.ShortTTL)
	expires := now + ttl.Microseconds()
	if !l.cfg.exact {
		expires = now + jittered(ttl, 0.1).Microseconds()
	}
	e := &localEntry{
		doc: d, stamp: stamp, asOf: asOf, ttl: ttl,
		expiresAt: expires, renewAt: expires - renewLead(cost).Microseconds(),
	}
	if l.cache.Set(uint64(d.ID), e, int64(len(d.Body))+entryOverhead) {
		l.cache.Wait()
	}
}

// Close ends the tier. Nothing may be reading or storing.
func (l *Local) Close() { l.cache.Close() }
